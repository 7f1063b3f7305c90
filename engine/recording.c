/* Recording; see recording.h. */
#include "engine/recording.h"

#include "engine/lapse.h"
#include "engine/units.h"
#include "engine/waiting.h"
#include "engine/weighing.h"

static uint64_t kept_bits(const struct hf_step *step)
{
    uint64_t bits = step->makes ? 0 : step->word & HF_WORD_TERMS;
    const struct hf_reservation *after = &step->decision.after;
    if (step->notes.origin != 0 || step->notes.made_as != 0 || step->linked != 0)
        bits |= HF_WORD_TERMS;
    if (hf_state_is_active(after->state) && hf_step_is_counted(step))
        bits |= HF_WORD_COUNTED;
    return bits;
}

/* Everything but the word and the LSN. */
static void store(struct hf_transaction *change, struct hf_step *step)
{
    struct hf_region *region = hf_transaction_region(change);
    const struct hf_reservation *after = &step->decision.after;
    struct hf_terms *terms = &region->terms[step->number];
    /* Release: pairs with hf_reservation_copy(). */
    if (step->makes) {
        hf_reservation_set_id(step->cell, &after->id);
        hf_store_release(&step->cell->made_at_ns, after->made_at_ns);
        hf_store_release(&step->cell->inventory, (uint32_t)(step->use->cell - region->inventories));
        hf_store_release(&terms->link, step->linked);
        hf_store_release(&terms->made_as, step->notes.made_as);
        hf_store_release(&step->cell->word,
                         hf_reservation_word(after->state, after->sequence, after->qty) |
                             HF_WORD_MARKED);
    }
    hf_store_release(&terms->origin, step->notes.origin);
    if (after->state == HF_STATE_HELD)
        hf_store_release(&terms->due_ns, after->deadline_ns);
    hf_store_release(&step->cell->customer_id, after->customer_id);
    hf_reservation_store(step->cell, after);
}

static uint32_t image_version(const struct hf_transaction *change, const struct hf_step *step)
{
    if (hf_step_units_taken(step) > 0)
        return step->use->version;
    return hf_word_version(
        hf_mcas_load(&hf_transaction_region(change)->mcas, &step->use->cell->word));
}

/* All images in one chain; a single one has none. */
static void log_all(struct hf_transaction *change, uint32_t images)
{
    struct hf_ring_producer *log = &change->actor->log;
    uint64_t lsn = hf_ring_reserve_chain(log, images);
    uint32_t index = 0;
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = &change->steps[i];
        if (!step->decision.changes)
            continue;
        step->decision.after.lsn = lsn + index;
        step->notes.inventory_version = image_version(change, step);
        step->notes.flags =
            step->use->sold_out && hf_step_units_taken(step) > 0 ? HF_IMAGE_FLAG_SOLD_OUT : 0;
        step->notes.reason = HF_REASON_REQUEST;
        step->notes.chain_index = (uint8_t)(images > 1 ? index : 0);
        step->notes.chain_length = (uint8_t)(images > 1 ? images : 0);
        hf_image_encode_reservation((uint8_t *)hf_ring_slot(log->ring, lsn + index),
                                    &step->decision.after, &step->notes);
        index++;
    }
    for (index = 0; index < images; index++)
        hf_ring_publish(hf_ring_slot(log->ring, lsn + index), lsn + index);
    hf_store_relaxed(change->actor->logged_at_ns, change->actor->now_ns); /* for retention */
}

/* Into waiting lists, in the order of the LSNs, and then out of them: a list that somebody joins
 * does not end when the last before leaves. */
static void relist(struct hf_transaction *change)
{
    struct hf_region *region = hf_transaction_region(change);
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = &change->steps[i];
        if (step->decision.changes && step->decision.after.state == HF_STATE_WAITING)
            hf_waiting_append(region, step->use->cell, step->number);
    }
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = &change->steps[i];
        if (hf_step_leaves(step))
            hf_waiting_remove(change->actor, step->use->cell, step->number);
    }
}

static void count_held(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        const struct hf_step *step = &change->steps[i];
        if (step->decision.changes)
            step->use->held += hf_reservation_held(&step->decision.after) -
                               (step->makes ? 0 : hf_reservation_held(&step->before));
    }
    for (uint32_t i = 0; i < change->use_count; i++)
        if (change->uses[i].held != 0) /* release: who sees it lower finds the units back */
            hf_fetch_add_acq_rel(&change->uses[i].cell->held, (uint32_t)change->uses[i].held);
}

/* Those that were only looked at: one that was made for that has no units. */
static void drop_unchanged_counts(struct hf_transaction *change)
{
    struct hf_engine *engine = change->actor->engine;
    for (uint32_t i = 0; i < change->count_count; i++) {
        const struct hf_count *count = &change->counts[i];
        if (count->cell != NULL && count->takes == count->gives)
            hf_customers_drop(&engine->customers, &engine->region.mcas, count->cell);
    }
}

/* Each inventory's units with the first of its customers' counts, at one instant. */
static void give_back(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->count_count; i++) {
        struct hf_count *count = &change->counts[i];
        if (!count->weighed || count->takes >= count->gives)
            continue;
        struct hf_use *use = count->use;
        int64_t units = use->gives > use->takes ? use->gives - use->takes : 0;
        if (hf_units_return(change->actor, use->cell, (uint32_t)units, count->cell,
                            (uint32_t)(count->gives - count->takes)))
            use->needs_list = true;
        use->gives = use->takes;
    }
    drop_unchanged_counts(change);
    for (uint32_t i = 0; i < change->use_count; i++) {
        struct hf_use *use = &change->uses[i];
        if (use->gives > use->takes &&
            hf_units_return(change->actor, use->cell, (uint32_t)(use->gives - use->takes), NULL, 0))
            use->needs_list = true;
    }
}

static void store_end(struct hf_transaction *change, struct hf_step *step)
{
    const struct hf_reservation *after = &step->decision.after;
    if (hf_state_is_final(after->state)) /* release: pairs with hf_reservation_copy() */
        hf_store_release(&hf_transaction_region(change)->terms[step->number].due_ns,
                         hf_retention_end_ns(change->actor->engine, after->changed_at_ns));
}

static void clear(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = &change->steps[i];
        if (step->chain_of == step)
            hf_chain_leave(&step->chain);
    }
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = &change->steps[i];
        const struct hf_reservation *after = &step->decision.after;
        if (!step->decision.changes) {
            if (step->marked)
                hf_store_release(&step->cell->word, step->word); /* as it was */
            continue;
        }
        store_end(change, step);
        hf_reservation_unmark(step->cell, after, kept_bits(step));
        if (after->state == HF_STATE_HELD || hf_state_is_final(after->state))
            hf_engine_arm(change->actor, step->number);
    }
}

static void leave_lists(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->use_count; i++) {
        struct hf_use *use = &change->uses[i];
        if (use->needs_list)
            hf_waiting_serve(change->actor, use->cell);
        if (use->has_list)
            hf_waiting_leave(change->actor, use->cell);
        use->has_list = false;
    }
}

uint32_t hf_transaction_images(const struct hf_transaction *change)
{
    uint32_t images = 0;
    for (uint32_t i = 0; i < change->step_count; i++)
        images += change->steps[i].decision.changes;
    return images;
}

static uint32_t count_made(const struct hf_transaction *change)
{
    uint32_t made = 0;
    for (uint32_t i = 0; i < change->step_count; i++)
        made += change->steps[i].makes;
    return made;
}

void hf_transaction_record(struct hf_transaction *change)
{
    struct hf_region *region = hf_transaction_region(change);
    uint32_t images = hf_transaction_images(change);
    if (images == 0) {
        clear(change);
        hf_transaction_withdraw(change);
        leave_lists(change);
        return;
    }
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = &change->steps[i];
        if (step->makes)
            hf_chain_push(&step->chain_of->chain, region, step->number, hf_head_bit(step->hash));
    }
    log_all(change, images);
    for (uint32_t i = 0; i < change->step_count; i++)
        if (change->steps[i].decision.changes)
            store(change, &change->steps[i]);
    relist(change);
    give_back(change);
    hf_transaction_withdraw(change);
    count_held(change);
    clear(change);
    leave_lists(change);
    struct hf_actor *actor = change->actor;
    hf_store_relaxed(&actor->made, hf_load_relaxed(&actor->made) + count_made(change)); /* ours */
}
