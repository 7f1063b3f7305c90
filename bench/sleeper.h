/*
 * The sleeper: a thread that sleeps until a given time, again and again, and sees how late it wakes.
 *
 * That is what the machine adds to every lag, whoever is measured on it: its timers, its scheduler
 * and whatever else runs there. A lag of the server cannot be told from it if both are of one size.
 * Its times are a millisecond apart whatever happens: if it is stopped for a while, all of those that
 * fell into that count, as do all deadlines.
 */
#ifndef HF_BENCH_SLEEPER_H
#define HF_BENCH_SLEEPER_H

#include <pthread.h>

#include "base/atomics.h"
#include "bench/histogram.h"

struct hf_sleeper {
    pthread_t thread;
    _Atomic bool stop;        /* written by who stops it */
    uint64_t count;           /* the thread's until it is joined, and */
    struct hf_histogram late; /* how late it woke */
};

/* 0 or -errno. */
int hf_sleeper_start(struct hf_sleeper *sleeper);

/* Joins the thread; its results are there then. */
void hf_sleeper_stop(struct hf_sleeper *sleeper);

#endif
