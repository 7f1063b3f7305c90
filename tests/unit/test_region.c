/* The region: what memory is made ready, and that nothing else is. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/huge_pages.h"
#include "engine/image.h"
#include "engine/replay.h"
#include "tests/lib/huge.h"
#include "tests/lib/process.h"
#include "tests/lib/stress.h"

#define RESERVATIONS 100000u
#define PAGE_BYTES   4096u
#define FLAGS_BYTES  256

static struct hf_region region;

static void open_region(void)
{
    cr_assert_eq(hf_region_create(&region, 4, RESERVATIONS), 0);
}

static void close_region(void)
{
    hf_region_close(&region);
}

TestSuite(region, .init = open_region, .fini = close_region);

/* Pages in memory, of those that hold these bytes. */
static size_t resident(const void *from, size_t bytes)
{
    uintptr_t first = (uintptr_t)from / PAGE_BYTES * PAGE_BYTES;
    size_t pages = ((uintptr_t)from + bytes - first + PAGE_BYTES - 1) / PAGE_BYTES, count = 0;
    unsigned char *states = malloc(pages);
    cr_assert_eq(mincore((void *)first, pages * PAGE_BYTES, states), 0);
    for (size_t i = 0; i < pages; i++)
        count += states[i] & 1;
    free(states);
    return count;
}

Test(region, memory_is_made_ready_and_stays_as_it_is)
{
    /* From the middle of a page to the middle of another, with something written before. */
    struct hf_reservation_cell *cells = region.reservations;
    hf_store_relaxed(&cells[100].lsn, 42);
    hf_region_ready(&region, &cells[90], 1000 * sizeof *cells);
    cr_expect_eq(resident(&cells[90], 1000 * sizeof *cells), 17);
    cr_expect_eq(resident(&cells[2000], 1000 * sizeof *cells), 0);
    cr_expect_eq(hf_load_relaxed(&cells[100].lsn), 42);
    cr_expect_eq(hf_load_relaxed(&cells[101].lsn), 0);
}

Test(region, nothing_behind_it_is_made_ready)
{
    /* More is asked for than there is. The kernel maps from above downwards: so what was mapped
     * before, if it is as large, is right behind the region, as a rule. */
    size_t bytes = region.mapped_bytes;
    close_region();
    uint8_t *behind = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    open_region();
    uint8_t *end = (uint8_t *)region.header + bytes;
    hf_region_ready(&region, end - 8 * PAGE_BYTES, 64 * PAGE_BYTES);
    cr_expect_eq(resident(end - 8 * PAGE_BYTES, 8 * PAGE_BYTES), 8);
    cr_expect_eq(resident(behind, bytes), 0, "%d: it is right behind", end == behind);
    munmap(behind, bytes);
}

/* The flags of the mapping that holds this address, as the kernel tells them: " rd wr mr ... ". */
static void mapping_flags(const void *address, char flags[FLAGS_BYTES])
{
    char line[512];
    bool inside = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    cr_assert_not_null(maps);
    flags[0] = '\0';
    while (flags[0] == '\0' && fgets(line, sizeof line, maps) != NULL) {
        uintptr_t from, end;
        if (sscanf(line, "%lx-%lx ", &from, &end) == 2)
            inside = (uintptr_t)address >= from && (uintptr_t)address < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(flags, FLAGS_BYTES, "%.*s", FLAGS_BYTES - 1, line + 8);
    }
    fclose(maps);
}

Test(region, inventories_are_shared_with_readers_and_reservations_are_not)
{
    char flags[FLAGS_BYTES];
    mapping_flags((const void *)region.index, flags);
    cr_expect_null(strstr(flags, " sh"), "%s", flags);
    mapping_flags(&region.reservations[1], flags);
    cr_expect_null(strstr(flags, " sh"), "%s", flags);
    mapping_flags(region.inventories, flags);
    cr_expect_not_null(strstr(flags, " sh"), "%s", flags);
}

/* With 2^22 heads that is at 256 cells; all mappings of private memory count as one. */
Test(region, the_index_gets_huge_pages_soon_but_not_for_a_few)
{
    enum { COUNT = 1 << 22, MANY = COUNT / 16384, INDEX_BYTES = COUNT * 8 };
    struct hf_region large;
    struct hf_allotment allotment = {0};
    if (!hf_huge_can_be())
        cr_skip("the kernel makes no huge pages here");
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    cr_assert_eq(hf_region_create(&large, 4, COUNT), 0);
    cr_assert_eq(hf_region_publish(&large, directory), 0);
    cr_expect_eq((uintptr_t)large.index % HF_HUGE_PAGE_BYTES, 0);
    for (uint32_t number = 1; number < MANY; number++) {
        cr_assert(hf_cells_allot(&large, &allotment));
        cr_assert_eq(hf_cells_take(&large, &allotment), number);
        if (number == MANY - 64) {
            hf_store_relaxed(&large.index[12345], 0); /* as whoever takes a chain */
            usleep(20000);
            cr_expect_eq(hf_huge_kib((const void *)large.index, INDEX_BYTES), 0);
        }
    }
    cr_expect(hf_huge_wait((const void *)large.index, INDEX_BYTES, INDEX_BYTES >> 10));
    hf_region_close(&large);
    hf_directory_remove(directory);
}

Test(region, while_a_log_is_recovered_the_index_is_huge_from_the_first_touch)
{
    enum { COUNT = 1 << 20 };
    struct hf_region large;
    if (!hf_huge_can_be())
        cr_skip("the kernel makes no huge pages here");
    cr_assert_eq(hf_region_create(&large, 4, COUNT), 0);
    hf_store_relaxed(&large.index[12345], 0);
    cr_expect_eq(hf_huge_kib((const void *)large.index, COUNT * 8), 2048);
    hf_region_close(&large);
}

Test(region, cells_are_made_ready_64_kib_at_a_time)
{
    enum { A_PAGE = 64, A_BLOCK = 1024 };
    struct hf_allotment allotment = {0};
    for (uint32_t number = 1; number < 3 * A_BLOCK; number++) {
        cr_assert(hf_cells_allot(&region, &allotment));
        cr_assert_eq(hf_cells_take(&region, &allotment), number);
    }
    cr_expect_eq(resident(&region.reservations[A_BLOCK], 2 * A_BLOCK * A_PAGE), 32);
    cr_expect_eq(resident(&region.reservations[4 * A_BLOCK], A_BLOCK * A_PAGE), 0, "no more");
}

static void replay_reservations(struct hf_replay *replay, uint32_t first, uint32_t last)
{
    for (uint32_t number = first; number <= last; number++) {
        uint8_t record[HF_RECORD_BYTES] = {0};
        const struct hf_reservation reservation = {
            .id = hf_id_of_number(number),
            .inventory_id = 1,
            .made_at_ns = 1,
            .changed_at_ns = 1,
            .deadline_ns = 2,
            .qty = 1,
            .sequence = 1,
            .state = HF_STATE_HELD,
        };
        hf_image_encode_reservation(record, &reservation,
                                    &(struct hf_image_notes){.made_as = HF_STATE_HELD});
        cr_assert_null(hf_replay_apply(replay, record));
    }
}

/* What a small log fills is small; what is made ready ahead is never more than twice that. */
Test(region, recovery_makes_no_more_ready_than_it_fills_twice)
{
    struct hf_replay replay;
    uint8_t record[HF_RECORD_BYTES] = {0};
    const struct hf_inventory inventory = {.inventory_id = 1, .made_at_ns = 1, .capacity = 1};
    cr_assert_eq(hf_replay_init(&replay, &region, 0), 0);
    hf_image_encode_inventory(record, &inventory, &(struct hf_settings){.sell_limit = 1}, 1, 1);
    cr_assert_null(hf_replay_apply(&replay, record));
    size_t cells_bytes = RESERVATIONS * sizeof region.reservations[0];
    size_t terms_bytes = RESERVATIONS * sizeof region.terms[0];
    cr_expect_eq(resident(&region.reservations[1], cells_bytes), 0);
    uint32_t last = 0;
    for (uint32_t count = 1; count <= 65536; count *= 4) {
        replay_reservations(&replay, last + 1, count);
        last = count;
        size_t filled = count * sizeof region.reservations[0] / PAGE_BYTES;
        size_t cells = resident(&region.reservations[1], cells_bytes);
        cr_expect_geq(cells, filled);
        cr_expect_leq(cells, 2 * filled + 2, "%u reservations: %zu pages", count, cells);
        size_t terms = resident(&region.terms[1], terms_bytes);
        cr_expect_leq(terms, 2 * (count * sizeof region.terms[0] / PAGE_BYTES) + 2);
    }
    hf_replay_close(&replay);
}
