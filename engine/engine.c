/* The engine; the steps of each operation and why they suffice are told in engine.h. */
#include "engine/engine.h"

#include <string.h>

#include "base/check.h"
#include "engine/hash.h"
#include "engine/image.h"

void hf_engine_init(struct hf_engine *engine, const struct hf_region *region)
{
    memset(engine, 0, sizeof *engine);
    engine->region = *region;
}

void hf_actor_init(struct hf_actor *actor, struct hf_engine *engine, struct hf_ring *ring)
{
    *actor = (struct hf_actor){.engine = engine};
    hf_ring_producer_init(&actor->log, ring);
}

void hf_actor_close(struct hf_actor *actor)
{
    hf_ring_producer_close(&actor->log);
    hf_table_return(&actor->engine->region, &actor->allotment);
}

/* All but the descriptions, which go only with a yes: clearing those as well would cost more than a
 * refusal. */
static void begin_outcome(struct hf_outcome *outcome)
{
    outcome->result = HF_PUT_ASIDE_BUSY;
    outcome->field = HF_FIELD_NONE;
    outcome->wait_for_lsn = 0;
    outcome->repeated = false;
    outcome->availability = (struct hf_availability){0, 0};
}

static void describe_cell(const struct hf_region *region, const struct hf_reservation_cell *cell,
                          struct hf_reservation *reservation)
{
    reservation->inventory_id = region->inventories[cell->inventory].inventory_id;
}

/* Answers about a reservation that exists as it is. False: it has no LSN yet, put aside. */
static bool answer_existing(const struct hf_region *region, struct hf_reservation_cell *cell,
                            unsigned result, struct hf_outcome *outcome)
{
    uint64_t word;
    if (!hf_reservation_copy(cell, &outcome->reservation, &word)) {
        outcome->result = HF_PUT_ASIDE_BUSY;
        return false;
    }
    describe_cell(region, cell, &outcome->reservation);
    outcome->result = result;
    outcome->wait_for_lsn = outcome->reservation.lsn;
    return true;
}

/* The id of a request is known: the first answer again, or what differs. */
static void answer_repeat(const struct hf_region *region, struct hf_reservation_cell *cell,
                          const struct hf_reserve *request, struct hf_outcome *outcome)
{
    if (!answer_existing(region, cell, HF_GRANTED, outcome))
        return;
    const struct hf_reservation *known = &outcome->reservation;
    enum hf_field differs = HF_FIELD_NONE;
    if (known->inventory_id != request->inventory_id)
        differs = HF_FIELD_INVENTORY_ID;
    else if (known->customer_id != request->customer_id)
        differs = HF_FIELD_CUSTOMER_ID;
    else if (known->qty != request->qty)
        differs = HF_FIELD_QTY;
    if (differs != HF_FIELD_NONE)
        outcome->result = HF_ID_REUSED;
    outcome->field = differs;
    outcome->repeated = true;
}

static void refuse(struct hf_availability seen, struct hf_outcome *outcome)
{
    outcome->result = HF_SOLD_OUT;
    outcome->availability = seen;
}

/* Takes an LSN for the image and publishes it. The caller holds a credit and owns the mark. */
static uint64_t log_reservation(struct hf_actor *actor, const struct hf_reservation *reservation,
                                uint32_t inventory_version)
{
    uint64_t lsn;
    struct hf_ring_slot *slot = hf_ring_reserve(&actor->log, &lsn);
    hf_image_encode_reservation((uint8_t *)slot, reservation, inventory_version);
    hf_ring_publish(slot, lsn);
    return lsn;
}

/* Fills the free cell with a claimed reservation, marked as not logged. */
static void fill_cell(struct hf_reservation_cell *cell, const struct hf_reservation *reservation,
                      uint32_t inventory_number)
{
    memcpy(cell->id, reservation->id.bytes, sizeof cell->id);
    cell->customer_id = reservation->customer_id;
    cell->made_at_ns = reservation->made_at_ns;
    cell->inventory = inventory_number;
    /* Relaxed: hf_table_insert() makes the cell reachable, with release. */
    hf_store_relaxed(&cell->changed_at_ns, reservation->changed_at_ns);
    hf_store_relaxed(&cell->word, hf_reservation_word(reservation->state, reservation->sequence,
                                                      reservation->qty) |
                                      HF_WORD_NOT_LOGGED);
}

/* Steps 4 to 6 of a grant: the units are claimed. */
static void record_grant(struct hf_actor *actor, const struct hf_reserve *request,
                         struct hf_chain *chain, const struct hf_inventory_cell *inventory,
                         uint32_t version, struct hf_outcome *outcome)
{
    struct hf_region *region = &actor->engine->region;
    struct hf_reservation *made = &outcome->reservation;
    *made = (struct hf_reservation){
        .id = request->id,
        .inventory_id = request->inventory_id,
        .customer_id = request->customer_id,
        .made_at_ns = actor->now_ns,
        .changed_at_ns = actor->now_ns,
        .qty = request->qty,
        .sequence = 1,
        .state = HF_STATE_CONFIRMED,
    };
    struct hf_reservation_cell *cell = hf_table_free_cell(region, &actor->allotment);
    fill_cell(cell, made, (uint32_t)(inventory - region->inventories));
    hf_chain_insert(chain, region, &actor->allotment);

    made->lsn = log_reservation(actor, made, version);
    hf_store_relaxed(&cell->lsn, made->lsn); /* the mark is ours; clearing it releases this */
    /* Release, pairs with hf_reservation_copy() and with the CAS of whoever changes it next. */
    hf_store_release(&cell->word, hf_reservation_word(made->state, made->sequence, made->qty));
    hf_store_relaxed(&actor->made, hf_load_relaxed(&actor->made) + 1); /* statistics, ours */

    outcome->result = HF_GRANTED;
    outcome->wait_for_lsn = made->lsn;
}

/* Steps 2 to 6 of a grant: the chain is ours, and the id is not in it. */
static void decide(struct hf_actor *actor, const struct hf_reserve *request, struct hf_chain *chain,
                   struct hf_inventory_cell *inventory, struct hf_outcome *outcome)
{
    struct hf_availability after;
    if (!hf_table_allot(&actor->engine->region, &actor->allotment))
        outcome->result = HF_RESERVATIONS_FULL;
    else if (!hf_ring_credit(&actor->log, 1))
        outcome->result = HF_PUT_ASIDE_LOG_FULL;
    else if (!hf_inventory_claim(inventory, request->qty, &after))
        refuse(after, outcome);
    else {
        record_grant(actor, request, chain, inventory, after.version, outcome);
        return;
    }
    hf_chain_leave(chain);
}

/* A request that cannot be granted, for the reason already in the outcome: its id may be known all
 * the same. */
static void answer_known_instead(struct hf_actor *actor, const struct hf_reserve *request,
                                 uint64_t hash, struct hf_outcome *outcome)
{
    const struct hf_region *region = &actor->engine->region;
    struct hf_reservation_cell *known;
    switch (hf_table_find(region, &request->id, hash, &known)) {
    case HF_LOOKUP_FOUND:
        begin_outcome(outcome);
        answer_repeat(region, known, request, outcome);
        break;
    case HF_LOOKUP_ABSENT:
        break;
    case HF_LOOKUP_TAKEN:
        begin_outcome(outcome);
        break;
    }
}

void hf_engine_reserve(struct hf_actor *actor, const struct hf_reserve *given,
                       struct hf_outcome *outcome)
{
    struct hf_region *region = &actor->engine->region;
    struct hf_reserve request = *given;
    HF_CHECK(request.qty != 0 && request.qty <= HF_MAX_UNITS);
    begin_outcome(outcome);
    if (hf_id_is_zero(&request.id))
        hf_id_make(&request.id);
    uint64_t hash = hf_hash_id(&request.id, region->header->hash_seed);

    struct hf_inventory_cell *inventory = hf_region_find_inventory(region, request.inventory_id);
    if (inventory == NULL) {
        outcome->result = HF_UNKNOWN_INVENTORY;
        outcome->field = HF_FIELD_INVENTORY_ID;
        answer_known_instead(actor, &request, hash, outcome);
        return;
    }
    /* Sold out: no need to take the chain, and no write to any shared line. */
    struct hf_availability seen = hf_inventory_read(inventory);
    if (seen.available < (int32_t)request.qty) {
        refuse(seen, outcome);
        answer_known_instead(actor, &request, hash, outcome);
        return;
    }
    struct hf_chain chain;
    struct hf_reservation_cell *known;
    switch (hf_table_take(region, &request.id, hash, &chain, &known)) {
    case HF_LOOKUP_FOUND:
        answer_repeat(region, known, &request, outcome);
        break;
    case HF_LOOKUP_ABSENT:
        decide(actor, &request, &chain, inventory, outcome);
        break;
    case HF_LOOKUP_TAKEN:
        outcome->result = HF_PUT_ASIDE_BUSY;
        break;
    }
}

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
    begin_outcome(outcome);
    struct hf_reservation_cell *cell = find_or_answer(actor, id, outcome);
    if (cell != NULL)
        answer_existing(&actor->engine->region, cell, HF_FOUND, outcome);
}

void hf_engine_cancel(struct hf_actor *actor, const struct hf_id *id, struct hf_outcome *outcome)
{
    begin_outcome(outcome);
    struct hf_region *region = &actor->engine->region;
    struct hf_reservation_cell *cell = find_or_answer(actor, id, outcome);
    if (cell == NULL)
        return;
    struct hf_reservation *changed = &outcome->reservation;
    uint64_t word;
    do {
        if (!answer_existing(region, cell, HF_CANCELLED, outcome))
            return;
        outcome->repeated = changed->state == HF_STATE_CANCELLED;
        if (outcome->repeated)
            return; /* RESOLVES-ONCE: the units came back with the first */
        if (!hf_ring_credit(&actor->log, 1)) {
            outcome->result = HF_PUT_ASIDE_LOG_FULL;
            return;
        }
        word = hf_reservation_word(changed->state, changed->sequence, changed->qty);
        changed->state = HF_STATE_CANCELLED;
        changed->sequence++;
        /* acq_rel: acquire pairs with the release that cleared the mark of the change before;
         * release is for those who meet the mark. Who wins owns the cell. */
    } while (!hf_cas_acq_rel(&cell->word, &word,
                             hf_reservation_word(changed->state, changed->sequence, changed->qty) |
                                 HF_WORD_NOT_LOGGED));

    /* Another actor's batch may have begun after ours: dates of one reservation never go back. */
    if (changed->changed_at_ns < actor->now_ns)
        changed->changed_at_ns = actor->now_ns;
    changed->lsn = log_reservation(actor, changed, 0);
    /* Release, both, pairs with hf_reservation_copy(): who sees a new field sees the mark, too,
     * when it looks at the word again. */
    hf_store_release(&cell->changed_at_ns, changed->changed_at_ns);
    hf_store_release(&cell->lsn, changed->lsn);
    /* Release, pairs with hf_reservation_copy(). */
    hf_store_release(&cell->word,
                     hf_reservation_word(changed->state, changed->sequence, changed->qty));
    hf_inventory_release(&region->inventories[cell->inventory], changed->qty);
    outcome->wait_for_lsn = changed->lsn;
}

static void answer_existing_inventory(const struct hf_inventory_cell *cell, uint64_t product_id,
                                      uint32_t capacity, struct hf_outcome *outcome)
{
    outcome->result = HF_CREATED;
    outcome->repeated = true;
    if (cell->product_id != product_id)
        outcome->field = HF_FIELD_PRODUCT_ID;
    else if (cell->capacity != capacity)
        outcome->field = HF_FIELD_CAPACITY;
    if (outcome->field != HF_FIELD_NONE)
        outcome->result = HF_INVENTORY_EXISTS;
    hf_inventory_describe(cell, &outcome->inventory);
    outcome->wait_for_lsn = cell->lsn;
}

static void create_or_answer(struct hf_actor *actor, uint64_t inventory_id, uint64_t product_id,
                             uint32_t capacity, struct hf_outcome *outcome)
{
    struct hf_region *region = &actor->engine->region;
    struct hf_inventory_cell *cell = hf_region_find_inventory(region, inventory_id);
    if (cell != NULL) {
        answer_existing_inventory(cell, product_id, capacity, outcome);
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
    cell->inventory_id = inventory_id;
    cell->product_id = product_id;
    cell->capacity = capacity;
    cell->sell_limit = capacity;
    cell->made_at_ns = actor->now_ns;
    cell->changed_at_ns = actor->now_ns;
    cell->sequence = 1;
    /* Creating gives units: the image has its LSN before anyone can see the cell (LSN-ORDER). */
    struct hf_inventory inventory;
    hf_inventory_describe(cell, &inventory);
    struct hf_ring_slot *slot = hf_ring_reserve(&actor->log, &cell->lsn);
    hf_image_encode_inventory((uint8_t *)slot, &inventory, cell->sequence, cell->changed_at_ns);
    hf_ring_publish(slot, cell->lsn);
    hf_store_relaxed(&cell->word, hf_word_make((int32_t)capacity, 1)); /* released by the insert */
    hf_region_insert_inventory(region);

    hf_inventory_describe(cell, &outcome->inventory);
    outcome->result = HF_CREATED;
    outcome->wait_for_lsn = cell->lsn;
}

void hf_engine_create_inventory(struct hf_actor *actor, uint64_t inventory_id, uint64_t product_id,
                                uint32_t capacity, struct hf_outcome *outcome)
{
    HF_CHECK(capacity != 0 && capacity <= HF_MAX_UNITS);
    begin_outcome(outcome);
    struct hf_region *region = &actor->engine->region;
    if (!hf_region_begin_create(region)) {
        outcome->result = HF_PUT_ASIDE_BUSY;
        return;
    }
    create_or_answer(actor, inventory_id, product_id, capacity, outcome);
    hf_region_end_create(region);
}

void hf_engine_get_inventory(struct hf_actor *actor, uint64_t inventory_id,
                             struct hf_outcome *outcome)
{
    begin_outcome(outcome);
    struct hf_inventory_cell *cell = hf_region_find_inventory(&actor->engine->region, inventory_id);
    if (cell == NULL) {
        outcome->result = HF_UNKNOWN_INVENTORY;
        outcome->field = HF_FIELD_INVENTORY_ID;
        return;
    }
    hf_inventory_describe(cell, &outcome->inventory);
    outcome->result = HF_FOUND;
}

uint32_t hf_engine_list_inventories(struct hf_actor *actor, uint32_t from, uint32_t limit,
                                    struct hf_inventory *inventories, uint32_t *next)
{
    struct hf_region *region = &actor->engine->region;
    /* Acquire, pairs with hf_region_insert_inventory(): all cells before it are filled. */
    uint32_t end = hf_load_acquire(&region->header->inventory_count);
    uint32_t count = 0;
    while (count < limit && from + count < end) {
        hf_inventory_describe(&region->inventories[from + count], &inventories[count]);
        count++;
    }
    *next = from + count < end ? from + count : 0;
    return count;
}
