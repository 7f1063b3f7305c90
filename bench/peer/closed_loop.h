/*
 * The closed loop that is put on a peer: C connections, each with D bookings in flight; the answer
 * to one lets the next one go. What bench/load.h is for Holdfast, and measured the same way: the
 * clock is read once for each receive; a latency runs from before its booking was sent until after
 * its answer was received; what comes in the warm-up or after the end is checked, but not counted.
 *
 * Each answer is held against its booking: a tag that is in flight; granted, and never more of an
 * inventory than it has; or refused, and never before so many were asked for. At the end the peer
 * is asked what is left.
 */
#ifndef HF_BENCH_PEER_CLOSED_LOOP_H
#define HF_BENCH_PEER_CLOSED_LOOP_H

#include <stdint.h>

#include "bench/histogram.h"
#include "bench/peer/peer.h"

struct hf_peer_plan {
    const struct hf_peer *peer;
    const char *server;
    uint32_t connections;
    uint32_t depth;
    uint32_t customers; /* 1 .. customers */
    struct hf_peer_stock stock;
    uint64_t warmup_ns, measured_ns;
};

struct hf_peer_result {
    uint64_t granted, refused; /* in the measured time */
    uint64_t errors;           /* in all the time */
    uint64_t granted_in_all;   /* warm-up and end included */
    uint64_t measured_ns;
    uint64_t cpu_ns; /* processor time of the loop in the measured time */
    struct hf_histogram latencies;
};

/*
 * Runs the loop in the calling thread, to its end; *stop, if it becomes non-zero, ends it sooner.
 * 0: all was answered; -1: it gave up, and has said why. What was wrong with single answers is in
 * `errors`, and was reported, too.
 */
int hf_peer_loop_run(const struct hf_peer_plan *plan, const _Atomic uint32_t *stop,
                     struct hf_peer_result *result);

/* A booking under an id that no other has: `number` makes it, and inventory and customer follow. */
void hf_peer_booking_make(const struct hf_peer_plan *plan, uint64_t number,
                          struct hf_peer_booking *booking);

#endif
