/*
 * Verbs: those that are more than one request and its answer. Each shows what comes, and returns
 * the exit status; session->request is filled in and the client open.
 */
#ifndef HF_TOOLS_VERBS_H
#define HF_TOOLS_VERBS_H

#include "tools/session.h"

/* Asked until it is ready, as --wait says (verb_server.c). */
enum hf_cli_exit hf_cli_run_ping(struct hf_cli_session *session);

/* INFO, and what of STATUS a person wants to see at once (verb_server.c). */
enum hf_cli_exit hf_cli_run_info(struct hf_cli_session *session);

/* Asked for, and with --wait waited for (verb_server.c). */
enum hf_cli_exit hf_cli_run_snapshot(struct hf_cli_session *session);

/* Pages until the last, or until --limit (verb_pages.c). */
enum hf_cli_exit hf_cli_run_inventory_list(struct hf_cli_session *session);
enum hf_cli_exit hf_cli_run_list(struct hf_cli_session *session);
enum hf_cli_exit hf_cli_run_history(struct hf_cli_session *session);

/* One request; HF_CLI_BAD if there is no such inventory among others (verb_pages.c). */
enum hf_cli_exit hf_cli_run_availability(struct hf_cli_session *session);

/* The lines of a file (verb_batch.c). */
enum hf_cli_exit hf_cli_run_batch(struct hf_cli_session *session);

/* Records as they come (verb_watch.c). */
enum hf_cli_exit hf_cli_run_watch(struct hf_cli_session *session);

#endif
