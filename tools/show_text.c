/* Answers for people. See show.h. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "tools/show.h"

/* ---- the server ------------------------------------------------------------------------- */

void hf_cli_text_ping(FILE *out, const char *server)
{
    fprintf(out, "%s answers\n", server);
}

static const char *durability_name(uint32_t durability)
{
    return durability == 0 ? "disk" : durability == 1 ? "memory" : "unknown";
}

void hf_cli_text_info(FILE *out, const struct hf_info *info)
{
    char log_id[HF_ID_TEXT_BYTES], started[HF_DATE_TEXT_BYTES];
    struct hf_id id;
    memcpy(id.bytes, info->log_id, sizeof id.bytes);
    hf_id_format(&id, log_id);
    hf_date_format(info->started_at_ns, started);
    fputs("server        ", out);
    for (const char *text = info->server_version; *text != '\0'; text++)
        putc(*text >= ' ' && *text <= '~' ? *text : '?', out);
    fprintf(out, ", workers %" PRIu32 ", connections %" PRIu64 "\n", info->workers,
            info->connections);
    fprintf(out, "started       %s, start %" PRIu64 " of log %s\n", started, info->epoch, log_id);
    fprintf(out,
            "recovered     %" PRIu64 " reservations from %" PRIu64 " records in %" PRIu64 " ms\n",
            info->recovered_reservations, info->recovered_records,
            (uint64_t)(info->recovery_ns / HF_NS_PER_MS));
    fprintf(out,
            "holds         %" PRIu64 " of %" PRIu64 " reservations, %" PRIu32 " of %" PRIu32
            " inventories\n",
            info->reservations, info->max_reservations, info->inventories, info->max_inventories);
    fprintf(out, "durability    %s\n", durability_name(info->durability));
    fprintf(out, "LSN           next %" PRIu64 ", committed %" PRIu64 ", durable %" PRIu64 "\n",
            info->next_lsn, info->commit_lsn, info->durable_lsn);
    fprintf(out, "written       %" PRIu64 " bytes in %" PRIu64 " blocks since the start\n",
            info->log_bytes, info->log_blocks);
}

void hf_cli_text_hash(FILE *out, const struct hf_reply *reply)
{
    fprintf(out,
            "state hash %016" PRIx64 " of %" PRIu64 " reservations, LSN %" PRIu64 " to %" PRIu64
            "\n",
            reply->state_hash, reply->reservations, reply->lsn_before, reply->lsn_after);
}

/* ---- inventories ------------------------------------------------------------------------ */

/* Whether claims are let in, as far as flags say: the window is another matter. */
static const char *sale_text(uint32_t flags)
{
    bool paused = (flags & HF_INVENTORY_PAUSED) != 0;
    if ((flags & HF_INVENTORY_CLOSED) != 0)
        return paused ? "closed, paused" : "closed";
    if ((flags & HF_INVENTORY_SOLD_OUT_CLOSED) != 0)
        return paused ? "closed by selling out, paused" : "closed by selling out";
    return paused ? "paused" : "on sale";
}

void hf_cli_text_inventory_heading(FILE *out)
{
    fprintf(out, "%20s %20s %10s %10s %10s %10s %10s %10s  %s\n", "INVENTORY", "PRODUCT",
            "CAPACITY", "AVAILABLE", "HELD", "CONFIRMED", "VERSION", "WAITING", "SALE");
}

void hf_cli_text_inventory(FILE *out, const struct hf_inventory *inventory)
{
    fprintf(out,
            "%20" PRIu64 " %20" PRIu64 " %10" PRIu32 " %10" PRId32 " %10" PRIu32 " %10" PRIu32
            " %10" PRIu32 " %10" PRIu32 "  %s\n",
            inventory->inventory_id, inventory->product_id, inventory->capacity,
            inventory->available, inventory->held, inventory->confirmed, inventory->version,
            inventory->waiting, sale_text(inventory->flags));
}

static void put_date_line(FILE *out, const char *name, uint64_t date_ns, const char *if_none)
{
    char text[HF_DATE_TEXT_BYTES];
    if (date_ns != 0)
        hf_date_format(date_ns, text);
    fprintf(out, "%-14s%s\n", name, date_ns == 0 ? if_none : text);
}

static void put_duration_line(FILE *out, const char *name, uint64_t duration_ns,
                              const char *if_none)
{
    char text[HF_DURATION_TEXT_BYTES];
    if (duration_ns != 0)
        hf_duration_format(duration_ns, text);
    fprintf(out, "%-14s%s\n", name, duration_ns == 0 ? if_none : text);
}

static void put_limit_line(FILE *out, const char *name, uint32_t limit, const char *if_none)
{
    if (limit == 0)
        fprintf(out, "%-14s%s\n", name, if_none);
    else
        fprintf(out, "%-14s%" PRIu32 "\n", name, limit);
}

static void put_counts(FILE *out, const struct hf_inventory *inventory)
{
    fprintf(out, "inventory     %" PRIu64 "\n", inventory->inventory_id);
    fprintf(out, "product       %" PRIu64 "\n", inventory->product_id);
    fprintf(out, "sale          %s\n", sale_text(inventory->flags));
    fprintf(out, "capacity      %" PRIu32 "\n", inventory->capacity);
    fprintf(out, "sell limit    %" PRIu32 "\n", inventory->sell_limit);
    fprintf(out, "available     %" PRId32 "\n", inventory->available);
    fprintf(out, "held          %" PRIu32 "\n", inventory->held);
    fprintf(out, "confirmed     %" PRIu32 "\n", inventory->confirmed);
    if (hf_inventory_deficit(inventory) > 0)
        fprintf(out, "deficit       %" PRIu32 " more than the sell limit are held and confirmed\n",
                hf_inventory_deficit(inventory));
}

static void put_waiting(FILE *out, const struct hf_reply *reply)
{
    fprintf(out, "waiting       %" PRIu32, reply->inventory.waiting);
    if (reply->settings.waiting_limit == 0)
        fputs(", no waiting list\n", out);
    else
        fprintf(out, " of at most %" PRIu32 "%s\n", reply->settings.waiting_limit,
                (reply->inventory.flags & HF_INVENTORY_SKIP) != 0
                    ? ", who fits passes a head that does not"
                    : "");
}

void hf_cli_text_settings(FILE *out, const struct hf_reply *reply)
{
    const struct hf_inventory *inventory = &reply->inventory;
    const struct hf_settings *settings = &reply->settings;
    put_counts(out, inventory);
    put_waiting(out, reply);
    put_duration_line(out, "offer", settings->offer_ttl_ns, "-");
    put_limit_line(out, "a customer", settings->customer_limit, "any number of units");
    put_limit_line(out, "at least", settings->min_qty, "1");
    put_limit_line(out, "at most", settings->max_qty, "any quantity");
    put_date_line(out, "opens", settings->opens_at_ns, "from the start");
    put_date_line(out, "closes", settings->closes_at_ns, "never");
    fprintf(out, "sold out      %s\n",
            (inventory->flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) != 0 ? "ends the sale"
                                                                       : "until units come back");
    put_duration_line(out, "longest hold", settings->longest_hold_ns, "any the server allows");
    put_date_line(out, "cancel until", settings->cancel_until_ns, "any time");
    put_date_line(out, "made", inventory->made_at_ns, "-");
    fprintf(out, "version       %" PRIu32 ", settings of sequence %" PRIu32 ", LSN %" PRIu64 "\n",
            inventory->version, reply->settings_sequence, inventory->lsn);
}

void hf_cli_text_availability(FILE *out, const struct hf_reply *reply, const uint64_t *ids)
{
    fprintf(out, "%20s %10s %10s %10s  %s\n", "INVENTORY", "AVAILABLE", "WAITING", "VERSION",
            "SALE");
    for (uint32_t i = 0; i < reply->count; i++) {
        const struct hf_availability_entry *entry = &reply->availability[i];
        if ((entry->flags & HF_AVAILABILITY_UNKNOWN) != 0)
            fprintf(out, "%20" PRIu64 " %10s %10s %10s  unknown inventory\n", ids[i], "-", "-",
                    "-");
        else
            fprintf(out, "%20" PRIu64 " %10" PRId32 " %10" PRIu32 " %10" PRIu32 "  %s\n", ids[i],
                    entry->available, entry->waiting, entry->version, sale_text(entry->flags));
    }
}

/* ---- reservations ----------------------------------------------------------------------- */

static void put_reservation_date(FILE *out, const char *name, uint64_t date_ns)
{
    char text[HF_DATE_TEXT_BYTES];
    hf_date_format(date_ns, text);
    fprintf(out, "  %-13s%s\n", name, text);
}

/* What the date of the newest change is the date of. NULL: of nothing that is told by itself. */
static const char *ending(enum hf_state state)
{
    switch (state) {
    case HF_STATE_CANCELLED:
        return "cancelled at";
    case HF_STATE_RELEASED:
        return "released at";
    case HF_STATE_EXPIRED:
        return "expired at";
    case HF_STATE_HELD:
    case HF_STATE_CONFIRMED:
    case HF_STATE_WAITING:
        break;
    }
    return NULL;
}

void hf_cli_text_reservation(FILE *out, const struct hf_reply *reply)
{
    const struct hf_reservation *reservation = &reply->reservation;
    const char *end = ending(reservation->state);
    char id[HF_ID_TEXT_BYTES];
    hf_id_format(&reservation->id, id);
    fprintf(out, "%s%s\n", hf_result_name(reply->result), reply->repeated ? " (as before)" : "");
    fprintf(out, "  reservation  %s\n", id);
    fprintf(out, "  inventory    %" PRIu64 "\n", reservation->inventory_id);
    fprintf(out, "  customer     %" PRIu64 "\n", reservation->customer_id);
    fprintf(out, "  qty          %" PRIu32 "\n", reservation->qty);
    fprintf(out, "  status       %s\n", hf_state_name(reservation->state));
    put_reservation_date(out, "reserved at", reservation->made_at_ns);
    if (reservation->deadline_ns != 0)
        put_reservation_date(out, "held until", reservation->deadline_ns);
    if (end != NULL)
        put_reservation_date(out, end, reservation->changed_at_ns);
    if (!hf_id_is_zero(&reservation->linked_id)) {
        hf_id_format(&reservation->linked_id, id);
        fprintf(out, "  made from    %s\n", id);
    }
    fprintf(out, "  sequence     %" PRIu32 "\n", reservation->sequence);
    fprintf(out, "  LSN          %" PRIu64 "\n", reservation->lsn);
}

void hf_cli_text_entry_heading(FILE *out)
{
    fprintf(out, "%-36s %20s %20s %10s %-9s %-30s %s\n", "RESERVATION", "INVENTORY", "CUSTOMER",
            "QTY", "STATUS", "RESERVED AT", "HELD UNTIL");
}

void hf_cli_text_entry(FILE *out, const struct hf_reservation *reservation)
{
    char id[HF_ID_TEXT_BYTES], made[HF_DATE_TEXT_BYTES], until[HF_DATE_TEXT_BYTES] = "-";
    hf_id_format(&reservation->id, id);
    hf_date_format(reservation->made_at_ns, made);
    if (reservation->deadline_ns != 0)
        hf_date_format(reservation->deadline_ns, until);
    fprintf(out, "%-36s %20" PRIu64 " %20" PRIu64 " %10" PRIu32 " %-9s %-30s %s\n", id,
            reservation->inventory_id, reservation->customer_id, reservation->qty,
            hf_state_name(reservation->state), made, until);
}

void hf_cli_text_history_heading(FILE *out)
{
    fprintf(out, "%10s %20s %-30s %-9s %10s %20s %s\n", "SEQUENCE", "LSN", "CHANGED AT", "STATUS",
            "QTY", "CUSTOMER", "HELD UNTIL");
}

void hf_cli_text_history(FILE *out, const struct hf_reservation *reservation)
{
    char changed[HF_DATE_TEXT_BYTES], until[HF_DATE_TEXT_BYTES] = "-";
    hf_date_format(reservation->changed_at_ns, changed);
    if (reservation->deadline_ns != 0)
        hf_date_format(reservation->deadline_ns, until);
    fprintf(out, "%10" PRIu32 " %20" PRIu64 " %-30s %-9s %10" PRIu32 " %20" PRIu64 " %s\n",
            reservation->sequence, reservation->lsn, changed, hf_state_name(reservation->state),
            reservation->qty, reservation->customer_id, until);
}

void hf_cli_text_brief(FILE *out, unsigned result, const struct hf_reservation *reservation,
                       bool repeated)
{
    char id[HF_ID_TEXT_BYTES], until[HF_DATE_TEXT_BYTES];
    hf_id_format(&reservation->id, id);
    fprintf(out, "%s%s %s inventory %" PRIu64 " customer %" PRIu64 " qty %" PRIu32 " %s",
            hf_result_name(result), repeated ? " (as before)" : "", id, reservation->inventory_id,
            reservation->customer_id, reservation->qty, hf_state_name(reservation->state));
    if (reservation->deadline_ns != 0) {
        hf_date_format(reservation->deadline_ns, until);
        fprintf(out, " until %s", until);
    }
}

/* ---- refusals --------------------------------------------------------------------------- */

void hf_cli_text_refusal(const struct hf_reply *reply, char text[HF_CLI_REFUSAL_BYTES])
{
    const char *name = hf_result_name(reply->result), *meaning = hf_result_meaning(reply->result);
    if (reply->result == HF_VERSION_MISMATCH)
        snprintf(text, HF_CLI_REFUSAL_BYTES, "%s: %s (version: %" PRIu32 ")", name, meaning,
                 reply->version);
    else if (hf_cli_tells_units(reply->result))
        snprintf(text, HF_CLI_REFUSAL_BYTES, "%s: %s (available: %" PRId32 ")", name, meaning,
                 reply->available);
    else if (hf_cli_tells_sequence(reply->result))
        snprintf(text, HF_CLI_REFUSAL_BYTES, "%s: %s (status: %s, sequence: %" PRIu32 ")", name,
                 meaning, hf_state_name(reply->state), reply->version);
    else if (hf_cli_tells_percent(reply->result))
        snprintf(text, HF_CLI_REFUSAL_BYTES, "%s: %s (recovered: %" PRId32 "%%)", name, meaning,
                 reply->available);
    else if (reply->result == HF_LSN_NOT_KEPT)
        snprintf(text, HF_CLI_REFUSAL_BYTES, "%s: %s (first: %" PRIu64 ")", name, meaning,
                 reply->next_lsn);
    else if (reply->field != HF_FIELD_NONE)
        snprintf(text, HF_CLI_REFUSAL_BYTES, "%s: %s (field: %s)", name, meaning,
                 hf_field_name(reply->field));
    else
        snprintf(text, HF_CLI_REFUSAL_BYTES, "%s: %s", name, meaning);
}
