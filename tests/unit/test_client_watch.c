/*
 * The watches of the client library: every record once, in order, whatever becomes of the
 * connection. Against a scripted server; see tests/lib/peer.h.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "holdfast/client.h"
#include "net/codec.h"
#include "tests/lib/peer.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- the server's side ------------------------------------------------------------------ */

/* Sends RECORDS with these LSNs, `count` of them. */
static void send_records(int fd, uint64_t tag, uint64_t next_lsn, const uint64_t *lsns,
                         uint32_t count)
{
    static uint8_t bytes[HF_MAX_REPLY_BYTES];
    memset(bytes, 0, sizeof bytes);
    for (uint32_t i = 0; i < count; i++)
        hf_put_u64(bytes + HF_PAGE_HEADER_BYTES + (size_t)i * HF_FRAME_RECORD_BYTES, lsns[i]);
    hf_peer_send(fd, bytes,
                 hf_reply_encode_records(bytes, tag, HF_RECORDS, next_lsn,
                                         bytes + HF_PAGE_HEADER_BYTES, count));
}

/* Sends a frame of the subscription that has no records. */
static void send_frame(int fd, uint64_t tag, unsigned result, uint64_t next_lsn)
{
    uint8_t bytes[HF_PAGE_HEADER_BYTES];
    hf_peer_send(fd, bytes, hf_reply_encode_records(bytes, tag, result, next_lsn, NULL, 0));
}

/* Receives a SUBSCRIBE from that LSN on. Returns its tag. */
static uint64_t receive_subscribe(struct hf_client *client, int fd, uint64_t from_lsn)
{
    struct hf_request request;
    uint64_t tag = hf_peer_receive(client, fd, &request);
    cr_assert_eq(request.operation, HF_OP_SUBSCRIBE);
    cr_assert_eq(request.from_lsn, from_lsn, "from LSN %llu", (unsigned long long)request.from_lsn);
    return tag;
}

static void receive_unsubscribe(struct hf_client *client, int fd, uint64_t watch_tag)
{
    struct hf_request request;
    uint64_t tag = hf_peer_receive(client, fd, &request);
    cr_assert_eq(request.operation, HF_OP_UNSUBSCRIBE);
    cr_assert_eq(request.watch_tag, watch_tag);
    hf_peer_send_short(fd, HF_OP_UNSUBSCRIBE, tag, HF_UNSUBSCRIBED);
}

/* ---- the client's side ------------------------------------------------------------------ */

#define MOST_LSNS 64

struct watcher {
    unsigned frames;    /* told */
    unsigned most;      /* after so many it wants no more; 0: it always does */
    unsigned result;    /* of the newest */
    bool resent;        /* likewise */
    uint64_t next_lsn;  /* likewise */
    uint32_t lsn_count; /* of the records told */
    uint64_t lsns[MOST_LSNS];
};

static bool take_frame(void *context, const struct hf_reply *reply)
{
    struct watcher *watcher = context;
    cr_assert_eq(reply->operation, HF_OP_SUBSCRIBE);
    watcher->frames++;
    watcher->result = reply->result;
    watcher->resent = reply->resent;
    watcher->next_lsn = reply->next_lsn;
    for (uint32_t i = 0; reply->result == HF_RECORDS && i < reply->count; i++) {
        cr_assert_lt(watcher->lsn_count, MOST_LSNS);
        watcher->lsns[watcher->lsn_count++] =
            hf_get_u64(reply->records + (size_t)i * HF_FRAME_RECORD_BYTES);
    }
    return watcher->frames != watcher->most;
}

static void watch(struct hf_client *client, struct watcher *watcher, uint64_t from_lsn)
{
    struct hf_request request = {.operation = HF_OP_SUBSCRIBE, .from_lsn = from_lsn};
    cr_assert_eq(hf_client_watch(client, &request, take_frame, watcher), 0);
}

static void wait_for_frames(struct hf_client *client, const struct watcher *watcher, unsigned count)
{
    uint64_t since_ns = hf_monotonic_now_ns();
    while (watcher->frames < count)
        hf_peer_move_client(client, since_ns);
    cr_assert_eq(watcher->frames, count);
}

static void check_lsns(const struct watcher *watcher, const uint64_t *lsns, uint32_t count)
{
    cr_assert_eq(watcher->lsn_count, count);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(watcher->lsns[i], lsns[i]);
}

/* ---- tests ------------------------------------------------------------------------------ */

Test(client_watch, records_are_told_as_they_come)
{
    /* All kinds of frames, on one connection, beside a request. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct watcher watcher = {0};
    struct hf_request request = {.operation = HF_OP_PING}, received;
    static const uint64_t lsns[] = {7, 8, 11};
    watch(client, &watcher, 5);
    cr_assert_eq(hf_client_submit(client, &request, NULL, NULL, NULL), 0);
    cr_assert_eq(hf_client_outstanding(client), 1, "a watch is no request");
    int fd = hf_peer_accept(&server, client);
    uint64_t tag = receive_subscribe(client, fd, 5);
    uint64_t ping_tag = hf_peer_receive(client, fd, &received);
    cr_assert_eq(received.operation, HF_OP_PING);
    send_frame(fd, tag, HF_SUBSCRIBED, 5);
    wait_for_frames(client, &watcher, 1);
    cr_assert_eq(watcher.result, HF_SUBSCRIBED);
    cr_assert_eq(watcher.next_lsn, 5);
    cr_assert_not(watcher.resent);
    cr_assert_eq(hf_client_timeout_ms(client) > 0, true, "for the PING");
    send_records(fd, tag, 9, lsns, 2);
    hf_peer_send_short(fd, HF_OP_PING, ping_tag, HF_OK);
    send_frame(fd, tag, HF_FELL_BEHIND, 9);
    wait_for_frames(client, &watcher, 3);
    cr_assert_eq(watcher.result, HF_FELL_BEHIND);
    send_records(fd, tag, 10, NULL, 0);
    wait_for_frames(client, &watcher, 4);
    cr_assert_eq(watcher.result, HF_RECORDS);
    cr_assert_eq(watcher.next_lsn, 10);
    send_records(fd, tag, 12, lsns + 2, 1);
    cr_assert_eq(hf_client_wait(client, 10000), 1, "a frame that was told is worth returning for");
    cr_assert_eq(watcher.frames, 5);
    check_lsns(&watcher, lsns, 3);
    cr_assert_eq(hf_client_outstanding(client), 0);
    cr_assert_eq(hf_client_timeout_ms(client), -1, "a watch has no time-out");
    hf_client_close(client);
    close(fd);
    cr_assert_eq(watcher.frames, 5, "closing says nothing");
}

Test(client_watch, it_goes_on_where_it_was_when_the_connection_breaks)
{
    /* The connection breaks before SUBSCRIBED, behind it, behind records, in the middle of a frame,
     * and behind a frame that moved on without records. From now on, at first. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct watcher watcher = {0};
    static const uint64_t lsns[] = {20, 21, 22, 30};
    watch(client, &watcher, 0);
    int fd = hf_peer_accept(&server, client);
    receive_subscribe(client, fd, 0);
    close(fd);

    fd = hf_peer_accept(&server, client);
    uint64_t tag = receive_subscribe(client, fd, 0);
    send_frame(fd, tag, HF_SUBSCRIBED, 20);
    wait_for_frames(client, &watcher, 1);
    cr_assert(watcher.resent);
    close(fd);

    fd = hf_peer_accept(&server, client);
    tag = receive_subscribe(client, fd, 20);
    send_frame(fd, tag, HF_SUBSCRIBED, 20);
    send_records(fd, tag, 22, lsns, 2);
    wait_for_frames(client, &watcher, 3);
    uint8_t half[HF_PAGE_HEADER_BYTES + HF_FRAME_RECORD_BYTES] = {0};
    hf_put_u64(half + HF_PAGE_HEADER_BYTES, 22);
    hf_reply_encode_records(half, tag, HF_RECORDS, 23, half + HF_PAGE_HEADER_BYTES, 1);
    hf_peer_send(fd, half, sizeof half - 1);
    for (unsigned i = 0; i < 3; i++)
        (void)hf_client_wait(client, 1);
    close(fd);

    fd = hf_peer_accept(&server, client);
    tag = receive_subscribe(client, fd, 22);
    send_frame(fd, tag, HF_SUBSCRIBED, 22);
    send_records(fd, tag, 23, lsns + 2, 1);
    send_records(fd, tag, 30, NULL, 0);
    wait_for_frames(client, &watcher, 6);
    close(fd);

    fd = hf_peer_accept(&server, client);
    tag = receive_subscribe(client, fd, 30);
    send_frame(fd, tag, HF_SUBSCRIBED, 30);
    send_records(fd, tag, 31, lsns + 3, 1);
    wait_for_frames(client, &watcher, 8);
    check_lsns(&watcher, lsns, 4);
    cr_assert_eq(hf_client_connects(client), 5);
    hf_client_close(client);
    close(fd);
}

Test(client_watch, what_contradicts_the_order_costs_the_connection)
{
    /* Frames that no right server sends: told twice, out of order, behind next_lsn, before
     * SUBSCRIBED, SUBSCRIBED twice or elsewhere, of another operation. Then the right one. */
    static const uint64_t again[] = {6}, backwards[] = {9, 8}, twice[] = {8, 8}, beyond[] = {12},
                          right[] = {7};
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct watcher watcher = {0};
    watch(client, &watcher, 7);
    for (unsigned wrong = 0; wrong < 10; wrong++) {
        int fd = hf_peer_accept(&server, client);
        uint64_t tag = receive_subscribe(client, fd, 7);
        unsigned frames = watcher.frames;
        if (wrong > 1)
            send_frame(fd, tag, HF_SUBSCRIBED, 7);
        switch (wrong) {
        case 0:
            send_records(fd, tag, 12, right, 1);
            break;
        case 1:
            send_frame(fd, tag, HF_SUBSCRIBED, 8);
            break;
        case 2:
            send_records(fd, tag, 12, again, 1);
            break;
        case 3:
            send_records(fd, tag, 12, backwards, 2);
            break;
        case 4:
            send_records(fd, tag, 12, twice, 2);
            break;
        case 5:
            send_records(fd, tag, 12, beyond, 1);
            break;
        case 6:
            send_frame(fd, tag, HF_RECORDS, 6);
            break;
        case 7:
            send_frame(fd, tag, HF_SUBSCRIBED, 7);
            break;
        case 8:
            hf_peer_send_short(fd, HF_OP_PING, tag, HF_OK);
            break;
        default:
            hf_peer_send_short(fd, HF_OP_UNSUBSCRIBE, tag, HF_STORAGE_FULL);
            break;
        }
        int next = hf_peer_accept(&server, client);
        cr_assert_eq(watcher.frames, frames + (wrong > 1), "case %u was told", wrong);
        close(fd);
        receive_subscribe(client, next, 7);
        close(next);
    }
    int fd = hf_peer_accept(&server, client);
    uint64_t tag = receive_subscribe(client, fd, 7);
    send_frame(fd, tag, HF_SUBSCRIBED, 7);
    send_records(fd, tag, 8, right, 1);
    wait_for_frames(client, &watcher, 10);
    check_lsns(&watcher, right, 1);
    hf_client_close(client);
    close(fd);
}

Test(client_watch, a_callback_that_wants_no_more_ends_it)
{
    /* It returns false for the first of two RECORDS that come at once; a frame of the subscription
     * that was on its way is ignored, and the connection goes on. */
    static const uint64_t lsns[] = {3, 4, 5};
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct watcher watcher = {.most = 2};
    watch(client, &watcher, 3);
    int fd = hf_peer_accept(&server, client);
    uint64_t tag = receive_subscribe(client, fd, 3);
    send_frame(fd, tag, HF_SUBSCRIBED, 3);
    send_records(fd, tag, 4, lsns, 1);
    send_records(fd, tag, 5, lsns + 1, 1);
    receive_unsubscribe(client, fd, tag);
    send_records(fd, tag, 6, lsns + 2, 1);
    send_frame(fd, tag, HF_UNSUBSCRIBED, 6);
    struct hf_request ping = {.operation = HF_OP_PING}, received;
    cr_assert_eq(hf_client_submit(client, &ping, NULL, NULL, NULL), 0);
    hf_peer_send_short(fd, HF_OP_PING, hf_peer_receive(client, fd, &received), HF_OK);
    uint64_t since_ns = hf_monotonic_now_ns();
    while (hf_client_outstanding(client) > 0)
        hf_peer_move_client(client, since_ns);
    check_lsns(&watcher, lsns, 1);
    cr_assert_eq(watcher.frames, 2);
    cr_assert_eq(hf_client_connects(client), 1);
    close(fd);
    fd = hf_peer_accept(&server, client);
    cr_assert_eq(hf_client_submit(client, &ping, NULL, NULL, NULL), 0);
    hf_peer_receive(client, fd, &received);
    cr_assert_eq(received.operation, HF_OP_PING, "it is not subscribed again");
    hf_client_close(client);
    close(fd);
}

Test(client_watch, an_unwatched_one_is_not_called_again)
{
    /* Two watches of one client; one is ended from outside, before it was sent, while it runs, and
     * while there is no connection. */
    static const uint64_t lsns[] = {3};
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct watcher never = {0}, ended = {0}, stays = {0};
    watch(client, &never, 1);
    watch(client, &ended, 2);
    watch(client, &stays, 3);
    hf_client_unwatch(client, take_frame, &never);
    int fd = hf_peer_accept(&server, client);
    uint64_t ended_tag = receive_subscribe(client, fd, 2);
    uint64_t stays_tag = receive_subscribe(client, fd, 3);
    cr_assert_neq(ended_tag, stays_tag);
    send_frame(fd, stays_tag, HF_SUBSCRIBED, 3);
    send_frame(fd, ended_tag, HF_SUBSCRIBED, 2);
    wait_for_frames(client, &ended, 1);
    wait_for_frames(client, &stays, 1);
    hf_client_unwatch(client, take_frame, &ended);
    cr_assert_neq(hf_client_events(client) & POLLOUT, 0);
    receive_unsubscribe(client, fd, ended_tag);
    send_frame(fd, ended_tag, HF_UNSUBSCRIBED, 2);
    send_records(fd, stays_tag, 4, lsns, 1);
    wait_for_frames(client, &stays, 2);
    close(fd);
    uint64_t since_ns = hf_monotonic_now_ns();
    while (hf_client_connected(client))
        hf_peer_move_client(client, since_ns);
    hf_client_unwatch(client, take_frame, &stays);
    struct hf_request ping = {.operation = HF_OP_PING}, received;
    cr_assert_eq(hf_client_submit(client, &ping, NULL, NULL, NULL), 0);
    fd = hf_peer_accept(&server, client);
    hf_peer_receive(client, fd, &received);
    cr_assert_eq(received.operation, HF_OP_PING, "nothing is subscribed, nothing unsubscribed");
    cr_assert_eq(never.frames, 0);
    cr_assert_eq(ended.frames, 1);
    hf_client_close(client);
    close(fd);
}

Test(client_watch, a_no_ends_it)
{
    /* An LSN that is no longer kept, one that the server does not have yet, and a subscription that
     * is ended by the server while it runs. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct watcher lost = {0}, early = {0}, over = {0};
    uint8_t bytes[HF_SHORT_REPLY_BYTES];
    watch(client, &lost, 5);
    watch(client, &early, 1ull << 60);
    watch(client, &over, 9);
    int fd = hf_peer_accept(&server, client);
    uint64_t lost_tag = receive_subscribe(client, fd, 5);
    uint64_t early_tag = receive_subscribe(client, fd, 1ull << 60);
    uint64_t over_tag = receive_subscribe(client, fd, 9);
    hf_peer_send(fd, bytes, hf_reply_encode_not_kept(bytes, HF_OP_SUBSCRIBE, lost_tag, 77));
    hf_peer_send(fd, bytes,
                 hf_reply_encode_short(bytes, HF_OP_SUBSCRIBE, early_tag, HF_BAD_FIELD,
                                       HF_FIELD_CURSOR, 0, 0));
    send_frame(fd, over_tag, HF_SUBSCRIBED, 9);
    send_frame(fd, over_tag, HF_UNSUBSCRIBED, 9);
    wait_for_frames(client, &lost, 1);
    wait_for_frames(client, &early, 1);
    wait_for_frames(client, &over, 2);
    cr_assert_eq(lost.result, HF_LSN_NOT_KEPT);
    cr_assert_eq(lost.next_lsn, 77);
    cr_assert_eq(early.result, HF_BAD_FIELD);
    cr_assert_eq(over.result, HF_UNSUBSCRIBED);
    struct hf_request ping = {.operation = HF_OP_PING}, received;
    cr_assert_eq(hf_client_submit(client, &ping, NULL, NULL, NULL), 0);
    for (unsigned connection = 0; connection < 2; connection++) {
        hf_peer_receive(client, fd, &received);
        cr_assert_eq(received.operation, HF_OP_PING, "nothing is left to end, none goes on");
        close(fd);
        if (connection == 0)
            fd = hf_peer_accept(&server, client);
    }
    hf_client_close(client);
}

Test(client_watch, a_server_that_stops_is_no_end)
{
    /* SUBSCRIBE is answered with SHUTTING_DOWN, then the connection ends and another server comes. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct watcher watcher = {0};
    watch(client, &watcher, 5);
    int fd = hf_peer_accept(&server, client);
    hf_peer_send_short(fd, HF_OP_SUBSCRIBE, receive_subscribe(client, fd, 5), HF_SHUTTING_DOWN);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    int next = hf_peer_accept(&server, client);
    uint64_t tag = receive_subscribe(client, next, 5);
    cr_assert_eq(watcher.frames, 0);
    send_frame(next, tag, HF_SUBSCRIBED, 5);
    wait_for_frames(client, &watcher, 1);
    hf_client_close(client);
    close(fd);
    close(next);
}

struct nested {
    struct hf_client *client;
    struct watcher inner;
    unsigned calls;
};

static bool watch_from_inside(void *context, const struct hf_reply *reply)
{
    struct nested *nested = context;
    struct hf_request ping = {.operation = HF_OP_PING};
    nested->calls++;
    cr_assert_eq(reply->result, HF_SUBSCRIBED);
    watch(nested->client, &nested->inner, 50);
    cr_assert_eq(hf_client_submit(nested->client, &ping, NULL, NULL, NULL), 0);
    hf_client_unwatch(nested->client, watch_from_inside, nested);
    return true;
}

Test(client_watch, a_callback_may_watch_and_unwatch)
{
    /* A callback makes another watch, submits, and ends its own watch, yet returns true. */
    struct hf_peer server = hf_peer_start();
    struct nested nested = {.client = hf_peer_open_client(&server, 0)};
    struct hf_request request = {.operation = HF_OP_SUBSCRIBE}, received;
    cr_assert_eq(hf_client_watch(nested.client, &request, watch_from_inside, &nested), 0);
    int fd = hf_peer_accept(&server, nested.client);
    uint64_t outer_tag = receive_subscribe(nested.client, fd, 0);
    send_frame(fd, outer_tag, HF_SUBSCRIBED, 40);
    send_records(fd, outer_tag, 41, NULL, 0);
    receive_unsubscribe(nested.client, fd, outer_tag);
    uint64_t inner_tag = receive_subscribe(nested.client, fd, 50);
    hf_peer_receive(nested.client, fd, &received);
    cr_assert_eq(received.operation, HF_OP_PING);
    send_frame(fd, inner_tag, HF_SUBSCRIBED, 50);
    wait_for_frames(nested.client, &nested.inner, 1);
    cr_assert_eq(nested.calls, 1);
    hf_client_close(nested.client);
    close(fd);
}

Test(client_watch, the_filter_is_sent_each_time)
{
    /* 1000 customers, more than fit into a slot of a request, on two connections. */
    static uint64_t customers[HF_MAX_WATCH_IDS];
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct watcher watcher = {0};
    for (size_t i = 0; i < COUNT(customers); i++)
        customers[i] = 3 * i;
    struct hf_request request = {.operation = HF_OP_SUBSCRIBE,
                                 .from_lsn = 5,
                                 .kind = HF_WATCH_CUSTOMERS,
                                 .count = COUNT(customers),
                                 .ids = customers};
    cr_assert_eq(hf_client_watch(client, &request, take_frame, &watcher), 0);
    for (unsigned connection = 0; connection < 2; connection++) {
        struct hf_request received;
        int fd = hf_peer_accept(&server, client);
        hf_peer_receive(client, fd, &received);
        cr_assert_eq(received.kind, HF_WATCH_CUSTOMERS);
        cr_assert_eq(received.count, COUNT(customers));
        cr_assert_eq(memcmp(received.ids, customers, sizeof customers), 0);
        close(fd);
    }
    request.count++;
    cr_assert_eq(hf_client_watch(client, &request, take_frame, &watcher), -EINVAL);
    request = (struct hf_request){.operation = HF_OP_PING};
    cr_assert_eq(hf_client_watch(client, &request, take_frame, &watcher), -EINVAL);
    hf_client_close(client);
}

Test(client_watch, a_frame_of_a_watch_that_never_was_costs_the_connection)
{
    /* Tags of the form of a watch's: number 0, and one that was not given out. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct watcher watcher = {0};
    watch(client, &watcher, 5);
    for (uint64_t number = 0; number <= 2; number += 2) {
        int fd = hf_peer_accept(&server, client);
        receive_subscribe(client, fd, 5);
        send_frame(fd, number << 32 | UINT32_MAX, HF_SUBSCRIBED, 5);
        int next = hf_peer_accept(&server, client);
        cr_assert_eq(watcher.frames, 0);
        close(fd);
        receive_subscribe(client, next, 5);
        close(next);
    }
    hf_client_close(client);
}
