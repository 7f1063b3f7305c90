/*
 * A wire: a TCP connection with a buffer for each direction, for peers whose protocol is spoken
 * here.
 *
 * Nothing blocks but open and await. The buffers have a fixed size: who asks for more room than
 * there is has more in flight than was said.
 */
#ifndef HF_BENCH_PEER_WIRE_H
#define HF_BENCH_PEER_WIRE_H

#include <stddef.h>
#include <stdint.h>

struct hf_peer_wire {
    int socket;
    uint8_t *in, *out;
    size_t in_begin, in_end, in_room; /* received: begin .. end - 1 */
    size_t out_begin, out_end, out_room;
};

/* Connects to "HOST:PORT", without Nagle's delay. 0; or -1, reported. */
int hf_peer_wire_open(struct hf_peer_wire *wire, const char *server, size_t in_bytes,
                      size_t out_bytes);
void hf_peer_wire_close(struct hf_peer_wire *wire); /* also of one that did not open */

/* Room for so many bytes to be sent; the caller moves out_end on. NULL: there is none; reported. */
uint8_t *hf_peer_wire_room(struct hf_peer_wire *wire, size_t bytes);

/* Sends what the socket takes. 0: all; 1: some is left; -1: lost, reported. */
int hf_peer_wire_flush(struct hf_peer_wire *wire);

/* Takes what has come. 0; or -1: the connection is lost, or the buffer is full with what nobody can
 * read; reported. */
int hf_peer_wire_receive(struct hf_peer_wire *wire);

/* Sends everything, then waits until more has been received. 0; or -1, reported. */
int hf_peer_wire_await(struct hf_peer_wire *wire);

#endif
