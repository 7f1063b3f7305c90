/*
 * What holdfastd-slow has in the place of the real disk: see tests/lib/slow_disk.h.
 *
 * The linker puts these two in front of the real ones (--wrap), so nothing of the product knows of
 * them. Reads sleep before they go on. A write of a block that is to be held back is submitted behind
 * a time-out in one chain: so it is in flight, as on a disk that stalls, and its worker is free.
 */
#include <liburing.h>
#include <stdlib.h>

#include "base/atomics.h"
#include "base/check.h"
#include "base/clock.h"
#include "net/traffic.h"
#include "tests/lib/slow_disk.h"
#include "wal/io.h"
#include "wal/io_uring.h"

#define TIMEOUTS 64 /* as many as can be submitted before the kernel has copied the first */

struct hf_io *__real_hf_io_posix(void);
struct hf_io *__wrap_hf_io_posix(void);
void __real_hf_uring_queue_init(struct hf_uring_queue *queue, struct io_uring *ring,
                                uint64_t user_data, enum hf_log_writes writes);
void __wrap_hf_uring_queue_init(struct hf_uring_queue *queue, struct io_uring *ring,
                                uint64_t user_data, enum hf_log_writes writes);

static struct hf_slow_disk *disk;
static struct hf_io slow_io;
static void (*submit_write)(struct hf_write_queue *queue, int file, const void *buffer,
                            uint32_t bytes, uint64_t offset, uint32_t cookie);

/* Before main(): no other thread is there yet. */
__attribute__((constructor)) static void map_disk(void)
{
    const char *path = getenv(HF_SLOW_DISK_VARIABLE);
    HF_CHECK(path != NULL);
    disk = hf_slow_disk_map(path);
    HF_CHECK(disk != NULL);
}

static ssize_t read_slowly(struct hf_io *io, int file, void *buffer, size_t bytes, uint64_t offset)
{
    uint64_t delay_ns = hf_load_relaxed(&disk->read_delay_ns);
    struct timespec pause = {.tv_sec = (time_t)(delay_ns / HF_NS_PER_S),
                             .tv_nsec = (long)(delay_ns % HF_NS_PER_S)};
    hf_fetch_add_relaxed(&disk->reads, 1);
    if (delay_ns != 0)
        nanosleep(&pause, NULL);
    return __real_hf_io_posix()->read_at(io, file, buffer, bytes, offset);
}

struct hf_io *__wrap_hf_io_posix(void)
{
    /* Written to the same each time, before the threads that use it are started. */
    if (slow_io.read_at == NULL) {
        slow_io = *__real_hf_io_posix();
        slow_io.read_at = read_slowly;
    }
    return &slow_io;
}

/* Before the next submission: this many ns, then it is over, well. */
static void submit_timeout(struct io_uring *ring, uint64_t timeout_ns)
{
    static _Thread_local struct __kernel_timespec timeouts[TIMEOUTS];
    static _Thread_local unsigned next;
    struct __kernel_timespec *timeout = &timeouts[next++ % TIMEOUTS];
    timeout->tv_sec = (long long)(timeout_ns / HF_NS_PER_S);
    timeout->tv_nsec = (long long)(timeout_ns % HF_NS_PER_S);
    if (io_uring_sq_space_left(ring) < 2) /* a chain is submitted as a whole */
        hf_uring_submit_all(ring);
    struct io_uring_sqe *sqe = hf_uring_sqe(ring);
    io_uring_prep_timeout(sqe, timeout, 0, IORING_TIMEOUT_ETIME_SUCCESS);
    io_uring_sqe_set_data64(sqe, hf_event_make(HF_EVENT_IGNORED, 0));
    sqe->flags |= IOSQE_IO_LINK;
}

static void submit_slowly(struct hf_write_queue *queue, int file, const void *buffer,
                          uint32_t bytes, uint64_t offset, uint32_t cookie)
{
    const struct hf_uring_queue *self = (struct hf_uring_queue *)queue;
    uint64_t until_ns = hf_load_relaxed(&disk->writes_held_until_ns);
    uint64_t now_ns = hf_monotonic_now_ns();
    hf_fetch_add_relaxed(&disk->writes, 1);
    if (now_ns < until_ns) {
        hf_fetch_add_relaxed(&disk->writes_held, 1);
        submit_timeout(self->ring, until_ns - now_ns);
    }
    submit_write(queue, file, buffer, bytes, offset, cookie);
}

void __wrap_hf_uring_queue_init(struct hf_uring_queue *queue, struct io_uring *ring,
                                uint64_t user_data, enum hf_log_writes writes)
{
    __real_hf_uring_queue_init(queue, ring, user_data, writes);
    if (user_data == 0) /* the probe's, at start: it writes no blocks */
        return;
    submit_write = queue->queue.submit; /* the same for all */
    queue->queue.submit = submit_slowly;
}
