/*
 * Buffers that are kept: a start maps some MiB to read into and gives them back, a simulation
 * starts ten times a millisecond. The program is linked with --wrap for the two functions. One
 * thread.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"

#define ALIGN_BYTES 4096u
#define KEPT_MAX    8u

static struct {
    uint8_t *memory;
    size_t bytes;
} kept[KEPT_MAX];

uint8_t *__wrap_hf_read_buffer_map(size_t bytes);
void __wrap_hf_read_buffer_unmap(uint8_t *buffer, size_t bytes);

uint8_t *__wrap_hf_read_buffer_map(size_t bytes)
{
    for (unsigned i = 0; i < KEPT_MAX; i++)
        if (kept[i].memory != NULL && kept[i].bytes == bytes) {
            uint8_t *memory = kept[i].memory;
            kept[i].memory = NULL;
            return memory;
        }
    uint8_t *memory = aligned_alloc(ALIGN_BYTES, bytes);
    HF_CHECK(memory != NULL);
    return memory;
}

void __wrap_hf_read_buffer_unmap(uint8_t *buffer, size_t bytes)
{
    for (unsigned i = 0; i < KEPT_MAX && buffer != NULL; i++)
        if (kept[i].memory == NULL) {
            kept[i].memory = buffer;
            kept[i].bytes = bytes;
            return;
        }
    free(buffer);
}
