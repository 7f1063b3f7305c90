/* The write queue on an io_uring: see io_uring.h. */
#include "wal/io_uring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/check.h"

static void submit(struct io_uring *ring)
{
    int result = io_uring_submit(ring);
    HF_CHECK(result >= 0 || result == -EAGAIN || result == -EBUSY || result == -EINTR);
}

struct io_uring_sqe *hf_uring_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(ring)) == NULL)
        submit(ring);
    return sqe;
}

void hf_uring_submit_all(struct io_uring *ring)
{
    while (io_uring_sq_ready(ring) != 0)
        submit(ring);
}

/* In the low bits of user_data, beside the cookie: the completion is a sync's. */
#define SYNC_BIT 0x80u
_Static_assert(HF_MAX_INFLIGHT <= SYNC_BIT, "cookies leave its bit free");

static void submit_write(struct hf_write_queue *queue, int file, const void *buffer, uint32_t bytes,
                         uint64_t offset, uint32_t cookie)
{
    struct hf_uring_queue *self = (struct hf_uring_queue *)queue;
    HF_CHECK(cookie < HF_MAX_INFLIGHT);
    struct io_uring_sqe *sqe = hf_uring_sqe(self->ring);
    if (self->pinned[cookie] == buffer)
        io_uring_prep_write_fixed(sqe, file, buffer, bytes, offset, (int)cookie);
    else
        io_uring_prep_write(sqe, file, buffer, bytes, offset);
    if (self->writes != HF_LOG_WRITES_SYNC)
        sqe->rw_flags = RWF_DSYNC;
    io_uring_sqe_set_data64(sqe, self->user_data | cookie);
    self->blocks[cookie].file = file;
    self->blocks[cookie].bytes = bytes;
    self->inflight++;
    submit(self->ring);
}

static void submit_sync(struct hf_uring_queue *queue, uint32_t cookie)
{
    struct io_uring_sqe *sqe = hf_uring_sqe(queue->ring);
    io_uring_prep_fsync(sqe, queue->blocks[cookie].file, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data64(sqe, queue->user_data | SYNC_BIT | cookie);
    submit(queue->ring);
}

/* The block's result, once its write was complete. */
static int synced(uint32_t bytes, int result)
{
    if (result == 0)
        return (int)bytes;
    return result > 0 || result == -EAGAIN || result == -EINTR ? -EIO : result;
}

bool hf_uring_queue_reap(struct hf_uring_queue *queue, const struct io_uring_cqe *completion,
                         uint32_t *cookie, int *result)
{
    bool sync = (completion->user_data & SYNC_BIT) != 0;
    *cookie = (uint32_t)(completion->user_data & (SYNC_BIT - 1));
    HF_CHECK(*cookie < HF_MAX_INFLIGHT);
    uint32_t bytes = queue->blocks[*cookie].bytes;
    *result = sync ? synced(bytes, completion->res) : completion->res;
    if (!sync && queue->writes == HF_LOG_WRITES_SYNC && *result == (int)bytes) {
        submit_sync(queue, *cookie);
        return false;
    }
    queue->inflight--;
    return true;
}

void hf_uring_queue_init(struct hf_uring_queue *queue, struct io_uring *ring, uint64_t user_data,
                         enum hf_log_writes writes)
{
    *queue = (struct hf_uring_queue){
        .queue = {.submit = submit_write},
        .ring = ring,
        .writes = writes,
        .user_data = user_data,
    };
}

void hf_uring_queue_pin(struct hf_uring_queue *queue, uint8_t *const buffers[HF_MAX_INFLIGHT],
                        uint32_t buffer_bytes)
{
    struct iovec areas[HF_MAX_INFLIGHT];
    for (uint32_t cookie = 0; cookie < HF_MAX_INFLIGHT; cookie++)
        areas[cookie] = (struct iovec){.iov_base = buffers[cookie], .iov_len = buffer_bytes};
    if (io_uring_register_buffers(queue->ring, areas, HF_MAX_INFLIGHT) == 0)
        memcpy(queue->pinned, buffers, sizeof queue->pinned);
}

int hf_uring_open(struct io_uring *ring, uint32_t entries, char *error, size_t error_bytes)
{
    struct io_uring_params params = {
        /* One thread submits, and completions are run when it asks for them: no interrupts in the
         * middle of a batch. The completion queue has room for bursts of receives. */
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = entries * 4,
    };
    int result = io_uring_queue_init_params(entries, ring, &params);
    if (result == 0) {
        io_uring_register_ring_fd(ring); /* a little less to do at each call; a hint */
        return 0;
    }
    const char *advice = "io_uring cannot be set up";
    if (result == -ENOSYS || result == -EPERM)
        advice =
            "io_uring is not available here: enable it (sysctl kernel.io_uring_disabled=0, and "
            "the seccomp profile of a container)";
    else if (result == -EINVAL)
        advice = "this kernel's io_uring is too old: Linux 6.1 or newer is needed";
    else if (result == -ENOMEM)
        advice = "not enough locked memory for io_uring: raise it (ulimit -l), or use fewer "
                 "--workers";
    else if (result == -EMFILE || result == -ENFILE)
        advice = "too few file descriptors: raise the limit (ulimit -n)";
    snprintf(error, error_bytes, "%s (%s)", advice, strerror(-result));
    return result;
}
