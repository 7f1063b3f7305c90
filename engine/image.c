/*
 * Images to bytes and back: the byte tables at the top of image.h, in code.
 *
 * Encoding is on the hot path, straight into a slot of the log's ring: each byte behind the LSN is
 * written once. Decoding is strict: what no server can have written is refused, the reserved bytes
 * included, so that a later format can give them a meaning. Each rule is about one image alone;
 * what may follow what is for those who know the images before it (docs/log-format.md).
 *
 * Logs of version 0.1.0 have zero in what they did not know: every rule allows that.
 */
#include "engine/image.h"

#include <string.h>

#include "base/bytes.h"
#include "wal/record.h"

enum {
    OFFSET_LSN = 0,
    OFFSET_KIND = HF_RECORD_IMAGE,
    OFFSET_STATE = 9,
    OFFSET_CHAIN_INDEX = HF_RECORD_CHAIN_INDEX,
    OFFSET_CHAIN_LENGTH = HF_RECORD_CHAIN_LENGTH,

    RESERVATION_QTY = 12,
    RESERVATION_ID = HF_IMAGE_ID,
    RESERVATION_INVENTORY_ID = HF_IMAGE_INVENTORY_ID,
    RESERVATION_CUSTOMER_ID = 40,
    RESERVATION_MADE_AT_NS = 48,
    RESERVATION_CHANGED_AT_NS = 56,
    RESERVATION_DEADLINE_NS = 64,
    RESERVATION_SEQUENCE = 72,
    RESERVATION_INVENTORY_VERSION = 76,
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
    INVENTORY_WAITING_LIMIT = 44,
    INVENTORY_MADE_AT_NS = 48,
    INVENTORY_CHANGED_AT_NS = 56,
    INVENTORY_CUSTOMER_LIMIT = 64,
    INVENTORY_MIN_QTY = 68,
    INVENTORY_MAX_QTY = 72,
    INVENTORY_VERSION = 76,
    INVENTORY_OPENS_AT_NS = 80,
    INVENTORY_CLOSES_AT_NS = 88,
    INVENTORY_LONGEST_HOLD_NS = 96,
    INVENTORY_CANCEL_UNTIL_NS = 104,
    INVENTORY_OFFER_TTL_NS = 112,
    INVENTORY_END = 120,

    EVENT_VERSION = 12,
    EVENT_INVENTORY_ID = 16,
    EVENT_AVAILABLE = 24,
    EVENT_ZERO = 28,
    EVENT_AT_NS = 56,
    EVENT_END = 64,
};

#define KNOWN_FLAGS                                                                                \
    (HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED | HF_INVENTORY_CLOSE_WHEN_SOLD_OUT |                \
     HF_INVENTORY_SKIP | HF_INVENTORY_SOLD_OUT_CLOSED)

_Static_assert(HF_RECORD_IMAGE + HF_RECORD_IMAGE_BYTES == HF_RECORD_BYTES, "LSN and image");

/* ---- encoding --------------------------------------------------------------------------- */

/* Bytes 8 .. 11. */
static inline void put_head(uint8_t *record, enum hf_image_kind kind, unsigned state,
                            uint8_t chain_index, uint8_t chain_length)
{
    record[OFFSET_KIND] = (uint8_t)kind;
    record[OFFSET_STATE] = (uint8_t)state;
    record[OFFSET_CHAIN_INDEX] = chain_index;
    record[OFFSET_CHAIN_LENGTH] = chain_length;
}

/* Bytes 12 .. 79 of a reservation. */
static inline void put_content(uint8_t *record, const struct hf_reservation *reservation,
                               uint32_t inventory_version)
{
    hf_put_u32(record + RESERVATION_QTY, reservation->qty);
    memcpy(record + RESERVATION_ID, reservation->id.bytes, sizeof reservation->id.bytes);
    hf_put_u64(record + RESERVATION_INVENTORY_ID, reservation->inventory_id);
    hf_put_u64(record + RESERVATION_CUSTOMER_ID, reservation->customer_id);
    hf_put_u64(record + RESERVATION_MADE_AT_NS, reservation->made_at_ns);
    hf_put_u64(record + RESERVATION_CHANGED_AT_NS, reservation->changed_at_ns);
    hf_put_u64(record + RESERVATION_DEADLINE_NS, reservation->deadline_ns);
    hf_put_u32(record + RESERVATION_SEQUENCE, reservation->sequence);
    hf_put_u32(record + RESERVATION_INVENTORY_VERSION, inventory_version);
}

/* Bytes 96 .. 127 of a reservation. */
static inline void put_notes(uint8_t *record, uint32_t origin, uint8_t made_as, uint8_t flags,
                             uint8_t reason)
{
    hf_put_u32(record + RESERVATION_ORIGIN, origin);
    record[RESERVATION_MADE_AS] = made_as;
    record[RESERVATION_FLAGS] = flags;
    record[RESERVATION_REASON] = reason;
    memset(record + RESERVATION_END, 0, HF_RECORD_BYTES - RESERVATION_END);
}

void hf_image_encode_reservation(uint8_t *record, const struct hf_reservation *reservation,
                                 const struct hf_image_notes *notes)
{
    put_head(record, HF_IMAGE_RESERVATION, reservation->state, notes->chain_index,
             notes->chain_length);
    put_content(record, reservation, notes->inventory_version);
    memcpy(record + RESERVATION_LINKED_ID, reservation->linked_id.bytes,
           sizeof reservation->linked_id.bytes);
    put_notes(record, notes->origin, notes->made_as, notes->flags, notes->reason);
}

/* Of HELD and CONFIRMED, `made_as` is a bit of the state: no branch. */
_Static_assert((HF_STATE_HELD & 1) == HF_STATE_HELD && (HF_STATE_CONFIRMED & 1) == 0,
               "made_as of a grant");

void hf_image_encode_grant(uint8_t *record, const struct hf_reservation *reservation,
                           uint32_t inventory_version, uint8_t flags)
{
    put_head(record, HF_IMAGE_RESERVATION, reservation->state, 0, 0);
    put_content(record, reservation, inventory_version);
    memset(record + RESERVATION_LINKED_ID, 0, sizeof reservation->linked_id.bytes);
    put_notes(record, 0, reservation->state & 1, flags, HF_REASON_REQUEST);
}

void hf_image_encode_inventory(uint8_t *record, const struct hf_inventory *inventory,
                               const struct hf_settings *settings, uint32_t sequence,
                               uint64_t changed_at_ns)
{
    put_head(record, HF_IMAGE_INVENTORY, 0, 0, 0);
    hf_put_u32(record + INVENTORY_SEQUENCE, sequence);
    hf_put_u64(record + INVENTORY_ID, inventory->inventory_id);
    hf_put_u64(record + INVENTORY_PRODUCT_ID, inventory->product_id);
    hf_put_u32(record + INVENTORY_CAPACITY, inventory->capacity);
    hf_put_u32(record + INVENTORY_SELL_LIMIT, settings->sell_limit);
    hf_put_u32(record + INVENTORY_FLAGS,
               settings->flags | (inventory->flags & HF_INVENTORY_SOLD_OUT_CLOSED));
    hf_put_u32(record + INVENTORY_WAITING_LIMIT, settings->waiting_limit);
    hf_put_u64(record + INVENTORY_MADE_AT_NS, inventory->made_at_ns);
    hf_put_u64(record + INVENTORY_CHANGED_AT_NS, changed_at_ns);
    hf_put_u32(record + INVENTORY_CUSTOMER_LIMIT, settings->customer_limit);
    hf_put_u32(record + INVENTORY_MIN_QTY, settings->min_qty);
    hf_put_u32(record + INVENTORY_MAX_QTY, settings->max_qty);
    hf_put_u32(record + INVENTORY_VERSION, inventory->version);
    hf_put_u64(record + INVENTORY_OPENS_AT_NS, settings->opens_at_ns);
    hf_put_u64(record + INVENTORY_CLOSES_AT_NS, settings->closes_at_ns);
    hf_put_u64(record + INVENTORY_LONGEST_HOLD_NS, settings->longest_hold_ns);
    hf_put_u64(record + INVENTORY_CANCEL_UNTIL_NS, settings->cancel_until_ns);
    hf_put_u64(record + INVENTORY_OFFER_TTL_NS, settings->offer_ttl_ns);
    memset(record + INVENTORY_END, 0, HF_RECORD_BYTES - INVENTORY_END);
}

void hf_image_encode_event(uint8_t *record, enum hf_image_event event,
                           const struct hf_inventory *inventory, uint64_t at_ns)
{
    put_head(record, HF_IMAGE_EVENT, event, 0, 0);
    hf_put_u32(record + EVENT_VERSION, inventory->version);
    hf_put_u64(record + EVENT_INVENTORY_ID, inventory->inventory_id);
    hf_put_u32(record + EVENT_AVAILABLE, (uint32_t)inventory->available);
    memset(record + EVENT_ZERO, 0, EVENT_AT_NS - EVENT_ZERO);
    hf_put_u64(record + EVENT_AT_NS, at_ns);
    memset(record + EVENT_END, 0, HF_RECORD_BYTES - EVENT_END);
}

/* ---- decoding --------------------------------------------------------------------------- */

static bool is_units(uint32_t units)
{
    return units >= 1 && units <= HF_MAX_UNITS;
}

static void read_reservation(const uint8_t *record, struct hf_image *image)
{
    struct hf_reservation *reservation = &image->reservation;
    reservation->lsn = image->lsn;
    reservation->state = (enum hf_state)record[OFFSET_STATE];
    reservation->qty = hf_get_u32(record + RESERVATION_QTY);
    memcpy(reservation->id.bytes, record + RESERVATION_ID, sizeof reservation->id.bytes);
    reservation->inventory_id = hf_get_u64(record + RESERVATION_INVENTORY_ID);
    reservation->customer_id = hf_get_u64(record + RESERVATION_CUSTOMER_ID);
    reservation->made_at_ns = hf_get_u64(record + RESERVATION_MADE_AT_NS);
    reservation->changed_at_ns = hf_get_u64(record + RESERVATION_CHANGED_AT_NS);
    reservation->deadline_ns = hf_get_u64(record + RESERVATION_DEADLINE_NS);
    reservation->sequence = hf_get_u32(record + RESERVATION_SEQUENCE);
    memcpy(reservation->linked_id.bytes, record + RESERVATION_LINKED_ID,
           sizeof reservation->linked_id.bytes);
    image->notes = (struct hf_image_notes){
        .inventory_version = hf_get_u32(record + RESERVATION_INVENTORY_VERSION),
        .origin = hf_get_u32(record + RESERVATION_ORIGIN),
        .made_as = record[RESERVATION_MADE_AS],
        .flags = record[RESERVATION_FLAGS],
        .reason = record[RESERVATION_REASON],
        .chain_index = image->chain_index,
        .chain_length = image->chain_length,
    };
}

/* The state in which it was made, and what can have become of it since. */
static const char *check_made_as(enum hf_state state, unsigned made_as)
{
    if (made_as != 0 && made_as != HF_STATE_HELD && made_as != HF_STATE_WAITING)
        return "the state in which the reservation was made is unknown";
    if (state == HF_STATE_WAITING && made_as != HF_STATE_WAITING)
        return "a WAITING reservation was not made as one";
    bool was_held =
        state == HF_STATE_HELD || state == HF_STATE_RELEASED || state == HF_STATE_EXPIRED;
    if (was_held && made_as == 0) /* CONFIRMED never becomes HELD */
        return "a reservation that was HELD was made as CONFIRMED";
    return NULL;
}

/* Why it changed, and what it can have become for that reason. */
static const char *check_reason(enum hf_state state, const struct hf_image_notes *notes)
{
    if (notes->reason > HF_REASON_LIMIT)
        return "the reason of the change is unknown";
    if ((state == HF_STATE_EXPIRED) != (notes->reason == HF_REASON_DEADLINE))
        return "a deadline is the reason of EXPIRED, and of nothing else";
    if (notes->reason == HF_REASON_OFFER &&
        (state != HF_STATE_HELD || notes->made_as != HF_STATE_WAITING))
        return "an offer is not HELD, or not from the waiting list";
    if (notes->reason == HF_REASON_LIMIT &&
        (state != HF_STATE_CANCELLED || notes->made_as != HF_STATE_WAITING))
        return "an offer beyond the customer's limit is not CANCELLED, or not from the waiting "
               "list";
    return NULL;
}

static const char *check_notes(const struct hf_reservation *reservation,
                               const struct hf_image_notes *notes)
{
    const char *fault = check_made_as(reservation->state, notes->made_as);
    if (fault == NULL)
        fault = check_reason(reservation->state, notes);
    if (fault != NULL)
        return fault;
    if ((notes->flags & ~HF_IMAGE_FLAG_SOLD_OUT) != 0)
        return "a flag of the reservation is unknown";
    if (notes->flags != 0 && !hf_state_is_active(reservation->state))
        return "a reservation without units took the last one";
    if (hf_id_is_zero(&reservation->linked_id))
        return NULL;
    if (notes->made_as != 0) /* what is claimed anew is CONFIRMED at once */
        return "a reservation that was not made as CONFIRMED has a linked id";
    if (hf_id_equal(&reservation->linked_id, &reservation->id))
        return "the reservation is linked to itself";
    return NULL;
}

static const char *decode_reservation(const uint8_t *record, struct hf_image *image)
{
    const struct hf_reservation *reservation = &image->reservation;
    uint8_t state = record[OFFSET_STATE];
    if (state < HF_STATE_HELD || state > HF_STATE_WAITING)
        return "the state of the reservation is unknown";
    if (image->chain_length > HF_MAX_CHAIN_RECORDS)
        return "the chain is longer than 128 records";
    if (image->chain_index >= image->chain_length && image->chain_index != 0)
        return "the place in the chain is behind its end";
    read_reservation(record, image);
    if (!is_units(reservation->qty))
        return "qty is not in 1 .. 536870911";
    if (hf_id_is_zero(&reservation->id))
        return "the reservation id is zero";
    if (reservation->changed_at_ns < reservation->made_at_ns)
        return "the reservation changed before it was made";
    if ((reservation->state == HF_STATE_HELD) != (reservation->deadline_ns != 0))
        return "a deadline belongs to HELD, and to nothing else";
    if (reservation->sequence == 0)
        return "the reservation's sequence is zero";
    if (!hf_all_zero(record + RESERVATION_END, HF_RECORD_BYTES - RESERVATION_END))
        return "reserved bytes of the reservation are not zero";
    return check_notes(reservation, &image->notes);
}

static void read_inventory(const uint8_t *record, struct hf_image *image)
{
    uint32_t flags = hf_get_u32(record + INVENTORY_FLAGS);
    image->settings = (struct hf_settings){
        .sell_limit = hf_get_u32(record + INVENTORY_SELL_LIMIT),
        .customer_limit = hf_get_u32(record + INVENTORY_CUSTOMER_LIMIT),
        .min_qty = hf_get_u32(record + INVENTORY_MIN_QTY),
        .max_qty = hf_get_u32(record + INVENTORY_MAX_QTY),
        .waiting_limit = hf_get_u32(record + INVENTORY_WAITING_LIMIT),
        .flags = flags,
        .opens_at_ns = hf_get_u64(record + INVENTORY_OPENS_AT_NS),
        .closes_at_ns = hf_get_u64(record + INVENTORY_CLOSES_AT_NS),
        .longest_hold_ns = hf_get_u64(record + INVENTORY_LONGEST_HOLD_NS),
        .cancel_until_ns = hf_get_u64(record + INVENTORY_CANCEL_UNTIL_NS),
        .offer_ttl_ns = hf_get_u64(record + INVENTORY_OFFER_TTL_NS),
    };
    image->inventory = (struct hf_inventory){
        .inventory_id = hf_get_u64(record + INVENTORY_ID),
        .product_id = hf_get_u64(record + INVENTORY_PRODUCT_ID),
        .lsn = image->lsn,
        .made_at_ns = hf_get_u64(record + INVENTORY_MADE_AT_NS),
        .capacity = hf_get_u32(record + INVENTORY_CAPACITY),
        .sell_limit = image->settings.sell_limit,
        .flags = flags,
        .version = hf_get_u32(record + INVENTORY_VERSION),
    };
    image->inventory_sequence = hf_get_u32(record + INVENTORY_SEQUENCE);
    image->inventory_changed_at_ns = hf_get_u64(record + INVENTORY_CHANGED_AT_NS);
}

static const char *check_settings(const struct hf_settings *settings)
{
    if (settings->sell_limit > HF_MAX_UNITS)
        return "the sell limit is above 536870911";
    if ((settings->flags & ~KNOWN_FLAGS) != 0)
        return "a flag of the inventory is unknown";
    if (settings->max_qty != 0 && settings->min_qty > settings->max_qty)
        return "the smallest quantity is above the largest";
    if (settings->longest_hold_ns > HF_MAX_TTL_NS)
        return "the longest hold is longer than 100 days";
    if (settings->offer_ttl_ns > HF_MAX_TTL_NS)
        return "an offer stands longer than 100 days";
    return NULL;
}

static const char *decode_inventory(const uint8_t *record, struct hf_image *image)
{
    if (record[OFFSET_STATE] != 0 || image->chain_length != 0 || image->chain_index != 0 ||
        !hf_all_zero(record + INVENTORY_END, HF_RECORD_BYTES - INVENTORY_END))
        return "reserved bytes of the inventory are not zero";
    read_inventory(record, image);
    if (!is_units(image->inventory.capacity))
        return "the capacity is not in 1 .. 536870911";
    if (image->inventory_changed_at_ns < image->inventory.made_at_ns)
        return "the inventory changed before it was made";
    if (image->inventory_sequence == 0)
        return "the inventory's sequence is zero";
    return check_settings(&image->settings);
}

static const char *decode_event(const uint8_t *record, struct hf_image *image)
{
    image->event = record[OFFSET_STATE];
    image->event_at_ns = hf_get_u64(record + EVENT_AT_NS);
    uint32_t available = hf_get_u32(record + EVENT_AVAILABLE);
    if (image->event != HF_EVENT_AVAILABLE_AGAIN)
        return "the event is unknown";
    if (!is_units(available)) /* the event says that some can be had */
        return "the event's available units are not in 1 .. 536870911";
    if (image->chain_length != 0 || image->chain_index != 0 ||
        !hf_all_zero(record + EVENT_ZERO, EVENT_AT_NS - EVENT_ZERO) ||
        !hf_all_zero(record + EVENT_END, HF_RECORD_BYTES - EVENT_END))
        return "reserved bytes of the event are not zero";
    image->inventory = (struct hf_inventory){
        .inventory_id = hf_get_u64(record + EVENT_INVENTORY_ID),
        .lsn = image->lsn,
        .available = (int32_t)available,
        .version = hf_get_u32(record + EVENT_VERSION),
    };
    return NULL;
}

const char *hf_image_decode(const uint8_t *record, struct hf_image *image)
{
    image->lsn = hf_get_u64(record + OFFSET_LSN);
    image->kind = (enum hf_image_kind)record[OFFSET_KIND];
    image->chain_index = record[OFFSET_CHAIN_INDEX];
    image->chain_length = record[OFFSET_CHAIN_LENGTH];
    switch (record[OFFSET_KIND]) {
    case HF_IMAGE_INVENTORY:
        return decode_inventory(record, image);
    case HF_IMAGE_RESERVATION:
        return decode_reservation(record, image);
    case HF_IMAGE_EVENT:
        return decode_event(record, image);
    default:
        return "the kind of the image is unknown";
    }
}
