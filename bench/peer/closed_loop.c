/* The closed loop. See closed_loop.h. */
#include "bench/peer/closed_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/atomics.h"
#include "base/bytes.h"
#include "base/clock.h"

#define EVENTS         256
#define WAIT_MS        50 /* longest time until a new end of the run is noticed */
#define DRAIN_NS       (10 * HF_NS_PER_S)
#define COMPLAINTS_MAX 5
#define TAG_STEP       (1ull << 32)

struct slot {
    uint64_t tag; /* its number in the low half, a count in the high half */
    uint64_t sent_ns;
    uint64_t inventory_id;
    bool in_flight;
};

struct connection {
    struct hf_peer_link *link;
    struct slot *slots;
    uint32_t oldest; /* slot of the oldest booking, if answers come in order */
    bool waits;      /* for room in the socket */
};

/* What is known of one inventory. */
struct known {
    uint32_t asked;   /* units; never less than were granted */
    uint32_t granted; /* units */
};

struct loop {
    const struct hf_peer_plan *plan;
    struct hf_peer_result *result;
    struct connection *connections;
    struct known *known;
    int epoll;
    uint64_t next_booking;
    uint64_t in_flight;
    uint64_t begin_ns, end_ns; /* of the measured time */
    uint64_t now_ns;           /* of the newest receive */
    uint64_t cpu_begin_ns;
    bool counting, counted;
    uint32_t complaints;
};

/* Spreads a number over all 64 bits, and no two to one (the finisher of splitmix64). */
static uint64_t mix(uint64_t bits)
{
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9ull;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebull;
    return bits ^ bits >> 31;
}

void hf_peer_booking_make(const struct hf_peer_plan *plan, uint64_t number,
                          struct hf_peer_booking *booking)
{
    uint64_t low = mix(number);
    *booking = (struct hf_peer_booking){.qty = 1};
    hf_put_u64(booking->id, mix(plan->stock.first_id)); /* which is of this run alone */
    hf_put_u64(booking->id + 8, low);
    booking->inventory_id =
        plan->stock.first_id + ((low >> 32 & 0xffffffff) * plan->stock.count >> 32);
    booking->customer_id = 1 + ((low & 0xffffffff) * plan->customers >> 32);
}

static void read_clock(struct loop *loop)
{
    loop->now_ns = hf_monotonic_now_ns();
    bool counting = loop->now_ns >= loop->begin_ns && loop->now_ns < loop->end_ns;
    if (counting && !loop->counted) {
        loop->counted = true;
        loop->cpu_begin_ns = hf_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    }
    if (loop->counting && !counting)
        loop->result->cpu_ns = hf_clock_ns(CLOCK_THREAD_CPUTIME_ID) - loop->cpu_begin_ns;
    loop->counting = counting;
}

static int ask(struct loop *loop, struct connection *connection, struct slot *slot)
{
    struct hf_peer_booking booking;
    hf_peer_booking_make(loop->plan, loop->next_booking++, &booking);
    slot->tag += TAG_STEP;
    slot->sent_ns = loop->now_ns;
    slot->inventory_id = booking.inventory_id;
    slot->in_flight = true;
    booking.tag = slot->tag;
    loop->known[booking.inventory_id - loop->plan->stock.first_id].asked += booking.qty;
    loop->in_flight++;
    return loop->plan->peer->ask(connection->link, &booking);
}

/* NULL, or what is wrong with this outcome. */
static const char *fault(struct loop *loop, const struct slot *slot, enum hf_peer_outcome outcome)
{
    const struct hf_peer_stock *stock = &loop->plan->stock;
    struct known *known = loop->known + (slot->inventory_id - stock->first_id);
    if (outcome == HF_PEER_GRANTED)
        return ++known->granted > stock->available ? "more was granted than there is" : NULL;
    if (outcome == HF_PEER_REFUSED)
        return known->asked <= stock->available ? "refused although units are available" : NULL;
    return hf_peer_outcome_name(outcome);
}

static void judge(struct loop *loop, const struct slot *slot, enum hf_peer_outcome outcome)
{
    struct hf_peer_result *result = loop->result;
    const char *wrong = fault(loop, slot, outcome);
    result->granted_in_all += outcome == HF_PEER_GRANTED;
    if (wrong) {
        result->errors++;
        if (loop->complaints++ < COMPLAINTS_MAX)
            hf_peer_say("%s: %s", loop->plan->peer->name, wrong);
        return;
    }
    if (!loop->counting)
        return;
    result->granted += outcome == HF_PEER_GRANTED;
    result->refused += outcome == HF_PEER_REFUSED;
    hf_histogram_add(&result->latencies, loop->now_ns - slot->sent_ns);
}

/* The slot that an answer is for. NULL: none that is in flight; reported. */
static struct slot *slot_of(const struct loop *loop, struct connection *connection,
                            const struct hf_peer_answer *answer)
{
    uint32_t number = connection->oldest;
    bool in_order = loop->plan->peer->in_order;
    if (in_order)
        connection->oldest = number + 1 < loop->plan->depth ? number + 1 : 0;
    else
        number = (uint32_t)answer->tag;
    struct slot *slot = connection->slots + number;
    if (number < loop->plan->depth && slot->in_flight && (in_order || slot->tag == answer->tag))
        return slot;
    hf_peer_say("%s answered what was not asked", loop->plan->peer->name);
    return NULL;
}

/* Sends what is to be sent; sees to it that the loop is woken when the socket takes the rest. */
static int flush(struct loop *loop, struct connection *connection)
{
    const struct hf_peer *peer = loop->plan->peer;
    int left = peer->flush(connection->link);
    if (left < 0)
        return -1;
    if ((left == 1) == connection->waits)
        return 0;
    connection->waits = left == 1;
    struct epoll_event event = {.events = left == 1 ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                .data.ptr = connection};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, peer->socket(connection->link), &event) < 0)
        return HF_PEER_FAIL("epoll_ctl: %s", strerror(errno));
    return 0;
}

/* Takes all answers that have come, and asks anew where one was answered. */
static int receive(struct loop *loop, struct connection *connection)
{
    const struct hf_peer *peer = loop->plan->peer;
    struct hf_peer_answer answer;
    int found;
    if (peer->receive(connection->link) < 0)
        return -1;
    read_clock(loop);
    while ((found = peer->next(connection->link, &answer)) == 1) {
        struct slot *slot = slot_of(loop, connection, &answer);
        if (!slot)
            return -1;
        slot->in_flight = false;
        loop->in_flight--;
        judge(loop, slot, answer.outcome);
        if (loop->now_ns < loop->end_ns && ask(loop, connection, slot) < 0)
            return -1;
    }
    return found < 0 ? -1 : flush(loop, connection);
}

static int open_connections(struct loop *loop)
{
    const struct hf_peer_plan *plan = loop->plan;
    for (uint32_t i = 0; i < plan->connections; i++) {
        struct connection *connection = loop->connections + i;
        connection->link = plan->peer->open(plan->server, plan->depth);
        if (!connection->link)
            return -1;
        connection->slots = calloc(plan->depth, sizeof *connection->slots);
        if (!connection->slots)
            return HF_PEER_FAIL("no memory");
        for (uint32_t number = 0; number < plan->depth; number++)
            connection->slots[number].tag = number;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, plan->peer->socket(connection->link), &event) < 0)
            return HF_PEER_FAIL("epoll_ctl: %s", strerror(errno));
    }
    return 0;
}

static int ask_first(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->plan->connections; i++) {
        struct connection *connection = loop->connections + i;
        read_clock(loop);
        for (uint32_t number = 0; number < loop->plan->depth; number++)
            if (ask(loop, connection, connection->slots + number) < 0)
                return -1;
        if (flush(loop, connection) < 0)
            return -1;
    }
    return 0;
}

/* Until the end has come and all is answered. */
static int turn(struct loop *loop, const _Atomic uint32_t *stop)
{
    struct epoll_event events[EVENTS];
    while (loop->now_ns < loop->end_ns || loop->in_flight > 0) {
        int count = epoll_wait(loop->epoll, events, EVENTS, WAIT_MS);
        if (count < 0 && errno != EINTR)
            return HF_PEER_FAIL("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT && flush(loop, connection) < 0)
                return -1;
            if (events[i].events & ~(uint32_t)EPOLLOUT && receive(loop, connection) < 0)
                return -1;
        }
        if (count <= 0)
            read_clock(loop);
        if (hf_load_relaxed(stop) != 0 && /* relaxed: nothing else is told by it */
            loop->now_ns < loop->end_ns)
            loop->end_ns = loop->now_ns;
        if (loop->now_ns > loop->end_ns + DRAIN_NS)
            return HF_PEER_FAIL("%llu bookings were not answered in 10 s",
                                (unsigned long long)loop->in_flight);
    }
    return 0;
}

static void close_all(struct loop *loop)
{
    for (uint32_t i = 0; loop->connections && i < loop->plan->connections; i++) {
        if (loop->connections[i].link)
            loop->plan->peer->close(loop->connections[i].link);
        free(loop->connections[i].slots);
    }
    if (loop->epoll >= 0)
        close(loop->epoll);
    free(loop->connections);
    free(loop->known);
}

int hf_peer_loop_run(const struct hf_peer_plan *plan, const _Atomic uint32_t *stop,
                     struct hf_peer_result *result)
{
    struct loop loop = {.plan = plan, .result = result, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    memset(result, 0, sizeof *result);
    loop.connections = calloc(plan->connections, sizeof *loop.connections);
    loop.known = calloc(plan->stock.count, sizeof *loop.known);
    int status = 0;
    if (loop.epoll < 0 || !loop.connections || !loop.known)
        status = HF_PEER_FAIL("no memory, or no epoll");
    if (status == 0)
        status = open_connections(&loop);
    loop.begin_ns = hf_monotonic_now_ns() + plan->warmup_ns;
    loop.end_ns = loop.begin_ns + plan->measured_ns;
    if (status == 0)
        status = ask_first(&loop);
    if (status == 0)
        status = turn(&loop, stop);
    result->measured_ns = loop.end_ns > loop.begin_ns ? loop.end_ns - loop.begin_ns : 0;
    close_all(&loop);
    return status;
}
