/*
 * The flusher: turns published records into blocks, writes them, and moves commit.
 *
 * It is a role, not a thread. Whoever has appended calls hf_flusher_run() at the end of its batch,
 * and whoever reaps the completion of a write calls hf_flusher_complete(). One thread at a time
 * holds the role; one that finds it taken leaves a note and goes on, and the holder runs once more
 * for it. So the thread that has the records in its cache writes them, a group commit needs no
 * wake-up of another thread, and nobody ever waits.
 *
 * A run does two things.
 *   retire  Writes complete in any order; commit moves over the blocks in order (PREFIX).
 *   seal    Drain the published prefix of the ring into a block buffer, cut to the room left in the
 *           segment, and submit it, if not too many writes are in flight already: three, if nobody
 *           says otherwise. While they are, the next group grows in the ring: group commit by
 *           itself. README.md has the figures.
 *
 * Failure (FAIL-STOP). Of a completed write's result, only "all bytes" is success. -EAGAIN and
 * -EINTR say that nothing was attempted: the same write is submitted again. All else, a short write
 * included, ends the log: commit never moves again and on_failure is called, which must end the
 * process. Nothing is retried that may have reached the disk in part.
 *
 * A full disk. While there is no spare segment, the last HF_KEPT_BLOCKS places of the one being
 * filled are left free of records: for the START and STOP blocks of this server and of those that are
 * started before there is room again.
 *
 * Shutdown. When no producer is left, run and complete until hf_flusher_idle(); then
 * hf_flusher_stop() writes the STOP block.
 *
 * Who writes what: all plain fields belong to the holder of the role. The atomics say it
 * themselves.
 */
#ifndef HF_WAL_FLUSHER_H
#define HF_WAL_FLUSHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/clock.h"
#include "base/latch.h"
#include "wal/block.h"
#include "wal/io.h"
#include "wal/recent.h"
#include "wal/ring.h"
#include "wal/segments.h"
#include "wal/start.h"

#define HF_KEPT_BLOCKS 16
#define HF_KEPT_PART   16 /* of a smaller segment than there can be, in a simulation: one part */

enum hf_durability {
    HF_DURABILITY_DISK,   /* committed = on the disk */
    HF_DURABILITY_MEMORY, /* committed = in the ring; on the disk one write later */
};

/* Ends the process; if it returns (in a test), the log stays failed. */
typedef void hf_flusher_failure(void *context, const char *text);

/* A segment is full and durable, and nobody writes to it again. Called by whoever has the role, or
 * more than once for the same segment; must not block. */
typedef void hf_flusher_full(void *context, uint64_t segment);

/* A write in flight. Its place is sequence % HF_MAX_INFLIGHT, and that is its cookie. */
struct hf_inflight {
    uint8_t *buffer; /* HF_MAX_BLOCK_BYTES, aligned; written by the role until submitted */
    int file;
    uint32_t bytes;
    uint64_t offset;
    uint64_t last_lsn;
    uint64_t segment;      /* its number */
    bool ends_segment;     /* the file is closed when this write is retired */
    _Atomic uint32_t done; /* set by whoever reaps the completion, cleared by the role */
};

struct hf_flusher {
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint32_t role; /* free, held, or held with a note */

    /* Written by the role, read by everyone. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t commit_lsn;
    _Atomic uint64_t durable_lsn;
    _Atomic uint64_t written_blocks;
    _Atomic uint64_t written_bytes;
    _Atomic uint64_t attest_wanted; /* a durable record that no block attests yet */
    _Atomic uint32_t stalled;       /* the next segment is not prepared yet */
    _Atomic uint32_t failed;        /* written by anyone, once */

    /* Of the role's holder. */
    alignas(HF_CACHE_LINE_BYTES) struct hf_ring *ring;
    struct hf_segments *segments;
    struct hf_recent *recent; /* gets what is drained; NULL: nobody can follow */
    const struct hf_server_clock *clock;
    enum hf_durability durability;
    uint32_t writes_inflight; /* at most */
    uint8_t log_id[16];
    uint64_t epoch;
    uint64_t last_epoch;        /* of the block before the next; 0: there is none */
    uint64_t written_at_ns;     /* date of the block before the next, or the newest before it */
    uint64_t next_sequence;     /* of the next block */
    uint64_t previous_hash;     /* of the block before it */
    uint64_t retired_sequence;  /* blocks up to here are durable */
    uint64_t record_sequence;   /* the newest block that carries records */
    uint64_t attested_sequence; /* the newest block carries this commit_sequence */
    struct hf_segment segment;  /* the one being filled */
    uint32_t segment_offset;    /* where the next block goes */
    struct hf_inflight inflight[HF_MAX_INFLIGHT];

    HF_LATCH(HF_LOG_START_WORDS) start; /* of the segment being filled; written by the role */

    hf_flusher_failure *on_failure;
    void *failure_context;
    hf_flusher_full *on_full; /* or NULL */
    void *full_context;
};

/* Where the log goes on, as recovery found it. */
struct hf_log_tail {
    uint8_t log_id[16];
    uint64_t epoch;         /* of the newest block; 0: none */
    uint64_t sequence;      /* of the newest block; 0: none */
    uint64_t previous_hash; /* its header_hash */
    uint64_t next_lsn;
    uint64_t written_at_ns;    /* the newest date in any block */
    uint64_t segment;          /* the number of the segment to go on in */
    uint32_t offset;           /* and the place in it */
    struct hf_log_start start; /* of that segment */
};

struct hf_flusher_options {
    enum hf_durability durability;
    uint32_t writes_inflight; /* 1 .. HF_MAX_INFLIGHT; 0: as is best, 3 */
    hf_flusher_failure *on_failure;
    void *failure_context;
    hf_flusher_full *on_full; /* or NULL */
    void *full_context;
};

/*
 * Takes over `segment`, open for writing at tail->offset, and writes the START block of a new
 * epoch, blocking: when this returns 0, all that recovery read is attested as durable. Else -errno.
 */
int hf_flusher_init(struct hf_flusher *flusher, struct hf_ring *ring, struct hf_segments *segments,
                    const struct hf_segment *segment, const struct hf_log_tail *tail,
                    const struct hf_server_clock *clock, const struct hf_flusher_options *options);
void hf_flusher_close(struct hf_flusher *flusher);

/* Retires and seals what can be. Never blocks. Any thread; the writes go to `queue`. */
void hf_flusher_run(struct hf_flusher *flusher, struct hf_write_queue *queue);

/* The result of a write submitted to `queue`: bytes or -errno. Then runs. */
void hf_flusher_complete(struct hf_flusher *flusher, struct hf_write_queue *queue, uint32_t cookie,
                         int result);

/*
 * True if the newest record is durable, but no block says so yet. Damage to that record could not
 * be told from a torn write; so a caller with nothing to do for a while calls hf_flusher_attest(),
 * which writes one empty block that attests it.
 */
static inline bool hf_flusher_wants_attest(struct hf_flusher *flusher)
{
    return hf_load_relaxed(&flusher->attest_wanted) != 0; /* a hint */
}
void hf_flusher_attest(struct hf_flusher *flusher, struct hf_write_queue *queue);

/* Everything up to this LSN is committed: replies that tell of it may go. */
static inline uint64_t hf_flusher_commit_lsn(const struct hf_flusher *flusher)
{
    /* seq_cst, pairs with the announcement of a waiter: either it sees the new commit, or whoever
     * moved commit sees the waiter. */
    return hf_load_seq_cst(&flusher->commit_lsn);
}

/*
 * True if the last run stopped for want of a prepared segment: nothing will complete that would
 * make it go on, so a caller that waits for commit runs it again every now and then.
 */
static inline bool hf_flusher_stalled(struct hf_flusher *flusher)
{
    return hf_load_relaxed(&flusher->stalled) != 0; /* a hint */
}

/* Where the segment that is being filled begins. A segment is begun for a record that has its LSN, or
 * when all before is durable: so when all records are that have an LSN by now, then all before that
 * begin is. Any thread; never blocks. */
void hf_flusher_segment_start(struct hf_flusher *flusher, struct hf_log_start *start);

/* No producer may append any more. True when all that was appended is durable. */
bool hf_flusher_idle(struct hf_flusher *flusher);

/* With no other thread left: writes the STOP block, blocking. 0 or -errno: -ENOSPC also if there
 * was no room for all that was appended. */
int hf_flusher_stop(struct hf_flusher *flusher);

#endif
