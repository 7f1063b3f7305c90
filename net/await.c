/* Replies that wait for commit: see await.h. */
#include "net/await.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(sizeof(struct hf_awaiting) == 128, "two cache lines an entry");

int hf_await_init(struct hf_await *await, uint32_t capacity)
{
    *await = (struct hf_await){.capacity = capacity};
    await->entries = aligned_alloc(sizeof *await->entries, capacity * sizeof *await->entries);
    return await->entries == NULL ? -ENOMEM : 0;
}

void hf_await_close(struct hf_await *await)
{
    while (await->entries != NULL && hf_await_count(await) != 0)
        hf_await_pop(await);
    free(await->entries);
    await->entries = NULL;
}
