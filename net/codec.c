/*
 * The codec: the header and the requests. The byte tables are in docs/protocol.md and, as an index,
 * in holdfast/protocol.h; the offsets below are those of the tables, and docs/vectors/protocol.txt
 * holds both to them.
 *
 * A request is valid if and only if
 *   1. its version is HF_PROTOCOL_VERSION,
 *   2. its operation is one of HF_OPERATIONS,
 *   3. its frame_bytes is exactly that operation's, or one of the two of CANCEL, or, of an operation
 *      with a list, what its count says,
 *   4. its reserved bytes are zero, those among them to which its flags give no meaning, and
 *   5. its flags and fields have values that are possible whatever the server holds
 *      (engine/request.h),
 * checked in this order; the first that fails is the one that is told.
 *
 * RESERVE, CANCEL and RESERVATION_GET are the hot ones: what they need is read, field by field, into
 * a request that is otherwise left as it was, as clearing all of it would cost more than that.
 */
#include "net/codec.h"

#include "base/bytes.h"
#include "base/check.h"
#include "engine/request.h"

#define MAX_OPERATION 128
#define NAMING_BYTES  32 /* a frame that names a reservation and nothing else */

_Static_assert(sizeof(struct hf_id) == 16, "ids are copied as they are");
_Static_assert(HF_FRAME_HEADER_BYTES == 16, "the header is fixed for ever");
_Static_assert(HF_BATCH_HEADER_BYTES + HF_MAX_BATCH_LINES * HF_BATCH_LINE_BYTES <=
                   HF_MAX_REQUEST_BYTES,
               "the largest batch is a legal request");
_Static_assert(32 + HF_MAX_WATCH_IDS * 8 <= HF_MAX_REQUEST_BYTES, "so is the largest SUBSCRIBE");
_Static_assert(24 + HF_MAX_LIST_ENTRIES * 8 <= HF_MAX_REQUEST_BYTES, "and AVAILABILITY");
_Static_assert(HF_MAX_LIST_ENTRIES <= HF_MAX_WATCH_IDS, "one scratch serves both");
#define X(name, number, bytes)                                                                     \
    _Static_assert((number) > 0 && (number) < HF_REPLY_BIT && (bytes) >= HF_FRAME_HEADER_BYTES &&  \
                       (bytes) <= HF_MAX_REQUEST_BYTES,                                            \
                   "the request " #name " is a frame");
HF_OPERATIONS(X)
#undef X

/* ---- the header ------------------------------------------------------------------------- */

void hf_frame_read(const uint8_t *bytes, struct hf_frame *frame)
{
    frame->frame_bytes = hf_get_u32(bytes);
    frame->version = bytes[4];
    frame->operation = bytes[5];
    frame->result = hf_get_u16(bytes + 6);
    frame->tag = hf_get_u64(bytes + 8);
}

void hf_frame_write(uint8_t *bytes, const struct hf_frame *frame)
{
    hf_put_u32(bytes, frame->frame_bytes);
    bytes[4] = frame->version;
    bytes[5] = frame->operation;
    hf_put_u16(bytes + 6, frame->result);
    hf_put_u64(bytes + 8, frame->tag);
}

/* ---- sizes ------------------------------------------------------------------------------ */

static const uint16_t smallest_bytes[MAX_OPERATION] = {
#define X(name, number, bytes) [number] = (bytes),
    HF_OPERATIONS(X)
#undef X
};

uint32_t hf_request_bytes(unsigned operation)
{
    return operation < MAX_OPERATION ? smallest_bytes[operation] : 0;
}

/* What each element of an operation's list takes, and how many there can be. 0: it has no list. */
static uint32_t element_bytes(unsigned operation, uint32_t *most)
{
    switch (operation) {
    case HF_OP_BATCH:
        *most = HF_MAX_BATCH_LINES;
        return HF_BATCH_LINE_BYTES;
    case HF_OP_AVAILABILITY:
        *most = HF_MAX_LIST_ENTRIES;
        return sizeof(uint64_t);
    case HF_OP_SUBSCRIBE:
        *most = HF_MAX_WATCH_IDS;
        return sizeof(uint64_t);
    default:
        *most = 0;
        return 0;
    }
}

size_t hf_request_encoded_bytes(const struct hf_request *request)
{
    uint32_t most, bytes = hf_request_bytes(request->operation);
    if (request->operation == HF_OP_CANCEL && request->expected != 0)
        return HF_GUARDED_CANCEL_BYTES;
    uint32_t element = element_bytes(request->operation, &most);
    if (element == 0)
        return bytes;
    return request->count > most ? 0 : bytes + (size_t)request->count * element;
}

/* True if the frame has exactly the room for its list of `count`. */
static inline bool list_fits(const struct hf_frame *frame, uint32_t count, uint32_t bytes)
{
    return hf_request_bytes(frame->operation) + (uint64_t)count * bytes == frame->frame_bytes;
}

/* A frame that is not of its operation's smallest size: can it be right all the same? */
static bool may_be_longer(const struct hf_frame *frame)
{
    uint32_t most;
    if (frame->operation == HF_OP_CANCEL)
        return frame->frame_bytes == HF_GUARDED_CANCEL_BYTES;
    return element_bytes(frame->operation, &most) != 0 &&
           frame->frame_bytes > hf_request_bytes(frame->operation);
}

/* ---- settings --------------------------------------------------------------------------- */

/* What INVENTORY_SET can name, with its place. X(bit of `fields`, offset, bits, field) */
#define SETTINGS_FIELDS(X)                                                                         \
    X(HF_SET_SELL_LIMIT, 32, 32, settings.sell_limit)                                              \
    X(HF_SET_CUSTOMER_LIMIT, 36, 32, settings.customer_limit)                                      \
    X(HF_SET_MIN_QTY, 40, 32, settings.min_qty)                                                    \
    X(HF_SET_MAX_QTY, 44, 32, settings.max_qty)                                                    \
    X(HF_SET_WAITING_LIMIT, 48, 32, settings.waiting_limit)                                        \
    X(HF_SET_CAPACITY, 52, 32, capacity)                                                           \
    X(HF_SET_FLAGS, 56, 32, settings.flags)                                                        \
    X(HF_SET_FLAGS, 60, 32, flags_mask)                                                            \
    X(HF_SET_OPENS_AT, 64, 64, settings.opens_at_ns)                                               \
    X(HF_SET_CLOSES_AT, 72, 64, settings.closes_at_ns)                                             \
    X(HF_SET_LONGEST_HOLD, 80, 64, settings.longest_hold_ns)                                       \
    X(HF_SET_CANCEL_UNTIL, 88, 64, settings.cancel_until_ns)                                       \
    X(HF_SET_OFFER_TTL, 96, 64, settings.offer_ttl_ns)

static void write_settings(uint8_t *out, const struct hf_settings_change *change)
{
    hf_put_u32(out + 24, change->fields);
#define X(bit, offset, bits, field)                                                                \
    if ((change->fields & (bit)) != 0)                                                             \
        hf_put_u##bits(out + (offset), change->field);
    SETTINGS_FIELDS(X)
#undef X
}

static enum hf_field read_settings(const uint8_t *bytes, struct hf_request *request)
{
    struct hf_settings_change *change = &request->change;
    bool zero = hf_get_u64(bytes + 104) == 0;
    request->inventory_id = hf_get_u64(bytes + 16);
    request->expected = hf_get_u32(bytes + 28);
    if ((request->flags & HF_REQUEST_EXPECT_VERSION) == 0)
        zero &= request->expected == 0;
    change->fields = hf_get_u32(bytes + 24);
#define X(bit, offset, bits, field)                                                                \
    change->field = hf_get_u##bits(bytes + (offset));                                              \
    zero &= (change->fields & (bit)) != 0 || change->field == 0;
    SETTINGS_FIELDS(X)
#undef X
    return zero ? HF_FIELD_NONE : HF_FIELD_RESERVED;
}

/* ---- the lines of a batch --------------------------------------------------------------- */

/* What of a line its operation has a use for, beside the id. */
enum {
    LINE_QTY = 1,
    LINE_INVENTORY = 2,
    LINE_CUSTOMER = 4,
    LINE_TTL = 8,
    LINE_VERSION = 16, /* expected, with EXPECT_VERSION */
    LINE_SEQUENCE = 32,
    LINE_NEW_ID = 64, /* with REACQUIRE */
    LINE_KNOWN = 128,
};

#define LINE_CLAIM (LINE_KNOWN | LINE_QTY | LINE_INVENTORY | LINE_CUSTOMER | LINE_VERSION)

static const uint8_t line_parts[MAX_OPERATION] = {
    [HF_OP_RESERVE] = LINE_CLAIM,
    [HF_OP_JOIN] = LINE_CLAIM,
    [HF_OP_HOLD] = LINE_CLAIM | LINE_TTL,
    [HF_OP_CONFIRM] = LINE_KNOWN | LINE_SEQUENCE | LINE_QTY | LINE_NEW_ID,
    [HF_OP_RELEASE] = LINE_KNOWN | LINE_SEQUENCE,
    [HF_OP_CANCEL] = LINE_KNOWN | LINE_SEQUENCE,
    [HF_OP_LEAVE] = LINE_KNOWN | LINE_SEQUENCE,
    [HF_OP_EXTEND] = LINE_KNOWN | LINE_SEQUENCE | LINE_TTL,
    [HF_OP_CHANGE] = LINE_KNOWN | LINE_SEQUENCE | LINE_QTY,
    [HF_OP_MOVE] = LINE_KNOWN | LINE_SEQUENCE | LINE_CUSTOMER,
};

/* The parts that a line with these flags has. 0: its operation is none that a line can have. */
static unsigned parts_of_line(unsigned operation, unsigned flags)
{
    unsigned parts = operation < MAX_OPERATION ? line_parts[operation] : 0;
    if ((flags & HF_REQUEST_EXPECT_VERSION) == 0)
        parts &= ~(unsigned)LINE_VERSION;
    if ((flags & HF_REQUEST_REACQUIRE) == 0)
        parts &= ~(unsigned)LINE_NEW_ID;
    return parts;
}

/* Into a zeroed line. */
static void write_line(uint8_t *at, const struct hf_line *line)
{
    unsigned parts = parts_of_line(line->operation, line->flags);
    at[0] = (uint8_t)line->operation;
    hf_put_u16(at + 2, line->flags);
    memcpy(at + 8, line->id.bytes, sizeof line->id.bytes);
    if ((parts & LINE_QTY) != 0)
        hf_put_u32(at + 4, line->qty);
    if ((parts & LINE_INVENTORY) != 0)
        hf_put_u64(at + 24, line->inventory_id);
    if ((parts & LINE_NEW_ID) != 0)
        memcpy(at + 24, line->new_id.bytes, sizeof line->new_id.bytes);
    if ((parts & LINE_CUSTOMER) != 0)
        hf_put_u64(at + 32, line->customer_id);
    if ((parts & LINE_TTL) != 0)
        hf_put_u64(at + 40, line->ttl_ns);
    if ((parts & (LINE_VERSION | LINE_SEQUENCE)) != 0)
        hf_put_u32(at + 48, line->expected);
}

/* False if something is not zero that has no meaning. What an unknown operation means by its line,
 * nobody knows: hf_request_check() refuses it. */
static bool read_line(const uint8_t *at, struct hf_line *line)
{
    *line = (struct hf_line){
        .operation = (enum hf_operation)at[0],
        .flags = hf_get_u16(at + 2),
        .qty = hf_get_u32(at + 4),
        .ttl_ns = hf_get_u64(at + 40),
        .expected = hf_get_u32(at + 48),
    };
    memcpy(line->id.bytes, at + 8, sizeof line->id.bytes);
    unsigned parts = parts_of_line(line->operation, line->flags);
    if ((parts & LINE_NEW_ID) != 0)
        memcpy(line->new_id.bytes, at + 24, sizeof line->new_id.bytes);
    else {
        line->inventory_id = hf_get_u64(at + 24);
        line->customer_id = hf_get_u64(at + 32);
    }
    if (at[1] != 0 || !hf_all_zero(at + 52, 12))
        return false;
    if (parts == 0)
        return true;
    return ((parts & LINE_QTY) != 0 || line->qty == 0) &&
           ((parts & LINE_INVENTORY) != 0 || line->inventory_id == 0) &&
           ((parts & LINE_CUSTOMER) != 0 || line->customer_id == 0) &&
           ((parts & LINE_TTL) != 0 || line->ttl_ns == 0) &&
           ((parts & (LINE_VERSION | LINE_SEQUENCE)) != 0 || line->expected == 0);
}

static void write_batch(uint8_t *out, const struct hf_request *request)
{
    hf_put_u32(out + 16, request->count);
    hf_put_u64(out + 24, request->not_after_ns);
    for (uint32_t i = 0; i < request->count; i++)
        write_line(out + HF_BATCH_HEADER_BYTES + (size_t)i * HF_BATCH_LINE_BYTES,
                   &request->lines[i]);
}

static enum hf_field read_batch(const uint8_t *bytes, const struct hf_frame *frame,
                                struct hf_request *request, struct hf_line *lines, unsigned *line)
{
    request->count = hf_get_u32(bytes + 16);
    request->not_after_ns = hf_get_u64(bytes + 24);
    request->lines = lines;
    if (!list_fits(frame, request->count, HF_BATCH_LINE_BYTES))
        return HF_FIELD_FRAME_BYTES;
    if (hf_get_u32(bytes + 20) != 0)
        return HF_FIELD_RESERVED;
    /* Beyond that, hf_request_check() refuses the count before it looks at a line. */
    for (uint32_t i = 0; i < request->count && i < HF_MAX_BATCH_LINES; i++) {
        if (!read_line(bytes + HF_BATCH_HEADER_BYTES + (size_t)i * HF_BATCH_LINE_BYTES,
                       &lines[i])) {
            *line = i + 1;
            return HF_FIELD_RESERVED;
        }
    }
    return HF_FIELD_NONE;
}

/* ---- lists of ids ----------------------------------------------------------------------- */

static void write_ids(uint8_t *out, const struct hf_request *request)
{
    for (uint32_t i = 0; i < request->count; i++)
        hf_put_u64(out + (size_t)i * sizeof(uint64_t), request->ids[i]);
}

static enum hf_field read_ids(const uint8_t *bytes, const struct hf_frame *frame,
                              struct hf_request *request, uint64_t *ids)
{
    request->ids = ids;
    if (!list_fits(frame, request->count, sizeof *ids))
        return HF_FIELD_FRAME_BYTES;
    for (uint32_t i = 0; i < request->count && i < HF_MAX_WATCH_IDS; i++)
        ids[i] = hf_get_u64(bytes + (size_t)i * sizeof *ids);
    return HF_FIELD_NONE;
}

/* ---- encoding --------------------------------------------------------------------------- */

static void write_claim(uint8_t *out, const struct hf_request *request)
{
    memcpy(out + 16, request->id.bytes, sizeof request->id.bytes);
    hf_put_u64(out + 32, request->inventory_id);
    hf_put_u64(out + 40, request->customer_id);
    hf_put_u32(out + 48, request->qty);
    if ((request->flags & HF_REQUEST_EXPECT_VERSION) != 0)
        hf_put_u32(out + 52, request->expected);
    hf_put_u64(out + 56, request->not_after_ns);
    if (request->operation == HF_OP_HOLD)
        hf_put_u64(out + 64, request->ttl_ns);
}

/* CONFIRM, RELEASE, EXTEND, CHANGE, MOVE, LEAVE, and CANCEL if it is guarded. */
static void write_change(uint8_t *out, const struct hf_request *request)
{
    memcpy(out + 16, request->id.bytes, sizeof request->id.bytes);
    hf_put_u32(out + 36, request->expected);
    if (request->operation == HF_OP_CONFIRM || request->operation == HF_OP_CHANGE)
        hf_put_u32(out + 32, request->qty);
    if (request->operation == HF_OP_CONFIRM && (request->flags & HF_REQUEST_REACQUIRE) != 0)
        memcpy(out + 40, request->new_id.bytes, sizeof request->new_id.bytes);
    if (request->operation == HF_OP_EXTEND)
        hf_put_u64(out + 40, request->ttl_ns);
    if (request->operation == HF_OP_MOVE)
        hf_put_u64(out + 40, request->customer_id);
}

static void write_filter(uint8_t *out, const struct hf_request *request)
{
    const struct hf_reservation_filter *filter = &request->filter;
    hf_put_u64(out + 16, filter->cursor);
    hf_put_u32(out + 24, request->limit);
    hf_put_u32(out + 28, filter->states);
    if ((filter->filters & HF_FILTER_INVENTORY) != 0)
        hf_put_u64(out + 32, filter->inventory_id);
    if ((filter->filters & HF_FILTER_CUSTOMER) != 0)
        hf_put_u64(out + 40, filter->customer_id);
    hf_put_u64(out + 48, filter->made_from_ns);
    hf_put_u64(out + 56, filter->made_before_ns);
    hf_put_u32(out + 64, filter->filters);
}

static void write_subscription(uint8_t *out, const struct hf_request *request)
{
    hf_put_u64(out + 16, request->from_lsn);
    hf_put_u32(out + 24, request->kind);
    hf_put_u32(out + 28, request->count);
    write_ids(out + 32, request);
}

/* The fields, into a frame that is zero behind its header. */
static void write_fields(uint8_t *out, const struct hf_request *request, size_t frame_bytes)
{
    switch (request->operation) {
    case HF_OP_PING:
    case HF_OP_INFO:
    case HF_OP_STATE_HASH:
    case HF_OP_STATUS:
    case HF_OP_SNAPSHOT:
        break;
    case HF_OP_INVENTORY_CREATE:
        hf_put_u64(out + 16, request->inventory_id);
        hf_put_u64(out + 24, request->product_id);
        hf_put_u32(out + 32, request->capacity);
        break;
    case HF_OP_INVENTORY_GET:
    case HF_OP_INVENTORY_SETTINGS:
        hf_put_u64(out + 16, request->inventory_id);
        break;
    case HF_OP_INVENTORY_LIST:
        hf_put_u32(out + 16, request->from);
        hf_put_u32(out + 20, request->limit);
        break;
    case HF_OP_INVENTORY_SET:
        hf_put_u64(out + 16, request->inventory_id);
        if ((request->flags & HF_REQUEST_EXPECT_VERSION) != 0)
            hf_put_u32(out + 28, request->expected);
        write_settings(out, &request->change);
        break;
    case HF_OP_AVAILABILITY:
        hf_put_u32(out + 16, request->count);
        write_ids(out + 24, request);
        break;
    case HF_OP_RESERVE:
    case HF_OP_HOLD:
    case HF_OP_JOIN:
        write_claim(out, request);
        break;
    case HF_OP_RESERVATION_GET:
        memcpy(out + 16, request->id.bytes, sizeof request->id.bytes);
        break;
    case HF_OP_CANCEL:
        memcpy(out + 16, request->id.bytes, sizeof request->id.bytes);
        if (frame_bytes == HF_GUARDED_CANCEL_BYTES)
            write_change(out, request);
        break;
    case HF_OP_CONFIRM:
    case HF_OP_RELEASE:
    case HF_OP_EXTEND:
    case HF_OP_CHANGE:
    case HF_OP_MOVE:
    case HF_OP_LEAVE:
        write_change(out, request);
        break;
    case HF_OP_BATCH:
        write_batch(out, request);
        break;
    case HF_OP_RESERVATION_LIST:
        write_filter(out, request);
        break;
    case HF_OP_HISTORY:
        memcpy(out + 16, request->id.bytes, sizeof request->id.bytes);
        hf_put_u32(out + 32, request->from);
        hf_put_u32(out + 36, request->limit);
        break;
    case HF_OP_SUBSCRIBE:
        write_subscription(out, request);
        break;
    case HF_OP_UNSUBSCRIBE:
        hf_put_u64(out + 16, request->watch_tag);
        break;
    }
}

size_t hf_request_encode(uint8_t *out, const struct hf_request *request, uint64_t tag)
{
    size_t frame_bytes = hf_request_encoded_bytes(request);
    if (frame_bytes == 0)
        return 0;
    struct hf_frame frame = {.frame_bytes = (uint32_t)frame_bytes,
                             .version = HF_PROTOCOL_VERSION,
                             .operation = (uint8_t)request->operation,
                             .result = request->flags,
                             .tag = tag};
    hf_frame_write(out, &frame);
    memset(out + HF_FRAME_HEADER_BYTES, 0, frame_bytes - HF_FRAME_HEADER_BYTES);
    write_fields(out, request, frame_bytes);
    return frame_bytes;
}

/* ---- decoding --------------------------------------------------------------------------- */

/* Each of these reads the fields of its operations from a frame of the right size, and returns
 * RESERVED if bytes are not zero that must be, FRAME_BYTES if a list is not of its count. */

static inline enum hf_field zero_or_reserved(bool zero)
{
    return HF_LIKELY(zero) ? HF_FIELD_NONE : HF_FIELD_RESERVED;
}

static inline enum hf_field read_claim(const uint8_t *bytes, struct hf_request *request)
{
    memcpy(request->id.bytes, bytes + 16, sizeof request->id.bytes);
    request->inventory_id = hf_get_u64(bytes + 32);
    request->customer_id = hf_get_u64(bytes + 40);
    request->qty = hf_get_u32(bytes + 48);
    request->expected = hf_get_u32(bytes + 52);
    request->not_after_ns = hf_get_u64(bytes + 56);
    return zero_or_reserved(request->expected == 0 ||
                            (request->flags & HF_REQUEST_EXPECT_VERSION) != 0);
}

/* What changes a reservation begins alike; the u32 at 32 has a meaning for some. */
static inline uint32_t read_change(const uint8_t *bytes, struct hf_request *request)
{
    memcpy(request->id.bytes, bytes + 16, sizeof request->id.bytes);
    request->expected = hf_get_u32(bytes + 36);
    return hf_get_u32(bytes + 32);
}

static enum hf_field read_cancel(const uint8_t *bytes, const struct hf_frame *frame,
                                 struct hf_request *request)
{
    if (HF_UNLIKELY(frame->frame_bytes == HF_GUARDED_CANCEL_BYTES))
        return zero_or_reserved(read_change(bytes, request) == 0);
    memcpy(request->id.bytes, bytes + 16, sizeof request->id.bytes);
    request->expected = 0;
    return HF_FIELD_NONE;
}

static enum hf_field read_confirm(const uint8_t *bytes, struct hf_request *request)
{
    request->qty = read_change(bytes, request);
    memcpy(request->new_id.bytes, bytes + 40, sizeof request->new_id.bytes);
    return zero_or_reserved((request->flags & HF_REQUEST_REACQUIRE) != 0 ||
                            hf_id_is_zero(&request->new_id));
}

static enum hf_field read_filter(const uint8_t *bytes, struct hf_request *request)
{
    struct hf_reservation_filter *filter = &request->filter;
    filter->cursor = hf_get_u64(bytes + 16);
    request->limit = hf_get_u32(bytes + 24);
    filter->states = hf_get_u32(bytes + 28);
    filter->inventory_id = hf_get_u64(bytes + 32);
    filter->customer_id = hf_get_u64(bytes + 40);
    filter->made_from_ns = hf_get_u64(bytes + 48);
    filter->made_before_ns = hf_get_u64(bytes + 56);
    filter->filters = hf_get_u32(bytes + 64);
    bool by_inventory = (filter->filters & HF_FILTER_INVENTORY) != 0;
    bool by_customer = (filter->filters & HF_FILTER_CUSTOMER) != 0;
    return zero_or_reserved((by_inventory || filter->inventory_id == 0) &&
                            (by_customer || filter->customer_id == 0) &&
                            hf_get_u32(bytes + 68) == 0);
}

static enum hf_field read_availability(const uint8_t *bytes, const struct hf_frame *frame,
                                       struct hf_request *request, uint64_t *ids)
{
    request->count = hf_get_u32(bytes + 16);
    enum hf_field field = read_ids(bytes + 24, frame, request, ids);
    return field == HF_FIELD_NONE ? zero_or_reserved(hf_get_u32(bytes + 20) == 0) : field;
}

static enum hf_field read_fields(const uint8_t *bytes, const struct hf_frame *frame,
                                 struct hf_request *request, struct hf_request_scratch *scratch,
                                 unsigned *line)
{
    switch (request->operation) {
    case HF_OP_PING:
    case HF_OP_INFO:
    case HF_OP_STATE_HASH:
    case HF_OP_STATUS:
    case HF_OP_SNAPSHOT:
        break;
    case HF_OP_INVENTORY_CREATE:
        request->inventory_id = hf_get_u64(bytes + 16);
        request->product_id = hf_get_u64(bytes + 24);
        request->capacity = hf_get_u32(bytes + 32);
        return zero_or_reserved(hf_all_zero(bytes + 36, 12));
    case HF_OP_INVENTORY_GET:
    case HF_OP_INVENTORY_SETTINGS:
        request->inventory_id = hf_get_u64(bytes + 16);
        break;
    case HF_OP_INVENTORY_LIST:
        request->from = hf_get_u32(bytes + 16);
        request->limit = hf_get_u32(bytes + 20);
        break;
    case HF_OP_INVENTORY_SET:
        return read_settings(bytes, request);
    case HF_OP_AVAILABILITY:
        return read_availability(bytes, frame, request, scratch->ids);
    case HF_OP_RESERVE:
    case HF_OP_JOIN:
        return read_claim(bytes, request);
    case HF_OP_HOLD:
        request->ttl_ns = hf_get_u64(bytes + 64);
        return read_claim(bytes, request);
    case HF_OP_RESERVATION_GET:
        memcpy(request->id.bytes, bytes + 16, sizeof request->id.bytes);
        break;
    case HF_OP_CANCEL:
        return read_cancel(bytes, frame, request);
    case HF_OP_CONFIRM:
        return read_confirm(bytes, request);
    case HF_OP_RELEASE:
    case HF_OP_LEAVE:
        return zero_or_reserved(read_change(bytes, request) == 0);
    case HF_OP_EXTEND:
        request->ttl_ns = hf_get_u64(bytes + 40);
        return zero_or_reserved(read_change(bytes, request) == 0);
    case HF_OP_CHANGE:
        request->qty = read_change(bytes, request);
        break;
    case HF_OP_MOVE:
        request->customer_id = hf_get_u64(bytes + 40);
        return zero_or_reserved(read_change(bytes, request) == 0);
    case HF_OP_BATCH:
        return read_batch(bytes, frame, request, scratch->lines, line);
    case HF_OP_RESERVATION_LIST:
        return read_filter(bytes, request);
    case HF_OP_HISTORY:
        memcpy(request->id.bytes, bytes + 16, sizeof request->id.bytes);
        request->from = hf_get_u32(bytes + 32);
        request->limit = hf_get_u32(bytes + 36);
        break;
    case HF_OP_SUBSCRIBE:
        request->from_lsn = hf_get_u64(bytes + 16);
        request->kind = hf_get_u32(bytes + 24);
        request->count = hf_get_u32(bytes + 28);
        return read_ids(bytes + 32, frame, request, scratch->ids);
    case HF_OP_UNSUBSCRIBE:
        request->watch_tag = hf_get_u64(bytes + 16);
        break;
    }
    return HF_FIELD_NONE;
}

static enum hf_result refuse(enum hf_result result, enum hf_field named, enum hf_field *field)
{
    *field = named;
    return result;
}

__attribute__((noinline)) static enum hf_result
decode_any(const uint8_t *bytes, const struct hf_frame *frame, struct hf_request *request,
           struct hf_request_scratch *scratch, enum hf_field *field, unsigned *line)
{
    if (frame->version != HF_PROTOCOL_VERSION)
        return refuse(HF_UNSUPPORTED_VERSION, HF_FIELD_VERSION, field);
    uint32_t frame_bytes = hf_request_bytes(frame->operation);
    if (frame_bytes == 0)
        return refuse(HF_UNKNOWN_OPERATION, HF_FIELD_OPERATION, field);
    if (frame->frame_bytes != frame_bytes && !may_be_longer(frame))
        return refuse(HF_BAD_FRAME, HF_FIELD_FRAME_BYTES, field);
    request->operation = (enum hf_operation)frame->operation;
    request->flags = frame->result;
    enum hf_field named = read_fields(bytes, frame, request, scratch, line);
    if (named != HF_FIELD_NONE)
        return refuse(HF_BAD_FRAME, named, field);
    return hf_request_check(request, field, line);
}

/* True if it is one of the hot operations, in its one size, with nothing wrong in its frame: then
 * all but the check of its values is done. */
static inline bool read_hot(const uint8_t *bytes, const struct hf_frame *frame,
                            struct hf_request *request)
{
    if (frame->version != HF_PROTOCOL_VERSION)
        return false;
    request->operation = (enum hf_operation)frame->operation;
    request->flags = frame->result;
    if (HF_LIKELY(frame->operation == HF_OP_RESERVE))
        return frame->frame_bytes == HF_RESERVE_BYTES &&
               read_claim(bytes, request) == HF_FIELD_NONE;
    if ((frame->operation != HF_OP_CANCEL && frame->operation != HF_OP_RESERVATION_GET) ||
        frame->frame_bytes != NAMING_BYTES)
        return false;
    memcpy(request->id.bytes, bytes + 16, sizeof request->id.bytes);
    request->expected = 0;
    return true;
}

enum hf_result hf_request_decode(const uint8_t *bytes, const struct hf_frame *frame,
                                 struct hf_request *request, struct hf_request_scratch *scratch,
                                 enum hf_field *field, unsigned *line)
{
    *line = 0;
    if (HF_LIKELY(read_hot(bytes, frame, request)))
        return hf_request_check(request, field, line);
    return decode_any(bytes, frame, request, scratch, field, line);
}
