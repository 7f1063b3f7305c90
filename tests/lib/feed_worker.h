/*
 * A worker without sockets: what a server's worker is to the feed. It runs in the thread that
 * writes a live log, has clients in the place of connections, and keeps what they would be sent.
 *
 * Tests call from their own threads. Everything of a client is guarded by the worker's lock, which
 * the functions here take.
 */
#ifndef HF_TESTS_LIB_FEED_WORKER_H
#define HF_TESTS_LIB_FEED_WORKER_H

#include "net/codec.h"
#include "net/feed.h"
#include "tests/lib/live_log.h"

#define HF_FEED_CLIENTS 32

struct hf_feed_client {
    struct hf_feed_peer peer;
    uint32_t generation;
    bool connected;
    bool reads;          /* else its output grows until the feed has to wait */
    size_t output_bytes; /* not read yet */
    uint8_t *received;   /* output, and what was read */
    size_t received_bytes, received_capacity;
    size_t taken; /* by the test */
};

struct hf_feed_worker {
    struct hf_live_log *live;
    struct hf_feed *feed;
    struct hf_feed_port port;
    struct io_uring ring;
    struct io_uring control; /* of the test's thread */
    bool ready;              /* the ring is there */
    pthread_mutex_t lock;
    struct hf_feed_client clients[HF_FEED_CLIENTS];
};

/* Starts the log's thread too. */
void hf_feed_worker_open(struct hf_feed_worker *worker, struct hf_live_log *live);

/* All producers are closed. Ends the log's thread, the feed, and closes the log. */
void hf_feed_worker_close(struct hf_feed_worker *worker);

/* A client comes, and goes. */
void hf_feed_worker_connect(struct hf_feed_worker *worker, uint32_t client, bool reads);
void hf_feed_worker_disconnect(struct hf_feed_worker *worker, uint32_t client);

void hf_feed_worker_set_reads(struct hf_feed_worker *worker, uint32_t client, bool reads);

/* SUBSCRIBE, UNSUBSCRIBE: what to answer at once; OK: a frame comes. */
enum hf_result hf_feed_worker_subscribe(struct hf_feed_worker *worker, uint32_t client,
                                        uint64_t tag, const struct hf_request *request);
enum hf_result hf_feed_worker_unsubscribe(struct hf_feed_worker *worker, uint32_t client,
                                          uint64_t tag, uint64_t watch_tag);
enum hf_result hf_feed_worker_history(struct hf_feed_worker *worker, uint32_t client, uint64_t tag,
                                      const struct hf_request *request,
                                      const struct hf_reservation *newest);

/*
 * Copies the next frame that the client received to `bytes` (HF_MAX_REPLY_BYTES). Waits at most
 * patience_ms. False: none came.
 */
bool hf_feed_worker_next(struct hf_feed_worker *worker, uint32_t client, uint8_t *bytes,
                         struct hf_frame *frame, uint32_t patience_ms);

#endif
