/*
 * The write queue on a real io_uring: what it asks the kernel for, and that a block is complete only
 * when it is durable. Failures are the kernel's own where a device or a limit brings them about, and
 * made up where none does.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/lib/process.h"
#include "wal/io_uring.h"

#define PAGE      4096u
#define USER_DATA (7ull << 56)

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct io_uring ring;
static struct hf_uring_queue queue;
static uint8_t *pages; /* one for each cookie, aligned */
static int file;

static void open_ring(void)
{
    char error[200];
    cr_assert_eq(hf_directory_make(directory), 0);
    cr_assert_eq(hf_uring_open(&ring, 16, error, sizeof error), 0, "%s", error);
    pages = aligned_alloc(PAGE, (size_t)HF_MAX_INFLIGHT * PAGE);
    cr_assert_not_null(pages);
    for (size_t i = 0; i < HF_MAX_INFLIGHT; i++)
        memset(pages + i * PAGE, (int)i + 1, PAGE);
    file = -1;
}

static void close_ring(void)
{
    if (file >= 0)
        close(file);
    io_uring_queue_exit(&ring);
    free(pages);
    hf_directory_remove(directory);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(io_uring, .init = open_ring, .fini = close_ring, .timeout = 60);

static void queue_for(enum hf_log_writes writes)
{
    hf_uring_queue_init(&queue, &ring, USER_DATA, writes);
}

static void open_at(const char *path, int flags)
{
    file = open(path, flags | O_CLOEXEC, 0600);
    cr_assert_geq(file, 0, "%s: %s", path, strerror(errno));
}

/* A new file below the test's directory, through the page cache. */
static void open_new(void)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 8];
    snprintf(path, sizeof path, "%s/file", directory);
    open_at(path, O_RDWR | O_CREAT);
}

static void submit(uint32_t cookie, uint32_t bytes)
{
    queue.queue.submit(&queue.queue, file, pages + (size_t)cookie * PAGE, bytes,
                       (uint64_t)cookie * PAGE, cookie);
}

/* The newest request, which the kernel has already. */
static const struct io_uring_sqe *asked(void)
{
    cr_expect_eq(io_uring_sq_ready(&ring), 0, "it is submitted at once");
    return &ring.sq.sqes[(ring.sq.sqe_tail - 1) & ring.sq.ring_mask];
}

/* Requests so far. */
static uint32_t asked_count(void)
{
    return ring.sq.sqe_tail;
}

/* Waits for one completion and has the queue reap it. */
static bool reap_one(uint32_t *cookie, int *result)
{
    struct io_uring_cqe *completion;
    cr_assert_eq(io_uring_wait_cqe(&ring, &completion), 0);
    cr_assert_eq(completion->user_data >> 8, USER_DATA >> 8);
    bool complete = hf_uring_queue_reap(&queue, completion, cookie, result);
    io_uring_cqe_seen(&ring, completion);
    return complete;
}

/* Writes one block and returns its result. *steps: completions that it took. */
static int write_block(uint32_t cookie, uint32_t bytes, uint32_t *steps)
{
    uint32_t given = 99, before = asked_count();
    int result = -1;
    submit(cookie, bytes);
    cr_expect_eq(queue.inflight, 1);
    for (*steps = 1; !reap_one(&given, &result); (*steps)++)
        cr_expect_eq(queue.inflight, 1, "it is not complete yet");
    cr_expect_eq(given, cookie);
    cr_expect_eq(queue.inflight, 0);
    cr_expect_eq(asked_count() - before, *steps, "nothing more is asked for");
    return result;
}

Test(io_uring, a_direct_write_asks_to_be_data_synced)
{
    /* Queues of both kinds that need no second step: the direct one, and one that was not told. */
    static const enum hf_log_writes ways[] = {HF_LOG_WRITES_DIRECT, HF_LOG_WRITES_AUTO};
    open_new();
    for (size_t i = 0; i < 2; i++) {
        queue_for(ways[i]);
        uint32_t before = asked_count();
        submit(3, PAGE);
        cr_expect_eq(asked()->opcode, IORING_OP_WRITE);
        cr_expect_eq(asked()->rw_flags, RWF_DSYNC);
        cr_expect_eq(asked()->off, 3 * PAGE);
        uint32_t cookie;
        int result;
        cr_expect(reap_one(&cookie, &result));
        cr_expect_eq(cookie, 3);
        cr_expect_eq(result, PAGE);
        cr_expect_eq(queue.inflight, 0);
        cr_expect_eq(asked_count() - before, 1);
    }
}

/* Pinned buffers are named by their place, and what is written of them is what is in them; another
 * buffer under the same cookie is written as always. */
Test(io_uring, pinned_buffers_are_written_as_others_are)
{
    uint8_t *buffers[HF_MAX_INFLIGHT], found[PAGE];
    uint32_t cookie;
    int result;
    queue_for(HF_LOG_WRITES_DIRECT);
    open_new();
    for (cookie = 0; cookie < HF_MAX_INFLIGHT; cookie++)
        buffers[cookie] = pages + (size_t)cookie * PAGE;
    hf_uring_queue_pin(&queue, buffers, PAGE);
    submit(3, PAGE);
    cr_expect_eq(asked()->opcode, IORING_OP_WRITE_FIXED);
    cr_expect_eq(asked()->rw_flags, RWF_DSYNC);
    cr_expect(reap_one(&cookie, &result) && cookie == 3 && result == PAGE);
    queue.queue.submit(&queue.queue, file, pages + 5 * PAGE, PAGE, 0, 3);
    cr_expect_eq(asked()->opcode, IORING_OP_WRITE);
    cr_expect(reap_one(&cookie, &result) && cookie == 3 && result == PAGE);
    cr_expect_eq(pread(file, found, PAGE, 3 * PAGE), PAGE);
    cr_expect_eq(found[0], 4);
    cr_expect_eq(pread(file, found, PAGE, 0), PAGE);
    cr_expect_eq(found[0], 6);
}

Test(io_uring, a_write_that_is_to_be_synced_is_complete_after_its_sync)
{
    uint32_t cookie = 99;
    int result = -1;
    open_new();
    queue_for(HF_LOG_WRITES_SYNC);
    submit(5, PAGE);
    cr_expect_eq(asked_count(), 1, "the sync is not asked for before the write is complete");
    cr_expect_eq(asked()->opcode, IORING_OP_WRITE);
    cr_expect_eq(asked()->rw_flags, 0);
    cr_expect_not(reap_one(&cookie, &result));
    cr_expect_eq(queue.inflight, 1);
    cr_assert_eq(asked_count(), 2);
    cr_expect_eq(asked()->opcode, IORING_OP_FSYNC);
    cr_expect_eq(asked()->fsync_flags, IORING_FSYNC_DATASYNC);
    cr_expect_eq(asked()->fd, file);
    cr_expect(reap_one(&cookie, &result));
    cr_expect_eq(cookie, 5);
    cr_expect_eq(result, PAGE);
    cr_expect_eq(queue.inflight, 0);
}

Test(io_uring, as_many_blocks_as_may_be_in_flight_complete_once_each)
{
    static const enum hf_log_writes ways[] = {HF_LOG_WRITES_DIRECT, HF_LOG_WRITES_SYNC};
    open_new();
    for (size_t i = 0; i < 2; i++) {
        uint32_t complete = 0;
        queue_for(ways[i]);
        for (uint32_t cookie = 0; cookie < HF_MAX_INFLIGHT; cookie++)
            submit(cookie, PAGE / (cookie + 1));
        cr_expect_eq(queue.inflight, HF_MAX_INFLIGHT);
        while (queue.inflight != 0) {
            uint32_t cookie;
            int result;
            if (!reap_one(&cookie, &result))
                continue;
            cr_assert_lt(cookie, HF_MAX_INFLIGHT);
            cr_expect_eq(complete & 1u << cookie, 0);
            complete |= 1u << cookie;
            cr_expect_eq(result, PAGE / (cookie + 1));
        }
        cr_expect_eq(complete, (1u << HF_MAX_INFLIGHT) - 1);
    }
    uint8_t byte;
    for (size_t i = 0; i < HF_MAX_INFLIGHT; i++) {
        cr_assert_eq(pread(file, &byte, 1, (off_t)(i * PAGE)), 1);
        cr_expect_eq(byte, i + 1);
    }
}

Test(io_uring, a_sync_that_fails_fails_the_block)
{
    /* /dev/null takes any write, and refuses to be synced. */
    uint32_t steps;
    open_at("/dev/null", O_WRONLY);
    queue_for(HF_LOG_WRITES_SYNC);
    cr_expect_eq(write_block(1, PAGE, &steps), -EINVAL);
    cr_expect_eq(steps, 2);
    queue_for(HF_LOG_WRITES_DIRECT);
    cr_expect_eq(write_block(1, PAGE, &steps), PAGE);
    cr_expect_eq(steps, 1);
}

Test(io_uring, a_write_that_fails_is_not_synced)
{
    uint32_t steps;
    open_at("/dev/full", O_WRONLY);
    static const enum hf_log_writes ways[] = {HF_LOG_WRITES_DIRECT, HF_LOG_WRITES_SYNC};
    for (size_t i = 0; i < 2; i++) {
        queue_for(ways[i]);
        cr_expect_eq(write_block(2, PAGE, &steps), -ENOSPC);
        cr_expect_eq(steps, 1);
    }
}

Test(io_uring, a_short_write_is_not_synced_and_told_as_it_is)
{
    /* A limit on the size of files cuts the write after 1000 bytes. */
    static const enum hf_log_writes ways[] = {HF_LOG_WRITES_DIRECT, HF_LOG_WRITES_SYNC};
    uint32_t steps;
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {.rlim_cur = 1000, .rlim_max = RLIM_INFINITY};
    open_new();
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 1000;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int results[2];
    for (size_t i = 0; i < 2; i++) {
        queue_for(ways[i]);
        results[i] = write_block(0, PAGE, &steps);
        cr_expect_eq(steps, 1);
    }
    limit.rlim_cur = limit.rlim_max; /* criterion writes files as well */
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_eq(results[0], 1000);
    cr_expect_eq(results[1], 1000);
}

/* The completion of a block's write or, after that, of its sync, as the test would have it. */
static bool pretend(int res, bool sync, uint32_t *cookie, int *result)
{
    static const uint64_t sync_bit = 0x80;
    struct io_uring_cqe completion = {.user_data = USER_DATA | 4 | (sync ? sync_bit : 0)};
    completion.res = res;
    return hf_uring_queue_reap(&queue, &completion, cookie, result);
}

Test(io_uring, no_result_of_a_sync_but_success_is_success_and_none_asks_for_another_try)
{
    /* What fdatasync may say, and what becomes of the block: the flusher repeats -EAGAIN, -EINTR. */
    static const struct {
        int sync, block;
    } cases[] = {
        {0, PAGE},         {-EIO, -EIO},   {-ENOSPC, -ENOSPC}, {-ECANCELED, -ECANCELED},
        {-EAGAIN, -EIO},   {-EINTR, -EIO}, {-EDQUOT, -EDQUOT}, {1, -EIO},
        {(int)PAGE, -EIO},
    };
    open_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t cookie = 99;
        int result = 0;
        queue_for(HF_LOG_WRITES_SYNC);
        queue.inflight = 1;
        queue.blocks[4].file = file;
        queue.blocks[4].bytes = PAGE;
        cr_expect_not(pretend(PAGE, false, &cookie, &result));
        cr_expect(pretend(cases[i].sync, true, &cookie, &result));
        cr_expect_eq(result, cases[i].block, "sync %d: %d", cases[i].sync, result);
        cr_expect_eq(cookie, 4);
        cr_expect_eq(queue.inflight, 0);
    }
}

Test(io_uring, a_write_that_was_not_attempted_is_told_as_such)
{
    /* -EAGAIN of the write: the flusher submits it again, and then it is synced. */
    uint32_t cookie = 99, steps;
    int result = 0;
    open_new();
    queue_for(HF_LOG_WRITES_SYNC);
    queue.inflight = 1;
    queue.blocks[4].file = file;
    queue.blocks[4].bytes = PAGE;
    cr_expect(pretend(-EAGAIN, false, &cookie, &result));
    cr_expect_eq(result, -EAGAIN);
    cr_expect_eq(queue.inflight, 0);
    cr_expect_eq(asked_count(), 0);
    cr_expect_eq(write_block(4, PAGE, &steps), PAGE);
    cr_expect_eq(steps, 2);
}
