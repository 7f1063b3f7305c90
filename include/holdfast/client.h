/*
 * The client: pipelined requests over one TCP connection that mends itself.
 *
 * A client owns one connection. Requests are queued and sent without waiting for earlier ones;
 * each is answered exactly once through its callback. When the connection breaks, the client
 * connects again and sends every unanswered request again, with the same reservation id, which is
 * what makes that safe: a repeat of a granted request is the same grant. A request of RESERVE with
 * a zero id therefore gets a UUIDv7 from the client before it is first sent.
 *
 * A request that has no answer after `request_timeout_ms` ends with HF_OUTCOME_UNKNOWN, or with
 * HF_NOT_CONNECTED if no byte of it was ever handed to a connection. Never anything else is made
 * up.
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

/* Ends every unanswered request with OUTCOME_UNKNOWN or NOT_CONNECTED, closes, frees. */
void hf_client_close(struct hf_client *client);

/*
 * Queues a request. `callback` gets its answer, later, never from inside this call.
 * 0, -ENOMEM, -EINVAL (no such operation) or -ESHUTDOWN (from a callback that hf_client_close()
 * calls). With RESERVE and a zero id, *used_id (may be NULL) receives the id that was made.
 */
int hf_client_submit(struct hf_client *client, const struct hf_request *request,
                     hf_client_callback *callback, void *context, struct hf_id *used_id);

/*
 * Makes all progress that is possible without blocking: connects, sends, receives, calls callbacks,
 * ends what timed out. Returns the number of requests answered by this call.
 */
int hf_client_process(struct hf_client *client);

/* For an event loop of the caller's: the descriptor (-1: none now), the poll(2) events to wait for,
 * and the longest time in ms to wait before calling hf_client_process() (-1: no limit). */
int hf_client_fd(const struct hf_client *client);
short hf_client_events(const struct hf_client *client);
int hf_client_timeout_ms(const struct hf_client *client);

/* Polls and processes until at least one request was answered or `timeout_ms` passed (-1: never).
 * Returns the number of requests answered. */
int hf_client_wait(struct hf_client *client, int timeout_ms);

/* Requests submitted and not answered yet. */
size_t hf_client_outstanding(const struct hf_client *client);

/* True while a connection is established. */
bool hf_client_connected(const struct hf_client *client);

/* How many connections were established so far. */
unsigned hf_client_connects(const struct hf_client *client);

/* Submits and blocks until answered. Returns reply->result; `inventories` points into memory that
 * stays valid until the next call on this client. */
unsigned hf_client_call_sync(struct hf_client *client, const struct hf_request *request,
                             struct hf_reply *reply);

/* What went wrong last with the connection, for a person ("connection refused"). */
const char *hf_client_last_error(const struct hf_client *client);

#ifdef __cplusplus
}
#endif

#endif
