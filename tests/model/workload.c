/* Random steps: see workload.h. */
#include "tests/model/workload.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

#define CUSTOMERS         4u
#define POOL_IDS          24u /* that are used again and again */
#define FIRST_FRESH_ID    1000u
#define MANY_RESERVATIONS 300u /* from here on, fewer are made and more forgotten */

/* ---- steps ---- */

static struct hf_step *append(struct hf_steps *steps, const struct hf_step *step)
{
    if (steps->count == steps->room) {
        steps->room = steps->room * 2 + 256;
        steps->steps = realloc(steps->steps, steps->room * sizeof *steps->steps);
        HF_CHECK(steps->steps);
    }
    steps->steps[steps->count] = *step;
    return &steps->steps[steps->count++];
}

static void append_line(struct hf_steps *steps, const struct hf_line *line)
{
    if (steps->line_count == steps->line_room) {
        steps->line_room = steps->line_room * 2 + 256;
        steps->lines = realloc(steps->lines, steps->line_room * sizeof *steps->lines);
        HF_CHECK(steps->lines);
    }
    steps->lines[steps->line_count++] = *line;
}

void hf_steps_clear(struct hf_steps *steps)
{
    steps->count = 0;
    steps->line_count = 0;
}

void hf_steps_close(struct hf_steps *steps)
{
    free(steps->steps);
    free(steps->lines);
    *steps = (struct hf_steps){0};
}

/* ---- ids ---- */

#define SYMBOL_MARK 0x5b /* in byte 14; the last byte is 1, as in all test ids */

struct hf_id hf_symbol(uint32_t number, uint32_t line)
{
    struct hf_id id = hf_id_of_number(number);
    id.bytes[13] = (uint8_t)line;
    id.bytes[14] = SYMBOL_MARK;
    return id;
}

bool hf_is_symbol(const struct hf_id *id)
{
    return id->bytes[14] == SYMBOL_MARK && id->bytes[15] == 1;
}

static uint32_t below(struct hf_workload *workload, uint32_t end)
{
    return hf_random_below(&workload->random, end);
}

static bool chance(struct hf_workload *workload, uint32_t percent)
{
    return hf_random_chance(&workload->random, percent);
}

static bool one_in(struct hf_workload *workload, uint32_t count)
{
    return below(workload, count) == 0;
}

static struct hf_id pool_id(struct hf_workload *workload)
{
    return hf_id_of_number(1 + below(workload, POOL_IDS));
}

static struct hf_id fresh_id(struct hf_workload *workload)
{
    return hf_id_of_number(FIRST_FRESH_ID + workload->fresh++);
}

/* One in this state (0: any), wherever the search begins; NULL: none. */
static const struct hf_world_reservation *find(struct hf_workload *workload,
                                               const struct hf_world *world, unsigned state)
{
    uint32_t count = hf_world_reservation_count(world);
    uint32_t from = count == 0 ? 0 : below(workload, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_world_reservation *one = hf_world_reservation(world, (from + i) % count);
        if (!one->forgotten && (state == 0 || one->now.state == state))
            return one;
    }
    return NULL;
}

/* One in this state, or else any; NULL: there is none at all. */
static const struct hf_world_reservation *pick(struct hf_workload *workload,
                                               const struct hf_world *world, unsigned state)
{
    const struct hf_world_reservation *one = find(workload, world, state);
    return one || state == 0 ? one : find(workload, world, 0);
}

/* ---- time ---- */

/* A little before, at, or a little after; 0 stays 0. */
static uint64_t around(struct hf_workload *workload, uint64_t date_ns)
{
    static const int64_t offsets[] = {-1, 0, 1, -1000, 1000, 2 * (int64_t)HF_NS_PER_MS + 1};
    if (date_ns == 0)
        return 0;
    return date_ns + (uint64_t)offsets[below(workload, sizeof offsets / sizeof *offsets)];
}

/* One of the dates at which something begins or ends; 0: none. */
static uint64_t some_date(struct hf_workload *workload, const struct hf_world *world)
{
    if (chance(workload, 70)) {
        const struct hf_world_reservation *held = find(workload, world, HF_STATE_HELD);
        return held ? held->now.deadline_ns : 0;
    }
    uint32_t count = hf_world_inventory_count(world);
    if (count == 0)
        return 0;
    const struct hf_settings *settings =
        &hf_world_inventory(world, below(workload, count))->settings;
    const uint64_t dates[] = {settings->opens_at_ns, settings->closes_at_ns,
                              settings->cancel_until_ns};
    return dates[below(workload, 3)];
}

static void advance(struct hf_workload *workload, const struct hf_world *world)
{
    uint32_t dice = below(workload, 1000);
    uint64_t then_ns = workload->now_ns;
    if (dice < 200)
        then_ns += 1 + below(workload, 3);
    else if (dice < 250)
        then_ns += 1 + below(workload, 3 * HF_NS_PER_MS);
    else if (dice < 330)
        then_ns = around(workload, some_date(workload, world));
    else if (dice < 333)
        then_ns += (1 + below(workload, 30)) * 3600 * HF_NS_PER_S;
    else if (dice < 334 + (hf_world_reservation_count(world) > MANY_RESERVATIONS ? 6 : 0))
        then_ns += workload->retain_ns + below(workload, 1000) * HF_NS_PER_S;
    if (then_ns <= workload->now_ns)
        return;
    /* To a date that is far off only at times: on the way everything lapses. */
    uint64_t jump_ns = then_ns - workload->now_ns;
    if (jump_ns > 10 * HF_NS_PER_S && dice < 330 && chance(workload, 90))
        return;
    workload->tick_next = jump_ns > HF_NS_PER_MS && chance(workload, 60);
    workload->now_ns = then_ns;
}

/* Mostly long enough for something to happen to the hold. */
static uint64_t some_ttl(struct hf_workload *workload)
{
    static const uint64_t short_ttls[] = {1, 5, 1000, HF_NS_PER_MS, 20 * HF_NS_PER_MS};
    static const uint64_t long_ttls[] = {HF_NS_PER_S, 60 * HF_NS_PER_S, 900 * HF_NS_PER_S,
                                         HF_MAX_TTL_NS};
    return chance(workload, 45) ? short_ttls[below(workload, 5)] : long_ttls[below(workload, 4)];
}

/* A date to come, or none, or one gone by. */
static uint64_t some_coming_date(struct hf_workload *workload)
{
    if (chance(workload, 80))
        return 0;
    return chance(workload, 80) ? workload->now_ns + some_ttl(workload) : workload->now_ns;
}

/* ---- lines ---- */

static uint64_t some_inventory_id(struct hf_workload *workload)
{
    return one_in(workload, 200) ? 99 : 1 + below(workload, HF_WORKLOAD_INVENTORIES);
}

/* Asks for a reservation that is there again, word for word but for one word at times. */
static void repeat_claim(struct hf_workload *workload, const struct hf_world *world,
                         struct hf_line *line)
{
    static const enum hf_operation kinds[] = {0, HF_OP_HOLD, HF_OP_RESERVE, 0, 0, 0, HF_OP_JOIN};
    const struct hf_world_reservation *one = pick(workload, world, 0);
    if (one == NULL)
        return;
    line->operation = kinds[one->made_as];
    line->id = workload->symbol_of(workload->context, &one->now.id);
    line->inventory_id = one->now.inventory_id;
    line->customer_id = one->made_customer_id;
    line->qty = one->made_qty;
    uint32_t dice = below(workload, 12);
    line->inventory_id += dice == 0;
    line->customer_id += dice == 1;
    line->qty += dice == 2;
    if (dice == 3)
        line->operation = kinds[HF_STATE_HELD + below(workload, 2)];
}

static void make_claim(struct hf_workload *workload, const struct hf_world *world,
                       enum hf_operation operation, struct hf_line *line)
{
    uint32_t dice = below(workload, 100);
    *line = (struct hf_line){
        .operation = operation,
        .flags = one_in(workload, 12) ? HF_REQUEST_OVERRIDE : 0,
        .inventory_id = some_inventory_id(workload),
        .customer_id = 1 + below(workload, CUSTOMERS),
        .qty = 1 + below(workload, chance(workload, 70) ? 2 : 5),
        .ttl_ns = some_ttl(workload),
    };
    if (dice < 55)
        line->id = fresh_id(workload);
    else if (dice < 70)
        line->id = pool_id(workload);
    else if (dice < 85)
        repeat_claim(workload, world, line);
    if (line->operation != HF_OP_HOLD)
        line->ttl_ns = 0;
}

/* Which state an operation is for: most are asked of such a one. */
static unsigned usual_state(struct hf_workload *workload, enum hf_operation operation)
{
    if (chance(workload, 15))
        return 0;
    if (operation == HF_OP_LEAVE)
        return HF_STATE_WAITING;
    if (operation == HF_OP_CANCEL)
        return HF_STATE_CONFIRMED;
    if (operation == HF_OP_CHANGE || operation == HF_OP_MOVE)
        return HF_STATE_HELD + below(workload, 2);
    return HF_STATE_HELD;
}

static void make_reacquire(struct hf_workload *workload, const struct hf_world *world,
                           struct hf_line *line)
{
    line->flags |= HF_REQUEST_REACQUIRE;
    uint32_t dice = below(workload, 10);
    if (dice < 5)
        line->new_id = fresh_id(workload);
    else if (dice == 5)
        line->new_id = pool_id(workload);
    const struct hf_world_reservation *expired =
        chance(workload, 70) ? find(workload, world, HF_STATE_EXPIRED) : NULL;
    if (expired)
        line->id = workload->symbol_of(workload->context, &expired->now.id);
    /* What was made of a lapsed hold knows what of: asked for again. */
    const struct hf_world_reservation *made =
        one_in(workload, 4) ? find(workload, world, HF_STATE_CONFIRMED) : NULL;
    if (made && !hf_id_is_zero(&made->now.linked_id)) {
        line->id = workload->symbol_of(workload->context, &made->now.linked_id);
        line->new_id = workload->symbol_of(workload->context, &made->now.id);
    }
    if (hf_id_equal(&line->id, &line->new_id))
        line->new_id = (struct hf_id){{0}};
}

static void make_change(struct hf_workload *workload, const struct hf_world *world,
                        enum hf_operation operation, struct hf_line *line)
{
    const struct hf_world_reservation *one =
        pick(workload, world, usual_state(workload, operation));
    *line = (struct hf_line){.operation = operation, .id = pool_id(workload)};
    if (one && !one_in(workload, 30)) {
        line->id = workload->symbol_of(workload->context, &one->now.id);
        if (chance(workload, 25))
            line->expected = one->now.sequence + (chance(workload, 30) ? 1 : 0);
    }
    if (operation == HF_OP_CONFIRM) {
        line->qty = chance(workload, 70) ? 0 : 1 + below(workload, 3);
        if (one_in(workload, 3))
            make_reacquire(workload, world, line);
    }
    if (operation == HF_OP_CHANGE)
        line->qty = below(workload, 6);
    if (operation == HF_OP_MOVE)
        line->customer_id = 1 + below(workload, CUSTOMERS);
    if (operation == HF_OP_EXTEND)
        line->ttl_ns = some_ttl(workload);
    if ((operation == HF_OP_CHANGE || operation == HF_OP_MOVE || operation == HF_OP_CONFIRM) &&
        one_in(workload, 12))
        line->flags |= HF_REQUEST_OVERRIDE;
}

/* A line of any operation, some more often than others. */
static enum hf_operation some_operation(struct hf_workload *workload)
{
    static const enum hf_operation kinds[] = {
        HF_OP_RESERVE, HF_OP_RESERVE, HF_OP_RESERVE, HF_OP_HOLD,    HF_OP_HOLD,    HF_OP_HOLD,
        HF_OP_HOLD,    HF_OP_JOIN,    HF_OP_JOIN,    HF_OP_JOIN,    HF_OP_CONFIRM, HF_OP_CONFIRM,
        HF_OP_CONFIRM, HF_OP_RELEASE, HF_OP_RELEASE, HF_OP_CANCEL,  HF_OP_CANCEL,  HF_OP_CANCEL,
        HF_OP_EXTEND,  HF_OP_EXTEND,  HF_OP_CHANGE,  HF_OP_CHANGE,  HF_OP_CHANGE,  HF_OP_MOVE,
        HF_OP_MOVE,    HF_OP_LEAVE,   HF_OP_LEAVE,   HF_OP_RELEASE, HF_OP_CANCEL,
    };
    enum hf_operation operation = kinds[below(workload, sizeof kinds / sizeof *kinds)];
    bool gives = operation == HF_OP_CANCEL || operation == HF_OP_RELEASE;
    if (gives && !chance(workload, workload->giving))
        operation = chance(workload, 50) ? HF_OP_HOLD : HF_OP_JOIN;
    return operation;
}

static bool is_claim(enum hf_operation operation)
{
    return operation == HF_OP_RESERVE || operation == HF_OP_HOLD || operation == HF_OP_JOIN;
}

static void make_line(struct hf_workload *workload, const struct hf_world *world,
                      struct hf_line *line)
{
    enum hf_operation operation = some_operation(workload);
    if (is_claim(operation) && hf_world_reservation_count(world) > MANY_RESERVATIONS &&
        chance(workload, 50))
        operation = HF_OP_CANCEL;
    if (is_claim(operation))
        make_claim(workload, world, operation, line);
    else
        make_change(workload, world, operation, line);
}

/* A line that is likely to be done, so that whole batches are. */
static void make_friendly_line(struct hf_workload *workload, const struct hf_world *world,
                               struct hf_line *line)
{
    enum hf_operation operation = some_operation(workload);
    if (operation == HF_OP_JOIN)
        operation = HF_OP_HOLD;
    const struct hf_world_reservation *one =
        find(workload, world, usual_state(workload, operation));
    if (is_claim(operation) || one == NULL || hf_state_is_final(one->now.state)) {
        make_claim(workload, world, is_claim(operation) ? operation : HF_OP_HOLD, line);
        line->qty = 1;
        line->ttl_ns = line->operation == HF_OP_HOLD ? 1000 : 0;
        return;
    }
    make_change(workload, world, operation, line);
    line->id = workload->symbol_of(workload->context, &one->now.id);
    line->expected = 0;
    line->flags &= (uint16_t)~HF_REQUEST_REACQUIRE;
    line->new_id = (struct hf_id){{0}};
}

/* An impossible value now and then. */
static void spoil(struct hf_workload *workload, struct hf_line *line)
{
    switch (below(workload, 4)) {
    case 0:
        line->qty = HF_MAX_UNITS + 1;
        break;
    case 1:
        line->ttl_ns = below(workload, 2) * (HF_MAX_TTL_NS + 1);
        break;
    case 2:
        line->id = (struct hf_id){{0}};
        break;
    default:
        line->qty = 0;
        break;
    }
}

/* ---- requests ---- */

static uint64_t some_not_after(struct hf_workload *workload)
{
    uint32_t dice = below(workload, 20);
    if (dice > 2)
        return 0;
    return workload->now_ns - 1 + dice; /* too late; just in time; in time */
}

static void make_single(struct hf_workload *workload, const struct hf_world *world,
                        struct hf_step *step)
{
    struct hf_line line;
    make_line(workload, world, &line);
    if (one_in(workload, 100))
        spoil(workload, &line);
    step->request = (struct hf_request){
        .operation = line.operation,
        .flags = line.flags,
        .id = line.id,
        .inventory_id = line.inventory_id,
        .customer_id = line.customer_id,
        .qty = line.qty,
        .expected = line.expected,
        .ttl_ns = line.ttl_ns,
        .new_id = line.new_id,
    };
    bool claims = is_claim(line.operation);
    if (claims)
        step->request.not_after_ns = some_not_after(workload);
    if (claims && one_in(workload, 15))
        step->guard = chance(workload, 60) ? HF_GUARD_RIGHT : HF_GUARD_WRONG;
}

static bool speaks_of(const struct hf_line *line, const struct hf_id *id)
{
    return !hf_id_is_zero(id) && (hf_id_equal(&line->id, id) || hf_id_equal(&line->new_id, id));
}

/* True if a line before it in the batch speaks of one of its ids. */
static bool repeats_an_id(const struct hf_steps *steps, uint32_t first, const struct hf_line *line)
{
    for (uint32_t i = first; i < steps->line_count; i++) {
        if (speaks_of(&steps->lines[i], &line->id) || speaks_of(&steps->lines[i], &line->new_id))
            return true;
    }
    return false;
}

/* The lines of an earlier batch again. */
static uint32_t repeat_lines(struct hf_workload *workload, struct hf_steps *steps)
{
    for (uint32_t attempt = 0; attempt < 40 && steps->count != 0; attempt++) {
        uint32_t recent = steps->count < 200 ? steps->count : 200;
        const struct hf_step *other = &steps->steps[steps->count - 1 - below(workload, recent)];
        if (other->kind != HF_STEP_REQUEST || other->request.operation != HF_OP_BATCH ||
            other->request.count > HF_MAX_BATCH_LINES)
            continue;
        uint32_t first = other->first_line, count = other->request.count;
        for (uint32_t i = 0; i < count; i++) {
            struct hf_line line = steps->lines[first + i];
            append_line(steps, &line);
        }
        return count;
    }
    return 0;
}

static void make_batch(struct hf_workload *workload, const struct hf_world *world,
                       struct hf_steps *steps, struct hf_step *step)
{
    uint32_t wanted = 1 + below(workload, one_in(workload, 50) ? HF_MAX_BATCH_LINES : 5);
    step->first_line = steps->line_count;
    step->request = (struct hf_request){
        .operation = HF_OP_BATCH,
        .not_after_ns = some_not_after(workload),
    };
    if (one_in(workload, 6))
        step->request.count = repeat_lines(workload, steps);
    if (one_in(workload, 300))
        wanted = HF_MAX_BATCH_LINES + 1;
    else if (one_in(workload, 300))
        return; /* a batch of nothing */
    bool friendly = chance(workload, 60);
    while (step->request.count < wanted) {
        struct hf_line line;
        if (friendly)
            make_friendly_line(workload, world, &line);
        else
            make_line(workload, world, &line);
        if (one_in(workload, 300))
            spoil(workload, &line);
        if (repeats_an_id(steps, step->first_line, &line) && !one_in(workload, 40))
            continue;
        append_line(steps, &line);
        step->request.count++;
    }
    if (one_in(workload, 12))
        step->guard = chance(workload, 60) ? HF_GUARD_RIGHT : HF_GUARD_WRONG;
}

/* `early`: not all are there yet. */
static void make_create(struct hf_workload *workload, bool early, struct hf_step *step)
{
    step->request = (struct hf_request){
        .operation = HF_OP_INVENTORY_CREATE,
        .inventory_id = 1 + below(workload, HF_WORKLOAD_INVENTORIES + (early ? 0 : 1)),
        .product_id = one_in(workload, 10) ? 8 : 7,
        .capacity = 1 + below(workload, one_in(workload, 4) ? 16 : 5),
    };
}

static void make_settings(struct hf_workload *workload, struct hf_settings_change *change)
{
    struct hf_settings *settings = &change->settings;
    settings->sell_limit = below(workload, one_in(workload, 4) ? 16 : 5);
    settings->customer_limit = chance(workload, 50) ? 0 : 1 + below(workload, 5);
    settings->min_qty = chance(workload, 70) ? 0 : 1 + below(workload, 2);
    settings->max_qty = chance(workload, 70) ? 0 : settings->min_qty + 1 + below(workload, 2);
    settings->waiting_limit = below(workload, 5);
    settings->opens_at_ns = chance(workload, 88) ? 0 : workload->now_ns + some_ttl(workload);
    settings->closes_at_ns = some_coming_date(workload);
    if (settings->closes_at_ns != 0 && settings->closes_at_ns <= settings->opens_at_ns)
        settings->opens_at_ns = 0;
    settings->longest_hold_ns = chance(workload, 70) ? 0 : some_ttl(workload);
    settings->cancel_until_ns = some_coming_date(workload);
    settings->offer_ttl_ns = some_ttl(workload);
    change->capacity = 1 + below(workload, 20);
    change->flags_mask = 1 + below(workload, 15);
    /* Mostly open: what stops all sales is rare. */
    settings->flags = (chance(workload, 12) ? HF_INVENTORY_PAUSED : 0) |
                      (chance(workload, 8) ? HF_INVENTORY_CLOSED : 0) |
                      (chance(workload, 20) ? HF_INVENTORY_CLOSE_WHEN_SOLD_OUT : 0) |
                      (chance(workload, 50) ? HF_INVENTORY_SKIP : 0);
    settings->flags &= change->flags_mask;
}

static void make_set(struct hf_workload *workload, struct hf_step *step)
{
    struct hf_settings_change *change = &step->request.change;
    step->request = (struct hf_request){
        .operation = HF_OP_INVENTORY_SET,
        .inventory_id = some_inventory_id(workload),
        .flags = one_in(workload, 3) ? HF_REQUEST_STRICT : 0,
    };
    make_settings(workload, change);
    /* A quarter of the fields each time. */
    change->fields = (uint32_t)hf_random_next(&workload->random) & HF_SET_ALL;
    change->fields &= (uint32_t)hf_random_next(&workload->random);
    if (chance(workload, 60))
        change->fields |= HF_SET_SELL_LIMIT;
    /* What belongs together is set together, mostly; else it may contradict what is there, or
     * itself. */
    bool apart = one_in(workload, 6);
    if (apart && one_in(workload, 2))
        change->settings.max_qty = 1;
    if (apart && one_in(workload, 2))
        change->settings.opens_at_ns = change->settings.closes_at_ns;
    if (!apart && (change->fields & (HF_SET_MIN_QTY | HF_SET_MAX_QTY)) != 0)
        change->fields |= HF_SET_MIN_QTY | HF_SET_MAX_QTY;
    if (!apart && (change->fields & (HF_SET_OPENS_AT | HF_SET_CLOSES_AT)) != 0)
        change->fields |= HF_SET_OPENS_AT | HF_SET_CLOSES_AT;
    if (change->fields == 0 || chance(workload, 40))
        change->fields |= HF_SET_REOPEN;
    if (one_in(workload, 8))
        step->guard = chance(workload, 60) ? HF_GUARD_RIGHT : HF_GUARD_WRONG;
}

static void make_read(struct hf_workload *workload, const struct hf_world *world,
                      struct hf_step *step)
{
    static const enum hf_operation kinds[] = {HF_OP_RESERVATION_GET, HF_OP_RESERVATION_GET,
                                              HF_OP_INVENTORY_GET, HF_OP_INVENTORY_SETTINGS};
    const struct hf_world_reservation *one = pick(workload, world, 0);
    step->request = (struct hf_request){
        .operation = kinds[below(workload, 4)],
        .id = one && !one_in(workload, 20) ? workload->symbol_of(workload->context, &one->now.id)
                                           : pool_id(workload),
        .inventory_id = some_inventory_id(workload),
    };
}

static void make_request(struct hf_workload *workload, const struct hf_world *world,
                         struct hf_steps *steps, struct hf_step *step)
{
    uint32_t dice = below(workload, 100);
    bool early = hf_world_inventory_count(world) < HF_WORKLOAD_INVENTORIES;
    if (hf_world_inventory_count(world) == 0 || dice < (early ? 30 : 1))
        make_create(workload, early, step);
    else if (dice < 6)
        make_set(workload, step);
    else if (dice < 11)
        make_read(workload, world, step);
    else if (dice < 22)
        make_batch(workload, world, steps, step);
    else
        make_single(workload, world, step);
}

void hf_workload_init(struct hf_workload *workload, uint64_t seed, uint64_t retain_ns)
{
    *workload = (struct hf_workload){
        .random = hf_random_for(seed, 1),
        .now_ns = 1000 * HF_NS_PER_S,
        .retain_ns = retain_ns,
    };
    workload->crash_every = 20u << below(workload, 6);
    workload->giving = 15 + 25 * below(workload, 4);
}

struct hf_step *hf_workload_next(struct hf_workload *workload, const struct hf_world *world,
                                 struct hf_steps *steps)
{
    struct hf_step step = {.number = steps->count};
    bool tick = workload->tick_next;
    workload->tick_next = false;
    if (!tick)
        advance(workload, world);
    step.now_ns = workload->now_ns;
    step.dice = (uint32_t)hf_random_next(&workload->random);
    if (tick || one_in(workload, 100))
        step.kind = HF_STEP_TICK;
    else if (one_in(workload, workload->crash_every))
        step.kind = HF_STEP_CRASH;
    else if (one_in(workload, 150))
        step.kind = HF_STEP_COMPARE;
    else
        make_request(workload, world, steps, &step);
    return append(steps, &step);
}
