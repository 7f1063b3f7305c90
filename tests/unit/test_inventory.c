/* The inventory word: what it holds, what a plain claim makes of it and when it leaves it alone. */
#include <criterion/criterion.h>

#include "engine/inventory.h"

static struct hf_inventory_cell cell;

static void set_word(int32_t available, uint32_t version)
{
    hf_store_relaxed(&cell.word, hf_word_make(available, version));
}

static void expect_word(int32_t available, uint32_t version)
{
    uint64_t now = hf_load_relaxed(&cell.word);
    cr_expect_eq(hf_word_available(now), available, "available %d, not %d", hf_word_available(now),
                 available);
    cr_expect_eq(hf_word_version(now), version, "version %u, not %u", hf_word_version(now),
                 version);
}

/* As the engine does: a look without a write, then the claim. */
static enum hf_claim claim(uint32_t qty, uint64_t *word)
{
    if (hf_inventory_weigh(&cell, qty, word) == HF_CLAIM_TOO_FEW)
        return HF_CLAIM_TOO_FEW;
    return hf_inventory_claim(&cell, qty, word);
}

Test(inventory, the_word_keeps_its_parts_at_their_extremes)
{
    const int32_t available[] = {0, 1, -1, (int32_t)HF_MAX_UNITS, -(int32_t)HF_MAX_UNITS};
    const uint32_t version[] = {0, 1, HF_WORD_VERSION_MASK};
    for (size_t i = 0; i < sizeof available / sizeof *available; i++) {
        for (size_t k = 0; k < sizeof version / sizeof *version; k++) {
            uint64_t word = hf_word_make(available[i], version[k]);
            cr_expect_eq(hf_word_available(word), available[i]);
            cr_expect_eq(hf_word_version(word), version[k]);
            cr_expect_eq(word & (HF_WORD_SEALED | HF_WORD_WAITING | HF_WORD_DESCRIPTOR), 0,
                         "the flags are left alone");
            uint64_t flagged = word | HF_WORD_SEALED | HF_WORD_WAITING;
            cr_expect_eq(hf_word_available(flagged), available[i]);
            cr_expect_eq(hf_word_version(flagged), version[k]);
            cr_expect_eq(hf_word_moved(flagged, 3),
                         hf_word_make(3, version[k] + 1) | HF_WORD_SEALED | HF_WORD_WAITING);
            cr_expect_eq(hf_word_bumped(flagged), hf_word_moved(flagged, available[i]));
        }
    }
}

Test(inventory, a_claim_takes_what_is_there_and_bumps_the_version)
{
    uint64_t word;
    set_word(5, 7);
    cr_expect_eq(claim(3, &word), HF_CLAIM_DONE);
    cr_expect_eq(word, hf_word_make(2, 8));
    expect_word(2, 8);
    cr_expect_eq(claim(2, &word), HF_CLAIM_DONE, "the last units");
    expect_word(0, 9);
}

Test(inventory, a_claim_that_looked_too_early_looks_again)
{
    set_word(5, 7);
    uint64_t word = hf_word_make(1, 6);
    cr_expect_eq(hf_inventory_claim(&cell, 1, &word), HF_CLAIM_DONE);
    cr_expect_eq(word, hf_word_make(4, 8));
}

Test(inventory, a_claim_of_more_than_is_there_changes_nothing_and_tells_what_it_saw)
{
    uint64_t word;
    set_word(2, 7);
    cr_expect_eq(claim(3, &word), HF_CLAIM_TOO_FEW);
    cr_expect_eq(word, hf_word_make(2, 7));
    expect_word(2, 7);
    set_word(-4, 8);
    cr_expect_eq(claim(1, &word), HF_CLAIM_TOO_FEW, "in deficit");
    expect_word(-4, 8);
}

Test(inventory, what_is_not_plain_is_left_to_others)
{
    static const uint32_t rules[] = {HF_RULE_FRESH, HF_RULE_CLAIM, HF_RULE_COUNTED};
    uint64_t word;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        set_word(5, 7);
        hf_store_relaxed(&cell.rules, rules[i]);
        cr_expect_eq(claim(1, &word), HF_CLAIM_INVOLVED, "rules %x", rules[i]);
        cr_expect_eq(claim(6, &word), HF_CLAIM_INVOLVED, "rules %x", rules[i]);
        expect_word(5, 7);
    }
    hf_store_relaxed(&cell.rules, HF_RULE_COPY);
    cr_expect_eq(claim(1, &word), HF_CLAIM_DONE, "which copy is current is no rule");
    set_word(5, 7);
    hf_store_relaxed(&cell.word, hf_load_relaxed(&cell.word) | HF_WORD_WAITING);
    cr_expect_eq(claim(1, &word), HF_CLAIM_INVOLVED);
    cr_expect_eq(claim(6, &word), HF_CLAIM_INVOLVED);
    hf_store_relaxed(&cell.word, HF_WORD_DESCRIPTOR | 5);
    cr_expect_eq(claim(1, &word), HF_CLAIM_INVOLVED);
    set_word(5, 7);
    hf_store_relaxed(&cell.held, 1);
    cr_expect_eq(claim(6, &word), HF_CLAIM_INVOLVED, "a hold may have lapsed");
    cr_expect_eq(claim(5, &word), HF_CLAIM_DONE);
}

Test(inventory, the_largest_claim_fits_and_versions_come_around)
{
    uint64_t word;
    set_word((int32_t)HF_MAX_UNITS, HF_WORD_VERSION_MASK);
    cr_expect_eq(claim(HF_MAX_UNITS, &word), HF_CLAIM_DONE);
    expect_word(0, 0);
}

static void describe(struct hf_inventory *inventory)
{
    const struct hf_mcas none = {0};
    hf_inventory_describe(&cell, &none, inventory);
}

Test(inventory, its_description_conserves_units)
{
    struct hf_inventory inventory;
    struct hf_rules rules = {
        .settings = {.sell_limit = 12, .flags = HF_INVENTORY_SKIP}, .lsn = 5, .capacity = 10};
    cell.inventory_id = 3;
    cell.product_id = 4;
    cell.made_at_ns = 6;
    hf_inventory_init_rules(&cell, &rules, false);
    hf_store_relaxed(&cell.held, 3);
    hf_store_relaxed(&cell.waiting_count, 2);
    set_word(5, 9);
    describe(&inventory);
    cr_expect_eq(inventory.inventory_id, 3);
    cr_expect_eq(inventory.product_id, 4);
    cr_expect_eq(inventory.lsn, 5);
    cr_expect_eq(inventory.made_at_ns, 6);
    cr_expect_eq(inventory.capacity, 10);
    cr_expect_eq(inventory.sell_limit, 12);
    cr_expect_eq(inventory.available, 5);
    cr_expect_eq(inventory.held, 3);
    cr_expect_eq(inventory.confirmed, 4);
    cr_expect_eq(inventory.waiting, 2);
    cr_expect_eq(inventory.version, 9);
    cr_expect_eq(inventory.flags, HF_INVENTORY_SKIP);
    hf_store_relaxed(&cell.word, hf_word_make(-2, 10) | HF_WORD_SEALED);
    describe(&inventory);
    cr_expect_eq(inventory.available, -2);
    cr_expect_eq(inventory.confirmed, 11);
    cr_expect_eq(hf_inventory_deficit(&inventory), 2);
    cr_expect_eq(inventory.flags, HF_INVENTORY_SKIP | HF_INVENTORY_SOLD_OUT_CLOSED);
}
