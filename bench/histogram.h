/*
 * A log-linear histogram of latencies: exact below 128 ns, from there on 128 buckets for each
 * doubling, so that a percentile is never off by more than 1/128 (0.8 %).
 *
 * Owned by one thread while it is filled; merged into another when that thread is done. Merging loses
 * nothing: what is said of the sum is what would be said if one had been filled from the start.
 */
#ifndef HF_BENCH_HISTOGRAM_H
#define HF_BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HF_HISTOGRAM_SUB_BITS    7
#define HF_HISTOGRAM_SUB_BUCKETS (1u << HF_HISTOGRAM_SUB_BITS)
#define HF_HISTOGRAM_MAX_BITS    42 /* 73 minutes; anything longer counts as that */
#define HF_HISTOGRAM_BUCKETS                                                                       \
    ((HF_HISTOGRAM_MAX_BITS - HF_HISTOGRAM_SUB_BITS + 1) * HF_HISTOGRAM_SUB_BUCKETS)

struct hf_histogram {
    uint64_t max_ns; /* exact */
    uint64_t sum_ns; /* exact */
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
    histogram->sum_ns += latency_ns;
    if (latency_ns > histogram->max_ns)
        histogram->max_ns = latency_ns;
}

static inline void hf_histogram_merge(struct hf_histogram *into, const struct hf_histogram *from)
{
    for (unsigned bucket = 0; bucket < HF_HISTOGRAM_BUCKETS; bucket++)
        into->counts[bucket] += from->counts[bucket];
    into->sum_ns += from->sum_ns;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

/* How many were added. */
static inline uint64_t hf_histogram_count(const struct hf_histogram *histogram)
{
    uint64_t count = 0;
    for (unsigned bucket = 0; bucket < HF_HISTOGRAM_BUCKETS; bucket++)
        count += histogram->counts[bucket];
    return count;
}

/* 0 if nothing was added. */
static inline double hf_histogram_mean_ns(const struct hf_histogram *histogram)
{
    uint64_t count = hf_histogram_count(histogram);
    return count == 0 ? 0 : (double)histogram->sum_ns / (double)count;
}

/*
 * The latency that `per_million` millionths of all do not exceed, rounded up to its bucket's end and
 * never above the maximum. 0 if nothing was added. Up to 10^13 latencies.
 */
static inline uint64_t hf_histogram_quantile_ns(const struct hf_histogram *histogram,
                                                unsigned per_million)
{
    uint64_t total = hf_histogram_count(histogram);
    if (total == 0)
        return 0;
    uint64_t rank = (total * per_million + 999999) / 1000000;
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

static inline uint64_t hf_histogram_percentile_ns(const struct hf_histogram *histogram,
                                                  unsigned per_mille)
{
    return hf_histogram_quantile_ns(histogram, per_mille * 1000);
}

/*
 * Writes every bucket that is not empty as a line of CSV: `prefix`, the largest latency of the bucket
 * in ns, and how many fell into it. Files of several runs are merged by adding the counts of equal
 * buckets.
 */
static inline void hf_histogram_write(const struct hf_histogram *histogram, FILE *file,
                                      const char *prefix)
{
    for (unsigned bucket = 0; bucket < HF_HISTOGRAM_BUCKETS; bucket++)
        if (histogram->counts[bucket] != 0)
            fprintf(file, "%s,%llu,%llu\n", prefix,
                    (unsigned long long)hf_histogram_bucket_max_ns(bucket),
                    (unsigned long long)histogram->counts[bucket]);
}

#endif
