/*
 * Replies that wait for commit, of one worker, in the order in which they were decided.
 *
 * This is the one place where ACK-AFTER-COMMIT is enforced: a reply that tells of an LSN enters
 * here and leaves when commit has reached that LSN. One worker's LSNs grow, so the front is next; a
 * repeat, whose LSN is older, may wait behind a newer one, for one write at the most.
 */
#ifndef HF_NET_AWAIT_H
#define HF_NET_AWAIT_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "holdfast/protocol.h"

struct hf_awaiting {
    alignas(128) uint64_t lsn;
    uint32_t slot;       /* of the connection */
    uint32_t generation; /* of that slot: the peer may be gone by then */
    uint32_t frame_bytes;
    uint8_t frame[HF_RESERVATION_REPLY_BYTES]; /* if it fits; else */
    uint8_t *large;                            /* NULL, or the frame, allocated */
};

struct hf_await {
    struct hf_awaiting *entries;
    uint32_t capacity; /* a power of two */
    uint32_t limit;    /* up to which the capacity grows */
    uint32_t head, tail;
};

/* Both powers of two. 0 or -ENOMEM. */
int hf_await_init(struct hf_await *await, uint32_t capacity, uint32_t limit);
void hf_await_close(struct hf_await *await);

/*
 * Makes room for at least one more, if the limit allows it and there is memory. It goes round in as
 * little memory as it needs, since what was used just now is in the cache: starting with the limit
 * itself cost a tenth of a grant.
 */
bool hf_await_grow(struct hf_await *await);

static inline uint32_t hf_await_count(const struct hf_await *await)
{
    return await->tail - await->head;
}

/* How many places there are, one at least if there can be any. */
static inline uint32_t hf_await_room(struct hf_await *await)
{
    if (hf_await_count(await) == await->capacity && !hf_await_grow(await))
        return 0;
    return await->capacity - hf_await_count(await);
}

/* A place at the back, to be filled at once; NULL: full. */
static inline struct hf_awaiting *hf_await_push(struct hf_await *await)
{
    if (hf_await_count(await) == await->capacity)
        return NULL;
    return &await->entries[await->tail++ & (await->capacity - 1)];
}

/* The front; NULL: nothing waits. */
static inline struct hf_awaiting *hf_await_front(const struct hf_await *await)
{
    return hf_await_count(await) == 0 ? NULL : &await->entries[await->head & (await->capacity - 1)];
}

static inline void hf_await_pop(struct hf_await *await)
{
    struct hf_awaiting *front = hf_await_front(await);
    if (front->large != NULL)
        free(front->large);
    await->head++;
}

#endif
