/* The inventory; how claims and changes of settings meet is told in inventory.h. */
#include "engine/inventory.h"

#include <stddef.h>
#include <string.h>

#define DESCRIBE_TRIES 64

/* What a plain claim cannot decide by itself: a waiting list, an operation over several words. */
#define WORD_INVOLVED (HF_WORD_WAITING | HF_WORD_DESCRIPTOR)

static bool is_involved(const struct hf_inventory_cell *cell, uint64_t word)
{
    /* Acquire: the load of the word comes before, as that is an acquire, too; and what is read of
     * the copy comes after. Pairs with hf_inventory_put(). */
    return (word & WORD_INVOLVED) != 0 || (hf_load_acquire(&cell->rules) & HF_RULES_ANY) != 0;
}

/*
 * A hold counts in `held`, and a change that gives back counts in `giving`, until the units are in
 * the word. So who finds none there, and then the same word as before, knows that at this word no
 * hold was left that could have lapsed, and no units were on their way. Acquire, both: the word is
 * loaded again after them.
 */
static bool is_helpless(const struct hf_inventory_cell *cell)
{
    return hf_load_acquire(&cell->held) == 0 && hf_inventory_announced(cell) == 0;
}

enum hf_claim hf_inventory_claim(struct hf_inventory_cell *cell, uint32_t qty, uint64_t *word)
{
    uint64_t seen = *word;
    for (;;) {
        if (HF_UNLIKELY(is_involved(cell, seen)))
            return HF_CLAIM_INVOLVED;
        int32_t available = hf_word_available(seen);
        if (HF_UNLIKELY(available < (int32_t)qty)) {
            /* It was given: a refusal speaks of the word as it is now. Between two looks at it, at
             * what may help: see hf_inventory_weigh(). */
            bool helpless = is_helpless(cell);
            uint64_t again = hf_load_acquire(&cell->word);
            if (again != seen) {
                seen = again;
                continue;
            }
            *word = seen;
            return helpless ? HF_CLAIM_TOO_FEW : HF_CLAIM_INVOLVED;
        }
        uint64_t claimed = hf_word_moved(seen, available - (int32_t)qty);
        /* acq_rel. Acquire pairs with the releases: the units that we take were given back after
         * their LSN, so our LSN will come after it. Release pairs with the loads of those whom we
         * leave nothing: they see that the chain of our id is taken. */
        if (HF_LIKELY(hf_cas_weak_acq_rel(&cell->word, &seen, claimed))) {
            *word = claimed;
            return HF_CLAIM_DONE;
        }
    }
}

bool hf_inventory_claim_run(struct hf_inventory_cell *cell, uint32_t count, uint64_t units,
                            uint64_t *word)
{
    uint64_t seen = *word;
    do {
        if (is_involved(cell, seen) || hf_word_available(seen) <= (int64_t)units)
            return false;
        *word = hf_word_moved_on(seen, hf_word_available(seen) - (int32_t)units, count);
    } while (!hf_cas_weak_acq_rel(&cell->word, &seen, *word)); /* as in hf_inventory_claim() */
    return true;
}

enum hf_claim hf_inventory_weigh(const struct hf_inventory_cell *cell, uint32_t qty, uint64_t *word)
{
    /* Acquire, pairs with the claims: a refusal that follows from this load looks at the table
     * afterwards, and must find there whoever took the units. */
    *word = hf_load_acquire(&cell->word);
    if (HF_UNLIKELY(is_involved(cell, *word)))
        return HF_CLAIM_INVOLVED;
    if (hf_word_available(*word) >= (int32_t)qty)
        return HF_CLAIM_DONE;
    return is_helpless(cell) && hf_load_acquire(&cell->word) == *word ? HF_CLAIM_TOO_FEW
                                                                      : HF_CLAIM_INVOLVED;
}

void hf_inventory_copy(const struct hf_inventory_cell *cell, uint32_t rules, struct hf_rules *copy)
{
    const _Atomic uint64_t *words = cell->copies[rules & HF_RULE_COPY];
    uint64_t read[HF_RULES_WORDS] = {0};
    /* Acquire, pairs with write_copy(): who sees a word of a later change sees, when it looks at
     * the inventory's word again, the bump that came before. */
    for (size_t i = 0; i < HF_RULES_WORDS; i++)
        read[i] = hf_load_acquire(&words[i]);
    memcpy(copy, read, sizeof *copy);
}

struct hf_rules_mark hf_inventory_rules_mark(const struct hf_inventory_cell *cell)
{
    /* Each change of the settings makes the other copy current; a second one, which makes this copy
     * current again, comes with another sequence. Acquire, both: pairs with hf_inventory_put(); and the
     * first seq_cst, see hf_inventory_announce(). */
    uint32_t rules = hf_load_seq_cst(&cell->rules);
    uint64_t last = hf_load_acquire(
        &cell->copies[rules & HF_RULE_COPY][offsetof(struct hf_rules, sequence) / 8]);
    return (struct hf_rules_mark){.copy = rules & HF_RULE_COPY, .sequence = (uint32_t)last};
}

static void write_copy(struct hf_inventory_cell *cell, uint32_t which, const struct hf_rules *copy)
{
    uint64_t written[HF_RULES_WORDS];
    memcpy(written, copy, sizeof *copy);
    for (size_t i = 0; i < HF_RULES_WORDS; i++)
        hf_store_release(&cell->copies[which][i], written[i]); /* pairs with hf_inventory_copy() */
}

uint64_t hf_inventory_load(const struct hf_mcas *mcas, struct hf_inventory_cell *cell,
                           struct hf_rules *copy, uint32_t *rules)
{
    uint64_t word = hf_mcas_load(mcas, &cell->word);
    for (;;) {
        *rules = hf_load_acquire(&cell->rules); /* pairs with hf_inventory_put() */
        hf_inventory_copy(cell, *rules, copy);
        uint64_t again = hf_mcas_load(mcas, &cell->word);
        if (again == word)
            return word;
        word = again;
    }
}

bool hf_inventory_settle(struct hf_inventory_cell *cell, uint32_t rules, uint64_t *word)
{
    if ((rules & HF_RULE_FRESH) == 0)
        return true;
    uint64_t seen = *word;
    *word = hf_word_bumped(seen);
    /* acq_rel, pairs with the claims: one that was decided by what was before fails. */
    return hf_cas_acq_rel(&cell->word, &seen, *word);
}

static uint32_t rules_of(const struct hf_settings *settings, bool counted)
{
    bool claim = settings->customer_limit != 0 || settings->min_qty > 1 || settings->max_qty != 0 ||
                 (settings->flags & ~HF_INVENTORY_SKIP) != 0 || settings->opens_at_ns != 0 ||
                 settings->closes_at_ns != 0 || settings->longest_hold_ns != 0;
    bool cutoff = settings->cancel_until_ns != 0;
    return (claim ? HF_RULE_CLAIM : 0) | (counted ? HF_RULE_COUNTED : 0) |
           (cutoff ? HF_RULE_CUTOFF : 0);
}

/* Subtracts. False: it must not become negative, and would. */
static bool lower(const struct hf_mcas *mcas, struct hf_inventory_cell *cell, int32_t change,
                  bool strict)
{
    uint64_t word, lowered;
    do {
        word = hf_mcas_load(mcas, &cell->word);
        int32_t amount = hf_word_available(word) + change;
        if (strict && amount < 0)
            return false;
        lowered = hf_word_moved(word, amount);
    } while (!hf_cas_acq_rel(&cell->word, &word, lowered)); /* pairs with the claims */
    return true;
}

/* The instant at which rules that were stored are in force. Returns the word with which they are. */
static uint64_t bump(const struct hf_mcas *mcas, struct hf_inventory_cell *cell, int32_t added,
                     uint64_t cleared)
{
    uint64_t seen, bumped;
    do {
        seen = hf_mcas_load(mcas, &cell->word);
        bumped = hf_word_moved(seen, hf_word_available(seen) + added) & ~cleared;
    } while (!hf_cas_acq_rel(&cell->word, &seen, bumped)); /* pairs with the claims */
    return bumped;
}

void hf_inventory_count_claims(const struct hf_mcas *mcas, struct hf_inventory_cell *cell,
                               uint64_t *word)
{
    uint32_t rules = hf_load_relaxed(&cell->rules) | HF_RULE_COUNTED; /* the right is ours */
    hf_store_release(&cell->rules, rules | HF_RULE_FRESH);            /* as in put */
    *word = bump(mcas, cell, 0, 0);
    hf_store_release(&cell->rules, rules); /* as in put */
}

bool hf_inventory_put(const struct hf_mcas *mcas, struct hf_inventory_cell *cell,
                      const struct hf_rules *copy, const struct hf_put *how, uint64_t *word)
{
    if (how->change < 0 && !lower(mcas, cell, how->change, how->strict))
        return false;
    uint32_t other = (hf_load_relaxed(&cell->rules) & HF_RULE_COPY) ^ 1; /* the right is ours */
    write_copy(cell, other, copy);
    uint32_t rules = rules_of(&copy->settings, how->counted) | other;
    if (how->between)
        rules |= HF_RULE_BETWEEN;
    /* Release pairs with is_involved(); seq_cst: see hf_inventory_announce(). */
    hf_store_seq_cst(&cell->rules, rules | HF_RULE_FRESH);
    bool closes = (copy->settings.flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) != 0;
    *word = bump(mcas, cell, how->change > 0 ? how->change : 0,
                 how->reopen || !closes ? HF_WORD_SEALED : 0);
    hf_store_release(&cell->rules, rules); /* pairs with is_involved() */
    return true;
}

void hf_inventory_init_rules(struct hf_inventory_cell *cell, const struct hf_rules *copy,
                             bool counted)
{
    write_copy(cell, 0, copy);
    hf_store_release(&cell->rules, rules_of(&copy->settings, counted)); /* as in put */
}

/* The smaller, where 0 means that there is none. */
static uint64_t lesser(uint64_t one, uint64_t other)
{
    if (one == 0 || other == 0)
        return one + other;
    return one < other ? one : other;
}

static uint64_t greater(uint64_t one, uint64_t other)
{
    return one > other ? one : other;
}

void hf_settings_meet(const struct hf_settings *one, const struct hf_settings *other,
                      struct hf_settings *both)
{
    *both = (struct hf_settings){
        .sell_limit = one->sell_limit < other->sell_limit ? one->sell_limit : other->sell_limit,
        .customer_limit = (uint32_t)lesser(one->customer_limit, other->customer_limit),
        .min_qty = (uint32_t)greater(one->min_qty, other->min_qty),
        .max_qty = (uint32_t)lesser(one->max_qty, other->max_qty),
        .waiting_limit =
            one->waiting_limit < other->waiting_limit ? one->waiting_limit : other->waiting_limit,
        /* SKIP is a permission, the others forbid. */
        .flags = ((one->flags | other->flags) & ~HF_INVENTORY_SKIP) |
                 (one->flags & other->flags & HF_INVENTORY_SKIP),
        .opens_at_ns = greater(one->opens_at_ns, other->opens_at_ns),
        .closes_at_ns = lesser(one->closes_at_ns, other->closes_at_ns),
        .longest_hold_ns = lesser(one->longest_hold_ns, other->longest_hold_ns),
        .cancel_until_ns = lesser(one->cancel_until_ns, other->cancel_until_ns),
        .offer_ttl_ns = other->offer_ttl_ns,
    };
}

static uint32_t difference(int64_t count)
{
    return count > 0 ? (uint32_t)count : 0;
}

void hf_inventory_describe(const struct hf_inventory_cell *cell, const struct hf_mcas *mcas,
                           struct hf_inventory *inventory)
{
    struct hf_rules copy;
    uint32_t rules, held;
    uint64_t word;
    int tries = 0;
    do {
        word = hf_mcas_peek(mcas, &cell->word);
        rules = hf_load_acquire(&cell->rules); /* pairs with hf_inventory_put() */
        hf_inventory_copy(cell, rules, &copy);
        held = hf_load_acquire(&cell->held); /* acquire: the word is loaded again after it */
    } while ((word != hf_mcas_peek(mcas, &cell->word) || (rules & HF_RULE_FRESH)) &&
             ++tries < DESCRIBE_TRIES);
    int64_t sell_limit = copy.settings.sell_limit;
    /* A hold counts in `held` until its units are in the word: not for longer than that here. */
    int64_t sold = sell_limit - hf_word_available(word);
    if (held > difference(sold))
        held = difference(sold);
    *inventory = (struct hf_inventory){
        .inventory_id = cell->inventory_id,
        .product_id = cell->product_id,
        .lsn = copy.lsn,
        .made_at_ns = cell->made_at_ns,
        .capacity = copy.capacity,
        .sell_limit = copy.settings.sell_limit,
        .available = hf_word_available(word),
        .held = held,
        /* Derived, so that CONSERVATION holds in every answer. */
        .confirmed = difference(sold) - held,
        .waiting = hf_load_relaxed(&cell->waiting_count), /* a count, for information */
        .flags = copy.settings.flags | (word & HF_WORD_SEALED ? HF_INVENTORY_SOLD_OUT_CLOSED : 0),
        .version = hf_word_version(word),
    };
}

bool hf_inventory_copy_settings(const struct hf_inventory_cell *cell, struct hf_rules *copy)
{
    struct hf_rules_mark before, after;
    uint32_t rules;
    do {
        before = hf_inventory_rules_mark(cell);
        rules = hf_load_acquire(&cell->rules); /* pairs with hf_inventory_put() */
        hf_inventory_copy(cell, before.copy, copy);
        after = hf_inventory_rules_mark(cell);
    } while (before.copy != after.copy || before.sequence != after.sequence ||
             before.copy != (rules & HF_RULE_COPY));
    return (rules & HF_RULE_BETWEEN) == 0;
}
