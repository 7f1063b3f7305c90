/*
 * DIR/archived: what the archive command has taken so far. Written by the archiver (wal/archiver.h)
 * after each success, read by it at a start, and by whoever wants to know.
 *
 * No part of the log: without it, or with one that is not right, archiving starts again from the
 * oldest segment that is there, which an archive command must be ready for in any case.
 *
 * The file is 4096 bytes: lines of text, and zero bytes behind them.
 *
 *     holdfast archived 1
 *     log 6b1c0c7e-5d7f-4e0c-9a3c-5d1e2f304152   log_id, as a UUID is printed
 *     segment 12                                 all segments up to this one; 0: none
 *     snapshot 345678                            last_lsn of the newest snapshot; 0: none
 *     date 1700000000000000000                   of the last success; 0: none
 *     hash a0bd9a4b4639c426                      XXH3-64 of the lines above
 *
 * It is right if and only if it is, byte for byte, what hf_archived_encode() writes for the values
 * that stand in it.
 *
 * A new one is written as archived.tmp, synced, renamed, and the directory synced: a crash leaves
 * the old or the new. (archived.tmp ends as all names of that kind: the next start removes it.)
 */
#ifndef HF_WAL_ARCHIVED_H
#define HF_WAL_ARCHIVED_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/io.h"

#define HF_ARCHIVED_NAME  "archived"
#define HF_ARCHIVED_BYTES 4096 /* a direct write's */

struct hf_archived {
    uint8_t log_id[16];
    uint64_t segment;      /* all up to this one; 0: none */
    uint64_t snapshot_lsn; /* of the newest snapshot that is archived; 0: none */
    uint64_t date_ns;      /* of the last success; 0: none */
};

/* Writes HF_ARCHIVED_BYTES. */
void hf_archived_encode(uint8_t *bytes, const struct hf_archived *archived);

/* Reads HF_ARCHIVED_BYTES. False if they are not right; *archived is filled in only if they are. */
bool hf_archived_decode(const uint8_t *bytes, struct hf_archived *archived);

/* Reads the file, blocking. 0; -ENOENT: there is none; -EBADMSG: it is not right; or -errno. */
int hf_archived_read(struct hf_io *io, const char *directory, struct hf_archived *archived);

/* Replaces the file, blocking: durable when this returns 0. After -errno it is the old or the new.
 * */
int hf_archived_write(struct hf_io *io, const char *directory, const struct hf_archived *archived);

#endif
