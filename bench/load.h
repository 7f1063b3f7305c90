/*
 * A load: what one thread of the bench puts on the server, and what it saw.
 *
 * Closed loop: each of the thread's connections keeps `depth` requests in flight; each has a slot, and
 * the answer to one is what lets the next one go. So the server is never offered more than connections
 * x depth requests, and a rate is what the server achieved, not what was offered.
 *
 * Open loop: work is due when arrivals.h says so, whatever became of the work before. A latency runs
 * from when its request was *due*, so waiting counts wherever it happens: in the server, in the sockets,
 * or here. The thread does not spin: it sleeps until something is due or has come, and between two turns
 * of sending at least plan->pause_ns. Each turn deals all that is due out to the connections, one send
 * for each. `lateness` tells what that cost: from due to sent. No connection may have more than `depth`
 * requests outstanding; with all of them full, work waits here, its time running (`late`).
 *
 * How it stays cheap: one epoll loop a thread; one receive takes all answers that are there, and one
 * send carries all requests they gave way to; the clock is read once for each receive.
 *
 * How it stays honest: each answer is held against what was asked (answer.h). A latency runs from before
 * its request was sent to after its answer was received, so what the bench itself takes counts against
 * the server, never for it. What belongs to the warm-up or came after the end is checked, but not
 * counted. Latencies of an open loop are those of all work that was due in the measured time, whenever
 * the answer came: a server that stalls at the end is not let off. What could not even be sent counts
 * with the time for which it waited.
 */
#ifndef HF_BENCH_LOAD_H
#define HF_BENCH_LOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "bench/answer.h"
#include "bench/histogram.h"
#include "bench/plan.h"

/* When to measure. Written by any thread, read by all. */
struct hf_load_clock {
    _Atomic uint64_t begin_ns; /* monotonic: what is answered before is warm-up */
    _Atomic uint64_t end_ns;   /* what is answered from here on is not counted; may be brought
                                  forward to end the run, never put off */
};

/* What came in the measured time; where it says so, in all the time. */
struct hf_load_result {
    uint64_t counts[HF_ANSWER_COUNT];
    uint64_t
        all_counts[HF_ANSWER_COUNT]; /* in all the time, but for what was sold out on purpose */
    uint64_t units_claimed;          /* in all the time: of inventories that were not sold out */
    uint64_t errors; /* in all the time: answered, but not as it should be; or never answered */
    uint64_t cpu_ns; /* processor time of the thread */
    bool failed;     /* the load gave up: the reason was reported */
    struct hf_histogram latencies[HF_KIND_COUNT][HF_KIND_STEPS];

    /* Of an open loop. */
    uint64_t arrived; /* pieces of work that were due */
    uint64_t late;    /* of these: could not be sent when they were due, for want of a free slot */
    uint64_t unsent;  /* of these: not until the end */
    struct hf_histogram lateness; /* from due to sent */
};

struct hf_load;

/* Brings the end of the run forward to `at_ns`, if it is later. Any thread. */
void hf_load_end(struct hf_load_clock *clock, uint64_t at_ns);

/*
 * Opens the connections of thread `number` (from 0). Blocks. 0 or -errno. `plan` and `clock` must
 * outlive the load.
 */
int hf_load_open(const struct hf_load_plan *plan, struct hf_load_clock *clock, uint32_t number,
                 struct hf_load **load);
void hf_load_close(struct hf_load *load);

/*
 * Runs the load in a thread of its own, which ends once the clock has and everything asked was
 * answered. What goes wrong is reported on stderr as it happens and stands in the result. 0 or
 * -errno.
 */
int hf_load_start(struct hf_load *load, pthread_t *thread);

/* Answers so far, warm-up included. Any thread. */
uint64_t hf_load_answered(const struct hf_load *load);

/* Once its thread was joined. */
const struct hf_load_result *hf_load_result(const struct hf_load *load);

#endif
