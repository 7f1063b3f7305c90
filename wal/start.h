/* Where a log, or what is left of it, begins: at the first block of a segment, and behind which block.
 * Of a whole log: segment 1, and all else zero but next_lsn. */
#ifndef HF_WAL_START_H
#define HF_WAL_START_H

#include <stdint.h>

struct hf_log_start {
    uint64_t segment;       /* its first block stands at HF_SEGMENT_HEADER_BYTES of this one */
    uint64_t epoch;         /* of the block before; 0: there is none */
    uint64_t sequence;      /* of the block before; 0: there is none */
    uint64_t previous_hash; /* its header_hash; 0: there is none */
    uint64_t next_lsn;      /* of the first record from there on */
    uint64_t written_at_ns; /* the newest date in any block before; 0: there is none */
};
#define HF_LOG_START_WORDS (sizeof(struct hf_log_start) / sizeof(uint64_t))

#endif
