/* The handler over a store whose log is never flushed: what may be answered before commit, and what
 * may not (ACK-AFTER-COMMIT). */
#include <criterion/criterion.h>
#include <string.h>

#include "net/handler.h"
#include "tests/lib/process.h"

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct hf_server server;
static struct hf_actor actor;
static struct hf_await await;
static struct hf_chunk_pool pool;
static struct hf_feed_port port; /* unused: nothing here is the feed's */
static struct hf_handler handler;

static void open_handler(void)
{
    struct hf_store_options options = {
        .directory = directory, .segment_bytes = HF_MIN_SEGMENT_BYTES, .ring_slots = 64};
    char error[HF_LOG_ERROR_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    options.directory = directory;
    cr_assert_eq(hf_store_open(&server.store, &options, error), 0, "%s", error);
    hf_actor_init(&actor, &server.store->engine, &server.store->log.ring);
    actor.now_ns = 1;
    cr_assert_eq(hf_await_init(&await, 128), 0);
    cr_assert_eq(hf_handler_init(&handler, &server, &actor, &await, &port, &pool), 0);
}

static void close_handler(void)
{
    hf_directory_remove(directory);
}

TestSuite(handler, .init = open_handler, .fini = close_handler);

static enum hf_handled execute(struct hf_connection *connection, const struct hf_request *request)
{
    uint8_t bytes[HF_RESERVE_BYTES];
    size_t count = hf_request_encode(bytes, request, 1);
    uint32_t used;
    return hf_handler_execute(&handler, connection, bytes, count, &used);
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
