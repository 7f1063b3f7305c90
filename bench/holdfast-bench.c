/*
 * holdfast-bench: the load generator.
 *
 * Makes inventories of its own, puts a load on the server (bench/load.h), once or for each combination
 * of connections and depth in turn, prints what came back in the measured time, and counts what is left
 * in the inventories. Or measures the engine in this process (bench/inprocess.h). The reasoning stands
 * in bench/README.md.
 *
 * Exit status: 0 measured; 1 measured, but something was not as it should be; 2 bad usage; 3 the
 * load could not be set up.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/inprocess.h"
#include "bench/options.h"
#include "bench/report.h"

#define MAX_CONNECTIONS 1000000
#define MAX_VALUES      32 /* of --connections and --depth */
#define MAX_ROUNDS      1000
#define MAX_RATE        1e8
#define OPEN_DEPTH      65536u /* outstanding in an open loop, if nothing is said: of all connections */

/* X(name, text, what it takes or "", help) */
#define OPTIONS(X)                                                                                 \
    X(SERVER, "server", "HOST:PORT", "the server (127.0.0.1:7411)")                                \
    X(CONNECTIONS, "connections", "C[,C...]", "connections (50)")                                  \
    X(DEPTH, "depth", "D[,D...]",                                                                  \
      "requests in flight on each (64); in an open loop,\n"                                        \
      "                                outstanding at most (65536 in all)")                        \
    X(REPEAT, "repeat", "N", "all combinations of these in turn, N times (1)")                     \
    X(SECONDS, "seconds", "S", "measured time, of each (5)")                                       \
    X(WARMUP, "warmup", "S", "time before it that is not counted (0.5)")                           \
    X(THREADS, "threads", "T", "threads of the bench, which share the connections (1)")            \
    X(IDLE, "idle", "N", "connections besides that do nothing (0)")                                \
    X(OP, "op", "KIND", "what to ask, of the kinds below (reserve)")                               \
    X(MIX, "mix", "KIND:WEIGHT,...", "several kinds, so much of each")                             \
    X(BATCH, "batch", "N", "places in a batch (8)")                                                \
    X(TTL, "ttl", "TIME", "how long holds last (15m)")                                             \
    X(LAPSE, "lapse", "TIME", "and those that are to lapse (200ms)")                               \
    X(INVENTORIES, "inventories", "N", "spread over so many new inventories (1)")                  \
    X(SPREAD, "spread", "HOW", "round, uniform or zipf[:THETA] (uniform; zipf:0.99)")              \
    X(CAPACITY, "capacity", "N", "places in each (536870911; refuse: 1)")                          \
    X(CUSTOMERS, "customers", "N", "customers who ask (1000000)")                                  \
    X(RATE, "rate", "R", "open loop: R pieces of work a second are due")                           \
    X(ARRIVALS, "arrivals", "HOW", "poisson or fixed (poisson)")                                   \
    X(PAUSE, "pause", "TIME",                                                                      \
      "open loop: between two turns of sending, at least\n"                                        \
      "                                (50us; 0s spins at high rates)")                            \
    X(JSON, "json", "", "print one JSON object a run, and nothing else")                           \
    X(CSV, "csv", "", "print a line of CSV a run, after one with the names")                       \
    X(HISTOGRAM, "histogram", "FILE", "write all latencies there, as CSV: a line a bucket")        \
    X(IN_PROCESS, "in-process", "", "measure the engine in this process, without a server")        \
    X(JOB, "job", "JOB[,JOB...]", "in process: which, of those below (all)")                       \
    X(OPERATIONS, "operations", "N",                                                               \
      "in process: so many a job and thread, instead of\n"                                         \
      "                                --seconds")                                                 \
    X(DURABILITY, "durability", "HOW", "in process: disk, or none: the log is dropped (none)")     \
    X(DATA, "data", "DIR", "in process: of the log, with --durability disk")                       \
    X(HELP, "help", "", "this text")

enum option_number {
#define X(name, text, takes, help) OPTION_##name,
    OPTIONS(X)
#undef X
};

struct values {
    uint32_t all[MAX_VALUES];
    unsigned count;
};

struct bench {
    const char *server;
    struct hf_load_plan plan;
    struct hf_measure_options measure;
    struct hf_inprocess_options inprocess;
    struct values connections, depths;
    uint32_t rounds;
    bool json, csv, in_process, durable;
    bool limited; /* --capacity was given: what was sold is missing in the next run */
    const char *histogram_path;
    FILE *histogram;
    struct hf_stock stock;
};

static void print_help(void)
{
    printf("holdfast-bench: puts a load on a Holdfast server and measures it\n"
           "\n"
           "  holdfast-bench [options]\n"
           "\n");
#define X(name, text, takes, help) printf("  --%-11s %-15s %s\n", text, takes, help);
    OPTIONS(X)
#undef X
    printf("\nA kind of work is\n");
#define X(name, text, other, first, second, meaning)                                               \
    printf("  %-8s %-15s %s\n", text, strcmp(text, other) == 0 ? "" : other, meaning);
    HF_KINDS(X)
#undef X
    printf("\nA job in process is\n");
#define X(name, text, meaning) printf("  %-13s %s\n", text, meaning);
    HF_INPROCESS_JOBS(X)
#undef X
    printf(
        "\n"
        "In a closed loop, each answer lets the next request go. In an open loop (--rate) work is\n"
        "due by the clock, and a latency runs from when its request was due: waiting counts.\n"
        "\n"
        "Every run makes inventories and ids of its own, which stay on the server. Exit status:\n"
        "0 measured, 1 measured but something was wrong, 2 bad usage, 3 could not be set up.\n");
}

/* ---- options ---- */

static double read_number(const char *option, const char *text, const char *what, double max,
                          bool zero_allowed)
{
    char *end;
    double value = strtod(text, &end);
    bool right = end != text && *end == '\0' && isfinite(value) && value <= max &&
                 (value > 0 || (zero_allowed && value == 0));
    if (!right)
        hf_usage_error("--%s wants %s, not \"%s\"", option, what, text);
    return value;
}

static double read_seconds(const char *option, const char *text, bool zero_allowed)
{
    return read_number(option, text, "a number of seconds", HF_MEASURE_MAX_SECONDS, zero_allowed);
}

/* "1,10,50" */
static void read_values(struct values *values, const char *option, const char *text, uint32_t max)
{
    char *copy = strdup(text);
    values->count = 0;
    for (char *item = copy, *comma; item != NULL; item = comma) {
        comma = strchr(item, ',');
        if (comma != NULL)
            *comma++ = '\0';
        if (values->count == MAX_VALUES)
            hf_usage_error("--%s takes %d values at most", option, MAX_VALUES);
        values->all[values->count++] = hf_option_count(option, item, 1, max);
    }
    free(copy);
}

static void read_op(struct hf_mix *mix, const char *text)
{
    enum hf_kind kind;
    if (!hf_kind_parse(text, &kind))
        hf_usage_error("--op \"%s\" is unknown", text);
    hf_mix_set(mix, kind);
}

static void read_mix(struct hf_mix *mix, const char *text)
{
    char error[HF_MIX_ERROR_BYTES];
    if (!hf_mix_parse(text, mix, error))
        hf_usage_error("--mix: %s", error);
}

static uint64_t read_ttl(const char *option, const char *text)
{
    uint64_t ttl_ns = hf_option_duration_ns(option, text);
    if (ttl_ns == 0 || ttl_ns > HF_MAX_TTL_NS)
        hf_usage_error("--%s wants a duration of at most 100d, not \"%s\"", option, text);
    return ttl_ns;
}

static void read_jobs(uint32_t *jobs, const char *text)
{
    char *copy = strdup(text);
    for (char *item = copy, *comma; item != NULL; item = comma) {
        enum hf_inprocess_job job;
        comma = strchr(item, ',');
        if (comma != NULL)
            *comma++ = '\0';
        if (!hf_inprocess_parse(item, &job))
            hf_usage_error("--job \"%s\" is unknown", item);
        *jobs |= 1u << job;
    }
    free(copy);
}

/* What is asked, and of what. False: another option. */
static bool set_work(struct hf_load_plan *plan, int which, const char *name)
{
    switch (which) {
    case OPTION_OP:
        read_op(&plan->mix, optarg);
        return true;
    case OPTION_MIX:
        read_mix(&plan->mix, optarg);
        return true;
    case OPTION_BATCH:
        plan->batch = hf_option_count(name, optarg, 1, HF_MAX_BATCH_LINES);
        return true;
    case OPTION_TTL:
        plan->ttl_ns = read_ttl(name, optarg);
        return true;
    case OPTION_LAPSE:
        plan->lapse_ns = read_ttl(name, optarg);
        return true;
    case OPTION_INVENTORIES:
        plan->inventories = hf_option_count(name, optarg, 1, HF_LOAD_MAX_INVENTORIES);
        return true;
    case OPTION_SPREAD:
        if (!hf_spread_parse(optarg, &plan->spread))
            hf_usage_error("--spread wants round, uniform or zipf[:THETA], not \"%s\"", optarg);
        return true;
    case OPTION_CAPACITY:
        plan->capacity = hf_option_count(name, optarg, 1, HF_MAX_UNITS);
        return true;
    case OPTION_CUSTOMERS:
        plan->customers = hf_option_count(name, optarg, 1, HF_LOAD_MAX_CUSTOMERS);
        return true;
    default:
        return false;
    }
}

/* How much is asked, and for how long. False: another option. */
static bool set_load(struct bench *bench, int which, const char *name)
{
    struct hf_load_plan *plan = &bench->plan;
    switch (which) {
    case OPTION_CONNECTIONS:
        read_values(&bench->connections, name, optarg, MAX_CONNECTIONS);
        return true;
    case OPTION_DEPTH:
        read_values(&bench->depths, name, optarg, HF_LOAD_MAX_DEPTH);
        return true;
    case OPTION_REPEAT:
        bench->rounds = hf_option_count(name, optarg, 1, MAX_ROUNDS);
        return true;
    case OPTION_SECONDS:
        bench->measure.seconds = read_seconds(name, optarg, false);
        return true;
    case OPTION_WARMUP:
        bench->measure.warmup_seconds = read_seconds(name, optarg, true);
        return true;
    case OPTION_THREADS:
        plan->threads = hf_option_count(name, optarg, 1, HF_MEASURE_MAX_THREADS);
        return true;
    case OPTION_IDLE:
        bench->measure.idle = hf_option_count(name, optarg, 0, MAX_CONNECTIONS);
        return true;
    case OPTION_RATE:
        plan->rate = read_number(name, optarg, "a number a second", MAX_RATE, false);
        return true;
    case OPTION_ARRIVALS:
        if (!hf_arrivals_parse(optarg, &plan->arrivals))
            hf_usage_error("--arrivals wants poisson or fixed, not \"%s\"", optarg);
        return true;
    case OPTION_PAUSE:
        plan->pause_ns = hf_option_duration_ns(name, optarg);
        return true;
    default:
        return false;
    }
}

static void set_other(struct bench *bench, int which, const char *name)
{
    switch (which) {
    case OPTION_SERVER:
        bench->server = optarg;
        break;
    case OPTION_JSON:
        bench->json = true;
        break;
    case OPTION_CSV:
        bench->csv = true;
        break;
    case OPTION_HISTOGRAM:
        bench->histogram_path = optarg;
        break;
    case OPTION_IN_PROCESS:
        bench->in_process = true;
        break;
    case OPTION_JOB:
        read_jobs(&bench->inprocess.jobs, optarg);
        break;
    case OPTION_OPERATIONS:
        bench->inprocess.operations = hf_option_count(name, optarg, 1, HF_MAX_UNITS);
        break;
    case OPTION_DURABILITY:
        bench->durable = strcmp(optarg, "disk") == 0;
        if (!bench->durable && strcmp(optarg, "none") != 0)
            hf_usage_error("--durability wants disk or none, not \"%s\"", optarg);
        break;
    case OPTION_DATA:
        bench->inprocess.directory = optarg;
        break;
    default:
        print_help();
        exit(0);
    }
}

static void check_in_process(struct bench *bench)
{
    struct hf_inprocess_options *inprocess = &bench->inprocess;
    if (bench->durable != (inprocess->directory != NULL))
        hf_usage_error("--durability disk and --data go together");
    inprocess->threads = bench->plan.threads;
    inprocess->inventories = bench->plan.inventories;
    inprocess->spread = bench->plan.spread;
    inprocess->seconds = bench->measure.seconds;
    inprocess->rounds = bench->rounds;
    if (bench->json)
        inprocess->format = HF_INPROCESS_JSON;
    if (bench->csv)
        inprocess->format = HF_INPROCESS_CSV;
}

/* What the options mean together. */
static void check_options(struct bench *bench)
{
    struct hf_load_plan *plan = &bench->plan;
    if (bench->json && bench->csv)
        hf_usage_error("--json or --csv, not both");
    if (bench->in_process) {
        check_in_process(bench);
        return;
    }
    for (unsigned i = 0; i < bench->connections.count; i++)
        if (plan->threads > bench->connections.all[i])
            hf_usage_error("--threads %u needs as many --connections", plan->threads);
    bench->limited = plan->capacity != 0;
    plan->sold_out_capacity = bench->limited && plan->mix.single ? plan->capacity : 1;
    if (!bench->limited)
        plan->capacity = HF_MAX_UNITS;
}

static void read_options(struct bench *bench, int argc, char **argv)
{
    static const struct option options[] = {
#define X(name, text, takes, help)                                                                 \
    {text, (takes)[0] != '\0' ? required_argument : no_argument, NULL, OPTION_##name},
        OPTIONS(X)
#undef X
            {NULL, 0, NULL, 0},
    };
    const char *name;
    int which;
    while ((which = hf_option_next(argc, argv, options, &name)) != -1)
        if (!set_work(&bench->plan, which, name) && !set_load(bench, which, name))
            set_other(bench, which, name);
    check_options(bench);
}

/* ---- running ---- */

/* How deep the connections of a run are, if that was not said. */
static uint32_t default_depth(const struct hf_load_plan *plan)
{
    if (plan->rate == 0)
        return 64;
    uint32_t depth = OPEN_DEPTH / plan->connections;
    return depth != 0 ? depth : 1;
}

static bool is_single(const struct bench *bench)
{
    return bench->connections.count == 1 && bench->depths.count <= 1 && bench->rounds == 1;
}

static void report(const struct bench *bench, const struct hf_report *report, bool first)
{
    if (bench->histogram != NULL)
        hf_report_histogram(report, bench->histogram);
    if (bench->json) {
        hf_report_json(report);
    } else if (bench->csv) {
        if (first)
            hf_report_csv_names(report);
        hf_report_csv(report);
    } else if (is_single(bench)) {
        hf_report_details(report);
    } else {
        if (first)
            hf_report_row_names();
        hf_report_row(report);
    }
}

/* One combination in one round. 0 or an exit status; *over: nothing more is to be measured. */
static int measure(struct bench *bench, uint32_t round, bool first, bool *over)
{
    static struct hf_measurement measurement;
    const struct hf_report what = {.plan = &bench->plan,
                                   .options = &bench->measure,
                                   .measurement = &measurement,
                                   .server = bench->server,
                                   .round = round};
    int result = 0;
    if (first || bench->limited) {
        hf_load_make_ids(&bench->plan);
        result = hf_stock_make(&bench->stock, bench->server, &bench->plan);
    } else {
        uint64_t first_inventory_id = bench->plan.first_inventory_id;
        uint64_t first_sold_out_id = bench->plan.first_sold_out_id;
        hf_load_make_ids(&bench->plan);
        bench->plan.first_inventory_id = first_inventory_id;
        bench->plan.first_sold_out_id = first_sold_out_id;
    }
    if (result == 0 && first && !bench->json && !bench->csv)
        hf_report_settings(&what);
    if (result == 0)
        result = hf_measure(&bench->plan, &bench->measure, &bench->stock, &measurement);
    if (result != 0) {
        *over = true;
        return result;
    }
    report(bench, &what, first);
    *over = measurement.interrupted || measurement.total.failed;
    if (hf_measurement_wrong(&measurement))
        return HF_BENCH_WRONG;
    return hf_stock_audit(&bench->stock, &bench->plan);
}

/* All combinations, round by round. The exit status. */
static int measure_all(struct bench *bench)
{
    bool first = true, over = false;
    int worst = 0;
    for (uint32_t round = 1; round <= bench->rounds && !over; round++) {
        for (unsigned i = 0; i < bench->connections.count && !over; i++) {
            unsigned depth_count = bench->depths.count != 0 ? bench->depths.count : 1;
            bench->plan.connections = bench->connections.all[i];
            for (unsigned j = 0; j < depth_count && !over; j++) {
                bench->plan.depth =
                    bench->depths.count != 0 ? bench->depths.all[j] : default_depth(&bench->plan);
                int result = measure(bench, round, first, &over);
                if (result != 0)
                    worst = result;
                first = false;
            }
        }
    }
    return worst;
}

static int open_histogram(struct bench *bench)
{
    if (bench->histogram_path == NULL)
        return 0;
    bench->histogram = fopen(bench->histogram_path, "we");
    if (bench->histogram == NULL) {
        fprintf(stderr, "holdfast-bench: cannot write %s: %s\n", bench->histogram_path,
                strerror(errno));
        return HF_BENCH_SETUP;
    }
    hf_report_histogram_names(bench->histogram);
    return 0;
}

static int close_histogram(const struct bench *bench)
{
    if (bench->histogram == NULL || fclose(bench->histogram) == 0)
        return 0;
    fprintf(stderr, "holdfast-bench: cannot write %s: %s\n", bench->histogram_path,
            strerror(errno));
    return HF_BENCH_SETUP;
}

int main(int argc, char **argv)
{
    static struct bench bench = {
        .plan = {.threads = 1,
                 .inventories = 1,
                 .customers = 1000000,
                 .batch = 8,
                 .ttl_ns = 15 * 60 * HF_NS_PER_S,
                 .lapse_ns = 200 * HF_NS_PER_MS,
                 .pause_ns = 50 * HF_NS_PER_US},
        .measure = {.seconds = 5, .warmup_seconds = 0.5},
        .connections = {.all = {50}, .count = 1},
        .rounds = 1,
    };
    static char server[32];
    snprintf(server, sizeof server, "127.0.0.1:%d", HF_DEFAULT_PORT);
    bench.server = server;
    hf_mix_set(&bench.plan.mix, HF_KIND_RESERVE);
    read_options(&bench, argc, argv);
    if (bench.in_process)
        return hf_inprocess_run(&bench.inprocess);
    int result = open_histogram(&bench);
    if (result == 0)
        result = measure_all(&bench);
    int closed = close_histogram(&bench);
    return result != 0 ? result : closed;
}
