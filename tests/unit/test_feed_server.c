/* Watching and history on a real server and real sockets: what the feed does for connections. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "engine/image.h"
#include "net/codec.h"
#include "net/feed.h"
#include "tests/lib/process.h"
#include "tests/lib/stress.h"
#include "tests/lib/wire.h"

#define WATCH_TAG 7000u

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct hf_daemon server;

static void start(void)
{
    static const char *const extra[] = {"--workers", "2", "--segment-bytes", "1048576", NULL};
    cr_assert_eq(hf_daemon_start_in(&server, directory, extra), 0, "%s", server.error);
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

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(feed_server, .init = start_on_new_directory, .fini = forget, .timeout = 120);

/* ---- a peer ---- */

struct peer {
    int socket;
    uint8_t bytes[HF_MAX_REPLY_BYTES]; /* the frame that was read last */
    struct hf_frame frame;
    struct hf_reply reply;
    struct hf_reply_scratch scratch;
};

static void dial(struct peer *peer)
{
    peer->socket = hf_wire_dial(server.address);
    cr_assert_geq(peer->socket, 0);
}

static void send_request(struct peer *peer, const struct hf_request *request, uint64_t tag)
{
    uint8_t bytes[HF_MAX_REQUEST_BYTES];
    size_t count = hf_request_encode(bytes, request, tag);
    cr_assert_gt(count, 0);
    cr_assert(hf_wire_send(peer->socket, bytes, count));
}

/* The next frame. False: the server closed, or sent nothing for 20 s. */
static bool next_frame(struct peer *peer)
{
    if (!hf_wire_receive(peer->socket, peer->bytes, HF_FRAME_HEADER_BYTES))
        return false;
    hf_frame_read(peer->bytes, &peer->frame);
    cr_assert_leq(peer->frame.frame_bytes, sizeof peer->bytes);
    cr_assert(hf_wire_receive(peer->socket, peer->bytes + HF_FRAME_HEADER_BYTES,
                              peer->frame.frame_bytes - HF_FRAME_HEADER_BYTES));
    cr_assert(hf_reply_decode(peer->bytes, &peer->frame, &peer->reply, &peer->scratch));
    return true;
}

/* Sends, and reads the answer; there is no other frame on its way. */
static unsigned ask(struct peer *peer, const struct hf_request *request)
{
    send_request(peer, request, 1);
    cr_assert(next_frame(peer));
    cr_assert_eq(peer->frame.tag, 1);
    return peer->reply.result;
}

static void create(struct peer *peer, uint64_t inventory_id, uint32_t capacity)
{
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = inventory_id, .capacity = capacity};
    cr_assert_eq(ask(peer, &request), HF_CREATED);
}

static struct hf_request reserve(uint32_t number)
{
    return (struct hf_request){.operation = HF_OP_RESERVE,
                               .id = hf_id_of_number(number),
                               .inventory_id = 1,
                               .customer_id = number,
                               .qty = 1};
}

static struct hf_request watch(uint64_t from_lsn)
{
    return (struct hf_request){.operation = HF_OP_SUBSCRIBE, .from_lsn = from_lsn};
}

static void subscribe(struct peer *peer, const struct hf_request *request, uint64_t next_lsn)
{
    send_request(peer, request, WATCH_TAG);
    cr_assert(next_frame(peer));
    cr_assert_eq(peer->frame.tag, WATCH_TAG);
    cr_assert_eq(peer->reply.result, HF_SUBSCRIBED, "%s", hf_result_name(peer->reply.result));
    cr_assert_eq(peer->reply.next_lsn, next_lsn, "%llu", (unsigned long long)peer->reply.next_lsn);
}

/* Takes the frame that was read last, of a watch of everything that has got to *lsn. */
static void take_records(struct peer *peer, uint64_t *lsn)
{
    cr_assert_eq(peer->frame.tag, WATCH_TAG);
    if (peer->reply.result == HF_FELL_BEHIND)
        return;
    cr_assert_eq(peer->reply.result, HF_RECORDS, "%s", hf_result_name(peer->reply.result));
    for (uint32_t i = 0; i < peer->reply.count; i++, (*lsn)++)
        cr_assert_eq(hf_get_u64(peer->reply.records + (size_t)i * HF_RECORD_BYTES), *lsn,
                     "in order, exactly once");
    cr_assert_eq(peer->reply.next_lsn, *lsn);
}

static void expect_records(struct peer *peer, uint64_t *lsn, uint64_t to)
{
    while (*lsn <= to) {
        cr_assert(next_frame(peer), "before LSN %llu", (unsigned long long)*lsn);
        take_records(peer, lsn);
    }
}

/* Reserves `count` times, all at once. Returns the highest LSN that the answers tell. */
static uint64_t sell(struct peer *peer, uint32_t first, uint32_t count)
{
    uint64_t lsn = 0;
    for (uint32_t done = 0; done < count;) {
        uint32_t batch = count - done < 500 ? count - done : 500;
        for (uint32_t i = 0; i < batch; i++) {
            struct hf_request request = reserve(first + done + i);
            send_request(peer, &request, 1);
        }
        for (uint32_t i = 0; i < batch; i++) {
            cr_assert(next_frame(peer));
            cr_assert_eq(peer->reply.result, HF_GRANTED, "%s", hf_result_name(peer->reply.result));
            if (peer->reply.reservation.lsn > lsn)
                lsn = peer->reply.reservation.lsn;
        }
        done += batch;
    }
    return lsn;
}

static struct peer seller, watcher; /* large */

/* ---- watching ---- */

/* The connection that watches goes on being served: its own sales among others'. */
Test(feed_server, a_connection_watches_and_is_served)
{
    dial(&watcher);
    create(&watcher, 1, 1000);
    subscribe(&watcher, &(struct hf_request){.operation = HF_OP_SUBSCRIBE}, 2);
    uint64_t lsn = 2, answers = 0;
    for (uint32_t i = 0; i < 200; i++) {
        struct hf_request request = reserve(i);
        send_request(&watcher, &request, i);
    }
    while (answers < 200 || lsn <= 201) {
        cr_assert(next_frame(&watcher));
        if (watcher.frame.tag == WATCH_TAG) {
            take_records(&watcher, &lsn);
        } else {
            cr_assert_eq(watcher.reply.result, HF_GRANTED);
            answers++;
        }
    }
    cr_expect_eq(lsn, 202);
    close(watcher.socket);
}

/* Eight connections, on both workers, watch while four others sell. */
Test(feed_server, all_watchers_see_all_sales)
{
    static struct peer watchers[8], sellers[4];
    dial(&seller);
    create(&seller, 1, 100000);
    for (int i = 0; i < 8; i++) {
        dial(&watchers[i]);
        struct hf_request request = watch(i % 2 == 0 ? 1 : 2);
        subscribe(&watchers[i], &request, i % 2 == 0 ? 1 : 2);
    }
    for (int i = 0; i < 4; i++)
        dial(&sellers[i]);
    uint64_t last = 0;
    for (uint32_t round = 0; round < 10; round++)
        for (uint32_t i = 0; i < 4; i++)
            last = sell(&sellers[i], (round * 4 + i) * 500, 500);
    cr_expect_eq(last, 20001);
    for (int i = 0; i < 8; i++) {
        uint64_t lsn = i % 2 == 0 ? 1 : 2;
        expect_records(&watchers[i], &lsn, last);
        close(watchers[i].socket);
    }
    for (int i = 0; i < 4; i++)
        close(sellers[i].socket);
    close(seller.socket);
}

/* One watcher does not read. All others are sold to at once; what it missed, it finds. */
Test(feed_server, a_watcher_that_does_not_read_stops_nobody)
{
    dial(&seller);
    create(&seller, 1, 200000);
    dial(&watcher);
    struct hf_request all = watch(1);
    subscribe(&watcher, &all, 1);
    uint64_t last = 0;
    for (uint32_t i = 0; i < 160; i++) /* 80,000 records: 10 MiB, more than memory keeps */
        last = sell(&seller, i * 500, 500);
    uint64_t lsn = 1;
    expect_records(&watcher, &lsn, last);
    last = sell(&seller, 160 * 500, 3);
    expect_records(&watcher, &lsn, last);
    close(seller.socket);
    close(watcher.socket);
}

/* Disconnected in the middle of a stream, and the server killed: it goes on from next_lsn. */
Test(feed_server, resumes_after_a_disconnect_and_after_a_crash)
{
    dial(&seller);
    create(&seller, 1, 100000);
    uint64_t last = sell(&seller, 0, 5000);
    uint64_t lsn = 1;
    for (int i = 0; i < 5; i++) {
        dial(&watcher);
        struct hf_request request = watch(lsn);
        subscribe(&watcher, &request, lsn);
        for (int frames = 0; frames < 2 && lsn <= last; frames++) {
            cr_assert(next_frame(&watcher));
            take_records(&watcher, &lsn);
        }
        close(watcher.socket);
    }
    close(seller.socket);
    hf_daemon_kill(&server);
    start();
    dial(&seller);
    last = sell(&seller, 5000, 100);
    dial(&watcher);
    struct hf_request request = watch(lsn);
    subscribe(&watcher, &request, lsn);
    expect_records(&watcher, &lsn, last);
    close(seller.socket);
    close(watcher.socket);
}

/* By customer and by inventory, on one connection; sold out and available again are told. */
Test(feed_server, tells_sold_out_and_available_again)
{
    dial(&seller);
    create(&seller, 1, 2);
    create(&seller, 2, 2);
    dial(&watcher);
    const uint64_t inventory = 1;
    struct hf_request request = {.operation = HF_OP_SUBSCRIBE,
                                 .from_lsn = 1,
                                 .kind = HF_WATCH_INVENTORIES,
                                 .ids = &inventory,
                                 .count = 1};
    subscribe(&watcher, &request, 1);
    sell(&seller, 0, 2);
    struct hf_request cancel = {.operation = HF_OP_CANCEL, .id = hf_id_of_number(0)};
    cr_assert_eq(ask(&seller, &cancel), HF_CANCELLED);
    bool sold_out = false, again = false;
    while (!again) {
        cr_assert(next_frame(&watcher));
        cr_assert_eq(watcher.reply.result, HF_RECORDS);
        for (uint32_t i = 0; i < watcher.reply.count; i++) {
            struct hf_image image;
            cr_assert_null(
                hf_image_decode(watcher.reply.records + (size_t)i * HF_RECORD_BYTES, &image));
            if (image.kind == HF_IMAGE_EVENT)
                again = image.event == HF_EVENT_AVAILABLE_AGAIN;
            else if (image.kind == HF_IMAGE_RESERVATION)
                cr_expect_eq(image.reservation.inventory_id, 1);
            else
                cr_expect_eq(image.inventory.inventory_id, 1);
            sold_out |= image.kind == HF_IMAGE_RESERVATION &&
                        (image.notes.flags & HF_IMAGE_FLAG_SOLD_OUT) != 0;
        }
    }
    cr_expect(sold_out);
    close(seller.socket);
    close(watcher.socket);
}

Test(feed_server, bounds_and_ends_subscriptions)
{
    dial(&watcher);
    create(&watcher, 1, 10);
    struct hf_request request = watch(0);
    for (uint64_t tag = 0; tag < HF_MAX_SUBSCRIPTIONS; tag++) {
        send_request(&watcher, &request, tag);
        cr_assert(next_frame(&watcher));
        cr_assert_eq(watcher.reply.result, HF_SUBSCRIBED);
    }
    send_request(&watcher, &request, 3);
    cr_assert(next_frame(&watcher));
    cr_expect_eq(watcher.reply.result, HF_BAD_FIELD);
    cr_expect_eq(watcher.reply.field, HF_FIELD_TAG);
    send_request(&watcher, &request, 99);
    cr_assert(next_frame(&watcher));
    cr_expect_eq(watcher.reply.result, HF_SUBSCRIPTIONS_FULL);
    struct hf_request end = {.operation = HF_OP_UNSUBSCRIBE, .watch_tag = 3};
    send_request(&watcher, &end, 50);
    cr_assert(next_frame(&watcher));
    cr_expect(watcher.frame.tag == 3 && watcher.reply.result == HF_UNSUBSCRIBED);
    cr_assert(next_frame(&watcher));
    cr_expect(watcher.frame.tag == 50 && watcher.reply.result == HF_UNSUBSCRIBED);
    cr_expect_eq(ask(&watcher, &end), HF_UNSUBSCRIBED, "again");
    request.from_lsn = 1000;
    send_request(&watcher, &request, 3);
    cr_assert(next_frame(&watcher));
    cr_expect_eq(watcher.reply.result, HF_BAD_FIELD);
    close(watcher.socket);
}

/* The peer ends its side while it watches: the server ends the connection. */
Test(feed_server, a_watcher_that_ends_its_side_is_closed)
{
    dial(&watcher);
    create(&watcher, 1, 10);
    struct hf_request request = watch(1);
    subscribe(&watcher, &request, 1);
    shutdown(watcher.socket, SHUT_WR);
    while (next_frame(&watcher))
        cr_assert_eq(watcher.reply.result, HF_RECORDS);
    uint8_t byte;
    cr_expect_eq(recv(watcher.socket, &byte, 1, 0), 0, "the end, not a timeout");
    close(watcher.socket);
}

/* Told to stop while some watch, one of whom does not read: it ends in time, cleanly. */
Test(feed_server, stops_while_it_is_watched)
{
    static struct peer watchers[6];
    dial(&seller);
    create(&seller, 1, 100000);
    for (int i = 0; i < 6; i++) {
        dial(&watchers[i]);
        struct hf_request request = watch(1);
        send_request(&watchers[i], &request, WATCH_TAG);
    }
    sell(&seller, 0, 30000);
    uint64_t began_ns = hf_monotonic_now_ns();
    cr_expect_eq(hf_daemon_stop(&server), 0);
    cr_expect_lt(hf_monotonic_now_ns() - began_ns, 5 * HF_NS_PER_S);
    for (int i = 0; i < 6; i++)
        close(watchers[i].socket);
    close(seller.socket);
}

/* ---- history ---- */

static unsigned ask_history(struct peer *peer, uint32_t number, uint32_t from, uint32_t limit)
{
    struct hf_request request = {
        .operation = HF_OP_HISTORY, .id = hf_id_of_number(number), .from = from, .limit = limit};
    return ask(peer, &request);
}

/* Held, extended, confirmed for fewer, made fewer again, cancelled. */
Test(feed_server, tells_the_history_of_a_reservation)
{
    dial(&seller);
    create(&seller, 1, 100000);
    struct hf_request hold = reserve(1);
    hold.operation = HF_OP_HOLD;
    hold.qty = 5;
    hold.ttl_ns = 60 * HF_NS_PER_S;
    cr_assert_eq(ask(&seller, &hold), HF_GRANTED);
    cr_expect_eq(ask_history(&seller, 1, 0, 500), HF_FOUND);
    cr_expect_eq(seller.reply.count, 1);
    struct hf_request change = {
        .operation = HF_OP_EXTEND, .id = hf_id_of_number(1), .ttl_ns = 120 * HF_NS_PER_S};
    cr_assert_eq(ask(&seller, &change), HF_EXTENDED);
    sell(&seller, 100, 3000);
    change.operation = HF_OP_CONFIRM;
    change.qty = 3;
    cr_assert_eq(ask(&seller, &change), HF_CONFIRMED);
    sell(&seller, 5000, 3000);
    change.operation = HF_OP_CHANGE;
    change.qty = 2;
    cr_assert_eq(ask(&seller, &change), HF_CHANGED);
    change.operation = HF_OP_CANCEL;
    cr_assert_eq(ask(&seller, &change), HF_CANCELLED);

    static const unsigned states[] = {HF_STATE_HELD, HF_STATE_HELD, HF_STATE_CONFIRMED,
                                      HF_STATE_CONFIRMED, HF_STATE_CANCELLED};
    static const uint32_t units[] = {5, 5, 3, 2, 2};
    cr_assert_eq(ask_history(&seller, 1, 0, 500), HF_FOUND);
    cr_assert_eq(seller.reply.count, 5);
    cr_expect_eq(seller.reply.next, 0);
    for (uint32_t i = 0; i < 5; i++) {
        const struct hf_reservation *image = &seller.reply.entries[i].reservation;
        cr_expect_eq(image->sequence, i + 1);
        cr_expect_eq((unsigned)image->state, states[i]);
        cr_expect_eq(image->qty, units[i]);
    }
    cr_assert_eq(ask_history(&seller, 1, 2, 2), HF_FOUND);
    cr_expect_eq(seller.reply.count, 2);
    cr_expect_eq(seller.reply.entries[0].reservation.sequence, 2);
    cr_expect_eq(seller.reply.next, 4);
    cr_expect_eq(ask_history(&seller, 77777, 0, 5), HF_NOT_FOUND);
    close(seller.socket);
}

/* More at once than the feed takes from one connection: each is answered all the same, and so is
 * what stands behind them. */
Test(feed_server, answers_many_histories_of_one_connection)
{
    dial(&seller);
    create(&seller, 1, 100000);
    sell(&seller, 0, 300);
    for (uint32_t i = 0; i < 300; i++) {
        struct hf_request request = {
            .operation = HF_OP_HISTORY, .id = hf_id_of_number(i), .limit = 5};
        send_request(&seller, &request, i);
    }
    send_request(&seller, &(struct hf_request){.operation = HF_OP_PING}, 1000);
    bool answered[300] = {false};
    bool ping = false;
    for (uint32_t i = 0; i < 301; i++) {
        cr_assert(next_frame(&seller));
        if (seller.frame.tag == 1000) {
            ping = true;
            continue;
        }
        cr_assert_lt(seller.frame.tag, 300);
        cr_expect_not(answered[seller.frame.tag]);
        answered[seller.frame.tag] = true;
        cr_expect_eq(seller.reply.result, HF_FOUND);
        struct hf_id id = hf_id_of_number((uint32_t)seller.frame.tag);
        cr_expect(hf_id_equal(&seller.reply.entries[0].reservation.id, &id));
    }
    cr_expect(ping);
    close(seller.socket);
}
