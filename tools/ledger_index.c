/* Indexes; see ledger_index.h. */
#include "tools/ledger_index.h"

#include "base/check.h"
#include "tools/ledger_pages.h"

#define FIRST_BITS 10
#define MAX_BITS   32 /* of a hash */

static void place(const struct hf_ledger_index *index, uint64_t slot)
{
    uint64_t at = hf_ledger_index_home(index, (uint32_t)(slot >> 32));
    while (index->slots[at] != 0)
        at = (at + 1) & index->mask;
    index->slots[at] = slot;
}

/* At most three of four slots are taken. */
bool hf_ledger_index_reserve(struct hf_ledger_index *index)
{
    if (index->slots != NULL && (index->count + 1) * 4 <= (index->mask + 1) * 3)
        return true;
    unsigned bits = index->slots == NULL ? FIRST_BITS : MAX_BITS - index->shift + 1;
    if (bits > MAX_BITS)
        return false;
    uint64_t slots = 1ull << bits;
    struct hf_ledger_index grown = {hf_ledger_pages_alloc(slots * sizeof(uint64_t)), slots - 1,
                                    index->count, MAX_BITS - bits};
    if (grown.slots == NULL)
        return false;
    for (uint64_t at = 0; index->slots != NULL && at <= index->mask; at++) {
        if (index->slots[at] != 0)
            place(&grown, index->slots[at]);
    }
    hf_ledger_index_free(index);
    *index = grown;
    return true;
}

void hf_ledger_index_add(struct hf_ledger_index *index, uint32_t hash, uint32_t number)
{
    place(index, (uint64_t)hash << 32 | (number + 1));
    index->count++;
}

/* What follows is moved up, as long as that brings it no farther than to its home: a search ends at
 * the first free slot. */
void hf_ledger_index_remove(struct hf_ledger_index *index, uint32_t hash, uint32_t number)
{
    uint64_t slot = (uint64_t)hash << 32 | (number + 1), mask = index->mask;
    uint64_t hole = hf_ledger_index_home(index, hash);
    while (index->slots[hole] != slot) {
        HF_CHECK(index->slots[hole] != 0);
        hole = (hole + 1) & mask;
    }
    for (uint64_t at = (hole + 1) & mask; index->slots[at] != 0; at = (at + 1) & mask) {
        uint64_t home = hf_ledger_index_home(index, (uint32_t)(index->slots[at] >> 32));
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        index->slots[hole] = index->slots[at];
        hole = at;
    }
    index->slots[hole] = 0;
    index->count--;
}

void hf_ledger_index_free(struct hf_ledger_index *index)
{
    hf_ledger_pages_free(index->slots, (index->mask + 1) * sizeof(uint64_t));
    *index = (struct hf_ledger_index){0};
}
