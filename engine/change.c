/* Changes; their steps and why they suffice are told in change.h. */
#include "engine/change.h"

#include "engine/lapse.h"
#include "engine/recording.h"
#include "engine/transaction.h"
#include "engine/units.h"
#include "engine/weighing.h"

static enum hf_attempt copy_known(struct hf_transaction *change, struct hf_step *step)
{
    const struct hf_region *region = hf_transaction_region(change);
    step->number = (uint32_t)(step->cell - region->reservations);
    if (hf_reservation_copy(region, step->cell, &step->before, &step->word) != HF_COPIED)
        return HF_ATTEMPT_BUSY;
    hf_notes_of(region, step->cell, step->word, &step->notes);
    return HF_ATTEMPT_GO_ON;
}

/* A known id of a claim: the first answer again. Nothing is made. */
static enum hf_attempt decide_repeat(struct hf_transaction *change, struct hf_step *step)
{
    if (copy_known(change, step) == HF_ATTEMPT_BUSY)
        return HF_ATTEMPT_BUSY;
    step->makes = false;
    hf_decide_repeat(&step->line, &step->before, &step->notes, &step->decision);
    return HF_ATTEMPT_GO_ON;
}

/* What a claim would make; whether it may is weighed later. */
static void decide_claim(struct hf_transaction *change, struct hf_step *step)
{
    struct hf_region *region = hf_transaction_region(change);
    struct hf_inventory_cell *cell = hf_region_find_inventory(region, step->line.inventory_id);
    hf_decide_claim(&step->line, change->actor->now_ns, &step->notes, &step->decision);
    step->use = cell == NULL ? NULL : hf_transaction_use(change, cell);
}

/* CONFIRM of a lapsed hold, with REACQUIRE: from here on the step is a claim, under a new id. */
static enum hf_attempt decide_reacquire(struct hf_transaction *change, struct hf_step *step)
{
    if (step->before.state == HF_STATE_HELD &&
        hf_lapse_one(change->actor, step->number) != HF_LAPSE_SOME)
        return HF_ATTEMPT_BUSY; /* or somebody has confirmed it in time: look again */
    struct hf_id id = step->line.new_id;
    if (hf_id_is_zero(&id))
        hf_id_derive(&step->line.id, &id);
    struct hf_line claim = {
        .operation = HF_OP_CONFIRM,
        .flags = step->line.flags,
        .qty = step->line.qty == 0 ? step->before.qty : step->line.qty,
        .inventory_id = step->before.inventory_id,
        .customer_id = step->before.customer_id,
    };
    struct hf_id linked_id = step->line.id;
    step->linked = step->number;
    step->line = claim;
    hf_step_set_id(change, step, &id);
    step->makes = true;
    step->decision = (struct hf_decision){.result = HF_OK};
    if (hf_transaction_take_chain(change, step) == HF_ATTEMPT_BUSY)
        return HF_ATTEMPT_BUSY;
    if (step->cell != NULL) {
        if (decide_repeat(change, step) == HF_ATTEMPT_BUSY)
            return HF_ATTEMPT_BUSY;
        /* One that was made otherwise is another's, however much alike. */
        if (!hf_id_equal(&step->before.linked_id, &linked_id)) {
            step->decision.result = HF_ID_REUSED;
            step->decision.repeated = false;
        }
        if (step->decision.result == HF_ID_REUSED)
            step->decision.field = HF_FIELD_NEW_ID;
        return HF_ATTEMPT_GO_ON;
    }
    decide_claim(change, step);
    step->decision.after.linked_id = linked_id;
    return HF_ATTEMPT_GO_ON;
}

static enum hf_attempt decide_change(struct hf_transaction *change, struct hf_step *step)
{
    if (copy_known(change, step) == HF_ATTEMPT_BUSY)
        return HF_ATTEMPT_BUSY;
    struct hf_inventory_cell *cell =
        &hf_transaction_region(change)->inventories[hf_load_relaxed(&step->cell->inventory)];
    struct hf_rules rules;
    step->rules_mark = hf_inventory_rules_mark(cell);
    hf_inventory_copy_settings(cell, &rules);
    hf_decide_change(&step->line, &step->before, &step->notes, &rules.settings,
                     change->actor->now_ns, &step->decision);
    if (step->decision.reacquires) {
        uint32_t qty = step->line.qty;
        if (qty > step->before.qty) {
            step->decision.result = HF_QTY_NOT_ALLOWED;
            step->decision.field = HF_FIELD_QTY;
            return HF_ATTEMPT_GO_ON;
        }
        return decide_reacquire(change, step);
    }
    if (step->decision.changes)
        step->use = hf_transaction_use(change, cell);
    return HF_ATTEMPT_GO_ON;
}

static enum hf_attempt decide(struct hf_transaction *change, struct hf_step *step)
{
    if (step->makes && step->cell != NULL)
        return decide_repeat(change, step);
    if (step->makes) {
        decide_claim(change, step);
        return HF_ATTEMPT_GO_ON;
    }
    if (step->cell == NULL) {
        step->decision.result = HF_NOT_FOUND;
        step->decision.field = HF_FIELD_RESERVATION_ID;
        return HF_ATTEMPT_GO_ON;
    }
    return decide_change(change, step);
}

/* Customer or quantity become others than those of the request that made it: it keeps the
 * fingerprint of that request, so that a repeat is still known. */
static void keep_origin(struct hf_step *step)
{
    const struct hf_reservation *before = &step->before, *after = &step->decision.after;
    if (step->notes.origin == 0 &&
        (after->qty != before->qty || after->customer_id != before->customer_id))
        step->notes.origin = hf_reservation_origin(before->customer_id, before->qty);
}

static enum hf_attempt decide_all(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = &change->steps[i];
        if (decide(change, step) == HF_ATTEMPT_BUSY)
            return HF_ATTEMPT_BUSY;
        if (step->decision.changes && !step->makes)
            keep_origin(step);
        /* Joining and leaving a list needs the right to it. */
        bool joins = step->decision.changes && step->decision.after.state == HF_STATE_WAITING;
        if ((joins || hf_step_leaves(step)) && step->use != NULL)
            step->use->needs_list = true;
    }
    return HF_ATTEMPT_GO_ON;
}

static uint32_t credits_needed(const struct hf_transaction *change)
{
    if (hf_transaction_images(change) == 0)
        return 0; /* what was done before is told also when the log has no room */
    /* An image of each line; an event for each inventory that gets units, and each list that ends. */
    return change->step_count + (change->use_count + change->step_count) * HF_UNITS_CREDITS;
}

static enum hf_attempt try_change(struct hf_transaction *change)
{
    enum hf_attempt attempt = hf_transaction_look_up(change);
    if (attempt == HF_ATTEMPT_GO_ON)
        attempt = decide_all(change);
    if (attempt == HF_ATTEMPT_GO_ON)
        attempt = hf_transaction_take_lists(change);
    bool marked = false;
    while (attempt == HF_ATTEMPT_GO_ON) {
        attempt = hf_transaction_weigh(change);
        if (attempt == HF_ATTEMPT_REFUSED)
            attempt = hf_transaction_confirm_refusal(change);
        if (attempt == HF_ATTEMPT_GO_ON)
            attempt = hf_transaction_take_cells(change);
        if (attempt == HF_ATTEMPT_GO_ON && !marked) {
            hf_transaction_announce_gives(change);
            attempt = hf_transaction_mark(change);
        }
        marked = true;
        if (attempt == HF_ATTEMPT_GO_ON &&
            !hf_ring_credit(&change->actor->log, credits_needed(change)))
            attempt = HF_ATTEMPT_LOG_FULL;
        if (attempt != HF_ATTEMPT_GO_ON)
            break;
        hf_transaction_announce(change);
        if (hf_transaction_claim(change)) {
            hf_transaction_record(change);
            return HF_ATTEMPT_DONE;
        }
    }
    hf_transaction_withdraw(change);
    return attempt;
}

static void tell_refusal(const struct hf_transaction *change, struct hf_outcome *outcome)
{
    const struct hf_step *step = &change->steps[change->failed];
    outcome->result = step->decision.result;
    outcome->field = step->decision.field;
    outcome->availability = change->seen;
    bool known = !step->makes && step->cell != NULL;
    outcome->state = known ? (uint8_t)step->before.state : 0;
    outcome->line = change->batch ? (uint16_t)(change->failed + 1) : 0;
    /* What it says of reservations, their LSNs say. That this line of a batch is the one that fails
     * tells of the others, too, and the no to a claim anew of the hold that
     * has lapsed. */
    for (uint32_t i = 0; i < change->step_count; i++) {
        const struct hf_step *read = &change->steps[i];
        if ((read->makes ? read->linked != 0 : read->cell != NULL) &&
            outcome->wait_for_lsn < read->before.lsn)
            outcome->wait_for_lsn = read->before.lsn;
    }
}

static void tell(const struct hf_transaction *change, struct hf_reservation_entry *entries,
                 struct hf_outcome *outcome)
{
    outcome->repeated = true;
    for (uint32_t i = 0; i < change->step_count; i++) {
        const struct hf_decision *decision = &change->steps[i].decision;
        if (outcome->wait_for_lsn < decision->after.lsn)
            outcome->wait_for_lsn = decision->after.lsn;
        outcome->repeated = outcome->repeated && decision->repeated;
        if (entries == NULL)
            continue;
        entries[i] = (struct hf_reservation_entry){
            .result = decision->result,
            .repeated = decision->repeated,
            .reservation = decision->after,
        };
    }
    outcome->result = entries == NULL ? change->steps[0].decision.result : HF_BATCH_DONE;
    outcome->count = change->step_count;
    if (entries == NULL)
        outcome->reservation = change->steps[0].decision.after;
}

void hf_engine_change(struct hf_actor *actor, const struct hf_line *lines, uint32_t count,
                      uint64_t not_after_ns, struct hf_reservation_entry *entries,
                      struct hf_outcome *outcome)
{
    struct hf_transaction *change = actor->transaction;
    HF_CHECK(count != 0 && count <= HF_MAX_STEPS && (count == 1 || entries != NULL));
    hf_outcome_begin(outcome);
    for (;;) {
        change->actor = actor;
        change->not_after_ns = not_after_ns;
        change->step_count = count;
        change->use_count = change->count_count = 0;
        change->batch = entries != NULL;
        change->seen = (struct hf_availability){0, 0};
        hf_transaction_begin(change, lines);
        enum hf_attempt attempt = try_change(change);
        if (attempt == HF_ATTEMPT_DONE) {
            tell(change, entries, outcome);
            return;
        }
        hf_transaction_let_go(change);
        /* What is in the way may be a lapsed hold that finds no room in the log. */
        if (attempt == HF_ATTEMPT_BUSY && !hf_ring_credit(&actor->log, 1 + HF_UNITS_CREDITS))
            attempt = HF_ATTEMPT_LOG_FULL;
        if (attempt == HF_ATTEMPT_REFUSED)
            tell_refusal(change, outcome);
        else if (attempt != HF_ATTEMPT_AGAIN)
            outcome->result =
                attempt == HF_ATTEMPT_BUSY ? HF_PUT_ASIDE_BUSY : HF_PUT_ASIDE_LOG_FULL;
        if (attempt != HF_ATTEMPT_AGAIN)
            return;
    }
}
