/* Streams. See stream.h. */
#include "bench/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

static int watch(const struct hf_stream *stream, int change, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = stream->context};
    return epoll_ctl(stream->epoll, change, stream->link, &event) < 0 ? -errno : 0;
}

int hf_stream_open(struct hf_stream *stream, const struct hf_link_address *address, int epoll,
                   void *context, uint32_t partial_bytes)
{
    *stream = (struct hf_stream){.epoll = epoll, .context = context};
    stream->link = hf_link_connect(address);
    if (stream->link < 0) {
        int result = stream->link;
        stream->link = -1;
        return result;
    }
    stream->partial = malloc(partial_bytes);
    if (stream->partial == NULL)
        return -ENOMEM;
    if (fcntl(stream->link, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    return watch(stream, EPOLL_CTL_ADD, EPOLLIN);
}

void hf_stream_close(struct hf_stream *stream)
{
    if (stream->link >= 0)
        close(stream->link);
    free(stream->partial);
    free(stream->unsent);
}

static int keep_unsent(struct hf_stream *stream, const uint8_t *bytes, size_t count)
{
    size_t needed = stream->unsent_bytes + count;
    if (needed > stream->unsent_room) {
        uint8_t *unsent = realloc(stream->unsent, 2 * needed);
        if (unsent == NULL)
            return -ENOMEM;
        stream->unsent = unsent;
        stream->unsent_room = 2 * needed;
    }
    memcpy(stream->unsent + stream->unsent_bytes, bytes, count);
    int result = stream->unsent_bytes == 0 ? watch(stream, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT) : 0;
    stream->unsent_bytes = needed;
    return result;
}

/* Hands bytes to the socket. How many it took, or -errno. */
static ssize_t offer(const struct hf_stream *stream, const uint8_t *bytes, size_t count)
{
    ssize_t sent = send(stream->link, bytes, count, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int hf_stream_send(struct hf_stream *stream, const uint8_t *bytes, size_t count)
{
    ssize_t sent = count != 0 && stream->unsent_bytes == 0 ? offer(stream, bytes, count) : 0;
    if (HF_LIKELY(sent == (ssize_t)count))
        return 0;
    return sent < 0 ? (int)sent : keep_unsent(stream, bytes + sent, count - (size_t)sent);
}

int hf_stream_resume(struct hf_stream *stream)
{
    ssize_t sent = offer(stream, stream->unsent, stream->unsent_bytes);
    if (sent < 0)
        return (int)sent;
    stream->unsent_bytes -= (size_t)sent;
    memmove(stream->unsent, stream->unsent + sent, stream->unsent_bytes);
    return stream->unsent_bytes == 0 ? watch(stream, EPOLL_CTL_MOD, EPOLLIN) : 0;
}

ssize_t hf_stream_receive(struct hf_stream *stream, uint8_t *bytes, size_t room)
{
    size_t kept = stream->partial_bytes;
    ssize_t count = recv(stream->link, bytes + kept, room - kept, 0);
    if (count == 0)
        return -EPIPE;
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    memcpy(bytes, stream->partial, kept);
    stream->partial_bytes = 0;
    return (ssize_t)kept + count;
}

void hf_stream_keep(struct hf_stream *stream, const uint8_t *bytes, size_t count)
{
    memcpy(stream->partial, bytes, count);
    stream->partial_bytes = (uint32_t)count;
}
