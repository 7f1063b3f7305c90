/*
 * The doorman: answers at the door while the server recovers.
 *
 * From the moment the port listens, one thread accepts connections and answers them, until the
 * workers are there to serve. It knows no store. To STATUS it tells how far the recovery is; to
 * every other request, if it is a right one, NOT_READY: nothing was done. What is no right request
 * is answered as by a worker.
 *
 * The end. hf_doorman_end() stops it and hands its connections over, with what is kept of each:
 * received bytes that are no whole frame yet, replies that are not sent yet. The workers go on with
 * them, so their peers notice nothing. One that was told NOT_READY has to be ended, though, when all
 * that it is owed is sent: a peer that has pipelined a reserve and its cancel must not have the first
 * refused here and the second executed there. So on a connection on which NOT_READY is told, nothing
 * is ever executed, and its end tells the peer that it can come again.
 *
 * It must not hold up the recovery: its thread gives way to others (nice 10), and touches nothing
 * that the recovery uses but the atomics of its progress. Nor may visitors hold up each other: what
 * is kept of each is bounded (HF_VISITOR_BYTES, twice), one that does not read its replies is not
 * received from, each gets a turn; and when there are as many as there may be and another one knocks,
 * the one that has asked for nothing for longest has to go.
 *
 * Who writes what: all is the thread's own, but for `ending`, and the fields that never change.
 */
#ifndef HF_NET_DOORMAN_H
#define HF_NET_DOORMAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/progress.h"
#include "holdfast/protocol.h"

#define HF_DOORMAN_VISITORS 256

/* Kept of what was received, and of what is owed: the largest request is whole. */
#define HF_VISITOR_BYTES HF_MAX_REQUEST_BYTES

/* One connection. */
struct hf_visitor {
    struct hf_visitor *next; /* of those that are handed over */
    int socket;
    bool refused;      /* told NOT_READY or SHUTTING_DOWN: nothing of it is to be executed */
    bool fatal;        /* what came next was no frame: input is ignored */
    bool ended;        /* the peer sent all it will send */
    bool shut;         /* our side is shut down */
    uint64_t asked_ns; /* when it came, or asked last */
    uint64_t shut_ns;
    uint32_t input_bytes;
    uint32_t output_begin, output_end; /* not sent yet: output[begin .. end) */
    uint8_t input[HF_VISITOR_BYTES];
    uint8_t output[HF_VISITOR_BYTES];
};

struct hf_doorman_options {
    int listener;                 /* listens; it is the doorman's until the end */
    uint32_t visitors;            /* at most so many at once, up to HF_DOORMAN_VISITORS; 0: none */
    struct hf_progress *progress; /* of the recovery; outlives the doorman */
    FILE *report;                 /* where to tell how far it is (net/recovery_report.h), or NULL */
    /* Asked 20 times a second; true: the server is to stop, and the recovery is cancelled. Or NULL. */
    bool (*stop_wanted)(void);
};

struct hf_doorman;

/* Starts the thread. 0 or -errno. */
int hf_doorman_start(struct hf_doorman **doorman, const struct hf_doorman_options *options);

/*
 * Answers what was received, ends the thread, frees. Blocks for no longer than that takes: never on a
 * peer. Returns the connections, in the order in which they came: the caller's from now on.
 */
struct hf_visitor *hf_doorman_end(struct hf_doorman *doorman);

/* Ends the connections, with what their peers take within 200 ms, and frees them. */
void hf_visitors_dismiss(struct hf_visitor *first);

#endif
