/*
 * A reservation in the region: one cache line, and the word that decides what becomes of it.
 *
 * The word
 *   bits  0 .. 29  qty
 *   bit  30        not logged yet: its newest image has no LSN
 *   bit  31        zero
 *   bits 32 .. 59  sequence: 1 when made, one more with every change
 *   bits 60 .. 63  state (enum hf_state); 0: this cell is not in use
 *
 * Life of a change. Whoever wins the CAS on the word, which sets the mark, owns the cell until it
 * clears the mark: it writes the other fields, appends the image, and stores the word without the
 * mark, with release. Nobody else may move a marked word, so that is a plain store. Others who meet
 * the mark put their operation aside (LSN-ORDER: nothing builds on what has no LSN yet).
 *
 * A reader copies the fields between two loads of the word, and starts again if it changed.
 *
 * Who may write what: `next`, whoever links the cell into its chain, before it is reachable;
 * everything else, the owner of the mark.
 */
#ifndef HF_ENGINE_RESERVATION_H
#define HF_ENGINE_RESERVATION_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "holdfast/types.h"

struct hf_reservation_cell {
    alignas(HF_CACHE_LINE_BYTES) uint64_t id[2]; /* the id's bytes; constant while reachable */
    _Atomic uint64_t word;
    uint64_t customer_id; /* constant while reachable */
    _Atomic uint64_t lsn;
    uint64_t made_at_ns; /* constant while reachable */
    _Atomic uint64_t changed_at_ns;
    uint32_t inventory;    /* number of its inventory's cell; constant while reachable */
    _Atomic uint32_t next; /* in its chain of the index, or among the free cells; 0: the last */
};
_Static_assert(sizeof(struct hf_reservation_cell) == 64, "one cache line a reservation");

#define HF_WORD_QTY_MASK       ((1ull << 30) - 1)
#define HF_WORD_NOT_LOGGED     (1ull << 30)
#define HF_WORD_SEQUENCE_SHIFT 32
#define HF_WORD_SEQUENCE_MASK  ((1ull << 28) - 1)
#define HF_WORD_STATE_SHIFT    60

static inline uint64_t hf_reservation_word(enum hf_state state, uint32_t sequence, uint32_t qty)
{
    return (uint64_t)state << HF_WORD_STATE_SHIFT |
           ((uint64_t)sequence & HF_WORD_SEQUENCE_MASK) << HF_WORD_SEQUENCE_SHIFT | qty;
}

static inline enum hf_state hf_reservation_word_state(uint64_t word)
{
    return (enum hf_state)(word >> HF_WORD_STATE_SHIFT);
}

static inline uint32_t hf_reservation_word_qty(uint64_t word)
{
    return (uint32_t)(word & HF_WORD_QTY_MASK);
}

static inline uint32_t hf_reservation_word_sequence(uint64_t word)
{
    return (uint32_t)(word >> HF_WORD_SEQUENCE_SHIFT & HF_WORD_SEQUENCE_MASK);
}

/* True if the reservation has its units. */
static inline bool hf_reservation_word_active(uint64_t word)
{
    return hf_reservation_word_state(word) == HF_STATE_CONFIRMED;
}

/*
 * Copies a reservation as it is at one instant; inventory_id is left to the caller. False: its
 * newest image has no LSN yet, put the operation aside. *word: the word at that instant.
 */
bool hf_reservation_copy(struct hf_reservation_cell *cell, struct hf_reservation *reservation,
                         uint64_t *word);

#endif
