/*
 * A connection to a server under test, in bytes: it blocks, and what is sent and read is up to the
 * test. Receiving gives up after HF_WIRE_PATIENCE_S.
 */
#ifndef HF_TESTS_LIB_WIRE_H
#define HF_TESTS_LIB_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_WIRE_PATIENCE_S 20

/* Connects to the port of "HOST:PORT" on this machine. The caller closes it; -1: no connection. */
int hf_wire_dial(const char *address);

/* All of it. False: the connection failed, errno says how. */
bool hf_wire_send(int wire, const uint8_t *bytes, size_t count);

/* Exactly so many bytes. False: the server closed, or sent nothing for too long. */
bool hf_wire_receive(int wire, uint8_t *bytes, size_t count);

#endif
