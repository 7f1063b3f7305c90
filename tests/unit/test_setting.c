/* Settings: each of them, in force for all that comes after, and the moments at which they change. */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/change.h"
#include "engine/setting.h"
#include "tests/lib/rig_expect.h"
#include "tests/lib/stress.h"

#define CAPACITY 20u
#define TTL      (60 * HF_RIG_S)
#define ME       70u
#define OTHER    71u

static struct hf_rig rig;

static void open_rig(void)
{
    hf_rig_open_stocked(&rig, &(struct hf_rig_options){0}, 1, CAPACITY);
}

static void close_rig(void)
{
    hf_rig_close(&rig);
}

TestSuite(setting, .init = open_rig, .fini = close_rig);

static void set_one(uint32_t field, uint64_t value)
{
    cr_assert_eq(hf_rig_set_one(&rig, 1, field, value), HF_SET, "%s",
                 hf_result_name(rig.outcome.result));
}

static void set_flags(uint32_t mask, uint32_t flags)
{
    cr_assert_eq(hf_rig_set_flags(&rig, 1, mask, flags), HF_SET);
}

static uint32_t next_number = 1;

static unsigned reserve(uint64_t customer_id, uint32_t qty)
{
    return hf_rig_reserve(&rig, next_number++, 1, customer_id, qty);
}

static unsigned hold(uint32_t qty, uint64_t ttl_ns)
{
    return hf_rig_hold(&rig, next_number++, 1, ME, qty, ttl_ns);
}

/* ---- each setting ---- */

Test(setting, what_was_set_is_told_logged_and_recovered)
{
    struct hf_settings_change change = {
        .fields = HF_SET_ALL & ~HF_SET_REOPEN,
        .capacity = 99,
        .flags_mask = HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED | HF_INVENTORY_CLOSE_WHEN_SOLD_OUT |
                      HF_INVENTORY_SKIP,
        .settings =
            {
                .sell_limit = 30,
                .customer_limit = 5,
                .min_qty = 2,
                .max_qty = 4,
                .waiting_limit = 6,
                .flags = HF_INVENTORY_PAUSED | HF_INVENTORY_SKIP,
                .opens_at_ns = 11,
                .closes_at_ns = 12,
                .longest_hold_ns = 13,
                .cancel_until_ns = 14,
                .offer_ttl_ns = 15,
            },
    };
    rig.actor.now_ns += 7;
    cr_assert_eq(hf_rig_set(&rig, 1, &change), HF_SET);
    cr_expect_eq(rig.outcome.settings_sequence, 2);
    cr_expect_eq(rig.outcome.wait_for_lsn, rig.outcome.inventory.lsn);
    cr_expect_eq(memcmp(&rig.outcome.settings, &change.settings, sizeof change.settings), 0);
    cr_expect_eq(rig.outcome.inventory.capacity, 99);
    cr_expect_eq(rig.outcome.inventory.sell_limit, 30);
    cr_expect_eq(rig.outcome.inventory.available, 30);
    struct hf_image image = hf_rig_image(&rig, rig.outcome.wait_for_lsn);
    cr_expect_eq(image.kind, HF_IMAGE_INVENTORY);
    cr_expect_eq(image.inventory_sequence, 2);
    cr_expect_eq(image.inventory.capacity, 99);
    cr_expect_eq(image.inventory_changed_at_ns, rig.actor.now_ns);
    cr_expect_eq(memcmp(&image.settings, &change.settings, sizeof change.settings), 0);
    for (int recovered = 0; recovered < 2; recovered++) {
        struct hf_request settings = {.operation = HF_OP_INVENTORY_SETTINGS, .inventory_id = 1};
        cr_assert_eq(hf_rig_do(&rig, &settings), HF_FOUND);
        cr_expect_eq(memcmp(&rig.outcome.settings, &change.settings, sizeof change.settings), 0);
        cr_expect_eq(rig.outcome.settings_sequence, 2);
        cr_expect_eq(rig.outcome.wait_for_lsn, image.lsn);
        hf_rig_expect_same_after_recovery(&rig);
    }
}

Test(setting, what_a_change_does_not_name_stays)
{
    set_one(HF_SET_MIN_QTY, 2);
    set_one(HF_SET_MAX_QTY, 3);
    set_flags(HF_INVENTORY_PAUSED | HF_INVENTORY_SKIP, HF_INVENTORY_PAUSED | HF_INVENTORY_SKIP);
    set_flags(HF_INVENTORY_PAUSED, 0);
    cr_expect_eq(rig.outcome.settings.min_qty, 2);
    cr_expect_eq(rig.outcome.settings.max_qty, 3);
    cr_expect_eq(rig.outcome.settings.flags, HF_INVENTORY_SKIP);
    cr_expect_eq(rig.outcome.settings.sell_limit, CAPACITY);
    cr_expect_eq(rig.outcome.settings.waiting_limit, HF_DEFAULT_WAITING_LIMIT);
    cr_expect_eq(rig.outcome.settings_sequence, 5);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(setting, settings_that_would_contradict_those_in_force_are_bad_and_change_nothing)
{
    set_one(HF_SET_MIN_QTY, 3);
    uint32_t version = hf_rig_inventory(&rig, 1).version, log_count = rig.log_count;
    cr_expect_eq(hf_rig_set_one(&rig, 1, HF_SET_MAX_QTY, 2), HF_BAD_FIELD);
    cr_expect_eq(rig.outcome.field, HF_FIELD_MIN_QTY);
    cr_expect_eq(hf_rig_set_one(&rig, 9, HF_SET_MAX_QTY, 2), HF_UNKNOWN_INVENTORY);
    cr_expect_eq(rig.outcome.field, HF_FIELD_INVENTORY_ID);
    cr_expect_eq(hf_rig_inventory(&rig, 1).version, version);
    cr_expect_eq(rig.log_count, log_count);
}

Test(setting, the_window_is_open_from_its_first_instant_and_closed_at_its_last)
{
    uint64_t now_ns = rig.actor.now_ns;
    set_one(HF_SET_OPENS_AT, now_ns + 10);
    set_one(HF_SET_CLOSES_AT, now_ns + 20);
    rig.actor.now_ns = now_ns + 9;
    cr_expect_eq(reserve(ME, 1), HF_NOT_OPEN);
    rig.actor.now_ns = now_ns + 10;
    cr_expect_eq(reserve(ME, 1), HF_GRANTED);
    rig.actor.now_ns = now_ns + 19;
    cr_expect_eq(hold(1, TTL), HF_GRANTED);
    uint32_t held = next_number - 1;
    rig.actor.now_ns = now_ns + 20;
    cr_expect_eq(reserve(ME, 1), HF_CLOSED);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, held), HF_CONFIRMED);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CANCEL, held), HF_CANCELLED);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(setting, quantities_and_the_longest_hold)
{
    set_one(HF_SET_MIN_QTY, 2);
    set_one(HF_SET_MAX_QTY, 3);
    cr_expect_eq(reserve(ME, 1), HF_QTY_NOT_ALLOWED);
    cr_expect_eq(rig.outcome.field, HF_FIELD_QTY);
    cr_expect_eq(reserve(ME, 4), HF_QTY_NOT_ALLOWED);
    cr_expect_eq(reserve(ME, 2), HF_GRANTED);
    set_one(HF_SET_LONGEST_HOLD, 100);
    cr_expect_eq(hold(3, 101), HF_TTL_NOT_ALLOWED);
    cr_expect_eq(rig.outcome.field, HF_FIELD_TTL);
    cr_expect_eq(hold(3, 100), HF_GRANTED);
    rig.actor.now_ns += 50;
    cr_expect_eq(hf_rig_extend(&rig, next_number - 1, 101), HF_TTL_NOT_ALLOWED);
    cr_expect_eq(hf_rig_extend(&rig, next_number - 1, 100), HF_EXTENDED);
    cr_expect_eq(rig.outcome.reservation.deadline_ns, rig.actor.now_ns + 100);
    set_one(HF_SET_MIN_QTY, 0);
    set_one(HF_SET_MAX_QTY, 0);
    cr_expect_eq(reserve(ME, 1), HF_GRANTED, "no rule is left of that");
}

Test(setting, an_override_counts_for_the_customers_limit_only)
{
    set_one(HF_SET_CUSTOMER_LIMIT, 2);
    struct hf_request request = {.operation = HF_OP_RESERVE,
                                 .flags = HF_REQUEST_OVERRIDE,
                                 .id = hf_id_of_number(500),
                                 .inventory_id = 1,
                                 .customer_id = ME,
                                 .qty = 3};
    cr_expect_eq(hf_rig_do(&rig, &request), HF_GRANTED);
    cr_expect_eq(reserve(ME, 1), HF_CUSTOMER_LIMIT, "what the operator gave counts");
    request.id = hf_id_of_number(501);
    request.qty = CAPACITY;
    cr_expect_eq(hf_rig_do(&rig, &request), HF_SOLD_OUT);
    cr_assert_eq(hf_rig_change(&rig, 500, 1), HF_CHANGED);
    cr_expect_eq(reserve(ME, 1), HF_GRANTED);
    cr_expect_eq(reserve(ME, 1), HF_CUSTOMER_LIMIT);
    hf_rig_expect_same_after_recovery(&rig);
    cr_expect_eq(reserve(ME, 1), HF_CUSTOMER_LIMIT);
}

/* ---- the sell limit ---- */

Test(setting, lowering_the_limit_under_what_is_sold_makes_a_deficit_that_cancels_work_off)
{
    cr_assert_eq(reserve(ME, 10), HF_GRANTED);
    cr_assert_eq(reserve(ME, 5), HF_GRANTED);
    uint32_t five = next_number - 1;
    set_one(HF_SET_SELL_LIMIT, 12);
    cr_expect_eq(rig.outcome.inventory.available, -3);
    cr_expect_eq(hf_inventory_deficit(&rig.outcome.inventory), 3);
    cr_expect_eq(rig.outcome.inventory.confirmed, 15);
    cr_expect_eq(reserve(ME, 1), HF_SOLD_OUT);
    cr_expect_eq(rig.outcome.availability.available, -3);
    hf_rig_expect_same_after_recovery(&rig);
    cr_assert_eq(hf_rig_change(&rig, five, 2), HF_CHANGED);
    uint32_t log_count = rig.log_count;
    cr_expect_eq(reserve(ME, 1), HF_SOLD_OUT);
    cr_expect_eq(rig.log_count, log_count, "nothing is available again yet");
    cr_assert_eq(hf_rig_change(&rig, five, 1), HF_CHANGED);
    cr_expect_eq(hf_rig_image(&rig, rig.log_count).kind, HF_IMAGE_EVENT, "now it is");
    cr_expect_eq(reserve(ME, 1), HF_GRANTED);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(setting, strict_refuses_a_deficit_and_changes_nothing)
{
    cr_assert_eq(reserve(ME, 10), HF_GRANTED);
    struct hf_request strict = {
        .operation = HF_OP_INVENTORY_SET,
        .flags = HF_REQUEST_STRICT,
        .inventory_id = 1,
        .change = {.fields = HF_SET_SELL_LIMIT | HF_SET_MAX_QTY,
                   .settings = {.sell_limit = 9, .max_qty = 2}},
    };
    uint32_t log_count = rig.log_count;
    struct hf_inventory before = hf_rig_inventory(&rig, 1);
    cr_expect_eq(hf_rig_do(&rig, &strict), HF_BELOW_SOLD);
    cr_expect_eq(rig.outcome.field, HF_FIELD_SELL_LIMIT);
    cr_expect_eq(rig.log_count, log_count);
    cr_expect_eq(hf_rig_inventory(&rig, 1).version, before.version);
    cr_expect_eq(reserve(ME, 5), HF_GRANTED, "the other settings were not taken either");
    strict.change.settings.sell_limit = 15;
    cr_expect_eq(hf_rig_do(&rig, &strict), HF_SET);
    cr_expect_eq(rig.outcome.inventory.available, 0);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(setting, a_limit_above_the_capacity_sells_more_and_is_announced_if_it_was_sold_out)
{
    cr_assert_eq(reserve(ME, CAPACITY), HF_GRANTED);
    set_one(HF_SET_SELL_LIMIT, CAPACITY + 2);
    cr_expect_eq(rig.outcome.inventory.capacity, CAPACITY);
    struct hf_image image = hf_rig_image(&rig, rig.log_count);
    cr_expect_eq(image.kind, HF_IMAGE_EVENT);
    cr_expect_eq(image.inventory.available, 2);
    cr_expect_gt(image.lsn, rig.outcome.wait_for_lsn);
    cr_expect_eq(reserve(ME, 2), HF_GRANTED);
    cr_expect_eq(reserve(ME, 1), HF_SOLD_OUT);
    set_one(HF_SET_SELL_LIMIT, 0);
    cr_expect_eq(rig.outcome.inventory.available, -(int32_t)CAPACITY - 2);
    set_one(HF_SET_SELL_LIMIT, HF_MAX_UNITS);
    cr_expect_eq(rig.outcome.inventory.available, (int32_t)(HF_MAX_UNITS - CAPACITY - 2));
    hf_rig_expect_same_after_recovery(&rig);
}

/* ---- closing when sold out ---- */

static unsigned reopen(void)
{
    struct hf_settings_change change = {.fields = HF_SET_REOPEN};
    return hf_rig_set(&rig, 1, &change);
}

Test(setting, the_claim_of_the_last_unit_closes_the_sale_until_it_is_reopened)
{
    set_flags(HF_INVENTORY_CLOSE_WHEN_SOLD_OUT, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT);
    cr_assert_eq(reserve(ME, CAPACITY - 1), HF_GRANTED);
    cr_expect_eq(hf_rig_image(&rig, rig.log_count).notes.flags, 0);
    cr_assert_eq(reserve(ME, 1), HF_GRANTED);
    cr_expect_eq(hf_rig_image(&rig, rig.log_count).notes.flags, HF_IMAGE_FLAG_SOLD_OUT);
    uint32_t last = next_number - 1;
    for (int recovered = 0; recovered < 2; recovered++) {
        cr_expect_eq(hf_rig_inventory(&rig, 1).flags,
                     HF_INVENTORY_CLOSE_WHEN_SOLD_OUT | HF_INVENTORY_SOLD_OUT_CLOSED);
        cr_expect_eq(reserve(ME, 1), HF_CLOSED);
        hf_rig_expect_same_after_recovery(&rig);
    }
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, last), HF_CANCELLED);
    cr_expect_eq(hf_rig_image(&rig, rig.log_count).kind, HF_IMAGE_RESERVATION,
                 "nothing can be had again");
    cr_expect_eq(reserve(ME, 1), HF_CLOSED, "sticky");
    hf_rig_expect_same_after_recovery(&rig);
    cr_expect_eq(reserve(ME, 1), HF_CLOSED, "also after recovery");
    cr_assert_eq(reopen(), HF_SET);
    cr_expect_eq(rig.outcome.inventory.flags, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT);
    cr_expect_eq(hf_rig_image(&rig, rig.log_count).kind, HF_IMAGE_EVENT);
    hf_rig_expect_same_after_recovery(&rig);
    cr_expect_eq(reserve(ME, 1), HF_GRANTED);
    cr_expect_eq(reserve(ME, 1), HF_CLOSED, "once more");
    hf_rig_expect_same_after_recovery(&rig);
    cr_expect_eq(reserve(ME, 1), HF_CLOSED);
}

Test(setting, a_sale_that_no_longer_closes_by_selling_out_is_open_also_after_recovery)
{
    set_flags(HF_INVENTORY_CLOSE_WHEN_SOLD_OUT, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT);
    cr_assert_eq(reserve(ME, CAPACITY), HF_GRANTED);
    uint32_t all = next_number - 1;
    set_flags(HF_INVENTORY_CLOSE_WHEN_SOLD_OUT, 0);
    cr_expect_eq(hf_rig_inventory(&rig, 1).flags, 0);
    hf_rig_expect_same_after_recovery(&rig);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, all), HF_CANCELLED);
    cr_expect_eq(reserve(ME, 1), HF_GRANTED);
}

Test(setting, another_setting_leaves_a_closed_sale_closed)
{
    set_flags(HF_INVENTORY_CLOSE_WHEN_SOLD_OUT, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT);
    cr_assert_eq(reserve(ME, CAPACITY), HF_GRANTED);
    set_one(HF_SET_SELL_LIMIT, CAPACITY + 5);
    cr_expect_eq(reserve(ME, 1), HF_CLOSED);
    hf_rig_expect_same_after_recovery(&rig);
    cr_expect_eq(reserve(ME, 1), HF_CLOSED);
    cr_assert_eq(reopen(), HF_SET);
    hf_rig_expect_same_after_recovery(&rig);
    cr_expect_eq(reserve(ME, 1), HF_GRANTED);
}

Test(setting, told_to_close_when_already_sold_out_a_sale_stays_open)
{
    cr_assert_eq(reserve(ME, CAPACITY), HF_GRANTED);
    uint32_t all = next_number - 1;
    set_flags(HF_INVENTORY_CLOSE_WHEN_SOLD_OUT, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT);
    hf_rig_expect_same_after_recovery(&rig);
    cr_expect_eq(reserve(ME, 1), HF_SOLD_OUT);
    cr_assert_eq(hf_rig_change(&rig, all, CAPACITY - 1), HF_CHANGED);
    cr_expect_eq(reserve(ME, 1), HF_GRANTED, "the claim of the last unit closes it");
    cr_expect_eq(reserve(ME, 1), HF_CLOSED);
    hf_rig_expect_same_after_recovery(&rig);
}

/* ---- the version ---- */

Test(setting, a_setting_for_a_version_that_has_passed_is_refused)
{
    uint32_t version = hf_rig_inventory(&rig, 1).version;
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_SET,
        .flags = HF_REQUEST_EXPECT_VERSION,
        .inventory_id = 1,
        .expected = version,
        .change = {.fields = HF_SET_MAX_QTY, .settings.max_qty = 5},
    };
    cr_assert_eq(reserve(ME, 1), HF_GRANTED);
    cr_expect_eq(hf_rig_do(&rig, &request), HF_VERSION_MISMATCH);
    cr_expect_eq(rig.outcome.field, HF_FIELD_VERSION);
    cr_expect_eq(rig.outcome.availability.version, hf_rig_inventory(&rig, 1).version);
    request.expected = rig.outcome.availability.version;
    cr_expect_eq(hf_rig_do(&rig, &request), HF_SET);
    cr_expect_eq(rig.outcome.inventory.version, hf_rig_inventory(&rig, 1).version);
    cr_expect_eq(hf_rig_do(&rig, &request), HF_VERSION_MISMATCH, "it has moved on");
}

Test(setting, while_another_sets_setting_is_put_aside)
{
    struct hf_inventory_cell *cell = hf_region_find_inventory(&rig.engine.region, 1);
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_SET,
        .inventory_id = 1,
        .change = {.fields = HF_SET_MAX_QTY, .settings.max_qty = 5},
    };
    hf_store_relaxed(&cell->setting, 1);
    cr_expect_eq(hf_rig_try(&rig, &request), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(reserve(ME, 6), HF_GRANTED, "claims are not stopped");
    hf_store_relaxed(&cell->setting, 0);
    cr_expect_eq(hf_rig_try(&rig, &request), HF_SET);
    cr_expect_eq(reserve(ME, 6), HF_QTY_NOT_ALLOWED);
}

Test(setting, with_a_full_ring_a_setting_is_put_aside_undone)
{
    close_rig();
    hf_rig_open(&rig, &(struct hf_rig_options){.ring_slots = 8});
    hf_rig_create(&rig, 1, CAPACITY);
    rig.holds_ring = true;
    while (reserve(ME, 1) != HF_PUT_ASIDE_LOG_FULL)
        ;
    uint32_t version = hf_rig_inventory(&rig, 1).version;
    cr_expect_eq(hf_rig_set_one(&rig, 1, HF_SET_SELL_LIMIT, 1), HF_PUT_ASIDE_LOG_FULL);
    cr_expect_eq(hf_rig_inventory(&rig, 1).version, version);
    rig.holds_ring = false;
    hf_rig_drain(&rig);
    set_one(HF_SET_SELL_LIMIT, 1);
    hf_rig_expect_same_after_recovery(&rig);
}

/* ---- by hand: claims in the middle of a change of settings ---- */

/* What a claim decided, and has not done yet. */
struct decided {
    uint64_t word;
    struct hf_rules rules;
    uint32_t bits;
};

static struct hf_inventory_cell *the_cell(void)
{
    return hf_region_find_inventory(&rig.engine.region, 1);
}

static struct decided decide_now(void)
{
    struct decided decided;
    decided.word =
        hf_inventory_load(&rig.engine.region.mcas, the_cell(), &decided.rules, &decided.bits);
    return decided;
}

static bool claim_of(const struct decided *decided, uint32_t qty)
{
    uint64_t word = decided->word;
    return hf_cas_acq_rel(&the_cell()->word, &word,
                          hf_word_moved(word, hf_word_available(word) - (int32_t)qty));
}

Test(setting, a_claim_that_was_decided_on_old_settings_fails_once_the_new_are_in_force)
{
    static const uint32_t fields[] = {
        HF_SET_CUSTOMER_LIMIT, HF_SET_MIN_QTY,   HF_SET_MAX_QTY,   HF_SET_WAITING_LIMIT,
        HF_SET_CAPACITY,       HF_SET_OPENS_AT,  HF_SET_CLOSES_AT, HF_SET_LONGEST_HOLD,
        HF_SET_CANCEL_UNTIL,   HF_SET_OFFER_TTL, HF_SET_SELL_LIMIT};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct decided decided = decide_now();
        set_one(fields[i], fields[i] == HF_SET_CLOSES_AT ? UINT64_MAX : 4);
        cr_expect_not(claim_of(&decided, 1), "field %x", fields[i]);
    }
    struct decided decided = decide_now();
    set_flags(HF_INVENTORY_PAUSED, HF_INVENTORY_PAUSED);
    cr_expect_not(claim_of(&decided, 1), "flags");
}

Test(setting, a_plain_claim_meets_the_new_settings_as_soon_as_they_can_be_seen)
{
    struct hf_inventory_cell *cell = the_cell();
    uint64_t word;
    cr_expect_eq(hf_inventory_weigh(cell, 1, &word), HF_CLAIM_DONE);
    cr_expect_eq(hf_inventory_claim(cell, 1, &word), HF_CLAIM_DONE);
    /* The copy is current and marked fresh, but the version is not bumped yet. */
    struct hf_rules rules;
    hf_inventory_copy_settings(cell, &rules);
    uint64_t before = hf_load_relaxed(&cell->word);
    uint64_t stale = before;
    hf_inventory_put(&rig.engine.region.mcas, cell, &rules, &(struct hf_put){0}, &word);
    cr_expect_neq(hf_load_relaxed(&cell->word), before, "the bump");
    cr_expect_eq(hf_inventory_claim(cell, 1, &stale), HF_CLAIM_DONE, "it looks again");
    cr_expect_eq(hf_word_available(stale), (int32_t)CAPACITY - 2);
    hf_store_relaxed(&cell->rules, hf_load_relaxed(&cell->rules) | HF_RULE_FRESH);
    cr_expect_eq(hf_inventory_claim(cell, 1, &word), HF_CLAIM_INVOLVED);
    cr_expect_eq(hf_inventory_weigh(cell, CAPACITY, &word), HF_CLAIM_INVOLVED);
}

/* The one who sets stops between naming the copy and the bump. Whoever is refused for it bumps. */
Test(setting, a_refusal_for_fresh_settings_puts_them_in_force_for_all)
{
    struct hf_inventory_cell *cell = the_cell();
    struct decided decided = decide_now();
    struct hf_rules rules = decided.rules;
    rules.settings.flags = HF_INVENTORY_PAUSED;
    uint32_t other = (hf_load_relaxed(&cell->rules) & HF_RULE_COPY) ^ 1;
    uint64_t words[HF_RULES_WORDS];
    memcpy(words, &rules, sizeof rules);
    for (size_t i = 0; i < HF_RULES_WORDS; i++)
        hf_store_relaxed(&cell->copies[other][i], words[i]);
    hf_store_relaxed(&cell->rules, other | HF_RULE_FRESH | HF_RULE_CLAIM);
    cr_expect_eq(reserve(ME, 1), HF_PAUSED);
    cr_expect_not(claim_of(&decided, 1), "no later grant is decided on older settings");
}

/* A change that allows more here and less there: between its two steps only what both allow is. */
Test(setting, between_the_steps_of_a_change_holds_what_the_old_and_the_new_both_allow)
{
    struct hf_settings one = {.sell_limit = 10,
                              .customer_limit = 4,
                              .min_qty = 2,
                              .max_qty = 6,
                              .waiting_limit = 3,
                              .flags = HF_INVENTORY_PAUSED,
                              .opens_at_ns = 5,
                              .closes_at_ns = 50,
                              .longest_hold_ns = 7,
                              .cancel_until_ns = 0,
                              .offer_ttl_ns = 1};
    struct hf_settings other = {.sell_limit = 20,
                                .customer_limit = 0,
                                .min_qty = 1,
                                .max_qty = 5,
                                .waiting_limit = 9,
                                .flags = HF_INVENTORY_CLOSED,
                                .opens_at_ns = 8,
                                .closes_at_ns = 0,
                                .longest_hold_ns = 6,
                                .cancel_until_ns = 30,
                                .offer_ttl_ns = 2};
    struct hf_settings expected = {.sell_limit = 10,
                                   .customer_limit = 4,
                                   .min_qty = 2,
                                   .max_qty = 5,
                                   .waiting_limit = 3,
                                   .flags = HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED,
                                   .opens_at_ns = 8,
                                   .closes_at_ns = 50,
                                   .longest_hold_ns = 6,
                                   .cancel_until_ns = 30,
                                   .offer_ttl_ns = 2};
    struct hf_settings both;
    hf_settings_meet(&one, &other, &both);
    cr_expect_eq(memcmp(&both, &expected, sizeof both), 0);
    expected.offer_ttl_ns = 1;
    hf_settings_meet(&other, &one, &both);
    cr_expect_eq(memcmp(&both, &expected, sizeof both), 0);
}

/* ---- the first limit per customer ---- */

Test(setting, a_first_limit_per_customer_counts_what_each_has_already)
{
    cr_assert_eq(reserve(ME, 2), HF_GRANTED);
    cr_assert_eq(hold(3, TTL), HF_GRANTED);
    uint32_t held = next_number - 1;
    cr_assert_eq(reserve(OTHER, 1), HF_GRANTED);
    cr_assert_eq(reserve(OTHER, 4), HF_GRANTED);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, next_number - 1), HF_CANCELLED);
    set_one(HF_SET_CUSTOMER_LIMIT, 4);
    cr_expect_eq(reserve(ME, 1), HF_CUSTOMER_LIMIT);
    cr_expect_eq(reserve(OTHER, 4), HF_CUSTOMER_LIMIT);
    cr_expect_eq(reserve(OTHER, 3), HF_GRANTED);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_RELEASE, held), HF_RELEASED);
    cr_expect_eq(reserve(ME, 2), HF_GRANTED);
    cr_expect_eq(reserve(ME, 1), HF_CUSTOMER_LIMIT);
    hf_rig_expect_same_after_recovery(&rig);
    cr_expect_eq(reserve(ME, 1), HF_CUSTOMER_LIMIT);
    set_one(HF_SET_CUSTOMER_LIMIT, 0);
    cr_expect_eq(reserve(ME, 1), HF_GRANTED);
    set_one(HF_SET_CUSTOMER_LIMIT, 6);
    cr_expect_eq(reserve(ME, 1), HF_GRANTED, "counted while there was none");
    cr_expect_eq(reserve(ME, 1), HF_CUSTOMER_LIMIT);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(setting, sales_go_on_while_the_units_of_each_customer_are_counted_in_pieces)
{
    close_rig();
    hf_rig_open(&rig, &(struct hf_rig_options){.max_reservations = 40000});
    hf_rig_create(&rig, 1, 100000);
    for (uint32_t i = 0; i < 20000; i++)
        cr_assert_eq(reserve(i % 100, 1), HF_GRANTED);
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_SET,
        .inventory_id = 1,
        .change = {.fields = HF_SET_CUSTOMER_LIMIT, .settings.customer_limit = 202},
    };
    uint32_t pieces = 0;
    while (hf_rig_try(&rig, &request) == HF_PUT_ASIDE_BUSY) {
        pieces++;
        cr_assert_lt(pieces, 10);
        /* One who had units gets one more, one gives one back, one who has none gets some. */
        if (pieces < 3) {
            cr_assert_eq(reserve(7, 1), HF_GRANTED);
            cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, 1 + 8 + pieces * 100), HF_CANCELLED);
            cr_assert_eq(reserve(1000, 100), HF_GRANTED);
        }
    }
    cr_assert_eq(rig.outcome.result, HF_SET);
    cr_expect_geq(pieces, 3);
    cr_expect_eq(reserve(7, 1), HF_CUSTOMER_LIMIT, "200 and 2");
    cr_expect_eq(reserve(8, 5), HF_CUSTOMER_LIMIT, "200 less 2");
    cr_expect_eq(reserve(8, 4), HF_GRANTED);
    cr_expect_eq(reserve(1000, 3), HF_CUSTOMER_LIMIT);
    cr_expect_eq(reserve(1000, 2), HF_GRANTED);
    cr_expect_eq(reserve(9, 3), HF_CUSTOMER_LIMIT);
    cr_expect_eq(reserve(9, 2), HF_GRANTED);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(setting, counting_waits_for_a_change_that_is_under_way)
{
    cr_assert_eq(reserve(ME, 2), HF_GRANTED);
    struct hf_reservation_cell *cell = hf_rig_cell(&rig, next_number - 1);
    uint64_t word = hf_load_relaxed(&cell->word);
    hf_store_relaxed(&cell->word, word | HF_WORD_MARKED);
    cr_expect_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 2), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(reserve(ME, 1), HF_GRANTED, "the limit is not in force");
    hf_store_relaxed(&cell->word, word);
    set_one(HF_SET_CUSTOMER_LIMIT, 2);
    cr_expect_eq(reserve(ME, 1), HF_CUSTOMER_LIMIT);
}

/* Somebody who entered before the counting began may be in the middle of a claim that is not
 * counted, and not to be seen yet. */
Test(setting, counting_begins_when_all_who_claim_without_counting_are_gone)
{
    struct hf_actor other;
    cr_assert_eq(hf_actor_init(&other, &rig.engine, &rig.ring), 0);
    hf_actor_enter(&other);
    cr_expect_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 2), HF_PUT_ASIDE_BUSY);
    hf_actor_exit(&other);
    hf_actor_enter(&other);
    cr_expect_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 2), HF_SET,
                 "who came later counts");
    hf_actor_exit(&other);
    hf_actor_close(&other);
}

/* Half way, what both the old and the new allow is in force, and has no image: nobody is told. */
Test(setting, what_is_half_done_is_told_to_nobody)
{
    const struct hf_request settings = {.operation = HF_OP_INVENTORY_SETTINGS, .inventory_id = 1};
    const struct hf_request create = {.operation = HF_OP_INVENTORY_CREATE,
                                      .inventory_id = 1,
                                      .product_id = 10,
                                      .capacity = CAPACITY};
    struct hf_rules rules;
    uint64_t word;
    cr_assert(hf_inventory_copy_settings(the_cell(), &rules));
    rules.settings.min_qty = 5;
    hf_inventory_put(&rig.engine.region.mcas, the_cell(), &rules, &(struct hf_put){.between = true},
                     &word);
    cr_expect_not(hf_inventory_copy_settings(the_cell(), &rules));
    cr_expect_eq(hf_rig_try(&rig, &settings), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(hf_rig_try(&rig, &create), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(hf_rig_reserve(&rig, 1, 1, 7, 1), HF_QTY_NOT_ALLOWED, "it is in force");
    hf_inventory_put(&rig.engine.region.mcas, the_cell(), &rules, &(struct hf_put){0}, &word);
    cr_expect_eq(hf_rig_try(&rig, &settings), HF_FOUND);
    cr_expect_eq(rig.outcome.settings.min_qty, 5);
    cr_expect_eq(hf_rig_try(&rig, &create), HF_CREATED);
}

/* A claim decided by (A, n) must not be taken for one by other settings under the same marks. */
Test(setting, counting_does_not_make_old_settings_look_like_new_ones)
{
    struct hf_rules_mark before = hf_inventory_rules_mark(the_cell());
    uint64_t word;
    hf_inventory_count_claims(&rig.engine.region.mcas, the_cell(), &word);
    struct hf_rules_mark after = hf_inventory_rules_mark(the_cell());
    cr_expect_eq(after.copy, before.copy, "the copy stays current");
    cr_expect_eq(after.sequence, before.sequence);
    cr_expect(hf_load_relaxed(&the_cell()->rules) & HF_RULE_COUNTED);
    cr_expect_eq(hf_load_relaxed(&the_cell()->word), word);
}

/* How many units are sold is told when none are on their way back. */
Test(setting, a_strict_limit_waits_for_units_on_their_way_back)
{
    const struct hf_request strict = {
        .operation = HF_OP_INVENTORY_SET,
        .flags = HF_REQUEST_STRICT,
        .inventory_id = 1,
        .change = {.fields = HF_SET_SELL_LIMIT, .settings = {.sell_limit = 4}},
    };
    cr_assert_eq(reserve(ME, 5), HF_GRANTED);
    hf_inventory_announce(the_cell());
    cr_expect_eq(hf_rig_try(&rig, &strict), HF_PUT_ASIDE_BUSY);
    hf_inventory_withdraw(the_cell());
    cr_expect_eq(hf_rig_try(&rig, &strict), HF_BELOW_SOLD);
}

/* The last unit is not the last while others are on their way back. */
Test(setting, a_sale_is_not_closed_while_units_are_on_their_way_back)
{
    const struct hf_request all = {.operation = HF_OP_RESERVE,
                                   .id = hf_id_of_number(900),
                                   .inventory_id = 1,
                                   .customer_id = ME,
                                   .qty = CAPACITY - 1};
    struct hf_request last = all;
    last.id = hf_id_of_number(901);
    last.qty = 1;
    set_flags(HF_INVENTORY_CLOSE_WHEN_SOLD_OUT, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT);
    hf_inventory_announce(the_cell());
    cr_expect_eq(hf_rig_try(&rig, &all), HF_GRANTED, "there is one more");
    cr_expect_eq(hf_rig_try(&rig, &last), HF_PUT_ASIDE_BUSY);
    hf_inventory_withdraw(the_cell());
    cr_expect_eq(hf_rig_try(&rig, &last), HF_GRANTED);
    cr_expect_neq(hf_rig_inventory(&rig, 1).flags & HF_INVENTORY_SOLD_OUT_CLOSED, 0);
}
