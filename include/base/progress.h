/*
 * Progress of something long, a recovery: how far it is, and whether it is still wanted.
 *
 * The one who works writes the numbers, block by block; others read them whenever they like. Each
 * number is right by itself, and they need not be of one instant. All zero: nothing is known yet.
 */
#ifndef HF_BASE_PROGRESS_H
#define HF_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"

struct hf_progress {
    /* Written by the one who works. Relaxed, all: they guard nothing. */
    _Atomic uint64_t done_bytes;
    _Atomic uint64_t total_bytes; /* may grow */
    _Atomic uint64_t records;     /* behind it */
    _Atomic uint32_t percent;     /* never falls, even if the total grows */

    /* Written by anyone who wants it to end, once. Relaxed: to see it a little later costs a little
     * time. */
    _Atomic uint32_t cancelled;
};

/* Tells how far it is. False: end, nobody wants it any more. `progress` may be NULL. */
static inline bool hf_progress_note(struct hf_progress *progress, uint64_t done_bytes,
                                    uint64_t total_bytes, uint64_t records)
{
    if (progress == NULL)
        return true;
    uint32_t percent = 99; /* who works on is not done */
    if (done_bytes < total_bytes)
        percent = (uint32_t)((double)done_bytes / (double)total_bytes * 100);
    if (percent > 99) /* rounded up, far beyond any log */
        percent = 99;
    if (total_bytes != 0 && percent > hf_load_relaxed(&progress->percent))
        hf_store_relaxed(&progress->percent, percent);
    hf_store_relaxed(&progress->done_bytes, done_bytes);
    hf_store_relaxed(&progress->total_bytes, total_bytes);
    hf_store_relaxed(&progress->records, records);
    return hf_load_relaxed(&progress->cancelled) == 0;
}

static inline void hf_progress_cancel(struct hf_progress *progress)
{
    hf_store_relaxed(&progress->cancelled, 1);
}

static inline bool hf_progress_cancelled(struct hf_progress *progress)
{
    return hf_load_relaxed(&progress->cancelled) != 0;
}

/* 0 .. 99. */
static inline unsigned hf_progress_percent(struct hf_progress *progress)
{
    return hf_load_relaxed(&progress->percent);
}

#endif
