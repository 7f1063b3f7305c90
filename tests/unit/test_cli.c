/*
 * The command line client, piece by piece: what is written becomes a request, a line of a batch; an
 * answer becomes text and JSON. test_cli_values.c has the values, test_cli_program.c runs the whole
 * program.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/batch_file.h"
#include "tools/batch_line.h"
#include "tools/commands.h"
#include "tools/session.h"
#include "tools/show.h"

#define MAX_WORDS 24
#define NOW_NS    1770000000000000000ull /* 2026-02-02T02:40:00Z */
#define ID_ONE    "018f0000-0000-7000-8000-000000000001"
#define ID_TWO    "018f0000-0000-7000-8000-000000000002"

/* ---- the command line ------------------------------------------------------------------- */

static struct hf_cli_session session;
static char words_copy[2048], error[HF_CLI_ERROR_BYTES];
static char *argv_copy[MAX_WORDS + 2];

static void begin(void)
{
    cr_redirect_stderr(); /* complaints */
}

static void end(void)
{
    hf_cli_session_close(&session);
}

TestSuite(cli_command_line, .init = begin, .fini = end);
TestSuite(cli_request, .init = begin, .fini = end);

/* Sorts "holdfast WORDS". */
static bool sort(const char *words)
{
    int argc = 1;
    hf_cli_session_close(&session);
    session = (struct hf_cli_session){.server = "127.0.0.1:7411", .out = stdout};
    snprintf(words_copy, sizeof words_copy, "%s", words);
    argv_copy[0] = "holdfast";
    for (char *word = strtok(words_copy, " "); word && argc <= MAX_WORDS; word = strtok(NULL, " "))
        argv_copy[argc++] = word;
    argv_copy[argc] = NULL;
    return hf_cli_arguments_sort(&session.arguments, argc, argv_copy, error);
}

/* Sorts, finds, checks. */
static bool judge(const char *words)
{
    if (!sort(words))
        return false;
    session.command = hf_cli_command_find(&session.arguments);
    if (session.command != NULL)
        return hf_cli_command_check(session.command, &session.arguments, error);
    hf_cli_command_unknown(&session.arguments, error);
    return false;
}

/* And makes the request. */
static const struct hf_request *take(const char *words)
{
    cr_assert(judge(words), "%s: %s", words, error);
    return session.command->take(&session) ? &session.request : NULL;
}

Test(cli_command_line, options_stand_anywhere_with_a_space_or_an_equals_sign)
{
    cr_assert(sort("--json reserve --customer=7 1 --qty 2"), "%s", error);
    cr_expect(session.arguments.word_count == 2);
    cr_expect_str_eq(session.arguments.words[0], "reserve");
    cr_expect_str_eq(session.arguments.words[1], "1");
    cr_expect_str_eq(hf_cli_arguments_value(&session.arguments, HF_CLI_CUSTOMER), "7");
    cr_expect_str_eq(hf_cli_arguments_value(&session.arguments, HF_CLI_QTY), "2");
    cr_expect(hf_cli_arguments_have(&session.arguments, HF_CLI_JSON));
    cr_expect(!hf_cli_arguments_have(&session.arguments, HF_CLI_ID));
    cr_expect(hf_cli_arguments_value(&session.arguments, HF_CLI_ID) == NULL);
}

/* "-" is stdin and "-5" a number that no argument allows: both are words, not options. */
Test(cli_command_line, some_words_begin_with_a_hyphen)
{
    cr_assert(sort("batch - -5"), "%s", error);
    cr_expect(session.arguments.word_count == 3);
}

static void expect_refused(const char *words, const char *mentions)
{
    cr_expect(!judge(words), "'%s' is taken", words);
    cr_expect(strstr(error, mentions) != NULL, "'%s': '%s' is not mentioned: %s", words, mentions,
              error);
    cr_expect(strchr(error, '\n') == NULL, "not one line: %s", error);
}

Test(cli_command_line, what_is_wrong_is_named_with_the_closest_that_exists)
{
    expect_refused("hold 1 --custmer 7 --ttl 15m", "did you mean --customer?");
    expect_refused("hold 1 --cutsomer=7 --ttl 15m", "did you mean --customer?");
    expect_refused("hold 1 -qty 7", "did you mean --qty?");
    expect_refused("hold 1 --frobnicate", "see holdfast --help");
    expect_refused("confrim " ID_ONE, "did you mean confirm?");
    expect_refused("inventory shwo 1", "did you mean inventory show?");
    expect_refused("inventry show 1", "did you mean inventory show?");
    expect_refused("inventory", "holdfast inventory --help");
    expect_refused("frobnicate", "see holdfast --help");
    expect_refused("", "a command is missing");
    expect_refused("hold 1 --customer 7", "--ttl is missing");
    expect_refused("hold --customer 7 --ttl 15m", "inventory_id is missing");
    expect_refused("hold 1 2 --customer 7 --ttl 15m", "'2' is one word too many");
    expect_refused("confirm " ID_ONE " --ttl 15m", "--ttl has no meaning here");
    expect_refused("hold 1 --customer 7 --customer 8 --ttl 15m", "--customer is given more");
    expect_refused("hold 1 --customer", "--customer needs a value");
    expect_refused("hold 1 --override=yes", "--override takes no value");
    expect_refused("availability", "inventory_id is missing");
}

/* An alias may set what the command line overrides. */
Test(cli_command_line, options_of_every_command_may_be_repeated_and_the_last_counts)
{
    cr_assert(judge("--server a:1 ping --server b:2 --json --json"), "%s", error);
    cr_expect_str_eq(hf_cli_arguments_value(&session.arguments, HF_CLI_SERVER), "b:2");
}

/* Each row of the table is whole, and help about it tells its example and all its options. */
Test(cli_command_line, every_command_has_help_with_an_example)
{
    for (size_t i = 0; i < hf_cli_command_count; i++) {
        const struct hf_cli_command *command = &hf_cli_commands[i];
        char words[128], *help = NULL, example[512];
        size_t help_bytes = 0;
        snprintf(words, sizeof words, "%s %s", command->words[0],
                 command->words[1] ? command->words[1] : "");
        cr_assert(sort(words));
        cr_assert(hf_cli_command_find(&session.arguments) == command, "%s", words);
        FILE *out = open_memstream(&help, &help_bytes);
        hf_cli_help(out, &session.arguments);
        fclose(out);
        cr_expect(strstr(help, command->synopsis) && strstr(help, command->summary) &&
                      strstr(help, "example:") && strstr(help, command->example),
                  "%s: %s", words, help);
        for (unsigned option = 0; option < HF_CLI_OPTION_COUNT; option++)
            cr_expect((command->takes & 1ull << option) == 0 ||
                          strstr(help, hf_cli_option_text((enum hf_cli_option)option)),
                      "%s does not tell of %s", words,
                      hf_cli_option_text((enum hf_cli_option)option));
        cr_expect((command->takes & command->needs) == command->needs, "%s", words);
        cr_expect((command->takes & command->many) == command->many, "%s", words);
        free(help);
        /* The example is itself a command that is taken. */
        snprintf(example, sizeof example, "%s", command->example);
        if (command->operand == HF_CLI_FILE)
            continue;
        cr_expect(judge(example + strlen("holdfast ")) && session.command == command &&
                      command->take(&session),
                  "%s: %s", example, error);
    }
}

/* ---- requests --------------------------------------------------------------------------- */

static struct hf_id id_of(const char *text)
{
    struct hf_id id;
    cr_assert(hf_id_parse(text, &id));
    return id;
}

static bool is_id(const struct hf_id *id, const char *text)
{
    struct hf_id other = id_of(text);
    return hf_id_equal(id, &other);
}

Test(cli_request, a_claim_has_all_that_it_was_given)
{
    const struct hf_request *request =
        take("hold 3 --customer 18446744073709551615 --qty 2 --ttl 1h30m --id " ID_ONE
             " --not-after 2026-02-02T02:40:00Z --expect-version 9 --override");
    cr_assert(request);
    cr_expect(request->operation == HF_OP_HOLD && request->inventory_id == 3);
    cr_expect(request->customer_id == UINT64_MAX && request->qty == 2);
    cr_expect(request->ttl_ns == 5400 * HF_NS_PER_S && request->not_after_ns == NOW_NS);
    cr_expect(request->expected == 9);
    cr_expect(request->flags == (HF_REQUEST_EXPECT_VERSION | HF_REQUEST_OVERRIDE));
    cr_expect(is_id(&request->id, ID_ONE));
    cr_expect(!session.id_made && !session.clock_needed);
}

/* A version of 0 is a version: the flag tells that it is expected. */
Test(cli_request, a_claim_without_more_is_for_one_unit_and_makes_its_id)
{
    const struct hf_request *request = take("reserve 3 --customer 0");
    cr_assert(request);
    cr_expect(request->operation == HF_OP_RESERVE && request->qty == 1 && request->flags == 0);
    cr_expect(!hf_id_is_zero(&request->id) && session.id_made);
    cr_expect(request->not_after_ns == 0 && request->ttl_ns == 0);
    request = take("join 3 --customer 0 --expect-version 0");
    cr_assert(request);
    cr_expect(request->operation == HF_OP_JOIN && request->flags == HF_REQUEST_EXPECT_VERSION);
}

/* The clock is asked for only if a date speaks of now, and then the date is that clock's. */
Test(cli_request, now_is_the_clock_of_the_server)
{
    const struct hf_request *request = take("reserve 3 --customer 1 --not-after now+2s");
    cr_assert(request && session.clock_needed);
    session.clock_known = true;
    session.clock_ahead_ns = NOW_NS - hf_monotonic_now_ns();
    cr_assert(session.command->take(&session));
    cr_expect(request->not_after_ns >= NOW_NS + 2 * HF_NS_PER_S &&
                  request->not_after_ns < NOW_NS + 10 * HF_NS_PER_S,
              "%llu", (unsigned long long)request->not_after_ns);
}

Test(cli_request, changes_are_guarded_by_a_sequence)
{
    const struct hf_request *request =
        take("confirm " ID_ONE " --qty 2 --sequence 5 --reacquire --new-id " ID_TWO " --override");
    cr_assert(request);
    cr_expect(request->operation == HF_OP_CONFIRM && request->qty == 2 && request->expected == 5);
    cr_expect(request->flags == (HF_REQUEST_REACQUIRE | HF_REQUEST_OVERRIDE));
    cr_expect(is_id(&request->id, ID_ONE) && is_id(&request->new_id, ID_TWO));
    request = take("confirm " ID_ONE);
    cr_assert(request);
    cr_expect(request->qty == 0 && request->expected == 0 && request->flags == 0);
    cr_expect(hf_id_is_zero(&request->new_id));
    request = take("change " ID_ONE " --qty 0");
    cr_expect(request && request->operation == HF_OP_CHANGE && request->qty == 0);
    request = take("move " ID_ONE " --customer 43");
    cr_expect(request && request->operation == HF_OP_MOVE && request->customer_id == 43);
    request = take("extend " ID_ONE " --ttl 5m");
    cr_expect(request && request->operation == HF_OP_EXTEND &&
              request->ttl_ns == 300 * HF_NS_PER_S);
    request = take("leave " ID_ONE " --sequence 4294967295");
    cr_expect(request && request->operation == HF_OP_LEAVE && request->expected == UINT32_MAX);
}

Test(cli_request, values_that_cannot_be_are_refused)
{
    static const char *const words[] = {
        "reserve -1 --customer 7",
        "reserve 18446744073709551616 --customer 7",
        "reserve x --customer 7",
        "reserve 1 --customer x",
        "reserve 1 --customer 7 --qty 0",
        "reserve 1 --customer 7 --qty 536870912",
        "reserve 1 --customer 7 --id 00000000-0000-0000-0000-000000000000",
        "reserve 1 --customer 7 --id x",
        "reserve 1 --customer 7 --not-after tomorrow",
        "reserve 1 --customer 7 --not-after none",
        "reserve 1 --customer 7 --expect-version 4294967296",
        "hold 1 --customer 7 --ttl 15",
        "hold 1 --customer 7 --ttl 0s",
        "hold 1 --customer 7 --ttl 101d",
        "inventory set 1",
        "inventory set 1 --skip yes",
        "inventory set 1 --min-qty 0",
        "inventory set 1 --sell-limit none",
        "inventory set 1 --offer-ttl none",
        "inventory set 1 --longest-hold 101d",
        "inventory set 1 --opens-at 2026-02-30T00:00:00Z",
        "list --status held,foo",
        "list --limit 0",
        "list --since none",
        "watch --inventory 1 --customer 2",
        "watch --from 0",
        "watch --count 0",
        "availability 1 x",
    };
    static const char *const of_ids[] = {
        "confirm " ID_ONE " --qty 0",          "confirm " ID_ONE " --sequence 0",
        "confirm " ID_ONE " --new-id " ID_TWO, "confirm x",
        "change " ID_ONE " --qty x",           "extend " ID_ONE " --ttl 0s",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        cr_expect(take(words[i]) == NULL, "'%s' is taken", words[i]);
    for (size_t i = 0; i < sizeof of_ids / sizeof of_ids[0]; i++)
        cr_expect(take(of_ids[i]) == NULL, "'%s' is taken", of_ids[i]);
}

/* Only what is named is set; none unsets what limits. */
Test(cli_request, settings_name_what_they_set)
{
    const struct hf_request *request =
        take("inventory set 3 --sell-limit 0 --customer-limit 4 --min-qty 2 --max-qty none "
             "--capacity 10 --close-when-sold-out on --skip off --strict --expect-version 8");
    cr_assert(request);
    const struct hf_settings_change *change = &request->change;
    cr_expect(request->operation == HF_OP_INVENTORY_SET && request->inventory_id == 3);
    cr_expect(change->fields == (HF_SET_SELL_LIMIT | HF_SET_CUSTOMER_LIMIT | HF_SET_MIN_QTY |
                                 HF_SET_MAX_QTY | HF_SET_CAPACITY | HF_SET_FLAGS));
    cr_expect(change->settings.sell_limit == 0 && change->settings.customer_limit == 4);
    cr_expect(change->settings.min_qty == 2 && change->settings.max_qty == 0);
    cr_expect(change->capacity == 10);
    cr_expect(change->flags_mask == (HF_INVENTORY_CLOSE_WHEN_SOLD_OUT | HF_INVENTORY_SKIP));
    cr_expect(change->settings.flags == HF_INVENTORY_CLOSE_WHEN_SOLD_OUT);
    cr_expect(request->flags == (HF_REQUEST_STRICT | HF_REQUEST_EXPECT_VERSION) &&
              request->expected == 8);
}

Test(cli_request, settings_of_times)
{
    const struct hf_request *request =
        take("inventory set 3 --opens-at none --closes-at 2026-02-02T02:40:00Z --cancel-until none "
             "--longest-hold 1h --offer-ttl 5m --waiting-limit none");
    cr_assert(request);
    const struct hf_settings_change *change = &request->change;
    cr_expect(change->fields == (HF_SET_OPENS_AT | HF_SET_CLOSES_AT | HF_SET_CANCEL_UNTIL |
                                 HF_SET_LONGEST_HOLD | HF_SET_OFFER_TTL | HF_SET_WAITING_LIMIT));
    cr_expect(change->settings.opens_at_ns == 0 && change->settings.closes_at_ns == NOW_NS);
    cr_expect(change->settings.cancel_until_ns == 0 && change->settings.waiting_limit == 0);
    cr_expect(change->settings.longest_hold_ns == 3600 * HF_NS_PER_S);
    cr_expect(change->settings.offer_ttl_ns == 300 * HF_NS_PER_S);
    request = take("inventory set 3 --longest-hold none");
    cr_expect(request && request->change.fields == HF_SET_LONGEST_HOLD &&
              request->change.settings.longest_hold_ns == 0);
}

Test(cli_request, sales_are_paused_closed_and_let_go_on)
{
    static const struct {
        const char *words;
        uint32_t fields, mask, flags;
    } sales[] = {
        {"inventory pause 3", HF_SET_FLAGS, HF_INVENTORY_PAUSED, HF_INVENTORY_PAUSED},
        {"inventory close 3", HF_SET_FLAGS, HF_INVENTORY_CLOSED, HF_INVENTORY_CLOSED},
        {"inventory open 3", HF_SET_FLAGS | HF_SET_REOPEN, HF_INVENTORY_CLOSED, 0},
        {"inventory resume 3", HF_SET_FLAGS | HF_SET_REOPEN,
         HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED, 0},
    };
    for (size_t i = 0; i < sizeof sales / sizeof sales[0]; i++) {
        const struct hf_request *request = take(sales[i].words);
        cr_assert(request, "%s", sales[i].words);
        cr_expect(request->operation == HF_OP_INVENTORY_SET && request->inventory_id == 3);
        cr_expect(request->change.fields == sales[i].fields &&
                      request->change.flags_mask == sales[i].mask &&
                      request->change.settings.flags == sales[i].flags,
                  "%s", sales[i].words);
    }
}

Test(cli_request, reading_by_inventory_customer_state_and_time)
{
    const struct hf_request *request = take(
        "list --inventory 0 --status held,waiting --since 2026-02-02T02:40:00Z --until now+1h");
    cr_assert(request);
    cr_expect(request->filter.filters == HF_FILTER_INVENTORY && request->filter.inventory_id == 0);
    cr_expect(request->filter.states == (1u << HF_STATE_HELD | 1u << HF_STATE_WAITING));
    cr_expect(request->filter.made_from_ns == NOW_NS && request->filter.made_before_ns > NOW_NS);
    cr_expect(session.clock_needed);
    request = take("list --customer 9 --limit 3");
    cr_assert(request);
    cr_expect(request->filter.filters == HF_FILTER_CUSTOMER && request->filter.customer_id == 9);
    cr_expect(request->filter.states == 0);
    request = take("list");
    cr_expect(request && request->filter.filters == 0);
    request = take("availability 3 1 2");
    cr_assert(request && request->count == 3);
    cr_expect(request->ids[0] == 3 && request->ids[1] == 1 && request->ids[2] == 2);
}

Test(cli_request, watching_all_or_some)
{
    const struct hf_request *request = take("watch");
    cr_assert(request);
    cr_expect(request->kind == HF_WATCH_ALL && request->count == 0 && request->from_lsn == 0);
    request = take("watch --from 12 --inventory 5 --inventory=6 --count 2");
    cr_assert(request);
    cr_expect(request->kind == HF_WATCH_INVENTORIES && request->count == 2);
    cr_expect(request->ids[0] == 5 && request->ids[1] == 6 && request->from_lsn == 12);
    request = take("watch --customer 7");
    cr_assert(request);
    cr_expect(request->kind == HF_WATCH_CUSTOMERS && request->count == 1 && request->ids[0] == 7);
}

/* ---- lines of a batch ------------------------------------------------------------------- */

static struct hf_cli_batch_line line;
static struct hf_cli_batch_error line_error;

static bool parse(const char *text)
{
    return hf_cli_batch_line_parse(text, strlen(text), NOW_NS, &line, &line_error);
}

Test(cli_batch_line, each_op_takes_its_members)
{
    cr_assert(parse("{\"op\":\"hold\",\"inventory\":1,\"customer\":7,\"qty\":2,\"ttl\":\"15m\","
                    "\"id\":\"" ID_ONE "\",\"expect_version\":0,\"not_after\":\"now+2s\","
                    "\"override\":true}"),
              "%s", line_error.text);
    cr_expect(line.line.operation == HF_OP_HOLD && line.line.inventory_id == 1);
    cr_expect(line.line.customer_id == 7 && line.line.qty == 2);
    cr_expect(line.line.ttl_ns == 900 * HF_NS_PER_S && is_id(&line.line.id, ID_ONE));
    cr_expect(line.line.flags == (HF_REQUEST_EXPECT_VERSION | HF_REQUEST_OVERRIDE));
    cr_expect(line.not_after_ns == NOW_NS + 2 * HF_NS_PER_S && line.clock_needed && !line.id_made);
    cr_assert(parse("{\"op\":\"confirm\",\"id\":\"" ID_ONE "\",\"qty\":1,\"sequence\":3,"
                    "\"reacquire\":true,\"new_id\":\"" ID_TWO "\"}"),
              "%s", line_error.text);
    cr_expect(line.line.operation == HF_OP_CONFIRM && line.line.expected == 3);
    cr_expect(line.line.flags == HF_REQUEST_REACQUIRE && is_id(&line.line.new_id, ID_TWO));
    cr_assert(parse("{\"op\":\"change\",\"id\":\"" ID_ONE "\",\"qty\":0}"), "%s", line_error.text);
    cr_expect(line.line.operation == HF_OP_CHANGE && line.line.qty == 0);
    cr_assert(parse("{\"op\":\"move\",\"id\":\"" ID_ONE "\",\"customer\":8}"));
    cr_expect(line.line.operation == HF_OP_MOVE && line.line.customer_id == 8);
    cr_assert(parse("{\"op\":\"extend\",\"id\":\"" ID_ONE "\",\"ttl\":\"5m\"}"));
    cr_expect(line.line.operation == HF_OP_EXTEND && line.line.ttl_ns == 300 * HF_NS_PER_S);
    static const struct {
        const char *op;
        enum hf_operation operation;
    } plain[] = {{"release", HF_OP_RELEASE}, {"cancel", HF_OP_CANCEL}, {"leave", HF_OP_LEAVE}};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"op\":\"%s\",\"id\":\"" ID_ONE "\"}", plain[i].op);
        cr_assert(parse(text), "%s: %s", text, line_error.text);
        cr_expect(line.line.operation == plain[i].operation && is_id(&line.line.id, ID_ONE));
        cr_expect_str_eq(hf_cli_batch_op_name(plain[i].operation), plain[i].op);
    }
}

/* The names of the protocol, ids too large for JSON's numbers, null for what is not there. */
Test(cli_batch_line, other_ways_to_say_the_same)
{
    cr_assert(parse(" {\"operation\": \"reserve\", \"inventory_id\": \"18446744073709551615\", "
                    "\"customer_id\": 7, \"reservation_id\": \"" ID_ONE "\", \"not_after\": null, "
                    "\"override\": false} "),
              "%s", line_error.text);
    cr_expect(line.line.operation == HF_OP_RESERVE && line.line.inventory_id == UINT64_MAX);
    cr_expect(line.line.qty == 1 && line.not_after_ns == 0 && line.line.flags == 0);
    cr_expect(is_id(&line.line.id, ID_ONE));
    cr_assert(parse("{\"op\":\"join\",\"inventory\":1,\"customer\":7,\"id\":null}"));
    cr_expect(line.id_made && !hf_id_is_zero(&line.line.id));
}

Test(cli_batch_line, what_is_wrong_is_told)
{
    static const struct {
        const char *text, *mentions;
        enum hf_field field;
    } cases[] = {
        {"", "not JSON", HF_FIELD_NONE},
        {"reserve 1", "not JSON", HF_FIELD_NONE},
        {"[1]", "not a JSON object", HF_FIELD_NONE},
        {"{}", "'op' is missing", HF_FIELD_OPERATION},
        {"{\"op\":7}", "'op' is not a string", HF_FIELD_OPERATION},
        {"{\"op\":\"Hold\"}", "did you mean 'hold'", HF_FIELD_OPERATION},
        {"{\"op\":\"frobnicate\"}", "unknown op 'frobnicate'", HF_FIELD_OPERATION},
        {"{\"op\":\"get\",\"id\":\"" ID_ONE "\"}", "unknown op", HF_FIELD_OPERATION},
        {"{\"op\":\"reserve\",\"inventry\":1}", "did you mean 'inventory'", HF_FIELD_NONE},
        {"{\"op\":\"reserve\",\"color\":1}", "unknown member 'color'", HF_FIELD_NONE},
        {"{\"op\":\"reserve\",\"op\":\"hold\"}", "duplicate", HF_FIELD_NONE},
        {"{\"op\":\"reserve\",\"inventory\":1,\"inventory_id\":1}", "are the same",
         HF_FIELD_INVENTORY_ID},
        {"{\"op\":\"reserve\",\"customer\":1}", "'inventory' is missing", HF_FIELD_INVENTORY_ID},
        {"{\"op\":\"reserve\",\"inventory\":1}", "'customer' is missing", HF_FIELD_CUSTOMER_ID},
        {"{\"op\":\"hold\",\"inventory\":1,\"customer\":1}", "'ttl' is missing", HF_FIELD_TTL},
        {"{\"op\":\"reserve\",\"inventory\":1,\"customer\":1,\"ttl\":\"5m\"}",
         "'ttl' has no meaning", HF_FIELD_TTL},
        {"{\"op\":\"cancel\"}", "'id' is missing", HF_FIELD_RESERVATION_ID},
        {"{\"op\":\"cancel\",\"id\":\"x\"}", "'id' is not a UUID", HF_FIELD_RESERVATION_ID},
        {"{\"op\":\"cancel\",\"id\":7}", "'id' is not a UUID", HF_FIELD_RESERVATION_ID},
        {"{\"op\":\"cancel\",\"id\":\"00000000-0000-0000-0000-000000000000\"}", "not a UUID",
         HF_FIELD_RESERVATION_ID},
        {"{\"op\":\"change\",\"id\":\"" ID_ONE "\"}", "'qty' is missing", HF_FIELD_QTY},
        {"{\"op\":\"reserve\",\"inventory\":-1,\"customer\":1}", "'inventory' is not a number",
         HF_FIELD_INVENTORY_ID},
        {"{\"op\":\"reserve\",\"inventory\":1.0,\"customer\":1}", "'inventory' is not a number",
         HF_FIELD_INVENTORY_ID},
        {"{\"op\":\"reserve\",\"inventory\":18446744073709551615,\"customer\":1}",
         "write it as a string", HF_FIELD_NONE},
        {"{\"op\":\"reserve\",\"inventory\":1,\"customer\":1,\"qty\":0}", "'qty' is not a number",
         HF_FIELD_QTY},
        {"{\"op\":\"reserve\",\"inventory\":1,\"customer\":1,\"qty\":536870912}",
         "from 1 to 536870911", HF_FIELD_QTY},
        {"{\"op\":\"hold\",\"inventory\":1,\"customer\":1,\"ttl\":900}", "not a duration",
         HF_FIELD_TTL},
        {"{\"op\":\"hold\",\"inventory\":1,\"customer\":1,\"ttl\":\"101d\"}", "not a duration",
         HF_FIELD_TTL},
        {"{\"op\":\"reserve\",\"inventory\":1,\"customer\":1,\"not_after\":\"soon\"}", "not a date",
         HF_FIELD_TIME},
        {"{\"op\":\"reserve\",\"inventory\":1,\"customer\":1,\"override\":1}",
         "neither true nor false", HF_FIELD_FLAGS},
        {"{\"op\":\"reserve\",\"inventory\":1,\"customer\":1,\"sequence\":1}",
         "'sequence' has no meaning", HF_FIELD_VERSION},
        {"{\"op\":\"confirm\",\"id\":\"" ID_ONE "\",\"new_id\":\"" ID_TWO "\"}", "'reacquire'",
         HF_FIELD_NEW_ID},
        {"{\"op\":\"confirm\",\"id\":\"" ID_ONE "\"} x", "not JSON", HF_FIELD_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect(!parse(cases[i].text), "%s is a line", cases[i].text);
        cr_expect(strstr(line_error.text, cases[i].mentions) && line_error.field == cases[i].field,
                  "%s: '%s' is not mentioned: %s (%u)", cases[i].text, cases[i].mentions,
                  line_error.text, line_error.field);
    }
}

/* A line with bytes that are not to be shown, and a zero inside. */
Test(cli_batch_line, any_bytes_are_answered_in_one_line_that_can_be_printed)
{
    static const char bytes[] = "{\"op\":\"hold\",\0\"x\":\"\x1b[31m\xff\"}";
    cr_expect(!hf_cli_batch_line_parse(bytes, sizeof bytes - 1, NOW_NS, &line, &line_error));
    uint64_t seed = 7;
    for (unsigned round = 0; round < 20000; round++) {
        char text[64];
        size_t length = seed % sizeof text;
        for (size_t i = 0; i < length; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[i] = (char)(unsigned char)(seed >> 56);
        }
        if (round % 2 && length >= 2)
            text[0] = '{', text[1] = '"';
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        if (hf_cli_batch_line_parse(text, length, NOW_NS, &line, &line_error))
            continue;
        cr_assert(line_error.text[0] != '\0');
        for (const char *at = line_error.text; *at; at++)
            cr_assert(*at >= ' ' && *at <= '~', "%02x is shown", (unsigned char)*at);
    }
}

Test(cli_batch_line, a_line_alone_is_the_request_that_the_command_makes)
{
    struct hf_request request;
    cr_assert(parse("{\"op\":\"hold\",\"inventory\":3,\"customer\":7,\"qty\":2,\"ttl\":\"90m\","
                    "\"id\":\"" ID_ONE "\",\"expect_version\":9,\"override\":true,"
                    "\"not_after\":\"2026-02-02T02:40:00Z\"}"));
    hf_cli_batch_line_request(&line, &request);
    const struct hf_request *same =
        take("hold 3 --customer 7 --qty 2 --ttl 1h30m --id " ID_ONE
             " --expect-version 9 --override --not-after 2026-02-02T02:40:00Z");
    cr_assert(same);
    cr_expect(request.operation == same->operation && request.flags == same->flags);
    cr_expect(hf_id_equal(&request.id, &same->id) && hf_id_equal(&request.new_id, &same->new_id));
    cr_expect(request.inventory_id == same->inventory_id &&
              request.customer_id == same->customer_id && request.qty == same->qty);
    cr_expect(request.expected == same->expected && request.ttl_ns == same->ttl_ns &&
              request.not_after_ns == same->not_after_ns);
    end();
}

/* ---- files of lines --------------------------------------------------------------------- */

static struct hf_cli_batch_file file;

/* Makes a pipe with `text` in it and its end closed, and opens the batch file on it. */
static void open_pipe(const char *text, size_t bytes)
{
    int ends[2];
    cr_assert(pipe(ends) == 0);
    cr_assert(write(ends[1], text, bytes) == (ssize_t)bytes);
    close(ends[1]);
    file = (struct hf_cli_batch_file){.descriptor = ends[0], .begin = -1};
}

static void expect_line(const char *expected, uint64_t number)
{
    const char *text = NULL;
    size_t bytes = 0;
    int failure = 0;
    cr_assert(hf_cli_batch_file_await(&file, &text, &bytes, &failure) == HF_CLI_BATCH_LINE);
    cr_expect(bytes == strlen(expected) && memcmp(text, expected, bytes) == 0, "'%.*s'", (int)bytes,
              text);
    cr_expect(file.line_number == number, "line %llu", (unsigned long long)file.line_number);
}

static void expect_end(void)
{
    const char *text;
    size_t bytes;
    int failure = 0;
    cr_expect(hf_cli_batch_file_await(&file, &text, &bytes, &failure) == HF_CLI_BATCH_END);
    hf_cli_batch_file_close(&file);
}

/* Blank lines count, but are none to do; the last line needs no newline. */
Test(cli_batch_file, lines_are_cut_and_counted)
{
    static const char text[] = "one\n\n  \t\r\ntwo\r\nthree";
    open_pipe(text, sizeof text - 1);
    expect_line("one", 1);
    expect_line("two\r", 4);
    expect_line("three", 5);
    expect_end();
    open_pipe("", 0);
    expect_end();
    open_pipe("\n\n", 2);
    expect_end();
}

/* Whoever writes half a line and waits gets no half answer; the rest makes it whole. */
Test(cli_batch_file, a_line_may_come_in_pieces)
{
    int ends[2];
    const char *text;
    size_t bytes;
    cr_assert(pipe(ends) == 0);
    file = (struct hf_cli_batch_file){.descriptor = ends[0], .begin = -1};
    for (const char *byte = "one\ntwo"; *byte; byte++) {
        cr_assert(write(ends[1], byte, 1) == 1);
        cr_assert(hf_cli_batch_file_fill(&file) == 0);
        enum hf_cli_batch_next next = hf_cli_batch_file_next(&file, &text, &bytes);
        cr_expect(next == (*byte == '\n' ? HF_CLI_BATCH_LINE : HF_CLI_BATCH_FILL));
    }
    close(ends[1]);
    expect_line("two", 2);
    expect_end();
}

/* A line of the longest length is taken; one byte more, and it is skipped, with its number. */
Test(cli_batch_file, too_long_lines_are_skipped_and_told)
{
    static char text[3 * HF_CLI_LINE_BYTES];
    FILE *lines = tmpfile();
    cr_assert_not_null(lines);
    int descriptor = dup(fileno(lines)), failure = 0;
    const char *taken;
    size_t bytes;
    fclose(lines);
    cr_assert(descriptor >= 0);
    memset(text, 'x', sizeof text);
    text[HF_CLI_LINE_BYTES - 1] = '\n';
    text[2 * HF_CLI_LINE_BYTES + 5] = '\n';
    snprintf(text + sizeof text - 6, 6, "\nlast");
    cr_assert(write(descriptor, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
    file = (struct hf_cli_batch_file){.descriptor = descriptor, .begin = 0};
    cr_assert(hf_cli_batch_file_can_rewind(&file));
    for (unsigned round = 0; round < 2; round++) {
        cr_assert(hf_cli_batch_file_rewind(&file) == 0);
        cr_expect(hf_cli_batch_file_await(&file, &taken, &bytes, &failure) == HF_CLI_BATCH_LINE &&
                  bytes == HF_CLI_LINE_BYTES - 1);
        cr_expect(hf_cli_batch_file_await(&file, &taken, &bytes, &failure) ==
                      HF_CLI_BATCH_TOO_LONG &&
                  file.line_number == 2);
        cr_expect(hf_cli_batch_file_await(&file, &taken, &bytes, &failure) == HF_CLI_BATCH_LINE &&
                  file.line_number == 3);
        expect_line("last", 4);
        cr_expect(hf_cli_batch_file_await(&file, &taken, &bytes, &failure) == HF_CLI_BATCH_END);
    }
    hf_cli_batch_file_close(&file);
}

/* ---- answers ---------------------------------------------------------------------------- */

static char *shown;
static size_t shown_bytes;

static FILE *show(void)
{
    free(shown);
    shown = NULL;
    return open_memstream(&shown, &shown_bytes);
}

static struct hf_reservation a_hold(void)
{
    return (struct hf_reservation){.id = id_of(ID_ONE),
                                   .inventory_id = 3,
                                   .customer_id = 7,
                                   .lsn = 12,
                                   .made_at_ns = NOW_NS,
                                   .changed_at_ns = NOW_NS,
                                   .deadline_ns = NOW_NS + 900 * HF_NS_PER_S,
                                   .qty = 2,
                                   .sequence = 1,
                                   .state = HF_STATE_HELD};
}

Test(cli_show, a_reservation_as_json)
{
    struct hf_reservation reservation = a_hold();
    FILE *out = show();
    hf_cli_json_reservation(out, HF_GRANTED, &reservation, false);
    fclose(out);
    cr_expect_str_eq(shown, "\"result\":\"GRANTED\",\"reservation_id\":\"" ID_ONE
                            "\",\"inventory_id\":3,\"customer_id\":7,\"qty\":2,\"status\":\"HELD\","
                            "\"reservation_date\":\"2026-02-02T02:40:00.000000000Z\","
                            "\"cancellation_date\":null,\"lsn\":12,\"sequence\":1,"
                            "\"changed_date\":\"2026-02-02T02:40:00.000000000Z\","
                            "\"deadline\":\"2026-02-02T02:55:00.000000000Z\",\"linked_id\":null,"
                            "\"repeated\":false");
    reservation.state = HF_STATE_CANCELLED;
    reservation.deadline_ns = 0;
    reservation.linked_id = id_of(ID_TWO);
    out = show();
    hf_cli_json_reservation(out, HF_CANCELLED, &reservation, true);
    fclose(out);
    cr_expect(strstr(shown, "\"cancellation_date\":\"2026-02-02T02:40:00.000000000Z\"") &&
                  strstr(shown, "\"deadline\":null") &&
                  strstr(shown, "\"linked_id\":\"" ID_TWO "\"") &&
                  strstr(shown, "\"repeated\":true"),
              "%s", shown);
}

/* What an operator looks at: a lowered limit shows its deficit, what is not set says so. */
Test(cli_show, settings_as_json_and_text)
{
    struct hf_reply reply = {
        .operation = HF_OP_INVENTORY_SETTINGS,
        .result = HF_FOUND,
        .inventory = {.inventory_id = 3,
                      .capacity = 500,
                      .sell_limit = 490,
                      .available = -4,
                      .held = 10,
                      .confirmed = 484,
                      .waiting = 6,
                      .flags = HF_INVENTORY_PAUSED | HF_INVENTORY_SKIP,
                      .version = 77},
        .settings = {.sell_limit = 490,
                     .customer_limit = 4,
                     .waiting_limit = 100,
                     .opens_at_ns = NOW_NS,
                     .offer_ttl_ns = 900 * HF_NS_PER_S},
        .settings_sequence = 5,
    };
    FILE *out = show();
    hf_cli_json_settings(out, &reply);
    fclose(out);
    cr_expect(strstr(shown, "\"available\":-4,\"held\":10,\"confirmed\":484,\"version\":77,"
                            "\"sell_limit\":490,\"waiting\":6,\"deficit\":4,\"paused\":true,"
                            "\"closed\":false,\"sold_out_closed\":false,"
                            "\"close_when_sold_out\":false,\"skip\":true") &&
                  strstr(shown, "\"customer_limit\":4,\"min_qty\":null,\"max_qty\":null,"
                                "\"waiting_limit\":100,"
                                "\"opens_at\":\"2026-02-02T02:40:00.000000000Z\","
                                "\"closes_at\":null,\"cancel_until\":null,\"longest_hold\":null,"
                                "\"offer_ttl\":\"15m\",\"settings_sequence\":5}\n"),
              "%s", shown);
    out = show();
    hf_cli_text_settings(out, &reply);
    fclose(out);
    cr_expect(strstr(shown, "deficit       4 ") && strstr(shown, "sale          paused\n") &&
                  strstr(shown, "waiting       6 of at most 100, who fits passes") &&
                  strstr(shown, "a customer    4\n") && strstr(shown, "closes        never\n") &&
                  strstr(shown, "offer         15m\n"),
              "%s", shown);
}

static const char *refusal_json(const struct hf_reply *reply, const struct hf_id *id)
{
    FILE *out = show();
    hf_cli_json_refusal(out, reply, id);
    fclose(out);
    return shown;
}

/* Each kind of refusal tells the numbers that it has, and no others. */
Test(cli_show, refusals_tell_what_they_know)
{
    char text[HF_CLI_REFUSAL_BYTES];
    struct hf_id id = id_of(ID_ONE);
    struct hf_reply reply = {.result = HF_SOLD_OUT, .available = 1, .version = 9};
    hf_cli_text_refusal(&reply, text);
    cr_expect(strncmp(text, "SOLD_OUT: ", 10) == 0 && strstr(text, "(available: 1)"), "%s", text);
    cr_expect(strstr(refusal_json(&reply, &id), "\"result\":\"SOLD_OUT\",\"available\":1,") &&
                  !strstr(shown, ID_ONE),
              "%s", shown);
    reply = (struct hf_reply){.result = HF_VERSION_MISMATCH, .version = 9};
    hf_cli_text_refusal(&reply, text);
    cr_expect(strstr(text, "(version: 9)"), "%s", text);
    reply = (struct hf_reply){
        .result = HF_SEQUENCE_MISMATCH, .version = 4, .state = HF_STATE_CONFIRMED};
    hf_cli_text_refusal(&reply, text);
    cr_expect(strstr(text, "(status: CONFIRMED, sequence: 4)"), "%s", text);
    cr_expect(strstr(refusal_json(&reply, &id), "\"sequence\":4,\"status\":\"CONFIRMED\"") &&
                  !strstr(shown, "available"),
              "%s", shown);
    reply = (struct hf_reply){.result = HF_LSN_NOT_KEPT, .next_lsn = 1000};
    hf_cli_text_refusal(&reply, text);
    cr_expect(strstr(text, "(first: 1000)"), "%s", text);
    cr_expect(strstr(refusal_json(&reply, NULL), "\"first_lsn\":1000"), "%s", shown);
    reply = (struct hf_reply){.result = HF_BAD_FIELD, .field = HF_FIELD_QTY};
    hf_cli_text_refusal(&reply, text);
    cr_expect(strstr(text, "(field: qty)"), "%s", text);
    cr_expect(strstr(refusal_json(&reply, NULL), "\"field\":\"qty\""), "%s", shown);
    reply = (struct hf_reply){.result = HF_OUTCOME_UNKNOWN};
    cr_expect(strstr(refusal_json(&reply, &id), "\"reservation_id\":\"" ID_ONE "\""), "%s", shown);
}

Test(cli_show, availability_names_what_is_unknown)
{
    static const struct hf_availability_entry entries[] = {
        {.available = 5, .version = 9, .waiting = 1, .flags = HF_INVENTORY_CLOSED},
        {.flags = HF_AVAILABILITY_UNKNOWN},
    };
    static const uint64_t ids[] = {3, 4};
    struct hf_reply reply = {.result = HF_FOUND, .count = 2, .availability = entries};
    FILE *out = show();
    hf_cli_json_availability(out, &reply, ids);
    fclose(out);
    cr_expect_str_eq(shown, "{\"inventory_id\":3,\"available\":5,\"version\":9,\"waiting\":1,"
                            "\"paused\":false,\"closed\":true,\"sold_out_closed\":false,"
                            "\"close_when_sold_out\":false,\"skip\":false}\n"
                            "{\"inventory_id\":4,\"result\":\"UNKNOWN_INVENTORY\"}\n");
    out = show();
    hf_cli_text_availability(out, &reply, ids);
    fclose(out);
    cr_expect(strstr(shown, "closed\n") && strstr(shown, "unknown inventory\n"), "%s", shown);
}

Test(cli_show, exit_statuses_are_the_groups)
{
#define X(name, number, meaning)                                                                   \
    cr_expect(hf_cli_exit_of(number) == (number < 200   ? HF_CLI_YES                               \
                                         : number < 300 ? HF_CLI_NO                                \
                                         : number < 500 ? HF_CLI_BAD                               \
                                                        : HF_CLI_UNKNOWN),                         \
              #name);
    HF_RESULTS(X)
#undef X
    cr_expect(hf_cli_exit_of(999) == HF_CLI_UNKNOWN);
    cr_expect(hf_cli_worse(HF_CLI_NO, HF_CLI_UNKNOWN) == HF_CLI_UNKNOWN);
    cr_expect(hf_cli_worse(HF_CLI_BAD, HF_CLI_NO) == HF_CLI_BAD);
    cr_expect(hf_cli_worse(HF_CLI_YES, HF_CLI_NO) == HF_CLI_NO);
}
