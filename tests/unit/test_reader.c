/*
 * The reader on sound logs and on torn ones: what it reads, and where it says that the log ends and
 * why. Damage is in test_reader_damage.c.
 *
 * Every log here is a real directory. What was in flight at a crash is built by freezing what the
 * blocks attest (builder.commits = false) and then damaging some of them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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
TestSuite(reader, .init = open_builder, .fini = close_builder);

static void rebuild(uint64_t segment_bytes)
{
    hf_log_builder_close(&builder);
    hf_log_builder_open(&builder, segment_bytes);
}

/* START, then `count` blocks of one inventory each, at 4096 * (2 + i). */
static void build_small(uint32_t count)
{
    hf_log_builder_block(&builder, HF_BLOCK_START);
    for (uint32_t i = 0; i < count; i++) {
        hf_log_builder_inventory(&builder, 1 + i, 500);
        hf_log_builder_block(&builder, 0);
    }
}

static void expect_end(const struct hf_log_walk *walk, enum hf_read end, uint32_t blocks,
                       uint64_t segment, uint64_t offset)
{
    cr_expect_eq(walk->opened, 0);
    cr_expect_eq(walk->end, end, "end %d: %s", (int)walk->end, walk->finding.text);
    cr_expect_eq(walk->blocks, blocks, "%u blocks: %s", walk->blocks, walk->finding.text);
    cr_expect_eq(walk->finding.segment, segment, "%s", walk->finding.text);
    cr_expect_eq(walk->finding.offset, offset, "%s", walk->finding.text);
    if (walk->end != HF_READ_TORN)
        cr_expect_eq(walk->finding.cut_bytes, 0);
}

static void expect_torn(const struct hf_log_walk *walk, uint32_t blocks, uint64_t cut_bytes,
                        uint64_t cut_blocks)
{
    const struct hf_block *last = &builder.blocks[blocks - 1];
    expect_end(walk, HF_READ_TORN, blocks, last->segment, last->offset + last->block_bytes);
    cr_expect_eq(walk->finding.cut_bytes, cut_bytes, "%s", walk->finding.text);
    cr_expect_eq(walk->finding.cut_blocks, cut_blocks, "%s", walk->finding.text);
}

/* ---- sound logs ------------------------------------------------------------------------- */

Test(reader, a_directory_without_segments_is_an_empty_log)
{
    /* Only what lies beside a log: a lock, a leftover of preparing. */
    char path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES];
    hf_log_builder_segment_path(&builder, 1, path, sizeof(path));
    cr_assert_eq(unlink(path), 0);
    static const char *const names[] = {"lock", "0000000000000001.wal.tmp", "notes.txt"};
    for (size_t i = 0; i < 3; i++) {
        hf_log_builder_path(&builder, names[i], path, sizeof(path));
        close(open(path, O_CREAT | O_WRONLY, 0640));
    }
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_END, 0, 0, 0);

    struct hf_reader *reader;
    cr_assert_eq(
        hf_reader_open(hf_io_posix(), builder.directory, false, NULL, &reader, &walk.finding), 0);
    cr_expect_eq(hf_reader_files(reader)->first_segment, 0);
    cr_expect_eq(hf_reader_files(reader)->last_segment, 0);
    cr_expect_eq(hf_reader_bytes_total(reader), 0);
    hf_reader_close(reader);
}

Test(reader, a_directory_that_is_not_there_cannot_be_opened)
{
    /* A path that names nothing. */
    struct hf_reader *reader;
    struct hf_finding finding;
    cr_expect_eq(hf_reader_open(hf_io_posix(), "/nowhere/at/all", false, NULL, &reader, &finding),
                 -ENOENT);
    cr_expect_null(reader);
    cr_expect_not_null(strstr(finding.text, "/nowhere/at/all"), "%s", finding.text);
}

Test(reader, a_prepared_segment_is_a_log_without_blocks)
{
    /* A server that was killed before its first block. */
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_END, 0, 1, 4096);
}

Test(reader, what_the_files_are_is_known_before_they_are_read)
{
    /* Three segments of 2 MiB. */
    rebuild(2 * MIB);
    hf_log_builder_prepare(&builder, 3);
    struct hf_reader *reader;
    struct hf_finding finding;
    cr_assert_eq(hf_reader_open(hf_io_posix(), builder.directory, true, NULL, &reader, &finding),
                 0);
    const struct hf_log_files *files = hf_reader_files(reader);
    cr_expect_arr_eq(files->log_id, builder.next.log_id, 16);
    cr_expect_eq(files->first_segment, 1);
    cr_expect_eq(files->last_segment, 3);
    cr_expect_eq(files->segment_bytes, 2 * MIB);
    cr_expect_eq(files->created_at_ns, HF_BUILDER_MADE_AT);
    hf_reader_close(reader);
}

Test(reader, blocks_of_all_sizes_are_read_in_order)
{
    /* Several runs with blocks from empty to 1 MiB, over segments of 8 MiB: blocks that cross the
     * reader's buffer at every kind of place. */
    rebuild(8 * MIB);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    for (uint32_t i = 0; i < 120; i++) {
        uint64_t room = builder.segment_bytes - builder.next.offset;
        uint32_t bytes = 4096 * (1 + i * 37 % 256);
        if (room != 0 && bytes > room)
            bytes = (uint32_t)room;
        hf_log_builder_filler(&builder, bytes);
        if (i % 10 == 0)
            hf_log_builder_block(&builder, i % 20 == 0 ? HF_BLOCK_ATTEST : HF_BLOCK_START);
    }
    hf_log_builder_block(&builder, HF_BLOCK_STOP);
    cr_assert_gt(builder.last_segment, 3);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_END, builder.block_count, builder.next.segment, builder.next.offset);
}

/* A disk whose calls are noted. */
static struct {
    struct hf_io io;
    sem_t second_piece; /* posted by the read of it */
    bool reads_itself;  /* all reads so far were made by the thread that opened it */
    pthread_t owner;
    uint32_t opens, closes;
    uint64_t pause_ns;       /* of a read of the second piece */
    _Atomic int file_in_use; /* by a read; -1: none */
    bool closed_in_use;
} noted;

static int noted_open_file(struct hf_io *io, const char *path, const char *name,
                           enum hf_io_open_mode mode)
{
    noted.opens++;
    return hf_io_posix()->open_file(io, path, name, mode);
}

static int noted_close_file(struct hf_io *io, int file)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    noted.closes++;
    if (noted.pause_ns != 0) /* let it begin, if it is going to */
        sem_timedwait(&noted.second_piece, &until);
    noted.closed_in_use = noted.closed_in_use || atomic_load(&noted.file_in_use) == file;
    return hf_io_posix()->close_file(io, file);
}

static ssize_t noted_read_at(struct hf_io *io, int file, void *buffer, size_t bytes,
                             uint64_t offset)
{
    const struct timespec pause = {.tv_nsec = (long)noted.pause_ns};
    noted.reads_itself = noted.reads_itself && pthread_equal(noted.owner, pthread_self());
    if (offset == 4 * MIB) {
        atomic_store(&noted.file_in_use, file);
        sem_post(&noted.second_piece);
        nanosleep(&pause, NULL);
    }
    ssize_t count = hf_io_posix()->read_at(io, file, buffer, bytes, offset);
    atomic_store(&noted.file_in_use, -1);
    return count;
}

static void open_noted(bool concurrent)
{
    noted.io = *hf_io_posix();
    noted.io.concurrent = concurrent;
    noted.io.open_file = noted_open_file;
    noted.io.close_file = noted_close_file;
    noted.io.read_at = noted_read_at;
    noted.reads_itself = true;
    noted.owner = pthread_self();
    noted.opens = noted.closes = 0;
    noted.pause_ns = 0;
    noted.closed_in_use = false;
    atomic_store(&noted.file_in_use, -1);
    sem_init(&noted.second_piece, 0, 0);
}

Test(reader, what_comes_next_is_read_while_the_caller_is_busy)
{
    /* A segment of 8 MiB, of which one block was taken. */
    rebuild(8 * MIB);
    build_small(5);
    open_noted(true);
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    cr_assert_eq(hf_reader_open(&noted.io, builder.directory, false, NULL, &reader, &finding), 0);
    cr_assert_eq(hf_reader_next(reader, &view), HF_READ_BLOCK);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    cr_expect_eq(sem_timedwait(&noted.second_piece, &until), 0);
    hf_reader_close(reader);
}

Test(reader, a_disk_for_one_thread_is_read_by_that_thread_alone)
{
    /* Blocks of all sizes over segments of 9 MiB. */
    rebuild(9 * MIB);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    for (uint32_t i = 0; i < 60; i++) {
        uint64_t room = builder.segment_bytes - builder.next.offset;
        uint64_t bytes = 4096ull * (1 + i * 37 % 256);
        hf_log_builder_filler(&builder, (uint32_t)(room != 0 && bytes > room ? room : bytes));
    }
    cr_assert_gt(builder.last_segment, 2);
    open_noted(false);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, &noted.io);
    expect_end(&walk, HF_READ_END, builder.block_count, builder.next.segment, builder.next.offset);
    cr_expect(noted.reads_itself);
}

Test(reader, each_segment_is_opened_once_and_closed)
{
    /* Two segments of one piece each: read to the end, and left while the second is read ahead. */
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_fill(&builder, 0);
    hf_log_builder_filler(&builder, 8192);
    open_noted(true);
    hf_log_builder_walk(&builder, &noted.io);
    cr_expect_eq(noted.opens, 2);
    cr_expect_eq(noted.closes, 2);
    open_noted(true);
    cr_assert_eq(hf_reader_open(&noted.io, builder.directory, false, NULL, &reader, &finding), 0);
    cr_assert_eq(hf_reader_next(reader, &view), HF_READ_BLOCK);
    hf_reader_close(reader);
    cr_expect_eq(noted.opens, 2);
    cr_expect_eq(noted.closes, 2);
}

Test(reader, no_file_is_closed_while_it_is_read)
{
    /* A block that does not continue the log is looked at twice, while the piece behind it is read,
     * which takes its time. */
    rebuild(8 * MIB);
    build_small(5);
    hf_log_builder_forge(&builder, &builder.blocks[3], 40, 77, 8);
    open_noted(true);
    noted.pause_ns = 50000000;
    struct hf_log_walk walk = hf_log_builder_walk(&builder, &noted.io);
    expect_end(&walk, HF_READ_CORRUPT, 3, 1, builder.blocks[3].offset);
    cr_expect_not(noted.closed_in_use);
}

Test(reader, direct_reads_see_the_same)
{
    /* A log over two segments, read past the page cache. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_fill(&builder, 0);
    hf_log_builder_filler(&builder, 8192);
    struct hf_reader *reader;
    struct hf_finding finding;
    cr_assert_eq(hf_reader_open(hf_io_posix(), builder.directory, true, NULL, &reader, &finding),
                 0);
    struct hf_block_view view;
    uint32_t blocks = 0;
    while (hf_reader_next(reader, &view) == HF_READ_BLOCK)
        cr_expect_eq(view.header.header_hash, builder.blocks[blocks++].header_hash);
    cr_expect_eq(blocks, builder.block_count);
    hf_reader_close(reader);
}

Test(reader, a_full_last_segment_ends_the_log_at_its_size)
{
    /* Filled to the last byte, first without and then with the next segment prepared. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_fill(&builder, 0);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_END, builder.block_count, 1, MIB);
    hf_log_builder_prepare(&builder, 2);
    walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_END, builder.block_count, 2, 4096);
}

/* ---- torn tails ------------------------------------------------------------------------- */

Test(reader, a_torn_last_block_is_cut_wherever_it_is_torn)
{
    /* The last block changed in its header, its records and its padding, one at a time. */
    build_small(3);
    static const uint32_t places[] = {0, 1, 9, 47, 119, 127, 128, 135, 200, 255, 256, 4095};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        uint64_t at = builder.blocks[3].offset + places[i];
        hf_log_builder_flip(&builder, 1, at, 0x10);
        struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
        expect_torn(&walk, 3, 4096, 0);
        hf_log_builder_flip(&builder, 1, at, 0x10);
    }
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_END, 4, 1, builder.next.offset);
}

Test(reader, a_block_of_which_only_the_beginning_was_written_is_cut)
{
    /* 64 KiB of records, of which the last 40 KiB are still zero. */
    build_small(1);
    uint32_t number = hf_log_builder_filler(&builder, 65536);
    hf_log_builder_zero(&builder, 1, builder.blocks[number].offset + 24576, 40960);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_torn(&walk, number, 24576, 0);
}

Test(reader, a_block_of_which_only_the_end_was_written_is_cut)
{
    /* The same, but the header is what is missing. */
    build_small(1);
    uint32_t number = hf_log_builder_filler(&builder, 65536);
    hf_log_builder_zero(&builder, 1, builder.blocks[number].offset, 512);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_torn(&walk, number, 65536, 0);
    cr_expect_not_null(strstr(walk.finding.text, "found zeros"), "%s", walk.finding.text);
}

Test(reader, blocks_behind_a_torn_one_are_cut_with_it)
{
    /* Four blocks in flight, none attesting another; the first of them torn, then missing. */
    build_small(2);
    builder.commits = false;
    for (int i = 0; i < 4; i++)
        hf_log_builder_filler(&builder, 8192);
    hf_log_builder_flip(&builder, 1, builder.blocks[3].offset + 500, 1);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_torn(&walk, 3, 32768, 3);
    hf_log_builder_zero(&builder, 1, builder.blocks[3].offset, 8192);
    walk = hf_log_builder_walk(&builder, NULL);
    expect_torn(&walk, 3, 32768, 3);
    hf_log_builder_flip(&builder, 1, builder.blocks[5].offset + 5000, 1);
    walk = hf_log_builder_walk(&builder, NULL);
    expect_torn(&walk, 3, 32768, 2);
}

Test(reader, a_torn_block_in_the_middle_that_is_attested_is_corruption)
{
    /* The same place, but the last block in flight attests the one before the damage (a cut), and
     * then the damaged one. */
    for (int attested = 0; attested <= 1; attested++) {
        rebuild(MIB);
        build_small(2);
        builder.commits = false;
        hf_log_builder_filler(&builder, 8192); /* number 3, sequence 4 */
        hf_log_builder_filler(&builder, 8192);
        builder.next.commit_sequence = attested ? 4 : 3;
        hf_log_builder_filler(&builder, 8192);
        hf_log_builder_flip(&builder, 1, builder.blocks[3].offset + 500, 1);
        struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
        if (attested) {
            expect_end(&walk, HF_READ_CORRUPT, 3, 1, builder.blocks[3].offset);
            cr_expect_not_null(strstr(walk.finding.text, "block 6 attests"), "%s",
                               walk.finding.text);
        } else {
            expect_torn(&walk, 3, 24576, 2);
        }
    }
}

Test(reader, an_attesting_header_counts_even_if_its_block_is_torn)
{
    /* A good header says that the damaged block was durable; that its own records are torn does
     * not make it less true. */
    build_small(2);
    hf_log_builder_filler(&builder, 8192);
    hf_log_builder_filler(&builder, 8192);
    hf_log_builder_flip(&builder, 1, builder.blocks[3].offset + 500, 1);
    hf_log_builder_flip(&builder, 1, builder.blocks[4].offset + 5000, 1);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_CORRUPT, 3, 1, builder.blocks[3].offset);
}

Test(reader, a_zeroed_block_that_is_attested_is_corruption)
{
    /* A write that the disk acknowledged and lost: zeros, with good blocks behind. */
    build_small(5);
    hf_log_builder_zero(&builder, 1, builder.blocks[2].offset, 4096);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_CORRUPT, 2, 1, builder.blocks[2].offset);
    cr_expect_not_null(strstr(walk.finding.text, "0000000000000001.wal at 12288: expected block 3"),
                       "%s", walk.finding.text);
    cr_expect_not_null(strstr(walk.finding.text, "found zeros"), "%s", walk.finding.text);
}

Test(reader, an_empty_block_attests_too)
{
    /* The newest record's block is damaged; the ATTEST block that an idle server wrote makes it
     * corruption, a START block of the next run does as well. */
    static const uint16_t flags[] = {HF_BLOCK_ATTEST, HF_BLOCK_START, HF_BLOCK_STOP};
    for (size_t i = 0; i < 3; i++) {
        rebuild(MIB);
        build_small(2);
        hf_log_builder_block(&builder, flags[i]);
        hf_log_builder_flip(&builder, 1, builder.blocks[2].offset + 130, 1);
        struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
        expect_end(&walk, HF_READ_CORRUPT, 2, 1, builder.blocks[2].offset);
    }
}

Test(reader, bytes_that_are_no_block_are_a_torn_tail_only_within_the_window)
{
    /* One byte behind the log's end: just within the 8 MiB that can have been in flight, and just
     * beyond. */
    rebuild(16 * MIB);
    build_small(2);
    uint64_t end = builder.next.offset;
    static const uint8_t byte = 1;
    hf_log_builder_poke(&builder, 1, end + 8 * MIB - 1, &byte, 1);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_torn(&walk, 3, 8 * MIB, 0);
    hf_log_builder_poke(&builder, 1, end + 8 * MIB, &byte, 1);
    walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_CORRUPT, 3, 1, end);
    cr_expect_not_null(strstr(walk.finding.text, "in flight"), "%s", walk.finding.text);
    hf_log_builder_zero(&builder, 1, end + 8 * MIB - 1, 1);
    walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_CORRUPT, 3, 1, end);
}

Test(reader, the_window_counts_blocks_across_segments_and_no_headers)
{
    /* Segments of 1 MiB have 1044480 bytes for blocks. The log ends 4096 bytes before the end of
     * the first, so the window's 8 MiB end in segment 10, 36864 bytes behind its header. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_fill(&builder, 4096);
    uint32_t blocks = builder.block_count;
    hf_log_builder_prepare(&builder, 11);
    uint64_t offset = 4096 + (8 * MIB - 4096 - 8 * (MIB - 4096));
    cr_assert_eq(offset, 4096 + 28672);
    static const uint8_t byte = 1;
    hf_log_builder_poke(&builder, 10, offset - 1, &byte, 1);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_torn(&walk, blocks, 8 * MIB, 0);
    hf_log_builder_poke(&builder, 10, offset, &byte, 1);
    walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_CORRUPT, blocks, 1, MIB - 4096);
}

Test(reader, eight_largest_blocks_in_flight_are_within_the_window)
{
    /* As much as can be in flight at once, the first of it missing. */
    rebuild(16 * MIB);
    build_small(1);
    builder.commits = false;
    for (int i = 0; i < HF_MAX_INFLIGHT; i++)
        hf_log_builder_filler(&builder, HF_MAX_BLOCK_BYTES);
    hf_log_builder_zero(&builder, 1, builder.blocks[2].offset, 4096);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_torn(&walk, 2, 8 * MIB, 7);
}

Test(reader, a_torn_block_at_the_end_of_a_segment_is_judged_by_the_next)
{
    /* In flight across the border: the last block of segment 1 torn, two whole ones in segment 2.
     * Cut if none of them attests it; corruption if one does. */
    for (int attested = 0; attested <= 1; attested++) {
        rebuild(MIB);
        hf_log_builder_block(&builder, HF_BLOCK_START);
        hf_log_builder_fill(&builder, 8192);
        builder.commits = false;
        uint32_t torn = hf_log_builder_filler(&builder, 8192);
        hf_log_builder_filler(&builder, 4096);
        if (attested)
            builder.next.commit_sequence = builder.blocks[torn].sequence;
        hf_log_builder_filler(&builder, 4096);
        cr_assert_eq(builder.last_segment, 2);
        hf_log_builder_flip(&builder, 1, builder.blocks[torn].offset + 6000, 4);
        struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
        if (attested)
            expect_end(&walk, HF_READ_CORRUPT, torn, 1, MIB - 8192);
        else
            expect_torn(&walk, torn, 16384, 2);
    }
}

Test(reader, a_tail_that_is_torn_at_the_head_of_a_segment_is_cut_there)
{
    /* Segment 1 is full; the first block of segment 2 is torn, the second is missing. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_fill(&builder, 0);
    builder.commits = false;
    uint32_t torn = hf_log_builder_filler(&builder, 8192);
    hf_log_builder_flip(&builder, 2, 4096 + 5000, 4);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_TORN, torn, 2, 4096);
    cr_expect_eq(walk.finding.cut_bytes, 8192);
}

Test(reader, a_torn_first_block_is_an_empty_log_with_a_torn_tail)
{
    /* A server that was killed while it wrote its very first block. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_flip(&builder, 1, 4096 + 60, 1);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_TORN, 0, 1, 4096);
    cr_expect_eq(walk.finding.cut_bytes, 4096);
}

Test(reader, a_zeroed_tail_goes_on_with_a_new_epoch)
{
    /* What a server does after a crash: everything from the torn block on is made zero, and the
     * next epoch begins there. */
    build_small(2);
    builder.commits = false;
    hf_log_builder_filler(&builder, 8192);
    struct hf_block before = builder.next;
    hf_log_builder_filler(&builder, 4096);
    hf_log_builder_zero(&builder, 1, before.offset, 4096);
    builder.block_count--;
    builder.next = before;
    builder.commits = true;
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_filler(&builder, 4096);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, NULL);
    expect_end(&walk, HF_READ_END, 6, 1, builder.next.offset);
}

/* ---- beside a live server --------------------------------------------------------------- */

/* A disk that is written while it is read: the first `hidden_reads` reads that reach `from` find
 * zeros from there to `to`, later ones what is in the file. */
static struct {
    struct hf_io io;
    uint64_t from, to;
    int hidden_reads;
} live;

static ssize_t live_read_at(struct hf_io *io, int file, void *buffer, size_t bytes, uint64_t offset)
{
    ssize_t count = hf_io_posix()->read_at(io, file, buffer, bytes, offset);
    if (count > 0 && live.hidden_reads > 0 && offset <= live.from && live.from < offset + bytes) {
        uint64_t to = live.to < offset + bytes ? live.to : offset + bytes;
        memset((uint8_t *)buffer + (live.from - offset), 0, to - live.from);
        live.hidden_reads--;
    }
    return count;
}

static void make_live(uint64_t from, uint64_t to, int hidden_reads)
{
    live.io = *hf_io_posix();
    live.io.read_at = live_read_at;
    live.from = from;
    live.to = to;
    live.hidden_reads = hidden_reads;
}

Test(reader, a_block_that_arrives_while_the_tail_is_looked_at_is_read)
{
    /* Block 3 is not there at first, but later blocks attest it: not damage, only a race. */
    build_small(5);
    make_live(builder.blocks[2].offset, builder.blocks[3].offset, 1);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, &live.io);
    expect_end(&walk, HF_READ_END, 6, 1, builder.next.offset);
    cr_expect_eq(walk.growths, 1);
}

Test(reader, a_block_that_never_arrives_is_damage_after_the_second_look)
{
    /* The same place, and it stays empty. */
    build_small(5);
    make_live(builder.blocks[2].offset, builder.blocks[3].offset, 1000);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, &live.io);
    expect_end(&walk, HF_READ_CORRUPT, 2, 1, builder.blocks[2].offset);
    cr_expect_eq(walk.growths, 0);
}

Test(reader, what_was_read_ahead_too_early_is_read_again)
{
    /* A block in the second piece of its segment that was not there yet when that was read ahead,
     * with blocks behind it in the next segment, read ahead as well. */
    rebuild(6 * MIB);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_fill(&builder, 2 * MIB - 8192);
    uint32_t block = hf_log_builder_filler(&builder, 8192);
    hf_log_builder_fill(&builder, 0);
    hf_log_builder_filler(&builder, 4096);
    make_live(builder.blocks[block].offset, builder.blocks[block + 1].offset, 1);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, &live.io);
    expect_end(&walk, HF_READ_END, builder.block_count, 2, builder.next.offset);
    cr_expect_eq(walk.growths, 1);
}

Test(reader, a_log_that_grows_across_a_segment_is_followed)
{
    /* The last block of segment 1 is seen only at second look, after segment 2 was looked at. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_fill(&builder, 4096);
    hf_log_builder_filler(&builder, 4096);
    hf_log_builder_filler(&builder, 4096);
    make_live(MIB - 4096, MIB, 1);
    struct hf_log_walk walk = hf_log_builder_walk(&builder, &live.io);
    expect_end(&walk, HF_READ_END, builder.block_count, 2, 8192);
    cr_expect_eq(walk.growths, 1);
}
