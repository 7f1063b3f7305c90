/* Epochs; the argument is told in epoch.h. */
#include "engine/epoch.h"

void hf_epochs_init(struct hf_epochs *epochs)
{
    hf_store_relaxed(&epochs->now, 1); /* all relaxed: nobody else knows it yet */
    hf_store_relaxed(&epochs->slot_count, 0);
    for (uint32_t i = 0; i < HF_MAX_ACTORS; i++) {
        hf_store_relaxed(&epochs->slots[i].entered, 0);
        hf_store_relaxed(&epochs->slots[i].taken, 0);
    }
}

/* Makes sure that hf_epochs_passed() looks at the first `count` slots. */
static void raise_slot_count(struct hf_epochs *epochs, uint32_t count)
{
    /* seq_cst, as the CAS, pairs with hf_epochs_passed(): 4. of the argument. */
    uint32_t known = hf_load_seq_cst(&epochs->slot_count);
    while (known < count) {
        if (hf_cas_seq_cst(&epochs->slot_count, &known, count))
            return;
    }
}

uint32_t hf_epochs_join(struct hf_epochs *epochs)
{
    for (uint32_t actor = 0; actor < HF_MAX_ACTORS; actor++) {
        uint32_t taken = 0;
        /* acq_rel, pairs with hf_epochs_leave(): what the one before did with the number, and with
         * all that belongs to it, is done. */
        if (hf_cas_acq_rel(&epochs->slots[actor].taken, &taken, 1)) {
            raise_slot_count(epochs, actor + 1);
            return actor;
        }
    }
    return UINT32_MAX;
}

void hf_epochs_leave(struct hf_epochs *epochs, uint32_t actor)
{
    HF_CHECK(hf_load_relaxed(&epochs->slots[actor].entered) == 0); /* relaxed: our own */
    hf_store_release(&epochs->slots[actor].taken, 0);              /* pairs with hf_epochs_join() */
}

uint64_t hf_epochs_retire(struct hf_epochs *epochs)
{
    /* seq_cst, C in the argument, pairs with hf_epochs_enter(). */
    return hf_fetch_add_seq_cst(&epochs->now, 1);
}

bool hf_epochs_passed(struct hf_epochs *epochs, uint64_t stamp)
{
    /* seq_cst, pairs with raise_slot_count(). */
    uint32_t count = hf_load_seq_cst(&epochs->slot_count);
    for (uint32_t actor = 0; actor < count; actor++) {
        /* seq_cst, D in the argument, pairs with hf_epochs_enter() and hf_epochs_exit(). */
        uint64_t entered = hf_load_seq_cst(&epochs->slots[actor].entered);
        if (entered != 0 && entered <= stamp)
            return false;
    }
    return true;
}
