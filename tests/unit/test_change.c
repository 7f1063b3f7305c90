/* Changes of one reservation: the table of states, refusals and their order. Batches of them are in
 * test_batch.c. */
#include <criterion/criterion.h>

#include "tests/lib/rig_expect.h"
#include "tests/lib/stress.h"

#define TTL      (60 * HF_RIG_S)
#define ME       70u /* a customer */
#define OTHER    71u
#define SUBJECT  7u /* number of the reservation that a test is about */
#define FILLER   1000u
#define CAPACITY 20u

static struct hf_rig rig;

static void open_rig(void)
{
    hf_rig_open_stocked(&rig, &(struct hf_rig_options){0}, 2, CAPACITY);
}

static void close_rig(void)
{
    hf_rig_close(&rig);
}

TestSuite(change, .init = open_rig, .fini = close_rig);

/* ---- the table of states ---- */

enum from { CONFIRMED, HELD, LAPSED, WAITING, CANCELLED, LEFT, RELEASED, EXPIRED, OFFER, FROMS };

static const char *const from_names[FROMS] = {
    "CONFIRMED", "HELD", "lapsed", "WAITING", "CANCELLED", "left", "RELEASED", "EXPIRED", "offer"};

/* The subject, with 3 units for ME; two units or more are left for sale, but for WAITING. */
static void make_subject(enum from from)
{
    switch (from) {
    case CONFIRMED:
    case CANCELLED:
        cr_assert_eq(hf_rig_reserve(&rig, SUBJECT, 1, ME, 3), HF_GRANTED);
        break;
    case HELD:
    case LAPSED:
    case RELEASED:
    case EXPIRED:
        cr_assert_eq(hf_rig_hold(&rig, SUBJECT, 1, ME, 3, TTL), HF_GRANTED);
        break;
    case WAITING:
    case LEFT:
    case OFFER:
        cr_assert_eq(hf_rig_reserve(&rig, FILLER, 1, OTHER, CAPACITY), HF_GRANTED);
        cr_assert_eq(hf_rig_join(&rig, SUBJECT, 1, ME, 3), HF_JOINED);
        break;
    case FROMS:
        break;
    }
    if (from == LAPSED || from == EXPIRED)
        rig.actor.now_ns += TTL;
    if (from == CANCELLED)
        cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, SUBJECT), HF_CANCELLED);
    if (from == RELEASED)
        cr_assert_eq(hf_rig_simple(&rig, HF_OP_RELEASE, SUBJECT), HF_RELEASED);
    if (from == LEFT)
        cr_assert_eq(hf_rig_simple(&rig, HF_OP_LEAVE, SUBJECT), HF_LEFT);
    if (from == EXPIRED)
        hf_rig_pass(&rig, HF_RIG_MS);
    if (from == OFFER)
        cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, FILLER), HF_CANCELLED);
}

#define AGAIN 10000u /* repeated */

/* What the operation does to each. */
static const struct {
    const char *name;
    struct hf_request request;
    unsigned results[FROMS];
    enum hf_state state; /* after a yes that changed something */
    uint32_t qty;
} transitions[] = {
    {"confirm",
     {.operation = HF_OP_CONFIRM},
     {HF_CONFIRMED + AGAIN, HF_CONFIRMED, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_WRONG_STATE, HF_WRONG_STATE, HF_HOLD_EXPIRED, HF_CONFIRMED},
     HF_STATE_CONFIRMED,
     3},
    {"confirm fewer",
     {.operation = HF_OP_CONFIRM, .qty = 1},
     {HF_CONFIRMED + AGAIN, HF_CONFIRMED, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_WRONG_STATE, HF_WRONG_STATE, HF_HOLD_EXPIRED, HF_CONFIRMED},
     HF_STATE_CONFIRMED,
     1},
    {"confirm more",
     {.operation = HF_OP_CONFIRM, .qty = 4},
     {HF_CONFIRMED + AGAIN, HF_QTY_NOT_ALLOWED, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_WRONG_STATE, HF_WRONG_STATE, HF_HOLD_EXPIRED, HF_QTY_NOT_ALLOWED},
     0,
     0},
    {"release",
     {.operation = HF_OP_RELEASE},
     {HF_WRONG_STATE, HF_RELEASED, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_RELEASED + AGAIN, HF_HOLD_EXPIRED, HF_RELEASED},
     HF_STATE_RELEASED,
     3},
    {"cancel",
     {.operation = HF_OP_CANCEL},
     {HF_CANCELLED, HF_RELEASED, HF_HOLD_EXPIRED, HF_LEFT, HF_CANCELLED + AGAIN, HF_LEFT + AGAIN,
      HF_RELEASED + AGAIN, HF_HOLD_EXPIRED, HF_RELEASED},
     HF_STATE_CANCELLED, /* or RELEASED */
     3},
    {"leave",
     {.operation = HF_OP_LEAVE},
     {HF_WRONG_STATE, HF_WRONG_STATE, HF_WRONG_STATE, HF_LEFT, HF_WRONG_STATE, HF_LEFT + AGAIN,
      HF_WRONG_STATE, HF_WRONG_STATE, HF_WRONG_STATE},
     HF_STATE_CANCELLED,
     3},
    {"extend",
     {.operation = HF_OP_EXTEND, .ttl_ns = 1000 * HF_RIG_S},
     {HF_WRONG_STATE, HF_EXTENDED, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_WRONG_STATE, HF_HOLD_EXPIRED, HF_EXTENDED},
     HF_STATE_HELD,
     3},
    {"extend to earlier",
     {.operation = HF_OP_EXTEND, .ttl_ns = 1},
     {HF_WRONG_STATE, HF_EXTENDED + AGAIN, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_WRONG_STATE, HF_WRONG_STATE, HF_HOLD_EXPIRED, HF_EXTENDED + AGAIN},
     0,
     0},
    {"change to more",
     {.operation = HF_OP_CHANGE, .qty = 5},
     {HF_CHANGED, HF_CHANGED, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_WRONG_STATE, HF_HOLD_EXPIRED, HF_CHANGED},
     0, /* the same */
     5},
    {"change to fewer",
     {.operation = HF_OP_CHANGE, .qty = 2},
     {HF_CHANGED, HF_CHANGED, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_WRONG_STATE, HF_HOLD_EXPIRED, HF_CHANGED},
     0,
     2},
    {"change to the same",
     {.operation = HF_OP_CHANGE, .qty = 3},
     {HF_CHANGED + AGAIN, HF_CHANGED + AGAIN, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_WRONG_STATE, HF_WRONG_STATE, HF_HOLD_EXPIRED, HF_CHANGED + AGAIN},
     0,
     0},
    {"change to none",
     {.operation = HF_OP_CHANGE, .qty = 0},
     {HF_CANCELLED, HF_RELEASED, HF_HOLD_EXPIRED, HF_LEFT, HF_CANCELLED + AGAIN, HF_LEFT + AGAIN,
      HF_RELEASED + AGAIN, HF_HOLD_EXPIRED, HF_RELEASED},
     HF_STATE_CANCELLED, /* or RELEASED */
     3},
    {"move",
     {.operation = HF_OP_MOVE, .customer_id = OTHER},
     {HF_MOVED, HF_MOVED, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_WRONG_STATE, HF_HOLD_EXPIRED, HF_MOVED},
     0,
     3},
    {"move to the same",
     {.operation = HF_OP_MOVE, .customer_id = ME},
     {HF_MOVED + AGAIN, HF_MOVED + AGAIN, HF_HOLD_EXPIRED, HF_WRONG_STATE, HF_WRONG_STATE,
      HF_WRONG_STATE, HF_WRONG_STATE, HF_HOLD_EXPIRED, HF_MOVED + AGAIN},
     0,
     0},
};
#define TRANSITIONS (sizeof transitions / sizeof *transitions)

static enum hf_state state_after(size_t transition, const struct hf_reservation *before,
                                 unsigned result)
{
    if (result == HF_RELEASED)
        return HF_STATE_RELEASED;
    return transitions[transition].state != 0 ? transitions[transition].state : before->state;
}

static void expect_yes(size_t transition, const char *what, const struct hf_reservation *before,
                       uint64_t lsn)
{
    struct hf_outcome told = rig.outcome;
    struct hf_reservation now = hf_rig_reservation(&rig, SUBJECT);
    cr_expect_eq(now.sequence, before->sequence + 1, "%s: sequence", what);
    cr_expect_eq(now.state, state_after(transition, before, told.result), "%s: %s", what,
                 hf_state_name(now.state));
    cr_expect_eq(now.qty, transitions[transition].qty, "%s: qty %u", what, now.qty);
    cr_expect_gt(now.lsn, lsn, "%s: LSN", what);
    cr_expect_eq(now.changed_at_ns, rig.actor.now_ns, "%s: date", what);
    cr_expect_eq(now.made_at_ns, before->made_at_ns, "%s", what);
    cr_expect_eq(told.wait_for_lsn, now.lsn, "%s: ACK-AFTER-COMMIT", what);
    cr_expect_eq(told.reservation.lsn, now.lsn, "%s", what);
    cr_expect_eq(told.reservation.sequence, now.sequence, "%s", what);
    cr_expect_eq(told.reservation.state, now.state, "%s", what);
    cr_expect_eq(told.reservation.qty, now.qty, "%s", what);
    struct hf_image image = hf_rig_image(&rig, now.lsn);
    cr_expect_eq(image.kind, HF_IMAGE_RESERVATION, "%s", what);
    cr_expect_eq(image.reservation.state, now.state, "%s: image", what);
    cr_expect_eq(image.reservation.qty, now.qty, "%s: image", what);
    cr_expect_eq(image.reservation.sequence, now.sequence, "%s: image", what);
    cr_expect_eq(image.reservation.customer_id, now.customer_id, "%s: image", what);
    cr_expect_eq(image.reservation.deadline_ns, now.deadline_ns, "%s: image", what);
    cr_expect_eq(image.chain_length, 0, "%s: one change is no chain", what);
    cr_expect_eq(image.notes.reason, HF_REASON_REQUEST, "%s", what);
}

static void expect_unchanged(const char *what, const struct hf_reservation *before, uint64_t lsn)
{
    struct hf_reservation now = hf_rig_reservation(&rig, SUBJECT);
    cr_expect_eq(now.sequence, before->sequence, "%s: sequence", what);
    cr_expect_eq(now.state, before->state, "%s: state", what);
    cr_expect_eq(now.qty, before->qty, "%s: qty", what);
    cr_expect_eq(now.customer_id, before->customer_id, "%s: customer", what);
    cr_expect_eq(now.deadline_ns, before->deadline_ns, "%s: deadline", what);
    cr_expect_eq(rig.log_count, lsn, "%s: nothing is logged", what);
}

static void try_transition(size_t transition, enum from from)
{
    char what[64];
    snprintf(what, sizeof what, "%s of %s", transitions[transition].name, from_names[from]);
    make_subject(from);
    struct hf_reservation before = hf_rig_reservation(&rig, SUBJECT);
    uint64_t lsn = rig.log_count;
    struct hf_request request = transitions[transition].request;
    request.id = hf_id_of_number(SUBJECT);
    rig.actor.now_ns += 5;
    unsigned expected = transitions[transition].results[from];
    cr_expect_eq(hf_rig_do(&rig, &request), expected % AGAIN, "%s: %s", what,
                 hf_result_name(rig.outcome.result));
    cr_expect_eq(rig.outcome.repeated, expected > AGAIN, "%s: repeated", what);
    bool yes = hf_result_group(expected % AGAIN) == HF_GROUP_YES;
    if (yes && expected < AGAIN)
        expect_yes(transition, what, &before, lsn);
    else
        expect_unchanged(what, &before, lsn);
    if (expected == HF_WRONG_STATE) {
        cr_expect_eq(rig.outcome.state, before.state, "%s: the state is told", what);
        cr_expect_eq(rig.outcome.availability.version, before.sequence, "%s: and its sequence",
                     what);
        cr_expect_eq(rig.outcome.wait_for_lsn, before.lsn, "%s: when it is committed", what);
    }
    /* Units: CONSERVATION, in the counters and in what the reservations say. */
    uint32_t held = 0, confirmed = 0;
    for (uint32_t number = SUBJECT; number <= FILLER; number += FILLER - SUBJECT) {
        unsigned state = hf_rig_state(&rig, number);
        if (state == HF_STATE_HELD)
            held += hf_rig_reservation(&rig, number).qty;
        if (state == HF_STATE_CONFIRMED)
            confirmed += hf_rig_reservation(&rig, number).qty;
    }
    hf_rig_expect_units(&rig, 1, (int32_t)(CAPACITY - held - confirmed), held, confirmed);
    /* A yes is a yes again. */
    if (yes && expected < AGAIN && transitions[transition].request.operation != HF_OP_EXTEND) {
        cr_expect_eq(hf_rig_do(&rig, &request), expected, "%s, repeated: %s", what,
                     hf_result_name(rig.outcome.result));
        cr_expect(rig.outcome.repeated, "%s, repeated", what);
    }
    hf_rig_expect_same_after_recovery(&rig);
}

Test(change, each_operation_on_each_state_does_what_the_table_says)
{
    for (size_t transition = 0; transition < TRANSITIONS; transition++) {
        for (enum from from = 0; from < FROMS; from++) {
            try_transition(transition, from);
            close_rig();
            open_rig();
        }
    }
}

Test(change, operations_on_an_id_that_nobody_has)
{
    for (size_t transition = 0; transition < TRANSITIONS; transition++) {
        struct hf_request request = transitions[transition].request;
        request.id = hf_id_of_number(SUBJECT);
        cr_expect_eq(hf_rig_do(&rig, &request), HF_NOT_FOUND, "%s", transitions[transition].name);
        cr_expect_eq(rig.outcome.field, HF_FIELD_RESERVATION_ID);
        cr_expect_eq(rig.outcome.wait_for_lsn, 0);
    }
}

Test(change, a_repeated_claim_is_a_yes_whatever_became_of_it)
{
    static const struct {
        enum from from;
        enum hf_operation operation;
        unsigned yes;
    } cases[] = {
        {CONFIRMED, HF_OP_RESERVE, HF_GRANTED}, {CANCELLED, HF_OP_RESERVE, HF_GRANTED},
        {HELD, HF_OP_HOLD, HF_GRANTED},         {LAPSED, HF_OP_HOLD, HF_GRANTED},
        {RELEASED, HF_OP_HOLD, HF_GRANTED},     {EXPIRED, HF_OP_HOLD, HF_GRANTED},
        {WAITING, HF_OP_JOIN, HF_JOINED},       {LEFT, HF_OP_JOIN, HF_JOINED},
        {OFFER, HF_OP_JOIN, HF_JOINED},
    };
    static const enum hf_operation claims[] = {HF_OP_RESERVE, HF_OP_HOLD, HF_OP_JOIN};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_subject(cases[i].from);
        struct hf_reservation before = hf_rig_reservation(&rig, SUBJECT);
        uint64_t lsn = rig.log_count;
        struct hf_request request = {.id = hf_id_of_number(SUBJECT),
                                     .inventory_id = 1,
                                     .customer_id = ME,
                                     .qty = 3,
                                     .ttl_ns = TTL};
        for (size_t j = 0; j < 3; j++) {
            request.operation = claims[j];
            unsigned result = hf_rig_do(&rig, &request);
            if (claims[j] == cases[i].operation) {
                cr_expect_eq(result, cases[i].yes, "case %zu: %s", i, hf_result_name(result));
                cr_expect(rig.outcome.repeated);
                cr_expect_eq(rig.outcome.reservation.state, before.state, "as it is now");
            } else {
                cr_expect_eq(result, HF_ID_REUSED, "case %zu: %s", i, hf_result_name(result));
                cr_expect_eq(rig.outcome.field, HF_FIELD_OPERATION);
            }
            cr_expect_eq(rig.outcome.wait_for_lsn, before.lsn);
        }
        expect_unchanged("repeat", &before, lsn);
        close_rig();
        open_rig();
    }
}

Test(change, a_repeat_is_compared_with_the_request_that_made_it_also_after_a_change_and_a_move)
{
    cr_assert_eq(hf_rig_reserve(&rig, SUBJECT, 1, ME, 3), HF_GRANTED);
    cr_assert_eq(hf_rig_change(&rig, SUBJECT, 5), HF_CHANGED);
    cr_assert_eq(hf_rig_move(&rig, SUBJECT, OTHER), HF_MOVED);
    for (int recovered = 0; recovered < 2; recovered++) {
        cr_expect_eq(hf_rig_reserve(&rig, SUBJECT, 1, ME, 3), HF_GRANTED);
        cr_expect(rig.outcome.repeated);
        cr_expect_eq(rig.outcome.reservation.qty, 5);
        cr_expect_eq(rig.outcome.reservation.customer_id, OTHER);
        cr_expect_eq(hf_rig_reserve(&rig, SUBJECT, 1, OTHER, 5), HF_ID_REUSED);
        cr_expect_eq(rig.outcome.field, HF_FIELD_NONE);
        cr_expect_eq(hf_rig_reserve(&rig, SUBJECT, 2, ME, 3), HF_ID_REUSED);
        cr_expect_eq(rig.outcome.field, HF_FIELD_INVENTORY_ID);
        hf_rig_expect_same_after_recovery(&rig);
    }
    /* The fingerprint stays that of the request when it is changed back. */
    cr_assert_eq(hf_rig_change(&rig, SUBJECT, 3), HF_CHANGED);
    cr_assert_eq(hf_rig_move(&rig, SUBJECT, ME), HF_MOVED);
    cr_expect_eq(hf_rig_reserve(&rig, SUBJECT, 1, ME, 3), HF_GRANTED);
}

Test(change, the_guard_of_the_sequence_stands_behind_the_state_and_before_the_rules)
{
    struct hf_request confirm = {
        .operation = HF_OP_CONFIRM, .id = hf_id_of_number(SUBJECT), .expected = 9, .qty = 4};
    cr_assert_eq(hf_rig_hold(&rig, SUBJECT, 1, ME, 3, TTL), HF_GRANTED);
    cr_expect_eq(hf_rig_do(&rig, &confirm), HF_SEQUENCE_MISMATCH, "before QTY_NOT_ALLOWED");
    cr_expect_eq(rig.outcome.availability.version, 1, "the sequence is told");
    cr_expect_eq(rig.outcome.state, HF_STATE_HELD);
    confirm.expected = 1;
    cr_expect_eq(hf_rig_do(&rig, &confirm), HF_QTY_NOT_ALLOWED);
    cr_expect_eq(rig.outcome.field, HF_FIELD_QTY);
    confirm.qty = 0;
    cr_expect_eq(hf_rig_do(&rig, &confirm), HF_CONFIRMED);
    cr_expect_eq(hf_rig_do(&rig, &confirm), HF_CONFIRMED, "a repeat comes before the guard");
    cr_expect(rig.outcome.repeated);

    cr_assert_eq(hf_rig_hold(&rig, 8, 1, ME, 3, TTL), HF_GRANTED);
    struct hf_request release = {
        .operation = HF_OP_RELEASE, .id = hf_id_of_number(8), .expected = 9};
    cr_expect_eq(hf_rig_do(&rig, &release), HF_SEQUENCE_MISMATCH);
    rig.actor.now_ns += TTL;
    cr_expect_eq(hf_rig_do(&rig, &release), HF_HOLD_EXPIRED, "before the guard");
    release.id = hf_id_of_number(SUBJECT);
    cr_expect_eq(hf_rig_do(&rig, &release), HF_WRONG_STATE, "before the guard");
}

/* ---- the order of a claim's checks ---- */

static unsigned hold_for(uint64_t not_after_ns, uint32_t expected, uint32_t qty, uint64_t ttl_ns)
{
    struct hf_request request = {
        .operation = HF_OP_HOLD,
        .flags = HF_REQUEST_EXPECT_VERSION,
        .id = hf_id_of_number(SUBJECT),
        .inventory_id = 1,
        .customer_id = ME,
        .qty = qty,
        .expected = expected,
        .ttl_ns = ttl_ns,
        .not_after_ns = not_after_ns,
    };
    return hf_rig_do(&rig, &request);
}

Test(change, of_all_that_stands_against_a_claim_the_first_in_the_documented_order_is_told)
{
    close_rig();
    hf_rig_open(&rig, &(struct hf_rig_options){.max_reservations = 4});
    hf_rig_create(&rig, 1, CAPACITY);
    uint64_t opens = rig.actor.now_ns + 100 * HF_RIG_S;
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, CAPACITY - 1), HF_GRANTED);
    cr_assert_eq(hf_rig_join(&rig, 2, 1, OTHER, 2), HF_JOINED);
    cr_assert_eq(hf_rig_reserve(&rig, 3, 1, OTHER, 1), HF_WAITING_LIST);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, CAPACITY - 1), HF_SET);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_MIN_QTY, 2), HF_SET);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_LONGEST_HOLD, 10), HF_SET);
    cr_assert_eq(hf_rig_set_flags(&rig, 1, 3, HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED), HF_SET);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_OPENS_AT, opens), HF_SET);
    uint64_t lsn = rig.log_count;

    cr_expect_eq(hold_for(rig.actor.now_ns - 1, 0, 1, 11), HF_TOO_LATE);
    cr_expect_eq(hold_for(rig.actor.now_ns, 0, 1, 11), HF_VERSION_MISMATCH,
                 "not_after is meant so");
    uint32_t version = hf_rig_inventory(&rig, 1).version;
    cr_expect_eq(rig.outcome.availability.version, version);
    /* A refusal of claims never changes the version that it was given. */
    cr_expect_eq(hold_for(0, version, 1, 11), HF_NOT_OPEN);
    rig.actor.now_ns = opens;
    cr_expect_eq(hold_for(0, version, 1, 11), HF_CLOSED);
    cr_expect_eq(rig.log_count, lsn, "a refusal leaves no trace");
    cr_assert_eq(hf_rig_set_flags(&rig, 1, 2, 0), HF_SET);
    version = hf_rig_inventory(&rig, 1).version;
    cr_expect_eq(hold_for(0, version, 1, 11), HF_PAUSED);
    cr_assert_eq(hf_rig_set_flags(&rig, 1, 1, 0), HF_SET);
    version = hf_rig_inventory(&rig, 1).version;
    cr_expect_eq(hold_for(0, version, 1, 11), HF_QTY_NOT_ALLOWED);
    cr_expect_eq(hold_for(0, version, 2, 11), HF_TTL_NOT_ALLOWED);
    cr_expect_eq(hold_for(0, version, 2, 10), HF_CUSTOMER_LIMIT);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 0), HF_SET);
    version = hf_rig_inventory(&rig, 1).version;
    cr_expect_eq(hold_for(0, version, 2, 10), HF_WAITING_LIST);
    cr_expect_eq(rig.outcome.availability.available, 1);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_LEAVE, 2), HF_LEFT);
    version = hf_rig_inventory(&rig, 1).version;
    cr_expect_eq(hold_for(0, version, 2, 10), HF_SOLD_OUT);
    cr_expect_eq(hf_rig_state(&rig, SUBJECT), 0, "none of them left a trace");
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_SELL_LIMIT, 60), HF_SET);
    cr_assert_eq(hf_rig_reserve(&rig, 3, 1, ME, 2), HF_GRANTED);
    cr_assert_eq(hf_rig_reserve(&rig, 4, 1, ME, 2), HF_GRANTED);
    version = hf_rig_inventory(&rig, 1).version;
    cr_expect_eq(hold_for(0, version, 2, 10), HF_RESERVATIONS_FULL);
    cr_expect_eq(hold_for(0, version, 100, 10), HF_SOLD_OUT, "which comes before it");
    hf_rig_expect_same_after_recovery(&rig);
}

Test(change, the_order_of_a_joins_checks)
{
    struct hf_request join = {.operation = HF_OP_JOIN,
                              .id = hf_id_of_number(SUBJECT),
                              .inventory_id = 1,
                              .customer_id = ME,
                              .qty = 2};
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_WAITING_LIMIT, 0), HF_SET);
    cr_expect_eq(hf_rig_do(&rig, &join), HF_NOT_SOLD_OUT, "before WAITING_FULL");
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, CAPACITY - 1), HF_GRANTED);
    cr_expect_eq(hf_rig_do(&rig, &join), HF_WAITING_FULL, "there is no list");
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_WAITING_LIMIT, 1), HF_SET);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, CAPACITY), HF_SET);
    cr_expect_eq(hf_rig_do(&rig, &join), HF_CUSTOMER_LIMIT);
    join.flags = HF_REQUEST_OVERRIDE;
    cr_expect_eq(hf_rig_do(&rig, &join), HF_JOINED);
    cr_expect_eq(hf_rig_join(&rig, 8, 1, OTHER, 1), HF_WAITING_FULL,
                 "where a list stands nobody is told to claim");
    cr_expect_eq(hf_rig_join(&rig, 8, 3, OTHER, 1), HF_UNKNOWN_INVENTORY);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(change, what_stands_against_a_change_to_more_is_what_stands_against_a_claim)
{
    cr_assert_eq(hf_rig_reserve(&rig, SUBJECT, 1, ME, 3), HF_GRANTED);
    cr_assert_eq(hf_rig_hold(&rig, 8, 1, OTHER, 3, TTL), HF_GRANTED);
    cr_expect_eq(hf_rig_change(&rig, SUBJECT, 18), HF_SOLD_OUT);
    cr_expect_eq(rig.outcome.availability.available, 14);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_MAX_QTY, 5), HF_SET);
    cr_expect_eq(hf_rig_change(&rig, SUBJECT, 6), HF_QTY_NOT_ALLOWED, "the new total counts");
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 4), HF_SET);
    cr_expect_eq(hf_rig_change(&rig, SUBJECT, 5), HF_CUSTOMER_LIMIT);
    struct hf_request grow = {.operation = HF_OP_CHANGE,
                              .flags = HF_REQUEST_OVERRIDE,
                              .id = hf_id_of_number(SUBJECT),
                              .qty = 5};
    cr_assert_eq(hf_rig_set_flags(&rig, 1, 1, 1), HF_SET);
    cr_expect_eq(hf_rig_do(&rig, &grow), HF_PAUSED);
    cr_expect_eq(hf_rig_change(&rig, SUBJECT, 2), HF_CHANGED, "giving back always works");
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, 8), HF_CONFIRMED, "so does confirming");
    cr_assert_eq(hf_rig_set_flags(&rig, 1, 1, 0), HF_SET);
    cr_expect_eq(hf_rig_do(&rig, &grow), HF_CHANGED);
    hf_rig_expect_units(&rig, 1, 12, 0, 8);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(change, a_move_counts_for_the_customer_who_gets_it)
{
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 4), HF_SET);
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 3), HF_GRANTED);
    cr_assert_eq(hf_rig_reserve(&rig, 2, 1, OTHER, 2), HF_GRANTED);
    cr_expect_eq(hf_rig_move(&rig, 1, OTHER), HF_CUSTOMER_LIMIT);
    cr_expect_eq(rig.outcome.field, HF_FIELD_CUSTOMER_ID);
    cr_expect_eq(hf_rig_move(&rig, 1, 99), HF_MOVED);
    cr_expect_eq(hf_rig_reserve(&rig, 3, 1, 99, 2), HF_CUSTOMER_LIMIT);
    cr_expect_eq(hf_rig_reserve(&rig, 3, 1, ME, 4), HF_GRANTED, "who gave it has none");
    hf_rig_expect_same_after_recovery(&rig);
    cr_expect_eq(hf_rig_reserve(&rig, 4, 1, 99, 2), HF_CUSTOMER_LIMIT, "also after recovery");
    cr_expect_eq(hf_rig_reserve(&rig, 4, 1, 99, 1), HF_GRANTED);
}

Test(change, the_cut_off_of_cancellations_stops_cancels_and_fewer_of_confirmed_ones_only)
{
    cr_assert_eq(hf_rig_reserve(&rig, SUBJECT, 1, ME, 3), HF_GRANTED);
    cr_assert_eq(hf_rig_hold(&rig, 8, 1, ME, 3, TTL), HF_GRANTED);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CANCEL_UNTIL, rig.actor.now_ns + 10), HF_SET);
    rig.actor.now_ns += 9;
    cr_expect_eq(hf_rig_change(&rig, SUBJECT, 2), HF_CHANGED);
    rig.actor.now_ns += 1;
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CANCEL, SUBJECT), HF_CANCEL_TOO_LATE);
    cr_expect_eq(hf_rig_change(&rig, SUBJECT, 1), HF_CANCEL_TOO_LATE);
    cr_expect_eq(hf_rig_change(&rig, SUBJECT, 0), HF_CANCEL_TOO_LATE);
    cr_expect_eq(hf_rig_change(&rig, SUBJECT, 4), HF_CHANGED);
    cr_expect_eq(hf_rig_change(&rig, 8, 1), HF_CHANGED, "a hold is not cancelled");
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CANCEL, 8), HF_RELEASED);
}

/* ---- confirming anew ---- */

static struct hf_request reacquire(uint32_t qty, bool named)
{
    struct hf_request request = {.operation = HF_OP_CONFIRM,
                                 .flags = HF_REQUEST_REACQUIRE,
                                 .id = hf_id_of_number(SUBJECT),
                                 .qty = qty};
    if (named)
        request.new_id = hf_id_of_number(500);
    return request;
}

Test(change, a_lapsed_hold_is_claimed_anew_and_linked_to_the_old_one)
{
    for (int named = 0; named < 2; named++) {
        struct hf_id old = hf_id_of_number(SUBJECT), expected = hf_id_of_number(500);
        if (!named)
            hf_id_derive(&old, &expected);
        cr_assert_eq(hf_rig_hold(&rig, SUBJECT, 1, ME, 3, TTL), HF_GRANTED);
        rig.actor.now_ns += TTL;
        struct hf_request request = reacquire(2, named);
        cr_expect_eq(hf_rig_do(&rig, &request), HF_CONFIRMED);
        cr_expect_not(rig.outcome.repeated);
        struct hf_reservation made = rig.outcome.reservation;
        cr_expect(hf_id_equal(&made.id, &expected));
        cr_expect(hf_id_equal(&made.linked_id, &old));
        cr_expect_eq(made.qty, 2);
        cr_expect_eq(made.customer_id, ME);
        cr_expect_eq(made.state, HF_STATE_CONFIRMED);
        cr_expect_eq(made.sequence, 1);
        cr_expect_eq(hf_rig_state(&rig, SUBJECT), HF_STATE_EXPIRED);
        hf_rig_expect_units(&rig, 1, 18, 0, 2);
        hf_rig_expect_same_after_recovery(&rig);
        cr_expect_eq(hf_rig_do(&rig, &request), HF_CONFIRMED);
        cr_expect(rig.outcome.repeated);
        cr_expect(hf_id_equal(&rig.outcome.reservation.id, &expected));
        cr_expect(hf_id_equal(&rig.outcome.reservation.linked_id, &old));
        hf_rig_expect_units(&rig, 1, 18, 0, 2);
        close_rig();
        open_rig();
    }
}

Test(change, a_hold_that_has_not_lapsed_is_confirmed_as_it_is_whatever_the_flag)
{
    cr_assert_eq(hf_rig_hold(&rig, SUBJECT, 1, ME, 3, TTL), HF_GRANTED);
    rig.actor.now_ns += TTL - 1;
    struct hf_request request = reacquire(0, true);
    cr_expect_eq(hf_rig_do(&rig, &request), HF_CONFIRMED);
    struct hf_id old = hf_id_of_number(SUBJECT);
    cr_expect(hf_id_equal(&rig.outcome.reservation.id, &old));
    cr_expect_eq(hf_rig_state(&rig, 500), 0);
}

Test(change, a_lapsed_hold_whose_units_are_gone_is_not_claimed_anew)
{
    cr_assert_eq(hf_rig_hold(&rig, SUBJECT, 1, ME, 3, TTL), HF_GRANTED);
    rig.actor.now_ns += TTL;
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, OTHER, CAPACITY - 2), HF_GRANTED, "finds what lapsed");
    struct hf_request request = reacquire(0, true);
    cr_expect_eq(hf_rig_do(&rig, &request), HF_SOLD_OUT);
    cr_expect_eq(rig.outcome.availability.available, 2);
    request.qty = 4;
    cr_expect_eq(hf_rig_do(&rig, &request), HF_QTY_NOT_ALLOWED, "more than was held");
    request.qty = 2;
    cr_expect_eq(hf_rig_do(&rig, &request), HF_CONFIRMED);
    cr_expect_eq(rig.outcome.reservation.qty, 2);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(change, claiming_anew_obeys_the_window_the_pause_and_the_waiting_list)
{
    cr_assert_eq(hf_rig_hold(&rig, SUBJECT, 1, ME, 3, TTL), HF_GRANTED);
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, OTHER, CAPACITY - 3), HF_GRANTED);
    cr_assert_eq(hf_rig_join(&rig, 2, 1, OTHER, 4), HF_JOINED);
    rig.actor.now_ns += TTL;
    struct hf_request request = reacquire(0, false);
    cr_expect_eq(hf_rig_do(&rig, &request), HF_WAITING_LIST);
    cr_assert_eq(hf_rig_set_flags(&rig, 1, 1, 1), HF_SET);
    cr_expect_eq(hf_rig_do(&rig, &request), HF_PAUSED);
    cr_assert_eq(hf_rig_set_flags(&rig, 1, 1, 0), HF_SET);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_LEAVE, 2), HF_LEFT);
    cr_expect_eq(hf_rig_do(&rig, &request), HF_CONFIRMED);
    hf_rig_expect_units(&rig, 1, 0, 0, CAPACITY);
}

/* ---- counts of customers ---- */

Test(change, a_join_leaves_no_count_behind_when_it_is_over)
{
    close_rig();
    hf_rig_open(&rig,
                &(struct hf_rig_options){.max_reservations = 64, .retain_ns = 10 * HF_RIG_MS});
    hf_rig_create(&rig, 1, 1);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 1), HF_SET);
    cr_assert_eq(hf_rig_reserve(&rig, 0, 1, OTHER, 1), HF_GRANTED);
    for (uint32_t number = 1; number < 6000; number++) {
        cr_assert_eq(hf_rig_join(&rig, number, 1, 1000 + number, 1), HF_JOINED, "%u: %s", number,
                     hf_result_name(rig.outcome.result));
        cr_assert_eq(hf_rig_simple(&rig, HF_OP_LEAVE, number), HF_LEFT);
        hf_rig_pass(&rig, 20 * HF_RIG_MS);
    }
}

/* Two actors cancel one reservation; the first is done between what the second reads and marks. */
Test(change, a_count_that_went_with_its_last_unit_does_not_make_a_late_cancel_fail)
{
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 4), HF_SET);
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 2), HF_GRANTED);
    struct hf_reservation_cell *cell = hf_rig_cell(&rig, 1);
    uint64_t active = hf_load_relaxed(&cell->word);
    cr_assert_neq(active & HF_WORD_COUNTED, 0);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, 1), HF_CANCELLED);
    uint64_t cancelled = hf_load_relaxed(&cell->word);
    hf_store_relaxed(&cell->word, active); /* as the second reads it */
    struct hf_request cancel = {.operation = HF_OP_CANCEL, .id = hf_id_of_number(1)};
    cr_expect_eq(hf_rig_try(&rig, &cancel), HF_PUT_ASIDE_BUSY, "%s",
                 hf_result_name(rig.outcome.result));
    hf_store_relaxed(&cell->word, cancelled);
    cr_expect_eq(hf_rig_try(&rig, &cancel), HF_CANCELLED);
    cr_expect(rig.outcome.repeated);
}
