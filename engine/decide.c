/* Deciding about one reservation; see decide.h. The order of the checks is docs/protocol.md's. */
#include "engine/decide.h"

#include "engine/reservation.h"

static void refuse(struct hf_decision *decision, unsigned result)
{
    decision->result = result;
}

static void repeat(struct hf_decision *decision, unsigned result)
{
    decision->result = result;
    decision->repeated = true;
}

static enum hf_state state_made_by(enum hf_operation operation)
{
    return operation == HF_OP_HOLD   ? HF_STATE_HELD
           : operation == HF_OP_JOIN ? HF_STATE_WAITING
                                     : HF_STATE_CONFIRMED;
}

static unsigned yes_to_claim(enum hf_operation operation)
{
    return operation == HF_OP_JOIN      ? HF_JOINED
           : operation == HF_OP_CONFIRM ? HF_CONFIRMED
                                        : HF_GRANTED;
}

static enum hf_state made_as(const struct hf_image_notes *notes)
{
    return notes->made_as == 0 ? HF_STATE_CONFIRMED : (enum hf_state)notes->made_as;
}

void hf_decide_repeat(const struct hf_line *line, const struct hf_reservation *known,
                      const struct hf_image_notes *notes, struct hf_decision *decision)
{
    *decision = (struct hf_decision){.after = *known};
    bool differs = true;
    if (state_made_by(line->operation) != made_as(notes))
        decision->field = HF_FIELD_OPERATION;
    else if (known->inventory_id != line->inventory_id)
        decision->field = HF_FIELD_INVENTORY_ID;
    else if (notes->origin != 0) /* customer or quantity have changed since */
        differs = notes->origin != hf_reservation_origin(line->customer_id, line->qty);
    else if (known->customer_id != line->customer_id)
        decision->field = HF_FIELD_CUSTOMER_ID;
    else if (known->qty != line->qty)
        decision->field = HF_FIELD_QTY;
    else
        differs = false;
    if (differs)
        refuse(decision, HF_ID_REUSED);
    else
        repeat(decision, yes_to_claim(line->operation));
}

static bool is_lapsed(const struct hf_reservation *before, uint64_t now_ns)
{
    return before->state == HF_STATE_EXPIRED ||
           (before->state == HF_STATE_HELD && now_ns >= before->deadline_ns);
}

/* The guard, and the new content so far. False: refused. */
static bool begin_change(const struct hf_line *line, struct hf_decision *decision)
{
    if (line->expected != 0 && line->expected != decision->after.sequence) {
        refuse(decision, HF_SEQUENCE_MISMATCH);
        return false;
    }
    decision->changes = true;
    decision->after.sequence++;
    return true;
}

static void fail_change(struct hf_decision *decision, const struct hf_reservation *before,
                        unsigned result, enum hf_field field)
{
    decision->changes = false;
    decision->claims = false;
    decision->after = *before;
    decision->result = result;
    decision->field = field;
}

static void finish(struct hf_decision *decision, enum hf_state state, unsigned result)
{
    decision->after.state = state;
    decision->after.deadline_ns = 0;
    decision->result = result;
}

static void decide_confirm(const struct hf_line *line, const struct hf_reservation *before,
                           uint64_t now_ns, struct hf_decision *decision)
{
    uint32_t qty = line->qty == 0 ? before->qty : line->qty;
    if (before->state == HF_STATE_CONFIRMED) {
        repeat(decision, HF_CONFIRMED);
    } else if (is_lapsed(before, now_ns)) {
        decision->reacquires = (line->flags & HF_REQUEST_REACQUIRE) != 0;
        refuse(decision, HF_HOLD_EXPIRED);
    } else if (before->state != HF_STATE_HELD) {
        refuse(decision, HF_WRONG_STATE);
    } else if (begin_change(line, decision)) {
        if (qty > before->qty) {
            fail_change(decision, before, HF_QTY_NOT_ALLOWED, HF_FIELD_QTY);
            return;
        }
        finish(decision, HF_STATE_CONFIRMED, HF_CONFIRMED);
        decision->after.qty = qty;
    }
}

static void decide_release(const struct hf_line *line, const struct hf_reservation *before,
                           uint64_t now_ns, struct hf_decision *decision)
{
    if (before->state == HF_STATE_RELEASED)
        repeat(decision, HF_RELEASED);
    else if (is_lapsed(before, now_ns))
        refuse(decision, HF_HOLD_EXPIRED);
    else if (before->state != HF_STATE_HELD)
        refuse(decision, HF_WRONG_STATE);
    else if (begin_change(line, decision))
        finish(decision, HF_STATE_RELEASED, HF_RELEASED);
}

/* True if it went from the waiting list straight to its end. */
static bool never_held(const struct hf_reservation *before, const struct hf_image_notes *notes)
{
    return notes->made_as == HF_STATE_WAITING && before->sequence == 2;
}

static void decide_leave(const struct hf_line *line, const struct hf_reservation *before,
                         const struct hf_image_notes *notes, struct hf_decision *decision)
{
    if (before->state == HF_STATE_CANCELLED && never_held(before, notes))
        repeat(decision, HF_LEFT);
    else if (before->state != HF_STATE_WAITING)
        refuse(decision, HF_WRONG_STATE);
    else if (begin_change(line, decision))
        finish(decision, HF_STATE_CANCELLED, HF_LEFT);
}

static bool is_past(uint64_t date_ns, uint64_t now_ns)
{
    return date_ns != 0 && now_ns >= date_ns;
}

static void decide_cancel(const struct hf_line *line, const struct hf_reservation *before,
                          const struct hf_image_notes *notes, const struct hf_settings *settings,
                          uint64_t now_ns, struct hf_decision *decision)
{
    switch (before->state) {
    case HF_STATE_HELD:
    case HF_STATE_RELEASED:
    case HF_STATE_EXPIRED:
        decide_release(line, before, now_ns, decision);
        return;
    case HF_STATE_WAITING:
        decide_leave(line, before, notes, decision);
        return;
    case HF_STATE_CANCELLED:
        repeat(decision, never_held(before, notes) ? HF_LEFT : HF_CANCELLED);
        return;
    case HF_STATE_CONFIRMED:
        if (!begin_change(line, decision))
            return;
        if (is_past(settings->cancel_until_ns, now_ns))
            fail_change(decision, before, HF_CANCEL_TOO_LATE, HF_FIELD_NONE);
        else
            finish(decision, HF_STATE_CANCELLED, HF_CANCELLED);
        return;
    }
}

static uint64_t longest_hold_ns(const struct hf_settings *settings)
{
    return settings->longest_hold_ns == 0 ? HF_MAX_TTL_NS : settings->longest_hold_ns;
}

static void decide_extend(const struct hf_line *line, const struct hf_reservation *before,
                          const struct hf_settings *settings, uint64_t now_ns,
                          struct hf_decision *decision)
{
    if (is_lapsed(before, now_ns)) {
        refuse(decision, HF_HOLD_EXPIRED);
    } else if (before->state != HF_STATE_HELD) {
        refuse(decision, HF_WRONG_STATE);
    } else if (begin_change(line, decision)) {
        uint64_t deadline_ns = now_ns + line->ttl_ns;
        if (line->ttl_ns > longest_hold_ns(settings)) {
            fail_change(decision, before, HF_TTL_NOT_ALLOWED, HF_FIELD_TTL);
        } else if (deadline_ns <= before->deadline_ns) { /* never earlier than it was */
            fail_change(decision, before, HF_EXTENDED, HF_FIELD_NONE);
            decision->repeated = true;
        } else {
            decision->after.deadline_ns = deadline_ns;
            decision->result = HF_EXTENDED;
        }
    }
}

static void decide_qty(const struct hf_line *line, const struct hf_reservation *before,
                       const struct hf_image_notes *notes, const struct hf_settings *settings,
                       uint64_t now_ns, struct hf_decision *decision)
{
    if (line->qty == 0) {
        decide_cancel(line, before, notes, settings, now_ns, decision);
    } else if (is_lapsed(before, now_ns)) {
        refuse(decision, HF_HOLD_EXPIRED);
    } else if (!hf_state_is_active(before->state)) {
        refuse(decision, HF_WRONG_STATE);
    } else if (line->qty == before->qty) {
        repeat(decision, HF_CHANGED);
    } else if (begin_change(line, decision)) {
        bool fewer = line->qty < before->qty;
        if (fewer && before->state == HF_STATE_CONFIRMED &&
            is_past(settings->cancel_until_ns, now_ns)) {
            fail_change(decision, before, HF_CANCEL_TOO_LATE, HF_FIELD_NONE);
            return;
        }
        decision->claims = !fewer;
        decision->after.qty = line->qty;
        decision->result = HF_CHANGED;
    }
}

static void decide_move(const struct hf_line *line, const struct hf_reservation *before,
                        uint64_t now_ns, struct hf_decision *decision)
{
    if (is_lapsed(before, now_ns)) {
        refuse(decision, HF_HOLD_EXPIRED);
    } else if (!hf_state_is_active(before->state)) {
        refuse(decision, HF_WRONG_STATE);
    } else if (line->customer_id == before->customer_id) {
        repeat(decision, HF_MOVED);
    } else if (begin_change(line, decision)) {
        decision->after.customer_id = line->customer_id;
        decision->result = HF_MOVED;
    }
}

void hf_decide_change(const struct hf_line *line, const struct hf_reservation *before,
                      const struct hf_image_notes *notes, const struct hf_settings *settings,
                      uint64_t now_ns, struct hf_decision *decision)
{
    *decision = (struct hf_decision){.after = *before};
    switch (line->operation) {
    case HF_OP_CONFIRM:
        decide_confirm(line, before, now_ns, decision);
        break;
    case HF_OP_RELEASE:
        decide_release(line, before, now_ns, decision);
        break;
    case HF_OP_CANCEL:
        decide_cancel(line, before, notes, settings, now_ns, decision);
        break;
    case HF_OP_LEAVE:
        decide_leave(line, before, notes, decision);
        break;
    case HF_OP_EXTEND:
        decide_extend(line, before, settings, now_ns, decision);
        break;
    case HF_OP_CHANGE:
        decide_qty(line, before, notes, settings, now_ns, decision);
        break;
    case HF_OP_MOVE:
        decide_move(line, before, now_ns, decision);
        break;
    default:
        decision->result = HF_UNKNOWN_OPERATION;
        break;
    }
    /* Another actor's batch may have begun after ours: dates of one reservation never go back. */
    if (decision->changes && decision->after.changed_at_ns < now_ns)
        decision->after.changed_at_ns = now_ns;
}

void hf_decide_claim(const struct hf_line *line, uint64_t now_ns, struct hf_image_notes *notes,
                     struct hf_decision *decision)
{
    enum hf_state state = state_made_by(line->operation);
    *decision = (struct hf_decision){
        .result = yes_to_claim(line->operation),
        .claims = true,
        .changes = true,
        .after =
            {
                .id = line->id,
                .inventory_id = line->inventory_id,
                .customer_id = line->customer_id,
                .made_at_ns = now_ns,
                .changed_at_ns = now_ns,
                .deadline_ns = line->operation == HF_OP_HOLD ? now_ns + line->ttl_ns : 0,
                .qty = line->qty,
                .sequence = 1,
                .state = state,
            },
    };
    *notes = (struct hf_image_notes){.made_as = state == HF_STATE_CONFIRMED ? 0 : (uint8_t)state};
}

enum hf_result hf_decide_rules(const struct hf_line *line, const struct hf_settings *settings,
                               uint32_t qty, bool sealed, uint64_t now_ns)
{
    if (settings->opens_at_ns != 0 && now_ns < settings->opens_at_ns)
        return HF_NOT_OPEN;
    if (is_past(settings->closes_at_ns, now_ns) || sealed ||
        (settings->flags & HF_INVENTORY_CLOSED) != 0)
        return HF_CLOSED;
    if ((settings->flags & HF_INVENTORY_PAUSED) != 0)
        return HF_PAUSED;
    if (qty < settings->min_qty || (settings->max_qty != 0 && qty > settings->max_qty))
        return HF_QTY_NOT_ALLOWED;
    if (line->operation == HF_OP_HOLD && line->ttl_ns > longest_hold_ns(settings))
        return HF_TTL_NOT_ALLOWED;
    return HF_OK;
}
