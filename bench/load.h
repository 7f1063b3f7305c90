/*
 * A load: what one thread of the bench puts on the server, and what it saw.
 *
 * A closed loop. Each of the thread's connections keeps `depth` requests in flight; each request
 * has a slot, and the answer to one is what lets the next one go. So the server is never offered
 * more than connections x depth requests, and a rate is what the server achieved, not what was
 * offered.
 *
 * How it stays cheap: one epoll loop a thread; one receive takes all answers that are there, and
 * one send carries all requests they gave way to; a request is a template in which tag, id and
 * inventory are patched; the clock is read once for each receive.
 *
 * How it stays honest: each answer is held against what was asked (frame size, version, operation,
 * tag, id, inventory, customer, quantity, state, reserved bytes). A latency runs from before its
 * request was sent to after its answer was received, so what the bench itself takes counts against
 * the server, never for it. What came in the warm-up or after the end is checked, but not counted.
 */
#ifndef HF_BENCH_LOAD_H
#define HF_BENCH_LOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "bench/histogram.h"
#include "bench/link.h"

/* X(name, text, what one request is) */
#define HF_LOADS(X)                                                                                \
    X(RESERVE, "reserve", "ask for one place under a new id")                                      \
    X(REFUSE, "refuse", "the same of inventories that are sold out: every answer is a no")         \
    X(CANCEL, "cancel", "ask for one place and, once granted, cancel it: both count")              \
    X(GET, "get", "read how much of an inventory is available")                                    \
    X(PING, "ping", "nothing: what sockets and event loops cost")

enum hf_load_kind {
#define X(name, text, meaning) HF_LOAD_##name,
    HF_LOADS(X)
#undef X
};

#define HF_LOAD_MAX_DEPTH       65536
#define HF_LOAD_MAX_INVENTORIES (1u << 24)
#define HF_LOAD_MAX_CUSTOMERS   (1u << 28)

/* What all threads do. Written before they start, read-only from then on. */
struct hf_load_plan {
    enum hf_load_kind kind;
    uint32_t threads;
    uint32_t connections;        /* of all threads together */
    uint32_t depth;              /* requests in flight on each */
    uint32_t inventories;        /* first_inventory_id and the ids that follow it */
    uint32_t customers;          /* 1 .. customers */
    uint32_t capacity;           /* of each inventory */
    uint64_t first_inventory_id; /* of this run */
    uint64_t id_high;            /* first half of every reservation id of this run */
    uint64_t id_start;           /* where the second halves start counting: random */
    struct hf_link_address address;
};

/* When to measure. Written by any thread, read by all. */
struct hf_load_clock {
    _Atomic uint64_t begin_ns; /* monotonic: what is answered before is warm-up */
    _Atomic uint64_t end_ns;   /* what is answered from here on is not counted; may be brought
                                  forward to end the run, never put off */
};

/* What came in the measured time; `errors` and `failed` in all the time. */
struct hf_load_result {
    uint64_t granted;
    uint64_t refused;
    uint64_t cancelled;
    uint64_t read;   /* GET and PING */
    uint64_t errors; /* answered, but not as it should be; or never answered */
    uint64_t cpu_ns; /* processor time of the thread */
    bool failed;     /* the load gave up: the reason was reported */
    struct hf_histogram latencies;
};

struct hf_load;

/* Gives the plan ids that no other run has: the time, and random bits. */
void hf_load_make_ids(struct hf_load_plan *plan);

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

/* "reserve". Static storage. */
const char *hf_load_kind_name(enum hf_load_kind kind);

#endif
