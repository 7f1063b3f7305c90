/*
 * holdfast-expiry: how long after its deadline a lapsed hold's units can be had again.
 *
 * Makes a great many holds on a running server, all before the first of their deadlines; then, while
 * they lapse, a watcher takes the time from the committed records (bench/watcher.h), and a prober
 * from outside, as a customer would (bench/prober.h). Meanwhile other connections may put a full load
 * on other inventories. Both check while they measure; at the end every unit must be back.
 *
 * Exit status: 0 measured; 1 measured, but something was not as it should be; 2 bad usage; 3 it could
 * not be set up.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load.h"
#include "bench/options.h"
#include "bench/prober.h"
#include "bench/sleeper.h"
#include "bench/watcher.h"

#define MAX_HOLDS        100000000u
#define MAX_INVENTORIES  (HF_WATCHER_MAX_WATCHES * HF_MAX_WATCH_IDS)
#define LANES            8 /* connections that make the holds */
#define LOAD_INVENTORIES 1000
#define LOAD_CUSTOMERS   1000000
#define LEAST_REST_NS    (500 * HF_NS_PER_MS) /* between the last hold made and the first deadline */
#define LOAD_AHEAD_NS    (1 * HF_NS_PER_S)  /* the load begins so long before the first deadline */
#define PATIENCE_NS      (70 * HF_NS_PER_S) /* after the last deadline */
#define STEP_NS          (50 * HF_NS_PER_MS)

struct expiry {
    const char *server;
    bool json, with_load;
    uint64_t from_ns, to_ns; /* of the deadlines, after the start */
    struct hf_info info;     /* at the start */
    struct hf_server_time time;
    struct hf_holds holds;
    struct hf_load_plan load_plan;
    struct hf_load_clock load_clock;
    struct hf_load *load;
    pthread_t load_thread;
    struct hf_watcher watcher;
    struct hf_prober prober;
    struct hf_sleeper sleeper;
    double make_seconds;
    uint64_t drift_ns;          /* of the server's clock against ours, over the run */
    uint64_t missing;           /* holds of which no end was told */
    uint64_t first_ns, last_ns; /* deadlines of those that lapsed */
    bool units_wrong;
};

/* ---- options ---- */

static void print_help(void)
{
    printf(
        "holdfast-expiry: how long after its deadline a lapsed hold's units can be had again\n"
        "\n"
        "  holdfast-expiry [options]\n"
        "\n"
        "  --server HOST:PORT   the server (127.0.0.1:%d)\n"
        "  --holds N            holds (1000000)\n"
        "  --inventories N      that share them (1000)\n"
        "  --alone N            of the holds are alone in an inventory of one unit, which\n"
        "                       somebody else claims from the deadline on (2000)\n"
        "  --raced N            of the holds are confirmed at the deadline (2000)\n"
        "  --confirmed PERCENT  of the others are confirmed long before it (5)\n"
        "  --extended PERCENT   of the others are extended long before it (5)\n"
        "  --from DURATION      the first deadline, after the start: time enough to make all\n"
        "                       holds (20s)\n"
        "  --to DURATION        the last; the same as --from: all at once (40s)\n"
        "  --load               meanwhile, a full load of reservations of other inventories\n"
        "  --connections C      of the load (50)\n"
        "  --depth D            requests of the load in flight on each (64)\n"
        "  --json               print one JSON object only\n"
        "  --help               this text\n"
        "\n"
        "Times are from the deadline on. noticed: until the server gave the unit back, by the\n"
        "record of the expiry; committed: until that record was here; decided: until the server\n"
        "gave the unit to somebody else; answered: until that answer was here. machine: how late\n"
        "a thread wakes here that does nothing but sleep meanwhile.\n"
        "\n"
        "Every run makes inventories and ids of its own, which stay on the server. Exit status:\n"
        "0 measured, 1 measured but something was wrong, 2 bad usage, 3 could not be set up.\n",
        HF_DEFAULT_PORT);
}

static void check_options(const struct expiry *expiry)
{
    const struct hf_holds *holds = &expiry->holds;
    if ((uint64_t)holds->alone + holds->raced > holds->count)
        hf_usage_error("--alone %u and --raced %u need as many --holds", holds->alone,
                       holds->raced);
    if (holds->confirmed_percent + holds->extended_percent > 100)
        hf_usage_error("--confirmed and --extended are more than 100 percent together");
    if (expiry->from_ns > expiry->to_ns || expiry->to_ns >= HF_MAX_TTL_NS)
        hf_usage_error("--to wants a time from --from to 100 days");
    if (expiry->from_ns < LEAST_REST_NS)
        hf_usage_error("--from wants 500ms at least");
}

static void read_options(struct expiry *expiry, int argc, char **argv)
{
    enum {
        SERVER,
        HOLDS,
        INVENTORIES,
        ALONE,
        RACED,
        CONFIRMED,
        EXTENDED,
        FROM,
        TO,
        LOAD,
        CONNECTIONS,
        DEPTH,
        JSON,
        HELP
    };
    static const struct option options[] = {
        {"server", required_argument, NULL, SERVER},
        {"holds", required_argument, NULL, HOLDS},
        {"inventories", required_argument, NULL, INVENTORIES},
        {"alone", required_argument, NULL, ALONE},
        {"raced", required_argument, NULL, RACED},
        {"confirmed", required_argument, NULL, CONFIRMED},
        {"extended", required_argument, NULL, EXTENDED},
        {"from", required_argument, NULL, FROM},
        {"to", required_argument, NULL, TO},
        {"load", no_argument, NULL, LOAD},
        {"connections", required_argument, NULL, CONNECTIONS},
        {"depth", required_argument, NULL, DEPTH},
        {"json", no_argument, NULL, JSON},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    struct hf_holds *holds = &expiry->holds;
    const char *name;
    int which;
    while ((which = hf_option_next(argc, argv, options, &name)) != -1) {
        switch (which) {
        case SERVER:
            expiry->server = optarg;
            break;
        case HOLDS:
            holds->count = hf_option_count(name, optarg, 1, MAX_HOLDS);
            break;
        case INVENTORIES:
            holds->shared = hf_option_count(name, optarg, 1, MAX_INVENTORIES / 2);
            break;
        case ALONE:
            holds->alone = hf_option_count(name, optarg, 0, MAX_INVENTORIES / 2);
            break;
        case RACED:
            holds->raced = hf_option_count(name, optarg, 0, MAX_HOLDS);
            break;
        case CONFIRMED:
            holds->confirmed_percent = hf_option_count(name, optarg, 0, 100);
            break;
        case EXTENDED:
            holds->extended_percent = hf_option_count(name, optarg, 0, 100);
            break;
        case FROM:
            expiry->from_ns = hf_option_duration_ns(name, optarg);
            break;
        case TO:
            expiry->to_ns = hf_option_duration_ns(name, optarg);
            break;
        case LOAD:
            expiry->with_load = true;
            break;
        case CONNECTIONS:
            expiry->load_plan.connections = hf_option_count(name, optarg, 1, 10000);
            break;
        case DEPTH:
            expiry->load_plan.depth = hf_option_count(name, optarg, 1, HF_LOAD_MAX_DEPTH);
            break;
        case JSON:
            expiry->json = true;
            break;
        case HELP:
            print_help();
            exit(0);
        }
    }
    check_options(expiry);
}

/* ---- setting up ---- */

static int set_up_error(const char *what, int result)
{
    fprintf(stderr, "holdfast-expiry: %s: %s\n", what, strerror(-result));
    return HF_BENCH_SETUP;
}

/* Finds the server, and its clock. 0 or an exit status. */
static int reach(struct expiry *expiry)
{
    int link = hf_link_open(expiry->server, &expiry->load_plan.address);
    if (link < 0)
        return HF_BENCH_SETUP;
    close(link);
    return 0;
}

static int ask_time(const char *server, struct hf_server_time *time, struct hf_info *info)
{
    const struct hf_client_options options = {.server = server};
    struct hf_client *client;
    int opened = hf_client_open(&options, &client);
    if (opened != 0)
        return set_up_error("cannot make a client", opened);
    unsigned result = hf_server_time_ask(time, client, info);
    hf_client_close(client);
    if (result == HF_FOUND)
        return 0;
    fprintf(stderr, "holdfast-expiry: the server does not tell its time: %s: %s\n",
            hf_result_name(result), hf_result_meaning(result));
    return HF_BENCH_SETUP;
}

static void ask_load_inventory(void *context, uint32_t number, struct hf_request *request)
{
    const struct hf_load_plan *plan = context;
    request->operation = HF_OP_INVENTORY_CREATE;
    request->inventory_id = plan->first_inventory_id + number;
    request->capacity = plan->capacity;
}

static bool take_load_inventory(void *context, uint32_t number, const struct hf_reply *reply)
{
    (void)context;
    if (reply->result == HF_CREATED)
        return true;
    fprintf(stderr, "holdfast-expiry: inventory %u of the load: %s: %s\n", number,
            hf_result_name(reply->result), hf_result_meaning(reply->result));
    return false;
}

/* Everything that the load needs, but its start. */
static int prepare_load(struct expiry *expiry, struct hf_drive *drive)
{
    const struct hf_drive_work work = {.count = expiry->load_plan.inventories,
                                       .ask = ask_load_inventory,
                                       .take = take_load_inventory,
                                       .context = &expiry->load_plan};
    if (!hf_drive_run(drive, &work, HF_DRIVE_DEPTH))
        return HF_BENCH_SETUP;
    int result = hf_load_open(&expiry->load_plan, &expiry->load_clock, 0, &expiry->load);
    return result == 0 ? 0 : set_up_error("cannot open the connections of the load", result);
}

/* Inventories, the watcher, and the holds. */
static int make_holds(struct expiry *expiry, struct hf_drive *drive)
{
    struct hf_holds *holds = &expiry->holds;
    if (!hf_holds_make_inventories(holds, drive))
        return HF_BENCH_SETUP;
    int result = hf_watcher_start(&expiry->watcher, expiry->server, holds, &expiry->time);
    if (result == -EIO)
        return HF_BENCH_SETUP;
    if (result != 0)
        return set_up_error("cannot start the watcher", result);
    uint64_t start_ns = hf_server_time_now_ns(&expiry->time);
    holds->begin_ns = start_ns + expiry->from_ns;
    holds->end_ns = start_ns + expiry->to_ns;
    if (!hf_holds_make(holds, drive) || !hf_holds_extend(holds, drive) ||
        !hf_holds_confirm(holds, drive))
        return HF_BENCH_SETUP;
    uint64_t now_ns = hf_server_time_now_ns(&expiry->time);
    expiry->make_seconds = (double)(now_ns - start_ns) / (double)HF_NS_PER_S;
    if (now_ns + LEAST_REST_NS <= holds->begin_ns)
        return 0;
    fprintf(stderr,
            "holdfast-expiry: it took %.1f s to make the holds: give it time, with --from and "
            "--to\n",
            expiry->make_seconds);
    return HF_BENCH_SETUP;
}

/* ---- measuring ---- */

static void sleep_step(void)
{
    const struct timespec step = {.tv_nsec = (long)STEP_NS};
    nanosleep(&step, NULL);
}

static int start_load(struct expiry *expiry)
{
    while (hf_server_time_now_ns(&expiry->time) + LOAD_AHEAD_NS < expiry->holds.begin_ns)
        sleep_step();
    /* Relaxed: the thread that reads them is made below. */
    hf_store_relaxed(&expiry->load_clock.begin_ns, hf_monotonic_now_ns());
    hf_store_relaxed(&expiry->load_clock.end_ns, UINT64_MAX);
    int result = hf_load_start(expiry->load, &expiry->load_thread);
    return result == 0 ? 0 : set_up_error("cannot start the load", result);
}

static bool all_ended(const struct expiry *expiry)
{
    const struct hf_watcher *watcher = &expiry->watcher;
    /* Acquire, all: pairs with the threads' own words for it. */
    return hf_load_acquire(&watcher->resolved) >= expiry->holds.count &&
           hf_load_acquire(&watcher->others) >= expiry->holds.alone &&
           hf_load_acquire(&expiry->prober.done);
}

/* Until all holds have ended, or it makes no sense to wait any longer. */
static void wait_for_end(const struct expiry *expiry)
{
    uint64_t until_ns = expiry->holds.end_ns + PATIENCE_NS;
    while (!all_ended(expiry) && !hf_load_acquire(&expiry->watcher.failed) &&
           hf_server_time_now_ns(&expiry->time) < until_ns)
        sleep_step();
}

/* While the holds lapse. 0 or an exit status. */
static int measure(struct expiry *expiry)
{
    int result = hf_prober_start(&expiry->prober, expiry->server, &expiry->holds, &expiry->time);
    if (result != 0) {
        hf_watcher_stop(&expiry->watcher);
        return set_up_error("cannot start the prober", result);
    }
    bool loaded = expiry->with_load && start_load(expiry) == 0;
    bool sleeps = hf_sleeper_start(&expiry->sleeper) == 0;
    wait_for_end(expiry);
    if (sleeps)
        hf_sleeper_stop(&expiry->sleeper);
    if (loaded) {
        hf_load_end(&expiry->load_clock, hf_monotonic_now_ns());
        pthread_join(expiry->load_thread, NULL);
    }
    hf_prober_join(&expiry->prober);
    hf_watcher_stop(&expiry->watcher);
    return loaded == expiry->with_load ? 0 : HF_BENCH_SETUP;
}

static void look_at_deadlines(struct expiry *expiry)
{
    const struct hf_watcher *watcher = &expiry->watcher;
    expiry->first_ns = UINT64_MAX;
    for (uint32_t number = 0; number < expiry->holds.count; number++) {
        uint64_t deadline_ns = watcher->deadlines_ns[number];
        if (watcher->states[number] != HF_STATE_EXPIRED) {
            expiry->missing += watcher->states[number] != HF_STATE_CONFIRMED;
            continue;
        }
        expiry->missing += deadline_ns != expiry->holds.deadlines_ns[number];
        if (deadline_ns < expiry->first_ns)
            expiry->first_ns = deadline_ns;
        if (deadline_ns > expiry->last_ns)
            expiry->last_ns = deadline_ns;
    }
    if (expiry->first_ns > expiry->last_ns)
        expiry->first_ns = expiry->last_ns; /* none lapsed */
}

/* 0 or an exit status. */
static int run(struct expiry *expiry, struct hf_drive *drive)
{
    int result = ask_time(expiry->server, &expiry->time, &expiry->info);
    if (result == 0 && expiry->with_load)
        result = prepare_load(expiry, drive);
    if (result == 0)
        result = make_holds(expiry, drive);
    if (result != 0) {
        if (expiry->watcher.client != NULL)
            hf_watcher_stop(&expiry->watcher);
        return result;
    }
    result = measure(expiry);
    if (result != 0)
        return result;
    struct hf_server_time again;
    struct hf_info info;
    result = ask_time(expiry->server, &again, &info);
    if (result != 0)
        return result;
    int64_t drift_ns = (int64_t)(again.ahead_ns - expiry->time.ahead_ns);
    expiry->drift_ns = (uint64_t)(drift_ns < 0 ? -drift_ns : drift_ns);
    look_at_deadlines(expiry);
    expiry->units_wrong =
        !hf_holds_check_units(&expiry->holds, drive, expiry->watcher.confirmed_in);
    return 0;
}

/* ---- printing ---- */

static uint64_t wrong(const struct expiry *expiry)
{
    const struct hf_watcher_result *watched = &expiry->watcher.result;
    const struct hf_prober_result *probed = &expiry->prober.result;
    uint64_t load_errors = expiry->load != NULL ? hf_load_result(expiry->load)->errors : 0;
    return watched->early + watched->twice + watched->late + watched->disorder + probed->early +
           probed->late + probed->errors + load_errors + expiry->missing + expiry->units_wrong;
}

static double us(uint64_t ns)
{
    return (double)ns / (double)HF_NS_PER_US;
}

static double percentile_us(const struct hf_histogram *histogram, unsigned per_mille)
{
    return us(hf_histogram_percentile_ns(histogram, per_mille));
}

/* From the last deadline to the last expiry. */
static uint64_t tail_ns(const struct expiry *expiry, uint64_t last_ns)
{
    return last_ns > expiry->last_ns ? last_ns - expiry->last_ns : 0;
}

/* Grants of the load, a second. */
static double load_rate(const struct expiry *expiry)
{
    if (expiry->load == NULL)
        return 0;
    uint64_t begin_ns = hf_load_relaxed(&expiry->load_clock.begin_ns); /* relaxed: joined */
    uint64_t end_ns = hf_load_relaxed(&expiry->load_clock.end_ns);
    return (double)hf_load_result(expiry->load)->counts[HF_ANSWER_GRANTED] * (double)HF_NS_PER_S /
           (double)(end_ns - begin_ns);
}

static void print_row(const char *name, const struct hf_histogram *histogram, uint64_t count)
{
    printf("%-10s %10" PRIu64 " %12.1f %12.1f %12.1f %12.1f\n", name, count,
           percentile_us(histogram, 500), percentile_us(histogram, 990),
           percentile_us(histogram, 999), us(histogram->max_ns));
}

static void print_table(const struct expiry *expiry)
{
    const struct hf_holds *holds = &expiry->holds;
    const struct hf_watcher_result *watched = &expiry->watcher.result;
    const struct hf_prober_result *probed = &expiry->prober.result;
    printf("%u holds on %s, made in %.1f s; %u inventories share them, %u are alone in one\n",
           holds->count, expiry->server, expiry->make_seconds, holds->shared, holds->alone);
    printf("deadlines over %.3f s; %s; the server's clock is known to %.1f us\n",
           (double)(expiry->last_ns - expiry->first_ns) / (double)HF_NS_PER_S,
           expiry->with_load ? "under a full load of others" : "no other load",
           us(expiry->time.error_ns + expiry->drift_ns));
    if (expiry->with_load)
        printf("the load: %u x %u in flight, %.0f grants a second, p99.9 %.1f us\n",
               expiry->load_plan.connections, expiry->load_plan.depth, load_rate(expiry),
               percentile_us(&hf_load_result(expiry->load)->latencies[HF_KIND_RESERVE][0], 999));
    printf("\n%-10s %10s %12s %12s %12s %12s\n", "deadline to", "count", "p50 us", "p99 us",
           "p99.9 us", "max us");
    print_row("noticed", &watched->noticed, watched->expired);
    print_row("committed", &watched->committed, watched->expired);
    print_row("decided", &probed->decided, probed->granted);
    print_row("answered", &probed->answered, probed->granted);
    print_row("machine", &expiry->sleeper.late, expiry->sleeper.count);
    printf("\nfrom the last deadline to the last expiry: noticed %.1f us, committed %.1f us; "
           "overtaken by %.1f us at most\n",
           us(tail_ns(expiry, watched->last_noticed_ns)),
           us(tail_ns(expiry, watched->last_committed_ns)), us(watched->overtaken_ns));
    printf("claims refused: %" PRIu64 ", of them sent after the deadline %" PRIu64
           ", the latest %.1f us after it; granted by a date before it: %" PRIu64 "\n",
           probed->refused, probed->refused_late, us(probed->refused_late_ns), probed->predated);
    printf("confirmed: %" PRIu64 ", of them at the deadline %" PRIu64 " (and %" PRIu64
           " too late); extended: %" PRIu64 "; the watcher fell behind %" PRIu64 " times\n",
           watched->confirmed, probed->confirmed, probed->lapsed, watched->extended,
           watched->fell_behind);
    printf("wrong: %" PRIu64 " early, %" PRIu64 " twice, %" PRIu64 " confirmed late, %" PRIu64
           " without an end, %" PRIu64 " out of order, %" PRIu64 " answers; units %s\n",
           watched->early + probed->early, watched->twice, watched->late + probed->late,
           expiry->missing, watched->disorder, probed->errors,
           expiry->units_wrong ? "WRONG" : "all back");
}

static void print_json_times(const char *name, const struct hf_histogram *histogram)
{
    printf("\"%s_p50_us\":%.1f,\"%s_p99_us\":%.1f,\"%s_p999_us\":%.1f,\"%s_max_us\":%.1f,", name,
           percentile_us(histogram, 500), name, percentile_us(histogram, 990), name,
           percentile_us(histogram, 999), name, us(histogram->max_ns));
}

static void print_json(const struct expiry *expiry)
{
    const struct hf_holds *holds = &expiry->holds;
    const struct hf_watcher_result *watched = &expiry->watcher.result;
    const struct hf_prober_result *probed = &expiry->prober.result;
    printf("{\"holds\":%u,\"inventories\":%u,\"alone\":%u,\"raced\":%u,\"make_seconds\":%.3f,"
           "\"deadlines_seconds\":%.6f,\"clock_error_us\":%.1f,\"load_per_second\":%.1f,",
           holds->count, holds->shared, holds->alone, holds->raced, expiry->make_seconds,
           (double)(expiry->last_ns - expiry->first_ns) / (double)HF_NS_PER_S,
           us(expiry->time.error_ns + expiry->drift_ns), load_rate(expiry));
    print_json_times("noticed", &watched->noticed);
    print_json_times("committed", &watched->committed);
    print_json_times("decided", &probed->decided);
    print_json_times("answered", &probed->answered);
    print_json_times("machine", &expiry->sleeper.late);
    printf("\"tail_noticed_us\":%.1f,\"tail_committed_us\":%.1f,\"overtaken_us\":%.1f,"
           "\"refused\":%" PRIu64 ",\"refused_late\":%" PRIu64
           ",\"refused_late_us\":%.1f,\"predated\":%" PRIu64 ",",
           us(tail_ns(expiry, watched->last_noticed_ns)),
           us(tail_ns(expiry, watched->last_committed_ns)), us(watched->overtaken_ns),
           probed->refused, probed->refused_late, us(probed->refused_late_ns), probed->predated);
    printf("\"expired\":%" PRIu64 ",\"confirmed\":%" PRIu64 ",\"extended\":%" PRIu64
           ",\"granted\":%" PRIu64 ",\"raced_confirmed\":%" PRIu64 ",\"raced_lapsed\":%" PRIu64
           ",\"fell_behind\":%" PRIu64 ",",
           watched->expired, watched->confirmed, watched->extended, probed->granted,
           probed->confirmed, probed->lapsed, watched->fell_behind);
    printf("\"early\":%" PRIu64 ",\"twice\":%" PRIu64 ",\"late\":%" PRIu64 ",\"missing\":%" PRIu64
           ",\"disorder\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"units_wrong\":%s}\n",
           watched->early + probed->early, watched->twice, watched->late + probed->late,
           expiry->missing, watched->disorder, probed->errors,
           expiry->units_wrong ? "true" : "false");
}

static void take_ids(struct expiry *expiry)
{
    struct hf_load_plan ids;
    hf_load_make_ids(&ids);
    expiry->holds.first_inventory_id = ids.first_inventory_id;
    expiry->holds.id_high = ids.id_high;
    expiry->holds.seed = ids.id_start;
    hf_load_make_ids(&expiry->load_plan); /* others, as one half is random */
}

int main(int argc, char **argv)
{
    static struct expiry expiry = {
        .from_ns = 20 * HF_NS_PER_S,
        .to_ns = 40 * HF_NS_PER_S,
        .holds = {.count = 1000000,
                  .alone = 2000,
                  .raced = 2000,
                  .shared = 1000,
                  .confirmed_percent = 5,
                  .extended_percent = 5},
        .load_plan = {.threads = 1,
                      .connections = 50,
                      .depth = 64,
                      .inventories = LOAD_INVENTORIES,
                      .customers = LOAD_CUSTOMERS,
                      .capacity = HF_MAX_UNITS},
    };
    char server[32];
    struct hf_drive *drive;
    snprintf(server, sizeof server, "127.0.0.1:%d", HF_DEFAULT_PORT);
    hf_mix_set(&expiry.load_plan.mix, HF_KIND_RESERVE);
    expiry.server = server;
    expiry.holds.time = &expiry.time;
    read_options(&expiry, argc, argv);
    take_ids(&expiry);
    int result = reach(&expiry);
    if (result != 0)
        return result;
    result = hf_holds_open(&expiry.holds);
    if (result == 0)
        result = hf_drive_open(&drive, expiry.server, LANES);
    if (result != 0)
        return set_up_error("cannot begin", result);
    result = run(&expiry, drive);
    if (result == 0) {
        if (expiry.json)
            print_json(&expiry);
        else
            print_table(&expiry);
        result = wrong(&expiry) != 0 ? HF_BENCH_WRONG : 0;
    }
    if (expiry.load != NULL)
        hf_load_close(expiry.load);
    hf_prober_free(&expiry.prober);
    hf_watcher_free(&expiry.watcher);
    hf_drive_close(drive);
    hf_holds_close(&expiry.holds);
    return result;
}
