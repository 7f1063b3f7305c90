/*
 * Moves: a reservation as the ledger knows it, and what may become of it. The table of states of
 * docs/log-format.md, and what each change may change.
 */
#ifndef HF_TOOLS_LEDGER_MOVES_H
#define HF_TOOLS_LEDGER_MOVES_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/ledger_image.h"

struct hf_ledger_reservation {
    uint8_t id[HF_LEDGER_ID_BYTES];
    uint64_t customer_id;
    uint64_t made_at_ns;
    uint64_t changed_at_ns;
    uint64_t deadline_ns;
    uint64_t hash;      /* its part of the state hash */
    int64_t joined;     /* WAITING: the version with which it joined */
    uint32_t inventory; /* number in the ledger */
    uint32_t qty;
    uint32_t sequence;
    uint32_t before, behind; /* WAITING: its neighbours in the list, number + 1; 0: none */
    uint8_t state;
    uint8_t made_as;
};

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
