/* Huge pages, made while the memory is in use. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomics.h"
#include "engine/huge_pages.h"

enum { PAGES = 6, PATIENCE_MS = 20000 };

static uint8_t *area; /* PAGES huge pages, behind less than one */
static uint8_t *mapped;

static void map_area(void)
{
    size_t bytes = (PAGES + 1) * HF_HUGE_PAGE_BYTES;
    mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(mapped, MAP_FAILED);
    area = mapped + (-(uintptr_t)mapped & (HF_HUGE_PAGE_BYTES - 1));
}

static void unmap_area(void)
{
    munmap(mapped, (PAGES + 1) * HF_HUGE_PAGE_BYTES);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(huge_pages, .init = map_area, .fini = unmap_area, .timeout = 60);

/* KiB in huge pages, of all mappings of the area. */
static unsigned long huge_kib(void)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[256];
    unsigned long all = 0, first, last, kib;
    bool inside = false;
    cr_assert_not_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
            inside = first < (uintptr_t)area + PAGES * HF_HUGE_PAGE_BYTES && last > (uintptr_t)area;
        else if (inside && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
            all += kib;
    }
    fclose(maps);
    return all;
}

static bool kernel_makes_huge_pages(void)
{
    area[0] = 1;
    return madvise(area, HF_HUGE_PAGE_BYTES, 25 /* MADV_COLLAPSE */) == 0;
}

Test(huge_pages, all_become_huge_and_what_was_written_meanwhile_stands)
{
    if (!kernel_makes_huge_pages())
        cr_skip("the kernel makes no huge pages here");
    _Atomic uint64_t *words = (void *)area;
    size_t count = PAGES * HF_HUGE_PAGE_BYTES / sizeof words[0], step = 511;
    hf_store_relaxed(&words[0], 0);
    for (size_t i = 0; i < count; i += 2 * step)
        hf_store_relaxed(&words[i], i);
    struct hf_huge_pages *pages = hf_huge_pages_begin(area, PAGES * HF_HUGE_PAGE_BYTES + 4096);
    cr_assert_not_null(pages);
    for (size_t i = step; i < count; i += 2 * step)
        hf_store_relaxed(&words[i], i);
    for (int ms = 0; ms < PATIENCE_MS && huge_kib() != PAGES * 2048; ms += 10)
        usleep(10000);
    cr_expect_eq(huge_kib(), PAGES * 2048);
    hf_huge_pages_end(pages);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(hf_load_relaxed(&words[i]), i % step == 0 ? i : 0);
}

Test(huge_pages, it_ends_whenever_it_is_told_to_and_less_than_one_page_is_nothing)
{
    hf_huge_pages_end(hf_huge_pages_begin(area, PAGES * HF_HUGE_PAGE_BYTES));
    cr_expect_null(hf_huge_pages_begin(area, HF_HUGE_PAGE_BYTES - 4096));
    hf_huge_pages_end(NULL);
}
