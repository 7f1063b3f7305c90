/*
 * A watch: committed changes in order, from an LSN on, those that a filter lets pass. What the
 * server's subscriptions and the embedded API have in common; they add how to wait, and how to tell.
 *
 * A watch is a place in the log (wal/tail.h) and a filter. Many watches of one thread share a
 * reader and a batch: the records that were read last. Those that are at the head of the log all
 * find what comes next in the batch, so it is read once for all of them.
 *
 * What the filter lets pass. By inventory: reservations of it, its settings, and its events
 * (available again). By customer: the reservations that are the customer's after the change. A
 * reservation that was moved to another customer is told to those who watch the other one.
 *
 * Exactly once, in order: a watch goes on behind the batch that it has looked through, whether
 * anything in it passed or not. next_lsn is where another watch would have to begin to miss nothing
 * and get nothing twice. A chain is in one batch, always: whoever gets a part of it gets all of it
 * that the filter lets pass, at once. (Half a chain is never there: wal/record.h.)
 */
#ifndef HF_ENGINE_WATCH_H
#define HF_ENGINE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/protocol.h"
#include "wal/record.h"
#include "wal/tail.h"

#define HF_WATCH_BATCH_RECORDS HF_MAX_FRAME_RECORDS

/* A set of ids: a table with open addressing, half empty at least. */
struct hf_id_set {
    uint64_t *places; /* 0: empty; NULL: the set is */
    uint32_t mask;    /* number of places - 1, a power of two - 1 */
    bool has_zero;    /* 0 is in it */
};

struct hf_watch {
    struct hf_tail tail;
    uint64_t next_lsn; /* of the first record that was not looked at */
    uint32_t kind;     /* HF_WATCH_* */
    struct hf_id_set ids;
    bool caught_up;   /* it was at the end, with the newest in memory, since it last fell behind */
    bool fell_behind; /* and now what comes next is not. Whoever tells it clears this */
};

/* The records that were read last; all zero: none. */
struct hf_watch_batch {
    uint64_t first_lsn;
    uint32_t count;
    bool from_files;
    uint8_t records[HF_WATCH_BATCH_RECORDS * HF_RECORD_BYTES];
};

/* kind: HF_WATCH_*, with `count` ids, which are copied. from_lsn: not 0. 0 or -ENOMEM. */
int hf_watch_init(struct hf_watch *watch, uint32_t kind, const uint64_t *ids, uint32_t count,
                  uint64_t from_lsn);
void hf_watch_close(struct hf_watch *watch);

/*
 * Looks through the next batch, up to limit_lsn (see hf_tail_limit()), and copies what passes to
 * `out`, which has room for HF_WATCH_BATCH_RECORDS. RECORDS: *count of them, 0 also, and next_lsn
 * is behind the batch; END: there is no more; or as hf_tail_next(). Blocks for two reads or three.
 */
enum hf_tail_read hf_watch_next(struct hf_watch *watch, struct hf_tail_reader *reader,
                                struct hf_watch_batch *batch, uint64_t limit_lsn, uint8_t *out,
                                uint32_t *count);

#endif
