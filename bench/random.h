/*
 * Random numbers for a load: splitmix64 (Steele, Lea and Flood 2014). Fast, 64 bits of state, the same
 * numbers for the same seed. Nothing that has to be unpredictable is made of it.
 */
#ifndef HF_BENCH_RANDOM_H
#define HF_BENCH_RANDOM_H

#include <stdint.h>

struct hf_random {
    uint64_t state; /* any seed */
};

static inline uint64_t hf_random_next(struct hf_random *random)
{
    uint64_t bits = random->state += 0x9e3779b97f4a7c15ull;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9ull;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebull;
    return bits ^ bits >> 31;
}

/* Evenly from the interval (0, 1]: never 0, so that it has a logarithm. */
static inline double hf_random_unit(struct hf_random *random)
{
    return (double)((hf_random_next(random) >> 11) + 1) * 0x1p-53;
}

/* Evenly from 0 .. bound - 1; off by less than bound / 2^32. */
static inline uint32_t hf_random_below(struct hf_random *random, uint32_t bound)
{
    return (uint32_t)((hf_random_next(random) >> 32) * bound >> 32);
}

#endif
