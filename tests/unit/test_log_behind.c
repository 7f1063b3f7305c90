/*
 * The handler over a store whose log is never flushed, so that it is as far behind as a test wants:
 * what is put aside, what is answered all the same, and when the answer is OVERLOADED.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "net/handler.h"
#include "tests/lib/process.h"
#include "wal/standstill.h"

#define AWAIT_PLACES 128
#define CAPACITY     1000
#define SOLD_OUT     2 /* an inventory without units */

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct hf_server server;
static struct hf_actor actor;
static struct hf_await await;
static struct hf_chunk_pool pool;
static struct hf_feed_port port; /* unused: nothing here is the feed's */
static struct hf_handler handler;
static struct hf_connection connection;
static uint32_t made; /* reservations */

/* The connection's next request. */
static enum hf_handled execute(const struct hf_request *request)
{
    static uint8_t bytes[HF_MAX_REQUEST_BYTES];
    size_t count = hf_request_encode(bytes, request, 1);
    uint32_t used;
    actor.now_ns = hf_server_clock_now_ns(&server.store->log.clock);
    hf_actor_enter(&actor);
    connection.stall = HF_STALL_NONE; /* as net/traffic.c has it */
    enum hf_handled handled = hf_handler_execute(&handler, &connection, bytes, count, &used);
    hf_actor_exit(&actor);
    return handled;
}

/* The result that was told at once. */
static unsigned told(struct hf_reply *reply)
{
    static uint8_t bytes[HF_MAX_REPLY_BYTES];
    static struct hf_reply_scratch scratch;
    struct hf_frame frame;
    uint32_t count;
    size_t copied = 0;
    for (const uint8_t *run; (run = hf_output_peek(&connection.output, &count)) != NULL;
         hf_output_consume(&connection.output, &pool, count)) {
        memcpy(bytes + copied, run, count);
        copied += count;
    }
    cr_assert_neq(copied, 0, "nothing was told at once");
    hf_frame_read(bytes, &frame);
    cr_assert_eq(frame.frame_bytes, copied);
    cr_assert(hf_reply_decode(bytes, &frame, reply, &scratch));
    return reply->result;
}

static unsigned ask(const struct hf_request *request)
{
    struct hf_reply reply;
    cr_assert_eq(execute(request), HF_HANDLED);
    return told(&reply);
}

static struct hf_request about(enum hf_operation operation, uint32_t number)
{
    struct hf_request request = {
        .operation = operation, .inventory_id = 1, .customer_id = 1, .qty = 1, .limit = 1};
    memcpy(request.id.bytes, &(uint32_t){number + 1}, sizeof number);
    return request;
}

static unsigned ask_about(enum hf_operation operation, uint32_t number)
{
    struct hf_request request = about(operation, number);
    return ask(&request);
}

static enum hf_handled reserve_next(void)
{
    struct hf_request request = about(HF_OP_RESERVE, made);
    enum hf_handled handled = execute(&request);
    made += handled == HF_HANDLED;
    return handled;
}

static void create(uint64_t inventory_id, uint32_t capacity)
{
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = inventory_id, .capacity = capacity};
    cr_assert_eq(execute(&request), HF_HANDLED);
}

static void open_sized(uint32_t ring_slots)
{
    char error[HF_LOG_ERROR_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_store_options options = {
        .directory = directory,
        .segment_bytes = HF_MIN_SEGMENT_BYTES,
        .ring_slots = ring_slots,
        .manual = true, /* no snapshot is made but by a step */
    };
    cr_assert_eq(hf_store_open(&server.store, &options, error), 0, "%s", error);
    hf_actor_init(&actor, &server.store->engine, &server.store->log.ring);
    cr_assert_eq(hf_await_init(&await, AWAIT_PLACES, AWAIT_PLACES), 0);
    cr_assert_eq(hf_handler_init(&handler, &server, &actor, &await, &port, &pool), 0);
    create(1, CAPACITY);
    create(SOLD_OUT, 1);
    struct hf_request request = about(HF_OP_RESERVE, 9999);
    request.inventory_id = SOLD_OUT;
    cr_assert_eq(execute(&request), HF_HANDLED);
}

/* The ring is full before the replies have no place. */
static void fill_ring(void)
{
    open_sized(64);
    while (reserve_next() == HF_HANDLED)
        ;
    cr_assert_eq(connection.stall, HF_STALL_LOG);
}

/* And the other way round. */
static void fill_await(void)
{
    open_sized(1024);
    while (hf_await_count(&await) != AWAIT_PLACES)
        cr_assert_eq(reserve_next(), HF_HANDLED);
}

static void close_handler(void)
{
    hf_directory_remove(directory);
}

TestSuite(log_behind_ring, .init = fill_ring, .fini = close_handler);
TestSuite(log_behind_await, .init = fill_await, .fini = close_handler);

/* As if the log had been met like this a second ago. */
static void let_a_second_pass(void)
{
    cr_assert_neq(handler.standstill.since_ns, 0);
    handler.standstill.since_ns -= HF_STANDSTILL_NS;
}

/* All that was appended is committed; of a flusher's work, only that. */
static void commit_all(void)
{
    handler.commit_lsn = hf_load_relaxed(&server.store->log.ring.tail) - 1;
}

/* What needs no log and tells of nothing that is not committed. */
static void expect_answers(void)
{
    struct hf_request refused = about(HF_OP_RESERVE, 5555);
    cr_expect_eq(ask_about(HF_OP_PING, 0), HF_OK);
    cr_expect_eq(ask_about(HF_OP_INFO, 0), HF_FOUND);
    cr_expect_eq(ask_about(HF_OP_STATUS, 0), HF_FOUND);
    cr_expect_eq(ask_about(HF_OP_INVENTORY_GET, 0), HF_FOUND);
    cr_expect_eq(ask_about(HF_OP_INVENTORY_LIST, 0), HF_FOUND);
    cr_expect_eq(ask_about(HF_OP_RESERVATION_GET, 7777), HF_NOT_FOUND);
    cr_expect_eq(ask_about(HF_OP_CANCEL, 7777), HF_NOT_FOUND);
    refused.inventory_id = SOLD_OUT;
    cr_expect_eq(ask(&refused), HF_SOLD_OUT);
    refused.inventory_id = 77;
    cr_expect_eq(ask(&refused), HF_UNKNOWN_INVENTORY);
}

static uint32_t confirmed(void)
{
    struct hf_outcome outcome;
    hf_engine_get_inventory(&actor, 1, &outcome);
    return outcome.inventory.confirmed;
}

static struct hf_status status(void)
{
    struct hf_reply reply;
    struct hf_request request = about(HF_OP_STATUS, 0);
    cr_assert_eq(execute(&request), HF_HANDLED);
    cr_assert_eq(told(&reply), HF_FOUND);
    return reply.status;
}

/* The counters of STATUS are summed over the workers: this handler is one of a worker's. */
static uint64_t overloaded(void)
{
    return hf_load_relaxed(&handler.overloaded);
}

/* ---- the ring is full ---- */

/* For a second it is only waited; then the answer comes at once, and nothing was done. */
Test(log_behind_ring, a_log_that_stands_still_is_told_after_a_second)
{
    uint32_t before = made;
    for (int tries = 0; tries < 3; tries++)
        cr_expect_eq(reserve_next(), HF_HANDLED_STALLED);
    let_a_second_pass();
    cr_expect_eq(ask_about(HF_OP_RESERVE, made), HF_OVERLOADED);
    cr_expect_eq(ask_about(HF_OP_CANCEL, 0), HF_OVERLOADED);
    cr_expect_eq(ask_about(HF_OP_RESERVE, made + 1), HF_OVERLOADED);
    cr_expect_eq(confirmed(), before);
    cr_expect_eq(ask_about(HF_OP_RESERVATION_GET, made), HF_NOT_FOUND);
    cr_expect_eq(overloaded(), 3);
}

/* One request that is tried again and again is one that was put aside; the next one is another. */
Test(log_behind_ring, what_is_put_aside_is_counted_once)
{
    for (int tries = 0; tries < 5; tries++)
        cr_expect_eq(reserve_next(), HF_HANDLED_STALLED);
    cr_expect_eq(hf_load_relaxed(&handler.put_aside), 1);
    cr_expect_eq(ask_about(HF_OP_PING, 0), HF_OK); /* as if the other one had been done */
    cr_expect_eq(reserve_next(), HF_HANDLED_STALLED);
    cr_expect_eq(hf_load_relaxed(&handler.put_aside), 2);
    cr_expect_eq(overloaded(), 0);
}

Test(log_behind_ring, what_needs_no_log_is_answered_all_the_time)
{
    expect_answers();
    cr_expect_eq(reserve_next(), HF_HANDLED_STALLED);
    let_a_second_pass();
    expect_answers();
}

/* One block becomes durable: that is a log that moves, and the second begins anew. */
Test(log_behind_ring, a_log_that_moves_is_waited_for)
{
    cr_expect_eq(reserve_next(), HF_HANDLED_STALLED);
    let_a_second_pass();
    hf_store_relaxed(&server.store->log.flusher.durable_lsn, 1);
    cr_expect_eq(reserve_next(), HF_HANDLED_STALLED);
    let_a_second_pass();
    cr_expect_eq(ask_about(HF_OP_RESERVE, made), HF_OVERLOADED);
}

/* ---- as many replies await commit as may ---- */

/* What would have to wait for commit is put aside, reads of what is not committed too; nothing of it
 * was done, and the ring is as it was. */
Test(log_behind_await, what_would_have_to_wait_is_put_aside)
{
    cr_assert(hf_ring_credit(&actor.log, 1), "the ring has room");
    uint64_t tail = hf_load_relaxed(&server.store->log.ring.tail);
    uint32_t credits = actor.log.credits, before = confirmed();
    struct hf_request cancel = about(HF_OP_CANCEL, 0), get = about(HF_OP_RESERVATION_GET, 0);
    struct hf_request hash = about(HF_OP_STATE_HASH, 0), again = about(HF_OP_RESERVE, 0);
    struct hf_request list = about(HF_OP_RESERVATION_LIST, 0);
    const struct hf_request *const asides[] = {&cancel, &get, &hash, &again, &list};
    cr_expect_eq(reserve_next(), HF_HANDLED_STALLED);
    cr_expect_eq(connection.stall, HF_STALL_AWAIT);
    for (size_t i = 0; i < sizeof asides / sizeof asides[0]; i++) {
        cr_expect_eq(execute(asides[i]), HF_HANDLED_STALLED, "%zu", i);
        cr_expect_eq(connection.stall, HF_STALL_AWAIT, "%zu", i);
    }
    expect_answers();
    let_a_second_pass();
    for (size_t i = 0; i < sizeof asides / sizeof asides[0]; i++)
        cr_expect_eq(ask(asides[i]), HF_OVERLOADED, "%zu", i);
    cr_expect_eq(ask_about(HF_OP_RESERVE, made), HF_OVERLOADED);
    expect_answers();
    cr_expect_null(connection.hashing);
    cr_expect_eq(hf_load_relaxed(&server.store->log.ring.tail), tail);
    cr_expect_eq(actor.log.credits, credits);
    cr_expect_eq(confirmed(), before);
    cr_expect_eq(hf_await_count(&await), AWAIT_PLACES);
}

/* What is committed is told although the replies before it have no place to leave to. */
Test(log_behind_await, what_is_committed_waits_for_nobody)
{
    commit_all();
    cr_expect_eq(ask_about(HF_OP_RESERVATION_GET, 0), HF_FOUND);
    cr_expect_eq(ask_about(HF_OP_RESERVE, 0), HF_GRANTED);
    cr_expect_eq(ask_about(HF_OP_RESERVATION_LIST, 0), HF_FOUND);
    cr_expect_eq(reserve_next(), HF_HANDLED_STALLED, "a new one needs a place");
}

/* A hash over more cells than one turn looks at has begun when the places run out: it goes on where it
 * was, if there is a place in time; if it is given up, nothing of it is left. */
Test(log_behind, a_hash_that_is_given_up_leaves_nothing, .fini = close_handler)
{
    enum { CELLS = 1500 };
    struct hf_request hash = about(HF_OP_STATE_HASH, 0);
    open_sized(4096);
    while (made < CELLS / 2) {
        cr_assert_eq(reserve_next(), HF_HANDLED);
        hf_await_pop(&await);
    }
    create(3, CAPACITY);
    while (made < CELLS) {
        struct hf_request request = about(HF_OP_RESERVE, made++);
        request.inventory_id = 3;
        cr_assert_eq(execute(&request), HF_HANDLED);
        hf_await_pop(&await);
    }
    connection.awaiting_bytes = 0;
    cr_assert_eq(execute(&hash), HF_HANDLED_STALLED);
    cr_assert_eq(connection.stall, HF_STALL_BUSY);
    cr_assert_not_null(connection.hashing);
    while (hf_await_count(&await) != AWAIT_PLACES)
        (void)hf_await_push(&await);
    cr_expect_eq(execute(&hash), HF_HANDLED_STALLED);
    cr_expect_eq(connection.stall, HF_STALL_AWAIT);
    cr_expect_not_null(connection.hashing);
    let_a_second_pass();
    cr_expect_eq(ask(&hash), HF_OVERLOADED);
    cr_expect_null(connection.hashing);
}

/* There is room again: what was put aside is done. */
Test(log_behind_await, with_room_it_goes_on)
{
    cr_expect_eq(reserve_next(), HF_HANDLED_STALLED);
    hf_await_pop(&await);
    cr_expect_eq(reserve_next(), HF_HANDLED);
    cr_expect_eq(reserve_next(), HF_HANDLED_STALLED);
}

/* ---- not crowded ---- */

static void open_roomy(void)
{
    open_sized(64);
}

TestSuite(log_ahead, .init = open_roomy, .fini = close_handler);

/* Of two reservations, one is committed: it is told at once, and the other one when it is. */
Test(log_ahead, what_is_committed_is_told_at_once)
{
    cr_assert_eq(reserve_next(), HF_HANDLED);
    commit_all();
    cr_assert_eq(reserve_next(), HF_HANDLED);
    uint32_t before = hf_await_count(&await);
    cr_expect_eq(ask_about(HF_OP_RESERVATION_GET, 0), HF_FOUND);
    cr_expect_eq(ask_about(HF_OP_RESERVE, 0), HF_GRANTED);
    cr_expect_eq(hf_await_count(&await), before);
    struct hf_request get = about(HF_OP_RESERVATION_GET, 1);
    cr_expect_eq(execute(&get), HF_HANDLED);
    cr_expect_eq(connection.output.bytes, 0);
    cr_expect_eq(hf_await_count(&await), before + 1);
}

/* SNAPSHOT is answered, and the next step of who makes snapshots begins one. */
Test(log_ahead, a_snapshot_can_be_asked_for)
{
    struct hf_snapshotter *snapshotter = server.store->snapshotter;
    hf_snapshotter_step(snapshotter);
    cr_expect_eq(status().snapshot_requested, 0);
    cr_expect_eq(status().snapshot_under_way, 0);
    cr_expect_eq(ask_about(HF_OP_SNAPSHOT, 0), HF_OK);
    cr_expect_eq(ask_about(HF_OP_SNAPSHOT, 0), HF_OK);
    cr_expect_eq(status().snapshot_requested, 1);
    cr_expect_eq(status().snapshot_under_way, 0);
    hf_snapshotter_step(snapshotter);
    cr_expect_eq(status().snapshot_requested, 0);
    cr_expect_eq(status().snapshot_under_way, 1);
    cr_expect_gt(status().snapshot_expected_bytes, 0);
    cr_expect_eq(status().snapshots_made, 0);
}

/* While the disk is slow to remove what no snapshot needs, those who ask how it is need not wait. */
Test(log_ahead, status_waits_for_nobody, .timeout = 20)
{
    pthread_mutex_lock(&server.store->log.snapshots);
    cr_expect_eq(status().snapshots_kept, 0);
    cr_expect_eq(ask_about(HF_OP_SNAPSHOT, 0), HF_OK);
    cr_expect_eq(ask_about(HF_OP_INFO, 0), HF_FOUND);
    pthread_mutex_unlock(&server.store->log.snapshots);
}

/* A server that stops answers STATUS, and nothing else. */
Test(log_ahead, a_server_that_stops_tells_so)
{
    cr_expect_eq(status().state, HF_SERVER_READY);
    handler.stopping = true;
    cr_expect_eq(status().state, HF_SERVER_STOPPING);
    handler.refusing = true;
    cr_expect_eq(status().state, HF_SERVER_STOPPING);
    cr_expect_eq(ask_about(HF_OP_PING, 0), HF_SHUTTING_DOWN);
    cr_expect_eq(ask_about(HF_OP_SNAPSHOT, 0), HF_SHUTTING_DOWN);
    cr_expect_eq(status().snapshot_requested, 0);
}

/* ---- standstill ---- */

Test(standstill, it_is_the_same_place_for_a_second)
{
    const uint64_t start_ns = 5 * HF_NS_PER_S;
    struct hf_standstill standstill = {0};
    cr_expect_not(hf_standstill_look(&standstill, 0, start_ns), "the first look, at LSN 0");
    cr_expect_not(hf_standstill_look(&standstill, 0, start_ns + HF_STANDSTILL_NS - 1));
    cr_expect(hf_standstill_look(&standstill, 0, start_ns + HF_STANDSTILL_NS));
    cr_expect(hf_standstill_look(&standstill, 0, start_ns + 9 * HF_STANDSTILL_NS));
    cr_expect_not(hf_standstill_look(&standstill, 1, start_ns + 9 * HF_STANDSTILL_NS));
    cr_expect_not(hf_standstill_look(&standstill, 1, start_ns + 10 * HF_STANDSTILL_NS - 1));
    cr_expect(hf_standstill_look(&standstill, 1, start_ns + 10 * HF_STANDSTILL_NS));
    cr_expect_not(hf_standstill_look(&standstill, 2, start_ns + 30 * HF_STANDSTILL_NS));
}
