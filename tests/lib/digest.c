/* The digest of a state: see digest.h. */
#include "tests/lib/digest.h"

#include <xxhash.h>

#include "base/check.h"
#include "engine/lapse.h"
#include "engine/state_hash.h"

static uint64_t digest_of(const void *bytes, size_t count)
{
    return XXH3_64bits(bytes, count);
}

/* Its retention ended: whether the engine has noticed is not of the state. */
static bool is_over(const struct hf_engine *engine, const struct hf_reservation *reservation)
{
    return hf_state_is_final(reservation->state) &&
           hf_retention_end_ns(engine, reservation->changed_at_ns) <= hf_engine_log_time_ns(engine);
}

static uint64_t digest_reservation(const struct hf_reservation *reservation,
                                   const struct hf_image_notes *notes)
{
    uint8_t record[HF_RECORD_BYTES] = {0};
    struct hf_image_notes kept = {.origin = notes->origin, .made_as = notes->made_as};
    hf_image_encode_reservation(record, reservation, &kept);
    return digest_of(record, sizeof record) + reservation->lsn * 0x9e3779b97f4a7c15ull;
}

/* The numbers of its list in their order, as LSNs. */
static uint64_t digest_list(const struct hf_region *region, const struct hf_inventory_cell *cell)
{
    uint64_t sum = 0;
    for (uint32_t number = cell->waiting_first; number != 0;
         number = hf_load_relaxed(&region->terms[number].link)) /* nothing is being changed */
        sum = sum * 0x9e3779b97f4a7c15ull + hf_load_relaxed(&region->reservations[number].lsn);
    return sum;
}

static uint64_t digest_inventory(const struct hf_region *region,
                                 const struct hf_inventory_cell *cell)
{
    uint8_t record[HF_RECORD_BYTES] = {0};
    struct hf_inventory inventory;
    struct hf_rules rules;
    hf_inventory_describe(cell, &region->mcas, &inventory);
    hf_inventory_copy_settings(cell, &rules);
    rules.settings.flags = inventory.flags;
    uint64_t sums[6] = {(uint64_t)(int64_t)inventory.available,
                        inventory.held,
                        inventory.confirmed,
                        inventory.waiting,
                        rules.lsn,
                        digest_list(region, cell)};
    inventory.version = 0;
    hf_image_encode_inventory(record, &inventory, &rules.settings, rules.sequence,
                              rules.changed_at_ns);
    return digest_of(record, sizeof record) ^ digest_of(sums, sizeof sums);
}

uint64_t hf_digest_engine(const struct hf_engine *engine)
{
    const struct hf_region *region = &engine->region;
    uint64_t sum = 0;
    uint32_t end = hf_cells_allotted(region);
    for (uint32_t number = 1; number <= end; number++) {
        struct hf_reservation reservation;
        struct hf_image_notes notes;
        uint64_t word;
        const struct hf_reservation_cell *cell = &region->reservations[number];
        enum hf_copy copied = hf_reservation_copy(region, cell, &reservation, &word);
        HF_CHECK(copied != HF_COPY_MARKED);
        if (copied == HF_COPY_UNUSED || is_over(engine, &reservation))
            continue;
        hf_notes_of(region, cell, word, &notes);
        sum += digest_reservation(&reservation, &notes);
    }
    uint32_t inventories = hf_load_acquire(&region->header->inventory_count); /* as any reader */
    for (uint32_t i = 0; i < inventories; i++)
        sum += digest_inventory(region, &region->inventories[i]);
    return sum;
}

uint64_t hf_digest_state_hash(const struct hf_engine *engine)
{
    struct hf_state_hash hash;
    HF_CHECK(hf_state_hash_begin(&hash, &engine->region, hf_engine_forget_before_ns(engine)) == 0);
    HF_CHECK(hf_state_hash_step(&hash, &engine->region, UINT32_MAX) == HF_HASHING_DONE);
    uint64_t sum = hash.sum;
    hf_state_hash_end(&hash);
    return sum;
}
