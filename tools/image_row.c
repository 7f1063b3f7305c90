/*
 * Images as rows of CSV; see image_text.h. All kinds are in one table: each row has every column,
 * in this order, and leaves empty what is not its own.
 */
#include "base/bytes.h"
#include "tools/image_text.h"
#include "wal/record.h"

const char hf_image_columns[] =
    "lsn,kind,reservation_id,inventory_id,customer_id,product_id,qty,status,sequence,"
    "inventory_version,made_at,changed_at,deadline,made_as,reason,sold_out,linked_id,origin,"
    "chain_place,chain_length,capacity,sell_limit,available,event,paused,closed,"
    "close_when_sold_out,skip,sold_out_closed,customer_limit,min_qty,max_qty,waiting_limit,opens_"
    "at,"
    "closes_at,longest_hold,cancel_until,offer_ttl,hex";

/* Columns that this kind of record does not have. */
static void put_empty(struct hf_rows *rows, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        hf_row_text(rows, "", NULL);
}

static void begin(struct hf_rows *rows, uint64_t lsn, const char *kind)
{
    hf_row_begin(rows, kind);
    hf_row_number(rows, "lsn", lsn);
    hf_row_text(rows, "kind", kind);
}

static void put_reservation(struct hf_rows *rows, const struct hf_image *image)
{
    const struct hf_reservation *reservation = &image->reservation;
    const struct hf_image_notes *notes = &image->notes;
    char origin[16];
    snprintf(origin, sizeof origin, "%08x", notes->origin);
    begin(rows, image->lsn, "reservation");
    hf_row_id(rows, "reservation_id", &reservation->id);
    hf_row_number(rows, "inventory_id", reservation->inventory_id);
    hf_row_number(rows, "customer_id", reservation->customer_id);
    put_empty(rows, 1);
    hf_row_number(rows, "qty", reservation->qty);
    hf_row_text(rows, "status", hf_state_name(reservation->state));
    hf_row_number(rows, "sequence", reservation->sequence);
    hf_row_number(rows, "inventory_version", notes->inventory_version);
    hf_row_date(rows, "made_at", reservation->made_at_ns);
    hf_row_date(rows, "changed_at", reservation->changed_at_ns);
    hf_row_date(rows, "deadline", reservation->deadline_ns);
    hf_row_text(rows, "made_as", hf_image_made_as_name(image));
    hf_row_text(rows, "reason", hf_image_reason_name(notes->reason));
    hf_row_flag(rows, "sold_out", (notes->flags & HF_IMAGE_FLAG_SOLD_OUT) != 0);
    hf_row_id(rows, "linked_id", &reservation->linked_id);
    hf_row_text(rows, "origin", notes->origin == 0 ? NULL : origin);
    hf_row_limit(rows, "chain_place", image->chain_length == 0 ? 0 : image->chain_index + 1u);
    hf_row_limit(rows, "chain_length", image->chain_length);
    put_empty(rows, 19);
    hf_row_end(rows);
}

static void put_settings(struct hf_rows *rows, const struct hf_image *image)
{
    const struct hf_settings *settings = &image->settings;
    uint32_t flags = image->inventory.flags;
    hf_row_flag(rows, "paused", (flags & HF_INVENTORY_PAUSED) != 0);
    hf_row_flag(rows, "closed", (flags & HF_INVENTORY_CLOSED) != 0);
    hf_row_flag(rows, "close_when_sold_out", (flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) != 0);
    hf_row_flag(rows, "skip", (flags & HF_INVENTORY_SKIP) != 0);
    hf_row_flag(rows, "sold_out_closed", (flags & HF_INVENTORY_SOLD_OUT_CLOSED) != 0);
    hf_row_limit(rows, "customer_limit", settings->customer_limit);
    hf_row_limit(rows, "min_qty", settings->min_qty);
    hf_row_limit(rows, "max_qty", settings->max_qty);
    hf_row_number(rows, "waiting_limit", settings->waiting_limit);
    hf_row_date(rows, "opens_at", settings->opens_at_ns);
    hf_row_date(rows, "closes_at", settings->closes_at_ns);
    hf_row_duration(rows, "longest_hold", settings->longest_hold_ns);
    hf_row_date(rows, "cancel_until", settings->cancel_until_ns);
    hf_row_duration(rows, "offer_ttl", settings->offer_ttl_ns);
}

static void put_inventory(struct hf_rows *rows, const struct hf_image *image)
{
    const struct hf_inventory *inventory = &image->inventory;
    begin(rows, image->lsn, "inventory");
    put_empty(rows, 1);
    hf_row_number(rows, "inventory_id", inventory->inventory_id);
    put_empty(rows, 1);
    hf_row_number(rows, "product_id", inventory->product_id);
    put_empty(rows, 2);
    hf_row_number(rows, "sequence", image->inventory_sequence);
    hf_row_number(rows, "inventory_version", inventory->version);
    hf_row_date(rows, "made_at", inventory->made_at_ns);
    hf_row_date(rows, "changed_at", image->inventory_changed_at_ns);
    put_empty(rows, 8);
    hf_row_number(rows, "capacity", inventory->capacity);
    hf_row_number(rows, "sell_limit", inventory->sell_limit);
    put_empty(rows, 2);
    put_settings(rows, image);
    put_empty(rows, 1);
    hf_row_end(rows);
}

static void put_event(struct hf_rows *rows, const struct hf_image *image)
{
    begin(rows, image->lsn, "event");
    put_empty(rows, 1);
    hf_row_number(rows, "inventory_id", image->inventory.inventory_id);
    put_empty(rows, 5);
    hf_row_number(rows, "inventory_version", image->inventory.version);
    put_empty(rows, 1);
    hf_row_date(rows, "changed_at", image->event_at_ns);
    put_empty(rows, 10);
    hf_row_signed(rows, "available", image->inventory.available);
    hf_row_text(rows, "event", hf_image_event_name(image->event));
    put_empty(rows, 15);
    hf_row_end(rows);
}

void hf_image_row_put(struct hf_rows *rows, const struct hf_image *image)
{
    switch (image->kind) {
    case HF_IMAGE_RESERVATION:
        put_reservation(rows, image);
        break;
    case HF_IMAGE_INVENTORY:
        put_inventory(rows, image);
        break;
    case HF_IMAGE_EVENT:
        put_event(rows, image);
        break;
    }
}

void hf_image_row_put_unknown(struct hf_rows *rows, const uint8_t *record, const char *reason)
{
    char hex[2 * HF_RECORD_BYTES + 1];
    for (size_t i = 0; i < HF_RECORD_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", record[i]);
    begin(rows, hf_get_u64(record), "unknown");
    put_empty(rows, 12);
    hf_row_text(rows, "reason", reason);
    put_empty(rows, 23);
    hf_row_text(rows, "hex", hex);
    hf_row_end(rows);
}
