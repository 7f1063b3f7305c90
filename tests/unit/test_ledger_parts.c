/* What the ledger of holdfast-wal is made of: index, map, versions, order; and how much it
 * keeps. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/lib/log_builder.h"
#include "tests/lib/stress.h"
#include "tools/acks.h"
#include "tools/ledger_order.h"
#include "tools/ledger_private.h"

/* ---- index ------------------------------------------------------------------------------ */

#define NUMBERS 5000u

/* How often the number is found under its hash. */
static unsigned times_found(const struct hf_ledger_index *index, uint32_t hash, uint32_t number)
{
    unsigned times = 0;
    uint32_t found;
    struct hf_ledger_probe probe = hf_ledger_index_seek(index, hash);
    while (hf_ledger_index_next(index, &probe, &found))
        times += found == number;
    return times;
}

static void expect_found(const struct hf_ledger_index *index, const uint32_t *hashes,
                         const bool *there)
{
    uint64_t count = 0;
    for (uint32_t number = 0; number < NUMBERS; number++) {
        cr_assert_eq(times_found(index, hashes[number], number), there[number] ? 1u : 0u,
                     "number %u", number);
        count += there[number];
    }
    cr_assert_eq(index->count, count);
}

/* Adds and takes out at random, and looks for all. The hashes are of so many bits, in their highest
 * places or their lowest. */
static void churn_index(unsigned bits, bool highest)
{
    static uint32_t hashes[NUMBERS];
    static bool there[NUMBERS];
    struct hf_ledger_index index = {0};
    struct hf_random random = hf_random_for(bits, highest);
    memset(there, 0, sizeof there);
    for (uint32_t number = 0; number < NUMBERS; number++) {
        uint32_t hash = (uint32_t)hf_random_next(&random);
        hashes[number] = highest ? hash & ~0u << (32 - bits) : hash & ~0u >> (32 - bits);
    }
    for (int round = 0; round < 6; round++) {
        for (uint32_t i = 0; i < NUMBERS; i++) {
            uint32_t number = hf_random_below(&random, NUMBERS);
            if (there[number]) {
                hf_ledger_index_remove(&index, hashes[number], number);
            } else {
                cr_assert(hf_ledger_index_reserve(&index));
                hf_ledger_index_add(&index, hashes[number], number);
            }
            there[number] = !there[number];
        }
        expect_found(&index, hashes, there);
    }
    hf_ledger_index_free(&index);
}

Test(ledger_parts, an_index_finds_what_was_added_and_not_taken_out)
{
    /* Hashes spread over all slots; a few hundred hashes for all, so that many are equal; hashes
     * whose homes are all the first slot; two hashes for all. */
    churn_index(32, true);
    churn_index(10, true);
    churn_index(12, false);
    churn_index(1, true);
}

Test(ledger_parts, an_index_has_room_behind_its_last_home)
{
    /* Hashes whose home is the last: as many as there is room for, and one more, for which there is
     * none, however it grows. What is there is found. */
    struct hf_ledger_index index = {0};
    uint32_t number = 0;
    for (; number < 2000 && hf_ledger_index_reserve(&index); number++)
        hf_ledger_index_add(&index, UINT32_MAX - number % 2, number);
    cr_expect_eq(number, HF_LEDGER_INDEX_SLACK, "%u", number);
    for (uint32_t i = 0; i < number; i++)
        cr_assert_eq(times_found(&index, UINT32_MAX - i % 2, i), 1u, "number %u", i);
    while (number-- > 0)
        hf_ledger_index_remove(&index, UINT32_MAX - number % 2, number);
    cr_expect_eq(index.count, 0);
    hf_ledger_index_free(&index);
}

Test(ledger_parts, a_full_index_is_in_the_order_of_its_hashes)
{
    /* Up to where it would grow: a search for what is not there ends at what is higher. */
    struct hf_ledger_index index = {0};
    struct hf_random random = hf_random_for(3, 1);
    cr_assert(hf_ledger_index_reserve(&index));
    for (uint32_t number = 0; number < 768; number++) {
        cr_assert(hf_ledger_index_reserve(&index));
        hf_ledger_index_add(&index, (uint32_t)hf_random_next(&random), number);
    }
    cr_expect_eq(index.homes, 1024);
    uint64_t last = 0;
    for (uint64_t at = 0; at < index.homes + HF_LEDGER_INDEX_SLACK; at++) {
        if (index.slots[at] == 0)
            continue;
        cr_assert_gt(index.slots[at], last);
        cr_assert_leq(hf_ledger_index_home(&index, (uint32_t)(index.slots[at] >> 32)), at);
        last = index.slots[at];
    }
    hf_ledger_index_free(&index);
}

Test(ledger_parts, an_index_without_anything_finds_nothing)
{
    /* Before the first is added. */
    struct hf_ledger_index index = {0};
    cr_expect_eq(times_found(&index, 42, 0), 0);
    hf_ledger_index_free(&index);
}

/* ---- map -------------------------------------------------------------------------------- */

Test(ledger_parts, a_map_counts_units_and_forgets_who_has_none)
{
    /* 40 customers of 40 inventories, units added and taken at random; ends with nobody. */
    enum { SIDE = 40 };
    static uint32_t expected[SIDE][SIDE];
    struct hf_ledger_map map = {0};
    struct hf_random random = hf_random_for(1, 2);
    cr_expect_eq(hf_ledger_map_units(&map, 1, 1), 0);
    for (int i = 0; i < 20000; i++) {
        uint32_t inventory = hf_random_below(&random, SIDE),
                 customer = hf_random_below(&random, SIDE);
        uint32_t *has = &expected[inventory][customer];
        int64_t units = *has == 0 ? 1 + hf_random_below(&random, 3)
                                  : -(int64_t)(1 + hf_random_below(&random, *has));
        cr_assert(hf_ledger_map_add(&map, inventory, customer, units));
        *has += (uint32_t)units;
        cr_assert_eq(hf_ledger_map_units(&map, inventory, customer), *has);
    }
    uint64_t pairs = 0;
    for (uint32_t inventory = 0; inventory < SIDE; inventory++) {
        for (uint32_t customer = 0; customer < SIDE; customer++) {
            pairs += expected[inventory][customer] != 0;
            cr_assert_eq(hf_ledger_map_units(&map, inventory, customer),
                         expected[inventory][customer]);
        }
    }
    cr_expect_eq(map.count, pairs);
    for (uint32_t inventory = 0; inventory < SIDE; inventory++) {
        for (uint32_t customer = 0; customer < SIDE; customer++)
            hf_ledger_map_add(&map, inventory, customer, -(int64_t)expected[inventory][customer]);
    }
    cr_expect_eq(map.count, 0);
    hf_ledger_map_free(&map);
}

/* ---- versions --------------------------------------------------------------------------- */

#define KEPT (1 << 20)

static void expect_version(struct hf_ledger_versions *versions, int64_t version,
                           enum hf_ledger_version_standing standing)
{
    cr_assert_eq(hf_ledger_versions_add(versions, version), standing, "version %lld",
                 (long long)version);
}

Test(ledger_parts, a_version_is_known_again_whatever_the_order)
{
    /* Every third version, in groups that come backwards, up to 300000; from a number below zero
     * on, as versions are counted on from wherever they begin. Then each again. */
    enum { GROUP = 30, LAST = 300000 };
    const int64_t first = -1000;
    struct hf_ledger_versions versions = {0};
    for (int64_t group = 0; group < LAST; group += GROUP) {
        for (int64_t version = group + GROUP - 3; version >= group; version -= 3)
            expect_version(&versions, first + version, HF_LEDGER_VERSION_NEW);
    }
    for (int64_t version = 0; version < LAST; version++) {
        if (version % 3 == 0)
            expect_version(&versions, first + version, HF_LEDGER_VERSION_TWICE);
    }
    for (int64_t version = 1; version < LAST; version += 3)
        expect_version(&versions, first + version, HF_LEDGER_VERSION_NEW);
    hf_ledger_versions_free(&versions);
}

Test(ledger_parts, the_newest_versions_are_known_and_older_ones_forgotten)
{
    /* Two million versions, all of claims: of the last 2^20 each is known, of those before a word
     * earlier none. */
    enum { LAST = 2000000 };
    struct hf_ledger_versions versions = {0};
    for (int64_t version = 0; version <= LAST; version++)
        expect_version(&versions, version, HF_LEDGER_VERSION_NEW);
    expect_version(&versions, LAST, HF_LEDGER_VERSION_TWICE);
    expect_version(&versions, LAST - KEPT, HF_LEDGER_VERSION_TWICE);
    expect_version(&versions, LAST - KEPT - 64, HF_LEDGER_VERSION_FORGOTTEN);
    expect_version(&versions, 0, HF_LEDGER_VERSION_FORGOTTEN);
    hf_ledger_versions_clear(&versions);
    expect_version(&versions, LAST, HF_LEDGER_VERSION_NEW);
    expect_version(&versions, LAST, HF_LEDGER_VERSION_TWICE);
    for (int64_t version = LAST - 1000; version < LAST; version++)
        expect_version(&versions, version, HF_LEDGER_VERSION_NEW);
    hf_ledger_versions_free(&versions);
}

Test(ledger_parts, what_was_passed_over_was_not_had)
{
    /* All versions of two windows; then one some hundred later, and those that were left out. */
    enum { LAST = 2 * KEPT };
    struct hf_ledger_versions versions = {0};
    for (int64_t version = 0; version < LAST; version++)
        expect_version(&versions, version, HF_LEDGER_VERSION_NEW);
    expect_version(&versions, LAST + 500, HF_LEDGER_VERSION_NEW);
    for (int64_t version = LAST; version < LAST + 500; version++)
        expect_version(&versions, version, HF_LEDGER_VERSION_NEW);
    hf_ledger_versions_free(&versions);
}

Test(ledger_parts, few_claims_far_apart_take_little_memory)
{
    /* 100 claims, each a million versions after the one before. */
    struct hf_ledger_versions versions = {0};
    for (int64_t version = 0; version < 100000000; version += 1000000)
        expect_version(&versions, version, HF_LEDGER_VERSION_NEW);
    cr_expect_leq(versions.room, 256u);
    expect_version(&versions, 99000000, HF_LEDGER_VERSION_TWICE);
    expect_version(&versions, 99000001, HF_LEDGER_VERSION_NEW);
    hf_ledger_versions_free(&versions);
}

/* ---- order ------------------------------------------------------------------------------ */

Test(ledger_parts, keys_are_put_in_order_and_equal_ones_stay_as_they_came)
{
    /* 20000 keys: of few bits in various places; all equal; none at all. */
    enum { KEYS = 20000 };
    static const uint64_t masks[] = {~0ull, 0xff, 0xff00000000000000ull, 0x00000ff000000f00ull, 0};
    for (size_t m = 0; m < sizeof masks / sizeof masks[0]; m++) {
        struct hf_ledger_order order;
        struct hf_random random = hf_random_for(m, 7);
        cr_assert(hf_ledger_order_open(&order, KEYS));
        for (uint32_t number = 0; number < KEYS; number++)
            hf_ledger_order_add(&order, hf_random_next(&random) & masks[m], number);
        cr_assert(hf_ledger_order_sort(&order));
        for (uint32_t i = 1; i < KEYS; i++)
            cr_assert(order.keys[i - 1].key < order.keys[i].key ||
                      (order.keys[i - 1].key == order.keys[i].key &&
                       order.keys[i - 1].number < order.keys[i].number));
        hf_ledger_order_close(&order);
    }
    struct hf_ledger_order empty;
    cr_assert(hf_ledger_order_open(&empty, 0) && hf_ledger_order_sort(&empty));
    hf_ledger_order_close(&empty);
}

/* ---- one hash ---------------------------------------------------------------------------- */

/* The first two numbers whose hashes are equal, of those that are tried in turn. */
static void find_collision(uint32_t (*hash)(uint64_t number), uint64_t *one, uint64_t *other)
{
    struct hf_ledger_index index = {0};
    for (uint32_t number = 1; number < 1u << 20; number++) {
        uint32_t found, of_number = hash(number);
        struct hf_ledger_probe probe = hf_ledger_index_seek(&index, of_number);
        if (hf_ledger_index_next(&index, &probe, &found)) {
            *one = found;
            *other = number;
            hf_ledger_index_free(&index);
            return;
        }
        cr_assert(hf_ledger_index_reserve(&index));
        hf_ledger_index_add(&index, of_number, number);
    }
    cr_assert_fail("no two hashes are equal");
}

#define SEED 42u

static uint32_t hash_of_reservation(uint64_t number)
{
    struct hf_reservation reservation = hf_builder_reservation(number, 1, 1, HF_STATE_CONFIRMED);
    return hf_ledger_hash_of_id(SEED, reservation.id.bytes);
}

static uint64_t scattered(uint64_t number)
{
    return number * number * number * 0xd6e8feb86659fd93ull;
}

static uint32_t hash_of_inventory(uint64_t number)
{
    return hf_ledger_hash_of_number(SEED, scattered(number));
}

static void enter_one(struct hf_ledger *ledger, uint64_t lsn, uint64_t number,
                      uint64_t inventory_id, enum hf_state state)
{
    uint8_t record[HF_RECORD_BYTES];
    struct hf_reservation reservation = hf_builder_reservation(number, inventory_id, 5, state);
    hf_image_encode_reservation(
        record, &reservation,
        &(struct hf_image_notes){.inventory_version = state == HF_STATE_CONFIRMED ? 2 : 0});
    hf_put_u64(record, lsn);
    const char *reason = hf_ledger_enter(ledger, record);
    cr_assert_null(reason, "LSN %llu: %s", (unsigned long long)lsn, reason);
}

Test(ledger_parts, ids_with_one_hash_are_told_apart)
{
    /* Two reservations, and two inventories, of 5 units each: all are granted and given back. */
    uint64_t one, other, inventory, other_inventory;
    struct hf_ledger *ledger = hf_ledger_open(UINT64_MAX);
    struct hf_ledger_totals totals;
    cr_assert_not_null(ledger);
    ledger->book.seed = SEED;
    find_collision(hash_of_reservation, &one, &other);
    find_collision(hash_of_inventory, &inventory, &other_inventory);
    const uint64_t ids[] = {scattered(inventory), scattered(other_inventory)};
    for (uint64_t i = 0; i < 2; i++) {
        uint8_t record[HF_RECORD_BYTES];
        struct hf_inventory made = hf_builder_inventory(ids[i], 5);
        struct hf_settings settings = hf_builder_settings(5);
        hf_image_encode_inventory(record, &made, &settings, 1, HF_BUILDER_MADE_AT);
        hf_put_u64(record, i + 1);
        cr_assert_null(hf_ledger_enter(ledger, record));
    }
    enter_one(ledger, 3, one, ids[0], HF_STATE_CONFIRMED);
    enter_one(ledger, 4, other, ids[1], HF_STATE_CONFIRMED);
    enter_one(ledger, 5, other, ids[1], HF_STATE_CANCELLED);
    enter_one(ledger, 6, one, ids[0], HF_STATE_CANCELLED);
    hf_ledger_totals(ledger, &totals);
    cr_expect_eq(totals.inventories, 2);
    cr_expect_eq(totals.reservations, 2);
    cr_expect_eq(totals.cancelled, 2);
    hf_ledger_close(ledger);
}

Test(ledger_parts, acknowledgements_with_one_hash_are_told_apart)
{
    /* Two ids; the log has one of them. */
    uint64_t one, other;
    struct hf_acks acks = {.seed = SEED};
    uint8_t record[HF_RECORD_BYTES];
    char line[HF_ID_TEXT_BYTES], error[HF_ACKS_ERROR_BYTES];
    find_collision(hash_of_reservation, &one, &other);
    struct hf_reservation reservation = hf_builder_reservation(other, 1, 1, HF_STATE_CONFIRMED);
    hf_id_format(&reservation.id, line);
    cr_assert(hf_acks_add_line(&acks, line, 1, error));
    reservation = hf_builder_reservation(one, 1, 1, HF_STATE_CONFIRMED);
    hf_image_encode_reservation(record, &reservation, &(struct hf_image_notes){0});
    hf_acks_meet(&acks, record, 1);
    cr_expect_not(acks.acks[0].found);
    hf_id_format(&reservation.id, line);
    cr_assert(hf_acks_add_line(&acks, line, 2, error));
    hf_acks_meet(&acks, record, 1);
    cr_expect(!acks.acks[0].found && acks.acks[1].found);
    hf_acks_close(&acks);
}

/* ---- what is kept ----------------------------------------------------------------------- */

/* Enters records of an endless log, one inventory's. */
struct endless {
    struct hf_ledger *ledger;
    uint64_t lsn, now_ns;
    uint32_t version;
};

static void enter(struct endless *log, uint8_t *record)
{
    hf_put_u64(record, ++log->lsn);
    const char *reason = hf_ledger_enter(log->ledger, record);
    cr_assert_null(reason, "LSN %llu: %s", (unsigned long long)log->lsn, reason);
}

static void open_endless(struct endless *log, uint64_t remember_ns)
{
    uint8_t record[HF_RECORD_BYTES];
    struct hf_inventory inventory = hf_builder_inventory(1, 100);
    struct hf_settings settings = hf_builder_settings(100);
    settings.customer_limit = 50; /* customers are counted, too */
    *log = (struct endless){
        .ledger = hf_ledger_open(remember_ns), .now_ns = HF_BUILDER_MADE_AT, .version = 1};
    cr_assert_not_null(log->ledger);
    hf_image_encode_inventory(record, &inventory, &settings, 1, HF_BUILDER_MADE_AT);
    enter(log, record);
}

/* A reservation is made, and cancelled a second later. */
static void make_and_cancel(struct endless *log, uint64_t number)
{
    uint8_t record[HF_RECORD_BYTES];
    struct hf_reservation reservation = hf_builder_reservation(number, 1, 1, HF_STATE_CONFIRMED);
    struct hf_image_notes notes = {.inventory_version = ++log->version};
    reservation.customer_id = number;
    reservation.made_at_ns = reservation.changed_at_ns = log->now_ns;
    hf_image_encode_reservation(record, &reservation, &notes);
    enter(log, record);
    log->now_ns += 1000000000;
    reservation.state = HF_STATE_CANCELLED;
    reservation.sequence = 2;
    reservation.changed_at_ns = log->now_ns;
    notes.inventory_version = log->version++;
    hf_image_encode_reservation(record, &reservation, &notes);
    enter(log, record);
}

Test(ledger_parts, memory_is_that_of_the_state_and_not_of_the_log, .timeout = 120)
{
    /* 300000 reservations, one a second, remembered for 1000 seconds; then some of the last ids are
     * used once more, and some of the first. */
    struct endless log;
    struct hf_ledger_totals totals;
    uint64_t retained;
    open_endless(&log, 1000ull * 1000000000);
    for (uint64_t number = 1; number <= 300000; number++)
        make_and_cancel(&log, number);
    for (uint64_t number = 1; number <= 5; number++) {
        make_and_cancel(&log, number);
        make_and_cancel(&log, 300001 - number);
    }
    hf_ledger_totals(log.ledger, &totals);
    cr_expect_eq(totals.reservations, 300005);
    cr_expect_eq(totals.reused, 5);
    cr_expect_eq(totals.cancelled, 300005);
    hf_ledger_state_hash(log.ledger, 1000ull * 1000000000, &retained);
    cr_expect_eq(totals.forgotten + retained, 300005);
    cr_expect_leq(log.ledger->book.reservations.count, 1100u);
    cr_expect_leq(log.ledger->book.reservation_index.homes, 2048u);
    cr_expect_eq(log.ledger->book.customers.count, 0u);
    hf_ledger_close(log.ledger);
}

/* One joins the waiting list, and leaves it. */
static void join_and_leave(struct endless *log, uint64_t number)
{
    uint8_t record[HF_RECORD_BYTES];
    struct hf_reservation reservation = hf_builder_reservation(number, 1, 1, HF_STATE_WAITING);
    struct hf_image_notes notes = {.inventory_version = log->version, .made_as = HF_STATE_WAITING};
    hf_image_encode_reservation(record, &reservation, &notes);
    enter(log, record);
    reservation.state = HF_STATE_CANCELLED;
    reservation.sequence = 2;
    hf_image_encode_reservation(record, &reservation, &notes);
    enter(log, record);
}

Test(ledger_parts, who_left_the_waiting_list_takes_no_memory_for_it)
{
    /* 1000, one after the other. */
    struct endless log;
    open_endless(&log, 1000ull * 1000000000);
    for (uint64_t number = 1; number <= 1000; number++)
        join_and_leave(&log, number);
    cr_expect_eq(log.ledger->book.mores.count, 1u);
    hf_ledger_close(log.ledger);
}

Test(ledger_parts, what_is_forgotten_cannot_be_changed)
{
    /* A reservation was cancelled, and forgotten; then a record says that it was cancelled
     * again. */
    struct endless log;
    uint8_t record[HF_RECORD_BYTES];
    open_endless(&log, 1000ull * 1000000000);
    make_and_cancel(&log, 1);
    log.now_ns += 2000ull * 1000000000;
    make_and_cancel(&log, 2);
    struct hf_reservation reservation = hf_builder_reservation(1, 1, 1, HF_STATE_CANCELLED);
    reservation.sequence = 3;
    hf_image_encode_reservation(record, &reservation, &(struct hf_image_notes){0});
    hf_put_u64(record, ++log.lsn);
    const char *reason = hf_ledger_enter(log.ledger, record);
    cr_assert_not_null(reason);
    cr_expect_not_null(strstr(reason, "was never made"), "%s", reason);
    hf_ledger_close(log.ledger);
}

Test(ledger_parts, what_may_have_been_forgotten_is_counted_as_unproved)
{
    /* A reservation is made from a hold of which nothing is known: a fault, if nothing was
     * forgotten; else nobody can say. */
    for (int forgets = 0; forgets <= 1; forgets++) {
        struct endless log;
        struct hf_ledger_totals totals;
        uint8_t record[HF_RECORD_BYTES];
        open_endless(&log, 1000ull * 1000000000);
        make_and_cancel(&log, 1);
        if (forgets) {
            log.now_ns += 2000ull * 1000000000;
            make_and_cancel(&log, 2);
        }
        struct hf_reservation anew = hf_builder_reservation(3, 1, 1, HF_STATE_CONFIRMED);
        anew.made_at_ns = anew.changed_at_ns = log.now_ns;
        anew.linked_id = hf_builder_reservation(9, 1, 1, HF_STATE_HELD).id;
        hf_image_encode_reservation(record, &anew,
                                    &(struct hf_image_notes){.inventory_version = ++log.version});
        hf_put_u64(record, ++log.lsn);
        const char *reason = hf_ledger_enter(log.ledger, record);
        cr_expect_eq(reason == NULL, forgets == 1, "%s", reason);
        hf_ledger_totals(log.ledger, &totals);
        cr_expect_eq(totals.unproved, (uint64_t)forgets);
        hf_ledger_close(log.ledger);
    }
}
