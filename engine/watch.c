/* A watch: see watch.h. */
#include "engine/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "engine/image.h"

/* Places in an image, see the tables in engine/image.h. */
#define IMAGE_KIND               8
#define INVENTORY_ID             16 /* of inventories and events */
#define RESERVATION_INVENTORY_ID 32
#define RESERVATION_CUSTOMER_ID  40
#define ID_SET_MIN_PLACES        8

_Static_assert(HF_FRAME_RECORD_BYTES == HF_RECORD_BYTES, "a record is told as it is in the log");
_Static_assert(HF_WATCH_BATCH_RECORDS >= HF_MAX_CHAIN_RECORDS, "a chain is in one batch");

/* ---- sets of ids ---- */

static uint32_t place_of(const struct hf_id_set *set, uint64_t id)
{
    return (uint32_t)((id * 0x9e3779b97f4a7c15ull) >> 32) & set->mask;
}

static void insert(struct hf_id_set *set, uint64_t id)
{
    uint32_t place = place_of(set, id);
    while (set->places[place] != 0 && set->places[place] != id)
        place = (place + 1) & set->mask;
    set->places[place] = id;
}

static bool contains(const struct hf_id_set *set, uint64_t id)
{
    if (id == 0)
        return set->has_zero;
    if (set->places == NULL)
        return false;
    uint32_t place = place_of(set, id);
    while (set->places[place] != 0 && set->places[place] != id)
        place = (place + 1) & set->mask;
    return set->places[place] == id;
}

static int fill(struct hf_id_set *set, const uint64_t *ids, uint32_t count)
{
    uint32_t places = ID_SET_MIN_PLACES;
    while (places < 2 * count)
        places *= 2;
    set->mask = places - 1;
    set->places = calloc(places, sizeof *set->places);
    if (set->places == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == 0)
            set->has_zero = true;
        else
            insert(set, ids[i]);
    }
    return 0;
}

/* ---- watches ---- */

int hf_watch_init(struct hf_watch *watch, uint32_t kind, const uint64_t *ids, uint32_t count,
                  uint64_t from_lsn)
{
    HF_CHECK(from_lsn != 0 && kind <= HF_WATCH_CUSTOMERS);
    *watch = (struct hf_watch){
        .tail = {.next_lsn = from_lsn},
        .next_lsn = from_lsn,
        .kind = kind,
    };
    return kind == HF_WATCH_ALL ? 0 : fill(&watch->ids, ids, count);
}

void hf_watch_close(struct hf_watch *watch)
{
    free(watch->ids.places);
    watch->ids = (struct hf_id_set){0};
}

static bool passes(const struct hf_watch *watch, const uint8_t *record)
{
    if (watch->kind == HF_WATCH_ALL)
        return true;
    bool reservation = record[IMAGE_KIND] == HF_IMAGE_RESERVATION;
    if (watch->kind == HF_WATCH_CUSTOMERS)
        return reservation && contains(&watch->ids, hf_get_u64(record + RESERVATION_CUSTOMER_ID));
    return contains(&watch->ids,
                    hf_get_u64(record + (reservation ? RESERVATION_INVENTORY_ID : INVENTORY_ID)));
}

/* Reads the batch that begins at watch->next_lsn. */
static enum hf_tail_read read_batch(struct hf_watch *watch, struct hf_tail_reader *reader,
                                    struct hf_watch_batch *batch, uint64_t limit_lsn)
{
    struct hf_tail_span span;
    hf_tail_seek(&watch->tail, watch->next_lsn);
    batch->count = 0;
    enum hf_tail_read read = hf_tail_next(&watch->tail, reader, limit_lsn, batch->records,
                                          HF_WATCH_BATCH_RECORDS, &span);
    if (read != HF_TAIL_RECORDS)
        return read;
    batch->first_lsn = watch->next_lsn;
    batch->count = span.count;
    batch->from_files = span.from_files;
    return HF_TAIL_RECORDS;
}

enum hf_tail_read hf_watch_next(struct hf_watch *watch, struct hf_tail_reader *reader,
                                struct hf_watch_batch *batch, uint64_t limit_lsn, uint8_t *out,
                                uint32_t *count)
{
    *count = 0;
    if (watch->next_lsn > limit_lsn) {
        watch->caught_up |= hf_tail_in_memory(reader, watch->next_lsn - 1);
        return HF_TAIL_END;
    }
    /* A record never changes, so what was read for another watch is as good. */
    if (watch->next_lsn < batch->first_lsn || watch->next_lsn - batch->first_lsn >= batch->count) {
        enum hf_tail_read read = read_batch(watch, reader, batch, limit_lsn);
        if (read != HF_TAIL_RECORDS)
            return read;
    }
    /* The batch may have been read from a file for another one that is far behind. */
    if (watch->caught_up && batch->from_files && !hf_tail_in_memory(reader, watch->next_lsn)) {
        watch->caught_up = false;
        watch->fell_behind = true;
    }
    for (uint64_t lsn = watch->next_lsn; lsn < batch->first_lsn + batch->count; lsn++) {
        const uint8_t *record = batch->records + (lsn - batch->first_lsn) * HF_RECORD_BYTES;
        if (passes(watch, record))
            memcpy(out + (size_t)(*count)++ * HF_RECORD_BYTES, record, HF_RECORD_BYTES);
    }
    watch->next_lsn = batch->first_lsn + batch->count;
    return HF_TAIL_RECORDS;
}
