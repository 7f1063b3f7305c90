/*
 * Terms: what a reservation carries beyond its cell, once it has more to it than a plain claim.
 * One for each reservation cell, by its number, in a part of the region of its own: a reservation
 * that was made CONFIRMED, and never changed, does not touch it.
 *
 * Who may write what: `timer_next` and `armed`, the timer (engine/timer.h); everything else, the
 * owner of the mark of the reservation's word.
 */
#ifndef HF_ENGINE_TERMS_H
#define HF_ENGINE_TERMS_H

#include <stdint.h>

#include "base/atomics.h"

struct hf_terms {
    /* HELD: the deadline. Finished: when its retention ends. WAITING: the number of the one before
     * it in the list. CONFIRMED: whatever it was. Also the time by which the timer files it. */
    _Atomic uint64_t due_ns;
    _Atomic uint32_t timer_next; /* number of the next in its bucket of the timer */
    /* WAITING: the number of the one behind it in the list. Else the number of the reservation that
     * this one was made from (a reacquired hold), 0: none. */
    _Atomic uint32_t link;
    _Atomic uint32_t origin; /* fingerprint of the request that made it; see engine/reservation.h */
    _Atomic uint8_t armed;   /* 1: it is linked in the timer */
    _Atomic uint8_t made_as; /* enum hf_state in which it was made; 0: CONFIRMED */
    uint16_t reserved;
};
_Static_assert(sizeof(struct hf_terms) == 24, "memory of a retained reservation");

#endif
