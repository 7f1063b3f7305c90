/* Free cells: taken in rows, given back in runs, none lost and none twice. */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/cells.h"

#define LARGE (1u << 20)
#define MANY  300u /* more than anybody keeps */

static struct hf_region region;
static struct hf_allotment mine, theirs;
static uint32_t numbers[MANY];
static bool taken[LARGE + 1];

static void open_table(uint32_t max_reservations)
{
    memset(taken, 0, sizeof taken);
    mine = theirs = (struct hf_allotment){0};
    cr_assert_eq(hf_region_create(&region, 1, max_reservations), 0);
}

static void close_table(void)
{
    hf_region_close(&region);
}

TestSuite(cells, .fini = close_table);

/* Each is a cell of the table, and nobody's yet. */
static void take(struct hf_allotment *cells, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = hf_cells_take(&region, cells);
        cr_assert(number >= 1 && number <= region.header->max_reservations, "%u", number);
        cr_assert_not(taken[number], "cell %u twice", number);
        taken[number] = true;
        numbers[i] = number;
    }
}

static void give(struct hf_allotment *cells, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        taken[numbers[i]] = false;
        hf_cells_give(&region, cells, numbers[i]);
    }
}

/* A small table has none to spare: what one gives back, another has at once. */
Test(cells, of_a_small_table_are_kept_by_nobody)
{
    open_table(64);
    take(&mine, 64);
    cr_expect_eq(hf_cells_take(&region, &theirs), 0);
    give(&mine, 64);
    cr_expect_eq(hf_cells_count_free(&region), 64);
    take(&theirs, 64);
    cr_expect_eq(hf_cells_take(&region, &mine), 0);
    cr_expect_eq(hf_cells_take(&region, &theirs), 0);
}

/* In a large one, two runs are kept and taken first; the rest is everybody's. */
Test(cells, of_a_large_table_go_back_in_runs)
{
    open_table(LARGE);
    take(&mine, MANY);
    uint32_t allotted = hf_cells_allotted(&region);
    give(&mine, MANY);
    uint32_t shared = hf_cells_count_free(&region);
    cr_expect_eq(shared % HF_RUN_CELLS, 0);
    cr_expect_geq(shared, MANY - 2 * HF_RUN_CELLS);
    take(&theirs, shared);
    cr_expect_eq(hf_cells_count_free(&region), 0);
    take(&mine, MANY - shared);
    cr_expect_eq(hf_cells_allotted(&region), allotted, "nothing new was needed");
}

/* An actor ends: what it kept, and what is left of its row, is everybody's. */
Test(cells, that_were_kept_are_returned)
{
    enum { IN_USE = 5 }; /* so that what is kept is not a number of whole runs */
    open_table(LARGE);
    take(&mine, IN_USE);
    for (uint32_t count = 1; count <= MANY; count += 7) {
        take(&mine, count);
        give(&mine, count);
        hf_cells_return(&region, &mine);
        cr_assert_eq(hf_cells_count_free(&region), hf_cells_allotted(&region) - IN_USE, "%u",
                     count);
    }
    uint32_t allotted = hf_cells_allotted(&region), free_ones = allotted - IN_USE;
    for (uint32_t i = 0; i < free_ones; i += MANY)
        take(&theirs, free_ones - i < MANY ? free_ones - i : MANY);
    cr_expect_eq(hf_cells_allotted(&region), allotted);
}
