/*
 * From a hash to numbers: open addressing, 8 bytes a slot.
 *
 * A slot's home is told by the highest bits of its hash, so slots stand in the order of their hashes,
 * but for those that found their home taken. When the table doubles, what stood at i comes to about
 * 2 i: old and new table are passed through from one end to the other, and nothing jumps.
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

/* A slot: 32 bits of hash above, number + 1 below; 0: free. All zero: empty. */
struct hf_ledger_index {
    uint64_t *slots;
    uint64_t mask;
    uint64_t count;
    unsigned shift; /* from a hash to its home */
};

/* Makes room for one more. False: out of memory. */
bool hf_ledger_index_reserve(struct hf_ledger_index *index);

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
    for (uint64_t slot; (slot = index->slots[probe->at]) != 0;) {
        probe->at = (probe->at + 1) & index->mask;
        if (slot >> 32 == probe->hash) {
            *number = (uint32_t)slot - 1;
            return true;
        }
    }
    return false;
}

/* Of a reservation id's 16 bytes. */
static inline uint32_t hf_ledger_hash_of_id(const uint8_t *id)
{
    return (uint32_t)(XXH3_64bits(id, 16) >> 32);
}

static inline uint32_t hf_ledger_hash_of_number(uint64_t number)
{
    return (uint32_t)((number ^ number >> 32) * 0x9e3779b97f4a7c15ull >> 32);
}

#endif
