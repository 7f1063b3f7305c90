/*
 * A link: one TCP connection of the bench to the server, and the address it goes to.
 *
 * The bench does not use the client library: that one mends broken connections, while for the bench
 * a broken connection is a finding.
 */
#ifndef HF_BENCH_LINK_H
#define HF_BENCH_LINK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/codec.h"

#define HF_LINK_TIMEOUT_MS 10000 /* to connect, and for one answer in hf_link_exchange() */

/* Where the server is: the one of its addresses that answered. */
struct hf_link_address {
    struct sockaddr_storage address;
    socklen_t address_bytes;
};

/*
 * Resolves "HOST:PORT" or "[IPv6]:PORT", the value of --server, and connects to the first address
 * that answers, which *address then holds. Blocks. The descriptor of a blocking socket; or -errno,
 * once the reason was reported. What is not of that form ends the program (options.h).
 */
int hf_link_open(const char *server, struct hf_link_address *address);

/* One more connection to the same address: a blocking socket with TCP_NODELAY, or -errno. */
int hf_link_connect(const struct hf_link_address *address);

/* Takes one reply of hf_link_exchange(), whole. Returns 0, or anything else to stop. */
typedef int hf_link_reply(void *context, const struct hf_frame *frame, const uint8_t *bytes);

/*
 * Sends `request_bytes` of whole requests, then receives `count` replies and hands each to `reply`.
 * Blocks. The requests must fit the socket's buffers, as nothing is received before all are sent.
 * 0, -errno, -EPROTO if what came is no frame, or what `reply` returned.
 */
int hf_link_exchange(int link, const uint8_t *requests, size_t request_bytes, uint32_t count,
                     hf_link_reply *reply, void *context);

#endif
