/* The handler over a store whose log is never flushed: what may be answered before commit, and what
 * may not (ACK-AFTER-COMMIT). */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/burst.h"
#include "net/handler.h"
#include "tests/lib/process.h"

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct hf_server server;
static struct hf_actor actor;
static struct hf_await await;
static struct hf_chunk_pool pool;
static struct hf_feed_port port; /* unused: nothing here is the feed's */
static struct hf_handler handler;

static void open_sized(uint32_t ring_slots)
{
    struct hf_store_options options = {
        .directory = directory, .segment_bytes = HF_MIN_SEGMENT_BYTES, .ring_slots = ring_slots};
    char error[HF_LOG_ERROR_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    options.directory = directory;
    cr_assert_eq(hf_store_open(&server.store, &options, error), 0, "%s", error);
    hf_actor_init(&actor, &server.store->engine, &server.store->log.ring);
    cr_assert_eq(hf_await_init(&await, 128, 128), 0);
    cr_assert_eq(hf_handler_init(&handler, &server, &actor, &await, &port, &pool), 0);
}

static void open_handler(void)
{
    open_sized(64);
}

static void open_roomy(void)
{
    open_sized(1024);
}

static void close_handler(void)
{
    hf_directory_remove(directory);
}

TestSuite(handler, .init = open_handler, .fini = close_handler);
TestSuite(handler_story, .init = open_roomy, .fini = close_handler);

static enum hf_handled execute(struct hf_connection *connection, const struct hf_request *request)
{
    static uint8_t bytes[HF_MAX_REQUEST_BYTES];
    size_t count = hf_request_encode(bytes, request, 1);
    uint32_t used;
    actor.now_ns = hf_server_clock_now_ns(&server.store->log.clock);
    hf_actor_enter(&actor);
    enum hf_handled handled = hf_handler_execute(&handler, connection, bytes, count, &used);
    hf_actor_exit(&actor);
    return handled;
}

/* Executes a request on a connection of its own. True: it was answered at once. */
static bool answered_at_once(const struct hf_request *request)
{
    struct hf_connection connection = {.socket = 0};
    uint32_t before = hf_await_count(&await);
    cr_assert_eq(execute(&connection, request), HF_HANDLED);
    bool at_once = connection.output.bytes != 0;
    cr_assert_eq(hf_await_count(&await) - before, at_once ? 0 : 1);
    hf_connection_release(&connection, &pool);
    return at_once;
}

static struct hf_request reserve(uint8_t number)
{
    return (struct hf_request){.operation = HF_OP_RESERVE,
                               .id = {.bytes = {number}},
                               .inventory_id = 1,
                               .customer_id = 1,
                               .qty = 1};
}

static struct hf_request create(uint32_t capacity)
{
    return (struct hf_request){
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = 1, .capacity = capacity};
}

static struct hf_request about(enum hf_operation operation, uint8_t number)
{
    return (struct hf_request){.operation = operation, .id = {.bytes = {number}}};
}

/* Nothing of the log is on the disk: every answer that tells of a change awaits commit. */
Test(handler, what_tells_of_a_change_awaits_commit)
{
    struct hf_request request = create(1);
    cr_assert_not(answered_at_once(&request));
    cr_assert_not(answered_at_once(&request), "the repeated creation");
    request = reserve(1);
    cr_assert_not(answered_at_once(&request));
    cr_assert_not(answered_at_once(&request), "the repeated reserve");
    request.customer_id = 2;
    cr_assert_not(answered_at_once(&request), "ID_REUSED tells that the id exists");
    request = about(HF_OP_RESERVATION_GET, 1);
    cr_assert_not(answered_at_once(&request));
    request = about(HF_OP_CANCEL, 1);
    cr_assert_not(answered_at_once(&request));
    cr_assert_not(answered_at_once(&request), "the repeated cancel");
    request = (struct hf_request){.operation = HF_OP_STATE_HASH};
    cr_assert_not(answered_at_once(&request));
}

/* Nothing of the log is on the disk: refusals and availability are answered all the same. */
Test(handler, refusals_and_availability_are_immediate)
{
    struct hf_request request = create(1);
    answered_at_once(&request);
    request = reserve(1);
    answered_at_once(&request);
    request = reserve(2);
    cr_assert(answered_at_once(&request), "SOLD_OUT");
    request.inventory_id = 9;
    cr_assert(answered_at_once(&request), "UNKNOWN_INVENTORY");
    request = about(HF_OP_RESERVATION_GET, 3);
    cr_assert(answered_at_once(&request), "NOT_FOUND");
    request = about(HF_OP_CANCEL, 3);
    cr_assert(answered_at_once(&request), "NOT_FOUND");
    request = (struct hf_request){.operation = HF_OP_INVENTORY_GET, .inventory_id = 1};
    cr_assert(answered_at_once(&request));
    request = (struct hf_request){.operation = HF_OP_INVENTORY_LIST, .limit = 10};
    cr_assert(answered_at_once(&request));
    request = (struct hf_request){.operation = HF_OP_PING};
    cr_assert(answered_at_once(&request));
    request = (struct hf_request){.operation = HF_OP_INFO};
    cr_assert(answered_at_once(&request));
}

/* The ring has 64 slots and nothing drains it: the request that finds it full is kept, not refused,
 * and not one unit is taken for it. */
Test(handler, a_full_log_stalls_the_connection)
{
    struct hf_request request = create(1000);
    answered_at_once(&request);
    struct hf_connection connection = {.socket = 0};
    uint8_t number = 1;
    enum hf_handled handled;
    do {
        request = reserve(number++);
        handled = execute(&connection, &request);
    } while (handled == HF_HANDLED);
    cr_assert_eq(handled, HF_HANDLED_STALLED);
    cr_assert_eq(connection.stall, HF_STALL_LOG);
    cr_assert_eq(connection.output.bytes, 0);
    struct hf_outcome outcome;
    hf_engine_get_inventory(&actor, 1, &outcome);
    cr_assert_eq(outcome.inventory.confirmed, connection.awaiting);
}

/* ---- bursts ---- */

/* Plain reserves of inventory 1, with the numbers from `first` on and these as tags, as bytes. */
static size_t encode_reserves(uint8_t *bytes, uint8_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_request request = reserve((uint8_t)(first + i));
        hf_request_encode(bytes + (size_t)i * HF_RESERVE_BYTES, &request, first + i);
    }
    return (size_t)count * HF_RESERVE_BYTES;
}

static uint32_t execute_burst(struct hf_connection *connection, const uint8_t *bytes, size_t count,
                              uint32_t *read)
{
    hf_actor_enter(&actor);
    uint32_t done = hf_handler_execute_burst(&handler, connection, bytes, count, read);
    hf_actor_exit(&actor);
    return done;
}

/* Takes the replies that are owed off the connection: `count` short ones, with tags from `first` on. */
static void expect_refusals(struct hf_connection *connection, uint8_t first, uint32_t count)
{
    uint32_t run_bytes, met = 0;
    for (const uint8_t *run; (run = hf_output_peek(&connection->output, &run_bytes)) != NULL;
         hf_output_consume(&connection->output, &pool, run_bytes)) {
        for (uint32_t at = 0; at < run_bytes; at += HF_SHORT_REPLY_BYTES, met++) {
            struct hf_frame frame;
            struct hf_reply reply;
            hf_frame_read(run + at, &frame);
            cr_assert_eq(frame.frame_bytes, HF_SHORT_REPLY_BYTES);
            cr_assert(hf_reply_decode(run + at, &frame, &reply, NULL));
            cr_expect_eq(frame.tag, first + met);
            cr_expect_eq(reply.operation, HF_OP_RESERVE);
            cr_expect_eq(reply.result, HF_SOLD_OUT);
            cr_expect_eq(reply.field, HF_FIELD_NONE);
            cr_expect_eq(reply.available, 0);
            cr_expect_eq(reply.version, 2);
        }
    }
    cr_expect_eq(met, count);
}

/* One unit, and number 200 has it. */
static void sell_out(void)
{
    struct hf_request request = create(1);
    answered_at_once(&request);
    request = reserve(200);
    answered_at_once(&request);
}

/* All that came together is answered together, but one that is no plain reserve, and what is behind it. */
Test(handler, refusals_that_came_together_are_answered_at_once_and_in_order)
{
    uint8_t bytes[(HF_BURST_MAX + 8) * HF_RESERVE_BYTES];
    struct hf_connection connection = {.socket = 0};
    uint32_t read;
    sell_out();
    size_t count = encode_reserves(bytes, 1, HF_BURST_MAX + 8);
    cr_expect_eq(execute_burst(&connection, bytes, count, &read), HF_BURST_MAX);
    cr_expect_eq(read, HF_BURST_MAX);
    expect_refusals(&connection, 1, HF_BURST_MAX);
    const struct hf_request request = about(HF_OP_RESERVATION_GET, 1);
    hf_request_encode(bytes + 3 * HF_RESERVE_BYTES, &request, 1);
    cr_expect_eq(execute_burst(&connection, bytes, count, &read), 3);
    cr_expect_eq(read, 3);
    expect_refusals(&connection, 1, 3);
    cr_expect_eq(execute_burst(&connection, bytes + 3 * HF_RESERVE_BYTES, count, &read), 0);
    cr_expect_eq(read, 0);
    encode_reserves(bytes, 197, 8); /* 200 is known */
    cr_expect_eq(execute_burst(&connection, bytes, 8 * HF_RESERVE_BYTES, &read), 3);
    cr_expect_eq(read, 8);
    expect_refusals(&connection, 197, 3);
    hf_connection_release(&connection, &pool);
}

/* A peer that does not read its refusals is not answered without end. */
Test(handler, bursts_of_refusals_are_bounded)
{
    uint8_t bytes[HF_BURST_MAX * HF_RESERVE_BYTES];
    struct hf_connection connection = {.socket = 0};
    uint32_t read;
    sell_out();
    size_t count = encode_reserves(bytes, 1, HF_BURST_MAX);
    while (execute_burst(&connection, bytes, count, &read) != 0)
        cr_assert_lt(connection.output.bytes, 2u << 20);
    cr_expect_gt(connection.output.bytes, 1u << 20);
    hf_connection_release(&connection, &pool);
}

/* A burst of grants takes as many as there are places among the replies that wait for commit. */
Test(handler_story, bursts_of_grants_are_bounded_by_the_places_of_their_replies)
{
    uint8_t bytes[HF_BURST_MAX * HF_RESERVE_BYTES];
    struct hf_connection connection = {.socket = 0};
    struct hf_request request = create(1000);
    uint32_t granted = 0, done, read;
    answered_at_once(&request);
    do {
        size_t count = encode_reserves(bytes, (uint8_t)(1 + granted), HF_BURST_MAX);
        done = execute_burst(&connection, bytes, count, &read);
        granted += done;
    } while (done != 0);
    cr_expect_eq(granted, 127, "of 128 places the inventory has one");
    cr_expect_eq(connection.awaiting, granted);
    cr_expect_eq(connection.output.bytes, 0);
    cr_expect_eq(hf_await_count(&await), 128);
    hf_connection_release(&connection, &pool);
}

/* ---- every operation, every answer ---- */

#define TTL_NS (3600ull * HF_NS_PER_S)

enum when { AT_ONCE, AWAITS };

/* The newest reply that awaits commit, decoded; lists stay valid until the next call. */
static struct hf_reply newest_awaiting(uint64_t *lsn)
{
    static struct hf_reply_scratch scratch;
    const struct hf_awaiting *newest = &await.entries[(await.tail - 1) & (await.capacity - 1)];
    const uint8_t *bytes = newest->large != NULL ? newest->large : newest->frame;
    struct hf_frame frame;
    struct hf_reply reply;
    hf_frame_read(bytes, &frame);
    cr_assert_eq(frame.frame_bytes, newest->frame_bytes);
    cr_assert(newest->large != NULL || frame.frame_bytes <= sizeof newest->frame);
    cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
    *lsn = newest->lsn;
    return reply;
}

static struct hf_reply decode_output(struct hf_connection *connection)
{
    static uint8_t bytes[HF_MAX_REPLY_BYTES];
    static struct hf_reply_scratch scratch;
    struct hf_frame frame;
    struct hf_reply reply;
    uint32_t count;
    size_t copied = 0;
    for (const uint8_t *run; (run = hf_output_peek(&connection->output, &count)) != NULL;
         hf_output_consume(&connection->output, &pool, count)) {
        memcpy(bytes + copied, run, count);
        copied += count;
    }
    hf_frame_read(bytes, &frame);
    cr_assert_eq(frame.frame_bytes, copied);
    cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
    return reply;
}

/* The highest LSN that a reply tells. */
static uint64_t told_lsn(const struct hf_reply *reply)
{
    uint64_t lsn = reply->reservation.lsn;
    if (lsn < reply->inventory.lsn)
        lsn = reply->inventory.lsn;
    for (uint32_t i = 0; reply->entries != NULL && i < reply->count; i++)
        if (lsn < reply->entries[i].reservation.lsn)
            lsn = reply->entries[i].reservation.lsn;
    return lsn;
}

/* Executes a request, expects that result, at once or when it is committed, and nothing in the
 * reply that is newer than what the reply waits for. */
static struct hf_reply expect(const struct hf_request *request, enum hf_result result,
                              enum when when)
{
    struct hf_connection connection = {.socket = 0};
    uint32_t before = hf_await_count(&await);
    uint64_t lsn = 0;
    enum hf_handled handled = execute(&connection, request);
    for (int tries = 0; handled == HF_HANDLED_STALLED && tries < 1000; tries++)
        handled = execute(&connection, request);
    cr_assert_eq(handled, HF_HANDLED, "operation %u", request->operation);
    bool awaits = hf_await_count(&await) != before;
    struct hf_reply reply = awaits ? newest_awaiting(&lsn) : decode_output(&connection);
    cr_assert_eq(reply.result, result, "%s instead of %s", hf_result_name(reply.result),
                 hf_result_name(result));
    cr_expect_eq(awaits, when == AWAITS, "%s of operation %u %s", hf_result_name(result),
                 request->operation, awaits ? "awaits commit" : "is told at once");
    if (awaits) {
        cr_expect_eq(connection.output.bytes, 0);
        cr_expect_geq(lsn, told_lsn(&reply), "%s of operation %u", hf_result_name(result),
                      request->operation);
        cr_expect_neq(lsn, 0);
        cr_expect_lt(lsn, hf_load_relaxed(&server.store->log.ring.tail));
    }
    hf_connection_release(&connection, &pool);
    return reply;
}

static struct hf_reply expect_about(enum hf_operation operation, uint8_t number,
                                    enum hf_result result, enum when when)
{
    struct hf_request request = about(operation, number);
    return expect(&request, result, when);
}

static struct hf_reply expect_guarded(enum hf_operation operation, uint8_t number,
                                      uint32_t sequence, enum hf_result result)
{
    struct hf_request request = about(operation, number);
    request.expected = sequence;
    return expect(&request, result, AWAITS);
}

static struct hf_reply expect_hold(uint8_t number, uint64_t ttl_ns, enum hf_result result,
                                   enum when when)
{
    struct hf_request request = reserve(number);
    request.operation = HF_OP_HOLD;
    request.ttl_ns = ttl_ns;
    return expect(&request, result, when);
}

static struct hf_reply expect_extend(uint8_t number, uint64_t ttl_ns, enum hf_result result)
{
    struct hf_request request = about(HF_OP_EXTEND, number);
    request.ttl_ns = ttl_ns;
    return expect(&request, result, AWAITS);
}

static struct hf_reply expect_qty(enum hf_operation operation, uint8_t number, uint32_t qty,
                                  enum hf_result result)
{
    struct hf_request request = about(operation, number);
    request.qty = qty;
    return expect(&request, result, AWAITS);
}

static struct hf_reply expect_move(uint8_t number, uint64_t customer_id, enum hf_result result)
{
    struct hf_request request = about(HF_OP_MOVE, number);
    request.customer_id = customer_id;
    return expect(&request, result, AWAITS);
}

static struct hf_reply expect_reacquire(uint8_t number, uint8_t new_number, enum hf_result result)
{
    struct hf_request request = about(HF_OP_CONFIRM, number);
    request.flags = HF_REQUEST_REACQUIRE;
    request.new_id.bytes[0] = new_number;
    return expect(&request, result, AWAITS);
}

static struct hf_reply expect_join(uint8_t number, enum hf_result result, enum when when)
{
    struct hf_request request = reserve(number);
    request.operation = HF_OP_JOIN;
    return expect(&request, result, when);
}

static void expect_created(uint32_t capacity)
{
    struct hf_request request = create(capacity);
    expect(&request, HF_CREATED, AWAITS);
}

static void expect_reserve(uint8_t number, enum hf_result result, enum when when)
{
    struct hf_request request = reserve(number);
    expect(&request, result, when);
}

static struct hf_reply expect_set(uint32_t fields, const struct hf_settings *settings,
                                  uint16_t flags, enum hf_result result, enum when when)
{
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_SET,
        .flags = flags,
        .inventory_id = 1,
        .change = {.fields = fields, .flags_mask = settings->flags, .settings = *settings}};
    return expect(&request, result, when);
}

static struct hf_reply expect_batch(const struct hf_line *lines, uint32_t count,
                                    enum hf_result result, enum when when)
{
    struct hf_request request = {.operation = HF_OP_BATCH, .lines = lines, .count = count};
    return expect(&request, result, when);
}

/* Each change of a hold, done and repeated. */
Test(handler_story, changes_of_a_hold_await_commit)
{
    expect_created(10);
    expect_hold(1, TTL_NS, HF_GRANTED, AWAITS);
    cr_expect(expect_hold(1, TTL_NS, HF_GRANTED, AWAITS).repeated);
    expect_extend(1, 2 * TTL_NS, HF_EXTENDED);
    expect_qty(HF_OP_CHANGE, 1, 3, HF_CHANGED);
    cr_expect(expect_qty(HF_OP_CHANGE, 1, 3, HF_CHANGED).repeated);
    expect_move(1, 2, HF_MOVED);
    cr_expect(expect_move(1, 2, HF_MOVED).repeated);
    expect_qty(HF_OP_CONFIRM, 1, 2, HF_CONFIRMED);
    cr_expect(expect_qty(HF_OP_CONFIRM, 1, 0, HF_CONFIRMED).repeated);
    expect_qty(HF_OP_CHANGE, 1, 0, HF_CANCELLED);
    expect_hold(2, TTL_NS, HF_GRANTED, AWAITS);
    expect_about(HF_OP_RELEASE, 2, HF_RELEASED, AWAITS);
    cr_expect(expect_about(HF_OP_RELEASE, 2, HF_RELEASED, AWAITS).repeated);
}

/* A no that one gets only because a reservation exists, or is in some state, tells of it. */
Test(handler_story, a_no_that_speaks_of_a_reservation_awaits_commit)
{
    expect_created(3);
    expect_hold(1, TTL_NS, HF_GRANTED, AWAITS);
    struct hf_request reused = reserve(1);
    expect(&reused, HF_ID_REUSED, AWAITS);
    expect_guarded(HF_OP_RELEASE, 1, 7, HF_SEQUENCE_MISMATCH);
    cr_expect_eq(expect_guarded(HF_OP_LEAVE, 1, 1, HF_WRONG_STATE).state, HF_STATE_HELD);
    expect_qty(HF_OP_CONFIRM, 1, 2, HF_QTY_NOT_ALLOWED);
    expect_qty(HF_OP_CHANGE, 1, 99, HF_SOLD_OUT);
    expect_set(HF_SET_LONGEST_HOLD, &(struct hf_settings){.longest_hold_ns = 5}, 0, HF_SET, AWAITS);
    expect_extend(1, 6, HF_TTL_NOT_ALLOWED);
    expect_set(HF_SET_CUSTOMER_LIMIT, &(struct hf_settings){.customer_limit = 1}, 0, HF_SET,
               AWAITS);
    struct hf_request others = reserve(2);
    others.customer_id = 2;
    expect(&others, HF_GRANTED, AWAITS);
    expect_move(1, 2, HF_CUSTOMER_LIMIT);
    expect_reserve(3, HF_CUSTOMER_LIMIT, AT_ONCE);
    expect_set(HF_SET_CANCEL_UNTIL, &(struct hf_settings){.cancel_until_ns = 1}, 0, HF_SET, AWAITS);
    expect_about(HF_OP_CANCEL, 2, HF_CANCEL_TOO_LATE, AWAITS);
}

/* A hold whose deadline has passed, and that nobody has noticed; what is made of it is linked, and
 * told in a frame that does not fit where replies wait. */
Test(handler_story, what_becomes_of_a_lapsed_hold_awaits_commit)
{
    expect_created(10);
    expect_hold(1, 1, HF_GRANTED, AWAITS);
    expect_about(HF_OP_CONFIRM, 1, HF_HOLD_EXPIRED, AWAITS);
    expect_about(HF_OP_RELEASE, 1, HF_HOLD_EXPIRED, AWAITS);
    expect_extend(1, TTL_NS, HF_HOLD_EXPIRED);
    for (int i = 0; i < 2; i++) {
        struct hf_reply reply = expect_reacquire(1, 2, HF_CONFIRMED);
        cr_expect_eq(reply.repeated, i == 1);
        cr_expect_eq(reply.reservation.id.bytes[0], 2);
        cr_expect_eq(reply.reservation.linked_id.bytes[0], 1);
        const struct hf_awaiting *newest = &await.entries[(await.tail - 1) & (await.capacity - 1)];
        cr_expect_not_null(newest->large);
    }
    expect_hold(3, 1, HF_GRANTED, AWAITS);
    expect_set(HF_SET_FLAGS, &(struct hf_settings){.flags = HF_INVENTORY_PAUSED}, 0, HF_SET,
               AWAITS);
    expect_reacquire(3, 4, HF_PAUSED);
    expect_reserve(5, HF_PAUSED, AT_ONCE);
}

Test(handler_story, a_place_in_the_waiting_list_awaits_commit)
{
    expect_created(1);
    expect_join(1, HF_NOT_SOLD_OUT, AT_ONCE);
    expect_reserve(1, HF_GRANTED, AWAITS);
    expect_join(2, HF_JOINED, AWAITS);
    cr_expect(expect_join(2, HF_JOINED, AWAITS).repeated);
    expect_reserve(3, HF_WAITING_LIST, AT_ONCE);
    expect_about(HF_OP_CONFIRM, 2, HF_WRONG_STATE, AWAITS);
    expect_about(HF_OP_CANCEL, 1, HF_CANCELLED, AWAITS);
    struct hf_reply offered = expect_join(2, HF_JOINED, AWAITS);
    cr_expect_eq(offered.reservation.state, HF_STATE_HELD);
    expect_about(HF_OP_LEAVE, 2, HF_WRONG_STATE, AWAITS);
    expect_join(4, HF_JOINED, AWAITS);
    expect_about(HF_OP_LEAVE, 4, HF_LEFT, AWAITS);
    expect_set(HF_SET_WAITING_LIMIT, &(struct hf_settings){.waiting_limit = 0}, 0, HF_SET, AWAITS);
    expect_join(5, HF_WAITING_FULL, AT_ONCE);
}

/* A batch's answer is as large as its lines are many: it waits beside the queue. */
Test(handler_story, batches_await_commit)
{
    static struct hf_line lines[HF_MAX_BATCH_LINES];
    expect_created(HF_MAX_BATCH_LINES);
    for (uint32_t i = 0; i < HF_MAX_BATCH_LINES; i++)
        lines[i] = (struct hf_line){.operation = HF_OP_RESERVE,
                                    .id = {.bytes = {(uint8_t)(i + 1)}},
                                    .inventory_id = 1,
                                    .customer_id = i,
                                    .qty = 1};
    for (int round = 0; round < 2; round++) {
        struct hf_reply reply = expect_batch(lines, HF_MAX_BATCH_LINES, HF_BATCH_DONE, AWAITS);
        cr_assert_eq(reply.count, HF_MAX_BATCH_LINES);
        for (uint32_t i = 0; i < HF_MAX_BATCH_LINES; i++) {
            cr_expect_eq(reply.entries[i].reservation.id.bytes[0], i + 1);
            cr_expect_eq(reply.entries[i].reservation.customer_id, i);
            cr_expect_eq(reply.entries[i].repeated, round == 1);
        }
    }
    const struct hf_line sold_out[] = {
        {.operation = HF_OP_RESERVE, .id = {.bytes = {100}}, .inventory_id = 1, .qty = 1}};
    cr_expect_eq(expect_batch(sold_out, 1, HF_SOLD_OUT, AT_ONCE).line, 1);
    const struct hf_line unknown[] = {{.operation = HF_OP_CANCEL, .id = {.bytes = {100}}}};
    expect_batch(unknown, 1, HF_NOT_FOUND, AT_ONCE);
    const struct hf_line of_one[] = {
        {.operation = HF_OP_MOVE, .id = {.bytes = {1}}, .customer_id = 5},
        {.operation = HF_OP_LEAVE, .id = {.bytes = {2}}}};
    cr_expect_eq(expect_batch(of_one, 2, HF_WRONG_STATE, AWAITS).line, 2);
}

/* That the second line is the one that fails tells that the first could have been done: that its
 * reservation exists. */
Test(handler_story, a_batch_that_fails_behind_a_line_tells_of_that_line)
{
    expect_created(1);
    expect_hold(1, TTL_NS, HF_GRANTED, AWAITS);
    const struct hf_line lines[] = {
        {.operation = HF_OP_MOVE, .id = {.bytes = {1}}, .customer_id = 5},
        {.operation = HF_OP_RESERVE, .id = {.bytes = {2}}, .inventory_id = 1, .qty = 1}};
    cr_expect_eq(expect_batch(lines, 2, HF_SOLD_OUT, AWAITS).line, 2);
    const struct hf_line missing[] = {
        {.operation = HF_OP_MOVE, .id = {.bytes = {1}}, .customer_id = 5},
        {.operation = HF_OP_CANCEL, .id = {.bytes = {3}}}};
    cr_expect_eq(expect_batch(missing, 2, HF_NOT_FOUND, AWAITS).line, 2);
    const struct hf_line unknown[] = {{.operation = HF_OP_CANCEL, .id = {.bytes = {3}}},
                                      {.operation = HF_OP_CANCEL, .id = {.bytes = {4}}}};
    cr_expect_eq(expect_batch(unknown, 2, HF_NOT_FOUND, AT_ONCE).line, 1);
}

/* Settings are told when they are committed; numbers of units at once. */
Test(handler_story, settings_await_commit_and_refused_ones_do_not)
{
    struct hf_request settings = {.operation = HF_OP_INVENTORY_SETTINGS, .inventory_id = 1};
    uint64_t ids[] = {1, 9};
    struct hf_request availability = {.operation = HF_OP_AVAILABILITY, .ids = ids, .count = 2};
    expect(&settings, HF_UNKNOWN_INVENTORY, AT_ONCE);
    expect_created(2);
    expect_reserve(1, HF_GRANTED, AWAITS);
    struct hf_reply reply =
        expect_set(HF_SET_SELL_LIMIT, &(struct hf_settings){.sell_limit = 5}, 0, HF_SET, AWAITS);
    cr_expect_eq(reply.inventory.sell_limit, 5);
    cr_expect_eq(reply.settings_sequence, 2);
    cr_expect_eq(expect(&settings, HF_FOUND, AWAITS).settings_sequence, 2);
    expect_set(HF_SET_SELL_LIMIT, &(struct hf_settings){0}, HF_REQUEST_STRICT, HF_BELOW_SOLD,
               AT_ONCE);
    expect_set(HF_SET_SELL_LIMIT, &(struct hf_settings){0}, HF_REQUEST_EXPECT_VERSION,
               HF_VERSION_MISMATCH, AT_ONCE);
    reply = expect(&availability, HF_FOUND, AT_ONCE);
    cr_assert_eq(reply.count, 2);
    cr_expect_eq(reply.availability[0].available, 4);
    cr_expect_eq(reply.availability[1].flags, HF_AVAILABILITY_UNKNOWN);
}

/* A list tells of all that it shows, and by what it leaves out of that, too. */
Test(handler_story, lists_of_reservations_await_commit)
{
    struct hf_request list = {.operation = HF_OP_RESERVATION_LIST, .limit = HF_MAX_PAGE_ENTRIES};
    expect(&list, HF_FOUND, AT_ONCE);
    expect_created(100);
    for (uint8_t i = 1; i <= 100; i++)
        expect_reserve(i, HF_GRANTED, AWAITS);
    struct hf_reply reply = expect(&list, HF_FOUND, AWAITS);
    cr_expect_eq(reply.count, 100);
    expect_about(HF_OP_CANCEL, 1, HF_CANCELLED, AWAITS);
    list.filter.states = 1u << HF_STATE_CONFIRMED;
    reply = expect(&list, HF_FOUND, AWAITS);
    cr_expect_eq(reply.count, 99);
    uint64_t lsn;
    newest_awaiting(&lsn);
    cr_expect_gt(lsn, told_lsn(&reply), "the cancel, for which one is left out");
}

/* Late, too early, too much: nothing that was not told before is told. */
Test(handler_story, a_no_about_units_and_rules_is_immediate)
{
    expect_created(10);
    struct hf_request request = reserve(1);
    request.not_after_ns = 1;
    expect(&request, HF_TOO_LATE, AT_ONCE);
    request = reserve(1);
    request.flags = HF_REQUEST_EXPECT_VERSION;
    expect(&request, HF_VERSION_MISMATCH, AT_ONCE);
    expect_set(HF_SET_LONGEST_HOLD, &(struct hf_settings){.longest_hold_ns = 5}, 0, HF_SET, AWAITS);
    expect_hold(1, 6, HF_TTL_NOT_ALLOWED, AT_ONCE);
    expect_set(HF_SET_MIN_QTY, &(struct hf_settings){.min_qty = 2}, 0, HF_SET, AWAITS);
    expect_reserve(1, HF_QTY_NOT_ALLOWED, AT_ONCE);
    expect_set(HF_SET_FLAGS, &(struct hf_settings){.flags = HF_INVENTORY_CLOSED}, 0, HF_SET,
               AWAITS);
    expect_reserve(1, HF_CLOSED, AT_ONCE);
    expect_set(HF_SET_OPENS_AT, &(struct hf_settings){.opens_at_ns = UINT64_MAX}, 0, HF_SET,
               AWAITS);
    expect_reserve(1, HF_NOT_OPEN, AT_ONCE);
    static const enum hf_operation about_one[] = {HF_OP_RELEASE, HF_OP_LEAVE, HF_OP_CONFIRM,
                                                  HF_OP_CHANGE, HF_OP_MOVE};
    for (size_t i = 0; i < sizeof about_one / sizeof about_one[0]; i++)
        expect_about(about_one[i], 9, HF_NOT_FOUND, AT_ONCE);
}

/* Replies that wait for commit are owed, too, whatever their size. */
Test(handler_story, large_replies_that_await_commit_are_bounded)
{
    enum { RESERVATIONS = 120, PAGE_BYTES = HF_PAGE_HEADER_BYTES + 96 * RESERVATIONS };
    expect_created(RESERVATIONS);
    for (unsigned i = 1; i <= RESERVATIONS; i++) {
        struct hf_connection connection = {.socket = 0};
        struct hf_request request = reserve((uint8_t)i);
        cr_assert_eq(execute(&connection, &request), HF_HANDLED);
        hf_connection_release(&connection, &pool);
        hf_await_pop(&await);
    }
    struct hf_connection greedy = {.socket = 0};
    struct hf_request list = {.operation = HF_OP_RESERVATION_LIST, .limit = RESERVATIONS};
    uint32_t pages = 0;
    while (pages < 110 && execute(&greedy, &list) == HF_HANDLED)
        pages++;
    cr_expect_eq(greedy.stall, HF_STALL_AWAIT);
    cr_expect_leq(pages, (1u << 20) / PAGE_BYTES + 1, "%u pages", pages);
    hf_connection_release(&greedy, &pool);
}
