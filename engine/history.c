/* The history of one reservation: see history.h. */
#include "engine/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/image.h"

#define ROOM_RECORDS 512

int hf_history_init(struct hf_history *history, const struct hf_reservation *newest,
                    uint32_t from_sequence, struct hf_reservation_entry *entries, uint32_t limit)
{
    HF_CHECK(limit != 0);
    *history = (struct hf_history){
        .newest = *newest,
        .from_sequence = from_sequence,
        .limit = limit,
        .entries = entries,
        .records = malloc((size_t)ROOM_RECORDS * HF_RECORD_BYTES),
    };
    return history->records == NULL ? -ENOMEM : 0;
}

void hf_history_close(struct hf_history *history)
{
    free(history->records);
    history->records = NULL;
}

/* A record with these bytes at the place of the id: takes it in if it belongs to the page. True:
 * the page is complete. */
static bool take(struct hf_history *history, const uint8_t *record)
{
    struct hf_image image;
    if (hf_image_decode(record, &image) != NULL || image.kind != HF_IMAGE_RESERVATION ||
        image.reservation.made_at_ns != history->newest.made_at_ns ||
        image.reservation.sequence < history->from_sequence)
        return false;
    history->entries[history->count++] =
        (struct hf_reservation_entry){.reservation = image.reservation};
    if (image.reservation.sequence == history->newest.sequence)
        return true;
    if (history->count == history->limit)
        history->next = image.reservation.sequence + 1;
    return history->count == history->limit;
}

/* Looks through consecutive records. Returns how many it used; *done: the page is complete. */
static uint32_t scan(struct hf_history *history, const struct hf_tail_span *span, bool *done)
{
    uint64_t low, high, record_low, record_high;
    memcpy(&low, history->newest.id.bytes, sizeof low);
    memcpy(&high, history->newest.id.bytes + 8, sizeof high);
    const uint8_t *id = span->records + HF_IMAGE_ID;
    for (uint32_t i = 0; i < span->count; i++, id += HF_RECORD_BYTES) {
        memcpy(&record_high, id + 8, sizeof record_high);
        if (HF_LIKELY(record_high != high))
            continue;
        memcpy(&record_low, id, sizeof record_low);
        if (record_low == low && take(history, id - HF_IMAGE_ID)) {
            *done = true;
            return i + 1;
        }
    }
    return span->count;
}

enum hf_tail_read hf_history_step(struct hf_history *history, struct hf_tail_reader *reader)
{
    if (!history->located) {
        enum hf_tail_read read =
            hf_tail_seek_date(&history->tail, reader, history->newest.made_at_ns);
        if (read != HF_TAIL_RECORDS)
            return read;
        history->located = true;
        return HF_TAIL_AGAIN;
    }
    struct hf_tail_span span;
    enum hf_tail_read read = hf_tail_look(&history->tail, reader, history->newest.lsn,
                                          history->records, ROOM_RECORDS, &span);
    if (read == HF_TAIL_NOT_KEPT) {
        history->tail.next_lsn = hf_tail_first_lsn(reader);
        return HF_TAIL_AGAIN;
    }
    if (read != HF_TAIL_RECORDS)
        return read;
    bool done = false;
    history->tail.next_lsn += scan(history, &span, &done);
    return done ? HF_TAIL_END : HF_TAIL_AGAIN;
}
