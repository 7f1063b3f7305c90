/*
 * The reader on damaged logs: every kind of damage is refused and named, I/O errors are told as
 * what they are, and no changed byte of a log goes unnoticed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "tests/lib/log_builder.h"
#include "wal/segment_header.h"

#define MIB 1048576ull

static struct hf_log_builder builder;

static void open_builder(void)
{
    hf_log_builder_open(&builder, MIB);
}

static void close_builder(void)
{
    hf_log_builder_close(&builder);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(reader_damage, .init = open_builder, .fini = close_builder);

static void rebuild(void)
{
    hf_log_builder_close(&builder);
    hf_log_builder_open(&builder, MIB);
}

/* START and `count` blocks of one inventory each. */
static void build_small(uint32_t count)
{
    hf_log_builder_block(&builder, HF_BLOCK_START);
    for (uint32_t i = 0; i < count; i++) {
        hf_log_builder_inventory(&builder, 1 + i, 500);
        hf_log_builder_block(&builder, 0);
    }
}

/* Walks, and expects corruption at that place with `word` in the text. */
static void expect_corrupt(uint32_t blocks, uint64_t segment, uint64_t offset, const char *word)
{
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    cr_expect_eq(walk.end, HF_READ_CORRUPT, "end %d: %s", (int)walk.end, walk.finding.text);
    cr_expect_eq(walk.blocks, blocks, "%u blocks: %s", walk.blocks, walk.finding.text);
    cr_expect_eq(walk.finding.segment, segment, "%s", walk.finding.text);
    cr_expect_eq(walk.finding.offset, offset, "%s", walk.finding.text);
    cr_expect_not_null(strstr(walk.finding.text, word), "'%s' is not in: %s", word,
                       walk.finding.text);
}

/* ---- blocks that are in the wrong log --------------------------------------------------- */

Test(reader_damage, a_right_header_that_cannot_stand_there_is_corruption)
{
    /* The last block, and then one behind the end, is of another log, of another place, of a
     * newer format, or has an impossible field; its header's hash is right. */
    static const struct {
        unsigned offset, bytes;
        uint64_t value;
        const char *word;
    } cases[] = {
        {16, 8, 1, "of another log"},
        {24, 8, 1, "of another log"},
        {88, 8, 2, "belongs to segment 2"},
        {96, 4, 8192, "belongs to segment 1 at 8192"},
        {8, 2, 2, "of format 2, written by a newer version"},
        {8, 2, 65535, "of format 65535"},
        {100, 4, 7, "impossible field"},
        {14, 2, 8, "impossible field"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rebuild();
        build_small(3);
        hf_log_builder_forge(&builder, &builder.blocks[3], cases[i].offset, cases[i].value,
                             cases[i].bytes);
        expect_corrupt(3, 1, builder.blocks[3].offset, cases[i].word);
        hf_log_builder_flip(&builder, 1, builder.blocks[2].offset + 200, 1);
        hf_log_builder_zero(&builder, 1, builder.blocks[3].offset + 128, 4096 - 128);
        expect_corrupt(2, 1, builder.blocks[2].offset, cases[i].word);
    }
}

Test(reader_damage, a_block_too_long_for_its_segment_is_corruption)
{
    /* The last 4096 bytes of a segment hold the header of a block of 8192. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_fill(&builder, 4096);
    uint32_t last = hf_log_builder_filler(&builder, 4096);
    uint8_t sizes[8];
    hf_put_u32(sizes, 63);
    hf_put_u32(sizes + 4, 8192);
    hf_log_builder_forge(&builder, &builder.blocks[last], 64, hf_get_u64(sizes), 8);
    expect_corrupt(last, 1, MIB - 4096, "more than the segment has room for");
}

Test(reader_damage, whole_blocks_that_do_not_continue_the_log_are_corruption)
{
    /* Each rule of continuing, broken alone; the block is valid in itself. */
    static const char *const words[] = {"block 9",         "previous_hash",   "LSN 77",
                                        "without a START", "without a START", "with a START"};
    for (int i = 0; i < 6; i++) {
        rebuild();
        builder.next.epoch = 5;
        build_small(2);
        struct hf_block *next = &builder.next;
        next->sequence += i == 0 ? 5 : 0;
        next->previous_hash ^= i == 1 ? 1 : 0;
        next->first_lsn = i == 2 ? 77 : next->first_lsn;
        next->epoch += i == 3 ? 1 : 0;
        next->epoch -= i == 4 || i == 5 ? 1 : 0;
        hf_log_builder_block(&builder, i == 5 ? (uint16_t)HF_BLOCK_START : 0);
        expect_corrupt(3, 1, builder.blocks[3].offset, words[i]);
    }
}

Test(reader_damage, the_first_block_must_start_the_log)
{
    /* A log whose first block is no START, has sequence 2, or LSN 2. */
    for (int i = 0; i < 3; i++) {
        rebuild();
        builder.next.epoch = 1;
        builder.next.sequence += i == 1;
        builder.next.first_lsn += i == 2;
        hf_log_builder_block(&builder, i == 0 ? 0 : (uint16_t)HF_BLOCK_START);
        expect_corrupt(0, 1, 4096, "expected block 1 (LSN 1)");
    }
}

Test(reader_damage, a_block_left_over_from_an_older_run_is_corruption)
{
    /* A torn tail was cut without making it zero, and the next run wrote its START over it: the
     * old block behind is whole and valid, but no part of the log. */
    build_small(2);
    builder.commits = false;
    struct hf_block cut = builder.next;
    hf_log_builder_filler(&builder, 4096);
    hf_log_builder_filler(&builder, 4096);
    builder.next = cut;
    builder.block_count = 3;
    hf_log_builder_block(&builder, HF_BLOCK_START);
    expect_corrupt(4, 1, builder.next.offset, "block 5 of epoch 1");
}

Test(reader_damage, a_dropped_block_is_corruption)
{
    /* A block in the middle is gone and what followed has moved to its place. */
    build_small(4);
    uint8_t bytes[8192];
    hf_log_builder_peek(&builder, 1, builder.blocks[3].offset, bytes, sizeof(bytes));
    hf_log_builder_poke(&builder, 1, builder.blocks[2].offset, bytes, sizeof(bytes));
    hf_log_builder_zero(&builder, 1, builder.blocks[4].offset, 4096);
    expect_corrupt(2, 1, builder.blocks[2].offset, "belongs to segment 1");
}

Test(reader_damage, zeros_to_the_end_of_a_segment_are_no_end_if_another_goes_on)
{
    /* The second half of segment 1 is lost; segment 2 holds durable blocks. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_filler(&builder, 4096);
    hf_log_builder_fill(&builder, 0);
    hf_log_builder_filler(&builder, 4096);
    hf_log_builder_zero(&builder, 1, builder.blocks[2].offset, MIB - builder.blocks[2].offset);
    expect_corrupt(2, 1, builder.blocks[2].offset, "0000000000000002.wal at 4096");
}

/* ---- segments --------------------------------------------------------------------------- */

static void build_three_segments(void)
{
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_fill(&builder, 0);
    hf_log_builder_filler(&builder, 4096);
    hf_log_builder_fill(&builder, 0);
    hf_log_builder_filler(&builder, 4096);
    cr_assert_eq(builder.last_segment, 3);
}

static uint32_t blocks_before(uint64_t segment)
{
    uint32_t count = 0;
    while (count < builder.block_count && builder.blocks[count].segment < segment)
        count++;
    return count;
}

Test(reader_damage, a_missing_segment_is_corruption)
{
    /* The middle one and the first one, removed. */
    for (uint64_t segment = 1; segment <= 2; segment++) {
        rebuild();
        build_three_segments();
        char path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES];
        hf_log_builder_segment_path(&builder, segment, path, sizeof(path));
        cr_assert_eq(unlink(path), 0);
        expect_corrupt(blocks_before(segment), segment, 0, "missing");
    }
}

Test(reader_damage, a_missing_segment_behind_the_end_is_corruption)
{
    /* The log ends in segment 1; of two prepared ones the first is gone. */
    build_small(2);
    hf_log_builder_prepare(&builder, 3);
    char path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES];
    hf_log_builder_segment_path(&builder, 2, path, sizeof(path));
    cr_assert_eq(unlink(path), 0);
    expect_corrupt(3, 2, 0, "missing");
}

Test(reader_damage, swapped_segments_are_corruption)
{
    /* The files of segments 2 and 3 have each other's names. */
    build_three_segments();
    char two[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES], three[sizeof(two)],
        aside[sizeof(two)];
    hf_log_builder_segment_path(&builder, 2, two, sizeof(two));
    hf_log_builder_segment_path(&builder, 3, three, sizeof(three));
    hf_log_builder_path(&builder, "aside", aside, sizeof(aside));
    cr_assert(rename(two, aside) == 0 && rename(three, two) == 0 && rename(aside, three) == 0);
    expect_corrupt(blocks_before(2), 2, 0, "found that of segment 3");
}

Test(reader_damage, a_segment_of_another_size_is_corruption)
{
    /* Each segment cut short, and made longer. */
    for (uint64_t segment = 1; segment <= 3; segment++) {
        rebuild();
        build_three_segments();
        hf_log_builder_truncate(&builder, segment, MIB - 4096);
        expect_corrupt(segment == 1 ? 0 : blocks_before(segment), segment, 0, "bytes");
        hf_log_builder_truncate(&builder, segment, MIB + 4096);
        expect_corrupt(segment == 1 ? 0 : blocks_before(segment), segment, 0, "bytes");
        hf_log_builder_truncate(&builder, segment, 0);
        expect_corrupt(segment == 1 ? 0 : blocks_before(segment), segment, 0, "bytes");
    }
}

static void forge_segment(uint64_t segment, unsigned offset, uint64_t value, unsigned value_bytes)
{
    uint8_t header[HF_SEGMENT_HEADER_BYTES], bytes[8];
    hf_put_u64(bytes, value);
    hf_log_builder_peek(&builder, segment, 0, header, sizeof(header));
    memcpy(header + offset, bytes, value_bytes);
    hf_put_u64(header + 4088, XXH3_64bits(header, 4088));
    hf_log_builder_poke(&builder, segment, 0, header, sizeof(header));
}

Test(reader_damage, a_segment_header_that_is_wrong_is_corruption)
{
    /* Of the first segment and of the second: damaged, zero, of another format, log, number or
     * size under a right hash. */
    for (uint64_t segment = 1; segment <= 2; segment++) {
        rebuild();
        build_three_segments();
        uint32_t blocks = blocks_before(segment);
        hf_log_builder_flip(&builder, segment, 2000, 1);
        expect_corrupt(blocks, segment, 0, "wrong checksum");
        hf_log_builder_flip(&builder, segment, 2000, 1);
        forge_segment(segment, 8, 2, 2);
        expect_corrupt(blocks, segment, 0, "format 2: it was written by a newer version");
        forge_segment(segment, 8, 1, 2);
        forge_segment(segment, 32, 7, 8);
        expect_corrupt(blocks, segment, 0, "found that of segment 7");
        forge_segment(segment, 32, segment, 8);
        forge_segment(segment, 40, 2 * MIB, 8);
        expect_corrupt(blocks, segment, 0, "the header says 2097152 bytes");
        forge_segment(segment, 40, MIB, 8);
        forge_segment(segment, 16, 1, 8);
        if (segment == 1)
            expect_corrupt(0, 1, 4096, "of another log");
        else
            expect_corrupt(blocks, 2, 0, "of another log");
        hf_log_builder_zero(&builder, segment, 0, 4096);
        expect_corrupt(blocks, segment, 0, "found zeros");
    }
}

Test(reader_damage, a_segment_that_is_right_but_larger_than_the_first_is_corruption)
{
    /* File and header agree on 2 MiB; the first segment has 1 MiB. */
    build_three_segments();
    forge_segment(2, 40, 2 * MIB, 8);
    hf_log_builder_truncate(&builder, 2, 2 * MIB);
    expect_corrupt(blocks_before(2), 2, 0, "expected a file of 1048576 bytes as the first segment");
}

/* ---- errors of the disk ----------------------------------------------------------------- */

/* Real I/O that fails at one place. */
static struct {
    struct hf_io io;
    uint64_t bad_offset; /* reads that reach it */
    int read_error;      /* fail with this; 0: end there */
    int open_error;
    int list_error;
} faulty;

static ssize_t faulty_read_at(struct hf_io *io, int file, void *buffer, size_t bytes,
                              uint64_t offset)
{
    if (faulty.bad_offset < offset || faulty.bad_offset >= offset + bytes)
        return hf_io_posix()->read_at(io, file, buffer, bytes, offset);
    if (faulty.read_error != 0)
        return faulty.read_error;
    return hf_io_posix()->read_at(io, file, buffer, faulty.bad_offset - offset, offset);
}

static int faulty_open_file(struct hf_io *io, const char *directory, const char *name,
                            enum hf_io_open_mode mode)
{
    if (faulty.open_error != 0 && strcmp(name, "0000000000000002.wal") == 0)
        return faulty.open_error;
    return hf_io_posix()->open_file(io, directory, name, mode);
}

static int faulty_list(struct hf_io *io, const char *directory,
                       int (*each)(void *context, const char *name), void *context)
{
    return faulty.list_error != 0 ? faulty.list_error
                                  : hf_io_posix()->list(io, directory, each, context);
}

static struct hf_log_walk walk_faulty(void)
{
    faulty.io = *hf_io_posix();
    faulty.io.read_at = faulty_read_at;
    faulty.io.open_file = faulty_open_file;
    faulty.io.list = faulty_list;
    return hf_log_builder_walk(&builder, &faulty.io);
}

Test(reader_damage, a_disk_error_is_told_as_one)
{
    /* The disk cannot read at the end of the log, where the tail is looked for. */
    build_small(2);
    faulty.bad_offset = 100000;
    faulty.read_error = -EIO;
    struct hf_log_walk walk = walk_faulty();
    cr_expect_neq(walk.opened, 0, "one read of the first segment covers header and tail");
    cr_expect_eq(walk.opened, -EIO);
    cr_expect_eq(walk.finding.error, -EIO);
    cr_expect_not_null(strstr(walk.finding.text, "Input/output error"), "%s", walk.finding.text);
}

Test(reader_damage, a_disk_error_in_a_later_segment_ends_the_walk)
{
    /* Segment 2 cannot be opened, and then not be read. */
    hf_log_builder_close(&builder);
    hf_log_builder_open(&builder, 8 * MIB);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_fill(&builder, 0);
    hf_log_builder_filler(&builder, 4096);
    faulty.bad_offset = UINT64_MAX;
    faulty.open_error = -EACCES;
    struct hf_log_walk walk = walk_faulty();
    cr_expect_eq(walk.end, HF_READ_ERROR);
    cr_expect_eq(walk.finding.error, -EACCES);
    cr_expect_eq(walk.finding.segment, 2);
    cr_expect_eq(walk.blocks, blocks_before(2));

    faulty.open_error = 0;
    faulty.bad_offset = 5 * MIB;
    faulty.read_error = -EIO;
    walk = walk_faulty();
    cr_expect_eq(walk.end, HF_READ_ERROR);
    cr_expect_eq(walk.finding.error, -EIO);
    cr_expect_eq(walk.finding.segment, 1);
    cr_expect_gt(walk.blocks, 1);
}

Test(reader_damage, a_file_that_shrinks_while_it_is_read_is_corruption)
{
    /* The size was right when the segment was opened; then reads end early. */
    build_small(2);
    faulty.bad_offset = 65536;
    struct hf_log_walk walk = walk_faulty();
    cr_expect_eq(walk.end, HF_READ_CORRUPT);
    cr_expect_not_null(strstr(walk.finding.text, "the file ends at 65536"), "%s",
                       walk.finding.text);
}

Test(reader_damage, a_directory_that_cannot_be_listed_cannot_be_opened)
{
    /* No permission to list. */
    faulty.bad_offset = UINT64_MAX;
    faulty.list_error = -EACCES;
    struct hf_log_walk walk = walk_faulty();
    cr_expect_eq(walk.opened, -EACCES);
    cr_expect_not_null(strstr(walk.finding.text, builder.directory), "%s", walk.finding.text);
}

/* ---- every byte ------------------------------------------------------------------------- */

/* A log of which all but the last block are attested: two runs, records, an idle server. */
static void build_attested(void)
{
    build_small(2);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_reservation(&builder, 1, 1, 2, 2);
    hf_log_builder_reservation(&builder, 2, 1, 2, 3);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_block(&builder, HF_BLOCK_ATTEST);
}

/* What a flipped byte must come to: the whole log is never taken for sound, and no attested block
 * is ever cut. */
static void check_flip(uint64_t offset, const struct hf_log_walk *walk)
{
    uint32_t last = builder.block_count - 1;
    if (offset < builder.blocks[last].offset)
        cr_assert_eq(walk->end, HF_READ_CORRUPT, "byte %lu: end %d, %s", (unsigned long)offset,
                     (int)walk->end, walk->finding.text);
    else if (offset < builder.next.offset)
        cr_assert(walk->end == HF_READ_TORN && walk->blocks == last, "byte %lu: end %d, %s",
                  (unsigned long)offset, (int)walk->end, walk->finding.text);
    else
        cr_assert(walk->end == HF_READ_TORN && walk->blocks == builder.block_count,
                  "byte %lu: end %d, %s", (unsigned long)offset, (int)walk->end,
                  walk->finding.text);
}

/* The beginning of segment 1 in memory; all behind it is zero, as it is in the file. */
#define COPY_BYTES 65536
static uint8_t copy[COPY_BYTES];

static ssize_t copy_read_at(struct hf_io *io, int file, void *buffer, size_t bytes, uint64_t offset)
{
    (void)io;
    (void)file;
    size_t copied = offset < COPY_BYTES ? (size_t)(COPY_BYTES - offset) : 0;
    copied = copied < bytes ? copied : bytes;
    if (copied != 0)
        memcpy(buffer, copy + offset, copied);
    memset((uint8_t *)buffer + copied, 0, bytes - copied);
    return (ssize_t)bytes;
}

/* Every byte that says something, and of what only has to be zero the edges and every 37th. (Each
 * flip of such a byte is looked at in test_block.c and test_segment_header.c, where it is cheap.)
 */
static bool worth_flipping(uint64_t offset)
{
    uint64_t used = offset < 4096 ? 64 : 3 * 128;
    uint64_t at = offset % 4096;
    return at < used + 8 || at >= 4096 - 16 || at % 37 == 0;
}

Test(reader_damage, every_flipped_byte_is_found_or_cut_from_the_unattested_end)
{
    /* Bytes of the segment's header, of all blocks and of the zeros behind, inverted one by one. */
    build_attested();
    cr_assert_lt(builder.next.offset + 4096, COPY_BYTES);
    hf_log_builder_peek(&builder, 1, 0, copy, sizeof(copy));
    struct hf_io io = *hf_io_posix();
    io.read_at = copy_read_at;
    for (uint64_t offset = 0; offset < builder.next.offset + 4096; offset++) {
        if (!worth_flipping(offset))
            continue;
        copy[offset] ^= 0xff;
        struct hf_log_walk walk = hf_log_builder_walk(&builder, &io);
        copy[offset] ^= 0xff;
        check_flip(offset, &walk);
    }
    struct hf_log_walk walk = hf_log_builder_walk(&builder, &io);
    cr_expect_eq(walk.end, HF_READ_END);
}

static uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ull;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* One random piece of damage somewhere in the first `bytes` of the segment. */
static void damage_at_random(uint64_t *state, uint64_t bytes)
{
    uint64_t from = random_next(state) % bytes, to = random_next(state) % bytes;
    size_t count = 1 + random_next(state) % 5000;
    static uint8_t piece[5000];
    switch (random_next(state) % 3) {
    case 0:
        hf_log_builder_flip(&builder, 1, from, (uint8_t)(1u << random_next(state) % 8));
        break;
    case 1:
        hf_log_builder_zero(&builder, 1, from, count);
        break;
    default: /* a misdirected write; of whole pages as a rule */
        if (random_next(state) % 4 != 0) {
            from &= ~4095ull;
            to &= ~4095ull;
            count = 4096;
        }
        hf_log_builder_peek(&builder, 1, from, piece, count);
        hf_log_builder_poke(&builder, 1, to, piece, count);
    }
}

Test(reader_damage, no_random_damage_changes_what_is_read)
{
    /* Up to four random flips, zeroed pieces and misdirected copies at a time. The walk itself
     * checks that what it reads is a beginning of what was written; attested blocks are either
     * read or missed loudly. HOLDFAST_SEED repeats a run. */
    build_attested();
    const char *given = getenv("HOLDFAST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : hf_date_now_ns();
    uint64_t state = seed;
    uint64_t bytes = builder.next.offset + 8192;
    uint8_t *good = malloc(bytes + 8192);
    cr_assert_not_null(good);
    hf_log_builder_peek(&builder, 1, 0, good, bytes + 8192);
    for (int round = 0; round < 1000; round++) {
        for (uint64_t i = 1 + random_next(&state) % 4; i > 0; i--)
            damage_at_random(&state, bytes);
        struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
        hf_log_builder_poke(&builder, 1, 0, good, bytes + 8192);
        bool sound = walk.end == HF_READ_END || walk.end == HF_READ_TORN;
        bool loud = walk.end == HF_READ_CORRUPT;
        cr_assert(loud || (sound && walk.opened == 0), "seed %lu round %d", (unsigned long)seed,
                  round);
        if (walk.end == HF_READ_END && walk.blocks < builder.block_count)
            cr_assert_lt(walk.finding.offset, builder.next.offset);
    }
    free(good);
}
