/* Units by inventory and customer; see ledger_map.h. */
#include "tools/ledger_map.h"

#include "tools/ledger_index.h"
#include "tools/ledger_pages.h"

#define FIRST_SLOTS 1024

static uint64_t home_of(const struct hf_ledger_map *map, uint32_t inventory, uint64_t customer_id)
{
    const uint64_t pair[2] = {inventory, customer_id};
    return XXH3_64bits_withSeed(pair, sizeof pair, map->seed) & map->mask;
}

/* Where the pair stands, or the free slot where it belongs. The map is not empty. */
static uint64_t find(const struct hf_ledger_map *map, uint32_t inventory, uint64_t customer_id)
{
    uint64_t at = home_of(map, inventory, customer_id);
    while (map->slots[at].inventory != 0 &&
           (map->slots[at].inventory != inventory + 1 || map->slots[at].customer_id != customer_id))
        at = (at + 1) & map->mask;
    return at;
}

/* Makes room for one more: at most half of the slots are taken. */
static bool reserve(struct hf_ledger_map *map)
{
    if (map->slots != NULL && (map->count + 1) * 2 <= map->mask + 1)
        return true;
    uint64_t slots = map->slots == NULL ? FIRST_SLOTS : (map->mask + 1) * 2;
    struct hf_ledger_map grown = {hf_ledger_pages_alloc(slots * sizeof *map->slots), slots - 1,
                                  map->count, map->seed};
    if (grown.slots == NULL)
        return false;
    for (uint64_t at = 0; map->slots != NULL && at <= map->mask; at++) {
        const struct hf_ledger_map_slot *slot = &map->slots[at];
        if (slot->inventory != 0)
            grown.slots[find(&grown, slot->inventory - 1, slot->customer_id)] = *slot;
    }
    hf_ledger_map_free(map);
    *map = grown;
    return true;
}

/* What follows is moved up, as long as that brings it no farther than to its home. */
static void take_out(struct hf_ledger_map *map, uint64_t hole)
{
    for (uint64_t at = (hole + 1) & map->mask; map->slots[at].inventory != 0;
         at = (at + 1) & map->mask) {
        const struct hf_ledger_map_slot *slot = &map->slots[at];
        uint64_t home = home_of(map, slot->inventory - 1, slot->customer_id);
        if (((at - home) & map->mask) < ((at - hole) & map->mask))
            continue;
        map->slots[hole] = *slot;
        hole = at;
    }
    map->slots[hole] = (struct hf_ledger_map_slot){0};
    map->count--;
}

bool hf_ledger_map_add(struct hf_ledger_map *map, uint32_t inventory, uint64_t customer_id,
                       int64_t units)
{
    if (!reserve(map))
        return false;
    uint64_t at = find(map, inventory, customer_id);
    struct hf_ledger_map_slot *slot = &map->slots[at];
    map->count += slot->inventory == 0;
    *slot = (struct hf_ledger_map_slot){customer_id, inventory + 1, slot->units + (uint32_t)units};
    if (slot->units == 0)
        take_out(map, at);
    return true;
}

uint32_t hf_ledger_map_units(const struct hf_ledger_map *map, uint32_t inventory,
                             uint64_t customer_id)
{
    return map->slots == NULL ? 0 : map->slots[find(map, inventory, customer_id)].units;
}

void hf_ledger_map_prefetch(const struct hf_ledger_map *map, uint32_t inventory,
                            uint64_t customer_id)
{
    if (map->slots != NULL)
        __builtin_prefetch(&map->slots[home_of(map, inventory, customer_id)], 1);
}

void hf_ledger_map_free(struct hf_ledger_map *map)
{
    hf_ledger_pages_free(map->slots, (map->mask + 1) * sizeof *map->slots);
    *map = (struct hf_ledger_map){.seed = map->seed};
}
