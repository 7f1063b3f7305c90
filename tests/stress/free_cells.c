/*
 * The stack of free cells under N threads that are allotted cells and give them back, in a table
 * with fewer cells than they want.
 *
 * Checked: no cell is in two stocks at once, and at the end every cell can be had exactly once.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/table.h"
#include "tests/lib/stress.h"

#define OPERATIONS 20000u

struct round {
    struct hf_region region;
    uint64_t seed;
    _Atomic uint8_t *owned; /* by number of the cell */
    _Atomic uint64_t allotments;
};

static void own(struct round *round, const struct hf_allotment *stock)
{
    for (uint32_t number = stock->next; number != stock->end; number++)
        if (hf_exchange_acq_rel(&round->owned[number], 1) != 0)
            hf_stress_fail("cell %u is in two stocks", number);
}

static void disown(struct round *round, const struct hf_allotment *stock)
{
    for (uint32_t number = stock->next; number != stock->end; number++)
        hf_exchange_acq_rel(&round->owned[number], 0); /* before it is given back */
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct hf_random random = hf_random_for(round->seed, index);
    struct hf_allotment stock = {0};
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        if (hf_table_allot(&round->region, &stock)) {
            own(round, &stock);
            hf_random_pause(&random);
            disown(round, &stock);
            hf_table_return(&round->region, &stock);
            hf_fetch_add_relaxed(&round->allotments, 1); /* a count */
        }
        hf_random_pause(&random);
    }
}

static void finish(struct round *round)
{
    uint32_t max = round->region.header->max_reservations, found = 0;
    struct hf_allotment stock = {0};
    while (hf_table_allot(&round->region, &stock)) {
        own(round, &stock);
        found += stock.end - stock.next;
        stock = (struct hf_allotment){0}; /* kept for good */
    }
    if (found != max)
        hf_stress_fail("%u of %u cells are left", found, max);
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("free_cells", argc, argv, &options);
    uint64_t rounds = 0, allotments = 0;
    for (; rounds == 0 || !hf_stress_over(); rounds++) {
        struct round round = {.seed = options.seed + rounds};
        uint32_t max = 16 * options.threads; /* a chunk is larger: they are always short of cells */
        round.owned = calloc(max + 1, sizeof *round.owned);
        if (round.owned == NULL || hf_region_create(&round.region, 1, max) != 0)
            hf_stress_fail("out of memory");
        hf_stress_run(options.threads, run, &round);
        finish(&round);
        allotments += hf_load_relaxed(&round.allotments); /* all threads are joined */
        hf_region_close(&round.region);
        free((void *)round.owned);
    }
    return hf_stress_done("%llu rounds, %llu allotments", (unsigned long long)rounds,
                          (unsigned long long)allotments);
}
