/*
 * A walk over the log of a directory, block by block, for tools.
 *
 * It only reads, and works beside a running server: its reader bypasses the page cache and looks
 * again wherever the log seems to end (wal/reader.h). What can still differ beside a running server
 * is the meaning of a torn tail: it is a write in flight. So when a log does not end cleanly the
 * walk asks whether the directory's lock is held, for as short as that takes. A log that grows
 * faster than it is read is followed for a while only.
 *
 * A log whose first segments are gone begins where a snapshot says; or, for those who only want to
 * see what there is, with the oldest segment; if no snapshot begins there, its first block is
 * believed what it says of the one before it.
 */
#ifndef HF_TOOLS_WALK_H
#define HF_TOOLS_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/progress.h"
#include "wal/reader.h"

/* A walk, and what was met on it so far. */
struct hf_walk {
    const char *directory;
    struct hf_reader *reader;
    int keep;                  /* see hf_files_keep() */
    struct hf_log_start start; /* where it began */
    enum hf_read end;          /* of the walk; HF_READ_END too if it stopped following a writer */
    struct hf_finding finding; /* unless it stopped following; of hf_walk_open(): why not */
    bool grows;                /* it stopped following: the log goes on */
    bool in_flight;            /* TORN, beside a running server */
    uint64_t blocks, records, starts, clean_stops;
    struct hf_block first, last; /* blocks; all zero if there is none */
    struct hf_progress progress;
};

/* Opens the log of a directory. start: where to begin; NULL: with the oldest segment. False, with
 * the reason in finding.text: it cannot be read, or there is none. `progress`: to be told on a
 * terminal, if it takes time. */
bool hf_walk_open(struct hf_walk *walk, const char *directory, const struct hf_log_start *start,
                  bool progress);
void hf_walk_close(struct hf_walk *walk);

/* The next block. False: the walk has ended. */
bool hf_walk_next(struct hf_walk *walk, struct hf_block_view *view);

/* True if the log was read to its end. */
bool hf_walk_ended_well(const struct hf_walk *walk);

/* LSN of the first and of the last record met; the last is one less than the first if there is
 * none.
 */
uint64_t hf_walk_first_lsn(const struct hf_walk *walk);
uint64_t hf_walk_last_lsn(const struct hf_walk *walk);

#endif
