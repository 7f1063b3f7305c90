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
 * A cancel, or a confirmation of a hold: engine/resolve.h.
 *
 * Why no prefix of the log oversells: a claim's units were there from the start, or were given back
 * by a change whose LSN came before the giving back, hence before the claim, hence before the
 * claim's own LSN. So that change stands in every prefix that the claim stands in.
 *
 * What is more than a plain claim goes the way of engine/change.h: several reservations at once,
 * rules, guards, waiting lists.
 *
 * The engine answers at once. Its caller must not let anyone know before `wait_for_lsn` of the
 * outcome is committed (ACK-AFTER-COMMIT). An actor calls between hf_actor_enter() and
 * hf_actor_exit(), and sets `now_ns` before.
 */
#ifndef HF_ENGINE_ENGINE_H
#define HF_ENGINE_ENGINE_H

#include <stdalign.h>

#include "engine/customers.h"
#include "engine/epoch.h"
#include "engine/image.h"
#include "engine/region.h"
#include "engine/table.h"
#include "engine/timer.h"
#include "holdfast/message.h"
#include "wal/ring.h"

#define HF_DEFAULT_RETAIN_NS (24ull * 3600 * 1000000000ull)

struct hf_actor;
struct hf_transaction;

struct hf_engine {
    struct hf_region region;
    struct hf_timer timer;          /* of holds, and of finished reservations */
    struct hf_customers customers;  /* units of each, where there is a limit per customer */
    uint64_t retain_ns;             /* how long finished reservations are kept */
    uint64_t recovered_log_time_ns; /* the newest date in the log when it was opened */
    /* No reservation that was forgotten was changed later. Read by every claim; raised by whoever
     * forgets, with the chain taken. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t forgotten_ns;
    /* Written by all actors. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t reclaimed; /* reservations, for statistics */
    /* Actors that are taking what is due out of the timer (low 32 bits), and how often one began. */
    _Atomic uint64_t lapsing;
    _Atomic uint32_t chores; /* inventories whose list is to be served: the first, + 1 */
    /* The date of the newest change of each actor, by its number. Written by that actor. */
    struct hf_logged_date {
        alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t at_ns;
    } logged[HF_MAX_ACTORS];
    struct hf_epochs epochs;
};

/* Cells taken out of the table, until nobody can stand on them any more. Oldest first. */
struct hf_limbo_cell {
    uint64_t stamp;
    uint32_t number;
};

struct hf_limbo {
    struct hf_limbo_cell *cells;
    uint32_t head, count, capacity; /* a power of two */
};

/* One thread's access to the engine. */
struct hf_actor {
    struct hf_engine *engine;
    struct hf_ring_producer log;
    struct hf_allotment allotment;
    uint32_t number; /* among the actors */
    bool wake;       /* the time keeper sleeps too long: the caller wakes it, and clears this */
    uint64_t now_ns; /* the date of what is done next; the caller sets it, once a batch */
    _Atomic uint64_t made; /* reservations made by this actor; read by others for statistics */
    _Atomic uint64_t *logged_at_ns; /* date of its newest change, in engine->logged */
    struct hf_limbo limbo;
    struct hf_transaction *transaction;
};

/* Not a result for anyone: the operation cannot be decided now. Nothing was done; do it again. */
#define HF_PUT_ASIDE_BUSY     0 /* another actor is deciding; in no time */
#define HF_PUT_ASIDE_LOG_FULL 1 /* the ring has no free slot; after the next write */

/* What a word says of an inventory. */
struct hf_availability {
    int32_t available;
    uint32_t version;
};

struct hf_outcome {
    unsigned result;       /* enum hf_result, or HF_PUT_ASIDE_* */
    enum hf_field field;   /* that the result speaks of */
    uint64_t wait_for_lsn; /* the answer may be given when this is committed; 0: at once */
    bool repeated;         /* a yes that was given before */
    uint8_t state;         /* SEQUENCE_MISMATCH, WRONG_STATE: the reservation's */
    uint16_t line;         /* of a batch that failed, from 1 */
    struct hf_availability availability; /* a no about units or versions; SEQUENCE_MISMATCH and
                                            WRONG_STATE: version is the reservation's sequence */
    struct hf_reservation reservation;   /* with a yes about a reservation; else undefined */
    struct hf_inventory inventory;       /* with a yes about an inventory; else undefined */
    struct hf_settings settings;         /* with a yes of INVENTORY_SET or INVENTORY_SETTINGS */
    uint32_t settings_sequence;          /* likewise */
    uint32_t count;                      /* of entries, with a yes of BATCH or RESERVATION_LIST */
    uint64_t next; /* RESERVATION_LIST: the cursor to go on with; 0: the end */
};

static inline bool hf_outcome_put_aside(const struct hf_outcome *outcome)
{
    return outcome->result <= HF_PUT_ASIDE_LOG_FULL;
}

/* A plain claim. */
struct hf_reserve {
    struct hf_id id; /* zero: the engine makes one */
    uint64_t inventory_id;
    uint64_t customer_id;
    uint32_t qty;    /* 1 .. HF_MAX_UNITS, checked by the caller */
    uint64_t ttl_ns; /* 0: CONFIRMED; else HELD for that long */
};

/* The region is created by the caller, and closed by it afterwards. 0 or -errno. */
int hf_engine_init(struct hf_engine *engine, const struct hf_region *region, uint64_t retain_ns,
                   uint64_t now_ns);
void hf_engine_close(struct hf_engine *engine);

/* 0, -ENOMEM, or -EAGAIN: there are HF_MAX_ACTORS already. */
int hf_actor_init(struct hf_actor *actor, struct hf_engine *engine, struct hf_ring *ring);
void hf_actor_close(struct hf_actor *actor);

/*
 * The chain of a new id is taken: whatever is made in it bears a later date than what it may have
 * held before. An id that was forgotten can be had anew, and of two reservations with one id the
 * newer is the one that stands, for replay and for every reader of the log. The date of an actor is
 * that of the begin of its turn, and a turn may be longer than the retention (a stopped process): then
 * it moves on here. Never beyond the clock: forgotten_ns was in the log a retention ago.
 */
static inline void hf_actor_date_claim(struct hf_actor *actor)
{
    /* Relaxed: who forgets raises it with the chain taken, and we took that chain after it. */
    uint64_t forgotten_ns = hf_load_relaxed(&actor->engine->forgotten_ns);
    if (HF_UNLIKELY(actor->now_ns <= forgotten_ns))
        actor->now_ns = forgotten_ns + 1;
}

/* From here to the exit nothing that the actor finds is used again: once a batch. */
static inline void hf_actor_enter(struct hf_actor *actor)
{
    hf_epochs_enter(&actor->engine->epochs, actor->number);
}

static inline void hf_actor_exit(struct hf_actor *actor)
{
    hf_epochs_exit(&actor->engine->epochs, actor->number);
}

/* Of an actor that is about to begin an operation. */
void hf_outcome_begin(struct hf_outcome *outcome);

/*
 * GRANTED or a no; ID_REUSED (field), UNKNOWN_INVENTORY, RESERVATIONS_FULL, or put aside. The id is
 * looked up before all else.
 */
void hf_engine_reserve(struct hf_actor *actor, const struct hf_reserve *request,
                       struct hf_outcome *outcome);

/* FOUND, NOT_FOUND, or put aside. */
void hf_engine_get(struct hf_actor *actor, const struct hf_id *id, struct hf_outcome *outcome);

/* FOUND, with up to `limit` entries that the filter lets pass, or put aside. Entries and cursor: see
 * RESERVATION_LIST in docs/protocol.md. A call looks at some ten thousand reservations at most. */
void hf_engine_list(struct hf_actor *actor, const struct hf_reservation_filter *filter,
                    uint32_t limit, struct hf_reservation_entry *entries,
                    struct hf_outcome *outcome);

/* CREATED, INVENTORY_EXISTS (field), INVENTORIES_FULL, or put aside. capacity: 1 .. HF_MAX_UNITS. */
void hf_engine_create_inventory(struct hf_actor *actor, uint64_t inventory_id, uint64_t product_id,
                                uint32_t capacity, struct hf_outcome *outcome);

/* FOUND or UNKNOWN_INVENTORY. An availability read: immediate, and may be ahead of commit. */
void hf_engine_get_inventory(struct hf_actor *actor, uint64_t inventory_id,
                             struct hf_outcome *outcome);

/* The same, with the settings; these are told when they are committed. */
void hf_engine_get_settings(struct hf_actor *actor, uint64_t inventory_id,
                            struct hf_outcome *outcome);

/* Availability of each of `count` inventories. */
void hf_engine_availability(struct hf_actor *actor, const uint64_t *ids, uint32_t count,
                            struct hf_availability_entry *entries);

/* Up to `limit` inventories in the order of creation, beginning with number `from`. Returns how
 * many, and in *next what to go on with (0: these were the last). */
uint32_t hf_engine_list_inventories(struct hf_actor *actor, uint32_t from, uint32_t limit,
                                    struct hf_inventory *inventories, uint32_t *next);

/* The newest date of all that was logged: the log's own time, by which retention is measured. */
uint64_t hf_engine_log_time_ns(const struct hf_engine *engine);

/* Reservations that finished at this date or before are not retained. */
uint64_t hf_engine_forget_before_ns(const struct hf_engine *engine);

/* ---- for the engine's own files ---- */

/* Takes an LSN for the image of one reservation, by itself, and publishes it. */
uint64_t hf_log_reservation(struct hf_actor *actor, const struct hf_reservation *reservation,
                            const struct hf_image_notes *notes);

/* What a reservation's image says beyond it; of a cell whose mark the caller owns. */
void hf_notes_of(const struct hf_region *region, const struct hf_reservation_cell *cell,
                 uint64_t word, struct hf_image_notes *notes);

/* Stores date and LSN of a change; the mark is the caller's. */
void hf_reservation_store(struct hf_reservation_cell *cell,
                          const struct hf_reservation *reservation);

/* Clears the mark: the change is done. */
void hf_reservation_unmark(struct hf_reservation_cell *cell, const struct hf_reservation *changed,
                           uint64_t terms);

/* Files a reservation that was held or finished in the timer, by its due_ns. */
void hf_engine_arm(struct hf_actor *actor, uint32_t number);

#endif
