/*
 * The engine: decides. Each function is one operation, never blocks, and may be called by any
 * number of actors at once, each from its own thread.
 *
 * A grant, step by step, and what each step is there for:
 *   1. look the id up, take its chain      a repeat gets the first answer again; if there is none,
 *                                          nobody else decides about this id (engine/table.h)
 *   2. make sure of a cell and a credit    whatever is claimed can be recorded
 *   3. claim                               CAS on the inventory's word (NO-OVERSELL)
 *   4. insert the cell, marked             others who meet it put theirs aside (LSN-ORDER)
 *   5. reserve the LSN, write the image    CLAIM-BEFORE-LOG
 *   6. clear the mark
 * A cancel: win the CAS on the reservation's word, with the mark; write the image, take its LSN;
 * clear the mark; give the units back (LOG-BEFORE-RELEASE).
 *
 * Why no prefix of the log oversells: a claim's units were there from the start, or were given back
 * by a change whose LSN came before the giving back, hence before the claim, hence before the
 * claim's own LSN. So that change stands in every prefix that the claim stands in.
 *
 * The engine answers at once. Its caller must not let anyone know before `wait_for_lsn` of the
 * outcome is committed (ACK-AFTER-COMMIT).
 */
#ifndef HF_ENGINE_ENGINE_H
#define HF_ENGINE_ENGINE_H

#include "engine/region.h"
#include "engine/table.h"
#include "holdfast/result.h"
#include "holdfast/types.h"
#include "wal/ring.h"

struct hf_engine {
    struct hf_region region;
};

/* One thread's access to the engine. */
struct hf_actor {
    struct hf_engine *engine;
    struct hf_ring_producer log;
    struct hf_allotment allotment;
    uint64_t now_ns;       /* the date of what is done next; the caller sets it, once a batch */
    _Atomic uint64_t made; /* reservations made by this actor; read by others for statistics */
};

/* Not a result for anyone: the operation cannot be decided now. Nothing was done; do it again. */
#define HF_PUT_ASIDE_BUSY     0 /* another actor is deciding; in no time */
#define HF_PUT_ASIDE_LOG_FULL 1 /* the ring has no free slot; after the next write */

struct hf_outcome {
    unsigned result;       /* enum hf_result, or HF_PUT_ASIDE_* */
    enum hf_field field;   /* that the result speaks of */
    uint64_t wait_for_lsn; /* the answer may be given when this is committed; 0: at once */
    bool repeated;         /* a yes that was given before */
    struct hf_availability availability; /* with SOLD_OUT */
    struct hf_reservation reservation;   /* with a yes about a reservation; else undefined */
    struct hf_inventory inventory;       /* with a yes about an inventory; else undefined */
};

static inline bool hf_outcome_put_aside(const struct hf_outcome *outcome)
{
    return outcome->result <= HF_PUT_ASIDE_LOG_FULL;
}

struct hf_reserve {
    struct hf_id id; /* zero: the engine makes one */
    uint64_t inventory_id;
    uint64_t customer_id;
    uint32_t qty; /* 1 .. HF_MAX_UNITS, checked by the caller */
};

/* The region is created or recovered by the caller. */
void hf_engine_init(struct hf_engine *engine, const struct hf_region *region);

void hf_actor_init(struct hf_actor *actor, struct hf_engine *engine, struct hf_ring *ring);
void hf_actor_close(struct hf_actor *actor);

/*
 * GRANTED, SOLD_OUT, ID_REUSED (field), UNKNOWN_INVENTORY, RESERVATIONS_FULL, or put aside. The id
 * is looked up before all else.
 */
void hf_engine_reserve(struct hf_actor *actor, const struct hf_reserve *request,
                       struct hf_outcome *outcome);

/* CANCELLED, NOT_FOUND, or put aside. */
void hf_engine_cancel(struct hf_actor *actor, const struct hf_id *id, struct hf_outcome *outcome);

/* FOUND, NOT_FOUND, or put aside. */
void hf_engine_get(struct hf_actor *actor, const struct hf_id *id, struct hf_outcome *outcome);

/* CREATED, INVENTORY_EXISTS (field), INVENTORIES_FULL, or put aside. capacity: 1 .. HF_MAX_UNITS.
 */
void hf_engine_create_inventory(struct hf_actor *actor, uint64_t inventory_id, uint64_t product_id,
                                uint32_t capacity, struct hf_outcome *outcome);

/* FOUND or UNKNOWN_INVENTORY. An availability read: immediate, and may be ahead of commit. */
void hf_engine_get_inventory(struct hf_actor *actor, uint64_t inventory_id,
                             struct hf_outcome *outcome);

/* Up to `limit` inventories in the order of creation, beginning with number `from`. Returns how
 * many, and in *next what to go on with (0: these were the last). */
uint32_t hf_engine_list_inventories(struct hf_actor *actor, uint32_t from, uint32_t limit,
                                    struct hf_inventory *inventories, uint32_t *next);

#endif
