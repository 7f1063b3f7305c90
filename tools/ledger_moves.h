/*
 * Moves: a reservation as the ledger knows it, and what may become of it. The table of states of
 * docs/log-format.md, and what each change may change.
 */
#ifndef HF_TOOLS_LEDGER_MOVES_H
#define HF_TOOLS_LEDGER_MOVES_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/ledger_image.h"

#define HF_LEDGER_INVENTORIES_MAX (1u << 30)

/* Packed, as there are many: what few have stands elsewhere (struct hf_ledger_more). */
struct hf_ledger_reservation {
    uint8_t id[HF_LEDGER_ID_BYTES];
    uint64_t lsn;
    uint64_t customer_id;
    uint64_t made_at_ns;
    uint64_t changed_at_ns;
    union {
        uint64_t deadline_ns; /* HELD */
        struct {
            uint32_t before, behind; /* number + 1; 0: none */
        } list;                      /* WAITING, final: its neighbours in the list; forgotten:
                                        behind, the next free number */
        uint64_t zero;               /* CONFIRMED */
    };
    uint32_t sequence;
    uint32_t more;           /* number + 1 of what else is known; 0: nothing */
    uint32_t inventory : 30; /* number in the ledger */
    uint32_t way : 2;        /* of making: see hf_ledger_made_as() */
    uint32_t qty : 29;
    uint32_t state : 3; /* NONE: it is forgotten */
};

_Static_assert(sizeof(struct hf_ledger_reservation) == 72, "packed");

/* made_as, of the document: as it stands in a record, from what is kept, and back. */
static inline uint8_t hf_ledger_made_as(const struct hf_ledger_reservation *reservation)
{
    return reservation->way == 2 ? LEDGER_WAITING : (uint8_t)reservation->way;
}

static inline unsigned hf_ledger_way_of(uint8_t made_as)
{
    return made_as == LEDGER_WAITING ? 2 : made_as;
}

/* True if the id was used before, and is used again now that that one is finished. */
bool hf_ledger_is_reused(const struct hf_ledger_reservation *last,
                         const struct hf_ledger_reservation_image *image);

/* NULL, or why no reservation begins like this; written to `reason`. */
const char *hf_ledger_check_making(const struct hf_ledger_reservation_image *image, char *reason);

/* NULL, or why `last` cannot become this. inventory: the number of the image's. */
const char *hf_ledger_check_change(const struct hf_ledger_reservation *last,
                                   const struct hf_ledger_reservation_image *image,
                                   uint32_t inventory, char *reason);

#endif
