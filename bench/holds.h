/*
 * Holds: the million holds whose expiry is measured, each known by its number.
 *
 *   number                   where it is held                what becomes of it
 *   0 .. alone - 1           in an inventory of one unit     lapses; somebody else wants its unit
 *   the next `raced`         in one of the shared ones       its customer confirms it at the deadline,
 *                                                            a little early or late
 *   the others               in one of the shared ones       confirmed before, extended before, or
 *                                                            neither: shares of a hundred
 *
 * So inventories are the `shared` ones, and behind them one for each hold that is alone. Everything
 * but the deadline follows from the number; a deadline is what the server told last.
 */
#ifndef HF_BENCH_HOLDS_H
#define HF_BENCH_HOLDS_H

#include "bench/drive.h"
#include "bench/server_time.h"

struct hf_holds {
    /* Constant once they are made. */
    uint32_t count, alone, raced;
    uint32_t shared; /* inventories */
    uint32_t confirmed_percent, extended_percent;
    uint64_t first_inventory_id;
    uint64_t id_high;          /* first half of all their ids */
    uint64_t seed;             /* of the deadlines */
    uint64_t begin_ns, end_ns; /* deadlines are between these two, on the server's clock */
    const struct hf_server_time *time;
    uint64_t *deadlines_ns;       /* by number */
    const uint32_t *confirmed_in; /* for hf_holds_check_units() */
};

/* 0 or -ENOMEM; all but the arrays is the caller's to fill in before. */
int hf_holds_open(struct hf_holds *holds);
void hf_holds_close(struct hf_holds *holds);

static inline uint32_t hf_holds_inventories(const struct hf_holds *holds)
{
    return holds->shared + holds->alone;
}

/* Which inventory it is in, from 0. */
uint32_t hf_holds_place(const struct hf_holds *holds, uint32_t number);

/* The id of a hold, or of the claim of somebody else for the unit of one that is alone. */
struct hf_id hf_holds_id(const struct hf_holds *holds, uint32_t number, bool others_claim);

/* The number in an id of this run. False: it is not of this run. */
bool hf_holds_number(const struct hf_holds *holds, const struct hf_id *id, uint32_t *number,
                     bool *others_claim);

/* One after the other. Each blocks until all is answered. False: something was wrong, and reported. */
bool hf_holds_make_inventories(struct hf_holds *holds, struct hf_drive *drive);
bool hf_holds_make(struct hf_holds *holds, struct hf_drive *drive);
bool hf_holds_extend(struct hf_holds *holds, struct hf_drive *drive);
bool hf_holds_confirm(struct hf_holds *holds, struct hf_drive *drive);

/* When all has lapsed: every unit is confirmed or to be had, confirmed_in[] (by inventory) being
 * what is confirmed. */
bool hf_holds_check_units(struct hf_holds *holds, struct hf_drive *drive,
                          const uint32_t *confirmed_in);

#endif
