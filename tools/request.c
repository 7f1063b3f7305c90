/* Command lines into requests. See request.h. */
#include "tools/request.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/show.h"
#include "tools/values.h"

#define WAITING_TIMEOUT_MS 1000

/* ---- values of options ------------------------------------------------------------------ */

/* An impossible value of a field is the answer that the server would give. */
static bool bad_value(const struct hf_cli_session *session, enum hf_field field)
{
    struct hf_reply reply = {
        .operation = session->command->operation, .result = HF_BAD_FIELD, .field = field};
    struct hf_cli_session told = *session;
    if (session->json && field != HF_FIELD_NONE) {
        told.reply = reply;
        hf_cli_show_no(&told);
    }
    return false;
}

static const char *value_of(const struct hf_cli_session *session, enum hf_cli_option option)
{
    return hf_cli_arguments_value(&session->arguments, option);
}

static bool have(const struct hf_cli_session *session, enum hf_cli_option option)
{
    return hf_cli_arguments_have(&session->arguments, option);
}

static bool take_number(const struct hf_cli_session *session, const char *name, enum hf_field field,
                        const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char shown[HF_CLI_SHOWN_BYTES];
    uint64_t value;
    if (hf_cli_number_parse(text, &value) && value >= least && value <= most) {
        *number = value;
        return true;
    }
    hf_cli_complain("%s '%s' is not a number from %" PRIu64 " to %" PRIu64, name,
                    hf_cli_shown(text, shown), least, most);
    return bad_value(session, field);
}

/* An option's number, if it was given; otherwise *number stays. */
static bool take_option(const struct hf_cli_session *session, enum hf_cli_option option,
                        enum hf_field field, uint64_t least, uint64_t most, uint64_t *number)
{
    const char *text = value_of(session, option);
    return text == NULL ||
           take_number(session, hf_cli_option_text(option), field, text, least, most, number);
}

static bool take_option_u32(const struct hf_cli_session *session, enum hf_cli_option option,
                            enum hf_field field, uint32_t least, uint32_t most, uint32_t *number)
{
    uint64_t value = *number;
    if (!take_option(session, option, field, least, most, &value))
        return false;
    *number = (uint32_t)value;
    return true;
}

static bool take_id(const struct hf_cli_session *session, const char *name, enum hf_field field,
                    const char *text, struct hf_id *id)
{
    char shown[HF_CLI_SHOWN_BYTES];
    if (hf_id_parse(text, id) && !hf_id_is_zero(id))
        return true;
    hf_cli_complain("%s '%s' is not a UUID (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, not all zero)",
                    name, hf_cli_shown(text, shown));
    return bad_value(session, field);
}

/* 1 ns .. HF_MAX_TTL_NS. */
static bool take_duration(const struct hf_cli_session *session, enum hf_cli_option option,
                          enum hf_field field, uint64_t *duration_ns)
{
    char shown[HF_CLI_SHOWN_BYTES], most[HF_DURATION_TEXT_BYTES];
    const char *text = value_of(session, option);
    uint64_t value_ns;
    if (text == NULL)
        return true;
    if (hf_duration_parse(text, &value_ns) && value_ns >= 1 && value_ns <= HF_MAX_TTL_NS) {
        *duration_ns = value_ns;
        return true;
    }
    hf_duration_format(HF_MAX_TTL_NS, most);
    hf_cli_complain("%s '%s' is not a duration (200ms, 15m, 1h30m, 24h) of up to %s",
                    hf_cli_option_text(option), hf_cli_shown(text, shown), most);
    return bad_value(session, field);
}

static bool take_date(struct hf_cli_session *session, enum hf_cli_option option,
                      enum hf_field field, uint64_t *date_ns)
{
    char shown[HF_CLI_SHOWN_BYTES];
    const char *text = value_of(session, option);
    if (text == NULL)
        return true;
    if (hf_cli_date_parse(text, hf_cli_now_ns(session), date_ns)) {
        session->clock_needed |= hf_cli_date_is_relative(text);
        return true;
    }
    hf_cli_complain("%s '%s' is not a date (2026-05-01T10:00:00Z, ...T12:00:00+02:00, now+15m)",
                    hf_cli_option_text(option), hf_cli_shown(text, shown));
    return bad_value(session, field);
}

/* True if the option was given as "none": whatever it limits is not limited. */
static bool is_none(const struct hf_cli_session *session, enum hf_cli_option option)
{
    const char *text = value_of(session, option);
    return text != NULL && strcmp(text, "none") == 0;
}

static bool take_flag(struct hf_cli_session *session, enum hf_cli_option option, uint16_t flag)
{
    if (have(session, option))
        session->request.flags |= flag;
    return true;
}

bool hf_cli_take_timeout(struct hf_cli_session *session)
{
    return take_option_u32(session, HF_CLI_TIMEOUT, HF_FIELD_NONE, 1, UINT32_MAX,
                           &session->timeout_ms);
}

bool hf_cli_take_count(const struct hf_cli_session *session, enum hf_cli_option option,
                       uint64_t *count)
{
    *count = UINT64_MAX;
    return take_option(session, option, HF_FIELD_LIMIT, 1, UINT64_MAX, count);
}

/* ---- operands --------------------------------------------------------------------------- */

static void begin(struct hf_cli_session *session)
{
    session->request = (struct hf_request){.operation = session->command->operation};
    session->clock_needed = false;
}

static bool take_inventory_operand(struct hf_cli_session *session)
{
    return take_number(session, "inventory id", HF_FIELD_INVENTORY_ID, hf_cli_operand(session), 0,
                       UINT64_MAX, &session->request.inventory_id);
}

/* Room for `count` ids of inventories or customers, that the request points to. */
static bool make_ids(struct hf_cli_session *session, const char *name, size_t least, size_t most,
                     size_t count)
{
    if (count < least || count > most) {
        hf_cli_complain("%zu %s are more than the %zu that can be asked for at once", count, name,
                        most);
        return bad_value(session, HF_FIELD_COUNT);
    }
    free(session->ids);
    session->ids = calloc(count + 1, sizeof *session->ids);
    if (session->ids == NULL) {
        hf_cli_complain("out of memory");
        return false;
    }
    session->request.ids = session->ids;
    session->request.count = 0;
    return true;
}

static bool add_id(struct hf_cli_session *session, const char *name, enum hf_field field,
                   const char *text)
{
    return take_number(session, name, field, text, 0, UINT64_MAX,
                       &session->ids[session->request.count++]);
}

/* ---- kinds of requests ------------------------------------------------------------------ */

bool hf_cli_take_nothing(struct hf_cli_session *session)
{
    begin(session);
    return true;
}

/* Who waits wants to look often: no single look takes as long as it might else. */
bool hf_cli_take_wait(struct hf_cli_session *session)
{
    begin(session);
    if (!take_duration(session, HF_CLI_WAIT, HF_FIELD_NONE, &session->wait_ns))
        return false;
    if (have(session, HF_CLI_WAIT) && !have(session, HF_CLI_TIMEOUT))
        session->timeout_ms = WAITING_TIMEOUT_MS;
    return true;
}

bool hf_cli_take_inventory(struct hf_cli_session *session)
{
    begin(session);
    return take_inventory_operand(session) &&
           take_option_u32(session, HF_CLI_CAPACITY, HF_FIELD_CAPACITY, 1, HF_MAX_UNITS,
                           &session->request.capacity) &&
           take_option(session, HF_CLI_PRODUCT, HF_FIELD_PRODUCT_ID, 0, UINT64_MAX,
                       &session->request.product_id);
}

bool hf_cli_take_inventories(struct hf_cli_session *session)
{
    size_t count;
    begin(session);
    const char *const *words = hf_cli_operands(session, &count);
    if (!make_ids(session, "inventories", 1, HF_MAX_LIST_ENTRIES, count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!add_id(session, "inventory id", HF_FIELD_INVENTORY_ID, words[i]))
            return false;
    }
    return true;
}

static bool take_expected_version(struct hf_cli_session *session)
{
    return take_flag(session, HF_CLI_EXPECT_VERSION, HF_REQUEST_EXPECT_VERSION) &&
           take_option_u32(session, HF_CLI_EXPECT_VERSION, HF_FIELD_VERSION, 0, UINT32_MAX,
                           &session->request.expected);
}

bool hf_cli_take_claim(struct hf_cli_session *session)
{
    struct hf_request *request = &session->request;
    const char *id = value_of(session, HF_CLI_ID);
    begin(session);
    request->qty = 1;
    if (!take_inventory_operand(session) ||
        !take_option(session, HF_CLI_CUSTOMER, HF_FIELD_CUSTOMER_ID, 0, UINT64_MAX,
                     &request->customer_id) ||
        !take_option_u32(session, HF_CLI_QTY, HF_FIELD_QTY, 1, HF_MAX_UNITS, &request->qty) ||
        !take_duration(session, HF_CLI_TTL, HF_FIELD_TTL, &request->ttl_ns) ||
        !take_date(session, HF_CLI_NOT_AFTER, HF_FIELD_TIME, &request->not_after_ns) ||
        !take_flag(session, HF_CLI_OVERRIDE, HF_REQUEST_OVERRIDE) ||
        !take_expected_version(session))
        return false;
    if (id != NULL)
        return take_id(session, "--id", HF_FIELD_RESERVATION_ID, id, &request->id);
    hf_id_make(&request->id);
    session->id_made = true;
    return true;
}

static bool take_reacquire(struct hf_cli_session *session)
{
    const char *new_id = value_of(session, HF_CLI_NEW_ID);
    take_flag(session, HF_CLI_REACQUIRE, HF_REQUEST_REACQUIRE);
    if (new_id == NULL)
        return true;
    if (have(session, HF_CLI_REACQUIRE))
        return take_id(session, "--new-id", HF_FIELD_NEW_ID, new_id, &session->request.new_id);
    hf_cli_complain("--new-id has a meaning with --reacquire only");
    return bad_value(session, HF_FIELD_NEW_ID);
}

bool hf_cli_take_change(struct hf_cli_session *session)
{
    struct hf_request *request = &session->request;
    /* A quantity of 0 means all to CONFIRM, which is what it does when none is given. */
    uint32_t least_qty = session->command->operation == HF_OP_CHANGE ? 0 : 1;
    begin(session);
    return take_id(session, "reservation id", HF_FIELD_RESERVATION_ID, hf_cli_operand(session),
                   &request->id) &&
           take_option_u32(session, HF_CLI_QTY, HF_FIELD_QTY, least_qty, HF_MAX_UNITS,
                           &request->qty) &&
           take_option(session, HF_CLI_CUSTOMER, HF_FIELD_CUSTOMER_ID, 0, UINT64_MAX,
                       &request->customer_id) &&
           take_duration(session, HF_CLI_TTL, HF_FIELD_TTL, &request->ttl_ns) &&
           take_option_u32(session, HF_CLI_SEQUENCE, HF_FIELD_VERSION, 1, UINT32_MAX,
                           &request->expected) &&
           take_flag(session, HF_CLI_OVERRIDE, HF_REQUEST_OVERRIDE) && take_reacquire(session);
}

/* ---- settings --------------------------------------------------------------------------- */

/* What a limit that does not limit is called, and what stands for it. */
static bool take_limit(struct hf_cli_session *session, enum hf_cli_option option,
                       enum hf_field field, uint32_t least, uint32_t bit, uint32_t *limit)
{
    if (!have(session, option))
        return true;
    session->request.change.fields |= bit;
    *limit = 0;
    return is_none(session, option) ||
           take_option_u32(session, option, field, least, HF_MAX_UNITS, limit);
}

static bool take_bound_date(struct hf_cli_session *session, enum hf_cli_option option,
                            enum hf_field field, uint32_t bit, uint64_t *date_ns)
{
    if (!have(session, option))
        return true;
    session->request.change.fields |= bit;
    *date_ns = 0;
    return is_none(session, option) || take_date(session, option, field, date_ns);
}

static bool take_switch(struct hf_cli_session *session, enum hf_cli_option option, uint32_t flag)
{
    struct hf_settings_change *change = &session->request.change;
    char shown[HF_CLI_SHOWN_BYTES];
    const char *text = value_of(session, option);
    bool on;
    if (text == NULL)
        return true;
    if (!hf_cli_switch_parse(text, &on)) {
        hf_cli_complain("%s '%s' is neither on nor off", hf_cli_option_text(option),
                        hf_cli_shown(text, shown));
        return bad_value(session, HF_FIELD_FLAGS);
    }
    change->fields |= HF_SET_FLAGS;
    change->flags_mask |= flag;
    change->settings.flags |= on ? flag : 0;
    return true;
}

static bool take_units(struct hf_cli_session *session)
{
    struct hf_settings_change *change = &session->request.change;
    struct hf_settings *settings = &change->settings;
    if (have(session, HF_CLI_SELL_LIMIT))
        change->fields |= HF_SET_SELL_LIMIT;
    if (have(session, HF_CLI_CAPACITY))
        change->fields |= HF_SET_CAPACITY;
    return take_option_u32(session, HF_CLI_SELL_LIMIT, HF_FIELD_SELL_LIMIT, 0, HF_MAX_UNITS,
                           &settings->sell_limit) &&
           take_option_u32(session, HF_CLI_CAPACITY, HF_FIELD_CAPACITY, 1, HF_MAX_UNITS,
                           &change->capacity) &&
           take_limit(session, HF_CLI_CUSTOMER_LIMIT, HF_FIELD_CUSTOMER_LIMIT, 1,
                      HF_SET_CUSTOMER_LIMIT, &settings->customer_limit) &&
           take_limit(session, HF_CLI_MIN_QTY, HF_FIELD_MIN_QTY, 1, HF_SET_MIN_QTY,
                      &settings->min_qty) &&
           take_limit(session, HF_CLI_MAX_QTY, HF_FIELD_MAX_QTY, 1, HF_SET_MAX_QTY,
                      &settings->max_qty) &&
           take_limit(session, HF_CLI_WAITING_LIMIT, HF_FIELD_WAITING_LIMIT, 0,
                      HF_SET_WAITING_LIMIT, &settings->waiting_limit);
}

static bool take_times(struct hf_cli_session *session)
{
    struct hf_settings_change *change = &session->request.change;
    struct hf_settings *settings = &change->settings;
    if (have(session, HF_CLI_LONGEST_HOLD))
        change->fields |= HF_SET_LONGEST_HOLD;
    if (have(session, HF_CLI_OFFER_TTL))
        change->fields |= HF_SET_OFFER_TTL;
    return take_bound_date(session, HF_CLI_OPENS_AT, HF_FIELD_WINDOW, HF_SET_OPENS_AT,
                           &settings->opens_at_ns) &&
           take_bound_date(session, HF_CLI_CLOSES_AT, HF_FIELD_WINDOW, HF_SET_CLOSES_AT,
                           &settings->closes_at_ns) &&
           take_bound_date(session, HF_CLI_CANCEL_UNTIL, HF_FIELD_TIME, HF_SET_CANCEL_UNTIL,
                           &settings->cancel_until_ns) &&
           (is_none(session, HF_CLI_LONGEST_HOLD) ||
            take_duration(session, HF_CLI_LONGEST_HOLD, HF_FIELD_LONGEST_HOLD,
                          &settings->longest_hold_ns)) &&
           take_duration(session, HF_CLI_OFFER_TTL, HF_FIELD_OFFER_TTL, &settings->offer_ttl_ns);
}

bool hf_cli_take_settings(struct hf_cli_session *session)
{
    begin(session);
    if (!take_inventory_operand(session) || !take_units(session) || !take_times(session) ||
        !take_switch(session, HF_CLI_CLOSE_WHEN_SOLD_OUT, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) ||
        !take_switch(session, HF_CLI_SKIP, HF_INVENTORY_SKIP) ||
        !take_flag(session, HF_CLI_STRICT, HF_REQUEST_STRICT) || !take_expected_version(session))
        return false;
    if (session->request.change.fields != 0)
        return true;
    hf_cli_complain("nothing is set: see holdfast inventory set --help");
    return bad_value(session, HF_FIELD_SETTINGS);
}

bool hf_cli_take_sale(struct hf_cli_session *session)
{
    static const struct {
        const char *word;
        uint32_t mask, flags, fields;
    } sales[] = {
        {"pause", HF_INVENTORY_PAUSED, HF_INVENTORY_PAUSED, HF_SET_FLAGS},
        {"close", HF_INVENTORY_CLOSED, HF_INVENTORY_CLOSED, HF_SET_FLAGS},
        {"open", HF_INVENTORY_CLOSED, 0, HF_SET_FLAGS | HF_SET_REOPEN},
        {"resume", HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED, 0, HF_SET_FLAGS | HF_SET_REOPEN},
    };
    struct hf_settings_change *change = &session->request.change;
    begin(session);
    for (size_t i = 0; i < sizeof sales / sizeof sales[0]; i++) {
        if (strcmp(sales[i].word, session->command->words[1]) != 0)
            continue;
        change->fields = sales[i].fields;
        change->flags_mask = sales[i].mask;
        change->settings.flags = sales[i].flags;
    }
    return take_inventory_operand(session) && take_expected_version(session);
}

/* ---- reading ---------------------------------------------------------------------------- */

static bool take_states(struct hf_cli_session *session)
{
    char shown[HF_CLI_SHOWN_BYTES];
    const char *text = value_of(session, HF_CLI_STATUS);
    if (text == NULL || hf_cli_states_parse(text, &session->request.filter.states))
        return true;
    hf_cli_complain("--status '%s' is not a list of held, confirmed, cancelled, released, expired, "
                    "waiting",
                    hf_cli_shown(text, shown));
    return bad_value(session, HF_FIELD_STATE);
}

bool hf_cli_take_list(struct hf_cli_session *session)
{
    struct hf_reservation_filter *filter = &session->request.filter;
    uint64_t limit;
    begin(session);
    if (have(session, HF_CLI_INVENTORY))
        filter->filters |= HF_FILTER_INVENTORY;
    if (have(session, HF_CLI_CUSTOMER))
        filter->filters |= HF_FILTER_CUSTOMER;
    return take_option(session, HF_CLI_INVENTORY, HF_FIELD_INVENTORY_ID, 0, UINT64_MAX,
                       &filter->inventory_id) &&
           take_option(session, HF_CLI_CUSTOMER, HF_FIELD_CUSTOMER_ID, 0, UINT64_MAX,
                       &filter->customer_id) &&
           take_states(session) &&
           take_date(session, HF_CLI_SINCE, HF_FIELD_TIME, &filter->made_from_ns) &&
           take_date(session, HF_CLI_UNTIL, HF_FIELD_TIME, &filter->made_before_ns) &&
           hf_cli_take_count(session, HF_CLI_LIMIT, &limit);
}

bool hf_cli_take_batch(struct hf_cli_session *session)
{
    begin(session);
    return take_date(session, HF_CLI_NOT_AFTER, HF_FIELD_TIME, &session->request.not_after_ns);
}

bool hf_cli_take_watch(struct hf_cli_session *session)
{
    const struct hf_cli_arguments *arguments = &session->arguments;
    struct hf_request *request = &session->request;
    size_t inventories = hf_cli_arguments_count(arguments, HF_CLI_INVENTORY);
    size_t customers = hf_cli_arguments_count(arguments, HF_CLI_CUSTOMER);
    uint64_t count;
    begin(session);
    if (inventories > 0 && customers > 0) {
        hf_cli_complain("either inventories or customers can be watched, not both");
        return bad_value(session, HF_FIELD_KIND);
    }
    if (!make_ids(session, inventories > 0 ? "inventories" : "customers", 0, HF_MAX_WATCH_IDS,
                  inventories + customers))
        return false;
    request->kind = inventories > 0 ? HF_WATCH_INVENTORIES
                    : customers > 0 ? HF_WATCH_CUSTOMERS
                                    : HF_WATCH_ALL;
    for (size_t i = 0; i < arguments->given_count; i++) {
        const struct hf_cli_given *given = &arguments->given[i];
        if (given->option == HF_CLI_INVENTORY &&
            !add_id(session, "--inventory", HF_FIELD_INVENTORY_ID, given->value))
            return false;
        if (given->option == HF_CLI_CUSTOMER &&
            !add_id(session, "--customer", HF_FIELD_CUSTOMER_ID, given->value))
            return false;
    }
    return take_option(session, HF_CLI_FROM, HF_FIELD_CURSOR, 1, UINT64_MAX, &request->from_lsn) &&
           hf_cli_take_count(session, HF_CLI_COUNT, &count);
}
