/*
 * Blocks: what is sealed is read back, the vectors of docs/vectors/log-format.txt are right in both
 * directions, and no changed byte goes unnoticed.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "holdfast/types.h"
#include "tests/lib/vectors.h"
#include "wal/block.h"

#define VECTORS_PATH "docs/vectors/log-format.txt"

static uint8_t *new_block_bytes(void)
{
    uint8_t *bytes = aligned_alloc(HF_BLOCK_ALIGN_BYTES, HF_MAX_BLOCK_BYTES);
    cr_assert_not_null(bytes);
    memset(bytes, 0xa5, HF_MAX_BLOCK_BYTES); /* as a buffer is that was used before */
    return bytes;
}

static struct hf_block sealed(uint8_t *bytes, uint32_t record_count)
{
    struct hf_block block = {
        .flags = HF_BLOCK_START,
        .log_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
        .epoch = 3,
        .sequence = 9,
        .previous_hash = 0x1122334455667788,
        .first_lsn = 1000,
        .record_count = record_count,
        .commit_lsn = 990,
        .commit_sequence = 7,
        .segment = 2,
        .offset = 8192,
        .written_at_ns = 1767323045000000006,
    };
    for (uint32_t i = 0; i < record_count; i++) {
        uint8_t *record = bytes + HF_BLOCK_HEADER_BYTES + (size_t)i * HF_RECORD_BYTES;
        hf_put_u64(record, block.first_lsn + i);
        memset(record + HF_RECORD_IMAGE, (int)(i & 0xff), HF_RECORD_IMAGE_BYTES);
    }
    hf_block_seal(bytes, &block);
    return block;
}

static enum hf_block_fault fault_of(const uint8_t *bytes)
{
    struct hf_block block;
    enum hf_block_fault fault = hf_block_read_header(bytes, &block);
    return fault != HF_BLOCK_VALID ? fault : hf_block_check_payload(bytes, &block);
}

Test(block, bytes_of_a_block_are_header_records_and_padding)
{
    /* The counts around each step of 4096 bytes, and the largest. */
    cr_expect_eq(hf_block_bytes(0), 4096);
    cr_expect_eq(hf_block_bytes(1), 4096);
    cr_expect_eq(hf_block_bytes(31), 4096);
    cr_expect_eq(hf_block_bytes(32), 8192);
    cr_expect_eq(hf_block_bytes(63), 8192);
    cr_expect_eq(hf_block_bytes(64), 12288);
    cr_expect_eq(hf_block_bytes(HF_MAX_BLOCK_RECORDS), HF_MAX_BLOCK_BYTES);
}

Test(block, what_is_sealed_is_read_back)
{
    /* Blocks without padding and with much, sealed in a buffer full of old bytes. */
    static const uint32_t counts[] = {0, 1, 2, 30, 31, 32, 8190, 8191};
    uint8_t *bytes = new_block_bytes();
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct hf_block expected = sealed(bytes, counts[i]);
        struct hf_block found;
        memset(&found, 0, sizeof(found));
        cr_assert_eq(hf_block_read_header(bytes, &found), HF_BLOCK_VALID);
        cr_assert_eq(hf_block_check_payload(bytes, &found), HF_BLOCK_VALID);
        cr_expect_eq(found.flags, expected.flags);
        cr_expect_arr_eq(found.log_id, expected.log_id, sizeof(found.log_id));
        cr_expect_eq(found.epoch, expected.epoch);
        cr_expect_eq(found.sequence, expected.sequence);
        cr_expect_eq(found.previous_hash, expected.previous_hash);
        cr_expect_eq(found.first_lsn, expected.first_lsn);
        cr_expect_eq(found.record_count, counts[i]);
        cr_expect_eq(found.block_bytes, hf_block_bytes(counts[i]));
        cr_expect_eq(expected.block_bytes, found.block_bytes);
        cr_expect_eq(found.commit_lsn, expected.commit_lsn);
        cr_expect_eq(found.commit_sequence, expected.commit_sequence);
        cr_expect_eq(found.segment, expected.segment);
        cr_expect_eq(found.offset, expected.offset);
        cr_expect_eq(found.written_at_ns, expected.written_at_ns);
        cr_expect_eq(found.payload_hash, expected.payload_hash);
        cr_expect_eq(found.header_hash, expected.header_hash);
    }
    free(bytes);
}

Test(block, sealing_writes_no_byte_behind_the_block)
{
    /* A block of one record: what stands behind its 4096 bytes is not the block's. */
    uint8_t *bytes = new_block_bytes();
    sealed(bytes, 1);
    cr_expect_eq(bytes[4095], 0);
    cr_expect_eq(bytes[4096], 0xa5);
    free(bytes);
}

Test(block, every_flipped_bit_is_found)
{
    /* A block of two records with padding; each bit of its 4096 bytes is turned over once. */
    uint8_t *bytes = new_block_bytes();
    sealed(bytes, 2);
    for (size_t at = 0; at < 4096; at++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] ^= (uint8_t)(1u << bit);
            enum hf_block_fault fault = fault_of(bytes);
            enum hf_block_fault expected = at < 8               ? HF_BLOCK_BAD_MAGIC
                                           : at < 128           ? HF_BLOCK_BAD_HEADER_HASH
                                           : at < 128 + 2 * 128 ? HF_BLOCK_BAD_PAYLOAD_HASH
                                                                : HF_BLOCK_BAD_PADDING;
            cr_assert_eq(fault, expected, "byte %zu bit %d: %s", at, bit,
                         hf_block_fault_name(fault));
            bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
    cr_expect_eq(fault_of(bytes), HF_BLOCK_VALID);
    free(bytes);
}

Test(block, zeros_are_told_from_other_bytes)
{
    /* 128 bytes of zero, and with only the last one set. */
    uint8_t bytes[HF_BLOCK_HEADER_BYTES] = {0};
    struct hf_block block;
    cr_expect_eq(hf_block_read_header(bytes, &block), HF_BLOCK_EMPTY);
    bytes[127] = 1;
    cr_expect_eq(hf_block_read_header(bytes, &block), HF_BLOCK_BAD_MAGIC);
}

Test(block, every_fault_has_a_text_of_its_own)
{
    /* All faults, against each other. */
    for (int a = HF_BLOCK_VALID; a <= HF_BLOCK_BAD_LSN; a++) {
        for (int b = HF_BLOCK_VALID; b < a; b++)
            cr_expect_str_neq(hf_block_fault_name((enum hf_block_fault)a),
                              hf_block_fault_name((enum hf_block_fault)b));
    }
}

static struct hf_block block_of(const struct hf_vector *vector)
{
    struct hf_block block = {
        .flags = (uint16_t)hf_vector_number(vector, "flags"),
        .epoch = hf_vector_number(vector, "epoch"),
        .sequence = hf_vector_number(vector, "sequence"),
        .previous_hash = hf_vector_hash(vector, "previous_hash"),
        .first_lsn = hf_vector_number(vector, "first_lsn"),
        .record_count = (uint32_t)hf_vector_number(vector, "record_count"),
        .commit_lsn = hf_vector_number(vector, "commit_lsn"),
        .commit_sequence = hf_vector_number(vector, "commit_sequence"),
        .segment = hf_vector_number(vector, "segment"),
        .offset = (uint32_t)hf_vector_number(vector, "offset"),
        .written_at_ns = hf_vector_number(vector, "written_at_ns"),
    };
    struct hf_id log_id;
    cr_assert(hf_id_parse(hf_vector_text(vector, "log_id"), &log_id));
    memcpy(block.log_id, log_id.bytes, sizeof(block.log_id));
    return block;
}

static void check_vector(const struct hf_vector *vector)
{
    const char *name = hf_vector_text(vector, "name");
    struct hf_block block = block_of(vector);
    uint8_t *bytes = new_block_bytes();
    memcpy(bytes + HF_BLOCK_HEADER_BYTES, vector->bytes + HF_BLOCK_HEADER_BYTES,
           (size_t)block.record_count * HF_RECORD_BYTES);
    hf_block_seal(bytes, &block);
    cr_expect_eq(block.block_bytes, hf_vector_number(vector, "block_bytes"), "%s", name);
    cr_expect_eq(block.payload_hash, hf_vector_hash(vector, "payload_hash"), "%s", name);
    cr_expect_eq(block.header_hash, hf_vector_hash(vector, "header_hash"), "%s", name);
    cr_assert_eq(vector->byte_count, block.block_bytes, "%s", name);
    cr_expect_arr_eq(bytes, vector->bytes, block.block_bytes, "%s", name);
    cr_expect_eq(fault_of(vector->bytes), HF_BLOCK_VALID, "%s", name);
    free(bytes);
}

Test(block, vectors_are_sealed_and_read)
{
    /* Blocks that were made from the format's description by another program. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "block", check_vector), 4);
}

static void check_bad_vector(const struct hf_vector *vector)
{
    static const struct {
        const char *name;
        enum hf_block_fault fault;
    } faults[] = {
        {"magic", HF_BLOCK_BAD_MAGIC},     {"header_hash", HF_BLOCK_BAD_HEADER_HASH},
        {"header", HF_BLOCK_BAD_HEADER},   {"newer_format", HF_BLOCK_NEWER_FORMAT},
        {"padding", HF_BLOCK_BAD_PADDING}, {"payload_hash", HF_BLOCK_BAD_PAYLOAD_HASH},
        {"lsn", HF_BLOCK_BAD_LSN},
    };
    size_t i = 0;
    while (strcmp(faults[i].name, hf_vector_text(vector, "fault")) != 0)
        cr_assert_lt(++i, sizeof(faults) / sizeof(faults[0]));
    cr_expect_eq(fault_of(vector->bytes), faults[i].fault, "%s: %s", hf_vector_text(vector, "name"),
                 hf_block_fault_name(fault_of(vector->bytes)));
}

Test(block, vectors_of_what_is_no_block_are_refused)
{
    /* Blocks with one thing wrong, the header's hash being right where it is not the thing. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "bad_block", check_bad_vector), 9);
}

/* The header fields that rules 1, 4 and 6 limit, each beyond its limit under a right hash. */
Test(block, impossible_header_fields_are_refused)
{
    static const struct {
        unsigned offset, bytes;
        uint64_t value;
    } fields[] = {
        {10, 2, 129},  {10, 2, 0},    {12, 2, 64},         {14, 2, 8},    {14, 2, 0x8000},
        {64, 4, 8192}, {64, 4, 32},   {64, 4, UINT32_MAX}, {68, 4, 8192}, {68, 4, 0},
        {68, 4, 4095}, {72, 8, 1000}, {72, 8, UINT64_MAX}, {80, 8, 9},    {100, 4, 1},
    };
    uint8_t *bytes = new_block_bytes();
    sealed(bytes, 2);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        uint8_t header[HF_BLOCK_HEADER_BYTES], value[8];
        memcpy(header, bytes, sizeof(header));
        hf_put_u64(value, fields[i].value);
        memcpy(header + fields[i].offset, value, fields[i].bytes);
        struct hf_block block;
        cr_expect_eq(hf_block_read_header(header, &block), HF_BLOCK_BAD_HEADER_HASH);
        hf_put_u64(header + 120, XXH3_64bits(header, 120));
        cr_expect_eq(hf_block_read_header(header, &block), HF_BLOCK_BAD_HEADER, "offset %u",
                     fields[i].offset);
    }
    free(bytes);
}
