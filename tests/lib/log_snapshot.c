/* Snapshots of built logs; see log_snapshot.h. */
#include "tests/lib/log_snapshot.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "engine/image.h"
#include "wal/record.h"
#include "wal/snapshot_writer.h"

enum {
    AT_KIND = 8,
    AT_STATE = 9,
    AT_CHAIN = 10,
    AT_ID = 16,
    AT_CHANGED_AT = 56,
    AT_VERSION = 76,
    AT_FLAGS = 101, /* and the reason */
};

/* ---- what the log says ------------------------------------------------------------------ */

/* Records by what they are about: open addressing. */
struct newest {
    uint8_t (*slots)[HF_RECORD_BYTES]; /* LSN 0: free */
    uint64_t mask;
    uint64_t log_time_ns;
};

static size_t id_bytes(const uint8_t *record)
{
    return record[AT_KIND] == HF_IMAGE_RESERVATION ? 16 : 8;
}

static uint8_t *slot_of(const struct newest *newest, const uint8_t *record)
{
    uint64_t at = XXH3_64bits(record + AT_ID, id_bytes(record)) + record[AT_KIND];
    for (;; at++) {
        uint8_t *slot = newest->slots[at & newest->mask];
        if (hf_get_u64(slot) == 0 || (slot[AT_KIND] == record[AT_KIND] &&
                                      memcmp(slot + AT_ID, record + AT_ID, id_bytes(record)) == 0))
            return slot;
    }
}

/* Of sound logs: the last record is the newest. */
static void note(struct newest *newest, const uint8_t *record)
{
    uint64_t changed_at_ns = hf_get_u64(record + AT_CHANGED_AT);
    if (changed_at_ns > newest->log_time_ns)
        newest->log_time_ns = changed_at_ns;
    if (record[AT_KIND] != HF_IMAGE_EVENT)
        memcpy(slot_of(newest, record), record, HF_RECORD_BYTES);
}

static struct newest read_log(const struct hf_log_builder *builder, uint64_t lsn)
{
    struct newest newest = {.mask = 1024};
    while (newest.mask < 2 * lsn)
        newest.mask *= 2;
    newest.slots = calloc(newest.mask, HF_RECORD_BYTES);
    newest.mask--;
    HF_CHECK(newest.slots != NULL);
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    HF_CHECK(hf_reader_open(hf_io_posix(), builder->directory, false, NULL, &reader, &finding) ==
             0);
    while (hf_reader_next(reader, &view) == HF_READ_BLOCK) {
        for (uint32_t i = 0; i < view.header.record_count && view.header.first_lsn + i <= lsn; i++)
            note(&newest, view.records + (size_t)i * HF_RECORD_BYTES);
    }
    hf_reader_close(reader);
    return newest;
}

/* ---- the copy --------------------------------------------------------------------------- */

static void add_kind(struct hf_log_snapshot_copy *copy, const struct newest *newest, uint8_t kind)
{
    for (uint64_t at = 0; at <= newest->mask; at++) {
        const uint8_t *slot = newest->slots[at];
        if (hf_get_u64(slot) == 0 || slot[AT_KIND] != kind)
            continue;
        hf_log_snapshot_add(copy, slot);
        uint8_t *record = copy->records[copy->count - 1];
        if (kind == HF_IMAGE_RESERVATION) {
            hf_put_u16(record + AT_CHAIN, 0);
            hf_put_u32(record + AT_VERSION, 0);
            record[AT_FLAGS] = 0;
            record[AT_FLAGS + 1] = record[AT_STATE] == HF_STATE_EXPIRED;
        }
    }
}

/* Where that segment begins, and behind which block. */
static struct hf_log_start start_of(const struct hf_log_builder *builder, uint64_t segment)
{
    struct hf_log_start start = {.segment = 1, .next_lsn = 1};
    for (uint32_t i = 0; i < builder->block_count && segment > 1; i++) {
        const struct hf_block *block = &builder->blocks[i];
        if (block->segment >= segment)
            break;
        start = (struct hf_log_start){
            .segment = segment,
            .epoch = block->epoch,
            .sequence = block->sequence,
            .previous_hash = block->header_hash,
            .next_lsn = block->first_lsn + block->record_count,
            .written_at_ns = block->written_at_ns,
        };
    }
    return start;
}

void hf_log_snapshot_copy(const struct hf_log_builder *builder, uint64_t lsn,
                          uint64_t start_segment, struct hf_log_snapshot_copy *copy)
{
    struct newest newest = read_log(builder, lsn);
    *copy = (struct hf_log_snapshot_copy){
        .records = malloc((size_t)(lsn + 16) * HF_RECORD_BYTES),
        .header =
            {
                .epoch = builder->next.epoch,
                .start = start_of(builder, start_segment),
                .made_at_ns = HF_BUILDER_MADE_AT,
                .retain_ns = 24ull * 3600 * 1000000000,
                .segment_bytes = builder->segment_bytes,
                .last_lsn = lsn,
                .log_time_ns = newest.log_time_ns,
            },
    };
    HF_CHECK(copy->records != NULL);
    memcpy(copy->header.log_id, builder->next.log_id, sizeof copy->header.log_id);
    add_kind(copy, &newest, HF_IMAGE_INVENTORY);
    add_kind(copy, &newest, HF_IMAGE_RESERVATION);
    free(newest.slots);
}

static uint8_t *find(struct hf_log_snapshot_copy *copy, uint8_t kind, const uint8_t *id,
                     size_t bytes)
{
    uint8_t *found = NULL;
    for (uint32_t i = 0; i < copy->count && found == NULL; i++) {
        if (copy->records[i][AT_KIND] == kind && memcmp(copy->records[i] + AT_ID, id, bytes) == 0)
            found = copy->records[i];
    }
    HF_CHECK(found != NULL);
    return found;
}

uint8_t *hf_log_snapshot_reservation(struct hf_log_snapshot_copy *copy, uint64_t number)
{
    struct hf_reservation reservation = hf_builder_reservation(number, 1, 1, HF_STATE_CONFIRMED);
    return find(copy, HF_IMAGE_RESERVATION, reservation.id.bytes, sizeof reservation.id.bytes);
}

uint8_t *hf_log_snapshot_inventory(struct hf_log_snapshot_copy *copy, uint64_t inventory_id)
{
    uint8_t id[8];
    hf_put_u64(id, inventory_id);
    return find(copy, HF_IMAGE_INVENTORY, id, sizeof id);
}

void hf_log_snapshot_drop(struct hf_log_snapshot_copy *copy, uint8_t *record)
{
    size_t behind = (size_t)(copy->records[copy->count - 1] - record);
    memmove(record, record + HF_RECORD_BYTES, behind);
    copy->count--;
}

void hf_log_snapshot_add(struct hf_log_snapshot_copy *copy, const uint8_t *record)
{
    memcpy(copy->records[copy->count++], record, HF_RECORD_BYTES);
}

void hf_log_snapshot_write(const struct hf_log_builder *builder, struct hf_log_snapshot_copy *copy)
{
    struct hf_snapshot_writer *writer;
    uint32_t written = 0, room;
    int step;
    HF_CHECK(hf_snapshot_writer_open(hf_io_posix(), builder->directory, &copy->header, &writer) ==
             0);
    while (written < copy->count) {
        uint8_t *records = hf_snapshot_writer_room(writer, &room);
        uint32_t count = copy->count - written < room ? copy->count - written : room;
        memcpy(records, copy->records[written], (size_t)count * HF_RECORD_BYTES);
        hf_snapshot_writer_add(writer, count);
        written += count;
        if (count == room)
            HF_CHECK(hf_snapshot_writer_step(writer) == HF_SNAPSHOT_FILLING);
    }
    hf_snapshot_writer_finish(writer, copy->header.last_lsn, copy->header.log_time_ns);
    while ((step = hf_snapshot_writer_step(writer)) == HF_SNAPSHOT_ENDING)
        ;
    HF_CHECK(step == HF_SNAPSHOT_DONE);
    hf_snapshot_writer_close(writer);
    free(copy->records);
}

void hf_log_snapshot_make(const struct hf_log_builder *builder, uint64_t lsn,
                          uint64_t start_segment)
{
    struct hf_log_snapshot_copy copy;
    hf_log_snapshot_copy(builder, lsn, start_segment, &copy);
    hf_log_snapshot_write(builder, &copy);
}
