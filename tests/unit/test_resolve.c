/* Resolving: the plain way does what a change does, to the byte, and leaves to it what is more. */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/change.h"
#include "engine/execute.h"
#include "engine/resolve.h"
#include "tests/lib/rig_expect.h"
#include "tests/lib/stress.h"

#define TTL      (60 * HF_RIG_S)
#define CAPACITY 20u
#define SUBJECT  7u
#define OTHER    8u

/* What is to be resolved, and what stands beside it. */
enum from {
    CONFIRMED,
    HELD,
    HELD_ONCE,
    OFFERED,
    REACQUIRED,
    MOVED,
    BEFORE_A_LIST,
    SOLD_OUT,
    FROMS
};

static const char *const from_names[FROMS] = {"confirmed",  "held",  "confirmed hold", "offer",
                                              "reacquired", "moved", "before a list",  "sold out"};

/* The plain way in one, a change in the other. */
static struct hf_rig plain, changed;
static struct hf_outcome plain_outcome, changed_outcome;

static void open_rigs(void)
{
    hf_rig_open_stocked(&plain, &(struct hf_rig_options){0}, 2, CAPACITY);
    hf_rig_open_stocked(&changed, &(struct hf_rig_options){0}, 2, CAPACITY);
}

static void close_rigs(void)
{
    hf_rig_close(&plain);
    hf_rig_close(&changed);
}

TestSuite(resolve, .init = open_rigs, .fini = close_rigs);

static void make_subject(struct hf_rig *rig, enum from from)
{
    switch (from) {
    case CONFIRMED:
        hf_rig_reserve(rig, SUBJECT, 1, 1, 3);
        break;
    case HELD:
    case HELD_ONCE:
        hf_rig_hold(rig, SUBJECT, 1, 1, 3, TTL);
        if (from == HELD_ONCE)
            hf_rig_simple(rig, HF_OP_CONFIRM, SUBJECT);
        break;
    case OFFERED:
        hf_rig_reserve(rig, OTHER, 1, 1, CAPACITY);
        hf_rig_join(rig, SUBJECT, 1, 1, 3);
        hf_rig_simple(rig, HF_OP_CANCEL, OTHER);
        break;
    case REACQUIRED: {
        const struct hf_request request = {
            .operation = HF_OP_CONFIRM,
            .flags = HF_REQUEST_REACQUIRE,
            .id = hf_id_of_number(OTHER),
            .new_id = hf_id_of_number(SUBJECT),
        };
        hf_rig_hold(rig, OTHER, 1, 1, 3, TTL);
        hf_rig_pass(rig, TTL);
        hf_rig_do(rig, &request);
        break;
    }
    case MOVED:
        hf_rig_hold(rig, SUBJECT, 1, 1, 3, TTL);
        hf_rig_move(rig, SUBJECT, 2);
        break;
    case BEFORE_A_LIST:
        hf_rig_hold(rig, SUBJECT, 1, 1, CAPACITY, TTL);
        hf_rig_join(rig, OTHER, 1, 2, 3);
        break;
    case SOLD_OUT:
        hf_rig_hold(rig, SUBJECT, 1, 1, CAPACITY, TTL);
        break;
    case FROMS:
        break;
    }
    cr_assert_neq(hf_rig_state(rig, SUBJECT), 0, "%s", from_names[from]);
}

/* The subject in both, resolved in both ways. Returns the result. */
static unsigned resolve(enum hf_operation operation)
{
    const struct hf_id id = hf_id_of_number(SUBJECT);
    const struct hf_line line = {.operation = operation, .id = id};
    hf_actor_enter(&plain.actor);
    hf_engine_resolve(&plain.actor, operation, &id, &plain_outcome);
    hf_actor_exit(&plain.actor);
    hf_actor_enter(&changed.actor);
    hf_engine_change(&changed.actor, &line, 1, 0, NULL, &changed_outcome);
    hf_actor_exit(&changed.actor);
    hf_rig_drain(&plain);
    hf_rig_drain(&changed);
    return plain_outcome.result;
}

static void expect_same(const char *of)
{
    const struct hf_reservation *one = &plain_outcome.reservation,
                                *other = &changed_outcome.reservation;
    cr_assert_eq(plain_outcome.result, changed_outcome.result, "%s", of);
    cr_expect_eq(plain_outcome.wait_for_lsn, changed_outcome.wait_for_lsn, "%s", of);
    cr_expect_eq(plain_outcome.repeated, changed_outcome.repeated, "%s", of);
    if (hf_result_group(plain_outcome.result) == HF_GROUP_YES)
        cr_expect(hf_id_equal(&one->id, &other->id) && one->lsn == other->lsn &&
                      hf_id_equal(&one->linked_id, &other->linked_id) &&
                      one->customer_id == other->customer_id &&
                      one->changed_at_ns == other->changed_at_ns &&
                      one->deadline_ns == other->deadline_ns && one->qty == other->qty &&
                      one->sequence == other->sequence && one->state == other->state,
                  "%s", of);
    cr_assert_eq(plain.log_count, changed.log_count, "%s", of);
    cr_expect_arr_eq(plain.log, changed.log, (size_t)plain.log_count * HF_RECORD_BYTES, "%s", of);
    cr_expect_eq(hf_rig_digest(&plain), hf_rig_digest(&changed), "%s", of);
    struct hf_inventory left = hf_rig_inventory(&plain, 1);
    struct hf_inventory right = hf_rig_inventory(&changed, 1);
    cr_expect_eq(left.available, right.available, "%s", of);
    cr_expect_eq(left.version, right.version, "%s", of);
    cr_expect_eq(left.held, right.held, "%s: %u held, not %u", of, left.held, right.held);
    cr_expect_eq(left.confirmed, right.confirmed, "%s", of);
    cr_expect_eq(left.waiting, right.waiting, "%s", of);
}

/* Everything that there is, in every way, and again, and what time makes of it afterwards. */
Test(resolve, does_what_a_change_does)
{
    static const enum hf_operation operations[] = {HF_OP_CONFIRM, HF_OP_RELEASE, HF_OP_CANCEL};
    char of[64];
    for (unsigned from = 0; from < FROMS; from++) {
        for (unsigned i = 0; i < 3; i++) {
            snprintf(of, sizeof of, "operation %d of %s", (int)operations[i], from_names[from]);
            make_subject(&plain, (enum from)from);
            make_subject(&changed, (enum from)from);
            plain.actor.now_ns += HF_RIG_MS;
            changed.actor.now_ns += HF_RIG_MS;
            resolve(operations[i]);
            expect_same(of);
            resolve(operations[i]);
            expect_same(of);
            resolve(HF_OP_CANCEL);
            expect_same(of);
            hf_rig_pass(&plain, 2 * TTL);
            hf_rig_pass(&changed, 2 * TTL);
            expect_same(of);
            hf_rig_expect_same_after_recovery(&plain);
            close_rigs();
            open_rigs();
        }
    }
}

/* A hold is over at its deadline, noticed or not. */
Test(resolve, leaves_a_lapsed_hold_alone)
{
    for (uint64_t early = 0; early < 2; early++) {
        make_subject(&plain, HELD);
        make_subject(&changed, HELD);
        plain.actor.now_ns += TTL - early;
        changed.actor.now_ns += TTL - early;
        cr_expect_eq(resolve(HF_OP_CONFIRM), early != 0 ? HF_CONFIRMED : HF_HOLD_EXPIRED);
        expect_same("CONFIRM at the deadline");
        close_rigs();
        open_rigs();
    }
}

/* An end of cancellations holds for what is confirmed. */
Test(resolve, obeys_the_end_of_cancellations)
{
    make_subject(&plain, CONFIRMED);
    make_subject(&changed, CONFIRMED);
    uint64_t now_ns = plain.actor.now_ns;
    hf_rig_set_one(&plain, 1, HF_SET_CANCEL_UNTIL, now_ns);
    hf_rig_set_one(&changed, 1, HF_SET_CANCEL_UNTIL, now_ns);
    cr_expect_eq(resolve(HF_OP_CANCEL), HF_CANCEL_TOO_LATE);
    expect_same("CANCEL");
    cr_expect_eq(hf_rig_inventory(&plain, 1).available, CAPACITY - 3);
}

/* The units of a customer who has a limit come off the count. */
Test(resolve, counts_the_units_of_customers)
{
    struct hf_rig *const rigs[] = {&plain, &changed};
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(hf_rig_set_one(rigs[i], 1, HF_SET_CUSTOMER_LIMIT, 3), HF_SET);
        hf_rig_pass(rigs[i], HF_RIG_MS);
        make_subject(rigs[i], HELD);
        cr_expect_eq(hf_rig_reserve(rigs[i], OTHER, 1, 1, 1), HF_CUSTOMER_LIMIT);
    }
    cr_expect_eq(resolve(HF_OP_RELEASE), HF_RELEASED);
    expect_same("RELEASE");
    for (unsigned i = 0; i < 2; i++)
        cr_expect_eq(hf_rig_reserve(rigs[i], OTHER, 1, 1, 3), HF_GRANTED);
}

/* Rules that claims obey stop no one who has a place already. */
Test(resolve, asks_no_rule_that_is_for_claims)
{
    struct hf_rig *const rigs[] = {&plain, &changed};
    for (unsigned i = 0; i < 2; i++) {
        make_subject(rigs[i], HELD);
        hf_rig_set_flags(rigs[i], 1, HF_INVENTORY_PAUSED, HF_INVENTORY_PAUSED);
    }
    cr_expect_eq(resolve(HF_OP_CONFIRM), HF_CONFIRMED);
    expect_same("CONFIRM");
    cr_expect_eq(resolve(HF_OP_CANCEL), HF_CANCELLED);
    expect_same("CANCEL");
}

/* Somebody else is changing it: put aside, and nothing is done. */
Test(resolve, is_put_aside_at_a_mark)
{
    make_subject(&plain, HELD);
    struct hf_reservation_cell *cell = hf_rig_cell(&plain, SUBJECT);
    uint64_t word = hf_load_relaxed(&cell->word);
    hf_store_relaxed(&cell->word, word | HF_WORD_MARKED);
    const struct hf_id id = hf_id_of_number(SUBJECT);
    uint32_t log_count = plain.log_count;
    hf_actor_enter(&plain.actor);
    hf_engine_resolve(&plain.actor, HF_OP_CONFIRM, &id, &plain_outcome);
    hf_actor_exit(&plain.actor);
    hf_rig_drain(&plain);
    cr_expect_eq(plain_outcome.result, HF_PUT_ASIDE_BUSY);
    cr_expect_eq(plain.log_count, log_count);
    cr_expect_eq(hf_load_relaxed(&cell->word), word | HF_WORD_MARKED);
}

/* A guard is no plain request, nor is a part of a hold. */
Test(resolve, guards_and_parts_are_looked_at)
{
    make_subject(&plain, HELD);
    struct hf_request request = {
        .operation = HF_OP_CONFIRM, .id = hf_id_of_number(SUBJECT), .expected = 2};
    cr_expect_eq(hf_rig_do(&plain, &request), HF_SEQUENCE_MISMATCH);
    request.expected = 0;
    request.qty = 4;
    cr_expect_eq(hf_rig_do(&plain, &request), HF_QTY_NOT_ALLOWED);
    request.qty = 2;
    cr_expect_eq(hf_rig_do(&plain, &request), HF_CONFIRMED);
    hf_rig_expect_units(&plain, 1, CAPACITY - 2, 0, 2);
}

/* A log without room is told, and the hold stays as it is. */
Test(resolve, needs_room_in_the_log)
{
    hf_rig_close(&plain);
    hf_rig_open_stocked(&plain, &(struct hf_rig_options){.ring_slots = 64}, 1, 1000);
    plain.holds_ring = true;
    cr_assert_eq(hf_rig_hold(&plain, SUBJECT, 1, 1, 3, TTL), HF_GRANTED);
    for (uint32_t number = 100; hf_rig_reserve(&plain, number, 1, 1, 1) == HF_GRANTED; number++)
        ;
    const struct hf_request request = {.operation = HF_OP_CONFIRM, .id = hf_id_of_number(SUBJECT)};
    cr_expect_eq(hf_rig_try(&plain, &request), HF_PUT_ASIDE_LOG_FULL);
    cr_expect_eq(hf_rig_state(&plain, SUBJECT), HF_STATE_HELD);
    plain.holds_ring = false;
    hf_rig_drain(&plain);
    cr_expect_eq(hf_rig_do(&plain, &request), HF_CONFIRMED);
}
