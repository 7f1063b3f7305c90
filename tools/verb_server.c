/* The server itself: whether it is ready, how it is, and a snapshot of what it holds. See verbs.h. */
#include <time.h>

#include "base/clock.h"
#include "tools/commands.h"
#include "tools/show.h"
#include "tools/verbs.h"

#define POLL_NS (100 * HF_NS_PER_MS)

static unsigned call(struct hf_cli_session *session, enum hf_operation operation)
{
    const struct hf_request request = {.operation = operation};
    return hf_client_call_sync(session->client, &request, &session->reply);
}

static enum hf_cli_exit show_no(const struct hf_cli_session *session)
{
    hf_cli_show_no(session);
    return hf_cli_exit_of(session->reply.result);
}

/* Rests before the next look. False: the time that --wait gives is over. */
static bool rest(uint64_t until_ns)
{
    uint64_t now_ns = hf_monotonic_now_ns();
    if (now_ns >= until_ns)
        return false;
    struct timespec pause = {.tv_nsec =
                                 (long)(until_ns - now_ns < POLL_NS ? until_ns - now_ns : POLL_NS)};
    nanosleep(&pause, NULL);
    return true;
}

/* True if the answer is one that may be another one a little later. */
static bool may_change(unsigned result)
{
    return hf_result_group(result) == HF_GROUP_RETRY || hf_result_group(result) == HF_GROUP_UNKNOWN;
}

enum hf_cli_exit hf_cli_run_ping(struct hf_cli_session *session)
{
    uint64_t until_ns = hf_monotonic_now_ns() + session->wait_ns;
    unsigned result;
    do
        result = call(session, HF_OP_PING);
    while (may_change(result) && rest(until_ns));
    if (hf_result_group(result) == HF_GROUP_YES) {
        hf_cli_show_yes(session);
        return HF_CLI_YES;
    }
    if (result != HF_NOT_READY || session->json)
        return show_no(session);
    hf_cli_complain("not ready: recovering, %d%%", (int)session->reply.available);
    return hf_cli_exit_of(result);
}

/* A server that recovers has no INFO yet, and a client would wait for it; STATUS it has. One that is
 * older than STATUS has INFO alone. */
enum hf_cli_exit hf_cli_run_info(struct hf_cli_session *session)
{
    bool known = hf_result_group(call(session, HF_OP_STATUS)) == HF_GROUP_YES;
    if (!known && session->reply.result != HF_UNKNOWN_OPERATION)
        return show_no(session);
    struct hf_status status = session->reply.status;
    if (known && status.state == HF_SERVER_RECOVERING) {
        session->reply = (struct hf_reply){
            .operation = HF_OP_INFO, .result = HF_NOT_READY, .available = status.percent};
        return show_no(session);
    }
    if (hf_result_group(call(session, HF_OP_INFO)) != HF_GROUP_YES)
        return show_no(session);
    if (session->json) {
        hf_cli_json_info(session->out, &session->reply.info, known ? &status : NULL);
    } else {
        hf_cli_text_info(session->out, &session->reply.info);
        if (known)
            hf_cli_text_status_brief(session->out, &status);
    }
    return HF_CLI_YES;
}

/* ---- snapshot --------------------------------------------------------------------------- */

/* What a snapshot has to have so that it is the one that was asked for. */
struct wanted {
    uint64_t lsn;            /* all that was committed before it was asked for */
    uint64_t made, failures; /* as STATUS told them before */
};

/* True if it is known how it ended, or that it never will be. */
static bool is_over(const struct wanted *wanted, const struct hf_status *status)
{
    bool idle = status->snapshot_requested == 0 && status->snapshot_under_way == 0;
    bool attested = status->snapshot_lsn >= wanted->lsn;
    if (status->snapshots_made < wanted->made || status->snapshot_failures < wanted->failures)
        return true; /* this is another start of the server: it knows of no request */
    return attested ? idle || status->snapshots_made > wanted->made
                    : idle && status->snapshot_failures > wanted->failures;
}

static enum hf_cli_exit tell_end(const struct hf_cli_session *session, const struct wanted *wanted)
{
    const struct hf_status *status = &session->reply.status;
    if (status->snapshots_kept != 0 && status->snapshot_lsn >= wanted->lsn) {
        (session->json ? hf_cli_json_snapshot : hf_cli_text_snapshot)(session->out, status);
        return HF_CLI_YES;
    }
    if (status->snapshot_failures > wanted->failures) {
        hf_cli_complain("the snapshot failed: %s", hf_cli_error_name(status->snapshot_error));
        return HF_CLI_NO;
    }
    hf_cli_complain("the server was started again meanwhile; repeat the same command");
    return HF_CLI_UNKNOWN;
}

static enum hf_cli_exit await_snapshot(struct hf_cli_session *session, const struct wanted *wanted,
                                       uint64_t until_ns)
{
    do {
        unsigned result = call(session, HF_OP_STATUS);
        if (hf_result_group(result) != HF_GROUP_YES && !may_change(result))
            return show_no(session);
        if (hf_result_group(result) == HF_GROUP_YES &&
            session->reply.status.state != HF_SERVER_RECOVERING &&
            is_over(wanted, &session->reply.status))
            return tell_end(session, wanted);
    } while (rest(until_ns));
    hf_cli_complain("the snapshot is not there yet; holdfast status tells how far it is");
    return HF_CLI_UNKNOWN;
}

enum hf_cli_exit hf_cli_run_snapshot(struct hf_cli_session *session)
{
    uint64_t until_ns = hf_monotonic_now_ns() + session->wait_ns;
    bool waits = hf_cli_arguments_have(&session->arguments, HF_CLI_WAIT);
    struct wanted wanted = {0};
    if (waits) {
        if (hf_result_group(call(session, HF_OP_STATUS)) != HF_GROUP_YES)
            return show_no(session);
        wanted.made = session->reply.status.snapshots_made;
        wanted.failures = session->reply.status.snapshot_failures;
        if (hf_result_group(call(session, HF_OP_INFO)) != HF_GROUP_YES)
            return show_no(session);
        wanted.lsn = session->reply.info.commit_lsn;
    }
    if (hf_result_group(call(session, HF_OP_SNAPSHOT)) != HF_GROUP_YES)
        return show_no(session);
    if (waits)
        return await_snapshot(session, &wanted, until_ns);
    hf_cli_show_yes(session);
    return HF_CLI_YES;
}
