/*
 * A plan: what all threads of a load do. Written before they start, read-only from then on.
 */
#ifndef HF_BENCH_PLAN_H
#define HF_BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/arrivals.h"
#include "bench/link.h"
#include "bench/mix.h"
#include "bench/spread.h"

#define HF_LOAD_MAX_DEPTH       65536
#define HF_LOAD_MAX_INVENTORIES (1u << 24)
#define HF_LOAD_MAX_CUSTOMERS   (1u << 28)

struct hf_load_plan {
    struct hf_mix mix;
    struct hf_spread_choice spread; /* over inventories */
    uint32_t threads;
    uint32_t connections; /* of all threads together */
    uint32_t depth;       /* requests in flight on each: as many as that, in an open loop at most */
    uint32_t inventories; /* first_inventory_id and the ids that follow it */
    uint32_t customers;   /* 1 .. customers */
    uint32_t capacity;    /* of each inventory */
    uint32_t sold_out_capacity; /* of each of those that are sold out */
    uint32_t batch;             /* lines of a batch */
    uint64_t ttl_ns;            /* of holds */
    uint64_t lapse_ns;          /* of holds that are to lapse */

    /* Of an open loop. */
    double rate; /* pieces of work a second, of all threads together; 0: a closed loop */
    enum hf_arrival_kind arrivals;
    uint64_t pause_ns; /* between two turns of sending, at least */

    uint64_t first_inventory_id; /* of this run */
    uint64_t first_sold_out_id;  /* behind them: as many that are sold out */
    uint64_t id_high;            /* first half of every reservation id of this run */
    uint64_t id_start;           /* where the second halves start counting: random */
    struct hf_link_address address;
};

/* Gives the plan ids that no other run has: the time, and random bits. */
void hf_load_make_ids(struct hf_load_plan *plan);

#endif
