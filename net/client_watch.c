/* The watches of a client: see client_watch.h. */
#include "net/client_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

#define FROM_LSN_AT       16 /* in SUBSCRIBE */
#define UNSUBSCRIBE_BYTES 24

enum watch_state {
    WATCH_IDLE,  /* not on this connection yet */
    WATCH_ASKED, /* SUBSCRIBE was encoded */
    WATCH_OPEN,  /* SUBSCRIBED came */
    WATCH_ENDING,
};

struct hf_client_watch {
    struct hf_client_watch *next;
    uint32_t number;
    enum watch_state state;
    bool on_connection; /* SUBSCRIBE was encoded on this one */
    uint32_t sends;     /* on how many connections it was */
    uint64_t next_lsn;  /* 0: from now on, whenever that will be */
    hf_client_watch_callback *callback;
    void *context;
    uint32_t frame_bytes;
    uint8_t frame[]; /* SUBSCRIBE; from_lsn is put in when it is sent */
};

static uint64_t tag_of(const struct hf_client_watch *watch)
{
    return (uint64_t)watch->number << 32 | HF_CLIENT_WATCH_TAG;
}

/* ---- making and ending ------------------------------------------------------------------ */

int hf_client_watches_add(struct hf_client_watches *watches, const struct hf_request *request,
                          hf_client_watch_callback *callback, void *context)
{
    size_t bytes = hf_request_encoded_bytes(request);
    if (request->operation != HF_OP_SUBSCRIBE || bytes == 0 || callback == NULL)
        return -EINVAL;
    struct hf_client_watch *watch = malloc(sizeof *watch + bytes);
    if (watch == NULL)
        return -ENOMEM;
    *watch = (struct hf_client_watch){.number = ++watches->last_number,
                                      .state = WATCH_IDLE,
                                      .next_lsn = request->from_lsn,
                                      .callback = callback,
                                      .context = context,
                                      .frame_bytes = (uint32_t)bytes};
    hf_request_encode(watch->frame, request, tag_of(watch));
    struct hf_client_watch **place = &watches->first;
    while (*place != NULL)
        place = &(*place)->next;
    *place = watch;
    watches->unsent = true;
    return 0;
}

static void end(struct hf_client_watches *watches, struct hf_client_watch *watch)
{
    watch->state = WATCH_ENDING;
    watches->unsent = true;
}

void hf_client_watches_end(struct hf_client_watches *watches, hf_client_watch_callback *callback,
                           void *context)
{
    for (struct hf_client_watch *watch = watches->first; watch != NULL; watch = watch->next)
        if (watch->callback == callback && watch->context == context)
            end(watches, watch);
}

static void forget(struct hf_client_watches *watches, struct hf_client_watch *watch)
{
    struct hf_client_watch **place = &watches->first;
    while (*place != watch)
        place = &(*place)->next;
    *place = watch->next;
    free(watch);
}

void hf_client_watches_free(struct hf_client_watches *watches)
{
    while (watches->first != NULL)
        forget(watches, watches->first);
}

/* ---- sending ---------------------------------------------------------------------------- */

static bool encode_subscribe(struct hf_client_watch *watch, struct hf_client_connection *connection)
{
    uint8_t *room = hf_client_connection_reserve(connection, watch->frame_bytes);
    if (room == NULL)
        return false;
    memcpy(room, watch->frame, watch->frame_bytes);
    hf_put_u64(room + FROM_LSN_AT, watch->next_lsn);
    watch->state = WATCH_ASKED;
    watch->on_connection = true;
    watch->sends++;
    return true;
}

static bool encode_unsubscribe(const struct hf_client_watch *watch,
                               struct hf_client_connection *connection)
{
    uint8_t *room = hf_client_connection_reserve(connection, UNSUBSCRIBE_BYTES);
    if (room == NULL)
        return false;
    struct hf_request request = {.operation = HF_OP_UNSUBSCRIBE, .watch_tag = tag_of(watch)};
    HF_CHECK(hf_request_encode(room, &request, tag_of(watch)) == UNSUBSCRIBE_BYTES);
    return true;
}

bool hf_client_watches_encode(struct hf_client_watches *watches,
                              struct hf_client_connection *connection)
{
    if (!watches->unsent)
        return true;
    struct hf_client_watch *watch = watches->first, *next;
    for (; watch != NULL; watch = next) {
        next = watch->next;
        if (watch->state == WATCH_IDLE && !encode_subscribe(watch, connection))
            return false;
        if (watch->state != WATCH_ENDING)
            continue;
        if (watch->on_connection && !encode_unsubscribe(watch, connection))
            return false;
        forget(watches, watch);
    }
    watches->unsent = false;
    return true;
}

void hf_client_watches_lose(struct hf_client_watches *watches)
{
    for (struct hf_client_watch *watch = watches->first; watch != NULL; watch = watch->next) {
        watch->on_connection = false; /* and so is the subscription: one that ends is just gone */
        if (watch->state != WATCH_ENDING)
            watch->state = WATCH_IDLE;
        watches->unsent = true;
    }
}

/* ---- receiving -------------------------------------------------------------------------- */

static struct hf_client_watch *find(const struct hf_client_watches *watches, uint32_t number)
{
    struct hf_client_watch *watch = watches->first;
    while (watch != NULL && watch->number != number)
        watch = watch->next;
    return watch;
}

/* True if the records come behind those that were told, in order, and before next_lsn. */
static bool records_continue(const struct hf_client_watch *watch, const struct hf_reply *reply)
{
    uint64_t next_lsn = watch->next_lsn;
    for (uint32_t i = 0; i < reply->count; i++) {
        uint64_t lsn = hf_get_u64(reply->records + (size_t)i * HF_FRAME_RECORD_BYTES);
        if (lsn < next_lsn || lsn == UINT64_MAX)
            return false;
        next_lsn = lsn + 1;
    }
    return next_lsn <= reply->next_lsn;
}

/* True if the frame can follow what came before. */
static bool continues(const struct hf_client_watch *watch, const struct hf_reply *reply)
{
    if (hf_result_group(reply->result) != HF_GROUP_YES)
        return true;
    if (watch->state == WATCH_ASKED)
        return reply->result == HF_SUBSCRIBED && reply->count == 0 && reply->next_lsn != 0 &&
               (watch->next_lsn == 0 || watch->next_lsn == reply->next_lsn);
    return reply->result != HF_SUBSCRIBED && records_continue(watch, reply);
}

int hf_client_watches_take(struct hf_client_watches *watches, const struct hf_frame *frame,
                           const uint8_t *bytes)
{
    struct hf_reply reply;
    uint32_t number = (uint32_t)(frame->tag >> 32);
    if (number == 0 || number > watches->last_number ||
        !hf_reply_decode(bytes, frame, &reply, NULL))
        return -EBADMSG;
    struct hf_client_watch *watch = find(watches, number);
    if (watch == NULL || watch->state == WATCH_ENDING)
        return 0;
    if (reply.operation != HF_OP_SUBSCRIBE || !watch->on_connection || !continues(watch, &reply))
        return -EBADMSG;
    if (reply.result == HF_NOT_READY && watch->state == WATCH_ASKED)
        watch->sends--; /* it has not begun here */
    reply.resent = watch->sends > 1;
    if (reply.result == HF_SHUTTING_DOWN || reply.result == HF_NOT_READY)
        return 0; /* the connection is about to end, and the watch to go on elsewhere */
    bool yes = hf_result_group(reply.result) == HF_GROUP_YES;
    bool last = !yes || reply.result == HF_UNSUBSCRIBED;
    if (yes)
        watch->next_lsn = reply.next_lsn;
    watch->state = last ? WATCH_ENDING : WATCH_OPEN;
    if (last)
        watch->on_connection = false; /* the server knows it no more */
    if (!watch->callback(watch->context, &reply) || last)
        end(watches, watch);
    return 1;
}
