/*
 * The model that judges the crash test: each kind of lie must be caught, and the truth must not be.
 *
 * A tiny server is played by hand: one inventory of 3 units, and answers made up on the spot.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "tests/lib/model.h"

static struct hf_model *model;
static struct hf_model_inventory *inventory;
static uint64_t next_lsn;

static void answer_created(void)
{
    struct hf_model_request *request = hf_model_ask_create(model, inventory);
    const struct hf_reply reply = {.operation = HF_OP_INVENTORY_CREATE,
                                   .result = HF_CREATED,
                                   .inventory = {.inventory_id = inventory->inventory_id,
                                                 .product_id = inventory->product_id,
                                                 .lsn = next_lsn++,
                                                 .made_at_ns = 5,
                                                 .capacity = 3,
                                                 .sell_limit = 3,
                                                 .available = 3}};
    hf_model_answer(request, &reply);
}

static void open_model(void)
{
    model = hf_model_open();
    inventory = hf_model_add_inventory(model, 3);
    next_lsn = 1;
    answer_created();
}

static void close_model(void)
{
    hf_model_close(model);
}

TestSuite(model, .init = open_model, .fini = close_model);

static struct hf_model_reservation *add(uint32_t qty)
{
    return hf_model_add_reservation(model, inventory, 77, qty);
}

/* A yes about a reservation, as an honest server gives it. */
static struct hf_reply yes(unsigned result, const struct hf_model_reservation *reservation,
                           enum hf_state state, uint64_t lsn)
{
    return (struct hf_reply){
        .result = result,
        .reservation = {.id = reservation->id,
                        .inventory_id = reservation->inventory->inventory_id,
                        .customer_id = reservation->customer_id,
                        .lsn = lsn,
                        .made_at_ns = 1000,
                        .changed_at_ns = state == HF_STATE_CANCELLED ? 2000 : 1000,
                        .qty = reservation->qty,
                        .sequence = state == HF_STATE_CANCELLED ? 2 : 1,
                        .state = state}};
}

static void play(enum hf_operation operation, struct hf_model_reservation *reservation,
                 enum hf_model_purpose purpose, struct hf_reply reply)
{
    reply.operation = operation;
    hf_model_answer(hf_model_ask(model, operation, reservation, purpose), &reply);
}

static struct hf_model_reservation *grant(uint32_t qty)
{
    struct hf_model_reservation *reservation = add(qty);
    play(HF_OP_RESERVE, reservation, HF_MODEL_LOAD,
         yes(HF_GRANTED, reservation, HF_STATE_CONFIRMED, next_lsn++));
    return reservation;
}

static void cancel(struct hf_model_reservation *reservation)
{
    play(HF_OP_CANCEL, reservation, HF_MODEL_LOAD,
         yes(HF_CANCELLED, reservation, HF_STATE_CANCELLED, next_lsn++));
}

static void refuse(uint32_t qty)
{
    play(HF_OP_RESERVE, add(qty), HF_MODEL_LOAD,
         (struct hf_reply){.result = HF_SOLD_OUT, .available = 0});
}

static void settle(void)
{
    hf_model_settle(model, hf_monotonic_now_ns());
}

static void expect_honest(void)
{
    cr_expect(!hf_model_violation(model), "%s", hf_model_violation(model));
}

static void expect_caught(const char *words)
{
    const char *violation = hf_model_violation(model);
    cr_assert(violation, "nothing was noticed");
    cr_expect(strstr(violation, words), "%s", violation);
}

Test(model, a_truthful_history_is_believed)
{
    struct hf_model_reservation *first = grant(1);
    struct hf_model_reservation *second = grant(2);
    refuse(1);
    cancel(first);
    struct hf_model_reservation *third = grant(1);
    settle();
    play(HF_OP_RESERVATION_GET, first, HF_MODEL_EXACT,
         yes(HF_FOUND, first, HF_STATE_CANCELLED, first->cancel_lsn));
    play(HF_OP_RESERVATION_GET, second, HF_MODEL_EXACT,
         yes(HF_FOUND, second, HF_STATE_CONFIRMED, second->grant_lsn));
    play(HF_OP_RESERVE, third, HF_MODEL_LOAD,
         yes(HF_GRANTED, third, HF_STATE_CONFIRMED, third->grant_lsn));
    struct hf_inventory sums = {.inventory_id = inventory->inventory_id,
                                .product_id = inventory->product_id,
                                .lsn = inventory->lsn,
                                .made_at_ns = inventory->made_at_ns,
                                .capacity = 3,
                                .sell_limit = 3,
                                .confirmed = 3};
    hf_model_check_inventory(model, &sums);
    expect_honest();
    sums.available = 1;
    hf_model_check_inventory(model, &sums);
    expect_caught("CONSERVATION");
}

Test(model, more_units_than_there_are_is_overselling)
{
    grant(2);
    grant(2);
    expect_caught("NO-OVERSELL");
}

Test(model, a_grant_beside_an_unanswered_cancel_is_not_overselling)
{
    struct hf_model_reservation *first = grant(3);
    struct hf_model_request *cancelling = hf_model_ask(model, HF_OP_CANCEL, first, HF_MODEL_LOAD);
    uint64_t lsn = next_lsn++;
    grant(3);
    struct hf_reply reply = yes(HF_CANCELLED, first, HF_STATE_CANCELLED, lsn);
    hf_model_answer(cancelling, &reply);
    settle();
    expect_honest();
}

Test(model, a_grant_that_is_gone_is_lost)
{
    struct hf_model_reservation *reservation = grant(1);
    settle();
    play(HF_OP_RESERVATION_GET, reservation, HF_MODEL_EXACT,
         (struct hf_reply){.result = HF_NOT_FOUND});
    expect_caught("its grant was acknowledged before");
}

/* ACK-AFTER-COMMIT: a lookup revealed it, then it was gone. */
Test(model, a_grant_that_a_lookup_revealed_counts_as_acknowledged)
{
    struct hf_model_reservation *reservation = add(1);
    struct hf_model_request *asking =
        hf_model_ask(model, HF_OP_RESERVE, reservation, HF_MODEL_LOAD);
    play(HF_OP_RESERVATION_GET, reservation, HF_MODEL_LOAD,
         yes(HF_FOUND, reservation, HF_STATE_CONFIRMED, next_lsn++));
    hf_model_answer(asking,
                    &(struct hf_reply){.operation = HF_OP_RESERVE, .result = HF_OUTCOME_UNKNOWN});
    play(HF_OP_RESERVATION_GET, reservation, HF_MODEL_RESOLVE,
         (struct hf_reply){.result = HF_NOT_FOUND});
    expect_caught("its grant was acknowledged before");
}

Test(model, a_cancelled_reservation_stays_cancelled)
{
    struct hf_model_reservation *reservation = grant(1);
    cancel(reservation);
    play(HF_OP_RESERVATION_GET, reservation, HF_MODEL_LOAD,
         yes(HF_FOUND, reservation, HF_STATE_CONFIRMED, reservation->grant_lsn));
    expect_caught("again after its cancel");
}

Test(model, a_refused_id_must_not_exist)
{
    grant(3);
    struct hf_model_reservation *refused = add(1);
    play(HF_OP_RESERVE, refused, HF_MODEL_LOAD, (struct hf_reply){.result = HF_SOLD_OUT});
    settle();
    play(HF_OP_RESERVATION_GET, refused, HF_MODEL_EXACT,
         yes(HF_FOUND, refused, HF_STATE_CONFIRMED, next_lsn++));
    expect_caught("every answer about it was a no");
}

Test(model, a_refusal_with_room_left_is_a_lie)
{
    grant(2);
    refuse(1);
    settle();
    expect_caught("HONEST-NO");
}

/* The units of a request that the crash swallowed may have been held until then. */
Test(model, a_refusal_beside_a_lost_request_may_be_honest)
{
    struct hf_model_reservation *lost = add(2);
    struct hf_model_request *asking = hf_model_ask(model, HF_OP_RESERVE, lost, HF_MODEL_LOAD);
    grant(1);
    refuse(1);
    uint64_t gone_ns = hf_monotonic_now_ns();
    hf_model_answer(asking,
                    &(struct hf_reply){.operation = HF_OP_RESERVE, .result = HF_OUTCOME_UNKNOWN});
    play(HF_OP_RESERVATION_GET, lost, HF_MODEL_RESOLVE, (struct hf_reply){.result = HF_NOT_FOUND});
    hf_model_settle(model, gone_ns);
    expect_honest();
    refuse(1); /* but not any more */
    settle();
    expect_caught("HONEST-NO");
}

Test(model, two_changes_cannot_share_an_lsn)
{
    struct hf_model_reservation *first = grant(1);
    struct hf_model_reservation *second = add(1);
    struct hf_model_request *asking = hf_model_ask(model, HF_OP_RESERVE, second, HF_MODEL_LOAD);
    struct hf_reply reply = yes(HF_GRANTED, second, HF_STATE_CONFIRMED, first->grant_lsn);
    hf_model_answer(asking, &reply);
    expect_caught("LSN");
}

Test(model, lsns_follow_the_order_of_time)
{
    next_lsn = 10;
    grant(1);
    next_lsn = 9;
    grant(1);
    expect_caught("was asked for after 10 was acknowledged");
}

Test(model, one_id_has_one_grant)
{
    struct hf_model_reservation *reservation = grant(1);
    play(HF_OP_RESERVE, reservation, HF_MODEL_LOAD,
         yes(HF_GRANTED, reservation, HF_STATE_CONFIRMED, next_lsn++));
    expect_caught("now has");
}

Test(model, a_reused_id_must_be_told_and_name_the_field)
{
    struct hf_model_reservation *reservation = grant(1);
    struct hf_model_request *request =
        hf_model_ask(model, HF_OP_RESERVE, reservation, HF_MODEL_REUSE);
    hf_model_ask_other(request, HF_FIELD_QTY, 2);
    hf_model_answer(request, &(struct hf_reply){.operation = HF_OP_RESERVE,
                                                .result = HF_ID_REUSED,
                                                .field = HF_FIELD_QTY});
    expect_honest();
    request = hf_model_ask(model, HF_OP_RESERVE, reservation, HF_MODEL_REUSE);
    hf_model_ask_other(request, HF_FIELD_QTY, 2);
    hf_model_answer(request, &(struct hf_reply){.operation = HF_OP_RESERVE,
                                                .result = HF_ID_REUSED,
                                                .field = HF_FIELD_CUSTOMER_ID});
    expect_caught("ID_REUSED");
}
