/*
 * A log written each way (--log-writes), through a real io_uring on real file systems: what recovers,
 * what fails, and what a server says about it.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "holdfast/embedded.h"
#include "tests/lib/private_mount.h"
#include "tests/lib/process.h"
#include "wal/io_uring.h"
#include "wal/log.h"
#include "wal/segment_header.h"

#define SEGMENT_BYTES HF_MIN_SEGMENT_BYTES
#define SEGMENT_1     "0000000000000001.wal"

static const enum hf_log_writes ways[] = {HF_LOG_WRITES_AUTO, HF_LOG_WRITES_DIRECT,
                                          HF_LOG_WRITES_SYNC};

static char directory[HF_DIRECTORY_TEXT_BYTES];
static char error[HF_LOG_ERROR_BYTES];
static struct hf_log log_now;
static struct io_uring ring;
static struct hf_uring_queue queue;
static uint64_t replayed; /* records, since the log was opened */
static unsigned failures; /* told by the flusher */
static char failure[200];

static void make_directory(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
}

static void remove_directory(void)
{
    hf_private_unmount(directory); /* if the test mounted something */
    hf_directory_remove(directory);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(log_writes, .init = make_directory, .fini = remove_directory, .timeout = 120);

static void mount_or_skip(const char *type, const char *options)
{
    int result = hf_private_mount(type, options, directory);
    if (result == 0)
        return;
    hf_directory_remove(directory);
    cr_skip_test("cannot mount a %s here: %s", type, strerror(-result));
}

/* ---- a log in this process ---- */

static const char *replay(void *context, const uint8_t *records, uint32_t count, uint32_t *fault)
{
    (void)context;
    *fault = 0;
    for (uint32_t i = 0; i < count; i++) {
        replayed++;
        cr_expect_eq(hf_get_u64(records + (size_t)i * HF_RECORD_BYTES + HF_RECORD_IMAGE), replayed);
    }
    return NULL;
}

static const char *replay_end(void *context, uint64_t epoch)
{
    (void)epoch;
    (void)context;
    return NULL;
}

static void note_failure(void *context, const char *text)
{
    (void)context;
    failures++;
    snprintf(failure, sizeof failure, "%s", text);
}

static int try_open(enum hf_log_writes way, uint32_t writes_inflight)
{
    struct hf_log_options options = {
        .directory = directory,
        .segment_bytes = SEGMENT_BYTES,
        .writes_inflight = writes_inflight,
        .log_writes = way,
        .on_failure = note_failure,
        .replay = replay,
        .replay_end = replay_end,
    };
    replayed = failures = 0;
    return hf_log_open(&log_now, &options, error);
}

static void open_log(enum hf_log_writes way)
{
    cr_assert_eq(try_open(way, 0), 0, "%s", error);
    cr_assert_eq(hf_uring_open(&ring, 16, error, sizeof error), 0, "%s", error);
    hf_uring_queue_init(&queue, &ring, 0, log_now.disk.writes);
}

static void append(uint32_t count)
{
    struct hf_ring_producer producer;
    hf_ring_producer_init(&producer, &log_now.ring);
    for (; count > 0; count--) {
        uint64_t lsn;
        cr_assert(hf_ring_credit(&producer, 1));
        struct hf_ring_slot *slot = hf_ring_reserve(&producer, &lsn);
        memset(slot->image, 0, sizeof slot->image);
        hf_put_u64(slot->image, lsn);
        hf_ring_publish(slot, lsn);
    }
    hf_ring_producer_close(&producer);
}

/* Runs the flusher until all that was appended is durable, or the log has failed. */
static void flush(void)
{
    for (;;) {
        struct io_uring_cqe *completion;
        uint32_t cookie;
        int result;
        hf_flusher_run(&log_now.flusher, &queue.queue);
        hf_uring_submit_all(&ring);
        if (queue.inflight == 0) {
            if (failures != 0 || !hf_flusher_stalled(&log_now.flusher))
                return;
            usleep(500); /* the next segment is being prepared */
            continue;
        }
        cr_assert_eq(io_uring_wait_cqe(&ring, &completion), 0);
        if (hf_uring_queue_reap(&queue, completion, &cookie, &result))
            hf_flusher_complete(&log_now.flusher, &queue.queue, cookie, result);
        io_uring_cqe_seen(&ring, completion);
    }
}

static uint64_t committed(void)
{
    return hf_flusher_commit_lsn(&log_now.flusher);
}

/* The process is gone, as far as the log can tell. */
static void crash(void)
{
    io_uring_queue_exit(&ring);
    hf_segments_close(&log_now.segments);
    hf_flusher_close(&log_now.flusher);
    hf_recent_close(&log_now.recent);
    hf_ring_close(&log_now.ring);
    close(log_now.lock);
}

static void close_log(void)
{
    io_uring_queue_exit(&ring);
    cr_assert(hf_flusher_idle(&log_now.flusher));
    cr_assert_eq(hf_log_close(&log_now), 0);
}

/* Segments are filled, logs ended and crashed, each way behind each other. */
static void expect_that_logs_recover(void)
{
    uint64_t appended = 0;
    for (size_t i = 0; i < 9; i++) {
        open_log(ways[(i + i / 3) % 3]);
        cr_expect_eq(replayed, appended, "start %zu", i);
        for (unsigned groups = 0; groups < 20; groups++) {
            append(1 + groups * 20);
            appended += 1 + groups * 20;
            flush();
            cr_expect_eq(committed(), appended);
        }
        if (i % 2 == 0)
            crash();
        else
            close_log();
    }
    open_log(HF_LOG_WRITES_DIRECT);
    cr_expect_eq(replayed, appended);
    cr_expect_gt(log_now.flusher.segment.number, 2);
    close_log();
}

Test(log_writes, a_log_written_each_way_in_turn_recovers)
{
    expect_that_logs_recover();
}

Test(log_writes, a_log_on_a_file_system_without_direct_io_recovers)
{
    mount_or_skip("ramfs", NULL);
    cr_expect_eq(try_open(HF_LOG_WRITES_DIRECT, 0), -EOPNOTSUPP);
    cr_expect_not_null(strstr(error, "--log-writes sync"), "%s", error);
    cr_expect_not_null(strstr(error, directory), "%s", error);
    open_log(HF_LOG_WRITES_AUTO);
    append(5);
    flush();
    crash();
    open_log(HF_LOG_WRITES_SYNC);
    cr_expect_eq(replayed, 5);
    close_log();
}

Test(log_writes, through_the_page_cache_one_write_is_in_flight_whatever_was_asked_for)
{
    mount_or_skip("ramfs", NULL);
    cr_assert_eq(try_open(HF_LOG_WRITES_AUTO, 4), 0, "%s", error);
    cr_expect_eq(log_now.flusher.writes_inflight, 1);
    cr_expect_eq(log_now.disk.writes, HF_LOG_WRITES_SYNC);
    cr_assert_eq(hf_log_close(&log_now), 0);
}

Test(log_writes, with_direct_io_as_many_are_in_flight_as_was_asked_for)
{
    cr_assert_eq(try_open(HF_LOG_WRITES_SYNC, 3), 0, "%s", error);
    if (log_now.disk.direct.certain)
        cr_expect_eq(log_now.flusher.writes_inflight, 3);
    cr_expect_eq(log_now.disk.writes, HF_LOG_WRITES_SYNC);
    cr_expect(log_now.disk.fixed);
    cr_assert_eq(hf_log_close(&log_now), 0);
    cr_assert_eq(try_open(HF_LOG_WRITES_AUTO, 0), 0, "%s", error);
    cr_expect_not(log_now.disk.fixed);
    if (log_now.disk.direct.certain)
        cr_expect_gt(log_now.flusher.writes_inflight, 1);
    cr_assert_eq(hf_log_close(&log_now), 0);
}

/* ---- FAIL-STOP ---- */

/* From now on, blocks go to this device instead of the segment. */
static void redirect_segment(const char *device)
{
    int file = open(device, O_WRONLY | O_CLOEXEC);
    cr_assert_geq(file, 0);
    cr_assert_eq(dup2(file, log_now.flusher.segment.file), log_now.flusher.segment.file);
    close(file);
}

/* Appends once more, to a disk that fails; what was committed before stays all there is. */
static void expect_fail_stop(const char *device, enum hf_log_writes way, int expected)
{
    open_log(way);
    uint64_t before = replayed;
    append(3);
    flush();
    cr_expect_eq(committed(), before + 3);
    redirect_segment(device);
    append(2);
    flush();
    cr_expect_eq(failures, 1, "way %d on %s", way, device);
    cr_expect_not_null(strstr(failure, strerror(expected)), "%s", failure);
    cr_expect_not_null(strstr(failure, "FAIL-STOP"), "%s", failure);
    append(1);
    flush();
    cr_expect_eq(committed(), before + 3, "nothing more is acknowledged");
    crash();
}

Test(log_writes, a_disk_that_is_full_stops_the_log_each_way)
{
    expect_fail_stop("/dev/full", HF_LOG_WRITES_DIRECT, ENOSPC);
    expect_fail_stop("/dev/full", HF_LOG_WRITES_SYNC, ENOSPC);
}

Test(log_writes, a_sync_that_fails_stops_the_log)
{
    /* A device that takes every write, and refuses to be synced. */
    expect_fail_stop("/dev/null", HF_LOG_WRITES_SYNC, EINVAL);
}

/* ---- embedded, and servers ---- */

/* Makes an inventory and waits until the disk has it. */
static void change_something(struct hf_embedded *db)
{
    struct hf_session *session;
    struct hf_reply reply;
    uint64_t lsn;
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = 1, .capacity = 10};
    cr_assert_eq(hf_session_open(db, &session), 0);
    cr_assert_eq(hf_session_call(session, &request, &reply, &lsn), HF_CREATED);
    hf_session_wait(session, lsn);
    hf_session_close(session);
}

static struct hf_daemon server;
static char output[4096];

static void kill_server(void)
{
    hf_daemon_forget(&server);
    remove_directory();
}

TestSuite(log_writes_server, .init = make_directory, .fini = kill_server, .timeout = 120);

static void start_server(const char *way)
{
    const char *const extra[] = {"--segment-bytes", "1048576", "--log-writes", way, NULL};
    cr_assert_eq(hf_daemon_start_in(&server, directory, extra), 0, "%s", server.error);
}

/* `holdfast --server ADDRESS` with up to four words more. */
static int holdfast(const char *first, const char *second, const char *third, const char *fourth)
{
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfast", program);
    const char *const argv[] = {program, "--server", server.address, first,
                                second,  third,      fourth,         NULL};
    return hf_process_run_within(60, argv, output, sizeof output);
}

Test(log_writes_server, the_ready_line_says_how_the_log_is_written)
{
    start_server("auto");
    cr_expect_not_null(strstr(server.ready, "; log writes: direct, "), "%s", server.ready);
    cr_expect_eq(hf_daemon_stop(&server), 0);
    start_server("direct");
    cr_expect_not_null(strstr(server.ready, "; log writes: direct, data-synced, as asked for"),
                       "%s", server.ready);
    cr_expect_eq(hf_daemon_stop(&server), 0);
    start_server("sync");
    cr_expect_not_null(strstr(server.ready, "; log writes: direct, then fdatasync, as asked for"),
                       "%s", server.ready);
    cr_expect_eq(hf_daemon_stop(&server), 0);
}

Test(log_writes_server, without_direct_io_it_serves_says_so_and_survives_sigkill)
{
    char messages[2048];
    mount_or_skip("ramfs", NULL);
    for (uint64_t run = 0; run < 5; run++) {
        start_server("auto");
        cr_expect_not_null(strstr(server.ready, "through the page cache"), "%s", server.ready);
        cr_expect_eq(server.recovery.reservations, run * 4, "%s", server.ready);
        hf_daemon_messages(&server, messages, sizeof messages);
        cr_expect_not_null(strstr(messages, "is in memory"), "%s", messages);
        if (run == 0)
            cr_expect_eq(holdfast("inventory", "create", "1", "--capacity=100"), 0, "%s", output);
        for (unsigned i = 0; i < 4; i++)
            cr_expect_eq(holdfast("reserve", "1", "--customer=5", NULL), 0, "%s", output);
        hf_daemon_kill(&server);
    }
}

/* Threads of the kernel that do a process's blocking io_uring requests; a sync is always one. */
static unsigned count_io_threads(pid_t pid)
{
    char path[64], name[32];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    cr_assert_not_null(threads);
    for (const struct dirent *thread; (thread = readdir(threads)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/comm", (int)pid, thread->d_name);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        count += fgets(name, sizeof name, file) != NULL && strncmp(name, "iou-wrk", 7) == 0;
        fclose(file);
    }
    closedir(threads);
    return count;
}

Test(log_writes_server, the_workers_write_as_the_option_says)
{
    start_server("direct");
    cr_assert_eq(holdfast("inventory", "create", "1", "--capacity=100"), 0, "%s", output);
    cr_expect_eq(count_io_threads(server.pid), 0);
    hf_daemon_kill(&server);
    start_server("sync");
    cr_assert_eq(holdfast("reserve", "1", "--customer=5", NULL), 0, "%s", output);
    cr_expect_gt(count_io_threads(server.pid), 0);
}

Test(log_writes, an_embedded_log_is_written_as_its_option_says)
{
    struct hf_embedded *db;
    struct hf_embedded_options options = {
        .directory = directory,
        .segment_bytes = SEGMENT_BYTES,
        .log_writes = HF_EMBEDDED_LOG_WRITES_SYNC,
    };
    cr_assert_eq(hf_embedded_open(&options, &db, error), 0, "%s", error);
    change_something(db);
    cr_expect_gt(count_io_threads(getpid()), 0);
    cr_expect_eq(hf_embedded_close(db), 0);

    mount_or_skip("ramfs", NULL);
    options.log_writes = HF_EMBEDDED_LOG_WRITES_DIRECT;
    cr_expect_eq(hf_embedded_open(&options, &db, error), -EOPNOTSUPP);
    cr_expect_not_null(strstr(error, "direct I/O"), "%s", error);
    options.log_writes = HF_EMBEDDED_LOG_WRITES_AUTO;
    cr_assert_eq(hf_embedded_open(&options, &db, error), 0, "%s", error);
    change_something(db);
    cr_expect_eq(hf_embedded_close(db), 0);
}

/* Takes away the blocks of segment 1 behind its first `kept` bytes, and all the room there is. */
static void take_all_room(off_t kept)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 32];
    snprintf(path, sizeof path, "%s/" SEGMENT_1, directory);
    int segment = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(segment, 0);
    struct stat status;
    cr_assert_eq(fstat(segment, &status), 0);
    cr_assert_eq(
        fallocate(segment, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kept, status.st_size - kept),
        0);
    close(segment);
    static const uint8_t page[4096];
    snprintf(path, sizeof path, "%s/filler", directory);
    int filler = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(filler, 0);
    while (write(filler, page, sizeof page) == sizeof page)
        ;
    close(filler);
}

Test(log_writes_server, a_file_system_that_is_full_ends_the_server_and_nothing_is_acknowledged)
{
    /* A small tmpfs that is filled, and the segment's blocks taken away, below a running server. */
    static const char *const options[] = {"direct", "sync"};
    char path[HF_DIRECTORY_TEXT_BYTES + 32], messages[2048];
    mount_or_skip("tmpfs", "size=3m");
    for (size_t i = 0; i < 2; i++) {
        struct stat status;
        start_server(options[i]);
        cr_assert_eq(holdfast("inventory", "create", i == 0 ? "1" : "2", "--capacity=100"), 0, "%s",
                     output);
        snprintf(path, sizeof path, "%s/0000000000000002.wal", directory);
        while (stat(path, &status) != 0) /* the spare: it takes room as well */
            usleep(1000);
        take_all_room(256 * 1024);
        /* Until the log arrives at the hole. */
        int said = 0;
        for (unsigned tries = 0; tries < 200 && said == 0; tries++)
            said = holdfast("reserve", i == 0 ? "1" : "2", "--customer=5", NULL);
        cr_expect_eq(said, 3, "unknown, and not yes or no: %d: %s", said, output);
        int ended = 0;
        for (unsigned tries = 0; tries < 1000 && hf_daemon_running(&server, &ended); tries++)
            usleep(1000);
        cr_expect_eq(ended, 70);
        hf_daemon_messages(&server, messages, sizeof messages);
        cr_expect_not_null(strstr(messages, "FAIL-STOP"), "%s", messages);
        snprintf(path, sizeof path, "%s/filler", directory);
        cr_expect_eq(unlink(path), 0);
    }
}
