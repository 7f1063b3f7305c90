/*
 * Multi-word CAS: replaces several words (see word.h) at one instant, or none of them. Lock-free:
 * whoever meets an operation under way finishes it, so a worker that stops in the middle of one
 * stops nobody.
 *
 * The way is that of Harris, Fraser and Pratt ("A Practical Multi-Word Compare-and-Swap Operation",
 * 2002), without their RDCSS, which versions make unnecessary. An operation has a descriptor: a
 * status {tag, UNDECIDED / SUCCEEDED / FAILED} and entries {place, expected, desired}. A word with
 * bit 63 set, a ref, names it by actor and tag. The steps, which the owner and any helper may take
 * at once, each any number of times:
 *
 *   begin    (owner) fills the descriptor: status {tag + 1, UNDECIDED}, then the sorted entries
 *   install  in the order of the entries: CAS place, expected -> ref. Found instead:
 *              this ref: somebody installed it, go on
 *              a ref of another operation: blocked; finish that one first, then look again
 *              another plain word: mismatch, the operation must fail
 *   decide   all installed: CAS status, UNDECIDED -> SUCCEEDED; mismatch: UNDECIDED -> FAILED
 *   detach   every place: CAS ref -> desired (SUCCEEDED), or expected with its version bumped
 *            (FAILED)
 *
 * Until the decision each word counts as expected; from then on, as what detach will leave there.
 * So the decision is the instant at which all of it happens: when it succeeds, every place holds
 * the ref, as a ref is replaced by detach only, which follows a decision.
 *
 * What callers must see to
 *  a. A place is changed by CAS only, once it is shared, and its versions move forward only
 *     (word.h): each plain value stands there once.
 *  b. `expected` was read from its place (by hf_mcas_load(), say) before hf_mcas() is called; it,
 *     and desired, are plain; desired has a newer version. An unchanged amount is fine: compare and
 *     bump.
 *  c. Places are distinct.
 *  d. Places stay mapped, and counters, for as long as the descriptors are in use: a helper may be
 *     slow. They may be used again for another counter if its version goes on from the old one.
 *
 * Why no RDCSS. That is there to keep a slow helper from installing a ref when the decision is made
 * already, which nobody would ever take away. Here it cannot:
 *  1. At most one CAS in all time installs the ref of one operation at one place: that CAS follows
 *     `expected` in the place's history, and `expected` stands there once (a.).
 *  2. Who decides SUCCEEDED has installed the ref at every place, or found it there. By 1. no other
 *     install of that operation succeeds, at any place, from then on.
 *  3. Who decides FAILED has done the same with the places before the failing one, k; so there,
 *     too, nobody installs any more. (That failing bumps versions keeps expected from coming back
 *     there; if it left `expected`, 1. would be wrong.)
 *  4. At k it found a plain word w which is not expected. Expected had been there (b.), and was
 *     read there before the operation began, so w is later in the history of the place. What
 *     directly follows expected there? If the ref: only detach replaces that, so w is later than a
 *     detach, which follows a decision. All changes of a place are CASes, so reading w acquires
 *     what detach released, the decision above all: our CAS of the status would find it decided. It
 *     did not. So another word follows expected, and by 1. the ref is never at k, before or after:
 *     a helper that is at k still, with the entry in its hand, fails its CAS.
 *  5. Behind k: to get there, a thread must have found or installed the ref at k. None did or will.
 *     So from any decision on, no install of the operation succeeds: what holds the ref at that
 *     instant is all that ever will.
 *
 * Why a descriptor can be used again. The owner detaches every place before hf_mcas() returns, and
 * nobody installs after that (5.), so no ref with this tag is left anywhere. A helper that is late
 * with one it met before:
 *  6. It trusts what it reads of the entries only if the status, read after them, still has its
 *     tag. The owner stores the new status, then the new entries with release; entries are read
 *     with acquire: who sees any of the new operation's sees its tag.
 *  7. It may have read an entry while it was valid and act on it much later. Install fails by 5.;
 *     decide compares the tag; detach compares the ref, which has the tag, and is nowhere any more.
 *     Tags have 53 bits and never come around.
 *
 * Progress. A thread is blocked at a place by an operation that it then finishes; that one may be
 * blocked in turn, at a place further on in the one order that all share, so this ends. A failed
 * operation has bumped versions, which makes others fail that expected the old ones, but not for
 * ever: the last place in the order is changed by successes only (failing bumps places before k).
 * If none succeeded any more, the last place would rest; then nobody who loads anew would fail
 * there, so the one before it would rest, and so on. So those who load anew and try again are
 * lock-free together.
 *
 * Descriptors are in the region, one an actor, and places are kept as offsets from the region's
 * base, so that a process that maps the region elsewhere, read-only, can tell what a word counts as
 * (hf_mcas_peek()). A place may be outside the region, in private memory: its offset is then the
 * difference of the addresses, modulo 2^64, good in the owner's process, which is the only one that
 * helps. Elsewhere it equals the offset of no place of the region, so peek, which looks for the one
 * entry of the word that it was asked about, never takes one for the other and never follows it.
 */
#ifndef HF_ENGINE_MCAS_H
#define HF_ENGINE_MCAS_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/check.h"
#include "engine/epoch.h"
#include "engine/word.h"

#define HF_MCAS_ENTRIES 160 /* of one operation, at most */

/* What the caller asks for. */
struct hf_mcas_entry {
    _Atomic uint64_t *place;
    uint64_t expected, desired;
};

/* An entry in the descriptor. Atomic, as late helpers read while the owner writes: see 6. above. */
struct hf_mcas_slot {
    _Atomic uint64_t offset; /* of the place, from the base, modulo 2^64 */
    _Atomic uint64_t expected;
    _Atomic uint64_t desired;
};

enum hf_mcas_state {
    HF_MCAS_UNDECIDED = 0,
    HF_MCAS_SUCCEEDED = 1,
    HF_MCAS_FAILED = 2,
};

/* All zero: never used. Count and slots are written by the owner, in begin; the status by the owner
 * there, and by anyone, by CAS, when deciding. */
struct hf_mcas_descriptor {
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t status; /* tag << 2 | enum hf_mcas_state */
    _Atomic uint64_t count;                               /* of slots in use */
    alignas(HF_CACHE_LINE_BYTES) struct hf_mcas_slot slots[HF_MCAS_ENTRIES];
};
_Static_assert(sizeof(struct hf_mcas_descriptor) == 64 + 24 * HF_MCAS_ENTRIES,
               "part of the region");
_Static_assert(HF_MAX_ACTORS == 1 << HF_WORD_ACTOR_BITS, "a ref names any actor");

/* A process's view of the descriptors. Constant. */
struct hf_mcas {
    uint8_t *base;                          /* of the region, as mapped here */
    struct hf_mcas_descriptor *descriptors; /* HF_MAX_ACTORS of them */
};

/*
 * Replaces all words at one instant, or none. True: done. False: at some instant during the call a
 * word was not as expected; no amount and no flag changed, but versions may have been bumped.
 * Acquires what was released by whoever changed any of the words before, and releases to whoever
 * finds them changed. Sorts the entries by place. count: 1 .. HF_MCAS_ENTRIES. actor: a number that
 * the caller alone uses now (hf_epochs_join()). a. to d. above must hold. Lock-free.
 */
bool hf_mcas(const struct hf_mcas *mcas, uint32_t actor, struct hf_mcas_entry *entries,
             uint32_t count);

/* Returns when the operation that the word names is over. Nothing to do for a plain word. */
void hf_mcas_help(const struct hf_mcas *mcas, uint64_t word);

/* hf_mcas_load() of a word that was seen to be a ref. */
uint64_t hf_mcas_load_slow(const struct hf_mcas *mcas, _Atomic uint64_t *place);

/* The word as it is now, plain: finishes what it meets. Acquire: pairs with all that changed it. */
static inline uint64_t hf_mcas_load(const struct hf_mcas *mcas, _Atomic uint64_t *place)
{
    uint64_t word = hf_load_acquire(place); /* pairs with detach, and with plain CASes */
    return HF_LIKELY(!hf_word_is_descriptor(word)) ? word : hf_mcas_load_slow(mcas, place);
}

/* What the word counts as now, plain; nothing is written: for a process that has the region mapped
 * read-only. Waits out (spins) only changes of the very word meanwhile. Acquire. */
uint64_t hf_mcas_peek(const struct hf_mcas *mcas, const _Atomic uint64_t *place);

/* ---- the steps, for hf_mcas() and for tests that stop in the middle ---- */

enum hf_mcas_step {
    HF_MCAS_STEP_INSTALLED, /* all that were asked for */
    HF_MCAS_STEP_MISMATCH,  /* a word is not as expected: decide that it failed */
    HF_MCAS_STEP_BLOCKED,   /* another operation stands at a place: *blocker is its ref */
    HF_MCAS_STEP_OVER,      /* decided, or its tag is gone: nothing to install any more */
};

/* How far a thread has come with installing an operation. */
struct hf_mcas_progress {
    uint64_t ref;
    uint32_t next; /* all entries before this one are installed, or were */
};

/* Fills the actor's descriptor; nobody knows it yet. The ref of the operation. */
uint64_t hf_mcas_begin(const struct hf_mcas *mcas, uint32_t actor, struct hf_mcas_entry *entries,
                       uint32_t count);

/* Installs entries up to `end`, or to the last one if there are fewer. */
enum hf_mcas_step hf_mcas_install(const struct hf_mcas *mcas, struct hf_mcas_progress *progress,
                                  uint32_t end, uint64_t *blocker);

/* Decides, if nobody has. SUCCEEDED only when all entries are installed, FAILED on a mismatch. */
void hf_mcas_decide(const struct hf_mcas *mcas, uint64_t ref, enum hf_mcas_state state);

/* Takes the ref out of all places, once it is decided. True: the operation succeeded (for the
 * owner; a helper may be too late to know). */
bool hf_mcas_detach(const struct hf_mcas *mcas, uint64_t ref);

#endif
