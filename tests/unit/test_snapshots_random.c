/*
 * Snapshots of random states, made while random things happen between any two of their steps. What a
 * crash would leave at any moment is recovered, and compared with what the whole log makes.
 *
 * HOLDFAST_SEED=S and HOLDFAST_SEEDS=N in the environment choose other seeds, and more of them.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/any_request.h"
#include "tests/lib/store_rig.h"

#define MS HF_NS_PER_MS

static struct hf_store_rig rig;
static struct hf_any_request any;
static uint64_t done[64]; /* by operation, of all seeds */

static void expect_right(uint64_t seed, const char *when)
{
    const char *wrong = hf_store_rig_check(&rig);
    cr_assert_null(wrong, "seed %llu, %s: %s", (unsigned long long)seed, when, wrong);
    wrong = hf_store_rig_check_names(&rig);
    cr_assert_null(wrong, "seed %llu, %s: %s", (unsigned long long)seed, when, wrong);
    wrong = hf_store_rig_check_snapshots(&rig, rig.memory);
    cr_assert_null(wrong, "seed %llu, %s: %s", (unsigned long long)seed, when, wrong);
}

/* One thing happens, of any kind. */
static void happen(struct hf_random *random)
{
    uint32_t dice = hf_random_below(random, 100);
    if (dice < 60) {
        unsigned result =
            hf_store_rig_ask(&rig, hf_any_request_next(&any, hf_store_rig_now_ns(&rig)));
        hf_any_request_note(&any, result, rig.outcome.repeated);
    } else if (dice < 64) {
        hf_store_rig_pass(&rig,
                          hf_random_next(random) % (2000 * MS >> hf_random_below(random, 12)));
    } else if (dice < 70) {
        hf_store_rig_write(&rig);
    } else {
        hf_store_rig_stir(&rig, (uint32_t)hf_random_next(random));
    }
}

/* The log goes on in the next segment. */
static void begin_segment(void)
{
    struct hf_log_start start;
    hf_flusher_segment_start(&rig.store->log.flusher, &start);
    hf_store_rig_fill_until(&rig, start.segment + 1);
}

/* One life: snapshots one after the other, and a crash somewhere. */
static void live(struct hf_random *random, uint64_t seed, uint32_t snapshots)
{
    uint64_t end = hf_random_below(random, 60);
    for (uint64_t steps = 0; hf_store_rig_report(&rig).made < snapshots || end-- != 0; steps++) {
        for (uint32_t j = hf_random_below(random, 40); j > 0; j--)
            happen(random);
        if (hf_random_chance(random, 2))
            begin_segment();
        if (hf_random_chance(random, 10))
            hf_snapshotter_request(rig.store->snapshotter);
        hf_store_rig_snapshot_step(&rig);
        if (hf_random_chance(random, 30))
            expect_right(seed, "between two steps");
        cr_assert_lt(steps, 5000, "seed %llu", (unsigned long long)seed);
    }
    cr_assert_eq(hf_store_rig_crash(&rig), 0, "seed %llu: %s", (unsigned long long)seed, rig.text);
}

/* Small rings, small tables, short retentions: cells are used again while they are copied, a few of
 * them in a step. */
static void try_seed(uint64_t seed)
{
    struct hf_random random = hf_random_for(seed, 0);
    struct hf_any_window window = {0};
    struct hf_store_rig_options options = {
        .max_inventories = HF_ANY_INVENTORY_MAX,
        .max_reservations = 600 + hf_random_below(&random, 3000),
        .snapshot_copy_cells = 1 + hf_random_below(&random, 12),
        .retain_ns = 5 * MS << hf_random_below(&random, 12),
        .durability = hf_random_chance(&random, 20) ? HF_DURABILITY_MEMORY : HF_DURABILITY_DISK,
    };
    hf_store_rig_open(&rig, &options);
    hf_any_request_init(&any, &window, seed, 1, 2000 * MS);
    for (uint32_t lives = 0; lives < 3; lives++)
        live(&random, seed, hf_random_below(&random, 4));
    for (uint32_t i = 0; i < 64; i++)
        done[i] += any.done[i];
    hf_store_rig_close(&rig);
}

static uint64_t given(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

Test(snapshots_random, a_crash_between_any_two_steps_loses_nothing_and_invents_nothing,
     .timeout = 300)
{
    uint64_t seed = given("HOLDFAST_SEED", 1), end = seed + given("HOLDFAST_SEEDS", 8);
    while (seed < end)
        try_seed(seed++);
    cr_expect_null(hf_any_request_missing(done), "no %s was ever done",
                   hf_any_request_missing(done));
}
