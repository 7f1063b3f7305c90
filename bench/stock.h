/*
 * The stock: the inventories of a run, made before it, and counted after it.
 *
 * They are new, and nobody knows their ids but the run that made them. So what is missing from them in
 * the end is what that run was granted, to the unit: a server that told something else is found out.
 */
#ifndef HF_BENCH_STOCK_H
#define HF_BENCH_STOCK_H

#include <stdbool.h>

#include "bench/plan.h"

struct hf_stock {
    bool keeps_state;    /* false: the server is the floor (floor.c), which has nothing to count */
    uint64_t made_at_ns; /* monotonic */
    uint64_t taken;      /* units, as the answers told: confirmed */
    uint64_t held;       /* ... and held, though holds may have lapsed since */
};

/*
 * Connects to `server`, "HOST:PORT", and makes what the plan needs: plan->inventories that have
 * plan->capacity each, and as many that are sold out. Sets the plan's address. Blocks. 0, or an exit
 * status once the reason was reported.
 */
int hf_stock_make(struct hf_stock *stock, const char *server, struct hf_load_plan *plan);

/* Counts what is there. Blocks. 0; or an exit status, once it was reported what is wrong. */
int hf_stock_audit(const struct hf_stock *stock, const struct hf_load_plan *plan);

#endif
