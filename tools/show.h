/*
 * Showing answers: as text for people, and as JSON, one object a line, for programs.
 *
 * Members of JSON objects stay what they are; new ones come behind them. Values are as in json.h.
 *
 * show.c decides which form an answer takes, show_text.c and show_json.c write the two;
 * show_status.c both of how a server is.
 */
#ifndef HF_TOOLS_SHOW_H
#define HF_TOOLS_SHOW_H

#include <stdio.h>

#include "holdfast/message.h"

struct hf_cli_session;

/* The answer in session->reply, a yes, to session->out. */
void hf_cli_show_yes(const struct hf_cli_session *session);

/* One that is not a yes: with --json to session->out, otherwise one line to stderr. */
void hf_cli_show_no(const struct hf_cli_session *session);

/* ---- which parts of a refusal mean something -------------------------------------------- */

bool hf_cli_tells_units(unsigned result);    /* reply.available and reply.version */
bool hf_cli_tells_percent(unsigned result);  /* reply.available is a percentage */
bool hf_cli_tells_sequence(unsigned result); /* reply.version is a sequence, reply.state a state */

/* ---- text ------------------------------------------------------------------------------- */

void hf_cli_text_ping(FILE *out, const char *server);
void hf_cli_text_info(FILE *out, const struct hf_info *info);
void hf_cli_text_status(FILE *out, const struct hf_status *status);
void hf_cli_text_status_brief(FILE *out, const struct hf_status *status); /* beside INFO's lines */
/* Of -errno as it stands in a frame: of any number. */
const char *hf_cli_error_name(int32_t error);
void hf_cli_text_snapshot(FILE *out, const struct hf_status *status); /* the newest one */
void hf_cli_text_hash(FILE *out, const struct hf_reply *reply);
void hf_cli_text_inventory_heading(FILE *out);
void hf_cli_text_inventory(FILE *out, const struct hf_inventory *inventory);
void hf_cli_text_settings(FILE *out, const struct hf_reply *reply);
void hf_cli_text_availability(FILE *out, const struct hf_reply *reply, const uint64_t *ids);
void hf_cli_text_reservation(FILE *out, const struct hf_reply *reply);
void hf_cli_text_entry_heading(FILE *out);
void hf_cli_text_entry(FILE *out, const struct hf_reservation *reservation);
void hf_cli_text_history_heading(FILE *out);
void hf_cli_text_history(FILE *out, const struct hf_reservation *reservation);

/* A yes about a reservation in one line, without its end: "GRANTED 018f... inventory 1 ...". */
void hf_cli_text_brief(FILE *out, unsigned result, const struct hf_reservation *reservation,
                       bool repeated);

/* A refusal in one line, without its end: "SOLD_OUT: fewer units ... (available: 0)". */
#define HF_CLI_REFUSAL_BYTES 256
void hf_cli_text_refusal(const struct hf_reply *reply, char text[HF_CLI_REFUSAL_BYTES]);

/* ---- JSON ------------------------------------------------------------------------------- */

void hf_cli_json_ping(FILE *out, const struct hf_reply *reply); /* the result, and no more */
/* `status` may be NULL. */
void hf_cli_json_info(FILE *out, const struct hf_info *info, const struct hf_status *status);
void hf_cli_json_status(FILE *out, const struct hf_status *status);
void hf_cli_json_status_member(FILE *out, const struct hf_status *status); /* the last one */
void hf_cli_json_snapshot(FILE *out, const struct hf_status *status);
void hf_cli_json_hash(FILE *out, const struct hf_reply *reply);
void hf_cli_json_inventory(FILE *out, const struct hf_inventory *inventory);
void hf_cli_json_settings(FILE *out, const struct hf_reply *reply);
void hf_cli_json_availability(FILE *out, const struct hf_reply *reply, const uint64_t *ids);

/* Members without the braces around them, so that a caller may put its own in front. */
void hf_cli_json_reservation(FILE *out, unsigned result, const struct hf_reservation *reservation,
                             bool repeated);
/* `id`: the reservation that was asked about, told when the outcome is unknown; NULL: none. */
void hf_cli_json_refusal(FILE *out, const struct hf_reply *reply, const struct hf_id *id);

#endif
