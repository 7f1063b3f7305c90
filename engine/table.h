/*
 * The table: finds a reservation by its id, and decides who decides about an id.
 *
 * The index is an array of chain heads; a chain links cells through their `next`. A head is one
 * word:
 *   bits 0 .. 30  number of the chain's first cell; 0: the chain is empty
 *   bit  31       taken: somebody is deciding about an id of this chain
 *
 * Two requests with one id in flight: the first to take the chain decides; the second is put aside,
 * not answered, until the first is decided. Nobody waits. Taking is a CAS on the head; while it is
 * taken nobody else changes it, so inserting a cell and leaving is one plain store. A refusal
 * leaves no trace that would have to be taken out again.
 *
 * The argument. A grant takes the chain, looks the id up, claims, and inserts. Until it leaves, no
 * other grant of that id can: so "looked up and not there" stays true until it inserts (no id is
 * granted twice). A lookup outside loads the head once. If that is taken, the lookup is put aside.
 * If not, all who decided before have inserted, and the chain from that head is what was true at
 * the instant of the load. So whoever is refused since a word showed too few units, and looks the
 * id up after that load: had the missing units gone to this very id, then its grant had taken the
 * chain before, and either still has it (put aside) or has inserted (found). A refusal never denies
 * a grant that exists (HONEST-NO), and NOT_FOUND never hides one whose units others already miss.
 *
 * Taking a cell out of its chain (its retention ended) takes the chain, too. Those who walk the
 * chain meanwhile may still stand on the cell; they do so inside an epoch, and the cell is used
 * again only when all of them have left it (engine/epoch.h).
 *
 * A chain serves all ids that hash to it: meeting a stranger's decision there costs one retry.
 */
#ifndef HF_ENGINE_TABLE_H
#define HF_ENGINE_TABLE_H

#include "base/check.h"
#include "engine/region.h"

/* One thread's stock of free cells, allotted in chunks so that threads do not meet at one counter.
 */
struct hf_allotment {
    uint32_t next, end;
};

#define HF_HEAD_TAKEN (1u << 31)

enum hf_lookup {
    HF_LOOKUP_FOUND,
    HF_LOOKUP_ABSENT,
    HF_LOOKUP_TAKEN, /* somebody is deciding there: put the operation aside */
};

/* A chain that the caller has taken. */
struct hf_chain {
    _Atomic uint32_t *head;
    uint32_t first; /* its first cell */
};

/* What is true of the id at one instant. FOUND sets *cell. */
enum hf_lookup hf_table_find(const struct hf_region *region, const struct hf_id *id, uint64_t hash,
                             struct hf_reservation_cell **cell);

/*
 * Takes the chain of the id to decide about it. TAKEN: somebody else has it. FOUND: the id is known
 * already; the chain is left alone. ABSENT: the chain is the caller's until hf_chain_insert() or
 * hf_chain_leave().
 */
enum hf_lookup hf_table_take(struct hf_region *region, const struct hf_id *id, uint64_t hash,
                             struct hf_chain *chain, struct hf_reservation_cell **cell);

/* Takes the chain that the id belongs to, whatever is in it. False: somebody else has it. */
bool hf_table_take_chain(const struct hf_region *region, uint64_t hash, struct hf_chain *chain);

/* Of a taken chain: the reservation with this id, or NULL. */
struct hf_reservation_cell *hf_chain_find(const struct hf_chain *chain,
                                          const struct hf_region *region, const struct hf_id *id);

/* Out of a taken chain, at once. */
void hf_chain_remove(struct hf_chain *chain, struct hf_region *region, uint32_t number);

/* Takes a free cell out of stock. 0: the table is full. */
uint32_t hf_table_take_cell(struct hf_region *region, struct hf_allotment *allotment);

/* Gives a cell back that nobody can reach; its word is 0. */
void hf_table_free_one(struct hf_region *region, uint32_t number);

/* Gives back what is left in stock. */
void hf_table_return(struct hf_region *region, struct hf_allotment *allotment);

/* Into a taken chain, with all fields filled; reachable once the chain is left. */
static inline void hf_chain_push(struct hf_chain *chain, struct hf_region *region, uint32_t number)
{
    hf_store_relaxed(&region->reservations[number].next, chain->first); /* released when left */
    chain->first = number;
}

/* Leaves the chain, with what was pushed. */
static inline void hf_chain_leave(struct hf_chain *chain)
{
    hf_store_release(chain->head, chain->first); /* pairs with the loads of the head */
}

/* hf_table_allot() when there is none in stock. */
bool hf_table_allot_slow(struct hf_region *region, struct hf_allotment *allotment);

/* Makes sure that there is a free cell in stock: number allotment->next. False: the table is full. */
static inline bool hf_table_allot(struct hf_region *region, struct hf_allotment *allotment)
{
    return HF_LIKELY(allotment->next != allotment->end) || hf_table_allot_slow(region, allotment);
}

/* Makes the free cell, which was filled, reachable, takes it out of stock, and leaves the chain. */
static inline void hf_chain_insert(struct hf_chain *chain, struct hf_region *region,
                                   struct hf_allotment *allotment)
{
    hf_chain_push(chain, region, allotment->next++);
    hf_chain_leave(chain);
}

/* The head of the chain of an id. */
static inline _Atomic uint32_t *hf_table_head(const struct hf_region *region, uint64_t hash)
{
    return &region->index[hash & (region->header->index_count - 1)];
}

/* For one thread before there are others (replay): puts the free cell, which was filled, at the head
 * of the chain of its id, and takes it out of stock. No CAS: 20 cycles less. */
static inline void hf_table_insert_alone(struct hf_region *region, uint64_t hash,
                                         struct hf_allotment *allotment)
{
    _Atomic uint32_t *head = hf_table_head(region, hash);
    /* Relaxed, all: as nobody else is there. */
    hf_store_relaxed(&region->reservations[allotment->next].next, hf_load_relaxed(head));
    hf_store_relaxed(head, allotment->next++);
}

/* The free cell that the next hf_chain_insert() will insert: fill it, its word included. */
static inline struct hf_reservation_cell *hf_table_free_cell(struct hf_region *region,
                                                             const struct hf_allotment *allotment)
{
    return &region->reservations[allotment->next];
}

/* How many cells are allotted; cells 1 .. this may be in use (those with a word other than 0). */
uint32_t hf_table_allotted(const struct hf_region *region);

/* Brings the head of the chain into the cache. (Always inlined: a call to a function that only
 * prefetches is optimized away by gcc, as it has no result.) */
__attribute__((always_inline)) static inline void
hf_table_prefetch_head(const struct hf_region *region, uint64_t hash)
{
    __builtin_prefetch((const void *)&region->index[hash & (region->header->index_count - 1)], 1);
}

/* Brings the first cell of the id's chain, whose head was prefetched some time ago. */
static inline __attribute__((always_inline)) void
hf_table_prefetch_cell(const struct hf_region *region, uint64_t hash)
{
    uint32_t head = hf_load_relaxed(hf_table_head(region, hash)); /* a hint */
    __builtin_prefetch((const void *)&region->reservations[head & ~HF_HEAD_TAKEN]);
}

#endif
