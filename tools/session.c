/* One run of holdfast. See session.h. */
#include "tools/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tools/show.h"

enum hf_cli_exit hf_cli_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout); /* where both end in one place, an answer is not to be cut in two */
    fputs("holdfast: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return HF_CLI_BAD;
}

void hf_cli_session_close(struct hf_cli_session *session)
{
    hf_client_close(session->client);
    session->client = NULL;
    free(session->ids);
    session->ids = NULL;
    hf_cli_arguments_close(&session->arguments);
}

enum hf_cli_exit hf_cli_session_connect(struct hf_cli_session *session)
{
    char shown[HF_CLI_SHOWN_BYTES];
    struct hf_client_options options = {.server = session->server,
                                        .request_timeout_ms = session->timeout_ms};
    int error = hf_client_open(&options, &session->client);
    if (error == 0)
        return HF_CLI_YES;
    hf_cli_shown(session->server, shown);
    if (error == -EINVAL)
        return hf_cli_complain(
            "--server '%s' is not HOST:PORT or [IPv6]:PORT with a port from 1 to 65535", shown);
    hf_cli_complain("%s: %s", shown, error == -ENOENT ? "no such host" : strerror(-error));
    return HF_CLI_UNKNOWN;
}

uint64_t hf_cli_now_ns(const struct hf_cli_session *session)
{
    if (!session->clock_known)
        return hf_date_now_ns();
    return session->clock_ahead_ns + hf_monotonic_now_ns();
}

/*
 * The server's date is that of an instant before its answer is here; it is taken for the date of
 * the answer, so that "now" is behind the server's by the way back and no more: to ask may have
 * taken as long as it takes to connect.
 */
unsigned hf_cli_learn_clock(struct hf_cli_session *session)
{
    struct hf_request request = {.operation = HF_OP_INFO};
    struct hf_reply reply;
    unsigned result = hf_client_call_sync(session->client, &request, &reply);
    if (hf_result_group(result) == HF_GROUP_YES) {
        session->clock_ahead_ns = reply.info.now_ns - hf_monotonic_now_ns();
        session->clock_known = true;
    }
    return hf_result_group(result) == HF_GROUP_UNKNOWN ? HF_NOT_CONNECTED : result;
}

enum hf_cli_exit hf_cli_exit_of(unsigned result)
{
    switch (hf_result_group(result)) {
    case HF_GROUP_YES:
        return HF_CLI_YES;
    case HF_GROUP_NO:
        return HF_CLI_NO;
    case HF_GROUP_CONFLICT:
    case HF_GROUP_BAD_REQUEST:
        return HF_CLI_BAD;
    case HF_GROUP_RETRY:
    case HF_GROUP_UNKNOWN:
        break;
    }
    return HF_CLI_UNKNOWN;
}

enum hf_cli_exit hf_cli_worse(enum hf_cli_exit left, enum hf_cli_exit right)
{
    return left > right ? left : right;
}

enum hf_cli_exit hf_cli_ask(struct hf_cli_session *session)
{
    unsigned result = hf_client_call_sync(session->client, &session->request, &session->reply);
    if (hf_result_group(result) == HF_GROUP_YES)
        hf_cli_show_yes(session);
    else
        hf_cli_show_no(session);
    return hf_cli_exit_of(result);
}
