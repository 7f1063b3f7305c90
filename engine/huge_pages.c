/* Huge pages; see huge_pages.h. */
#include "engine/huge_pages.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/atomics.h"
#include "base/thread.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define SMALL_PAGE_BYTES 4096u
#define ATTEMPTS         10
#define PAUSE_NS         20000000

struct hf_huge_pages {
    uint8_t *from;
    size_t count;
    pthread_t thread;
    bool begun;            /* there is a thread; written by whoever begins, once */
    _Atomic uint32_t stop; /* written by whoever frees */
};

/*
 * Has a huge page among the free ones that the kernel gives out next, and the host, if there is one, has
 * found the memory for it. Else that would happen while the kernel makes our page huge, when nobody may
 * touch it, or map anything: 5 ms instead of half of one.
 */
static void warm_one(void)
{
    uint8_t *mapped = mmap(NULL, 2 * HF_HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        return;
    uint8_t *page = mapped + (-(uintptr_t)mapped & (HF_HUGE_PAGE_BYTES - 1));
    madvise(page, HF_HUGE_PAGE_BYTES, MADV_HUGEPAGE);
    madvise(page, HF_HUGE_PAGE_BYTES, MADV_POPULATE_WRITE);
    munmap(mapped, 2 * HF_HUGE_PAGE_BYTES);
}

/* Each that is not huge yet. True: some may be another time, as somebody was about their small pages. */
static bool make_all(const struct hf_huge_pages *pages)
{
    bool again = false;
    for (size_t i = 0; i < pages->count; i++) {
        uint8_t *page = pages->from + i * HF_HUGE_PAGE_BYTES;
        if (hf_load_relaxed(&pages->stop) != 0)
            return false;
        /* What is made huge must have a small page at least. Hints, both: where the kernel cannot, or
         * must not, the pages stay as they are. */
        warm_one();
        madvise(page, HF_HUGE_PAGE_BYTES, MADV_HUGEPAGE);
        madvise(page, SMALL_PAGE_BYTES, MADV_POPULATE_WRITE);
        if (madvise(page, HF_HUGE_PAGE_BYTES, MADV_COLLAPSE) != 0)
            again |= errno == EAGAIN || errno == EBUSY;
    }
    return again;
}

static void *make_huge(void *context)
{
    const struct hf_huge_pages *pages = context;
    struct timespec pause = {.tv_nsec = PAUSE_NS};
    for (int i = 1; make_all(pages) && i < ATTEMPTS; i++)
        nanosleep(&pause, NULL);
    return NULL;
}

struct hf_huge_pages *hf_huge_pages_new(void *from, size_t bytes)
{
    size_t count = bytes / HF_HUGE_PAGE_BYTES;
    struct hf_huge_pages *pages = count != 0 ? malloc(sizeof *pages) : NULL;
    if (pages != NULL)
        *pages = (struct hf_huge_pages){.from = from, .count = count};
    return pages;
}

void hf_huge_pages_begin(struct hf_huge_pages *pages)
{
    if (pages != NULL)
        pages->begun = hf_thread_start(&pages->thread, make_huge, pages) == 0;
}

void hf_huge_pages_free(struct hf_huge_pages *pages)
{
    if (pages == NULL)
        return;
    hf_store_relaxed(&pages->stop, 1); /* nothing else is handed over */
    if (pages->begun)
        pthread_join(pages->thread, NULL);
    free(pages);
}
