/*
 * An attempt: a recovery from a still, as a server makes it, and what came of it.
 *
 * hf_recover() reads what is there and hands it to the engine's replay, as in a server's start; only
 * the files are in memory. What it says to the operator is caught.
 */
#ifndef HF_TESTS_FLIP_ATTEMPT_H
#define HF_TESTS_FLIP_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/flip/still.h"
#include "wal/log.h"

#define HF_ATTEMPT_TEXT_BYTES 2048
_Static_assert(HF_ATTEMPT_TEXT_BYTES >= HF_LOG_ERROR_BYTES, "room for what the log says");

struct hf_attempt {
    bool refused;      /* `error` says why */
    uint64_t last_lsn; /* of the state; unless it was refused, and so below */
    uint64_t state_hash;
    char error[HF_ATTEMPT_TEXT_BYTES];
    char told[HF_ATTEMPT_TEXT_BYTES]; /* what was said on stderr */
};

/* From now on this process's stderr goes where attempts read it; to be called before the first, and
 * again behind a fork. 0 or -errno. */
int hf_attempt_catch_messages(void);

/* Recovers, and takes back what was written. Ends the process if there is no memory. */
void hf_attempt_make(struct hf_attempt *attempt, struct hf_still *still);

#endif
