/* What a transaction holds, and how it lets go; see transaction.h. */
#include "engine/transaction.h"

#include <stdlib.h>

#include "engine/hash.h"
#include "engine/waiting.h"

struct hf_transaction *hf_transaction_new(void)
{
    return calloc(1, sizeof(struct hf_transaction));
}

void hf_transaction_free(struct hf_transaction *transaction)
{
    free(transaction);
}

struct hf_use *hf_transaction_use(struct hf_transaction *change, struct hf_inventory_cell *cell)
{
    for (uint32_t i = 0; i < change->use_count; i++)
        if (change->uses[i].cell == cell)
            return &change->uses[i];
    struct hf_use *use = &change->uses[change->use_count++];
    *use = (struct hf_use){.cell = cell};
    return use;
}

void hf_step_set_id(const struct hf_transaction *change, struct hf_step *step,
                    const struct hf_id *id)
{
    const struct hf_region *region = hf_transaction_region(change);
    step->line.id = *id;
    step->hash = hf_hash_id(id, region->header->hash_seed);
    step->head = hf_table_head(region, step->hash);
}

void hf_transaction_begin(struct hf_transaction *change, const struct hf_line *lines)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = &change->steps[i];
        step->line = lines[i];
        step->cell = NULL;
        step->chain_of = NULL;
        step->linked = 0;
        step->use = NULL;
        step->marked = step->allotted = false;
        step->makes = hf_step_is_claim(lines[i].operation);
        step->decision = (struct hf_decision){.result = HF_OK};
        struct hf_id id = lines[i].id;
        if (hf_id_is_zero(&id))
            hf_id_make(&id);
        hf_step_set_id(change, step, &id);
        change->order[i] = step;
    }
}

/* The step among ours that has taken this chain. */
static struct hf_step *owner_of(const struct hf_transaction *change, const _Atomic uint64_t *head)
{
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = change->order[i];
        if (step->chain_of == step && step->chain.head == head)
            return step;
    }
    return NULL;
}

/* Takes the chain of an id that is to be made, or finds it. */
enum hf_attempt hf_transaction_take_chain(struct hf_transaction *change, struct hf_step *step)
{
    struct hf_region *region = hf_transaction_region(change);
    struct hf_step *owner = owner_of(change, step->head);
    if (owner != NULL) {
        step->cell = hf_chain_find(&owner->chain, region, &step->line.id);
        if (step->cell == NULL)
            step->chain_of = owner;
        return HF_ATTEMPT_GO_ON;
    }
    switch (hf_table_take(region, &step->line.id, step->hash, &step->chain, &step->cell)) {
    case HF_LOOKUP_ABSENT:
        hf_actor_date_claim(change->actor);
        step->chain_of = step;
        step->cell = NULL;
        return HF_ATTEMPT_GO_ON;
    case HF_LOOKUP_FOUND:
        return HF_ATTEMPT_GO_ON;
    case HF_LOOKUP_TAKEN:
        break;
    }
    step->cell = NULL;
    return HF_ATTEMPT_BUSY;
}

/* Finds a reservation that is to be changed. */
enum hf_attempt hf_transaction_find(struct hf_transaction *change, struct hf_step *step)
{
    struct hf_region *region = hf_transaction_region(change);
    struct hf_step *owner = owner_of(change, step->head);
    if (owner != NULL) {
        step->cell = hf_chain_find(&owner->chain, region, &step->line.id);
    } else if (hf_table_find(region, &step->line.id, step->hash, &step->cell) == HF_LOOKUP_TAKEN) {
        step->cell = NULL;
        return HF_ATTEMPT_BUSY;
    }
    return HF_ATTEMPT_GO_ON;
}

static int by_head(const void *left, const void *right)
{
    const struct hf_step *one = *(struct hf_step *const *)left;
    const struct hf_step *other = *(struct hf_step *const *)right;
    return one->head < other->head ? -1 : one->head > other->head;
}

/* Chains are taken in one order by all. */
enum hf_attempt hf_transaction_look_up(struct hf_transaction *change)
{
    if (change->step_count > 1)
        qsort(change->order, change->step_count, sizeof change->order[0], by_head);
    for (uint32_t i = 0; i < change->step_count; i++)
        if (change->order[i]->makes &&
            hf_transaction_take_chain(change, change->order[i]) == HF_ATTEMPT_BUSY)
            return HF_ATTEMPT_BUSY;
    for (uint32_t i = 0; i < change->step_count; i++)
        if (!change->order[i]->makes &&
            hf_transaction_find(change, change->order[i]) == HF_ATTEMPT_BUSY)
            return HF_ATTEMPT_BUSY;
    return HF_ATTEMPT_GO_ON;
}

/* The next inventory whose list is needed, in the order of their places. */
static struct hf_use *next_list(struct hf_transaction *change, const struct hf_use *last)
{
    struct hf_use *next = NULL;
    for (uint32_t i = 0; i < change->use_count; i++) {
        struct hf_use *use = &change->uses[i];
        if (use->needs_list && (last == NULL || use->cell > last->cell) &&
            (next == NULL || use->cell < next->cell))
            next = use;
    }
    return next;
}

enum hf_attempt hf_transaction_take_lists(struct hf_transaction *change)
{
    struct hf_use *use = NULL;
    while ((use = next_list(change, use)) != NULL) {
        if (!hf_waiting_take(use->cell))
            return HF_ATTEMPT_BUSY;
        use->has_list = true;
    }
    return HF_ATTEMPT_GO_ON;
}

static int by_cell(const void *left, const void *right)
{
    const struct hf_step *one = *(struct hf_step *const *)left,
                         *other = *(struct hf_step *const *)right;
    return one->cell < other->cell ? -1 : one->cell > other->cell;
}

/* True if it is still the same settings by which it was decided. With the mark set nobody sees the
 * reservation, so what is true now is true of the instant at which it changes. */
static bool same_rules(const struct hf_step *step)
{
    if (!step->decision.changes)
        return true;
    struct hf_rules_mark now = hf_inventory_rules_mark(step->use->cell);
    return now.copy == step->rules_mark.copy && now.sequence == step->rules_mark.sequence;
}

/* Marks are set in one order by all. In a batch, what stays as it is has to stay so, too. */
enum hf_attempt hf_transaction_mark(struct hf_transaction *change)
{
    if (change->step_count > 1)
        qsort(change->order, change->step_count, sizeof change->order[0], by_cell);
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = change->order[i];
        if (step->cell == NULL || step->makes || hf_step_is_claim(step->line.operation) ||
            !(step->decision.changes || change->batch))
            continue;
        if (step->before.state == HF_STATE_WAITING && !step->decision.changes)
            continue; /* who serves the list finds no mark that is not a change */
        uint64_t word = step->word;
        /* acq_rel: acquire pairs with the release that cleared the mark of the change before;
         * release is for those who meet the mark. */
        if (!hf_cas_acq_rel(&step->cell->word, &word, word | HF_WORD_MARKED))
            return HF_ATTEMPT_BUSY;
        step->marked = true;
        if (!same_rules(step))
            return HF_ATTEMPT_BUSY;
    }
    return HF_ATTEMPT_GO_ON;
}

/* Cells for those that are to be made. */
enum hf_attempt hf_transaction_take_cells(struct hf_transaction *change)
{
    struct hf_actor *actor = change->actor;
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = &change->steps[i];
        if (!step->makes || step->cell != NULL)
            continue;
        step->number = hf_cells_take(&actor->engine->region, &actor->allotment);
        if (step->number == 0)
            return hf_transaction_refuse(change, step, HF_RESERVATIONS_FULL, HF_FIELD_NONE);
        step->cell = &actor->engine->region.reservations[step->number];
        step->allotted = true;
    }
    return HF_ATTEMPT_GO_ON;
}

/* Lets go of everything: nothing happened. */
void hf_transaction_let_go(struct hf_transaction *change)
{
    struct hf_engine *engine = change->actor->engine;
    for (uint32_t i = 0; i < change->count_count; i++)
        if (change->counts[i].cell != NULL)
            hf_customers_drop(&engine->customers, &engine->region.mcas, change->counts[i].cell);
    for (uint32_t i = 0; i < change->step_count; i++) {
        struct hf_step *step = &change->steps[i];
        if (step->marked)
            hf_store_release(&step->cell->word, step->word); /* as it was */
        if (step->allotted)
            hf_cells_give(&engine->region, &change->actor->allotment, step->number);
        if (step->chain_of == step)
            hf_chain_leave(&step->chain);
    }
    for (uint32_t i = 0; i < change->use_count; i++) {
        if (change->uses[i].has_list)
            hf_waiting_leave(change->actor, change->uses[i].cell);
        change->uses[i].has_list = false;
    }
}
