/*
 * Snapshots in bytes: their names, headers and groups, as the vectors of
 * docs/vectors/log-format.txt have them in both directions, and at the limits of each field.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "tests/lib/memory_io.h"
#include "tests/lib/vectors.h"
#include "wal/segment_header.h"
#include "wal/snapshot.h"

#define VECTORS_PATH "docs/vectors/log-format.txt"
#define VECTORS_MAX  8

static const struct hf_vector_member members[] = {
    HF_VECTOR_MEMBER(struct hf_snapshot_header, log_id, "log_id"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, epoch, "epoch"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, last_lsn, "last_lsn"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, start.segment, "start.segment"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, start.epoch, "start.epoch"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, start.sequence, "start.sequence"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, start.next_lsn, "start.next_lsn"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, start.written_at_ns, "start.written_at_ns"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, records, "records"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, inventories, "inventories"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, groups, "groups"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, file_bytes, "file_bytes"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, made_at_ns, "made_at_ns"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, log_time_ns, "log_time_ns"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, retain_ns, "retain_ns"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, segment_bytes, "segment_bytes"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, origin_log_id, "origin_log_id"),
    HF_VECTOR_MEMBER(struct hf_snapshot_header, origin_last_lsn, "origin_last_lsn"),
    {NULL, 0, 0},
};
#define MEMBER_COUNT (sizeof(members) / sizeof(members[0]) - 1)

/* A file on a disk of its own. */
static struct hf_memory_io disk;

static void put_file(const char *name, const uint8_t *bytes, size_t count)
{
    hf_memory_io_init(&disk);
    int file = disk.io.open_file(&disk.io, ".", name, HF_IO_CREATE);
    cr_assert_geq(file, 0);
    uint8_t *aligned = aligned_alloc(4096, count);
    cr_assert_not_null(aligned);
    memcpy(aligned, bytes, count);
    cr_assert_eq(disk.io.write_at(&disk.io, file, aligned, count, 0), 0);
    free(aligned);
    disk.io.close_file(&disk.io, file);
}

/* Reads the file with that name to its end. */
static enum hf_snapshot_read read_file(const char *name, char lsns[256],
                                       struct hf_snapshot_finding *finding)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_view view;
    uint64_t last_lsn;
    lsns[0] = '\0';
    cr_assert(hf_snapshot_name_parse(name, &last_lsn));
    enum hf_snapshot_read read =
        hf_snapshot_open(&disk.io, ".", last_lsn, true, &snapshot, finding);
    if (read != HF_SNAPSHOT_RIGHT)
        return read;
    while ((read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT) {
        for (uint32_t i = 0; i < view.record_count; i++) {
            size_t length = strlen(lsns);
            snprintf(lsns + length, 256 - length, "%s%llu", length != 0 ? "," : "",
                     (unsigned long long)hf_get_u64(view.records + (size_t)i * HF_RECORD_BYTES));
        }
    }
    *finding = *hf_snapshot_finding(snapshot);
    hf_snapshot_close(snapshot);
    return read;
}

/* ---- vectors ---------------------------------------------------------------------------- */

/* The group of a file that was sealed anew is the same. */
static void check_group(const struct hf_vector *vector, const struct hf_snapshot_header *header)
{
    const uint8_t *right = vector->bytes + HF_SNAPSHOT_HEADER_BYTES;
    uint8_t *bytes = malloc(HF_SNAPSHOT_GROUP_BYTES);
    cr_assert_not_null(bytes);
    memset(bytes, 0xa5, HF_SNAPSHOT_GROUP_BYTES);
    size_t records_bytes = (size_t)header->records * HF_RECORD_BYTES;
    memcpy(bytes + HF_SNAPSHOT_GROUP_HEADER_BYTES, right + HF_SNAPSHOT_GROUP_HEADER_BYTES,
           records_bytes);
    struct hf_snapshot_group group = {.made_at_ns = header->made_at_ns,
                                      .offset = HF_SNAPSHOT_HEADER_BYTES,
                                      .record_count = (uint32_t)header->records};
    memcpy(group.log_id, header->log_id, sizeof(group.log_id));
    hf_snapshot_group_seal(bytes, &group);
    cr_expect_eq(group.header_hash, header->last_group_hash);
    cr_assert_eq(group.group_bytes, vector->byte_count - HF_SNAPSHOT_HEADER_BYTES);
    cr_expect_arr_eq(bytes, right, group.group_bytes);
    cr_expect_eq(bytes[group.group_bytes], 0xa5, "a byte behind the group");
    free(bytes);
}

static void check_vector(const struct hf_vector *vector)
{
    const char *name = hf_vector_text(vector, "name");
    struct hf_snapshot_header expected = {0}, found;
    cr_assert_eq(hf_vector_fill(vector, "", members, &expected), MEMBER_COUNT, "%s", name);
    expected.start.previous_hash = hf_vector_hash(vector, "start.previous_hash");
    expected.last_group_hash = hf_vector_hash(vector, "last_group_hash");

    uint8_t bytes[HF_SNAPSHOT_HEADER_BYTES];
    memset(bytes, 0xa5, sizeof(bytes));
    hf_snapshot_header_encode(bytes, &expected);
    cr_expect_arr_eq(bytes, vector->bytes, sizeof(bytes), "%s", name);
    cr_assert_eq(hf_snapshot_header_decode(vector->bytes, &found), HF_SNAPSHOT_VALID, "%s", name);
    cr_expect_null(hf_vector_difference(vector, "", members, &found), "%s", name);
    cr_expect_eq(found.start.previous_hash, expected.start.previous_hash);
    cr_expect_eq(found.last_group_hash, expected.last_group_hash);
    cr_expect_eq(found.file_bytes, vector->byte_count);
    if (found.groups != 0)
        check_group(vector, &found);

    char file_name[HF_SNAPSHOT_NAME_BYTES], lsns[256];
    hf_snapshot_name_format(expected.last_lsn, file_name);
    cr_expect_str_eq(file_name, hf_vector_text(vector, "file"));
    struct hf_snapshot_finding finding;
    put_file(file_name, vector->bytes, vector->byte_count);
    cr_expect_eq(read_file(file_name, lsns, &finding), HF_SNAPSHOT_END, "%s: %s", name,
                 finding.text);
    cr_expect_str_eq(lsns, hf_vector_text(vector, "record_lsns"));
    hf_memory_io_close(&disk);
}

Test(snapshot_header, vectors_are_encoded_decoded_and_read)
{
    /* Without a record, with some, of a log that a tool made, and with the largest numbers. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "snapshot", check_vector), 4);
}

/* The right ones, which the bad ones are made of. */
static struct {
    char name[HF_VECTOR_NAME_BYTES];
    uint8_t bytes[2 * HF_VECTOR_BYTES_MAX];
    size_t byte_count;
} rights[VECTORS_MAX];
static unsigned right_count;

static void keep_right(const struct hf_vector *vector)
{
    cr_assert_lt(right_count, VECTORS_MAX);
    snprintf(rights[right_count].name, HF_VECTOR_NAME_BYTES, "%s", hf_vector_text(vector, "name"));
    memcpy(rights[right_count].bytes, vector->bytes, vector->byte_count);
    rights[right_count++].byte_count = vector->byte_count;
}

/* Applies "offset:hex,offset:hex". */
static void change(uint8_t *bytes, size_t byte_count, const char *changes)
{
    while (*changes != '\0') {
        char *end;
        size_t at = strtoul(changes, &end, 10);
        cr_assert_eq(*end, ':');
        for (changes = end + 1; *changes != '\0' && *changes != ','; changes += 2, at++) {
            char digits[3] = {changes[0], changes[1], '\0'};
            cr_assert_lt(at, byte_count);
            cr_assert_eq(strspn(digits, "0123456789abcdef"), 2);
            bytes[at] = (uint8_t)strtoul(digits, NULL, 16);
        }
        changes += *changes == ',';
    }
}

/* The word of the finding that tells each fault. */
static const char *word_of(const char *fault)
{
    static const char *const words[][2] = {
        {"magic", "wrong magic"},
        {"header_hash", "a header with a wrong checksum"},
        {"newer_format", "it was written by a newer version"},
        {"header", "a header with an impossible field"},
        {"name", "found one up to LSN"},
        {"file_bytes", "expected a file of 8192 bytes"},
        {"log_id", "of another log"},
        {"made_at_ns", "of another snapshot"},
        {"place", "which belongs at"},
        {"previous_hash", "behind another group"},
        {"last_group_hash", "another last one"},
        {"record_count", "records instead of"},
        {"payload_hash", "records with a wrong checksum"},
        {"padding", "padding that is not zero"},
        {"record", "with a record"},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i][0], fault) == 0)
            return words[i][1];
    }
    cr_assert_fail("unknown fault %s", fault);
    return NULL;
}

static void check_bad_vector(const struct hf_vector *vector)
{
    const char *name = hf_vector_text(vector, "name"), *fault = hf_vector_text(vector, "fault");
    static uint8_t bytes[2 * HF_VECTOR_BYTES_MAX];
    unsigned of = 0;
    while (of < right_count && strcmp(rights[of].name, hf_vector_text(vector, "of")) != 0)
        of++;
    cr_assert_lt(of, right_count, "%s", name);
    memcpy(bytes, rights[of].bytes, sizeof(bytes));
    size_t byte_count = rights[of].byte_count;
    change(bytes, byte_count, hf_vector_text(vector, "changes"));
    if (hf_vector_find(vector, "size") != NULL)
        byte_count = (size_t)hf_vector_number(vector, "size");

    const char *file_name = hf_vector_text(vector, "file");
    char lsns[256];
    struct hf_snapshot_finding finding;
    put_file(file_name, bytes, byte_count);
    bool newer = strcmp(fault, "newer_format") == 0;
    cr_expect_eq(read_file(file_name, lsns, &finding),
                 newer ? HF_SNAPSHOT_NEWER : HF_SNAPSHOT_CORRUPT, "%s: %s", name, finding.text);
    cr_expect_not_null(strstr(finding.text, word_of(fault)), "%s: %s", name, finding.text);
    cr_expect_eq(finding.offset, hf_vector_number(vector, "offset"), "%s: %s", name, finding.text);
    cr_expect_str_eq(lsns, "", "%s: nothing of a damaged group is given", name);
    hf_memory_io_close(&disk);
}

Test(snapshot_header, vectors_of_what_is_no_right_snapshot_are_refused)
{
    /* Every rule of docs/log-format.md, broken alone. */
    hf_vectors_each(VECTORS_PATH, "snapshot", keep_right);
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "bad_snapshot", check_bad_vector), 48);
}

/* ---- limits ----------------------------------------------------------------------------- */

/* Of 5000 records: three groups. */
static struct hf_snapshot_header any_header(void)
{
    struct hf_snapshot_header header = {
        .log_id = {1},
        .epoch = 3,
        .last_lsn = 7000,
        .start = {.segment = 4, .epoch = 2, .sequence = 9, .previous_hash = 8, .next_lsn = 6000},
        .records = 5000,
        .inventories = 10,
        .made_at_ns = 99,
        .segment_bytes = 1 << 20,
        .origin_log_id = {2},
        .origin_last_lsn = 50,
        .last_group_hash = 5,
    };
    cr_assert(hf_snapshot_header_measure(&header));
    return header;
}

Test(snapshot_header, fields_at_their_limits_are_told_apart)
{
    /* Each limited field at its limits, and one beyond, under a right hash. */
    static const struct {
        unsigned at;
        uint64_t value;
        bool possible;
    } cases[] = {
        {32, 2, true},
        {32, 1, false},
        {32, UINT64_MAX, true},
        {40, 5999, true},
        {40, 5998, false},
        {40, 9999999999999999, true},
        {40, 10000000000000000, false},
        {40, UINT64_MAX, false},
        {48, 1, true},
        {48, 0, false},
        {48, 9999999999999999, true},
        {48, 10000000000000000, false},
        {56, 3, true},
        {56, 4, false},
        {56, 0, false},
        {64, 1, true},
        {64, 0, false},
        {72, 0, true},
        {72, UINT64_MAX, true},
        {80, 51, true},
        {80, 50, false},
        {80, 7001, true},
        {80, 7002, false},
        {80, 0, false},
        {80, UINT64_MAX, false},
        {88, UINT64_MAX, true},
        {96, 4990, true},
        {96, 4989, false},
        {96, 5021, true},
        {96, 5022, false},
        {96, 0, false},
        {96, UINT64_MAX, false},
        {96, UINT64_MAX / 128, false},
        {104, 5000, true},
        {104, 5001, false},
        {104, 0, true},
        {112, 2, false},
        {112, 4, false},
        {112, 0, false},
        {120, 4096, false},
        {120, 4096 + 3 * 262144, false},
        {120, UINT64_MAX, false},
        {128, 0, true},
        {136, 0, true},
        {144, UINT64_MAX, true},
        {152, 0, false},
        {152, (1 << 20) + 512, false},
        {152, (1ull << 32) - 4096, true},
        {152, 1ull << 32, false},
        {160, 0, false},
        {176, 5999, true},
        {176, 6000, false},
        {176, 0, true},
        {184, 0, true},
        {192, 1, false},
        {4080, 1ull << 56, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[HF_SNAPSHOT_HEADER_BYTES];
        struct hf_snapshot_header header = any_header(), found;
        hf_snapshot_header_encode(bytes, &header);
        cr_assert_eq(hf_snapshot_header_decode(bytes, &found), HF_SNAPSHOT_VALID);
        hf_put_u64(bytes + cases[i].at, cases[i].value);
        hf_put_u64(bytes + 4088, XXH3_64bits(bytes, 4088));
        memset(&found, 0xa5, sizeof(found));
        enum hf_snapshot_fault fault = hf_snapshot_header_decode(bytes, &found);
        cr_expect_eq(fault, cases[i].possible ? HF_SNAPSHOT_VALID : HF_SNAPSHOT_BAD_FIELD,
                     "case %zu: %s", i, hf_snapshot_fault_name(fault));
        if (!cases[i].possible)
            cr_expect_eq(found.records, 0xa5a5a5a5a5a5a5a5, "it is not filled in");
    }
}

Test(snapshot_header, a_log_without_an_id_is_refused)
{
    /* It would be its own origin. */
    uint8_t bytes[HF_SNAPSHOT_HEADER_BYTES];
    struct hf_snapshot_header header = any_header();
    memset(header.origin_log_id, 0, sizeof(header.origin_log_id));
    header.origin_last_lsn = 0;
    hf_snapshot_header_encode(bytes, &header);
    memset(bytes + 16, 0, 16);
    hf_put_u64(bytes + 4088, XXH3_64bits(bytes, 4088));
    cr_expect_eq(hf_snapshot_header_decode(bytes, &header), HF_SNAPSHOT_BAD_FIELD);
}

Test(snapshot_header, so_many_records_that_no_file_holds_them_are_refused)
{
    /* Numbers whose bytes would not fit in 64 bits, and the largest that is counted with. */
    struct hf_snapshot_header header = {.records = UINT64_MAX};
    cr_expect_not(hf_snapshot_header_measure(&header));
    header.records = UINT64_MAX / 256;
    cr_expect_not(hf_snapshot_header_measure(&header));
    header.records--;
    cr_expect(hf_snapshot_header_measure(&header));
    cr_expect_gt(header.file_bytes, header.records * 128);
    cr_expect_lt(header.file_bytes, header.records * 129);
}

Test(snapshot_header, every_flipped_bit_of_a_header_is_found)
{
    /* The file's header: each of its bits turned over once. */
    uint8_t bytes[HF_SNAPSHOT_HEADER_BYTES];
    struct hf_snapshot_header header = any_header(), found;
    hf_snapshot_header_encode(bytes, &header);
    for (size_t at = 0; at < sizeof(bytes); at++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] ^= (uint8_t)(1u << bit);
            cr_assert_eq(hf_snapshot_header_decode(bytes, &found),
                         at < 8 ? HF_SNAPSHOT_BAD_MAGIC : HF_SNAPSHOT_BAD_HASH, "byte %zu", at);
            bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
}

Test(snapshot_header, a_group_is_as_large_as_its_records)
{
    /* The counts around each step of 4096 bytes, and the largest. */
    cr_expect_eq(hf_snapshot_group_bytes(1), 4096);
    cr_expect_eq(hf_snapshot_group_bytes(31), 4096);
    cr_expect_eq(hf_snapshot_group_bytes(32), 8192);
    cr_expect_eq(hf_snapshot_group_bytes(2015), 258048);
    cr_expect_eq(hf_snapshot_group_bytes(2016), 262144);
    cr_expect_eq(hf_snapshot_group_bytes(2047), 262144);
}

Test(snapshot_header, numbers_of_records_of_a_group_are_limited)
{
    /* No record, one, as many as there may be, and one more; the size of the group fits them. */
    static const struct {
        uint32_t record_count;
        enum hf_snapshot_fault fault;
    } cases[] = {
        {0, HF_SNAPSHOT_BAD_FIELD},
        {1, HF_SNAPSHOT_VALID},
        {2047, HF_SNAPSHOT_VALID},
        {2048, HF_SNAPSHOT_BAD_FIELD},
    };
    uint8_t *bytes = calloc(1, HF_SNAPSHOT_GROUP_BYTES);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hf_snapshot_group group = {.record_count = 1}, found;
        hf_snapshot_group_seal(bytes, &group);
        hf_put_u32(bytes + 64, cases[i].record_count);
        hf_put_u32(bytes + 68, hf_snapshot_group_bytes(cases[i].record_count));
        hf_put_u64(bytes + 120, XXH3_64bits(bytes, 120));
        cr_expect_eq(hf_snapshot_group_read_header(bytes, &found), cases[i].fault, "%u records",
                     cases[i].record_count);
    }
    free(bytes);
}

Test(snapshot_header, names_of_other_files_are_no_snapshots)
{
    /* What may lie about in the directory of a log. */
    static const char *const names[] = {
        "",
        "lock",
        "snapshot.tmp",
        "0000000000000001",
        "0000000000000001.wal",
        "0000000000000001.snapshot.tmp",
        "0000000000000001.SNAPSHOT",
        "000000000000001.snapshot",
        "00000000000000001.snapshot",
        "000000000000000a.snapshot",
        " 000000000000001.snapshot",
        "-000000000000001.snapshot",
        "0000000000000001.snapshot ",
        "0000000000000001.snapsho",
    };
    uint64_t last_lsn;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cr_expect_not(hf_snapshot_name_parse(names[i], &last_lsn), "'%s'", names[i]);
    cr_expect(hf_snapshot_name_parse("0000000000000042.snapshot", &last_lsn) && last_lsn == 42);
    cr_expect(hf_snapshot_name_parse("0000000000000000.snapshot", &last_lsn) && last_lsn == 0);
    cr_expect(hf_snapshot_name_parse("9999999999999999.snapshot", &last_lsn) &&
              last_lsn == HF_SNAPSHOT_LSN_MAX);
    uint64_t segment;
    cr_expect_not(hf_segment_name_parse("0000000000000042.snapshot", &segment));
}
