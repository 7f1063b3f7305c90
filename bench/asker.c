/* Askers. See asker.h. */
#include "bench/asker.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

/* Offsets of what is patched: docs/protocol.md. */
#define ID_LOW_AT         24
#define INVENTORY_AT      32
#define CUSTOMER_AT       40
#define GET_INVENTORY_AT  16
#define LINE_ID_LOW_AT    16
#define LINE_INVENTORY_AT 24
#define LINE_CUSTOMER_AT  32
#define CANCEL_BYTES      32
#define GET_BYTES         24

static void make_template(const struct hf_asker *asker, enum hf_operation operation,
                          uint64_t ttl_ns, uint8_t *out)
{
    struct hf_request request = {.operation = operation, .qty = 1, .ttl_ns = ttl_ns};
    if (operation == HF_OP_CONFIRM)
        request.qty = 0; /* all of it */
    hf_put_u64(request.id.bytes, asker->plan->id_high);
    hf_request_encode(out, &request, 0);
}

static void make_batch_templates(struct hf_asker *asker)
{
    uint8_t frame[HF_BATCH_HEADER_BYTES + HF_MAX_BATCH_LINES * HF_BATCH_LINE_BYTES];
    struct hf_line lines[HF_MAX_BATCH_LINES] = {{0}};
    const struct hf_request request = {
        .operation = HF_OP_BATCH, .count = asker->plan->batch, .lines = lines};
    for (uint32_t i = 0; i < request.count; i++) {
        lines[i].operation = HF_OP_RESERVE;
        lines[i].qty = 1;
        hf_put_u64(lines[i].id.bytes, asker->plan->id_high);
    }
    HF_CHECK(hf_request_encode(frame, &request, 0) != 0);
    memcpy(asker->batch, frame, sizeof asker->batch);
    memcpy(asker->line, frame + HF_BATCH_HEADER_BYTES, sizeof asker->line);
}

void hf_asker_init(struct hf_asker *asker, const struct hf_load_plan *plan, uint32_t number)
{
    *asker = (struct hf_asker){
        .plan = plan,
        .random = {.state = plan->id_start + number},
        .next_number = plan->id_start + number,
        .max_request_bytes = HF_ASKER_HOLD_BYTES,
        .max_reply_bytes = HF_RESERVATION_REPLY_BYTES,
    };
    hf_spread_init(&asker->spread, &plan->spread, plan->inventories);
    make_template(asker, HF_OP_RESERVE, 0, asker->reserve);
    make_template(asker, HF_OP_HOLD, plan->ttl_ns, asker->hold);
    make_template(asker, HF_OP_HOLD, plan->lapse_ns, asker->expire);
    make_template(asker, HF_OP_CONFIRM, 0, asker->confirm);
    make_template(asker, HF_OP_RELEASE, 0, asker->release);
    make_template(asker, HF_OP_CANCEL, 0, asker->cancel);
    make_template(asker, HF_OP_INVENTORY_GET, 0, asker->get);
    make_template(asker, HF_OP_PING, 0, asker->ping);
    if (!hf_mix_has(&plan->mix, HF_KIND_BATCH))
        return;
    make_batch_templates(asker);
    uint32_t request_bytes = HF_BATCH_HEADER_BYTES + plan->batch * HF_BATCH_LINE_BYTES;
    uint32_t reply_bytes = HF_PAGE_HEADER_BYTES + plan->batch * HF_RESERVATION_ENTRY_BYTES;
    if (request_bytes > asker->max_request_bytes)
        asker->max_request_bytes = request_bytes;
    if (reply_bytes > asker->max_reply_bytes)
        asker->max_reply_bytes = reply_bytes;
}

static uint64_t take_number(struct hf_asker *asker)
{
    uint64_t number = asker->next_number;
    asker->next_number += asker->plan->threads;
    return number;
}

/* Inlined, so that `bytes` is a constant: a copy of a fixed size is a few moves. What is in `work` is
 * handed in, as the compiler must take it that a write to `out` may change it. */
static inline __attribute__((always_inline)) size_t
write_claim(const struct hf_asker *asker, uint64_t id_low, uint64_t inventory_id, uint8_t *out,
            const uint8_t *template, size_t bytes)
{
    uint64_t customer_id = hf_asker_customer_id(asker, id_low);
    memcpy(out, template, bytes);
    hf_put_u64(out + ID_LOW_AT, id_low);
    hf_put_u64(out + INVENTORY_AT, inventory_id);
    hf_put_u64(out + CUSTOMER_AT, customer_id);
    return bytes;
}

/* All lines are for the customer of the first. */
static size_t write_batch(struct hf_asker *asker, const struct hf_work *work, uint8_t *out)
{
    const struct hf_load_plan *plan = asker->plan;
    uint8_t *line = out + HF_BATCH_HEADER_BYTES;
    uint64_t customer_id = hf_asker_customer_id(asker, work->id_low);
    memcpy(out, asker->batch, HF_BATCH_HEADER_BYTES);
    for (uint32_t i = 0; i < plan->batch; i++, line += HF_BATCH_LINE_BYTES) {
        uint64_t number = i == 0 ? work->number : take_number(asker);
        uint64_t id_low = hf_asker_id_low(number);
        memcpy(line, asker->line, HF_BATCH_LINE_BYTES);
        hf_put_u64(line + LINE_ID_LOW_AT, id_low);
        hf_put_u64(line + LINE_INVENTORY_AT,
                   plan->first_inventory_id + hf_asker_inventory(asker, number, id_low));
        hf_put_u64(line + LINE_CUSTOMER_AT, customer_id);
    }
    asker->units_claimed += plan->batch;
    return (size_t)(line - out);
}

size_t hf_asker_begin(struct hf_asker *asker, struct hf_work *work, uint8_t *out)
{
    enum hf_kind kind = hf_mix_draw(&asker->plan->mix, &asker->random);
    work->kind = (uint8_t)kind;
    work->step = 0;
    work->operation = (uint8_t)hf_kind_operation(kind, 0);
    if (kind == HF_KIND_PING) {
        memcpy(out, asker->ping, sizeof asker->ping);
        return HF_FRAME_HEADER_BYTES;
    }
    uint64_t number = take_number(asker);
    uint64_t id_low = hf_asker_id_low(number);
    work->number = number;
    work->id_low = id_low;
    if (kind == HF_KIND_BATCH)
        return write_batch(asker, work, out);
    work->inventory = hf_asker_inventory(asker, number, id_low);
    uint64_t inventory_id = hf_asker_inventory_id(asker, work);
    if (kind == HF_KIND_GET) {
        memcpy(out, asker->get, sizeof asker->get);
        hf_put_u64(out + GET_INVENTORY_AT, inventory_id);
        return GET_BYTES;
    }
    asker->units_claimed += kind != HF_KIND_REFUSE;
    if (kind == HF_KIND_HOLD || kind == HF_KIND_CONFIRM || kind == HF_KIND_RELEASE)
        return write_claim(asker, id_low, inventory_id, out, asker->hold, sizeof asker->hold);
    if (kind == HF_KIND_EXPIRE)
        return write_claim(asker, id_low, inventory_id, out, asker->expire, sizeof asker->expire);
    return write_claim(asker, id_low, inventory_id, out, asker->reserve, sizeof asker->reserve);
}

size_t hf_asker_go_on(struct hf_asker *asker, struct hf_work *work, uint8_t *out)
{
    size_t bytes;
    work->step = 1;
    work->operation = (uint8_t)hf_kind_operation((enum hf_kind)work->kind, 1);
    switch (work->operation) {
    case HF_OP_CONFIRM:
        bytes = sizeof asker->confirm;
        memcpy(out, asker->confirm, sizeof asker->confirm);
        break;
    case HF_OP_RELEASE:
        bytes = sizeof asker->release;
        memcpy(out, asker->release, sizeof asker->release);
        break;
    default:
        bytes = CANCEL_BYTES;
        memcpy(out, asker->cancel, sizeof asker->cancel);
        break;
    }
    hf_put_u64(out + ID_LOW_AT, work->id_low);
    return bytes;
}
