/* Measurements. See measurement.h. */
#include "bench/measurement.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/options.h"

#define OTHER_FILES 16 /* descriptors besides one a connection and one a thread */
#define STEP_NS     (100 * HF_NS_PER_MS)

/* What one measurement needs while it runs. */
struct scene {
    const struct hf_load_plan *plan;
    const struct hf_measure_options *options;
    struct hf_load_clock clock;
    struct hf_load *loads[HF_MEASURE_MAX_THREADS];
    int *idle; /* sockets */
    uint32_t idle_count;
    bool interrupted;
};

/* Each connection is a file: takes as many as the system allows. */
static int raise_file_limit(const struct scene *scene)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)scene->plan->connections + scene->options->idle + scene->plan->threads +
                    OTHER_FILES;
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
            "%s: %u connections need %llu file descriptors, only %llu are "
            "allowed: raise the limit (ulimit -n) or ask for fewer --connections\n",
            program_invocation_short_name, scene->plan->connections + scene->options->idle,
            (unsigned long long)needed, (unsigned long long)limit.rlim_cur);
    return HF_BENCH_SETUP;
}

static int open_loads(struct scene *scene)
{
    const struct hf_load_plan *plan = scene->plan;
    for (uint32_t number = 0; number < plan->threads; number++) {
        int result = hf_load_open(plan, &scene->clock, number, &scene->loads[number]);
        if (result == 0)
            continue;
        fprintf(stderr, "%s: cannot open %u connections of depth %u: %s\n",
                program_invocation_short_name, plan->connections, plan->depth, strerror(-result));
        return HF_BENCH_SETUP;
    }
    return 0;
}

static int open_idle(struct scene *scene)
{
    scene->idle = calloc((size_t)scene->options->idle + 1, sizeof *scene->idle);
    while (scene->idle != NULL && scene->idle_count < scene->options->idle) {
        int link = hf_link_connect(&scene->plan->address);
        if (link < 0) {
            fprintf(stderr, "%s: cannot open idle connection %u: %s\n",
                    program_invocation_short_name, scene->idle_count, strerror(-link));
            return HF_BENCH_SETUP;
        }
        scene->idle[scene->idle_count++] = link;
    }
    return scene->idle != NULL ? 0 : HF_BENCH_SETUP;
}

/* Idle connections that are not as they were: the server closed them, or said something. */
static uint64_t lost_idle(const struct scene *scene)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < scene->idle_count; i++) {
        uint8_t byte;
        lost += recv(scene->idle[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || errno != EAGAIN;
    }
    if (lost != 0)
        fprintf(stderr, "%s: %" PRIu64 " idle connections were closed, or were sent something\n",
                program_invocation_short_name, lost);
    return lost;
}

static void close_all(struct scene *scene)
{
    for (uint32_t number = 0; number < scene->plan->threads; number++)
        if (scene->loads[number])
            hf_load_close(scene->loads[number]);
    for (uint32_t i = 0; i < scene->idle_count; i++)
        close(scene->idle[i]);
    free(scene->idle);
}

static void show_progress(const struct scene *scene, uint64_t now_ns, uint64_t *shown)
{
    uint64_t answered = 0;
    for (uint32_t number = 0; number < scene->plan->threads; number++)
        answered += hf_load_answered(scene->loads[number]);
    double seconds =
        ((double)now_ns - (double)hf_load_relaxed(&scene->clock.begin_ns)) / (double)HF_NS_PER_S;
    fprintf(stderr, "  %6.1f s  %12" PRIu64 " answers in the last second%s\n", seconds,
            answered - *shown, seconds < 0 ? " (warm-up)" : "");
    *shown = answered;
}

/* Waits for the end of the run, or for a signal that ends it now. */
static void wait_for_end(struct scene *scene, const sigset_t *signals)
{
    const struct timespec step = {.tv_nsec = (long)STEP_NS};
    bool terminal = isatty(STDERR_FILENO) == 1;
    uint64_t next_ns = hf_monotonic_now_ns() + HF_NS_PER_S;
    uint64_t shown = 0;
    for (;;) {
        uint64_t now_ns = hf_monotonic_now_ns();
        if (now_ns >= hf_load_relaxed(&scene->clock.end_ns)) /* relaxed: a time only */
            return;
        if (terminal && now_ns >= next_ns) {
            show_progress(scene, now_ns, &shown);
            next_ns += HF_NS_PER_S;
        }
        if (sigtimedwait(signals, NULL, &step) > 0) {
            scene->interrupted = true;
            hf_load_end(&scene->clock, hf_monotonic_now_ns());
        }
    }
}

/* Runs all loads to their end. 0 or an exit status. */
static int run(struct scene *scene)
{
    pthread_t threads[HF_MEASURE_MAX_THREADS];
    uint32_t started = 0;
    sigset_t signals;
    int result = 0;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* in the threads, too: wait_for_end() takes them */
    uint64_t begin_ns =
        hf_monotonic_now_ns() + (uint64_t)(scene->options->warmup_seconds * (double)HF_NS_PER_S);
    /* Relaxed: the threads that read them are made below. */
    hf_store_relaxed(&scene->clock.begin_ns, begin_ns);
    hf_store_relaxed(&scene->clock.end_ns,
                     begin_ns + (uint64_t)(scene->options->seconds * (double)HF_NS_PER_S));
    while (started < scene->plan->threads && result == 0) {
        result = hf_load_start(scene->loads[started], &threads[started]);
        if (result == 0)
            started++;
    }
    if (result != 0) {
        fprintf(stderr, "%s: cannot start thread %u: %s\n", program_invocation_short_name, started,
                strerror(-result));
        hf_load_end(&scene->clock, 0);
        result = HF_BENCH_SETUP;
    }
    wait_for_end(scene, &signals);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    return result;
}

static void add_result(struct hf_measurement *measurement, const struct hf_load_result *part)
{
    struct hf_load_result *total = &measurement->total;
    for (unsigned answer = 0; answer < HF_ANSWER_COUNT; answer++) {
        total->counts[answer] += part->counts[answer];
        total->all_counts[answer] += part->all_counts[answer];
    }
    for (unsigned kind = 0; kind < HF_KIND_COUNT; kind++) {
        for (unsigned step = 0; step < HF_KIND_STEPS; step++) {
            hf_histogram_merge(&total->latencies[kind][step], &part->latencies[kind][step]);
            hf_histogram_merge(&measurement->latencies, &part->latencies[kind][step]);
        }
    }
    hf_histogram_merge(&total->lateness, &part->lateness);
    total->units_claimed += part->units_claimed;
    total->errors += part->errors;
    total->cpu_ns += part->cpu_ns;
    total->arrived += part->arrived;
    total->late += part->late;
    total->unsent += part->unsent;
    total->failed |= part->failed;
}

static void work_out_rates(const struct scene *scene, struct hf_measurement *measurement)
{
    const struct hf_load_plan *plan = scene->plan;
    const struct hf_load_result *total = &measurement->total;
    uint64_t begin_ns = hf_load_relaxed(&scene->clock.begin_ns); /* relaxed: threads are joined */
    uint64_t end_ns = hf_load_relaxed(&scene->clock.end_ns), answered = 0;
    if (end_ns <= begin_ns)
        return;
    for (unsigned answer = 0; answer < HF_ANSWER_COUNT; answer++)
        answered += total->counts[answer];
    uint64_t booked = total->counts[HF_ANSWER_GRANTED] + total->counts[HF_ANSWER_HELD] +
                      total->counts[HF_ANSWER_BATCHED] * plan->batch;
    double measured_ns = (double)(end_ns - begin_ns);
    measurement->seconds = measured_ns / (double)HF_NS_PER_S;
    measurement->per_second = (double)answered / measurement->seconds;
    measurement->booked_per_second = (double)booked / measurement->seconds;
    measurement->offered_per_second = (double)total->arrived / measurement->seconds;
    measurement->cpu_percent = 100.0 * (double)total->cpu_ns / measured_ns / plan->threads;
}

/* Adds what the answers say was taken. A hold that has lapsed is told so from its deadline on, but its
 * units may come back a little later: it still counts as held. */
static void note_taken(const struct scene *scene, const struct hf_load_result *total,
                       struct hf_stock *stock)
{
    const uint64_t *counts = total->all_counts;
    stock->taken += counts[HF_ANSWER_GRANTED] - counts[HF_ANSWER_CANCELLED] +
                    counts[HF_ANSWER_CONFIRMED] + counts[HF_ANSWER_BATCHED] * scene->plan->batch;
    stock->held +=
        counts[HF_ANSWER_HELD] - counts[HF_ANSWER_CONFIRMED] - counts[HF_ANSWER_RELEASED];
}

/* Nothing is sold out of which less was asked for than there is. */
static void check_refusals(const struct scene *scene, const struct hf_stock *stock,
                           struct hf_load_result *total)
{
    uint64_t refused = total->all_counts[HF_ANSWER_REFUSED];
    uint64_t asked = stock->taken + stock->held + total->units_claimed;
    if (refused == 0 || asked >= scene->plan->capacity)
        return;
    fprintf(stderr,
            "%s: %" PRIu64 " refusals, though no more than %" PRIu64
            " units were ever asked for, and each inventory has %u\n",
            program_invocation_short_name, refused, asked, scene->plan->capacity);
    total->errors += refused;
}

static void sum_up(const struct scene *scene, struct hf_stock *stock,
                   struct hf_measurement *measurement)
{
    struct hf_load_result *total = &measurement->total;
    for (uint32_t number = 0; number < scene->plan->threads; number++)
        add_result(measurement, hf_load_result(scene->loads[number]));
    work_out_rates(scene, measurement);
    check_refusals(scene, stock, total);
    note_taken(scene, total, stock);
    total->errors += lost_idle(scene);
    measurement->interrupted = scene->interrupted;
}

int hf_measure(const struct hf_load_plan *plan, const struct hf_measure_options *options,
               struct hf_stock *stock, struct hf_measurement *measurement)
{
    struct scene scene = {.plan = plan, .options = options};
    memset(measurement, 0, sizeof *measurement);
    int result = raise_file_limit(&scene);
    if (result == 0)
        result = open_idle(&scene);
    if (result == 0)
        result = open_loads(&scene);
    if (result == 0)
        result = run(&scene);
    if (result == 0)
        sum_up(&scene, stock, measurement);
    close_all(&scene);
    return result;
}

bool hf_measurement_wrong(const struct hf_measurement *measurement)
{
    return measurement->total.errors != 0 || measurement->total.failed;
}
