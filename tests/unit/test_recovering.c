/*
 * A real server that takes long to recover: what its clients see meanwhile, and afterwards. The log
 * is that of a real server; the disk reads it as slowly as the test wants (tests/lib/slow_disk.h).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomics.h"
#include "base/clock.h"
#include "holdfast/client.h"
#include "net/codec.h"
#include "net/feed.h"
#include "net/server.h"
#include "tests/lib/process.h"
#include "tests/lib/slow_disk.h"
#include "tests/lib/stress.h"
#include "tests/lib/wire.h"
#include "wal/segment_header.h"

#define RESERVATIONS 32768u /* about four segments */
#define CAPACITY     1000000u
#define SCARCE       2u /* an inventory of one unit */
#define OUTPUT_BYTES 4096

static char directory[HF_DIRECTORY_TEXT_BYTES], data[HF_DIRECTORY_TEXT_BYTES + 8];
static char disk_path[HF_DIRECTORY_TEXT_BYTES + 8], address[128], output[OUTPUT_BYTES];
static char wal_program[HF_PROGRAM_TEXT_BYTES];
static struct hf_daemon server;
static struct hf_slow_disk *disk;

static const char *const extra[] = {"--segment-bytes", "1048576", "--durability", "memory", NULL};

/* ---- servers ---- */

static void fill_log(void)
{
    struct hf_client *client;
    struct hf_client_options options = {.server = server.address};
    struct hf_request create = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = 1, .capacity = CAPACITY};
    struct hf_reply reply;
    struct hf_line lines[HF_MAX_BATCH_LINES];
    cr_assert_eq(hf_client_open(&options, &client), 0);
    cr_assert_eq(hf_client_call_sync(client, &create, &reply), HF_CREATED);
    create.inventory_id = SCARCE;
    create.capacity = 1;
    cr_assert_eq(hf_client_call_sync(client, &create, &reply), HF_CREATED);
    for (uint32_t made = 0; made < RESERVATIONS; made += HF_MAX_BATCH_LINES) {
        for (uint32_t i = 0; i < HF_MAX_BATCH_LINES; i++)
            lines[i] = (struct hf_line){.operation = HF_OP_RESERVE,
                                        .id = hf_id_of_number(made + i),
                                        .inventory_id = 1,
                                        .customer_id = 1,
                                        .qty = 1};
        struct hf_request batch = {
            .operation = HF_OP_BATCH, .count = HF_MAX_BATCH_LINES, .lines = lines};
        cr_assert_eq(hf_client_call_sync(client, &batch, &reply), HF_BATCH_DONE);
    }
    hf_client_close(client);
}

/* A log of some segments, and nobody who serves it. */
static void make_log(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    snprintf(data, sizeof data, "%s/data", directory);
    snprintf(disk_path, sizeof disk_path, "%s/disk", directory);
    hf_program_path("holdfast-wal", wal_program);
    disk = hf_slow_disk_map(disk_path);
    cr_assert_not_null(disk);
    cr_assert_eq(hf_daemon_start_in(&server, data, extra), 0, "%s", server.error);
    fill_log();
    cr_assert_eq(hf_daemon_stop(&server), 0);
}

static void clean_up(void)
{
    hf_daemon_forget(&server);
    hf_slow_disk_unmap(disk);
    hf_directory_remove(directory);
}

TestSuite(recovering, .init = make_log, .fini = clean_up, .timeout = 120);

static const char *const *options_extra = extra;
static const char *slow_program; /* NULL: holdfastd-slow */

/* Starts the server, each of whose reads takes so long. There are about a dozen. Returns as soon as
 * its port answers, which is the same at the next start. */
static void start_slowly(unsigned read_delay_ms)
{
    if (address[0] == '\0')
        snprintf(address, sizeof address, "127.0.0.1:%u", hf_port_find());
    hf_store_relaxed(&disk->read_delay_ns, read_delay_ms * HF_NS_PER_MS);
    struct hf_daemon_options options = {
        .program = slow_program, .directory = data, .listen = address, .extra = options_extra};
    int launched = slow_program != NULL ? hf_daemon_launch(&server, &options)
                                        : hf_slow_disk_launch(disk_path, &server, &options);
    cr_assert_eq(launched, 0, "%s", server.error);
    int peer = -1;
    for (int tries = 0; tries < 1000 && (peer = hf_wire_dial(address)) < 0; tries++)
        usleep(5000);
    cr_assert_geq(peer, 0);
    close(peer);
}

/* Starts it slowly through a shell that gives it few descriptors. */
static void start_limited(unsigned read_delay_ms, unsigned descriptors)
{
    static char script[sizeof directory + 16];
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfastd-slow", program);
    snprintf(script, sizeof script, "%s/limited", directory);
    FILE *file = fopen(script, "we");
    cr_assert_not_null(file);
    fprintf(file, "#!/bin/sh\nulimit -n %u\nexec %s \"$@\"\n", descriptors, program);
    cr_assert_eq(fchmod(fileno(file), 0700), 0);
    fclose(file);
    setenv(HF_SLOW_DISK_VARIABLE, disk_path, 1);
    slow_program = script;
    start_slowly(read_delay_ms);
}

/* The disk is quick again: the server is ready soon. */
static void let_recover(void)
{
    hf_store_relaxed(&disk->read_delay_ns, 0);
    cr_assert_eq(hf_daemon_await(&server), 0, "%s", server.error);
    cr_expect_eq(server.recovery.reservations, RESERVATIONS, "%s", server.ready);
}

/* ---- peers ---- */

static int dial(void)
{
    int peer = hf_wire_dial(address);
    cr_assert_geq(peer, 0);
    return peer;
}

static struct hf_request reserve(uint32_t number, uint64_t inventory_id)
{
    return (struct hf_request){.operation = HF_OP_RESERVE,
                               .id = hf_id_of_number(number),
                               .inventory_id = inventory_id,
                               .customer_id = number,
                               .qty = 1};
}

static void send_request(int peer, const struct hf_request *request, uint64_t tag)
{
    uint8_t bytes[HF_RESERVE_BYTES];
    cr_assert(hf_wire_send(peer, bytes, hf_request_encode(bytes, request, tag)), "%s",
              strerror(errno));
}

/* The next reply. False: the connection has ended. */
static bool next_reply(int peer, struct hf_frame *frame, struct hf_reply *reply)
{
    uint8_t bytes[HF_STATUS_REPLY_BYTES];
    if (!hf_wire_receive(peer, bytes, HF_FRAME_HEADER_BYTES))
        return false;
    hf_frame_read(bytes, frame);
    cr_assert_leq(frame->frame_bytes, sizeof bytes);
    cr_assert(hf_wire_receive(peer, bytes + HF_FRAME_HEADER_BYTES,
                              frame->frame_bytes - HF_FRAME_HEADER_BYTES));
    cr_assert(hf_reply_decode(bytes, frame, reply, NULL));
    return true;
}

static struct hf_reply ask(int peer, enum hf_operation operation)
{
    const struct hf_request request = {.operation = operation, .inventory_id = 1};
    struct hf_frame frame;
    struct hf_reply reply;
    send_request(peer, &request, 1);
    cr_assert(next_reply(peer, &frame, &reply));
    return reply;
}

/* True if the connection ends without a word, and in order. */
static bool ends(int peer)
{
    uint8_t byte;
    return recv(peer, &byte, 1, 0) == 0;
}

static struct hf_client *open_client(uint32_t request_timeout_ms)
{
    struct hf_client *client;
    struct hf_client_options options = {.server = address,
                                        .request_timeout_ms = request_timeout_ms};
    cr_assert_eq(hf_client_open(&options, &client), 0);
    return client;
}

/* ---- the command line ---- */

static int holdfast(const char *const words[])
{
    char program[HF_PROGRAM_TEXT_BYTES];
    const char *argv[12] = {program, "--server", address};
    hf_program_path("holdfast", program);
    for (size_t i = 0; words[i] != NULL; i++)
        argv[3 + i] = words[i];
    return hf_process_run_within(60, argv, output, sizeof output);
}

#define HOLDFAST(...) holdfast((const char *const[]){__VA_ARGS__, NULL})

/* ---- from outside ---- */

/* Two peers look all the time: the percentage rises, and never falls, until the server is ready. The
 * one who was told NOT_READY has to come again; the other one never notices. */
Test(recovering, the_percentage_rises_until_the_server_is_ready)
{
    uint64_t began_ns = hf_monotonic_now_ns();
    start_slowly(400);
    int looks = dial(), pings = dial();
    unsigned percent = 0, steps = 0;
    struct hf_reply reply;
    for (;;) {
        reply = ask(looks, HF_OP_STATUS);
        cr_assert_eq(reply.result, HF_FOUND);
        if (reply.status.state == HF_SERVER_READY)
            break;
        cr_assert_eq(reply.status.state, HF_SERVER_RECOVERING);
        cr_assert_geq(reply.status.percent, percent);
        cr_assert_leq(reply.status.recovery_done_bytes, reply.status.recovery_total_bytes);
        steps += reply.status.percent > percent;
        percent = reply.status.percent;
        if (hf_load_relaxed(&disk->reads) < 6) {
            reply = ask(pings, HF_OP_PING);
            cr_assert_eq(reply.result, HF_NOT_READY);
            cr_assert_geq(reply.available, (int32_t)percent);
        }
        usleep(10000);
    }
    cr_expect_gt(hf_monotonic_now_ns() - began_ns, HF_NS_PER_S, "it was to take long");
    cr_expect_geq(steps, 4);
    cr_expect_eq(reply.status.percent, 100);
    cr_expect_eq(reply.status.recovered_records, RESERVATIONS + 2);
    cr_expect_eq(reply.status.first_kept_segment, 1);
    cr_expect_geq(reply.status.active_segment, 4);
    cr_expect_eq(reply.status.segment_bytes, 1048576);
    cr_expect_eq(reply.status.kept_bytes, reply.status.active_segment * 1048576);
    cr_expect_geq(reply.status.bytes_since_snapshot, (uint64_t)RESERVATIONS * 128);
    cr_expect(ends(pings));
    close(pings);
    pings = dial();
    cr_expect_eq(ask(pings, HF_OP_PING).result, HF_OK);
    cr_expect_eq(ask(looks, HF_OP_INVENTORY_GET).inventory.confirmed, RESERVATIONS);
    let_recover();
    hf_daemon_messages(&server, output, sizeof output);
    cr_expect(strstr(output, "holdfastd: recovering: "), "%s", output);
    cr_expect(strstr(output, "% ("), "%s", output);
}

/* The same where most of the state is in a snapshot, and the log behind it is read after it. */
Test(recovering, the_percentage_rises_through_a_snapshot)
{
    cr_assert_eq(hf_daemon_start_in(&server, data, extra), 0, "%s", server.error);
    snprintf(address, sizeof address, "%s", server.address);
    cr_expect_eq(HOLDFAST("snapshot", "--wait", "60s"), 0, "%s", output);
    cr_expect(strncmp(output, "snapshot at LSN 32770 of ", 25) == 0, "%s", output);
    cr_expect_eq(HOLDFAST("reserve", "1", "--customer", "1"), 0, "%s", output);
    cr_assert_eq(hf_daemon_stop(&server), 0);
    address[0] = '\0';
    start_slowly(200);
    int peer = dial();
    unsigned percent = 0, steps = 0;
    struct hf_reply reply;
    for (;;) {
        reply = ask(peer, HF_OP_STATUS);
        if (reply.status.state != HF_SERVER_RECOVERING)
            break;
        cr_assert_geq(reply.status.percent, percent);
        steps += reply.status.percent > percent;
        percent = reply.status.percent;
        usleep(5000);
    }
    cr_expect_geq(steps, 2);
    cr_expect_eq(reply.status.snapshots_kept, 1);
    cr_expect_eq(reply.status.snapshot_lsn, RESERVATIONS + 2);
    cr_expect_gt(reply.status.snapshot_bytes, (uint64_t)RESERVATIONS * 128);
    cr_expect_lt(reply.status.bytes_since_snapshot, 3u << 20);
    cr_expect_geq(reply.status.recovered_records, RESERVATIONS + 3);
    cr_expect_eq(ask(peer, HF_OP_INVENTORY_GET).inventory.confirmed, RESERVATIONS + 1);
}

#define ASKED 3000u

/* Reserves sent in one go while it recovers: each is told NOT_READY, nothing was done of any, and the
 * connection ends behind the last answer. */
Test(recovering, what_is_told_not_ready_was_not_done)
{
    static bool told[ASKED];
    start_slowly(400);
    int peer = dial();
    for (uint32_t i = 0; i < ASKED; i++) {
        struct hf_request request = reserve(RESERVATIONS + i, 1);
        send_request(peer, &request, i);
    }
    struct hf_frame frame;
    struct hf_reply reply;
    for (uint32_t i = 0; i < ASKED; i++) {
        cr_assert(next_reply(peer, &frame, &reply));
        cr_assert_eq(reply.result, HF_NOT_READY);
        cr_assert_lt(frame.tag, ASKED);
        cr_assert_not(told[frame.tag]);
        told[frame.tag] = true;
    }
    let_recover();
    cr_expect(ends(peer));
    close(peer);
    peer = dial();
    for (uint32_t i = 0; i < ASKED; i++) {
        struct hf_request get = {.operation = HF_OP_RESERVATION_GET,
                                 .id = hf_id_of_number(RESERVATIONS + i)};
        send_request(peer, &get, i);
        cr_assert(next_reply(peer, &frame, &reply));
        cr_assert_eq(reply.result, HF_NOT_FOUND);
    }
    cr_expect_eq(ask(peer, HF_OP_INVENTORY_GET).inventory.available, CAPACITY - RESERVATIONS);
    close(peer);
}

/* Half a reserve came while it recovered, the other half comes when it is ready: granted. */
Test(recovering, who_only_waited_is_served_on_the_same_connection)
{
    uint8_t bytes[HF_RESERVE_BYTES];
    struct hf_request request = reserve(RESERVATIONS, 1);
    struct hf_frame frame;
    struct hf_reply reply;
    start_slowly(400);
    int silent = dial(), half = dial();
    size_t count = hf_request_encode(bytes, &request, 9);
    cr_assert(hf_wire_send(half, bytes, 50));
    usleep(200 * 1000);
    let_recover();
    cr_assert(hf_wire_send(half, bytes + 50, count - 50));
    cr_assert(next_reply(half, &frame, &reply));
    cr_expect_eq(reply.result, HF_GRANTED);
    cr_expect_eq(frame.tag, 9);
    cr_expect_eq(ask(silent, HF_OP_PING).result, HF_OK);
    cr_expect_eq(ask(silent, HF_OP_INFO).info.connections, 2);
}

/* One asks twenty thousand times how it is, and reads nothing before the server is ready: every answer
 * comes, once, in order, whoever gave it. */
Test(recovering, what_was_owed_before_is_paid_afterwards)
{
    enum { LOOKS = 20000 };
    static uint8_t bytes[LOOKS * HF_FRAME_HEADER_BYTES];
    const struct hf_request status = {.operation = HF_OP_STATUS};
    start_slowly(400);
    int peer = dial();
    size_t sent = 0;
    for (uint64_t i = 0; i < LOOKS; i++)
        hf_request_encode(bytes + i * HF_FRAME_HEADER_BYTES, &status, i);
    struct pollfd ready = {.fd = peer, .events = POLLOUT};
    while (sent < sizeof bytes && poll(&ready, 1, 200) == 1) {
        ssize_t part = send(peer, bytes + sent, sizeof bytes - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += part > 0 ? (size_t)part : 0;
    }
    let_recover();
    unsigned state = HF_SERVER_RECOVERING;
    for (uint64_t i = 0; i < sent / HF_FRAME_HEADER_BYTES; i++) {
        struct hf_frame frame;
        struct hf_reply reply;
        cr_assert(next_reply(peer, &frame, &reply), "%llu", (unsigned long long)i);
        cr_assert_eq(frame.tag, i);
        cr_assert_eq(reply.result, HF_FOUND);
        cr_assert_geq(reply.status.state, state);
        state = reply.status.state;
    }
    if (sent % HF_FRAME_HEADER_BYTES != 0)
        cr_assert(
            hf_wire_send(peer, bytes + sent, HF_FRAME_HEADER_BYTES - sent % HF_FRAME_HEADER_BYTES));
    cr_assert_eq(ask(peer, HF_OP_STATUS).result, HF_FOUND);
    close(peer);
}

/* Descriptors for the server and a handful more; sixty come. It has what it needs to get ready. */
Test(recovering, visitors_leave_the_server_what_it_needs)
{
    enum { CROWD = 60, NEEDED = 25 + HF_FEED_READERS + 1 };
    static const char *const few[] = {"--workers", "1", "--segment-bytes", "1048576", NULL};
    int peers[CROWD];
    options_extra = few;
    start_limited(200, NEEDED + 5);
    for (int i = 0; i < CROWD; i++)
        peers[i] = dial();
    const struct hf_request ping = {.operation = HF_OP_PING};
    send_request(peers[0], &ping, 1);
    let_recover();
    for (int i = 0; i < CROWD; i++)
        close(peers[i]);
    peers[0] = dial();
    cr_expect_eq(ask(peers[0], HF_OP_PING).result, HF_OK);
    close(peers[0]);
}

/* More than there is room for at the door, of all kinds: those that are still there when it is ready
 * are served or ended in order, and the others can come again. */
Test(recovering, a_crowd_at_the_door_is_served_in_the_end)
{
    enum { CROWD = 400 };
    static int peers[CROWD];
    start_slowly(400);
    for (int i = 0; i < CROWD; i++) {
        struct hf_request ping = {.operation = HF_OP_PING};
        peers[i] = dial();
        if (i % 3 != 0)
            send_request(peers[i], &ping, 1);
    }
    let_recover();
    for (int i = 0; i < CROWD; i++) {
        struct hf_request ping = {.operation = HF_OP_PING};
        struct hf_frame frame;
        struct hf_reply reply;
        if (i % 3 == 0)
            (void)hf_wire_send(peers[i], (uint8_t[16]){16, 0, 0, 0, 1, HF_OP_PING}, 16);
        if (next_reply(peers[i], &frame, &reply)) {
            cr_assert(reply.result == HF_OK || reply.result == HF_NOT_READY);
            cr_assert(i % 3 != 0 || reply.result == HF_OK, "it came when the server was ready");
        }
        close(peers[i]);
        peers[i] = dial();
        send_request(peers[i], &ping, 2);
    }
    for (int i = 0; i < CROWD; i++) {
        struct hf_frame frame;
        struct hf_reply reply;
        cr_assert(next_reply(peers[i], &frame, &reply), "%d", i);
        cr_assert_eq(reply.result, HF_OK);
    }
}

/* ---- the client library ---- */

struct told {
    unsigned count, results[2 * ASKED];
    bool resent;
};

static void tell(void *context, const struct hf_reply *reply)
{
    struct told *told = context;
    told->results[told->count++] = reply->result;
    told->resent |= reply->resent;
}

/* A unit that is reserved and cancelled a thousand times, submitted while the server recovers: the
 * client waits, and all is done in its order, as if nothing had been. */
Test(recovering, the_client_waits_until_the_server_is_ready)
{
    enum { PAIRS = 1000 };
    static struct told told;
    start_slowly(400);
    struct hf_client *client = open_client(60000);
    for (uint32_t i = 0; i < PAIRS; i++) {
        struct hf_request request = reserve(RESERVATIONS + i, SCARCE);
        cr_assert_eq(hf_client_submit(client, &request, tell, &told, NULL), 0);
        request = (struct hf_request){.operation = HF_OP_CANCEL, .id = request.id};
        cr_assert_eq(hf_client_submit(client, &request, tell, &told, NULL), 0);
    }
    while (hf_client_connects(client) == 0)
        hf_client_wait(client, 10);
    hf_client_wait(client, 300);
    cr_expect_eq(told.count, 0, "nothing is told before it is ready");
    cr_expect_eq(hf_client_outstanding(client), 2 * PAIRS);
    hf_store_relaxed(&disk->read_delay_ns, 0);
    while (hf_client_outstanding(client) != 0)
        hf_client_wait(client, 1000);
    for (uint32_t i = 0; i < 2 * PAIRS; i++)
        cr_assert_eq(told.results[i], i % 2 == 0 ? HF_GRANTED : HF_CANCELLED, "%u: %s", i,
                     hf_result_name(told.results[i]));
    cr_expect_not(told.resent, "no copy of any may have been done before");
    cr_expect_eq(hf_client_connects(client), 2);
    hf_client_close(client);
}

static bool watch(void *context, const struct hf_reply *reply)
{
    struct told *told = context;
    tell(told, reply);
    return told->count < 2;
}

/* Patience that ends while the server recovers: NOT_READY, which is a definite "nothing was done". A
 * watch has no end of patience. */
Test(recovering, a_client_that_is_impatient_learns_that_nothing_was_done)
{
    static struct told told;
    start_slowly(400);
    struct hf_client *client = open_client(300);
    struct hf_request subscribe = {.operation = HF_OP_SUBSCRIBE, .from_lsn = 1};
    cr_assert_eq(hf_client_watch(client, &subscribe, watch, &told), 0);
    struct hf_request request = reserve(RESERVATIONS, 1);
    struct hf_reply reply;
    cr_expect_eq(hf_client_call_sync(client, &request, &reply), HF_NOT_READY, "%s",
                 hf_result_name(reply.result));
    cr_expect_leq(reply.available, 99);
    cr_expect_not(reply.resent);
    request = (struct hf_request){.operation = HF_OP_PING};
    cr_expect_eq(hf_client_call_sync(client, &request, &reply), HF_NOT_READY, "at once");
    request.operation = HF_OP_STATUS;
    cr_expect_eq(hf_client_call_sync(client, &request, &reply), HF_FOUND);
    cr_expect_eq(reply.status.state, HF_SERVER_RECOVERING);
    cr_expect_eq(told.count, 0);
    let_recover();
    for (int tries = 0; tries < 100 && told.count < 2; tries++)
        hf_client_wait(client, 100);
    cr_expect_eq(told.results[0], HF_SUBSCRIBED);
    cr_expect_eq(told.results[1], HF_RECORDS);
    cr_expect_not(told.resent, "it began only once");
    hf_client_close(client);
}

Test(recovering, the_command_line_tells_that_it_is_not_ready)
{
    unsigned percent;
    start_slowly(1500);
    cr_expect_eq(HOLDFAST("ping"), 3);
    cr_expect_eq(sscanf(output, "holdfast: not ready: recovering, %u%%\n", &percent), 1, "%s",
                 output);
    cr_expect_eq(HOLDFAST("ping", "--json"), 3);
    cr_expect(strstr(output, "{\"result\":\"NOT_READY\"") && strstr(output, "\"percent\":"), "%s",
              output);
    cr_expect_eq(HOLDFAST("ping", "--wait", "300ms"), 3);
    cr_expect(strstr(output, "not ready"), "%s", output);
    cr_expect_eq(HOLDFAST("status"), 0);
    cr_expect(strncmp(output, "state         recovering, ", 26) == 0, "%s", output);
    cr_expect_eq(HOLDFAST("status", "--json"), 0);
    cr_expect(strstr(output, "{\"state\":\"recovering\",\"percent\":"), "%s", output);
    cr_expect_eq(HOLDFAST("info"), 3);
    cr_expect(strstr(output, "NOT_READY"), "%s", output);
    cr_expect_eq(HOLDFAST("--timeout", "200", "reserve", "1", "--customer", "1"), 3);
    cr_expect(strstr(output, "NOT_READY"), "%s", output);
    cr_expect_eq(HOLDFAST("snapshot", "--timeout", "200"), 3);
    hf_store_relaxed(&disk->read_delay_ns, 0);
    cr_expect_eq(HOLDFAST("ping", "--wait", "30s"), 0, "%s", output);
    cr_expect_eq(HOLDFAST("info"), 0);
    cr_expect(strstr(output, "\nstate         ready\n"), "%s", output);
}

/* ---- the end of a server that is not ready ---- */

/* Everything of the log is there, it verifies, and nobody has written to it in vain. */
static void expect_unharmed(void)
{
    const char *const argv[] = {wal_program, "verify", data, NULL};
    cr_expect_eq(hf_process_run_within(60, argv, output, sizeof output), 0, "%s", output);
    hf_store_relaxed(&disk->read_delay_ns, 0);
    cr_assert_eq(hf_daemon_start_in(&server, data, extra), 0, "%s", server.error);
    cr_expect_eq(server.recovery.reservations, RESERVATIONS);
    cr_expect_eq(server.recovery.records, RESERVATIONS + 2);
    snprintf(address, sizeof address, "%s", server.address);
    int peer = dial();
    cr_expect_eq(ask(peer, HF_OP_INFO).info.epoch, 2, "the one before wrote nothing");
    cr_expect_eq(ask(peer, HF_OP_INVENTORY_GET).inventory.confirmed, RESERVATIONS);
    close(peer);
}

/* SIGTERM in the middle: the end comes soon, with status 0; whoever is there gets an end in order. */
Test(recovering, sigterm_ends_it_soon_and_harms_nothing)
{
    start_slowly(300);
    int pings = dial(), looks = dial();
    cr_expect_eq(ask(pings, HF_OP_PING).result, HF_NOT_READY);
    while (ask(looks, HF_OP_STATUS).status.percent < 20)
        usleep(10000);
    uint64_t began_ns = hf_monotonic_now_ns();
    cr_expect_eq(hf_daemon_stop(&server), 0);
    cr_expect_lt(hf_monotonic_now_ns() - began_ns, 2 * HF_NS_PER_S);
    cr_expect(ends(pings));
    cr_expect(ends(looks));
    hf_daemon_messages(&server, output, sizeof output);
    cr_expect(strstr(output, "holdfastd: Terminated, stopped: "), "%s", output);
    expect_unharmed();
}

/* SIGKILL in the middle, with clients connected: the next start finds all. */
Test(recovering, sigkill_harms_nothing)
{
    start_slowly(200);
    int peer = dial();
    struct hf_client *client = open_client(60000);
    static struct told told;
    struct hf_request request = reserve(RESERVATIONS, SCARCE);
    cr_assert_eq(hf_client_submit(client, &request, tell, &told, NULL), 0);
    while (ask(peer, HF_OP_STATUS).status.percent < 20)
        hf_client_wait(client, 10);
    hf_daemon_kill(&server);
    hf_client_wait(client, 50);
    cr_expect_eq(told.count, 0);
    start_slowly(0);
    let_recover();
    while (hf_client_outstanding(client) != 0)
        hf_client_wait(client, 100);
    cr_expect_eq(told.count, 1);
    cr_expect_eq(told.results[0], HF_GRANTED);
    cr_expect_not(told.resent, "the one that was killed was never ready");
    hf_client_close(client);
    hf_daemon_kill(&server);
    int status = hf_process_run_within(60, (const char *const[]){wal_program, "verify", data, NULL},
                                       output, sizeof output);
    cr_expect_eq(status, 0, "%s", output);
}

static struct hf_io slow_io;

static ssize_t read_slowly(struct hf_io *io, int file, void *buffer, size_t bytes, uint64_t offset)
{
    usleep(50 * 1000);
    return hf_io_posix()->read_at(io, file, buffer, bytes, offset);
}

static void *open_server(void *context)
{
    const struct hf_server_options options = {
        .listen = address, .workers = 1, .store = {.directory = data, .io = &slow_io}};
    struct hf_server *opened;
    *(int *)context = hf_server_open(&opened, &options, output);
    return NULL;
}

static void damage_log(void)
{
    char path[sizeof data + HF_SEGMENT_NAME_BYTES], name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(3, name);
    snprintf(path, sizeof path, "%s/%s", data, name);
    int file = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(pwrite(file, "damage", 6, 300000), 6);
    close(file);
}

/* The same server within a process that goes on when it could not start: nobody is left waiting. */
Test(recovering, a_server_that_cannot_start_leaves_nobody_behind)
{
    int result = 0, peer = -1;
    pthread_t thread;
    damage_log();
    slow_io = *hf_io_posix();
    slow_io.read_at = read_slowly;
    snprintf(address, sizeof address, "127.0.0.1:%u", hf_port_find());
    cr_assert_eq(pthread_create(&thread, NULL, open_server, &result), 0);
    for (int tries = 0; tries < 1000 && (peer = hf_wire_dial(address)) < 0; tries++)
        usleep(5000);
    cr_expect_eq(ask(peer, HF_OP_PING).result, HF_NOT_READY);
    pthread_join(thread, NULL);
    cr_expect_eq(result, -EBADMSG, "%s", output);
    cr_expect(ends(peer));
    close(peer);
}

/* The log turns out to be damaged: the server refuses to start, and those who wait get an end. */
Test(recovering, who_waits_for_a_server_that_cannot_start_gets_an_end)
{
    damage_log();
    start_slowly(100);
    int pings = dial(), looks = dial();
    cr_expect_eq(ask(pings, HF_OP_PING).result, HF_NOT_READY);
    cr_expect_eq(ask(looks, HF_OP_STATUS).result, HF_FOUND);
    int status = 0;
    for (int tries = 0; tries < 2000 && hf_daemon_running(&server, &status); tries++)
        usleep(10000);
    cr_expect_eq(status, 1);
    cr_expect(ends(pings));
    cr_expect(ends(looks));
}
