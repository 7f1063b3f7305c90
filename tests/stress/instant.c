/*
 * The instant of a change: it takes effect in several steps, and nobody is refused for want of one of them
 * who has seen that it is over (HONEST-NO). Inventories A and B have one unit each; a lap is one change.
 *
 * A batch takes B's unit, and lets go of A: it releases a hold of A's unit, or leaves A's waiting list as its
 * last. Both follow their LSN, hence the instant at which units are taken. Who is told in a lap that B has none,
 * and then in the same lap that A has none, or has a waiting list, was told a lie.
 *
 * A cancel gives A's unit back, if the settings allow it. In the same lap others forbid cancels, and then
 * ask for A's unit. Who is told that there is none, when the cancel was allowed, and so came before
 * that, was told a lie.
 *
 * A hold lapses as a lap begins, and the changer and everybody else may notice. Who is told then that A has
 * no unit was told a lie.
 *
 * Those who ask take nothing: they want more units than there can be, and are told how many there are. The
 * ring is so large that it need not be drained in a round.
 */
#include <sched.h>
#include <string.h>

#include "base/atomics.h"
#include "base/clock.h"
#include "engine/execute.h"
#include "engine/lapse.h"
#include "tests/lib/stress.h"

#define LAPS       2000u
#define RING_SLOTS (1u << 18)
#define A          1u
#define B          2u
#define MADE_NS    1000u
#define FIRST_ID   100u

/* How A is let go. */
enum change { RELEASE, LEAVE, CANCEL, LAPSE, CHANGES };

struct round {
    struct hf_engine engine;
    struct hf_ring ring;
    uint64_t seed;
    enum change change;
    _Atomic uint32_t lap;         /* odd: open */
    _Atomic uint32_t ended;       /* no more laps */
    _Atomic uint64_t met;         /* looks that saw the change, in its lap */
    _Atomic uint8_t denied[LAPS]; /* A's unit, when no cancel was allowed any more */
    bool cancelled[LAPS];         /* by the changer, in its lap */
};

static struct round round_now;

/* Asks until it is decided. */
static struct hf_outcome ask(struct hf_actor *actor, const struct hf_request *request)
{
    struct hf_reservation_entry entries[2];
    struct hf_outcome outcome;
    for (;;) {
        hf_actor_enter(actor);
        if (!hf_engine_execute(actor, request, entries, &outcome))
            hf_stress_fail("the engine does not know operation %d", (int)request->operation);
        hf_actor_exit(actor);
        if (!hf_outcome_put_aside(&outcome))
            return outcome;
        if (outcome.result == HF_PUT_ASIDE_LOG_FULL)
            hf_stress_fail("the ring is too small");
        sched_yield();
    }
}

static struct hf_outcome claim(struct hf_actor *actor, enum hf_operation operation, uint32_t number,
                               uint64_t inventory_id, uint32_t qty)
{
    const struct hf_request request = {
        .operation = operation,
        .id = hf_id_of_number(number),
        .inventory_id = inventory_id,
        .customer_id = 1,
        .qty = qty,
        .ttl_ns = HF_NS_PER_S,
    };
    return ask(actor, &request);
}

static struct hf_outcome resolve(struct hf_actor *actor, enum hf_operation operation,
                                 uint32_t number)
{
    const struct hf_request request = {.operation = operation, .id = hf_id_of_number(number)};
    return ask(actor, &request);
}

static void expect(struct hf_outcome outcome, unsigned result, const char *what)
{
    if (outcome.result != result)
        hf_stress_fail("%s: %s", what, hf_result_name(outcome.result));
}

/* B's unit is taken and A let go: at one instant. */
static struct hf_outcome change_both(const struct round *round, struct hf_actor *actor,
                                     uint32_t of_a, uint32_t of_b)
{
    const struct hf_line lines[2] = {
        {.operation = HF_OP_RESERVE,
         .id = hf_id_of_number(of_b),
         .inventory_id = B,
         .customer_id = 1,
         .qty = 1},
        {.operation = round->change == LEAVE ? HF_OP_LEAVE : HF_OP_RELEASE,
         .id = hf_id_of_number(of_a)},
    };
    const struct hf_request batch = {.operation = HF_OP_BATCH, .count = 2, .lines = lines};
    return ask(actor, &batch);
}

/* From this date on nothing of A can be cancelled; 0: whenever. */
static void set_cut_off(struct hf_actor *actor, uint64_t date_ns)
{
    const struct hf_request set = {
        .operation = HF_OP_INVENTORY_SET,
        .inventory_id = A,
        .change = {.fields = HF_SET_CANCEL_UNTIL, .settings = {.cancel_until_ns = date_ns}},
    };
    expect(ask(actor, &set), HF_SET, "the cut-off of A");
}

static void pause_for_others(struct hf_random *random)
{
    for (uint32_t i = hf_random_below(random, 300); i > 0; i--)
        hf_cpu_relax();
}

static void cancel_laps(struct round *round, struct hf_actor *actor)
{
    struct hf_random random = hf_random_for(round->seed, 0);
    for (uint32_t lap = 0; lap < LAPS; lap++) {
        struct hf_outcome outcome;
        expect(claim(actor, HF_OP_RESERVE, FIRST_ID + lap, A, 1), HF_GRANTED, "the unit of A");
        hf_fetch_add_acq_rel(&round->lap, 1);
        pause_for_others(&random);
        outcome = resolve(actor, HF_OP_CANCEL, FIRST_ID + lap);
        round->cancelled[lap] = outcome.result == HF_CANCELLED;
        pause_for_others(&random);
        hf_fetch_add_acq_rel(&round->lap, 1);
        while (outcome.result == HF_CANCEL_TOO_LATE) { /* one of the others may be late, too */
            set_cut_off(actor, 0);
            outcome = resolve(actor, HF_OP_CANCEL, FIRST_ID + lap);
        }
        expect(outcome, HF_CANCELLED, "the unit of A");
        set_cut_off(actor, 0);
    }
    hf_store_release(&round->ended, 1);
}

/* Once a lap: forbids cancels, and then asks for A's unit. */
static void forbid(struct round *round, struct hf_actor *actor, uint32_t *last_lap)
{
    uint32_t lap = hf_load_acquire(&round->lap);
    if (lap % 2 == 0 || lap == *last_lap)
        return;
    *last_lap = lap;
    set_cut_off(actor, MADE_NS);
    struct hf_outcome a = claim(actor, HF_OP_RESERVE, 3, A, 2);
    expect(a, HF_SOLD_OUT, "two units of A");
    if (hf_load_acquire(&round->lap) != lap)
        return;                           /* it may be of another lap */
    hf_fetch_add_relaxed(&round->met, 1); /* a count */
    if (a.availability.available == 0)
        hf_store_relaxed(&round->denied[lap / 2], 1); /* judged after the join */
}

/* The date of a lap: its hold's deadline. */
static uint64_t date_of(uint32_t lap)
{
    return MADE_NS + (uint64_t)(lap + 1) * HF_NS_PER_S;
}

static void lapse_laps(struct round *round, struct hf_actor *actor)
{
    struct hf_random random = hf_random_for(round->seed, 0);
    for (uint32_t lap = 0; lap < LAPS; lap++) {
        actor->now_ns = date_of(lap) - HF_NS_PER_S;
        expect(claim(actor, HF_OP_HOLD, FIRST_ID + lap, A, 1), HF_GRANTED, "the unit of A");
        hf_fetch_add_acq_rel(&round->lap, 1);
        actor->now_ns = date_of(lap);
        hf_actor_enter(actor);
        hf_engine_tick(actor, 64);
        hf_actor_exit(actor);
        pause_for_others(&random);
        hf_fetch_add_acq_rel(&round->lap, 1);
    }
    hf_store_release(&round->ended, 1);
}

static void look_for_lapsed(struct round *round, struct hf_actor *actor)
{
    uint32_t lap = hf_load_acquire(&round->lap);
    if (lap % 2 == 0)
        return;
    actor->now_ns = date_of(lap / 2);
    struct hf_outcome a = claim(actor, HF_OP_RESERVE, 3, A, 2);
    expect(a, HF_SOLD_OUT, "two units of A");
    if (hf_load_acquire(&round->lap) != lap)
        return;                           /* it may be held in the next lap */
    hf_fetch_add_relaxed(&round->met, 1); /* a count */
    if (a.availability.available == 0)
        hf_stress_fail("A's unit was denied behind the deadline of its hold (HONEST-NO)");
}

static void batch_laps(struct round *round, struct hf_actor *actor)
{
    struct hf_random random = hf_random_for(round->seed, 0);
    if (round->change == LEAVE)
        expect(claim(actor, HF_OP_RESERVE, 1, A, 1), HF_GRANTED, "the unit of A");
    for (uint32_t lap = 0; lap < LAPS; lap++) {
        uint32_t of_a = FIRST_ID + 2 * lap, of_b = of_a + 1;
        if (round->change == LEAVE)
            expect(claim(actor, HF_OP_JOIN, of_a, A, 1), HF_JOINED, "waiting for A");
        else
            expect(claim(actor, HF_OP_HOLD, of_a, A, 1), HF_GRANTED, "the unit of A");
        hf_fetch_add_acq_rel(&round->lap, 1);
        expect(change_both(round, actor, of_a, of_b), HF_BATCH_DONE, "the batch");
        pause_for_others(&random);
        hf_fetch_add_acq_rel(&round->lap, 1);
        expect(resolve(actor, HF_OP_CANCEL, of_b), HF_CANCELLED, "the unit of B");
    }
    hf_store_release(&round->ended, 1);
}

static void look(struct round *round, struct hf_actor *actor)
{
    uint32_t lap = hf_load_acquire(&round->lap);
    if (lap % 2 == 0)
        return;
    struct hf_outcome b = claim(actor, HF_OP_RESERVE, 2, B, 2);
    expect(b, HF_SOLD_OUT, "two units of B");
    if (b.availability.available != 0)
        return;
    struct hf_outcome a = claim(actor, HF_OP_RESERVE, 3, A, 2);
    if (hf_load_acquire(&round->lap) != lap)
        return; /* B's unit may be that of the lap before, or A another's */
    hf_fetch_add_relaxed(&round->met, 1); /* a count */
    if (round->change == LEAVE ? a.result == HF_WAITING_LIST : a.availability.available == 0)
        hf_stress_fail("what a batch has taken was seen, and then what it had ended: %s, %d "
                       "available (HONEST-NO)",
                       hf_result_name(a.result), a.availability.available);
    expect(a, HF_SOLD_OUT, "two units of A");
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct hf_actor actor;
    if (hf_actor_init(&actor, &round->engine, &round->ring) != 0)
        hf_stress_fail("out of memory");
    actor.now_ns = MADE_NS;
    uint32_t last_lap = 0;
    if (index == 0 && round->change == CANCEL)
        cancel_laps(round, &actor);
    else if (index == 0 && round->change == LAPSE)
        lapse_laps(round, &actor);
    else if (index == 0)
        batch_laps(round, &actor);
    while (hf_load_acquire(&round->ended) == 0) {
        if (round->change == CANCEL)
            forbid(round, &actor, &last_lap);
        else if (round->change == LAPSE)
            look_for_lapsed(round, &actor);
        else
            look(round, &actor);
    }
    hf_actor_close(&actor);
}

/* All threads are joined. */
static void judge_cancels(const struct round *round)
{
    for (uint32_t lap = 0; lap < LAPS; lap++)
        if (round->cancelled[lap] && hf_load_relaxed(&round->denied[lap]) != 0)
            hf_stress_fail(
                "lap %u: a cancel was allowed, and the unit that it gave back was denied "
                "to one who knew that none is allowed any more (HONEST-NO)",
                lap);
}

static void set_up(struct round *round, uint64_t seed, uint64_t number)
{
    struct hf_region region;
    struct hf_actor actor;
    memset(round, 0, sizeof *round);
    round->seed = seed + number;
    round->change = (enum change)(number % CHANGES);
    if (hf_region_create(&region, 2, 3 * LAPS) != 0 ||
        hf_ring_init(&round->ring, RING_SLOTS, 1) != 0 ||
        hf_engine_init(&round->engine, &region, HF_DEFAULT_RETAIN_NS, MADE_NS) != 0 ||
        hf_actor_init(&actor, &round->engine, &round->ring) != 0)
        hf_stress_fail("cannot create an engine");
    actor.now_ns = MADE_NS;
    for (uint64_t inventory_id = A; inventory_id <= B; inventory_id++) {
        const struct hf_request create = {
            .operation = HF_OP_INVENTORY_CREATE, .inventory_id = inventory_id, .capacity = 1};
        expect(ask(&actor, &create), HF_CREATED, "an inventory");
    }
    hf_actor_close(&actor);
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("instant", argc, argv, &options);
    struct round *round = &round_now;
    uint64_t rounds = 0, met = 0;
    for (; rounds < CHANGES || !hf_stress_over(); rounds++) {
        set_up(round, options.seed, rounds);
        hf_stress_run(options.threads, run, round);
        judge_cancels(round);
        met += hf_load_relaxed(&round->met);
        hf_engine_close(&round->engine);
        hf_region_close(&round->engine.region);
        hf_ring_close(&round->ring);
    }
    if (met == 0)
        hf_stress_fail("nobody saw a change in its lap");
    return hf_stress_done("%llu rounds of %u changes, seen %llu times", (unsigned long long)rounds,
                          LAPS, (unsigned long long)met);
}
