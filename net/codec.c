/*
 * The codec. The byte tables are in docs/protocol.md and, as an index, in holdfast/protocol.h; the
 * offsets below are those of the tables, and docs/vectors/protocol.txt holds both to them.
 *
 * A request is valid if and only if
 *   1. its version is HF_PROTOCOL_VERSION,
 *   2. its operation is one of HF_OPERATIONS,
 *   3. its frame_bytes is exactly that operation's,
 *   4. its reserved bytes, the header's result among them, are zero, and
 *   5. its fields have values that are possible whatever the server holds,
 * checked in this order; the first that fails is the one that is told.
 *
 * A reply is valid if and only if
 *   1. its operation has the reply bit,
 *   2. its result belongs to one of the six groups,
 *   3. its version is HF_PROTOCOL_VERSION, or its result is UNSUPPORTED_VERSION: then a server of
 *      another version speaks, and of its frame only the header can be relied on, and
 *   4. its frame_bytes is exactly that of its shape: a yes has the shape of its operation, which
 *      must be known; everything else is short.
 * Reserved bytes of replies are not looked at: a later server may use them.
 */
#include "net/codec.h"

#include "base/bytes.h"
#include "base/check.h"
#include "engine/execute.h"

#define REPLY_BODY        16
#define ENTRY_BYTES       HF_INVENTORY_ENTRY_BYTES
#define SERVER_VERSION_AT 160

_Static_assert(sizeof(struct hf_id) == 16, "ids are copied as they are");
_Static_assert(HF_FRAME_HEADER_BYTES == 16, "the header is fixed for ever");
_Static_assert(HF_INVENTORY_REPLY_BYTES == REPLY_BODY + ENTRY_BYTES, "one entry");
_Static_assert(HF_PAGE_HEADER_BYTES + HF_MAX_LIST_ENTRIES * ENTRY_BYTES <= HF_MAX_REPLY_BYTES,
               "the largest page is a legal reply");
_Static_assert(HF_INFO_REPLY_BYTES == SERVER_VERSION_AT + 16, "the version ends the frame");
_Static_assert(sizeof((struct hf_info *)0)->server_version == 16, "copied as it is");
#define X(name, number, bytes)                                                                     \
    _Static_assert((number) > 0 && (number) < HF_REPLY_BIT && (bytes) >= HF_FRAME_HEADER_BYTES &&  \
                       (bytes) <= HF_RESERVE_BYTES && HF_RESERVE_BYTES <= HF_MAX_REQUEST_BYTES,    \
                   "the request " #name " fits a reservation's buffer");
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

/* Writes a header and zeroes the rest of the frame, so that what is reserved is zero. */
static void begin_frame(uint8_t *out, uint32_t frame_bytes, unsigned operation, unsigned result,
                        uint64_t tag)
{
    struct hf_frame frame = {.frame_bytes = frame_bytes,
                             .version = HF_PROTOCOL_VERSION,
                             .operation = (uint8_t)operation,
                             .result = (uint16_t)result,
                             .tag = tag};
    memset(out, 0, frame_bytes);
    hf_frame_write(out, &frame);
}

/* ---- requests --------------------------------------------------------------------------- */

uint32_t hf_request_bytes(unsigned operation)
{
    switch (operation) {
#define X(name, number, bytes)                                                                     \
    case number:                                                                                   \
        return bytes;
        HF_OPERATIONS(X)
#undef X
    default:
        return 0;
    }
}

size_t hf_request_encode(uint8_t *out, const struct hf_request *request, uint64_t tag)
{
    uint32_t frame_bytes = hf_request_bytes(request->operation);
    if (frame_bytes == 0)
        return 0;
    begin_frame(out, frame_bytes, request->operation, 0, tag);
    switch (request->operation) {
    case HF_OP_PING:
    case HF_OP_INFO:
    case HF_OP_STATE_HASH:
        break;
    case HF_OP_INVENTORY_CREATE:
        hf_put_u64(out + 16, request->inventory_id);
        hf_put_u64(out + 24, request->product_id);
        hf_put_u32(out + 32, request->capacity);
        break;
    case HF_OP_INVENTORY_GET:
        hf_put_u64(out + 16, request->inventory_id);
        break;
    case HF_OP_INVENTORY_LIST:
        hf_put_u32(out + 16, request->from);
        hf_put_u32(out + 20, request->limit);
        break;
    case HF_OP_RESERVE:
        memcpy(out + 16, request->id.bytes, sizeof request->id.bytes);
        hf_put_u64(out + 32, request->inventory_id);
        hf_put_u64(out + 40, request->customer_id);
        hf_put_u32(out + 48, request->qty);
        break;
    case HF_OP_RESERVATION_GET:
    case HF_OP_CANCEL:
        memcpy(out + 16, request->id.bytes, sizeof request->id.bytes);
        break;
    }
    return frame_bytes;
}

static bool reserved_are_zero(const uint8_t *bytes, const struct hf_frame *frame)
{
    if (frame->result != 0)
        return false;
    if (frame->operation == HF_OP_INVENTORY_CREATE)
        return hf_all_zero(bytes + 36, 12);
    if (frame->operation == HF_OP_RESERVE)
        return hf_all_zero(bytes + 52, 12);
    return true;
}

/* Reads the fields of a frame that has the right size. */
static void read_fields(const uint8_t *bytes, struct hf_request *request)
{
    switch (request->operation) {
    case HF_OP_PING:
    case HF_OP_INFO:
    case HF_OP_STATE_HASH:
        break;
    case HF_OP_INVENTORY_CREATE:
        request->inventory_id = hf_get_u64(bytes + 16);
        request->product_id = hf_get_u64(bytes + 24);
        request->capacity = hf_get_u32(bytes + 32);
        break;
    case HF_OP_INVENTORY_GET:
        request->inventory_id = hf_get_u64(bytes + 16);
        break;
    case HF_OP_INVENTORY_LIST:
        request->from = hf_get_u32(bytes + 16);
        request->limit = hf_get_u32(bytes + 20);
        break;
    case HF_OP_RESERVE:
        memcpy(request->id.bytes, bytes + 16, sizeof request->id.bytes);
        request->inventory_id = hf_get_u64(bytes + 32);
        request->customer_id = hf_get_u64(bytes + 40);
        request->qty = hf_get_u32(bytes + 48);
        break;
    case HF_OP_RESERVATION_GET:
    case HF_OP_CANCEL:
        memcpy(request->id.bytes, bytes + 16, sizeof request->id.bytes);
        break;
    }
}

static enum hf_result refuse(enum hf_result result, enum hf_field named, enum hf_field *field)
{
    *field = named;
    return result;
}

enum hf_result hf_request_decode(const uint8_t *bytes, const struct hf_frame *frame,
                                 struct hf_request *request, enum hf_field *field)
{
    *field = HF_FIELD_NONE;
    memset(request, 0, sizeof *request);
    if (frame->version != HF_PROTOCOL_VERSION)
        return refuse(HF_UNSUPPORTED_VERSION, HF_FIELD_VERSION, field);
    uint32_t frame_bytes = hf_request_bytes(frame->operation);
    if (frame_bytes == 0)
        return refuse(HF_UNKNOWN_OPERATION, HF_FIELD_OPERATION, field);
    if (frame->frame_bytes != frame_bytes)
        return refuse(HF_BAD_FRAME, HF_FIELD_FRAME_BYTES, field);
    if (!reserved_are_zero(bytes, frame))
        return refuse(HF_BAD_FRAME, HF_FIELD_RESERVED, field);
    request->operation = (enum hf_operation)frame->operation;
    read_fields(bytes, request);
    return hf_request_check(request, field);
}

/* ---- replies ---------------------------------------------------------------------------- */

static void begin_reply(uint8_t *out, uint32_t frame_bytes, unsigned operation, unsigned result,
                        uint64_t tag)
{
    begin_frame(out, frame_bytes, operation | HF_REPLY_BIT, result, tag);
}

size_t hf_reply_encode_short(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                             unsigned field, int32_t available, uint32_t version)
{
    begin_reply(out, HF_SHORT_REPLY_BYTES, operation, result, tag);
    hf_put_u32(out + 16, (uint32_t)available);
    hf_put_u32(out + 20, version);
    hf_put_u16(out + 24, (uint16_t)field);
    return HF_SHORT_REPLY_BYTES;
}

size_t hf_reply_encode_reservation(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                   const struct hf_reservation *reservation, bool repeated)
{
    begin_reply(out, HF_RESERVATION_REPLY_BYTES, operation, result, tag);
    memcpy(out + 16, reservation->id.bytes, sizeof reservation->id.bytes);
    hf_put_u64(out + 32, reservation->inventory_id);
    hf_put_u64(out + 40, reservation->customer_id);
    hf_put_u64(out + 48, reservation->lsn);
    hf_put_u64(out + 56, reservation->made_at_ns);
    hf_put_u64(out + 64, reservation->changed_at_ns);
    hf_put_u32(out + 80, reservation->qty);
    out[84] = (uint8_t)reservation->state;
    out[85] = repeated ? HF_REPLY_FLAG_REPEATED : 0;
    hf_put_u32(out + 88, reservation->sequence);
    return HF_RESERVATION_REPLY_BYTES;
}

/* Writes one entry, which begin_reply() has zeroed. */
static void write_entry(uint8_t *entry, const struct hf_inventory *inventory)
{
    hf_put_u64(entry + 0, inventory->inventory_id);
    hf_put_u64(entry + 8, inventory->product_id);
    hf_put_u64(entry + 16, inventory->lsn);
    hf_put_u64(entry + 24, inventory->made_at_ns);
    hf_put_u32(entry + 32, inventory->capacity);
    hf_put_u32(entry + 36, inventory->sell_limit);
    hf_put_u32(entry + 40, (uint32_t)inventory->available);
    hf_put_u32(entry + 44, inventory->held);
    hf_put_u32(entry + 48, inventory->confirmed);
    hf_put_u32(entry + 52, inventory->version);
}

static void read_entry(const uint8_t *entry, struct hf_inventory *inventory)
{
    inventory->inventory_id = hf_get_u64(entry + 0);
    inventory->product_id = hf_get_u64(entry + 8);
    inventory->lsn = hf_get_u64(entry + 16);
    inventory->made_at_ns = hf_get_u64(entry + 24);
    inventory->capacity = hf_get_u32(entry + 32);
    inventory->sell_limit = hf_get_u32(entry + 36);
    inventory->available = (int32_t)hf_get_u32(entry + 40);
    inventory->held = hf_get_u32(entry + 44);
    inventory->confirmed = hf_get_u32(entry + 48);
    inventory->version = hf_get_u32(entry + 52);
}

size_t hf_reply_encode_inventory(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                 const struct hf_inventory *inventory)
{
    begin_reply(out, HF_INVENTORY_REPLY_BYTES, operation, result, tag);
    write_entry(out + REPLY_BODY, inventory);
    return HF_INVENTORY_REPLY_BYTES;
}

size_t hf_reply_encode_page(uint8_t *out, uint64_t tag, uint32_t next,
                            const struct hf_inventory *inventories, uint32_t count)
{
    HF_CHECK(count <= HF_MAX_LIST_ENTRIES);
    uint32_t frame_bytes = HF_PAGE_HEADER_BYTES + count * ENTRY_BYTES;
    begin_reply(out, frame_bytes, HF_OP_INVENTORY_LIST, HF_FOUND, tag);
    hf_put_u32(out + 16, count);
    hf_put_u32(out + 20, next);
    for (uint32_t i = 0; i < count; i++)
        write_entry(out + HF_PAGE_HEADER_BYTES + (size_t)i * ENTRY_BYTES, inventories + i);
    return frame_bytes;
}

size_t hf_reply_encode_hash(uint8_t *out, uint64_t tag, uint64_t state_hash, uint64_t lsn_before,
                            uint64_t lsn_after, uint64_t reservations)
{
    begin_reply(out, HF_HASH_REPLY_BYTES, HF_OP_STATE_HASH, HF_FOUND, tag);
    hf_put_u64(out + 16, state_hash);
    hf_put_u64(out + 24, lsn_before);
    hf_put_u64(out + 32, lsn_after);
    hf_put_u64(out + 40, reservations);
    return HF_HASH_REPLY_BYTES;
}

/* The numbers of INFO. X(offset, bits, field) */
#define INFO_NUMBERS(X)                                                                            \
    X(32, 64, epoch)                                                                               \
    X(40, 64, started_at_ns)                                                                       \
    X(48, 64, now_ns)                                                                              \
    X(56, 64, next_lsn)                                                                            \
    X(64, 64, commit_lsn)                                                                          \
    X(72, 64, durable_lsn)                                                                         \
    X(80, 64, recovered_records)                                                                   \
    X(88, 64, recovered_reservations)                                                              \
    X(96, 64, recovery_ns)                                                                         \
    X(104, 64, reservations)                                                                       \
    X(112, 64, max_reservations)                                                                   \
    X(120, 64, connections)                                                                        \
    X(128, 64, log_bytes)                                                                          \
    X(136, 64, log_blocks)                                                                         \
    X(144, 32, inventories)                                                                        \
    X(148, 32, max_inventories)                                                                    \
    X(152, 32, workers)                                                                            \
    X(156, 32, durability)

#define X(offset, bits, field)                                                                     \
    _Static_assert(sizeof((struct hf_info *)0)->field * 8 == (bits) &&                             \
                       (offset) + (bits) / 8 <= SERVER_VERSION_AT,                                 \
                   "the width of " #field);
INFO_NUMBERS(X)
#undef X

size_t hf_reply_encode_info(uint8_t *out, uint64_t tag, const struct hf_info *info)
{
    begin_reply(out, HF_INFO_REPLY_BYTES, HF_OP_INFO, HF_FOUND, tag);
    memcpy(out + 16, info->log_id, sizeof info->log_id);
#define X(offset, bits, field) hf_put_u##bits(out + (offset), info->field);
    INFO_NUMBERS(X)
#undef X
    memcpy(out + SERVER_VERSION_AT, info->server_version, sizeof info->server_version);
    return HF_INFO_REPLY_BYTES;
}

static void read_info(const uint8_t *bytes, struct hf_info *info)
{
    memcpy(info->log_id, bytes + 16, sizeof info->log_id);
#define X(offset, bits, field) info->field = hf_get_u##bits(bytes + (offset));
    INFO_NUMBERS(X)
#undef X
    memcpy(info->server_version, bytes + SERVER_VERSION_AT, sizeof info->server_version);
    /* A text in C, whatever the server sent. */
    info->server_version[sizeof info->server_version - 1] = '\0';
}

static bool read_short(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply)
{
    if (frame->frame_bytes != HF_SHORT_REPLY_BYTES)
        return false;
    reply->available = (int32_t)hf_get_u32(bytes + 16);
    reply->version = hf_get_u32(bytes + 20);
    reply->field = hf_get_u16(bytes + 24);
    return true;
}

static bool read_reservation(const uint8_t *bytes, const struct hf_frame *frame,
                             struct hf_reply *reply)
{
    if (frame->frame_bytes != HF_RESERVATION_REPLY_BYTES)
        return false;
    struct hf_reservation *reservation = &reply->reservation;
    memcpy(reservation->id.bytes, bytes + 16, sizeof reservation->id.bytes);
    reservation->inventory_id = hf_get_u64(bytes + 32);
    reservation->customer_id = hf_get_u64(bytes + 40);
    reservation->lsn = hf_get_u64(bytes + 48);
    reservation->made_at_ns = hf_get_u64(bytes + 56);
    reservation->changed_at_ns = hf_get_u64(bytes + 64);
    reservation->qty = hf_get_u32(bytes + 80);
    reservation->state = (enum hf_state)bytes[84];
    reservation->sequence = hf_get_u32(bytes + 88);
    reply->repeated = (bytes[85] & HF_REPLY_FLAG_REPEATED) != 0;
    return true;
}

static bool read_page(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply,
                      struct hf_inventory *inventories)
{
    if (frame->frame_bytes < HF_PAGE_HEADER_BYTES)
        return false;
    uint32_t count = hf_get_u32(bytes + 16);
    if (count > HF_MAX_LIST_ENTRIES ||
        frame->frame_bytes != HF_PAGE_HEADER_BYTES + count * ENTRY_BYTES)
        return false;
    for (uint32_t i = 0; i < count; i++)
        read_entry(bytes + HF_PAGE_HEADER_BYTES + (size_t)i * ENTRY_BYTES, inventories + i);
    reply->count = count;
    reply->next = hf_get_u32(bytes + 20);
    reply->inventories = inventories;
    return true;
}

static bool read_hash(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply)
{
    if (frame->frame_bytes != HF_HASH_REPLY_BYTES)
        return false;
    reply->state_hash = hf_get_u64(bytes + 16);
    reply->lsn_before = hf_get_u64(bytes + 24);
    reply->lsn_after = hf_get_u64(bytes + 32);
    reply->reservations = hf_get_u64(bytes + 40);
    return true;
}

static bool read_yes(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply,
                     struct hf_inventory *inventories)
{
    switch (reply->operation) {
    case HF_OP_PING:
        return read_short(bytes, frame, reply);
    case HF_OP_INFO:
        if (frame->frame_bytes != HF_INFO_REPLY_BYTES)
            return false;
        read_info(bytes, &reply->info);
        return true;
    case HF_OP_STATE_HASH:
        return read_hash(bytes, frame, reply);
    case HF_OP_INVENTORY_CREATE:
    case HF_OP_INVENTORY_GET:
        if (frame->frame_bytes != HF_INVENTORY_REPLY_BYTES)
            return false;
        read_entry(bytes + REPLY_BODY, &reply->inventory);
        return true;
    case HF_OP_INVENTORY_LIST:
        return read_page(bytes, frame, reply, inventories);
    case HF_OP_RESERVE:
    case HF_OP_RESERVATION_GET:
    case HF_OP_CANCEL:
        return read_reservation(bytes, frame, reply);
    }
    return false;
}

bool hf_reply_decode(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply,
                     struct hf_inventory *inventories)
{
    memset(reply, 0, sizeof *reply);
    if ((frame->operation & HF_REPLY_BIT) == 0 || frame->frame_bytes < HF_FRAME_HEADER_BYTES)
        return false;
    reply->operation = (enum hf_operation)(frame->operation & ~HF_REPLY_BIT);
    reply->result = frame->result;
    if (frame->version != HF_PROTOCOL_VERSION) {
        reply->field = HF_FIELD_VERSION;
        return frame->result == HF_UNSUPPORTED_VERSION;
    }
    enum hf_group group = hf_result_group(frame->result);
    if (group < HF_GROUP_YES || group > HF_GROUP_UNKNOWN)
        return false;
    if (group == HF_GROUP_YES)
        return read_yes(bytes, frame, reply, inventories);
    return read_short(bytes, frame, reply);
}
