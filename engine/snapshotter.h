/*
 * The snapshotter: writes what the engine knows into a snapshot (wal/snapshot.h), while it runs.
 * Nobody waits for it, and it keeps no copy of the state: a group of records at a time.
 *
 * A snapshot is not the state at one instant. It is a set of newest images of which the log from
 * `start` on makes the state at any LSN from `last_lsn` on. Two things have to hold:
 *
 *  1. Every change with an LSN before start.next_lsn is in it, or a newer one of the same thing, or
 *     the thing was forgotten.
 *  2. Everything that is in it has an LSN up to last_lsn; and it becomes a snapshot only when the
 *     log is durable up to there. (Else a crash could leave a state with a change whose
 *     predecessors are lost.)
 *
 * What has an LSN shows in the region a moment later; what shows there may get its LSN a moment
 * later. These moments lie within one stay of an actor between hf_actor_enter() and
 * hf_actor_exit(). So the snapshotter waits, twice, until everybody has left who was inside:
 *
 *   begin     start = where the segment begins that is being filled now
 *   settle    whoever was inside leaves: all that has an LSN before the begin shows (1)
 *   copy      cells one by one, marked ones again when the mark is gone. Cells that were allotted
 *             since, and inventories made since, are left out: they are in the log behind start
 *   settle    whoever was inside leaves: all that was copied has its LSN, of its own and of the
 *             claims whose versions it tells
 *   attest    last_lsn = the newest LSN that was given out. Wait until it is durable
 *   finish    header, syncs, rename. From here on it is a snapshot
 *
 * (1) Whoever has an LSN before start.next_lsn took it before `start` was read, and so entered before
 * the first settling began. When that is over it has left: its inventory is counted, its cell is
 * allotted, and says what it did. (Were `start` read later, somebody could enter in between, take an
 * LSN before it, and still be inside while its cell is copied.) A mark is waited for, as nobody can
 * say whether its change comes about: if it does, it is in the log behind start, if not, the cell
 * says what it said before. A cell that is empty was never used, or its reservation is forgotten.
 *
 * Forgotten is what finished so long ago that a date in the log says so, and the record with that date
 * had its LSN before anybody went by it: it is one up to last_lsn. Recovery forgets the same: the
 * header tells a date of the log that is no older, read after the second settling.
 *
 * What is in the snapshot of an inventory: its settings, whether it was closed by selling out, and the
 * newest version that it had when it was copied. The second settling makes all claims with older
 * versions stand in the log up to last_lsn, the one that sold out among them; so whoever goes on from
 * there knows that all further ones have newer versions. Settings that are being changed are waited
 * for: half of a change is in no record.
 *
 * (2) Each image that is copied has its LSN, as its mark is gone. And last_lsn is read after all of
 * them: also what the copy has passed by when it was changed, to find it in the log behind start, has
 * its LSN up to there.
 *
 * Nobody is kept waiting. The snapshotter is an actor without operations: it enters to copy, for some
 * tenths of a millisecond at most, which holds up only the use of cells that were given back. What it
 * takes are time and disk: the work is done in steps of a group and one write, the pauses between them
 * keep to a rate, and its thread is nicer than the others.
 */
#ifndef HF_ENGINE_SNAPSHOTTER_H
#define HF_ENGINE_SNAPSHOTTER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "wal/log.h"

#define HF_DEFAULT_SNAPSHOT_LOG_BYTES (1ull << 30)

/*
 * What a snapshot costs those who are served: p99.9 of durable changes while one of 3.3 million
 * reservations is made, as a ratio to the same without; medians of 6 to 12 alternating pairs of 2 to 3
 * seconds, on two cores and a virtual disk that others used, too. Single pairs lie between a fifth and
 * five times.
 *
 *   MiB/s   50 connections x 64 in flight   50 x 1   8 x 1
 *      32                            0.71     0.92    1.28
 *     128                            1.02     0.78    0.91
 *     256                            0.95     1.05    1.33
 *     512                            1.41     0.96    2.65
 *
 * Niceness 0 instead of 10 at 128 MiB/s: 1.13, 1.01, 1.54; SCHED_IDLE: 1.01, 1.15, 1.12; idle I/O
 * priority: 0.91, 1.02, 0.89. Neither is worth it: a thread that never gets to run while it is inside
 * would hold up the use of cells that were given back.
 *
 * A snapshot of 10.7 million takes 1.0 s of a core's time, 0.4 MiB of memory, and 1.3 GiB of disk.
 */
#define HF_DEFAULT_SNAPSHOT_RATE (128ull << 20)

struct hf_snapshotter;

struct hf_snapshotter_options {
    struct hf_engine *engine;
    struct hf_log *log;
    const char *directory;
    struct hf_io *io;     /* NULL: the real one */
    uint64_t log_bytes;   /* a snapshot is due after as much log, or as the last one was long, if
                             that is more; 0: the default; UINT64_MAX: never for that */
    uint64_t interval_ns; /* and after as long, if anything has changed; 0: never for that */
    uint64_t rate;        /* bytes a second, at most; 0: the default */
    uint32_t copy_cells;  /* looked at in one step, at most; 0: as is best */
    bool manual;          /* no thread: the caller calls hf_snapshotter_step() */
};

/* What there is to tell. */
struct hf_snapshotter_report {
    uint64_t last_lsn;    /* of the newest snapshot; 0: there is none */
    uint64_t made_at_ns;  /* its date */
    uint64_t bytes;       /* its size */
    uint64_t duration_ns; /* how long it took; 0: it was made in an earlier run */
    uint64_t log_bytes;   /* of log since its begin */
    bool running;         /* one is being made: */
    uint64_t done_bytes, expected_bytes;
    uint64_t made;     /* in this run */
    uint64_t failures; /* in this run */
    int last_error;    /* -errno of the last attempt; 0: it succeeded */
    bool requested;    /* one was asked for, and has not begun */
};

/* 0; -EAGAIN: there are HF_MAX_ACTORS already; or -errno. The engine and the log stay the caller's,
 * and outlive it. */
int hf_snapshotter_open(struct hf_snapshotter **snapshotter,
                        const struct hf_snapshotter_options *options);

/* Gives up what is under way. While the engine and the log are there. */
void hf_snapshotter_close(struct hf_snapshotter *snapshotter);

/* Asks for a snapshot now. Any thread; never blocks. If one is under way, another follows it. */
void hf_snapshotter_request(struct hf_snapshotter *snapshotter);

/* One step. Returns how long to wait before the next one, in ns; blocks for one write at most, or
 * for the end of a snapshot. By one thread. */
uint64_t hf_snapshotter_step(struct hf_snapshotter *snapshotter);

/* Any thread; never waits for the snapshotter. */
void hf_snapshotter_describe(struct hf_snapshotter *snapshotter,
                             struct hf_snapshotter_report *report);

#endif
