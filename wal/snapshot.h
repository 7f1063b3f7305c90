/*
 * Snapshots: which there are in a directory, and reading one. Their bytes are told in
 * snapshot_header.h, how they come to be in snapshot_writer.h.
 *
 * A reader gives the records group by group, each judged before it is given: its checksums, that it
 * belongs to this snapshot and stands where it should, and that it continues the chain from the
 * group before. Only the last group closes the chain, though: what was given before a damage was
 * met is of a snapshot that is not right, and whoever built something of it begins anew, with
 * another snapshot.
 *
 * It never writes, takes no lock, and may run beside a live server: a snapshot never changes once
 * it has its name. It may be removed meanwhile; what is open can be read to its end all the same.
 *
 * Reads are large, ahead of what is given (wal/read_ahead.h), and, with `direct`, past the page
 * cache. Memory: twice HF_SNAPSHOT_READ_BYTES; less if the file is smaller than that.
 */
#ifndef HF_WAL_SNAPSHOT_H
#define HF_WAL_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wal/snapshot_header.h"

#define HF_SNAPSHOT_READ_GROUPS 16 /* that one read brings */
#define HF_SNAPSHOT_READ_BYTES  ((size_t)HF_SNAPSHOT_READ_GROUPS * HF_SNAPSHOT_GROUP_BYTES)

struct hf_io;
struct hf_snapshot;

enum hf_snapshot_read {
    HF_SNAPSHOT_RIGHT,   /* it is right, as far as it was read */
    HF_SNAPSHOT_END,     /* it was read to its end, and all of it is right */
    HF_SNAPSHOT_CORRUPT, /* it is damaged: see the finding */
    HF_SNAPSHOT_NEWER,   /* its header is right, but of a format that this version does not know */
    HF_SNAPSHOT_ERROR,   /* it could not be read: see the finding */
};

/* What was found, for a person and for whoever looks for another snapshot. */
struct hf_snapshot_finding {
    uint64_t offset; /* bytes, in the file */
    int error;       /* ERROR: -errno, -ENOENT if there is no such snapshot; else 0 */
    char text[320];  /* one line: name, offset, what was expected and what was found */
};

/* One group. Valid until the next call of hf_snapshot_next() or _close(). */
struct hf_snapshot_view {
    const uint8_t *records; /* of HF_RECORD_BYTES */
    uint32_t record_count;
    uint64_t first; /* number of the first one in the snapshot, from 0 */
};

/*
 * Opens the snapshot up to `last_lsn` and judges its header; whose log it is of, the caller asks
 * the header. RIGHT: *snapshot is to be closed by the caller. Else it is NULL, and *finding tells why.
 * Blocks.
 */
enum hf_snapshot_read hf_snapshot_open(struct hf_io *io, const char *directory, uint64_t last_lsn,
                                       bool direct, struct hf_snapshot **snapshot,
                                       struct hf_snapshot_finding *finding);
void hf_snapshot_close(struct hf_snapshot *snapshot);

const struct hf_snapshot_header *hf_snapshot_header(const struct hf_snapshot *snapshot);

/* RIGHT: the next group. Else how the snapshot ends, again at every further call. Blocks while it
 * reads. One thread at a time. */
enum hf_snapshot_read hf_snapshot_next(struct hf_snapshot *snapshot, struct hf_snapshot_view *view);

/* After hf_snapshot_next() gave neither RIGHT nor END. */
const struct hf_snapshot_finding *hf_snapshot_finding(const struct hf_snapshot *snapshot);

/* Bytes of the file behind the reader, of header.file_bytes: for progress. */
uint64_t hf_snapshot_bytes_done(const struct hf_snapshot *snapshot);

/*
 * The snapshots in `directory`, newest first, by their names alone: up to `max` of their last LSNs.
 * Returns how many there are, which may be more than `max`; or -errno.
 */
int hf_snapshots_list(struct hf_io *io, const char *directory, uint64_t *last_lsns, size_t max);

/* Removes a snapshot; it stays removed after a crash. 0; -errno, -ENOENT if there is none. */
int hf_snapshot_remove(struct hf_io *io, const char *directory, uint64_t last_lsn);

#endif
