/*
 * Watching: records as they are committed, one line each. See verbs.h.
 *
 * It ends after --count records, on Ctrl-C or SIGTERM, when the server ends the subscription, or
 * when the LSN asked for is no longer kept. Whatever the end, the LSN is told from which a later
 * watch misses nothing and sees nothing twice: the one behind the last record of which the whole
 * line was written. A broken connection is no end: the client goes on by itself where it was, for
 * as long as it takes. Only a server that is not there at first is given up, after --timeout.
 *
 * A signal wakes whatever is waiting: the handler writes to an eventfd that is polled beside the
 * connection, and interrupts a write() to a pipe that nobody reads.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/image.h"
#include "tools/image_text.h"
#include "tools/request.h"
#include "tools/show.h"
#include "tools/verbs.h"

struct watch {
    struct hf_cli_session *session;
    uint64_t left;     /* records to show */
    uint64_t next_lsn; /* from which to go on; 0: it has not begun */
    bool ended;
    bool broken; /* the connection, and somebody was told */
    enum hf_cli_exit status;
};

/* A signal handler reaches nothing else. */
static volatile sig_atomic_t interrupted;
static int wake_fd = -1;

static void on_signal(int number)
{
    (void)number;
    int error = errno;
    uint64_t one = 1;
    interrupted = 1;
    /* A full eventfd is readable, which is all that is asked of it. */
    if (write(wake_fd, &one, sizeof one) < 0)
        interrupted = 1;
    errno = error;
}

static bool catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: write() is to return */
    sigemptyset(&action.sa_mask);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return wake_fd >= 0 && sigaction(SIGINT, &action, NULL) == 0 &&
           sigaction(SIGTERM, &action, NULL) == 0;
}

static void release_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (wake_fd >= 0)
        close(wake_fd);
    wake_fd = -1;
}

/* ---- showing ---------------------------------------------------------------------------- */

/* What somebody who looks at a screen must not overlook; programs have members for it. */
static const char *banner(const struct hf_image *image)
{
    if (image->kind == HF_IMAGE_RESERVATION && (image->notes.flags & HF_IMAGE_FLAG_SOLD_OUT) != 0)
        return "*** SOLD OUT *** ";
    if (image->kind == HF_IMAGE_EVENT && image->event == HF_EVENT_AVAILABLE_AGAIN)
        return "*** AVAILABLE AGAIN *** ";
    return "";
}

/* One line. A record that this version does not know is told as its bytes. */
static void show_record(FILE *out, const uint8_t *record, bool json)
{
    struct hf_image image = {0};
    const char *reason = hf_image_decode(record, &image);
    if (reason != NULL) {
        hf_image_put_unknown(out, record, reason, json);
    } else if (json) {
        hf_image_json_put(out, &image);
    } else {
        fputs(banner(&image), out);
        hf_image_text_put(out, &image);
    }
}

static void show_records(struct watch *watch, const struct hf_reply *reply)
{
    FILE *out = watch->session->out;
    for (uint32_t i = 0; i < reply->count && watch->left > 0; i++) {
        const uint8_t *record = reply->records + (size_t)i * HF_FRAME_RECORD_BYTES;
        uint64_t lsn = hf_get_u64(record);
        show_record(out, record, watch->session->json);
        if (fflush(out) != 0 || interrupted) { /* nobody knows how much of it was written */
            watch->ended = true;
            watch->next_lsn = ferror(out) ? watch->next_lsn : lsn + 1;
            return;
        }
        watch->next_lsn = lsn + 1;
        watch->left--;
    }
    if (watch->left == 0)
        watch->ended = true;
    else
        watch->next_lsn = reply->next_lsn; /* the last ones may have been of others */
}

static void show_fell_behind(const struct watch *watch, const struct hf_reply *reply)
{
    if (watch->session->json) {
        fprintf(watch->session->out, "{\"kind\":\"fell_behind\",\"next_lsn\":%" PRIu64 "}\n",
                reply->next_lsn);
        fflush(watch->session->out);
    } else {
        hf_cli_complain("fell behind: from LSN %" PRIu64
                        " on, records are read from the disk; none is left out",
                        reply->next_lsn);
    }
}

static void show_end(const struct watch *watch)
{
    if (watch->next_lsn == 0)
        return;
    if (watch->session->json)
        fprintf(watch->session->out, "{\"kind\":\"end\",\"next_lsn\":%" PRIu64 "}\n",
                watch->next_lsn);
    else
        hf_cli_complain("ended; go on with --from %" PRIu64, watch->next_lsn);
}

/* One frame of the subscription. False: no more of them. */
static bool take_frame(void *context, const struct hf_reply *reply)
{
    struct watch *watch = context;
    if (hf_result_group(reply->result) != HF_GROUP_YES) {
        watch->session->reply = *reply;
        watch->status = hf_cli_exit_of(reply->result);
        watch->ended = true;
        hf_cli_show_no(watch->session);
        return false;
    }
    if (reply->result == HF_RECORDS)
        show_records(watch, reply);
    else if (reply->next_lsn != 0)
        watch->next_lsn = reply->next_lsn;
    if (reply->result == HF_FELL_BEHIND)
        show_fell_behind(watch, reply);
    if (reply->result == HF_SUBSCRIBED && watch->broken) {
        hf_cli_complain("connected again; going on from LSN %" PRIu64, watch->next_lsn);
        watch->broken = false;
    }
    if (reply->result == HF_UNSUBSCRIBED)
        watch->ended = true;
    return !watch->ended;
}

/* ---- the verb --------------------------------------------------------------------------- */

static void tell_broken(struct watch *watch)
{
    const struct hf_cli_session *session = watch->session;
    if (watch->broken || hf_client_connected(session->client))
        return;
    hf_cli_complain("%s: %s; trying again", session->server, hf_client_last_error(session->client));
    watch->broken = true;
}

static void wait_for_frames(const struct hf_client *client)
{
    struct pollfd waits[2] = {
        {.fd = wake_fd, .events = POLLIN},
        {.fd = hf_client_fd(client), .events = hf_client_events(client)},
    };
    /* Whatever it returns, an interruption too: the loop finds out what can be done. */
    (void)poll(waits, 2, hf_client_timeout_ms(client));
}

static void watch_until_ended(struct watch *watch)
{
    struct hf_client *client = watch->session->client;
    while (!watch->ended && !interrupted) {
        (void)hf_client_process(client);
        if (watch->ended || interrupted)
            break;
        tell_broken(watch);
        wait_for_frames(client);
    }
}

/* A watch has no time-out, so that it is asked before whether the server is there at all. */
static bool find_server(struct hf_cli_session *session)
{
    struct hf_request ping = {.operation = HF_OP_PING};
    unsigned result = hf_client_call_sync(session->client, &ping, &session->reply);
    if (hf_result_group(result) == HF_GROUP_YES)
        return true;
    if (result == HF_OUTCOME_UNKNOWN) /* of the PING: the watch was never asked for */
        session->reply.result = HF_NOT_CONNECTED;
    hf_cli_show_no(session);
    return false;
}

enum hf_cli_exit hf_cli_run_watch(struct hf_cli_session *session)
{
    struct watch watch = {.session = session};
    if (!hf_cli_take_count(session, HF_CLI_COUNT, &watch.left))
        return HF_CLI_BAD;
    if (!find_server(session))
        return HF_CLI_UNKNOWN;
    int error = catch_signals() ? 0 : -errno;
    if (error == 0)
        error = hf_client_watch(session->client, &session->request, take_frame, &watch);
    if (error == 0) {
        watch_until_ended(&watch);
    } else {
        hf_cli_complain("watching could not begin: %s", strerror(-error));
        watch.status = HF_CLI_UNKNOWN;
    }
    release_signals();
    show_end(&watch);
    return watch.status;
}
