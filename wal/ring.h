/*
 * The log ring: where changes get their LSN. Many producers, one consumer at a time (_mpsc).
 *
 * A slot holds one record. Slot i serves the LSNs congruent to i modulo the number of slots, one
 * lap after the other. A producer
 *   1. takes a credit: the right to one slot (hf_ring_credit). Credits are given out only for slots
 *      that the consumer has drained, and before anything is claimed. So a change that was decided
 *      always finds a free slot, and a full ring is noticed while nothing has happened yet: it can
 *      never deadlock the thread that would have to drain it.
 *   2. takes the next LSN with one fetch-add (hf_ring_reserve). This is the moment at which the
 *      change is ordered in the log.
 *   3. writes the image, then stores the LSN into the slot's first word (hf_ring_publish).
 * The word encodes its lap: it equals the expected LSN only if this lap's record is whole.
 *
 * The consumer takes the contiguous published prefix. One thread at a time may be consumer; who,
 * the flusher's role decides, and handing it over orders all that the one before did.
 *
 * Invariant: tail + credits held by producers = credited <= drained + slots.
 *
 * While the disk has no room for another segment, the consumer sets a limit: credits end where the
 * room that is left ends. So what was decided can be written, and what cannot be is refused before
 * anything happened.
 */
#ifndef HF_WAL_RING_H
#define HF_WAL_RING_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "wal/record.h"

struct hf_ring_slot {
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t lsn; /* this lap's, once published */
    uint8_t image[HF_RECORD_IMAGE_BYTES];
};
_Static_assert(sizeof(struct hf_ring_slot) == HF_RECORD_BYTES, "a slot is a record");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a slot is copied to the log as it is");

struct hf_ring {
    /* Written by producers, at every record. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t tail; /* the LSN to be handed out next */
    /* Written by producers, once for many records. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t credited; /* credits end before this LSN */
    /* Written by the consumer. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t drained; /* the LSN to be drained next */
    _Atomic uint64_t
        limit; /* no credit for this LSN and later ones: the disk has no room for them */
    /* Constant. */
    alignas(HF_CACHE_LINE_BYTES) struct hf_ring_slot *slots;
    uint64_t slot_count; /* a power of two */
};

#define HF_RING_MAX_CREDITS 256

/* One thread's access to a ring. */
struct hf_ring_producer {
    struct hf_ring *ring;
    uint32_t credits; /* held, not used yet */
    uint32_t locked;  /* credits held that are not to be used; 0 unless it is barred */
    bool barred;      /* it gets no credits */
};

/* slot_count: a power of two. The first LSN will be `next_lsn`. 0 or -ENOMEM. */
int hf_ring_init(struct hf_ring *ring, uint64_t slot_count, uint64_t next_lsn);
void hf_ring_close(struct hf_ring *ring);

void hf_ring_producer_init(struct hf_ring_producer *producer, struct hf_ring *ring);
void hf_ring_producer_close(struct hf_ring_producer *producer); /* returns unused credits */

/* Bars the producer: until hf_ring_unbar(), it is as if the ring was full. What it holds, it keeps. */
static inline void hf_ring_bar(struct hf_ring_producer *producer)
{
    producer->locked = producer->credits;
    producer->credits = 0;
    producer->barred = true;
}

static inline void hf_ring_unbar(struct hf_ring_producer *producer)
{
    producer->credits = producer->locked;
    producer->locked = 0;
    producer->barred = false;
}

/* Fetches more credits. False: the ring is full, and nothing was changed. */
bool hf_ring_credit_slow(struct hf_ring_producer *producer, uint32_t count);

/* Makes sure that the producer holds at least `count` credits (at most HF_RING_MAX_CREDITS). False:
 * ring full. */
static inline bool hf_ring_credit(struct hf_ring_producer *producer, uint32_t count)
{
    return producer->credits >= count || hf_ring_credit_slow(producer, count);
}

/* Spends one credit: the next LSN is this change's. The caller fills slot->image and publishes. */
static inline struct hf_ring_slot *hf_ring_reserve(struct hf_ring_producer *producer, uint64_t *lsn)
{
    struct hf_ring *ring = producer->ring;
    producer->credits--;
    /* acq_rel: all that this change builds on has an earlier LSN, as whoever made it visible took
     * its LSN before (LSN-ORDER); with a relaxed add that would hold on x86 only. */
    *lsn = hf_fetch_add_acq_rel(&ring->tail, 1);
    return &ring->slots[*lsn & (ring->slot_count - 1)];
}

/* Spends `count` credits: the LSNs from the returned one on are this chain's. */
static inline uint64_t hf_ring_reserve_chain(struct hf_ring_producer *producer, uint32_t count)
{
    producer->credits -= count;
    return hf_fetch_add_acq_rel(&producer->ring->tail, count); /* as in hf_ring_reserve() */
}

static inline struct hf_ring_slot *hf_ring_slot(const struct hf_ring *ring, uint64_t lsn)
{
    return &ring->slots[lsn & (ring->slot_count - 1)];
}

static inline void hf_ring_publish(struct hf_ring_slot *slot, uint64_t lsn)
{
    /* Pairs with the acquire in hf_ring_published(): the image is whole when the LSN is seen. */
    hf_store_release(&slot->lsn, lsn);
}

/* Consumer: gives no more credits than for `records` records that are not drained yet; UINT64_MAX:
 * as many as there are slots. */
void hf_ring_limit(struct hf_ring *ring, uint64_t records);

/* Consumer: how many records from `drained` on are published without a gap, at most `limit`. */
uint32_t hf_ring_published(const struct hf_ring *ring, uint32_t limit);

/* Consumer: how many of the first `count` published records are left if the last chain among them
 * has to be whole. */
uint32_t hf_ring_whole(const struct hf_ring *ring, uint32_t count);

/* Consumer: copies `count` published records to `records` and frees their slots. */
void hf_ring_drain(struct hf_ring *ring, uint8_t *records, uint32_t count);

#endif
