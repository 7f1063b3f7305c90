/*
 * holdfast-wal: the recovery tool. Looks at the log of a directory, shows its records and the state
 * at any moment of it, proves it, and takes the state out.
 *
 * Everything here only reads, and works beside a running server (walk.h). Whoever wants a state has
 * it from a ledger that shares no code with the engine (intake.h, ledger.h), and that proves each
 * record on the way.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/standard_files.h"
#include "tools/wal_options.h"

#define OUTPUT_BUFFER_BYTES (1u << 20)

#define FILTERS (HF_WAL_RESERVATION | HF_WAL_INVENTORY | HF_WAL_CUSTOMER | HF_WAL_STATE)

const struct hf_wal_command hf_wal_commands[] = {
    {"info", "DIR", HF_WAL_JSON, false, hf_wal_info,
     "what the log consists of: segments, snapshots, how far it reaches, how it ends", NULL},
    {"dump", "DIR", HF_WAL_JSON | HF_WAL_FORMAT | FILTERS | HF_WAL_FROM | HF_WAL_TO, false,
     hf_wal_dump, "its records, one a line", NULL},
    {"history", "DIR RESERVATION", HF_WAL_JSON | HF_WAL_FORMAT | HF_WAL_FROM | HF_WAL_TO, true,
     hf_wal_history, "all records of one reservation, in their order", NULL},
    {"verify", "DIR", HF_WAL_JSON | HF_WAL_QUICK | HF_WAL_ACKS | HF_WAL_RETAIN, false,
     hf_wal_verify, "proves the log, its snapshots, and that what was acknowledged is there",
     "Reads every block and record, checks every checksum and the chain, rebuilds the state, and\n"
     "proves of every change that it was allowed: that nothing was oversold, that units came back\n"
     "once, that no hold expired early or was confirmed late. Holds every snapshot against it.\n"
     "Ends with \"verify: ok\" or \"verify: FAILED\".\n"},
    {"state", "DIR",
     HF_WAL_JSON | HF_WAL_FORMAT | FILTERS | HF_WAL_AT | HF_WAL_RESERVATIONS | HF_WAL_RETAIN, false,
     hf_wal_state, "what was available, held, confirmed and waited for, now or at any moment",
     "Inventories in the order of their ids; with --reservations, or an option that is about\n"
     "reservations, these, in the order of theirs.\n"},
    {"hash", "DIR", HF_WAL_JSON | HF_WAL_AT | HF_WAL_RETAIN, false, hf_wal_hash,
     "the state hash, now or at any moment, to be compared with that of a server", NULL},
    {"export", "DIR",
     HF_WAL_EXPORT_FORMAT | HF_WAL_AT | HF_WAL_TARGET | HF_WAL_TABLE | HF_WAL_RETAIN, false,
     hf_wal_export, "the tables inventory and reservation, for PostgreSQL, SQLite and others",
     "SQL that PostgreSQL and SQLite load; CSV with a header line, a file for each table; or one\n"
     "JSON object a line. In every form it says of which log and LSN it is.\n"},
    {"backup", "DIR --to DEST", HF_WAL_JSON | HF_WAL_INTO | HF_WAL_NO_VERIFY, false, hf_wal_backup,
     "a consistent copy of the log and its snapshots, also while a server runs on it",
     "All that was acknowledged before it began is in the copy, which ends cleanly at an LSN that "
     "is\n"
     "told. A server starts on it; it is the same log, so never have two servers with copies of "
     "one\n"
     "log archive to the same place. The server removes no files while the copy is made.\n"},
    {"restore", "--from ARCHIVE --to DEST",
     HF_WAL_JSON | HF_WAL_ARCHIVE | HF_WAL_INTO | HF_WAL_UNTIL | HF_WAL_RETAIN | HF_WAL_NO_VERIFY,
     false, hf_wal_restore, "the state at any moment, as a new directory that a server starts on",
     "ARCHIVE is whatever holds segments and snapshots of one log: what --archive-command has\n"
     "filled, a backup, the directory of a server that is no more. The new log has a new id, and\n"
     "its LSNs go on where they were. A moment within a chain is that before it.\n"},
    {"compact", "DIR --to DEST", HF_WAL_JSON | HF_WAL_INTO | HF_WAL_RETAIN | HF_WAL_NO_VERIFY,
     false, hf_wal_compact, "its newest state alone, as a new directory that a server starts on",
     "No server may run on DIR. DIR stays as it is; with DEST in its place the server needs as "
     "much\n"
     "disk as its state, and starts as fast as can be. What came before is in DIR alone.\n"},
    {"repair", "DIR --to DEST",
     HF_WAL_JSON | HF_WAL_INTO | HF_WAL_RETAIN | HF_WAL_LOST | HF_WAL_YES | HF_WAL_NO_VERIFY, false,
     hf_wal_repair, "what is right of a damaged log, as a new directory that a server starts on",
     "For a log on which a server refuses to start. Says how far it is right, and what is lost "
     "with\n"
     "the rest; asks; and restores the state up to there. DIR is never changed: keep it. An "
     "archive\n"
     "or a backup may have what is damaged here: look there first.\n"},
};
const size_t hf_wal_command_count = sizeof hf_wal_commands / sizeof hf_wal_commands[0];

int main(int argc, char **argv)
{
    static char buffer[OUTPUT_BUFFER_BYTES];
    struct hf_wal_task task;
    enum hf_wal_exit status;
    hf_standard_files_open();
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    if (hf_wal_options_read(argc, argv, &task, &status))
        status = task.command->run(&task);
    if (fflush(stdout) != 0 || ferror(stdout))
        return (int)hf_wal_complain("cannot write the output: %s", strerror(errno));
    return (int)status;
}
