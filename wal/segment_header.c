/* The names and heads of segments: the byte table at the top of segment_header.h, in code. */
#include "wal/segment_header.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/block.h"
#include "wal/file_name.h"

enum {
    OFFSET_MAGIC = 0,
    OFFSET_FORMAT = 8,
    OFFSET_HEADER_BYTES = 10,
    OFFSET_ZERO = 12,
    OFFSET_LOG_ID = 16,
    OFFSET_NUMBER = 32,
    OFFSET_SEGMENT_BYTES = 40,
    OFFSET_CREATED_AT_NS = 48,
    OFFSET_REST = 56,
    OFFSET_HEADER_HASH = 4088,
};

_Static_assert(OFFSET_HEADER_HASH + 8 == HF_SEGMENT_HEADER_BYTES, "the header ends with its hash");
_Static_assert(HF_SEGMENT_HEADER_BYTES % HF_BLOCK_ALIGN_BYTES == 0, "blocks start aligned");

#define NAME_SUFFIX ".wal"

_Static_assert(HF_SEGMENT_NAME_BYTES == HF_FILE_NUMBER_DIGITS + sizeof(NAME_SUFFIX),
               "a name has room");
_Static_assert(HF_SEGMENT_NUMBER_MAX == HF_FILE_NUMBER_MAX, "each number has a name");

void hf_segment_name_format(uint64_t segment, char name[HF_SEGMENT_NAME_BYTES])
{
    HF_CHECK(segment >= 1);
    hf_file_name_format(segment, NAME_SUFFIX, name);
}

bool hf_segment_name_parse(const char *name, uint64_t *segment)
{
    uint64_t number;
    if (!hf_file_name_parse(name, NAME_SUFFIX, &number) || number == 0)
        return false;
    *segment = number;
    return true;
}

bool hf_segment_bytes_valid(uint64_t segment_bytes)
{
    return segment_bytes >= HF_SEGMENT_BYTES_MIN && segment_bytes <= HF_SEGMENT_BYTES_MAX &&
           segment_bytes % HF_BLOCK_ALIGN_BYTES == 0;
}

void hf_segment_header_encode(uint8_t *bytes, const struct hf_segment_header *header)
{
    HF_CHECK(header->number >= 1 && header->number <= HF_SEGMENT_NUMBER_MAX);
    HF_CHECK(hf_segment_bytes_valid(header->segment_bytes));
    memset(bytes, 0, HF_SEGMENT_HEADER_BYTES);
    hf_put_u64(bytes + OFFSET_MAGIC, HF_SEGMENT_MAGIC);
    hf_put_u16(bytes + OFFSET_FORMAT, HF_LOG_FORMAT);
    hf_put_u16(bytes + OFFSET_HEADER_BYTES, HF_SEGMENT_HEADER_BYTES);
    memcpy(bytes + OFFSET_LOG_ID, header->log_id, sizeof(header->log_id));
    hf_put_u64(bytes + OFFSET_NUMBER, header->number);
    hf_put_u64(bytes + OFFSET_SEGMENT_BYTES, header->segment_bytes);
    hf_put_u64(bytes + OFFSET_CREATED_AT_NS, header->created_at_ns);
    hf_put_u64(bytes + OFFSET_HEADER_HASH, XXH3_64bits(bytes, OFFSET_HEADER_HASH));
}

const char *hf_segment_fault_name(enum hf_segment_fault fault)
{
    switch (fault) {
    case HF_SEGMENT_VALID:
        return "a valid segment header";
    case HF_SEGMENT_EMPTY:
        return "zeros";
    case HF_SEGMENT_BAD_MAGIC:
        return "bytes that are no segment header (wrong magic)";
    case HF_SEGMENT_BAD_HASH:
        return "a segment header with a wrong checksum";
    case HF_SEGMENT_NEWER_FORMAT:
        return "a segment of a format that this version does not know";
    case HF_SEGMENT_BAD_FIELD:
        return "a segment header with an impossible field";
    }
    return "an unknown fault";
}

/* As with blocks, the hash comes before the format: a damaged byte is not a newer version. */
enum hf_segment_fault hf_segment_header_decode(const uint8_t *bytes,
                                               struct hf_segment_header *header)
{
    if (hf_get_u64(bytes + OFFSET_MAGIC) != HF_SEGMENT_MAGIC)
        return hf_all_zero(bytes, HF_SEGMENT_HEADER_BYTES) ? HF_SEGMENT_EMPTY
                                                           : HF_SEGMENT_BAD_MAGIC;
    if (hf_get_u64(bytes + OFFSET_HEADER_HASH) != XXH3_64bits(bytes, OFFSET_HEADER_HASH))
        return HF_SEGMENT_BAD_HASH;
    if (hf_get_u16(bytes + OFFSET_FORMAT) > HF_LOG_FORMAT)
        return HF_SEGMENT_NEWER_FORMAT;

    struct hf_segment_header found = {
        .number = hf_get_u64(bytes + OFFSET_NUMBER),
        .segment_bytes = hf_get_u64(bytes + OFFSET_SEGMENT_BYTES),
        .created_at_ns = hf_get_u64(bytes + OFFSET_CREATED_AT_NS),
    };
    memcpy(found.log_id, bytes + OFFSET_LOG_ID, sizeof(found.log_id));
    bool possible = hf_get_u16(bytes + OFFSET_FORMAT) == HF_LOG_FORMAT &&
                    hf_get_u16(bytes + OFFSET_HEADER_BYTES) == HF_SEGMENT_HEADER_BYTES &&
                    hf_get_u32(bytes + OFFSET_ZERO) == 0 &&
                    hf_all_zero(bytes + OFFSET_REST, OFFSET_HEADER_HASH - OFFSET_REST) &&
                    found.number >= 1 && found.number <= HF_SEGMENT_NUMBER_MAX &&
                    hf_segment_bytes_valid(found.segment_bytes);
    if (!possible)
        return HF_SEGMENT_BAD_FIELD;
    *header = found;
    return HF_SEGMENT_VALID;
}
