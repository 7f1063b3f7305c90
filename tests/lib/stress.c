/* What the stress tests share: see stress.h. */
#include "tests/lib/stress.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "base/atomics.h"
#include "base/bytes.h"
#include "base/clock.h"

static struct {
    const char *name;
    uint64_t seed;
    uint64_t end_ns;
} stress;

static uint64_t mix(uint64_t key)
{
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
    return key ^ (key >> 31);
}

/* ---- options and verdict ---- */

static _Noreturn void refuse_options(const char *name)
{
    fprintf(stderr, "usage: %s [--threads 1..%d] [--seconds S] [--seed N]\n", name,
            HF_STRESS_MAX_THREADS);
    exit(2);
}

void hf_stress_begin(const char *name, int argc, char **argv, struct hf_stress_options *options)
{
    *options = (struct hf_stress_options){
        .threads = 2,
        .seconds = 1,
        .seed = mix(hf_clock_ns(CLOCK_REALTIME)) >> 32,
    };
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            refuse_options(name);
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--threads") == 0)
            options->threads = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            options->seconds = strtod(value, NULL);
        else if (strcmp(argv[i], "--seed") == 0)
            options->seed = strtoull(value, NULL, 10);
        else
            refuse_options(name);
    }
    if (options->threads == 0 || options->threads > HF_STRESS_MAX_THREADS)
        refuse_options(name);
    stress.name = name;
    stress.seed = options->seed;
    stress.end_ns = hf_monotonic_now_ns() + (uint64_t)(options->seconds * (double)HF_NS_PER_S);
}

bool hf_stress_over(void)
{
    return hf_monotonic_now_ns() >= stress.end_ns;
}

void hf_stress_fail(const char *format, ...)
{
    static _Atomic uint32_t failed;
    /* acq_rel: the first to fail reports; others must not end the program before it has. */
    if (hf_exchange_acq_rel(&failed, 1) != 0) {
        for (;;)
            pause();
    }
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s: FAILED: %s (seed %llu)\n", stress.name, text,
            (unsigned long long)stress.seed);
    _exit(1);
}

int hf_stress_done(const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("%s: ok: %s (seed %llu)\n", stress.name, text, (unsigned long long)stress.seed);
    return 0;
}

/* ---- threads, and what disturbs them ---- */

struct crew {
    void (*run)(void *context, unsigned index);
    void *context;
    pthread_barrier_t start;
};

struct member {
    struct crew *crew;
    unsigned index;
    pthread_t thread;
};

#define LONG_WAIT_US 2000

static void wait_us(uint32_t us)
{
    struct timeval time = {.tv_usec = (suseconds_t)us};
    select(0, NULL, NULL, NULL, &time);
}

/* Runs in a thread of the crew, between any two of its instructions. */
static void disturb(int signal)
{
    (void)signal;
    static _Atomic uint64_t count;
    int error = errno;
    /* Relaxed: it is a source of different numbers, nothing more. */
    uint64_t random = mix(stress.seed + hf_fetch_add_relaxed(&count, 1) * 0x9e3779b97f4a7c15ull);
    uint32_t amount = (uint32_t)(random >> 8) & 63;
    if (random >> 56 == 0)
        wait_us(LONG_WAIT_US); /* long enough for others to do a lot */
    switch (random & 15) {
    case 0:
        wait_us(amount);
        break;
    case 1:
    case 2:
        sched_yield();
        break;
    default:
        for (uint32_t i = 0; i < amount * 4; i++)
            hf_cpu_relax();
        break;
    }
    errno = error;
}

/* A timer that interrupts the calling thread about every `period_us`. */
static timer_t start_disturber(uint32_t period_us)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    event._sigev_un._tid = gettid();
    struct timespec period = {.tv_nsec = (long)period_us * 1000};
    struct itimerspec setting = {.it_interval = period, .it_value = period};
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &setting, NULL) != 0)
        hf_stress_fail("cannot start a timer: %s", strerror(errno));
    return timer;
}

static void *member_main(void *context)
{
    struct member *member = context;
    struct hf_random random = hf_random_for(stress.seed, member->index);
    timer_t disturber = start_disturber(100 + hf_random_below(&random, 100));
    pthread_barrier_wait(&member->crew->start);
    member->crew->run(member->crew->context, member->index);
    timer_delete(disturber);
    return NULL;
}

void hf_stress_run(unsigned threads, void (*run)(void *context, unsigned index), void *context)
{
    static struct member members[HF_STRESS_MAX_THREADS + 1];
    struct crew crew = {.run = run, .context = context};
    struct sigaction action = {.sa_handler = disturb, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    pthread_barrier_init(&crew.start, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        members[i] = (struct member){.crew = &crew, .index = i};
        if (pthread_create(&members[i].thread, NULL, member_main, &members[i]) != 0)
            hf_stress_fail("cannot start a thread");
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(members[i].thread, NULL);
    pthread_barrier_destroy(&crew.start);
}

/* ---- random numbers ---- */

struct hf_random hf_random_for(uint64_t seed, uint64_t part)
{
    return (struct hf_random){mix(seed ^ mix(part + 0x632be59bd9b4e019ull))};
}

uint64_t hf_random_next(struct hf_random *random)
{
    random->state += 0x9e3779b97f4a7c15ull;
    return mix(random->state);
}

uint32_t hf_random_below(struct hf_random *random, uint32_t end)
{
    return (uint32_t)((hf_random_next(random) >> 32) * end >> 32);
}

bool hf_random_chance(struct hf_random *random, uint32_t percent)
{
    return hf_random_below(random, 100) < percent;
}

void hf_random_pause(struct hf_random *random)
{
    uint32_t dice = hf_random_below(random, 64);
    if (dice == 0) {
        sched_yield();
    } else if (dice < 8) {
        for (uint32_t i = hf_random_below(random, 50); i > 0; i--)
            hf_cpu_relax();
    }
}

struct hf_id hf_id_of_number(uint32_t number)
{
    struct hf_id id = {{0}};
    hf_put_u32(id.bytes, number);
    id.bytes[15] = 1; /* never the zero id */
    return id;
}

uint32_t hf_id_to_number(const struct hf_id *id)
{
    return hf_get_u32(id->bytes);
}
