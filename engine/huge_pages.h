/*
 * Huge pages for a range of private memory that is read and written at random.
 *
 * Left to the kernel, the first touch of each 2 MiB would clear all of them, in whoever serves: a
 * fraction of a millisecond each, and 5 ms on a virtual machine whose host has to find the memory
 * first; and a hundred claims touch the whole index. So, as soon as somebody waits, first touches get
 * small pages (the owner says MADV_NOHUGEPAGE), and what nobody has written takes no memory. When the
 * range is in use all over, a thread of its own makes its pages huge, one after the other, in 15 to
 * 350 ms for 128 MiB. Who meets it waits for one of them at most.
 */
#ifndef HF_ENGINE_HUGE_PAGES_H
#define HF_ENGINE_HUGE_PAGES_H

#include <stddef.h>

#define HF_HUGE_PAGE_BYTES ((size_t)2 << 20)

struct hf_huge_pages;

/* Of a range, which begins at a huge page: for as many as are whole. NULL: there is none, or no memory;
 * then the pages stay small. */
struct hf_huge_pages *hf_huge_pages_new(void *from, size_t bytes);

/* Begins to make them, and returns. Any thread, once, before the range is given up. Where no thread is
 * to be had the pages stay small. NULL: nothing. */
void hf_huge_pages_begin(struct hf_huge_pages *pages);

/* Stops it, however far it is. Before the range is unmapped. NULL: nothing. */
void hf_huge_pages_free(struct hf_huge_pages *pages);

#endif
