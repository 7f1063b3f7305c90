/*
 * The codec: the replies. One encoder and one decoder for each shape of docs/protocol.md.
 *
 * A reply is valid if and only if
 *   1. its operation has the reply bit,
 *   2. its result belongs to one of the six groups,
 *   3. its version is HF_PROTOCOL_VERSION, or its result is UNSUPPORTED_VERSION: then a server of
 *      another version speaks, and of its frame only the header can be relied on, and
 *   4. its frame_bytes is exactly that of its shape: a yes has the shape of its operation, which
 *      must be known; everything else is short. A list has the size that its count says, and a
 *      reservation 16 bytes more if it is linked.
 * Reserved bytes of replies are not looked at: a later server may use them.
 *
 * The encoders write each byte of a frame once, from the first to the last, so that a page of
 * reservations is not cleared before it is filled.
 */
#include "net/codec.h"

#include "base/bytes.h"
#include "base/check.h"

#define REPLY_BODY         16
#define SERVER_VERSION_AT  160
#define ARCHIVE_FAILURE_AT 200
#define STATUS_END         320 /* of what has a meaning */
#define RECORD_BYTES       HF_FRAME_RECORD_BYTES

_Static_assert(HF_INVENTORY_REPLY_BYTES == REPLY_BODY + HF_INVENTORY_ENTRY_BYTES, "one entry");
_Static_assert(HF_LINKED_REPLY_BYTES == HF_RESERVATION_REPLY_BYTES + sizeof(struct hf_id),
               "a linked reservation ends with the id");
_Static_assert(HF_PAGE_HEADER_BYTES + HF_MAX_LIST_ENTRIES * HF_INVENTORY_ENTRY_BYTES <=
                   HF_MAX_REPLY_BYTES,
               "the largest page is a legal reply");
_Static_assert(HF_PAGE_HEADER_BYTES + HF_MAX_LIST_ENTRIES * HF_AVAILABILITY_BYTES <=
                   HF_MAX_REPLY_BYTES,
               "the largest AVAILABILITY is one");
_Static_assert(HF_PAGE_HEADER_BYTES + HF_MAX_PAGE_ENTRIES * HF_RESERVATION_ENTRY_BYTES <=
                   HF_MAX_REPLY_BYTES,
               "the largest page of reservations is one");
_Static_assert(HF_PAGE_HEADER_BYTES + HF_MAX_FRAME_RECORDS * RECORD_BYTES <= HF_MAX_REPLY_BYTES,
               "as many records as fit");
_Static_assert(HF_PAGE_HEADER_BYTES + (HF_MAX_FRAME_RECORDS + 1) * RECORD_BYTES >
                   HF_MAX_REPLY_BYTES,
               "as many records as fit");
_Static_assert(HF_MAX_BATCH_LINES <= HF_MAX_PAGE_ENTRIES, "a batch's answer is a page");
_Static_assert(HF_INFO_REPLY_BYTES == SERVER_VERSION_AT + 16, "the version ends the frame");
_Static_assert(sizeof((struct hf_info *)0)->server_version == 16, "copied as it is");

/* ---- what the shapes share -------------------------------------------------------------- */

static void begin_reply(uint8_t *out, uint32_t frame_bytes, unsigned operation, unsigned result,
                        uint64_t tag)
{
    struct hf_frame frame = {.frame_bytes = frame_bytes,
                             .version = HF_PROTOCOL_VERSION,
                             .operation = (uint8_t)(operation | HF_REPLY_BIT),
                             .result = (uint16_t)result,
                             .tag = tag};
    hf_frame_write(out, &frame);
}

static void write_id(uint8_t *out, const struct hf_id *id)
{
    memcpy(out, id->bytes, sizeof id->bytes);
}

static void read_id(const uint8_t *bytes, struct hf_id *id)
{
    memcpy(id->bytes, bytes, sizeof id->bytes);
}

/* The count of a list whose elements follow a header of HF_PAGE_HEADER_BYTES. False: the frame has
 * another size. */
static bool read_count(const uint8_t *bytes, const struct hf_frame *frame, uint32_t element_bytes,
                       uint32_t most, uint32_t *count)
{
    if (frame->frame_bytes < HF_PAGE_HEADER_BYTES)
        return false;
    *count = hf_get_u32(bytes + 16);
    return *count <= most && frame->frame_bytes == HF_PAGE_HEADER_BYTES + *count * element_bytes;
}

/* ---- short ------------------------------------------------------------------------------ */

size_t hf_reply_encode_answer(uint8_t *out, unsigned operation, uint64_t tag,
                              const struct hf_short *answer)
{
    begin_reply(out, HF_SHORT_REPLY_BYTES, operation, answer->result, tag);
    hf_put_u32(out + 16, (uint32_t)answer->available);
    hf_put_u32(out + 20, answer->version);
    hf_put_u16(out + 24, (uint16_t)answer->field);
    out[26] = (uint8_t)answer->state;
    out[27] = 0;
    hf_put_u16(out + 28, (uint16_t)answer->line);
    hf_put_u16(out + 30, 0);
    return HF_SHORT_REPLY_BYTES;
}

size_t hf_reply_encode_short(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                             unsigned field, int32_t available, uint32_t version)
{
    struct hf_short answer = {
        .result = result, .field = field, .available = available, .version = version};
    return hf_reply_encode_answer(out, operation, tag, &answer);
}

size_t hf_reply_encode_not_kept(uint8_t *out, unsigned operation, uint64_t tag, uint64_t first_lsn)
{
    struct hf_short answer = {.result = HF_LSN_NOT_KEPT};
    hf_reply_encode_answer(out, operation, tag, &answer);
    hf_put_u64(out + 16, first_lsn);
    return HF_SHORT_REPLY_BYTES;
}

static bool read_short(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply)
{
    if (frame->frame_bytes != HF_SHORT_REPLY_BYTES)
        return false;
    reply->field = hf_get_u16(bytes + 24);
    reply->state = bytes[26];
    reply->line = hf_get_u16(bytes + 28);
    if (reply->result == HF_LSN_NOT_KEPT) {
        reply->next_lsn = hf_get_u64(bytes + 16);
        return true;
    }
    reply->available = (int32_t)hf_get_u32(bytes + 16);
    reply->version = hf_get_u32(bytes + 20);
    return true;
}

/* ---- one reservation -------------------------------------------------------------------- */

size_t hf_reply_encode_reservation(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                   const struct hf_reservation *reservation, bool repeated)
{
    bool linked = !hf_id_is_zero(&reservation->linked_id);
    uint32_t frame_bytes = linked ? HF_LINKED_REPLY_BYTES : HF_RESERVATION_REPLY_BYTES;
    begin_reply(out, frame_bytes, operation, result, tag);
    write_id(out + 16, &reservation->id);
    hf_put_u64(out + 32, reservation->inventory_id);
    hf_put_u64(out + 40, reservation->customer_id);
    hf_put_u64(out + 48, reservation->lsn);
    hf_put_u64(out + 56, reservation->made_at_ns);
    hf_put_u64(out + 64, reservation->changed_at_ns);
    hf_put_u64(out + 72, reservation->deadline_ns);
    hf_put_u32(out + 80, reservation->qty);
    out[84] = (uint8_t)reservation->state;
    out[85] =
        (uint8_t)((repeated ? HF_REPLY_FLAG_REPEATED : 0) | (linked ? HF_REPLY_FLAG_LINKED : 0));
    hf_put_u16(out + 86, 0);
    hf_put_u32(out + 88, reservation->sequence);
    hf_put_u32(out + 92, 0);
    if (HF_UNLIKELY(linked))
        write_id(out + 96, &reservation->linked_id);
    return frame_bytes;
}

static bool read_reservation(const uint8_t *bytes, const struct hf_frame *frame,
                             struct hf_reply *reply)
{
    if (frame->frame_bytes < HF_RESERVATION_REPLY_BYTES)
        return false;
    bool linked = (bytes[85] & HF_REPLY_FLAG_LINKED) != 0;
    if (frame->frame_bytes != (linked ? HF_LINKED_REPLY_BYTES : HF_RESERVATION_REPLY_BYTES))
        return false;
    struct hf_reservation *reservation = &reply->reservation;
    read_id(bytes + 16, &reservation->id);
    reservation->inventory_id = hf_get_u64(bytes + 32);
    reservation->customer_id = hf_get_u64(bytes + 40);
    reservation->lsn = hf_get_u64(bytes + 48);
    reservation->made_at_ns = hf_get_u64(bytes + 56);
    reservation->changed_at_ns = hf_get_u64(bytes + 64);
    reservation->deadline_ns = hf_get_u64(bytes + 72);
    reservation->qty = hf_get_u32(bytes + 80);
    reservation->state = (enum hf_state)bytes[84];
    reservation->sequence = hf_get_u32(bytes + 88);
    if (linked)
        read_id(bytes + 96, &reservation->linked_id);
    reply->repeated = (bytes[85] & HF_REPLY_FLAG_REPEATED) != 0;
    return true;
}

/* ---- many reservations ------------------------------------------------------------------ */

static void write_reservation_entry(uint8_t *at, const struct hf_reservation_entry *entry)
{
    const struct hf_reservation *reservation = &entry->reservation;
    hf_put_u16(at, (uint16_t)entry->result);
    at[2] = (uint8_t)reservation->state;
    at[3] = entry->repeated ? HF_REPLY_FLAG_REPEATED : 0;
    hf_put_u32(at + 4, reservation->qty);
    write_id(at + 8, &reservation->id);
    hf_put_u64(at + 24, reservation->inventory_id);
    hf_put_u64(at + 32, reservation->customer_id);
    hf_put_u64(at + 40, reservation->lsn);
    hf_put_u64(at + 48, reservation->made_at_ns);
    hf_put_u64(at + 56, reservation->changed_at_ns);
    hf_put_u64(at + 64, reservation->deadline_ns);
    hf_put_u32(at + 72, reservation->sequence);
    hf_put_u32(at + 76, 0);
    write_id(at + 80, &reservation->linked_id);
}

static void read_reservation_entry(const uint8_t *at, struct hf_reservation_entry *entry)
{
    struct hf_reservation *reservation = &entry->reservation;
    entry->result = hf_get_u16(at);
    entry->repeated = (at[3] & HF_REPLY_FLAG_REPEATED) != 0;
    reservation->state = (enum hf_state)at[2];
    reservation->qty = hf_get_u32(at + 4);
    read_id(at + 8, &reservation->id);
    reservation->inventory_id = hf_get_u64(at + 24);
    reservation->customer_id = hf_get_u64(at + 32);
    reservation->lsn = hf_get_u64(at + 40);
    reservation->made_at_ns = hf_get_u64(at + 48);
    reservation->changed_at_ns = hf_get_u64(at + 56);
    reservation->deadline_ns = hf_get_u64(at + 64);
    reservation->sequence = hf_get_u32(at + 72);
    read_id(at + 80, &reservation->linked_id);
}

size_t hf_reply_encode_reservations(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                    uint64_t next, const struct hf_reservation_entry *entries,
                                    uint32_t count)
{
    HF_CHECK(count <= HF_MAX_PAGE_ENTRIES);
    uint32_t frame_bytes = HF_PAGE_HEADER_BYTES + count * HF_RESERVATION_ENTRY_BYTES;
    begin_reply(out, frame_bytes, operation, result, tag);
    hf_put_u32(out + 16, count);
    hf_put_u32(out + 20, 0);
    hf_put_u64(out + 24, next);
    for (uint32_t i = 0; i < count; i++)
        write_reservation_entry(out + HF_PAGE_HEADER_BYTES + (size_t)i * HF_RESERVATION_ENTRY_BYTES,
                                &entries[i]);
    return frame_bytes;
}

static bool read_reservations(const uint8_t *bytes, const struct hf_frame *frame,
                              struct hf_reply *reply, struct hf_reservation_entry *entries)
{
    if (!read_count(bytes, frame, HF_RESERVATION_ENTRY_BYTES, HF_MAX_PAGE_ENTRIES, &reply->count))
        return false;
    for (uint32_t i = 0; i < reply->count; i++)
        read_reservation_entry(
            bytes + HF_PAGE_HEADER_BYTES + (size_t)i * HF_RESERVATION_ENTRY_BYTES, &entries[i]);
    reply->next = hf_get_u64(bytes + 24);
    reply->entries = entries;
    return true;
}

/* ---- inventories ------------------------------------------------------------------------ */

static void write_inventory_entry(uint8_t *at, const struct hf_inventory *inventory)
{
    hf_put_u64(at + 0, inventory->inventory_id);
    hf_put_u64(at + 8, inventory->product_id);
    hf_put_u64(at + 16, inventory->lsn);
    hf_put_u64(at + 24, inventory->made_at_ns);
    hf_put_u32(at + 32, inventory->capacity);
    hf_put_u32(at + 36, inventory->sell_limit);
    hf_put_u32(at + 40, (uint32_t)inventory->available);
    hf_put_u32(at + 44, inventory->held);
    hf_put_u32(at + 48, inventory->confirmed);
    hf_put_u32(at + 52, inventory->version);
    hf_put_u32(at + 56, inventory->waiting);
    hf_put_u32(at + 60, inventory->flags);
}

static void read_inventory_entry(const uint8_t *at, struct hf_inventory *inventory)
{
    inventory->inventory_id = hf_get_u64(at + 0);
    inventory->product_id = hf_get_u64(at + 8);
    inventory->lsn = hf_get_u64(at + 16);
    inventory->made_at_ns = hf_get_u64(at + 24);
    inventory->capacity = hf_get_u32(at + 32);
    inventory->sell_limit = hf_get_u32(at + 36);
    inventory->available = (int32_t)hf_get_u32(at + 40);
    inventory->held = hf_get_u32(at + 44);
    inventory->confirmed = hf_get_u32(at + 48);
    inventory->version = hf_get_u32(at + 52);
    inventory->waiting = hf_get_u32(at + 56);
    inventory->flags = hf_get_u32(at + 60);
}

size_t hf_reply_encode_inventory(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                 const struct hf_inventory *inventory)
{
    begin_reply(out, HF_INVENTORY_REPLY_BYTES, operation, result, tag);
    write_inventory_entry(out + REPLY_BODY, inventory);
    return HF_INVENTORY_REPLY_BYTES;
}

static bool read_inventory(const uint8_t *bytes, const struct hf_frame *frame,
                           struct hf_reply *reply)
{
    if (frame->frame_bytes != HF_INVENTORY_REPLY_BYTES)
        return false;
    read_inventory_entry(bytes + REPLY_BODY, &reply->inventory);
    return true;
}

size_t hf_reply_encode_page(uint8_t *out, uint64_t tag, uint32_t next,
                            const struct hf_inventory *inventories, uint32_t count)
{
    HF_CHECK(count <= HF_MAX_LIST_ENTRIES);
    uint32_t frame_bytes = HF_PAGE_HEADER_BYTES + count * HF_INVENTORY_ENTRY_BYTES;
    begin_reply(out, frame_bytes, HF_OP_INVENTORY_LIST, HF_FOUND, tag);
    hf_put_u32(out + 16, count);
    hf_put_u32(out + 20, next);
    hf_put_u64(out + 24, 0);
    for (uint32_t i = 0; i < count; i++)
        write_inventory_entry(out + HF_PAGE_HEADER_BYTES + (size_t)i * HF_INVENTORY_ENTRY_BYTES,
                              &inventories[i]);
    return frame_bytes;
}

static bool read_page(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply,
                      struct hf_inventory *inventories)
{
    if (!read_count(bytes, frame, HF_INVENTORY_ENTRY_BYTES, HF_MAX_LIST_ENTRIES, &reply->count))
        return false;
    for (uint32_t i = 0; i < reply->count; i++)
        read_inventory_entry(bytes + HF_PAGE_HEADER_BYTES + (size_t)i * HF_INVENTORY_ENTRY_BYTES,
                             &inventories[i]);
    reply->next = hf_get_u32(bytes + 20);
    reply->inventories = inventories;
    return true;
}

size_t hf_reply_encode_settings(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                const struct hf_inventory *inventory,
                                const struct hf_settings *settings, uint32_t sequence)
{
    begin_reply(out, HF_SETTINGS_REPLY_BYTES, operation, result, tag);
    write_inventory_entry(out + REPLY_BODY, inventory);
    hf_put_u32(out + 80, settings->customer_limit);
    hf_put_u32(out + 84, settings->min_qty);
    hf_put_u32(out + 88, settings->max_qty);
    hf_put_u32(out + 92, settings->waiting_limit);
    hf_put_u64(out + 96, settings->opens_at_ns);
    hf_put_u64(out + 104, settings->closes_at_ns);
    hf_put_u64(out + 112, settings->longest_hold_ns);
    hf_put_u64(out + 120, settings->cancel_until_ns);
    hf_put_u64(out + 128, settings->offer_ttl_ns);
    hf_put_u32(out + 136, sequence);
    memset(out + 140, 0, HF_SETTINGS_REPLY_BYTES - 140);
    return HF_SETTINGS_REPLY_BYTES;
}

static bool read_settings(const uint8_t *bytes, const struct hf_frame *frame,
                          struct hf_reply *reply)
{
    if (frame->frame_bytes != HF_SETTINGS_REPLY_BYTES)
        return false;
    read_inventory_entry(bytes + REPLY_BODY, &reply->inventory);
    reply->settings = (struct hf_settings){
        .sell_limit = reply->inventory.sell_limit,
        .customer_limit = hf_get_u32(bytes + 80),
        .min_qty = hf_get_u32(bytes + 84),
        .max_qty = hf_get_u32(bytes + 88),
        .waiting_limit = hf_get_u32(bytes + 92),
        .flags = reply->inventory.flags & ~HF_INVENTORY_SOLD_OUT_CLOSED,
        .opens_at_ns = hf_get_u64(bytes + 96),
        .closes_at_ns = hf_get_u64(bytes + 104),
        .longest_hold_ns = hf_get_u64(bytes + 112),
        .cancel_until_ns = hf_get_u64(bytes + 120),
        .offer_ttl_ns = hf_get_u64(bytes + 128),
    };
    reply->settings_sequence = hf_get_u32(bytes + 136);
    return true;
}

size_t hf_reply_encode_availability(uint8_t *out, uint64_t tag,
                                    const struct hf_availability_entry *entries, uint32_t count)
{
    HF_CHECK(count <= HF_MAX_LIST_ENTRIES);
    uint32_t frame_bytes = HF_PAGE_HEADER_BYTES + count * HF_AVAILABILITY_BYTES;
    begin_reply(out, frame_bytes, HF_OP_AVAILABILITY, HF_FOUND, tag);
    hf_put_u32(out + 16, count);
    memset(out + 20, 0, HF_PAGE_HEADER_BYTES - 20);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = out + HF_PAGE_HEADER_BYTES + (size_t)i * HF_AVAILABILITY_BYTES;
        hf_put_u32(at + 0, (uint32_t)entries[i].available);
        hf_put_u32(at + 4, entries[i].version);
        hf_put_u32(at + 8, entries[i].flags);
        hf_put_u32(at + 12, entries[i].waiting);
    }
    return frame_bytes;
}

static bool read_availability(const uint8_t *bytes, const struct hf_frame *frame,
                              struct hf_reply *reply, struct hf_availability_entry *entries)
{
    if (!read_count(bytes, frame, HF_AVAILABILITY_BYTES, HF_MAX_LIST_ENTRIES, &reply->count))
        return false;
    for (uint32_t i = 0; i < reply->count; i++) {
        const uint8_t *at = bytes + HF_PAGE_HEADER_BYTES + (size_t)i * HF_AVAILABILITY_BYTES;
        entries[i] = (struct hf_availability_entry){.available = (int32_t)hf_get_u32(at + 0),
                                                    .version = hf_get_u32(at + 4),
                                                    .flags = hf_get_u32(at + 8),
                                                    .waiting = hf_get_u32(at + 12)};
    }
    reply->availability = entries;
    return true;
}

/* ---- records ---------------------------------------------------------------------------- */

size_t hf_reply_encode_records(uint8_t *out, uint64_t tag, unsigned result, uint64_t next_lsn,
                               const uint8_t *records, uint32_t count)
{
    HF_CHECK(count <= HF_MAX_FRAME_RECORDS);
    uint32_t frame_bytes = HF_PAGE_HEADER_BYTES + count * RECORD_BYTES;
    begin_reply(out, frame_bytes, HF_OP_SUBSCRIBE, result, tag);
    hf_put_u32(out + 16, count);
    hf_put_u32(out + 20, 0);
    hf_put_u64(out + 24, next_lsn);
    if (count > 0 && records != out + HF_PAGE_HEADER_BYTES)
        memcpy(out + HF_PAGE_HEADER_BYTES, records, (size_t)count * RECORD_BYTES);
    return frame_bytes;
}

static bool read_records(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply)
{
    if (!read_count(bytes, frame, RECORD_BYTES, HF_MAX_FRAME_RECORDS, &reply->count))
        return false;
    reply->next_lsn = hf_get_u64(bytes + 24);
    reply->records = bytes + HF_PAGE_HEADER_BYTES;
    return true;
}

/* ---- the server ------------------------------------------------------------------------- */

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

static bool read_info(const uint8_t *bytes, const struct hf_frame *frame, struct hf_info *info)
{
    if (frame->frame_bytes != HF_INFO_REPLY_BYTES)
        return false;
    memcpy(info->log_id, bytes + 16, sizeof info->log_id);
#define X(offset, bits, field) info->field = hf_get_u##bits(bytes + (offset));
    INFO_NUMBERS(X)
#undef X
    memcpy(info->server_version, bytes + SERVER_VERSION_AT, sizeof info->server_version);
    /* A text in C, whatever the server sent. */
    info->server_version[sizeof info->server_version - 1] = '\0';
    return true;
}

/* The numbers of STATUS. X(offset, bits, field) */
#define STATUS_NUMBERS(X)                                                                          \
    X(16, 8, state)                                                                                \
    X(17, 8, percent)                                                                              \
    X(18, 8, write_method)                                                                         \
    X(19, 8, storage_full)                                                                         \
    X(20, 8, snapshot_under_way)                                                                   \
    X(21, 8, snapshot_requested)                                                                   \
    X(22, 8, archive_enabled)                                                                      \
    X(24, 64, recovery_done_bytes)                                                                 \
    X(32, 64, recovery_total_bytes)                                                                \
    X(40, 64, first_kept_segment)                                                                  \
    X(48, 64, active_segment)                                                                      \
    X(56, 64, segment_bytes)                                                                       \
    X(64, 64, kept_bytes)                                                                          \
    X(72, 64, write_latency_ns)                                                                    \
    X(80, 32, writes_inflight)                                                                     \
    X(88, 64, snapshots_made)                                                                      \
    X(96, 64, snapshot_failures)                                                                   \
    X(104, 32, snapshots_kept)                                                                     \
    X(112, 64, snapshot_lsn)                                                                       \
    X(120, 64, snapshot_made_at_ns)                                                                \
    X(128, 64, snapshot_bytes)                                                                     \
    X(136, 64, snapshot_duration_ns)                                                               \
    X(144, 64, snapshot_done_bytes)                                                                \
    X(152, 64, snapshot_expected_bytes)                                                            \
    X(160, 64, bytes_since_snapshot)                                                               \
    X(168, 64, archived_segment)                                                                   \
    X(176, 64, archive_waiting)                                                                    \
    X(184, 32, archive_failures)                                                                   \
    X(188, 32, archive_exit_status)                                                                \
    X(192, 64, archived_at_ns)                                                                     \
    X(296, 64, put_aside)                                                                          \
    X(304, 64, overloaded)                                                                         \
    X(312, 64, recovered_records)

/* And those that may be negative, i32. */
#define STATUS_ERRORS(X)                                                                           \
    X(84, 32, storage_error)                                                                       \
    X(108, 32, snapshot_error)

#define X(offset, bits, field)                                                                     \
    _Static_assert(sizeof((struct hf_status *)0)->field * 8 == (bits) &&                           \
                       ((offset) + (bits) / 8 <= ARCHIVE_FAILURE_AT ||                             \
                        (offset) >= ARCHIVE_FAILURE_AT + HF_STATUS_TEXT_BYTES) &&                  \
                       (offset) + (bits) / 8 <= STATUS_END,                                        \
                   "the width of " #field);
STATUS_NUMBERS(X)
STATUS_ERRORS(X)
#undef X

size_t hf_reply_encode_status(uint8_t *out, uint64_t tag, const struct hf_status *status)
{
    begin_reply(out, HF_STATUS_REPLY_BYTES, HF_OP_STATUS, HF_FOUND, tag);
    memset(out + REPLY_BODY, 0, HF_STATUS_REPLY_BYTES - REPLY_BODY);
#define X(offset, bits, field) hf_put_u##bits(out + (offset), status->field);
    STATUS_NUMBERS(X)
#undef X
#define X(offset, bits, field) hf_put_u##bits(out + (offset), (uint##bits##_t)status->field);
    STATUS_ERRORS(X)
#undef X
    memcpy(out + ARCHIVE_FAILURE_AT, status->archive_failure, sizeof status->archive_failure);
    return HF_STATUS_REPLY_BYTES;
}

static bool read_status(const uint8_t *bytes, const struct hf_frame *frame,
                        struct hf_status *status)
{
    if (frame->frame_bytes != HF_STATUS_REPLY_BYTES)
        return false;
#define X(offset, bits, field) status->field = hf_get_u##bits(bytes + (offset));
    STATUS_NUMBERS(X)
#undef X
#define X(offset, bits, field) status->field = (int##bits##_t)hf_get_u##bits(bytes + (offset));
    STATUS_ERRORS(X)
#undef X
    memcpy(status->archive_failure, bytes + ARCHIVE_FAILURE_AT, sizeof status->archive_failure);
    status->archive_failure[sizeof status->archive_failure - 1] = '\0'; /* as in read_info() */
    return true;
}

/* ---- replies ---------------------------------------------------------------------------- */

/* Shapes with a list, which goes into `scratch`. */
static bool read_list(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply,
                      struct hf_reply_scratch *scratch)
{
    if (scratch == NULL)
        return false;
    if (reply->operation == HF_OP_INVENTORY_LIST)
        return read_page(bytes, frame, reply, scratch->inventories);
    if (reply->operation == HF_OP_AVAILABILITY)
        return read_availability(bytes, frame, reply, scratch->availability);
    return read_reservations(bytes, frame, reply, scratch->entries);
}

static bool read_yes(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply,
                     struct hf_reply_scratch *scratch)
{
    switch (reply->operation) {
    case HF_OP_PING:
    case HF_OP_SNAPSHOT:
    case HF_OP_UNSUBSCRIBE:
        return read_short(bytes, frame, reply);
    case HF_OP_INFO:
        return read_info(bytes, frame, &reply->info);
    case HF_OP_STATUS:
        return read_status(bytes, frame, &reply->status);
    case HF_OP_STATE_HASH:
        return read_hash(bytes, frame, reply);
    case HF_OP_INVENTORY_CREATE:
    case HF_OP_INVENTORY_GET:
        return read_inventory(bytes, frame, reply);
    case HF_OP_INVENTORY_SET:
    case HF_OP_INVENTORY_SETTINGS:
        return read_settings(bytes, frame, reply);
    case HF_OP_INVENTORY_LIST:
    case HF_OP_AVAILABILITY:
    case HF_OP_BATCH:
    case HF_OP_RESERVATION_LIST:
    case HF_OP_HISTORY:
        return read_list(bytes, frame, reply, scratch);
    case HF_OP_RESERVE:
    case HF_OP_RESERVATION_GET:
    case HF_OP_CANCEL:
    case HF_OP_HOLD:
    case HF_OP_CONFIRM:
    case HF_OP_RELEASE:
    case HF_OP_EXTEND:
    case HF_OP_CHANGE:
    case HF_OP_MOVE:
    case HF_OP_JOIN:
    case HF_OP_LEAVE:
        return read_reservation(bytes, frame, reply);
    case HF_OP_SUBSCRIBE:
        return read_records(bytes, frame, reply);
    }
    return false;
}

bool hf_reply_decode(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply,
                     struct hf_reply_scratch *scratch)
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
        return read_yes(bytes, frame, reply, scratch);
    return read_short(bytes, frame, reply);
}
