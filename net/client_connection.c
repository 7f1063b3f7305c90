/* The client's connection: see client_connection.h for how it moves between its states. */
#include "net/client_connection.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define LONGEST_DELAY_NS   HF_NS_PER_S
#define LONGEST_HOST_BYTES 256
#define LONGEST_PORT_BYTES 6

/* ---- addresses -------------------------------------------------------------------------- */

static bool is_port(const char *text)
{
    unsigned port = 0;
    size_t length = strlen(text);
    if (length == 0 || length >= LONGEST_PORT_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port >= 1 && port <= 65535;
}

/*
 * Splits "HOST:PORT" or "[IPv6]:PORT". A colon in an unbracketed host is refused: whether the last
 * group of "::1:7411" is a port is anybody's guess.
 */
static bool split_server(const char *server, char host[LONGEST_HOST_BYTES], const char **port)
{
    const char *colon = strrchr(server, ':');
    if (colon == NULL || !is_port(colon + 1))
        return false;
    const char *start = server, *end = colon;
    bool bracketed = server[0] == '[';
    if (bracketed) {
        if (end < server + 2 || end[-1] != ']')
            return false;
        start++;
        end--;
    }
    size_t length = (size_t)(end - start);
    if (length == 0 || length >= LONGEST_HOST_BYTES)
        return false;
    memcpy(host, start, length);
    host[length] = '\0';
    *port = colon + 1;
    return bracketed == (strchr(host, ':') != NULL) && strpbrk(host, "[] \t\n") == NULL;
}

static int look_up(const char *server, struct addrinfo **addresses)
{
    char host[LONGEST_HOST_BYTES];
    const char *port;
    if (!split_server(server, host, &port))
        return -EINVAL;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    switch (getaddrinfo(host, port, &hints, addresses)) {
    case 0:
        return 0;
    case EAI_MEMORY:
        return -ENOMEM;
    default:
        return -ENOENT;
    }
}

/* ---- life ------------------------------------------------------------------------------- */

int hf_client_connection_open(struct hf_client_connection *connection, const char *server,
                              uint64_t connect_timeout_ns, uint64_t first_delay_ns)
{
    HF_CHECK(connect_timeout_ns > 0 && first_delay_ns > 0);
    /* All but the buffers: nothing reads those before writing them, and most clients never need
     * all of their pages. */
    memset(connection, 0, offsetof(struct hf_client_connection, in));
    connection->fd = -1;
    connection->connect_timeout_ns = connect_timeout_ns;
    connection->first_delay_ns = first_delay_ns;
    connection->delay_ns = first_delay_ns;
    snprintf(connection->error, sizeof connection->error, "not connected yet");
    int error = look_up(server, &connection->addresses);
    if (error != 0)
        return error;
    connection->address = connection->addresses;
    return 0;
}

void hf_client_connection_close(struct hf_client_connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    connection->link = HF_CLIENT_DOWN;
    freeaddrinfo(connection->addresses);
    connection->addresses = NULL;
    connection->address = NULL;
}

static const char *error_text(int error, char *room, size_t room_bytes)
{
    const char *text = strerror_r(error, room, room_bytes);
    if (text != room)
        snprintf(room, room_bytes, "%s", text);
    room[0] = (char)tolower((unsigned char)room[0]);
    return room;
}

/* Takes the socket away. Nothing of what was in the buffers outlives the connection. */
static void cut(struct hf_client_connection *connection, const char *reason)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    connection->link = HF_CLIENT_DOWN;
    connection->in_start = connection->in_end = 0;
    connection->out_start = connection->out_end = 0;
    snprintf(connection->error, sizeof connection->error, "%s", reason);
}

static void wait_for_next_round(struct hf_client_connection *connection, uint64_t now_ns)
{
    connection->wake_at_ns = now_ns + connection->delay_ns;
    connection->delay_ns *= 2;
    if (connection->delay_ns > LONGEST_DELAY_NS)
        connection->delay_ns = LONGEST_DELAY_NS;
}

void hf_client_connection_drop(struct hf_client_connection *connection, uint64_t now_ns,
                               const char *reason)
{
    cut(connection, reason);
    wait_for_next_round(connection, now_ns);
}

void hf_client_connection_praise(struct hf_client_connection *connection)
{
    connection->delay_ns = connection->first_delay_ns;
}

/* ---- connecting ------------------------------------------------------------------------- */

/* One attempt failed: the next address at once, or after the last one the first, later. */
static void attempt_failed(struct hf_client_connection *connection, uint64_t now_ns, int error)
{
    char room[96];
    cut(connection, error_text(error, room, sizeof room));
    connection->address = connection->address->ai_next;
    connection->wake_at_ns = now_ns;
    if (connection->address == NULL) {
        connection->address = connection->addresses;
        wait_for_next_round(connection, now_ns);
    }
}

/*
 * A client that keeps knocking at a local port where nobody listens can be given that very port as
 * its own and then connects to itself, which also keeps the server from listening there.
 */
static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_bytes = sizeof own, peer_bytes = sizeof peer;
    if (getsockname(fd, (struct sockaddr *)&own, &own_bytes) != 0 ||
        getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) != 0)
        return false;
    return own_bytes == peer_bytes && memcmp(&own, &peer, own_bytes) == 0;
}

/* The connect() of CONNECTING has ended well, unless with oneself. */
static void connected(struct hf_client_connection *connection, uint64_t now_ns)
{
    if (is_connected_to_itself(connection->fd)) {
        struct linger at_once = {.l_onoff = 1, .l_linger = 0}; /* leave no TIME_WAIT on the port */
        (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        attempt_failed(connection, now_ns, ECONNREFUSED);
        return;
    }
    connection->link = HF_CLIENT_UP;
    connection->connects++;
    snprintf(connection->error, sizeof connection->error, "no answer yet");
}

/* Requests go out at once; and a watch, which only listens, learns that its peer is gone. */
static void set_options(int fd)
{
    int on = 1, idle_s = 15, interval_s = 5, probes = 3;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static void start_attempt(struct hf_client_connection *connection, uint64_t now_ns)
{
    const struct addrinfo *address = connection->address;
    connection->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        attempt_failed(connection, now_ns, errno);
        return;
    }
    set_options(connection->fd);
    connection->link = HF_CLIENT_CONNECTING;
    connection->wake_at_ns = now_ns + connection->connect_timeout_ns;
    if (connect(connection->fd, address->ai_addr, address->ai_addrlen) == 0)
        connected(connection, now_ns);
    /* Interrupted, it goes on in the background like one that is in progress. */
    else if (errno != EINPROGRESS && errno != EINTR)
        attempt_failed(connection, now_ns, errno);
}

static void finish_attempt(struct hf_client_connection *connection, uint64_t now_ns)
{
    struct pollfd writable = {.fd = connection->fd, .events = POLLOUT};
    if (poll(&writable, 1, 0) <= 0) {
        if (now_ns >= connection->wake_at_ns)
            attempt_failed(connection, now_ns, ETIMEDOUT);
        return;
    }
    int error = 0;
    socklen_t error_bytes = sizeof error;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) != 0)
        error = errno;
    if (error != 0)
        attempt_failed(connection, now_ns, error);
    else
        connected(connection, now_ns);
}

void hf_client_connection_advance(struct hf_client_connection *connection, uint64_t now_ns)
{
    if (connection->link == HF_CLIENT_CONNECTING)
        finish_attempt(connection, now_ns);
    /* Bounded: each attempt that fails at once moves on to the next address, the last one waits. */
    while (connection->link == HF_CLIENT_DOWN && now_ns >= connection->wake_at_ns)
        start_attempt(connection, now_ns);
}

/* ---- bytes ------------------------------------------------------------------------------ */

uint8_t *hf_client_connection_reserve(struct hf_client_connection *connection, size_t bytes)
{
    if (bytes > sizeof connection->out - connection->out_end)
        return NULL;
    uint8_t *room = connection->out + connection->out_end;
    connection->out_end += (uint32_t)bytes;
    return room;
}

int hf_client_connection_send(struct hf_client_connection *connection)
{
    while (connection->out_start < connection->out_end) {
        ssize_t sent = send(connection->fd, connection->out + connection->out_start,
                            connection->out_end - connection->out_start, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EWOULDBLOCK ? -EAGAIN : -errno;
        connection->out_start += (uint32_t)sent;
    }
    connection->out_start = connection->out_end = 0;
    return 0;
}

int hf_client_connection_receive(struct hf_client_connection *connection)
{
    /* At most a part of one frame is left; from the front a whole one always has room. */
    if (connection->in_start > 0) {
        memmove(connection->in, connection->in + connection->in_start,
                connection->in_end - connection->in_start);
        connection->in_end -= connection->in_start;
        connection->in_start = 0;
    }
    HF_CHECK(connection->in_end < sizeof connection->in);
    for (;;) {
        ssize_t got = recv(connection->fd, connection->in + connection->in_end,
                           sizeof connection->in - connection->in_end, 0);
        if (got > 0) {
            connection->in_end += (uint32_t)got;
            return (int)got;
        }
        if (got == 0)
            return -ECONNRESET;
        if (errno != EINTR)
            return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    }
}

int hf_client_connection_next_frame(struct hf_client_connection *connection, struct hf_frame *frame,
                                    const uint8_t **bytes)
{
    uint32_t received = connection->in_end - connection->in_start;
    if (received < HF_FRAME_HEADER_BYTES)
        return 0;
    *bytes = connection->in + connection->in_start;
    hf_frame_read(*bytes, frame);
    if (frame->frame_bytes < HF_FRAME_HEADER_BYTES || frame->frame_bytes > HF_MAX_REPLY_BYTES ||
        (frame->operation & HF_REPLY_BIT) == 0)
        return -EBADMSG;
    if (received < frame->frame_bytes)
        return 0;
    connection->in_start += frame->frame_bytes;
    return 1;
}

short hf_client_connection_events(const struct hf_client_connection *connection)
{
    switch (connection->link) {
    case HF_CLIENT_DOWN:
        return 0;
    case HF_CLIENT_CONNECTING:
        return POLLOUT;
    case HF_CLIENT_UP:
        break;
    }
    return connection->out_start < connection->out_end ? POLLIN | POLLOUT : POLLIN;
}
