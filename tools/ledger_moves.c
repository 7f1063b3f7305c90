/* Moves; see ledger_moves.h. */
#include "tools/ledger_moves.h"

#include <inttypes.h>
#include <stddef.h>

enum {
    BY_REQUEST = 1 << LEDGER_REQUEST,
    BY_DEADLINE = 1 << LEDGER_DEADLINE,
    BY_OFFER = 1 << LEDGER_OFFER,
    BY_LIMIT = 1 << LEDGER_LIMIT,
};

/* The table of states: from one to the next, for which reasons. */
static const uint8_t moves[HF_LEDGER_STATES][HF_LEDGER_STATES] = {
    [LEDGER_NONE] = {[LEDGER_HELD] = BY_REQUEST,
                     [LEDGER_CONFIRMED] = BY_REQUEST,
                     [LEDGER_WAITING] = BY_REQUEST},
    [LEDGER_HELD] = {[LEDGER_HELD] = BY_REQUEST,
                     [LEDGER_CONFIRMED] = BY_REQUEST,
                     [LEDGER_RELEASED] = BY_REQUEST,
                     [LEDGER_EXPIRED] = BY_DEADLINE},
    [LEDGER_CONFIRMED] = {[LEDGER_CONFIRMED] = BY_REQUEST, [LEDGER_CANCELLED] = BY_REQUEST},
    [LEDGER_WAITING] = {[LEDGER_HELD] = BY_OFFER, [LEDGER_CANCELLED] = BY_REQUEST | BY_LIMIT},
};

static const char *check_move(unsigned from, const struct hf_ledger_reservation_image *image,
                              char *reason)
{
    static const char *const reasons[] = {"a request", "its deadline", "an offer",
                                          "its customer's limit"};
    if ((moves[from][image->state] & 1u << image->reason) != 0)
        return NULL;
    if (from == LEDGER_NONE)
        return hf_ledger_reason(reason, "a reservation that was never made is %s",
                                hf_ledger_state_name(image->state));
    return hf_ledger_reason(reason, "a reservation went from %s to %s for %s",
                            hf_ledger_state_name(from), hf_ledger_state_name(image->state),
                            reasons[image->reason]);
}

const char *hf_ledger_check_making(const struct hf_ledger_reservation_image *image, char *reason)
{
    if (check_move(LEDGER_NONE, image, reason) != NULL)
        return reason;
    if (image->sequence != 1)
        return hf_ledger_reason(reason, "a new reservation has sequence %" PRIu32 ", expected 1",
                                image->sequence);
    unsigned made_as = image->state == LEDGER_CONFIRMED ? 0 : image->state;
    if (image->made_as != made_as)
        return hf_ledger_reason(reason, "a new reservation that is %s was made as state %u",
                                hf_ledger_state_name(image->state), image->made_as);
    return NULL;
}

/* What no change may change. */
static const char *check_same(const struct hf_ledger_reservation *last,
                              const struct hf_ledger_reservation_image *image, uint32_t inventory,
                              char *reason)
{
    if (image->sequence != last->sequence + 1)
        return hf_ledger_reason(reason, "a reservation has sequence %" PRIu32 ", expected %" PRIu32,
                                image->sequence, last->sequence + 1);
    if (inventory != last->inventory)
        return hf_ledger_reason(reason, "a reservation changed its inventory");
    if (image->made_at_ns != last->made_at_ns)
        return hf_ledger_reason(reason, "a reservation changed its date of making");
    if (image->made_as != hf_ledger_made_as(last))
        return hf_ledger_reason(reason, "a reservation changed the state in which it was made");
    if (image->changed_at_ns < last->changed_at_ns)
        return hf_ledger_reason(reason, "a reservation changed before its last change");
    return NULL;
}

/* Deadlines are neither missed nor anticipated. */
static const char *check_time(const struct hf_ledger_reservation *last,
                              const struct hf_ledger_reservation_image *image, char *reason)
{
    if (last->state != LEDGER_HELD)
        return NULL;
    bool lapsed = image->changed_at_ns >= last->deadline_ns;
    if (image->state == LEDGER_EXPIRED && !lapsed)
        return hf_ledger_reason(reason, "a hold expired %" PRIu64 " ns before its deadline",
                                last->deadline_ns - image->changed_at_ns);
    if (image->state != LEDGER_EXPIRED && lapsed)
        return hf_ledger_reason(reason, "a hold became %s %" PRIu64 " ns after its deadline",
                                hf_ledger_state_name(image->state),
                                image->changed_at_ns - last->deadline_ns);
    if (image->state == LEDGER_HELD && image->deadline_ns < last->deadline_ns)
        return hf_ledger_reason(reason, "a hold's deadline moved back");
    return NULL;
}

/* One change changes one thing: quantity, customer, deadline or state. */
static const char *check_content(const struct hf_ledger_reservation *last,
                                 const struct hf_ledger_reservation_image *image, char *reason)
{
    bool other_qty = image->qty != last->qty;
    bool other_customer = image->customer_id != last->customer_id;
    bool other_deadline = last->state == LEDGER_HELD && image->deadline_ns != last->deadline_ns;
    if (image->state != last->state) {
        bool fewer = image->state == LEDGER_CONFIRMED && image->qty < last->qty;
        if (other_customer)
            return hf_ledger_reason(reason, "a reservation that became %s changed its customer",
                                    hf_ledger_state_name(image->state));
        if (other_qty && !fewer)
            return hf_ledger_reason(
                reason, "a reservation that became %s changed its qty from %" PRIu32 " to %" PRIu32,
                hf_ledger_state_name(image->state), last->qty, image->qty);
        return NULL;
    }
    int changed = other_qty + other_customer + other_deadline;
    /* An extension may be to an earlier date than the deadline: that stays as it is. */
    if (changed > 1 || (changed == 0 && image->state != LEDGER_HELD))
        return hf_ledger_reason(reason, "one change of a reservation changed %d things", changed);
    return NULL;
}

const char *hf_ledger_check_change(const struct hf_ledger_reservation *last,
                                   const struct hf_ledger_reservation_image *image,
                                   uint32_t inventory, char *reason)
{
    if (hf_ledger_is_final(last->state))
        return hf_ledger_reason(
            reason,
            "RESOLVES-ONCE is broken: a reservation that is %s changes, its units were "
            "given back already",
            hf_ledger_state_name(last->state));
    if (image->sequence == 1)
        return hf_ledger_reason(reason, "a reservation that is %s is made once more",
                                hf_ledger_state_name(last->state));
    const char *found = check_move(last->state, image, reason);
    if (found == NULL)
        found = check_same(last, image, inventory, reason);
    if (found == NULL)
        found = check_time(last, image, reason);
    return found != NULL ? found : check_content(last, image, reason);
}

bool hf_ledger_is_reused(const struct hf_ledger_reservation *last,
                         const struct hf_ledger_reservation_image *image)
{
    return hf_ledger_is_final(last->state) && image->sequence == 1 &&
           image->made_at_ns > last->made_at_ns;
}
