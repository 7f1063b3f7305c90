/* See execute.h. */
#include "engine/execute.h"

static bool possible_units(uint32_t units)
{
    return units != 0 && units <= HF_MAX_UNITS;
}

enum hf_result hf_request_check(const struct hf_request *request, enum hf_field *field)
{
    *field = HF_FIELD_NONE;
    switch (request->operation) {
    case HF_OP_RESERVE:
        if (!possible_units(request->qty))
            *field = HF_FIELD_QTY;
        break;
    case HF_OP_RESERVATION_GET:
    case HF_OP_CANCEL:
        if (hf_id_is_zero(&request->id))
            *field = HF_FIELD_RESERVATION_ID;
        break;
    case HF_OP_INVENTORY_CREATE:
        if (!possible_units(request->capacity))
            *field = HF_FIELD_CAPACITY;
        break;
    case HF_OP_INVENTORY_LIST:
        if (request->limit == 0 || request->limit > HF_MAX_LIST_ENTRIES)
            *field = HF_FIELD_LIMIT;
        break;
    case HF_OP_INVENTORY_GET:
    case HF_OP_STATE_HASH:
    case HF_OP_INFO:
    case HF_OP_PING:
        break;
    }
    return *field == HF_FIELD_NONE ? HF_OK : HF_BAD_FIELD;
}

static void reserve(struct hf_actor *actor, const struct hf_request *request,
                    struct hf_outcome *outcome)
{
    struct hf_reserve reserve = {
        .id = request->id,
        .inventory_id = request->inventory_id,
        .customer_id = request->customer_id,
        .qty = request->qty,
    };
    hf_engine_reserve(actor, &reserve, outcome);
}

bool hf_engine_execute(struct hf_actor *actor, const struct hf_request *request,
                       struct hf_outcome *outcome)
{
    switch (request->operation) {
    case HF_OP_RESERVE:
        reserve(actor, request, outcome);
        return true;
    case HF_OP_CANCEL:
        hf_engine_cancel(actor, &request->id, outcome);
        return true;
    case HF_OP_RESERVATION_GET:
        hf_engine_get(actor, &request->id, outcome);
        return true;
    case HF_OP_INVENTORY_CREATE:
        hf_engine_create_inventory(actor, request->inventory_id, request->product_id,
                                   request->capacity, outcome);
        return true;
    case HF_OP_INVENTORY_GET:
        hf_engine_get_inventory(actor, request->inventory_id, outcome);
        return true;
    case HF_OP_INVENTORY_LIST:
    case HF_OP_STATE_HASH:
    case HF_OP_INFO:
    case HF_OP_PING:
        return false;
    }
    return false;
}
