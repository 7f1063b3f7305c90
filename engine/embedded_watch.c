/*
 * Watching and history in the embedded API: see include/holdfast/embedded.h.
 *
 * Built on the same watch and history as the server's, without a thread of its own: whoever asks
 * reads, in the calling thread, from memory or from the files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/embedded_log.h"
#include "engine/history.h"
#include "engine/request.h"
#include "engine/watch.h"
#include "wal/recent.h"

struct hf_embedded_watch {
    struct hf_embedded *db;
    struct hf_tail_reader *reader;
    struct hf_watch watch;
    struct hf_watch_batch batch;
    uint32_t count; /* records that are still to be told */
    uint8_t records[HF_WATCH_BATCH_RECORDS * HF_RECORD_BYTES];
};

static struct hf_log *log_of(struct hf_embedded *db)
{
    return &hf_embedded_store(db)->log;
}

static uint64_t limit_of(struct hf_embedded *db)
{
    return hf_tail_limit(&log_of(db)->flusher);
}

static int open_reader(struct hf_embedded *db, struct hf_tail_reader **reader)
{
    struct hf_tail_log log = hf_tail_log_of(log_of(db), &log_of(db)->recent);
    return hf_tail_reader_open(reader, &log);
}

static unsigned tell(struct hf_reply *reply, enum hf_operation operation, unsigned result,
                     uint64_t next_lsn)
{
    *reply = (struct hf_reply){.operation = operation, .result = result, .next_lsn = next_lsn};
    return result;
}

/* ---- watching ---- */

/* What the first look at the log says about the LSN that was asked for. */
static unsigned look_first(struct hf_embedded_watch *watch, struct hf_reply *reply)
{
    struct hf_tail_span span;
    enum hf_tail_read read;
    watch->watch.tail.next_lsn = watch->watch.next_lsn;
    do
        read = hf_tail_look(&watch->watch.tail, watch->reader, limit_of(watch->db), watch->records,
                            HF_WATCH_BATCH_RECORDS, &span);
    while (read == HF_TAIL_AGAIN);
    if (read == HF_TAIL_RECORDS || read == HF_TAIL_END)
        return tell(reply, HF_OP_SUBSCRIBE, HF_SUBSCRIBED, watch->watch.next_lsn);
    return tell(reply, HF_OP_SUBSCRIBE, HF_LSN_NOT_KEPT, hf_tail_first_lsn(watch->reader));
}

static unsigned refuse_request(struct hf_reply *reply, enum hf_operation operation,
                               enum hf_field field)
{
    tell(reply, operation, HF_BAD_FIELD, 0);
    reply->field = field;
    return HF_BAD_FIELD;
}

unsigned hf_embedded_watch_open(struct hf_embedded *db, const struct hf_request *request,
                                struct hf_embedded_watch **opened, struct hf_reply *reply)
{
    enum hf_field field = HF_FIELD_NONE;
    unsigned line;
    *opened = NULL;
    if (request->operation != HF_OP_SUBSCRIBE)
        return refuse_request(reply, request->operation, HF_FIELD_OPERATION);
    if (hf_request_check(request, &field, &line) != HF_OK)
        return refuse_request(reply, HF_OP_SUBSCRIBE, field);
    /* Acquire, pairs with hf_ring_reserve(): nobody has seen an LSN behind it. */
    if (request->from_lsn > hf_load_acquire(&log_of(db)->ring.tail))
        return refuse_request(reply, HF_OP_SUBSCRIBE, HF_FIELD_CURSOR);
    struct hf_embedded_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return tell(reply, HF_OP_SUBSCRIBE, HF_SUBSCRIPTIONS_FULL, 0);
    watch->db = db;
    hf_recent_follow(&log_of(db)->recent);
    uint64_t from_lsn = request->from_lsn != 0 ? request->from_lsn : limit_of(db) + 1;
    unsigned result = HF_SUBSCRIPTIONS_FULL;
    if (hf_watch_init(&watch->watch, request->kind, request->ids, request->count, from_lsn) == 0 &&
        open_reader(db, &watch->reader) == 0)
        result = look_first(watch, reply);
    else
        tell(reply, HF_OP_SUBSCRIBE, result, 0);
    if (result == HF_SUBSCRIBED)
        *opened = watch;
    else
        hf_embedded_watch_close(watch);
    return result;
}

void hf_embedded_watch_close(struct hf_embedded_watch *watch)
{
    if (watch == NULL)
        return;
    hf_recent_unfollow(&log_of(watch->db)->recent);
    hf_watch_close(&watch->watch);
    hf_tail_reader_close(watch->reader);
    free(watch);
}

/* Tells the records that wait for it. */
static unsigned tell_records(struct hf_embedded_watch *watch, struct hf_reply *reply)
{
    tell(reply, HF_OP_SUBSCRIBE, HF_RECORDS, watch->watch.next_lsn);
    reply->count = watch->count;
    reply->records = watch->records;
    watch->count = 0;
    return HF_RECORDS;
}

/* One batch. 0: nothing to tell yet. */
static unsigned next_batch(struct hf_embedded_watch *watch, struct hf_reply *reply)
{
    uint64_t from_lsn = watch->watch.next_lsn;
    switch (hf_watch_next(&watch->watch, watch->reader, &watch->batch, limit_of(watch->db),
                          watch->records, &watch->count)) {
    case HF_TAIL_RECORDS:
        break;
    case HF_TAIL_NOT_KEPT:
    case HF_TAIL_FAILED:
        return tell(reply, HF_OP_SUBSCRIBE, HF_LSN_NOT_KEPT, hf_tail_first_lsn(watch->reader));
    default:
        return 0;
    }
    if (watch->watch.fell_behind) { /* first; the records wait for the next call */
        watch->watch.fell_behind = false;
        return tell(reply, HF_OP_SUBSCRIBE, HF_FELL_BEHIND, from_lsn);
    }
    return watch->count != 0 ? tell_records(watch, reply) : 0;
}

unsigned hf_embedded_watch_next(struct hf_embedded_watch *watch, struct hf_reply *reply,
                                uint64_t timeout_ns)
{
    uint64_t began_ns = hf_monotonic_now_ns();
    if (watch->count != 0)
        return tell_records(watch, reply);
    for (;;) {
        unsigned result = next_batch(watch, reply);
        if (result != 0)
            return result;
        uint64_t passed_ns = hf_monotonic_now_ns() - began_ns;
        if (passed_ns >= timeout_ns)
            return tell_records(watch, reply); /* none */
        uint64_t left_ns = timeout_ns == UINT64_MAX ? UINT64_MAX : timeout_ns - passed_ns;
        hf_embedded_wait(watch->db, watch->watch.next_lsn, left_ns);
    }
}

/* ---- history ---- */

/* Reads the page. False: it could not be read. */
static bool read_history(struct hf_embedded *db, struct hf_history *history, struct hf_reply *reply)
{
    struct hf_tail_reader *reader;
    if (open_reader(db, &reader) != 0) {
        tell(reply, HF_OP_HISTORY, HF_SUBSCRIPTIONS_FULL, 0);
        return false;
    }
    enum hf_tail_read read;
    do
        read = hf_history_step(history, reader);
    while (read == HF_TAIL_AGAIN);
    if (read == HF_TAIL_FAILED)
        tell(reply, HF_OP_HISTORY, HF_LSN_NOT_KEPT, hf_tail_first_lsn(reader));
    hf_tail_reader_close(reader);
    return read == HF_TAIL_END;
}

unsigned hf_session_history(struct hf_session *session, const struct hf_request *request,
                            struct hf_reservation_entry *entries, struct hf_reply *reply)
{
    enum hf_field field = HF_FIELD_NONE;
    unsigned line;
    if (request->operation != HF_OP_HISTORY)
        return refuse_request(reply, request->operation, HF_FIELD_OPERATION);
    if (hf_request_check(request, &field, &line) != HF_OK)
        return refuse_request(reply, HF_OP_HISTORY, field);
    struct hf_embedded *db = hf_session_embedded(session);
    struct hf_request get = {.operation = HF_OP_RESERVATION_GET, .id = request->id};
    uint64_t lsn;
    if (hf_session_call(session, &get, reply, &lsn) != HF_FOUND) {
        reply->operation = HF_OP_HISTORY;
        return reply->result;
    }
    struct hf_reservation newest = reply->reservation;
    hf_embedded_wait(db, newest.lsn, UINT64_MAX);
    struct hf_history history;
    if (hf_history_init(&history, &newest, request->from, entries, request->limit) != 0)
        return tell(reply, HF_OP_HISTORY, HF_SUBSCRIPTIONS_FULL, 0);
    if (read_history(db, &history, reply)) {
        tell(reply, HF_OP_HISTORY, HF_FOUND, 0);
        reply->next = history.next;
        reply->count = history.count;
        reply->entries = entries;
    }
    hf_history_close(&history);
    return reply->result;
}
