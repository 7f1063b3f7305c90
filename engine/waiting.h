/*
 * The waiting list of an inventory: reservations in state WAITING, first come first served, in the
 * order of their LSNs.
 *
 * While it is not empty, WAITING is set in the inventory's word, and no claim from outside gets any
 * unit, however many there are: so units that come free stand in the word without ever being for
 * sale, and only whoever serves the list takes them out of it. A join sets the flag by a CAS on a
 * word that proves that the units were not to be had.
 *
 * Serving: the head is marked, then the units are taken by CAS, then the offer is logged, and the
 * mark cleared. The units were given back after their LSN, hence the offer's LSN comes after it
 * (LSN-ORDER). A crash between the two leaves units and a list in the log, and recovery serves it
 * before anyone else is served.
 *
 * Links and order are changed only with the right to the list, one bit of the inventory's cell. Who
 * wants to serve and does not get it says so in a second bit and goes on; who has the right looks at
 * that bit when leaving, and serves again. So nobody waits, and no wish is lost.
 *
 * WAITING terms: `link` is the number of the one behind, `due_ns` that of the one before.
 */
#ifndef HF_ENGINE_WAITING_H
#define HF_ENGINE_WAITING_H

#include "engine/engine.h"

/* Takes the right to the list. False: another actor has it. */
bool hf_waiting_take(struct hf_inventory_cell *cell);

/* True if nobody has it, at this moment. That somebody wants the list served, when there is room in
 * the log for it, is no right. */
bool hf_waiting_is_free(const struct hf_inventory_cell *cell);

/* Leaves it, after serving for whoever wished that meanwhile. */
void hf_waiting_leave(struct hf_actor *actor, struct hf_inventory_cell *cell);

/* Makes offers as long as units and list allow, now or by whoever has the right. */
void hf_waiting_serve(struct hf_actor *actor, struct hf_inventory_cell *cell);

/* With the right. To the end of the list; the reservation's terms are the caller's. */
void hf_waiting_append(struct hf_region *region, struct hf_inventory_cell *cell, uint32_t number);

/* With the right. Out of the list. If it was the last, what is left is for sale again. Needs a
 * credit. */
void hf_waiting_remove(struct hf_actor *actor, struct hf_inventory_cell *cell, uint32_t number);

/* Serves all lists: after recovery. */
void hf_waiting_serve_lists(struct hf_actor *actor);

/* Serves the lists that could not be served when it was due: the ring was full. */
void hf_waiting_do_chores(struct hf_actor *actor);

#endif
