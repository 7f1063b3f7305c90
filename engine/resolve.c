/* Resolving; the plain way is told in resolve.h. */
#include "engine/resolve.h"

#include "engine/change.h"
#include "engine/hash.h"
#include "engine/lapse.h"
#include "engine/units.h"
#include "engine/waiting.h"

/* What a state becomes, and what is answered. result 0: nothing that is plain. */
struct transition {
    enum hf_state to;
    unsigned result;
};

static struct transition transition_of(enum hf_operation operation, enum hf_state from)
{
    if (from == HF_STATE_HELD && operation == HF_OP_CONFIRM)
        return (struct transition){HF_STATE_CONFIRMED, HF_CONFIRMED};
    if (from == HF_STATE_HELD && (operation == HF_OP_RELEASE || operation == HF_OP_CANCEL))
        return (struct transition){HF_STATE_RELEASED, HF_RELEASED};
    if (from == HF_STATE_CONFIRMED && operation == HF_OP_CANCEL)
        return (struct transition){HF_STATE_CANCELLED, HF_CANCELLED};
    return (struct transition){from, 0};
}

/* True if the inventory's settings have no say in it: no end of cancellations, no counts, no change of
 * them under way. What only claims obey does not matter. */
static bool is_free(const struct hf_inventory_cell *inventory)
{
    const uint32_t involved = HF_RULE_CUTOFF | HF_RULE_COUNTED | HF_RULE_FRESH | HF_RULE_BETWEEN;
    /* seq_cst, pairs with hf_inventory_put(): see hf_inventory_announce(). */
    return (hf_load_seq_cst(&inventory->rules) & involved) == 0;
}

void hf_resolve_record(struct hf_actor *actor, uint32_t number, uint64_t word, uint32_t held,
                       uint8_t reason, struct hf_customer_cell *counter,
                       struct hf_reservation *changed)
{
    struct hf_region *region = &actor->engine->region;
    struct hf_reservation_cell *cell = &region->reservations[number];
    struct hf_inventory_cell *inventory =
        &region->inventories[hf_load_relaxed(&cell->inventory)]; /* constant while in use */
    bool final = hf_state_is_final(changed->state), serve = false;
    struct hf_image_notes notes;
    hf_notes_of(region, cell, word, &notes);
    notes.reason = reason;
    notes.inventory_version = hf_word_version(hf_mcas_load(&region->mcas, &inventory->word));
    changed->lsn = hf_log_reservation(actor, changed, &notes);
    hf_reservation_store(cell, changed);
    if (final) {
        /* Release: pairs with hf_reservation_copy(). */
        hf_store_release(&region->terms[number].due_ns,
                         hf_retention_end_ns(actor->engine, changed->changed_at_ns));
        serve = hf_units_return(actor, inventory, changed->qty, counter, changed->qty);
        hf_inventory_withdraw(inventory);
    }
    /* Afterwards: who finds too few units, and no hold that could lapse, does not look for any. */
    if (held != 0)
        hf_fetch_sub_acq_rel(&inventory->held, held);
    hf_reservation_unmark(cell, changed, word & HF_WORD_TERMS);
    if (final)
        hf_engine_arm(actor, number);
    if (serve)
        hf_waiting_serve(actor, inventory);
}

/* The plain way. False: it is more than that, or cannot be done now; nothing was done. */
static bool resolve_plain(struct hf_actor *actor, enum hf_operation operation,
                          const struct hf_id *id, struct hf_outcome *outcome)
{
    struct hf_region *region = &actor->engine->region;
    struct hf_reservation *changed = &outcome->reservation;
    struct hf_reservation_cell *cell;
    uint64_t word;
    if (hf_table_find(region, id, hf_hash_id(id, region->header->hash_seed), &cell) !=
            HF_LOOKUP_FOUND ||
        hf_reservation_copy(region, cell, changed, &word) != HF_COPIED)
        return false;
    struct transition transition = transition_of(operation, changed->state);
    bool held = changed->state == HF_STATE_HELD;
    if (transition.result == 0 || (word & HF_WORD_COUNTED) != 0 ||
        (held && actor->now_ns >= changed->deadline_ns))
        return false;
    struct hf_inventory_cell *inventory =
        &region->inventories[hf_load_relaxed(&cell->inventory)]; /* constant while in use */
    uint64_t seen = word;
    if (!is_free(inventory) || !hf_ring_credit(&actor->log, 1 + HF_UNITS_CREDITS) ||
        !hf_cas_acq_rel(&cell->word, &seen, word | HF_WORD_MARKED)) /* as every change */
        return false;
    bool gives = hf_state_is_final(transition.to);
    if (gives) /* as hf_transaction_announce_gives() */
        hf_inventory_announce(inventory);
    if (!is_free(inventory)) { /* step 2 */
        if (gives)
            hf_inventory_withdraw(inventory);
        hf_store_release(&cell->word, word); /* as it was */
        return false;
    }
    changed->state = transition.to;
    changed->deadline_ns = 0;
    changed->sequence++;
    /* Another actor's batch may have begun after ours: dates of one reservation never go back. */
    if (changed->changed_at_ns < actor->now_ns)
        changed->changed_at_ns = actor->now_ns;
    hf_resolve_record(actor, (uint32_t)(cell - region->reservations), word, held ? changed->qty : 0,
                      HF_REASON_REQUEST, NULL, changed);
    hf_outcome_begin(outcome);
    outcome->result = transition.result;
    outcome->wait_for_lsn = changed->lsn;
    return true;
}

void hf_engine_resolve(struct hf_actor *actor, enum hf_operation operation, const struct hf_id *id,
                       struct hf_outcome *outcome)
{
    if (HF_LIKELY(resolve_plain(actor, operation, id, outcome)))
        return;
    const struct hf_line line = {.operation = operation, .id = *id};
    hf_engine_change(actor, &line, 1, 0, NULL, outcome);
}
