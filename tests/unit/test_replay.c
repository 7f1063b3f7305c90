/* Replay: a live engine's log, replayed in many ways into a second region; and impossible logs. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "engine/image.h"
#include "engine/replay.h"
#include "engine/resolve.h"
#include "engine/state_hash.h"
#include "tests/lib/stress.h"

#define MAX_RECORDS 4096u
#define SEED        20260102u
#define UNITS       600

static struct hf_engine engine;
static struct hf_region replica;
static struct hf_replay replay;
static uint8_t records[MAX_RECORDS][HF_RECORD_BYTES];
static uint32_t record_count;
static uint32_t inventory_records; /* the first ones */

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

/* A live engine with a history: 5 inventories, some hundred grants, about half of them cancelled.
 */
static void open_history(void)
{
    struct hf_random random = hf_random_for(SEED, 0);
    struct hf_region region;
    struct hf_ring ring;
    struct hf_actor actor;
    struct hf_outcome outcome;
    cr_assert_eq(hf_region_create(&region, 8, 1000), 0);
    cr_assert_eq(hf_ring_init(&ring, MAX_RECORDS, 1), 0);
    cr_assert_eq(hf_engine_init(&engine, &region, HF_DEFAULT_RETAIN_NS, 1000), 0);
    cr_assert_eq(hf_actor_init(&actor, &engine, &ring), 0);
    actor.now_ns = 1000;
    inventory_records = 5;
    for (uint64_t id = 1; id <= inventory_records; id++)
        hf_engine_create_inventory(&actor, id, id * 10, UNITS, &outcome);
    for (uint32_t i = 0; i < 2000; i++) {
        actor.now_ns += hf_random_below(&random, 3);
        struct hf_reserve request = {
            .id = hf_id_of_number(hf_random_below(&random, 800)),
            .inventory_id = 1 + hf_random_below(&random, 5),
            .customer_id = hf_random_next(&random),
            .qty = 1 + hf_random_below(&random, 9),
        };
        if (hf_random_chance(&random, 50))
            hf_engine_reserve(&actor, &request, &outcome);
        else
            hf_engine_resolve(&actor, HF_OP_CANCEL, &request.id, &outcome);
    }
    hf_actor_close(&actor);
    record_count = hf_ring_published(&ring, MAX_RECORDS);
    cr_assert_gt(record_count, 500);
    hf_ring_drain(&ring, records[0], record_count);
    hf_ring_close(&ring);
}

static void open_replica(uint32_t max_inventories, uint32_t max_reservations)
{
    cr_assert_eq(hf_region_create(&replica, max_inventories, max_reservations), 0);
    cr_assert_eq(hf_replay_init(&replay, &replica, HF_DEFAULT_RETAIN_NS), 0);
}

static void apply(const uint8_t *record)
{
    const char *reason = hf_replay_apply(&replay, record);
    cr_assert_null(reason, "%s", reason);
}

static void finish_like_the_live_one(void)
{
    const char *reason = hf_replay_finish(&replay);
    cr_assert_null(reason, "%s", reason);
    cr_expect_eq(hash_of(&replica), hash_of(&engine.region), "SAME-STATE");
    hf_replay_close(&replay);
    hf_region_close(&replica);
    hf_engine_close(&engine);
    hf_region_close(&engine.region);
}

Test(replay, a_log_makes_the_state_of_the_engine_that_wrote_it)
{
    open_history();
    open_replica(8, 1000);
    for (uint32_t i = 0; i < record_count; i++)
        apply(records[i]);
    finish_like_the_live_one();
}

Test(replay, records_in_blocks_of_any_size_make_the_same_state)
{
    /* Smaller ones than what is looked for at once, as large ones, and larger ones. */
    static const uint32_t sizes[] = {1, 7, 128, 129, 500, MAX_RECORDS};
    open_history();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        open_replica(8, 1000);
        for (uint32_t first = 0; first < record_count; first += sizes[i]) {
            uint32_t left = record_count - first, fault;
            const char *reason = hf_replay_apply_all(&replay, records[first],
                                                     left < sizes[i] ? left : sizes[i], &fault);
            cr_assert_null(reason, "%s", reason);
        }
        cr_assert_null(hf_replay_finish(&replay));
        cr_expect_eq(hash_of(&replica), hash_of(&engine.region), "blocks of %u", sizes[i]);
        hf_replay_close(&replay);
        hf_region_close(&replica);
    }
}

Test(replay, a_log_applied_twice_makes_the_same_state)
{
    open_history();
    open_replica(8, 1000);
    for (uint32_t i = 0; i < 2 * record_count; i++)
        apply(records[i % record_count]);
    finish_like_the_live_one();
}

Test(replay, every_record_repeated_at_random_later_makes_the_same_state)
{
    struct hf_random random = hf_random_for(SEED, 1);
    open_history();
    open_replica(8, 1000);
    for (uint32_t i = 0; i < record_count; i++) {
        apply(records[i]);
        apply(records[hf_random_below(&random, i + 1)]);
    }
    finish_like_the_live_one();
}

Test(replay, the_images_of_reservations_in_any_order_make_the_same_state)
{
    struct hf_random random = hf_random_for(SEED, 2);
    open_history();
    open_replica(8, 1000);
    for (uint32_t i = record_count - 1; i > inventory_records; i--) {
        uint32_t other = inventory_records + hf_random_below(&random, i - inventory_records + 1);
        uint8_t record[HF_RECORD_BYTES];
        memcpy(record, records[i], sizeof record);
        memcpy(records[i], records[other], sizeof record);
        memcpy(records[other], record, sizeof record);
    }
    for (uint32_t i = 0; i < record_count; i++)
        apply(records[i]);
    finish_like_the_live_one();
}

Test(replay, a_log_without_one_cancel_makes_another_state)
{
    open_history();
    open_replica(8, 1000);
    bool skipped = false;
    for (uint32_t i = 0; i < record_count; i++) {
        struct hf_image image;
        hf_image_decode(records[i], &image);
        bool cancel = image.kind == HF_IMAGE_RESERVATION && image.reservation.sequence == 2;
        if (cancel && !skipped)
            skipped = true;
        else
            apply(records[i]);
    }
    cr_assert(skipped);
    if (hf_replay_finish(&replay) == NULL)
        cr_expect_neq(hash_of(&replica), hash_of(&engine.region));
}

Test(replay, actors_go_on_where_the_log_ended)
{
    static struct hf_engine revived;
    struct hf_ring ring;
    struct hf_actor actor;
    struct hf_outcome outcome, live;
    open_history();
    open_replica(8, 1000);
    for (uint32_t i = 0; i < record_count; i++)
        apply(records[i]);
    cr_assert_null(hf_replay_finish(&replay));
    cr_assert_eq(hf_engine_init(&revived, &replica, HF_DEFAULT_RETAIN_NS, 1000), 0);
    cr_assert(hf_replay_start_engine(&replay, &revived));
    cr_assert_eq(hf_ring_init(&ring, MAX_RECORDS, record_count + 1), 0);
    cr_assert_eq(hf_actor_init(&actor, &revived, &ring), 0);
    struct hf_actor reader = {.engine = &engine};
    for (uint64_t id = 1; id <= 5; id++) {
        hf_engine_get_inventory(&actor, id, &outcome);
        hf_engine_get_inventory(&reader, id, &live);
        cr_expect_eq(outcome.inventory.available, live.inventory.available);
        cr_expect_gt(outcome.inventory.version, live.inventory.version + 1000000,
                     "none that was told before the crash comes again");
    }
    for (uint32_t number = 0; number < 800; number++) {
        struct hf_id id = hf_id_of_number(number);
        hf_engine_get(&actor, &id, &outcome);
        hf_engine_get(&reader, &id, &live);
        cr_assert_eq(outcome.result, live.result);
        if (outcome.result == HF_FOUND && outcome.reservation.state == HF_STATE_CONFIRMED) {
            hf_engine_resolve(&actor, HF_OP_CANCEL, &id, &outcome);
            cr_assert_eq(outcome.result, HF_CANCELLED);
        }
    }
    for (uint64_t id = 1; id <= 5; id++) {
        hf_engine_get_inventory(&actor, id, &outcome);
        cr_expect_eq(outcome.inventory.available, UNITS, "all are cancelled, all units are back");
    }
    hf_actor_close(&actor);
    hf_ring_close(&ring);
}

/* ---- logs that no engine can have written ---- */

static void encode_inventory(uint8_t *record, uint64_t id, uint32_t sell_limit)
{
    struct hf_inventory inventory = {
        .inventory_id = id, .capacity = sell_limit, .sell_limit = sell_limit, .made_at_ns = 1};
    const struct hf_settings settings = {.sell_limit = sell_limit};
    hf_image_encode_inventory(record, &inventory, &settings, 1, 1);
    hf_put_u64(record, id);
}

static void put_inventory(uint64_t id, uint32_t sell_limit)
{
    uint8_t record[HF_RECORD_BYTES];
    encode_inventory(record, id, sell_limit);
    apply(record);
}

static void encode_reservation(uint8_t *record, uint32_t number, uint64_t inventory_id,
                               uint32_t qty)
{
    struct hf_reservation reservation = {
        .id = hf_id_of_number(number),
        .inventory_id = inventory_id,
        .customer_id = 1,
        .made_at_ns = 1,
        .changed_at_ns = 1,
        .qty = qty,
        .sequence = 1,
        .state = HF_STATE_CONFIRMED,
    };
    const struct hf_image_notes notes = {.inventory_version = 2};
    hf_image_encode_reservation(record, &reservation, &notes);
    hf_put_u64(record, 100 + number);
}

static const char *put_reservation(uint32_t number, uint64_t inventory_id, uint32_t qty)
{
    uint8_t record[HF_RECORD_BYTES];
    encode_reservation(record, number, inventory_id, qty);
    return hf_replay_apply(&replay, record);
}

static void expect_reason(const char *reason, const char *part)
{
    cr_assert_not_null(reason);
    cr_expect_not_null(strstr(reason, part), "%s", reason);
}

Test(replay, a_reservation_before_its_inventory_is_refused)
{
    open_replica(8, 10);
    put_inventory(1, 5);
    expect_reason(put_reservation(1, 2, 1), "inventory 2");
}

Test(replay, more_inventories_or_reservations_than_there_is_room_for_name_the_setting)
{
    open_replica(1, 2);
    put_inventory(1, 5);
    cr_assert_null(put_reservation(1, 1, 1));
    cr_assert_null(put_reservation(2, 1, 1));
    expect_reason(put_reservation(3, 1, 1), "--max-reservations");
    uint8_t record[HF_RECORD_BYTES];
    struct hf_inventory inventory = {
        .inventory_id = 2, .capacity = 1, .sell_limit = 1, .made_at_ns = 1};
    const struct hf_settings settings = {.sell_limit = 1};
    hf_image_encode_inventory(record, &inventory, &settings, 1, 1);
    hf_put_u64(record, 9);
    expect_reason(hf_replay_apply(&replay, record), "--max-inventories");
}

Test(replay, an_image_that_cannot_be_decoded_is_refused)
{
    uint8_t record[HF_RECORD_BYTES] = {0};
    open_replica(1, 1);
    expect_reason(hf_replay_apply(&replay, record), "kind");
}

Test(replay, the_place_of_the_record_that_is_refused_is_told)
{
    /* An inventory, its reservations, and among them one of an inventory that does not exist. */
    static const uint32_t places[] = {1, 127, 128, 129, 299};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint32_t fault = 0;
        open_replica(8, 1000);
        encode_inventory(records[0], 1, 1000);
        for (uint32_t at = 1; at < 300; at++)
            encode_reservation(records[at], at, at == places[i] ? 2 : 1, 1);
        expect_reason(hf_replay_apply_all(&replay, records[0], 300, &fault), "inventory 2");
        cr_expect_eq(fault, places[i]);
        cr_expect_eq(replay.reservations, places[i] - 1, "those before it are applied");
        hf_replay_close(&replay);
        hf_region_close(&replica);
    }
}

Test(replay, an_inventory_may_stand_right_before_its_reservations)
{
    /* Inventories and reservations by turns, so many that inventories are looked for ahead. */
    uint32_t fault;
    open_replica(MAX_RECORDS, MAX_RECORDS * 2);
    for (uint32_t turn = 0; turn < 4; turn++) {
        for (uint32_t at = 0; at < MAX_RECORDS; at++) {
            uint32_t number = turn * MAX_RECORDS / 2 + at / 2 + 1;
            if (at % 2 == 0)
                encode_inventory(records[at], number, 1);
            else
                encode_reservation(records[at], number, number, 1);
        }
        const char *reason = hf_replay_apply_all(&replay, records[0], MAX_RECORDS, &fault);
        if (turn < 2)
            cr_assert_null(reason, "%s", reason);
        else
            expect_reason(reason, "--max-inventories");
    }
    cr_assert_null(hf_replay_finish(&replay));
    for (uint64_t id = 1; id <= MAX_RECORDS; id++) {
        const struct hf_inventory_cell *cell = hf_region_find_inventory(&replica, id);
        cr_assert_eq(hf_word_available(hf_load_relaxed(&cell->word)), 0);
    }
}

Test(replay, an_oversold_inventory_is_refused)
{
    open_replica(2, 10);
    put_inventory(1, 5);
    put_inventory(2, 5);
    cr_assert_null(put_reservation(1, 1, 5));
    cr_assert_null(put_reservation(2, 2, 5));
    cr_assert_null(put_reservation(3, 2, 1));
    expect_reason(hf_replay_finish(&replay), "inventory 2 would be oversold");
}

Test(replay, an_inventory_oversold_by_more_than_its_word_can_say_is_refused)
{
    open_replica(1, 10);
    put_inventory(1, 1);
    for (uint32_t number = 0; number < 4; number++)
        cr_assert_null(put_reservation(number, 1, HF_MAX_UNITS));
    expect_reason(hf_replay_finish(&replay), "oversold");
}

/* A limit that was lowered under what is sold. */
Test(replay, a_deficit_is_no_oversale)
{
    uint8_t record[HF_RECORD_BYTES];
    open_replica(1, 10);
    put_inventory(1, 5);
    cr_assert_null(put_reservation(1, 1, 5));
    struct hf_inventory inventory = {.inventory_id = 1, .capacity = 5, .made_at_ns = 1};
    const struct hf_settings lowered = {.sell_limit = 3};
    hf_image_encode_inventory(record, &inventory, &lowered, 2, 2);
    hf_put_u64(record, 200);
    apply(record);
    cr_assert_null(hf_replay_finish(&replay));
    uint64_t word = hf_load_relaxed(&hf_region_find_inventory(&replica, 1)->word);
    cr_expect_eq(hf_word_available(word), -2);
}

/* The units of a reservation are claimed, and its record is not there yet: no hash is given out. */
Test(replay, counters_in_motion_are_not_hashed)
{
    open_replica(1, 2);
    put_inventory(1, 5);
    cr_assert_null(put_reservation(1, 1, 1));
    cr_assert_null(hf_replay_finish(&replay));
    struct hf_inventory_cell *inventory = hf_region_find_inventory(&replica, 1);
    uint64_t word = hf_load_relaxed(&inventory->word);
    cr_assert_eq(hf_inventory_claim(inventory, 1, &word), HF_CLAIM_DONE);
    struct hf_state_hash hash;
    cr_assert_eq(hf_state_hash_begin(&hash, &replica, 0), 0);
    cr_assert_eq(hf_state_hash_step(&hash, &replica, 100), HF_HASHING_UNSETTLED);
    hf_state_hash_end(&hash);
}

/* ---- a table that is full again and again ---- */

#define CHURNED     20000u  /* granted, and not cancelled yet, at a time */
#define MANY        200000u /* granted in all */
#define RETAINED_NS 30000u

/* Reservation n is granted at date n; one of those that were granted before, at random, is cancelled
 * just before. */
struct churn {
    uint8_t *log;
    uint32_t count; /* records */
    uint32_t room;  /* the most that are retained at a time */
    uint32_t active[CHURNED];
};

static void put_churn(struct churn *churn, uint32_t number, uint64_t now_ns)
{
    bool cancelled = number != now_ns;
    const struct hf_reservation reservation = {
        .id = hf_id_of_number(number),
        .inventory_id = 1,
        .customer_id = number,
        .made_at_ns = number,
        .changed_at_ns = now_ns,
        .qty = 1,
        .sequence = cancelled ? 2 : 1,
        .state = cancelled ? HF_STATE_CANCELLED : HF_STATE_CONFIRMED,
    };
    const struct hf_image_notes notes = {.inventory_version = churn->count};
    uint8_t *record = churn->log + (size_t)churn->count++ * HF_RECORD_BYTES;
    hf_image_encode_reservation(record, &reservation, &notes);
    hf_put_u64(record, churn->count);
}

static void open_churn(struct churn *churn)
{
    static uint64_t cancelled_at_ns[MANY]; /* in order */
    struct hf_random random = hf_random_for(SEED, 3);
    uint32_t active = 0, cancelled = 0, forgotten = 0;
    churn->count = churn->room = 0;
    churn->log = malloc((size_t)(2 * MANY + 1) * HF_RECORD_BYTES);
    cr_assert_not_null(churn->log);
    encode_inventory(churn->log + (size_t)churn->count++ * HF_RECORD_BYTES, 1, CHURNED);
    for (uint32_t now_ns = 1; now_ns <= MANY; now_ns++) {
        uint32_t place = hf_random_below(&random, CHURNED), old = churn->active[place];
        active += old == 0;
        if (old != 0) {
            put_churn(churn, old, now_ns);
            cancelled_at_ns[cancelled++] = now_ns;
        }
        churn->active[place] = now_ns;
        put_churn(churn, now_ns, now_ns);
        while (forgotten < cancelled && cancelled_at_ns[forgotten] + RETAINED_NS <= now_ns)
            forgotten++;
        if (churn->room < active + cancelled - forgotten)
            churn->room = active + cancelled - forgotten;
    }
}

/* Returns how many are retained at the end. */
static uint64_t replay_churn(const struct churn *churn, uint32_t room)
{
    uint32_t fault;
    cr_assert_eq(hf_region_create(&replica, 1, room), 0);
    cr_assert_eq(hf_replay_init(&replay, &replica, RETAINED_NS), 0);
    const char *reason = hf_replay_apply_all(&replay, churn->log, churn->count, &fault);
    cr_assert_null(reason, "record %u: %s", fault, reason);
    cr_assert_null(hf_replay_finish(&replay));
    hf_replay_close(&replay);
    return replay.reservations;
}

Test(replay, a_log_in_which_the_table_was_always_full_is_replayed, .timeout = 60)
{
    /* There is room for just what is retained: the table is full from some record on, and again at
     * each that follows. Looking through all of it each time would take hours with a large one. */
    static struct churn churn;
    open_churn(&churn);
    uint64_t retained = replay_churn(&churn, 2 * MANY);
    uint64_t hash = hash_of(&replica);
    cr_expect_eq(replay.searches, 0);
    hf_region_close(&replica);
    cr_expect_eq(replay_churn(&churn, churn.room), retained);
    cr_expect_eq(hash_of(&replica), hash, "as with all the room");
    cr_expect_eq(replay.searches, 1);
    hf_region_close(&replica);
    free(churn.log);
}

Test(replay, with_room_for_one_less_than_is_retained_the_setting_is_named)
{
    static struct churn churn;
    uint32_t fault;
    open_churn(&churn);
    open_replica(1, churn.room - 1);
    replay.retain_ns = RETAINED_NS;
    expect_reason(hf_replay_apply_all(&replay, churn.log, churn.count, &fault),
                  "--max-reservations");
    free(churn.log);
}

/* A grant, or the cancellation of what was granted then. */
static void grant(uint32_t number, uint64_t at_ns, uint64_t cancelled_at_ns)
{
    uint8_t record[HF_RECORD_BYTES];
    const struct hf_reservation reservation = {
        .id = hf_id_of_number(number),
        .inventory_id = 1,
        .made_at_ns = at_ns,
        .changed_at_ns = cancelled_at_ns != 0 ? cancelled_at_ns : at_ns,
        .qty = 1,
        .sequence = cancelled_at_ns != 0 ? 2 : 1,
        .state = cancelled_at_ns != 0 ? HF_STATE_CANCELLED : HF_STATE_CONFIRMED,
    };
    hf_image_encode_reservation(record, &reservation,
                                &(struct hf_image_notes){.inventory_version = 2});
    apply(record);
}

Test(replay, an_id_that_is_used_again_does_not_hold_up_what_is_forgotten_behind_it)
{
    /* Room for three, retained for 100 ns. When the table is full for the first time, at 105, one is
     * forgotten. 1, cancelled at 10, is granted and cancelled once more before anyone looks for what
     * it was; 2, cancelled at 15, must make room at 116 all the same. */
    open_replica(1, 3);
    replay.retain_ns = 100;
    put_inventory(1, 100);
    grant(1, 1, 0);
    grant(2, 2, 0);
    grant(3, 3, 0);
    grant(3, 3, 4);
    grant(1, 1, 10);
    grant(2, 2, 15);
    grant(4, 105, 0);
    cr_expect_eq(replay.searches, 1);
    grant(1, 112, 0);
    grant(1, 112, 113);
    grant(5, 116, 0);
    cr_expect_eq(replay.searches, 1);
    cr_assert_null(hf_replay_finish(&replay));
    cr_expect_eq(replay.reservations, 3);
}

/* ---- what the engine begins with ---- */

Test(replay, what_is_finished_is_filed_though_nothing_is_held)
{
    /* A cancellation, and its retention; then the same with nothing that ends. */
    uint8_t record[HF_RECORD_BYTES];
    struct hf_reservation cancelled = {
        .id = hf_id_of_number(1),
        .inventory_id = 1,
        .made_at_ns = 1000,
        .changed_at_ns = 2000,
        .qty = 1,
        .sequence = 2,
        .state = HF_STATE_CANCELLED,
    };
    for (int ends = 1; ends >= 0; ends--) {
        open_replica(1, 10);
        put_inventory(1, 5);
        cr_assert_null(put_reservation(2, 1, 1));
        hf_image_encode_reservation(record, &cancelled, &(struct hf_image_notes){0});
        if (ends)
            apply(record);
        cr_assert_null(hf_replay_finish(&replay));
        cr_assert_eq(hf_engine_init(&engine, &replica, HF_DEFAULT_RETAIN_NS, 3000), 0);
        cr_assert(hf_replay_start_engine(&replay, &engine));
        uint64_t next_ns = hf_timer_next_ns(&engine.timer, 3000);
        cr_expect_eq(next_ns == UINT64_MAX, !ends);
        hf_engine_close(&engine);
        hf_replay_close(&replay);
        hf_region_close(&replica);
    }
}
