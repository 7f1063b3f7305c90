/*
 * A tape: what an engine logs while random operations are done to it, as a log's records. With
 * crashes, that cut it, and starts behind them.
 *
 * One at a time in a process.
 */
#ifndef HF_TESTS_MODEL_TAPE_H
#define HF_TESTS_MODEL_TAPE_H

#include <stdint.h>

#define HF_TAPE_STARTS_MAX 256u

struct hf_tape {
    uint8_t *records; /* of HF_RECORD_BYTES, from LSN 1 on */
    uint32_t count, room;
    uint32_t starts[HF_TAPE_STARTS_MAX]; /* records before each start of a server; the first is 0 */
    uint32_t start_count;
};

/* Does so many steps (workload.h), from that seed. A mistake of the engine ends the process. */
void hf_tape_make(struct hf_tape *tape, uint64_t seed, uint32_t steps, uint64_t retain_ns);
void hf_tape_close(struct hf_tape *tape);

#endif
