/* The table: one thread plays several, step by step. */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/hash.h"
#include "engine/table.h"
#include "tests/lib/stress.h"

static struct hf_region region;
static struct hf_allotment stock;

static void open_table(uint32_t max_reservations)
{
    stock = (struct hf_allotment){0};
    cr_assert_eq(hf_region_create(&region, 1, max_reservations), 0);
}

static void close_table(void)
{
    hf_region_close(&region);
}

TestSuite(table, .fini = close_table);

static uint64_t hash_of(uint32_t number)
{
    struct hf_id id = hf_id_of_number(number);
    return hf_hash_id(&id, region.header->hash_seed);
}

static enum hf_lookup find(uint32_t number, struct hf_reservation_cell **cell)
{
    struct hf_id id = hf_id_of_number(number);
    return hf_table_find(&region, &id, hash_of(number), cell);
}

static enum hf_lookup take(uint32_t number, struct hf_chain *chain)
{
    struct hf_id id = hf_id_of_number(number);
    struct hf_reservation_cell *cell;
    return hf_table_take(&region, &id, hash_of(number), chain, &cell);
}

static struct hf_reservation_cell *insert(struct hf_chain *chain, uint32_t number)
{
    struct hf_id id = hf_id_of_number(number);
    cr_assert(hf_cells_allot(&region, &stock));
    struct hf_reservation_cell *cell = hf_cells_next(&region, &stock);
    cr_assert_eq(hf_load_relaxed(&cell->word), 0, "a free cell");
    memcpy(cell->id, id.bytes, sizeof cell->id);
    hf_store_relaxed(&cell->word, hf_reservation_word(HF_STATE_CONFIRMED, 1, 1));
    hf_chain_insert(chain, &region, &stock);
    return cell;
}

Test(table, what_was_inserted_is_found_and_nothing_else)
{
    struct hf_chain chain;
    struct hf_reservation_cell *cell;
    open_table(100);
    cr_expect_eq(find(1, &cell), HF_LOOKUP_ABSENT);
    cr_assert_eq(take(1, &chain), HF_LOOKUP_ABSENT);
    struct hf_reservation_cell *inserted = insert(&chain, 1);
    cr_expect_eq(find(1, &cell), HF_LOOKUP_FOUND);
    cr_expect_eq(cell, inserted);
    cr_expect_eq(find(2, &cell), HF_LOOKUP_ABSENT);
}

Test(table, a_taken_chain_puts_lookups_and_takers_aside_until_it_is_left)
{
    struct hf_chain chain, other;
    struct hf_reservation_cell *cell;
    open_table(100);
    cr_assert_eq(take(1, &chain), HF_LOOKUP_ABSENT);
    cr_expect_eq(find(1, &cell), HF_LOOKUP_TAKEN);
    cr_expect_eq(take(1, &other), HF_LOOKUP_TAKEN);
    hf_chain_leave(&chain);
    cr_expect_eq(find(1, &cell), HF_LOOKUP_ABSENT);
    cr_assert_eq(take(1, &other), HF_LOOKUP_ABSENT);
    insert(&other, 1);
    cr_expect_eq(find(1, &cell), HF_LOOKUP_FOUND);
    cr_expect_eq(take(1, &chain), HF_LOOKUP_FOUND, "a known id is not taken");
    cr_expect_eq(find(1, &cell), HF_LOOKUP_FOUND, "and its chain is left alone");
}

Test(table, strangers_share_a_chain_and_all_are_found)
{
    struct hf_chain chain, other;
    struct hf_reservation_cell *cell;
    open_table(100);
    region.header->index_count = 1;
    for (uint32_t number = 0; number < 50; number++) {
        cr_assert_eq(take(number, &chain), HF_LOOKUP_ABSENT);
        cr_expect_eq(take(number + 1, &other), HF_LOOKUP_TAKEN, "a stranger's decision");
        cr_expect_eq(find(0, &cell), HF_LOOKUP_TAKEN);
        insert(&chain, number);
    }
    for (uint32_t number = 0; number < 50; number++) {
        struct hf_id id = hf_id_of_number(number);
        cr_expect_eq(find(number, &cell), HF_LOOKUP_FOUND);
        cr_expect_arr_eq(cell->id, id.bytes, sizeof id.bytes);
    }
    cr_expect_eq(find(50, &cell), HF_LOOKUP_ABSENT);
}

Test(table, it_is_full_after_exactly_as_many_cells_as_it_has)
{
    struct hf_chain chain;
    struct hf_reservation_cell *cell;
    open_table(77); /* no multiple of the rows in which cells are allotted */
    for (uint32_t number = 0; number < 77; number++) {
        cr_assert_eq(take(number, &chain), HF_LOOKUP_ABSENT);
        insert(&chain, number);
    }
    cr_expect_not(hf_cells_allot(&region, &stock));
    cr_expect_eq(hf_cells_allotted(&region), 77);
    cr_expect_eq(find(76, &cell), HF_LOOKUP_FOUND);
}

Test(table, two_stocks_never_hold_the_same_cell)
{
    struct hf_allotment other = {0};
    open_table(100);
    cr_assert(hf_cells_allot(&region, &stock));
    cr_assert(hf_cells_allot(&region, &other));
    cr_expect(stock.end <= other.next || other.end <= stock.next);
    cr_expect_geq(stock.next, 1, "cell 0 stands for none");
    struct hf_allotment before = stock;
    cr_assert(hf_cells_allot(&region, &stock));
    cr_expect_eq(stock.next, before.next, "a stock that is not empty is kept");
}

/* Actors come and go, each inserts one reservation and gives back the rest of its stock. */
Test(table, cells_that_were_given_back_are_allotted_again)
{
    open_table(100);
    for (uint32_t number = 1; number <= 100; number++) {
        struct hf_chain chain;
        cr_assert_eq(take(number, &chain), HF_LOOKUP_ABSENT);
        insert(&chain, number);
        hf_cells_return(&region, &stock);
    }
    cr_expect_not(hf_cells_allot(&region, &stock));
    for (uint32_t number = 1; number <= 100; number++) {
        struct hf_reservation_cell *cell;
        cr_expect_eq(find(number, &cell), HF_LOOKUP_FOUND);
    }
}

/* ---- the filter ---- */

static void take_out(uint32_t number)
{
    struct hf_reservation_cell *cell;
    struct hf_chain chain;
    cr_assert_eq(find(number, &cell), HF_LOOKUP_FOUND);
    cr_assert(hf_table_take_chain(&region, hash_of(number), &chain));
    hf_chain_remove(&chain, &region, (uint32_t)(cell - region.reservations));
    hf_chain_leave(&chain);
}

/* Of each chain: a bit for each id that is in it, and no other. */
static void expect_exact_filters(void)
{
    for (uint32_t place = 0; place < region.header->index_count; place++) {
        uint64_t head = hf_load_relaxed(&region.index[place]), bits = 0;
        uint32_t number = (uint32_t)(head & HF_HEAD_FIRST);
        while (number != 0) {
            struct hf_id id;
            hf_reservation_get_id(&region.reservations[number], &id);
            bits |= hf_head_bit(hf_hash_id(&id, region.header->hash_seed));
            number = hf_load_relaxed(&region.reservations[number].next);
        }
        cr_expect_eq(head >> 32, bits >> 32);
    }
}

Test(table, whatever_is_taken_out_the_rest_is_found_and_the_filter_is_exact)
{
    enum { COUNT = 64, CHAINS = 4 };
    struct hf_reservation_cell *cell;
    open_table(COUNT);
    region.header->index_count = CHAINS;
    for (uint32_t number = 0; number < COUNT; number++) {
        struct hf_chain chain;
        cr_assert_eq(take(number, &chain), HF_LOOKUP_ABSENT);
        insert(&chain, number);
    }
    expect_exact_filters();
    for (uint32_t i = 0; i < COUNT; i++) {
        take_out(i * 37 % COUNT); /* from the begin, the middle and the end of chains */
        expect_exact_filters();
        for (uint32_t j = 0; j < COUNT; j++)
            cr_expect_eq(find(j * 37 % COUNT, &cell), j <= i ? HF_LOOKUP_ABSENT : HF_LOOKUP_FOUND);
    }
    for (uint32_t place = 0; place < CHAINS; place++)
        cr_expect_eq(hf_load_relaxed(&region.index[place]), 0);
}

/* With as many reservations as chains, 3 in 100 are to be expected. */
Test(table, an_id_that_is_not_there_seldom_costs_a_look_at_a_cell)
{
    enum { COUNT = 4096, ASKED = 20000 };
    open_table(COUNT);
    cr_assert_eq(region.header->index_count, COUNT);
    for (uint32_t number = 0; number < COUNT; number++) {
        struct hf_chain chain;
        cr_assert_eq(take(number, &chain), HF_LOOKUP_ABSENT);
        insert(&chain, number);
        cr_expect_neq(hf_table_first_guess(&region, hash_of(number)), 0, "one that is there");
    }
    uint32_t looks = 0;
    for (uint32_t number = COUNT; number < COUNT + ASKED; number++)
        looks += hf_table_first_guess(&region, hash_of(number)) != 0;
    cr_expect_lt(looks, ASKED * 6 / 100);
}
