/*
 * The closed loop of one thread. See load.h.
 *
 * A slot is idle (operation 0) or has one request in flight. Its tag is its number in the low half
 * and a count in the high half that grows with each request, so that an answer which comes twice,
 * or to the wrong connection, or after its slot has moved on, fits nothing and is found out.
 *
 * Buffers: both directions work in one buffer of the thread, which stays in the cache. What a
 * connection keeps for itself is the incomplete frame at the end of what was received (less than
 * one reply), and the requests that its socket would not take yet.
 */
#include "bench/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "net/codec.h"

#define EVENTS          256
#define WAIT_MS         50 /* longest time until a new end of the run is noticed */
#define DRAIN_NS        (10 * HF_NS_PER_S)
#define MAX_COMPLAINTS  5 /* wrong answers reported one by one, for each thread */
#define MAX_REPLY_BYTES HF_RESERVATION_REPLY_BYTES /* of the operations used here */
#define TAG_STEP        (1ull << 32)
#define RESERVED_TAIL   26 /* of a short reply: zero from here on */
#define ID_COUNT_MASK   ((1ull << 62) - 1)
#define SPREAD_BITS     28
#define SPREAD_MASK     ((1u << SPREAD_BITS) - 1)

/* The first eight bytes of a reply with that size, operation and result, as one number. */
#define HEAD(bytes, operation, result)                                                             \
    ((uint64_t)(bytes) | (uint64_t)HF_PROTOCOL_VERSION << 32 |                                     \
     (uint64_t)((operation) | HF_REPLY_BIT) << 40 | (uint64_t)(result) << 48)

struct slot {
    uint64_t tag;
    uint64_t id_low;    /* second half of the id, as it stands in the frame */
    uint64_t sent_ns;   /* monotonic */
    uint64_t operation; /* enum hf_operation; 0: idle */
};

struct connection {
    int link;
    uint32_t number;                  /* for messages, from 0, over all threads */
    uint32_t partial_bytes;           /* of the frame that has not come in full */
    uint32_t unsent_bytes;            /* non-zero: the epoll set waits for room in the socket */
    uint8_t *unsent;                  /* room for `depth` requests */
    struct slot *slots;               /* `depth` */
    uint8_t partial[MAX_REPLY_BYTES]; /* its beginning */
};

struct hf_load {
    const struct hf_load_plan *plan;
    struct hf_load_clock *clock;
    uint32_t number; /* of the thread */
    uint32_t connection_count;
    struct connection *connections;
    int epoll;
    uint64_t id_count;    /* grows by plan->threads with each id, so no two threads meet */
    uint64_t outstanding; /* requests in flight on all connections */
    uint64_t now_ns;      /* of the newest receive */
    uint64_t cpu_begin_ns;
    bool counting; /* now_ns is in the measured time */
    bool counted;  /* ... or was, so cpu_begin_ns is set */
    bool ending;   /* the end has come: nothing new is asked */
    uint32_t complaints;
    uint8_t *in, *out; /* the thread's buffers */
    size_t in_bytes;   /* room */
    size_t out_bytes;  /* used */
    uint8_t reserve[HF_RESERVE_BYTES], cancel[HF_RESERVE_BYTES], get[HF_RESERVE_BYTES],
        ping[HF_RESERVE_BYTES]; /* templates */
    _Atomic uint64_t answered;  /* written by the load's thread, read by the one that reports */
    struct hf_load_result result;
};

static const char *const kind_names[] = {
#define X(name, text, meaning) [HF_LOAD_##name] = text,
    HF_LOADS(X)
#undef X
};

const char *hf_load_kind_name(enum hf_load_kind kind)
{
    return kind_names[kind];
}

void hf_load_make_ids(struct hf_load_plan *plan)
{
    struct hf_id id;
    uint64_t random[2];
    hf_id_make(&id);
    plan->id_high = hf_get_u64(id.bytes);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        random[0] = hf_date_now_ns();
        random[1] = (uint64_t)getpid() << 32 ^ random[0];
    }
    plan->id_start = random[0];
    plan->first_inventory_id = random[1] >> 1 | 1; /* so that none is zero or wraps round */
}

void hf_load_end(struct hf_load_clock *clock, uint64_t at_ns)
{
    uint64_t end_ns = hf_load_acquire(&clock->end_ns);
    while (at_ns < end_ns && !hf_cas_acq_rel(&clock->end_ns, &end_ns, at_ns))
        ;
}

/* Reports what makes going on pointless, and ends the run. */
__attribute__((format(printf, 3, 4))) static void
fail(struct hf_load *load, const struct connection *connection, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (connection)
        fprintf(stderr, "%s: connection %u: %s\n", program_invocation_short_name,
                connection->number, text);
    else
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
    load->result.errors++;
    load->result.failed = true;
    hf_load_end(load->clock, hf_monotonic_now_ns());
}

/*
 * The next id's second half: RFC 9562's variant and 62 bits that are a bijection of a counter, so
 * that ids look random to the server's index and yet never come twice.
 */
static uint64_t next_id_low(struct hf_load *load)
{
    uint64_t bits = load->id_count & ID_COUNT_MASK;
    load->id_count += load->plan->threads;
    bits ^= bits >> 31;
    bits = bits * 0xbf58476d1ce4e5b9ull & ID_COUNT_MASK;
    bits ^= bits >> 29;
    bits = bits * 0x94d049bb133111ebull & ID_COUNT_MASK;
    bits ^= bits >> 32;
    return __builtin_bswap64(bits | 1ull << 63);
}

/* Inventory and customer follow from the id: spread evenly, and no need to store them. */
static uint64_t inventory_of(const struct hf_load_plan *plan, uint64_t id_low)
{
    uint64_t bits = id_low >> 8 & SPREAD_MASK;
    return plan->first_inventory_id + (bits * plan->inventories >> SPREAD_BITS);
}

static uint64_t customer_of(const struct hf_load_plan *plan, uint64_t id_low)
{
    uint64_t bits = id_low >> (64 - SPREAD_BITS);
    return 1 + (bits * plan->customers >> SPREAD_BITS);
}

/* Puts one request into the thread's buffer. Templates are copied whole: a fixed size is faster. */
static void ask(struct hf_load *load, struct slot *slot, enum hf_operation operation)
{
    uint8_t *out = load->out + load->out_bytes;
    slot->tag += TAG_STEP;
    slot->sent_ns = load->now_ns;
    slot->operation = operation;
    switch (operation) {
    case HF_OP_RESERVE:
        slot->id_low = next_id_low(load);
        memcpy(out, load->reserve, HF_RESERVE_BYTES);
        hf_put_u64(out + 24, slot->id_low);
        hf_put_u64(out + 32, inventory_of(load->plan, slot->id_low));
        hf_put_u64(out + 40, customer_of(load->plan, slot->id_low));
        load->out_bytes += 64;
        break;
    case HF_OP_CANCEL:
        memcpy(out, load->cancel, HF_RESERVE_BYTES);
        hf_put_u64(out + 24, slot->id_low);
        load->out_bytes += 32;
        break;
    case HF_OP_INVENTORY_GET:
        slot->id_low = next_id_low(load);
        memcpy(out, load->get, HF_RESERVE_BYTES);
        hf_put_u64(out + 16, inventory_of(load->plan, slot->id_low));
        load->out_bytes += 24;
        break;
    default:
        memcpy(out, load->ping, HF_RESERVE_BYTES);
        load->out_bytes += 16;
        break;
    }
    hf_put_u64(out + 8, slot->tag);
}

static void ask_first(struct hf_load *load, struct slot *slot)
{
    switch (load->plan->kind) {
    case HF_LOAD_RESERVE:
    case HF_LOAD_REFUSE:
    case HF_LOAD_CANCEL:
        ask(load, slot, HF_OP_RESERVE);
        break;
    case HF_LOAD_GET:
        ask(load, slot, HF_OP_INVENTORY_GET);
        break;
    case HF_LOAD_PING:
        ask(load, slot, HF_OP_PING);
        break;
    }
}

/* Tells the epoll set what to wait for. */
static void watch(struct hf_load *load, struct connection *connection, int change, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(load->epoll, change, connection->link, &event) < 0)
        fail(load, connection, "epoll_ctl: %s", strerror(errno));
}

/* Hands bytes to the socket. Returns how many it took; those it did not go to `unsent`. */
static size_t offer(struct hf_load *load, struct connection *connection, const uint8_t *bytes,
                    size_t count)
{
    ssize_t sent = send(connection->link, bytes, count, MSG_NOSIGNAL);
    if (sent >= 0)
        return (size_t)sent;
    if (errno != EAGAIN && errno != EINTR)
        fail(load, connection, "connection lost: %s", strerror(errno));
    return 0;
}

/* Sends what the thread's buffer holds for this connection, behind what is unsent from before. */
static void flush(struct hf_load *load, struct connection *connection)
{
    size_t sent = 0;
    if (load->out_bytes > 0 && connection->unsent_bytes == 0)
        sent = offer(load, connection, load->out, load->out_bytes);
    size_t left = load->out_bytes - sent;
    load->out_bytes = 0;
    if (HF_LIKELY(left == 0) || load->result.failed)
        return;
    /* At most `depth` requests are in flight, so at most that many are unsent. */
    HF_CHECK(connection->unsent_bytes + left <= (size_t)load->plan->depth * HF_RESERVE_BYTES);
    memcpy(connection->unsent + connection->unsent_bytes, load->out + sent, left);
    if (connection->unsent_bytes == 0)
        watch(load, connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    connection->unsent_bytes += (uint32_t)left;
}

/* The socket has room again. */
static void flush_unsent(struct hf_load *load, struct connection *connection)
{
    size_t sent = offer(load, connection, connection->unsent, connection->unsent_bytes);
    connection->unsent_bytes -= (uint32_t)sent;
    memmove(connection->unsent, connection->unsent + sent, connection->unsent_bytes);
    if (connection->unsent_bytes == 0 && !load->result.failed)
        watch(load, connection, EPOLL_CTL_MOD, EPOLLIN);
}

/* Holds the yes of RESERVE or CANCEL against its request. NULL, or what is wrong. */
static const char *reservation_fault(const struct hf_load *load, const struct slot *slot,
                                     const uint8_t *reply, enum hf_state state, uint32_t sequence)
{
    if (hf_get_u64(reply + 16) != load->plan->id_high || hf_get_u64(reply + 24) != slot->id_low)
        return "another reservation's id";
    if (hf_get_u64(reply + 32) != inventory_of(load->plan, slot->id_low))
        return "another inventory";
    if (hf_get_u64(reply + 40) != customer_of(load->plan, slot->id_low))
        return "another customer";
    /* Quantity 1, the state, no flag (nothing here is asked twice), reserved bytes zero. */
    if (hf_get_u64(reply + 80) != (1 | (uint64_t)state << 32))
        return "another quantity, state or flag";
    if (hf_get_u64(reply + 88) != sequence || hf_get_u64(reply + 72) != 0)
        return "a wrong sequence or reserved bytes that are not zero";
    if (hf_get_u64(reply + 48) == 0)
        return "no LSN";
    if (hf_get_u64(reply + 56) == 0 || hf_get_u64(reply + 64) < hf_get_u64(reply + 56))
        return "impossible dates";
    return NULL;
}

static const char *short_fault(const uint8_t *reply)
{
    return hf_all_zero(reply + RESERVED_TAIL, HF_SHORT_REPLY_BYTES - RESERVED_TAIL)
               ? NULL
               : "reserved bytes that are not zero";
}

/* HONEST-NO, as far as one answer shows it: a refusal that names enough units refutes itself. */
static const char *refusal_fault(const uint8_t *reply)
{
    if ((int32_t)hf_get_u32(reply + 16) >= 1)
        return "a refusal although units are available";
    return short_fault(reply);
}

static const char *inventory_fault(const struct hf_load *load, const struct slot *slot,
                                   const uint8_t *reply)
{
    const uint8_t *entry = reply + HF_FRAME_HEADER_BYTES;
    if (hf_get_u64(entry) != inventory_of(load->plan, slot->id_low))
        return "another inventory";
    if (hf_get_u32(entry + 32) != load->plan->capacity ||
        hf_get_u32(entry + 36) != load->plan->capacity)
        return "another capacity";
    return NULL;
}

/* An answer that is well formed, but not one that the load should get. False: give up. */
static bool take_other(struct hf_load *load, const struct connection *connection,
                       const struct slot *slot, const uint8_t *bytes)
{
    struct hf_frame frame;
    struct hf_reply reply;
    hf_frame_read(bytes, &frame);
    if (frame.version != HF_PROTOCOL_VERSION ||
        frame.operation != (slot->operation | HF_REPLY_BIT) ||
        !hf_reply_decode(bytes, &frame, &reply, NULL)) {
        fail(load, connection,
             "a reply of %u bytes, version %u, operation %u, result %u: not one "
             "to operation %u",
             frame.frame_bytes, frame.version, frame.operation, frame.result,
             (unsigned)slot->operation);
        return false;
    }
    if (reply.result == HF_RESERVATIONS_FULL) {
        fail(load, NULL,
             "the server holds as many reservations as it may (RESERVATIONS_FULL): "
             "start it with a larger --max-reservations, or shorten the run");
        return false;
    }
    load->result.errors++;
    if (load->complaints++ < MAX_COMPLAINTS)
        fprintf(stderr, "%s: connection %u: %s: %s%s%s\n", program_invocation_short_name,
                connection->number, hf_result_name(reply.result), hf_result_meaning(reply.result),
                reply.field ? ": " : "", reply.field ? hf_field_name(reply.field) : "");
    return true;
}

/* Takes one whole reply, and asks the next thing in its slot. False: give up. */
static bool take(struct hf_load *load, struct connection *connection, const uint8_t *reply)
{
    uint64_t tag = hf_get_u64(reply + 8);
    uint32_t number = (uint32_t)tag;
    struct slot *slot = connection->slots + number;
    if (number >= load->plan->depth || slot->tag != tag || slot->operation == 0) {
        fail(load, connection, "a reply with tag %llu, which is not in flight",
             (unsigned long long)tag);
        return false;
    }
    uint64_t head = hf_get_u64(reply);
    if ((head >> 40 & 0xff) != (slot->operation | HF_REPLY_BIT))
        head = 0; /* an answer to something else: no case below */
    const char *wrong = NULL;
    uint64_t *count = NULL;
    bool then_cancel = false;
    switch (head) {
    case HEAD(HF_RESERVATION_REPLY_BYTES, HF_OP_RESERVE, HF_GRANTED):
        wrong = reservation_fault(load, slot, reply, HF_STATE_CONFIRMED, 1);
        count = &load->result.granted;
        then_cancel = load->plan->kind == HF_LOAD_CANCEL;
        break;
    case HEAD(HF_SHORT_REPLY_BYTES, HF_OP_RESERVE, HF_SOLD_OUT):
        wrong = refusal_fault(reply);
        count = &load->result.refused;
        break;
    case HEAD(HF_RESERVATION_REPLY_BYTES, HF_OP_CANCEL, HF_CANCELLED):
        wrong = reservation_fault(load, slot, reply, HF_STATE_CANCELLED, 2);
        count = &load->result.cancelled;
        break;
    case HEAD(HF_INVENTORY_REPLY_BYTES, HF_OP_INVENTORY_GET, HF_FOUND):
        wrong = inventory_fault(load, slot, reply);
        count = &load->result.read;
        break;
    case HEAD(HF_SHORT_REPLY_BYTES, HF_OP_PING, HF_OK):
        wrong = short_fault(reply);
        count = &load->result.read;
        break;
    default:
        if (!take_other(load, connection, slot, reply))
            return false;
        break;
    }
    if (HF_UNLIKELY(wrong != NULL)) {
        fail(load, connection, "a reply with %s", wrong);
        return false;
    }
    if (load->counting && count) {
        ++*count;
        hf_histogram_add(&load->result.latencies, load->now_ns - slot->sent_ns);
    }
    if (load->ending) {
        slot->operation = 0;
        load->outstanding--;
    } else if (then_cancel) {
        ask(load, slot, HF_OP_CANCEL);
    } else {
        ask_first(load, slot);
    }
    return true;
}

static uint64_t thread_cpu_ns(void)
{
    return hf_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Reads the clock, and notices when the measured time begins and ends. */
static void read_clock(struct hf_load *load)
{
    load->now_ns = hf_monotonic_now_ns();
    /* Relaxed: times only, nothing else is read because of them. */
    uint64_t begin_ns = hf_load_relaxed(&load->clock->begin_ns);
    uint64_t end_ns = hf_load_relaxed(&load->clock->end_ns);
    load->counting = load->now_ns >= begin_ns && load->now_ns < end_ns;
    if (HF_UNLIKELY(load->counting && !load->counted)) {
        load->counted = true;
        load->cpu_begin_ns = thread_cpu_ns();
    }
    if (HF_UNLIKELY(load->now_ns >= end_ns && !load->ending)) {
        load->ending = true;
        load->result.cpu_ns = load->counted ? thread_cpu_ns() - load->cpu_begin_ns : 0;
    }
}

/* Takes all replies that the socket has, and sends the requests that follow from them. */
static void receive(struct hf_load *load, struct connection *connection)
{
    uint8_t *bytes = load->in;
    size_t left = connection->partial_bytes;
    uint64_t answered = 0;
    memcpy(bytes, connection->partial, left);
    ssize_t count = recv(connection->link, bytes + left, load->in_bytes - left, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        fail(load, connection, "connection lost: %s",
             count == 0 ? "the server closed it" : strerror(errno));
        return;
    }
    read_clock(load);
    left += (size_t)count;
    while (left >= HF_SHORT_REPLY_BYTES) { /* no reply is smaller */
        uint32_t frame_bytes = hf_get_u32(bytes);
        if (frame_bytes < HF_SHORT_REPLY_BYTES || frame_bytes > MAX_REPLY_BYTES) {
            fail(load, connection, "a reply of %u bytes", frame_bytes);
            return;
        }
        if (left < frame_bytes)
            break;
        if (!take(load, connection, bytes))
            return;
        bytes += frame_bytes;
        left -= frame_bytes;
        answered++;
    }
    memcpy(connection->partial, bytes, left);
    connection->partial_bytes = (uint32_t)left;
    /* Relaxed: a progress figure. Only this thread writes it. */
    hf_store_relaxed(&load->answered, hf_load_relaxed(&load->answered) + answered);
    flush(load, connection);
}

/* Fills every connection with `depth` requests. */
static void begin(struct hf_load *load)
{
    for (uint32_t i = 0; i < load->connection_count && !load->result.failed; i++) {
        struct connection *connection = load->connections + i;
        read_clock(load);
        for (uint32_t number = 0; number < load->plan->depth; number++)
            ask_first(load, connection->slots + number);
        load->outstanding += load->plan->depth;
        flush(load, connection);
    }
}

static void *run(void *context)
{
    struct hf_load *load = context;
    struct epoll_event events[EVENTS];
    begin(load);
    while (!load->result.failed && (!load->ending || load->outstanding > 0)) {
        int count = epoll_wait(load->epoll, events, EVENTS, WAIT_MS);
        for (int i = 0; i < count && !load->result.failed; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                flush_unsent(load, connection);
            if (events[i].events & ~(uint32_t)EPOLLOUT && !load->result.failed)
                receive(load, connection);
        }
        if (count == 0)
            read_clock(load);
        if (count < 0 && errno != EINTR)
            fail(load, NULL, "epoll_wait: %s", strerror(errno));
        if (load->ending && load->now_ns > hf_load_relaxed(&load->clock->end_ns) + DRAIN_NS) {
            fail(load, NULL, "%llu requests were not answered in 10 s",
                 (unsigned long long)load->outstanding);
            load->result.errors += load->outstanding - 1;
        }
    }
    return NULL;
}

int hf_load_start(struct hf_load *load, pthread_t *thread)
{
    return -pthread_create(thread, NULL, run, load);
}

uint64_t hf_load_answered(const struct hf_load *load)
{
    return hf_load_relaxed(&load->answered); /* relaxed: a progress figure */
}

const struct hf_load_result *hf_load_result(const struct hf_load *load)
{
    return &load->result;
}

static void make_templates(struct hf_load *load)
{
    struct hf_request request = {.operation = HF_OP_RESERVE, .qty = 1};
    hf_put_u64(request.id.bytes, load->plan->id_high);
    hf_request_encode(load->reserve, &request, 0);
    request.operation = HF_OP_CANCEL;
    hf_request_encode(load->cancel, &request, 0);
    request.operation = HF_OP_INVENTORY_GET;
    hf_request_encode(load->get, &request, 0);
    request.operation = HF_OP_PING;
    hf_request_encode(load->ping, &request, 0);
}

static int open_connection(struct hf_load *load, struct connection *connection)
{
    const struct hf_load_plan *plan = load->plan;
    connection->slots = calloc(plan->depth, sizeof *connection->slots);
    connection->unsent = malloc((size_t)plan->depth * HF_RESERVE_BYTES);
    if (!connection->slots || !connection->unsent)
        return -ENOMEM;
    for (uint32_t number = 0; number < plan->depth; number++)
        connection->slots[number].tag = number;
    connection->link = hf_link_connect(&plan->address);
    if (connection->link < 0)
        return connection->link;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (fcntl(connection->link, F_SETFL, O_NONBLOCK) < 0 ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->link, &event) < 0)
        return -errno;
    return 0;
}

int hf_load_open(const struct hf_load_plan *plan, struct hf_load_clock *clock, uint32_t number,
                 struct hf_load **opened)
{
    int result = -ENOMEM;
    uint32_t first = (uint32_t)((uint64_t)plan->connections * number / plan->threads);
    uint32_t behind = (uint32_t)((uint64_t)plan->connections * (number + 1) / plan->threads);
    struct hf_load *load = calloc(1, sizeof *load);
    if (!load)
        return -ENOMEM;
    load->plan = plan;
    load->clock = clock;
    load->number = number;
    load->id_count = plan->id_start + number;
    /* All that can be in flight on a connection fits, and a template's length behind the last. */
    load->in_bytes = ((size_t)plan->depth + 1) * MAX_REPLY_BYTES;
    load->in = malloc(load->in_bytes);
    load->out = malloc(((size_t)plan->depth + 1) * HF_RESERVE_BYTES);
    load->connections = calloc(behind - first, sizeof *load->connections);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load->in || !load->out || !load->connections)
        goto failed;
    result = load->epoll < 0 ? -errno : 0;
    make_templates(load);
    while (result == 0 && load->connection_count < behind - first) {
        struct connection *connection = load->connections + load->connection_count++;
        connection->link = -1;
        connection->number = first + load->connection_count - 1;
        result = open_connection(load, connection);
    }
    if (result == 0) {
        *opened = load;
        return 0;
    }
failed:
    hf_load_close(load);
    return result;
}

void hf_load_close(struct hf_load *load)
{
    for (uint32_t i = 0; i < load->connection_count; i++) {
        struct connection *connection = load->connections + i;
        if (connection->link >= 0)
            close(connection->link);
        free(connection->unsent);
        free(connection->slots);
    }
    if (load->epoll >= 0)
        close(load->epoll);
    free(load->connections);
    free(load->out);
    free(load->in);
    free(load);
}
