/*
 * Hostile connections into a real server, while a well-behaved one must notice nothing.
 *
 *   fuzz_server [--programs BUILDDIR] [--rounds N] [--seed N]
 *
 * It starts BUILDDIR/holdfastd on a directory of its own. One thread, the witness, pings, reserves,
 * repeats, is refused, cancels and looks up through the client library, and knows the one right
 * answer to each of its requests. The other opens connections and misbehaves on them (see `acts`);
 * a round is one frame, or some bytes that
 * are none. What must hold:
 *   - the witness gets every answer, each is right, and its connection is never broken;
 *   - whatever a hostile connection is sent back consists of whole, well-formed replies;
 *   - a thousand valid requests, cut into segments at random, get a thousand answers that agree
 * with each other: what was granted can be found and cancelled, what was not cannot;
 *   - a connection that was shut down or sent garbage is ended by the server, not left hanging;
 *   - at the end: every inventory's sums are right, the server knows of no connection that is gone,
 *     and SIGTERM ends it with status 0 though some peers do not read.
 *
 * The seed repeats what is sent, not how the threads meet.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/atomics.h"
#include "base/bytes.h"
#include "holdfast/client.h"
#include "net/address.h"
#include "net/codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/process.h"

#define TIMEOUT_S        20   /* for anything the server owes */
#define PIPELINE         1000 /* requests sent at once */
#define DEAF_CONNECTIONS 8    /* open at a time */
#define DEAF_BYTES       (8u << 20)
#define SMALL_PIECE      200
#define PAUSE_US         50
#define GARBAGE_BYTES    20000
#define BYTES_A_ROUND    64
#define HOSTILE_CAPACITY 500 /* of the inventory that the hostile connections share */
#define WITNESS_CAPACITY 3

struct arena {
    struct hf_fuzz fuzz;
    struct hf_daemon server;
    struct sockaddr_storage address;
    socklen_t address_bytes;
    uint64_t hostile_inventory, witness_inventory;
    int deaf[DEAF_CONNECTIONS]; /* -1: none */
    _Atomic uint32_t failed;    /* set once, by whoever found something wrong first */
    _Atomic uint32_t stopping;  /* tells the witness to end */
    char failure[512];          /* written by whoever set `failed` */
    uint64_t witnessed;         /* the witness's rounds; read after it has ended */
};

/* Notes what went wrong; the first counts. Any thread. Returns false. */
__attribute__((format(printf, 2, 3))) static bool wrong(struct arena *arena, const char *format,
                                                        ...)
{
    va_list arguments;
    if (hf_exchange_acq_rel(&arena->failed, 1) != 0)
        return false;
    va_start(arguments, format);
    vsnprintf(arena->failure, sizeof arena->failure, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- the witness ------------------------------------------------------------------------ */

/* One request of the witness; its answer must have this result and not be the repeat of one. */
static bool ask(struct arena *arena, struct hf_client *client, const struct hf_request *request,
                unsigned result, struct hf_reply *reply)
{
    unsigned found = hf_client_call_sync(client, request, reply);
    if (reply->resent || hf_client_connects(client) != 1)
        return wrong(arena, "witness: its connection was broken: %s", hf_client_last_error(client));
    if (found != result)
        return wrong(arena, "witness: operation %u: %s (field %u) instead of %s",
                     (unsigned)request->operation, hf_result_name(found), reply->field,
                     hf_result_name(result));
    return true;
}

static bool ask_available(struct arena *arena, struct hf_client *client, int32_t available)
{
    const struct hf_request request = {.operation = HF_OP_INVENTORY_GET,
                                       .inventory_id = arena->witness_inventory};
    struct hf_reply reply;
    if (!ask(arena, client, &request, HF_FOUND, &reply))
        return false;
    if (reply.inventory.available != available ||
        reply.inventory.confirmed != (uint32_t)(WITNESS_CAPACITY - available))
        return wrong(arena, "witness: %d available and %u confirmed instead of %d available",
                     reply.inventory.available, reply.inventory.confirmed, available);
    return true;
}

static bool ask_reservation(struct arena *arena, struct hf_client *client,
                            const struct hf_request *request, unsigned result, enum hf_state state,
                            bool repeated)
{
    struct hf_reply reply;
    if (!ask(arena, client, request, result, &reply))
        return false;
    if (!hf_id_equal(&reply.reservation.id, &request->id) || reply.reservation.qty != 2 ||
        reply.reservation.inventory_id != arena->witness_inventory ||
        reply.reservation.state != state || reply.repeated != repeated)
        return wrong(arena, "witness: operation %u: another reservation, or its state is %s (%s)",
                     (unsigned)request->operation, hf_state_name(reply.reservation.state),
                     reply.repeated ? "repeated" : "not repeated");
    return true;
}

/* The life of one reservation. */
static bool witness_round(struct arena *arena, struct hf_client *client)
{
    struct hf_reply reply;
    struct hf_request reserve = {.operation = HF_OP_RESERVE,
                                 .inventory_id = arena->witness_inventory,
                                 .customer_id = 7,
                                 .qty = 2};
    hf_id_make(&reserve.id);
    struct hf_request other = reserve, reused = reserve, cancel = reserve, get = reserve;
    hf_id_make(&other.id);
    reused.customer_id++;
    cancel.operation = HF_OP_CANCEL;
    get.operation = HF_OP_RESERVATION_GET;
    const struct hf_request ping = {.operation = HF_OP_PING};
    return ask(arena, client, &ping, HF_OK, &reply) &&
           ask_reservation(arena, client, &reserve, HF_GRANTED, HF_STATE_CONFIRMED, false) &&
           ask_reservation(arena, client, &reserve, HF_GRANTED, HF_STATE_CONFIRMED, true) &&
           ask(arena, client, &reused, HF_ID_REUSED, &reply) &&
           ask_available(arena, client, WITNESS_CAPACITY - 2) &&
           ask(arena, client, &other, HF_SOLD_OUT, &reply) &&
           ask_reservation(arena, client, &cancel, HF_CANCELLED, HF_STATE_CANCELLED, false) &&
           ask_reservation(arena, client, &cancel, HF_CANCELLED, HF_STATE_CANCELLED, true) &&
           ask_reservation(arena, client, &get, HF_FOUND, HF_STATE_CANCELLED, false) &&
           ask_available(arena, client, WITNESS_CAPACITY);
}

static struct hf_client *open_client(struct arena *arena)
{
    const struct hf_client_options options = {.server = arena->server.address,
                                              .connect_timeout_ms = TIMEOUT_S * 1000,
                                              .request_timeout_ms = TIMEOUT_S * 1000};
    struct hf_client *client;
    int result = hf_client_open(&options, &client);
    if (result == 0)
        return client;
    wrong(arena, "cannot open a client to %s: %s", options.server, strerror(-result));
    return NULL;
}

static void *witness(void *context)
{
    struct arena *arena = context;
    struct hf_client *client = open_client(arena);
    /* Acquire, pairs with the release at the end of run(): nothing else depends on it. */
    while (client && !hf_load_acquire(&arena->stopping) && witness_round(arena, client))
        arena->witnessed++;
    if (client)
        hf_client_close(client);
    return NULL;
}

/* ---- connections ------------------------------------------------------------------------ */

/* A new connection on which nothing waits longer than TIMEOUT_S; -1 if it failed. */
static int open_connection(struct arena *arena)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    const int one = 1;
    int connection = socket(arena->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection >= 0 &&
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
        setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0 &&
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
        connect(connection, (const struct sockaddr *)&arena->address, arena->address_bytes) == 0)
        return connection;
    wrong(arena, "cannot connect: %s", strerror(errno));
    if (connection >= 0)
        close(connection);
    return -1;
}

/*
 * Sends: at once, in a few pieces, or in many small ones with pauses, so that the server sees
 * frames cut anywhere. False: the server has ended the connection.
 */
static bool send_bytes(struct arena *arena, int connection, const uint8_t *bytes, size_t count)
{
    uint64_t way = hf_fuzz_below(&arena->fuzz, 4);
    while (count > 0) {
        size_t most = way == 0 && count > SMALL_PIECE ? SMALL_PIECE : count;
        size_t piece = way <= 1 ? 1 + (size_t)hf_fuzz_below(&arena->fuzz, most) : count;
        ssize_t sent = send(connection, bytes, piece, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return wrong(arena, "the server read nothing in %d s", TIMEOUT_S);
        if (sent < 0)
            return false;
        bytes += sent;
        count -= (size_t)sent;
        if (way == 0 && hf_fuzz_one_in(&arena->fuzz, 4))
            usleep(PAUSE_US);
    }
    return true;
}

/* Closes with a reset: what is on its way in either direction is thrown away. */
static void reset(int connection)
{
    const struct linger at_once = {.l_onoff = 1};
    setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(connection);
}

/* Takes one whole reply. */
typedef bool take_reply(struct arena *arena, void *context, const struct hf_frame *frame,
                        const struct hf_reply *reply);

/*
 * Reads replies until `limit` were taken, or the server ended the connection. Returns how many;
 * wrong() if one is not well formed, or if nothing comes for too long.
 */
static size_t read_replies(struct arena *arena, int connection, size_t limit, take_reply *take,
                           void *context)
{
    static uint8_t bytes[2 * HF_MAX_REPLY_BYTES];
    static struct hf_reply_scratch scratch;
    size_t used = 0, taken = 0;
    while (taken < limit) {
        ssize_t count = recv(connection, bytes + used, sizeof bytes - used, 0);
        if (count < 0 && errno == EAGAIN) {
            wrong(arena, "no answer and no end in %d s, after %zu replies", TIMEOUT_S, taken);
            return taken;
        }
        if (count <= 0)
            return taken;
        used += (size_t)count;
        size_t done = 0;
        while (used - done >= HF_FRAME_HEADER_BYTES && taken < limit) {
            struct hf_frame frame;
            struct hf_reply reply;
            hf_frame_read(bytes + done, &frame);
            if (frame.frame_bytes < HF_FRAME_HEADER_BYTES ||
                frame.frame_bytes > HF_MAX_REPLY_BYTES) {
                wrong(arena, "a reply of %u bytes", frame.frame_bytes);
                return taken;
            }
            if (used - done < frame.frame_bytes)
                break;
            if (!hf_reply_decode(bytes + done, &frame, &reply, &scratch)) {
                wrong(arena, "no reply: %u bytes, operation %u, result %u", frame.frame_bytes,
                      frame.operation, frame.result);
                return taken;
            }
            if (take && !take(arena, context, &frame, &reply))
                return taken;
            done += frame.frame_bytes;
            taken++;
        }
        used -= done;
        memmove(bytes, bytes + done, used);
    }
    return taken;
}

/* Waits until the server ends the connection. */
static void await_end(struct arena *arena, int connection)
{
    read_replies(arena, connection, SIZE_MAX, NULL, NULL);
    close(connection);
}

/* Says that nothing more comes, and waits until the server ends the connection, too. */
static void finish(struct arena *arena, int connection)
{
    shutdown(connection, SHUT_WR);
    await_end(arena, connection);
}

/* ---- what is sent ----------------------------------------------------------------------- */

/* Any request that is valid, mostly about the inventory that the hostile connections share. */
static size_t make_request(struct arena *arena, uint8_t *out, uint64_t tag)
{
    static const enum hf_operation often[] = {HF_OP_PING, HF_OP_INVENTORY_GET, HF_OP_RESERVE,
                                              HF_OP_RESERVATION_GET, HF_OP_CANCEL};
    static const enum hf_operation seldom[] = {HF_OP_INFO, HF_OP_STATUS, HF_OP_SNAPSHOT,
                                               HF_OP_INVENTORY_LIST, HF_OP_INVENTORY_CREATE};
    struct hf_fuzz *fuzz = &arena->fuzz;
    struct hf_request request = {
        .operation = often[hf_fuzz_below(fuzz, sizeof often / sizeof often[0])],
        .inventory_id = hf_fuzz_one_in(fuzz, 8) ? hf_fuzz_number(fuzz) : arena->hostile_inventory,
        .customer_id = hf_fuzz_number(fuzz),
        .product_id = hf_fuzz_number(fuzz),
        .qty = 1 + (uint32_t)hf_fuzz_below(fuzz, 3),
        .capacity = 1 + (uint32_t)hf_fuzz_below(fuzz, 1000),
        .limit = 1 + (uint32_t)hf_fuzz_below(fuzz, 20),
    };
    if (hf_fuzz_one_in(fuzz, 50))
        request.operation = seldom[hf_fuzz_below(fuzz, sizeof seldom / sizeof seldom[0])];
    if (hf_fuzz_one_in(fuzz, 5000))
        request.operation = HF_OP_STATE_HASH;
    hf_fuzz_fill(fuzz, request.id.bytes, sizeof request.id.bytes);
    return hf_request_encode(out, &request, tag);
}

/* Several requests, of which some are spoiled; the last one may be cut. Returns the bytes. */
static size_t make_spoiled(struct arena *arena, uint8_t *out, size_t count, uint64_t spoiled_one_in)
{
    size_t bytes = 0, last = 0;
    for (size_t i = 0; i < count; i++) {
        last = make_request(arena, out + bytes, i);
        if (hf_fuzz_one_in(&arena->fuzz, spoiled_one_in))
            hf_fuzz_spoil(&arena->fuzz, out + bytes, last);
        bytes += last;
    }
    if (hf_fuzz_one_in(&arena->fuzz, 2))
        bytes -= (size_t)hf_fuzz_below(&arena->fuzz, last);
    return bytes;
}

/* Each act uses one connection, and returns the rounds it took. */

static uint64_t act_garbage(struct arena *arena, int connection)
{
    static uint8_t bytes[GARBAGE_BYTES];
    size_t count =
        1 + (size_t)hf_fuzz_below(&arena->fuzz,
                                  hf_fuzz_one_in(&arena->fuzz, 4) ? GARBAGE_BYTES : BYTES_A_ROUND);
    hf_fuzz_fill(&arena->fuzz, bytes, count);
    send_bytes(arena, connection, bytes, count);
    finish(arena, connection);
    return 1 + count / BYTES_A_ROUND;
}

/* A length that no frame has, behind frames that are all right: the server ends the connection. */
static uint64_t act_length(struct arena *arena, int connection)
{
    static uint8_t bytes[64 * HF_RESERVE_BYTES];
    size_t count = (size_t)hf_fuzz_below(&arena->fuzz, 63);
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        at += make_request(arena, bytes + at, i);
    size_t last = make_request(arena, bytes + at, count);
    uint32_t length = (uint32_t)hf_fuzz_number(&arena->fuzz);
    if (length >= HF_FRAME_HEADER_BYTES && length <= HF_MAX_REQUEST_BYTES)
        length += HF_MAX_REQUEST_BYTES;
    hf_put_u32(bytes + at, length);
    send_bytes(arena, connection, bytes, at + last);
    await_end(arena, connection);
    return count + 1;
}

static uint64_t act_spoiled(struct arena *arena, int connection)
{
    static uint8_t bytes[200 * HF_RESERVE_BYTES];
    size_t count = 1 + (size_t)hf_fuzz_below(&arena->fuzz, 200);
    size_t used = make_spoiled(arena, bytes, count, 1 + hf_fuzz_below(&arena->fuzz, 20));
    send_bytes(arena, connection, bytes, used);
    finish(arena, connection);
    return count;
}

/* Requests, perhaps half of one, and gone: with a reset or in good order, answers unread or not. */
static uint64_t act_vanish(struct arena *arena, int connection)
{
    static uint8_t bytes[200 * HF_RESERVE_BYTES];
    size_t count = 1 + (size_t)hf_fuzz_below(&arena->fuzz, 200);
    size_t used = make_spoiled(arena, bytes, count, UINT64_MAX);
    send_bytes(arena, connection, bytes, used);
    if (count > 1 && hf_fuzz_one_in(&arena->fuzz, 4)) /* the first one is whole */
        read_replies(arena, connection, 1, NULL, NULL);
    if (hf_fuzz_one_in(&arena->fuzz, 4))
        close(connection);
    else
        reset(connection);
    return count;
}

/* Sends as much as goes and never reads. It stays open until another one takes its place. */
static uint64_t act_deaf(struct arena *arena, int connection)
{
    static uint8_t bytes[256 * HF_RESERVE_BYTES];
    int *place = &arena->deaf[hf_fuzz_below(&arena->fuzz, DEAF_CONNECTIONS)];
    const int small = 4096;
    uint64_t sent_bytes = 0;
    if (*place >= 0)
        reset(*place);
    *place = connection;
    setsockopt(connection, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    size_t used = 0;
    for (size_t i = 0; i < 256; i++)
        used += make_request(arena, bytes + used, i);
    while (sent_bytes < DEAF_BYTES) {
        ssize_t sent = send(connection, bytes, used, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < (ssize_t)used)
            break; /* the window is closed; what was sent of the last frame stays half */
        sent_bytes += used;
    }
    return 1 + sent_bytes / HF_MAX_REQUEST_BYTES;
}

/* ---- a thousand requests at once -------------------------------------------------------- */

struct pipeline {
    uint32_t operation[PIPELINE];
    uint32_t about[PIPELINE];  /* RESERVATION_GET, CANCEL: which RESERVE before it */
    unsigned result[PIPELINE]; /* 0: not answered */
};

static bool take_pipelined(struct arena *arena, void *context, const struct hf_frame *frame,
                           const struct hf_reply *reply)
{
    struct pipeline *pipeline = context;
    if (frame->tag >= PIPELINE || pipeline->result[frame->tag] != 0 ||
        reply->operation != pipeline->operation[frame->tag])
        return wrong(arena, "pipeline: an answer with tag %llu, operation %u, to nothing asked",
                     (unsigned long long)frame->tag, (unsigned)reply->operation);
    pipeline->result[frame->tag] = reply->result;
    return true;
}

/* The id of the RESERVE in place `index`: no other connection has it. */
static void pipeline_id(const struct arena *arena, uint32_t index, struct hf_id *id)
{
    hf_put_u64(id->bytes, arena->fuzz.seed ^ arena->fuzz.round);
    hf_put_u64(id->bytes + 8, index + 1);
}

static size_t make_pipeline(struct arena *arena, struct pipeline *pipeline, uint8_t *out)
{
    struct hf_fuzz *fuzz = &arena->fuzz;
    size_t bytes = 0;
    uint32_t reserve = UINT32_MAX; /* the newest that was not cancelled */
    for (uint32_t i = 0; i < PIPELINE; i++) {
        struct hf_request request = {.operation = HF_OP_RESERVE,
                                     .inventory_id = arena->hostile_inventory,
                                     .customer_id = i,
                                     .qty = 1};
        uint64_t choice = hf_fuzz_below(fuzz, 4);
        if (choice == 0)
            request.operation = HF_OP_PING;
        else if (choice == 1 && reserve != UINT32_MAX)
            request.operation = HF_OP_RESERVATION_GET;
        else if (choice == 2 && reserve != UINT32_MAX)
            request.operation = HF_OP_CANCEL;
        pipeline->about[i] = request.operation == HF_OP_RESERVE ? i : reserve;
        if (request.operation != HF_OP_PING)
            pipeline_id(arena, pipeline->about[i], &request.id);
        if (request.operation == HF_OP_RESERVE)
            reserve = i;
        if (request.operation == HF_OP_CANCEL)
            reserve = UINT32_MAX;
        pipeline->operation[i] = request.operation;
        pipeline->result[i] = 0;
        bytes += hf_request_encode(out + bytes, &request, i);
    }
    return bytes;
}

/* The requests of one connection are executed in order, so the answers follow from each other. */
static void check_pipeline(struct arena *arena, const struct pipeline *pipeline)
{
    for (uint32_t i = 0; i < PIPELINE; i++) {
        unsigned result = pipeline->result[i], right = HF_OK;
        bool granted = pipeline->operation[i] != HF_OP_PING &&
                       pipeline->result[pipeline->about[i]] == HF_GRANTED;
        if (pipeline->operation[i] == HF_OP_RESERVE)
            right = result == HF_SOLD_OUT ? HF_SOLD_OUT : HF_GRANTED;
        else if (pipeline->operation[i] == HF_OP_RESERVATION_GET)
            right = granted ? HF_FOUND : HF_NOT_FOUND;
        else if (pipeline->operation[i] == HF_OP_CANCEL)
            right = granted ? HF_CANCELLED : HF_NOT_FOUND;
        if (result != right) {
            wrong(arena, "pipeline: request %u, operation %u: %s instead of %s", i,
                  pipeline->operation[i], hf_result_name(result), hf_result_name(right));
            return;
        }
    }
}

static uint64_t act_pipeline(struct arena *arena, int connection)
{
    static uint8_t bytes[PIPELINE * HF_RESERVE_BYTES];
    static struct pipeline pipeline;
    size_t used = make_pipeline(arena, &pipeline, bytes);
    if (send_bytes(arena, connection, bytes, used)) {
        size_t taken = read_replies(arena, connection, PIPELINE, take_pipelined, &pipeline);
        if (taken == PIPELINE)
            check_pipeline(arena, &pipeline);
        else
            wrong(arena, "pipeline: %zu answers to %d requests", taken, PIPELINE);
    } else {
        wrong(arena, "pipeline: the connection was broken: %s", strerror(errno));
    }
    finish(arena, connection);
    return PIPELINE;
}

/* ---- the run ---------------------------------------------------------------------------- */

static uint64_t (*const acts[])(struct arena *, int) = {
    act_garbage, act_length, act_spoiled, act_spoiled, act_vanish, act_deaf, act_pipeline,
};

static bool start(struct arena *arena, const char *directory)
{
    char program[512], host[HF_HOST_BYTES], port[6];
    snprintf(program, sizeof program, "%s/holdfastd", arena->fuzz.programs);
    const struct hf_daemon_options options = {.program = program, .directory = directory};
    if (hf_daemon_start(&arena->server, &options) != 0)
        return wrong(arena, "%s", arena->server.error);
    struct addrinfo *found;
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    if (!hf_address_split(arena->server.address, host, port) ||
        getaddrinfo(host, port, &wanted, &found) != 0)
        return wrong(arena, "the ready line has no address: %s", arena->server.ready);
    memcpy(&arena->address, found->ai_addr, found->ai_addrlen);
    arena->address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool create_inventories(struct arena *arena)
{
    struct hf_client *client = open_client(arena);
    struct hf_request request = {.operation = HF_OP_INVENTORY_CREATE};
    struct hf_reply reply;
    if (!client)
        return false;
    request.inventory_id = arena->hostile_inventory = 1;
    request.capacity = HOSTILE_CAPACITY;
    bool right = ask(arena, client, &request, HF_CREATED, &reply);
    /* One that spoiled frames do not hit by chance. */
    request.inventory_id = arena->witness_inventory = hf_fuzz_next(&arena->fuzz) | 1ull << 40;
    request.capacity = WITNESS_CAPACITY;
    right = right && ask(arena, client, &request, HF_CREATED, &reply);
    hf_client_close(client);
    return right;
}

static void misbehave(struct arena *arena)
{
    struct hf_fuzz *fuzz = &arena->fuzz;
    uint64_t done = 0;
    while (done < fuzz->rounds && !hf_load_acquire(&arena->failed)) { /* pairs with wrong() */
        hf_fuzz_begin(fuzz, fuzz->first + done);
        int connection = open_connection(arena);
        if (connection >= 0)
            done += acts[hf_fuzz_below(fuzz, sizeof acts / sizeof acts[0])](arena, connection);
        if (!hf_daemon_running(&arena->server, NULL))
            wrong(arena, "the server is gone");
    }
    for (size_t i = 0; i < DEAF_CONNECTIONS; i++)
        if (arena->deaf[i] >= 0)
            reset(arena->deaf[i]);
}

/* CONSERVATION: nothing is in flight now. */
static bool check_sums(struct arena *arena, struct hf_client *client)
{
    struct hf_request request = {.operation = HF_OP_INVENTORY_LIST, .limit = HF_MAX_LIST_ENTRIES};
    struct hf_reply reply;
    do {
        if (!ask(arena, client, &request, HF_FOUND, &reply))
            return false;
        for (uint32_t i = 0; i < reply.count; i++) {
            const struct hf_inventory *one = &reply.inventories[i];
            if (one->available < 0 ||
                (uint64_t)one->available + one->held + one->confirmed != one->sell_limit)
                return wrong(arena, "inventory %llu: %d available, %u held, %u confirmed of %u",
                             (unsigned long long)one->inventory_id, one->available, one->held,
                             one->confirmed, one->sell_limit);
        }
        request.from = (uint32_t)reply.next;
    } while (reply.next != 0);
    return true;
}

/* The server notices in the end that all others are gone. */
static bool check_connections(struct arena *arena, struct hf_client *client)
{
    const struct hf_request request = {.operation = HF_OP_INFO};
    struct hf_reply reply = {0};
    for (int tries = 0; tries < TIMEOUT_S * 10; tries++) {
        if (!ask(arena, client, &request, HF_FOUND, &reply))
            return false;
        if (reply.info.connections == 1)
            return true;
        poll(NULL, 0, 100);
    }
    return wrong(arena, "the server still counts %llu connections, though one is open",
                 (unsigned long long)reply.info.connections);
}

/* SIGTERM while some peers do not read what they are owed. */
static void stop(struct arena *arena)
{
    int connections[3];
    for (size_t i = 0; i < 3; i++) {
        arena->deaf[0] = -1;
        connections[i] = open_connection(arena);
        if (connections[i] >= 0)
            act_deaf(arena, connections[i]);
    }
    int status = hf_daemon_stop(&arena->server);
    if (status != 0)
        wrong(arena, "SIGTERM ended the server with status %d", status);
    for (size_t i = 0; i < 3; i++)
        if (connections[i] >= 0)
            close(connections[i]);
}

static void run(struct arena *arena)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, witness, arena) != 0) {
        wrong(arena, "cannot start a thread");
        return;
    }
    misbehave(arena);
    hf_store_release(&arena->stopping, 1); /* pairs with the acquire in witness() */
    pthread_join(thread, NULL);
    struct hf_client *client = hf_load_acquire(&arena->failed) ? NULL : open_client(arena);
    if (!client)
        return;
    if (arena->witnessed == 0)
        wrong(arena, "the witness came to nothing");
    bool right = check_sums(arena, client) && check_connections(arena, client);
    hf_client_close(client);
    if (right)
        stop(arena);
}

int main(int argc, char **argv)
{
    static struct arena arena;
    char directory[HF_DIRECTORY_TEXT_BYTES], said[4096];
    hf_fuzz_open(&arena.fuzz, "fuzz_server", argc, argv);
    hf_fuzz_begin(&arena.fuzz, arena.fuzz.first);
    for (size_t i = 0; i < DEAF_CONNECTIONS; i++)
        arena.deaf[i] = -1;
    int result = hf_directory_make(directory);
    if (result != 0) {
        fprintf(stderr, "fuzz_server: no directory for the server: %s\n", strerror(-result));
        return 1;
    }
    if (start(&arena, directory) && create_inventories(&arena))
        run(&arena);
    hf_daemon_messages(&arena.server, said, sizeof said);
    hf_daemon_forget(&arena.server);
    hf_directory_remove(directory);
    if (hf_load_acquire(&arena.failed)) {
        fprintf(stderr, "fuzz_server: %s\n%sfuzz_server: run again: --seed %llu --first %llu\n",
                arena.failure, said, (unsigned long long)arena.fuzz.seed,
                (unsigned long long)arena.fuzz.round);
        return 1;
    }
    printf("fuzz_server: ok, the witness made %llu reservations meanwhile\n",
           (unsigned long long)arena.witnessed);
    return 0;
}
