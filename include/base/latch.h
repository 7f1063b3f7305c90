/*
 * A latch: some words that one thread at a time writes, and that any thread reads whole, without a
 * lock: for what is written seldom and must not keep anyone.
 *
 * There are two copies. The writer fills the one that is not current, and makes it current by adding
 * one to the count. So a writer that is stopped in the middle stops no reader; a reader begins again
 * only if a write was finished meanwhile. Why it never returns a mixture: a copy is filled again only
 * when the count has gone on since it was current. Each word is stored with release and loaded with
 * acquire; so whoever has read a word of a later filling sees, when it looks at the count again, one
 * that has gone on.
 */
#ifndef HF_BASE_LATCH_H
#define HF_BASE_LATCH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/atomics.h"

/* A latch for so many words of 64 bits; all zero: that is what it says. */
#define HF_LATCH(words)                                                                            \
    struct {                                                                                       \
        _Atomic uint64_t count;                                                                    \
        _Atomic uint64_t copies[2][words];                                                         \
    }

/* By one thread at a time, handed on in a way that orders it. */
static inline void hf_latch_write_words(_Atomic uint64_t *count, _Atomic uint64_t *even,
                                        _Atomic uint64_t *odd, const void *value, size_t words)
{
    uint64_t next = hf_load_relaxed(count) + 1; /* ours alone */
    _Atomic uint64_t *copy = next % 2 == 0 ? even : odd;
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)value + i * sizeof word, sizeof word);
        hf_store_release(&copy[i], word); /* pairs with the loads below, as the count does */
    }
    hf_store_release(count, next);
}

static inline void hf_latch_read_words(const _Atomic uint64_t *count, const _Atomic uint64_t *even,
                                       const _Atomic uint64_t *odd, void *value, size_t words)
{
    uint64_t seen;
    do {
        seen = hf_load_acquire(count); /* pairs with the stores above, as all three do */
        const _Atomic uint64_t *copy = seen % 2 == 0 ? even : odd;
        for (size_t i = 0; i < words; i++) {
            uint64_t word = hf_load_acquire(&copy[i]);
            memcpy((uint8_t *)value + i * sizeof word, &word, sizeof word);
        }
    } while (hf_load_acquire(count) != seen);
}

/* The value of a latch: an object of as many words as it has. */
#define hf_latch_write(latch, value)                                                               \
    hf_latch_write_words(&(latch)->count, (latch)->copies[0], (latch)->copies[1], (value),         \
                         sizeof((latch)->copies[0]) / sizeof((latch)->copies[0][0]))
#define hf_latch_read(latch, value)                                                                \
    hf_latch_read_words(&(latch)->count, (latch)->copies[0], (latch)->copies[1], (value),          \
                        sizeof((latch)->copies[0]) / sizeof((latch)->copies[0][0]))

#endif
