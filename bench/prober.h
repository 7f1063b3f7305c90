/*
 * The prober: a thread that stands at the counter when a hold lapses.
 *
 * For each hold that is alone in its inventory, somebody else asks for the one unit, from a little
 * before the deadline on, again and again, one request in flight, until the unit is theirs. And for
 * each hold that is raced, its customer confirms it, somewhere from a millisecond before the deadline
 * to a millisecond after it.
 *
 * Of each claim it takes two times, both from the deadline on:
 *   decided   until the date of the grant: when the server gave the unit to somebody else
 *   answered  until the answer was here: it is durable by then
 *
 * Right is: no grant is answered before the deadline; nobody is refused for another reason than
 * SOLD_OUT; a CONFIRM is done before the deadline or answered HOLD_EXPIRED at or after it. The date of a
 * grant is that of the server's turn in which it was decided, and a turn may begin before the
 * deadline and find the unit that another worker has freed just now: such grants are counted
 * (`predated`), but are right. That the unit was free by then, the watcher sees by the LSNs.
 */
#ifndef HF_BENCH_PROBER_H
#define HF_BENCH_PROBER_H

#include <pthread.h>

#include "base/atomics.h"
#include "bench/histogram.h"
#include "bench/holds.h"

struct hf_prober_result {
    uint64_t granted, refused;
    uint64_t predated;          /* granted by a date before the deadline */
    uint64_t refused_late;      /* claims that were refused, and were sent after the deadline */
    uint64_t refused_late_ns;   /* how long after it at most */
    uint64_t confirmed, lapsed; /* of those that were raced */
    uint64_t early;             /* granted before the deadline; or HOLD_EXPIRED told before it */
    uint64_t late;              /* confirmed at the deadline or after it */
    uint64_t errors;            /* any other answer; or none */
    struct hf_histogram decided, answered;
};

struct hf_prober {
    /* Constant while it runs. */
    const struct hf_holds *holds;
    const struct hf_server_time *time;
    pthread_t thread;

    /* The thread's own until it is joined. */
    struct hf_client *client;
    struct hf_probe *probes; /* in the order in which they begin */
    uint32_t count;
    uint32_t open; /* begun or not, but not ended */
    uint32_t complaints;
    struct hf_prober_result result;

    _Atomic bool done; /* written by the thread: all probes have ended */
};

/* Starts; the holds are made. 0 or -errno. */
int hf_prober_start(struct hf_prober *prober, const char *server, const struct hf_holds *holds,
                    const struct hf_server_time *time);

/* Joins the thread, which ends when all probes have; its results are there then. */
void hf_prober_join(struct hf_prober *prober);

void hf_prober_free(struct hf_prober *prober);

#endif
