/*
 * Free cells under N threads that take cells and give them back: in a small table, with fewer cells than
 * they want, and in a large one, where they come and go in runs.
 *
 * Checked: no cell is anybody's twice, a small table is full only when all is taken, a large one does not
 * grow beyond what was in use at once and what the threads may keep; and at the end every cell that was
 * ever allotted can be had exactly once.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/cells.h"
#include "tests/lib/stress.h"

#define OPERATIONS 20000u
#define MOST_OWNED 200u /* of one thread, in a large table */
#define LARGE      (1u << 20)

struct round {
    struct hf_region region;
    uint64_t seed;
    bool large;
    _Atomic uint8_t *owned; /* by number of the cell */
    _Atomic uint64_t taken;
};

static void own(struct round *round, uint32_t number)
{
    if (hf_exchange_acq_rel(&round->owned[number], 1) != 0)
        hf_stress_fail("cell %u is somebody's already", number);
}

static void disown(struct round *round, uint32_t number)
{
    hf_exchange_acq_rel(&round->owned[number], 0); /* before it is given back */
}

/* A handful at a time, and all that is kept goes back at once. */
static void run_small(struct round *round, struct hf_random *random)
{
    struct hf_allotment cells = {0};
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        uint32_t number = hf_cells_take(&round->region, &cells);
        if (number != 0) {
            own(round, number);
            hf_random_pause(random);
            disown(round, number);
            hf_cells_give(&round->region, &cells, number);
            hf_cells_return(&round->region, &cells);
            hf_fetch_add_relaxed(&round->taken, 1); /* a count */
        }
        hf_random_pause(random);
    }
}

/* Takes, or gives back one of its own, so that runs are filled and emptied. */
static void run_large(struct round *round, struct hf_random *random)
{
    struct hf_allotment cells = {0};
    uint32_t numbers[MOST_OWNED], count = 0;
    bool grows = true;
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        if (hf_random_chance(random, 2))
            grows = !grows;
        if (count != MOST_OWNED && (count == 0 || hf_random_chance(random, grows ? 80 : 20))) {
            numbers[count] = hf_cells_take(&round->region, &cells);
            if (numbers[count] == 0)
                hf_stress_fail("a large table is full");
            own(round, numbers[count++]);
            hf_fetch_add_relaxed(&round->taken, 1); /* a count */
        } else {
            uint32_t place = hf_random_below(random, count);
            disown(round, numbers[place]);
            hf_cells_give(&round->region, &cells, numbers[place]);
            numbers[place] = numbers[--count];
        }
        hf_random_pause(random);
    }
    while (count != 0) {
        disown(round, numbers[--count]);
        hf_cells_give(&round->region, &cells, numbers[count]);
    }
    hf_cells_return(&round->region, &cells);
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct hf_random random = hf_random_for(round->seed, index);
    if (round->large)
        run_large(round, &random);
    else
        run_small(round, &random);
}

/* All are free: each can be had, once. */
static void finish(struct round *round, unsigned threads)
{
    uint32_t allotted = hf_cells_allotted(&round->region);
    uint32_t max = round->region.header->max_reservations;
    struct hf_allotment cells = {0};
    if (hf_cells_count_free(&round->region) != allotted)
        hf_stress_fail("%u of %u cells are free", hf_cells_count_free(&round->region), allotted);
    if (round->large && allotted > threads * (MOST_OWNED + 3 * HF_RUN_CELLS))
        hf_stress_fail("%u cells were allotted to %u threads", allotted, threads);
    for (uint32_t found = 0; found < (round->large ? allotted : max); found++)
        own(round, hf_cells_take(&round->region, &cells));
    if (!round->large && hf_cells_take(&round->region, &cells) != 0)
        hf_stress_fail("a table has more cells than it has");
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("free_cells", argc, argv, &options);
    uint64_t rounds = 0, taken = 0;
    for (; rounds < 2 || !hf_stress_over(); rounds++) {
        struct round round = {.seed = options.seed + rounds, .large = rounds % 2 == 1};
        /* Small: fewer than a row each, so they are always short of cells. */
        uint32_t max = round.large ? LARGE : 16 * options.threads;
        round.owned = calloc(max + 1, sizeof *round.owned);
        if (round.owned == NULL || hf_region_create(&round.region, 1, max) != 0)
            hf_stress_fail("out of memory");
        hf_store_relaxed(&round.owned[0], 1); /* number 0: none */
        hf_stress_run(options.threads, run, &round);
        finish(&round, options.threads);
        taken += hf_load_relaxed(&round.taken); /* all threads are joined */
        hf_region_close(&round.region);
        free((void *)round.owned);
    }
    return hf_stress_done("%llu rounds, %llu cells taken", (unsigned long long)rounds,
                          (unsigned long long)taken);
}
