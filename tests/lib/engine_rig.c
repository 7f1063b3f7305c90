/* The rig; see engine_rig.h. */
#include "tests/lib/engine_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/execute.h"
#include "engine/hash.h"
#include "engine/lapse.h"
#include "engine/replay.h"
#include "engine/request.h"
#include "engine/waiting.h"
#include "tests/lib/digest.h"
#include "tests/lib/stress.h"
#include "wal/record.h"

/* More attempts than anything takes that comes about by itself. */
#define ATTEMPTS 64

#define TICK_BUDGET 100000u

/* ---- opening, closing, crashing ---- */

static void create_region(const struct hf_rig_options *options, struct hf_region *region)
{
    HF_CHECK(hf_region_create(region, options->max_inventories, options->max_reservations) == 0);
}

/* The engine of a region begins to write from this LSN on. */
static void start(struct hf_rig *rig, const struct hf_region *region, uint64_t next_lsn,
                  uint64_t now_ns)
{
    HF_CHECK(hf_ring_init(&rig->ring, rig->options.ring_slots, next_lsn) == 0);
    HF_CHECK(hf_engine_init(&rig->engine, region, rig->options.retain_ns, now_ns) == 0);
}

static void start_actor(struct hf_rig *rig, uint64_t now_ns)
{
    HF_CHECK(hf_actor_init(&rig->actor, &rig->engine, &rig->ring) == 0);
    rig->actor.now_ns = now_ns;
}

void hf_rig_open(struct hf_rig *rig, const struct hf_rig_options *options)
{
    struct hf_region region;
    memset(rig, 0, sizeof *rig);
    rig->options = *options;
    if (rig->options.max_inventories == 0)
        rig->options.max_inventories = 8;
    if (rig->options.max_reservations == 0)
        rig->options.max_reservations = 4096;
    if (rig->options.ring_slots == 0)
        rig->options.ring_slots = 1024;
    if (rig->options.retain_ns == 0)
        rig->options.retain_ns = HF_DEFAULT_RETAIN_NS;
    create_region(&rig->options, &region);
    start(rig, &region, 1, HF_RIG_START_NS);
    start_actor(rig, HF_RIG_START_NS);
}

void hf_rig_open_stocked(struct hf_rig *rig, const struct hf_rig_options *options,
                         uint32_t inventories, uint32_t capacity)
{
    hf_rig_open(rig, options);
    for (uint32_t inventory_id = 1; inventory_id <= inventories; inventory_id++)
        hf_rig_create(rig, inventory_id, capacity);
}

static void stop(struct hf_rig *rig)
{
    hf_actor_close(&rig->actor);
    hf_engine_close(&rig->engine);
    hf_region_close(&rig->engine.region);
    hf_ring_close(&rig->ring);
}

void hf_rig_close(struct hf_rig *rig)
{
    stop(rig);
    free(rig->log);
    rig->log = NULL;
}

uint32_t hf_rig_whole(const struct hf_rig *rig, uint32_t records)
{
    if (records == 0)
        return 0;
    const uint8_t *last = rig->log + (size_t)(records - 1) * HF_RECORD_BYTES;
    uint32_t index = last[10], length = last[11];
    return length != 0 && index + 1 < length ? records - (index + 1) : records;
}

const char *hf_rig_recover(struct hf_rig *rig, uint32_t records)
{
    uint64_t now_ns = rig->actor.now_ns;
    hf_rig_drain(rig);
    HF_CHECK(records <= rig->log_count);
    stop(rig);
    rig->log_count = hf_rig_whole(rig, records);
    struct hf_region region;
    struct hf_replay replay;
    create_region(&rig->options, &region);
    HF_CHECK(hf_replay_init(&replay, &region, rig->options.retain_ns) == 0);
    static char reason[160];
    uint32_t fault;
    const char *wrong = hf_replay_apply_all(&replay, rig->log, rig->log_count, &fault);
    if (wrong == NULL)
        wrong = hf_replay_finish(&replay);
    if (wrong != NULL) {
        snprintf(reason, sizeof reason, "%s", wrong);
        wrong = reason;
    }
    start(rig, &region, rig->log_count + 1ull, now_ns);
    HF_CHECK(wrong != NULL || hf_replay_start_engine(&replay, &rig->engine));
    hf_replay_close(&replay);
    start_actor(rig, now_ns);
    if (wrong == NULL) {
        hf_actor_enter(&rig->actor);
        hf_waiting_serve_lists(&rig->actor);
        hf_actor_exit(&rig->actor);
        if (!rig->holds_ring)
            hf_rig_drain(rig);
    }
    return wrong;
}

void hf_rig_drain(struct hf_rig *rig)
{
    uint32_t count = hf_ring_published(&rig->ring, rig->options.ring_slots);
    if (rig->log_count + count > rig->log_capacity) {
        rig->log_capacity = 2 * rig->log_capacity + count + 1024;
        rig->log = realloc(rig->log, (size_t)rig->log_capacity * HF_RECORD_BYTES);
        HF_CHECK(rig->log != NULL);
    }
    hf_ring_drain(&rig->ring, rig->log + (size_t)rig->log_count * HF_RECORD_BYTES, count);
    rig->log_count += count;
}

/* ---- operations ---- */

unsigned hf_rig_try(struct hf_rig *rig, const struct hf_request *request)
{
    enum hf_field field;
    unsigned line;
    hf_actor_enter(&rig->actor);
    enum hf_result checked = hf_request_check(request, &field, &line);
    if (checked != HF_OK) {
        hf_outcome_begin(&rig->outcome);
        rig->outcome.result = checked;
        rig->outcome.field = field;
        rig->outcome.line = (uint16_t)line;
    } else {
        HF_CHECK(hf_engine_execute(&rig->actor, request, rig->entries, &rig->outcome));
    }
    hf_actor_exit(&rig->actor);
    if (!rig->holds_ring)
        hf_rig_drain(rig);
    return rig->outcome.result;
}

unsigned hf_rig_do(struct hf_rig *rig, const struct hf_request *request)
{
    unsigned result = hf_rig_try(rig, request);
    for (int i = 0; i < ATTEMPTS && hf_outcome_put_aside(&rig->outcome); i++)
        result = hf_rig_try(rig, request);
    return result;
}

void hf_rig_pass(struct hf_rig *rig, uint64_t ns)
{
    rig->actor.now_ns += ns;
    bool more = true;
    /* Some turns more than it says: what was taken out of the table waits for two of them. */
    for (int turns = 0; turns < 3 || more; turns += !more) {
        hf_actor_enter(&rig->actor);
        more = hf_engine_tick(&rig->actor, TICK_BUDGET) && !rig->holds_ring;
        hf_actor_exit(&rig->actor);
        if (!rig->holds_ring)
            hf_rig_drain(rig);
    }
}

/* ---- requests ---- */

void hf_rig_create(struct hf_rig *rig, uint64_t inventory_id, uint32_t capacity)
{
    struct hf_request request = {.operation = HF_OP_INVENTORY_CREATE,
                                 .inventory_id = inventory_id,
                                 .product_id = inventory_id * 10,
                                 .capacity = capacity};
    HF_CHECK(hf_rig_do(rig, &request) == HF_CREATED);
}

static struct hf_request claim(enum hf_operation operation, uint32_t number, uint64_t inventory_id,
                               uint64_t customer_id, uint32_t qty)
{
    return (struct hf_request){.operation = operation,
                               .id = hf_id_of_number(number),
                               .inventory_id = inventory_id,
                               .customer_id = customer_id,
                               .qty = qty};
}

unsigned hf_rig_reserve(struct hf_rig *rig, uint32_t number, uint64_t inventory_id,
                        uint64_t customer_id, uint32_t qty)
{
    struct hf_request request = claim(HF_OP_RESERVE, number, inventory_id, customer_id, qty);
    return hf_rig_do(rig, &request);
}

unsigned hf_rig_hold(struct hf_rig *rig, uint32_t number, uint64_t inventory_id,
                     uint64_t customer_id, uint32_t qty, uint64_t ttl_ns)
{
    struct hf_request request = claim(HF_OP_HOLD, number, inventory_id, customer_id, qty);
    request.ttl_ns = ttl_ns;
    return hf_rig_do(rig, &request);
}

unsigned hf_rig_join(struct hf_rig *rig, uint32_t number, uint64_t inventory_id,
                     uint64_t customer_id, uint32_t qty)
{
    struct hf_request request = claim(HF_OP_JOIN, number, inventory_id, customer_id, qty);
    return hf_rig_do(rig, &request);
}

unsigned hf_rig_simple(struct hf_rig *rig, enum hf_operation operation, uint32_t number)
{
    struct hf_request request = {.operation = operation, .id = hf_id_of_number(number)};
    return hf_rig_do(rig, &request);
}

unsigned hf_rig_extend(struct hf_rig *rig, uint32_t number, uint64_t ttl_ns)
{
    struct hf_request request = {
        .operation = HF_OP_EXTEND, .id = hf_id_of_number(number), .ttl_ns = ttl_ns};
    return hf_rig_do(rig, &request);
}

unsigned hf_rig_change(struct hf_rig *rig, uint32_t number, uint32_t qty)
{
    struct hf_request request = {
        .operation = HF_OP_CHANGE, .id = hf_id_of_number(number), .qty = qty};
    return hf_rig_do(rig, &request);
}

unsigned hf_rig_move(struct hf_rig *rig, uint32_t number, uint64_t customer_id)
{
    struct hf_request request = {
        .operation = HF_OP_MOVE, .id = hf_id_of_number(number), .customer_id = customer_id};
    return hf_rig_do(rig, &request);
}

unsigned hf_rig_batch(struct hf_rig *rig, const struct hf_line *lines, uint32_t count)
{
    struct hf_request request = {.operation = HF_OP_BATCH, .lines = lines, .count = count};
    return hf_rig_do(rig, &request);
}

unsigned hf_rig_set(struct hf_rig *rig, uint64_t inventory_id,
                    const struct hf_settings_change *change)
{
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_SET, .inventory_id = inventory_id, .change = *change};
    return hf_rig_do(rig, &request);
}

unsigned hf_rig_set_one(struct hf_rig *rig, uint64_t inventory_id, uint32_t field, uint64_t value)
{
    struct hf_settings_change change = {.fields = field, .capacity = (uint32_t)value};
    uint32_t small = (uint32_t)value;
    change.settings = (struct hf_settings){
        .sell_limit = field == HF_SET_SELL_LIMIT ? small : 0,
        .customer_limit = field == HF_SET_CUSTOMER_LIMIT ? small : 0,
        .min_qty = field == HF_SET_MIN_QTY ? small : 0,
        .max_qty = field == HF_SET_MAX_QTY ? small : 0,
        .waiting_limit = field == HF_SET_WAITING_LIMIT ? small : 0,
        .opens_at_ns = field == HF_SET_OPENS_AT ? value : 0,
        .closes_at_ns = field == HF_SET_CLOSES_AT ? value : 0,
        .longest_hold_ns = field == HF_SET_LONGEST_HOLD ? value : 0,
        .cancel_until_ns = field == HF_SET_CANCEL_UNTIL ? value : 0,
        .offer_ttl_ns = field == HF_SET_OFFER_TTL ? value : 0,
    };
    return hf_rig_set(rig, inventory_id, &change);
}

unsigned hf_rig_set_flags(struct hf_rig *rig, uint64_t inventory_id, uint32_t mask, uint32_t flags)
{
    struct hf_settings_change change = {
        .fields = HF_SET_FLAGS, .flags_mask = mask, .settings.flags = flags};
    return hf_rig_set(rig, inventory_id, &change);
}

/* ---- looking ---- */

struct hf_inventory hf_rig_inventory(struct hf_rig *rig, uint64_t inventory_id)
{
    struct hf_outcome told;
    hf_actor_enter(&rig->actor);
    hf_engine_get_inventory(&rig->actor, inventory_id, &told);
    hf_actor_exit(&rig->actor);
    HF_CHECK(told.result == HF_FOUND);
    return told.inventory;
}

static void get(struct hf_rig *rig, uint32_t number, struct hf_outcome *told)
{
    struct hf_id id = hf_id_of_number(number);
    hf_actor_enter(&rig->actor);
    hf_engine_get(&rig->actor, &id, told);
    hf_actor_exit(&rig->actor);
}

unsigned hf_rig_state(struct hf_rig *rig, uint32_t number)
{
    struct hf_outcome told;
    get(rig, number, &told);
    HF_CHECK(!hf_outcome_put_aside(&told));
    return told.result == HF_FOUND ? told.reservation.state : 0;
}

struct hf_reservation hf_rig_reservation(struct hf_rig *rig, uint32_t number)
{
    struct hf_outcome told;
    get(rig, number, &told);
    HF_CHECK(told.result == HF_FOUND);
    return told.reservation;
}

struct hf_reservation_cell *hf_rig_cell(struct hf_rig *rig, uint32_t number)
{
    const struct hf_region *region = &rig->engine.region;
    struct hf_id id = hf_id_of_number(number);
    struct hf_reservation_cell *cell = NULL;
    HF_CHECK(hf_table_find(region, &id, hf_hash_id(&id, region->header->hash_seed), &cell) ==
             HF_LOOKUP_FOUND);
    return cell;
}

struct hf_image hf_rig_image(const struct hf_rig *rig, uint64_t lsn)
{
    struct hf_image image;
    HF_CHECK(lsn != 0 && lsn <= rig->log_count);
    HF_CHECK(hf_image_decode(rig->log + (size_t)(lsn - 1) * HF_RECORD_BYTES, &image) == NULL);
    HF_CHECK(image.lsn == lsn);
    return image;
}

uint64_t hf_rig_digest(struct hf_rig *rig)
{
    hf_actor_enter(&rig->actor);
    uint64_t digest = hf_digest_engine(&rig->engine);
    hf_actor_exit(&rig->actor);
    return digest;
}
