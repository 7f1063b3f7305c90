/*
 * The handler: one request frame in, one reply out, now or after commit.
 *
 * It knows what each operation means to the engine and what its reply looks like. It knows neither
 * sockets nor the loop.
 */
#ifndef HF_NET_HANDLER_H
#define HF_NET_HANDLER_H

#include "net/await.h"
#include "net/codec.h"
#include "net/connection.h"
#include "net/server.h"

/* What one worker executes with. */
struct hf_handler {
    struct hf_server *server;
    struct hf_actor *actor;
    struct hf_await *await;
    struct hf_feed_port *port;
    struct hf_chunk_pool *pool;
    bool refusing;                  /* every request is answered with SHUTTING_DOWN */
    struct hf_handler_rooms *rooms; /* for what requests and replies carry in lists */
    uint8_t *scratch;               /* room for one reply */
};

enum hf_handled {
    HF_HANDLED,            /* executed and answered, or the answer awaits commit */
    HF_HANDLED_FATAL,      /* answered; the connection is to be closed after it */
    HF_HANDLED_INCOMPLETE, /* the frame is not whole yet */
    HF_HANDLED_STALLED,    /* not executed, again later: connection->stall says why */
    HF_HANDLED_NO_MEMORY,  /* the connection is to be dropped */
};

int hf_handler_init(struct hf_handler *handler, struct hf_server *server, struct hf_actor *actor,
                    struct hf_await *await, struct hf_feed_port *port, struct hf_chunk_pool *pool);
void hf_handler_close(struct hf_handler *handler);

/* Brings what the frame at `bytes`, of which `count` are there, will need into the cache. Returns
 * its size; 0: it is not whole. */
uint32_t hf_handler_prefetch(const struct hf_handler *handler, const uint8_t *bytes, size_t count);

/* Executes the frame at `bytes`, of which `count` are there. *used: the bytes it took. */
enum hf_handled hf_handler_execute(struct hf_handler *handler, struct hf_connection *connection,
                                   const uint8_t *bytes, size_t count, uint32_t *used);

#endif
