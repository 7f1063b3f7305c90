/* Changes, applied to the book; see ledger_change.h. */
#include "tools/ledger_change.h"

#include <inttypes.h>
#include <string.h>

#define VERSION_JUMP (1 << 20) /* from the versions of a run to those of the next */

const char *hf_ledger_no_memory(char *reason)
{
    return hf_ledger_reason(reason,
                            "not enough memory to go on; nothing is said about this record");
}

void hf_ledger_change_run(const struct hf_ledger_book *book, struct hf_ledger_inventory *inventory)
{
    inventory->run = book->run;
    inventory->lowering_count = 0; /* they excuse no claim of this run */
    hf_ledger_versions_clear(&inventory->versions);
    if (inventory->copied)
        inventory->oldest_version = HF_LEDGER_NO_VERSION;
    else if (book->started_modern && inventory->versioned)
        inventory->oldest_version = inventory->newest_version + VERSION_JUMP - 1;
}

static struct hf_ledger_touched *touch(struct hf_ledger_change *change, uint32_t inventory)
{
    for (uint32_t i = 0; i < change->touched_count; i++) {
        if (change->touched[i].inventory == inventory)
            return &change->touched[i];
    }
    struct hf_ledger_touched *touched = &change->touched[change->touched_count++];
    *touched = (struct hf_ledger_touched){.inventory = inventory};
    return touched;
}

/* Units, of the inventory and of the customers. */
static bool move_units(struct hf_ledger_book *book, const struct hf_ledger_reservation *last,
                       struct hf_ledger_entered *entered, struct hf_ledger_inventory *inventory)
{
    const struct hf_ledger_reservation_image *image = entered->image;
    int64_t had = hf_ledger_is_active(last->state) ? last->qty : 0;
    int64_t has = hf_ledger_is_active(image->state) ? image->qty : 0;
    entered->units = has - had;
    entered->customer_units = last->customer_id == image->customer_id ? entered->units : has;
    inventory->units += (uint64_t)entered->units;
    inventory->held += image->state == LEDGER_HELD ? image->qty : 0;
    inventory->held -= last->state == LEDGER_HELD ? last->qty : 0;
    if (!book->counts_customers)
        return true;
    return (had == 0 ||
            hf_ledger_map_add(&book->customers, entered->inventory, last->customer_id, -had)) &&
           (has == 0 ||
            hf_ledger_map_add(&book->customers, entered->inventory, image->customer_id, has));
}

static void note_touched(struct hf_ledger_change *change, struct hf_ledger_inventory *inventory,
                         const struct hf_ledger_entered *entered)
{
    const struct hf_ledger_reservation_image *image = entered->image;
    struct hf_ledger_touched *touched = touch(change, entered->inventory);
    touched->units += entered->units;
    if (entered->units <= 0) {
        hf_book_note_carried(inventory, image->inventory_version);
        return;
    }
    int64_t version = hf_book_counted_on(inventory, image->inventory_version);
    if (!touched->claims || version > touched->version)
        touched->version = version;
    touched->claims = true;
    touched->outside |= image->reason != LEDGER_OFFER;
    touched->sold_out |= image->flags != 0;
}

/* An offer goes to the head of the list, but with SKIP. */
static const char *check_offer(const struct hf_ledger_inventory *inventory,
                               const struct hf_ledger_reservation *reservation,
                               const struct hf_ledger_reservation_image *image, char *reason)
{
    if (image->reason != LEDGER_OFFER || (inventory->rules.flags & LEDGER_SKIP) != 0 ||
        reservation->list.before == 0 ||
        hf_book_counted_on(inventory, image->inventory_version) <= inventory->skip_version)
        return NULL;
    return hf_ledger_reason(reason,
                            "an offer of inventory %" PRIu64 " passes the head of its waiting list",
                            inventory->rules.inventory_id);
}

/* Leaves the list in which it stands with its last state. */
static void leave_list(struct hf_ledger_book *book, struct hf_ledger_inventory *inventory,
                       const struct hf_ledger_reservation *reservation)
{
    if (reservation->state == LEDGER_WAITING)
        hf_book_leave(book, inventory, reservation);
    else if (hf_ledger_is_final(reservation->state))
        hf_book_unfinish(book, reservation);
}

static void enter_list(struct hf_ledger_book *book, struct hf_ledger_inventory *inventory,
                       struct hf_ledger_reservation *reservation, uint32_t number)
{
    if (reservation->state == LEDGER_WAITING)
        hf_book_join(book, inventory, reservation, number);
    else if (hf_ledger_is_final(reservation->state))
        hf_book_finish(book, reservation, number);
}

/* Units and lists, and the image itself. */
static const char *take_effect(struct hf_ledger_change *change, struct hf_ledger_book *book,
                               struct hf_ledger_entered *entered,
                               struct hf_ledger_inventory *inventory,
                               struct hf_ledger_reservation *reservation, uint32_t number,
                               uint64_t lsn)
{
    leave_list(book, inventory, reservation);
    if (!move_units(book, reservation, entered, inventory))
        return hf_ledger_no_memory(change->reason);
    note_touched(change, inventory, entered);
    int64_t joined = hf_book_counted_on(inventory, entered->image->inventory_version);
    if (!hf_book_keep(book, reservation, entered->image, lsn, entered->inventory, joined))
        return hf_ledger_no_memory(change->reason);
    enter_list(book, inventory, reservation, number);
    return NULL;
}

/* An inventory that was found once has the same number for ever. */
static struct hf_ledger_inventory *find_inventory(const struct hf_ledger_book *book,
                                                  uint64_t inventory_id,
                                                  const struct hf_ledger_hint *hint,
                                                  uint32_t *number)
{
    if (hint == NULL || hint->inventory == 0)
        return hf_book_find_inventory(book, inventory_id, number);
    *number = hint->inventory - 1;
    return hf_book_inventory(book, *number);
}

static const char *apply(struct hf_ledger_change *change, struct hf_ledger_book *book,
                         struct hf_ledger_totals *totals,
                         const struct hf_ledger_reservation_image *image, uint64_t lsn,
                         const struct hf_ledger_hint *hint)
{
    struct hf_ledger_entered *entered = &change->entered[change->entered_count++];
    entered->image = image;
    struct hf_ledger_inventory *inventory =
        find_inventory(book, image->inventory_id, hint, &entered->inventory);
    if (inventory == NULL || inventory->rules.sequence == 0)
        return hf_ledger_reason(change->reason,
                                "inventory %" PRIu64 " of a reservation was never made",
                                image->inventory_id);
    hf_ledger_begin_run(book, inventory);
    uint32_t hash = hint != NULL ? hint->hash : hf_book_hash(book, image->id), number;
    struct hf_ledger_reservation *last = hf_book_find_reservation(book, image->id, hash, &number);
    entered->is_new = last == NULL || hf_ledger_is_reused(last, image);
    const char *reason =
        entered->is_new ? hf_ledger_check_making(image, change->reason)
                        : hf_ledger_check_change(last, image, entered->inventory, change->reason);
    if (reason == NULL && last != NULL)
        reason = check_offer(inventory, last, image, change->reason);
    if (reason != NULL)
        return reason;
    totals->reused += entered->is_new && last != NULL;
    totals->offers += image->reason == LEDGER_OFFER;
    totals->expiries += image->reason == LEDGER_DEADLINE;
    if (last == NULL && (last = hf_book_add_reservation(book, image->id, hash, &number)) == NULL)
        return hf_ledger_no_memory(change->reason);
    return take_effect(change, book, entered, inventory, last, number, lsn);
}

const char *hf_ledger_change_apply(struct hf_ledger_change *change, struct hf_ledger_book *book,
                                   struct hf_ledger_totals *totals,
                                   const struct hf_ledger_reservation_image *image, uint64_t lsn,
                                   const struct hf_ledger_hint *hint)
{
    const char *reason = apply(change, book, totals, image, lsn, hint);
    return reason == NULL ? NULL : hf_ledger_in_change(change, change->entered_count - 1);
}

const char *hf_ledger_in_change(struct hf_ledger_change *change, uint32_t index)
{
    char text[HF_LEDGER_REASON_BYTES];
    if (change->record_count == 1)
        return change->reason;
    memcpy(text, change->reason, sizeof text);
    return hf_ledger_reason(change->reason, "record %" PRIu32 " of %" PRIu32 " of a chain: %.250s",
                            index + 1, change->record_count, text);
}
