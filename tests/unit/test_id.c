/* Reservation ids: their text form and the making of new ones. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "holdfast/types.h"

static struct hf_id parsed(const char *text)
{
    struct hf_id id;
    cr_assert(hf_id_parse(text, &id), "'%s' must be an id", text);
    return id;
}

Test(id, text_of_a_uuid_is_read_and_written_byte_for_byte)
{
    /* A UUID whose 16 bytes all differ. */
    struct hf_id id = parsed("00112233-4455-6677-8899-aabbccddeeff");
    for (unsigned i = 0; i < sizeof id.bytes; i++)
        cr_assert_eq(id.bytes[i], i * 0x11);
    char text[HF_ID_TEXT_BYTES];
    hf_id_format(&id, text);
    cr_assert_str_eq(text, "00112233-4455-6677-8899-aabbccddeeff");
}

Test(id, upper_case_is_read_and_lower_case_written)
{
    /* A UUID as some systems print it: in capitals. */
    struct hf_id id = parsed("0198C0DE-ABCD-7EF0-89AB-CDEFABCDEF01");
    char text[HF_ID_TEXT_BYTES];
    hf_id_format(&id, text);
    cr_assert_str_eq(text, "0198c0de-abcd-7ef0-89ab-cdefabcdef01");
}

Test(id, everything_else_is_refused)
{
    /* Texts that are nearly a UUID, each wrong in one way. */
    static const char *const wrong[] = {
        "",
        "0",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0",
        "00112233-4455-6677-8899-aabbccddeeff ",
        " 00112233-4455-6677-8899-aabbccddeeff",
        "00112233445566778899aabbccddeeff",
        "{00112233-4455-6677-8899-aabbccddeef}",
        "0011223-34455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899aaabbccddeeff",
        "00112233-4455-6677-8899--abbccddeeff",
        "0011223g-4455-6677-8899-aabbccddeeff",
        "0011223:-4455-6677-8899-aabbccddeeff",
        "0011223@-4455-6677-8899-aabbccddeeff",
        "0011223/-4455-6677-8899-aabbccddeeff",
        "0011223`-4455-6677-8899-aabbccddeeff",
        "0x112233-4455-6677-8899-aabbccddeeff",
        "+0112233-4455-6677-8899-aabbccddeeff",
        "00112233_4455_6677_8899_aabbccddeeff",
    };
    struct hf_id before = parsed("ffffffff-ffff-ffff-ffff-ffffffffffff"), id = before;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_not(hf_id_parse(wrong[i], &id), "'%s' is no id", wrong[i]);
        cr_assert(hf_id_equal(&id, &before), "'%s' must leave the id alone", wrong[i]);
    }
}

Test(id, equal_and_zero_look_at_every_byte)
{
    /* Ids that differ from zero, and from each other, in one byte only. */
    struct hf_id zero = {{0}};
    cr_assert(hf_id_is_zero(&zero));
    for (unsigned i = 0; i < sizeof zero.bytes; i++) {
        struct hf_id id = zero;
        id.bytes[i] = 1;
        cr_assert_not(hf_id_is_zero(&id));
        cr_assert_not(hf_id_equal(&id, &zero));
        cr_assert(hf_id_equal(&id, &id));
    }
}

static uint64_t id_date_ms(const struct hf_id *id)
{
    uint64_t ms = 0;
    for (unsigned i = 0; i < 6; i++)
        ms = ms << 8 | id->bytes[i];
    return ms;
}

Test(id, made_ids_are_uuids_of_version_7)
{
    /* More ids than one fetch of random bytes serves. */
    struct hf_id all = {{0}}, none;
    memset(none.bytes, 0xff, sizeof none.bytes);
    for (unsigned i = 0; i < 1000; i++) {
        struct hf_id id;
        uint64_t before_ms = hf_date_now_ns() / HF_NS_PER_MS;
        hf_id_make(&id);
        uint64_t after_ms = hf_date_now_ns() / HF_NS_PER_MS;
        cr_assert_eq(id.bytes[6] >> 4, 7, "version");
        cr_assert_eq(id.bytes[8] >> 6, 2, "variant");
        cr_assert(id_date_ms(&id) >= before_ms && id_date_ms(&id) <= after_ms, "date");
        for (unsigned j = 0; j < sizeof id.bytes; j++) {
            all.bytes[j] |= id.bytes[j];
            none.bytes[j] &= id.bytes[j];
        }
    }
    /* Each of the 74 random bits was seen set and clear. */
    for (unsigned j = 6; j < sizeof all.bytes; j++) {
        unsigned fixed = j == 6 ? 0xf0 : j == 8 ? 0xc0 : 0;
        cr_assert_eq((all.bytes[j] & ~none.bytes[j]) | fixed, 0xff, "byte %u", j);
    }
}

static int compare_ids(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct hf_id));
}

Test(id, made_ids_differ)
{
    /* Ids made as fast as possible, many in one millisecond. */
    enum { COUNT = 20000 };
    static struct hf_id ids[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        hf_id_make(&ids[i]);
    qsort(ids, COUNT, sizeof ids[0], compare_ids);
    for (unsigned i = 1; i < COUNT; i++)
        cr_assert_not(hf_id_equal(&ids[i - 1], &ids[i]));
}

Test(id, a_forked_child_makes_other_ids)
{
    /* A process that forks while it holds random bytes for ids not made yet. */
    struct hf_id own, childs = {{0}};
    int ends[2];
    hf_id_make(&own);
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        hf_id_make(&childs);
        _exit(write(ends[1], &childs, sizeof childs) == (ssize_t)sizeof childs ? 0 : 1);
    }
    cr_assert_eq(read(ends[0], &childs, sizeof childs), (ssize_t)sizeof childs);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    hf_id_make(&own);
    cr_assert_neq(memcmp(own.bytes + 8, childs.bytes + 8, 8), 0, "the same random bits twice");
}
