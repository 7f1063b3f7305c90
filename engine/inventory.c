/* The inventory word; its layout and its rules are told in inventory.h. */
#include "engine/inventory.h"

bool hf_inventory_claim(struct hf_inventory_cell *cell, uint32_t qty, struct hf_availability *after)
{
    uint64_t word = hf_load_acquire(&cell->word); /* as in hf_inventory_read() */
    for (;;) {
        int32_t available = hf_word_available(word);
        uint32_t version = hf_word_version(word);
        *after = (struct hf_availability){available, version};
        if (available < (int32_t)qty)
            return false;
        uint64_t claimed = hf_word_make(available - (int32_t)qty, version + 1);
        /* acq_rel. Acquire pairs with hf_inventory_release(): the units that we take were given
         * back after their LSN, so our LSN will come after it. Release pairs with the loads of
         * those whom we leave nothing: they see our entry in the gate. */
        if (hf_cas_weak_acq_rel(&cell->word, &word, claimed)) {
            *after = (struct hf_availability){available - (int32_t)qty, version + 1};
            return true;
        }
    }
}

void hf_inventory_release(struct hf_inventory_cell *cell, uint32_t qty)
{
    uint64_t word = hf_load_relaxed(&cell->word); /* the CAS decides */
    uint64_t released;
    do {
        released = hf_word_make(hf_word_available(word) + (int32_t)qty, hf_word_version(word) + 1);
        /* acq_rel, pairs with hf_inventory_claim(). */
    } while (!hf_cas_weak_acq_rel(&cell->word, &word, released));
}

void hf_inventory_describe(const struct hf_inventory_cell *cell, struct hf_inventory *inventory)
{
    struct hf_availability now = hf_inventory_read(cell);
    *inventory = (struct hf_inventory){
        .inventory_id = cell->inventory_id,
        .product_id = cell->product_id,
        .lsn = cell->lsn,
        .made_at_ns = cell->made_at_ns,
        .capacity = cell->capacity,
        .sell_limit = cell->sell_limit,
        .available = now.available,
        .held = 0,
        /* Derived, so that CONSERVATION holds in every answer. */
        .confirmed = (uint32_t)((int32_t)cell->sell_limit - now.available),
        .version = now.version,
    };
}
