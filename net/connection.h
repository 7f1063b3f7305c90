/*
 * A connection, as its worker sees it.
 *
 * Input. Whole frames are executed where the kernel put them. What is left, half a frame or frames
 * that cannot be executed now, is kept in `input`, and executed later in order; so the operations
 * of one connection are executed in the order in which they were sent.
 *
 * A connection is stalled while its next frame cannot be executed: another worker is deciding about
 * the same id, the log is full, or the peer does not read its replies. A stalled connection that
 * goes on sending is not received from any more, so that its peer's window closes: that is the only
 * limit on pipelining.
 *
 * End. The slot is free again when neither a receive nor a send is under way. `generation` makes
 * sure that what was meant for the one before does not reach the next.
 */
#ifndef HF_NET_CONNECTION_H
#define HF_NET_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/state_hash.h"
#include "net/feed.h"
#include "net/output.h"

enum hf_stall {
    HF_STALL_NONE,
    HF_STALL_BUSY,   /* decided elsewhere in no time, or a long operation is in progress: go on soon
                      */
    HF_STALL_LOG,    /* no room in the log: go on after the next write */
    HF_STALL_AWAIT,  /* as many replies as may wait for commit: go on when it has moved */
    HF_STALL_OUTPUT, /* the peer does not read: go on when it does */
    HF_STALL_FEED,   /* the feed owes it many answers: go on when one of them has come */
};

struct hf_connection {
    int socket; /* -1: the slot is free */
    uint32_t slot;
    uint32_t generation;
    enum hf_stall stall;
    uint32_t awaiting;      /* replies in the worker's await queue */
    size_t awaiting_bytes;  /* and what they will be */
    bool receiving;         /* a multishot receive is armed */
    bool cancelling;        /* and was asked to end */
    bool sending;           /* a send is under way */
    bool ended;             /* the peer sent all it will send */
    bool closing;           /* close when everything owed is sent */
    bool shut;              /* our side is shut down; what still comes in is ignored */
    bool broken;            /* nothing can be sent any more */
    bool dirty;             /* in the worker's list of those with output to be sent */
    bool listed;            /* in the worker's list of the stalled */
    bool aside;             /* its next frame was put aside for the log's sake, and counted */
    uint64_t last_input_ns; /* when bytes came last */
    uint64_t shut_ns;       /* when our side was shut down */
    struct hf_output output;
    uint8_t *input; /* received, not executed */
    uint32_t input_bytes, input_capacity;
    struct hf_state_hash *hashing;   /* a STATE_HASH in progress */
    uint64_t hash_lsn_before;        /* and the newest LSN when it began */
    uint32_t hash_tries;             /* and how often it was begun */
    struct hf_feed_peer peer;        /* subscriptions, and what the feed owes it */
    struct hf_connection *next_free; /* in the worker's list of free slots */
};

/* Keeps bytes for later. False: out of memory. */
bool hf_connection_keep(struct hf_connection *connection, const uint8_t *bytes, size_t count);

/* The first `count` kept bytes were executed. */
void hf_connection_executed(struct hf_connection *connection, uint32_t count);

/* Frees what it holds; the socket is closed by the caller. */
void hf_connection_release(struct hf_connection *connection, struct hf_chunk_pool *pool);

/* True if it owes its peer nothing: all that came in is executed and answered. */
bool hf_connection_quiet(const struct hf_connection *connection);

#endif
