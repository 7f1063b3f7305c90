/*
 * The log on real directories: opened fresh, opened again, after a crash, damaged, twice at once.
 *
 * Writes are made at once, by the thread that submits them; their completions wait until the test
 * settles them. A crash is a log that is left as it is, without its STOP block.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tests/lib/built_snapshot.h"
#include "tests/lib/process.h"
#include "wal/log.h"
#include "wal/segment_header.h"

#define RING_SLOTS    32768 /* tests append a segment and more before the flusher runs */
#define SEGMENT_BYTES (1u << 20)
#define HOUR_NS       (3600 * HF_NS_PER_S)
#define SEGMENT_1     "0000000000000001.wal"

struct sync_queue {
    struct hf_write_queue queue;
    struct {
        uint32_t cookie;
        int result;
    } done[HF_MAX_INFLIGHT];
    uint32_t count;
};

static char directory[HF_DIRECTORY_TEXT_BYTES];
static char error[HF_LOG_ERROR_BYTES];
static struct hf_log log_now;
static struct sync_queue queue;
static uint64_t replayed;       /* records, since the log was opened */
static uint64_t replay_ends;    /* calls of replay_end() */
static uint64_t refused_lsn;    /* the record that replay refuses; 0: none */
static uint32_t restored;       /* records of a snapshot */
static uint32_t refused_record; /* the one of them that is refused, from 0 */
static const char *refused_end; /* what replay_end() says */
static struct hf_progress progress;
static uint64_t cancelling_lsn; /* with this record, the recovery is cancelled; 0: it is not */

static void submit(struct hf_write_queue *given, int file, const void *buffer, uint32_t bytes,
                   uint64_t offset, uint32_t cookie)
{
    struct sync_queue *self = (struct sync_queue *)given;
    ssize_t result = pwrite(file, buffer, bytes, (off_t)offset);
    cr_assert_lt(self->count, HF_MAX_INFLIGHT);
    self->done[self->count].cookie = cookie;
    self->done[self->count].result = result < 0 ? -errno : (int)result;
    self->count++;
}

static void settle(void)
{
    while (queue.count != 0) {
        queue.count--;
        hf_flusher_complete(&log_now.flusher, &queue.queue, queue.done[queue.count].cookie,
                            queue.done[queue.count].result);
    }
}

/* Every record holds its LSN a second time. */
static const char *replay(void *context, const uint8_t *records, uint32_t count, uint32_t *fault)
{
    (void)context;
    cr_expect_gt(count, 0);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *record = records + (size_t)i * HF_RECORD_BYTES;
        replayed++;
        if (hf_get_u64(record) == cancelling_lsn)
            hf_progress_cancel(&progress);
        cr_expect_eq(hf_get_u64(record), replayed, "in the order of the LSNs, once");
        cr_expect_eq(hf_get_u64(record + HF_RECORD_IMAGE), replayed);
        *fault = i;
        if (hf_get_u64(record) == refused_lsn)
            return "it was asked to be refused";
    }
    return NULL;
}

static const char *restore(void *context, const uint8_t *records, uint32_t count,
                           uint64_t log_time_ns, uint32_t *fault)
{
    (void)context;
    (void)records;
    (void)log_time_ns;
    cr_expect_gt(count, 0);
    *fault = refused_record - restored;
    bool refuses = refused_record >= restored && refused_record < restored + count;
    restored += count;
    return refuses ? "it was asked to be refused" : NULL;
}

static const char *replay_end(void *context, uint64_t epoch)
{
    (void)epoch;
    (void)context;
    replay_ends++;
    return refused_end;
}

static void fail_test(void *context, const char *text)
{
    (void)context;
    cr_assert_fail("%s", text);
}

static int try_open(struct hf_log *log)
{
    struct hf_log_options options = {
        .directory = directory,
        .segment_bytes = SEGMENT_BYTES,
        .on_failure = fail_test,
        .replay = replay,
        .restore = restore,
        .replay_end = replay_end,
        .progress = &progress,
        .ring_slots = RING_SLOTS,
    };
    progress = (struct hf_progress){0};
    replayed = replay_ends = 0;
    queue = (struct sync_queue){.queue = {.submit = submit}};
    return hf_log_open(log, &options, error);
}

static void open_log(void)
{
    cr_assert_eq(try_open(&log_now), 0, "%s", error);
    cr_assert_eq(replay_ends, 1);
}

static void append(uint32_t count)
{
    struct hf_ring_producer producer;
    hf_ring_producer_init(&producer, &log_now.ring);
    for (; count > 0; count--) {
        uint64_t lsn;
        while (!hf_ring_credit(&producer, 1)) { /* that next segment again */
            hf_flusher_run(&log_now.flusher, &queue.queue);
            settle();
        }
        struct hf_ring_slot *slot = hf_ring_reserve(&producer, &lsn);
        memset(slot->image, 0, sizeof slot->image);
        hf_put_u64(slot->image, lsn);
        hf_ring_publish(slot, lsn);
    }
    hf_ring_producer_close(&producer);
    /* Again if the next segment, which a thread prepares, was not there yet. */
    do {
        hf_flusher_run(&log_now.flusher, &queue.queue);
        settle();
    } while (hf_flusher_stalled(&log_now.flusher));
    cr_assert_eq(hf_flusher_commit_lsn(&log_now.flusher), hf_load_relaxed(&log_now.ring.tail) - 1);
}

static void close_log(void)
{
    cr_assert(hf_flusher_idle(&log_now.flusher));
    cr_assert_eq(hf_log_close(&log_now), 0);
}

/* The process is gone, as far as the log can tell. */
static void crash(void)
{
    hf_segments_close(&log_now.segments);
    hf_flusher_close(&log_now.flusher);
    hf_ring_close(&log_now.ring);
    close(log_now.lock);
}

/* From now on the log's directory is `name` within what it was. */
static void descend(const char *name)
{
    size_t length = strlen(directory);
    snprintf(directory + length, sizeof directory - length, "/%s", name);
}

static void path_of(const char *name, char path[HF_DIRECTORY_TEXT_BYTES + 64])
{
    snprintf(path, HF_DIRECTORY_TEXT_BYTES + 64, "%s/%s", directory, name);
}

static void poke(const char *name, uint64_t offset, const void *bytes, size_t count)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 64];
    path_of(name, path);
    int file = open(path, O_RDWR | O_CREAT, 0600);
    cr_assert_geq(file, 0);
    cr_assert_eq(pwrite(file, bytes, count, (off_t)offset), (ssize_t)count);
    close(file);
}

static void peek(const char *name, uint64_t offset, void *bytes, size_t count)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 64];
    path_of(name, path);
    int file = open(path, O_RDONLY);
    cr_assert_geq(file, 0);
    cr_assert_eq(pread(file, bytes, count, (off_t)offset), (ssize_t)count);
    close(file);
}

static bool exists(const char *name)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 64];
    path_of(name, path);
    return access(path, F_OK) == 0;
}

static void expect_error(const char *part)
{
    cr_expect_not_null(strstr(error, part), "%s", error);
    cr_expect_null(strchr(error, '\n'), "one line");
}

static void make_directory(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
}

static void remove_directory(void)
{
    hf_directory_remove(directory);
}

TestSuite(log, .init = make_directory, .fini = remove_directory, .timeout = 60);

/* ---- opened and closed ---- */

Test(log, a_directory_that_is_missing_is_made_and_begins_a_new_log)
{
    descend("new");
    open_log();
    cr_expect(log_now.recovery.created);
    cr_expect_eq(log_now.recovery.records, 0);
    cr_expect_eq(log_now.recovery.blocks, 0);
    cr_expect_eq(log_now.flusher.epoch, 1);
    append(1);
    cr_expect_eq(hf_flusher_commit_lsn(&log_now.flusher), 1);
    close_log();
    *strrchr(directory, '/') = '\0';
}

Test(log, what_was_appended_is_replayed_and_the_epoch_grows_with_every_start)
{
    uint64_t records = 0;
    uint8_t log_id[16];
    for (uint64_t epoch = 1; epoch <= 4; epoch++) {
        open_log();
        cr_expect_eq(replayed, records);
        cr_expect_eq(log_now.recovery.records, records);
        cr_expect_eq(log_now.recovery.created, epoch == 1);
        cr_expect_eq(log_now.recovery.stopped, epoch != 1);
        cr_expect_eq(log_now.recovery.cut_bytes, 0);
        cr_expect_eq(log_now.flusher.epoch, epoch);
        cr_expect_eq(hf_flusher_commit_lsn(&log_now.flusher), records);
        if (epoch == 1)
            memcpy(log_id, log_now.flusher.log_id, sizeof log_id);
        cr_expect_arr_eq(log_now.flusher.log_id, log_id, sizeof log_id);
        append(10);
        append(50);
        records += 60;
        close_log();
    }
}

Test(log, after_a_crash_all_that_was_committed_is_there)
{
    open_log();
    append(7);
    append(3);
    crash();
    open_log();
    cr_expect_eq(replayed, 10);
    cr_expect_not(log_now.recovery.stopped);
    cr_expect_eq(log_now.recovery.cut_bytes, 0);
    cr_expect_eq(log_now.flusher.epoch, 2);
    close_log();
}

Test(log, a_log_of_several_segments_goes_on_in_the_last_one)
{
    open_log();
    for (int i = 0; i < 3; i++)
        append(8000);
    close_log();
    cr_expect(exists("0000000000000003.wal"));
    open_log();
    cr_expect_eq(replayed, 24000);
    append(1);
    crash();
    open_log();
    cr_expect_eq(replayed, 24001);
    close_log();
}

Test(log, its_clock_never_goes_back_behind_what_it_wrote)
{
    open_log();
    log_now.clock.date_at_boot_ns += HOUR_NS; /* the wall clock was an hour ahead */
    append(1);
    uint64_t written_ns = hf_server_clock_now_ns(&log_now.clock);
    crash();
    open_log();
    cr_expect_geq(hf_server_clock_now_ns(&log_now.clock) + HF_NS_PER_S, written_ns);
    cr_expect_gt(hf_server_clock_now_ns(&log_now.clock), hf_date_now_ns() + HOUR_NS / 2);
    close_log();
}

Test(log, leftovers_of_preparing_are_removed_and_other_files_are_left_alone)
{
    open_log();
    append(1);
    close_log();
    poke("0000000000000009.wal.tmp", 0, "half", 4);
    poke("notes.txt", 0, "mine", 4);
    open_log();
    cr_expect_not(exists("0000000000000009.wal.tmp"));
    cr_expect(exists("notes.txt"));
    cr_expect_eq(replayed, 1);
    close_log();
}

/* ---- progress ---- */

/* Three segments: behind the last block, all that was read of them is done, and every record told. */
Test(log, recovery_tells_how_far_it_is)
{
    open_log();
    cr_expect_eq(hf_load_relaxed(&progress.total_bytes), 0, "there was nothing to read");
    for (int i = 0; i < 3; i++)
        append(8000);
    close_log();
    open_log();
    uint64_t done_bytes = hf_load_relaxed(&progress.done_bytes);
    cr_expect_geq(done_bytes, log_now.recovery.bytes);
    cr_expect_geq(hf_load_relaxed(&progress.total_bytes), done_bytes);
    cr_expect_eq(hf_load_relaxed(&progress.records), 24000);
    close_log();
}

/* Cancelled in the middle of the second segment: the log is given up as it was, at once. */
Test(log, a_recovery_that_is_cancelled_changes_nothing)
{
    open_log();
    for (int i = 0; i < 3; i++)
        append(8000);
    close_log();
    cancelling_lsn = 12000;
    cr_expect_eq(try_open(&log_now), -ECANCELED);
    expect_error("broken off");
    cr_expect_geq(replayed, 12000);
    cr_expect_lt(replayed, 24000);
    cr_expect_eq(replay_ends, 0);
    cancelling_lsn = 0;
    open_log();
    cr_expect_eq(replayed, 24000);
    cr_expect_eq(log_now.flusher.epoch, 2);
    cr_expect(log_now.recovery.stopped, "nobody wrote since");
    close_log();
}

/* ---- torn tails and damage ---- */

Test(log, what_a_torn_write_left_is_cut_and_zeroed)
{
    open_log();
    append(5);
    uint32_t end = log_now.flusher.segment_offset;
    crash();
    uint8_t half[2000], found[HF_BLOCK_ALIGN_BYTES], zeros[HF_BLOCK_ALIGN_BYTES] = {0};
    memset(half, 0xa5, sizeof half);
    poke(SEGMENT_1, end, half, sizeof half);
    poke(SEGMENT_1, end + 5 * HF_BLOCK_ALIGN_BYTES, half, sizeof half);
    open_log();
    cr_expect_eq(replayed, 5);
    cr_expect_eq(log_now.recovery.cut_bytes, 6 * HF_BLOCK_ALIGN_BYTES);
    cr_expect_eq(log_now.recovery.cut_blocks, 0);
    cr_expect_not(log_now.recovery.stopped);
    cr_expect_eq(log_now.flusher.segment_offset, end + HF_BLOCK_ALIGN_BYTES, "the START block");
    peek(SEGMENT_1, end + 5 * HF_BLOCK_ALIGN_BYTES, found, sizeof found);
    cr_expect_arr_eq(found, zeros, sizeof zeros);
    append(2);
    crash();
    open_log();
    cr_expect_eq(replayed, 7);
    cr_expect_eq(log_now.recovery.cut_bytes, 0, "it is cut once");
    close_log();
}

Test(log, a_last_block_that_nothing_attests_is_cut_when_it_is_damaged)
{
    open_log();
    append(5);
    uint32_t start = log_now.flusher.segment_offset;
    append(3);
    crash();
    poke(SEGMENT_1, start + HF_BLOCK_HEADER_BYTES + 20, "x", 1);
    open_log();
    cr_expect_eq(replayed, 5, "it looks like a write that was in flight");
    cr_expect_eq(log_now.recovery.cut_bytes, HF_BLOCK_ALIGN_BYTES);
    append(1);
    close_log();
    open_log();
    cr_expect_eq(replayed, 6);
    close_log();
}

Test(log, damage_to_what_was_committed_keeps_the_server_from_starting)
{
    open_log();
    uint32_t start = log_now.flusher.segment_offset;
    append(5);
    append(3);
    close_log();
    uint8_t before[HF_BLOCK_ALIGN_BYTES], after[HF_BLOCK_ALIGN_BYTES];
    poke(SEGMENT_1, start + HF_BLOCK_HEADER_BYTES + 20, "x", 1);
    peek(SEGMENT_1, start, before, sizeof before);
    cr_expect_eq(try_open(&log_now), -EBADMSG);
    expect_error(SEGMENT_1);
    expect_error("refusing to start");
    expect_error("holdfast-wal verify");
    peek(SEGMENT_1, start, after, sizeof after);
    cr_expect_arr_eq(before, after, sizeof before, "nothing is ever cut silently");

    poke(SEGMENT_1, start + HF_BLOCK_HEADER_BYTES + 20, "\0", 1);
    open_log();
    cr_expect_eq(replayed, 8, "repaired, it opens: the refusal changed nothing");
    close_log();
}

Test(log, a_record_of_a_snapshot_that_is_refused_is_named)
{
    /* The 101st of the second group of three. */
    open_log();
    append(5);
    close_log();
    hf_built_snapshot(hf_io_posix(), directory, 1, 3 * HF_SNAPSHOT_GROUP_RECORDS, 10);
    refused_record = HF_SNAPSHOT_GROUP_RECORDS + 100;
    char name[64];
    snprintf(name, sizeof name, "record %u of the snapshot", refused_record);
    cr_expect_eq(try_open(&log_now), -EBADMSG);
    expect_error(name);
    expect_error("it was asked to be refused");
    expect_error("holdfast-wal verify");
}

Test(log, a_missing_segment_keeps_the_server_from_starting)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 64];
    open_log();
    append(9000);
    close_log();
    path_of(SEGMENT_1, path);
    cr_assert_eq(unlink(path), 0);
    cr_expect_eq(try_open(&log_now), -EBADMSG);
    expect_error(SEGMENT_1);
}

Test(log, a_record_that_replay_refuses_is_named)
{
    open_log();
    append(5);
    close_log();
    refused_lsn = 4;
    cr_expect_eq(try_open(&log_now), -EBADMSG);
    expect_error("LSN 4");
    expect_error("it was asked to be refused");
    refused_lsn = 0;
    refused_end = "the sum is wrong";
    cr_expect_eq(try_open(&log_now), -EBADMSG);
    expect_error("the sum is wrong");
    refused_end = NULL;
    open_log();
    cr_expect_eq(log_now.flusher.epoch, 2, "a refused start writes nothing");
    close_log();
}

/* ---- directories ---- */

Test(log, a_second_opener_is_refused_and_told_who_holds_it)
{
    struct hf_log second;
    char holder[32];
    open_log();
    append(2);
    cr_expect_eq(try_open(&second), -EBUSY);
    snprintf(holder, sizeof holder, "process %ld", (long)getpid());
    expect_error(holder);
    cr_expect_eq(replayed, 0);
    crash();
    open_log();
    cr_expect_eq(replayed, 2, "one that is gone locks nobody out");
    close_log();
}

Test(log, a_directory_that_cannot_be_made_or_is_none_is_told_in_one_line)
{
    char real[HF_DIRECTORY_TEXT_BYTES];
    memcpy(real, directory, sizeof real);
    poke("file", 0, "x", 1);
    descend("file");
    cr_expect_lt(try_open(&log_now), 0);
    expect_error(directory);
    descend("below");
    cr_expect_lt(try_open(&log_now), 0);
    expect_error(directory);
    memcpy(directory, real, sizeof real);
}

Test(log, a_directory_that_may_not_be_written_to_is_told_in_one_line)
{
    cr_assert_eq(chmod(directory, 0500), 0);
    if (geteuid() == 0 && setegid(65534) == 0)
        cr_assert_eq(seteuid(65534), 0);
    cr_expect_eq(try_open(&log_now), -EACCES, "%s", error);
    expect_error(directory);
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
    chmod(directory, 0700);
}
