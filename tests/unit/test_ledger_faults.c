/*
 * The ledger of holdfast-wal: what a log must never say is planted in one and must be found, with
 * the right LSN; and what looks like it but is sound is not. The logs are valid as far as blocks and
 * decoding go: only the ledger can find these.
 *
 * A story is told record by record: begin(), then make() and change() of reservations by number,
 * set() of inventory 1, and at last expect_sound() or expect_fault().
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/lib/log_builder.h"
#include "tests/lib/vectors.h"

#define VECTORS_PATH "docs/vectors/log-format.txt"
#define NUMBERS      256
#define NONE         0u /* the state of what was not made */
#define JUMP         (1u << 20)

static struct hf_log_builder builder;
static char output[65536];

/* As they were told last. */
static struct hf_reservation known[NUMBERS];
static struct hf_image_notes noted[NUMBERS];
static struct hf_inventory inventory;
static struct hf_settings settings;
static uint32_t settings_sequence;
static uint8_t chain_index, chain_length; /* of the next record; 0: it is no chain's */

static void open_builder(void)
{
    hf_log_builder_open(&builder, HF_BUILDER_MIN_BYTES);
}

static void close_builder(void)
{
    hf_log_builder_close(&builder);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(ledger_faults, .init = open_builder, .fini = close_builder);

static int verify(void)
{
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfast-wal", program);
    const char *const argv[] = {program, "verify", builder.directory, NULL};
    return hf_process_run(argv, output, sizeof(output));
}

/* ---- telling ---------------------------------------------------------------------------- */

/* START; inventory 1, of 5 units, and 2, of 5 units, both made with version 1. */
static void begin(void)
{
    hf_log_builder_close(&builder);
    hf_log_builder_open(&builder, HF_BUILDER_MIN_BYTES);
    memset(known, 0, sizeof(known));
    memset(noted, 0, sizeof(noted));
    chain_length = 0;
    hf_log_builder_block(&builder, HF_BLOCK_START);
    inventory = hf_builder_inventory(1, 5);
    settings = hf_builder_settings(5);
    settings_sequence = 1;
    hf_log_builder_set(&builder, &inventory, &settings, 1);
    hf_log_builder_inventory(&builder, 2, 5);
}

/* The next `length` records of reservations are a chain. */
static void begin_chain(uint8_t length)
{
    chain_index = 0;
    chain_length = length;
}

/* The record of a reservation as it is known. */
static uint64_t tell(unsigned number)
{
    noted[number].chain_index = chain_length != 0 ? chain_index : 0;
    noted[number].chain_length = chain_length;
    uint64_t lsn = hf_log_builder_image(&builder, &known[number], &noted[number]);
    if (chain_length != 0 && ++chain_index == chain_length)
        chain_length = 0;
    return lsn;
}

/* As make(), but not told yet. */
static struct hf_reservation *prepare(unsigned number, enum hf_state state, uint32_t qty,
                                      uint32_t version)
{
    known[number] = hf_builder_reservation(number, 1, qty, state);
    known[number].sequence = 1;
    noted[number] = (struct hf_image_notes){
        .inventory_version = version,
        .made_as = state == HF_STATE_CONFIRMED ? 0 : (uint8_t)state,
    };
    return &known[number];
}

/* A new reservation of inventory 1. */
static uint64_t make(unsigned number, enum hf_state state, uint32_t qty, uint32_t version)
{
    prepare(number, state, qty, version);
    return tell(number);
}

/* As change(), but not told yet. */
static struct hf_reservation *move(unsigned number, enum hf_state state, enum hf_reason reason,
                                   uint32_t version)
{
    struct hf_reservation *reservation = &known[number];
    bool was_held = reservation->state == HF_STATE_HELD;
    reservation->changed_at_ns = state == HF_STATE_EXPIRED && was_held
                                     ? reservation->deadline_ns
                                     : reservation->changed_at_ns + 1;
    if (state != HF_STATE_HELD)
        reservation->deadline_ns = 0;
    else if (!was_held)
        reservation->deadline_ns = reservation->changed_at_ns + HF_BUILDER_TTL_NS;
    reservation->state = state;
    reservation->sequence++;
    noted[number].reason = (uint8_t)reason;
    noted[number].inventory_version = version;
    noted[number].flags = 0;
    return reservation;
}

/* The next change of a reservation: an EXPIRED one at its deadline, others 1 ns later. */
static uint64_t change(unsigned number, enum hf_state state, enum hf_reason reason,
                       uint32_t version)
{
    move(number, state, reason, version);
    return tell(number);
}

/* The settings as they are now, of inventory 1. */
static uint64_t set(uint32_t version)
{
    inventory.version = version;
    return hf_log_builder_set(&builder, &inventory, &settings, ++settings_sequence);
}

static void restart(void)
{
    if (builder.next.record_count != 0)
        hf_log_builder_block(&builder, 0);
    hf_log_builder_block(&builder, HF_BLOCK_START);
}

/* ---- expecting -------------------------------------------------------------------------- */

static void expect_output(const char *text, const char *what)
{
    cr_expect_not_null(strstr(output, text), "%s: '%s' is not in:\n%s", what, text, output);
}

static void expect_sound(const char *what)
{
    hf_log_builder_block(&builder, 0);
    cr_expect_eq(verify(), 0, "%s: %s", what, output);
}

/* Something sound is behind it. */
static void expect_fault(uint64_t lsn, const char *word)
{
    uint32_t first = (uint32_t)builder.next.first_lsn;
    hf_log_builder_inventory(&builder, 99, 1);
    uint32_t number = hf_log_builder_block(&builder, 0);
    cr_expect_eq(verify(), 1, "%s: %s", word, output);
    char place[128];
    snprintf(place, sizeof(place),
             "fault: LSN %llu, 0000000000000001.wal at %llu: ", (unsigned long long)lsn,
             (unsigned long long)(builder.blocks[number].offset + 128 + (lsn - first) * 128));
    expect_output(place, word);
    expect_output(word, word);
    expect_output("\nverify: FAILED\n", word);
    cr_expect_null(strstr(output, "state_hash"), "no hash of an unsound state");
}

/* ---- units ------------------------------------------------------------------------------ */

Test(ledger_faults, oversell_is_found_at_the_claim)
{
    /* 2 of 5 units are taken; a grant or a hold takes 4 more, a growing reservation as well, an
     * offer. */
    static const enum hf_state states[] = {HF_STATE_CONFIRMED, HF_STATE_HELD};
    for (size_t i = 0; i < 2; i++) {
        begin();
        make(10, HF_STATE_HELD, 2, 2);
        expect_fault(make(11, states[i], 4, 3), "NO-OVERSELL is broken: inventory 1 has 2 units "
                                                "held and confirmed and a sell limit of 5, and 4 "
                                                "more are taken");
        begin();
        make(10, HF_STATE_CONFIRMED, 2, 2);
        make(11, states[i], 3, 3);
        move(11, states[i], HF_REASON_REQUEST, 4)->qty = 4;
        expect_fault(tell(11), "NO-OVERSELL");
    }
    begin();
    make(10, HF_STATE_CONFIRMED, 5, 2);
    make(11, HF_STATE_WAITING, 1, 2);
    expect_fault(change(11, HF_STATE_HELD, HF_REASON_OFFER, 3), "NO-OVERSELL");
}

Test(ledger_faults, every_way_to_give_units_back_counts_once)
{
    /* All 5 units taken, given back in each way there is, and taken again; a sixth is too many. */
    begin();
    make(10, HF_STATE_HELD, 5, 2);
    change(10, HF_STATE_RELEASED, HF_REASON_REQUEST, 2);
    make(11, HF_STATE_HELD, 5, 4);
    change(11, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 4);
    make(12, HF_STATE_CONFIRMED, 5, 6);
    change(12, HF_STATE_CANCELLED, HF_REASON_REQUEST, 6);
    make(13, HF_STATE_HELD, 5, 8);
    move(13, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 8)->qty = 4;
    tell(13);
    make(14, HF_STATE_CONFIRMED, 1, 10);
    move(13, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 10)->qty = 3;
    tell(13);
    make(15, HF_STATE_WAITING, 1, 10);
    change(15, HF_STATE_HELD, HF_REASON_OFFER, 12);
    expect_fault(make(16, HF_STATE_CONFIRMED, 1, 13), "has 5 units");
}

Test(ledger_faults, oversell_by_a_release_that_comes_too_late_is_found)
{
    /* Units are granted again one record before the record that gives them back: what taking
     * LOG-BEFORE-RELEASE out does. */
    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    make(11, HF_STATE_CONFIRMED, 3, 3);
    uint64_t lsn = make(12, HF_STATE_CONFIRMED, 2, 5);
    change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3);
    expect_fault(lsn, "NO-OVERSELL");
}

Test(ledger_faults, a_lowered_limit_is_no_oversell_but_grants_nothing_more)
{
    /* The sell limit goes below what is taken (a deficit); then a unit is taken, while there is a
     * deficit, and when it is just gone. */
    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    make(11, HF_STATE_CONFIRMED, 1, 3);
    settings.sell_limit = 1;
    set(4);
    expect_fault(make(12, HF_STATE_CONFIRMED, 1, 5), "a sell limit of 1 (a deficit)");
    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    make(11, HF_STATE_CONFIRMED, 1, 3);
    settings.sell_limit = 1;
    set(4);
    change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 4);
    expect_fault(make(12, HF_STATE_CONFIRMED, 1, 6), "has 1 units held and confirmed and a sell "
                                                     "limit of 1, and");
}

Test(ledger_faults, a_claim_that_was_decided_before_a_lowering_may_come_behind_it)
{
    /* The claim has an older version than the record that lowers the limit to 3; it stays within the
     * limit before. Then with a raise and another lowering in between. */
    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    settings.sell_limit = 3;
    set(4);
    make(11, HF_STATE_CONFIRMED, 3, 3);
    expect_sound("the claim before");

    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    settings.sell_limit = 3;
    set(4);
    settings.sell_limit = 20;
    set(5);
    make(12, HF_STATE_CONFIRMED, 10, 6);
    settings.sell_limit = 6;
    set(8);
    make(11, HF_STATE_CONFIRMED, 3, 3);
    expect_sound("the highest limit since");

    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    settings.sell_limit = 3;
    set(4);
    expect_fault(make(11, HF_STATE_CONFIRMED, 4, 3), "NO-OVERSELL"); /* above the old limit, too */

    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    settings.sell_limit = 3;
    set(4);
    expect_fault(make(11, HF_STATE_CONFIRMED, 3, 5), "NO-OVERSELL"); /* decided after it */
}

Test(ledger_faults, a_lowering_of_an_earlier_run_excuses_nothing)
{
    /* What was in flight when the server stopped never comes behind its restart. The version is one
     * that an old claim could have. */
    begin();
    make(10, HF_STATE_CONFIRMED, 5, 2);
    settings.sell_limit = 3;
    set(3 + JUMP);
    restart();
    change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3 + JUMP);
    expect_fault(make(11, HF_STATE_CONFIRMED, 4, 3 + 2 * JUMP), "NO-OVERSELL");
}

Test(ledger_faults, a_raised_limit_counts_from_its_record_on)
{
    /* A unit of a raise is taken behind its record, and before it. */
    begin();
    make(10, HF_STATE_CONFIRMED, 5, 2);
    settings.sell_limit = 6;
    set(2);
    make(11, HF_STATE_CONFIRMED, 1, 4);
    expect_sound("behind it");
    begin();
    make(10, HF_STATE_CONFIRMED, 5, 2);
    uint64_t lsn = make(11, HF_STATE_CONFIRMED, 1, 4);
    settings.sell_limit = 6;
    set(2);
    expect_fault(lsn, "NO-OVERSELL");
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
    make(10, made_as, 2, 2);
    if (state == made_as)
        return true;
    if (made_as == HF_STATE_CONFIRMED && state != HF_STATE_CANCELLED)
        return false;
    if (made_as != HF_STATE_CONFIRMED && state == HF_STATE_WAITING)
        return false;
    if (made_as == HF_STATE_HELD && state == HF_STATE_CANCELLED) {
        change(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 2);
    } else if (made_as == HF_STATE_WAITING && state != HF_STATE_CANCELLED) {
        change(10, HF_STATE_HELD, HF_REASON_OFFER, 3);
        if (state == HF_STATE_HELD)
            return true;
    }
    change(10, state, state == HF_STATE_EXPIRED ? HF_REASON_DEADLINE : HF_REASON_REQUEST, 3);
    return true;
}

/* The next record of reservation 10, whatever it was. */
static uint64_t step_to(unsigned from, enum hf_state made_as, unsigned to, unsigned reason)
{
    if (from == NONE) {
        prepare(10, (enum hf_state)to, 2, 5);
        noted[10].reason = (uint8_t)reason;
        if (hf_state_is_final(to))
            noted[10].made_as = reason == HF_REASON_LIMIT ? HF_STATE_WAITING : HF_STATE_HELD;
        return tell(10);
    }
    move(10, (enum hf_state)to, (enum hf_reason)reason, 5);
    if (from == to && to == HF_STATE_CONFIRMED)
        known[10].qty = 1;
    if (to == HF_STATE_WAITING && made_as != HF_STATE_WAITING)
        noted[10].made_as = HF_STATE_WAITING;
    return tell(10);
}

/* True if no decoder takes the record for one. */
static bool is_no_image(void)
{
    uint8_t record[HF_RECORD_BYTES] = {0};
    struct hf_image image;
    hf_image_encode_reservation(record, &known[10], &noted[10]);
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
        begin();
        if (!bring_to(from, made_as))
            continue;
        uint64_t lsn = step_to(from, made_as, to, reason);
        if (is_no_image())
            continue;
        snprintf(what, sizeof(what), "made as %d, from %u to %u for %u", made_as, from, to, reason);
        if (is_allowed(from, to, reason)) {
            expect_sound(what);
            sound++;
        } else {
            hf_log_builder_block(&builder, 0);
            cr_expect_eq(verify(), 1, "%s: %s", what, output);
            char place[64];
            snprintf(place, sizeof(place), "fault: LSN %llu, ", (unsigned long long)lsn);
            expect_output(place, what);
            faults++;
        }
    }
    cr_expect_eq(sound, 20, "%u", sound);
    cr_expect_geq(faults, 60, "%u", faults);
}

Test(ledger_faults, nothing_changes_after_a_final_state)
{
    /* Units given back twice: with the next sequence, and as a grant of the same id. */
    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
    expect_fault(change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2), "RESOLVES-ONCE");
    begin();
    make(10, HF_STATE_HELD, 2, 2);
    change(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2);
    expect_fault(change(10, HF_STATE_RELEASED, HF_REASON_REQUEST, 2), "RESOLVES-ONCE");
    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
    expect_fault(make(10, HF_STATE_CONFIRMED, 2, 4), "RESOLVES-ONCE");
}

Test(ledger_faults, an_id_is_made_once_while_it_is_not_finished)
{
    /* The same id granted twice, as without the idempotency check; also with a later date. */
    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    expect_fault(make(10, HF_STATE_CONFIRMED, 2, 3), "that is CONFIRMED is made once more");
    begin();
    make(10, HF_STATE_HELD, 2, 2);
    prepare(10, HF_STATE_HELD, 2, 3)->made_at_ns++;
    known[10].changed_at_ns++;
    expect_fault(tell(10), "that is HELD is made once more");
}

Test(ledger_faults, a_finished_id_may_be_used_again_later)
{
    /* The new one was made later than the old one was; it has other parameters, and is counted. */
    begin();
    make(10, HF_STATE_CONFIRMED, 5, 2);
    change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
    prepare(10, HF_STATE_HELD, 5, 4)->made_at_ns += 1;
    known[10].changed_at_ns = known[10].made_at_ns;
    known[10].customer_id = 4;
    tell(10);
    change(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 4);
    expect_sound("used again");
    expect_output("reservations: 1\nconfirmed: 1\ncancelled: 0\n", "counted");
    expect_output("\nreused: 1\n", "counted");
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
        begin();
        make(10, cases[i].made_as, 2, 2);
        if (cases[i].from != HF_STATE_WAITING) {
            move(10, cases[i].from, HF_REASON_REQUEST, 2)->customer_id++;
            tell(10);
        }
        cases[i].spoil(move(10, cases[i].to, cases[i].reason, 3));
        uint64_t lsn = tell(10);
        if (cases[i].word != NULL)
            expect_fault(lsn, cases[i].word);
        else
            expect_sound("a change that may be");
    }
}

Test(ledger_faults, a_reservation_begins_as_it_says)
{
    /* Its first image is missing; made as something else than it is. */
    begin();
    prepare(11, HF_STATE_CONFIRMED, 2, 2)->sequence = 2;
    expect_fault(tell(11), "sequence 2, expected 1");
    begin();
    prepare(11, HF_STATE_HELD, 2, 2);
    noted[11].made_as = HF_STATE_WAITING;
    expect_fault(tell(11), "new reservation that is HELD was made as state 6");
    begin();
    prepare(11, HF_STATE_CONFIRMED, 2, 2);
    noted[11].made_as = HF_STATE_HELD;
    expect_fault(tell(11), "new reservation that is CONFIRMED was made as state 1");
    begin();
    make(11, HF_STATE_HELD, 2, 2);
    move(11, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 2);
    noted[11].made_as = 0;
    expect_fault(tell(11), "changed the state in which it was made");
}

Test(ledger_faults, deadlines_are_kept_to_the_nanosecond)
{
    /* An expiry at the deadline and 1 ns before; everything else 1 ns before and at the deadline. */
    static const enum hf_state others[] = {HF_STATE_HELD, HF_STATE_CONFIRMED, HF_STATE_RELEASED};
    begin();
    make(10, HF_STATE_HELD, 2, 2);
    move(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2)->changed_at_ns--;
    expect_fault(tell(10), "a hold expired 1 ns before its deadline");
    for (size_t i = 0; i < 3; i++) {
        for (unsigned late = 0; late < 2; late++) {
            begin();
            make(10, HF_STATE_HELD, 2, 2);
            uint64_t deadline_ns = known[10].deadline_ns;
            move(10, others[i], HF_REASON_REQUEST, 2)->changed_at_ns = deadline_ns - 1 + late;
            if (others[i] == HF_STATE_HELD)
                known[10].deadline_ns = deadline_ns + 100;
            uint64_t lsn = tell(10);
            if (late)
                expect_fault(lsn, "0 ns after its deadline");
            else
                expect_sound("in time");
        }
    }
    begin();
    make(10, HF_STATE_HELD, 2, 2);
    change(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2);
    expect_sound("expired at the deadline");
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
        begin();
        prepare(10, HF_STATE_HELD, 2, 2);
        known[10].deadline_ns = known[10].changed_at_ns + cases[i].ttl_ns;
        uint64_t lsn = tell(10);
        if (cases[i].word != NULL)
            expect_fault(lsn, cases[i].word);
        else
            expect_sound("a hold");
    }
}

Test(ledger_faults, what_is_made_from_a_lapsed_hold_is_that_customers)
{
    /* Linked to an expired hold, in one chain with its expiry as well; to one that still stands, to
     * none, with another customer, inventory, or more units; linked later. */
    begin();
    make(10, HF_STATE_HELD, 2, 2);
    change(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2);
    prepare(11, HF_STATE_CONFIRMED, 1, 4)->linked_id = known[10].id;
    known[11].customer_id = known[10].customer_id;
    tell(11);
    move(11, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 5)->qty = 3;
    tell(11);
    move(11, HF_STATE_CANCELLED, HF_REASON_REQUEST, 5)->linked_id = (struct hf_id){{0}};
    tell(11);
    expect_sound("fewer units, changed later");

    begin();
    make(10, HF_STATE_HELD, 2, 2);
    begin_chain(2);
    prepare(11, HF_STATE_CONFIRMED, 2, 2)->linked_id = known[10].id;
    known[11].customer_id = known[10].customer_id;
    tell(11);
    change(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2);
    expect_sound("in one chain");

    static const struct {
        void (*spoil)(struct hf_reservation *reservation);
        const char *word;
    } cases[] = {
        {other_customer, "of another inventory or customer"},
        {other_inventory, "of another inventory or customer"},
        {more, "of fewer units"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        make(10, HF_STATE_HELD, 2, 2);
        change(10, HF_STATE_EXPIRED, HF_REASON_DEADLINE, 2);
        prepare(11, HF_STATE_CONFIRMED, 2, 4)->linked_id = known[10].id;
        known[11].customer_id = known[10].customer_id;
        cases[i].spoil(&known[11]);
        expect_fault(tell(11), cases[i].word);
    }
    begin();
    make(10, HF_STATE_HELD, 2, 2);
    prepare(11, HF_STATE_CONFIRMED, 2, 4)->linked_id = known[10].id;
    known[11].customer_id = known[10].customer_id;
    expect_fault(tell(11), "linked to one that is not EXPIRED");
    begin();
    prepare(11, HF_STATE_CONFIRMED, 2, 4)->linked_id = (struct hf_id){{9}};
    expect_fault(tell(11), "linked to one that is not EXPIRED");
}

/* ---- settings --------------------------------------------------------------------------- */

/* A second record of inventory 1, with one field set. */
static uint64_t add_inventory(unsigned offset, uint64_t value, unsigned bytes)
{
    uint8_t record[HF_RECORD_BYTES] = {0}, field[8];
    hf_image_encode_inventory(record, &inventory, &settings, 2, HF_BUILDER_MADE_AT + 10);
    hf_put_u64(field, value);
    memcpy(record + offset, field, bytes);
    return hf_log_builder_record(&builder, record);
}

Test(ledger_faults, inventories_that_change_what_they_must_not_are_found)
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
        begin();
        expect_fault(add_inventory(cases[i].offset, cases[i].value, cases[i].bytes), cases[i].word);
    }
    begin();
    add_inventory(32, 7, 4);
    settings_sequence = 2;
    expect_fault(set(1), "inventory 1 changed before its last change");
}

Test(ledger_faults, what_belongs_to_an_unknown_inventory_is_found)
{
    /* The inventory is made one record later. */
    begin();
    prepare(11, HF_STATE_CONFIRMED, 1, 2)->inventory_id = 3;
    uint64_t lsn = tell(11);
    hf_log_builder_inventory(&builder, 3, 5);
    expect_fault(lsn, "inventory 3 of a reservation was never made");
    begin();
    struct hf_inventory event = {.inventory_id = 3, .available = 1, .version = 1};
    uint8_t record[HF_RECORD_BYTES] = {0};
    hf_image_encode_event(record, HF_EVENT_AVAILABLE_AGAIN, &event, HF_BUILDER_MADE_AT);
    lsn = hf_log_builder_record(&builder, record);
    hf_log_builder_inventory(&builder, 3, 5);
    expect_fault(lsn, "inventory 3 of an event was never made");
}

static void pause_sales(void)
{
    settings.flags = HF_INVENTORY_PAUSED;
}

static void close_sales(void)
{
    settings.flags = HF_INVENTORY_CLOSED;
}

static void want_more(void)
{
    settings.min_qty = 3;
}

static void want_fewer(void)
{
    settings.max_qty = 1;
}

static void open_later(void) /* reservation 10 is made 10 ns later than inventory 1 */
{
    settings.opens_at_ns = HF_BUILDER_MADE_AT + 11;
}

static void close_earlier(void)
{
    settings.closes_at_ns = HF_BUILDER_MADE_AT + 10;
}

static void hold_shorter(void)
{
    settings.longest_hold_ns = HF_BUILDER_TTL_NS - 1;
}

static void just_enough(void)
{
    settings = (struct hf_settings){
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

Test(ledger_faults, a_claim_obeys_the_settings_in_force)
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
        begin();
        cases[i].forbid();
        set(5);
        uint64_t lsn = make(10, HF_STATE_HELD, 2, 6);
        if (cases[i].word != NULL)
            expect_fault(lsn, cases[i].word);
        else
            expect_sound("just allowed");
        begin();
        cases[i].forbid();
        set(5);
        make(10, HF_STATE_HELD, 2, 4);
        expect_sound("decided before");
    }
}

Test(ledger_faults, settings_forbid_claims_and_nothing_else)
{
    /* While sales are paused: confirm, release, cancel, fewer, another customer, an offer. Then a
     * growing reservation. */
    begin();
    make(10, HF_STATE_HELD, 1, 2);
    make(11, HF_STATE_HELD, 1, 3);
    make(12, HF_STATE_CONFIRMED, 2, 4);
    make(13, HF_STATE_WAITING, 1, 4);
    pause_sales();
    set(5);
    change(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 6);
    change(11, HF_STATE_RELEASED, HF_REASON_REQUEST, 6);
    move(12, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 7)->customer_id++;
    tell(12);
    move(12, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 7)->qty = 1;
    tell(12);
    change(13, HF_STATE_HELD, HF_REASON_OFFER, 9);
    change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 9);
    move(12, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 11)->qty = 2;
    expect_fault(tell(12), "when its sales were paused");
}

Test(ledger_faults, a_sale_that_is_closed_by_selling_out_stays_closed)
{
    /* The last unit, then a claim: with a newer version and an older one, behind it in the log and
     * before it; an offer; when the sale was opened again. */
    for (unsigned older = 0; older < 2; older++) {
        begin();
        settings.flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT;
        set(2);
        make(10, HF_STATE_CONFIRMED, 4, 4);
        noted[10].flags = HF_IMAGE_FLAG_SOLD_OUT;
        prepare(11, HF_STATE_CONFIRMED, 1, 5);
        noted[11].flags = HF_IMAGE_FLAG_SOLD_OUT;
        tell(11);
        change(11, HF_STATE_CANCELLED, HF_REASON_REQUEST, 5);
        uint64_t lsn = make(12, HF_STATE_CONFIRMED, 1, older ? 3 : 7);
        if (older)
            expect_sound("decided before");
        else
            expect_fault(lsn, "inventory 1 was closed by selling out, at version 5, and a claim "
                              "with version 7 took units");
    }
    begin();
    settings.flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT;
    set(2);
    make(12, HF_STATE_CONFIRMED, 1, 7);
    prepare(11, HF_STATE_CONFIRMED, 1, 5);
    noted[11].flags = HF_IMAGE_FLAG_SOLD_OUT;
    expect_fault(tell(11), "was closed by selling out");

    begin();
    settings.flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT;
    set(2);
    prepare(10, HF_STATE_CONFIRMED, 5, 4);
    noted[10].flags = HF_IMAGE_FLAG_SOLD_OUT;
    tell(10);
    make(11, HF_STATE_WAITING, 1, 4);
    change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 4);
    change(11, HF_STATE_HELD, HF_REASON_OFFER, 6);
    set(6); /* reopened */
    make(12, HF_STATE_CONFIRMED, 1, 8);
    expect_sound("an offer, and a claim after it was reopened");

    begin();
    settings.flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT | HF_INVENTORY_SOLD_OUT_CLOSED;
    set(6);
    expect_fault(make(12, HF_STATE_CONFIRMED, 1, 7), "closed by selling out, at version 6");
}

Test(ledger_faults, claims_above_a_customers_limit_are_counted)
{
    /* A limit of 2, set when the customer had 1 already: one more, one too many, a growth, a move to
     * the customer, one of another customer; it grows smaller again. */
    begin();
    prepare(10, HF_STATE_CONFIRMED, 1, 2)->customer_id = 5;
    tell(10);
    settings.customer_limit = 2;
    set(3);
    prepare(11, HF_STATE_CONFIRMED, 1, 4)->customer_id = 5;
    tell(11);
    expect_sound("within the limit");
    expect_output("above_customer_limit: 0\n", "within the limit");

    prepare(12, HF_STATE_HELD, 1, 5)->customer_id = 5; /* 3: above */
    tell(12);
    make(13, HF_STATE_HELD, 1, 6);
    move(13, HF_STATE_HELD, HF_REASON_REQUEST, 6)->customer_id = 5; /* 4: above */
    tell(13);
    change(11, HF_STATE_CANCELLED, HF_REASON_REQUEST, 6);
    change(12, HF_STATE_RELEASED, HF_REASON_REQUEST, 7);
    move(13, HF_STATE_HELD, HF_REASON_REQUEST, 8)->customer_id = 6; /* leaves 1 */
    tell(13);
    move(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 9)->qty = 2;
    tell(10);
    move(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 10)->qty = 3; /* above */
    tell(10);
    expect_sound("an operator may");
    expect_output("above_customer_limit: 3\n", "counted");
}

/* ---- the waiting list ------------------------------------------------------------------- */

Test(ledger_faults, nobody_passes_a_waiting_list)
{
    /* A list was joined at version 3; a claim of what is left, with a newer version and an older; a
     * growing reservation; when the list is empty again. */
    begin();
    make(10, HF_STATE_CONFIRMED, 3, 2);
    make(11, HF_STATE_WAITING, 3, 3);
    expect_fault(make(12, HF_STATE_HELD, 1, 4), "that a waiting list stands before");
    begin();
    make(10, HF_STATE_CONFIRMED, 3, 2);
    make(11, HF_STATE_WAITING, 3, 3);
    make(12, HF_STATE_HELD, 1, 3);
    expect_sound("decided before");
    begin();
    make(10, HF_STATE_CONFIRMED, 3, 2);
    make(11, HF_STATE_WAITING, 3, 3);
    move(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 4)->qty = 4;
    expect_fault(tell(10), "that a waiting list stands before");
    begin();
    make(10, HF_STATE_CONFIRMED, 3, 2);
    make(11, HF_STATE_WAITING, 3, 3);
    make(13, HF_STATE_WAITING, 1, 3);
    change(11, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3);
    change(13, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3);
    make(12, HF_STATE_HELD, 1, 4);
    expect_sound("the list has ended");
}

Test(ledger_faults, offers_go_to_the_head_of_the_list)
{
    /* Three wait; offers in order, with the second leaving; the second before the first; with SKIP;
     * with SKIP that was taken off, by versions. */
    const enum hf_reason offer = HF_REASON_OFFER;
    for (unsigned i = 0; i < 6; i++) {
        begin();
        if (i == 2 || i >= 4) {
            settings.flags = HF_INVENTORY_SKIP;
            set(2);
        }
        make(10, HF_STATE_WAITING, 1, 3);
        make(11, HF_STATE_WAITING, 1, 3);
        make(12, HF_STATE_WAITING, 1, 3);
        uint64_t lsn = 0;
        if (i == 0) {
            change(11, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3);
            change(10, HF_STATE_HELD, offer, 4);
            change(12, HF_STATE_HELD, offer, 5);
        } else if (i == 3) { /* the head lost its place: it would have had too many */
            change(10, HF_STATE_CANCELLED, HF_REASON_LIMIT, 3);
            change(11, HF_STATE_HELD, offer, 4);
        } else if (i >= 4) {
            settings.flags = 0;
            set(7);
            lsn = change(11, HF_STATE_HELD, offer, i == 4 ? 6 : 8);
        } else {
            lsn = change(11, HF_STATE_HELD, offer, 4);
        }
        if (i == 1 || i == 5)
            expect_fault(lsn, "passes the head of its waiting list");
        else
            expect_sound("in order, or with SKIP");
    }
}

Test(ledger_faults, a_list_keeps_its_order_whoever_leaves)
{
    /* Five wait; the middle one, the last and the first leave, one joins: 11, 13, then 15. */
    for (unsigned i = 0; i < 3; i++) {
        begin();
        for (unsigned number = 10; number < 15; number++)
            make(number, HF_STATE_WAITING, 1, 2);
        change(12, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
        change(14, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
        make(15, HF_STATE_WAITING, 1, 2);
        change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 2);
        if (i > 0)
            change(11, HF_STATE_HELD, HF_REASON_OFFER, 3);
        if (i > 1)
            change(13, HF_STATE_HELD, HF_REASON_OFFER, 4);
        if (i == 2) {
            change(15, HF_STATE_HELD, HF_REASON_OFFER, 5);
            expect_sound("in order");
        } else {
            expect_fault(change(15, HF_STATE_HELD, HF_REASON_OFFER, 5), "passes the head");
        }
    }
}

/* ---- versions --------------------------------------------------------------------------- */

Test(ledger_faults, no_two_claims_have_one_version)
{
    /* The same in another inventory is right; the same again, and much later, when claims of 1500
     * other inventories lie between the two. */
    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    prepare(11, HF_STATE_CONFIRMED, 1, 2)->inventory_id = 2;
    tell(11);
    expect_fault(make(12, HF_STATE_HELD, 1, 2), "version 2 of inventory 1 stands for two claims");
    begin();
    make(10, HF_STATE_CONFIRMED, 2, 2);
    for (uint64_t i = 0; i < 1500; i++) {
        hf_log_builder_inventory(&builder, 3000 + i, 1);
        hf_log_builder_reservation(&builder, 3000 + i, 3000 + i, 1, 2);
    }
    expect_fault(make(11, HF_STATE_CONFIRMED, 1, 2), "stands for two claims");
}

Test(ledger_faults, claims_have_newer_versions_than_what_they_build_on)
{
    /* The version with which the inventory was made; one that is older. */
    begin();
    expect_fault(make(10, HF_STATE_CONFIRMED, 1, 1), "inventory 1 started with version 1");
    begin();
    expect_fault(make(10, HF_STATE_CONFIRMED, 1, 0), "inventory 1 started with version 1");
}

Test(ledger_faults, versions_come_around)
{
    /* Changes without end, here in steps of 2^29: the same version 2^31 changes later is another. */
    begin();
    const uint32_t step = 1u << 29;
    for (unsigned i = 0; i < 12; i++) {
        make(10 + i, HF_STATE_CONFIRMED, 1, (2 + i * step) & (4 * step - 1));
        change(10 + i, HF_STATE_CANCELLED, HF_REASON_REQUEST, (2 + i * step) & (4 * step - 1));
    }
    expect_sound("three times around");
}

/* One unit at a time of a new run: version 100, then the run's end, then that version. */
static uint64_t claim_after_restart(uint32_t version)
{
    make(10, HF_STATE_CONFIRMED, 1, 100);
    restart();
    return make(11, HF_STATE_CONFIRMED, 1, version);
}

Test(ledger_faults, a_run_begins_above_the_versions_before_it)
{
    /* The newest version is carried by a claim, by a change that is none, by settings, by an event:
     * a claim of the next run that is 2^20 newer, and one that is 1 less. */
    begin();
    claim_after_restart(100 + JUMP);
    expect_sound("2^20 newer");
    begin();
    expect_fault(claim_after_restart(99 + JUMP), "started with version");
    begin();
    expect_fault(claim_after_restart(3), "started with version");
    for (unsigned i = 0; i < 3; i++) {
        begin();
        make(10, HF_STATE_CONFIRMED, 1, 100);
        if (i == 0)
            change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 200);
        if (i == 1)
            set(200);
        if (i == 2) {
            uint8_t record[HF_RECORD_BYTES] = {0};
            inventory.available = 1;
            inventory.version = 200;
            hf_image_encode_event(record, HF_EVENT_AVAILABLE_AGAIN, &inventory, HF_BUILDER_MADE_AT);
            hf_log_builder_record(&builder, record);
        }
        restart();
        expect_fault(make(11, HF_STATE_CONFIRMED, 1, 199 + JUMP), "started with version");
    }
}

/* ---- chains ----------------------------------------------------------------------------- */

Test(ledger_faults, a_chain_is_judged_as_a_whole)
{
    /* A swap when all is sold, in the order that would oversell for a moment; the same with one unit
     * more; with the claim's version that of another. */
    for (unsigned more_units = 0; more_units < 2; more_units++) {
        begin();
        make(10, HF_STATE_CONFIRMED, 5, 2);
        begin_chain(2);
        make(11, HF_STATE_CONFIRMED, 5 + more_units, 3);
        uint64_t lsn = change(10, HF_STATE_CANCELLED, HF_REASON_REQUEST, 3);
        if (more_units == 0)
            expect_sound("a swap");
        else
            expect_fault(lsn, "NO-OVERSELL is broken: inventory 1 has 5 units held and confirmed "
                              "and a sell limit of 5, and 1 more are taken");
    }
    begin();
    make(10, HF_STATE_CONFIRMED, 1, 2);
    begin_chain(2);
    make(11, HF_STATE_CONFIRMED, 1, 2);
    expect_fault(make(12, HF_STATE_CONFIRMED, 1, 2), "stands for two claims");
}

Test(ledger_faults, a_chain_claims_once_of_each_inventory)
{
    /* Two lines of one inventory, one of another: one version each; counted. */
    begin();
    begin_chain(3);
    make(10, HF_STATE_CONFIRMED, 1, 2);
    make(11, HF_STATE_HELD, 1, 2);
    prepare(12, HF_STATE_CONFIRMED, 1, 2)->inventory_id = 2;
    tell(12);
    make(13, HF_STATE_CONFIRMED, 1, 3);
    expect_sound("a bundle");
    expect_output("\nchains: 1\n", "counted");
}

Test(ledger_faults, what_is_wrong_with_a_record_of_a_chain_is_told_at_its_end)
{
    /* The second of three is no possible change; the third is oversold alone, at its own record. */
    begin();
    make(10, HF_STATE_WAITING, 1, 1);
    begin_chain(3);
    make(11, HF_STATE_CONFIRMED, 1, 2);
    change(10, HF_STATE_CONFIRMED, HF_REASON_REQUEST, 2);
    expect_fault(make(12, HF_STATE_CONFIRMED, 1, 2),
                 "record 2 of 3 of a chain: a reservation went from WAITING to CONFIRMED");
}

Test(ledger_faults, settings_and_links_of_a_chain_are_judged)
{
    /* A claim against a paused sale among others; a link to what is not expired. */
    begin();
    pause_sales();
    set(2);
    begin_chain(2);
    prepare(10, HF_STATE_CONFIRMED, 1, 2)->inventory_id = 2;
    tell(10);
    expect_fault(make(11, HF_STATE_CONFIRMED, 1, 3),
                 "record 2 of 2 of a chain: a claim took units of inventory 1 when its sales were "
                 "paused");
    begin();
    begin_chain(2);
    prepare(10, HF_STATE_CONFIRMED, 1, 2)->linked_id = (struct hf_id){{9}};
    tell(10);
    expect_fault(make(11, HF_STATE_CONFIRMED, 1, 2), "record 1 of 2 of a chain: a reservation is "
                                                     "linked to one that is not EXPIRED");
}

Test(ledger_faults, a_chain_is_whole_and_in_one_block)
{
    /* Cut by another record, by another chain, by the end of its block; begun in the middle. */
    begin();
    begin_chain(3);
    make(10, HF_STATE_CONFIRMED, 1, 2);
    chain_length = 0;
    expect_fault(make(11, HF_STATE_CONFIRMED, 1, 3), "a chain of 3 records ends after 1");
    begin();
    begin_chain(3);
    make(10, HF_STATE_CONFIRMED, 1, 2);
    expect_fault(set(2), "a chain of 3 records ends after 1");
    begin();
    begin_chain(3);
    make(10, HF_STATE_CONFIRMED, 1, 2);
    begin_chain(3);
    expect_fault(make(11, HF_STATE_CONFIRMED, 1, 2), "has place 0 in its chain, expected 1");
    begin();
    begin_chain(2);
    chain_index = 1;
    expect_fault(make(11, HF_STATE_CONFIRMED, 1, 2), "has place 1 in its chain, expected 0");

    begin();
    begin_chain(3);
    make(10, HF_STATE_CONFIRMED, 1, 2);
    uint64_t lsn = make(11, HF_STATE_CONFIRMED, 1, 2);
    hf_log_builder_block(&builder, 0);
    make(12, HF_STATE_CONFIRMED, 1, 2);
    hf_log_builder_block(&builder, 0);
    cr_expect_eq(verify(), 1);
    char place[64];
    snprintf(place, sizeof(place), "fault: LSN %llu, ", (unsigned long long)lsn);
    expect_output(place, "cut by a block");
    expect_output("the block ends after 2 of the 3 records of a chain", "cut by a block");
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
    begin();
    expect_fault(hf_log_builder_record(&builder, vector->bytes), word);
}

Test(ledger_faults, vectors_of_what_is_no_record_are_found)
{
    /* Every rule about one record, broken by itself, under right hashes. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "bad_record", check_bad_vector), 39);
}

static char dumped[65536];

Test(ledger_faults, a_record_that_is_none_is_dumped_as_its_bytes)
{
    /* A qty of 0, in JSON. */
    begin();
    prepare(10, HF_STATE_CONFIRMED, 1, 2)->qty = 0;
    tell(10);
    hf_log_builder_block(&builder, 0);
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfast-wal", program);
    const char *const argv[] = {program, "dump", builder.directory, "--json", NULL};
    cr_expect_eq(hf_process_run(argv, dumped, sizeof(dumped)), 1);
    cr_expect_not_null(strstr(dumped, "\"kind\":\"unknown\",\"reason\":\"qty is not in 1 .. "));
}
