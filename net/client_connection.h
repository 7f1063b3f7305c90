/*
 * The client's connection: one TCP connection that is made again whenever it breaks.
 *
 *   DOWN ──(wake_at_ns reached: next address)──▸ CONNECTING ──(socket writable, no error)──▸ UP
 *    ▴                                               │                                       │
 *    └──(refused, timed out)─────────────────────────┴──(closed, error, dropped)─────────────┘
 *
 * It moves bytes and cuts what arrives into frames; what the frames mean is client.c's business.
 * After a failure every address of the host is tried once without delay, then it waits; the delay
 * doubles from one round to the next and starts again only when the server has said something
 * sensible, so that a server that accepts and closes is not hammered either.
 *
 * Both buffers are fixed: output is encoded into it when there is room, never queued beyond it.
 */
#ifndef HF_NET_CLIENT_CONNECTION_H
#define HF_NET_CLIENT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/codec.h"

#define HF_CLIENT_OUT_BYTES 65536
#define HF_CLIENT_IN_BYTES  HF_MAX_REPLY_BYTES

struct addrinfo;

enum hf_client_link {
    HF_CLIENT_DOWN,
    HF_CLIENT_CONNECTING,
    HF_CLIENT_UP,
};

struct hf_client_connection {
    enum hf_client_link link;
    int fd;                      /* -1 when DOWN */
    struct addrinfo *addresses;  /* of the host, owned */
    struct addrinfo *address;    /* the one in use, or to be tried next */
    uint64_t connect_timeout_ns; /* for one attempt */
    uint64_t first_delay_ns;
    uint64_t delay_ns;           /* before the next round of attempts */
    uint64_t wake_at_ns;         /* DOWN: the next attempt; CONNECTING: when this one is given up */
    unsigned connects;           /* connections established so far */
    uint32_t in_start, in_end;   /* received and not yet taken: in[in_start .. in_end) */
    uint32_t out_start, out_end; /* encoded and not yet sent: out[out_start .. out_end) */
    char error[128];             /* what went wrong last, for a person */
    uint8_t in[HF_CLIENT_IN_BYTES];
    uint8_t out[HF_CLIENT_OUT_BYTES];
};

/*
 * Prepares a connection to "HOST:PORT" or "[IPv6]:PORT"; looks the host up, which may block.
 * 0, -EINVAL (not of that form), -ENOENT (host name not found), -ENOMEM.
 */
int hf_client_connection_open(struct hf_client_connection *connection, const char *server,
                              uint64_t connect_timeout_ns, uint64_t first_delay_ns);
void hf_client_connection_close(struct hf_client_connection *connection);

/* Starts, finishes or gives up attempts, as far as that is possible now. */
void hf_client_connection_advance(struct hf_client_connection *connection, uint64_t now_ns);

/* Breaks the connection off, for `reason`. */
void hf_client_connection_drop(struct hf_client_connection *connection, uint64_t now_ns,
                               const char *reason);

/* Room for `bytes` of output, to be filled at once; NULL if there is too little. */
uint8_t *hf_client_connection_reserve(struct hf_client_connection *connection, size_t bytes);

/* Sends what is there. 0, -EAGAIN (the socket takes no more now), or the error. */
int hf_client_connection_send(struct hf_client_connection *connection);

/*
 * Receives once, as much as there is room for; whole frames must have been taken before.
 * Bytes received, -EAGAIN, -ECONNRESET when the server closed, or the error.
 */
int hf_client_connection_receive(struct hf_client_connection *connection);

/*
 * Takes the next whole frame: 1, and *bytes stays valid until the next receive; 0 if there is none
 * yet; -EBADMSG if what is there cannot be the start of a reply.
 */
int hf_client_connection_next_frame(struct hf_client_connection *connection, struct hf_frame *frame,
                                    const uint8_t **bytes);

/* Tells that the server answered sensibly: delays start small again. */
void hf_client_connection_praise(struct hf_client_connection *connection);

/* The poll(2) events to wait for, without those for output that is not encoded yet. */
short hf_client_connection_events(const struct hf_client_connection *connection);

#endif
