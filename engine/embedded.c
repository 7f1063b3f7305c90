/*
 * The embedded API: see include/holdfast/embedded.h.
 *
 * Sessions are actors of the engine. One thread, the writer, holds an io_uring and drives the
 * flusher. A session that has appended pokes it through an eventfd, once for as many appends as
 * come before the writer looks. When commit has moved, the writer wakes the sessions that wait.
 */
#include "holdfast/embedded.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/embedded_log.h"
#include "engine/execute.h"
#include "engine/lapse.h"
#include "engine/request.h"
#include "engine/store.h"
#include "wal/io_uring.h"
#include "wal/standstill.h"
#include "wal/tail.h"

#define RING_ENTRIES   32
#define POKE_USER_DATA (1ull << 32)
#define PAUSE_NS       (1 * HF_NS_PER_MS)  /* while the next segment is prepared */
#define ATTEST_NS      (20 * HF_NS_PER_MS) /* idle: attest what is committed */
#define BUSY_SPINS     64
#define TICK_BUDGET    4096 /* of what is due, the writer does at a turn */

struct hf_embedded {
    struct hf_store *store;
    pthread_t writer;
    struct io_uring ring; /* the writer's */
    struct hf_uring_queue queue;
    struct hf_actor actor; /* the writer's: it keeps the time */
    bool backlog;          /* more is due than it did at its last turn */
    int poke;
    uint64_t poke_value;      /* where the writer's read of `poke` goes */
    _Atomic uint32_t poked;   /* set by a session that pokes, cleared by the writer */
    _Atomic uint32_t closing; /* set by hf_embedded_close() */
    pthread_mutex_t mutex;    /* of the sessions that wait */
    pthread_cond_t committed;
    _Atomic uint32_t opened; /* 0: the writer is starting; 1: running; 2: it cannot */
    char error[HF_EMBEDDED_ERROR_BYTES];
};

struct hf_session {
    struct hf_actor actor;
    struct hf_embedded *db;
    struct hf_standstill standstill; /* of the log, as it was met */
    /* Where lists of an answer are: until the next call. */
    struct hf_reservation_entry entries[HF_MAX_PAGE_ENTRIES];
    struct hf_inventory inventories[HF_MAX_LIST_ENTRIES];
    struct hf_availability_entry availability[HF_MAX_LIST_ENTRIES];
};

static struct hf_flusher *flusher_of(struct hf_embedded *db)
{
    return &db->store->log.flusher;
}

static void poke(struct hf_embedded *db)
{
    uint64_t one = 1;
    /* acq_rel, pairs with the exchange in handle_events(): what was appended before is flushed by
     * the run that follows it. */
    if (hf_exchange_acq_rel(&db->poked, 1) == 0)
        HF_CHECK(write(db->poke, &one, sizeof one) == sizeof one);
}

static void arm_poke(struct hf_embedded *db)
{
    struct io_uring_sqe *sqe = hf_uring_sqe(&db->ring);
    io_uring_prep_read(sqe, db->poke, &db->poke_value, sizeof db->poke_value, 0);
    io_uring_sqe_set_data64(sqe, POKE_USER_DATA);
}

/* Handles what completed. Returns how many events there were. */
static unsigned handle_events(struct hf_embedded *db)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&db->ring, head, cqe)
    {
        count++;
        if (cqe->user_data == POKE_USER_DATA) {
            hf_exchange_acq_rel(&db->poked, 0); /* pairs with poke() */
            arm_poke(db);
        } else {
            uint32_t cookie;
            int result;
            if (hf_uring_queue_reap(&db->queue, cqe, &cookie, &result))
                hf_flusher_complete(flusher_of(db), &db->queue.queue, cookie, result);
        }
    }
    io_uring_cq_advance(&db->ring, count);
    return count;
}

/* How long the writer may sleep; UINT64_MAX: as long as nothing completes. */
static uint64_t longest_pause_ns(struct hf_embedded *db)
{
    if (db->backlog)
        return 0;
    uint64_t until_ns = hf_engine_sleep(&db->actor);
    uint64_t pause_ns = UINT64_MAX;
    if (until_ns != UINT64_MAX)
        pause_ns = until_ns > db->actor.now_ns ? until_ns - db->actor.now_ns : 0;
    if (hf_flusher_stalled(flusher_of(db)) && pause_ns > PAUSE_NS)
        return PAUSE_NS;
    if (hf_flusher_wants_attest(flusher_of(db)) && pause_ns > ATTEST_NS)
        return ATTEST_NS;
    return pause_ns;
}

static void wait_for_events(struct hf_embedded *db)
{
    uint64_t pause_ns = longest_pause_ns(db);
    struct __kernel_timespec timeout = {
        .tv_sec = (long long)(pause_ns / HF_NS_PER_S),
        .tv_nsec = (long long)(pause_ns % HF_NS_PER_S),
    };
    struct io_uring_cqe *cqe;
    int result = io_uring_submit_and_wait_timeout(&db->ring, &cqe, 1,
                                                  pause_ns != UINT64_MAX ? &timeout : NULL, NULL);
    hf_engine_awake(&db->actor);
    HF_CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
             result == -EBUSY);
}

/* What is due is done by the writer. */
static void keep_time(struct hf_embedded *db)
{
    db->actor.now_ns = hf_server_clock_now_ns(&db->store->log.clock);
    hf_actor_enter(&db->actor);
    db->backlog = hf_engine_tick(&db->actor, TICK_BUDGET);
    hf_actor_exit(&db->actor);
    db->actor.wake = false; /* the one who sleeps is the one who is awake */
}

static void announce_commit(struct hf_embedded *db)
{
    pthread_mutex_lock(&db->mutex);
    pthread_cond_broadcast(&db->committed);
    pthread_mutex_unlock(&db->mutex);
}

static void write_log(struct hf_embedded *db)
{
    uint64_t announced = 0, readable = 0;
    /* Acquire, pairs with the release in hf_embedded_close(): no session is left. */
    while (!(hf_load_acquire(&db->closing) && db->queue.inflight == 0 &&
             hf_flusher_idle(flusher_of(db)))) {
        wait_for_events(db);
        unsigned events = handle_events(db);
        keep_time(db);
        hf_flusher_run(flusher_of(db), &db->queue.queue);
        if (events == 0)
            hf_flusher_attest(flusher_of(db), &db->queue.queue);
        uint64_t commit_lsn = hf_flusher_commit_lsn(flusher_of(db));
        uint64_t limit_lsn = hf_tail_limit(flusher_of(db)); /* for those who watch */
        if (commit_lsn != announced || limit_lsn != readable)
            announce_commit(db);
        announced = commit_lsn;
        readable = limit_lsn;
    }
}

static void *writer_main(void *context)
{
    struct hf_embedded *db = context;
    /* The ring belongs to the thread that submits. */
    int result = hf_uring_open(&db->ring, RING_ENTRIES, db->error, sizeof db->error);
    if (result == 0)
        result = hf_actor_init(&db->actor, &db->store->engine, &db->store->log.ring);
    if (result == 0) {
        db->actor.now_ns = hf_server_clock_now_ns(&db->store->log.clock);
        hf_uring_queue_init(&db->queue, &db->ring, 0, db->store->log.disk.writes);
        arm_poke(db);
    }
    pthread_mutex_lock(&db->mutex);
    hf_store_release(&db->opened, result == 0 ? 1 : 2); /* pairs with start_writer() */
    pthread_cond_broadcast(&db->committed);
    pthread_mutex_unlock(&db->mutex);
    if (result != 0)
        return NULL;
    write_log(db);
    hf_actor_close(&db->actor);
    io_uring_queue_exit(&db->ring);
    return NULL;
}

static int start_writer(struct hf_embedded *db, char *error)
{
    int result = -pthread_create(&db->writer, NULL, writer_main, db);
    if (result != 0) {
        snprintf(error, HF_EMBEDDED_ERROR_BYTES, "cannot start a thread: %s", strerror(-result));
        return result;
    }
    pthread_mutex_lock(&db->mutex);
    while (hf_load_acquire(&db->opened) == 0) /* pairs with writer_main() */
        pthread_cond_wait(&db->committed, &db->mutex);
    pthread_mutex_unlock(&db->mutex);
    if (hf_load_acquire(&db->opened) == 1)
        return 0;
    pthread_join(db->writer, NULL);
    snprintf(error, HF_EMBEDDED_ERROR_BYTES, "%s", db->error);
    return -EIO;
}

_Static_assert((int)HF_EMBEDDED_LOG_WRITES_AUTO == (int)HF_LOG_WRITES_AUTO &&
                   (int)HF_EMBEDDED_LOG_WRITES_DIRECT == (int)HF_LOG_WRITES_DIRECT &&
                   (int)HF_EMBEDDED_LOG_WRITES_SYNC == (int)HF_LOG_WRITES_SYNC,
               "the same, in words of the public header");

int hf_embedded_open(const struct hf_embedded_options *options, struct hf_embedded **opened,
                     char error[HF_EMBEDDED_ERROR_BYTES])
{
    _Static_assert(HF_EMBEDDED_ERROR_BYTES >= HF_LOG_ERROR_BYTES, "the store's line fits");
    struct hf_embedded *db = calloc(1, sizeof *db);
    if (db == NULL) {
        snprintf(error, HF_EMBEDDED_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    pthread_mutex_init(&db->mutex, NULL);
    pthread_cond_init(&db->committed, NULL);
    struct hf_store_options store_options = {
        .directory = options->directory,
        .max_inventories = options->max_inventories,
        .max_reservations = options->max_reservations,
        .segment_bytes = options->segment_bytes,
        .writes_inflight = options->writes_inflight,
        .log_writes = (enum hf_log_writes)options->log_writes,
        .retain_ns = options->retain_ns,
        .durability = options->memory ? HF_DURABILITY_MEMORY : HF_DURABILITY_DISK,
    };
    int result = hf_store_open(&db->store, &store_options, error);
    if (result != 0)
        goto free_db;
    db->poke = eventfd(0, EFD_CLOEXEC);
    if (db->poke < 0) {
        result = -errno;
        snprintf(error, HF_EMBEDDED_ERROR_BYTES, "cannot make an eventfd: %s", strerror(-result));
        goto close_store;
    }
    result = start_writer(db, error);
    if (result != 0)
        goto close_poke;
    *opened = db;
    return 0;

close_poke:
    close(db->poke);
close_store:
    hf_store_close(db->store);
free_db:
    pthread_cond_destroy(&db->committed);
    pthread_mutex_destroy(&db->mutex);
    free(db);
    return result;
}

int hf_embedded_close(struct hf_embedded *db)
{
    hf_store_release(&db->closing, 1); /* pairs with write_log() */
    poke(db);
    pthread_join(db->writer, NULL);
    int result = hf_store_close(db->store);
    close(db->poke);
    pthread_cond_destroy(&db->committed);
    pthread_mutex_destroy(&db->mutex);
    free(db);
    return result;
}

int hf_session_open(struct hf_embedded *db, struct hf_session **opened)
{
    struct hf_session *session = malloc(sizeof *session);
    if (session == NULL)
        return -ENOMEM;
    session->db = db;
    session->standstill = (struct hf_standstill){0};
    int result = hf_actor_init(&session->actor, &db->store->engine, &db->store->log.ring);
    if (result != 0) {
        free(session);
        return result;
    }
    *opened = session;
    return 0;
}

void hf_session_close(struct hf_session *session)
{
    hf_actor_close(&session->actor);
    free(session);
}

/* Reads that the engine answers at once, with lists of their own. False: another operation. */
static bool answer_list(struct hf_session *session, const struct hf_request *request,
                        struct hf_reply *reply)
{
    *reply = (struct hf_reply){.operation = request->operation, .result = HF_FOUND};
    if (request->operation == HF_OP_INVENTORY_LIST) {
        uint32_t next;
        reply->count = hf_engine_list_inventories(&session->actor, request->from, request->limit,
                                                  session->inventories, &next);
        reply->inventories = session->inventories;
        reply->next = next;
        return true;
    }
    if (request->operation == HF_OP_AVAILABILITY) {
        hf_engine_availability(&session->actor, request->ids, request->count,
                               session->availability);
        reply->count = request->count;
        reply->availability = session->availability;
        return true;
    }
    return false;
}

/* Waits until an operation that was put aside can be tried again. */
static void wait_aside(struct hf_session *session, unsigned reason, uint32_t tries)
{
    if (reason == HF_PUT_ASIDE_BUSY && tries < BUSY_SPINS) {
        hf_cpu_relax();
        return;
    }
    if (reason == HF_PUT_ASIDE_LOG_FULL)
        poke(session->db);
    struct timespec pause = {.tv_nsec = 50000};
    if (reason == HF_PUT_ASIDE_BUSY)
        sched_yield();
    else
        nanosleep(&pause, NULL);
}

/* One attempt. False: the engine does not know the operation. */
static bool execute_once(struct hf_session *session, const struct hf_request *request,
                         struct hf_outcome *outcome)
{
    struct hf_actor *actor = &session->actor;
    actor->now_ns = hf_server_clock_now_ns(&session->db->store->log.clock);
    hf_actor_enter(actor);
    bool known = hf_engine_execute(actor, request, session->entries, outcome);
    if (actor->limbo.count != 0)
        hf_engine_tick(actor, 0); /* what it took out itself; the rest is the writer's */
    hf_actor_exit(actor);
    return known;
}

/* Until it is decided. False: the engine does not know the operation. */
static bool execute(struct hf_session *session, const struct hf_request *request,
                    struct hf_outcome *outcome)
{
    struct hf_log *log = &session->db->store->log;
    for (uint32_t tries = 0;; tries++) {
        if (!execute_once(session, request, outcome))
            return false;
        if (!hf_outcome_put_aside(outcome))
            return true;
        if (outcome->result == HF_PUT_ASIDE_LOG_FULL) {
            uint64_t durable_lsn = hf_load_relaxed(&log->flusher.durable_lsn); /* does it move? */
            if (hf_segments_error(&log->segments) != 0)
                outcome->result = HF_STORAGE_FULL;
            else if (hf_standstill_look(&session->standstill, durable_lsn, hf_monotonic_now_ns()))
                outcome->result = HF_OVERLOADED;
            if (!hf_outcome_put_aside(outcome))
                return true;
        }
        wait_aside(session, outcome->result, tries);
    }
}

unsigned hf_session_call(struct hf_session *session, const struct hf_request *request,
                         struct hf_reply *reply, uint64_t *wait_for_lsn)
{
    struct hf_embedded *db = session->db;
    struct hf_outcome outcome;
    enum hf_field field;
    unsigned line;
    *wait_for_lsn = 0;
    enum hf_result check = hf_request_check(request, &field, &line);
    if (check != HF_OK) {
        *reply = (struct hf_reply){
            .operation = request->operation, .result = check, .field = field, .line = line};
        return check;
    }
    if (answer_list(session, request, reply))
        return reply->result;
    if (!execute(session, request, &outcome)) {
        *reply = (struct hf_reply){.operation = request->operation,
                                   .result = HF_UNKNOWN_OPERATION,
                                   .field = HF_FIELD_OPERATION};
        return reply->result;
    }
    hf_outcome_reply(&outcome, request->operation, session->entries, reply);
    *wait_for_lsn = outcome.wait_for_lsn;
    if (session->actor.wake || outcome.wait_for_lsn > hf_flusher_commit_lsn(flusher_of(db)))
        poke(db);
    session->actor.wake = false;
    return reply->result;
}

void hf_session_wait(struct hf_session *session, uint64_t lsn)
{
    struct hf_embedded *db = session->db;
    if (hf_flusher_commit_lsn(flusher_of(db)) >= lsn)
        return;
    pthread_mutex_lock(&db->mutex);
    /* The writer moves commit before it takes the mutex, so none of its announcements is missed. */
    while (hf_flusher_commit_lsn(flusher_of(db)) < lsn)
        pthread_cond_wait(&db->committed, &db->mutex);
    pthread_mutex_unlock(&db->mutex);
}

void hf_embedded_status(struct hf_embedded *db, struct hf_status *status)
{
    *status = (struct hf_status){.state = HF_SERVER_READY};
    hf_store_describe(db->store, status);
}

void hf_embedded_request_snapshot(struct hf_embedded *db)
{
    hf_store_request_snapshot(db->store);
}

uint64_t hf_embedded_commit_lsn(const struct hf_embedded *db)
{
    return hf_flusher_commit_lsn(&db->store->log.flusher);
}

/* ---- for watches and histories ---- */

struct hf_store *hf_embedded_store(struct hf_embedded *db)
{
    return db->store;
}

struct hf_embedded *hf_session_embedded(struct hf_session *session)
{
    return session->db;
}

bool hf_embedded_wait(struct hf_embedded *db, uint64_t lsn, uint64_t timeout_ns)
{
    uint64_t now_ns = hf_clock_ns(CLOCK_MONOTONIC);
    uint64_t until_ns = timeout_ns > UINT64_MAX / 4 ? UINT64_MAX / 4 : now_ns + timeout_ns;
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / HF_NS_PER_S),
        .tv_nsec = (long)(until_ns % HF_NS_PER_S),
    };
    int result = 0;
    pthread_mutex_lock(&db->mutex);
    /* As in hf_session_wait(). */
    while (hf_tail_limit(flusher_of(db)) < lsn && result != ETIMEDOUT)
        result = pthread_cond_clockwait(&db->committed, &db->mutex, CLOCK_MONOTONIC, &until);
    bool reached = hf_tail_limit(flusher_of(db)) >= lsn;
    pthread_mutex_unlock(&db->mutex);
    return reached;
}
