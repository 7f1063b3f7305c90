/*
 * Snapshots for tests: made with the writer, of records that follow from their numbers; read back
 * with the reader; and damaged on a disk in memory, with or without right hashes over the damage.
 *
 * The records are no images: the log's own modules do not know what an image means.
 *
 * Every failure of the machine (no memory) ends the process: it is not what is tested.
 */
#ifndef HF_TESTS_LIB_BUILT_SNAPSHOT_H
#define HF_TESTS_LIB_BUILT_SNAPSHOT_H

#include <stdint.h>

#include "tests/lib/memory_io.h"
#include "wal/snapshot.h"
#include "wal/snapshot_writer.h"

#define HF_BUILT_DIRECTORY "." /* the disk in memory does not care */

/* What is told of a snapshot when it is begun. `made_at_ns` tells one from another. */
struct hf_snapshot_header hf_built_header(uint64_t made_at_ns);

/* The last LSN of one with that many records: records have LSNs up to it. */
uint64_t hf_built_last_lsn(uint64_t records);

/* Record `number` of the snapshot that was begun with `made_at_ns`. */
void hf_built_record(uint64_t made_at_ns, uint64_t records, uint64_t inventories, uint64_t number,
                     uint8_t *record);

/*
 * Makes the whole snapshot on that disk, under its name; returns its header. It must not fail.
 * inventories <= records.
 */
struct hf_snapshot_header hf_built_snapshot(struct hf_io *io, const char *directory,
                                            uint64_t made_at_ns, uint64_t records,
                                            uint64_t inventories);

/* The same up to finish(), for tests that look at the steps. 0 or -errno of what failed first. */
int hf_built_fill(struct hf_snapshot_writer *writer, uint64_t records, uint64_t inventories);

/* What reading a snapshot came to. */
struct hf_built_walk {
    enum hf_snapshot_read end;
    struct hf_snapshot_finding finding;
    struct hf_snapshot_header header; /* all zero if it could not be opened */
    uint64_t records;                 /* that were given */
};

/*
 * Reads the snapshot to its end. That each record is the one that hf_built_record() makes, that
 * the end is told again when asked again, and that
 * the finding is one line, is checked here: a reader that fails it ends the process.
 */
struct hf_built_walk hf_built_read(struct hf_io *io, const char *directory, uint64_t last_lsn);

/* The snapshot's file in memory. */
struct hf_memory_file *hf_built_file(struct hf_memory_io *disk, uint64_t last_lsn);

/* Make the hash of the header right; of the group at `offset`, both of them, as far as the records
 * that it claims are within the file. */
void hf_built_forge_header(uint8_t *file);
void hf_built_forge_group(uint8_t *file, uint64_t file_bytes, uint64_t offset);

/* Makes all hashes and links of the file right: whatever else is wrong, no checksum tells. */
void hf_built_forge_all(uint8_t *file, uint64_t file_bytes);

#endif
