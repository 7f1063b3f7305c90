/* Reading ahead: that the read is made meanwhile, or when it is asked for, and what it told; and the
 * buffers for it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "wal/io.h"
#include "wal/read_ahead.h"

#define HUGE_PAGE_BYTES (2u << 20)
#define PATIENCE_S      20

/* A disk that tells of each read, and lets it end when it is told to. */
static struct {
    struct hf_io io;
    sem_t began, may_end;
    uint32_t reads;
    pthread_t reader; /* of the newest read */
    bool takes_signals;
    ssize_t result; /* of all reads; 0: what was asked for */
} disk;

static struct hf_read_ahead ahead;

static ssize_t read_at(struct hf_io *io, int file, void *buffer, size_t bytes, uint64_t offset)
{
    sigset_t blocked;
    cr_assert_eq(io, &disk.io);
    disk.reads++;
    disk.reader = pthread_self();
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    disk.takes_signals = !sigismember(&blocked, SIGTERM);
    sem_post(&disk.began);
    sem_wait(&disk.may_end);
    if (disk.result != 0)
        return disk.result;
    memset(buffer, (int)(offset + (unsigned)file), bytes);
    return (ssize_t)bytes;
}

static void open_disk(bool concurrent)
{
    disk.io = (struct hf_io){.concurrent = concurrent, .read_at = read_at};
    disk.reads = 0;
    disk.result = 0;
    sem_init(&disk.began, 0, 0);
    sem_init(&disk.may_end, 0, 0);
    hf_read_ahead_init(&ahead, &disk.io);
}

static bool begins(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    return sem_timedwait(&disk.began, &until) == 0;
}

TestSuite(read_ahead, .timeout = 60);

Test(read_ahead, a_read_is_made_while_its_caller_does_something_else)
{
    uint8_t buffer[8] = {0};
    open_disk(true);
    hf_read_ahead_begin(&ahead, 3, buffer, sizeof buffer, 100);
    cr_assert(begins(), "without the caller");
    cr_expect_not(pthread_equal(disk.reader, pthread_self()));
    cr_expect_not(disk.takes_signals);
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    cr_expect_not(sigismember(&blocked, SIGTERM), "the caller takes them as before");
    sem_post(&disk.may_end);
    cr_expect_eq(hf_read_ahead_end(&ahead), (ssize_t)sizeof buffer);
    cr_expect_eq(buffer[7], 103);
    hf_read_ahead_close(&ahead);
    cr_expect_eq(disk.reads, 1);
}

Test(read_ahead, a_disk_for_one_thread_is_read_by_that_thread_when_it_asks)
{
    uint8_t buffer[8] = {0};
    open_disk(false);
    hf_read_ahead_begin(&ahead, 3, buffer, sizeof buffer, 100);
    cr_expect_eq(disk.reads, 0);
    sem_post(&disk.may_end);
    cr_expect_eq(hf_read_ahead_end(&ahead), (ssize_t)sizeof buffer);
    cr_expect(pthread_equal(disk.reader, pthread_self()));
    cr_expect(disk.takes_signals, "it is as it was");
    cr_expect_eq(buffer[0], 103);
    hf_read_ahead_close(&ahead);
}

Test(read_ahead, one_read_after_the_other_tells_its_own_result)
{
    /* A short read, an error, and whole ones, by a thread and without. */
    static const ssize_t results[] = {0, 5, -EIO, 0, -EINTR};
    uint8_t buffer[8];
    for (int concurrent = 0; concurrent < 2; concurrent++) {
        open_disk(concurrent);
        for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
            ssize_t expected = results[i] != 0 ? results[i] : (ssize_t)sizeof buffer;
            disk.result = results[i];
            hf_read_ahead_begin(&ahead, 0, buffer, sizeof buffer, i);
            sem_post(&disk.may_end);
            cr_expect_eq(hf_read_ahead_end(&ahead), expected, "read %zu", i);
            if (results[i] == 0)
                cr_expect_eq(buffer[0], i);
        }
        hf_read_ahead_close(&ahead);
        cr_expect_eq(disk.reads, sizeof results / sizeof results[0]);
    }
}

Test(read_ahead, a_read_that_was_dropped_is_over_and_no_other_reads_result)
{
    uint8_t dropped[8] = {0}, buffer[8] = {0};
    open_disk(true);
    hf_read_ahead_drop(&ahead); /* there is none */
    hf_read_ahead_begin(&ahead, 0, dropped, sizeof dropped, 7);
    sem_post(&disk.may_end);
    hf_read_ahead_drop(&ahead);
    cr_expect_eq(dropped[7], 7, "nobody writes there any more: it was written");
    disk.result = 3;
    hf_read_ahead_begin(&ahead, 0, buffer, sizeof buffer, 9);
    sem_post(&disk.may_end);
    cr_expect_eq(hf_read_ahead_end(&ahead), 3);
    hf_read_ahead_begin(&ahead, 0, dropped, sizeof dropped, 11);
    sem_post(&disk.may_end);
    hf_read_ahead_close(&ahead); /* with one under way */
}

Test(read_ahead, a_read_that_was_dropped_before_it_was_asked_for_is_never_made)
{
    uint8_t buffer[8];
    open_disk(false);
    hf_read_ahead_begin(&ahead, 0, buffer, sizeof buffer, 7);
    hf_read_ahead_drop(&ahead);
    hf_read_ahead_begin(&ahead, 0, buffer, sizeof buffer, 8);
    hf_read_ahead_close(&ahead);
    cr_expect_eq(disk.reads, 0);
}

Test(read_ahead, buffers_are_aligned_zero_and_whole)
{
    for (size_t bytes = HUGE_PAGE_BYTES; bytes <= 3 * HUGE_PAGE_BYTES; bytes += HUGE_PAGE_BYTES) {
        uint8_t *buffer = hf_read_buffer_map(bytes);
        cr_assert_not_null(buffer);
        cr_expect_eq((uintptr_t)buffer % HUGE_PAGE_BYTES, 0);
        cr_expect(buffer[0] == 0 && memcmp(buffer, buffer + 1, bytes - 1) == 0);
        memset(buffer, 1, bytes);
        hf_read_buffer_unmap(buffer, bytes);
    }
    hf_read_buffer_unmap(NULL, HUGE_PAGE_BYTES);
}
