/* Units by customer; see ledger_customers.h. */
#include "tools/ledger_customers.h"

#include <stdlib.h>

#include "tools/ledger_index.h"

#define FIRST_SLOTS 1024

static struct hf_customers_slot *slot_of(const struct hf_customer_units *customers,
                                         uint32_t inventory, uint64_t customer_id)
{
    uint64_t key = customer_id ^ (uint64_t)inventory * 0xd6e8feb86659fd93ull;
    uint64_t at = hf_hash_of_number(key) & customers->mask;
    struct hf_customers_slot *slot = &customers->slots[at];
    while (slot->inventory != 0 &&
           (slot->inventory != inventory + 1 || slot->customer_id != customer_id)) {
        at = (at + 1) & customers->mask;
        slot = &customers->slots[at];
    }
    return slot;
}

bool hf_customer_units_reserve(struct hf_customer_units *customers)
{
    if (customers->slots != NULL && (customers->count + 1) * 2 <= customers->mask + 1)
        return true;
    uint64_t slots = customers->slots == NULL ? FIRST_SLOTS : (customers->mask + 1) * 2;
    struct hf_customer_units grown = {calloc(slots, sizeof(struct hf_customers_slot)), slots - 1,
                                      customers->count};
    if (grown.slots == NULL)
        return false;
    for (uint64_t at = 0; customers->slots != NULL && at <= customers->mask; at++) {
        const struct hf_customers_slot *slot = &customers->slots[at];
        if (slot->inventory != 0)
            *slot_of(&grown, slot->inventory - 1, slot->customer_id) = *slot;
    }
    free(customers->slots);
    *customers = grown;
    return true;
}

uint64_t *hf_customer_units_of(struct hf_customer_units *customers, uint32_t inventory,
                               uint64_t customer_id)
{
    struct hf_customers_slot *slot = slot_of(customers, inventory, customer_id);
    if (slot->inventory == 0) {
        slot->customer_id = customer_id;
        slot->inventory = inventory + 1;
        customers->count++;
    }
    return &slot->units;
}

void hf_customer_units_free(struct hf_customer_units *customers)
{
    free(customers->slots);
    *customers = (struct hf_customer_units){0};
}
