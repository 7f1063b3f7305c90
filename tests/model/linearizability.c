/*
 * Concurrent histories, checked for linearizability.
 *
 *     linearizability [--threads N] [--seconds S] [--seed N] [--subject engine|locked]
 *                     [--take-and-undo]
 *
 * A round is short: some threads, some operations each, on two to four inventories of one to three
 * units and many customers. Everybody claims, in single operations and in bundles over several
 * inventories, confirms, releases, cancels, changes and moves, also what others made, and repeats
 * what others asked for. Each request and each answer is stamped by one shared counter, refusals
 * like the rest. When all are done, the round is a history; the final state is read as one more
 * operation behind all others, sums and reservations; and the reference model is the sequential
 * machine that the search tries orders with (linearize.h). Some holds lapsed just before a round
 * begins, and some who wait get units in it: that the server notices the ones and makes the others
 * an offer are steps of the machine's own. What shares no inventory is searched
 * apart from the rest (a history is linearizable if its parts over separate objects are).
 *
 * --take-and-undo shows that the search sees: batches are then performed by the mistake that it is
 * there to find, line by line, and taken back when a line fails. Somebody else is refused units that
 * nobody gets. The program succeeds if it meets a refusal that no order explains, and fails if it
 * does not within the time.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomics.h"
#include "base/check.h"
#include "tests/lib/stress.h"
#include "tests/model/compare.h"
#include "tests/model/linearize.h"
#include "tests/model/subject.h"

#define THREADS_MAX     8u
#define EACH            6u /* operations of a thread in a round */
#define OPERATIONS_MAX  (THREADS_MAX * EACH + 1)
#define INVENTORIES_MAX 4u
#define LINES_MAX       4u
#define BEGIN_NS        1000000000000ull
#define TTL_NS          1000000000ull
#define LAPSED_MAX      4u /* holds whose deadline is the instant at which a round begins */
#define IDS_MAX         (THREADS_MAX * EACH * LINES_MAX + LAPSED_MAX)
#define STEPS_MAX       2000000u
_Static_assert(OPERATIONS_MAX <= HF_LINEARIZE_OPERATIONS, "a round is one history");

/* One operation of a round: planned, then performed. */
struct operation {
    struct hf_request request;
    struct hf_line lines[LINES_MAX];
    uint32_t inventories; /* it may touch: bit n, inventory n of the round */
    bool claims_only;     /* a batch of nothing but RESERVE and HOLD */
    struct hf_interval interval;
    struct hf_reply reply;
    struct hf_reservation_entry entries[LINES_MAX];
};

/* The final state, as it was read when all were done. */
struct final_state {
    struct hf_inventory inventories[INVENTORIES_MAX];
    struct hf_reservation reservations[IDS_MAX];
    bool found[IDS_MAX];
    bool ignored[IDS_MAX]; /* what take-and-undo leaves behind */
};

static struct program {
    const struct hf_subject *subject;
    void *engine;
    bool take_and_undo;
    unsigned threads;
    uint64_t seed, round;
    struct hf_random random; /* of the plans */

    uint64_t now_ns; /* time stands still in a round */
    uint32_t lapsed_count;
    uint32_t lapsed[LAPSED_MAX]; /* numbers of ids */

    /* The round: planned by thread 0, then each thread writes to its own operations. */
    uint32_t inventory_count;
    bool joins; /* there are waiting lists in this round */
    uint32_t id_count;
    uint32_t id_inventory[IDS_MAX]; /* of the request that would make it */
    bool id_is_shared[IDS_MAX];     /* others may speak of it */
    struct operation operations[OPERATIONS_MAX];
    struct final_state final;

    /* Between the threads. */
    _Atomic uint32_t arrived;
    _Atomic uint32_t generation;
    _Atomic uint32_t ended;
    _Atomic uint64_t stamp;

    struct hf_world *world; /* the sequential machine's */
    struct hf_expectation expected;
    uint64_t histories, refusals, overlaps, steps, longest_steps, undecided, blamed;
} program;

/* The part of a round that is searched: operations over inventories that hang together. */
struct part {
    uint32_t inventories;
    uint32_t count;
    uint32_t numbers[OPERATIONS_MAX]; /* UINT32_MAX: the final state */
    struct hf_interval intervals[OPERATIONS_MAX];
    uint32_t dropped; /* this one is left out; UINT32_MAX: none */
};

/* ---- the plan of a round ---- */

static uint64_t inventory_id_of(uint32_t index)
{
    return program.round * INVENTORIES_MAX + index + 1;
}

static struct hf_id id_of(uint32_t number)
{
    struct hf_id id = hf_id_of_number(number);
    for (unsigned i = 0; i < 8; i++)
        id.bytes[4 + i] = (uint8_t)((program.round + 1) >> (8 * i));
    return id;
}

static uint32_t below(uint32_t end)
{
    return hf_random_below(&program.random, end);
}

static bool chance(uint32_t percent)
{
    return hf_random_chance(&program.random, percent);
}

static uint32_t new_id(uint32_t inventory, bool shared)
{
    HF_CHECK(program.id_count < IDS_MAX);
    program.id_inventory[program.id_count] = inventory;
    program.id_is_shared[program.id_count] = shared;
    return program.id_count++;
}

/* A claim of its own, as a line. */
static struct hf_line plan_claim(uint32_t inventory, bool shared)
{
    static const enum hf_operation kinds[] = {HF_OP_RESERVE, HF_OP_HOLD, HF_OP_JOIN};
    return (struct hf_line){
        .operation = kinds[below(program.joins && shared ? 3 : 2)],
        .id = id_of(new_id(inventory, shared)),
        .inventory_id = inventory_id_of(inventory),
        .customer_id = 1 + below(chance(50) ? 2 : 100),
        .qty = 1 + below(chance(30) ? 2 : 1),
        .ttl_ns = TTL_NS,
    };
}

/* An id of this round that may be spoken of; UINT32_MAX: none. */
static uint32_t some_id(void)
{
    for (uint32_t attempt = 0; program.id_count != 0 && attempt < 8; attempt++) {
        uint32_t number = below(program.id_count);
        if (program.id_is_shared[number])
            return number;
    }
    return UINT32_MAX;
}

/* A change of a reservation that somebody makes, made or will make. */
static struct hf_line plan_change(uint32_t number)
{
    static const enum hf_operation kinds[] = {HF_OP_CONFIRM, HF_OP_RELEASE, HF_OP_CANCEL,
                                              HF_OP_CANCEL,  HF_OP_CHANGE,  HF_OP_MOVE,
                                              HF_OP_EXTEND,  HF_OP_LEAVE};
    struct hf_line line = {
        .operation = kinds[below(program.joins ? 8 : 7)],
        .id = id_of(number),
        .inventory_id = inventory_id_of(program.id_inventory[number]),
        .customer_id = 1 + below(2),
        .qty = below(3),
        .ttl_ns = TTL_NS + below(2),
        .expected = chance(20) ? 1 + below(2) : 0,
    };
    if (line.operation == HF_OP_CONFIRM && chance(50)) {
        line.flags = HF_REQUEST_REACQUIRE;
        line.new_id = id_of(new_id(program.id_inventory[number], true));
    }
    return line;
}

static void take_line(struct operation *operation, const struct hf_line *line)
{
    struct hf_request *request = &operation->request;
    request->operation = line->operation;
    request->id = line->id;
    request->inventory_id = line->inventory_id;
    request->customer_id = line->customer_id;
    request->qty = line->qty;
    request->ttl_ns = line->ttl_ns;
    request->expected = line->expected;
    request->flags = line->flags;
    request->new_id = line->new_id;
}

static void plan_single(struct operation *operation)
{
    uint32_t other = chance(60) ? some_id() : UINT32_MAX;
    struct hf_line line =
        other == UINT32_MAX ? plan_claim(below(program.inventory_count), true) : plan_change(other);
    take_line(operation, &line);
    if (other != UINT32_MAX && chance(10)) {
        operation->request.operation = chance(60) ? HF_OP_RESERVATION_GET : HF_OP_INVENTORY_GET;
        operation->request.flags = 0; /* a claim's */
    }
    operation->inventories = 1u << ((line.inventory_id - 1) % INVENTORIES_MAX);
}

/* Each line of a batch is on an inventory of its own, but for some. */
static void plan_batch(struct operation *operation)
{
    uint32_t count = 2 + below(program.inventory_count > 2 ? 2 : 1);
    uint32_t first = below(program.inventory_count);
    operation->request.operation = HF_OP_BATCH;
    operation->request.lines = operation->lines;
    operation->claims_only = true;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t inventory = chance(85) || program.take_and_undo
                                 ? (first + i) % program.inventory_count
                                 : below(program.inventory_count);
        uint32_t other = chance(25) && !program.take_and_undo ? some_id() : UINT32_MAX;
        bool twice = false;
        struct hf_line line = other == UINT32_MAX ? plan_claim(inventory, !program.take_and_undo)
                                                  : plan_change(other);
        for (uint32_t j = 0; j < i; j++)
            twice |= hf_id_equal(&operation->lines[j].id, &line.id);
        if (twice || line.operation == HF_OP_JOIN)
            continue;
        if (other != UINT32_MAX)
            operation->claims_only = false;
        operation->inventories |= 1u << ((line.inventory_id - 1) % INVENTORIES_MAX);
        operation->lines[operation->request.count++] = line;
    }
    if (operation->request.count == 0) {
        memset(operation, 0, sizeof *operation);
        plan_single(operation);
    }
}

/* What another thread asks for, or would ask for, word for word. */
static void plan_repeat(struct operation *operation, uint32_t end)
{
    const struct operation *other = end == 0 ? NULL : &program.operations[below(end)];
    if (other == NULL || other->request.operation == HF_OP_BATCH) {
        plan_single(operation);
        return;
    }
    operation->request = other->request;
    operation->inventories = other->inventories;
}

static void plan_setting(struct operation *operation)
{
    uint32_t inventory = below(program.inventory_count);
    struct hf_settings_change *change = &operation->request.change;
    operation->request.operation = HF_OP_INVENTORY_SET;
    operation->request.inventory_id = inventory_id_of(inventory);
    operation->request.flags = chance(30) ? HF_REQUEST_STRICT : 0;
    static const uint32_t fields[] = {HF_SET_SELL_LIMIT, HF_SET_SELL_LIMIT,
                                      HF_SET_FLAGS | HF_SET_REOPEN, HF_SET_CANCEL_UNTIL,
                                      HF_SET_CUSTOMER_LIMIT};
    change->fields = fields[below(5)];
    change->settings.sell_limit = below(4);
    change->flags_mask = HF_INVENTORY_PAUSED;
    change->settings.flags = chance(30) ? HF_INVENTORY_PAUSED : 0;
    change->settings.cancel_until_ns = chance(50) ? program.now_ns : 0; /* too late by now */
    change->settings.customer_limit = below(3);
    operation->inventories = 1u << inventory;
}

static void plan_operation(uint32_t number)
{
    struct operation *operation = &program.operations[number];
    uint32_t dice = below(100);
    memset(operation, 0, sizeof *operation);
    if (dice < 35)
        plan_batch(operation);
    else if (dice < 42)
        plan_repeat(operation, number);
    else if (dice < 46)
        plan_setting(operation);
    else
        plan_single(operation);
}

/* A request of thread 0, to the engine and to the model alike. */
static void prepare(const struct hf_request *request)
{
    static struct hf_answer answer;
    static const struct hf_chosen_ids none;
    program.subject->execute(program.engine, 0, program.now_ns, request, &answer);
    hf_reference_execute(program.world, program.now_ns, request, &none, true, &program.expected);
    if (hf_result_group(answer.reply.result) != HF_GROUP_YES)
        hf_stress_fail("round %" PRIu64 " cannot begin: %s", program.round,
                       hf_result_name(answer.reply.result));
}

static void plan_inventory(uint32_t index)
{
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_CREATE,
        .inventory_id = inventory_id_of(index),
        .product_id = 1,
        .capacity = 1 + below(3),
    };
    prepare(&request);
    request.operation = HF_OP_INVENTORY_SET;
    request.change.fields = HF_SET_CUSTOMER_LIMIT | HF_SET_FLAGS | HF_SET_WAITING_LIMIT;
    request.change.settings.customer_limit = chance(40) ? 1 + below(2) : 0;
    request.change.settings.waiting_limit = 1 + below(3);
    request.change.flags_mask = HF_INVENTORY_CLOSE_WHEN_SOLD_OUT | HF_INVENTORY_SKIP;
    request.change.settings.flags =
        (chance(15) ? HF_INVENTORY_CLOSE_WHEN_SOLD_OUT : 0) | (chance(30) ? HF_INVENTORY_SKIP : 0);
    if (chance(60))
        prepare(&request);
}

/* Lapses at the instant at which the round begins; known to all. */
static void plan_lapsed(uint32_t inventory)
{
    struct operation hold = {0};
    struct hf_line line = plan_claim(inventory, true);
    line.operation = HF_OP_HOLD;
    line.qty = 1;
    take_line(&hold, &line);
    prepare(&hold.request);
    program.lapsed[program.lapsed_count++] = program.id_count - 1;
}

/* Time goes on from round to round: what was left behind lapses, and waits no longer. */
static void begin_round(void)
{
    program.random = hf_random_for(program.seed, program.round);
    program.now_ns = BEGIN_NS + program.round * 2 * TTL_NS;
    program.subject->renew(program.engine, INVENTORIES_MAX, IDS_MAX);
    hf_world_clear(program.world);
    program.inventory_count = 2 + below(INVENTORIES_MAX - 1);
    program.joins = !program.take_and_undo && chance(40);
    program.id_count = program.lapsed_count = 0;
}

static void plan_round(void)
{
    begin_round();
    for (uint32_t i = 0; i < program.inventory_count; i++)
        plan_inventory(i);
    for (uint32_t i = 0; i < LAPSED_MAX && !program.take_and_undo; i++) {
        if (i < program.inventory_count && chance(25))
            plan_lapsed(i);
    }
    program.now_ns += TTL_NS; /* before the plans: some of them tell a date */
    hf_world_checkpoint(program.world, NULL, NULL);
    /* In an order in which every thread speaks of what the others make. */
    for (uint32_t i = 0; i < program.threads * EACH; i++)
        plan_operation(i);
}

/* ---- performing it ---- */

/* Waits until all threads are here. Spins first: what is to meet starts within nanoseconds. */
static void meet(void)
{
    /* Acquire: pairs with the release below; what the last one did before is seen by all. */
    uint32_t generation = hf_load_acquire(&program.generation);
    if (hf_fetch_add_acq_rel(&program.arrived, 1) + 1 == program.threads) {
        hf_store_relaxed(&program.arrived, 0); /* seen by the others with the next store */
        hf_store_release(&program.generation, generation + 1);
        return;
    }
    for (uint32_t spins = 0; hf_load_acquire(&program.generation) == generation; spins++) {
        if (spins > 2000)
            sched_yield();
        else
            hf_cpu_relax();
    }
}

static void keep(struct operation *operation, const struct hf_answer *answer)
{
    operation->reply = answer->reply;
    operation->reply.entries = NULL;
    if (answer->reply.entries == NULL)
        return;
    HF_CHECK(answer->reply.count <= LINES_MAX);
    operation->reply.entries = operation->entries;
    memcpy(operation->entries, answer->entries, answer->reply.count * sizeof *operation->entries);
}

/* The mistake: one claim after the other, taken back when one fails. */
static void take_and_undo(unsigned thread, struct operation *operation, struct hf_random *random,
                          struct hf_answer *answer)
{
    struct operation single = {0};
    struct hf_answer undone;
    struct hf_reservation_entry entries[LINES_MAX];
    uint32_t done = 0;
    memset(&answer->reply, 0, sizeof answer->reply);
    for (; done < operation->request.count; done++) {
        take_line(&single, &operation->lines[done]);
        program.subject->execute(program.engine, thread, program.now_ns, &single.request, answer);
        hf_random_pause(random);
        if (hf_result_group(answer->reply.result) != HF_GROUP_YES)
            break;
        entries[done] = (struct hf_reservation_entry){.result = answer->reply.result,
                                                      .reservation = answer->reply.reservation};
    }
    answer->reply.operation = HF_OP_BATCH;
    if (done == operation->request.count) {
        answer->reply.result = HF_BATCH_DONE;
        answer->reply.count = done;
        answer->reply.entries = answer->entries;
        memcpy(answer->entries, entries, done * sizeof *entries);
        return;
    }
    answer->reply.line = done + 1;
    while (done > 0) {
        take_line(&single, &operation->lines[--done]);
        single.request.operation = HF_OP_CANCEL;
        program.subject->execute(program.engine, thread, program.now_ns, &single.request, &undone);
    }
}

static void perform(unsigned thread, struct operation *operation, struct hf_random *random)
{
    struct hf_answer answer;
    hf_random_pause(random);
    operation->interval.invoked = hf_fetch_add_acq_rel(&program.stamp, 1);
    if (thread == 0 && hf_random_chance(random, 30))
        program.subject->tick(program.engine, program.now_ns);
    if (program.take_and_undo && operation->request.operation == HF_OP_BATCH &&
        operation->claims_only)
        take_and_undo(thread, operation, random, &answer);
    else
        program.subject->execute(program.engine, thread, program.now_ns, &operation->request,
                                 &answer);
    operation->interval.responded = hf_fetch_add_acq_rel(&program.stamp, 1);
    keep(operation, &answer);
}

/* ---- the final state ---- */

static void read_final_state(void)
{
    struct final_state *final = &program.final;
    struct hf_answer answer;
    memset(final->ignored, 0, sizeof final->ignored);
    for (uint32_t i = 0; i < program.inventory_count; i++) {
        const struct hf_request request = {.operation = HF_OP_INVENTORY_GET,
                                           .inventory_id = inventory_id_of(i)};
        program.subject->execute(program.engine, 0, program.now_ns, &request, &answer);
        final->inventories[i] = answer.reply.inventory;
    }
    for (uint32_t i = 0; i < program.id_count; i++) {
        const struct hf_request request = {.operation = HF_OP_RESERVATION_GET, .id = id_of(i)};
        program.subject->execute(program.engine, 0, program.now_ns, &request, &answer);
        final->found[i] = answer.reply.result == HF_FOUND;
        final->reservations[i] = answer.reply.reservation;
    }
    /* A batch that was taken back leaves cancelled reservations, which no correct one would. They
     * are not the mistake that is looked for. */
    for (uint32_t i = 0; program.take_and_undo && i < program.id_count; i++)
        final->ignored[i] = !program.id_is_shared[i] && final->found[i] &&
                            hf_state_is_final(final->reservations[i].state);
}

/* CONSERVATION, as anybody sees it from outside. */
static const char *check_sums(void)
{
    const struct final_state *final = &program.final;
    for (uint32_t i = 0; i < program.inventory_count; i++) {
        const struct hf_inventory *inventory = &final->inventories[i];
        uint32_t held = 0, confirmed = 0, waiting = 0;
        for (uint32_t j = 0; j < program.id_count; j++) {
            const struct hf_reservation *one = &final->reservations[j];
            if (!final->found[j] || one->inventory_id != inventory->inventory_id)
                continue;
            held += one->state == HF_STATE_HELD ? one->qty : 0;
            confirmed += one->state == HF_STATE_CONFIRMED ? one->qty : 0;
            waiting += one->state == HF_STATE_WAITING;
        }
        if (held != inventory->held || confirmed != inventory->confirmed ||
            waiting != inventory->waiting)
            return "CONSERVATION: an inventory's sums are not those of its reservations";
        if ((int64_t)inventory->available + held + confirmed != inventory->sell_limit)
            return "CONSERVATION: available + held + confirmed is not the sell limit";
    }
    return NULL;
}

/* True if the model's state is what was read, as far as the part goes. */
static bool is_final_state(const struct part *part)
{
    const struct final_state *final = &program.final;
    struct hf_inventory shown;
    for (uint32_t i = 0; i < program.inventory_count; i++) {
        if (!(part->inventories >> i & 1))
            continue;
        hf_world_show_inventory(hf_world_find_inventory(program.world, inventory_id_of(i)), &shown);
        if (hf_compare_inventories(&shown, &final->inventories[i]) != NULL)
            return false;
    }
    for (uint32_t i = 0; i < program.id_count; i++) {
        struct hf_id id = id_of(i);
        if (final->ignored[i] || !(part->inventories >> program.id_inventory[i] & 1))
            continue;
        const struct hf_world_reservation *one = hf_world_find(program.world, &id);
        if ((one != NULL) != final->found[i] ||
            (one && hf_compare_reservations(&one->now, &final->reservations[i]) != NULL))
            return false;
    }
    return true;
}

/* ---- the sequential machine ---- */

/*
 * What is told of an inventory beside other requests is for information: units that one of them
 * takes, gives or offers may be on their way; and SET tells how it stands after the offers that it
 * led to. But it adds up, and the settings are of one instant.
 */
static const char *compare_inventory(const struct hf_inventory *expected, bool loosely,
                                     const struct hf_inventory *actual)
{
    struct hf_inventory loosened = *expected;
    if (loosely) {
        loosened.available = actual->available;
        loosened.flags = (expected->flags & ~HF_INVENTORY_SOLD_OUT_CLOSED) |
                         (actual->flags & HF_INVENTORY_SOLD_OUT_CLOSED);
    }
    if ((int64_t)actual->held + actual->confirmed + actual->available != actual->sell_limit)
        return "sum of held, confirmed and available";
    loosened.held = actual->held;
    loosened.confirmed = actual->confirmed;
    loosened.waiting = actual->waiting;
    return hf_compare_inventories(&loosened, actual);
}

/* Another thread's operation was under way at the same time. */
static bool overlaps(uint32_t number)
{
    const struct hf_interval *own = &program.operations[number].interval;
    for (uint32_t i = 0; i < program.threads * EACH; i++) {
        const struct hf_interval *other = &program.operations[i].interval;
        if (i != number && other->invoked < own->responded && own->invoked < other->responded)
            return true;
    }
    return false;
}

static const char *compare(const struct hf_expectation *expected, uint32_t number)
{
    const struct hf_reply *reply = &program.operations[number].reply;
    if (reply->result != expected->result || !expected->tells_inventory)
        return hf_compare_reply(expected, reply);
    bool loosely = reply->operation == HF_OP_INVENTORY_SET || overlaps(number);
    return compare_inventory(&expected->inventory, loosely, &reply->inventory);
}

static const struct hf_chosen_ids none_chosen; /* every id is the client's */

static bool machine_apply(void *context, uint32_t place)
{
    const struct part *part = context;
    uint32_t number = part->numbers[place];
    if (number == UINT32_MAX)
        return is_final_state(part);
    const struct operation *operation = &program.operations[number];
    hf_reference_execute(program.world, program.now_ns, &operation->request, &none_chosen, false,
                         &program.expected);
    if (compare(&program.expected, number) != NULL)
        return false;
    /* Another thread may have a lapsed hold in its hands just then: it is held until it is let go. */
    return overlaps(number) ||
           !hf_reference_refuses_early(program.world, program.now_ns, &operation->request,
                                       &none_chosen, program.expected.result);
}

/* An offer is made in one of the inventories, or a lapsed hold is noticed. */
static bool machine_act(void *context, uint32_t step)
{
    const struct part *part = context;
    if (step < INVENTORIES_MAX)
        return (part->inventories >> step & 1) &&
               hf_reference_offer_one(program.world, program.now_ns, inventory_id_of(step));
    uint32_t number = program.lapsed[step - INVENTORIES_MAX];
    struct hf_id id = id_of(number);
    return (part->inventories >> program.id_inventory[number] & 1) &&
           hf_reference_expire_one(program.world, program.now_ns, &id);
}

static size_t machine_mark(void *context)
{
    (void)context;
    return hf_world_mark(program.world);
}

static void machine_rollback(void *context, size_t mark)
{
    (void)context;
    hf_world_rollback(program.world, mark);
}

static uint64_t machine_hash(void *context)
{
    (void)context;
    return hf_world_hash(program.world);
}

/* ---- the check of a round ---- */

/* Grows the part until no operation reaches out of it. */
static void close_part(struct part *part)
{
    for (uint32_t before = 0; before != part->inventories;) {
        before = part->inventories;
        for (uint32_t i = 0; i < program.threads * EACH; i++) {
            if (program.operations[i].inventories & part->inventories)
                part->inventories |= program.operations[i].inventories;
        }
    }
}

static void fill_part(struct part *part, uint32_t dropped)
{
    part->count = 0;
    part->dropped = dropped;
    for (uint32_t i = 0; i < program.threads * EACH; i++) {
        if (!(program.operations[i].inventories & part->inventories) || i == dropped)
            continue;
        part->numbers[part->count] = i;
        part->intervals[part->count++] = program.operations[i].interval;
    }
    /* The final state was read after all else. */
    part->numbers[part->count] = UINT32_MAX;
    part->intervals[part->count++] = (struct hf_interval){UINT64_MAX - 2, UINT64_MAX - 1};
}

static enum hf_verdict search_part(struct part *part, struct hf_search *search)
{
    const struct hf_machine machine = {
        .context = part,
        .apply = machine_apply,
        .act = machine_act,
        .own_steps = INVENTORIES_MAX + program.lapsed_count,
        .mark = machine_mark,
        .rollback = machine_rollback,
        .hash = machine_hash,
    };
    enum hf_verdict verdict =
        hf_linearize(&machine, part->intervals, part->count, STEPS_MAX, search);
    program.steps += search->steps;
    if (search->steps > program.longest_steps)
        program.longest_steps = search->steps;
    hf_world_rollback(program.world, 0);
    return verdict;
}

/* The refusal without which there would be an order; UINT32_MAX: none. */
static uint32_t find_blame(struct part *part)
{
    struct hf_search search;
    for (uint32_t i = 0; i < program.threads * EACH; i++) {
        const struct operation *operation = &program.operations[i];
        if (!(operation->inventories & part->inventories) ||
            hf_result_group(operation->reply.result) != HF_GROUP_NO)
            continue;
        fill_part(part, i);
        if (search_part(part, &search) == HF_LINEARIZABLE)
            return i;
    }
    return UINT32_MAX;
}

static void print_history(const struct part *part, const struct hf_search *search, uint32_t blame)
{
    fprintf(stderr, "round %" PRIu64 ", seed %" PRIu64 ", inventories %" PRIu64 " to %" PRIu64 "\n",
            program.round, program.seed, inventory_id_of(0),
            inventory_id_of(program.inventory_count - 1));
    for (uint32_t i = 0; i < part->count; i++) {
        if (part->numbers[i] == UINT32_MAX)
            continue;
        const struct operation *operation = &program.operations[part->numbers[i]];
        fprintf(stderr, "%s thread %u, %" PRIu64 "..%" PRIu64 "%s: ",
                search->most_set >> i & 1 ? "  in order" : "  no place", part->numbers[i] / EACH,
                operation->interval.invoked, operation->interval.responded,
                part->numbers[i] == blame ? " (without this one there is an order)" : "");
        hf_print_request(stderr, &operation->request);
        fputs("      answered ", stderr);
        hf_print_reply(stderr, &operation->reply);
    }
    for (uint32_t i = 0; i < program.inventory_count; i++) {
        fputs("  at last ", stderr);
        hf_print_inventory(stderr, &program.final.inventories[i]);
        fputc('\n', stderr);
    }
}

/* No order was found. */
static void report(struct part *part, const struct hf_search *search)
{
    struct part whole = *part;
    uint32_t blame = find_blame(part);
    program.blamed += blame != UINT32_MAX;
    if (program.take_and_undo) {
        if (blame != UINT32_MAX)
            hf_store_release(&program.ended, 1); /* found; read after the next meeting */
        return;
    }
    print_history(&whole, search, blame);
    hf_stress_fail("round %" PRIu64 " is not linearizable%s", program.round,
                   blame == UINT32_MAX ? "" : ": a refusal that no order explains");
}

static void check_part(uint32_t inventory)
{
    static struct part part;
    struct hf_search search;
    part.inventories = 1u << inventory;
    close_part(&part);
    fill_part(&part, UINT32_MAX);
    enum hf_verdict verdict = search_part(&part, &search);
    program.histories++;
    program.undecided += verdict == HF_UNDECIDED;
    if (verdict == HF_NOT_LINEARIZABLE)
        report(&part, &search);
}

static uint32_t lowest_of_part(uint32_t inventory)
{
    struct part part = {.inventories = 1u << inventory};
    close_part(&part);
    return (uint32_t)__builtin_ctz(part.inventories);
}

static void check_round(void)
{
    read_final_state();
    const char *error = program.subject->broken(program.engine);
    if (error == NULL)
        error = check_sums();
    if (error)
        hf_stress_fail("round %" PRIu64 ": %s", program.round, error);
    for (uint32_t i = 0; i < program.threads * EACH; i++) {
        program.refusals += hf_result_group(program.operations[i].reply.result) == HF_GROUP_NO;
        program.overlaps += overlaps(i);
    }
    for (uint32_t i = 0; i < program.inventory_count; i++) {
        if (lowest_of_part(i) == i)
            check_part(i);
    }
}

/* ---- the threads ---- */

static void run_thread(void *context, unsigned thread)
{
    (void)context;
    struct hf_random random = hf_random_for(program.seed, 1000 + thread);
    for (;;) {
        if (thread == 0)
            plan_round();
        meet();
        for (uint32_t i = 0; i < EACH; i++)
            perform(thread, &program.operations[thread * EACH + i], &random);
        meet();
        if (thread == 0) {
            check_round();
            program.round++;
            if (hf_stress_over())
                hf_store_release(&program.ended, 1); /* read after the meeting */
        }
        meet();
        if (hf_load_acquire(&program.ended)) /* pairs with the stores of thread 0 */
            return;
    }
}

/* Takes out of argv what hf_stress_begin() does not know. */
static int own_options(int argc, char **argv)
{
    int kept = 1;
    program.subject = &hf_subject_engine;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--take-and-undo") == 0) {
            program.take_and_undo = true;
        } else if (strcmp(argv[i], "--subject") == 0 && i + 1 < argc &&
                   hf_subject_named(argv[i + 1])) {
            program.subject = hf_subject_named(argv[++i]);
        } else {
            argv[kept++] = argv[i];
        }
    }
    return kept;
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("linearizability", own_options(argc, argv), argv, &options);
    if (options.threads > THREADS_MAX)
        hf_stress_fail("at most %u threads", THREADS_MAX);
    program.threads = options.threads;
    program.seed = options.seed;
    program.world = hf_world_open(INVENTORIES_MAX, IDS_MAX);
    program.engine = program.subject->open(&(struct hf_subject_options){
        .threads = options.threads,
        .max_inventories = INVENTORIES_MAX,
        .max_reservations = IDS_MAX,
        .retain_ns = UINT64_MAX / 4,
        .seed = options.seed,
    });
    hf_stress_run(options.threads, run_thread, NULL);
    program.subject->close(program.engine);
    hf_world_close(program.world);
    if (program.take_and_undo && program.blamed == 0)
        hf_stress_fail("take-and-undo was not found in %" PRIu64 " rounds", program.round);
    if (program.undecided * 1000 > program.histories)
        hf_stress_fail("%" PRIu64 " of %" PRIu64 " histories were not decided", program.undecided,
                       program.histories);
    return hf_stress_done("%s: %" PRIu64 " rounds, %" PRIu64 " histories, %" PRIu64
                          " refusals, %" PRIu64 " operations beside another, %" PRIu64
                          " steps (%" PRIu64 " the most), %" PRIu64 " undecided%s",
                          program.subject->name, program.round, program.histories, program.refusals,
                          program.overlaps, program.steps, program.longest_steps, program.undecided,
                          program.take_and_undo ? ", take-and-undo found" : "");
}
