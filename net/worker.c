/* A worker's thread and its loop; told in worker.h. */
#include "net/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/lapse.h"
#include "net/traffic.h"

#define RING_ENTRIES 1024

/* Frames executed in one turn, about: what comes after waits for the next, so that a write that has
 * completed, and the replies that it commits, do not wait for a long turn. */
#define TURN_FRAMES 512

/* Replies that await commit, of one worker: at first, and at most. */
#define AWAIT_CAPACITY 2048
#define AWAIT_LIMIT    32768

/* Of what is due (lapsed holds, ended retentions), done in one turn. */
#define TICK_BUDGET 512

/* Shutting down: how long requests are still executed, and how long connections are waited for. */
#define DRAIN_SERVE_NS (200 * HF_NS_PER_MS)
#define DRAIN_WAIT_NS  (2 * HF_NS_PER_S)

/* And how long for a full disk to have room again. */
#define DRAIN_STORAGE_NS (5 * HF_NS_PER_S)

/* How long a worker sleeps at most while something is due that no completion announces. */
#define PAUSE_BUSY_NS     (20 * HF_NS_PER_US)  /* another actor is deciding */
#define PAUSE_LOG_NS      (200 * HF_NS_PER_US) /* the log has no room */
#define PAUSE_AWAIT_NS    (10 * HF_NS_PER_MS)  /* too many replies await commit: is it moving? */
#define PAUSE_SEGMENT_NS  (1 * HF_NS_PER_MS)   /* the next segment is being prepared */
#define PAUSE_STOPPING_NS (2 * HF_NS_PER_MS)
#define PAUSE_LIMBO_NS    (5 * HF_NS_PER_MS)   /* cells wait until nobody stands on them; chores */
#define PAUSE_ATTEST_NS   (20 * HF_NS_PER_MS)  /* idle: attest what is committed */
#define PAUSE_ACCEPT_NS   (100 * HF_NS_PER_MS) /* out of descriptors, or peers slow to end */

static struct hf_flusher *flusher_of(struct hf_worker *worker)
{
    return &worker->server->store->log.flusher;
}

/* ---- messages ---- */

#define TO_FEED 0xffu
_Static_assert(HF_MAX_WORKERS < TO_FEED, "the feed is none of the workers");

static uint64_t unsent_data(uint32_t to, enum hf_message message, int descriptor)
{
    return hf_event_make(HF_EVENT_UNSENT,
                         (uint64_t)to << 40 | (uint64_t)message << 32 | (uint32_t)descriptor);
}

void hf_worker_send(struct io_uring *from, const struct hf_worker *to, enum hf_message message,
                    int descriptor)
{
    struct io_uring_sqe *sqe = hf_uring_sqe(from);
    uint64_t user_data =
        hf_event_make(HF_EVENT_MESSAGE, (uint64_t)message << 32 | (uint32_t)descriptor);
    io_uring_prep_msg_ring(sqe, to->ring.ring_fd, 0, user_data, 0);
    io_uring_sqe_set_data64(sqe, unsent_data(to->index, message, descriptor));
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* ---- accepting: worker 0 ---- */

static void arm_accept(struct hf_worker *worker)
{
    struct io_uring_sqe *sqe = hf_uring_sqe(&worker->ring);
    io_uring_prep_multishot_accept(sqe, worker->server->listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, hf_event_make(HF_EVENT_ACCEPT, 0));
    worker->accepting = true;
    worker->accept_failed = false;
}

static void accepted(struct hf_worker *worker, int result, bool more)
{
    if (!more)
        worker->accepting = false;
    if (result >= 0) {
        struct hf_worker *owner = worker->server->workers[worker->next_worker];
        worker->next_worker = (worker->next_worker + 1) % worker->server->worker_count;
        if (worker->stopping)
            close(result);
        else if (owner == worker)
            hf_traffic_adopt(worker, result);
        else
            hf_worker_send(&worker->ring, owner, HF_MESSAGE_ADOPT, result);
    } else if (result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM) {
        if (worker->accept_failed_ns == 0) /* told once */
            fprintf(stderr,
                    "holdfastd: cannot accept more connections: %s; raise the limit (ulimit -n)\n",
                    strerror(-result));
        worker->accept_failed = true;
        worker->accept_failed_ns = worker->actor.now_ns;
    }
    if (!worker->accepting && !worker->accept_failed && !worker->stopping)
        arm_accept(worker);
}

static void begin_stop(struct hf_worker *worker)
{
    worker->stopping = worker->handler.stopping = true;
    worker->stop_ns = worker->actor.now_ns;
    if (!worker->accepting)
        return;
    struct io_uring_sqe *sqe = hf_uring_sqe(&worker->ring);
    io_uring_prep_cancel64(sqe, hf_event_make(HF_EVENT_ACCEPT, 0), 0);
    io_uring_sqe_set_data64(sqe, hf_event_make(HF_EVENT_IGNORED, 0));
}

/* A message did not arrive. For want of memory, it is sent again: who sleeps may sleep until it comes.
 * Else the other ring is no more. */
static void send_again(struct hf_worker *worker, uint64_t user_data, int result)
{
    if (result != -ENOMEM && result != -EOVERFLOW && result != -EAGAIN)
        return;
    uint32_t to = (uint8_t)(user_data >> 40);
    if (to == TO_FEED)
        hf_feed_send_wake(&worker->port);
    else
        hf_worker_send(&worker->ring, worker->server->workers[to],
                       (enum hf_message)(uint8_t)(user_data >> 32), (int)(uint32_t)user_data);
}

static void received_message(struct hf_worker *worker, uint64_t user_data)
{
    switch ((enum hf_message)(user_data >> 32 & 0xff)) {
    case HF_MESSAGE_WAKE:
    case HF_MESSAGE_FEED:
        break; /* this turn looks at commit and at the feed anyway */
    case HF_MESSAGE_ADOPT:
        hf_traffic_adopt(worker, (int)(uint32_t)user_data);
        break;
    case HF_MESSAGE_STOP:
        begin_stop(worker);
        break;
    }
}

/* ---- receive buffers ---- */

static int open_buffers(struct hf_worker *worker)
{
    size_t ring_bytes = HF_RECEIVE_BUFFERS * sizeof(struct io_uring_buf);
    worker->buffer_ring = aligned_alloc(4096, (ring_bytes + 4095) & ~(size_t)4095);
    worker->buffers = aligned_alloc(4096, HF_RECEIVE_BUFFERS * HF_RECEIVE_BUFFER_BYTES);
    if (worker->buffer_ring == NULL || worker->buffers == NULL)
        return -ENOMEM;
    memset(worker->buffer_ring, 0, ring_bytes);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)worker->buffer_ring,
        .ring_entries = HF_RECEIVE_BUFFERS,
        .bgid = 0,
    };
    int result = io_uring_register_buf_ring(&worker->ring, &registration, 0);
    if (result != 0)
        return result;
    io_uring_buf_ring_init(worker->buffer_ring);
    for (int i = 0; i < HF_RECEIVE_BUFFERS; i++)
        io_uring_buf_ring_add(worker->buffer_ring, worker->buffers + i * HF_RECEIVE_BUFFER_BYTES,
                              HF_RECEIVE_BUFFER_BYTES, (unsigned short)i,
                              io_uring_buf_ring_mask(HF_RECEIVE_BUFFERS), i);
    io_uring_buf_ring_advance(worker->buffer_ring, HF_RECEIVE_BUFFERS);
    return 0;
}

static void return_buffer(struct hf_worker *worker, uint16_t number)
{
    io_uring_buf_ring_add(
        worker->buffer_ring, worker->buffers + (size_t)number * HF_RECEIVE_BUFFER_BYTES,
        HF_RECEIVE_BUFFER_BYTES, number, io_uring_buf_ring_mask(HF_RECEIVE_BUFFERS), 0);
    io_uring_buf_ring_advance(worker->buffer_ring, 1);
}

/* ---- the loop ---- */

static void received(struct hf_worker *worker, const struct io_uring_cqe *cqe)
{
    bool has_buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    uint16_t number = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    const uint8_t *buffer =
        has_buffer ? worker->buffers + (size_t)number * HF_RECEIVE_BUFFER_BYTES : NULL;
    hf_traffic_received(worker, cqe->user_data, cqe->res, buffer,
                        (cqe->flags & IORING_CQE_F_MORE) != 0);
    if (has_buffer)
        return_buffer(worker, number);
}

static void dispatch(struct hf_worker *worker, const struct io_uring_cqe *cqe)
{
    uint32_t cookie;
    int result;
    switch ((enum hf_event)(cqe->user_data >> 56)) {
    case HF_EVENT_IGNORED:
        break;
    case HF_EVENT_ACCEPT:
        accepted(worker, cqe->res, (cqe->flags & IORING_CQE_F_MORE) != 0);
        break;
    case HF_EVENT_RECEIVE:
        received(worker, cqe);
        break;
    case HF_EVENT_SEND:
        hf_traffic_sent(worker, cqe->user_data, cqe->res);
        break;
    case HF_EVENT_LOG:
        if (hf_uring_queue_reap(&worker->queue, cqe, &cookie, &result))
            hf_flusher_complete(flusher_of(worker), &worker->queue.queue, cookie, result);
        break;
    case HF_EVENT_UNSENT:
        send_again(worker, cqe->user_data, cqe->res);
        break;
    case HF_EVENT_MESSAGE:
        received_message(worker, cqe->user_data);
        break;
    }
}

static bool any_stalled(const struct hf_worker *worker, enum hf_stall why)
{
    for (uint32_t i = 0; i < worker->stalled_count; i++)
        if (worker->stalled[i]->stall == why)
            return true;
    return false;
}

/* Worker 0 keeps the time: it wakes when something is due. */
static uint64_t until_due_ns(struct hf_worker *worker)
{
    if (worker->index != 0)
        return hf_engine_has_odd_jobs(&worker->actor) ? PAUSE_LIMBO_NS : UINT64_MAX;
    uint64_t until_ns = hf_engine_sleep(&worker->actor);
    if (until_ns == UINT64_MAX)
        return UINT64_MAX;
    return until_ns > worker->actor.now_ns ? until_ns - worker->actor.now_ns : 1;
}

/* How long this worker may sleep but for what is due; UINT64_MAX: as long as nothing completes. */
static uint64_t longest_pause_ns(struct hf_worker *worker)
{
    if (any_stalled(worker, HF_STALL_BUSY))
        return PAUSE_BUSY_NS;
    if (any_stalled(worker, HF_STALL_LOG))
        return PAUSE_LOG_NS;
    if (hf_flusher_stalled(flusher_of(worker)))
        return PAUSE_SEGMENT_NS;
    if (worker->stopping)
        return PAUSE_STOPPING_NS;
    if (any_stalled(worker, HF_STALL_AWAIT))
        return PAUSE_AWAIT_NS;
    if (hf_flusher_wants_attest(flusher_of(worker)))
        return PAUSE_ATTEST_NS;
    if (worker->accept_failed || worker->shut_count != 0)
        return PAUSE_ACCEPT_NS;
    return UINT64_MAX;
}

/* True if a reply can be delivered already, so that there is no time to sleep. */
static bool announce_waiting(struct hf_worker *worker)
{
    const struct hf_awaiting *front = hf_await_front(&worker->await);
    if (front == NULL)
        return false;
    /* seq_cst both, pairs with wake_others(): see worker.h. */
    hf_store_seq_cst(&worker->waiting_lsn, front->lsn);
    return hf_flusher_commit_lsn(flusher_of(worker)) >= front->lsn;
}

static void wake_others(struct hf_worker *worker)
{
    hf_feed_look(&worker->port);
    uint64_t commit_lsn = hf_flusher_commit_lsn(flusher_of(worker));
    if (commit_lsn == worker->commit_seen)
        return;
    worker->commit_seen = commit_lsn;
    for (uint32_t i = 0; i < worker->server->worker_count; i++) {
        struct hf_worker *other = worker->server->workers[i];
        if (other == worker)
            continue;
        /* seq_cst, pairs with announce_waiting(). The CAS lets one of us send the message. */
        uint64_t waiting = hf_load_seq_cst(&other->waiting_lsn);
        if (waiting != 0 && waiting <= commit_lsn &&
            hf_cas_acq_rel(&other->waiting_lsn, &waiting, 0))
            hf_worker_send(&worker->ring, other, HF_MESSAGE_WAKE, 0);
    }
}

static bool is_front_committed(struct hf_worker *worker)
{
    const struct hf_awaiting *front = hf_await_front(&worker->await);
    return front != NULL && hf_flusher_commit_lsn(flusher_of(worker)) >= front->lsn;
}

/* Asks again and again, for so long; see worker.h. -ETIME: nothing completed, or was committed. */
static int poll_for_events(struct hf_worker *worker, uint64_t poll_ns)
{
    uint64_t until_ns = hf_monotonic_now_ns() + poll_ns;
    do {
        int result = io_uring_submit_and_get_events(&worker->ring);
        if (result < 0 || io_uring_cq_ready(&worker->ring) != 0 || is_front_committed(worker))
            return result;
        hf_cpu_relax();
    } while (hf_monotonic_now_ns() < until_ns);
    return -ETIME;
}

static int sleep_for_events(struct hf_worker *worker, uint64_t pause_ns)
{
    struct __kernel_timespec timeout = {
        .tv_sec = (long long)(pause_ns / HF_NS_PER_S),
        .tv_nsec = (long long)(pause_ns % HF_NS_PER_S),
    };
    struct io_uring_cqe *cqe;
    return io_uring_submit_and_wait_timeout(&worker->ring, &cqe, 1,
                                            pause_ns != UINT64_MAX ? &timeout : NULL, NULL);
}

/* Polls, if that pays, and then sleeps; for `pause_ns` in all, at most. -ETIME: that has passed. */
static int pause_for_events(struct hf_worker *worker, uint64_t pause_ns)
{
    uint64_t most_ns = worker->server->options.busy_poll_ns, poll_ns = 0;
    if (worker->polls)
        poll_ns = most_ns < pause_ns ? most_ns : pause_ns;
    int result = poll_ns != 0 ? poll_for_events(worker, poll_ns) : -ETIME;
    if (result != -ETIME)
        return result;
    worker->polls = false;
    if (poll_ns == pause_ns)
        return -ETIME;
    if (announce_waiting(worker))
        return io_uring_submit_and_get_events(&worker->ring);
    uint64_t began_ns = most_ns != 0 ? hf_monotonic_now_ns() : 0;
    result = sleep_for_events(worker, pause_ns);
    worker->polls = most_ns != 0 && hf_monotonic_now_ns() - began_ns < most_ns;
    return result;
}

/* Submits what is queued and waits until something completes or is due. True: it was woken by time. */
static bool wait_for_events(struct hf_worker *worker)
{
    int result;
    if (worker->backlog || is_front_committed(worker)) {
        result = io_uring_submit_and_get_events(&worker->ring);
    } else {
        uint64_t pause_ns = longest_pause_ns(worker);
        uint64_t due_ns = until_due_ns(worker);
        result = pause_for_events(worker, pause_ns < due_ns ? pause_ns : due_ns);
        if (worker->index == 0)
            hf_engine_awake(&worker->actor);
    }
    /* Relaxed: a message on its way costs one turn, no more. */
    hf_store_relaxed(&worker->waiting_lsn, 0);
    HF_CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
             result == -EBUSY);
    return result == -ETIME;
}

/* What is due, a little of it. The time keeper is woken if what this turn filed is due earlier. */
static void keep_time(struct hf_worker *worker)
{
    /* Deadlines are asked by the newest time that this turn has read. */
    worker->backlog = !worker->done && hf_engine_tick(&worker->actor, TICK_BUDGET);
    if (worker->actor.wake && worker->index != 0)
        hf_worker_send(&worker->ring, worker->server->workers[0], HF_MESSAGE_WAKE, 0);
    worker->actor.wake = false;
}

static uint32_t reap(struct hf_worker *worker)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    uint32_t count = 0;
    worker->turn_frames = 0;
    io_uring_for_each_cqe(&worker->ring, head, cqe)
    {
        dispatch(worker, cqe);
        count++;
        if (worker->turn_frames >= TURN_FRAMES)
            break;
    }
    io_uring_cq_advance(&worker->ring, count);
    return count;
}

/* Nothing is left to do for a connection: from now on this worker appends nothing. */
static void finish_serving(struct hf_worker *worker)
{
    worker->done = true;
    hf_actor_close(&worker->actor);
    /* Release, pairs with the acquire in is_finished(): all our appends come before it. */
    hf_fetch_add_acq_rel(&worker->server->serving, UINT32_MAX); /* - 1 */
}

static void progress_shutdown(struct hf_worker *worker)
{
    uint64_t since_ns = worker->actor.now_ns - worker->stop_ns;
    worker->handler.refusing = since_ns > DRAIN_SERVE_NS;
    hf_traffic_drain(worker, since_ns > DRAIN_WAIT_NS);
    bool empty = hf_load_relaxed(&worker->connection_count) == 0; /* our own */
    if (!worker->done && empty && hf_await_count(&worker->await) == 0 && !worker->accepting)
        finish_serving(worker);
}

/* True when no worker appends any more, and all that any appended is durable. */
static bool is_finished(struct hf_worker *worker)
{
    if (!worker->done || worker->queue.inflight != 0 ||
        hf_load_acquire(&worker->server->serving) != 0) /* pairs with finish_serving() */
        return false;
    if (hf_flusher_idle(flusher_of(worker)))
        return true;
    /* The disk is full. What cannot be written was not acknowledged. */
    return hf_flusher_stalled(flusher_of(worker)) &&
           worker->actor.now_ns - worker->stop_ns > DRAIN_STORAGE_NS;
}

/* Those whom the doorman has let in. */
static void adopt_visitors(struct hf_worker *worker)
{
    worker->actor.now_ns = hf_server_clock_now_ns(&worker->server->store->log.clock);
    hf_actor_enter(&worker->actor);
    while (worker->visitors != NULL) {
        struct hf_visitor *visitor = worker->visitors;
        worker->visitors = visitor->next;
        hf_traffic_adopt_visitor(worker, visitor);
    }
    hf_actor_exit(&worker->actor);
    hf_flusher_run(flusher_of(worker), &worker->queue.queue);
    hf_traffic_send(worker);
}

static void serve(struct hf_worker *worker)
{
    if (worker->visitors != NULL)
        adopt_visitors(worker);
    if (worker->index == 0)
        arm_accept(worker);
    while (!is_finished(worker)) {
        bool timed_out = wait_for_events(worker);
        worker->actor.now_ns = hf_server_clock_now_ns(&worker->server->store->log.clock);
        if (!worker->done)
            hf_actor_enter(&worker->actor);
        uint32_t events = reap(worker);
        if (worker->accept_failed && !worker->stopping &&
            worker->actor.now_ns - worker->accept_failed_ns > PAUSE_ACCEPT_NS)
            arm_accept(worker);
        hf_traffic_retry(worker);
        if (!worker->done) {
            keep_time(worker);
            hf_actor_exit(&worker->actor);
        }
        hf_flusher_run(flusher_of(worker), &worker->queue.queue);
        if (timed_out && events == 0 && !worker->stopping)
            hf_flusher_attest(flusher_of(worker), &worker->queue.queue);
        hf_traffic_deliver(worker);
        hf_traffic_feed(worker);
        wake_others(worker);
        hf_traffic_send(worker);
        hf_traffic_reap_shut(worker);
        if (worker->stopping)
            progress_shutdown(worker);
    }
}

/* ---- start and end ---- */

static int open_worker(struct hf_worker *worker)
{
    int result =
        hf_uring_open(&worker->ring, RING_ENTRIES, worker->start_error, sizeof worker->start_error);
    if (result != 0)
        return result;
    hf_uring_queue_init(&worker->queue, &worker->ring, hf_event_make(HF_EVENT_LOG, 0),
                        worker->server->store->log.disk.writes);
    uint8_t *blocks[HF_MAX_INFLIGHT];
    for (uint32_t i = 0; i < HF_MAX_INFLIGHT; i++)
        blocks[i] = flusher_of(worker)->inflight[i].buffer;
    hf_uring_queue_pin(&worker->queue, blocks, HF_MAX_BLOCK_BYTES);
    result = hf_actor_init(&worker->actor, &worker->server->store->engine,
                           &worker->server->store->log.ring);
    if (result == 0)
        result = open_buffers(worker);
    hf_feed_port_init(&worker->port, worker->server->feed, &worker->ring, worker->index,
                      hf_event_make(HF_EVENT_MESSAGE, (uint64_t)HF_MESSAGE_FEED << 32));
    worker->port.unsent = unsent_data(TO_FEED, HF_MESSAGE_FEED, 0);
    if (result == 0)
        result = hf_await_init(&worker->await, AWAIT_CAPACITY, AWAIT_LIMIT);
    if (result == 0)
        result = hf_handler_init(&worker->handler, worker->server, &worker->actor, &worker->await,
                                 &worker->port, &worker->pool);
    if (result != 0)
        snprintf(worker->start_error, sizeof worker->start_error, "cannot set up a worker: %s%s",
                 strerror(-result), result == -EINVAL ? "; Linux 6.1 or newer is needed" : "");
    return result;
}

static void *worker_main(void *context)
{
    struct hf_worker *worker = context;
    worker->start_result = open_worker(worker);
    sem_post(&worker->started);
    while (sem_wait(&worker->go) != 0)
        ;
    if (!worker->server->given_up)
        serve(worker);
    if (worker->start_result == 0)
        hf_feed_port_close(&worker->port);
    return NULL;
}

int hf_worker_start(struct hf_worker **started, struct hf_server *server, uint32_t index,
                    char error[HF_SERVER_ERROR_BYTES])
{
    struct hf_worker *worker = aligned_alloc(HF_CACHE_LINE_BYTES, sizeof *worker);
    if (worker == NULL) {
        snprintf(error, HF_SERVER_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    memset(worker, 0, sizeof *worker);
    worker->server = server;
    worker->index = index;
    worker->ring.ring_fd = -1;
    sem_init(&worker->started, 0, 0);
    sem_init(&worker->go, 0, 0);
    int result = -pthread_create(&worker->thread, NULL, worker_main, worker);
    if (result != 0) {
        snprintf(error, HF_SERVER_ERROR_BYTES, "cannot start a thread: %s", strerror(-result));
        free(worker);
        return result;
    }
    while (sem_wait(&worker->started) != 0)
        ;
    *started = worker;
    if (worker->start_result != 0)
        snprintf(error, HF_SERVER_ERROR_BYTES, "%s", worker->start_error);
    return worker->start_result;
}

void hf_worker_go(struct hf_worker *worker)
{
    sem_post(&worker->go);
}

void hf_worker_join(struct hf_worker *worker)
{
    pthread_join(worker->thread, NULL);
}

void hf_worker_free(struct hf_worker *worker)
{
    for (uint32_t slot = 0; slot < worker->slot_count; slot++)
        free(worker->connections[slot]);
    free(worker->connections);
    free(worker->dirty);
    free(worker->stalled);
    hf_handler_close(&worker->handler);
    hf_await_close(&worker->await);
    hf_chunk_pool_close(&worker->pool);
    if (worker->ring.ring_fd >= 0)
        io_uring_queue_exit(&worker->ring);
    free(worker->buffers);
    free(worker->buffer_ring);
    sem_destroy(&worker->started);
    sem_destroy(&worker->go);
    free(worker);
}
