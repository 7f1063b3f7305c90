/*
 * The snapshotter, step by step. Somebody is in the middle of a change, in all the ways in which one
 * can be, when it begins, copies, and attests; what a crash then leaves must be a state that the log
 * says. Those changes are made here by hand, as the engine makes them, but in two halves.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "engine/hash.h"
#include "engine/setting.h"
#include "tests/lib/digest.h"
#include "tests/lib/store_rig.h"
#include "tests/lib/stress.h"
#include "wal/snapshot_header.h"

#define MS  HF_NS_PER_MS
#define S   HF_NS_PER_S
#define DAY (24 * 3600 * S)

static struct hf_store_rig rig;

static void open_rig(void)
{
    const struct hf_store_rig_options options = {.snapshot_copy_cells = 4};
    hf_store_rig_open(&rig, &options);
}

static void close_rig(void)
{
    hf_store_rig_close(&rig);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(snapshotter, .init = open_rig, .fini = close_rig, .timeout = 60);

/* ---- what is done whole ---- */

static unsigned ask(enum hf_operation operation, uint32_t number, uint64_t inventory_id,
                    uint32_t qty)
{
    const struct hf_request request = {
        .operation = operation,
        .id = hf_id_of_number(number),
        .inventory_id = inventory_id,
        .customer_id = 1,
        .qty = qty,
        .ttl_ns = S,
        .capacity = qty,
        .product_id = 7,
    };
    return hf_store_rig_ask(&rig, &request);
}

static void create(uint64_t inventory_id, uint32_t capacity)
{
    cr_assert_eq(ask(HF_OP_INVENTORY_CREATE, 1, inventory_id, capacity), HF_CREATED);
}

static void reserve(uint32_t number, uint64_t inventory_id)
{
    cr_assert_eq(ask(HF_OP_RESERVE, number, inventory_id, 1), HF_GRANTED);
}

static void reserve_many(uint32_t first, uint32_t count, uint64_t inventory_id)
{
    for (uint32_t i = 0; i < count; i++)
        reserve(first + i, inventory_id);
}

static unsigned set(uint64_t inventory_id, uint32_t fields, uint32_t value)
{
    struct hf_request request = {.operation = HF_OP_INVENTORY_SET, .inventory_id = inventory_id};
    request.change = (struct hf_settings_change){
        .fields = fields,
        .flags_mask = value,
        .settings = {.sell_limit = value, .customer_limit = value, .flags = value},
    };
    return hf_store_rig_ask(&rig, &request);
}

/* ---- looking ---- */

static struct hf_snapshotter *snapshotter(void)
{
    return rig.store->snapshotter;
}

static struct hf_snapshotter_report report(void)
{
    return hf_store_rig_report(&rig);
}

static bool has_file(const char *name)
{
    return hf_memory_io_file(rig.memory, name) != NULL;
}

static void expect_right(void)
{
    const char *wrong = hf_store_rig_check(&rig);
    cr_expect_null(wrong, "%s", wrong);
    wrong = hf_store_rig_check_snapshots(&rig, rig.memory);
    cr_expect_null(wrong, "%s", wrong);
}

/* The segment in which the log goes on, so that what is in the log already is before any start. */
static void begin_segment(void)
{
    hf_store_rig_fill_until(&rig, rig.store->log.flusher.segment.number + 1);
}

/* Asks for a snapshot, and takes its first step. */
static void begin_snapshot(void)
{
    hf_store_rig_write(&rig);
    hf_snapshotter_request(snapshotter());
    cr_assert(!hf_store_rig_snapshot_step(&rig), "it began");
}

static void step(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        hf_store_rig_write(&rig);
        hf_store_rig_snapshot_step(&rig);
    }
}

/* To its end. */
static void end_snapshot(void)
{
    uint64_t made = report().made;
    for (uint32_t i = 0; i < 1000 && report().running; i++)
        step(1);
    cr_assert_eq(report().made, made + 1, "it was made");
}

static void crash(void)
{
    cr_assert_eq(hf_store_rig_crash(&rig), 0, "%s", rig.text);
}

/* ---- what is done in two halves ---- */

/* Actor 1. Meanwhile actor 0 does what the helpers above do. */
static struct hf_actor *other(void)
{
    return &rig.actors[1];
}

static void enter(void)
{
    rig.by_hand = true;
    other()->now_ns = hf_store_rig_now_ns(&rig);
    hf_actor_enter(other());
}

static void leave(void)
{
    hf_actor_exit(other());
    rig.by_hand = false;
}

struct half {
    struct hf_inventory_cell *inventory;
    struct hf_reservation_cell *cell;
    struct hf_reservation made;
    struct hf_chain chain;
    uint64_t word, claimed;
    uint64_t lsn;
};

static struct hf_region *region(void)
{
    return &rig.store->engine.region;
}

/* A grant up to its claim. */
static void claim(struct half *half, uint32_t number, uint64_t inventory_id)
{
    struct hf_reservation_cell *known;
    half->made = (struct hf_reservation){
        .id = hf_id_of_number(number),
        .inventory_id = inventory_id,
        .customer_id = 9,
        .made_at_ns = other()->now_ns,
        .changed_at_ns = other()->now_ns,
        .qty = 1,
        .sequence = 1,
        .state = HF_STATE_CONFIRMED,
    };
    half->inventory = hf_region_find_inventory(region(), inventory_id);
    uint64_t hash = hf_hash_id(&half->made.id, region()->header->hash_seed);
    cr_assert_eq(hf_table_take(region(), &half->made.id, hash, &half->chain, &known),
                 HF_LOOKUP_ABSENT);
    cr_assert(hf_cells_allot(region(), &other()->allotment));
    cr_assert(hf_ring_credit(&other()->log, 1));
    uint64_t word = hf_load_acquire(&half->inventory->word), before = word;
    uint64_t after = hf_word_moved(word, hf_word_available(word) - 1);
    struct hf_rules rules;
    hf_inventory_copy_settings(half->inventory, &rules);
    if (hf_word_available(after) == 0 &&
        (rules.settings.flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) != 0)
        after |= HF_WORD_SEALED;
    cr_assert(hf_cas_acq_rel(&half->inventory->word, &before, after));
    half->claimed = after;
}

/* Its cell, marked; reachable. */
static void fill(struct half *half)
{
    half->word = hf_reservation_word(half->made.state, 1, 1);
    half->cell = hf_cells_next(region(), &other()->allotment);
    hf_reservation_set_id(half->cell, &half->made.id);
    hf_store_relaxed(&half->cell->customer_id, half->made.customer_id);
    hf_store_relaxed(&half->cell->made_at_ns, half->made.made_at_ns);
    hf_store_relaxed(&half->cell->changed_at_ns, half->made.changed_at_ns);
    hf_store_relaxed(&half->cell->inventory, (uint32_t)(half->inventory - region()->inventories));
    hf_store_release(&half->cell->word, half->word | HF_WORD_MARKED);
    hf_chain_insert(&half->chain, region(), &other()->allotment);
}

/* Its record. */
static void record(struct half *half)
{
    struct hf_ring_slot *slot = hf_ring_reserve(&other()->log, &half->made.lsn);
    hf_image_encode_grant((uint8_t *)slot, &half->made, hf_word_version(half->claimed),
                          hf_word_available(half->claimed) == 0 ? HF_IMAGE_FLAG_SOLD_OUT : 0);
    hf_ring_publish(slot, half->made.lsn);
    hf_store_relaxed(other()->logged_at_ns, half->made.made_at_ns);
    hf_store_relaxed(&half->cell->lsn, half->made.lsn);
    hf_store_rig_note(&rig);
}

static void unmark(struct half *half)
{
    hf_store_release(&half->cell->word, half->word);
}

/* The first half of a new inventory: it has its LSN, and nobody sees it. */
static void begin_create(uint64_t inventory_id)
{
    cr_assert(hf_region_begin_create(region()));
    struct hf_inventory_cell *cell = hf_region_next_inventory(region());
    const struct hf_inventory made = {
        .inventory_id = inventory_id,
        .product_id = 7,
        .made_at_ns = other()->now_ns,
        .capacity = 10,
        .version = 1,
    };
    struct hf_rules rules = {
        .settings = {.sell_limit = 10, .offer_ttl_ns = HF_DEFAULT_OFFER_TTL_NS},
        .changed_at_ns = made.made_at_ns,
        .sequence = 1,
        .capacity = 10,
    };
    cr_assert(hf_ring_credit(&other()->log, 1));
    struct hf_ring_slot *slot = hf_ring_reserve(&other()->log, &rules.lsn);
    hf_image_encode_inventory((uint8_t *)slot, &made, &rules.settings, 1, made.made_at_ns);
    hf_ring_publish(slot, rules.lsn);
    cell->inventory_id = inventory_id;
    cell->product_id = 7;
    cell->made_at_ns = made.made_at_ns;
    hf_inventory_init_rules(cell, &rules, false);
    hf_store_relaxed(&cell->word, hf_word_make(10, 1));
    hf_store_rig_note(&rig);
}

static void end_create(void)
{
    hf_region_insert_inventory(region());
    hf_region_end_create(region());
}

/* ---- a snapshot ---- */

Test(snapshotter, recovery_goes_on_from_a_snapshot_and_the_log_behind_it)
{
    create(1, 100);
    create(2, 3);
    reserve_many(1, 50, 1);
    cr_assert_eq(ask(HF_OP_HOLD, 100, 2, 2), HF_GRANTED);
    cr_assert_eq(ask(HF_OP_CANCEL, 7, 0, 0), HF_CANCELLED);
    begin_segment();
    hf_store_rig_snapshot(&rig);
    cr_assert_eq(ask(HF_OP_CANCEL, 8, 0, 0), HF_CANCELLED);
    reserve(60, 1);
    hf_store_rig_write(&rig);
    expect_right();

    uint64_t last_lsn = report().last_lsn, records = rig.last_lsn - last_lsn;
    crash();
    const struct hf_log_recovery *found = &rig.store->log.recovery;
    cr_expect_eq(found->snapshot.last_lsn, last_lsn);
    cr_expect_eq(found->snapshot_records, 2 + 51, "inventories and retained reservations");
    cr_expect_eq(found->records, records, "and only what is behind it");
    cr_expect_eq(report().last_lsn, last_lsn);
    cr_expect_eq(report().made, 0, "in this run");
    cr_expect_eq(ask(HF_OP_CANCEL, 8, 0, 0), HF_CANCELLED);
    cr_expect(rig.outcome.repeated);
    expect_right();
}

/* Inventories without a reservation; and a log that does not go on. */
Test(snapshotter, versions_are_told_even_if_no_record_behind_the_snapshot_tells_one)
{
    create(1, 100);
    for (uint32_t i = 0; i < 20; i++) {
        reserve(1 + i, 1);
        cr_assert_eq(ask(HF_OP_CANCEL, 1 + i, 0, 0), HF_CANCELLED);
    }
    hf_store_rig_pass(&rig, 2 * DAY);
    begin_segment();
    uint32_t told = hf_word_version(hf_load_relaxed(&region()->inventories[0].word));
    hf_store_rig_snapshot(&rig);
    expect_right();
    crash();
    cr_expect_eq(rig.store->log.recovery.snapshot_records, 1);
    uint32_t now = hf_word_version(hf_load_relaxed(&region()->inventories[0].word));
    cr_expect_gt((int32_t)((now - told) << 1), 0, "%u comes after %u", now, told);
}

/* Claims are told, to readers at once, and lost in a crash; so are those of the runs after it. */
Test(snapshotter, versions_that_crashes_have_undone_are_not_told_again)
{
    enum { STARTS = 6, CLAIMS = 20 };
    uint32_t told[STARTS];
    create(1, 100);
    reserve(1, 1);
    hf_store_rig_write(&rig);
    for (uint32_t start = 0; start < STARTS; start++) {
        for (uint32_t number = 2; number < 2 + CLAIMS; number++)
            reserve(number, 1);
        told[start] = hf_word_version(hf_load_relaxed(&region()->inventories[0].word));
        crash();
        uint32_t now = hf_word_version(hf_load_relaxed(&region()->inventories[0].word));
        for (uint32_t before = 0; before <= start; before++)
            cr_expect(now > told[before] || now + CLAIMS < told[before] - CLAIMS,
                      "start %u begins at %u, start %u was at %u", start + 1, now, before,
                      told[before]);
    }
}

/* ---- who is inside when it begins ---- */

/* Nothing is copied before everybody has left who was inside; not even a file is made. */
Test(snapshotter, it_waits_for_whoever_was_inside_when_it_began)
{
    create(1, 10);
    hf_store_rig_write(&rig);
    enter();
    begin_snapshot();
    step(20);
    cr_expect(!has_file(HF_SNAPSHOT_TEMPORARY), "it waits");
    leave();
    step(1);
    cr_expect(has_file(HF_SNAPSHOT_TEMPORARY), "it goes on");
    end_snapshot();
    expect_right();
}

/* The inventory has an LSN before the snapshot's start, and is shown after the snapshot began. */
Test(snapshotter, an_inventory_that_is_shown_later_than_it_is_logged_is_in_it)
{
    create(1, 10);
    enter();
    begin_create(2);
    begin_segment();
    begin_snapshot();
    step(3);
    end_create();
    leave();
    end_snapshot();
    expect_right();
    crash();
    cr_expect_eq(ask(HF_OP_RESERVE, 1, 2, 1), HF_GRANTED);
}

/* As in a burst: records with their LSNs first, then the cells, without a mark. */
Test(snapshotter, a_reservation_that_is_shown_later_than_it_is_logged_is_in_it)
{
    struct half half = {0};
    create(1, 10);
    enter();
    claim(&half, 500, 1);
    half.word = hf_reservation_word(half.made.state, 1, 1);
    half.cell = hf_cells_next(region(), &other()->allotment);
    record(&half);
    begin_segment();
    begin_snapshot();
    step(30);
    fill(&half);
    unmark(&half);
    leave();
    end_snapshot();
    expect_right();
    crash();
    cr_expect_eq(ask(HF_OP_RESERVATION_GET, 500, 0, 0), HF_FOUND);
}

/* The inventory gets its LSN after the snapshot began, and is shown when inventories were copied;
 * meanwhile the log has gone on in another segment. */
Test(snapshotter, an_inventory_that_it_does_not_see_is_in_the_log_behind_its_start)
{
    create(1, 10);
    begin_segment();
    begin_snapshot();
    enter();
    begin_create(2);
    begin_segment();
    step(4);
    cr_assert(has_file(HF_SNAPSHOT_TEMPORARY), "those who came later are not waited for");
    end_create();
    leave();
    end_snapshot();
    expect_right();
}

/* The cell of a reservation is taken from the stock after the snapshot began. It is logged in the
 * segment with which the snapshot begins, or is in the snapshot. */
Test(snapshotter, a_reservation_that_is_made_while_it_settles_is_not_lost)
{
    struct half half = {0};
    create(1, 10);
    begin_segment();
    begin_snapshot();
    enter();
    claim(&half, 500, 1);
    fill(&half);
    record(&half);
    begin_segment();
    step(3);
    unmark(&half);
    leave();
    end_snapshot();
    expect_right();
}

/* ---- who is in the middle of something while it copies ---- */

/* Marked: its newest image may have an LSN before the start. The snapshotter waits for the mark. */
Test(snapshotter, a_reservation_that_is_marked_is_waited_for)
{
    struct half half = {0};
    create(1, 10);
    enter();
    claim(&half, 500, 1);
    fill(&half);
    record(&half);
    leave(); /* the mark stays, as if the stay had not ended */
    begin_segment();
    begin_snapshot();
    step(50);
    cr_expect(report().running, "it waits");
    unmark(&half);
    end_snapshot();
    expect_right();
    crash();
    cr_expect_eq(ask(HF_OP_RESERVATION_GET, 500, 0, 0), HF_FOUND);
}

/* A change that is given up leaves the reservation as it was: it is in the snapshot. */
Test(snapshotter, a_mark_without_a_change_loses_nothing)
{
    create(1, 10);
    reserve(1, 1);
    begin_segment();
    struct hf_reservation_cell *cell = &region()->reservations[1];
    uint64_t word = hf_load_relaxed(&cell->word);
    hf_store_relaxed(&cell->word, word | HF_WORD_MARKED);
    begin_snapshot();
    step(20);
    hf_store_release(&cell->word, word);
    end_snapshot();
    expect_right();
}

/* Somebody has the right to the settings; then they are half done: what both the old and the new
 * allow. No record says that, so no snapshot does. */
Test(snapshotter, settings_that_are_being_changed_are_waited_for)
{
    create(1, 10);
    cr_assert_eq(set(1, HF_SET_SELL_LIMIT, 8), HF_SET);
    begin_segment();
    struct hf_inventory_cell *cell = &region()->inventories[0];
    hf_store_release(&cell->setting, 1);
    begin_snapshot();
    step(20);
    cr_expect(report().running, "it waits for the right");

    struct hf_rules rules;
    uint64_t word;
    hf_inventory_copy_settings(cell, &rules);
    rules.settings.sell_limit = 5;
    hf_inventory_put(&region()->mcas, cell, &rules, &(struct hf_put){.change = -3, .between = true},
                     &word);
    hf_store_release(&cell->setting, 0);
    step(20);
    cr_expect(report().running, "it waits for the other half");
    rules.settings.sell_limit = 8;
    hf_inventory_put(&region()->mcas, cell, &rules, &(struct hf_put){.change = 3}, &word);
    end_snapshot();
    expect_right();
}

/* A first limit per customer is counted in pieces. Between them the settings are the old ones. */
Test(snapshotter, it_comes_between_two_pieces_of_counting_customers)
{
    create(1, 100);
    reserve_many(1, 40, 1);
    begin_segment();
    enter(); /* the counting has begun, and waits for us */
    cr_expect_eq(set(1, HF_SET_CUSTOMER_LIMIT, 50), HF_PUT_ASIDE_BUSY);
    leave();
    hf_store_rig_snapshot(&rig);
    expect_right();
    cr_expect_eq(set(1, HF_SET_CUSTOMER_LIMIT, 50), HF_SET);
    hf_store_rig_snapshot(&rig);
    crash();
    expect_right();
    rig.next_actor = 0;
    for (uint32_t i = 0; i < 10; i++)
        reserve(200 + i, 1);
    cr_expect_eq(ask(HF_OP_RESERVE, 300, 1, 1), HF_CUSTOMER_LIMIT, "40 were counted again");
}

/* Inventories and reservations that are made while cells are copied: the reservations stand in cells
 * that are yet to be copied, the inventory is not in the snapshot. */
Test(snapshotter, reservations_of_an_inventory_that_it_has_not_are_left_to_the_log)
{
    create(1, 100);
    reserve_many(1, 8, 1);
    begin_segment();
    begin_snapshot();
    while (!has_file(HF_SNAPSHOT_TEMPORARY))
        step(1);
    create(2, 100);
    reserve_many(100, 8, 2);
    end_snapshot();
    expect_right();
    crash();
    expect_right();
}

/* Finished reservations are forgotten, and others get their cells, behind the place that is being
 * copied and before it. */
Test(snapshotter, cells_that_are_used_again_while_it_copies_lose_nothing)
{
    create(1, 100);
    reserve_many(1, 60, 1);
    for (uint32_t i = 1; i <= 60; i += 2)
        cr_assert_eq(ask(HF_OP_CANCEL, i, 0, 0), HF_CANCELLED);
    begin_segment();
    begin_snapshot();
    step(6);
    rig.store->log.clock.date_at_boot_ns += 25 * 3600 * S;
    reserve(400, 1); /* the log's own time goes on with it */
    for (uint32_t i = 0; i < 8; i++) {
        hf_store_rig_pass(&rig, MS);
        reserve_many(500 + 4 * i, 3, 1);
        if (i > 2)
            cr_assert_eq(ask(HF_OP_CANCEL, 500 + 4 * (i - 2), 0, 0), HF_CANCELLED);
        step(1);
        expect_right();
    }
    cr_assert(report().running, "it is still copying");
    cr_assert_gt(hf_load_relaxed(&rig.store->engine.reclaimed), 0, "cells were given back");
    end_snapshot();
    expect_right();
    crash();
    expect_right();
}

/* ---- what it attests ---- */

/* A claim that has its version, and no LSN yet, while its inventory is copied. */
Test(snapshotter, it_waits_again_for_whoever_was_inside_while_it_copied)
{
    struct half half = {0};
    create(1, 1);
    cr_assert_eq(set(1, HF_SET_FLAGS, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT), HF_SET);
    begin_segment();
    begin_snapshot();
    enter();
    claim(&half, 500, 1); /* takes the last unit, which closes the sale: that is what is copied */
    step(100);
    cr_expect(report().running, "it waits for the claim's LSN");
    expect_right();
    fill(&half);
    record(&half);
    unmark(&half);
    leave();
    end_snapshot();
    cr_expect_geq(report().last_lsn, half.made.lsn);
    expect_right();
    crash();
    expect_right();
    cr_expect_eq(ask(HF_OP_RESERVE, 600, 1, 1), HF_CLOSED);
}

/* What is copied is recorded, but not on the disk yet. A crash then must not leave a snapshot. */
Test(snapshotter, it_is_no_snapshot_before_the_log_has_all_that_is_in_it)
{
    create(1, 100);
    reserve_many(1, 20, 1);
    begin_segment();
    begin_snapshot();
    reserve_many(30, 2, 1); /* not written */
    for (uint32_t i = 0; i < 200; i++)
        hf_store_rig_snapshot_step(&rig);
    cr_expect(report().running, "it waits for the disk");
    cr_expect_str_eq(hf_store_rig_files(&rig), "1 2;");
    expect_right();
    end_snapshot();
    cr_expect_eq(report().last_lsn, rig.last_lsn);
    expect_right();
}

/* What is changed behind the place that is being copied is in the log up to the last LSN. */
Test(snapshotter, its_last_lsn_is_behind_all_that_was_copied)
{
    create(1, 100);
    reserve_many(1, 60, 1);
    begin_segment();
    begin_snapshot();
    for (uint32_t i = 0; i < 12; i++) {
        if (i % 2 == 0)
            cr_assert_eq(ask(HF_OP_CANCEL, 1 + (7 * i) % 60, 0, 0), HF_CANCELLED);
        else
            reserve(1000 + i, 1);
        step(1);
        expect_right();
    }
    cr_assert(report().running, "it is still copying");
    end_snapshot();
    cr_expect_eq(report().last_lsn, rig.last_lsn);
    expect_right();
}

/* ---- what it tells ---- */

/* The sale of an inventory ended when it was sold out. The record that says so is of a reservation
 * that was changed since, before the snapshot's start. */
Test(snapshotter, it_tells_that_an_inventory_was_closed_by_selling_out)
{
    create(1, 1);
    cr_assert_eq(set(1, HF_SET_FLAGS, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT), HF_SET);
    reserve(1, 1);
    cr_assert_eq(ask(HF_OP_CANCEL, 1, 0, 0), HF_CANCELLED);
    cr_assert_eq(ask(HF_OP_RESERVE, 2, 1, 1), HF_CLOSED);
    begin_segment();
    hf_store_rig_snapshot(&rig);
    expect_right();
    crash();
    cr_expect_eq(ask(HF_OP_RESERVE, 3, 1, 1), HF_CLOSED);
    struct hf_request request = {.operation = HF_OP_INVENTORY_SET, .inventory_id = 1};
    request.change.fields = HF_SET_REOPEN;
    cr_expect_eq(hf_store_rig_ask(&rig, &request), HF_SET);
    hf_store_rig_snapshot(&rig);
    expect_right();
    crash();
    cr_expect_eq(ask(HF_OP_RESERVE, 3, 1, 1), HF_GRANTED, "it was opened again");
}

/* Reservations that have finished are in it as long as they are retained. */
Test(snapshotter, it_has_what_is_retained_and_leaves_out_what_is_not)
{
    create(1, 100);
    reserve_many(1, 10, 1);
    for (uint32_t i = 1; i <= 4; i++)
        cr_assert_eq(ask(HF_OP_CANCEL, i, 0, 0), HF_CANCELLED);
    rig.store->log.clock.date_at_boot_ns += 20 * 3600 * S;
    for (uint32_t i = 5; i <= 6; i++)
        cr_assert_eq(ask(HF_OP_CANCEL, i, 0, 0), HF_CANCELLED);
    rig.store->log.clock.date_at_boot_ns += 10 * 3600 * S; /* and nobody has noticed */
    reserve(11, 1);
    begin_segment();
    hf_store_rig_snapshot(&rig);
    expect_right();
    crash();
    cr_expect_eq(rig.store->log.recovery.snapshot_records, 1 + 7, "two finished, five active");
    cr_expect_eq(ask(HF_OP_CANCEL, 6, 0, 0), HF_CANCELLED);
    cr_expect(rig.outcome.repeated, "the cancel of 20 hours ago is remembered");
    cr_expect_eq(ask(HF_OP_CANCEL, 4, 0, 0), HF_NOT_FOUND);
}

/* The newest date of the log is that of an event, before the snapshot's start: no record tells it. */
Test(snapshotter, it_tells_the_newest_date_of_the_log)
{
    create(1, 100);
    reserve(1, 1);
    cr_assert_eq(ask(HF_OP_CANCEL, 1, 0, 0), HF_CANCELLED);
    rig.store->log.clock.date_at_boot_ns += 25 * 3600 * S;
    begin_segment(); /* with events */
    hf_store_rig_snapshot(&rig);
    expect_right();
    crash();
    cr_expect_eq(ask(HF_OP_RESERVATION_GET, 1, 0, 0), HF_NOT_FOUND, "its retention had ended");
}

/* A booking that was made from a lapsed hold stands in a cell before the hold's. */
Test(snapshotter, what_a_booking_was_made_from_is_found_in_whatever_order_they_are)
{
    const struct hf_request again = {
        .operation = HF_OP_CONFIRM,
        .flags = HF_REQUEST_REACQUIRE,
        .id = hf_id_of_number(2),
        .new_id = hf_id_of_number(3),
    };
    create(1, 10);
    rig.next_actor = 0;
    reserve(1, 1); /* actor 0 has the first cells */
    rig.next_actor = 1;
    cr_assert_eq(ask(HF_OP_HOLD, 2, 1, 1), HF_GRANTED);
    hf_store_rig_pass(&rig, 2 * S);
    rig.next_actor = 0;
    cr_assert_eq(hf_store_rig_ask(&rig, &again), HF_CONFIRMED);
    begin_segment();
    hf_store_rig_snapshot(&rig);
    expect_right();
    crash();
    cr_expect_eq(hf_store_rig_ask(&rig, &again), HF_CONFIRMED);
    cr_expect(rig.outcome.repeated, "it is known that this was made from that");
    cr_expect(hf_id_equal(&rig.outcome.reservation.linked_id, &again.id));
}

/* ---- the waiting list ---- */

Test(snapshotter, a_waiting_list_keeps_its_order)
{
    create(1, 1);
    reserve(1, 1);
    for (uint32_t i = 10; i < 20; i++) {
        rig.next_actor = i % 2; /* their cells are not in the order of the list */
        cr_assert_eq(ask(HF_OP_JOIN, i, 1, 1), HF_JOINED);
    }
    cr_assert_eq(ask(HF_OP_LEAVE, 10, 0, 0), HF_LEFT);
    begin_segment();
    hf_store_rig_snapshot(&rig);
    expect_right();
    crash();
    cr_assert_eq(ask(HF_OP_CANCEL, 1, 0, 0), HF_CANCELLED);
    cr_assert_eq(ask(HF_OP_RESERVATION_GET, 11, 0, 0), HF_FOUND);
    cr_expect_eq(rig.outcome.reservation.state, HF_STATE_HELD, "the head has its offer");
}

/* ---- when one is made ---- */

Test(snapshotter, one_that_is_asked_for_is_made_if_anything_has_changed)
{
    hf_snapshotter_request(snapshotter());
    cr_expect(report().requested);
    step(3);
    cr_expect_eq(report().made, 0, "of a log without a record");
    cr_expect(!report().requested);
    create(1, 10);
    hf_store_rig_write(&rig);
    hf_store_rig_snapshot(&rig);
    hf_snapshotter_request(snapshotter());
    step(3);
    cr_expect_eq(report().made, 1, "there is one of this state");
    cr_expect(!report().requested && !report().running);
}

/* It may come too late for the one that is under way. */
Test(snapshotter, one_that_is_asked_for_while_another_is_made_follows_it)
{
    create(1, 10);
    begin_snapshot();
    reserve(1, 1);
    hf_snapshotter_request(snapshotter());
    cr_expect(report().requested);
    end_snapshot();
    reserve(2, 1);
    step(1);
    cr_expect(report().running, "the next one");
    end_snapshot();
    cr_expect(!report().requested);
    step(5);
    cr_expect_eq(report().made, 2, "and no other");
}

Test(snapshotter, one_is_due_when_the_log_has_grown, .init = NULL)
{
    const struct hf_store_rig_options options = {.snapshot_log_bytes = 64 << 12};
    hf_store_rig_open(&rig, &options);
    create(1, 1000);
    uint32_t number = 1;
    for (; number < 60; number++) {
        reserve(number, 1);
        step(1); /* writes: a block of 4096 bytes */
    }
    cr_expect_eq(report().made, 0);
    cr_expect(!report().running);
    for (; number < 70; number++) {
        reserve(number, 1);
        step(1);
    }
    cr_expect(report().running || report().made == 1);
    while (report().running)
        step(1);
    cr_expect_eq(report().made, 1);
    cr_expect_lt(report().log_bytes, 20u << 12, "since it began");
    for (uint32_t end = number + 40; number < end; number++) {
        reserve(number, 1);
        step(1);
    }
    cr_expect_eq(report().made, 1, "the next one is not due yet");
    crash();
    for (uint32_t end = number + 10; number < end; number++) {
        reserve(number, 1);
        step(1);
    }
    cr_expect(report().running || report().made == 1, "what was read at the start counts");
}

Test(snapshotter, one_is_due_when_time_has_passed_and_anything_has_changed, .init = NULL)
{
    const struct hf_store_rig_options options = {.snapshot_interval_ns = 60 * S};
    hf_store_rig_open(&rig, &options);
    create(1, 10);
    hf_store_rig_pass(&rig, 59 * S);
    step(2);
    cr_expect(!report().running);
    hf_store_rig_pass(&rig, 2 * S);
    step(1);
    cr_expect(report().running);
    end_snapshot();
    hf_store_rig_pass(&rig, 61 * S);
    step(2);
    cr_expect(!report().running, "nothing has changed");
    reserve(1, 1);
    step(1);
    cr_expect(report().running);
}

/* ---- what goes wrong ---- */

/* One call of the disk fails while it is made. It is given up, and made later; the log goes on. */
static void expect_retry(enum hf_memory_operation operation, uint32_t skip, int error)
{
    uint64_t made = report().made, failures = report().failures;
    reserve(1000 + (uint32_t)failures, 1);
    hf_store_rig_write(&rig);
    hf_snapshotter_request(snapshotter());
    hf_memory_io_fail(rig.memory, operation, skip, 1, error);
    for (uint32_t i = 0; i < 1000 && report().made == made && report().failures == failures; i++)
        hf_store_rig_snapshot_step(&rig);
    hf_memory_io_fail(rig.memory, operation, 0, 0, 0);
    cr_assert_eq(report().failures, failures + 1, "operation %d", (int)operation);
    cr_expect_eq(report().last_error, error);
    cr_expect(!report().running);
    cr_expect(!has_file(HF_SNAPSHOT_TEMPORARY), "its file is gone");
    expect_right();
    step(3);
    cr_expect(!report().running, "not at once");
    reserve(100 * (uint32_t)report().failures, 1);
    hf_store_rig_pass(&rig, 11 * S);
    step(1);
    cr_assert(report().running, "again, without being asked");
    end_snapshot();
    cr_expect_eq(report().last_error, 0);
    expect_right();
}

Test(snapshotter, one_that_fails_is_given_up_and_made_again)
{
    create(1, 100);
    reserve_many(1, 5, 1);
    hf_store_rig_write(&rig);
    expect_retry(HF_MEMORY_OPEN, 0, -EMFILE);
    expect_retry(HF_MEMORY_WRITE, 0, -ENOSPC);
    expect_retry(HF_MEMORY_WRITE, 1, -EIO);
    expect_retry(HF_MEMORY_SYNC_FILE, 0, -EIO);
    expect_retry(HF_MEMORY_SYNC_FILE, 1, -EIO);
    expect_retry(HF_MEMORY_RENAME, 0, -EIO);
    expect_retry(HF_MEMORY_SYNC_DIRECTORY, 0, -EIO);
}

/* An operator who asks does not wait for the pause after a failure. */
Test(snapshotter, one_that_is_asked_for_after_a_failure_is_made_at_once)
{
    create(1, 10);
    hf_store_rig_write(&rig);
    hf_snapshotter_request(snapshotter());
    hf_memory_io_fail(rig.memory, HF_MEMORY_OPEN, 0, 1, -EMFILE);
    for (uint32_t i = 0; i < 20 && report().failures == 0; i++)
        hf_store_rig_snapshot_step(&rig);
    cr_assert_eq(report().failures, 1);
    hf_store_rig_snapshot(&rig);
    cr_expect_eq(report().made, 1);
}

Test(snapshotter, one_that_is_under_way_when_it_is_closed_leaves_nothing)
{
    create(1, 100);
    reserve_many(1, 30, 1);
    begin_snapshot();
    step(4);
    cr_assert(has_file(HF_SNAPSHOT_TEMPORARY));
    hf_snapshotter_close(snapshotter());
    cr_expect(!has_file(HF_SNAPSHOT_TEMPORARY));
    const struct hf_snapshotter_options options = {.engine = &rig.store->engine,
                                                   .log = &rig.store->log,
                                                   .directory = rig.directory,
                                                   .io = &rig.memory->io,
                                                   .manual = true};
    cr_assert_eq(hf_snapshotter_open(&rig.store->snapshotter, &options), 0);
    hf_store_rig_snapshot(&rig);
    expect_right();
}

Test(snapshotter, without_a_number_among_the_actors_it_does_not_open)
{
    static uint32_t numbers[HF_MAX_ACTORS];
    struct hf_epochs *epochs = &rig.store->engine.epochs;
    uint32_t count = 0;
    while ((numbers[count] = hf_epochs_join(epochs)) != UINT32_MAX)
        count++;
    const struct hf_snapshotter_options options = {
        .engine = &rig.store->engine, .log = &rig.store->log, .directory = rig.directory};
    struct hf_snapshotter *another;
    cr_expect_eq(hf_snapshotter_open(&another, &options), -EAGAIN);
    while (count > 0)
        hf_epochs_leave(epochs, numbers[--count]);
}

/* ---- its thread ---- */

static void await_made(struct hf_snapshotter *threaded, uint64_t made)
{
    struct hf_snapshotter_report now;
    for (uint32_t i = 0; i < 10000; i++) {
        hf_snapshotter_describe(threaded, &now);
        if (now.made >= made)
            break;
        nanosleep(&(struct timespec){.tv_nsec = MS}, NULL);
    }
    cr_assert_eq(now.made, made);
}

Test(snapshotter, its_thread_makes_one_at_once_when_asked)
{
    hf_snapshotter_close(snapshotter());
    const struct hf_snapshotter_options options = {.engine = &rig.store->engine,
                                                   .log = &rig.store->log,
                                                   .directory = rig.directory,
                                                   .io = &rig.memory->io};
    cr_assert_eq(hf_snapshotter_open(&rig.store->snapshotter, &options), 0);
    create(1, 100);
    for (uint32_t i = 1; i <= 5; i++) {
        reserve(i, 1);
        hf_store_rig_write(&rig);
        uint64_t started_ns = hf_monotonic_now_ns();
        hf_snapshotter_request(snapshotter());
        await_made(snapshotter(), i);
        cr_expect_lt(hf_monotonic_now_ns() - started_ns, S, "it does not wait for its next look");
        expect_right();
    }
}

/* Two groups at a rate of one megabyte a second, of which the last is not waited for; and somebody
 * who asks for another one all the time. */
Test(snapshotter, its_thread_keeps_to_its_rate)
{
    hf_snapshotter_close(snapshotter());
    const struct hf_snapshotter_options options = {.engine = &rig.store->engine,
                                                   .log = &rig.store->log,
                                                   .directory = rig.directory,
                                                   .io = &rig.memory->io,
                                                   .rate = 1 << 20};
    cr_assert_eq(hf_snapshotter_open(&rig.store->snapshotter, &options), 0);
    create(1, 1 << 20);
    reserve_many(1, 4000, 1);
    hf_store_rig_write(&rig);
    uint64_t started_ns = hf_monotonic_now_ns();
    hf_snapshotter_request(snapshotter());
    while (!report().running)
        sched_yield();
    hf_snapshotter_request(snapshotter());
    await_made(snapshotter(), 1);
    uint64_t took_ns = hf_monotonic_now_ns() - started_ns;
    cr_expect_geq(took_ns, 200 * MS, "a group of 256 KiB takes a quarter of a second: %llu ns",
                  (unsigned long long)took_ns);
}
