/*
 * Session: one run of holdfast, from its command line to its exit status.
 *
 * The exit status tells what may be concluded, as the groups of results do. Answers go to `out`;
 * with --json that is one object a line, refusals included. What a person must know goes to stderr,
 * in one line.
 *
 * Dates are the server's. Where a command line says "now", the server is asked for its clock
 * before, and from then on "now" is that clock, as it goes on by this machine's monotonic one.
 */
#ifndef HF_TOOLS_SESSION_H
#define HF_TOOLS_SESSION_H

#include <stdio.h>

#include "holdfast/client.h"
#include "tools/options.h"

enum hf_cli_exit {
    HF_CLI_YES = 0,
    HF_CLI_NO = 1,
    HF_CLI_BAD = 2,
    HF_CLI_UNKNOWN = 3,
};

struct hf_cli_command;

struct hf_cli_session {
    const struct hf_cli_command *command;
    struct hf_cli_arguments arguments;
    bool json;
    bool id_made; /* request.id was made here: only this program can name it */
    const char *server;
    uint32_t timeout_ms; /* 0: as the client has it */
    uint64_t wait_ns;    /* --wait; 0: do not */
    FILE *out;           /* answers */
    struct hf_client *client;
    struct hf_request request;
    struct hf_reply reply;
    uint64_t *ids; /* what request.ids points to; owned */

    bool clock_needed;       /* a date was told relative to now */
    bool clock_known;        /* by asking the server */
    uint64_t clock_ahead_ns; /* of the server's clock, before the monotonic one */
};

/* One line to stderr. Returns HF_CLI_BAD, the exit status of most that earn one. */
__attribute__((format(printf, 1, 2))) enum hf_cli_exit hf_cli_complain(const char *format, ...);

/* Frees all that the session owns; closes its connection. */
void hf_cli_session_close(struct hf_cli_session *session);

/* Makes the client. HF_CLI_YES, or complains. */
enum hf_cli_exit hf_cli_session_connect(struct hf_cli_session *session);

/* The server's date as far as it is known, else this machine's. */
uint64_t hf_cli_now_ns(const struct hf_cli_session *session);

/* Asks the server for its clock; blocks. HF_FOUND, or why it was not told: nothing else was asked
 * for, so never HF_OUTCOME_UNKNOWN. */
unsigned hf_cli_learn_clock(struct hf_cli_session *session);

enum hf_cli_exit hf_cli_exit_of(unsigned result);

/* Of two, the one that a person must know: unknown before bad before no before yes. */
enum hf_cli_exit hf_cli_worse(enum hf_cli_exit left, enum hf_cli_exit right);

/* Sends session->request, waits for the answer, and shows it. */
enum hf_cli_exit hf_cli_ask(struct hf_cli_session *session);

#endif
