/*
 * The word of a counter: units, a version and flags in 64 bits, changed by CAS only. Inventories
 * have one (how many units are to be had), and so has each customer of an inventory with a limit
 * per customer (how many units that customer has).
 *
 *   bits  0 .. 30  version: bumped by every change, compared for equality only
 *   bit  31        SEALED. Inventory: closed by selling out; customer's counter: dead
 *   bits 32 .. 61  amount, signed
 *   bit  62        WAITING: a waiting list stands behind this
 *   bit  63        DESCRIPTOR: an operation over several words is under way (see mcas.h); then
 *                    bits  0 ..  9  number of the actor whose operation it is
 *                    bits 10 .. 62  tag of the operation
 *
 * A word without DESCRIPTOR is called plain. Versions move forward only, so a plain value that was
 * replaced is never there again: whatever was decided on it fails its CAS. (31 bits come around
 * after 2^31 changes of one word. To be fooled, a thread would have to stop between its load and
 * its CAS for exactly a multiple of that many changes, most of a minute at the highest rate there
 * is, and the amount and the flags would have to be the same, too.)
 */
#ifndef HF_ENGINE_WORD_H
#define HF_ENGINE_WORD_H

#include <stdbool.h>
#include <stdint.h>

#define HF_WORD_VERSION_MASK ((1u << 31) - 1)
#define HF_WORD_SEALED       (1ull << 31)
#define HF_WORD_AMOUNT_SHIFT 32
#define HF_WORD_AMOUNT_BITS  30
#define HF_WORD_AMOUNT_MASK  ((1u << HF_WORD_AMOUNT_BITS) - 1)
#define HF_WORD_WAITING      (1ull << 62)
#define HF_WORD_DESCRIPTOR   (1ull << 63)
#define HF_WORD_ACTOR_BITS   10
#define HF_WORD_TAG_BITS     53

#define HF_WORD_AMOUNT_MAX ((1 << (HF_WORD_AMOUNT_BITS - 1)) - 1)
#define HF_WORD_AMOUNT_MIN (-HF_WORD_AMOUNT_MAX - 1)

_Static_assert(HF_WORD_ACTOR_BITS + HF_WORD_TAG_BITS == 63, "a descriptor's name fills the word");

static inline bool hf_word_is_descriptor(uint64_t word)
{
    return (word & HF_WORD_DESCRIPTOR) != 0;
}

/* Of plain words only, as all that follow. */
static inline uint32_t hf_word_version(uint64_t word)
{
    return (uint32_t)word & HF_WORD_VERSION_MASK;
}

/* The amount. */
static inline int32_t hf_word_available(uint64_t word)
{
    uint32_t bits = (uint32_t)(word >> HF_WORD_AMOUNT_SHIFT) & HF_WORD_AMOUNT_MASK;
    return (int32_t)(bits << 2) >> 2; /* extends the sign of 30 bits */
}

/* No flags; of the version, the low 31 bits. */
static inline uint64_t hf_word_make(int32_t amount, uint32_t version)
{
    return (uint64_t)((uint32_t)amount & HF_WORD_AMOUNT_MASK) << HF_WORD_AMOUNT_SHIFT |
           (version & HF_WORD_VERSION_MASK);
}

/* Another amount, the next version, the same flags. */
static inline uint64_t hf_word_moved(uint64_t word, int32_t amount)
{
    return hf_word_make(amount, hf_word_version(word) + 1) |
           (word & (HF_WORD_SEALED | HF_WORD_WAITING));
}

/* Another amount, after `changes` changes that nobody sees one by one. */
static inline uint64_t hf_word_moved_on(uint64_t word, int32_t amount, uint32_t changes)
{
    return hf_word_make(amount, hf_word_version(word) + changes) |
           (word & (HF_WORD_SEALED | HF_WORD_WAITING));
}

/* The next version, all else the same. */
static inline uint64_t hf_word_bumped(uint64_t word)
{
    return hf_word_moved(word, hf_word_available(word));
}

#endif
