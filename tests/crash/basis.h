/*
 * The basis: what a server has to begin with, and the state that it must come to.
 *
 * A server recovers from a snapshot and the log behind it. Here the snapshot is held against the whole
 * log, as the annals have it: every record of it stands in the log, at its LSN; and everything is in
 * it that docs/log-format.md asks for. What it left out was finished, and no longer retained by the
 * server that made it: that is gone, also for a server that retains for longer. So the state is the
 * newest records of the log but for those that are gone; its hash is computed from the format's page
 * alone, beside the engine and the ledger.
 */
#ifndef HF_TESTS_CRASH_BASIS_H
#define HF_TESTS_CRASH_BASIS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/annals.h"

struct hf_basis {
    const struct hf_annals *annals; /* the caller's */
    uint64_t next_lsn;              /* all records from here on are there: */
    uint8_t *in_snapshot;           /* and of those before it these, by LSN */
    uint8_t *left_out;              /* these were left out of some snapshot, by LSN */
    uint64_t room;                  /* of left_out */
    uint64_t gone; /* newest records that are retained, but not there; at the last hash */
    char text[400];
};

void hf_basis_open(struct hf_basis *basis, const struct hf_annals *annals);
void hf_basis_close(struct hf_basis *basis);

/* The whole log, from its first record on. */
void hf_basis_take_log(struct hf_basis *basis);

/* A snapshot that is right, and the log behind it. NULL, or what the snapshot has that the log has
 * not, or the other way round. */
const char *hf_basis_take_snapshot(struct hf_basis *basis, const char *directory,
                                   uint64_t last_lsn);

/* The state hash after the newest record of the annals, for a server with this retention. Sets
 * `gone`. */
uint64_t hf_basis_hash(struct hf_basis *basis, uint64_t retain_ns);

#endif
