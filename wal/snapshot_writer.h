/*
 * The writer of snapshots: takes records, makes the file of snapshot_header.h of them.
 *
 * Life of a snapshot, one stage a step:
 *   filling   Its file is "snapshot.tmp". Whoever makes it fills in records, in the memory of the
 *             group that will be written next, and has each group written when it is full.
 *   ending    All records are there, and every one up to last_lsn is durable in the log. The last
 *             group is written and the file synced; then its header is written and synced: until
 *             then the file begins with zeros. Then it is renamed, and the directory synced.
 *   done      It exists, durably, under its name. One of the same name is replaced as one, whole.
 *
 * A crash before the rename leaves snapshot.tmp, which is removed at the next start; a crash behind
 * it leaves a whole snapshot. After an error nothing is written any more.
 *
 * Every step makes one call of the I/O seam at most, and writes HF_SNAPSHOT_GROUP_BYTES at most:
 * the caller decides when, so that the log's own writes do not wait for long, and so that a simulation
 * can come between any two of them. Memory: one group.
 *
 * Not thread-safe: one thread at a time. Blocking, in hf_snapshot_writer_open(), _step(), _close().
 */
#ifndef HF_WAL_SNAPSHOT_WRITER_H
#define HF_WAL_SNAPSHOT_WRITER_H

#include <stdint.h>

#include "wal/snapshot_header.h"

struct hf_io;
struct hf_snapshot_writer;

/*
 * Creates the file; one that somebody left there is lost. Of the header, these are told: log_id,
 * epoch, start, made_at_ns, retain_ns, segment_bytes, origin_log_id and origin_last_lsn. The rest
 * follows. `io` stays the caller's and must outlive the writer. 0 or -errno.
 */
int hf_snapshot_writer_open(struct hf_io *io, const char *directory,
                            const struct hf_snapshot_header *header,
                            struct hf_snapshot_writer **writer);

/*
 * Releases everything. Unless it is done, the snapshot is abandoned: its file is removed, as well
 * as that can be. (If only the last sync of the directory failed, the file has its name, and stays.)
 */
void hf_snapshot_writer_close(struct hf_snapshot_writer *writer);

/*
 * Memory for the next *records records, one behind the other, valid until the next step. *records
 * is 0 if the group is full, finish() was called, or an error has come: then step() is to be called.
 */
uint8_t *hf_snapshot_writer_room(struct hf_snapshot_writer *writer, uint32_t *records);

/*
 * Enters the first `records` records of that memory: complete records, with their LSNs; inventories
 * before reservations; in no chain.
 */
void hf_snapshot_writer_add(struct hf_snapshot_writer *writer, uint32_t records);

/*
 * All records were added, the log's last LSN is `last_lsn`, no less than that of any record, and
 * all up to it is durable. log_time_ns: the newest date in the log before start.next_lsn, or a
 * newer one up to last_lsn. Writes nothing yet.
 */
void hf_snapshot_writer_finish(struct hf_snapshot_writer *writer, uint64_t last_lsn,
                               uint64_t log_time_ns);

enum hf_snapshot_step {
    HF_SNAPSHOT_FILLING, /* there is room for records */
    HF_SNAPSHOT_ENDING,  /* finish() was called: call step() again */
    HF_SNAPSHOT_DONE,    /* the snapshot exists, durably, under its name */
};

/* Does what is to be done next: one write, one sync or the rename; nothing, if there is room for
 * records. One of the above, or -errno; after an error the same again. */
int hf_snapshot_writer_step(struct hf_snapshot_writer *writer);

/* The header as far as it is known: `records` and `inventories` that were added; after finish()
 * all but last_group_hash, once DONE all. */
const struct hf_snapshot_header *hf_snapshot_writer_header(const struct hf_snapshot_writer *writer);

/* Bytes of groups that were written so far. */
uint64_t hf_snapshot_writer_bytes(const struct hf_snapshot_writer *writer);

/* The highest LSN of all records so far; 0: there is none. */
uint64_t hf_snapshot_writer_newest_lsn(const struct hf_snapshot_writer *writer);

#endif
