/*
 * An inventory in the region: the word that decides who gets its units (engine/word.h), and its
 * rules, the settings that a claim must obey.
 *
 * A claim is a conditional CAS on the word: it subtracts only what is there, at one instant
 * (NO-OVERSELL), and what it refuses was not there at the instant of its load (HONEST-NO). There is
 * no subtract that would have to be undone.
 *
 * The settings stand in two copies, of which `rules` names the current one; beside that it tells in
 * one look whether a claim has anything to obey at all. Whoever changes settings
 *   1. has the right to (`setting`)
 *   2. writes the copy that is not current
 *   3. makes it current, marked fresh, with one store to `rules`
 *   4. bumps the version of the word: this is the instant at which the settings are in force
 *   5. clears the fresh mark.
 * A claim loads the word, then `rules` and what it needs of the copy, then its CAS. If the settings
 * came into force between, the version was bumped and the CAS fails. A copy is written again only
 * after another change, hence another bump: who read it torn fails, too. A refusal makes sure that
 * the word is still what it was; and who refuses for fresh rules bumps the version first, so that
 * no later claim is decided on older rules than an earlier refusal. So a change of settings is one
 * instant for grants and for refusals, and no one waits for the one who makes it.
 *
 * Settings that allow more must have their LSN before they are in force, and settings that allow
 * less must be in force before their LSN is taken (LSN-ORDER). A change that does both comes in two
 * steps: first what both the old and the new allow, then, after the LSN, the new.
 *
 * The sell limit is an amount in the word: lowering it subtracts, whatever is left (a deficit is
 * negative), raising it adds.
 *
 * Who may write what: the word, anyone, by CAS; `held` and `giving`, whoever moves the units, or leaves
 * a list; the
 * settings, `rules` and `count_*`, who has the right to them (`setting`, taken by CAS); `waiting_*`,
 * who has the right to the list (`list`, likewise; engine/waiting.h); `chore_next`, who set
 * LIST_QUEUED there; the rest, the creator, before the cell is visible in the index.
 */
#ifndef HF_ENGINE_INVENTORY_H
#define HF_ENGINE_INVENTORY_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "engine/mcas.h"
#include "engine/word.h"
#include "holdfast/types.h"

/* Bits of `rules`. */
#define HF_RULE_COPY    1u  /* which copy of the settings is current */
#define HF_RULE_FRESH   2u  /* it is current, but maybe not in force yet */
#define HF_RULE_CLAIM   4u  /* a claim has something to obey */
#define HF_RULE_COUNTED 8u  /* the units of each customer are counted */
#define HF_RULE_CUTOFF  16u /* cancellations end at a date */
#define HF_RULE_BETWEEN 32u /* a change is half done: what both the old and the new allow */
#define HF_RULES_ANY    (HF_RULE_CLAIM | HF_RULE_COUNTED | HF_RULE_FRESH)

/* Settings and what belongs to them. */
struct hf_rules {
    struct hf_settings settings;
    uint64_t lsn; /* of the image that told them */
    uint64_t changed_at_ns;
    uint32_t sequence; /* of that image: 1 when made */
    uint32_t capacity;
};
#define HF_RULES_WORDS (sizeof(struct hf_rules) / sizeof(uint64_t))
_Static_assert(sizeof(struct hf_rules) == 88, "whole words, without padding");

struct hf_inventory_cell {
    alignas(2 * HF_CACHE_LINE_BYTES) _Atomic uint64_t word;
    uint64_t inventory_id;
    _Atomic uint32_t rules;
    _Atomic uint32_t held; /* units */
    uint64_t product_id;
    uint64_t made_at_ns;
    _Atomic uint16_t setting;       /* 1: somebody has the right to change the settings */
    _Atomic uint16_t giving;        /* changes under way that will give something back: change.h */
    _Atomic uint32_t list;          /* the right to the waiting list, see waiting.h */
    _Atomic uint32_t waiting_count; /* reservations in the list */
    uint32_t waiting_first, waiting_last; /* their numbers; 0: none */
    _Atomic uint32_t chore_next;          /* in the engine's chores: the next, + 1 */
    _Atomic uint64_t copies[2][HF_RULES_WORDS];
    /* Counting the units of each customer, see engine/setting.c. With the right to the settings. */
    uint64_t count_stamp;   /* begun: an epoch */
    uint32_t count_next;    /* reservation to go on with; UINT32_MAX: all are counted */
    uint32_t count_version; /* of the word, which that it began produced */
};
_Static_assert(sizeof(struct hf_inventory_cell) == 256, "the first line is the hot one");

/*
 * Something is on its way back to the inventory, and nobody is refused for want of it, until it is
 * withdrawn, after the word has changed. seq_cst, both of the first and the third, and the rules that
 * hf_inventory_put() stores: whoever cancels announces it and then reads the rules; whoever has been
 * told of new rules looks whether anything is announced. One of them sees what the other wrote.
 */
static inline void hf_inventory_announce(struct hf_inventory_cell *cell)
{
    hf_fetch_add_seq_cst(&cell->giving, 1);
}

static inline void hf_inventory_withdraw(struct hf_inventory_cell *cell)
{
    hf_fetch_sub_acq_rel(&cell->giving, 1); /* pairs with hf_inventory_announced() */
}

/* How many have announced something. Who finds none, and then the same word as before, knows that nothing
 * was on its way at that word. */
static inline uint32_t hf_inventory_announced(const struct hf_inventory_cell *cell)
{
    return hf_load_seq_cst(&cell->giving);
}

/* Takes `qty` units by a CAS, if nothing but their number stands against it. */
enum hf_claim {
    HF_CLAIM_DONE,
    HF_CLAIM_TOO_FEW, /* fewer units than that, no hold that could have lapsed, none on their way */
    HF_CLAIM_INVOLVED, /* rules, a waiting list, an operation over several words, holds: look closely */
};

/* *word: given, as it was loaded last (hf_inventory_weigh()). DONE: what it is now; TOO_FEW: the
 * instant at which the units were not there. */
enum hf_claim hf_inventory_claim(struct hf_inventory_cell *cell, uint32_t qty, uint64_t *word);

/*
 * Takes the units of `count` claims one behind the other, `units` in all, by one CAS: each has a
 * version of its own, the last one that of *word. False: they are not that plain, or would take the
 * last unit; nothing changed. *word: given, as it was loaded last.
 */
bool hf_inventory_claim_run(struct hf_inventory_cell *cell, uint32_t count, uint64_t units,
                            uint64_t *word);

/* What would become of a claim of that many at this instant; *word: the one that says so. No write. */
enum hf_claim hf_inventory_weigh(const struct hf_inventory_cell *cell, uint32_t qty,
                                 uint64_t *word);

/* The settings that `rules` (a value of cell->rules) names; torn if they were replaced meanwhile. */
void hf_inventory_copy(const struct hf_inventory_cell *cell, uint32_t rules, struct hf_rules *copy);

/* What settings were read: they are still the current ones if this is still the same. */
struct hf_rules_mark {
    uint32_t copy;
    uint32_t sequence;
};
struct hf_rules_mark hf_inventory_rules_mark(const struct hf_inventory_cell *cell);

/* The word and the rules, together. */
uint64_t hf_inventory_load(const struct hf_mcas *mcas, struct hf_inventory_cell *cell,
                           struct hf_rules *copy, uint32_t *rules);

/* Before a refusal for these rules, read at this word: makes sure that they are in force. *word is
 * then the word at which they are. False: it has changed meanwhile. */
bool hf_inventory_settle(struct hf_inventory_cell *cell, uint32_t rules, uint64_t *word);

/* How settings come into force. All zero: as they are. */
struct hf_put {
    int32_t change; /* of the sell limit: > 0, added at that instant; < 0, subtracted just before */
    bool strict;    /* not if the amount would be negative after a subtraction */
    bool counted;   /* the units of each customer are counted */
    bool between;   /* more is to come */
    bool reopen;    /* undoes a close by selling out */
};

/* Makes these the settings in force, by whoever has the right to. *word: with which they are. False:
 * strict, and there are too few units; nothing changed. */
bool hf_inventory_put(const struct hf_mcas *mcas, struct hf_inventory_cell *cell,
                      const struct hf_rules *copy, const struct hf_put *how, uint64_t *word);

/* From now on claims count the units of each customer. The settings stay as they are. *word as
 * above. */
void hf_inventory_count_claims(const struct hf_mcas *mcas, struct hf_inventory_cell *cell,
                               uint64_t *word);

/* Writes the first settings of a cell that is not visible yet, or has just been recovered. */
void hf_inventory_init_rules(struct hf_inventory_cell *cell, const struct hf_rules *copy,
                             bool counted);

/* What holds if both hold: nothing is allowed that one of them forbids. */
void hf_settings_meet(const struct hf_settings *one, const struct hf_settings *other,
                      struct hf_settings *both);

/* Everything that is known of it. */
void hf_inventory_describe(const struct hf_inventory_cell *cell, const struct hf_mcas *mcas,
                           struct hf_inventory *inventory);

/* The settings in force, and the image that told them. False: a change is half done, and they are
 * neither the old nor the new. */
bool hf_inventory_copy_settings(const struct hf_inventory_cell *cell, struct hf_rules *copy);

#endif
