/*
 * A record as the ledger reads it: decoded and judged by docs/log-format.md alone, with no code of
 * the engine's. The names are those of the document.
 */
#ifndef HF_TOOLS_LEDGER_IMAGE_H
#define HF_TOOLS_LEDGER_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#define HF_LEDGER_RECORD_BYTES 128
#define HF_LEDGER_ID_BYTES     16
#define HF_LEDGER_REASON_BYTES 320
#define HF_LEDGER_CHAIN_MAX    128
#define HF_LEDGER_UNITS_MAX    ((1u << 29) - 1)
#define HF_LEDGER_STATES       7 /* numbers of states are below this; 0: there is no reservation */

/* Where some things stand in every record, for those who look before they read. */
#define HF_LEDGER_AT_KIND         8
#define HF_LEDGER_AT_CHAIN_INDEX  10
#define HF_LEDGER_AT_CHAIN_LENGTH 11
#define HF_LEDGER_AT_ID           16 /* of a reservation */
#define HF_LEDGER_AT_INVENTORY    32 /* of a reservation */
#define HF_LEDGER_AT_CUSTOMER     40 /* of a reservation */
#define HF_LEDGER_AT_CHANGED_AT   56 /* of whatever it is */

enum {
    LEDGER_INVENTORY = 1,
    LEDGER_RESERVATION = 2,
    LEDGER_EVENT = 3,
};

enum {
    LEDGER_NONE = 0,
    LEDGER_HELD = 1,
    LEDGER_CONFIRMED = 2,
    LEDGER_CANCELLED = 3,
    LEDGER_RELEASED = 4,
    LEDGER_EXPIRED = 5,
    LEDGER_WAITING = 6,
};

enum {
    LEDGER_REQUEST = 0,
    LEDGER_DEADLINE = 1,
    LEDGER_OFFER = 2,
    LEDGER_LIMIT = 3,
};

enum {
    LEDGER_PAUSED = 1,
    LEDGER_CLOSED = 2,
    LEDGER_CLOSE_WHEN_SOLD_OUT = 4,
    LEDGER_SKIP = 8,
    LEDGER_SOLD_OUT_CLOSED = 16,
};

#define LEDGER_SOLD_OUT 1 /* the only flag of a reservation's record */

struct hf_ledger_reservation_image {
    const uint8_t *id, *linked_id; /* in the record; linked_id NULL: all zero */
    uint64_t inventory_id, customer_id;
    uint64_t made_at_ns, changed_at_ns, deadline_ns;
    uint32_t qty, sequence, inventory_version, origin;
    uint8_t state, made_as, flags, reason;
};

struct hf_ledger_inventory_image {
    uint64_t inventory_id, product_id;
    uint64_t made_at_ns, changed_at_ns;
    uint64_t opens_at_ns, closes_at_ns, longest_hold_ns;
    uint32_t sequence, sell_limit, flags, customer_limit, min_qty, max_qty, inventory_version;
};

struct hf_ledger_event_image {
    uint64_t inventory_id, changed_at_ns;
    uint32_t inventory_version;
};

struct hf_ledger_image {
    uint64_t lsn;
    uint8_t kind, chain_index, chain_length;
    union {
        struct hf_ledger_reservation_image reservation;
        struct hf_ledger_inventory_image inventory;
        struct hf_ledger_event_image event;
    };
};

/* Reads a record. NULL, or why it is none, written to `reason` (HF_LEDGER_REASON_BYTES). */
const char *hf_ledger_image_read(const uint8_t *record, struct hf_ledger_image *image,
                                 char *reason);

/* True if version 0.1.0 of Holdfast can have written it: reservations CONFIRMED at once, or
 * CANCELLED, and no settings but the sell limit. */
bool hf_ledger_image_is_old(const uint8_t *record);

/* True if a reservation in that state has its units; if it never changes again. */
static inline bool hf_ledger_is_active(unsigned state)
{
    return state == LEDGER_HELD || state == LEDGER_CONFIRMED;
}

static inline bool hf_ledger_is_final(unsigned state)
{
    return state == LEDGER_CANCELLED || state == LEDGER_RELEASED || state == LEDGER_EXPIRED;
}

/* "HELD", ... of 0 .. HF_LEDGER_STATES - 1. */
const char *hf_ledger_state_name(unsigned state);

/* Writes the record that says this, as a change of its own. */
void hf_ledger_image_write(const struct hf_ledger_reservation_image *image, uint64_t lsn,
                           uint8_t *record);

/* What a reservation's newest record puts into the state hash. */
uint64_t hf_ledger_reservation_hash(const struct hf_ledger_reservation_image *image, uint64_t lsn);

/* The newest record of an inventory as it stands in a snapshot: with that version, and whether it
 * is closed by selling out. Changed in place. */
void hf_ledger_inventory_rewrite(uint8_t *record, uint32_t version, bool sold_out_closed);

/* What an inventory's newest record does, with the units that are available of it. */
uint64_t hf_ledger_inventory_hash(const uint8_t *record, int64_t available);

/* Writes `format` to `reason` and returns it. */
__attribute__((format(printf, 2, 3))) const char *hf_ledger_reason(char *reason, const char *format,
                                                                   ...);

#endif
