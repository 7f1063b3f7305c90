/*
 * The write queue on an io_uring.
 *
 * A write is submitted at once, not with whatever else its owner submits later. The kernel holds back
 * the disk's requests of one submission until it is through with all of it (a plug, to merge them), so
 * a block would wait for the replies that are sent behind it: some 100 us, as long as the disk takes
 * for it.
 *
 * A block is complete when it is durable, by one of two ways (enum hf_log_writes).
 *   direct  One write with RWF_DSYNC: the request itself asks for it, whatever file it is for.
 *   sync    A write, and when its completion says "all bytes", an fdatasync; what that one says is
 *           the block's result. A write that failed or came back short is not synced.
 *
 * Why the two are not one linked pair. A chain ends where a submission ends: if the kernel takes
 * only the first of the pair (no room in the queue, or no memory for the second request), the sync
 * is a request of its own and may overtake the write, and nothing would tell us. And a pair is no
 * faster: the completion of a direct write, and with it the start of what is linked to it, waits
 * for the submitting thread in either case. Medians of 400 writes of 4 KiB, in turns: linked 127 us,
 * in two steps 126 us; 40 of 1 MiB: 358 and 364 us.
 *
 * What a sync says is final. -EAGAIN and -EINTR of a write say that nothing was attempted, and the
 * flusher submits it again; of a sync they say nothing of the kind, so they come out as -EIO: a
 * sync is never retried.
 */
#ifndef HF_WAL_IO_URING_H
#define HF_WAL_IO_URING_H

#include <liburing.h>

#include "wal/block.h"
#include "wal/io.h"

struct hf_uring_queue {
    struct hf_write_queue queue;
    struct io_uring *ring;
    enum hf_log_writes writes;
    uint64_t user_data;                     /* of the completions; the low 8 bits are ours */
    const uint8_t *pinned[HF_MAX_INFLIGHT]; /* buffers, by cookie; NULL: it is not */
    uint32_t inflight;                      /* blocks that are submitted and not complete */
    struct {
        int file;
        uint32_t bytes;
    } blocks[HF_MAX_INFLIGHT]; /* in flight, by cookie */
};

/* `ring` belongs to the caller's thread, who submits it, and who gives every completion whose
 * user_data is this one, but for the low 8 bits, to hf_uring_queue_reap(). */
void hf_uring_queue_init(struct hf_uring_queue *queue, struct io_uring *ring, uint64_t user_data,
                         enum hf_log_writes writes);

/*
 * Pins the buffers of the blocks, one for each cookie, so that not every write has to. A hint: where
 * locked memory does not suffice, writes go on as they were. Before the first write.
 */
void hf_uring_queue_pin(struct hf_uring_queue *queue, uint8_t *const buffers[HF_MAX_INFLIGHT],
                        uint32_t buffer_bytes);

/*
 * True: a block is complete; its *cookie and *result are for hf_flusher_complete(): all its bytes
 * if they are durable, fewer or -errno if not. False: it is written, and its sync is queued.
 */
bool hf_uring_queue_reap(struct hf_uring_queue *queue, const struct io_uring_cqe *completion,
                         uint32_t *cookie, int *result);

/* A submission entry; submits what is queued if there is no room. Never NULL. */
struct io_uring_sqe *hf_uring_sqe(struct io_uring *ring);

/* Submits all that is queued. */
void hf_uring_submit_all(struct io_uring *ring);

/* Sets up a ring for one thread's use, as Holdfast needs it. 0, or -errno with a line in `error`
 * that says what to do. */
int hf_uring_open(struct io_uring *ring, uint32_t entries, char *error, size_t error_bytes);

#endif
