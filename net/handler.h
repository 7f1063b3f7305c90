/*
 * The handler: one request frame in, one reply out, now or after commit.
 *
 * It knows what each operation means to the engine and what its reply looks like. It knows neither
 * sockets nor the loop.
 *
 * What needs the log and finds it full is put aside; its connection stalls, and TCP tells the peer.
 * If the log does not move at all (wal/standstill.h), it is answered OVERLOADED instead. The same
 * holds when as many replies wait for commit as may: then the engine is asked with the ring barred,
 * as if it was full. So what needs no log, reads of what is committed and refusals, is answered all
 * the time, and nothing is ever decided whose reply would find no place.
 */
#ifndef HF_NET_HANDLER_H
#define HF_NET_HANDLER_H

#include "net/await.h"
#include "net/codec.h"
#include "net/connection.h"
#include "net/server.h"
#include "wal/standstill.h"

/* What one worker executes with. */
struct hf_handler {
    struct hf_server *server;
    struct hf_actor *actor;
    struct hf_await *await;
    struct hf_feed_port *port;
    struct hf_chunk_pool *pool;
    bool stopping;                   /* STATUS tells so */
    bool refusing;                   /* every request but STATUS is answered with SHUTTING_DOWN */
    bool crowded;                    /* for the request at hand no reply may be made to wait */
    uint64_t commit_lsn;             /* committed at this turn's delivery, perhaps more by now */
    struct hf_standstill standstill; /* of the log, as this worker met it */
    struct hf_handler_rooms *rooms;  /* for what requests and replies carry in lists */
    uint8_t *scratch;                /* room for one reply */

    /* Written by the worker, read by anyone: statistics. */
    _Atomic uint64_t put_aside;  /* operations that waited for room in the log */
    _Atomic uint64_t overloaded; /* that were answered OVERLOADED */
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

/* Brings what the frame at `bytes`, of which `count` are there, will need into the cache: where the
 * search for its reservation begins, and, some time later, the reservation. Both return the size of the
 * frame; 0: it is not whole. */
uint32_t hf_handler_prefetch(const struct hf_handler *handler, const uint8_t *bytes, size_t count);
uint32_t hf_handler_prefetch_again(const struct hf_handler *handler, const uint8_t *bytes,
                                   size_t count);

/*
 * Executes the first of the frames at `bytes` together, if they are plain RESERVEs, and all of them
 * are granted, or all of them refused: engine/burst.h. Returns how many. *read: how many were looked at, all
 * of HF_RESERVE_BYTES; of those that are left, the first is for hf_handler_execute().
 */
uint32_t hf_handler_execute_burst(struct hf_handler *handler, struct hf_connection *connection,
                                  const uint8_t *bytes, size_t count, uint32_t *read);

/* Executes the frame at `bytes`, of which `count` are there. *used: the bytes it took. */
enum hf_handled hf_handler_execute(struct hf_handler *handler, struct hf_connection *connection,
                                   const uint8_t *bytes, size_t count, uint32_t *used);

#endif
