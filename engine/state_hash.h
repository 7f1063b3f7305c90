/*
 * The state hash: one number for the whole state, whatever the order in which it was reached
 * (SAME-STATE). docs/log-format.md defines it, so that a reader of the log computes the same.
 *
 * Over a live region it is made in slices, so that no one waits for it. It is the hash of one state
 * only if nothing changed meanwhile: no LSN was handed out between its begin and its end, and every
 * inventory's counters agree with its reservations. (A claim before its LSN, or a cancel whose
 * units are not given back yet, shows in the counters: an inventory's version is its own sequence
 * and the sequences of all its reservations.)
 */
#ifndef HF_ENGINE_STATE_HASH_H
#define HF_ENGINE_STATE_HASH_H

#include "engine/region.h"

enum hf_hashing {
    HF_HASHING_MORE,      /* call again */
    HF_HASHING_DONE,      /* the sum is the hash */
    HF_HASHING_UNSETTLED, /* the counters did not agree: begin again, if nothing else changes */
};

struct hf_state_hash {
    uint64_t sum;
    uint64_t reservations; /* hashed so far */
    uint32_t next;         /* number of the reservation cell to go on with */
    uint32_t inventories;  /* how many there were at the begin */
    uint32_t *sequences;   /* of each: the sum of its reservations' sequences */
};

/* 0 or -ENOMEM. */
int hf_state_hash_begin(struct hf_state_hash *hash, const struct hf_region *region);
void hf_state_hash_end(struct hf_state_hash *hash);

/* Hashes up to `limit` reservations more. MORE also when it met a change that has no LSN yet. */
enum hf_hashing hf_state_hash_step(struct hf_state_hash *hash, const struct hf_region *region,
                                   uint32_t limit);

#endif
