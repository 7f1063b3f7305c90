/* Addresses as people write them: "HOST:PORT", "[IPv6]:PORT". */
#ifndef HF_NET_ADDRESS_H
#define HF_NET_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define HF_HOST_BYTES 256

/* Splits `text`. False if it is not of that form, or the port is not 0 .. 65535. */
bool hf_address_split(const char *text, char host[HF_HOST_BYTES], char port[6]);

/* Writes a socket address as HOST:PORT. */
void hf_address_format(const struct sockaddr *address, socklen_t address_bytes, char *text,
                       size_t text_bytes);

#endif
