/* Hashes of keys. Reservation ids may be ordered by time, inventory ids may be 1, 2, 3: both are
 * mixed until every bit depends on every other (the finalizer of SplitMix64). */
#ifndef HF_ENGINE_HASH_H
#define HF_ENGINE_HASH_H

#include <stdint.h>
#include <string.h>

#include "holdfast/types.h"

static inline uint64_t hf_hash_u64(uint64_t key)
{
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
    return key ^ (key >> 31);
}

/* `seed` is secret and of this run, so that no client can choose ids that share a chain. */
static inline uint64_t hf_hash_id(const struct hf_id *id, uint64_t seed)
{
    uint64_t half[2];
    memcpy(half, id->bytes, sizeof half);
    return hf_hash_u64(half[0] ^ hf_hash_u64(half[1] ^ seed));
}

#endif
