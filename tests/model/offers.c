/*
 * The reference model's part about what the server does by itself: holds expire, units that came
 * free are offered to those who wait. See reference.h.
 */
#include "tests/model/compare.h"
#include "tests/model/reference.h"

bool hf_reference_lapsed(const struct hf_reservation *reservation, uint64_t now_ns)
{
    return reservation->state == HF_STATE_HELD && now_ns >= reservation->deadline_ns;
}

/* The lapsed hold that lapsed first; NULL: none. */
static const struct hf_world_reservation *first_lapsed(const struct hf_world *world,
                                                       uint64_t now_ns)
{
    const struct hf_world_reservation *first = NULL;
    for (uint32_t i = 0; i < hf_world_reservation_count(world); i++) {
        const struct hf_world_reservation *one = hf_world_reservation(world, i);
        if (hf_reference_lapsed(&one->now, now_ns) &&
            (first == NULL || one->now.deadline_ns < first->now.deadline_ns))
            first = one;
    }
    return first;
}

static void expire(struct hf_world *world, const struct hf_world_reservation *one, uint64_t now_ns)
{
    struct hf_reservation changed = one->now;
    changed.state = HF_STATE_EXPIRED;
    changed.deadline_ns = 0;
    hf_world_change(world, &changed, now_ns);
}

bool hf_reference_expire_one(struct hf_world *world, uint64_t now_ns, const struct hf_id *id)
{
    const struct hf_world_reservation *one = hf_world_find(world, id);
    if (one == NULL || !hf_reference_lapsed(&one->now, now_ns))
        return false;
    expire(world, one, now_ns);
    return true;
}

void hf_reference_expire(struct hf_world *world, uint64_t now_ns)
{
    for (;;) {
        const struct hf_world_reservation *one = first_lapsed(world, now_ns);
        if (one == NULL)
            return;
        expire(world, one, now_ns);
        hf_reference_settle(world, now_ns);
    }
}

const struct hf_world_reservation *hf_reference_next_offer(const struct hf_world *world,
                                                           uint64_t inventory_id, bool *dropped)
{
    const struct hf_world_inventory *inventory = hf_world_find_inventory(world, inventory_id);
    const struct hf_settings *settings = &inventory->settings;
    int64_t available = hf_world_available(inventory);
    if (inventory->waiting == 0 || available <= 0)
        return NULL;
    uint64_t place = 0;
    for (;;) {
        const struct hf_world_reservation *one = hf_world_waiting_from(world, inventory_id, place);
        if (one == NULL)
            return NULL;
        if (one->now.qty <= available) {
            uint32_t has = hf_world_customer_units(world, inventory_id, one->now.customer_id);
            *dropped = settings->customer_limit != 0 &&
                       (uint64_t)has + one->now.qty > settings->customer_limit;
            return one;
        }
        if (!(settings->flags & HF_INVENTORY_SKIP))
            return NULL;
        place = one->place + 1;
    }
}

static void offer(struct hf_world *world, const struct hf_world_reservation *one, uint64_t now_ns,
                  bool dropped)
{
    const struct hf_world_inventory *inventory =
        hf_world_find_inventory(world, one->now.inventory_id);
    struct hf_reservation changed = one->now;
    changed.state = dropped ? HF_STATE_CANCELLED : HF_STATE_HELD;
    changed.deadline_ns = dropped ? 0 : now_ns + inventory->settings.offer_ttl_ns;
    hf_world_change(world, &changed, now_ns);
}

bool hf_reference_offer_one(struct hf_world *world, uint64_t now_ns, uint64_t inventory_id)
{
    bool dropped;
    const struct hf_world_reservation *one = hf_reference_next_offer(world, inventory_id, &dropped);
    if (one != NULL)
        offer(world, one, now_ns, dropped);
    return one != NULL;
}

void hf_reference_settle(struct hf_world *world, uint64_t now_ns)
{
    for (uint32_t i = 0; i < hf_world_inventory_count(world); i++) {
        while (hf_reference_offer_one(world, now_ns, hf_world_inventory(world, i)->inventory_id))
            ;
    }
}

static const char *follow_expiry(struct hf_world *world, uint64_t now_ns,
                                 const struct hf_world_reservation *one)
{
    if (one->now.state != HF_STATE_HELD)
        return "expires a reservation that is not held";
    if (!hf_reference_lapsed(&one->now, now_ns))
        return "expires a hold before its deadline";
    expire(world, one, now_ns);
    return NULL;
}

static const char *follow_offer(struct hf_world *world, uint64_t now_ns,
                                const struct hf_world_reservation *one, bool drops)
{
    bool dropped;
    if (one->now.state != HF_STATE_WAITING)
        return "makes an offer to a reservation that does not wait";
    const struct hf_world_reservation *next =
        hf_reference_next_offer(world, one->now.inventory_id, &dropped);
    if (next != one)
        return next ? "makes an offer to another than the first who fits"
                    : "makes an offer though the units are not there";
    if (drops != dropped)
        return drops ? "drops one that the customer limit allows"
                     : "makes an offer beyond the customer limit";
    offer(world, one, now_ns, dropped);
    return NULL;
}

const char *hf_reference_follow(struct hf_world *world, uint64_t now_ns,
                                const struct hf_reservation *image, enum hf_reason reason)
{
    const struct hf_world_reservation *one = hf_world_find(world, &image->id);
    const char *error;
    if (one == NULL)
        return "changes a reservation that there is not";
    if (image->state == HF_STATE_EXPIRED)
        error = follow_expiry(world, now_ns, one);
    else if (reason == HF_REASON_OFFER && image->state == HF_STATE_HELD)
        error = follow_offer(world, now_ns, one, false);
    else if (reason == HF_REASON_LIMIT && image->state == HF_STATE_CANCELLED)
        error = follow_offer(world, now_ns, one, true);
    else
        return "changes a reservation for a reason that does not fit";
    if (error == NULL && hf_compare_reservations(&one->now, image) != NULL)
        error = "changes a reservation into something else than it should be";
    return error;
}
