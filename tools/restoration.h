/*
 * Restorations: the state of a log at a moment, in a new directory that a server starts on.
 *
 * It begins with the newest right snapshot that is old enough, or the log's beginning, and goes
 * on with the log to the moment, proving each record that comes behind the snapshot (past.h).
 * Then it writes the new log (new_log.h), reads it back, and holds the state hash of the one
 * against that of the other. Only then does the new directory become one that a server starts on.
 *
 * Without a moment it is all that the log has. Then what a snapshot attests must be there:
 * nothing is left out in silence.
 */
#ifndef HF_TOOLS_RESTORATION_H
#define HF_TOOLS_RESTORATION_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/moment.h"
#include "tools/new_log.h"

struct hf_restoration {
    struct hf_new_log log; /* that was made */
    uint8_t origin_log_id[16];
    uint64_t lsn;       /* the last one */
    uint64_t newest_ns; /* the newest date in the log up to there; 0: there is none */
    uint64_t inventories, retained, retain_ns, state_hash;
    uint64_t duration_ns;
    bool torn;           /* the log had a torn tail, which is no part of it: */
    char torn_text[320]; /* what was found there */

    char error[2 * HF_FILES_ERROR_BYTES]; /* why it failed */
};

struct hf_restoration_order {
    const char *from; /* a server's directory, a copy of one, or an archive */
    const char *to;   /* new, or empty */
    const struct hf_moment *until;
    uint64_t retain_ns; /* or HF_RETAIN_AS_TOLD */
    bool no_verify;     /* the new log is not read back */
};

/* False, with the reason in `error`: there is nothing in `to`. Blocks. */
bool hf_restore(struct hf_restoration *restoration, const struct hf_restoration_order *order);

/* Why the state of a log cannot be had, and of which moment it can be, for a person. */
void hf_restoration_explain(struct hf_restoration *restoration, const char *from,
                            const struct hf_past *past);

/* True if a state of the end of a log is all that there must be: a snapshot, right or not,
 * attests by its name. Else the reason is in its `error`. */
bool hf_restoration_is_whole(struct hf_past *past, const char *from);

/* What was restored, on stdout; `what`: "restored", with which it begins. */
void hf_restoration_put(const struct hf_restoration *restoration,
                        const struct hf_restoration_order *order, const char *what, bool json);

#endif
