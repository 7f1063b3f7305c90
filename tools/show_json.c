/* Answers for programs. See show.h. */
#include <inttypes.h>
#include <string.h>

#include "tools/json.h"
#include "tools/show.h"

/* ---- members ---------------------------------------------------------------------------- */

static void put_flag(FILE *out, const char *name, uint32_t flags, uint32_t flag)
{
    fprintf(out, ",\"%s\":%s", name, (flags & flag) != 0 ? "true" : "false");
}

static void put_flags(FILE *out, uint32_t flags)
{
    put_flag(out, "paused", flags, HF_INVENTORY_PAUSED);
    put_flag(out, "closed", flags, HF_INVENTORY_CLOSED);
    put_flag(out, "sold_out_closed", flags, HF_INVENTORY_SOLD_OUT_CLOSED);
    put_flag(out, "close_when_sold_out", flags, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT);
    put_flag(out, "skip", flags, HF_INVENTORY_SKIP);
}

/* ---- the server ------------------------------------------------------------------------- */

void hf_cli_json_ping(FILE *out, const struct hf_reply *reply)
{
    fprintf(out, "{\"result\":\"%s\"}\n", hf_result_name(reply->result));
}

void hf_cli_json_info(FILE *out, const struct hf_info *info, const struct hf_status *status)
{
    struct hf_id log_id;
    memcpy(log_id.bytes, info->log_id, sizeof log_id.bytes);
    fputs("{\"log_id\":", out);
    hf_json_id(out, &log_id);
#define NUMBER(field) fprintf(out, ",\"" #field "\":%" PRIu64, (uint64_t)info->field)
    NUMBER(epoch);
    NUMBER(started_at_ns);
    NUMBER(now_ns);
    NUMBER(next_lsn);
    NUMBER(commit_lsn);
    NUMBER(durable_lsn);
    NUMBER(recovered_records);
    NUMBER(recovered_reservations);
    NUMBER(recovery_ns);
    NUMBER(reservations);
    NUMBER(max_reservations);
    NUMBER(connections);
    NUMBER(log_bytes);
    NUMBER(log_blocks);
    NUMBER(inventories);
    NUMBER(max_inventories);
    NUMBER(workers);
#undef NUMBER
    fprintf(out, ",\"durability\":\"%s\",\"server_version\":",
            info->durability == 0   ? "disk"
            : info->durability == 1 ? "memory"
                                    : "unknown");
    hf_json_text(out, info->server_version);
    if (status != NULL)
        hf_cli_json_status_member(out, status);
    fputs("}\n", out);
}

void hf_cli_json_hash(FILE *out, const struct hf_reply *reply)
{
    fprintf(out,
            "{\"state_hash\":\"%016" PRIx64 "\",\"lsn_before\":%" PRIu64 ",\"lsn_after\":%" PRIu64
            ",\"reservations\":%" PRIu64 "}\n",
            reply->state_hash, reply->lsn_before, reply->lsn_after, reply->reservations);
}

/* ---- inventories ------------------------------------------------------------------------ */

static void put_inventory(FILE *out, const struct hf_inventory *inventory)
{
    fprintf(out,
            "\"inventory_id\":%" PRIu64 ",\"product_id\":%" PRIu64 ",\"capacity\":%" PRIu32
            ",\"available\":%" PRId32 ",\"held\":%" PRIu32 ",\"confirmed\":%" PRIu32
            ",\"version\":%" PRIu32 ",\"sell_limit\":%" PRIu32 ",\"waiting\":%" PRIu32
            ",\"deficit\":%" PRIu32,
            inventory->inventory_id, inventory->product_id, inventory->capacity,
            inventory->available, inventory->held, inventory->confirmed, inventory->version,
            inventory->sell_limit, inventory->waiting, hf_inventory_deficit(inventory));
    put_flags(out, inventory->flags);
    fprintf(out, ",\"lsn\":%" PRIu64 ",\"made_at\":", inventory->lsn);
    hf_json_date(out, inventory->made_at_ns);
}

void hf_cli_json_inventory(FILE *out, const struct hf_inventory *inventory)
{
    putc('{', out);
    put_inventory(out, inventory);
    fputs("}\n", out);
}

void hf_cli_json_settings(FILE *out, const struct hf_reply *reply)
{
    const struct hf_settings *settings = &reply->settings;
    putc('{', out);
    put_inventory(out, &reply->inventory);
    hf_json_limit(out, "customer_limit", settings->customer_limit);
    hf_json_limit(out, "min_qty", settings->min_qty);
    hf_json_limit(out, "max_qty", settings->max_qty);
    fprintf(out, ",\"waiting_limit\":%" PRIu32 ",\"opens_at\":", settings->waiting_limit);
    hf_json_date(out, settings->opens_at_ns);
    fputs(",\"closes_at\":", out);
    hf_json_date(out, settings->closes_at_ns);
    fputs(",\"cancel_until\":", out);
    hf_json_date(out, settings->cancel_until_ns);
    fputs(",\"longest_hold\":", out);
    hf_json_duration(out, settings->longest_hold_ns);
    fputs(",\"offer_ttl\":", out);
    hf_json_duration(out, settings->offer_ttl_ns);
    fprintf(out, ",\"settings_sequence\":%" PRIu32 "}\n", reply->settings_sequence);
}

void hf_cli_json_availability(FILE *out, const struct hf_reply *reply, const uint64_t *ids)
{
    for (uint32_t i = 0; i < reply->count; i++) {
        const struct hf_availability_entry *entry = &reply->availability[i];
        fprintf(out, "{\"inventory_id\":%" PRIu64, ids[i]);
        if ((entry->flags & HF_AVAILABILITY_UNKNOWN) != 0) {
            fprintf(out, ",\"result\":\"%s\"}\n", hf_result_name(HF_UNKNOWN_INVENTORY));
            continue;
        }
        fprintf(out, ",\"available\":%" PRId32 ",\"version\":%" PRIu32 ",\"waiting\":%" PRIu32,
                entry->available, entry->version, entry->waiting);
        put_flags(out, entry->flags);
        fputs("}\n", out);
    }
}

/* ---- reservations ----------------------------------------------------------------------- */

void hf_cli_json_reservation(FILE *out, unsigned result, const struct hf_reservation *reservation,
                             bool repeated)
{
    bool cancelled = reservation->state == HF_STATE_CANCELLED;
    fprintf(out, "\"result\":\"%s\",\"reservation_id\":", hf_result_name(result));
    hf_json_id(out, &reservation->id);
    fprintf(out,
            ",\"inventory_id\":%" PRIu64 ",\"customer_id\":%" PRIu64 ",\"qty\":%" PRIu32
            ",\"status\":\"%s\",\"reservation_date\":",
            reservation->inventory_id, reservation->customer_id, reservation->qty,
            hf_state_name(reservation->state));
    hf_json_date(out, reservation->made_at_ns);
    fputs(",\"cancellation_date\":", out);
    hf_json_date(out, cancelled ? reservation->changed_at_ns : 0);
    fprintf(out,
            ",\"lsn\":%" PRIu64 ",\"sequence\":%" PRIu32 ",\"changed_date\":", reservation->lsn,
            reservation->sequence);
    hf_json_date(out, reservation->changed_at_ns);
    fputs(",\"deadline\":", out);
    hf_json_date(out, reservation->deadline_ns);
    fputs(",\"linked_id\":", out);
    hf_json_id(out, &reservation->linked_id);
    fprintf(out, ",\"repeated\":%s", repeated ? "true" : "false");
}

/* SOLD_OUT tells what is available first of all. */
void hf_cli_json_refusal(FILE *out, const struct hf_reply *reply, const struct hf_id *id)
{
    unsigned result = reply->result;
    fprintf(out, "\"result\":\"%s\"", hf_result_name(result));
    if (hf_cli_tells_units(result))
        fprintf(out, ",\"available\":%" PRId32 ",\"version\":%" PRIu32, reply->available,
                reply->version);
    if (reply->field == HF_FIELD_NONE)
        fputs(",\"field\":null", out);
    else
        fprintf(out, ",\"field\":\"%s\"", hf_field_name(reply->field));
    fprintf(out, ",\"meaning\":\"%s\"", hf_result_meaning(result));
    if (hf_cli_tells_sequence(result))
        fprintf(out, ",\"sequence\":%" PRIu32 ",\"status\":\"%s\"", reply->version,
                hf_state_name(reply->state));
    if (hf_cli_tells_percent(result))
        fprintf(out, ",\"percent\":%" PRId32, reply->available);
    if (result == HF_LSN_NOT_KEPT)
        fprintf(out, ",\"first_lsn\":%" PRIu64, reply->next_lsn);
    if (result == HF_OUTCOME_UNKNOWN && id != NULL && !hf_id_is_zero(id)) {
        fputs(",\"reservation_id\":", out);
        hf_json_id(out, id);
    }
}
