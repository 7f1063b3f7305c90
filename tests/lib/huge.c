/* Huge pages; see huge.h. */
#include "tests/lib/huge.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/huge_pages.h"

#define PATIENCE_MS 20000

uint8_t *hf_huge_map(size_t count)
{
    size_t bytes = count * HF_HUGE_PAGE_BYTES;
    uint8_t *mapped = mmap(NULL, bytes + HF_HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HF_CHECK(mapped != MAP_FAILED);
    size_t before = -(uintptr_t)mapped & (HF_HUGE_PAGE_BYTES - 1);
    if (before != 0)
        munmap(mapped, before);
    munmap(mapped + before + bytes, HF_HUGE_PAGE_BYTES - before);
    return mapped + before;
}

void hf_huge_unmap(uint8_t *from, size_t count)
{
    munmap(from, count * HF_HUGE_PAGE_BYTES);
}

bool hf_huge_can_be(void)
{
    uint8_t *page = hf_huge_map(1);
    madvise(page, HF_HUGE_PAGE_BYTES, MADV_HUGEPAGE);
    page[0] = 1;
    bool can = hf_huge_kib(page, HF_HUGE_PAGE_BYTES) != 0;
    hf_huge_unmap(page, 1);
    return can;
}

size_t hf_huge_kib(const void *from, size_t bytes)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    static const char label[] = "AnonHugePages:";
    char line[512], *end;
    size_t all = 0;
    bool inside = false;
    if (maps == NULL)
        return 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        uintptr_t first = strtoull(line, &end, 16);
        if (*end == '-') /* the first line of a mapping, "from-end ..." */
            inside =
                first < (uintptr_t)from + bytes && strtoull(end + 1, NULL, 16) > (uintptr_t)from;
        else if (inside && strncmp(line, label, sizeof label - 1) == 0)
            all += strtoull(line + sizeof label - 1, NULL, 10);
    }
    fclose(maps);
    return all;
}

bool hf_huge_wait(const void *from, size_t bytes, size_t kib)
{
    for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
        if (hf_huge_kib(from, bytes) == kib)
            return true;
        usleep(10000);
    }
    return false;
}
