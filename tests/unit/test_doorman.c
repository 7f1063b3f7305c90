/*
 * The doorman on a port of its own, with a recovery that the test moves: what peers are told while
 * the server recovers, and what becomes of their connections when it is over.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/codec.h"
#include "net/doorman.h"
#include "net/recovery_report.h"
#include "tests/lib/vectors.h"
#include "tests/lib/wire.h"

#define ASKED        20000
#define VECTORS_PATH "docs/vectors/protocol.txt"

static int listener;
static char address[32];
static struct hf_progress progress;
static struct hf_doorman *doorman;
static _Atomic int stop_wanted;

static bool is_stop_wanted(void)
{
    return stop_wanted != 0;
}

static void open_door(uint32_t visitors)
{
    struct sockaddr_in bound = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof bound;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&bound, bytes), 0);
    cr_assert_eq(listen(listener, 512), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&bound, &bytes), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(bound.sin_port));
    const struct hf_doorman_options options = {.listener = listener,
                                               .visitors = visitors,
                                               .progress = &progress,
                                               .stop_wanted = is_stop_wanted};
    cr_assert_eq(hf_doorman_start(&doorman, &options), 0);
}

static void open_usual_door(void)
{
    open_door(HF_DOORMAN_VISITORS);
}

/* The doorman goes; whom it had is sent away. */
static void close_door(void)
{
    if (doorman != NULL)
        hf_visitors_dismiss(hf_doorman_end(doorman));
    doorman = NULL;
    close(listener);
}

TestSuite(doorman, .init = open_usual_door, .fini = close_door, .timeout = 60);
TestSuite(doorman_small, .fini = close_door, .timeout = 60);

/* ---- peers ---- */

static int dial(void)
{
    int peer = hf_wire_dial(address);
    cr_assert_geq(peer, 0);
    return peer;
}

static void send_all(int peer, const uint8_t *bytes, size_t count)
{
    cr_assert(hf_wire_send(peer, bytes, count), "send: %s", strerror(errno));
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

static size_t encode(uint8_t *bytes, enum hf_operation operation, uint64_t tag)
{
    static const uint64_t ids[1] = {1};
    static const struct hf_line lines[1] = {
        {.operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 1, .qty = 1}};
    struct hf_request request = {.operation = operation,
                                 .id = {.bytes = {1}},
                                 .inventory_id = 1,
                                 .qty = 1,
                                 .capacity = 1,
                                 .limit = 1,
                                 .ttl_ns = 1,
                                 .count = operation == HF_OP_SUBSCRIBE ? 0 : 1,
                                 .lines = lines,
                                 .ids = ids,
                                 .change = {.fields = HF_SET_SELL_LIMIT}};
    return hf_request_encode(bytes, &request, tag);
}

static void send_request(int peer, enum hf_operation operation, uint64_t tag)
{
    uint8_t bytes[512];
    send_all(peer, bytes, encode(bytes, operation, tag));
}

static struct hf_reply ask(int peer, enum hf_operation operation)
{
    struct hf_frame frame;
    struct hf_reply reply;
    send_request(peer, operation, 77);
    cr_assert(next_reply(peer, &frame, &reply));
    cr_assert_eq(frame.tag, 77);
    cr_assert_eq(reply.operation, operation);
    return reply;
}

/* True if the connection ends without a word, and in order. */
static bool ends(int peer)
{
    uint8_t byte;
    return recv(peer, &byte, 1, 0) == 0;
}

/* ---- answers ---- */

/* Each operation, well formed: NOT_READY, with its tag, and how far the recovery is. */
Test(doorman, every_operation_is_told_that_it_is_not_ready)
{
    int peer = dial();
#define X(name, number, bytes) HF_OP_##name,
    static const enum hf_operation operations[] = {HF_OPERATIONS(X)};
#undef X
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (operations[i] == HF_OP_STATUS)
            continue;
        hf_progress_note(&progress, i, 100, 0);
        struct hf_reply reply = ask(peer, operations[i]);
        cr_expect_eq(reply.result, HF_NOT_READY, "%d: %s", operations[i],
                     hf_result_name(reply.result));
        cr_expect_eq(reply.available, (int32_t)i);
    }
    close(peer);
}

Test(doorman, status_tells_how_far_the_recovery_is)
{
    int peer = dial();
    hf_progress_note(&progress, 1234, 5000, 10);
    struct hf_reply reply = ask(peer, HF_OP_STATUS);
    cr_expect_eq(reply.result, HF_FOUND);
    cr_expect_eq(reply.status.state, HF_SERVER_RECOVERING);
    cr_expect_eq(reply.status.percent, 24);
    cr_expect_eq(reply.status.recovery_done_bytes, 1234);
    cr_expect_eq(reply.status.recovery_total_bytes, 5000);
    cr_expect_eq(reply.status.recovered_records, 10);
    hf_progress_note(&progress, 5000, 5000, 40); /* all is read, but not served yet */
    cr_expect_eq(ask(peer, HF_OP_STATUS).status.percent, 99);
    close(peer);
}

/* SIGTERM has come: the recovery is cancelled, requests hear that the server stops. */
Test(doorman, a_stop_that_is_wanted_cancels_the_recovery)
{
    int peer = dial();
    cr_expect_eq(ask(peer, HF_OP_PING).result, HF_NOT_READY);
    cr_expect_not(hf_progress_cancelled(&progress));
    stop_wanted = 1;
    for (int tries = 0; tries < 500 && !hf_progress_cancelled(&progress); tries++)
        usleep(10000);
    cr_expect(hf_progress_cancelled(&progress));
    cr_expect_eq(ask(peer, HF_OP_PING).result, HF_SHUTTING_DOWN);
    cr_expect_eq(ask(peer, HF_OP_STATUS).status.state, HF_SERVER_STOPPING);
    close(peer);
}

static void check_refusal(const struct hf_vector *vector)
{
    struct hf_frame sent, frame;
    struct hf_reply reply;
    int peer = dial();
    hf_frame_read(vector->bytes, &sent);
    send_all(peer, vector->bytes, vector->byte_count);
    bool decoded = next_reply(peer, &frame, &reply);
    cr_assert(decoded, "%s", hf_vector_text(vector, "name"));
    cr_expect_eq(reply.result, hf_vector_number(vector, "result"), "%s",
                 hf_vector_text(vector, "name"));
    cr_expect_eq(reply.field, hf_vector_number(vector, "field"));
    cr_expect_eq(frame.tag, sent.frame_bytes < HF_FRAME_HEADER_BYTES ? 0 : sent.tag);
    if (hf_vector_find(vector, "line") != NULL)
        cr_expect_eq(reply.line, hf_vector_number(vector, "line"));
    bool fatal =
        sent.frame_bytes < HF_FRAME_HEADER_BYTES || sent.frame_bytes > HF_MAX_REQUEST_BYTES;
    if (fatal)
        cr_expect(ends(peer), "%s", hf_vector_text(vector, "name"));
    else
        cr_expect_eq(ask(peer, HF_OP_STATUS).result, HF_FOUND, "the connection stays");
    close(peer);
}

/* Every bad request of the vectors gets the answer that a ready server gives. */
Test(doorman, what_is_wrong_with_a_request_comes_first)
{
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "bad-request", check_refusal), 80);
}

/* ---- bytes ---- */

#define PIPELINED 20000

/* 20,000 pings and looks at the status, by turns, in one go while nobody reads; then all replies, in
 * order. */
Test(doorman, pipelined_requests_are_answered_in_order)
{
    static uint8_t bytes[PIPELINED * HF_FRAME_HEADER_BYTES];
    int peer = dial();
    size_t sent = 0, read = 0;
    for (uint64_t i = 0; i < PIPELINED; i++)
        encode(bytes + i * HF_FRAME_HEADER_BYTES, i % 8 == 7 ? HF_OP_STATUS : HF_OP_PING, i);
    while (read < PIPELINED) {
        ssize_t count = sent == sizeof bytes ? 0
                                             : send(peer, bytes + sent, sizeof bytes - sent,
                                                    MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += count > 0 ? (size_t)count : 0;
        struct hf_frame frame;
        struct hf_reply reply;
        cr_assert(next_reply(peer, &frame, &reply));
        cr_assert_eq(frame.tag, read);
        cr_assert_eq(reply.result, read % 8 == 7 ? HF_FOUND : HF_NOT_READY);
        read++;
    }
    close(peer);
}

/* A byte at a time, each in a segment of its own; another one is served meanwhile. */
Test(doorman, a_slow_peer_holds_up_nobody)
{
    int slow = dial(), quick = dial(), one = 1;
    uint8_t bytes[HF_RESERVE_BYTES];
    setsockopt(slow, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    size_t count = encode(bytes, HF_OP_RESERVE, 5);
    for (size_t i = 0; i < count; i++) {
        send_all(slow, bytes + i, 1);
        cr_assert_eq(ask(quick, HF_OP_PING).result, HF_NOT_READY);
    }
    struct hf_frame frame;
    struct hf_reply reply;
    cr_assert(next_reply(slow, &frame, &reply));
    cr_expect_eq(reply.result, HF_NOT_READY);
    cr_expect_eq(frame.tag, 5);
    close(slow);
    close(quick);
}

/* One sends and never reads until the doorman takes no more; another one is served; then the first
 * reads, and all that it sent is answered. */
Test(doorman, a_peer_that_does_not_read_is_not_received_from)
{
    int greedy = dial(), quick = dial();
    uint8_t status[HF_FRAME_HEADER_BYTES];
    size_t request_bytes = encode(status, HF_OP_STATUS, 9);
    uint64_t sent = 0;
    struct pollfd ready = {.fd = greedy, .events = POLLOUT};
    while (poll(&ready, 1, 300) == 1) {
        size_t part = sent % request_bytes;
        ssize_t count =
            send(greedy, status + part, request_bytes - part, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += count > 0 ? (uint64_t)count : 0;
        cr_assert_lt(sent, 64u << 20, "it takes without end");
    }
    cr_expect_gt(sent, 10000);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(ask(quick, HF_OP_PING).result, HF_NOT_READY);
    for (uint64_t i = 0; i < sent / request_bytes; i++) {
        struct hf_frame frame;
        struct hf_reply reply;
        cr_assert(next_reply(greedy, &frame, &reply));
        cr_assert_eq(reply.result, HF_FOUND);
    }
    close(greedy);
    close(quick);
}

/* A length that cannot be right, behind three requests and before another: three answers, then the
 * refusal, then the end, however much is sent yet. */
Test(doorman, a_stream_that_cannot_be_trusted_is_ended_behind_its_answers)
{
    uint8_t bytes[8 * HF_FRAME_HEADER_BYTES];
    struct hf_frame frame = {.frame_bytes = 3, .version = 1, .operation = HF_OP_PING, .tag = 4};
    struct hf_reply reply;
    int peer = dial();
    size_t count = 0;
    for (uint64_t tag = 1; tag <= 3; tag++)
        count += encode(bytes + count, HF_OP_PING, tag);
    hf_frame_write(bytes + count, &frame);
    count += HF_FRAME_HEADER_BYTES;
    count += encode(bytes + count, HF_OP_PING, 5);
    send_all(peer, bytes, count);
    for (uint64_t tag = 1; tag <= 3; tag++) {
        cr_assert(next_reply(peer, &frame, &reply));
        cr_expect_eq(frame.tag, tag);
        cr_expect_eq(reply.result, HF_NOT_READY);
    }
    send_request(peer, HF_OP_PING, 6);
    cr_assert(next_reply(peer, &frame, &reply));
    cr_expect_eq(frame.tag, 0);
    cr_expect_eq(reply.result, HF_BAD_FRAME);
    cr_expect(ends(peer));
    close(peer);
}

/* The peer ends its half behind its requests: it gets its answers, and then the other half's end. */
Test(doorman, a_peer_that_has_sent_all_still_gets_its_answers)
{
    int peer = dial();
    struct hf_frame frame;
    struct hf_reply reply;
    send_request(peer, HF_OP_PING, 1);
    send_request(peer, HF_OP_RESERVE, 2);
    shutdown(peer, SHUT_WR);
    cr_assert(next_reply(peer, &frame, &reply));
    cr_assert(next_reply(peer, &frame, &reply));
    cr_expect_eq(frame.tag, 2);
    cr_expect(ends(peer));
    close(peer);
}

/* ---- how many ---- */

/* As many as there is room for have come and ask nothing; the next one is served all the same, and it
 * is the one who has been quiet for longest that has to go. */
Test(doorman_small, who_asks_nothing_makes_room)
{
    enum { ROOM = 8 };
    int peers[ROOM];
    open_door(ROOM);
    for (int i = 0; i < ROOM; i++) {
        peers[i] = dial();
        if (i != 1)
            cr_assert_eq(ask(peers[i], HF_OP_PING).result, HF_NOT_READY);
    }
    usleep(300 * 1000);
    cr_assert_eq(ask(peers[0], HF_OP_PING).result, HF_NOT_READY);
    int next = dial();
    cr_assert_eq(ask(next, HF_OP_PING).result, HF_NOT_READY);
    cr_expect(ends(peers[1]), "it asked nothing");
    cr_assert_eq(ask(peers[0], HF_OP_PING).result, HF_NOT_READY);
    for (int i = 2; i < ROOM; i++)
        cr_assert_eq(ask(peers[i], HF_OP_PING).result, HF_NOT_READY);
}

/* No descriptor to spare: nobody is let in, and everybody waits for the workers. */
Test(doorman_small, nobody_is_let_in_where_there_is_no_room)
{
    open_door(0);
    int peer = dial();
    send_request(peer, HF_OP_PING, 1);
    struct pollfd answer = {.fd = peer, .events = POLLIN};
    cr_expect_eq(poll(&answer, 1, 300), 0);
    cr_expect_null(hf_doorman_end(doorman));
    doorman = NULL;
    int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_expect_geq(accepted, 0, "it waits in the queue of the port");
    uint8_t bytes[HF_FRAME_HEADER_BYTES];
    cr_expect_eq(recv(accepted, bytes, sizeof bytes, 0), (ssize_t)sizeof bytes);
    close(accepted);
    close(peer);
}

/* The process may open no more files for a while: then it goes on. */
Test(doorman, running_out_of_descriptors_is_survived)
{
    struct rlimit limit, low;
    int first = dial();
    cr_assert_eq(ask(first, HF_OP_PING).result, HF_NOT_READY);
    int second = dial(); /* connected by the kernel, whoever accepts it */
    cr_assert_eq(ask(second, HF_OP_PING).result, HF_NOT_READY);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int third = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    low = (struct rlimit){.rlim_cur = (rlim_t)third + 1, .rlim_max = limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct sockaddr_in to;
    socklen_t bytes = sizeof to;
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&to, &bytes), 0);
    cr_assert_eq(connect(third, (struct sockaddr *)&to, bytes), 0);
    struct timeval patience = {.tv_sec = HF_WIRE_PATIENCE_S};
    setsockopt(third, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    usleep(200 * 1000);
    cr_expect_eq(ask(first, HF_OP_PING).result, HF_NOT_READY);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_expect_eq(ask(third, HF_OP_PING).result, HF_NOT_READY);
}

/* ---- hostile peers ---- */

static uint64_t seed;

/* splitmix64 */
static uint64_t random_u64(void)
{
    uint64_t mixed = seed += 0x9e3779b97f4a7c15ull;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
    return mixed ^ mixed >> 31;
}

static uint32_t random_below(uint32_t bound)
{
    return (uint32_t)(random_u64() >> 32) % bound;
}

/* Requests of all kinds, some with wrong bytes, the last one perhaps cut; or any bytes. */
static size_t make_hostile(uint8_t *bytes, size_t room)
{
    size_t count = 0;
    if (random_below(4) == 0) {
        while (count + sizeof(uint64_t) <= room / 8) {
            uint64_t any = random_u64();
            memcpy(bytes + count, &any, sizeof any);
            count += sizeof any;
        }
        return count;
    }
    while (count + 512 < room && random_below(20) != 0) {
        size_t more = encode(bytes + count, (enum hf_operation)random_below(60), random_u64());
        if (more != 0 && random_below(10) == 0)
            bytes[count + random_below((uint32_t)more)] = (uint8_t)random_u64();
        count += more;
    }
    return count == 0 ? 0 : count - random_below(8) % count;
}

/* Thirty peers at a time send whatever comes to their minds, read some of it, vanish by a reset or in
 * order; one asks for the status all the time, and is told. */
Test(doorman, hostile_peers_hold_up_nobody)
{
    enum { ROUNDS = 4000, PEERS = 30 };
    static uint8_t bytes[32768], ignored[4096];
    int peers[PEERS], looks = dial();
    seed = hf_monotonic_now_ns();
    cr_log_info("seed %llu", (unsigned long long)seed);
    for (int i = 0; i < PEERS; i++)
        peers[i] = dial();
    for (int round = 0; round < ROUNDS; round++) {
        int *peer = &peers[random_below(PEERS)];
        size_t count = make_hostile(bytes, sizeof bytes);
        (void)send(*peer, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (random_below(2) == 0)
            (void)recv(*peer, ignored, sizeof ignored, MSG_DONTWAIT);
        if (random_below(10) == 0) {
            struct linger reset = {.l_onoff = 1};
            if (random_below(2) == 0)
                setsockopt(*peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(*peer);
            *peer = dial();
        }
        if (round % 10 == 0)
            cr_assert_eq(ask(looks, HF_OP_STATUS).result, HF_FOUND);
    }
    for (int i = 0; i < PEERS; i++)
        close(peers[i]);
    close(looks);
}

/* ---- the end ---- */

/* Ends the doorman. Returns its one visitor. */
static struct hf_visitor *only_visitor(void)
{
    struct hf_visitor *visitor = hf_doorman_end(doorman);
    doorman = NULL;
    cr_assert_not_null(visitor);
    cr_assert_null(visitor->next);
    return visitor;
}

/* It may take a moment until the doorman has seen what was sent. */
static void settle(void)
{
    usleep(100 * 1000);
}

/* Somebody who only asked for the status, and has sent half a request: a worker can go on with it. */
Test(doorman, who_was_refused_nothing_is_handed_over_with_what_he_has_begun)
{
    uint8_t bytes[HF_RESERVE_BYTES];
    int peer = dial();
    cr_assert_eq(ask(peer, HF_OP_STATUS).result, HF_FOUND);
    encode(bytes, HF_OP_RESERVE, 3);
    send_all(peer, bytes, 40);
    settle();
    struct hf_visitor *visitor = only_visitor();
    cr_expect_not(visitor->refused);
    cr_expect_not(visitor->fatal);
    cr_expect_eq(visitor->input_bytes, 40);
    cr_expect_eq(memcmp(visitor->input, bytes, 40), 0);
    cr_expect_eq(visitor->output_begin, visitor->output_end);
    hf_visitors_dismiss(visitor);
    close(peer);
}

/* A connection whose own buffers are of that size. */
static int dial_with_buffer(int buffer_bytes)
{
    struct timeval patience = {.tv_sec = HF_WIRE_PATIENCE_S};
    struct sockaddr_in to;
    socklen_t to_bytes = sizeof to;
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&to, &to_bytes), 0);
    cr_assert_eq(connect(peer, (struct sockaddr *)&to, to_bytes), 0);
    return peer;
}

/* Ten thousand requests of somebody who was refused once arrive just before the end: they are answered
 * to the last one, and then the connection ends. Several times, as it may have been quick. */
Test(doorman_small, who_was_refused_once_is_refused_to_the_end)
{
    enum { LAST = 10000, TIMES = 10 };
    static uint8_t bytes[LAST * HF_FRAME_HEADER_BYTES];
    for (uint64_t i = 0; i < LAST; i++)
        encode(bytes + i * HF_FRAME_HEADER_BYTES, HF_OP_PING, i);
    for (int time = 0; time < TIMES; time++) {
        open_usual_door();
        int peer = dial_with_buffer(1 << 20);
        cr_assert_eq(ask(peer, HF_OP_PING).result, HF_NOT_READY);
        send_all(peer, bytes, sizeof bytes);
        struct hf_visitor *visitor = only_visitor();
        cr_expect(visitor->refused);
        hf_visitors_dismiss(visitor);
        for (uint64_t i = 0; i < LAST; i++) {
            struct hf_frame frame;
            struct hf_reply reply;
            cr_assert(next_reply(peer, &frame, &reply), "%llu", (unsigned long long)i);
            cr_assert_eq(frame.tag, i);
            cr_assert_eq(reply.result, HF_NOT_READY);
        }
        cr_expect(ends(peer));
        close(peer);
        close(listener);
    }
    open_usual_door();
}

/* Asks for the status without reading, until the doorman takes no more. */
static void ask_without_reading(int peer)
{
    static uint8_t bytes[ASKED * HF_FRAME_HEADER_BYTES];
    size_t sent = 0;
    struct pollfd ready = {.fd = peer, .events = POLLOUT};
    for (uint64_t i = 0; i < ASKED; i++)
        encode(bytes + i * HF_FRAME_HEADER_BYTES, HF_OP_STATUS, i);
    while (sent < sizeof bytes && poll(&ready, 1, 300) == 1) {
        ssize_t count = send(peer, bytes + sent, sizeof bytes - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += count > 0 ? (size_t)count : 0;
    }
}

/* A peer that reads nothing: what it is owed is handed over with it, every byte once. */
Test(doorman, what_is_owed_is_handed_over)
{
    int peer = dial_with_buffer(4096);
    ask_without_reading(peer);
    settle();
    struct hf_visitor *visitor = only_visitor();
    cr_expect_not(visitor->refused);
    uint32_t owed = visitor->output_end - visitor->output_begin;
    cr_assert_gt(owed, 0);
    /* In the end of what the socket takes, the bytes of the visitor follow those that were sent. */
    static uint8_t received[ASKED * HF_STATUS_REPLY_BYTES];
    size_t got = 0;
    ssize_t count;
    struct pollfd readable = {.fd = peer, .events = POLLIN};
    while (poll(&readable, 1, 300) == 1 &&
           (count = recv(peer, received + got, sizeof received - got, 0)) > 0)
        got += (size_t)count;
    memcpy(received + got, visitor->output + visitor->output_begin, owed);
    got += owed;
    cr_assert_eq(got % HF_STATUS_REPLY_BYTES, 0);
    for (size_t i = 0; i < got / HF_STATUS_REPLY_BYTES; i++) {
        struct hf_frame frame;
        hf_frame_read(received + i * HF_STATUS_REPLY_BYTES, &frame);
        cr_assert_eq(frame.tag, i);
    }
    /* What comes next stands in its input, or in the socket behind it. */
    struct hf_frame next;
    cr_assert_geq(visitor->input_bytes, HF_FRAME_HEADER_BYTES);
    hf_frame_read(visitor->input, &next);
    cr_expect_eq(next.tag, got / HF_STATUS_REPLY_BYTES);
    visitor->output_begin = visitor->output_end;
    hf_visitors_dismiss(visitor);
    close(peer);
}

struct counted {
    int peer;
    uint64_t replies; /* whole ones, in order, until the end */
};

static void *count_replies(void *context)
{
    struct counted *counted = context;
    struct hf_frame frame;
    struct hf_reply reply;
    while (next_reply(counted->peer, &frame, &reply) && frame.tag == counted->replies)
        counted->replies++;
    return NULL;
}

/* Somebody who begins to read when the server is about to end still gets all that was answered. */
Test(doorman, who_is_dismissed_gets_what_he_is_owed)
{
    struct counted counted = {.peer = dial_with_buffer(4096)};
    struct hf_frame next;
    pthread_t thread;
    ask_without_reading(counted.peer);
    settle();
    struct hf_visitor *visitor = only_visitor();
    cr_assert_geq(visitor->input_bytes, HF_FRAME_HEADER_BYTES, "not all could be answered");
    hf_frame_read(visitor->input, &next);
    cr_assert_eq(pthread_create(&thread, NULL, count_replies, &counted), 0);
    hf_visitors_dismiss(visitor);
    pthread_join(thread, NULL);
    cr_expect_eq(counted.replies, next.tag);
    close(counted.peer);
}

/* The server cannot start: whoever was let in gets what it is owed, and an end in order. */
Test(doorman, who_is_dismissed_gets_an_end_in_order)
{
    int peers[3] = {dial(), dial(), dial()};
    for (int i = 0; i < 3; i++)
        send_request(peers[i], HF_OP_PING, 1);
    struct hf_frame frame;
    struct hf_reply reply;
    cr_assert(next_reply(peers[0], &frame, &reply));
    cr_assert(next_reply(peers[1], &frame, &reply));
    cr_assert(next_reply(peers[2], &frame, &reply));
    send_request(peers[1], HF_OP_PING, 2);
    uint64_t began_ns = hf_monotonic_now_ns();
    hf_visitors_dismiss(hf_doorman_end(doorman));
    doorman = NULL;
    cr_expect_lt(hf_monotonic_now_ns() - began_ns, 5 * HF_NS_PER_S);
    cr_assert(next_reply(peers[1], &frame, &reply));
    cr_expect_eq(frame.tag, 2);
    for (int i = 0; i < 3; i++)
        cr_expect(ends(peers[i]));
}

/* ---- progress, and the report ---- */

Test(progress, percent_is_below_a_hundred_whatever_the_numbers)
{
    static const struct {
        uint64_t done, total;
        unsigned percent;
    } cases[] = {{0, 0, 0},
                 {5, 0, 0},
                 {0, 10, 0},
                 {1, 3, 33},
                 {999, 1000, 99},
                 {1000, 1000, 99},
                 {2000, 1000, 99},
                 {UINT64_MAX - 1, UINT64_MAX, 99},
                 {UINT64_MAX / 2, UINT64_MAX, 50}};
    cr_expect(hf_progress_note(NULL, 1, 2, 3), "nobody looks");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hf_progress some = {0};
        cr_expect(hf_progress_note(&some, cases[i].done, cases[i].total, 0));
        cr_expect_eq(hf_progress_percent(&some), cases[i].percent, "%zu: %u", i,
                     hf_progress_percent(&some));
    }
}

/* The total grows in the middle, and what is done begins anew: the percentage stays, and goes on when
 * it is reached. */
Test(progress, percent_never_falls)
{
    struct hf_progress some = {0};
    hf_progress_note(&some, 50, 100, 0);
    cr_expect_eq(hf_progress_percent(&some), 50);
    hf_progress_note(&some, 60, 1000, 0);
    cr_expect_eq(hf_progress_percent(&some), 50);
    hf_progress_note(&some, 0, 1000, 0);
    cr_expect_eq(hf_progress_percent(&some), 50);
    hf_progress_note(&some, 510, 1000, 0);
    cr_expect_eq(hf_progress_percent(&some), 51);
}

Test(progress, who_works_is_told_when_nobody_wants_it_any_more)
{
    struct hf_progress some = {0};
    cr_expect(hf_progress_note(&some, 1, 2, 3));
    hf_progress_cancel(&some);
    cr_expect(hf_progress_cancelled(&some));
    cr_expect_not(hf_progress_note(&some, 1, 2, 3));
    cr_expect_eq(hf_load_relaxed(&some.records), 3);
}

Test(recovery_report, the_line_tells_how_far_how_fast_and_how_long)
{
    char line[HF_RECOVERY_LINE_BYTES];
    struct hf_progress some = {0};
    hf_recovery_line(line, &some, HF_NS_PER_S);
    cr_expect_str_eq(line, "recovering: 0%");
    hf_progress_note(&some, 1218000000, 2900000000, 10200000);
    hf_recovery_line(line, &some, 2 * HF_NS_PER_S);
    cr_expect_str_eq(line, "recovering: 42% (1.2 of 2.9 GB), 5.1 M records/s, 2.8 s left");
    some = (struct hf_progress){0};
    hf_progress_note(&some, 500000, 2000000, 1500);
    hf_recovery_line(line, &some, 3 * HF_NS_PER_S);
    cr_expect_str_eq(line, "recovering: 25% (0.5 of 2.0 MB), 0.5 k records/s, 9.0 s left");
    hf_progress_note(&some, 2000000, 2000000, 6000);
    hf_recovery_line(line, &some, 3 * HF_NS_PER_S);
    cr_expect_str_eq(line, "recovering: 99% (2.0 of 2.0 MB), 2.0 k records/s");
    hf_progress_note(&some, UINT64_MAX - 1, UINT64_MAX, UINT64_MAX);
    hf_recovery_line(line, &some, 1);
    cr_expect_lt(strlen(line), sizeof line);
}

/* Into a file: nothing in the first second, then a line, and the next five seconds later. */
Test(recovery_report, lines_come_after_a_second_and_then_every_five)
{
    static const uint64_t looks_ms[] = {0, 500, 999, 1000, 1001, 3000, 5999, 6000, 6001, 11000};
    static const unsigned lines[] = {0, 0, 0, 1, 1, 1, 1, 2, 2, 3};
    char text[1024];
    struct hf_progress some = {0};
    struct hf_recovery_report report;
    FILE *out = tmpfile();
    cr_assert_not_null(out);
    hf_recovery_report_begin(&report, out, 70 * HF_NS_PER_S);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        hf_recovery_report_tick(&report, &some, 70 * HF_NS_PER_S + looks_ms[i] * HF_NS_PER_MS);
        cr_expect_eq((unsigned)ftell(out), lines[i] * strlen("holdfastd: recovering: 0%\n"),
                     "at %llu ms", (unsigned long long)looks_ms[i]);
    }
    hf_recovery_report_end(&report);
    rewind(out);
    cr_assert_not_null(fgets(text, sizeof text, out));
    cr_expect_str_eq(text, "holdfastd: recovering: 0%\n");
    fclose(out);
}

/* On a terminal: one line, written over, and gone in the end. */
Test(recovery_report, on_a_terminal_one_line_is_written_over)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    FILE *out = fopen(ptsname(master), "we");
    cr_assert_not_null(out);
    char text[256] = "";
    struct hf_progress some = {0};
    struct hf_recovery_report report;
    hf_recovery_report_begin(&report, out, 0);
    for (uint64_t now_ms = 0; now_ms <= 1300; now_ms += 50)
        hf_recovery_report_tick(&report, &some, now_ms * HF_NS_PER_MS);
    hf_recovery_report_end(&report);
    ssize_t count = read(master, text, sizeof text - 1);
    cr_assert_gt(count, 0);
    cr_expect_str_eq(text, "\rholdfastd: recovering: 0%\033[K\rholdfastd: recovering: 0%\033[K"
                           "\r\033[K");
    fclose(out);
    close(master);
}
