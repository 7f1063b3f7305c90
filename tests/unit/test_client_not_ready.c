/*
 * The client library and servers that are still recovering: it waits, sends again in order, and knows
 * of every copy that was told NOT_READY that it was not done (NO-GUESS). Against a scripted server;
 * see tests/lib/peer.h.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "holdfast/client.h"
#include "net/codec.h"
#include "tests/lib/peer.h"

#define PERCENT   42
#define IMPATIENT 200 /* ms */

static struct hf_peer server;
static struct hf_client *client;

struct answer {
    unsigned times;
    struct hf_reply reply;
};

static void open_client(uint32_t request_timeout_ms)
{
    server = hf_peer_start();
    client = hf_peer_open_client(&server, request_timeout_ms);
}

static void close_client(void)
{
    hf_client_close(client);
    close(server.listener);
}

TestSuite(client_not_ready, .fini = close_client, .timeout = 60);

static void note(void *context, const struct hf_reply *reply)
{
    struct answer *answer = context;
    answer->times++;
    answer->reply = *reply;
}

static void submit(struct answer *answer, const struct hf_request *request)
{
    *answer = (struct answer){0};
    cr_assert_eq(hf_client_submit(client, request, note, answer, NULL), 0);
}

static void wait_for(const struct answer *answer)
{
    uint64_t since_ns = hf_monotonic_now_ns();
    while (answer->times == 0)
        hf_peer_move_client(client, since_ns);
    cr_assert_eq(answer->times, 1);
}

/* Moves the client for a while in which nothing is to happen. */
static void idle(void)
{
    for (int i = 0; i < 20; i++)
        (void)hf_client_wait(client, 1);
}

static struct hf_request reserve(uint8_t number)
{
    return (struct hf_request){
        .operation = HF_OP_RESERVE, .id = {{number}}, .inventory_id = 1, .qty = 1};
}

static struct hf_request extend(void)
{
    return (struct hf_request){.operation = HF_OP_EXTEND, .id = {{1}}, .ttl_ns = 1, .expected = 2};
}

/* The next request on this connection, which must be of this operation. Returns its tag. */
static uint64_t receive(int fd, enum hf_operation operation)
{
    struct hf_request request;
    uint64_t tag = hf_peer_receive(client, fd, &request);
    cr_assert_eq(request.operation, operation);
    return tag;
}

static void refuse(int fd, enum hf_operation operation, uint64_t tag)
{
    uint8_t bytes[HF_SHORT_REPLY_BYTES];
    const struct hf_short said = {.result = HF_NOT_READY, .available = PERCENT};
    hf_peer_send(fd, bytes, hf_reply_encode_answer(bytes, operation, tag, &said));
}

/* Receives the next request and refuses it. */
static void receive_and_refuse(int fd, enum hf_operation operation)
{
    refuse(fd, operation, receive(fd, operation));
}

Test(client_not_ready, requests_wait_for_a_server_that_is_ready_in_their_order)
{
    /* Three requests, refused in another order; a fourth comes while nobody serves. On the next
     * connection they come in the order of their submission. */
    struct answer answers[4];
    uint64_t tags[4];
    open_client(0);
    for (uint8_t i = 0; i < 3; i++)
        submit(&answers[i], &(struct hf_request){.operation = HF_OP_CANCEL, .id = {{i + 1}}});
    int fd = hf_peer_accept(&server, client);
    for (int i = 0; i < 3; i++)
        tags[i] = receive(fd, HF_OP_CANCEL);
    refuse(fd, HF_OP_CANCEL, tags[1]);
    refuse(fd, HF_OP_CANCEL, tags[0]);
    refuse(fd, HF_OP_CANCEL, tags[2]);
    idle();
    cr_expect_eq(answers[0].times + answers[1].times + answers[2].times, 0);
    cr_expect_eq(hf_client_outstanding(client), 3);
    submit(&answers[3], &(struct hf_request){.operation = HF_OP_CANCEL, .id = {{4}}});
    receive_and_refuse(fd, HF_OP_CANCEL);
    close(fd);
    fd = hf_peer_accept(&server, client);
    for (uint8_t i = 0; i < 4; i++) {
        struct hf_request request;
        tags[i] = hf_peer_receive(client, fd, &request);
        cr_assert_eq(request.id.bytes[0], i + 1);
        hf_peer_send_short(fd, HF_OP_CANCEL, tags[i], HF_NOT_FOUND);
    }
    for (int i = 0; i < 4; i++) {
        wait_for(&answers[i]);
        cr_expect_eq(answers[i].reply.result, HF_NOT_FOUND);
        cr_expect_not(answers[i].reply.resent, "no other copy may have been done");
    }
    cr_expect_eq(hf_client_connects(client), 2);
    close(fd);
}

Test(client_not_ready, a_copy_that_was_refused_hides_nothing)
{
    /* A guarded EXTEND, refused by a server that recovers; the next one says SEQUENCE_MISMATCH. It
     * cannot have moved the sequence itself. */
    struct answer answer;
    struct hf_request request = extend();
    open_client(0);
    submit(&answer, &request);
    int fd = hf_peer_accept(&server, client);
    receive_and_refuse(fd, HF_OP_EXTEND);
    close(fd);
    fd = hf_peer_accept(&server, client);
    hf_peer_send_short(fd, HF_OP_EXTEND, receive(fd, HF_OP_EXTEND), HF_SEQUENCE_MISMATCH);
    wait_for(&answer);
    cr_expect_eq(answer.reply.result, HF_SEQUENCE_MISMATCH);
    close(fd);
}

Test(client_not_ready, all_of_a_connection_that_was_refused_once_was_not_done)
{
    /* A reserve is refused, the EXTEND behind it, and one before it, are not answered when the
     * connection ends: the server does nothing on a connection on which it has told NOT_READY. */
    struct answer answers[3];
    struct hf_request request = extend(), other = reserve(1);
    open_client(0);
    submit(&answers[0], &request);
    submit(&answers[1], &other);
    submit(&answers[2], &request);
    int fd = hf_peer_accept(&server, client);
    receive(fd, HF_OP_EXTEND);
    uint64_t tag = receive(fd, HF_OP_RESERVE);
    receive(fd, HF_OP_EXTEND);
    refuse(fd, HF_OP_RESERVE, tag);
    idle();
    close(fd);
    fd = hf_peer_accept(&server, client);
    hf_peer_send_short(fd, HF_OP_EXTEND, receive(fd, HF_OP_EXTEND), HF_SEQUENCE_MISMATCH);
    hf_peer_send_short(fd, HF_OP_RESERVE, receive(fd, HF_OP_RESERVE), HF_SOLD_OUT);
    hf_peer_send_short(fd, HF_OP_EXTEND, receive(fd, HF_OP_EXTEND), HF_SEQUENCE_MISMATCH);
    wait_for(&answers[2]);
    cr_expect_eq(answers[0].reply.result, HF_SEQUENCE_MISMATCH);
    cr_expect_eq(answers[1].reply.result, HF_SOLD_OUT);
    cr_expect_eq(answers[2].reply.result, HF_SEQUENCE_MISMATCH);
    cr_expect_not(answers[0].reply.resent || answers[2].reply.resent);
    close(fd);
}

Test(client_not_ready, an_earlier_copy_may_have_been_done_all_the_same)
{
    /* The EXTEND was on its way to a server that was killed; its successor recovers, then answers. */
    struct answer answer;
    struct hf_request request = extend();
    open_client(0);
    submit(&answer, &request);
    int fd = hf_peer_accept(&server, client);
    receive(fd, HF_OP_EXTEND);
    close(fd);
    fd = hf_peer_accept(&server, client);
    receive_and_refuse(fd, HF_OP_EXTEND);
    idle();
    close(fd);
    fd = hf_peer_accept(&server, client);
    hf_peer_send_short(fd, HF_OP_EXTEND, receive(fd, HF_OP_EXTEND), HF_SEQUENCE_MISMATCH);
    wait_for(&answer);
    cr_expect_eq(answer.reply.result, HF_OUTCOME_UNKNOWN);
    cr_expect(answer.reply.resent);
    close(fd);
}

Test(client_not_ready, patience_that_ends_meanwhile_ends_in_not_ready)
{
    /* One is refused, one is not answered on the same connection: both were not done, and the time of
     * both is over. */
    struct answer answers[2];
    struct hf_request request = reserve(1), other = reserve(2);
    open_client(IMPATIENT);
    submit(&answers[0], &request);
    submit(&answers[1], &other);
    int fd = hf_peer_accept(&server, client);
    receive_and_refuse(fd, HF_OP_RESERVE);
    receive(fd, HF_OP_RESERVE);
    for (int i = 0; i < 2; i++) {
        wait_for(&answers[i]);
        cr_expect_eq(answers[i].reply.result, HF_NOT_READY);
        cr_expect_eq(answers[i].reply.available, PERCENT);
        cr_expect_not(answers[i].reply.resent);
    }
    close(fd);
}

Test(client_not_ready, patience_that_ends_with_an_earlier_copy_open_ends_in_unknown)
{
    struct answer answer;
    struct hf_request request = reserve(1);
    open_client(IMPATIENT);
    submit(&answer, &request);
    int fd = hf_peer_accept(&server, client);
    receive(fd, HF_OP_RESERVE);
    close(fd);
    fd = hf_peer_accept(&server, client);
    receive_and_refuse(fd, HF_OP_RESERVE);
    wait_for(&answer);
    cr_expect_eq(answer.reply.result, HF_OUTCOME_UNKNOWN);
    close(fd);
}

Test(client_not_ready, patience_that_ends_without_a_server_ends_in_not_connected)
{
    /* Refused, and then nobody is there any more. */
    struct answer answer;
    struct hf_request request = reserve(1);
    open_client(IMPATIENT);
    submit(&answer, &request);
    int fd = hf_peer_accept(&server, client);
    receive_and_refuse(fd, HF_OP_RESERVE);
    idle();
    close(server.listener);
    close(fd);
    wait_for(&answer);
    cr_expect_eq(answer.reply.result, HF_NOT_CONNECTED);
}

Test(client_not_ready, who_asks_how_it_is_is_told_at_once)
{
    static struct answer ping, status, info; /* INFO is answered when the client is closed */
    open_client(0);
    submit(&ping, &(struct hf_request){.operation = HF_OP_PING});
    submit(&info, &(struct hf_request){.operation = HF_OP_INFO});
    submit(&status, &(struct hf_request){.operation = HF_OP_STATUS});
    int fd = hf_peer_accept(&server, client);
    receive_and_refuse(fd, HF_OP_PING);
    receive_and_refuse(fd, HF_OP_INFO);
    uint8_t bytes[HF_STATUS_REPLY_BYTES];
    const struct hf_status said = {.state = HF_SERVER_RECOVERING, .percent = 7};
    hf_peer_send(fd, bytes, hf_reply_encode_status(bytes, receive(fd, HF_OP_STATUS), &said));
    wait_for(&status);
    cr_expect_eq(status.reply.result, HF_FOUND);
    cr_expect_eq(status.reply.status.percent, 7);
    cr_expect_eq(ping.times, 1);
    cr_expect_eq(ping.reply.result, HF_NOT_READY);
    cr_expect_eq(ping.reply.available, PERCENT);
    cr_expect_eq(info.times, 0);
    close(fd);
}

Test(client_not_ready, what_is_sent_once_may_be_sent_again)
{
    /* A sale is reopened without a guard, which must not be done twice: it was not done once. */
    struct answer answer;
    struct hf_request reopen = {
        .operation = HF_OP_INVENTORY_SET, .inventory_id = 1, .change = {.fields = HF_SET_REOPEN}};
    open_client(0);
    submit(&answer, &reopen);
    int fd = hf_peer_accept(&server, client);
    receive_and_refuse(fd, HF_OP_INVENTORY_SET);
    idle();
    close(fd);
    fd = hf_peer_accept(&server, client);
    receive(fd, HF_OP_INVENTORY_SET);
    cr_expect_eq(answer.times, 0);
    close(fd);
    wait_for(&answer);
    cr_expect_eq(answer.reply.result, HF_OUTCOME_UNKNOWN, "that copy may have been done");
}

Test(client_not_ready, nobody_answers_what_he_has_refused)
{
    /* A second answer on the same connection is no reply to anything: the connection is dropped, and
     * the request goes on. */
    struct answer answer;
    struct hf_request request = reserve(1);
    open_client(0);
    submit(&answer, &request);
    int fd = hf_peer_accept(&server, client);
    uint64_t tag = receive(fd, HF_OP_RESERVE);
    refuse(fd, HF_OP_RESERVE, tag);
    hf_peer_send_short(fd, HF_OP_RESERVE, tag, HF_SOLD_OUT);
    int next = hf_peer_accept(&server, client);
    cr_expect_eq(answer.times, 0);
    hf_peer_send_short(next, HF_OP_RESERVE, receive(next, HF_OP_RESERVE), HF_WAITING_LIST);
    wait_for(&answer);
    cr_expect_eq(answer.reply.result, HF_WAITING_LIST);
    close(fd);
    close(next);
}

Test(client_not_ready, closing_tells_that_it_was_not_done)
{
    struct answer answer;
    struct hf_request request = reserve(1);
    open_client(0);
    submit(&answer, &request);
    int fd = hf_peer_accept(&server, client);
    receive_and_refuse(fd, HF_OP_RESERVE);
    idle();
    hf_client_close(client);
    client = NULL;
    cr_expect_eq(answer.times, 1);
    cr_expect_eq(answer.reply.result, HF_NOT_READY);
    close(fd);
}

static bool note_watch(void *context, const struct hf_reply *reply)
{
    note(context, reply);
    return true;
}

Test(client_not_ready, a_watch_begins_when_the_server_is_ready)
{
    /* SUBSCRIBE is refused, so the request beside it was not done either; both go on elsewhere. */
    struct answer watched = {0}, answer;
    struct hf_request subscribe = {.operation = HF_OP_SUBSCRIBE, .from_lsn = 5};
    struct hf_request request = extend();
    uint8_t bytes[HF_PAGE_HEADER_BYTES];
    open_client(0);
    cr_assert_eq(hf_client_watch(client, &subscribe, note_watch, &watched), 0);
    submit(&answer, &request);
    int fd = hf_peer_accept(&server, client);
    receive_and_refuse(fd, HF_OP_SUBSCRIBE);
    receive(fd, HF_OP_EXTEND);
    idle();
    cr_expect_eq(watched.times, 0);
    close(fd);
    fd = hf_peer_accept(&server, client);
    struct hf_request received;
    uint64_t tag = hf_peer_receive(client, fd, &received);
    cr_expect_eq(received.from_lsn, 5);
    hf_peer_send(fd, bytes, hf_reply_encode_records(bytes, tag, HF_SUBSCRIBED, 5, NULL, 0));
    hf_peer_send_short(fd, HF_OP_EXTEND, receive(fd, HF_OP_EXTEND), HF_SEQUENCE_MISMATCH);
    wait_for(&answer);
    cr_expect_eq(answer.reply.result, HF_SEQUENCE_MISMATCH);
    cr_expect_eq(watched.times, 1);
    cr_expect_eq(watched.reply.result, HF_SUBSCRIBED);
    cr_expect_not(watched.reply.resent, "it begins");
    close(fd);
}
