/*
 * What the reference model remembers: inventories, reservations, and how it came to them.
 *
 * Plain arrays, a counter beside each sum, and no cleverness but one: every change first puts what
 * was there before into a journal, so that any number of changes can be taken back, newest first. A
 * crash that loses the end of the log is a rollback; so is a branch of the search for a sequential
 * order (linearize.h); so is a batch whose last line fails.
 *
 * Who changes what: all changes go through the functions below, which journal them and keep the
 * sums. hf_world_broken() proves the sums against the reservations themselves.
 *
 * Not thread-safe.
 */
#ifndef HF_TESTS_MODEL_WORLD_H
#define HF_TESTS_MODEL_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/types.h"

#define HF_WORLD_INVENTORIES 16u

struct hf_world_inventory {
    uint64_t inventory_id;
    uint64_t product_id;
    uint64_t made_at_ns;
    uint32_t capacity;
    struct hf_settings settings; /* its flags without SOLD_OUT_CLOSED */
    bool sold_out_closed;
    uint32_t held, confirmed; /* units */
    uint32_t waiting;         /* reservations */
    uint32_t version;         /* what the engine called this state last; see version_known */
    bool version_known;       /* nothing changed since */
};

struct hf_world_reservation {
    struct hf_reservation now; /* its LSN: as noted by hf_world_note_lsn() */
    enum hf_state made_as;     /* CONFIRMED, HELD or WAITING: which operation made it */
    uint64_t made_customer_id; /* of the request that made it */
    uint32_t made_qty;         /* likewise */
    bool altered;              /* its customer or quantity was once another than that */
    bool had_units;            /* it was once HELD or CONFIRMED */
    bool forgotten;            /* its retention is over, and it was seen to be gone */
    uint64_t place;            /* WAITING: the lower, the earlier in its list */
};

struct hf_world;

/* max_inventories: as many may be created (at most HF_WORLD_INVENTORIES). max_reservations: room,
 * forgotten ones included; running out of it ends the process, as does a lack of memory. */
struct hf_world *hf_world_open(uint32_t max_inventories, uint32_t max_reservations);
void hf_world_close(struct hf_world *world);

/* Empty again, as just opened. */
void hf_world_clear(struct hf_world *world);

/* ---- looking ---- */

uint32_t hf_world_inventory_count(const struct hf_world *world);
bool hf_world_inventories_full(const struct hf_world *world);
const struct hf_world_inventory *hf_world_inventory(const struct hf_world *world, uint32_t index);
/* NULL: there is none. */
const struct hf_world_inventory *hf_world_find_inventory(const struct hf_world *world,
                                                         uint64_t inventory_id);

/* All of them, forgotten ones included, in the order in which their ids were first used. */
uint32_t hf_world_reservation_count(const struct hf_world *world);
const struct hf_world_reservation *hf_world_reservation(const struct hf_world *world,
                                                        uint32_t index);
/* NULL: there is none, or it is forgotten. */
const struct hf_world_reservation *hf_world_find(const struct hf_world *world,
                                                 const struct hf_id *id);
/* Forgotten ones too. */
const struct hf_world_reservation *hf_world_find_any(const struct hf_world *world,
                                                     const struct hf_id *id);

/* Sell limit - held - confirmed: negative with a deficit. */
int32_t hf_world_available(const struct hf_world_inventory *inventory);

/* Units of one customer in one inventory, held and confirmed. */
uint32_t hf_world_customer_units(const struct hf_world *world, uint64_t inventory_id,
                                 uint64_t customer_id);

/* The first in an inventory's waiting list whose place is at least `place`; NULL: none. */
const struct hf_world_reservation *hf_world_waiting_from(const struct hf_world *world,
                                                         uint64_t inventory_id, uint64_t place);

/* As the interfaces show it; lsn and version are 0. */
void hf_world_show_inventory(const struct hf_world_inventory *inventory,
                             struct hf_inventory *shown);

/* One number for all that can influence a later answer, equal for equal states whatever led to
 * them. */
uint64_t hf_world_hash(const struct hf_world *world);

/* ---- changing: each journals what was there before ---- */

/* A new inventory, with nothing sold. */
struct hf_world_inventory *hf_world_add_inventory(struct hf_world *world, uint64_t inventory_id);

/* To be changed by the caller: its settings, not its sums. */
struct hf_world_inventory *hf_world_change_inventory(struct hf_world *world, uint64_t inventory_id);

/* A new reservation; its id, inventory, customer, qty, state and dates are `made`'s. A forgotten one
 * with this id is replaced. */
void hf_world_add(struct hf_world *world, const struct hf_reservation *made);

/*
 * A change of a reservation: `changed` is its new content but for sequence and changed_at_ns, which
 * follow. Sums follow too.
 */
void hf_world_change(struct hf_world *world, const struct hf_reservation *changed, uint64_t now_ns);

/* It was seen to be gone, or to be still there after all. Only of one that is final. */
void hf_world_note_forgotten(struct hf_world *world, const struct hf_id *id, bool forgotten);

/* The newest change of the reservation has this LSN. Not journaled: of the change before it. */
void hf_world_note_lsn(struct hf_world *world, const struct hf_id *id, uint64_t lsn);

/* The engine calls the present state of the inventory this. Not journaled: knowledge, not state. */
void hf_world_note_version(struct hf_world *world, uint64_t inventory_id, uint32_t version);
/* After a restart: versions jump. */
void hf_world_forget_versions(struct hf_world *world);

/* ---- the journal ---- */

size_t hf_world_mark(const struct hf_world *world);

/* Takes back all that was changed since the mark. */
void hf_world_rollback(struct hf_world *world, size_t mark);

/* What can no longer be taken back: empties the journal and drops forgotten reservations that are
 * not `kept` (NULL: drops all). All marks end. */
void hf_world_checkpoint(struct hf_world *world,
                         bool (*kept)(void *context, const struct hf_id *id), void *context);

/*
 * The reservations as each change since the mark left them, oldest first: up to `limit` into
 * `changes`. Returns how many there are.
 */
uint32_t hf_world_changes(const struct hf_world *world, size_t mark, struct hf_reservation *changes,
                          uint32_t limit);

/*
 * NULL, or the invariant that does not hold: NO-OVERSELL (no deficit grew since the mark but by a
 * lowered limit), CONSERVATION, the order of the waiting lists.
 */
const char *hf_world_broken(const struct hf_world *world, size_t mark);

#endif
