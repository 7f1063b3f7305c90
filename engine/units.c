/* Units going back; see units.h. */
#include "engine/units.h"

bool hf_units_find_counter(struct hf_actor *actor, uint32_t inventory, uint64_t customer_id,
                           uint64_t word, struct hf_customer_cell **counter)
{
    *counter = NULL;
    if ((word & HF_WORD_COUNTED) == 0)
        return true;
    bool busy = false;
    /* Busy or not: if there is none, the reservation was changed since it was read, as its units
     * were in the count. */
    *counter = hf_customers_find(&actor->engine->customers, inventory, customer_id, &busy);
    return *counter != NULL;
}

void hf_units_tell_again(struct hf_actor *actor, const struct hf_inventory_cell *cell,
                         uint64_t word)
{
    const struct hf_inventory inventory = {
        .inventory_id = cell->inventory_id,
        .available = hf_word_available(word),
        .version = hf_word_version(word),
    };
    uint64_t lsn;
    struct hf_ring_slot *slot = hf_ring_reserve(&actor->log, &lsn);
    hf_image_encode_event((uint8_t *)slot, HF_EVENT_AVAILABLE_AGAIN, &inventory, actor->now_ns);
    hf_ring_publish(slot, lsn);
    hf_store_relaxed(actor->logged_at_ns, actor->now_ns); /* a number for retention */
}

static void return_counted(struct hf_actor *actor, struct hf_inventory_cell *cell, uint32_t units,
                           struct hf_customer_cell *counter, uint32_t customer_units,
                           uint64_t *before, uint64_t *after)
{
    const struct hf_mcas *mcas = &actor->engine->region.mcas;
    struct hf_mcas_entry entries[2];
    uint32_t count;
    uint64_t counted;
    do {
        counted = hf_mcas_load(mcas, &counter->word);
        int32_t left = hf_word_available(counted) - (int32_t)customer_units;
        HF_CHECK(left >= 0);
        entries[0] = (struct hf_mcas_entry){&counter->word, counted, hf_word_moved(counted, left)};
        count = 1;
        if (units != 0) {
            *before = hf_mcas_load(mcas, &cell->word);
            *after = hf_word_moved(*before, hf_word_available(*before) + (int32_t)units);
            entries[1] = (struct hf_mcas_entry){&cell->word, *before, *after};
            count = 2;
        }
    } while (!hf_mcas(mcas, actor->number, entries, count));
    hf_customers_drop(&actor->engine->customers, mcas, counter);
}

static void return_plain(struct hf_actor *actor, struct hf_inventory_cell *cell, uint32_t units,
                         uint64_t *before, uint64_t *after)
{
    uint64_t seen;
    do {
        seen = hf_mcas_load(&actor->engine->region.mcas, &cell->word);
        *before = seen;
        *after = hf_word_moved(seen, hf_word_available(seen) + (int32_t)units);
        /* acq_rel, pairs with the claims: they take the units after this, so their LSNs come after
         * the one that was taken before it. */
    } while (!hf_cas_acq_rel(&cell->word, &seen, *after));
}

bool hf_units_return(struct hf_actor *actor, struct hf_inventory_cell *cell, uint32_t units,
                     struct hf_customer_cell *counter, uint32_t customer_units)
{
    uint64_t before = 0, after = 0;
    if (counter != NULL)
        return_counted(actor, cell, units, counter, customer_units, &before, &after);
    else if (units != 0)
        return_plain(actor, cell, units, &before, &after);
    if (units == 0 || hf_word_available(after) <= 0)
        return false;
    if (after & HF_WORD_WAITING)
        return true;
    if (hf_word_available(before) <= 0 && (after & HF_WORD_SEALED) == 0)
        hf_units_tell_again(actor, cell, after);
    return false;
}
