/*
 * The inventory word under N threads that claim and give back random quantities of a few words.
 *
 * Checked: nobody ever sees less than zero or more than the limit; each claim has a version of its
 * own; the units that are out never exceed the limit; at the end all came back (CONSERVATION) and
 * the version counts exactly the changes.
 *
 * HONEST-NO, where it can be known: of every word, `reserved` units are set aside for one thread,
 * which is the only one that asks for single units; the others together own less than the rest and
 * keep asking for more than there ever is. So the one must never be refused, however many claims
 * that must fail are under way. A claim that subtracts first and gives back later fails here.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/units.h"
#include "tests/lib/drain.h"
#include "tests/lib/stress.h"

#define WORDS      3u
#define OPERATIONS 20000u
#define OWN_UNITS  2u /* that thread 0 may have of each word at once */
#define MAX_SHARE  4u /* that each other thread may have of each word at once */

struct round {
    struct hf_engine engine; /* giving back tells the log when units can be had again */
    struct hf_ring ring;
    struct hf_inventory_cell *cells[WORDS];
    _Atomic uint32_t consumer; /* the try-lock of the ring's consumer */
    uint64_t seed;
    uint32_t limit;
    _Atomic uint32_t out[WORDS];     /* units that threads know to be theirs */
    _Atomic uint64_t changes[WORDS]; /* claims and releases that were done */
    _Atomic uint64_t refusals;
    _Atomic uint8_t *versions[WORDS]; /* by version: a claim produced it */
    uint32_t version_room;
};

static struct round round_now;

static void look(const struct round *round, uint64_t seen)
{
    int32_t available = hf_word_available(seen);
    if (available < 0 || available > (int32_t)round->limit)
        hf_stress_fail("%d units are seen, of %u", available, round->limit);
}

/* As the engine does: a look without a write first. */
static enum hf_claim try_claim(struct hf_inventory_cell *cell, uint32_t qty, uint64_t *seen)
{
    if (hf_inventory_weigh(cell, qty, seen) == HF_CLAIM_TOO_FEW)
        return HF_CLAIM_TOO_FEW;
    return hf_inventory_claim(cell, qty, seen);
}

static bool claim(struct round *round, uint32_t word, uint32_t qty)
{
    uint64_t seen;
    enum hf_claim claimed = try_claim(round->cells[word], qty, &seen);
    look(round, seen);
    if (claimed == HF_CLAIM_INVOLVED)
        hf_stress_fail("nothing but units is involved");
    if (claimed == HF_CLAIM_TOO_FEW) {
        if (hf_word_available(seen) >= (int32_t)qty)
            hf_stress_fail("%u units were refused as there were %d", qty, hf_word_available(seen));
        hf_fetch_add_relaxed(&round->refusals, 1); /* a count */
        return false;
    }
    uint32_t version = hf_word_version(seen);
    if (version < round->version_room &&
        hf_exchange_acq_rel(&round->versions[word][version], 1) != 0)
        hf_stress_fail("two claims produced version %u", version);
    /* acq_rel: an upper bound of what is out, as it is counted down before it is given back. */
    uint32_t out = hf_fetch_add_acq_rel(&round->out[word], qty) + qty;
    if (out > round->limit)
        hf_stress_fail("%u units are out, of %u (NO-OVERSELL)", out, round->limit);
    hf_fetch_add_relaxed(&round->changes[word], 1); /* a count, read after the join */
    return true;
}

static void release(struct round *round, struct hf_actor *actor, uint32_t word, uint32_t qty)
{
    while (!hf_ring_credit(&actor->log, HF_UNITS_CREDITS))
        hf_drain_in_passing(&round->ring, &round->consumer);
    hf_fetch_add_acq_rel(&round->out[word], 0u - qty); /* as above */
    if (hf_units_return(actor, round->cells[word], qty, NULL, 0))
        hf_stress_fail("no list waits for them");
    hf_fetch_add_relaxed(&round->changes[word], 1); /* a count */
}

/* Thread 0: its units are there, whatever the others try. */
static void take_own(struct round *round, struct hf_actor *actor, struct hf_random *random)
{
    uint32_t owned[WORDS] = {0};
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        uint32_t word = hf_random_below(random, WORDS);
        if (owned[word] == OWN_UNITS || (owned[word] != 0 && hf_random_chance(random, 50))) {
            release(round, actor, word, 1);
            owned[word]--;
        } else if (claim(round, word, 1)) {
            owned[word]++;
        } else {
            hf_stress_fail("a unit was refused that nobody else can have had (HONEST-NO)");
        }
        hf_random_pause(random);
    }
    for (uint32_t word = 0; word < WORDS; word++) {
        if (owned[word] != 0)
            release(round, actor, word, owned[word]);
    }
}

/* The others: what they may have, and often more than there is. */
static void take_share(struct round *round, struct hf_actor *actor, struct hf_random *random)
{
    uint32_t owned[WORDS] = {0};
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        uint32_t word = hf_random_below(random, WORDS);
        if (hf_random_chance(random, 30)) {
            if (claim(round, word, round->limit + 1 - hf_random_below(random, 2) * owned[word]))
                hf_stress_fail("more was granted than there is (NO-OVERSELL)");
        } else if (owned[word] != 0 && hf_random_chance(random, 50)) {
            uint32_t qty = 1 + hf_random_below(random, owned[word]);
            release(round, actor, word, qty);
            owned[word] -= qty;
        } else if (owned[word] != MAX_SHARE) {
            uint32_t qty = 1 + hf_random_below(random, MAX_SHARE - owned[word]);
            if (claim(round, word, qty))
                owned[word] += qty;
        }
        look(round, hf_load_acquire(&round->cells[word]->word)); /* any value of any time */
        hf_random_pause(random);
    }
    for (uint32_t word = 0; word < WORDS; word++) {
        if (owned[word] != 0)
            release(round, actor, word, owned[word]);
    }
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct hf_random random = hf_random_for(round->seed, index);
    struct hf_actor actor;
    if (hf_actor_init(&actor, &round->engine, &round->ring) != 0)
        hf_stress_fail("out of memory");
    if (index == 0)
        take_own(round, &actor, &random);
    else
        take_share(round, &actor, &random);
    hf_actor_close(&actor);
}

static void finish(const struct round *round)
{
    for (uint32_t word = 0; word < WORDS; word++) {
        uint64_t end = hf_load_relaxed(&round->cells[word]->word); /* all threads are joined */
        uint64_t changes = hf_load_relaxed(&round->changes[word]);
        if (hf_word_available(end) != (int32_t)round->limit)
            hf_stress_fail("%d units at the end, of %u (CONSERVATION)", hf_word_available(end),
                           round->limit);
        if (hf_word_version(end) != 1 + changes)
            hf_stress_fail("version %u at the end, after %llu changes", hf_word_version(end),
                           (unsigned long long)changes);
    }
}

static void open_engine(struct round *round)
{
    struct hf_region region;
    struct hf_actor actor;
    struct hf_outcome outcome;
    if (hf_region_create(&region, WORDS, 1) != 0 || hf_ring_init(&round->ring, 8192, 1) != 0 ||
        hf_engine_init(&round->engine, &region, HF_DEFAULT_RETAIN_NS, 1) != 0 ||
        hf_actor_init(&actor, &round->engine, &round->ring) != 0)
        hf_stress_fail("out of memory");
    actor.now_ns = 1;
    for (uint32_t word = 0; word < WORDS; word++) {
        hf_engine_create_inventory(&actor, word, 1, round->limit, &outcome);
        round->cells[word] = hf_region_find_inventory(&region, word);
    }
    hf_actor_close(&actor);
}

static void close_engine(struct round *round)
{
    hf_engine_close(&round->engine);
    hf_region_close(&round->engine.region);
    hf_ring_close(&round->ring);
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("inventory_word", argc, argv, &options);
    struct round *round = &round_now;
    uint64_t rounds = 0, changes = 0, refusals = 0;
    for (; rounds == 0 || !hf_stress_over(); rounds++) {
        memset(round, 0, sizeof *round);
        round->seed = options.seed + rounds;
        round->limit = OWN_UNITS + MAX_SHARE * (options.threads - 1);
        round->version_room = OPERATIONS * options.threads * 2;
        open_engine(round);
        for (uint32_t word = 0; word < WORDS; word++) {
            round->versions[word] = calloc(round->version_room, 1);
            if (round->versions[word] == NULL)
                hf_stress_fail("out of memory");
        }
        hf_stress_run(options.threads, run, round);
        finish(round);
        for (uint32_t word = 0; word < WORDS; word++) {
            changes += hf_load_relaxed(&round->changes[word]);
            free((void *)round->versions[word]);
        }
        refusals += hf_load_relaxed(&round->refusals);
        close_engine(round);
    }
    return hf_stress_done("%llu rounds, %llu changes, %llu refusals", (unsigned long long)rounds,
                          (unsigned long long)changes, (unsigned long long)refusals);
}
