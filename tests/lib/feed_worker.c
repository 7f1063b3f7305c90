/* A worker without sockets: see feed_worker.h. */
#include "tests/lib/feed_worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "wal/io_uring.h"

static void doze(void)
{
    struct timespec pause = {.tv_nsec = 200000};
    nanosleep(&pause, NULL);
}

static void append(struct hf_feed_client *client, const uint8_t *bytes, size_t count)
{
    if (client->received_bytes + count > client->received_capacity) {
        client->received_capacity = 2 * (client->received_bytes + count);
        client->received = realloc(client->received, client->received_capacity);
        HF_CHECK(client->received != NULL);
    }
    memcpy(client->received + client->received_bytes, bytes, count);
    client->received_bytes += count;
    client->output_bytes += count;
}

static void move_frames(struct hf_feed_worker *worker, struct hf_feed_client *client)
{
    const uint8_t *bytes;
    uint32_t count;
    if (client->reads)
        client->output_bytes = 0;
    while (client->connected && (bytes = hf_feed_front(&worker->port, &client->peer,
                                                       client->output_bytes, &count)) != NULL) {
        append(client, bytes, count);
        hf_feed_pop(&worker->port, &client->peer);
    }
}

static void take_frames(struct hf_feed_worker *worker)
{
    struct hf_feed_frame *frame;
    while ((frame = hf_feed_take(&worker->port)) != NULL) {
        struct hf_feed_client *client = &worker->clients[frame->address.slot];
        bool there = client->connected && client->generation == frame->address.generation;
        hf_feed_accept(&worker->port, there ? &client->peer : NULL, frame);
    }
}

static void open_ring(struct hf_feed_worker *worker)
{
    char error[200];
    HF_CHECK(hf_uring_open(&worker->ring, 1024, error, sizeof error) == 0);
    hf_feed_port_init(&worker->port, worker->feed, &worker->ring, 0, 1);
    worker->ready = true;
}

static void turn(void *context)
{
    struct hf_feed_worker *worker = context;
    pthread_mutex_lock(&worker->lock);
    if (!worker->ready)
        open_ring(worker);
    io_uring_submit_and_get_events(&worker->ring);
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    bool told = false;
    io_uring_for_each_cqe(&worker->ring, head, cqe)
    {
        told |= cqe->user_data == 1;
        count++;
    }
    io_uring_cq_advance(&worker->ring, count);
    if (told) /* only then: a message that is not sent shows */
        take_frames(worker);
    for (uint32_t i = 0; i < HF_FEED_CLIENTS; i++)
        move_frames(worker, &worker->clients[i]);
    hf_feed_look(&worker->port);
    io_uring_submit(&worker->ring);
    pthread_mutex_unlock(&worker->lock);
}

void hf_feed_worker_open(struct hf_feed_worker *worker, struct hf_live_log *live)
{
    memset(worker, 0, sizeof *worker);
    worker->live = live;
    char error[200];
    pthread_mutex_init(&worker->lock, NULL);
    HF_CHECK(hf_feed_open(&worker->feed, &live->log, &live->log.recent) == 0);
    HF_CHECK(hf_uring_open(&worker->control, 8, error, sizeof error) == 0);
    live->turn = turn;
    live->turn_context = worker;
    hf_live_log_start(live);
    for (bool ready = false; !ready; doze()) {
        pthread_mutex_lock(&worker->lock);
        ready = worker->ready;
        pthread_mutex_unlock(&worker->lock);
    }
}

void hf_feed_worker_close(struct hf_feed_worker *worker)
{
    for (uint32_t i = 0; i < HF_FEED_CLIENTS; i++) {
        if (worker->clients[i].connected)
            hf_feed_worker_disconnect(worker, i);
        free(worker->clients[i].received);
    }
    hf_live_log_stop(worker->live);
    hf_feed_port_close(&worker->port);
    hf_feed_close(worker->feed, &worker->control);
    io_uring_queue_exit(&worker->ring);
    io_uring_queue_exit(&worker->control);
    pthread_mutex_destroy(&worker->lock);
    hf_live_log_close(worker->live);
}

void hf_feed_worker_connect(struct hf_feed_worker *worker, uint32_t client, bool reads)
{
    struct hf_feed_client *connected = &worker->clients[client];
    pthread_mutex_lock(&worker->lock);
    HF_CHECK(!connected->connected);
    connected->connected = true;
    connected->reads = reads;
    connected->output_bytes = connected->received_bytes = connected->taken = 0;
    pthread_mutex_unlock(&worker->lock);
}

void hf_feed_worker_disconnect(struct hf_feed_worker *worker, uint32_t client)
{
    struct hf_feed_client *gone = &worker->clients[client];
    pthread_mutex_lock(&worker->lock);
    hf_feed_forget(&worker->port, &gone->peer);
    gone->connected = false;
    gone->generation++;
    pthread_mutex_unlock(&worker->lock);
}

void hf_feed_worker_set_reads(struct hf_feed_worker *worker, uint32_t client, bool reads)
{
    pthread_mutex_lock(&worker->lock);
    worker->clients[client].reads = reads;
    pthread_mutex_unlock(&worker->lock);
}

enum hf_result hf_feed_worker_subscribe(struct hf_feed_worker *worker, uint32_t client,
                                        uint64_t tag, const struct hf_request *request)
{
    struct hf_feed_client *of = &worker->clients[client];
    pthread_mutex_lock(&worker->lock);
    enum hf_result result =
        hf_feed_subscribe(&worker->port, &of->peer, client, of->generation, tag, request);
    pthread_mutex_unlock(&worker->lock);
    return result;
}

enum hf_result hf_feed_worker_unsubscribe(struct hf_feed_worker *worker, uint32_t client,
                                          uint64_t tag, uint64_t watch_tag)
{
    struct hf_feed_client *of = &worker->clients[client];
    pthread_mutex_lock(&worker->lock);
    enum hf_result result =
        hf_feed_unsubscribe(&worker->port, &of->peer, client, of->generation, tag, watch_tag);
    pthread_mutex_unlock(&worker->lock);
    return result;
}

enum hf_result hf_feed_worker_history(struct hf_feed_worker *worker, uint32_t client, uint64_t tag,
                                      const struct hf_request *request,
                                      const struct hf_reservation *newest)
{
    struct hf_feed_client *of = &worker->clients[client];
    pthread_mutex_lock(&worker->lock);
    enum hf_result result =
        hf_feed_history(&worker->port, &of->peer, client, of->generation, tag, request, newest);
    pthread_mutex_unlock(&worker->lock);
    return result;
}

static bool take_frame(struct hf_feed_client *client, uint8_t *bytes, struct hf_frame *frame)
{
    if (client->taken == client->received_bytes)
        return false;
    hf_frame_read(client->received + client->taken, frame);
    HF_CHECK(frame->frame_bytes <= HF_MAX_REPLY_BYTES &&
             client->taken + frame->frame_bytes <= client->received_bytes);
    memcpy(bytes, client->received + client->taken, frame->frame_bytes);
    client->taken += frame->frame_bytes;
    if (client->taken == client->received_bytes)
        client->taken = client->received_bytes = 0;
    return true;
}

bool hf_feed_worker_next(struct hf_feed_worker *worker, uint32_t client, uint8_t *bytes,
                         struct hf_frame *frame, uint32_t patience_ms)
{
    uint64_t until_ns = hf_monotonic_now_ns() + patience_ms * HF_NS_PER_MS;
    for (;;) {
        pthread_mutex_lock(&worker->lock);
        bool taken = take_frame(&worker->clients[client], bytes, frame);
        pthread_mutex_unlock(&worker->lock);
        if (taken || hf_monotonic_now_ns() > until_ns)
            return taken;
        doze();
    }
}
