/* Stores and indexes; see ledger_index.h. */
#include "tools/ledger_index.h"

#include <stdlib.h>

#define FIRST_SLOTS 1024

void *hf_store_add(struct hf_store *store, size_t item_bytes)
{
    if (store->count == store->chunk_count * (uint64_t)HF_STORE_CHUNK_ITEMS) {
        if (store->count > UINT32_MAX - HF_STORE_CHUNK_ITEMS)
            return NULL;
        uint8_t **chunks = realloc(store->chunks, (store->chunk_count + 1ull) * sizeof *chunks);
        if (chunks == NULL)
            return NULL;
        store->chunks = chunks;
        chunks[store->chunk_count] = calloc(HF_STORE_CHUNK_ITEMS, item_bytes);
        if (chunks[store->chunk_count] == NULL)
            return NULL;
        store->chunk_count++;
    }
    return hf_store_item(store, store->count++, item_bytes);
}

void hf_store_free(struct hf_store *store)
{
    for (uint32_t chunk = 0; chunk < store->chunk_count; chunk++)
        free(store->chunks[chunk]);
    free(store->chunks);
    *store = (struct hf_store){0};
}

static void place(const struct hf_index *index, uint64_t slot)
{
    uint64_t at = slot >> 32 & index->mask;
    while (index->slots[at] != 0)
        at = (at + 1) & index->mask;
    index->slots[at] = slot;
}

/* At most three of four slots are taken. */
bool hf_index_reserve(struct hf_index *index)
{
    if (index->slots != NULL && (index->count + 1) * 4 <= (index->mask + 1) * 3)
        return true;
    uint64_t slots = index->slots == NULL ? FIRST_SLOTS : (index->mask + 1) * 2;
    struct hf_index grown = {calloc(slots, sizeof(uint64_t)), slots - 1, index->count};
    if (grown.slots == NULL)
        return false;
    for (uint64_t at = 0; index->slots != NULL && at <= index->mask; at++) {
        if (index->slots[at] != 0)
            place(&grown, index->slots[at]);
    }
    free(index->slots);
    *index = grown;
    return true;
}

void hf_index_add(struct hf_index *index, uint32_t hash, uint32_t number)
{
    place(index, (uint64_t)hash << 32 | (number + 1));
    index->count++;
}

void hf_index_free(struct hf_index *index)
{
    free(index->slots);
    *index = (struct hf_index){0};
}
