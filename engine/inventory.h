/*
 * An inventory in the region, and the word that decides who gets its units.
 *
 * The word
 *   bits  0 .. 31  version: bumped by every change, compared for equality only
 *   bits 32 .. 61  available units, signed
 *   bit  62        a waiting list stands behind this       (always 0 in this version)
 *   bit  63        an operation over several words is under way (always 0 in this version)
 *
 * A claim is a conditional CAS: it subtracts only what is there, at one instant (NO-OVERSELL), and
 * what it refuses was not there at the instant of its load (HONEST-NO). There is no subtract that
 * would have to be undone.
 *
 * Who may write what: the word, anyone, by CAS; everything else, the creator, before the cell is
 * visible in the inventory index.
 */
#ifndef HF_ENGINE_INVENTORY_H
#define HF_ENGINE_INVENTORY_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "holdfast/types.h"

struct hf_inventory_cell {
    alignas(2 * HF_CACHE_LINE_BYTES) _Atomic uint64_t word;
    uint64_t inventory_id;
    uint64_t product_id;
    uint64_t lsn; /* of its newest image */
    uint64_t made_at_ns;
    uint64_t changed_at_ns;
    uint32_t capacity;
    uint32_t sell_limit;
    uint32_t sequence; /* of its newest image: 1 when made */
    uint32_t reserved;
};
_Static_assert(sizeof(struct hf_inventory_cell) == 128,
               "two lines: the hot one and room for limits");

#define HF_WORD_AVAILABLE_SHIFT 32
#define HF_WORD_AVAILABLE_MASK  ((1u << 30) - 1)

static inline uint32_t hf_word_version(uint64_t word)
{
    return (uint32_t)word;
}

static inline int32_t hf_word_available(uint64_t word)
{
    uint32_t bits = (uint32_t)(word >> HF_WORD_AVAILABLE_SHIFT) & HF_WORD_AVAILABLE_MASK;
    return (int32_t)(bits << 2) >> 2; /* extends the sign of 30 bits */
}

static inline uint64_t hf_word_make(int32_t available, uint32_t version)
{
    return (uint64_t)((uint32_t)available & HF_WORD_AVAILABLE_MASK) << HF_WORD_AVAILABLE_SHIFT |
           version;
}

/* A consistent view: both halves of one load. */
struct hf_availability {
    int32_t available;
    uint32_t version;
};

static inline struct hf_availability hf_inventory_read(const struct hf_inventory_cell *cell)
{
    /* Acquire, pairs with the claims: a refusal that follows from this load looks at the gate and
     * the table afterwards, and must find there whoever took the units. */
    uint64_t word = hf_load_acquire(&cell->word);
    return (struct hf_availability){hf_word_available(word), hf_word_version(word)};
}

/* Takes `qty` units if they are there. *after: what the word says now. False: nothing changed, and
 * *after is the instant at which the units were not to be had. */
bool hf_inventory_claim(struct hf_inventory_cell *cell, uint32_t qty,
                        struct hf_availability *after);

/* Gives `qty` units back. Only after the LSN of the change that gives them back was taken
 * (LOG-BEFORE-RELEASE). */
void hf_inventory_release(struct hf_inventory_cell *cell, uint32_t qty);

/* Everything that is known of it, as one instant of its word. */
void hf_inventory_describe(const struct hf_inventory_cell *cell, struct hf_inventory *inventory);

#endif
