/* What of our memory is in huge pages. */
#ifndef HF_TESTS_LIB_HUGE_H
#define HF_TESTS_LIB_HUGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many huge pages of private memory, in small ones as long as nobody asks for more. */
uint8_t *hf_huge_map(size_t count);
void hf_huge_unmap(uint8_t *from, size_t count);

/* True if the kernel makes them here, when it is asked to. */
bool hf_huge_can_be(void);

/* KiB in huge pages, of all mappings that have a part of this range. */
size_t hf_huge_kib(const void *from, size_t bytes);

/* Waits until so many are, 20 s at most. */
bool hf_huge_wait(const void *from, size_t bytes, size_t kib);

#endif
