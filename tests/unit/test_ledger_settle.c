/*
 * The ledger of holdfast-wal, settled: what it derives from a state that it was given, what it judges
 * by that from then on, and what it does not, as it cannot know it. One inventory, number 1.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/lib/log_builder.h"
#include "tools/ledger.h"
#include "wal/record.h"

#define SECOND_NS 1000000000ull

static struct hf_ledger *ledger;
static uint64_t lsn; /* of the newest record */

static void open_ledger(void)
{
    ledger = hf_ledger_open(100 * SECOND_NS);
    lsn = 0;
}

static void close_ledger(void)
{
    hf_ledger_close(ledger);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(ledger_settle, .init = open_ledger, .fini = close_ledger);

/* ---- records ---------------------------------------------------------------------------- */

enum how { FROM_SNAPSHOT, FROM_LOG, JUDGED };

static const char *give(enum how how, uint8_t *record, uint64_t at_lsn)
{
    hf_put_u64(record, at_lsn);
    lsn = at_lsn;
    if (how == JUDGED)
        return hf_ledger_enter(ledger, record);
    return hf_ledger_load(ledger, record,
                          how == FROM_LOG ? HF_LEDGER_FROM_LOG : HF_LEDGER_FROM_SNAPSHOT);
}

static void expect_given(enum how how, uint8_t *record, uint64_t at_lsn)
{
    const char *reason = give(how, record, at_lsn);
    cr_assert_null(reason, "LSN %llu: %s", (unsigned long long)at_lsn, reason);
}

/* Inventory 1, of 5 units, its settings with that sequence and version. */
static void make_inventory(uint8_t *record, const struct hf_settings *settings, uint32_t sequence,
                           uint32_t version)
{
    struct hf_inventory inventory = hf_builder_inventory(1, 5);
    inventory.version = version;
    hf_image_encode_inventory(record, &inventory, settings, sequence, HF_BUILDER_MADE_AT);
}

static void give_inventory(enum how how, uint64_t at_lsn, uint32_t version)
{
    uint8_t record[HF_RECORD_BYTES];
    struct hf_settings settings = hf_builder_settings(5);
    make_inventory(record, &settings, 1, version);
    expect_given(how, record, at_lsn);
}

static const char *give_reservation(enum how how, uint64_t at_lsn, unsigned number,
                                    enum hf_state state, uint32_t version)
{
    uint8_t record[HF_RECORD_BYTES];
    struct hf_reservation reservation = hf_builder_reservation(number, 1, 1, state);
    hf_image_encode_reservation(
        record, &reservation,
        &(struct hf_image_notes){
            .inventory_version = version,
            .made_as =
                state == HF_STATE_CONFIRMED || state == HF_STATE_CANCELLED ? 0 : (uint8_t)state});
    return give(how, record, at_lsn);
}

/* The next record, judged: a CONFIRMED reservation of one unit. */
static const char *claim(unsigned number, uint32_t version)
{
    return give_reservation(JUDGED, lsn + 1, number, HF_STATE_CONFIRMED, version);
}

static void settle(void)
{
    const char *reason = hf_ledger_settle(ledger, lsn);
    cr_assert_null(reason, "%s", reason);
}

static void expect_reason(const char *reason, const char *words)
{
    cr_assert_not_null(reason, "%s", words);
    cr_expect_not_null(strstr(reason, words), "'%s' is not in '%s'", words, reason);
}

/* ---- what is derived -------------------------------------------------------------------- */

Test(ledger_settle, units_are_those_of_the_state)
{
    /* Four of five are taken in the snapshot; one more can be, and not another. */
    give_inventory(FROM_SNAPSHOT, 10, 20);
    for (unsigned number = 1; number <= 4; number++)
        cr_assert_null(give_reservation(FROM_SNAPSHOT, 10 + number, number,
                                        number % 2 == 0 ? HF_STATE_HELD : HF_STATE_CONFIRMED, 0));
    settle();
    cr_expect_null(claim(5, 21));
    expect_reason(claim(6, 22), "NO-OVERSELL");
}

Test(ledger_settle, a_waiting_list_stands)
{
    /* Somebody waits in the snapshot: nobody else takes a unit from then on. */
    give_inventory(FROM_SNAPSHOT, 10, 20);
    cr_assert_null(give_reservation(FROM_SNAPSHOT, 11, 1, HF_STATE_WAITING, 0));
    settle();
    expect_reason(claim(2, 21), "that a waiting list stands before");
}

Test(ledger_settle, what_was_decided_before_is_not_judged)
{
    /* A claim in flight, with a version that was known: the list may have come after it. The next
     * one is judged. */
    give_inventory(FROM_SNAPSHOT, 10, 20);
    cr_assert_null(give_reservation(FROM_SNAPSHOT, 11, 1, HF_STATE_WAITING, 0));
    settle();
    cr_expect_null(claim(2, 20));
    expect_reason(claim(3, 21), "that a waiting list stands before");
}

Test(ledger_settle, customers_are_counted)
{
    /* One who has two units in the snapshot, where two is the limit, takes a third. */
    uint8_t record[HF_RECORD_BYTES];
    struct hf_settings settings = hf_builder_settings(5);
    struct hf_ledger_totals totals;
    struct hf_reservation reservation = hf_builder_reservation(1, 1, 2, HF_STATE_CONFIRMED);
    settings.customer_limit = 2;
    make_inventory(record, &settings, 1, 20);
    expect_given(FROM_SNAPSHOT, record, 10);
    hf_image_encode_reservation(record, &reservation, &(struct hf_image_notes){0});
    expect_given(FROM_SNAPSHOT, record, 11);
    settle();
    reservation = hf_builder_reservation(2, 1, 1, HF_STATE_CONFIRMED);
    reservation.customer_id = 7001; /* that of number 1 */
    hf_image_encode_reservation(record, &reservation,
                                &(struct hf_image_notes){.inventory_version = 21});
    expect_given(JUDGED, record, 12);
    hf_ledger_totals(ledger, &totals);
    cr_expect_eq(totals.above_customer_limit, 1);
}

Test(ledger_settle, what_had_finished_is_forgotten_in_its_time)
{
    /* Two were cancelled in the snapshot, at other dates than their numbers tell; 100 seconds are
     * remembered. */
    uint8_t record[HF_RECORD_BYTES];
    struct hf_ledger_totals totals;
    give_inventory(FROM_SNAPSHOT, 10, 20);
    for (unsigned number = 1; number <= 2; number++) {
        struct hf_reservation reservation =
            hf_builder_reservation(number, 1, 1, HF_STATE_CANCELLED);
        reservation.changed_at_ns = HF_BUILDER_MADE_AT + (3 - number) * 10 * SECOND_NS;
        hf_image_encode_reservation(record, &reservation, &(struct hf_image_notes){0});
        expect_given(FROM_SNAPSHOT, record, 10 + number);
    }
    settle();
    for (unsigned number = 1; number <= 3; number++) {
        struct hf_reservation reservation =
            hf_builder_reservation(10 + number, 1, 1, HF_STATE_CONFIRMED);
        reservation.made_at_ns = reservation.changed_at_ns =
            HF_BUILDER_MADE_AT + (99 + number * 10) * SECOND_NS;
        hf_image_encode_reservation(record, &reservation,
                                    &(struct hf_image_notes){.inventory_version = 20 + number});
        expect_given(JUDGED, record, 12 + number);
        hf_ledger_totals(ledger, &totals);
        cr_expect_eq(totals.forgotten, number - 1, "%llu", (unsigned long long)totals.forgotten);
    }
}

Test(ledger_settle, the_newest_date_may_be_that_of_no_record)
{
    /* What told it was an event, or is forgotten: it decides what is retained. */
    uint64_t retained;
    give_inventory(FROM_SNAPSHOT, 10, 20);
    cr_assert_null(give_reservation(FROM_SNAPSHOT, 11, 1, HF_STATE_CANCELLED, 0));
    hf_ledger_load_date(ledger, HF_BUILDER_MADE_AT + 50 * SECOND_NS);
    settle();
    hf_ledger_state_hash(ledger, 100 * SECOND_NS, &retained);
    cr_expect_eq(retained, 1);
    hf_ledger_state_hash(ledger, 50 * SECOND_NS - 10, &retained);
    cr_expect_eq(retained, 0);
}

/* ---- closed by selling out -------------------------------------------------------------- */

/* Settings with sequence 2: in the log, where they close when sold out; and in the snapshot, where
 * they have, at version 30. Either may come first. */
static void close_in_snapshot(bool log_first)
{
    uint8_t record[HF_RECORD_BYTES], closed[HF_RECORD_BYTES];
    struct hf_settings settings = hf_builder_settings(5);
    settings.flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT;
    make_inventory(record, &settings, 2, 20);
    make_inventory(closed, &settings, 2, 30);
    closed[40] |= HF_INVENTORY_SOLD_OUT_CLOSED;
    if (log_first)
        expect_given(FROM_LOG, record, 10);
    expect_given(FROM_SNAPSHOT, closed, 10);
    if (!log_first)
        expect_given(FROM_LOG, record, 10);
    settle();
}

static bool expect_closed(void *context, const struct hf_ledger_inventory_view *view)
{
    (void)context;
    cr_expect(view->sold_out_closed);
    cr_expect_eq(view->record[40] & HF_INVENTORY_SOLD_OUT_CLOSED, HF_INVENTORY_SOLD_OUT_CLOSED);
    return true;
}

Test(ledger_settle, what_the_snapshot_knows_closed_is_closed)
{
    /* The log's record of the same settings does not say so. A claim that comes later is a fault. */
    for (int log_first = 0; log_first <= 1; log_first++) {
        close_ledger();
        open_ledger();
        close_in_snapshot(log_first != 0);
        cr_assert(hf_ledger_each_inventory(ledger, expect_closed, NULL));
        expect_reason(claim(1, 31), "was closed by selling out");
    }
}

Test(ledger_settle, when_it_closed_is_not_known_exactly)
{
    /* A claim that was in flight, with a version before that of the snapshot's copy. */
    close_in_snapshot(false);
    cr_expect_null(claim(1, 29));
}

Test(ledger_settle, a_closing_is_told_by_a_record_that_no_longer_stands)
{
    /* Reservation 1 took the last unit of the log, and was cancelled. */
    uint8_t record[HF_RECORD_BYTES];
    struct hf_settings settings = hf_builder_settings(5);
    struct hf_reservation reservation = hf_builder_reservation(1, 1, 5, HF_STATE_CONFIRMED);
    settings.flags = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT;
    make_inventory(record, &settings, 1, 20);
    expect_given(FROM_LOG, record, 10);
    hf_image_encode_reservation(
        record, &reservation,
        &(struct hf_image_notes){.inventory_version = 21, .flags = HF_IMAGE_FLAG_SOLD_OUT});
    expect_given(FROM_LOG, record, 11);
    reservation = hf_builder_reservation(1, 1, 5, HF_STATE_CANCELLED);
    hf_image_encode_reservation(record, &reservation,
                                &(struct hf_image_notes){.inventory_version = 21});
    expect_given(FROM_LOG, record, 12);
    settle();
    expect_reason(claim(2, 23), "was closed by selling out");
}

/* ---- what cannot be --------------------------------------------------------------------- */

Test(ledger_settle, every_reservation_has_an_inventory)
{
    /* It may come later than the reservation; but it must come. */
    cr_assert_null(give_reservation(FROM_SNAPSHOT, 11, 1, HF_STATE_CONFIRMED, 0));
    give_inventory(FROM_LOG, 12, 20);
    settle();
    close_ledger();
    open_ledger();
    cr_assert_null(give_reservation(FROM_SNAPSHOT, 11, 1, HF_STATE_CONFIRMED, 0));
    expect_reason(hf_ledger_settle(ledger, 11), "inventory 1 of a reservation was never made");
}

Test(ledger_settle, the_log_has_no_gaps)
{
    /* A record is left out; then the state is said to be that after another one. */
    give_inventory(FROM_LOG, 12, 20);
    expect_reason(give_reservation(FROM_LOG, 14, 1, HF_STATE_CONFIRMED, 21),
                  "the record has LSN 14, expected 13");
    expect_reason(hf_ledger_settle(ledger, 13),
                  "the state after LSN 13 is wanted, but records up to 12 were loaded");
}

/* The first or second record of a chain of two. */
static const char *give_half(enum how how, uint64_t at_lsn, uint8_t place)
{
    uint8_t record[HF_RECORD_BYTES];
    struct hf_reservation reservation = hf_builder_reservation(place, 1, 1, HF_STATE_CONFIRMED);
    hf_image_encode_reservation(
        record, &reservation,
        &(struct hf_image_notes){.inventory_version = 21, .chain_index = place, .chain_length = 2});
    return give(how, record, at_lsn);
}

Test(ledger_settle, chains_are_whole)
{
    /* One is cut by another record; one is not over when the state is said to be known. */
    give_inventory(FROM_LOG, 12, 20);
    cr_expect_null(give_half(FROM_LOG, 13, 0));
    expect_reason(hf_ledger_settle(ledger, 13), "LSN 13 is in the middle of a chain");
    expect_reason(give_reservation(FROM_LOG, 14, 5, HF_STATE_CONFIRMED, 21),
                  "a chain of 2 records ends after 1");
    close_ledger();
    open_ledger();
    give_inventory(FROM_LOG, 12, 20);
    cr_expect_null(give_half(FROM_LOG, 13, 0));
    cr_expect_null(give_half(FROM_LOG, 14, 1));
    settle();
}

Test(ledger_settle, a_snapshot_holds_no_events)
{
    /* One is given as a record of a snapshot. */
    uint8_t record[HF_RECORD_BYTES];
    struct hf_inventory inventory = hf_builder_inventory(1, 5);
    inventory.available = 1;
    memset(record, 0, sizeof record);
    hf_image_encode_event(record, HF_EVENT_AVAILABLE_AGAIN, &inventory, HF_BUILDER_MADE_AT);
    expect_reason(give(FROM_SNAPSHOT, record, 10), "a snapshot holds an event");
}
