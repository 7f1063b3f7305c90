/*
 * Replay of a snapshot and of the log behind its start: the same state as of the whole log.
 *
 * An engine does random things. While it does, everything that it knows is copied into images as a
 * snapshot has them, a part at a time, in any order: so the snapshot is of no one instant, and holds
 * newer images than the records with which the log behind it begins.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/replay.h"
#include "engine/state_hash.h"
#include "tests/lib/engine_rig.h"
#include "tests/lib/stress.h"

#define INVENTORIES  6
#define IDS          300
#define RESERVATIONS 1000 /* that a region has room for */
#define STEPS        3000
#define ROUNDS       12
#define RETAIN_NS    (20 * HF_RIG_S)
#define SEED         20260411u
#define MAX_IMAGES   2000

static struct hf_rig rig;
static struct hf_random random_numbers;
static uint8_t images[MAX_IMAGES][HF_RECORD_BYTES];
static uint32_t image_count;

static uint32_t below(uint32_t end)
{
    return hf_random_below(&random_numbers, end);
}

/* ---- random things ---- */

static void claim_something(uint32_t number)
{
    uint64_t inventory_id = 1 + below(INVENTORIES), customer_id = 1 + below(20);
    uint32_t qty = 1 + below(4);
    switch (below(4)) {
    case 0:
        hf_rig_reserve(&rig, number, inventory_id, customer_id, qty);
        break;
    case 1:
        hf_rig_join(&rig, number, inventory_id, customer_id, qty);
        break;
    default:
        hf_rig_hold(&rig, number, inventory_id, customer_id, qty, HF_RIG_MS * (1 + below(4000)));
        break;
    }
}

static void change_something(uint32_t number)
{
    static const enum hf_operation simple[] = {HF_OP_CONFIRM, HF_OP_RELEASE, HF_OP_CANCEL,
                                               HF_OP_LEAVE};
    struct hf_request again = {
        .operation = HF_OP_CONFIRM, .flags = HF_REQUEST_REACQUIRE, .id = hf_id_of_number(number)};
    switch (below(6)) {
    case 0:
        hf_rig_change(&rig, number, 1 + below(3));
        break;
    case 1:
        hf_rig_move(&rig, number, 1 + below(20));
        break;
    case 2:
        hf_rig_do(&rig, &again);
        break;
    default:
        hf_rig_simple(&rig, simple[below(4)], number);
        break;
    }
}

static void set_something(void)
{
    uint64_t inventory_id = 1 + below(INVENTORIES);
    switch (below(4)) {
    case 0:
        hf_rig_set_one(&rig, inventory_id, HF_SET_SELL_LIMIT, 10 + below(80));
        break;
    case 1:
        hf_rig_set_one(&rig, inventory_id, HF_SET_CUSTOMER_LIMIT, below(2) * 30);
        break;
    case 2:
        hf_rig_set_flags(&rig, inventory_id, HF_INVENTORY_CLOSE_WHEN_SOLD_OUT,
                         below(2) != 0 ? HF_INVENTORY_CLOSE_WHEN_SOLD_OUT : 0);
        break;
    default:
        hf_rig_set_one(&rig, inventory_id, HF_SET_REOPEN, 0);
        break;
    }
}

static void do_something(void)
{
    uint32_t kind = below(100), number = below(IDS);
    if (kind < 40)
        claim_something(number);
    else if (kind < 85)
        change_something(number);
    else if (kind < 90)
        set_something();
    else
        hf_rig_pass(&rig, below(500) * HF_RIG_MS);
}

static void open_rig(uint64_t seed)
{
    const struct hf_rig_options options = {.max_inventories = INVENTORIES + 2,
                                           .max_reservations = RESERVATIONS,
                                           .retain_ns = RETAIN_NS};
    random_numbers = hf_random_for(SEED, seed);
    hf_rig_open_stocked(&rig, &options, INVENTORIES, 60);
    for (uint64_t id = 1; id <= INVENTORIES; id++)
        hf_rig_set_one(&rig, id, HF_SET_WAITING_LIMIT, 100);
    image_count = 0;
}

/* ---- a snapshot, as docs/log-format.md has its records ---- */

static void copy_inventories(void)
{
    const struct hf_region *region = &rig.engine.region;
    for (uint32_t i = 0; i < INVENTORIES; i++) {
        const struct hf_inventory_cell *cell = &region->inventories[i];
        struct hf_rules rules;
        cr_assert(hf_inventory_copy_settings(cell, &rules));
        uint64_t word = hf_load_relaxed(&cell->word);
        if (word & HF_WORD_SEALED)
            rules.settings.flags |= HF_INVENTORY_SOLD_OUT_CLOSED;
        const struct hf_inventory inventory = {
            .inventory_id = cell->inventory_id,
            .product_id = cell->product_id,
            .made_at_ns = cell->made_at_ns,
            .capacity = rules.capacity,
            .version = hf_word_version(word),
        };
        uint8_t *record = images[image_count++];
        hf_image_encode_inventory(record, &inventory, &rules.settings, rules.sequence,
                                  rules.changed_at_ns);
        hf_put_u64(record, rules.lsn);
    }
}

/* Those in cells first .. last - 1. */
static void copy_reservations(uint32_t first, uint32_t last)
{
    const struct hf_region *region = &rig.engine.region;
    uint64_t forget_before_ns = hf_engine_forget_before_ns(&rig.engine);
    for (uint32_t number = first; number < last && number <= hf_cells_allotted(region); number++) {
        struct hf_reservation reservation;
        struct hf_image_notes notes;
        uint64_t word;
        if (hf_reservation_copy(region, &region->reservations[number], &reservation, &word) !=
                HF_COPIED ||
            (hf_state_is_final(reservation.state) && reservation.changed_at_ns <= forget_before_ns))
            continue;
        hf_notes_of(region, &region->reservations[number], word, &notes);
        if (reservation.state == HF_STATE_EXPIRED)
            notes.reason = HF_REASON_DEADLINE;
        cr_assert_lt(image_count, MAX_IMAGES);
        uint8_t *record = images[image_count++];
        hf_image_encode_reservation(record, &reservation, &notes);
        hf_put_u64(record, reservation.lsn);
    }
}

static void shuffle_reservations(void)
{
    for (uint32_t i = image_count - 1; i > INVENTORIES; i--) {
        uint32_t other = INVENTORIES + below(i - INVENTORIES + 1);
        uint8_t record[HF_RECORD_BYTES];
        memcpy(record, images[i], sizeof record);
        memcpy(images[i], images[other], sizeof record);
        memcpy(images[other], record, sizeof record);
    }
}

/* ---- replaying ---- */

static void open_replay(struct hf_region *region, struct hf_replay *replay)
{
    cr_assert_eq(hf_region_create(region, INVENTORIES + 2, RESERVATIONS), 0);
    cr_assert_eq(hf_replay_init(replay, region, RETAIN_NS), 0);
}

static void finish(struct hf_replay *replay)
{
    const char *reason = hf_replay_finish(replay);
    cr_assert_null(reason, "%s", reason);
}

static void replay_log(struct hf_replay *replay, uint32_t first)
{
    uint32_t fault, count = rig.log_count - first;
    const char *reason =
        hf_replay_apply_all(replay, rig.log + (size_t)first * HF_RECORD_BYTES, count, &fault);
    cr_assert_null(reason, "%s", reason);
}

static void restore(struct hf_replay *replay, uint64_t log_time_ns)
{
    uint32_t fault;
    const char *reason = hf_replay_restore_all(replay, images[0], image_count, log_time_ns, &fault);
    cr_assert_null(reason, "%s", reason);
}

/* ---- the same state ---- */

static uint64_t hash_of(const struct hf_region *region)
{
    struct hf_state_hash hash;
    enum hf_hashing hashing;
    cr_assert_eq(hf_state_hash_begin(&hash, region, 0), 0);
    while ((hashing = hf_state_hash_step(&hash, region, 100)) == HF_HASHING_MORE)
        ;
    cr_assert_eq(hashing, HF_HASHING_DONE);
    hf_state_hash_end(&hash);
    return hash.sum;
}

/* Beyond the hash: where each was made from, and what its terms say. */
static void expect_same_reservations(const struct hf_region *one, const struct hf_region *other,
                                     uint32_t *links)
{
    for (uint32_t number = 1; number <= hf_cells_allotted(one); number++) {
        struct hf_reservation left, right;
        struct hf_image_notes left_notes, right_notes;
        struct hf_reservation_cell *cell;
        uint64_t word;
        if (hf_reservation_copy(one, &one->reservations[number], &left, &word) != HF_COPIED)
            continue;
        hf_notes_of(one, &one->reservations[number], word, &left_notes);
        uint64_t hash = hf_hash_id(&left.id, other->header->hash_seed);
        cr_assert_eq(hf_table_find(other, &left.id, hash, &cell), HF_LOOKUP_FOUND);
        cr_assert_eq(hf_reservation_copy(other, cell, &right, &word), HF_COPIED);
        hf_notes_of(other, cell, word, &right_notes);
        cr_expect(hf_id_equal(&left.linked_id, &right.linked_id), "the id it was made from");
        cr_expect_eq(left.deadline_ns, right.deadline_ns);
        cr_expect_eq(left_notes.origin, right_notes.origin);
        cr_expect_eq(left_notes.made_as, right_notes.made_as);
        *links += !hf_id_is_zero(&left.linked_id);
    }
}

static void expect_same_list(const struct hf_region *one, const struct hf_region *other,
                             const struct hf_inventory_cell *left,
                             const struct hf_inventory_cell *right)
{
    uint32_t left_number = left->waiting_first, right_number = right->waiting_first;
    while (left_number != 0 && right_number != 0) {
        cr_expect_eq(hf_load_relaxed(&one->reservations[left_number].lsn),
                     hf_load_relaxed(&other->reservations[right_number].lsn));
        left_number = hf_load_relaxed(&one->terms[left_number].link);
        right_number = hf_load_relaxed(&other->terms[right_number].link);
    }
    cr_expect(left_number == 0 && right_number == 0, "as many wait");
}

static void expect_same_inventories(const struct hf_region *one, const struct hf_region *other)
{
    for (uint32_t i = 0; i < INVENTORIES; i++) {
        const struct hf_inventory_cell *left = &one->inventories[i];
        const struct hf_inventory_cell *right = hf_region_find_inventory(other, left->inventory_id);
        uint64_t left_word = hf_load_relaxed(&left->word);
        uint64_t right_word = hf_load_relaxed(&right->word);
        uint64_t flags = HF_WORD_SEALED | HF_WORD_WAITING;
        cr_expect_eq(left_word & flags, right_word & flags, "closed by selling out, waiting list");
        const struct hf_inventory_cell *living = &rig.engine.region.inventories[i];
        cr_expect_eq(hf_load_relaxed(&left->held), hf_load_relaxed(&living->held));
        cr_expect_eq(hf_load_relaxed(&right->held), hf_load_relaxed(&living->held));
        cr_expect_eq(left_word & flags, hf_load_relaxed(&living->word) & flags);
        uint32_t live = hf_word_version(hf_load_relaxed(&living->word));
        cr_expect_gt(hf_word_version(right_word), live + 1000000,
                     "no version that was told comes again");
        cr_expect_lt(hf_word_version(right_word), live + 2000000);
        expect_same_list(one, other, left, right);
    }
}

static uint32_t expect_same_state(const struct hf_region *one, const struct hf_region *other)
{
    uint32_t links = 0;
    cr_expect_eq(hash_of(one), hash_of(other), "SAME-STATE");
    expect_same_reservations(one, other, &links);
    expect_same_inventories(one, other);
    return links;
}

/* One history, with a snapshot made from one third of it to the second. Returns how many
 * reservations of the state at its end were made from others. */
static uint32_t play_round(uint64_t seed)
{
    struct hf_region whole, restored;
    struct hf_replay whole_replay, restoring;
    uint32_t start = 0, copied = 1;
    uint64_t log_time_ns = 0;
    open_rig(seed);
    for (uint32_t step = 0; step < STEPS; step++) {
        do_something();
        if (step == STEPS / 3) {
            start = rig.log_count - below(rig.log_count / 4);
            log_time_ns = hf_engine_log_time_ns(&rig.engine);
            copy_inventories();
        }
        if (step > STEPS / 3 && step < 2 * STEPS / 3 && step % 20 == 0) {
            copy_reservations(copied, copied + 8);
            copied += 8;
        }
        if (step == 2 * STEPS / 3)
            copy_reservations(copied, UINT32_MAX);
    }
    shuffle_reservations();
    open_replay(&whole, &whole_replay);
    replay_log(&whole_replay, 0);
    finish(&whole_replay);
    open_replay(&restored, &restoring);
    restore(&restoring, log_time_ns);
    replay_log(&restoring, start);
    finish(&restoring);
    cr_expect_eq(whole_replay.log_time_ns, restoring.log_time_ns);
    cr_expect_eq(whole_replay.reservations, restoring.reservations);
    uint32_t links = expect_same_state(&whole, &restored);
    hf_replay_close(&whole_replay);
    hf_replay_close(&restoring);
    hf_region_close(&whole);
    hf_region_close(&restored);
    hf_rig_close(&rig);
    return links;
}

Test(replay_snapshot, with_the_log_behind_its_start_it_makes_the_state_of_the_whole_log,
     .timeout = 120)
{
    uint32_t links = 0;
    for (uint64_t seed = 0; seed < ROUNDS; seed++)
        links += play_round(seed);
    cr_expect_gt(links, 0, "some were made from lapsed holds");
}

/* ---- single rules ---- */

static struct hf_region region;
static struct hf_replay replay;

static void open_single(void)
{
    random_numbers = hf_random_for(SEED, 0);
    image_count = 0;
    open_replay(&region, &replay);
}

static void close_single(void)
{
    hf_replay_close(&replay);
    hf_region_close(&region);
}

static void add_inventory(uint32_t version)
{
    const struct hf_inventory inventory = {
        .inventory_id = 1, .made_at_ns = 1, .capacity = 100, .version = version};
    const struct hf_settings settings = {.sell_limit = 100};
    uint8_t *record = images[image_count++];
    hf_image_encode_inventory(record, &inventory, &settings, 1, 1);
    hf_put_u64(record, 1);
}

/* CONFIRMED, made at that date; `linked` 0: from nothing. */
static void add_reservation(uint32_t number, uint64_t made_at_ns, uint32_t linked)
{
    struct hf_reservation reservation = {
        .id = hf_id_of_number(number),
        .inventory_id = 1,
        .customer_id = 1,
        .made_at_ns = made_at_ns,
        .changed_at_ns = made_at_ns,
        .qty = 1,
        .sequence = 1,
        .state = HF_STATE_CONFIRMED,
    };
    if (linked != 0)
        reservation.linked_id = hf_id_of_number(linked);
    uint8_t *record = images[image_count++];
    hf_image_encode_reservation(record, &reservation, &(struct hf_image_notes){0});
    hf_put_u64(record, made_at_ns);
}

static struct hf_reservation reservation_of(uint32_t number)
{
    struct hf_id id = hf_id_of_number(number);
    struct hf_reservation reservation;
    struct hf_reservation_cell *cell;
    uint64_t word;
    cr_assert_eq(hf_table_find(&region, &id, hf_hash_id(&id, region.header->hash_seed), &cell),
                 HF_LOOKUP_FOUND);
    cr_assert_eq(hf_reservation_copy(&region, cell, &reservation, &word), HF_COPIED);
    return reservation;
}

Test(replay_snapshot, its_reservations_tell_no_version_and_count_as_no_change)
{
    /* Of version 7, with 50 reservations; then one in the log that carries none. */
    open_single();
    add_inventory(7);
    for (uint32_t number = 1; number <= 50; number++)
        add_reservation(number, 10, 0);
    restore(&replay, 0);
    add_reservation(51, 20, 0);
    cr_assert_null(hf_replay_apply(&replay, images[image_count - 1]));
    finish(&replay);
    uint64_t word = hf_load_relaxed(&region.inventories[0].word);
    cr_expect_eq(hf_word_version(word), 7 + 1 + (1u << 20));
    cr_expect_eq(hf_word_available(word), 100 - 51);
    close_single();
}

Test(replay_snapshot, the_newest_date_is_the_one_that_its_maker_knew)
{
    open_single();
    add_inventory(1);
    restore(&replay, 1234);
    finish(&replay);
    cr_expect_eq(replay.log_time_ns, 1234);
    close_single();
}

Test(replay_snapshot, what_one_was_made_from_may_stand_behind_it_or_be_gone)
{
    open_single();
    add_inventory(1);
    add_reservation(2, 20, 1);
    add_reservation(1, 10, 0);
    add_reservation(3, 30, 99); /* no longer retained */
    add_reservation(5, 40, 4);
    add_reservation(4, 50, 0); /* the id was used again since */
    restore(&replay, 0);
    finish(&replay);
    struct hf_id first = hf_id_of_number(1), found = reservation_of(2).linked_id;
    cr_expect(hf_id_equal(&found, &first));
    for (uint32_t number = 3; number <= 5; number++) {
        found = reservation_of(number).linked_id;
        cr_expect(hf_id_is_zero(&found), "%u", number);
    }
    close_single();
}

Test(replay_snapshot, a_later_reservation_with_the_id_was_made_from_nothing)
{
    /* The snapshot's was made from 1; the log has a later one under its id that was not. */
    open_single();
    add_inventory(1);
    add_reservation(1, 10, 0);
    add_reservation(2, 20, 1);
    restore(&replay, 0);
    add_reservation(2, 30, 0);
    cr_assert_null(hf_replay_apply(&replay, images[image_count - 1]));
    finish(&replay);
    struct hf_id found = reservation_of(2).linked_id;
    cr_expect(hf_id_is_zero(&found));
    close_single();
}

Test(replay_snapshot, a_later_change_says_that_what_it_was_made_from_is_gone)
{
    /* The snapshot's was made from 1; its cancel, in the log, is linked to nothing any more. */
    open_single();
    add_inventory(1);
    add_reservation(1, 10, 0);
    add_reservation(2, 20, 1);
    restore(&replay, 0);
    struct hf_reservation cancelled = reservation_of(2);
    cancelled.linked_id = (struct hf_id){{0}};
    cancelled.state = HF_STATE_CANCELLED;
    cancelled.sequence = 2;
    uint8_t *record = images[image_count++];
    hf_image_encode_reservation(record, &cancelled, &(struct hf_image_notes){0});
    hf_put_u64(record, 30);
    cr_assert_null(hf_replay_apply(&replay, record));
    finish(&replay);
    struct hf_id found = reservation_of(2).linked_id;
    cr_expect(hf_id_is_zero(&found));
    close_single();
}
