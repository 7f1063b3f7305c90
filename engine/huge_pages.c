/* Huge pages; see huge_pages.h. */
#include "engine/huge_pages.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/atomics.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define SMALL_PAGE_BYTES 4096u

struct hf_huge_pages {
    pthread_t thread;
    uint8_t *from;
    size_t count;
    _Atomic uint32_t stop;
};

static void *make_huge(void *context)
{
    struct hf_huge_pages *pages = context;
    for (size_t i = 0; i < pages->count; i++) {
        uint8_t *page = pages->from + i * HF_HUGE_PAGE_BYTES;
        if (hf_load_relaxed(&pages->stop) != 0) /* nothing else is handed over */
            break;
        /* What is made huge must have a small page at least. Hints, both: where the kernel cannot, or
         * must not, the pages stay as they are. */
        madvise(page, SMALL_PAGE_BYTES, MADV_POPULATE_WRITE);
        madvise(page, HF_HUGE_PAGE_BYTES, MADV_COLLAPSE);
    }
    return NULL;
}

struct hf_huge_pages *hf_huge_pages_begin(void *from, size_t bytes)
{
    size_t count = bytes / HF_HUGE_PAGE_BYTES;
    struct hf_huge_pages *pages = count != 0 ? malloc(sizeof *pages) : NULL;
    if (pages == NULL)
        return NULL;
    *pages = (struct hf_huge_pages){.from = from, .count = count};
    sigset_t all, before; /* signals are for others */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&pages->thread, NULL, make_huge, pages);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0)
        return pages;
    free(pages);
    return NULL;
}

void hf_huge_pages_end(struct hf_huge_pages *pages)
{
    if (pages == NULL)
        return;
    hf_store_relaxed(&pages->stop, 1);
    pthread_join(pages->thread, NULL);
    free(pages);
}
