/* Any request: see any_request.h. */
#include "tests/lib/any_request.h"

#include <string.h>

#include "holdfast/result.h"

#define CUSTOMERS 5u

static const struct kind {
    enum hf_operation operation;
    const char *name;
    uint32_t weight; /* of all single requests, or lines */
} kinds[] = {
    {HF_OP_RESERVE, "RESERVE", 16}, {HF_OP_HOLD, "HOLD", 20},      {HF_OP_JOIN, "JOIN", 10},
    {HF_OP_CONFIRM, "CONFIRM", 14}, {HF_OP_RELEASE, "RELEASE", 6}, {HF_OP_CANCEL, "CANCEL", 12},
    {HF_OP_EXTEND, "EXTEND", 5},    {HF_OP_CHANGE, "CHANGE", 8},   {HF_OP_MOVE, "MOVE", 5},
    {HF_OP_LEAVE, "LEAVE", 3},
};
#define KINDS   (sizeof kinds / sizeof *kinds)
#define WEIGHTS 99u

void hf_any_request_init(struct hf_any_request *any, struct hf_any_window *window, uint64_t seed,
                         uint64_t part, uint64_t longest_ttl_ns)
{
    memset(any, 0, sizeof *any);
    any->window = window;
    any->random = hf_random_for(seed, part);
    any->longest_ttl_ns = longest_ttl_ns;
}

static uint32_t below(struct hf_any_request *any, uint32_t end)
{
    return hf_random_below(&any->random, end);
}

static bool one_in(struct hf_any_request *any, uint32_t count)
{
    return below(any, count) == 0;
}

/* Some are newer than any that was spoken of. */
static struct hf_id some_id(struct hf_any_request *any)
{
    uint32_t first = hf_load_relaxed(&any->window->first); /* any value of any time is good */
    if (one_in(any, 12))
        hf_fetch_add_relaxed(&any->window->first, 1);
    return hf_id_of_number(first + 1 + below(any, HF_ANY_WINDOW));
}

static uint64_t some_inventory_id(struct hf_any_request *any)
{
    uint32_t first = hf_load_relaxed(&any->window->first_inventory); /* likewise */
    if (first < HF_ANY_INVENTORY_MAX - HF_ANY_INVENTORIES && one_in(any, 400))
        hf_cas_acq_rel(&any->window->first_inventory, &first, first + 1);
    return first + 1 + below(any, HF_ANY_INVENTORIES);
}

/* Of all lengths down to a two-thousandth of the longest. */
static uint64_t some_ttl_ns(struct hf_any_request *any)
{
    return 1 + hf_random_next(&any->random) % (any->longest_ttl_ns >> below(any, 12));
}

static enum hf_operation some_operation(struct hf_any_request *any)
{
    uint32_t dice = below(any, WEIGHTS), i = 0;
    while (dice >= kinds[i].weight)
        dice -= kinds[i++].weight;
    return kinds[i].operation;
}

static void make_line(struct hf_any_request *any, struct hf_line *line)
{
    *line = (struct hf_line){
        .operation = some_operation(any),
        .id = some_id(any),
        .inventory_id = some_inventory_id(any),
        .customer_id = 1 + below(any, CUSTOMERS),
        .qty = 1 + below(any, one_in(any, 3) ? 3 : 1),
        .ttl_ns = some_ttl_ns(any),
    };
    if (line->operation == HF_OP_CONFIRM) {
        line->qty = one_in(any, 4) ? 1 : 0;
        line->flags = one_in(any, 2) ? HF_REQUEST_REACQUIRE : 0;
        if (line->flags != 0 && one_in(any, 2))
            line->new_id = some_id(any);
        if (hf_id_equal(&line->id, &line->new_id))
            line->new_id = (struct hf_id){{0}};
    }
    if (line->operation == HF_OP_CHANGE)
        line->qty = below(any, 4);
}

static void make_single(struct hf_any_request *any)
{
    struct hf_line *line = &any->lines[0];
    make_line(any, line);
    any->request = (struct hf_request){
        .operation = line->operation,
        .flags = line->flags,
        .id = line->id,
        .inventory_id = line->inventory_id,
        .customer_id = line->customer_id,
        .qty = line->qty,
        .ttl_ns = line->ttl_ns,
        .new_id = line->new_id,
    };
}

static void make_batch(struct hf_any_request *any)
{
    uint32_t count = 2 + below(any, one_in(any, 3) ? HF_ANY_LINES - 1 : 1);
    for (uint32_t i = 0; i < count; i++) {
        struct hf_line *line = &any->lines[i];
        make_line(any, line);
        while (i != 0 && hf_id_equal(&line->id, &line[-1].id))
            line->id = some_id(any);
    }
    any->request =
        (struct hf_request){.operation = HF_OP_BATCH, .lines = any->lines, .count = count};
}

static void make_create(struct hf_any_request *any)
{
    any->request = (struct hf_request){
        .operation = HF_OP_INVENTORY_CREATE,
        .inventory_id = some_inventory_id(any),
        .product_id = 7,
        .capacity = 10,
    };
}

static uint32_t some_flags(struct hf_any_request *any)
{
    return (one_in(any, 16) ? HF_INVENTORY_PAUSED : 0) |
           (one_in(any, 20) ? HF_INVENTORY_CLOSED : 0) |
           (one_in(any, 5) ? HF_INVENTORY_CLOSE_WHEN_SOLD_OUT : 0) |
           (one_in(any, 2) ? HF_INVENTORY_SKIP : 0);
}

/* Three or four fields of all, and mostly what opens the sale again. */
static void make_set(struct hf_any_request *any, uint64_t now_ns)
{
    any->request = (struct hf_request){
        .operation = HF_OP_INVENTORY_SET,
        .inventory_id = some_inventory_id(any),
    };
    struct hf_settings_change *change = &any->request.change;
    change->fields = (uint32_t)hf_random_next(&any->random) & HF_SET_ALL;
    change->fields &= (uint32_t)hf_random_next(&any->random);
    change->fields |= HF_SET_FLAGS | (one_in(any, 4) ? 0 : HF_SET_REOPEN);
    change->fields &= ~(HF_SET_MIN_QTY | HF_SET_OPENS_AT);
    change->capacity = 1 + below(any, 12);
    change->flags_mask = 15;
    change->settings = (struct hf_settings){
        .sell_limit = 4 + below(any, 12),
        .customer_limit = one_in(any, 3) ? 1 + below(any, 6) : 0,
        .max_qty = one_in(any, 2) ? 0 : 1 + below(any, 3),
        .waiting_limit = below(any, 8),
        .flags = some_flags(any),
        .closes_at_ns = one_in(any, 10) ? now_ns + some_ttl_ns(any) : 0,
        .longest_hold_ns = one_in(any, 2) ? 0 : any->longest_ttl_ns,
        .cancel_until_ns = one_in(any, 4) ? now_ns + some_ttl_ns(any) : 0,
        .offer_ttl_ns = some_ttl_ns(any),
    };
}

const struct hf_request *hf_any_request_next(struct hf_any_request *any, uint64_t now_ns)
{
    uint32_t dice = below(any, 100);
    if (dice < 4)
        make_create(any);
    else if (dice < 10)
        make_set(any, now_ns);
    else if (dice < 24)
        make_batch(any);
    else
        make_single(any);
    return &any->request;
}

void hf_any_request_note(struct hf_any_request *any, unsigned result, bool repeated)
{
    any->done[any->request.operation] +=
        hf_result_group(result) == HF_GROUP_YES && !repeated ? 1 : 0;
}

const char *hf_any_request_missing(const uint64_t done[64])
{
    for (size_t i = 0; i < KINDS; i++)
        if (done[kinds[i].operation] == 0)
            return kinds[i].name;
    return done[HF_OP_BATCH] == 0              ? "BATCH"
           : done[HF_OP_INVENTORY_CREATE] == 0 ? "INVENTORY_CREATE"
           : done[HF_OP_INVENTORY_SET] == 0    ? "INVENTORY_SET"
                                               : NULL;
}
