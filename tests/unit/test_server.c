/* A real server on a real socket, spoken to in bytes: what peers do every day, and what none
 * should. */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/codec.h"
#include "tests/lib/process.h"
#include "tests/lib/stress.h"
#include "tests/lib/wire.h"

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct hf_daemon server;

static void start(void)
{
    cr_assert_eq(hf_daemon_start_in(&server, directory, NULL), 0, "%s", server.error);
}

static void start_on_new_directory(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    start();
}

static void forget(void)
{
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
}

TestSuite(server, .init = start_on_new_directory, .fini = forget, .timeout = 120);

static int dial(void)
{
    int peer = hf_wire_dial(server.address);
    cr_assert_geq(peer, 0);
    return peer;
}

static void send_all(int peer, const uint8_t *bytes, size_t count)
{
    cr_assert(hf_wire_send(peer, bytes, count), "send: %s", strerror(errno));
}

/* The next reply. False: the server closed. */
static bool next_reply(int peer, struct hf_frame *frame, struct hf_reply *reply)
{
    static uint8_t bytes[HF_MAX_REPLY_BYTES];
    static struct hf_reply_scratch scratch;
    if (!hf_wire_receive(peer, bytes, HF_FRAME_HEADER_BYTES))
        return false;
    hf_frame_read(bytes, frame);
    cr_assert_leq(frame->frame_bytes, sizeof bytes);
    cr_assert(hf_wire_receive(peer, bytes + HF_FRAME_HEADER_BYTES,
                              frame->frame_bytes - HF_FRAME_HEADER_BYTES));
    cr_assert(hf_reply_decode(bytes, frame, reply, &scratch));
    return true;
}

static struct hf_reply ask(int peer, const struct hf_request *request)
{
    uint8_t bytes[HF_RESERVE_BYTES];
    send_all(peer, bytes, hf_request_encode(bytes, request, 1));
    struct hf_frame frame;
    struct hf_reply reply;
    cr_assert(next_reply(peer, &frame, &reply));
    cr_assert_eq(frame.tag, 1);
    return reply;
}

static void create(int peer, uint64_t inventory_id, uint32_t capacity)
{
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = inventory_id, .capacity = capacity};
    cr_assert_eq(ask(peer, &request).result, HF_CREATED);
}

static struct hf_request reserve(uint32_t number)
{
    return (struct hf_request){.operation = HF_OP_RESERVE,
                               .id = hf_id_of_number(number),
                               .inventory_id = 1,
                               .customer_id = number,
                               .qty = 1};
}

static struct hf_request about(enum hf_operation operation, uint32_t number)
{
    return (struct hf_request){.operation = operation, .id = hf_id_of_number(number)};
}

#define PAIRS 1000

/* One unit; a thousand times a reserve and its cancel, all in one send, before any reply is read.
 */
Test(server, executes_the_requests_of_a_connection_in_order)
{
    int peer = dial();
    create(peer, 1, 1);
    static uint8_t bytes[PAIRS * (64 + 32)];
    size_t count = 0;
    for (uint32_t i = 0; i < PAIRS; i++) {
        struct hf_request request = reserve(i);
        count += hf_request_encode(bytes + count, &request, 2 * i);
        request = about(HF_OP_CANCEL, i);
        count += hf_request_encode(bytes + count, &request, 2 * i + 1);
    }
    send_all(peer, bytes, count);
    for (uint32_t i = 0; i < 2 * PAIRS; i++) {
        struct hf_frame frame;
        struct hf_reply reply;
        cr_assert(next_reply(peer, &frame, &reply));
        cr_assert_eq(reply.result, frame.tag % 2 == 0 ? HF_GRANTED : HF_CANCELLED, "tag %llu: %s",
                     (unsigned long long)frame.tag, hf_result_name(reply.result));
    }
    close(peer);
}

/* A reserve is sent a byte at a time, each in a segment of its own. */
Test(server, waits_for_the_rest_of_a_frame)
{
    int peer = dial();
    create(peer, 1, 1);
    int one = 1;
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    uint8_t bytes[HF_RESERVE_BYTES];
    struct hf_request request = reserve(7);
    size_t count = hf_request_encode(bytes, &request, 99);
    for (size_t i = 0; i < count; i++) {
        send_all(peer, bytes + i, 1);
        usleep(500);
    }
    struct hf_frame frame;
    struct hf_reply reply;
    cr_assert(next_reply(peer, &frame, &reply));
    cr_assert_eq(reply.result, HF_GRANTED);
    cr_assert_eq(frame.tag, 99);
    close(peer);
}

static uint64_t resident_kib(pid_t pid)
{
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    unsigned long kib = 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmRSS: %lu kB", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

/* Sends without reading until the server takes no more for half a second. Returns whole requests.
 */
static uint64_t fill(int peer, const uint8_t *request, size_t request_bytes, size_t *part)
{
    uint64_t sent = 0;
    struct pollfd ready = {.fd = peer, .events = POLLOUT};
    while (poll(&ready, 1, 500) == 1) {
        ssize_t count = send(peer, request + sent % request_bytes,
                             request_bytes - sent % request_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN)
            continue;
        cr_assert_gt(count, 0);
        sent += (uint64_t)count;
    }
    *part = sent % request_bytes;
    return sent / request_bytes;
}

/* A peer sends requests without end and reads nothing; another one is served meanwhile; then the
 * first one reads, and every request it sent is answered. */
Test(server, stops_receiving_from_a_peer_that_does_not_read)
{
    int slow = dial(), quick = dial();
    uint64_t before_kib = resident_kib(server.pid);
    /* A page of listings is many replies' worth: 1,000 get requests in one buffer. */
    create(quick, 1, 5);
    static uint8_t requests[1000 * 24];
    struct hf_request get = {.operation = HF_OP_INVENTORY_GET, .inventory_id = 1};
    for (uint32_t i = 0; i < 1000; i++)
        hf_request_encode(requests + i * 24, &get, i);
    size_t part;
    uint64_t sent = fill(slow, requests, sizeof requests, &part) * 1000 + part / 24;
    cr_log_info("%llu requests until the window was closed", (unsigned long long)sent);
    cr_assert_gt(sent, 10000);
    cr_assert_lt(resident_kib(server.pid), before_kib + 32 * 1024);
    struct hf_request ping = {.operation = HF_OP_PING};
    for (int i = 0; i < 100; i++)
        cr_assert_eq(ask(quick, &ping).result, HF_OK);
    for (uint64_t i = 0; i < sent; i++) {
        struct hf_frame frame;
        struct hf_reply reply;
        cr_assert(next_reply(slow, &frame, &reply));
        cr_assert_eq(frame.tag, i % 1000);
    }
    close(slow);
    close(quick);
}

/* Frames whose length cannot be right: the server answers, then ends that connection only. */
Test(server, closes_after_a_length_that_cannot_be_right)
{
    static const struct {
        uint32_t frame_bytes;
        enum hf_result result;
    } cases[] = {{0, HF_BAD_FRAME},
                 {15, HF_BAD_FRAME},
                 {HF_MAX_REQUEST_BYTES + 1, HF_FRAME_TOO_LARGE},
                 {UINT32_MAX, HF_FRAME_TOO_LARGE}};
    int other = dial();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int peer = dial();
        uint8_t bytes[HF_FRAME_HEADER_BYTES];
        struct hf_frame frame = {
            .frame_bytes = cases[i].frame_bytes, .version = 1, .operation = HF_OP_PING, .tag = 5};
        hf_frame_write(bytes, &frame);
        send_all(peer, bytes, sizeof bytes);
        struct hf_reply reply;
        cr_assert(next_reply(peer, &frame, &reply));
        cr_assert_eq(reply.result, cases[i].result);
        cr_assert_not(next_reply(peer, &frame, &reply), "the connection stays open");
        close(peer);
    }
    struct hf_request ping = {.operation = HF_OP_PING};
    cr_assert_eq(ask(other, &ping).result, HF_OK);
    close(other);
}

/* Two connections, dealt to two workers, ask for the same id at the same time, 500 times. */
Test(server, two_requests_with_one_id_are_one_reservation)
{
    int peers[2] = {dial(), dial()};
    create(peers[0], 1, 1000);
    for (uint32_t i = 0; i < 500; i++) {
        uint8_t bytes[HF_RESERVE_BYTES];
        struct hf_request request = reserve(i);
        size_t count = hf_request_encode(bytes, &request, i);
        send_all(peers[0], bytes, count);
        send_all(peers[1], bytes, count);
        struct hf_frame frame;
        struct hf_reply first, second;
        cr_assert(next_reply(peers[0], &frame, &first));
        cr_assert(next_reply(peers[1], &frame, &second));
        cr_assert_eq(first.result, HF_GRANTED);
        cr_assert_eq(second.result, HF_GRANTED);
        cr_assert_eq(first.reservation.lsn, second.reservation.lsn);
        cr_assert_neq(first.repeated, second.repeated);
    }
    struct hf_request get = {.operation = HF_OP_INVENTORY_GET, .inventory_id = 1};
    cr_assert_eq(ask(peers[0], &get).inventory.available, 500);
    close(peers[0]);
    close(peers[1]);
}

#define BURST 20000

/* SIGTERM comes right behind 20,000 pipelined reserves: each is answered or was not received, and
 * what was granted is there at the next start. */
Test(server, drains_on_sigterm)
{
    int peer = dial();
    create(peer, 1, BURST);
    static uint8_t bytes[BURST * HF_RESERVE_BYTES];
    static bool granted[BURST];
    size_t count = 0;
    for (uint32_t i = 0; i < BURST; i++) {
        struct hf_request request = reserve(i);
        count += hf_request_encode(bytes + count, &request, i);
    }
    send_all(peer, bytes, count);
    kill(server.pid, SIGTERM);
    uint32_t answered = 0;
    struct hf_frame frame;
    struct hf_reply reply;
    while (next_reply(peer, &frame, &reply)) {
        cr_assert(reply.result == HF_GRANTED || reply.result == HF_SHUTTING_DOWN, "%s",
                  hf_result_name(reply.result));
        granted[frame.tag] = reply.result == HF_GRANTED;
        answered++;
    }
    cr_assert_eq(answered, BURST, "%u of %u are answered", answered, BURST);
    close(peer);
    cr_assert_eq(hf_daemon_stop(&server), 0);

    start();
    peer = dial();
    for (uint32_t i = 0; i < BURST; i++) {
        struct hf_request get = about(HF_OP_RESERVATION_GET, i);
        cr_assert_eq(ask(peer, &get).result, granted[i] ? HF_FOUND : HF_NOT_FOUND);
    }
    close(peer);
}

/* Peers vanish with a reset while their requests are executed; the next one finds all in order. */
Test(server, survives_peers_that_vanish)
{
    int peer = dial();
    create(peer, 1, 100000);
    for (uint32_t round = 0; round < 50; round++) {
        int vanishing = dial();
        uint8_t bytes[100 * HF_RESERVE_BYTES];
        size_t count = 0;
        for (uint32_t i = 0; i < 100; i++) {
            struct hf_request request = reserve(round * 100 + i);
            count += hf_request_encode(bytes + count, &request, i);
        }
        send_all(vanishing, bytes, count - round); /* sometimes with half a frame at the end */
        struct linger reset = {.l_onoff = 1};
        setsockopt(vanishing, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (round % 3 == 0)
            usleep(300);
        close(vanishing);
    }
    struct hf_request info = {.operation = HF_OP_INFO};
    for (int tries = 0; tries < 200 && ask(peer, &info).info.connections != 1; tries++)
        usleep(10000);
    cr_assert_eq(ask(peer, &info).info.connections, 1);
    struct hf_request get = {.operation = HF_OP_INVENTORY_GET, .inventory_id = 1};
    struct hf_inventory inventory = ask(peer, &get).inventory;
    cr_assert_eq((uint32_t)inventory.available + inventory.confirmed, inventory.capacity);
    close(peer);
}
