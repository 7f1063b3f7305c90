/* Replay; its rule is told in replay.h. One thread, before anyone else sees the region: every
 * access to a shared field here is relaxed for that reason. */
#include "engine/replay.h"

#include <stdio.h>
#include <string.h>

#include "engine/hash.h"
#include "engine/image.h"

void hf_replay_init(struct hf_replay *replay, struct hf_region *region)
{
    *replay = (struct hf_replay){.region = region};
}

static const char *apply_inventory(struct hf_replay *replay, const struct hf_image *image)
{
    struct hf_region *region = replay->region;
    struct hf_inventory_cell *cell =
        hf_region_find_inventory(region, image->inventory.inventory_id);
    bool is_new = cell == NULL;
    if (is_new)
        cell = hf_region_next_inventory(region);
    if (cell == NULL) {
        snprintf(replay->reason, sizeof replay->reason,
                 "it is inventory number %u; start with a larger --max-inventories",
                 region->header->max_inventories + 1);
        return replay->reason;
    }
    if (!is_new && image->inventory_sequence <= cell->sequence)
        return NULL;
    cell->inventory_id = image->inventory.inventory_id;
    cell->product_id = image->inventory.product_id;
    cell->lsn = image->lsn;
    cell->made_at_ns = image->inventory.made_at_ns;
    cell->changed_at_ns = image->inventory_changed_at_ns;
    cell->capacity = image->inventory.capacity;
    cell->sell_limit = image->inventory.sell_limit;
    cell->sequence = image->inventory_sequence;
    if (is_new)
        hf_region_insert_inventory(region);
    return NULL;
}

/* True if the image is newer than what the cell holds. */
static bool is_newer(const struct hf_reservation *image, const struct hf_reservation_cell *cell)
{
    if (image->made_at_ns != cell->made_at_ns)
        return image->made_at_ns > cell->made_at_ns;
    return image->sequence > hf_reservation_word_sequence(hf_load_relaxed(&cell->word));
}

static void store_reservation(struct hf_reservation_cell *cell, const struct hf_reservation *image,
                              uint32_t inventory_number)
{
    memcpy(cell->id, image->id.bytes, sizeof cell->id);
    cell->customer_id = image->customer_id;
    cell->made_at_ns = image->made_at_ns;
    cell->inventory = inventory_number;
    hf_store_relaxed(&cell->lsn, image->lsn);
    hf_store_relaxed(&cell->changed_at_ns, image->changed_at_ns);
    hf_store_relaxed(&cell->word, hf_reservation_word(image->state, image->sequence, image->qty));
}

static const char *apply_reservation(struct hf_replay *replay, const struct hf_reservation *image)
{
    struct hf_region *region = replay->region;
    struct hf_inventory_cell *inventory = hf_region_find_inventory(region, image->inventory_id);
    if (inventory == NULL) {
        snprintf(replay->reason, sizeof replay->reason,
                 "its inventory %llu does not appear before it in the log",
                 (unsigned long long)image->inventory_id);
        return replay->reason;
    }
    uint32_t inventory_number = (uint32_t)(inventory - region->inventories);
    struct hf_chain chain;
    struct hf_reservation_cell *cell;
    if (hf_table_take(region, &image->id, hf_hash_id(&image->id, region->header->hash_seed), &chain,
                      &cell) == HF_LOOKUP_FOUND) {
        if (is_newer(image, cell))
            store_reservation(cell, image, inventory_number);
        return NULL;
    }
    if (!hf_table_allot(region, &replay->allotment)) {
        hf_chain_leave(&chain);
        snprintf(
            replay->reason, sizeof replay->reason,
            "it is one reservation more than --max-reservations %u allows; start with a larger "
            "one",
            region->header->max_reservations);
        return replay->reason;
    }
    store_reservation(hf_table_free_cell(region, &replay->allotment), image, inventory_number);
    hf_chain_insert(&chain, region, &replay->allotment);
    replay->reservations++;
    return NULL;
}

void hf_replay_prefetch(struct hf_replay *replay, const uint8_t *record)
{
    struct hf_id id;
    memcpy(id.bytes, record + HF_IMAGE_ID, sizeof id.bytes);
    uint64_t hash = hf_hash_id(&id, replay->region->header->hash_seed);
    hf_table_prefetch_head(replay->region, hash);
    /* The head that was asked for some records ago is there by now. */
    uint64_t *earlier = &replay->prefetched[replay->prefetch_count++ % HF_REPLAY_PREFETCHES];
    hf_table_prefetch_cell(replay->region, *earlier);
    *earlier = hash;
}

const char *hf_replay_apply(struct hf_replay *replay, const uint8_t *record)
{
    struct hf_image image;
    const char *reason = hf_image_decode(record, &image);
    if (reason != NULL)
        return reason;
    switch (image.kind) {
    case HF_IMAGE_INVENTORY:
        return apply_inventory(replay, &image);
    case HF_IMAGE_RESERVATION:
        return apply_reservation(replay, &image.reservation);
    }
    return "its kind is unknown";
}

/* Counts one reservation in its inventory's counters. False: it has more than is left. */
static bool derive_from(struct hf_replay *replay, const struct hf_reservation_cell *cell)
{
    uint64_t word = hf_load_relaxed(&cell->word);
    if (word == 0)
        return true; /* allotted, not in use */
    struct hf_inventory_cell *inventory = &replay->region->inventories[cell->inventory];
    uint64_t counters = hf_load_relaxed(&inventory->word);
    int32_t available = hf_word_available(counters);
    int32_t qty = hf_reservation_word_active(word) ? (int32_t)hf_reservation_word_qty(word) : 0;
    if (qty > available) {
        snprintf(
            replay->reason, sizeof replay->reason,
            "inventory %llu would be oversold: its sell limit of %u is less than its reservations "
            "hold (NO-OVERSELL)",
            (unsigned long long)inventory->inventory_id, inventory->sell_limit);
        return false;
    }
    uint32_t version = hf_word_version(counters) + hf_reservation_word_sequence(word);
    hf_store_relaxed(&inventory->word, hf_word_make(available - qty, version));
    return true;
}

const char *hf_replay_finish(struct hf_replay *replay)
{
    struct hf_region *region = replay->region;
    uint32_t inventories = hf_load_relaxed(&region->header->inventory_count);
    for (uint32_t i = 0; i < inventories; i++) {
        struct hf_inventory_cell *inventory = &region->inventories[i];
        hf_store_relaxed(&inventory->word,
                         hf_word_make((int32_t)inventory->sell_limit, inventory->sequence));
    }
    uint32_t end = hf_table_allotted(region);
    for (uint32_t number = 1; number <= end; number++)
        if (!derive_from(replay, &region->reservations[number]))
            return replay->reason;
    hf_table_return(region, &replay->allotment);
    return NULL;
}
