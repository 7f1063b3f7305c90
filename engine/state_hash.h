/*
 * The state hash: one number for the whole state, whatever the order in which it was reached
 * (SAME-STATE). docs/log-format.md defines it, so that a reader of the log computes the same.
 *
 * Over a live region it is made in slices, so that no one waits for it. It is the hash of one state
 * only if nothing changed meanwhile: the caller compares the LSNs before and after.
 */
#ifndef HF_ENGINE_STATE_HASH_H
#define HF_ENGINE_STATE_HASH_H

#include "engine/region.h"

struct hf_state_hash {
    uint64_t sum;
    uint64_t reservations; /* hashed so far */
    uint32_t next;         /* number of the reservation cell to go on with; 0: not begun */
};

/* Hashes up to `limit` reservations more. True when all is done. False also when it met a change
 * that has no LSN yet: call again. */
bool hf_state_hash_step(struct hf_state_hash *hash, const struct hf_region *region, uint32_t limit);

#endif
