/*
 * The whole engine under N threads: reserves, one by one and in bursts, cancels, lookups, repeats of
 * the same id, requests with other parameters, and inventories that are created meanwhile, on few
 * inventories of few units, through a small ring that a collector drains.
 *
 * The collector hands every record to the judge (tests/lib/judge.h), which checks every prefix of
 * the log. Each thread keeps what it was answered. When a round is over, every answer is held
 * against the log: its LSN is that of a record that says exactly this; each record was somebody's
 * answer, once; who had an answer before another asked is not denied to the other; refusals saw
 * what was there. At last CONSERVATION, and SAME-STATE: the log is replayed into a second region,
 * and both have one state hash.
 *
 * Rounds are short and differ: how many inventories, of how many units, created at the beginning or
 * all along; one unit that all threads take and give back as fast as they can, so that each release
 * is followed by a claim at once; quantities that are all the same (then every refusal can be
 * judged) or not; the size of the ring and of the table.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/burst.h"
#include "engine/engine.h"
#include "engine/replay.h"
#include "engine/resolve.h"
#include "engine/state_hash.h"
#include "tests/lib/judge.h"
#include "tests/lib/stress.h"

#define OPERATIONS      2500u /* of a thread in a round, at most */
#define HOT_IDS         12u   /* what the threads meet at */
#define MAX_IDS         8192u
#define MAX_INVENTORIES (MAX_IDS / 2 + 16)
#define MAX_OWNED       3u
#define MOST_TOGETHER   5u /* of a burst */

enum operation { RESERVE, CANCEL, GET, CREATE, GET_INVENTORY };

/* What a thread asked and was answered. */
struct answer {
    enum operation operation;
    uint64_t floor_lsn;        /* the ring's tail before it asked: a new record is not before it */
    uint32_t known_sequence;   /* of the reservation: what others had been told before it asked */
    bool inventory_known;      /* others had been told that it exists */
    struct hf_reserve request; /* with CREATE, qty is the capacity */
    struct hf_outcome outcome;
};

struct round {
    struct hf_engine engine;
    struct hf_ring ring;
    struct hf_judge judge;
    uint64_t seed;
    unsigned threads;
    uint32_t inventories;
    uint32_t max_reservations;
    bool contended;       /* one unit, which everybody takes and gives back at once */
    bool steady_creation; /* an inventory for every two ids, all along */
    bool same_quantities;
    _Atomic uint32_t hot; /* the first of the hot ids */
    _Atomic uint32_t working;
    _Atomic uint64_t made;
    _Atomic uint32_t known_sequence[MAX_IDS];
    _Atomic uint32_t known_inventory[MAX_INVENTORIES];
};

struct worker {
    struct round *round;
    struct hf_actor actor;
    struct hf_random random;
    uint32_t owned[MAX_OWNED +
                   MOST_TOGETHER]; /* ids that this thread was granted first, and will cancel */
    uint32_t owned_count;
    uint32_t end_id;           /* where they end */
    uint64_t refused_together; /* in bursts, of all rounds */
    uint32_t own_id; /* the next of the ids that no other thread uses, in a contended round */
    uint32_t answer_count;
    struct answer answers[OPERATIONS];
};

static struct round round_now;
static struct worker *workers[HF_STRESS_MAX_THREADS];
static uint64_t totals[5];

/* ---- what a thread does ---- */

static uint32_t capacity_of(const struct round *round, uint64_t inventory_id)
{
    return round->contended ? 1 : 1 + (uint32_t)((round->seed >> (inventory_id % 16)) & 3);
}

/* The parameters that everybody uses who means this id. */
static struct hf_reserve request_of(const struct round *round, uint32_t number)
{
    struct hf_random random = hf_random_for(round->seed, number);
    uint64_t inventory_id =
        1 + (round->steady_creation ? number / 2 : hf_random_below(&random, round->inventories));
    uint32_t capacity = capacity_of(round, inventory_id);
    return (struct hf_reserve){
        .id = hf_id_of_number(number),
        .inventory_id = inventory_id,
        .customer_id = 1 + hf_random_below(&random, 1000),
        .qty = round->same_quantities ? 1 : 1 + hf_random_below(&random, capacity),
    };
}

static uint32_t hot_id(struct worker *worker)
{
    return hf_load_relaxed(&worker->round->hot) + /* any value of any time is good */
           hf_random_below(&worker->random, HOT_IDS);
}

/* Everybody moves the hot ids on now and then. */
static void move_on(struct round *round)
{
    uint32_t hot = hf_load_relaxed(&round->hot);
    if (hot + HOT_IDS < MAX_IDS - 1)
        hf_cas_acq_rel(&round->hot, &hot, hot + 1);
}

static void execute(struct worker *worker, struct answer *answer)
{
    const struct hf_reserve *request = &answer->request;
    hf_actor_enter(&worker->actor);
    switch (answer->operation) {
    case RESERVE:
        hf_engine_reserve(&worker->actor, request, &answer->outcome);
        break;
    case CANCEL:
        hf_engine_resolve(&worker->actor, HF_OP_CANCEL, &request->id, &answer->outcome);
        break;
    case GET:
        hf_engine_get(&worker->actor, &request->id, &answer->outcome);
        break;
    case CREATE:
        hf_engine_create_inventory(&worker->actor, request->inventory_id, request->inventory_id + 7,
                                   request->qty, &answer->outcome);
        break;
    case GET_INVENTORY:
        hf_engine_get_inventory(&worker->actor, request->inventory_id, &answer->outcome);
        break;
    }
    hf_actor_exit(&worker->actor);
}

/* Tells the others what this answer revealed. */
static void reveal(struct round *round, const struct answer *answer)
{
    const struct hf_outcome *outcome = &answer->outcome;
    if (answer->operation == CREATE || answer->operation == GET_INVENTORY) {
        if (outcome->result == HF_CREATED || outcome->result == HF_INVENTORY_EXISTS)
            /* Release, pairs with the loads in ask(). */
            hf_store_release(&round->known_inventory[answer->request.inventory_id], 1);
        return;
    }
    if (outcome->wait_for_lsn == 0 || outcome->result == HF_ID_REUSED)
        return; /* it tells of no reservation, or only that there is one */
    uint32_t sequence = outcome->reservation.sequence;
    _Atomic uint32_t *known = &round->known_sequence[hf_id_to_number(&answer->request.id)];
    uint32_t before = hf_load_relaxed(known); /* the CAS decides */
    while (before < sequence && !hf_cas_acq_rel(known, &before, sequence))
        ;
}

/* What was true before it is asked. */
static void begin_answer(const struct round *round, struct answer *answer, enum operation operation,
                         const struct hf_reserve *request)
{
    answer->operation = operation;
    answer->request = *request;
    /* Acquire, pairs with reveal(): what was revealed before is in the engine. */
    answer->known_sequence = hf_load_acquire(&round->known_sequence[hf_id_to_number(&request->id)]);
    answer->inventory_known = hf_load_acquire(&round->known_inventory[request->inventory_id]) != 0;
    answer->floor_lsn = hf_load_acquire(&round->ring.tail);
}

/* Asks, and keeps the answer unless it was put aside. */
static const struct hf_outcome *ask(struct worker *worker, enum operation operation,
                                    const struct hf_reserve *request)
{
    struct round *round = worker->round;
    struct answer *answer = &worker->answers[worker->answer_count];
    begin_answer(round, answer, operation, request);
    execute(worker, answer);
    if (hf_outcome_put_aside(&answer->outcome)) {
        if (answer->outcome.result == HF_PUT_ASIDE_LOG_FULL)
            sched_yield();
        return &answer->outcome;
    }
    reveal(round, answer);
    worker->answer_count++;
    return &answer->outcome;
}

static void cancel_owned(struct worker *worker)
{
    uint32_t place = hf_random_below(&worker->random, worker->owned_count);
    struct hf_reserve request = request_of(worker->round, worker->owned[place]);
    if (ask(worker, CANCEL, &request)->result == HF_CANCELLED)
        worker->owned[place] = worker->owned[--worker->owned_count];
}

static void reserve(struct worker *worker)
{
    uint32_t number = hot_id(worker);
    struct hf_reserve request = request_of(worker->round, number);
    uint32_t dice = hf_random_below(&worker->random, 40);
    if (dice == 0)
        request.customer_id++;
    else if (dice == 1)
        request.qty++;
    else if (dice == 2)
        request.inventory_id = 1 + hf_random_below(&worker->random, worker->round->inventories);
    const struct hf_outcome *outcome = ask(worker, RESERVE, &request);
    if (outcome->result == HF_GRANTED && !outcome->repeated)
        worker->owned[worker->owned_count++] = number;
}

/* What a burst said, as answers to each. Returns how many. */
static uint32_t execute_together(struct worker *worker, const struct hf_reserve *requests,
                                 uint32_t count, struct answer *answers)
{
    struct hf_reservation made[MOST_TOGETHER];
    struct hf_availability left[MOST_TOGETHER] = {{0, 0}};
    uint32_t granted = 0, refused = 0;
    hf_actor_enter(&worker->actor);
    enum hf_claim outlook = hf_engine_weigh_burst(&worker->actor, requests);
    if (outlook == HF_CLAIM_DONE)
        granted = hf_engine_reserve_burst(&worker->actor, requests, count, made);
    else if (outlook == HF_CLAIM_TOO_FEW)
        refused = hf_engine_refuse_burst(&worker->actor, requests, count, left);
    hf_actor_exit(&worker->actor);
    for (uint32_t i = 0; i < granted; i++)
        answers[i].outcome = (struct hf_outcome){
            .result = HF_GRANTED, .wait_for_lsn = made[i].lsn, .reservation = made[i]};
    for (uint32_t i = 0; i < refused; i++)
        answers[i].outcome = (struct hf_outcome){.result = HF_SOLD_OUT, .availability = left[i]};
    return granted + refused;
}

/* Reserves some of the hot ids together. */
static uint32_t reserve_together(struct worker *worker)
{
    struct answer *answers = &worker->answers[worker->answer_count];
    struct hf_reserve requests[MOST_TOGETHER];
    uint32_t count = 1 + hf_random_below(&worker->random, MOST_TOGETHER);
    if (count > OPERATIONS - worker->answer_count)
        count = OPERATIONS - worker->answer_count;
    for (uint32_t i = 0; i < count; i++) {
        requests[i] = request_of(worker->round, hot_id(worker));
        begin_answer(worker->round, &answers[i], RESERVE, &requests[i]);
    }
    uint32_t done = execute_together(worker, requests, count, answers);
    for (uint32_t i = 0; i < done; i++) {
        reveal(worker->round, &answers[i]);
        if (answers[i].outcome.result == HF_GRANTED)
            worker->owned[worker->owned_count++] = hf_id_to_number(&requests[i].id);
        else
            worker->refused_together++;
    }
    worker->answer_count += done;
    return done != 0 ? done : 1;
}

/* Returns how many operations it was, at least 1. */
static uint32_t operate(struct worker *worker)
{
    struct round *round = worker->round;
    uint32_t count = 1;
    struct hf_reserve request = request_of(round, hot_id(worker));
    uint32_t dice = hf_random_below(&worker->random, 100);
    uint32_t creation = round->steady_creation ? 24 : 2;
    if (dice < creation) {
        if (!round->steady_creation)
            request.inventory_id = 1 + hf_random_below(&worker->random, round->inventories);
        request.qty = capacity_of(round, request.inventory_id) + (dice == 0 ? 1 : 0);
        ask(worker, CREATE, &request);
    } else if (dice < 30) {
        ask(worker, GET, &request);
    } else if (dice < 34) {
        ask(worker, GET_INVENTORY, &request);
    } else if (dice < 55) {
        ask(worker, CANCEL, &request);
    } else if (worker->owned_count >= MAX_OWNED || (worker->owned_count != 0 && dice < 65)) {
        cancel_owned(worker);
    } else if (dice < 75) {
        count = reserve_together(worker);
    } else {
        reserve(worker);
    }
    if (hf_random_chance(&worker->random, round->steady_creation ? 30 : 12))
        move_on(round);
    hf_random_pause(&worker->random);
    return count;
}

/* Takes the unit with an id of its own, and gives it back; most others wait for just that. */
static void contend(struct worker *worker)
{
    if (worker->owned_count != 0) {
        cancel_owned(worker);
        return;
    }
    if (worker->own_id == worker->end_id)
        return;
    struct hf_reserve request = request_of(worker->round, worker->own_id);
    if (ask(worker, RESERVE, &request)->result == HF_GRANTED)
        worker->owned[worker->owned_count++] = worker->own_id++;
}

static void create_all(struct worker *worker)
{
    struct round *round = worker->round;
    for (uint32_t id = 1; id <= round->inventories && !round->steady_creation; id++) {
        struct hf_reserve request = {.inventory_id = id, .qty = capacity_of(round, id)};
        ask(worker, CREATE, &request);
    }
}

static void work(struct worker *worker)
{
    struct round *round = worker->round;
    worker->actor.now_ns = HF_NS_PER_S;
    create_all(worker);
    for (uint32_t i = worker->answer_count; i < OPERATIONS;) {
        /* Batches of different threads overlap: dates differ by a little, both ways. */
        if (hf_random_below(&worker->random, 16) == 0)
            worker->actor.now_ns = hf_date_now_ns();
        if (round->contended) {
            contend(worker);
            i++;
        } else {
            i += operate(worker);
        }
    }
    hf_fetch_add_acq_rel(&round->made, hf_load_relaxed(&worker->actor.made));
    hf_actor_close(&worker->actor);
    hf_fetch_sub_relaxed(&round->working, 1); /* relaxed: the end is judged after the join */
}

/* ---- the collector ---- */

static bool collect(struct round *round, struct hf_random *random)
{
    uint8_t records[64 * HF_RECORD_BYTES];
    uint32_t count = hf_ring_published(&round->ring, 1 + hf_random_below(random, 64));
    hf_ring_drain(&round->ring, records, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *wrong = hf_judge_record(&round->judge, records + (size_t)i * HF_RECORD_BYTES);
        if (wrong != NULL)
            hf_stress_fail("%s", wrong);
    }
    return count != 0;
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    if (index < round->threads) {
        work(workers[index]);
        return;
    }
    struct hf_random random = hf_random_for(round->seed, UINT32_MAX);
    while (hf_load_relaxed(&round->working) != 0) { /* see work() */
        if (!collect(round, &random))
            sched_yield();
        hf_random_pause(&random);
    }
    while (collect(round, &random))
        ;
}

/* ---- when the round is over: every answer against the log ---- */

static bool same_reservation(const struct hf_reservation *left, const struct hf_reservation *right)
{
    return hf_id_equal(&left->id, &right->id) && left->inventory_id == right->inventory_id &&
           left->customer_id == right->customer_id && left->lsn == right->lsn &&
           left->made_at_ns == right->made_at_ns && left->changed_at_ns == right->changed_at_ns &&
           left->qty == right->qty && left->sequence == right->sequence &&
           left->state == right->state;
}

static enum hf_field first_difference(const struct hf_reservation *known,
                                      const struct hf_reserve *request)
{
    if (known->inventory_id != request->inventory_id)
        return HF_FIELD_INVENTORY_ID;
    if (known->customer_id != request->customer_id)
        return HF_FIELD_CUSTOMER_ID;
    return known->qty != request->qty ? HF_FIELD_QTY : HF_FIELD_NONE;
}

/* An answer that speaks of a reservation. */
static void check_reservation(const struct hf_judge *judge, const struct answer *answer)
{
    const struct hf_outcome *outcome = &answer->outcome;
    unsigned long long lsn = outcome->wait_for_lsn;
    struct hf_image image = {0};
    /* ID_REUSED reveals that the reservation exists, no more. */
    bool reused = outcome->result == HF_ID_REUSED;
    const struct hf_reservation *told = reused ? &image.reservation : &outcome->reservation;
    if (!hf_judge_image(judge, lsn, &image) || image.kind != HF_IMAGE_RESERVATION)
        hf_stress_fail("%s waits for LSN %llu, which tells of no reservation",
                       hf_result_name(outcome->result), lsn);
    if (!same_reservation(told, &image.reservation) || !hf_id_equal(&told->id, &answer->request.id))
        hf_stress_fail("%s of reservation %u: sequence %u, %s; LSN %llu says otherwise",
                       hf_result_name(outcome->result), hf_id_to_number(&answer->request.id),
                       told->sequence, hf_state_name(told->state), lsn);
    if (told->sequence < answer->known_sequence)
        hf_stress_fail("reservation %u is told with sequence %u, when %u was known before",
                       hf_id_to_number(&told->id), told->sequence, answer->known_sequence);
    if (outcome->result == HF_CANCELLED && told->state != HF_STATE_CANCELLED)
        hf_stress_fail("CANCELLED, but LSN %llu says %s", lsn, hf_state_name(told->state));
    if (answer->operation == RESERVE) {
        enum hf_field field = first_difference(told, &answer->request);
        if (field != outcome->field || (outcome->result == HF_ID_REUSED) == (field == 0))
            hf_stress_fail("%s of reservation %u names %s, but %s differs",
                           hf_result_name(outcome->result), hf_id_to_number(&told->id),
                           hf_field_name(outcome->field), hf_field_name(field));
    }
    bool made_it = answer->operation != GET && !outcome->repeated && !reused;
    if (made_it && (lsn < answer->floor_lsn || answer->known_sequence >= told->sequence))
        hf_stress_fail("LSN %llu was handed out before it was asked for at %llu", lsn,
                       (unsigned long long)answer->floor_lsn);
}

static void check_absent(const struct answer *answer)
{
    if (answer->known_sequence != 0)
        hf_stress_fail("%s of reservation %u, whose grant was known before (HONEST-NO)",
                       hf_result_name(answer->outcome.result),
                       hf_id_to_number(&answer->request.id));
}

static void check_inventory(struct hf_judge *judge, const struct answer *answer)
{
    const struct hf_inventory *told = &answer->outcome.inventory;
    struct hf_image image;
    if (!hf_judge_image(judge, told->lsn, &image) || image.kind != HF_IMAGE_INVENTORY ||
        image.inventory.inventory_id != answer->request.inventory_id ||
        image.inventory.capacity != told->capacity)
        hf_stress_fail("inventory %llu is told with LSN %llu, which says otherwise",
                       (unsigned long long)answer->request.inventory_id,
                       (unsigned long long)told->lsn);
    if (told->available < 0 ||
        told->confirmed + told->held + (uint32_t)told->available != told->sell_limit)
        hf_stress_fail("inventory %llu: %u confirmed and %d available of %u (CONSERVATION)",
                       (unsigned long long)told->inventory_id, told->confirmed, told->available,
                       told->sell_limit);
    const char *wrong = hf_judge_refusal(judge, told->inventory_id, (uint32_t)told->available + 1,
                                         told->available, told->version);
    if (wrong != NULL)
        hf_stress_fail("%s", wrong);
}

static void check_created(struct hf_judge *judge, const struct answer *answer)
{
    const struct hf_outcome *outcome = &answer->outcome;
    check_inventory(judge, answer);
    bool differs = outcome->inventory.capacity != answer->request.qty;
    if (outcome->wait_for_lsn != outcome->inventory.lsn ||
        (outcome->result == HF_INVENTORY_EXISTS) != differs ||
        outcome->field != (differs ? HF_FIELD_CAPACITY : HF_FIELD_NONE))
        hf_stress_fail("%s names %s of inventory %llu, which has capacity %u, not %u",
                       hf_result_name(outcome->result), hf_field_name(outcome->field),
                       (unsigned long long)outcome->inventory.inventory_id,
                       outcome->inventory.capacity, answer->request.qty);
}

/* Each record is the first answer of one request. */
static void check_first(const struct answer *answer, uint8_t *answered)
{
    const struct hf_outcome *outcome = &answer->outcome;
    if (outcome->repeated || outcome->result == HF_ID_REUSED || answer->operation == GET ||
        answer->operation == GET_INVENTORY)
        return;
    if (answered[outcome->wait_for_lsn]++ != 0)
        hf_stress_fail("LSN %llu was the first answer of two requests",
                       (unsigned long long)outcome->wait_for_lsn);
}

static void check_answer(struct round *round, const struct answer *answer, uint8_t *answered)
{
    const struct hf_outcome *outcome = &answer->outcome;
    const char *wrong = NULL;
    switch (outcome->result) {
    case HF_GRANTED:
    case HF_CANCELLED:
    case HF_FOUND:
    case HF_ID_REUSED:
        if (answer->operation == GET_INVENTORY) {
            check_inventory(&round->judge, answer);
            return;
        }
        check_reservation(&round->judge, answer);
        check_first(answer, answered);
        return;
    case HF_CREATED:
    case HF_INVENTORY_EXISTS:
        check_created(&round->judge, answer);
        check_first(answer, answered);
        return;
    case HF_SOLD_OUT:
        check_absent(answer);
        wrong = hf_judge_denial(&round->judge, hf_id_to_number(&answer->request.id),
                                answer->request.inventory_id, outcome->availability.version);
        if (wrong == NULL)
            wrong =
                hf_judge_refusal(&round->judge, answer->request.inventory_id, answer->request.qty,
                                 outcome->availability.available, outcome->availability.version);
        break;
    case HF_UNKNOWN_INVENTORY:
        if (answer->inventory_known)
            wrong = "UNKNOWN_INVENTORY, when the inventory was known to exist";
        /* fall through */
    case HF_NOT_FOUND:
    case HF_RESERVATIONS_FULL:
        if (answer->operation != GET_INVENTORY)
            check_absent(answer);
        break;
    default:
        wrong = "a result that this operation does not have";
    }
    if (wrong != NULL)
        hf_stress_fail("%s", wrong);
    if (outcome->wait_for_lsn != 0)
        hf_stress_fail("the refusal %s waits for an LSN", hf_result_name(outcome->result));
}

static void check_answers(struct round *round)
{
    uint8_t *answered = calloc(round->judge.next_lsn, 1);
    if (answered == NULL)
        hf_stress_fail("out of memory");
    for (unsigned i = 0; i < round->threads; i++) {
        for (uint32_t k = 0; k < workers[i]->answer_count; k++)
            check_answer(round, &workers[i]->answers[k], answered);
        totals[0] += workers[i]->answer_count;
        totals[1] += OPERATIONS - workers[i]->answer_count;
    }
    for (uint64_t lsn = round->judge.first_lsn; lsn < round->judge.next_lsn; lsn++) {
        struct hf_image image = {0};
        hf_judge_image(&round->judge, lsn, &image);
        if (answered[lsn] == 0 && image.kind != HF_IMAGE_EVENT)
            hf_stress_fail("nobody was answered with LSN %llu", (unsigned long long)lsn);
    }
    free(answered);
}

/* ---- CONSERVATION and SAME-STATE ---- */

static void check_conservation(struct round *round)
{
    struct hf_judge *judge = &round->judge;
    uint64_t grants = 0;
    for (uint32_t i = 0; i < judge->inventory_count; i++) {
        const struct hf_judged_inventory *judged = &judge->inventories[i];
        const struct hf_inventory_cell *cell =
            hf_region_find_inventory(&round->engine.region, i + 1ull);
        if ((cell == NULL) != (judged->sell_limit == 0))
            hf_stress_fail("inventory %u is in the engine or in the log, not in both", i + 1);
        if (cell == NULL)
            continue;
        struct hf_inventory now;
        hf_inventory_describe(cell, &round->engine.region.mcas, &now);
        if (now.available != (int32_t)judged->sell_limit - (int32_t)judged->active_units ||
            now.version != 1 + judged->grants + judged->cancels)
            hf_stress_fail("inventory %u ends with %d units at version %u; the log says %d at %u "
                           "(CONSERVATION)",
                           i + 1, now.available, now.version,
                           (int32_t)judged->sell_limit - (int32_t)judged->active_units,
                           1 + judged->grants + judged->cancels);
        grants += judged->grants;
        totals[3] += judged->cancels;
    }
    if (hf_load_relaxed(&round->made) != grants)
        hf_stress_fail("the actors count %llu reservations, the log %llu",
                       (unsigned long long)hf_load_relaxed(&round->made),
                       (unsigned long long)grants);
    totals[2] += grants;
}

static uint64_t hash_of(const struct hf_region *region, uint64_t log_time_ns)
{
    struct hf_state_hash hash;
    /* What finished in the first operations, which are of 1970, is over by the others' dates. */
    if (hf_state_hash_begin(&hash, region, log_time_ns - HF_DEFAULT_RETAIN_NS) != 0)
        hf_stress_fail("out of memory");
    enum hf_hashing hashing = HF_HASHING_MORE;
    for (int i = 0; i < 1000 && hashing == HF_HASHING_MORE; i++)
        hashing = hf_state_hash_step(&hash, region, 1000);
    if (hashing == HF_HASHING_MORE)
        hf_stress_fail("a reservation stays marked as not logged");
    if (hashing == HF_HASHING_UNSETTLED)
        hf_stress_fail("at rest, the counters do not agree with the reservations");
    hf_state_hash_end(&hash);
    return hash.sum;
}

static void check_same_state(struct round *round)
{
    struct hf_region replica;
    struct hf_replay replay;
    if (hf_region_create(&replica, MAX_INVENTORIES, MAX_IDS) != 0)
        hf_stress_fail("cannot create a region");
    if (hf_replay_init(&replay, &replica, HF_DEFAULT_RETAIN_NS) != 0)
        hf_stress_fail("out of memory");
    uint32_t fault;
    const char *wrong = hf_replay_apply_all(&replay, hf_judge_records(&round->judge),
                                            (uint32_t)hf_judge_count(&round->judge), &fault);
    if (wrong == NULL)
        wrong = hf_replay_finish(&replay);
    if (wrong != NULL)
        hf_stress_fail("the log cannot be replayed: %s", wrong);
    uint64_t log_time_ns = hf_engine_log_time_ns(&round->engine);
    if (log_time_ns != replay.log_time_ns)
        hf_stress_fail("the log's own time is not the one that is read from it");
    if (hash_of(&round->engine.region, log_time_ns) != hash_of(&replica, log_time_ns))
        hf_stress_fail("the live state and the replayed log differ (SAME-STATE)");
    hf_replay_close(&replay);
    hf_region_close(&replica);
}

/* ---- rounds ---- */

static void set_up(struct round *round, uint64_t seed, uint64_t number, unsigned threads)
{
    struct hf_random random = hf_random_for(seed, number);
    memset(round, 0, sizeof *round);
    round->seed = hf_random_next(&random);
    round->threads = threads;
    round->contended = number % 3 == 1;
    round->steady_creation = number % 3 == 2;
    round->same_quantities = hf_random_chance(&random, 70);
    round->inventories = round->contended         ? 1
                         : round->steady_creation ? MAX_INVENTORIES - 1
                                                  : 1u << hf_random_below(&random, 3);
    round->max_reservations = hf_random_chance(&random, 10) ? 300 : MAX_IDS + 32 * threads;
    hf_store_relaxed(&round->working, threads); /* no other thread yet */
    struct hf_region region;
    if (hf_region_create(&region, MAX_INVENTORIES, round->max_reservations) != 0 ||
        hf_ring_init(&round->ring, 128ull << hf_random_below(&random, 5), 1) != 0)
        hf_stress_fail("cannot create a region and a ring");
    /* Long chains: strangers meet in them. */
    if (hf_random_chance(&random, 30))
        region.header->index_count = 8;
    if (hf_engine_init(&round->engine, &region, HF_DEFAULT_RETAIN_NS, HF_NS_PER_S) != 0)
        hf_stress_fail("out of memory");
    /* A grant, a cancel, and an event that the cancel brings about. */
    hf_judge_open(&round->judge, 1, 3ull * MAX_IDS + MAX_INVENTORIES, MAX_IDS, MAX_INVENTORIES);
    for (unsigned i = 0; i < threads; i++) {
        struct worker *worker = workers[i];
        worker->round = round;
        worker->owned_count = worker->answer_count = 0;
        worker->own_id = i * (MAX_IDS / threads);
        worker->end_id = (i + 1) * (MAX_IDS / threads);
        worker->random = hf_random_for(round->seed, i);
        if (hf_actor_init(&worker->actor, &round->engine, &round->ring) != 0)
            hf_stress_fail("out of memory");
    }
}

static void judge_round(struct round *round)
{
    uint64_t tail = hf_load_relaxed(&round->ring.tail); /* all threads are joined */
    if (round->judge.next_lsn != tail)
        hf_stress_fail("LSN %llu was handed out and never came, the newest is %llu",
                       (unsigned long long)round->judge.next_lsn, (unsigned long long)tail - 1);
    if (hf_load_relaxed(&round->ring.credited) != tail)
        hf_stress_fail("credits were lost: they end at %llu, the ring at %llu",
                       (unsigned long long)hf_load_relaxed(&round->ring.credited),
                       (unsigned long long)tail);
    const char *wrong = hf_judge_finish(&round->judge);
    if (wrong != NULL)
        hf_stress_fail("%s", wrong);
    check_answers(round);
    check_conservation(round);
    check_same_state(round);
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("engine_history", argc, argv, &options);
    struct round *round = &round_now;
    for (unsigned i = 0; i < options.threads; i++) {
        workers[i] = calloc(1, sizeof *workers[i]);
        if (workers[i] == NULL)
            hf_stress_fail("out of memory");
    }
    uint64_t rounds = 0;
    for (; rounds < 3 || !hf_stress_over(); rounds++) {
        set_up(round, options.seed, rounds, options.threads);
        hf_stress_run(options.threads + 1, run, round);
        judge_round(round);
        hf_engine_close(&round->engine);
        hf_region_close(&round->engine.region);
        hf_ring_close(&round->ring);
        hf_judge_close(&round->judge);
    }
    for (unsigned i = 0; i < options.threads; i++) {
        totals[4] += workers[i]->refused_together;
        free(workers[i]);
    }
    if (totals[4] == 0)
        hf_stress_fail("no burst was refused");
    return hf_stress_done("%llu rounds, %llu answers, %llu put aside, %llu grants, %llu cancels, "
                          "%llu refused in bursts",
                          (unsigned long long)rounds, (unsigned long long)totals[0],
                          (unsigned long long)totals[1], (unsigned long long)totals[2],
                          (unsigned long long)totals[3], (unsigned long long)totals[4]);
}
