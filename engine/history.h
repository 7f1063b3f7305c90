/*
 * The history of one reservation: all its images, in the order of their sequence, from the log.
 *
 * The reservation as it is now tells where they are: not before it was made, by the date in the
 * header of each segment's first block, and not behind its newest LSN. What lies between is read in
 * one pass, and of each record the 16 bytes of its id are compared. If the log no longer holds the
 * oldest images, the history begins with the oldest that it holds.
 *
 * An id may have been used before, by a reservation that was forgotten since (see --retain): its
 * images have another date of making, and are no part of this history.
 */
#ifndef HF_ENGINE_HISTORY_H
#define HF_ENGINE_HISTORY_H

#include "holdfast/message.h"
#include "wal/tail.h"

/* A page of a history, being read. */
struct hf_history {
    struct hf_reservation newest; /* the reservation as it was when this began */
    uint32_t from_sequence;
    uint32_t limit;
    struct hf_reservation_entry *entries;
    uint32_t count;
    uint64_t next;    /* the sequence to go on with; 0: this was the end */
    bool located;     /* the tail stands at or before the first image */
    uint8_t *records; /* room for what is in memory */
    struct hf_tail tail;
};

/*
 * Begins with the images of `newest` from this sequence on, at most `limit` of them; room for as
 * many is at `entries`. `newest` is committed, and limit is not 0. 0 or -ENOMEM.
 */
int hf_history_init(struct hf_history *history, const struct hf_reservation *newest,
                    uint32_t from_sequence, struct hf_reservation_entry *entries, uint32_t limit);
void hf_history_close(struct hf_history *history);

/* One step: a read or two. AGAIN; END: the page is there, in ascending order; or FAILED. */
enum hf_tail_read hf_history_step(struct hf_history *history, struct hf_tail_reader *reader);

#endif
