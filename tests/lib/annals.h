/*
 * The annals: a whole log in memory, to be asked what became of whom.
 *
 * hf_annals_read() takes in what the log has gained since the last time, and holds what it had then
 * against what it has now, byte by byte: the settled past of a log never changes. Records of one
 * reservation, or of one inventory, are linked to the one before and the one behind.
 *
 * Read it when all that is in there is settled (after a restart, or after an answer that said so):
 * records that were only in flight may be gone the next time, which is told as a loss. Not
 * thread-safe. Ends the process if there is no memory.
 */
#ifndef HF_TESTS_LIB_ANNALS_H
#define HF_TESTS_LIB_ANNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/image.h"

struct hf_annals {
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

/* All zero is the beginning. */
void hf_annals_close(struct hf_annals *annals);

/* Reads the log in `directory`. NULL, or what is wrong. */
const char *hf_annals_read(struct hf_annals *annals, const char *directory);

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
