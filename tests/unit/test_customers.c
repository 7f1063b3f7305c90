/* Customers: one thread plays several, step by step. */
#include <criterion/criterion.h>
#include <errno.h>

#include "engine/customers.h"
#include "tests/lib/stress.h"

static struct hf_epochs epochs;
static struct hf_customers customers;
static struct hf_mcas_descriptor descriptors[HF_MAX_ACTORS];
static _Atomic uint64_t inventory_word; /* what stands for the region */
static struct hf_mcas mcas = {(uint8_t *)(void *)&inventory_word, descriptors};
static uint32_t actor;

static void open_customers(uint32_t max_counters)
{
    hf_epochs_init(&epochs);
    actor = hf_epochs_join(&epochs);
    cr_assert_eq(hf_customers_init(&customers, max_counters, &epochs), 0);
    hf_epochs_enter(&epochs, actor);
}

static void close_customers(void)
{
    if (customers.heads != NULL)
        hf_customers_close(&customers);
}

TestSuite(customers, .fini = close_customers);

/* The actor's next batch. */
static void next_batch(void)
{
    hf_epochs_exit(&epochs, actor);
    hf_epochs_enter(&epochs, actor);
}

static struct hf_customer_cell *find(uint32_t inventory, uint64_t customer_id)
{
    bool busy = true;
    struct hf_customer_cell *cell = hf_customers_find(&customers, inventory, customer_id, &busy);
    cr_assert(!busy);
    return cell;
}

static struct hf_customer_cell *get(uint32_t inventory, uint64_t customer_id)
{
    bool busy = true;
    struct hf_customer_cell *cell = hf_customers_get(&customers, inventory, customer_id, &busy);
    cr_assert(!busy && cell != NULL);
    return cell;
}

/* NULL, and which of the two reasons. */
static bool get_is_busy(uint32_t inventory, uint64_t customer_id)
{
    bool busy = false;
    cr_assert_null(hf_customers_get(&customers, inventory, customer_id, &busy));
    return busy;
}

static int32_t add(struct hf_customer_cell *cell, int32_t amount)
{
    uint64_t word = hf_mcas_load(&mcas, &cell->word);
    uint64_t moved = hf_word_moved(word, hf_word_available(word) + amount);
    cr_assert_eq(word & HF_WORD_SEALED, 0, "never counted on");
    cr_assert(hf_cas_acq_rel(&cell->word, &word, moved));
    return hf_word_available(moved);
}

static void drop(struct hf_customer_cell *cell)
{
    hf_customers_drop(&customers, &mcas, cell);
}

static void take(uint32_t inventory, uint64_t customer_id, struct hf_customer_chain *chain)
{
    cr_assert(hf_customers_take(&customers, inventory, customer_id, chain));
}

Test(customers, sizes_that_cannot_be_are_refused)
{
    cr_expect_eq(hf_customers_init(&customers, 0, &epochs), -EINVAL);
    cr_expect_eq(hf_customers_init(&customers, HF_CUSTOMERS_MAX + 1, &epochs), -EINVAL);
}

Test(customers, a_counter_is_of_one_inventory_and_one_customer)
{
    open_customers(100);
    cr_expect_null(find(1, 7));
    struct hf_customer_cell *cell = get(1, 7);
    cr_expect_eq(hf_word_available(hf_mcas_load(&mcas, &cell->word)), 0);
    cr_expect_eq(add(cell, 3), 3);
    cr_expect_eq(find(1, 7), cell);
    cr_expect_eq(get(1, 7), cell);
    cr_expect_null(find(2, 7));
    cr_expect_null(find(1, 8));
    cr_expect_neq(get(2, 7), cell);
    cr_expect_neq(get(1, 8), cell);
    cr_expect_eq(add(find(1, 7), 0), 3);
    cr_expect_eq(add(get(1, UINT64_MAX), 1), 1, "any number is a customer's");
    cr_expect_eq(add(get(1, 0), 1), 1);
    cr_expect_eq(add(get(0, 0), 2), 2);
}

Test(customers, neither_number_alone_makes_the_customer)
{
    open_customers(1); /* one chain */
    get(1, 7);
    cr_expect_null(find(2, 7));
    cr_expect_null(find(1, 8));
    cr_expect_not_null(find(1, 7));
}

Test(customers, a_counter_with_units_is_not_dropped)
{
    open_customers(100);
    struct hf_customer_cell *cell = get(1, 7);
    add(cell, 1);
    drop(cell);
    cr_expect_eq(find(1, 7), cell);
    cr_expect_eq(add(cell, 0), 1);
}

Test(customers, a_dropped_counter_is_dead_and_not_found)
{
    open_customers(100);
    struct hf_customer_cell *cell = get(1, 7);
    add(cell, 1);
    add(cell, -1);
    uint32_t version = hf_word_version(hf_load_relaxed(&cell->word));
    drop(cell);
    drop(cell); /* as somebody else may at the same time */
    uint64_t word = hf_load_relaxed(&cell->word);
    cr_expect_neq(word & HF_WORD_SEALED, 0);
    cr_expect_eq(hf_word_version(word), version + 1);
    cr_expect_null(find(1, 7));
    struct hf_customer_cell *next = get(1, 7);
    cr_expect_neq(next, cell, "not before a grace period");
    cr_expect_eq(add(next, 1), 1);
    cr_expect_eq(find(1, 7), next);
}

/* The one who drops is stopped between the seal and the rest. */
Test(customers, a_dead_counter_in_the_chain_is_passed_over)
{
    open_customers(100);
    struct hf_customer_cell *dead = get(1, 7);
    uint64_t word = hf_load_relaxed(&dead->word);
    cr_assert(hf_cas_acq_rel(&dead->word, &word, hf_word_moved(word, 0) | HF_WORD_SEALED));
    cr_expect_null(find(1, 7));
    struct hf_customer_cell *cell = get(1, 7);
    cr_expect_neq(cell, dead);
    add(cell, 2);
    cr_expect_eq(find(1, 7), cell);
    cr_expect_eq(get(1, 7), cell);
}

Test(customers, a_reused_cell_goes_on_with_its_version)
{
    open_customers(1);
    struct hf_customer_cell *cell = get(1, 7);
    add(cell, 1);
    add(cell, -1);
    uint64_t early = hf_load_relaxed(&cell->word);
    drop(cell);
    uint64_t dead = hf_load_relaxed(&cell->word);
    cr_expect(get_is_busy(1, 8), "this batch may still use the cell");
    next_batch();
    cr_expect_eq(get(1, 8), cell, "the only one there is");
    uint64_t word = hf_load_relaxed(&cell->word);
    cr_expect_eq(hf_word_available(word), 0);
    cr_expect_eq(word & HF_WORD_SEALED, 0);
    cr_expect_eq(hf_word_version(word), hf_word_version(dead) + 1);
    cr_expect_null(find(1, 7));
    for (uint32_t life = 0; life < 100; life++) { /* its version never comes back */
        uint64_t late = early;
        cr_assert(!hf_cas_acq_rel(&cell->word, &late, hf_word_make(9, 1)));
        drop(cell);
        late = early;
        cr_assert(!hf_cas_acq_rel(&cell->word, &late, hf_word_make(9, 1)));
        cr_assert(get_is_busy(1, 100 + life));
        next_batch();
        cr_assert_eq(get(1, 100 + life), cell);
    }
}

Test(customers, a_full_table_says_so_and_is_not_when_a_counter_was_dropped)
{
    open_customers(10);
    for (uint32_t i = 0; i < 10; i++)
        add(get(1, i), 1);
    cr_expect(!get_is_busy(1, 10), "full, and nothing on its way");
    cr_expect_not_null(get(1, 9), "what is there is found");
    add(find(1, 4), -1);
    drop(find(1, 4));
    cr_expect(get_is_busy(1, 10));
    cr_expect(get_is_busy(1, 10), "as long as this batch lasts");
    next_batch();
    add(get(1, 10), 1);
    cr_expect(!get_is_busy(1, 11));
}

Test(customers, a_cell_is_not_used_again_while_somebody_is_inside_who_may_have_seen_it)
{
    open_customers(1);
    uint32_t other = hf_epochs_join(&epochs);
    struct hf_customer_cell *cell = get(1, 7);
    hf_epochs_enter(&epochs, other);
    drop(cell);
    for (uint32_t i = 0; i < 5; i++) {
        cr_expect(get_is_busy(1, 8));
        next_batch();
    }
    cr_expect_eq(cell->customer_id, 7);
    hf_epochs_exit(&epochs, other);
    hf_epochs_enter(&epochs, other);
    cr_expect_eq(get(1, 8), cell);
}

Test(customers, a_taken_chain_puts_lookups_aside_until_it_is_left)
{
    open_customers(100);
    struct hf_customer_chain chain, other;
    struct hf_customer_cell *cell = get(1, 7);
    take(1, 7, &chain);
    bool busy = false;
    cr_expect_null(hf_customers_find(&customers, 1, 7, &busy));
    cr_expect(busy);
    cr_expect(get_is_busy(1, 7));
    cr_expect(!hf_customers_take(&customers, 1, 7, &other));
    hf_customers_leave(&customers, &chain);
    cr_expect_eq(find(1, 7), cell);
}

/* With one chain: what is dropped while the chain is taken is unlinked by whoever leaves it. */
Test(customers, what_is_dropped_while_the_chain_is_taken_is_not_left_in_it)
{
    open_customers(1);
    struct hf_customer_chain chain;
    for (uint32_t life = 0; life < 3; life++) {
        struct hf_customer_cell *cell = get(1, life);
        take(1, life, &chain);
        drop(cell);
        cr_expect_eq(chain.first, 1);
        hf_customers_leave(&customers, &chain);
        cr_expect_eq(chain.first, 0);
        cr_expect_null(find(1, life));
        cr_expect(get_is_busy(1, life + 1), "it is retired");
        next_batch();
    }
}

/* A drop that comes after the one who leaves has looked for dead cells is not missed either. */
Test(customers, each_drop_is_seen_by_who_leaves_the_chain)
{
    open_customers(4);
    struct hf_customer_chain chain;
    struct hf_customer_cell *cells[2];
    uint64_t customer = 1;
    cells[0] = get(1, 0);
    take(1, 0, &chain);
    _Atomic uint32_t *head = chain.head;
    hf_customers_leave(&customers, &chain);
    for (;; customer++) { /* another one in the same chain */
        take(1, customer, &chain);
        hf_customers_leave(&customers, &chain);
        if (chain.head == head)
            break;
    }
    cells[1] = get(1, customer);
    take(1, 0, &chain);
    drop(cells[0]);
    cr_expect(!hf_customers_try_leave(&customers, &chain), "there was a drop");
    cr_expect_eq(chain.first, (uint32_t)(cells[1] - customers.cells));
    drop(cells[1]);
    cr_expect(!hf_customers_try_leave(&customers, &chain), "and another");
    cr_expect_eq(chain.first, 0);
    cr_expect(hf_customers_try_leave(&customers, &chain));
    cr_expect_eq(hf_load_relaxed(head), 0);
}

Test(customers, all_that_are_dropped_while_the_chain_is_taken_are_unlinked)
{
    open_customers(64);
    struct hf_customer_chain chains[64];
    for (uint32_t i = 0; i < 64; i++)
        get(1, i);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < 64; i++)
        taken += hf_customers_take(&customers, 1, i, &chains[taken]);
    for (uint32_t i = 1; i <= 64; i++)
        drop(&customers.cells[i]);
    for (uint32_t i = 0; i < taken; i++)
        hf_customers_leave(&customers, &chains[i]);
    for (uint32_t i = 0; i <= customers.head_mask; i++)
        cr_expect_eq(hf_load_relaxed(&customers.heads[i]), 0);
}

/* Any order of making and dropping, in chains with several counters, against a plain array. */
Test(customers, random_counters_are_as_a_plain_array_has_them)
{
    enum { PAIRS = 60, OPERATIONS = 200000 };
    static int32_t amounts[PAIRS];
    struct hf_random random = hf_random_for(1, 2);
    open_customers(24); /* 32 chains */
    uint32_t live = 0;
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        uint32_t pair = hf_random_below(&random, PAIRS);
        struct hf_customer_cell *cell = find(pair % 3, pair / 3);
        cr_assert_eq(cell != NULL, amounts[pair] != 0);
        if (cell != NULL)
            cr_assert_eq(hf_word_available(hf_load_relaxed(&cell->word)), amounts[pair]);
        if (amounts[pair] == 0 && live < 23) { /* one cell may be in its grace period */
            bool busy;
            cell = hf_customers_get(&customers, pair % 3, pair / 3, &busy);
            for (uint32_t batch = 0; cell == NULL && busy && batch < 2; batch++) {
                next_batch();
                cell = hf_customers_get(&customers, pair % 3, pair / 3, &busy);
            }
            cr_assert_not_null(cell, "%u of 24 are live", live);
            amounts[pair] = add(cell, 1 + (int32_t)hf_random_below(&random, 3));
            live++;
        } else if (amounts[pair] != 0) {
            amounts[pair] = add(cell, -1);
            drop(cell); /* does nothing unless it is 0 now */
            live -= amounts[pair] == 0;
        }
    }
    for (uint32_t pair = 0; pair < PAIRS; pair++)
        cr_expect_eq(find(pair % 3, pair / 3) != NULL, amounts[pair] != 0);
}

/* Ten million customers come and go; half the table is in use at any time. */
Test(customers, endless_customers_go_through_a_table_of_ten_thousand, .timeout = 300)
{
    enum { TABLE = 10000, LIVE = 5000, BATCH = 500 };
    const uint64_t all = 10 * 1000 * 1000;
    open_customers(TABLE);
    for (uint64_t customer = 0; customer < all; customer++) {
        if (customer % BATCH == 0)
            next_batch();
        struct hf_customer_cell *cell = get((uint32_t)(customer % 7), customer);
        cr_assert_eq(add(cell, 1), 1);
        if (customer < LIVE)
            continue;
        uint64_t old = customer - LIVE;
        cell = find((uint32_t)(old % 7), old);
        cr_assert_not_null(cell);
        cr_assert_eq(add(cell, -1), 0);
        drop(cell);
    }
    uint32_t linked = 0;
    for (uint32_t i = 0; i <= customers.head_mask; i++) {
        for (uint32_t number = hf_load_relaxed(&customers.heads[i]); number != 0;
             number = hf_load_relaxed(&customers.cells[number].next))
            linked++;
    }
    cr_expect_eq(linked, LIVE, "no dead cell is left in a chain");
}

/* ---- with hf_mcas() ---- */

/* Units move from an inventory's word to a customer's counter at one instant. */
Test(customers, a_counter_takes_part_in_an_operation_over_several_words)
{
    open_customers(100);
    hf_store_relaxed(&inventory_word, hf_word_make(50, 1));
    struct hf_customer_cell *cell = get(1, 7);
    uint64_t inventory = hf_mcas_load(&mcas, &inventory_word);
    uint64_t counter = hf_mcas_load(&mcas, &cell->word);
    struct hf_mcas_entry entries[] = {{&cell->word, counter, hf_word_moved(counter, 2)},
                                      {&inventory_word, inventory, hf_word_moved(inventory, 48)}};
    struct hf_mcas_progress stopped = {.ref = hf_mcas_begin(&mcas, actor, entries, 2)};
    uint64_t blocker;
    cr_assert_eq(hf_mcas_install(&mcas, &stopped, 2, &blocker), HF_MCAS_STEP_INSTALLED);
    cr_expect_eq(find(1, 7), cell, "a counter under way is not dead, whatever its bits");
    cr_expect_eq(hf_word_available(hf_mcas_load(&mcas, &cell->word)), 2, "helped");
    cr_expect_eq(hf_word_available(hf_load_relaxed(&inventory_word)), 48);
}

Test(customers, a_drop_finishes_the_operation_that_it_meets)
{
    for (int32_t amount = 0; amount < 2; amount++) {
        open_customers(100);
        struct hf_customer_cell *cell = get(1, 7);
        if (amount == 0)
            add(cell, 1);
        uint64_t counter = hf_load_relaxed(&cell->word);
        struct hf_mcas_entry entry = {&cell->word, counter, hf_word_moved(counter, amount)};
        struct hf_mcas_progress stopped = {.ref = hf_mcas_begin(&mcas, actor, &entry, 1)};
        uint64_t blocker;
        cr_assert_eq(hf_mcas_install(&mcas, &stopped, 1, &blocker), HF_MCAS_STEP_INSTALLED);
        drop(cell);
        cr_expect_eq(find(1, 7), amount == 0 ? NULL : cell);
        cr_expect(hf_mcas_detach(&mcas, stopped.ref));
        close_customers();
    }
}

Test(customers, an_operation_that_expects_an_earlier_life_fails)
{
    open_customers(1);
    struct hf_customer_cell *cell = get(1, 7);
    uint64_t counter = hf_load_relaxed(&cell->word);
    struct hf_mcas_entry entry = {&cell->word, counter, hf_word_moved(counter, 1)};
    struct hf_mcas_progress late = {.ref = hf_mcas_begin(&mcas, actor, &entry, 1)};
    drop(cell);
    cr_assert(get_is_busy(1, 8));
    next_batch();
    cr_assert_eq(get(1, 8), cell);
    uint64_t word = hf_load_relaxed(&cell->word);
    hf_mcas_help(&mcas, late.ref);
    cr_expect(!hf_mcas_detach(&mcas, late.ref));
    cr_expect_eq(hf_load_relaxed(&cell->word), word);
}
