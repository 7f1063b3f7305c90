/*
 * The timer: on one thread, with a clock that the test moves; then against a plain list, at random.
 * Several threads are in test_timer_schedules.c.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/timer.h"
#include "tests/lib/stress.h"
#include "tests/lib/wheel_times.h"

#define START   (WHEEL_DATE_NS + 1) /* just after an HOUR began */
#define ENTRIES 20000u

static struct hf_terms the_terms[ENTRIES + 1];
static struct hf_timer the_timer;

static void start(uint64_t now_ns)
{
    memset((void *)the_terms, 0, sizeof the_terms);
    cr_assert_eq(hf_timer_init(&the_timer, the_terms, now_ns), 0);
}

static void end(void)
{
    hf_timer_close(&the_timer);
}

TestSuite(timer, .fini = end, .timeout = 60);

static bool arm(uint32_t number, uint64_t due_ns)
{
    hf_store_relaxed(&the_terms[number].due_ns, due_ns);
    return hf_timer_arm(&the_timer, number);
}

static bool is_armed(uint32_t number)
{
    return hf_load_relaxed(&the_terms[number].armed) != 0;
}

static uint32_t pop(uint64_t now_ns)
{
    uint32_t budget = UINT32_MAX;
    bool wake = false;
    return hf_timer_pop(&the_timer, now_ns, &budget, &wake);
}

/* Sleeps as the server would until something is popped, and returns that; 0: nothing is filed. */
static uint32_t sleep_and_pop(uint64_t *now_ns, unsigned *wakes)
{
    for (;;) {
        uint64_t next_ns = hf_timer_next_ns(&the_timer, *now_ns);
        if (next_ns == UINT64_MAX)
            return 0;
        if (next_ns > *now_ns) {
            *now_ns = next_ns;
            ++*wakes;
        }
        uint32_t number = pop(*now_ns);
        if (number != 0)
            return number;
        cr_assert(hf_timer_next_ns(&the_timer, *now_ns) > *now_ns,
                  "it wakes for nothing, for ever");
    }
}

/* ---- when an entry comes ---- */

Test(timer, an_entry_comes_when_its_tick_has_passed_and_once)
{
    start(START);
    for (uint32_t i = 0; i < 64; i++) {
        uint64_t due_ns = START + 3 * TICK_NS + i * (TICK_NS / 16);
        arm(1, due_ns);
        cr_expect(is_armed(1));
        cr_expect_eq(pop(passed_ns(due_ns) - 1), 0, "%u/16 of a tick: early", i);
        cr_expect_eq(pop(passed_ns(due_ns)), 1, "%u/16 of a tick: late", i);
        cr_expect_not(is_armed(1));
        cr_expect_eq(pop(due_ns + DAY), 0, "it comes twice");
        end();
        start(START);
    }
}

Test(timer, what_is_due_at_the_end_of_a_tick_belongs_to_that_tick)
{
    start(START);
    uint64_t boundary_ns = passed_ns(START) + 10 * TICK_NS;
    arm(1, boundary_ns);
    arm(2, boundary_ns + 1);
    cr_expect_eq(hf_timer_next_ns(&the_timer, START), boundary_ns);
    cr_expect_eq(pop(boundary_ns), 1);
    cr_expect_eq(pop(boundary_ns), 0);
    cr_expect_eq(pop(boundary_ns + TICK_NS - 1), 0);
    cr_expect_eq(pop(boundary_ns + TICK_NS), 2);
}

Test(timer, what_is_due_when_it_is_armed_comes_with_the_next_tick)
{
    start(START);
    cr_expect_eq(pop(START), 0);
    arm(1, START - DAY);
    arm(2, 0);
    arm(3, START);
    uint64_t next_ns = hf_timer_next_ns(&the_timer, START);
    cr_expect(next_ns > START && next_ns <= START + TICK_NS);
    cr_expect_neq(pop(next_ns), 0);
    cr_expect_neq(pop(next_ns), 0);
    cr_expect_neq(pop(next_ns), 0);
    cr_expect_eq(pop(next_ns), 0);
}

/* A date up to about 400 days away, mostly near, or long past. */
static uint64_t random_due_ns(struct hf_random *random)
{
    uint64_t reach_ns = 1ull << hf_random_below(random, 56);
    uint64_t away_ns = hf_random_next(random) % reach_ns;
    return hf_random_chance(random, 10) ? START - away_ns % START : START + away_ns;
}

Test(timer, what_is_filed_before_others_know_the_timer_comes_as_if_it_had_been_armed)
{
    /* Entries with any dates; then the same into another wheel, and both are emptied. */
    static struct hf_terms other_terms[ENTRIES + 1];
    struct hf_timer other;
    struct hf_random random = hf_random_for(31, 0);
    start(START);
    memset((void *)other_terms, 0, sizeof other_terms);
    cr_assert_eq(hf_timer_init(&other, other_terms, START), 0);
    for (uint32_t number = 1; number <= ENTRIES; number++) {
        uint64_t due_ns = random_due_ns(&random);
        arm(number, due_ns);
        hf_store_relaxed(&other_terms[number].due_ns, due_ns);
        hf_timer_arm_alone(&other, number);
        if (number % 16 == 0)
            hf_timer_arm_alone(&other, number); /* it is filed already */
        cr_expect_eq(hf_load_relaxed(&other_terms[number].armed), 1);
    }
    uint64_t now_ns = START;
    for (uint32_t popped = 0; popped < ENTRIES;) {
        uint32_t budget = UINT32_MAX;
        bool wake = false;
        cr_assert_eq(hf_timer_next_ns(&the_timer, now_ns), hf_timer_next_ns(&other, now_ns));
        now_ns = hf_timer_next_ns(&the_timer, now_ns);
        for (uint32_t number; (number = pop(now_ns)) != 0; popped++)
            cr_assert_eq(hf_timer_pop(&other, now_ns, &budget, &wake), number);
        cr_assert_eq(hf_timer_pop(&other, now_ns, &budget, &wake), 0);
    }
    hf_timer_close(&other);
}

Test(timer, an_entry_is_filed_once_until_it_is_popped)
{
    start(START);
    for (int i = 0; i < 3; i++)
        arm(1, START + HF_NS_PER_MS);
    cr_expect_eq(pop(START + HF_NS_PER_S), 1);
    cr_expect_eq(pop(START + HF_NS_PER_S), 0);
    arm(1, START + 2 * HF_NS_PER_S);
    cr_expect_eq(pop(START + 3 * HF_NS_PER_S), 1, "and may be filed again then");
}

Test(timer, an_extended_entry_comes_at_its_new_time)
{
    const uint64_t extensions[] = {1, TICK_NS, SECOND, 3 * SECOND, HOUR, 3 * HOUR, 100 * DAY};
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
        uint64_t due_ns = passed_ns(START) + 5 * TICK_NS, later_ns = due_ns + extensions[i];
        start(START);
        arm(1, due_ns);
        arm(1, later_ns);
        cr_expect_eq(pop(due_ns), 0, "extension %zu is ignored", i);
        cr_expect(is_armed(1));
        unsigned wakes = 0;
        uint64_t now_ns = due_ns;
        cr_expect_eq(sleep_and_pop(&now_ns, &wakes), 1);
        cr_expect_eq(now_ns, passed_ns(later_ns), "extension %zu", i);
        end();
    }
    start(START);
}

/* Each is alone, so the number of wake-ups is exact: one for each level that it passes through. */
Test(timer, far_dues_come_to_the_tick_after_few_wake_ups)
{
    static const struct {
        uint64_t distance_ns;
        unsigned wakes;
    } cases[] = {
        {TICK_NS, 1},     {HF_NS_PER_MS, 1},
        {HF_NS_PER_S, 1}, {2 * SECOND - 2 * TICK_NS, 1},
        {3 * SECOND, 2},  {60 * HF_NS_PER_S, 2},
        {HOUR, 2},        {2 * HOUR - SECOND, 2},
        {3 * HOUR, 3},    {DAY, 3},
        {30 * DAY, 3},    {300 * DAY, 3},
        {415 * DAY, 3},   {450 * DAY, 4},
        {3650 * DAY, 12},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t due_ns = START + cases[i].distance_ns, now_ns = START;
        unsigned wakes = 0;
        start(START);
        arm(1, due_ns);
        cr_expect_eq(sleep_and_pop(&now_ns, &wakes), 1);
        cr_expect_eq(now_ns, passed_ns(due_ns), "case %zu is late by %lld ns", i,
                     (long long)(now_ns - passed_ns(due_ns)));
        cr_expect_leq(wakes, cases[i].wakes, "case %zu takes %u wake-ups", i, wakes);
        cr_expect_eq(pop(now_ns), 0);
        cr_expect_eq(hf_timer_next_ns(&the_timer, now_ns), UINT64_MAX);
        end();
    }
    start(START);
}

Test(timer, dues_beyond_all_dates_stay_filed_at_the_far_end)
{
    start(START);
    arm(1, UINT64_MAX);
    arm(2, START + TICK_NS);
    uint64_t now_ns = START;
    unsigned wakes = 0;
    cr_expect_eq(sleep_and_pop(&now_ns, &wakes), 2);
    for (int year = 1; year <= 20; year++)
        cr_expect_eq(pop(START + (uint64_t)year * 365 * DAY), 0);
    cr_expect(is_armed(1));
}

/* From one entry to the next the clock jumps by all kinds of steps; the wheel turns often. */
Test(timer, lap_after_lap)
{
    static const uint64_t steps[] = {TICK_NS,    31 * TICK_NS, 33 * TICK_NS, SECOND - TICK_NS,
                                     2 * SECOND, 5 * SECOND,   HOUR / 3,     2 * HOUR - SECOND,
                                     2 * HOUR,   2 * HOUR + 1, 17 * HOUR,    40 * DAY,
                                     208 * DAY,  415 * DAY};
    start(START);
    uint64_t now_ns = START;
    for (unsigned round = 0; round < 300; round++) {
        uint64_t step = steps[round % 14] + round;
        arm(1, now_ns + step);
        arm(2, now_ns + step / 2);
        cr_expect_eq(pop(now_ns), 0);
        now_ns += step + TICK_NS;
        uint32_t first = pop(now_ns), second = pop(now_ns);
        cr_expect_eq(first + second, 3, "round %u: %u and %u came", round, first, second);
        cr_expect_eq(pop(now_ns), 0);
    }
}

Test(timer, a_gap_of_many_hours_is_skipped_at_once)
{
    start(START);
    uint64_t begin_ns = hf_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t now_ns = START;
    for (unsigned i = 0; i < 10; i++) { /* the clocks of sanitizers and emulators are slow */
        arm(1, now_ns + HF_NS_PER_S);
        now_ns += 18 * 3600 * HF_NS_PER_S;
        cr_expect_eq(pop(now_ns), 1);
        cr_expect_eq(pop(now_ns), 0);
    }
    cr_expect_lt(hf_clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin_ns, 200 * HF_NS_PER_MS,
                 "each of these ticks was looked at");
    arm(1, now_ns + HF_NS_PER_MS);
    unsigned wakes = 0;
    cr_expect_eq(sleep_and_pop(&now_ns, &wakes), 1);
    cr_expect_eq(wakes, 1, "the cursors are where the clock is");
}

/* Nobody popped for hours, as nothing was filed; then something is, in what the wheel takes for a
 * far future. */
Test(timer, after_an_idle_time_an_entry_comes_to_the_tick)
{
    static const uint64_t idle[] = {SECOND, 3 * SECOND, HOUR, 3 * HOUR, DAY, 500 * DAY};
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        start(START);
        uint64_t now_ns = START + idle[i], due_ns = now_ns + 100 * HF_NS_PER_MS;
        cr_expect_eq(hf_timer_sleep(&the_timer, START), UINT64_MAX);
        cr_expect(arm(1, due_ns), "nobody wakes the sleeper");
        unsigned wakes = 0;
        cr_expect_eq(sleep_and_pop(&now_ns, &wakes), 1);
        cr_expect_eq(now_ns, passed_ns(due_ns));
        cr_expect_leq(wakes, 2);
        end();
    }
    start(START);
}

/* ---- budget, cascade, backlog ---- */

static void arm_many(uint32_t first, uint32_t count, uint64_t due_ns)
{
    for (uint32_t number = first; number < first + count; number++)
        arm(number, due_ns + number % 1000);
}

Test(timer, the_budget_counts_every_entry_that_moves)
{
    start(START);
    uint64_t due_ns = passed_ns(START) + 3 * SECOND;
    bool wake = false;
    arm_many(1, 1000, due_ns);
    for (uint32_t left = 1000; left > 0; left -= 100) { /* cascaded, none is due */
        uint32_t budget = 100;
        cr_expect_eq(hf_timer_pop(&the_timer, due_ns - SECOND, &budget, &wake), 0);
        cr_expect_eq(budget, 0);
    }
    uint32_t budget = 100;
    cr_expect_eq(hf_timer_pop(&the_timer, due_ns - SECOND, &budget, &wake), 0);
    cr_expect_eq(budget, 100, "all were moved before their second begins");
    for (uint32_t number = 1; number <= 1000; number += 2)
        hf_store_relaxed(&the_terms[number].due_ns, due_ns + HOUR);
    budget = 1000; /* half are returned, half are filed again */
    unsigned returned = 0;
    while (hf_timer_pop(&the_timer, due_ns + TICK_NS, &budget, &wake) != 0)
        returned++;
    cr_expect_eq(returned, 500);
    cr_expect_eq(budget, 0);
    cr_expect_eq(pop(due_ns + TICK_NS), 0);
    budget = 0;
    cr_expect_eq(hf_timer_pop(&the_timer, due_ns + DAY, &budget, &wake), 0);
    cr_expect_eq(budget, 0);
    cr_expect_not(wake);
}

Test(timer, a_second_full_of_entries_is_moved_down_during_the_second_before)
{
    start(START);
    uint64_t second_ns = passed_ns(START) + 9 * SECOND; /* begins, and has begun */
    second_ns -= second_ns % SECOND;
    arm_many(1, ENTRIES, second_ns + SECOND / 2);
    cr_expect_eq(hf_timer_next_ns(&the_timer, START), second_ns - SECOND);
    cr_expect_eq(pop(second_ns - SECOND - 1), 0);
    cr_expect_eq(hf_timer_next_ns(&the_timer, second_ns - SECOND - 1), second_ns - SECOND,
                 "it began to move them too early");
    bool wake = false;
    uint32_t budget = ENTRIES / 2;
    cr_expect_eq(hf_timer_pop(&the_timer, second_ns - SECOND, &budget, &wake), 0);
    cr_expect_eq(budget, 0);
    cr_expect_eq(hf_timer_next_ns(&the_timer, second_ns - SECOND), second_ns - SECOND,
                 "there is more");
    cr_expect(hf_timer_has_work(&the_timer, second_ns - SECOND));
    cr_expect_not(hf_timer_backlog(&the_timer, second_ns - SECOND), "which nobody has to wait for");
    budget = ENTRIES / 2 + 7;
    cr_expect_eq(hf_timer_pop(&the_timer, second_ns - SECOND, &budget, &wake), 0);
    cr_expect_eq(budget, 7);
    cr_expect_not(hf_timer_has_work(&the_timer, second_ns - SECOND));
    cr_expect_eq(hf_timer_next_ns(&the_timer, second_ns - SECOND), second_ns + SECOND / 2);
}

/* In one second two entries come at every tick, and a pop never has the budget to look beyond. */
Test(timer, the_cascade_goes_on_while_there_is_always_something_due)
{
    const uint32_t half = ENTRIES / 2;
    uint64_t second_ns = START / SECOND * SECOND + SECOND, now_ns = second_ns;
    start(START);
    for (uint32_t i = 0; i < 8000; i++)
        arm(1 + i, second_ns + (1 + i / 2) * TICK_NS);
    arm_many(1 + half, 8000, second_ns + 3 * SECOND / 2);
    bool wake = false;
    for (uint32_t i = 0; i < 8000; i++) {
        uint32_t budget = 2;
        now_ns = second_ns + (1 + i / 2) * TICK_NS;
        cr_assert_neq(hf_timer_pop(&the_timer, now_ns, &budget, &wake), 0);
    }
    uint32_t budget = ENTRIES;
    cr_expect_eq(hf_timer_pop(&the_timer, now_ns, &budget, &wake), 0);
    cr_expect_lt(ENTRIES - budget, 10, "%u were left to move", ENTRIES - budget);
}

Test(timer, a_backlog_is_told_until_it_is_gone)
{
    start(START);
    cr_expect_eq(pop(START), 0);
    cr_expect_not(hf_timer_backlog(&the_timer, START));
    arm(1, START + TICK_NS);
    arm(2, START + TICK_NS);
    arm(3, START + 5 * SECOND);
    arm(4, START + 5 * SECOND);
    cr_expect_not(hf_timer_backlog(&the_timer, START));
    uint64_t now_ns = START + 2 * TICK_NS;
    cr_expect(hf_timer_backlog(&the_timer, now_ns));
    cr_expect_neq(pop(now_ns), 0);
    cr_expect(hf_timer_backlog(&the_timer, now_ns));
    cr_expect_neq(pop(now_ns), 0);
    cr_expect_eq(pop(now_ns), 0);
    cr_expect_not(hf_timer_backlog(&the_timer, now_ns));
    now_ns = START + 20 * SECOND;
    cr_expect(hf_timer_backlog(&the_timer, now_ns));
    uint32_t budget = 1;
    bool wake = false;
    cr_expect_neq(hf_timer_pop(&the_timer, now_ns, &budget, &wake), 0);
    cr_expect(hf_timer_backlog(&the_timer, now_ns), "of level 1");
    cr_expect_neq(pop(now_ns), 0);
    cr_expect_eq(pop(now_ns), 0);
    cr_expect_not(hf_timer_backlog(&the_timer, now_ns));
}

/* More than the wheel's 2.1 s are waiting when new ones are filed: those wait behind them. */
Test(timer, entries_filed_into_a_long_backlog_are_popped_with_it)
{
    start(START);
    for (uint32_t number = 1; number <= 100; number++)
        arm(number, START + number * SECOND / 10);
    uint64_t now_ns = START + 60 * SECOND;
    bool wake = false;
    for (uint32_t number = 1; number <= 100; number++) {
        uint32_t budget = 3;
        cr_expect_neq(hf_timer_pop(&the_timer, now_ns, &budget, &wake), 0);
        arm(number + 100, now_ns - number * HF_NS_PER_MS);
        arm(number + 200, now_ns + HF_NS_PER_S);
    }
    unsigned due = 0;
    while (pop(now_ns + TICK_NS) != 0)
        due++;
    cr_expect_eq(due, 100);
    due = 0;
    while (pop(now_ns + HF_NS_PER_S + TICK_NS) != 0)
        due++;
    cr_expect_eq(due, 100);
}

/* ---- clocks that differ ---- */

Test(timer, a_clock_that_is_behind_does_no_harm)
{
    start(START);
    uint64_t ahead_ns = START + 100 * HF_NS_PER_MS, behind_ns = ahead_ns - HF_NS_PER_MS;
    arm(1, ahead_ns - 2 * TICK_NS);
    arm(2, ahead_ns - 2 * TICK_NS);
    cr_expect_neq(pop(ahead_ns), 0);
    cr_expect_eq(pop(behind_ns), 0, "not due by that clock");
    cr_expect_neq(pop(ahead_ns), 0);
    cr_expect_eq(pop(ahead_ns), 0);
    arm(3, behind_ns);
    arm(4, ahead_ns + DAY);
    cr_expect_eq(pop(behind_ns), 0, "the tick after the latest clock has not passed");
    cr_expect_eq(pop(ahead_ns + TICK_NS), 3);
    cr_expect_eq(pop(0), 0);
    cr_expect_not(hf_timer_backlog(&the_timer, 0));
}

/* ---- sleeping ---- */

Test(timer, who_arms_before_the_announced_time_is_told_once)
{
    start(START);
    uint64_t until_ns = passed_ns(START) + SECOND;
    cr_expect_not(arm(1, until_ns), "nobody sleeps");
    cr_expect_eq(hf_timer_sleep(&the_timer, START), until_ns);
    cr_expect_not(arm(2, until_ns), "not earlier");
    cr_expect_not(arm(3, until_ns + HOUR));
    cr_expect(arm(4, until_ns - TICK_NS));
    cr_expect_not(arm(5, until_ns - 2 * TICK_NS), "he is being woken already");
    hf_timer_awake(&the_timer);
    cr_expect_not(arm(6, until_ns - 3 * TICK_NS));
    cr_expect_eq(hf_timer_sleep(&the_timer, START), until_ns - 3 * TICK_NS);
    hf_timer_awake(&the_timer);
    cr_expect_not(arm(7, START));
    cr_expect_leq(hf_timer_sleep(&the_timer, START + DAY), START + DAY, "there is work");
    cr_expect_not(arm(8, START), "so nothing was announced");
}

Test(timer, a_far_due_wakes_only_who_sleeps_beyond_its_cascade)
{
    start(START);
    uint64_t second_ns = (START + 60 * SECOND) / SECOND * SECOND;
    arm(1, second_ns - SECOND);
    cr_expect_eq(hf_timer_sleep(&the_timer, START), second_ns - 2 * SECOND - SECOND % SECOND);
    cr_expect_not(arm(2, second_ns + SECOND / 2), "the cascade comes later");
    cr_expect(arm(3, second_ns - 2 * SECOND), "the cascade comes earlier");
}

/* The entry is in nobody's bucket while the sleeper looks: who pops files it again after. */
Test(timer, filing_again_wakes_a_sleeper_that_saw_nothing)
{
    start(START);
    uint64_t due_ns = passed_ns(START) + 3 * SECOND;
    arm(1, due_ns);
    uint32_t budget = 2;
    bool wake = false;
    cr_expect_eq(hf_timer_pop(&the_timer, due_ns - SECOND, &budget, &wake), 0);
    cr_expect_not(wake, "nobody sleeps");
    cr_expect_eq(hf_timer_sleep(&the_timer, due_ns - SECOND), due_ns);
    hf_store_relaxed(&the_terms[1].due_ns, due_ns + TICK_NS);
    cr_expect_eq(hf_timer_pop(&the_timer, due_ns, &budget, &wake), 0);
    cr_expect_not(wake, "he sleeps less long");
    hf_timer_awake(&the_timer);
    cr_expect_eq(pop(due_ns + TICK_NS), 1);
    cr_expect_eq(pop(due_ns + TICK_NS), 0);
    cr_expect_eq(hf_timer_sleep(&the_timer, due_ns + TICK_NS), UINT64_MAX);
    cr_expect(arm(1, due_ns + 9 * SECOND));
    cr_expect_eq(hf_timer_sleep(&the_timer, due_ns + TICK_NS),
                 (due_ns + 8 * SECOND) / SECOND * SECOND);
}

Test(timer, the_next_time_is_exact)
{
    start(START);
    cr_expect_eq(hf_timer_next_ns(&the_timer, START), UINT64_MAX);
    uint64_t base_ns = passed_ns(START);
    arm(1, base_ns + 400 * DAY);
    cr_expect_eq(hf_timer_next_ns(&the_timer, START), (base_ns + 400 * DAY) / HOUR * HOUR - HOUR);
    arm(2, base_ns + HOUR);
    cr_expect_eq(hf_timer_next_ns(&the_timer, START), (base_ns + HOUR) / SECOND * SECOND - SECOND);
    arm(3, base_ns + HOUR - SECOND);
    cr_expect_eq(hf_timer_next_ns(&the_timer, START),
                 (base_ns + HOUR) / SECOND * SECOND - 2 * SECOND);
    arm(4, base_ns + SECOND + 1);
    cr_expect_eq(hf_timer_next_ns(&the_timer, START), base_ns + SECOND + TICK_NS);
    arm(5, base_ns + SECOND / 2);
    cr_expect_eq(hf_timer_next_ns(&the_timer, START), base_ns + SECOND / 2);
    arm(6, base_ns + TICK_NS);
    cr_expect_eq(hf_timer_next_ns(&the_timer, START), base_ns + TICK_NS);
}

/* ---- looking without taking ---- */

Test(timer, peek_tells_what_is_due_also_in_the_tick_that_is_passing)
{
    start(START);
    uint32_t numbers[16] = {0};
    uint64_t base_ns = passed_ns(START), now_ns = base_ns + 10 * TICK_NS + TICK_NS / 2;
    arm(1, base_ns + TICK_NS);
    arm(2, now_ns);           /* in the tick that is passing */
    arm(3, now_ns + 1);       /* in that tick, but later */
    arm(4, now_ns + TICK_NS); /* in the next */
    arm(5, now_ns + HOUR);
    cr_expect_eq(hf_timer_peek(&the_timer, now_ns, numbers, 16), 2);
    cr_expect(numbers[0] + numbers[1] == 3, "1 and 2, in any order");
    cr_expect_eq(hf_timer_peek(&the_timer, now_ns, numbers, 1), 1);
    cr_expect_eq(hf_timer_peek(&the_timer, now_ns, numbers, 0), 0);
    cr_expect_eq(pop(now_ns), 1);
    cr_expect_eq(pop(now_ns), 0);
    cr_expect_eq(hf_timer_peek(&the_timer, now_ns, numbers, 16), 1);
    cr_expect_eq(numbers[0], 2, "which no pop tells yet");
    cr_expect_eq(hf_timer_peek(&the_timer, now_ns + DAY, numbers, 16), 4, "in all levels");
    cr_expect_eq(hf_timer_peek(&the_timer, START, numbers, 16), 0);
}

Test(timer, peek_does_not_walk_for_ever)
{
    start(START);
    static uint32_t numbers[ENTRIES];
    uint64_t due_ns = passed_ns(START) + SECOND;
    for (uint32_t number = 1; number <= ENTRIES; number++)
        arm(number, due_ns);
    cr_expect_eq(hf_timer_peek(&the_timer, due_ns, numbers, ENTRIES), ENTRIES);
    /* As a walker sees it that others lead back to where it was. */
    hf_store_relaxed(&the_terms[1].timer_next, ENTRIES);
    for (uint32_t number = 1; number <= ENTRIES; number++)
        hf_store_relaxed(&the_terms[number].due_ns, due_ns + 1);
    cr_expect_eq(hf_timer_peek(&the_timer, due_ns, numbers, ENTRIES), 0);
}

/* ---- at random, against a list ---- */

#define LISTED 64u

struct listed {
    bool filed;
    uint64_t due_ns;
};

/* Times of all sizes, most of them near the sizes that the wheel has boundaries at. */
static uint64_t random_ns(struct hf_random *random)
{
    static const uint64_t sizes[] = {0,          TICK_NS, 32 * TICK_NS, SECOND,    2 * SECOND,
                                     3 * SECOND, HOUR,    2 * HOUR,     20 * HOUR, 500 * DAY};
    uint64_t size = sizes[hf_random_below(random, hf_random_chance(random, 70) ? 6 : 10)];
    switch (hf_random_below(random, 3)) {
    case 0:
        return size + hf_random_next(random) % (4 * TICK_NS);
    case 1:
        return size - (size == 0 ? 0 : hf_random_next(random) % (2 * TICK_NS) % size);
    default:
        return hf_random_next(random) % (size + 1);
    }
}

static void expect_listed(const struct listed *list, uint64_t now_ns, uint64_t seed)
{
    uint32_t numbers[LISTED], due = 0;
    for (uint32_t i = 1; i <= LISTED; i++) {
        due += list[i].filed && list[i].due_ns <= now_ns;
        cr_assert_eq(list[i].filed, is_armed(i), "seed %llu: %u", (unsigned long long)seed, i);
        cr_assert(!list[i].filed || passed_ns(list[i].due_ns) > now_ns, "seed %llu: %u is late",
                  (unsigned long long)seed, i);
    }
    uint32_t peeked = hf_timer_peek(&the_timer, now_ns, numbers, LISTED);
    cr_assert_eq(peeked, due, "seed %llu: peek tells %u of %u", (unsigned long long)seed, peeked,
                 due);
}

static void pop_listed(struct listed *list, uint64_t now_ns, uint32_t budget, uint64_t seed)
{
    uint32_t number;
    bool wake = false;
    while ((number = hf_timer_pop(&the_timer, now_ns, &budget, &wake)) != 0) {
        cr_assert(list[number].filed && list[number].due_ns <= now_ns,
                  "seed %llu: %u came for nothing", (unsigned long long)seed, number);
        list[number].filed = false;
    }
}

static void run_at_random(uint64_t seed)
{
    struct hf_random random = hf_random_for(seed, 0);
    struct listed list[LISTED + 1] = {0};
    uint64_t now_ns = START - hf_random_below(&random, 9) * TICK_NS;
    start(now_ns);
    for (unsigned i = 0; i < 400; i++) {
        uint32_t number = 1 + hf_random_below(&random, LISTED);
        uint64_t due_ns = now_ns + random_ns(&random) - HF_NS_PER_MS;
        if (hf_random_chance(&random, 60)) { /* arm, or extend */
            if (list[number].filed && due_ns <= list[number].due_ns)
                continue;
            list[number] = (struct listed){.filed = true, .due_ns = due_ns};
            arm(number, due_ns);
        } else if (hf_random_chance(&random, 30)) {
            uint64_t skew_ns = hf_random_below(&random, HF_NS_PER_MS);
            pop_listed(list, now_ns - skew_ns, hf_random_below(&random, 20), seed);
        } else { /* the clock moves a tick at least, and then nothing that is due is left */
            now_ns += TICK_NS + random_ns(&random) / (1 + hf_random_below(&random, 4));
            pop_listed(list, now_ns, UINT32_MAX, seed);
            cr_assert_not(hf_timer_has_work(&the_timer, now_ns));
            expect_listed(list, now_ns, seed);
        }
    }
    unsigned wakes = 0, filed = 0;
    for (uint32_t i = 1; i <= LISTED; i++)
        filed += list[i].filed;
    for (uint32_t number, left = filed; left > 0; left--) {
        number = sleep_and_pop(&now_ns, &wakes);
        cr_assert(number != 0 && list[number].filed, "seed %llu", (unsigned long long)seed);
        cr_assert_leq(list[number].due_ns, now_ns);
        list[number].filed = false;
    }
    cr_assert_eq(pop(now_ns), 0);
    cr_assert_leq(wakes, 5 * filed, "seed %llu: %u wake-ups", (unsigned long long)seed, wakes);
    cr_assert_eq(hf_timer_next_ns(&the_timer, now_ns), UINT64_MAX);
    end();
}

Test(timer, as_a_list_would)
{
    for (uint64_t seed = 1; seed <= 200; seed++)
        run_at_random(seed);
    start(START);
}
