/*
 * An audit: everything in a directory held against everything else.
 *
 *   the log        every block and its chain (wal/reader.h); every record is entered into a ledger
 *                  that proves it (ledger.h)
 *   its snapshots  every checksum; that the log has the block behind which each begins, and reaches
 *                  as far as it attests; that it, and the log from its begin on, make the state
 *                  that the ledger has
 *   a list         of acknowledgements, if one is given: that the log says the same (acks.h)
 *
 * A quick one looks at blocks and checksums alone.
 *
 * If the first segments are gone, the ledger begins with the oldest snapshot that is right: what
 * came before is not proved any more.
 */
#ifndef HF_TOOLS_AUDIT_H
#define HF_TOOLS_AUDIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/acks.h"
#include "tools/intake.h"
#include "tools/snapshots.h"
#include "tools/walk.h"
#include "wal/segment_header.h"

struct hf_audit_options {
    const char *directory;
    bool quick;
    uint64_t retain_ns;   /* for the state hash; or HF_RETAIN_AS_TOLD */
    struct hf_acks *acks; /* NULL: none */
};

/* What became of a snapshot. */
enum hf_audit_snapshot {
    HF_AUDIT_SNAPSHOT_UNREAD, /* it was not come to */
    HF_AUDIT_SNAPSHOT_RIGHT,  /* its checksums are; nothing was compared */
    HF_AUDIT_SNAPSHOT_BEGUN,  /* the ledger began with it */
    HF_AUDIT_SNAPSHOT_AGREES, /* it makes the state that the ledger has */
    HF_AUDIT_SNAPSHOT_FAULTY, /* it is damaged, or contradicts the log: see the entry's text */
};

struct hf_audit {
    struct hf_audit_options options;
    struct hf_files files;
    struct hf_snapshot_entries snapshots;
    enum hf_audit_snapshot verdicts[HF_FILES_SNAPSHOTS_MAX]; /* of these */
    uint32_t comparable;                                     /* the first so many can be compared */
    int keep;                                                /* see hf_files_keep() */
    struct hf_progress progress;                             /* with snapshots */
    struct hf_walk walk;
    bool walks; /* it is open */
    struct hf_intake intake;
    uint64_t retain_ns;
    uint32_t faulty_snapshots;
    uint32_t missing_acks, unprovable_acks;

    bool found;         /* what is wrong with the log, if anything is */
    uint64_t fault_lsn; /* 0: it is not about a record */
    uint64_t fault_segment, fault_offset;
    char fault[HF_FILES_ERROR_BYTES];
};

/* Reads everything, to its end or the log's first fault. False, with the reason in fault: there is
 * no log, it cannot be read, or there is not enough memory. To be closed in either case. */
bool hf_audit_open(struct hf_audit *audit, const struct hf_audit_options *options);
void hf_audit_close(struct hf_audit *audit);

/* Up to this LSN, all that is known is what a snapshot holds; 0: the log begins at its
 * beginning. */
uint64_t hf_audit_known_lsn(const struct hf_audit *audit);

/* True if nothing is wrong. */
bool hf_audit_passed(const struct hf_audit *audit);

/* The verdict; its last line is "verify: ok" or "verify: FAILED". */
void hf_audit_text_put(FILE *out, const struct hf_audit *audit);
void hf_audit_json_put(FILE *out, const struct hf_audit *audit);

#endif
