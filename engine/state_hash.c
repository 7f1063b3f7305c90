/* The state hash; its definition is in docs/log-format.md, what makes it one state's in
 * state_hash.h. */
#include "engine/state_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "engine/image.h"
#include "engine/table.h"
#include "engine/waiting.h"
#include "wal/record.h"

#define INVENTORY_BYTES (HF_RECORD_BYTES + 8) /* its record, and what is available */

static uint64_t hash_inventory(const struct hf_inventory *described, const struct hf_rules *rules)
{
    struct hf_inventory inventory = *described;
    struct hf_settings settings = rules->settings;
    uint8_t bytes[INVENTORY_BYTES];
    inventory.capacity = rules->capacity;
    inventory.version = 0;
    inventory.flags = 0;
    settings.flags &= ~HF_INVENTORY_SOLD_OUT_CLOSED;
    hf_image_encode_inventory(bytes, &inventory, &settings, rules->sequence, rules->changed_at_ns);
    hf_put_u64(bytes, rules->lsn);
    hf_put_u64(bytes + HF_RECORD_BYTES, (uint64_t)(int64_t)described->available);
    return XXH3_64bits(bytes, sizeof bytes);
}

static uint64_t hash_reservation(const struct hf_reservation *reservation,
                                 const struct hf_image_notes *notes)
{
    struct hf_reservation hashed = *reservation;
    const struct hf_image_notes kept = {.origin = notes->origin, .made_as = notes->made_as};
    uint8_t record[HF_RECORD_BYTES];
    hashed.linked_id = (struct hf_id){{0}};
    hf_image_encode_reservation(record, &hashed, &kept);
    hf_put_u64(record, reservation->lsn);
    return XXH3_64bits(record, sizeof record);
}

int hf_state_hash_begin(struct hf_state_hash *hash, const struct hf_region *region,
                        uint64_t forget_before_ns)
{
    /* Acquire, pairs with hf_region_insert_inventory(): all cells before it are filled. */
    uint32_t inventories = hf_load_acquire(&region->header->inventory_count);
    *hash = (struct hf_state_hash){
        .next = 1, .inventory_count = inventories, .forget_before_ns = forget_before_ns};
    hash->inventories = calloc(inventories + 1ull, sizeof *hash->inventories);
    return hash->inventories == NULL ? -ENOMEM : 0;
}

void hf_state_hash_end(struct hf_state_hash *hash)
{
    free(hash->inventories);
    hash->inventories = NULL;
}

static bool is_forgotten(const struct hf_state_hash *hash, const struct hf_reservation *reservation)
{
    return hf_state_is_final(reservation->state) &&
           reservation->changed_at_ns <= hash->forget_before_ns;
}

/* Adds one reservation. False: it is changing. */
static bool add_reservation(struct hf_state_hash *hash, const struct hf_region *region,
                            const struct hf_reservation_cell *cell)
{
    struct hf_reservation reservation;
    struct hf_image_notes notes;
    uint64_t word;
    switch (hf_reservation_copy(region, cell, &reservation, &word)) {
    case HF_COPIED:
        break;
    case HF_COPY_MARKED:
        return false;
    case HF_COPY_UNUSED:
        return true;
    }
    hf_notes_of(region, cell, word, &notes);
    uint32_t inventory = hf_load_relaxed(&cell->inventory); /* constant while in use */
    /* Acquire: the notes were read before. They are those of the word if it is still the same. */
    if (hf_load_acquire(&cell->word) != word)
        return false;
    if (is_forgotten(hash, &reservation))
        return true;
    hash->sum += hash_reservation(&reservation, &notes);
    hash->reservations++;
    if (inventory >= hash->inventory_count)
        return true; /* made since: the LSN has moved on */
    if (hf_state_is_active(reservation.state))
        hash->inventories[inventory].units += reservation.qty;
    hash->inventories[inventory].waiting += reservation.state == HF_STATE_WAITING;
    return true;
}

/* Adds an inventory with what was met of it. False: it is changing. */
static bool add_inventory(struct hf_state_hash *hash, const struct hf_region *region,
                          const struct hf_inventory_cell *cell,
                          const struct hf_hashed_inventory *met)
{
    struct hf_inventory inventory;
    struct hf_rules rules;
    /* Acquire, pairs with the release of who gives up the right: all that was done with it. */
    if (hf_load_acquire(&cell->setting) != 0 || !hf_waiting_is_free(cell))
        return false;
    hf_inventory_copy_settings(cell, &rules);
    hf_inventory_describe(cell, &region->mcas, &inventory);
    /* Relaxed is enough: the loads above are acquires, so this one comes behind them; and who has
     * changed what they saw took the right before. */
    if (hf_load_relaxed(&cell->setting) != 0)
        return false;
    hash->sum += hash_inventory(&inventory, &rules);
    return inventory.available + met->units == (int64_t)rules.settings.sell_limit &&
           inventory.waiting == met->waiting;
}

enum hf_hashing hf_state_hash_step(struct hf_state_hash *hash, const struct hf_region *region,
                                   uint32_t limit)
{
    uint32_t end = hf_cells_allotted(region);
    for (; limit > 0 && hash->next <= end; hash->next++, limit--)
        if (!add_reservation(hash, region, &region->reservations[hash->next]))
            return HF_HASHING_MORE;
    if (hash->next <= end)
        return HF_HASHING_MORE;
    for (uint32_t i = 0; i < hash->inventory_count; i++)
        if (!add_inventory(hash, region, &region->inventories[i], &hash->inventories[i]))
            return HF_HASHING_UNSETTLED;
    return HF_HASHING_DONE;
}
