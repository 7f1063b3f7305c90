/*
 * Standstill: whether the log is behind, and has not moved for so long that this is no burst.
 *
 * A full ring is nothing bad: whoever appends faster than the disk writes waits a moment, and TCP
 * tells the clients (back-pressure). It is bad when nothing moves at all: then clients would wait
 * without knowing for what, until their patience ends and the outcome is unknown. So whoever meets
 * a full log looks here, and when durable_lsn has been the same for HF_STANDSTILL_NS since the first
 * such look, says OVERLOADED instead: nothing was done, a definite answer.
 *
 * A log that is behind has something on its way to the disk. So an unchanged durable_lsn between two
 * looks means that it was behind all the time between them, and no more need be kept.
 *
 * HF_STANDSTILL_NS is 1 s. A full ring, 1 MiB, and all that can be in flight, 4 to 8 MiB, are
 * written in far less by any disk that works, and durable_lsn moves with each block of at most
 * 1 MiB: 1 s without one is no slow disk but one that stands. And it is well below the patience of
 * clients (5 s in ours), so that they learn "nothing was done" before they give up.
 */
#ifndef HF_WAL_STANDSTILL_H
#define HF_WAL_STANDSTILL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define HF_STANDSTILL_NS HF_NS_PER_S

/* Of one thread. All zero: it has not looked yet. */
struct hf_standstill {
    uint64_t durable_lsn; /* at the last look */
    uint64_t since_ns;    /* monotonic; of the first look that saw it; 0: there was none */
};

/* The log was found full, with this durable_lsn, at this monotonic time. True: it stands still. */
static inline bool hf_standstill_look(struct hf_standstill *standstill, uint64_t durable_lsn,
                                      uint64_t now_ns)
{
    if (standstill->since_ns == 0 || standstill->durable_lsn != durable_lsn) {
        standstill->durable_lsn = durable_lsn;
        standstill->since_ns = now_ns;
    }
    return now_ns - standstill->since_ns >= HF_STANDSTILL_NS;
}

#endif
