/* The engine; the steps of a grant and why they suffice are told in engine.h. */
#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/change.h"
#include "engine/hash.h"
#include "engine/lapse.h"
#include "engine/transaction.h"

/* Counters beyond one for each reservation: made for claims that are refused then. */
#define SPARE_COUNTERS 4096

/* Reservations that one call of hf_engine_list() looks at. */
#define LIST_LOOKS 16384

/* ---- the engine and its actors ---- */

int hf_engine_init(struct hf_engine *engine, const struct hf_region *region, uint64_t retain_ns,
                   uint64_t now_ns)
{
    memset(engine, 0, sizeof *engine);
    engine->region = *region;
    engine->retain_ns = retain_ns;
    uint32_t counters = region->header->max_reservations + SPARE_COUNTERS;
    hf_epochs_init(&engine->epochs);
    int result = hf_timer_init(&engine->timer, region->terms, now_ns);
    if (result != 0)
        return result;
    result = hf_customers_init(&engine->customers,
                               counters < HF_CUSTOMERS_MAX ? counters : HF_CUSTOMERS_MAX,
                               &engine->epochs);
    if (result != 0)
        hf_timer_close(&engine->timer);
    return result;
}

void hf_engine_close(struct hf_engine *engine)
{
    hf_customers_close(&engine->customers);
    hf_timer_close(&engine->timer);
}

int hf_actor_init(struct hf_actor *actor, struct hf_engine *engine, struct hf_ring *ring)
{
    *actor = (struct hf_actor){.engine = engine, .transaction = hf_transaction_new()};
    if (actor->transaction == NULL)
        return -ENOMEM;
    actor->number = hf_epochs_join(&engine->epochs);
    if (actor->number == UINT32_MAX) {
        hf_transaction_free(actor->transaction);
        return -EAGAIN;
    }
    hf_ring_producer_init(&actor->log, ring);
    actor->logged_at_ns = &engine->logged[actor->number].at_ns;
    return 0;
}

void hf_actor_close(struct hf_actor *actor)
{
    struct hf_engine *engine = actor->engine;
    hf_lapse_close(actor);
    hf_ring_producer_close(&actor->log);
    hf_cells_return(&engine->region, &actor->allotment);
    hf_epochs_leave(&engine->epochs, actor->number);
    hf_transaction_free(actor->transaction);
}

uint64_t hf_engine_log_time_ns(const struct hf_engine *engine)
{
    uint64_t newest_ns = engine->recovered_log_time_ns;
    /* Relaxed, both: a date that is a little older keeps things a little longer. */
    uint32_t count = hf_load_relaxed(&engine->epochs.slot_count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at_ns = hf_load_relaxed(&engine->logged[i].at_ns);
        if (newest_ns < at_ns)
            newest_ns = at_ns;
    }
    return newest_ns;
}

uint64_t hf_engine_forget_before_ns(const struct hf_engine *engine)
{
    uint64_t now_ns = hf_engine_log_time_ns(engine);
    return now_ns > engine->retain_ns ? now_ns - engine->retain_ns : 0;
}

void hf_engine_arm(struct hf_actor *actor, uint32_t number)
{
    if (hf_timer_arm(&actor->engine->timer, number))
        actor->wake = true;
}

/* ---- recording ---- */

/* All but the descriptions, which go only with a yes: clearing those as well would cost more than a
 * refusal. */
void hf_outcome_begin(struct hf_outcome *outcome)
{
    outcome->result = HF_PUT_ASIDE_BUSY;
    outcome->field = HF_FIELD_NONE;
    outcome->wait_for_lsn = 0;
    outcome->repeated = false;
    outcome->state = 0;
    outcome->line = 0;
    outcome->availability = (struct hf_availability){0, 0};
}

uint64_t hf_log_reservation(struct hf_actor *actor, const struct hf_reservation *reservation,
                            const struct hf_image_notes *notes)
{
    uint64_t lsn;
    struct hf_ring_slot *slot = hf_ring_reserve(&actor->log, &lsn);
    hf_image_encode_reservation((uint8_t *)slot, reservation, notes);
    hf_ring_publish(slot, lsn);
    hf_store_relaxed(actor->logged_at_ns, reservation->changed_at_ns); /* for retention */
    return lsn;
}

void hf_notes_of(const struct hf_region *region, const struct hf_reservation_cell *cell,
                 uint64_t word, struct hf_image_notes *notes)
{
    *notes = (struct hf_image_notes){0};
    if ((word & HF_WORD_TERMS) == 0)
        return;
    const struct hf_terms *terms = &region->terms[cell - region->reservations];
    /* Acquire, as in hf_reservation_copy(): good if the word is still the same afterwards. */
    notes->origin = hf_load_acquire(&terms->origin);
    notes->made_as = hf_load_acquire(&terms->made_as);
}

void hf_reservation_store(struct hf_reservation_cell *cell,
                          const struct hf_reservation *reservation)
{
    /* Release, both, pairs with hf_reservation_copy(): who sees a new field sees the mark, too,
     * when it looks at the word again. */
    hf_store_release(&cell->changed_at_ns, reservation->changed_at_ns);
    hf_store_release(&cell->lsn, reservation->lsn);
}

void hf_reservation_unmark(struct hf_reservation_cell *cell, const struct hf_reservation *changed,
                           uint64_t bits)
{
    /* seq_cst: a release, which pairs with hf_reservation_copy() and with the CAS of whoever
     * changes it next; and ordered before the arming that may follow, see look_at() in lapse.c. */
    hf_store_seq_cst(&cell->word,
                     hf_reservation_word(changed->state, changed->sequence, changed->qty) | bits);
}

/* ---- a plain claim ---- */

/* Answers about a reservation that exists as it is. False: it has no LSN yet, put aside. */
static bool answer_existing(const struct hf_region *region, struct hf_reservation_cell *cell,
                            unsigned result, struct hf_outcome *outcome)
{
    uint64_t word;
    if (hf_reservation_copy(region, cell, &outcome->reservation, &word) != HF_COPIED) {
        outcome->result = HF_PUT_ASIDE_BUSY;
        return false;
    }
    outcome->result = result;
    outcome->wait_for_lsn = outcome->reservation.lsn;
    return true;
}

static void refuse(uint64_t word, struct hf_outcome *outcome)
{
    outcome->result = HF_SOLD_OUT;
    outcome->availability =
        (struct hf_availability){hf_word_available(word), hf_word_version(word)};
}

/* What is not plain: rules, a waiting list, an id that is known, holds that may have lapsed. */
static void claim_involved(struct hf_actor *actor, const struct hf_reserve *request,
                           struct hf_outcome *outcome)
{
    const struct hf_line line = {
        .operation = request->ttl_ns == 0 ? HF_OP_RESERVE : HF_OP_HOLD,
        .qty = request->qty,
        .id = request->id,
        .inventory_id = request->inventory_id,
        .customer_id = request->customer_id,
        .ttl_ns = request->ttl_ns,
    };
    hf_engine_change(actor, &line, 1, 0, NULL, outcome);
}

/* Fills the free cell with a claimed reservation, marked as not logged. */
static void fill_cell(struct hf_reservation_cell *cell, const struct hf_reservation *reservation,
                      uint32_t inventory_number, uint64_t word)
{
    /* Release, all: pairs with those who scan the cells. */
    hf_reservation_set_id(cell, &reservation->id);
    hf_store_release(&cell->customer_id, reservation->customer_id);
    hf_store_release(&cell->made_at_ns, reservation->made_at_ns);
    hf_store_release(&cell->inventory, inventory_number);
    hf_store_release(&cell->changed_at_ns, reservation->changed_at_ns);
    hf_store_release(&cell->word, word | HF_WORD_MARKED);
}

/* The terms of a hold, which is filed when it has its LSN. */
static void fill_terms(struct hf_terms *terms, const struct hf_reservation *held)
{
    /* Release: as in fill_cell(). */
    hf_store_release(&terms->due_ns, held->deadline_ns);
    hf_store_release(&terms->made_as, HF_STATE_HELD);
}

/* Steps 4 to 6 of a grant: the units are claimed; `claimed` is the word that says so. */
static void record_grant(struct hf_actor *actor, const struct hf_reserve *request,
                         struct hf_chain *chain, struct hf_inventory_cell *inventory,
                         uint64_t claimed, struct hf_outcome *outcome)
{
    struct hf_region *region = &actor->engine->region;
    struct hf_reservation *made = &outcome->reservation;
    bool holds = request->ttl_ns != 0;
    hf_actor_date_claim(actor);
    *made = (struct hf_reservation){
        .id = request->id,
        .inventory_id = request->inventory_id,
        .customer_id = request->customer_id,
        .made_at_ns = actor->now_ns,
        .changed_at_ns = actor->now_ns,
        .deadline_ns = holds ? actor->now_ns + request->ttl_ns : 0,
        .qty = request->qty,
        .sequence = 1,
        .state = holds ? HF_STATE_HELD : HF_STATE_CONFIRMED,
    };
    struct hf_reservation_cell *cell = hf_cells_next(region, &actor->allotment);
    uint32_t number = (uint32_t)(cell - region->reservations);
    uint64_t word = hf_reservation_word(made->state, 1, made->qty) | (holds ? HF_WORD_TERMS : 0);
    fill_cell(cell, made, (uint32_t)(inventory - region->inventories), word);
    if (holds) {
        fill_terms(&region->terms[number], made);
        hf_fetch_add_relaxed(&inventory->held, made->qty); /* a count */
    }
    hf_chain_insert(chain, region, &actor->allotment);

    struct hf_ring_slot *slot = hf_ring_reserve(&actor->log, &made->lsn);
    hf_image_encode_grant((uint8_t *)slot, made, hf_word_version(claimed),
                          hf_word_available(claimed) == 0 ? HF_IMAGE_FLAG_SOLD_OUT : 0);
    hf_ring_publish(slot, made->lsn);
    hf_store_release(&cell->lsn, made->lsn); /* as in fill_cell() */
    /* Relaxed, both: a date and statistics, written by us only. */
    hf_store_relaxed(actor->logged_at_ns, actor->now_ns);
    hf_store_relaxed(&actor->made, hf_load_relaxed(&actor->made) + 1);
    /* Release, pairs with hf_reservation_copy() and with the CAS of whoever changes it next. */
    hf_store_release(&cell->word, word);
    if (holds)
        hf_engine_arm(actor, number);
    outcome->result = HF_GRANTED;
    outcome->wait_for_lsn = made->lsn;
}

/* Steps 2 to 6 of a grant: the chain is ours, and the id is not in it. False: it is not as plain as
 * it looked; nothing was done. */
static bool decide(struct hf_actor *actor, const struct hf_reserve *request, struct hf_chain *chain,
                   struct hf_inventory_cell *inventory, uint64_t word, struct hf_outcome *outcome)
{
    enum hf_claim claimed = HF_CLAIM_TOO_FEW;
    if (!hf_cells_allot(&actor->engine->region, &actor->allotment)) {
        claimed = HF_CLAIM_INVOLVED; /* how else it stands with the request comes before that */
    } else if (!hf_ring_credit(&actor->log, 1)) {
        outcome->result = HF_PUT_ASIDE_LOG_FULL;
    } else {
        claimed = hf_inventory_claim(inventory, request->qty, &word);
        if (claimed == HF_CLAIM_DONE) {
            record_grant(actor, request, chain, inventory, word, outcome);
            return true;
        }
        if (claimed == HF_CLAIM_TOO_FEW)
            refuse(word, outcome);
    }
    hf_chain_leave(chain);
    return claimed != HF_CLAIM_INVOLVED;
}

static void reserve_named(struct hf_actor *actor, const struct hf_reserve *request,
                          struct hf_outcome *outcome)
{
    struct hf_reserve named = *request;
    hf_id_make(&named.id);
    hf_engine_reserve(actor, &named, outcome);
}

void hf_engine_reserve(struct hf_actor *actor, const struct hf_reserve *request,
                       struct hf_outcome *outcome)
{
    struct hf_region *region = &actor->engine->region;
    if (HF_UNLIKELY(hf_id_is_zero(&request->id))) {
        reserve_named(actor, request, outcome);
        return;
    }
    HF_CHECK(request->qty != 0 && request->qty <= HF_MAX_UNITS);
    hf_outcome_begin(outcome);
    uint64_t hash = hf_hash_id(&request->id, region->header->hash_seed);
    struct hf_inventory_cell *inventory = hf_region_find_inventory(region, request->inventory_id);
    struct hf_reservation_cell *known;
    uint64_t word;
    if (HF_UNLIKELY(inventory == NULL)) {
        claim_involved(actor, request, outcome);
        return;
    }
    /* Sold out: no need to take the chain, and no write to any shared line. The id is looked up
     * after the word was loaded. */
    if (hf_inventory_weigh(inventory, request->qty, &word) == HF_CLAIM_TOO_FEW) {
        switch (hf_table_find(region, &request->id, hash, &known)) {
        case HF_LOOKUP_ABSENT:
            refuse(word, outcome);
            break;
        case HF_LOOKUP_FOUND:
            claim_involved(actor, request, outcome);
            break;
        case HF_LOOKUP_TAKEN:
            break; /* put aside */
        }
        return;
    }
    struct hf_chain chain;
    switch (hf_table_take(region, &request->id, hash, &chain, &known)) {
    case HF_LOOKUP_ABSENT:
        if (HF_LIKELY(decide(actor, request, &chain, inventory, word, outcome)))
            break;
        claim_involved(actor, request, outcome);
        break;
    case HF_LOOKUP_FOUND:
        claim_involved(actor, request, outcome);
        break;
    case HF_LOOKUP_TAKEN:
        break; /* put aside */
    }
}

/* ---- reading ---- */

/* The reservation, or NULL with the outcome set: not found, or put aside. */
static struct hf_reservation_cell *find_or_answer(struct hf_actor *actor, const struct hf_id *id,
                                                  struct hf_outcome *outcome)
{
    const struct hf_region *region = &actor->engine->region;
    struct hf_reservation_cell *cell = NULL;
    switch (hf_table_find(region, id, hf_hash_id(id, region->header->hash_seed), &cell)) {
    case HF_LOOKUP_FOUND:
        return cell;
    case HF_LOOKUP_ABSENT:
        outcome->result = HF_NOT_FOUND;
        outcome->field = HF_FIELD_RESERVATION_ID;
        return NULL;
    case HF_LOOKUP_TAKEN:
        outcome->result = HF_PUT_ASIDE_BUSY;
        return NULL;
    }
    return NULL;
}

void hf_engine_get(struct hf_actor *actor, const struct hf_id *id, struct hf_outcome *outcome)
{
    hf_outcome_begin(outcome);
    struct hf_reservation_cell *cell = find_or_answer(actor, id, outcome);
    if (cell != NULL)
        answer_existing(&actor->engine->region, cell, HF_FOUND, outcome);
}

static bool passes(const struct hf_reservation_filter *filter,
                   const struct hf_reservation *reservation)
{
    return ((filter->filters & HF_FILTER_INVENTORY) == 0 ||
            reservation->inventory_id == filter->inventory_id) &&
           ((filter->filters & HF_FILTER_CUSTOMER) == 0 ||
            reservation->customer_id == filter->customer_id) &&
           (filter->states == 0 || (filter->states >> reservation->state & 1) != 0) &&
           reservation->made_at_ns >= filter->made_from_ns &&
           (filter->made_before_ns == 0 || reservation->made_at_ns < filter->made_before_ns);
}

/* A reservation stays in its cell: pages in the order of the cells tell each that exists
 * throughout, once. */
void hf_engine_list(struct hf_actor *actor, const struct hf_reservation_filter *filter,
                    uint32_t limit, struct hf_reservation_entry *entries,
                    struct hf_outcome *outcome)
{
    const struct hf_region *region = &actor->engine->region;
    uint64_t end = hf_cells_allotted(region);
    uint64_t number = filter->cursor == 0 ? 1 : filter->cursor;
    hf_outcome_begin(outcome);
    outcome->result = HF_FOUND;
    outcome->count = 0;
    for (uint32_t looks = 0; number <= end && looks < LIST_LOOKS && outcome->count < limit;
         number++, looks++) {
        struct hf_reservation_entry *entry = &entries[outcome->count];
        uint64_t word;
        enum hf_copy copied =
            hf_reservation_copy(region, &region->reservations[number], &entry->reservation, &word);
        if (copied == HF_COPY_MARKED && outcome->count == 0 && looks == 0)
            outcome->result = HF_PUT_ASIDE_BUSY;
        if (copied == HF_COPY_MARKED)
            break; /* the page ends before it */
        if (copied == HF_COPY_UNUSED)
            continue;
        /* To leave it out tells of it, too. */
        if (outcome->wait_for_lsn < entry->reservation.lsn)
            outcome->wait_for_lsn = entry->reservation.lsn;
        if (!passes(filter, &entry->reservation))
            continue;
        entry->result = 0;
        entry->repeated = false;
        outcome->count++;
    }
    outcome->next = number <= end ? number : 0;
}

/* ---- inventories ---- */

static void answer_existing_inventory(const struct hf_region *region,
                                      const struct hf_inventory_cell *cell, uint64_t product_id,
                                      uint32_t capacity, struct hf_outcome *outcome)
{
    struct hf_rules rules;
    if (!hf_inventory_copy_settings(cell, &rules))
        return; /* put aside: its capacity is about to change */
    hf_inventory_describe(cell, &region->mcas, &outcome->inventory);
    outcome->result = HF_CREATED;
    outcome->repeated = true;
    if (cell->product_id != product_id)
        outcome->field = HF_FIELD_PRODUCT_ID;
    else if (rules.capacity != capacity)
        outcome->field = HF_FIELD_CAPACITY;
    if (outcome->field != HF_FIELD_NONE)
        outcome->result = HF_INVENTORY_EXISTS;
    outcome->wait_for_lsn = rules.lsn;
}

static void create_or_answer(struct hf_actor *actor, uint64_t inventory_id, uint64_t product_id,
                             uint32_t capacity, struct hf_outcome *outcome)
{
    struct hf_region *region = &actor->engine->region;
    struct hf_inventory_cell *cell = hf_region_find_inventory(region, inventory_id);
    if (cell != NULL) {
        answer_existing_inventory(region, cell, product_id, capacity, outcome);
        return;
    }
    cell = hf_region_next_inventory(region);
    if (cell == NULL) {
        outcome->result = HF_INVENTORIES_FULL;
        return;
    }
    if (!hf_ring_credit(&actor->log, 1)) {
        outcome->result = HF_PUT_ASIDE_LOG_FULL;
        return;
    }
    struct hf_rules rules = {
        .settings =
            {
                .sell_limit = capacity,
                .waiting_limit = HF_DEFAULT_WAITING_LIMIT,
                .offer_ttl_ns = HF_DEFAULT_OFFER_TTL_NS,
            },
        .changed_at_ns = actor->now_ns,
        .sequence = 1,
        .capacity = capacity,
    };
    cell->inventory_id = inventory_id;
    cell->product_id = product_id;
    cell->made_at_ns = actor->now_ns;
    /* Creating gives units: the image has its LSN before anyone can see the cell (LSN-ORDER). */
    const struct hf_inventory made = {
        .inventory_id = inventory_id,
        .product_id = product_id,
        .made_at_ns = actor->now_ns,
        .capacity = capacity,
        .version = 1,
    };
    struct hf_ring_slot *slot = hf_ring_reserve(&actor->log, &rules.lsn);
    hf_image_encode_inventory((uint8_t *)slot, &made, &rules.settings, rules.sequence,
                              rules.changed_at_ns);
    hf_ring_publish(slot, rules.lsn);
    hf_store_relaxed(actor->logged_at_ns, actor->now_ns); /* for retention */
    hf_inventory_init_rules(cell, &rules, false);
    hf_store_relaxed(&cell->word, hf_word_make((int32_t)capacity, 1)); /* released by the insert */
    hf_region_insert_inventory(region);

    hf_inventory_describe(cell, &region->mcas, &outcome->inventory);
    outcome->result = HF_CREATED;
    outcome->wait_for_lsn = rules.lsn;
}

void hf_engine_create_inventory(struct hf_actor *actor, uint64_t inventory_id, uint64_t product_id,
                                uint32_t capacity, struct hf_outcome *outcome)
{
    HF_CHECK(capacity != 0 && capacity <= HF_MAX_UNITS);
    hf_outcome_begin(outcome);
    struct hf_region *region = &actor->engine->region;
    if (!hf_region_begin_create(region)) {
        outcome->result = HF_PUT_ASIDE_BUSY;
        return;
    }
    create_or_answer(actor, inventory_id, product_id, capacity, outcome);
    hf_region_end_create(region);
}

static struct hf_inventory_cell *find_inventory(struct hf_actor *actor, uint64_t inventory_id,
                                                struct hf_outcome *outcome)
{
    hf_outcome_begin(outcome);
    struct hf_inventory_cell *cell = hf_region_find_inventory(&actor->engine->region, inventory_id);
    outcome->result = cell == NULL ? HF_UNKNOWN_INVENTORY : HF_FOUND;
    outcome->field = cell == NULL ? HF_FIELD_INVENTORY_ID : HF_FIELD_NONE;
    return cell;
}

void hf_engine_get_inventory(struct hf_actor *actor, uint64_t inventory_id,
                             struct hf_outcome *outcome)
{
    struct hf_inventory_cell *cell = find_inventory(actor, inventory_id, outcome);
    if (cell != NULL)
        hf_inventory_describe(cell, &actor->engine->region.mcas, &outcome->inventory);
}

void hf_engine_get_settings(struct hf_actor *actor, uint64_t inventory_id,
                            struct hf_outcome *outcome)
{
    struct hf_inventory_cell *cell = find_inventory(actor, inventory_id, outcome);
    if (cell == NULL)
        return;
    struct hf_rules rules;
    uint32_t bits;
    do { /* the numbers and the settings of one change; again only if there was another meanwhile */
        hf_inventory_load(&actor->engine->region.mcas, cell, &rules, &bits);
        hf_inventory_describe(cell, &actor->engine->region.mcas, &outcome->inventory);
    } while (outcome->inventory.lsn != rules.lsn);
    if (bits & HF_RULE_BETWEEN) { /* neither the old nor the new */
        outcome->result = HF_PUT_ASIDE_BUSY;
        return;
    }
    outcome->settings = rules.settings;
    outcome->settings_sequence = rules.sequence;
    outcome->wait_for_lsn = rules.lsn;
}

void hf_engine_availability(struct hf_actor *actor, const uint64_t *ids, uint32_t count,
                            struct hf_availability_entry *entries)
{
    const struct hf_region *region = &actor->engine->region;
    for (uint32_t i = 0; i < count; i++) {
        struct hf_inventory_cell *cell = hf_region_find_inventory(region, ids[i]);
        if (cell == NULL) {
            entries[i] = (struct hf_availability_entry){.flags = HF_AVAILABILITY_UNKNOWN};
            continue;
        }
        struct hf_inventory inventory;
        hf_inventory_describe(cell, &region->mcas, &inventory);
        entries[i] = (struct hf_availability_entry){
            .available = inventory.available,
            .version = inventory.version,
            .flags = inventory.flags,
            .waiting = inventory.waiting,
        };
    }
}

uint32_t hf_engine_list_inventories(struct hf_actor *actor, uint32_t from, uint32_t limit,
                                    struct hf_inventory *inventories, uint32_t *next)
{
    struct hf_region *region = &actor->engine->region;
    /* Acquire, pairs with hf_region_insert_inventory(): all cells before it are filled. */
    uint32_t end = hf_load_acquire(&region->header->inventory_count);
    uint32_t count = 0;
    while (count < limit && from + count < end) {
        hf_inventory_describe(&region->inventories[from + count], &region->mcas,
                              &inventories[count]);
        count++;
    }
    *next = from + count < end ? from + count : 0;
    return count;
}
