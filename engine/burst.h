/*
 * A burst: plain reservations that came together, decided together, with a yes or with a no.
 *
 * Grants. Each costs a grant three instructions that lock a cache line, and two of these lines belong to
 * everybody: the inventory's word and the ring's tail. A burst takes the units of neighbours that
 * want the same inventory with one CAS, and the LSNs of all with one addition. Nothing else is
 * different from as many single grants, one behind the other:
 *   1. take the chains of all ids. What is known already, or taken, ends the burst before it
 *   2. claim, run by run of the same inventory. The CAS that takes the units of a run moves the
 *      version by as many as there are claims in it: the first of them has the first of these
 *      versions, and so on. Nobody can tell it from claims that followed one another at once. A run
 *      that cannot be had as a whole, with a unit left over, ends the burst before it
 *   3. take LSNs that follow one another, behind all claims (CLAIM-BEFORE-LOG), write and publish the
 *      images
 *   4. fill the cells, and leave the chains: whoever looks one of the ids up meets the chain taken, or
 *      the reservation with its LSN. So no cell needs a mark
 *
 * Refusals. Neighbours that want as many of the same inventory are refused by one look at its word, and
 * each by a look at the table behind it: as each would be by itself (HONEST-NO, engine/table.h), as all
 * of them were under way when the word was loaded. An id that is known, or whose chain is taken, ends
 * the burst before it.
 *
 * What is more than plain is left to hf_engine_reserve(): the last unit, rules, waiting lists, holds.
 */
#ifndef HF_ENGINE_BURST_H
#define HF_ENGINE_BURST_H

#include "engine/engine.h"

#define HF_BURST_MAX 32

/* What will become of the first of them, most likely, and so of those that come with it. INVOLVED: no
 * burst. A hint. */
enum hf_claim hf_engine_weigh_burst(const struct hf_actor *actor, const struct hf_reserve *first);

/*
 * Grants as many of the first requests as are plain; *made gets the reservations. Returns how many,
 * 0 .. count; the next one, if there is one, is to be asked of hf_engine_reserve(). Each grant may be
 * told when its LSN is committed. No ttl_ns; `count` 1 .. HF_BURST_MAX.
 */
uint32_t hf_engine_reserve_burst(struct hf_actor *actor, const struct hf_reserve *requests,
                                 uint32_t count, struct hf_reservation *made);

/*
 * Refuses as many of the first requests as are plain, at once: SOLD_OUT. *left gets what the word of
 * each said. Returns how many, as above.
 */
uint32_t hf_engine_refuse_burst(struct hf_actor *actor, const struct hf_reserve *requests,
                                uint32_t count, struct hf_availability *left);

#endif
