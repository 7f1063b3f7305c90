/* Which form an answer takes. See show.h. */
#include "tools/show.h"

#include "tools/commands.h"
#include "tools/session.h"

bool hf_cli_tells_units(unsigned result)
{
    return result == HF_SOLD_OUT || result == HF_WAITING_LIST || result == HF_WAITING_FULL ||
           result == HF_NOT_SOLD_OUT || result == HF_BELOW_SOLD || result == HF_VERSION_MISMATCH;
}

bool hf_cli_tells_percent(unsigned result)
{
    return result == HF_NOT_READY;
}

bool hf_cli_tells_sequence(unsigned result)
{
    return result == HF_SEQUENCE_MISMATCH || result == HF_WRONG_STATE;
}

/* ---- yes -------------------------------------------------------------------------------- */

static void show_reservation(const struct hf_cli_session *session)
{
    const struct hf_reply *reply = &session->reply;
    if (!session->json) {
        hf_cli_text_reservation(session->out, reply);
        return;
    }
    putc('{', session->out);
    hf_cli_json_reservation(session->out, reply->result, &reply->reservation, reply->repeated);
    fputs("}\n", session->out);
}

static void show_inventory(const struct hf_cli_session *session)
{
    if (session->json) {
        hf_cli_json_inventory(session->out, &session->reply.inventory);
        return;
    }
    hf_cli_text_inventory_heading(session->out);
    hf_cli_text_inventory(session->out, &session->reply.inventory);
}

static void show_inventories(const struct hf_cli_session *session)
{
    for (uint32_t i = 0; i < session->reply.count; i++)
        (session->json ? hf_cli_json_inventory
                       : hf_cli_text_inventory)(session->out, &session->reply.inventories[i]);
}

static void show_entries(const struct hf_cli_session *session)
{
    for (uint32_t i = 0; i < session->reply.count; i++) {
        const struct hf_reservation *reservation = &session->reply.entries[i].reservation;
        if (session->json) {
            putc('{', session->out);
            hf_cli_json_reservation(session->out, HF_FOUND, reservation, false);
            fputs("}\n", session->out);
        } else if (session->reply.operation == HF_OP_HISTORY) {
            hf_cli_text_history(session->out, reservation);
        } else {
            hf_cli_text_entry(session->out, reservation);
        }
    }
}

void hf_cli_show_yes(const struct hf_cli_session *session)
{
    const struct hf_reply *reply = &session->reply;
    FILE *out = session->out;
    switch (reply->operation) {
    case HF_OP_PING:
        if (session->json)
            hf_cli_json_ping(out, reply);
        else
            hf_cli_text_ping(out, session->server);
        break;
    case HF_OP_INFO:
        if (session->json)
            hf_cli_json_info(out, &reply->info, NULL);
        else
            hf_cli_text_info(out, &reply->info);
        break;
    case HF_OP_STATE_HASH:
        (session->json ? hf_cli_json_hash : hf_cli_text_hash)(out, reply);
        break;
    case HF_OP_STATUS:
        (session->json ? hf_cli_json_status : hf_cli_text_status)(out, &reply->status);
        break;
    case HF_OP_SNAPSHOT:
        if (session->json)
            hf_cli_json_ping(out, reply);
        else
            fputs("a snapshot was asked for\n", out);
        break;
    case HF_OP_INVENTORY_CREATE:
    case HF_OP_INVENTORY_GET:
        show_inventory(session);
        break;
    case HF_OP_INVENTORY_SET:
    case HF_OP_INVENTORY_SETTINGS:
        (session->json ? hf_cli_json_settings : hf_cli_text_settings)(out, reply);
        break;
    case HF_OP_INVENTORY_LIST:
        show_inventories(session);
        break;
    case HF_OP_AVAILABILITY:
        (session->json ? hf_cli_json_availability : hf_cli_text_availability)(out, reply,
                                                                              session->ids);
        break;
    case HF_OP_RESERVATION_LIST:
    case HF_OP_HISTORY:
        show_entries(session);
        break;
    case HF_OP_RESERVE:
    case HF_OP_HOLD:
    case HF_OP_JOIN:
    case HF_OP_RESERVATION_GET:
    case HF_OP_CONFIRM:
    case HF_OP_RELEASE:
    case HF_OP_CANCEL:
    case HF_OP_EXTEND:
    case HF_OP_CHANGE:
    case HF_OP_MOVE:
    case HF_OP_LEAVE:
        show_reservation(session);
        break;
    case HF_OP_BATCH: /* shown by those who ask: verb_batch.c, verb_watch.c */
    case HF_OP_SUBSCRIBE:
    case HF_OP_UNSUBSCRIBE:
        break;
    }
}

/* ---- no --------------------------------------------------------------------------------- */

/*
 * What to do when nobody knows whether it was done. Repeating is safe, as the id makes it the same
 * request; but a guarded change that was done has moved the sequence that guards it.
 */
static void complain_unknown(const struct hf_cli_session *session)
{
    char id[HF_ID_TEXT_BYTES];
    const char *error = hf_client_last_error(session->client);
    hf_id_format(&session->request.id, id);
    if (session->id_made)
        hf_cli_complain("outcome unknown: repeat with --id %s (%s: %s)", id, session->server,
                        error);
    else if (hf_cli_arguments_have(&session->arguments, HF_CLI_SEQUENCE))
        hf_cli_complain("outcome unknown: look it up with holdfast get %s (%s: %s)", id,
                        session->server, error);
    else
        hf_cli_complain("outcome unknown: repeat the same command (%s: %s)", session->server,
                        error);
}

static void show_no_text(const struct hf_cli_session *session)
{
    const struct hf_reply *reply = &session->reply;
    char text[HF_CLI_REFUSAL_BYTES];
    hf_cli_text_refusal(reply, text);
    if (reply->result == HF_OUTCOME_UNKNOWN)
        complain_unknown(session);
    else if (reply->result == HF_NOT_CONNECTED)
        hf_cli_complain("%s (%s: %s)", text, session->server,
                        hf_client_last_error(session->client));
    else
        hf_cli_complain("%s", text);
}

void hf_cli_show_no(const struct hf_cli_session *session)
{
    if (!session->json) {
        show_no_text(session);
        return;
    }
    putc('{', session->out);
    hf_cli_json_refusal(session->out, &session->reply, &session->request.id);
    fputs("}\n", session->out);
}
