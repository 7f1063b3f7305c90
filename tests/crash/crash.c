/*
 * The crash test: kills the server under load, again and again over the same data, and checks after
 * each restart everything that the clients were ever told.
 *
 *   crash --cycles N --programs BUILDDIR [--seed N] [--dir DIR] [--keep]
 *         [--log-writes auto|direct|sync]
 *
 * One cycle: eight clients load the server, with two loads at once on different inventories.
 *   plain     reserves and cancels, on three hot inventories that are mostly sold out and on two
 *             hundred others; with repeats, reused ids, the same id on two connections at once,
 *             lookups of what is in flight. tests/lib/model.h knows from outside what is right.
 *   bookings  all operations (tests/lib/bookings.h): holds that lapse under load and while nobody
 *             runs, confirms, extensions, changes, moves, waiting lists with offers, batches,
 *             settings changed while units are sold. tests/lib/witness.h holds all that was told
 *             against the log.
 * At a random moment, right behind a burst of requests, SIGKILL (every few cycles SIGTERM, which
 * must end with exit status 0). Half of the clients stay and reconnect by themselves, the others are
 * closed and leave unknowns. The server is started again, now and then killed once more while it
 * recovers, now and then with a retention of a few seconds; how it writes its log changes as well,
 * if --log-writes does not fix it. Then
 *   1. all unknowns are resolved, by repeating the request or by looking its ids up;
 *   2. the cycle as a whole is judged, by the model and by the witness;
 *   3. every id of the cycle, and a sample of older ones (at the end: all), is looked up;
 *   4. once nothing moves, every inventory's sums are compared with those of the clients and of the
 *      log, nobody may wait for units that are free, and no lapsed hold may stand;
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
#include "tests/lib/bookings.h"
#include "tests/lib/model.h"
#include "tests/lib/process.h"
#include "tests/lib/witness.h"

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
#define REST_TIMEOUT_S     20 /* until lapsed holds are noticed, offers made, and nothing moves */
#define OVERDUE_NS         (1000 * HF_NS_PER_MS) /* a lapsed hold is noticed sooner */
#define DEFAULT_RETAIN_NS  (24 * 3600 * HF_NS_PER_S)
#define SLOW_CYCLE_NS      (1500 * HF_NS_PER_MS) /* what a repeat needs may be forgotten by then */

static volatile sig_atomic_t interrupted;

struct options {
    unsigned cycles;
    uint64_t seed;
    const char *programs;
    const char *directory;  /* NULL: a new one */
    const char *log_writes; /* the server's option; NULL: another with each start */
    bool keep;
};

/* Time spent in each part, for the progress line. */
struct durations {
    uint64_t load_ns, stop_ns, start_ns, resolve_ns, lookup_ns, verify_ns;
};

struct crash {
    struct options options;
    struct hf_model *model;
    struct hf_witness witness;
    struct hf_bookings bookings;
    struct hf_daemon server;
    char directory[HF_DIRECTORY_TEXT_BYTES];
    char program[512], wal_program[512], listen[64];
    struct hf_client *clients[CLIENTS];
    uint64_t random;
    unsigned cycle, kills, stops, interrupted_starts, short_retentions;
    unsigned retain_s;  /* of the server that runs, or is about to; 0: as it comes */
    uint64_t latest_ns; /* how long the latest cycle took */
    uint32_t judged_bookings;
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

static const char *violation_of(const struct crash *crash)
{
    const char *violation = hf_model_violation(crash->model);
    return violation ? violation : hf_witness_violation(&crash->witness);
}

static bool failed(const struct crash *crash)
{
    return violation_of(crash) != NULL || interrupted;
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

static void on_booking_answer(void *context, const struct hf_reply *reply)
{
    struct hf_asking *asking = context;
    struct crash *crash = asking->context;
    hf_bookings_answer(&crash->bookings, asking, reply);
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

static void submit_booking(struct crash *crash, unsigned client, struct hf_asking *asking)
{
    asking->context = crash;
    HF_CHECK(hf_client_submit(crash->clients[client], &asking->wire, on_booking_answer, asking,
                              NULL) == 0);
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
    if (crash->retain_s != 0 && dice >= 50 && dice < 78) {
        ask_new(crash, client); /* what is cancelled may soon be forgotten */
    } else if (dice >= 50 && dice < 74 && active) {
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
    } else if (dice >= 90 && dice < 93 && crash->retain_s == 0) {
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
            if (random_below(crash, 2)) {
                submit_booking(crash, i, hf_bookings_ask(&crash->bookings));
                asked++;
            } else {
                asked += ask_something(crash, i);
            }
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

/*
 * Half of the clients vanish: what they had in flight is unknown from now on. All of them, if the
 * next server soon forgets: a request that is sent again after that is a new one.
 */
static void replace_clients(struct crash *crash)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (crash->retain_s != 0 || random_below(crash, 2)) {
            hf_client_close(crash->clients[i]);
            open_client(crash, i);
        }
}

/* The server is gone. In some cycles the next one soon forgets what is finished. */
static void choose_retention(struct crash *crash)
{
    bool is_short = random_below(crash, 3) == 0 && crash->latest_ns < SLOW_CYCLE_NS;
    crash->retain_s = is_short ? random_between(crash, 3, 6) : 0;
    crash->short_retentions += is_short;
    hf_model_set_forgetful(crash->model, is_short);
    hf_witness_end_run(&crash->witness,
                       is_short ? crash->retain_s * HF_NS_PER_S : DEFAULT_RETAIN_NS);
}

static void retention_text(const struct crash *crash, char text[16])
{
    if (crash->retain_s != 0)
        snprintf(text, 16, "%us", crash->retain_s);
    else
        snprintf(text, 16, "24h");
}

static void server_options(struct crash *crash, struct hf_daemon_options *options)
{
    static char retain[16];
    static const char *extra[] = {
        "--segment-bytes", "1048576", "--workers", NULL, "--retain", retain,
        "--log-writes",    NULL,      NULL};
    static const char *const workers[] = {"1", "2", "3", "8"};
    static const char *const ways[] = {"auto", "direct", "sync"};
    extra[3] = workers[random_below(crash, 4)];
    extra[7] = crash->options.log_writes ? crash->options.log_writes : ways[random_below(crash, 3)];
    retention_text(crash, retain);
    *options = (struct hf_daemon_options){.program = crash->program,
                                          .directory = crash->directory,
                                          .listen = crash->listen,
                                          .extra = extra};
}

static uint64_t acknowledged_lsn(const struct crash *crash)
{
    uint64_t plain = hf_model_figures(crash->model)->lsn;
    return plain > crash->witness.figures.lsn ? plain : crash->witness.figures.lsn;
}

static void tell_clock(struct crash *crash)
{
    struct hf_reply reply;
    uint64_t asked_ns = hf_monotonic_now_ns();
    call(crash, HF_OP_INFO, 0, &reply);
    hf_witness_begin_run(&crash->witness, reply.info.now_ns, asked_ns, hf_monotonic_now_ns());
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
    else if (crash->server.recovery.lsn < acknowledged_lsn(crash))
        hf_model_contradict(crash->model, "recovered up to LSN %llu, but %llu was acknowledged",
                            (unsigned long long)crash->server.recovery.lsn,
                            (unsigned long long)acknowledged_lsn(crash));
    if (!failed(crash))
        tell_clock(crash);
    crash->durations.start_ns += hf_monotonic_now_ns() - began_ns;
}

/* ---- after the restart ---- */

#define MAX_LISTED (MAX_INVENTORIES + HF_WITNESS_INVENTORIES)

/* What a server says when it rests. */
struct rest {
    struct hf_inventory inventories[MAX_LISTED];
    uint32_t count;
    struct hf_reply live; /* STATE_HASH */
    uint64_t hash;        /* from the log */
    uint64_t date_ns;     /* of the server's clock */
};

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
        bool again = random_below(crash, 2) && crash->retain_s == 0;
        enum hf_operation operation = again ? repeat : HF_OP_RESERVATION_GET;
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

/* Asks again about the bookings' requests that ended unknown, from `first` on. Returns how many. */
static unsigned resolve_bookings(struct crash *crash, uint32_t first)
{
    struct hf_witness *witness = &crash->witness;
    unsigned unknown = 0;
    for (uint32_t i = first, end = witness->asking_count; i < end; i++)
        if (witness->askings[i]->end == HF_WITNESS_UNKNOWN)
            submit_booking(crash, unknown++ % CLIENTS,
                           hf_bookings_resolve(&crash->bookings, witness->askings[i]));
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
    uint32_t first = 0, end = crash->witness.asking_count;
    for (passes = 0; !failed(crash) && resolve_bookings(crash, first) != 0; passes++) {
        first = end;
        end = crash->witness.asking_count;
        if (passes > MAX_RESOLVE_PASSES)
            hf_model_contradict(crash->model, "unknown requests stay unknown");
    }
    crash->durations.resolve_ns += hf_monotonic_now_ns() - began_ns;
}

static void look_up_booking(struct crash *crash, uint32_t number)
{
    unsigned client = number % CLIENTS;
    while (hf_client_outstanding(crash->clients[client]) >= LOOKUP_DEPTH && !failed(crash))
        pump(crash, 20);
    submit_booking(crash, client, hf_bookings_look_up(&crash->bookings, number));
}

/* Those since the last time, and a random sample of the older ones; or all of them. */
static void look_up_bookings(struct crash *crash, bool all)
{
    uint32_t count = crash->bookings.count, first = all ? 0 : crash->judged_bookings;
    for (uint32_t i = first; i < count && !failed(crash); i++)
        look_up_booking(crash, i);
    for (uint32_t i = 0; i < SAMPLE_IDS && first > 0 && !failed(crash); i++)
        look_up_booking(crash, random_below(crash, first));
    crash->judged_bookings = count;
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
    look_up_bookings(crash, all);
    finish_requests(crash);
    crash->durations.lookup_ns += hf_monotonic_now_ns() - began_ns;
}

static bool is_booking_inventory(uint64_t inventory_id)
{
    return inventory_id >= HF_WITNESS_FIRST_INVENTORY;
}

static void check_inventories(struct crash *crash, const struct rest *rest)
{
    uint32_t created = HF_BOOKING_INVENTORIES;
    for (uint32_t i = 0; i < rest->count && !failed(crash); i++)
        if (is_booking_inventory(rest->inventories[i].inventory_id))
            hf_witness_check_inventory(&crash->witness, &rest->inventories[i]);
        else
            hf_model_check_inventory(crash->model, &rest->inventories[i]);
    for (uint32_t i = 0; i < hf_model_inventory_count(crash->model); i++)
        created += hf_model_inventory(crash->model, i)->created;
    if (rest->count != created && !failed(crash))
        hf_model_contradict(crash->model, "%u inventories listed, %u created", rest->count,
                            created);
}

/* Runs `holdfast-wal verify` and reads the state hash that it prints. */
static void verify_log(struct crash *crash, uint64_t *hash)
{
    static char output[65536];
    char retain[16];
    const char *const argv[] = {crash->wal_program, "verify", crash->directory,
                                "--retain",         retain,   NULL};
    uint64_t began_ns = hf_monotonic_now_ns();
    retention_text(crash, retain);
    int status = hf_process_run(argv, output, sizeof output);
    const char *line = strstr(output, "state_hash:");
    const char *fault = strstr(output, "fault:");
    size_t length = strlen(output);
    static const char last[] = "verify: ok\n";
    *hash = line ? strtoull(line + sizeof "state_hash:" - 1, NULL, 16) : 0;
    if (status != 0 || !line || length < sizeof last - 1 ||
        strcmp(output + length - (sizeof last - 1), last) != 0)
        hf_model_contradict(crash->model, "holdfast-wal verify ended with status %d: %.400s",
                            status,
                            fault          ? fault
                            : length > 400 ? output + length - 400
                                           : output);
    crash->durations.verify_ns += hf_monotonic_now_ns() - began_ns;
}

static void list_inventories(struct crash *crash, struct rest *rest)
{
    struct hf_reply page;
    uint32_t from = 0;
    rest->count = 0;
    do {
        call(crash, HF_OP_INVENTORY_LIST, from, &page);
        for (uint32_t i = 0; i < page.count && rest->count < MAX_LISTED && !failed(crash); i++)
            rest->inventories[rest->count++] = page.inventories[i];
        from = (uint32_t)page.next;
    } while (from != 0 && !failed(crash));
}

/* Looks at everything. True if the server did not move meanwhile: then it all belongs together. */
static bool look_around(struct crash *crash, struct rest *rest)
{
    struct hf_reply before, after;
    call(crash, HF_OP_INFO, 0, &before);
    list_inventories(crash, rest);
    call(crash, HF_OP_STATE_HASH, 0, &rest->live);
    if (!failed(crash))
        verify_log(crash, &rest->hash);
    if (!failed(crash))
        hf_witness_judge(&crash->witness, crash->directory);
    if (failed(crash))
        return false;
    call(crash, HF_OP_INFO, 0, &after);
    rest->date_ns = before.info.now_ns;
    return before.info.commit_lsn + 1 == before.info.next_lsn &&
           before.info.next_lsn == after.info.next_lsn;
}

/* Waits until the server rests: holds have lapsed, offers were made. Then all must fit: SAME-STATE
 * (live, recovered and read from the log by a tool) and CONSERVATION. Returns the state hash. */
static uint64_t check_at_rest(struct crash *crash)
{
    static struct rest rest;
    char overdue[200] = "";
    uint64_t deadline_ns = hf_monotonic_now_ns() + REST_TIMEOUT_S * HF_NS_PER_S;
    while (!look_around(crash, &rest) ||
           hf_witness_is_overdue(&crash->witness, rest.date_ns - OVERDUE_NS, overdue,
                                 sizeof overdue)) {
        if (!failed(crash) && hf_monotonic_now_ns() > deadline_ns)
            hf_model_contradict(crash->model, "the server does not come to rest: %s", overdue);
        if (failed(crash))
            return 0;
        pump(crash, 5);
    }
    if (rest.live.lsn_before != rest.live.lsn_after)
        hf_model_contradict(crash->model, "an idle server moved from LSN %llu to %llu",
                            (unsigned long long)rest.live.lsn_before,
                            (unsigned long long)rest.live.lsn_after);
    if (rest.live.state_hash != rest.hash)
        hf_model_contradict(
            crash->model, "SAME-STATE: live state hash %016llx, from the log %016llx",
            (unsigned long long)rest.live.state_hash, (unsigned long long)rest.hash);
    check_inventories(crash, &rest);
    return rest.hash;
}

static void run_cycle(struct crash *crash)
{
    uint32_t first = hf_model_reservation_count(crash->model);
    uint64_t gone_ns, began_ns, cycle_began_ns = hf_monotonic_now_ns();
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
    choose_retention(crash);
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
        check_at_rest(crash);
    crash->latest_ns = hf_monotonic_now_ns() - cycle_began_ns;
}

/* ---- the whole ---- */

static void first_start(struct crash *crash)
{
    uint64_t gone_ns = 0;
    unsigned port = hf_port_find();
    snprintf(crash->listen, sizeof crash->listen, "127.0.0.1:%u", port);
    for (unsigned i = 0; i < CLIENTS; i++)
        open_client(crash, i);
    hf_witness_end_run(&crash->witness, DEFAULT_RETAIN_NS);
    start_server(crash, &gone_ns);
    if (failed(crash))
        return;
    struct hf_asking *asking;
    while ((asking = hf_bookings_set_up(&crash->bookings)) != NULL) {
        submit_booking(crash, 0, asking); /* each before the next, and before any sale */
        finish_requests(crash);
    }
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
    live = check_at_rest(crash);
    if (failed(crash))
        return;
    uint64_t rested_lsn = crash->witness.annals.last_lsn;
    stop_server(crash);
    verify_log(crash, &stopped);
    hf_witness_judge(&crash->witness, crash->directory);
    if (live != stopped && crash->witness.annals.last_lsn == rested_lsn)
        hf_model_contradict(crash->model, "SAME-STATE: %016llx before the last stop, %016llx after",
                            (unsigned long long)live, (unsigned long long)stopped);
}

static double seconds(uint64_t duration_ns)
{
    return (double)duration_ns / (double)HF_NS_PER_S;
}

static unsigned long long done(const struct crash *crash, enum hf_operation operation)
{
    return crash->witness.figures.by_operation[operation];
}

static void print_bookings(const struct crash *crash)
{
    const struct hf_witness_figures *figures = &crash->witness.figures;
    printf("crash: bookings: requests=%llu yes=%llu no=%llu unknown=%llu repeated=%llu resent=%llu "
           "records=%llu reserved=%llu held=%llu joined=%llu confirmed=%llu released=%llu "
           "cancelled=%llu extended=%llu changed=%llu moved=%llu left=%llu expired=%llu "
           "offers=%llu reacquired=%llu batches=%llu batch_records=%llu settings=%llu "
           "forgotten=%llu short_retentions=%u\n",
           (unsigned long long)figures->requests, (unsigned long long)figures->yes,
           (unsigned long long)figures->no, (unsigned long long)figures->unknown,
           (unsigned long long)figures->repeated, (unsigned long long)figures->resent,
           (unsigned long long)figures->records, done(crash, HF_OP_RESERVE),
           done(crash, HF_OP_HOLD), done(crash, HF_OP_JOIN), done(crash, HF_OP_CONFIRM),
           done(crash, HF_OP_RELEASE), done(crash, HF_OP_CANCEL), done(crash, HF_OP_EXTEND),
           done(crash, HF_OP_CHANGE), done(crash, HF_OP_MOVE), done(crash, HF_OP_LEAVE),
           (unsigned long long)figures->expired, (unsigned long long)figures->offers,
           (unsigned long long)figures->reacquired, (unsigned long long)figures->batches,
           (unsigned long long)figures->batch_records, (unsigned long long)figures->settings,
           (unsigned long long)figures->forgotten, crash->short_retentions);
}

static void print_figures(const struct crash *crash, const char *verdict)
{
    const struct hf_model_figures *figures = hf_model_figures(crash->model);
    const struct hf_witness_figures *bookings = &crash->witness.figures;
    print_bookings(crash);
    printf("crash: cycles=%u acknowledged=%llu refused=%llu unknown=%llu repeated=%llu reused=%llu "
           "resent=%llu lost=%u kills=%u stops=%u interrupted_starts=%u lsn=%llu %s\n",
           crash->cycle, (unsigned long long)(figures->grants + figures->cancels + bookings->yes),
           (unsigned long long)(figures->refusals + bookings->no),
           (unsigned long long)(figures->unknown + bookings->unknown),
           (unsigned long long)(figures->repeats + bookings->repeated),
           (unsigned long long)figures->reuses,
           (unsigned long long)(figures->resent + bookings->resent), violation_of(crash) ? 1u : 0u,
           crash->kills, crash->stops, crash->interrupted_starts,
           (unsigned long long)acknowledged_lsn(crash), verdict);
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
               (unsigned long long)acknowledged_lsn(crash));
        fflush(stdout);
    }
    if (!failed(crash))
        last_checks(crash);
}

/* Tells the outcome. Returns the exit status. */
static int conclude(struct crash *crash)
{
    const char *violation = violation_of(crash);
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
        printf("crash: the data stay in %s: see holdfast-wal dump, and history of what is named\n",
               crash->directory);
    else
        hf_directory_remove(crash->directory);
    print_figures(crash, violation ? "FAILED" : interrupted ? "interrupted" : "ok");
    return violation || interrupted ? 1 : 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: crash --cycles N --programs BUILDDIR [--seed N] [--dir DIR] [--keep]\n"
                    "             [--log-writes auto|direct|sync]\n");
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
        else if (strcmp(argv[i], "--log-writes") == 0)
            options->log_writes = value;
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
    hf_bookings_open(&crash->bookings, &crash->witness, crash->options.seed);
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
    hf_bookings_close(&crash->bookings);
    hf_witness_close(&crash->witness);
    free(crash);
    return status;
}
