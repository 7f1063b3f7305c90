/*
 * New logs: a state, as a log of its own that a server starts on and goes on with. Nothing of the
 * log that the state is of is cut or rewritten.
 *
 * It is one snapshot of the exact state after an LSN, and an empty first segment. It has an id of
 * its own, as what will be written to it is not what the other log has, or will have, under the
 * same LSNs; its snapshot's header names the log that it was made of, and up to where.
 *
 * The snapshot is durable before the segment exists: an empty segment alone would be an empty
 * log.
 */
#ifndef HF_TOOLS_NEW_LOG_H
#define HF_TOOLS_NEW_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/new_directory.h"
#include "tools/past.h"

struct hf_new_log {
    uint8_t log_id[16];
    uint64_t snapshot_bytes, segment_bytes;
};

/* Writes the state into the directory, which is open and stays so. Blocks until all is durable.
 * False, with the reason in `error`. */
bool hf_new_log_write(struct hf_new_log *log, const struct hf_new_directory *directory,
                      const struct hf_past *past, char error[HF_FILES_ERROR_BYTES]);

#endif
