/*
 * Segments, the writing side: the files that the log is written into, prepared ahead.
 *
 * Life of a segment, one stage a step:
 *   prepared  A thread of its own writes NAME.tmp full of zeros, header first, syncs it, renames it
 *             to NAME, syncs the directory. Zero-written, not merely allocated: a data-synced write
 *             into it then changes no metadata of the file system.
 *   spare     It waits, open for writing. There is one spare at a time.
 *   active    The flusher took it and fills it to its last byte.
 *   full      Closed once its last write is retired. (Kept: it is the log.)
 *
 * A crash in `preparing` leaves NAME.tmp, which is removed at the next start. A crash later leaves
 * a segment with a header and zeros, which is a spare again.
 *
 * Not enough room: preparing is tried again every 200 ms, and hf_segments_error() tells why it
 * failed last. Meanwhile the active segment is all there is, and the flusher lets no more be
 * appended than fits in it. It goes on by itself when a segment can be prepared.
 */
#ifndef HF_WAL_SEGMENTS_H
#define HF_WAL_SEGMENTS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "wal/io.h"

#define HF_MIN_SEGMENT_BYTES     (1ull << 20)
#define HF_MAX_SEGMENT_BYTES     (1ull << 31)
#define HF_DEFAULT_SEGMENT_BYTES (16ull << 20)

struct hf_segment {
    int file;
    uint64_t number;
};

struct hf_segments {
    struct hf_io *io;
    char *directory;
    uint8_t log_id[16];
    uint64_t segment_bytes;

    pthread_t preparer;
    sem_t wanted;             /* posted when the spare was taken, and at close */
    _Atomic uint32_t closing; /* written by hf_segments_close() */
    _Atomic int error;        /* written by the preparer: 0, or -errno of the last attempt */

    /* The spare. `ready` is set by the preparer and cleared by the flusher; whoever set it last
     * handed the other fields over. */
    _Atomic uint32_t ready;
    struct hf_segment spare;
    uint64_t next_number; /* the preparer's */
};

/* Creates one segment, blocking, and makes it durable under its name. 0 or -errno. */
int hf_segment_create(struct hf_io *io, const char *directory, const uint8_t log_id[16],
                      uint64_t number, uint64_t segment_bytes);

/* Opens a segment that exists for writing. 0 or -errno. */
int hf_segment_open(struct hf_io *io, const char *directory, uint64_t number,
                    struct hf_segment *segment);

/*
 * Starts the preparer. The first spare will be segment `next_number`; if `exists`, it is already
 * there, and is taken as it is. 0 or -errno.
 */
int hf_segments_open(struct hf_segments *segments, struct hf_io *io, const char *directory,
                     const uint8_t log_id[16], uint64_t segment_bytes, uint64_t next_number,
                     bool exists);
void hf_segments_close(struct hf_segments *segments);

/* Takes the spare and has the next one prepared. False: none is ready. Never blocks. */
bool hf_segments_take(struct hf_segments *segments, struct hf_segment *segment);

/* Why the last attempt to prepare a segment failed (-errno), or 0. */
int hf_segments_error(struct hf_segments *segments);

#endif
