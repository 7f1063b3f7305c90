/* Changes; their steps and why they suffice are told in change.h. */
#include "engine/change.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/decide.h"
#include "engine/hash.h"
#include "engine/lapse.h"
#include "engine/units.h"
#include "engine/waiting.h"

#define MAX_LINES  HF_MAX_BATCH_LINES
#define MAX_COUNTS (2 * MAX_LINES) /* MOVE has two customers */
_Static_assert(MAX_LINES + MAX_COUNTS + MAX_LINES <= HF_RING_MAX_CREDITS, "credits of one change");
/* A line takes of one inventory, and for one customer. */
#define MAX_WORDS (2 * MAX_LINES)
_Static_assert(MAX_WORDS <= HF_MCAS_ENTRIES, "words of one change");

/* One inventory of a change, and what its lines want of it. */
struct use {
    struct hf_inventory_cell *cell;
    uint64_t word;         /* as weighed */
    struct hf_rules rules; /* likewise */
    uint32_t bits;
    int64_t takes, gives; /* units */
    int64_t held;         /* change of the held units */
    uint32_t joins;
    bool weighed; /* in this round */
    bool obeys;   /* a line looked at its word for a rule or a guard */
    bool needs_list, has_list;
    bool announced;   /* among those that will give back */
    uint32_t version; /* that the claim produced */
    bool sold_out;
};

/* The units of one customer in one inventory. */
struct count {
    struct use *use;
    uint64_t customer_id;
    struct hf_customer_cell *cell;
    uint64_t word;
    int64_t takes, gives;
    bool weighed;
    bool returned;
};

struct step {
    struct hf_line line;
    uint64_t hash;
    struct hf_reservation_cell *cell; /* known, or to be made; NULL: not yet */
    uint32_t number;
    uint64_t word; /* of a known one, without the mark */
    struct hf_reservation before;
    struct hf_image_notes notes;
    struct hf_decision decision;
    struct use *use;
    struct step *chain_of; /* who has taken the chain of this id; NULL: nobody */
    struct hf_chain chain;
    uint32_t linked;                 /* number of the lapsed hold that this one is made from */
    struct hf_rules_mark rules_mark; /* the settings by which it was decided */
    bool makes;                      /* a new reservation */
    bool allotted;                   /* its cell is one that we took out of stock */
    bool marked;
};

struct hf_transaction {
    struct hf_actor *actor;
    uint64_t not_after_ns;
    uint32_t step_count, use_count, count_count;
    uint32_t failed; /* the step that is refused */
    struct hf_availability seen;
    bool batch;
    struct step *order[MAX_LINES];
    struct step steps[MAX_LINES];
    struct use uses[MAX_LINES];
    struct count counts[MAX_COUNTS];
};

/* How an attempt ends. */
enum attempt {
    GO_ON,
    DONE,
    REFUSED,  /* failed step, result in its decision */
    BUSY,     /* put aside */
    LOG_FULL, /* put aside */
    AGAIN,    /* from the start, at once */
};

struct hf_transaction *hf_transaction_new(void)
{
    return calloc(1, sizeof(struct hf_transaction));
}

void hf_transaction_free(struct hf_transaction *transaction)
{
    free(transaction);
}

static struct hf_region *region_of(const struct hf_transaction *change)
{
    return &change->actor->engine->region;
}

static bool is_claim(enum hf_operation operation)
{
    return operation == HF_OP_RESERVE || operation == HF_OP_HOLD || operation == HF_OP_JOIN;
}

static enum attempt refuse(struct hf_transaction *change, struct step *step, unsigned result,
                           enum hf_field field)
{
    step->decision.result = result;
    step->decision.field = field;
    change->failed = (uint32_t)(step - change->steps);
    return REFUSED;
}

/* ---- 1. look up ---- */

static struct use *use_of(struct hf_transaction *change, struct hf_inventory_cell *cell)
{
    for (uint32_t i = 0; i < change->use_count; i++)
        if (change->uses[i].cell == cell)
            return &change->uses[i];
    struct use *use = &change->uses[change->use_count++];
    *use = (struct use){.cell = cell};
    return use;
}

static void begin_steps(struct hf_transaction *change, const struct hf_line *lines)
{
    uint64_t seed = region_of(change)->header->hash_seed;
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = &change->steps[i];
        step->line = lines[i];
        step->cell = NULL;
        step->chain_of = NULL;
        step->linked = 0;
        step->use = NULL;
        step->marked = step->allotted = false;
        step->makes = is_claim(lines[i].operation);
        step->decision = (struct hf_decision){.result = HF_OK};
        if (hf_id_is_zero(&step->line.id))
            hf_id_make(&step->line.id);
        step->hash = hf_hash_id(&step->line.id, seed);
        change->order[i] = step;
    }
}

/* The step among ours that has taken this chain. */
static struct step *owner_of(const struct hf_transaction *change, const _Atomic uint32_t *head)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = change->order[i];
        if (step->chain_of == step && step->chain.head == head)
            return step;
    }
    return NULL;
}

/* Takes the chain of an id that is to be made, or finds it. */
static enum attempt take_chain(struct hf_transaction *change, struct step *step)
{
    struct hf_region *region = region_of(change);
    struct step *owner = owner_of(change, hf_table_head(region, step->hash));
    if (owner != NULL) {
        step->cell = hf_chain_find(&owner->chain, region, &step->line.id);
        if (step->cell == NULL)
            step->chain_of = owner;
        return GO_ON;
    }
    switch (hf_table_take(region, &step->line.id, step->hash, &step->chain, &step->cell)) {
    case HF_LOOKUP_ABSENT:
        step->chain_of = step;
        step->cell = NULL;
        return GO_ON;
    case HF_LOOKUP_FOUND:
        return GO_ON;
    case HF_LOOKUP_TAKEN:
        break;
    }
    step->cell = NULL;
    return BUSY;
}

/* Finds a reservation that is to be changed. */
static enum attempt find_known(struct hf_transaction *change, struct step *step)
{
    struct hf_region *region = region_of(change);
    struct step *owner = owner_of(change, hf_table_head(region, step->hash));
    if (owner != NULL) {
        step->cell = hf_chain_find(&owner->chain, region, &step->line.id);
    } else if (hf_table_find(region, &step->line.id, step->hash, &step->cell) == HF_LOOKUP_TAKEN) {
        step->cell = NULL;
        return BUSY;
    }
    return GO_ON;
}

static int by_head(const void *left, const void *right)
{
    const struct step *one = *(struct step *const *)left, *other = *(struct step *const *)right;
    return one->hash < other->hash ? -1 : one->hash > other->hash;
}

/* Chains are taken in one order by all. */
static enum attempt look_up(struct hf_transaction *change)
{
    if (change->step_count > 1)
        qsort(change->order, change->step_count, sizeof change->order[0], by_head);
    for (uint32_t i = 0; i < change->step_count; i++)
        if (change->order[i]->makes && take_chain(change, change->order[i]) == BUSY)
            return BUSY;
    for (uint32_t i = 0; i < change->step_count; i++)
        if (!change->order[i]->makes && find_known(change, change->order[i]) == BUSY)
            return BUSY;
    return GO_ON;
}

/* ---- 2. decide ---- */

static enum attempt copy_known(struct hf_transaction *change, struct step *step)
{
    const struct hf_region *region = region_of(change);
    step->number = (uint32_t)(step->cell - region->reservations);
    if (hf_reservation_copy(region, step->cell, &step->before, &step->word) != HF_COPIED)
        return BUSY;
    hf_notes_of(region, step->cell, step->word, &step->notes);
    return GO_ON;
}

/* A known id of a claim: the first answer again. Nothing is made. */
static enum attempt decide_repeat(struct hf_transaction *change, struct step *step)
{
    if (copy_known(change, step) == BUSY)
        return BUSY;
    step->makes = false;
    hf_decide_repeat(&step->line, &step->before, &step->notes, &step->decision);
    return GO_ON;
}

/* What a claim would make; whether it may is weighed later. */
static void decide_claim(struct hf_transaction *change, struct step *step)
{
    struct hf_region *region = region_of(change);
    struct hf_inventory_cell *cell = hf_region_find_inventory(region, step->line.inventory_id);
    hf_decide_claim(&step->line, change->actor->now_ns, &step->decision.after);
    step->decision.claims = true;
    step->decision.changes = true;
    step->decision.result = step->line.operation == HF_OP_JOIN      ? HF_JOINED
                            : step->line.operation == HF_OP_CONFIRM ? HF_CONFIRMED
                                                                    : HF_GRANTED;
    step->notes = (struct hf_image_notes){0};
    if (step->line.operation == HF_OP_HOLD)
        step->notes.made_as = HF_STATE_HELD;
    if (step->line.operation == HF_OP_JOIN)
        step->notes.made_as = HF_STATE_WAITING;
    step->use = cell == NULL ? NULL : use_of(change, cell);
}

/* CONFIRM of a lapsed hold, with REACQUIRE: from here on the step is a claim, under a new id. */
static enum attempt decide_reacquire(struct hf_transaction *change, struct step *step)
{
    if (step->before.state == HF_STATE_HELD &&
        hf_lapse_one(change->actor, step->number) == HF_LAPSE_BUSY)
        return BUSY;
    struct hf_id id = step->line.new_id;
    if (hf_id_is_zero(&id))
        hf_id_derive(&step->line.id, &id);
    struct hf_line claim = {
        .operation = HF_OP_CONFIRM,
        .flags = step->line.flags,
        .qty = step->line.qty == 0 ? step->before.qty : step->line.qty,
        .id = id,
        .inventory_id = step->before.inventory_id,
        .customer_id = step->before.customer_id,
    };
    struct hf_id linked_id = step->line.id;
    step->linked = step->number;
    step->line = claim;
    step->hash = hf_hash_id(&id, region_of(change)->header->hash_seed);
    step->makes = true;
    step->decision = (struct hf_decision){.result = HF_OK};
    if (take_chain(change, step) == BUSY)
        return BUSY;
    if (step->cell != NULL) {
        if (decide_repeat(change, step) == BUSY)
            return BUSY;
        /* One that was made otherwise is another's, however much alike. */
        if (!hf_id_equal(&step->before.linked_id, &linked_id)) {
            step->decision.result = HF_ID_REUSED;
            step->decision.repeated = false;
        }
        if (step->decision.result == HF_ID_REUSED)
            step->decision.field = HF_FIELD_NEW_ID;
        return GO_ON;
    }
    decide_claim(change, step);
    step->decision.after.linked_id = linked_id;
    return GO_ON;
}

static enum attempt decide_change(struct hf_transaction *change, struct step *step)
{
    if (copy_known(change, step) == BUSY)
        return BUSY;
    struct hf_inventory_cell *cell =
        &region_of(change)->inventories[hf_load_relaxed(&step->cell->inventory)];
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
            return GO_ON;
        }
        return decide_reacquire(change, step);
    }
    if (step->decision.changes)
        step->use = use_of(change, cell);
    return GO_ON;
}

static enum attempt decide(struct hf_transaction *change, struct step *step)
{
    if (step->makes && step->cell != NULL)
        return decide_repeat(change, step);
    if (step->makes) {
        decide_claim(change, step);
        return GO_ON;
    }
    if (step->cell == NULL) {
        step->decision.result = HF_NOT_FOUND;
        step->decision.field = HF_FIELD_RESERVATION_ID;
        return GO_ON;
    }
    return decide_change(change, step);
}

/* Customer or quantity become others than those of the request that made it: it keeps the
 * fingerprint of that request, so that a repeat is still known. */
static void keep_origin(struct step *step)
{
    const struct hf_reservation *before = &step->before, *after = &step->decision.after;
    if (step->notes.origin == 0 &&
        (after->qty != before->qty || after->customer_id != before->customer_id))
        step->notes.origin = hf_reservation_origin(before->customer_id, before->qty);
}

static enum attempt decide_all(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = &change->steps[i];
        if (decide(change, step) == BUSY)
            return BUSY;
        if (step->decision.changes && !step->makes)
            keep_origin(step);
        /* Joining and leaving a list needs the right to it. */
        bool leaves = !step->makes && step->before.state == HF_STATE_WAITING;
        bool joins = step->decision.after.state == HF_STATE_WAITING;
        if (step->decision.changes && (joins || leaves) && step->use != NULL)
            step->use->needs_list = true;
    }
    return GO_ON;
}

/* ---- 3. mark ---- */

static int by_cell(const void *left, const void *right)
{
    const struct step *one = *(struct step *const *)left, *other = *(struct step *const *)right;
    return one->cell < other->cell ? -1 : one->cell > other->cell;
}

static enum attempt take_lists(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->use_count; i++) {
        struct use *use = &change->uses[i];
        if (use->needs_list && !hf_waiting_take(use->cell))
            return BUSY;
        use->has_list = use->needs_list;
    }
    return GO_ON;
}

/* True if it is still the same settings by which it was decided. With the mark set nobody sees the
 * reservation, so what is true now is true of the instant at which it changes. */
static bool same_rules(const struct step *step)
{
    if (!step->decision.changes)
        return true;
    struct hf_rules_mark now = hf_inventory_rules_mark(step->use->cell);
    return now.rules == step->rules_mark.rules && now.sequence == step->rules_mark.sequence;
}

/* Marks are set in one order by all. In a batch, what stays as it is has to stay so, too. */
static enum attempt mark_all(struct hf_transaction *change)
{
    if (change->step_count > 1)
        qsort(change->order, change->step_count, sizeof change->order[0], by_cell);
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = change->order[i];
        if (step->cell == NULL || step->makes || is_claim(step->line.operation) ||
            !(step->decision.changes || change->batch))
            continue;
        if (step->before.state == HF_STATE_WAITING && !step->decision.changes)
            continue; /* who serves the list finds no mark that is not a change */
        uint64_t word = step->word;
        /* acq_rel: acquire pairs with the release that cleared the mark of the change before;
         * release is for those who meet the mark. */
        if (!hf_cas_acq_rel(&step->cell->word, &word, word | HF_WORD_MARKED))
            return BUSY;
        step->marked = true;
        if (!same_rules(step))
            return BUSY;
    }
    return GO_ON;
}

/* ---- 4. weigh ---- */

static void weigh_use(struct hf_transaction *change, struct use *use)
{
    if (use->weighed)
        return;
    use->word = hf_inventory_load(&region_of(change)->mcas, use->cell, &use->rules, &use->bits);
    use->weighed = true;
}

/* Units that the reservation has for its customer. */
static int64_t units_of(const struct hf_reservation *reservation)
{
    return hf_state_is_active(reservation->state) ? reservation->qty : 0;
}

static int64_t held_of(const struct hf_reservation *reservation)
{
    return reservation->state == HF_STATE_HELD ? reservation->qty : 0;
}

/* What the step takes of its inventory; negative: gives back. */
static int64_t units_taken(const struct step *step)
{
    return units_of(&step->decision.after) - (step->makes ? 0 : units_of(&step->before));
}

static bool is_counted(const struct step *step)
{
    return step->makes ? (step->use->bits & HF_RULE_COUNTED) != 0
                       : (step->word & HF_WORD_COUNTED) != 0;
}

/* The count of a customer; made, if it is to be raised. */
static enum attempt count_of(struct hf_transaction *change, struct step *step, uint64_t customer_id,
                             bool raise, struct count **found)
{
    struct count *count = NULL;
    for (uint32_t i = 0; i < change->count_count && count == NULL; i++)
        if (change->counts[i].use == step->use && change->counts[i].customer_id == customer_id)
            count = &change->counts[i];
    if (count == NULL) {
        count = &change->counts[change->count_count++];
        *count = (struct count){.use = step->use, .customer_id = customer_id};
    }
    struct hf_engine *engine = change->actor->engine;
    uint32_t inventory = (uint32_t)(step->use->cell - engine->region.inventories);
    *found = count;
    while (!count->weighed) {
        bool busy = false;
        if (count->cell == NULL)
            count->cell =
                raise ? hf_customers_get(&engine->customers, inventory, customer_id, &busy)
                      : hf_customers_find(&engine->customers, inventory, customer_id, &busy);
        if (count->cell == NULL)
            /* None to be lowered: the reservation was changed since it was read. */
            return busy || !raise ? BUSY : refuse(change, step, HF_CUSTOMERS_FULL, HF_FIELD_NONE);
        count->word = hf_mcas_load(&engine->region.mcas, &count->cell->word);
        count->weighed = (count->word & HF_WORD_SEALED) == 0;
        if (!count->weighed)
            count->cell = NULL; /* dead: there is another by now, or none */
    }
    return GO_ON;
}

/* The customer's count goes up, if the limit allows. */
static enum attempt weigh_customer(struct hf_transaction *change, struct step *step, int64_t units,
                                   bool joins)
{
    const struct hf_settings *settings = &step->use->rules.settings;
    uint64_t customer_id = step->decision.after.customer_id;
    bool limited = settings->customer_limit != 0 && (step->line.flags & HF_REQUEST_OVERRIDE) == 0;
    if (!is_counted(step) || (joins && !limited))
        return GO_ON;
    struct count *count;
    enum attempt attempt = count_of(change, step, customer_id, true, &count);
    if (attempt != GO_ON)
        return attempt;
    int64_t net = count->takes + units - count->gives;
    if (limited && net > 0 &&
        hf_word_available(count->word) + net > (int64_t)settings->customer_limit)
        return refuse(change, step, HF_CUSTOMER_LIMIT, HF_FIELD_CUSTOMER_ID);
    if (!joins)
        count->takes += units;
    return GO_ON;
}

/* What the lines give back, before any of them takes. */
static enum attempt weigh_gives(struct hf_transaction *change, struct step *step)
{
    if (!step->decision.changes || step->makes)
        return GO_ON;
    struct use *use = step->use;
    int64_t units = units_taken(step);
    bool moves = step->decision.after.customer_id != step->before.customer_id;
    weigh_use(change, use);
    if (units < 0)
        use->gives -= units;
    if (!is_counted(step) || (units >= 0 && !moves))
        return GO_ON;
    struct count *count;
    enum attempt attempt = count_of(change, step, step->before.customer_id, false, &count);
    if (attempt == GO_ON)
        count->gives += moves ? units_of(&step->before) : -units;
    return attempt;
}

static enum attempt weigh_join(struct hf_transaction *change, struct step *step)
{
    struct use *use = step->use;
    bool stands = (use->word & HF_WORD_WAITING) != 0;
    /* Acquire: as in confirm_refusal(); here it is the claim that proves the word. */
    if (hf_load_acquire(&use->cell->giving) != 0)
        return BUSY;
    if (!stands && hf_word_available(use->word) >= (int64_t)step->line.qty)
        return refuse(change, step, HF_NOT_SOLD_OUT, HF_FIELD_NONE);
    uint32_t waiting =
        hf_load_relaxed(&use->cell->waiting_count) + use->joins; /* the right is ours */
    if (waiting >= use->rules.settings.waiting_limit)
        return refuse(change, step, HF_WAITING_FULL, HF_FIELD_NONE);
    use->joins++;
    return GO_ON;
}

/* Everything that a claim must obey, in the order of docs/protocol.md. */
static enum attempt weigh_claim(struct hf_transaction *change, struct step *step)
{
    struct use *use = step->use;
    uint64_t now_ns = change->actor->now_ns;
    if (is_claim(step->line.operation) && change->not_after_ns != 0 &&
        now_ns > change->not_after_ns)
        return refuse(change, step, HF_TOO_LATE, HF_FIELD_NONE);
    if (use == NULL)
        return refuse(change, step, HF_UNKNOWN_INVENTORY, HF_FIELD_INVENTORY_ID);
    weigh_use(change, use);
    use->obeys = true;
    change->seen =
        (struct hf_availability){hf_word_available(use->word), hf_word_version(use->word)};
    if ((step->line.flags & HF_REQUEST_EXPECT_VERSION) != 0 &&
        step->line.expected != hf_word_version(use->word))
        return refuse(change, step, HF_VERSION_MISMATCH, HF_FIELD_VERSION);
    unsigned rule = hf_decide_rules(&step->line, &use->rules.settings, step->decision.after.qty,
                                    (use->word & HF_WORD_SEALED) != 0, now_ns);
    if (rule != HF_OK)
        return refuse(change, step, rule,
                      rule == HF_QTY_NOT_ALLOWED   ? HF_FIELD_QTY
                      : rule == HF_TTL_NOT_ALLOWED ? HF_FIELD_TTL
                                                   : HF_FIELD_NONE);
    bool joins = step->decision.after.state == HF_STATE_WAITING;
    int64_t units = joins ? step->line.qty : units_taken(step);
    enum attempt attempt = weigh_customer(change, step, units, joins);
    if (attempt != GO_ON)
        return attempt;
    if (joins)
        return weigh_join(change, step);
    if ((use->word & HF_WORD_WAITING) != 0)
        return refuse(change, step, HF_WAITING_LIST, HF_FIELD_NONE);
    int64_t net = use->takes + units - use->gives;
    if (net > 0 && net > hf_word_available(use->word))
        return refuse(change, step, HF_SOLD_OUT, HF_FIELD_NONE);
    use->takes += units;
    return GO_ON;
}

static enum attempt weigh_step(struct hf_transaction *change, struct step *step)
{
    unsigned result = step->decision.result;
    if (!step->makes && hf_result_group(result) != HF_GROUP_YES) {
        if (step->cell != NULL)
            change->seen = (struct hf_availability){0, step->before.sequence};
        return refuse(change, step, result, step->decision.field);
    }
    if (step->decision.claims)
        return weigh_claim(change, step);
    if (step->decision.changes && step->decision.after.customer_id != step->before.customer_id) {
        step->use->obeys = true; /* the limit per customer */
        return weigh_customer(change, step, units_of(&step->decision.after), false);
    }
    return GO_ON;
}

static void begin_round(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->use_count; i++) {
        struct use *use = &change->uses[i];
        use->takes = use->gives = use->held = 0;
        use->joins = 0;
        use->weighed = use->obeys = use->sold_out = false;
    }
    for (uint32_t i = 0; i < change->count_count; i++) {
        change->counts[i].takes = change->counts[i].gives = 0;
        change->counts[i].weighed = change->counts[i].returned = false;
    }
}

static enum attempt weigh(struct hf_transaction *change)
{
    begin_round(change);
    enum attempt attempt = GO_ON;
    for (uint32_t i = 0; i < change->step_count && attempt == GO_ON; i++)
        attempt = weigh_gives(change, &change->steps[i]);
    for (uint32_t i = 0; i < change->step_count && attempt == GO_ON; i++)
        attempt = weigh_step(change, &change->steps[i]);
    return attempt;
}

/* True if a line of a batch finds, or does not find, what it did. */
static bool found_as_before(struct hf_transaction *change, const struct step *step)
{
    struct hf_region *region = region_of(change);
    struct step now = *step;
    if (step->makes)
        return step->use != NULL ||
               hf_region_find_inventory(region, step->line.inventory_id) == NULL;
    if (step->cell != NULL) /* acquire: as in hf_reservation_copy() */
        return step->marked || hf_load_acquire(&step->cell->word) == step->word;
    return find_known(change, &now) == GO_ON && now.cell == NULL;
}

/* True if the reservations that change, of a batch all that it speaks of, are still as they were
 * read: then that, and the words that were weighed after it, are of one instant (HONEST-NO). */
static bool still_as_read(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        const struct step *step = &change->steps[i];
        if ((change->batch || (step->decision.changes && !step->makes)) &&
            !found_as_before(change, step))
            return false;
    }
    return true;
}

/* True if the words are still as they were weighed, one after the other: then they were so at one
 * instant. Which line fails first, and why, is part of a refusal. */
static bool still_as_weighed(const struct hf_transaction *change)
{
    const struct hf_mcas *mcas = &region_of(change)->mcas;
    for (uint32_t i = 0; i < change->use_count; i++) {
        const struct use *use = &change->uses[i];
        if (use->weighed && hf_mcas_load(mcas, &use->cell->word) != use->word)
            return false;
    }
    for (uint32_t i = 0; i < change->count_count; i++) {
        const struct count *count = &change->counts[i];
        if (count->weighed && hf_mcas_load(mcas, &count->cell->word) != count->word)
            return false;
    }
    return true;
}

/* A refusal is about to be told: lapsed holds may help, and rules must be in force. */
static enum attempt confirm_refusal(struct hf_transaction *change)
{
    struct step *step = &change->steps[change->failed];
    struct use *use = step->use;
    if (!still_as_read(change))
        return BUSY;
    /* Acquire: the words are looked at again after it, as in hf_inventory_too_few(). */
    bool none_held = use != NULL && hf_load_acquire(&use->cell->held) == 0;
    bool giving = use != NULL && hf_load_acquire(&use->cell->giving) != 0; /* likewise */
    if (!still_as_weighed(change))
        return AGAIN;
    if (use == NULL || !use->weighed)
        return REFUSED;
    uint64_t word = use->word;
    if (!hf_inventory_settle(use->cell, use->bits, &word))
        return AGAIN;
    unsigned result = step->decision.result;
    bool may_help = result == HF_SOLD_OUT || result == HF_CUSTOMER_LIMIT ||
                    result == HF_WAITING_LIST || result == HF_WAITING_FULL;
    if (may_help && giving)
        return BUSY;
    if (!may_help || none_held)
        return REFUSED;
    switch (hf_lapse_for(change->actor, use->cell)) {
    case HF_LAPSE_NONE:
        break;
    case HF_LAPSE_SOME:
        return AGAIN;
    case HF_LAPSE_BUSY:
        return BUSY;
    }
    /* What lapsed may have become an offer at once: whatever came back, it moved the word. */
    return hf_mcas_load(&region_of(change)->mcas, &use->cell->word) != word ? AGAIN : REFUSED;
}

/* ---- 5. claim ---- */

static void add_use(struct use *use, struct hf_mcas_entry *entries, uint32_t *count)
{
    int64_t net = use->takes - use->gives;
    if (net <= 0 && !use->obeys && use->joins == 0)
        return;
    int32_t after = hf_word_available(use->word) - (net > 0 ? (int32_t)net : 0);
    uint64_t desired = hf_word_moved(use->word, after);
    use->version = hf_word_version(desired);
    use->sold_out = net > 0 && after == 0;
    if (use->sold_out && (use->rules.settings.flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) != 0)
        desired |= HF_WORD_SEALED;
    if (use->joins != 0)
        desired |= HF_WORD_WAITING;
    entries[(*count)++] = (struct hf_mcas_entry){&use->cell->word, use->word, desired};
}

static void add_count(struct count *count, struct hf_mcas_entry *entries, uint32_t *entry_count)
{
    int64_t net = count->takes - count->gives;
    if (!count->weighed || net <= 0)
        return;
    uint64_t desired = hf_word_moved(count->word, hf_word_available(count->word) + (int32_t)net);
    entries[(*entry_count)++] = (struct hf_mcas_entry){&count->cell->word, count->word, desired};
}

/*
 * What is given back follows the LSN, hence the instant at which the rest takes effect. Between the
 * two others can see the one without the other, unless all of it is one word, or what is not seen
 * is announced: then nobody is refused for want of it.
 */
static void announce(struct hf_transaction *change)
{
    if (change->step_count == 1 && change->count_count < 2)
        return;
    for (uint32_t i = 0; i < change->use_count; i++)
        change->uses[i].announced = change->uses[i].gives > change->uses[i].takes;
    for (uint32_t i = 0; i < change->count_count; i++) {
        const struct count *count = &change->counts[i];
        count->use->announced |= count->weighed && count->gives > count->takes;
    }
    for (uint32_t i = 0; i < change->use_count; i++)
        if (change->uses[i].announced)
            /* acq_rel: before the claim. Pairs with the loads of who refuses. */
            hf_fetch_add_acq_rel(&change->uses[i].cell->giving, 1);
}

/* It is given back, or will not be. */
static void withdraw(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->use_count; i++) {
        struct use *use = &change->uses[i];
        if (use->announced) /* acq_rel: after the words have changed */
            hf_fetch_sub_acq_rel(&use->cell->giving, 1);
        use->announced = false;
    }
}

/* The instant. False: a word has changed since it was weighed. */
static bool claim(struct hf_transaction *change)
{
    struct hf_mcas_entry entries[MAX_WORDS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < change->use_count; i++)
        add_use(&change->uses[i], entries, &count);
    for (uint32_t i = 0; i < change->count_count; i++)
        add_count(&change->counts[i], entries, &count);
    if (count == 0)
        return true;
    if (count == 1)
        return hf_cas_acq_rel(entries[0].place, &entries[0].expected, entries[0].desired);
    return hf_mcas(&region_of(change)->mcas, change->actor->number, entries, count);
}

/* ---- 6. record ---- */

/* Cells for those that are to be made. */
static enum attempt take_cells(struct hf_transaction *change)
{
    struct hf_actor *actor = change->actor;
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = &change->steps[i];
        if (!step->makes || step->cell != NULL)
            continue;
        step->number = hf_table_take_cell(&actor->engine->region, &actor->allotment);
        if (step->number == 0)
            return refuse(change, step, HF_RESERVATIONS_FULL, HF_FIELD_NONE);
        step->cell = &actor->engine->region.reservations[step->number];
        step->allotted = true;
    }
    return GO_ON;
}

static uint64_t kept_bits(const struct step *step)
{
    uint64_t bits = step->makes ? 0 : step->word & HF_WORD_TERMS;
    const struct hf_reservation *after = &step->decision.after;
    if (step->notes.origin != 0 || step->notes.made_as != 0 || step->linked != 0)
        bits |= HF_WORD_TERMS;
    if (hf_state_is_active(after->state) && is_counted(step))
        bits |= HF_WORD_COUNTED;
    return bits;
}

/* Everything but the word and the LSN. */
static void store(struct hf_transaction *change, struct step *step)
{
    struct hf_region *region = region_of(change);
    const struct hf_reservation *after = &step->decision.after;
    struct hf_terms *terms = &region->terms[step->number];
    /* Release: pairs with hf_reservation_copy(). */
    if (step->makes) {
        hf_reservation_set_id(step->cell, &after->id);
        hf_store_relaxed(&step->cell->made_at_ns, after->made_at_ns); /* released by the word */
        hf_store_relaxed(&step->cell->inventory,
                         (uint32_t)(step->use->cell - region->inventories)); /* likewise */
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

static uint32_t image_version(const struct hf_transaction *change, const struct step *step)
{
    if (units_taken(step) > 0)
        return step->use->version;
    return hf_word_version(hf_mcas_load(&region_of(change)->mcas, &step->use->cell->word));
}

/* All images in one chain; a single one has none. */
static void log_all(struct hf_transaction *change, uint32_t images)
{
    struct hf_ring_producer *log = &change->actor->log;
    uint64_t lsn = hf_ring_reserve_chain(log, images);
    uint32_t index = 0;
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = &change->steps[i];
        if (!step->decision.changes)
            continue;
        step->decision.after.lsn = lsn + index;
        step->notes.inventory_version = image_version(change, step);
        step->notes.flags =
            step->use->sold_out && units_taken(step) > 0 ? HF_IMAGE_FLAG_SOLD_OUT : 0;
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

/* ---- 7. give back, 8. clear ---- */

/* Into waiting lists, in the order of the LSNs, and then out of them: a list that somebody joins
 * does not end when the last before leaves. */
static void relist(struct hf_transaction *change)
{
    struct hf_region *region = region_of(change);
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = &change->steps[i];
        if (step->decision.changes && step->decision.after.state == HF_STATE_WAITING)
            hf_waiting_append(region, step->use->cell, step->number);
    }
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = &change->steps[i];
        if (step->decision.changes && !step->makes && step->before.state == HF_STATE_WAITING)
            hf_waiting_remove(change->actor, step->use->cell, step->number);
    }
}

static void count_held(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        const struct step *step = &change->steps[i];
        if (step->decision.changes)
            step->use->held +=
                held_of(&step->decision.after) - (step->makes ? 0 : held_of(&step->before));
    }
    for (uint32_t i = 0; i < change->use_count; i++)
        if (change->uses[i].held != 0) /* relaxed: a count */
            hf_fetch_add_relaxed(&change->uses[i].cell->held, (uint32_t)change->uses[i].held);
}

/* Those that were only looked at: one that was made for that has no units. */
static void drop_unchanged_counts(struct hf_transaction *change)
{
    struct hf_engine *engine = change->actor->engine;
    for (uint32_t i = 0; i < change->count_count; i++) {
        const struct count *count = &change->counts[i];
        if (count->cell != NULL && count->takes == count->gives)
            hf_customers_drop(&engine->customers, &engine->region.mcas, count->cell);
    }
}

/* Each inventory's units with the first of its customers' counts, at one instant. */
static void give_back(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->count_count; i++) {
        struct count *count = &change->counts[i];
        if (!count->weighed || count->takes >= count->gives)
            continue;
        struct use *use = count->use;
        int64_t units = use->gives > use->takes ? use->gives - use->takes : 0;
        if (hf_units_return(change->actor, use->cell, (uint32_t)units, count->cell,
                            (uint32_t)(count->gives - count->takes)))
            use->needs_list = true;
        use->gives = use->takes;
    }
    drop_unchanged_counts(change);
    for (uint32_t i = 0; i < change->use_count; i++) {
        struct use *use = &change->uses[i];
        if (use->gives > use->takes &&
            hf_units_return(change->actor, use->cell, (uint32_t)(use->gives - use->takes), NULL, 0))
            use->needs_list = true;
    }
}

static void store_end(struct hf_transaction *change, struct step *step)
{
    const struct hf_reservation *after = &step->decision.after;
    if (hf_state_is_final(after->state)) /* release: pairs with hf_reservation_copy() */
        hf_store_release(&region_of(change)->terms[step->number].due_ns,
                         hf_retention_end_ns(change->actor->engine, after->changed_at_ns));
}

static void clear(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = &change->steps[i];
        if (step->chain_of == step)
            hf_chain_leave(&step->chain);
    }
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = &change->steps[i];
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
        struct use *use = &change->uses[i];
        if (use->needs_list)
            hf_waiting_serve(change->actor, use->cell);
        if (use->has_list)
            hf_waiting_leave(change->actor, use->cell);
        use->has_list = false;
    }
}

static uint32_t count_images(const struct hf_transaction *change)
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

static void carry_out(struct hf_transaction *change)
{
    struct hf_region *region = region_of(change);
    uint32_t images = count_images(change);
    if (images == 0) {
        clear(change);
        withdraw(change);
        leave_lists(change);
        return;
    }
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = &change->steps[i];
        if (step->makes)
            hf_chain_push(&step->chain_of->chain, region, step->number);
    }
    log_all(change, images);
    for (uint32_t i = 0; i < change->step_count; i++)
        if (change->steps[i].decision.changes)
            store(change, &change->steps[i]);
    relist(change);
    give_back(change);
    withdraw(change);
    count_held(change);
    clear(change);
    leave_lists(change);
    struct hf_actor *actor = change->actor;
    hf_store_relaxed(&actor->made, hf_load_relaxed(&actor->made) + count_made(change)); /* ours */
}

/* ---- the whole ---- */

/* Lets go of everything: nothing happened. */
static void let_go(struct hf_transaction *change)
{
    struct hf_engine *engine = change->actor->engine;
    for (uint32_t i = 0; i < change->count_count; i++)
        if (change->counts[i].cell != NULL)
            hf_customers_drop(&engine->customers, &engine->region.mcas, change->counts[i].cell);
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct step *step = &change->steps[i];
        if (step->marked)
            hf_store_release(&step->cell->word, step->word); /* as it was */
        if (step->allotted)
            hf_table_free_one(&engine->region, step->number);
        if (step->chain_of == step)
            hf_chain_leave(&step->chain);
    }
    for (uint32_t i = 0; i < change->use_count; i++) {
        if (change->uses[i].has_list)
            hf_waiting_leave(change->actor, change->uses[i].cell);
        change->uses[i].has_list = false;
    }
}

static uint32_t credits_needed(const struct hf_transaction *change)
{
    if (count_images(change) == 0)
        return 0; /* what was done before is told also when the log has no room */
    /* An image of each line; an event for each inventory that gets units, and each list that ends. */
    return change->step_count + (change->use_count + change->step_count) * HF_UNITS_CREDITS;
}

static enum attempt try_change(struct hf_transaction *change)
{
    enum attempt attempt = look_up(change);
    if (attempt == GO_ON)
        attempt = decide_all(change);
    if (attempt == GO_ON)
        attempt = take_lists(change);
    bool marked = false;
    while (attempt == GO_ON) {
        attempt = weigh(change);
        if (attempt == REFUSED)
            attempt = confirm_refusal(change);
        if (attempt == GO_ON)
            attempt = take_cells(change);
        if (attempt == GO_ON && !marked)
            attempt = mark_all(change);
        marked = true;
        if (attempt == GO_ON && !hf_ring_credit(&change->actor->log, credits_needed(change)))
            attempt = LOG_FULL;
        if (attempt != GO_ON)
            break;
        announce(change);
        if (claim(change)) {
            carry_out(change);
            return DONE;
        }
        withdraw(change);
    }
    return attempt;
}

static void tell_refusal(const struct hf_transaction *change, struct hf_outcome *outcome)
{
    const struct step *step = &change->steps[change->failed];
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
        const struct step *read = &change->steps[i];
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
    HF_CHECK(count != 0 && count <= MAX_LINES && (count == 1 || entries != NULL));
    hf_outcome_begin(outcome);
    for (;;) {
        change->actor = actor;
        change->not_after_ns = not_after_ns;
        change->step_count = count;
        change->use_count = change->count_count = 0;
        change->batch = entries != NULL;
        change->seen = (struct hf_availability){0, 0};
        begin_steps(change, lines);
        enum attempt attempt = try_change(change);
        if (attempt == DONE) {
            tell(change, entries, outcome);
            return;
        }
        let_go(change);
        /* What is in the way may be a lapsed hold that finds no room in the log. */
        if (attempt == BUSY && !hf_ring_credit(&actor->log, 1 + HF_UNITS_CREDITS))
            attempt = LOG_FULL;
        if (attempt == REFUSED)
            tell_refusal(change, outcome);
        else if (attempt != AGAIN)
            outcome->result = attempt == BUSY ? HF_PUT_ASIDE_BUSY : HF_PUT_ASIDE_LOG_FULL;
        if (attempt != AGAIN)
            return;
    }
}
