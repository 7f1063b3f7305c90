/* The reference model: see reference.h. */
#include "tests/model/reference.h"

#include <string.h>

#include "tests/model/inventories.h"

#define FIELD(name) (1u << HF_FIELD_##name)

/* What a line comes to, judged against the state before. */
struct intent {
    const struct hf_line *line;
    const struct hf_world_inventory *inventory; /* NULL: not known */
    unsigned refusal;                           /* 0: none of its own checks fails */
    uint32_t fields;                            /* that the refusal may name */
    unsigned yes;                               /* the result, if nothing fails */
    bool repeated;                              /* it was done before: nothing is to be done */

    const struct hf_world_reservation *found; /* that it is about; NULL: none */
    bool changes;                             /* `found` becomes `changed` */
    struct hf_reservation changed;
    bool makes; /* `made` is new */
    struct hf_reservation made;

    uint32_t takes, gives; /* units of the inventory */
    uint64_t taker_id;     /* whose units become more by customer_takes */
    uint32_t customer_takes;
    uint64_t giver_id; /* and fewer by customer_gives */
    uint32_t customer_gives;
    bool joins;
};

/* A request under decision. */
struct decision {
    struct hf_world *world;
    uint64_t now_ns, not_after_ns;
    const struct hf_chosen_ids *chosen;
    uint32_t count;
    struct intent intents[HF_MAX_BATCH_LINES];
};

static void refuse(struct intent *intent, unsigned result)
{
    intent->refusal = result;
}

static void refuse_field(struct intent *intent, unsigned result, uint32_t fields)
{
    intent->refusal = result;
    intent->fields = fields;
}

static void repeat(struct intent *intent, unsigned yes)
{
    intent->yes = yes;
    intent->repeated = true;
}

bool hf_reference_wants_units(unsigned result)
{
    return result == HF_SOLD_OUT || result == HF_WAITING_LIST || result == HF_WAITING_FULL ||
           result == HF_CUSTOMER_LIMIT;
}

/* ---- the rules of an inventory ---- */

/* NOT_OPEN > CLOSED > PAUSED; 0: sales run. */
static unsigned sales_refusal(const struct hf_world_inventory *inventory, uint64_t now_ns)
{
    const struct hf_settings *settings = &inventory->settings;
    if (settings->opens_at_ns != 0 && now_ns < settings->opens_at_ns)
        return HF_NOT_OPEN;
    if ((settings->closes_at_ns != 0 && now_ns >= settings->closes_at_ns) ||
        (settings->flags & HF_INVENTORY_CLOSED) || inventory->sold_out_closed)
        return HF_CLOSED;
    return settings->flags & HF_INVENTORY_PAUSED ? HF_PAUSED : 0;
}

static bool qty_allowed(const struct hf_settings *settings, uint32_t qty)
{
    return (settings->min_qty == 0 || qty >= settings->min_qty) &&
           (settings->max_qty == 0 || qty <= settings->max_qty);
}

static bool ttl_allowed(const struct hf_settings *settings, uint64_t ttl_ns)
{
    return settings->longest_hold_ns == 0 || ttl_ns <= settings->longest_hold_ns;
}

static bool cancel_too_late(const struct hf_settings *settings, uint64_t now_ns)
{
    return settings->cancel_until_ns != 0 && now_ns >= settings->cancel_until_ns;
}

/* The checks of a claim that ask neither for a customer's units nor for the inventory's. */
static unsigned claim_refusal(const struct hf_world_inventory *inventory, uint64_t now_ns,
                              uint32_t qty)
{
    unsigned refusal = sales_refusal(inventory, now_ns);
    if (refusal == 0 && !qty_allowed(&inventory->settings, qty))
        refusal = HF_QTY_NOT_ALLOWED;
    return refusal;
}

/* ---- claims: RESERVE, HOLD, JOIN ---- */

static enum hf_state made_state(enum hf_operation operation)
{
    if (operation == HF_OP_RESERVE)
        return HF_STATE_CONFIRMED;
    return operation == HF_OP_HOLD ? HF_STATE_HELD : HF_STATE_WAITING;
}

/* What an ID_REUSED names: the first that differs; of customer and quantity none in particular, if
 * they were changed. 0: nothing differs. */
static uint32_t differing_field(const struct hf_world_reservation *found,
                                const struct hf_line *line)
{
    bool other_customer = found->made_customer_id != line->customer_id;
    bool other_qty = found->made_qty != line->qty;
    if (found->made_as != made_state(line->operation))
        return FIELD(OPERATION);
    if (found->now.inventory_id != line->inventory_id)
        return FIELD(INVENTORY_ID);
    if ((other_customer || other_qty) && found->altered)
        return FIELD(NONE);
    if (other_customer)
        return FIELD(CUSTOMER_ID);
    return other_qty ? FIELD(QTY) : 0;
}

static void judge_known_id(struct intent *intent)
{
    uint32_t field = differing_field(intent->found, intent->line);
    if (field != 0)
        refuse_field(intent, HF_ID_REUSED, field);
    else
        repeat(intent, intent->yes);
}

/* An id that nobody has: what the server chose, or one that stands for it if it chose none. */
static struct hf_id chosen_id(const struct decision *decision, const struct intent *intent)
{
    uint32_t place = (uint32_t)(intent - decision->intents);
    struct hf_id id = decision->chosen->ids[place];
    for (uint8_t attempt = 1; hf_id_is_zero(&id) || hf_world_find(decision->world, &id); attempt++)
        id = (struct hf_id){{0xfe, (uint8_t)place, attempt}};
    return id;
}

/* The claim's own checks, up to those of the units. */
static unsigned judge_terms(const struct decision *decision, const struct intent *intent)
{
    const struct hf_line *line = intent->line;
    const struct hf_world_inventory *inventory = intent->inventory;
    if ((line->flags & HF_REQUEST_EXPECT_VERSION) &&
        !(inventory->version_known && inventory->version == line->expected))
        return HF_VERSION_MISMATCH;
    unsigned refusal = claim_refusal(inventory, decision->now_ns, line->qty);
    if (refusal == 0 && line->operation == HF_OP_HOLD &&
        !ttl_allowed(&inventory->settings, line->ttl_ns))
        refusal = HF_TTL_NOT_ALLOWED;
    return refusal;
}

static void intend_to_make(const struct decision *decision, struct intent *intent)
{
    const struct hf_line *line = intent->line;
    uint64_t now_ns = decision->now_ns;
    intent->makes = true;
    intent->made = (struct hf_reservation){
        .id = hf_id_is_zero(&line->id) ? chosen_id(decision, intent) : line->id,
        .inventory_id = line->inventory_id,
        .customer_id = line->customer_id,
        .made_at_ns = now_ns,
        .changed_at_ns = now_ns,
        .deadline_ns = line->operation == HF_OP_HOLD ? now_ns + line->ttl_ns : 0,
        .qty = line->qty,
        .state = made_state(line->operation),
    };
    intent->joins = line->operation == HF_OP_JOIN;
    intent->taker_id = line->customer_id;
    if (!intent->joins)
        intent->takes = intent->customer_takes = line->qty;
}

static void judge_claim(const struct decision *decision, struct intent *intent)
{
    const struct hf_line *line = intent->line;
    intent->yes = line->operation == HF_OP_JOIN ? HF_JOINED : HF_GRANTED;
    intent->found = hf_id_is_zero(&line->id) ? NULL : hf_world_find(decision->world, &line->id);
    intent->inventory = hf_world_find_inventory(decision->world, line->inventory_id);
    if (intent->found) {
        judge_known_id(intent);
    } else if (decision->not_after_ns != 0 && decision->now_ns > decision->not_after_ns) {
        refuse(intent, HF_TOO_LATE);
    } else if (intent->inventory == NULL) {
        refuse_field(intent, HF_UNKNOWN_INVENTORY, FIELD(INVENTORY_ID));
    } else {
        refuse(intent, judge_terms(decision, intent));
        intend_to_make(decision, intent);
    }
}

/* ---- changes of a reservation ---- */

/* What all of them find out after WRONG_STATE and before their own rules. */
static bool sequence_fits(struct intent *intent)
{
    uint32_t expected = intent->line->expected;
    if (expected != 0 && expected != intent->found->now.sequence) {
        refuse(intent, HF_SEQUENCE_MISMATCH);
        return false;
    }
    return true;
}

/* The reservation will be in this state, without a deadline and with this quantity. */
static void intend_to_end(struct intent *intent, unsigned yes, enum hf_state state, uint32_t qty)
{
    const struct hf_reservation *now = &intent->found->now;
    intent->yes = yes;
    intent->changes = true;
    intent->changed.state = state;
    intent->changed.qty = qty;
    intent->changed.deadline_ns = 0;
    if (!hf_state_is_active(now->state))
        return;
    intent->giver_id = now->customer_id;
    intent->gives = intent->customer_gives =
        state == HF_STATE_CONFIRMED ? now->qty - qty : now->qty;
}

static void judge_reacquire(const struct decision *decision, struct intent *intent);

static void judge_confirm(const struct decision *decision, struct intent *intent)
{
    const struct hf_reservation *now = &intent->found->now;
    uint32_t qty = intent->line->qty == 0 ? now->qty : intent->line->qty;
    if (now->state == HF_STATE_CONFIRMED)
        repeat(intent, HF_CONFIRMED);
    else if (now->state == HF_STATE_EXPIRED || hf_reference_lapsed(now, decision->now_ns))
        judge_reacquire(decision, intent);
    else if (now->state != HF_STATE_HELD)
        refuse(intent, HF_WRONG_STATE);
    else if (sequence_fits(intent) && qty > now->qty)
        refuse(intent, HF_QTY_NOT_ALLOWED);
    else if (intent->refusal == 0)
        intend_to_end(intent, HF_CONFIRMED, HF_STATE_CONFIRMED, qty);
}

/* The id of the one that a lapsed hold is made into. */
static struct hf_id reacquired_id(const struct hf_line *line)
{
    struct hf_id id = line->new_id;
    if (hf_id_is_zero(&id))
        hf_id_derive(&line->id, &id);
    return id;
}

/* The new id is known: was it made from this hold, for this quantity? */
static void judge_reacquired(struct intent *intent, const struct hf_world_reservation *made,
                             uint32_t qty)
{
    const struct hf_reservation *old = &intent->found->now;
    if (!hf_id_equal(&made->now.linked_id, &old->id) || made->now.made_at_ns <= old->made_at_ns ||
        made->made_qty != qty) {
        refuse_field(intent, HF_ID_REUSED, FIELD(NEW_ID));
        return;
    }
    intent->found = made;
    repeat(intent, HF_CONFIRMED);
}

static void judge_reacquire(const struct decision *decision, struct intent *intent)
{
    const struct hf_reservation *old = &intent->found->now;
    uint32_t qty = intent->line->qty == 0 ? old->qty : intent->line->qty;
    if (!(intent->line->flags & HF_REQUEST_REACQUIRE)) {
        refuse(intent, HF_HOLD_EXPIRED);
        return;
    }
    if (qty > old->qty) {
        refuse(intent, HF_QTY_NOT_ALLOWED);
        return;
    }
    struct hf_id new_id = reacquired_id(intent->line);
    const struct hf_world_reservation *made = hf_world_find(decision->world, &new_id);
    if (made) {
        judge_reacquired(intent, made, qty);
        return;
    }
    refuse(intent, claim_refusal(intent->inventory, decision->now_ns, qty));
    if (intent->refusal != 0)
        return;
    if (old->state == HF_STATE_HELD)
        intend_to_end(intent, HF_CONFIRMED, HF_STATE_EXPIRED, old->qty);
    intent->yes = HF_CONFIRMED;
    intent->makes = true;
    intent->made = (struct hf_reservation){
        .id = new_id,
        .inventory_id = old->inventory_id,
        .customer_id = old->customer_id,
        .made_at_ns = decision->now_ns,
        .changed_at_ns = decision->now_ns,
        .qty = qty,
        .state = HF_STATE_CONFIRMED,
        .linked_id = old->id,
    };
    intent->taker_id = old->customer_id;
    intent->takes = intent->customer_takes = qty;
}

static void judge_release(const struct decision *decision, struct intent *intent)
{
    const struct hf_reservation *now = &intent->found->now;
    if (now->state == HF_STATE_RELEASED)
        repeat(intent, HF_RELEASED);
    else if (now->state == HF_STATE_EXPIRED || hf_reference_lapsed(now, decision->now_ns))
        refuse(intent, HF_HOLD_EXPIRED);
    else if (now->state != HF_STATE_HELD)
        refuse(intent, HF_WRONG_STATE);
    else if (sequence_fits(intent))
        intend_to_end(intent, HF_RELEASED, HF_STATE_RELEASED, now->qty);
}

/* It left the list before any units were its own. */
static bool has_left(const struct hf_world_reservation *found)
{
    return found->now.state == HF_STATE_CANCELLED && !found->had_units;
}

static void judge_cancel(const struct decision *decision, struct intent *intent)
{
    const struct hf_reservation *now = &intent->found->now;
    bool confirmed = now->state == HF_STATE_CONFIRMED;
    if (now->state == HF_STATE_RELEASED) {
        repeat(intent, HF_RELEASED);
    } else if (now->state == HF_STATE_CANCELLED) {
        repeat(intent, has_left(intent->found) ? HF_LEFT : HF_CANCELLED);
    } else if (now->state == HF_STATE_EXPIRED || hf_reference_lapsed(now, decision->now_ns)) {
        refuse(intent, HF_HOLD_EXPIRED);
    } else if (!sequence_fits(intent)) {
        return;
    } else if (confirmed && cancel_too_late(&intent->inventory->settings, decision->now_ns)) {
        refuse(intent, HF_CANCEL_TOO_LATE);
    } else if (now->state == HF_STATE_HELD) {
        intend_to_end(intent, HF_RELEASED, HF_STATE_RELEASED, now->qty);
    } else {
        intend_to_end(intent, confirmed ? HF_CANCELLED : HF_LEFT, HF_STATE_CANCELLED, now->qty);
    }
}

static void judge_leave(struct intent *intent)
{
    const struct hf_reservation *now = &intent->found->now;
    if (has_left(intent->found))
        repeat(intent, HF_LEFT);
    else if (now->state != HF_STATE_WAITING)
        refuse(intent, HF_WRONG_STATE);
    else if (sequence_fits(intent))
        intend_to_end(intent, HF_LEFT, HF_STATE_CANCELLED, now->qty);
}

static void judge_extend(const struct decision *decision, struct intent *intent)
{
    const struct hf_reservation *now = &intent->found->now;
    uint64_t deadline_ns = decision->now_ns + intent->line->ttl_ns;
    if (now->state == HF_STATE_EXPIRED || hf_reference_lapsed(now, decision->now_ns)) {
        refuse(intent, HF_HOLD_EXPIRED);
    } else if (now->state != HF_STATE_HELD) {
        refuse(intent, HF_WRONG_STATE);
    } else if (!sequence_fits(intent)) {
        return;
    } else if (!ttl_allowed(&intent->inventory->settings, intent->line->ttl_ns)) {
        refuse(intent, HF_TTL_NOT_ALLOWED);
    } else if (deadline_ns <= now->deadline_ns) {
        repeat(intent, HF_EXTENDED);
    } else {
        intent->yes = HF_EXTENDED;
        intent->changes = true;
        intent->changed.deadline_ns = deadline_ns;
    }
}

/* HOLD_EXPIRED > WRONG_STATE of what changes a reservation that has its units. */
static bool has_units_still(const struct decision *decision, struct intent *intent)
{
    const struct hf_reservation *now = &intent->found->now;
    if (now->state == HF_STATE_EXPIRED || hf_reference_lapsed(now, decision->now_ns))
        refuse(intent, HF_HOLD_EXPIRED);
    else if (!hf_state_is_active(now->state))
        refuse(intent, HF_WRONG_STATE);
    return intent->refusal == 0;
}

static void judge_growth(const struct decision *decision, struct intent *intent)
{
    const struct hf_reservation *now = &intent->found->now;
    refuse(intent, claim_refusal(intent->inventory, decision->now_ns, intent->line->qty));
    intent->changed.qty = intent->line->qty;
    intent->taker_id = now->customer_id;
    intent->takes = intent->customer_takes = intent->line->qty - now->qty;
}

static void judge_shrinking(const struct decision *decision, struct intent *intent)
{
    const struct hf_reservation *now = &intent->found->now;
    if (now->state == HF_STATE_CONFIRMED &&
        cancel_too_late(&intent->inventory->settings, decision->now_ns))
        refuse(intent, HF_CANCEL_TOO_LATE);
    intent->changed.qty = intent->line->qty;
    intent->giver_id = now->customer_id;
    intent->gives = intent->customer_gives = now->qty - intent->line->qty;
}

static void judge_change(const struct decision *decision, struct intent *intent)
{
    const struct hf_reservation *now = &intent->found->now;
    if (intent->line->qty == 0) {
        judge_cancel(decision, intent);
        return;
    }
    intent->yes = HF_CHANGED;
    if (!has_units_still(decision, intent))
        return;
    if (intent->line->qty == now->qty) {
        repeat(intent, HF_CHANGED);
        return;
    }
    if (!sequence_fits(intent))
        return;
    intent->changes = true;
    if (intent->line->qty > now->qty)
        judge_growth(decision, intent);
    else
        judge_shrinking(decision, intent);
}

static void judge_move(const struct decision *decision, struct intent *intent)
{
    const struct hf_reservation *now = &intent->found->now;
    intent->yes = HF_MOVED;
    if (!has_units_still(decision, intent))
        return;
    if (intent->line->customer_id == now->customer_id) {
        repeat(intent, HF_MOVED);
        return;
    }
    if (!sequence_fits(intent))
        return;
    intent->changes = true;
    intent->changed.customer_id = intent->line->customer_id;
    intent->giver_id = now->customer_id;
    intent->taker_id = intent->line->customer_id;
    intent->customer_gives = intent->customer_takes = now->qty;
}

static void judge_existing(const struct decision *decision, struct intent *intent)
{
    intent->found = hf_world_find(decision->world, &intent->line->id);
    if (intent->found == NULL) {
        refuse_field(intent, HF_NOT_FOUND, FIELD(RESERVATION_ID));
        return;
    }
    intent->changed = intent->found->now;
    intent->inventory = hf_world_find_inventory(decision->world, intent->found->now.inventory_id);
    switch (intent->line->operation) {
    case HF_OP_CONFIRM:
        judge_confirm(decision, intent);
        break;
    case HF_OP_RELEASE:
        judge_release(decision, intent);
        break;
    case HF_OP_CANCEL:
        judge_cancel(decision, intent);
        break;
    case HF_OP_EXTEND:
        judge_extend(decision, intent);
        break;
    case HF_OP_CHANGE:
        judge_change(decision, intent);
        break;
    case HF_OP_MOVE:
        judge_move(decision, intent);
        break;
    default:
        judge_leave(intent);
        break;
    }
}

/* ---- the sums of all lines ---- */

static void judge(const struct decision *decision, struct intent *intent)
{
    enum hf_operation operation = intent->line->operation;
    if (operation == HF_OP_RESERVE || operation == HF_OP_HOLD || operation == HF_OP_JOIN)
        judge_claim(decision, intent);
    else
        judge_existing(decision, intent);
    if (intent->refusal == 0 && !intent->repeated)
        return;
    /* It will not be done, or was: it moves nothing. */
    intent->changes = intent->makes = intent->joins = false;
    intent->takes = intent->gives = intent->customer_takes = intent->customer_gives = 0;
}

/* What lines 0 .. `last` take from an inventory, less what all lines give back. */
static int64_t net_units(const struct decision *decision, uint32_t last,
                         const struct hf_world_inventory *inventory)
{
    int64_t net = 0;
    for (uint32_t i = 0; i < decision->count; i++) {
        const struct intent *intent = &decision->intents[i];
        if (intent->inventory != inventory)
            continue;
        net -= intent->gives;
        net += i <= last ? intent->takes : 0;
    }
    return net;
}

/* The same for the units of the customer that line `last` gives some to. */
static int64_t net_customer_units(const struct decision *decision, uint32_t last)
{
    const struct intent *of = &decision->intents[last];
    int64_t net = 0;
    for (uint32_t i = 0; i < decision->count; i++) {
        const struct intent *intent = &decision->intents[i];
        if (intent->inventory != of->inventory)
            continue;
        net -= intent->giver_id == of->taker_id ? intent->customer_gives : 0;
        net += i <= last && intent->taker_id == of->taker_id ? intent->customer_takes : 0;
    }
    return net;
}

/* A limit that was lowered below what a customer has refuses nothing that takes nothing more. */
static bool over_customer_limit(const struct decision *decision, uint32_t place)
{
    const struct intent *intent = &decision->intents[place];
    uint32_t limit = intent->inventory->settings.customer_limit;
    if (limit == 0 || (intent->line->flags & HF_REQUEST_OVERRIDE) ||
        (intent->customer_takes == 0 && !intent->joins))
        return false;
    int64_t net = net_customer_units(decision, place);
    if (intent->joins)
        net += intent->line->qty;
    int64_t has =
        hf_world_customer_units(decision->world, intent->inventory->inventory_id, intent->taker_id);
    return net > 0 && has + net > limit;
}

static unsigned join_refusal(const struct decision *decision, uint32_t place)
{
    const struct intent *intent = &decision->intents[place];
    const struct hf_world_inventory *inventory = intent->inventory;
    uint32_t waiting = inventory->waiting;
    if (waiting == 0 && hf_world_available(inventory) >= (int64_t)intent->line->qty)
        return HF_NOT_SOLD_OUT;
    for (uint32_t i = 0; i < place; i++)
        waiting += decision->intents[i].joins && decision->intents[i].inventory == inventory;
    return waiting >= inventory->settings.waiting_limit ? HF_WAITING_FULL : 0;
}

/* CUSTOMER_LIMIT > WAITING_LIST > SOLD_OUT; of a JOIN: CUSTOMER_LIMIT > NOT_SOLD_OUT > WAITING_FULL. */
static unsigned sums_refusal(const struct decision *decision, uint32_t place)
{
    const struct intent *intent = &decision->intents[place];
    if (intent->takes == 0 && intent->customer_takes == 0 && !intent->joins)
        return 0;
    if (over_customer_limit(decision, place))
        return HF_CUSTOMER_LIMIT;
    if (intent->joins)
        return join_refusal(decision, place);
    if (intent->takes == 0)
        return 0;
    if (intent->inventory->waiting != 0)
        return HF_WAITING_LIST;
    int64_t net = net_units(decision, place, intent->inventory);
    return net > 0 && net > hf_world_available(intent->inventory) ? HF_SOLD_OUT : 0;
}

/* The place of the first line that fails, its intent then says why; count: none does. */
static uint32_t first_failure(struct decision *decision)
{
    for (uint32_t i = 0; i < decision->count; i++) {
        struct intent *intent = &decision->intents[i];
        if (intent->refusal == 0 && !intent->repeated)
            refuse(intent, sums_refusal(decision, i));
        if (intent->refusal != 0)
            return i;
    }
    return decision->count;
}

/* ---- taking effect ---- */

/* The claim that takes the last unit ends the sale, if the inventory is set so. */
static void close_if_sold_out(const struct decision *decision,
                              const struct hf_world_inventory *inventory)
{
    if ((inventory->settings.flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) &&
        !inventory->sold_out_closed && hf_world_available(inventory) == 0 &&
        net_units(decision, decision->count, inventory) > 0)
        hf_world_change_inventory(decision->world, inventory->inventory_id)->sold_out_closed = true;
}

static void take_effect(const struct decision *decision)
{
    struct hf_world *world = decision->world;
    for (uint32_t i = 0; i < decision->count; i++) {
        const struct intent *intent = &decision->intents[i];
        if (intent->changes)
            hf_world_change(world, &intent->changed, decision->now_ns);
        if (intent->makes)
            hf_world_add(world, &intent->made);
    }
    for (uint32_t i = 0; i < decision->count; i++) {
        if (decision->intents[i].takes != 0)
            close_if_sold_out(decision, decision->intents[i].inventory);
    }
}

static void expect_yes(const struct decision *decision, struct hf_expectation *expected)
{
    expected->count = decision->count;
    expected->repeated = true;
    for (uint32_t i = 0; i < decision->count; i++) {
        const struct intent *intent = &decision->intents[i];
        struct hf_expected_entry *entry = &expected->entries[i];
        const struct hf_id *id = intent->makes ? &intent->made.id : &intent->found->now.id;
        entry->result = intent->yes;
        entry->repeated = intent->repeated;
        entry->reservation = hf_world_find(decision->world, id)->now;
        entry->settled = entry->reservation;
        expected->repeated &= intent->repeated;
    }
}

static void expect_no(const struct decision *decision, uint32_t place,
                      struct hf_expectation *expected)
{
    const struct intent *intent = &decision->intents[place];
    expected->result = intent->refusal;
    expected->fields = intent->fields;
    if (intent->found &&
        (intent->refusal == HF_WRONG_STATE || intent->refusal == HF_SEQUENCE_MISMATCH)) {
        expected->sequence = intent->found->now.sequence;
        expected->state = intent->found->now.state;
    }
    if (intent->refusal == HF_SOLD_OUT || intent->refusal == HF_WAITING_LIST ||
        intent->refusal == HF_NOT_SOLD_OUT || intent->refusal == HF_WAITING_FULL) {
        expected->tells_available = true;
        expected->available = hf_world_available(intent->inventory);
    }
}

/* ---- requests about reservations ---- */

/* Impossible values, whatever the state. */
static unsigned bad_fields(const struct hf_line *line)
{
    bool claims = line->operation == HF_OP_RESERVE || line->operation == HF_OP_HOLD ||
                  line->operation == HF_OP_JOIN;
    bool counts = claims || line->operation == HF_OP_CONFIRM || line->operation == HF_OP_CHANGE;
    bool lasts = line->operation == HF_OP_HOLD || line->operation == HF_OP_EXTEND;
    uint32_t fields = 0;
    if (!claims && hf_id_is_zero(&line->id))
        fields |= FIELD(RESERVATION_ID);
    if ((claims && line->qty == 0) || (counts && line->qty > HF_MAX_UNITS))
        fields |= FIELD(QTY);
    if (lasts && (line->ttl_ns == 0 || line->ttl_ns > HF_MAX_TTL_NS))
        fields |= FIELD(TTL);
    return fields;
}

/* The ids that a line speaks of: up to two. */
static uint32_t ids_of(const struct hf_line *line, struct hf_id ids[2])
{
    uint32_t count = 0;
    if (!hf_id_is_zero(&line->id))
        ids[count++] = line->id;
    if (line->operation != HF_OP_CONFIRM || !(line->flags & HF_REQUEST_REACQUIRE))
        return count;
    ids[count++] = reacquired_id(line);
    return count;
}

/* True if line `place` speaks of an id that it, or one before it, speaks of already. */
static bool id_twice(const struct hf_line *lines, uint32_t place)
{
    struct hf_id own[2], others[2];
    uint32_t own_count = ids_of(&lines[place], own);
    if (own_count == 2 && hf_id_equal(&own[0], &own[1]))
        return true;
    for (uint32_t i = 0; i < place; i++) {
        uint32_t other_count = ids_of(&lines[i], others);
        for (uint32_t j = 0; j < own_count * other_count; j++) {
            if (hf_id_equal(&own[j / other_count], &others[j % other_count]))
                return true;
        }
    }
    return false;
}

static bool refuse_line(struct hf_expectation *expected, uint32_t place, uint32_t fields)
{
    expected->result = HF_BAD_FIELD;
    expected->fields = fields;
    expected->line = place + 1;
    return false;
}

/* BAD_FIELD comes before all else. True: the request can be decided. */
static bool lines_are_possible(const struct hf_line *lines, uint32_t count,
                               struct hf_expectation *expected)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t fields = bad_fields(&lines[i]);
        if (fields != 0)
            return refuse_line(expected, i, fields);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (id_twice(lines, i))
            return refuse_line(expected, i, FIELD(RESERVATION_ID) | FIELD(NEW_ID));
    }
    return true;
}

/* Decides `count` lines as one. In *expected: the result of the first that fails, and its line; or 0
 * and the entries. */
static void decide(struct decision *decision, const struct hf_line *lines, uint32_t count,
                   struct hf_expectation *expected)
{
    if (!lines_are_possible(lines, count, expected))
        return;
    decision->count = count;
    for (uint32_t i = 0; i < count; i++) {
        decision->intents[i] = (struct intent){.line = &lines[i]};
        judge(decision, &decision->intents[i]);
    }
    uint32_t failure = first_failure(decision);
    if (failure < count) {
        expect_no(decision, failure, expected);
        expected->line = failure + 1;
        return;
    }
    take_effect(decision);
    expect_yes(decision, expected);
}

static void execute_one(struct decision *decision, const struct hf_request *request,
                        struct hf_expectation *expected)
{
    const struct hf_line line = {
        .operation = request->operation,
        .flags = request->flags,
        .qty = request->qty,
        .id = request->id,
        .inventory_id = request->inventory_id,
        .customer_id = request->customer_id,
        .ttl_ns = request->ttl_ns,
        .expected = request->expected,
        .new_id = request->new_id,
    };
    decide(decision, &line, 1, expected);
    expected->line = 0;
    if (expected->result != 0)
        return;
    expected->result = expected->entries[0].result;
}

static void execute_batch(struct decision *decision, const struct hf_request *request,
                          struct hf_expectation *expected)
{
    if (request->count == 0 || request->count > HF_MAX_BATCH_LINES) {
        expected->result = HF_BAD_FIELD;
        expected->fields = FIELD(COUNT);
        return;
    }
    decide(decision, request->lines, request->count, expected);
    if (expected->result == 0)
        expected->result = HF_BATCH_DONE;
}

static void get_reservation(const struct hf_world *world, const struct hf_request *request,
                            struct hf_expectation *expected)
{
    const struct hf_world_reservation *found = hf_world_find(world, &request->id);
    expected->result = found ? HF_FOUND : HF_NOT_FOUND;
    expected->fields = found ? 0 : FIELD(RESERVATION_ID);
    expected->count = found ? 1 : 0;
    if (found)
        expected->entries[0] = (struct hf_expected_entry){
            .result = HF_FOUND, .reservation = found->now, .settled = found->now};
}

/* ---- all requests ---- */

static void begin_expectation(struct hf_expectation *expected)
{
    /* The entries are filled in as far as `count` says. */
    memset(expected, 0, offsetof(struct hf_expectation, entries));
}

void hf_reference_execute(struct hf_world *world, uint64_t now_ns, const struct hf_request *request,
                          const struct hf_chosen_ids *chosen, bool settle,
                          struct hf_expectation *expected)
{
    struct decision decision;
    decision.world = world;
    decision.now_ns = now_ns;
    decision.not_after_ns = request->not_after_ns;
    decision.chosen = chosen;
    decision.count = 0;
    begin_expectation(expected);
    switch (request->operation) {
    case HF_OP_BATCH:
        execute_batch(&decision, request, expected);
        break;
    case HF_OP_RESERVATION_GET:
        get_reservation(world, request, expected);
        break;
    case HF_OP_INVENTORY_CREATE:
        hf_reference_create_inventory(world, now_ns, request, expected);
        break;
    case HF_OP_INVENTORY_SET:
        hf_reference_set_inventory(world, request, expected);
        break;
    case HF_OP_INVENTORY_GET:
        hf_reference_expect_inventory(world, request->inventory_id, HF_FOUND, expected);
        break;
    case HF_OP_INVENTORY_SETTINGS:
        hf_reference_expect_inventory(world, request->inventory_id, HF_FOUND, expected);
        expected->tells_settings = expected->tells_inventory;
        break;
    default:
        execute_one(&decision, request, expected);
        break;
    }
    if (!settle)
        return;
    hf_reference_settle(world, now_ns);
    hf_reference_note_settled(world, expected);
}

void hf_reference_note_settled(const struct hf_world *world, struct hf_expectation *expected)
{
    for (uint32_t i = 0; i < expected->count; i++) {
        struct hf_expected_entry *entry = &expected->entries[i];
        entry->settled = hf_world_find(world, &entry->reservation.id)->now;
    }
    if (expected->tells_inventory)
        hf_world_show_inventory(hf_world_find_inventory(world, expected->inventory.inventory_id),
                                &expected->settled_inventory);
}

bool hf_reference_refuses_early(struct hf_world *world, uint64_t now_ns,
                                const struct hf_request *request,
                                const struct hf_chosen_ids *chosen, unsigned refusal)
{
    static _Thread_local struct hf_expectation alone;
    if (!hf_reference_wants_units(refusal))
        return false;
    size_t mark = hf_world_mark(world);
    hf_reference_expire(world, now_ns);
    bool noticed = hf_world_mark(world) != mark;
    if (noticed)
        hf_reference_execute(world, now_ns, request, chosen, true, &alone);
    hf_world_rollback(world, mark);
    return noticed && hf_result_group(alone.result) == HF_GROUP_YES;
}
