/*
 * The feed: one thread that reads the log for the clients: watching, and history.
 *
 * A worker never waits for a disk, and a watcher that does not read must not cost a sale anything.
 * So SUBSCRIBE and HISTORY are handed to the feed's thread. It is started by the first of them; it
 * reads what is committed (engine/watch.h, engine/history.h), makes frames of it, and gives these to
 * the worker that owns the connection, which moves them into the connection's output while that is
 * short. All other requests of the connection go on being answered.
 *
 * Worker to feed: jobs, in an inbox.   Feed to worker: frames, in an outbox for each worker.
 * Both are lock-free lists, pushed by CAS and taken as a whole, so what one thread pushes arrives in
 * order. A push that finds somebody asleep sends a message to its io_uring.
 *
 *     handler      -> feed: BEGIN, END, ANSWER, HISTORY
 *     feed         -> worker: SUBSCRIBED, RECORDS ..., UNSUBSCRIBED, a page of history
 *     worker moved a frame of a subscription that had as many on their way as it may -> feed: RESUME
 *
 * Backpressure. A subscription has at most HF_FEED_FRAMES frames on their way; one that has is left
 * alone until its worker has moved one into the output, which it does while the output holds less
 * than HF_FEED_OUTPUT_BYTES. A slow watcher so holds that much memory, and nothing else: what comes
 * next is in the log.
 *
 * Sleeping without missing commit: as in worker.h. The feed announces the LSN that it waits for
 * (HF_FEED_NO_LSN: only for jobs), then looks at commit and at its inbox once more. Whoever moves
 * commit, or pushes a job, looks at the announcement afterwards. All are seq_cst, so at least one
 * sees the other; who clears the announcement sends the message.
 *
 * The life of a subscription. The worker makes it, and keeps it in the list of its connection's
 * peer. The feed has it from BEGIN to END, which the worker pushes exactly once: at UNSUBSCRIBE, when
 * the connection goes away, or when a frame says that the feed has nothing more to tell. The feed
 * answers END with a last frame, after which it knows the subscription no more; the worker frees it
 * when that one arrives. After END the worker pushes no RESUME. So neither ever holds a pointer that
 * the other has freed, and a connection need not wait for the feed to go away.
 *
 * Shutdown. hf_feed_close() comes when the workers' threads have ended, and before their io_urings
 * are closed.
 *
 * Who writes what: the fields of `struct hf_feed` are the thread's own but for those marked _Atomic;
 * those of a port and of a peer are their worker's.
 */
#ifndef HF_NET_FEED_H
#define HF_NET_FEED_H

#include <liburing.h>
#include <pthread.h>
#include <semaphore.h>

#include "engine/history.h"
#include "engine/watch.h"
#include "net/server.h"
#include "wal/log.h"

/* Subscriptions of one connection, and of one server. */
#define HF_MAX_SUBSCRIPTIONS      16
#define HF_FEED_MAX_SUBSCRIPTIONS 1024

/* Requests of one connection that the feed has not answered: more are not executed yet. */
#define HF_FEED_MAX_OWED 16

#define HF_FEED_FRAMES       4             /* of a subscription that are on their way, at most */
#define HF_FEED_OUTPUT_BYTES (128u * 1024) /* a longer output gets none of them */

#define HF_FEED_NO_LSN UINT64_MAX

/* Files that are read at the same time; readers beyond that take turns. */
#define HF_FEED_READERS   8
#define HF_FEED_HISTORIES 4

enum hf_feed_work {
    HF_FEED_BEGIN,   /* here is a subscription */
    HF_FEED_RESUME,  /* it may have frames again */
    HF_FEED_END,     /* it ends */
    HF_FEED_ANSWER,  /* answer an UNSUBSCRIBE, behind what it ended */
    HF_FEED_HISTORY, /* read a history */
};

/* A connection, as the feed knows it. */
struct hf_feed_address {
    uint32_t worker;
    uint32_t slot;
    uint32_t generation;
};

struct hf_feed_job {
    struct hf_feed_job *next;
    enum hf_feed_work work;
};

struct hf_subscription {
    /* Constant. */
    struct hf_feed_address address;
    uint64_t tag;
    bool from_now; /* from what is committed after BEGIN; else from watch.next_lsn */
    /* Both sides. */
    _Atomic uint32_t inflight; /* frames with records on their way; see hf_feed_pop() */
    struct hf_feed_job begin, resume, end;
    /* The feed's. */
    struct hf_watch watch;
    uint64_t told_lsn;   /* next_lsn of its last frame */
    uint64_t read_round; /* in which files were read for it */
    bool begun;          /* it was answered with SUBSCRIBED */
    bool blocked;        /* it has as many frames on their way as it may, until RESUME */
    struct hf_subscription *feed_next, **feed_link; /* in the feed's list; link NULL: it is not */
    /* The worker's. */
    bool ending; /* END was pushed */
    struct hf_subscription *peer_next;
};

/* What a frame means to its worker. */
#define HF_FRAME_COUNTED 1u /* it is one of its subscription's `inflight` */
#define HF_FRAME_ANSWERS 2u /* it answers a request that the connection is owed for */
#define HF_FRAME_ENDS    4u /* the feed has nothing more for this subscription */
#define HF_FRAME_LAST    8u /* the feed knows this subscription no more */

struct hf_feed_frame {
    struct hf_feed_frame *next;
    struct hf_feed_address address;
    unsigned flags;                       /* HF_FRAME_* */
    struct hf_subscription *subscription; /* NULL: of none */
    uint32_t frame_bytes;                 /* 0: nothing for the client */
    uint8_t bytes[];
};

/* A request that is answered once. */
struct hf_feed_request {
    struct hf_feed_job job;
    struct hf_feed_request *next;
    struct hf_feed_address address;
    uint64_t tag;
    /* HISTORY */
    struct hf_reservation newest;
    uint32_t from_sequence, limit;
    struct hf_reservation_entry *entries; /* NULL: not begun */
    struct hf_history history;
};

/* Where a worker's frames are left. */
struct hf_feed_outbox {
    alignas(HF_CACHE_LINE_BYTES) _Atomic(struct hf_feed_frame *) frames; /* the newest first */
    int ring_fd;        /* of the worker's io_uring */
    uint64_t user_data; /* of the message that frames are there */
};

/* A reader and what it was last used for. */
struct hf_feed_reader {
    struct hf_tail_reader *reader;
    const void *user;
    uint64_t used; /* the round */
};

struct hf_feed {
    /* Announced by the thread, cleared by whoever wakes it. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t waiting_lsn; /* 0: it is awake, or not started */
    alignas(HF_CACHE_LINE_BYTES) _Atomic(struct hf_feed_job *) inbox; /* the newest first */
    _Atomic uint32_t subscriptions;                                   /* that exist */
    _Atomic uint32_t running;  /* the thread is there; set by who started it */
    _Atomic uint32_t stopping; /* set by hf_feed_close() */

    alignas(HF_CACHE_LINE_BYTES) struct hf_log *log;
    struct hf_recent *recent;
    pthread_mutex_t start; /* of those that would start the thread */
    pthread_t thread;
    sem_t started; /* posted when the ring is set up, or start_result tells why not */
    int start_result;
    struct io_uring ring;
    struct hf_feed_outbox outboxes[HF_MAX_WORKERS];

    struct hf_subscription *list;
    bool following;      /* the newest records are kept for us */
    bool mute;           /* no worker is left to be told */
    uint64_t wanted_lsn; /* what this round would wait for */
    uint64_t round;
    struct hf_feed_request *first_history, *last_history; /* not begun */
    struct hf_feed_request *histories[HF_FEED_HISTORIES]; /* being read */
    struct hf_feed_reader readers[HF_FEED_READERS];
    struct hf_watch_batch *batch;
    uint8_t *frame; /* room for one reply */
};

/* For this log, which is open, and its newest records (or NULL: there are none in memory). Nothing
 * is started yet. 0 or -ENOMEM. */
int hf_feed_open(struct hf_feed **feed, struct hf_log *log, struct hf_recent *recent);

/*
 * The workers' threads have ended and closed their ports; their io_urings are still there. Ends the
 * thread, and frees everything. `ring` is the calling thread's.
 */
void hf_feed_close(struct hf_feed *feed, struct io_uring *ring);

/* ---- of a worker ---- */

/* What a worker has of the feed. */
struct hf_feed_port {
    struct hf_feed *feed;
    struct io_uring *ring; /* the worker's */
    uint32_t worker;
    uint64_t
        unsent; /* what the completion carries if a wake-up could not be sent; set by the worker */
    struct hf_feed_frame *arrived; /* taken from the outbox, the oldest first */
};

/* What a connection has of it; all zero: nothing. */
struct hf_feed_peer {
    struct hf_subscription *subscriptions;
    uint32_t subscription_count;        /* those that are not ending */
    uint32_t owed;                      /* requests that the feed has not answered */
    bool left;                          /* nobody listens to subscriptions any more */
    struct hf_feed_frame *first, *last; /* frames for which there was no room in the output */
};

/* `user_data`: what the completion carries by which the worker learns that frames are there. */
void hf_feed_port_init(struct hf_feed_port *port, struct hf_feed *feed, struct io_uring *ring,
                       uint32_t worker, uint64_t user_data);

/* The worker's thread is about to end: nothing more is taken. */
void hf_feed_port_close(struct hf_feed_port *port);

/* True if a request for the feed has to wait: the connection is owed HF_FEED_MAX_OWED answers. */
static inline bool hf_feed_must_wait(const struct hf_feed_peer *peer)
{
    return peer->owed >= HF_FEED_MAX_OWED;
}

/*
 * SUBSCRIBE, UNSUBSCRIBE, HISTORY. HF_OK: handed over, the answer comes as a frame; else what to
 * answer at once: SUBSCRIPTIONS_FULL; BAD_FIELD, the tag is that of a subscription of this
 * connection; UNSUBSCRIBED, there is no such subscription (any more). `request` was checked.
 * `newest`: the reservation as it is now; it need not be committed yet. The connection comes by its
 * peer, slot and generation.
 */
enum hf_result hf_feed_subscribe(struct hf_feed_port *port, struct hf_feed_peer *peer,
                                 uint32_t slot, uint32_t generation, uint64_t tag,
                                 const struct hf_request *request);
enum hf_result hf_feed_unsubscribe(struct hf_feed_port *port, struct hf_feed_peer *peer,
                                   uint32_t slot, uint32_t generation, uint64_t tag,
                                   uint64_t watch_tag);
enum hf_result hf_feed_history(struct hf_feed_port *port, struct hf_feed_peer *peer, uint32_t slot,
                               uint32_t generation, uint64_t tag, const struct hf_request *request,
                               const struct hf_reservation *newest);

/* The next frame that has arrived for this worker, for hf_feed_accept(); NULL: none. */
struct hf_feed_frame *hf_feed_take(struct hf_feed_port *port);

/* Takes a frame in: for the peer of the connection that it is addressed to, or, `peer` NULL, for
 * one that is gone. */
void hf_feed_accept(struct hf_feed_port *port, struct hf_feed_peer *peer,
                    struct hf_feed_frame *frame);

/*
 * The bytes that come next into the connection's output, which holds `output_bytes`; NULL: none, or
 * not yet. After they were appended, hf_feed_pop().
 */
const uint8_t *hf_feed_front(struct hf_feed_port *port, struct hf_feed_peer *peer,
                             size_t output_bytes, uint32_t *count);
void hf_feed_pop(struct hf_feed_port *port, struct hf_feed_peer *peer);

/* Ends all subscriptions: nobody listens any more. Answers that are owed still come. */
void hf_feed_leave(struct hf_feed_port *port, struct hf_feed_peer *peer);

/* The connection is gone: forgets all that is meant for it. */
void hf_feed_forget(struct hf_feed_port *port, struct hf_feed_peer *peer);

/* Sends the wake-up itself, again if it could not be sent. */
void hf_feed_send_wake(struct hf_feed_port *port);

/* Wakes the feed for what is committed. */
void hf_feed_wake(struct hf_feed_port *port, uint64_t waiting_lsn);

/* Commit may have moved. Once a turn. */
static inline void hf_feed_look(struct hf_feed_port *port)
{
    /* seq_cst, pairs with the announcement of the feed: see the top. */
    uint64_t waiting_lsn = hf_load_seq_cst(&port->feed->waiting_lsn);
    if (HF_UNLIKELY(waiting_lsn != 0 && waiting_lsn <= hf_tail_limit(&port->feed->log->flusher)))
        hf_feed_wake(port, waiting_lsn);
}

/* ---- between the two sides ---- */

/* Starts the thread if it is not there. False: it cannot be started now. */
bool hf_feed_start(struct hf_feed *feed);

/* Frees a frame, and the subscription whose last one it was. */
void hf_feed_discard(struct hf_feed *feed, struct hf_feed_frame *frame);

#endif
