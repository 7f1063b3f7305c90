/*
 * holdfast: the client on the command line. One command is one request (INVENTORY_LIST: one a
 * page).
 *
 * The exit status tells what may be concluded, as the groups of results do: 0 yes, 1 a definite no,
 * 2 bad usage, bad request or conflict, 3 not known or not now. Answers go to stdout; with --json
 * that is one object a line, refusals included. What a person must know goes to stderr, in one
 * line.
 *
 * `reserve` makes its reservation id itself when none is given, so that it can always name the id
 * with which the same request can be repeated.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "holdfast/client.h"

#define DEFAULT_SERVER "127.0.0.1:7411"
#define MAX_WORDS      3

enum exit_status {
    EXIT_YES = 0,
    EXIT_NO = 1,
    EXIT_USAGE = 2,
    EXIT_UNKNOWN = 3,
};

/* X(option, text, takes a value) */
#define OPTIONS(X)                                                                                 \
    X(SERVER, "--server", true)                                                                    \
    X(TIMEOUT, "--timeout", true)                                                                  \
    X(JSON, "--json", false)                                                                       \
    X(HELP, "--help", false)                                                                       \
    X(VERSION, "--version", false)                                                                 \
    X(CAPACITY, "--capacity", true)                                                                \
    X(PRODUCT, "--product", true)                                                                  \
    X(CUSTOMER, "--customer", true)                                                                \
    X(QTY, "--qty", true)                                                                          \
    X(ID, "--id", true)

enum option {
#define X(option, text, takes_value) OPTION_##option,
    OPTIONS(X)
#undef X
        OPTION_COUNT,
};

static const struct {
    const char *text;
    bool takes_value;
} options[OPTION_COUNT] = {
#define X(option, text, takes_value) {text, takes_value},
    OPTIONS(X)
#undef X
};

#define BIT(option) (1u << OPTION_##option)
#define EVERYWHERE  (BIT(SERVER) | BIT(TIMEOUT) | BIT(JSON) | BIT(HELP) | BIT(VERSION))

struct command {
    const char *words[2]; /* its name */
    enum hf_operation operation;
    enum hf_field operand; /* the word after the name: INVENTORY_ID, RESERVATION_ID or NONE */
    unsigned takes, needs; /* options, BIT()s, beside EVERYWHERE */
    const char *synopsis, *summary;
};

static const struct command commands[] = {
#define COMMAND(first, second, operation, operand, takes, needs, synopsis, summary)                \
    {                                                                                              \
        {first, second}, HF_OP_##operation, HF_FIELD_##operand, takes, needs, synopsis, summary    \
    }
    COMMAND("ping", NULL, PING, NONE, 0, 0, "ping", "ask whether the server answers"),
    COMMAND("info", NULL, INFO, NONE, 0, 0, "info", "tell what the server is and holds"),
    COMMAND("hash", NULL, STATE_HASH, NONE, 0, 0, "hash", "tell the hash of the server's state"),
    COMMAND("inventory", "create", INVENTORY_CREATE, INVENTORY_ID, BIT(CAPACITY) | BIT(PRODUCT),
            BIT(CAPACITY), "inventory create ID --capacity N [--product P]",
            "create an inventory of N units; repeating it is a yes again"),
    COMMAND("inventory", "show", INVENTORY_GET, INVENTORY_ID, 0, 0, "inventory show ID",
            "show an inventory and what is available of it"),
    COMMAND("inventory", "list", INVENTORY_LIST, NONE, 0, 0, "inventory list",
            "show all inventories, in the order of their creation"),
    COMMAND("reserve", NULL, RESERVE, INVENTORY_ID, BIT(CUSTOMER) | BIT(QTY) | BIT(ID),
            BIT(CUSTOMER), "reserve INVENTORY --customer C [--qty N] [--id UUID]",
            "reserve N units (1) for a customer; with the same UUID it is the same reservation"),
    COMMAND("get", NULL, RESERVATION_GET, RESERVATION_ID, 0, 0, "get RESERVATION",
            "look a reservation up by its UUID"),
    COMMAND("cancel", NULL, CANCEL, RESERVATION_ID, 0, 0, "cancel RESERVATION",
            "cancel a reservation and give its units back; repeating it is a yes again"),
#undef COMMAND
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

/* The command line, sorted but not judged. */
struct arguments {
    const char *words[MAX_WORDS];
    unsigned word_count;
    unsigned given;                   /* BIT()s */
    const char *values[OPTION_COUNT]; /* of the options that take one */
};

struct session {
    const struct command *command;
    struct arguments arguments;
    bool json;
    const char *server;
    struct hf_client *client;
    struct hf_request request;
    struct hf_reply reply;
};

/* ---- complaints ------------------------------------------------------------------------- */

/* A word of the user's, fit to be shown in one line. Static storage: one in each message. */
static const char *shown(const char *word)
{
    static char text[64];
    size_t length = 0;
    for (; length < sizeof text - 4 && word[length] != '\0'; length++)
        text[length] = isprint((unsigned char)word[length]) ? word[length] : '?';
    snprintf(text + length, sizeof text - length, "%s", word[length] == '\0' ? "" : "...");
    return text;
}

/* One line to stderr, and the exit status of most that earn one. */
__attribute__((format(printf, 1, 2))) static enum exit_status complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("holdfast: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return EXIT_USAGE;
}

/* ---- the command line ------------------------------------------------------------------- */

/* The option that `argument` names, up to its end or to '='; OPTION_COUNT if there is none. */
static enum option find_option(const char *argument, const char **value)
{
    const char *equals = strchr(argument, '=');
    size_t length = equals == NULL ? strlen(argument) : (size_t)(equals - argument);
    *value = equals == NULL ? NULL : equals + 1;
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].text) == length && memcmp(options[i].text, argument, length) == 0)
            return (enum option)i;
    }
    return OPTION_COUNT;
}

/* "-5" is a word, and no number that any argument allows; "-x" is an option that does not exist. */
static bool is_word(const char *argument)
{
    return argument[0] != '-' || argument[1] == '\0' || isdigit((unsigned char)argument[1]);
}

static enum exit_status sort_arguments(char **argv, struct arguments *arguments)
{
    for (argv++; *argv != NULL; argv++) {
        if (is_word(*argv)) {
            if (arguments->word_count == MAX_WORDS)
                return complain("'%s' is one word too many; see holdfast --help", shown(*argv));
            arguments->words[arguments->word_count++] = *argv;
            continue;
        }
        const char *value;
        enum option option = find_option(*argv, &value);
        if (option == OPTION_COUNT)
            return complain("unknown option '%s'; see holdfast --help", shown(*argv));
        if (!options[option].takes_value && value != NULL)
            return complain("%s takes no value", options[option].text);
        if (options[option].takes_value && value == NULL && *++argv == NULL)
            return complain("%s needs a value", options[option].text);
        arguments->given |= 1u << option;
        arguments->values[option] = value != NULL ? value : *argv;
    }
    return EXIT_YES;
}

static unsigned name_words(const struct command *command)
{
    return command->words[1] == NULL ? 1 : 2;
}

static const struct command *find_command(const struct arguments *arguments)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        unsigned count = name_words(&commands[i]), same = 0;
        while (same < count && same < arguments->word_count &&
               strcmp(arguments->words[same], commands[i].words[same]) == 0)
            same++;
        if (same == count)
            return &commands[i];
    }
    return NULL;
}

/* Holds the arguments against what the command takes. */
static enum exit_status check_arguments(const struct command *command,
                                        const struct arguments *arguments)
{
    unsigned words = name_words(command) + (command->operand != HF_FIELD_NONE);
    if (arguments->word_count < words)
        return complain("%s is missing: holdfast %s", hf_field_name(command->operand),
                        command->synopsis);
    if (arguments->word_count > words)
        return complain("'%s' is one word too many: holdfast %s", shown(arguments->words[words]),
                        command->synopsis);
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        unsigned bit = 1u << i;
        if ((arguments->given & bit) != 0 && ((EVERYWHERE | command->takes) & bit) == 0)
            return complain("%s has no meaning here: holdfast %s", options[i].text,
                            command->synopsis);
        if ((arguments->given & bit) == 0 && (command->needs & bit) != 0)
            return complain("%s is missing: holdfast %s", options[i].text, command->synopsis);
    }
    return EXIT_YES;
}

/* Decimal digits only: no sign, no space, nothing behind them, no overflow. */
static bool parse_number(const char *text, uint64_t *number)
{
    uint64_t value = 0;
    if (text == NULL || *text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        unsigned digit = (unsigned)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

/* An impossible value of a field is the answer that the server would give. */
static bool bad_value(const struct session *session, enum hf_field field)
{
    if (session->json && field != HF_FIELD_NONE)
        printf("{\"result\":\"%s\",\"field\":\"%s\",\"meaning\":\"%s\"}\n",
               hf_result_name(HF_BAD_FIELD), hf_field_name(field), hf_result_meaning(HF_BAD_FIELD));
    return false;
}

static bool take_number(const struct session *session, const char *name, enum hf_field field,
                        const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    if (parse_number(text, number) && *number >= least && *number <= most)
        return true;
    complain("%s '%s' is not a number from %" PRIu64 " to %" PRIu64, name, shown(text), least,
             most);
    return bad_value(session, field);
}

static bool take_id(const struct session *session, const char *name, const char *text,
                    struct hf_id *id)
{
    if (hf_id_parse(text, id) && !hf_id_is_zero(id))
        return true;
    complain("%s '%s' is not a UUID (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, not all zero)", name,
             shown(text));
    return bad_value(session, HF_FIELD_RESERVATION_ID);
}

/* An option's number, if it was given; otherwise *number stays. */
static bool take_option(const struct session *session, enum option option, enum hf_field field,
                        uint64_t least, uint64_t most, uint64_t *number)
{
    const char *text = session->arguments.values[option];
    return text == NULL ||
           take_number(session, options[option].text, field, text, least, most, number);
}

static bool take_request(struct session *session)
{
    const struct command *command = session->command;
    struct hf_request *request = &session->request;
    const char *operand = session->arguments.words[name_words(command)];
    const char *id = session->arguments.values[OPTION_ID];
    uint64_t capacity = 0, qty = 1;
    request->operation = command->operation;
    if (command->operand == HF_FIELD_INVENTORY_ID &&
        !take_number(session, "inventory id", HF_FIELD_INVENTORY_ID, operand, 0, UINT64_MAX,
                     &request->inventory_id))
        return false;
    if (command->operand == HF_FIELD_RESERVATION_ID &&
        !take_id(session, "reservation id", operand, &request->id))
        return false;
    if (!take_option(session, OPTION_CAPACITY, HF_FIELD_CAPACITY, 1, HF_MAX_UNITS, &capacity) ||
        !take_option(session, OPTION_PRODUCT, HF_FIELD_PRODUCT_ID, 0, UINT64_MAX,
                     &request->product_id) ||
        !take_option(session, OPTION_CUSTOMER, HF_FIELD_CUSTOMER_ID, 0, UINT64_MAX,
                     &request->customer_id) ||
        !take_option(session, OPTION_QTY, HF_FIELD_QTY, 1, HF_MAX_UNITS, &qty))
        return false;
    request->capacity = (uint32_t)capacity;
    request->qty = (uint32_t)qty;
    if (id != NULL)
        return take_id(session, "--id", id, &request->id);
    if (command->operation == HF_OP_RESERVE)
        hf_id_make(&request->id);
    return true;
}

/* ---- answers for programs --------------------------------------------------------------- */

/* A text that is not ours as a JSON string. */
static void put_json_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < ' ' || byte > '~' || byte == '"' || byte == '\\')
            printf("\\u%04x", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

static void put_inventory_json(const struct hf_inventory *inventory)
{
    printf("{\"inventory_id\":%" PRIu64 ",\"product_id\":%" PRIu64 ",\"capacity\":%" PRIu32
           ",\"available\":%" PRId32 ",\"held\":%" PRIu32 ",\"confirmed\":%" PRIu32
           ",\"version\":%" PRIu32 "}\n",
           inventory->inventory_id, inventory->product_id, inventory->capacity,
           inventory->available, inventory->held, inventory->confirmed, inventory->version);
}

static void put_reservation_json(const struct hf_reply *reply)
{
    const struct hf_reservation *reservation = &reply->reservation;
    char id[HF_ID_TEXT_BYTES], made[HF_DATE_TEXT_BYTES], changed[HF_DATE_TEXT_BYTES];
    hf_id_format(&reservation->id, id);
    hf_date_format(reservation->made_at_ns, made);
    hf_date_format(reservation->changed_at_ns, changed);
    printf("{\"result\":\"%s\",\"reservation_id\":\"%s\",\"inventory_id\":%" PRIu64
           ",\"customer_id\":%" PRIu64 ",\"qty\":%" PRIu32
           ",\"status\":\"%s\",\"reservation_date\":\"%s\"",
           hf_result_name(reply->result), id, reservation->inventory_id, reservation->customer_id,
           reservation->qty, hf_state_name(reservation->state), made);
    if (reservation->state == HF_STATE_CANCELLED)
        printf(",\"cancellation_date\":\"%s\"", changed);
    else
        printf(",\"cancellation_date\":null");
    printf(",\"lsn\":%" PRIu64 "}\n", reservation->lsn);
}

static const char *durability_name(uint32_t durability)
{
    return durability == 0 ? "disk" : durability == 1 ? "memory" : "unknown";
}

static void format_log_id(const struct hf_info *info, char text[HF_ID_TEXT_BYTES])
{
    struct hf_id id;
    memcpy(id.bytes, info->log_id, sizeof id.bytes);
    hf_id_format(&id, text);
}

static void put_info_json(const struct hf_info *info)
{
    char log_id[HF_ID_TEXT_BYTES];
    format_log_id(info, log_id);
    printf("{\"log_id\":\"%s\"", log_id);
#define NUMBER(field) printf(",\"" #field "\":%" PRIu64, (uint64_t)info->field)
    NUMBER(epoch);
    NUMBER(started_at_ns);
    NUMBER(now_ns);
    NUMBER(next_lsn);
    NUMBER(commit_lsn);
    NUMBER(durable_lsn);
    NUMBER(recovered_records);
    NUMBER(recovered_reservations);
    NUMBER(recovery_ns);
    NUMBER(reservations);
    NUMBER(max_reservations);
    NUMBER(connections);
    NUMBER(log_bytes);
    NUMBER(log_blocks);
    NUMBER(inventories);
    NUMBER(max_inventories);
    NUMBER(workers);
#undef NUMBER
    printf(",\"durability\":\"%s\",\"server_version\":", durability_name(info->durability));
    put_json_text(info->server_version);
    printf("}\n");
}

static void put_hash_json(const struct hf_reply *reply)
{
    printf("{\"state_hash\":\"%016" PRIx64 "\",\"lsn_before\":%" PRIu64 ",\"lsn_after\":%" PRIu64
           ",\"reservations\":%" PRIu64 "}\n",
           reply->state_hash, reply->lsn_before, reply->lsn_after, reply->reservations);
}

static void put_no_json(const struct session *session)
{
    const struct hf_reply *reply = &session->reply;
    if (reply->result == HF_SOLD_OUT) {
        printf("{\"result\":\"%s\",\"available\":%" PRId32 "}\n", hf_result_name(reply->result),
               reply->available);
        return;
    }
    printf("{\"result\":\"%s\",\"field\":", hf_result_name(reply->result));
    if (reply->field == HF_FIELD_NONE)
        printf("null");
    else
        printf("\"%s\"", hf_field_name(reply->field));
    printf(",\"meaning\":\"%s\"", hf_result_meaning(reply->result));
    if (reply->operation == HF_OP_RESERVE && reply->result == HF_OUTCOME_UNKNOWN) {
        char id[HF_ID_TEXT_BYTES];
        hf_id_format(&session->request.id, id);
        printf(",\"reservation_id\":\"%s\"", id);
    }
    printf("}\n");
}

/* ---- answers for people ----------------------------------------------------------------- */

static void put_inventory_heading(void)
{
    printf("%20s %20s %10s %10s %10s %10s %10s\n", "INVENTORY", "PRODUCT", "CAPACITY", "AVAILABLE",
           "HELD", "CONFIRMED", "VERSION");
}

static void put_inventory_text(const struct hf_inventory *inventory)
{
    printf("%20" PRIu64 " %20" PRIu64 " %10" PRIu32 " %10" PRId32 " %10" PRIu32 " %10" PRIu32
           " %10" PRIu32 "\n",
           inventory->inventory_id, inventory->product_id, inventory->capacity,
           inventory->available, inventory->held, inventory->confirmed, inventory->version);
}

static void put_reservation_text(const struct hf_reply *reply)
{
    const struct hf_reservation *reservation = &reply->reservation;
    char id[HF_ID_TEXT_BYTES], date[HF_DATE_TEXT_BYTES];
    hf_id_format(&reservation->id, id);
    hf_date_format(reservation->made_at_ns, date);
    printf("%s%s\n", hf_result_name(reply->result), reply->repeated ? " (as before)" : "");
    printf("  reservation  %s\n", id);
    printf("  inventory    %" PRIu64 "\n", reservation->inventory_id);
    printf("  customer     %" PRIu64 "\n", reservation->customer_id);
    printf("  qty          %" PRIu32 "\n", reservation->qty);
    printf("  status       %s\n", hf_state_name(reservation->state));
    printf("  reserved at  %s\n", date);
    if (reservation->state == HF_STATE_CANCELLED) {
        hf_date_format(reservation->changed_at_ns, date);
        printf("  cancelled at %s\n", date);
    }
    printf("  LSN          %" PRIu64 "\n", reservation->lsn);
}

static void put_info_text(const struct hf_info *info)
{
    char log_id[HF_ID_TEXT_BYTES], started[HF_DATE_TEXT_BYTES];
    format_log_id(info, log_id);
    hf_date_format(info->started_at_ns, started);
    printf("server        ");
    for (const char *text = info->server_version; *text != '\0'; text++)
        putchar(isprint((unsigned char)*text) ? *text : '?');
    printf(", workers %" PRIu32 ", connections %" PRIu64 "\n", info->workers, info->connections);
    printf("started       %s, start %" PRIu64 " of log %s\n", started, info->epoch, log_id);
    printf("recovered     %" PRIu64 " reservations from %" PRIu64 " records in %" PRIu64 " ms\n",
           info->recovered_reservations, info->recovered_records,
           (uint64_t)(info->recovery_ns / HF_NS_PER_MS));
    printf("holds         %" PRIu64 " of %" PRIu64 " reservations, %" PRIu32 " of %" PRIu32
           " inventories\n",
           info->reservations, info->max_reservations, info->inventories, info->max_inventories);
    printf("durability    %s\n", durability_name(info->durability));
    printf("LSN           next %" PRIu64 ", committed %" PRIu64 ", durable %" PRIu64 "\n",
           info->next_lsn, info->commit_lsn, info->durable_lsn);
    printf("written       %" PRIu64 " bytes in %" PRIu64 " blocks since the start\n",
           info->log_bytes, info->log_blocks);
}

static void put_hash_text(const struct hf_reply *reply)
{
    printf("state hash %016" PRIx64 " of %" PRIu64 " reservations, LSN %" PRIu64 " to %" PRIu64
           "\n",
           reply->state_hash, reply->reservations, reply->lsn_before, reply->lsn_after);
}

/* What to do when nobody knows whether it was done. */
static void complain_unknown(const struct session *session)
{
    char id[HF_ID_TEXT_BYTES];
    const char *error = hf_client_last_error(session->client);
    hf_id_format(&session->request.id, id);
    if (session->command->operation == HF_OP_RESERVE)
        complain("outcome unknown: repeat with --id %s (%s: %s)", id, session->server, error);
    else
        complain("outcome unknown: repeat the same command (%s: %s)", session->server, error);
}

static void put_no_text(const struct session *session)
{
    const struct hf_reply *reply = &session->reply;
    const char *name = hf_result_name(reply->result);
    const char *meaning = hf_result_meaning(reply->result);
    if (reply->result == HF_OUTCOME_UNKNOWN)
        complain_unknown(session);
    else if (reply->result == HF_NOT_CONNECTED)
        complain("%s: %s (%s: %s)", name, meaning, session->server,
                 hf_client_last_error(session->client));
    else if (reply->result == HF_SOLD_OUT)
        complain("%s: %s (available: %" PRId32 ")", name, meaning, reply->available);
    else if (reply->field != HF_FIELD_NONE)
        complain("%s: %s (field: %s)", name, meaning, hf_field_name(reply->field));
    else
        complain("%s: %s", name, meaning);
}

/* ---- either ----------------------------------------------------------------------------- */

static void put_ping(const struct session *session)
{
    if (session->json)
        printf("{\"result\":\"%s\"}\n", hf_result_name(session->reply.result));
    else
        printf("%s answers\n", session->server);
}

static void put_yes(const struct session *session)
{
    const struct hf_reply *reply = &session->reply;
    switch (reply->operation) {
    case HF_OP_PING:
        put_ping(session);
        break;
    case HF_OP_INFO:
        (session->json ? put_info_json : put_info_text)(&reply->info);
        break;
    case HF_OP_STATE_HASH:
        (session->json ? put_hash_json : put_hash_text)(reply);
        break;
    case HF_OP_INVENTORY_CREATE:
    case HF_OP_INVENTORY_GET:
        if (!session->json)
            put_inventory_heading();
        (session->json ? put_inventory_json : put_inventory_text)(&reply->inventory);
        break;
    case HF_OP_INVENTORY_LIST:
        for (uint32_t i = 0; i < reply->count; i++)
            (session->json ? put_inventory_json : put_inventory_text)(&reply->inventories[i]);
        break;
    case HF_OP_RESERVE:
    case HF_OP_RESERVATION_GET:
    case HF_OP_CANCEL:
        (session->json ? put_reservation_json : put_reservation_text)(reply);
        break;
    }
}

/* ---- running ---------------------------------------------------------------------------- */

static enum exit_status exit_status(unsigned result)
{
    switch (hf_result_group(result)) {
    case HF_GROUP_YES:
        return EXIT_YES;
    case HF_GROUP_NO:
        return EXIT_NO;
    case HF_GROUP_CONFLICT:
    case HF_GROUP_BAD_REQUEST:
        return EXIT_USAGE;
    case HF_GROUP_RETRY:
    case HF_GROUP_UNKNOWN:
        break;
    }
    return EXIT_UNKNOWN;
}

/* One request and its answer, told. */
static enum exit_status ask(struct session *session)
{
    unsigned result = hf_client_call_sync(session->client, &session->request, &session->reply);
    if (hf_result_group(result) == HF_GROUP_YES)
        put_yes(session);
    else if (session->json)
        put_no_json(session);
    else
        put_no_text(session);
    return exit_status(result);
}

static enum exit_status ask_for_pages(struct session *session)
{
    session->request.limit = HF_MAX_LIST_ENTRIES;
    if (!session->json)
        put_inventory_heading();
    for (;;) {
        enum exit_status status = ask(session);
        if (status != EXIT_YES || session->reply.next == 0)
            return status;
        if (session->reply.next <= session->request.from) {
            complain("%s tells of pages without end", session->server);
            return EXIT_UNKNOWN;
        }
        session->request.from = session->reply.next;
    }
}

static enum exit_status connect_and_ask(struct session *session, uint32_t timeout_ms)
{
    struct hf_client_options client_options = {.server = session->server,
                                               .request_timeout_ms = timeout_ms};
    int error = hf_client_open(&client_options, &session->client);
    if (error == -EINVAL)
        return complain("--server '%s' is not HOST:PORT or [IPv6]:PORT with a port from 1 to 65535",
                        shown(session->server));
    if (error != 0) {
        complain("%s: %s", shown(session->server),
                 error == -ENOENT ? "no such host" : strerror(-error));
        return EXIT_UNKNOWN;
    }
    enum exit_status status =
        session->command->operation == HF_OP_INVENTORY_LIST ? ask_for_pages(session) : ask(session);
    hf_client_close(session->client);
    return status;
}

static void put_help(const struct command *command)
{
    if (command != NULL) {
        printf("usage: holdfast [OPTIONS] %s\n\n%s\n\n", command->synopsis, command->summary);
    } else {
        printf("usage: holdfast [OPTIONS] COMMAND\n\n");
        for (size_t i = 0; i < COMMAND_COUNT; i++)
            printf("  %s\n      %s\n", commands[i].synopsis, commands[i].summary);
        printf("\n");
    }
    printf("options, before or behind the command, also as --option=value\n"
           "  --server HOST:PORT  the server, " DEFAULT_SERVER " if not given\n"
           "  --timeout MS        how long to try, 5000 if not given\n"
           "  --json              answer with one JSON object a line\n"
           "  --help, --version\n\n"
           "Ids of inventories, products and customers are numbers from 0 to %" PRIu64 ",\n"
           "quantities and capacities from 1 to %u, reservation ids UUIDs.\n"
           "Exit status: 0 yes, 1 a definite no, 2 bad usage, bad request or conflict,\n"
           "3 outcome unknown, retry later, or server not reached.\n",
           UINT64_MAX, HF_MAX_UNITS);
}

static enum exit_status run(char **argv)
{
    struct session session = {.server = DEFAULT_SERVER};
    struct arguments *arguments = &session.arguments;
    if (sort_arguments(argv, arguments) != EXIT_YES)
        return EXIT_USAGE;
    session.command = find_command(arguments);
    session.json = (arguments->given & BIT(JSON)) != 0;
    if ((arguments->given & BIT(HELP)) != 0) {
        put_help(session.command);
        return EXIT_YES;
    }
    if ((arguments->given & BIT(VERSION)) != 0) {
        printf("holdfast " HF_VERSION "\n");
        return EXIT_YES;
    }
    if (session.command == NULL && arguments->word_count == 0)
        return complain("a command is missing; see holdfast --help");
    if (session.command == NULL)
        return complain("unknown command '%s'; see holdfast --help", shown(arguments->words[0]));
    if (check_arguments(session.command, arguments) != EXIT_YES)
        return EXIT_USAGE;
    uint64_t timeout_ms = 0;
    if (!take_option(&session, OPTION_TIMEOUT, HF_FIELD_NONE, 1, UINT32_MAX, &timeout_ms) ||
        !take_request(&session))
        return EXIT_USAGE;
    if (arguments->values[OPTION_SERVER] != NULL)
        session.server = arguments->values[OPTION_SERVER];
    return connect_and_ask(&session, (uint32_t)timeout_ms);
}

int main(int argc, char **argv)
{
    (void)argc;
    enum exit_status status = run(argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain("the answer could not be written: %s", strerror(errno));
        return EXIT_UNKNOWN;
    }
    return (int)status;
}
