/*
 * Output: the bytes that a connection owes its peer, in chunks from the worker's pool.
 *
 * Bytes are appended at the last chunk and sent from the first. A chunk that is being sent may be
 * appended to, as what is being sent is never moved. A connection that owes nothing holds no chunk.
 */
#ifndef HF_NET_OUTPUT_H
#define HF_NET_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_CHUNK_BYTES 16384

struct hf_chunk {
    struct hf_chunk *next;
    uint32_t begin; /* of what is not sent yet */
    uint32_t end;
    uint8_t bytes[HF_CHUNK_BYTES - 16];
};

/* Free chunks of one worker. Keeps what it once needed, up to a bound. */
struct hf_chunk_pool {
    struct hf_chunk *free;
    uint32_t free_count;
};

struct hf_output {
    struct hf_chunk *first, *last;
    size_t bytes; /* owed */
};

void hf_chunk_pool_close(struct hf_chunk_pool *pool);

/* Appends. False: out of memory; the connection can only be dropped. */
bool hf_output_append(struct hf_output *output, struct hf_chunk_pool *pool, const uint8_t *bytes,
                      size_t count);

/* Room for `count` bytes in one piece, at most HF_CHUNK_BYTES / 2, behind what is owed: to be filled, and then
 * added. It lasts until the output is touched otherwise. NULL: out of memory. */
uint8_t *hf_output_room(struct hf_output *output, struct hf_chunk_pool *pool, size_t count);

/* The first bytes of the room, not 0, are owed from now on. */
void hf_output_add(struct hf_output *output, size_t count);

/* What to send next: a contiguous run, or NULL. */
const uint8_t *hf_output_peek(const struct hf_output *output, uint32_t *count);

/* `count` bytes from the front were sent. */
void hf_output_consume(struct hf_output *output, struct hf_chunk_pool *pool, uint32_t count);

/* Forgets everything. */
void hf_output_drop(struct hf_output *output, struct hf_chunk_pool *pool);

#endif
