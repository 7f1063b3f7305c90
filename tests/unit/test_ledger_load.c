/*
 * The ledger of holdfast-wal beginning with a state: whatever part of a log is loaded, from records
 * or from a snapshot, it goes on as one that judged all; and it knows a snapshot that does not
 * belong to the log. The logs are what an engine logged while random operations were done to it,
 * crashes among them.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "tests/lib/stress.h"
#include "tests/model/tape.h"
#include "tools/ledger.h"
#include "wal/record.h"

#define RETAIN_NS (10 * 60 * HF_NS_PER_S)
#define FOR_EVER  UINT64_MAX
#define LOGS      24u
#define STEPS     1500u

enum {
    AT_STATE = 9,
    AT_CHAIN = 10,
    AT_CHAIN_LENGTH = 11,
    AT_ID = 16,
    AT_QTY = 12,
    AT_CUSTOMER = 40,
    AT_VERSION = 76,
    AT_FLAGS = 101,
};

static struct hf_tape tape;

static const uint8_t *record_of(uint64_t lsn)
{
    return tape.records + (lsn - 1) * HF_RECORD_BYTES;
}

/* ---- ledgers ---------------------------------------------------------------------------- */

/* What a ledger knows at its end, to be compared. */
struct told {
    struct hf_ledger_totals totals;
    uint64_t hash, retained;
    uint64_t views; /* of all that is visited, in its order */
};

static uint64_t mix(uint64_t sum, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < count; i++)
        sum = (sum ^ at[i]) * 0x100000001b3ull;
    return sum;
}

static uint64_t mix_number(uint64_t sum, uint64_t number)
{
    return mix(sum, &number, sizeof number);
}

static bool view_inventory(void *context, const struct hf_ledger_inventory_view *view)
{
    uint64_t *sum = context;
    uint8_t record[HF_RECORD_BYTES];
    memcpy(record, view->record, sizeof record);
    hf_ledger_inventory_rewrite(record, 0, false);
    *sum = mix(*sum, record, sizeof record);
    *sum = mix_number(*sum, (uint64_t)view->available);
    *sum = mix_number(*sum, view->held);
    *sum = mix_number(*sum, view->confirmed);
    *sum = mix_number(*sum, view->waiting);
    *sum = mix_number(*sum, view->sold_out_closed);
    *sum = mix_number(*sum, view->lsn);
    return true;
}

static bool view_reservation(void *context, const struct hf_ledger_reservation_image *image,
                             uint64_t lsn)
{
    uint64_t *sum = context;
    uint8_t record[HF_RECORD_BYTES];
    hf_ledger_image_write(image, lsn, record);
    *sum = mix(*sum, record, sizeof record);
    return true;
}

static struct told told_by(const struct hf_ledger *ledger)
{
    struct told told = {.views = 0xcbf29ce484222325ull};
    struct hf_ledger_visitor visitor = {.visit = view_reservation, .context = &told.views};
    hf_ledger_totals(ledger, &told.totals);
    told.hash = hf_ledger_state_hash(ledger, RETAIN_NS, &told.retained);
    cr_assert(hf_ledger_each_inventory(ledger, view_inventory, &told.views));
    cr_assert(hf_ledger_each_reservation(ledger, RETAIN_NS, &visitor));
    return told;
}

static struct hf_ledger *new_ledger(uint64_t remember_ns)
{
    struct hf_ledger *ledger = hf_ledger_open(remember_ns);
    cr_assert_not_null(ledger);
    return ledger;
}

/* True if a server started behind this LSN, and before the next record. */
static bool starts_behind(uint64_t lsn)
{
    for (uint32_t i = 0; i < tape.start_count; i++) {
        if (tape.starts[i] == lsn)
            return true;
    }
    return false;
}

/* Judges the records from `lsn` + 1 to `end`. */
static void judge(struct hf_ledger *ledger, uint64_t lsn, uint64_t end)
{
    while (lsn < end) {
        const char *reason = hf_ledger_enter(ledger, record_of(++lsn));
        cr_assert_null(reason, "LSN %llu: %s", (unsigned long long)lsn, reason);
        if (lsn < end && starts_behind(lsn))
            hf_ledger_start(ledger);
    }
}

static struct hf_ledger *judge_all(uint64_t end, uint64_t remember_ns)
{
    struct hf_ledger *ledger = new_ledger(remember_ns);
    hf_ledger_start(ledger);
    judge(ledger, 0, end);
    return ledger;
}

/* Loads the records from `lsn` + 1 to `end`. */
static void load_records(struct hf_ledger *ledger, uint64_t lsn, uint64_t end)
{
    while (lsn < end) {
        const char *reason = hf_ledger_load(ledger, record_of(++lsn), HF_LEDGER_FROM_LOG);
        cr_assert_null(reason, "LSN %llu: %s", (unsigned long long)lsn, reason);
        if (lsn < end && starts_behind(lsn))
            hf_ledger_start(ledger);
    }
}

static void settle(struct hf_ledger *ledger, uint64_t lsn)
{
    const char *reason = hf_ledger_settle(ledger, lsn);
    cr_assert_null(reason, "LSN %llu: %s", (unsigned long long)lsn, reason);
    if (starts_behind(lsn))
        hf_ledger_start(ledger);
}

/* ---- places in the log, and snapshots --------------------------------------------------- */

/* The LSN at `lsn`, or before it, that is in the middle of no chain. */
static uint64_t whole(uint64_t lsn)
{
    if (lsn == 0)
        return 0;
    const uint8_t *record = record_of(lsn);
    uint8_t place = record[AT_CHAIN], length = record[AT_CHAIN_LENGTH];
    return place + 1 < length ? lsn - place - 1 : lsn;
}

static uint64_t random_place(struct hf_random *random)
{
    return whole(hf_random_below(random, tape.count + 1));
}

static bool is_inventory(const uint8_t *record)
{
    return record[8] == 1;
}

/* True if they are about the same reservation, or the same inventory. */
static bool same_thing(const uint8_t *one, const uint8_t *other)
{
    return one[8] == other[8] &&
           memcmp(one + AT_ID, other + AT_ID, is_inventory(one) ? 8 : 16) == 0;
}

/* A snapshot: records as they stand in one. */
struct snapshot {
    uint8_t (*records)[HF_RECORD_BYTES];
    uint32_t count;
};

/* The newest version that a record up to this LSN carries of an inventory, counted on. */
static uint32_t newest_version(const uint8_t *inventory, uint64_t lsn)
{
    uint32_t newest = 0;
    for (uint64_t at = 1; at <= lsn; at++) {
        const uint8_t *record = record_of(at);
        uint64_t id = hf_get_u64(record + (record[8] == 2 ? 32 : 16));
        uint32_t version = hf_get_u32(record + (record[8] == 3 ? 12 : AT_VERSION));
        if (id == hf_get_u64(inventory + AT_ID) && version > newest)
            newest = version;
    }
    return newest;
}

/* Whether it is closed by selling out, by the definition of docs/log-format.md. */
static bool is_closed(const uint8_t *inventory, uint64_t lsn)
{
    uint32_t flags = hf_get_u32(inventory + 40), version = hf_get_u32(inventory + AT_VERSION);
    if ((flags & 16) != 0)
        return true;
    for (uint64_t at = 1; at <= lsn && (flags & 4) != 0; at++) {
        const uint8_t *record = record_of(at);
        if (record[8] == 2 && hf_get_u64(record + 32) == hf_get_u64(inventory + AT_ID) &&
            record[AT_FLAGS] != 0 && hf_get_u32(record + AT_VERSION) > version)
            return true;
    }
    return false;
}

static void add(struct snapshot *snapshot, const uint8_t *newest, uint64_t copied_lsn)
{
    uint8_t *record = snapshot->records[snapshot->count++];
    memcpy(record, newest, HF_RECORD_BYTES);
    if (is_inventory(record)) {
        hf_ledger_inventory_rewrite(record, newest_version(newest, copied_lsn),
                                    is_closed(newest, copied_lsn));
        return;
    }
    hf_put_u16(record + AT_CHAIN, 0);
    hf_put_u32(record + AT_VERSION, 0);
    record[AT_FLAGS] = 0;
    record[AT_FLAGS + 1] = record[AT_STATE] == 5;
}

/* The newest record up to that LSN of what the record at `lsn` is about, if that is its first;
 * NULL: it is not. */
static const uint8_t *newest_of_first(uint64_t lsn, uint64_t copied_lsn)
{
    for (uint64_t at = 1; at < lsn; at++) {
        if (same_thing(record_of(at), record_of(lsn)))
            return NULL;
    }
    const uint8_t *newest = record_of(lsn);
    for (uint64_t at = lsn + 1; at <= copied_lsn; at++) {
        if (same_thing(record_of(at), newest))
            newest = record_of(at);
    }
    return newest;
}

/* A snapshot as one is made while the server runs: everything before start_lsn is in it; each thing
 * as it was at some LSN from then up to `last_lsn`; inventories first. */
static struct snapshot make_snapshot(struct hf_random *random, uint64_t start_lsn,
                                     uint64_t last_lsn)
{
    struct snapshot snapshot = {calloc(tape.count + 1, HF_RECORD_BYTES), 0};
    cr_assert_not_null(snapshot.records);
    for (int kind = 1; kind <= 2; kind++) {
        for (uint64_t lsn = 1; lsn <= last_lsn; lsn++) {
            if (record_of(lsn)[8] != kind)
                continue;
            uint64_t copied_lsn =
                start_lsn - 1 + hf_random_below(random, (uint32_t)(last_lsn - start_lsn + 2));
            const uint8_t *newest = lsn <= copied_lsn ? newest_of_first(lsn, copied_lsn) : NULL;
            if (newest != NULL)
                add(&snapshot, newest, copied_lsn);
        }
    }
    return snapshot;
}

static void load_copies(struct hf_ledger *ledger, const struct snapshot *snapshot)
{
    uint32_t loaded;
    const char *reason = hf_ledger_load_all(ledger, snapshot->records[0], snapshot->count,
                                            HF_LEDGER_FROM_SNAPSHOT, &loaded);
    cr_assert_null(reason, "record %u of the snapshot: %s", loaded, reason);
    cr_assert_eq(loaded, snapshot->count);
}

/* The snapshot, and the log from there up to its last LSN; or the other way round. */
static struct hf_ledger *load_snapshot(const struct snapshot *snapshot, uint64_t start_lsn,
                                       uint64_t last_lsn, bool log_first)
{
    struct hf_ledger *ledger = new_ledger(FOR_EVER);
    if (!log_first)
        load_copies(ledger, snapshot);
    if (starts_behind(start_lsn - 1))
        hf_ledger_start(ledger);
    load_records(ledger, start_lsn - 1, last_lsn);
    if (log_first)
        load_copies(ledger, snapshot);
    settle(ledger, last_lsn);
    return ledger;
}

/* NULL, or why the ledger thinks that the snapshot is not of its log. */
static const char *compare(struct hf_ledger *ledger, const struct snapshot *snapshot,
                           uint64_t start_lsn)
{
    struct hf_ledger_comparison *comparison = hf_ledger_compare_open(ledger, start_lsn, FOR_EVER);
    cr_assert_not_null(comparison);
    const char *reason = NULL;
    for (uint32_t i = 0; i < snapshot->count && reason == NULL; i++)
        reason = hf_ledger_compare(comparison, snapshot->records[i]);
    if (reason == NULL)
        reason = hf_ledger_compare_end(comparison);
    hf_ledger_compare_close(comparison);
    return reason;
}

/* ---- the same end ----------------------------------------------------------------------- */

static void expect_same_state(const struct told *one, const struct told *other, const char *what)
{
    cr_expect_eq(one->hash, other->hash, "%s: the hashes differ", what);
    cr_expect_eq(one->retained, other->retained, "%s: not as many are retained", what);
    cr_expect_eq(one->views, other->views, "%s: what is visited differs", what);
#define SAME(field) cr_expect_eq(one->totals.field, other->totals.field, "%s: " #field, what)
    SAME(inventories);
    SAME(last_lsn);
    SAME(newest_ns);
    SAME(held);
    SAME(confirmed);
    SAME(waiting);
}

/* Of ledgers that have met all records. */
static void expect_same_totals(const struct told *one, const struct told *other, const char *what)
{
    expect_same_state(one, other, what);
    SAME(records);
    SAME(reservations);
    SAME(cancelled);
    SAME(released);
    SAME(expired);
    SAME(reused);
    SAME(offers);
    SAME(expiries);
    SAME(chains);
    SAME(events);
    SAME(unproved);
#undef SAME
}

/* Does it with logs of several seeds. */
static void with_logs(void (*each)(struct hf_random *random))
{
    for (uint64_t seed = 1; seed <= LOGS; seed++) {
        struct hf_random random = hf_random_for(seed, 0);
        hf_tape_make(&tape, seed, STEPS, RETAIN_NS);
        cr_assert_gt(tape.count, 100);
        each(&random);
        hf_tape_close(&tape);
    }
}

static void load_beginnings(struct hf_random *random)
{
    struct hf_ledger *ledger = judge_all(tape.count, FOR_EVER);
    struct told all = told_by(ledger);
    hf_ledger_close(ledger);
    for (int i = 0; i < 20; i++) {
        uint64_t place = i == 0 ? 0 : i == 1 ? tape.count : random_place(random);
        char what[64];
        snprintf(what, sizeof what, "loaded up to LSN %llu", (unsigned long long)place);
        ledger = new_ledger(FOR_EVER);
        hf_ledger_start(ledger);
        load_records(ledger, 0, place);
        settle(ledger, place);
        judge(ledger, place, tape.count);
        struct told loaded = told_by(ledger);
        expect_same_totals(&all, &loaded, what);
        hf_ledger_close(ledger);
    }
}

Test(ledger_load, what_loaded_a_beginning_ends_as_what_judged_all, .timeout = 300)
{
    /* Random logs, loaded up to 20 places each. */
    with_logs(load_beginnings);
}

static void begin_with_snapshots(struct hf_random *random)
{
    struct hf_ledger *ledger = judge_all(tape.count, FOR_EVER);
    struct told all = told_by(ledger);
    hf_ledger_close(ledger);
    for (int i = 0; i < 6; i++) {
        uint64_t last_lsn = random_place(random), start_lsn = 1;
        if (last_lsn > 0)
            start_lsn = whole(hf_random_below(random, (uint32_t)last_lsn + 1)) + 1;
        struct snapshot snapshot = make_snapshot(random, start_lsn, last_lsn);
        char what[96];
        snprintf(what, sizeof what, "begun with a snapshot from LSN %llu up to %llu",
                 (unsigned long long)start_lsn, (unsigned long long)last_lsn);
        ledger = judge_all(last_lsn, FOR_EVER);
        const char *reason = compare(ledger, &snapshot, start_lsn);
        cr_expect_null(reason, "%s: %s", what, reason);
        hf_ledger_close(ledger);
        ledger = load_snapshot(&snapshot, start_lsn, last_lsn, i % 2 == 1);
        judge(ledger, last_lsn, tape.count);
        struct told begun = told_by(ledger);
        expect_same_state(&all, &begun, what);
        hf_ledger_close(ledger);
        free(snapshot.records);
    }
}

Test(ledger_load, what_began_with_a_snapshot_ends_as_what_judged_all, .timeout = 300)
{
    /* Random logs; of each, snapshots that begin anywhere and end anywhere behind that, whose
     * records were copied anywhere between; loaded before the log, or behind it. */
    with_logs(begin_with_snapshots);
}

static void forget_much(struct hf_random *random)
{
    (void)random;
    struct hf_ledger *ledger = judge_all(tape.count, FOR_EVER);
    struct told all = told_by(ledger);
    hf_ledger_close(ledger);
    ledger = judge_all(tape.count, RETAIN_NS);
    struct told forgot = told_by(ledger);
    expect_same_state(&all, &forgot, "with a short memory");
    hf_ledger_close(ledger);
}

Test(ledger_load, what_is_forgotten_is_not_missed, .timeout = 300)
{
    /* A ledger that remembers as long as the server retains comes to the same state. */
    with_logs(forget_much);
}
