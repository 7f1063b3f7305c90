/*
 * An intake: fills a ledger from files. First, if there is to be one, a snapshot, and the log from
 * where that says, loaded up to the LSN from which on the state is exactly known; then the ledger
 * judges what follows. Without a snapshot all is judged, from the first record of the log on.
 */
#ifndef HF_TOOLS_INTAKE_H
#define HF_TOOLS_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/ledger.h"
#include "tools/progress.h"
#include "wal/block.h"
#include "wal/snapshot.h"

struct hf_intake {
    struct hf_ledger *ledger;
    bool has_snapshot;
    struct hf_snapshot_header snapshot; /* its header */
    bool settled;                       /* the ledger judges */
    uint64_t known_lsn; /* from this LSN on the state is known; 0 without a snapshot */
    uint64_t next_lsn;  /* of the record that comes next */
};

/* remember_ns: see hf_ledger_open(). False: out of memory. */
bool hf_intake_open(struct hf_intake *intake, uint64_t remember_ns);
void hf_intake_close(struct hf_intake *intake);

/* Begins with a snapshot. END: all of it was right. Else *finding tells why not, and the intake is
 * of no more use. */
enum hf_snapshot_read hf_intake_snapshot(struct hf_intake *intake, const char *directory,
                                         uint64_t last_lsn, struct hf_progress *progress,
                                         struct hf_snapshot_finding *finding);

/* A server started: the block that begins here is a START block, of this epoch. */
void hf_intake_start(struct hf_intake *intake, uint64_t epoch);

/* The next records. NULL, or why number *done of them is not sound; else *done is the count. */
const char *hf_intake_records(struct hf_intake *intake, const uint8_t *records, uint32_t count,
                              uint32_t *done);

/* No more will come. NULL, or why the log must not end here. */
const char *hf_intake_end(struct hf_intake *intake);

#endif
