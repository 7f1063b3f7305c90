/* The inventory word: what it holds, and what claims and releases make of it. */
#include <criterion/criterion.h>

#include "engine/inventory.h"

static struct hf_inventory_cell cell;

static void set_word(int32_t available, uint32_t version)
{
    hf_store_relaxed(&cell.word, hf_word_make(available, version));
}

static void expect_word(int32_t available, uint32_t version)
{
    struct hf_availability now = hf_inventory_read(&cell);
    cr_expect_eq(now.available, available, "available %d, not %d", now.available, available);
    cr_expect_eq(now.version, version, "version %u, not %u", now.version, version);
}

Test(inventory, the_word_keeps_both_halves_at_their_extremes)
{
    const int32_t available[] = {0, 1, -1, (int32_t)HF_MAX_UNITS, -(int32_t)HF_MAX_UNITS};
    const uint32_t version[] = {0, 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof available / sizeof *available; i++) {
        for (size_t k = 0; k < sizeof version / sizeof *version; k++) {
            uint64_t word = hf_word_make(available[i], version[k]);
            cr_expect_eq(hf_word_available(word), available[i]);
            cr_expect_eq(hf_word_version(word), version[k]);
            cr_expect_eq(word >> 62, 0, "the two flags are left alone");
        }
    }
}

Test(inventory, a_claim_takes_what_is_there_and_bumps_the_version)
{
    struct hf_availability after;
    set_word(5, 7);
    cr_expect(hf_inventory_claim(&cell, 3, &after));
    cr_expect_eq(after.available, 2);
    cr_expect_eq(after.version, 8);
    expect_word(2, 8);
    cr_expect(hf_inventory_claim(&cell, 2, &after), "the last units");
    expect_word(0, 9);
}

Test(inventory, a_claim_of_more_than_is_there_changes_nothing_and_tells_what_it_saw)
{
    struct hf_availability after;
    set_word(2, 7);
    cr_expect_not(hf_inventory_claim(&cell, 3, &after));
    cr_expect_eq(after.available, 2);
    cr_expect_eq(after.version, 7);
    expect_word(2, 7);
    set_word(-4, 8);
    cr_expect_not(hf_inventory_claim(&cell, 1, &after), "in deficit");
    expect_word(-4, 8);
}

Test(inventory, a_release_adds_and_bumps_also_out_of_a_deficit_and_over_the_end_of_versions)
{
    set_word(-1, UINT32_MAX);
    hf_inventory_release(&cell, 3);
    expect_word(2, 0);
    hf_inventory_release(&cell, 1);
    expect_word(3, 1);
}

Test(inventory, the_largest_claim_and_release_fit)
{
    struct hf_availability after;
    set_word((int32_t)HF_MAX_UNITS, 1);
    cr_expect(hf_inventory_claim(&cell, HF_MAX_UNITS, &after));
    expect_word(0, 2);
    hf_inventory_release(&cell, HF_MAX_UNITS);
    expect_word((int32_t)HF_MAX_UNITS, 3);
}

Test(inventory, its_description_conserves_units)
{
    struct hf_inventory inventory;
    cell.inventory_id = 3;
    cell.product_id = 4;
    cell.lsn = 5;
    cell.made_at_ns = 6;
    cell.capacity = 10;
    cell.sell_limit = 12;
    set_word(5, 9);
    hf_inventory_describe(&cell, &inventory);
    cr_expect_eq(inventory.inventory_id, 3);
    cr_expect_eq(inventory.product_id, 4);
    cr_expect_eq(inventory.lsn, 5);
    cr_expect_eq(inventory.made_at_ns, 6);
    cr_expect_eq(inventory.capacity, 10);
    cr_expect_eq(inventory.sell_limit, 12);
    cr_expect_eq(inventory.available, 5);
    cr_expect_eq(inventory.held, 0);
    cr_expect_eq(inventory.confirmed, 7);
    cr_expect_eq(inventory.version, 9);
}
