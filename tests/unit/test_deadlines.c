/*
 * Deadlines of real holds on a real server that is stopped, killed and started again: never early,
 * never confirmed late, whatever became of the server meanwhile.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "holdfast/client.h"
#include "tests/lib/process.h"

#define MS          1000000ull
#define HOLDS       100u /* of each kind */
#define CAPACITY    (3 * HOLDS)
#define SHORT_NS    (1200 * MS)
#define LONG_NS     (8000 * MS)
#define STOPPED_MS  3000u
#define LAG_NS      (1000 * MS) /* on a machine that runs other tests */
#define PATIENCE_MS 20000

/* A hold, and what was answered last about it. */
struct hold {
    struct hf_id id;
    uint64_t deadline_ns;
    unsigned result;
    struct hf_reservation reservation;
};

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct hf_daemon server;
static struct hf_client *client;
static struct hold short_holds[HOLDS], long_holds[HOLDS];

static void start(void)
{
    cr_assert_eq(hf_daemon_start_in(&server, directory, NULL), 0, "%s", server.error);
    struct hf_client_options to_it = {.server = server.address, .request_timeout_ms = PATIENCE_MS};
    cr_assert_eq(hf_client_open(&to_it, &client), 0);
}

static void kill_server(void)
{
    hf_client_close(client);
    client = NULL;
    hf_daemon_kill(&server);
}

static struct hf_reply ask(const struct hf_request *request)
{
    struct hf_reply reply;
    hf_client_call_sync(client, request, &reply);
    return reply;
}

static void prepare(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    start();
    struct hf_request create = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = 1, .capacity = CAPACITY};
    cr_assert_eq(ask(&create).result, HF_CREATED);
}

/* The log of every story here is in order. */
static void verify_and_forget(void)
{
    static char output[4096];
    char wal[HF_PROGRAM_TEXT_BYTES];
    kill_server();
    hf_program_path("holdfast-wal", wal);
    const char *const argv[] = {wal, "verify", directory, NULL};
    cr_expect_eq(hf_process_run_within(60, argv, output, sizeof output), 0, "%s", output);
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
}

TestSuite(deadlines, .init = prepare, .fini = verify_and_forget, .timeout = 120);

static void note(void *context, const struct hf_reply *reply)
{
    struct hold *hold = context;
    hold->result = reply->result;
    hold->reservation = reply->reservation;
}

static void await_answers(void)
{
    while (hf_client_outstanding(client) != 0)
        cr_assert_neq(hf_client_wait(client, PATIENCE_MS), 0);
}

/* All at once, so that the first has not lapsed when the last is made. */
static void make_holds(struct hold *holds, uint64_t ttl_ns)
{
    struct hf_request request = {
        .operation = HF_OP_HOLD, .inventory_id = 1, .customer_id = 1, .qty = 1, .ttl_ns = ttl_ns};
    for (unsigned i = 0; i < HOLDS; i++)
        cr_assert_eq(hf_client_submit(client, &request, note, &holds[i], NULL), 0);
    await_answers();
    for (unsigned i = 0; i < HOLDS; i++) {
        cr_assert_eq(holds[i].result, HF_GRANTED, "%s", hf_result_name(holds[i].result));
        cr_assert_eq(holds[i].reservation.deadline_ns, holds[i].reservation.made_at_ns + ttl_ns);
        holds[i].id = holds[i].reservation.id;
        holds[i].deadline_ns = holds[i].reservation.deadline_ns;
    }
}

static void extend_holds(struct hold *holds, uint64_t ttl_ns)
{
    for (unsigned i = 0; i < HOLDS; i++) {
        struct hf_request request = {
            .operation = HF_OP_EXTEND, .id = holds[i].id, .ttl_ns = ttl_ns};
        cr_assert_eq(hf_client_submit(client, &request, note, &holds[i], NULL), 0);
    }
    await_answers();
    for (unsigned i = 0; i < HOLDS; i++) {
        cr_assert_eq(holds[i].result, HF_EXTENDED, "%s", hf_result_name(holds[i].result));
        holds[i].deadline_ns = holds[i].reservation.deadline_ns;
    }
}

/* Hands requests about holds `from` up to, not including, `to` to the kernel; nothing is awaited. */
static void send_about(enum hf_operation operation, struct hold *holds, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct hf_request request = {.operation = operation, .id = holds[i].id};
        holds[i].result = 0;
        cr_assert_eq(hf_client_submit(client, &request, note, &holds[i], NULL), 0);
    }
    hf_client_process(client);
}

static void ask_about(enum hf_operation operation, struct hold *holds)
{
    send_about(operation, holds, 0, HOLDS);
    await_answers();
}

static void expect_all(const struct hold *holds, unsigned from, unsigned to, enum hf_result result)
{
    for (unsigned i = from; i < to; i++)
        cr_expect_eq(holds[i].result, result, "hold %u: %s instead of %s", i,
                     hf_result_name(holds[i].result), hf_result_name(result));
}

/* Looked up, they are all expired, none before its deadline and none long after it. */
static void expect_expired(struct hold *holds, uint64_t lag_ns)
{
    ask_about(HF_OP_RESERVATION_GET, holds);
    for (unsigned i = 0; i < HOLDS; i++) {
        const struct hf_reservation *now = &holds[i].reservation;
        cr_assert_eq(holds[i].result, HF_FOUND);
        cr_expect_eq(now->state, HF_STATE_EXPIRED, "hold %u is %s", i, hf_state_name(now->state));
        cr_expect_geq(now->changed_at_ns, holds[i].deadline_ns, "hold %u: early", i);
        cr_expect_leq(now->changed_at_ns, holds[i].deadline_ns + lag_ns, "hold %u: late", i);
    }
}

static void expect_held(struct hold *holds)
{
    ask_about(HF_OP_RESERVATION_GET, holds);
    for (unsigned i = 0; i < HOLDS; i++) {
        cr_expect_eq(holds[i].result, HF_FOUND);
        cr_expect_eq(holds[i].reservation.state, HF_STATE_HELD, "hold %u", i);
        cr_expect_eq(holds[i].reservation.deadline_ns, holds[i].deadline_ns);
    }
}

static uint64_t server_now_ns(void)
{
    struct hf_request info = {.operation = HF_OP_INFO};
    struct hf_reply reply = ask(&info);
    cr_assert_eq(reply.result, HF_FOUND);
    return reply.info.now_ns;
}

/* Sleeps until the server's clock is behind `date_ns` and whoever keeps the time had a moment. */
static void outlast(uint64_t date_ns)
{
    while (server_now_ns() < date_ns + 100 * MS)
        usleep(10000);
}

static struct hf_inventory inventory(void)
{
    struct hf_request get = {.operation = HF_OP_INVENTORY_GET, .inventory_id = 1};
    struct hf_reply reply = ask(&get);
    cr_assert_eq(reply.result, HF_FOUND);
    return reply.inventory;
}

static void expect_units(uint32_t held, uint32_t confirmed)
{
    struct hf_inventory now = inventory();
    cr_expect_eq(now.held, held, "held %u", now.held);
    cr_expect_eq(now.confirmed, confirmed, "confirmed %u", now.confirmed);
    cr_expect_eq(now.available, (int32_t)(CAPACITY - held - confirmed), "%d", now.available);
}

/* ---- a server that stands still ---- */

/* When this returns, it stands still: a signal takes its time, and what comes in until then is
 * answered. */
static void stop_server(void)
{
    int status;
    kill(server.pid, SIGSTOP);
    cr_assert_eq(waitpid(server.pid, &status, WUNTRACED), server.pid);
    cr_assert(WIFSTOPPED(status));
}

/* It stands still over the deadlines of half of the holds. A confirm that reaches it meanwhile is
 * decided when it goes on: for those that have lapsed by then, it is too late, even if it was sent
 * in time; for the others, it is not. */
Test(deadlines, hold_while_the_server_stands_still)
{
    make_holds(long_holds, LONG_NS);
    make_holds(short_holds, SHORT_NS);
    stop_server();
    send_about(HF_OP_CONFIRM, short_holds, 0, HOLDS / 2);
    usleep(STOPPED_MS * 1000 / 2);
    send_about(HF_OP_CONFIRM, short_holds, HOLDS / 2, HOLDS);
    send_about(HF_OP_CONFIRM, long_holds, 0, HOLDS / 2);
    usleep(STOPPED_MS * 1000 / 2);
    cr_expect_eq(hf_client_wait(client, 0), 0, "it stands still");
    kill(server.pid, SIGCONT);
    await_answers();
    expect_all(short_holds, 0, HOLDS, HF_HOLD_EXPIRED);
    expect_all(long_holds, 0, HOLDS / 2, HF_CONFIRMED);
    outlast(short_holds[HOLDS - 1].deadline_ns);
    expect_expired(short_holds, STOPPED_MS * MS + LAG_NS);
    expect_units(HOLDS / 2, HOLDS / 2);

    ask_about(HF_OP_RELEASE, long_holds);
    expect_all(long_holds, HOLDS / 2, HOLDS, HF_RELEASED);
}

/* Nobody asks for anything while it stands still: it finds by itself what has lapsed. */
Test(deadlines, that_passed_while_the_server_stood_still_are_noticed)
{
    make_holds(long_holds, LONG_NS);
    make_holds(short_holds, SHORT_NS);
    stop_server();
    usleep(STOPPED_MS * 1000);
    kill(server.pid, SIGCONT);
    outlast(short_holds[HOLDS - 1].deadline_ns);
    expect_units(HOLDS, 0);
    expect_expired(short_holds, STOPPED_MS * MS + LAG_NS);
    expect_held(long_holds);
}

/* ---- a server that is killed ---- */

/* It is started again after the deadlines: all has lapsed before the first request is answered. */
Test(deadlines, that_passed_while_no_server_ran_are_over)
{
    make_holds(short_holds, SHORT_NS);
    kill_server();
    usleep(SHORT_NS / 1000 + 100000);
    start();
    struct hf_request all = {
        .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 9, .qty = CAPACITY};
    cr_expect_eq(ask(&all).result, HF_GRANTED, "every unit can be had again at once");
    ask_about(HF_OP_CONFIRM, short_holds);
    expect_all(short_holds, 0, HOLDS, HF_HOLD_EXPIRED);
    expect_expired(short_holds, UINT32_MAX * MS);
    expect_units(0, CAPACITY);
}

/* It is started again before the deadlines: they are the same, to the nanosecond, and are kept. */
Test(deadlines, that_are_ahead_survive_a_crash)
{
    make_holds(short_holds, LONG_NS / 2);
    kill_server();
    start();
    expect_held(short_holds);
    expect_units(HOLDS, 0);
    uint64_t last_ns = short_holds[HOLDS - 1].deadline_ns;
    cr_assert_lt(server_now_ns(), short_holds[0].deadline_ns, "the restart took too long");
    outlast(last_ns);
    expect_units(0, 0);
    expect_expired(short_holds, LAG_NS);
    ask_about(HF_OP_CONFIRM, short_holds);
    expect_all(short_holds, 0, HOLDS, HF_HOLD_EXPIRED);
}

/* What lapsed before a crash stays so, and what was confirmed or extended before it, too. */
Test(deadlines, are_decided_once_whatever_crashes)
{
    make_holds(short_holds, SHORT_NS);
    make_holds(long_holds, SHORT_NS);
    extend_holds(long_holds, LONG_NS);
    outlast(short_holds[HOLDS - 1].deadline_ns);
    expect_expired(short_holds, LAG_NS);
    uint64_t lsn = short_holds[0].reservation.lsn;
    for (int crash = 0; crash < 2; crash++) {
        kill_server();
        start();
        expect_expired(short_holds, LAG_NS);
        cr_expect_eq(short_holds[0].reservation.lsn, lsn, "it expired once");
        expect_held(long_holds);
    }
    ask_about(HF_OP_CONFIRM, long_holds);
    expect_all(long_holds, 0, HOLDS, HF_CONFIRMED);
    expect_units(0, HOLDS);
}
