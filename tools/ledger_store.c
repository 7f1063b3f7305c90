/* Stores; see ledger_store.h. */
#include "tools/ledger_store.h"

#include <stdlib.h>

#include "tools/ledger_pages.h"

bool hf_ledger_store_grow(struct hf_ledger_store *store, size_t item_bytes)
{
    if (store->count > UINT32_MAX - HF_LEDGER_CHUNK_ITEMS)
        return false;
    uint8_t **chunks = realloc(store->chunks, (store->chunk_count + 1ull) * sizeof *chunks);
    if (chunks == NULL)
        return false;
    store->chunks = chunks;
    chunks[store->chunk_count] = hf_ledger_pages_alloc(HF_LEDGER_CHUNK_ITEMS * item_bytes);
    if (chunks[store->chunk_count] == NULL)
        return false;
    store->chunk_count++;
    return true;
}

void hf_ledger_store_free(struct hf_ledger_store *store, size_t item_bytes)
{
    for (uint32_t chunk = 0; chunk < store->chunk_count; chunk++)
        hf_ledger_pages_free(store->chunks[chunk], HF_LEDGER_CHUNK_ITEMS * item_bytes);
    free(store->chunks);
    *store = (struct hf_ledger_store){0};
}
