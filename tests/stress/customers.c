/*
 * Customers' counters under N threads that claim units of a few inventories, each customer up to a
 * limit, and give them back. There are more customers than cells, so counters die and are used
 * again all the time, and few chains, so that threads meet in them. Half of the claims move a unit
 * from the inventory's word to the counter by one hf_mcas(), the other half do it by two plain
 * CASes.
 *
 * Checked, while it runs: no customer has more than the limit; whoever gives back finds the counter
 * that it counted on, with its units; a lookup says "none" only of a customer that had none. After
 * each round, when all was given back: no unit is lost, all words are plain, all counters are
 * gone, and as many can be made as there are cells.
 */
#include <string.h>

#include "engine/customers.h"
#include "tests/lib/stress.h"

#define INVENTORIES 2u
#define CUSTOMERS   12u /* of each inventory */
#define PAIRS       (INVENTORIES * CUSTOMERS)
#define CELLS       14u
#define LIMIT       3
#define UNITS       1000
#define OPERATIONS  3000u
#define BATCH       8u

struct round {
    uint64_t seed;
    struct hf_customers customers;
    struct hf_epochs epochs;
    _Atomic uint64_t words[INVENTORIES];
    /* Units that threads know to be a pair's: counted up after the claim, and down before the
     * giving back, so never more than the counter says. */
    _Atomic int32_t out[PAIRS];
    _Atomic uint64_t grants, puts_aside, fulls;
};

static struct hf_mcas_descriptor descriptors[HF_MAX_ACTORS];
static struct round round_now;
/* The counters' memory is elsewhere, as it is in the server. */
static struct hf_mcas mcas = {(uint8_t *)(void *)round_now.words, descriptors};

struct member {
    struct round *round;
    struct hf_random random;
    uint32_t actor;
    int32_t owned[PAIRS];
};

static uint32_t inventory_of(uint32_t pair)
{
    return pair % INVENTORIES;
}

static uint64_t customer_of(uint32_t pair)
{
    return pair / INVENTORIES;
}

static void next_batch(struct member *member)
{
    hf_epochs_exit(&member->round->epochs, member->actor);
    hf_random_pause(&member->random);
    hf_epochs_enter(&member->round->epochs, member->actor);
}

/* ---- claiming ---- */

enum claim {
    CLAIM_GRANTED,
    CLAIM_REFUSED,
    CLAIM_AGAIN, /* something changed meanwhile */
    CLAIM_DEAD,  /* look the counter up again */
};

static enum claim decide(uint64_t counter, uint64_t inventory)
{
    if (counter & HF_WORD_SEALED)
        return CLAIM_DEAD;
    int32_t units = hf_word_available(counter);
    if (units < 0 || units > LIMIT)
        hf_stress_fail("a customer has %d units, the limit is %d", units, LIMIT);
    return units == LIMIT || hf_word_available(inventory) < 1 ? CLAIM_REFUSED : CLAIM_GRANTED;
}

static void add_to_inventory(_Atomic uint64_t *word, int32_t amount)
{
    for (;;) {
        uint64_t value = hf_mcas_load(&mcas, word);
        if (hf_cas_acq_rel(word, &value, hf_word_moved(value, hf_word_available(value) + amount)))
            return;
    }
}

static enum claim try_claim(struct member *member, struct hf_customer_cell *cell, uint32_t pair)
{
    _Atomic uint64_t *inventory_place = &member->round->words[inventory_of(pair)];
    uint64_t counter = hf_mcas_load(&mcas, &cell->word);
    uint64_t inventory = hf_mcas_load(&mcas, inventory_place);
    enum claim claim = decide(counter, inventory);
    if (claim != CLAIM_GRANTED)
        return claim;
    uint64_t counted = hf_word_moved(counter, hf_word_available(counter) + 1);
    if (hf_random_chance(&member->random, 10))
        hf_random_pause(&member->random);
    if (hf_random_chance(&member->random, 50)) {
        struct hf_mcas_entry entries[] = {
            {&cell->word, counter, counted},
            {inventory_place, inventory,
             hf_word_moved(inventory, hf_word_available(inventory) - 1)}};
        return hf_mcas(&mcas, member->actor, entries, 2) ? CLAIM_GRANTED : CLAIM_AGAIN;
    }
    if (!hf_cas_acq_rel(&cell->word, &counter, counted))
        return CLAIM_AGAIN;
    add_to_inventory(inventory_place, -1); /* there are more units than customers may have */
    return CLAIM_GRANTED;
}

static void claim(struct member *member, uint32_t pair)
{
    struct round *round = member->round;
    for (;;) {
        bool busy;
        struct hf_customer_cell *cell =
            hf_customers_get(&round->customers, inventory_of(pair), customer_of(pair), &busy);
        if (cell == NULL) {
            hf_fetch_add_relaxed(busy ? &round->puts_aside : &round->fulls, 1); /* a count */
            return;
        }
        enum claim claim;
        do {
            claim = try_claim(member, cell, pair);
        } while (claim == CLAIM_AGAIN);
        if (claim == CLAIM_DEAD)
            continue;
        if (claim == CLAIM_REFUSED) {
            hf_customers_drop(&round->customers, &mcas, cell);
            return;
        }
        member->owned[pair]++;
        hf_fetch_add_relaxed(&round->grants, 1); /* a count */
        /* acq_rel: less than the limit before, as counted down before it is given back. */
        if (hf_fetch_add_acq_rel(&round->out[pair], 1) >= LIMIT)
            hf_stress_fail("a customer has more than the limit of %d", LIMIT);
        return;
    }
}

/* ---- giving back ---- */

/* The counter of a pair of which this thread has units: it is there. */
static struct hf_customer_cell *find_own(struct member *member, uint32_t pair)
{
    for (;;) {
        bool busy;
        struct hf_customer_cell *cell = hf_customers_find(
            &member->round->customers, inventory_of(pair), customer_of(pair), &busy);
        if (cell != NULL)
            return cell;
        if (!busy)
            hf_stress_fail("the counter of a customer who has units is not found");
        next_batch(member);
    }
}

static void give_back(struct member *member, uint32_t pair)
{
    struct round *round = member->round;
    struct hf_customer_cell *cell = find_own(member, pair);
    hf_fetch_add_acq_rel(&round->out[pair], -1); /* as in claim() */
    for (;;) {
        uint64_t word = hf_mcas_load(&mcas, &cell->word);
        if ((word & HF_WORD_SEALED) != 0 || hf_word_available(word) < 1)
            hf_stress_fail("a customer has %d units, sealed %d, and one more is ours",
                           hf_word_available(word), (word & HF_WORD_SEALED) != 0);
        if (hf_cas_acq_rel(&cell->word, &word, hf_word_moved(word, hf_word_available(word) - 1)))
            break;
    }
    add_to_inventory(&round->words[inventory_of(pair)], 1);
    hf_customers_drop(&round->customers, &mcas, cell); /* if it is 0 */
    member->owned[pair]--;
}

/* Of a customer of whom this thread has units, nobody may hear "none"; of others the counter may
 * say what it likes, within the limit. */
static void look(struct member *member, uint32_t pair)
{
    bool busy;
    const struct hf_customers *customers = &member->round->customers;
    struct hf_customer_cell *cell =
        hf_customers_find(customers, inventory_of(pair), customer_of(pair), &busy);
    if (cell == NULL) {
        if (!busy && member->owned[pair] != 0)
            hf_stress_fail("a customer who has units has none");
        return;
    }
    if (cell->inventory != inventory_of(pair) || cell->customer_id != customer_of(pair))
        hf_stress_fail("a counter became another's while somebody was inside");
    decide(hf_mcas_load(&mcas, &cell->word), 0);
    hf_random_pause(&member->random);
    if (cell->inventory != inventory_of(pair) || cell->customer_id != customer_of(pair))
        hf_stress_fail("a counter became another's while somebody was inside");
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct member member = {.round = round, .random = hf_random_for(round->seed, index)};
    member.actor = hf_epochs_join(&round->epochs);
    hf_epochs_enter(&round->epochs, member.actor);
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        uint32_t pair = hf_random_below(&member.random, PAIRS);
        uint32_t dice = hf_random_below(&member.random, 100);
        if (i % BATCH == 0)
            next_batch(&member);
        if (dice < 20)
            look(&member, pair);
        else if (member.owned[pair] != 0)
            give_back(&member, pair);
        else
            claim(&member, pair);
    }
    for (uint32_t pair = 0; pair < PAIRS; pair++) {
        while (member.owned[pair] != 0)
            give_back(&member, pair);
    }
    hf_epochs_exit(&round->epochs, member.actor);
    hf_epochs_leave(&round->epochs, member.actor);
}

/* ---- after a round ---- */

/* All cells must be there, and come back within a few grace periods. */
static void fill(struct round *round, uint32_t actor)
{
    for (uint32_t i = 0; i < CELLS; i++) {
        bool busy = true;
        struct hf_customer_cell *cell = NULL;
        for (uint32_t batch = 0; cell == NULL && busy && batch < 4; batch++) {
            hf_epochs_enter(&round->epochs, actor);
            cell = hf_customers_get(&round->customers, 1, 1000 + i, &busy);
            hf_epochs_exit(&round->epochs, actor);
        }
        if (cell == NULL)
            hf_stress_fail("%u of %u cells are lost", CELLS - i, CELLS);
        uint64_t word = hf_load_relaxed(&cell->word); /* all threads are joined */
        if (hf_word_is_descriptor(word) || (word & HF_WORD_SEALED) != 0 ||
            hf_word_available(word) != 0)
            hf_stress_fail("a new counter does not start at 0");
    }
}

static void finish(struct round *round)
{
    const struct hf_customers *customers = &round->customers;
    uint32_t actor = hf_epochs_join(&round->epochs);
    for (uint32_t i = 0; i <= customers->head_mask; i++) {
        if (hf_load_relaxed(&customers->heads[i]) != 0) /* all threads are joined */
            hf_stress_fail("a counter without units is left in its chain, or the chain is taken");
    }
    for (uint32_t i = 0; i < INVENTORIES; i++) {
        uint64_t word = hf_load_relaxed(&round->words[i]);
        if (hf_word_is_descriptor(word) || hf_word_available(word) != UNITS)
            hf_stress_fail("%d units at the end, of %d (CONSERVATION)", hf_word_available(word),
                           UNITS);
    }
    fill(round, actor);
    hf_epochs_leave(&round->epochs, actor);
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("customers", argc, argv, &options);
    struct round *round = &round_now;
    uint64_t rounds = 0, grants = 0, puts_aside = 0, fulls = 0;
    for (; rounds == 0 || !hf_stress_over(); rounds++) {
        memset(round, 0, sizeof *round);
        round->seed = options.seed + rounds;
        hf_epochs_init(&round->epochs);
        if (hf_customers_init(&round->customers, CELLS, &round->epochs) != 0)
            hf_stress_fail("out of memory");
        for (uint32_t i = 0; i < INVENTORIES; i++)
            hf_store_relaxed(&round->words[i], hf_word_make(UNITS, 1));
        hf_stress_run(options.threads, run, round);
        finish(round);
        grants += hf_load_relaxed(&round->grants); /* all threads are joined */
        puts_aside += hf_load_relaxed(&round->puts_aside);
        fulls += hf_load_relaxed(&round->fulls);
        hf_customers_close(&round->customers);
    }
    return hf_stress_done("%llu rounds, %llu grants, %llu put aside, %llu times full",
                          (unsigned long long)rounds, (unsigned long long)grants,
                          (unsigned long long)puts_aside, (unsigned long long)fulls);
}
