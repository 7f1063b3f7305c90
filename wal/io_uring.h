/* The write queue on an io_uring: block writes are submitted with whatever else its owner submits.
 */
#ifndef HF_WAL_IO_URING_H
#define HF_WAL_IO_URING_H

#include <liburing.h>

#include "wal/io.h"

struct hf_uring_queue {
    struct hf_write_queue queue;
    struct io_uring *ring;
    uint64_t user_data; /* of the completions, the cookie in the low 8 bits */
    uint32_t inflight;  /* submitted, and not reaped by the owner yet */
};

/* `ring` belongs to the caller's thread, who submits it, and who calls hf_flusher_complete() for
 * every completion whose user_data is this one, after counting `inflight` down. */
void hf_uring_queue_init(struct hf_uring_queue *queue, struct io_uring *ring, uint64_t user_data);

/* A submission entry; submits what is queued if there is no room. Never NULL. */
struct io_uring_sqe *hf_uring_sqe(struct io_uring *ring);

/* Submits all that is queued. */
void hf_uring_submit_all(struct io_uring *ring);

/* Sets up a ring for one thread's use, as Holdfast needs it. 0, or -errno with a line in `error`
 * that says what to do. */
int hf_uring_open(struct io_uring *ring, uint32_t entries, char *error, size_t error_bytes);

#endif
