/* Bursts: as many single grants or refusals, one behind the other; or where they end before that. */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/burst.h"
#include "engine/hash.h"
#include "tests/lib/engine_rig.h"
#include "tests/lib/stress.h"

#define UNITS 1000

/* So many chains that no two ids of a test share one: where they do, a burst ends early. */
#define RESERVATIONS (1u << 24)

static struct hf_rig rig;
static struct hf_reserve requests[HF_BURST_MAX];
static struct hf_reservation made[HF_BURST_MAX];

static void open_rig(void)
{
    hf_rig_open_stocked(&rig, &(struct hf_rig_options){.max_reservations = RESERVATIONS}, 4, UNITS);
}

static void close_rig(void)
{
    hf_rig_close(&rig);
}

TestSuite(burst, .init = open_rig, .fini = close_rig);

static void ask(uint32_t place, uint32_t number, uint64_t inventory_id, uint32_t qty)
{
    requests[place] = (struct hf_reserve){
        .id = hf_id_of_number(number),
        .inventory_id = inventory_id,
        .customer_id = 100 + number,
        .qty = qty,
    };
}

static uint32_t burst(uint32_t count)
{
    hf_actor_enter(&rig.actor);
    uint32_t granted = hf_engine_reserve_burst(&rig.actor, requests, count, made);
    hf_actor_exit(&rig.actor);
    hf_rig_drain(&rig);
    return granted;
}

static void expect_same_log(const struct hf_rig *one, const struct hf_rig *other)
{
    cr_assert_eq(one->log_count, other->log_count);
    cr_expect_arr_eq(one->log, other->log, (size_t)one->log_count * HF_RECORD_BYTES);
}

/* One inventory, neighbours of different size: the log is the same, byte for byte, as that of single
 * grants; so is the state, and what recovery makes of it. */
Test(burst, is_the_same_as_single_grants)
{
    struct hf_rig single;
    hf_rig_open_stocked(&single, &(struct hf_rig_options){0}, 4, UNITS);
    for (uint32_t i = 0; i < HF_BURST_MAX; i++) {
        ask(i, 1 + i, 1 + i / 5 % 3, 1 + i % 4);
        cr_assert_eq(hf_rig_reserve(&single, 1 + i, 1 + i / 5 % 3, 101 + i, 1 + i % 4), HF_GRANTED);
    }
    cr_assert_eq(burst(HF_BURST_MAX), HF_BURST_MAX);
    expect_same_log(&rig, &single);
    cr_expect_eq(hf_rig_digest(&rig), hf_rig_digest(&single));
    for (uint64_t inventory = 1; inventory <= 4; inventory++) {
        struct hf_inventory left = hf_rig_inventory(&rig, inventory);
        cr_expect_eq(left.available, hf_rig_inventory(&single, inventory).available);
        cr_expect_eq(left.version, hf_rig_inventory(&single, inventory).version);
    }
    uint64_t digest = hf_rig_digest(&rig);
    cr_assert_null(hf_rig_recover(&rig, rig.log_count));
    cr_expect_eq(hf_rig_digest(&rig), digest);
    hf_rig_close(&single);
}

/* What is answered is what a look-up tells afterwards. */
Test(burst, tells_what_it_made)
{
    for (uint32_t i = 0; i < 8; i++)
        ask(i, 1 + i, 2, 1 + i);
    cr_assert_eq(burst(8), 8);
    for (uint32_t i = 0; i < 8; i++) {
        struct hf_reservation found = hf_rig_reservation(&rig, 1 + i);
        cr_expect_arr_eq(found.id.bytes, made[i].id.bytes, sizeof found.id.bytes);
        cr_expect_eq(found.inventory_id, made[i].inventory_id);
        cr_expect_eq(found.customer_id, made[i].customer_id);
        cr_expect_eq(found.lsn, made[i].lsn);
        cr_expect_eq(found.made_at_ns, made[i].made_at_ns);
        cr_expect_eq(found.changed_at_ns, made[i].changed_at_ns);
        cr_expect_eq(found.qty, made[i].qty);
        cr_expect_eq(found.state, made[i].state);
        cr_expect_eq(found.sequence, made[i].sequence);
        if (i != 0)
            cr_expect_eq(made[i].lsn, made[i - 1].lsn + 1);
    }
}

/* After any end, what was not granted can be had by itself, and everything is as if it had never been
 * asked for. */
static void expect_end(uint32_t count, uint32_t granted)
{
    uint32_t log_count = rig.log_count;
    cr_expect_eq(burst(count), granted);
    cr_expect_eq(rig.log_count, log_count + granted);
    uint64_t digest = hf_rig_digest(&rig);
    cr_assert_null(hf_rig_recover(&rig, rig.log_count));
    cr_expect_eq(hf_rig_digest(&rig), digest);
}

/* An id that is known has its answer elsewhere. */
Test(burst, ends_before_a_known_id)
{
    cr_assert_eq(hf_rig_reserve(&rig, 3, 1, 103, 1), HF_GRANTED);
    for (uint32_t i = 0; i < 5; i++)
        ask(i, 1 + i, 1, 1);
    expect_end(5, 2);
    cr_expect_eq(hf_rig_state(&rig, 4), 0);
    cr_expect_eq(hf_rig_inventory(&rig, 1).available, UNITS - 3);
    for (uint32_t i = 3; i < 6; i++)
        cr_expect_eq(hf_rig_reserve(&rig, i, 1, 100 + i, 1), HF_GRANTED);
}

/* The same id twice among neighbours: the second is a repeat of the first. */
Test(burst, ends_before_an_id_that_is_in_it_already)
{
    ask(0, 1, 1, 1);
    ask(1, 2, 1, 1);
    ask(2, 1, 1, 1);
    ask(3, 3, 1, 1);
    expect_end(4, 2);
    cr_expect_eq(hf_rig_inventory(&rig, 1).available, UNITS - 2);
    cr_expect_eq(hf_rig_reserve(&rig, 1, 1, 101, 1), HF_GRANTED);
    cr_expect(rig.outcome.repeated);
}

Test(burst, ends_before_an_inventory_that_there_is_not)
{
    ask(0, 1, 1, 1);
    ask(1, 2, 99, 1);
    ask(2, 3, 1, 1);
    expect_end(3, 1);
}

Test(burst, ends_before_an_id_that_the_server_is_to_choose)
{
    ask(0, 1, 1, 1);
    ask(1, 2, 1, 1);
    memset(&requests[1].id, 0, sizeof requests[1].id);
    expect_end(2, 1);
}

/* The last unit, and what goes beyond it, is decided one by one; the chains and cells of a run that
 * was not had are free. */
Test(burst, leaves_the_last_unit_alone)
{
    ask(0, 1, 2, 1);
    ask(1, 2, 1, UNITS - 2);
    ask(2, 3, 1, 1);
    ask(3, 4, 1, 1);
    expect_end(4, 1); /* of inventory 1, all units are asked for */
    ask(0, 5, 1, UNITS - 1);
    ask(1, 6, 1, 1);
    expect_end(2, 0);
    expect_end(1, 1);
    cr_expect_eq(hf_rig_inventory(&rig, 1).available, 1);
    cr_expect_eq(hf_rig_reserve(&rig, 6, 1, 106, 1), HF_GRANTED);
    struct hf_image last = hf_rig_image(&rig, rig.log_count);
    cr_expect((last.notes.flags & HF_IMAGE_FLAG_SOLD_OUT) != 0);
    ask(0, 7, 1, 1);
    expect_end(1, 0);
}

/* An inventory with something to obey is none for bursts. */
Test(burst, ends_before_rules)
{
    cr_assert_eq(hf_rig_set_flags(&rig, 2, HF_INVENTORY_PAUSED, HF_INVENTORY_PAUSED), HF_SET);
    ask(0, 1, 1, 1);
    ask(1, 2, 2, 1);
    expect_end(2, 1);
    cr_expect_eq(hf_rig_inventory(&rig, 2).available, UNITS);
}

/* The waiting list of an inventory stands before them. */
Test(burst, ends_before_a_waiting_list)
{
    cr_assert_eq(hf_rig_set_one(&rig, 3, HF_SET_WAITING_LIMIT, 10), HF_SET);
    cr_assert_eq(hf_rig_reserve(&rig, 1, 3, 1, UNITS), HF_GRANTED);
    cr_assert_eq(hf_rig_join(&rig, 2, 3, 2, 5), HF_JOINED);
    ask(0, 3, 3, 1);
    expect_end(1, 0);
}

/* A full table ends a burst where it is full; each cell is taken once. */
Test(burst, ends_where_the_table_is_full)
{
    hf_rig_close(&rig);
    hf_rig_open_stocked(&rig, &(struct hf_rig_options){.max_reservations = 40}, 1, UNITS);
    uint32_t all = 0, granted;
    do { /* one that meets two ids of one chain ends there: the next goes on with the second */
        for (uint32_t i = 0; i < 16; i++)
            ask(i, 1 + all + i, 1, 1);
        granted = burst(16);
        all += granted;
    } while (granted != 0);
    cr_expect_eq(all, 40);
    cr_expect_eq(hf_rig_inventory(&rig, 1).available, UNITS - 40);
    cr_expect_eq(hf_rig_reserve(&rig, 500, 1, 1, 1), HF_RESERVATIONS_FULL);
}

/* Without room in the ring nothing is begun. */
Test(burst, needs_room_in_the_ring)
{
    hf_rig_close(&rig);
    hf_rig_open_stocked(
        &rig, &(struct hf_rig_options){.max_reservations = RESERVATIONS, .ring_slots = 64}, 1,
        UNITS);
    rig.holds_ring = true;
    uint32_t all = 0;
    for (uint32_t round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < 16; i++)
            ask(i, 1 + round * 16 + i, 1, 1);
        hf_actor_enter(&rig.actor);
        all += hf_engine_reserve_burst(&rig.actor, requests, 16, made);
        hf_actor_exit(&rig.actor);
    }
    cr_expect_eq(all, 64);
    cr_expect_eq(hf_rig_inventory(&rig, 1).available, UNITS - 64);
}

/* Bursts that get nothing, again and again, use up no cells. */
Test(burst, gives_cells_back)
{
    hf_rig_close(&rig);
    hf_rig_open_stocked(&rig, &(struct hf_rig_options){.max_reservations = 40}, 1, 20);
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < 16; i++)
            ask(i, 1 + round * 16 + i, 1, 20); /* all there is: never as a burst */
        cr_assert_eq(burst(16), 0);
    }
    for (uint32_t number = 1; number <= 20; number++)
        cr_assert_eq(hf_rig_reserve(&rig, number, 1, 1, 1), HF_GRANTED);
}

/* A burst that gets nothing takes its cells from two stocks, and another actor has what lies between
 * them: each goes back to where it came from, and no two reservations ever share one. */
Test(burst, gives_cells_back_to_the_stock_they_are_of)
{
    enum { ALL = 20, A_STOCK = 32, ROUNDS = 3 };
    struct hf_actor other;
    struct hf_outcome outcome;
    uint32_t number = 1;
    hf_rig_close(&rig);
    hf_rig_open_stocked(&rig, &(struct hf_rig_options){.max_reservations = RESERVATIONS}, 2, 1000);
    cr_assert_eq(hf_rig_set_one(&rig, 2, HF_SET_SELL_LIMIT, ALL), HF_SET);
    cr_assert_eq(hf_actor_init(&other, &rig.engine, &rig.ring), 0);
    other.now_ns = rig.actor.now_ns;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        /* Ours is used up but for a few, and the next is the other's. */
        while (rig.actor.allotment.end - rig.actor.allotment.next != 3)
            cr_assert_eq(hf_rig_reserve(&rig, number++, 1, 1, 1), HF_GRANTED);
        struct hf_reserve theirs = {
            .id = hf_id_of_number(number++), .inventory_id = 1, .customer_id = 1, .qty = 1};
        hf_actor_enter(&other);
        for (uint32_t taken = 0; taken == 0 || other.allotment.next != other.allotment.end;
             taken++) {
            hf_engine_reserve(&other, &theirs, &outcome);
            cr_assert_eq(outcome.result, HF_GRANTED);
            theirs.id = hf_id_of_number(number++);
        }
        hf_actor_exit(&other);
        hf_rig_drain(&rig);
        for (uint32_t i = 0; i < 16; i++)
            ask(i, 100000 + i, 2, ALL); /* all there is: never as a burst */
        cr_assert_eq(burst(16), 0);
        for (uint32_t i = 0; i < 2 * A_STOCK; i++)
            cr_assert_eq(hf_rig_reserve(&rig, number++, 1, 1, 1), HF_GRANTED);
    }
    hf_actor_close(&other);
    uint32_t granted = 1000 - (uint32_t)hf_rig_inventory(&rig, 1).available, found = 0;
    for (uint32_t i = 1; i < number; i++)
        found += hf_rig_state(&rig, i) == HF_STATE_CONFIRMED;
    cr_expect_eq(found, granted, "each has a cell of its own");
}

/* ---- refusals ---- */

static struct hf_availability left[HF_BURST_MAX];

static uint32_t refuse(uint32_t count)
{
    uint32_t log_count = rig.log_count;
    uint64_t digest = hf_rig_digest(&rig);
    hf_actor_enter(&rig.actor);
    uint32_t refused = hf_engine_refuse_burst(&rig.actor, requests, count, left);
    hf_actor_exit(&rig.actor);
    hf_rig_drain(&rig);
    cr_expect_eq(rig.log_count, log_count, "a refusal is never logged");
    cr_expect_eq(hf_rig_digest(&rig), digest, "and changes nothing");
    return refused;
}

static enum hf_claim weigh_first(void)
{
    return hf_engine_weigh_burst(&rig.actor, requests);
}

static void sell_out(uint64_t inventory_id, uint32_t but)
{
    cr_assert_eq(hf_rig_reserve(&rig, 1000 + (uint32_t)inventory_id, inventory_id, 1, UNITS - but),
                 HF_GRANTED);
}

/* Inventories and quantities change on the way: each is told what a single refusal is told. */
Test(burst, refuses_as_single_refusals_do)
{
    sell_out(1, 0);
    sell_out(2, 3);
    sell_out(3, 1);
    for (uint32_t i = 0; i < HF_BURST_MAX; i++)
        ask(i, 1 + i, 1 + i / 3 % 3, i / 3 % 3 == 0 ? 1 + i % 2 : 4 + i % 3);
    cr_expect_eq(weigh_first(), HF_CLAIM_TOO_FEW);
    cr_assert_eq(refuse(HF_BURST_MAX), HF_BURST_MAX);
    for (uint32_t i = 0; i < HF_BURST_MAX; i++) {
        cr_expect_eq(hf_rig_reserve(&rig, 1 + i, requests[i].inventory_id, 1, requests[i].qty),
                     HF_SOLD_OUT);
        cr_expect_eq(left[i].available, rig.outcome.availability.available);
        cr_expect_eq(left[i].version, rig.outcome.availability.version);
    }
    cr_expect_eq(left[3].available, 3);
}

/* Units that are there are not denied, whoever was refused just before. */
Test(burst, refuses_nobody_behind_one_who_can_be_granted)
{
    sell_out(1, 2);
    ask(0, 1, 1, 3);
    ask(1, 2, 1, 3);
    ask(2, 3, 1, 2); /* the same inventory, and two are left */
    ask(3, 4, 1, 3);
    cr_expect_eq(refuse(4), 2);
    sell_out(2, 0);
    ask(0, 1, 2, 1);
    ask(1, 2, 3, 1);
    cr_expect_eq(refuse(2), 1);
    ask(0, 1, 3, 1);
    cr_expect_eq(weigh_first(), HF_CLAIM_DONE);
    cr_expect_eq(refuse(1), 0);
}

/* A grant that exists is never denied: its id is answered by itself. */
Test(burst, refuses_no_id_that_is_known)
{
    cr_assert_eq(hf_rig_reserve(&rig, 3, 1, 102, 1), HF_GRANTED);
    sell_out(1, 1);
    for (uint32_t i = 0; i < 5; i++)
        ask(i, 1 + i, 1, 1);
    cr_expect_eq(refuse(5), 2);
    cr_expect_eq(hf_rig_reserve(&rig, 3, 1, 102, 1), HF_GRANTED);
    cr_expect(rig.outcome.repeated);
}

/* Somebody is deciding about that very id, and may have the units that are missing. */
Test(burst, refuses_no_id_that_is_being_decided)
{
    struct hf_region *region = &rig.engine.region;
    struct hf_chain chain;
    struct hf_reservation_cell *known;
    sell_out(1, 0);
    for (uint32_t i = 0; i < 3; i++)
        ask(i, 1 + i, 1, 1);
    cr_assert_eq(hf_table_take(region, &requests[1].id,
                               hf_hash_id(&requests[1].id, region->header->hash_seed), &chain,
                               &known),
                 HF_LOOKUP_ABSENT);
    cr_expect_eq(refuse(3), 1);
    hf_chain_leave(&chain);
    cr_expect_eq(refuse(3), 3);
}

/* What is not plain is looked at closely: rules, holds that may have lapsed, a waiting list, ids that the
 * server is to choose, inventories that there are not. */
Test(burst, refuses_nothing_that_is_involved)
{
    for (uint64_t inventory = 1; inventory <= 3; inventory++)
        sell_out(inventory, 1);
    cr_assert_eq(hf_rig_reserve(&rig, 900, 1, 1, 1), HF_GRANTED);
    cr_assert_eq(hf_rig_hold(&rig, 901, 2, 1, 1, HF_RIG_S), HF_GRANTED);
    cr_assert_eq(hf_rig_set_flags(&rig, 3, HF_INVENTORY_PAUSED, HF_INVENTORY_PAUSED), HF_SET);
    for (uint32_t other = 2; other <= 5; other++) {
        ask(0, 1, 1, 1);
        ask(1, 2, other == 5 ? 99 : other, other == 4 ? 2 * UNITS : 2);
        cr_expect_eq(refuse(2), other == 4 ? 2 : 1, "inventory %u", other);
        ask(0, 1, other == 5 ? 99 : other, other == 4 ? 2 * UNITS : 2);
        cr_expect_eq(weigh_first(), other == 4 ? HF_CLAIM_TOO_FEW : HF_CLAIM_INVOLVED);
        cr_expect_eq(refuse(1), other == 4 ? 1 : 0);
    }
    ask(0, 1, 1, 1);
    memset(&requests[0].id, 0, sizeof requests[0].id);
    cr_expect_eq(refuse(1), 0);
    cr_assert_eq(hf_rig_set_one(&rig, 1, HF_SET_WAITING_LIMIT, 10), HF_SET);
    cr_assert_eq(hf_rig_join(&rig, 902, 1, 2, 5), HF_JOINED);
    ask(0, 1, 1, 1);
    cr_expect_eq(refuse(1), 0);
}
