/*
 * The inventory word under N threads that claim and release random quantities of a few words.
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

#include "engine/inventory.h"
#include "tests/lib/stress.h"

#define WORDS      3u
#define OPERATIONS 20000u
#define OWN_UNITS  2u /* that thread 0 may have of each word at once */
#define MAX_SHARE  4u /* that each other thread may have of each word at once */

struct round {
    struct hf_inventory_cell cells[WORDS];
    uint64_t seed;
    uint32_t limit;
    _Atomic uint32_t out[WORDS];     /* units that threads know to be theirs */
    _Atomic uint64_t changes[WORDS]; /* claims and releases that were done */
    _Atomic uint64_t refusals;
    _Atomic uint8_t *versions[WORDS]; /* by version: a claim produced it */
    uint32_t version_room;
};

static struct round round_now;

static void look(const struct round *round, struct hf_availability seen)
{
    if (seen.available < 0 || seen.available > (int32_t)round->limit)
        hf_stress_fail("%d units are seen, of %u", seen.available, round->limit);
}

static bool claim(struct round *round, uint32_t word, uint32_t qty)
{
    struct hf_availability after;
    bool claimed = hf_inventory_claim(&round->cells[word], qty, &after);
    look(round, after);
    if (!claimed) {
        if (after.available >= (int32_t)qty)
            hf_stress_fail("%u units were refused as there were %d", qty, after.available);
        hf_fetch_add_relaxed(&round->refusals, 1); /* a count */
        return false;
    }
    if (after.version < round->version_room &&
        hf_exchange_acq_rel(&round->versions[word][after.version], 1) != 0)
        hf_stress_fail("two claims produced version %u", after.version);
    /* acq_rel: an upper bound of what is out, as it is counted down before it is given back. */
    uint32_t out = hf_fetch_add_acq_rel(&round->out[word], qty) + qty;
    if (out > round->limit)
        hf_stress_fail("%u units are out, of %u (NO-OVERSELL)", out, round->limit);
    hf_fetch_add_relaxed(&round->changes[word], 1); /* a count, read after the join */
    return true;
}

static void release(struct round *round, uint32_t word, uint32_t qty)
{
    hf_fetch_add_acq_rel(&round->out[word], 0u - qty); /* as above */
    hf_inventory_release(&round->cells[word], qty);
    hf_fetch_add_relaxed(&round->changes[word], 1); /* a count */
}

/* Thread 0: its units are there, whatever the others try. */
static void take_own(struct round *round, struct hf_random *random)
{
    uint32_t owned[WORDS] = {0};
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        uint32_t word = hf_random_below(random, WORDS);
        if (owned[word] == OWN_UNITS || (owned[word] != 0 && hf_random_chance(random, 50))) {
            release(round, word, 1);
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
            release(round, word, owned[word]);
    }
}

/* The others: what they may have, and often more than there is. */
static void take_share(struct round *round, struct hf_random *random)
{
    uint32_t owned[WORDS] = {0};
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        uint32_t word = hf_random_below(random, WORDS);
        if (hf_random_chance(random, 30)) {
            if (claim(round, word, round->limit + 1 - hf_random_below(random, 2) * owned[word]))
                hf_stress_fail("more was granted than there is (NO-OVERSELL)");
        } else if (owned[word] != 0 && hf_random_chance(random, 50)) {
            uint32_t qty = 1 + hf_random_below(random, owned[word]);
            release(round, word, qty);
            owned[word] -= qty;
        } else if (owned[word] != MAX_SHARE) {
            uint32_t qty = 1 + hf_random_below(random, MAX_SHARE - owned[word]);
            if (claim(round, word, qty))
                owned[word] += qty;
        }
        look(round, hf_inventory_read(&round->cells[word]));
        hf_random_pause(random);
    }
    for (uint32_t word = 0; word < WORDS; word++) {
        if (owned[word] != 0)
            release(round, word, owned[word]);
    }
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct hf_random random = hf_random_for(round->seed, index);
    if (index == 0)
        take_own(round, &random);
    else
        take_share(round, &random);
}

static void finish(const struct round *round)
{
    for (uint32_t word = 0; word < WORDS; word++) {
        struct hf_availability end = hf_inventory_read(&round->cells[word]);
        uint64_t changes = hf_load_relaxed(&round->changes[word]); /* all threads are joined */
        if (end.available != (int32_t)round->limit)
            hf_stress_fail("%d units at the end, of %u (CONSERVATION)", end.available,
                           round->limit);
        if (end.version != 1 + changes)
            hf_stress_fail("version %u at the end, after %llu changes", end.version,
                           (unsigned long long)changes);
    }
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
        for (uint32_t word = 0; word < WORDS; word++) {
            hf_store_relaxed(&round->cells[word].word, hf_word_make((int32_t)round->limit, 1));
            round->cells[word].sell_limit = round->limit;
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
    }
    return hf_stress_done("%llu rounds, %llu changes, %llu refusals", (unsigned long long)rounds,
                          (unsigned long long)changes, (unsigned long long)refusals);
}
