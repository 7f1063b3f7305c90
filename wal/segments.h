/*
 * Segments, the writing side: the files that the log is written into, prepared ahead.
 *
 * Life of a segment, one stage a step:
 *   prepared  NAME.tmp is written full of zeros, header first, synced, renamed to NAME, and the
 *             directory is synced. Zero-written, not merely allocated: a data-synced write into it
 *             then changes no metadata of the file system.
 *   spare     It waits, open for writing. There is one spare at a time.
 *   active    The flusher took it and fills it to its last byte.
 *   full      Closed once its last write is retired. It is the log.
 *   released  Nobody needs it any more: two snapshots, and the archive, have what it says. The
 *             oldest of these is prepared anew under the next number, so that a full disk does not
 *             stop a log whose size is bounded; the others are removed.
 *
 * A crash in `preparing` leaves NAME.tmp, which is removed at the next start. A crash later leaves
 * a segment with a header and zeros, which is a spare again. One that is prepared anew loses its
 * old name, durably, before a byte of it changes. A crash while segments are removed may leave any
 * of them: whoever reads the log begins where a snapshot says, and looks at none before that.
 *
 * Whoever reads the files beside the server and wants them to stay holds flock(LOCK_SH) on DIR/keep
 * meanwhile: nothing is removed, and nothing prepared anew.
 *
 * Preparing is done in steps: by a thread of its own, or, `manual`, by whoever calls
 * hf_segments_step(), as a simulation does.
 *
 * Not enough room: preparing is tried again every 200 ms, and hf_segments_error() tells why it
 * failed last. Meanwhile the active segment is all there is, and the flusher lets no more be
 * appended than fits in it; a few blocks at its end are kept for the START and STOP of servers, so
 * that one that is started on a full disk can serve reads. It goes on by itself when a segment can
 * be prepared.
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

struct hf_segments_options {
    struct hf_io *io;
    const char *directory;
    const uint8_t *log_id; /* 16 bytes */
    uint64_t segment_bytes;
    uint64_t first_number; /* of the oldest segment that is there */
    uint64_t next_number;  /* that the first spare will have */
    bool next_exists;      /* it is there already, and is taken as it is */
    bool manual;           /* no thread: the caller calls hf_segments_step() */
    int keep;              /* descriptor of DIR/keep, to be locked; -1: nobody reads beside us */
};

struct hf_segments {
    struct hf_io *io;
    char *directory;
    uint8_t log_id[16];
    uint64_t segment_bytes;
    bool manual;
    int keep;

    pthread_t preparer;
    sem_t wanted;             /* posted when the spare was taken, and at close */
    _Atomic uint32_t closing; /* written by hf_segments_close() */
    _Atomic int error;        /* written by who prepares: 0, or -errno of the last attempt */

    /* The spare. `ready` is set by who prepares and cleared by the flusher; whoever set it last
     * handed the other fields over. */
    _Atomic uint32_t ready;
    struct hf_segment spare;
    uint64_t next_number; /* of who prepares */
    bool next_exists;     /* likewise */

    pthread_mutex_t removing;     /* of the two below, for writing, and of the lock on `keep` */
    _Atomic uint64_t first;       /* number of the oldest segment that is there */
    _Atomic uint64_t needed_from; /* segments before this one are released */
};

/* Creates one segment, blocking, and makes it durable under its name. 0 or -errno. */
int hf_segment_create(struct hf_io *io, const char *directory, const uint8_t log_id[16],
                      uint64_t number, uint64_t segment_bytes);

/* Opens a segment that exists for writing. 0 or -errno. */
int hf_segment_open(struct hf_io *io, const char *directory, uint64_t number,
                    struct hf_segment *segment);

/* Starts the preparer, if not manual. 0 or -errno. `keep` stays the caller's. */
int hf_segments_open(struct hf_segments *segments, const struct hf_segments_options *options);
void hf_segments_close(struct hf_segments *segments);

/* Prepares the spare, if there is none, blocking. 0, or -errno: to be tried again in a while. By
 * one thread at a time. */
int hf_segments_step(struct hf_segments *segments);

/* Segments before this one are released. Removes those that are not wanted as spares, blocking.
 * False: some are left, as somebody holds DIR/keep: to be called again. Any thread. */
bool hf_segments_release(struct hf_segments *segments, uint64_t needed_from);

/* True: nobody reads beside us, and nobody begins to, until hf_segments_end_removing(). False: not
 * now. Any thread, one at a time; waits for another one, which removes one file. */
bool hf_segments_begin_removing(struct hf_segments *segments);
void hf_segments_end_removing(struct hf_segments *segments);

/* The oldest segment that is there. Any thread. */
static inline uint64_t hf_segments_first(const struct hf_segments *segments)
{
    /* Acquire, pairs with the release before a file goes: who has read a file that was there under
     * this number read that segment. */
    return hf_load_acquire(&segments->first);
}

/* Of segments before this one some may be missing, as a crash leaves them. Any thread. */
static inline uint64_t hf_segments_needed_from(const struct hf_segments *segments)
{
    return hf_load_relaxed(&segments->needed_from); /* it guards nothing */
}

/* True if hf_segments_take() will give one. Of the flusher's role. */
static inline bool hf_segments_has_spare(const struct hf_segments *segments)
{
    /* Acquire, pairs with the release in hf_segments_step(); nobody but the caller takes it. */
    return hf_load_acquire(&segments->ready) != 0;
}

/* Takes the spare and has the next one prepared. False: none is ready. Never blocks. */
bool hf_segments_take(struct hf_segments *segments, struct hf_segment *segment);

/* Why the last attempt to prepare a segment failed (-errno), or 0. */
int hf_segments_error(struct hf_segments *segments);

#endif
