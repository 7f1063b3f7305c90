/* The stock. See stock.h. */
#include "bench/stock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/options.h"

#define AT_ONCE       128 /* inventories made in one exchange: fits any socket's buffers */
#define FLOOR_VERSION "floor"
#define PATIENCE_NS   (10 * HF_NS_PER_S) /* for counting itself */

/* The inventories that one pass is about. */
struct range {
    uint64_t first_id;
    uint32_t count, capacity;
};

static int went_away(int result)
{
    if (result != 0 && result != -EPROTO)
        fprintf(stderr, "%s: the server went away: %s\n", program_invocation_short_name,
                strerror(-result));
    return result == 0 ? 0 : HF_BENCH_SETUP;
}

static int not_ours(void)
{
    fprintf(stderr, "%s: what answered is not a Holdfast server of this version\n",
            program_invocation_short_name);
    return -EPROTO;
}

static int take_info(void *context, const struct hf_frame *frame, const uint8_t *bytes)
{
    struct hf_stock *stock = context;
    struct hf_reply reply;
    if (frame->operation != (HF_OP_INFO | HF_REPLY_BIT) ||
        !hf_reply_decode(bytes, frame, &reply, NULL))
        return not_ours();
    stock->keeps_state = hf_result_group(reply.result) != HF_GROUP_YES ||
                         strcmp(reply.info.server_version, FLOOR_VERSION) != 0;
    return 0;
}

/* The answer to one request that makes the stock. Returns 0, or -EPROTO once it has said why not. */
static int take_made(void *context, const struct hf_frame *frame, const uint8_t *bytes)
{
    const struct hf_request *request = context;
    struct hf_reply reply;
    unsigned wanted = request->operation == HF_OP_RESERVE ? HF_GRANTED : HF_CREATED;
    if (frame->operation != (request->operation | HF_REPLY_BIT) ||
        !hf_reply_decode(bytes, frame, &reply, NULL))
        return not_ours();
    if (reply.result == wanted)
        return 0;
    const char *advice = "";
    if (reply.result == HF_INVENTORIES_FULL)
        advice = ": start it with a larger --max-inventories";
    if (reply.result == HF_RESERVATIONS_FULL)
        advice = ": start it with a larger --max-reservations";
    fprintf(stderr, "%s: cannot make the inventories: %s: %s%s\n", program_invocation_short_name,
            hf_result_name(reply.result), hf_result_meaning(reply.result), advice);
    return -EPROTO;
}

/* Sends one kind of request for every inventory: creates it, or takes all that it has. */
static int for_each(const struct range *range, int link, enum hf_operation operation)
{
    uint8_t requests[AT_ONCE * HF_RESERVE_BYTES];
    struct hf_request request = {.operation = operation,
                                 .customer_id = 1,
                                 .product_id = 1,
                                 .qty = range->capacity,
                                 .capacity = range->capacity};
    int result = 0;
    for (uint32_t done = 0; done < range->count && result == 0;) {
        size_t bytes = 0;
        uint32_t count = 0;
        while (count < AT_ONCE && done < range->count) {
            request.inventory_id = range->first_id + done;
            hf_id_make(&request.id);
            bytes += hf_request_encode(requests + bytes, &request, done);
            count++;
            done++;
        }
        result = hf_link_exchange(link, requests, bytes, count, take_made, &request);
    }
    return result;
}

int hf_stock_make(struct hf_stock *stock, const char *server, struct hf_load_plan *plan)
{
    uint8_t info[HF_FRAME_HEADER_BYTES];
    const struct hf_request ask_info = {.operation = HF_OP_INFO};
    const struct range open = {plan->first_inventory_id, plan->inventories, plan->capacity};
    const struct range sold_out = {plan->first_sold_out_id, plan->inventories,
                                   plan->sold_out_capacity};
    *stock = (struct hf_stock){.made_at_ns = hf_monotonic_now_ns()};
    int link = hf_link_open(server, &plan->address);
    if (link < 0)
        return HF_BENCH_SETUP;
    size_t bytes = hf_request_encode(info, &ask_info, 0);
    int result = hf_link_exchange(link, info, bytes, 1, take_info, stock);
    if (result == 0 && hf_mix_needs_stock(&plan->mix))
        result = for_each(&open, link, HF_OP_INVENTORY_CREATE);
    if (result == 0 && hf_mix_has(&plan->mix, HF_KIND_REFUSE))
        result = for_each(&sold_out, link, HF_OP_INVENTORY_CREATE);
    if (result == 0 && hf_mix_has(&plan->mix, HF_KIND_REFUSE))
        result = for_each(&sold_out, link, HF_OP_RESERVE);
    close(link);
    return went_away(result);
}

/* ---- counting ---- */

struct count {
    uint32_t asked; /* inventories of the exchange */
    uint32_t capacity;
    uint64_t taken; /* units */
};

static int take_availability(void *context, const struct hf_frame *frame, const uint8_t *bytes)
{
    static struct hf_reply_scratch scratch; /* one thread counts */
    struct count *count = context;
    struct hf_reply reply;
    if (frame->operation != (HF_OP_AVAILABILITY | HF_REPLY_BIT) ||
        !hf_reply_decode(bytes, frame, &reply, &scratch) || reply.result != HF_FOUND ||
        reply.count != count->asked)
        return not_ours();
    for (uint32_t i = 0; i < reply.count; i++) {
        const struct hf_availability_entry *entry = &reply.availability[i];
        if (entry->flags != 0 || entry->available < 0 ||
            entry->available > (int32_t)count->capacity) {
            fprintf(stderr,
                    "%s: an inventory of %u has %d available, and the flags %u: it cannot\n",
                    program_invocation_short_name, count->capacity, entry->available, entry->flags);
            return -EPROTO;
        }
        count->taken += count->capacity - (uint32_t)entry->available;
    }
    return 0;
}

static int count_taken(const struct range *range, int link, uint64_t *taken)
{
    static uint64_t ids[HF_MAX_LIST_ENTRIES]; /* one thread counts */
    static uint8_t bytes[HF_MAX_REQUEST_BYTES];
    struct count count = {.capacity = range->capacity};
    for (uint32_t done = 0; done < range->count; done += count.asked) {
        count.asked = range->count - done;
        if (count.asked > HF_MAX_LIST_ENTRIES)
            count.asked = HF_MAX_LIST_ENTRIES;
        for (uint32_t i = 0; i < count.asked; i++)
            ids[i] = range->first_id + done + i;
        const struct hf_request request = {
            .operation = HF_OP_AVAILABILITY, .count = count.asked, .ids = ids};
        size_t request_bytes = hf_request_encode(bytes, &request, done);
        int result = hf_link_exchange(link, bytes, request_bytes, 1, take_availability, &count);
        if (result != 0)
            return result;
    }
    *taken = count.taken;
    return 0;
}

/* One range against what must be missing. 0 or an exit status. */
static int audit(const struct range *range, int link, uint64_t least, uint64_t most)
{
    uint64_t taken = 0;
    int result = count_taken(range, link, &taken);
    if (result == -EPROTO)
        return HF_BENCH_WRONG;
    if (result != 0)
        return went_away(result);
    if (taken >= least && taken <= most)
        return 0;
    fprintf(stderr,
            "%s: the answers say that %" PRIu64 " to %" PRIu64 " units are taken, the inventories "
            "say %" PRIu64 "\n",
            program_invocation_short_name, least, most, taken);
    return HF_BENCH_WRONG;
}

int hf_stock_audit(const struct hf_stock *stock, const struct hf_load_plan *plan)
{
    const struct range open = {plan->first_inventory_id, plan->inventories, plan->capacity};
    const struct range sold_out = {plan->first_sold_out_id, plan->inventories,
                                   plan->sold_out_capacity};
    uint64_t all = (uint64_t)plan->inventories * plan->sold_out_capacity;
    bool may_lapse = hf_mix_has(&plan->mix, HF_KIND_EXPIRE) ||
                     hf_monotonic_now_ns() - stock->made_at_ns + PATIENCE_NS > plan->ttl_ns;
    int result = 0;
    if (!stock->keeps_state)
        return 0;
    int link = hf_link_connect(&plan->address);
    if (link < 0)
        return went_away(link);
    if (hf_mix_needs_stock(&plan->mix))
        result = audit(&open, link, stock->taken + (may_lapse ? 0 : stock->held),
                       stock->taken + stock->held);
    if (result == 0 && hf_mix_has(&plan->mix, HF_KIND_REFUSE))
        result = audit(&sold_out, link, all, all);
    close(link);
    return result;
}
