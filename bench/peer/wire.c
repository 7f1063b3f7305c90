/* Wires. See wire.h. */
#include "bench/peer/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench/peer/peer.h"
#include "net/address.h"

static int connect_to(const struct addrinfo *address)
{
    /* A send time-out bounds connect(2), too. */
    const struct timeval timeout = {.tv_sec = HF_PEER_TIMEOUT_MS / 1000};
    const int one = 1;
    int wire = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (wire < 0)
        return -errno;
    if (setsockopt(wire, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0 &&
        setsockopt(wire, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
        connect(wire, address->ai_addr, address->ai_addrlen) == 0 &&
        fcntl(wire, F_SETFL, O_NONBLOCK) == 0)
        return wire;
    int error = errno;
    close(wire);
    return -error;
}

int hf_peer_wire_open(struct hf_peer_wire *wire, const char *server, size_t in_bytes,
                      size_t out_bytes)
{
    char host[HF_HOST_BYTES], port[6];
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    *wire = (struct hf_peer_wire){.socket = -1, .in_room = in_bytes, .out_room = out_bytes};
    if (!hf_address_split(server, host, port))
        return HF_PEER_FAIL("\"%s\" is not HOST:PORT", server);
    if (getaddrinfo(host, port, &wanted, &found) != 0)
        return HF_PEER_FAIL("%s: no such host", host);
    for (const struct addrinfo *one = found; one && wire->socket < 0; one = one->ai_next)
        wire->socket = connect_to(one);
    freeaddrinfo(found);
    if (wire->socket < 0)
        return HF_PEER_FAIL("cannot reach %s: %s", server, strerror(-wire->socket));
    wire->in = malloc(in_bytes);
    wire->out = malloc(out_bytes);
    if (wire->in && wire->out)
        return 0;
    return HF_PEER_FAIL("no memory");
}

void hf_peer_wire_close(struct hf_peer_wire *wire)
{
    if (wire->socket >= 0)
        close(wire->socket);
    free(wire->in);
    free(wire->out);
    *wire = (struct hf_peer_wire){.socket = -1};
}

uint8_t *hf_peer_wire_room(struct hf_peer_wire *wire, size_t bytes)
{
    if (wire->out_room - wire->out_end < bytes) {
        memmove(wire->out, wire->out + wire->out_begin, wire->out_end - wire->out_begin);
        wire->out_end -= wire->out_begin;
        wire->out_begin = 0;
    }
    if (wire->out_room - wire->out_end < bytes) {
        hf_peer_say("more is in flight than there is room for");
        return NULL;
    }
    return wire->out + wire->out_end;
}

int hf_peer_wire_flush(struct hf_peer_wire *wire)
{
    if (wire->out_begin < wire->out_end) {
        ssize_t sent = send(wire->socket, wire->out + wire->out_begin,
                            wire->out_end - wire->out_begin, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return HF_PEER_FAIL("connection lost: %s", strerror(errno));
        wire->out_begin += sent < 0 ? 0 : (size_t)sent;
    }
    if (wire->out_begin < wire->out_end)
        return 1;
    wire->out_begin = wire->out_end = 0;
    return 0;
}

int hf_peer_wire_receive(struct hf_peer_wire *wire)
{
    memmove(wire->in, wire->in + wire->in_begin, wire->in_end - wire->in_begin);
    wire->in_end -= wire->in_begin;
    wire->in_begin = 0;
    if (wire->in_end == wire->in_room)
        return HF_PEER_FAIL("an answer that is larger than any should be");
    ssize_t count = recv(wire->socket, wire->in + wire->in_end, wire->in_room - wire->in_end, 0);
    if (count > 0)
        wire->in_end += (size_t)count;
    if (count == 0)
        return HF_PEER_FAIL("the server closed the connection");
    if (count < 0 && errno != EAGAIN && errno != EINTR)
        return HF_PEER_FAIL("connection lost: %s", strerror(errno));
    return 0;
}

int hf_peer_wire_await(struct hf_peer_wire *wire)
{
    size_t had = wire->in_end - wire->in_begin;
    do {
        int left = hf_peer_wire_flush(wire);
        struct pollfd wanted = {.fd = wire->socket,
                                .events = (short)(left == 1 ? POLLIN | POLLOUT : POLLIN)};
        if (left < 0)
            return -1;
        if (poll(&wanted, 1, HF_PEER_TIMEOUT_MS) <= 0)
            return HF_PEER_FAIL("no answer in %d s", HF_PEER_TIMEOUT_MS / 1000);
        if (wanted.revents != POLLOUT && hf_peer_wire_receive(wire) < 0)
            return -1;
    } while (wire->in_end - wire->in_begin == had);
    return 0;
}
