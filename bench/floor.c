/*
 * The floor: what a reservation costs if nothing is decided. The same bytes over the same sockets,
 * the same bytes into the same disk, and nothing else: no state, no checks, no recovery. Whatever a
 * server does beyond this is what it takes for its work; no server of this protocol that writes
 * once and waits for the disk can be faster by much.
 *
 * One thread, one epoll. A turn:
 *   1. receive from every connection that has something; note a record of 128 bytes for each RESERVE
 *   2. with --file: write these records in one block, direct and data-synced, and wait for it: one
 *      write in flight, and whatever comes meanwhile makes the next block
 *   3. send every connection its replies, in one call each
 *
 * It answers what holdfast-bench asks: INFO, INVENTORY_CREATE, RESERVE with GRANTED (--refuse: with
 * SOLD_OUT, without a record), PING.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "net/codec.h"

#define MAX_SOCKETS  20000
#define EVENTS       256
#define IN_BYTES     (64u << 10)
#define OUT_BYTES    (256u << 10)
#define RECORD_BYTES 128
#define BLOCK_BYTES  (1u << 20)
#define FILE_BYTES   (256u << 20) /* written over and over */
#define ALIGN_BYTES  4096u

struct connection {
    uint32_t in_bytes, out_bytes; /* of a frame that has not come in full; to be sent */
    bool listed;                  /* has something to be sent */
    uint8_t in[IN_BYTES], out[OUT_BYTES];
};

static struct connection *connections[MAX_SOCKETS]; /* by descriptor */
static int listed[MAX_SOCKETS], listed_count;
static uint8_t *block;
static uint32_t block_bytes = RECORD_BYTES; /* as if with a header */
static uint64_t file_offset, next_lsn = 1;
static int file = -1;
static bool refuses;

static void give_up(const char *what)
{
    fprintf(stderr, "holdfast-floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_block(void)
{
    uint32_t used = block_bytes;
    block_bytes = RECORD_BYTES;
    if (used == RECORD_BYTES || file < 0)
        return;
    uint32_t bytes = (used + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);
    memset(block + used, 0, bytes - used);
    if (file_offset + bytes > FILE_BYTES)
        file_offset = 0;
    if (pwrite(file, block, bytes, (off_t)file_offset) != (ssize_t)bytes)
        give_up("cannot write a block");
    file_offset += bytes;
}

static size_t answer_reserve(const uint8_t *frame, uint8_t *out, uint64_t now_ns)
{
    if (refuses)
        return hf_reply_encode_short(out, HF_OP_RESERVE, hf_get_u64(frame + 8), HF_SOLD_OUT, 0, 0,
                                     0);
    struct hf_reservation reservation = {
        .inventory_id = hf_get_u64(frame + 32),
        .customer_id = hf_get_u64(frame + 40),
        .lsn = next_lsn++,
        .made_at_ns = now_ns,
        .changed_at_ns = now_ns,
        .qty = hf_get_u32(frame + 48),
        .state = HF_STATE_CONFIRMED,
        .sequence = 1,
    };
    memcpy(reservation.id.bytes, frame + 16, sizeof reservation.id.bytes);
    memcpy(block + block_bytes, frame, HF_RESERVE_BYTES);
    memset(block + block_bytes + HF_RESERVE_BYTES, 0, RECORD_BYTES - HF_RESERVE_BYTES);
    block_bytes += RECORD_BYTES;
    return hf_reply_encode_reservation(out, HF_OP_RESERVE, hf_get_u64(frame + 8), HF_GRANTED,
                                       &reservation, false);
}

static size_t answer(const uint8_t *frame, uint8_t *out, uint64_t now_ns)
{
    uint64_t tag = hf_get_u64(frame + 8);
    struct hf_info info = {.server_version = "floor"};
    struct hf_inventory inventory = {.made_at_ns = now_ns, .lsn = 1, .version = 1};
    switch (frame[5]) {
    case HF_OP_RESERVE:
        return answer_reserve(frame, out, now_ns);
    case HF_OP_INFO:
        return hf_reply_encode_info(out, tag, &info);
    case HF_OP_INVENTORY_CREATE:
        inventory.inventory_id = hf_get_u64(frame + 16);
        inventory.product_id = hf_get_u64(frame + 24);
        inventory.capacity = inventory.sell_limit = hf_get_u32(frame + 32);
        inventory.available = (int32_t)inventory.capacity;
        return hf_reply_encode_inventory(out, frame[5], tag, HF_CREATED, &inventory);
    default:
        return hf_reply_encode_short(out, frame[5], tag, HF_OK, 0, 0, 0);
    }
}

/* Answers the whole frames that a connection has. What finds no room waits for the next turn. */
static void answer_all(int socket, struct connection *connection, uint64_t now_ns)
{
    uint32_t done = 0;
    while (connection->in_bytes - done >= HF_FRAME_HEADER_BYTES) {
        const uint8_t *frame = connection->in + done;
        uint32_t bytes = hf_get_u32(frame);
        if (bytes < HF_FRAME_HEADER_BYTES || bytes > IN_BYTES)
            give_up("a frame that is none");
        if (connection->in_bytes - done < bytes ||
            connection->out_bytes + HF_INFO_REPLY_BYTES > OUT_BYTES)
            break;
        if (block_bytes + RECORD_BYTES > BLOCK_BYTES)
            write_block();
        connection->out_bytes +=
            (uint32_t)answer(frame, connection->out + connection->out_bytes, now_ns);
        done += bytes;
    }
    connection->in_bytes -= done;
    memmove(connection->in, connection->in + done, connection->in_bytes);
    if (connection->out_bytes != 0 && !connection->listed) {
        connection->listed = true;
        listed[listed_count++] = socket;
    }
}

static void receive(int socket, uint64_t now_ns)
{
    struct connection *connection = connections[socket];
    ssize_t count = recv(socket, connection->in + connection->in_bytes,
                         IN_BYTES - connection->in_bytes, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        close(socket);
        connection->in_bytes = connection->out_bytes = 0;
        return;
    }
    connection->in_bytes += count < 0 ? 0 : (uint32_t)count;
    answer_all(socket, connection, now_ns);
}

static void send_all(void)
{
    for (int i = 0; i < listed_count; i++) {
        struct connection *connection = connections[listed[i]];
        connection->listed = false;
        /* Blocking if a peer does not read; those of the bench do. */
        for (uint32_t sent = 0; sent < connection->out_bytes;) {
            ssize_t count =
                send(listed[i], connection->out + sent, connection->out_bytes - sent, MSG_NOSIGNAL);
            if (count <= 0)
                break;
            sent += (uint32_t)count;
        }
        connection->out_bytes = 0;
    }
    listed_count = 0;
}

static void accept_one(int epoll, int listener)
{
    int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
    if (socket < 0 || socket >= MAX_SOCKETS)
        give_up("cannot accept");
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connections[socket] == NULL)
        connections[socket] = calloc(1, sizeof *connections[socket]);
    if (connections[socket] == NULL)
        give_up("no memory");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = socket};
    epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
}

static void open_disk(const char *path)
{
    file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT | O_DSYNC, 0600);
    if (file < 0)
        give_up(path);
    memset(block, 0, BLOCK_BYTES);
    for (uint64_t offset = 0; offset < FILE_BYTES; offset += BLOCK_BYTES)
        if (pwrite(file, block, BLOCK_BYTES, (off_t)offset) != BLOCK_BYTES)
            give_up("cannot fill the file");
}

static int open_listener(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    socklen_t address_bytes = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 4096) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &address_bytes) != 0)
        give_up("cannot listen");
    printf("holdfast-floor: ready on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv)
{
    int port = 0;
    block = aligned_alloc(ALIGN_BYTES, BLOCK_BYTES);
    if (block == NULL)
        give_up("no memory");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--refuse") == 0) {
            refuses = true;
        } else if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
            port = (int)strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--file") == 0 && i + 1 < argc) {
            open_disk(argv[++i]);
        } else {
            fprintf(stderr, "usage: holdfast-floor [--port PORT] [--file FILE] [--refuse]\n");
            return 2;
        }
    }
    int listener = open_listener(port), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS] = {{.events = EPOLLIN, .data.fd = listener}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events[0]);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        uint64_t now_ns = hf_date_now_ns();
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_one(epoll, listener);
            else
                receive(events[i].data.fd, now_ns);
        }
        write_block();
        send_all();
    }
}
