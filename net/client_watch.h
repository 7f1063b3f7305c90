/*
 * The watches of a client: subscriptions that outlive the connections they run on.
 *
 *   hf_client_watch()      SUBSCRIBE encoded        SUBSCRIBED
 *   ───────────────▸ IDLE ─────────────────▸ ASKED ────────────▸ OPEN ─┐ frames
 *                     ▴                        │                  │  ◂─┘
 *                     └────────────────────────┴──────────────────┘ the connection is lost
 *
 *   ENDING  nobody wants it any more: if it runs on this connection, UNSUBSCRIBE is still to be
 *           encoded; then it is gone. A no from the server ends it at once.
 *
 * next_lsn moves with every frame, before the callback is called, so SUBSCRIBE is sent again with
 * exactly what has not been told. Frames whose LSNs contradict it are not taken: the connection is
 * dropped and the watch goes on from where it was.
 *
 * Tags: those of requests have the index of a slot in their low half, which is never NO_SLOT; those
 * of watches have NO_SLOT there and a number above. A frame for a watch that is gone is recognised
 * by its number and ignored.
 */
#ifndef HF_NET_CLIENT_WATCH_H
#define HF_NET_CLIENT_WATCH_H

#include "holdfast/client.h"
#include "net/client_connection.h"

#define HF_CLIENT_WATCH_TAG UINT32_MAX /* low half of the tags of watches */

struct hf_client_watch;

struct hf_client_watches {
    struct hf_client_watch *first; /* in the order in which they were made */
    uint32_t last_number;          /* given out */
    bool unsent;                   /* something is to be encoded, perhaps */
};

/* 0, -ENOMEM or -EINVAL. */
int hf_client_watches_add(struct hf_client_watches *watches, const struct hf_request *request,
                          hf_client_watch_callback *callback, void *context);

/* Ends those with this callback and context. */
void hf_client_watches_end(struct hf_client_watches *watches, hf_client_watch_callback *callback,
                           void *context);

/* Forgets all of them. */
void hf_client_watches_free(struct hf_client_watches *watches);

/* Moves what is to be sent into the output of a connection that is up. False: it has no room for
 * all of it now. */
bool hf_client_watches_encode(struct hf_client_watches *watches,
                              struct hf_client_connection *connection);

/* The connection is lost. */
void hf_client_watches_lose(struct hf_client_watches *watches);

/*
 * Takes a frame whose tag is a watch's. 1: it was told to the callback; 0: it is for a watch that
 * is gone; -EBADMSG: it cannot be right.
 */
int hf_client_watches_take(struct hf_client_watches *watches, const struct hf_frame *frame,
                           const uint8_t *bytes);

#endif
