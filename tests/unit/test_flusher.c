/*
 * The flusher over a disk in memory: the test decides when, in which order and how each write
 * completes.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "tests/lib/memory_io.h"
#include "wal/flusher.h"
#include "wal/reader.h"
#include "wal/segment_header.h"

#define DIRECTORY     "memory"
#define SEGMENT_BYTES (1u << 20)
#define SLOTS         32768u

static struct hf_memory_io memory;
static struct hf_manual_queue queue;
static struct hf_ring ring;
static struct hf_ring_producer producer;
static struct hf_segments segments;
static struct hf_flusher flusher;
static struct hf_server_clock server_clock;
static unsigned failures;
static char failure_text[200];

static void note_failure(void *context, const char *text)
{
    (void)context;
    failures++;
    snprintf(failure_text, sizeof failure_text, "%s", text);
}

static void open_sized_log(enum hf_durability durability, uint32_t writes_inflight,
                           uint64_t segment_bytes)
{
    hf_memory_io_init(&memory);
    hf_manual_queue_init(&queue, &memory);
    hf_server_clock_init(&server_clock, 0);
    struct hf_log_tail tail = {.next_lsn = 1,
                               .segment = 1,
                               .offset = HF_SEGMENT_HEADER_BYTES,
                               .start = {.segment = 1, .next_lsn = 1}};
    memset(tail.log_id, 7, sizeof tail.log_id);
    struct hf_flusher_options options = {
        .durability = durability,
        .writes_inflight = writes_inflight,
        .on_failure = note_failure,
    };
    struct hf_segment segment;
    struct hf_io *io = &memory.io;
    cr_assert_eq(hf_segment_create(io, DIRECTORY, tail.log_id, 1, segment_bytes), 0);
    cr_assert_eq(hf_segment_open(io, DIRECTORY, 1, &segment), 0);
    struct hf_segments_options ahead = {.io = io,
                                        .directory = DIRECTORY,
                                        .log_id = tail.log_id,
                                        .segment_bytes = segment_bytes,
                                        .first_number = 1,
                                        .next_number = 2,
                                        .keep = -1};
    cr_assert_eq(hf_segments_open(&segments, &ahead), 0);
    cr_assert_eq(hf_ring_init(&ring, SLOTS, 1), 0);
    cr_assert_eq(
        hf_flusher_init(&flusher, &ring, &segments, &segment, &tail, &server_clock, &options), 0);
    hf_ring_producer_init(&producer, &ring);
}

static void open_log(enum hf_durability durability, uint32_t writes_inflight)
{
    open_sized_log(durability, writes_inflight, SEGMENT_BYTES);
}

/* Everything is released; no file may be left open. */
static void close_log(void)
{
    hf_ring_producer_close(&producer);
    hf_segments_close(&segments);
    hf_flusher_close(&flusher);
    cr_expect_eq(hf_memory_io_open_count(&memory), 0, "a file was left open");
    hf_ring_close(&ring);
    hf_manual_queue_close(&queue);
}

static void append(uint32_t count)
{
    for (; count > 0; count--) {
        uint64_t lsn;
        cr_assert(hf_ring_credit(&producer, 1));
        struct hf_ring_slot *slot = hf_ring_reserve(&producer, &lsn);
        memset(slot->image, (int)(lsn & 0x7f), sizeof slot->image);
        hf_ring_publish(slot, lsn);
    }
}

static void flush(void)
{
    hf_flusher_run(&flusher, &queue.queue);
}

static void append_and_flush(uint32_t count)
{
    append(count);
    flush();
}

/* Completes write `place` of those in flight (0: the oldest) with this result; 0: all bytes. */
static void complete(uint32_t place, int result)
{
    struct hf_manual_write write;
    cr_assert(hf_manual_queue_take(&queue, place, &write), "nothing is in flight");
    if (result == 0)
        result = (int)write.bytes;
    hf_manual_write_apply(&queue, &write, result);
    hf_flusher_complete(&flusher, &queue.queue, write.cookie, result);
}

static struct hf_block header_in_flight(uint32_t place)
{
    struct hf_block block;
    cr_assert_lt(place, queue.count);
    cr_assert_eq(hf_block_read_header(queue.writes[place].buffer, &block), HF_BLOCK_VALID);
    return block;
}

static uint64_t commit_lsn(void)
{
    return hf_flusher_commit_lsn(&flusher);
}

/* The preparer is a thread: gives it time, at most 10 s, until the spare is ready. */
static void await_spare(void)
{
    for (int i = 0; i < 10000 && !hf_load_acquire(&segments.ready); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert(hf_load_acquire(&segments.ready));
}

/* Appends and completes until exactly `left_bytes` of the segment are left. */
static void fill_segment(uint32_t left_bytes)
{
    uint32_t left = SEGMENT_BYTES - flusher.segment_offset;
    append_and_flush((left - left_bytes) / HF_RECORD_BYTES - 1);
    complete(0, 0);
    cr_assert_eq(SEGMENT_BYTES - flusher.segment_offset, left_bytes);
}

/* ---- group commit ---- */

Test(flusher, the_start_block_is_durable_before_anything_is_appended)
{
    open_log(HF_DURABILITY_DISK, 1);
    const struct hf_memory_file *file = hf_memory_io_file(&memory, "0000000000000001.wal");
    struct hf_block block;
    cr_assert_eq(hf_block_read_header(file->durable + HF_SEGMENT_HEADER_BYTES, &block),
                 HF_BLOCK_VALID);
    cr_expect_eq(block.flags, HF_BLOCK_START);
    cr_expect_eq(block.epoch, 1);
    cr_expect_eq(block.sequence, 1);
    cr_expect_eq(block.record_count, 0);
    cr_expect_eq(commit_lsn(), 0);
    cr_expect_eq(hf_manual_queue_count(&queue), 0);
    cr_expect(hf_flusher_idle(&flusher));
    close_log();
}

Test(flusher, while_a_write_is_in_flight_the_next_group_grows)
{
    open_log(HF_DURABILITY_DISK, 1);
    append_and_flush(3);
    cr_expect_eq(header_in_flight(0).record_count, 3);
    append_and_flush(2);
    append_and_flush(3);
    cr_expect_eq(hf_manual_queue_count(&queue), 1, "one write in flight is allowed");
    cr_expect_eq(commit_lsn(), 0);
    cr_expect_not(hf_flusher_idle(&flusher));
    complete(0, 0);
    cr_expect_eq(commit_lsn(), 3);
    cr_assert_eq(hf_manual_queue_count(&queue), 1, "the completion sent the next");
    struct hf_block block = header_in_flight(0);
    cr_expect_eq(block.record_count, 5);
    cr_expect_eq(block.first_lsn, 4);
    cr_expect_eq(block.commit_lsn, 3, "it attests what is durable");
    cr_expect_eq(block.commit_sequence, 2);
    complete(0, 0);
    cr_expect_eq(commit_lsn(), 8);
    cr_expect(hf_flusher_idle(&flusher));
    close_log();
}

Test(flusher, no_more_writes_are_in_flight_than_allowed)
{
    for (uint32_t allowed = 1; allowed <= HF_MAX_INFLIGHT; allowed++) {
        open_log(HF_DURABILITY_DISK, allowed);
        for (uint32_t i = 0; i < 2 * HF_MAX_INFLIGHT; i++)
            append_and_flush(1);
        cr_expect_eq(hf_manual_queue_count(&queue), allowed);
        cr_expect_eq(queue.most, allowed);
        while (hf_manual_queue_count(&queue) != 0)
            complete(0, 0);
        cr_expect_eq(commit_lsn(), 2ull * HF_MAX_INFLIGHT);
        close_log();
        hf_memory_io_close(&memory);
    }
}

Test(flusher, by_default_three_are_in_flight_whatever_their_size)
{
    static const uint32_t sizes[] = {1, 65, HF_MAX_BLOCK_RECORDS};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        open_sized_log(HF_DURABILITY_DISK, 0, 8 * SEGMENT_BYTES);
        for (uint32_t group = 0; group < 5; group++)
            append_and_flush(sizes[i]);
        cr_expect_eq(hf_manual_queue_count(&queue), 3);
        while (hf_manual_queue_count(&queue) != 0)
            complete(0, 0);
        cr_expect_eq(queue.most, 3);
        cr_expect_eq(commit_lsn(), 5ull * sizes[i]);
        close_log();
        hf_memory_io_close(&memory);
    }
}

Test(flusher, commit_waits_for_the_oldest_write)
{
    open_log(HF_DURABILITY_DISK, 3);
    append_and_flush(1);
    append_and_flush(2);
    append_and_flush(4);
    complete(2, 0);
    cr_expect_eq(commit_lsn(), 0);
    complete(1, 0);
    cr_expect_eq(commit_lsn(), 0);
    append_and_flush(1);
    cr_expect_eq(hf_manual_queue_count(&queue), 1, "those that wait for their turn count");
    complete(0, 0);
    cr_expect_eq(commit_lsn(), 7);
    complete(0, 0);
    cr_expect_eq(commit_lsn(), 8);
    close_log();
}

Test(flusher, a_record_that_is_being_written_holds_back_what_follows)
{
    uint64_t first, second;
    open_log(HF_DURABILITY_DISK, 2);
    cr_assert(hf_ring_credit(&producer, 2));
    struct hf_ring_slot *slot_of_first = hf_ring_reserve(&producer, &first);
    struct hf_ring_slot *slot_of_second = hf_ring_reserve(&producer, &second);
    hf_ring_publish(slot_of_second, second);
    flush();
    cr_expect_eq(hf_manual_queue_count(&queue), 0);
    hf_ring_publish(slot_of_first, first);
    flush();
    cr_expect_eq(header_in_flight(0).record_count, 2);
    complete(0, 0);
    cr_expect_eq(commit_lsn(), 2);
    close_log();
}

Test(flusher, without_waiting_for_the_disk_commit_is_the_published_prefix)
{
    open_log(HF_DURABILITY_MEMORY, 1);
    append_and_flush(3);
    cr_expect_eq(commit_lsn(), 3);
    cr_expect_eq(hf_load_relaxed(&flusher.durable_lsn), 0);
    append_and_flush(2);
    cr_expect_eq(commit_lsn(), 5, "also what is not in a block yet");
    complete(0, 0);
    cr_expect_eq(hf_load_relaxed(&flusher.durable_lsn), 3);
    struct hf_block block = header_in_flight(0);
    cr_expect_eq(block.commit_lsn, 3, "a block attests what is durable, not what is committed");
    complete(0, 0);
    cr_expect_eq(hf_load_relaxed(&flusher.durable_lsn), 5);
    close_log();
}

/* ---- segments ---- */

Test(flusher, a_segment_is_filled_to_its_last_byte_and_closed_when_that_is_durable)
{
    open_log(HF_DURABILITY_DISK, 4);
    await_spare();
    fill_segment(2 * HF_BLOCK_ALIGN_BYTES);
    /* 63 records fit into two units beside the header; the rest goes to the next segment. */
    append_and_flush(100);
    cr_assert_eq(hf_manual_queue_count(&queue), 2);
    struct hf_block last = header_in_flight(0), next = header_in_flight(1);
    cr_expect_eq(last.segment, 1);
    cr_expect_eq(last.offset + last.block_bytes, SEGMENT_BYTES);
    cr_expect_eq(last.record_count, 63);
    cr_expect_eq(next.segment, 2);
    cr_expect_eq(next.offset, HF_SEGMENT_HEADER_BYTES);
    cr_expect_eq(next.record_count, 37);
    cr_expect_eq(next.first_lsn, last.first_lsn + 63);
    cr_expect_eq(next.previous_hash, last.header_hash);
    complete(1, 0);
    uint64_t before = commit_lsn();
    cr_expect_eq(before, last.first_lsn - 1);
    complete(0, 0);
    cr_expect_eq(commit_lsn(), last.first_lsn + 99);
    close_log();
}

/* What a snapshot that begins now has to know of the log before it: that of the block which the first
 * of the segment continues. */
Test(flusher, tells_where_the_segment_begins_that_is_being_filled)
{
    struct hf_log_start start;
    open_log(HF_DURABILITY_DISK, 4);
    hf_flusher_segment_start(&flusher, &start);
    cr_expect_eq(start.segment, 1);
    cr_expect_eq(start.next_lsn, 1);
    cr_expect_eq(start.epoch + start.sequence + start.previous_hash + start.written_at_ns, 0);

    await_spare();
    fill_segment(2 * HF_BLOCK_ALIGN_BYTES);
    append_and_flush(63);
    struct hf_block last = header_in_flight(0);
    hf_flusher_segment_start(&flusher, &start);
    cr_expect_eq(start.segment, 1, "it is full, and the next is not begun");
    append_and_flush(100);
    struct hf_block first = header_in_flight(1);
    hf_flusher_segment_start(&flusher, &start);
    cr_expect_eq(start.segment, 2);
    cr_expect_eq(start.epoch, last.epoch);
    cr_expect_eq(start.sequence, first.sequence - 1);
    cr_expect_eq(start.previous_hash, first.previous_hash);
    cr_expect_eq(start.next_lsn, first.first_lsn);
    cr_expect_eq(start.written_at_ns, last.written_at_ns);
    complete(0, 0);
    complete(0, 0);
    close_log();
}

/* The second segment is the last one that the disk has room for: records are let in, one a block,
 * until only the places are left that are kept for START and STOP; then none is; when there is room
 * again, all goes on. */
Test(flusher, without_room_on_the_disk_no_more_is_let_in_than_fits)
{
    open_log(HF_DURABILITY_DISK, 4);
    await_spare();
    hf_memory_io_set_room(&memory, 2 * SEGMENT_BYTES);
    fill_segment(HF_BLOCK_ALIGN_BYTES);
    append_and_flush(31); /* segment 1 is full; the spare is taken with the next block */
    complete(0, 0);
    append_and_flush(1);
    complete(0, 0);
    for (int i = 0; i < 10000 && hf_segments_error(&segments) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_expect_eq(hf_segments_error(&segments), -ENOSPC);
    flush(); /* sets the limit */

    uint32_t let_in = 0;
    while (hf_ring_credit(&producer, 1)) {
        append_and_flush(1);
        complete(0, 0);
        let_in++;
    }
    uint64_t newest = hf_load_relaxed(&ring.tail) - 1;
    cr_expect_eq(commit_lsn(), newest, "all that was let in is committed");
    cr_expect_geq(SEGMENT_BYTES - flusher.segment_offset, HF_KEPT_BLOCKS * HF_BLOCK_ALIGN_BYTES);
    cr_expect_geq(let_in, SEGMENT_BYTES / HF_BLOCK_ALIGN_BYTES - HF_KEPT_BLOCKS - 4);
    cr_expect_not(hf_flusher_stalled(&flusher));

    hf_memory_io_set_room(&memory, UINT64_MAX);
    await_spare();
    flush();
    append_and_flush(100);
    complete(0, 0);
    while (hf_manual_queue_count(&queue) != 0)
        complete(0, 0);
    cr_expect_eq(commit_lsn(), newest + 100);
    cr_expect_eq(hf_segments_error(&segments), 0);
    cr_expect_eq(failures, 0);
    close_log();
}

/* A log in its last segment, with a block in it: there is no room for another one. */
static void open_in_last_segment(void)
{
    open_log(HF_DURABILITY_DISK, 4);
    await_spare();
    hf_memory_io_set_room(&memory, 2 * SEGMENT_BYTES);
    fill_segment(HF_BLOCK_ALIGN_BYTES);
    append_and_flush(31);
    complete(0, 0);
    append_and_flush(1);
    complete(0, 0);
}

/* The last segment again, with a pause behind each record, in which it is attested: that takes a
 * place as well, and still what was let in fits. */
Test(flusher, without_room_on_the_disk_what_is_let_in_fits_with_its_attestation)
{
    open_in_last_segment();
    for (int i = 0; i < 10000 && hf_segments_error(&segments) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    flush();
    while (hf_ring_credit(&producer, 1)) {
        append_and_flush(1);
        complete(0, 0);
        hf_flusher_attest(&flusher, &queue.queue);
        complete(0, 0);
    }
    cr_expect_eq(commit_lsn(), hf_load_relaxed(&ring.tail) - 1, "all that was let in is committed");
    cr_expect_not(hf_flusher_stalled(&flusher));
    cr_expect_geq(SEGMENT_BYTES - flusher.segment_offset, HF_KEPT_BLOCKS * HF_BLOCK_ALIGN_BYTES);
    close_log();
}

/* More was let in than fits before anyone knew that the disk is full: the log stands still with it,
 * and goes on by itself. */
Test(flusher, without_room_for_what_was_let_in_it_stands_still_and_goes_on)
{
    open_in_last_segment();
    uint32_t places = SEGMENT_BYTES / HF_BLOCK_ALIGN_BYTES - 2 - HF_KEPT_BLOCKS;
    for (uint32_t i = 0; i < places - 1; i++) {
        hf_ring_limit(&ring, UINT64_MAX); /* as if it had not been noticed yet */
        append_and_flush(1);
        complete(0, 0);
    }
    hf_ring_limit(&ring, UINT64_MAX);
    append_and_flush(40); /* 31 fit */
    complete(0, 0);
    uint64_t newest = hf_load_relaxed(&ring.tail) - 1;
    cr_expect_eq(commit_lsn(), newest - 9);
    cr_expect(hf_flusher_stalled(&flusher));
    cr_expect_eq(hf_manual_queue_count(&queue), 0);

    hf_memory_io_set_room(&memory, UINT64_MAX);
    await_spare();
    flush();
    cr_expect_not(hf_flusher_stalled(&flusher));
    complete(0, 0);
    cr_expect_eq(commit_lsn(), newest);
    cr_expect_eq(failures, 0);
    close_log();
}

/* ---- blocks without records ---- */

Test(flusher, when_quiet_one_empty_block_attests_the_newest_record)
{
    open_log(HF_DURABILITY_DISK, 2);
    cr_expect_not(hf_flusher_wants_attest(&flusher), "there is no record");
    append_and_flush(2);
    hf_flusher_attest(&flusher, &queue.queue);
    cr_expect_eq(hf_manual_queue_count(&queue), 1, "not while a write is in flight");
    complete(0, 0);
    cr_expect(hf_flusher_wants_attest(&flusher));
    hf_flusher_attest(&flusher, &queue.queue);
    cr_assert_eq(hf_manual_queue_count(&queue), 1);
    struct hf_block block = header_in_flight(0);
    cr_expect_eq(block.flags, HF_BLOCK_ATTEST);
    cr_expect_eq(block.record_count, 0);
    cr_expect_eq(block.first_lsn, 3);
    cr_expect_eq(block.commit_lsn, 2);
    cr_expect_eq(block.commit_sequence, 2);
    complete(0, 0);
    cr_expect_not(hf_flusher_wants_attest(&flusher));
    hf_flusher_attest(&flusher, &queue.queue);
    cr_expect_eq(hf_manual_queue_count(&queue), 0, "one is enough");
    cr_expect_eq(commit_lsn(), 2);
    close_log();
}

Test(flusher, a_log_that_was_stopped_reads_back_whole)
{
    open_log(HF_DURABILITY_DISK, 2);
    append_and_flush(5);
    complete(0, 0);
    hf_ring_producer_close(&producer);
    cr_assert(hf_flusher_idle(&flusher));
    cr_assert_eq(hf_flusher_stop(&flusher), 0);
    close_log();
    hf_memory_io_crash(&memory);

    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    static const struct {
        uint16_t flags;
        uint32_t record_count;
    } expected[] = {{HF_BLOCK_START, 0}, {0, 5}, {HF_BLOCK_STOP, 0}};
    cr_assert_eq(hf_reader_open(&memory.io, DIRECTORY, true, NULL, &reader, &finding), 0);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(hf_reader_next(reader, &view), HF_READ_BLOCK);
        cr_expect_eq(view.header.flags, expected[i].flags);
        cr_expect_eq(view.header.record_count, expected[i].record_count);
        cr_expect_eq(view.header.epoch, 1);
    }
    cr_expect_eq(view.header.commit_lsn, 5, "the STOP block attests everything");
    cr_expect_eq(hf_reader_next(reader, &view), HF_READ_END);
    hf_reader_close(reader);
    hf_memory_io_close(&memory);
}

/* ---- chains ---- */

#define BLOCK_UNIT_RECORDS (HF_BLOCK_ALIGN_BYTES / HF_RECORD_BYTES)

/* Publishes the record at `lsn` as place `index` of a chain of `length`. */
static void publish_of_chain(uint64_t lsn, uint32_t index, uint32_t length)
{
    struct hf_ring_slot *slot = hf_ring_slot(&ring, lsn);
    memset(slot->image, (int)(lsn & 0x7f), sizeof slot->image);
    slot->image[HF_RECORD_CHAIN_INDEX - HF_RECORD_IMAGE] = (uint8_t)index;
    slot->image[HF_RECORD_CHAIN_LENGTH - HF_RECORD_IMAGE] = (uint8_t)length;
    hf_ring_publish(slot, lsn);
}

static void append_chain(uint32_t length)
{
    cr_assert(hf_ring_credit(&producer, length));
    uint64_t first = hf_ring_reserve_chain(&producer, length);
    for (uint32_t i = 0; i < length; i++)
        publish_of_chain(first + i, i, length);
}

static void complete_all(void)
{
    while (hf_manual_queue_count(&queue) != 0)
        complete(0, 0);
}

Test(flusher, of_a_chain_that_is_being_written_nothing_is_in_a_block)
{
    open_log(HF_DURABILITY_DISK, 2);
    append(3);
    cr_assert(hf_ring_credit(&producer, 4));
    uint64_t first = hf_ring_reserve_chain(&producer, 4);
    publish_of_chain(first, 0, 4);
    publish_of_chain(first + 1, 1, 4);
    flush();
    cr_expect_eq(header_in_flight(0).record_count, 3, "what stands before it");
    complete(0, 0);
    cr_expect_eq(hf_manual_queue_count(&queue), 0);
    cr_expect_eq(commit_lsn(), 3);
    append(2);
    publish_of_chain(first + 2, 2, 4);
    flush();
    cr_expect_eq(hf_manual_queue_count(&queue), 0);
    publish_of_chain(first + 3, 3, 4);
    flush();
    cr_expect_eq(header_in_flight(0).record_count, 6);
    complete(0, 0);
    cr_expect_eq(commit_lsn(), 9);
    close_log();
}

Test(flusher, without_waiting_for_the_disk_a_chain_is_committed_as_a_whole)
{
    open_log(HF_DURABILITY_MEMORY, 1);
    append(1);
    cr_assert(hf_ring_credit(&producer, 3));
    uint64_t first = hf_ring_reserve_chain(&producer, 3);
    for (uint32_t i = 0; i < 3; i++) {
        flush();
        cr_expect_eq(commit_lsn(), 1);
        publish_of_chain(first + i, i, 3);
    }
    flush();
    cr_expect_eq(commit_lsn(), 4);
    complete_all();
    close_log();
}

/* A group of which the end of the segment has room for all but the end of its chain. */
Test(flusher, a_chain_that_the_segment_would_cut_stands_in_the_next)
{
    open_log(HF_DURABILITY_DISK, 4);
    await_spare();
    fill_segment(2 * HF_BLOCK_ALIGN_BYTES);
    append(60);
    append_chain(4); /* 63 fit */
    flush();
    cr_assert_eq(hf_manual_queue_count(&queue), 2);
    struct hf_block last = header_in_flight(0), next = header_in_flight(1);
    cr_expect_eq(last.segment, 1);
    cr_expect_eq(last.record_count, 60);
    cr_expect_eq(last.offset + last.block_bytes, SEGMENT_BYTES);
    cr_expect_eq(next.segment, 2);
    cr_expect_eq(next.record_count, 4);
    cr_expect_eq(next.first_lsn, last.first_lsn + 60);
    complete_all();
    cr_expect_eq(commit_lsn(), last.first_lsn + 63);
    close_log();
}

/* The chain is the first of its group: the rest of the segment holds no record. The longest chain
 * and every rest. */
Test(flusher, a_rest_of_a_segment_too_small_for_a_chain_is_filled_without_records)
{
    uint32_t units = HF_MAX_CHAIN_RECORDS / BLOCK_UNIT_RECORDS + 1; /* that the chain takes */
    for (uint32_t rest = 1; rest <= units; rest++) {
        open_log(HF_DURABILITY_DISK, 1);
        await_spare();
        fill_segment(rest * HF_BLOCK_ALIGN_BYTES);
        uint64_t before = commit_lsn();
        append_chain(HF_MAX_CHAIN_RECORDS);
        flush();
        struct hf_block block = header_in_flight(0);
        while (block.record_count == 0) {
            cr_expect_lt(rest, units, "there is room for it");
            cr_expect_eq(block.segment, 1);
            cr_expect_eq(block.first_lsn, before + 1);
            complete(0, 0);
            cr_expect_eq(commit_lsn(), before, "an empty block commits nothing new");
            block = header_in_flight(0);
        }
        cr_expect_eq(block.record_count, HF_MAX_CHAIN_RECORDS);
        cr_expect_eq(block.segment, rest < units ? 2 : 1, "rest %u", rest);
        complete(0, 0);
        cr_expect_eq(commit_lsn(), before + HF_MAX_CHAIN_RECORDS);
        close_log();
        hf_memory_io_close(&memory);
    }
}

/* Reads the log back: LSNs without a gap, and every chain in one block. Returns the newest LSN. */
static uint64_t read_back(void)
{
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    uint64_t lsn = 0;
    cr_assert_eq(hf_reader_open(&memory.io, DIRECTORY, true, NULL, &reader, &finding), 0);
    enum hf_read read;
    while ((read = hf_reader_next(reader, &view)) == HF_READ_BLOCK) {
        uint32_t place = 0, length = 0;
        for (uint32_t i = 0; i < view.header.record_count; i++) {
            const uint8_t *record = view.records + (size_t)i * HF_RECORD_BYTES;
            cr_assert_eq(hf_get_u64(record), ++lsn);
            cr_assert_eq(record[HF_RECORD_CHAIN_INDEX], place, "LSN %llu", (unsigned long long)lsn);
            length = record[HF_RECORD_CHAIN_LENGTH];
            place = place + 1 < length ? place + 1 : 0;
        }
        cr_assert_eq(place, 0, "a chain of %u is cut at LSN %llu", length, (unsigned long long)lsn);
    }
    cr_expect_eq(read, HF_READ_END, "%s", hf_reader_finding(reader)->text);
    hf_reader_close(reader);
    return lsn;
}

/* Chains of every length and single records, over several segments, with writes that complete in
 * any order and a producer that is flushed in the middle of a chain. */
Test(flusher, no_chain_ever_stands_in_two_blocks)
{
    const char *given = getenv("HOLDFAST_SEED");
    uint32_t seed = given != NULL ? (uint32_t)strtoul(given, NULL, 0) : (uint32_t)time(NULL);
    uint32_t random = seed;
    uint64_t appended = 0;
    open_log(HF_DURABILITY_DISK, 4);
    while (flusher.segment.number < 5) {
        random = random * 1664525 + 1013904223;
        uint32_t length = random >> 28 == 0 ? 0 : 1 + (random >> 8) % HF_MAX_CHAIN_RECORDS;
        uint32_t count = length == 0 ? 1 : length, pause = (random >> 16) % count;
        if (!hf_ring_credit(&producer, count)) {
            flush();
            complete_all();
            await_spare();
            continue;
        }
        uint64_t first = hf_ring_reserve_chain(&producer, count);
        for (uint32_t i = 0; i < count; i++) {
            if (i == pause && (random & 0x700) == 0)
                flush();
            publish_of_chain(first + i, i, length);
        }
        appended += count;
        if ((random & 0x30) == 0)
            flush();
        uint32_t flying = hf_manual_queue_count(&queue);
        if (flying != 0 && (random & 0xc0) == 0)
            complete((random >> 20) % flying, 0);
    }
    flush();
    complete_all();
    while (!hf_flusher_idle(&flusher)) {
        await_spare();
        flush();
        complete_all();
    }
    cr_expect_eq(commit_lsn(), appended, "seed %u", seed);
    hf_ring_producer_close(&producer);
    cr_assert_eq(hf_flusher_stop(&flusher), 0);
    close_log();
    hf_memory_io_crash(&memory);
    cr_expect_eq(read_back(), appended, "seed %u", seed);
    hf_memory_io_close(&memory);
}

/* ---- results of writes ---- */

static void fail_and_expect_stop(int result, const char *part)
{
    open_log(HF_DURABILITY_DISK, 3);
    append_and_flush(1);
    append_and_flush(1);
    append_and_flush(1);
    complete(0, 0);
    cr_assert_eq(commit_lsn(), 1);
    complete(0, result);
    cr_expect_eq(failures, 1);
    cr_expect_not_null(strstr(failure_text, part), "%s", failure_text);
    complete(0, 0);
    cr_expect_eq(commit_lsn(), 1, "what follows a failed write is never committed");
    append_and_flush(5);
    cr_expect_eq(hf_manual_queue_count(&queue), 0, "nothing more is written");
    cr_expect_eq(commit_lsn(), 1);
    cr_expect_eq(hf_load_relaxed(&flusher.durable_lsn), 1);
    hf_flusher_attest(&flusher, &queue.queue);
    cr_expect_eq(hf_manual_queue_count(&queue), 0);
    cr_expect_eq(failures, 1, "it is reported once");
    close_log();
}

Test(flusher, a_write_that_the_disk_refuses_ends_the_log)
{
    fail_and_expect_stop(-EIO, strerror(EIO));
}

Test(flusher, a_write_for_which_there_is_no_room_ends_the_log)
{
    fail_and_expect_stop(-ENOSPC, strerror(ENOSPC));
}

Test(flusher, a_write_that_was_cancelled_ends_the_log)
{
    fail_and_expect_stop(-ECANCELED, strerror(ECANCELED));
}

Test(flusher, a_write_that_got_half_way_ends_the_log)
{
    open_log(HF_DURABILITY_DISK, 1);
    append_and_flush(60); /* two units */
    complete(0, HF_BLOCK_ALIGN_BYTES);
    cr_expect_eq(failures, 1);
    cr_expect_not_null(strstr(failure_text, "a part of a block"), "%s", failure_text);
    cr_expect_eq(commit_lsn(), 0);
    cr_expect_eq(hf_manual_queue_count(&queue), 0, "it is not repeated");
    close_log();
}

Test(flusher, two_failed_writes_are_reported_once_and_memory_durability_stops_too)
{
    open_log(HF_DURABILITY_MEMORY, 2);
    append_and_flush(1);
    append_and_flush(1);
    complete(1, -EIO);
    complete(0, -EIO);
    cr_expect_eq(failures, 1);
    append_and_flush(1);
    cr_expect_eq(commit_lsn(), 2, "nothing that was appended after the failure is committed");
    close_log();
}

Test(flusher, a_write_that_was_not_attempted_is_submitted_again_as_it_was)
{
    static const int results[] = {-EAGAIN, -EINTR};
    for (size_t i = 0; i < 2; i++) {
        open_log(HF_DURABILITY_DISK, 2);
        append_and_flush(1);
        append_and_flush(1);
        struct hf_manual_write before = queue.writes[0];
        complete(0, results[i]);
        cr_assert_eq(hf_manual_queue_count(&queue), 2);
        struct hf_manual_write again = queue.writes[1];
        cr_expect_eq(again.file, before.file);
        cr_expect_eq(again.buffer, before.buffer);
        cr_expect_eq(again.bytes, before.bytes);
        cr_expect_eq(again.offset, before.offset);
        cr_expect_eq(again.cookie, before.cookie);
        cr_expect_eq(again.hash, before.hash);
        complete(0, 0);
        cr_expect_eq(commit_lsn(), 0, "the other one alone commits nothing");
        complete(0, 0);
        cr_expect_eq(commit_lsn(), 2);
        cr_expect_eq(failures, 0);
        close_log();
        hf_memory_io_close(&memory);
    }
}

Test(flusher, a_start_block_that_cannot_be_written_is_an_error)
{
    struct hf_segment segment;
    struct hf_log_tail tail = {.next_lsn = 1, .segment = 1, .offset = HF_SEGMENT_HEADER_BYTES};
    struct hf_flusher_options options = {.writes_inflight = 1, .on_failure = note_failure};
    hf_memory_io_init(&memory);
    cr_assert_eq(hf_segment_create(&memory.io, DIRECTORY, tail.log_id, 1, SEGMENT_BYTES), 0);
    cr_assert_eq(hf_segment_open(&memory.io, DIRECTORY, 1, &segment), 0);
    cr_assert_eq(hf_ring_init(&ring, 64, 1), 0);
    /* No preparer: none of its writes gets between. */
    segments = (struct hf_segments){.io = &memory.io, .segment_bytes = SEGMENT_BYTES};
    hf_memory_io_fail(&memory, HF_MEMORY_WRITE, 0, 1, -EIO);
    cr_expect_eq(
        hf_flusher_init(&flusher, &ring, &segments, &segment, &tail, &server_clock, &options),
        -EIO);
    hf_flusher_close(&flusher);
    cr_expect_eq(hf_memory_io_open_count(&memory), 0);
}

/* ---- a new segment ---- */

static uint64_t told_bytes;

static int tell_free_bytes(struct hf_io *io, const char *name, uint64_t *bytes)
{
    (void)io;
    (void)name;
    *bytes = told_bytes;
    return 0;
}

/* There is room for a segment as long as no file is there. */
static int tell_what_is_left(struct hf_io *io, const char *name, uint64_t *bytes)
{
    (void)name;
    *bytes = SEGMENT_BYTES;
    const struct hf_memory_io *disk = (const struct hf_memory_io *)io;
    for (uint32_t i = 0; i < disk->file_count; i++)
        if (disk->files[i].name[0] != '\0')
            *bytes = 0;
    return 0;
}

/* A disk with room for part of a segment: not even its name is there, and what needs less than the
 * segment would take keeps its room. */
Test(flusher, a_segment_is_begun_only_where_there_is_room_for_all_of_it)
{
    const uint8_t log_id[16] = {1};
    hf_memory_io_init(&memory);
    memory.io.free_bytes = tell_free_bytes;
    told_bytes = SEGMENT_BYTES - 1;
    cr_expect_eq(hf_segment_create(&memory.io, DIRECTORY, log_id, 1, SEGMENT_BYTES), -ENOSPC);
    cr_expect_eq(memory.file_count, 0);
    told_bytes = SEGMENT_BYTES;
    cr_expect_eq(hf_segment_create(&memory.io, DIRECTORY, log_id, 1, SEGMENT_BYTES), 0);
    hf_memory_io_close(&memory);
}

/* One that could not get its name: what was written of it is gone, so that its room is there for the
 * next attempt. */
Test(flusher, a_segment_that_gets_no_name_leaves_nothing)
{
    const uint8_t log_id[16] = {1};
    hf_memory_io_init(&memory);
    hf_memory_io_fail(&memory, HF_MEMORY_RENAME, 0, 1, -EIO);
    cr_expect_eq(hf_segment_create(&memory.io, DIRECTORY, log_id, 1, SEGMENT_BYTES), -EIO);
    uint64_t bytes;
    tell_what_is_left(&memory.io, DIRECTORY, &bytes);
    cr_expect_eq(bytes, SEGMENT_BYTES);
    hf_memory_io_close(&memory);
}

/* What a server that was killed, or an attempt that failed, has left under the temporary name: it is
 * removed before the room is looked at. */
Test(flusher, what_is_left_of_a_segment_does_not_count_as_taken)
{
    const uint8_t log_id[16] = {1};
    hf_memory_io_init(&memory);
    memory.io.free_bytes = tell_what_is_left;
    char name[HF_SEGMENT_NAME_BYTES], temporary[HF_SEGMENT_NAME_BYTES + 8];
    hf_segment_name_format(1, name);
    snprintf(temporary, sizeof temporary, "%s" HF_SEGMENT_TEMPORARY_SUFFIX, name);
    int left = memory.io.open_file(&memory.io, DIRECTORY, temporary, HF_IO_CREATE);
    cr_assert_geq(left, 0);
    memory.io.close_file(&memory.io, left);
    cr_expect_eq(hf_segment_create(&memory.io, DIRECTORY, log_id, 1, SEGMENT_BYTES), 0);
    hf_memory_io_close(&memory);
}
