/* Units for each pair of an inventory and a customer, as long as there are some: an open-addressing
 * table. */
#ifndef HF_TOOLS_LEDGER_MAP_H
#define HF_TOOLS_LEDGER_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct hf_ledger_map_slot {
    uint64_t customer_id;
    uint32_t inventory; /* its number + 1; 0: free */
    uint32_t units;     /* modulo 2^32 */
};

/* All zero, but for the seed: empty. */
struct hf_ledger_map {
    struct hf_ledger_map_slot *slots;
    uint64_t mask;
    uint64_t count;
    uint64_t seed; /* of hashes; set before anything is added */
};

/* Adds units, which may be negative. False: out of memory. */
bool hf_ledger_map_add(struct hf_ledger_map *map, uint32_t inventory, uint64_t customer_id,
                       int64_t units);

/* What the pair has. */
uint32_t hf_ledger_map_units(const struct hf_ledger_map *map, uint32_t inventory,
                             uint64_t customer_id);

/* Brings the pair's slot to the processor. */
void hf_ledger_map_prefetch(const struct hf_ledger_map *map, uint32_t inventory,
                            uint64_t customer_id);
void hf_ledger_map_free(struct hf_ledger_map *map);

#endif
