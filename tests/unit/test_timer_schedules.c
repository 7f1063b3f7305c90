/*
 * The timer under several threads, played by one, which is switched between any two accesses to
 * shared fields, and one of which may stop for ever anywhere. (On one thread: test_timer.c.)
 *
 * Below, the timer is compiled once more, under other names, with a call of step() before each
 * access to a shared field. step() may switch to another fiber, or leave this one where it is for
 * ever. So a schedule is a seed, and can be run again.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <ucontext.h>

#include "engine/timer.h"
#include "tests/lib/stress.h"
#include "tests/lib/wheel_times.h"

#ifndef SCHEDULES
#define SCHEDULES 10000u
#endif
#define FIBERS        4u
#define STACK_BYTES   262144u
#define ACTIONS       6u /* of a fiber */
#define FIBER_ENTRIES ACTIONS
#define MANY_STEPS    2000u /* after a gap buckets are closed by the thousand: seldom switched then */
#define MAX_STEPS     50000000u

struct play {
    struct hf_random random;
    uint64_t seed;
    unsigned current; /* fiber; FIBERS: none, and step() does nothing */
    bool finished[FIBERS];
    bool stopped;      /* one of them, for ever ... */
    unsigned stopping; /* this one ... */
    uint64_t stop_in;  /* ... in so many of its steps */
    uint64_t steps;
    uint32_t switches; /* in 1024 steps */
    unsigned slow;     /* this fiber seldom runs while others can */
    bool narrow;       /* all that happens is within some ticks */
    uint32_t behind;   /* percent of the clocks that are behind */
    uint64_t now_ns;
    uint64_t asleep_until_ns; /* fiber 0; 0: it is awake */
    bool woken;
    uint32_t armed, popped, late;
    uint64_t end_ns; /* from now on all must come in time; 0: not yet */
    bool extended[FIBERS * FIBER_ENTRIES + 1];
};

static struct hf_terms the_terms[FIBERS * FIBER_ENTRIES + 1];
static struct hf_timer the_timer;
static struct play play;
static ucontext_t scheduler, fibers[FIBERS];
static char stacks[FIBERS][STACK_BYTES];

TestSuite(timer_schedules, .timeout = 60);

static void step(void)
{
    unsigned self = play.current;
    if (self == FIBERS)
        return;
    if (++play.steps == MAX_STEPS)
        cr_assert_fail("schedule %llu does not end", (unsigned long long)play.seed);
    uint32_t switches = play.steps < MANY_STEPS ? play.switches : play.switches / 64;
    if (self == play.stopping && play.stop_in-- == 0)
        play.stopped = play.finished[self] = true;
    else if (hf_random_below(&play.random, 1024) >= switches)
        return;
    swapcontext(&fibers[self], &scheduler);
}

#undef hf_load_relaxed
#undef hf_load_acquire
#undef hf_load_seq_cst
#undef hf_store_relaxed
#undef hf_store_seq_cst
#undef hf_exchange_seq_cst
#undef hf_cas_seq_cst
#undef hf_cas_acq_rel
#undef hf_cas_weak_acq_rel
#define hf_load_relaxed(field)        (step(), atomic_load(field))
#define hf_load_acquire(field)        (step(), atomic_load(field))
#define hf_load_seq_cst(field)        (step(), atomic_load(field))
#define hf_store_relaxed(field, x)    (step(), atomic_store(field, x))
#define hf_store_seq_cst(field, x)    (step(), atomic_store(field, x))
#define hf_exchange_seq_cst(field, x) (step(), atomic_exchange(field, x))
#define hf_cas_seq_cst(field, expected, x)                                                         \
    (step(), atomic_compare_exchange_strong(field, expected, x))
#define hf_cas_acq_rel(field, expected, x)      hf_cas_seq_cst(field, expected, x)
#define hf_cas_weak_acq_rel(field, expected, x) hf_cas_seq_cst(field, expected, x)

#define hf_timer_init      played_init
#define hf_timer_has_work  played_has_work
#define hf_timer_close     played_close
#define hf_timer_arm       played_arm
#define hf_timer_arm_alone played_arm_alone
#define hf_timer_pop       played_pop
#define hf_timer_peek      played_peek
#define hf_timer_backlog   played_backlog
#define hf_timer_next_ns   played_next_ns
#define hf_timer_sleep     played_sleep
#define hf_timer_awake     played_awake
#include "engine/timer.c" // NOLINT(bugprone-suspicious-include)

/* due_ns is what decides here, as the reservation's word does in the engine. 0: nobody wants the
 * entry any more. No step: a fiber does that at one instant. */
static uint64_t due_of(uint32_t number)
{
    return atomic_load(&the_terms[number].due_ns);
}

static void play_arm(uint32_t number, uint64_t due_ns)
{
    atomic_store(&the_terms[number].due_ns, due_ns);
    if (hf_timer_arm(&the_timer, number))
        play.woken = true;
}

static void play_popped(uint32_t number, uint64_t now_ns)
{
    uint64_t due_ns = due_of(number);
    cr_assert((due_ns != 0 && due_ns <= now_ns) || play.extended[number],
              "schedule %llu: %u comes %s", (unsigned long long)play.seed, number,
              due_ns == 0 ? "twice" : "early");
    if (due_ns > now_ns) {
        play_arm(number, due_ns);
    } else if (due_ns != 0) {
        atomic_store(&the_terms[number].due_ns, 0);
        play.popped++;
        uint64_t latest_ns = due_ns > play.end_ns ? passed_ns(due_ns) : play.end_ns + TICK_NS;
        play.late += play.end_ns != 0 && now_ns > latest_ns;
    }
}

static void play_pop(uint32_t budget)
{
    uint64_t now_ns = play.now_ns - (hf_random_chance(&play.random, play.behind) ? 3 * TICK_NS : 0);
    uint32_t number;
    bool wake = false;
    while ((number = hf_timer_pop(&the_timer, now_ns, &budget, &wake)) != 0)
        play_popped(number, now_ns);
    if (wake)
        play.woken = true;
}

static void play_sleep(void)
{
    hf_timer_awake(&the_timer);
    play.woken = false;
    play.asleep_until_ns = 0;
    uint64_t until_ns = hf_timer_sleep(&the_timer, play.now_ns);
    if (until_ns > play.now_ns)
        play.asleep_until_ns = until_ns;
}

/* Near those numbers of ticks at which something changes: groups, levels, what a level reaches. */
static uint64_t random_ticks(void)
{
    static const uint64_t edges[] = {0,       0,       0,        0,          1,         32,
                                     64,      4096,    8160,     8192,       12288,     1 << 24,
                                     2 << 24, 3 << 24, 1u << 31, 1ull << 37, 1ull << 38};
    if (play.narrow)
        return hf_random_below(&play.random, 5);
    uint32_t count = hf_random_chance(&play.random, 80) ? 10 : sizeof edges / sizeof edges[0];
    return edges[hf_random_below(&play.random, count)] + hf_random_below(&play.random, 5);
}

static void play_action(unsigned self, uint32_t *armed)
{
    uint32_t number = self * FIBER_ENTRIES + 1 + *armed, numbers[4];
    uint64_t ticks = random_ticks();
    switch (hf_random_below(&play.random, 8)) {
    case 0:
    case 5:
        play.now_ns += (ticks + 1) * TICK_NS / 2;
        play_pop(UINT32_MAX);
        break;
    case 1:
    case 2:
        play_pop(1 + hf_random_below(&play.random, 3));
        break;
    case 3:
        if (*armed != 0 && due_of(number - 1) != 0) {
            play.extended[number - 1] = true;
            play_arm(number - 1, due_of(number - 1) + ticks * TICK_NS);
        }
        break;
    case 4:
        hf_timer_peek(&the_timer, play.now_ns, numbers, 4);
        break;
    default:
        ++*armed;
        play.armed++;
        play_arm(number, play.now_ns + ticks * TICK_NS - 2 * TICK_NS);
        break;
    }
}

static void play_fiber(unsigned self)
{
    uint32_t armed = 0;
    for (unsigned i = 0; i < ACTIONS; i++) {
        if (self == 0 && hf_random_chance(&play.random, 50))
            play_sleep();
        else
            play_action(self, &armed);
    }
    play.finished[self] = true;
}

static void play_start(unsigned self, void (*run)(unsigned self))
{
    getcontext(&fibers[self]);
    fibers[self].uc_stack.ss_sp = stacks[self];
    fibers[self].uc_stack.ss_size = STACK_BYTES;
    fibers[self].uc_link = &scheduler;
    makecontext(&fibers[self], (void (*)(void))run, 1, self);
}

static void play_begin(uint64_t seed)
{
    struct hf_random random = hf_random_for(seed, 1);
    uint64_t second_ns = WHEEL_DATE_NS + (hf_random_chance(&random, 50) ? 0 : SECOND);
    memset((void *)the_terms, 0, sizeof the_terms);
    play = (struct play){
        .seed = seed,
        .current = FIBERS,
        .stopping = hf_random_below(&random, 2 * FIBERS), /* or none does */
        .stop_in = hf_random_below(&random, 200),
        .slow = hf_random_below(&random, 2 * FIBERS), /* or none is */
        .switches = 1u << (3 + hf_random_below(&random, 8)),
        .narrow = hf_random_chance(&random, 80),
        .behind = 20,
        .now_ns = second_ns + hf_random_below(&random, 40) * TICK_NS - 36 * TICK_NS,
        .random = random,
    };
    cr_assert_eq(hf_timer_init(&the_timer, the_terms, play.now_ns), 0);
    for (unsigned i = 0; i < FIBERS; i++)
        play_start(i, play_fiber);
}

static void play_fibers(void)
{
    for (;;) {
        unsigned count = 0, left[FIBERS];
        for (unsigned i = 0; i < FIBERS; i++)
            if (!play.finished[i])
                left[count++] = i;
        if (count == 0)
            break;
        unsigned next = left[hf_random_below(&play.random, count)];
        if (next == play.slow && count > 1 && hf_random_chance(&play.random, 95))
            continue;
        play.current = next;
        swapcontext(&scheduler, &fibers[next]);
        play.current = FIBERS;
    }
}

/* Follows the times that the timer tells: everything must come, and to the tick, but for the one
 * entry that a stopped fiber has in its hands. */
static void play_end(void)
{
    uint64_t next_ns;
    play.behind = 0;
    play.end_ns = play.now_ns;
    for (unsigned i = 0; (next_ns = hf_timer_next_ns(&the_timer, play.now_ns)) != UINT64_MAX; i++) {
        cr_assert(i < 1000, "schedule %llu: always work", (unsigned long long)play.seed);
        if (next_ns > play.now_ns)
            play.now_ns = next_ns;
        play_pop(UINT32_MAX);
    }
    uint32_t left = play.armed - play.popped, armed = 0;
    for (uint32_t number = 1; number <= FIBERS * FIBER_ENTRIES; number++)
        armed += atomic_load(&the_terms[number].armed);
    cr_assert(left <= play.stopped && armed <= play.stopped && play.late <= play.stopped,
              "schedule %llu: %u entries are lost, %u armed, %u late",
              (unsigned long long)play.seed, left, armed, play.late);
}

Test(timer_schedules, nothing_is_lost_in_any_schedule_and_a_stopped_thread_holds_up_one_entry)
{
    unsigned asleep = 0;
    for (uint64_t seed = 1; seed <= SCHEDULES; seed++) {
        play_begin(seed);
        play_fibers();
        if (!play.stopped && play.asleep_until_ns != 0 && !play.woken) {
            asleep++;
            cr_assert_geq(hf_timer_next_ns(&the_timer, play.now_ns), play.asleep_until_ns,
                          "schedule %llu: it sleeps past an entry", (unsigned long long)seed);
        }
        play_end();
        hf_timer_close(&the_timer);
    }
    cr_expect_gt(asleep, SCHEDULES / 20, "few schedules ended with somebody asleep");
}

/* ---- one thread is interrupted at every step in turn ---- */

enum act {
    ARM_NEAR,
    ARM_LATER,
    ARM_FAR,
    ARM_YEARS,
    EXTEND,
    POP_ONE,
    POP_ALL,
    POP_LATER,
    SLEEP,
    YEARS,
    ACTS
};

static enum act interrupted;

static void play_act(enum act act, uint32_t number)
{
    static const uint64_t distances_ns[] = {TICK_NS, 2 * TICK_NS, 3 * SECOND, 1200 * DAY};
    static const uint64_t steps_ns[] = {2 * TICK_NS, 3 * TICK_NS, 2 * SECOND};
    if (act <= ARM_YEARS) {
        play.armed++;
        play_arm(number, play.now_ns + distances_ns[act]);
    } else if (act == EXTEND && due_of(1) != 0) {
        play.extended[1] = true;
        play_arm(1, due_of(1) + 2 * TICK_NS);
    } else if (act == SLEEP) { /* until nothing is due, as the server does */
        play_pop(UINT32_MAX);
        play_sleep();
    } else if (act == YEARS) {
        play.now_ns += 1200 * DAY;
        play_pop(1);
    } else if (act != EXTEND) {
        play.now_ns += steps_ns[act - POP_ONE];
        play_pop(act == POP_ONE ? 1 : UINT32_MAX);
    }
}

static void play_interrupted(unsigned self)
{
    play_act(interrupted, 7);
    play.finished[self] = true;
}

static void play_resume(void)
{
    play.current = 0;
    swapcontext(&scheduler, &fibers[0]);
    play.current = FIBERS;
}

/* Two entries are in the bucket after the next, one of them to be filed again; two are in level 1.
 */
static void play_begin_interrupted(enum act act, uint64_t steps)
{
    memset((void *)the_terms, 0, sizeof the_terms);
    play = (struct play){.current = FIBERS, .stop_in = steps, .seed = steps, .slow = FIBERS};
    play.now_ns = WHEEL_DATE_NS + SECOND - 2 * TICK_NS;
    cr_assert_eq(hf_timer_init(&the_timer, the_terms, play.now_ns), 0);
    play.armed = 4;
    for (uint32_t number = 1; number <= 4; number++)
        play_arm(number, play.now_ns + (number <= 2 ? 2 * TICK_NS : number * SECOND));
    play.extended[2] = true;
    play_arm(2, play.now_ns + 5 * TICK_NS);
    interrupted = act;
    play_start(0, play_interrupted);
}

/* True if the first act was interrupted, after so many steps. */
static bool play_pair(enum act first, enum act second, uint64_t steps, bool resumes)
{
    play_begin_interrupted(first, steps);
    play_resume();
    bool was_interrupted = play.stopped;
    play_act(second, 8);
    if (was_interrupted && resumes) {
        play.stopped = false;
        play_resume();
        uint64_t next_ns = hf_timer_next_ns(&the_timer, play.now_ns);
        cr_assert(play.woken || play.asleep_until_ns == 0 || next_ns >= play.asleep_until_ns,
                  "acts %d, %d: it sleeps past an entry", first, second);
    }
    play_end();
    cr_assert(second > ARM_YEARS || due_of(8) == 0, "acts %d, %d: it was stopped", first, second);
    hf_timer_close(&the_timer);
    return was_interrupted;
}

/* After that the first goes on, or never does. (Long acts: at some of their steps.) */
Test(timer_schedules, between_any_two_steps_another_thread_may_do_anything)
{
    for (unsigned first = 0; first < ACTS; first++) {
        for (unsigned second = 0; second < ACTS; second++) {
            if (first == SLEEP && second == SLEEP)
                continue; /* there is one sleeper */
            uint64_t steps = 0;
            while (play_pair(first, second, steps, true) && play_pair(first, second, steps, false))
                steps += steps < 200 ? 1 : steps < 3000 ? 61 : 4999;
        }
    }
}
