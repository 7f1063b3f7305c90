/*
 * What must hold of a log that was recovered, proved without the engine that recovered it:
 *
 *   - its records are, to the byte and in order, those that the server ever recorded, up to where
 *   the
 *     server says that it ends; the last block is a START block that attests all before it, and
 *     behind it is nothing but zeros;
 *   - of all that was ever recorded up to there, each record may follow those before it
 *     (tools/ledger.h): so NO-OVERSELL and all other rules hold in every prefix;
 *   - the state that follows from all of them by the ledger's own account is the state that the
 *   server
 *     holds, whether it came from the log or from a snapshot and the rest of the log, with
 *     available units counted from the reservations (CONSERVATION, SAME-STATE);
 *   - each snapshot that is kept makes that state, too, with the records behind its begin.
 */
#ifndef HF_TESTS_SIM_PROOF_H
#define HF_TESTS_SIM_PROOF_H

#include "tests/sim/server.h"
#include "wal/reader.h"
#include "wal/snapshot_header.h"

/* A log as it was found on a disk, from the earliest place on from which it can be read. */
struct hf_sim_chronicle {
    struct hf_log_start start; /* where that is; segment 0: there is no log */
    struct hf_block *blocks;   /* their headers */
    uint32_t block_count, block_room;
    uint8_t log_id[16];
    enum hf_read end;
    struct hf_finding finding;
};

/* Proves it of a server that has just started, and has written nothing since. `damaged`: only what
 * it started from need be right, not the older snapshot, nor what is before the newest one. NULL,
 * or what is wrong: in `text`. The state's hash comes to *hash. */
const char *hf_sim_prove(struct hf_sim_server *server, bool damaged, uint64_t *hash, char *text,
                         size_t text_bytes);

/* Reads which blocks a log has. Records are not looked at. */
void hf_sim_chronicle_read(struct hf_sim_chronicle *chronicle, struct hf_sim_disk *disk);
void hf_sim_chronicle_free(struct hf_sim_chronicle *chronicle);

/* The header of the snapshot up to this LSN. False: there is none, or it is not right. */
bool hf_sim_snapshot_header(struct hf_sim_disk *disk, uint64_t last_lsn,
                            struct hf_snapshot_header *header);

/*
 * The log ends some records earlier, if none of those was promised: its last block is sealed anew
 * with fewer records, and what is behind it is gone. So would it have been, had another thread run
 * the flusher a moment earlier; here there is but one, and what one operation records always comes
 * in one block. True if there was something to take away.
 */
bool hf_sim_end_earlier(struct hf_sim_disk *disk, uint64_t promised_lsn, struct hf_random *random);

#endif
