/* Finished reservations in their order: against a plain array. */
#include <criterion/criterion.h>

#include "engine/finished.h"
#include "tests/lib/stress.h"

#define ENTRIES 100000u

static struct hf_finished finished;

static void close_finished(void)
{
    hf_finished_close(&finished);
}

TestSuite(finished, .fini = close_finished);

Test(finished, none_is_none)
{
    cr_expect_null(hf_finished_first(&finished));
    hf_finished_sort(&finished);
    cr_expect_null(hf_finished_first(&finished));
}

Test(finished, entries_come_in_the_order_in_which_they_were_added)
{
    /* Some are added, some are taken out, by turns of all lengths: it is never more than it needs. */
    struct hf_random random = hf_random_for(7, 0);
    uint32_t added = 0, taken = 0;
    uint64_t most = 1;
    while (taken < ENTRIES) {
        uint32_t count = hf_random_below(&random, 3000);
        for (; count != 0 && added < ENTRIES; count--, added++)
            cr_assert(hf_finished_add(&finished, added, 3ull * added));
        if (most < added - taken)
            most = added - taken;
        for (count = hf_random_below(&random, 3000); count != 0 && taken < added; count--) {
            const struct hf_finished_entry *first = hf_finished_first(&finished);
            cr_assert_eq(first->number, taken);
            cr_assert_eq(first->changed_at_ns, 3ull * taken);
            hf_finished_drop_first(&finished);
            taken++;
        }
    }
    cr_expect_null(hf_finished_first(&finished));
    cr_expect_leq(finished.capacity, 4 * most + 4096);
}

Test(finished, sorted_entries_come_in_the_order_of_their_dates)
{
    /* After some were taken out already. */
    struct hf_random random = hf_random_for(7, 1);
    for (uint32_t number = 0; number < ENTRIES; number++)
        hf_finished_add(&finished, number,
                        number < 100 ? 0 : 1 + hf_random_below(&random, ENTRIES / 2));
    for (uint32_t i = 0; i < 100; i++)
        hf_finished_drop_first(&finished);
    hf_finished_sort(&finished);
    uint64_t newest = 0, numbers = 0;
    for (uint32_t i = 100; i < ENTRIES; i++) {
        const struct hf_finished_entry *first = hf_finished_first(&finished);
        cr_assert_geq(first->changed_at_ns, newest);
        cr_assert_gt(first->changed_at_ns, 0);
        newest = first->changed_at_ns;
        numbers += first->number;
        hf_finished_drop_first(&finished);
    }
    cr_expect_null(hf_finished_first(&finished));
    cr_expect_eq(numbers, (uint64_t)ENTRIES * (ENTRIES - 1) / 2 - 99 * 100 / 2, "each once");
}
