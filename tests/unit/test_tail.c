/*
 * The tail: the newest records in memory, logs that stand still and were built, and logs that are
 * being written while they are read.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tests/lib/live_log.h"
#include "tests/lib/log_builder.h"
#include "wal/io.h"
#include "wal/recent.h"
#include "wal/segment_header.h"
#include "wal/tail.h"

#define MIB  1048576ull
#define ROOM 511u

static uint8_t room[ROOM * HF_RECORD_BYTES];

/* ---- the newest records in memory ---- */

static void fill(uint8_t *records, uint64_t first_lsn, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *record = records + (size_t)i * HF_RECORD_BYTES;
        memset(record, (int)((first_lsn + i) & 0xff), HF_RECORD_BYTES);
        hf_put_u64(record, first_lsn + i);
    }
}

static void keep(struct hf_recent *recent, uint64_t first_lsn, uint32_t count)
{
    static uint8_t records[64 * HF_RECORD_BYTES];
    cr_assert_leq(count, 64);
    fill(records, first_lsn, count);
    hf_recent_append(recent, first_lsn, records, count);
}

/* Expects that `count` records are there from `lsn` on, and whole. */
static void expect_kept(const struct hf_recent *recent, uint64_t lsn, uint32_t count)
{
    uint8_t expected[HF_RECORD_BYTES];
    memset(room, 0xee, sizeof room);
    cr_assert_eq(hf_recent_copy(recent, lsn, room, ROOM), count, "from LSN %llu on",
                 (unsigned long long)lsn);
    cr_expect_eq(hf_recent_holds(recent, lsn), count != 0);
    for (uint32_t i = 0; i < count; i++) {
        fill(expected, lsn + i, 1);
        cr_expect_arr_eq(room + (size_t)i * HF_RECORD_BYTES, expected, HF_RECORD_BYTES);
    }
    cr_expect_eq(room[(size_t)count * HF_RECORD_BYTES], 0xee, "nothing behind them");
}

Test(recent, keeps_nothing_while_nobody_follows)
{
    struct hf_recent recent;
    cr_assert_eq(hf_recent_init(&recent, 16), 0);
    keep(&recent, 1, 5);
    expect_kept(&recent, 1, 0);
    hf_recent_follow(&recent);
    keep(&recent, 6, 3);
    expect_kept(&recent, 5, 0);
    expect_kept(&recent, 6, 3);
    hf_recent_close(&recent);
}

Test(recent, keeps_as_many_as_it_has_slots)
{
    struct hf_recent recent;
    cr_assert_eq(hf_recent_init(&recent, 16), 0);
    hf_recent_follow(&recent);
    keep(&recent, 100, 10);
    keep(&recent, 110, 5);
    expect_kept(&recent, 99, 0);
    expect_kept(&recent, 100, 15);
    expect_kept(&recent, 107, 8);
    keep(&recent, 115, 1);
    expect_kept(&recent, 100, 16);
    keep(&recent, 116, 3);
    expect_kept(&recent, 102, 0);
    expect_kept(&recent, 103, 16);
    expect_kept(&recent, 118, 1);
    expect_kept(&recent, 119, 0);
    keep(&recent, 119, 16);
    expect_kept(&recent, 119, 16);
    cr_expect_eq(hf_recent_copy(&recent, 120, room, 3), 3, "no more than asked for");
    hf_recent_close(&recent);
}

/* Nobody follows for a while: what was there before is not continued by what comes after. */
Test(recent, begins_anew_after_a_gap)
{
    struct hf_recent recent;
    cr_assert_eq(hf_recent_init(&recent, 16), 0);
    hf_recent_follow(&recent);
    keep(&recent, 1, 4);
    hf_recent_unfollow(&recent);
    keep(&recent, 5, 2);
    expect_kept(&recent, 1, 4);
    hf_recent_follow(&recent);
    keep(&recent, 7, 2);
    expect_kept(&recent, 1, 0);
    expect_kept(&recent, 6, 0);
    expect_kept(&recent, 7, 2);
    hf_recent_close(&recent);
}

/* ---- logs that stand still ---- */

static struct hf_log_builder builder;
static struct hf_io counting_io; /* the real one, but for its reads */
static uint64_t reads, read_bytes;

static ssize_t count_read(struct hf_io *io, int file, void *buffer, size_t bytes, uint64_t offset)
{
    (void)io;
    reads++;
    read_bytes += bytes;
    return hf_io_posix()->read_at(hf_io_posix(), file, buffer, bytes, offset);
}

static void open_builder(void)
{
    hf_log_builder_open(&builder, MIB);
    counting_io = *hf_io_posix();
    counting_io.read_at = count_read;
    reads = read_bytes = 0;
}

static void close_builder(void)
{
    hf_log_builder_close(&builder);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(tail, .init = open_builder, .fini = close_builder, .timeout = 60);

static void rebuild(uint64_t segment_bytes)
{
    hf_log_builder_close(&builder);
    hf_log_builder_open(&builder, segment_bytes);
}

static struct hf_tail_reader *open_reader(void)
{
    struct hf_tail_log log = {
        .io = &counting_io,
        .directory = builder.directory,
        .segment_bytes = builder.segment_bytes,
    };
    memcpy(log.log_id, builder.next.log_id, sizeof log.log_id);
    struct hf_tail_reader *reader;
    cr_assert_eq(hf_tail_reader_open(&reader, &log), 0);
    return reader;
}

/* Records of one block: inventories. Returns the LSN of the first. */
static uint64_t build(uint32_t count, uint16_t flags)
{
    uint64_t first_lsn = builder.next.first_lsn;
    for (uint32_t i = 0; i < count; i++)
        hf_log_builder_inventory(&builder, 5000 + first_lsn + i, 10);
    hf_log_builder_block(&builder, flags);
    return first_lsn;
}

/* A record that build() made. */
static void expect_built(const uint8_t *record, uint64_t lsn)
{
    cr_assert_eq(hf_get_u64(record), lsn);
    cr_assert_eq(hf_get_u64(record + 16), 5000 + lsn, "the record of LSN %llu",
                 (unsigned long long)lsn);
}

static enum hf_tail_read next(struct hf_tail *tail, struct hf_tail_reader *reader, uint64_t limit,
                              uint32_t room_records, uint32_t *count)
{
    struct hf_tail_span span;
    enum hf_tail_read read;
    for (int steps = 0;
         (read = hf_tail_next(tail, reader, limit, room, room_records, &span)) == HF_TAIL_AGAIN;
         steps++)
        cr_assert_lt(steps, 10000);
    *count = read == HF_TAIL_RECORDS ? span.count : 0;
    return read;
}

/* Reads from the tail's place up to `limit`, and that it is what was built. */
static void expect_rest(struct hf_tail *tail, struct hf_tail_reader *reader, uint64_t limit,
                        uint32_t room_records)
{
    uint64_t lsn = tail->next_lsn;
    uint32_t count;
    enum hf_tail_read read;
    while ((read = next(tail, reader, limit, room_records, &count)) == HF_TAIL_RECORDS) {
        cr_assert(count > 0 && count <= room_records);
        for (uint32_t i = 0; i < count; i++)
            expect_built(room + (size_t)i * HF_RECORD_BYTES, lsn++);
        cr_assert_eq(tail->next_lsn, lsn);
    }
    cr_assert_eq(read, HF_TAIL_END, "%d: %s", (int)read, hf_tail_reader_text(reader));
    cr_assert_eq(lsn, limit + 1);
}

/* Blocks of all sizes, some without a record, over several segments. */
static uint64_t build_mixed(void)
{
    static const uint32_t sizes[] = {1, 30, 31, 32, 500, 3, 2000, 1, 0, 4000, 7};
    build(0, HF_BLOCK_START);
    for (uint32_t i = 0; i < 44; i++) {
        uint32_t count = sizes[i % 11];
        uint64_t left = MIB - builder.next.offset;
        if (left < hf_block_bytes(count) && left != 0)
            count = (uint32_t)(left / HF_RECORD_BYTES) - 1; /* as the flusher cuts it */
        build(count, count == 0 ? HF_BLOCK_ATTEST : 0);
    }
    hf_log_builder_prepare(&builder, builder.last_segment + 1);
    cr_assert_geq(builder.last_segment, 4);
    return builder.next.first_lsn - 1;
}

/* The log's first record to its last, by small pieces and by large ones. */
Test(tail, reads_all_records_in_order)
{
    uint64_t last = build_mixed();
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail tail = {.next_lsn = 1};
    expect_rest(&tail, reader, last, ROOM);
    hf_tail_seek(&tail, 1);
    expect_rest(&tail, reader, last, HF_MAX_CHAIN_RECORDS);
    hf_tail_reader_close(reader);
}

/* Each LSN is found by itself, the first and last of each block and segment among them. */
Test(tail, begins_at_any_lsn)
{
    uint64_t last = build_mixed();
    struct hf_tail_reader *reader = open_reader();
    uint32_t count;
    for (uint32_t i = 0; i < builder.block_count; i++) {
        const struct hf_block *block = &builder.blocks[i];
        uint64_t end = block->first_lsn + block->record_count;
        uint64_t lsns[] = {block->first_lsn, block->first_lsn + block->record_count / 2, end - 1};
        for (int j = 0; j < 3 && block->record_count != 0; j++) {
            struct hf_tail tail = {.next_lsn = lsns[j]};
            cr_assert_eq(next(&tail, reader, last, ROOM, &count), HF_TAIL_RECORDS);
            expect_built(room, lsns[j]);
        }
    }
    struct hf_tail tail = {.next_lsn = last - 3};
    expect_rest(&tail, reader, last, ROOM);
    hf_tail_reader_close(reader);
}

/* The limit stands in the middle of a block, at its end, and moves. */
Test(tail, never_reads_beyond_the_limit)
{
    build(0, HF_BLOCK_START);
    build(100, 0);
    build(100, 0);
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail tail = {.next_lsn = 1};
    uint32_t count;
    cr_expect_eq(next(&tail, reader, 0, ROOM, &count), HF_TAIL_END);
    static const uint64_t limits[] = {1, 2, 70, 99, 100, 101, 150, 200};
    for (int i = 0; i < 8; i++)
        expect_rest(&tail, reader, limits[i], ROOM);
    tail = (struct hf_tail){.next_lsn = 201};
    cr_expect_eq(next(&tail, reader, 200, ROOM, &count), HF_TAIL_END);
    tail = (struct hf_tail){.next_lsn = 1};
    struct hf_tail_span span;
    cr_expect_eq(hf_tail_look(&tail, reader, 42, room, ROOM, &span), HF_TAIL_RECORDS);
    cr_expect_eq(span.count, 42);
    cr_expect(span.from_files);
    hf_tail_reader_close(reader);
}

/* The buffer was filled when nothing stood behind the limit yet; then the log goes on there, and
 * again after half a block was there. */
Test(tail, sees_what_was_written_after_it_read_ahead)
{
    build(0, HF_BLOCK_START);
    build(5, 0);
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail tail = {.next_lsn = 1};
    expect_rest(&tail, reader, 5, ROOM);
    build(40, 0);
    expect_rest(&tail, reader, 45, ROOM);

    /* A block whose payload has not arrived: its header and its first record are there. */
    struct hf_block next_block = builder.next;
    uint8_t whole[16384], half[16384] = {0};
    build(100, 0);
    hf_log_builder_peek(&builder, next_block.segment, next_block.offset, whole, 12928);
    memcpy(half, whole, 256);
    hf_log_builder_poke(&builder, next_block.segment, next_block.offset, half, 12928);
    build(3, 0);
    tail = (struct hf_tail){.next_lsn = 40};
    expect_rest(&tail, reader, 45, ROOM);
    hf_log_builder_poke(&builder, next_block.segment, next_block.offset, whole, 12928);
    expect_rest(&tail, reader, 148, ROOM);
    hf_tail_reader_close(reader);
}

/* Sixteen full segments: reading them once costs about one read of one to two MiB for each. */
Test(tail, reads_a_mebibyte_or_more_at_a_time)
{
    rebuild(16 * MIB);
    build(0, HF_BLOCK_START);
    while (builder.next.segment < 3) {
        uint64_t left = (builder.segment_bytes - builder.next.offset) / HF_RECORD_BYTES;
        build(left == 0 || left > 8191 ? 8191 : (uint32_t)left - 1, 0);
    }
    uint64_t last = builder.next.first_lsn - 1;
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail tail = {.next_lsn = 1};
    expect_rest(&tail, reader, last, ROOM);
    cr_expect_leq(reads, 33 + 8, "%llu reads", (unsigned long long)reads);
    cr_expect_leq(read_bytes, 36 * MIB, "nothing is read twice: %llu bytes",
                  (unsigned long long)read_bytes);
    hf_tail_reader_close(reader);
}

/* One reader, two tails in different segments, in turn. */
Test(tail, a_reader_serves_several_tails)
{
    uint64_t last = build_mixed();
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail tails[2] = {{.next_lsn = 1}, {.next_lsn = last / 2}};
    uint64_t read_lsns[2] = {1, last / 2};
    for (int ended = 0, turn = 0; ended != 3; turn ^= 1) {
        uint32_t count;
        if (next(&tails[turn], reader, last, 200, &count) == HF_TAIL_END)
            ended |= 1 << turn;
        for (uint32_t i = 0; i < count; i++)
            expect_built(room + (size_t)i * HF_RECORD_BYTES, read_lsns[turn]++);
    }
    cr_expect(read_lsns[0] == last + 1 && read_lsns[1] == last + 1);
    hf_tail_reader_close(reader);
}

/* A chain of `length` records in the next block. */
static void build_chain(uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        uint64_t lsn = builder.next.first_lsn + builder.next.record_count;
        hf_log_builder_inventory(&builder, 5000 + lsn, 10);
        uint8_t *record = builder.bytes + HF_BLOCK_HEADER_BYTES +
                          (size_t)(builder.next.record_count - 1) * HF_RECORD_BYTES;
        record[HF_RECORD_CHAIN_INDEX] = (uint8_t)i;
        record[HF_RECORD_CHAIN_LENGTH] = (uint8_t)length;
    }
}

/* Chains of many lengths, one behind the other, and a few plain records; pieces of all sizes. */
Test(tail, what_it_copies_never_ends_within_a_chain)
{
    build(0, HF_BLOCK_START);
    for (uint32_t length = 2; length <= HF_MAX_CHAIN_RECORDS; length += 3) {
        build_chain(length);
        if (length % 4 == 0)
            hf_log_builder_inventory(&builder,
                                     5000 + builder.next.first_lsn + builder.next.record_count, 10);
        if (length % 5 == 0)
            hf_log_builder_block(&builder, 0);
    }
    hf_log_builder_block(&builder, 0);
    uint64_t last = builder.next.first_lsn - 1;
    struct hf_tail_reader *reader = open_reader();
    for (uint32_t size = HF_MAX_CHAIN_RECORDS; size <= ROOM; size += 7) {
        struct hf_tail tail = {.next_lsn = 1};
        uint64_t lsn = 1;
        uint32_t count;
        while (next(&tail, reader, last, size, &count) == HF_TAIL_RECORDS) {
            for (uint32_t i = 0; i < count; i++)
                expect_built(room + (size_t)i * HF_RECORD_BYTES, lsn++);
            const uint8_t *final = room + (size_t)(count - 1) * HF_RECORD_BYTES;
            cr_assert(final[HF_RECORD_CHAIN_LENGTH] == 0 ||
                      final[HF_RECORD_CHAIN_INDEX] + 1 == final[HF_RECORD_CHAIN_LENGTH]);
        }
        cr_assert_eq(lsn, last + 1);
    }
    /* From the middle of a chain on: its rest, and what follows. */
    struct hf_tail tail = {.next_lsn = last - 20};
    expect_rest(&tail, reader, last, HF_MAX_CHAIN_RECORDS);
    hf_tail_reader_close(reader);
}

/* The first two segments are gone. */
Test(tail, tells_where_the_log_begins)
{
    uint64_t last = build_mixed();
    uint64_t first = 0;
    for (uint32_t i = 0; first == 0; i++)
        if (builder.blocks[i].segment == 3)
            first = builder.blocks[i].first_lsn;
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail before = {.next_lsn = 10};
    uint32_t count;
    cr_assert_eq(next(&before, reader, last, ROOM, &count), HF_TAIL_RECORDS);
    for (uint64_t segment = 1; segment <= 2; segment++) {
        char path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES];
        hf_log_builder_segment_path(&builder, segment, path, sizeof path);
        cr_assert_eq(unlink(path), 0);
    }
    struct hf_tail tail = {.next_lsn = first - 1};
    cr_expect_eq(next(&tail, reader, last, ROOM, &count), HF_TAIL_NOT_KEPT);
    cr_expect_eq(hf_tail_first_lsn(reader), first);
    tail.next_lsn = first;
    expect_rest(&tail, reader, last, ROOM);
    /* One that was on its way through them. */
    hf_tail_reader_close(reader);
    reader = open_reader();
    cr_expect_eq(next(&before, reader, last, ROOM, &count), HF_TAIL_NOT_KEPT);
    cr_expect_eq(hf_tail_first_lsn(reader), first);
    hf_tail_reader_close(reader);
}

static void expect_failure(uint64_t from_lsn, uint64_t last, const char *part)
{
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail tail = {.next_lsn = from_lsn};
    uint64_t lsn = from_lsn;
    uint32_t count;
    enum hf_tail_read read;
    while ((read = next(&tail, reader, last, ROOM, &count)) == HF_TAIL_RECORDS)
        for (uint32_t i = 0; i < count; i++)
            expect_built(room + (size_t)i * HF_RECORD_BYTES, lsn++);
    cr_expect_eq(read, HF_TAIL_FAILED);
    cr_expect_leq(lsn, last);
    cr_expect_not_null(strstr(hf_tail_reader_text(reader), part), "%s",
                       hf_tail_reader_text(reader));
    cr_expect_eq(next(&tail, reader, last, ROOM, &count), HF_TAIL_FAILED, "again, if asked again");
    hf_tail_reader_close(reader);
}

/* One byte of a record, of a header, and a whole segment: never delivered, and said where. */
Test(tail, tells_damage_of_what_is_committed)
{
    uint64_t last = build_mixed();
    const struct hf_block *block = &builder.blocks[21];
    char part[64], name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(block->segment, name);
    snprintf(part, sizeof part, "%s at %lu", name, (unsigned long)block->offset);
    static const uint32_t places[] = {130, 0, 59, 121};
    for (int i = 0; i < 4; i++) {
        hf_log_builder_flip(&builder, block->segment, block->offset + places[i], 4);
        expect_failure(1, last, part);
        hf_log_builder_flip(&builder, block->segment, block->offset + places[i], 4);
    }
    hf_log_builder_truncate(&builder, 3, MIB / 2);
    expect_failure(1, last, "0000000000000003.wal at 524288: the file ends");
    char path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES];
    hf_log_builder_segment_path(&builder, 3, path, sizeof path);
    cr_assert_eq(unlink(path), 0);
    expect_failure(1, last, "0000000000000003.wal at 0: the segment is missing");
}

/* A right block of another place or log, and the right place of the wrong LSN. */
Test(tail, does_not_take_other_blocks_for_its_own)
{
    uint64_t last = build_mixed();
    const struct hf_block *block = &builder.blocks[21];
    uint8_t there[HF_BLOCK_HEADER_BYTES];
    hf_log_builder_peek(&builder, block->segment, block->offset, there, sizeof there);
    static const struct {
        unsigned offset, bytes;
        uint64_t value;
    } forged[] = {{16, 8, 7}, {88, 8, 9}, {96, 4, 4096}, {56, 8, 3}};
    for (int i = 0; i < 4; i++) {
        hf_log_builder_forge(&builder, block, forged[i].offset, forged[i].value, forged[i].bytes);
        expect_failure(1, last, "expected the block with LSN");
        hf_log_builder_poke(&builder, block->segment, block->offset, there, sizeof there);
    }
    /* One without a record, whose LSN decides what is looked for behind it. */
    hf_log_builder_forge(&builder, &builder.blocks[20], 56, builder.blocks[20].first_lsn + 1, 8);
    cr_assert_eq(builder.blocks[20].record_count, 0);
    expect_failure(1, last, "expected the block with LSN");
}

/* Whatever is read anew from the disk is checked anew. */
Test(tail, checks_again_what_it_reads_again)
{
    build(0, HF_BLOCK_START);
    build(20, 0);
    uint64_t last = build(20, 0) + 19;
    const struct hf_block *block = &builder.blocks[2];
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail tail = {.next_lsn = block->first_lsn};
    uint32_t count;
    cr_assert_eq(next(&tail, reader, last, ROOM, &count), HF_TAIL_RECORDS);
    hf_log_builder_flip(&builder, block->segment, block->offset + 200, 1);
    tail = (struct hf_tail){.next_lsn = block->first_lsn};
    cr_expect_eq(next(&tail, reader, last, ROOM, &count), HF_TAIL_FAILED);
    hf_tail_reader_close(reader);
}

Test(tail, tells_that_there_is_no_log)
{
    char path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES];
    hf_log_builder_segment_path(&builder, 1, path, sizeof path);
    cr_assert_eq(unlink(path), 0);
    expect_failure(1, 1, "the directory holds no log");
}

/* Each segment's blocks are a second younger than those before. A date finds a place from which on
 * everything of that date or later is read, at most a segment before. */
Test(tail, finds_a_date)
{
    build(0, HF_BLOCK_START);
    for (uint64_t segment = 1; segment <= 5; segment++) {
        while (builder.next.segment == segment && builder.next.offset != MIB) {
            uint64_t left = (MIB - builder.next.offset) / HF_RECORD_BYTES - 1;
            build(left < 3000 ? (uint32_t)left : 3000, 0);
        }
        builder.next.written_at_ns += HF_NS_PER_S;
        build(1, 0);
    }
    struct hf_tail_reader *reader = open_reader();
    for (uint64_t i = 0; i < 12; i++) {
        uint64_t date_ns = HF_BUILDER_MADE_AT - HF_NS_PER_S + i * HF_NS_PER_S / 2;
        uint64_t expected = 1;
        uint64_t segment = 1;
        for (uint32_t j = 0; j < builder.block_count; j++) {
            const struct hf_block *block = &builder.blocks[j];
            if (block->segment != segment && block->written_at_ns < date_ns)
                expected = block->first_lsn;
            segment = block->segment;
        }
        struct hf_tail tail = {0};
        cr_assert_eq(hf_tail_seek_date(&tail, reader, date_ns), HF_TAIL_RECORDS);
        cr_expect_eq(tail.next_lsn, expected, "date %llu", (unsigned long long)i);
        uint32_t count;
        cr_assert_eq(next(&tail, reader, builder.next.first_lsn - 1, ROOM, &count),
                     HF_TAIL_RECORDS);
        expect_built(room, expected);
    }
    hf_tail_reader_close(reader);
}

/* ---- logs that are being written ---- */

#define PRODUCERS 3u

struct producing {
    struct hf_live_log *live;
    uint32_t records; /* of each */
};

/* Records that say their LSN a second time, and now and then a chain. */
static void *produce(void *context)
{
    struct producing *producing = context;
    struct hf_ring_producer producer;
    hf_ring_producer_init(&producer, &producing->live->log.ring);
    for (uint32_t made = 0; made < producing->records;) {
        uint32_t length = made % 97 == 0 ? 64 : 1;
        uint8_t record[HF_RECORD_BYTES];
        memset(record, (int)(made & 0xff), sizeof record);
        hf_live_log_append(&producer, record, length);
        made += length;
    }
    hf_ring_producer_close(&producer);
    return NULL;
}

struct following {
    uint64_t lsn;
    uint64_t from_memory, from_files;
};

/* One record after the other, each whole, from the LSN on; up to `last`. */
static void follow(struct hf_live_log *live, struct following *following, uint64_t last,
                   uint32_t every_ns)
{
    struct hf_tail_log log = hf_tail_log_of(&live->log, &live->log.recent);
    struct hf_tail_reader *reader;
    cr_assert_eq(hf_tail_reader_open(&reader, &log), 0);
    struct hf_tail tail = {.next_lsn = following->lsn};
    while (following->lsn <= last) {
        uint64_t limit = hf_tail_limit(&live->log.flusher);
        struct hf_tail_span span;
        enum hf_tail_read read = hf_tail_next(&tail, reader, limit, room, ROOM, &span);
        cr_assert_neq(read, HF_TAIL_FAILED, "%s", hf_tail_reader_text(reader));
        cr_assert_neq(read, HF_TAIL_NOT_KEPT);
        struct timespec pause = {.tv_nsec = every_ns};
        if (every_ns != 0)
            nanosleep(&pause, NULL);
        if (read != HF_TAIL_RECORDS)
            continue;
        *(span.from_files ? &following->from_files : &following->from_memory) += span.count;
        for (uint32_t i = 0; i < span.count; i++, following->lsn++) {
            const uint8_t *record = span.records + (size_t)i * HF_RECORD_BYTES;
            cr_assert_leq(following->lsn, limit, "never beyond commit");
            cr_assert_eq(hf_get_u64(record), following->lsn, "in order, exactly once");
            cr_assert_eq(memcmp(record + 12, record + 13, HF_RECORD_BYTES - 13), 0, "whole");
            cr_assert_eq(record[8], record[12]);
        }
        const uint8_t *final = span.records + (size_t)(span.count - 1) * HF_RECORD_BYTES;
        cr_assert(final[HF_RECORD_CHAIN_LENGTH] == 0 ||
                  final[HF_RECORD_CHAIN_INDEX] + 1 == final[HF_RECORD_CHAIN_LENGTH]);
    }
    hf_tail_reader_close(reader);
}

static void run_live(enum hf_durability durability, uint32_t recent_slots, uint32_t records,
                     uint32_t every_ns, struct following *following)
{
    static struct hf_live_log live;
    hf_live_log_open(&live, MIB, 1024, recent_slots, durability);
    hf_recent_follow(&live.log.recent);
    hf_live_log_start(&live);
    struct producing producing = {&live, records};
    pthread_t threads[PRODUCERS];
    for (uint32_t i = 0; i < PRODUCERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, produce, &producing), 0);
    follow(&live, following, (uint64_t)PRODUCERS * records, every_ns);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    hf_live_log_wait(&live, hf_load_relaxed(&live.log.ring.tail) - 1);
    follow(&live, following, hf_load_relaxed(&live.log.ring.tail) - 1, 0);
    hf_live_log_close(&live);
}

/* Quick enough to find all in memory. */
Test(tail_live, follows_three_writers_from_memory, .timeout = 120)
{
    struct following following = {.lsn = 1};
    run_live(HF_DURABILITY_DISK, 1 << 16, 20000, 0, &following);
    cr_expect_eq(following.from_files, 0);
    cr_expect_geq(following.from_memory, 60000);
}

/* Memory holds little, and the reader dawdles. */
Test(tail_live, follows_three_writers_that_are_ahead_of_it, .timeout = 120)
{
    struct following following = {.lsn = 1};
    run_live(HF_DURABILITY_DISK, 1024, 40000, 200000, &following);
}

/* Committed before it is on the disk: what is read is on the disk all the same. */
Test(tail_live, with_commit_in_memory_it_reads_what_is_on_the_disk, .timeout = 120)
{
    struct following following = {.lsn = 1};
    run_live(HF_DURABILITY_MEMORY, 1024, 20000, 100000, &following);
}

/* What is committed and not on the disk yet is not to be read: it is nowhere where it could be. */
Test(tail_live, the_limit_is_on_the_disk, .timeout = 60)
{
    static struct hf_live_log live;
    hf_live_log_open(&live, MIB, 1024, 1024, HF_DURABILITY_MEMORY);
    hf_live_log_start(&live);
    struct hf_ring_producer producer;
    hf_ring_producer_init(&producer, &live.log.ring);
    uint8_t record[HF_RECORD_BYTES] = {0};
    hf_live_log_append(&producer, record, 1);
    hf_live_log_wait(&live, 1);
    hf_live_log_hold(&live, true);
    for (int i = 0; i < 5; i++)
        hf_live_log_append(&producer, record, 1);
    while (hf_flusher_commit_lsn(&live.log.flusher) < 6)
        ;
    cr_expect_eq(hf_tail_limit(&live.log.flusher), 1);
    hf_live_log_hold(&live, false);
    hf_live_log_wait(&live, 6);
    hf_ring_producer_close(&producer);
    hf_live_log_close(&live);
}

/* In turn more records than memory holds, and fewer. */
Test(tail_live, goes_from_memory_to_files_and_back, .timeout = 120)
{
    static struct hf_live_log live;
    hf_live_log_open(&live, MIB, 1024, 1024, HF_DURABILITY_DISK);
    hf_recent_follow(&live.log.recent);
    hf_live_log_start(&live);
    struct hf_ring_producer producer;
    hf_ring_producer_init(&producer, &live.log.ring);
    uint8_t record[HF_RECORD_BYTES];
    struct following following = {.lsn = 1};
    uint64_t last = 0;
    for (uint32_t round = 0; round < 8; round++) {
        uint32_t count = round % 2 == 0 ? 5000 : 300;
        memset(record, (int)round, sizeof record);
        for (uint32_t i = 0; i < count; i++)
            last = hf_live_log_append(&producer, record, 1);
        hf_live_log_wait(&live, last);
        struct following before = following;
        follow(&live, &following, last, 0);
        uint64_t from_memory = following.from_memory - before.from_memory;
        cr_expect_geq(from_memory, count == 300 ? 300 : 1024 - ROOM);
        cr_expect_leq(from_memory, 1024);
        cr_expect_eq(from_memory + following.from_files - before.from_files, count);
    }
    hf_ring_producer_close(&producer);
    hf_live_log_close(&live);
}
