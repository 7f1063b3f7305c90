/* Segments: their names, and their heads as the vectors of docs/vectors/log-format.txt have them.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "holdfast/types.h"
#include "tests/lib/vectors.h"
#include "wal/segment_header.h"

#define VECTORS_PATH "docs/vectors/log-format.txt"

static struct hf_segment_header header_of(const struct hf_vector *vector)
{
    struct hf_segment_header header = {
        .number = hf_vector_number(vector, "number"),
        .segment_bytes = hf_vector_number(vector, "segment_bytes"),
        .created_at_ns = hf_vector_number(vector, "created_at_ns"),
    };
    struct hf_id log_id;
    cr_assert(hf_id_parse(hf_vector_text(vector, "log_id"), &log_id));
    memcpy(header.log_id, log_id.bytes, sizeof(header.log_id));
    return header;
}

static void check_vector(const struct hf_vector *vector)
{
    struct hf_segment_header expected = header_of(vector), found;
    uint8_t bytes[HF_SEGMENT_HEADER_BYTES];
    memset(bytes, 0xa5, sizeof(bytes));
    hf_segment_header_encode(bytes, &expected);
    cr_assert_eq(vector->byte_count, sizeof(bytes));
    cr_expect_arr_eq(bytes, vector->bytes, sizeof(bytes));
    cr_assert_eq(hf_segment_header_decode(vector->bytes, &found), HF_SEGMENT_VALID);
    cr_expect_arr_eq(found.log_id, expected.log_id, sizeof(found.log_id));
    cr_expect_eq(found.number, expected.number);
    cr_expect_eq(found.segment_bytes, expected.segment_bytes);
    cr_expect_eq(found.created_at_ns, expected.created_at_ns);

    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(expected.number, name);
    cr_expect_str_eq(name, hf_vector_text(vector, "file"));
}

Test(segment_header, vectors_are_encoded_and_decoded)
{
    /* An ordinary segment, the smallest and the largest. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "segment_header", check_vector), 3);
}

static void make_header(uint8_t bytes[HF_SEGMENT_HEADER_BYTES])
{
    struct hf_segment_header header = {
        .log_id = {7}, .number = 3, .segment_bytes = 1 << 20, .created_at_ns = 99};
    hf_segment_header_encode(bytes, &header);
}

Test(segment_header, every_flipped_byte_is_found)
{
    /* Each of the 4096 bytes inverted once. */
    uint8_t bytes[HF_SEGMENT_HEADER_BYTES];
    make_header(bytes);
    struct hf_segment_header header;
    for (size_t at = 0; at < sizeof(bytes); at++) {
        bytes[at] ^= 0xff;
        cr_assert_eq(hf_segment_header_decode(bytes, &header),
                     at < 8 ? HF_SEGMENT_BAD_MAGIC : HF_SEGMENT_BAD_HASH, "byte %zu", at);
        bytes[at] ^= 0xff;
    }
    cr_expect_eq(hf_segment_header_decode(bytes, &header), HF_SEGMENT_VALID);
    memset(bytes, 0, sizeof(bytes));
    cr_expect_eq(hf_segment_header_decode(bytes, &header), HF_SEGMENT_EMPTY);
}

Test(segment_header, impossible_fields_are_refused_under_a_right_hash)
{
    /* Each limited field beyond its limits; a newer format is told apart. */
    static const struct {
        unsigned offset, bytes;
        uint64_t value;
        enum hf_segment_fault fault;
    } cases[] = {
        {8, 2, 2, HF_SEGMENT_NEWER_FORMAT},
        {8, 2, 0, HF_SEGMENT_BAD_FIELD},
        {10, 2, 512, HF_SEGMENT_BAD_FIELD},
        {12, 4, 1, HF_SEGMENT_BAD_FIELD},
        {32, 8, 0, HF_SEGMENT_BAD_FIELD},
        {32, 8, HF_SEGMENT_NUMBER_MAX + 1, HF_SEGMENT_BAD_FIELD},
        {40, 8, 0, HF_SEGMENT_BAD_FIELD},
        {40, 8, HF_SEGMENT_BYTES_MIN - 4096, HF_SEGMENT_BAD_FIELD},
        {40, 8, HF_SEGMENT_BYTES_MIN + 512, HF_SEGMENT_BAD_FIELD},
        {40, 8, HF_SEGMENT_BYTES_MAX + 4096, HF_SEGMENT_BAD_FIELD},
        {40, 8, HF_SEGMENT_BYTES_MAX, HF_SEGMENT_VALID},
        {56, 8, 1, HF_SEGMENT_BAD_FIELD},
        {4087, 1, 1, HF_SEGMENT_BAD_FIELD},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[HF_SEGMENT_HEADER_BYTES], value[8];
        make_header(bytes);
        hf_put_u64(value, cases[i].value);
        memcpy(bytes + cases[i].offset, value, cases[i].bytes);
        hf_put_u64(bytes + 4088, XXH3_64bits(bytes, 4088));
        struct hf_segment_header header;
        enum hf_segment_fault fault = hf_segment_header_decode(bytes, &header);
        cr_expect_eq(fault, cases[i].fault, "case %zu: %s", i, hf_segment_fault_name(fault));
    }
}

Test(segment_header, names_of_other_files_are_no_segments)
{
    /* What may lie about in the directory of a log. */
    static const char *const names[] = {
        "",
        ".",
        "lock",
        "region",
        "0000000000000001",
        "0000000000000001.wal.tmp",
        "0000000000000001.WAL",
        "0000000000000000.wal",
        "000000000000001.wal",
        "00000000000000001.wal",
        "000000000000000a.wal",
        " 000000000000001.wal",
        "-000000000000001.wal",
        "0000000000000001.wal ",
    };
    uint64_t number;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cr_expect_not(hf_segment_name_parse(names[i], &number), "'%s'", names[i]);
    cr_expect(hf_segment_name_parse("0000000000000042.wal", &number) && number == 42);
    cr_expect(hf_segment_name_parse("9999999999999999.wal", &number) &&
              number == HF_SEGMENT_NUMBER_MAX);
}
