/* Requests about inventories: see inventories.h. */
#include "tests/model/inventories.h"

#define FIELD(name) (1u << HF_FIELD_##name)

void hf_reference_expect_inventory(const struct hf_world *world, uint64_t inventory_id,
                                   unsigned result, struct hf_expectation *expected)
{
    const struct hf_world_inventory *inventory = hf_world_find_inventory(world, inventory_id);
    if (inventory == NULL) {
        expected->result = HF_UNKNOWN_INVENTORY;
        expected->fields = FIELD(INVENTORY_ID);
        return;
    }
    expected->result = result;
    expected->tells_inventory = true;
    hf_world_show_inventory(inventory, &expected->inventory);
    expected->settled_inventory = expected->inventory;
    expected->settings = inventory->settings;
}

void hf_reference_create_inventory(struct hf_world *world, uint64_t now_ns,
                                   const struct hf_request *request,
                                   struct hf_expectation *expected)
{
    const struct hf_world_inventory *there = hf_world_find_inventory(world, request->inventory_id);
    expected->any_repeated = true;
    if (request->capacity == 0 || request->capacity > HF_MAX_UNITS) {
        expected->result = HF_BAD_FIELD;
        expected->fields = FIELD(CAPACITY);
    } else if (there && there->product_id != request->product_id) {
        expected->result = HF_INVENTORY_EXISTS;
        expected->fields = FIELD(PRODUCT_ID);
    } else if (there && there->capacity != request->capacity) {
        expected->result = HF_INVENTORY_EXISTS;
        expected->fields = FIELD(CAPACITY);
    } else if (there == NULL && hf_world_inventories_full(world)) {
        expected->result = HF_INVENTORIES_FULL;
    } else {
        if (there == NULL) {
            struct hf_world_inventory *made = hf_world_add_inventory(world, request->inventory_id);
            made->product_id = request->product_id;
            made->made_at_ns = now_ns;
            made->capacity = request->capacity;
            made->settings = (struct hf_settings){
                .sell_limit = request->capacity,
                .waiting_limit = HF_DEFAULT_WAITING_LIMIT,
                .offer_ttl_ns = HF_DEFAULT_OFFER_TTL_NS,
            };
        }
        hf_reference_expect_inventory(world, request->inventory_id, HF_CREATED, expected);
    }
}

#define SETTABLE                                                                                   \
    (HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED | HF_INVENTORY_CLOSE_WHEN_SOLD_OUT |                \
     HF_INVENTORY_SKIP)

/* Those of the settings that `fields` names. */
static void apply_settings(struct hf_world_inventory *inventory,
                           const struct hf_settings_change *change)
{
    struct hf_settings *to = &inventory->settings;
    const struct hf_settings *from = &change->settings;
    uint32_t fields = change->fields;
    to->sell_limit = fields & HF_SET_SELL_LIMIT ? from->sell_limit : to->sell_limit;
    to->customer_limit = fields & HF_SET_CUSTOMER_LIMIT ? from->customer_limit : to->customer_limit;
    to->min_qty = fields & HF_SET_MIN_QTY ? from->min_qty : to->min_qty;
    to->max_qty = fields & HF_SET_MAX_QTY ? from->max_qty : to->max_qty;
    to->waiting_limit = fields & HF_SET_WAITING_LIMIT ? from->waiting_limit : to->waiting_limit;
    to->opens_at_ns = fields & HF_SET_OPENS_AT ? from->opens_at_ns : to->opens_at_ns;
    to->closes_at_ns = fields & HF_SET_CLOSES_AT ? from->closes_at_ns : to->closes_at_ns;
    to->longest_hold_ns =
        fields & HF_SET_LONGEST_HOLD ? from->longest_hold_ns : to->longest_hold_ns;
    to->cancel_until_ns =
        fields & HF_SET_CANCEL_UNTIL ? from->cancel_until_ns : to->cancel_until_ns;
    to->offer_ttl_ns = fields & HF_SET_OFFER_TTL ? from->offer_ttl_ns : to->offer_ttl_ns;
    if (fields & HF_SET_FLAGS)
        to->flags =
            (to->flags & ~change->flags_mask) | (from->flags & change->flags_mask & SETTABLE);
    if (fields & HF_SET_CAPACITY)
        inventory->capacity = change->capacity;
    /* A close by selling out ends with REOPEN, and when selling out no longer closes. */
    if ((fields & HF_SET_REOPEN) || !(to->flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT))
        inventory->sold_out_closed = false;
}

/* Two settings that contradict each other, once the change is made; 0: none. */
static uint32_t contradiction(const struct hf_world_inventory *there,
                              const struct hf_settings_change *change)
{
    struct hf_world_inventory after = *there;
    apply_settings(&after, change);
    const struct hf_settings *settings = &after.settings;
    if (settings->max_qty != 0 && settings->min_qty > settings->max_qty)
        return FIELD(MIN_QTY) | FIELD(MAX_QTY);
    return settings->closes_at_ns != 0 && settings->closes_at_ns <= settings->opens_at_ns
               ? FIELD(WINDOW)
               : 0;
}

void hf_reference_set_inventory(struct hf_world *world, const struct hf_request *request,
                                struct hf_expectation *expected)
{
    const struct hf_world_inventory *there = hf_world_find_inventory(world, request->inventory_id);
    const struct hf_settings_change *change = &request->change;
    static const struct hf_world_inventory no_rules; /* what contradicts itself needs no other */
    expected->any_repeated = true; /* whether setting what is set already is a repeat is not said */
    if (contradiction(&no_rules, change) != 0) {
        expected->result = HF_BAD_FIELD;
        expected->fields = contradiction(&no_rules, change);
    } else if (there == NULL) {
        hf_reference_expect_inventory(world, request->inventory_id, 0, expected);
    } else if ((request->flags & HF_REQUEST_EXPECT_VERSION) &&
               !(there->version_known && there->version == request->expected)) {
        expected->result = HF_VERSION_MISMATCH;
    } else if (contradiction(there, change) != 0) {
        expected->result = HF_BAD_FIELD;
        expected->fields = contradiction(there, change);
    } else if ((request->flags & HF_REQUEST_STRICT) && (change->fields & HF_SET_SELL_LIMIT) &&
               change->settings.sell_limit < there->held + there->confirmed) {
        expected->result = HF_BELOW_SOLD;
        expected->tells_available = true;
        expected->available = hf_world_available(there);
    } else {
        apply_settings(hf_world_change_inventory(world, request->inventory_id), change);
        hf_reference_expect_inventory(world, request->inventory_id, HF_SET, expected);
        expected->tells_settings = true;
    }
}
