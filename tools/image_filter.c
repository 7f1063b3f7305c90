/* Filters; see image_filter.h. */
#include "tools/image_filter.h"

#include <string.h>

bool hf_image_filter_may_want(const struct hf_image_filter *filter, const uint8_t *record)
{
    return !filter->by_reservation || memcmp(record + HF_IMAGE_ID, filter->reservation_id.bytes,
                                             sizeof filter->reservation_id.bytes) == 0;
}

bool hf_image_filter_wants_reservation(const struct hf_image_filter *filter, const uint8_t id[16],
                                       uint64_t inventory_id, uint64_t customer_id, unsigned state)
{
    return (!filter->by_reservation ||
            memcmp(id, filter->reservation_id.bytes, sizeof filter->reservation_id.bytes) == 0) &&
           (!filter->by_inventory || inventory_id == filter->inventory_id) &&
           (!filter->by_customer || customer_id == filter->customer_id) &&
           (filter->states == 0 || (filter->states >> state & 1) != 0);
}

bool hf_image_filter_wants(const struct hf_image_filter *filter, const struct hf_image *image)
{
    const struct hf_reservation *reservation = &image->reservation;
    if (image->kind == HF_IMAGE_RESERVATION)
        return hf_image_filter_wants_reservation(filter, reservation->id.bytes,
                                                 reservation->inventory_id,
                                                 reservation->customer_id, reservation->state);
    return !hf_image_filter_is_for_reservations(filter) &&
           (!filter->by_inventory || image->inventory.inventory_id == filter->inventory_id);
}
