/* The table; its protocol is told in table.h. */
#include "engine/table.h"

#include <string.h>

#include "engine/hash.h"

static struct hf_reservation_cell *search(const struct hf_region *region, uint32_t number,
                                          const struct hf_id *id)
{
    while (number != 0) {
        struct hf_reservation_cell *cell = &region->reservations[number];
        if (hf_reservation_has_id(cell, id))
            return cell;
        /* Relaxed: the acquire of the head orders it. It changes only to one that stands further
         * on in the chain, and was there when the head was loaded. */
        number = hf_load_relaxed(&cell->next);
    }
    return NULL;
}

enum hf_lookup hf_table_find(const struct hf_region *region, const struct hf_id *id, uint64_t hash,
                             struct hf_reservation_cell **cell)
{
    /* Acquire, pairs with hf_chain_insert(): the cell, and all behind it, are filled. */
    uint64_t head = hf_load_acquire(hf_table_head(region, hash));
    if (head & HF_HEAD_TAKEN)
        return HF_LOOKUP_TAKEN;
    *cell = search(region, hf_head_search(head, hf_head_bit(hash)), id);
    return *cell != NULL ? HF_LOOKUP_FOUND : HF_LOOKUP_ABSENT;
}

enum hf_lookup hf_table_take(struct hf_region *region, const struct hf_id *id, uint64_t hash,
                             struct hf_chain *chain, struct hf_reservation_cell **cell)
{
    _Atomic uint64_t *head_place = hf_table_head(region, hash);
    uint64_t head = hf_load_acquire(head_place); /* as in hf_table_find() */
    uint64_t bit = hf_head_bit(hash);
    do {
        if (head & HF_HEAD_TAKEN)
            return HF_LOOKUP_TAKEN;
        *cell = search(region, hf_head_search(head, bit), id);
        if (*cell != NULL)
            return HF_LOOKUP_FOUND;
        /* acq_rel. Release: whoever misses the units that we claim next sees the chain taken.
         * Success says that the head is the one that was searched: the id is still absent. */
    } while (!hf_cas_acq_rel(head_place, &head, head | HF_HEAD_TAKEN));
    *chain = (struct hf_chain){.head = head_place, .word = head, .bit = bit};
    return HF_LOOKUP_ABSENT;
}

bool hf_table_take_chain(const struct hf_region *region, uint64_t hash, struct hf_chain *chain)
{
    _Atomic uint64_t *place = hf_table_head(region, hash);
    uint64_t head = hf_load_relaxed(place); /* the CAS decides */
    if ((head & HF_HEAD_TAKEN) != 0 || !hf_cas_acq_rel(place, &head, head | HF_HEAD_TAKEN))
        return false;
    *chain = (struct hf_chain){.head = place, .word = head, .bit = hf_head_bit(hash)};
    return true;
}

struct hf_reservation_cell *hf_chain_find(const struct hf_chain *chain,
                                          const struct hf_region *region, const struct hf_id *id)
{
    return search(region, (uint32_t)(chain->word & HF_HEAD_FIRST), id);
}

/* The filter of a chain that begins with this cell. */
static uint64_t filter_of(const struct hf_region *region, uint32_t number)
{
    uint64_t filter = 0;
    while (number != 0) {
        const struct hf_reservation_cell *cell = &region->reservations[number];
        struct hf_id id;
        hf_reservation_get_id(cell, &id);
        filter |= hf_head_bit(hf_hash_id(&id, region->header->hash_seed));
        number = hf_load_relaxed(&cell->next); /* the chain is the caller's */
    }
    return filter;
}

void hf_chain_remove(struct hf_chain *chain, struct hf_region *region, uint32_t number)
{
    /* Relaxed, all: the chain is ours; those who walk it meet the cell or do not. */
    uint32_t next = hf_load_relaxed(&region->reservations[number].next);
    uint32_t first = (uint32_t)(chain->word & HF_HEAD_FIRST);
    if (first == number) {
        first = next;
    } else {
        uint32_t before = first;
        while (hf_load_relaxed(&region->reservations[before].next) != number)
            before = hf_load_relaxed(&region->reservations[before].next);
        hf_store_relaxed(&region->reservations[before].next, next);
    }
    chain->word = first | filter_of(region, first);
}
