/* The command line of holdfastd; see command_line.h. */
#include "net/command_line.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/command.h"

enum { EXIT_USAGE = 2 };

#define MAX_BUSY_POLL_NS (10 * HF_NS_PER_MS)

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
    "  --workers N             threads that serve, 1 to 64              [one for every two CPUs]\n"
    "  --busy-poll DURATION    how long a worker without work asks for more before it sleeps: a\n"
    "                          little less latency for a lot of CPU, where there are CPUs to\n"
    "                          spare; up to 10ms, such as 50us                [0s: it sleeps]\n"
    "  --durability disk       acknowledge when the disk has the record       [disk]\n"
    "               memory     acknowledge when the record is in the log's buffer, which is on "
    "the\n"
    "                          disk within 10 ms. A crash of the server or of the machine then\n"
    "                          loses what was acknowledged in these last milliseconds: customers\n"
    "                          who were told \"yes\" may have nothing.\n"
    "  --max-inventories N     1 to 16777216                                  [65536]\n"
    "  --max-reservations N    1 to 2147418112; memory is paid as it is used, [16777216]\n"
    "                          up to 96 bytes each, of which 4 to 8 are taken at once\n"
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
    "  --writes-in-flight N    log writes at once, 1 to 8       [3]\n"
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

static uint64_t parse_busy_poll(const char *text)
{
    uint64_t duration_ns;
    if (hf_duration_parse(text, &duration_ns) && duration_ns <= MAX_BUSY_POLL_NS)
        return duration_ns;
    fprintf(stderr,
            "holdfastd: --busy-poll %s: must be a duration up to 10ms, such as 50us; 0s: off\n",
            text);
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

static const struct option known[] = {
    {"dir", required_argument, NULL, 'd'},
    {"listen", required_argument, NULL, 'l'},
    {"workers", required_argument, NULL, 'w'},
    {"busy-poll", required_argument, NULL, 'B'},
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

/* What the store keeps, and for how long. False: the option is not one of these. */
static bool take_store_option(int choice, const char *name, struct hf_store_options *store)
{
    switch (choice) {
    case 'd':
        store->directory = optarg;
        return true;
    case 'D':
        store->durability = parse_durability(optarg);
        return true;
    case 'i':
        store->max_inventories = (uint32_t)parse_number(name, optarg, 1, 1u << 24);
        return true;
    case 'r':
        store->max_reservations = (uint32_t)parse_number(name, optarg, 1, (1u << 31) - (1u << 16));
        return true;
    case 'R':
        store->retain_ns = parse_duration(name, optarg);
        return true;
    default:
        return false;
    }
}

/* How its log is written, bounded and archived. Likewise. */
static bool take_log_option(int choice, const char *name, struct hf_store_options *store)
{
    switch (choice) {
    case 's':
        store->segment_bytes = parse_segment_bytes(name, optarg);
        return true;
    case 'L':
        store->log_writes = parse_log_writes(optarg);
        return true;
    case 'f':
        store->writes_inflight = (uint32_t)parse_number(name, optarg, 1, HF_MAX_INFLIGHT);
        return true;
    case 'a':
        store->snapshot_log_bytes = strcmp(optarg, "never") == 0
                                        ? UINT64_MAX
                                        : parse_number(name, optarg, 1 << 20, 1ull << 50);
        return true;
    case 'e':
        store->snapshot_interval_ns = parse_duration(name, optarg);
        return true;
    case 'b':
        store->snapshot_rate = parse_number(name, optarg, 1 << 20, 1ull << 40);
        return true;
    case 'A':
        store->archive_command = parse_archive_command(optarg);
        return true;
    default:
        return false;
    }
}

static bool take_server_option(int choice, const char *name, struct hf_server_options *options)
{
    switch (choice) {
    case 'l':
        options->listen = optarg;
        return true;
    case 'w':
        options->workers = (uint32_t)parse_number(name, optarg, 1, HF_MAX_WORKERS);
        return true;
    case 'B':
        options->busy_poll_ns = parse_busy_poll(optarg);
        return true;
    case 'h':
        fputs(usage_text, stdout);
        exit(0);
    case 'v':
        puts("holdfastd " HF_VERSION);
        exit(0);
    default:
        return false;
    }
}

void hf_command_line_parse(int argc, char **argv, struct hf_server_options *options)
{
    int choice, index = 0;
    while ((choice = getopt_long(argc, argv, ":", known, &index)) != -1) {
        const char *name = choice == '?' || choice == ':' ? "" : known[index].name;
        if (!take_store_option(choice, name, &options->store) &&
            !take_log_option(choice, name, &options->store) &&
            !take_server_option(choice, name, options))
            refuse_option(choice, argv[optind - 1]);
    }
    if (optind != argc) {
        fprintf(stderr, "holdfastd: unexpected argument %s; see holdfastd --help\n", argv[optind]);
        exit(EXIT_USAGE);
    }
}
