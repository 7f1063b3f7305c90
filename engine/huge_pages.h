/*
 * Huge pages for a range of private memory that is read and written at random.
 *
 * Left to the kernel, the first touch of each 2 MiB would clear all of them, in whoever serves: a
 * fraction of a millisecond each, and 5 ms on a virtual machine whose host has to find the memory
 * first; and a hundred claims touch the whole index. So the first touches get small pages, and a
 * thread of its own makes them huge, one after the other, in the first moments of a server. Who meets
 * it waits for one of them at most.
 */
#ifndef HF_ENGINE_HUGE_PAGES_H
#define HF_ENGINE_HUGE_PAGES_H

#include <stddef.h>

#define HF_HUGE_PAGE_BYTES ((size_t)2 << 20)

struct hf_huge_pages;

/* Begins with the whole huge pages of a range, which begins at one. NULL: it has none, or there is no
 * thread to be had; then the pages stay small. */
struct hf_huge_pages *hf_huge_pages_begin(void *from, size_t bytes);

/* Stops it, however far it is. Before the range is unmapped. NULL: nothing. */
void hf_huge_pages_end(struct hf_huge_pages *pages);

#endif
