/*
 * The server's clock, seen from the bench: what is to be added to the bench's own monotonic clock.
 *
 * Asked by INFO, many times over; the exchange that took the least time bounds the error, as the
 * server read its clock somewhere in it. On one machine both clocks are one and the difference never
 * changes; between two machines it drifts, so ask again at the end and see.
 */
#ifndef HF_BENCH_SERVER_TIME_H
#define HF_BENCH_SERVER_TIME_H

#include "base/clock.h"
#include "holdfast/client.h"

struct hf_server_time {
    uint64_t ahead_ns; /* of our monotonic clock; modulo 2^64 */
    uint64_t error_ns; /* at most, either way */
};

/* Asks the server. Blocks. HF_FOUND, with the newest answer in *info; or what came instead. */
unsigned hf_server_time_ask(struct hf_server_time *time, struct hf_client *client,
                            struct hf_info *info);

static inline uint64_t hf_server_time_now_ns(const struct hf_server_time *time)
{
    return hf_monotonic_now_ns() + time->ahead_ns;
}

#endif
