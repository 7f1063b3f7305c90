/*
 * holdfast-bench: the load generator.
 *
 * Makes inventories of its own, puts a closed loop of requests on the server (bench/load.h), and
 * prints what came back in the measured time. The reasoning stands in bench/README.md.
 *
 * Exit status: 0 measured; 1 measured, but something was not as it should be; 2 bad usage; 3 the
 * load could not be set up.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/load.h"
#include "bench/options.h"

#define MAX_THREADS     256
#define MAX_CONNECTIONS 1000000
#define MAX_SECONDS     (365.0 * 86400)
#define STOCK_BATCH     128 /* inventories made in one exchange: fits any socket's buffers */
#define OTHER_FILES     16  /* descriptors besides one a connection and one a thread */
#define STEP_NS         (100 * HF_NS_PER_MS)

struct bench {
    const char *server;
    struct hf_load_plan plan;
    struct hf_load_clock clock;
    double seconds, warmup_seconds;
    bool json;
    struct hf_load *loads[MAX_THREADS];
};

/* All threads' results in one, and what follows from them. */
struct summary {
    struct hf_load_result total;
    double seconds;     /* that were measured */
    double per_second;  /* answers */
    double cpu_percent; /* processor time of the bench's threads, of that of so many cores */
};

static void print_help(void)
{
    printf("holdfast-bench: puts a load on a Holdfast server and measures it\n"
           "\n"
           "  holdfast-bench [options]\n"
           "\n"
           "  --server HOST:PORT   the server (127.0.0.1:%d)\n"
           "  --connections C      connections (50)\n"
           "  --depth D            requests in flight on each (64)\n"
           "  --seconds S          measured time (5)\n"
           "  --warmup S           time before it that is not counted (0.5)\n"
           "  --threads T          threads of the bench, which share the connections (1)\n"
           "  --op OP              what to ask (reserve):\n",
           HF_DEFAULT_PORT);
#define X(name, text, meaning) printf("      %-8s %s\n", text, meaning);
    HF_LOADS(X)
#undef X
    printf(
        "  --inventories N      spread over so many new inventories (1)\n"
        "  --capacity N         places in each (%u; refuse: 1)\n"
        "  --customers N        customers who ask (1000000)\n"
        "  --json               print one JSON object only\n"
        "  --help               this text\n"
        "\n"
        "Every run makes inventories and ids of its own, which stay on the server. Exit status:\n"
        "0 measured, 1 measured but something was wrong, 2 bad usage, 3 could not be set up.\n",
        HF_MAX_UNITS);
}

static double read_seconds(const char *option, const char *text, bool zero_allowed)
{
    char *end;
    double value = strtod(text, &end);
    bool right = end != text && *end == '\0' && isfinite(value) && value <= MAX_SECONDS &&
                 (value > 0 || (zero_allowed && value == 0));
    if (!right)
        hf_usage_error("--%s wants a number of seconds, not \"%s\"", option, text);
    return value;
}

static enum hf_load_kind read_kind(const char *text)
{
#define X(name, text_of_kind, meaning)                                                             \
    if (strcmp(text, text_of_kind) == 0)                                                           \
        return HF_LOAD_##name;
    HF_LOADS(X)
#undef X
    hf_usage_error("--op \"%s\" is unknown", text);
}

static void read_options(struct bench *bench, int argc, char **argv)
{
    enum {
        SERVER,
        CONNECTIONS,
        DEPTH,
        SECONDS,
        WARMUP,
        THREADS,
        OP,
        INVENTORIES,
        CAPACITY,
        CUSTOMERS,
        JSON,
        HELP
    };
    static const struct option options[] = {
        {"server", required_argument, NULL, SERVER},
        {"connections", required_argument, NULL, CONNECTIONS},
        {"depth", required_argument, NULL, DEPTH},
        {"seconds", required_argument, NULL, SECONDS},
        {"warmup", required_argument, NULL, WARMUP},
        {"threads", required_argument, NULL, THREADS},
        {"op", required_argument, NULL, OP},
        {"inventories", required_argument, NULL, INVENTORIES},
        {"capacity", required_argument, NULL, CAPACITY},
        {"customers", required_argument, NULL, CUSTOMERS},
        {"json", no_argument, NULL, JSON},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    struct hf_load_plan *plan = &bench->plan;
    const char *name;
    int which;
    while ((which = hf_option_next(argc, argv, options, &name)) != -1) {
        switch (which) {
        case SERVER:
            bench->server = optarg;
            break;
        case CONNECTIONS:
            plan->connections = hf_option_count(name, optarg, 1, MAX_CONNECTIONS);
            break;
        case DEPTH:
            plan->depth = hf_option_count(name, optarg, 1, HF_LOAD_MAX_DEPTH);
            break;
        case SECONDS:
            bench->seconds = read_seconds(name, optarg, false);
            break;
        case WARMUP:
            bench->warmup_seconds = read_seconds(name, optarg, true);
            break;
        case THREADS:
            plan->threads = hf_option_count(name, optarg, 1, MAX_THREADS);
            break;
        case OP:
            plan->kind = read_kind(optarg);
            break;
        case INVENTORIES:
            plan->inventories = hf_option_count(name, optarg, 1, HF_LOAD_MAX_INVENTORIES);
            break;
        case CAPACITY:
            plan->capacity = hf_option_count(name, optarg, 1, HF_MAX_UNITS);
            break;
        case CUSTOMERS:
            plan->customers = hf_option_count(name, optarg, 1, HF_LOAD_MAX_CUSTOMERS);
            break;
        case JSON:
            bench->json = true;
            break;
        case HELP:
            print_help();
            exit(0);
        }
    }
    if (plan->threads > plan->connections)
        hf_usage_error("--threads %u needs as many --connections", plan->threads);
    if (plan->capacity == 0)
        plan->capacity = plan->kind == HF_LOAD_REFUSE ? 1 : HF_MAX_UNITS;
}

/* Each connection is a file: takes as many as the system allows. */
static int raise_file_limit(const struct hf_load_plan *plan)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)plan->connections + plan->threads + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return HF_BENCH_SETUP;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= needed)
        return 0;
    fprintf(stderr,
            "holdfast-bench: %u connections need %llu file descriptors, only %llu are "
            "allowed: raise the limit (ulimit -n) or ask for fewer --connections\n",
            plan->connections, (unsigned long long)needed, (unsigned long long)limit.rlim_cur);
    return HF_BENCH_SETUP;
}

/* The answer to one request that makes the stock. Returns 0, or -EPROTO once it has said why not.
 */
static int check_stock(void *context, const struct hf_frame *frame, const uint8_t *bytes)
{
    const struct hf_request *request = context;
    struct hf_reply reply;
    unsigned wanted = request->operation == HF_OP_RESERVE ? HF_GRANTED : HF_CREATED;
    if (frame->operation != (request->operation | HF_REPLY_BIT) ||
        !hf_reply_decode(bytes, frame, &reply, NULL)) {
        fprintf(stderr, "holdfast-bench: what answered is not a Holdfast server of this version\n");
        return -EPROTO;
    }
    if (reply.result == wanted)
        return 0;
    const char *advice = "";
    if (reply.result == HF_INVENTORIES_FULL)
        advice = ": start it with a larger --max-inventories";
    if (reply.result == HF_RESERVATIONS_FULL)
        advice = ": start it with a larger --max-reservations";
    fprintf(stderr, "holdfast-bench: cannot make the inventories: %s: %s%s\n",
            hf_result_name(reply.result), hf_result_meaning(reply.result), advice);
    return -EPROTO;
}

/* Sends one kind of request for every inventory: creates it, or takes all that it has. */
static int for_each_inventory(const struct hf_load_plan *plan, int link,
                              enum hf_operation operation)
{
    uint8_t requests[STOCK_BATCH * HF_RESERVE_BYTES];
    struct hf_request request = {.operation = operation,
                                 .customer_id = 1,
                                 .product_id = 1,
                                 .qty = plan->capacity,
                                 .capacity = plan->capacity};
    int result = 0;
    for (uint32_t done = 0; done < plan->inventories && result == 0;) {
        size_t bytes = 0;
        uint32_t count = 0;
        while (count < STOCK_BATCH && done < plan->inventories) {
            request.inventory_id = plan->first_inventory_id + done;
            hf_id_make(&request.id);
            bytes += hf_request_encode(requests + bytes, &request, done);
            count++;
            done++;
        }
        result = hf_link_exchange(link, requests, bytes, count, check_stock, &request);
    }
    return result;
}

/* Connects, and makes the inventories that the load will use. 0 or an exit status. */
static int make_stock(struct bench *bench)
{
    struct hf_load_plan *plan = &bench->plan;
    int link = hf_link_open(bench->server, &plan->address);
    if (link < 0)
        return HF_BENCH_SETUP;
    int result = 0;
    if (plan->kind != HF_LOAD_PING)
        result = for_each_inventory(plan, link, HF_OP_INVENTORY_CREATE);
    if (plan->kind == HF_LOAD_REFUSE && result == 0)
        result = for_each_inventory(plan, link, HF_OP_RESERVE);
    close(link);
    if (result != 0 && result != -EPROTO)
        fprintf(stderr, "holdfast-bench: the server at %s went away: %s\n", bench->server,
                strerror(-result));
    return result == 0 ? 0 : HF_BENCH_SETUP;
}

static int open_loads(struct bench *bench)
{
    for (uint32_t number = 0; number < bench->plan.threads; number++) {
        int result = hf_load_open(&bench->plan, &bench->clock, number, &bench->loads[number]);
        if (result == 0)
            continue;
        fprintf(stderr, "holdfast-bench: cannot open %u connections of depth %u to %s: %s\n",
                bench->plan.connections, bench->plan.depth, bench->server, strerror(-result));
        return HF_BENCH_SETUP;
    }
    return 0;
}

static void show_progress(const struct bench *bench, uint64_t now_ns, uint64_t *shown)
{
    uint64_t answered = 0;
    for (uint32_t number = 0; number < bench->plan.threads; number++)
        answered += hf_load_answered(bench->loads[number]);
    double seconds =
        ((double)now_ns - (double)hf_load_relaxed(&bench->clock.begin_ns)) / (double)HF_NS_PER_S;
    fprintf(stderr, "  %6.1f s  %12" PRIu64 " answers in the last second%s\n", seconds,
            answered - *shown, seconds < 0 ? " (warm-up)" : "");
    *shown = answered;
}

/* Waits for the end of the run, or for a signal that ends it now. */
static void wait_for_end(struct bench *bench, const sigset_t *signals)
{
    const struct timespec step = {.tv_nsec = (long)STEP_NS};
    bool terminal = isatty(STDERR_FILENO) == 1;
    uint64_t next_ns = hf_monotonic_now_ns() + HF_NS_PER_S;
    uint64_t shown = 0;
    for (;;) {
        uint64_t now_ns = hf_monotonic_now_ns();
        if (now_ns >= hf_load_relaxed(&bench->clock.end_ns)) /* relaxed: a time only */
            return;
        if (terminal && now_ns >= next_ns) {
            show_progress(bench, now_ns, &shown);
            next_ns += HF_NS_PER_S;
        }
        if (sigtimedwait(signals, NULL, &step) > 0)
            hf_load_end(&bench->clock, hf_monotonic_now_ns());
    }
}

/* Runs all loads to their end. 0 or an exit status. */
static int run(struct bench *bench)
{
    pthread_t threads[MAX_THREADS];
    uint32_t started = 0;
    sigset_t signals;
    int result = 0;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* in the threads, too: wait_for_end() takes them */
    uint64_t begin_ns =
        hf_monotonic_now_ns() + (uint64_t)(bench->warmup_seconds * (double)HF_NS_PER_S);
    /* Relaxed: the threads that read them are made below. */
    hf_store_relaxed(&bench->clock.begin_ns, begin_ns);
    hf_store_relaxed(&bench->clock.end_ns,
                     begin_ns + (uint64_t)(bench->seconds * (double)HF_NS_PER_S));
    while (started < bench->plan.threads && result == 0) {
        result = hf_load_start(bench->loads[started], &threads[started]);
        if (result == 0)
            started++;
    }
    if (result != 0) {
        fprintf(stderr, "holdfast-bench: cannot start thread %u: %s\n", started, strerror(-result));
        hf_load_end(&bench->clock, 0);
        result = HF_BENCH_SETUP;
    }
    wait_for_end(bench, &signals);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    return result;
}

static void summarize(const struct bench *bench, struct summary *summary)
{
    memset(summary, 0, sizeof *summary);
    struct hf_load_result *total = &summary->total;
    for (uint32_t number = 0; number < bench->plan.threads; number++) {
        const struct hf_load_result *part = hf_load_result(bench->loads[number]);
        total->granted += part->granted;
        total->refused += part->refused;
        total->cancelled += part->cancelled;
        total->read += part->read;
        total->errors += part->errors;
        total->cpu_ns += part->cpu_ns;
        total->failed |= part->failed;
        hf_histogram_merge(&total->latencies, &part->latencies);
    }
    uint64_t begin_ns = hf_load_relaxed(&bench->clock.begin_ns); /* relaxed: threads are joined */
    uint64_t end_ns = hf_load_relaxed(&bench->clock.end_ns);
    if (end_ns <= begin_ns)
        return;
    uint64_t answered = total->granted + total->refused + total->cancelled + total->read;
    double measured_ns = (double)(end_ns - begin_ns);
    summary->seconds = measured_ns / (double)HF_NS_PER_S;
    summary->per_second = (double)answered / summary->seconds;
    summary->cpu_percent = 100.0 * (double)total->cpu_ns / measured_ns / bench->plan.threads;
}

static double percentile_us(const struct summary *summary, unsigned per_mille)
{
    return (double)hf_histogram_percentile_ns(&summary->total.latencies, per_mille) /
           (double)HF_NS_PER_US;
}

static void print_json(const struct bench *bench, const struct summary *summary)
{
    const struct hf_load_plan *plan = &bench->plan;
    const struct hf_load_result *total = &summary->total;
    printf("{\"op\":\"%s\",\"connections\":%u,\"depth\":%u,\"per_second\":%.1f,"
           "\"granted\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"errors\":%" PRIu64 ","
           "\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,",
           hf_load_kind_name(plan->kind), plan->connections, plan->depth, summary->per_second,
           total->granted, total->refused, total->errors, percentile_us(summary, 500),
           percentile_us(summary, 990), percentile_us(summary, 999));
    printf("\"max_us\":%.1f,\"seconds\":%.3f,\"inventories\":%u,\"capacity\":%u,"
           "\"cancelled\":%" PRIu64 ",\"read\":%" PRIu64 ",\"threads\":%u,"
           "\"client_cpu_percent\":%.1f}\n",
           (double)total->latencies.max_ns / (double)HF_NS_PER_US, summary->seconds,
           plan->inventories, plan->capacity, total->cancelled, total->read, plan->threads,
           summary->cpu_percent);
}

static void print_settings(const struct bench *bench)
{
    const struct hf_load_plan *plan = &bench->plan;
    printf("%s on %s: %u connections x %u in flight, %u thread%s\n", hf_load_kind_name(plan->kind),
           bench->server, plan->connections, plan->depth, plan->threads,
           plan->threads == 1 ? "" : "s");
    if (plan->kind != HF_LOAD_PING)
        printf("%u inventor%s of %u, from %" PRIu64 " on; %u customers\n", plan->inventories,
               plan->inventories == 1 ? "y" : "ies", plan->capacity, plan->first_inventory_id,
               plan->customers);
    printf("%g s measured after %g s of warm-up\n", bench->seconds, bench->warmup_seconds);
    fflush(stdout);
}

static void print_table(const struct summary *summary)
{
    const struct hf_load_result *total = &summary->total;
    printf("\n%12s %12s %12s %12s %12s %8s\n", "per second", "granted", "refused", "cancelled",
           "read", "errors");
    printf("%12.0f %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %8" PRIu64 "\n",
           summary->per_second, total->granted, total->refused, total->cancelled, total->read,
           total->errors);
    printf("\n%12s %12s %12s %12s %12s\n", "p50 us", "p99 us", "p99.9 us", "max us", "bench busy");
    printf("%12.1f %12.1f %12.1f %12.1f %11.0f%%\n", percentile_us(summary, 500),
           percentile_us(summary, 990), percentile_us(summary, 999),
           (double)total->latencies.max_ns / (double)HF_NS_PER_US, summary->cpu_percent);
    if (summary->seconds == 0)
        printf("\nended in the warm-up: nothing was measured\n");
}

int main(int argc, char **argv)
{
    static struct bench bench = {
        .plan = {.kind = HF_LOAD_RESERVE,
                 .threads = 1,
                 .connections = 50,
                 .depth = 64,
                 .inventories = 1,
                 .customers = 1000000},
        .seconds = 5,
        .warmup_seconds = 0.5,
    };
    static struct summary summary;
    static char server[32];
    snprintf(server, sizeof server, "127.0.0.1:%d", HF_DEFAULT_PORT);
    bench.server = server;
    read_options(&bench, argc, argv);
    hf_load_make_ids(&bench.plan);
    int result = raise_file_limit(&bench.plan);
    if (result == 0)
        result = make_stock(&bench);
    if (result == 0)
        result = open_loads(&bench);
    if (result == 0) {
        if (!bench.json)
            print_settings(&bench);
        result = run(&bench);
    }
    if (result == 0) {
        summarize(&bench, &summary);
        if (bench.json)
            print_json(&bench, &summary);
        else
            print_table(&summary);
        result = summary.total.errors || summary.total.failed ? HF_BENCH_WRONG : 0;
    }
    for (uint32_t number = 0; number < bench.plan.threads; number++)
        if (bench.loads[number])
            hf_load_close(bench.loads[number]);
    return result;
}
