/* A connection: see connection.h. */
#include "net/connection.h"

#include <stdlib.h>
#include <string.h>

#define MIN_INPUT_BYTES 4096

bool hf_connection_keep(struct hf_connection *connection, const uint8_t *bytes, size_t count)
{
    size_t needed = connection->input_bytes + count;
    if (needed > connection->input_capacity) {
        size_t capacity =
            connection->input_capacity != 0 ? connection->input_capacity : MIN_INPUT_BYTES;
        while (capacity < needed)
            capacity *= 2;
        uint8_t *grown = realloc(connection->input, capacity);
        if (grown == NULL)
            return false;
        connection->input = grown;
        connection->input_capacity = (uint32_t)capacity;
    }
    memcpy(connection->input + connection->input_bytes, bytes, count);
    connection->input_bytes += (uint32_t)count;
    return true;
}

void hf_connection_executed(struct hf_connection *connection, uint32_t count)
{
    connection->input_bytes -= count;
    if (connection->input_bytes != 0) {
        memmove(connection->input, connection->input + count, connection->input_bytes);
        return;
    }
    /* Nothing kept: an idle connection costs no buffer. */
    free(connection->input);
    connection->input = NULL;
    connection->input_capacity = 0;
}

void hf_connection_release(struct hf_connection *connection, struct hf_chunk_pool *pool)
{
    hf_output_drop(&connection->output, pool);
    free(connection->input);
    connection->input = NULL;
    connection->input_bytes = connection->input_capacity = 0;
    if (connection->hashing != NULL)
        hf_state_hash_end(connection->hashing);
    free(connection->hashing);
    connection->hashing = NULL;
}

bool hf_connection_quiet(const struct hf_connection *connection)
{
    return connection->output.bytes == 0 && connection->awaiting == 0 && !connection->sending &&
           connection->stall == HF_STALL_NONE && connection->hashing == NULL &&
           connection->peer.owed == 0 && connection->peer.first == NULL;
}
