/* Numbered things of one size, in chunks that never move. Nothing is allocated for a single thing,
 * and none is ever taken out: who does without one keeps its number, and uses it again. */
#ifndef HF_TOOLS_LEDGER_STORE_H
#define HF_TOOLS_LEDGER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_LEDGER_CHUNK_ITEMS (1u << 18) /* pages that are not touched cost nothing */

/* All zero: empty. */
struct hf_ledger_store {
    uint8_t **chunks;
    uint32_t chunk_count;
    uint32_t count;
};

static inline void *hf_ledger_store_item(const struct hf_ledger_store *store, uint32_t number,
                                         size_t item_bytes)
{
    return store->chunks[number / HF_LEDGER_CHUNK_ITEMS] +
           (number % HF_LEDGER_CHUNK_ITEMS) * item_bytes;
}

/* Another chunk. False: out of memory. */
bool hf_ledger_store_grow(struct hf_ledger_store *store, size_t item_bytes);

/* A new, zeroed item with the number store->count - 1. NULL: out of memory. */
static inline void *hf_ledger_store_add(struct hf_ledger_store *store, size_t item_bytes)
{
    if (store->count / HF_LEDGER_CHUNK_ITEMS == store->chunk_count &&
        !hf_ledger_store_grow(store, item_bytes))
        return NULL;
    return hf_ledger_store_item(store, store->count++, item_bytes);
}

void hf_ledger_store_free(struct hf_ledger_store *store, size_t item_bytes);

#endif
