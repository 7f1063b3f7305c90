/*
 * The digest of a state: one number for all that an engine would tell about its reservations and
 * inventories, whatever the order in which it came there (SAME-STATE).
 *
 * It sees more than the state hash of docs/log-format.md: what a reservation was made from, whether an
 * inventory was closed by selling out, and the order of the waiting lists. It does not see versions,
 * nor reservations whose retention has ended. Engines that were rebuilt from the same log have the
 * same; one that still runs may know a little more of what is over.
 */
#ifndef HF_TESTS_LIB_DIGEST_H
#define HF_TESTS_LIB_DIGEST_H

#include "engine/engine.h"

/* Nothing is being changed. The caller is inside an epoch, if other actors are there. */
uint64_t hf_digest_engine(const struct hf_engine *engine);

/* The state hash of docs/log-format.md. Nothing is being changed. */
uint64_t hf_digest_state_hash(const struct hf_engine *engine);

#endif
