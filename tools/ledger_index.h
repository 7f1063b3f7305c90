/*
 * Numbered things, found by their keys.
 *
 * A store holds things of one size in chunks that never move; an index of open addressing, 8 bytes
 * a slot, grows by doubling and leads from a hash to numbers. Nothing is allocated for a single
 * thing, and nothing is ever taken out.
 */
#ifndef HF_TOOLS_LEDGER_INDEX_H
#define HF_TOOLS_LEDGER_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#define HF_STORE_CHUNK_ITEMS 8192

/* All zero: empty. */
struct hf_store {
    uint8_t **chunks;
    uint32_t chunk_count;
    uint32_t count;
};

/* A slot: 32 bits of hash above, number + 1 below; 0: free. All zero: empty. */
struct hf_index {
    uint64_t *slots;
    uint64_t mask;
    uint64_t count;
};

static inline void *hf_store_item(const struct hf_store *store, uint32_t number, size_t item_bytes)
{
    return store->chunks[number / HF_STORE_CHUNK_ITEMS] +
           (number % HF_STORE_CHUNK_ITEMS) * item_bytes;
}

/* A new, zeroed item with the number store->count - 1. NULL: out of memory. */
void *hf_store_add(struct hf_store *store, size_t item_bytes);
void hf_store_free(struct hf_store *store);

/* Makes room for one more. False: out of memory. */
bool hf_index_reserve(struct hf_index *index);

/* After hf_index_reserve(). */
void hf_index_add(struct hf_index *index, uint32_t hash, uint32_t number);
void hf_index_free(struct hf_index *index);

/* Walks over the numbers with that hash; *at begins as the hash. False: there is no further one. */
static inline bool hf_index_next(const struct hf_index *index, uint32_t hash, uint64_t *at,
                                 uint32_t *number)
{
    if (index->slots == NULL)
        return false;
    for (uint64_t slot; (slot = index->slots[*at & index->mask]) != 0;) {
        (*at)++;
        if (slot >> 32 == hash) {
            *number = (uint32_t)slot - 1;
            return true;
        }
    }
    return false;
}

/* Of a reservation id's 16 bytes. */
static inline uint32_t hf_hash_of_id(const uint8_t *id)
{
    return (uint32_t)(XXH3_64bits(id, 16) >> 32);
}

static inline uint32_t hf_hash_of_number(uint64_t number)
{
    return (uint32_t)((number ^ number >> 32) * 0x9e3779b97f4a7c15ull >> 32);
}

#endif
