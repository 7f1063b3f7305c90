/*
 * The reservation word: N threads race to cancel the same reservations, while all of them read.
 *
 * Checked: exactly one cancel of each is the first, and all others are told its date and LSN; the
 * units come back exactly once (RESOLVES-ONCE); a reader sees a state together with the sequence,
 * the date and the LSN that belong to it, each reservation only ever goes forward, and nobody reads
 * a state whose image is not in the log.
 *
 * The ring is so large that nobody has to drain it: at the end it holds the whole log.
 */
#include <string.h>

#include "engine/engine.h"
#include "engine/image.h"
#include "engine/resolve.h"
#include "tests/lib/stress.h"

#define RESERVATIONS 1500u /* of a round */
#define AHEAD        3u    /* reservations that the threads meet at */
#define MADE_AT_NS   1000u
#define RING_SLOTS   16384u

/* What a thread was told of a reservation last; and at last, what is true. */
struct told {
    uint64_t cancel_lsn; /* 0: not told that it is cancelled */
    uint64_t cancelled_at_ns;
};

struct round {
    struct hf_engine engine;
    struct hf_ring ring;
    uint64_t seed;
    uint64_t grant_lsn[RESERVATIONS];
    uint32_t qty[RESERVATIONS];
    _Atomic uint32_t next; /* the first of the reservations that the threads are at */
    _Atomic uint32_t first_cancels[RESERVATIONS];
    _Atomic uint64_t reads;
    _Atomic uint64_t busy;
    struct told told[HF_STRESS_MAX_THREADS][RESERVATIONS];
};

static struct round round_now;

/* The image is in the log before anyone reads the state. */
static void check_logged(const struct round *round, const struct hf_reservation *reservation)
{
    const struct hf_ring_slot *slot = &round->ring.slots[reservation->lsn & (RING_SLOTS - 1)];
    /* Acquire, pairs with hf_ring_publish(). */
    if (hf_load_acquire(&slot->lsn) != reservation->lsn)
        hf_stress_fail("LSN %llu is told and not in the log yet (LSN-ORDER)",
                       (unsigned long long)reservation->lsn);
    struct hf_image image;
    const char *wrong = hf_image_decode((const uint8_t *)slot, &image);
    if (wrong != NULL)
        hf_stress_fail("LSN %llu: %s", (unsigned long long)reservation->lsn, wrong);
    if (image.reservation.state != reservation->state ||
        image.reservation.sequence != reservation->sequence ||
        image.reservation.changed_at_ns != reservation->changed_at_ns ||
        !hf_id_equal(&image.reservation.id, &reservation->id))
        hf_stress_fail("LSN %llu says something else than what is read of its reservation",
                       (unsigned long long)reservation->lsn);
}

static void check_read(struct round *round, unsigned index, uint32_t number,
                       const struct hf_reservation *read)
{
    struct told *told = &round->told[index][number];
    check_logged(round, read);
    if (read->made_at_ns != MADE_AT_NS || read->qty != round->qty[number])
        hf_stress_fail("reservation %u is read with other parameters", number);
    if (read->state == HF_STATE_CONFIRMED) {
        if (told->cancel_lsn != 0 || read->sequence != 1 || read->lsn != round->grant_lsn[number] ||
            read->changed_at_ns != MADE_AT_NS)
            hf_stress_fail("reservation %u is CONFIRMED with sequence %u and LSN %llu%s", number,
                           read->sequence, (unsigned long long)read->lsn,
                           told->cancel_lsn != 0 ? ", and was cancelled before" : "");
        return;
    }
    if (read->sequence != 2 || read->lsn <= round->grant_lsn[number] ||
        read->changed_at_ns <= MADE_AT_NS)
        hf_stress_fail("reservation %u is CANCELLED with sequence %u, LSN %llu, date %llu", number,
                       read->sequence, (unsigned long long)read->lsn,
                       (unsigned long long)read->changed_at_ns);
    if (told->cancel_lsn != 0 &&
        (told->cancel_lsn != read->lsn || told->cancelled_at_ns != read->changed_at_ns))
        hf_stress_fail("reservation %u was cancelled at LSN %llu, and now at %llu", number,
                       (unsigned long long)told->cancel_lsn, (unsigned long long)read->lsn);
    *told = (struct told){read->lsn, read->changed_at_ns};
}

static void try_one(struct round *round, struct hf_actor *actor, unsigned index, uint32_t number,
                    bool cancels)
{
    struct hf_id id = hf_id_of_number(number);
    struct hf_outcome outcome;
    hf_actor_enter(actor);
    if (cancels)
        hf_engine_resolve(actor, HF_OP_CANCEL, &id, &outcome);
    else
        hf_engine_get(actor, &id, &outcome);
    hf_actor_exit(actor);
    if (hf_outcome_put_aside(&outcome)) {
        hf_fetch_add_relaxed(&round->busy, 1); /* a count */
        return;
    }
    if (outcome.result != (cancels ? HF_CANCELLED : HF_FOUND))
        hf_stress_fail("reservation %u: %s", number, hf_result_name(outcome.result));
    check_read(round, index, number, &outcome.reservation);
    hf_fetch_add_relaxed(&round->reads, 1); /* a count */
    if (!cancels)
        return;
    if (outcome.reservation.state != HF_STATE_CANCELLED)
        hf_stress_fail("CANCELLED, but reservation %u is not", number);
    if (!outcome.repeated && hf_fetch_add_acq_rel(&round->first_cancels[number], 1) != 0)
        hf_stress_fail("reservation %u was cancelled twice (RESOLVES-ONCE)", number);
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct hf_random random = hf_random_for(round->seed, index);
    struct hf_actor actor;
    if (hf_actor_init(&actor, &round->engine, &round->ring) != 0)
        hf_stress_fail("out of memory");
    actor.now_ns = MADE_AT_NS + 1 + index;
    for (;;) {
        uint32_t next = hf_load_relaxed(&round->next); /* any value of any time is good */
        if (next >= RESERVATIONS)
            break;
        uint32_t number = next + hf_random_below(&random, AHEAD);
        if (number >= RESERVATIONS)
            number = RESERVATIONS - 1;
        try_one(round, &actor, index, number, hf_random_chance(&random, 30));
        if (hf_random_chance(&random, 15))
            hf_cas_acq_rel(&round->next, &next, next + 1);
        hf_random_pause(&random);
    }
    hf_actor_close(&actor);
}

static void grant_all(struct round *round, struct hf_random *random)
{
    struct hf_actor actor;
    struct hf_outcome outcome;
    if (hf_actor_init(&actor, &round->engine, &round->ring) != 0)
        hf_stress_fail("out of memory");
    actor.now_ns = MADE_AT_NS;
    hf_engine_create_inventory(&actor, 1, 1, 4 * RESERVATIONS, &outcome);
    for (uint32_t number = 0; number < RESERVATIONS; number++) {
        round->qty[number] = 1 + hf_random_below(random, 4);
        struct hf_reserve request = {.id = hf_id_of_number(number),
                                     .inventory_id = 1,
                                     .customer_id = 1,
                                     .qty = round->qty[number]};
        hf_engine_reserve(&actor, &request, &outcome);
        if (outcome.result != HF_GRANTED)
            hf_stress_fail("reservation %u: %s", number, hf_result_name(outcome.result));
        round->grant_lsn[number] = outcome.reservation.lsn;
    }
    hf_actor_close(&actor);
}

/* All threads are joined: cancels what nobody did, and compares what all were told. */
static void finish(struct round *round, unsigned threads)
{
    struct hf_actor actor;
    struct hf_outcome outcome;
    if (hf_actor_init(&actor, &round->engine, &round->ring) != 0)
        hf_stress_fail("out of memory");
    actor.now_ns = MADE_AT_NS + 1;
    for (uint32_t number = 0; number < RESERVATIONS; number++) {
        struct hf_id id = hf_id_of_number(number);
        hf_engine_resolve(&actor, HF_OP_CANCEL, &id, &outcome);
        bool first = hf_load_relaxed(&round->first_cancels[number]) == 0;
        if (outcome.result != HF_CANCELLED || outcome.repeated == first)
            hf_stress_fail("reservation %u: %s, repeated: %d", number,
                           hf_result_name(outcome.result), outcome.repeated);
        for (unsigned i = 0; i < threads; i++)
            check_read(round, i, number, &outcome.reservation);
    }
    hf_engine_get_inventory(&actor, 1, &outcome);
    hf_actor_close(&actor);
    if (outcome.inventory.available != (int32_t)(4 * RESERVATIONS) ||
        outcome.inventory.version != 1 + 2 * RESERVATIONS)
        hf_stress_fail("%d units of %u came back, at version %u of %u (CONSERVATION)",
                       outcome.inventory.available, 4 * RESERVATIONS, outcome.inventory.version,
                       1 + 2 * RESERVATIONS);
    uint64_t records = hf_load_relaxed(&round->ring.tail) - 1;
    if (records != 1 + 2ull * RESERVATIONS)
        hf_stress_fail("%llu records, %u changes", (unsigned long long)records,
                       1 + 2 * RESERVATIONS);
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("reservation_word", argc, argv, &options);
    struct round *round = &round_now;
    uint64_t rounds = 0, reads = 0, busy = 0;
    for (; rounds == 0 || !hf_stress_over(); rounds++) {
        struct hf_random random = hf_random_for(options.seed, rounds);
        memset(round, 0, sizeof *round);
        round->seed = hf_random_next(&random);
        struct hf_region region;
        if (hf_region_create(&region, 1, RESERVATIONS) != 0 ||
            hf_ring_init(&round->ring, RING_SLOTS, 1) != 0)
            hf_stress_fail("cannot create a region and a ring");
        if (hf_engine_init(&round->engine, &region, HF_DEFAULT_RETAIN_NS, MADE_AT_NS) != 0)
            hf_stress_fail("out of memory");
        grant_all(round, &random);
        hf_stress_run(options.threads, run, round);
        finish(round, options.threads);
        reads += hf_load_relaxed(&round->reads);
        busy += hf_load_relaxed(&round->busy);
        hf_engine_close(&round->engine);
        hf_region_close(&round->engine.region);
        hf_ring_close(&round->ring);
    }
    return hf_stress_done("%llu rounds, %llu cancels, %llu answers, %llu put aside",
                          (unsigned long long)rounds, (unsigned long long)rounds * RESERVATIONS,
                          (unsigned long long)reads, (unsigned long long)busy);
}
