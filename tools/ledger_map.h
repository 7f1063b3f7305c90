/* A number for each pair of an inventory and a key: an open-addressing table that nothing is taken
 * out of by itself. */
#ifndef HF_TOOLS_LEDGER_MAP_H
#define HF_TOOLS_LEDGER_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct hf_map_slot {
    uint64_t key;
    uint64_t value;
    uint32_t inventory; /* its number + 1; 0: free */
};

/* All zero: empty. */
struct hf_map {
    struct hf_map_slot *slots;
    uint64_t mask;
    uint64_t count;
};

/* Makes room for one more. False: out of memory. */
bool hf_map_reserve(struct hf_map *map);

/* The value of the pair, to be read and changed until the next reservation of room; 0 if the pair
 * was not known. After hf_map_reserve(). */
uint64_t *hf_map_value(struct hf_map *map, uint32_t inventory, uint64_t key);

/* Forgets all. */
void hf_map_clear(struct hf_map *map);
void hf_map_free(struct hf_map *map);

#endif
