/* See execute.h. */
#include "engine/execute.h"

#include "engine/change.h"
#include "engine/request.h"
#include "engine/resolve.h"
#include "engine/setting.h"

static void change_one(struct hf_actor *actor, const struct hf_request *request,
                       uint64_t not_after_ns, struct hf_outcome *outcome)
{
    const struct hf_line line = hf_request_line(request);
    hf_engine_change(actor, &line, 1, not_after_ns, NULL, outcome);
}

/* A claim without flags and without an end is plain, as far as the request goes. */
static void claim(struct hf_actor *actor, const struct hf_request *request,
                  struct hf_outcome *outcome)
{
    if (HF_UNLIKELY(request->flags != 0 || request->not_after_ns != 0)) {
        change_one(actor, request, request->not_after_ns, outcome);
        return;
    }
    const struct hf_reserve reserve = {
        .id = request->id,
        .inventory_id = request->inventory_id,
        .customer_id = request->customer_id,
        .qty = request->qty,
        .ttl_ns = request->operation == HF_OP_HOLD ? request->ttl_ns : 0,
    };
    hf_engine_reserve(actor, &reserve, outcome);
}

/* CONFIRM, RELEASE or CANCEL. Without flags and guards, it may be plain. */
static void resolve(struct hf_actor *actor, const struct hf_request *request, bool whole,
                    struct hf_outcome *outcome)
{
    if (HF_LIKELY(whole && request->flags == 0 && request->expected == 0))
        hf_engine_resolve(actor, request->operation, &request->id, outcome);
    else
        change_one(actor, request, 0, outcome);
}

bool hf_engine_execute(struct hf_actor *actor, const struct hf_request *request,
                       struct hf_reservation_entry *entries, struct hf_outcome *outcome)
{
    switch (request->operation) {
    case HF_OP_RESERVE:
    case HF_OP_HOLD:
        claim(actor, request, outcome);
        return true;
    case HF_OP_JOIN:
        change_one(actor, request, request->not_after_ns, outcome);
        return true;
    case HF_OP_CANCEL:
    case HF_OP_RELEASE:
        resolve(actor, request, true, outcome);
        return true;
    case HF_OP_CONFIRM:
        resolve(actor, request, request->qty == 0, outcome);
        return true;
    case HF_OP_EXTEND:
    case HF_OP_CHANGE:
    case HF_OP_MOVE:
    case HF_OP_LEAVE:
        change_one(actor, request, 0, outcome);
        return true;
    case HF_OP_BATCH:
        hf_engine_change(actor, request->lines, request->count, request->not_after_ns, entries,
                         outcome);
        return true;
    case HF_OP_RESERVATION_GET:
        hf_engine_get(actor, &request->id, outcome);
        return true;
    case HF_OP_RESERVATION_LIST:
        hf_engine_list(actor, &request->filter, request->limit, entries, outcome);
        return true;
    case HF_OP_INVENTORY_CREATE:
        hf_engine_create_inventory(actor, request->inventory_id, request->product_id,
                                   request->capacity, outcome);
        return true;
    case HF_OP_INVENTORY_GET:
        hf_engine_get_inventory(actor, request->inventory_id, outcome);
        return true;
    case HF_OP_INVENTORY_SETTINGS:
        hf_engine_get_settings(actor, request->inventory_id, outcome);
        return true;
    case HF_OP_INVENTORY_SET:
        hf_engine_set(actor, request->inventory_id, &request->change, request->flags,
                      request->expected, outcome);
        return true;
    default:
        return false;
    }
}

void hf_outcome_reply(const struct hf_outcome *outcome, enum hf_operation operation,
                      const struct hf_reservation_entry *entries, struct hf_reply *reply)
{
    *reply = (struct hf_reply){
        .operation = operation,
        .result = outcome->result,
        .field = outcome->field,
        .available = outcome->availability.available,
        .version = outcome->availability.version,
        .state = outcome->state,
        .line = outcome->line,
        .repeated = outcome->repeated,
    };
    if (hf_result_group(outcome->result) != HF_GROUP_YES)
        return;
    switch (operation) {
    case HF_OP_INVENTORY_SET:
    case HF_OP_INVENTORY_SETTINGS:
        reply->settings = outcome->settings;
        reply->settings_sequence = outcome->settings_sequence;
        reply->inventory = outcome->inventory;
        break;
    case HF_OP_INVENTORY_CREATE:
    case HF_OP_INVENTORY_GET:
        reply->inventory = outcome->inventory;
        break;
    case HF_OP_BATCH:
    case HF_OP_RESERVATION_LIST:
        reply->count = outcome->count;
        reply->entries = entries;
        reply->next = operation == HF_OP_BATCH ? 0 : outcome->next;
        break;
    default:
        reply->reservation = outcome->reservation;
        break;
    }
}
