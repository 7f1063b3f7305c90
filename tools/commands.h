/*
 * Commands: what holdfast can be told to do, each with the options that it takes.
 *
 * A command is a row of one table: its name, the words behind it, its options, how the command line
 * becomes a request (request.h), and who runs it (verbs.h). Help is made from the same rows.
 */
#ifndef HF_TOOLS_COMMANDS_H
#define HF_TOOLS_COMMANDS_H

#include <stdio.h>

#include "tools/options.h"
#include "tools/session.h"

/* What stands behind the name. */
enum hf_cli_operand {
    HF_CLI_NOTHING,
    HF_CLI_INVENTORY_ID,
    HF_CLI_INVENTORY_IDS, /* one or more */
    HF_CLI_RESERVATION_ID,
    HF_CLI_FILE,
};

struct hf_cli_command {
    const char *words[2]; /* its name; the second may be NULL */
    enum hf_operation operation;
    enum hf_cli_operand operand;
    uint64_t takes; /* options, beside those of every command */
    uint64_t needs; /* those without which it makes no sense */
    uint64_t many;  /* those that may be given more than once */
    /* Fills in session->request. False: it complained. */
    bool (*take)(struct hf_cli_session *session);
    enum hf_cli_exit (*run)(struct hf_cli_session *session);
    const char *synopsis, *summary, *example;
};

/* command_table.c */
extern const struct hf_cli_command hf_cli_commands[];
extern const size_t hf_cli_command_count;

/* Which command the words name; NULL: none. */
const struct hf_cli_command *hf_cli_command_find(const struct hf_cli_arguments *arguments);

/* The word behind the name, and how many there are. */
const char *hf_cli_operand(const struct hf_cli_session *session);
const char *const *hf_cli_operands(const struct hf_cli_session *session, size_t *count);

/* Holds words and options against what the command takes. False, with the reason in `error`. */
bool hf_cli_command_check(const struct hf_cli_command *command,
                          const struct hf_cli_arguments *arguments, char error[HF_CLI_ERROR_BYTES]);

/* Why the words name no command; the closest one is named. */
void hf_cli_command_unknown(const struct hf_cli_arguments *arguments,
                            char error[HF_CLI_ERROR_BYTES]);

/* Help about what the words name: a command, those that begin with the same word, or all. */
void hf_cli_help(FILE *out, const struct hf_cli_arguments *arguments);

#endif
