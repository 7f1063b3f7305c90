/*
 * Images to bytes and back: the byte tables at the top of image.h, in code.
 *
 * Encoding is on the hot path, straight into a slot of the log's ring: each byte behind the LSN is
 * written once. Decoding is strict: what the encoders cannot have written is refused, the reserved
 * bytes included, so that a later format can give them a meaning.
 */
#include "engine/image.h"

#include <string.h>

#include "base/bytes.h"
#include "wal/record.h"

enum {
    OFFSET_LSN = 0,
    OFFSET_KIND = HF_RECORD_IMAGE,
    OFFSET_STATE = 9,
    OFFSET_ZERO = 10,

    RESERVATION_QTY = 12,
    RESERVATION_ID = 16,
    RESERVATION_INVENTORY_ID = 32,
    RESERVATION_CUSTOMER_ID = 40,
    RESERVATION_MADE_AT_NS = 48,
    RESERVATION_CHANGED_AT_NS = 56,
    RESERVATION_ZERO = 64,
    RESERVATION_SEQUENCE = 72,
    RESERVATION_INVENTORY_VERSION = 76,
    RESERVATION_END = 80,

    INVENTORY_SEQUENCE = 12,
    INVENTORY_ID = 16,
    INVENTORY_PRODUCT_ID = 24,
    INVENTORY_CAPACITY = 32,
    INVENTORY_SELL_LIMIT = 36,
    INVENTORY_ZERO = 40,
    INVENTORY_MADE_AT_NS = 48,
    INVENTORY_CHANGED_AT_NS = 56,
    INVENTORY_END = 64,
};

_Static_assert(HF_RECORD_IMAGE + HF_RECORD_IMAGE_BYTES == HF_RECORD_BYTES, "LSN and image");

void hf_image_encode_reservation(uint8_t *record, const struct hf_reservation *reservation,
                                 uint32_t inventory_version)
{
    record[OFFSET_KIND] = HF_IMAGE_RESERVATION;
    record[OFFSET_STATE] = (uint8_t)reservation->state;
    hf_put_u16(record + OFFSET_ZERO, 0);
    hf_put_u32(record + RESERVATION_QTY, reservation->qty);
    memcpy(record + RESERVATION_ID, reservation->id.bytes, sizeof(reservation->id.bytes));
    hf_put_u64(record + RESERVATION_INVENTORY_ID, reservation->inventory_id);
    hf_put_u64(record + RESERVATION_CUSTOMER_ID, reservation->customer_id);
    hf_put_u64(record + RESERVATION_MADE_AT_NS, reservation->made_at_ns);
    hf_put_u64(record + RESERVATION_CHANGED_AT_NS, reservation->changed_at_ns);
    hf_put_u64(record + RESERVATION_ZERO, 0);
    hf_put_u32(record + RESERVATION_SEQUENCE, reservation->sequence);
    hf_put_u32(record + RESERVATION_INVENTORY_VERSION, inventory_version);
    memset(record + RESERVATION_END, 0, HF_RECORD_BYTES - RESERVATION_END);
}

void hf_image_encode_inventory(uint8_t *record, const struct hf_inventory *inventory,
                               uint32_t sequence, uint64_t changed_at_ns)
{
    record[OFFSET_KIND] = HF_IMAGE_INVENTORY;
    record[OFFSET_STATE] = 0;
    hf_put_u16(record + OFFSET_ZERO, 0);
    hf_put_u32(record + INVENTORY_SEQUENCE, sequence);
    hf_put_u64(record + INVENTORY_ID, inventory->inventory_id);
    hf_put_u64(record + INVENTORY_PRODUCT_ID, inventory->product_id);
    hf_put_u32(record + INVENTORY_CAPACITY, inventory->capacity);
    hf_put_u32(record + INVENTORY_SELL_LIMIT, inventory->sell_limit);
    hf_put_u64(record + INVENTORY_ZERO, 0);
    hf_put_u64(record + INVENTORY_MADE_AT_NS, inventory->made_at_ns);
    hf_put_u64(record + INVENTORY_CHANGED_AT_NS, changed_at_ns);
    memset(record + INVENTORY_END, 0, HF_RECORD_BYTES - INVENTORY_END);
}

static bool is_units(uint32_t units)
{
    return units >= 1 && units <= HF_MAX_UNITS;
}

static const char *decode_reservation(const uint8_t *record, struct hf_image *image)
{
    struct hf_reservation *reservation = &image->reservation;
    uint8_t state = record[OFFSET_STATE];
    if (state != HF_STATE_CONFIRMED && state != HF_STATE_CANCELLED)
        return "the state of the reservation is unknown";
    reservation->state = (enum hf_state)state;
    reservation->lsn = image->lsn;
    reservation->qty = hf_get_u32(record + RESERVATION_QTY);
    memcpy(reservation->id.bytes, record + RESERVATION_ID, sizeof(reservation->id.bytes));
    reservation->inventory_id = hf_get_u64(record + RESERVATION_INVENTORY_ID);
    reservation->customer_id = hf_get_u64(record + RESERVATION_CUSTOMER_ID);
    reservation->made_at_ns = hf_get_u64(record + RESERVATION_MADE_AT_NS);
    reservation->changed_at_ns = hf_get_u64(record + RESERVATION_CHANGED_AT_NS);
    reservation->sequence = hf_get_u32(record + RESERVATION_SEQUENCE);
    image->inventory_version = hf_get_u32(record + RESERVATION_INVENTORY_VERSION);

    if (!is_units(reservation->qty))
        return "qty is not in 1 .. 536870911";
    if (hf_all_zero(reservation->id.bytes, sizeof(reservation->id.bytes)))
        return "the reservation id is zero";
    if (reservation->changed_at_ns < reservation->made_at_ns)
        return "the reservation changed before it was made";
    if (reservation->sequence == 0)
        return "the reservation's sequence is zero";
    if (hf_get_u64(record + RESERVATION_ZERO) != 0 ||
        !hf_all_zero(record + RESERVATION_END, HF_RECORD_BYTES - RESERVATION_END))
        return "reserved bytes of the reservation are not zero";
    return NULL;
}

static const char *decode_inventory(const uint8_t *record, struct hf_image *image)
{
    struct hf_inventory *inventory = &image->inventory;
    inventory->lsn = image->lsn;
    inventory->inventory_id = hf_get_u64(record + INVENTORY_ID);
    inventory->product_id = hf_get_u64(record + INVENTORY_PRODUCT_ID);
    inventory->capacity = hf_get_u32(record + INVENTORY_CAPACITY);
    inventory->sell_limit = hf_get_u32(record + INVENTORY_SELL_LIMIT);
    inventory->made_at_ns = hf_get_u64(record + INVENTORY_MADE_AT_NS);
    inventory->available = 0;
    inventory->held = 0;
    inventory->confirmed = 0;
    inventory->version = 0;
    image->inventory_sequence = hf_get_u32(record + INVENTORY_SEQUENCE);
    image->inventory_changed_at_ns = hf_get_u64(record + INVENTORY_CHANGED_AT_NS);

    if (!is_units(inventory->capacity))
        return "the capacity is not in 1 .. 536870911";
    if (!is_units(inventory->sell_limit))
        return "the sell limit is not in 1 .. 536870911";
    if (image->inventory_changed_at_ns < inventory->made_at_ns)
        return "the inventory changed before it was made";
    if (image->inventory_sequence == 0)
        return "the inventory's sequence is zero";
    if (record[OFFSET_STATE] != 0 || hf_get_u64(record + INVENTORY_ZERO) != 0 ||
        !hf_all_zero(record + INVENTORY_END, HF_RECORD_BYTES - INVENTORY_END))
        return "reserved bytes of the inventory are not zero";
    return NULL;
}

const char *hf_image_decode(const uint8_t *record, struct hf_image *image)
{
    uint8_t kind = record[OFFSET_KIND];
    if (kind != HF_IMAGE_RESERVATION && kind != HF_IMAGE_INVENTORY)
        return "the kind of the image is unknown";
    if (hf_get_u16(record + OFFSET_ZERO) != 0)
        return "reserved bytes behind the kind are not zero";
    image->lsn = hf_get_u64(record + OFFSET_LSN);
    image->kind = (enum hf_image_kind)kind;
    return kind == HF_IMAGE_RESERVATION ? decode_reservation(record, image)
                                        : decode_inventory(record, image);
}
