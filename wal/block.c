/*
 * Blocks: sealing them on the write side, judging them on the read side.
 *
 * The two sides share the byte table at the top of block.h and nothing else: what
 * hf_block_read_header() and hf_block_check_payload() accept is what hf_block_seal() writes, and a
 * reader asks them for every block. Rule 3 (log_id, segment, offset are where the block was read)
 * is the reader's, as only it knows where it read.
 *
 * The header hash is checked before the format: whatever a later format adds, it keeps magic,
 * format and header_hash where they are, so that "written by a newer version" is never concluded
 * from a damaged byte.
 */
#include "wal/block.h"

#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> /* XXH3 as wide as this processor has it: half the time on cold bytes */
#else
#include <xxhash.h>
#endif

#include "base/bytes.h"
#include "base/check.h"

enum {
    OFFSET_MAGIC = 0,
    OFFSET_FORMAT = 8,
    OFFSET_HEADER_BYTES = 10,
    OFFSET_RECORD_BYTES = 12,
    OFFSET_FLAGS = 14,
    OFFSET_LOG_ID = 16,
    OFFSET_EPOCH = 32,
    OFFSET_SEQUENCE = 40,
    OFFSET_PREVIOUS_HASH = 48,
    OFFSET_FIRST_LSN = 56,
    OFFSET_RECORD_COUNT = 64,
    OFFSET_BLOCK_BYTES = 68,
    OFFSET_COMMIT_LSN = 72,
    OFFSET_COMMIT_SEQUENCE = 80,
    OFFSET_SEGMENT = 88,
    OFFSET_OFFSET = 96,
    OFFSET_ZERO = 100,
    OFFSET_WRITTEN_AT_NS = 104,
    OFFSET_PAYLOAD_HASH = 112,
    OFFSET_HEADER_HASH = 120,
};

_Static_assert(OFFSET_HEADER_HASH + 8 == HF_BLOCK_HEADER_BYTES, "the header ends with its hash");
_Static_assert(HF_BLOCK_HEADER_BYTES == HF_RECORD_BYTES, "the header takes one record's place");
_Static_assert(HF_MAX_BLOCK_RECORDS == 8191, "as the format says");
_Static_assert(HF_MAX_BLOCK_BYTES % HF_BLOCK_ALIGN_BYTES == 0, "blocks are aligned");

#define KNOWN_FLAGS (HF_BLOCK_START | HF_BLOCK_STOP | HF_BLOCK_ATTEST)

/* Header and records, without the padding. */
static uint32_t used_bytes(uint32_t record_count)
{
    return HF_BLOCK_HEADER_BYTES + record_count * HF_RECORD_BYTES;
}

uint32_t hf_block_bytes(uint32_t record_count)
{
    return (used_bytes(record_count) + HF_BLOCK_ALIGN_BYTES - 1) &
           ~(uint32_t)(HF_BLOCK_ALIGN_BYTES - 1);
}

/* Of the records at `bytes` + 128; 0 if there is none. */
static uint64_t payload_hash(const uint8_t *bytes, uint32_t record_count)
{
    if (record_count == 0)
        return 0;
    return XXH3_64bits(bytes + HF_BLOCK_HEADER_BYTES, (size_t)record_count * HF_RECORD_BYTES);
}

/* One pass over the records, for their hash; each byte of header and padding is written once. */
void hf_block_seal(uint8_t *bytes, struct hf_block *block)
{
    HF_CHECK(block->record_count <= HF_MAX_BLOCK_RECORDS);
    HF_CHECK((block->flags & ~KNOWN_FLAGS) == 0 && block->epoch != 0);
    HF_CHECK(block->commit_lsn < block->first_lsn && block->commit_sequence < block->sequence);

    uint32_t used = used_bytes(block->record_count);
    block->block_bytes = hf_block_bytes(block->record_count);
    block->payload_hash = payload_hash(bytes, block->record_count);
    memset(bytes + used, 0, block->block_bytes - used);

    hf_put_u64(bytes + OFFSET_MAGIC, HF_BLOCK_MAGIC);
    hf_put_u16(bytes + OFFSET_FORMAT, HF_LOG_FORMAT);
    hf_put_u16(bytes + OFFSET_HEADER_BYTES, HF_BLOCK_HEADER_BYTES);
    hf_put_u16(bytes + OFFSET_RECORD_BYTES, HF_RECORD_BYTES);
    hf_put_u16(bytes + OFFSET_FLAGS, block->flags);
    memcpy(bytes + OFFSET_LOG_ID, block->log_id, sizeof(block->log_id));
    hf_put_u64(bytes + OFFSET_EPOCH, block->epoch);
    hf_put_u64(bytes + OFFSET_SEQUENCE, block->sequence);
    hf_put_u64(bytes + OFFSET_PREVIOUS_HASH, block->previous_hash);
    hf_put_u64(bytes + OFFSET_FIRST_LSN, block->first_lsn);
    hf_put_u32(bytes + OFFSET_RECORD_COUNT, block->record_count);
    hf_put_u32(bytes + OFFSET_BLOCK_BYTES, block->block_bytes);
    hf_put_u64(bytes + OFFSET_COMMIT_LSN, block->commit_lsn);
    hf_put_u64(bytes + OFFSET_COMMIT_SEQUENCE, block->commit_sequence);
    hf_put_u64(bytes + OFFSET_SEGMENT, block->segment);
    hf_put_u32(bytes + OFFSET_OFFSET, block->offset);
    hf_put_u32(bytes + OFFSET_ZERO, 0);
    hf_put_u64(bytes + OFFSET_WRITTEN_AT_NS, block->written_at_ns);
    hf_put_u64(bytes + OFFSET_PAYLOAD_HASH, block->payload_hash);
    block->header_hash = XXH3_64bits(bytes, OFFSET_HEADER_HASH);
    hf_put_u64(bytes + OFFSET_HEADER_HASH, block->header_hash);
}

const char *hf_block_fault_name(enum hf_block_fault fault)
{
    switch (fault) {
    case HF_BLOCK_VALID:
        return "a valid block";
    case HF_BLOCK_EMPTY:
        return "zeros";
    case HF_BLOCK_BAD_MAGIC:
        return "bytes that are no block (wrong magic)";
    case HF_BLOCK_BAD_HEADER_HASH:
        return "a block header with a wrong checksum";
    case HF_BLOCK_NEWER_FORMAT:
        return "a block of a format that this version does not know";
    case HF_BLOCK_BAD_HEADER:
        return "a block header with an impossible field";
    case HF_BLOCK_BAD_PAYLOAD_HASH:
        return "a block whose records have a wrong checksum";
    case HF_BLOCK_BAD_PADDING:
        return "a block whose padding is not zero";
    case HF_BLOCK_BAD_LSN:
        return "a block with a record whose LSN is not its position";
    }
    return "an unknown fault";
}

static void decode_fields(const uint8_t *bytes, struct hf_block *block)
{
    block->flags = hf_get_u16(bytes + OFFSET_FLAGS);
    memcpy(block->log_id, bytes + OFFSET_LOG_ID, sizeof(block->log_id));
    block->epoch = hf_get_u64(bytes + OFFSET_EPOCH);
    block->sequence = hf_get_u64(bytes + OFFSET_SEQUENCE);
    block->previous_hash = hf_get_u64(bytes + OFFSET_PREVIOUS_HASH);
    block->first_lsn = hf_get_u64(bytes + OFFSET_FIRST_LSN);
    block->record_count = hf_get_u32(bytes + OFFSET_RECORD_COUNT);
    block->block_bytes = hf_get_u32(bytes + OFFSET_BLOCK_BYTES);
    block->commit_lsn = hf_get_u64(bytes + OFFSET_COMMIT_LSN);
    block->commit_sequence = hf_get_u64(bytes + OFFSET_COMMIT_SEQUENCE);
    block->segment = hf_get_u64(bytes + OFFSET_SEGMENT);
    block->offset = hf_get_u32(bytes + OFFSET_OFFSET);
    block->written_at_ns = hf_get_u64(bytes + OFFSET_WRITTEN_AT_NS);
    block->payload_hash = hf_get_u64(bytes + OFFSET_PAYLOAD_HASH);
    block->header_hash = hf_get_u64(bytes + OFFSET_HEADER_HASH);
}

enum hf_block_fault hf_block_read_header(const uint8_t *bytes, struct hf_block *block)
{
    if (hf_get_u64(bytes + OFFSET_MAGIC) != HF_BLOCK_MAGIC)
        return hf_all_zero(bytes, HF_BLOCK_HEADER_BYTES) ? HF_BLOCK_EMPTY : HF_BLOCK_BAD_MAGIC;
    if (hf_get_u64(bytes + OFFSET_HEADER_HASH) != XXH3_64bits(bytes, OFFSET_HEADER_HASH))
        return HF_BLOCK_BAD_HEADER_HASH;
    if (hf_get_u16(bytes + OFFSET_FORMAT) > HF_LOG_FORMAT)
        return HF_BLOCK_NEWER_FORMAT;

    decode_fields(bytes, block);
    bool possible =
        hf_get_u16(bytes + OFFSET_FORMAT) == HF_LOG_FORMAT &&
        hf_get_u16(bytes + OFFSET_HEADER_BYTES) == HF_BLOCK_HEADER_BYTES &&
        hf_get_u16(bytes + OFFSET_RECORD_BYTES) == HF_RECORD_BYTES &&
        (block->flags & ~KNOWN_FLAGS) == 0 && block->epoch != 0 &&
        hf_get_u32(bytes + OFFSET_ZERO) == 0 && block->record_count <= HF_MAX_BLOCK_RECORDS &&
        block->block_bytes == hf_block_bytes(block->record_count) &&
        block->commit_lsn < block->first_lsn && block->commit_sequence < block->sequence;
    return possible ? HF_BLOCK_VALID : HF_BLOCK_BAD_HEADER;
}

enum hf_block_fault hf_block_check_payload(const uint8_t *bytes, const struct hf_block *block)
{
    uint32_t used = used_bytes(block->record_count);
    if (payload_hash(bytes, block->record_count) != block->payload_hash)
        return HF_BLOCK_BAD_PAYLOAD_HASH;
    if (!hf_all_zero(bytes + used, block->block_bytes - used))
        return HF_BLOCK_BAD_PADDING;
    const uint8_t *record = bytes + HF_BLOCK_HEADER_BYTES;
    for (uint32_t index = 0; index < block->record_count; index++, record += HF_RECORD_BYTES) {
        if (hf_get_u64(record) != block->first_lsn + index)
            return HF_BLOCK_BAD_LSN;
    }
    return HF_BLOCK_VALID;
}
