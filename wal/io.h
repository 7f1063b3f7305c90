/*
 * The I/O seam: every byte that the log reads or writes passes here.
 *
 * Two halves. `struct hf_io` is for what happens at start, in the background and in tools: it may
 * block. `struct hf_write_queue` is for the writes of blocks: it never blocks, and its completions
 * come back through hf_flusher_complete(). The real ones are wal/io_posix.c and wal/io_uring.c; a
 * test puts its own in their place and decides what the disk does.
 *
 * All functions return 0 or a count on success and -errno on failure.
 */
#ifndef HF_WAL_IO_H
#define HF_WAL_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum hf_io_open_mode {
    HF_IO_READ,        /* read only, through the page cache */
    HF_IO_READ_DIRECT, /* read only, past the page cache where the file system can */
    HF_IO_WRITE,       /* write only, past the page cache where the file system can; when write_at()
                          returns, what it wrote is durable. One at a time: while a write through an
                          earlier open may still reach the disk, even one that a killed process left
                          in flight, opening waits */
    HF_IO_CREATE,      /* new or truncated, past the page cache where the file system can, not
                          synced: for zero-filling */
    HF_IO_OVERWRITE,   /* as it is, else the same: for filling it anew */
};

/* How a write queue makes a block durable. Either way it is complete when it is durable. */
enum hf_log_writes {
    HF_LOG_WRITES_AUTO,   /* an option only: what wal/probe.h finds best */
    HF_LOG_WRITES_DIRECT, /* one direct write that is data-synced by itself */
    HF_LOG_WRITES_SYNC,   /* a write, direct or not, and when it is complete an fdatasync */
};

struct hf_io {
    bool concurrent; /* threads may call at once: the reader may read ahead (wal/read_ahead.h) */

    /* Opens `name` in `directory`. Returns a descriptor. */
    int (*open_file)(struct hf_io *io, const char *directory, const char *name,
                     enum hf_io_open_mode mode);
    int (*close_file)(struct hf_io *io, int file);

    /* Reads up to `bytes` at `offset`: the count, less only at the end of the file. Address, size
     * and offset are multiples of HF_BLOCK_ALIGN_BYTES. */
    ssize_t (*read_at)(struct hf_io *io, int file, void *buffer, size_t bytes, uint64_t offset);

    /* Writes all bytes, blocking; durable when it returns 0, but for HF_IO_CREATE and
     * HF_IO_OVERWRITE. Same alignment. 0 or -errno. */
    int (*write_at)(struct hf_io *io, int file, const void *buffer, size_t bytes, uint64_t offset);

    int (*sync_file)(struct hf_io *io, int file);
    int (*sync_directory)(struct hf_io *io, const char *directory);
    int (*file_bytes)(struct hf_io *io, int file, uint64_t *bytes);
    /* *bytes: that we could still write to new files there, about. NULL: nobody can tell. */
    int (*free_bytes)(struct hf_io *io, const char *directory, uint64_t *bytes);
    int (*rename_file)(struct hf_io *io, const char *directory, const char *from, const char *to);
    int (*remove_file)(struct hf_io *io, const char *directory, const char *name);

    /* Calls `each` with every name in `directory` until it returns non-zero; returns that, or 0. */
    int (*list)(struct hf_io *io, const char *directory,
                int (*each)(void *context, const char *name), void *context);
};

/* The real one. Stateless; shared by all. */
struct hf_io *hf_io_posix(void);

/* What is known of direct I/O on an open file. */
struct hf_io_direct {
    bool used;                   /* reads and writes are asked to bypass the page cache */
    bool certain;                /* and the file system says that they do */
    uint32_t memory_align_bytes; /* what addresses are multiples of; 0: not told */
    uint32_t offset_align_bytes; /* the same for offsets and sizes */
};

/* True if what a file system tells (it told something) is direct I/O that our blocks are aligned
 * for. Zeros: it takes O_DIRECT, and has none for this file. */
static inline bool hf_io_direct_fits(const struct hf_io_direct *told, uint32_t align_bytes)
{
    return told->memory_align_bytes != 0 && told->offset_align_bytes != 0 &&
           align_bytes % told->memory_align_bytes == 0 &&
           align_bytes % told->offset_align_bytes == 0;
}

/* Of a descriptor that hf_io_posix() opened. Never fails: what cannot be known is false or 0. */
void hf_io_posix_direct(int file, struct hf_io_direct *direct);

/* Asks for one write. Its result comes to hf_flusher_complete() with the same `cookie`: all bytes
 * only when they are durable. */
struct hf_write_queue {
    void (*submit)(struct hf_write_queue *queue, int file, const void *buffer, uint32_t bytes,
                   uint64_t offset, uint32_t cookie);
};

#endif
