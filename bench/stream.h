/*
 * A stream: one connection of a load, non-blocking, in its thread's epoll set.
 *
 * Both directions work in buffers of the thread, which stay in the cache. What a stream keeps for itself
 * is the incomplete frame at the end of what was received, and the bytes that its socket would not take
 * yet: as long as there are any, the epoll set waits for EPOLLOUT, too.
 */
#ifndef HF_BENCH_STREAM_H
#define HF_BENCH_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/link.h"

struct hf_stream {
    int link;        /* -1: none */
    int epoll;       /* the caller's */
    void *context;   /* what an event of it carries */
    uint8_t *unsent; /* allocated when it is needed first */
    size_t unsent_bytes, unsent_room;
    uint8_t *partial;       /* of the frame that has not come in full */
    uint32_t partial_bytes; /* of it */
};

/* Connects; blocks. `partial_bytes`: the longest frame that may come. 0 or -errno; it is to be closed
 * either way, as one of {.link = -1} is. */
int hf_stream_open(struct hf_stream *stream, const struct hf_link_address *address, int epoll,
                   void *context, uint32_t partial_bytes);
void hf_stream_close(struct hf_stream *stream);

/* Sends behind all that was to be sent before; what does not fit is kept. 0 or -errno. */
int hf_stream_send(struct hf_stream *stream, const uint8_t *bytes, size_t count);

/* On EPOLLOUT: there is room again. 0 or -errno. */
int hf_stream_resume(struct hf_stream *stream);

/* Receives once, behind what was kept, into `room` bytes. How many are there; 0: nothing came; -errno,
 * -EPIPE if the peer has closed. */
ssize_t hf_stream_receive(struct hf_stream *stream, uint8_t *bytes, size_t room);

/* Keeps these for the next hf_stream_receive(): less than the longest frame. */
void hf_stream_keep(struct hf_stream *stream, const uint8_t *bytes, size_t count);

#endif
