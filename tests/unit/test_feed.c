/*
 * The feed: watching and history, from the log to the frames that a connection gets. The worker is
 * one without sockets (tests/lib/feed_worker.h), in the thread that writes the log; what a real
 * server adds is in test_feed_server.c.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/image.h"
#include "tests/lib/feed_worker.h"
#include "wal/segment_header.h"

#define MIB         1048576ull
#define PATIENCE_MS 20000u
#define SILENCE_MS  60u
#define TAG         77u

static struct hf_live_log live;
static struct hf_feed_worker worker;
static struct hf_ring_producer producer;
static uint64_t last_lsn; /* of what was appended */

static uint8_t bytes[HF_MAX_REPLY_BYTES];
static struct hf_frame frame;
static struct hf_reply reply;
static struct hf_reply_scratch scratch;

static void open_feed(void)
{
    hf_live_log_open(&live, MIB, 1024, 1024, HF_DURABILITY_DISK);
    hf_feed_worker_open(&worker, &live);
    hf_ring_producer_init(&producer, &live.log.ring);
    last_lsn = 0;
    hf_feed_worker_connect(&worker, 0, true);
}

static void close_feed(void)
{
    hf_ring_producer_close(&producer);
    hf_feed_worker_close(&worker);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(feed, .init = open_feed, .fini = close_feed, .timeout = 120);

/* ---- what happens ---- */

static struct hf_reservation reservation_of(uint64_t number)
{
    struct hf_reservation reservation = {
        .inventory_id = number % 10,
        .customer_id = number % 7,
        .made_at_ns = 1000 + number,
        .changed_at_ns = 1000 + number,
        .qty = 1,
        .sequence = 1,
        .state = HF_STATE_CONFIRMED,
    };
    hf_put_u64(reservation.id.bytes + 8, number + 1);
    return reservation;
}

static uint64_t append_image(const struct hf_reservation *reservation, uint32_t chain)
{
    uint8_t record[HF_RECORD_BYTES] = {0};
    struct hf_image_notes notes = {.inventory_version = 1};
    if (reservation->state != HF_STATE_CONFIRMED)
        notes.made_as = HF_STATE_HELD;
    hf_image_encode_reservation(record, reservation, &notes);
    uint64_t lsn = hf_live_log_append(&producer, record, chain);
    last_lsn = lsn + chain - 1;
    return lsn;
}

/* So many reservations: the one at LSN n has number n. */
static void append(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct hf_reservation reservation = reservation_of(last_lsn + 1);
        append_image(&reservation, 1);
    }
}

static void append_and_wait(uint32_t count)
{
    append(count);
    hf_live_log_wait(&live, last_lsn);
}

static enum hf_result subscribe_to(uint32_t client, uint64_t tag, uint64_t from_lsn, uint32_t kind,
                                   const uint64_t *ids, uint32_t count)
{
    struct hf_request request = {
        .operation = HF_OP_SUBSCRIBE,
        .from_lsn = from_lsn,
        .kind = kind,
        .ids = ids,
        .count = count,
    };
    return hf_feed_worker_subscribe(&worker, client, tag, &request);
}

static enum hf_result subscribe(uint32_t client, uint64_t tag, uint64_t from_lsn)
{
    return subscribe_to(client, tag, from_lsn, HF_WATCH_ALL, NULL, 0);
}

/* ---- what comes ---- */

static void expect_frame(uint32_t client, uint64_t tag, unsigned operation, unsigned result)
{
    cr_assert(hf_feed_worker_next(&worker, client, bytes, &frame, PATIENCE_MS), "result %u",
              result);
    cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
    cr_assert_eq(frame.tag, tag);
    cr_assert_eq(reply.operation, operation);
    cr_assert_eq(reply.result, result, "%s instead of %s", hf_result_name(reply.result),
                 hf_result_name(result));
}

static void expect_subscribed(uint32_t client, uint64_t tag, uint64_t next_lsn)
{
    expect_frame(client, tag, HF_OP_SUBSCRIBE, HF_SUBSCRIBED);
    cr_assert_eq(reply.next_lsn, next_lsn, "from %llu on", (unsigned long long)reply.next_lsn);
    cr_assert_eq(reply.count, 0);
}

static void expect_silence(uint32_t client)
{
    cr_expect_not(hf_feed_worker_next(&worker, client, bytes, &frame, SILENCE_MS), "operation %u",
                  frame.operation);
}

static void expect_record(const uint8_t *record, uint64_t lsn)
{
    cr_assert_eq(hf_get_u64(record), lsn);
    cr_assert_eq(hf_get_u64(record + 24), lsn + 1, "the image of LSN %llu",
                 (unsigned long long)lsn);
}

/* All records of append() from `lsn` to `to`, and how often it was said that they are behind. */
static uint32_t expect_records(uint32_t client, uint64_t tag, uint64_t lsn, uint64_t to)
{
    uint32_t behind = 0;
    while (lsn <= to) {
        cr_assert(hf_feed_worker_next(&worker, client, bytes, &frame, PATIENCE_MS),
                  "before LSN %llu", (unsigned long long)lsn);
        cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
        cr_assert_eq(frame.tag, tag);
        if (reply.result == HF_FELL_BEHIND) {
            cr_assert_eq(reply.next_lsn, lsn);
            behind++;
            continue;
        }
        cr_assert_eq(reply.result, HF_RECORDS, "%s", hf_result_name(reply.result));
        for (uint32_t i = 0; i < reply.count; i++)
            expect_record(reply.records + (size_t)i * HF_RECORD_BYTES, lsn++);
        cr_assert_eq(reply.next_lsn, lsn);
    }
    return behind;
}

/* ---- watching ---- */

/* What was there before, in files; then what comes, in memory. */
Test(feed, tells_everything_from_an_lsn_on)
{
    append_and_wait(5000);
    cr_assert_eq(subscribe(0, TAG, 1), HF_OK);
    expect_subscribed(0, TAG, 1);
    cr_expect_eq(expect_records(0, TAG, 1, 5000), 0, "it asked for old ones: it is not behind");
    expect_silence(0);
    for (int i = 0; i < 20; i++) {
        append(10);
        expect_records(0, TAG, last_lsn - 9, last_lsn);
    }
    expect_silence(0);
}

Test(feed, tells_what_comes_from_now_on)
{
    append_and_wait(100);
    cr_assert_eq(subscribe(0, TAG, 0), HF_OK);
    expect_subscribed(0, TAG, 101);
    expect_silence(0);
    append(3);
    expect_records(0, TAG, 101, 103);
}

/* Records are in flight when somebody begins to watch, so that only the files have them: he is not
 * behind for that. */
Test(feed, is_not_behind_before_it_was_there)
{
    append_and_wait(1);
    hf_live_log_hold(&live, true);
    append(5);
    struct timespec pause = {.tv_nsec = 20000000};
    nanosleep(&pause, NULL);
    cr_assert_eq(subscribe(0, TAG, 0), HF_OK);
    expect_subscribed(0, TAG, 2);
    hf_live_log_hold(&live, false);
    cr_expect_eq(expect_records(0, TAG, 2, 6), 0);
    append(5);
    cr_expect_eq(expect_records(0, TAG, 7, 11), 0);
}

/* The next LSN is the last that can be asked for: whoever has seen all before it does. */
Test(feed, refuses_an_lsn_of_the_future)
{
    append_and_wait(10);
    cr_assert_eq(subscribe(0, TAG, 12), HF_OK);
    expect_frame(0, TAG, HF_OP_SUBSCRIBE, HF_BAD_FIELD);
    cr_expect_eq(reply.field, HF_FIELD_CURSOR);
    append(5);
    expect_silence(0);
    cr_assert_eq(subscribe(0, TAG, 16), HF_OK);
    expect_subscribed(0, TAG, 16);
    append(1);
    expect_records(0, TAG, 16, 16);
}

/* Reservations, an inventory's settings and an event of each inventory; by inventory. */
Test(feed, filters_by_inventory)
{
    struct hf_settings settings = {.sell_limit = 5};
    uint8_t record[HF_RECORD_BYTES] = {0};
    for (uint64_t id = 0; id < 10; id++) {
        struct hf_inventory inventory = {.inventory_id = id, .capacity = 5, .made_at_ns = 1};
        hf_image_encode_inventory(record, &inventory, &settings, 1, 1);
        hf_live_log_append(&producer, record, 1);
        inventory.available = 1;
        hf_image_encode_event(record, HF_EVENT_AVAILABLE_AGAIN, &inventory, 1);
        last_lsn = hf_live_log_append(&producer, record, 1);
    }
    append_and_wait(100);
    const uint64_t ids[] = {3, 0, 1ull << 63, 8};
    cr_assert_eq(subscribe_to(0, TAG, 1, HF_WATCH_INVENTORIES, ids, 4), HF_OK);
    expect_subscribed(0, TAG, 1);
    uint32_t images = 0, reservations = 0;
    for (uint64_t next_lsn = 1; next_lsn <= last_lsn; next_lsn = reply.next_lsn) {
        expect_frame(0, TAG, HF_OP_SUBSCRIBE, HF_RECORDS);
        for (uint32_t i = 0; i < reply.count; i++) {
            const uint8_t *told = reply.records + (size_t)i * HF_RECORD_BYTES;
            bool reservation = told[8] == HF_IMAGE_RESERVATION;
            uint64_t id = hf_get_u64(told + (reservation ? 32 : 16));
            cr_expect(id == 0 || id == 3 || id == 8, "inventory %llu", (unsigned long long)id);
            images += !reservation;
            reservations += reservation;
        }
    }
    cr_expect_eq(images, 6, "settings and event of three: %u", images);
    cr_expect_eq(reservations, 30, "%u", reservations);
}

Test(feed, filters_by_customer)
{
    append_and_wait(70);
    uint64_t ids[HF_MAX_WATCH_IDS];
    for (uint32_t i = 0; i < HF_MAX_WATCH_IDS; i++)
        ids[i] = 5 + i;
    cr_assert_eq(subscribe_to(0, TAG, 1, HF_WATCH_CUSTOMERS, ids, HF_MAX_WATCH_IDS), HF_OK);
    cr_assert_eq(subscribe_to(0, TAG + 1, 1, HF_WATCH_CUSTOMERS, NULL, 0), HF_OK);
    uint32_t told = 0;
    append(7);
    for (int silent = 0; silent < 2; silent = told == 22) {
        if (!hf_feed_worker_next(&worker, 0, bytes, &frame, told == 22 ? SILENCE_MS : PATIENCE_MS))
            break;
        cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
        for (uint32_t i = 0; i < reply.count; i++)
            cr_expect_geq(hf_get_u64(reply.records + (size_t)i * HF_RECORD_BYTES + 40), 5);
        cr_expect(reply.count == 0 || frame.tag == TAG);
        told += reply.count;
    }
    cr_expect_eq(told, 22, "customers 5 and 6 of 0 to 6, in 77: %u", told);
}

/* Nothing passes: now and then it is told how far it is. */
Test(feed, tells_how_far_it_is_when_nothing_passes)
{
    const uint64_t nobody = 12345;
    cr_assert_eq(subscribe_to(0, TAG, 0, HF_WATCH_CUSTOMERS, &nobody, 1), HF_OK);
    expect_subscribed(0, TAG, 1);
    append_and_wait((1u << 18) + 600);
    do { /* it may fall behind, too */
        cr_assert(hf_feed_worker_next(&worker, 0, bytes, &frame, PATIENCE_MS));
        cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
    } while (reply.result == HF_FELL_BEHIND);
    cr_expect_eq(reply.result, HF_RECORDS);
    cr_expect_eq(reply.count, 0);
    cr_expect_geq(reply.next_lsn, 1u << 18);
    expect_silence(0);
}

/* The first segments of the log are gone. */
Test(feed, tells_which_lsn_is_the_first_that_is_kept)
{
    append_and_wait(20000);
    for (uint64_t segment = 1; segment <= 2; segment++) {
        char name[HF_SEGMENT_NAME_BYTES], path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES];
        hf_segment_name_format(segment, name);
        snprintf(path, sizeof path, "%s/%s", live.directory, name);
        cr_assert_eq(unlink(path), 0);
    }
    cr_assert_eq(subscribe(0, TAG, 1), HF_OK);
    expect_frame(0, TAG, HF_OP_SUBSCRIBE, HF_LSN_NOT_KEPT);
    uint64_t first = reply.next_lsn;
    cr_expect(first > 2000 && first < last_lsn, "%llu", (unsigned long long)first);
    expect_silence(0);
    /* It is over: the tag can be used again. */
    cr_assert_eq(subscribe(0, TAG, first - 1), HF_OK);
    expect_frame(0, TAG, HF_OP_SUBSCRIBE, HF_LSN_NOT_KEPT);
    cr_assert_eq(subscribe(0, TAG, first), HF_OK);
    expect_subscribed(0, TAG, first);
    expect_records(0, TAG, first, last_lsn);
}

/* The end stands behind all records, and tells where to resume. */
Test(feed, unsubscribes)
{
    append_and_wait(700);
    cr_assert_eq(subscribe(0, TAG, 1), HF_OK);
    expect_subscribed(0, TAG, 1);
    expect_records(0, TAG, 1, 700);
    cr_expect_eq(hf_feed_worker_unsubscribe(&worker, 0, 5, TAG + 1), HF_UNSUBSCRIBED, "none");
    cr_assert_eq(hf_feed_worker_unsubscribe(&worker, 0, 5, TAG), HF_OK);
    expect_frame(0, TAG, HF_OP_SUBSCRIBE, HF_UNSUBSCRIBED);
    cr_expect_eq(reply.next_lsn, 701);
    expect_frame(0, 5, HF_OP_UNSUBSCRIBE, HF_UNSUBSCRIBED);
    cr_expect_eq(hf_feed_worker_unsubscribe(&worker, 0, 5, TAG), HF_UNSUBSCRIBED, "again");
    append_and_wait(10);
    expect_silence(0);
    cr_assert_eq(subscribe(0, TAG, 701), HF_OK);
    expect_subscribed(0, TAG, 701);
    expect_records(0, TAG, 701, 710);
}

/* Unsubscribed in the same breath, while records are on their way: they are all there or none, and
 * the end says which. */
Test(feed, unsubscribes_while_records_are_on_their_way)
{
    append_and_wait(3000);
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(subscribe(0, TAG, 1), HF_OK);
        struct timespec pause = {.tv_nsec = i * 20000};
        nanosleep(&pause, NULL);
        cr_assert_eq(hf_feed_worker_unsubscribe(&worker, 0, 5, TAG), HF_OK);
        expect_subscribed(0, TAG, 1);
        uint64_t lsn = 1;
        for (;;) {
            cr_assert(hf_feed_worker_next(&worker, 0, bytes, &frame, PATIENCE_MS));
            cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
            if (reply.result != HF_RECORDS)
                break;
            for (uint32_t j = 0; j < reply.count; j++)
                expect_record(reply.records + (size_t)j * HF_RECORD_BYTES, lsn++);
        }
        cr_assert_eq(reply.result, HF_UNSUBSCRIBED);
        cr_assert_eq(reply.next_lsn, lsn);
        expect_frame(0, 5, HF_OP_UNSUBSCRIBE, HF_UNSUBSCRIBED);
    }
}

Test(feed, bounds_the_subscriptions_of_a_connection)
{
    append_and_wait(1);
    for (uint64_t tag = 0; tag < HF_MAX_SUBSCRIPTIONS; tag++) {
        cr_assert_eq(subscribe(0, tag, 0), HF_OK);
        expect_subscribed(0, tag, 2);
        cr_expect_eq(subscribe(0, tag, 0), HF_BAD_FIELD, "each has a tag of its own");
    }
    cr_expect_eq(subscribe(0, 99, 0), HF_SUBSCRIPTIONS_FULL);
    hf_feed_worker_connect(&worker, 1, true);
    cr_expect_eq(subscribe(1, 99, 0), HF_OK, "another connection");
    cr_assert_eq(hf_feed_worker_unsubscribe(&worker, 0, 5, 3), HF_OK);
    cr_expect_eq(subscribe(0, 99, 0), HF_OK);
}

/* Waits until the feed has answered all jobs and sleeps. */
static void wait_for_rest(void)
{
    uint64_t waiting_lsn = 0;
    for (int i = 0; i < 20000 && waiting_lsn == 0; i++) {
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
        waiting_lsn = hf_load_seq_cst(&worker.feed->waiting_lsn);
    }
    cr_assert_neq(waiting_lsn, 0);
}

/* What a client does not read is held by the log, but for a bounded part; it is told once that it
 * is behind, and again when it has caught up and fallen behind anew. A second client sees nothing
 * of it. */
Test(feed, a_slow_watcher_only_slows_itself)
{
    hf_feed_worker_connect(&worker, 1, true);
    cr_assert_eq(subscribe(0, TAG, 0), HF_OK);
    cr_assert_eq(subscribe(1, TAG, 0), HF_OK);
    expect_subscribed(0, TAG, 1);
    expect_subscribed(1, TAG, 1);
    append(10);
    expect_records(0, TAG, 1, 10);
    expect_records(1, TAG, 1, 10);
    uint64_t from = 11;
    for (uint32_t round = 0; round < 3; round++) {
        hf_feed_worker_set_reads(&worker, 0, false);
        for (int i = 0; i < 20; i++) {
            append(500);
            expect_records(1, TAG, last_lsn - 499, last_lsn);
        }
        wait_for_rest();
        pthread_mutex_lock(&worker.lock);
        size_t held = worker.clients[0].output_bytes;
        uint32_t frames = 0;
        for (struct hf_feed_frame *held_frame = worker.clients[0].peer.first; held_frame != NULL;
             held_frame = held_frame->next) {
            held += held_frame->frame_bytes;
            frames++;
        }
        pthread_mutex_unlock(&worker.lock);
        cr_expect_leq(held, HF_FEED_OUTPUT_BYTES + (HF_FEED_FRAMES + 1) * HF_MAX_REPLY_BYTES);
        cr_expect_leq(frames, HF_FEED_FRAMES + 1);
        hf_feed_worker_set_reads(&worker, 0, true);
        cr_expect_eq(expect_records(0, TAG, from, last_lsn), 1, "in round %u", round);
        append(100);
        cr_expect_eq(expect_records(0, TAG, last_lsn - 99, last_lsn), 0);
        expect_records(1, TAG, last_lsn - 99, last_lsn);
        from = last_lsn + 1;
    }
}

/* Records are held for it when it goes; who comes after it in its place gets none of them. */
Test(feed, forgets_a_connection_that_is_gone)
{
    append_and_wait(5000);
    for (int i = 0; i < 30; i++) {
        hf_feed_worker_set_reads(&worker, 0, i % 3 == 0);
        cr_assert_eq(subscribe(0, TAG, 1), HF_OK);
        if (i % 2 == 0)
            expect_subscribed(0, TAG, 1);
        hf_feed_worker_disconnect(&worker, 0);
        hf_feed_worker_connect(&worker, 0, true);
        append(20);
    }
    expect_silence(0);
    wait_for_rest();
    cr_expect_eq(hf_load_relaxed(&worker.feed->subscriptions), 0);
    cr_expect_eq(hf_load_relaxed(&live.log.recent.followers), 0, "nothing is kept for nobody");
}

/* The peer ends its side: answers still come, records do not. */
Test(feed, owes_answers_to_a_connection_that_is_left)
{
    append_and_wait(5000);
    hf_feed_worker_set_reads(&worker, 0, false);
    struct hf_request request = {.operation = HF_OP_HISTORY, .limit = 10};
    struct hf_reservation newest = reservation_of(17);
    newest.lsn = 17;
    cr_assert_eq(subscribe(0, TAG, 1), HF_OK);
    cr_assert_eq(hf_feed_worker_history(&worker, 0, 4, &request, &newest), HF_OK);
    wait_for_rest(); /* the output is full, and more frames than fit are there */
    pthread_mutex_lock(&worker.lock);
    struct hf_feed_peer *peer = &worker.clients[0].peer;
    cr_expect_eq(peer->owed, 1, "SUBSCRIBED has gone its way");
    cr_expect_not_null(peer->first);
    hf_feed_leave(&worker.port, peer);
    cr_expect_eq(peer->owed, 1);
    size_t sent_bytes = worker.clients[0].received_bytes, record_bytes = 0;
    pthread_mutex_unlock(&worker.lock);
    hf_feed_worker_set_reads(&worker, 0, true);
    bool history = false, subscribed = false;
    while (hf_feed_worker_next(&worker, 0, bytes, &frame,
                               history && subscribed ? SILENCE_MS : PATIENCE_MS)) {
        cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
        history |= reply.operation == HF_OP_HISTORY;
        subscribed |= reply.result == HF_SUBSCRIBED;
        record_bytes += reply.result == HF_RECORDS ? frame.frame_bytes : 0;
        cr_expect_neq(reply.result, HF_UNSUBSCRIBED);
    }
    cr_expect(history && subscribed);
    cr_expect_leq(record_bytes, sent_bytes, "no more than what was on its way out");
    wait_for_rest();
    pthread_mutex_lock(&worker.lock);
    cr_expect_eq(peer->owed, 0);
    cr_expect_null(peer->subscriptions);
    pthread_mutex_unlock(&worker.lock);
    cr_expect_eq(hf_load_relaxed(&worker.feed->subscriptions), 0);
}

/* Somebody watches, and nothing happens: the thread does not wake up. */
Test(feed, sleeps_while_nothing_happens)
{
    append_and_wait(10);
    cr_assert_eq(subscribe(0, TAG, 1), HF_OK);
    expect_subscribed(0, TAG, 1);
    expect_records(0, TAG, 1, 10);
    wait_for_rest();
    uint64_t round = worker.feed->round; /* it sleeps; what woke it would be an event */
    expect_silence(0);
    struct timespec pause = {.tv_nsec = 200000000};
    nanosleep(&pause, NULL);
    cr_expect_leq(worker.feed->round, round + 1);
    append(1);
    expect_records(0, TAG, 11, 11);
}

/* Committed before it is on the disk: told when it is. */
Test(feed_memory, tells_what_is_on_the_disk, .timeout = 60)
{
    hf_live_log_open(&live, MIB, 1024, 1024, HF_DURABILITY_MEMORY);
    hf_feed_worker_open(&worker, &live);
    hf_ring_producer_init(&producer, &live.log.ring);
    hf_feed_worker_connect(&worker, 0, true);
    cr_assert_eq(subscribe(0, TAG, 0), HF_OK);
    expect_subscribed(0, TAG, 1);
    for (int i = 0; i < 200; i++) {
        append(1 + (uint32_t)i);
        expect_records(0, TAG, last_lsn - (uint64_t)i, last_lsn);
    }
    close_feed();
}

/* ---- history ---- */

/* A reservation's images 1 to `sequence`, with others between them. Returns it as it is now. */
static struct hf_reservation append_history(uint64_t number, uint32_t sequence, uint32_t between)
{
    struct hf_reservation reservation = reservation_of(number);
    for (reservation.sequence = 1;; reservation.sequence++) {
        reservation.changed_at_ns++;
        reservation.state = reservation.sequence == sequence ? HF_STATE_RELEASED : HF_STATE_HELD;
        reservation.deadline_ns = reservation.sequence == sequence ? 0 : 5000;
        reservation.qty = reservation.sequence;
        reservation.lsn = append_image(&reservation, 1);
        append(between);
        if (reservation.sequence == sequence)
            return reservation;
    }
}

static void expect_history(const struct hf_reservation *newest, uint32_t from, uint32_t limit,
                           uint32_t first, uint32_t count, uint32_t next)
{
    struct hf_request request = {.operation = HF_OP_HISTORY, .from = from, .limit = limit};
    cr_assert_eq(hf_feed_worker_history(&worker, 0, 6, &request, newest), HF_OK);
    expect_frame(0, 6, HF_OP_HISTORY, HF_FOUND);
    cr_assert_eq(reply.count, count, "%u of %u", reply.count, count);
    cr_assert_eq(reply.next, next);
    uint64_t lsn = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_reservation *told = &reply.entries[i].reservation;
        cr_expect(hf_id_equal(&told->id, &newest->id));
        cr_expect_eq(told->sequence, first + i);
        cr_expect_eq(told->qty, first + i);
        cr_expect_eq(told->made_at_ns, newest->made_at_ns);
        cr_expect_gt(told->lsn, lsn);
        lsn = told->lsn;
    }
}

/* Pages of a history that lies in files and in memory. */
Test(feed, tells_a_history_in_pages)
{
    append_and_wait(100);
    struct hf_reservation newest = append_history(1u << 20, 40, 400);
    hf_live_log_wait(&live, last_lsn);
    expect_history(&newest, 0, 500, 1, 40, 0);
    expect_history(&newest, 0, 40, 1, 40, 0);
    expect_history(&newest, 0, 39, 1, 39, 40);
    expect_history(&newest, 40, 39, 40, 1, 0);
    expect_history(&newest, 1, 7, 1, 7, 8);
    expect_history(&newest, 8, 7, 8, 7, 15);
    expect_history(&newest, 41, 7, 41, 0, 0);
    expect_history(&newest, 17, 1, 17, 1, 18);
    wait_for_rest();
    for (uint32_t i = 0; i < HF_FEED_READERS; i++)
        cr_expect_null(worker.feed->readers[i].reader, "no buffer is held for nothing");
}

/* An id that was used before, by a reservation that is forgotten. */
Test(feed, a_history_is_of_one_reservation)
{
    append_history(1u << 20, 3, 5);
    struct hf_reservation other = reservation_of((1u << 20) + 1);
    append_image(&other, 1);
    struct hf_reservation again = reservation_of(1u << 20);
    again.made_at_ns += 1000000;
    again.changed_at_ns += 1000000;
    again.lsn = append_image(&again, 1);
    hf_live_log_wait(&live, last_lsn);
    expect_history(&again, 0, 10, 1, 1, 0);
}

/* Its newest image is appended but not committed: the answer comes when it is. */
Test(feed, a_history_waits_for_commit)
{
    append_and_wait(10);
    struct hf_reservation reservation = reservation_of(1u << 20);
    uint8_t record[HF_RECORD_BYTES];
    hf_image_encode_reservation(record, &reservation, &(struct hf_image_notes){0});
    while (!hf_ring_credit(&producer, 1))
        ;
    struct hf_ring_slot *slot = hf_ring_reserve(&producer, &reservation.lsn);
    struct hf_request request = {.operation = HF_OP_HISTORY, .limit = 5};
    cr_assert_eq(hf_feed_worker_history(&worker, 0, 6, &request, &reservation), HF_OK);
    expect_silence(0);
    memcpy(slot->image, record + HF_RECORD_IMAGE, HF_RECORD_IMAGE_BYTES);
    hf_ring_publish(slot, reservation.lsn);
    last_lsn = reservation.lsn;
    expect_frame(0, 6, HF_OP_HISTORY, HF_FOUND);
    cr_expect_eq(reply.count, 1);
    cr_expect_eq(reply.entries[0].reservation.lsn, reservation.lsn);
}

/* Many at once, from several connections: each gets its own. */
Test(feed, answers_many_histories)
{
    struct hf_reservation newest[12];
    for (uint32_t i = 0; i < 12; i++)
        newest[i] = append_history((1u << 20) + i, 3 + i, 100);
    hf_live_log_wait(&live, last_lsn);
    hf_feed_worker_connect(&worker, 1, true);
    struct hf_request request = {.operation = HF_OP_HISTORY, .limit = 100};
    for (uint32_t i = 0; i < 12; i++)
        cr_assert_eq(hf_feed_worker_history(&worker, i % 2, i, &request, &newest[i]), HF_OK);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < 12; i++) {
        cr_assert(hf_feed_worker_next(&worker, i % 2, bytes, &frame, PATIENCE_MS));
        cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
        cr_assert_lt(frame.tag, 12);
        cr_expect_eq(reply.count, 3 + frame.tag);
        cr_expect(hf_id_equal(&reply.entries[0].reservation.id, &newest[frame.tag].id));
        seen |= 1u << frame.tag;
    }
    cr_expect_eq(seen, (1u << 12) - 1);
    pthread_mutex_lock(&worker.lock);
    cr_expect_eq(worker.clients[0].peer.owed, 0);
    pthread_mutex_unlock(&worker.lock);
}

/* The oldest images are gone with the first segments. */
Test(feed, a_history_begins_with_what_is_kept)
{
    struct hf_reservation newest = append_history(1u << 20, 30, 1000);
    hf_live_log_wait(&live, last_lsn);
    char name[HF_SEGMENT_NAME_BYTES], path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(1, name);
    snprintf(path, sizeof path, "%s/%s", live.directory, name);
    cr_assert_eq(unlink(path), 0);
    struct hf_request request = {.operation = HF_OP_HISTORY, .limit = 100};
    cr_assert_eq(hf_feed_worker_history(&worker, 0, 6, &request, &newest), HF_OK);
    expect_frame(0, 6, HF_OP_HISTORY, HF_FOUND);
    cr_expect(reply.count > 10 && reply.count < 30, "%u", reply.count);
    cr_expect_eq(reply.entries[reply.count - 1].reservation.sequence, 30);
    cr_expect_gt(reply.entries[0].reservation.sequence, 1);
}

/* A connection that asks without end is owed a bounded number of answers. */
Test(feed, bounds_what_a_connection_is_owed)
{
    struct hf_reservation newest = append_history(1u << 20, 2, 0);
    hf_live_log_wait(&live, last_lsn);
    hf_feed_worker_set_reads(&worker, 0, false);
    struct hf_request request = {.operation = HF_OP_HISTORY, .limit = 500};
    newest.lsn = last_lsn + 1; /* not committed yet: none is answered */
    for (uint32_t i = 0; i < HF_FEED_MAX_OWED; i++) {
        cr_expect_not(hf_feed_must_wait(&worker.clients[0].peer));
        cr_assert_eq(hf_feed_worker_history(&worker, 0, i, &request, &newest), HF_OK);
    }
    cr_expect(hf_feed_must_wait(&worker.clients[0].peer));
    append(1);
    for (uint32_t i = 0; i < HF_FEED_MAX_OWED; i++) {
        cr_assert(hf_feed_worker_next(&worker, 0, bytes, &frame, PATIENCE_MS));
        cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
        cr_expect_eq(reply.count, 2);
    }
    pthread_mutex_lock(&worker.lock);
    cr_expect_not(hf_feed_must_wait(&worker.clients[0].peer));
    pthread_mutex_unlock(&worker.lock);
}

/* The log ends while all sorts of things are on their way. What is left over is freed (which the
 * leak checker sees). */
Test(feed, ends_in_the_middle_of_everything)
{
    append_and_wait(5000);
    struct hf_request request = {.operation = HF_OP_HISTORY, .limit = 500};
    struct hf_reservation newest = reservation_of(4000);
    newest.lsn = 4000;
    for (uint32_t client = 1; client < 20; client++) {
        hf_feed_worker_connect(&worker, client, client % 2 == 0);
        cr_assert_eq(subscribe(client, TAG, client % 3), HF_OK);
        cr_assert_eq(hf_feed_worker_history(&worker, client, 1, &request, &newest), HF_OK);
        if (client % 4 == 0)
            cr_assert_eq(hf_feed_worker_unsubscribe(&worker, client, 2, TAG), HF_OK);
        if (client % 5 == 0)
            hf_feed_worker_disconnect(&worker, client);
    }
}
