/* The waiting list; its rules are told in waiting.h. */
#include "engine/waiting.h"

#include "engine/lapse.h"
#include "engine/units.h"

/* Bits of `list`. */
#define LIST_TAKEN  1u
#define LIST_AGAIN  2u /* serve before leaving */
#define LIST_QUEUED 4u /* it is among the chores */

/* An offer, and an event. */
#define SERVE_CREDITS (1 + HF_UNITS_CREDITS)

/* How many of the list are looked at for one that fits, with SKIP, in one go: a few milliseconds.
 * Whoever stands behind gets its offer when those before it have theirs, or leave. */
#define SKIP_LOOKS 100000

static bool set_bits(struct hf_inventory_cell *cell, uint32_t bits, uint32_t *before)
{
    uint32_t list = hf_load_relaxed(&cell->list); /* the CAS decides */
    do {
        *before = list;
        if ((list & bits) == bits)
            return false;
        /* acq_rel: what the one before did to the list is seen; what we gave is seen by who
         * serves. */
    } while (!hf_cas_weak_acq_rel(&cell->list, &list, list | bits));
    return true;
}

static void clear_bits(struct hf_inventory_cell *cell, uint32_t bits)
{
    uint32_t list = hf_load_relaxed(&cell->list);                  /* the CAS decides */
    while (!hf_cas_weak_acq_rel(&cell->list, &list, list & ~bits)) /* pairs with set_bits() */
        ;
}

bool hf_waiting_take(struct hf_inventory_cell *cell)
{
    uint32_t before;
    return set_bits(cell, LIST_TAKEN, &before);
}

bool hf_waiting_is_free(const struct hf_inventory_cell *cell)
{
    /* Acquire, pairs with the release of who gives up the right: all that was done with it. */
    return (hf_load_acquire(&cell->list) & (LIST_TAKEN | LIST_AGAIN)) == 0;
}

void hf_waiting_append(struct hf_region *region, struct hf_inventory_cell *cell, uint32_t number)
{
    /* Release, throughout the file: pairs with hf_reservation_copy(). */
    hf_store_release(&region->terms[number].link, 0);
    hf_store_release(&region->terms[number].due_ns, cell->waiting_last);
    if (cell->waiting_last == 0)
        cell->waiting_first = number;
    else
        hf_store_release(&region->terms[cell->waiting_last].link, number);
    cell->waiting_last = number;
    /* Relaxed: a number for information, and for those who have the right. */
    hf_store_relaxed(&cell->waiting_count, hf_load_relaxed(&cell->waiting_count) + 1);
}

static void unlink_from_list(struct hf_region *region, struct hf_inventory_cell *cell,
                             uint32_t number)
{
    /* Relaxed: links are changed with the right, which is ours. */
    uint32_t next = hf_load_relaxed(&region->terms[number].link);
    uint32_t before = (uint32_t)hf_load_relaxed(&region->terms[number].due_ns);
    if (before == 0)
        cell->waiting_first = next;
    else
        hf_store_release(&region->terms[before].link, next);
    if (next == 0)
        cell->waiting_last = before;
    else
        hf_store_release(&region->terms[next].due_ns, before);
    hf_store_release(&region->terms[number].link, 0);
    hf_store_release(&region->terms[number].due_ns, 0);
    hf_store_relaxed(&cell->waiting_count, hf_load_relaxed(&cell->waiting_count) - 1);
}

static void tell_if_open(struct hf_actor *actor, struct hf_inventory_cell *cell, uint64_t word)
{
    if (hf_word_available(word) > 0 && (word & HF_WORD_SEALED) == 0)
        hf_units_tell_again(actor, cell, word);
}

/* The list is empty: what there is, is for sale. */
static void open_sale(struct hf_actor *actor, struct hf_inventory_cell *cell)
{
    uint64_t word, opened;
    do {
        word = hf_mcas_load(&actor->engine->region.mcas, &cell->word);
        if ((word & HF_WORD_WAITING) == 0)
            return;
        opened = hf_word_moved(word, hf_word_available(word)) & ~HF_WORD_WAITING;
    } while (!hf_cas_acq_rel(&cell->word, &word, opened)); /* pairs with the claims */
    tell_if_open(actor, cell, opened);
}

void hf_waiting_remove(struct hf_actor *actor, struct hf_inventory_cell *cell, uint32_t number)
{
    unlink_from_list(&actor->engine->region, cell, number);
    if (cell->waiting_first == 0)
        open_sale(actor, cell);
}

/* ---- serving ---- */

/* One reservation of the list that is about to get its offer, or to lose its place. */
struct offer {
    struct hf_inventory_cell *inventory;
    struct hf_reservation_cell *cell;
    uint32_t number;
    uint64_t word; /* of the reservation, without the mark */
    struct hf_reservation after;
    struct hf_image_notes notes;
    struct hf_customer_cell *counter;
    uint64_t counted; /* word of the counter */
    bool ends;        /* the list: the units of its last one are taken */
    uint64_t opened;  /* the word that ended it */
};

enum served {
    SERVED,
    TOO_FEW, /* units are there, but not enough */
    LATER,   /* cannot be told now: among the chores */
};

/* With the right: nobody else is in the list. */
static bool is_last(const struct hf_inventory_cell *cell, uint32_t number)
{
    return cell->waiting_first == number && cell->waiting_last == number;
}

/* Takes the units, and counts them. The list ends at the same instant with the last who gets some:
 * nobody sees the offer and is then refused for the list. False: a word has changed meanwhile. */
static bool take_units(struct hf_actor *actor, struct offer *offer, uint64_t word)
{
    uint32_t qty = offer->after.qty;
    uint64_t taken = hf_word_moved(word, hf_word_available(word) - (int32_t)qty);
    offer->ends = is_last(offer->inventory, offer->number);
    if (offer->ends)
        taken &= ~HF_WORD_WAITING;
    offer->opened = taken;
    offer->notes.inventory_version = hf_word_version(taken);
    if (offer->counter == NULL)
        return hf_cas_acq_rel(&offer->inventory->word, &word, taken); /* pairs with the releases */
    struct hf_mcas_entry entries[2] = {
        {&offer->inventory->word, word, taken},
        {&offer->counter->word, offer->counted,
         hf_word_moved(offer->counted, hf_word_available(offer->counted) + (int32_t)qty)},
    };
    return hf_mcas(&actor->engine->region.mcas, actor->number, entries, 2);
}

/* The count of the customer, where units are counted. False: later. *allowed: by the limit. */
static bool find_count(struct hf_actor *actor, struct offer *offer, const struct hf_rules *rules,
                       uint32_t bits, bool *allowed)
{
    if (offer->counter != NULL) /* of a look before: who does not count on it, drops it */
        hf_customers_drop(&actor->engine->customers, &actor->engine->region.mcas, offer->counter);
    offer->counter = NULL;
    *allowed = true;
    if ((bits & HF_RULE_COUNTED) == 0)
        return true;
    struct hf_engine *engine = actor->engine;
    bool busy = false;
    offer->counter = hf_customers_get(&engine->customers,
                                      (uint32_t)(offer->inventory - engine->region.inventories),
                                      offer->after.customer_id, &busy);
    if (offer->counter == NULL)
        return false;
    offer->counted = hf_mcas_load(&engine->region.mcas, &offer->counter->word);
    if (offer->counted & HF_WORD_SEALED)
        return false;
    uint32_t limit = rules->settings.customer_limit;
    *allowed = limit == 0 ||
               hf_word_available(offer->counted) + (int64_t)offer->after.qty <= (int64_t)limit;
    return true;
}

static void record(struct hf_actor *actor, struct offer *offer, uint64_t due_ns)
{
    struct hf_region *region = &actor->engine->region;
    unlink_from_list(region, offer->inventory, offer->number);
    hf_store_release(&region->terms[offer->number].due_ns, due_ns);
    offer->after.lsn = hf_log_reservation(actor, &offer->after, &offer->notes);
    if (offer->ends)
        tell_if_open(actor, offer->inventory, offer->opened);
    else if (offer->inventory->waiting_first == 0)
        open_sale(actor, offer->inventory); /* before anybody sees that the last was dropped */
    hf_reservation_store(offer->cell, &offer->after);
    uint64_t kept = offer->word & HF_WORD_TERMS;
    if (offer->counter != NULL)
        kept |= HF_WORD_COUNTED;
    hf_reservation_unmark(offer->cell, &offer->after, kept);
    hf_engine_arm(actor, offer->number);
}

static void make_offer(struct hf_actor *actor, struct offer *offer, const struct hf_rules *rules)
{
    offer->after.state = HF_STATE_HELD;
    uint64_t ttl_ns = rules->settings.offer_ttl_ns;
    if (ttl_ns == 0) /* of a log that knew no offers */
        ttl_ns = HF_DEFAULT_OFFER_TTL_NS;
    offer->after.deadline_ns = actor->now_ns + ttl_ns;
    offer->notes.reason = HF_REASON_OFFER;
    hf_fetch_add_relaxed(&offer->inventory->held, offer->after.qty); /* a count */
    record(actor, offer, offer->after.deadline_ns);
}

static void refuse_offer(struct hf_actor *actor, struct offer *offer)
{
    hf_customers_drop(&actor->engine->customers, &actor->engine->region.mcas, offer->counter);
    offer->counter = NULL;
    offer->ends = false;
    offer->after.state = HF_STATE_CANCELLED;
    offer->notes.reason = HF_REASON_LIMIT;
    offer->notes.inventory_version =
        hf_word_version(hf_mcas_load(&actor->engine->region.mcas, &offer->inventory->word));
    record(actor, offer, hf_retention_end_ns(actor->engine, offer->after.changed_at_ns));
}

/* Marks it, as it is. False: somebody has it marked. */
static bool begin_offer(struct hf_actor *actor, struct offer *offer)
{
    struct hf_region *region = &actor->engine->region;
    offer->cell = &region->reservations[offer->number];
    if (hf_reservation_copy(region, offer->cell, &offer->after, &offer->word) != HF_COPIED)
        return false;
    uint64_t word = offer->word;
    if (!hf_cas_acq_rel(&offer->cell->word, &word, word | HF_WORD_MARKED)) /* as every change */
        return false;
    hf_notes_of(region, offer->cell, offer->word, &offer->notes);
    offer->after.sequence++;
    if (offer->after.changed_at_ns < actor->now_ns)
        offer->after.changed_at_ns = actor->now_ns;
    return true;
}

static void give_up_offer(struct hf_actor *actor, struct offer *offer)
{
    if (offer->counter != NULL)
        hf_customers_drop(&actor->engine->customers, &actor->engine->region.mcas, offer->counter);
    hf_store_release(&offer->cell->word, offer->word); /* nothing happened */
}

/* A first look: the quantity of one that waits does not change. */
static bool is_enough(struct hf_actor *actor, struct hf_inventory_cell *cell, uint32_t number)
{
    const struct hf_region *region = &actor->engine->region;
    uint64_t waits = hf_load_relaxed(&region->reservations[number].word);
    return hf_word_available(hf_mcas_load(&region->mcas, &cell->word)) >=
           (int32_t)hf_reservation_word_qty(waits);
}

static enum served serve_one(struct hf_actor *actor, struct hf_inventory_cell *cell,
                             uint32_t number)
{
    struct offer offer = {.inventory = cell, .number = number};
    if (!is_enough(actor, cell, number))
        return TOO_FEW; /* without a mark: with SKIP, many are looked at */
    if (!hf_ring_credit(&actor->log, SERVE_CREDITS) || !begin_offer(actor, &offer))
        return LATER;
    for (;;) {
        struct hf_rules rules;
        uint32_t bits;
        bool allowed;
        uint64_t word = hf_inventory_load(&actor->engine->region.mcas, cell, &rules, &bits);
        if (hf_word_available(word) < (int32_t)offer.after.qty) {
            give_up_offer(actor, &offer);
            return TOO_FEW;
        }
        bool skips = cell->waiting_first != number;
        if (skips && (rules.settings.flags & HF_INVENTORY_SKIP) == 0) {
            give_up_offer(actor, &offer); /* SKIP was taken back just now */
            return TOO_FEW;
        }
        if (!find_count(actor, &offer, &rules, bits, &allowed)) {
            give_up_offer(actor, &offer);
            return LATER;
        }
        if (!allowed) {
            refuse_offer(actor, &offer);
            return SERVED;
        }
        if (take_units(actor, &offer, word)) {
            make_offer(actor, &offer, &rules);
            return SERVED;
        }
    }
}

static void add_chore(struct hf_engine *engine, struct hf_inventory_cell *cell)
{
    uint32_t before;
    if (!set_bits(cell, LIST_QUEUED, &before))
        return;
    uint32_t number = (uint32_t)(cell - engine->region.inventories) + 1;
    uint32_t first = hf_load_relaxed(&engine->chores); /* the CAS decides */
    do
        hf_store_relaxed(&cell->chore_next, first);                /* released by the CAS */
    while (!hf_cas_weak_acq_rel(&engine->chores, &first, number)); /* pairs with do_chores */
}

static bool any_units(struct hf_actor *actor, struct hf_inventory_cell *cell)
{
    return hf_word_available(hf_mcas_load(&actor->engine->region.mcas, &cell->word)) > 0;
}

/* With the right: offers, from the head on. */
static void serve_all(struct hf_actor *actor, struct hf_inventory_cell *cell)
{
    struct hf_region *region = &actor->engine->region;
    struct hf_rules rules;
    hf_inventory_copy_settings(cell, &rules);
    bool skip = (rules.settings.flags & HF_INVENTORY_SKIP) != 0;
    uint32_t number = cell->waiting_first;
    for (uint32_t looks = 0; number != 0 && looks < SKIP_LOOKS && any_units(actor, cell); looks++) {
        uint32_t next = hf_load_relaxed(&region->terms[number].link); /* the right is ours */
        enum served served = serve_one(actor, cell, number);
        if (served == LATER)
            add_chore(actor->engine, cell);
        if (served == LATER || (served == TOO_FEW && !skip))
            break;
        number = next;
    }
    if (cell->waiting_first == 0 && hf_ring_credit(&actor->log, HF_UNITS_CREDITS))
        open_sale(actor, cell);
    else if (cell->waiting_first == 0)
        add_chore(actor->engine, cell);
}

void hf_waiting_leave(struct hf_actor *actor, struct hf_inventory_cell *cell)
{
    for (;;) {
        uint32_t list = hf_load_acquire(&cell->list); /* pairs with set_bits() */
        if (list & LIST_AGAIN) {
            clear_bits(cell, LIST_AGAIN);
            serve_all(actor, cell);
        } else if (hf_cas_acq_rel(&cell->list, &list, list & ~LIST_TAKEN)) { /* likewise */
            return;
        }
    }
}

void hf_waiting_serve(struct hf_actor *actor, struct hf_inventory_cell *cell)
{
    uint32_t before;
    set_bits(cell, LIST_AGAIN, &before);
    if (hf_waiting_take(cell))
        hf_waiting_leave(actor, cell);
}

void hf_waiting_serve_lists(struct hf_actor *actor)
{
    struct hf_region *region = &actor->engine->region;
    uint32_t count = hf_load_acquire(&region->header->inventory_count); /* pairs with the insert */
    for (uint32_t i = 0; i < count; i++)
        if (hf_load_relaxed(&region->inventories[i].word) & HF_WORD_WAITING) /* a hint */
            hf_waiting_serve(actor, &region->inventories[i]);
}

void hf_waiting_do_chores(struct hf_actor *actor)
{
    struct hf_engine *engine = actor->engine;
    if (HF_LIKELY(hf_load_relaxed(&engine->chores) == 0)) /* a hint; the exchange decides */
        return;
    uint32_t number = hf_exchange_acq_rel(&engine->chores, 0); /* pairs with add_chore() */
    while (number != 0) {
        struct hf_inventory_cell *cell = &engine->region.inventories[number - 1];
        number = hf_load_relaxed(&cell->chore_next); /* acquired with the head */
        clear_bits(cell, LIST_QUEUED);
        hf_waiting_serve(actor, cell);
    }
}
