/*
 * The timer under N threads that arm, extend and pop, on a clock that they move themselves, by ticks
 * and now and then by hours. Each looks at it a little before or after the others. The first one
 * also sleeps as the server does when nothing is due.
 *
 * What an entry is wanted for is its due_ns, as it is the reservation's word in the engine: whoever
 * pops it when that is due takes it (CAS to 0). Every fourth one is never extended.
 *
 * Checked: what was armed is taken once; what was never extended is popped once, and not early; a
 * thread that sleeps is woken for all that is to be looked at earlier; when all threads are joined,
 * a tick later nothing that is due is left; and whoever follows the times that the timer tells finds
 * every entry.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "engine/timer.h"
#include "tests/lib/stress.h"

#define ENTRIES    400u
#define OPERATIONS 2000u /* of a thread in a phase */
#define PHASES     6u
#define TICK_NS    (1ull << 18)
#define START_NS                                                                                   \
    ((1700000000000000000ull >> 42 << 42) - 20 * TICK_NS) /* an hour is about to begin */
#define TAKEN 0u

struct round {
    struct hf_timer timer;
    struct hf_terms *terms;
    uint64_t seed;
    _Atomic uint64_t now_ns;
    _Atomic uint32_t woken;
    uint64_t asleep_until_ns;           /* written by thread 0; 0: it is awake */
    _Atomic uint8_t filed[ENTRIES + 1]; /* of those that are never extended */
    _Atomic uint64_t armed, taken;
    unsigned phase;
};

static struct round round_now;

static bool is_extended(uint32_t number)
{
    return number % 4 != 0;
}

/* In every other phase all that happens is within some ticks, and there are few entries: threads
 * meet in the same bucket. */
static bool is_narrow(const struct round *round)
{
    return round->phase % 2 != 0;
}

static uint32_t random_number(const struct round *round, struct hf_random *random)
{
    return 1 + hf_random_below(random, is_narrow(round) ? 16 : ENTRIES);
}

/* Mostly ticks and milliseconds, sometimes what another level holds. */
static uint64_t random_ns(const struct round *round, struct hf_random *random)
{
    static const uint64_t sizes_ns[] = {4 * TICK_NS,     40 * TICK_NS, 4096 * TICK_NS,
                                        12288 * TICK_NS, 1ull << 42,   1ull << 44};
    uint32_t dice = hf_random_below(random, is_narrow(round) ? 600 : 1000);
    unsigned size = dice < 600   ? 0
                    : dice < 900 ? 1
                    : dice < 970 ? 2
                    : dice < 990 ? 3
                    : dice < 998 ? 4
                                 : 5;
    return hf_random_next(random) % sizes_ns[size];
}

static void file(struct round *round, uint32_t number)
{
    if (hf_timer_arm(&round->timer, number))
        hf_store_release(&round->woken, 1); /* pairs with the load in sleep_until_due() */
}

static void arm(struct round *round, struct hf_random *random, uint64_t now_ns)
{
    uint32_t number = random_number(round, random);
    uint64_t due_ns = TAKEN;
    if (!is_extended(number) && hf_exchange_acq_rel(&round->filed[number], 1) != 0)
        return; /* whoever pops it is not done with it */
    /* acq_rel: whoever wins files the entry. */
    if (hf_cas_acq_rel(&round->terms[number].due_ns, &due_ns,
                       now_ns + random_ns(round, random) - random_ns(round, random) % TICK_NS)) {
        hf_fetch_add_relaxed(&round->armed, 1); /* a count */
        file(round, number);
    } else if (!is_extended(number)) {
        hf_stress_fail("%u is not filed, but due at %llu", number, (unsigned long long)due_ns);
    }
}

static void extend(struct round *round, struct hf_random *random)
{
    uint32_t number = random_number(round, random);
    uint64_t due_ns = hf_load_relaxed(&round->terms[number].due_ns); /* the CAS decides */
    if (!is_extended(number) || due_ns == TAKEN)
        return;
    /* acq_rel: it is still wanted, at the later time. */
    if (hf_cas_acq_rel(&round->terms[number].due_ns, &due_ns, due_ns + random_ns(round, random)))
        file(round, number);
}

static void take_popped(struct round *round, uint32_t number, uint64_t now_ns)
{
    if (number > ENTRIES)
        hf_stress_fail("%u was never armed", number);
    uint64_t due_ns = hf_load_acquire(&round->terms[number].due_ns); /* the CAS decides */
    if (!is_extended(number) && (due_ns == TAKEN || due_ns > now_ns))
        hf_stress_fail("%u is popped %s", number, due_ns == TAKEN ? "twice" : "early");
    if (due_ns > now_ns) {
        file(round, number); /* extended a moment ago */
        return;
    }
    /* acq_rel: if it fails, whoever extended the entry files it. */
    if (due_ns == TAKEN || !hf_cas_acq_rel(&round->terms[number].due_ns, &due_ns, TAKEN))
        return;
    hf_fetch_add_relaxed(&round->taken, 1); /* a count */
    if (!is_extended(number) && hf_exchange_acq_rel(&round->filed[number], 0) != 1)
        hf_stress_fail("%u is taken twice", number);
}

static void pop(struct round *round, uint64_t now_ns, uint32_t budget)
{
    bool wake = false;
    uint32_t number;
    while ((number = hf_timer_pop(&round->timer, now_ns, &budget, &wake)) != 0)
        take_popped(round, number, now_ns);
    if (wake)
        hf_store_release(&round->woken, 1); /* pairs with the load in sleep_until_due() */
}

static void look(struct round *round, uint64_t now_ns)
{
    uint32_t numbers[32];
    uint32_t count = hf_timer_peek(&round->timer, now_ns, numbers, 32);
    for (uint32_t i = 0; i < count; i++)
        if (numbers[i] == 0 || numbers[i] > ENTRIES)
            hf_stress_fail("peek tells %u", numbers[i]);
    hf_timer_backlog(&round->timer, now_ns);
    hf_timer_next_ns(&round->timer, now_ns);
}

/* Not for ever, as it may be up to this thread to move the clock. Asleep it stays until its next
 * operation. */
static void sleep_until_due(struct round *round)
{
    hf_timer_awake(&round->timer);
    hf_store_relaxed(&round->woken, 0); /* nobody is told between this and the announcement */
    uint64_t now_ns = hf_load_relaxed(&round->now_ns); /* a clock */
    uint64_t until_ns = hf_timer_sleep(&round->timer, now_ns);
    round->asleep_until_ns = until_ns > now_ns ? until_ns : 0;
    for (unsigned i = 0; i < 20 && hf_load_relaxed(&round->now_ns) < until_ns; i++) {
        if (hf_load_acquire(&round->woken) != 0) /* pairs with the stores: they were told */
            break;
        sched_yield();
    }
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct hf_random random = hf_random_for(round->seed + round->phase, index);
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        /* Relaxed: clocks differ. */
        uint64_t now_ns = hf_load_relaxed(&round->now_ns) + hf_random_below(&random, 4 * TICK_NS);
        now_ns -= 2 * TICK_NS;
        uint32_t dice = hf_random_below(&random, 100);
        if (index == 0 && dice < 20)
            sleep_until_due(round);
        else if (dice < 50)
            arm(round, &random, now_ns);
        else if (dice < 60)
            extend(round, &random);
        else if (dice < 90)
            pop(round, now_ns, 1 + hf_random_below(&random, 12));
        else if (dice < 93)
            look(round, now_ns);
        else
            hf_fetch_add_relaxed(&round->now_ns, random_ns(round, &random)); /* a clock */
        hf_random_pause(&random);
    }
}

/* All threads are joined; thread 0 may sleep. */
static void check_asleep(struct round *round)
{
    uint64_t now_ns = hf_load_relaxed(&round->now_ns);
    uint64_t next_ns = hf_timer_next_ns(&round->timer, now_ns);
    if (round->asleep_until_ns > next_ns && hf_load_relaxed(&round->woken) == 0)
        hf_stress_fail("somebody sleeps %llu ns past an entry, and was not woken",
                       (unsigned long long)(round->asleep_until_ns - next_ns));
}

/* A tick after the latest time that any thread has given. */
static void check_not_late(struct round *round)
{
    uint64_t now_ns = hf_load_relaxed(&round->now_ns) + 4 * TICK_NS;
    hf_store_relaxed(&round->now_ns, now_ns);
    pop(round, now_ns, UINT32_MAX);
    for (uint32_t number = 1; number <= ENTRIES; number++) {
        uint64_t due_ns = hf_load_relaxed(&round->terms[number].due_ns);
        if (due_ns != TAKEN && due_ns <= now_ns - TICK_NS)
            hf_stress_fail("%u is late by %llu ns", number, (unsigned long long)(now_ns - due_ns));
    }
    if (hf_timer_backlog(&round->timer, now_ns))
        hf_stress_fail("nothing is left, and there is a backlog");
}

static void check_nothing_lost(struct round *round)
{
    uint64_t now_ns = hf_load_relaxed(&round->now_ns), next_ns;
    while ((next_ns = hf_timer_next_ns(&round->timer, now_ns)) != UINT64_MAX) {
        if (next_ns > now_ns)
            now_ns = next_ns;
        pop(round, now_ns, UINT32_MAX);
    }
    for (uint32_t number = 1; number <= ENTRIES; number++)
        if (hf_load_relaxed(&round->terms[number].due_ns) != TAKEN ||
            hf_load_relaxed(&round->terms[number].armed) != 0)
            hf_stress_fail("%u is lost", number);
    if (hf_load_relaxed(&round->armed) != hf_load_relaxed(&round->taken))
        hf_stress_fail("%llu were armed, %llu were taken",
                       (unsigned long long)hf_load_relaxed(&round->armed),
                       (unsigned long long)hf_load_relaxed(&round->taken));
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("timer", argc, argv, &options);
    struct round *round = &round_now;
    uint64_t rounds = 0, taken = 0;
    for (; rounds == 0 || !hf_stress_over(); rounds++) {
        memset((void *)round, 0, sizeof *round);
        round->seed = options.seed + rounds * PHASES;
        round->now_ns = START_NS;
        round->terms = calloc(ENTRIES + 1, sizeof *round->terms);
        if (round->terms == NULL || hf_timer_init(&round->timer, round->terms, START_NS) != 0)
            hf_stress_fail("out of memory");
        for (round->phase = 0; round->phase < PHASES; round->phase++) {
            hf_stress_run(options.threads, run, round);
            check_asleep(round);
            check_not_late(round);
        }
        check_nothing_lost(round);
        taken += hf_load_relaxed(&round->taken); /* all threads are joined */
        hf_timer_close(&round->timer);
        free(round->terms);
    }
    return hf_stress_done("%llu rounds, %llu entries taken", (unsigned long long)rounds,
                          (unsigned long long)taken);
}
