/* Which records of a log are wanted: those that fulfil everything that is asked for. */
#ifndef HF_TOOLS_IMAGE_FILTER_H
#define HF_TOOLS_IMAGE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/image.h"

/* All zero: everything. */
struct hf_image_filter {
    bool by_reservation, by_inventory, by_customer;
    struct hf_id reservation_id;
    uint64_t inventory_id; /* the inventory's own records and events, and its reservations' */
    uint64_t customer_id;  /* reservations only */
    uint32_t states;       /* bit n: reservations in state n; 0: whatever it is */
};

/* True if only reservations can be wanted. */
static inline bool hf_image_filter_is_for_reservations(const struct hf_image_filter *filter)
{
    return filter->by_reservation || filter->by_customer || filter->states != 0;
}

/* True if the record, an image or not, can be wanted, by its bytes where a reservation's id would
 * be. Cheap. */
bool hf_image_filter_may_want(const struct hf_image_filter *filter, const uint8_t *record);

/* True if the image is wanted, of those that can be. */
bool hf_image_filter_wants(const struct hf_image_filter *filter, const struct hf_image *image);

/* The same of a reservation that stands in no record. */
bool hf_image_filter_wants_reservation(const struct hf_image_filter *filter, const uint8_t id[16],
                                       uint64_t inventory_id, uint64_t customer_id, unsigned state);

#endif
