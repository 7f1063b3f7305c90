/*
 * The table under N threads that race to insert the same ids into an index of few chains.
 *
 * Checked: each id is inserted exactly once; a lookup never misses an id whose insertion had
 * completed before, and never finds one that was not begun; what is found is filled; at the end
 * every id is found, in a cell of its own, and the cells that are allotted are all accounted for.
 * Some who took a chain leave it as it was, as a refusal does. Every fourth table is too small for
 * all ids and is filled to the last cell.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/hash.h"
#include "engine/table.h"
#include "tests/lib/stress.h"

#define IDS   3000u
#define AHEAD 16u /* ids that the threads meet at */

struct round {
    struct hf_region region;
    uint64_t seed;
    unsigned threads;
    _Atomic uint32_t next;          /* the first of the ids that the threads are at */
    _Atomic uint32_t inserted[IDS]; /* times, by whoever did, afterwards */
    _Atomic uint32_t taken;         /* times that a chain was taken by another */
    _Atomic uint32_t full;          /* times that the table was full */
};

struct worker {
    struct round *round;
    struct hf_allotment allotment;
    struct hf_random random;
    uint32_t inserted;
};

static struct round round_now;

static uint64_t hash_of(const struct round *round, const struct hf_id *id)
{
    return hf_hash_id(id, round->region.header->hash_seed);
}

static void check_cell(const struct hf_reservation_cell *cell, uint32_t number)
{
    if (cell->customer_id != number + 1000ull || cell->made_at_ns != number + 1ull)
        hf_stress_fail("id %u is found in a cell that is not filled with it", number);
}

static void look_up(struct worker *worker, uint32_t number)
{
    struct round *round = worker->round;
    struct hf_id id = hf_id_of_number(number);
    struct hf_reservation_cell *cell;
    /* Acquire, pairs with the release in insert(): it was inserted before we look. */
    bool was_inserted = hf_load_acquire(&round->inserted[number]) != 0;
    switch (hf_table_find(&round->region, &id, hash_of(round, &id), &cell)) {
    case HF_LOOKUP_FOUND:
        check_cell(cell, number);
        break;
    case HF_LOOKUP_ABSENT:
        if (was_inserted)
            hf_stress_fail("id %u is absent, and was inserted before", number);
        break;
    case HF_LOOKUP_TAKEN:
        hf_fetch_add_relaxed(&round->taken, 1); /* a count */
        break;
    }
}

static void insert(struct worker *worker, struct hf_chain *chain, uint32_t number)
{
    struct round *round = worker->round;
    if (!hf_cells_allot(&round->region, &worker->allotment)) {
        hf_fetch_add_relaxed(&round->full, 1); /* a count */
        hf_chain_leave(chain);
        return;
    }
    struct hf_id id = hf_id_of_number(number);
    struct hf_reservation_cell *cell = hf_cells_next(&round->region, &worker->allotment);
    if (cell->made_at_ns != 0)
        hf_stress_fail("the free cell for id %u is in use", number);
    memcpy(cell->id, id.bytes, sizeof cell->id);
    cell->customer_id = number + 1000ull;
    cell->made_at_ns = number + 1ull;
    hf_store_relaxed(&cell->word, 1); /* released by the insertion */
    hf_chain_insert(chain, &round->region, &worker->allotment);
    worker->inserted++;
    /* acq_rel: release pairs with look_up() and try_insert(). */
    if (hf_fetch_add_acq_rel(&round->inserted[number], 1) != 0)
        hf_stress_fail("id %u was inserted twice", number);
}

static void try_insert(struct worker *worker, uint32_t number)
{
    struct round *round = worker->round;
    struct hf_id id = hf_id_of_number(number);
    struct hf_chain chain;
    struct hf_reservation_cell *cell;
    bool was_inserted = hf_load_acquire(&round->inserted[number]) != 0; /* as in look_up() */
    switch (hf_table_take(&round->region, &id, hash_of(round, &id), &chain, &cell)) {
    case HF_LOOKUP_FOUND:
        check_cell(cell, number);
        break;
    case HF_LOOKUP_ABSENT:
        if (was_inserted)
            hf_stress_fail("id %u is absent for a taker, and was inserted before", number);
        if (hf_random_chance(&worker->random, 30))
            hf_chain_leave(&chain);
        else
            insert(worker, &chain, number);
        break;
    case HF_LOOKUP_TAKEN:
        hf_fetch_add_relaxed(&round->taken, 1); /* a count */
        break;
    }
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct worker worker = {.round = round, .random = hf_random_for(round->seed, index)};
    for (;;) {
        uint32_t next = hf_load_acquire(&round->next); /* any value of any time is good */
        if (next >= IDS)
            break;
        uint32_t number = next + hf_random_below(&worker.random, AHEAD);
        if (number >= IDS)
            number = IDS - 1;
        if (hf_random_chance(&worker.random, 50))
            try_insert(&worker, number);
        else
            look_up(&worker, hf_random_chance(&worker.random, 80)
                                 ? number
                                 : hf_random_below(&worker.random, number + 1));
        if (hf_random_chance(&worker.random, 20))
            hf_cas_acq_rel(&round->next, &next, next + 1);
        hf_random_pause(&worker.random);
    }
    /* What is left of the stock is lost with the thread: at most a row. */
}

static uint32_t check_all(struct round *round)
{
    uint32_t count = 0;
    for (uint32_t number = 0; number < IDS; number++) {
        struct hf_id id = hf_id_of_number(number);
        struct hf_reservation_cell *cell = NULL;
        enum hf_lookup found = hf_table_find(&round->region, &id, hash_of(round, &id), &cell);
        uint32_t inserted = hf_load_relaxed(&round->inserted[number]); /* all are joined */
        if (found != (inserted != 0 ? HF_LOOKUP_FOUND : HF_LOOKUP_ABSENT))
            hf_stress_fail("id %u was inserted %u times; at the end it is %s", number, inserted,
                           found == HF_LOOKUP_FOUND    ? "found"
                           : found == HF_LOOKUP_ABSENT ? "absent"
                                                       : "in a chain that nobody left");
        if (found == HF_LOOKUP_FOUND)
            check_cell(cell, number);
        count += inserted;
    }
    uint32_t used = 0;
    for (uint32_t cell = 1; cell <= hf_cells_allotted(&round->region); cell++)
        used += hf_load_relaxed(&round->region.reservations[cell].word) != 0;
    if (used != count)
        hf_stress_fail("%u ids were inserted, %u cells are in use", count, used);
    return count;
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("table_mpmc", argc, argv, &options);
    struct round *round = &round_now;
    uint64_t rounds = 0, inserted = 0, taken = 0, full = 0;
    for (; rounds < 2 || !hf_stress_over(); rounds++) {
        struct hf_random random = hf_random_for(options.seed, rounds);
        memset(round, 0, sizeof *round);
        round->seed = hf_random_next(&random);
        round->threads = options.threads;
        uint32_t room = rounds % 4 == 1 ? IDS / 4 : IDS + 32 * options.threads;
        if (hf_region_create(&round->region, 1, room) != 0)
            hf_stress_fail("cannot create a region");
        round->region.header->index_count = 1u << hf_random_below(&random, 9);
        hf_stress_run(options.threads, run, round);
        uint32_t count = check_all(round);
        if (hf_load_relaxed(&round->full) != 0 && count + 32 * options.threads < room)
            hf_stress_fail("the table was full with %u of %u", count, room);
        inserted += count;
        taken += hf_load_relaxed(&round->taken);
        full += hf_load_relaxed(&round->full);
        hf_region_close(&round->region);
    }
    return hf_stress_done("%llu rounds, %llu inserted, %llu times taken, %llu times full",
                          (unsigned long long)rounds, (unsigned long long)inserted,
                          (unsigned long long)taken, (unsigned long long)full);
}
