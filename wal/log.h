/*
 * The log: one directory opened for appending. It ties the pieces together.
 *
 *   lock      DIR/lock, held with flock as long as the process lives: one server a directory, and
 *             one that was killed never locks out its successor
 *   keep      DIR/keep, on which those who read the files beside the server hold flock(LOCK_SH):
 *             nothing is removed meanwhile
 *   reader    the recovery: every record that the log holds is handed to the caller, once, in order
 *   ring      where changes get their LSN
 *   flusher   blocks, writes, commit
 *   segments  files, prepared ahead
 *   archiver  hands them to the operator's command before they go
 *
 * Opening, step by step: lock; remove what preparing a segment left behind; wait for writes that a
 * killed server left in flight; sync the segments and the directory, as the page cache may hold
 * what the disk does not; read everything; zero a torn tail, sync; create the first segment if
 * there is none; find out how the disk writes best (probe.h); write the START block of a new epoch.
 * Only then is anyone served. A crash anywhere in between is recovered by doing the same again.
 */
#ifndef HF_WAL_LOG_H
#define HF_WAL_LOG_H

#include "base/clock.h"
#include "base/progress.h"
#include "wal/archiver.h"
#include "wal/flusher.h"
#include "wal/probe.h"
#include "wal/recent.h"
#include "wal/ring.h"
#include "wal/segments.h"

#define HF_LOG_ERROR_BYTES    512
#define HF_DEFAULT_RING_SLOTS 8192u

struct hf_log_options {
    const char *directory;
    struct hf_io *io;         /* NULL: the real one */
    uint64_t segment_bytes;   /* of a new log; an existing one keeps its own. 0: the default */
    uint32_t ring_slots;      /* 0: HF_DEFAULT_RING_SLOTS */
    uint32_t writes_inflight; /* 0: as is best, see flusher.h */
    enum hf_log_writes log_writes;
    const char *archive_command; /* a template, see wal/command.h; NULL: no archive */
    enum hf_durability durability;
    bool manual; /* no threads: the caller calls hf_log_step() */
    hf_flusher_failure *on_failure;
    void *failure_context;
    struct hf_progress *progress; /* of the recovery, or NULL. Cancelled: -ECANCELED */

    /* Called with the records of the log, `count` of them (not 0) at a time, in the order of the LSNs.
     * NULL, or why one of them cannot be: then *fault is its place among these. */
    const char *(*replay)(void *context, const uint8_t *records, uint32_t count, uint32_t *fault);
    /* Called with the records of a snapshot first, if there is one, likewise; the newest date in the
     * log up to there is `log_time_ns`. */
    const char *(*restore)(void *context, const uint8_t *records, uint32_t count,
                           uint64_t log_time_ns, uint32_t *fault);
    /* Called after the last one, before anything is written, with the epoch of the run that begins.
     * NULL, or why the log cannot be right. */
    const char *(*replay_end)(void *context, uint64_t epoch);
    void *replay_context;
};

/* A snapshot that is right. */
struct hf_log_snapshot {
    uint64_t last_lsn; /* its name */
    uint64_t segment;  /* where the log goes on behind it: needed, and all that follow; 0: there is
                            no such snapshot */
    uint64_t made_at_ns; /* date */
    uint64_t bytes;
};

/* What recovery found. */
struct hf_log_recovery {
    struct hf_log_snapshot snapshot; /* that it began with; none: with the first segment */
    struct hf_log_snapshot older;    /* the one before, of which only the header was looked at */
    uint32_t damaged_snapshots;      /* newer than the one that it began with */
    uint64_t attested_lsn;     /* all up to here was durable, as snapshots say; 0: none does */
    uint64_t snapshot_records; /* in the snapshot */
    uint64_t records;          /* in the log behind it */
    uint64_t blocks;
    uint64_t bytes; /* of blocks */
    uint64_t duration_ns;
    uint64_t cut_blocks; /* torn tail: whole blocks among the cut bytes */
    uint64_t cut_bytes;  /* 0: the log ended cleanly */
    bool stopped;        /* the last run ended with a STOP block */
    bool created;        /* the directory held no log */
};

struct hf_log {
    struct hf_ring ring;
    struct hf_segments segments;
    struct hf_flusher flusher;
    struct hf_recent recent; /* the newest records, while somebody follows */
    struct hf_server_clock clock;
    struct hf_log_recovery recovery;
    struct hf_archiver *archiver; /* gets what is full, before it is released */
    struct hf_disk disk; /* what it is like, and how blocks are written; the queues follow it */
    pthread_mutex_t snapshots; /* of what follows */
    struct hf_log_snapshot newest_snapshot, older_snapshot;
    bool has_more_snapshots;         /* there may be others, which nobody needs */
    _Atomic uint32_t snapshots_kept; /* of the two; for those who must not wait: files are removed
                                        while the mutex is held */
    int lock;                        /* descriptor of DIR/lock */
    int keep;                        /* of DIR/keep */
};

/* 0, or -errno with a line in `error` that says what to do. Blocks until all is recovered. */
int hf_log_open(struct hf_log *log, const struct hf_log_options *options,
                char error[HF_LOG_ERROR_BYTES]);

/*
 * A snapshot exists now, durably. It and the one before it are kept; all other snapshots are
 * removed, and the segments before the older one's are released. Blocks; any thread.
 */
void hf_log_add_snapshot(struct hf_log *log, const struct hf_log_snapshot *snapshot);

/* What could not be removed, as somebody held DIR/keep, is removed. Cheap if there is nothing to do;
 * else blocks. Any thread; to be called now and then. */
void hf_log_release(struct hf_log *log);

/* `manual`: does what is to be done in the background, blocking. 0, or -errno: to be tried again in
 * a while. */
int hf_log_step(struct hf_log *log);

/*
 * Ends the log cleanly: no producer is left, and hf_flusher_idle() was true. Writes the STOP block.
 * 0 or -errno; everything is released either way.
 */
int hf_log_close(struct hf_log *log);

#endif
