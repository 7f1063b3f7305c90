/*
 * What is lost: the records that stand in whole blocks behind the place where a log is damaged.
 * They are no part of the log any more, as what comes before them is not known; but whoever has
 * to decide, or to make good, wants to know them.
 *
 * A whole block is one whose header and records have right checksums, of this log, at its own
 * place (rules 1 to 6 of wal/block.h). Its records are shown as they are; whether they make sense
 * together nobody can prove. What could not be read at all may be more: `attested_lsn`.
 */
#ifndef HF_TOOLS_LOST_H
#define HF_TOOLS_LOST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/files.h"
#include "tools/progress.h"

/* Where to look, and from which LSN on. */
struct hf_lost_place {
    const char *directory;
    const uint8_t *log_id; /* 16 bytes; all zero: it is not known */
    uint64_t segment;      /* from this one on */
    uint64_t after_lsn;    /* records with a higher LSN are lost */
};

struct hf_lost {
    uint64_t records;             /* that can be read */
    uint64_t reservations;        /* ids among these */
    uint64_t first_lsn, last_lsn; /* of these; 0: there is none */
    uint64_t attested_lsn;        /* all up to here was durable once, as later blocks and snapshots
                                     say; 0: none does */
    char error[HF_FILES_ERROR_BYTES];
};

/* Looks. list: each record is written there, a JSON object a line; NULL: no. False, with the
 * reason in `error`. A segment that is missing, or cannot be read to its end, ends there. */
bool hf_lost_find(struct hf_lost *lost, const struct hf_lost_place *place, FILE *list);

#endif
