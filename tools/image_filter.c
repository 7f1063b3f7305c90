/* Filters; see image_filter.h. */
#include "tools/image_filter.h"

#include <string.h>

#include "base/bytes.h"

bool hf_image_filter_may_want(const struct hf_image_filter *filter, const uint8_t *record)
{
    uint64_t lsn = hf_get_u64(record);
    return lsn >= filter->first_lsn && lsn <= filter->last_lsn &&
           (!filter->by_reservation || memcmp(record + HF_IMAGE_ID, filter->reservation_id.bytes,
                                              sizeof filter->reservation_id.bytes) == 0);
}

bool hf_image_filter_wants(const struct hf_image_filter *filter, const struct hf_image *image)
{
    bool is_reservation = image->kind == HF_IMAGE_RESERVATION;
    uint64_t inventory_id =
        is_reservation ? image->reservation.inventory_id : image->inventory.inventory_id;
    return (!filter->by_reservation || is_reservation) &&
           (!filter->by_inventory || inventory_id == filter->inventory_id) &&
           (!filter->by_customer ||
            (is_reservation && image->reservation.customer_id == filter->customer_id));
}
