/* The doorman: see doorman.h. */
#include "net/doorman.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "net/codec.h"
#include "net/recovery_report.h"

#define NICENESS 10

/* How often it looks whether it is to stop, and tells how far the recovery is. */
#define TICK_MS 50

/* Connections accepted in one turn. */
#define ACCEPTS 16

/* When all places are taken: who asked for something so lately is not sent away for another. */
#define QUIET_NS (250 * HF_NS_PER_MS)

/* At the end: so often it receives from one who was refused, and who may never stop sending. */
#define LAST_RECEIVES 64

/* How long accepting rests when it failed: out of descriptors. */
#define REST_NS (100 * HF_NS_PER_MS)

/* How long a peer may take to end a connection that we have ended. */
#define SHUT_TIMEOUT_NS (1 * HF_NS_PER_S)

/* The same when the server is about to end. */
#define DISMISS_TIMEOUT_NS (200 * HF_NS_PER_MS)

_Static_assert(HF_VISITOR_BYTES >= HF_STATUS_REPLY_BYTES, "every reply has room");

struct hf_doorman {
    struct hf_doorman_options options;
    struct hf_recovery_report report;
    pthread_t thread;
    int bell;                /* readable when `ending` is set */
    int listener_flags;      /* as they were */
    _Atomic uint32_t ending; /* set by hf_doorman_end() */
    uint64_t now_ns;         /* of this turn */
    uint64_t rest_until_ns;  /* no accepting before */
    uint32_t count;
    struct hf_visitor *visitors[HF_DOORMAN_VISITORS]; /* in the order in which they came */
    struct pollfd polled[HF_DOORMAN_VISITORS + 2];
    struct hf_request_scratch scratch;
};

/* ---- answering ---- */

static size_t answer(struct hf_doorman *doorman, uint8_t *out, const struct hf_frame *frame,
                     unsigned result, unsigned field, unsigned line)
{
    struct hf_short reply = {.result = result, .field = field, .line = line};
    if (result == HF_NOT_READY)
        reply.available = (int32_t)hf_progress_percent(doorman->options.progress);
    return hf_reply_encode_answer(out, frame->operation, frame->tag, &reply);
}

static size_t answer_status(struct hf_doorman *doorman, uint8_t *out, uint64_t tag)
{
    struct hf_progress *progress = doorman->options.progress;
    const struct hf_status status = {
        .state = hf_progress_cancelled(progress) ? HF_SERVER_STOPPING : HF_SERVER_RECOVERING,
        .percent = (uint8_t)hf_progress_percent(progress),
        /* Relaxed: figures. */
        .recovery_done_bytes = hf_load_relaxed(&progress->done_bytes),
        .recovery_total_bytes = hf_load_relaxed(&progress->total_bytes),
        .recovered_records = hf_load_relaxed(&progress->records),
    };
    return hf_reply_encode_status(out, tag, &status);
}

/* The reply to a whole frame. */
static size_t answer_frame(struct hf_doorman *doorman, struct hf_visitor *visitor, uint8_t *out,
                           const uint8_t *bytes, const struct hf_frame *frame)
{
    struct hf_request request;
    enum hf_field field = HF_FIELD_NONE;
    unsigned line = 0;
    enum hf_result result =
        hf_request_decode(bytes, frame, &request, &doorman->scratch, &field, &line);
    if (result != HF_OK)
        return answer(doorman, out, frame, result, field, line);
    if (request.operation == HF_OP_STATUS)
        return answer_status(doorman, out, frame->tag);
    visitor->refused = true;
    bool stopping = hf_progress_cancelled(doorman->options.progress);
    return answer(doorman, out, frame, stopping ? HF_SHUTTING_DOWN : HF_NOT_READY, HF_FIELD_NONE,
                  0);
}

/* Answers whole frames as long as there is room for a reply. How many. */
static uint32_t answer_input(struct hf_doorman *doorman, struct hf_visitor *visitor)
{
    uint32_t done = 0, count = 0;
    while (!visitor->fatal &&
           sizeof visitor->output - visitor->output_end >= HF_STATUS_REPLY_BYTES) {
        struct hf_frame frame;
        const uint8_t *bytes = visitor->input + done;
        uint8_t *out = visitor->output + visitor->output_end;
        unsigned framing = hf_request_frame(bytes, visitor->input_bytes - done, &frame);
        if (framing == 0)
            break;
        visitor->fatal = framing != HF_OK;
        size_t reply_bytes = visitor->fatal
                                 ? answer(doorman, out, &frame, framing, HF_FIELD_FRAME_BYTES, 0)
                                 : answer_frame(doorman, visitor, out, bytes, &frame);
        visitor->output_end += (uint32_t)reply_bytes;
        done += visitor->fatal ? 0 : frame.frame_bytes;
        count++;
    }
    if (count != 0)
        visitor->asked_ns = doorman->now_ns;
    if (visitor->fatal)
        done = visitor->input_bytes; /* the stream is not to be trusted any more */
    visitor->input_bytes -= done;
    memmove(visitor->input, visitor->input + done, visitor->input_bytes);
    return count;
}

/* ---- bytes ---- */

/* A transfer's end that is no end of the connection. */
static bool is_passing(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* Sends what is owed, as far as the socket takes it. False: the connection is broken. */
static bool flush(struct hf_visitor *visitor)
{
    while (visitor->output_begin != visitor->output_end) {
        ssize_t sent =
            send(visitor->socket, visitor->output + visitor->output_begin,
                 visitor->output_end - visitor->output_begin, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return is_passing(errno);
        visitor->output_begin += (uint32_t)sent;
    }
    visitor->output_begin = visitor->output_end = 0;
    return true;
}

/* Answers what is there and sends it, until nothing is left or the socket takes no more. False: the
 * connection is broken. */
static bool reply(struct hf_doorman *doorman, struct hf_visitor *visitor)
{
    do {
        if (!flush(visitor))
            return false;
    } while (answer_input(doorman, visitor) != 0);
    return true;
}

/* Receives once. How many bytes; 0: none, now or, if it has ended, ever; -1: it is broken. */
static int receive(struct hf_visitor *visitor)
{
    uint8_t ignored[4096];
    uint8_t *into = visitor->fatal ? ignored : visitor->input + visitor->input_bytes;
    size_t room = visitor->fatal ? sizeof ignored : sizeof visitor->input - visitor->input_bytes;
    HF_CHECK(room != 0);
    ssize_t got = recv(visitor->socket, into, room, MSG_DONTWAIT);
    if (got < 0)
        return is_passing(errno) ? 0 : -1;
    visitor->ended = got == 0;
    if (!visitor->fatal)
        visitor->input_bytes += (uint32_t)got;
    return (int)got;
}

/* Who does not read is not received from: then no room is left for what he sends. */
static bool may_receive(const struct hf_visitor *visitor)
{
    return !visitor->ended && (visitor->fatal || visitor->input_bytes != sizeof visitor->input);
}

static short events_of(const struct hf_visitor *visitor)
{
    return (short)((may_receive(visitor) ? POLLIN : 0) |
                   (visitor->output_begin != visitor->output_end ? POLLOUT : 0));
}

/* ---- visitors ---- */

static void close_visitor(struct hf_visitor *visitor)
{
    close(visitor->socket);
    free(visitor);
}

/* Does what is to be done for one of whom poll() told something. False: he is to go. */
static bool serve(struct hf_doorman *doorman, struct hf_visitor *visitor, short events)
{
    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && may_receive(visitor) &&
        receive(visitor) < 0)
        return false;
    if (!reply(doorman, visitor))
        return false;
    if ((events & (POLLHUP | POLLERR)) != 0 && !may_receive(visitor))
        return false; /* the peer is gone altogether, and poll() would tell so again and again */
    if (visitor->output_begin != visitor->output_end)
        return true;
    if (visitor->ended)
        return false;
    if (visitor->fatal && !visitor->shut) {
        /* Our end first: closing with input unread could destroy the replies on their way. */
        shutdown(visitor->socket, SHUT_WR);
        visitor->shut = true;
        visitor->shut_ns = doorman->now_ns;
    }
    return true;
}

/* Keeps those that stay, in their order. */
static void serve_all(struct hf_doorman *doorman, const struct pollfd *polled)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < doorman->count; i++) {
        struct hf_visitor *visitor = doorman->visitors[i];
        bool stays = polled[i].revents == 0 || serve(doorman, visitor, polled[i].revents);
        if (visitor->shut && doorman->now_ns - visitor->shut_ns > SHUT_TIMEOUT_NS)
            stays = false;
        if (stays)
            doorman->visitors[kept++] = visitor;
        else
            close_visitor(visitor);
    }
    doorman->count = kept;
}

/* The one that has asked for nothing for longest, if that is long; `count`: none. */
static uint32_t find_quiet(const struct hf_doorman *doorman)
{
    uint32_t found = doorman->count;
    uint64_t oldest_ns = doorman->now_ns > QUIET_NS ? doorman->now_ns - QUIET_NS : 0;
    for (uint32_t i = 0; i < doorman->count; i++) {
        if (doorman->visitors[i]->asked_ns >= oldest_ns)
            continue;
        oldest_ns = doorman->visitors[i]->asked_ns;
        found = i;
    }
    return found;
}

static bool may_accept(const struct hf_doorman *doorman)
{
    if (doorman->options.visitors == 0 || doorman->now_ns < doorman->rest_until_ns)
        return false;
    return doorman->count < doorman->options.visitors || find_quiet(doorman) != doorman->count;
}

static void send_away(struct hf_doorman *doorman, uint32_t place)
{
    close_visitor(doorman->visitors[place]);
    doorman->count--;
    memmove(&doorman->visitors[place], &doorman->visitors[place + 1],
            (doorman->count - place) * sizeof doorman->visitors[0]);
}

static void accept_some(struct hf_doorman *doorman)
{
    for (int i = 0; i < ACCEPTS && may_accept(doorman); i++) {
        int socket = accept4(doorman->options.listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket < 0 && is_passing(errno))
            return;
        /* All but its output and input: those are written before they are read. */
        struct hf_visitor *visitor = socket < 0 ? NULL : malloc(sizeof *visitor);
        if (visitor == NULL) {
            if (socket >= 0)
                close(socket);
            doorman->rest_until_ns = doorman->now_ns + REST_NS;
            return;
        }
        memset(visitor, 0, offsetof(struct hf_visitor, input));
        visitor->socket = socket;
        visitor->asked_ns = doorman->now_ns;
        if (doorman->count == doorman->options.visitors)
            send_away(doorman, find_quiet(doorman));
        doorman->visitors[doorman->count++] = visitor;
    }
}

/* ---- the thread ---- */

static void tick(struct hf_doorman *doorman)
{
    struct hf_progress *progress = doorman->options.progress;
    doorman->now_ns = hf_monotonic_now_ns();
    if (doorman->options.stop_wanted != NULL && doorman->options.stop_wanted())
        hf_progress_cancel(progress);
    hf_recovery_report_tick(&doorman->report, progress, doorman->now_ns);
}

/* Who was refused something is answered to the end of what he has sent, or of what he reads. Broken
 * connections are their worker's business. Who was not refused anything is served by it. */
static void answer_last(struct hf_doorman *doorman)
{
    for (uint32_t i = 0; i < doorman->count; i++) {
        struct hf_visitor *visitor = doorman->visitors[i];
        for (int turn = 0; turn < LAST_RECEIVES && visitor->refused && !visitor->fatal; turn++)
            if (!may_receive(visitor) || receive(visitor) <= 0 || !reply(doorman, visitor))
                break;
    }
}

static void *doorman_main(void *context)
{
    struct hf_doorman *doorman = context;
    struct pollfd *polled = doorman->polled;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS); /* of this thread only; a courtesy */
    /* Acquire, pairs with hf_doorman_end(). */
    while (!hf_load_acquire(&doorman->ending)) {
        tick(doorman);
        polled[0] = (struct pollfd){.fd = doorman->bell, .events = POLLIN};
        polled[1] = (struct pollfd){.fd = may_accept(doorman) ? doorman->options.listener : -1,
                                    .events = POLLIN};
        for (uint32_t i = 0; i < doorman->count; i++)
            polled[2 + i] = (struct pollfd){.fd = doorman->visitors[i]->socket,
                                            .events = events_of(doorman->visitors[i])};
        if (poll(polled, 2 + doorman->count, TICK_MS) <= 0)
            for (uint32_t i = 0; i < 2 + doorman->count; i++)
                polled[i].revents = 0;
        doorman->now_ns = hf_monotonic_now_ns();
        serve_all(doorman, polled + 2);
        if (polled[1].revents != 0)
            accept_some(doorman);
    }
    answer_last(doorman);
    hf_recovery_report_end(&doorman->report);
    return NULL;
}

/* ---- start and end ---- */

int hf_doorman_start(struct hf_doorman **started, const struct hf_doorman_options *options)
{
    HF_CHECK(options->visitors <= HF_DOORMAN_VISITORS);
    struct hf_doorman *doorman = calloc(1, sizeof *doorman);
    if (doorman == NULL)
        return -ENOMEM;
    doorman->options = *options;
    hf_recovery_report_begin(&doorman->report, options->report, hf_monotonic_now_ns());
    int result = 0;
    doorman->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (doorman->bell < 0) {
        result = -errno;
        goto free_doorman;
    }
    /* Whoever knocked may be gone by the time that we open: never wait for the next one. */
    doorman->listener_flags = fcntl(options->listener, F_GETFL);
    fcntl(options->listener, F_SETFL, doorman->listener_flags | O_NONBLOCK);
    result = -pthread_create(&doorman->thread, NULL, doorman_main, doorman);
    if (result != 0)
        goto close_bell;
    *started = doorman;
    return 0;

close_bell:
    fcntl(options->listener, F_SETFL, doorman->listener_flags);
    close(doorman->bell);
free_doorman:
    free(doorman);
    return result;
}

struct hf_visitor *hf_doorman_end(struct hf_doorman *doorman)
{
    uint64_t one = 1;
    hf_store_release(&doorman->ending, 1); /* pairs with the acquire in doorman_main() */
    HF_CHECK(write(doorman->bell, &one, sizeof one) == sizeof one);
    pthread_join(doorman->thread, NULL);
    fcntl(doorman->options.listener, F_SETFL, doorman->listener_flags);
    close(doorman->bell);
    struct hf_visitor *first = NULL;
    for (uint32_t i = doorman->count; i > 0; i--) {
        doorman->visitors[i - 1]->next = first;
        first = doorman->visitors[i - 1];
    }
    free(doorman);
    return first;
}

/* True if it is over: all is sent and our side is shut down, and the peer's as well. */
static bool say_goodbye(struct hf_visitor *visitor)
{
    if (!flush(visitor))
        return true;
    if (visitor->output_begin == visitor->output_end && !visitor->shut) {
        shutdown(visitor->socket, SHUT_WR);
        visitor->shut = true;
    }
    visitor->fatal = true; /* input is ignored */
    if (!visitor->ended && receive(visitor) < 0)
        return true;
    return visitor->ended && visitor->shut;
}

void hf_visitors_dismiss(struct hf_visitor *first)
{
    uint64_t until_ns = hf_monotonic_now_ns() + DISMISS_TIMEOUT_NS;
    while (first != NULL) {
        bool late = hf_monotonic_now_ns() > until_ns;
        for (struct hf_visitor **place = &first; *place != NULL;) {
            struct hf_visitor *visitor = *place;
            if (say_goodbye(visitor) || late) {
                *place = visitor->next;
                close_visitor(visitor);
            } else {
                place = &visitor->next;
            }
        }
        struct timespec pause = {.tv_nsec = 1000000};
        if (first != NULL)
            nanosleep(&pause, NULL);
    }
}
