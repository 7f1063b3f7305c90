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
 */
#include "holdfast/client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "net/client_connection.h"
#include "net/codec.h"

#define DEFAULT_SERVER             "127.0.0.1:7411"
#define DEFAULT_CONNECT_TIMEOUT_MS 1000
#define DEFAULT_REQUEST_TIMEOUT_MS 5000
#define DEFAULT_RECONNECT_DELAY_MS 10
#define FIRST_SLOT_COUNT           16
#define NO_SLOT                    UINT32_MAX
/* One process() receives at most so often, so that a fast server cannot keep it from returning. */
#define RECEIVES_PER_PROCESS 64

struct slot {
    uint32_t generation;  /* of the tag; grows when the slot is freed, never zero */
    uint32_t next;        /* in the list of the unanswered, or of the free */
    uint32_t previous;    /* in the list of the unanswered */
    uint32_t sends;       /* on how many connections it was encoded */
    uint32_t frame_bytes; /* 0: the slot is free */
    uint64_t deadline_ns;
    hf_client_callback *callback;
    void *context;
    uint8_t frame[HF_RESERVE_BYTES]; /* encoded once, sent as often as needed */
};

struct hf_client {
    uint64_t request_timeout_ns;
    struct slot *slots;
    uint32_t slot_count;
    uint32_t free;               /* list */
    uint32_t head, tail, unsent; /* list of the unanswered */
    size_t outstanding;
    unsigned answered; /* since the client was opened; compared for difference only */
    bool processing, closing;
    struct hf_inventory *page;              /* room for the page that a reply holds */
    struct hf_inventory *sync_page;         /* the page that hf_client_call_sync() returned last */
    struct hf_client_connection connection; /* last: its buffers are not cleared */
};

/* ---- slots ------------------------------------------------------------------------------ */

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
    slot->frame_bytes = 0;
    slot->generation += slot->generation == UINT32_MAX ? 2 : 1;
    slot->next = client->free;
    client->free = index;
    HF_CHECK(client->outstanding > 0);
    client->outstanding--;
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
    const struct slot *slot = &client->slots[index];
    struct hf_frame frame;
    hf_frame_read(slot->frame, &frame);
    struct hf_reply reply = {.operation = (enum hf_operation)frame.operation,
                             .result = slot->sends > 0 ? HF_OUTCOME_UNKNOWN : HF_NOT_CONNECTED};
    answer(client, index, &reply);
}

/* One frame from the server. False if it cannot be a reply to anything this client asked. */
static bool take_reply(struct hf_client *client, const struct hf_frame *frame, const uint8_t *bytes)
{
    uint32_t index = (uint32_t)frame->tag;
    uint32_t generation = (uint32_t)(frame->tag >> 32);
    if (index >= client->slot_count)
        return false;
    const struct slot *slot = &client->slots[index];
    if (slot->frame_bytes == 0 || slot->generation != generation)
        /* The request has ended already: a late reply, if the tag was ever given out. */
        return generation >= 1 && generation < slot->generation;
    struct hf_frame asked;
    hf_frame_read(slot->frame, &asked);
    struct hf_reply reply;
    if (slot->sends == 0 || frame->operation != (asked.operation | HF_REPLY_BIT) ||
        !hf_reply_decode(bytes, frame, &reply, client->page))
        return false;
    hf_client_connection_praise(&client->connection);
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

static void lose_connection(struct hf_client *client, const char *reason)
{
    hf_client_connection_drop(&client->connection, hf_monotonic_now_ns(), reason);
    client->unsent = client->head;
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

/* Moves requests into the output as far as there is room. */
static void encode_unsent(struct hf_client *client)
{
    while (client->unsent != NO_SLOT) {
        struct slot *slot = &client->slots[client->unsent];
        uint8_t *room = hf_client_connection_reserve(&client->connection, slot->frame_bytes);
        if (room == NULL)
            return;
        memcpy(room, slot->frame, slot->frame_bytes);
        slot->sends++;
        client->unsent = slot->next;
    }
}

/* 0, or why the connection cannot be written to any more. */
static int send_requests(struct hf_client *client)
{
    int error = 0;
    do {
        encode_unsent(client);
        error = hf_client_connection_send(&client->connection);
    } while (error == 0 && client->unsent != NO_SLOT);
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
    if (error == 0 && client->unsent != NO_SLOT)
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
    free(client->page);
    free(client->sync_page);
    free(client->slots);
    free(client);
}

/* ---- requests --------------------------------------------------------------------------- */

static bool have_page(struct hf_inventory **page)
{
    if (*page == NULL)
        *page = malloc(HF_MAX_LIST_ENTRIES * sizeof **page);
    return *page != NULL;
}

int hf_client_submit(struct hf_client *client, const struct hf_request *request,
                     hf_client_callback *callback, void *context, struct hf_id *used_id)
{
    if (client->closing)
        return -ESHUTDOWN;
    struct hf_request sent = *request;
    if (sent.operation == HF_OP_RESERVE && hf_id_is_zero(&sent.id))
        hf_id_make(&sent.id);
    if (hf_request_bytes(sent.operation) == 0)
        return -EINVAL;
    if (sent.operation == HF_OP_INVENTORY_LIST && !have_page(&client->page))
        return -ENOMEM;
    if (client->free == NO_SLOT && !grow_slots(client))
        return -ENOMEM;
    uint32_t index = client->free;
    struct slot *slot = &client->slots[index];
    client->free = slot->next;
    slot->sends = 0;
    slot->deadline_ns = hf_monotonic_now_ns() + client->request_timeout_ns;
    slot->callback = callback;
    slot->context = context;
    slot->frame_bytes = (uint32_t)hf_request_encode(slot->frame, &sent, slot_tag(client, index));
    append_slot(client, index);
    if (used_id != NULL && sent.operation == HF_OP_RESERVE)
        *used_id = sent.id;
    return 0;
}

/* ---- waiting ---------------------------------------------------------------------------- */

int hf_client_fd(const struct hf_client *client)
{
    return client->connection.fd;
}

short hf_client_events(const struct hf_client *client)
{
    short events = hf_client_connection_events(&client->connection);
    if (client->connection.link == HF_CLIENT_UP && client->unsent != NO_SLOT)
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

static void end_sync_call(void *context, const struct hf_reply *reply)
{
    struct sync_call *call = context;
    *call->reply = *reply;
    call->done = true;
    if (reply->inventories == NULL)
        return;
    /* client->page belongs to whichever reply comes next, perhaps in this very process(). */
    memcpy(call->client->sync_page, reply->inventories, reply->count * sizeof *reply->inventories);
    call->reply->inventories = call->client->sync_page;
}

unsigned hf_client_call_sync(struct hf_client *client, const struct hf_request *request,
                             struct hf_reply *reply)
{
    struct sync_call call = {.client = client, .reply = reply};
    int error = 0;
    if (request->operation == HF_OP_INVENTORY_LIST && !have_page(&client->sync_page))
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
