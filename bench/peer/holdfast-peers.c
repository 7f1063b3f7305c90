/*
 * holdfast-peers: puts the same bookings on something else than Holdfast, and measures them as
 * holdfast-bench does. bench/peers runs both.
 *
 * Before the load one inventory with two units shows that the peer decides as it should: granted,
 * the same again, the same id for somebody else, two other ids. After the load the peer is asked
 * what is left: available = capacity - granted, and as many reservations more as were granted.
 *
 * Exit status: 0 measured; 1 measured, but something was not as it should be; 2 bad usage; 3 the
 * load could not be set up, or gave up.
 */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/atomics.h"
#include "base/clock.h"
#include "bench/options.h"
#include "bench/peer/closed_loop.h"

#define MAX_CONNECTIONS 1000
#define MAX_DEPTH       1024
#define MAX_INVENTORIES 1000000
#define MAX_CUSTOMERS   (1u << 28)
#define MAX_CAPACITY    1000000000
#define MAX_SECONDS     86400.0
#define RUN_ID_MASK     ((1ull << 40) - 1)
#define TRIAL_IDS       3

static _Atomic uint32_t stop; /* set by a signal */

static const struct hf_peer *const peers[] = {&hf_peer_redis, &hf_peer_postgres,
                                              &hf_peer_postgres_for_update, &hf_peer_tarantool};

#define PEER_COUNT (sizeof peers / sizeof peers[0])

struct run {
    struct hf_peer_plan plan;
    bool refuse, json, verified;
    struct hf_peer_counts before, after;
    struct hf_peer_result result;
};

static void print_help(void)
{
    printf("holdfast-peers: puts bookings on something else than Holdfast and measures them\n"
           "\n"
           "  holdfast-peers --peer PEER --server HOST:PORT [options]\n"
           "\n"
           "  --peer PEER          what is asked, and how:\n");
    for (size_t i = 0; i < PEER_COUNT; i++)
        printf("      %-20s %s\n", peers[i]->name, peers[i]->meaning);
    printf(
        "  --server HOST:PORT   where it is (PostgreSQL: as $PGUSER, into $PGDATABASE; both\n"
        "                       are postgres if they are not set)\n"
        "  --op OP              reserve: one place under a new id; refuse: the same of\n"
        "                       inventories that are sold out (reserve)\n"
        "  --connections C      connections (50)\n"
        "  --depth D            bookings in flight on each (64)\n"
        "  --seconds S          measured time (5)\n"
        "  --warmup S           time before it that is not counted (0.5)\n"
        "  --inventories N      spread over so many new inventories (1)\n"
        "  --capacity N         places in each (%d)\n"
        "  --customers N        customers who ask (1000000)\n"
        "  --json               print one JSON object only\n"
        "  --help               this text\n"
        "\n"
        "Every run makes inventories and ids of its own, which stay where they were made: use a\n"
        "server that is there for this only. Exit status: 0 measured, 1 measured but something\n"
        "was wrong, 2 bad usage, 3 could not be set up, or gave up.\n",
        MAX_CAPACITY);
}

static uint64_t read_seconds_ns(const char *option, const char *text, bool zero_allowed)
{
    char *end;
    double value = strtod(text, &end);
    bool right = end != text && *end == '\0' && isfinite(value) && value <= MAX_SECONDS &&
                 (value > 0 || (zero_allowed && value == 0));
    if (!right)
        hf_usage_error("--%s wants a number of seconds, not \"%s\"", option, text);
    return (uint64_t)(value * (double)HF_NS_PER_S);
}

static const struct hf_peer *read_peer(const char *text)
{
    for (size_t i = 0; i < PEER_COUNT; i++)
        if (strcmp(peers[i]->name, text) == 0)
            return peers[i];
    hf_usage_error("--peer \"%s\" is unknown", text);
}

static bool read_refuse(const char *text)
{
    if (strcmp(text, "refuse") != 0 && strcmp(text, "reserve") != 0)
        hf_usage_error("--op \"%s\" is unknown", text);
    return strcmp(text, "refuse") == 0;
}

enum option_number {
    PEER,
    SERVER,
    OP,
    CONNECTIONS,
    DEPTH,
    SECONDS,
    WARMUP,
    INVENTORIES,
    CAPACITY,
    CUSTOMERS,
    JSON,
    HELP
};

static void take_option(struct run *run, enum option_number which, const char *name)
{
    struct hf_peer_plan *plan = &run->plan;
    switch (which) {
    case PEER:
        plan->peer = read_peer(optarg);
        break;
    case SERVER:
        plan->server = optarg;
        break;
    case OP:
        run->refuse = read_refuse(optarg);
        break;
    case CONNECTIONS:
        plan->connections = hf_option_count(name, optarg, 1, MAX_CONNECTIONS);
        break;
    case DEPTH:
        plan->depth = hf_option_count(name, optarg, 1, MAX_DEPTH);
        break;
    case SECONDS:
        plan->measured_ns = read_seconds_ns(name, optarg, false);
        break;
    case WARMUP:
        plan->warmup_ns = read_seconds_ns(name, optarg, true);
        break;
    case INVENTORIES:
        plan->stock.count = hf_option_count(name, optarg, 1, MAX_INVENTORIES);
        break;
    case CAPACITY:
        plan->stock.available = hf_option_count(name, optarg, 1, MAX_CAPACITY);
        break;
    case CUSTOMERS:
        plan->customers = hf_option_count(name, optarg, 1, MAX_CUSTOMERS);
        break;
    case JSON:
        run->json = true;
        break;
    case HELP:
        print_help();
        exit(0);
    }
}

static void read_options(struct run *run, int argc, char **argv)
{
    static const struct option options[] = {
        {"peer", required_argument, NULL, PEER},
        {"server", required_argument, NULL, SERVER},
        {"op", required_argument, NULL, OP},
        {"connections", required_argument, NULL, CONNECTIONS},
        {"depth", required_argument, NULL, DEPTH},
        {"seconds", required_argument, NULL, SECONDS},
        {"warmup", required_argument, NULL, WARMUP},
        {"inventories", required_argument, NULL, INVENTORIES},
        {"capacity", required_argument, NULL, CAPACITY},
        {"customers", required_argument, NULL, CUSTOMERS},
        {"json", no_argument, NULL, JSON},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    const char *name;
    int which;
    while ((which = hf_option_next(argc, argv, options, &name)) != -1)
        take_option(run, (enum option_number)which, name);
    if (!run->plan.peer || !run->plan.server)
        hf_usage_error("--peer and --server are needed");
    if (run->refuse)
        run->plan.stock.available = 0;
}

/* Ids of inventories and bookings that no other run has. */
static void choose_ids(struct hf_peer_stock *stock)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = hf_date_now_ns();
    stock->first_id = 1 + (random & RUN_ID_MASK);
}

/* Asks one booking and holds the outcome against the one that is right. */
static int expect(const struct run *run, struct hf_peer_link *link,
                  const struct hf_peer_booking *booking, enum hf_peer_outcome right)
{
    enum hf_peer_outcome outcome;
    if (hf_peer_ask_one(run->plan.peer, link, booking, &outcome) < 0)
        return -1;
    if (outcome == right)
        return 0;
    return HF_PEER_FAIL("%s does not decide as it should: %s where %s is right",
                        run->plan.peer->name, hf_peer_outcome_name(outcome),
                        hf_peer_outcome_name(right));
}

/* Shows that the peer decides as it should, on an inventory of its own behind those of the run. */
static int try_out(const struct run *run)
{
    struct hf_peer_plan trial = run->plan;
    struct hf_peer_booking bookings[TRIAL_IDS], other;
    trial.stock = (struct hf_peer_stock){
        .first_id = run->plan.stock.first_id + MAX_INVENTORIES, .count = 1, .available = 2};
    for (uint64_t i = 0; i < TRIAL_IDS; i++)
        hf_peer_booking_make(&trial, i, bookings + i);
    other = bookings[0];
    other.customer_id++;
    if (trial.peer->make_stock(trial.server, &trial.stock) < 0)
        return -1;
    struct hf_peer_link *link = trial.peer->open(trial.server, 1);
    if (!link)
        return -1;
    int result = expect(run, link, bookings, HF_PEER_GRANTED);
    if (result == 0) /* although another unit is there */
        result = expect(run, link, bookings, HF_PEER_REPEATED);
    if (result == 0)
        result = expect(run, link, &other, HF_PEER_CONFLICT);
    if (result == 0)
        result = expect(run, link, bookings + 1, HF_PEER_GRANTED);
    if (result == 0)
        result = expect(run, link, bookings + 2, HF_PEER_REFUSED);
    bookings[2].inventory_id++;
    if (result == 0)
        result = expect(run, link, bookings + 2, HF_PEER_NO_INVENTORY);
    trial.peer->close(link);
    return result;
}

/* What the peer has left, and what it has noted, is what it said. */
static void verify(struct run *run)
{
    const struct hf_peer_stock *stock = &run->plan.stock;
    int64_t granted = (int64_t)run->result.granted_in_all;
    int64_t left = (int64_t)stock->count * stock->available - granted;
    int64_t noted = (int64_t)(run->after.reservations - run->before.reservations);
    run->verified = run->after.available == left && noted == granted;
    if (run->verified)
        return;
    run->result.errors++;
    hf_peer_say("%s: %" PRId64 " were granted, and %" PRId64 " reservations are there, %" PRId64
                " units are left of %" PRId64,
                run->plan.peer->name, granted, noted, run->after.available, left + granted);
}

static double percentile_us(const struct run *run, unsigned per_mille)
{
    return (double)hf_histogram_percentile_ns(&run->result.latencies, per_mille) /
           (double)HF_NS_PER_US;
}

/* The fields of holdfast-bench, and two more. */
static void print_result(const struct run *run)
{
    const struct hf_peer_plan *plan = &run->plan;
    const struct hf_peer_result *result = &run->result;
    double seconds = (double)result->measured_ns / (double)HF_NS_PER_S;
    double answered = (double)(result->granted + result->refused);
    double per_second = seconds > 0 ? answered / seconds : 0;
    double busy =
        result->measured_ns > 0 ? 100.0 * (double)result->cpu_ns / (double)result->measured_ns : 0;
    const char *format =
        run->json ? "{\"op\":\"%s\",\"connections\":%u,\"depth\":%u,\"per_second\":%.1f,"
                    "\"granted\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"errors\":%" PRIu64 ","
                    "\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,"
                    "\"seconds\":%.3f,\"inventories\":%u,\"capacity\":%u,\"threads\":1,"
                    "\"client_cpu_percent\":%.1f,\"peer\":\"%s\",\"verified\":%s}\n"
                  : "%s: %u connections x %u in flight\n%.0f per second, %" PRIu64
                    " granted, %" PRIu64 " refused, %" PRIu64 " errors\n"
                    "p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n"
                    "%.3f s, %u inventories of %u; bench busy %.0f%%; %s; verified: %s\n";
    printf(format, run->refuse ? "refuse" : "reserve", plan->connections, plan->depth, per_second,
           result->granted, result->refused, result->errors, percentile_us(run, 500),
           percentile_us(run, 990), percentile_us(run, 999),
           (double)result->latencies.max_ns / (double)HF_NS_PER_US, seconds, plan->stock.count,
           plan->stock.available, busy, plan->peer->name, run->verified ? "true" : "false");
}

static void on_signal(int signal_number)
{
    (void)signal_number;
    hf_store_relaxed(&stop, 1); /* relaxed: nothing else is told by it */
}

int main(int argc, char **argv)
{
    static struct run run = {.plan = {.connections = 50,
                                      .depth = 64,
                                      .customers = 1000000,
                                      .stock = {.count = 1, .available = MAX_CAPACITY},
                                      .warmup_ns = HF_NS_PER_S / 2,
                                      .measured_ns = 5 * HF_NS_PER_S}};
    const struct sigaction action = {.sa_handler = on_signal};
    read_options(&run, argc, argv);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    const struct hf_peer *peer = run.plan.peer;
    choose_ids(&run.plan.stock);
    if (try_out(&run) < 0 || peer->make_stock(run.plan.server, &run.plan.stock) < 0 ||
        peer->count(run.plan.server, &run.plan.stock, &run.before) < 0 ||
        hf_peer_loop_run(&run.plan, &stop, &run.result) < 0 ||
        peer->count(run.plan.server, &run.plan.stock, &run.after) < 0)
        return HF_BENCH_SETUP;
    verify(&run);
    print_result(&run);
    return run.result.errors != 0 ? HF_BENCH_WRONG : 0;
}
