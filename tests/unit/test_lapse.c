/* What time brings about: deadlines to the nanosecond, and retention by the log's own time. */
#include <criterion/criterion.h>

#include "engine/burst.h"
#include "engine/lapse.h"
#include "tests/lib/rig_expect.h"
#include "tests/lib/stress.h"

#define CAPACITY 20u
#define TTL      (60 * HF_RIG_S)
#define ME       70u
#define OTHER    71u
#define LAG_NS   (2 * HF_RIG_MS) /* within which a lapsed hold is noticed */

static struct hf_rig rig;

static void open_sized(uint32_t max_reservations, uint64_t retain_ns)
{
    struct hf_rig_options options = {.max_reservations = max_reservations, .retain_ns = retain_ns};
    hf_rig_open_stocked(&rig, &options, 2, CAPACITY);
}

static void open_rig(void)
{
    open_sized(0, 0);
}

static void close_rig(void)
{
    hf_rig_close(&rig);
}

TestSuite(lapse, .init = open_rig, .fini = close_rig);

/* ---- deadlines ---- */

Test(lapse, a_hold_is_good_to_the_last_nanosecond_and_not_one_longer)
{
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 1, TTL), HF_GRANTED);
    cr_assert_eq(hf_rig_hold(&rig, 2, 1, ME, 2, TTL), HF_GRANTED);
    cr_expect_eq(rig.outcome.reservation.deadline_ns, rig.actor.now_ns + TTL);
    hf_rig_pass(&rig, TTL - 1);
    hf_rig_expect_units(&rig, 1, 17, 3, 0);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, 1), HF_CONFIRMED);
    hf_rig_pass(&rig, 1);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, 2), HF_HOLD_EXPIRED);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_RELEASE, 2), HF_HOLD_EXPIRED);
    hf_rig_pass(&rig, LAG_NS);
    cr_expect_eq(hf_rig_state(&rig, 2), HF_STATE_EXPIRED);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, 2), HF_HOLD_EXPIRED);
    hf_rig_expect_units(&rig, 1, 19, 0, 1);
    struct hf_reservation expired = hf_rig_reservation(&rig, 2);
    cr_expect_eq(expired.sequence, 2);
    cr_expect_eq(expired.deadline_ns, 0);
    cr_expect_geq(expired.changed_at_ns, expired.made_at_ns + TTL);
    struct hf_image image = hf_rig_image(&rig, expired.lsn);
    cr_expect_eq(image.notes.reason, HF_REASON_DEADLINE);
    cr_expect_eq(image.reservation.state, HF_STATE_EXPIRED);
    hf_rig_expect_same_after_recovery(&rig);
}

/* Deadlines of all kinds, looked at with every kind of stride: none lapses early, and none later
 * than LAG_NS, whichever bucket of the timer it went through. */
Test(lapse, no_hold_lapses_early_or_late_whatever_its_length)
{
    static const uint64_t lengths[] = {1,
                                       262143,
                                       262144,
                                       262145,
                                       2 * HF_RIG_S,
                                       3 * HF_RIG_S,
                                       3600 * HF_RIG_S,
                                       3 * 3600 * HF_RIG_S,
                                       100ull * 24 * 3600 * HF_RIG_S};
    static const uint64_t offsets[] = {0, 1, 131071, 262143};
    uint32_t number = 1;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (size_t j = 0; j < sizeof offsets / sizeof *offsets; j++, number++) {
            hf_rig_pass(&rig, offsets[j]);
            cr_assert_eq(hf_rig_hold(&rig, number, 1, ME, 1, lengths[i]), HF_GRANTED);
            hf_rig_pass(&rig, lengths[i] - 1);
            cr_expect_eq(hf_rig_state(&rig, number), HF_STATE_HELD, "%lu + %lu: early",
                         (unsigned long)lengths[i], (unsigned long)offsets[j]);
            hf_rig_pass(&rig, 1 + LAG_NS);
            cr_expect_eq(hf_rig_state(&rig, number), HF_STATE_EXPIRED, "%lu + %lu: late",
                         (unsigned long)lengths[i], (unsigned long)offsets[j]);
        }
    }
    hf_rig_expect_units(&rig, 1, CAPACITY, 0, 0);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(lapse, a_claim_finds_units_that_lapsed_just_now)
{
    for (uint32_t number = 1; number <= CAPACITY; number++)
        cr_assert_eq(hf_rig_hold(&rig, number, 1, ME, 1, TTL + number), HF_GRANTED);
    rig.actor.now_ns += TTL + 2;
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, OTHER, 3), HF_SOLD_OUT, "two have lapsed");
    cr_expect_eq(rig.outcome.availability.available, 2);
    cr_expect_eq(hf_rig_state(&rig, 2), HF_STATE_EXPIRED);
    cr_expect_eq(hf_rig_state(&rig, 3), HF_STATE_HELD);
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, OTHER, 2), HF_GRANTED);
    rig.actor.now_ns += 1;
    const struct hf_line lines[] = {{.operation = HF_OP_RESERVE,
                                     .id = hf_id_of_number(51),
                                     .inventory_id = 1,
                                     .customer_id = OTHER,
                                     .qty = 1}};
    cr_expect_eq(hf_rig_batch(&rig, lines, 1), HF_BATCH_DONE, "a batch, too");
    rig.actor.now_ns += 1;
    cr_expect_eq(hf_rig_change(&rig, 51, 2), HF_CHANGED, "and a change to more");
    hf_rig_expect_units(&rig, 1, 0, 16, 4);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(lapse, a_customers_limit_counts_no_hold_that_has_lapsed)
{
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 3), HF_SET);
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 3, TTL), HF_GRANTED);
    rig.actor.now_ns += TTL - 1;
    cr_expect_eq(hf_rig_reserve(&rig, 2, 1, ME, 1), HF_CUSTOMER_LIMIT);
    rig.actor.now_ns += 1;
    cr_expect_eq(hf_rig_reserve(&rig, 2, 1, ME, 3), HF_GRANTED);
    hf_rig_expect_units(&rig, 1, 17, 0, 3);
}

Test(lapse, an_extended_hold_lapses_at_its_new_deadline)
{
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 1, TTL), HF_GRANTED);
    hf_rig_pass(&rig, TTL - 1);
    cr_assert_eq(hf_rig_extend(&rig, 1, 5), HF_EXTENDED);
    hf_rig_pass(&rig, 4);
    cr_assert_eq(hf_rig_extend(&rig, 1, TTL), HF_EXTENDED);
    hf_rig_pass(&rig, TTL - 1);
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_HELD);
    cr_expect_eq(hf_rig_reservation(&rig, 1).sequence, 3);
    hf_rig_pass(&rig, 1 + LAG_NS);
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_EXPIRED);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(lapse, what_is_confirmed_or_released_does_not_lapse)
{
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 1, TTL), HF_GRANTED);
    cr_assert_eq(hf_rig_hold(&rig, 2, 1, ME, 1, TTL), HF_GRANTED);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, 1), HF_CONFIRMED);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_RELEASE, 2), HF_RELEASED);
    uint32_t log_count = rig.log_count;
    hf_rig_pass(&rig, 2 * TTL);
    cr_expect_eq(rig.log_count, log_count);
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_CONFIRMED);
    cr_expect_eq(hf_rig_state(&rig, 2), HF_STATE_RELEASED);
}

Test(lapse, deadlines_survive_a_restart_and_what_lapsed_meanwhile_lapses_at_once)
{
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 1, TTL), HF_GRANTED);
    cr_assert_eq(hf_rig_hold(&rig, 2, 1, ME, 1, 2 * TTL), HF_GRANTED);
    cr_assert_eq(hf_rig_extend(&rig, 2, 3 * TTL), HF_EXTENDED);
    rig.actor.now_ns += TTL + 5; /* while nobody runs */
    cr_assert_null(hf_rig_recover(&rig, rig.log_count));
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, 1), HF_HOLD_EXPIRED);
    hf_rig_expect_units(&rig, 1, 18, 2, 0);
    hf_rig_pass(&rig, LAG_NS);
    hf_rig_expect_units(&rig, 1, 19, 1, 0);
    cr_assert_null(hf_rig_recover(&rig, rig.log_count));
    hf_rig_pass(&rig, 2 * TTL - 5 - LAG_NS - 1);
    cr_expect_eq(hf_rig_state(&rig, 2), HF_STATE_HELD);
    hf_rig_pass(&rig, 1 + LAG_NS);
    cr_expect_eq(hf_rig_state(&rig, 2), HF_STATE_EXPIRED);
    hf_rig_expect_units(&rig, 1, CAPACITY, 0, 0);
}

Test(lapse, many_that_lapse_at_once_are_worked_off_in_portions_and_each_once)
{
    close_rig();
    open_sized(20000, 0);
    hf_rig_create(&rig, 3, 100000);
    for (uint32_t number = 0; number < 10000; number++)
        cr_assert_eq(hf_rig_hold(&rig, number, 3, ME, 1, TTL), HF_GRANTED);
    uint32_t log_count = rig.log_count;
    rig.actor.now_ns += TTL + LAG_NS;
    uint32_t turns = 0;
    bool more = true;
    while (more) {
        hf_actor_enter(&rig.actor);
        more = hf_engine_tick(&rig.actor, 512);
        hf_actor_exit(&rig.actor);
        cr_assert_leq(rig.log_count + hf_ring_published(&rig.ring, 1024),
                      log_count + 513 * (turns + 1) + 1, "a turn is bounded");
        hf_rig_drain(&rig);
        cr_assert_lt(turns++, 1000);
    }
    cr_expect_eq(rig.log_count, log_count + 10000);
    cr_expect_gt(turns, 10);
    cr_expect_eq(hf_rig_inventory(&rig, 3).available, 100000);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(lapse, with_a_full_ring_a_hold_lapses_when_there_is_room_again)
{
    close_rig();
    hf_rig_open(&rig, &(struct hf_rig_options){.ring_slots = 8});
    hf_rig_create(&rig, 1, 4);
    hf_rig_create(&rig, 2, 100);
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 4, TTL), HF_GRANTED);
    rig.holds_ring = true;
    uint32_t number = 100;
    while (hf_rig_reserve(&rig, number, 2, ME, 1) == HF_GRANTED)
        number++;
    cr_assert_eq(rig.outcome.result, HF_PUT_ASIDE_LOG_FULL);
    rig.actor.now_ns += TTL + LAG_NS;
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, OTHER, 1), HF_PUT_ASIDE_LOG_FULL,
                 "neither a no nor a wait for another actor: %u", rig.outcome.result);
    const struct hf_line line = {.operation = HF_OP_RESERVE,
                                 .id = hf_id_of_number(50),
                                 .inventory_id = 1,
                                 .customer_id = OTHER,
                                 .qty = 1};
    cr_expect_eq(hf_rig_batch(&rig, &line, 1), HF_PUT_ASIDE_LOG_FULL, "a batch likewise");
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, 1), HF_HOLD_EXPIRED, "this needs no record");
    hf_rig_pass(&rig, 0);
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_HELD);
    rig.holds_ring = false;
    hf_rig_drain(&rig);
    hf_rig_pass(&rig, LAG_NS);
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_EXPIRED);
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, OTHER, 1), HF_GRANTED);
    hf_rig_expect_same_after_recovery(&rig);
}

/* The reservation was changed, and its customer's count is gone, between the copy and the mark. */
Test(lapse, a_count_that_went_with_its_last_unit_does_not_stop_who_comes_late)
{
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 4), HF_SET);
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 2, TTL), HF_GRANTED);
    const struct hf_region *region = &rig.engine.region;
    struct hf_reservation_cell *cell = hf_rig_cell(&rig, 1);
    uint32_t number = (uint32_t)(cell - region->reservations);
    uint64_t deadline_ns = hf_load_relaxed(&region->terms[number].due_ns);
    uint64_t held = hf_load_relaxed(&cell->word);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_RELEASE, 1), HF_RELEASED);
    uint64_t released = hf_load_relaxed(&cell->word);
    uint64_t retained_ns = hf_load_relaxed(&region->terms[number].due_ns);
    hf_store_relaxed(&cell->word, held); /* as the second reads it */
    hf_store_relaxed(&region->terms[number].due_ns, deadline_ns);
    rig.actor.now_ns += TTL;
    hf_actor_enter(&rig.actor);
    cr_expect_eq(hf_lapse_one(&rig.actor, number), HF_LAPSE_BUSY);
    hf_actor_exit(&rig.actor);
    hf_store_relaxed(&cell->word, released);
    hf_store_relaxed(&region->terms[number].due_ns, retained_ns);
    hf_rig_expect_units(&rig, 1, CAPACITY, 0, 0);
}

/* ---- retention ---- */

#define RETAIN (100 * HF_RIG_S)

/* Something is logged, so that the log's time moves on. */
static void log_something(void)
{
    static uint32_t number = 100000;
    cr_assert_eq(hf_rig_hold(&rig, number, 2, ME, 1, 1), HF_GRANTED);
    rig.actor.now_ns += 1;
    hf_rig_pass(&rig, LAG_NS);
    number++;
}

Test(lapse, finished_reservations_are_forgotten_when_their_retention_ends_in_the_logs_time)
{
    close_rig();
    open_sized(0, RETAIN);
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 1), HF_GRANTED);
    cr_assert_eq(hf_rig_reserve(&rig, 2, 1, ME, 1), HF_GRANTED);
    cr_assert_eq(hf_rig_hold(&rig, 3, 1, ME, 1, 10 * RETAIN), HF_GRANTED);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, 1), HF_CANCELLED);
    hf_rig_pass(&rig, 5 * RETAIN);
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_CANCELLED, "the log has not moved on");
    cr_expect_eq(hf_rig_reserve(&rig, 1, 1, ME, 1), HF_GRANTED);
    cr_expect(rig.outcome.repeated);
    log_something();
    hf_rig_pass(&rig, RETAIN);
    cr_expect_eq(hf_rig_state(&rig, 1), 0, "forgotten");
    cr_expect_eq(hf_rig_state(&rig, 2), HF_STATE_CONFIRMED, "not finished");
    cr_expect_eq(hf_rig_state(&rig, 3), HF_STATE_HELD);
    cr_expect_eq(hf_load_relaxed(&rig.engine.reclaimed), 1);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CANCEL, 1), HF_NOT_FOUND);
    cr_expect_eq(hf_rig_reserve(&rig, 1, 1, OTHER, 4), HF_GRANTED, "the id is new");
    cr_expect_not(rig.outcome.repeated);
    cr_expect_eq(rig.outcome.reservation.sequence, 1);
    hf_rig_expect_units(&rig, 1, 14, 1, 5);
    cr_assert_null(hf_rig_recover(&rig, rig.log_count));
    cr_expect_eq(hf_rig_reservation(&rig, 1).customer_id, OTHER, "the newer of the two");
    hf_rig_expect_units(&rig, 1, 14, 1, 5);
}

Test(lapse, retention_ends_to_the_nanosecond_of_the_logs_time)
{
    close_rig();
    open_sized(0, RETAIN);
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 1), HF_GRANTED);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, 1), HF_CANCELLED);
    rig.actor.now_ns += RETAIN - 1;
    cr_assert_eq(hf_rig_reserve(&rig, 2, 1, ME, 1), HF_GRANTED); /* the newest date in the log */
    uint32_t log_count = rig.log_count;
    hf_rig_pass(&rig, 10 * RETAIN);
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_CANCELLED);
    cr_assert_null(hf_rig_recover(&rig, log_count));
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_CANCELLED, "who reads the log sees the same");
    rig.actor.now_ns = HF_RIG_START_NS + RETAIN;
    cr_assert_eq(hf_rig_reserve(&rig, 3, 1, ME, 1), HF_GRANTED);
    cr_assert_null(hf_rig_recover(&rig, rig.log_count));
    cr_expect_eq(hf_rig_state(&rig, 1), 0);
    cr_expect_eq(hf_rig_state(&rig, 2), HF_STATE_CONFIRMED);
}

/* A worker whose turn began before the first reservation of an id was made, and lasted longer than the
 * retention, makes that id anew, in each of the ways that there are: what it makes is the newer one,
 * by the dates that replay goes by. */
Test(lapse, an_id_made_anew_in_a_turn_that_is_older_than_the_id_stands)
{
    enum { PLAIN = 1, HELD, BATCH, BURST, WAYS = BURST };
    close_rig();
    open_sized(0, RETAIN);
    uint64_t began_ns = rig.actor.now_ns;
    rig.actor.now_ns += 5;
    for (uint32_t number = PLAIN; number <= WAYS; number++) {
        cr_assert_eq(hf_rig_reserve(&rig, number, 1, ME, 2), HF_GRANTED);
        cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, number), HF_CANCELLED);
    }
    uint64_t ended_ns = rig.actor.now_ns;
    rig.actor.now_ns += RETAIN;
    log_something();
    hf_rig_pass(&rig, RETAIN / 100);
    cr_assert_eq(hf_rig_state(&rig, WAYS), 0, "forgotten");

    for (uint32_t number = PLAIN; number <= WAYS; number++) {
        const struct hf_line line = {.operation = HF_OP_RESERVE,
                                     .id = hf_id_of_number(number),
                                     .inventory_id = 2,
                                     .customer_id = OTHER,
                                     .qty = 1};
        const struct hf_reserve claim = {
            .id = line.id, .inventory_id = 2, .customer_id = OTHER, .qty = 1};
        struct hf_reservation made;
        rig.actor.now_ns = began_ns;
        if (number == PLAIN)
            cr_expect_eq(hf_rig_reserve(&rig, number, 2, OTHER, 1), HF_GRANTED);
        else if (number == HELD)
            cr_expect_eq(hf_rig_hold(&rig, number, 2, OTHER, 1, TTL), HF_GRANTED);
        else if (number == BATCH)
            cr_expect_eq(hf_rig_batch(&rig, &line, 1), HF_BATCH_DONE);
        else
            cr_expect_eq(hf_engine_reserve_burst(&rig.actor, &claim, 1, &made), 1);
        cr_expect_gt(hf_rig_reservation(&rig, number).made_at_ns, ended_ns, "way %u", number);
    }
    hf_rig_expect_same_after_recovery(&rig);
    for (uint32_t number = PLAIN; number <= WAYS; number++)
        cr_expect_eq(hf_rig_reservation(&rig, number).customer_id, OTHER, "way %u", number);
}

/* Ten times the table's room, through every end that there is, without ever finding it full. */
Test(lapse, endless_traffic_fits_in_a_small_table)
{
    enum { ROOM = 256, IN_FLIGHT = 40, ROUNDS = 400 };
    close_rig();
    open_sized(ROOM, HF_RIG_S);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 3), HF_SET);
    uint32_t number = 1;
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < IN_FLIGHT; i++, number++) {
            uint64_t inventory_id = 1 + i % 2;
            unsigned result = i % 4 < 2 ? hf_rig_hold(&rig, number, inventory_id, number, 1, 1 + i)
                                        : hf_rig_reserve(&rig, number, inventory_id, number, 1);
            cr_assert_eq(result, HF_GRANTED, "round %d: %s", round, hf_result_name(result));
            if (i % 4 == 1)
                cr_assert_eq(hf_rig_simple(&rig, HF_OP_RELEASE, number), HF_RELEASED);
            if (i % 4 > 1)
                cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, number), HF_CANCELLED);
        }
        hf_rig_pass(&rig, HF_RIG_S / 2);
    }
    cr_expect_gt(hf_load_relaxed(&rig.engine.reclaimed), (ROUNDS - 10) * IN_FLIGHT);
    hf_rig_expect_units(&rig, 1, CAPACITY, 0, 0);
    cr_assert_null(hf_rig_recover(&rig, rig.log_count));
    hf_rig_expect_units(&rig, 1, CAPACITY, 0, 0);
}

Test(lapse, what_somebody_may_still_look_at_is_not_used_again)
{
    close_rig();
    open_sized(0, RETAIN);
    struct hf_actor reader;
    cr_assert_eq(hf_actor_init(&reader, &rig.engine, &rig.ring), 0);
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 1), HF_GRANTED);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, 1), HF_CANCELLED);
    rig.actor.now_ns += RETAIN;
    cr_assert_eq(hf_rig_reserve(&rig, 2, 1, ME, 1), HF_GRANTED);
    hf_actor_enter(&reader);
    hf_rig_pass(&rig, 2 * RETAIN);
    cr_expect_eq(hf_rig_state(&rig, 1), 0, "it is not found");
    cr_expect_eq(hf_load_relaxed(&rig.engine.reclaimed), 0, "but its cell is still there");
    hf_actor_exit(&reader);
    hf_rig_pass(&rig, 0);
    cr_expect_eq(hf_load_relaxed(&rig.engine.reclaimed), 1);
    hf_actor_close(&reader);
}

/* Whoever popped an entry, and stopped before it filed it again, comes after all is done. */
Test(lapse, a_reservation_that_is_filed_twice_is_forgotten_once)
{
    close_rig();
    open_sized(0, RETAIN);
    struct hf_actor reader;
    cr_assert_eq(hf_actor_init(&reader, &rig.engine, &rig.ring), 0);
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 1), HF_GRANTED);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, 1), HF_CANCELLED);
    rig.actor.now_ns += RETAIN;
    log_something();
    hf_actor_enter(&reader); /* keeps the cell where it is */
    hf_rig_pass(&rig, 2 * RETAIN);
    cr_assert_eq(hf_rig_state(&rig, 1), 0, "forgotten");
    for (uint32_t number = 1; number <= hf_cells_allotted(&rig.engine.region); number++)
        if (hf_load_relaxed(&rig.engine.region.reservations[number].word) != 0)
            hf_engine_arm(&rig.actor, number);
    hf_rig_pass(&rig, RETAIN);
    hf_actor_exit(&reader);
    hf_rig_pass(&rig, 0);
    uint64_t reclaimed = hf_load_relaxed(&rig.engine.reclaimed);
    hf_rig_pass(&rig, 0);
    cr_expect_leq(reclaimed, 2, "that one, and what was logged for the time: %lu", reclaimed);
    hf_actor_close(&reader);
}

Test(lapse, the_link_to_a_hold_that_is_forgotten_is_gone)
{
    close_rig();
    open_sized(0, RETAIN);
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 1, HF_RIG_S), HF_GRANTED);
    rig.actor.now_ns += HF_RIG_S;
    struct hf_request again = {.operation = HF_OP_CONFIRM,
                               .flags = HF_REQUEST_REACQUIRE,
                               .id = hf_id_of_number(1),
                               .new_id = hf_id_of_number(2)};
    cr_assert_eq(hf_rig_do(&rig, &again), HF_CONFIRMED);
    struct hf_id old = hf_id_of_number(1);
    struct hf_reservation now = hf_rig_reservation(&rig, 2);
    cr_expect(hf_id_equal(&now.linked_id, &old));
    rig.actor.now_ns += 2 * RETAIN;
    log_something();
    hf_rig_pass(&rig, 2 * RETAIN);
    cr_expect_eq(hf_rig_state(&rig, 1), 0);
    for (uint32_t number = 10; number < 60; number++) /* somebody else is in its cell */
        hf_rig_reserve(&rig, number, 1 + number % 2, OTHER, 1);
    now = hf_rig_reservation(&rig, 2);
    cr_expect(hf_id_is_zero(&now.linked_id));
    hf_rig_expect_same_after_recovery(&rig);
}

Test(lapse, the_time_keeper_sleeps_until_the_next_deadline)
{
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 1, TTL), HF_GRANTED);
    hf_rig_pass(&rig, TTL - HF_RIG_S);
    uint64_t until_ns = hf_engine_sleep(&rig.actor);
    cr_expect_gt(until_ns, rig.actor.now_ns);
    cr_expect_leq(until_ns, rig.actor.now_ns + HF_RIG_S + LAG_NS);
    rig.actor.wake = false;
    cr_assert_eq(hf_rig_hold(&rig, 2, 1, ME, 1, HF_RIG_S / 2), HF_GRANTED);
    cr_expect(rig.actor.wake, "an earlier one wakes it");
    hf_engine_awake(&rig.actor);
}
