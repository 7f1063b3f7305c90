/* Batches: all of their lines or none, in one chain; what is summed first, and put aside. */
#include <criterion/criterion.h>

#include "engine/hash.h"
#include "tests/lib/rig_expect.h"
#include "tests/lib/stress.h"

#define TTL      (60 * HF_RIG_S)
#define ME       70u /* a customer */
#define OTHER    71u
#define CAPACITY 20u

static struct hf_rig rig;

static void open_rig(void)
{
    hf_rig_open_stocked(&rig, &(struct hf_rig_options){0}, 2, CAPACITY);
}

static void close_rig(void)
{
    hf_rig_close(&rig);
}

TestSuite(batch, .init = open_rig, .fini = close_rig);

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

Test(batch, all_lines_of_a_batch_take_effect_in_one_chain)
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
    hf_rig_expect_units(&rig, 1, 13, 0, 7);
    hf_rig_expect_units(&rig, 2, 11, 3, 6);

    cr_assert_eq(hf_rig_batch(&rig, lines, 7), HF_BATCH_DONE, "done before: %s",
                 hf_result_name(rig.outcome.result));
    cr_expect_eq(rig.outcome.wait_for_lsn, before + 7);
    for (uint32_t i = 0; i < 7; i++)
        cr_expect(rig.entries[i].repeated, "line %u", i + 1);
    cr_expect(rig.outcome.repeated);
    cr_expect_eq(rig.log_count, before + 7);
    hf_rig_expect_same_after_recovery(&rig);
}

/* In each prefix of the log all of a batch is there, or nothing. */
Test(batch, a_cut_within_a_chain_drops_all_of_it)
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
    hf_rig_expect_units(&rig, 1, 1, 0, CAPACITY - 1);
    cr_assert_null(hf_rig_recover(&rig, before + 2));
    cr_expect_eq(rig.log_count, before);
    cr_expect_eq(hf_rig_digest(&rig), digest);
    cr_assert_eq(hf_rig_batch(&rig, swap, 3), HF_BATCH_DONE, "and can be done again");
    cr_expect_not(rig.outcome.repeated);
}

Test(batch, the_lines_of_one_inventory_are_summed_first)
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
    hf_rig_expect_units(&rig, 1, 0, 0, CAPACITY);
    cr_expect_neq(hf_rig_inventory(&rig, 1).version, version);
    const struct hf_line more[] = {
        line(HF_OP_CANCEL, 2),
        claim_line(HF_OP_RESERVE, 4, 1, ME, 10),
        claim_line(HF_OP_RESERVE, 5, 1, ME, 3),
    };
    cr_expect_eq(hf_rig_batch(&rig, more, 3), HF_SOLD_OUT);
    cr_expect_eq(rig.outcome.line, 3, "the first that finds too few");
    hf_rig_expect_units(&rig, 1, 0, 0, CAPACITY);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(batch, the_lines_of_one_customer_are_summed_first)
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
    hf_rig_expect_same_after_recovery(&rig);
}

/* Each line is fine but one: nothing happens, and that line is named. */
Test(batch, a_line_that_fails_undoes_nothing_as_nothing_was_done)
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
    hf_rig_expect_same_after_recovery(&rig);
}

Test(batch, an_id_named_twice_in_a_batch_is_a_bad_request)
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
Test(batch, ids_that_share_a_chain_are_made_together)
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
    hf_rig_expect_units(&rig, 1, 968, 0, 32);
    cr_assert_eq(hf_rig_batch(&rig, lines, 64), HF_BATCH_DONE);
    cr_expect(rig.outcome.repeated);
}

Test(batch, a_batch_that_finds_no_room_in_the_middle_makes_nothing)
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
    hf_rig_expect_units(&rig, 1, 960, 0, 40);
    cr_expect_eq(hf_rig_reserve(&rig, 5, 1, ME, 1), HF_GRANTED);
    cr_expect(rig.outcome.repeated);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(batch, with_a_full_ring_a_batch_is_put_aside_undone)
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
    hf_rig_expect_same_after_recovery(&rig);
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

Test(batch, a_repeat_that_meets_a_mark_is_put_aside_and_its_cell_stays_in_use)
{
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, ME, 1), HF_GRANTED);
    struct hf_reservation_cell *cell = hf_rig_cell(&rig, 1);
    uint64_t word = hf_load_relaxed(&cell->word);
    hf_store_relaxed(&cell->word, word | HF_WORD_MARKED);
    const struct hf_line lines[] = {claim_line(HF_OP_RESERVE, 1, 1, ME, 1),
                                    claim_line(HF_OP_RESERVE, 2, 1, ME, 1)};
    expect_put_aside_and_unharmed(lines, 2);
    hf_store_relaxed(&cell->word, word);
    cr_expect_eq(hf_rig_batch(&rig, lines, 2), HF_BATCH_DONE);
    cr_expect(rig.entries[0].repeated);
    cr_expect_not(rig.entries[1].repeated);
    hf_rig_expect_units(&rig, 1, 18, 0, 2);
    for (uint32_t number = 10; number < 100; number++)
        cr_assert_eq(hf_rig_reserve(&rig, number, 2, ME, 1),
                     number < 30 ? HF_GRANTED : HF_SOLD_OUT);
    cr_expect_eq(hf_rig_state(&rig, 1), HF_STATE_CONFIRMED);
}

Test(batch, a_repeat_beside_an_id_that_another_decides_about_is_put_aside_and_its_cell_stays_in_use)
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
    hf_rig_expect_units(&rig, 1, 11, 0, 9);
}

Test(batch, who_leaves_and_who_joins_in_one_batch_leave_a_list_that_stands)
{
    cr_assert_eq(hf_rig_reserve(&rig, 1, 1, OTHER, CAPACITY), HF_GRANTED);
    cr_assert_eq(hf_rig_join(&rig, 2, 1, ME, 1), HF_JOINED);
    const struct hf_line lines[] = {line(HF_OP_LEAVE, 2), claim_line(HF_OP_JOIN, 3, 1, ME, 2)};
    cr_assert_eq(hf_rig_batch(&rig, lines, 2), HF_BATCH_DONE);
    cr_expect_eq(hf_rig_inventory(&rig, 1).waiting, 1);
    cr_expect_eq(hf_rig_reserve(&rig, 4, 1, ME, 1), HF_WAITING_LIST);
    cr_expect_eq(hf_rig_change(&rig, 1, 5), HF_CHANGED);
    cr_expect_eq(hf_rig_state(&rig, 3), HF_STATE_HELD, "it gets its offer");
    hf_rig_expect_same_after_recovery(&rig);
}

/* What the lines do is weighed against the inventory as it is before any of them. */
Test(batch, a_join_and_a_claim_in_one_batch)
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
    hf_rig_expect_units(&rig, 1, 0, 0, CAPACITY);
    cr_expect_eq(hf_rig_inventory(&rig, 1).waiting, 1);
    const struct hf_line behind[] = {claim_line(HF_OP_RESERVE, 4, 1, ME, 1), line(HF_OP_CANCEL, 1)};
    cr_expect_eq(hf_rig_batch(&rig, behind, 2), HF_WAITING_LIST);
    cr_expect_eq(rig.outcome.line, 1);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(batch, a_batch_of_64_nights_and_its_failure_on_the_last)
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
        hf_rig_expect_units(&rig, night + 1, 1, 1, 0);
    hf_rig_expect_same_after_recovery(&rig);
}

Test(batch, a_batch_that_comes_too_late_changes_what_exists_but_claims_nothing)
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

Test(batch, a_line_with_the_version_that_the_inventory_has)
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
