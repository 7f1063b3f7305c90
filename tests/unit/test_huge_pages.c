/* Huge pages, made while the memory is in use. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <unistd.h>

#include "base/atomics.h"
#include "engine/huge_pages.h"
#include "tests/lib/huge.h"

enum { PAGES = 6 };
#define AREA_BYTES (PAGES * HF_HUGE_PAGE_BYTES)

static uint8_t *area;

static void map_area(void)
{
    area = hf_huge_map(PAGES);
}

static void unmap_area(void)
{
    hf_huge_unmap(area, PAGES);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(huge_pages, .init = map_area, .fini = unmap_area, .timeout = 60);

Test(huge_pages, all_become_huge_when_they_shall_and_what_was_written_meanwhile_stands)
{
    if (!hf_huge_can_be())
        cr_skip("the kernel makes no huge pages here");
    _Atomic uint64_t *words = (void *)area;
    size_t count = AREA_BYTES / sizeof words[0], step = 511;
    for (size_t i = 0; i < count; i += 2 * step)
        hf_store_relaxed(&words[i], i);
    struct hf_huge_pages *pages = hf_huge_pages_new(area, AREA_BYTES + 4096);
    cr_assert_not_null(pages);
    usleep(20000);
    cr_expect_eq(hf_huge_kib(area, AREA_BYTES), 0, "not yet");
    hf_huge_pages_begin(pages);
    for (size_t i = step; i < count; i += 2 * step)
        hf_store_relaxed(&words[i], i);
    cr_expect(hf_huge_wait(area, AREA_BYTES, AREA_BYTES >> 10));
    hf_huge_pages_free(pages);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(hf_load_relaxed(&words[i]), i % step == 0 ? i : 0);
}

Test(huge_pages, it_ends_whenever_it_is_told_to_and_less_than_one_page_is_nothing)
{
    struct hf_huge_pages *pages = hf_huge_pages_new(area, AREA_BYTES);
    hf_huge_pages_begin(pages);
    hf_huge_pages_free(pages);
    hf_huge_pages_free(hf_huge_pages_new(area, AREA_BYTES)); /* never begun */
    cr_expect_null(hf_huge_pages_new(area, HF_HUGE_PAGE_BYTES - 4096));
    hf_huge_pages_begin(NULL);
    hf_huge_pages_free(NULL);
}
