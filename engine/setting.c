/* Changing settings; see setting.h. */
#include "engine/setting.h"

#include "engine/request.h"
#include "engine/units.h"
#include "engine/waiting.h"

/* Reservations looked at in one piece of counting: a millisecond or less. */
#define COUNT_LOOKS 8192

#define ALL_COUNTED UINT32_MAX

/* Images, and events: the sale may be open again. */
#define SET_CREDITS (1 + 2 * HF_UNITS_CREDITS)

static bool take_right(struct hf_inventory_cell *cell)
{
    uint16_t free = 0;
    return hf_cas_acq_rel(&cell->setting, &free, 1); /* pairs with leave_right() */
}

static void leave_right(struct hf_inventory_cell *cell)
{
    hf_store_release(&cell->setting, 0); /* pairs with take_right() */
}

/* ---- counting what each customer has ---- */

static bool is_counting(const struct hf_inventory_cell *cell)
{
    return (hf_load_relaxed(&cell->rules) & HF_RULE_COUNTED) != 0; /* the right is ours */
}

static void begin_counting(struct hf_actor *actor, struct hf_inventory_cell *cell)
{
    uint64_t word;
    hf_inventory_count_claims(&actor->engine->region.mcas, cell, &word);
    cell->count_version = hf_word_version(word);
    cell->count_stamp = hf_epochs_retire(&actor->engine->epochs);
    cell->count_next = 1;
}

/* Adds to the count of the customer. A no: CUSTOMERS_FULL, or put aside. */
static unsigned add_to_count(struct hf_engine *engine, uint32_t inventory, uint64_t customer_id,
                             uint32_t qty)
{
    for (;;) {
        bool busy = false;
        struct hf_customer_cell *counter =
            hf_customers_get(&engine->customers, inventory, customer_id, &busy);
        if (counter == NULL)
            return busy ? HF_PUT_ASIDE_BUSY : HF_CUSTOMERS_FULL;
        uint64_t word = hf_mcas_load(&engine->region.mcas, &counter->word);
        while ((word & HF_WORD_SEALED) == 0) {
            uint64_t seen = word;
            if (hf_cas_acq_rel(&counter->word, &seen, /* as every change of a count */
                               hf_word_moved(word, hf_word_available(word) + (int32_t)qty)))
                return HF_OK;
            word = hf_mcas_load(&engine->region.mcas, &counter->word);
        }
    }
}

/* HF_OK: it is counted, or has nothing to count. */
static unsigned count_one(struct hf_engine *engine, uint32_t inventory, uint32_t number)
{
    struct hf_reservation_cell *cell = &engine->region.reservations[number];
    uint64_t word = hf_load_acquire(&cell->word); /* pairs with the release that clears a mark */
    if (word == 0 || hf_load_relaxed(&cell->inventory) != inventory) /* constant while in use */
        return HF_OK;
    if (word & HF_WORD_MARKED)
        return HF_PUT_ASIDE_BUSY;
    if (!hf_reservation_word_active(word) || (word & HF_WORD_COUNTED) != 0)
        return HF_OK;
    uint64_t seen = word;
    if (!hf_cas_acq_rel(&cell->word, &seen, word | HF_WORD_MARKED)) /* as every change */
        return HF_PUT_ASIDE_BUSY;
    unsigned result = add_to_count(engine, inventory, hf_load_relaxed(&cell->customer_id),
                                   hf_reservation_word_qty(word));
    /* Release: clears the mark. */
    hf_store_release(&cell->word, result == HF_OK ? word | HF_WORD_COUNTED : word);
    return result;
}

bool hf_setting_count_one(struct hf_engine *engine, uint32_t number)
{
    uint32_t inventory = hf_load_relaxed(&engine->region.reservations[number].inventory);
    return count_one(engine, inventory, number) == HF_OK;
}

/* HF_OK: all are counted. CUSTOMERS_FULL, or put aside. */
static unsigned count_all(struct hf_actor *actor, struct hf_inventory_cell *cell)
{
    struct hf_engine *engine = actor->engine;
    if (!is_counting(cell)) {
        begin_counting(actor, cell);
        return HF_PUT_ASIDE_BUSY; /* we are inside ourselves: the epoch ends after this turn */
    }
    if (cell->count_next == ALL_COUNTED)
        return HF_OK;
    if (cell->count_next == 1 && !hf_epochs_passed(&engine->epochs, cell->count_stamp))
        return HF_PUT_ASIDE_BUSY;
    uint32_t inventory = (uint32_t)(cell - engine->region.inventories);
    uint32_t end = hf_cells_allotted(&engine->region);
    for (uint32_t looks = 0; cell->count_next <= end; cell->count_next++, looks++) {
        unsigned result = looks == COUNT_LOOKS ? HF_PUT_ASIDE_BUSY
                                               : count_one(engine, inventory, cell->count_next);
        if (result != HF_OK)
            return result;
    }
    cell->count_next = ALL_COUNTED;
    return HF_OK;
}

/* ---- setting ---- */

/* That units are counted from now on is no change that anyone could have expected: the version
 * before it is as good. */
static bool is_expected(const struct hf_inventory_cell *cell, uint64_t word, uint32_t expected)
{
    uint32_t version = hf_word_version(word);
    bool only_counting = is_counting(cell) && version == cell->count_version;
    return version == expected ||
           (only_counting && version == hf_word_version(hf_word_bumped(hf_word_make(0, expected))));
}

static uint64_t log_settings(struct hf_actor *actor, const struct hf_inventory_cell *cell,
                             const struct hf_rules *rules, uint64_t word)
{
    const struct hf_inventory inventory = {
        .inventory_id = cell->inventory_id,
        .product_id = cell->product_id,
        .made_at_ns = cell->made_at_ns,
        .capacity = rules->capacity,
        .version = hf_word_version(word),
    };
    struct hf_settings settings = rules->settings;
    if (word & HF_WORD_SEALED)
        settings.flags |= HF_INVENTORY_SOLD_OUT_CLOSED;
    uint64_t lsn;
    struct hf_ring_slot *slot = hf_ring_reserve(&actor->log, &lsn);
    hf_image_encode_inventory((uint8_t *)slot, &inventory, &settings, rules->sequence,
                              rules->changed_at_ns);
    hf_ring_publish(slot, lsn);
    hf_store_relaxed(actor->logged_at_ns, rules->changed_at_ns); /* for retention */
    return lsn;
}

/* Units, or the whole sale, may be had again: the list comes first, then those who watch. */
static void announce(struct hf_actor *actor, struct hf_inventory_cell *cell, uint64_t before,
                     uint64_t after)
{
    if (hf_word_available(after) <= 0)
        return;
    bool was_open = hf_word_available(before) > 0 && (before & HF_WORD_SEALED) == 0;
    if (after & HF_WORD_WAITING)
        hf_waiting_serve(actor, cell);
    else if (!was_open && (after & HF_WORD_SEALED) == 0)
        hf_units_tell_again(actor, cell, after);
}

/* First what both the old and the new allow, then the image, then the new: see inventory.h. */
static bool put(struct hf_actor *actor, struct hf_inventory_cell *cell, const struct hf_rules *old,
                struct hf_rules *rules, bool counted, bool reopen, bool strict)
{
    const struct hf_mcas *mcas = &actor->engine->region.mcas;
    int64_t change = (int64_t)rules->settings.sell_limit - old->settings.sell_limit;
    struct hf_rules meet = *rules;
    hf_settings_meet(&old->settings, &rules->settings, &meet.settings);
    meet.lsn = old->lsn;
    meet.sequence = old->sequence;
    meet.changed_at_ns = old->changed_at_ns;
    uint64_t before, after;
    const struct hf_put first = {.change = change < 0 ? (int32_t)change : 0,
                                 .strict = strict,
                                 .counted = counted,
                                 .between = true};
    if (!hf_inventory_put(mcas, cell, &meet, &first, &before))
        return false;
    /* A close by selling out ends with REOPEN, or when that no longer closes. One that comes from
     * now on is not what REOPEN undoes. */
    bool closes = (rules->settings.flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) != 0;
    uint64_t told = reopen || !closes ? before & ~HF_WORD_SEALED : before;
    rules->lsn = log_settings(actor, cell, rules, told);
    const struct hf_put then = {.change = change > 0 ? (int32_t)change : 0,
                                .counted = counted,
                                .reopen = reopen && (before & HF_WORD_SEALED) != 0};
    hf_inventory_put(mcas, cell, rules, &then, &after);
    announce(actor, cell, before, after);
    return true;
}

static unsigned set(struct hf_actor *actor, struct hf_inventory_cell *cell,
                    const struct hf_settings_change *change, uint16_t flags, uint32_t expected,
                    struct hf_outcome *outcome)
{
    struct hf_rules old;
    uint32_t bits;
    uint64_t word = hf_inventory_load(&actor->engine->region.mcas, cell, &old, &bits);
    outcome->availability =
        (struct hf_availability){hf_word_available(word), hf_word_version(word)};
    if ((flags & HF_REQUEST_EXPECT_VERSION) != 0 && !is_expected(cell, word, expected)) {
        outcome->field = HF_FIELD_VERSION;
        return HF_VERSION_MISMATCH;
    }
    struct hf_rules rules = old;
    if (rules.settings.offer_ttl_ns == 0) /* of a log that knew no offers */
        rules.settings.offer_ttl_ns = HF_DEFAULT_OFFER_TTL_NS;
    hf_settings_apply(change, &rules.settings);
    if (change->fields & HF_SET_CAPACITY)
        rules.capacity = change->capacity;
    outcome->field = hf_settings_check(&rules.settings);
    if (outcome->field != HF_FIELD_NONE)
        return HF_BAD_FIELD;
    bool strict = (flags & HF_REQUEST_STRICT) != 0 && (change->fields & HF_SET_SELL_LIMIT) != 0;
    int64_t sold = (int64_t)old.settings.sell_limit - hf_word_available(word);
    if (strict && sold > (int64_t)rules.settings.sell_limit) {
        if (hf_inventory_announced(cell) != 0 ||
            hf_mcas_load(&actor->engine->region.mcas, &cell->word) != word)
            return HF_PUT_ASIDE_BUSY; /* units are on their way back */
        outcome->field = HF_FIELD_SELL_LIMIT;
        return HF_BELOW_SOLD;
    }
    if (rules.settings.customer_limit != 0) {
        unsigned counted = count_all(actor, cell);
        if (counted != HF_OK)
            return counted;
    }
    if (!hf_ring_credit(&actor->log, SET_CREDITS))
        return HF_PUT_ASIDE_LOG_FULL;
    /* Who expects a version is the one who moves it on. */
    if ((flags & HF_REQUEST_EXPECT_VERSION) != 0 &&
        !hf_cas_acq_rel(&cell->word, &word, hf_word_bumped(word))) /* pairs with the claims */
        return HF_PUT_ASIDE_BUSY;
    rules.sequence++;
    if (rules.changed_at_ns < actor->now_ns)
        rules.changed_at_ns = actor->now_ns;
    if (!put(actor, cell, &old, &rules, is_counting(cell), (change->fields & HF_SET_REOPEN) != 0,
             strict))
        return HF_PUT_ASIDE_BUSY; /* units were sold meanwhile: how many, the next look tells */
    hf_inventory_describe(cell, &actor->engine->region.mcas, &outcome->inventory);
    outcome->settings = rules.settings;
    outcome->settings_sequence = rules.sequence;
    outcome->wait_for_lsn = rules.lsn;
    return HF_SET;
}

void hf_engine_set(struct hf_actor *actor, uint64_t inventory_id,
                   const struct hf_settings_change *change, uint16_t flags, uint32_t expected,
                   struct hf_outcome *outcome)
{
    hf_outcome_begin(outcome);
    struct hf_inventory_cell *cell = hf_region_find_inventory(&actor->engine->region, inventory_id);
    if (cell == NULL) {
        outcome->result = HF_UNKNOWN_INVENTORY;
        outcome->field = HF_FIELD_INVENTORY_ID;
        return;
    }
    if (!take_right(cell))
        return; /* put aside */
    outcome->result = set(actor, cell, change, flags, expected, outcome);
    leave_right(cell);
}
