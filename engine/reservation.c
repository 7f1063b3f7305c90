/* Reservations; the life of a change is told in reservation.h. */
#include "engine/reservation.h"

#include <string.h>

bool hf_reservation_copy(struct hf_reservation_cell *cell, struct hf_reservation *reservation,
                         uint64_t *word)
{
    /* Acquire, pairs with the release that clears the mark: the fields are those of this word. */
    *word = hf_load_acquire(&cell->word);
    for (;;) {
        if (*word & HF_WORD_NOT_LOGGED)
            return false;
        memcpy(reservation->id.bytes, cell->id, sizeof reservation->id.bytes);
        reservation->customer_id = cell->customer_id;
        reservation->made_at_ns = cell->made_at_ns;
        /* Acquire, pairs with the release stores of a change: the second load of the word does not
         * move before these, and sees the mark that came before them. */
        reservation->lsn = hf_load_acquire(&cell->lsn);
        reservation->changed_at_ns = hf_load_acquire(&cell->changed_at_ns);
        uint64_t again = hf_load_acquire(&cell->word);
        if (again == *word)
            break;
        *word = again;
    }
    reservation->qty = hf_reservation_word_qty(*word);
    reservation->sequence = hf_reservation_word_sequence(*word);
    reservation->state = hf_reservation_word_state(*word);
    return true;
}
