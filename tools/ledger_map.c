/* Numbers by inventory and key; see ledger_map.h. */
#include "tools/ledger_map.h"

#include <stdlib.h>
#include <string.h>

#include "tools/ledger_index.h"

#define FIRST_SLOTS 1024

/* The slot of that pair, or the free one where it belongs. */
static struct hf_map_slot *slot_of(const struct hf_map *map, uint32_t inventory, uint64_t key)
{
    uint64_t mixed = key ^ (uint64_t)inventory * 0xd6e8feb86659fd93ull;
    uint64_t at = hf_hash_of_number(mixed) & map->mask;
    struct hf_map_slot *slot = &map->slots[at];
    while (slot->inventory != 0 && (slot->inventory != inventory + 1 || slot->key != key)) {
        at = (at + 1) & map->mask;
        slot = &map->slots[at];
    }
    return slot;
}

bool hf_map_reserve(struct hf_map *map)
{
    if (map->slots != NULL && (map->count + 1) * 2 <= map->mask + 1)
        return true;
    uint64_t slots = map->slots == NULL ? FIRST_SLOTS : (map->mask + 1) * 2;
    struct hf_map grown = {calloc(slots, sizeof(struct hf_map_slot)), slots - 1, map->count};
    if (grown.slots == NULL)
        return false;
    for (uint64_t at = 0; map->slots != NULL && at <= map->mask; at++) {
        const struct hf_map_slot *slot = &map->slots[at];
        if (slot->inventory != 0)
            *slot_of(&grown, slot->inventory - 1, slot->key) = *slot;
    }
    free(map->slots);
    *map = grown;
    return true;
}

uint64_t *hf_map_value(struct hf_map *map, uint32_t inventory, uint64_t key)
{
    struct hf_map_slot *slot = slot_of(map, inventory, key);
    if (slot->inventory == 0) {
        slot->key = key;
        slot->inventory = inventory + 1;
        map->count++;
    }
    return &slot->value;
}

void hf_map_clear(struct hf_map *map)
{
    if (map->slots != NULL)
        memset(map->slots, 0, (map->mask + 1) * sizeof *map->slots);
    map->count = 0;
}

void hf_map_free(struct hf_map *map)
{
    free(map->slots);
    *map = (struct hf_map){0};
}
