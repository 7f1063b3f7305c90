/* The newest records; their protocol is told in recent.h. */
#include "wal/recent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define RECORD_WORDS (HF_RECORD_BYTES / 8)

int hf_recent_init(struct hf_recent *recent, uint64_t slot_count)
{
    HF_CHECK(slot_count != 0 && (slot_count & (slot_count - 1)) == 0);
    *recent = (struct hf_recent){.slot_count = slot_count};
    recent->words = aligned_alloc(HF_RECORD_BYTES, slot_count * HF_RECORD_BYTES);
    return recent->words == NULL ? -ENOMEM : 0;
}

void hf_recent_close(struct hf_recent *recent)
{
    free(recent->words);
    recent->words = NULL;
}

void hf_recent_follow(struct hf_recent *recent)
{
    hf_fetch_add_relaxed(&recent->followers, 1); /* a wish, see hf_recent_append() */
}

void hf_recent_unfollow(struct hf_recent *recent)
{
    HF_CHECK(hf_fetch_sub_relaxed(&recent->followers, 1) != 0); /* likewise */
}

static _Atomic uint64_t *slot_of(const struct hf_recent *recent, uint64_t lsn)
{
    return &recent->words[(lsn & (recent->slot_count - 1)) * RECORD_WORDS];
}

void hf_recent_keep(struct hf_recent *recent, uint64_t first_lsn, const uint8_t *records,
                    uint32_t count)
{
    HF_CHECK(count <= recent->slot_count);
    uint64_t begin = hf_load_relaxed(&recent->begin); /* ours, both */
    uint64_t end = hf_load_relaxed(&recent->end);
    if (first_lsn != end) /* nobody followed meanwhile: what is here is not what came before */
        begin = first_lsn;
    end = first_lsn + count;
    if (end - begin > recent->slot_count)
        begin = end - recent->slot_count;
    /* Relaxed: each store to a word is a release, and so orders it. */
    hf_store_relaxed(&recent->begin, begin);
    for (uint32_t i = 0; i < count; i++) {
        _Atomic uint64_t *slot = slot_of(recent, first_lsn + i);
        for (unsigned word = 0; word < RECORD_WORDS; word++) {
            uint64_t value;
            memcpy(&value, records + (size_t)i * HF_RECORD_BYTES + (size_t)word * 8, sizeof value);
            /* Release, pairs with the acquire in hf_recent_copy(): who reads this word, reads a
             * `begin` that says that the one before is gone. */
            hf_store_release(&slot[word], value);
        }
    }
    /* Release, pairs with the acquire in hf_recent_copy(): the records are whole. */
    hf_store_release(&recent->end, end);
}

uint32_t hf_recent_copy(const struct hf_recent *recent, uint64_t lsn, uint8_t *records,
                        uint32_t limit)
{
    uint64_t end = hf_load_acquire(&recent->end); /* pairs with hf_recent_keep() */
    /* Relaxed: a first look only, so that no copy is made in vain. */
    if (lsn >= end || lsn < hf_load_relaxed(&recent->begin))
        return 0;
    uint32_t count = end - lsn < limit ? (uint32_t)(end - lsn) : limit;
    for (uint32_t i = 0; i < count; i++) {
        const _Atomic uint64_t *slot = slot_of(recent, lsn + i);
        for (unsigned word = 0; word < RECORD_WORDS; word++) {
            /* Acquire, pairs with the release in hf_recent_keep(). */
            uint64_t value = hf_load_acquire(&slot[word]);
            memcpy(records + (size_t)i * HF_RECORD_BYTES + (size_t)word * 8, &value, sizeof value);
        }
    }
    /* Relaxed: the acquires before it keep it behind them. */
    return lsn < hf_load_relaxed(&recent->begin) ? 0 : count;
}
