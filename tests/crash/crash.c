/*
 * The crash test: kills the server under load, again and again over the same data, and checks after
 * each restart everything that the clients were ever told.
 *
 *   crash --cycles N --programs BUILDDIR [--seed N] [--dir DIR] [--keep]
 *
 * One cycle: eight clients load the server with reserves and cancels, on three hot inventories that
 * are mostly sold out and on two hundred others; with repeats, reused ids, the same id on two
 * connections at once, lookups of what is in flight. At a random moment, right behind a burst of
 * requests, SIGKILL (every few cycles SIGTERM, which must end with exit status 0). Half of the
 * clients stay and reconnect by themselves, the others are closed and leave unknowns. The server is
 * started again, now and then killed once more while it recovers. Then
 *   1. all unknowns are resolved, by repeating the id or by looking it up;
 *   2. the cycle as a whole is judged (tests/lib/model.h tells what that means);
 *   3. every id of the cycle, and a sample of older ones (at the end: all), is looked up;
 *   4. every inventory's sums are compared with those of the clients;
 *   5. the live state hash is compared with the one that holdfast-wal finds in the log.
 *
 * The moments are random, so a seed repeats the choices but not the interleaving.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/lib/model.h"
#include "tests/lib/process.h"

#define CLIENTS            8
#define DEPTH              32
#define HOT_INVENTORIES    3
#define WIDE_INVENTORIES   200
#define MAX_INVENTORIES    1000
#define SAMPLE_IDS         300
#define LOOKUP_DEPTH       128
#define ANSWER_TIMEOUT_S   60
#define STOP_EVERY_CYCLES  10
#define PROGRESS_PERIOD_S  10
#define MAX_RESOLVE_PASSES 8

static volatile sig_atomic_t interrupted;

struct options {
    unsigned cycles;
    uint64_t seed;
    const char *programs;
    const char *directory; /* NULL: a new one */
    bool keep;
};

/* Time spent in each part, for the progress line. */
struct durations {
    uint64_t load_ns, stop_ns, start_ns, resolve_ns, lookup_ns, verify_ns;
};

struct crash {
    struct options options;
    struct hf_model *model;
    struct hf_daemon server;
    char directory[HF_DIRECTORY_TEXT_BYTES];
    char program[512], wal_program[512], listen[64];
    struct hf_client *clients[CLIENTS];
    uint64_t random;
    unsigned cycle, kills, stops, interrupted_starts;
    uint64_t next_customer;
    struct durations durations;
};

/* splitmix64 */
static uint64_t random_u64(struct crash *crash)
{
    uint64_t mixed = crash->random += 0x9e3779b97f4a7c15ull;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
    return mixed ^ mixed >> 31;
}

static uint32_t random_below(struct crash *crash, uint32_t bound)
{
    return (uint32_t)(random_u64(crash) >> 32) % bound;
}

static uint32_t random_between(struct crash *crash, uint32_t low, uint32_t high)
{
    return low + random_below(crash, high - low + 1);
}

static bool failed(const struct crash *crash)
{
    return hf_model_violation(crash->model) != NULL || interrupted;
}

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- talking to the server ---- */

static void on_answer(void *context, const struct hf_reply *reply)
{
    hf_model_answer(context, reply);
}

static void open_client(struct crash *crash, unsigned client)
{
    const struct hf_client_options options = {.server = crash->listen,
                                              .request_timeout_ms = ANSWER_TIMEOUT_S * 1000,
                                              .reconnect_delay_ms = 5};
    HF_CHECK(hf_client_open(&options, &crash->clients[client]) == 0);
}

static void submit(struct crash *crash, unsigned client, struct hf_model_request *request)
{
    HF_CHECK(hf_client_submit(crash->clients[client], &request->wire, on_answer, request, NULL) ==
             0);
}

static size_t outstanding(const struct crash *crash)
{
    size_t sum = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        sum += hf_client_outstanding(crash->clients[i]);
    return sum;
}

/* Moves all clients on, after waiting for at most `timeout_ms` for something to do. */
static void pump(struct crash *crash, int timeout_ms)
{
    struct pollfd waits[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        int own_ms = hf_client_timeout_ms(crash->clients[i]);
        waits[i] = (struct pollfd){.fd = hf_client_fd(crash->clients[i]),
                                   .events = hf_client_events(crash->clients[i])};
        if (own_ms >= 0 && own_ms < timeout_ms)
            timeout_ms = own_ms;
    }
    poll(waits, CLIENTS, timeout_ms);
    for (unsigned i = 0; i < CLIENTS; i++)
        hf_client_process(crash->clients[i]);
}

/* Until every request is answered. */
static void finish_requests(struct crash *crash)
{
    uint64_t deadline_ns = hf_monotonic_now_ns() + (ANSWER_TIMEOUT_S + 5) * HF_NS_PER_S;
    while (outstanding(crash) != 0 && !failed(crash)) {
        int status = 0;
        pump(crash, 20);
        if (!hf_daemon_running(&crash->server, &status))
            hf_model_contradict(crash->model, "the server ended by itself, exit status %d", status);
        else if (hf_monotonic_now_ns() > deadline_ns)
            hf_model_contradict(crash->model, "%zu requests are not answered", outstanding(crash));
    }
}

static void call(struct crash *crash, enum hf_operation operation, uint32_t from,
                 struct hf_reply *reply)
{
    const struct hf_request request = {.operation = operation, .from = from, .limit = 1000};
    unsigned result = hf_client_call_sync(crash->clients[0], &request, reply);
    if (hf_result_group(result) != HF_GROUP_YES)
        hf_model_contradict(crash->model, "operation %u was answered %s", (unsigned)operation,
                            hf_result_name(result));
}

/* ---- the load ---- */

static struct hf_model_inventory *any_inventory(struct crash *crash)
{
    for (;;) {
        uint32_t count = hf_model_inventory_count(crash->model);
        uint32_t index = random_below(crash, 2) ? random_below(crash, HOT_INVENTORIES)
                                                : random_below(crash, count);
        struct hf_model_inventory *inventory = hf_model_inventory(crash->model, index);
        if (inventory->created)
            return inventory;
    }
}

static struct hf_model_reservation *any_active(struct crash *crash)
{
    const struct hf_model_inventory *inventory = any_inventory(crash);
    return inventory->active_count ? inventory->active[random_below(crash, inventory->active_count)]
                                   : NULL;
}

static struct hf_model_reservation *any_touched(struct crash *crash)
{
    uint32_t count = hf_model_touched_count(crash->model);
    return count ? hf_model_touched(crash->model, random_below(crash, count)) : NULL;
}

static void ask(struct crash *crash, unsigned client, enum hf_operation operation,
                struct hf_model_reservation *reservation)
{
    submit(crash, client, hf_model_ask(crash->model, operation, reservation, HF_MODEL_LOAD));
}

static struct hf_model_reservation *ask_new(struct crash *crash, unsigned client)
{
    struct hf_model_reservation *reservation = hf_model_add_reservation(
        crash->model, any_inventory(crash), ++crash->next_customer, random_between(crash, 1, 3));
    ask(crash, client, HF_OP_RESERVE, reservation);
    return reservation;
}

/* A granted id, with one other parameter: ID_REUSED, naming it. */
static void ask_reuse(struct crash *crash, unsigned client,
                      struct hf_model_reservation *reservation)
{
    struct hf_model_request *request =
        hf_model_ask(crash->model, HF_OP_RESERVE, reservation, HF_MODEL_REUSE);
    const struct hf_model_inventory *other = any_inventory(crash);
    uint32_t choice = random_below(crash, 3);
    if (choice == 0 && other != reservation->inventory)
        hf_model_ask_other(request, HF_FIELD_INVENTORY_ID, other->inventory_id);
    else if (choice == 1)
        hf_model_ask_other(request, HF_FIELD_CUSTOMER_ID, reservation->customer_id + 1);
    else
        hf_model_ask_other(request, HF_FIELD_QTY, reservation->qty + 1);
    submit(crash, client, request);
}

/* One step of the load: one request, or two that belong together. */
static unsigned ask_something(struct crash *crash, unsigned client)
{
    unsigned other = (client + 1 + random_below(crash, CLIENTS - 1)) % CLIENTS;
    uint32_t dice = random_below(crash, 100);
    struct hf_model_reservation *active = dice < 50 ? NULL : any_active(crash);
    struct hf_model_reservation *touched = dice < 93 ? NULL : any_touched(crash);
    if (dice >= 50 && dice < 74 && active) {
        ask(crash, client, HF_OP_CANCEL, active);
    } else if (dice >= 74 && dice < 78 && active) {
        ask(crash, client, HF_OP_CANCEL, active);
        ask(crash, other, HF_OP_CANCEL, active);
        return 2;
    } else if (dice >= 78 && dice < 83 && active) {
        ask(crash, client, HF_OP_RESERVE, active);
    } else if (dice >= 83 && dice < 86 && active) {
        ask_reuse(crash, client, active);
    } else if (dice >= 86 && dice < 90) {
        ask(crash, other, HF_OP_RESERVE, ask_new(crash, client));
        return 2;
    } else if (dice >= 90 && dice < 93) {
        ask(crash, client, HF_OP_CANCEL, ask_new(crash, client));
        return 2;
    } else if (dice >= 93 && dice < 98 && touched) {
        ask(crash, client, HF_OP_RESERVATION_GET, touched);
    } else if (dice >= 98 && touched) { /* a refused one tries again, or anyone repeats */
        ask(crash, client, HF_OP_RESERVE, touched);
    } else {
        ask_new(crash, client);
    }
    return 1;
}

/* Asks until `count` more were asked or all clients have enough in flight. */
static unsigned ask_many(struct crash *crash, unsigned count)
{
    unsigned asked = 0;
    bool progress = true;
    while (asked < count && progress && !failed(crash)) {
        progress = false;
        for (unsigned i = 0; i < CLIENTS && asked < count; i++) {
            if (hf_client_outstanding(crash->clients[i]) >= DEPTH)
                continue;
            asked += ask_something(crash, i);
            progress = true;
        }
    }
    return asked;
}

static void ask_inventory(struct crash *crash, uint32_t capacity)
{
    struct hf_model_inventory *inventory = hf_model_add_inventory(crash->model, capacity);
    submit(crash, random_below(crash, CLIENTS), hf_model_ask_create(crash->model, inventory));
}

/*
 * Loads the server for 5 to 150 ms, in lumps of 8 to 256 requests, and leaves it right behind a
 * burst, so that the end always comes upon requests in flight. Few requests a cycle: every cycle
 * reads the whole log twice, so its size is what a thousand cycles take their time for.
 */
static void load(struct crash *crash)
{
    uint64_t began_ns = hf_monotonic_now_ns();
    uint64_t duration_ns = random_between(crash, 5, random_between(crash, 5, 150)) * HF_NS_PER_MS;
    uint64_t budget = 1ull << random_between(crash, 4, random_between(crash, 6, 10));
    uint64_t lump = 1ull << random_between(crash, 3, 8);
    uint64_t asked = 0, passed_ns;
    if (random_below(crash, 4) == 0 && hf_model_inventory_count(crash->model) < MAX_INVENTORIES)
        ask_inventory(crash, random_between(crash, 20, 1000));
    while ((passed_ns = hf_monotonic_now_ns() - began_ns) < duration_ns && !failed(crash)) {
        uint64_t due = budget * passed_ns / duration_ns / lump * lump;
        if (asked < due)
            asked += ask_many(crash, (unsigned)(due - asked));
        pump(crash, 1);
    }
    ask_many(crash, 1u << random_between(crash, 2, 8));
    uint64_t until_ns = hf_monotonic_now_ns() + random_below(crash, 3000) * HF_NS_PER_US;
    do
        pump(crash, 0);
    while (hf_monotonic_now_ns() < until_ns && outstanding(crash) != 0 && !failed(crash));
    crash->durations.load_ns += hf_monotonic_now_ns() - began_ns;
}

/* ---- the end of a server, and the next one ---- */

/* SIGTERM under load: what was received is answered, then exit status 0. */
static void stop_server(struct crash *crash)
{
    uint64_t deadline_ns = hf_monotonic_now_ns() + 30 * HF_NS_PER_S;
    int status = 0;
    kill(crash->server.pid, SIGTERM);
    while (hf_daemon_running(&crash->server, &status)) {
        pump(crash, 1);
        if (hf_monotonic_now_ns() > deadline_ns) {
            hf_model_contradict(crash->model, "the server did not stop within 30 s of SIGTERM");
            return;
        }
    }
    if (status != 0)
        hf_model_contradict(crash->model, "the server ended with status %d after SIGTERM", status);
    crash->stops++;
}

/* Half of the clients vanish: what they had in flight is unknown from now on. */
static void replace_clients(struct crash *crash)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (random_below(crash, 2)) {
            hf_client_close(crash->clients[i]);
            open_client(crash, i);
        }
}

static void server_options(struct crash *crash, struct hf_daemon_options *options)
{
    static const char *extra[] = {"--segment-bytes", "1048576", "--workers", NULL, NULL};
    static const char *const workers[] = {"1", "2", "3", "8"};
    extra[3] = workers[random_below(crash, 4)];
    *options = (struct hf_daemon_options){.program = crash->program,
                                          .directory = crash->directory,
                                          .listen = crash->listen,
                                          .extra = extra};
}

/* Starts the server; now and then kills it on its way, once or twice. */
static void start_server(struct crash *crash, uint64_t *gone_ns)
{
    struct hf_daemon_options options;
    uint64_t began_ns = hf_monotonic_now_ns();
    server_options(crash, &options);
    while (crash->cycle > 0 && random_below(crash, 8) == 0 && !failed(crash)) {
        uint64_t until_ns = hf_monotonic_now_ns() + random_below(crash, 60000) * HF_NS_PER_US;
        if (hf_daemon_launch(&crash->server, &options) == 0)
            while (hf_monotonic_now_ns() < until_ns)
                pump(crash, 1);
        hf_daemon_kill(&crash->server);
        *gone_ns = hf_monotonic_now_ns();
        crash->interrupted_starts++;
    }
    if (hf_daemon_start(&crash->server, &options) < 0)
        hf_model_contradict(crash->model, "%s", crash->server.error);
    else if (crash->server.recovery.lsn < hf_model_figures(crash->model)->lsn)
        hf_model_contradict(crash->model, "recovered up to LSN %llu, but %llu was acknowledged",
                            (unsigned long long)crash->server.recovery.lsn,
                            (unsigned long long)hf_model_figures(crash->model)->lsn);
    crash->durations.start_ns += hf_monotonic_now_ns() - began_ns;
}

/* ---- after the restart ---- */

/* Asks about every unknown id, in one of the ways that decide it. Returns how many there were. */
static unsigned resolve_pass(struct crash *crash)
{
    struct hf_model *model = crash->model;
    unsigned unknown = 0;
    for (uint32_t i = 0; i < hf_model_touched_count(model); i++) {
        struct hf_model_reservation *reservation = hf_model_touched(model, i);
        if (!reservation->reserve_unknown && !reservation->cancel_unknown)
            continue;
        enum hf_operation repeat = reservation->cancel_unknown ? HF_OP_CANCEL : HF_OP_RESERVE;
        enum hf_operation operation = random_below(crash, 2) ? repeat : HF_OP_RESERVATION_GET;
        submit(crash, unknown++ % CLIENTS,
               hf_model_ask(model, operation, reservation, HF_MODEL_RESOLVE));
    }
    for (uint32_t i = 0; i < hf_model_inventory_count(model); i++)
        if (!hf_model_inventory(model, i)->created) {
            submit(crash, unknown++ % CLIENTS,
                   hf_model_ask_create(model, hf_model_inventory(model, i)));
        }
    finish_requests(crash);
    return unknown;
}

static void resolve(struct crash *crash)
{
    uint64_t began_ns = hf_monotonic_now_ns();
    unsigned passes = 0;
    finish_requests(crash); /* of the clients that stayed */
    while (!failed(crash) && resolve_pass(crash) != 0)
        if (++passes > MAX_RESOLVE_PASSES)
            hf_model_contradict(crash->model, "unknown ids stay unknown");
    crash->durations.resolve_ns += hf_monotonic_now_ns() - began_ns;
}

static void look_up(struct crash *crash, struct hf_model_reservation *reservation)
{
    unsigned client = reservation->index % CLIENTS;
    while (hf_client_outstanding(crash->clients[client]) >= LOOKUP_DEPTH && !failed(crash))
        pump(crash, 20);
    submit(crash, client,
           hf_model_ask(crash->model, HF_OP_RESERVATION_GET, reservation, HF_MODEL_EXACT));
}

/* The ids from `first` on, and a random sample of the older ones; or all of them. */
static void look_up_ids(struct crash *crash, uint32_t first, bool all)
{
    uint64_t began_ns = hf_monotonic_now_ns();
    uint32_t count = hf_model_reservation_count(crash->model);
    for (uint32_t i = all ? 0 : first; i < count && !failed(crash); i++)
        look_up(crash, hf_model_reservation(crash->model, i));
    for (uint32_t i = 0; i < SAMPLE_IDS && first > 0 && !all && !failed(crash); i++)
        look_up(crash, hf_model_reservation(crash->model, random_below(crash, first)));
    finish_requests(crash);
    crash->durations.lookup_ns += hf_monotonic_now_ns() - began_ns;
}

static void check_inventories(struct crash *crash)
{
    struct hf_reply page;
    uint32_t from = 0, listed = 0, created = 0;
    do {
        call(crash, HF_OP_INVENTORY_LIST, from, &page);
        for (uint32_t i = 0; i < page.count && !failed(crash); i++)
            hf_model_check_inventory(crash->model, &page.inventories[i]);
        listed += page.count;
        from = (uint32_t)page.next;
    } while (from != 0 && !failed(crash));
    for (uint32_t i = 0; i < hf_model_inventory_count(crash->model); i++)
        created += hf_model_inventory(crash->model, i)->created;
    if (listed != created && !failed(crash))
        hf_model_contradict(crash->model, "%u inventories listed, %u created", listed, created);
}

/* Runs `holdfast-wal verify` and reads the state hash that it prints. */
static void verify_log(struct crash *crash, uint64_t *hash)
{
    static char output[65536];
    const char *const argv[] = {crash->wal_program, "verify", crash->directory, NULL};
    uint64_t began_ns = hf_monotonic_now_ns();
    int status = hf_process_run(argv, output, sizeof output);
    const char *line = strstr(output, "state_hash:");
    size_t length = strlen(output);
    static const char last[] = "verify: ok\n";
    *hash = line ? strtoull(line + sizeof "state_hash:" - 1, NULL, 16) : 0;
    if (status != 0 || !line || length < sizeof last - 1 ||
        strcmp(output + length - (sizeof last - 1), last) != 0)
        hf_model_contradict(crash->model, "holdfast-wal verify ended with status %d: %.400s",
                            status, length > 400 ? output + length - 400 : output);
    crash->durations.verify_ns += hf_monotonic_now_ns() - began_ns;
}

/* SAME-STATE: live, recovered and read from the log by a tool. Returns the hash. */
static uint64_t check_state_hash(struct crash *crash)
{
    struct hf_reply live;
    uint64_t hash = 0;
    verify_log(crash, &hash);
    if (failed(crash))
        return 0;
    call(crash, HF_OP_STATE_HASH, 0, &live);
    if (failed(crash))
        return 0;
    if (live.lsn_before != live.lsn_after)
        hf_model_contradict(crash->model, "an idle server moved from LSN %llu to %llu",
                            (unsigned long long)live.lsn_before,
                            (unsigned long long)live.lsn_after);
    if (live.state_hash != hash)
        hf_model_contradict(crash->model,
                            "SAME-STATE: live state hash %016llx, from the log %016llx",
                            (unsigned long long)live.state_hash, (unsigned long long)hash);
    if (live.reservations != hf_model_figures(crash->model)->grants)
        hf_model_contradict(crash->model, "the server holds %llu reservations, its clients %llu",
                            (unsigned long long)live.reservations,
                            (unsigned long long)hf_model_figures(crash->model)->grants);
    return hash;
}

static void run_cycle(struct crash *crash)
{
    uint32_t first = hf_model_reservation_count(crash->model);
    uint64_t gone_ns, began_ns;
    load(crash);
    if (failed(crash))
        return;
    began_ns = hf_monotonic_now_ns();
    if (crash->cycle % STOP_EVERY_CYCLES == STOP_EVERY_CYCLES - 1) {
        stop_server(crash);
    } else {
        hf_daemon_kill(&crash->server);
        crash->kills++;
    }
    gone_ns = hf_monotonic_now_ns();
    crash->durations.stop_ns += gone_ns - began_ns;
    replace_clients(crash);
    if (!failed(crash))
        start_server(crash, &gone_ns);
    if (!failed(crash))
        resolve(crash);
    if (failed(crash))
        return;
    hf_model_settle(crash->model, gone_ns);
    if (!failed(crash))
        look_up_ids(crash, first, false);
    if (!failed(crash))
        check_inventories(crash);
    if (!failed(crash))
        check_state_hash(crash);
}

/* ---- the whole ---- */

static void first_start(struct crash *crash)
{
    uint64_t gone_ns = 0;
    unsigned port = hf_port_find();
    snprintf(crash->listen, sizeof crash->listen, "127.0.0.1:%u", port);
    for (unsigned i = 0; i < CLIENTS; i++)
        open_client(crash, i);
    start_server(crash, &gone_ns);
    if (failed(crash))
        return;
    for (unsigned i = 0; i < HOT_INVENTORIES; i++)
        ask_inventory(crash, 8u << (2 * i));
    for (unsigned i = 0; i < WIDE_INVENTORIES; i++)
        ask_inventory(crash, random_between(crash, 20, 1000));
    resolve(crash); /* until all of them are created */
    if (!failed(crash))
        hf_model_settle(crash->model, 0);
}

/* Everything once more; a clean stop; and the log of a server that does not run. */
static void last_checks(struct crash *crash)
{
    uint64_t live, stopped = 0;
    look_up_ids(crash, 0, true);
    if (failed(crash))
        return;
    check_inventories(crash);
    live = check_state_hash(crash);
    if (failed(crash))
        return;
    stop_server(crash);
    verify_log(crash, &stopped);
    if (live != stopped)
        hf_model_contradict(crash->model, "SAME-STATE: %016llx before the last stop, %016llx after",
                            (unsigned long long)live, (unsigned long long)stopped);
}

static double seconds(uint64_t duration_ns)
{
    return (double)duration_ns / (double)HF_NS_PER_S;
}

static void print_figures(const struct crash *crash, const char *verdict)
{
    const struct hf_model_figures *figures = hf_model_figures(crash->model);
    printf("crash: cycles=%u acknowledged=%llu refused=%llu unknown=%llu repeated=%llu reused=%llu "
           "resent=%llu lost=%u kills=%u stops=%u interrupted_starts=%u lsn=%llu %s\n",
           crash->cycle, (unsigned long long)(figures->grants + figures->cancels),
           (unsigned long long)figures->refusals, (unsigned long long)figures->unknown,
           (unsigned long long)figures->repeats, (unsigned long long)figures->reuses,
           (unsigned long long)figures->resent, hf_model_violation(crash->model) ? 1u : 0u,
           crash->kills, crash->stops, crash->interrupted_starts, (unsigned long long)figures->lsn,
           verdict);
    fflush(stdout);
}

static void run_cycles(struct crash *crash)
{
    uint64_t began_ns = hf_monotonic_now_ns(), told_ns = began_ns;
    first_start(crash);
    while (crash->cycle < crash->options.cycles && !failed(crash)) {
        run_cycle(crash);
        if (failed(crash))
            break;
        crash->cycle++;
        if (hf_monotonic_now_ns() - told_ns < PROGRESS_PERIOD_S * HF_NS_PER_S)
            continue;
        told_ns = hf_monotonic_now_ns();
        printf("crash: %u of %u cycles in %.0f s (load %.0f, stop %.0f, start %.0f, resolve %.0f, "
               "look up %.0f, verify %.0f), LSN %llu\n",
               crash->cycle, crash->options.cycles, seconds(told_ns - began_ns),
               seconds(crash->durations.load_ns), seconds(crash->durations.stop_ns),
               seconds(crash->durations.start_ns), seconds(crash->durations.resolve_ns),
               seconds(crash->durations.lookup_ns), seconds(crash->durations.verify_ns),
               (unsigned long long)hf_model_figures(crash->model)->lsn);
        fflush(stdout);
    }
    if (!failed(crash))
        last_checks(crash);
}

/* Tells the outcome. Returns the exit status. */
static int conclude(struct crash *crash)
{
    const char *violation = hf_model_violation(crash->model);
    bool keep = crash->options.keep || violation;
    char messages[4096];
    if (violation) {
        hf_daemon_messages(&crash->server, messages, sizeof messages);
        printf("crash: cycle %u: %s\n", crash->cycle, violation);
        if (messages[0])
            printf("crash: the server said: %s\n", messages);
        printf("crash: run again with --seed %llu\n", (unsigned long long)crash->options.seed);
    }
    hf_daemon_forget(&crash->server);
    if (keep)
        printf("crash: the data stay in %s\n", crash->directory);
    else
        hf_directory_remove(crash->directory);
    print_figures(crash, violation ? "FAILED" : interrupted ? "interrupted" : "ok");
    return violation || interrupted ? 1 : 0;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: crash --cycles N --programs BUILDDIR [--seed N] [--dir DIR] [--keep]\n");
    return 2;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    *options = (struct options){.cycles = 20, .programs = "build", .seed = hf_date_now_ns()};
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--keep") == 0) {
            options->keep = true;
            continue;
        }
        if (!value)
            return false;
        if (strcmp(argv[i], "--cycles") == 0)
            options->cycles = (unsigned)strtoul(value, &end, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            options->seed = strtoull(value, &end, 10);
        else if (strcmp(argv[i], "--programs") == 0)
            options->programs = value;
        else if (strcmp(argv[i], "--dir") == 0)
            options->directory = value;
        else
            return false;
        if (end && (*end != '\0' || end == value))
            return false;
        i++;
    }
    return options->cycles > 0;
}

/* A new directory, or the given one, which must be empty: it is removed in the end. */
static bool make_directory(struct crash *crash)
{
    if (!crash->options.directory)
        return hf_directory_make(crash->directory) == 0;
    snprintf(crash->directory, sizeof crash->directory, "%s", crash->options.directory);
    if (rmdir(crash->directory) < 0 && errno != ENOENT)
        return false;
    return mkdir(crash->directory, 0700) == 0;
}

int main(int argc, char **argv)
{
    struct crash *crash = calloc(1, sizeof *crash);
    HF_CHECK(crash);
    if (!parse_options(argc, argv, &crash->options)) {
        free(crash);
        return usage();
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    crash->random = crash->options.seed;
    crash->model = hf_model_open();
    snprintf(crash->program, sizeof crash->program, "%s/holdfastd", crash->options.programs);
    snprintf(crash->wal_program, sizeof crash->wal_program, "%s/holdfast-wal",
             crash->options.programs);
    if (!make_directory(crash)) {
        fprintf(stderr, "crash: cannot make an empty directory %s: %s\n", crash->directory,
                strerror(errno));
        return 2;
    }
    printf("crash: %u cycles, seed %llu, data in %s\n", crash->options.cycles,
           (unsigned long long)crash->options.seed, crash->directory);
    fflush(stdout);
    run_cycles(crash);
    int status = conclude(crash);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (crash->clients[i])
            hf_client_close(crash->clients[i]);
    hf_model_close(crash->model);
    free(crash);
    return status;
}
