/*
 * The ledger of holdfast-wal, units and states: what a log must never say is planted in one and must
 * be found, with the right LSN; and what looks like it but is sound is not. The logs are valid as far
 * as blocks and decoding go: only the ledger can find these.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/story_expect.h"
#include "tests/lib/vectors.h"

#define VECTORS_PATH "docs/vectors/log-format.txt"
#define NONE         0u /* the state of what was not made */
#define JUMP         HF_STORY_JUMP

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(ledger_faults, .init = hf_story_open, .fini = hf_story_close);

/* ---- units ------------------------------------------------------------------------------ */

/* Another sell limit of inventory 1, with that version. */
static void set_limit(uint32_t sell_limit, uint32_t version)
{
    hf_story.settings.sell_limit = sell_limit;
    hf_story_set(version);
}

Test(ledger_faults, oversell_is_found_at_the_claim)
{
    /* 2 of 5 units are taken; a grant or a hold takes 4 more, a growing reservation as well, an
     * offer. */
    static const enum hf_state states[] = {HF_STATE_CONFIRMED, HF_STATE_HELD};
    for (size_t i = 0; i < 2; i++) {
        hf_story_begin();
        hf_story_make(10, HF_STATE_HELD, 2, 2);
        hf_story_expect_fault(hf_story_make(11, states[i], 4, 3),
                              "NO-OVERSELL is broken: inventory 1 has 2 units "
                              "held and confirmed and a sell limit of 5, and 4 "
                              "more are taken");
        hf_story_begin();
        hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
        hf_story_make(11, states[i], 3, 3);
        hf_story_move(11, states[i], HF_REASON_REQUEST, 4)->qty = 4;
        hf_story_expect_fault(hf_story_tell(11), "NO-OVERSELL");
    }
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 5, 2);
    hf_story_make(11, HF_STATE_WAITING, 1, 2);
    hf_story_expect_fault(hf_story_change(11, HF_STATE_HELD, HF_REASON_OFFER, 3), "NO-OVERSELL");
}

Test(ledger_faults, every_way_to_give_units_back_counts_once)
{
    /* All 5 units taken, given back in each way there is, and taken again; a sixth is too many. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_HELD, 5, 2);
    hf_story_change(10, HF_STATE_RELEASED, HF_REASON_REQUEST, 2);
    hf_story_make(11, HF_STATE_HELD, 5, 4);
    hf_story_change(11, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 4);
    hf_story_make(12, HF_STATE_CONFIRMED, 5, 6);
    hf_story_change(12, HF_STATE_CANCELLED, HF_REASON_REQUEST, 6);
    hf_story_make(13, HF_STATE_HELD, 5, 8);
    hf_story_move(13, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 8)->qty = 4;
    hf_story_tell(13);
    hf_story_make(14, HF_STATE_CONFIRMED, 1, 10);
    hf_story_move(13, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 10)->qty = 3;
    hf_story_tell(13);
    hf_story_make(15, HF_STATE_WAITING, 1, 10);
    hf_story_change(15, HF_STATE_HELD, HF_REASON_OFFER, 12);
    hf_story_expect_fault(hf_story_make(16, HF_STATE_CONFIRMED, 1, 13), "has 5 units");
}

Test(ledger_faults, oversell_by_a_release_that_comes_too_late_is_found)
{
    /* Units are granted again one record before the record that gives them back: what taking
     * LOG-BEFORE-RELEASE out does. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    hf_story_make(11, HF_STATE_CONFIRMED, 3, 3);
    uint64_t lsn = hf_story_make(12, HF_STATE_CONFIRMED, 2, 5);
    hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3);
    hf_story_expect_fault(lsn, "NO-OVERSELL");
}

Test(ledger_faults, a_lowered_limit_is_no_oversell_but_grants_nothing_more)
{
    /* The sell limit goes below what is taken (a deficit); then a unit is taken, while there is a
     * deficit, and when it is just gone. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    hf_story_make(11, HF_STATE_CONFIRMED, 1, 3);
    set_limit(1, 4);
    hf_story_expect_fault(hf_story_make(12, HF_STATE_CONFIRMED, 1, 5),
                          "a sell limit of 1 (a deficit)");
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    hf_story_make(11, HF_STATE_CONFIRMED, 1, 3);
    set_limit(1, 4);
    hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 4);
    hf_story_expect_fault(hf_story_make(12, HF_STATE_CONFIRMED, 1, 6),
                          "has 1 units held and confirmed and a sell "
                          "limit of 1, and");
}

Test(ledger_faults, a_claim_that_was_decided_before_a_lowering_may_come_behind_it)
{
    /* The claim has an older version than the record that lowers the limit to 3; it stays within the
     * limit before. Then with a raise and another lowering in between. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    set_limit(3, 4);
    hf_story_make(11, HF_STATE_CONFIRMED, 3, 3);
    hf_story_expect_sound("the claim before");

    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    set_limit(3, 4);
    set_limit(20, 5);
    hf_story_make(12, HF_STATE_CONFIRMED, 10, 6);
    set_limit(6, 8);
    hf_story_make(11, HF_STATE_CONFIRMED, 3, 3);
    hf_story_expect_sound("the highest limit since");

    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    set_limit(4, 4);
    set_limit(3, 5);
    hf_story_make(11, HF_STATE_CONFIRMED, 3, 3);
    hf_story_expect_sound("the limit before the first of two lowerings");

    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    set_limit(3, 4);
    hf_story_expect_fault(hf_story_make(11, HF_STATE_CONFIRMED, 4, 3),
                          "NO-OVERSELL"); /* above the old limit, too */

    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    set_limit(3, 4);
    hf_story_expect_fault(hf_story_make(11, HF_STATE_CONFIRMED, 3, 5),
                          "NO-OVERSELL"); /* decided after it */
}

Test(ledger_faults, a_lowering_of_an_earlier_run_excuses_nothing)
{
    /* What was in flight when the server stopped never comes behind its restart. The version is one
     * that an old claim could have. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 5, 2);
    set_limit(3, 3 + JUMP);
    hf_story_restart();
    hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3 + JUMP);
    hf_story_expect_fault(hf_story_make(11, HF_STATE_CONFIRMED, 4, 3 + 2 * JUMP), "NO-OVERSELL");
}

Test(ledger_faults, a_raised_limit_counts_from_its_record_on)
{
    /* A unit of a raise is taken behind its record, and before it. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 5, 2);
    set_limit(6, 2);
    hf_story_make(11, HF_STATE_CONFIRMED, 1, 4);
    hf_story_expect_sound("behind it");
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 5, 2);
    uint64_t lsn = hf_story_make(11, HF_STATE_CONFIRMED, 1, 4);
    set_limit(6, 2);
    hf_story_expect_fault(lsn, "NO-OVERSELL");
}

/* ---- states ----------------------------------------------------------------------------- */

/* The table of docs/log-format.md: from, to, reason. */
static const struct {
    unsigned from, to, reason;
} allowed[] = {
    {NONE, HF_STATE_HELD, HF_REASON_REQUEST},
    {NONE, HF_STATE_CONFIRMED, HF_REASON_REQUEST},
    {NONE, HF_STATE_WAITING, HF_REASON_REQUEST},
    {HF_STATE_HELD, HF_STATE_HELD, HF_REASON_REQUEST},
    {HF_STATE_HELD, HF_STATE_CONFIRMED, HF_REASON_REQUEST},
    {HF_STATE_HELD, HF_STATE_RELEASED, HF_REASON_REQUEST},
    {HF_STATE_HELD, HF_STATE_EXPIRED, HF_REASON_DEADLINE},
    {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_REASON_REQUEST},
    {HF_STATE_CONFIRMED, HF_STATE_CANCELLED, HF_REASON_REQUEST},
    {HF_STATE_WAITING, HF_STATE_HELD, HF_REASON_OFFER},
    {HF_STATE_WAITING, HF_STATE_CANCELLED, HF_REASON_REQUEST},
    {HF_STATE_WAITING, HF_STATE_CANCELLED, HF_REASON_LIMIT},
};

static bool is_allowed(unsigned from, unsigned to, unsigned reason)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (allowed[i].from == from && allowed[i].to == to && allowed[i].reason == reason)
            return true;
    }
    return false;
}

/* Brings reservation 10 to a state, of those made as `made_as`. False: none is made so. */
static bool bring_to(unsigned state, enum hf_state made_as)
{
    if (state == NONE)
        return made_as == HF_STATE_CONFIRMED;
    hf_story_make(10, made_as, 2, 2);
    if (state == made_as)
        return true;
    if (made_as == HF_STATE_CONFIRMED && state != HF_STATE_CANCELLED)
        return false;
    if (made_as != HF_STATE_CONFIRMED && state == HF_STATE_WAITING)
        return false;
    if (made_as == HF_STATE_HELD && state == HF_STATE_CANCELLED) {
        hf_story_change(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 2);
    } else if (made_as == HF_STATE_WAITING && state != HF_STATE_CANCELLED) {
        hf_story_change(10, HF_STATE_HELD, HF_REASON_OFFER, 3);
        if (state == HF_STATE_HELD)
            return true;
    }
    hf_story_change(10, state, state == HF_STATE_EXPIRED ? HF_REASON_DEADLINE : HF_REASON_REQUEST,
                    3);
    return true;
}

/* The next record of reservation 10, whatever it was. */
static uint64_t step_to(unsigned from, enum hf_state made_as, unsigned to, unsigned reason)
{
    if (from == NONE) {
        hf_story_prepare(10, (enum hf_state)to, 2, 5);
        hf_story.noted[10].reason = (uint8_t)reason;
        if (hf_state_is_final(to))
            hf_story.noted[10].made_as =
                reason == HF_REASON_LIMIT ? HF_STATE_WAITING : HF_STATE_HELD;
        return hf_story_tell(10);
    }
    hf_story_move(10, (enum hf_state)to, (enum hf_reason)reason, 5);
    if (from == to && to == HF_STATE_CONFIRMED)
        hf_story.known[10].qty = 1;
    if (to == HF_STATE_WAITING && made_as != HF_STATE_WAITING)
        hf_story.noted[10].made_as = HF_STATE_WAITING;
    return hf_story_tell(10);
}

/* True if no decoder takes the record for one. */
static bool is_no_image(void)
{
    uint8_t record[HF_RECORD_BYTES] = {0};
    struct hf_image image;
    hf_image_encode_reservation(record, &hf_story.known[10], &hf_story.noted[10]);
    return hf_image_decode(record, &image) != NULL;
}

Test(ledger_faults, only_what_the_table_of_states_allows_is_sound, .timeout = 300)
{
    /* Every state a reservation can have, by every way it can be made, then every other state for
     * every reason. */
    static const enum hf_state ways[] = {HF_STATE_CONFIRMED, HF_STATE_HELD, HF_STATE_WAITING};
    unsigned sound = 0, faults = 0;
    for (unsigned i = 0; i < 3 * 7 * 6 * 4; i++) {
        enum hf_state made_as = ways[i % 3];
        unsigned from = i / 3 % 7, to = 1 + i / 21 % 6, reason = i / 126;
        char what[128];
        hf_story_begin();
        if (!bring_to(from, made_as))
            continue;
        uint64_t lsn = step_to(from, made_as, to, reason);
        if (is_no_image())
            continue;
        snprintf(what, sizeof(what), "made as %d, from %u to %u for %u", made_as, from, to, reason);
        if (is_allowed(from, to, reason)) {
            hf_story_expect_sound(what);
            sound++;
        } else {
            hf_story_expect_fault(lsn, "");
            faults++;
        }
    }
    cr_expect_eq(sound, 20, "%u", sound);
    cr_expect_geq(faults, 60, "%u", faults);
}

Test(ledger_faults, nothing_changes_after_a_final_state)
{
    /* Units given back twice: with the next sequence, and as a grant of the same id. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
    hf_story_expect_fault(hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2),
                          "RESOLVES-ONCE");
    hf_story_begin();
    hf_story_make(10, HF_STATE_HELD, 2, 2);
    hf_story_change(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2);
    hf_story_expect_fault(hf_story_change(10, HF_STATE_RELEASED, HF_REASON_REQUEST, 2),
                          "RESOLVES-ONCE");
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
    hf_story_expect_fault(hf_story_make(10, HF_STATE_CONFIRMED, 2, 4), "RESOLVES-ONCE");
}

Test(ledger_faults, an_id_is_made_once_while_it_is_not_finished)
{
    /* The same id granted twice, as without the idempotency check; also with a later date. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 2, 2);
    hf_story_expect_fault(hf_story_make(10, HF_STATE_CONFIRMED, 2, 3),
                          "that is CONFIRMED is made once more");
    hf_story_begin();
    hf_story_make(10, HF_STATE_HELD, 2, 2);
    hf_story_prepare(10, HF_STATE_HELD, 2, 3)->made_at_ns++;
    hf_story.known[10].changed_at_ns++;
    hf_story_expect_fault(hf_story_tell(10), "that is HELD is made once more");
}

Test(ledger_faults, a_finished_id_may_be_used_again_later)
{
    /* The new one was made later than the old one was; it has other parameters, and is counted. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_CONFIRMED, 5, 2);
    hf_story_change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
    hf_story_prepare(10, HF_STATE_HELD, 5, 4)->made_at_ns += 1;
    hf_story.known[10].changed_at_ns = hf_story.known[10].made_at_ns;
    hf_story.known[10].customer_id = 4;
    hf_story_tell(10);
    hf_story_change(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 4);
    hf_story_expect_sound("used again");
    hf_story_expect_output("reservations: 1\nconfirmed: 1\ncancelled: 0\n", "counted");
    hf_story_expect_output("\nreused: 1\n", "counted");
}

static void skip_sequence(struct hf_reservation *reservation)
{
    reservation->sequence++;
}

static void same_sequence(struct hf_reservation *reservation)
{
    reservation->sequence--;
}

static void other_inventory(struct hf_reservation *reservation)
{
    reservation->inventory_id = 2;
}

static void other_customer(struct hf_reservation *reservation)
{
    reservation->customer_id++;
}

static void fewer(struct hf_reservation *reservation)
{
    reservation->qty--;
}

static void more(struct hf_reservation *reservation)
{
    reservation->qty++;
}

static void made_earlier(struct hf_reservation *reservation)
{
    reservation->made_at_ns--;
}

static void changed_earlier(struct hf_reservation *reservation)
{
    reservation->changed_at_ns -= 2;
}

static void longer(struct hf_reservation *reservation)
{
    reservation->deadline_ns++;
}

static void shorter(struct hf_reservation *reservation)
{
    reservation->deadline_ns--;
}

static void longer_for_another(struct hf_reservation *reservation)
{
    longer(reservation);
    other_customer(reservation);
}

static void fewer_for_another(struct hf_reservation *reservation)
{
    fewer(reservation);
    other_customer(reservation);
}

static void fewer_and_longer(struct hf_reservation *reservation)
{
    fewer(reservation);
    longer(reservation);
}

static void nothing(struct hf_reservation *reservation)
{
    (void)reservation;
}

Test(ledger_faults, a_change_changes_what_it_may_and_nothing_else)
{
    /* Every change that there is, with each field that it must not change, and those that it may
     * (word NULL). Reservation 10 changed once before, so that its date can go back. */
    static const struct {
        enum hf_state made_as, from, to;
        enum hf_reason reason;
        void (*spoil)(struct hf_reservation *reservation);
        const char *word;
    } cases[] = {
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CANCELLED, 0, skip_sequence,
         "has sequence 4, expected 3"},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CANCELLED, 0, same_sequence,
         "has sequence 2, expected 3"},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CANCELLED, 0, other_inventory,
         "changed its inventory"},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CANCELLED, 0, other_customer,
         "changed its customer"},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CANCELLED, 0, fewer,
         "changed its qty from 2 to 1"},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CANCELLED, 0, made_earlier,
         "changed its date of making"},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CANCELLED, 0, changed_earlier,
         "before its last change"},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, 0, fewer, NULL},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, 0, more, NULL},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, 0, other_customer, NULL},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, 0, nothing,
         "changed 0 things"},
        {HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, HF_STATE_CONFIRMED, 0, fewer_for_another,
         "changed 2 things"},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_HELD, 0, nothing, NULL},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_HELD, 0, fewer, NULL},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_HELD, 0, more, NULL},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_HELD, 0, other_customer, NULL},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_HELD, 0, longer, NULL},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_HELD, 0, shorter, "deadline moved back"},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_HELD, 0, longer_for_another, "changed 2 things"},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_HELD, 0, fewer_for_another, "changed 2 things"},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_HELD, 0, fewer_and_longer, "changed 2 things"},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_CONFIRMED, 0, nothing, NULL},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_CONFIRMED, 0, fewer, NULL},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_CONFIRMED, 0, more, "qty from 2 to 3"},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_CONFIRMED, 0, other_customer,
         "changed its customer"},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_RELEASED, 0, fewer, "qty from 2 to 1"},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_RELEASED, 0, other_customer,
         "changed its customer"},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_EXPIRED, HF_REASON_DEADLINE, fewer,
         "qty from 2 to 1"},
        {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_EXPIRED, HF_REASON_DEADLINE, nothing, NULL},
        {HF_STATE_WAITING, HF_STATE_WAITING, HF_STATE_HELD, HF_REASON_OFFER, fewer,
         "qty from 2 to 1"},
        {HF_STATE_WAITING, HF_STATE_WAITING, HF_STATE_HELD, HF_REASON_OFFER, other_customer,
         "changed its customer"},
        {HF_STATE_WAITING, HF_STATE_WAITING, HF_STATE_CANCELLED, HF_REASON_LIMIT, fewer,
         "qty from 2 to 1"},
        {HF_STATE_WAITING, HF_STATE_WAITING, HF_STATE_CANCELLED, HF_REASON_REQUEST, nothing, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hf_story_begin();
        hf_story_make(10, cases[i].made_as, 2, 2);
        if (cases[i].from != HF_STATE_WAITING) {
            hf_story_move(10, cases[i].from, HF_REASON_REQUEST, 2)->customer_id++;
            hf_story_tell(10);
        }
        cases[i].spoil(hf_story_move(10, cases[i].to, cases[i].reason, 3));
        uint64_t lsn = hf_story_tell(10);
        if (cases[i].word != NULL)
            hf_story_expect_fault(lsn, cases[i].word);
        else
            hf_story_expect_sound("a change that may be");
    }
}

Test(ledger_faults, a_reservation_begins_as_it_says)
{
    /* Its first image is missing; made as something else than it is. */
    hf_story_begin();
    hf_story_prepare(11, HF_STATE_CONFIRMED, 2, 2)->sequence = 2;
    hf_story_expect_fault(hf_story_tell(11), "sequence 2, expected 1");
    hf_story_begin();
    hf_story_prepare(11, HF_STATE_HELD, 2, 2);
    hf_story.noted[11].made_as = HF_STATE_WAITING;
    hf_story_expect_fault(hf_story_tell(11), "new reservation that is HELD was made as state 6");
    hf_story_begin();
    hf_story_prepare(11, HF_STATE_CONFIRMED, 2, 2);
    hf_story.noted[11].made_as = HF_STATE_HELD;
    hf_story_expect_fault(hf_story_tell(11),
                          "new reservation that is CONFIRMED was made as state 1");
    hf_story_begin();
    hf_story_make(11, HF_STATE_HELD, 2, 2);
    hf_story_move(11, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 2);
    hf_story.noted[11].made_as = 0;
    hf_story_expect_fault(hf_story_tell(11), "changed the state in which it was made");
}

Test(ledger_faults, deadlines_are_kept_to_the_nanosecond)
{
    /* An expiry at the deadline and 1 ns before; everything else 1 ns before and at the deadline. */
    static const enum hf_state others[] = {HF_STATE_HELD, HF_STATE_CONFIRMED, HF_STATE_RELEASED};
    hf_story_begin();
    hf_story_make(10, HF_STATE_HELD, 2, 2);
    hf_story_move(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2)->changed_at_ns--;
    hf_story_expect_fault(hf_story_tell(10), "a hold expired 1 ns before its deadline");
    for (size_t i = 0; i < 3; i++) {
        for (unsigned late = 0; late < 2; late++) {
            hf_story_begin();
            hf_story_make(10, HF_STATE_HELD, 2, 2);
            uint64_t deadline_ns = hf_story.known[10].deadline_ns;
            hf_story_move(10, others[i], HF_REASON_REQUEST, 2)->changed_at_ns =
                deadline_ns - 1 + late;
            if (others[i] == HF_STATE_HELD)
                hf_story.known[10].deadline_ns = deadline_ns + 100;
            uint64_t lsn = hf_story_tell(10);
            if (late)
                hf_story_expect_fault(lsn, "0 ns after its deadline");
            else
                hf_story_expect_sound("in time");
        }
    }
    hf_story_begin();
    hf_story_make(10, HF_STATE_HELD, 2, 2);
    hf_story_change(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2);
    hf_story_expect_sound("expired at the deadline");
}

Test(ledger_faults, a_hold_has_its_deadline_ahead)
{
    /* Held until just now, until just later, for 100 days, and for longer. */
    static const struct {
        uint64_t ttl_ns;
        const char *word;
    } cases[] = {
        {0, "when its deadline had passed"},
        {1, NULL},
        {HF_MAX_TTL_NS, NULL},
        {HF_MAX_TTL_NS + 1, "more than 100 days"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hf_story_begin();
        hf_story_prepare(10, HF_STATE_HELD, 2, 2);
        hf_story.known[10].deadline_ns = hf_story.known[10].changed_at_ns + cases[i].ttl_ns;
        uint64_t lsn = hf_story_tell(10);
        if (cases[i].word != NULL)
            hf_story_expect_fault(lsn, cases[i].word);
        else
            hf_story_expect_sound("a hold");
    }
}

Test(ledger_faults, what_is_made_from_a_lapsed_hold_is_that_customers)
{
    /* Linked to an expired hold, in one chain with its expiry as well; to one that still stands, to
     * none, with another customer, inventory, or more units; linked later. */
    hf_story_begin();
    hf_story_make(10, HF_STATE_HELD, 2, 2);
    hf_story_change(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2);
    hf_story_prepare(11, HF_STATE_CONFIRMED, 1, 4)->linked_id = hf_story.known[10].id;
    hf_story.known[11].customer_id = hf_story.known[10].customer_id;
    hf_story_tell(11);
    hf_story_move(11, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 5)->qty = 3;
    hf_story_tell(11);
    hf_story_move(11, HF_STATE_CANCELLED, HF_REASON_REQUEST, 5)->linked_id = (struct hf_id){{0}};
    hf_story_tell(11);
    hf_story_expect_sound("fewer units, changed later");

    hf_story_begin();
    hf_story_make(10, HF_STATE_HELD, 2, 2);
    hf_story_begin_chain(2);
    hf_story_prepare(11, HF_STATE_CONFIRMED, 2, 2)->linked_id = hf_story.known[10].id;
    hf_story.known[11].customer_id = hf_story.known[10].customer_id;
    hf_story_tell(11);
    hf_story_change(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2);
    hf_story_expect_sound("in one chain");

    static const struct {
        void (*spoil)(struct hf_reservation *reservation);
        const char *word;
    } cases[] = {
        {other_customer, "of another inventory or customer"},
        {other_inventory, "of another inventory or customer"},
        {more, "of fewer units"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hf_story_begin();
        hf_story_make(10, HF_STATE_HELD, 2, 2);
        hf_story_change(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2);
        hf_story_prepare(11, HF_STATE_CONFIRMED, 2, 4)->linked_id = hf_story.known[10].id;
        hf_story.known[11].customer_id = hf_story.known[10].customer_id;
        cases[i].spoil(&hf_story.known[11]);
        hf_story_expect_fault(hf_story_tell(11), cases[i].word);
    }
    hf_story_begin();
    hf_story_make(10, HF_STATE_HELD, 2, 2);
    hf_story_prepare(11, HF_STATE_CONFIRMED, 2, 4)->linked_id = hf_story.known[10].id;
    hf_story.known[11].customer_id = hf_story.known[10].customer_id;
    hf_story_expect_fault(hf_story_tell(11), "linked to one that is not EXPIRED");
    hf_story_begin();
    hf_story_prepare(11, HF_STATE_CONFIRMED, 2, 4)->linked_id = (struct hf_id){{9}};
    hf_story_expect_fault(hf_story_tell(11), "linked to one that is not EXPIRED");
}

/* ---- records that are none -------------------------------------------------------------- */

/* Words of what the ledger says, by the fault of a vector. */
static const struct {
    const char *fault, *word;
} fault_words[] = {
    {"kind", "of kind"},
    {"state", "has state"},
    {"chain_index", "has place"},
    {"chain_length", "a chain has"},
    {"qty", "has qty"},
    {"reservation_id", "id zero"},
    {"changed_at_ns", "before it was made"},
    {"deadline_ns, state", "deadline"},
    {"sequence", "sequence 0"},
    {"linked_id", "linked to itself"},
    {"linked_id, made_as", "is linked"},
    {"made_as", "was made as state"},
    {"made_as, state", "was made as state"},
    {"flags", "has flags"},
    {"flags, state", "took the last unit"},
    {"reason", "for reason 4, which is unknown"},
    {"reason, state", "for reason"},
    {"reason, made_as", "that never waited"},
    {"zero", "reserved"},
    {"capacity", "has capacity"},
    {"sell_limit", "has sell limit"},
    {"min_qty, max_qty", "units a claim and at most"},
    {"longest_hold_ns", "allows holds"},
    {"offer_ttl_ns", "offers stand"},
    {"event", "an event is of kind"},
    {"available", "available units"},
};

static void check_bad_vector(const struct hf_vector *vector)
{
    const char *fault = hf_vector_text(vector, "fault"), *word = NULL;
    for (size_t i = 0; i < sizeof(fault_words) / sizeof(fault_words[0]); i++) {
        if (strcmp(fault_words[i].fault, fault) == 0)
            word = fault_words[i].word;
    }
    cr_assert_not_null(word, "%s", fault);
    hf_story_begin();
    hf_story_expect_fault(hf_log_builder_record(&hf_story.builder, vector->bytes), word);
}

Test(ledger_faults, vectors_of_what_is_no_record_are_found)
{
    /* Every rule about one record, broken by itself, under right hashes. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "bad_record", check_bad_vector), 40);
}

Test(ledger_faults, a_record_that_is_none_is_dumped_as_its_bytes)
{
    /* A qty of 0, in JSON. */
    hf_story_begin();
    hf_story_prepare(10, HF_STATE_CONFIRMED, 1, 2)->qty = 0;
    hf_story_tell(10);
    hf_log_builder_block(&hf_story.builder, 0);
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfast-wal", program);
    const char *const argv[] = {program, "dump", hf_story.builder.directory, "--json", NULL};
    cr_expect_eq(hf_process_run(argv, hf_story.output, sizeof(hf_story.output)), 1);
    cr_expect_not_null(
        strstr(hf_story.output, "\"kind\":\"unknown\",\"reason\":\"qty is not in 1 .. "));
}
