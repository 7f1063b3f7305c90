/*
 * The table: finds a reservation by its id, and decides who decides about an id.
 *
 * The index is an array of chain heads; a chain links cells through their `next`. A head is one
 * word:
 *   bits 0 .. 30   number of the chain's first cell; 0: the chain is empty
 *   bit  31        taken: somebody is deciding about an id of this chain
 *   bits 32 .. 63  filter: of each id in the chain, the bit that its hash names is set
 *
 * Nearly every id that is asked for is new. The filter says so without a look at a cell, which is
 * seldom in any cache. With as many reservations as chains it sends 3 in 100 of those to a cell, with
 * twice as many 6; without it 63 and 86 would look at one or more. It is exact whenever a chain is
 * left: taking a cell out makes it anew.
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
 * the instant of the load; so is the filter, which is in the same word. So whoever is refused since a word showed too few units, and looks the
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
#include "engine/cells.h"

#define HF_HEAD_TAKEN (1ull << 31)
#define HF_HEAD_FIRST 0x7fffffffull

enum hf_lookup {
    HF_LOOKUP_FOUND,
    HF_LOOKUP_ABSENT,
    HF_LOOKUP_TAKEN, /* somebody is deciding there: put the operation aside */
};

/* A chain that the caller has taken. */
struct hf_chain {
    _Atomic uint64_t *head;
    uint64_t word; /* what the head will be: first cell and filter */
    uint64_t bit;  /* in the filter, of the id that it was taken for */
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

/* The filter's bit of an id: by the upper bits of its hash, as the lower choose the chain. */
static inline uint64_t hf_head_bit(uint64_t hash)
{
    return 1ull << (32 + (hash >> 59));
}

/* Where a search for an id of this filter bit begins in a chain with this head; 0: it is not there. */
static inline uint32_t hf_head_search(uint64_t head, uint64_t bit)
{
    return (head & bit) != 0 ? (uint32_t)(head & HF_HEAD_FIRST) : 0;
}

/* Into a taken chain, with all fields filled; reachable once the chain is left. `bit`: of its id. */
static inline void hf_chain_push(struct hf_chain *chain, struct hf_region *region, uint32_t number,
                                 uint64_t bit)
{
    uint64_t first = chain->word & HF_HEAD_FIRST;
    hf_store_relaxed(&region->reservations[number].next, (uint32_t)first); /* released when left */
    chain->word = (chain->word - first + number) | bit;
}

/* Leaves the chain, with what was pushed. */
static inline void hf_chain_leave(struct hf_chain *chain)
{
    hf_store_release(chain->head, chain->word); /* pairs with the loads of the head */
}

/* Makes the free cell, filled with the id that the chain was taken for, reachable, takes it out of
 * stock, and leaves the chain. */
static inline void hf_chain_insert(struct hf_chain *chain, struct hf_region *region,
                                   struct hf_allotment *allotment)
{
    hf_chain_push(chain, region, allotment->next++, chain->bit);
    hf_chain_leave(chain);
}

/* The head of the chain of an id. */
static inline _Atomic uint64_t *hf_table_head(const struct hf_region *region, uint64_t hash)
{
    return &region->index[hash & (region->header->index_count - 1)];
}

/* For one thread before there are others (replay): puts the free cell, which was filled, at the head
 * of the chain of its id, and takes it out of stock. No CAS: 20 cycles less. */
static inline void hf_table_insert_alone(struct hf_region *region, uint64_t hash,
                                         struct hf_allotment *allotment)
{
    _Atomic uint64_t *head = hf_table_head(region, hash);
    /* Relaxed, all: as nobody else is there. */
    uint64_t word = hf_load_relaxed(head), first = word & HF_HEAD_FIRST;
    hf_store_relaxed(&region->reservations[allotment->next].next, (uint32_t)first);
    hf_store_relaxed(head, (word - first + allotment->next++) | hf_head_bit(hash));
}

/* Brings the head of the chain into the cache. (Always inlined: a call to a function that only
 * prefetches is optimized away by gcc, as it has no result.) */
__attribute__((always_inline)) static inline void
hf_table_prefetch_head(const struct hf_region *region, uint64_t hash)
{
    __builtin_prefetch((const void *)&region->index[hash & (region->header->index_count - 1)], 1);
}

/* The first cell of the id's chain, if the id may be in it; else 0. A hint. */
static inline uint32_t hf_table_first_guess(const struct hf_region *region, uint64_t hash)
{
    return hf_head_search(hf_load_relaxed(hf_table_head(region, hash)), hf_head_bit(hash));
}

/* Brings the cell where a search for the id begins. The head was prefetched some time ago. */
static inline __attribute__((always_inline)) void
hf_table_prefetch_cell(const struct hf_region *region, uint64_t hash)
{
    uint32_t first = hf_table_first_guess(region, hash);
    if (first != 0)
        __builtin_prefetch((const void *)&region->reservations[first]);
}

/* The same, of one that is to be changed, most likely: with its terms. */
static inline __attribute__((always_inline)) void
hf_table_prefetch_change(const struct hf_region *region, uint64_t hash)
{
    uint32_t first = hf_table_first_guess(region, hash);
    if (first == 0)
        return;
    __builtin_prefetch((const void *)&region->reservations[first], 1);
    __builtin_prefetch((const void *)&region->terms[first], 1);
}

#endif
