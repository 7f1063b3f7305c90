/*
 * In process: the engine alone, without sockets, frames or waiting for a disk.
 *
 * Each thread is what a worker of the server is to the engine: an actor that does its operations in
 * turns (worker.h), and at the end of a turn empties the log's ring, if nobody else is at it. Its time
 * is told apart: what the operations took, and what emptying took.
 *
 * What becomes of the log is asked for. `none`: its records are copied out of the ring and dropped, so
 * that a grant costs what deciding, publishing and logging it costs, and no more. `disk`: a store in a
 * directory, with blocks, checksums and direct writes, as holdfastd has it; what is full waits for it.
 *
 * With a number of operations instead of a time, every run does the same, instruction by instruction
 * but for the clock's. `valgrind --tool=callgrind --toggle-collect=hf_inprocess_turn` counts nothing
 * but the operations.
 */
#ifndef HF_BENCH_INPROCESS_H
#define HF_BENCH_INPROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/spread.h"

/* X(name, text, what one operation is) */
#define HF_INPROCESS_JOBS(X)                                                                       \
    X(GRANT, "grant", "one reservation is granted, by itself")                                     \
    X(BURST, "grant-burst", "one of 32 neighbours that are granted together")                      \
    X(REFUSE, "refuse", "one claim of what is sold out is refused")                                \
    X(REFUSE_BURST, "refuse-burst", "one of 32 neighbours that are refused together")              \
    X(HOLD, "hold", "one hold is granted")                                                         \
    X(CONFIRM, "confirm", "one hold is confirmed")                                                 \
    X(CANCEL, "cancel", "one reservation is cancelled")                                            \
    X(LOOKUP, "lookup", "one reservation is looked up")                                            \
    X(READ, "read", "the availability of one inventory is read")                                   \
    X(EXPIRE, "expire", "one hold lapses, and is expired: by the first thread alone")              \
    X(VIEW, "view", "the same as read, from shared memory, as another process would")

enum hf_inprocess_job {
#define X(name, text, meaning) HF_INPROCESS_##name,
    HF_INPROCESS_JOBS(X)
#undef X
        HF_INPROCESS_JOB_COUNT
};

enum hf_inprocess_format { HF_INPROCESS_TABLE, HF_INPROCESS_JSON, HF_INPROCESS_CSV };

struct hf_inprocess_options {
    uint32_t threads;
    uint32_t inventories;
    struct hf_spread_choice spread;
    double seconds;        /* of each job */
    uint64_t operations;   /* of each job and thread; 0: as many as there is time for */
    uint32_t rounds;       /* all jobs, one after the other, so many times */
    uint32_t jobs;         /* bit n: enum hf_inprocess_job n; 0: all */
    const char *directory; /* for `disk`; NULL: the log is dropped */
    enum hf_inprocess_format format;
};

/* "grant", ... False: there is none of that name. */
bool hf_inprocess_parse(const char *text, enum hf_inprocess_job *job);

/* What is measured, and nothing else: callgrind is told its name. Done by the threads of
 * hf_inprocess_run() alone. */
struct hf_inprocess_worker;
void hf_inprocess_turn(struct hf_inprocess_worker *worker, uint32_t count);

/* Measures, and prints a row for each job and round. Blocks. The exit status: of a wrong outcome, 1. */
int hf_inprocess_run(const struct hf_inprocess_options *options);

#endif
