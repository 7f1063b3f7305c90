/*
 * Judging changes; see ledger_change.h.
 *
 * Which settings a claim was decided under is told by versions: what an inventory's record forbids
 * is in force for every claim with a newer version than the record's. A claim with an older one may
 * come behind it in the log all the same, if both were decided at the same time; it was decided
 * under what was in force before. Of claims that were decided before the ledger began to judge
 * (unjudged_version) it is not known what that was.
 */
#include <inttypes.h>

#include "tools/ledger_change.h"

/* ---- sell limit, settings --------------------------------------------------------------- */

/* True if the claim was decided before a lowering, and is within the limit before that. */
static bool precedes_lowering(const struct hf_ledger_inventory *inventory, int64_t version)
{
    for (uint32_t i = inventory->lowering_count; i > 0; i--) {
        const struct hf_ledger_lowering *lowering = &inventory->lowerings[i - 1];
        if (lowering->version < version)
            return false; /* and so are those before it */
        if (inventory->units <= lowering->limit_before)
            return true;
    }
    return false;
}

static const char *judge_units(const struct hf_ledger_inventory *inventory,
                               const struct hf_ledger_touched *touched, char *reason)
{
    uint32_t sell_limit = inventory->rules.sell_limit;
    if (inventory->units <= sell_limit || precedes_lowering(inventory, touched->version))
        return NULL;
    uint64_t before = inventory->units - (uint64_t)touched->units;
    return hf_ledger_reason(reason,
                            "NO-OVERSELL is broken: inventory %" PRIu64 " has %" PRIu64
                            " units held and confirmed and a sell limit of %" PRIu32
                            "%s, and %" PRId64 " more are taken",
                            inventory->rules.inventory_id, before, sell_limit,
                            before > sell_limit ? " (a deficit)" : "", touched->units);
}

static void note_sold_out(struct hf_ledger_inventory *inventory,
                          const struct hf_ledger_touched *touched)
{
    if (touched->outside &&
        (!inventory->outside || touched->version > inventory->outside_version)) {
        inventory->outside = true;
        inventory->outside_version = touched->version;
    }
    if (touched->sold_out &&
        (!inventory->sold_out || touched->version > inventory->sold_out_version)) {
        inventory->sold_out = true;
        inventory->sold_out_version = touched->version;
        hf_book_close_if_sold_out(inventory);
    }
}

static const char *judge_sold_out(const struct hf_ledger_inventory *inventory, char *reason)
{
    if (!inventory->closed || !inventory->outside ||
        inventory->outside_version <= inventory->closed_version)
        return NULL;
    return hf_ledger_reason(reason,
                            "inventory %" PRIu64 " was closed by selling out, at version %" PRIu32
                            ", and a claim with version %" PRIu32 " took units",
                            inventory->rules.inventory_id,
                            (uint32_t)inventory->closed_version & HF_LEDGER_VERSION_MASK,
                            (uint32_t)inventory->outside_version & HF_LEDGER_VERSION_MASK);
}

static const char *judge_waiting_list(const struct hf_ledger_book *book,
                                      const struct hf_ledger_inventory *inventory,
                                      const struct hf_ledger_touched *touched, char *reason)
{
    if (!touched->outside || inventory->first_waiting == 0)
        return NULL;
    const struct hf_ledger_reservation *first =
        hf_book_reservation(book, inventory->first_waiting - 1);
    if (touched->version <= hf_book_more(book, first)->joined)
        return NULL;
    return hf_ledger_reason(
        reason, "a claim took units of inventory %" PRIu64 " that a waiting list stands before",
        inventory->rules.inventory_id);
}

/* A claim of one reservation against the settings in force. */
static const char *judge_rules(const struct hf_ledger_inventory *inventory,
                               const struct hf_ledger_entered *entered, char *reason)
{
    const struct hf_ledger_inventory_image *rules = &inventory->rules;
    const struct hf_ledger_reservation_image *image = entered->image;
    const char *what = NULL;
    if ((rules->flags & LEDGER_PAUSED) != 0)
        what = "when its sales were paused";
    else if ((rules->flags & LEDGER_CLOSED) != 0)
        what = "when its sales were closed";
    else if (image->qty < rules->min_qty)
        what = "that are fewer than one claim may have";
    else if (rules->max_qty != 0 && image->qty > rules->max_qty)
        what = "that are more than one claim may have";
    else if (entered->is_new && image->made_at_ns < rules->opens_at_ns)
        what = "before its sales opened";
    else if (entered->is_new && rules->closes_at_ns != 0 &&
             image->made_at_ns >= rules->closes_at_ns)
        what = "after its sales closed";
    else if (entered->is_new && image->state == LEDGER_HELD && rules->longest_hold_ns != 0 &&
             image->deadline_ns - image->made_at_ns > rules->longest_hold_ns)
        what = "for longer than a hold may last";
    if (what == NULL)
        return NULL;
    return hf_ledger_reason(reason, "a claim took units of inventory %" PRIu64 " %s",
                            rules->inventory_id, what);
}

/* ---- versions --------------------------------------------------------------------------- */

static const char *judge_version(struct hf_ledger_inventory *inventory, int64_t claimed,
                                 struct hf_ledger_totals *totals, char *reason)
{
    uint64_t inventory_id = inventory->rules.inventory_id;
    uint32_t version = (uint32_t)claimed & HF_LEDGER_VERSION_MASK;
    if (claimed <= inventory->oldest_version)
        return hf_ledger_reason(reason,
                                "a claim has version %" PRIu32 ", but inventory %" PRIu64
                                " started with version %" PRIu32,
                                version, inventory_id,
                                (uint32_t)inventory->oldest_version & HF_LEDGER_VERSION_MASK);
    switch (hf_ledger_versions_add(&inventory->versions, claimed)) {
    case HF_LEDGER_VERSION_NEW:
        break;
    case HF_LEDGER_VERSION_TWICE:
        return hf_ledger_reason(
            reason, "version %" PRIu32 " of inventory %" PRIu64 " stands for two claims", version,
            inventory_id);
    case HF_LEDGER_VERSION_FORGOTTEN:
        totals->unproved++;
        break;
    case HF_LEDGER_VERSION_NO_MEMORY:
        return hf_ledger_no_memory(reason);
    }
    hf_book_note_version(inventory, claimed);
    return NULL;
}

/* ---- a change --------------------------------------------------------------------------- */

/* A claim, of all records that concern one inventory. */
static const char *judge_claim(const struct hf_ledger_book *book,
                               const struct hf_ledger_touched *touched,
                               struct hf_ledger_totals *totals, char *reason)
{
    struct hf_ledger_inventory *inventory = hf_book_inventory(book, touched->inventory);
    if (!touched->claims)
        return NULL;
    if (touched->units <= 0) { /* what they take comes from what they give */
        hf_book_note_version(inventory, touched->version);
        return NULL;
    }
    if (touched->version > inventory->unjudged_version &&
        (judge_units(inventory, touched, reason) != NULL ||
         judge_waiting_list(book, inventory, touched, reason) != NULL))
        return reason;
    note_sold_out(inventory, touched);
    if (judge_sold_out(inventory, reason) != NULL)
        return reason;
    return judge_version(inventory, touched->version, totals, reason);
}

/* What is made from a lapsed hold is the customer's whose hold that was, and no more. */
static const char *judge_link(const struct hf_ledger_book *book,
                              const struct hf_ledger_entered *entered,
                              struct hf_ledger_totals *totals, char *reason)
{
    const struct hf_ledger_reservation_image *image = entered->image;
    if (!entered->is_new || image->linked_id == NULL)
        return NULL;
    uint32_t number;
    const struct hf_ledger_reservation *lapsed = hf_book_find_reservation(
        book, image->linked_id, hf_book_hash(book, image->linked_id), &number);
    if (lapsed == NULL && book->forgotten != 0) { /* it may have been one of those */
        totals->unproved++;
        return NULL;
    }
    if (lapsed == NULL || lapsed->state != LEDGER_EXPIRED)
        return hf_ledger_reason(reason, "a reservation is linked to one that is not EXPIRED");
    if (lapsed->inventory != entered->inventory || lapsed->customer_id != image->customer_id ||
        image->qty > lapsed->qty)
        return hf_ledger_reason(reason,
                                "a reservation is linked to one of another inventory or customer, "
                                "or of fewer units");
    return NULL;
}

/* The units of its customer after a record, which are not judged, as an override cannot be told. */
static void count_above_limit(const struct hf_ledger_book *book,
                              const struct hf_ledger_entered *entered,
                              struct hf_ledger_totals *totals)
{
    uint32_t limit = hf_book_inventory(book, entered->inventory)->rules.customer_limit;
    if (limit == 0 || entered->customer_units <= 0)
        return;
    totals->above_customer_limit += hf_ledger_map_units(&book->customers, entered->inventory,
                                                        entered->image->customer_id) > limit;
}

/* The claims that the change makes together. There is one for each inventory that it touched. */
static const struct hf_ledger_touched *touched_by(const struct hf_ledger_change *change,
                                                  const struct hf_ledger_entered *entered)
{
    const struct hf_ledger_touched *touched = change->touched;
    while (touched->inventory != entered->inventory)
        touched++;
    return touched;
}

static const char *judge_entered(const struct hf_ledger_change *change,
                                 const struct hf_ledger_book *book,
                                 const struct hf_ledger_entered *entered,
                                 struct hf_ledger_totals *totals)
{
    if (entered->units > 0 && entered->image->reason == LEDGER_REQUEST) {
        const struct hf_ledger_inventory *inventory = hf_book_inventory(book, entered->inventory);
        const struct hf_ledger_touched *touched = touched_by(change, entered);
        if (touched->units > 0 && touched->version > inventory->rules_version &&
            touched->version > inventory->unjudged_version &&
            judge_rules(inventory, entered, change->reason) != NULL)
            return change->reason;
    }
    count_above_limit(book, entered, totals);
    return judge_link(book, entered, totals, change->reason);
}

const char *hf_ledger_change_judge(struct hf_ledger_change *change, struct hf_ledger_book *book,
                                   struct hf_ledger_totals *totals)
{
    for (uint32_t i = 0; i < change->touched_count; i++) {
        if (judge_claim(book, &change->touched[i], totals, change->reason) != NULL)
            return change->reason;
    }
    for (uint32_t i = 0; i < change->entered_count; i++) {
        if (judge_entered(change, book, &change->entered[i], totals) != NULL)
            return hf_ledger_in_change(change, i);
    }
    return NULL;
}
