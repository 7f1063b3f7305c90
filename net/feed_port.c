/* The workers' side of the feed: see feed.h. Everything here runs in a worker's thread, about its
 * own connections. */
#include <stdlib.h>

#include "base/check.h"
#include "net/feed.h"
#include "wal/io_uring.h"

void hf_feed_port_init(struct hf_feed_port *port, struct hf_feed *feed, struct io_uring *ring,
                       uint32_t worker, uint64_t user_data)
{
    HF_CHECK(worker < HF_MAX_WORKERS);
    *port = (struct hf_feed_port){.feed = feed, .ring = ring, .worker = worker};
    feed->outboxes[worker].ring_fd = ring->ring_fd;
    feed->outboxes[worker].user_data = user_data;
}

void hf_feed_port_close(struct hf_feed_port *port)
{
    while (port->arrived != NULL) {
        struct hf_feed_frame *frame = port->arrived;
        port->arrived = frame->next;
        hf_feed_discard(port->feed, frame);
    }
}

void hf_feed_wake(struct hf_feed_port *port, uint64_t waiting_lsn)
{
    /* acq_rel is enough here: the CAS only decides who of us sends the message. */
    if (!hf_cas_acq_rel(&port->feed->waiting_lsn, &waiting_lsn, 0))
        return;
    hf_feed_send_wake(port);
}

void hf_feed_send_wake(struct hf_feed_port *port)
{
    struct io_uring_sqe *sqe = hf_uring_sqe(port->ring);
    io_uring_prep_msg_ring(sqe, port->feed->ring.ring_fd, 0, 0, 0);
    io_uring_sqe_set_data64(sqe, port->unsent);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void push_job(struct hf_feed_port *port, struct hf_feed_job *job, enum hf_feed_work work)
{
    struct hf_feed *feed = port->feed;
    job->work = work;
    struct hf_feed_job *newest = hf_load_relaxed(&feed->inbox); /* the CAS looks again */
    do {
        job->next = newest;
        /* seq_cst, pairs with the look at the inbox in sleep_until_woken(). */
    } while (!hf_cas_weak_seq_cst(&feed->inbox, &newest, job));
    uint64_t waiting_lsn = hf_load_seq_cst(&feed->waiting_lsn); /* the same */
    if (waiting_lsn != 0)
        hf_feed_wake(port, waiting_lsn);
}

/* ---- subscriptions ---- */

static struct hf_subscription *find(const struct hf_feed_peer *peer, uint64_t tag)
{
    struct hf_subscription *found = peer->subscriptions;
    while (found != NULL && (found->ending || found->tag != tag))
        found = found->peer_next;
    return found;
}

static void unlink_subscription(struct hf_feed_peer *peer,
                                const struct hf_subscription *subscription)
{
    struct hf_subscription **link = &peer->subscriptions;
    while (*link != NULL && *link != subscription)
        link = &(*link)->peer_next;
    if (*link != NULL)
        *link = subscription->peer_next;
}

/* END, once. */
static void end(struct hf_feed_port *port, struct hf_feed_peer *peer,
                struct hf_subscription *subscription)
{
    if (subscription->ending)
        return;
    subscription->ending = true;
    peer->subscription_count--;
    push_job(port, &subscription->end, HF_FEED_END);
}

/* One more subscription exists. False: there are as many as may be. */
static bool count_in(struct hf_feed *feed)
{
    /* Relaxed: a count, it guards nothing. */
    if (hf_fetch_add_relaxed(&feed->subscriptions, 1) < HF_FEED_MAX_SUBSCRIPTIONS)
        return true;
    hf_fetch_sub_relaxed(&feed->subscriptions, 1);
    return false;
}

static struct hf_subscription *make_subscription(struct hf_feed *feed,
                                                 const struct hf_request *request)
{
    if (!count_in(feed))
        return NULL;
    struct hf_subscription *made = calloc(1, sizeof *made);
    uint64_t from_lsn = request->from_lsn != 0 ? request->from_lsn : 1;
    if (made != NULL &&
        hf_watch_init(&made->watch, request->kind, request->ids, request->count, from_lsn) == 0)
        return made;
    free(made);
    hf_fetch_sub_relaxed(&feed->subscriptions, 1); /* as in count_in() */
    return NULL;
}

enum hf_result hf_feed_subscribe(struct hf_feed_port *port, struct hf_feed_peer *peer,
                                 uint32_t slot, uint32_t generation, uint64_t tag,
                                 const struct hf_request *request)
{
    if (find(peer, tag) != NULL)
        return HF_BAD_FIELD; /* the frames of two subscriptions could not be told apart */
    if (peer->subscription_count == HF_MAX_SUBSCRIPTIONS || !hf_feed_start(port->feed))
        return HF_SUBSCRIPTIONS_FULL;
    struct hf_subscription *subscription = make_subscription(port->feed, request);
    if (subscription == NULL)
        return HF_SUBSCRIPTIONS_FULL;
    subscription->address = (struct hf_feed_address){port->worker, slot, generation};
    subscription->tag = tag;
    subscription->from_now = request->from_lsn == 0;
    subscription->peer_next = peer->subscriptions;
    peer->subscriptions = subscription;
    peer->subscription_count++;
    peer->owed++;
    push_job(port, &subscription->begin, HF_FEED_BEGIN);
    return HF_OK;
}

/* A request that is answered once, for push_job(). NULL: no memory, or no feed. */
static struct hf_feed_request *make_request(struct hf_feed_port *port, uint32_t slot,
                                            uint32_t generation, uint64_t tag)
{
    if (!hf_feed_start(port->feed))
        return NULL;
    struct hf_feed_request *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->address = (struct hf_feed_address){port->worker, slot, generation};
    made->tag = tag;
    return made;
}

enum hf_result hf_feed_unsubscribe(struct hf_feed_port *port, struct hf_feed_peer *peer,
                                   uint32_t slot, uint32_t generation, uint64_t tag,
                                   uint64_t watch_tag)
{
    struct hf_subscription *subscription = find(peer, watch_tag);
    if (subscription == NULL)
        return HF_UNSUBSCRIBED;
    struct hf_feed_request *answer = make_request(port, slot, generation, tag);
    if (answer == NULL)
        return HF_SUBSCRIPTIONS_FULL;
    end(port, peer, subscription);
    peer->owed++;
    push_job(port, &answer->job, HF_FEED_ANSWER);
    return HF_OK;
}

enum hf_result hf_feed_history(struct hf_feed_port *port, struct hf_feed_peer *peer, uint32_t slot,
                               uint32_t generation, uint64_t tag, const struct hf_request *request,
                               const struct hf_reservation *newest)
{
    struct hf_feed_request *history = make_request(port, slot, generation, tag);
    if (history == NULL)
        return HF_SUBSCRIPTIONS_FULL;
    history->newest = *newest;
    history->from_sequence = request->from;
    history->limit = request->limit;
    peer->owed++;
    push_job(port, &history->job, HF_FEED_HISTORY);
    return HF_OK;
}

/* ---- frames ---- */

struct hf_feed_frame *hf_feed_take(struct hf_feed_port *port)
{
    if (port->arrived == NULL) {
        /* acq_rel, pairs with post(). */
        struct hf_feed_frame *newest =
            hf_exchange_acq_rel(&port->feed->outboxes[port->worker].frames, NULL);
        while (newest != NULL) {
            struct hf_feed_frame *frame = newest;
            newest = frame->next;
            frame->next = port->arrived;
            port->arrived = frame;
        }
    }
    struct hf_feed_frame *oldest = port->arrived;
    if (oldest != NULL)
        port->arrived = oldest->next;
    return oldest;
}

void hf_feed_accept(struct hf_feed_port *port, struct hf_feed_peer *peer,
                    struct hf_feed_frame *frame)
{
    if (peer == NULL) {
        hf_feed_discard(port->feed, frame);
        return;
    }
    frame->next = NULL;
    if (peer->last == NULL)
        peer->first = frame;
    else
        peer->last->next = frame;
    peer->last = frame;
}

/* The front frame has gone its way, or is not wanted any more. */
static void drop_front(struct hf_feed_port *port, struct hf_feed_peer *peer)
{
    struct hf_feed_frame *frame = peer->first;
    struct hf_subscription *subscription = frame->subscription;
    peer->first = frame->next;
    if (peer->first == NULL)
        peer->last = NULL;
    if ((frame->flags & HF_FRAME_ANSWERS) != 0) {
        HF_CHECK(peer->owed != 0);
        peer->owed--;
    }
    if ((frame->flags & HF_FRAME_ENDS) != 0)
        end(port, peer, subscription);
    /* acq_rel, pairs with tell(): whoever takes the count from its maximum says RESUME. */
    if ((frame->flags & HF_FRAME_COUNTED) != 0 &&
        hf_fetch_add_acq_rel(&subscription->inflight, UINT32_MAX) == HF_FEED_FRAMES && /* - 1 */
        !subscription->ending)
        push_job(port, &subscription->resume, HF_FEED_RESUME);
    if ((frame->flags & HF_FRAME_LAST) != 0)
        unlink_subscription(peer, subscription);
    hf_feed_discard(port->feed, frame);
}

/* True if nobody listens to the front frame any more. */
static bool is_vain(const struct hf_feed_frame *frame, bool left)
{
    return frame->frame_bytes == 0 ||
           (left && frame->subscription != NULL && (frame->flags & HF_FRAME_ANSWERS) == 0);
}

const uint8_t *hf_feed_front(struct hf_feed_port *port, struct hf_feed_peer *peer,
                             size_t output_bytes, uint32_t *count)
{
    while (peer->first != NULL && is_vain(peer->first, peer->left))
        drop_front(port, peer);
    if (peer->first == NULL || output_bytes >= HF_FEED_OUTPUT_BYTES)
        return NULL;
    *count = peer->first->frame_bytes;
    return peer->first->bytes;
}

void hf_feed_pop(struct hf_feed_port *port, struct hf_feed_peer *peer)
{
    drop_front(port, peer);
}

void hf_feed_leave(struct hf_feed_port *port, struct hf_feed_peer *peer)
{
    peer->left = true;
    for (struct hf_subscription *subscription = peer->subscriptions; subscription != NULL;
         subscription = subscription->peer_next)
        end(port, peer, subscription);
}

void hf_feed_forget(struct hf_feed_port *port, struct hf_feed_peer *peer)
{
    hf_feed_leave(port, peer);
    while (peer->first != NULL)
        drop_front(port, peer);
    *peer = (struct hf_feed_peer){0};
}
