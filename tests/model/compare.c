/* Answers held against expectations, and both in words: see compare.h. */
#include "tests/model/compare.h"

#include <inttypes.h>

#include "engine/request.h"

/* ---- comparing ---- */

const char *hf_compare_reservations(const struct hf_reservation *expected,
                                    const struct hf_reservation *actual)
{
    if (!hf_id_equal(&expected->id, &actual->id))
        return "reservation id";
    if (expected->inventory_id != actual->inventory_id)
        return "inventory id";
    if (expected->customer_id != actual->customer_id)
        return "customer id";
    if (expected->state != actual->state)
        return "state";
    if (expected->qty != actual->qty)
        return "qty";
    if (expected->sequence != actual->sequence)
        return "sequence";
    if (expected->deadline_ns != actual->deadline_ns)
        return "deadline";
    if (expected->made_at_ns != actual->made_at_ns)
        return "made_at";
    if (expected->changed_at_ns != actual->changed_at_ns)
        return "changed_at";
    return hf_id_equal(&expected->linked_id, &actual->linked_id) ? NULL : "linked id";
}

const char *hf_compare_inventories(const struct hf_inventory *expected,
                                   const struct hf_inventory *actual)
{
    if (expected->inventory_id != actual->inventory_id)
        return "inventory id";
    if (expected->product_id != actual->product_id)
        return "product id";
    if (expected->made_at_ns != actual->made_at_ns)
        return "made_at of the inventory";
    if (expected->capacity != actual->capacity)
        return "capacity";
    if (expected->sell_limit != actual->sell_limit)
        return "sell limit";
    if (expected->available != actual->available)
        return "available";
    if (expected->held != actual->held)
        return "held";
    if (expected->confirmed != actual->confirmed)
        return "confirmed";
    if (expected->waiting != actual->waiting)
        return "waiting";
    return expected->flags == actual->flags ? NULL : "flags";
}

static const char *compare_settings(const struct hf_settings *expected,
                                    const struct hf_settings *actual)
{
    if (expected->sell_limit != actual->sell_limit)
        return "sell limit of the settings";
    if (expected->customer_limit != actual->customer_limit)
        return "customer limit";
    if (expected->min_qty != actual->min_qty || expected->max_qty != actual->max_qty)
        return "smallest or largest qty";
    if (expected->waiting_limit != actual->waiting_limit)
        return "waiting limit";
    if (expected->flags != actual->flags)
        return "flags of the settings";
    if (expected->opens_at_ns != actual->opens_at_ns ||
        expected->closes_at_ns != actual->closes_at_ns)
        return "window";
    if (expected->longest_hold_ns != actual->longest_hold_ns)
        return "longest hold";
    if (expected->cancel_until_ns != actual->cancel_until_ns)
        return "cancellation cut-off";
    return expected->offer_ttl_ns == actual->offer_ttl_ns ? NULL : "TTL of offers";
}

static const char *compare_entry(const struct hf_expected_entry *expected, bool repeated,
                                 const struct hf_reservation *actual)
{
    const char *difference = hf_compare_reservations(&expected->reservation, actual);
    if (difference && hf_compare_reservations(&expected->settled, actual) == NULL)
        difference = NULL;
    if (difference == NULL && expected->repeated != repeated)
        difference = "repeated";
    return difference;
}

static const char *compare_batch(const struct hf_expectation *expected,
                                 const struct hf_reply *actual)
{
    if (actual->count != expected->count)
        return "count of entries";
    for (uint32_t i = 0; i < expected->count; i++) {
        const struct hf_reservation_entry *entry = &actual->entries[i];
        if (entry->result != expected->entries[i].result)
            return "result of a line";
        const char *difference =
            compare_entry(&expected->entries[i], entry->repeated, &entry->reservation);
        if (difference)
            return difference;
    }
    return NULL;
}

static const char *compare_no(const struct hf_expectation *expected, const struct hf_reply *actual)
{
    if (actual->line != expected->line)
        return "line";
    if (expected->fields != 0 && !(actual->field < 32 && (expected->fields >> actual->field & 1)))
        return "field";
    if (expected->tells_available && expected->available != actual->available)
        return "available";
    if (expected->state != 0 && expected->state != actual->state)
        return "state told with the refusal";
    if (expected->state != 0 && expected->sequence != actual->version)
        return "sequence told with the refusal";
    return NULL;
}

static const char *compare_inventory_reply(const struct hf_expectation *expected,
                                           const struct hf_reply *actual)
{
    const char *difference = hf_compare_inventories(&expected->inventory, &actual->inventory);
    if (difference &&
        hf_compare_inventories(&expected->settled_inventory, &actual->inventory) == NULL)
        difference = NULL;
    if (difference == NULL && expected->tells_settings)
        difference = compare_settings(&expected->settings, &actual->settings);
    return difference;
}

const char *hf_compare_reply(const struct hf_expectation *expected, const struct hf_reply *actual)
{
    if (actual->result != expected->result)
        return "result";
    if (hf_result_group(expected->result) != HF_GROUP_YES)
        return compare_no(expected, actual);
    if (expected->tells_inventory)
        return compare_inventory_reply(expected, actual);
    if (expected->result == HF_BATCH_DONE)
        return compare_batch(expected, actual);
    return compare_entry(&expected->entries[0], actual->repeated, &actual->reservation);
}

/* ---- in words ---- */

/* Ids in tests are mostly zero: without those at the end. */
static void print_id(FILE *file, const struct hf_id *id)
{
    unsigned length = sizeof id->bytes;
    while (length > 1 && id->bytes[length - 1] == 0)
        length--;
    for (unsigned i = 0; i < length; i++)
        fprintf(file, "%02x", id->bytes[i]);
}

static void print_ns(FILE *file, const char *name, uint64_t ns)
{
    if (ns != 0)
        fprintf(file, " %s %" PRIu64 ".%09" PRIu64 "s", name, ns / 1000000000u, ns % 1000000000u);
}

void hf_print_reservation(FILE *file, const struct hf_reservation *reservation)
{
    fputs("id ", file);
    print_id(file, &reservation->id);
    fprintf(file, " inventory %" PRIu64 " customer %" PRIu64 " qty %u %s sequence %u",
            reservation->inventory_id, reservation->customer_id, reservation->qty,
            hf_state_name(reservation->state), reservation->sequence);
    print_ns(file, "deadline", reservation->deadline_ns);
    print_ns(file, "made", reservation->made_at_ns);
    print_ns(file, "changed", reservation->changed_at_ns);
    if (!hf_id_is_zero(&reservation->linked_id)) {
        fputs(" linked ", file);
        print_id(file, &reservation->linked_id);
    }
}

void hf_print_inventory(FILE *file, const struct hf_inventory *inventory)
{
    fprintf(file,
            "inventory %" PRIu64 " product %" PRIu64
            " capacity %u sell limit %u available %d held %u confirmed %u waiting %u flags 0x%x",
            inventory->inventory_id, inventory->product_id, inventory->capacity,
            inventory->sell_limit, inventory->available, inventory->held, inventory->confirmed,
            inventory->waiting, inventory->flags);
}

const char *hf_operation_name(enum hf_operation operation)
{
    switch (operation) {
#define X(name, number, bytes)                                                                     \
    case HF_OP_##name:                                                                             \
        return #name;
        HF_OPERATIONS(X)
#undef X
    }
    return "?";
}

static void print_flags(FILE *file, unsigned flags, uint32_t expected)
{
    if (flags & HF_REQUEST_OVERRIDE)
        fputs(" override", file);
    if (flags & HF_REQUEST_REACQUIRE)
        fputs(" reacquire", file);
    if (flags & HF_REQUEST_STRICT)
        fputs(" strict", file);
    if (flags & HF_REQUEST_EXPECT_VERSION)
        fprintf(file, " expect version %u", expected);
    else if (expected != 0)
        fprintf(file, " expect sequence %u", expected);
}

static void print_line(FILE *file, const struct hf_line *line)
{
    fprintf(file, "%s id ", hf_operation_name(line->operation));
    print_id(file, &line->id);
    fprintf(file, " inventory %" PRIu64 " customer %" PRIu64 " qty %u", line->inventory_id,
            line->customer_id, line->qty);
    print_ns(file, "ttl", line->ttl_ns);
    if (!hf_id_is_zero(&line->new_id)) {
        fputs(" new id ", file);
        print_id(file, &line->new_id);
    }
    print_flags(file, line->flags, line->expected);
}

static void print_change(FILE *file, const struct hf_settings_change *change)
{
    const struct hf_settings *settings = &change->settings;
    fprintf(file,
            " fields 0x%x sell limit %u customer limit %u qty %u..%u waiting limit %u capacity %u "
            "flags 0x%x of 0x%x",
            change->fields, settings->sell_limit, settings->customer_limit, settings->min_qty,
            settings->max_qty, settings->waiting_limit, change->capacity, settings->flags,
            change->flags_mask);
    print_ns(file, "opens", settings->opens_at_ns);
    print_ns(file, "closes", settings->closes_at_ns);
    print_ns(file, "longest hold", settings->longest_hold_ns);
    print_ns(file, "cancel until", settings->cancel_until_ns);
    print_ns(file, "offer ttl", settings->offer_ttl_ns);
}

void hf_print_request(FILE *file, const struct hf_request *request)
{
    const struct hf_line line = hf_request_line(request);
    print_line(file, &line);
    print_ns(file, "not after", request->not_after_ns);
    if (request->operation == HF_OP_INVENTORY_CREATE)
        fprintf(file, " product %" PRIu64 " capacity %u", request->product_id, request->capacity);
    if (request->operation == HF_OP_INVENTORY_SET)
        print_change(file, &request->change);
    fputc('\n', file);
    for (uint32_t i = 0; request->operation == HF_OP_BATCH && i < request->count; i++) {
        fprintf(file, "        %2u: ", i + 1);
        print_line(file, &request->lines[i]);
        fputc('\n', file);
    }
}

void hf_print_reply(FILE *file, const struct hf_reply *reply)
{
    bool yes = hf_result_group(reply->result) == HF_GROUP_YES;
    fprintf(file, "%s%s", hf_result_name(reply->result), reply->repeated ? " repeated" : "");
    if (!yes)
        fprintf(file, " line %u field %s available %d version %u state %u", reply->line,
                hf_field_name(reply->field), reply->available, reply->version, reply->state);
    if (yes && !hf_id_is_zero(&reply->reservation.id)) {
        fputs(": ", file);
        hf_print_reservation(file, &reply->reservation);
    }
    if (yes && reply->inventory.capacity != 0) {
        fputs(": ", file);
        hf_print_inventory(file, &reply->inventory);
    }
    fputc('\n', file);
    for (uint32_t i = 0; yes && reply->entries && i < reply->count; i++) {
        const struct hf_reservation_entry *entry = &reply->entries[i];
        fprintf(file, "        %2u: %s%s: ", i + 1, hf_result_name(entry->result),
                entry->repeated ? " repeated" : "");
        hf_print_reservation(file, &entry->reservation);
        fputc('\n', file);
    }
}

static void print_fields(FILE *file, uint32_t fields)
{
    for (unsigned i = 0; i < 32; i++) {
        if (fields >> i & 1)
            fprintf(file, " field %s", i == HF_FIELD_NONE ? "none" : hf_field_name(i));
    }
}

void hf_print_expectation(FILE *file, const struct hf_expectation *expected)
{
    bool yes = hf_result_group(expected->result) == HF_GROUP_YES;
    fputs(hf_result_name(expected->result), file);
    if (!yes) {
        fprintf(file, " line %u", expected->line);
        print_fields(file, expected->fields);
    }
    if (expected->tells_available)
        fprintf(file, " available %d", expected->available);
    if (expected->state != 0)
        fprintf(file, " state %u sequence %u", expected->state, expected->sequence);
    if (expected->tells_inventory) {
        fputs(": ", file);
        hf_print_inventory(file, &expected->settled_inventory);
    }
    fputc('\n', file);
    for (uint32_t i = 0; i < expected->count; i++) {
        const struct hf_expected_entry *entry = &expected->entries[i];
        fprintf(file, "        %2u: %s%s: ", i + 1, hf_result_name(entry->result),
                entry->repeated ? " repeated" : "");
        hf_print_reservation(file, &entry->settled);
        fputc('\n', file);
    }
}
