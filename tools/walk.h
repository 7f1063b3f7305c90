/*
 * A walk over the log of a directory, block by block, for tools.
 *
 * It only reads, and works beside a running server: its reader bypasses the page cache and looks
 * again wherever the log seems to end (wal/reader.h). What can still differ beside a running server
 * is the meaning of a torn tail: it is a write in flight. So when a log does not end cleanly the
 * walk asks whether the directory's lock is held, for as short as that takes. A log that grows
 * faster than it is read is followed for a while only.
 */
#ifndef HF_TOOLS_WALK_H
#define HF_TOOLS_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/reader.h"

/* A walk, and what was met on it so far. */
struct hf_walk {
    const char *directory;
    struct hf_reader *reader;
    enum hf_read end;          /* of the walk; HF_READ_END too if it stopped following a writer */
    struct hf_finding finding; /* unless it stopped following; of hf_walk_open(): why not */
    bool grows;                /* it stopped following: the log goes on */
    bool in_flight;            /* TORN, beside a running server */
    uint64_t blocks, records, starts, clean_stops;
    struct hf_block last; /* block; all zero if there is none */
    uint64_t progress_due_ns;
    bool progress_shown;
};

/* Opens the log of a directory. False, with the reason in finding.text: it cannot be read, or there
 * is none. `progress`: to be told on a terminal, if it takes time. */
bool hf_walk_open(struct hf_walk *walk, const char *directory, bool progress);
void hf_walk_close(struct hf_walk *walk);

/* The next block. False: the walk has ended. */
bool hf_walk_next(struct hf_walk *walk, struct hf_block_view *view);

/* True if the log was read to its end. */
bool hf_walk_ended_well(const struct hf_walk *walk);

/* LSN of the last record met; 0: none. */
uint64_t hf_walk_last_lsn(const struct hf_walk *walk);

/* Takes the progress off the terminal; hf_walk_next() does so at the end. */
void hf_walk_clear_progress(struct hf_walk *walk);

/* True while a server runs on the directory: it holds the lock. Taken and released at once. */
bool hf_walk_server_runs(const char *directory);

#endif
