/*
 * Cells: which of those for reservations are free.
 *
 * They are allotted from the first to the last, to each actor some in a row, so that actors do not meet at
 * one counter. What is given back, when a reservation is forgotten, goes into a list of its actor's own;
 * of those it keeps two runs at most, and every other run goes to the free cells of all, a stack, as a
 * whole. So does whoever has no free cell any more get one: a run, by one CAS.
 *
 * In a run the cells are linked by `next`. Its first has what the stack needs in `lsn`: the first cell of the
 * run below (bits 0 .. 31), and how many cells its own run has. Of a free cell only its word, 0, means
 * anything to anybody else.
 *
 * What actors keep, others cannot have: a table is full while up to two runs and a row of each actor are
 * free. So in a table that is not large a run is one cell.
 */
#ifndef HF_ENGINE_CELLS_H
#define HF_ENGINE_CELLS_H

#include "base/check.h"
#include "engine/region.h"

#define HF_RUN_CELLS 32

/* Free cells, linked. */
struct hf_cell_run {
    uint32_t first, count;
};

/* One thread's free cells. */
struct hf_allotment {
    uint32_t next, end;            /* in a row: those from `next` on, before `end` */
    struct hf_cell_run run, spare; /* that were given back */
};

/* hf_cells_allot() when there is none in the row. */
bool hf_cells_allot_slow(struct hf_region *region, struct hf_allotment *allotment);

/* Makes sure that there is a free cell: number allotment->next. False: the table is full. */
static inline bool hf_cells_allot(struct hf_region *region, struct hf_allotment *allotment)
{
    return HF_LIKELY(allotment->next != allotment->end) || hf_cells_allot_slow(region, allotment);
}

/* Takes a free cell. 0: the table is full. */
static inline uint32_t hf_cells_take(struct hf_region *region, struct hf_allotment *allotment)
{
    return hf_cells_allot(region, allotment) ? allotment->next++ : 0;
}

/* The free cell that the next hf_chain_insert() will insert: fill it, its word included. */
static inline struct hf_reservation_cell *hf_cells_next(struct hf_region *region,
                                                        const struct hf_allotment *allotment)
{
    return &region->reservations[allotment->next];
}

/* Gives a cell back that nobody can reach; its word is 0. */
void hf_cells_give(struct hf_region *region, struct hf_allotment *allotment, uint32_t number);

/* Gives all to the free cells of all: an actor ends. */
void hf_cells_return(struct hf_region *region, struct hf_allotment *allotment);

/* How many cells were ever allotted; cells 1 .. this may be in use (those with a word other than 0). */
uint32_t hf_cells_allotted(const struct hf_region *region);

/* Free cells that were given back, and belong to nobody. By whoever is alone with the region. */
uint32_t hf_cells_count_free(const struct hf_region *region);

#endif
