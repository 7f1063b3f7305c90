/*
 * Inventories that are created while others already want units of them. All threads race for the
 * next inventory: some create it, the others look for it, and as soon as one sees it, it takes a
 * unit.
 *
 * Checked: whoever sees an inventory sees it whole, with its LSN; a grant from it has a later LSN
 * than the inventory (LSN-ORDER: creating gives units); one thread creates, all others are told
 * that it exists; it never vanishes, and in the list each stands once, in the order of the LSNs.
 */
#include <sched.h>
#include <string.h>

#include "engine/engine.h"
#include "tests/lib/drain.h"
#include "tests/lib/stress.h"

#define INVENTORIES 4000u /* of a round */
#define CAPACITY    3u
#define LISTED      64u

struct round {
    struct hf_engine engine;
    struct hf_ring ring;
    uint64_t seed;
    unsigned threads;
    _Atomic uint32_t frontier; /* the inventory that everybody is after */
    _Atomic uint32_t consumer; /* the try-lock of the ring's consumer */
    _Atomic uint32_t next_id;
    _Atomic uint64_t creations;
    _Atomic uint64_t grants;
};

static struct round round_now;

static void check_whole(const struct hf_inventory *inventory, uint64_t inventory_id)
{
    if (inventory->lsn == 0 || inventory->inventory_id != inventory_id ||
        inventory->product_id != inventory_id + 1 || inventory->capacity != CAPACITY ||
        inventory->sell_limit != CAPACITY || inventory->version == 0 || inventory->available < 0 ||
        inventory->available > (int32_t)CAPACITY || inventory->made_at_ns == 0)
        hf_stress_fail("inventory %llu is seen with LSN %llu, version %u, %d of %u units",
                       (unsigned long long)inventory_id, (unsigned long long)inventory->lsn,
                       inventory->version, inventory->available, inventory->capacity);
}

static void take_unit(struct round *round, struct hf_actor *actor, uint64_t inventory_id)
{
    struct hf_reserve request = {
        .id = hf_id_of_number(hf_fetch_add_relaxed(&round->next_id, 1)), /* only different */
        .inventory_id = inventory_id,
        .customer_id = 1,
        .qty = 1,
    };
    struct hf_outcome outcome, told;
    hf_actor_enter(actor);
    hf_engine_reserve(actor, &request, &outcome);
    hf_actor_exit(actor);
    if (outcome.result == HF_UNKNOWN_INVENTORY)
        hf_stress_fail("inventory %llu vanished", (unsigned long long)inventory_id);
    if (outcome.result != HF_GRANTED)
        return;
    hf_fetch_add_relaxed(&round->grants, 1); /* a count */
    hf_engine_get_inventory(actor, inventory_id, &told);
    check_whole(&told.inventory, inventory_id);
    if (outcome.wait_for_lsn <= told.inventory.lsn)
        hf_stress_fail("LSN %llu grants from inventory %llu, which has LSN %llu (LSN-ORDER)",
                       (unsigned long long)outcome.wait_for_lsn, (unsigned long long)inventory_id,
                       (unsigned long long)told.inventory.lsn);
}

static void create(struct round *round, struct hf_actor *actor, uint32_t inventory_id)
{
    struct hf_outcome outcome;
    uint64_t tail = hf_load_acquire(&round->ring.tail); /* pairs with the fetch-add on it */
    hf_engine_create_inventory(actor, inventory_id, inventory_id + 1ull, CAPACITY, &outcome);
    if (hf_outcome_put_aside(&outcome))
        return;
    if (outcome.result != HF_CREATED || outcome.wait_for_lsn != outcome.inventory.lsn)
        hf_stress_fail("inventory %u: %s", inventory_id, hf_result_name(outcome.result));
    check_whole(&outcome.inventory, inventory_id);
    if (!outcome.repeated) {
        hf_fetch_add_relaxed(&round->creations, 1); /* a count */
        if (outcome.wait_for_lsn < tail)
            hf_stress_fail("inventory %u got an LSN from before it was asked for", inventory_id);
    }
}

/* Until the inventory is there and was tried; then everybody goes on to the next. */
static void chase(struct round *round, struct hf_actor *actor, struct hf_random *random,
                  uint32_t inventory_id)
{
    bool creates = hf_random_chance(random, 50);
    struct hf_outcome outcome;
    for (;;) {
        if (creates)
            create(round, actor, inventory_id);
        /* Acquire, pairs with the CAS below: the frontier moves on when the inventory is there. */
        bool was_there = hf_load_acquire(&round->frontier) != inventory_id;
        hf_engine_get_inventory(actor, inventory_id, &outcome);
        if (outcome.result == HF_FOUND)
            break;
        if (was_there)
            hf_stress_fail("inventory %u vanished", inventory_id);
        hf_drain_in_passing(&round->ring, &round->consumer);
        creates = creates || hf_random_chance(random, 1);
    }
    check_whole(&outcome.inventory, inventory_id);
    take_unit(round, actor, inventory_id);
    hf_drain_in_passing(&round->ring, &round->consumer);
    uint32_t expected = inventory_id;
    hf_cas_acq_rel(&round->frontier, &expected, inventory_id + 1);
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct hf_random random = hf_random_for(round->seed, index);
    struct hf_actor actor;
    if (hf_actor_init(&actor, &round->engine, &round->ring) != 0)
        hf_stress_fail("out of memory");
    actor.now_ns = 1 + index;
    for (;;) {
        uint32_t frontier = hf_load_acquire(&round->frontier); /* pairs with the CAS in chase() */
        if (frontier > INVENTORIES || hf_stress_over())
            break;
        chase(round, &actor, &random, frontier);
    }
    hf_actor_close(&actor);
}

static uint32_t check_list(struct round *round)
{
    struct hf_actor actor;
    struct hf_inventory listed[LISTED];
    if (hf_actor_init(&actor, &round->engine, &round->ring) != 0)
        hf_stress_fail("out of memory");
    uint32_t from = 0, next, count = 0;
    uint64_t lsn = 0;
    do {
        uint32_t page = hf_engine_list_inventories(&actor, from, LISTED, listed, &next);
        for (uint32_t i = 0; i < page; i++) {
            check_whole(&listed[i], ++count);
            if (listed[i].lsn <= lsn)
                hf_stress_fail("inventory %u has an earlier LSN than the one before", count);
            lsn = listed[i].lsn;
        }
        from = next;
    } while (next != 0);
    hf_actor_close(&actor);
    return count;
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("inventory_index", argc, argv, &options);
    struct round *round = &round_now;
    uint64_t rounds = 0, creations = 0, grants = 0;
    for (; rounds == 0 || !hf_stress_over(); rounds++) {
        memset(round, 0, sizeof *round);
        round->seed = options.seed + rounds;
        round->threads = options.threads;
        hf_store_relaxed(&round->frontier, 1); /* no other thread yet */
        struct hf_region region;
        if (hf_region_create(&region, INVENTORIES, CAPACITY * INVENTORIES + 32 * options.threads) !=
                0 ||
            hf_ring_init(&round->ring, 8192, 1) != 0)
            hf_stress_fail("cannot create a region and a ring");
        if (hf_engine_init(&round->engine, &region, HF_DEFAULT_RETAIN_NS, 1) != 0)
            hf_stress_fail("out of memory");
        hf_stress_run(options.threads, run, round);
        uint64_t created = hf_load_relaxed(&round->creations); /* all threads are joined */
        uint32_t listed = check_list(round);
        if (created != listed)
            hf_stress_fail("%llu inventories were created, %u are listed",
                           (unsigned long long)created, listed);
        creations += created;
        grants += hf_load_relaxed(&round->grants);
        hf_engine_close(&round->engine);
        hf_region_close(&round->engine.region);
        hf_ring_close(&round->ring);
    }
    return hf_stress_done("%llu rounds, %llu inventories, %llu grants", (unsigned long long)rounds,
                          (unsigned long long)creations, (unsigned long long)grants);
}
