/* Pages; see ledger_pages.h. */
#include "tools/ledger_pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

/* Smaller things than a huge page are the allocator's. */
static size_t mapped_bytes(size_t bytes)
{
    return (bytes + HUGE_PAGE_BYTES - 1) & ~(HUGE_PAGE_BYTES - 1);
}

/* A mapping begins anywhere; what is in huge pages begins at a multiple of their size. So one page
 * more is asked for, and what stands over is given back. */
static void *map_aligned(size_t bytes)
{
    uint8_t *mapping = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return NULL;
    size_t before = (HUGE_PAGE_BYTES - (uintptr_t)mapping % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    if (before != 0)
        munmap(mapping, before);
    munmap(mapping + before + bytes, HUGE_PAGE_BYTES - before);
    madvise(mapping + before, bytes, MADV_HUGEPAGE); /* small pages do as well */
    return mapping + before;
}

void *hf_ledger_pages_alloc(size_t bytes)
{
    if (bytes < HUGE_PAGE_BYTES)
        return calloc(1, bytes);
    return bytes > SIZE_MAX / 2 ? NULL : map_aligned(mapped_bytes(bytes));
}

void hf_ledger_pages_free(void *pages, size_t bytes)
{
    if (pages == NULL)
        return;
    if (bytes < HUGE_PAGE_BYTES)
        free(pages);
    else
        munmap(pages, mapped_bytes(bytes));
}
