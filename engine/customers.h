/*
 * Customers: how many units one customer has, held and confirmed, of one inventory; for inventories
 * with a limit per customer. Private memory of the server: recovery counts them anew.
 *
 * A counter is a cell with a word (word.h; amount: the units), found by inventory and customer
 * through an index of chains. A claim counts up by a CAS of the word, alone or with others in one
 * hf_mcas(); giving back counts down; whoever leaves it at 0 drops it. There are as many customers
 * as there are people, so a cell without units must be of use to the next one.
 *
 * A head is one word, as in table.h:
 *   bits 0 .. 29  number of the chain's first cell; 0: the chain is empty
 *   bit  30       dropped: with the next bit only. Somebody dropped a cell of this chain meanwhile
 *   bit  31       taken: somebody changes this chain
 *
 * A cell's life
 *   free      in the stack of free cells, or never used
 *   filled    by the one who took the chain, not found by others yet
 *   counting  in the chain. The amount may be 0: made, and not counted on yet, or not dropped yet
 *   dead      amount 0, HF_WORD_SEALED set by a CAS that bumped the version. Lookups pass over it,
 *             and whoever found it before fails to change its word, and looks the counter up again.
 *             It never counts again in this life
 *   retired   unlinked from the chain by one who has taken it. Its `next` stays, as readers may
 *             stand on it. In the stack of retired cells, then with all of that stack behind a
 *             stamp of the epochs (epoch.h), until that has passed
 *
 * Who uses a cell must be inside (hf_epochs_enter()) from the lookup to the last use of the
 * pointer: else it may count on what is another customer's by then. That, and the stack of free
 * cells, is all that epochs are needed for. The word itself is never anything but a counter's word,
 * in memory that stays mapped, and its version goes on from one life to the next. So a CAS, or a
 * slow helper of an hf_mcas(), that comes late from an earlier life finds another version, whatever
 * the cell is now (b. and d. in mcas.h).
 *
 * Two counters of one customer? A counter is made by one who took the chain, after looking through
 * all of it once more. Until it leaves nobody else makes any. A dead one may stand behind the one
 * that was made in its place: lookups pass over it.
 *
 * Absent? A lookup loads the head once and then walks, while others unlink and insert. If it passes
 * over a counter since that is dead, or was unlinked meanwhile, then that was dead at an instant
 * during the lookup, and the next one for it not made: the customer had no units then (HONEST-NO).
 * If the counter was inserted after the load of the head, it was absent at the load.
 *
 * Lookups do not walk a chain that is taken: who has it may have retired its first cells already,
 * though the head still names them, so a lookup might enter after their stamp and find them.
 *
 * No dead cell is left in a chain. Who drops one unlinks it, if the chain is not taken. If it is,
 * the drop sets the bit `dropped` and goes away; who has the chain leaves it by a CAS that fails if
 * the bit came, takes the bit off, looks for dead cells, and tries again. The drop sets the bit by
 * a CAS even where it is set already: so it comes before the one who takes it off, who sees the
 * seal.
 *
 * Offsets: mcas.base is the region, and these cells are elsewhere. mcas.h tells why that is good.
 */
#ifndef HF_ENGINE_CUSTOMERS_H
#define HF_ENGINE_CUSTOMERS_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "engine/epoch.h"
#include "engine/mcas.h"
#include "engine/word.h"

#define HF_CUSTOMERS_MAX ((1u << 30) - 1)

struct hf_customer_cell {
    _Atomic uint64_t word; /* anyone, by CAS */
    /* The filler, before the cell is in the chain; constant until it is free again. */
    uint64_t customer_id;
    uint32_t inventory;
    _Atomic uint32_t next; /* in the chain: whoever has taken the chain, until it is retired */
    _Atomic uint32_t link; /* in the stack of retired or free cells */
    uint32_t reserved;
};
_Static_assert(sizeof(struct hf_customer_cell) == 32, "two a cache line");

struct hf_customers {
    /* Constant. */
    _Atomic uint32_t *heads;
    struct hf_customer_cell *cells; /* [0] is never used: 0 means none */
    struct hf_epochs *epochs;
    uint64_t hash_seed; /* secret, so that no client can choose customers that share a chain */
    size_t map_bytes;
    uint32_t head_mask;
    uint32_t max_counters;

    alignas(HF_CACHE_LINE_BYTES) _Atomic uint32_t free; /* first cell of the stack */
    _Atomic uint32_t used;                              /* cells 1 .. this were used at some time */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t retired; /* the same; bits 32 .. 63: how many */

    /* 1: somebody moves retired cells on, and alone may use the two behind. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint32_t collecting;
    uint32_t waiting; /* first of the cells that may be used again once the stamp has passed */
    uint64_t waiting_stamp;
};

/* max_counters: 1 .. HF_CUSTOMERS_MAX. Memory is paid for as it is touched, 36 to 40 bytes a
 * counter. The epochs stay the caller's. 0, -EINVAL or -errno. Before any other thread knows it. */
int hf_customers_init(struct hf_customers *customers, uint32_t max_counters,
                      struct hf_epochs *epochs);
void hf_customers_close(struct hf_customers *customers);

/*
 * The counter of one customer of one inventory. NULL: there is none, so the customer has no units;
 * or with *busy, somebody is changing that chain: put the operation aside. The word is for the
 * caller to load (hf_mcas_load()); if it says HF_WORD_SEALED by then, look the counter up again.
 * All of these by an actor that is inside; none ever blocks.
 */
struct hf_customer_cell *hf_customers_find(const struct hf_customers *customers, uint32_t inventory,
                                           uint64_t customer_id, bool *busy);

/*
 * The same, made with amount 0 if there is none. Whoever got one and does not count on it drops it.
 * NULL: all counters are in use. NULL with *busy: somebody is changing the chain, or cells wait for
 * a grace period: put the operation aside, and exit before trying again, as the caller's own being
 * inside may be what they wait for.
 */
struct hf_customer_cell *hf_customers_get(struct hf_customers *customers, uint32_t inventory,
                                          uint64_t customer_id, bool *busy);

/* Bring into the cache what hf_customers_get() will touch: first the head of the chain, and some
 * time later, when that is there, the chain's first cell. */
void hf_customers_prefetch_head(const struct hf_customers *customers, uint32_t inventory,
                                uint64_t customer_id);
void hf_customers_prefetch_cell(const struct hf_customers *customers, uint32_t inventory,
                                uint64_t customer_id);

/* If the amount is 0, makes the cell dead, and of use to others after a grace period. Else, or if
 * it is dead already, nothing. The caller does not use the cell any more. */
void hf_customers_drop(struct hf_customers *customers, const struct hf_mcas *mcas,
                       struct hf_customer_cell *cell);

/* ---- the steps, for the functions above and for tests that stop in the middle ---- */

/* A chain that the caller has taken. */
struct hf_customer_chain {
    _Atomic uint32_t *head;
    uint32_t taken; /* the head as the caller made it */
    uint32_t first; /* its first cell; becomes the head */
};

/* False: somebody else has it. */
bool hf_customers_take(struct hf_customers *customers, uint32_t inventory, uint64_t customer_id,
                       struct hf_customer_chain *chain);

/* Leaves the chain. False: not yet, as cells were dropped meanwhile, which it has unlinked. */
bool hf_customers_try_leave(struct hf_customers *customers, struct hf_customer_chain *chain);

/* Leaves the chain, and no cell in it that was dropped meanwhile. */
void hf_customers_leave(struct hf_customers *customers, struct hf_customer_chain *chain);

#endif
