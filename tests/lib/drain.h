/* Emptying a ring whose consumer's role wanders, for tests that do not look at what is logged. */
#ifndef HF_TESTS_LIB_DRAIN_H
#define HF_TESTS_LIB_DRAIN_H

#include <stdint.h>

#include "wal/ring.h"

/* Any thread: takes the role if it is free (*consumer, zero at first, is its try-lock), drops up to
 * 128 records, and gives it up. */
void hf_drain_in_passing(struct hf_ring *ring, _Atomic uint32_t *consumer);

#endif
