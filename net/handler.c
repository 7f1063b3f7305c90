/* The handler: see handler.h. */
#include "net/handler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/burst.h"
#include "engine/execute.h"
#include "engine/hash.h"
#include "net/feed.h"

/* What one connection may be owed before it is stalled: about 10,000 replies. */
#define MAX_OWED_BYTES (1u << 20)

/* Cells hashed at a time: some tens of microseconds. */
#define HASH_STEP_CELLS 1024

/* How often a hash is begun again while nothing but counters in motion stands against it. */
#define HASH_TRIES 1000

struct hf_handler_rooms {
    struct hf_request_scratch request;
    struct hf_inventory inventories[HF_MAX_LIST_ENTRIES];
    struct hf_availability_entry availability[HF_MAX_LIST_ENTRIES];
    struct hf_reservation_entry entries[HF_MAX_PAGE_ENTRIES];
};

int hf_handler_init(struct hf_handler *handler, struct hf_server *server, struct hf_actor *actor,
                    struct hf_await *await, struct hf_feed_port *port, struct hf_chunk_pool *pool)
{
    *handler = (struct hf_handler){
        .server = server,
        .actor = actor,
        .await = await,
        .port = port,
        .pool = pool,
        .rooms = malloc(sizeof(struct hf_handler_rooms)),
        .scratch = malloc(HF_MAX_REPLY_BYTES),
    };
    return handler->rooms == NULL || handler->scratch == NULL ? -ENOMEM : 0;
}

void hf_handler_close(struct hf_handler *handler)
{
    free(handler->rooms);
    free(handler->scratch);
}

static enum hf_handled answer_now(struct hf_handler *handler, struct hf_connection *connection,
                                  const uint8_t *reply, size_t bytes)
{
    return hf_output_append(&connection->output, handler->pool, reply, bytes)
               ? HF_HANDLED
               : HF_HANDLED_NO_MEMORY;
}

static enum hf_handled answer_short(struct hf_handler *handler, struct hf_connection *connection,
                                    const struct hf_frame *frame, unsigned result, unsigned field)
{
    uint8_t reply[HF_SHORT_REPLY_BYTES];
    size_t bytes = hf_reply_encode_short(reply, frame->operation, frame->tag, result, field, 0, 0);
    return answer_now(handler, connection, reply, bytes);
}

static enum hf_handled answer_bad(struct hf_handler *handler, struct hf_connection *connection,
                                  const struct hf_frame *frame, unsigned result, unsigned field,
                                  unsigned line)
{
    uint8_t reply[HF_SHORT_REPLY_BYTES];
    const struct hf_short answer = {.result = result, .field = field, .line = line};
    size_t bytes = hf_reply_encode_answer(reply, frame->operation, frame->tag, &answer);
    return answer_now(handler, connection, reply, bytes);
}

static enum hf_handled stall(struct hf_connection *connection, enum hf_stall why)
{
    connection->stall = why;
    return HF_HANDLED_STALLED;
}

/* True if no reply of this connection may be made to wait for commit now. */
static bool is_crowded(const struct hf_handler *handler, const struct hf_connection *connection)
{
    return connection->output.bytes + connection->awaiting_bytes > MAX_OWED_BYTES ||
           hf_await_room(handler->await) == 0;
}

static void add_one(_Atomic uint64_t *count)
{
    hf_store_relaxed(count, hf_load_relaxed(count) + 1); /* ours alone: statistics */
}

/* Nothing was done, for want of room in the log, or among the replies that wait for it. */
static enum hf_handled log_behind(struct hf_handler *handler, struct hf_connection *connection,
                                  const struct hf_frame *frame)
{
    struct hf_log *log = &handler->server->store->log;
    /* With a full disk that may last, so say so instead of making the client wait. */
    if (!handler->crowded && hf_segments_error(&log->segments) != 0)
        return answer_short(handler, connection, frame, HF_STORAGE_FULL, HF_FIELD_NONE);
    uint64_t durable_lsn = hf_load_relaxed(&log->flusher.durable_lsn); /* whether it moves */
    if (hf_standstill_look(&handler->standstill, durable_lsn, hf_monotonic_now_ns())) {
        add_one(&handler->overloaded);
        return answer_short(handler, connection, frame, HF_OVERLOADED, HF_FIELD_NONE);
    }
    if (!connection->aside)
        add_one(&handler->put_aside);
    connection->aside = true;
    return stall(connection, handler->crowded ? HF_STALL_AWAIT : HF_STALL_LOG);
}

/* The place for a reply that waits for `lsn`. The caller made sure that there is room. */
static struct hf_awaiting *await_commit(struct hf_handler *handler,
                                        struct hf_connection *connection, uint64_t lsn)
{
    struct hf_awaiting *awaiting = hf_await_push(handler->await);
    HF_CHECK(awaiting != NULL);
    awaiting->lsn = lsn;
    awaiting->slot = connection->slot;
    awaiting->generation = connection->generation;
    awaiting->large = NULL;
    connection->awaiting++;
    return awaiting;
}

/* The reply is in its place; its bytes are owed from now on. */
static void set_bytes(struct hf_connection *connection, struct hf_awaiting *awaiting, size_t bytes)
{
    awaiting->frame_bytes = (uint32_t)bytes;
    connection->awaiting_bytes += bytes;
}

static size_t encode_no(uint8_t *out, const struct hf_frame *frame,
                        const struct hf_outcome *outcome)
{
    const struct hf_short answer = {
        .result = outcome->result,
        .field = outcome->field,
        .available = outcome->availability.available,
        .version = outcome->availability.version,
        .state = outcome->state,
        .line = outcome->line,
    };
    return hf_reply_encode_answer(out, frame->operation, frame->tag, &answer);
}

/* Encodes what the engine said into `out`. Returns the size of the reply. */
static size_t encode_outcome(const struct hf_handler *handler, uint8_t *out,
                             const struct hf_frame *frame, const struct hf_outcome *outcome)
{
    if (hf_result_group(outcome->result) != HF_GROUP_YES)
        return encode_no(out, frame, outcome);
    switch (frame->operation) {
    case HF_OP_INVENTORY_CREATE:
    case HF_OP_INVENTORY_GET:
        return hf_reply_encode_inventory(out, frame->operation, frame->tag, outcome->result,
                                         &outcome->inventory);
    case HF_OP_INVENTORY_SET:
    case HF_OP_INVENTORY_SETTINGS:
        return hf_reply_encode_settings(out, frame->operation, frame->tag, outcome->result,
                                        &outcome->inventory, &outcome->settings,
                                        outcome->settings_sequence);
    case HF_OP_BATCH:
    case HF_OP_RESERVATION_LIST:
        return hf_reply_encode_reservations(out, frame->operation, frame->tag, outcome->result,
                                            frame->operation == HF_OP_BATCH ? 0 : outcome->next,
                                            handler->rooms->entries, outcome->count);
    default:
        return hf_reply_encode_reservation(out, frame->operation, frame->tag, outcome->result,
                                           &outcome->reservation, outcome->repeated);
    }
}

/* True if the reply is one of those that fit where they wait for commit: nearly all. */
static bool is_small(const struct hf_frame *frame, const struct hf_outcome *outcome)
{
    if (hf_result_group(outcome->result) != HF_GROUP_YES)
        return true;
    return frame->operation >= HF_OP_RESERVE && frame->operation <= HF_OP_LEAVE &&
           hf_id_is_zero(&outcome->reservation.linked_id);
}

static enum hf_handled answer_outcome(struct hf_handler *handler, struct hf_connection *connection,
                                      const struct hf_frame *frame,
                                      const struct hf_outcome *outcome)
{
    /* What is committed need not wait, least of all behind what is not (ACK-AFTER-COMMIT). */
    bool waits = outcome->wait_for_lsn > handler->commit_lsn;
    if (HF_UNLIKELY(waits && handler->crowded))
        return log_behind(handler, connection, frame); /* a read, or done before */
    if (HF_LIKELY(waits && is_small(frame, outcome))) {
        struct hf_awaiting *awaiting = await_commit(handler, connection, outcome->wait_for_lsn);
        set_bytes(connection, awaiting, encode_outcome(handler, awaiting->frame, frame, outcome));
        return HF_HANDLED;
    }
    size_t bytes = encode_outcome(handler, handler->scratch, frame, outcome);
    if (!waits)
        return answer_now(handler, connection, handler->scratch, bytes);
    uint8_t *large = malloc(bytes);
    if (large == NULL)
        return HF_HANDLED_NO_MEMORY;
    memcpy(large, handler->scratch, bytes);
    struct hf_awaiting *awaiting = await_commit(handler, connection, outcome->wait_for_lsn);
    awaiting->large = large;
    set_bytes(connection, awaiting, bytes);
    return HF_HANDLED;
}

static enum hf_handled put_aside(struct hf_handler *handler, struct hf_connection *connection,
                                 const struct hf_frame *frame, const struct hf_outcome *outcome)
{
    if (outcome->result == HF_PUT_ASIDE_BUSY)
        return stall(connection, HF_STALL_BUSY);
    return log_behind(handler, connection, frame);
}

static enum hf_handled handle_info(struct hf_handler *handler, struct hf_connection *connection,
                                   const struct hf_frame *frame)
{
    struct hf_info info;
    hf_server_describe(handler->server, &info);
    return answer_now(handler, connection, handler->scratch,
                      hf_reply_encode_info(handler->scratch, frame->tag, &info));
}

static enum hf_handled handle_status(struct hf_handler *handler, struct hf_connection *connection,
                                     const struct hf_frame *frame)
{
    struct hf_status status;
    hf_server_describe_status(handler->server, &status);
    if (handler->stopping)
        status.state = HF_SERVER_STOPPING;
    return answer_now(handler, connection, handler->scratch,
                      hf_reply_encode_status(handler->scratch, frame->tag, &status));
}

static enum hf_handled handle_list(struct hf_handler *handler, struct hf_connection *connection,
                                   const struct hf_frame *frame, const struct hf_request *request)
{
    uint32_t next;
    struct hf_inventory *page = handler->rooms->inventories;
    uint32_t count =
        hf_engine_list_inventories(handler->actor, request->from, request->limit, page, &next);
    size_t bytes = hf_reply_encode_page(handler->scratch, frame->tag, next, page, count);
    return answer_now(handler, connection, handler->scratch, bytes);
}

static enum hf_handled handle_availability(struct hf_handler *handler,
                                           struct hf_connection *connection,
                                           const struct hf_frame *frame,
                                           const struct hf_request *request)
{
    struct hf_availability_entry *entries = handler->rooms->availability;
    hf_engine_availability(handler->actor, request->ids, request->count, entries);
    size_t bytes =
        hf_reply_encode_availability(handler->scratch, frame->tag, entries, request->count);
    return answer_now(handler, connection, handler->scratch, bytes);
}

/* Begins a STATE_HASH, or begins it again. */
static bool begin_hash(struct hf_handler *handler, struct hf_connection *connection, uint64_t lsn)
{
    if (connection->hashing == NULL) {
        connection->hashing = malloc(sizeof *connection->hashing);
        if (connection->hashing == NULL)
            return false;
        connection->hash_tries = 0;
    } else {
        hf_state_hash_end(connection->hashing);
    }
    connection->hash_tries++;
    connection->hash_lsn_before = lsn;
    const struct hf_engine *engine = &handler->server->store->engine;
    return hf_state_hash_begin(connection->hashing, &engine->region,
                               hf_engine_forget_before_ns(engine)) == 0;
}

static void end_hash(struct hf_connection *connection)
{
    hf_state_hash_end(connection->hashing);
    free(connection->hashing);
    connection->hashing = NULL;
}

static enum hf_handled handle_hash(struct hf_handler *handler, struct hf_connection *connection,
                                   const struct hf_frame *frame)
{
    /* Acquire, pairs with hf_ring_reserve(): what has an LSN up to here is in the region, or still
     * carries its mark. */
    uint64_t lsn = hf_load_acquire(&handler->server->store->log.ring.tail) - 1;
    if (handler->crowded) {
        enum hf_handled handled = log_behind(handler, connection, frame);
        if (handled != HF_HANDLED_STALLED && connection->hashing != NULL)
            end_hash(connection);
        return handled;
    }
    if (connection->hashing == NULL && !begin_hash(handler, connection, lsn))
        return HF_HANDLED_NO_MEMORY;
    struct hf_state_hash *hash = connection->hashing;
    switch (hf_state_hash_step(hash, &handler->server->store->engine.region, HASH_STEP_CELLS)) {
    case HF_HASHING_MORE:
        return stall(connection, HF_STALL_BUSY);
    case HF_HASHING_UNSETTLED:
        /* Somebody is in the middle of a change. If the log has moved on, the LSNs tell it. */
        if (lsn != connection->hash_lsn_before || connection->hash_tries == HASH_TRIES)
            break;
        return begin_hash(handler, connection, lsn) ? stall(connection, HF_STALL_BUSY)
                                                    : HF_HANDLED_NO_MEMORY;
    case HF_HASHING_DONE:
        /* What is retained was decided by the log's time when it began. */
        if (hash->forget_before_ns == hf_engine_forget_before_ns(&handler->server->store->engine) ||
            connection->hash_tries == HASH_TRIES)
            break;
        return begin_hash(handler, connection, lsn) ? stall(connection, HF_STALL_BUSY)
                                                    : HF_HANDLED_NO_MEMORY;
    }
    struct hf_awaiting *awaiting = await_commit(handler, connection, lsn);
    set_bytes(connection, awaiting,
              hf_reply_encode_hash(awaiting->frame, frame->tag, hash->sum,
                                   connection->hash_lsn_before, lsn, hash->reservations));
    end_hash(connection);
    return HF_HANDLED;
}

/* What is the feed's business: it is handed over, and answered later, or refused at once. */
static enum hf_handled handle_feed(struct hf_handler *handler, struct hf_connection *connection,
                                   const struct hf_frame *frame, const struct hf_request *request)
{
    enum hf_result result = HF_UNSUBSCRIBED;
    struct hf_outcome outcome;
    if (hf_feed_must_wait(&connection->peer))
        return stall(connection, HF_STALL_FEED);
    switch (request->operation) {
    case HF_OP_SUBSCRIBE:
        result = hf_feed_subscribe(handler->port, &connection->peer, connection->slot,
                                   connection->generation, frame->tag, request);
        break;
    case HF_OP_UNSUBSCRIBE:
        result = hf_feed_unsubscribe(handler->port, &connection->peer, connection->slot,
                                     connection->generation, frame->tag, request->watch_tag);
        break;
    default:
        hf_engine_get(handler->actor, &request->id, &outcome);
        if (hf_outcome_put_aside(&outcome))
            return put_aside(handler, connection, frame, &outcome);
        if (outcome.result != HF_FOUND)
            return answer_outcome(handler, connection, frame, &outcome);
        result = hf_feed_history(handler->port, &connection->peer, connection->slot,
                                 connection->generation, frame->tag, request, &outcome.reservation);
        break;
    }
    if (result == HF_OK)
        return HF_HANDLED;
    return answer_short(handler, connection, frame, result,
                        result == HF_BAD_FIELD ? HF_FIELD_TAG : HF_FIELD_NONE);
}

/* As hf_engine_execute(); what needs the log is put aside if its reply would find no place. */
static inline bool ask_engine(struct hf_handler *handler, const struct hf_request *request,
                              struct hf_outcome *outcome)
{
    if (HF_LIKELY(!handler->crowded))
        return hf_engine_execute(handler->actor, request, handler->rooms->entries, outcome);
    hf_ring_bar(&handler->actor->log);
    bool known = hf_engine_execute(handler->actor, request, handler->rooms->entries, outcome);
    hf_ring_unbar(&handler->actor->log);
    return known;
}

static enum hf_handled handle_request(struct hf_handler *handler, struct hf_connection *connection,
                                      const struct hf_frame *frame,
                                      const struct hf_request *request)
{
    struct hf_outcome outcome;
    handler->crowded = is_crowded(handler, connection);
    if (hf_request_needs_clock(request->operation))
        handler->actor->now_ns = hf_server_clock_now_ns(&handler->server->store->log.clock);
    if (ask_engine(handler, request, &outcome)) {
        if (hf_outcome_put_aside(&outcome))
            return put_aside(handler, connection, frame, &outcome);
        return answer_outcome(handler, connection, frame, &outcome);
    }
    switch (request->operation) {
    case HF_OP_INVENTORY_LIST:
        return handle_list(handler, connection, frame, request);
    case HF_OP_AVAILABILITY:
        return handle_availability(handler, connection, frame, request);
    case HF_OP_STATE_HASH:
        return handle_hash(handler, connection, frame);
    case HF_OP_INFO:
        return handle_info(handler, connection, frame);
    case HF_OP_STATUS:
        return handle_status(handler, connection, frame);
    case HF_OP_SNAPSHOT:
        hf_store_request_snapshot(handler->server->store);
        return answer_short(handler, connection, frame, HF_OK, HF_FIELD_NONE);
    case HF_OP_SUBSCRIBE:
    case HF_OP_UNSUBSCRIBE:
    case HF_OP_HISTORY:
        return handle_feed(handler, connection, frame, request);
    case HF_OP_PING:
        return answer_short(handler, connection, frame, HF_OK, HF_FIELD_NONE);
    default:
        return answer_short(handler, connection, frame, HF_UNKNOWN_OPERATION, HF_FIELD_OPERATION);
    }
}

/* A length that cannot be right: the next frame cannot be found. Answer, and close. */
static enum hf_handled refuse_length(struct hf_handler *handler, struct hf_connection *connection,
                                     const struct hf_frame *frame, enum hf_result result)
{
    enum hf_handled handled =
        answer_short(handler, connection, frame, result, HF_FIELD_FRAME_BYTES);
    return handled == HF_HANDLED ? HF_HANDLED_FATAL : handled;
}

/* The size of the frame, 0: it is not whole. *operation: 0, it is about no single reservation. */
static inline uint32_t glance(const uint8_t *bytes, size_t count, const struct hf_region *region,
                              unsigned *operation, uint64_t *hash)
{
    struct hf_frame frame;
    *operation = 0;
    if (count < HF_FRAME_HEADER_BYTES)
        return 0;
    hf_frame_read(bytes, &frame);
    if (frame.frame_bytes < HF_FRAME_HEADER_BYTES || frame.frame_bytes > count)
        return 0;
    /* All about one reservation have its id at the same place. */
    if (frame.operation >= HF_OP_RESERVE && frame.operation <= HF_OP_LEAVE &&
        frame.frame_bytes >= HF_FRAME_HEADER_BYTES + sizeof(struct hf_id)) {
        struct hf_id id;
        memcpy(id.bytes, bytes + HF_FRAME_HEADER_BYTES, sizeof id.bytes);
        *operation = frame.operation;
        *hash = hf_hash_id(&id, region->header->hash_seed);
    }
    return frame.frame_bytes;
}

uint32_t hf_handler_prefetch(const struct hf_handler *handler, const uint8_t *bytes, size_t count)
{
    const struct hf_region *region = &handler->server->store->engine.region;
    unsigned operation;
    uint64_t hash;
    uint32_t frame_bytes = glance(bytes, count, region, &operation, &hash);
    if (operation != 0)
        hf_table_prefetch_head(region, hash);
    return frame_bytes;
}

uint32_t hf_handler_prefetch_again(const struct hf_handler *handler, const uint8_t *bytes,
                                   size_t count)
{
    const struct hf_region *region = &handler->server->store->engine.region;
    unsigned operation;
    uint64_t hash;
    uint32_t frame_bytes = glance(bytes, count, region, &operation, &hash);
    /* What claims is about none that is there, most likely. */
    if (operation != 0 && operation != HF_OP_RESERVE && operation != HF_OP_HOLD &&
        operation != HF_OP_JOIN)
        hf_table_prefetch_change(region, hash);
    return frame_bytes;
}

enum hf_handled hf_handler_execute(struct hf_handler *handler, struct hf_connection *connection,
                                   const uint8_t *bytes, size_t count, uint32_t *used)
{
    *used = 0;
    struct hf_frame frame;
    unsigned framing = hf_request_frame(bytes, count, &frame);
    if (framing == 0)
        return HF_HANDLED_INCOMPLETE;
    if (HF_UNLIKELY(framing != HF_OK))
        return refuse_length(handler, connection, &frame, (enum hf_result)framing);
    if (HF_UNLIKELY(connection->output.bytes > MAX_OWED_BYTES))
        return stall(connection, HF_STALL_OUTPUT);

    struct hf_request request;
    enum hf_field field = HF_FIELD_NONE;
    unsigned line = 0;
    enum hf_result result =
        hf_request_decode(bytes, &frame, &request, &handler->rooms->request, &field, &line);
    enum hf_handled handled;
    if (HF_UNLIKELY(result != HF_OK))
        handled = answer_bad(handler, connection, &frame, result, field, line);
    else if (HF_UNLIKELY(handler->refusing && request.operation != HF_OP_STATUS))
        handled = answer_short(handler, connection, &frame, HF_SHUTTING_DOWN, HF_FIELD_NONE);
    else
        handled = handle_request(handler, connection, &frame, &request);
    if (handled == HF_HANDLED) {
        *used = frame.frame_bytes;
        connection->aside = false;
    }
    return handled;
}

/* Reads the plain RESERVEs that come first, `most` at most. Returns how many. */
static uint32_t read_plain(const uint8_t *bytes, size_t count, uint32_t most, uint64_t *tags,
                           struct hf_reserve *reserves)
{
    struct hf_request request;
    uint32_t read = 0;
    while (read < most && hf_request_read_plain(bytes, count, &tags[read], &request)) {
        reserves[read++] = (struct hf_reserve){
            .id = request.id,
            .inventory_id = request.inventory_id,
            .customer_id = request.customer_id,
            .qty = request.qty,
        };
        bytes += HF_RESERVE_BYTES;
        count -= HF_RESERVE_BYTES;
    }
    return read;
}

/* How many replies of grants this connection may be owed beyond what it is owed already. */
static uint32_t room_for_grants(const struct hf_handler *handler,
                                const struct hf_connection *connection)
{
    uint64_t owed = connection->output.bytes + connection->awaiting_bytes;
    uint64_t room =
        owed > MAX_OWED_BYTES ? 0 : (MAX_OWED_BYTES - owed) / HF_RESERVATION_REPLY_BYTES;
    uint32_t places = hf_await_room(handler->await);
    if (room > places)
        room = places;
    return room < HF_BURST_MAX ? (uint32_t)room : HF_BURST_MAX;
}

static uint32_t grant_burst(struct hf_handler *handler, struct hf_connection *connection,
                            const struct hf_reserve *reserves, const uint64_t *tags, uint32_t count)
{
    struct hf_reservation made[HF_BURST_MAX];
    uint32_t granted = hf_engine_reserve_burst(handler->actor, reserves, count, made);
    HF_CHECK(granted <= count);
    for (uint32_t i = 0; i < granted; i++) {
        struct hf_awaiting *awaiting = await_commit(handler, connection, made[i].lsn);
        set_bytes(connection, awaiting,
                  hf_reply_encode_reservation(awaiting->frame, HF_OP_RESERVE, tags[i], HF_GRANTED,
                                              &made[i], false));
    }
    return granted;
}

/* Refusals wait for nothing: they are written where they are sent from. */
static uint32_t refuse_burst(struct hf_handler *handler, struct hf_connection *connection,
                             const struct hf_reserve *reserves, const uint64_t *tags,
                             uint32_t count)
{
    struct hf_availability left[HF_BURST_MAX];
    uint32_t refused = hf_engine_refuse_burst(handler->actor, reserves, count, left);
    HF_CHECK(refused <= count);
    uint8_t *out = refused == 0 ? NULL
                                : hf_output_room(&connection->output, handler->pool,
                                                 (size_t)refused * HF_SHORT_REPLY_BYTES);
    if (out == NULL)
        return 0; /* nothing was done; one by one, want of memory is told */
    for (uint32_t i = 0; i < refused; i++)
        hf_reply_encode_short(out + (size_t)i * HF_SHORT_REPLY_BYTES, HF_OP_RESERVE, tags[i],
                              HF_SOLD_OUT, HF_FIELD_NONE, left[i].available, left[i].version);
    hf_output_add(&connection->output, (size_t)refused * HF_SHORT_REPLY_BYTES);
    return refused;
}

uint32_t hf_handler_execute_burst(struct hf_handler *handler, struct hf_connection *connection,
                                  const uint8_t *bytes, size_t count, uint32_t *read)
{
    struct hf_reserve reserves[HF_BURST_MAX];
    uint64_t tags[HF_BURST_MAX];
    uint32_t done = 0;
    *read = 0;
    if (count < 2 * HF_RESERVE_BYTES || handler->refusing ||
        connection->output.bytes > MAX_OWED_BYTES ||
        read_plain(bytes, count, 1, tags, reserves) == 0)
        return 0;
    enum hf_claim weighed = hf_engine_weigh_burst(handler->actor, reserves);
    uint32_t most = weighed == HF_CLAIM_DONE ? room_for_grants(handler, connection) : HF_BURST_MAX;
    if (weighed == HF_CLAIM_INVOLVED || most == 0)
        return 0;
    uint32_t frames = read_plain(bytes, count, most, tags, reserves);
    if (weighed == HF_CLAIM_DONE)
        done = grant_burst(handler, connection, reserves, tags, frames);
    else
        done = refuse_burst(handler, connection, reserves, tags, frames);
    if (done != 0)
        connection->aside = false;
    *read = frames;
    return done;
}
