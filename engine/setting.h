/*
 * Changing the settings of an inventory while sales run. How that is one instant for all claims is
 * told in inventory.h; who has the right to change settings is one at a time.
 *
 * Units that are counted stay counted until the server starts again, also when no limit is left.
 *
 * A first limit per customer needs to know what each customer has already. So, before such a limit
 * is set, the units are counted, in pieces, while sales go on:
 *   1. claims are told to count, as a setting of its own (HF_RULE_COUNTED);
 *   2. all claims that were decided before that are waited for: an epoch;
 *   3. every reservation of the inventory that has its units and is not counted yet is marked,
 *      counted, and says so in its word.
 * Whoever gives units back takes those off the count that are counted. Between the pieces the right
 * is let go, and the request is put aside; how far it came is kept in the inventory's cell.
 */
#ifndef HF_ENGINE_SETTING_H
#define HF_ENGINE_SETTING_H

#include "engine/engine.h"

/*
 * SET, UNKNOWN_INVENTORY, VERSION_MISMATCH (expected, with HF_REQUEST_EXPECT_VERSION), BELOW_SOLD
 * (with HF_REQUEST_STRICT), BAD_FIELD if the settings would contradict each other, CUSTOMERS_FULL,
 * or put aside. The values are checked.
 */
void hf_engine_set(struct hf_actor *actor, uint64_t inventory_id,
                   const struct hf_settings_change *change, uint16_t flags, uint32_t expected,
                   struct hf_outcome *outcome);

/* Recovery: adds a reservation to its customer's count. False: no room. */
bool hf_setting_count_one(struct hf_engine *engine, uint32_t number);

#endif
