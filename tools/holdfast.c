/*
 * holdfast: the client on the command line.
 *
 *   words and options (options.h) ▸ a command of the table (commands.h) ▸ a request (request.h)
 *     ▸ the server ▸ an answer, shown (show.h), and an exit status (session.h)
 *
 * Most commands are one request. Those that are more, pages, files of requests, and watching, are
 * verbs of their own (verbs.h).
 *
 * `reserve`, `hold` and `join` make the reservation's id themselves when none is given, so that it
 * can always be told with which id the same request can be repeated.
 */
#include <errno.h>
#include <string.h>

#include "base/standard_files.h"
#include "tools/commands.h"
#include "tools/request.h"
#include "tools/session.h"
#include "tools/show.h"

/* The second time a date relative to now is told by the server's clock. */
static enum hf_cli_exit connect_and_run(struct hf_cli_session *session)
{
    enum hf_cli_exit status = hf_cli_session_connect(session);
    if (status != HF_CLI_YES)
        return status;
    if (session->clock_needed) {
        unsigned result = hf_cli_learn_clock(session);
        if (hf_result_group(result) != HF_GROUP_YES) {
            session->reply = (struct hf_reply){.operation = HF_OP_INFO, .result = result};
            hf_cli_show_no(session);
            return hf_cli_exit_of(result);
        }
        if (!session->command->take(session))
            return HF_CLI_BAD;
    }
    return session->command->run(session);
}

/* Help and version are told whatever else stands on the command line. True: one was. */
static bool tell_about(const struct hf_cli_session *session)
{
    if (hf_cli_arguments_have(&session->arguments, HF_CLI_HELP)) {
        hf_cli_help(session->out, &session->arguments);
        return true;
    }
    if (hf_cli_arguments_have(&session->arguments, HF_CLI_VERSION)) {
        fputs("holdfast " HF_VERSION "\n", session->out);
        return true;
    }
    return false;
}

static enum hf_cli_exit run(struct hf_cli_session *session, int argc, char *const argv[])
{
    const struct hf_cli_arguments *arguments = &session->arguments;
    char error[HF_CLI_ERROR_BYTES];
    if (!hf_cli_arguments_sort(&session->arguments, argc, argv, error))
        return hf_cli_complain("%s", error);
    if (tell_about(session))
        return HF_CLI_YES;
    session->command = hf_cli_command_find(arguments);
    session->json = hf_cli_arguments_have(arguments, HF_CLI_JSON);
    if (session->command == NULL) {
        hf_cli_command_unknown(arguments, error);
        return hf_cli_complain("%s", error);
    }
    if (!hf_cli_command_check(session->command, arguments, error))
        return hf_cli_complain("%s", error);
    if (hf_cli_arguments_have(arguments, HF_CLI_SERVER))
        session->server = hf_cli_arguments_value(arguments, HF_CLI_SERVER);
    if (!hf_cli_take_timeout(session) || !session->command->take(session))
        return HF_CLI_BAD;
    return connect_and_run(session);
}

int main(int argc, char **argv)
{
    hf_standard_files_open();
    struct hf_cli_session session = {.server = "127.0.0.1:7411", .out = stdout};
    enum hf_cli_exit status = run(&session, argc, argv);
    hf_cli_session_close(&session);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        hf_cli_complain("the answer could not be written: %s", strerror(errno));
        return HF_CLI_UNKNOWN;
    }
    return (int)status;
}
