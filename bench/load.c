/*
 * The loops of one thread. See load.h.
 *
 * A slot is idle or has one request in flight. Its tag is its number in the low half and a count in
 * the high half that grows with each request, so that an answer which comes twice, or to the wrong
 * connection, or after its slot has moved on, fits nothing and is found out. In a closed loop every slot
 * is in use; in an open one, those that are not stand in a list of their connection.
 */
#include "bench/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "bench/stream.h"
#include "net/codec.h"

#define EVENTS         256
#define WAIT_NS        (50 * HF_NS_PER_MS) /* longest until a new end of the run is noticed */
#define DRAIN_NS       (10 * HF_NS_PER_S)
#define MAX_COMPLAINTS 5 /* wrong answers reported one by one, for each thread */
#define IN_BYTES       (256u << 10)
#define OUT_BYTES      (64u << 10)
#define TAG_STEP       (1ull << 32)
#define MAX_DUE        8192 /* arrivals dealt out in one turn */
#define NO_SLOT        UINT32_MAX

struct slot {
    uint64_t tag;
    uint64_t due_ns; /* monotonic: of its request; of a closed loop, when it was sent */
    struct hf_work work;
};
_Static_assert(sizeof(struct slot) == HF_CACHE_LINE_BYTES, "a slot is a cache line");

struct connection {
    struct hf_stream stream;
    uint32_t number;     /* for messages, from 0, over all threads */
    uint32_t free_slots; /* open loop: the first; the work's inventory of each leads to the next */
    struct slot *slots;  /* plan->depth of them */
};

struct hf_load {
    const struct hf_load_plan *plan;
    struct hf_load_clock *clock;
    struct hf_asker asker;
    uint32_t number; /* of the thread */
    uint32_t connection_count;
    struct connection *connections;
    int epoll;
    uint64_t outstanding;      /* requests in flight on all connections */
    uint64_t now_ns;           /* of the newest receive */
    uint64_t begin_ns, end_ns; /* of the measured time, as of then */
    uint64_t cpu_begin_ns;
    bool open;     /* an open loop */
    bool counting; /* now_ns is in the measured time */
    bool counted;  /* ... or was, so cpu_begin_ns is set */
    bool ending;   /* the end has come: nothing new is asked */
    uint32_t complaints;
    uint8_t *in, *out; /* the thread's buffers */
    size_t out_bytes;  /* used */

    /* Of an open loop. */
    struct hf_arrivals arrivals;
    uint64_t turn_ns;         /* when something was dealt out last */
    uint64_t blocked_ns;      /* when something was due last for which there was no slot */
    bool arrivals_over;       /* the end has come, and what was due before it was dealt out */
    uint32_t next_connection; /* that gets the next arrival */
    uint64_t *due_ns;         /* room for MAX_DUE */

    _Atomic uint64_t answered; /* written by the load's thread, read by the one that reports */
    struct hf_load_result result;
};

static bool is_open(const struct hf_load *load)
{
    return load->open;
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

static uint64_t thread_cpu_ns(void)
{
    return hf_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Reads the clock, and notices when the measured time begins and ends. */
static void read_clock(struct hf_load *load)
{
    load->now_ns = hf_monotonic_now_ns();
    /* Relaxed: times only, nothing else is read because of them. */
    load->begin_ns = hf_load_relaxed(&load->clock->begin_ns);
    load->end_ns = hf_load_relaxed(&load->clock->end_ns);
    load->counting = load->now_ns >= load->begin_ns && load->now_ns < load->end_ns;
    if (HF_UNLIKELY(load->counting && !load->counted)) {
        load->counted = true;
        load->cpu_begin_ns = thread_cpu_ns();
    }
    if (HF_UNLIKELY(load->now_ns >= load->end_ns && !load->ending)) {
        load->ending = true;
        load->result.cpu_ns = load->counted ? thread_cpu_ns() - load->cpu_begin_ns : 0;
    }
}

/* ---- sending ---- */

/* Ends the run if that was not 0. */
static void expect_sent(struct hf_load *load, const struct connection *connection, int result)
{
    if (HF_UNLIKELY(result != 0) && !load->result.failed)
        fail(load, connection, "connection lost: %s", strerror(-result));
}

/* Sends what the thread's buffer holds for this connection. */
static void flush(struct hf_load *load, struct connection *connection)
{
    expect_sent(load, connection, hf_stream_send(&connection->stream, load->out, load->out_bytes));
    load->out_bytes = 0;
}

/* Where the next request goes: in the thread's buffer, which has room for any. */
static uint8_t *place(struct hf_load *load, struct connection *connection)
{
    if (HF_UNLIKELY(load->out_bytes + load->asker.max_request_bytes > OUT_BYTES))
        flush(load, connection);
    return load->out + load->out_bytes;
}

/* The request that was written there is on its way, under the slot's new tag. */
static void dispatch(struct hf_load *load, struct slot *slot, uint8_t *request, size_t bytes,
                     uint64_t due_ns)
{
    slot->tag += TAG_STEP;
    slot->due_ns = due_ns;
    hf_put_u64(request + 8, slot->tag);
    load->out_bytes += bytes;
}

/* Begins a new piece of work in an idle slot. */
static inline __attribute__((always_inline)) void
begin_work(struct hf_load *load, struct connection *connection, struct slot *slot, uint64_t due_ns)
{
    uint8_t *request = place(load, connection);
    slot->work.begun_ns = due_ns;
    dispatch(load, slot, request, hf_asker_begin(&load->asker, &slot->work, request), due_ns);
}

/* ---- receiving ---- */

/* An answer that is well formed, but not one that the load should get. False: give up. */
static bool take_other(struct hf_load *load, const struct connection *connection,
                       const struct slot *slot, const uint8_t *bytes)
{
    struct hf_frame frame;
    struct hf_reply reply;
    hf_frame_read(bytes, &frame);
    if (frame.version != HF_PROTOCOL_VERSION ||
        frame.operation != (slot->work.operation | HF_REPLY_BIT) ||
        !hf_reply_decode(bytes, &frame, &reply, NULL)) {
        fail(load, connection,
             "a reply of %u bytes, version %u, operation %u, result %u: not one "
             "to operation %u",
             frame.frame_bytes, frame.version, frame.operation, frame.result,
             (unsigned)slot->work.operation);
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

/* True if the latency of a request that was due then belongs to the measured time. */
static bool is_timed(const struct hf_load *load, uint64_t due_ns)
{
    if (is_open(load))
        return due_ns >= load->begin_ns && due_ns < load->end_ns;
    return load->counting;
}

static void count_answer(struct hf_load *load, const struct slot *slot, enum hf_answer answer)
{
    struct hf_load_result *result = &load->result;
    result->all_counts[answer] += slot->work.kind != HF_KIND_REFUSE;
    result->counts[answer] += load->counting;
    if (is_timed(load, slot->due_ns))
        hf_histogram_add(&result->latencies[slot->work.kind][slot->work.step],
                         load->now_ns - slot->due_ns);
}

/* The slot's work is over, and nothing takes its place at once. */
static void release_slot(struct hf_load *load, struct connection *connection, struct slot *slot)
{
    slot->work.operation = HF_OP_NONE;
    slot->work.inventory = connection->free_slots;
    connection->free_slots = (uint32_t)(slot - connection->slots);
    load->outstanding--;
}

/* What follows in a slot whose request was answered. */
static void go_on(struct hf_load *load, struct connection *connection, struct slot *slot,
                  bool work_goes_on)
{
    if (load->ending) {
        release_slot(load, connection, slot);
    } else if (work_goes_on) {
        uint8_t *request = place(load, connection);
        dispatch(load, slot, request, hf_asker_go_on(&load->asker, &slot->work, request),
                 load->now_ns);
    } else if (is_open(load)) {
        release_slot(load, connection, slot);
    } else {
        begin_work(load, connection, slot, load->now_ns);
    }
}

/* Takes one whole reply, and asks the next thing in its slot. False: give up. */
static bool take(struct hf_load *load, struct connection *connection, const uint8_t *reply)
{
    uint64_t tag = hf_get_u64(reply + 8);
    uint32_t number = (uint32_t)tag;
    struct slot *slot = connection->slots + number;
    if (number >= load->plan->depth || slot->tag != tag || slot->work.operation == HF_OP_NONE) {
        fail(load, connection, "a reply with tag %llu, which is not in flight",
             (unsigned long long)tag);
        return false;
    }
    enum hf_answer answer = HF_ANSWER_COUNT;
    const char *fault = NULL;
    bool work_goes_on = false;
    switch (hf_answer_judge(&load->asker, &slot->work, reply, load->now_ns, &answer, &fault)) {
    case HF_VERDICT_RIGHT:
        count_answer(load, slot, answer);
        work_goes_on = hf_answer_goes_on(&slot->work, answer);
        break;
    case HF_VERDICT_WRONG:
        fail(load, connection, "a reply with %s", fault);
        return false;
    case HF_VERDICT_OTHER:
        if (!take_other(load, connection, slot, reply))
            return false;
        break;
    }
    go_on(load, connection, slot, work_goes_on);
    return true;
}

/* Takes the whole replies among `count` bytes. Returns how many bytes are left, or -1: give up. */
static ssize_t take_all(struct hf_load *load, struct connection *connection, const uint8_t *bytes,
                        size_t count)
{
    uint64_t answered = 0;
    while (count >= HF_SHORT_REPLY_BYTES) { /* no reply is smaller */
        uint32_t frame_bytes = hf_get_u32(bytes);
        if (frame_bytes < HF_SHORT_REPLY_BYTES || frame_bytes > load->asker.max_reply_bytes) {
            fail(load, connection, "a reply of %u bytes", frame_bytes);
            return -1;
        }
        if (count < frame_bytes)
            break;
        if (!take(load, connection, bytes))
            return -1;
        bytes += frame_bytes;
        count -= frame_bytes;
        answered++;
    }
    /* Relaxed: a progress figure. Only this thread writes it. */
    hf_store_relaxed(&load->answered, hf_load_relaxed(&load->answered) + answered);
    return (ssize_t)count;
}

/* Takes all replies that the socket has, and sends the requests that follow from them. */
static void receive(struct hf_load *load, struct connection *connection)
{
    ssize_t count = hf_stream_receive(&connection->stream, load->in, IN_BYTES);
    if (count == 0)
        return;
    if (count < 0) {
        fail(load, connection, "connection lost: %s",
             count == -EPIPE ? "the server closed it" : strerror((int)-count));
        return;
    }
    read_clock(load);
    ssize_t left = take_all(load, connection, load->in, (size_t)count);
    if (left < 0)
        return;
    hf_stream_keep(&connection->stream, load->in + count - left, (size_t)left);
    flush(load, connection);
}

/* ---- the closed loop ---- */

/* Fills every connection with `depth` requests. */
static void fill(struct hf_load *load)
{
    for (uint32_t i = 0; i < load->connection_count && !load->result.failed; i++) {
        struct connection *connection = load->connections + i;
        read_clock(load);
        load->outstanding += load->plan->depth;
        for (uint32_t number = 0; number < load->plan->depth; number++)
            begin_work(load, connection, connection->slots + number, load->now_ns);
        flush(load, connection);
    }
}

/* ---- the open loop ---- */

static uint64_t free_slots(const struct hf_load *load)
{
    return (uint64_t)load->connection_count * load->plan->depth - load->outstanding;
}

/* Takes the times of the arrivals that are due and find a slot. */
static uint32_t collect_due(struct hf_load *load)
{
    uint64_t until_ns = load->now_ns < load->end_ns ? load->now_ns + 1 : load->end_ns;
    uint64_t room = free_slots(load);
    uint32_t count = 0;
    while (count < MAX_DUE && load->arrivals.next_ns < until_ns) {
        if (count == room) {
            load->blocked_ns = load->now_ns;
            break;
        }
        load->due_ns[count++] = load->arrivals.next_ns;
        hf_arrivals_pass(&load->arrivals);
    }
    return count;
}

/* Begins the work that was due then, on a connection that has a free slot. */
static void begin_due(struct hf_load *load, struct connection *connection, uint64_t due_ns)
{
    struct slot *slot = connection->slots + connection->free_slots;
    connection->free_slots = slot->work.inventory;
    load->outstanding++;
    begin_work(load, connection, slot, due_ns);
    if (!is_timed(load, due_ns))
        return;
    load->result.arrived++;
    load->result.late += due_ns <= load->blocked_ns;
}

static void note_lateness(struct hf_load *load, const uint64_t *due_ns, uint32_t count)
{
    uint64_t sent_ns = hf_monotonic_now_ns();
    for (uint32_t i = 0; i < count; i++)
        if (is_timed(load, due_ns[i]))
            hf_histogram_add(&load->result.lateness, sent_ns - due_ns[i]);
}

/* Deals out what is due: to each connection its share, in one send. */
static void deal(struct hf_load *load, uint32_t count)
{
    uint32_t share = (count + load->connection_count - 1) / load->connection_count;
    for (uint32_t done = 0; done < count && !load->result.failed;) {
        struct connection *connection = load->connections + load->next_connection;
        uint32_t begun = 0;
        load->next_connection = (load->next_connection + 1) % load->connection_count;
        while (begun < share && done + begun < count && connection->free_slots != NO_SLOT) {
            begin_due(load, connection, load->due_ns[done + begun]);
            begun++;
        }
        if (begun == 0)
            continue; /* full: another one has room, as collect_due() saw to it */
        flush(load, connection);
        note_lateness(load, load->due_ns + done, begun);
        done += begun;
    }
}

/* What was due before the end and found no slot until then. */
static void give_up_unsent(struct hf_load *load)
{
    for (; load->arrivals.next_ns < load->end_ns; hf_arrivals_pass(&load->arrivals)) {
        uint64_t due_ns = load->arrivals.next_ns;
        enum hf_kind kind = hf_mix_draw(&load->plan->mix, &load->asker.random);
        if (!is_timed(load, due_ns))
            continue;
        load->result.arrived++;
        load->result.late++;
        load->result.unsent++;
        hf_histogram_add(&load->result.latencies[kind][0], load->end_ns - due_ns);
    }
}

static void send_due(struct hf_load *load)
{
    read_clock(load);
    if (load->arrivals_over ||
        (load->now_ns < load->turn_ns + load->plan->pause_ns && !load->ending))
        return;
    uint32_t count;
    while ((count = collect_due(load)) != 0 && !load->result.failed) {
        load->turn_ns = load->now_ns;
        deal(load, count);
        if (!load->ending)
            break;
    }
    if (!load->ending)
        return;
    give_up_unsent(load);
    load->arrivals_over = true;
}

/* How long nothing is to be done unless something comes. */
static uint64_t rest_ns(const struct hf_load *load)
{
    if (load->arrivals_over || free_slots(load) == 0)
        return WAIT_NS;
    uint64_t at_ns = load->turn_ns + load->plan->pause_ns;
    if (at_ns < load->arrivals.next_ns)
        at_ns = load->arrivals.next_ns;
    uint64_t now_ns = hf_monotonic_now_ns();
    if (at_ns <= now_ns)
        return 0;
    return at_ns - now_ns < WAIT_NS ? at_ns - now_ns : WAIT_NS;
}

static void start_arrivals(struct hf_load *load)
{
    prctl(PR_SET_TIMERSLACK, 1); /* ns, of this thread; else the kernel may wake it 50 us late */
    read_clock(load);
    hf_arrivals_init(&load->arrivals, load->plan->arrivals, load->plan->rate, load->now_ns,
                     load->number, load->plan->threads, load->plan->id_start ^ load->number);
}

/* ---- the thread ---- */

static void give_up_waiting(struct hf_load *load)
{
    fail(load, NULL, "%llu requests were not answered in 10 s",
         (unsigned long long)load->outstanding);
    load->result.errors += load->outstanding - 1;
}

/* Waits until something comes, or is due. How many events there are, or -1. */
static int wait_for(const struct hf_load *load, struct epoll_event events[EVENTS])
{
    if (!is_open(load))
        return epoll_wait(load->epoll, events, EVENTS, WAIT_NS / HF_NS_PER_MS);
    uint64_t wait_ns = rest_ns(load);
    const struct timespec wait = {.tv_sec = (time_t)(wait_ns / HF_NS_PER_S),
                                  .tv_nsec = (long)(wait_ns % HF_NS_PER_S)};
    return epoll_pwait2(load->epoll, events, EVENTS, &wait, NULL);
}

static void turn(struct hf_load *load)
{
    struct epoll_event events[EVENTS];
    int count = wait_for(load, events);
    for (int i = 0; i < count && !load->result.failed; i++) {
        struct connection *connection = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            expect_sent(load, connection, hf_stream_resume(&connection->stream));
        if (events[i].events & ~(uint32_t)EPOLLOUT && !load->result.failed)
            receive(load, connection);
    }
    if (count == 0)
        read_clock(load);
    if (count < 0 && errno != EINTR)
        fail(load, NULL, "epoll: %s", strerror(errno));
    if (is_open(load) && !load->result.failed)
        send_due(load);
}

static void *run(void *context)
{
    struct hf_load *load = context;
    if (is_open(load))
        start_arrivals(load);
    else
        fill(load);
    while (!load->result.failed && (!load->ending || load->outstanding > 0)) {
        turn(load);
        if (load->ending && load->now_ns > load->end_ns + DRAIN_NS && !load->result.failed)
            give_up_waiting(load);
    }
    load->result.units_claimed = load->asker.units_claimed;
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

/* ---- opening, closing ---- */

static int open_connection(struct hf_load *load, struct connection *connection)
{
    const struct hf_load_plan *plan = load->plan;
    connection->slots = aligned_alloc(sizeof(struct slot), plan->depth * sizeof(struct slot));
    if (!connection->slots)
        return -ENOMEM;
    memset(connection->slots, 0, plan->depth * sizeof(struct slot));
    for (uint32_t number = 0; number < plan->depth; number++) {
        connection->slots[number].tag = number;
        connection->slots[number].work.inventory = number + 1 < plan->depth ? number + 1 : NO_SLOT;
    }
    return hf_stream_open(&connection->stream, &plan->address, load->epoll, connection,
                          load->asker.max_reply_bytes);
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
    load->open = plan->rate > 0;
    load->in = malloc(IN_BYTES);
    load->out = malloc(OUT_BYTES);
    load->due_ns = malloc(MAX_DUE * sizeof *load->due_ns);
    load->connections = calloc(behind - first, sizeof *load->connections);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load->in || !load->out || !load->due_ns || !load->connections)
        goto failed;
    result = load->epoll < 0 ? -errno : 0;
    hf_asker_init(&load->asker, plan, number);
    while (result == 0 && load->connection_count < behind - first) {
        struct connection *connection = load->connections + load->connection_count++;
        connection->stream.link = -1;
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
        hf_stream_close(&connection->stream);
        free(connection->slots);
    }
    if (load->epoll >= 0)
        close(load->epoll);
    free(load->connections);
    free(load->due_ns);
    free(load->out);
    free(load->in);
    free(load);
}
