/*
 * The instant of a batch: one thread changes two inventories at once, the others look at the one, and
 * then at the other. Who has seen what the batch has taken is not refused, afterwards, for what the same
 * batch has ended (HONEST-NO): units that it gives back, or a place in a waiting list that it gives up.
 * Both follow their LSN, hence the instant at which units are taken.
 *
 * Inventories A and B have one unit each. In a lap, the changer holds A's unit, or waits for it, and B's is
 * free. It opens the lap, and in one batch takes B's unit and lets go of A. Nobody else takes anything:
 * the others ask for more units than there can be, and are told how many there are. Who is told in a
 * lap that B has none, and then in the same lap that A has none, or has a waiting list, was told a lie.
 *
 * The ring is so large that it need not be drained in a round.
 */
#include <sched.h>
#include <string.h>

#include "base/atomics.h"
#include "base/clock.h"
#include "engine/execute.h"
#include "tests/lib/stress.h"

#define LAPS       2000u
#define RING_SLOTS (1u << 15)
#define A          1u
#define B          2u
#define MADE_NS    1000u
#define FIRST_ID   100u

struct round {
    struct hf_engine engine;
    struct hf_ring ring;
    uint64_t seed;
    bool waits;             /* the changer waits for A's unit; else it holds it */
    _Atomic uint32_t lap;   /* odd: open */
    _Atomic uint32_t ended; /* no more laps */
    _Atomic uint64_t met;   /* looks that saw the batch, in its lap */
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
        {.operation = round->waits ? HF_OP_LEAVE : HF_OP_RELEASE, .id = hf_id_of_number(of_a)},
    };
    const struct hf_request batch = {.operation = HF_OP_BATCH, .count = 2, .lines = lines};
    return ask(actor, &batch);
}

static void change(struct round *round, struct hf_actor *actor)
{
    struct hf_random random = hf_random_for(round->seed, 0);
    if (round->waits)
        expect(claim(actor, HF_OP_RESERVE, 1, A, 1), HF_GRANTED, "the unit of A");
    for (uint32_t lap = 0; lap < LAPS; lap++) {
        uint32_t of_a = FIRST_ID + 2 * lap, of_b = of_a + 1;
        if (round->waits)
            expect(claim(actor, HF_OP_JOIN, of_a, A, 1), HF_JOINED, "waiting for A");
        else
            expect(claim(actor, HF_OP_HOLD, of_a, A, 1), HF_GRANTED, "the unit of A");
        hf_fetch_add_acq_rel(&round->lap, 1);
        expect(change_both(round, actor, of_a, of_b), HF_BATCH_DONE, "the batch");
        for (uint32_t i = hf_random_below(&random, 300); i > 0; i--)
            hf_cpu_relax();
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
    if (round->waits ? a.result == HF_WAITING_LIST : a.availability.available == 0)
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
    if (index == 0)
        change(round, &actor);
    while (hf_load_acquire(&round->ended) == 0)
        look(round, &actor);
    hf_actor_close(&actor);
}

static void set_up(struct round *round, uint64_t seed, uint64_t number)
{
    struct hf_region region;
    struct hf_actor actor;
    memset(round, 0, sizeof *round);
    round->seed = seed + number;
    round->waits = number % 2 == 0;
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
    for (; rounds < 2 || !hf_stress_over(); rounds++) {
        set_up(round, options.seed, rounds);
        hf_stress_run(options.threads, run, round);
        met += hf_load_relaxed(&round->met);
        hf_engine_close(&round->engine);
        hf_region_close(&round->engine.region);
        hf_ring_close(&round->ring);
    }
    if (met == 0)
        hf_stress_fail("nobody saw a batch in its lap");
    return hf_stress_done("%llu rounds of %u batches, seen %llu times", (unsigned long long)rounds,
                          LAPS, (unsigned long long)met);
}
