/*
 * A scripted server on a real loopback socket, for tests of the client library.
 *
 * Client and server live in one thread: the script moves the client by hf_client_wait() whenever it
 * waits for it, so each test decides what happens after what, down to the byte, and nothing depends
 * on timing but the time-outs. A script that waits for more than ten seconds ends the process.
 */
#ifndef HF_TESTS_LIB_PEER_H
#define HF_TESTS_LIB_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "holdfast/client.h"
#include "net/codec.h"

struct hf_peer {
    int listener;
    char address[32];
};

struct hf_peer hf_peer_start(void);
struct hf_peer hf_peer_start_with_backlog(int backlog);

/* A client of it, which connects again after 1 ms. request_timeout_ms 0: the default. */
struct hf_client *hf_peer_open_client(const struct hf_peer *peer, uint32_t request_timeout_ms);

/* Moves the client once and rests a little, for at most ten seconds from `since_ns`. */
void hf_peer_move_client(struct hf_client *client, uint64_t since_ns);

/* The next connection. The caller closes it. */
int hf_peer_accept(const struct hf_peer *peer, struct hf_client *client);

/* Receives exactly `bytes`, moving the client meanwhile. */
void hf_peer_receive_bytes(struct hf_client *client, int fd, uint8_t *out, size_t bytes);

/* Receives the next request, which must be a right one; fields that its operation does not have are
 * zero, lists stay valid until the next call. Returns its tag. */
uint64_t hf_peer_receive(struct hf_client *client, int fd, struct hf_request *request);

void hf_peer_send(int fd, const void *bytes, size_t count);
void hf_peer_send_short(int fd, unsigned operation, uint64_t tag, unsigned result);

/* Writes the answer to the request with that header, the `number`th of its connection, from 1 on.
 * Returns its length. */
typedef size_t hf_peer_answer(uint8_t out[HF_MAX_REPLY_BYTES], const struct hf_frame *request,
                              uint32_t number);

/* Without a client to move, as in a thread of its own: takes one connection and answers whatever is
 * asked, until it is closed. */
void hf_peer_serve(const struct hf_peer *peer, hf_peer_answer *answer);

#endif
