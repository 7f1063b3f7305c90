/*
 * The annals: a whole log in memory, from its first record on, to be asked what became of whom.
 *
 * A log does not keep its first segments for ever, so it has to be followed while it grows.
 * hf_annals_follow() takes in what the log has gained since the last time, from the place on where
 * that ended. hf_annals_read() does so, too, and holds all that is still there against what was read
 * before, byte by byte: the settled past of a log never changes. What goes before it was read is told
 * as lost. Records of one reservation, or of one inventory, are linked to the one before and the
 * one behind.
 *
 * Both hold flock(LOCK_SH) on DIR/keep while they read, and may be called beside a running server,
 * also under load: what stands whole in its place, behind all that comes before it, stays there when
 * that process is killed. (Only a loss of power may take it again; that is told as a loss.)
 *
 * Not thread-safe. Ends the process if there is no memory.
 */
#ifndef HF_TESTS_LIB_ANNALS_H
#define HF_TESTS_LIB_ANNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/image.h"
#include "wal/reader.h"
#include "wal/start.h"

struct hf_annals {
    /* Called with each new block, once, in their order; NULL, or what is wrong with it. NULL: nobody
     * is told. */
    const char *(*on_block)(void *context, const struct hf_block_view *view);
    void *context;

    struct hf_log_start *starts; /* of segments 1 .. segment, at number - 1 */
    uint64_t starts_room;
    uint64_t segment;  /* where the log goes on; 0: nothing was read */
    uint64_t sequence; /* of the newest block */
    uint8_t log_id[16];

    uint8_t *records;   /* LSN n at (n - 1) * HF_RECORD_BYTES */
    uint64_t *earlier;  /* LSN of the record before about the same; 0: none. At n - 1 */
    uint64_t *later;    /* and behind; 0: none */
    uint64_t last_lsn;  /* of the newest; 0: none */
    uint64_t room;      /* records */
    uint64_t *newest;   /* by hash of whom: LSN of the newest record; 0: free */
    uint64_t slot_mask; /* of `newest`; its slots are never more than half full */
    uint64_t noun_count;
    uint64_t time_ns; /* the newest date of a change: the log's own time */
    char text[400];   /* what is wrong */
};

/* All zero, but for on_block, is the beginning. */
void hf_annals_close(struct hf_annals *annals);

/* Reads what is new in the log in `directory`; or all that is there. NULL, or what is wrong. */
const char *hf_annals_follow(struct hf_annals *annals, const char *directory);
const char *hf_annals_read(struct hf_annals *annals, const char *directory);

/* Holds one whole segment, which was read before, against a copy of it in another directory. NULL, or
 * what is wrong. */
const char *hf_annals_compare_segment(struct hf_annals *annals, const char *directory,
                                      uint64_t segment);

/* The record at an LSN. False: there is none. */
bool hf_annals_image(const struct hf_annals *annals, uint64_t lsn, struct hf_image *image);

/* LSN of the newest record about a reservation, or an inventory; of the newest up to an LSN. 0: none.
 */
uint64_t hf_annals_of(const struct hf_annals *annals, const struct hf_id *id);
uint64_t hf_annals_of_inventory(const struct hf_annals *annals, uint64_t inventory_id);
uint64_t hf_annals_up_to(const struct hf_annals *annals, const struct hf_id *id, uint64_t lsn);

/* LSN of the record about the same before and behind this one. 0: none. */
uint64_t hf_annals_earlier(const struct hf_annals *annals, uint64_t lsn);
uint64_t hf_annals_later(const struct hf_annals *annals, uint64_t lsn);

#endif
