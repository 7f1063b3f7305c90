/* Numbers put into the order of their keys. */
#ifndef HF_TOOLS_LEDGER_ORDER_H
#define HF_TOOLS_LEDGER_ORDER_H

#include <stdbool.h>
#include <stdint.h>

struct hf_ledger_key {
    uint64_t key;
    uint32_t number;
};

struct hf_ledger_order {
    struct hf_ledger_key *keys;
    uint32_t count, room;
};

/* Room for so many keys. False: out of memory. */
bool hf_ledger_order_open(struct hf_ledger_order *order, uint32_t room);
void hf_ledger_order_close(struct hf_ledger_order *order);

static inline void hf_ledger_order_add(struct hf_ledger_order *order, uint64_t key, uint32_t number)
{
    order->keys[order->count++] = (struct hf_ledger_key){key, number};
}

/* Sorts by key; those with one key stay in the order in which they were added. False: out of
 * memory.
 */
bool hf_ledger_order_sort(struct hf_ledger_order *order);

#endif
