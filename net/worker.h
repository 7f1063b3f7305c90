/*
 * A worker: one thread, one io_uring, its own connections.
 *
 * One turn of its loop:
 *   wait      submit all that was queued, sleep until something completes
 *   reap      accepts, receives (frames are executed at once), sends, log writes, messages; what is
 *             beyond some hundred frames waits for the next turn
 *   retry     frames that could not be executed before
 *   tick      what is due: holds lapse, finished reservations are forgotten
 *   flush     what this turn appended goes into a block, if the flusher's role is free
 *   deliver   replies whose LSN is committed, and what the feed has read of the log, go into their
 *             connections' output
 *   wake      other workers that sleep on an LSN that is committed now
 *   send      one send for each connection that has output and none under way
 *
 * Busy polling (--busy-poll). A worker that has nothing to do asks again and again for that long
 * before it sleeps, which saves its peers the time to wake it. It does so only while that pays: once
 * nothing came in time, it sleeps at once, until a sleep has been shorter than that.
 *
 * Sleeping without missing commit. A worker with replies that await commit announces the LSN that
 * it waits for, and then looks at commit once more. Whoever moves commit looks at the announcements
 * after it. Both are seq_cst, so at least one sees the other.
 *
 * Who writes what: everything is the worker's own, but for the fields marked _Atomic.
 */
#ifndef HF_NET_WORKER_H
#define HF_NET_WORKER_H

#include <liburing.h>
#include <semaphore.h>

#include "net/await.h"
#include "net/connection.h"
#include "net/feed.h"
#include "net/handler.h"
#include "net/server.h"
#include "wal/io_uring.h"

#define HF_RECEIVE_BUFFERS      128
#define HF_RECEIVE_BUFFER_BYTES 16384

struct hf_worker {
    /* Read and cleared by the others, set by the worker. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t waiting_lsn; /* 0: it need not be woken */
    _Atomic uint32_t connection_count;                         /* for statistics */

    alignas(HF_CACHE_LINE_BYTES) struct hf_server *server;
    uint32_t index;
    pthread_t thread;
    sem_t started;    /* posted when the ring is set up, or start_result tells why not */
    sem_t go;         /* posted when all workers are, or the server was given up */
    int start_result; /* 0 or -errno */
    char start_error[HF_SERVER_ERROR_BYTES];

    struct io_uring ring;
    struct hf_uring_queue queue; /* of log writes */
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;

    struct hf_actor actor;
    struct hf_await await;
    struct hf_chunk_pool pool;
    struct hf_feed_port port;
    struct hf_handler handler;
    bool polls;           /* busily: work came soon, last time */
    bool backlog;         /* more is due than was done in this turn */
    uint64_t commit_seen; /* the others were woken up to here */
    uint32_t turn_frames; /* executed in this turn */

    struct hf_connection **connections; /* by slot */
    struct hf_connection *free_slots;
    uint32_t slot_count, slot_capacity;
    struct hf_connection **dirty, **stalled; /* lists, each with room for all slots */
    uint32_t dirty_count, stalled_count;
    uint32_t shut_count;  /* connections that only wait for their peer's end */
    uint32_t next_worker; /* that gets the next connection; worker 0 only */
    struct hf_visitor
        *visitors; /* the doorman's, to be adopted at first; set before hf_worker_go() */
    bool accepting;
    bool accept_failed; /* out of descriptors: tried again a little later */
    uint64_t accept_failed_ns;

    bool stopping;
    uint64_t stop_ns; /* when it was told to */
    bool done;        /* all its connections are closed, it appends nothing any more */
};

/* Messages between rings; the low 32 bits may carry a descriptor. */
enum hf_message {
    HF_MESSAGE_WAKE,  /* look at commit */
    HF_MESSAGE_ADOPT, /* here is a connection */
    HF_MESSAGE_STOP,  /* begin to shut down */
    HF_MESSAGE_FEED,  /* the feed has left frames */
};

/* Starts the thread, waits until its ring is set up. 0, or -errno with a line in `error`. It serves
 * nobody before hf_worker_go(). */
int hf_worker_start(struct hf_worker **worker, struct hf_server *server, uint32_t index,
                    char error[HF_SERVER_ERROR_BYTES]);

/* All workers are started: begin to serve; or, if server->given_up is set, end. */
void hf_worker_go(struct hf_worker *worker);

/* Waits for the thread's end, which HF_MESSAGE_STOP brings about. */
void hf_worker_join(struct hf_worker *worker);

/* Frees the joined worker and closes its ring. */
void hf_worker_free(struct hf_worker *worker);

/* Queues a message to `to` on the ring of the calling thread. */
void hf_worker_send(struct io_uring *from, const struct hf_worker *to, enum hf_message message,
                    int descriptor);

#endif
