/*
 * The client library against a scripted server (tests/lib/peer.h): pipelining, connections that
 * break, time-outs, addresses. Its resending is in test_client_resend.c, its watches in
 * test_client_watch.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "holdfast/client.h"
#include "net/codec.h"
#include "tests/lib/peer.h"

#define MAX_ANSWERS 20000

/* The answer to a RESERVE: granted, with LSN 1000 + qty to tell the answers apart. */
static size_t encode_grant(uint8_t *out, uint64_t tag, const struct hf_request *request)
{
    struct hf_reservation reservation = {.id = request->id,
                                         .inventory_id = request->inventory_id,
                                         .customer_id = request->customer_id,
                                         .lsn = 1000 + request->qty,
                                         .made_at_ns = 7,
                                         .changed_at_ns = 7,
                                         .qty = request->qty,
                                         .sequence = 1,
                                         .state = HF_STATE_CONFIRMED};
    return hf_reply_encode_reservation(out, HF_OP_RESERVE, tag, HF_GRANTED, &reservation, false);
}

static void send_grant(int fd, uint64_t tag, const struct hf_request *request)
{
    uint8_t bytes[HF_RESERVATION_REPLY_BYTES];
    hf_peer_send(fd, bytes, encode_grant(bytes, tag, request));
}

/* ---- the customers of the client -------------------------------------------------------- */

static struct {
    unsigned count;
    struct hf_reply replies[MAX_ANSWERS]; /* by request, not by arrival */
    unsigned times[MAX_ANSWERS];
} answers;

static void note_answer(void *context, const struct hf_reply *reply)
{
    size_t request = (size_t)(uintptr_t)context;
    answers.replies[request] = *reply;
    answers.times[request]++;
    answers.count++;
}

/* Submits a RESERVE of `number` units, whose answer is noted under `number`. */
static struct hf_id submit(struct hf_client *client, unsigned number)
{
    struct hf_request request = {
        .operation = HF_OP_RESERVE, .inventory_id = 42, .customer_id = 1001, .qty = number};
    struct hf_id id;
    cr_assert_eq(hf_client_submit(client, &request, note_answer, (void *)(uintptr_t)number, &id),
                 0);
    return id;
}

static void wait_for_answers(struct hf_client *client, unsigned count)
{
    uint64_t since_ns = hf_monotonic_now_ns();
    while (answers.count < count)
        hf_peer_move_client(client, since_ns);
    cr_assert_eq(answers.count, count);
}

static void check_granted(unsigned number, bool resent)
{
    const struct hf_reply *reply = &answers.replies[number];
    cr_assert_eq(answers.times[number], 1, "request %u was answered %u times", number,
                 answers.times[number]);
    cr_assert_eq(reply->result, HF_GRANTED, "request %u: %s", number,
                 hf_result_name(reply->result));
    cr_assert_eq(reply->operation, HF_OP_RESERVE);
    cr_assert_eq(reply->reservation.qty, number);
    cr_assert_eq(reply->reservation.lsn, 1000 + number);
    cr_assert_eq(reply->resent, resent, "request %u", number);
}

static void check_result(unsigned number, unsigned result)
{
    cr_assert_eq(answers.times[number], 1);
    cr_assert_eq(answers.replies[number].result, result, "request %u: %s", number,
                 hf_result_name(answers.replies[number].result));
}

/* ---- pipelining ------------------------------------------------------------------------- */

Test(client, a_request_is_answered)
{
    /* One request, one answer, on the first connection. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    cr_assert_not(hf_client_connected(client));
    struct hf_id id = submit(client, 3);
    cr_assert_eq(hf_client_outstanding(client), 1);
    int fd = hf_peer_accept(&server, client);
    struct hf_request request;
    uint64_t tag = hf_peer_receive(client, fd, &request);
    cr_assert(hf_id_equal(&request.id, &id));
    cr_assert_eq(request.inventory_id, 42);
    cr_assert_eq(request.customer_id, 1001);
    send_grant(fd, tag, &request);
    wait_for_answers(client, 1);
    check_granted(3, false);
    cr_assert(hf_id_equal(&answers.replies[3].reservation.id, &id));
    cr_assert_eq(hf_client_outstanding(client), 0);
    cr_assert(hf_client_connected(client));
    cr_assert_eq(hf_client_connects(client), 1);
    hf_client_close(client);
}

Test(client, replies_in_reverse_order_find_their_requests)
{
    /* 500 requests in flight, more than the first slots, answered last first, in one segment. */
    enum { COUNT = 500 };
    static uint8_t bytes[COUNT * HF_RESERVATION_REPLY_BYTES];
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    for (unsigned i = 1; i <= COUNT; i++)
        submit(client, i);
    int fd = hf_peer_accept(&server, client);
    for (unsigned i = 1; i <= COUNT; i++) {
        struct hf_request request;
        uint64_t tag = hf_peer_receive(client, fd, &request);
        cr_assert_eq(request.qty, i, "requests are sent in order");
        encode_grant(bytes + (size_t)(COUNT - i) * HF_RESERVATION_REPLY_BYTES, tag, &request);
    }
    hf_peer_send(fd, bytes, sizeof bytes);
    wait_for_answers(client, COUNT);
    for (unsigned i = 1; i <= COUNT; i++)
        check_granted(i, false);
    hf_client_close(client);
}

Test(client, frames_may_come_byte_by_byte)
{
    /* Two replies, each byte in a segment of its own, the client working after each. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    submit(client, 1);
    submit(client, 2);
    int fd = hf_peer_accept(&server, client);
    for (unsigned i = 1; i <= 2; i++) {
        uint8_t bytes[HF_RESERVATION_REPLY_BYTES];
        struct hf_request request;
        uint64_t tag = hf_peer_receive(client, fd, &request);
        encode_grant(bytes, tag, &request);
        for (size_t j = 0; j < sizeof bytes; j++) {
            cr_assert_eq(answers.count, i - 1, "answered before the frame was whole");
            hf_peer_send(fd, bytes + j, 1);
            (void)hf_client_wait(client, 1);
        }
        wait_for_answers(client, i);
        check_granted(i, false);
    }
    hf_client_close(client);
}

Test(client, a_server_that_does_not_read_holds_up_but_loses_nothing)
{
    /* Over a megabyte of requests into a socket whose peer begins to read only when it is full. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    int small = 4096;
    cr_assert_eq(setsockopt(server.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    int fd = hf_peer_accept(&server, client);
    cr_assert_eq(setsockopt(hf_client_fd(client), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (unsigned i = 1; i < MAX_ANSWERS; i++)
        submit(client, i);
    for (unsigned i = 0; i < 20; i++)
        (void)hf_client_wait(client, 1);
    cr_assert_neq(hf_client_events(client) & POLLOUT, 0, "everything fitted into the socket");
    for (unsigned i = 1; i < MAX_ANSWERS; i++) {
        struct hf_request request;
        uint64_t tag = hf_peer_receive(client, fd, &request);
        cr_assert_eq(request.qty, i);
        send_grant(fd, tag, &request);
        if (i % 64 == 0)
            (void)hf_client_process(client);
    }
    wait_for_answers(client, MAX_ANSWERS - 1);
    for (unsigned i = 1; i < MAX_ANSWERS; i++)
        check_granted(i, false);
    hf_client_close(client);
}

struct chain {
    struct hf_client *client;
    unsigned left;
};

static void submit_two_more(void *context, const struct hf_reply *reply)
{
    struct chain *chain = context;
    struct hf_request ping = {.operation = HF_OP_PING};
    cr_assert_eq(reply->result, HF_OK);
    for (unsigned i = 0; i < 2 && chain->left > 0; i++, chain->left--)
        cr_assert_eq(hf_client_submit(chain->client, &ping, submit_two_more, chain, NULL), 0);
    answers.count++;
}

Test(client, callbacks_may_submit)
{
    /* Every answer submits two more requests, so that the slots move while replies are taken. */
    enum { COUNT = 1000 };
    struct hf_peer server = hf_peer_start();
    struct chain chain = {.client = hf_peer_open_client(&server, 0), .left = COUNT};
    struct hf_request ping = {.operation = HF_OP_PING};
    cr_assert_eq(hf_client_submit(chain.client, &ping, submit_two_more, &chain, NULL), 0);
    int fd = hf_peer_accept(&server, chain.client);
    for (unsigned i = 0; i < COUNT + 1; i++) {
        uint64_t tag = hf_peer_receive(chain.client, fd, &ping);
        hf_peer_send_short(fd, HF_OP_PING, tag, HF_OK);
    }
    wait_for_answers(chain.client, COUNT + 1);
    cr_assert_eq(hf_client_outstanding(chain.client), 0);
    hf_client_close(chain.client);
}

Test(client, every_refusal_is_delivered_as_it_is)
{
    /* A server that is stopping, one that is sold out, one that sends a number of the future. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    for (unsigned i = 1; i <= 3; i++)
        submit(client, i);
    int fd = hf_peer_accept(&server, client);
    static const unsigned results[] = {HF_SHUTTING_DOWN, HF_SOLD_OUT, 299};
    for (unsigned i = 0; i < 3; i++) {
        struct hf_request request;
        uint8_t bytes[HF_SHORT_REPLY_BYTES];
        uint64_t tag = hf_peer_receive(client, fd, &request);
        hf_reply_encode_short(bytes, HF_OP_RESERVE, tag, results[i], HF_FIELD_NONE, -7, 99);
        hf_peer_send(fd, bytes, sizeof bytes);
    }
    wait_for_answers(client, 3);
    check_result(1, HF_SHUTTING_DOWN);
    check_result(2, HF_SOLD_OUT);
    check_result(3, 299);
    cr_assert_eq(answers.replies[2].available, -7);
    cr_assert_eq(answers.replies[2].version, 99);
    cr_assert_eq(hf_client_connects(client), 1);
    hf_client_close(client);
}

/* ---- connections that break ------------------------------------------------------------- */

Test(client, what_a_lost_connection_left_unanswered_is_sent_again_in_order)
{
    /* Five requests in flight, the third answered, then the server closes; two more meanwhile. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct hf_id ids[8];
    struct hf_request request, third = {0};
    for (unsigned i = 1; i <= 5; i++)
        ids[i] = submit(client, i);
    int fd = hf_peer_accept(&server, client);
    uint64_t tag = 0, third_tag = 0;
    for (unsigned i = 1; i <= 5; i++) {
        tag = hf_peer_receive(client, fd, &request);
        if (i == 3) {
            third = request;
            third_tag = tag;
        }
    }
    send_grant(fd, third_tag, &third);
    close(fd);
    wait_for_answers(client, 1);
    check_granted(3, false);
    for (unsigned i = 6; i <= 7; i++)
        ids[i] = submit(client, i);

    fd = hf_peer_accept(&server, client);
    static const unsigned again[] = {1, 2, 4, 5, 6, 7};
    for (unsigned i = 0; i < 6; i++) {
        tag = hf_peer_receive(client, fd, &request);
        cr_assert_eq(request.qty, again[i]);
        cr_assert(hf_id_equal(&request.id, &ids[again[i]]), "the same reservation id");
        send_grant(fd, tag, &request);
    }
    wait_for_answers(client, 7);
    for (unsigned i = 0; i < 6; i++)
        check_granted(again[i], again[i] <= 5);
    cr_assert_eq(hf_client_connects(client), 2);
    hf_client_close(client);
}

Test(client, half_a_frame_of_a_lost_connection_is_forgotten)
{
    /* The server dies in the middle of a reply; the next one answers in full. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct hf_request request;
    uint8_t bytes[HF_RESERVATION_REPLY_BYTES];
    submit(client, 1);
    int fd = hf_peer_accept(&server, client);
    encode_grant(bytes, hf_peer_receive(client, fd, &request), &request);
    hf_peer_send(fd, bytes, 50);
    for (unsigned i = 0; i < 3; i++)
        (void)hf_client_wait(client, 1);
    close(fd);
    fd = hf_peer_accept(&server, client);
    send_grant(fd, hf_peer_receive(client, fd, &request), &request);
    wait_for_answers(client, 1);
    check_granted(1, true);
    hf_client_close(client);
}

Test(client, a_request_that_was_half_sent_is_sent_again_whole)
{
    /* The socket is full in the middle of a request when the server goes away. */
    enum { COUNT = 2000 };
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    int small = 4096;
    cr_assert_eq(setsockopt(server.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    int fd = hf_peer_accept(&server, client);
    cr_assert_eq(setsockopt(hf_client_fd(client), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (unsigned i = 1; i <= COUNT; i++)
        submit(client, i);
    uint8_t some[1000];
    for (unsigned i = 0; i < 20; i++) {
        (void)hf_client_wait(client, 1);
        hf_peer_receive_bytes(client, fd, some, sizeof some);
    }
    cr_assert_neq(hf_client_events(client) & POLLOUT, 0, "everything fitted into the socket");
    close(fd);
    fd = hf_peer_accept(&server, client);
    for (unsigned i = 1; i <= COUNT; i++) {
        struct hf_request request;
        uint64_t tag = hf_peer_receive(client, fd, &request);
        cr_assert_eq(request.qty, i);
        send_grant(fd, tag, &request);
        if (i % 64 == 0)
            (void)hf_client_process(client);
    }
    wait_for_answers(client, COUNT);
    hf_client_close(client);
}

Test(client, answers_that_arrived_before_the_close_are_taken)
{
    /* A server that answers everything and closes at once, as one that stops does. */
    enum { COUNT = 300 };
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    for (unsigned i = 1; i <= COUNT; i++)
        submit(client, i);
    int fd = hf_peer_accept(&server, client);
    for (unsigned i = 1; i <= COUNT; i++) {
        struct hf_request request;
        uint64_t tag = hf_peer_receive(client, fd, &request);
        send_grant(fd, tag, &request);
    }
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    wait_for_answers(client, COUNT);
    for (unsigned i = 1; i <= COUNT; i++)
        check_granted(i, false);
    hf_client_close(client);
}

/* What a server must not send. Each gets the tag and the bytes of the request that it answers. */
static size_t size_too_small(uint8_t *out, uint64_t tag)
{
    hf_reply_encode_short(out, HF_OP_RESERVE, tag, HF_SOLD_OUT, 0, 0, 0);
    hf_put_u32(out, 15);
    return HF_SHORT_REPLY_BYTES;
}

static size_t size_too_large(uint8_t *out, uint64_t tag)
{
    hf_reply_encode_short(out, HF_OP_RESERVE, tag, HF_SOLD_OUT, 0, 0, 0);
    hf_put_u32(out, HF_MAX_REPLY_BYTES + 1);
    return HF_SHORT_REPLY_BYTES;
}

static size_t own_request(uint8_t *out, uint64_t tag)
{
    struct hf_request request = {.operation = HF_OP_RESERVE, .qty = 1};
    return hf_request_encode(out, &request, tag);
}

static size_t other_operation(uint8_t *out, uint64_t tag)
{
    return hf_reply_encode_short(out, HF_OP_CANCEL, tag, HF_NOT_FOUND, 0, 0, 0);
}

static size_t tag_without_slot(uint8_t *out, uint64_t tag)
{
    return hf_reply_encode_short(out, HF_OP_RESERVE, tag | 0xffffff, HF_SOLD_OUT, 0, 0, 0);
}

static size_t tag_of_the_future(uint8_t *out, uint64_t tag)
{
    return hf_reply_encode_short(out, HF_OP_RESERVE, tag + (1ull << 32), HF_SOLD_OUT, 0, 0, 0);
}

static size_t tag_zero(uint8_t *out, uint64_t tag)
{
    (void)tag;
    return hf_reply_encode_short(out, HF_OP_RESERVE, 0, HF_BAD_FRAME, 0, 0, 0);
}

static size_t yes_without_reservation(uint8_t *out, uint64_t tag)
{
    return hf_reply_encode_short(out, HF_OP_RESERVE, tag, HF_GRANTED, 0, 0, 0);
}

static size_t result_without_group(uint8_t *out, uint64_t tag)
{
    return hf_reply_encode_short(out, HF_OP_RESERVE, tag, 7, 0, 0, 0);
}

static size_t another_version(uint8_t *out, uint64_t tag)
{
    hf_reply_encode_short(out, HF_OP_RESERVE, tag, HF_SOLD_OUT, 0, 0, 0);
    out[4] = HF_PROTOCOL_VERSION + 1;
    return HF_SHORT_REPLY_BYTES;
}

static size_t another_protocol(uint8_t *out, uint64_t tag)
{
    (void)tag;
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    memcpy(out, text, sizeof text - 1);
    return sizeof text - 1;
}

Test(client, what_is_no_reply_costs_the_connection_and_nothing_else)
{
    /* Two requests in flight; the first is answered with garbage of each kind in turn, then both
     * are answered well on the next connection. */
    static size_t (*const garbage[])(uint8_t *, uint64_t) = {
        size_too_small,   size_too_large,       own_request,      other_operation,
        tag_without_slot, tag_of_the_future,    tag_zero,         yes_without_reservation,
        another_version,  result_without_group, another_protocol,
    };
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    unsigned number = 0;
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        uint8_t bytes[HF_RESERVATION_REPLY_BYTES];
        struct hf_request request;
        submit(client, ++number);
        submit(client, ++number);
        int fd = hf_peer_accept(&server, client);
        uint64_t tag = hf_peer_receive(client, fd, &request);
        hf_peer_send(fd, bytes, garbage[i](bytes, tag));
        int next = hf_peer_accept(&server, client);
        cr_assert_eq(answers.count, number - 2, "garbage %zu was taken for an answer", i);
        for (unsigned j = 0; j < 2; j++) {
            tag = hf_peer_receive(client, next, &request);
            cr_assert_eq(request.qty, number - 1 + j);
            send_grant(next, tag, &request);
        }
        wait_for_answers(client, number);
        check_granted(number - 1, true);
        check_granted(number, true);
        close(fd);
        close(next);
    }
    hf_client_close(client);
}

Test(client, a_server_of_another_version_is_told)
{
    /* A server that only speaks version 2 answers with a header of its own. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct hf_request request;
    submit(client, 1);
    int fd = hf_peer_accept(&server, client);
    struct hf_frame frame = {.frame_bytes = HF_FRAME_HEADER_BYTES,
                             .version = 2,
                             .operation = HF_OP_RESERVE | HF_REPLY_BIT,
                             .result = HF_UNSUPPORTED_VERSION,
                             .tag = hf_peer_receive(client, fd, &request)};
    uint8_t bytes[HF_FRAME_HEADER_BYTES];
    hf_frame_write(bytes, &frame);
    hf_peer_send(fd, bytes, sizeof bytes);
    wait_for_answers(client, 1);
    check_result(1, HF_UNSUPPORTED_VERSION);
    cr_assert_eq(answers.replies[1].field, HF_FIELD_VERSION);
    hf_client_close(client);
}

/* ---- time-outs -------------------------------------------------------------------------- */

Test(client, without_a_server_a_request_was_never_sent)
{
    /* A port at which nobody listens. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 60);
    close(server.listener);
    uint64_t since_ns = hf_monotonic_now_ns();
    submit(client, 1);
    wait_for_answers(client, 1);
    check_result(1, HF_NOT_CONNECTED);
    cr_assert_not(answers.replies[1].resent);
    cr_assert_geq(hf_monotonic_now_ns() - since_ns, 60 * HF_NS_PER_MS);
    cr_assert_eq(hf_client_connects(client), 0);
    cr_assert_str_eq(hf_client_last_error(client), "connection refused");
    hf_client_close(client);
}

Test(client, a_server_that_comes_later_is_found)
{
    /* Nobody listens at first; the request waits, and is sent once. */
    struct hf_peer server = hf_peer_start_with_backlog(16);
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct sockaddr_in address;
    socklen_t address_bytes = sizeof address;
    cr_assert_eq(getsockname(server.listener, (struct sockaddr *)&address, &address_bytes), 0);
    close(server.listener);
    submit(client, 1);
    for (unsigned i = 0; i < 20; i++)
        (void)hf_client_wait(client, 1);
    cr_assert_eq(answers.count, 0);
    int on = 1;
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    cr_assert_eq(bind(server.listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(server.listener, 16), 0);
    int fd = hf_peer_accept(&server, client);
    struct hf_request request;
    send_grant(fd, hf_peer_receive(client, fd, &request), &request);
    wait_for_answers(client, 1);
    check_granted(1, false);
    hf_client_close(client);
}

Test(client, an_attempt_to_connect_that_hangs_is_given_up)
{
    /* A listener whose queue is full: the connection is neither accepted nor refused. */
    struct hf_peer server = hf_peer_start_with_backlog(0);
    struct hf_client *fillers[4];
    for (unsigned i = 0; i < 4; i++) {
        fillers[i] = hf_peer_open_client(&server, 0);
        (void)hf_client_process(fillers[i]);
    }
    struct hf_client_options options = {
        .server = server.address, .connect_timeout_ms = 20, .request_timeout_ms = 100};
    struct hf_client *client;
    cr_assert_eq(hf_client_open(&options, &client), 0);
    submit(client, 1);
    wait_for_answers(client, 1);
    check_result(1, HF_NOT_CONNECTED);
    cr_assert_str_eq(hf_client_last_error(client), "connection timed out");
    hf_client_close(client);
    for (unsigned i = 0; i < 4; i++)
        hf_client_close(fillers[i]);
}

Test(client, a_request_without_answer_has_an_unknown_outcome)
{
    /* The server reads the request and says nothing until it is too late. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 60);
    struct hf_request first, second;
    submit(client, 1);
    int fd = hf_peer_accept(&server, client);
    uint64_t tag = hf_peer_receive(client, fd, &first);
    wait_for_answers(client, 1);
    check_result(1, HF_OUTCOME_UNKNOWN);

    /* The late answer comes while the slot serves another request, which it must not answer. */
    submit(client, 2);
    uint64_t second_tag = hf_peer_receive(client, fd, &second);
    send_grant(fd, tag, &first);
    send_grant(fd, second_tag, &second);
    wait_for_answers(client, 2);
    check_result(1, HF_OUTCOME_UNKNOWN);
    check_granted(2, false);
    cr_assert_eq(hf_client_connects(client), 1, "a late answer is no garbage");
    hf_client_close(client);
}

Test(client, what_was_sent_on_a_lost_connection_stays_unknown)
{
    /* One request is sent, then the server goes for good; another one is never sent. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 80);
    struct hf_request request;
    submit(client, 1);
    int fd = hf_peer_accept(&server, client);
    (void)hf_peer_receive(client, fd, &request);
    close(server.listener);
    close(fd);
    uint64_t since_ns = hf_monotonic_now_ns();
    while (hf_client_connected(client))
        hf_peer_move_client(client, since_ns);
    submit(client, 2);
    wait_for_answers(client, 2);
    check_result(1, HF_OUTCOME_UNKNOWN);
    check_result(2, HF_NOT_CONNECTED);
    hf_client_close(client);
}

static void submit_in_vain(void *context, const struct hf_reply *reply)
{
    struct chain *chain = context;
    struct hf_request ping = {.operation = HF_OP_PING};
    cr_assert_eq(reply->result, chain->left == 2 ? HF_OUTCOME_UNKNOWN : HF_NOT_CONNECTED);
    chain->left--;
    cr_assert_eq(hf_client_submit(chain->client, &ping, submit_in_vain, chain, NULL), -ESHUTDOWN);
}

Test(client, closing_ends_every_request)
{
    /* One request was sent, one was not; both callbacks try to submit another. */
    struct hf_peer server = hf_peer_start();
    struct chain chain = {.client = hf_peer_open_client(&server, 0), .left = 2};
    struct hf_request ping = {.operation = HF_OP_PING};
    cr_assert_eq(hf_client_submit(chain.client, &ping, submit_in_vain, &chain, NULL), 0);
    int fd = hf_peer_accept(&server, chain.client);
    (void)hf_peer_receive(chain.client, fd, &ping);
    cr_assert_eq(hf_client_submit(chain.client, &ping, submit_in_vain, &chain, NULL), 0);
    hf_client_close(chain.client);
    cr_assert_eq(chain.left, 0);
}

/* ---- addresses, events, the rest -------------------------------------------------------- */

Test(client, only_host_and_port_are_an_address)
{
    /* Addresses that lack a part, have one too many, or could be read in two ways. */
    static const char *const wrong[] = {
        "",
        ":",
        "localhost",
        "localhost:",
        ":7411",
        "host:0",
        "host:65536",
        "host:-1",
        "host:+1",
        "host:1x",
        "host:99999999999999999999",
        "::1:7411",
        "[::1]",
        "[::1]:",
        "[]:1",
        "[localhost]:7411",
        "[::1:7411",
        "::1]:7411",
        "a b:7411",
        "1:2:3",
        "[[::1]]:1",
    };
    struct hf_client *client;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct hf_client_options options = {.server = wrong[i]};
        cr_assert_eq(hf_client_open(&options, &client), -EINVAL, "'%s'", wrong[i]);
    }
    static const char *const right[] = {"127.0.0.1:1", "localhost:65535", "[::1]:7411"};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        struct hf_client_options options = {.server = right[i]};
        cr_assert_eq(hf_client_open(&options, &client), 0, "'%s'", right[i]);
        hf_client_close(client);
    }
    struct hf_client_options unknown = {.server = "no..such..host:7411"};
    cr_assert_eq(hf_client_open(&unknown, &client), -ENOENT);
    cr_assert_eq(hf_client_open(NULL, &client), 0, "the default address");
    hf_client_close(client);
}

Test(client, ipv6_is_spoken)
{
    /* A server on ::1; passed over on a machine without IPv6. */
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t address_bytes = sizeof address;
    struct hf_peer server = {.listener = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    if (server.listener < 0 ||
        bind(server.listener, (struct sockaddr *)&address, sizeof address) != 0)
        return;
    cr_assert_eq(listen(server.listener, 1), 0);
    cr_assert_eq(getsockname(server.listener, (struct sockaddr *)&address, &address_bytes), 0);
    snprintf(server.address, sizeof server.address, "[::1]:%u", ntohs(address.sin6_port));
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct hf_request request;
    submit(client, 1);
    int fd = hf_peer_accept(&server, client);
    send_grant(fd, hf_peer_receive(client, fd, &request), &request);
    wait_for_answers(client, 1);
    check_granted(1, false);
    hf_client_close(client);
}

Test(client, an_event_loop_is_told_what_to_wait_for)
{
    /* The stations of a client's life: before it connects, idle, with something to send, waiting.
     */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 1000);
    cr_assert_eq(hf_client_fd(client), -1);
    cr_assert_eq(hf_client_timeout_ms(client), 0, "it can connect now");
    int fd = hf_peer_accept(&server, client);
    uint64_t since_ns = hf_monotonic_now_ns();
    while (!hf_client_connected(client))
        hf_peer_move_client(client, since_ns);
    cr_assert_geq(hf_client_fd(client), 0);
    cr_assert_eq(hf_client_events(client), POLLIN);
    cr_assert_eq(hf_client_timeout_ms(client), -1, "nothing to wait for but the server");
    submit(client, 1);
    cr_assert_eq(hf_client_events(client), POLLIN | POLLOUT);
    cr_assert_eq(hf_client_process(client), 0);
    cr_assert_eq(hf_client_events(client), POLLIN);
    int timeout_ms = hf_client_timeout_ms(client);
    cr_assert(timeout_ms > 0 && timeout_ms <= 1000, "%d", timeout_ms);
    struct hf_request request;
    send_grant(fd, hf_peer_receive(client, fd, &request), &request);
    wait_for_answers(client, 1);
    hf_client_close(client);
}

Test(client, a_reserve_without_id_gets_one)
{
    /* Two requests with a zero id, and one whose id the caller chose. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct hf_id first = submit(client, 1), second = submit(client, 2), used;
    cr_assert_not(hf_id_is_zero(&first));
    cr_assert_not(hf_id_equal(&first, &second));
    cr_assert_eq(first.bytes[6] >> 4, 7, "a UUIDv7");
    struct hf_request own = {.operation = HF_OP_RESERVE, .id = {.bytes = {9}}, .qty = 3};
    cr_assert_eq(hf_client_submit(client, &own, NULL, NULL, &used), 0);
    cr_assert(hf_id_equal(&used, &own.id));
    struct hf_request nonsense = {.operation = (enum hf_operation)99};
    cr_assert_eq(hf_client_submit(client, &nonsense, NULL, NULL, NULL), -EINVAL);
    cr_assert_eq(hf_client_outstanding(client), 3);
    hf_client_close(client);
}

/* A page of two inventories for LIST, OK for PING. */
static size_t answer_page_or_ok(uint8_t *out, const struct hf_frame *request, uint32_t number)
{
    const struct hf_inventory inventories[2] = {{.inventory_id = 5}, {.inventory_id = 6}};
    (void)number;
    if (request->operation == HF_OP_INVENTORY_LIST)
        return hf_reply_encode_page(out, request->tag, 0, inventories, 2);
    return hf_reply_encode_short(out, request->operation, request->tag, HF_OK, 0, 0, 0);
}

static void *serve_in_thread(void *server)
{
    hf_peer_serve(server, answer_page_or_ok);
    return NULL;
}

Test(client, a_synchronous_call_waits_for_its_answer)
{
    /* A server in a thread of its own, asked for a page and then for a sign of life. */
    struct hf_peer server = hf_peer_start();
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, serve_in_thread, &server), 0);
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct hf_request list = {.operation = HF_OP_INVENTORY_LIST, .limit = 10};
    struct hf_request ping = {.operation = HF_OP_PING};
    struct hf_reply reply;
    cr_assert_eq(hf_client_call_sync(client, &list, &reply), HF_FOUND);
    cr_assert_eq(reply.count, 2);
    cr_assert_eq(reply.inventories[0].inventory_id, 5);
    cr_assert_eq(reply.inventories[1].inventory_id, 6);
    cr_assert_eq(hf_client_call_sync(client, &ping, &reply), HF_OK);
    cr_assert_eq(reply.operation, HF_OP_PING);
    hf_client_close(client);
    pthread_join(thread, NULL);
}
