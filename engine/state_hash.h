/*
 * The state hash: one number for the whole state, whatever the order in which it was reached
 * (SAME-STATE). docs/log-format.md defines it, so that a reader of the log computes the same.
 *
 * Over a live region it is made in slices, so that no one waits for it. It is the hash of one state,
 * that after some LSN, only if nothing was changing: if no LSN was handed out between its begin and
 * its end, which the caller sees to, and it ends settled:
 *   - no reservation was met whose word is marked, and no inventory whose settings somebody has the
 *     right to change;
 *   - of every inventory, available units and units of active reservations are its sell limit
 *     (CONSERVATION); as many reservations wait as its list has, and nobody has the right to that.
 *
 * Why that proves that no change was under way, one that shows in the region but is not in the log,
 * or the other way round. No LSN was handed out in between; so the LSN of every change came before,
 * or will come after.
 *   Before. Units are given back, and everything else is stored, before the mark is cleared. Met with
 *   the mark, the slice ends there and is taken up again. Met without, all of it is there: the word
 *   of the inventory is read at the end, behind all reservations, and has the units.
 *   After. What gives units back does so after its LSN (LOG-BEFORE-RELEASE), so the word knows
 *   nothing of it yet; its reservation shows the mark, or was met before that, as it still is in the
 *   log. What takes units takes them out of the word before its LSN (CLAIM-BEFORE-LOG), and only then
 *   clears the mark of a reservation that has them, or makes it reachable at all. So the units that
 *   such claims have taken are missing in the word, and not found in any reservation: the sum is
 *   smaller than the sell limit by just that much. Nothing makes it larger, so what one change in
 *   flight takes away no other can fill up; if the sum is the limit, there was none.
 * A join takes no units, and its cell is filled after its LSN. If that came before, it has the right
 * to the list until all of it is there: either somebody has that right at the end, or the list has
 * one more than were met, or it was met.
 * Settings are no units: they change in steps, with the LSN among them. Whoever changes them has the
 * right to from before the first step until after the last. Nobody having it before they are read
 * means that all earlier changes are complete; and nobody having it after, that no other has begun,
 * or it has ended, with an LSN or without effect.
 */
#ifndef HF_ENGINE_STATE_HASH_H
#define HF_ENGINE_STATE_HASH_H

#include "engine/region.h"

enum hf_hashing {
    HF_HASHING_MORE,      /* call again */
    HF_HASHING_DONE,      /* the sum is the hash */
    HF_HASHING_UNSETTLED, /* something was changing: begin again */
};

/* What was met of one inventory's reservations. */
struct hf_hashed_inventory {
    int64_t units; /* of the active ones */
    uint32_t waiting;
};

struct hf_state_hash {
    uint64_t sum;
    uint64_t reservations;     /* hashed so far */
    uint64_t forget_before_ns; /* what finished at this date or before is no part of the state */
    uint32_t next;             /* number of the reservation cell to go on with */
    uint32_t inventory_count;  /* how many there were at the begin */
    struct hf_hashed_inventory *inventories;
};

/* 0 or -ENOMEM. forget_before_ns: the log's own time less the retention, 0 if that is longer. */
int hf_state_hash_begin(struct hf_state_hash *hash, const struct hf_region *region,
                        uint64_t forget_before_ns);
void hf_state_hash_end(struct hf_state_hash *hash);

/* Hashes up to `limit` reservations more. MORE also when it met a mark. Inside an epoch, if other
 * actors are there. */
enum hf_hashing hf_state_hash_step(struct hf_state_hash *hash, const struct hf_region *region,
                                   uint32_t limit);

#endif
