/* The reference model's part about inventories: creating, setting, reading. Of reference.c. */
#ifndef HF_TESTS_MODEL_INVENTORIES_H
#define HF_TESTS_MODEL_INVENTORIES_H

#include "tests/model/reference.h"

void hf_reference_create_inventory(struct hf_world *world, uint64_t now_ns,
                                   const struct hf_request *request,
                                   struct hf_expectation *expected);

/* UNKNOWN_INVENTORY > VERSION_MISMATCH > BAD_FIELD > BELOW_SOLD. */
void hf_reference_set_inventory(struct hf_world *world, const struct hf_request *request,
                                struct hf_expectation *expected);

/* `result` and the inventory, or UNKNOWN_INVENTORY. */
void hf_reference_expect_inventory(const struct hf_world *world, uint64_t inventory_id,
                                   unsigned result, struct hf_expectation *expected);

#endif
