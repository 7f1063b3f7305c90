/*
 * Requests: see request.h.
 *
 * What the operations have in common (a quantity, a duration, an id that must be named) is checked
 * by functions that take those fields by address: a request of one operation leaves the fields of
 * the others as they happen to be in memory, so they must not even be read.
 */
#include "engine/request.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

#define SETTABLE_FLAGS                                                                             \
    (HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED | HF_INVENTORY_CLOSE_WHEN_SOLD_OUT |                \
     HF_INVENTORY_SKIP)
#define KNOWN_FILTERS (HF_FILTER_INVENTORY | HF_FILTER_CUSTOMER)
#define KNOWN_STATES                                                                               \
    (1u << HF_STATE_HELD | 1u << HF_STATE_CONFIRMED | 1u << HF_STATE_CANCELLED |                   \
     1u << HF_STATE_RELEASED | 1u << HF_STATE_EXPIRED | 1u << HF_STATE_WAITING)

#define CLAIM_FLAGS (HF_REQUEST_EXPECT_VERSION | HF_REQUEST_OVERRIDE)

static const uint8_t known_flags[] = {
    [HF_OP_RESERVE] = CLAIM_FLAGS,
    [HF_OP_HOLD] = CLAIM_FLAGS,
    [HF_OP_JOIN] = CLAIM_FLAGS,
    [HF_OP_CONFIRM] = HF_REQUEST_OVERRIDE | HF_REQUEST_REACQUIRE,
    [HF_OP_CHANGE] = HF_REQUEST_OVERRIDE,
    [HF_OP_MOVE] = HF_REQUEST_OVERRIDE,
    [HF_OP_INVENTORY_SET] = HF_REQUEST_EXPECT_VERSION | HF_REQUEST_STRICT,
};

/* The flags (HF_REQUEST_*) that this operation knows. */
static unsigned flags_of(unsigned operation)
{
    return operation < sizeof known_flags ? known_flags[operation] : 0;
}

/* ---- one field -------------------------------------------------------------------------- */

static inline bool possible_units(uint32_t units)
{
    return units != 0 && units <= HF_MAX_UNITS;
}

static inline bool possible_ttl(uint64_t ttl_ns)
{
    return ttl_ns != 0 && ttl_ns <= HF_MAX_TTL_NS;
}

static inline bool in_range(uint32_t number, uint32_t least, uint32_t most)
{
    return number >= least && number <= most;
}

/* ---- one operation on one reservation, as a request of its own or as a line ------------- */

static enum hf_field check_hold(const uint32_t *qty, const uint64_t *ttl_ns)
{
    if (!possible_units(*qty))
        return HF_FIELD_QTY;
    return possible_ttl(*ttl_ns) ? HF_FIELD_NONE : HF_FIELD_TTL;
}

/* A new reservation cannot have the id of the old one. */
static enum hf_field check_confirm(unsigned flags, const struct hf_id *id, const uint32_t *qty,
                                   const struct hf_id *new_id)
{
    if (*qty > HF_MAX_UNITS)
        return HF_FIELD_QTY;
    if ((flags & HF_REQUEST_REACQUIRE) != 0 && hf_id_equal(id, new_id))
        return HF_FIELD_NEW_ID;
    return HF_FIELD_NONE;
}

static enum hf_field check_change(enum hf_operation operation, unsigned flags,
                                  const struct hf_id *id, const uint32_t *qty,
                                  const uint64_t *ttl_ns, const struct hf_id *new_id)
{
    if (hf_id_is_zero(id))
        return HF_FIELD_RESERVATION_ID;
    if (operation == HF_OP_CONFIRM)
        return check_confirm(flags, id, qty, new_id);
    if (operation == HF_OP_CHANGE && *qty > HF_MAX_UNITS)
        return HF_FIELD_QTY;
    if (operation == HF_OP_EXTEND && !possible_ttl(*ttl_ns))
        return HF_FIELD_TTL;
    return HF_FIELD_NONE;
}

/* ---- the lines of a batch --------------------------------------------------------------- */

static bool is_line_operation(enum hf_operation operation)
{
    return operation >= HF_OP_RESERVE && operation <= HF_OP_LEAVE &&
           operation != HF_OP_RESERVATION_GET;
}

static enum hf_field check_line(const struct hf_line *line)
{
    if (!is_line_operation(line->operation))
        return HF_FIELD_OPERATION;
    if ((line->flags & ~flags_of(line->operation)) != 0)
        return HF_FIELD_FLAGS;
    switch (line->operation) {
    case HF_OP_RESERVE:
    case HF_OP_JOIN:
        return possible_units(line->qty) ? HF_FIELD_NONE : HF_FIELD_QTY;
    case HF_OP_HOLD:
        return check_hold(&line->qty, &line->ttl_ns);
    default:
        return check_change(line->operation, line->flags, &line->id, &line->qty, &line->ttl_ns,
                            &line->new_id);
    }
}

/* The ids that the lines of a batch name: a set with open addressing, at most half full. */
#define SET_PLACES 256
_Static_assert(SET_PLACES >= 4 * HF_MAX_BATCH_LINES, "two ids a line, half of the places free");

struct id_set {
    uint8_t numbers[SET_PLACES]; /* 0: free; else which of `ids`, from 1 */
    struct hf_id ids[2 * HF_MAX_BATCH_LINES];
    uint8_t count;
};

/* False if it was in the set before. */
static bool add_id(struct id_set *set, const struct hf_id *id)
{
    uint64_t mixed = (hf_get_u64(id->bytes) ^ hf_get_u64(id->bytes + 8)) * 0x9e3779b97f4a7c15ull;
    unsigned place = (unsigned)(mixed >> 56);
    while (set->numbers[place] != 0) {
        if (hf_id_equal(&set->ids[set->numbers[place] - 1], id))
            return false;
        place = (place + 1) % SET_PLACES;
    }
    set->ids[set->count] = *id;
    set->numbers[place] = ++set->count;
    return true;
}

static bool add_line(struct id_set *set, const struct hf_line *line)
{
    /* A claim without an id gets one that nobody has. */
    if (!hf_id_is_zero(&line->id) && !add_id(set, &line->id))
        return false;
    if (line->operation != HF_OP_CONFIRM || (line->flags & HF_REQUEST_REACQUIRE) == 0)
        return true;
    struct hf_id new_id = line->new_id;
    if (hf_id_is_zero(&new_id))
        hf_id_derive(&line->id, &new_id);
    return add_id(set, &new_id);
}

/* The first line that is wrong; 0: none. */
static unsigned check_lines(const struct hf_request *request, enum hf_field *field)
{
    for (uint32_t i = 0; i < request->count; i++) {
        *field = check_line(&request->lines[i]);
        if (*field != HF_FIELD_NONE)
            return i + 1;
    }
    struct id_set set;
    memset(set.numbers, 0, sizeof set.numbers);
    set.count = 0;
    for (uint32_t i = 0; i < request->count; i++) {
        if (!add_line(&set, &request->lines[i])) {
            *field = HF_FIELD_RESERVATION_ID;
            return i + 1;
        }
    }
    return 0;
}

static enum hf_field check_batch(const struct hf_request *request, unsigned *line)
{
    enum hf_field field = HF_FIELD_COUNT;
    if (in_range(request->count, 1, HF_MAX_BATCH_LINES))
        *line = check_lines(request, &field);
    return field;
}

/* ---- settings --------------------------------------------------------------------------- */

void hf_settings_apply(const struct hf_settings_change *change, struct hf_settings *settings)
{
    const struct hf_settings *wanted = &change->settings;
#define APPLY(bit, field)                                                                          \
    if ((change->fields & (bit)) != 0)                                                             \
    settings->field = wanted->field
    APPLY(HF_SET_SELL_LIMIT, sell_limit);
    APPLY(HF_SET_CUSTOMER_LIMIT, customer_limit);
    APPLY(HF_SET_MIN_QTY, min_qty);
    APPLY(HF_SET_MAX_QTY, max_qty);
    APPLY(HF_SET_WAITING_LIMIT, waiting_limit);
    APPLY(HF_SET_OPENS_AT, opens_at_ns);
    APPLY(HF_SET_CLOSES_AT, closes_at_ns);
    APPLY(HF_SET_LONGEST_HOLD, longest_hold_ns);
    APPLY(HF_SET_CANCEL_UNTIL, cancel_until_ns);
    APPLY(HF_SET_OFFER_TTL, offer_ttl_ns);
#undef APPLY
    if ((change->fields & HF_SET_FLAGS) != 0)
        settings->flags =
            (settings->flags & ~change->flags_mask) | (wanted->flags & change->flags_mask);
}

enum hf_field hf_settings_check(const struct hf_settings *settings)
{
    if (settings->sell_limit > HF_MAX_UNITS)
        return HF_FIELD_SELL_LIMIT;
    if (settings->customer_limit > HF_MAX_UNITS)
        return HF_FIELD_CUSTOMER_LIMIT;
    if (settings->min_qty > HF_MAX_UNITS)
        return HF_FIELD_MIN_QTY;
    if (settings->max_qty > HF_MAX_UNITS)
        return HF_FIELD_MAX_QTY;
    if (settings->max_qty != 0 && settings->min_qty > settings->max_qty)
        return HF_FIELD_MIN_QTY;
    if (settings->waiting_limit > HF_MAX_UNITS)
        return HF_FIELD_WAITING_LIMIT;
    if ((settings->flags & ~SETTABLE_FLAGS) != 0)
        return HF_FIELD_FLAGS;
    if (settings->closes_at_ns != 0 && settings->closes_at_ns <= settings->opens_at_ns)
        return HF_FIELD_WINDOW;
    if (settings->longest_hold_ns > HF_MAX_TTL_NS)
        return HF_FIELD_LONGEST_HOLD;
    if (settings->offer_ttl_ns > HF_MAX_TTL_NS)
        return HF_FIELD_OFFER_TTL;
    return HF_FIELD_NONE;
}

static enum hf_field check_settings_change(const struct hf_settings_change *change)
{
    if (change->fields == 0 || (change->fields & ~HF_SET_ALL) != 0)
        return HF_FIELD_SETTINGS;
    if ((change->fields & HF_SET_CAPACITY) != 0 && !possible_units(change->capacity))
        return HF_FIELD_CAPACITY;
    if ((change->fields & HF_SET_FLAGS) != 0 &&
        (change->flags_mask == 0 || (change->flags_mask & ~SETTABLE_FLAGS) != 0 ||
         (change->settings.flags & ~change->flags_mask) != 0))
        return HF_FIELD_FLAGS;
    if ((change->fields & HF_SET_OFFER_TTL) != 0 && change->settings.offer_ttl_ns == 0)
        return HF_FIELD_OFFER_TTL;
    /* What it does not name is zero here, that is, no rule, and contradicts nothing. */
    struct hf_settings named;
    memset(&named, 0, sizeof named);
    hf_settings_apply(change, &named);
    return hf_settings_check(&named);
}

/* ---- reading and watching --------------------------------------------------------------- */

static enum hf_field check_filter(const struct hf_request *request)
{
    const struct hf_reservation_filter *filter = &request->filter;
    if (!in_range(request->limit, 1, HF_MAX_PAGE_ENTRIES))
        return HF_FIELD_LIMIT;
    if ((filter->states & ~KNOWN_STATES) != 0)
        return HF_FIELD_STATE;
    if (filter->made_before_ns != 0 && filter->made_before_ns <= filter->made_from_ns)
        return HF_FIELD_TIME;
    if ((filter->filters & ~KNOWN_FILTERS) != 0)
        return HF_FIELD_FLAGS;
    return HF_FIELD_NONE;
}

static enum hf_field check_history(const struct hf_request *request)
{
    if (hf_id_is_zero(&request->id))
        return HF_FIELD_RESERVATION_ID;
    return in_range(request->limit, 1, HF_MAX_PAGE_ENTRIES) ? HF_FIELD_NONE : HF_FIELD_LIMIT;
}

static enum hf_field check_subscription(const struct hf_request *request)
{
    if (request->kind > HF_WATCH_CUSTOMERS)
        return HF_FIELD_KIND;
    bool right = request->kind == HF_WATCH_ALL ? request->count == 0
                                               : in_range(request->count, 1, HF_MAX_WATCH_IDS);
    return right ? HF_FIELD_NONE : HF_FIELD_COUNT;
}

/* ---- requests --------------------------------------------------------------------------- */

static enum hf_field check_fields(const struct hf_request *request, unsigned *line)
{
    switch (request->operation) {
    case HF_OP_RESERVE:
    case HF_OP_JOIN:
        return possible_units(request->qty) ? HF_FIELD_NONE : HF_FIELD_QTY;
    case HF_OP_HOLD:
        return check_hold(&request->qty, &request->ttl_ns);
    case HF_OP_RESERVATION_GET:
        return hf_id_is_zero(&request->id) ? HF_FIELD_RESERVATION_ID : HF_FIELD_NONE;
    case HF_OP_CONFIRM:
    case HF_OP_RELEASE:
    case HF_OP_CANCEL:
    case HF_OP_EXTEND:
    case HF_OP_CHANGE:
    case HF_OP_MOVE:
    case HF_OP_LEAVE:
        return check_change(request->operation, request->flags, &request->id, &request->qty,
                            &request->ttl_ns, &request->new_id);
    case HF_OP_BATCH:
        return check_batch(request, line);
    case HF_OP_INVENTORY_CREATE:
        return possible_units(request->capacity) ? HF_FIELD_NONE : HF_FIELD_CAPACITY;
    case HF_OP_INVENTORY_SET:
        return check_settings_change(&request->change);
    case HF_OP_INVENTORY_LIST:
        return in_range(request->limit, 1, HF_MAX_LIST_ENTRIES) ? HF_FIELD_NONE : HF_FIELD_LIMIT;
    case HF_OP_AVAILABILITY:
        return in_range(request->count, 1, HF_MAX_LIST_ENTRIES) ? HF_FIELD_NONE : HF_FIELD_COUNT;
    case HF_OP_RESERVATION_LIST:
        return check_filter(request);
    case HF_OP_HISTORY:
        return check_history(request);
    case HF_OP_SUBSCRIBE:
        return check_subscription(request);
    case HF_OP_INVENTORY_GET:
    case HF_OP_INVENTORY_SETTINGS:
    case HF_OP_UNSUBSCRIBE:
    case HF_OP_STATE_HASH:
    case HF_OP_INFO:
    case HF_OP_PING:
    case HF_OP_STATUS:
    case HF_OP_SNAPSHOT:
        break;
    }
    return HF_FIELD_NONE;
}

__attribute__((noinline)) static enum hf_result check_any(const struct hf_request *request,
                                                          enum hf_field *field, unsigned *line)
{
    if ((request->flags & ~flags_of(request->operation)) != 0)
        *field = HF_FIELD_FLAGS;
    else
        *field = check_fields(request, line);
    return *field == HF_FIELD_NONE ? HF_OK : HF_BAD_FIELD;
}

enum hf_result hf_request_check(const struct hf_request *request, enum hf_field *field,
                                unsigned *line)
{
    *line = 0;
    *field = HF_FIELD_NONE;
    /* The hot ones, if nothing is wrong with them, without a call. */
    if (HF_LIKELY(request->operation == HF_OP_RESERVE) && possible_units(request->qty) &&
        (request->flags & ~CLAIM_FLAGS) == 0)
        return HF_OK;
    if ((request->operation == HF_OP_CANCEL || request->operation == HF_OP_RESERVATION_GET) &&
        request->flags == 0 && !hf_id_is_zero(&request->id))
        return HF_OK;
    return check_any(request, field, line);
}
