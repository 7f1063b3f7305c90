/*
 * What the client library makes of every operation: that each is sent and its answer delivered, and
 * what becomes of it when the connection breaks in between (NO-GUESS). Against a scripted server;
 * see tests/lib/peer.h.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
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

/* ---- requests and answers of every kind ------------------------------------------------- */

static const struct hf_line lines[] = {
    {.operation = HF_OP_CANCEL, .id = {{9}}},
    {.operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 7, .qty = 2},
    {.operation = HF_OP_EXTEND, .id = {{8}}, .ttl_ns = 5, .expected = 3},
    {.operation = HF_OP_CONFIRM, .id = {{7}}},
};
static const uint64_t ids[] = {42, 43};

/* A right request of each operation but those of watches. */
static const struct hf_request requests[] = {
    {.operation = HF_OP_PING},
    {.operation = HF_OP_INFO},
    {.operation = HF_OP_STATE_HASH},
    {.operation = HF_OP_STATUS},
    {.operation = HF_OP_SNAPSHOT},
    {.operation = HF_OP_INVENTORY_CREATE, .inventory_id = 42, .capacity = 5},
    {.operation = HF_OP_INVENTORY_GET, .inventory_id = 42},
    {.operation = HF_OP_INVENTORY_LIST, .limit = 10},
    {.operation = HF_OP_INVENTORY_SET,
     .inventory_id = 42,
     .change = {.fields = HF_SET_SELL_LIMIT, .settings = {.sell_limit = 4}}},
    {.operation = HF_OP_INVENTORY_SETTINGS, .inventory_id = 42},
    {.operation = HF_OP_AVAILABILITY, .count = 2, .ids = ids},
    {.operation = HF_OP_RESERVE, .inventory_id = 42, .customer_id = 7, .qty = 1},
    {.operation = HF_OP_RESERVATION_GET, .id = {{1}}},
    {.operation = HF_OP_CANCEL, .id = {{1}}, .expected = 3},
    {.operation = HF_OP_HOLD, .inventory_id = 42, .customer_id = 7, .qty = 1, .ttl_ns = 9},
    {.operation = HF_OP_CONFIRM, .id = {{1}}, .flags = HF_REQUEST_REACQUIRE},
    {.operation = HF_OP_RELEASE, .id = {{1}}},
    {.operation = HF_OP_EXTEND, .id = {{1}}, .ttl_ns = 9},
    {.operation = HF_OP_CHANGE, .id = {{1}}, .qty = 4, .expected = 1},
    {.operation = HF_OP_MOVE, .id = {{1}}, .customer_id = 8},
    {.operation = HF_OP_JOIN, .inventory_id = 42, .customer_id = 7, .qty = 1},
    {.operation = HF_OP_LEAVE, .id = {{1}}},
    {.operation = HF_OP_BATCH, .count = COUNT(lines), .lines = lines},
    {.operation = HF_OP_RESERVATION_LIST, .limit = 10},
    {.operation = HF_OP_HISTORY, .id = {{1}}, .limit = 10},
};

static const struct hf_request *request_of(enum hf_operation operation)
{
    size_t i = 0;
    while (requests[i].operation != operation)
        i++;
    return &requests[i];
}

/* The yes of an operation; what it tells differs from one `number` to the next. */
static size_t encode_yes(uint8_t *out, enum hf_operation operation, uint64_t tag, uint32_t number)
{
    const struct hf_reservation reservation = {.id = {{1}}, .qty = number, .sequence = 1};
    const struct hf_inventory inventory[2] = {{.capacity = number}, {.capacity = number + 1}};
    const struct hf_settings settings = {.max_qty = number};
    const struct hf_info info = {.workers = number};
    const struct hf_status status = {.put_aside = number};
    const struct hf_availability_entry available[2] = {{.version = number}, {.waiting = number}};
    const struct hf_reservation_entry entries[2] = {{.result = 100, .reservation = reservation},
                                                    {.result = 101, .reservation = reservation}};
    switch (operation) {
    case HF_OP_PING:
    case HF_OP_SNAPSHOT:
        return hf_reply_encode_short(out, operation, tag, HF_OK, 0, 0, number);
    case HF_OP_STATUS:
        return hf_reply_encode_status(out, tag, &status);
    case HF_OP_INFO:
        return hf_reply_encode_info(out, tag, &info);
    case HF_OP_STATE_HASH:
        return hf_reply_encode_hash(out, tag, number, 1, 1, 1);
    case HF_OP_INVENTORY_CREATE:
    case HF_OP_INVENTORY_GET:
        return hf_reply_encode_inventory(out, operation, tag, HF_FOUND, inventory);
    case HF_OP_INVENTORY_LIST:
        return hf_reply_encode_page(out, tag, 0, inventory, 2);
    case HF_OP_INVENTORY_SET:
    case HF_OP_INVENTORY_SETTINGS:
        return hf_reply_encode_settings(out, operation, tag, HF_SET, inventory, &settings, 2);
    case HF_OP_AVAILABILITY:
        return hf_reply_encode_availability(out, tag, available, 2);
    case HF_OP_BATCH:
    case HF_OP_RESERVATION_LIST:
    case HF_OP_HISTORY:
        return hf_reply_encode_reservations(out, operation, tag, HF_FOUND, 5, entries, 2);
    default:
        return hf_reply_encode_reservation(out, operation, tag, HF_GRANTED, &reservation, false);
    }
}

static void check_yes(const struct hf_reply *reply, enum hf_operation operation, uint32_t number)
{
    cr_assert_eq(reply->operation, operation);
    cr_assert_eq(hf_result_group(reply->result), HF_GROUP_YES);
    uint64_t told = reply->reservation.qty;
    if (operation == HF_OP_PING || operation == HF_OP_SNAPSHOT)
        told = reply->version;
    if (operation == HF_OP_STATUS)
        told = reply->status.put_aside;
    if (operation == HF_OP_INFO)
        told = reply->info.workers;
    if (operation == HF_OP_STATE_HASH)
        told = reply->state_hash;
    if (operation == HF_OP_INVENTORY_CREATE || operation == HF_OP_INVENTORY_GET)
        told = reply->inventory.capacity;
    if (operation == HF_OP_INVENTORY_LIST)
        told = reply->inventories[1].capacity - 1;
    if (operation == HF_OP_INVENTORY_SET || operation == HF_OP_INVENTORY_SETTINGS)
        told = reply->settings.max_qty;
    if (operation == HF_OP_AVAILABILITY)
        told = reply->availability[1].waiting;
    if (operation == HF_OP_BATCH || operation == HF_OP_RESERVATION_LIST ||
        operation == HF_OP_HISTORY) {
        cr_assert_eq(reply->count, 2);
        cr_assert_eq(reply->entries[1].result, 101);
        cr_assert_eq(reply->next, 5);
        told = reply->entries[1].reservation.qty;
    }
    cr_assert_eq(told, number, "operation %u", (unsigned)operation);
}

struct answer {
    enum hf_operation operation;
    uint32_t number; /* that its yes tells */
    unsigned times;
    struct hf_reply reply;
};

static void note(void *context, const struct hf_reply *reply)
{
    struct answer *answer = context;
    answer->times++;
    answer->reply = *reply;
    if (answer->number != 0)
        check_yes(reply, answer->operation, answer->number);
}

static void wait_for(struct hf_client *client, const struct answer *answer)
{
    uint64_t since_ns = hf_monotonic_now_ns();
    while (answer->times == 0)
        hf_peer_move_client(client, since_ns);
    cr_assert_eq(answer->times, 1);
}

Test(client_resend, every_operation_is_sent_and_answered)
{
    /* One request of each operation, all in flight at once, answered in the reverse order. */
    static struct answer answers[COUNT(requests)];
    static uint8_t bytes[HF_MAX_REPLY_BYTES];
    uint64_t tags[COUNT(requests)];
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    for (size_t i = 0; i < COUNT(requests); i++) {
        answers[i].operation = requests[i].operation;
        answers[i].number = (uint32_t)i + 1;
        cr_assert_eq(hf_client_submit(client, &requests[i], note, &answers[i], NULL), 0);
    }
    int fd = hf_peer_accept(&server, client);
    for (size_t i = 0; i < COUNT(requests); i++) {
        struct hf_request received;
        tags[i] = hf_peer_receive(client, fd, &received);
        cr_assert_eq(received.operation, requests[i].operation);
        cr_assert_eq(received.flags, requests[i].flags);
        cr_assert_eq(received.expected, requests[i].expected);
        cr_assert_eq(received.ttl_ns, requests[i].ttl_ns);
        cr_assert_eq(received.count, requests[i].count);
        cr_assert_eq(received.qty, requests[i].qty);
    }
    for (size_t i = COUNT(requests); i-- > 0;)
        hf_peer_send(fd, bytes, encode_yes(bytes, requests[i].operation, tags[i], (uint32_t)i + 1));
    for (size_t i = 0; i < COUNT(requests); i++)
        wait_for(client, &answers[i]);
    cr_assert_eq(hf_client_outstanding(client), 0);
    hf_client_close(client);
    close(fd);
}

Test(client_resend, what_is_no_request_is_not_accepted)
{
    /* Operations of watches, more lines or ids than a frame can carry, an operation of the future. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    static const struct hf_request wrong[] = {
        {.operation = HF_OP_SUBSCRIBE},
        {.operation = HF_OP_UNSUBSCRIBE},
        {.operation = HF_OP_BATCH, .count = HF_MAX_BATCH_LINES + 1, .lines = lines},
        {.operation = HF_OP_AVAILABILITY, .count = HF_MAX_LIST_ENTRIES + 1, .ids = ids},
        {.operation = (enum hf_operation)99},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct hf_reply reply;
        cr_assert_eq(hf_client_submit(client, &wrong[i], NULL, NULL, NULL), -EINVAL, "%zu", i);
        cr_assert_eq(hf_client_call_sync(client, &wrong[i], &reply), HF_NOT_CONNECTED, "%zu", i);
    }
    cr_assert_eq(hf_client_outstanding(client), 0);
    hf_client_close(client);
}

Test(client_resend, large_requests_pass_through_the_buffer_in_order)
{
    /* 60 requests of 8 KB, many times what the output holds, to a server that reads late. */
    enum { REQUESTS = 60 };
    static uint64_t many[HF_MAX_LIST_ENTRIES];
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    for (uint64_t i = 0; i < REQUESTS; i++) {
        struct hf_request request = {
            .operation = HF_OP_AVAILABILITY, .count = HF_MAX_LIST_ENTRIES, .ids = many};
        for (size_t j = 0; j < HF_MAX_LIST_ENTRIES; j++)
            many[j] = i * 10000 + j;
        cr_assert_eq(hf_client_submit(client, &request, NULL, NULL, NULL), 0);
    }
    int fd = hf_peer_accept(&server, client);
    for (uint64_t i = 0; i < REQUESTS; i++) {
        struct hf_request received;
        hf_peer_receive(client, fd, &received);
        cr_assert_eq(received.count, HF_MAX_LIST_ENTRIES);
        cr_assert_eq(received.ids[0], i * 10000);
        cr_assert_eq(received.ids[HF_MAX_LIST_ENTRIES - 1], i * 10000 + HF_MAX_LIST_ENTRIES - 1);
    }
    hf_client_close(client);
    close(fd);
}

/* ---- ids -------------------------------------------------------------------------------- */

Test(client_resend, a_claim_without_an_id_gets_one_that_is_kept)
{
    /* RESERVE, HOLD and JOIN, and a batch of claims and others, some with ids of their own, sent on
     * two connections. */
    struct hf_line own[] = {
        {.operation = HF_OP_RESERVE, .qty = 1},
        {.operation = HF_OP_HOLD, .qty = 1, .ttl_ns = 1},
        {.operation = HF_OP_JOIN, .qty = 1},
        {.operation = HF_OP_RESERVE, .qty = 1, .id = {{5}}},
        {.operation = HF_OP_RELEASE, .id = {{6}}},
    };
    struct hf_request batch = {.operation = HF_OP_BATCH, .count = COUNT(own), .lines = own};
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct hf_id used[3], used_by_lines[COUNT(own)];
    static const enum hf_operation claims[] = {HF_OP_RESERVE, HF_OP_HOLD, HF_OP_JOIN};
    for (size_t i = 0; i < COUNT(claims); i++)
        cr_assert_eq(hf_client_submit(client, request_of(claims[i]), NULL, NULL, &used[i]), 0);
    cr_assert_eq(hf_client_submit(client, &batch, NULL, NULL, used_by_lines), 0);
    for (unsigned connection = 0; connection < 2; connection++) {
        int fd = hf_peer_accept(&server, client);
        struct hf_request received;
        for (size_t i = 0; i < COUNT(claims); i++) {
            hf_peer_receive(client, fd, &received);
            cr_assert_eq(received.operation, claims[i]);
            cr_assert(hf_id_equal(&received.id, &used[i]));
            cr_assert_eq(received.id.bytes[6] >> 4, 7, "a UUIDv7");
        }
        hf_peer_receive(client, fd, &received);
        for (size_t i = 0; i < COUNT(own); i++)
            cr_assert(hf_id_equal(&received.lines[i].id, &used_by_lines[i]), "line %zu", i + 1);
        close(fd);
    }
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(used_by_lines[i].bytes[6] >> 4, 7, "line %zu", i + 1);
        cr_assert_not(hf_id_equal(&used_by_lines[i], &used_by_lines[(i + 1) % 3]));
    }
    cr_assert(hf_id_equal(&used_by_lines[3], &own[3].id));
    cr_assert(hf_id_equal(&used_by_lines[4], &own[4].id));
    hf_client_close(client);
}

Test(client_resend, a_lapsed_hold_is_claimed_anew_under_the_id_that_the_server_derives)
{
    /* CONFIRM with REACQUIRE and no new id: none is made, so that every repeat means the same. */
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct hf_request received;
    cr_assert_eq(hf_client_submit(client, request_of(HF_OP_CONFIRM), NULL, NULL, NULL), 0);
    int fd = hf_peer_accept(&server, client);
    hf_peer_receive(client, fd, &received);
    cr_assert_eq(received.flags, HF_REQUEST_REACQUIRE);
    cr_assert(hf_id_is_zero(&received.new_id));
    hf_client_close(client);
    close(fd);
}

/* ---- answers to what was sent twice ----------------------------------------------------- */

/*
 * Submits a request and answers it with a short reply, on the first connection or, `resent`, on the
 * second. Returns the result that was told.
 */
static unsigned told_result(const struct hf_request *request, bool resent,
                            const struct hf_short *said, struct hf_reply *told)
{
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    struct answer answer = {.operation = request->operation};
    struct hf_request received;
    uint8_t bytes[HF_SHORT_REPLY_BYTES];
    cr_assert_eq(hf_client_submit(client, request, note, &answer, NULL), 0);
    int fd = hf_peer_accept(&server, client);
    uint64_t tag = hf_peer_receive(client, fd, &received);
    if (resent) {
        close(fd);
        fd = hf_peer_accept(&server, client);
        tag = hf_peer_receive(client, fd, &received);
        cr_assert_eq(received.operation, request->operation);
    }
    hf_peer_send(fd, bytes, hf_reply_encode_answer(bytes, request->operation, tag, said));
    wait_for(client, &answer);
    cr_assert_eq(answer.reply.resent, resent);
    hf_client_close(client);
    close(server.listener);
    close(fd);
    if (told != NULL)
        *told = answer.reply;
    return answer.reply.result;
}

#define NOS                                                                                        \
    HF_NOT_FOUND, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_SEQUENCE_MISMATCH, HF_SOLD_OUT,              \
        HF_CUSTOMER_LIMIT, HF_CANCEL_TOO_LATE, HF_BAD_FIELD, HF_STORAGE_FULL, HF_SHUTTING_DOWN
static const unsigned nos[] = {NOS};

Test(client_resend, an_answer_that_hides_a_yes_is_told_as_unknown)
{
    /* Operations that change a reservation, each answered with each of some results, first to the
     * only copy, then to the second. `keeps` are the results that stay what they are then. */
    static const struct {
        enum hf_operation operation;
        unsigned keeps[COUNT(nos) + 1]; /* ends with 0 */
    } cases[] = {
        {HF_OP_RESERVE,
         {HF_NOT_FOUND, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_SEQUENCE_MISMATCH, HF_SOLD_OUT,
          HF_CUSTOMER_LIMIT, HF_CANCEL_TOO_LATE, HF_BAD_FIELD}},
        {HF_OP_CANCEL,
         {HF_NOT_FOUND, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_SEQUENCE_MISMATCH, HF_SOLD_OUT,
          HF_CUSTOMER_LIMIT, HF_CANCEL_TOO_LATE, HF_BAD_FIELD}},
        {HF_OP_CONFIRM,
         {HF_NOT_FOUND, HF_HOLD_EXPIRED, HF_SEQUENCE_MISMATCH, HF_SOLD_OUT, HF_CUSTOMER_LIMIT,
          HF_CANCEL_TOO_LATE, HF_BAD_FIELD}},
        {HF_OP_EXTEND, {HF_NOT_FOUND, HF_BAD_FIELD}},
        {HF_OP_CHANGE, {HF_NOT_FOUND, HF_BAD_FIELD}},
        {HF_OP_MOVE, {HF_NOT_FOUND, HF_BAD_FIELD}},
        {HF_OP_INVENTORY_SET, {HF_BAD_FIELD}},
        {HF_OP_RESERVATION_GET, {NOS}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct hf_request *request = request_of(cases[i].operation);
        for (size_t j = 0; j < COUNT(nos); j++) {
            struct hf_short said = {.result = nos[j], .version = 4, .state = HF_STATE_HELD};
            struct hf_reply told;
            bool keeps = false;
            for (const unsigned *kept = cases[i].keeps; *kept != 0; kept++)
                keeps = keeps || *kept == nos[j];
            cr_assert_eq(told_result(request, false, &said, NULL), nos[j]);
            unsigned expected = keeps ? nos[j] : HF_OUTCOME_UNKNOWN;
            cr_assert_eq(told_result(request, true, &said, &told), expected, "operation %u, %s: %s",
                         (unsigned)cases[i].operation, hf_result_name(nos[j]),
                         hf_result_name(told.result));
            cr_assert_eq(told.version, 4, "what the server said of the present is told");
            cr_assert_eq(told.state, HF_STATE_HELD);
        }
    }
}

Test(client_resend, the_line_that_failed_decides_about_a_batch)
{
    /* A batch whose lines are CANCEL, RESERVE, a guarded EXTEND, and CONFIRM, answered to its second
     * copy. */
    static const struct {
        unsigned line, result, told;
    } cases[] = {
        {1, HF_CANCEL_TOO_LATE, HF_CANCEL_TOO_LATE},
        {2, HF_SOLD_OUT, HF_SOLD_OUT},
        {2, HF_ID_REUSED, HF_ID_REUSED},
        {3, HF_SEQUENCE_MISMATCH, HF_OUTCOME_UNKNOWN},
        {3, HF_HOLD_EXPIRED, HF_OUTCOME_UNKNOWN},
        {4, HF_WRONG_STATE, HF_OUTCOME_UNKNOWN},
        {4, HF_SOLD_OUT, HF_SOLD_OUT},
        {1, HF_RESERVATIONS_FULL, HF_OUTCOME_UNKNOWN},
        {0, HF_STORAGE_FULL, HF_OUTCOME_UNKNOWN},
        {0, HF_SHUTTING_DOWN, HF_OUTCOME_UNKNOWN},
        {3, HF_BAD_FIELD, HF_BAD_FIELD},
        {5, HF_SOLD_OUT, HF_SOLD_OUT}, /* there is no such line: nothing to hide */
        {65535, HF_SEQUENCE_MISMATCH, HF_SEQUENCE_MISMATCH},
    };
    const struct hf_request *batch = request_of(HF_OP_BATCH);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct hf_short said = {.result = cases[i].result, .line = cases[i].line};
        struct hf_reply told;
        cr_assert_eq(told_result(batch, false, &said, NULL), cases[i].result, "case %zu", i);
        cr_assert_eq(told_result(batch, true, &said, &told), cases[i].told, "case %zu: %s", i,
                     hf_result_name(told.result));
        cr_assert_eq(told.line, cases[i].line);
    }
}

static void submit_ping(void *context, const struct hf_reply *reply)
{
    struct hf_client **client = context;
    struct hf_request ping = {.operation = HF_OP_PING};
    cr_assert_eq(reply->result, HF_OUTCOME_UNKNOWN);
    cr_assert_not(reply->resent);
    cr_assert_eq(hf_client_submit(*client, &ping, NULL, NULL, NULL), 0);
}

Test(client_resend, a_sale_is_not_reopened_twice)
{
    /* On one connection a reopening without a guard and one with a guard, and one that is queued when
     * the connection is gone: the first ends at once, the others are sent on the next. */
    struct hf_request plain = {.operation = HF_OP_INVENTORY_SET,
                               .inventory_id = 1,
                               .change = {.fields = HF_SET_REOPEN | HF_SET_SELL_LIMIT}};
    struct hf_request guarded = plain, late = plain, received;
    guarded.flags = HF_REQUEST_EXPECT_VERSION;
    guarded.inventory_id = 2;
    late.inventory_id = 3;
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    cr_assert_eq(hf_client_submit(client, &plain, submit_ping, &client, NULL), 0);
    cr_assert_eq(hf_client_submit(client, &guarded, NULL, NULL, NULL), 0);
    int fd = hf_peer_accept(&server, client);
    for (unsigned i = 1; i <= 2; i++) {
        hf_peer_receive(client, fd, &received);
        cr_assert_eq(received.inventory_id, i);
    }
    close(fd);
    uint64_t since_ns = hf_monotonic_now_ns();
    while (hf_client_connected(client))
        hf_peer_move_client(client, since_ns);
    cr_assert_eq(hf_client_submit(client, &late, NULL, NULL, NULL), 0);
    fd = hf_peer_accept(&server, client);
    static const enum hf_operation operations[] = {HF_OP_INVENTORY_SET, HF_OP_PING,
                                                   HF_OP_INVENTORY_SET};
    for (unsigned i = 0; i < 3; i++) { /* the PING is from the callback of the first */
        hf_peer_receive(client, fd, &received);
        cr_assert_eq(received.operation, operations[i]);
        cr_assert(i == 1 || received.inventory_id == 2 + i / 2);
    }
    hf_client_close(client);
    close(fd);
}

static bool watch_nothing(void *context, const struct hf_reply *reply)
{
    (void)context;
    cr_assert_eq(reply->result, HF_SUBSCRIBED);
    return true;
}

Test(client_resend, what_had_no_room_in_the_output_was_not_sent)
{
    /* A server that does not read, so that the output is full; a reopening waits behind it, and a
     * watch has just been ended, when the connection breaks. The reopening is sent on the next. */
    enum { REQUESTS = 2000 };
    /* 48 bytes and 1023 times 64: what is left of the output is too little for any request. */
    struct hf_request subscribe = {
        .operation = HF_OP_SUBSCRIBE, .kind = HF_WATCH_INVENTORIES, .count = 2, .ids = ids};
    struct hf_request received;
    struct hf_request reopen = {.operation = HF_OP_INVENTORY_SET,
                                .change = {.fields = HF_SET_REOPEN}};
    struct answer answer = {.operation = HF_OP_INVENTORY_SET};
    struct hf_peer server = hf_peer_start();
    struct hf_client *client = hf_peer_open_client(&server, 0);
    int small = 4096;
    cr_assert_eq(setsockopt(server.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    int fd = hf_peer_accept(&server, client);
    cr_assert_eq(setsockopt(hf_client_fd(client), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    cr_assert_eq(hf_client_watch(client, &subscribe, watch_nothing, &answer), 0);
    for (unsigned i = 0; i < REQUESTS; i++)
        cr_assert_eq(hf_client_submit(client, request_of(HF_OP_RESERVE), NULL, NULL, NULL), 0);
    cr_assert_eq(hf_client_submit(client, &reopen, note, &answer, NULL), 0);
    for (unsigned i = 0; i < 20; i++)
        (void)hf_client_wait(client, 1);
    cr_assert_neq(hf_client_events(client) & POLLOUT, 0, "everything fitted into the socket");
    hf_client_unwatch(client, watch_nothing, &answer);
    close(fd);
    fd = hf_peer_accept(&server, client);
    for (unsigned i = 0; i < REQUESTS; i++) {
        hf_peer_receive(client, fd, &received);
        cr_assert_eq(received.operation, HF_OP_RESERVE, "request %u", i);
    }
    hf_peer_receive(client, fd, &received);
    cr_assert_eq(received.operation, HF_OP_INVENTORY_SET);
    cr_assert_eq(answer.times, 0);
    hf_client_close(client);
    close(fd);
}

/* ---- one at a time ---------------------------------------------------------------------- */

static size_t answer_yes(uint8_t *out, const struct hf_frame *request, uint32_t number)
{
    return encode_yes(out, (enum hf_operation)request->operation, request->tag, number);
}

static void *serve_in_thread(void *server)
{
    hf_peer_serve(server, answer_yes);
    return NULL;
}

Test(client_resend, a_list_outlives_a_synchronous_call)
{
    /* Every operation in turn, while another request with a list, of which the answer comes into
     * the same memory, is in flight. */
    struct hf_peer server = hf_peer_start();
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, serve_in_thread, &server), 0);
    struct hf_client *client = hf_peer_open_client(&server, 0);
    for (size_t i = 0; i < COUNT(requests); i++) {
        struct answer answer = {.operation = HF_OP_HISTORY, .number = (uint32_t)(2 * i + 2)};
        struct hf_reply reply;
        uint32_t number = (uint32_t)(2 * i + 1);
        cr_assert_neq(hf_client_call_sync(client, &requests[i], &reply), HF_OUTCOME_UNKNOWN);
        cr_assert_eq(hf_client_submit(client, request_of(HF_OP_HISTORY), note, &answer, NULL), 0);
        wait_for(client, &answer);
        check_yes(&reply, requests[i].operation, number);
    }
    hf_client_close(client);
    pthread_join(thread, NULL);
}
