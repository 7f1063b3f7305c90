/* See log_replay.h. */
#include "tests/lib/log_replay.h"

static const char *replay_records(void *context, const uint8_t *records, uint32_t count,
                                  uint32_t *fault)
{
    return hf_replay_apply_all(context, records, count, fault);
}

static const char *restore_records(void *context, const uint8_t *records, uint32_t count,
                                   uint64_t log_time_ns, uint32_t *fault)
{
    return hf_replay_restore_all(context, records, count, log_time_ns, fault);
}

static const char *end_replay(void *context, uint64_t epoch)
{
    struct hf_replay *replay = context;
    replay->epoch = epoch;
    return hf_replay_finish(replay);
}

void hf_log_replay_into(struct hf_log_options *options, struct hf_replay *replay)
{
    options->replay = replay_records;
    options->restore = restore_records;
    options->replay_end = end_replay;
    options->replay_context = replay;
}
