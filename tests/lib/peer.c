/* A scripted server: see peer.h. */
#include "tests/lib/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define PATIENCE_NS (10 * HF_NS_PER_S)

struct hf_peer hf_peer_start_with_backlog(int backlog)
{
    struct hf_peer peer;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;
    peer.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    HF_CHECK(peer.listener >= 0);
    HF_CHECK(bind(peer.listener, (struct sockaddr *)&address, sizeof address) == 0);
    HF_CHECK(listen(peer.listener, backlog) == 0);
    HF_CHECK(getsockname(peer.listener, (struct sockaddr *)&address, &address_bytes) == 0);
    snprintf(peer.address, sizeof peer.address, "127.0.0.1:%u", ntohs(address.sin_port));
    return peer;
}

struct hf_peer hf_peer_start(void)
{
    return hf_peer_start_with_backlog(16);
}

struct hf_client *hf_peer_open_client(const struct hf_peer *peer, uint32_t request_timeout_ms)
{
    struct hf_client_options options = {
        .server = peer->address, .request_timeout_ms = request_timeout_ms, .reconnect_delay_ms = 1};
    struct hf_client *client;
    HF_CHECK(hf_client_open(&options, &client) == 0);
    return client;
}

void hf_peer_move_client(struct hf_client *client, uint64_t since_ns)
{
    if (hf_monotonic_now_ns() - since_ns > PATIENCE_NS) {
        fprintf(stderr, "waited in vain: %s\n", hf_client_last_error(client));
        HF_CHECK(false);
    }
    (void)hf_client_wait(client, 1);
}

int hf_peer_accept(const struct hf_peer *peer, struct hf_client *client)
{
    uint64_t since_ns = hf_monotonic_now_ns();
    for (;;) {
        int fd = accept4(peer->listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0)
            return fd;
        hf_peer_move_client(client, since_ns);
    }
}

void hf_peer_receive_bytes(struct hf_client *client, int fd, uint8_t *out, size_t bytes)
{
    uint64_t since_ns = hf_monotonic_now_ns();
    while (bytes > 0) {
        ssize_t got = recv(fd, out, bytes, 0);
        if (got > 0) {
            out += got;
            bytes -= (size_t)got;
            continue;
        }
        HF_CHECK(got < 0 && errno == EAGAIN); /* else the client closed the connection */
        hf_peer_move_client(client, since_ns);
    }
}

uint64_t hf_peer_receive(struct hf_client *client, int fd, struct hf_request *request)
{
    static struct hf_request_scratch scratch;
    static uint8_t bytes[HF_MAX_REQUEST_BYTES];
    struct hf_frame frame;
    enum hf_field field;
    unsigned line;
    hf_peer_receive_bytes(client, fd, bytes, HF_FRAME_HEADER_BYTES);
    hf_frame_read(bytes, &frame);
    HF_CHECK(frame.frame_bytes >= HF_FRAME_HEADER_BYTES && frame.frame_bytes <= sizeof bytes);
    hf_peer_receive_bytes(client, fd, bytes + HF_FRAME_HEADER_BYTES,
                          frame.frame_bytes - HF_FRAME_HEADER_BYTES);
    memset(request, 0, sizeof *request);
    HF_CHECK(hf_request_decode(bytes, &frame, request, &scratch, &field, &line) == HF_OK);
    return frame.tag;
}

void hf_peer_send(int fd, const void *bytes, size_t count)
{
    HF_CHECK(send(fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count);
}

void hf_peer_send_short(int fd, unsigned operation, uint64_t tag, unsigned result)
{
    uint8_t bytes[HF_SHORT_REPLY_BYTES];
    hf_peer_send(fd, bytes, hf_reply_encode_short(bytes, operation, tag, result, 0, 0, 0));
}

void hf_peer_serve(const struct hf_peer *peer, hf_peer_answer *answer)
{
    static uint8_t in[HF_MAX_REQUEST_BYTES], out[HF_MAX_REPLY_BYTES];
    struct pollfd ready = {.fd = peer->listener, .events = POLLIN};
    poll(&ready, 1, PATIENCE_NS / HF_NS_PER_MS);
    int fd = accept(peer->listener, NULL, NULL);
    for (uint32_t number = 1;
         recv(fd, in, HF_FRAME_HEADER_BYTES, MSG_WAITALL) == HF_FRAME_HEADER_BYTES; number++) {
        struct hf_frame frame;
        hf_frame_read(in, &frame);
        size_t rest = frame.frame_bytes - HF_FRAME_HEADER_BYTES;
        HF_CHECK(rest <= sizeof in);
        if (rest > 0 && recv(fd, in, rest, MSG_WAITALL) != (ssize_t)rest)
            break;
        size_t bytes = answer(out, &frame, number);
        if (send(fd, out, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
            break;
    }
    close(fd);
}
