/*
 * The embedded API: Holdfast inside a process of yours, with no network.
 *
 * Open a directory; open a session for each thread; call; wait for commit; close. One process at a
 * time may have a directory open, a server included.
 *
 *     struct hf_embedded *db;
 *     char error[HF_EMBEDDED_ERROR_BYTES];
 *     if (hf_embedded_open(&(struct hf_embedded_options){.directory = "data"}, &db, error) != 0)
 *         ...
 *     struct hf_session *session;
 *     hf_session_open(db, &session);
 *     struct hf_request request = {.operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 7,
 *                                  .qty = 1};
 *     hf_id_make(&request.id);
 *     struct hf_reply reply;
 *     uint64_t lsn;
 *     if (hf_session_call(session, &request, &reply, &lsn) == HF_GRANTED) {
 *         hf_session_wait(session, lsn);
 *         ... only now tell the customer ...
 *     }
 *     hf_session_close(session);
 *     hf_embedded_close(db);
 */
#ifndef HOLDFAST_EMBEDDED_H
#define HOLDFAST_EMBEDDED_H

#include "holdfast/message.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HF_EMBEDDED_ERROR_BYTES 512

struct hf_embedded;
struct hf_session;

/* How a log write is made durable; `holdfastd --log-writes` says the same. */
enum hf_embedded_log_writes {
    HF_EMBEDDED_LOG_WRITES_AUTO,   /* as the disk does best, which is tried out: about 10 ms */
    HF_EMBEDDED_LOG_WRITES_DIRECT, /* one direct, data-synced write; an error without direct I/O */
    HF_EMBEDDED_LOG_WRITES_SYNC,   /* a write, and then fdatasync */
};

struct hf_embedded_options {
    const char *directory;    /* made if it is missing */
    uint32_t max_inventories; /* 0: 65536 */
    uint32_t
        max_reservations;     /* 0: 16777216; memory is paid as it is used, but 4 to 8 bytes each */
    uint64_t segment_bytes;   /* of a new log: 1 MiB .. 2 GiB, a multiple of 4096; 0: 16 MiB */
    uint32_t writes_inflight; /* log writes at once, 1 .. 8; 0: as is best */
    uint64_t retain_ns;       /* how long finished reservations are kept; 0: 24 h */
    enum hf_embedded_log_writes log_writes; /* 0: AUTO */
    bool memory; /* commit when the log's buffer has the record; the disk has it within 10 ms, and a
                    crash before that loses it */
};

/*
 * Opens or creates; recovers what the log holds; starts one thread, which writes the log. Blocks.
 * 0, or -errno with a line in `error` that says what to do. If the log cannot be written later, the
 * process ends with status 70: nothing that is not durable is ever acknowledged (FAIL-STOP).
 */
int hf_embedded_open(const struct hf_embedded_options *options, struct hf_embedded **db,
                     char error[HF_EMBEDDED_ERROR_BYTES]);

/* All sessions are closed. Waits until everything is durable, ends the log cleanly, frees.
 * 0 or -errno. */
int hf_embedded_close(struct hf_embedded *db);

/* One session belongs to one thread at a time; different sessions are independent. 0, -ENOMEM, or
 * -EAGAIN: there are 1023 sessions already. */
int hf_session_open(struct hf_embedded *db, struct hf_session **session);
void hf_session_close(struct hf_session *session);

/*
 * Executes any request about reservations and inventories; for HISTORY and watching see below.
 * Returns reply->result; lists of the answer stand until the session's next call. What it says may
 * be told to anyone only when *wait_for_lsn is committed (ACK-AFTER-COMMIT); 0: at once. Does not
 * block, but for a full log (while the disk catches up): for at most a second while nothing moves at
 * all, then it answers OVERLOADED, and nothing was done.
 */
unsigned hf_session_call(struct hf_session *session, const struct hf_request *request,
                         struct hf_reply *reply, uint64_t *wait_for_lsn);

/* Blocks until this LSN is committed. */
void hf_session_wait(struct hf_session *session, uint64_t lsn);

/*
 * Watching: committed changes in order, from an LSN on, as SUBSCRIBE gives them (docs/protocol.md).
 *
 *     struct hf_request request = {.operation = HF_OP_SUBSCRIBE, .from_lsn = 1};
 *     struct hf_embedded_watch *watch;
 *     if (hf_embedded_watch_open(db, &request, &watch, &reply) == HF_SUBSCRIBED)
 *         while (hf_embedded_watch_next(watch, &reply, UINT64_MAX) != HF_LSN_NOT_KEPT)
 *             ... reply.count records at reply.records, 128 bytes each ...
 *     hf_embedded_watch_close(watch);
 *
 * A watch belongs to one thread at a time; there may be many. It reads in that thread, and slows
 * nobody else. All are closed before hf_embedded_close().
 */
struct hf_embedded_watch;

/* SUBSCRIBED (reply->next_lsn: the first LSN that will be told), LSN_NOT_KEPT (next_lsn: the first
 * that can be), BAD_FIELD, or SUBSCRIPTIONS_FULL (no memory). *watch is NULL but with the first. */
unsigned hf_embedded_watch_open(struct hf_embedded *db, const struct hf_request *request,
                                struct hf_embedded_watch **watch, struct hf_reply *reply);
void hf_embedded_watch_close(struct hf_embedded_watch *watch); /* NULL: nothing happens */

/*
 * Waits until there is something to tell, at most timeout_ns (UINT64_MAX: for ever), and returns
 * reply->result: RECORDS (count, records, valid until the next call; next_lsn; none if the time is
 * over), FELL_BEHIND (what comes next is no longer in memory; nothing is left out), or LSN_NOT_KEPT
 * (it cannot go on: what comes next is no longer kept, or damaged; next_lsn: the first that is).
 */
unsigned hf_embedded_watch_next(struct hf_embedded_watch *watch, struct hf_reply *reply,
                                uint64_t timeout_ns);

/*
 * HISTORY: the images of one reservation, in `entries`, which has room for request->limit. FOUND
 * (reply->count, ->entries, ->next), NOT_FOUND, BAD_FIELD, LSN_NOT_KEPT (the log cannot be read), or
 * SUBSCRIPTIONS_FULL (no memory). Reads files: blocks for as long as that takes.
 */
unsigned hf_session_history(struct hf_session *session, const struct hf_request *request,
                            struct hf_reservation_entry *entries, struct hf_reply *reply);

/* How it is, as STATUS tells of a server (holdfast/protocol.h); what only a server has is zero. Never
 * blocks. Any thread. */
void hf_embedded_status(struct hf_embedded *db, struct hf_status *status);

/* Asks for a snapshot now, as SNAPSHOT does, and returns at once; hf_embedded_status() tells when it
 * is made, or why it could not be. Any thread. */
void hf_embedded_request_snapshot(struct hf_embedded *db);

/* Everything up to here is committed. Any thread. */
uint64_t hf_embedded_commit_lsn(const struct hf_embedded *db);

#ifdef __cplusplus
}
#endif

#endif
