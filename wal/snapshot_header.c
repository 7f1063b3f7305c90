/* Snapshots in bytes: the tables and rules at the top of snapshot_header.h, in code. */
#include "wal/snapshot_header.h"

#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/block.h"
#include "wal/file_name.h"
#include "wal/segment_header.h"

enum {
    OFFSET_MAGIC = 0,
    OFFSET_FORMAT = 8,
    OFFSET_HEADER_BYTES = 10,
    OFFSET_RECORD_BYTES = 12,
    OFFSET_ZERO = 14,
    OFFSET_LOG_ID = 16,
    OFFSET_EPOCH = 32,
    OFFSET_LAST_LSN = 40,
    OFFSET_START_SEGMENT = 48,
    OFFSET_START_EPOCH = 56,
    OFFSET_START_SEQUENCE = 64,
    OFFSET_START_PREVIOUS_HASH = 72,
    OFFSET_START_NEXT_LSN = 80,
    OFFSET_START_WRITTEN_AT_NS = 88,
    OFFSET_RECORDS = 96,
    OFFSET_INVENTORIES = 104,
    OFFSET_GROUPS = 112,
    OFFSET_FILE_BYTES = 120,
    OFFSET_MADE_AT_NS = 128,
    OFFSET_LOG_TIME_NS = 136,
    OFFSET_RETAIN_NS = 144,
    OFFSET_SEGMENT_BYTES = 152,
    OFFSET_ORIGIN_LOG_ID = 160,
    OFFSET_ORIGIN_LAST_LSN = 176,
    OFFSET_LAST_GROUP_HASH = 184,
    OFFSET_REST = 192,
    OFFSET_HEADER_HASH = 4088,
};

/* The first four fields of a group are as above. */
enum {
    GROUP_LOG_ID = 16,
    GROUP_MADE_AT_NS = 32,
    GROUP_INDEX = 40,
    GROUP_OFFSET = 48,
    GROUP_PREVIOUS_HASH = 56,
    GROUP_RECORD_COUNT = 64,
    GROUP_GROUP_BYTES = 68,
    GROUP_REST = 72,
    GROUP_PAYLOAD_HASH = 112,
    GROUP_HEADER_HASH = 120,
};

_Static_assert(OFFSET_HEADER_HASH + 8 == HF_SNAPSHOT_HEADER_BYTES, "the header ends with its hash");
_Static_assert(GROUP_HEADER_HASH + 8 == HF_SNAPSHOT_GROUP_HEADER_BYTES, "so does a group's");
_Static_assert(HF_SNAPSHOT_HEADER_BYTES % HF_BLOCK_ALIGN_BYTES == 0, "groups start aligned");
_Static_assert(HF_SNAPSHOT_GROUP_BYTES % HF_BLOCK_ALIGN_BYTES == 0, "all of them");
_Static_assert(HF_SNAPSHOT_GROUP_RECORDS == 2047, "as the format says");
_Static_assert(HF_SNAPSHOT_LSN_MAX == HF_FILE_NUMBER_MAX, "each LSN has a name");

#define NAME_SUFFIX ".snapshot"

_Static_assert(HF_SNAPSHOT_NAME_BYTES == HF_FILE_NUMBER_DIGITS + sizeof(NAME_SUFFIX),
               "a name has room");

void hf_snapshot_name_format(uint64_t last_lsn, char name[HF_SNAPSHOT_NAME_BYTES])
{
    hf_file_name_format(last_lsn, NAME_SUFFIX, name);
}

bool hf_snapshot_name_parse(const char *name, uint64_t *last_lsn)
{
    return hf_file_name_parse(name, NAME_SUFFIX, last_lsn);
}

const char *hf_snapshot_fault_name(enum hf_snapshot_fault fault)
{
    switch (fault) {
    case HF_SNAPSHOT_VALID:
        return "what should be there";
    case HF_SNAPSHOT_EMPTY:
        return "zeros";
    case HF_SNAPSHOT_BAD_MAGIC:
        return "other bytes (wrong magic)";
    case HF_SNAPSHOT_BAD_HASH:
        return "a header with a wrong checksum";
    case HF_SNAPSHOT_NEWER_FORMAT:
        return "a header of a format that this version does not know";
    case HF_SNAPSHOT_BAD_FIELD:
        return "a header with an impossible field";
    case HF_SNAPSHOT_BAD_PAYLOAD_HASH:
        return "records with a wrong checksum";
    case HF_SNAPSHOT_BAD_PADDING:
        return "padding that is not zero";
    }
    return "an unknown fault";
}

/* What both kinds of headers begin with. */
static void put_beginning(uint8_t *bytes, uint64_t magic, uint16_t header_bytes)
{
    hf_put_u64(bytes + OFFSET_MAGIC, magic);
    hf_put_u16(bytes + OFFSET_FORMAT, HF_SNAPSHOT_FORMAT);
    hf_put_u16(bytes + OFFSET_HEADER_BYTES, header_bytes);
    hf_put_u16(bytes + OFFSET_RECORD_BYTES, HF_RECORD_BYTES);
}

/* Judges that, and the hash that both end with; the hash before the format. */
static enum hf_snapshot_fault judge_beginning(const uint8_t *bytes, uint64_t magic,
                                              uint16_t header_bytes)
{
    if (hf_get_u64(bytes + OFFSET_MAGIC) != magic)
        return hf_all_zero(bytes, header_bytes) ? HF_SNAPSHOT_EMPTY : HF_SNAPSHOT_BAD_MAGIC;
    size_t hashed_bytes = header_bytes - sizeof(uint64_t);
    if (hf_get_u64(bytes + hashed_bytes) != XXH3_64bits(bytes, hashed_bytes))
        return HF_SNAPSHOT_BAD_HASH;
    if (hf_get_u16(bytes + OFFSET_FORMAT) > HF_SNAPSHOT_FORMAT)
        return HF_SNAPSHOT_NEWER_FORMAT;
    bool possible = hf_get_u16(bytes + OFFSET_FORMAT) == HF_SNAPSHOT_FORMAT &&
                    hf_get_u16(bytes + OFFSET_HEADER_BYTES) == header_bytes &&
                    hf_get_u16(bytes + OFFSET_RECORD_BYTES) == HF_RECORD_BYTES &&
                    hf_get_u16(bytes + OFFSET_ZERO) == 0;
    return possible ? HF_SNAPSHOT_VALID : HF_SNAPSHOT_BAD_FIELD;
}

/* ---- the file's header ------------------------------------------------------------------ */

bool hf_snapshot_header_measure(struct hf_snapshot_header *header)
{
    /* No sum below passes 2^64: a record takes less than 256 bytes, but for the first and last. */
    if (header->records >= UINT64_MAX / 256)
        return false;
    uint64_t full = header->records / HF_SNAPSHOT_GROUP_RECORDS;
    uint32_t rest = (uint32_t)(header->records % HF_SNAPSHOT_GROUP_RECORDS);
    header->groups = full + (rest != 0);
    header->file_bytes = HF_SNAPSHOT_HEADER_BYTES + full * HF_SNAPSHOT_GROUP_BYTES +
                         (rest != 0 ? hf_snapshot_group_bytes(rest) : 0);
    return true;
}

/* Rule 4. */
static bool start_is_possible(const struct hf_snapshot_header *header)
{
    const struct hf_log_start *start = &header->start;
    return header->last_lsn <= HF_SNAPSHOT_LSN_MAX && start->segment >= 1 &&
           start->segment <= HF_SEGMENT_NUMBER_MAX && start->next_lsn >= 1 &&
           start->next_lsn <= header->last_lsn + 1 && start->epoch <= header->epoch &&
           (start->sequence == 0) == (start->epoch == 0) &&
           (start->sequence != 0 || start->previous_hash == 0);
}

/* Rule 5. */
static bool counts_are_possible(const struct hf_snapshot_header *header)
{
    struct hf_snapshot_header measured = {.records = header->records};
    return hf_snapshot_header_measure(&measured) && header->groups == measured.groups &&
           header->file_bytes == measured.file_bytes && header->inventories <= header->records &&
           (header->groups != 0 || header->last_group_hash == 0) &&
           hf_segment_bytes_valid(header->segment_bytes);
}

/* Rule 6. */
static bool origin_is_possible(const struct hf_snapshot_header *header)
{
    bool has_origin = !hf_all_zero(header->origin_log_id, sizeof(header->origin_log_id));
    return memcmp(header->origin_log_id, header->log_id, sizeof(header->log_id)) != 0 &&
           header->origin_last_lsn < header->start.next_lsn &&
           (has_origin || header->origin_last_lsn == 0);
}

static bool is_possible(const struct hf_snapshot_header *header)
{
    return start_is_possible(header) && counts_are_possible(header) && origin_is_possible(header);
}

void hf_snapshot_header_encode(uint8_t *bytes, const struct hf_snapshot_header *header)
{
    HF_CHECK(is_possible(header));
    memset(bytes, 0, HF_SNAPSHOT_HEADER_BYTES);
    put_beginning(bytes, HF_SNAPSHOT_MAGIC, HF_SNAPSHOT_HEADER_BYTES);
    memcpy(bytes + OFFSET_LOG_ID, header->log_id, sizeof(header->log_id));
    hf_put_u64(bytes + OFFSET_EPOCH, header->epoch);
    hf_put_u64(bytes + OFFSET_LAST_LSN, header->last_lsn);
    hf_put_u64(bytes + OFFSET_START_SEGMENT, header->start.segment);
    hf_put_u64(bytes + OFFSET_START_EPOCH, header->start.epoch);
    hf_put_u64(bytes + OFFSET_START_SEQUENCE, header->start.sequence);
    hf_put_u64(bytes + OFFSET_START_PREVIOUS_HASH, header->start.previous_hash);
    hf_put_u64(bytes + OFFSET_START_NEXT_LSN, header->start.next_lsn);
    hf_put_u64(bytes + OFFSET_START_WRITTEN_AT_NS, header->start.written_at_ns);
    hf_put_u64(bytes + OFFSET_RECORDS, header->records);
    hf_put_u64(bytes + OFFSET_INVENTORIES, header->inventories);
    hf_put_u64(bytes + OFFSET_GROUPS, header->groups);
    hf_put_u64(bytes + OFFSET_FILE_BYTES, header->file_bytes);
    hf_put_u64(bytes + OFFSET_MADE_AT_NS, header->made_at_ns);
    hf_put_u64(bytes + OFFSET_LOG_TIME_NS, header->log_time_ns);
    hf_put_u64(bytes + OFFSET_RETAIN_NS, header->retain_ns);
    hf_put_u64(bytes + OFFSET_SEGMENT_BYTES, header->segment_bytes);
    memcpy(bytes + OFFSET_ORIGIN_LOG_ID, header->origin_log_id, sizeof(header->origin_log_id));
    hf_put_u64(bytes + OFFSET_ORIGIN_LAST_LSN, header->origin_last_lsn);
    hf_put_u64(bytes + OFFSET_LAST_GROUP_HASH, header->last_group_hash);
    hf_put_u64(bytes + OFFSET_HEADER_HASH, XXH3_64bits(bytes, OFFSET_HEADER_HASH));
}

static void decode_fields(const uint8_t *bytes, struct hf_snapshot_header *header)
{
    *header = (struct hf_snapshot_header){
        .epoch = hf_get_u64(bytes + OFFSET_EPOCH),
        .last_lsn = hf_get_u64(bytes + OFFSET_LAST_LSN),
        .start =
            {
                .segment = hf_get_u64(bytes + OFFSET_START_SEGMENT),
                .epoch = hf_get_u64(bytes + OFFSET_START_EPOCH),
                .sequence = hf_get_u64(bytes + OFFSET_START_SEQUENCE),
                .previous_hash = hf_get_u64(bytes + OFFSET_START_PREVIOUS_HASH),
                .next_lsn = hf_get_u64(bytes + OFFSET_START_NEXT_LSN),
                .written_at_ns = hf_get_u64(bytes + OFFSET_START_WRITTEN_AT_NS),
            },
        .records = hf_get_u64(bytes + OFFSET_RECORDS),
        .inventories = hf_get_u64(bytes + OFFSET_INVENTORIES),
        .groups = hf_get_u64(bytes + OFFSET_GROUPS),
        .file_bytes = hf_get_u64(bytes + OFFSET_FILE_BYTES),
        .made_at_ns = hf_get_u64(bytes + OFFSET_MADE_AT_NS),
        .log_time_ns = hf_get_u64(bytes + OFFSET_LOG_TIME_NS),
        .retain_ns = hf_get_u64(bytes + OFFSET_RETAIN_NS),
        .segment_bytes = hf_get_u64(bytes + OFFSET_SEGMENT_BYTES),
        .origin_last_lsn = hf_get_u64(bytes + OFFSET_ORIGIN_LAST_LSN),
        .last_group_hash = hf_get_u64(bytes + OFFSET_LAST_GROUP_HASH),
    };
    memcpy(header->log_id, bytes + OFFSET_LOG_ID, sizeof(header->log_id));
    memcpy(header->origin_log_id, bytes + OFFSET_ORIGIN_LOG_ID, sizeof(header->origin_log_id));
}

enum hf_snapshot_fault hf_snapshot_header_decode(const uint8_t *bytes,
                                                 struct hf_snapshot_header *header)
{
    enum hf_snapshot_fault fault =
        judge_beginning(bytes, HF_SNAPSHOT_MAGIC, HF_SNAPSHOT_HEADER_BYTES);
    if (fault != HF_SNAPSHOT_VALID)
        return fault;
    struct hf_snapshot_header found;
    decode_fields(bytes, &found);
    if (!is_possible(&found) || !hf_all_zero(bytes + OFFSET_REST, OFFSET_HEADER_HASH - OFFSET_REST))
        return HF_SNAPSHOT_BAD_FIELD;
    *header = found;
    return HF_SNAPSHOT_VALID;
}

/* ---- groups ----------------------------------------------------------------------------- */

/* Header and records, without the padding. */
static uint32_t used_bytes(uint32_t record_count)
{
    return HF_SNAPSHOT_GROUP_HEADER_BYTES + record_count * HF_RECORD_BYTES;
}

uint32_t hf_snapshot_group_bytes(uint32_t record_count)
{
    return (used_bytes(record_count) + HF_BLOCK_ALIGN_BYTES - 1) &
           ~(uint32_t)(HF_BLOCK_ALIGN_BYTES - 1);
}

static uint64_t payload_hash(const uint8_t *bytes, uint32_t record_count)
{
    return XXH3_64bits(bytes + HF_SNAPSHOT_GROUP_HEADER_BYTES,
                       (size_t)record_count * HF_RECORD_BYTES);
}

static bool group_is_possible(const struct hf_snapshot_group *group)
{
    return group->record_count >= 1 && group->record_count <= HF_SNAPSHOT_GROUP_RECORDS &&
           group->group_bytes == hf_snapshot_group_bytes(group->record_count);
}

void hf_snapshot_group_seal(uint8_t *bytes, struct hf_snapshot_group *group)
{
    uint32_t used = used_bytes(group->record_count);
    group->group_bytes = hf_snapshot_group_bytes(group->record_count);
    HF_CHECK(group_is_possible(group));
    group->payload_hash = payload_hash(bytes, group->record_count);
    memset(bytes + used, 0, group->group_bytes - used);

    memset(bytes, 0, HF_SNAPSHOT_GROUP_HEADER_BYTES);
    put_beginning(bytes, HF_SNAPSHOT_GROUP_MAGIC, HF_SNAPSHOT_GROUP_HEADER_BYTES);
    memcpy(bytes + GROUP_LOG_ID, group->log_id, sizeof(group->log_id));
    hf_put_u64(bytes + GROUP_MADE_AT_NS, group->made_at_ns);
    hf_put_u64(bytes + GROUP_INDEX, group->index);
    hf_put_u64(bytes + GROUP_OFFSET, group->offset);
    hf_put_u64(bytes + GROUP_PREVIOUS_HASH, group->previous_hash);
    hf_put_u32(bytes + GROUP_RECORD_COUNT, group->record_count);
    hf_put_u32(bytes + GROUP_GROUP_BYTES, group->group_bytes);
    hf_put_u64(bytes + GROUP_PAYLOAD_HASH, group->payload_hash);
    group->header_hash = XXH3_64bits(bytes, GROUP_HEADER_HASH);
    hf_put_u64(bytes + GROUP_HEADER_HASH, group->header_hash);
}

enum hf_snapshot_fault hf_snapshot_group_read_header(const uint8_t *bytes,
                                                     struct hf_snapshot_group *group)
{
    enum hf_snapshot_fault fault =
        judge_beginning(bytes, HF_SNAPSHOT_GROUP_MAGIC, HF_SNAPSHOT_GROUP_HEADER_BYTES);
    if (fault != HF_SNAPSHOT_VALID)
        return fault;
    struct hf_snapshot_group found = {
        .made_at_ns = hf_get_u64(bytes + GROUP_MADE_AT_NS),
        .index = hf_get_u64(bytes + GROUP_INDEX),
        .offset = hf_get_u64(bytes + GROUP_OFFSET),
        .previous_hash = hf_get_u64(bytes + GROUP_PREVIOUS_HASH),
        .record_count = hf_get_u32(bytes + GROUP_RECORD_COUNT),
        .group_bytes = hf_get_u32(bytes + GROUP_GROUP_BYTES),
        .payload_hash = hf_get_u64(bytes + GROUP_PAYLOAD_HASH),
        .header_hash = hf_get_u64(bytes + GROUP_HEADER_HASH),
    };
    memcpy(found.log_id, bytes + GROUP_LOG_ID, sizeof(found.log_id));
    if (!group_is_possible(&found) ||
        !hf_all_zero(bytes + GROUP_REST, GROUP_PAYLOAD_HASH - GROUP_REST))
        return HF_SNAPSHOT_BAD_FIELD;
    *group = found;
    return HF_SNAPSHOT_VALID;
}

enum hf_snapshot_fault hf_snapshot_group_check_payload(const uint8_t *bytes,
                                                       const struct hf_snapshot_group *group)
{
    uint32_t used = used_bytes(group->record_count);
    if (payload_hash(bytes, group->record_count) != group->payload_hash)
        return HF_SNAPSHOT_BAD_PAYLOAD_HASH;
    if (!hf_all_zero(bytes + used, group->group_bytes - used))
        return HF_SNAPSHOT_BAD_PADDING;
    return HF_SNAPSHOT_VALID;
}

uint64_t hf_snapshot_check_records(const struct hf_snapshot_header *header, uint64_t first,
                                   const uint8_t *records, uint32_t count)
{
    uint64_t number = first;
    for (const uint8_t *record = records; number < first + count;
         number++, record += HF_RECORD_BYTES) {
        uint64_t lsn = hf_get_u64(record);
        uint8_t kind = number < header->inventories ? HF_SNAPSHOT_KIND_INVENTORY
                                                    : HF_SNAPSHOT_KIND_RESERVATION;
        if (lsn < 1 || lsn > header->last_lsn || record[HF_RECORD_KIND] != kind ||
            record[HF_RECORD_CHAIN_INDEX] != 0 || record[HF_RECORD_CHAIN_LENGTH] != 0)
            break;
    }
    return number;
}
