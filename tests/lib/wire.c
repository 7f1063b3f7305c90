/* A connection in bytes; see wire.h. */
#include "tests/lib/wire.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int hf_wire_dial(const char *address)
{
    const struct timeval patience = {.tv_sec = HF_WIRE_PATIENCE_S};
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10)),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    int wire = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (wire < 0)
        return -1;
    if (connect(wire, (struct sockaddr *)&to, sizeof to) != 0) {
        close(wire);
        return -1;
    }
    setsockopt(wire, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return wire;
}

bool hf_wire_send(int wire, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(wire, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        count -= (size_t)sent;
    }
    return true;
}

bool hf_wire_receive(int wire, uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t received = recv(wire, bytes, count, 0);
        if (received <= 0)
            return false;
        bytes += received;
        count -= (size_t)received;
    }
    return true;
}
