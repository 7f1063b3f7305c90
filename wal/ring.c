/* The log ring; its protocol is told in ring.h. */
#include "wal/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* Credits fetched at once: one CAS on the shared counter pays for this many records. A producer at
 * rest may keep that many, so the ring must be much larger than producers x this. */
#define CREDIT_BATCH 64

int hf_ring_init(struct hf_ring *ring, uint64_t slot_count, uint64_t next_lsn)
{
    HF_CHECK(slot_count != 0 && (slot_count & (slot_count - 1)) == 0 && next_lsn != 0);
    ring->slots = aligned_alloc(HF_RECORD_BYTES, slot_count * sizeof *ring->slots);
    if (ring->slots == NULL)
        return -ENOMEM;
    /* No LSN is zero, so no slot looks published. */
    memset(ring->slots, 0, slot_count * sizeof *ring->slots);
    ring->slot_count = slot_count;
    /* Relaxed: other threads get to know the ring only after this returns. */
    hf_store_relaxed(&ring->tail, next_lsn);
    hf_store_relaxed(&ring->credited, next_lsn);
    hf_store_relaxed(&ring->drained, next_lsn);
    hf_store_relaxed(&ring->limit, UINT64_MAX);
    return 0;
}

void hf_ring_close(struct hf_ring *ring)
{
    free(ring->slots);
    ring->slots = NULL;
}

void hf_ring_producer_init(struct hf_ring_producer *producer, struct hf_ring *ring)
{
    *producer = (struct hf_ring_producer){.ring = ring};
}

void hf_ring_producer_close(struct hf_ring_producer *producer)
{
    /* Relaxed: a counter; the slots behind these credits were never touched. */
    hf_fetch_sub_relaxed(&producer->ring->credited, producer->credits);
    producer->credits = 0;
}

bool hf_ring_credit_slow(struct hf_ring_producer *producer, uint32_t count)
{
    struct hf_ring *ring = producer->ring;
    HF_CHECK(count <= HF_RING_MAX_CREDITS);
    if (producer->barred)
        return false;
    /* Acquire, pairs with the CAS below: whoever raised `credited` had seen a `drained` that
     * allowed it, and we must see one at least as new, or `room` would wrap. */
    uint64_t credited = hf_load_acquire(&ring->credited);
    for (;;) {
        /* Acquire, pairs with the release in hf_ring_drain(): what we write over was copied. */
        uint64_t end = hf_load_acquire(&ring->drained) + ring->slot_count;
        HF_CHECK(credited <= end);
        uint64_t limit = hf_load_relaxed(&ring->limit); /* a policy; it guards no memory */
        if (end > limit)
            end = limit;
        uint64_t room = credited < end ? end - credited : 0;
        uint32_t wanted = (count > CREDIT_BATCH ? count : CREDIT_BATCH) - producer->credits;
        if (wanted > room)
            wanted = (uint32_t)room;
        if (producer->credits + wanted < count)
            return false;
        if (hf_cas_weak_acq_rel(&ring->credited, &credited, credited + wanted)) {
            producer->credits += wanted;
            return true;
        }
    }
}

void hf_ring_limit(struct hf_ring *ring, uint64_t records)
{
    uint64_t drained = hf_load_relaxed(&ring->drained); /* ours alone */
    /* Relaxed: a policy; a producer that reads the one before gets 64 credits more. */
    hf_store_relaxed(&ring->limit, records == UINT64_MAX ? UINT64_MAX : drained + records);
}

uint32_t hf_ring_published(const struct hf_ring *ring, uint32_t limit)
{
    /* Relaxed: only the consumer writes it, and that is us. */
    uint64_t lsn = hf_load_relaxed(&ring->drained);
    uint32_t count = 0;
    /* Acquire, pairs with hf_ring_publish(). */
    while (count < limit &&
           hf_load_acquire(&ring->slots[(lsn + count) & (ring->slot_count - 1)].lsn) == lsn + count)
        count++;
    return count;
}

uint32_t hf_ring_whole(const struct hf_ring *ring, uint32_t count)
{
    if (count == 0)
        return 0;
    uint64_t last = hf_load_relaxed(&ring->drained) + count - 1; /* ours alone */
    const uint8_t *image = ring->slots[last & (ring->slot_count - 1)].image;
    uint32_t index = image[HF_RECORD_CHAIN_INDEX - HF_RECORD_IMAGE];
    uint32_t length = image[HF_RECORD_CHAIN_LENGTH - HF_RECORD_IMAGE];
    return index + 1 < length ? count - (index + 1) : count;
}

void hf_ring_drain(struct hf_ring *ring, uint8_t *records, uint32_t count)
{
    if (count == 0)
        return;                                     /* and there may be no room at `records` */
    uint64_t lsn = hf_load_relaxed(&ring->drained); /* ours alone */
    uint64_t first = lsn & (ring->slot_count - 1);
    uint64_t until_wrap = ring->slot_count - first;
    uint64_t head = count < until_wrap ? count : until_wrap;
    memcpy(records, &ring->slots[first], head * HF_RECORD_BYTES);
    memcpy(records + head * HF_RECORD_BYTES, ring->slots, (count - head) * HF_RECORD_BYTES);
    /* Release, pairs with the acquire in hf_ring_credit_slow(): copied before written over. */
    hf_store_release(&ring->drained, lsn + count);
}
