/* Replies that wait for commit: see await.h. */
#include "net/await.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(sizeof(struct hf_awaiting) == 128, "two cache lines an entry");

static struct hf_awaiting *allocate(uint32_t capacity)
{
    return aligned_alloc(sizeof(struct hf_awaiting), capacity * sizeof(struct hf_awaiting));
}

int hf_await_init(struct hf_await *await, uint32_t capacity, uint32_t limit)
{
    *await = (struct hf_await){.entries = allocate(capacity), .capacity = capacity, .limit = limit};
    return await->entries == NULL ? -ENOMEM : 0;
}

bool hf_await_grow(struct hf_await *await)
{
    struct hf_awaiting *grown =
        await->capacity < await->limit ? allocate(2 * await->capacity) : NULL;
    if (grown == NULL)
        return false;
    uint32_t count = hf_await_count(await);
    for (uint32_t i = 0; i < count; i++)
        grown[i] = await->entries[(await->head + i) & (await->capacity - 1)];
    free(await->entries);
    await->entries = grown;
    await->capacity *= 2;
    await->head = 0;
    await->tail = count;
    return true;
}

void hf_await_close(struct hf_await *await)
{
    while (await->entries != NULL && hf_await_count(await) != 0)
        hf_await_pop(await);
    free(await->entries);
    await->entries = NULL;
}
