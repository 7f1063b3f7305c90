/*
 * Resolving: a hold is confirmed or released, a reservation cancelled.
 *
 * Mostly nothing but its own state decides about that. Then it is what engine/change.h does, step by
 * step, without what only more than that needs: words to weigh, guards, counts of customers. That is the
 * plain way, with a third of the instructions:
 *   1. win the CAS on the reservation's word, with the mark. From here on nobody else changes it
 *      (RESOLVES-ONCE). Whatever gives units back announces it
 *   2. look at the inventory's rules again: what is true with the mark set is true of the instant at
 *      which the reservation changes. If they change behind that, nobody who was told so is refused
 *      the units
 *   3. take the LSN, write the image
 *   4. give the units back, if it has none any more (LOG-BEFORE-RELEASE); then count the hold off, so
 *      that who finds neither units nor holds has missed none (engine/inventory.h)
 *   5. clear the mark
 * Everything else goes the way of a change: a no, a repeat, a hold that has lapsed, an end of
 * cancellations, counted units, settings that are being changed, a log without room.
 */
#ifndef HF_ENGINE_RESOLVE_H
#define HF_ENGINE_RESOLVE_H

#include "engine/engine.h"

/* CONFIRM, RELEASE or CANCEL of all of a reservation, whatever its sequence. CONFIRMED, RELEASED,
 * CANCELLED, LEFT, NOT_FOUND, another no, or put aside. */
void hf_engine_resolve(struct hf_actor *actor, enum hf_operation operation, const struct hf_id *id,
                       struct hf_outcome *outcome);

/* Steps 3 to 5, also of an expiry. `changed`: the new content of the reservation with this number, whose
 * mark is ours; `word`: what it was, without the mark; `held`: units that it held before; `counter`: of its
 * customer, or NULL. If units go back, that was announced. */
void hf_resolve_record(struct hf_actor *actor, uint32_t number, uint64_t word, uint32_t held,
                       uint8_t reason, struct hf_customer_cell *counter,
                       struct hf_reservation *changed);

#endif
