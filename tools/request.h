/*
 * Requests from command lines: one function for each kind, as the table of commands names them.
 *
 * Each fills in session->request and returns true; or complains, with --json also by the answer
 * that the server would give (BAD_FIELD), and returns false. Nothing is sent here. Dates are told
 * relative to hf_cli_now_ns(); session->clock_needed tells that one was.
 */
#ifndef HF_TOOLS_REQUEST_H
#define HF_TOOLS_REQUEST_H

#include "tools/session.h"

bool hf_cli_take_nothing(struct hf_cli_session *session);
bool hf_cli_take_wait(struct hf_cli_session *session);        /* [--wait] */
bool hf_cli_take_inventory(struct hf_cli_session *session);   /* ID [--product] [--capacity] */
bool hf_cli_take_settings(struct hf_cli_session *session);    /* inventory set */
bool hf_cli_take_sale(struct hf_cli_session *session);        /* pause, resume, close, open */
bool hf_cli_take_inventories(struct hf_cli_session *session); /* availability */
bool hf_cli_take_claim(struct hf_cli_session *session);       /* reserve, hold, join */
bool hf_cli_take_change(struct hf_cli_session *session); /* all that begins with a reservation */
bool hf_cli_take_list(struct hf_cli_session *session);
bool hf_cli_take_batch(struct hf_cli_session *session);
bool hf_cli_take_watch(struct hf_cli_session *session);

/* --limit and --count: a number from 1, or UINT64_MAX if not given. False: it complained. */
bool hf_cli_take_count(const struct hf_cli_session *session, enum hf_cli_option option,
                       uint64_t *count);

/* --timeout. */
bool hf_cli_take_timeout(struct hf_cli_session *session);

#endif
