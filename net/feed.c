/* The feed's thread: see feed.h. */
#include "net/feed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "net/codec.h"
#include "wal/io_uring.h"
#include "wal/recent.h"

#define RING_ENTRIES 256

/* A watcher of whom nothing passes the filter is told this often how far it is, in records, so that
 * it can go on there after a disconnect. */
#define PROGRESS_RECORDS (1u << 18)

/* What a subscription that reads files gets in its turn, in batches; and for how many rounds those
 * that have a reader go before one that has none. */
#define FILE_BATCHES    16
#define PATIENCE_ROUNDS 256

/* How long is waited for memory. */
#define MEMORY_PAUSE_NS (10 * HF_NS_PER_MS)

static uint64_t limit_of(const struct hf_feed *feed)
{
    return hf_tail_limit(&feed->log->flusher);
}

/* This round ends at `limit_lsn`; what comes after it is waited for. */
static void want(struct hf_feed *feed, uint64_t limit_lsn)
{
    if (feed->wanted_lsn > limit_lsn + 1)
        feed->wanted_lsn = limit_lsn + 1;
}

/* ---- frames ---- */

/* A frame with room for `bytes`. Without memory nothing can be told to anyone, so it waits; NULL
 * only at the end of the process. */
static struct hf_feed_frame *make_frame(struct hf_feed *feed, const struct hf_feed_address *address,
                                        const uint8_t *bytes, size_t count)
{
    struct hf_feed_frame *frame;
    while ((frame = malloc(sizeof *frame + count)) == NULL) {
        struct timespec pause = {.tv_nsec = MEMORY_PAUSE_NS};
        if (hf_load_relaxed(&feed->stopping)) /* a hint, seen sooner or later */
            return NULL;
        nanosleep(&pause, NULL);
    }
    *frame = (struct hf_feed_frame){.address = *address, .frame_bytes = (uint32_t)count};
    memcpy(frame->bytes, bytes, count);
    return frame;
}

/* `completion` is what our own ring gets if the message cannot be delivered. */
static void send_message(struct io_uring *ring, int ring_fd, uint64_t user_data,
                         uint64_t completion)
{
    struct io_uring_sqe *sqe = hf_uring_sqe(ring);
    io_uring_prep_msg_ring(sqe, ring_fd, 0, user_data, 0);
    io_uring_sqe_set_data64(sqe, completion);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* Leaves a frame in its worker's outbox. */
static void post(struct hf_feed *feed, struct hf_feed_frame *frame)
{
    if (frame == NULL)
        return;
    uint32_t worker = frame->address.worker; /* once it is there, it may be gone again */
    struct hf_feed_outbox *outbox = &feed->outboxes[worker];
    struct hf_feed_frame *newest = hf_load_relaxed(&outbox->frames); /* the CAS looks again */
    do {
        frame->next = newest;
        /* acq_rel, pairs with hf_feed_take(). */
    } while (!hf_cas_weak_acq_rel(&outbox->frames, &newest, frame));
    if (newest == NULL &&
        !feed->mute) /* else it is still to read the message about the one before */
        send_message(&feed->ring, outbox->ring_fd, outbox->user_data, worker + 1);
}

void hf_feed_discard(struct hf_feed *feed, struct hf_feed_frame *frame)
{
    if ((frame->flags & HF_FRAME_LAST) != 0) {
        hf_watch_close(&frame->subscription->watch);
        free(frame->subscription);
        hf_fetch_sub_relaxed(&feed->subscriptions, 1); /* a count, it guards nothing */
    }
    free(frame);
}

/* ---- readers ---- */

/* A reader for `user`: the one that it used before, or the one that was not used for longest. NULL:
 * no memory. */
static struct hf_tail_reader *reader_for(struct hf_feed *feed, const void *user)
{
    struct hf_feed_reader *found = &feed->readers[0];
    for (uint32_t i = 0; i < HF_FEED_READERS; i++) {
        struct hf_feed_reader *candidate = &feed->readers[i];
        if (candidate->reader != NULL && candidate->user == user) {
            found = candidate;
            break;
        }
        if (candidate->used < found->used)
            found = candidate;
    }
    if (found->reader == NULL) {
        struct hf_tail_log log = hf_tail_log_of(feed->log, feed->recent);
        if (hf_tail_reader_open(&found->reader, &log) != 0)
            return NULL;
    }
    found->user = user;
    found->used = feed->round;
    return found->reader;
}

static void close_readers(struct hf_feed *feed)
{
    for (uint32_t i = 0; i < HF_FEED_READERS; i++) {
        hf_tail_reader_close(feed->readers[i].reader);
        feed->readers[i] = (struct hf_feed_reader){0};
    }
}

/* The log could not be read where it was committed. Whoever asked for it gets a no. */
static void report_failure(const struct hf_tail_reader *reader)
{
    fprintf(stderr, "holdfast: log: cannot read what is committed: %s\n",
            reader == NULL ? "out of memory" : hf_tail_reader_text(reader));
}

/* ---- subscriptions ---- */

static void enlist(struct hf_feed *feed, struct hf_subscription *subscription)
{
    subscription->feed_next = feed->list;
    subscription->feed_link = &feed->list;
    if (feed->list != NULL)
        feed->list->feed_link = &subscription->feed_next;
    feed->list = subscription;
}

static void delist(struct hf_subscription *subscription)
{
    if (subscription->feed_link == NULL)
        return;
    *subscription->feed_link = subscription->feed_next;
    if (subscription->feed_next != NULL)
        subscription->feed_next->feed_link = subscription->feed_link;
    subscription->feed_link = NULL;
}

/* Posts a frame of a subscription. */
static void tell(struct hf_feed *feed, struct hf_subscription *subscription, const uint8_t *bytes,
                 size_t count, unsigned flags)
{
    struct hf_feed_frame *frame = make_frame(feed, &subscription->address, bytes, count);
    if (frame == NULL)
        return;
    frame->subscription = subscription;
    frame->flags = flags;
    /* acq_rel, pairs with hf_feed_pop(): whoever takes the count from its maximum says RESUME. */
    if ((flags & HF_FRAME_COUNTED) != 0 &&
        hf_fetch_add_acq_rel(&subscription->inflight, 1) + 1 == HF_FEED_FRAMES)
        subscription->blocked = true;
    post(feed, frame);
}

/* Tells a no: it is the answer, or ends what was going on. */
static void refuse(struct hf_feed *feed, struct hf_subscription *subscription, const uint8_t *bytes,
                   size_t count)
{
    tell(feed, subscription, bytes, count,
         HF_FRAME_ENDS | (subscription->begun ? 0 : HF_FRAME_ANSWERS));
    delist(subscription);
}

static void refuse_lsn(struct hf_feed *feed, struct hf_subscription *subscription,
                       uint64_t first_lsn)
{
    uint8_t reply[HF_SHORT_REPLY_BYTES];
    refuse(feed, subscription, reply,
           hf_reply_encode_not_kept(reply, HF_OP_SUBSCRIBE, subscription->tag, first_lsn));
}

/* Posts a frame of the records shape, whose records stand in feed->frame. */
static void tell_records(struct hf_feed *feed, struct hf_subscription *subscription,
                         enum hf_result result, uint64_t next_lsn, uint32_t count, unsigned flags)
{
    size_t bytes = hf_reply_encode_records(feed->frame, subscription->tag, result, next_lsn,
                                           feed->frame + HF_PAGE_HEADER_BYTES, count);
    subscription->told_lsn = next_lsn; /* before: it may be the last that we know of it */
    tell(feed, subscription, feed->frame, bytes, flags);
}

/* Tells the first that there is to tell; feed->frame may hold records already. */
static void tell_begin(struct hf_feed *feed, struct hf_subscription *subscription,
                       uint64_t next_lsn)
{
    if (subscription->begun)
        return;
    uint8_t bytes[HF_PAGE_HEADER_BYTES];
    size_t count =
        hf_reply_encode_records(bytes, subscription->tag, HF_SUBSCRIBED, next_lsn, NULL, 0);
    tell(feed, subscription, bytes, count, HF_FRAME_ANSWERS);
    subscription->begun = true;
    subscription->told_lsn = next_lsn;
}

static void tell_fell_behind(struct hf_feed *feed, struct hf_subscription *subscription,
                             uint64_t next_lsn)
{
    if (!subscription->watch.fell_behind)
        return;
    subscription->watch.fell_behind = false;
    uint8_t bytes[HF_PAGE_HEADER_BYTES];
    size_t count =
        hf_reply_encode_records(bytes, subscription->tag, HF_FELL_BEHIND, next_lsn, NULL, 0);
    tell(feed, subscription, bytes, count, 0);
}

/* What a step for a subscription came to. */
enum step {
    STEP_MORE, /* there may be more to do at once */
    STEP_DONE, /* not before commit moves, or it was told that it has ended */
};

/* A subscription that cannot go on. */
static void give_up(struct hf_feed *feed, struct hf_subscription *subscription,
                    const struct hf_tail_reader *reader, enum hf_tail_read read)
{
    if (read == HF_TAIL_FAILED)
        report_failure(reader);
    refuse_lsn(feed, subscription, reader == NULL ? 0 : hf_tail_first_lsn(reader));
}

/* One batch for one subscription. */
static enum step feed_batch(struct hf_feed *feed, struct hf_subscription *subscription,
                            struct hf_tail_reader *reader, uint64_t limit_lsn)
{
    struct hf_watch *watch = &subscription->watch;
    uint64_t from_lsn = watch->next_lsn;
    uint32_t count = 0;
    enum hf_tail_read read = HF_TAIL_FAILED;
    if (reader != NULL)
        read = hf_watch_next(watch, reader, feed->batch, limit_lsn,
                             feed->frame + HF_PAGE_HEADER_BYTES, &count);
    switch (read) {
    case HF_TAIL_AGAIN:
        return STEP_MORE;
    case HF_TAIL_END:
        tell_begin(feed, subscription, from_lsn);
        want(feed, limit_lsn);
        return STEP_DONE;
    case HF_TAIL_RECORDS:
        tell_begin(feed, subscription, from_lsn);
        tell_fell_behind(feed, subscription, from_lsn);
        if (count != 0 || watch->next_lsn - subscription->told_lsn >= PROGRESS_RECORDS)
            tell_records(feed, subscription, HF_RECORDS, watch->next_lsn, count, HF_FRAME_COUNTED);
        return STEP_MORE;
    case HF_TAIL_NOT_KEPT:
    case HF_TAIL_FAILED:
        break;
    }
    give_up(feed, subscription, reader, read);
    return STEP_DONE;
}

/* True if the next step of a subscription needs no file. */
static bool is_near(const struct hf_feed *feed, const struct hf_subscription *subscription,
                    uint64_t limit_lsn)
{
    uint64_t next_lsn = subscription->watch.next_lsn;
    return next_lsn > limit_lsn ||
           (feed->recent != NULL && hf_recent_holds(feed->recent, next_lsn));
}

/* Reads files for one subscription, as long as it may have frames and they are at hand. */
static void feed_from_files(struct hf_feed *feed, struct hf_subscription *subscription,
                            uint64_t limit_lsn)
{
    struct hf_tail_reader *reader = reader_for(feed, subscription);
    subscription->read_round = feed->round;
    for (uint32_t i = 0; i < FILE_BATCHES && !subscription->blocked; i++)
        if (is_near(feed, subscription, limit_lsn) ||
            feed_batch(feed, subscription, reader, limit_lsn) == STEP_DONE)
            return;
}

/* True if a reader holds what was read for `user`, or none is in use. */
static bool has_reader(const struct hf_feed *feed, const void *user)
{
    for (uint32_t i = 0; i < HF_FEED_READERS; i++)
        if (feed->readers[i].reader == NULL || feed->readers[i].user == user)
            return true;
    return false;
}

/* Of two that need files, the one that has waited longer; `one` may be NULL. */
static struct hf_subscription *longer_waiting(struct hf_subscription *one,
                                              struct hf_subscription *other)
{
    return one == NULL || other->read_round < one->read_round ? other : one;
}

/*
 * A batch for each subscription that is served from memory; and of those that need files, it is the
 * turn of one. So those at the head of the log wait for one read, not for the reads of all that are
 * behind. There are fewer readers than there may be subscriptions behind: one that has lost its
 * reader to another reads anew what the other has driven out, so that this happens seldom. True:
 * there may be more to do at once.
 */
static bool feed_subscriptions(struct hf_feed *feed, uint64_t limit_lsn)
{
    bool more = false;
    struct hf_subscription *at_hand = NULL, *waiting = NULL, *next;
    for (struct hf_subscription *subscription = feed->list; subscription != NULL;
         subscription = next) {
        next = subscription->feed_next;
        if (subscription->blocked)
            continue;
        if (is_near(feed, subscription, limit_lsn)) {
            struct hf_tail_reader *reader = reader_for(feed, feed);
            more |= feed_batch(feed, subscription, reader, limit_lsn) == STEP_MORE;
        } else if (has_reader(feed, subscription)) {
            at_hand = longer_waiting(at_hand, subscription);
        } else {
            waiting = longer_waiting(waiting, subscription);
        }
    }
    if (waiting != NULL && (at_hand == NULL || feed->round - waiting->read_round > PATIENCE_ROUNDS))
        at_hand = waiting;
    if (at_hand != NULL)
        feed_from_files(feed, at_hand, limit_lsn);
    return more || at_hand != NULL;
}

static void begin_subscription(struct hf_feed *feed, struct hf_subscription *subscription)
{
    enlist(feed, subscription);
    if (subscription->from_now) {
        subscription->watch.next_lsn = limit_of(feed) + 1;
        return;
    }
    /* Acquire, pairs with hf_ring_reserve(). Whoever has seen an LSN asks for one behind it at the
     * most; this one is of another log, or of a future that a crash has undone. */
    if (subscription->watch.next_lsn <= hf_load_acquire(&feed->log->ring.tail))
        return;
    uint8_t reply[HF_SHORT_REPLY_BYTES];
    refuse(feed, subscription, reply,
           hf_reply_encode_short(reply, HF_OP_SUBSCRIBE, subscription->tag, HF_BAD_FIELD,
                                 HF_FIELD_CURSOR, 0, 0));
}

/* The worker wants to know no more of it. */
static void end_subscription(struct hf_feed *feed, struct hf_subscription *subscription)
{
    bool listed = subscription->feed_link != NULL;
    uint64_t next_lsn = subscription->watch.next_lsn;
    delist(subscription);
    if (!listed) { /* it was told why already */
        tell(feed, subscription, feed->frame, 0, HF_FRAME_LAST);
        return;
    }
    tell_begin(feed, subscription, next_lsn);
    tell_records(feed, subscription, HF_UNSUBSCRIBED, next_lsn, 0, HF_FRAME_LAST);
}

/* ---- history ---- */

static void answer(struct hf_feed *feed, const struct hf_feed_request *request,
                   const uint8_t *bytes, size_t count)
{
    struct hf_feed_frame *frame = make_frame(feed, &request->address, bytes, count);
    if (frame != NULL)
        frame->flags = HF_FRAME_ANSWERS;
    post(feed, frame);
}

static void free_request(struct hf_feed_request *request)
{
    hf_history_close(&request->history);
    free(request->entries);
    free(request);
}

static void refuse_history(struct hf_feed *feed, struct hf_feed_request *job,
                           const struct hf_tail_reader *reader)
{
    uint8_t reply[HF_SHORT_REPLY_BYTES];
    report_failure(reader);
    answer(feed, job, reply,
           hf_reply_encode_not_kept(reply, HF_OP_HISTORY, job->tag,
                                    reader == NULL ? 0 : hf_tail_first_lsn(reader)));
}

/* One step of a history. True: it is answered. */
static bool step_history(struct hf_feed *feed, struct hf_feed_request *job)
{
    struct hf_tail_reader *reader = reader_for(feed, job);
    if (reader == NULL) {
        refuse_history(feed, job, NULL);
        return true;
    }
    switch (hf_history_step(&job->history, reader)) {
    case HF_TAIL_END:
        answer(feed, job, feed->frame,
               hf_reply_encode_reservations(feed->frame, HF_OP_HISTORY, job->tag, HF_FOUND,
                                            job->history.next, job->entries, job->history.count));
        return true;
    case HF_TAIL_FAILED:
        refuse_history(feed, job, reader);
        return true;
    default:
        return false;
    }
}

static void append_history(struct hf_feed *feed, struct hf_feed_request *job)
{
    job->next = NULL;
    if (feed->last_history == NULL)
        feed->first_history = job;
    else
        feed->last_history->next = job;
    feed->last_history = job;
}

/* The next history that can be begun: its reservation has to be committed as it is. */
static struct hf_feed_request *begin_history(struct hf_feed *feed, uint64_t limit_lsn)
{
    struct hf_feed_request *job;
    while ((job = feed->first_history) != NULL) {
        if (job->newest.lsn > limit_lsn) {
            want(feed, limit_lsn);
            return NULL;
        }
        feed->first_history = job->next;
        if (feed->first_history == NULL)
            feed->last_history = NULL;
        job->entries = malloc(job->limit * sizeof *job->entries);
        if (job->entries != NULL && hf_history_init(&job->history, &job->newest, job->from_sequence,
                                                    job->entries, job->limit) == 0)
            return job;
        refuse_history(feed, job, NULL); /* no memory: the next may need less */
        free_request(job);
    }
    return NULL;
}

/* One step of one of the histories, in turn. True: there may be more to do at once. */
static bool step_histories(struct hf_feed *feed, uint64_t limit_lsn)
{
    bool more = false;
    uint64_t turn = feed->round % HF_FEED_HISTORIES;
    for (uint32_t i = 0; i < HF_FEED_HISTORIES; i++) {
        struct hf_feed_request **place = &feed->histories[i];
        if (*place == NULL)
            *place = begin_history(feed, limit_lsn);
        more |= *place != NULL;
    }
    for (uint32_t i = 0; i < HF_FEED_HISTORIES; i++) {
        struct hf_feed_request **place = &feed->histories[(turn + i) % HF_FEED_HISTORIES];
        if (*place == NULL)
            continue;
        if (step_history(feed, *place)) {
            free_request(*place);
            *place = NULL;
        }
        break;
    }
    return more;
}

/* ---- jobs ---- */

static void answer_unsubscribe(struct hf_feed *feed, struct hf_feed_request *request)
{
    uint8_t reply[HF_SHORT_REPLY_BYTES];
    answer(feed, request, reply,
           hf_reply_encode_short(reply, HF_OP_UNSUBSCRIBE, request->tag, HF_UNSUBSCRIBED,
                                 HF_FIELD_NONE, 0, 0));
    free_request(request);
}

#define SUBSCRIPTION_OF(job, member)                                                               \
    ((struct hf_subscription *)((char *)(job)-offsetof(struct hf_subscription, member)))

static void do_job(struct hf_feed *feed, struct hf_feed_job *job)
{
    switch (job->work) {
    case HF_FEED_BEGIN:
        begin_subscription(feed, SUBSCRIPTION_OF(job, begin));
        break;
    case HF_FEED_RESUME:
        SUBSCRIPTION_OF(job, resume)->blocked = false;
        break;
    case HF_FEED_END:
        end_subscription(feed, SUBSCRIPTION_OF(job, end));
        break;
    case HF_FEED_ANSWER:
        answer_unsubscribe(feed, (struct hf_feed_request *)job);
        break;
    case HF_FEED_HISTORY:
        append_history(feed, (struct hf_feed_request *)job);
        break;
    }
}

/* Does what the workers asked for, in the order in which each of them asked. */
static void do_jobs(struct hf_feed *feed)
{
    /* acq_rel, pairs with hf_feed_push_job(). */
    struct hf_feed_job *newest = hf_exchange_acq_rel(&feed->inbox, NULL), *oldest = NULL;
    while (newest != NULL) {
        struct hf_feed_job *job = newest;
        newest = job->next;
        job->next = oldest;
        oldest = job;
    }
    while (oldest != NULL) {
        struct hf_feed_job *job = oldest;
        oldest = job->next; /* the job may be gone when it is done */
        do_job(feed, job);
    }
}

/* ---- the loop ---- */

static bool is_idle(const struct hf_feed *feed)
{
    if (feed->list != NULL || feed->first_history != NULL)
        return false;
    for (uint32_t i = 0; i < HF_FEED_HISTORIES; i++)
        if (feed->histories[i] != NULL)
            return false;
    return true;
}

/* While somebody watches, the newest records are kept in memory; while nobody does anything here,
 * nothing is. */
static void keep_house(struct hf_feed *feed)
{
    bool follows = feed->list != NULL && feed->recent != NULL;
    if (follows && !feed->following)
        hf_recent_follow(feed->recent);
    else if (!follows && feed->following)
        hf_recent_unfollow(feed->recent);
    feed->following = follows;
    if (is_idle(feed))
        close_readers(feed);
}

static void reap(struct hf_feed *feed)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&feed->ring, head, cqe)
    {
        count++;
        /* Somebody woke us; or a worker could not be told that it has frames. Nobody else would
         * tell it, so it is told again. (Any other error: it has ended.) */
        if (cqe->user_data != 0 && (cqe->res == -EOVERFLOW || cqe->res == -ENOMEM)) {
            const struct hf_feed_outbox *outbox = &feed->outboxes[cqe->user_data - 1];
            send_message(&feed->ring, outbox->ring_fd, outbox->user_data, cqe->user_data);
        }
    }
    io_uring_cq_advance(&feed->ring, count);
}

static void sleep_until_woken(struct hf_feed *feed)
{
    /* seq_cst all, pairs with hf_feed_look() and hf_feed_push_job(): see feed.h. */
    hf_store_seq_cst(&feed->waiting_lsn, feed->wanted_lsn);
    bool awake = hf_load_seq_cst(&feed->inbox) != NULL || limit_of(feed) >= feed->wanted_lsn ||
                 hf_load_seq_cst(&feed->stopping) != 0;
    int result = awake ? io_uring_submit_and_get_events(&feed->ring)
                       : io_uring_submit_and_wait(&feed->ring, 1);
    HF_CHECK(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY);
    hf_store_relaxed(&feed->waiting_lsn, 0); /* who still finds it set sends a message too many */
}

static void run(struct hf_feed *feed)
{
    while (hf_load_acquire(&feed->stopping) == 0) { /* pairs with hf_feed_close() */
        feed->round++;
        feed->wanted_lsn = HF_FEED_NO_LSN;
        do_jobs(feed);
        keep_house(feed);
        uint64_t limit_lsn = limit_of(feed);
        bool more = feed_subscriptions(feed, limit_lsn);
        more |= step_histories(feed, limit_lsn);
        if (!more)
            sleep_until_woken(feed);
        else
            hf_uring_submit_all(&feed->ring);
        reap(feed);
    }
}

/* ---- start and end ---- */

static void *feed_main(void *context)
{
    struct hf_feed *feed = context;
    char error[HF_SERVER_ERROR_BYTES];
    /* The ring belongs to the thread that submits. */
    feed->start_result = hf_uring_open(&feed->ring, RING_ENTRIES, error, sizeof error);
    bool started = feed->start_result == 0;
    sem_post(&feed->started);
    if (started)
        run(feed);
    else
        fprintf(stderr, "holdfast: cannot start the feed: %s\n", error);
    return NULL;
}

static bool allocate(struct hf_feed *feed)
{
    if (feed->batch == NULL)
        feed->batch = calloc(1, sizeof *feed->batch);
    if (feed->frame == NULL)
        feed->frame = malloc(HF_MAX_REPLY_BYTES);
    return feed->batch != NULL && feed->frame != NULL;
}

/* With feed->start held. */
static bool start_thread(struct hf_feed *feed)
{
    if (!allocate(feed) || pthread_create(&feed->thread, NULL, feed_main, feed) != 0)
        return false;
    while (sem_wait(&feed->started) != 0)
        ;
    if (feed->start_result != 0) {
        pthread_join(feed->thread, NULL);
        return false;
    }
    hf_store_release(&feed->running, 1); /* pairs with hf_feed_start() */
    return true;
}

bool hf_feed_start(struct hf_feed *feed)
{
    if (hf_load_acquire(&feed->running)) /* pairs with start_thread() */
        return true;
    pthread_mutex_lock(&feed->start);
    bool started = hf_load_relaxed(&feed->running) || start_thread(feed); /* the mutex orders it */
    pthread_mutex_unlock(&feed->start);
    return started;
}

int hf_feed_open(struct hf_feed **opened, struct hf_log *log, struct hf_recent *recent)
{
    struct hf_feed *feed = aligned_alloc(HF_CACHE_LINE_BYTES, sizeof *feed);
    if (feed == NULL)
        return -ENOMEM;
    memset(feed, 0, sizeof *feed);
    feed->log = log;
    feed->recent = recent;
    pthread_mutex_init(&feed->start, NULL);
    sem_init(&feed->started, 0, 0);
    *opened = feed;
    return 0;
}

static void stop_thread(struct hf_feed *feed, struct io_uring *ring)
{
    if (!hf_load_acquire(&feed->running)) /* pairs with start_thread() */
        return;
    hf_store_seq_cst(&feed->stopping, 1); /* pairs with run() and sleep_until_woken() */
    send_message(ring, feed->ring.ring_fd, 0, 0);
    hf_uring_submit_all(ring);
    pthread_join(feed->thread, NULL);
}

/* Nobody will read frames any more; jobs are done so that what they hold is freed. */
static void free_rest(struct hf_feed *feed)
{
    feed->mute = true;
    do_jobs(feed);
    for (uint32_t i = 0; i < HF_MAX_WORKERS; i++) {
        /* acq_rel, as in hf_feed_take(). */
        struct hf_feed_frame *frame = hf_exchange_acq_rel(&feed->outboxes[i].frames, NULL);
        while (frame != NULL) {
            struct hf_feed_frame *next = frame->next;
            hf_feed_discard(feed, frame);
            frame = next;
        }
    }
    while (feed->first_history != NULL) {
        struct hf_feed_request *job = feed->first_history;
        feed->first_history = job->next;
        free_request(job);
    }
    for (uint32_t i = 0; i < HF_FEED_HISTORIES; i++)
        if (feed->histories[i] != NULL)
            free_request(feed->histories[i]);
    close_readers(feed);
}

void hf_feed_close(struct hf_feed *feed, struct io_uring *ring)
{
    stop_thread(feed, ring);
    free_rest(feed);
    if (hf_load_relaxed(&feed->running)) /* the join ordered it */
        io_uring_queue_exit(&feed->ring);
    sem_destroy(&feed->started);
    pthread_mutex_destroy(&feed->start);
    free(feed->batch);
    free(feed->frame);
    free(feed);
}
