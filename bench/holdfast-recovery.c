/*
 * holdfast-recovery: how fast a log becomes a running engine again. In process: no server, no sockets.
 *
 * `make` writes a log of N records of one mix, through the engine, as a server would have written it;
 * with a snapshot at its end, if asked for. `open` opens the store on it, as a server does when it
 * starts, and tells where the time went. It can be repeated: it adds two blocks without records to
 * the log, and changes nothing else.
 *
 * Exit status: 0 done; 1 the log cannot be opened; 2 bad usage; 3 the log could not be made.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "bench/made_log.h"
#include "bench/options.h"
#include "engine/state_hash.h"
#include "wal/segment_header.h"

#define MAX_RECORDS      1000000000u
#define MAX_INVENTORIES  1000000u
#define MAX_RESERVATIONS 1000000000u
#define MAX_SEGMENT      (1u << 31)
#define TTL_NS           (90 * 24 * 3600 * HF_NS_PER_S)
#define SNAPSHOT_RATE    (1ull << 40) /* bytes a second: as fast as it can */
#define HASH_STEP        100000

/* X(name, text, records a reservation, what becomes of it) */
#define MIXES(X)                                                                                   \
    X(RESERVE, "reserve", 1, "it is granted")                                                      \
    X(HOLD, "hold", 1, "it is held, with a deadline far away")                                     \
    X(CONFIRM, "confirm", 2, "it is held, and confirmed later")                                    \
    X(CANCEL, "cancel", 2, "it is granted, and cancelled later; still retained")

enum mix {
#define X(name, text, records, meaning) MIX_##name,
    MIXES(X)
#undef X
};

static const struct {
    const char *text;
    uint32_t records;
    const char *meaning;
} mixes[] = {
#define X(name, text, records, meaning) {text, records, meaning},
    MIXES(X)
#undef X
};

#define MIX_COUNT (sizeof mixes / sizeof mixes[0])

struct recovery {
    struct hf_store_options store;
    enum mix mix;
    uint32_t records, inventories, customer_limit, lag;
    bool snapshot, json, hash;
};

/* ---- options ---- */

static void print_help(void)
{
    printf("holdfast-recovery: how fast a log becomes a running engine again\n"
           "\n"
           "  holdfast-recovery make --dir DIR [options]   writes a log\n"
           "  holdfast-recovery open --dir DIR [options]   recovers from it, and measures\n"
           "\n"
           "make:\n"
           "  --mix MIX              what becomes of each reservation (reserve):\n");
    for (size_t i = 0; i < MIX_COUNT; i++)
        printf("                           %-8s %s\n", mixes[i].text, mixes[i].meaning);
    printf(
        "  --records N            of reservations (10000000)\n"
        "  --inventories N        that share them (1)\n"
        "  --customer-limit N     units of one customer in an inventory at most; each has one\n"
        "                         (no limit, no counting)\n"
        "  --lag N                reservations made until one is confirmed or cancelled\n"
        "                         (100000)\n"
        "  --segment-bytes N      of the log (16777216)\n"
        "  --snapshot             make one at the end\n"
        "open:\n"
        "  --hash                 tell the state hash, too\n"
        "  --json                 print one JSON object only\n"
        "both:\n"
        "  --max-inventories N    the store's room for inventories (65536)\n"
        "  --max-reservations N   and for reservations (16777216)\n"
        "  --help                 this text\n"
        "\n"
        "open tells: ready, from nothing to an engine that could serve; processor, of all\n"
        "threads; and where the time went, in ns a record. read: files, reading, checksums, in\n"
        "so far as it is not done meanwhile; replay: records applied; derive: what follows from\n"
        "them; start: deadlines filed, customers counted.\n"
        "\n"
        "Exit status: 0 done, 1 the log cannot be opened, 2 bad usage, 3 the log could not be\n"
        "made.\n");
}

static enum mix read_mix(const char *text)
{
    for (size_t i = 0; i < MIX_COUNT; i++)
        if (strcmp(text, mixes[i].text) == 0)
            return (enum mix)i;
    hf_usage_error("--mix wants one of those in --help, not \"%s\"", text);
}

static void read_options(struct recovery *recovery, int argc, char **argv)
{
    enum {
        DIR,
        MIX,
        RECORDS,
        INVENTORIES,
        CUSTOMER_LIMIT,
        LAG,
        SEGMENT,
        SNAPSHOT,
        HASH,
        JSON,
        ROOM_INVENTORIES,
        ROOM_RESERVATIONS,
        HELP
    };
    static const struct option options[] = {
        {"dir", required_argument, NULL, DIR},
        {"mix", required_argument, NULL, MIX},
        {"records", required_argument, NULL, RECORDS},
        {"inventories", required_argument, NULL, INVENTORIES},
        {"customer-limit", required_argument, NULL, CUSTOMER_LIMIT},
        {"lag", required_argument, NULL, LAG},
        {"segment-bytes", required_argument, NULL, SEGMENT},
        {"snapshot", no_argument, NULL, SNAPSHOT},
        {"hash", no_argument, NULL, HASH},
        {"json", no_argument, NULL, JSON},
        {"max-inventories", required_argument, NULL, ROOM_INVENTORIES},
        {"max-reservations", required_argument, NULL, ROOM_RESERVATIONS},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    struct hf_store_options *store = &recovery->store;
    const char *name;
    int which;
    while ((which = hf_option_next(argc, argv, options, &name)) != -1) {
        switch (which) {
        case DIR:
            store->directory = optarg;
            break;
        case MIX:
            recovery->mix = read_mix(optarg);
            break;
        case RECORDS:
            recovery->records = hf_option_count(name, optarg, 1, MAX_RECORDS);
            break;
        case INVENTORIES:
            recovery->inventories = hf_option_count(name, optarg, 1, MAX_INVENTORIES);
            break;
        case CUSTOMER_LIMIT:
            recovery->customer_limit = hf_option_count(name, optarg, 1, HF_MAX_UNITS);
            break;
        case LAG:
            recovery->lag = hf_option_count(name, optarg, 1, MAX_RECORDS);
            break;
        case SEGMENT:
            store->segment_bytes = hf_option_count(name, optarg, HF_SEGMENT_BYTES_MIN, MAX_SEGMENT);
            break;
        case SNAPSHOT:
            recovery->snapshot = true;
            break;
        case HASH:
            recovery->hash = true;
            break;
        case JSON:
            recovery->json = true;
            break;
        case ROOM_INVENTORIES:
            store->max_inventories = hf_option_count(name, optarg, 1, MAX_INVENTORIES);
            break;
        case ROOM_RESERVATIONS:
            store->max_reservations = hf_option_count(name, optarg, 1, MAX_RESERVATIONS);
            break;
        case HELP:
            print_help();
            exit(0);
        }
    }
    if (store->directory == NULL)
        hf_usage_error("--dir is missing");
}

/* ---- make ---- */

/* As unlike each other as random ids are. */
static struct hf_id id_of(uint32_t number)
{
    struct hf_id id = {{0}};
    hf_put_u64(id.bytes, (number + 1) * 0x9e3779b97f4a7c15ull);
    hf_put_u64(id.bytes + 8, (number + 1) * 0xbf58476d1ce4e5b9ull);
    return id;
}

static void call(struct hf_made_log *made, const struct hf_request *request, unsigned expected)
{
    unsigned result = hf_made_log_call(made, request);
    if (result == expected)
        return;
    fprintf(stderr, "holdfast-recovery: %s: %s\n", hf_result_name(result),
            hf_result_meaning(result));
    exit(HF_BENCH_SETUP);
}

static void make_inventory(struct hf_made_log *made, const struct recovery *recovery,
                           uint64_t inventory_id)
{
    const struct hf_request create = {.operation = HF_OP_INVENTORY_CREATE,
                                      .inventory_id = inventory_id,
                                      .capacity = HF_MAX_UNITS};
    call(made, &create, HF_CREATED);
    struct hf_request set = {.operation = HF_OP_INVENTORY_SET, .inventory_id = inventory_id};
    set.change.fields = HF_SET_CUSTOMER_LIMIT;
    set.change.settings.customer_limit = recovery->customer_limit;
    if (recovery->customer_limit != 0)
        call(made, &set, HF_SET);
}

static void make_reservation(struct hf_made_log *made, const struct recovery *recovery,
                             uint32_t number)
{
    bool holds = recovery->mix == MIX_HOLD || recovery->mix == MIX_CONFIRM;
    HF_CHECK(recovery->inventories != 0); /* read_options() */
    const struct hf_request request = {
        .operation = holds ? HF_OP_HOLD : HF_OP_RESERVE,
        .id = id_of(number),
        .inventory_id = 1 + number % recovery->inventories,
        .customer_id = number,
        .qty = 1,
        .ttl_ns = holds ? TTL_NS : 0,
    };
    call(made, &request, HF_GRANTED);
}

static void resolve_reservation(struct hf_made_log *made, const struct recovery *recovery,
                                uint32_t number)
{
    bool confirms = recovery->mix == MIX_CONFIRM;
    const struct hf_request request = {
        .operation = confirms ? HF_OP_CONFIRM : HF_OP_CANCEL,
        .id = id_of(number),
    };
    call(made, &request, confirms ? HF_CONFIRMED : HF_CANCELLED);
}

static void make_records(struct hf_made_log *made, const struct recovery *recovery)
{
    uint32_t count = recovery->records / mixes[recovery->mix].records, lag = recovery->lag;
    bool resolves = mixes[recovery->mix].records == 2;
    for (uint64_t id = 1; id <= recovery->inventories; id++)
        make_inventory(made, recovery, id);
    for (uint64_t turn = 0; turn < (uint64_t)count + (resolves ? lag : 0); turn++) {
        if (turn < count)
            make_reservation(made, recovery, (uint32_t)turn);
        if (resolves && turn >= lag)
            resolve_reservation(made, recovery, (uint32_t)(turn - lag));
    }
}

static int make_log(struct recovery *recovery)
{
    struct hf_made_log made;
    char error[HF_LOG_ERROR_BYTES] = "out of memory";
    recovery->store.snapshot_log_bytes = UINT64_MAX;
    recovery->store.snapshot_rate = SNAPSHOT_RATE;
    if (hf_made_log_open(&made, &recovery->store, error) != 0) {
        fprintf(stderr, "holdfast-recovery: %s\n", error);
        return HF_BENCH_SETUP;
    }
    make_records(&made, recovery);
    if (recovery->snapshot && !hf_made_log_snapshot(&made)) {
        fprintf(stderr, "holdfast-recovery: the snapshot cannot be written\n");
        hf_made_log_close(&made);
        return HF_BENCH_SETUP;
    }
    int result = hf_made_log_close(&made);
    if (result != 0)
        fprintf(stderr, "holdfast-recovery: cannot end the log: %s\n", strerror(-result));
    return result == 0 ? 0 : HF_BENCH_SETUP;
}

/* ---- open ---- */

struct figures {
    uint64_t records, snapshot_records, reservations;
    double ready_s, processor_s, million_s;
    double read_ns, replay_ns, derive_ns, start_ns; /* a record */
    long resident_mib;
    uint64_t hash;
};

static uint64_t state_hash(const struct hf_region *region)
{
    struct hf_state_hash hash;
    if (hf_state_hash_begin(&hash, region, 0) != 0)
        return 0;
    enum hf_hashing hashing;
    do
        hashing = hf_state_hash_step(&hash, region, HASH_STEP);
    while (hashing == HF_HASHING_MORE);
    hf_state_hash_end(&hash);
    return hash.sum;
}

/* Of a store that was just opened, in so much time. */
static void take_figures(const struct hf_store *store, uint64_t ready_ns, uint64_t processor_ns,
                         struct figures *figures)
{
    const struct hf_log_recovery *found = &store->log.recovery;
    const struct hf_store_phases *phases = &store->phases;
    double records = (double)(found->records + found->snapshot_records);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (records < 1)
        records = 1;
    *figures = (struct figures){
        .records = found->records,
        .snapshot_records = found->snapshot_records,
        .reservations = store->recovered_reservations,
        .ready_s = (double)ready_ns / (double)HF_NS_PER_S,
        .processor_s = (double)processor_ns / (double)HF_NS_PER_S,
        .million_s = records * 1000 / (double)store->recovery_ns,
        .read_ns = (double)phases->read_ns / records,
        .replay_ns = (double)phases->replay_ns / records,
        .derive_ns = (double)phases->derive_ns / records,
        .start_ns = (double)phases->start_ns / records,
        .resident_mib = usage.ru_maxrss / 1024,
    };
}

static void print_json(const struct recovery *recovery, const struct figures *figures)
{
    printf("{\"records\":%" PRIu64 ",\"snapshot_records\":%" PRIu64 ",\"reservations\":%" PRIu64
           ",\"ready_seconds\":%.6f,\"processor_seconds\":%.6f,"
           "\"million_records_per_second\":%.3f,"
           "\"read_ns\":%.1f,\"replay_ns\":%.1f,\"derive_ns\":%.1f,\"start_ns\":%.1f,"
           "\"resident_mib\":%ld",
           figures->records, figures->snapshot_records, figures->reservations, figures->ready_s,
           figures->processor_s, figures->million_s, figures->read_ns, figures->replay_ns,
           figures->derive_ns, figures->start_ns, figures->resident_mib);
    if (recovery->hash)
        printf(",\"state_hash\":\"%016" PRIx64 "\"", figures->hash);
    printf("}\n");
}

static void print_text(const struct recovery *recovery, const struct figures *figures)
{
    printf("%" PRIu64 " records of the log, %" PRIu64 " of a snapshot; %" PRIu64
           " reservations retained\n"
           "ready in %.3f s, processor %.3f s, %.2f M records/s, resident %ld MiB\n"
           "ns a record: read %.1f, replay %.1f, derive %.1f, start %.1f\n",
           figures->records, figures->snapshot_records, figures->reservations, figures->ready_s,
           figures->processor_s, figures->million_s, figures->resident_mib, figures->read_ns,
           figures->replay_ns, figures->derive_ns, figures->start_ns);
    if (recovery->hash)
        printf("state hash %016" PRIx64 "\n", figures->hash);
}

static int open_log(struct recovery *recovery)
{
    struct hf_store *store;
    struct figures figures;
    char error[HF_LOG_ERROR_BYTES];
    recovery->store.snapshot_log_bytes = UINT64_MAX;
    uint64_t started_ns = hf_monotonic_now_ns();
    uint64_t processor_ns = hf_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (hf_store_open(&store, &recovery->store, error) != 0) {
        fprintf(stderr, "holdfast-recovery: %s\n", error);
        return HF_BENCH_WRONG;
    }
    take_figures(store, hf_monotonic_now_ns() - started_ns,
                 hf_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - processor_ns, &figures);
    if (recovery->hash)
        figures.hash = state_hash(&store->engine.region);
    if (recovery->json)
        print_json(recovery, &figures);
    else
        print_text(recovery, &figures);
    return hf_store_close(store) == 0 ? 0 : HF_BENCH_WRONG;
}

int main(int argc, char **argv)
{
    struct recovery recovery = {.records = 10000000, .inventories = 1, .lag = 100000};
    if (argc < 2)
        hf_usage_error("make or open?");
    if (strcmp(argv[1], "--help") == 0) {
        print_help();
        return 0;
    }
    const char *verb = argv[1];
    read_options(&recovery, argc - 1, argv + 1);
    if (strcmp(verb, "make") == 0)
        return make_log(&recovery);
    if (strcmp(verb, "open") == 0)
        return open_log(&recovery);
    hf_usage_error("\"%s\" is not make or open", verb);
}
