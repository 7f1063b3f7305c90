/*
 * Reading ahead: one read of a file goes on while its caller does something else.
 *
 * A direct read is worth its name only if somebody has work meanwhile: reading a log by turns,
 * a piece from the disk and then the records of the piece, leaves disk and processor idle in turns.
 * The read is a blocking one of the I/O seam, made by a thread that does nothing else; it is made in
 * the kernel by the disk, so it takes next to no processor time. If the seam is for one thread only
 * (hf_io.concurrent is false), or no thread can be had, the read is made when its result is asked
 * for: all is the same then, but the time it takes. Nothing else depends on which it is.
 *
 * One thread at a time uses a struct hf_read_ahead.
 *
 * A buffer to read into is on huge pages, where there are some: a direct read pins every page of it,
 * and tells the disk of each. (Recovery: 7% less processor time, 15% less time in all.)
 */
#ifndef HF_WAL_READ_AHEAD_H
#define HF_WAL_READ_AHEAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hf_io;

/* What the thread has to do. */
enum hf_read_ahead_state {
    HF_READ_AHEAD_IDLE,
    HF_READ_AHEAD_WANTED,
    HF_READ_AHEAD_DONE,
    HF_READ_AHEAD_CLOSING,
};

struct hf_read_ahead {
    struct hf_io *io;
    pthread_t thread;
    bool has_thread;
    bool tried; /* to start it */
    bool begun; /* a read, that was not ended yet */

    /* The read. The thread reads and writes these while it is WANTED, the caller otherwise. */
    int file;
    void *buffer;
    size_t bytes;
    uint64_t offset;
    ssize_t result;

    pthread_mutex_t mutex; /* of the state */
    pthread_cond_t changed;
    enum hf_read_ahead_state state;
};

/* Memory for reads, aligned for them; zero. Or NULL. `bytes`: a multiple of 2 MiB. */
uint8_t *hf_read_buffer_map(size_t bytes);
void hf_read_buffer_unmap(uint8_t *buffer, size_t bytes); /* NULL: nothing happens */

void hf_read_ahead_init(struct hf_read_ahead *ahead, struct hf_io *io);

/* Waits for a read that is under way. */
void hf_read_ahead_close(struct hf_read_ahead *ahead);

/* Begins a read as io->read_at() makes it; none is begun yet. File and buffer are left alone until it
 * is ended or dropped. Does not block, but to start the thread the first time. */
void hf_read_ahead_begin(struct hf_read_ahead *ahead, int file, void *buffer, size_t bytes,
                         uint64_t offset);

/* Waits for the read that was begun: what io->read_at() returned. */
ssize_t hf_read_ahead_end(struct hf_read_ahead *ahead);

/* Does without it, if one was begun. Waits until the buffer is the caller's again. */
void hf_read_ahead_drop(struct hf_read_ahead *ahead);

#endif
