/* Output: see output.h. */
#include "net/output.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define MAX_FREE_CHUNKS 256

_Static_assert(sizeof(struct hf_chunk) == HF_CHUNK_BYTES, "a chunk is a round number of bytes");

static struct hf_chunk *take_chunk(struct hf_chunk_pool *pool)
{
    struct hf_chunk *chunk = pool->free;
    if (chunk != NULL) {
        pool->free = chunk->next;
        pool->free_count--;
    } else {
        chunk = malloc(sizeof *chunk);
        if (chunk == NULL)
            return NULL;
    }
    chunk->next = NULL;
    chunk->begin = chunk->end = 0;
    return chunk;
}

static void return_chunk(struct hf_chunk_pool *pool, struct hf_chunk *chunk)
{
    if (pool->free_count == MAX_FREE_CHUNKS) {
        free(chunk);
        return;
    }
    chunk->next = pool->free;
    pool->free = chunk;
    pool->free_count++;
}

void hf_chunk_pool_close(struct hf_chunk_pool *pool)
{
    while (pool->free != NULL) {
        struct hf_chunk *chunk = pool->free;
        pool->free = chunk->next;
        free(chunk);
    }
    pool->free_count = 0;
}

/* Another chunk at the end. False: out of memory. */
static bool add_chunk(struct hf_output *output, struct hf_chunk_pool *pool)
{
    struct hf_chunk *chunk = take_chunk(pool);
    if (chunk == NULL)
        return false;
    if (output->last == NULL)
        output->first = chunk;
    else
        output->last->next = chunk;
    output->last = chunk;
    return true;
}

bool hf_output_append(struct hf_output *output, struct hf_chunk_pool *pool, const uint8_t *bytes,
                      size_t count)
{
    while (count > 0) {
        if ((output->last == NULL || output->last->end == sizeof output->last->bytes) &&
            !add_chunk(output, pool))
            return false;
        struct hf_chunk *last = output->last;
        size_t part = sizeof last->bytes - last->end;
        if (part > count)
            part = count;
        memcpy(last->bytes + last->end, bytes, part);
        last->end += (uint32_t)part;
        output->bytes += part;
        bytes += part;
        count -= part;
    }
    return true;
}

uint8_t *hf_output_room(struct hf_output *output, struct hf_chunk_pool *pool, size_t count)
{
    HF_CHECK(count <= HF_CHUNK_BYTES / 2);
    if ((output->last == NULL || sizeof output->last->bytes - output->last->end < count) &&
        !add_chunk(output, pool))
        return NULL;
    return output->last->bytes + output->last->end;
}

void hf_output_add(struct hf_output *output, size_t count)
{
    HF_CHECK(count != 0 && count <= sizeof output->last->bytes - output->last->end);
    output->last->end += (uint32_t)count;
    output->bytes += count;
}

const uint8_t *hf_output_peek(const struct hf_output *output, uint32_t *count)
{
    if (output->bytes == 0)
        return NULL;
    *count = output->first->end - output->first->begin;
    return output->first->bytes + output->first->begin;
}

void hf_output_consume(struct hf_output *output, struct hf_chunk_pool *pool, uint32_t count)
{
    struct hf_chunk *first = output->first;
    HF_CHECK(first != NULL && count <= first->end - first->begin);
    first->begin += count;
    output->bytes -= count;
    if (first->begin != first->end)
        return;
    output->first = first->next;
    if (output->first == NULL)
        output->last = NULL;
    return_chunk(pool, first);
}

void hf_output_drop(struct hf_output *output, struct hf_chunk_pool *pool)
{
    while (output->first != NULL) {
        struct hf_chunk *chunk = output->first;
        output->first = chunk->next;
        return_chunk(pool, chunk);
    }
    *output = (struct hf_output){0};
}
