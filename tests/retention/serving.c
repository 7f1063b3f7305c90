/*
 * Serving: a real server that forgets finished reservations after a second, under full load: places
 * are reserved and cancelled as fast as they go, so that after some seconds it has served many times
 * what its table has room for.
 *
 * Checked: the load is never refused since something is full (holdfast-bench ends with status 1
 * then); and after the first third of the time the server's resident memory does not grow, but for
 * what more reservations at one time need, should the load have become faster.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/atomics.h"
#include "base/clock.h"
#include "holdfast/client.h"
#include "tests/lib/process.h"
#include "tests/retention/resident.h"

#define EXIT_USAGE       2
#define TABLE            4000000
#define GROWTH_PERCENT   10
#define GROWTH_KIB       (4 * 1024)
#define BYTES_EACH       192 /* of a retained reservation: twice what it needs, as samples miss peaks */
#define SAMPLES_A_SECOND 4

struct load {
    char program[HF_PROGRAM_TEXT_BYTES + 32];
    const char *address;
    char seconds[16];
    int status;
    char output[4096];
    _Atomic bool ended;
};

struct sample {
    uint64_t rss_kib, retained, lsn;
};

static struct hf_daemon server;
static char directory[HF_DIRECTORY_TEXT_BYTES];

static _Noreturn void fail(const char *what, const char *detail)
{
    fprintf(stderr, "serving: FAILED: %s: %s\n", what, detail);
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
    exit(1);
}

static void *run_load(void *context)
{
    struct load *load = context;
    const char *const argv[] = {load->program,   "--server",    load->address, "--op", "cancel",
                                "--seconds",     load->seconds, "--warmup",    "0",    "--json",
                                "--inventories", "100",         NULL};
    load->status = hf_process_run(argv, load->output, sizeof load->output);
    hf_store_release(&load->ended, true); /* pairs with watch() */
    return NULL;
}

static void take_sample(struct hf_client *client, struct sample *sample)
{
    const struct hf_request request = {.operation = HF_OP_INFO};
    struct hf_reply reply;
    unsigned long long rss_kib = hf_resident_kib(server.pid);
    if (rss_kib == 0)
        fail("/proc does not tell", "resident memory");
    unsigned result = hf_client_call_sync(client, &request, &reply);
    if (result != HF_FOUND)
        fail("INFO is answered", hf_result_name(result));
    *sample = (struct sample){
        .rss_kib = rss_kib, .retained = reply.info.reservations, .lsn = reply.info.commit_lsn};
}

static void raise_to(struct sample *most, const struct sample *sample)
{
    if (sample->rss_kib > most->rss_kib)
        most->rss_kib = sample->rss_kib;
    if (sample->retained > most->retained)
        most->retained = sample->retained;
    most->lsn = sample->lsn;
}

/* Until the load has ended. The highest figures of the first third of the time, and of the rest. */
static void watch(struct hf_client *client, const struct load *load, uint32_t seconds,
                  struct sample *first, struct sample *rest)
{
    const struct timespec pause = {.tv_nsec = HF_NS_PER_S / SAMPLES_A_SECOND};
    uint64_t begin_ns = hf_monotonic_now_ns(), shown = 0;
    printf("%7s %12s %12s %10s\n", "second", "records", "retained", "rss KiB");
    while (!hf_load_acquire(&load->ended)) { /* pairs with run_load() */
        struct sample sample;
        uint64_t passed_ns = hf_monotonic_now_ns() - begin_ns;
        take_sample(client, &sample);
        raise_to(passed_ns < seconds * HF_NS_PER_S / 3 ? first : rest, &sample);
        uint64_t second = passed_ns / HF_NS_PER_S;
        if (second >= shown) {
            printf("%7" PRIu64 " %12" PRIu64 " %12" PRIu64 " %10" PRIu64 "\n", second, sample.lsn,
                   sample.retained, sample.rss_kib);
            fflush(stdout);
            shown += seconds / 20 + 1;
        }
        nanosleep(&pause, NULL);
    }
}

static void check_growth(const struct sample *first, const struct sample *rest)
{
    char text[160];
#ifdef __SANITIZE_ADDRESS__
    return; /* it keeps what was freed, on purpose */
#endif
    uint64_t more = rest->retained > first->retained ? rest->retained - first->retained : 0;
    uint64_t allowed_kib = first->rss_kib * GROWTH_PERCENT / 100 + GROWTH_KIB;
    if (rest->rss_kib <= first->rss_kib + allowed_kib + more * BYTES_EACH / 1024)
        return;
    snprintf(text, sizeof text,
             "%" PRIu64 " KiB with %" PRIu64 " reservations at first, %" PRIu64 " with %" PRIu64
             " later",
             first->rss_kib, first->retained, rest->rss_kib, rest->retained);
    fail("resident memory grows", text);
}

static void serve(const char *programs, uint32_t seconds)
{
    struct load load = {.address = server.address};
    struct sample first = {0}, rest = {0};
    struct hf_client *client;
    pthread_t thread;
    const struct hf_client_options options = {.server = server.address,
                                              .request_timeout_ms = 30000};
    snprintf(load.program, sizeof load.program, "%s/holdfast-bench", programs);
    snprintf(load.seconds, sizeof load.seconds, "%u", seconds);
    if (hf_client_open(&options, &client) != 0)
        fail("cannot connect to", server.address);
    if (pthread_create(&thread, NULL, run_load, &load) != 0)
        fail("cannot start", "a thread");
    watch(client, &load, seconds, &first, &rest);
    pthread_join(thread, NULL);
    hf_client_close(client);
    if (load.status != 0)
        fail("the load was not served", load.output);
    printf("%s", load.output);
    check_growth(&first, &rest);
    printf("%.1f times what the table has room for\n", (double)rest.lsn / 2 / TABLE);
}

static uint32_t read_seconds(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < 3 || value > 86400) {
        fprintf(stderr, "usage: serving [--programs DIR] [--seconds 3..86400]\n");
        exit(EXIT_USAGE);
    }
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"programs", required_argument, NULL, 'p'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    char table[16];
    const char *const extra[] = {"--retain", "1s", "--max-reservations", table, NULL};
    const char *programs = "build";
    char program[HF_PROGRAM_TEXT_BYTES];
    uint32_t seconds = 20;
    int which;
    while ((which = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (which == 'p')
            programs = optarg;
        else
            seconds = read_seconds(which == 's' ? optarg : "");
    }
    snprintf(table, sizeof table, "%d", TABLE);
    snprintf(program, sizeof program, "%s/holdfastd", programs);
    const struct hf_daemon_options options = {
        .program = program, .directory = directory, .extra = extra};
    if (hf_directory_make(directory) != 0)
        fail("cannot make", "a directory");
    if (hf_daemon_start(&server, &options) != 0)
        fail("the server does not start", server.error);
    serve(programs, seconds);
    int status = hf_daemon_stop(&server);
    if (status != 0)
        fail("the server ended", "not in order");
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
    printf("serving: ok\n");
    return 0;
}
