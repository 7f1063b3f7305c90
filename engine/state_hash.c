/* The state hash; its definition is in docs/log-format.md. */
#include "engine/state_hash.h"

#include <errno.h>
#include <stdlib.h>
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

int hf_state_hash_begin(struct hf_state_hash *hash, const struct hf_region *region)
{
    /* Acquire, pairs with hf_region_insert_inventory(): all cells before it are filled. */
    uint32_t inventories = hf_load_acquire(&region->header->inventory_count);
    *hash = (struct hf_state_hash){.next = 1, .inventories = inventories};
    hash->sequences = calloc(inventories + 1ull, sizeof *hash->sequences);
    return hash->sequences == NULL ? -ENOMEM : 0;
}

void hf_state_hash_end(struct hf_state_hash *hash)
{
    free(hash->sequences);
    hash->sequences = NULL;
}

/* Adds one reservation. False: its newest change has no LSN yet. */
static bool add_reservation(struct hf_state_hash *hash, const struct hf_region *region,
                            struct hf_reservation_cell *cell)
{
    if (hf_load_acquire(&cell->word) == 0) /* pairs with the release that clears the mark */
        return true;                       /* not in use */
    struct hf_reservation reservation;
    uint64_t word;
    if (!hf_reservation_copy(cell, &reservation, &word))
        return false;
    reservation.inventory_id = region->inventories[cell->inventory].inventory_id;
    hash->sum += hash_reservation(&reservation);
    hash->reservations++;
    if (cell->inventory < hash->inventories)
        hash->sequences[cell->inventory] += reservation.sequence;
    return true;
}

/* Adds the inventories. False: the counters of one do not agree with its reservations. */
static bool add_inventories(struct hf_state_hash *hash, const struct hf_region *region)
{
    bool settled = true;
    for (uint32_t i = 0; i < hash->inventories; i++) {
        const struct hf_inventory_cell *cell = &region->inventories[i];
        uint32_t version = hf_inventory_read(cell).version;
        settled = settled && version == cell->sequence + hash->sequences[i];
        hash->sum += hash_inventory(cell);
    }
    return settled;
}

enum hf_hashing hf_state_hash_step(struct hf_state_hash *hash, const struct hf_region *region,
                                   uint32_t limit)
{
    uint32_t end = hf_table_allotted(region);
    for (; limit > 0 && hash->next <= end; hash->next++, limit--)
        if (!add_reservation(hash, region, &region->reservations[hash->next]))
            return HF_HASHING_MORE;
    if (hash->next <= end)
        return HF_HASHING_MORE;
    return add_inventories(hash, region) ? HF_HASHING_DONE : HF_HASHING_UNSETTLED;
}
