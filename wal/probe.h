/*
 * The probe: finds out, when a log is opened, how its disk makes a block durable soonest.
 *
 * There are two ways (wal/io.h, wal/io_uring.h). They differ in what the disk is asked for: a direct,
 * data-synced write may be one request that reaches the medium by itself (FUA), where the device
 * has that; a write and fdatasync is a request and a flush of the device's cache. Which is sooner is
 * up to the device, and nothing tells it but trying.
 *
 * What is done. A small file beside the log, removed afterwards, is filled with zeros as a segment
 * is. Then come rounds of one 4 KiB write each way, in turns, through the write queue that blocks go
 * through; the first round is not counted. Direct, data-synced writes it is, unless the other way is
 * clearly sooner: by more than 15 % in the median, and in three rounds of four. So chance does not
 * decide, and two starts on one quiet machine choose the same.
 *
 * How long. Until there are enough rounds: on a disk of 150 us a write 10 ms, all in all. On a slow
 * disk never more than 200 ms: nothing is begun that would end later if it took three times as long
 * as the longest step before it. What is not measured in five rounds by then is not compared, and
 * the default stands; so it does if the file cannot be made or written.
 *
 * What it is worth. Grants a second of a server, direct against write and fdatasync, on a virtual
 * disk that has no FUA, two CPUs, medians of 5 to 7 rounds in turns:
 *
 *                          alone on the machine       ten others want its CPUs
 *   50 connections x 64    2140 k against 1980 k       555 k against 539 k
 *   50 x 1                  110 k against 95 k          11 k against 18 k
 *   1 x 1                   5.8 k against 4.6 k       0.36 k against 0.95 k, p50 3.0 ms and 0.2 ms
 *
 * Without FUA the kernel ends a data-synced write in a thread of its own, which waits for one CPU
 * like everybody else; an fdatasync runs in a thread that may take any. So what is sooner depends on
 * the machine as well as on the disk, and what the probe finds is what stood when it looked.
 *
 * Without direct I/O (a file system refuses it, or has it only in units that 4096 is no multiple
 * of) there is one way: through the page cache, and fdatasync. It is as durable. But of a failed
 * write-back the kernel tells one caller only, so no two blocks may be in flight: the sync of one
 * could take the error of the other, and the other would pass for durable. The same holds where the
 * file system takes O_DIRECT and does not say that it means it (STATX_DIOALIGN).
 *
 * How many writes are in flight is not probed. Measured here: what a disk gains by more of them is
 * not what a server gains. On one virtual disk, writes of 4 KiB took 128, 71, 53 and 28 us each with
 * 1, 2, 4 and 8 in flight, so that a probe would say 8; for the server, three are best there, as the
 * next group grows meanwhile (README.md).
 */
#ifndef HF_WAL_PROBE_H
#define HF_WAL_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wal/io.h"

/* The probe's file. A start removes what one before it left, as all that ends so. */
#define HF_PROBE_NAME "probe.tmp"

/* What the disk of a log is like, and how blocks are written to it. Set when the log is opened. */
struct hf_disk {
    enum hf_log_writes writes;     /* HF_LOG_WRITES_DIRECT or HF_LOG_WRITES_SYNC */
    bool fixed;                    /* an option said so; nothing was measured */
    struct hf_io_direct direct;    /* of a segment; direct.used: past the page cache */
    bool in_memory;                /* no disk at all: nothing outlives the machine's next crash */
    uint32_t most_writes_inflight; /* no more than these; 0: no bound but the flusher's */
    uint32_t rounds;               /* that were measured */
    uint64_t direct_ns; /* median of a 4 KiB write, direct and data-synced; 0: not measured */
    uint64_t sync_ns;   /* the same, a write and fdatasync */
    uint64_t probe_ns;  /* how long it took to find out */
    int error;          /* why the measuring ended early (-errno), -ETIME: time; or 0 */
};

/*
 * Finds out for the log in `directory`, whose segment `segment` is there; for real files only.
 * Blocks, see above. `wanted` other than AUTO fixes the way. 0, -EOPNOTSUPP: DIRECT is wanted and
 * cannot be had, or -errno if the segment cannot be opened.
 */
int hf_disk_examine(struct hf_disk *disk, const char *directory, uint64_t segment,
                    enum hf_log_writes wanted);

/* How blocks are written, and what was measured, in words; one line without its end. */
void hf_disk_describe(const struct hf_disk *disk, char *text, size_t text_bytes);

#define HF_DISK_TEXT_BYTES 160

/* ---- how it is done; a test puts its own disk and its own time in their place ---- */

#define HF_PROBE_BUDGET_NS  200000000u /* never longer than this, see above */
#define HF_PROBE_ENOUGH_NS  20000000u  /* by then the fewest rounds are enough */
#define HF_PROBE_MIN_ROUNDS 5
#define HF_PROBE_MAX_ROUNDS 31

struct hf_probe {
    /* Makes the file to write to. 0 or -errno. */
    int (*fill)(struct hf_probe *probe);
    /* Makes one write durable. 0 or -errno. */
    int (*write)(struct hf_probe *probe, enum hf_log_writes writes);
    uint64_t (*now_ns)(struct hf_probe *probe);
};

/* Measures, each way that disk->direct allows, and chooses: sets all of `disk` but `fixed` and
 * `direct`. */
void hf_probe_run(struct hf_probe *probe, struct hf_disk *disk);

#endif
