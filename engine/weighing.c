/* Weighing and claiming; see weighing.h. */
#include "engine/weighing.h"

#include "engine/lapse.h"

/* A line takes of one inventory, and for one customer. */
#define MAX_WORDS (2 * HF_MAX_STEPS)
_Static_assert(MAX_WORDS <= HF_MCAS_ENTRIES, "words of one change");

static void weigh_use(struct hf_transaction *change, struct hf_use *use)
{
    if (use->weighed)
        return;
    use->word =
        hf_inventory_load(&hf_transaction_region(change)->mcas, use->cell, &use->rules, &use->bits);
    use->weighed = true;
}

/* The count of a customer; made, if it is to be raised. */
static enum hf_attempt count_of(struct hf_transaction *change, struct hf_step *step,
                                uint64_t customer_id, bool raise, struct hf_count **found)
{
    struct hf_count *count = NULL;
    for (uint32_t i = 0; i < change->count_count && count == NULL; i++)
        if (change->counts[i].use == step->use && change->counts[i].customer_id == customer_id)
            count = &change->counts[i];
    if (count == NULL) {
        count = &change->counts[change->count_count++];
        *count = (struct hf_count){.use = step->use, .customer_id = customer_id};
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
            return busy || !raise
                       ? HF_ATTEMPT_BUSY
                       : hf_transaction_refuse(change, step, HF_CUSTOMERS_FULL, HF_FIELD_NONE);
        count->word = hf_mcas_load(&engine->region.mcas, &count->cell->word);
        count->weighed = (count->word & HF_WORD_SEALED) == 0;
        if (!count->weighed)
            count->cell = NULL; /* dead: there is another by now, or none */
    }
    return HF_ATTEMPT_GO_ON;
}

/* The customer's count goes up, if the limit allows. */
static enum hf_attempt weigh_customer(struct hf_transaction *change, struct hf_step *step,
                                      int64_t units, bool joins)
{
    const struct hf_settings *settings = &step->use->rules.settings;
    uint64_t customer_id = step->decision.after.customer_id;
    bool limited = settings->customer_limit != 0 && (step->line.flags & HF_REQUEST_OVERRIDE) == 0;
    if (!hf_step_is_counted(step) || (joins && !limited))
        return HF_ATTEMPT_GO_ON;
    struct hf_count *count;
    enum hf_attempt attempt = count_of(change, step, customer_id, true, &count);
    if (attempt != HF_ATTEMPT_GO_ON)
        return attempt;
    int64_t net = count->takes + units - count->gives;
    if (limited && net > 0 &&
        hf_word_available(count->word) + net > (int64_t)settings->customer_limit)
        return hf_transaction_refuse(change, step, HF_CUSTOMER_LIMIT, HF_FIELD_CUSTOMER_ID);
    if (!joins)
        count->takes += units;
    return HF_ATTEMPT_GO_ON;
}

/* What the lines give back, before any of them takes. */
static enum hf_attempt weigh_gives(struct hf_transaction *change, struct hf_step *step)
{
    if (!step->decision.changes || step->makes)
        return HF_ATTEMPT_GO_ON;
    struct hf_use *use = step->use;
    int64_t units = hf_step_units_taken(step);
    bool moves = step->decision.after.customer_id != step->before.customer_id;
    weigh_use(change, use);
    if (units < 0)
        use->gives -= units;
    if (!hf_step_is_counted(step) || (units >= 0 && !moves))
        return HF_ATTEMPT_GO_ON;
    struct hf_count *count;
    enum hf_attempt attempt = count_of(change, step, step->before.customer_id, false, &count);
    if (attempt == HF_ATTEMPT_GO_ON)
        count->gives += moves ? hf_reservation_units(&step->before) : -units;
    return attempt;
}

/* True if others have announced that they give something back. */
static bool is_giving(const struct hf_use *use)
{
    return hf_inventory_announced(use->cell) != (use->announced ? 1 : 0);
}

static enum hf_attempt weigh_join(struct hf_transaction *change, struct hf_step *step)
{
    struct hf_use *use = step->use;
    bool stands = (use->word & HF_WORD_WAITING) != 0;
    if (is_giving(use)) /* here it is the claim that proves the word */
        return HF_ATTEMPT_BUSY;
    if (!stands && hf_word_available(use->word) >= (int64_t)step->line.qty)
        return hf_transaction_refuse(change, step, HF_NOT_SOLD_OUT, HF_FIELD_NONE);
    uint32_t waiting =
        hf_load_relaxed(&use->cell->waiting_count) + use->joins; /* the right is ours */
    if (waiting >= use->rules.settings.waiting_limit)
        return hf_transaction_refuse(change, step, HF_WAITING_FULL, HF_FIELD_NONE);
    use->joins++;
    return HF_ATTEMPT_GO_ON;
}

/* Everything that a claim must obey, in the order of docs/protocol.md. */
static enum hf_attempt weigh_claim(struct hf_transaction *change, struct hf_step *step)
{
    struct hf_use *use = step->use;
    uint64_t now_ns = change->actor->now_ns;
    if (hf_step_is_claim(step->line.operation) && change->not_after_ns != 0 &&
        now_ns > change->not_after_ns)
        return hf_transaction_refuse(change, step, HF_TOO_LATE, HF_FIELD_NONE);
    if (use == NULL)
        return hf_transaction_refuse(change, step, HF_UNKNOWN_INVENTORY, HF_FIELD_INVENTORY_ID);
    weigh_use(change, use);
    use->obeys = true;
    change->seen =
        (struct hf_availability){hf_word_available(use->word), hf_word_version(use->word)};
    if ((step->line.flags & HF_REQUEST_EXPECT_VERSION) != 0 &&
        step->line.expected != hf_word_version(use->word))
        return hf_transaction_refuse(change, step, HF_VERSION_MISMATCH, HF_FIELD_VERSION);
    unsigned rule = hf_decide_rules(&step->line, &use->rules.settings, step->decision.after.qty,
                                    (use->word & HF_WORD_SEALED) != 0, now_ns);
    if (rule != HF_OK)
        return hf_transaction_refuse(change, step, rule,
                                     rule == HF_QTY_NOT_ALLOWED   ? HF_FIELD_QTY
                                     : rule == HF_TTL_NOT_ALLOWED ? HF_FIELD_TTL
                                                                  : HF_FIELD_NONE);
    bool joins = step->decision.after.state == HF_STATE_WAITING;
    int64_t units = joins ? step->line.qty : hf_step_units_taken(step);
    enum hf_attempt attempt = weigh_customer(change, step, units, joins);
    if (attempt != HF_ATTEMPT_GO_ON)
        return attempt;
    if (joins)
        return weigh_join(change, step);
    if ((use->word & HF_WORD_WAITING) != 0)
        return hf_transaction_refuse(change, step, HF_WAITING_LIST, HF_FIELD_NONE);
    int64_t net = use->takes + units - use->gives;
    if (net > 0 && net > hf_word_available(use->word))
        return hf_transaction_refuse(change, step, HF_SOLD_OUT, HF_FIELD_NONE);
    use->takes += units;
    return HF_ATTEMPT_GO_ON;
}

static enum hf_attempt weigh_step(struct hf_transaction *change, struct hf_step *step)
{
    unsigned result = step->decision.result;
    if (!step->makes && hf_result_group(result) != HF_GROUP_YES) {
        if (step->cell != NULL)
            change->seen = (struct hf_availability){0, step->before.sequence};
        return hf_transaction_refuse(change, step, result, step->decision.field);
    }
    if (step->decision.claims)
        return weigh_claim(change, step);
    if (step->decision.changes && step->decision.after.customer_id != step->before.customer_id) {
        step->use->obeys = true; /* the limit per customer */
        return weigh_customer(change, step, hf_reservation_units(&step->decision.after), false);
    }
    return HF_ATTEMPT_GO_ON;
}

/* True if it takes the last unit of an inventory that closes then. */
static bool closes(const struct hf_use *use)
{
    int64_t net = use->takes - use->gives;
    return net > 0 && net == hf_word_available(use->word) &&
           (use->rules.settings.flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) != 0;
}

static void begin_round(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->use_count; i++) {
        struct hf_use *use = &change->uses[i];
        use->takes = use->gives = use->held = 0;
        use->joins = 0;
        use->weighed = use->obeys = use->sold_out = false;
    }
    for (uint32_t i = 0; i < change->count_count; i++) {
        change->counts[i].takes = change->counts[i].gives = 0;
        change->counts[i].weighed = false;
    }
}

enum hf_attempt hf_transaction_weigh(struct hf_transaction *change)
{
    begin_round(change);
    enum hf_attempt attempt = HF_ATTEMPT_GO_ON;
    for (uint32_t i = 0; i < change->step_count && attempt == HF_ATTEMPT_GO_ON; i++)
        attempt = weigh_gives(change, &change->steps[i]);
    for (uint32_t i = 0; i < change->step_count && attempt == HF_ATTEMPT_GO_ON; i++)
        attempt = weigh_step(change, &change->steps[i]);
    /* Nor is a sale closed by selling out while units are on their way back. */
    for (uint32_t i = 0; i < change->use_count && attempt == HF_ATTEMPT_GO_ON; i++)
        if (closes(&change->uses[i]) && is_giving(&change->uses[i]))
            attempt = HF_ATTEMPT_BUSY;
    return attempt;
}

/* True if a line of a batch finds, or does not find, what it did. */
static bool found_as_before(struct hf_transaction *change, const struct hf_step *step)
{
    struct hf_region *region = hf_transaction_region(change);
    struct hf_step now = *step;
    if (step->makes)
        return step->use != NULL ||
               hf_region_find_inventory(region, step->line.inventory_id) == NULL;
    if (step->cell != NULL) /* acquire: as in hf_reservation_copy() */
        return step->marked || hf_load_acquire(&step->cell->word) == step->word;
    return hf_transaction_find(change, &now) == HF_ATTEMPT_GO_ON && now.cell == NULL;
}

/* True if the reservations that change, of a batch all that it speaks of, are still as they were
 * read: then that, and the words that were weighed after it, are of one instant (HONEST-NO). */
static bool still_as_read(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        const struct hf_step *step = &change->steps[i];
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
    const struct hf_mcas *mcas = &hf_transaction_region(change)->mcas;
    for (uint32_t i = 0; i < change->use_count; i++) {
        const struct hf_use *use = &change->uses[i];
        if (use->weighed && hf_mcas_load(mcas, &use->cell->word) != use->word)
            return false;
    }
    for (uint32_t i = 0; i < change->count_count; i++) {
        const struct hf_count *count = &change->counts[i];
        if (count->weighed && hf_mcas_load(mcas, &count->cell->word) != count->word)
            return false;
    }
    return true;
}

/* A refusal is about to be told: lapsed holds may help, and rules must be in force. */
enum hf_attempt hf_transaction_confirm_refusal(struct hf_transaction *change)
{
    struct hf_step *step = &change->steps[change->failed];
    struct hf_use *use = step->use;
    if (!still_as_read(change))
        return HF_ATTEMPT_BUSY;
    /* Acquire: the words are looked at again after it, as in hf_inventory_weigh(). */
    bool none_held = use != NULL && hf_load_acquire(&use->cell->held) == 0;
    bool giving = use != NULL && is_giving(use); /* likewise */
    if (!still_as_weighed(change))
        return HF_ATTEMPT_AGAIN;
    if (use == NULL || !use->weighed)
        return HF_ATTEMPT_REFUSED;
    uint64_t word = use->word;
    if (!hf_inventory_settle(use->cell, use->bits, &word))
        return HF_ATTEMPT_AGAIN;
    unsigned result = step->decision.result;
    bool may_help = result == HF_SOLD_OUT || result == HF_CUSTOMER_LIMIT ||
                    result == HF_WAITING_LIST || result == HF_WAITING_FULL;
    if (may_help && giving)
        return HF_ATTEMPT_BUSY;
    if (!may_help || none_held)
        return HF_ATTEMPT_REFUSED;
    switch (hf_lapse_for(change->actor, use->cell)) {
    case HF_LAPSE_NONE:
        break;
    case HF_LAPSE_SOME:
        return HF_ATTEMPT_AGAIN;
    case HF_LAPSE_BUSY:
        return HF_ATTEMPT_BUSY;
    }
    /* Or somebody else has what lapsed, and announced it before it was out of reach. */
    if (is_giving(use))
        return HF_ATTEMPT_BUSY;
    /* What lapsed may have become an offer at once: whatever came back, it moved the word. */
    return hf_mcas_load(&hf_transaction_region(change)->mcas, &use->cell->word) != word
               ? HF_ATTEMPT_AGAIN
               : HF_ATTEMPT_REFUSED;
}

static void add_use(struct hf_use *use, struct hf_mcas_entry *entries, uint32_t *count)
{
    int64_t net = use->takes - use->gives;
    if (net <= 0 && !use->obeys && use->joins == 0)
        return;
    int32_t after = hf_word_available(use->word) - (net > 0 ? (int32_t)net : 0);
    uint64_t desired = hf_word_moved(use->word, after);
    use->version = hf_word_version(desired);
    use->sold_out = net > 0 && after == 0;
    if (closes(use))
        desired |= HF_WORD_SEALED;
    if (use->joins != 0)
        desired |= HF_WORD_WAITING;
    entries[(*count)++] = (struct hf_mcas_entry){&use->cell->word, use->word, desired};
}

static void add_count(struct hf_count *count, struct hf_mcas_entry *entries, uint32_t *entry_count)
{
    int64_t net = count->takes - count->gives;
    if (!count->weighed || net <= 0)
        return;
    uint64_t desired = hf_word_moved(count->word, hf_word_available(count->word) + (int32_t)net);
    entries[(*entry_count)++] = (struct hf_mcas_entry){&count->cell->word, count->word, desired};
}

/* Something will be given back to this inventory. */
static void announce(struct hf_use *use)
{
    if (use->announced)
        return;
    use->announced = true;
    hf_inventory_announce(use->cell);
}

/*
 * Before the marks. The settings decide whether a confirmed reservation may be cancelled, or made smaller:
 * those in force when its mark is set. If they change before its units are back, whoever has been told so
 * is not refused these units afterwards. Nor is whoever asks behind the deadline of a hold that is being
 * released.
 */
void hf_transaction_announce_gives(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        const struct hf_step *step = &change->steps[i];
        if (step->decision.changes && !step->makes && hf_step_units_taken(step) < 0)
            announce(step->use);
    }
}

/*
 * What is given back follows the LSN, hence the instant at which the rest takes effect; so does the end
 * of a waiting list that its last one leaves. Between the two others can see the one without the other,
 * unless all of it is one word, or what is not seen is announced: then nobody is refused for want of it.
 */
void hf_transaction_announce(struct hf_transaction *change)
{
    if (change->step_count == 1 && change->count_count < 2)
        return;
    for (uint32_t i = 0; i < change->use_count; i++)
        if (change->uses[i].gives > change->uses[i].takes)
            announce(&change->uses[i]);
    for (uint32_t i = 0; i < change->step_count; i++)
        if (hf_step_leaves(&change->steps[i]))
            announce(change->steps[i].use);
    for (uint32_t i = 0; i < change->count_count; i++) {
        const struct hf_count *count = &change->counts[i];
        if (count->weighed && count->gives > count->takes)
            announce(count->use);
    }
}

/* It is given back, or will not be. */
void hf_transaction_withdraw(struct hf_transaction *change)
{
    for (uint32_t i = 0; i < change->use_count; i++) {
        struct hf_use *use = &change->uses[i];
        if (use->announced)
            hf_inventory_withdraw(use->cell);
        use->announced = false;
    }
}

/* The instant. False: a word has changed since it was weighed. */
bool hf_transaction_claim(struct hf_transaction *change)
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
    return hf_mcas(&hf_transaction_region(change)->mcas, change->actor->number, entries, count);
}
