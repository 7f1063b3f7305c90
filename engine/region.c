/* The region; what it holds is told in region.h. */
#include "engine/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/huge_pages.h"

#define MAX_INVENTORIES  (1u << 24)
#define MAX_RESERVATIONS ((1u << 31) - (1u << 16))
#define LINK_NAME        "region"
#define PAGE_BYTES       4096

static uint32_t power_of_two_at_least(uint64_t count)
{
    uint32_t power = 1;
    while (power < count)
        power <<= 1;
    return power;
}

/* Where the private parts are, from the header on. */
struct private_parts {
    uint64_t index_offset, reservations_offset, terms_offset, end_offset;
};

static void find_shared_parts(struct hf_region *region)
{
    uint8_t *base = (uint8_t *)region->header;
    region->inventories = (void *)(base + region->header->inventories_offset);
    region->inventory_index = (void *)(base + region->header->inventory_index_offset);
    region->mcas = (struct hf_mcas){
        .base = base,
        .descriptors = (void *)(base + region->header->descriptors_offset),
    };
}

static void find_private_parts(struct hf_region *region, const struct private_parts *parts)
{
    uint8_t *base = (uint8_t *)region->header;
    region->index = (void *)(base + parts->index_offset);
    region->reservations = (void *)(base + parts->reservations_offset);
    region->terms = (void *)(base + parts->terms_offset);
}

/* Appends a part of count * bytes to the layout, page-aligned. Returns its offset. */
static uint64_t place(uint64_t *total_bytes, uint64_t count, uint64_t bytes)
{
    uint64_t offset = *total_bytes;
    *total_bytes += (count * bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ull);
    return offset;
}

static void lay_out(struct hf_region_header *header, struct private_parts *parts,
                    uint32_t max_inventories, uint32_t max_reservations)
{
    uint64_t end = PAGE_BYTES;
    *header = (struct hf_region_header){
        .magic = HF_REGION_MAGIC,
        .format = HF_REGION_FORMAT,
        .header_bytes = sizeof *header,
        .process_id = (uint64_t)getpid(),
        .inventory_bytes = sizeof(struct hf_inventory_cell),
        .max_inventories = max_inventories,
        .max_reservations = max_reservations,
        /* At most half full, so that a probe is short. */
        .inventory_index_count = power_of_two_at_least(2ull * max_inventories),
        /* Between one and two reservations a chain when all are in use. */
        .index_count = 1u << (31 - __builtin_clz(max_reservations)),
    };
    header->inventories_offset = place(&end, max_inventories, sizeof(struct hf_inventory_cell));
    header->inventory_index_offset = place(&end, header->inventory_index_count, sizeof(uint32_t));
    header->descriptors_offset = place(&end, HF_MAX_ACTORS, sizeof(struct hf_mcas_descriptor));
    header->total_bytes = end;
    parts->index_offset = place(&end, header->index_count, sizeof(uint64_t));
    /* Cell 0 is never used. */
    parts->reservations_offset =
        place(&end, max_reservations + 1ull, sizeof(struct hf_reservation_cell));
    parts->terms_offset = place(&end, max_reservations + 1ull, sizeof(struct hf_terms));
    parts->end_offset = end;
}

/* Addresses for `bytes`, of which the one at `aligned_offset` is the begin of a huge page. NULL: there
 * are none. Nothing may be touched there. */
static uint8_t *reserve_addresses(uint64_t bytes, uint64_t aligned_offset)
{
    uint64_t all = bytes + HF_HUGE_PAGE_BYTES;
    uint8_t *from = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (from == MAP_FAILED)
        return NULL;
    uint64_t before = -((uintptr_t)from + aligned_offset) & (HF_HUGE_PAGE_BYTES - 1);
    if (before != 0)
        munmap(from, before);
    munmap(from + before + bytes, HF_HUGE_PAGE_BYTES - before);
    return from + before;
}

/* Maps both kinds of parts, one behind the other. 0 or -errno. */
static int map_parts(struct hf_region *region, const struct hf_region_header *header,
                     const struct private_parts *parts)
{
    uint8_t *base = reserve_addresses(parts->end_offset, parts->index_offset);
    if (base == NULL)
        return -errno;
    int protection = PROT_READ | PROT_WRITE, flags = MAP_FIXED | MAP_NORESERVE;
    if (mmap(base, header->total_bytes, protection, flags | MAP_SHARED, region->file, 0) ==
            MAP_FAILED ||
        mmap(base + header->total_bytes, parts->end_offset - header->total_bytes, protection,
             flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
        int result = -errno;
        munmap(base, parts->end_offset);
        return result;
    }
    region->header = (void *)base;
    region->mapped_bytes = parts->end_offset;
    return 0;
}

int hf_region_create(struct hf_region *region, uint32_t max_inventories, uint32_t max_reservations)
{
    if (max_inventories == 0 || max_inventories > MAX_INVENTORIES || max_reservations == 0 ||
        max_reservations > MAX_RESERVATIONS)
        return -EINVAL;
    struct hf_region_header header;
    struct private_parts parts;
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return -EIO;
    lay_out(&header, &parts, max_inventories, max_reservations);
    *region = (struct hf_region){.file = memfd_create("holdfast-region", MFD_CLOEXEC)};
    if (region->file < 0)
        return -errno;
    int result = ftruncate(region->file, (off_t)header.total_bytes) != 0 ? -errno : 0;
    if (result == 0)
        result = map_parts(region, &header, &parts);
    if (result != 0) {
        close(region->file);
        return result;
    }
    *region->header = header;
    region->header->hash_seed = seed;
    find_shared_parts(region);
    find_private_parts(region, &parts);
    /* Not for the reservations: they are filled from one end to the other, 64 to a page. While a log is
     * recovered nobody waits for one claim: huge from the first touch, a hint. */
    madvise((void *)region->index, header.index_count * sizeof region->index[0], MADV_HUGEPAGE);
    region->huge_pages =
        hf_huge_pages_new((void *)region->index, header.index_count * sizeof region->index[0]);
    hf_store_release(&region->header->reservation_end, 1); /* pairs with hf_cells_allotted() */
    hf_store_release(&region->header->state, HF_REGION_RECOVERING); /* pairs with attach */
    return 0;
}

int hf_region_publish(struct hf_region *region, const char *directory)
{
    char target[64];
    snprintf(target, sizeof target, "/proc/%ld/fd/%d", (long)getpid(), region->file);
    char *temporary = NULL;
    int result = 0;
    if (asprintf(&region->link, "%s/" LINK_NAME, directory) < 0)
        region->link = NULL;
    if (region->link == NULL || asprintf(&temporary, "%s.tmp", region->link) < 0) {
        result = -ENOMEM;
    } else {
        /* A link that a killed server left is replaced at once. */
        unlink(temporary);
        if (symlink(target, temporary) != 0 || rename(temporary, region->link) != 0)
            result = -errno;
        free(temporary);
    }
    /* From now on somebody waits (huge_pages.h). A hint. */
    if (hf_load_relaxed(&region->header->reservation_end) <= hf_region_few(region))
        madvise((void *)region->index, region->header->index_count * sizeof region->index[0],
                MADV_NOHUGEPAGE);
    hf_store_release(&region->header->state, HF_REGION_READY); /* pairs with attach */
    return result;
}

void hf_region_unpublish(struct hf_region *region)
{
    hf_store_release(&region->header->state, HF_REGION_CLOSED); /* for those attached */
    if (region->link != NULL)
        unlink(region->link);
    free(region->link);
    region->link = NULL;
}

void hf_region_close(struct hf_region *region)
{
    hf_region_unpublish(region);
    hf_huge_pages_free(region->huge_pages);
    munmap(region->header, region->mapped_bytes);
    close(region->file);
    *region = (struct hf_region){.file = -1};
}

/* True if the header describes a region of this version whose parts lie within `bytes`. */
static bool header_is_sound(const struct hf_region_header *header, uint64_t bytes)
{
    return header->magic == HF_REGION_MAGIC && header->format == HF_REGION_FORMAT &&
           header->header_bytes == sizeof *header && header->total_bytes <= bytes &&
           header->inventory_bytes == sizeof(struct hf_inventory_cell) &&
           header->inventories_offset < bytes && header->inventory_index_offset < bytes &&
           header->descriptors_offset < bytes;
}

int hf_region_attach(struct hf_region *region, const char *directory)
{
    *region = (struct hf_region){.file = -1};
    char *path = NULL;
    if (asprintf(&path, "%s/" LINK_NAME, directory) < 0)
        return -ENOMEM;
    region->file = open(path, O_RDONLY | O_CLOEXEC);
    int result = -errno;
    free(path);
    if (region->file < 0)
        return result;
    struct stat status;
    if (fstat(region->file, &status) != 0 ||
        (uint64_t)status.st_size < sizeof(struct hf_region_header)) {
        close(region->file);
        return -EPROTO;
    }
    void *base = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, region->file, 0);
    if (base == MAP_FAILED) {
        result = -errno;
        close(region->file);
        return result;
    }
    region->header = base;
    /* Acquire, pairs with hf_region_create() and hf_region_publish(). */
    if (hf_load_acquire(&region->header->state) == 0 ||
        !header_is_sound(region->header, (uint64_t)status.st_size)) {
        munmap(base, (size_t)status.st_size);
        close(region->file);
        return -EPROTO;
    }
    region->mapped_bytes = (uint64_t)status.st_size;
    find_shared_parts(region);
    return 0;
}

void hf_region_detach(struct hf_region *region)
{
    munmap(region->header, region->mapped_bytes);
    close(region->file);
    *region = (struct hf_region){.file = -1};
}

void hf_region_ready(const struct hf_region *region, const void *from, size_t bytes)
{
    uintptr_t base = (uintptr_t)region->header, end = base + region->mapped_bytes;
    uintptr_t first = (uintptr_t)from, last = first + bytes;
    HF_CHECK(first >= base && first < end);
    if (last > end)
        last = end;
    first &= ~(uintptr_t)(PAGE_BYTES - 1);
    madvise((void *)first, last - first, MADV_POPULATE_WRITE); /* Linux 5.14 */
}

struct hf_inventory_cell *hf_region_find_inventory(const struct hf_region *region,
                                                   uint64_t inventory_id)
{
    uint32_t mask = region->header->inventory_index_count - 1;
    uint32_t place = hf_region_inventory_place(region, inventory_id);
    for (;;) {
        /* Acquire, pairs with hf_region_insert_inventory(): the cell is filled. */
        uint32_t entry = hf_load_acquire(&region->inventory_index[place]);
        if (entry == 0)
            return NULL;
        if (region->inventories[entry - 1].inventory_id == inventory_id)
            return &region->inventories[entry - 1];
        place = (place + 1) & mask;
    }
}

bool hf_region_begin_create(struct hf_region *region)
{
    uint32_t nobody = 0;
    /* acq_rel, pairs with hf_region_end_create(): what was created before is seen. */
    return hf_cas_acq_rel(&region->header->creating, &nobody, 1);
}

void hf_region_end_create(struct hf_region *region)
{
    hf_store_release(&region->header->creating, 0); /* pairs with hf_region_begin_create() */
}

struct hf_inventory_cell *hf_region_next_inventory(struct hf_region *region)
{
    /* Relaxed: the right to create orders it. */
    uint32_t count = hf_load_relaxed(&region->header->inventory_count);
    return count == region->header->max_inventories ? NULL : &region->inventories[count];
}

void hf_region_insert_inventory(struct hf_region *region)
{
    uint32_t count =
        hf_load_relaxed(&region->header->inventory_count); /* the right to create orders it */
    HF_CHECK(count < region->header->max_inventories);
    uint32_t mask = region->header->inventory_index_count - 1;
    uint32_t place = hf_region_inventory_place(region, region->inventories[count].inventory_id);
    /* Relaxed: only who creates writes entries, and they never change once set. */
    while (hf_load_relaxed(&region->inventory_index[place]) != 0)
        place = (place + 1) & mask;
    /* Release, pairs with hf_region_find_inventory(). */
    hf_store_release(&region->inventory_index[place], count + 1);
    /* Release, pairs with whoever lists the inventories. */
    hf_store_release(&region->header->inventory_count, count + 1);
}
