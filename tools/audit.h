/*
 * An audit: a walk over a log whose every record is entered into a ledger (ledger.h), and the
 * verdict, told as it is to people and to programs.
 */
#ifndef HF_TOOLS_AUDIT_H
#define HF_TOOLS_AUDIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/ledger.h"
#include "tools/walk.h"
#include "wal/segment_header.h"

struct hf_audit {
    struct hf_walk *walk; /* the caller's */
    struct hf_ledger *ledger;
    uint64_t retain_ns; /* for the state hash */

    bool found;         /* what is wrong, if anything is */
    uint64_t fault_lsn; /* 0: it is not about a record */
    uint64_t fault_segment, fault_offset;
    char fault[HF_SEGMENT_NAME_BYTES + sizeof(((struct hf_finding *)0)->text)];
};

/* Reads the whole log, to its end or the first fault. `walk`: open, at its beginning; it stays the
 * caller's. False: not enough memory. */
bool hf_audit_open(struct hf_audit *audit, struct hf_walk *walk, uint64_t retain_ns);
void hf_audit_close(struct hf_audit *audit);

/* The verdict; its last line is "verify: ok" or "verify: FAILED". */
void hf_audit_text_put(FILE *out, const struct hf_audit *audit);
void hf_audit_json_put(FILE *out, const struct hf_audit *audit);

#endif
