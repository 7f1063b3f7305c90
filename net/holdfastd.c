/* holdfastd: the server on the command line. Reads the options, opens the server, waits for a
 * signal, closes it. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/server.h"
#include "wal/command.h"

enum { EXIT_USAGE = 2 };

static const char usage_text[] =
    "usage: holdfastd [OPTION]...\n"
    "\n"
    "The Holdfast server: grants reservations, and never forgets one it has acknowledged.\n"
    "It runs in the foreground until SIGTERM or SIGINT, then answers what it received, syncs its\n"
    "log, and exits with status 0. While it recovers it answers that it is not ready, and how far\n"
    "it is (holdfast ping, holdfast status).\n"
    "\n"
    "  --dir DIR               where the log is; made if it is missing        [./data]\n"
    "  --listen HOST:PORT      IPv4, [IPv6] or a host name; port 0: any free  [127.0.0.1:7411]\n"
    "  --workers N             threads that serve, 1 to 64                    [one for each CPU]\n"
    "  --durability disk       acknowledge when the disk has the record       [disk]\n"
    "               memory     acknowledge when the record is in the log's buffer, which is on "
    "the\n"
    "                          disk within 10 ms. A crash of the server or of the machine then\n"
    "                          loses what was acknowledged in these last milliseconds: customers\n"
    "                          who were told \"yes\" may have nothing.\n"
    "  --max-inventories N     1 to 16777216                                  [65536]\n"
    "  --max-reservations N    1 to 2147418112; memory is paid as it is used, [16777216]\n"
    "                          up to 96 bytes each\n"
    "  --retain DURATION       how long finished reservations are kept, and [24h]\n"
    "                          their ids known, such as 90s, 15m, 24h, 30d\n"
    "  --segment-bytes N       size of the log's files, for a new log:        [16777216]\n"
    "                          1 MiB to 2 GiB, a multiple of 4096\n"
    "  --snapshot-after BYTES  make a snapshot when the log has grown by as much since  "
    "[1073741824]\n"
    "                          the last one, or by the last one's size if that is more;\n"
    "                          \"never\": only when asked for\n"
    "  --snapshot-every DURATION  and after as long, if anything changed      [not]\n"
    "  --snapshot-rate BYTES   at most as many bytes of it a second, so that  [134217728]\n"
    "                          the log finds the disk free\n"
    "  --log-writes auto       write the log as the disk does it best, which   [auto]\n"
    "                          is tried out at start, or always by:\n"
    "               direct     direct, data-synced writes\n"
    "               sync       a write and then fdatasync; through the page cache on a file\n"
    "                          system without direct I/O\n"
    "  --writes-in-flight N    log writes at once, 1 to 8       [1; 4 when a group fills a block]\n"
    "  --archive-command CMD   a shell command that copies a finished file of the log to where\n"
    "                          backups are; run by /bin/sh in DIR; %p is the file's path from\n"
    "                          there, %f its name, %% a percent sign. Exit status 0: archived;\n"
    "                          else it is tried again, after 1 s and at last every 60 s. Segments\n"
    "                          are kept until they are archived.            [no archive]\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 stopped by a signal, 1 cannot start, or could not end the log in order (a "
    "line\n"
    "on stderr says why), 2 bad usage, 70 the log could not be written.\n";

/* A number from `low` to `high`, or bad usage. */
static uint64_t parse_number(const char *option, const char *text, uint64_t low, uint64_t high)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < low ||
        value > high) {
        fprintf(stderr, "holdfastd: --%s %s: must be a number from %llu to %llu\n", option, text,
                (unsigned long long)low, (unsigned long long)high);
        exit(EXIT_USAGE);
    }
    return value;
}

static enum hf_durability parse_durability(const char *text)
{
    if (strcmp(text, "disk") == 0)
        return HF_DURABILITY_DISK;
    if (strcmp(text, "memory") == 0)
        return HF_DURABILITY_MEMORY;
    fprintf(stderr, "holdfastd: --durability %s: must be disk or memory\n", text);
    exit(EXIT_USAGE);
}

static enum hf_log_writes parse_log_writes(const char *text)
{
    if (strcmp(text, "auto") == 0)
        return HF_LOG_WRITES_AUTO;
    if (strcmp(text, "direct") == 0)
        return HF_LOG_WRITES_DIRECT;
    if (strcmp(text, "sync") == 0)
        return HF_LOG_WRITES_SYNC;
    fprintf(stderr, "holdfastd: --log-writes %s: must be auto, direct or sync\n", text);
    exit(EXIT_USAGE);
}

static uint64_t parse_duration(const char *option, const char *text)
{
    uint64_t duration_ns;
    if (hf_duration_parse(text, &duration_ns) && duration_ns >= HF_NS_PER_S)
        return duration_ns;
    fprintf(stderr,
            "holdfastd: --%s %s: must be a duration of 1s or more, such as 90s, 15m, 24h, 30d\n",
            option, text);
    exit(EXIT_USAGE);
}

static uint64_t parse_segment_bytes(const char *option, const char *text)
{
    uint64_t bytes = parse_number(option, text, HF_MIN_SEGMENT_BYTES, HF_MAX_SEGMENT_BYTES);
    if (bytes % HF_BLOCK_ALIGN_BYTES != 0) {
        fprintf(stderr, "holdfastd: --segment-bytes %s: must be a multiple of 4096\n", text);
        exit(EXIT_USAGE);
    }
    return bytes;
}

static const char *parse_archive_command(const char *text)
{
    char error[HF_COMMAND_ERROR_BYTES];
    if (hf_command_check(text, error))
        return text;
    fprintf(stderr, "holdfastd: --archive-command: %s\n", error);
    exit(EXIT_USAGE);
}

_Noreturn static void refuse_option(int choice, const char *option)
{
    if (choice == ':')
        fprintf(stderr, "holdfastd: %s needs a value; see holdfastd --help\n", option);
    else
        fprintf(stderr, "holdfastd: unknown option %s; see holdfastd --help\n", option);
    exit(EXIT_USAGE);
}

static void parse_options(int argc, char **argv, struct hf_server_options *options)
{
    static const struct option known[] = {
        {"dir", required_argument, NULL, 'd'},
        {"listen", required_argument, NULL, 'l'},
        {"workers", required_argument, NULL, 'w'},
        {"durability", required_argument, NULL, 'D'},
        {"max-inventories", required_argument, NULL, 'i'},
        {"max-reservations", required_argument, NULL, 'r'},
        {"segment-bytes", required_argument, NULL, 's'},
        {"log-writes", required_argument, NULL, 'L'},
        {"writes-in-flight", required_argument, NULL, 'f'},
        {"retain", required_argument, NULL, 'R'},
        {"snapshot-after", required_argument, NULL, 'a'},
        {"snapshot-every", required_argument, NULL, 'e'},
        {"snapshot-rate", required_argument, NULL, 'b'},
        {"archive-command", required_argument, NULL, 'A'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    int choice, index = 0;
    while ((choice = getopt_long(argc, argv, ":", known, &index)) != -1) {
        const char *name = choice == '?' || choice == ':' ? "" : known[index].name;
        switch (choice) {
        case 'd':
            options->store.directory = optarg;
            break;
        case 'l':
            options->listen = optarg;
            break;
        case 'w':
            options->workers = (uint32_t)parse_number(name, optarg, 1, HF_MAX_WORKERS);
            break;
        case 'D':
            options->store.durability = parse_durability(optarg);
            break;
        case 'i':
            options->store.max_inventories = (uint32_t)parse_number(name, optarg, 1, 1u << 24);
            break;
        case 'r':
            options->store.max_reservations =
                (uint32_t)parse_number(name, optarg, 1, (1u << 31) - (1u << 16));
            break;
        case 's':
            options->store.segment_bytes = parse_segment_bytes(name, optarg);
            break;
        case 'L':
            options->store.log_writes = parse_log_writes(optarg);
            break;
        case 'f':
            options->store.writes_inflight =
                (uint32_t)parse_number(name, optarg, 1, HF_MAX_INFLIGHT);
            break;
        case 'a':
            options->store.snapshot_log_bytes =
                strcmp(optarg, "never") == 0 ? UINT64_MAX
                                             : parse_number(name, optarg, 1 << 20, 1ull << 50);
            break;
        case 'e':
            options->store.snapshot_interval_ns = parse_duration(name, optarg);
            break;
        case 'b':
            options->store.snapshot_rate = parse_number(name, optarg, 1 << 20, 1ull << 40);
            break;
        case 'R':
            options->store.retain_ns = parse_duration(name, optarg);
            break;
        case 'A':
            options->store.archive_command = parse_archive_command(optarg);
            break;
        case 'h':
            fputs(usage_text, stdout);
            exit(0);
        case 'v':
            puts("holdfastd " HF_VERSION);
            exit(0);
        default:
            refuse_option(choice, argv[optind - 1]);
        }
    }
    if (optind != argc) {
        fprintf(stderr, "holdfastd: unexpected argument %s; see holdfastd --help\n", argv[optind]);
        exit(EXIT_USAGE);
    }
}

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
    printf("holdfastd: ready on %s, %u workers, durability %s, recovered %llu reservations and %u "
           "inventories from %llu records in %s (%s), LSN %llu; log writes: %s\n",
           server->address, server->worker_count, info.durability != 0 ? "memory" : "disk",
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
    parse_options(argc, argv, &options);

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
