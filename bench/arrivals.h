/*
 * Arrivals: when the requests of an open loop are due, whatever became of those before.
 *
 * `poisson`: the gaps are exponential, as if a great many customers knew nothing of each other. What
 * such a stream offers within a millisecond varies as it does in the field. `fixed`: all gaps are the
 * same, the kindest stream of that rate that there is.
 *
 * Times are whole ns; what is lost by rounding is carried into the next gap, so that the rate holds
 * for as long as it runs.
 */
#ifndef HF_BENCH_ARRIVALS_H
#define HF_BENCH_ARRIVALS_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/random.h"

enum hf_arrival_kind {
    HF_ARRIVALS_POISSON,
    HF_ARRIVALS_FIXED,
};

struct hf_arrivals {
    uint64_t next_ns;  /* when the next one is due */
    double carried_ns; /* of the time before it, below 1 */
    double mean_gap_ns;
    enum hf_arrival_kind kind;
    struct hf_random random;
};

/*
 * `per_second` > 0 of them from `begin_ns` on. Of several streams that share a rate, number `part` of
 * `parts`: fixed ones interleave.
 */
void hf_arrivals_init(struct hf_arrivals *arrivals, enum hf_arrival_kind kind, double per_second,
                      uint64_t begin_ns, uint32_t part, uint32_t parts, uint64_t seed);

/* The next one has arrived. */
void hf_arrivals_pass(struct hf_arrivals *arrivals);

/* "poisson" or "fixed". False: neither. */
bool hf_arrivals_parse(const char *text, enum hf_arrival_kind *kind);
const char *hf_arrivals_name(enum hf_arrival_kind kind);

#endif
