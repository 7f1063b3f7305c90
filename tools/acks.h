/*
 * Acknowledgements: a list of what clients were told, each to be found in the log.
 *
 * A file of lines; docs/holdfast-wal.md is normative. A line is either
 *   ID [STATUS [QTY [LSN]]]   with commas, tabs or spaces between them; an empty one or "-" says
 *                             nothing; behind '#' stands a comment; a line that begins with
 *                             "reservation_id" is a header
 *   {...}                     a JSON object as `holdfast --json` answers: an acknowledgement if it
 *                             has reservation_id and lsn, together with its status and qty
 *
 * A line is found if a record of the log says all that it says: of this reservation, in this state,
 * with these units, at this LSN. Of what a line does not say anything will do; later records may
 * say other things, as reservations change. Where the log begins with a snapshot, what was before
 * is not there: then it is enough that the snapshot holds something that can have come of it. Of
 * what it does not hold, and which was acknowledged with an LSN before the log begins, nobody can
 * say whether it was finished and forgotten, or lost; likewise of what was finished, if its id was
 * used again.
 */
#ifndef HF_TOOLS_ACKS_H
#define HF_TOOLS_ACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/types.h"
#include "tools/ledger_index.h"

struct hf_ack {
    struct hf_id id;
    uint64_t lsn;  /* 0: any */
    uint64_t line; /* of the file, from 1 */
    uint32_t qty;  /* 0: any */
    uint8_t state; /* 0: any */
    bool found;
    bool contradicted; /* the snapshot holds it, and it can be no such thing */
};

struct hf_acks {
    struct hf_ack *acks; /* in the order of the lines */
    uint32_t count, room;
    struct hf_ledger_index index; /* from ids */
    uint64_t seed;                /* of their hashes */
};

#define HF_ACKS_ERROR_BYTES 640

/* Reads a file; "-": stdin. False, with the reason in `error`: it cannot be read, or has a line
 * that is none. To be closed in either case. */
bool hf_acks_open(struct hf_acks *acks, const char *path, char error[HF_ACKS_ERROR_BYTES]);
void hf_acks_close(struct hf_acks *acks);

/* One line, without its end, as the file has it. False, with the reason in `error`. */
bool hf_acks_add_line(struct hf_acks *acks, const char *line, uint64_t number,
                      char error[HF_ACKS_ERROR_BYTES]);

/* Records of the log, one behind the other: those that they say are found. Any bytes may be
 * given. */
void hf_acks_meet(struct hf_acks *acks, const uint8_t *records, uint32_t count);

/* Likewise, records of the snapshot with which the log begins. */
void hf_acks_meet_snapshot(struct hf_acks *acks, const uint8_t *records, uint32_t count);

/* True if it was not found, and nobody can say whether it should have been. known_lsn: up to which
 * the log is not there, but for what a snapshot holds; 0: all is there. */
bool hf_ack_is_unprovable(const struct hf_ack *ack, uint64_t known_lsn);

#endif
