/*
 * Traffic: what a worker does with its connections. Each function is one event in a connection's
 * life; all of them are called from the worker's own thread.
 */
#ifndef HF_NET_TRAFFIC_H
#define HF_NET_TRAFFIC_H

#include "net/doorman.h"
#include "net/worker.h"

/* What a completion is about, in the top byte of its user_data. */
enum hf_event {
    HF_EVENT_IGNORED,
    HF_EVENT_ACCEPT,
    HF_EVENT_RECEIVE, /* slot and generation below */
    HF_EVENT_SEND,    /* the same */
    HF_EVENT_LOG,     /* the cookie below */
    HF_EVENT_MESSAGE, /* enum hf_message in bits 32 .., a descriptor below */
    HF_EVENT_UNSENT,  /* the same, of a message that could not be sent; to whom in bits 40 .. */
};

static inline uint64_t hf_event_make(enum hf_event event, uint64_t rest)
{
    return (uint64_t)event << 56 | rest;
}

/* Takes over an accepted socket. */
void hf_traffic_adopt(struct hf_worker *worker, int socket);

/* Takes over what the doorman had, and frees it. */
void hf_traffic_adopt_visitor(struct hf_worker *worker, struct hf_visitor *visitor);

/* A receive completed: `result` bytes in `buffer`, or 0 at the end, or -errno. `more`: it is still
 * armed. */
void hf_traffic_received(struct hf_worker *worker, uint64_t user_data, int result,
                         const uint8_t *buffer, bool more);

void hf_traffic_sent(struct hf_worker *worker, uint64_t user_data, int result);

/* Executes again what could not be executed before. */
void hf_traffic_retry(struct hf_worker *worker);

/* Moves the replies that are committed into their connections' output. */
void hf_traffic_deliver(struct hf_worker *worker);

/* Frames that the feed has left for this worker go into their connections' output. */
void hf_traffic_feed(struct hf_worker *worker);

/* Starts a send for each connection that has output and none under way. */
void hf_traffic_send(struct hf_worker *worker);

/* Drops connections whose peer did not end them in time after we did. */
void hf_traffic_reap_shut(struct hf_worker *worker);

/* Shutting down: closes what is quiet; with `force`, everything. */
void hf_traffic_drain(struct hf_worker *worker, bool force);

#endif
