/*
 * Images: what the records of the log say. An image is the complete new content of a reservation
 * or an inventory after one change; replaying it needs nothing that came before.
 *
 * Common, offsets in the record
 *    0  u64  lsn
 *    8  u8   kind            1 inventory, 2 reservation, 3 event
 *   10  u8   chain_index     place of this record in its chain, from 0
 *   11  u8   chain_length    records of the chain; 0: this record is a change of its own
 *
 * A chain: the records of one operation over several reservations. They have consecutive LSNs, and
 * take effect together when the last of them is there. A record with chain_length n > 0 that is not
 * followed by the rest of its chain (the next record has another place, or the log ends) has no
 * effect, nor have those of its chain before it: the operation was never acknowledged.
 *
 * Reservation
 *    9  u8   state           enum hf_state
 *   12  u32  qty             1 .. 2^29 - 1
 *   16  16   reservation_id  not zero
 *   32  u64  inventory_id
 *   40  u64  customer_id
 *   48  u64  made_at_ns
 *   56  u64  changed_at_ns   >= made_at_ns
 *   64  u64  deadline_ns     HELD: > 0; else 0
 *   72  u32  sequence        1 when made, one more with every change
 *   76  u32  inventory_version  a change that took units: the version that its claim produced; any
 *                            other: a version that the inventory had before it
 *   80  16   linked_id       the lapsed hold that this one was made from; else zero
 *   96  u32  origin          fingerprint of the request that made it, once the customer or the
 *                            quantity are no longer those of that request; else 0
 *  100  u8   made_as         the state in which it was made: 0 (CONFIRMED), HELD or WAITING
 *  101  u8   flags           1: this change took the last unit (SOLD_OUT)
 *  102  u8   reason          why it changed, enum hf_reason
 *  103  25   zero
 *
 * Inventory
 *    9  u8   zero
 *   12  u32  sequence        1 when made, one more with every change of its settings
 *   16  u64  inventory_id
 *   24  u64  product_id
 *   32  u32  capacity        1 .. 2^29 - 1
 *   36  u32  sell_limit      0 .. 2^29 - 1
 *   40  u32  flags           HF_INVENTORY_*
 *   44  u32  waiting_limit
 *   48  u64  made_at_ns
 *   56  u64  changed_at_ns   >= made_at_ns
 *   64  u32  customer_limit
 *   68  u32  min_qty
 *   72  u32  max_qty
 *   76  u32  inventory_version  a version that the inventory had when this was decided
 *   80  u64  opens_at_ns
 *   88  u64  closes_at_ns
 *   96  u64  longest_hold_ns
 *  104  u64  cancel_until_ns
 *  112  u64  offer_ttl_ns
 *  120  u64  zero
 *
 * Event: something that follows from the images, told for those who watch. Changes no state.
 *    9  u8   event           1: units can be had again of an inventory that was sold out
 *   12  u32  inventory_version
 *   16  u64  inventory_id
 *   24  u32  available       units
 *   28  28   zero
 *   56  u64  changed_at_ns   when
 *   64  64   zero
 */
#ifndef HF_ENGINE_IMAGE_H
#define HF_ENGINE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/types.h"

/* Offsets in the image of a reservation. */
#define HF_IMAGE_ID           16
#define HF_IMAGE_INVENTORY_ID 32

enum hf_image_kind {
    HF_IMAGE_INVENTORY = 1,
    HF_IMAGE_RESERVATION = 2,
    HF_IMAGE_EVENT = 3,
};

/* Why a reservation changed. */
enum hf_reason {
    HF_REASON_REQUEST = 0,  /* a client asked for it */
    HF_REASON_DEADLINE = 1, /* its deadline passed */
    HF_REASON_OFFER = 2,    /* units came free for the head of the waiting list */
    HF_REASON_LIMIT = 3,    /* its offer would have exceeded the customer's limit */
};

enum hf_image_event {
    HF_EVENT_AVAILABLE_AGAIN = 1,
};

#define HF_IMAGE_FLAG_SOLD_OUT 1

/* What the image of a reservation says beyond the reservation. */
struct hf_image_notes {
    uint32_t inventory_version;
    uint32_t origin;
    uint8_t made_as;
    uint8_t flags;  /* HF_IMAGE_FLAG_* */
    uint8_t reason; /* enum hf_reason */
    uint8_t chain_index, chain_length;
};

/* A decoded image: `kind` tells which of the parts is filled in. */
struct hf_image {
    uint64_t lsn;
    enum hf_image_kind kind;
    uint8_t chain_index, chain_length;
    struct hf_reservation reservation; /* its lsn is the record's */
    struct hf_image_notes notes;       /* of a reservation */
    struct hf_inventory inventory; /* ids, lsn, made_at_ns, capacity, sell_limit, flags, version */
    struct hf_settings settings;   /* of an inventory */
    uint32_t inventory_sequence;
    uint64_t inventory_changed_at_ns;
    unsigned event; /* enum hf_image_event; about inventory.inventory_id, .version, .available */
    uint64_t event_at_ns;
};

/* Encode all of a record but its LSN (bytes 0 .. 7), which the log's ring writes last. */
void hf_image_encode_reservation(uint8_t *record, const struct hf_reservation *reservation,
                                 const struct hf_image_notes *notes);
/* A CONFIRMED or HELD reservation that was just made, in one claim, by itself: the same, shorter. */
void hf_image_encode_grant(uint8_t *record, const struct hf_reservation *reservation,
                           uint32_t inventory_version, uint8_t flags);
/* Of `inventory`: the ids, made_at_ns, capacity and version. */
void hf_image_encode_inventory(uint8_t *record, const struct hf_inventory *inventory,
                               const struct hf_settings *settings, uint32_t sequence,
                               uint64_t changed_at_ns);
void hf_image_encode_event(uint8_t *record, enum hf_image_event event,
                           const struct hf_inventory *inventory, uint64_t at_ns);

/* Decodes a record. NULL, or why it is not an image ("state 9 is unknown"). Static storage. */
const char *hf_image_decode(const uint8_t *record, struct hf_image *image);

#endif
