/* Reservations; the life of a change is told in reservation.h. */
#include "engine/reservation.h"

#include "engine/hash.h"
#include "engine/region.h"

/* The id of the lapsed hold that a reservation was made from. Its cell may have been reclaimed, and
 * be another's by now: that one was made later than this one was. */
static void copy_link(const struct hf_region *region, uint32_t number,
                      struct hf_reservation *reservation)
{
    const struct hf_reservation_cell *cell = &region->reservations[number];
    /* Acquire, pairs with whoever filled the cell. */
    uint64_t word = hf_load_acquire(&cell->word);
    if (word != 0 && hf_load_relaxed(&cell->made_at_ns) < reservation->made_at_ns)
        hf_reservation_get_id(cell, &reservation->linked_id);
}

/* Acquire, throughout: pairs with the release stores of a change. The second load of the word does
 * not move before these, and sees the mark that came before what they saw. */
static void copy_terms(const struct hf_region *region, const struct hf_reservation_cell *cell,
                       struct hf_reservation *reservation)
{
    const struct hf_terms *terms = &region->terms[cell - region->reservations];
    if (reservation->state == HF_STATE_HELD)
        reservation->deadline_ns = hf_load_acquire(&terms->due_ns);
    uint32_t link = hf_load_acquire(&terms->link);
    if (link != 0 && reservation->state != HF_STATE_WAITING)
        copy_link(region, link, reservation);
}

enum hf_copy hf_reservation_copy(const struct hf_region *region,
                                 const struct hf_reservation_cell *cell,
                                 struct hf_reservation *reservation, uint64_t *word)
{
    /* Acquire, pairs with the release that clears the mark: the fields are those of this word. */
    uint64_t seen = hf_load_acquire(&cell->word);
    for (;;) {
        if (HF_UNLIKELY((seen & HF_WORD_MARKED) != 0 || seen == 0))
            return seen == 0 ? HF_COPY_UNUSED : HF_COPY_MARKED;
        /* Acquire, all, as in copy_terms(): who scans the cells may meet one that is taken out of
         * the table, and given to another reservation meanwhile. */
        uint64_t halves[2] = {hf_load_acquire(&cell->id[0]), hf_load_acquire(&cell->id[1])};
        memcpy(reservation->id.bytes, halves, sizeof halves);
        reservation->inventory_id =
            region->inventories[hf_load_acquire(&cell->inventory)].inventory_id;
        reservation->customer_id = hf_load_acquire(&cell->customer_id);
        reservation->made_at_ns = hf_load_acquire(&cell->made_at_ns);
        reservation->lsn = hf_load_acquire(&cell->lsn);
        reservation->changed_at_ns = hf_load_acquire(&cell->changed_at_ns);
        reservation->state = hf_reservation_word_state(seen);
        reservation->qty = hf_reservation_word_qty(seen);
        reservation->sequence = hf_reservation_word_sequence(seen);
        reservation->deadline_ns = 0;
        reservation->linked_id = (struct hf_id){{0}};
        if (seen & HF_WORD_TERMS)
            copy_terms(region, cell, reservation);
        uint64_t again = hf_load_acquire(&cell->word);
        if (HF_LIKELY(again == seen))
            break;
        seen = again;
    }
    *word = seen;
    return HF_COPIED;
}

uint32_t hf_reservation_origin(uint64_t customer_id, uint32_t qty)
{
    uint64_t hash = hf_hash_u64(customer_id ^ (uint64_t)qty << 32);
    uint32_t folded = (uint32_t)(hash ^ hash >> 32);
    return folded == 0 ? 1 : folded;
}
