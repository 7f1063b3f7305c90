/*
 * Letting go of what nobody needs: which segments and snapshots are there after each snapshot, what
 * becomes of the others, and what keeps them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tests/lib/store_rig.h"
#include "tests/lib/stress.h"
#include "wal/segment_header.h"
#include "wal/snapshot_header.h"
#include "wal/tail.h"

#define S             HF_NS_PER_S
#define SEGMENT_BYTES HF_MIN_SEGMENT_BYTES

static struct hf_store_rig rig;
static uint32_t number; /* of the newest reservation */

static void open_rig(void)
{
    const struct hf_store_rig_options options = {.max_reservations = 65536};
    hf_store_rig_open(&rig, &options);
    const struct hf_request create = {.operation = HF_OP_INVENTORY_CREATE,
                                      .inventory_id = 1,
                                      .product_id = 7,
                                      .capacity = 1 << 20};
    cr_assert_eq(hf_store_rig_ask(&rig, &create), HF_CREATED);
    hf_store_rig_write(&rig);
    cr_assert_eq(hf_log_step(&rig.store->log), 0);
}

static void close_rig(void)
{
    hf_store_rig_close(&rig);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(release, .init = open_rig, .fini = close_rig, .timeout = 60);

static void reserve(void)
{
    const struct hf_request request = {.operation = HF_OP_RESERVE,
                                       .id = hf_id_of_number(++number),
                                       .inventory_id = 1,
                                       .customer_id = 1,
                                       .qty = 1};
    cr_assert_eq(hf_store_rig_ask(&rig, &request), HF_GRANTED);
}

/* The log goes on in the next segment, and the one behind that is prepared. */
static void begin_segment(void)
{
    hf_store_rig_fill_until(&rig, rig.store->log.flusher.segment.number + 1);
    cr_assert_eq(hf_log_step(&rig.store->log), 0);
}

static uint64_t snapshot(void)
{
    reserve();
    hf_store_rig_snapshot(&rig);
    return hf_store_rig_report(&rig).last_lsn;
}

/* "1 2 3; 10 20": the snapshots by their last LSNs; 0: none. */
static void expect_files(const char *segments, uint64_t older, uint64_t newer)
{
    char expected[256];
    int length = snprintf(expected, sizeof expected, "%s;", segments);
    const uint64_t lsns[] = {older, newer};
    for (int i = 0; i < 2; i++)
        if (lsns[i] != 0)
            length += snprintf(expected + length, sizeof expected - (size_t)length, " %llu",
                               (unsigned long long)lsns[i]);
    cr_expect_str_eq(hf_store_rig_files(&rig), expected);
}

static void expect_right(void)
{
    const char *wrong = hf_store_rig_check(&rig);
    cr_expect_null(wrong, "%s", wrong);
    wrong = hf_store_rig_check_names(&rig);
    cr_expect_null(wrong, "%s", wrong);
}

/* Somebody reads beside the server. Returns what is to be closed. */
static int hold_keep(void)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 8];
    snprintf(path, sizeof path, "%s/keep", rig.directory);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(file, 0);
    cr_assert_eq(flock(file, LOCK_SH | LOCK_NB), 0);
    return file;
}

static struct hf_memory_file *segment_file(uint64_t segment)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(segment, name);
    return hf_memory_io_file(rig.memory, name);
}

/* ---- what is there ---- */

/* Two snapshots are kept, and the log from the older one's start on. One released segment waits to
 * be prepared anew. */
Test(release, two_snapshots_are_kept_and_the_log_that_they_need)
{
    expect_files("1 2", 0, 0);
    begin_segment(); /* 2 */
    uint64_t first = snapshot();
    expect_files("1 2 3", 0, first);
    begin_segment(); /* 3 */
    begin_segment(); /* 4 */
    expect_files("1 2 3 4 5", 0, first);
    uint64_t second = snapshot(); /* of which 4 is the start */
    expect_files("1 2 3 4 5", first, second);
    begin_segment(); /* 5: and 1 becomes 6 */
    expect_files("2 3 4 5 6", first, second);
    uint64_t third = snapshot(); /* 2 and 3 are released: 3 waits */
    expect_files("3 4 5 6", second, third);
    expect_right();
    uint64_t fourth = snapshot(); /* begins in the same segment */
    expect_files("4 5 6", third, fourth);
    begin_segment();
    expect_files("5 6 7", third, fourth);
    expect_right();
}

/* The spare is taken, as if it was to be filled. */
static void prepare_another(void)
{
    struct hf_segment spare;
    if (hf_segments_take(&rig.store->log.segments, &spare))
        rig.memory->io.close_file(&rig.memory->io, spare.file);
    hf_log_step(&rig.store->log);
}

/* A crash at each change of the disk: while a snapshot is finished and what is not needed is removed,
 * and while a segment is prepared anew. */
Test(release, a_crash_anywhere_in_between_leaves_a_right_log)
{
    for (uint32_t changes = 0; changes < 40; changes++) {
        begin_segment();
        snapshot();
        begin_segment();
        begin_segment();
        begin_segment();
        reserve();
        hf_store_rig_write(&rig);
        hf_snapshotter_request(rig.store->snapshotter);
        hf_memory_io_die_after(rig.memory, changes);
        uint64_t made = hf_store_rig_report(&rig).made;
        for (uint32_t i = 0; i < 50 && hf_store_rig_report(&rig).made == made; i++)
            hf_store_rig_snapshot_step(&rig);
        expect_right();
        prepare_another();
        expect_right();
        cr_assert_eq(hf_store_rig_crash(&rig), 0, "%s", rig.text);
        expect_right();
    }
}

/* What a crash left of removing: gaps among the segments that nobody needs. */
Test(release, what_a_crash_left_is_removed_at_the_next_start)
{
    for (uint32_t i = 0; i < 5; i++)
        begin_segment();
    uint64_t first = snapshot();
    int keep = hold_keep();
    for (uint32_t i = 0; i < 2; i++)
        begin_segment();
    uint64_t second = snapshot();
    expect_files("1 2 3 4 5 6 7 8 9", first, second);
    close(keep);
    struct hf_memory_io *left = hf_store_rig_copy_disk(&rig);
    left->io.remove_file(&left->io, "", "0000000000000002.wal");
    left->io.remove_file(&left->io, "", "0000000000000004.wal");
    left->io.sync_directory(&left->io, "");
    cr_assert_eq(hf_store_rig_restart_on(&rig, left), 0, "%s", rig.text);
    expect_files("5 6 7 8 9", first, second);
    expect_right();
}

/* A third snapshot, which a crash left, goes with the next one that is made. */
Test(release, a_snapshot_that_a_crash_left_is_removed_with_the_next)
{
    uint64_t first = snapshot();
    uint64_t second = snapshot();
    int keep = hold_keep();
    uint64_t third = snapshot();
    close(keep);
    char expected[64];
    snprintf(expected, sizeof expected, "%llu %llu %llu", (unsigned long long)first,
             (unsigned long long)second, (unsigned long long)third);
    cr_expect_not_null(strstr(hf_store_rig_files(&rig), expected));
    cr_assert_eq(hf_store_rig_crash(&rig), 0, "%s", rig.text);
    uint64_t fourth = snapshot();
    expect_files("1 2", third, fourth);
}

/* ---- somebody reads beside the server ---- */

Test(release, nothing_goes_while_somebody_holds_keep_and_then_all_of_it)
{
    begin_segment();
    uint64_t first = snapshot();
    int keep = hold_keep();
    for (uint32_t i = 0; i < 4; i++)
        begin_segment();
    uint64_t second = snapshot();
    for (uint32_t i = 0; i < 4; i++)
        begin_segment();
    uint64_t third = snapshot(), fourth = snapshot();
    char expected[128];
    snprintf(expected, sizeof expected, "1 2 3 4 5 6 7 8 9 10 11; %llu %llu %llu %llu",
             (unsigned long long)first, (unsigned long long)second, (unsigned long long)third,
             (unsigned long long)fourth);
    cr_expect_str_eq(hf_store_rig_files(&rig), expected);
    for (uint32_t i = 0; i < 3; i++)
        hf_store_rig_snapshot_step(&rig);
    cr_expect_str_eq(hf_store_rig_files(&rig), expected, "still");
    expect_right();
    close(keep);
    /* Nothing else happens: no segment is needed, and no snapshot is due. */
    hf_store_rig_snapshot_step(&rig);
    expect_files("9 10 11", third, fourth);
    expect_right();
}

/* More than are looked at once; they go bit by bit. */
Test(release, many_snapshots_that_were_kept_go_as_well)
{
    snapshot();
    int keep = hold_keep();
    uint64_t older = 0, newest = 0;
    for (uint32_t i = 0; i < 40; i++) {
        older = newest;
        newest = snapshot();
    }
    close(keep);
    for (uint32_t i = 0; i < 5; i++)
        hf_store_rig_snapshot_step(&rig);
    expect_files("1 2", older, newest);
}

/* Whoever begins to read when a segment is about to be prepared anew finds it as it was. */
Test(release, a_segment_is_not_prepared_anew_while_somebody_holds_keep)
{
    begin_segment();
    snapshot();
    begin_segment();
    snapshot(); /* releases 1 */
    int keep = hold_keep();
    uint64_t hash = hf_get_u64(segment_file(1)->bytes + 4088);
    begin_segment();
    cr_assert_not_null(segment_file(1), "it stays");
    cr_expect_eq(hf_get_u64(segment_file(1)->bytes + 4088), hash, "as it was");
    close(keep);
    begin_segment();
    cr_expect_null(segment_file(1), "it is another now");
    expect_right();
}

/* The server holds it for itself only while it removes. */
Test(release, readers_get_keep_at_any_time)
{
    begin_segment();
    snapshot();
    begin_segment();
    snapshot();
    close(hold_keep());
    begin_segment();
    snapshot();
    close(hold_keep());
}

/* ---- prepared anew ---- */

/* Zero but for its header, and durable, before it has its new name. */
Test(release, a_segment_that_is_prepared_anew_is_as_good_as_new)
{
    begin_segment();
    snapshot();
    begin_segment();
    snapshot();
    uint64_t used = rig.memory->used_bytes,
             renames = hf_memory_io_calls(rig.memory, HF_MEMORY_RENAME);
    cr_assert(!hf_all_zero(segment_file(1)->bytes + 4096, 4096), "it was written");
    begin_segment();
    cr_expect_null(segment_file(1));
    const struct hf_memory_file *anew = segment_file(5);
    cr_assert_not_null(anew);
    cr_expect_eq(rig.memory->used_bytes, used, "no more room is used");
    cr_expect_eq(hf_memory_io_calls(rig.memory, HF_MEMORY_RENAME), renames + 2);
    struct hf_segment_header header;
    cr_assert_eq(hf_segment_header_decode(anew->durable, &header), HF_SEGMENT_VALID);
    cr_expect_eq(header.number, 5);
    cr_expect(hf_all_zero(anew->durable + 4096, SEGMENT_BYTES - 4096));
    begin_segment();
    begin_segment();
    expect_right();
}

/* Hundreds of segments, and a snapshot every three: as many files as in the beginning. */
Test(release, a_log_without_end_has_a_bounded_number_of_files)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < 300; i++) {
        begin_segment();
        if (i % 3 == 0)
            snapshot();
        if (i > 10 && most < rig.memory->used_bytes)
            most = rig.memory->used_bytes;
        if (i % 50 == 0)
            expect_right();
    }
    cr_expect_leq(most, 11 * SEGMENT_BYTES, "%llu bytes", (unsigned long long)most);
    cr_expect_gt(rig.store->log.flusher.segment.number, 300u);
    expect_right();
}

/* The disk has no room for another segment; but the log has all that it needs. */
Test(release, a_full_disk_does_not_stop_a_log_of_bounded_size)
{
    for (uint32_t i = 0; i < 12; i++) {
        begin_segment();
        if (i % 3 == 0)
            snapshot();
    }
    uint64_t most = rig.memory->used_bytes;
    hf_memory_io_set_room(rig.memory, most + SEGMENT_BYTES / 2); /* for a snapshot */
    for (uint32_t i = 0; i < 60; i++) {
        hf_store_rig_fill_until(&rig, rig.store->log.flusher.segment.number + 1);
        snapshot();
        cr_assert_eq(hf_log_step(&rig.store->log), 0, "segment %llu",
                     (unsigned long long)rig.store->log.flusher.segment.number);
    }
    expect_right();
}

/* Without a snapshot it stops, refuses what it could not record, and goes on when one is made. */
Test(release, a_full_log_goes_on_when_a_snapshot_releases_a_segment)
{
    begin_segment();
    snapshot();
    begin_segment();
    hf_memory_io_set_room(rig.memory, rig.memory->used_bytes);
    hf_store_rig_fill_until(&rig, rig.store->log.flusher.segment.number + 1);
    cr_assert_eq(hf_log_step(&rig.store->log), -ENOSPC);
    hf_memory_io_set_room(rig.memory, rig.memory->used_bytes + SEGMENT_BYTES / 2);
    cr_assert_eq(hf_log_step(&rig.store->log), -ENOSPC);
    snapshot();
    cr_assert_eq(hf_log_step(&rig.store->log), 0, "segment 1 is the next");
    hf_store_rig_fill_until(&rig, rig.store->log.flusher.segment.number + 1);
    expect_right();
}

/* ---- what goes wrong ---- */

Test(release, a_file_that_cannot_be_removed_is_left_behind)
{
    begin_segment();
    begin_segment();
    begin_segment();
    snapshot();
    hf_memory_io_fail(rig.memory, HF_MEMORY_REMOVE, 0, 1, -EIO);
    uint64_t second = snapshot();
    cr_expect_not_null(segment_file(1), "it is still there");
    cr_expect_null(segment_file(2), "but the next is gone");
    hf_memory_io_fail(rig.memory, HF_MEMORY_REMOVE, 0, 1, -EIO);
    uint64_t third = snapshot();
    expect_right();
    cr_assert_eq(hf_store_rig_crash(&rig), 0, "%s", rig.text);
    cr_expect_null(segment_file(1), "the next start removes it");
    uint64_t fourth = snapshot();
    expect_files("3 4 5", third, fourth);
    cr_expect_neq(second, third);
}

/* Each call that preparing anew makes fails once: then it is done again, with what is there. */
Test(release, preparing_anew_that_fails_is_done_again)
{
    static const enum hf_memory_operation operations[] = {
        HF_MEMORY_RENAME, HF_MEMORY_SYNC_DIRECTORY, HF_MEMORY_OPEN,
        HF_MEMORY_WRITE,  HF_MEMORY_SYNC_FILE,
    };
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        begin_segment();
        snapshot();
        begin_segment();
        snapshot();
        hf_store_rig_fill_until(&rig, rig.store->log.flusher.segment.number + 1);
        hf_memory_io_fail(rig.memory, operations[i], 0, 1, -EIO);
        cr_expect_eq(hf_log_step(&rig.store->log), -EIO, "call %d", (int)operations[i]);
        expect_right();
        cr_expect_eq(hf_log_step(&rig.store->log), 0);
        expect_right();
        begin_segment();
        expect_right();
    }
}

/* ---- under a reader ---- */

static struct hf_tail_reader *open_reader(void)
{
    struct hf_tail_log log = hf_tail_log_of(&rig.store->log, NULL);
    struct hf_tail_reader *reader;
    cr_assert_eq(hf_tail_reader_open(&reader, &log), 0);
    return reader;
}

static uint8_t room[HF_MAX_CHAIN_RECORDS * HF_RECORD_BYTES];

static enum hf_tail_read next(struct hf_tail *tail, struct hf_tail_reader *reader)
{
    struct hf_tail_span span;
    enum hf_tail_read read;
    do
        read = hf_tail_next(tail, reader, hf_tail_limit(&rig.store->log.flusher), room,
                            HF_MAX_CHAIN_RECORDS, &span);
    while (read == HF_TAIL_AGAIN);
    return read;
}

/* The first LSN of a segment. */
static uint64_t first_lsn(uint64_t segment)
{
    struct hf_block block;
    cr_assert_eq(hf_block_read_header(segment_file(segment)->bytes + 4096, &block), HF_BLOCK_VALID);
    return block.first_lsn;
}

/* A reader in segment 1: it has read a part of it, and holds its file open. Then that is removed, or
 * prepared anew, or prepared anew and written to. */
static void expect_let_go(uint32_t anew)
{
    begin_segment();
    begin_segment();
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail tail = {.next_lsn = 1};
    cr_assert_eq(next(&tail, reader), HF_TAIL_RECORDS);
    cr_assert_lt(tail.next_lsn, first_lsn(2));
    snapshot();
    snapshot();
    for (uint32_t i = 0; i < anew; i++)
        begin_segment();
    uint64_t kept = hf_segments_first(&rig.store->log.segments);
    /* What it had read ahead it may still tell. */
    enum hf_tail_read read;
    while ((read = next(&tail, reader)) == HF_TAIL_RECORDS && tail.next_lsn < first_lsn(kept))
        ;
    if (read != HF_TAIL_RECORDS) {
        cr_expect_eq(read, HF_TAIL_NOT_KEPT, "%d: %s", (int)read, hf_tail_reader_text(reader));
        cr_expect_eq(hf_tail_first_lsn(reader), first_lsn(kept));
    }
    hf_tail_seek(&tail, 1);
    cr_expect_eq(next(&tail, reader), HF_TAIL_NOT_KEPT);
    cr_expect_eq(hf_tail_first_lsn(reader), first_lsn(kept));
    hf_tail_seek(&tail, first_lsn(kept));
    cr_expect_eq(next(&tail, reader), HF_TAIL_RECORDS);
    cr_expect_eq(hf_get_u64(room), first_lsn(kept));
    hf_tail_reader_close(reader);
}

Test(release, a_reader_is_told_that_its_segment_was_removed)
{
    expect_let_go(0);
}

Test(release, a_reader_is_told_that_its_segment_was_prepared_anew)
{
    expect_let_go(1);
}

Test(release, a_reader_is_told_that_another_segment_stands_in_the_place_of_its_own)
{
    expect_let_go(4);
}

/* Its next block was not read ahead: what stands there now is none, or another segment's. */
Test(release, a_reader_never_takes_what_it_finds_there_for_its_own)
{
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail tail = {.next_lsn = 1};
    cr_assert_eq(next(&tail, reader), HF_TAIL_RECORDS);
    begin_segment(); /* the buffer has nothing of what comes now */
    begin_segment();
    snapshot();
    begin_segment();
    snapshot();
    begin_segment(); /* 1 is prepared anew, as 6 */
    cr_assert_null(segment_file(1));
    cr_expect_eq(next(&tail, reader), HF_TAIL_NOT_KEPT);
    begin_segment();
    begin_segment(); /* 6 is written to: right blocks, of another segment */
    tail = (struct hf_tail){.next_lsn = 3, .segment = 1, .offset = 4096, .block_lsn = 1};
    cr_expect_eq(next(&tail, reader), HF_TAIL_NOT_KEPT);
    hf_tail_reader_close(reader);
}

/* The server removes nothing, as somebody else reads; a crash has left gaps. */
Test(release, a_reader_passes_the_gaps_that_a_crash_has_left)
{
    for (uint32_t i = 0; i < 7; i++)
        begin_segment();
    snapshot();
    int keep = hold_keep();
    snapshot();
    struct hf_memory_io *left = hf_store_rig_copy_disk(&rig);
    uint64_t lsn = first_lsn(2), first = first_lsn(6);
    static const uint64_t gone[] = {2, 3, 5};
    for (int i = 0; i < 3; i++) {
        char name[HF_SEGMENT_NAME_BYTES];
        hf_segment_name_format(gone[i], name);
        left->io.remove_file(&left->io, "", name);
    }
    left->io.sync_directory(&left->io, "");
    cr_assert_eq(hf_store_rig_restart_on(&rig, left), 0, "%s", rig.text);
    reserve();
    hf_store_rig_write(&rig);
    cr_assert_not_null(segment_file(1), "nothing is removed");
    struct hf_tail_reader *reader = open_reader();
    struct hf_tail tail = {.next_lsn = lsn};
    cr_expect_eq(next(&tail, reader), HF_TAIL_NOT_KEPT, "%s", hf_tail_reader_text(reader));
    cr_expect_eq(hf_tail_first_lsn(reader), first);
    tail = (struct hf_tail){.next_lsn = rig.last_lsn};
    cr_expect_eq(next(&tail, reader), HF_TAIL_RECORDS, "%s", hf_tail_reader_text(reader));
    tail = (struct hf_tail){.next_lsn = first};
    cr_expect_eq(next(&tail, reader), HF_TAIL_RECORDS, "%s", hf_tail_reader_text(reader));
    hf_tail_reader_close(reader);
    close(keep);
}
