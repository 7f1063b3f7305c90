/* The engine: every result of each operation, and what stands in the log afterwards. */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/hash.h"
#include "engine/image.h"
#include "engine/resolve.h"
#include "tests/lib/stress.h"

#define SLOTS 128u

static struct hf_engine engine;
static struct hf_ring ring;
static struct hf_actor actor;
static struct hf_outcome outcome;

static void open_sized(uint32_t max_inventories, uint32_t max_reservations, uint32_t slots)
{
    struct hf_region region;
    cr_assert_eq(hf_region_create(&region, max_inventories, max_reservations), 0);
    cr_assert_eq(hf_ring_init(&ring, slots, 1), 0);
    cr_assert_eq(hf_engine_init(&engine, &region, HF_DEFAULT_RETAIN_NS, 1000), 0);
    cr_assert_eq(hf_actor_init(&actor, &engine, &ring), 0);
    actor.now_ns = 1000;
    hf_actor_enter(&actor);
}

static void close_engine(void)
{
    hf_actor_exit(&actor);
    hf_actor_close(&actor);
    cr_expect_eq(hf_load_relaxed(&ring.credited), hf_load_relaxed(&ring.tail));
    hf_engine_close(&engine);
    hf_region_close(&engine.region);
    hf_ring_close(&ring);
}

TestSuite(engine, .fini = close_engine);

/* Inventory 1 with 5 units, inventory 2 with 1. */
static void open_usual(void)
{
    open_sized(4, 100, SLOTS);
    hf_engine_create_inventory(&actor, 1, 11, 5, &outcome);
    cr_assert_eq(outcome.result, HF_CREATED);
    hf_engine_create_inventory(&actor, 2, 22, 1, &outcome);
    cr_assert_eq(outcome.result, HF_CREATED);
}

static unsigned reserve(uint32_t number, uint64_t inventory_id, uint64_t customer_id, uint32_t qty)
{
    struct hf_reserve request = {.id = hf_id_of_number(number),
                                 .inventory_id = inventory_id,
                                 .customer_id = customer_id,
                                 .qty = qty};
    hf_engine_reserve(&actor, &request, &outcome);
    return outcome.result;
}

static unsigned cancel(uint32_t number)
{
    struct hf_id id = hf_id_of_number(number);
    hf_engine_resolve(&actor, HF_OP_CANCEL, &id, &outcome);
    return outcome.result;
}

static unsigned get(uint32_t number)
{
    struct hf_id id = hf_id_of_number(number);
    hf_engine_get(&actor, &id, &outcome);
    return outcome.result;
}

static void expect_inventory(uint64_t inventory_id, int32_t available, uint32_t version)
{
    struct hf_outcome told;
    hf_engine_get_inventory(&actor, inventory_id, &told);
    cr_assert_eq(told.result, HF_FOUND);
    cr_expect_eq(told.wait_for_lsn, 0, "availability is told at once");
    cr_expect_eq(told.inventory.available, available, "inventory %lu: %d, not %d",
                 (unsigned long)inventory_id, told.inventory.available, available);
    cr_expect_eq(told.inventory.version, version, "inventory %lu: version %u, not %u",
                 (unsigned long)inventory_id, told.inventory.version, version);
}

static uint64_t newest_lsn(void)
{
    return hf_load_relaxed(&ring.tail) - 1;
}

/* The newest record, which must be published. */
static struct hf_image newest_image(void)
{
    struct hf_image image;
    uint64_t lsn = newest_lsn();
    const struct hf_ring_slot *slot = &ring.slots[lsn & (ring.slot_count - 1)];
    cr_assert_eq(hf_load_acquire(&slot->lsn), lsn);
    cr_assert_null(hf_image_decode((const uint8_t *)slot, &image));
    return image;
}

static void drain_all(void)
{
    static uint8_t records[SLOTS * HF_RECORD_BYTES];
    hf_ring_drain(&ring, records, hf_ring_published(&ring, SLOTS));
}

/* ---- reserve ---- */

Test(engine, a_grant_is_told_as_it_is_logged)
{
    open_usual();
    cr_assert_eq(reserve(7, 1, 70, 3), HF_GRANTED);
    const struct hf_reservation *made = &outcome.reservation;
    struct hf_id id = hf_id_of_number(7);
    cr_expect_not(outcome.repeated);
    cr_expect_eq(outcome.field, HF_FIELD_NONE);
    cr_expect_eq(outcome.wait_for_lsn, 3, "after the two inventories");
    cr_expect(hf_id_equal(&made->id, &id));
    cr_expect_eq(made->inventory_id, 1);
    cr_expect_eq(made->customer_id, 70);
    cr_expect_eq(made->qty, 3);
    cr_expect_eq(made->sequence, 1);
    cr_expect_eq(made->state, HF_STATE_CONFIRMED);
    cr_expect_eq(made->made_at_ns, 1000);
    cr_expect_eq(made->changed_at_ns, 1000);
    cr_expect_eq(made->lsn, 3);
    expect_inventory(1, 2, 2);

    struct hf_image image = newest_image();
    cr_expect_eq(image.kind, HF_IMAGE_RESERVATION);
    cr_expect_eq(image.notes.inventory_version, 2, "the version that the claim produced");
    cr_expect_eq(image.reservation.qty, 3);
    cr_expect_eq(image.reservation.customer_id, 70);
    cr_expect_eq(image.reservation.state, HF_STATE_CONFIRMED);
    cr_expect(hf_id_equal(&image.reservation.id, &id));
    cr_expect_eq(hf_load_relaxed(&actor.made), 1);
}

Test(engine, a_refusal_for_want_of_units_changes_nothing_and_is_told_at_once)
{
    open_usual();
    cr_assert_eq(reserve(7, 1, 70, 3), HF_GRANTED);
    uint64_t lsn = newest_lsn();
    cr_expect_eq(reserve(8, 1, 70, 3), HF_SOLD_OUT);
    cr_expect_eq(outcome.wait_for_lsn, 0);
    cr_expect_eq(outcome.availability.available, 2);
    cr_expect_eq(outcome.availability.version, 2);
    cr_expect_eq(newest_lsn(), lsn, "a refusal is never logged");
    cr_expect_eq(get(8), HF_NOT_FOUND, "nor stored");
    cr_expect_eq(reserve(8, 1, 70, 2), HF_GRANTED, "and its id is free");
    expect_inventory(1, 0, 3);
    cr_expect_eq(reserve(9, 1, 70, 1), HF_SOLD_OUT);
}

Test(engine, units_of_an_inventory_that_does_not_exist)
{
    open_usual();
    cr_expect_eq(reserve(7, 99, 70, 1), HF_UNKNOWN_INVENTORY);
    cr_expect_eq(outcome.field, HF_FIELD_INVENTORY_ID);
    cr_expect_eq(outcome.wait_for_lsn, 0);
    cr_expect_eq(newest_lsn(), 2);
}

Test(engine, the_same_request_again_gets_the_first_answer_also_when_sold_out)
{
    open_usual();
    cr_assert_eq(reserve(7, 2, 70, 1), HF_GRANTED);
    struct hf_outcome first = outcome;
    actor.now_ns = 2000;
    cr_expect_eq(reserve(7, 2, 70, 1), HF_GRANTED);
    cr_expect(outcome.repeated);
    cr_expect_eq(outcome.wait_for_lsn, first.wait_for_lsn);
    cr_expect_eq(outcome.reservation.made_at_ns, 1000);
    cr_expect_eq(outcome.reservation.lsn, first.reservation.lsn);
    cr_expect_eq(outcome.reservation.inventory_id, 2);
    cr_expect_eq(newest_lsn(), 3);
    expect_inventory(2, 0, 2);
}

Test(engine, the_same_request_after_the_cancel_tells_that_it_was_granted_and_is_cancelled)
{
    open_usual();
    cr_assert_eq(reserve(7, 1, 70, 1), HF_GRANTED);
    cr_assert_eq(cancel(7), HF_CANCELLED);
    cr_expect_eq(reserve(7, 1, 70, 1), HF_GRANTED);
    cr_expect(outcome.repeated);
    cr_expect_eq(outcome.reservation.state, HF_STATE_CANCELLED);
    cr_expect_eq(outcome.wait_for_lsn, 4, "the cancel's LSN: the answer reveals it");
    expect_inventory(1, 5, 3);
}

Test(engine, other_parameters_under_a_known_id_are_named_the_inventory_first)
{
    open_usual();
    cr_assert_eq(reserve(7, 1, 70, 2), HF_GRANTED);
    static const struct {
        uint64_t inventory_id, customer_id;
        uint32_t qty;
        enum hf_field field;
    } cases[] = {
        {1, 70, 3, HF_FIELD_QTY},           {1, 71, 2, HF_FIELD_CUSTOMER_ID},
        {1, 71, 3, HF_FIELD_CUSTOMER_ID},   {2, 71, 3, HF_FIELD_INVENTORY_ID},
        {99, 70, 2, HF_FIELD_INVENTORY_ID}, /* that does not exist */
        {1, 70, 5, HF_FIELD_QTY},           /* more than is there */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(reserve(7, cases[i].inventory_id, cases[i].customer_id, cases[i].qty),
                     HF_ID_REUSED, "case %zu: %s", i, hf_result_name(outcome.result));
        cr_expect_eq(outcome.field, cases[i].field, "case %zu: %s", i,
                     hf_field_name(outcome.field));
        cr_expect_eq(outcome.wait_for_lsn, 3, "it reveals that the reservation exists");
    }
    expect_inventory(1, 3, 2);
    cr_expect_eq(newest_lsn(), 3);
}

Test(engine, a_request_without_an_id_gets_one)
{
    open_usual();
    struct hf_reserve request = {.inventory_id = 1, .customer_id = 70, .qty = 1};
    hf_engine_reserve(&actor, &request, &outcome);
    cr_assert_eq(outcome.result, HF_GRANTED);
    struct hf_id first = outcome.reservation.id;
    cr_expect_not(hf_id_is_zero(&first));
    hf_engine_reserve(&actor, &request, &outcome);
    cr_assert_eq(outcome.result, HF_GRANTED);
    cr_expect_not(hf_id_equal(&first, &outcome.reservation.id));
    hf_engine_get(&actor, &first, &outcome);
    cr_expect_eq(outcome.result, HF_FOUND);
}

Test(engine, the_table_takes_exactly_as_many_reservations_as_it_has_room_for)
{
    open_sized(1, 40, 256);
    hf_engine_create_inventory(&actor, 1, 1, 40, &outcome);
    for (uint32_t number = 0; number < 40; number++)
        cr_assert_eq(reserve(number, 1, 1, 1), HF_GRANTED);
    cr_assert_eq(cancel(3), HF_CANCELLED);
    uint64_t lsn = newest_lsn();
    cr_expect_eq(reserve(40, 1, 1, 1), HF_RESERVATIONS_FULL, "a cancelled one is kept");
    cr_expect_eq(outcome.wait_for_lsn, 0);
    expect_inventory(1, 1, 42);
    cr_expect_eq(newest_lsn(), lsn);
    cr_expect_eq(get(40), HF_NOT_FOUND, "its chain was left");
    cr_expect_eq(reserve(5, 1, 1, 1), HF_GRANTED, "repeats are answered");
    cr_expect(outcome.repeated);
    cr_expect_eq(reserve(40, 1, 1, 2), HF_SOLD_OUT, "and refusals are");
}

/* ---- cancel and get ---- */

Test(engine, a_cancel_gives_the_units_back_once_and_is_logged_with_its_date)
{
    open_usual();
    cr_assert_eq(reserve(7, 1, 70, 2), HF_GRANTED);
    actor.now_ns = 3000;
    cr_assert_eq(cancel(7), HF_CANCELLED);
    cr_expect_not(outcome.repeated);
    cr_expect_eq(outcome.wait_for_lsn, 4);
    cr_expect_eq(outcome.reservation.state, HF_STATE_CANCELLED);
    cr_expect_eq(outcome.reservation.sequence, 2);
    cr_expect_eq(outcome.reservation.made_at_ns, 1000);
    cr_expect_eq(outcome.reservation.changed_at_ns, 3000);
    cr_expect_eq(outcome.reservation.inventory_id, 1);
    cr_expect_eq(outcome.reservation.customer_id, 70);
    expect_inventory(1, 5, 3);
    struct hf_image image = newest_image();
    cr_expect_eq(image.reservation.state, HF_STATE_CANCELLED);
    cr_expect_eq(image.reservation.sequence, 2);
    cr_expect_eq(image.reservation.changed_at_ns, 3000);
    cr_expect_eq(image.notes.inventory_version, 2, "a version before it");

    actor.now_ns = 4000;
    cr_expect_eq(cancel(7), HF_CANCELLED, "again");
    cr_expect(outcome.repeated);
    cr_expect_eq(outcome.wait_for_lsn, 4);
    cr_expect_eq(outcome.reservation.changed_at_ns, 3000);
    expect_inventory(1, 5, 3);
    cr_expect_eq(newest_lsn(), 4);
    cr_expect_eq(reserve(8, 1, 71, 5), HF_GRANTED, "they can be had at once");
}

Test(engine, a_cancel_whose_batch_began_before_the_grants_does_not_go_back_in_time)
{
    open_usual();
    actor.now_ns = 5000;
    cr_assert_eq(reserve(7, 1, 70, 1), HF_GRANTED);
    actor.now_ns = 4000;
    cr_assert_eq(cancel(7), HF_CANCELLED);
    cr_expect_eq(outcome.reservation.changed_at_ns, 5000);
}

Test(engine, cancel_and_get_of_an_id_that_nobody_was_granted)
{
    open_usual();
    cr_expect_eq(cancel(7), HF_NOT_FOUND);
    cr_expect_eq(outcome.field, HF_FIELD_RESERVATION_ID);
    cr_expect_eq(outcome.wait_for_lsn, 0);
    cr_expect_eq(get(7), HF_NOT_FOUND);
    cr_expect_eq(outcome.field, HF_FIELD_RESERVATION_ID);
    cr_expect_eq(newest_lsn(), 2);
}

Test(engine, get_tells_the_newest_state_and_its_lsn)
{
    open_usual();
    cr_assert_eq(reserve(7, 1, 70, 2), HF_GRANTED);
    cr_expect_eq(get(7), HF_FOUND);
    cr_expect_eq(outcome.wait_for_lsn, 3);
    cr_expect_eq(outcome.reservation.state, HF_STATE_CONFIRMED);
    cr_expect_eq(outcome.reservation.qty, 2);
    cr_expect_eq(outcome.reservation.inventory_id, 1);
    cr_assert_eq(cancel(7), HF_CANCELLED);
    cr_expect_eq(get(7), HF_FOUND);
    cr_expect_eq(outcome.wait_for_lsn, 4);
    cr_expect_eq(outcome.reservation.state, HF_STATE_CANCELLED);
}

/* ---- put aside ---- */

Test(engine, with_a_full_ring_everything_that_would_be_logged_is_put_aside_undone)
{
    open_sized(4, 100, 8);
    hf_engine_create_inventory(&actor, 1, 1, 100, &outcome);
    for (uint32_t number = 0; number < 7; number++)
        cr_assert_eq(reserve(number, 1, 1, 1), HF_GRANTED);
    cr_expect_eq(reserve(7, 1, 1, 1), HF_PUT_ASIDE_LOG_FULL);
    cr_expect(hf_outcome_put_aside(&outcome));
    cr_expect_eq(cancel(0), HF_PUT_ASIDE_LOG_FULL);
    hf_engine_create_inventory(&actor, 2, 1, 1, &outcome);
    cr_expect_eq(outcome.result, HF_PUT_ASIDE_LOG_FULL);
    expect_inventory(1, 93, 8);
    cr_expect_eq(newest_lsn(), 8);
    cr_expect_eq(get(7), HF_NOT_FOUND, "the chain was left");
    cr_expect_eq(get(0), HF_FOUND);
    cr_expect_eq(outcome.reservation.state, HF_STATE_CONFIRMED);
    cr_expect_eq(reserve(1, 1, 1, 1), HF_GRANTED, "what needs no record is answered");
    cr_expect(outcome.repeated);
    cr_expect_eq(reserve(1, 1, 1, 2), HF_ID_REUSED);
    cr_expect_eq(reserve(8, 1, 1, 99), HF_SOLD_OUT);

    drain_all();
    cr_expect_eq(reserve(7, 1, 1, 1), HF_GRANTED);
    cr_expect_not(outcome.repeated);
    cr_expect_eq(cancel(0), HF_CANCELLED);
    cr_expect_not(outcome.repeated);
    hf_engine_create_inventory(&actor, 2, 1, 1, &outcome);
    cr_expect_eq(outcome.result, HF_CREATED);
    cr_expect_not(outcome.repeated);
}

Test(engine, while_another_decides_about_the_id_everything_about_it_is_put_aside)
{
    open_usual();
    struct hf_region *region = &engine.region;
    struct hf_id id = hf_id_of_number(7);
    struct hf_chain chain;
    struct hf_reservation_cell *cell;
    cr_assert_eq(
        hf_table_take(region, &id, hf_hash_id(&id, region->header->hash_seed), &chain, &cell),
        HF_LOOKUP_ABSENT);
    cr_expect_eq(reserve(7, 1, 70, 1), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(reserve(7, 1, 70, 9), HF_PUT_ASIDE_BUSY, "a refusal could deny its grant");
    cr_expect_eq(reserve(7, 99, 70, 1), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(cancel(7), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(get(7), HF_PUT_ASIDE_BUSY);
    expect_inventory(1, 5, 1);
    hf_chain_leave(&chain);
    cr_expect_eq(reserve(7, 1, 70, 1), HF_GRANTED);
}

Test(engine, a_reservation_whose_image_has_no_lsn_yet_puts_everything_about_it_aside)
{
    open_usual();
    cr_assert_eq(reserve(7, 1, 70, 1), HF_GRANTED);
    struct hf_id id = hf_id_of_number(7);
    struct hf_reservation_cell *cell;
    hf_table_find(&engine.region, &id, hf_hash_id(&id, engine.region.header->hash_seed), &cell);
    uint64_t word = hf_load_relaxed(&cell->word);
    hf_store_relaxed(&cell->word, word | HF_WORD_MARKED);
    cr_expect_eq(reserve(7, 1, 70, 1), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(cancel(7), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(get(7), HF_PUT_ASIDE_BUSY);
    cr_expect_eq(hf_load_relaxed(&cell->word), word | HF_WORD_MARKED);
    hf_store_relaxed(&cell->word, word);
    cr_expect_eq(cancel(7), HF_CANCELLED);
}

/* ---- inventories ---- */

Test(engine, an_inventory_is_created_once_and_told_again)
{
    open_sized(4, 10, SLOTS);
    hf_engine_create_inventory(&actor, 5, 50, 500, &outcome);
    cr_assert_eq(outcome.result, HF_CREATED);
    cr_expect_not(outcome.repeated);
    cr_expect_eq(outcome.wait_for_lsn, 1);
    cr_expect_eq(outcome.inventory.inventory_id, 5);
    cr_expect_eq(outcome.inventory.product_id, 50);
    cr_expect_eq(outcome.inventory.capacity, 500);
    cr_expect_eq(outcome.inventory.sell_limit, 500);
    cr_expect_eq(outcome.inventory.available, 500);
    cr_expect_eq(outcome.inventory.confirmed, 0);
    cr_expect_eq(outcome.inventory.version, 1);
    cr_expect_eq(outcome.inventory.lsn, 1);
    struct hf_image image = newest_image();
    cr_expect_eq(image.kind, HF_IMAGE_INVENTORY);
    cr_expect_eq(image.inventory_sequence, 1);
    cr_expect_eq(image.inventory.sell_limit, 500);
    cr_expect_eq(image.inventory.made_at_ns, 1000);

    cr_assert_eq(reserve(1, 5, 1, 3), HF_GRANTED);
    hf_engine_create_inventory(&actor, 5, 50, 500, &outcome);
    cr_expect_eq(outcome.result, HF_CREATED);
    cr_expect(outcome.repeated);
    cr_expect_eq(outcome.wait_for_lsn, 1);
    cr_expect_eq(outcome.inventory.available, 497);
    cr_expect_eq(outcome.inventory.confirmed, 3);
    cr_expect_eq(newest_lsn(), 2);
}

Test(engine, an_inventory_that_exists_with_other_parameters_is_named_the_product_first)
{
    open_sized(4, 10, SLOTS);
    hf_engine_create_inventory(&actor, 5, 50, 500, &outcome);
    hf_engine_create_inventory(&actor, 5, 51, 501, &outcome);
    cr_expect_eq(outcome.result, HF_INVENTORY_EXISTS);
    cr_expect_eq(outcome.field, HF_FIELD_PRODUCT_ID);
    cr_expect_eq(outcome.wait_for_lsn, 1);
    hf_engine_create_inventory(&actor, 5, 50, 501, &outcome);
    cr_expect_eq(outcome.result, HF_INVENTORY_EXISTS);
    cr_expect_eq(outcome.field, HF_FIELD_CAPACITY);
    cr_expect_eq(newest_lsn(), 1);
}

Test(engine, there_are_exactly_as_many_inventories_as_there_is_room_for)
{
    open_sized(3, 10, SLOTS);
    for (uint64_t id = 1; id <= 3; id++) {
        hf_engine_create_inventory(&actor, id, 1, 1, &outcome);
        cr_assert_eq(outcome.result, HF_CREATED);
    }
    hf_engine_create_inventory(&actor, 4, 1, 1, &outcome);
    cr_expect_eq(outcome.result, HF_INVENTORIES_FULL);
    cr_expect_eq(newest_lsn(), 3);
    hf_engine_create_inventory(&actor, 2, 1, 1, &outcome);
    cr_expect_eq(outcome.result, HF_CREATED, "one that exists is told all the same");
    cr_expect(outcome.repeated);
    hf_engine_get_inventory(&actor, 4, &outcome);
    cr_expect_eq(outcome.result, HF_UNKNOWN_INVENTORY);
    cr_expect_eq(outcome.field, HF_FIELD_INVENTORY_ID);
}

Test(engine, while_another_creates_an_inventory_creating_is_put_aside)
{
    open_sized(3, 10, SLOTS);
    cr_assert(hf_region_begin_create(&engine.region));
    hf_engine_create_inventory(&actor, 1, 1, 1, &outcome);
    cr_expect_eq(outcome.result, HF_PUT_ASIDE_BUSY);
    hf_region_end_create(&engine.region);
    hf_engine_create_inventory(&actor, 1, 1, 1, &outcome);
    cr_expect_eq(outcome.result, HF_CREATED);
    cr_expect(hf_region_begin_create(&engine.region), "the right was given back");
}

Test(engine, the_largest_inventory_can_be_had_at_once_and_given_back)
{
    open_sized(1, 10, SLOTS);
    hf_engine_create_inventory(&actor, UINT64_MAX, UINT64_MAX, HF_MAX_UNITS, &outcome);
    cr_assert_eq(outcome.result, HF_CREATED);
    cr_expect_eq(reserve(1, UINT64_MAX, UINT64_MAX, HF_MAX_UNITS), HF_GRANTED);
    expect_inventory(UINT64_MAX, 0, 2);
    cr_expect_eq(cancel(1), HF_CANCELLED);
    expect_inventory(UINT64_MAX, (int32_t)HF_MAX_UNITS, 3);
}

Test(engine, inventories_are_listed_in_the_order_of_creation_page_by_page)
{
    static const uint64_t ids[] = {30, 10, 20, 50, 40};
    struct hf_inventory listed[8];
    uint32_t next;
    open_sized(8, 10, SLOTS);
    cr_expect_eq(hf_engine_list_inventories(&actor, 0, 8, listed, &next), 0, "none yet");
    cr_expect_eq(next, 0);
    for (size_t i = 0; i < 5; i++)
        hf_engine_create_inventory(&actor, ids[i], ids[i] + 1, 7, &outcome);
    uint32_t from = 0, seen = 0;
    static const uint32_t pages[] = {2, 2, 1};
    for (size_t page = 0; page < 3; page++) {
        uint32_t count = hf_engine_list_inventories(&actor, from, 2, listed, &next);
        cr_assert_eq(count, pages[page]);
        for (uint32_t i = 0; i < count; i++, seen++) {
            cr_expect_eq(listed[i].inventory_id, ids[seen]);
            cr_expect_eq(listed[i].product_id, ids[seen] + 1);
            cr_expect_eq(listed[i].lsn, seen + 1);
        }
        from = next;
    }
    cr_expect_eq(next, 0, "these were the last");
    cr_expect_eq(hf_engine_list_inventories(&actor, 0, 5, listed, &next), 5);
    cr_expect_eq(next, 0, "a page that ends with the last one is the last");
    cr_expect_eq(hf_engine_list_inventories(&actor, 9, 5, listed, &next), 0, "beyond the end");
    cr_expect_eq(next, 0);
}
