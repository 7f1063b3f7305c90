/*
 * Every result can be had: a table of what to do for each, done to real servers through the client
 * library, or in bytes where the library would not send such a thing.
 *
 * The rows are a story: each builds on those before it. A row that only prepares has a result like
 * the others, so a story that goes wrong is noticed at its first wrong word.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomics.h"
#include "base/clock.h"
#include "holdfast/client.h"
#include "net/codec.h"
#include "net/server.h"
#include "tests/lib/process.h"
#include "tests/lib/slow_disk.h"
#include "tests/lib/wire.h"
#include "wal/segment_header.h"

#define ANY_LONG_TIME_NS (3600ull * 1000000000)
#define PATIENCE_MS      20000
#define IMPATIENCE_MS    150
#define SEGMENT_BYTES    1048576
#define SEGMENT_RECORDS  (SEGMENT_BYTES / HF_FRAME_RECORD_BYTES)

/* More than a server keeps in memory for those who watch, and a socket holds. */
#define MANY_RECORDS (20u * SEGMENT_RECORDS)

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct hf_daemon server;
static struct hf_client *client;

/* ---- servers ---- */

static struct hf_client *open_client(uint32_t request_timeout_ms)
{
    struct hf_client *opened = NULL;
    struct hf_client_options options = {.server = server.address,
                                        .request_timeout_ms = request_timeout_ms};
    cr_assert_eq(hf_client_open(&options, &opened), 0);
    return opened;
}

static void start_server(const char *const *extra)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    cr_assert_eq(hf_daemon_start_in(&server, directory, extra), 0, "%s", server.error);
    client = open_client(PATIENCE_MS);
}

static void end_server(void)
{
    hf_client_close(client);
    client = NULL;
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
}

/* The story goes on with another server, which has nothing of the one before. */
static void replace_server(const char *const *extra)
{
    end_server();
    start_server(extra);
}

static unsigned ask(const struct hf_request *request)
{
    struct hf_reply reply;
    return hf_client_call_sync(client, request, &reply);
}

static void create(uint64_t inventory_id, uint32_t capacity)
{
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = inventory_id, .capacity = capacity};
    cr_assert_eq(ask(&request), HF_CREATED);
}

/* 64 reservations in a frame, the ids made by the client. What was told of the last such batch. */
static unsigned reserve_many(uint32_t count)
{
    struct hf_line lines[HF_MAX_BATCH_LINES];
    unsigned result = HF_BATCH_DONE;
    for (uint32_t i = 0; i < HF_MAX_BATCH_LINES; i++)
        lines[i] = (struct hf_line){
            .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = i, .qty = 1};
    struct hf_request request = {
        .operation = HF_OP_BATCH, .count = HF_MAX_BATCH_LINES, .lines = lines};
    for (uint32_t made = 0; made < count && result == HF_BATCH_DONE; made += HF_MAX_BATCH_LINES)
        result = ask(&request);
    return result;
}

/* ---- bytes ---- */

static int dial(void)
{
    int wire = hf_wire_dial(server.address);
    cr_assert_geq(wire, 0);
    return wire;
}

/* The result of the next frame; 0: the server closed. */
static unsigned receive_result(int wire)
{
    static uint8_t bytes[HF_MAX_REPLY_BYTES];
    static struct hf_reply_scratch scratch;
    struct hf_frame frame;
    struct hf_reply reply;
    if (recv(wire, bytes, HF_FRAME_HEADER_BYTES, MSG_WAITALL) != HF_FRAME_HEADER_BYTES)
        return 0;
    hf_frame_read(bytes, &frame);
    cr_assert_leq(frame.frame_bytes, sizeof bytes);
    ssize_t rest = (ssize_t)frame.frame_bytes - HF_FRAME_HEADER_BYTES;
    cr_assert_eq(recv(wire, bytes + HF_FRAME_HEADER_BYTES, (size_t)rest, MSG_WAITALL), rest);
    cr_assert(hf_reply_decode(bytes, &frame, &reply, &scratch));
    return reply.result;
}

static bool send_frame(int wire, const struct hf_frame *frame)
{
    uint8_t bytes[HF_FRAME_HEADER_BYTES];
    hf_frame_write(bytes, frame);
    return send(wire, bytes, sizeof bytes, MSG_NOSIGNAL) == (ssize_t)sizeof bytes;
}

/* What is answered to a header of 16 bytes. */
static unsigned ask_frame(struct hf_frame frame)
{
    int wire = dial();
    cr_assert(send_frame(wire, &frame));
    unsigned result = receive_result(wire);
    close(wire);
    return result;
}

static unsigned too_short(void)
{
    return ask_frame((struct hf_frame){.frame_bytes = 15, .version = 1, .operation = HF_OP_PING});
}

static unsigned too_long(void)
{
    return ask_frame((struct hf_frame){
        .frame_bytes = HF_MAX_REQUEST_BYTES + 1, .version = 1, .operation = HF_OP_BATCH});
}

static unsigned another_version(void)
{
    return ask_frame((struct hf_frame){.frame_bytes = 16, .version = 2, .operation = HF_OP_PING});
}

static unsigned another_operation(void)
{
    return ask_frame((struct hf_frame){.frame_bytes = 16, .version = 1, .operation = 127});
}

/* ---- watching ---- */

struct watcher {
    unsigned result;   /* of the newest frame */
    bool seen[1000];   /* results that were told */
    uint64_t next_lsn; /* told with it */
};

static bool note(void *context, const struct hf_reply *reply)
{
    struct watcher *watcher = context;
    watcher->result = reply->result;
    watcher->next_lsn = reply->next_lsn;
    if (reply->result < sizeof watcher->seen / sizeof watcher->seen[0])
        watcher->seen[reply->result] = true;
    return true;
}

static struct watcher watcher;

static void watch(uint64_t from_lsn, struct watcher *by)
{
    struct hf_request request = {.operation = HF_OP_SUBSCRIBE, .from_lsn = from_lsn};
    memset(by, 0, sizeof *by);
    cr_assert_eq(hf_client_watch(client, &request, note, by), 0);
}

/* Until the watcher was told this result. What it was told last, if that does not come, or a no. */
static unsigned await_told(const struct watcher *by, unsigned result)
{
    while (!by->seen[result] && (by->result == 0 || hf_result_group(by->result) == HF_GROUP_YES))
        if (hf_client_wait(client, PATIENCE_MS) == 0)
            return by->result;
    return by->seen[result] ? result : by->result;
}

static unsigned begin_to_watch(void)
{
    watch(1, &watcher);
    return await_told(&watcher, HF_SUBSCRIBED);
}

static unsigned be_told(void)
{
    return await_told(&watcher, HF_RECORDS);
}

/* One connection may have 16 subscriptions. */
static unsigned watch_too_often(void)
{
    static struct watcher others[16];
    unsigned count = 0;
    do
        watch(0, &others[count]);
    while (await_told(&others[count], HF_SUBSCRIBED) == HF_SUBSCRIBED && ++count < 16);
    cr_expect_eq(count, 15, "one watches already");
    unsigned result = others[count].result;
    for (unsigned i = 0; i < 16; i++)
        hf_client_unwatch(client, note, &others[i]);
    return result;
}

/* In bytes: who has told the library to end a watch is not called again. */
static unsigned unsubscribe(void)
{
    uint8_t bytes[64];
    struct hf_request subscribe = {.operation = HF_OP_SUBSCRIBE};
    struct hf_request end = {.operation = HF_OP_UNSUBSCRIBE, .watch_tag = 5};
    int wire = dial();
    size_t count = hf_request_encode(bytes, &subscribe, 5);
    cr_assert_eq(send(wire, bytes, count, MSG_NOSIGNAL), (ssize_t)count);
    cr_assert_eq(receive_result(wire), HF_SUBSCRIBED);
    count = hf_request_encode(bytes, &end, 6);
    cr_assert_eq(send(wire, bytes, count, MSG_NOSIGNAL), (ssize_t)count);
    unsigned first = receive_result(wire);
    cr_expect_eq(receive_result(wire), HF_UNSUBSCRIBED, "of the UNSUBSCRIBE itself");
    close(wire);
    return first;
}

/* Much is sold while the watcher does not read. */
static unsigned sleep_over_a_sale(void)
{
    static const char *const extra[] = {"--durability",    "memory",  "--workers", "1",
                                        "--segment-bytes", "1048576", NULL};
    replace_server(extra);
    create(1, HF_MAX_UNITS);
    struct hf_client *sleeper = client;
    cr_assert_eq(begin_to_watch(), HF_SUBSCRIBED);
    client = open_client(PATIENCE_MS);
    cr_assert_eq(reserve_many(MANY_RECORDS), HF_BATCH_DONE);
    struct hf_client *seller = client;
    client = sleeper;
    unsigned result = await_told(&watcher, HF_FELL_BEHIND);
    hf_client_close(sleeper);
    client = seller;
    return result;
}

/* The oldest file of the log is taken away, as whoever needs room may do. */
static unsigned ask_for_what_is_gone(void)
{
    char path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES], name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(1, name);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    cr_assert_eq(unlink(path), 0, "%s", path);
    watch(1, &watcher);
    unsigned result = await_told(&watcher, HF_LSN_NOT_KEPT);
    cr_expect_gt(watcher.next_lsn, 1);
    return result;
}

/* ---- what is full ---- */

static unsigned create_one_too_many(void)
{
    static const char *const extra[] = {
        "--workers", "1", "--max-inventories", "1", "--max-reservations", "1", NULL};
    replace_server(extra);
    create(1, 100000);
    struct hf_request another = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = 2, .capacity = 1};
    return ask(&another);
}

/* The server may round up what it was told. */
static unsigned reserve_one_too_many(void)
{
    struct hf_request request = {
        .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 1, .qty = 1};
    unsigned result = HF_GRANTED;
    for (unsigned i = 0; i < 1000 && result == HF_GRANTED; i++)
        result = ask(&request);
    return result;
}

/*
 * A server never has more customers to count than reservations, and has room for some thousand
 * counts beyond these: none that is set up from outside comes to this. So one runs in this process,
 * and before its first client its counts are exchanged for a single one.
 */
static unsigned count_one_too_many(void)
{
    struct hf_server *ours = NULL;
    char error[HF_SERVER_ERROR_BYTES], place[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(place), 0);
    struct hf_server_options options = {
        .listen = "127.0.0.1:0", .workers = 1, .store = {.directory = place}};
    cr_assert_eq(hf_server_open(&ours, &options, error), 0, "%s", error);
    struct hf_engine *engine = &ours->store->engine;
    hf_customers_close(&engine->customers);
    cr_assert_eq(hf_customers_init(&engine->customers, 1, &engine->epochs), 0);

    struct hf_client *usual = client;
    struct hf_client_options to_ours = {.server = ours->address};
    cr_assert_eq(hf_client_open(&to_ours, &client), 0);
    create(1, 10);
    struct hf_request limit = {
        .operation = HF_OP_INVENTORY_SET,
        .inventory_id = 1,
        .change = {.fields = HF_SET_CUSTOMER_LIMIT, .settings = {.customer_limit = 5}}};
    cr_assert_eq(ask(&limit), HF_SET);
    struct hf_request reserve = {
        .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 1, .qty = 1};
    cr_assert_eq(ask(&reserve), HF_GRANTED);
    reserve.customer_id = 2;
    unsigned result = ask(&reserve);
    hf_client_close(client);
    client = usual;
    cr_assert_eq(hf_server_close(ours), 0);
    hf_directory_remove(place);
    return result;
}

/* The log's next file cannot be made: a directory has its name. */
static unsigned fill_the_disk(void)
{
    static const char *const extra[] = {"--durability",    "memory",  "--workers", "1",
                                        "--segment-bytes", "1048576", NULL};
    char path[HF_DIRECTORY_TEXT_BYTES + HF_SEGMENT_NAME_BYTES], name[HF_SEGMENT_NAME_BYTES];
    replace_server(extra);
    hf_segment_name_format(4, name);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    cr_assert_eq(mkdir(path, 0700), 0, "%s", path);
    create(1, HF_MAX_UNITS);
    return reserve_many(8 * SEGMENT_RECORDS); /* more than three segments and the ring hold */
}

/* ---- a slow disk ---- */

#define FOR_EVER_NS (3600 * HF_NS_PER_S)

static struct hf_slow_disk *disk;
static char disk_path[HF_DIRECTORY_TEXT_BYTES + 8];

/* The next server's disk is as slow as the test wants. */
static void start_slowly(uint64_t read_delay_ns, const char *listen)
{
    snprintf(disk_path, sizeof disk_path, "%s.disk", directory);
    disk = hf_slow_disk_map(disk_path);
    cr_assert_not_null(disk);
    hf_store_relaxed(&disk->read_delay_ns, read_delay_ns);
    struct hf_daemon_options options = {.directory = directory, .listen = listen};
    cr_assert_eq(hf_slow_disk_launch(disk_path, &server, &options), 0, "%s", server.error);
}

static void end_slow_disk(void)
{
    hf_slow_disk_unmap(disk);
    cr_assert_eq(unlink(disk_path), 0);
}

/* PING, while the server recovers what the one before has left. */
static unsigned come_too_early(void)
{
    char listen[32];
    struct hf_request ping = {.operation = HF_OP_PING};
    replace_server(NULL);
    cr_assert_eq(hf_daemon_stop(&server), 0);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", hf_port_find());
    start_slowly(HF_NS_PER_S / 2, listen);
    snprintf(server.address, sizeof server.address, "%s", listen);
    hf_client_close(client);
    client = open_client(PATIENCE_MS);
    unsigned result = ask(&ping);
    hf_store_relaxed(&disk->read_delay_ns, 0);
    cr_assert_eq(hf_daemon_await(&server), 0, "%s", server.error);
    end_slow_disk();
    return result;
}

/* More reserves than may wait for a disk that stands still. */
static unsigned outrun_the_disk(void)
{
    static uint8_t bytes[16 * HF_RESERVE_BYTES];
    replace_server(NULL);
    cr_assert_eq(hf_daemon_stop(&server), 0);
    start_slowly(0, NULL);
    cr_assert_eq(hf_daemon_await(&server), 0, "%s", server.error);
    hf_client_close(client);
    client = open_client(PATIENCE_MS);
    create(1, HF_MAX_UNITS);
    hf_store_relaxed(&disk->writes_held_until_ns, hf_monotonic_now_ns() + FOR_EVER_NS);
    int wire = dial();
    struct hf_request request = {.operation = HF_OP_RESERVE, .inventory_id = 1, .qty = 1};
    size_t count = 0;
    for (int i = 0; i < 16; i++)
        count += hf_request_encode(bytes + count, &request, 1);
    struct pollfd answer = {.fd = wire, .events = POLLIN | POLLOUT};
    for (uint64_t sent = 0;;) {
        cr_assert_eq(poll(&answer, 1, PATIENCE_MS), 1);
        if ((answer.revents & POLLIN) != 0)
            break;
        ssize_t part = send(wire, bytes + sent % HF_RESERVE_BYTES, count - sent % HF_RESERVE_BYTES,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += part > 0 ? (uint64_t)part : 0;
        answer.events = (short)(part > 0 ? POLLIN | POLLOUT : POLLIN);
    }
    unsigned result = receive_result(wire);
    close(wire);
    hf_daemon_kill(&server); /* its disk never comes back */
    end_slow_disk();
    return result;
}

/* ---- the end of a server ---- */

/* It has no answer for a while, and none comes in time. */
static unsigned lose_patience(void)
{
    static const char *const none[] = {NULL};
    replace_server(none);
    create(1, 1);
    hf_client_close(client);
    client = open_client(IMPATIENCE_MS);
    struct hf_request request = {.operation = HF_OP_PING};
    cr_assert_eq(ask(&request), HF_OK);
    int status; /* it stands still when the signal has arrived everywhere */
    kill(server.pid, SIGSTOP);
    cr_assert_eq(waitpid(server.pid, &status, WUNTRACED), server.pid);
    request = (struct hf_request){
        .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 1, .qty = 1};
    unsigned result = ask(&request);
    kill(server.pid, SIGCONT);
    return result;
}

/* One PING every few ms while it stops, so that it has no reason to close before it refuses. The
 * last answer. */
static unsigned ping_to_the_end(void)
{
    const struct hf_frame ping = {.frame_bytes = 16, .version = 1, .operation = HF_OP_PING};
    int wire = dial();
    unsigned last = 0, result;
    cr_assert(send_frame(wire, &ping));
    cr_assert_eq(receive_result(wire), HF_OK);
    kill(server.pid, SIGTERM);
    while (send_frame(wire, &ping) && (result = receive_result(wire)) != 0) {
        last = result;
        usleep(2000);
    }
    close(wire);
    return last;
}

/* A machine that is busy may let more time pass between two PINGs than a stopping server waits. */
static unsigned outstay(void)
{
    unsigned result = 0;
    for (unsigned tries = 0; tries < 10 && result != HF_SHUTTING_DOWN; tries++) {
        replace_server(NULL);
        result = ping_to_the_end();
    }
    return result;
}

static unsigned call_nobody(void)
{
    hf_daemon_kill(&server);
    hf_client_close(client);
    client = open_client(IMPATIENCE_MS);
    struct hf_request request = {.operation = HF_OP_PING};
    return ask(&request);
}

/* ---- the table ---- */

static const struct hf_line swap[] = {
    {.operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 1, .qty = 1},
    {.operation = HF_OP_HOLD, .inventory_id = 1, .customer_id = 1, .qty = 1, .ttl_ns = 1000},
};

#define ID(number)                                                                                 \
    {                                                                                              \
        {                                                                                          \
            0x01, 0x8f, (number)                                                                   \
        }                                                                                          \
    }

/* A request's row, and the row of one that takes more than a request. */
#define ROW(name, operation_, ...)                                                                 \
    {                                                                                              \
        HF_##name, NULL,                                                                           \
        {                                                                                          \
            .operation = HF_OP_##operation_, __VA_ARGS__                                           \
        }                                                                                          \
    }
#define STORY(name, function)                                                                      \
    {                                                                                              \
        HF_##name, function,                                                                       \
        {                                                                                          \
            .operation = HF_OP_PING                                                                \
        }                                                                                          \
    }

/* A claim of customer 1 on an inventory, and the settings of one. */
#define CLAIM(inventory, number, units)                                                            \
    .id = ID(number), .inventory_id = (inventory), .customer_id = 1, .qty = (units)
#define RULE(inventory, bit, member, value)                                                        \
    .inventory_id = (inventory), .change = {.fields = HF_SET_##bit, .settings = {.member = (value)}}
#define FLAG(inventory, flag)                                                                      \
    .inventory_id = (inventory), .change = {.fields = HF_SET_FLAGS,                                \
                                            .flags_mask = HF_INVENTORY_##flag,                     \
                                            .settings = {.flags = HF_INVENTORY_##flag}}

static const struct row {
    unsigned result;
    unsigned (*produce)(void); /* NULL: send `request` */
    struct hf_request request;
} table[] = {
    ROW(OK, PING, ),
    ROW(FOUND, INFO, ),
    ROW(CREATED, INVENTORY_CREATE, .inventory_id = 1, .capacity = 100),
    ROW(INVENTORY_EXISTS, INVENTORY_CREATE, .inventory_id = 1, .capacity = 101),
    ROW(UNKNOWN_INVENTORY, INVENTORY_GET, .inventory_id = 99),

    /* A reservation's life. */
    ROW(GRANTED, RESERVE, CLAIM(1, 1, 1)),
    ROW(ID_REUSED, RESERVE, CLAIM(1, 1, 2)),
    ROW(WRONG_STATE, RELEASE, .id = ID(1)),
    ROW(CANCELLED, CANCEL, .id = ID(1)),
    ROW(NOT_FOUND, CANCEL, .id = ID(99)),
    ROW(BAD_FIELD, RESERVE, CLAIM(1, 2, 0)),
    ROW(GRANTED, HOLD, CLAIM(1, 3, 2), .ttl_ns = ANY_LONG_TIME_NS),
    ROW(EXTENDED, EXTEND, .id = ID(3), .ttl_ns = 2 * ANY_LONG_TIME_NS),
    ROW(CHANGED, CHANGE, .id = ID(3), .qty = 3),
    ROW(MOVED, MOVE, .id = ID(3), .customer_id = 2),
    ROW(SEQUENCE_MISMATCH, RELEASE, .id = ID(3), .expected = 1),
    ROW(CONFIRMED, CONFIRM, .id = ID(3)),
    ROW(GRANTED, HOLD, CLAIM(1, 4, 1), .ttl_ns = ANY_LONG_TIME_NS),
    ROW(RELEASED, RELEASE, .id = ID(4)),
    ROW(GRANTED, HOLD, CLAIM(1, 5, 1), .ttl_ns = 1),
    ROW(HOLD_EXPIRED, CONFIRM, .id = ID(5)),
    ROW(BATCH_DONE, BATCH, .lines = swap, .count = 2),
    ROW(TOO_LATE, RESERVE, CLAIM(1, 6, 1), .not_after_ns = 1),
    ROW(VERSION_MISMATCH, RESERVE, CLAIM(1, 6, 1), .flags = HF_REQUEST_EXPECT_VERSION,
        .expected = 0x7ffffff0),

    /* The waiting list. */
    ROW(CREATED, INVENTORY_CREATE, .inventory_id = 2, .capacity = 1),
    ROW(SET, INVENTORY_SET, RULE(2, WAITING_LIMIT, waiting_limit, 1)),
    ROW(NOT_SOLD_OUT, JOIN, CLAIM(2, 10, 1)),
    ROW(GRANTED, RESERVE, CLAIM(2, 11, 1)),
    ROW(SOLD_OUT, RESERVE, CLAIM(2, 12, 1)),
    ROW(JOINED, JOIN, CLAIM(2, 13, 1)),
    ROW(WAITING_FULL, JOIN, CLAIM(2, 14, 1)),
    ROW(WAITING_LIST, RESERVE, CLAIM(2, 12, 1)),
    ROW(LEFT, LEAVE, .id = ID(13)),
    ROW(BELOW_SOLD, INVENTORY_SET, RULE(2, SELL_LIMIT, sell_limit, 0), .flags = HF_REQUEST_STRICT),

    /* The rules. Each is checked before the one that was set earlier. */
    ROW(CREATED, INVENTORY_CREATE, .inventory_id = 3, .capacity = 10),
    ROW(GRANTED, RESERVE, CLAIM(3, 20, 1)),
    ROW(SET, INVENTORY_SET, RULE(3, CANCEL_UNTIL, cancel_until_ns, 1)),
    ROW(CANCEL_TOO_LATE, CANCEL, .id = ID(20)),
    ROW(SET, INVENTORY_SET, RULE(3, CUSTOMER_LIMIT, customer_limit, 2)),
    ROW(CUSTOMER_LIMIT, RESERVE, CLAIM(3, 21, 2)),
    ROW(SET, INVENTORY_SET, RULE(3, LONGEST_HOLD, longest_hold_ns, 1000)),
    ROW(TTL_NOT_ALLOWED, HOLD, CLAIM(3, 21, 2), .ttl_ns = 1001),
    ROW(SET, INVENTORY_SET, RULE(3, MAX_QTY, max_qty, 1)),
    ROW(QTY_NOT_ALLOWED, HOLD, CLAIM(3, 21, 2), .ttl_ns = 1001),
    ROW(SET, INVENTORY_SET, FLAG(3, PAUSED)),
    ROW(PAUSED, HOLD, CLAIM(3, 21, 2), .ttl_ns = 1001),
    ROW(SET, INVENTORY_SET, FLAG(3, CLOSED)),
    ROW(CLOSED, HOLD, CLAIM(3, 21, 2), .ttl_ns = 1001),
    ROW(SET, INVENTORY_SET, RULE(3, OPENS_AT, opens_at_ns, UINT64_MAX)),
    ROW(NOT_OPEN, HOLD, CLAIM(3, 21, 2), .ttl_ns = 1001),

    /* What only bytes can say. */
    STORY(BAD_FRAME, too_short),
    STORY(FRAME_TOO_LARGE, too_long),
    STORY(UNSUPPORTED_VERSION, another_version),
    STORY(UNKNOWN_OPERATION, another_operation),

    STORY(SUBSCRIBED, begin_to_watch),
    STORY(RECORDS, be_told),
    STORY(SUBSCRIPTIONS_FULL, watch_too_often),
    STORY(UNSUBSCRIBED, unsubscribe),
    STORY(FELL_BEHIND, sleep_over_a_sale),
    STORY(LSN_NOT_KEPT, ask_for_what_is_gone),

    STORY(INVENTORIES_FULL, create_one_too_many),
    STORY(RESERVATIONS_FULL, reserve_one_too_many),
    STORY(CUSTOMERS_FULL, count_one_too_many),
    STORY(STORAGE_FULL, fill_the_disk),

    STORY(NOT_READY, come_too_early),
    STORY(OVERLOADED, outrun_the_disk),

    STORY(OUTCOME_UNKNOWN, lose_patience),
    STORY(SHUTTING_DOWN, outstay),
    STORY(NOT_CONNECTED, call_nobody),
};

#define ROWS (sizeof table / sizeof table[0])

static const struct {
    unsigned result;
    const char *name;
} results[] = {
#define X(name, number, meaning) {number, #name},
    HF_RESULTS(X)
#undef X
};

#define RESULTS (sizeof results / sizeof results[0])

static void start(void)
{
    start_server(NULL);
}

TestSuite(results, .timeout = 120);

Test(results, each_can_be_reached, .init = start, .fini = end_server)
{
    for (size_t i = 0; i < ROWS; i++) {
        unsigned result = table[i].produce ? table[i].produce() : ask(&table[i].request);
        cr_assert_eq(result, table[i].result, "row %zu: %s instead of %s", i,
                     hf_result_name(result), hf_result_name(table[i].result));
    }
}

Test(results, none_is_missing_in_the_table)
{
    for (size_t i = 0; i < RESULTS; i++) {
        size_t row = 0;
        while (row < ROWS && table[row].result != results[i].result)
            row++;
        cr_expect_lt(row, ROWS, "no row for %s", results[i].name);
    }
}

/* ---- the document ---- */

/* Reads "| 100 | `GRANTED` | ..." of the table of results. */
static bool read_line(const char *line, unsigned *number, char name[64])
{
    return sscanf(line, "| %3u | `%63[A-Z_]` |", number, name) == 2;
}

/* Counts each line of the document's table of results in `told`. Returns how many there are. */
static unsigned read_document(unsigned told[RESULTS])
{
    char line[1024], name[64];
    unsigned number, count = 0;
    bool here = false;
    FILE *document = fopen("docs/protocol.md", "r");
    cr_assert_not_null(document, "docs/protocol.md: %s", strerror(errno));
    while (fgets(line, sizeof line, document)) {
        if (line[0] == '#')
            here = strcmp(line, "## Results\n") == 0;
        if (!here || !read_line(line, &number, name))
            continue;
        size_t i = 0;
        while (i < RESULTS && (results[i].result != number || strcmp(results[i].name, name) != 0))
            i++;
        cr_expect_lt(i, RESULTS, "there is no result %u %s", number, name);
        if (i < RESULTS)
            told[i]++;
        count++;
    }
    fclose(document);
    return count;
}

/* The same numbers and names, each once. */
Test(results, are_those_of_the_document)
{
    unsigned told[RESULTS] = {0};
    cr_expect_eq(read_document(told), RESULTS);
    for (size_t i = 0; i < RESULTS; i++)
        cr_expect_eq(told[i], 1, "%u %s is there %u times", results[i].result, results[i].name,
                     told[i]);
}
