/*
 * Units going back to an inventory: after a cancel, a release, an expiry, a smaller quantity. Only
 * when the LSN of the change that gives them back was taken (LOG-BEFORE-RELEASE), and before its
 * mark is cleared, so that who reads that they are given back finds them.
 *
 * Where the units of each customer are counted, the count goes down at the same instant.
 */
#ifndef HF_ENGINE_UNITS_H
#define HF_ENGINE_UNITS_H

#include "engine/engine.h"

/* Credits that giving back may need for an event of its own. */
#define HF_UNITS_CREDITS 1

/* The count of a reservation's customer, if its units are counted (`word`, of the reservation).
 * False: somebody is changing that chain, or the reservation: put the operation aside. *counter:
 * NULL, not counted. Good if the word is still the same afterwards. */
bool hf_units_find_counter(struct hf_actor *actor, uint32_t inventory, uint64_t customer_id,
                           uint64_t word, struct hf_customer_cell **counter);

/*
 * Gives back `units` (0: none) to the inventory, and takes `customer_units` off the counter (NULL:
 * none). If units can be had again of what was sold out, the log is told, with the producer's
 * credit. True: a waiting list stands there, which the caller serves when it is done
 * (hf_waiting_serve()).
 */
bool hf_units_return(struct hf_actor *actor, struct hf_inventory_cell *cell, uint32_t units,
                     struct hf_customer_cell *counter, uint32_t customer_units);

/* Tells the log that units can be had again. Spends a credit. */
void hf_units_tell_again(struct hf_actor *actor, const struct hf_inventory_cell *cell,
                         uint64_t word);

#endif
