/*
 * Epochs: when memory that was taken out of a shared structure may be used again (quiescent-state
 * reclamation).
 *
 * An actor enters before it looks at shared structures and exits when it keeps no pointer into
 * them: once a batch. Whoever made something unreachable retires it, which gives a stamp, and uses
 * it again once the stamp has passed: when nobody is inside who entered early enough to have seen
 * it.
 *
 * The argument. Let R make X unreachable, then retire it, C = fetch_add on `now` that gives the
 * stamp s, and later ask passed(s), which loads the actor's slot, D. Let T be inside between a
 * store to its slot, A, of an epoch e, a load of `now` behind it, B, and its exit, E. If D, and
 * with it passed(), lets X be used again, then T is done with X, or never sees it:
 *  1. D reads A. Then e > s, else passed() says no. So T read from `now` what C or a later addition
 *     stored. `now` is changed by additions only, all of which are releases, and B acquires: that
 *     X is unreachable happens before all that T looks up.
 *  2. D reads something that was stored there after A: by E or later, by T or by who has the number
 *     now. Each of these is a release, D acquires: all that T did with X happens before X is used
 *     again.
 *  3. D reads something older than A, as if T was outside. A, B, C and D are seq_cst, so there is
 *     one order of the four that all agree on. D missed A: D is before A. So C < D < A < B:
 *     B reads what C stored or later, and as in 1. T cannot find X. With less than seq_cst at A, B,
 *     C or D this fails, on x86, too: A would wait in a store buffer while T reads X already.
 *  4. passed() does not look at the slot, as T joined when it had read how many there are. That
 *     count is raised before A and read after C, both seq_cst: as in 3.
 *
 * An actor that stays inside stops all reuse (nothing else: whoever needs a cell and finds none is
 * told to try again). So exit before anything that may wait.
 */
#ifndef HF_ENGINE_EPOCH_H
#define HF_ENGINE_EPOCH_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/check.h"

#define HF_MAX_ACTORS 1024

/* One actor's line: written by that actor alone, from hf_epochs_join() to hf_epochs_leave(). */
struct hf_epoch_slot {
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t entered; /* the epoch; 0: outside */
    _Atomic uint32_t taken;                                /* 1: this number is somebody's */
};
_Static_assert(sizeof(struct hf_epoch_slot) == HF_CACHE_LINE_BYTES, "one line an actor");

struct hf_epochs {
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t now; /* grows with each retirement; from 1 */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint32_t slot_count; /* that were ever taken */
    struct hf_epoch_slot slots[HF_MAX_ACTORS];
};

/* Before any other thread knows it. */
void hf_epochs_init(struct hf_epochs *epochs);

/* A number of the caller's own, 0 .. HF_MAX_ACTORS - 1, outside. UINT32_MAX: all are taken. */
uint32_t hf_epochs_join(struct hf_epochs *epochs);

/* Gives the number back. Outside only. */
void hf_epochs_leave(struct hf_epochs *epochs, uint32_t actor);

/* From here to the exit, nothing that the actor finds is used again. Not nested. */
static inline void hf_epochs_enter(struct hf_epochs *epochs, uint32_t actor)
{
    _Atomic uint64_t *entered = &epochs->slots[actor].entered;
    HF_CHECK(hf_load_relaxed(entered) == 0); /* relaxed: nobody else writes it */
    /* Relaxed: an older epoch than the newest keeps more from being used again, never less.
     * seq_cst, A in the argument, pairs with hf_epochs_passed(). */
    hf_store_seq_cst(entered, hf_load_relaxed(&epochs->now));
    /* seq_cst, B in the argument, pairs with hf_epochs_retire(). */
    (void)hf_load_seq_cst(&epochs->now);
}

/* The actor keeps no pointer to anything that it found. */
static inline void hf_epochs_exit(struct hf_epochs *epochs, uint32_t actor)
{
    /* Release, E in the argument, pairs with hf_epochs_passed(). */
    hf_store_release(&epochs->slots[actor].entered, 0);
}

/* A stamp for all that the caller made unreachable before, by itself or by others whose doing it
 * has acquired. Never blocks. */
uint64_t hf_epochs_retire(struct hf_epochs *epochs);

/* True: nobody is inside who can see what was retired with the stamp; it stays true. The caller
 * counts, too: while it is inside since before, the answer is no. */
bool hf_epochs_passed(struct hf_epochs *epochs, uint64_t stamp);

#endif
