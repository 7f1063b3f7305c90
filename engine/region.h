/*
 * The region: the memory with everything that the engine knows.
 *
 *   header           what this is, and where the shared parts are     \
 *   inventory cells  one for each inventory, in the order of creation  | shared
 *   inventory index  open addressing, cell number + 1 by inventory id  |
 *   descriptors      of operations over several words (engine/mcas.h) /
 *   index            heads of the chains of reservations, by id       \
 *   reservations     one cache line each, allotted from the start      | private
 *   terms            what a reservation carries beyond a plain claim  /
 *
 * The shared parts are an anonymous memory file (memfd): DIR/region is a link to it under /proc, so that
 * other processes can attach read-only and read availability without a system call. What speaks of
 * single reservations is nobody else's, and is private memory, where the kernel has huge pages for
 * the index (huge_pages.h): a claim meets a random line of it, and the walk to its page cost as much as
 * the line. All of it is sparse: pages are paid for as they are touched (those of the index, 4 to 8
 * bytes for each reservation that there may be, by the first 65,000 of 16 million), and the kernel
 * frees them with the process, however that ends. It is never read after a crash: recovery makes a new
 * one from the log.
 */
#ifndef HF_ENGINE_REGION_H
#define HF_ENGINE_REGION_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "engine/hash.h"
#include "engine/inventory.h"
#include "engine/reservation.h"

#define HF_REGION_MAGIC  0x4e4f494745524648ull /* "HFREGION" */
#define HF_REGION_FORMAT 3

enum hf_region_state {
    HF_REGION_RECOVERING = 1,
    HF_REGION_READY = 2,
    HF_REGION_CLOSED = 3,
};

/* At offset 0. Constant once the state is READY, but for the fields marked _Atomic. */
struct hf_region_header {
    uint64_t magic;
    uint32_t format;
    uint32_t header_bytes;
    uint64_t total_bytes; /* of the shared parts */
    uint8_t log_id[16];
    uint64_t process_id;
    uint64_t hash_seed; /* of reservation ids */
    uint64_t inventories_offset;
    uint64_t inventory_index_offset;
    uint64_t descriptors_offset;
    uint32_t inventory_bytes; /* of a cell */
    uint32_t max_inventories;
    uint32_t max_reservations;      /* allotted at most, with what actors keep */
    uint32_t inventory_index_count; /* entries: a power of two */
    uint32_t index_count;           /* heads: a power of two */
    _Atomic uint32_t state;         /* enum hf_region_state; written by the owner */

    /* Written by whoever creates an inventory. `creating` is the right to: one actor at a time. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint32_t inventory_count;
    _Atomic uint32_t creating;
    /* Written by all actors, once for a row of cells. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint32_t reservation_end; /* allotted so far */
    /* Cells that were allotted and given back, in runs (engine/cells.h): the first cell of the first run
     * (low 32 bits), and a count of changes (high 32 bits), so that a stack that was changed never looks
     * the same. */
    _Atomic uint64_t free_cells;
};

/* A mapped region. One that is attached has the shared parts alone. */
struct hf_region {
    struct hf_region_header *header;
    struct hf_inventory_cell *inventories;
    _Atomic uint32_t *inventory_index;
    struct hf_reservation_cell *reservations; /* [0] is never used: 0 means none */
    struct hf_terms *terms;                   /* by the same numbers */
    _Atomic uint64_t *index;                  /* heads of chains, see table.h */
    struct hf_mcas mcas;
    struct hf_huge_pages *huge_pages; /* of the index, or NULL */
    uint64_t mapped_bytes;            /* from the header on, of all parts */
    int file;                         /* the memory file */
    char *link;                       /* DIR/region, or NULL */
};

/*
 * Makes a region of its own. max_inventories: 1 .. 2^24, max_reservations: 1 .. 2^31 - 2^16.
 * 0, -EINVAL or -errno of the memory. Nothing of it is touched yet but the header.
 */
int hf_region_create(struct hf_region *region, uint32_t max_inventories, uint32_t max_reservations);

/* Makes DIR/region point to the region. 0 or -errno. */
int hf_region_publish(struct hf_region *region, const char *directory);

/* Removes the link: while the directory is still ours. */
void hf_region_unpublish(struct hf_region *region);

/* Unmaps, after removing the link if it is still there. */
void hf_region_close(struct hf_region *region);

/* Maps the region of the server that runs on `directory`, read-only. 0; -ENOENT: no server runs
 * there; -EPROTO: a region that this version does not know; else -errno. */
int hf_region_attach(struct hf_region *region, const char *directory);
void hf_region_detach(struct hf_region *region);

/*
 * Has memory ready that will be written soon, in one go: meeting its pages one by one costs half as
 * much again. The pages stay, written or not. A hint: where the kernel cannot do it, nothing happens.
 */
void hf_region_ready(const struct hf_region *region, const void *from, size_t bytes);

/* So many reservations are not worth huge pages for the index: 1000 of 16 million. */
static inline uint32_t hf_region_few(const struct hf_region *region)
{
    return region->header->index_count / 16384;
}

/* The cell of an inventory, or NULL. Any thread or process. */
struct hf_inventory_cell *hf_region_find_inventory(const struct hf_region *region,
                                                   uint64_t inventory_id);

/* Where the search for an inventory begins in the index. */
static inline uint32_t hf_region_inventory_place(const struct hf_region *region,
                                                 uint64_t inventory_id)
{
    return (uint32_t)hf_hash_u64(inventory_id) & (region->header->inventory_index_count - 1);
}

/* Takes the right to create inventories. False: another actor has it, put the operation aside. */
bool hf_region_begin_create(struct hf_region *region);
void hf_region_end_create(struct hf_region *region);

/* The next free cell, not visible yet; NULL: all are taken. By whoever has the right to create. */
struct hf_inventory_cell *hf_region_next_inventory(struct hf_region *region);

/* Makes the next free cell, which the caller filled, visible. By whoever has the right to create.
 */
void hf_region_insert_inventory(struct hf_region *region);

#endif
