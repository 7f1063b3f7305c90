/* A log that is recovered into a replay, without the store around it. */
#ifndef HF_TESTS_LIB_LOG_REPLAY_H
#define HF_TESTS_LIB_LOG_REPLAY_H

#include "engine/replay.h"
#include "wal/log.h"

/* Whoever opens a log with these options has its records, and those of its snapshot, applied to the
 * replay, which must outlive that; as a store does. */
void hf_log_replay_into(struct hf_log_options *options, struct hf_replay *replay);

#endif
