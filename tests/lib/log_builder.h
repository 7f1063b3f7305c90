/*
 * Builds logs for tests: real segment files in a new directory, block by block, through the same
 * encoders as the server; and damages them afterwards.
 *
 * What the next block will say stands in `next`. A test may change it before it seals the block,
 * to build what a server never would; what follows then continues from what was written.
 *
 * Every failure of the machine (no memory, no disk) ends the process: it is not what is tested.
 */
#ifndef HF_TESTS_LIB_LOG_BUILDER_H
#define HF_TESTS_LIB_LOG_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/image.h"
#include "tests/lib/process.h"
#include "wal/block.h"
#include "wal/io.h"
#include "wal/reader.h"

#define HF_BUILT_BLOCKS_MAX  256
#define HF_BUILDER_MADE_AT   1767323045000000006ull /* 2026-01-02T03:04:05.000000006Z */
#define HF_BUILDER_MIN_BYTES (1ull << 20)           /* of a segment */
#define HF_BUILDER_TTL_NS    (15ull * 60 * 1000000000ull)

struct hf_log_builder {
    char directory[HF_DIRECTORY_TEXT_BYTES];
    uint64_t segment_bytes;
    uint64_t last_segment; /* that exists */

    struct hf_block next; /* sequence, hash, LSN, place ... of the block to be sealed next */
    bool commits;         /* each block attests all before it; false: `next` keeps what it says */
    uint8_t *bytes;       /* that block's records */

    struct hf_block blocks[HF_BUILT_BLOCKS_MAX]; /* that were written */
    uint32_t block_count;
};

/* A new log with one segment and no block. */
void hf_log_builder_open(struct hf_log_builder *builder, uint64_t segment_bytes);

/* Removes the directory. */
void hf_log_builder_close(struct hf_log_builder *builder);

/* Adds a record to the next block; bytes 8 .. 127 are `record`'s. Returns its LSN. */
uint64_t hf_log_builder_record(struct hf_log_builder *builder, const uint8_t *record);

/* An inventory with that id, capacity and sell limit, sequence 1, and the settings that a server
 * gives to a new one. */
uint64_t hf_log_builder_inventory(struct hf_log_builder *builder, uint64_t inventory_id,
                                  uint32_t capacity);

/* What the above encodes, for tests that change some of it. */
struct hf_inventory hf_builder_inventory(uint64_t inventory_id, uint32_t capacity);
struct hf_settings hf_builder_settings(uint32_t sell_limit);

/* An image of that inventory with these settings, changed at HF_BUILDER_MADE_AT + sequence - 1. */
uint64_t hf_log_builder_set(struct hf_log_builder *builder, const struct hf_inventory *inventory,
                            const struct hf_settings *settings, uint32_t sequence);

/* A CONFIRMED reservation of `qty` units whose id is made from `number`, granted with that inventory
 * version. `version` 0: its cancellation. */
uint64_t hf_log_builder_reservation(struct hf_log_builder *builder, uint64_t number,
                                    uint64_t inventory_id, uint32_t qty, uint32_t version);

/* The reservation that the above encodes, for tests that change a field of it. Sequence 1, as it is
 * made, for CONFIRMED, HELD (15 minutes) and WAITING; else 2, and changed 5 ns after it was made
 * (EXPIRED: after 15 minutes). */
struct hf_reservation hf_builder_reservation(uint64_t number, uint64_t inventory_id, uint32_t qty,
                                             enum hf_state state);

/* An image of any reservation. */
uint64_t hf_log_builder_image(struct hf_log_builder *builder,
                              const struct hf_reservation *reservation,
                              const struct hf_image_notes *notes);

/*
 * Seals and writes the block, in the next segment if this one is full; the block must fit. Flags
 * with START begin a new epoch. Returns its number in `blocks`.
 */
uint32_t hf_log_builder_block(struct hf_log_builder *builder, uint16_t flags);

/* A block of `block_bytes` full of inventories that nothing else uses. */
uint32_t hf_log_builder_filler(struct hf_log_builder *builder, uint32_t block_bytes);

/* Fills the segment with one filler after the other until `left_bytes` are left. */
void hf_log_builder_fill(struct hf_log_builder *builder, uint32_t left_bytes);

/* Prepares segments, without a block, until `last` exists. */
void hf_log_builder_prepare(struct hf_log_builder *builder, uint64_t last);

/* Reads and writes bytes of a segment, wherever. */
void hf_log_builder_peek(const struct hf_log_builder *builder, uint64_t segment, uint64_t offset,
                         void *bytes, size_t count);
void hf_log_builder_poke(const struct hf_log_builder *builder, uint64_t segment, uint64_t offset,
                         const void *bytes, size_t count);

/* Inverts the bits of `mask` in one byte. */
void hf_log_builder_flip(const struct hf_log_builder *builder, uint64_t segment, uint64_t offset,
                         uint8_t mask);
void hf_log_builder_zero(const struct hf_log_builder *builder, uint64_t segment, uint64_t offset,
                         size_t count);
void hf_log_builder_truncate(const struct hf_log_builder *builder, uint64_t segment,
                             uint64_t file_bytes);

/* Changes a u64, u32 or u16 in the header of a written block, and makes the header's hash right. */
void hf_log_builder_forge(const struct hf_log_builder *builder, const struct hf_block *block,
                          unsigned offset, uint64_t value, unsigned value_bytes);

/* What walking the log came to. */
struct hf_log_walk {
    int opened; /* what hf_reader_open() returned; if not 0, only `finding` is set beside it */
    enum hf_read end;
    struct hf_finding finding;
    uint32_t blocks; /* that were read: always the first ones that the builder wrote */
    uint64_t growths;
};

/*
 * Reads the log to its end with the reader. That every block read is the one that was built, that
 * the end is told again when asked again, and that the finding is one line, is checked here: a
 * reader that fails it ends the process. `io` NULL: the real one, through the page cache.
 */
struct hf_log_walk hf_log_builder_walk(const struct hf_log_builder *builder, struct hf_io *io);

/* The path of a file in the directory. */
void hf_log_builder_path(const struct hf_log_builder *builder, const char *name, char *path,
                         size_t path_bytes);
void hf_log_builder_segment_path(const struct hf_log_builder *builder, uint64_t segment, char *path,
                                 size_t path_bytes);

#endif
