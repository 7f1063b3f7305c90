/* The waiting list: its order, its bound, hand-over, skipping, lapsing offers, and crashes. */
#include <criterion/criterion.h>

#include "engine/waiting.h"
#include "tests/lib/rig_expect.h"
#include "tests/lib/stress.h"

#define CAPACITY  10u
#define OFFER_TTL (30 * HF_RIG_S)
#define SELLER    1000u /* number of the reservation that has all units at first */

static struct hf_rig rig;

/* Inventory 1 is sold out, and nobody waits yet. */
static void open_sold_out(const struct hf_rig_options *options)
{
    hf_rig_open_stocked(&rig, options, 1, CAPACITY);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_OFFER_TTL, OFFER_TTL), HF_SET);
    cr_assert_eq(hf_rig_reserve(&rig, SELLER, 1, 1, CAPACITY), HF_GRANTED);
}

static void open_usual(void)
{
    open_sold_out(&(struct hf_rig_options){0});
}

static void close_rig(void)
{
    hf_rig_close(&rig);
}

TestSuite(waiting, .init = open_usual, .fini = close_rig);

/* Each waits as a customer of its own number. */
static void join(uint32_t number, uint32_t qty)
{
    cr_assert_eq(hf_rig_join(&rig, number, 1, number, qty), HF_JOINED, "%u: %s", number,
                 hf_result_name(rig.outcome.result));
}

/* The seller keeps `left` units. */
static void give_back_to(uint32_t left)
{
    cr_assert_eq(hf_rig_change(&rig, SELLER, left), HF_CHANGED);
}

static void expect_state(uint32_t number, unsigned state)
{
    unsigned is = hf_rig_state(&rig, number);
    cr_expect_eq(is, state, "%u is %s, not %s", number, hf_state_name(is), hf_state_name(state));
}

static void expect_waiting(int32_t available, uint32_t waiting)
{
    struct hf_inventory inventory = hf_rig_inventory(&rig, 1);
    cr_expect_eq(inventory.available, available, "available %d", inventory.available);
    cr_expect_eq(inventory.waiting, waiting, "waiting %u", inventory.waiting);
}

Test(waiting, units_that_come_free_go_to_those_who_came_first)
{
    for (uint32_t number = 1; number <= 4; number++)
        join(number, 2);
    expect_waiting(0, 4);
    give_back_to(5);
    struct hf_reservation offer = hf_rig_reservation(&rig, 1);
    cr_expect_eq(offer.state, HF_STATE_HELD);
    cr_expect_eq(offer.deadline_ns, rig.actor.now_ns + OFFER_TTL);
    cr_expect_eq(offer.sequence, 2);
    struct hf_image image = hf_rig_image(&rig, offer.lsn);
    cr_expect_eq(image.notes.reason, HF_REASON_OFFER);
    cr_expect_eq(image.notes.made_as, HF_STATE_WAITING);
    cr_expect_gt(offer.lsn, hf_rig_reservation(&rig, SELLER).lsn, "LSN-ORDER");
    expect_state(2, HF_STATE_HELD);
    expect_state(3, HF_STATE_WAITING);
    expect_waiting(1, 2);
    hf_rig_expect_same_after_recovery(&rig);
    give_back_to(4);
    expect_state(3, HF_STATE_HELD);
    expect_waiting(0, 1);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(waiting, nobody_from_outside_gets_units_while_somebody_waits)
{
    join(1, 5);
    join(2, 1);
    give_back_to(6);
    expect_state(1, HF_STATE_WAITING);
    expect_state(2, HF_STATE_WAITING);
    expect_waiting(4, 2);
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, 50, 1), HF_WAITING_LIST);
    cr_expect_eq(rig.outcome.availability.available, 4);
    cr_expect_eq(hf_rig_hold(&rig, 50, 1, 50, 1, HF_RIG_S), HF_WAITING_LIST);
    cr_expect_eq(hf_rig_change(&rig, SELLER, 7), HF_WAITING_LIST);
    cr_expect_eq(hf_rig_change(&rig, SELLER, 5), HF_CHANGED);
    expect_state(1, HF_STATE_HELD);
    expect_state(2, HF_STATE_WAITING);
    expect_waiting(0, 1);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(waiting, with_skip_those_who_fit_pass_a_head_that_does_not)
{
    cr_assert_eq(hf_rig_set_flags(&rig, 1, HF_INVENTORY_SKIP, HF_INVENTORY_SKIP), HF_SET);
    join(1, 5);
    join(2, 3);
    join(3, 2);
    join(4, 1);
    give_back_to(6);
    expect_state(1, HF_STATE_WAITING);
    expect_state(2, HF_STATE_HELD);
    expect_state(3, HF_STATE_WAITING);
    expect_state(4, HF_STATE_HELD);
    expect_waiting(0, 2);
    give_back_to(1);
    expect_state(1, HF_STATE_HELD);
    expect_state(3, HF_STATE_WAITING);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(waiting, switching_skip_on_serves_those_who_fit)
{
    join(1, 5);
    join(2, 3);
    give_back_to(6);
    expect_state(2, HF_STATE_WAITING);
    cr_assert_eq(hf_rig_set_flags(&rig, 1, HF_INVENTORY_SKIP, HF_INVENTORY_SKIP), HF_SET);
    expect_state(2, HF_STATE_HELD);
}

Test(waiting, the_list_has_a_bound)
{
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_WAITING_LIMIT, 3), HF_SET);
    for (uint32_t number = 1; number <= 3; number++)
        join(number, 1);
    cr_expect_eq(hf_rig_join(&rig, 4, 1, 4, 1), HF_WAITING_FULL);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_LEAVE, 2), HF_LEFT);
    join(4, 1);
    cr_expect_eq(hf_rig_join(&rig, 5, 1, 5, 1), HF_WAITING_FULL);
    hf_rig_expect_same_after_recovery(&rig);
    cr_expect_eq(hf_rig_join(&rig, 5, 1, 5, 1), HF_WAITING_FULL, "also after recovery");
    give_back_to(8);
    expect_state(1, HF_STATE_HELD);
    expect_state(3, HF_STATE_HELD);
    expect_state(4, HF_STATE_WAITING);
}

Test(waiting, who_leaves_from_the_front_the_middle_or_the_end_keeps_nobody_else_from_their_turn)
{
    for (uint32_t number = 1; number <= 6; number++)
        join(number, 1);
    static const uint32_t leaving[] = {1, 3, 6};
    for (int i = 0; i < 3; i++)
        cr_expect_eq(hf_rig_simple(&rig, i == 1 ? HF_OP_CANCEL : HF_OP_LEAVE, leaving[i]), HF_LEFT);
    expect_waiting(0, 3);
    hf_rig_expect_same_after_recovery(&rig);
    join(7, 1);
    for (uint32_t left = 9; left >= 6; left--)
        give_back_to(left);
    static const uint32_t staying[] = {2, 4, 5, 7};
    for (int i = 0; i < 4; i++) {
        expect_state(staying[i], HF_STATE_HELD);
        if (i != 0)
            cr_expect_gt(hf_rig_reservation(&rig, staying[i]).lsn,
                         hf_rig_reservation(&rig, staying[i - 1]).lsn);
    }
    expect_waiting(0, 0);
    give_back_to(5);
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, 50, 1), HF_GRANTED, "the list is over");
}

Test(waiting, when_a_head_that_wants_too_much_leaves_the_next_is_served)
{
    join(1, 5);
    join(2, 3);
    give_back_to(6);
    expect_state(2, HF_STATE_WAITING);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_LEAVE, 1), HF_LEFT);
    expect_state(2, HF_STATE_HELD);
    expect_waiting(1, 0);
    struct hf_image image = hf_rig_image(&rig, rig.log_count);
    cr_expect_eq(image.kind, HF_IMAGE_EVENT, "what is left is for sale, and told");
    cr_expect_eq(image.inventory.available, 1);
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, 50, 1), HF_GRANTED);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(waiting, an_offer_that_lapses_goes_to_the_next)
{
    join(1, 2);
    join(2, 2);
    join(3, 2);
    give_back_to(8);
    expect_state(1, HF_STATE_HELD);
    hf_rig_pass(&rig, OFFER_TTL - 1);
    expect_state(1, HF_STATE_HELD);
    expect_state(2, HF_STATE_WAITING);
    hf_rig_pass(&rig, HF_RIG_MS);
    expect_state(1, HF_STATE_EXPIRED);
    expect_state(2, HF_STATE_HELD);
    expect_state(3, HF_STATE_WAITING);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, 2), HF_CONFIRMED);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, 1), HF_HOLD_EXPIRED);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(waiting, an_offer_that_is_released_goes_to_the_next_and_one_for_fewer_leaves_the_rest_to_them)
{
    join(1, 2);
    join(2, 2);
    join(3, 1);
    give_back_to(8);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_RELEASE, 1), HF_RELEASED);
    expect_state(2, HF_STATE_HELD);
    struct hf_request fewer = {.operation = HF_OP_CONFIRM, .id = hf_id_of_number(2), .qty = 1};
    cr_expect_eq(hf_rig_do(&rig, &fewer), HF_CONFIRMED);
    expect_state(3, HF_STATE_HELD);
    expect_waiting(0, 0);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(waiting, offers_are_made_whatever_the_window_and_the_pause)
{
    join(1, 1);
    join(2, 1);
    cr_assert_eq(hf_rig_set_flags(&rig, 1, 3, HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED), HF_SET);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CLOSES_AT, rig.actor.now_ns), HF_SET);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_MIN_QTY, 5), HF_SET);
    give_back_to(9);
    expect_state(1, HF_STATE_HELD);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CONFIRM, 1), HF_CONFIRMED);
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_CANCEL, 1), HF_CANCELLED);
    expect_state(2, HF_STATE_HELD);
}

Test(waiting, a_raised_limit_serves_the_list)
{
    join(1, 2);
    join(2, 2);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_SELL_LIMIT, CAPACITY + 3), HF_SET);
    uint64_t set_lsn = rig.outcome.wait_for_lsn;
    expect_state(1, HF_STATE_HELD);
    expect_state(2, HF_STATE_WAITING);
    expect_waiting(1, 1);
    cr_expect_gt(hf_rig_reservation(&rig, 1).lsn, set_lsn, "LSN-ORDER");
    hf_rig_expect_same_after_recovery(&rig);
}

Test(waiting, in_a_deficit_freed_units_do_not_reach_the_list)
{
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_SELL_LIMIT, CAPACITY - 4), HF_SET);
    join(1, 1);
    give_back_to(6);
    expect_state(1, HF_STATE_WAITING);
    expect_waiting(0, 1);
    give_back_to(5);
    expect_state(1, HF_STATE_HELD);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(waiting, an_offer_above_the_customers_limit_is_not_made_and_the_next_gets_it)
{
    join(1, 2);
    join(2, 2);
    cr_assert_eq(hf_rig_join(&rig, 3, 1, 1, 1), HF_JOINED); /* customer 1 again */
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 2), HF_SET);
    give_back_to(4); /* customer 1 still has 4 */
    expect_state(1, HF_STATE_CANCELLED);
    struct hf_reservation refused = hf_rig_reservation(&rig, 1);
    cr_expect_eq(hf_rig_image(&rig, refused.lsn).notes.reason, HF_REASON_LIMIT);
    expect_state(2, HF_STATE_HELD);
    expect_state(3, HF_STATE_CANCELLED);
    expect_waiting(4, 0);
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, 50, 2), HF_GRANTED);
    cr_expect_eq(hf_rig_reserve(&rig, 51, 1, 2, 1), HF_CUSTOMER_LIMIT, "the offer counts");
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_RELEASE, 2), HF_RELEASED);
    cr_expect_eq(hf_rig_reserve(&rig, 51, 1, 2, 2), HF_GRANTED, "once");
    cr_expect_eq(hf_rig_simple(&rig, HF_OP_LEAVE, 1), HF_LEFT, "it left");
    cr_expect(rig.outcome.repeated);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(waiting, the_sale_opens_when_the_last_in_the_list_is_refused_by_the_limit)
{
    cr_assert_eq(hf_rig_join(&rig, 1, 1, 1, 1), HF_JOINED);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_CUSTOMER_LIMIT, 2), HF_SET);
    give_back_to(9);
    expect_state(1, HF_STATE_CANCELLED);
    cr_expect_eq(hf_rig_image(&rig, rig.log_count).kind, HF_IMAGE_EVENT);
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, 50, 1), HF_GRANTED);
    hf_rig_expect_same_after_recovery(&rig);
}

/* The crash comes after every single record of a run that hands units over again and again. What
 * was freed is offered before anyone is served; the order stays. */
Test(waiting, a_crash_between_freeing_and_offering_loses_no_turn)
{
    for (uint32_t number = 1; number <= 4; number++)
        join(number, 2);
    uint32_t before = rig.log_count;
    give_back_to(8);
    give_back_to(6);
    give_back_to(2);
    uint32_t end = rig.log_count;
    cr_assert_eq(end, before + 3 + 4);
    for (uint32_t cut = end; cut >= before; cut--) {
        cr_assert_null(hf_rig_recover(&rig, cut));
        struct hf_inventory inventory = hf_rig_inventory(&rig, 1);
        uint32_t offered = 0;
        for (uint32_t number = 1; number <= 4; number++) {
            bool held = hf_rig_state(&rig, number) == HF_STATE_HELD;
            cr_expect_eq(held, number == offered + 1 && held, "in order, cut at %u", cut);
            offered += held;
        }
        cr_expect_eq(inventory.available, inventory.waiting == 0 ? inventory.available : 0,
                     "cut at %u: freed but not offered: %d", cut, inventory.available);
        cr_expect_eq(inventory.waiting + offered, 4);
        if (inventory.waiting != 0)
            cr_expect_eq(hf_rig_reserve(&rig, 50, 1, 50, 1), HF_WAITING_LIST);
    }
}

Test(waiting, with_a_full_ring_the_offers_are_made_when_there_is_room_again)
{
    close_rig();
    open_sold_out(&(struct hf_rig_options){.ring_slots = 32});
    for (uint32_t number = 1; number <= 4; number++)
        join(number, 1);
    cr_assert_eq(hf_rig_hold(&rig, 20, 1, 20, 1, HF_RIG_S), HF_WAITING_LIST);
    hf_rig_create(&rig, 2, 100);
    hf_rig_drain(&rig);
    rig.holds_ring = true;
    uint32_t number = 100;
    /* Room for the change to fewer and an event, but not for offers as well. */
    while (hf_load_relaxed(&rig.ring.tail) - hf_load_relaxed(&rig.ring.drained) < 29)
        cr_assert_eq(hf_rig_reserve(&rig, number++, 2, 1, 1), HF_GRANTED);
    struct hf_request change = {.operation = HF_OP_CHANGE, .id = hf_id_of_number(SELLER), .qty = 7};
    cr_assert_eq(hf_rig_try(&rig, &change), HF_CHANGED);
    expect_waiting(2, 3);
    expect_state(2, HF_STATE_WAITING);
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, 50, 1), HF_WAITING_LIST, "%s",
                 hf_result_name(rig.outcome.result));
    hf_rig_pass(&rig, 0);
    expect_state(2, HF_STATE_WAITING);
    cr_expect_neq(hf_load_relaxed(&rig.engine.chores), 0);
    rig.holds_ring = false;
    hf_rig_drain(&rig);
    hf_rig_pass(&rig, 0);
    for (uint32_t i = 1; i <= 3; i++)
        expect_state(i, HF_STATE_HELD);
    expect_state(4, HF_STATE_WAITING);
    expect_waiting(0, 1);
    cr_expect_eq(hf_load_relaxed(&rig.engine.chores), 0);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(waiting, who_frees_units_while_another_has_the_right_leaves_the_offer_to_that_one)
{
    join(1, 1);
    join(2, 1);
    struct hf_inventory_cell *cell = hf_region_find_inventory(&rig.engine.region, 1);
    cr_assert(hf_waiting_take(cell));
    cr_expect_not(hf_waiting_take(cell));
    give_back_to(9);
    expect_state(1, HF_STATE_WAITING);
    struct hf_request leave = {.operation = HF_OP_LEAVE, .id = hf_id_of_number(2)};
    struct hf_request late = {.operation = HF_OP_JOIN,
                              .id = hf_id_of_number(3),
                              .inventory_id = 1,
                              .customer_id = 3,
                              .qty = 1};
    cr_expect_eq(hf_rig_try(&rig, &leave), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(hf_rig_try(&rig, &late), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(hf_rig_reserve(&rig, 50, 1, 50, 1), HF_WAITING_LIST, "who claims is not stopped");
    hf_actor_enter(&rig.actor);
    hf_waiting_leave(&rig.actor, cell);
    hf_actor_exit(&rig.actor);
    expect_state(1, HF_STATE_HELD);
    cr_expect_eq(hf_rig_try(&rig, &leave), HF_LEFT);
    cr_expect_eq(hf_rig_try(&rig, &late), HF_JOINED);
}

Test(waiting, a_thousand_wait_and_each_gets_a_turn)
{
    for (uint32_t number = 1; number < SELLER; number++)
        join(number, 1);
    hf_rig_expect_same_after_recovery(&rig);
    cr_assert_eq(hf_rig_simple(&rig, HF_OP_CANCEL, SELLER), HF_CANCELLED);
    for (uint32_t number = 1; number < SELLER; number++) {
        cr_assert_eq(hf_rig_state(&rig, number), HF_STATE_HELD, "%u", number);
        cr_assert_eq(hf_rig_simple(&rig, number % 2 ? HF_OP_RELEASE : HF_OP_CANCEL, number),
                     HF_RELEASED);
    }
    expect_waiting(CAPACITY, 0);
    hf_rig_expect_same_after_recovery(&rig);
}
