/* Traffic: see traffic.h. */
#include "net/traffic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

/* What a stalled connection may have sent ahead before it is not received from any more. */
#define MAX_KEPT_BYTES 65536

/* How long a peer may take to end a connection that we have ended. */
#define SHUT_TIMEOUT_NS (1 * HF_NS_PER_S)

/* While shutting down: a connection from which nothing came for this long is closed. */
#define DRAIN_QUIET_NS (20 * HF_NS_PER_MS)

/* Frames that are looked at before they are executed, so that the cache misses of several ids are
 * under way at once: for where the search begins, and for what it finds. */
#define PREFETCH_FRAMES       8
#define PREFETCH_AGAIN_FRAMES 4

#define GENERATION_MASK ((1u << 24) - 1)

static uint64_t event_of(enum hf_event event, const struct hf_connection *connection)
{
    return hf_event_make(event, (uint64_t)(connection->generation & GENERATION_MASK) << 32 |
                                    connection->slot);
}

/* The connection a completion is about. Completions come before a slot is used again. */
static struct hf_connection *connection_of(struct hf_worker *worker, uint64_t user_data)
{
    uint32_t slot = (uint32_t)user_data;
    HF_CHECK(slot < worker->slot_count);
    struct hf_connection *connection = worker->connections[slot];
    HF_CHECK((uint32_t)(user_data >> 32 & GENERATION_MASK) ==
             (connection->generation & GENERATION_MASK));
    return connection;
}

static void arm_receive(struct hf_worker *worker, struct hf_connection *connection)
{
    struct io_uring_sqe *sqe = hf_uring_sqe(&worker->ring);
    io_uring_prep_recv_multishot(sqe, connection->socket, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data64(sqe, event_of(HF_EVENT_RECEIVE, connection));
    connection->receiving = true;
    connection->cancelling = false;
}

static void cancel_receive(struct hf_worker *worker, struct hf_connection *connection)
{
    struct io_uring_sqe *sqe = hf_uring_sqe(&worker->ring);
    io_uring_prep_cancel64(sqe, event_of(HF_EVENT_RECEIVE, connection), 0);
    io_uring_sqe_set_data64(sqe, hf_event_make(HF_EVENT_IGNORED, 0));
    connection->cancelling = true;
}

/* Makes room for one more slot in every list. */
static bool grow_slots(struct hf_worker *worker)
{
    uint32_t capacity = worker->slot_capacity != 0 ? worker->slot_capacity * 2 : 64;
    struct hf_connection ***lists[] = {&worker->connections, &worker->dirty, &worker->stalled};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct hf_connection **grown = realloc(*lists[i], capacity * sizeof **lists[i]);
        if (grown == NULL)
            return false;
        *lists[i] = grown;
    }
    worker->slot_capacity = capacity;
    return true;
}

static struct hf_connection *free_slot(struct hf_worker *worker)
{
    if (worker->free_slots != NULL) {
        struct hf_connection *connection = worker->free_slots;
        worker->free_slots = connection->next_free;
        return connection;
    }
    if (worker->slot_count == worker->slot_capacity && !grow_slots(worker))
        return NULL;
    struct hf_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->slot = worker->slot_count;
    worker->connections[worker->slot_count++] = connection;
    return connection;
}

/* NULL: it is closed. */
static struct hf_connection *adopt(struct hf_worker *worker, int socket)
{
    struct hf_connection *connection = worker->done ? NULL : free_slot(worker);
    if (connection == NULL) {
        close(socket);
        return NULL;
    }
    connection->socket = socket;
    connection->last_input_ns = worker->actor.now_ns;
    hf_fetch_add_relaxed(&worker->connection_count, 1); /* statistics */
    arm_receive(worker, connection);
    return connection;
}

void hf_traffic_adopt(struct hf_worker *worker, int socket)
{
    (void)adopt(worker, socket);
}

/* Gives the slot back, under a new generation. */
static void free_connection(struct hf_worker *worker, struct hf_connection *connection)
{
    close(connection->socket);
    hf_feed_forget(&worker->port, &connection->peer);
    hf_connection_release(connection, &worker->pool);
    if (connection->shut)
        worker->shut_count--;
    *connection = (struct hf_connection){
        .socket = -1,
        .slot = connection->slot,
        .generation = connection->generation + 1,
        .dirty = connection->dirty, /* the lists may still name it, and will drop it */
        .listed = connection->listed,
        .next_free = worker->free_slots,
    };
    worker->free_slots = connection;
    hf_fetch_sub_relaxed(&worker->connection_count, 1); /* statistics */
}

/* Nothing can be sent any more: what is under way ends, and then the slot is free. */
static void break_connection(struct hf_connection *connection)
{
    if (connection->broken)
        return;
    connection->broken = true;
    shutdown(connection->socket, SHUT_RDWR);
}

/* Ends the connection if its time has come. Called after every event in its life. */
static void settle(struct hf_worker *worker, struct hf_connection *connection)
{
    if (connection->socket < 0)
        return;
    if (connection->broken) {
        if (!connection->receiving && !connection->sending)
            free_connection(worker, connection);
        return;
    }
    if (!(connection->ended || connection->closing))
        return;
    hf_feed_leave(&worker->port, &connection->peer);
    if (!hf_connection_quiet(connection))
        return;
    if (connection->ended) {
        if (!connection->receiving)
            free_connection(worker, connection);
        return;
    }
    if (connection->shut)
        return;
    /* Our end first, and the peer's end awaited: closing with input unread would reset the
     * connection, and could destroy the replies that are on their way. */
    shutdown(connection->socket, SHUT_WR);
    connection->shut = true;
    connection->shut_ns = worker->actor.now_ns;
    worker->shut_count++;
    if (!connection->receiving)
        arm_receive(worker, connection);
}

static void mark_dirty(struct hf_worker *worker, struct hf_connection *connection)
{
    if (connection->dirty)
        return;
    connection->dirty = true;
    worker->dirty[worker->dirty_count++] = connection;
}

/* Moves frames of the feed into the output, as long as that is short. */
static void move_frames(struct hf_worker *worker, struct hf_connection *connection)
{
    const uint8_t *bytes;
    uint32_t count;
    while (!connection->broken &&
           (bytes = hf_feed_front(&worker->port, &connection->peer, connection->output.bytes,
                                  &count)) != NULL) {
        if (hf_output_append(&connection->output, &worker->pool, bytes, count))
            mark_dirty(worker, connection);
        else
            break_connection(connection);
        hf_feed_pop(&worker->port, &connection->peer);
    }
}

/* How far it was looked ahead: bytes in all, and frames beyond those that are done. One that is not whole
 * counts as a frame, so there is always one more than are done. */
struct lookahead {
    uint32_t bytes, frames;
};

static inline void look_ahead(const struct hf_handler *handler, const uint8_t *bytes,
                              uint32_t count, struct lookahead *first, struct lookahead *again)
{
    for (uint32_t size = 1; first->frames < PREFETCH_FRAMES && size != 0; first->frames++) {
        size = hf_handler_prefetch(handler, bytes + first->bytes, count - first->bytes);
        first->bytes += size;
    }
    for (uint32_t size = 1; again->frames < PREFETCH_AGAIN_FRAMES && size != 0; again->frames++) {
        size = hf_handler_prefetch_again(handler, bytes + again->bytes, count - again->bytes);
        again->bytes += size;
    }
}

/* Executes frames until there is no whole one left or one cannot be executed. Returns the bytes
 * used. */
static uint32_t execute(struct hf_worker *worker, struct hf_connection *connection,
                        const uint8_t *bytes, uint32_t count)
{
    uint32_t done = 0, burst_end = 0; /* of what a burst has looked at, executed or not */
    struct lookahead first = {0, 0}, again = {0, 0};
    connection->stall = HF_STALL_NONE;
    for (;;) {
        uint32_t used;
        if (first.frames == 0 && burst_end == done) {
            uint32_t read, burst = hf_handler_execute_burst(&worker->handler, connection,
                                                            bytes + done, count - done, &read);
            burst_end = done + read * HF_RESERVE_BYTES;
            done += burst * HF_RESERVE_BYTES;
            worker->turn_frames += burst;
            if (burst != 0)
                continue;
            first.bytes = again.bytes = done;
        }
        if (burst_end <= done) {
            look_ahead(&worker->handler, bytes, count, &first, &again);
            first.frames--;
            again.frames--;
        }
        switch (
            hf_handler_execute(&worker->handler, connection, bytes + done, count - done, &used)) {
        case HF_HANDLED:
            done += used;
            worker->turn_frames++;
            continue;
        case HF_HANDLED_FATAL:
            connection->closing = true;
            done = count;
            break;
        case HF_HANDLED_NO_MEMORY:
            break_connection(connection);
            done = count;
            break;
        case HF_HANDLED_STALLED:
        case HF_HANDLED_INCOMPLETE:
            break;
        }
        break;
    }
    if (connection->output.bytes != 0)
        mark_dirty(worker, connection);
    return done;
}

/* After executing: lists the connection if it is stalled, and receives or not accordingly. */
static void regulate(struct hf_worker *worker, struct hf_connection *connection)
{
    if (connection->stall != HF_STALL_NONE && !connection->listed) {
        connection->listed = true;
        worker->stalled[worker->stalled_count++] = connection;
    }
    bool too_much = connection->stall != HF_STALL_NONE && connection->input_bytes > MAX_KEPT_BYTES;
    if (too_much && connection->receiving && !connection->cancelling)
        cancel_receive(worker, connection);
    if (!too_much && !connection->receiving && !connection->ended && !connection->broken)
        arm_receive(worker, connection);
}

static void execute_kept(struct hf_worker *worker, struct hf_connection *connection)
{
    uint32_t used = execute(worker, connection, connection->input, connection->input_bytes);
    if (used != 0)
        hf_connection_executed(connection, used);
}

static void take_input(struct hf_worker *worker, struct hf_connection *connection,
                       const uint8_t *bytes, uint32_t count)
{
    connection->last_input_ns = worker->actor.now_ns;
    if (connection->closing || connection->broken)
        return; /* the stream is not to be trusted any more */
    if (connection->input_bytes == 0 && connection->stall == HF_STALL_NONE) {
        uint32_t used = execute(worker, connection, bytes, count);
        if (used < count && !hf_connection_keep(connection, bytes + used, count - used))
            break_connection(connection);
        return;
    }
    if (!hf_connection_keep(connection, bytes, count))
        break_connection(connection);
    else if (connection->stall == HF_STALL_NONE)
        execute_kept(worker, connection);
}

void hf_traffic_adopt_visitor(struct hf_worker *worker, struct hf_visitor *visitor)
{
    struct hf_connection *connection = adopt(worker, visitor->socket);
    if (connection != NULL) {
        uint32_t owed = visitor->output_end - visitor->output_begin;
        if (!hf_output_append(&connection->output, &worker->pool,
                              visitor->output + visitor->output_begin, owed))
            break_connection(connection);
        else if (owed != 0)
            mark_dirty(worker, connection);
        connection->closing = visitor->refused || visitor->fatal;
        if (visitor->input_bytes != 0)
            take_input(worker, connection, visitor->input, visitor->input_bytes);
        regulate(worker, connection);
        settle(worker, connection);
    }
    free(visitor);
}

void hf_traffic_received(struct hf_worker *worker, uint64_t user_data, int result,
                         const uint8_t *buffer, bool more)
{
    struct hf_connection *connection = connection_of(worker, user_data);
    if (!more) {
        connection->receiving = false;
        connection->cancelling = false;
    }
    if (result > 0) {
        take_input(worker, connection, buffer, (uint32_t)result);
    } else if (result == 0) {
        connection->ended = true;
    } else if (result != -ENOBUFS && result != -ECANCELED && result != -EINTR &&
               result != -EAGAIN) {
        /* Reset by the peer, or timed out. Nobody is there to be answered. */
        connection->ended = true;
        break_connection(connection);
    }
    regulate(worker, connection);
    settle(worker, connection);
}

void hf_traffic_sent(struct hf_worker *worker, uint64_t user_data, int result)
{
    struct hf_connection *connection = connection_of(worker, user_data);
    connection->sending = false;
    if (result > 0)
        hf_output_consume(&connection->output, &worker->pool, (uint32_t)result);
    else if (result != -EINTR && result != -EAGAIN)
        break_connection(connection);
    if (HF_UNLIKELY(connection->peer.first != NULL))
        move_frames(worker, connection);
    if (connection->output.bytes != 0 && !connection->broken)
        mark_dirty(worker, connection);
    settle(worker, connection);
}

void hf_traffic_retry(struct hf_worker *worker)
{
    uint32_t count = worker->stalled_count;
    worker->stalled_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct hf_connection *connection = worker->stalled[i];
        connection->listed = false;
        if (connection->socket < 0 || connection->stall == HF_STALL_NONE)
            continue;
        if (connection->broken)
            connection->stall = HF_STALL_NONE;
        else
            execute_kept(worker, connection);
        regulate(worker, connection);
        settle(worker, connection);
    }
}

void hf_traffic_deliver(struct hf_worker *worker)
{
    uint64_t commit_lsn = hf_flusher_commit_lsn(&worker->server->store->log.flusher);
    worker->handler.commit_lsn = commit_lsn;
    struct hf_awaiting *front;
    while ((front = hf_await_front(&worker->await)) != NULL && front->lsn <= commit_lsn) {
        struct hf_connection *connection = worker->connections[front->slot];
        if (connection->socket >= 0 && connection->generation == front->generation) {
            connection->awaiting--;
            connection->awaiting_bytes -= front->frame_bytes;
            if (!connection->broken) {
                if (hf_output_append(&connection->output, &worker->pool,
                                     front->large != NULL ? front->large : front->frame,
                                     front->frame_bytes))
                    mark_dirty(worker, connection);
                else
                    break_connection(connection);
            }
        }
        hf_await_pop(&worker->await);
    }
}

void hf_traffic_feed(struct hf_worker *worker)
{
    struct hf_feed_frame *frame;
    while ((frame = hf_feed_take(&worker->port)) != NULL) {
        const struct hf_feed_address address = frame->address;
        HF_CHECK(address.slot < worker->slot_count);
        struct hf_connection *connection = worker->connections[address.slot];
        bool there = connection->socket >= 0 && connection->generation == address.generation;
        hf_feed_accept(&worker->port, there ? &connection->peer : NULL, frame);
        if (!there)
            continue;
        move_frames(worker, connection);
        settle(worker, connection);
    }
}

void hf_traffic_send(struct hf_worker *worker)
{
    uint32_t count = worker->dirty_count;
    worker->dirty_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct hf_connection *connection = worker->dirty[i];
        connection->dirty = false;
        uint32_t bytes;
        const uint8_t *next = hf_output_peek(&connection->output, &bytes);
        if (next == NULL || connection->socket < 0 || connection->sending || connection->broken)
            continue; /* a send under way marks it dirty again when it completes */
        struct io_uring_sqe *sqe = hf_uring_sqe(&worker->ring);
        io_uring_prep_send(sqe, connection->socket, next, bytes, MSG_NOSIGNAL);
        io_uring_sqe_set_data64(sqe, event_of(HF_EVENT_SEND, connection));
        connection->sending = true;
    }
}

void hf_traffic_reap_shut(struct hf_worker *worker)
{
    if (worker->shut_count == 0)
        return;
    for (uint32_t slot = 0; slot < worker->slot_count; slot++) {
        struct hf_connection *connection = worker->connections[slot];
        if (connection->socket >= 0 && connection->shut &&
            worker->actor.now_ns - connection->shut_ns > SHUT_TIMEOUT_NS) {
            break_connection(connection);
            settle(worker, connection);
        }
    }
}

void hf_traffic_drain(struct hf_worker *worker, bool force)
{
    for (uint32_t slot = 0; slot < worker->slot_count; slot++) {
        struct hf_connection *connection = worker->connections[slot];
        if (connection->socket < 0)
            continue;
        if (force)
            break_connection(connection);
        else if (worker->actor.now_ns - connection->last_input_ns > DRAIN_QUIET_NS &&
                 hf_connection_quiet(connection))
            connection->closing = true;
        settle(worker, connection);
    }
}
