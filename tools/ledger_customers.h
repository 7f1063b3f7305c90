/* How many units, held and confirmed, each customer has of each inventory: an open-addressing table
 * that nothing is taken out of. */
#ifndef HF_TOOLS_LEDGER_CUSTOMERS_H
#define HF_TOOLS_LEDGER_CUSTOMERS_H

#include <stdbool.h>
#include <stdint.h>

struct hf_customers_slot {
    uint64_t customer_id;
    uint64_t units;
    uint32_t inventory; /* its number + 1; 0: free */
};

/* All zero: empty. */
struct hf_customer_units {
    struct hf_customers_slot *slots;
    uint64_t mask;
    uint64_t count;
};

/* Makes room for one more. False: out of memory. */
bool hf_customer_units_reserve(struct hf_customer_units *customers);

/* The customer's units of the inventory, to be read and changed until the next reservation of room;
 * 0 if the customer was not known. After hf_customer_units_reserve(). */
uint64_t *hf_customer_units_of(struct hf_customer_units *customers, uint32_t inventory,
                               uint64_t customer_id);
void hf_customer_units_free(struct hf_customer_units *customers);

#endif
