/* Changes of reservations: the table of states, refusals and their order, and batches. */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/change.h"
#include "engine/decide.h"
#include "engine/hash.h"
#include "tests/lib/engine_rig.h"
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
    hf_rig_open(&rig, &(struct hf_rig_options){0});
    hf_rig_create(&rig, 1, CAPACITY);
    hf_rig_create(&rig, 2, CAPACITY);
}

static void close_rig(void)
{
    hf_rig_close(&rig);
}

TestSuite(change, .init = open_rig, .fini = close_rig);

/* What the log makes is what lives: SAME-STATE. And CONSERVATION, in both. */
static void expect_same_after_recovery(void)
{
    hf_rig_drain(&rig);
    uint64_t digest = hf_rig_digest(&rig);
    const char *wrong = hf_rig_recover(&rig, rig.log_count);
    cr_assert_null(wrong, "%s", wrong);
    cr_expect_eq(hf_rig_digest(&rig), digest, "SAME-STATE");
}

static void expect_units(uint64_t inventory_id, int32_t available, uint32_t held,
                         uint32_t confirmed)
{
    struct hf_inventory inventory = hf_rig_inventory(&rig, inventory_id);
    cr_expect_eq(inventory.available, available, "available %d, not %d", inventory.available,
                 available);
    cr_expect_eq(inventory.held, held, "held %u, not %u", inventory.held, held);
    cr_expect_eq(inventory.confirmed, confirmed, "confirmed %u, not %u", inventory.confirmed,
                 confirmed);
}

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
    expect_units(1, (int32_t)(CAPACITY - held - confirmed), held, confirmed);
    /* A yes is a yes again. */
    if (yes && expected < AGAIN && transitions[transition].request.operation != HF_OP_EXTEND) {
        cr_expect_eq(hf_rig_do(&rig, &request), expected, "%s, repeated: %s", what,
                     hf_result_name(rig.outcome.result));
        cr_expect(rig.outcome.repeated, "%s, repeated", what);
    }
    expect_same_after_recovery();
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
        expect_same_after_recovery();
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
    expect_same_after_recovery();
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
    expect_same_after_recovery();
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
    expect_units(1, 12, 0, 8);
    expect_same_after_recovery();
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
    expect_same_after_recovery();
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
        expect_units(1, 18, 0, 2);
        expect_same_after_recovery();
        cr_expect_eq(hf_rig_do(&rig, &request), HF_CONFIRMED);
        cr_expect(rig.outcome.repeated);
        cr_expect(hf_id_equal(&rig.outcome.reservation.id, &expected));
        cr_expect(hf_id_equal(&rig.outcome.reservation.linked_id, &old));
        expect_units(1, 18, 0, 2);
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
    expect_same_after_recovery();
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
    expect_units(1, 0, 0, CAPACITY);
}

/* ---- batches ---- */

static struct hf_line line(enum hf_operation operation, uint32_t number)
{
    return (struct hf_line){.operation = operation, .id = hf_id_of_number(number)};
}

static struct hf_line claim_line(enum hf_operation operation, uint32_t number,
                                 uint64_t inventory_id, uint64_t customer_id, uint32_t qty)
{
    struct hf_line made = line(operation, number);
    made.inventory_id = inventory_id;
    made.customer_id = customer_id;
    made.qty = qty;
    made.ttl_ns = operation == HF_OP_HOLD ? TTL : 0;
    return made;
}

/* The newest records are one chain of `length` images. */
static void expect_chain(uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        struct hf_image image = hf_rig_image(&rig, rig.log_count - length + 1 + i);
        cr_expect_eq(image.kind, HF_IMAGE_RESERVATION);
        cr_expect_eq(image.chain_length, length);
        cr_expect_eq(image.chain_index, i);
    }
}

Test(change, all_lines_of_a_batch_take_effect_in_one_chain)
{
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 1), HF_GRANTED);
    cr_assert_eq(hf_rig_hold(&rig, 2, 1, ME, 2, TTL), HF_GRANTED);
    cr_assert_eq(hf_rig_hold(&rig, 3, 2, ME, 3, TTL), HF_GRANTED);
    cr_assert_eq(hf_rig_reserve(&rig, 4, 2, ME, 4), HF_GRANTED);
    cr_assert_eq(hf_rig_hold(&rig, 5, 2, ME, 2, TTL), HF_GRANTED);
    struct hf_line lines[] = {
        line(HF_OP_CANCEL, 1),
        line(HF_OP_CONFIRM, 2),
        line(HF_OP_RELEASE, 3),
        line(HF_OP_CHANGE, 4),
        line(HF_OP_EXTEND, 5),
        claim_line(HF_OP_RESERVE, 6, 1, OTHER, 5),
        claim_line(HF_OP_HOLD, 7, 2, OTHER, 1),
    };
    lines[3].qty = 6;
    lines[4].ttl_ns = 2 * TTL;
    uint32_t before = rig.log_count;
    rig.actor.now_ns += 10;
    cr_assert_eq(hf_rig_batch(&rig, lines, 7), HF_BATCH_DONE);
    static const unsigned results[] = {HF_CANCELLED, HF_CONFIRMED, HF_RELEASED, HF_CHANGED,
                                       HF_EXTENDED,  HF_GRANTED,   HF_GRANTED};
    cr_assert_eq(rig.outcome.count, 7);
    cr_expect_not(rig.outcome.repeated);
    cr_expect_eq(rig.log_count, before + 7);
    expect_chain(7);
    for (uint32_t i = 0; i < 7; i++) {
        cr_expect_eq(rig.entries[i].result, results[i], "line %u: %s", i + 1,
                     hf_result_name(rig.entries[i].result));
        cr_expect_not(rig.entries[i].repeated);
        struct hf_reservation now = hf_rig_reservation(&rig, i + 1);
        cr_expect_eq(rig.entries[i].reservation.lsn, before + 1 + i, "in the order of the lines");
        cr_expect_eq(now.lsn, before + 1 + i);
        cr_expect_eq(now.state, rig.entries[i].reservation.state);
        cr_expect_eq(now.qty, rig.entries[i].reservation.qty);
    }
    cr_expect_eq(rig.outcome.wait_for_lsn, before + 7, "acknowledged by the last");
    expect_units(1, 13, 0, 7);
    expect_units(2, 11, 3, 6);

    cr_assert_eq(hf_rig_batch(&rig, lines, 7), HF_BATCH_DONE, "done before: %s",
                 hf_result_name(rig.outcome.result));
    cr_expect_eq(rig.outcome.wait_for_lsn, before + 7);
    for (uint32_t i = 0; i < 7; i++)
        cr_expect(rig.entries[i].repeated, "line %u", i + 1);
    cr_expect(rig.outcome.repeated);
    cr_expect_eq(rig.log_count, before + 7);
    expect_same_after_recovery();
}

/* In each prefix of the log all of a batch is there, or nothing. */
Test(change, a_cut_within_a_chain_drops_all_of_it)
{
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, CAPACITY), HF_GRANTED);
    uint32_t before = rig.log_count;
    uint64_t digest = hf_rig_digest(&rig);
    const struct hf_line swap[] = {
        line(HF_OP_CANCEL, 1),
        claim_line(HF_OP_RESERVE, 2, 1, OTHER, CAPACITY - 1),
        claim_line(HF_OP_RESERVE, 3, 2, OTHER, 1),
    };
    cr_assert_eq(hf_rig_batch(&rig, swap, 3), HF_BATCH_DONE);
    cr_assert_gt(rig.log_count, before + 3, "the unit that is left over is announced");
    cr_assert_null(hf_rig_recover(&rig, before + 3));
    expect_units(1, 1, 0, CAPACITY - 1);
    cr_assert_null(hf_rig_recover(&rig, before + 2));
    cr_expect_eq(rig.log_count, before);
    cr_expect_eq(hf_rig_digest(&rig), digest);
    cr_assert_eq(hf_rig_batch(&rig, swap, 3), HF_BATCH_DONE, "and can be done again");
    cr_expect_not(rig.outcome.repeated);
}

Test(change, the_lines_of_one_inventory_are_summed_first)
{
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, CAPACITY), HF_GRANTED);
    uint32_t version = hf_rig_inventory(&rig, 1).version;
    const struct hf_line swap[] = {
        claim_line(HF_OP_RESERVE, 2, 1, ME, 12),
        line(HF_OP_CANCEL, 1),
        claim_line(HF_OP_RESERVE, 3, 1, OTHER, 8),
    };
    cr_expect_eq(hf_rig_batch(&rig, swap, 3), HF_BATCH_DONE, "%s",
                 hf_result_name(rig.outcome.result));
    expect_units(1, 0, 0, CAPACITY);
    cr_expect_neq(hf_rig_inventory(&rig, 1).version, version);
    const struct hf_line more[] = {
        line(HF_OP_CANCEL, 2),
        claim_line(HF_OP_RESERVE, 4, 1, ME, 10),
        claim_line(HF_OP_RESERVE, 5, 1, ME, 3),
    };
    cr_expect_eq(hf_rig_batch(&rig, more, 3), HF_SOLD_OUT);
    cr_expect_eq(rig.outcome.line, 3, "the first that finds too few");
    expect_units(1, 0, 0, CAPACITY);
    expect_same_after_recovery();
}

Test(change, the_lines_of_one_customer_are_summed_first)
{
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 4), HF_SET);
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 4), HF_GRANTED);
    const struct hf_line swap[] = {
        claim_line(HF_OP_RESERVE, 2, 1, ME, 3),
        line(HF_OP_CANCEL, 1),
        claim_line(HF_OP_RESERVE, 3, 1, ME, 1),
    };
    cr_expect_eq(hf_rig_batch(&rig, swap, 3), HF_BATCH_DONE);
    const struct hf_line more[] = {
        claim_line(HF_OP_RESERVE, 4, 1, OTHER, 3),
        claim_line(HF_OP_RESERVE, 5, 1, OTHER, 1),
        claim_line(HF_OP_RESERVE, 6, 1, OTHER, 1),
    };
    cr_expect_eq(hf_rig_batch(&rig, more, 3), HF_CUSTOMER_LIMIT);
    cr_expect_eq(rig.outcome.line, 3);
    cr_expect_eq(hf_rig_batch(&rig, more, 2), HF_BATCH_DONE, "nothing of it was counted");
    expect_same_after_recovery();
}

/* Each line is fine but one: nothing happens, and that line is named. */
Test(change, a_line_that_fails_undoes_nothing_as_nothing_was_done)
{
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 2, TTL), HF_GRANTED);
    cr_assert_eq(hf_rig_reserve(&rig, 2, 1, ME, 2), HF_GRANTED);
    cr_assert_eq(hf_rig_reserve(&rig, 3, 2, ME, CAPACITY), HF_GRANTED);
    cr_assert_eq(hf_rig_reserve(&rig, 100, 1, ME, 1), HF_GRANTED);
    const struct hf_line good[] = {
        line(HF_OP_CONFIRM, 1),
        line(HF_OP_CANCEL, 2),
        claim_line(HF_OP_RESERVE, 4, 1, ME, 1),
        claim_line(HF_OP_JOIN, 5, 2, ME, 1),
    };
    static const struct {
        struct hf_line line;
        unsigned result;
        uint32_t number;
    } bad[] = {
        {{.operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = ME, .qty = 90},
         HF_SOLD_OUT,
         6},
        {{.operation = HF_OP_RESERVE, .inventory_id = 9, .customer_id = ME, .qty = 1},
         HF_UNKNOWN_INVENTORY,
         6},
        {{.operation = HF_OP_JOIN, .inventory_id = 1, .customer_id = ME, .qty = 1},
         HF_NOT_SOLD_OUT,
         6},
        {{.operation = HF_OP_CONFIRM}, HF_NOT_FOUND, 6},
        {{.operation = HF_OP_RELEASE}, HF_WRONG_STATE, 100},
        {{.operation = HF_OP_CANCEL, .expected = 8}, HF_SEQUENCE_MISMATCH, 100},
        {{.operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = ME, .qty = 2},
         HF_ID_REUSED,
         100},
    };
    uint64_t digest = hf_rig_digest(&rig);
    uint32_t log_count = rig.log_count;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (uint32_t place = 0; place < 5; place++) {
            struct hf_line lines[5];
            for (uint32_t j = 0; j < 5; j++)
                lines[j] = j == place ? bad[i].line : good[j < place ? j : j - 1];
            lines[place].id = hf_id_of_number(bad[i].number);
            cr_expect_eq(hf_rig_batch(&rig, lines, 5), bad[i].result, "case %zu: %s", i,
                         hf_result_name(rig.outcome.result));
            cr_expect_eq(rig.outcome.line, place + 1, "case %zu: line %u", i, rig.outcome.line);
            cr_expect_eq(rig.log_count, log_count);
            cr_expect_eq(hf_rig_digest(&rig), digest, "case %zu", i);
        }
    }
    cr_expect_eq(hf_rig_batch(&rig, good, 4), HF_BATCH_DONE);
    expect_same_after_recovery();
}

Test(change, an_id_named_twice_in_a_batch_is_a_bad_request)
{
    const struct hf_line lines[] = {
        claim_line(HF_OP_RESERVE, 1, 1, ME, 1),
        claim_line(HF_OP_RESERVE, 2, 1, ME, 1),
        line(HF_OP_CANCEL, 1),
    };
    cr_expect_eq(hf_rig_batch(&rig, lines, 3), HF_BAD_FIELD);
    cr_expect_eq(rig.outcome.field, HF_FIELD_RESERVATION_ID);
    cr_expect_eq(rig.outcome.line, 3);
}

/* With two heads in the index, of 64 ids many share a chain with others. */
Test(change, ids_that_share_a_chain_are_made_together)
{
    close_rig();
    hf_rig_open(&rig, &(struct hf_rig_options){.max_reservations = 64, .ring_slots = 512});
    hf_rig_create(&rig, 1, 1000);
    rig.engine.region.header->index_count = 2;
    struct hf_line lines[HF_MAX_BATCH_LINES];
    for (uint32_t i = 0; i < 32; i++)
        lines[i] = claim_line(HF_OP_RESERVE, i, 1, ME, 1);
    cr_assert_eq(hf_rig_batch(&rig, lines, 32), HF_BATCH_DONE);
    for (uint32_t i = 0; i < 32; i++) {
        lines[i] = line(HF_OP_CANCEL, i);
        lines[32 + i] = claim_line(HF_OP_RESERVE, 32 + i, 1, ME, 1);
    }
    cr_assert_eq(hf_rig_batch(&rig, lines, 64), HF_BATCH_DONE);
    for (uint32_t i = 0; i < 64; i++)
        cr_expect_eq(hf_rig_state(&rig, i), i < 32 ? HF_STATE_CANCELLED : HF_STATE_CONFIRMED);
    expect_units(1, 968, 0, 32);
    cr_assert_eq(hf_rig_batch(&rig, lines, 64), HF_BATCH_DONE);
    cr_expect(rig.outcome.repeated);
}

Test(change, a_batch_that_finds_no_room_in_the_middle_makes_nothing)
{
    close_rig();
    hf_rig_open(&rig, &(struct hf_rig_options){.max_reservations = 40});
    hf_rig_create(&rig, 1, 1000);
    struct hf_line lines[HF_MAX_BATCH_LINES];
    for (uint32_t i = 0; i < 41; i++)
        lines[i] = claim_line(HF_OP_RESERVE, i, 1, ME, 1);
    uint64_t digest = hf_rig_digest(&rig);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(hf_rig_batch(&rig, lines, 41), HF_RESERVATIONS_FULL);
        cr_expect_eq(rig.outcome.line, 41);
    }
    cr_expect_eq(hf_rig_digest(&rig), digest);
    cr_expect_eq(hf_rig_batch(&rig, lines, 40), HF_BATCH_DONE, "the cells were given back");
    expect_units(1, 960, 0, 40);
    cr_expect_eq(hf_rig_reserve(&rig, 5, 1, ME, 1), HF_GRANTED);
    cr_expect(rig.outcome.repeated);
    expect_same_after_recovery();
}

Test(change, with_a_full_ring_a_batch_is_put_aside_undone)
{
    close_rig();
    hf_rig_open(&rig, &(struct hf_rig_options){.ring_slots = 32});
    hf_rig_create(&rig, 1, 10);
    cr_assert_eq(hf_rig_hold(&rig, 1, 1, ME, 5, TTL), HF_GRANTED);
    rig.holds_ring = true;
    for (uint32_t i = 0; i < 26; i++)
        cr_assert_eq(hf_rig_extend(&rig, 1, TTL + i + 1), HF_EXTENDED);
    const struct hf_line lines[] = {
        line(HF_OP_CONFIRM, 1),
        claim_line(HF_OP_RESERVE, 2, 1, ME, 1),
        claim_line(HF_OP_RESERVE, 3, 1, ME, 1),
        claim_line(HF_OP_RESERVE, 4, 1, ME, 1),
    };
    struct hf_request request = {.operation = HF_OP_BATCH, .lines = lines, .count = 4};
    uint64_t digest = hf_rig_digest(&rig);
    cr_expect_eq(hf_rig_try(&rig, &request), HF_PUT_ASIDE_LOG_FULL);
    cr_expect_eq(hf_rig_digest(&rig), digest);
    cr_expect_eq(hf_rig_state(&rig, 2), 0, "its chain was left");
    hf_rig_drain(&rig);
    cr_expect_eq(hf_rig_try(&rig, &request), HF_BATCH_DONE);
    cr_expect_not(rig.outcome.repeated);
    rig.holds_ring = false;
    expect_same_after_recovery();
}

/* Whatever is put aside lets go of all that it had, and of nothing that it had not. */
static void expect_put_aside_and_unharmed(const struct hf_line *lines, uint32_t count)
{
    struct hf_request request = {.operation = HF_OP_BATCH, .lines = lines, .count = count};
    uint64_t free_cells = hf_load_relaxed(&rig.engine.region.header->free_cells);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(hf_rig_try(&rig, &request), HF_PUT_ASIDE_BUSY);
    cr_expect_eq((uint32_t)hf_load_relaxed(&rig.engine.region.header->free_cells),
                 (uint32_t)free_cells, "a cell that is in use was given back");
}

static struct hf_reservation_cell *cell_of(uint32_t number)
{
    struct hf_id id = hf_id_of_number(number);
    struct hf_reservation_cell *cell = NULL;
    cr_assert_eq(hf_table_find(&rig.engine.region, &id,
                               hf_hash_id(&id, rig.engine.region.header->hash_seed), &cell),
                 HF_LOOKUP_FOUND);
    return cell;
}

Test(change, a_repeat_that_meets_a_mark_is_put_aside_and_its_cell_stays_in_use)
{
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 1), HF_GRANTED);
    struct hf_reservation_cell *cell = cell_of(1);
    uint64_t word = hf_load_relaxed(&cell->word);
    hf_store_relaxed(&cell->word, word | HF_WORD_MARKED);
    const struct hf_line lines[] = {claim_line(HF_OP_RESERVE, 1, 1, ME, 1),
                                    claim_line(HF_OP_RESERVE, 2, 1, ME, 1)};
    expect_put_aside_and_unharmed(lines, 2);
    hf_store_relaxed(&cell->word, word);
    cr_expect_eq(hf_rig_batch(&rig, lines, 2), HF_BATCH_DONE);
    cr_expect(rig.entries[0].repeated);
    cr_expect_not(rig.entries[1].repeated);
    expect_units(1, 18, 0, 2);
    for (uint32_t number = 10; number < 100; number++)
        cr_assert_eq(hf_rig_reserve(&rig, number, 2, ME, 1),
                     number < 30 ? HF_GRANTED : HF_SOLD_OUT);
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_CONFIRMED);
}

Test(change,
     a_repeat_beside_an_id_that_another_decides_about_is_put_aside_and_its_cell_stays_in_use)
{
    struct hf_region *region = &rig.engine.region;
    for (uint32_t number = 1; number <= 8; number++)
        cr_assert_eq(hf_rig_reserve(&rig, number, 1, ME, 1), HF_GRANTED);
    struct hf_id id = hf_id_of_number(50);
    struct hf_chain chain;
    cr_assert(hf_table_take_chain(region, hf_hash_id(&id, region->header->hash_seed), &chain));
    struct hf_line lines[9];
    for (uint32_t i = 0; i < 8; i++)
        lines[i] = claim_line(HF_OP_RESERVE, i + 1, 1, ME, 1);
    lines[8] = claim_line(HF_OP_RESERVE, 50, 1, ME, 1);
    expect_put_aside_and_unharmed(lines, 9);
    hf_chain_leave(&chain);
    cr_expect_eq(hf_rig_batch(&rig, lines, 9), HF_BATCH_DONE);
    expect_units(1, 11, 0, 9);
}

Test(change, who_leaves_and_who_joins_in_one_batch_leave_a_list_that_stands)
{
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, OTHER, CAPACITY), HF_GRANTED);
    cr_assert_eq(hf_rig_join(&rig, 2, 1, ME, 1), HF_JOINED);
    const struct hf_line lines[] = {line(HF_OP_LEAVE, 2), claim_line(HF_OP_JOIN, 3, 1, ME, 2)};
    cr_assert_eq(hf_rig_batch(&rig, lines, 2), HF_BATCH_DONE);
    cr_expect_eq(hf_rig_inventory(&rig, 1).waiting, 1);
    cr_expect_eq(hf_rig_reserve(&rig, 4, 1, ME, 1), HF_WAITING_LIST);
    cr_expect_eq(hf_rig_change(&rig, 1, 5), HF_CHANGED);
    cr_expect_eq(hf_rig_state(&rig, 3), HF_STATE_HELD, "it gets its offer");
    expect_same_after_recovery();
}

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

/* What the lines do is weighed against the inventory as it is before any of them. */
Test(change, a_join_and_a_claim_in_one_batch)
{
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, OTHER, CAPACITY - 1), HF_GRANTED);
    const struct hf_line not_sold_out[] = {claim_line(HF_OP_RESERVE, 3, 1, ME, 1),
                                           claim_line(HF_OP_JOIN, 2, 1, ME, 1)};
    cr_expect_eq(hf_rig_batch(&rig, not_sold_out, 2), HF_NOT_SOLD_OUT);
    cr_expect_eq(rig.outcome.line, 2);
    cr_expect_eq(hf_rig_state(&rig, 3), 0);
    const struct hf_line both[] = {claim_line(HF_OP_JOIN, 2, 1, ME, 2),
                                   claim_line(HF_OP_RESERVE, 3, 1, ME, 1)};
    cr_expect_eq(hf_rig_batch(&rig, both, 2), HF_BATCH_DONE);
    expect_units(1, 0, 0, CAPACITY);
    cr_expect_eq(hf_rig_inventory(&rig, 1).waiting, 1);
    const struct hf_line behind[] = {claim_line(HF_OP_RESERVE, 4, 1, ME, 1), line(HF_OP_CANCEL, 1)};
    cr_expect_eq(hf_rig_batch(&rig, behind, 2), HF_WAITING_LIST);
    cr_expect_eq(rig.outcome.line, 1);
    expect_same_after_recovery();
}

Test(change, a_batch_of_64_nights_and_its_failure_on_the_last)
{
    close_rig();
    hf_rig_open(&rig, &(struct hf_rig_options){.max_inventories = 64});
    struct hf_line lines[64];
    for (uint32_t night = 0; night < 64; night++) {
        hf_rig_create(&rig, night + 1, 2);
        lines[night] = claim_line(HF_OP_HOLD, night, night + 1, ME, 1);
    }
    cr_assert_eq(hf_rig_reserve(&rig, 100, 64, OTHER, 2), HF_GRANTED);
    uint32_t version = hf_rig_inventory(&rig, 1).version;
    cr_expect_eq(hf_rig_batch(&rig, lines, 64), HF_SOLD_OUT);
    cr_expect_eq(rig.outcome.line, 64);
    cr_expect_eq(hf_rig_inventory(&rig, 1).version, version, "night 1 was never touched");
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, 100), HF_CANCELLED);
    cr_expect_eq(hf_rig_batch(&rig, lines, 64), HF_BATCH_DONE);
    expect_chain(64);
    for (uint32_t night = 0; night < 64; night++)
        expect_units(night + 1, 1, 1, 0);
    expect_same_after_recovery();
}

Test(change, a_batch_that_comes_too_late_changes_what_exists_but_claims_nothing)
{
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 2), HF_GRANTED);
    const struct hf_line lines[] = {line(HF_OP_CANCEL, 1), claim_line(HF_OP_RESERVE, 2, 1, ME, 1)};
    struct hf_request request = {
        .operation = HF_OP_BATCH, .lines = lines, .count = 2, .not_after_ns = rig.actor.now_ns - 1};
    cr_expect_eq(hf_rig_do(&rig, &request), HF_TOO_LATE);
    cr_expect_eq(rig.outcome.line, 2);
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_CONFIRMED);
    request.count = 1;
    cr_expect_eq(hf_rig_do(&rig, &request), HF_BATCH_DONE);
}

Test(change, a_line_with_the_version_that_the_inventory_has)
{
    struct hf_line lines[] = {claim_line(HF_OP_RESERVE, 1, 1, ME, 1),
                              claim_line(HF_OP_RESERVE, 2, 2, ME, 1)};
    for (int i = 0; i < 2; i++) {
        lines[i].flags = HF_REQUEST_EXPECT_VERSION;
        lines[i].expected = hf_rig_inventory(&rig, (uint64_t)i + 1).version;
    }
    cr_assert_eq(hf_rig_reserve(&rig, 3, 2, OTHER, 1), HF_GRANTED);
    cr_expect_eq(hf_rig_batch(&rig, lines, 2), HF_VERSION_MISMATCH);
    cr_expect_eq(rig.outcome.line, 2);
    cr_expect_eq(rig.outcome.availability.version, hf_rig_inventory(&rig, 2).version);
    lines[1].expected = rig.outcome.availability.version;
    cr_expect_eq(hf_rig_batch(&rig, lines, 2), HF_BATCH_DONE);
}

/* Two actors cancel one reservation; the first is done between what the second reads and marks. */
Test(change, a_count_that_went_with_its_last_unit_does_not_make_a_late_cancel_fail)
{
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 4), HF_SET);
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 2), HF_GRANTED);
    struct hf_reservation_cell *cell = cell_of(1);
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
