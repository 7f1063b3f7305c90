/* The state hash; its definition is in docs/log-format.md. */
#include "engine/state_hash.h"

#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "engine/image.h"
#include "engine/table.h"
#include "wal/record.h"

static uint64_t hash_inventory(const struct hf_inventory_cell *cell)
{
    struct hf_inventory inventory;
    uint8_t record[HF_RECORD_BYTES];
    hf_inventory_describe(cell, &inventory);
    hf_image_encode_inventory(record, &inventory, cell->sequence, cell->changed_at_ns);
    hf_put_u64(record, cell->lsn);
    hf_put_u32(record + 64, (uint32_t)inventory.available);
    hf_put_u32(record + 68, inventory.version);
    return XXH3_64bits(record, sizeof record);
}

static uint64_t hash_reservation(const struct hf_reservation *reservation)
{
    uint8_t record[HF_RECORD_BYTES];
    hf_image_encode_reservation(record, reservation, 0);
    hf_put_u64(record, reservation->lsn);
    return XXH3_64bits(record, sizeof record);
}

bool hf_state_hash_step(struct hf_state_hash *hash, const struct hf_region *region, uint32_t limit)
{
    uint32_t end = hf_table_allotted(region);
    if (hash->next == 0)
        hash->next = 1;
    for (; limit > 0 && hash->next <= end; hash->next++, limit--) {
        struct hf_reservation_cell *cell = &region->reservations[hash->next];
        if (hf_load_acquire(&cell->word) == 0) /* pairs with the release that clears the mark */
            continue;
        struct hf_reservation reservation;
        uint64_t word;
        if (!hf_reservation_copy(cell, &reservation, &word))
            return false;
        reservation.inventory_id = region->inventories[cell->inventory].inventory_id;
        hash->sum += hash_reservation(&reservation);
        hash->reservations++;
    }
    if (hash->next <= end)
        return false;
    uint32_t inventories = hf_load_acquire(&region->header->inventory_count); /* as in list */
    for (uint32_t i = 0; i < inventories; i++)
        hash->sum += hash_inventory(&region->inventories[i]);
    return true;
}
