/* Images as text and as JSON; see image_text.h. */
#include "tools/image_text.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "tools/json.h"
#include "wal/record.h"

static const struct {
    uint32_t flag;
    const char *name;
} flag_names[] = {
    {HF_INVENTORY_PAUSED, "paused"},
    {HF_INVENTORY_CLOSED, "closed"},
    {HF_INVENTORY_CLOSE_WHEN_SOLD_OUT, "close_when_sold_out"},
    {HF_INVENTORY_SKIP, "skip"},
    {HF_INVENTORY_SOLD_OUT_CLOSED, "sold_out_closed"},
};
#define FLAG_COUNT (sizeof flag_names / sizeof flag_names[0])

const char *hf_image_reason_name(unsigned reason)
{
    static const char *const names[] = {"request", "deadline", "offer", "limit"};
    return reason < sizeof names / sizeof names[0] ? names[reason] : "unknown";
}

const char *hf_image_event_name(unsigned event)
{
    return event == HF_EVENT_AVAILABLE_AGAIN ? "AVAILABLE_AGAIN" : "UNKNOWN";
}

static enum hf_state made_as(const struct hf_image *image)
{
    return image->notes.made_as == 0 ? HF_STATE_CONFIRMED : (enum hf_state)image->notes.made_as;
}

const char *hf_image_made_as_name(const struct hf_image *image)
{
    return hf_state_name(made_as(image));
}

/* ---- text ------------------------------------------------------------------------------- */

static void text_date(FILE *out, const char *name, uint64_t date_ns)
{
    char text[HF_DATE_TEXT_BYTES];
    hf_date_format(date_ns, text);
    fprintf(out, " %s=%s", name, text);
}

static void text_limit(FILE *out, const char *name, uint32_t limit)
{
    if (limit != 0)
        fprintf(out, " %s=%" PRIu32, name, limit);
}

static void text_date_if_any(FILE *out, const char *name, uint64_t date_ns)
{
    if (date_ns != 0)
        text_date(out, name, date_ns);
}

static void text_duration(FILE *out, const char *name, uint64_t duration_ns)
{
    char text[HF_DURATION_TEXT_BYTES];
    if (duration_ns == 0)
        return;
    hf_duration_format(duration_ns, text);
    fprintf(out, " %s=%s", name, text);
}

static void text_flags(FILE *out, uint32_t flags)
{
    const char *before = " flags=";
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if ((flags & flag_names[i].flag) == 0)
            continue;
        fprintf(out, "%s%s", before, flag_names[i].name);
        before = ",";
    }
}

static void text_notes(FILE *out, const struct hf_image *image)
{
    if (made_as(image) != HF_STATE_CONFIRMED)
        fprintf(out, " made_as=%s", hf_image_made_as_name(image));
    if (image->notes.reason != HF_REASON_REQUEST)
        fprintf(out, " reason=%s", hf_image_reason_name(image->notes.reason));
    if ((image->notes.flags & HF_IMAGE_FLAG_SOLD_OUT) != 0)
        fputs(" sold_out=yes", out);
    if (!hf_id_is_zero(&image->reservation.linked_id)) {
        char id[HF_ID_TEXT_BYTES];
        hf_id_format(&image->reservation.linked_id, id);
        fprintf(out, " linked_id=%s", id);
    }
    if (image->notes.origin != 0)
        fprintf(out, " origin=%08" PRIx32, image->notes.origin);
    if (image->chain_length != 0)
        fprintf(out, " chain=%u/%u", image->chain_index + 1u, image->chain_length);
}

static void text_reservation(FILE *out, const struct hf_image *image)
{
    const struct hf_reservation *reservation = &image->reservation;
    char id[HF_ID_TEXT_BYTES];
    hf_id_format(&reservation->id, id);
    fprintf(out,
            "reservation id=%s inventory=%" PRIu64 " customer=%" PRIu64 " qty=%" PRIu32
            " status=%s sequence=%" PRIu32 " inventory_version=%" PRIu32,
            id, reservation->inventory_id, reservation->customer_id, reservation->qty,
            hf_state_name(reservation->state), reservation->sequence,
            image->notes.inventory_version);
    text_date(out, "made_at", reservation->made_at_ns);
    text_date(out, "changed_at", reservation->changed_at_ns);
    text_date_if_any(out, "deadline", reservation->deadline_ns);
    text_notes(out, image);
}

static void text_inventory(FILE *out, const struct hf_image *image)
{
    const struct hf_inventory *inventory = &image->inventory;
    const struct hf_settings *settings = &image->settings;
    fprintf(out,
            "inventory id=%" PRIu64 " product=%" PRIu64 " capacity=%" PRIu32 " sell_limit=%" PRIu32
            " sequence=%" PRIu32,
            inventory->inventory_id, inventory->product_id, inventory->capacity,
            inventory->sell_limit, image->inventory_sequence);
    text_date(out, "made_at", inventory->made_at_ns);
    text_date(out, "changed_at", image->inventory_changed_at_ns);
    fprintf(out, " inventory_version=%" PRIu32, inventory->version);
    text_flags(out, inventory->flags);
    text_limit(out, "customer_limit", settings->customer_limit);
    text_limit(out, "min_qty", settings->min_qty);
    text_limit(out, "max_qty", settings->max_qty);
    text_limit(out, "waiting_limit", settings->waiting_limit);
    text_date_if_any(out, "opens_at", settings->opens_at_ns);
    text_date_if_any(out, "closes_at", settings->closes_at_ns);
    text_duration(out, "longest_hold", settings->longest_hold_ns);
    text_date_if_any(out, "cancel_until", settings->cancel_until_ns);
    text_duration(out, "offer_ttl", settings->offer_ttl_ns);
}

static void text_event(FILE *out, const struct hf_image *image)
{
    fprintf(out, "event %s inventory=%" PRIu64 " available=%" PRId32 " inventory_version=%" PRIu32,
            hf_image_event_name(image->event), image->inventory.inventory_id,
            image->inventory.available, image->inventory.version);
    text_date(out, "changed_at", image->event_at_ns);
}

void hf_image_text_put(FILE *out, const struct hf_image *image)
{
    fprintf(out, "lsn=%" PRIu64 " ", image->lsn);
    switch (image->kind) {
    case HF_IMAGE_RESERVATION:
        text_reservation(out, image);
        break;
    case HF_IMAGE_INVENTORY:
        text_inventory(out, image);
        break;
    case HF_IMAGE_EVENT:
        text_event(out, image);
        break;
    }
    putc('\n', out);
}

/* ---- JSON ------------------------------------------------------------------------------- */

static void json_date(FILE *out, const char *name, uint64_t date_ns)
{
    char text[HF_DATE_TEXT_BYTES];
    hf_date_format(date_ns, text);
    fprintf(out, ",\"%s\":\"%s\"", name, text);
}

static void json_date_or_null(FILE *out, const char *name, uint64_t date_ns)
{
    fprintf(out, ",\"%s\":", name);
    hf_json_date(out, date_ns);
}

static void json_duration(FILE *out, const char *name, uint64_t duration_ns)
{
    fprintf(out, ",\"%s\":", name);
    hf_json_duration(out, duration_ns);
}

static void json_notes(FILE *out, const struct hf_image *image)
{
    fprintf(out, ",\"made_as\":\"%s\",\"reason\":\"%s\",\"sold_out\":%s,\"linked_id\":",
            hf_image_made_as_name(image), hf_image_reason_name(image->notes.reason),
            (image->notes.flags & HF_IMAGE_FLAG_SOLD_OUT) != 0 ? "true" : "false");
    hf_json_id(out, &image->reservation.linked_id);
    if (image->notes.origin == 0)
        fputs(",\"origin\":null", out);
    else
        fprintf(out, ",\"origin\":\"%08" PRIx32 "\"", image->notes.origin);
    if (image->chain_length == 0)
        fputs(",\"chain\":null", out);
    else
        fprintf(out, ",\"chain\":{\"place\":%u,\"length\":%u}", image->chain_index + 1u,
                image->chain_length);
}

static void json_reservation(FILE *out, const struct hf_image *image)
{
    const struct hf_reservation *reservation = &image->reservation;
    char id[HF_ID_TEXT_BYTES];
    hf_id_format(&reservation->id, id);
    fprintf(out,
            "\"kind\":\"reservation\",\"reservation_id\":\"%s\",\"inventory_id\":%" PRIu64
            ",\"customer_id\":%" PRIu64 ",\"qty\":%" PRIu32
            ",\"status\":\"%s\",\"sequence\":%" PRIu32 ",\"inventory_version\":%" PRIu32,
            id, reservation->inventory_id, reservation->customer_id, reservation->qty,
            hf_state_name(reservation->state), reservation->sequence,
            image->notes.inventory_version);
    json_date(out, "made_at", reservation->made_at_ns);
    json_date(out, "changed_at", reservation->changed_at_ns);
    json_date_or_null(out, "deadline", reservation->deadline_ns);
    json_notes(out, image);
}

static void json_inventory(FILE *out, const struct hf_image *image)
{
    const struct hf_inventory *inventory = &image->inventory;
    const struct hf_settings *settings = &image->settings;
    fprintf(out,
            "\"kind\":\"inventory\",\"inventory_id\":%" PRIu64 ",\"product_id\":%" PRIu64
            ",\"capacity\":%" PRIu32 ",\"sell_limit\":%" PRIu32 ",\"sequence\":%" PRIu32,
            inventory->inventory_id, inventory->product_id, inventory->capacity,
            inventory->sell_limit, image->inventory_sequence);
    json_date(out, "made_at", inventory->made_at_ns);
    json_date(out, "changed_at", image->inventory_changed_at_ns);
    fprintf(out, ",\"inventory_version\":%" PRIu32, inventory->version);
    for (size_t i = 0; i < FLAG_COUNT; i++)
        fprintf(out, ",\"%s\":%s", flag_names[i].name,
                (inventory->flags & flag_names[i].flag) != 0 ? "true" : "false");
    hf_json_limit(out, "customer_limit", settings->customer_limit);
    hf_json_limit(out, "min_qty", settings->min_qty);
    hf_json_limit(out, "max_qty", settings->max_qty);
    fprintf(out, ",\"waiting_limit\":%" PRIu32, settings->waiting_limit);
    json_date_or_null(out, "opens_at", settings->opens_at_ns);
    json_date_or_null(out, "closes_at", settings->closes_at_ns);
    json_duration(out, "longest_hold", settings->longest_hold_ns);
    json_date_or_null(out, "cancel_until", settings->cancel_until_ns);
    json_duration(out, "offer_ttl", settings->offer_ttl_ns);
}

static void json_event(FILE *out, const struct hf_image *image)
{
    fprintf(out,
            "\"kind\":\"event\",\"event\":\"%s\",\"inventory_id\":%" PRIu64
            ",\"available\":%" PRId32 ",\"inventory_version\":%" PRIu32,
            hf_image_event_name(image->event), image->inventory.inventory_id,
            image->inventory.available, image->inventory.version);
    json_date(out, "changed_at", image->event_at_ns);
}

void hf_image_json_put(FILE *out, const struct hf_image *image)
{
    fprintf(out, "{\"lsn\":%" PRIu64 ",", image->lsn);
    switch (image->kind) {
    case HF_IMAGE_RESERVATION:
        json_reservation(out, image);
        break;
    case HF_IMAGE_INVENTORY:
        json_inventory(out, image);
        break;
    case HF_IMAGE_EVENT:
        json_event(out, image);
        break;
    }
    fputs("}\n", out);
}

void hf_image_put_unknown(FILE *out, const uint8_t *record, const char *reason, bool json)
{
    fprintf(out,
            json ? "{\"lsn\":%" PRIu64 ",\"kind\":\"unknown\",\"reason\":\"%s\",\"hex\":\""
                 : "lsn=%" PRIu64 " unknown reason=\"%s\" hex=",
            hf_get_u64(record), reason);
    for (int i = 0; i < HF_RECORD_BYTES; i++)
        fprintf(out, "%02x", record[i]);
    fputs(json ? "\"}\n" : "\n", out);
}
