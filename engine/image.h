/*
 * Images: what the records of the log say. An image is the complete new content of a reservation
 * or an inventory after one change; replaying it needs nothing that came before.
 *
 * Common, offsets in the record
 *    0  u64  lsn
 *    8  u8   kind            1 inventory, 2 reservation
 *
 * Reservation
 *    9  u8   state           2 CONFIRMED, 3 CANCELLED
 *   10  u16  zero
 *   12  u32  qty             1 .. 2^29 - 1
 *   16  16   reservation_id  not zero
 *   32  u64  inventory_id
 *   40  u64  customer_id
 *   48  u64  made_at_ns
 *   56  u64  changed_at_ns   >= made_at_ns
 *   64  u64  zero
 *   72  u32  sequence        1 when made, one more with every change
 *   76  u32  inventory_version  the version that the claim produced; 0 if this change claimed
 * nothing 80  48   zero
 *
 * Inventory
 *    9  u8   zero
 *   10  u16  zero
 *   12  u32  sequence        1 when made, one more with every change of its settings
 *   16  u64  inventory_id
 *   24  u64  product_id
 *   32  u32  capacity        1 .. 2^29 - 1
 *   36  u32  sell_limit      1 .. 2^29 - 1
 *   40  u64  zero
 *   48  u64  made_at_ns
 *   56  u64  changed_at_ns   >= made_at_ns
 *   64  64   zero
 */
#ifndef HF_ENGINE_IMAGE_H
#define HF_ENGINE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/types.h"

#define HF_IMAGE_ID 16 /* offset of the reservation id */

enum hf_image_kind {
    HF_IMAGE_INVENTORY = 1,
    HF_IMAGE_RESERVATION = 2,
};

/* A decoded image: `kind` tells which of the two parts is filled in. */
struct hf_image {
    uint64_t lsn;
    enum hf_image_kind kind;
    struct hf_reservation reservation; /* its lsn is the record's */
    uint32_t inventory_version;        /* reservation: the version its claim produced, or 0 */
    struct hf_inventory inventory;     /* ids, lsn, made_at_ns, capacity, sell_limit */
    uint32_t inventory_sequence;
    uint64_t inventory_changed_at_ns;
};

/* Encode all of a record but its LSN (bytes 0 .. 7), which the log's ring writes last. */
void hf_image_encode_reservation(uint8_t *record, const struct hf_reservation *reservation,
                                 uint32_t inventory_version);
void hf_image_encode_inventory(uint8_t *record, const struct hf_inventory *inventory,
                               uint32_t sequence, uint64_t changed_at_ns);

/* Decodes a record. NULL, or why it is not an image ("state 9 is unknown"). Static storage. */
const char *hf_image_decode(const uint8_t *record, struct hf_image *image);

#endif
