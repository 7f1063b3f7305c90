/*
 * Batches: the lines of a file, each a request. See verbs.h.
 *
 * Without --atomic every line is a request of its own. Many are on their way at once, in a ring of
 * WINDOW places; answers are shown in the order of the lines, so the ring moves on when its oldest
 * is answered:
 *
 *      first ▸ ▸ ▸ ▸ ▸ ▸ ▸ ▸ next
 *      answered or not       not read yet
 *
 * Somebody may stand at the other end of a pipe and wait for each answer before writing the next
 * line. So nothing here waits for one side alone: it polls stdin and the server, and writes out
 * what it has before it does.
 *
 * A file that can be read twice is checked before anything is sent, so that a slip in its last line
 * does not leave all but the last done. A line of a pipe that is none is told in its place.
 *
 * With --atomic the lines are one request, BATCH.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "tools/batch_file.h"
#include "tools/batch_line.h"
#include "tools/commands.h"
#include "tools/json.h"
#include "tools/show.h"
#include "tools/verbs.h"

#define WINDOW             1024
#define COMPLAINTS_AT_ONCE 20

/* A line that was read: on its way, or answered. */
struct place {
    uint64_t number; /* of the line */
    struct hf_cli_batch_line line;
    bool answered;
    bool malformed; /* answered here, by `error` */
    struct hf_cli_batch_error error;
    struct hf_reply reply;
};

struct batch {
    struct hf_cli_session *session;
    uint64_t first, next;   /* places[n % WINDOW] for n in first .. next - 1 are taken */
    uint64_t exits[4];      /* lines by exit status */
    enum hf_cli_exit worst; /* of all that was shown */
    struct hf_cli_batch_file file;
    struct place places[WINDOW]; /* the first HF_MAX_BATCH_LINES are the lines of a BATCH */
};
_Static_assert(WINDOW >= HF_MAX_BATCH_LINES, "a BATCH has places");

/* ---- showing ---------------------------------------------------------------------------- */

static void show_malformed(const struct batch *batch, const struct place *place)
{
    FILE *out = batch->session->out;
    if (!batch->session->json) {
        fprintf(out, "line %" PRIu64 ": %s: %s\n", place->number, hf_result_name(HF_BAD_FIELD),
                place->error.text);
        return;
    }
    struct hf_reply reply = {.result = HF_BAD_FIELD, .field = place->error.field};
    fprintf(out, "{\"line\":%" PRIu64 ",", place->number);
    hf_cli_json_refusal(out, &reply, NULL);
    fputs(",\"error\":", out);
    hf_json_text(out, place->error.text);
    fputs("}\n", out);
}

static void show_place_json(FILE *out, const struct place *place)
{
    const struct hf_reply *reply = &place->reply;
    fprintf(out, "{\"line\":%" PRIu64 ",\"op\":\"%s\",", place->number,
            hf_cli_batch_op_name(place->line.line.operation));
    if (hf_result_group(reply->result) == HF_GROUP_YES)
        hf_cli_json_reservation(out, reply->result, &reply->reservation, reply->repeated);
    else
        hf_cli_json_refusal(out, reply, &place->line.line.id);
    fputs("}\n", out);
}

static void show_place_text(const struct batch *batch, const struct place *place)
{
    FILE *out = batch->session->out;
    const struct hf_reply *reply = &place->reply;
    char refusal[HF_CLI_REFUSAL_BYTES], id[HF_ID_TEXT_BYTES];
    fprintf(out, "line %" PRIu64 ": ", place->number);
    if (hf_result_group(reply->result) == HF_GROUP_YES) {
        hf_cli_text_brief(out, reply->result, &reply->reservation, reply->repeated);
    } else {
        hf_cli_text_refusal(reply, refusal);
        fputs(refusal, out);
    }
    if (reply->result == HF_OUTCOME_UNKNOWN) {
        hf_id_format(&place->line.line.id, id);
        fprintf(out, " (id %s)", id);
    }
    putc('\n', out);
}

static void show_place(struct batch *batch, const struct place *place)
{
    enum hf_cli_exit status = HF_CLI_BAD;
    if (place->malformed) {
        show_malformed(batch, place);
    } else {
        status = hf_cli_exit_of(place->reply.result);
        if (batch->session->json)
            show_place_json(batch->session->out, place);
        else
            show_place_text(batch, place);
    }
    batch->exits[status]++;
    batch->worst = hf_cli_worse(batch->worst, status);
}

static void show_sum(const struct batch *batch)
{
    uint64_t yes = batch->exits[HF_CLI_YES], all = 0;
    for (size_t i = 0; i < sizeof batch->exits / sizeof batch->exits[0]; i++)
        all += batch->exits[i];
    if (yes < all)
        hf_cli_complain("of %" PRIu64 " lines %" PRIu64 " yes, %" PRIu64 " no, %" PRIu64
                        " bad or in conflict, %" PRIu64 " unknown or to be tried again",
                        all, yes, batch->exits[HF_CLI_NO], batch->exits[HF_CLI_BAD],
                        batch->exits[HF_CLI_UNKNOWN]);
}

/* ---- reading ---------------------------------------------------------------------------- */

static void refuse_line(struct place *place, const char *text)
{
    place->malformed = place->answered = true;
    place->error = (struct hf_cli_batch_error){0};
    snprintf(place->error.text, sizeof place->error.text, "%s", text);
}

/* Reads a line into a place; one that is none is answered by that. `text` NULL: it was too long. */
static void read_place(const struct batch *batch, struct place *place, const char *text,
                       size_t bytes)
{
    *place = (struct place){.number = batch->file.line_number};
    if (text == NULL)
        refuse_line(place, "the line is longer than 65536 bytes");
    else if (!hf_cli_batch_line_parse(text, bytes, hf_cli_now_ns(batch->session), &place->line,
                                      &place->error))
        place->malformed = place->answered = true;
}

static enum hf_cli_exit complain_unreadable(const struct hf_cli_session *session, int error)
{
    char shown[HF_CLI_SHOWN_BYTES];
    return hf_cli_complain("%s: %s", hf_cli_shown(hf_cli_operand(session), shown),
                           strerror(-error));
}

/* Shows the malformed lines of a file, and goes back to its beginning. Nothing is sent. */
static enum hf_cli_exit check_file(struct batch *batch)
{
    struct place *place = &batch->places[0];
    const char *text;
    size_t bytes;
    int error = 0;
    unsigned shown = 0;
    while (shown < COMPLAINTS_AT_ONCE) {
        enum hf_cli_batch_next next = hf_cli_batch_file_await(&batch->file, &text, &bytes, &error);
        if (error != 0)
            return complain_unreadable(batch->session, error);
        if (next == HF_CLI_BATCH_END)
            break;
        read_place(batch, place, next == HF_CLI_BATCH_LINE ? text : NULL, bytes);
        if (place->malformed) {
            show_malformed(batch, place);
            shown++;
        }
    }
    if (shown > 0)
        return hf_cli_complain("nothing was sent, because of %u line%s%s", shown,
                               shown == 1 ? "" : "s",
                               shown == COMPLAINTS_AT_ONCE ? " or more" : "");
    error = hf_cli_batch_file_rewind(&batch->file);
    return error == 0 ? HF_CLI_YES : complain_unreadable(batch->session, error);
}

/* ---- each line for itself --------------------------------------------------------------- */

static void take_answer(void *context, const struct hf_reply *reply)
{
    struct place *place = context;
    place->reply = *reply;
    place->answered = true;
}

static void answer_here(struct place *place, unsigned result)
{
    place->reply = (struct hf_reply){.operation = place->line.line.operation, .result = result};
    place->answered = true;
}

static bool is_claim(enum hf_operation operation)
{
    return operation == HF_OP_RESERVE || operation == HF_OP_HOLD || operation == HF_OP_JOIN;
}

static void submit_place(struct batch *batch, struct place *place)
{
    struct hf_request request;
    hf_cli_batch_line_request(&place->line, &request);
    if (request.not_after_ns == 0 && is_claim(request.operation))
        request.not_after_ns = batch->session->request.not_after_ns;
    if (hf_client_submit(batch->session->client, &request, take_answer, place, NULL) != 0)
        answer_here(place, HF_NOT_CONNECTED);
}

/* Reads the line again once the server's clock is known, if it speaks of now. */
static void take_line(struct batch *batch, const char *text, size_t bytes)
{
    struct hf_cli_session *session = batch->session;
    struct place *place = &batch->places[batch->next++ % WINDOW];
    read_place(batch, place, text, bytes);
    if (!place->malformed && place->line.clock_needed && !session->clock_known) {
        unsigned result = hf_cli_learn_clock(session);
        if (hf_result_group(result) != HF_GROUP_YES) {
            answer_here(place, result);
            return;
        }
        read_place(batch, place, text, bytes);
    }
    if (!place->malformed)
        submit_place(batch, place);
}

/* Takes lines as long as there is room. LINE: no room is left; FILL and END as ever. */
static enum hf_cli_batch_next take_lines(struct batch *batch)
{
    while (batch->next - batch->first < WINDOW) {
        const char *text = NULL;
        size_t bytes = 0;
        enum hf_cli_batch_next next = hf_cli_batch_file_next(&batch->file, &text, &bytes);
        if (next == HF_CLI_BATCH_FILL || next == HF_CLI_BATCH_END)
            return next;
        take_line(batch, next == HF_CLI_BATCH_LINE ? text : NULL, bytes);
    }
    return HF_CLI_BATCH_LINE;
}

static void show_answered(struct batch *batch)
{
    while (batch->first < batch->next && batch->places[batch->first % WINDOW].answered)
        show_place(batch, &batch->places[batch->first++ % WINDOW]);
}

/* Waits for more of the file, if it is wanted, or for the server. 0 or -errno of reading. */
static int wait_for_either(struct batch *batch, bool fill)
{
    const struct hf_client *client = batch->session->client;
    struct pollfd waits[2] = {
        {.fd = fill ? batch->file.descriptor : -1, .events = POLLIN},
        {.fd = hf_client_fd(client), .events = hf_client_events(client)},
    };
    fflush(batch->session->out);
    if (poll(waits, 2, hf_client_timeout_ms(client)) < 0 || waits[0].revents == 0)
        return 0;
    return hf_cli_batch_file_fill(&batch->file);
}

/* What is on its way is still answered; half a line is not done. */
static void stop_reading(struct batch *batch, int error)
{
    batch->worst = hf_cli_worse(batch->worst, complain_unreadable(batch->session, error));
    batch->file.ended = true;
    batch->file.skipping = false;
    batch->file.start = batch->file.end;
}

static enum hf_cli_exit run_lines(struct batch *batch)
{
    for (;;) {
        enum hf_cli_batch_next next = take_lines(batch);
        (void)hf_client_process(batch->session->client);
        show_answered(batch);
        if (next == HF_CLI_BATCH_END && batch->first == batch->next)
            break;
        if (next == HF_CLI_BATCH_LINE && batch->next - batch->first < WINDOW)
            continue; /* there is room again for lines that are here already */
        int error = wait_for_either(batch, next == HF_CLI_BATCH_FILL);
        if (error != 0)
            stop_reading(batch, error);
    }
    show_sum(batch);
    return batch->worst;
}

/* ---- all or nothing --------------------------------------------------------------------- */

/* A line cannot be told to be late by itself when all are decided at one instant. */
static void judge_atomic(struct place *place)
{
    if (place->malformed || place->line.not_after_ns == 0)
        return;
    refuse_line(place, "'not_after' is the batch's: --not-after");
    place->error.field = HF_FIELD_TIME;
}

/* Reads all lines; those that are none are shown. */
static enum hf_cli_exit read_atomic(struct batch *batch)
{
    const char *text;
    size_t bytes;
    int error = 0;
    unsigned malformed = 0;
    for (;;) {
        enum hf_cli_batch_next next = hf_cli_batch_file_await(&batch->file, &text, &bytes, &error);
        if (error != 0)
            return complain_unreadable(batch->session, error);
        if (next == HF_CLI_BATCH_END)
            break;
        if (batch->next == HF_MAX_BATCH_LINES)
            return hf_cli_complain("line %" PRIu64 " is one too many: %d lines can take effect at "
                                   "one instant",
                                   batch->file.line_number, HF_MAX_BATCH_LINES);
        struct place *place = &batch->places[batch->next++];
        read_place(batch, place, next == HF_CLI_BATCH_LINE ? text : NULL, bytes);
        judge_atomic(place);
        if (place->malformed) {
            show_malformed(batch, place);
            malformed++;
        }
    }
    if (malformed > 0)
        return hf_cli_complain("nothing was sent, because of %u line%s", malformed,
                               malformed == 1 ? "" : "s");
    return batch->next > 0 ? HF_CLI_YES : hf_cli_complain("there are no lines to do");
}

static void show_all_done(const struct batch *batch, const struct hf_reply *reply)
{
    FILE *out = batch->session->out;
    for (uint64_t i = 0; i < batch->next && i < reply->count; i++) {
        const struct hf_reservation_entry *entry = &reply->entries[i];
        const struct place *place = &batch->places[i];
        if (batch->session->json) {
            fprintf(out, "{\"line\":%" PRIu64 ",\"op\":\"%s\",", place->number,
                    hf_cli_batch_op_name(place->line.line.operation));
            hf_cli_json_reservation(out, entry->result, &entry->reservation, entry->repeated);
            fputs("}\n", out);
        } else {
            fprintf(out, "line %" PRIu64 ": ", place->number);
            hf_cli_text_brief(out, entry->result, &entry->reservation, entry->repeated);
            putc('\n', out);
        }
    }
}

/* The ids that were made here: who repeats the batch needs them. */
static void show_made_ids(const struct batch *batch)
{
    for (uint64_t i = 0; i < batch->next; i++) {
        const struct place *place = &batch->places[i];
        char id[HF_ID_TEXT_BYTES];
        if (!place->line.id_made)
            continue;
        hf_id_format(&place->line.line.id, id);
        if (batch->session->json)
            fprintf(batch->session->out,
                    "{\"line\":%" PRIu64 ",\"result\":\"%s\",\"reservation_id\":\"%s\"}\n",
                    place->number, hf_result_name(HF_OUTCOME_UNKNOWN), id);
        else
            hf_cli_complain("line %" PRIu64 " had the id %s", place->number, id);
    }
}

static void show_none_done(const struct batch *batch, const struct hf_reply *reply)
{
    const struct hf_cli_session *session = batch->session;
    bool named = reply->line >= 1 && reply->line <= batch->next;
    const struct place *place = &batch->places[named ? reply->line - 1 : 0];
    char refusal[HF_CLI_REFUSAL_BYTES];
    hf_cli_text_refusal(reply, refusal);
    if (session->json) {
        putc('{', session->out);
        hf_cli_json_refusal(session->out, reply, NULL);
        if (named)
            fprintf(session->out, ",\"line\":%" PRIu64 ",\"op\":\"%s\"", place->number,
                    hf_cli_batch_op_name(place->line.line.operation));
        fputs("}\n", session->out);
    } else if (named) {
        hf_cli_complain("line %" PRIu64 " (%s): %s; none of the lines took effect", place->number,
                        hf_cli_batch_op_name(place->line.line.operation), refusal);
    } else if (hf_result_group(reply->result) == HF_GROUP_UNKNOWN) {
        hf_cli_complain("%s (%s: %s)", refusal, session->server,
                        hf_client_last_error(session->client));
    } else {
        hf_cli_complain("%s", refusal);
    }
    if (reply->result == HF_OUTCOME_UNKNOWN)
        show_made_ids(batch);
}

static enum hf_cli_exit run_atomic(struct batch *batch)
{
    struct hf_cli_session *session = batch->session;
    struct hf_line lines[HF_MAX_BATCH_LINES];
    enum hf_cli_exit status = read_atomic(batch);
    if (status != HF_CLI_YES)
        return status;
    for (uint64_t i = 0; i < batch->next; i++)
        lines[i] = batch->places[i].line.line;
    session->request.count = (uint32_t)batch->next;
    session->request.lines = lines;
    unsigned result = hf_client_call_sync(session->client, &session->request, &session->reply);
    session->request.lines = NULL;
    if (hf_result_group(result) == HF_GROUP_YES)
        show_all_done(batch, &session->reply);
    else
        show_none_done(batch, &session->reply);
    return hf_cli_exit_of(result);
}

/* ---- the verb --------------------------------------------------------------------------- */

static enum hf_cli_exit run(struct batch *batch)
{
    if (hf_cli_arguments_have(&batch->session->arguments, HF_CLI_ATOMIC))
        return run_atomic(batch);
    enum hf_cli_exit status = HF_CLI_YES;
    if (hf_cli_batch_file_can_rewind(&batch->file))
        status = check_file(batch);
    return status == HF_CLI_YES ? run_lines(batch) : status;
}

enum hf_cli_exit hf_cli_run_batch(struct hf_cli_session *session)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        hf_cli_complain("out of memory");
        return HF_CLI_UNKNOWN;
    }
    batch->session = session;
    int error = hf_cli_batch_file_open(&batch->file, hf_cli_operand(session));
    enum hf_cli_exit status = error == 0 ? run(batch) : complain_unreadable(session, error);
    if (error == 0)
        hf_cli_batch_file_close(&batch->file);
    free(batch);
    return status;
}
