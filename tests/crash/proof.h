/*
 * The proof: every record of a log, from the first one on, entered into the ledger of `holdfast-wal
 * verify` (tools/ledger.h), which shares no code with the engine. It proves of each that it was
 * allowed, and at any time it knows the state hash of the whole.
 *
 * A log that lets go of its first segments can no longer be proved from its directory alone. This one
 * is fed while the log grows (annals.h), so it goes on where it was.
 */
#ifndef HF_TESTS_CRASH_PROOF_H
#define HF_TESTS_CRASH_PROOF_H

#include <stdint.h>

#include "wal/reader.h"

struct hf_ledger;

struct hf_proof {
    struct hf_ledger *ledger;
    uint64_t start_lsn; /* the last LSN when the server that wrote the newest block started */
    uint64_t log_bytes; /* of blocks */
    char text[400];
};

/* Ends the process if there is no memory. */
void hf_proof_open(struct hf_proof *proof);
void hf_proof_close(struct hf_proof *proof);

/* The next block of the log. NULL, or which record is not sound, and why. `proof`: a struct hf_proof. */
const char *hf_proof_block(void *proof, const struct hf_block_view *view);

/* The state hash after the newest block. */
uint64_t hf_proof_hash(const struct hf_proof *proof, uint64_t retain_ns);

#endif
