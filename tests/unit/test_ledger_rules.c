/*
 * The ledger of holdfast-wal, what claims must obey: settings, the waiting list, the order of
 * versions, chains. As in test_ledger_faults.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/lib/story_expect.h"

#define JUMP HF_STORY_JUMP

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(ledger_rules, .init = hf_story_open, .fini = hf_story_close);

/* ---- settings --------------------------------------------------------------------------- */

/* A second record of inventory 1, with one field set. */
static uint64_t add_inventory(unsigned offset, uint64_t value, unsigned bytes)
{
    uint8_t record[HF_RECORD_BYTES] = {0}, field[8];
    hf_image_encode_inventory(record, &hf_story.inventory, &hf_story.settings, 2,
                              HF_BUILDER_MADE_AT + 10);
    hf_put_u64(field, value);
    memcpy(record + offset, field, bytes);
    return hf_log_builder_record(&hf_story.builder, record);
}

Test(ledger_rules, inventories_that_change_what_they_must_not_are_found)
{
    /* Made twice, sequence gap, other product, other date of making; a third record dated before the
     * second; first record with sequence 2. */
    static const struct {
        unsigned offset, bytes;
        uint64_t value;
        const char *word;
    } cases[] = {
        {12, 4, 1, "has sequence 1, expected 2"},
        {12, 4, 3, "has sequence 3, expected 2"},
        {24, 8, 1002, "changed its product"},
        {48, 8, HF_BUILDER_MADE_AT - 1, "changed its date of making"},
        {16, 8, 3, "inventory 3 has sequence 2, expected 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hf_story_begin();
        hf_story_expect_fault(add_inventory(cases[i].offset, cases[i].value, cases[i].bytes),
                              cases[i].word);
    }
    hf_story_begin();
    add_inventory(32, 7, 4);
    hf_story.settings_sequence = 2;
    hf_story_expect_fault(hf_story_set(1), "inventory 1 changed before its last change");
}

Test(ledger_rules, what_belongs_to_an_unknown_inventory_is_found)
{
    /* The inventory is made one record later. */
    hf_story_begin();
    hf_story_prepare(11, HF_STATE_CONFIRMED, 1, 2)->inventory_id = 3;
    uint64_t lsn = hf_story_tell(11);
    hf_log_builder_inventory(&hf_story.builder, 3, 5);
    hf_story_expect_fault(lsn, "inventory 3 of a reservation was never made");
    hf_story_begin();
    struct hf_inventory event = {.inventory_id = 3, .available = 1, .version = 1};
    uint8_t record[HF_RECORD_BYTES] = {0};
    hf_image_encode_event(record, HF_EVENT_AVAILABLE_AGAIN, &event, HF_BUILDER_MADE_AT);
    lsn = hf_log_builder_record(&hf_story.builder, record);
    hf_log_builder_inventory(&hf_story.builder, 3, 5);
    hf_story_expect_fault(lsn, "inventory 3 of an event was never made");
}

static void pause_sales(void)
{
    hf_story.settings.flags = HF_INVENTORY_PAUSED;
}

static void close_sales(void)
{
    hf_story.settings.flags = HF_INVENTORY_CLOSED;
}

static void want_more(void)
{
    hf_story.settings.min_qty = 3;
}

static void want_fewer(void)
{
    hf_story.settings.max_qty = 1;
}

static void open_later(void) /* reservation 10 is made 10 ns later than inventory 1 */
{
    hf_story.settings.opens_at_ns = HF_BUILDER_MADE_AT + 11;
}

static void close_earlier(void)
{
    hf_story.settings.closes_at_ns = HF_BUILDER_MADE_AT + 10;
}

static void hold_shorter(void)
{
    hf_story.settings.longest_hold_ns = HF_BUILDER_TTL_NS - 1;
}

static void just_enough(void)
{
    hf_story.settings = (struct hf_settings){
        .sell_limit = 5,
        .customer_limit = 1,
        .min_qty = 2,
        .max_qty = 2,
        .flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT | HF_INVENTORY_SKIP,
        .opens_at_ns = HF_BUILDER_MADE_AT + 10,
        .closes_at_ns = HF_BUILDER_MADE_AT + 11,
        .longest_hold_ns = HF_BUILDER_TTL_NS,
        .cancel_until_ns = 1,
    };
}

Test(ledger_rules, a_claim_obeys_the_settings_in_force)
{
    /* A hold of 2 units with a newer version than the settings, and one with an older; settings that
     * just allow it. */
    static const struct {
        void (*forbid)(void);
        const char *word;
    } cases[] = {
        {pause_sales, "when its sales were paused"},   {close_sales, "when its sales were closed"},
        {want_more, "fewer than one claim may have"},  {want_fewer, "more than one claim may have"},
        {open_later, "before its sales opened"},       {close_earlier, "after its sales closed"},
        {hold_shorter, "longer than a hold may last"}, {just_enough, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hf_story_begin();
        cases[i].forbid();
        hf_story_set(5);
        uint64_t lsn = hf_story_make(10, HF_STATE_HELD, 2, 6);
        if (cases[i].word != NULL)
            hf_story_expect_fault(lsn, cases[i].word);
        else
            hf_story_expect_sound("just allowed");
        hf_story_begin();
        cases[i].forbid();
        hf_story_set(5);
        hf_story_make(10, HF_STATE_HELD, 2, 4);
        hf_story_expect_sound("decided before");
    }
}

Test(ledger_rules, settings_forbid_claims_and_nothing_else)
{
    /* While sales are paused: confirm, release, cancel, fewer, another customer, an offer. Then a
     * growing reservation. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_HELD, 1, 2);
    hf_story_make(11, HF_STATE_HELD, 1, 3);
    hf_story_make(12, HF_STATE_CONFIRMED, 2, 4);
    hf_story_make(13, HF_STATE_WAITING, 1, 4);
    pause_sales();
    hf_story_set(5);
    hf_story_change(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 6);
    hf_story_change(11, HF_STATE_RELEASED, HF_REASON_REQUEST, 6);
    hf_story_move(12, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 7)->customer_id++;
    hf_story_tell(12);
    hf_story_move(12, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 7)->qty = 1;
    hf_story_tell(12);
    hf_story_change(13, HF_STATE_HELD, HF_REASON_OFFER, 9);
    hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 9);
    hf_story_move(12, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 11)->qty = 2;
    hf_story_expect_fault(hf_story_tell(12), "when its sales were paused");
}

Test(ledger_rules, a_sale_that_is_closed_by_selling_out_stays_closed)
{
    /* The last unit, then a claim: with a newer version and an older one, behind it in the log and
     * before it; an offer; when the sale was opened again. */
    for (unsigned older = 0; older < 2; older++) {
        hf_story_begin();
        hf_story.settings.flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT;
        hf_story_set(2);
        hf_story_make(10, HF_STATE_CONFIRMED, 4, 4);
        hf_story.noted[10].flags = HF_IMAGE_FLAG_SOLD_OUT;
        hf_story_prepare(11, HF_STATE_CONFIRMED, 1, 5);
        hf_story.noted[11].flags = HF_IMAGE_FLAG_SOLD_OUT;
        hf_story_tell(11);
        hf_story_change(11, HF_STATE_CANCELLED, HF_REASON_REQUEST, 5);
        uint64_t lsn = hf_story_make(12, HF_STATE_CONFIRMED, 1, older ? 3 : 7);
        if (older)
            hf_story_expect_sound("decided before");
        else
            hf_story_expect_fault(
                lsn, "inventory 1 was closed by selling out, at version 5, and a claim "
                     "with version 7 took units");
    }
    hf_story_begin();
    hf_story.settings.flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT;
    hf_story_set(2);
    hf_story_make(12, HF_STATE_CONFIRMED, 1, 7);
    hf_story_prepare(11, HF_STATE_CONFIRMED, 1, 5);
    hf_story.noted[11].flags = HF_IMAGE_FLAG_SOLD_OUT;
    hf_story_expect_fault(hf_story_tell(11), "was closed by selling out");

    hf_story_begin();
    hf_story.settings.flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT;
    hf_story_set(2);
    hf_story_prepare(10, HF_STATE_CONFIRMED, 5, 4);
    hf_story.noted[10].flags = HF_IMAGE_FLAG_SOLD_OUT;
    hf_story_tell(10);
    hf_story_make(11, HF_STATE_WAITING, 1, 4);
    hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 4);
    hf_story_change(11, HF_STATE_HELD, HF_REASON_OFFER, 6);
    hf_story_set(6); /* reopened */
    hf_story_make(12, HF_STATE_CONFIRMED, 1, 8);
    hf_story_expect_sound("an offer, and a claim after it was reopened");

    hf_story_begin();
    hf_story.settings.flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT | HF_INVENTORY_SOLD_OUT_CLOSED;
    hf_story_set(6);
    hf_story_expect_fault(hf_story_make(12, HF_STATE_CONFIRMED, 1, 7),
                          "closed by selling out, at version 6");
}

Test(ledger_rules, claims_above_a_customers_limit_are_counted)
{
    /* A limit of 2, set when the customer had 1 already: one more, one too many, a growth, a move to
     * the customer, one of another customer; it grows smaller again. */
    hf_story_begin();
    hf_story_prepare(10, HF_STATE_CONFIRMED, 1, 2)->customer_id = 5;
    hf_story_tell(10);
    hf_story.settings.customer_limit = 2;
    hf_story_set(3);
    hf_story_prepare(11, HF_STATE_CONFIRMED, 1, 4)->customer_id = 5;
    hf_story_tell(11);
    hf_story_expect_sound("within the limit");
    hf_story_expect_output("above_customer_limit: 0\n", "within the limit");

    hf_story_prepare(12, HF_STATE_HELD, 1, 5)->customer_id = 5; /* 3: above */
    hf_story_tell(12);
    hf_story_make(13, HF_STATE_HELD, 1, 6);
    hf_story_move(13, HF_STATE_HELD, HF_REASON_REQUEST, 6)->customer_id = 5; /* 4: above */
    hf_story_tell(13);
    hf_story_change(11, HF_STATE_CANCELLED, HF_REASON_REQUEST, 6);
    hf_story_change(12, HF_STATE_RELEASED, HF_REASON_REQUEST, 7);
    hf_story_move(13, HF_STATE_HELD, HF_REASON_REQUEST, 8)->customer_id = 6; /* leaves 1 */
    hf_story_tell(13);
    hf_story_move(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 9)->qty = 2;
    hf_story_tell(10);
    hf_story_move(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 10)->qty = 3; /* above */
    hf_story_tell(10);
    hf_story_expect_sound("an operator may");
    hf_story_expect_output("above_customer_limit: 3\n", "counted");
}

/* ---- the waiting list ------------------------------------------------------------------- */

Test(ledger_rules, nobody_passes_a_waiting_list)
{
    /* A list was joined at version 3; a claim of what is left, with a newer version and an older; a
     * growing reservation; when the list is empty again. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 3, 2);
    hf_story_make(11, HF_STATE_WAITING, 3, 3);
    hf_story_expect_fault(hf_story_make(12, HF_STATE_HELD, 1, 4),
                          "that a waiting list stands before");
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 3, 2);
    hf_story_make(11, HF_STATE_WAITING, 3, 3);
    hf_story_make(12, HF_STATE_HELD, 1, 3);
    hf_story_expect_sound("decided before");
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 3, 2);
    hf_story_make(11, HF_STATE_WAITING, 3, 3);
    hf_story_move(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 4)->qty = 4;
    hf_story_expect_fault(hf_story_tell(10), "that a waiting list stands before");
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 3, 2);
    hf_story_make(11, HF_STATE_WAITING, 3, 3);
    hf_story_make(13, HF_STATE_WAITING, 1, 3);
    hf_story_change(11, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3);
    hf_story_change(13, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3);
    hf_story_make(12, HF_STATE_HELD, 1, 4);
    hf_story_expect_sound("the list has ended");
}

Test(ledger_rules, offers_go_to_the_head_of_the_list)
{
    /* Three wait; offers in order, with the second leaving; the second before the first; with SKIP;
     * with SKIP that was taken off, by versions. */
    const enum hf_reason offer = HF_REASON_OFFER;
    for (unsigned i = 0; i < 6; i++) {
        hf_story_begin();
        if (i == 2 || i >= 4) {
            hf_story.settings.flags = HF_INVENTORY_SKIP;
            hf_story_set(2);
        }
        hf_story_make(10, HF_STATE_WAITING, 1, 3);
        hf_story_make(11, HF_STATE_WAITING, 1, 3);
        hf_story_make(12, HF_STATE_WAITING, 1, 3);
        uint64_t lsn = 0;
        if (i == 0) {
            hf_story_change(11, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3);
            hf_story_change(10, HF_STATE_HELD, offer, 4);
            hf_story_change(12, HF_STATE_HELD, offer, 5);
        } else if (i == 3) { /* the head lost its place: it would have had too many */
            hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_LIMIT, 3);
            hf_story_change(11, HF_STATE_HELD, offer, 4);
        } else if (i >= 4) {
            hf_story.settings.flags = 0;
            hf_story_set(7);
            lsn = hf_story_change(11, HF_STATE_HELD, offer, i == 4 ? 6 : 8);
        } else {
            lsn = hf_story_change(11, HF_STATE_HELD, offer, 4);
        }
        if (i == 1 || i == 5)
            hf_story_expect_fault(lsn, "passes the head of its waiting list");
        else
            hf_story_expect_sound("in order, or with SKIP");
    }
}

Test(ledger_rules, a_list_keeps_its_order_whoever_leaves)
{
    /* Five wait; the middle one, the last and the first leave, one joins: 11, 13, then 15. */
    for (unsigned i = 0; i < 3; i++) {
        hf_story_begin();
        for (unsigned number = 10; number < 15; number++)
            hf_story_make(number, HF_STATE_WAITING, 1, 2);
        hf_story_change(12, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
        hf_story_change(14, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
        hf_story_make(15, HF_STATE_WAITING, 1, 2);
        hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
        if (i > 0)
            hf_story_change(11, HF_STATE_HELD, HF_REASON_OFFER, 3);
        if (i > 1)
            hf_story_change(13, HF_STATE_HELD, HF_REASON_OFFER, 4);
        if (i == 2) {
            hf_story_change(15, HF_STATE_HELD, HF_REASON_OFFER, 5);
            hf_story_expect_sound("in order");
        } else {
            hf_story_expect_fault(hf_story_change(15, HF_STATE_HELD, HF_REASON_OFFER, 5),
                                  "passes the head");
        }
    }
}

/* ---- versions --------------------------------------------------------------------------- */

Test(ledger_rules, no_two_claims_have_one_version)
{
    /* The same in another inventory is right; the same again, and much later, when claims of 1500
     * other inventories lie between the two. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    hf_story_prepare(11, HF_STATE_CONFIRMED, 1, 2)->inventory_id = 2;
    hf_story_tell(11);
    hf_story_expect_fault(hf_story_make(12, HF_STATE_HELD, 1, 2),
                          "version 2 of inventory 1 stands for two claims");
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    for (uint64_t i = 0; i < 1500; i++) {
        hf_log_builder_inventory(&hf_story.builder, 3000 + i, 1);
        hf_log_builder_reservation(&hf_story.builder, 3000 + i, 3000 + i, 1, 2);
    }
    hf_story_expect_fault(hf_story_make(11, HF_STATE_CONFIRMED, 1, 2), "stands for two claims");
}

Test(ledger_rules, claims_have_newer_versions_than_what_they_build_on)
{
    /* The version with which the inventory was made; one that is older. */
    hf_story_begin();
    hf_story_expect_fault(hf_story_make(10, HF_STATE_CONFIRMED, 1, 1),
                          "inventory 1 started with version 1");
    hf_story_begin();
    hf_story_expect_fault(hf_story_make(10, HF_STATE_CONFIRMED, 1, 0),
                          "inventory 1 started with version 1");
}

Test(ledger_rules, versions_come_around)
{
    /* Changes without end, here in steps of 2^29: the same version 2^31 changes later is another. */
    hf_story_begin();
    const uint32_t step = 1u << 29;
    for (unsigned i = 0; i < 12; i++) {
        hf_story_make(10 + i, HF_STATE_CONFIRMED, 1, (2 + i * step) & (4 * step - 1));
        hf_story_change(10 + i, HF_STATE_CANCELLED, HF_REASON_REQUEST,
                        (2 + i * step) & (4 * step - 1));
    }
    hf_story_expect_sound("three times around");
}

/* One unit at a time of a new run: version 100, then the run's end, then that version. */
static uint64_t claim_after_restart(uint32_t version)
{
    hf_story_make(10, HF_STATE_CONFIRMED, 1, 100);
    hf_story_restart();
    return hf_story_make(11, HF_STATE_CONFIRMED, 1, version);
}

Test(ledger_rules, a_run_begins_above_the_versions_before_it)
{
    /* The newest version is carried by a claim, by a change that is none, by settings, by an event:
     * a claim of the next run that is 2^20 newer, and one that is 1 less. */
    hf_story_begin();
    claim_after_restart(100 + JUMP);
    hf_story_expect_sound("2^20 newer");
    hf_story_begin();
    hf_story_expect_fault(claim_after_restart(99 + JUMP), "started with version");
    hf_story_begin();
    hf_story_expect_fault(claim_after_restart(3), "started with version");
    for (unsigned i = 0; i < 3; i++) {
        hf_story_begin();
        hf_story_make(10, HF_STATE_CONFIRMED, 1, 100);
        if (i == 0)
            hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 200);
        if (i == 1)
            hf_story_set(200);
        if (i == 2) {
            uint8_t record[HF_RECORD_BYTES] = {0};
            hf_story.inventory.available = 1;
            hf_story.inventory.version = 200;
            hf_image_encode_event(record, HF_EVENT_AVAILABLE_AGAIN, &hf_story.inventory,
                                  HF_BUILDER_MADE_AT);
            hf_log_builder_record(&hf_story.builder, record);
        }
        hf_story_restart();
        hf_story_expect_fault(hf_story_make(11, HF_STATE_CONFIRMED, 1, 199 + JUMP),
                              "started with version");
    }
}

/* ---- chains ----------------------------------------------------------------------------- */

Test(ledger_rules, a_chain_is_judged_as_a_whole)
{
    /* A swap when all is sold, in the order that would oversell for a moment; the same with one unit
     * more; with the claim's version that of another. */
    for (unsigned more_units = 0; more_units < 2; more_units++) {
        hf_story_begin();
        hf_story_make(10, HF_STATE_CONFIRMED, 5, 2);
        hf_story_begin_chain(2);
        hf_story_make(11, HF_STATE_CONFIRMED, 5 + more_units, 3);
        uint64_t lsn = hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3);
        if (more_units == 0)
            hf_story_expect_sound("a swap");
        else
            hf_story_expect_fault(
                lsn, "NO-OVERSELL is broken: inventory 1 has 5 units held and confirmed "
                     "and a sell limit of 5, and 1 more are taken");
    }
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 1, 2);
    hf_story_begin_chain(2);
    hf_story_make(11, HF_STATE_CONFIRMED, 1, 2);
    hf_story_expect_fault(hf_story_make(12, HF_STATE_CONFIRMED, 1, 2), "stands for two claims");
}

Test(ledger_rules, a_chain_claims_once_of_each_inventory)
{
    /* Two lines of one inventory, one of another: one version each; counted. */
    hf_story_begin();
    hf_story_begin_chain(3);
    hf_story_make(10, HF_STATE_CONFIRMED, 1, 2);
    hf_story_make(11, HF_STATE_HELD, 1, 2);
    hf_story_prepare(12, HF_STATE_CONFIRMED, 1, 2)->inventory_id = 2;
    hf_story_tell(12);
    hf_story_make(13, HF_STATE_CONFIRMED, 1, 3);
    hf_story_expect_sound("a bundle");
    hf_story_expect_output("\nchains: 1\n", "counted");
}

Test(ledger_rules, what_is_wrong_with_a_record_of_a_chain_is_told_at_its_end)
{
    /* The second of three is no possible change; the third is oversold alone, at its own record. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_WAITING, 1, 1);
    hf_story_begin_chain(3);
    hf_story_make(11, HF_STATE_CONFIRMED, 1, 2);
    hf_story_change(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 2);
    hf_story_expect_fault(hf_story_make(12, HF_STATE_CONFIRMED, 1, 2),
                          "record 2 of 3 of a chain: a reservation went from WAITING to CONFIRMED");
}

Test(ledger_rules, settings_and_links_of_a_chain_are_judged)
{
    /* A claim against a paused sale among others; a link to what is not expired. */
    hf_story_begin();
    pause_sales();
    hf_story_set(2);
    hf_story_begin_chain(2);
    hf_story_prepare(10, HF_STATE_CONFIRMED, 1, 2)->inventory_id = 2;
    hf_story_tell(10);
    hf_story_expect_fault(
        hf_story_make(11, HF_STATE_CONFIRMED, 1, 3),
        "record 2 of 2 of a chain: a claim took units of inventory 1 when its sales were "
        "paused");
    hf_story_begin();
    hf_story_begin_chain(2);
    hf_story_prepare(10, HF_STATE_CONFIRMED, 1, 2)->linked_id = (struct hf_id){{9}};
    hf_story_tell(10);
    hf_story_expect_fault(hf_story_make(11, HF_STATE_CONFIRMED, 1, 2),
                          "record 1 of 2 of a chain: a reservation is "
                          "linked to one that is not EXPIRED");
}

Test(ledger_rules, a_chain_is_whole_and_in_one_block)
{
    /* Cut by another record, by another chain, by the end of its block; begun in the middle. */
    hf_story_begin();
    hf_story_begin_chain(3);
    hf_story_make(10, HF_STATE_CONFIRMED, 1, 2);
    hf_story.chain_length = 0;
    hf_story_expect_fault(hf_story_make(11, HF_STATE_CONFIRMED, 1, 3),
                          "a chain of 3 records ends after 1");
    hf_story_begin();
    hf_story_begin_chain(3);
    hf_story_make(10, HF_STATE_CONFIRMED, 1, 2);
    hf_story_expect_fault(hf_story_set(2), "a chain of 3 records ends after 1");
    hf_story_begin();
    hf_story_begin_chain(3);
    hf_story_make(10, HF_STATE_CONFIRMED, 1, 2);
    hf_story_begin_chain(3);
    hf_story_expect_fault(hf_story_make(11, HF_STATE_CONFIRMED, 1, 2),
                          "has place 0 in its chain, expected 1");
    hf_story_begin();
    hf_story_begin_chain(2);
    hf_story.chain_index = 1;
    hf_story_expect_fault(hf_story_make(11, HF_STATE_CONFIRMED, 1, 2),
                          "has place 1 in its chain, expected 0");

    hf_story_begin();
    hf_story_begin_chain(3);
    hf_story_make(10, HF_STATE_CONFIRMED, 1, 2);
    uint64_t lsn = hf_story_make(11, HF_STATE_CONFIRMED, 1, 2);
    hf_log_builder_block(&hf_story.builder, 0);
    hf_story_make(12, HF_STATE_CONFIRMED, 1, 2);
    cr_expect_not_null(hf_story_prove_sound());
    char place[64];
    snprintf(place, sizeof(place), "fault: LSN %llu, ", (unsigned long long)lsn);
    hf_story_expect_output(place, "cut by a block");
    hf_story_expect_output("the block ends after 2 of the 3 records of a chain", "cut by a block");
}
