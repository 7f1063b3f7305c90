/*
 * JSON objects into lines of a batch. See batch_line.h.
 *
 * Two tables say it all: which members there are, and which of them each op takes and needs. A
 * member is looked up, held against the op, and only then its value is judged, so that the first
 * complaint is about what is most wrong.
 */
#include "tools/batch_line.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/values.h"

/* X(member, name, other name, the field of the protocol) */
#define MEMBERS(X)                                                                                 \
    X(OP, "op", "operation", OPERATION)                                                            \
    X(INVENTORY, "inventory", "inventory_id", INVENTORY_ID)                                        \
    X(CUSTOMER, "customer", "customer_id", CUSTOMER_ID)                                            \
    X(QTY, "qty", NULL, QTY)                                                                       \
    X(TTL, "ttl", NULL, TTL)                                                                       \
    X(ID, "id", "reservation_id", RESERVATION_ID)                                                  \
    X(NEW_ID, "new_id", NULL, NEW_ID)                                                              \
    X(EXPECT_VERSION, "expect_version", NULL, VERSION)                                             \
    X(SEQUENCE, "sequence", NULL, VERSION)                                                         \
    X(NOT_AFTER, "not_after", NULL, TIME)                                                          \
    X(OVERRIDE, "override", NULL, FLAGS)                                                           \
    X(REACQUIRE, "reacquire", NULL, FLAGS)

enum member {
#define X(member, name, other, field) MEMBER_##member,
    MEMBERS(X)
#undef X
        MEMBER_COUNT,
};
#define BIT(member) (1u << MEMBER_##member)

static const struct {
    const char *name, *other;
    enum hf_field field;
} members[MEMBER_COUNT] = {
#define X(member, name, other, field) {name, other, HF_FIELD_##field},
    MEMBERS(X)
#undef X
};

#define CLAIM                                                                                      \
    (BIT(INVENTORY) | BIT(CUSTOMER) | BIT(QTY) | BIT(ID) | BIT(EXPECT_VERSION) | BIT(NOT_AFTER) |  \
     BIT(OVERRIDE))
#define CLAIM_NEEDS (BIT(INVENTORY) | BIT(CUSTOMER))
#define CHANGE      (BIT(ID) | BIT(SEQUENCE))

static const struct op {
    const char *name;
    enum hf_operation operation;
    unsigned takes, needs; /* beside the op itself */
} ops[] = {
    {"reserve", HF_OP_RESERVE, CLAIM, CLAIM_NEEDS},
    {"hold", HF_OP_HOLD, CLAIM | BIT(TTL), CLAIM_NEEDS | BIT(TTL)},
    {"join", HF_OP_JOIN, CLAIM, CLAIM_NEEDS},
    {"confirm", HF_OP_CONFIRM, CHANGE | BIT(QTY) | BIT(REACQUIRE) | BIT(NEW_ID) | BIT(OVERRIDE),
     BIT(ID)},
    {"release", HF_OP_RELEASE, CHANGE, BIT(ID)},
    {"cancel", HF_OP_CANCEL, CHANGE, BIT(ID)},
    {"extend", HF_OP_EXTEND, CHANGE | BIT(TTL), BIT(ID) | BIT(TTL)},
    {"change", HF_OP_CHANGE, CHANGE | BIT(QTY) | BIT(OVERRIDE), BIT(ID) | BIT(QTY)},
    {"move", HF_OP_MOVE, CHANGE | BIT(CUSTOMER) | BIT(OVERRIDE), BIT(ID) | BIT(CUSTOMER)},
    {"leave", HF_OP_LEAVE, CHANGE, BIT(ID)},
};
#define OP_COUNT (sizeof ops / sizeof ops[0])

/* A line that is being read. */
struct reading {
    const json_t *values[MEMBER_COUNT]; /* NULL: not there */
    uint64_t now_ns;
    struct hf_cli_batch_line *line;
    struct hf_cli_batch_error *error;
};

__attribute__((format(printf, 3, 4))) static bool
refuse(struct hf_cli_batch_error *error, enum hf_field field, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    for (char *text = error->text; *text != '\0'; text++) { /* jansson shows the line's own bytes */
        if (*text < ' ' || *text > '~')
            *text = '?';
    }
    error->field = field;
    return false;
}

static bool refuse_unknown(struct hf_cli_batch_error *error, enum hf_field field, const char *kind,
                           const struct hf_cli_guess *guess)
{
    char shown[HF_CLI_SHOWN_BYTES];
    hf_cli_shown(guess->typed, shown);
    if (guess->closest == NULL)
        return refuse(error, field, "unknown %s '%s'", kind, shown);
    return refuse(error, field, "unknown %s '%s'; did you mean '%s'?", kind, shown, guess->closest);
}

/* ---- members ---------------------------------------------------------------------------- */

static bool is_name(const char *name, const char *text)
{
    return name != NULL && strcmp(name, text) == 0;
}

static enum member find_member(const char *text)
{
    unsigned i = 0;
    while (i < MEMBER_COUNT && !is_name(members[i].name, text) && !is_name(members[i].other, text))
        i++;
    return (enum member)i;
}

static bool refuse_member(struct hf_cli_batch_error *error, const char *text)
{
    struct hf_cli_guess guess = hf_cli_guess_begin(text);
    for (unsigned i = 0; i < MEMBER_COUNT; i++)
        hf_cli_guess_weigh(&guess, members[i].name);
    return refuse_unknown(error, HF_FIELD_NONE, "member", &guess);
}

static bool sort_members(struct reading *reading, const json_t *object)
{
    /* Iterators of jansson want an object that is not const, but leave it alone. */
    json_t *iterated = (json_t *)(uintptr_t)object;
    for (void *at = json_object_iter(iterated); at != NULL;
         at = json_object_iter_next(iterated, at)) {
        const char *name = json_object_iter_key(at);
        const json_t *value = json_object_iter_value(at);
        enum member member = find_member(name);
        if (member == MEMBER_COUNT)
            return refuse_member(reading->error, name);
        if (json_is_null(value))
            continue;
        if (reading->values[member] != NULL)
            return refuse(reading->error, members[member].field, "'%s' and '%s' are the same",
                          members[member].name, members[member].other);
        reading->values[member] = value;
    }
    return true;
}

/* ---- the op ----------------------------------------------------------------------------- */

static bool refuse_op(struct hf_cli_batch_error *error, const char *text)
{
    struct hf_cli_guess guess = hf_cli_guess_begin(text);
    for (size_t i = 0; i < OP_COUNT; i++)
        hf_cli_guess_weigh(&guess, ops[i].name);
    return refuse_unknown(error, HF_FIELD_OPERATION, "op", &guess);
}

/* NULL: refused. */
static const struct op *take_op(const struct reading *reading)
{
    const json_t *value = reading->values[MEMBER_OP];
    if (!json_is_string(value)) {
        refuse(reading->error, HF_FIELD_OPERATION, "'op' is %s",
               value == NULL ? "missing" : "not a string");
        return NULL;
    }
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (strcmp(json_string_value(value), ops[i].name) == 0)
            return &ops[i];
    }
    refuse_op(reading->error, json_string_value(value));
    return NULL;
}

static bool check_members(const struct reading *reading, const struct op *op)
{
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        bool there = reading->values[i] != NULL;
        if (there && ((op->takes | BIT(OP)) & 1u << i) == 0)
            return refuse(reading->error, members[i].field, "'%s' has no meaning with op '%s'",
                          members[i].name, op->name);
        if (!there && (op->needs & 1u << i) != 0)
            return refuse(reading->error, members[i].field, "'%s' is missing: op '%s' needs it",
                          members[i].name, op->name);
    }
    return true;
}

/* ---- values ----------------------------------------------------------------------------- */

static bool take_number(const struct reading *reading, enum member member, uint64_t least,
                        uint64_t most, uint64_t *number)
{
    const json_t *value = reading->values[member];
    uint64_t read = 0;
    bool good = false;
    if (value == NULL)
        return true;
    if (json_is_string(value)) {
        good = hf_cli_number_parse(json_string_value(value), &read);
    } else if (json_is_integer(value) && json_integer_value(value) >= 0) {
        read = (uint64_t)json_integer_value(value);
        good = true;
    }
    if (!good || read < least || read > most)
        return refuse(reading->error, members[member].field,
                      "'%s' is not a number from %" PRIu64 " to %" PRIu64, members[member].name,
                      least, most);
    *number = read;
    return true;
}

static bool take_u32(const struct reading *reading, enum member member, uint32_t least,
                     uint32_t most, uint32_t *number)
{
    uint64_t value = *number;
    if (!take_number(reading, member, least, most, &value))
        return false;
    *number = (uint32_t)value;
    return true;
}

/* The text of a member that must be a string. NULL: it is none. */
static const char *text_of(const struct reading *reading, enum member member)
{
    return json_string_value(reading->values[member]);
}

static bool take_id(const struct reading *reading, enum member member, struct hf_id *id)
{
    const char *text = text_of(reading, member);
    if (reading->values[member] == NULL)
        return true;
    if (text != NULL && hf_id_parse(text, id) && !hf_id_is_zero(id))
        return true;
    return refuse(reading->error, members[member].field, "'%s' is not a UUID",
                  members[member].name);
}

static bool take_ttl(const struct reading *reading)
{
    const char *text = text_of(reading, MEMBER_TTL);
    uint64_t value_ns;
    if (reading->values[MEMBER_TTL] == NULL)
        return true;
    if (text == NULL || !hf_duration_parse(text, &value_ns) || value_ns == 0 ||
        value_ns > HF_MAX_TTL_NS)
        return refuse(reading->error, HF_FIELD_TTL,
                      "'ttl' is not a duration such as \"15m\" of up to 100d");
    reading->line->line.ttl_ns = value_ns;
    return true;
}

static bool take_not_after(const struct reading *reading)
{
    const char *text = text_of(reading, MEMBER_NOT_AFTER);
    if (reading->values[MEMBER_NOT_AFTER] == NULL)
        return true;
    if (text == NULL || !hf_cli_date_parse(text, reading->now_ns, &reading->line->not_after_ns))
        return refuse(reading->error, HF_FIELD_TIME,
                      "'not_after' is not a date such as \"2026-05-01T10:00:00Z\" or \"now+2s\"");
    reading->line->clock_needed = hf_cli_date_is_relative(text);
    return true;
}

static bool take_flag(const struct reading *reading, enum member member, uint16_t flag)
{
    const json_t *value = reading->values[member];
    if (value == NULL)
        return true;
    if (!json_is_boolean(value))
        return refuse(reading->error, HF_FIELD_FLAGS, "'%s' is neither true nor false",
                      members[member].name);
    if (json_is_true(value))
        reading->line->line.flags |= flag;
    return true;
}

/* A line is guarded by a version or by a sequence, as its op is a claim or a change. */
static bool take_guard(const struct reading *reading)
{
    struct hf_line *line = &reading->line->line;
    if (reading->values[MEMBER_EXPECT_VERSION] != NULL)
        line->flags |= HF_REQUEST_EXPECT_VERSION;
    return take_u32(reading, MEMBER_EXPECT_VERSION, 0, UINT32_MAX, &line->expected) &&
           take_u32(reading, MEMBER_SEQUENCE, 1, UINT32_MAX, &line->expected);
}

static bool take_values(const struct reading *reading, const struct op *op)
{
    struct hf_line *line = &reading->line->line;
    bool claims = (op->takes & BIT(INVENTORY)) != 0;
    line->operation = op->operation;
    if (claims)
        line->qty = 1;
    if (!take_number(reading, MEMBER_INVENTORY, 0, UINT64_MAX, &line->inventory_id) ||
        !take_number(reading, MEMBER_CUSTOMER, 0, UINT64_MAX, &line->customer_id) ||
        !take_u32(reading, MEMBER_QTY, op->operation == HF_OP_CHANGE ? 0 : 1, HF_MAX_UNITS,
                  &line->qty) ||
        !take_ttl(reading) || !take_id(reading, MEMBER_ID, &line->id) ||
        !take_id(reading, MEMBER_NEW_ID, &line->new_id) || !take_guard(reading) ||
        !take_not_after(reading) || !take_flag(reading, MEMBER_OVERRIDE, HF_REQUEST_OVERRIDE) ||
        !take_flag(reading, MEMBER_REACQUIRE, HF_REQUEST_REACQUIRE))
        return false;
    if (reading->values[MEMBER_NEW_ID] != NULL && (line->flags & HF_REQUEST_REACQUIRE) == 0)
        return refuse(reading->error, HF_FIELD_NEW_ID, "'new_id' has a meaning with 'reacquire'");
    if (claims && hf_id_is_zero(&line->id)) {
        hf_id_make(&line->id);
        reading->line->id_made = true;
    }
    return true;
}

/* ---- a line ----------------------------------------------------------------------------- */

static bool read_object(struct reading *reading, const json_t *object)
{
    if (!json_is_object(object))
        return refuse(reading->error, HF_FIELD_NONE, "not a JSON object");
    if (!sort_members(reading, object))
        return false;
    const struct op *op = take_op(reading);
    return op != NULL && check_members(reading, op) && take_values(reading, op);
}

bool hf_cli_batch_line_parse(const char *text, size_t bytes, uint64_t now_ns,
                             struct hf_cli_batch_line *line, struct hf_cli_batch_error *error)
{
    json_error_t why;
    struct reading reading = {.now_ns = now_ns, .line = line, .error = error};
    *line = (struct hf_cli_batch_line){0};
    *error = (struct hf_cli_batch_error){0};
    json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    if (object == NULL && json_error_code(&why) == json_error_numeric_overflow)
        return refuse(error, HF_FIELD_NONE, "a number is too big for JSON: write it as a string");
    if (object == NULL)
        return refuse(error, HF_FIELD_NONE, "not JSON: %s, column %d", why.text, why.column);
    bool good = read_object(&reading, object);
    json_decref(object);
    return good;
}

const char *hf_cli_batch_op_name(enum hf_operation operation)
{
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (ops[i].operation == operation)
            return ops[i].name;
    }
    return "?";
}

void hf_cli_batch_line_request(const struct hf_cli_batch_line *line, struct hf_request *request)
{
    *request = (struct hf_request){
        .operation = line->line.operation,
        .flags = line->line.flags,
        .id = line->line.id,
        .inventory_id = line->line.inventory_id,
        .customer_id = line->line.customer_id,
        .qty = line->line.qty,
        .expected = line->line.expected,
        .ttl_ns = line->line.ttl_ns,
        .not_after_ns = line->not_after_ns,
        .new_id = line->line.new_id,
    };
}
