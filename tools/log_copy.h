/*
 * Copies of logs: the same log, in another directory, also of one that is being written.
 *
 * What is copied is what a reader takes for the log (wal/reader.h), block by block at its place:
 * every block whole, each continuing the one before; the rest of its last segment is zero. So a
 * copy ends cleanly, with a block that the reader has seen whole, and never in what happened to
 * be written at that moment. What was durable before the copy began is in it, as the reader comes
 * to the end only after that. A block that it copies may not have been durable yet; but a crash
 * could have left it just so.
 *
 * Snapshots come first: whatever they attest is then in the log that is read after them. Those
 * that are damaged are left out. Segments come from the first on, if all are there, else from
 * that on with which the oldest right snapshot begins; so a copy has what a fall-back to an older
 * snapshot needs, and stays complete if one is damaged later.
 */
#ifndef HF_TOOLS_LOG_COPY_H
#define HF_TOOLS_LOG_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/new_directory.h"
#include "wal/block.h"
#include "wal/start.h"

struct hf_log_copy {
    uint8_t log_id[16];
    struct hf_log_start start; /* where it begins */
    uint64_t segment_bytes;
    uint64_t first_segment, last_segment; /* that were written */
    uint64_t snapshots;                   /* that were copied */
    uint64_t damaged_snapshots;           /* that were not */
    uint64_t attested_lsn; /* all up to here must be there, as snapshots say; 0: they do not */
    uint64_t blocks, records;
    struct hf_block last; /* block; all zero if there is none */
    uint64_t bytes;       /* of files */
    char error[HF_FILES_ERROR_BYTES];
};

/* Copies. False, with the reason in `error`: what is in `to` by then is of no use. Blocks; the
 * server keeps all files meanwhile. */
bool hf_log_copy(struct hf_log_copy *copy, const char *from, const struct hf_new_directory *to);

/* The last LSN of the copy. */
uint64_t hf_log_copy_last_lsn(const struct hf_log_copy *copy);

/* Reads the copy again, and holds it against what was read: its last block names all before it by
 * their hashes. False, with the reason in `error`. */
bool hf_log_copy_verify(struct hf_log_copy *copy, const struct hf_new_directory *to);

#endif
