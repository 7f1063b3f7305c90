/* Indexes; see ledger_index.h. */
#include "tools/ledger_index.h"

#include <sys/random.h>

#include "base/check.h"
#include "tools/ledger_pages.h"

#define FIRST_BITS 10
#define MAX_BITS   32 /* of a hash */

uint64_t hf_ledger_seed(void)
{
    uint64_t seed;
    HF_CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    return seed;
}

static uint64_t bytes_of(const struct hf_ledger_index *index)
{
    return (index->homes + HF_LEDGER_INDEX_SLACK) * sizeof(uint64_t);
}

/* In their order, each at its home or behind the one before. False: then there would be no room for
 * one more behind the last home, which takes very many equal hashes. */
static bool move_all(const struct hf_ledger_index *from, struct hf_ledger_index *to)
{
    uint64_t end = to->homes + HF_LEDGER_INDEX_SLACK - 2, next = 0;
    for (uint64_t at = 0; at < from->homes + HF_LEDGER_INDEX_SLACK; at++) {
        uint64_t slot = from->slots[at];
        if (slot == 0)
            continue;
        uint64_t home = hf_ledger_index_home(to, (uint32_t)(slot >> 32));
        next = home > next ? home : next;
        if (next == end)
            return false;
        to->slots[next++] = slot;
    }
    return true;
}

bool hf_ledger_index_grow(struct hf_ledger_index *index)
{
    unsigned bits = index->slots == NULL ? FIRST_BITS : MAX_BITS - index->shift + 1;
    if (bits > MAX_BITS)
        return false;
    struct hf_ledger_index grown = {
        .homes = 1ull << bits, .count = index->count, .shift = MAX_BITS - bits};
    grown.slots = hf_ledger_pages_alloc(bytes_of(&grown));
    if (grown.slots == NULL)
        return false;
    if (index->slots != NULL && !move_all(index, &grown)) {
        hf_ledger_index_free(&grown);
        return false;
    }
    hf_ledger_index_free(index);
    *index = grown;
    return true;
}

void hf_ledger_index_add(struct hf_ledger_index *index, uint32_t hash, uint32_t number)
{
    uint64_t at = hf_ledger_index_home(index, hash);
    uint64_t slot = (uint64_t)hash << 32 | (number + 1);
    while (index->slots[at] != 0 && index->slots[at] < slot)
        at++;
    while (slot != 0) { /* what is higher moves on, up to a slot that is free */
        uint64_t higher = index->slots[at];
        index->slots[at++] = slot;
        slot = higher;
    }
    index->count++;
}

void hf_ledger_index_remove(struct hf_ledger_index *index, uint32_t hash, uint32_t number)
{
    uint64_t slot = (uint64_t)hash << 32 | (number + 1);
    uint64_t at = hf_ledger_index_home(index, hash);
    for (; index->slots[at] != slot; at++)
        HF_CHECK(index->slots[at] != 0);
    /* What is not at its home moves back. */
    for (; index->slots[at + 1] != 0 &&
           hf_ledger_index_home(index, (uint32_t)(index->slots[at + 1] >> 32)) <= at;
         at++)
        index->slots[at] = index->slots[at + 1];
    index->slots[at] = 0;
    index->count--;
}

void hf_ledger_index_free(struct hf_ledger_index *index)
{
    hf_ledger_pages_free(index->slots, bytes_of(index));
    *index = (struct hf_ledger_index){0};
}
