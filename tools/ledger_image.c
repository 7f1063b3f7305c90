/* Records as the ledger reads them; see ledger_image.h. */
#include "tools/ledger_image.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL /* records are short */
#include <xxhash.h>

#include "base/bytes.h"

#define MAX_HOLD_NS  (100ull * 24 * 3600 * 1000000000ull)
#define HASHED_BYTES (HF_LEDGER_RECORD_BYTES + 8)

/* Offsets in a record. */
enum {
    AT_LSN = 0,
    AT_KIND = 8,
    AT_STATE = 9,
    AT_CHAIN_INDEX = 10,
    AT_CHAIN_LENGTH = 11,

    RESERVATION_QTY = 12,
    RESERVATION_INVENTORY_ID = 32,
    RESERVATION_CUSTOMER_ID = 40,
    RESERVATION_MADE_AT = 48,
    RESERVATION_CHANGED_AT = 56,
    RESERVATION_DEADLINE = 64,
    RESERVATION_SEQUENCE = 72,
    RESERVATION_VERSION = 76,
    RESERVATION_LINKED_ID = 80,
    RESERVATION_ORIGIN = 96,
    RESERVATION_MADE_AS = 100,
    RESERVATION_FLAGS = 101,
    RESERVATION_REASON = 102,
    RESERVATION_END = 103,

    INVENTORY_SEQUENCE = 12,
    INVENTORY_ID = 16,
    INVENTORY_PRODUCT_ID = 24,
    INVENTORY_CAPACITY = 32,
    INVENTORY_SELL_LIMIT = 36,
    INVENTORY_FLAGS = 40,
    INVENTORY_MADE_AT = 48,
    INVENTORY_CHANGED_AT = 56,
    INVENTORY_CUSTOMER_LIMIT = 64,
    INVENTORY_MIN_QTY = 68,
    INVENTORY_MAX_QTY = 72,
    INVENTORY_VERSION = 76,
    INVENTORY_OPENS_AT = 80,
    INVENTORY_CLOSES_AT = 88,
    INVENTORY_LONGEST_HOLD = 96,
    INVENTORY_OFFER_TTL = 112,
    INVENTORY_END = 120,

    EVENT_VERSION = 12,
    EVENT_INVENTORY_ID = 16,
    EVENT_AVAILABLE = 24,
    EVENT_ZERO = 28,
    EVENT_CHANGED_AT = 56,
    EVENT_END = 64,
};

#define EVENT_AVAILABLE_AGAIN 1
#define INVENTORY_FLAGS_KNOWN                                                                      \
    (LEDGER_PAUSED | LEDGER_CLOSED | LEDGER_CLOSE_WHEN_SOLD_OUT | LEDGER_SKIP |                    \
     LEDGER_SOLD_OUT_CLOSED)

const char *hf_ledger_reason(char *reason, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, HF_LEDGER_REASON_BYTES, format, arguments);
    va_end(arguments);
    return reason;
}

const char *hf_ledger_state_name(unsigned state)
{
    static const char *const names[HF_LEDGER_STATES] = {
        "unmade", "HELD", "CONFIRMED", "CANCELLED", "RELEASED", "EXPIRED", "WAITING",
    };
    return names[state];
}

static bool zeros(const uint8_t *record, size_t from, size_t to)
{
    return hf_all_zero(record + from, to - from);
}

/* The same of what every record of a reservation is asked. */
static bool is_id_zero(const uint8_t *id)
{
    return (hf_get_u64(id) | hf_get_u64(id + 8)) == 0;
}

static bool is_reservation_end_zero(const uint8_t *record)
{
    _Static_assert(RESERVATION_END == 103 && HF_LEDGER_RECORD_BYTES == 128, "25 bytes");
    return (record[RESERVATION_END] | hf_get_u64(record + 104) | hf_get_u64(record + 112) |
            hf_get_u64(record + 120)) == 0;
}

static bool is_units(uint32_t units)
{
    return units != 0 && units <= HF_LEDGER_UNITS_MAX;
}

/* ---- reservations ----------------------------------------------------------------------- */

static void read_reservation(const uint8_t *record, struct hf_ledger_reservation_image *image)
{
    bool linked = !is_id_zero(record + RESERVATION_LINKED_ID);
    *image = (struct hf_ledger_reservation_image){
        .id = record + HF_LEDGER_AT_ID,
        .linked_id = linked ? record + RESERVATION_LINKED_ID : NULL,
        .inventory_id = hf_get_u64(record + RESERVATION_INVENTORY_ID),
        .customer_id = hf_get_u64(record + RESERVATION_CUSTOMER_ID),
        .made_at_ns = hf_get_u64(record + RESERVATION_MADE_AT),
        .changed_at_ns = hf_get_u64(record + RESERVATION_CHANGED_AT),
        .deadline_ns = hf_get_u64(record + RESERVATION_DEADLINE),
        .qty = hf_get_u32(record + RESERVATION_QTY),
        .sequence = hf_get_u32(record + RESERVATION_SEQUENCE),
        .inventory_version = hf_get_u32(record + RESERVATION_VERSION),
        .origin = hf_get_u32(record + RESERVATION_ORIGIN),
        .state = record[AT_STATE],
        .made_as = record[RESERVATION_MADE_AS],
        .flags = record[RESERVATION_FLAGS],
        .reason = record[RESERVATION_REASON],
    };
}

static const char *check_chain(const struct hf_ledger_image *image, char *reason)
{
    if (image->chain_length > HF_LEDGER_CHAIN_MAX)
        return hf_ledger_reason(reason, "a chain has %u records", image->chain_length);
    if (image->chain_length == 0 ? image->chain_index != 0
                                 : image->chain_index >= image->chain_length)
        return hf_ledger_reason(reason, "a record has place %u of a chain of %u",
                                image->chain_index, image->chain_length);
    return NULL;
}

/* A deadline is there if and only if it is HELD, and is not behind it, nor too far before it. */
static const char *check_deadline(const struct hf_ledger_reservation_image *image, char *reason)
{
    if (image->state != LEDGER_HELD)
        return image->deadline_ns == 0
                   ? NULL
                   : hf_ledger_reason(reason, "a reservation that is %s has a deadline",
                                      hf_ledger_state_name(image->state));
    if (image->deadline_ns <= image->changed_at_ns)
        return hf_ledger_reason(reason, "a HELD reservation changed when its deadline had passed");
    if (image->deadline_ns - image->changed_at_ns > MAX_HOLD_NS)
        return hf_ledger_reason(reason, "a reservation is HELD for more than 100 days");
    return NULL;
}

static const char *check_made_as(const struct hf_ledger_reservation_image *image, char *reason)
{
    /* By state: in which states it can have been made, as bits. CONFIRMED is told as 0. */
    enum { CONFIRMED = 1 << 0, HELD = 1 << LEDGER_HELD, WAITING = 1 << LEDGER_WAITING };
    static const uint8_t possible[HF_LEDGER_STATES] = {
        [LEDGER_HELD] = HELD | WAITING,
        [LEDGER_CONFIRMED] = CONFIRMED | HELD | WAITING,
        [LEDGER_CANCELLED] = CONFIRMED | HELD | WAITING,
        [LEDGER_RELEASED] = HELD | WAITING,
        [LEDGER_EXPIRED] = HELD | WAITING,
        [LEDGER_WAITING] = WAITING,
    };
    if (image->made_as > LEDGER_WAITING || (possible[image->state] & 1u << image->made_as) == 0)
        return hf_ledger_reason(reason, "a reservation that is %s was made as state %u",
                                hf_ledger_state_name(image->state), image->made_as);
    return NULL;
}

static const char *check_reason(const struct hf_ledger_reservation_image *image, char *reason)
{
    /* By reason: the states that it leads to, as bits; those behind the first two, from WAITING. */
    static const uint8_t possible[] = {
        [LEDGER_REQUEST] = (uint8_t) ~(1u << LEDGER_EXPIRED),
        [LEDGER_DEADLINE] = 1u << LEDGER_EXPIRED,
        [LEDGER_OFFER] = 1u << LEDGER_HELD,
        [LEDGER_LIMIT] = 1u << LEDGER_CANCELLED,
    };
    if (image->reason > LEDGER_LIMIT)
        return hf_ledger_reason(reason, "a reservation changed for reason %u, which is unknown",
                                image->reason);
    if ((possible[image->reason] & 1u << image->state) == 0)
        return hf_ledger_reason(reason, "a reservation is %s for reason %u",
                                hf_ledger_state_name(image->state), image->reason);
    if (image->reason >= LEDGER_OFFER && image->made_as != LEDGER_WAITING)
        return hf_ledger_reason(reason, "a reservation that never waited changed for reason %u",
                                image->reason);
    return NULL;
}

static const char *check_reservation(const uint8_t *record,
                                     const struct hf_ledger_reservation_image *image, char *reason)
{
    if (!is_reservation_end_zero(record))
        return hf_ledger_reason(reason,
                                "a reservation record has reserved bytes that are not zero");
    if (image->state == LEDGER_NONE || image->state >= HF_LEDGER_STATES)
        return hf_ledger_reason(reason, "a reservation has state %u, which is unknown",
                                image->state);
    if (is_id_zero(record + HF_LEDGER_AT_ID))
        return hf_ledger_reason(reason, "a reservation has id zero");
    if (!is_units(image->qty))
        return hf_ledger_reason(reason, "a reservation has qty %" PRIu32, image->qty);
    if (image->sequence == 0)
        return hf_ledger_reason(reason, "a reservation has sequence 0");
    if (image->changed_at_ns < image->made_at_ns)
        return hf_ledger_reason(reason, "a reservation was changed before it was made");
    if ((image->flags & ~LEDGER_SOLD_OUT) != 0)
        return hf_ledger_reason(reason, "a reservation has flags %u", image->flags);
    if (image->flags != 0 && !hf_ledger_is_active(image->state))
        return hf_ledger_reason(reason, "a reservation that is %s took the last unit",
                                hf_ledger_state_name(image->state));
    if (image->linked_id != NULL && image->made_as != 0)
        return hf_ledger_reason(reason, "a reservation that was not made as CONFIRMED is linked");
    if (image->linked_id != NULL && memcmp(image->linked_id, image->id, HF_LEDGER_ID_BYTES) == 0)
        return hf_ledger_reason(reason, "a reservation is linked to itself");
    const char *fault = check_deadline(image, reason);
    if (fault == NULL)
        fault = check_made_as(image, reason);
    return fault != NULL ? fault : check_reason(image, reason);
}

/* ---- inventories and events ------------------------------------------------------------- */

static void read_inventory(const uint8_t *record, struct hf_ledger_inventory_image *image)
{
    *image = (struct hf_ledger_inventory_image){
        .inventory_id = hf_get_u64(record + INVENTORY_ID),
        .product_id = hf_get_u64(record + INVENTORY_PRODUCT_ID),
        .made_at_ns = hf_get_u64(record + INVENTORY_MADE_AT),
        .changed_at_ns = hf_get_u64(record + INVENTORY_CHANGED_AT),
        .opens_at_ns = hf_get_u64(record + INVENTORY_OPENS_AT),
        .closes_at_ns = hf_get_u64(record + INVENTORY_CLOSES_AT),
        .longest_hold_ns = hf_get_u64(record + INVENTORY_LONGEST_HOLD),
        .sequence = hf_get_u32(record + INVENTORY_SEQUENCE),
        .sell_limit = hf_get_u32(record + INVENTORY_SELL_LIMIT),
        .flags = hf_get_u32(record + INVENTORY_FLAGS),
        .customer_limit = hf_get_u32(record + INVENTORY_CUSTOMER_LIMIT),
        .min_qty = hf_get_u32(record + INVENTORY_MIN_QTY),
        .max_qty = hf_get_u32(record + INVENTORY_MAX_QTY),
        .inventory_version = hf_get_u32(record + INVENTORY_VERSION),
    };
}

static const char *check_inventory(const uint8_t *record,
                                   const struct hf_ledger_inventory_image *image, char *reason)
{
    uint32_t capacity = hf_get_u32(record + INVENTORY_CAPACITY);
    if (!zeros(record, AT_STATE, INVENTORY_SEQUENCE) ||
        !zeros(record, INVENTORY_END, HF_LEDGER_RECORD_BYTES))
        return hf_ledger_reason(reason, "an inventory record has reserved bytes that are not zero");
    if (image->sequence == 0)
        return hf_ledger_reason(reason, "an inventory has sequence 0");
    if (!is_units(capacity))
        return hf_ledger_reason(reason, "an inventory has capacity %" PRIu32, capacity);
    if (image->sell_limit > HF_LEDGER_UNITS_MAX)
        return hf_ledger_reason(reason, "an inventory has sell limit %" PRIu32, image->sell_limit);
    if ((image->flags & ~(uint32_t)INVENTORY_FLAGS_KNOWN) != 0)
        return hf_ledger_reason(reason, "an inventory has flags %" PRIu32, image->flags);
    if (image->max_qty != 0 && image->min_qty > image->max_qty)
        return hf_ledger_reason(
            reason, "an inventory allows at least %" PRIu32 " units a claim and at most %" PRIu32,
            image->min_qty, image->max_qty);
    if (image->longest_hold_ns > MAX_HOLD_NS)
        return hf_ledger_reason(reason, "an inventory allows holds of more than 100 days");
    if (hf_get_u64(record + INVENTORY_OFFER_TTL) > MAX_HOLD_NS)
        return hf_ledger_reason(reason, "an inventory's offers stand for more than 100 days");
    if (image->changed_at_ns < image->made_at_ns)
        return hf_ledger_reason(reason, "an inventory was changed before it was made");
    return NULL;
}

static const char *check_event(const uint8_t *record, char *reason)
{
    if (record[AT_STATE] != EVENT_AVAILABLE_AGAIN)
        return hf_ledger_reason(reason, "an event is of kind %u, which is unknown",
                                record[AT_STATE]);
    if (!zeros(record, AT_CHAIN_INDEX, EVENT_VERSION) ||
        !zeros(record, EVENT_ZERO, EVENT_CHANGED_AT) ||
        !zeros(record, EVENT_END, HF_LEDGER_RECORD_BYTES))
        return hf_ledger_reason(reason, "an event record has reserved bytes that are not zero");
    if (!is_units(hf_get_u32(record + EVENT_AVAILABLE)))
        return hf_ledger_reason(reason, "an event tells of %" PRIu32 " available units",
                                hf_get_u32(record + EVENT_AVAILABLE));
    return NULL;
}

const char *hf_ledger_image_read(const uint8_t *record, struct hf_ledger_image *image, char *reason)
{
    image->lsn = hf_get_u64(record + AT_LSN);
    image->kind = record[AT_KIND];
    image->chain_index = 0;
    image->chain_length = 0;
    switch (image->kind) {
    case LEDGER_INVENTORY:
        read_inventory(record, &image->inventory);
        return check_inventory(record, &image->inventory, reason);
    case LEDGER_RESERVATION:
        image->chain_index = record[AT_CHAIN_INDEX];
        image->chain_length = record[AT_CHAIN_LENGTH];
        read_reservation(record, &image->reservation);
        return check_chain(image, reason) != NULL
                   ? reason
                   : check_reservation(record, &image->reservation, reason);
    case LEDGER_EVENT:
        image->event = (struct hf_ledger_event_image){
            .inventory_id = hf_get_u64(record + EVENT_INVENTORY_ID),
            .changed_at_ns = hf_get_u64(record + EVENT_CHANGED_AT),
            .inventory_version = hf_get_u32(record + EVENT_VERSION),
        };
        return check_event(record, reason);
    default:
        return hf_ledger_reason(reason, "the record is of kind %u, which is unknown", image->kind);
    }
}

bool hf_ledger_image_is_old(const uint8_t *record)
{
    if (!zeros(record, AT_CHAIN_INDEX, AT_CHAIN_LENGTH + 1))
        return false;
    if (record[AT_KIND] == LEDGER_INVENTORY)
        return zeros(record, INVENTORY_FLAGS, INVENTORY_MADE_AT) &&
               zeros(record, INVENTORY_CUSTOMER_LIMIT, HF_LEDGER_RECORD_BYTES);
    bool claims = record[AT_STATE] == LEDGER_CONFIRMED;
    return record[AT_KIND] == LEDGER_RESERVATION &&
           (claims || record[AT_STATE] == LEDGER_CANCELLED) &&
           zeros(record, RESERVATION_DEADLINE, RESERVATION_SEQUENCE) &&
           zeros(record, RESERVATION_LINKED_ID, HF_LEDGER_RECORD_BYTES) &&
           (claims || hf_get_u32(record + RESERVATION_VERSION) == 0);
}

/* ---- writing, and the state hash --------------------------------------------------------- */

_Static_assert(RESERVATION_QTY == 12 && RESERVATION_SEQUENCE == 72 && RESERVATION_VERSION == 76 &&
                   RESERVATION_ORIGIN == 96 && RESERVATION_MADE_AS == 100 &&
                   RESERVATION_FLAGS == 101 && RESERVATION_REASON == 102,
               "several of these are written as one number");

/* What the state hash leaves out is zero in `hashed`, which may be the record. Each number is
 * written once, and whole, so that it can be read again at once. */
static void write_hashed(const struct hf_ledger_reservation_image *image, uint64_t lsn,
                         uint8_t *hashed)
{
    hf_put_u64(hashed + AT_LSN, lsn);
    hf_put_u64(hashed + AT_KIND,
               LEDGER_RESERVATION | (uint64_t)image->state << 8 | (uint64_t)image->qty << 32);
    memcpy(hashed + HF_LEDGER_AT_ID, image->id, HF_LEDGER_ID_BYTES);
    hf_put_u64(hashed + RESERVATION_INVENTORY_ID, image->inventory_id);
    hf_put_u64(hashed + RESERVATION_CUSTOMER_ID, image->customer_id);
    hf_put_u64(hashed + RESERVATION_MADE_AT, image->made_at_ns);
    hf_put_u64(hashed + RESERVATION_CHANGED_AT, image->changed_at_ns);
    hf_put_u64(hashed + RESERVATION_DEADLINE, image->deadline_ns);
    hf_put_u64(hashed + RESERVATION_SEQUENCE, image->sequence);
    hf_put_u64(hashed + RESERVATION_LINKED_ID, 0);
    hf_put_u64(hashed + RESERVATION_LINKED_ID + 8, 0);
    hf_put_u64(hashed + RESERVATION_ORIGIN, image->origin | (uint64_t)image->made_as << 32);
    memset(hashed + RESERVATION_ORIGIN + 8, 0, HF_LEDGER_RECORD_BYTES - RESERVATION_ORIGIN - 8);
}

void hf_ledger_image_write(const struct hf_ledger_reservation_image *image, uint64_t lsn,
                           uint8_t *record)
{
    write_hashed(image, lsn, record);
    hf_put_u32(record + RESERVATION_VERSION, image->inventory_version);
    if (image->linked_id != NULL)
        memcpy(record + RESERVATION_LINKED_ID, image->linked_id, HF_LEDGER_ID_BYTES);
    record[RESERVATION_FLAGS] = image->flags;
    record[RESERVATION_REASON] = image->reason;
}

uint64_t hf_ledger_reservation_hash(const struct hf_ledger_reservation_image *image, uint64_t lsn)
{
    uint8_t hashed[HF_LEDGER_RECORD_BYTES];
    write_hashed(image, lsn, hashed);
    return XXH3_64bits(hashed, sizeof hashed);
}

void hf_ledger_inventory_rewrite(uint8_t *record, uint32_t version, bool sold_out_closed)
{
    hf_put_u32(record + INVENTORY_VERSION, version);
    record[INVENTORY_FLAGS] &= (uint8_t)~LEDGER_SOLD_OUT_CLOSED;
    if (sold_out_closed)
        record[INVENTORY_FLAGS] |= LEDGER_SOLD_OUT_CLOSED;
}

uint64_t hf_ledger_inventory_hash(const uint8_t *record, int64_t available)
{
    uint8_t hashed[HASHED_BYTES];
    memcpy(hashed, record, HF_LEDGER_RECORD_BYTES);
    hf_put_u32(hashed + INVENTORY_VERSION, 0);
    hashed[INVENTORY_FLAGS] &= (uint8_t)~LEDGER_SOLD_OUT_CLOSED;
    hf_put_u64(hashed + HF_LEDGER_RECORD_BYTES, (uint64_t)available);
    return XXH3_64bits(hashed, sizeof hashed);
}
