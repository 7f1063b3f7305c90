/*
 * The past: the state of a log at a moment, in a ledger. It begins with the newest snapshot that is
 * old enough, and goes on with the log from there; without one, with the first record of the log.
 * What of the log is read is proved on the way, like in `verify`.
 *
 * A moment in the middle of a chain is that before the chain, as a chain takes effect as one.
 */
#ifndef HF_TOOLS_PAST_H
#define HF_TOOLS_PAST_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/intake.h"
#include "tools/moment.h"
#include "tools/snapshots.h"
#include "tools/walk.h"

struct hf_past {
    struct hf_intake intake;
    uint8_t log_id[16];     /* all zero: nothing could be read that tells it */
    uint64_t lsn;           /* the state is that after this one */
    uint64_t newest_ns;     /* the newest date in the log up to there; 0: there is none */
    uint64_t retain_ns;     /* what of the state is retained */
    uint64_t segment_bytes; /* 0: likewise */
    bool torn;              /* the log was read to its end, and has a torn tail: */
    char torn_text[320];    /* what was found there */

    char error[HF_FILES_ERROR_BYTES];     /* why the state cannot be had */
    uint64_t fault_segment, fault_offset; /* where, if it is about a place of the log; else 0 */
    bool has_possible;
    uint64_t possible_lsn; /* the newest LSN of which the state can be had instead */
};

/* retain_ns: or HF_RETAIN_AS_TOLD. False, with the reason in `error`. To be closed in either case.
 * A snapshot that is damaged is told on stderr, and the one before is taken. */
bool hf_past_open(struct hf_past *past, const char *directory, const struct hf_moment *moment,
                  uint64_t retain_ns);
void hf_past_close(struct hf_past *past);

#endif
