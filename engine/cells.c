/* Cells; how they come and go is told in cells.h. */
#include "engine/cells.h"

#include "engine/huge_pages.h"

#define ROW_CELLS 32

/* Cells whose memory is made ready at once: 64 KiB, 16 faults in one. */
#define READY_CELLS 1024u

/* A table that is large: what 64 actors may keep is less than a hundredth of it. */
#define LARGE_CELLS (1u << 20)

/* ---- the free cells of all ---- */

static uint64_t changed_free_cells(uint64_t free_cells, uint32_t first)
{
    return ((free_cells >> 32) + 1) << 32 | first;
}

/* Puts a run on the stack, and is without it. */
static void push(struct hf_region *region, struct hf_cell_run *run)
{
    _Atomic uint64_t *place = &region->header->free_cells;
    _Atomic uint64_t *below = &region->reservations[run->first].lsn;
    uint64_t free_cells = hf_load_relaxed(place); /* the CAS decides */
    do {
        /* Release: pairs with hf_reservation_copy(). Who scans the cells, and has seen the
         * reservation that was here, finds it gone when it looks again. */
        hf_store_release(below, (uint64_t)run->count << 32 | (uint32_t)free_cells);
        /* acq_rel, pairs with pop(). */
    } while (!hf_cas_weak_acq_rel(place, &free_cells, changed_free_cells(free_cells, run->first)));
    *run = (struct hf_cell_run){0, 0};
}

/* Takes the run that is on top. False: there is none. */
static bool pop(struct hf_region *region, struct hf_cell_run *run)
{
    _Atomic uint64_t *place = &region->header->free_cells;
    uint64_t free_cells = hf_load_acquire(place); /* pairs with push() */
    while ((uint32_t)free_cells != 0) {
        uint32_t first = (uint32_t)free_cells;
        /* Relaxed: it may be somebody else's by now, but then the CAS fails. */
        uint64_t below = hf_load_relaxed(&region->reservations[first].lsn);
        if (hf_cas_weak_acq_rel(place, &free_cells,
                                changed_free_cells(free_cells, (uint32_t)below))) {
            *run = (struct hf_cell_run){.first = first, .count = (uint32_t)(below >> 32)};
            return true;
        }
    }
    return false;
}

uint32_t hf_cells_count_free(const struct hf_region *region)
{
    uint32_t end = hf_cells_allotted(region), count = 0;
    /* Relaxed, all: nobody else is there. A stack that bites its tail ends, too. */
    uint32_t first = (uint32_t)hf_load_relaxed(&region->header->free_cells);
    while (first != 0 && count <= end) {
        uint64_t below = hf_load_relaxed(&region->reservations[first].lsn);
        count += (uint32_t)(below >> 32);
        first = (uint32_t)below;
    }
    return count;
}

/* ---- one actor's ---- */

static uint32_t run_cells(const struct hf_region *region)
{
    return region->header->max_reservations >= LARGE_CELLS ? HF_RUN_CELLS : 1;
}

static void add(struct hf_region *region, struct hf_cell_run *run, uint32_t number)
{
    /* Relaxed: released when the run is pushed. */
    hf_store_relaxed(&region->reservations[number].next, run->first);
    *run = (struct hf_cell_run){.first = number, .count = run->count + 1};
}

void hf_cells_give(struct hf_region *region, struct hf_allotment *allotment, uint32_t number)
{
    uint32_t most = run_cells(region);
    add(region, &allotment->run, number);
    if (allotment->run.count < most)
        return;
    if (most != 1 && allotment->spare.count == 0) {
        allotment->spare = allotment->run;
        allotment->run = (struct hf_cell_run){0, 0};
    } else {
        push(region, &allotment->run);
    }
}

void hf_cells_return(struct hf_region *region, struct hf_allotment *allotment)
{
    for (; allotment->next != allotment->end; allotment->next++) {
        add(region, &allotment->run, allotment->next);
        if (allotment->run.count >= run_cells(region))
            push(region, &allotment->run);
    }
    if (allotment->run.count != 0)
        push(region, &allotment->run);
    if (allotment->spare.count != 0)
        push(region, &allotment->spare);
}

/* One of those that were given back: a row of one. False: there is none. */
static bool take_given_back(struct hf_region *region, struct hf_allotment *allotment)
{
    struct hf_cell_run *run = &allotment->run;
    if (run->count == 0) {
        *run = allotment->spare;
        allotment->spare = (struct hf_cell_run){0, 0};
    }
    if (run->count == 0 && !pop(region, run))
        return false;
    uint32_t number = run->first;
    run->first = hf_load_relaxed(&region->reservations[number].next); /* the run is ours */
    run->count--;
    allotment->next = number;
    allotment->end = number + 1;
    return true;
}

/* Memory of the cells from `first` on, which nobody has touched before, as whole blocks of them are
 * reached. And, once, huge pages for the index: soon, as all of it is in use by then, and so that they
 * are there when it is full of work; but not for a few. */
static void make_ready(const struct hf_region *region, uint32_t first, uint32_t count)
{
    uint32_t few = hf_region_few(region);
    if (first <= few && few - first < count &&
        hf_load_relaxed(&region->header->state) == HF_REGION_READY) /* else they are huge already */
        hf_huge_pages_begin(region->huge_pages);
    uint32_t block = (first + count - 1) / READY_CELLS;
    if (block != (first - 1) / READY_CELLS)
        hf_region_ready(region, &region->reservations[(size_t)block * READY_CELLS],
                        READY_CELLS * sizeof region->reservations[0]);
}

bool hf_cells_allot_slow(struct hf_region *region, struct hf_allotment *allotment)
{
    if (take_given_back(region, allotment))
        return true;
    _Atomic uint32_t *allotted = &region->header->reservation_end;
    uint32_t end = hf_load_relaxed(allotted); /* the CAS decides */
    for (;;) {
        uint32_t left = region->header->max_reservations + 1 - end;
        uint32_t count = left < ROW_CELLS ? left : ROW_CELLS;
        if (count == 0)
            return false;
        /* acq_rel: pairs with hf_cells_allotted(); the cells themselves are zero from the start. */
        if (hf_cas_weak_acq_rel(allotted, &end, end + count)) {
            allotment->next = end;
            allotment->end = end + count;
            make_ready(region, end, count);
            return true;
        }
    }
}

uint32_t hf_cells_allotted(const struct hf_region *region)
{
    return hf_load_acquire(&region->header->reservation_end) - 1; /* pairs with the allotting */
}
