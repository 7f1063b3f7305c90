/*
 * A reservation in the region: one cache line, and the word that decides what becomes of it.
 *
 * The word
 *   bits  0 .. 28  qty
 *   bit  29        its units are in the count of its customer (engine/customers.h)
 *   bit  30        marked: its newest image has no LSN yet, or somebody is deciding about it
 *   bit  31        it has terms (engine/terms.h)
 *   bits 32 .. 59  sequence: 1 when made, one more with every change
 *   bits 60 .. 63  state (enum hf_state); 0: this cell is not in use
 *
 * Life of a change. Whoever wins the CAS on the word, which sets the mark, owns the cell until it
 * clears the mark: it writes the other fields, appends the image, and stores the word without the
 * mark, with release. Nobody else may move a marked word, so that is a plain store. Others who meet
 * the mark put their operation aside (LSN-ORDER: nothing builds on what has no LSN yet).
 *
 * A reader copies the fields between two loads of the word, and starts again if it changed. It does
 * so inside an epoch, so that the cell is not another reservation's meanwhile.
 *
 * Who may write what: `next`, whoever has taken the chain that the cell is in, or is put into; of a free
 * cell (its word is 0) `next` and `lsn`, whoever has its run (engine/cells.h); everything else, the
 * owner of the mark. A cell that was another's is filled with release stores: who scans the cells by
 * number may have seen that other's word, and must find it gone when it looks again.
 */
#ifndef HF_ENGINE_RESERVATION_H
#define HF_ENGINE_RESERVATION_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/atomics.h"
#include "engine/terms.h"
#include "holdfast/types.h"

struct hf_region;

struct hf_reservation_cell {
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t id[2]; /* the id's bytes; constant while in use */
    _Atomic uint64_t word;
    _Atomic uint64_t customer_id;
    _Atomic uint64_t lsn;
    _Atomic uint64_t made_at_ns; /* constant while in use */
    _Atomic uint64_t changed_at_ns;
    _Atomic uint32_t inventory; /* number of its inventory's cell; constant while in use */
    _Atomic uint32_t next; /* in its chain of the index, or among the free cells; 0: the last */
};
_Static_assert(sizeof(struct hf_reservation_cell) == 64, "one cache line a reservation");

#define HF_WORD_QTY_MASK       ((1ull << 29) - 1)
#define HF_WORD_COUNTED        (1ull << 29)
#define HF_WORD_MARKED         (1ull << 30)
#define HF_WORD_TERMS          (1ull << 31)
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
    return hf_state_is_active(hf_reservation_word_state(word));
}

/* Relaxed, both: the id is constant while the cell is in use; whoever made that known released it. */
static inline bool hf_reservation_has_id(const struct hf_reservation_cell *cell,
                                         const struct hf_id *id)
{
    uint64_t halves[2];
    memcpy(halves, id->bytes, sizeof halves);
    return hf_load_relaxed(&cell->id[0]) == halves[0] && hf_load_relaxed(&cell->id[1]) == halves[1];
}

static inline void hf_reservation_get_id(const struct hf_reservation_cell *cell, struct hf_id *id)
{
    uint64_t halves[2] = {hf_load_relaxed(&cell->id[0]), hf_load_relaxed(&cell->id[1])};
    memcpy(id->bytes, halves, sizeof halves);
}

static inline void hf_reservation_set_id(struct hf_reservation_cell *cell, const struct hf_id *id)
{
    uint64_t halves[2];
    memcpy(halves, id->bytes, sizeof halves);
    /* Release, both, as every field of a cell that was another's: hf_reservation_copy(). */
    hf_store_release(&cell->id[0], halves[0]);
    hf_store_release(&cell->id[1], halves[1]);
}

enum hf_copy {
    HF_COPIED,
    HF_COPY_MARKED, /* put the operation aside */
    HF_COPY_UNUSED, /* no reservation is in the cell */
};

/* Copies a reservation as it is at one instant. *word: the word at that instant. */
enum hf_copy hf_reservation_copy(const struct hf_region *region,
                                 const struct hf_reservation_cell *cell,
                                 struct hf_reservation *reservation, uint64_t *word);

/* The fingerprint of the request that made a reservation: never 0. */
uint32_t hf_reservation_origin(uint64_t customer_id, uint32_t qty);

#endif
