/*
 * A log-linear histogram of latencies: exact below 128 ns, from there on 128 buckets for each
 * doubling, so that a percentile is never off by more than 1/128 (0.8 %).
 *
 * Owned by one thread while it is filled; merged into another when that thread is done.
 */
#ifndef HF_BENCH_HISTOGRAM_H
#define HF_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HF_HISTOGRAM_SUB_BITS    7
#define HF_HISTOGRAM_SUB_BUCKETS (1u << HF_HISTOGRAM_SUB_BITS)
#define HF_HISTOGRAM_MAX_BITS    42 /* 73 minutes; anything longer counts as that */
#define HF_HISTOGRAM_BUCKETS                                                                       \
    ((HF_HISTOGRAM_MAX_BITS - HF_HISTOGRAM_SUB_BITS + 1) * HF_HISTOGRAM_SUB_BUCKETS)

struct hf_histogram {
    uint64_t max_ns; /* exact */
    uint64_t counts[HF_HISTOGRAM_BUCKETS];
};

static inline unsigned hf_histogram_bucket(uint64_t latency_ns)
{
    if (latency_ns < HF_HISTOGRAM_SUB_BUCKETS)
        return (unsigned)latency_ns;
    if (latency_ns >> HF_HISTOGRAM_MAX_BITS != 0)
        return HF_HISTOGRAM_BUCKETS - 1;
    unsigned shift = 63u - (unsigned)__builtin_clzll(latency_ns) - HF_HISTOGRAM_SUB_BITS;
    return shift * HF_HISTOGRAM_SUB_BUCKETS + (unsigned)(latency_ns >> shift);
}

/* The largest latency that falls into `bucket`. */
static inline uint64_t hf_histogram_bucket_max_ns(unsigned bucket)
{
    if (bucket < 2 * HF_HISTOGRAM_SUB_BUCKETS)
        return bucket;
    unsigned shift = bucket / HF_HISTOGRAM_SUB_BUCKETS - 1;
    uint64_t step = bucket % HF_HISTOGRAM_SUB_BUCKETS + HF_HISTOGRAM_SUB_BUCKETS;
    return ((step + 1) << shift) - 1;
}

static inline void hf_histogram_add(struct hf_histogram *histogram, uint64_t latency_ns)
{
    histogram->counts[hf_histogram_bucket(latency_ns)]++;
    if (latency_ns > histogram->max_ns)
        histogram->max_ns = latency_ns;
}

static inline void hf_histogram_merge(struct hf_histogram *into, const struct hf_histogram *from)
{
    for (unsigned bucket = 0; bucket < HF_HISTOGRAM_BUCKETS; bucket++)
        into->counts[bucket] += from->counts[bucket];
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

/*
 * The latency that `per_mille` thousandths of all do not exceed, rounded up to its bucket's end and
 * never above the maximum. 0 if nothing was added.
 */
static inline uint64_t hf_histogram_percentile_ns(const struct hf_histogram *histogram,
                                                  unsigned per_mille)
{
    uint64_t total = 0;
    for (unsigned bucket = 0; bucket < HF_HISTOGRAM_BUCKETS; bucket++)
        total += histogram->counts[bucket];
    if (total == 0)
        return 0;
    uint64_t rank = (total * per_mille + 999) / 1000;
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < HF_HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen >= rank && seen > 0) {
            uint64_t latency_ns = hf_histogram_bucket_max_ns(bucket);
            return latency_ns < histogram->max_ns ? latency_ns : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}

#endif
