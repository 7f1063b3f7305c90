/*
 * Times as the timer's wheel divides them (engine/timer.h), for the tests of the timer: only they
 * include this, so the names are short.
 */
#ifndef HF_TESTS_LIB_WHEEL_TIMES_H
#define HF_TESTS_LIB_WHEEL_TIMES_H

#include <stdint.h>

#include "base/clock.h"

#define TICK_NS       (1ull << 18)
#define SECOND        (TICK_NS << 12) /* what a bucket of level 1 covers */
#define HOUR          (TICK_NS << 24) /* level 2: 73 minutes */
#define DAY           (86400 * HF_NS_PER_S)
#define WHEEL_DATE_NS (HOUR * 400000) /* some time in 2025, when an HOUR begins */

/* The time at which the tick has passed that this time is in. */
static inline uint64_t passed_ns(uint64_t due_ns)
{
    return (due_ns + TICK_NS - 1) & ~(TICK_NS - 1);
}

#endif
