/* Which records of a log are wanted: those that fulfil everything that is asked for. */
#ifndef HF_TOOLS_IMAGE_FILTER_H
#define HF_TOOLS_IMAGE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/image.h"

/* All zero, but last_lsn: everything. */
struct hf_image_filter {
    uint64_t first_lsn, last_lsn;
    bool by_reservation, by_inventory, by_customer;
    struct hf_id reservation_id;
    uint64_t inventory_id; /* the inventory's own records and events, and its reservations' */
    uint64_t customer_id;  /* reservations only */
};

/* True if the record, an image or not, can be wanted: its LSN is, and so are its bytes where a
 * reservation's id would be. Cheap. */
bool hf_image_filter_may_want(const struct hf_image_filter *filter, const uint8_t *record);

/* True if the image is wanted, of those that can be. */
bool hf_image_filter_wants(const struct hf_image_filter *filter, const struct hf_image *image);

#endif
