/*
 * The client: pipelined requests over one TCP connection that mends itself.
 *
 * A client owns one connection. Requests are queued and sent without waiting for earlier ones;
 * each is answered exactly once through its callback. When the connection breaks, the client
 * connects again and sends every unanswered request again, with the same reservation id, which is
 * what makes that safe: a repeat of a granted request is the same grant. A RESERVE, HOLD or JOIN
 * with a zero id, alone or as a line of a batch, therefore gets a UUIDv7 from the client before it
 * is first sent.
 *
 * A request that has no answer after `request_timeout_ms` ends with HF_OUTCOME_UNKNOWN, or with
 * HF_NOT_CONNECTED if no byte of it was ever handed to a connection. Never anything else is made
 * up.
 *
 * A server that is still recovering tells NOT_READY: nothing was done. The client then waits until
 * the server is ready and sends again, in the order of submission, all that was not answered. A
 * request whose time is over meanwhile ends with NOT_READY, `available` being the percent of the
 * recovery that was done. Only PING and STATUS are answered at once: by NOT_READY, and by the status.
 *
 * What is sent again may have been done the first time, and its second answer may hide that: a
 * CHANGE that is guarded by a sequence finds another sequence because it has itself moved it on.
 * Where an answer leaves that open, the client tells OUTCOME_UNKNOWN instead (NO-GUESS), with
 * `version` and `state` as the server told them; look the reservation up to learn the rest. In
 * detail, of requests that were sent more than once (`resent` in the reply):
 *
 *   reads                     every answer holds
 *   RESERVE, HOLD, JOIN,      a yes and every no hold: the repeat of one that was done is a yes.
 *   RELEASE, CANCEL, LEAVE,   "Try later" (5xx) becomes OUTCOME_UNKNOWN
 *   INVENTORY_CREATE
 *   CONFIRM                   the same, but WRONG_STATE becomes OUTCOME_UNKNOWN: it may have been
 *                             confirmed, and cancelled since
 *   EXTEND, CHANGE, MOVE      a yes and NOT_FOUND hold; every other no becomes OUTCOME_UNKNOWN: it
 *                             may have been done, and the hold may have lapsed since. With a guard
 *                             they are done once at the most. Without one they set what they say,
 *                             whatever has happened in between: an EXTEND never shortens, but a
 *                             CHANGE or MOVE undoes what somebody else did since. Guard them where
 *                             several clients change one reservation
 *   BATCH                     done once or not at all if its lines are claims, releases, cancels,
 *                             leaves or guarded; a no holds if that of the line that failed holds
 *   INVENTORY_SET             a yes holds; every no becomes OUTCOME_UNKNOWN. With REOPEN and without
 *                             a guard it is never sent again, but ends with OUTCOME_UNKNOWN when the
 *                             connection breaks: the sale may have closed once more
 *
 * Not thread-safe: one client belongs to one thread at a time; different clients are independent.
 * Nothing blocks but hf_client_wait() and the calls named *_sync.
 */
#ifndef HOLDFAST_CLIENT_H
#define HOLDFAST_CLIENT_H

#include "holdfast/message.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hf_client;

struct hf_client_options {
    const char *server;          /* "HOST:PORT", "[IPv6]:PORT"; NULL: 127.0.0.1:7411 */
    uint32_t connect_timeout_ms; /* for one attempt; 0: 1000 */
    uint32_t request_timeout_ms; /* from submit to answer; 0: 5000 */
    uint32_t reconnect_delay_ms; /* between attempts at first, doubling up to 1 s; 0: 10 */
};

/* Called from hf_client_process() or hf_client_close(), once for every accepted request. It may
 * submit; it must not process, wait, call synchronously or close. */
typedef void hf_client_callback(void *context, const struct hf_reply *reply);

/*
 * Makes a client; the connection is opened by the first hf_client_process().
 * Looks the host name up, which may block, and tries all its addresses whenever it connects.
 * 0, -EINVAL (address not of the form HOST:PORT), -ENOENT (host name not found), -ENOMEM.
 */
int hf_client_open(const struct hf_client_options *options, struct hf_client **client);

/* Ends every unanswered request with OUTCOME_UNKNOWN or NOT_CONNECTED, and every watch without a
 * word; closes, frees. */
void hf_client_close(struct hf_client *client);

/*
 * Queues a request; what it points to is copied. `callback` (may be NULL) gets its answer, later,
 * never from inside this call; lists in the answer are valid until it returns.
 * 0, -ENOMEM, -EINVAL (no such operation, more lines or ids than a frame can carry, or SUBSCRIBE and
 * UNSUBSCRIBE: see hf_client_watch()) or -ESHUTDOWN (from a callback that hf_client_close() calls).
 * *used_id (may be NULL) receives the id of a RESERVE, HOLD or JOIN, made by the client if it was
 * zero; with BATCH it has room for `count` ids, and receives those of all lines. Keep them until the
 * outcome is known.
 */
int hf_client_submit(struct hf_client *client, const struct hf_request *request,
                     hf_client_callback *callback, void *context, struct hf_id *used_id);

/*
 * Called from hf_client_process() for each frame of a watch, with reply->result
 *   SUBSCRIBED    it has begun, or, if reply->resent, gone on after the connection broke
 *   RECORDS       reply->count records at reply->records, HF_FRAME_RECORD_BYTES each, as in
 *                 docs/log-format.md, valid until the callback returns; perhaps none
 *   FELL_BEHIND   it is behind by more than the server has in memory; nothing is left out
 *   UNSUBSCRIBED  it has ended
 *   a no          it has ended: LSN_NOT_KEPT (reply->next_lsn is the first that is kept), BAD_FIELD
 *                 (of an LSN that the server does not have yet: it has another log, or has lost the
 *                 end of this one), ...
 * With each yes, reply->next_lsn is where to go on: with it as `from_lsn`, another watch misses
 * nothing and gets nothing twice. Returns false to end the watch. It may submit, watch and unwatch;
 * it must not process, wait, call synchronously or close.
 */
typedef bool hf_client_watch_callback(void *context, const struct hf_reply *reply);

/*
 * Watches: subscribes to the committed records that `request` (a SUBSCRIBE) names, from its from_lsn
 * on (0: from now on). Every record is told once, in the order of their LSNs. When the connection
 * breaks, the watch goes on by itself where it was. It uses the client's connection beside its
 * requests, is not one of hf_client_outstanding(), and has no time-out.
 * 0, -ENOMEM, -EINVAL (another operation, or more ids than a frame can carry) or -ESHUTDOWN.
 */
int hf_client_watch(struct hf_client *client, const struct hf_request *request,
                    hf_client_watch_callback *callback, void *context);

/* Ends the watches that were made with this callback and context: it is not called again. */
void hf_client_unwatch(struct hf_client *client, hf_client_watch_callback *callback, void *context);

/*
 * Makes all progress that is possible without blocking: connects, sends, receives, calls callbacks,
 * ends what timed out. Returns the number of requests answered and frames of watches told by this
 * call.
 */
int hf_client_process(struct hf_client *client);

/* For an event loop of the caller's: the descriptor (-1: none now), the poll(2) events to wait for,
 * and the longest time in ms to wait before calling hf_client_process() (-1: no limit). */
int hf_client_fd(const struct hf_client *client);
short hf_client_events(const struct hf_client *client);
int hf_client_timeout_ms(const struct hf_client *client);

/* Polls and processes until at least one request was answered, or one frame of a watch told, or
 * `timeout_ms` passed (-1: never). Returns how many. */
int hf_client_wait(struct hf_client *client, int timeout_ms);

/* Requests submitted and not answered yet. */
size_t hf_client_outstanding(const struct hf_client *client);

/* True while a connection is established. */
bool hf_client_connected(const struct hf_client *client);

/* How many connections were established so far. */
unsigned hf_client_connects(const struct hf_client *client);

/* Submits and blocks until answered. Returns reply->result; lists in the reply stay valid until the
 * next such call on this client. Of a batch, give every claim an id of your own if you want to
 * resolve an unknown outcome. */
unsigned hf_client_call_sync(struct hf_client *client, const struct hf_request *request,
                             struct hf_reply *reply);

/* What went wrong last with the connection, for a person ("connection refused"). */
const char *hf_client_last_error(const struct hf_client *client);

#ifdef __cplusplus
}
#endif

#endif
