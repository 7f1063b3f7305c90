/* Links. See link.h. */
#include "bench/link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench/options.h"
#include "net/address.h"

/* Like hf_link_open(), but silent: -EINVAL for what is not of the form, -ENOENT for a host that is
 * not known. */
static int open_link(const char *server, struct hf_link_address *address)
{
    char host[HF_HOST_BYTES], port[6];
    if (!hf_address_split(server, host, port))
        return -EINVAL;
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    if (getaddrinfo(host, port, &wanted, &found) != 0)
        return -ENOENT;
    int link = -ENOENT;
    for (const struct addrinfo *one = found; one && link < 0; one = one->ai_next) {
        memcpy(&address->address, one->ai_addr, one->ai_addrlen);
        address->address_bytes = one->ai_addrlen;
        link = hf_link_connect(address);
    }
    freeaddrinfo(found);
    return link;
}

int hf_link_open(const char *server, struct hf_link_address *address)
{
    int link = open_link(server, address);
    if (link == -EINVAL)
        hf_usage_error("--server wants HOST:PORT, not \"%s\"", server);
    if (link < 0)
        fprintf(stderr,
                "%s: cannot reach %s: %s: start the server, or name another with --server\n",
                program_invocation_short_name, server,
                link == -ENOENT ? "no such host" : strerror(-link));
    return link;
}

int hf_link_connect(const struct hf_link_address *address)
{
    /* A send time-out bounds connect(2), too. */
    const struct timeval timeout = {.tv_sec = HF_LINK_TIMEOUT_MS / 1000};
    const int one = 1;
    int link = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link < 0)
        return -errno;
    if (setsockopt(link, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) < 0 ||
        setsockopt(link, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0 ||
        setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        connect(link, (const struct sockaddr *)&address->address, address->address_bytes) < 0) {
        int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
        close(link);
        return -error;
    }
    return link;
}

static int send_all(int link, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(link, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (sent > 0) {
            bytes += sent;
            count -= (size_t)sent;
        }
    }
    return 0;
}

static int receive_all(int link, uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t received = recv(link, bytes, count, MSG_WAITALL);
        if (received == 0)
            return -ECONNRESET;
        if (received < 0 && errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (received > 0) {
            bytes += received;
            count -= (size_t)received;
        }
    }
    return 0;
}

int hf_link_exchange(int link, const uint8_t *requests, size_t request_bytes, uint32_t count,
                     hf_link_reply *reply, void *context)
{
    uint8_t bytes[HF_MAX_REPLY_BYTES];
    struct hf_frame frame;
    int result = send_all(link, requests, request_bytes);
    for (uint32_t i = 0; i < count && result == 0; i++) {
        result = receive_all(link, bytes, HF_FRAME_HEADER_BYTES);
        if (result != 0)
            break;
        hf_frame_read(bytes, &frame);
        if (frame.frame_bytes < HF_FRAME_HEADER_BYTES || frame.frame_bytes > sizeof bytes)
            return -EPROTO;
        result = receive_all(link, bytes + HF_FRAME_HEADER_BYTES,
                             frame.frame_bytes - HF_FRAME_HEADER_BYTES);
        if (result == 0)
            result = reply(context, &frame, bytes);
    }
    return result;
}
