/* holdfastd: the server on the command line. Reads the options, opens the server, waits for a
 * signal, closes it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/standard_files.h"
#include "net/command_line.h"
#include "net/server.h"

/* A duration for a person: "12.3 ms". */
static void format_duration(uint64_t ns, char *text, size_t text_bytes)
{
    if (ns < 10 * HF_NS_PER_S)
        snprintf(text, text_bytes, "%.1f ms", (double)ns / (double)HF_NS_PER_MS);
    else
        snprintf(text, text_bytes, "%.1f s", (double)ns / (double)HF_NS_PER_S);
}

/* A rate for a person: "84.6 k records/s". */
static void format_rate(uint64_t count, uint64_t ns, char *text, size_t text_bytes)
{
    double rate = ns == 0 ? 0 : (double)count * (double)HF_NS_PER_S / (double)ns;
    if (rate >= 1e6)
        snprintf(text, text_bytes, "%.1f M records/s", rate / 1e6);
    else
        snprintf(text, text_bytes, "%.1f k records/s", rate / 1e3);
}

/* The signals that end us. They are blocked, so what has come is pending, here and for sigwait(). */
static sigset_t ending_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signals;
}

static bool is_stop_wanted(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

static const char *wait_for_end(void)
{
    sigset_t signals = ending_signals();
    int signal_number = 0;
    while (sigwait(&signals, &signal_number) != 0)
        ;
    return strsignal(signal_number);
}

static void print_ready(const struct hf_server *server)
{
    const struct hf_store *store = server->store;
    const struct hf_log_recovery *recovery = &store->log.recovery;
    char duration[32], rate[32], disk[HF_DISK_TEXT_BYTES];
    format_duration(store->recovery_ns, duration, sizeof duration);
    format_rate(recovery->records, store->recovery_ns, rate, sizeof rate);
    hf_disk_describe(&store->log.disk, disk, sizeof disk);
    struct hf_info info;
    hf_server_describe((struct hf_server *)server, &info);
    printf("holdfastd: ready on %s, %u worker%s, durability %s, recovered %llu reservations and "
           "%u inventories from %llu records in %s (%s), LSN %llu; log writes: %s\n",
           server->address, server->worker_count, server->worker_count == 1 ? "" : "s",
           info.durability != 0 ? "memory" : "disk",
           (unsigned long long)store->recovered_reservations, info.inventories,
           (unsigned long long)recovery->records, duration, rate,
           (unsigned long long)info.commit_lsn, disk);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct hf_server_options options = {
        .listen = "127.0.0.1:7411",
        .store = {.directory = "./data"},
        .report = stderr,
        .stop_wanted = is_stop_wanted,
    };
    hf_standard_files_open();
    hf_command_line_parse(argc, argv, &options);

    /* Blocked before any thread starts, so that only sigwait() below receives them. */
    sigset_t signals = ending_signals();
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* whoever started us may ignore it: no exit status could be learnt */

    struct hf_server *server;
    char error[HF_SERVER_ERROR_BYTES];
    int result = hf_server_open(&server, &options, error);
    if (result == -ECANCELED) {
        fprintf(stderr, "holdfastd: %s, stopped: %s\n", wait_for_end(), error);
        return 0;
    }
    if (result != 0) {
        fprintf(stderr, "holdfastd: %s\n", error);
        return 1;
    }
    print_ready(server);
    fprintf(stderr, "holdfastd: %s, stopping: answering what was received\n", wait_for_end());
    result = hf_server_close(server);
    if (result != 0) {
        fprintf(stderr, "holdfastd: the log was not ended cleanly: %s\n", strerror(-result));
        return 1;
    }
    fprintf(stderr, "holdfastd: stopped, the log is synced\n");
    return 0;
}
