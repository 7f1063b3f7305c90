/*
 * A measurement: one plan carried out, by all its threads, and what came of it.
 */
#ifndef HF_BENCH_MEASUREMENT_H
#define HF_BENCH_MEASUREMENT_H

#include "bench/load.h"
#include "bench/stock.h"

#define HF_MEASURE_MAX_THREADS 256
#define HF_MEASURE_MAX_SECONDS (365.0 * 86400)

struct hf_measure_options {
    double seconds, warmup_seconds;
    uint32_t idle; /* connections that are open meanwhile and do nothing */
};

struct hf_measurement {
    struct hf_load_result total;   /* of all threads */
    struct hf_histogram latencies; /* of all kinds */
    double seconds;                /* that were measured; 0: it ended in the warm-up */
    double per_second;             /* answers */
    double
        booked_per_second; /* reservations that were made, held or granted, alone or in a batch */
    double offered_per_second; /* pieces of work; 0: a closed loop */
    double cpu_percent;        /* processor time of the bench's threads, of that of so many cores */
    bool interrupted;          /* by SIGINT or SIGTERM */
};

/*
 * Carries out the plan, whose stock was made; adds what it took of it to *stock. Blocks, and takes
 * SIGINT and SIGTERM meanwhile: they end it. 0, or an exit status once the reason was reported: what
 * was wrong with answers stands in the measurement instead.
 */
int hf_measure(const struct hf_load_plan *plan, const struct hf_measure_options *options,
               struct hf_stock *stock, struct hf_measurement *measurement);

/* True if something was not as it should be. */
bool hf_measurement_wrong(const struct hf_measurement *measurement);

#endif
