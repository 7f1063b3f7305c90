/*
 * From a hash to numbers: 8 bytes a slot, in the order of the hashes.
 *
 * A slot's home is told by the highest bits of its hash. What finds its home taken stands behind
 * it, so that all slots are in the order of their hashes (ordered linear probing): who looks for
 * what is not there is done at the first slot with a higher hash, also where the table is rather
 * full. Behind the last home there is room for those that find it taken. When the table doubles,
 * old and new are passed through from one end to the other, and nothing jumps.
 *
 * Hashes have a seed, so that nobody can choose keys that all have one.
 */
#ifndef HF_TOOLS_LEDGER_INDEX_H
#define HF_TOOLS_LEDGER_INDEX_H

#include <stdbool.h>
#include <stdint.h>

/* Short keys are hashed in place. */
#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

/* Of a reservation id's 16 bytes; of a number. */
static inline uint32_t hf_ledger_hash_of_id(uint64_t seed, const uint8_t *id)
{
    return (uint32_t)(XXH3_64bits_withSeed(id, 16, seed) >> 32);
}

static inline uint32_t hf_ledger_hash_of_number(uint64_t seed, uint64_t number)
{
    __uint128_t product = (__uint128_t)(number ^ seed) * 0x9e3779b97f4a7c15ull;
    return (uint32_t)((uint64_t)(product >> 64) ^ (uint64_t)product);
}

/* One that nobody can know before. */
uint64_t hf_ledger_seed(void);

#define HF_LEDGER_INDEX_SLACK 512u /* slots behind the homes; the last one is always free */

/* A slot: 32 bits of hash above, number + 1 below; 0: free. All zero: empty. */
struct hf_ledger_index {
    uint64_t *slots; /* homes, and slack */
    uint64_t homes;
    uint64_t count;
    unsigned shift; /* from a hash to its home */
};

/* Twice as many homes. False: out of memory. */
bool hf_ledger_index_grow(struct hf_ledger_index *index);

/* After hf_ledger_index_reserve(). */
void hf_ledger_index_add(struct hf_ledger_index *index, uint32_t hash, uint32_t number);

/* Takes out what was added like this. */
void hf_ledger_index_remove(struct hf_ledger_index *index, uint32_t hash, uint32_t number);
void hf_ledger_index_free(struct hf_ledger_index *index);

/* The slot at which a search for the hash begins. The index is not empty. */
static inline uint64_t hf_ledger_index_home(const struct hf_ledger_index *index, uint32_t hash)
{
    return (uint64_t)hash >> index->shift;
}

/* Makes room for one more: as many as three of four homes. False: out of memory. */
static inline bool hf_ledger_index_reserve(struct hf_ledger_index *index)
{
    return (index->slots != NULL && index->count < index->homes / 4 * 3 &&
            index->slots[index->homes + HF_LEDGER_INDEX_SLACK - 2] == 0) ||
           hf_ledger_index_grow(index);
}

/* A walk over the numbers with one hash. */
struct hf_ledger_probe {
    uint32_t hash;
    uint64_t at; /* slot */
};

static inline struct hf_ledger_probe hf_ledger_index_seek(const struct hf_ledger_index *index,
                                                          uint32_t hash)
{
    return (struct hf_ledger_probe){hash,
                                    index->slots == NULL ? 0 : hf_ledger_index_home(index, hash)};
}

/* The next one. False: there is no further one. */
static inline bool hf_ledger_index_next(const struct hf_ledger_index *index,
                                        struct hf_ledger_probe *probe, uint32_t *number)
{
    if (index->slots == NULL)
        return false;
    for (uint64_t slot; (slot = index->slots[probe->at]) != 0 && slot >> 32 <= probe->hash;) {
        probe->at++;
        if (slot >> 32 == probe->hash) {
            *number = (uint32_t)slot - 1;
            return true;
        }
    }
    return false;
}

#endif
