/*
 * The client: outstanding requests over a connection that mends itself (client_connection.h).
 *
 * Every accepted request has a slot, found from its tag in O(1): the tag is the slot's index and a
 * generation that grows whenever the slot is freed, so that a reply that comes after its request
 * timed out is recognised and ignored instead of answering the slot's next tenant.
 *
 * The slots of unanswered requests form one list in the order of submission:
 *
 *   head ▸ ▸ ▸ ▸ ▸ unsent ▸ ▸ ▸ ▸ ▸ tail
 *   encoded on this    not yet
 *   connection
 *
 * When a connection is lost, `unsent` goes back to `head`, and that is all there is to resending in
 * the original order. As all requests have the same time-out, the head is also the next to expire.
 *
 * Requests are encoded into the connection's output only when it is up and has room; one that was
 * encoded counts as handed to the connection, as part of it may already be with the server. So a
 * request that was never encoded is known not to have been sent: NOT_CONNECTED. Any other that gets
 * no answer is OUTCOME_UNKNOWN.
 *
 * Callbacks may submit, which may move the slots: nothing points into them across a callback.
 *
 * What is sent twice may be done by its first copy, and answered for its second. hides_a_yes() is
 * the one place that knows which answers leave open whether that happened (client.h has the table).
 * What would do harm when done twice is not sent twice: it ends when the connection does.
 *
 * A server that recovers tells NOT_READY, does nothing of all that is sent on that connection, and
 * ends it when it is ready. So a request that is told so stays where it is in the list, as if no
 * answer had come, and is sent again with the others, in order, when the connection has gone; and the
 * copies that it had are known not to have been done. Whoever asks how the server is, by PING or
 * STATUS, is told at once.
 *
 * Watches are a matter of their own: client_watch.h.
 */
#include "holdfast/client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "net/client_connection.h"
#include "net/client_watch.h"
#include "net/codec.h"

#define DEFAULT_SERVER             "127.0.0.1:7411"
#define DEFAULT_CONNECT_TIMEOUT_MS 1000
#define DEFAULT_REQUEST_TIMEOUT_MS 5000
#define DEFAULT_RECONNECT_DELAY_MS 10
#define FIRST_SLOT_COUNT           16
#define NO_SLOT                    UINT32_MAX
#define SMALL_FRAME_BYTES          72 /* of every request about one reservation: HOLD */
/* One process() receives at most so often, so that a fast server cannot keep it from returning. */
#define RECEIVES_PER_PROCESS 64

struct slot {
    uint32_t generation;  /* of the tag; grows when the slot is freed, never zero */
    uint32_t next;        /* in the list of the unanswered, or of the free */
    uint32_t previous;    /* in the list of the unanswered */
    uint32_t sends;       /* copies that may have been done: one for each connection on which it
                             was encoded, but for those that told NOT_READY */
    bool sent;            /* encoded on this connection */
    bool refused;         /* and told NOT_READY: it waits for the next one */
    uint32_t frame_bytes; /* 0: the slot is free */
    uint64_t deadline_ns;
    hf_client_callback *callback;
    void *context;
    uint8_t *large; /* the frame, if it is larger than `small`; else NULL */
    uint8_t small[SMALL_FRAME_BYTES];
};

_Static_assert(HF_CLIENT_WATCH_TAG == NO_SLOT, "tags of watches name no slot");

struct hf_client {
    uint64_t request_timeout_ns;
    struct slot *slots;
    uint32_t slot_count;
    uint32_t free;               /* list */
    uint32_t head, tail, unsent; /* list of the unanswered */
    size_t outstanding;
    unsigned answered; /* since the client was opened; compared for difference only */
    bool processing, closing;
    bool not_ready;  /* NOT_READY was told on this connection: nothing of it is done */
    int32_t percent; /* of the recovery, as it told */
    struct hf_client_watches watches;
    struct hf_reply_scratch *lists;         /* room for the list of a reply; NULL: none asked yet */
    struct hf_reply_scratch *sync_lists;    /* the list that hf_client_call_sync() returned last */
    struct hf_client_connection connection; /* last: its buffers are not cleared */
};

/* ---- slots ------------------------------------------------------------------------------ */

/* The encoded request; it moves when the slots do. */
static uint8_t *frame_of(struct slot *slot)
{
    return slot->large != NULL ? slot->large : slot->small;
}

static enum hf_operation operation_of(struct slot *slot)
{
    return (enum hf_operation)frame_of(slot)[5];
}

static uint64_t slot_tag(const struct hf_client *client, uint32_t index)
{
    return (uint64_t)client->slots[index].generation << 32 | index;
}

static bool grow_slots(struct hf_client *client)
{
    uint32_t count = client->slot_count == 0 ? FIRST_SLOT_COUNT : client->slot_count * 2;
    if (count > NO_SLOT / 2)
        return false;
    struct slot *slots = realloc(client->slots, count * sizeof *slots);
    if (slots == NULL)
        return false;
    for (uint32_t i = count; i-- > client->slot_count;) {
        slots[i] = (struct slot){.generation = 1, .next = client->free};
        client->free = i;
    }
    client->slots = slots;
    client->slot_count = count;
    return true;
}

static void append_slot(struct hf_client *client, uint32_t index)
{
    struct slot *slot = &client->slots[index];
    slot->next = NO_SLOT;
    slot->previous = client->tail;
    if (client->tail == NO_SLOT)
        client->head = index;
    else
        client->slots[client->tail].next = index;
    client->tail = index;
    if (client->unsent == NO_SLOT)
        client->unsent = index;
    client->outstanding++;
}

/* Takes a slot from the list of the unanswered to that of the free; its tag is spent. */
static void release_slot(struct hf_client *client, uint32_t index)
{
    struct slot *slot = &client->slots[index];
    HF_CHECK(slot->frame_bytes != 0);
    if (client->unsent == index)
        client->unsent = slot->next;
    if (slot->previous == NO_SLOT)
        client->head = slot->next;
    else
        client->slots[slot->previous].next = slot->next;
    if (slot->next == NO_SLOT)
        client->tail = slot->previous;
    else
        client->slots[slot->next].previous = slot->previous;
    free(slot->large);
    slot->large = NULL;
    slot->frame_bytes = 0;
    slot->generation += slot->generation == UINT32_MAX ? 2 : 1;
    slot->next = client->free;
    client->free = index;
    HF_CHECK(client->outstanding > 0);
    client->outstanding--;
}

/* ---- requests that are sent more than once ---------------------------------------------- */

static bool is_read(enum hf_operation operation)
{
    switch (operation) {
    case HF_OP_PING:
    case HF_OP_INFO:
    case HF_OP_STATE_HASH:
    case HF_OP_STATUS:
    case HF_OP_INVENTORY_GET:
    case HF_OP_INVENTORY_LIST:
    case HF_OP_INVENTORY_SETTINGS:
    case HF_OP_AVAILABILITY:
    case HF_OP_RESERVATION_GET:
    case HF_OP_RESERVATION_LIST:
    case HF_OP_HISTORY:
        return true;
    default:
        return false;
    }
}

/* Of a refusal: may an earlier copy of this operation have been done all the same? */
static bool refusal_hides_a_yes(enum hf_operation operation, unsigned result)
{
    switch (operation) {
    case HF_OP_CONFIRM:
        return result == HF_WRONG_STATE; /* it was CONFIRMED, and is not any more */
    case HF_OP_EXTEND:
    case HF_OP_CHANGE:
    case HF_OP_MOVE:
        return result != HF_NOT_FOUND; /* what was extended or changed may have lapsed since */
    case HF_OP_INVENTORY_SET:
        return true;
    default:
        return false; /* a repeat of what was done is always a yes */
    }
}

/* The operation that an answer is about: of a batch, that of the line that failed. PING: none. */
static enum hf_operation operation_that_failed(struct slot *slot, const struct hf_reply *reply)
{
    enum hf_operation operation = operation_of(slot);
    if (operation != HF_OP_BATCH)
        return operation;
    const uint8_t *frame = frame_of(slot);
    if (reply->line == 0 || reply->line > hf_get_u32(frame + 16))
        return HF_OP_PING;
    return (enum hf_operation)
        frame[HF_BATCH_HEADER_BYTES + (size_t)(reply->line - 1) * HF_BATCH_LINE_BYTES];
}

/* True if the answer of a request that was sent more than once leaves open whether it was done. */
static bool hides_a_yes(struct slot *slot, const struct hf_reply *reply)
{
    if (slot->sends < 2 || is_read(operation_of(slot)))
        return false;
    switch (hf_result_group(reply->result)) {
    case HF_GROUP_RETRY:
        return true; /* this copy did nothing, and nobody looked for what another one did */
    case HF_GROUP_NO:
    case HF_GROUP_CONFLICT:
        return refusal_hides_a_yes(operation_that_failed(slot, reply), reply->result);
    default:
        return false;
    }
}

/* True if it must not be done twice, and nothing in it keeps the server from that. */
static bool must_not_be_repeated(struct slot *slot)
{
    struct hf_frame frame;
    if (operation_of(slot) != HF_OP_INVENTORY_SET)
        return false;
    hf_frame_read(frame_of(slot), &frame);
    return (hf_get_u32(frame_of(slot) + 24) & HF_SET_REOPEN) != 0 &&
           (frame.result & HF_REQUEST_EXPECT_VERSION) == 0;
}

/* ---- servers that recover --------------------------------------------------------------- */

/* NOT_READY: is this what was asked, or is it in the way? */
static bool asks_how_it_is(enum hf_operation operation)
{
    return operation == HF_OP_PING || operation == HF_OP_STATUS;
}

/* It waits for the next connection; the copy on this one is known not to have been done. */
static void put_off(struct hf_client *client, struct slot *slot, const struct hf_reply *reply)
{
    HF_CHECK(slot->sends > 0 && !slot->refused);
    slot->sends--;
    slot->refused = true;
    client->percent = reply->available;
}

/* The connection is gone: what was sent on it is to be sent again. If it told NOT_READY, nothing of
 * it was done. */
static void take_back_all(struct hf_client *client)
{
    for (uint32_t index = client->head; index != client->unsent;
         index = client->slots[index].next) {
        struct slot *slot = &client->slots[index];
        if (client->not_ready && !slot->refused)
            slot->sends--;
        slot->sent = slot->refused = false;
    }
    client->not_ready = false;
    client->unsent = client->head;
}

/* What there is to say of a request that no reply has ended. */
static struct hf_reply end_of(const struct hf_client *client, struct slot *slot)
{
    bool not_done = slot->sent && client->not_ready; /* the copy on this connection */
    uint32_t open = slot->sends - (not_done && !slot->refused);
    struct hf_reply reply = {.operation = operation_of(slot),
                             .result = open > 0 ? HF_OUTCOME_UNKNOWN : HF_NOT_CONNECTED};
    if (open == 0 && not_done) {
        reply.result = HF_NOT_READY;
        reply.available = client->percent;
    }
    return reply;
}

/* ---- answers ---------------------------------------------------------------------------- */

/* Ends the request of slot `index`. Its callback may submit, so the slot is free before. */
static void answer(struct hf_client *client, uint32_t index, struct hf_reply *reply)
{
    struct slot *slot = &client->slots[index];
    hf_client_callback *callback = slot->callback;
    void *context = slot->context;
    reply->resent = slot->sends > 1;
    release_slot(client, index);
    client->answered++;
    if (callback != NULL)
        callback(context, reply);
}

/* Ends a request that no reply has ended. */
static void answer_unanswered(struct hf_client *client, uint32_t index)
{
    struct hf_reply reply = end_of(client, &client->slots[index]);
    answer(client, index, &reply);
}

/* One frame of a watch. False if it cannot be. */
static bool take_watched(struct hf_client *client, const struct hf_frame *frame,
                         const uint8_t *bytes)
{
    int taken = hf_client_watches_take(&client->watches, frame, bytes);
    if (taken < 0)
        return false;
    client->not_ready |= frame->result == HF_NOT_READY;
    hf_client_connection_praise(&client->connection);
    client->answered += (unsigned)taken;
    return true;
}

/* One frame from the server. False if it cannot be a reply to anything this client asked. */
static bool take_reply(struct hf_client *client, const struct hf_frame *frame, const uint8_t *bytes)
{
    uint32_t index = (uint32_t)frame->tag;
    uint32_t generation = (uint32_t)(frame->tag >> 32);
    if (index == HF_CLIENT_WATCH_TAG)
        return take_watched(client, frame, bytes);
    if (index >= client->slot_count)
        return false;
    struct slot *slot = &client->slots[index];
    if (slot->frame_bytes == 0 || slot->generation != generation)
        /* The request has ended already: a late reply, if the tag was ever given out. */
        return generation >= 1 && generation < slot->generation;
    struct hf_reply reply;
    if (!slot->sent || slot->refused || frame->operation != (operation_of(slot) | HF_REPLY_BIT) ||
        !hf_reply_decode(bytes, frame, &reply, client->lists))
        return false;
    hf_client_connection_praise(&client->connection);
    client->not_ready |= reply.result == HF_NOT_READY;
    if (reply.result == HF_NOT_READY && !asks_how_it_is(reply.operation)) {
        put_off(client, slot, &reply);
        return true;
    }
    if (hides_a_yes(slot, &reply))
        reply.result = HF_OUTCOME_UNKNOWN;
    answer(client, index, &reply);
    return true;
}

static void end_expired(struct hf_client *client)
{
    uint64_t now_ns = hf_monotonic_now_ns();
    while (client->head != NO_SLOT && client->slots[client->head].deadline_ns <= now_ns)
        answer_unanswered(client, client->head);
}

/* ---- progress --------------------------------------------------------------------------- */

/* Ends what was sent and must not be sent again. What callbacks submit meanwhile goes to the end
 * of the list, and was not sent. */
static void end_what_is_sent_once(struct hf_client *client)
{
    uint32_t next;
    for (uint32_t index = client->head; index != NO_SLOT; index = next) {
        struct slot *slot = &client->slots[index];
        next = slot->next;
        if (slot->sends > 0 && must_not_be_repeated(slot))
            answer_unanswered(client, index);
    }
}

static void lose_connection(struct hf_client *client, const char *reason)
{
    hf_client_connection_drop(&client->connection, hf_monotonic_now_ns(), reason);
    take_back_all(client);
    hf_client_watches_lose(&client->watches);
    end_what_is_sent_once(client);
}

static void lose_connection_by_error(struct hf_client *client, int error)
{
    char reason[96];
    if (error == -ECONNRESET)
        snprintf(reason, sizeof reason, "the server closed the connection");
    else
        snprintf(reason, sizeof reason, "the connection broke: %s", strerror(-error));
    lose_connection(client, reason);
}

/* Moves requests into the output as far as there is room; watches first, as few as they are. */
static void encode_unsent(struct hf_client *client)
{
    if (!hf_client_watches_encode(&client->watches, &client->connection))
        return;
    while (client->unsent != NO_SLOT) {
        struct slot *slot = &client->slots[client->unsent];
        uint8_t *room = hf_client_connection_reserve(&client->connection, slot->frame_bytes);
        if (room == NULL)
            return;
        memcpy(room, frame_of(slot), slot->frame_bytes);
        slot->sends++;
        slot->sent = true;
        client->unsent = slot->next;
    }
}

static bool has_unsent(const struct hf_client *client)
{
    return client->unsent != NO_SLOT || client->watches.unsent;
}

/* 0, or why the connection cannot be written to any more. */
static int send_requests(struct hf_client *client)
{
    int error = 0;
    do {
        encode_unsent(client);
        error = hf_client_connection_send(&client->connection);
    } while (error == 0 && has_unsent(client));
    return error == -EAGAIN ? 0 : error;
}

/* Takes every whole frame that has arrived. False if what has arrived is no reply of ours. */
static bool take_replies(struct hf_client *client)
{
    for (;;) {
        struct hf_frame frame;
        const uint8_t *bytes;
        int taken = hf_client_connection_next_frame(&client->connection, &frame, &bytes);
        if (taken == 0)
            return true;
        if (taken < 0 || !take_reply(client, &frame, bytes))
            return false;
    }
}

/* Receives and answers. False if the connection was lost. */
static bool receive_replies(struct hf_client *client)
{
    for (unsigned i = 0; i < RECEIVES_PER_PROCESS; i++) {
        int got = hf_client_connection_receive(&client->connection);
        if (got == -EAGAIN)
            return true;
        if (got < 0) {
            lose_connection_by_error(client, got);
            return false;
        }
        if (!take_replies(client)) {
            lose_connection(client, "the server sent what is not a reply");
            return false;
        }
    }
    return true;
}

/*
 * Sends, receives, and sends what callbacks submitted. A server that closes may have answered
 * before: when sending fails, everything that has arrived is still taken before the connection
 * goes.
 */
static void exchange(struct hf_client *client)
{
    int error = send_requests(client);
    if (!receive_replies(client))
        return;
    if (error == 0 && has_unsent(client))
        error = send_requests(client);
    if (error != 0)
        lose_connection_by_error(client, error);
}

int hf_client_process(struct hf_client *client)
{
    HF_CHECK(!client->processing);
    client->processing = true;
    unsigned answered_before = client->answered;
    hf_client_connection_advance(&client->connection, hf_monotonic_now_ns());
    if (client->connection.link == HF_CLIENT_UP)
        exchange(client);
    end_expired(client);
    client->processing = false;
    return (int)(client->answered - answered_before);
}

/* ---- life ------------------------------------------------------------------------------- */

static uint64_t ms_to_ns(uint32_t ms)
{
    return ms * HF_NS_PER_MS;
}

static uint64_t ms_or(uint32_t ms, uint32_t default_ms)
{
    return ms_to_ns(ms == 0 ? default_ms : ms);
}

int hf_client_open(const struct hf_client_options *options, struct hf_client **client)
{
    static const struct hf_client_options defaults;
    if (options == NULL)
        options = &defaults;
    struct hf_client *opened = malloc(sizeof *opened);
    if (opened == NULL)
        return -ENOMEM;
    memset(opened, 0, offsetof(struct hf_client, connection));
    opened->request_timeout_ns = ms_or(options->request_timeout_ms, DEFAULT_REQUEST_TIMEOUT_MS);
    opened->free = opened->head = opened->tail = opened->unsent = NO_SLOT;
    int error = hf_client_connection_open(
        &opened->connection, options->server == NULL ? DEFAULT_SERVER : options->server,
        ms_or(options->connect_timeout_ms, DEFAULT_CONNECT_TIMEOUT_MS),
        ms_or(options->reconnect_delay_ms, DEFAULT_RECONNECT_DELAY_MS));
    if (error != 0) {
        free(opened);
        return error;
    }
    *client = opened;
    return 0;
}

void hf_client_close(struct hf_client *client)
{
    if (client == NULL)
        return;
    HF_CHECK(!client->processing);
    client->closing = true; /* a callback that submits again and again must not keep us here */
    while (client->head != NO_SLOT)
        answer_unanswered(client, client->head);
    hf_client_connection_close(&client->connection);
    hf_client_watches_free(&client->watches);
    free(client->lists);
    free(client->sync_lists);
    free(client->slots);
    free(client);
}

/* ---- requests --------------------------------------------------------------------------- */

/* True for operations whose yes has a list. */
static bool has_list(enum hf_operation operation)
{
    return operation == HF_OP_INVENTORY_LIST || operation == HF_OP_AVAILABILITY ||
           operation == HF_OP_BATCH || operation == HF_OP_RESERVATION_LIST ||
           operation == HF_OP_HISTORY;
}

static bool have_lists(struct hf_reply_scratch **lists)
{
    if (*lists == NULL)
        *lists = malloc(sizeof **lists);
    return *lists != NULL;
}

static bool is_claim(unsigned operation)
{
    return operation == HF_OP_RESERVE || operation == HF_OP_HOLD || operation == HF_OP_JOIN;
}

/* Makes the id at `bytes` if it is zero and that of a claim. */
static void make_id_at(uint8_t *bytes, unsigned operation, struct hf_id *used)
{
    struct hf_id id;
    memcpy(id.bytes, bytes, sizeof id.bytes);
    if (is_claim(operation) && hf_id_is_zero(&id)) {
        hf_id_make(&id);
        memcpy(bytes, id.bytes, sizeof id.bytes);
    }
    if (used != NULL)
        *used = id;
}

/* Makes the ids that an encoded request leaves to us: then it can be sent again. */
static void make_ids(uint8_t *frame, const struct hf_request *request, struct hf_id *used_ids)
{
    if (is_claim(request->operation))
        make_id_at(frame + 16, request->operation, used_ids);
    if (request->operation != HF_OP_BATCH)
        return;
    for (uint32_t i = 0; i < request->count; i++) {
        uint8_t *line = frame + HF_BATCH_HEADER_BYTES + (size_t)i * HF_BATCH_LINE_BYTES;
        make_id_at(line + 8, line[0], used_ids == NULL ? NULL : &used_ids[i]);
    }
}

/* Room for a frame. False: out of memory. */
static bool make_frame(struct slot *slot, size_t frame_bytes)
{
    slot->large = NULL;
    if (frame_bytes > sizeof slot->small)
        slot->large = malloc(frame_bytes);
    return frame_bytes <= sizeof slot->small || slot->large != NULL;
}

int hf_client_submit(struct hf_client *client, const struct hf_request *request,
                     hf_client_callback *callback, void *context, struct hf_id *used_id)
{
    if (client->closing)
        return -ESHUTDOWN;
    size_t frame_bytes = hf_request_encoded_bytes(request);
    if (frame_bytes == 0 || request->operation == HF_OP_SUBSCRIBE ||
        request->operation == HF_OP_UNSUBSCRIBE)
        return -EINVAL;
    if (has_list(request->operation) && !have_lists(&client->lists))
        return -ENOMEM;
    if (client->free == NO_SLOT && !grow_slots(client))
        return -ENOMEM;
    uint32_t index = client->free;
    struct slot *slot = &client->slots[index];
    if (!make_frame(slot, frame_bytes))
        return -ENOMEM;
    client->free = slot->next;
    slot->sends = 0;
    slot->sent = slot->refused = false;
    slot->deadline_ns = hf_monotonic_now_ns() + client->request_timeout_ns;
    slot->callback = callback;
    slot->context = context;
    slot->frame_bytes = (uint32_t)frame_bytes;
    hf_request_encode(frame_of(slot), request, slot_tag(client, index));
    make_ids(frame_of(slot), request, used_id);
    append_slot(client, index);
    return 0;
}

int hf_client_watch(struct hf_client *client, const struct hf_request *request,
                    hf_client_watch_callback *callback, void *context)
{
    if (client->closing)
        return -ESHUTDOWN;
    return hf_client_watches_add(&client->watches, request, callback, context);
}

void hf_client_unwatch(struct hf_client *client, hf_client_watch_callback *callback, void *context)
{
    hf_client_watches_end(&client->watches, callback, context);
}

/* ---- waiting ---------------------------------------------------------------------------- */

int hf_client_fd(const struct hf_client *client)
{
    return client->connection.fd;
}

short hf_client_events(const struct hf_client *client)
{
    short events = hf_client_connection_events(&client->connection);
    if (client->connection.link == HF_CLIENT_UP && has_unsent(client))
        events |= POLLOUT;
    return events;
}

/* Rounded up: waking a little late is better than waking early to find nothing to do. */
static int ms_until(uint64_t date_ns, uint64_t now_ns)
{
    if (date_ns <= now_ns)
        return 0;
    uint64_t ms = (date_ns - now_ns + HF_NS_PER_MS - 1) / HF_NS_PER_MS;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

int hf_client_timeout_ms(const struct hf_client *client)
{
    uint64_t next_ns = UINT64_MAX;
    if (client->connection.link != HF_CLIENT_UP)
        next_ns = client->connection.wake_at_ns;
    if (client->head != NO_SLOT && client->slots[client->head].deadline_ns < next_ns)
        next_ns = client->slots[client->head].deadline_ns;
    return next_ns == UINT64_MAX ? -1 : ms_until(next_ns, hf_monotonic_now_ns());
}

int hf_client_wait(struct hf_client *client, int timeout_ms)
{
    uint64_t deadline_ns = UINT64_MAX;
    if (timeout_ms >= 0)
        deadline_ns = hf_monotonic_now_ns() + ms_to_ns((uint32_t)timeout_ms);
    for (;;) {
        int answered = hf_client_process(client);
        if (answered > 0)
            return answered;
        int wait_ms = hf_client_timeout_ms(client);
        if (deadline_ns != UINT64_MAX) {
            int left_ms = ms_until(deadline_ns, hf_monotonic_now_ns());
            if (left_ms == 0)
                return 0;
            if (wait_ms < 0 || left_ms < wait_ms)
                wait_ms = left_ms;
        }
        struct pollfd ready = {.fd = hf_client_fd(client), .events = hf_client_events(client)};
        /* Whatever it returns, an interruption too, process() finds out what can be done. */
        (void)poll(&ready, 1, wait_ms);
    }
}

size_t hf_client_outstanding(const struct hf_client *client)
{
    return client->outstanding;
}

bool hf_client_connected(const struct hf_client *client)
{
    return client->connection.link == HF_CLIENT_UP;
}

unsigned hf_client_connects(const struct hf_client *client)
{
    return client->connection.connects;
}

const char *hf_client_last_error(const struct hf_client *client)
{
    return client->connection.error;
}

/* ---- one at a time ---------------------------------------------------------------------- */

struct sync_call {
    struct hf_client *client;
    struct hf_reply *reply;
    bool done;
};

/* client->lists belongs to whichever reply comes next, perhaps in this very process(). */
static void keep_lists(struct hf_reply_scratch *kept, struct hf_reply *reply)
{
    if (reply->inventories != NULL) {
        memcpy(kept->inventories, reply->inventories, reply->count * sizeof *reply->inventories);
        reply->inventories = kept->inventories;
    }
    if (reply->entries != NULL) {
        memcpy(kept->entries, reply->entries, reply->count * sizeof *reply->entries);
        reply->entries = kept->entries;
    }
    if (reply->availability != NULL) {
        memcpy(kept->availability, reply->availability, reply->count * sizeof *reply->availability);
        reply->availability = kept->availability;
    }
}

static void end_sync_call(void *context, const struct hf_reply *reply)
{
    struct sync_call *call = context;
    *call->reply = *reply;
    call->done = true;
    keep_lists(call->client->sync_lists, call->reply);
}

unsigned hf_client_call_sync(struct hf_client *client, const struct hf_request *request,
                             struct hf_reply *reply)
{
    struct sync_call call = {.client = client, .reply = reply};
    int error = 0;
    if (has_list(request->operation) && !have_lists(&client->sync_lists))
        error = -ENOMEM;
    if (error == 0)
        error = hf_client_submit(client, request, end_sync_call, &call, NULL);
    if (error != 0) {
        /* It was never sent, and that is what NOT_CONNECTED tells. */
        *reply = (struct hf_reply){.operation = request->operation, .result = HF_NOT_CONNECTED};
        snprintf(client->connection.error, sizeof client->connection.error, "%s",
                 error == -ENOMEM ? "out of memory" : "not a request of this protocol");
        return reply->result;
    }
    while (!call.done)
        (void)hf_client_wait(client, -1);
    return reply->result;
}
