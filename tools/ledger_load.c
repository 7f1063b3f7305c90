/*
 * Loading: a state is entered as it is, and settled. See ledger.h.
 *
 * A snapshot is copied while the server runs: it has an image of each id, but not all at one LSN.
 * So images come in any order, also one older than what is there; and a reservation may come before
 * its inventory, if both are newer than the snapshot's beginning. What follows from the images is
 * made only when all of them are there.
 */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "tools/ledger_order.h"
#include "tools/ledger_private.h"

/* ---- one record ------------------------------------------------------------------------- */

/* The inventory, known or not. NULL: out of memory. */
static struct hf_ledger_inventory *meet_inventory(struct hf_ledger_book *book,
                                                  uint64_t inventory_id, uint32_t *number)
{
    struct hf_ledger_inventory *inventory = hf_book_find_inventory(book, inventory_id, number);
    if (inventory == NULL)
        inventory = hf_book_add_inventory(book, inventory_id, number);
    if (inventory != NULL)
        hf_ledger_begin_run(book, inventory);
    return inventory;
}

/* Of two images with one sequence the log's knows more, but that it was closed by selling out
 * stands in the snapshot's alone. */
static void keep_inventory(struct hf_ledger_inventory *inventory, const uint8_t *record,
                           const struct hf_ledger_inventory_image *image, int64_t version,
                           enum hf_ledger_source source)
{
    uint32_t closed = 0;
    if (image->sequence < inventory->rules.sequence)
        return;
    if (image->sequence == inventory->rules.sequence) {
        closed = (image->flags | inventory->rules.flags) & LEDGER_SOLD_OUT_CLOSED;
        if (source == HF_LEDGER_FROM_SNAPSHOT) {
            inventory->rules.flags |= closed;
            return;
        }
    }
    memcpy(inventory->record, record, HF_LEDGER_RECORD_BYTES);
    inventory->rules = *image;
    inventory->rules.flags |= closed;
    inventory->rules_version = version;
}

static const char *load_inventory(struct hf_ledger *ledger, const uint8_t *record,
                                  const struct hf_ledger_inventory_image *image,
                                  enum hf_ledger_source source)
{
    uint32_t number;
    struct hf_ledger_inventory *inventory =
        meet_inventory(&ledger->book, image->inventory_id, &number);
    if (inventory == NULL)
        return hf_ledger_no_memory(ledger->reason);
    int64_t version = hf_book_counted_on(inventory, image->inventory_version);
    if (source == HF_LEDGER_FROM_LOG && image->sequence == 1 && !inventory->versioned)
        inventory->oldest_version = version;
    inventory->copied |= source == HF_LEDGER_FROM_SNAPSHOT;
    if (image->inventory_version != 0 || !inventory->versioned)
        hf_book_note_version(inventory, version);
    keep_inventory(inventory, record, image, version, source);
    hf_book_note_date(&ledger->book, image->changed_at_ns);
    return NULL;
}

/* Whether it is closed by selling out is told by all records, not only by the newest. */
static void note_sold_out(struct hf_ledger_inventory *inventory,
                          const struct hf_ledger_reservation_image *image)
{
    int64_t version = hf_book_counted_on(inventory, image->inventory_version);
    if ((image->flags & LEDGER_SOLD_OUT) == 0 ||
        (inventory->sold_out && version <= inventory->sold_out_version))
        return;
    inventory->sold_out = true;
    inventory->sold_out_version = version;
}

static void count_reservation(struct hf_ledger_totals *totals, const struct hf_ledger_image *image,
                              bool is_reused)
{
    totals->reused += is_reused;
    totals->offers += image->reservation.reason == LEDGER_OFFER;
    totals->expiries += image->reservation.reason == LEDGER_DEADLINE;
    totals->chains += image->chain_length != 0 && image->chain_index + 1 == image->chain_length;
}

/* True if it is newer than what is there. */
static bool stands(const struct hf_ledger_reservation *last,
                   const struct hf_ledger_reservation_image *image)
{
    if (image->made_at_ns != last->made_at_ns)
        return image->made_at_ns > last->made_at_ns;
    return image->sequence > last->sequence;
}

static const char *load_reservation(struct hf_ledger *ledger, const struct hf_ledger_image *image,
                                    enum hf_ledger_source source)
{
    const struct hf_ledger_reservation_image *content = &image->reservation;
    struct hf_ledger_book *book = &ledger->book;
    uint32_t inventory_number, number, hash = hf_book_hash(book, content->id);
    struct hf_ledger_inventory *inventory =
        meet_inventory(book, content->inventory_id, &inventory_number);
    if (inventory == NULL)
        return hf_ledger_no_memory(ledger->reason);
    int64_t joined = HF_LEDGER_NO_VERSION;
    struct hf_ledger_reservation *last = hf_book_find_reservation(book, content->id, hash, &number);
    if (source == HF_LEDGER_FROM_LOG) {
        hf_book_note_carried(inventory, content->inventory_version);
        note_sold_out(inventory, content);
        joined = hf_book_counted_on(inventory, content->inventory_version);
        count_reservation(&ledger->totals, image,
                          last != NULL && hf_ledger_is_reused(last, content));
    }
    if (last != NULL && !stands(last, content))
        return NULL;
    if (last == NULL && (last = hf_book_add_reservation(book, content->id, hash, &number)) == NULL)
        return hf_ledger_no_memory(ledger->reason);
    return hf_book_keep(book, last, content, image->lsn, inventory_number, joined)
               ? NULL
               : hf_ledger_no_memory(ledger->reason);
}

static const char *load_event(struct hf_ledger *ledger, const struct hf_ledger_event_image *image,
                              enum hf_ledger_source source)
{
    uint32_t number;
    if (source == HF_LEDGER_FROM_SNAPSHOT)
        return hf_ledger_fault(ledger, "a snapshot holds an event");
    struct hf_ledger_inventory *inventory =
        meet_inventory(&ledger->book, image->inventory_id, &number);
    if (inventory == NULL)
        return hf_ledger_no_memory(ledger->reason);
    hf_book_note_carried(inventory, image->inventory_version);
    hf_book_note_date(&ledger->book, image->changed_at_ns);
    ledger->totals.events++;
    return NULL;
}

/* What holds for the records of a log, judged or not: their order, and that chains are whole. */
static const char *follow_log(struct hf_ledger *ledger, const struct hf_ledger_image *image)
{
    if (ledger->next_lsn != 0 && image->lsn != ledger->next_lsn)
        return hf_ledger_fault(ledger, "the record has LSN %" PRIu64 ", expected %" PRIu64,
                               image->lsn, ledger->next_lsn);
    if (ledger->chain_count != 0 &&
        (image->chain_length != ledger->chain_length || image->chain_index != ledger->chain_count))
        return hf_ledger_fault(ledger, "a chain of %" PRIu32 " records ends after %" PRIu32,
                               ledger->chain_length, ledger->chain_count);
    ledger->next_lsn = image->lsn + 1;
    ledger->chain_length = image->chain_length;
    ledger->chain_count = image->chain_length == 0 ? 0 : image->chain_index + 1u;
    if (ledger->chain_count == ledger->chain_length)
        ledger->chain_count = 0;
    ledger->totals.records++;
    return NULL;
}

static const char *load(struct hf_ledger *ledger, const uint8_t *record,
                        enum hf_ledger_source source, const struct hf_ledger_hint *hint)
{
    (void)hint; /* what stands there has been fetched */
    struct hf_ledger_image image;
    const char *reason = hf_ledger_image_read(record, &image, ledger->reason);
    if (reason == NULL && source == HF_LEDGER_FROM_LOG)
        reason = follow_log(ledger, &image);
    if (reason != NULL)
        return reason;
    if (!ledger->book.modern) /* version 0.1.0 made no snapshots */
        ledger->book.modern = source == HF_LEDGER_FROM_SNAPSHOT || !hf_ledger_image_is_old(record);
    switch (image.kind) {
    case LEDGER_INVENTORY:
        return load_inventory(ledger, record, &image.inventory, source);
    case LEDGER_EVENT:
        return load_event(ledger, &image.event, source);
    default:
        return load_reservation(ledger, &image, source);
    }
}

static void begin_loading(struct hf_ledger *ledger)
{
    HF_CHECK(ledger->phase != HF_LEDGER_JUDGING);
    if (ledger->phase == HF_LEDGER_FRESH)
        ledger->next_lsn = 0;
    ledger->phase = HF_LEDGER_LOADING;
}

const char *hf_ledger_load(struct hf_ledger *ledger, const uint8_t *record,
                           enum hf_ledger_source source)
{
    begin_loading(ledger);
    return load(ledger, record, source, NULL);
}

const char *hf_ledger_load_all(struct hf_ledger *ledger, const uint8_t *records, uint32_t count,
                               enum hf_ledger_source source, uint32_t *loaded)
{
    begin_loading(ledger);
    return hf_ledger_pipeline(ledger, records, count, load, source, loaded);
}

void hf_ledger_load_date(struct hf_ledger *ledger, uint64_t date_ns)
{
    begin_loading(ledger);
    hf_book_note_date(&ledger->book, date_ns);
}

/* ---- settling --------------------------------------------------------------------------- */

/* Claims with a version that is known already were decided under settings, limits and lists of
 * which only the newest are known. */
static const char *settle_inventory(struct hf_ledger *ledger, struct hf_ledger_inventory *inventory)
{
    if (inventory->rules.sequence == 0)
        return hf_ledger_fault(ledger, "inventory %" PRIu64 " of a reservation was never made",
                               inventory->rules.inventory_id);
    inventory->copied = false;
    inventory->unjudged_version = inventory->newest_version;
    inventory->skip_version = inventory->newest_version;
    hf_book_close_if_sold_out(inventory);
    if (inventory->closed)
        inventory->closed_version = inventory->newest_version;
    return NULL;
}

/* Units; and who stands in which list, to be put in order. */
static void collect(struct hf_ledger_book *book, struct hf_ledger_order *waiting,
                    struct hf_ledger_order *finished)
{
    for (uint32_t number = 0; number < book->reservations.count; number++) {
        const struct hf_ledger_reservation *reservation = hf_book_reservation(book, number);
        struct hf_ledger_inventory *inventory = hf_book_inventory(book, reservation->inventory);
        if (hf_ledger_is_active(reservation->state))
            inventory->units += reservation->qty;
        if (reservation->state == LEDGER_HELD)
            inventory->held += reservation->qty;
        else if (reservation->state == LEDGER_WAITING)
            hf_ledger_order_add(waiting, reservation->lsn, number);
        else if (hf_ledger_is_final(reservation->state))
            hf_ledger_order_add(finished, reservation->changed_at_ns, number);
    }
}

static void join_waiting(struct hf_ledger_book *book, const struct hf_ledger_order *waiting)
{
    for (uint32_t i = 0; i < waiting->count; i++) {
        struct hf_ledger_reservation *reservation =
            hf_book_reservation(book, waiting->keys[i].number);
        struct hf_ledger_inventory *inventory = hf_book_inventory(book, reservation->inventory);
        hf_book_join(book, inventory, reservation, waiting->keys[i].number);
    }
}

static uint64_t finished_count(const struct hf_ledger_book *book)
{
    return book->by_state[LEDGER_CANCELLED] + book->by_state[LEDGER_RELEASED] +
           book->by_state[LEDGER_EXPIRED];
}

static bool settle_reservations(struct hf_ledger_book *book)
{
    struct hf_ledger_order waiting, finished;
    bool waits = hf_ledger_order_open(&waiting, (uint32_t)book->by_state[LEDGER_WAITING]);
    bool done = hf_ledger_order_open(&finished, (uint32_t)finished_count(book)) && waits;
    if (done) {
        collect(book, &waiting, &finished);
        done = hf_ledger_order_sort(&waiting) && hf_ledger_order_sort(&finished);
    }
    if (done) {
        join_waiting(book, &waiting);
        for (uint32_t i = 0; i < finished.count; i++)
            hf_book_finish(book, hf_book_reservation(book, finished.keys[i].number),
                           finished.keys[i].number);
        hf_book_forget(book);
    }
    hf_ledger_order_close(&waiting);
    hf_ledger_order_close(&finished);
    return done;
}

const char *hf_ledger_settle(struct hf_ledger *ledger, uint64_t lsn)
{
    begin_loading(ledger);
    struct hf_ledger_book *book = &ledger->book;
    bool limits_customers = false;
    if (ledger->next_lsn != 0 && ledger->next_lsn != lsn + 1)
        return hf_ledger_fault(ledger,
                               "the state after LSN %" PRIu64
                               " is wanted, but records up to %" PRIu64 " were loaded",
                               lsn, ledger->next_lsn - 1);
    if (ledger->chain_count != 0)
        return hf_ledger_fault(ledger, "LSN %" PRIu64 " is in the middle of a chain", lsn);
    for (uint32_t number = 0; number < book->inventories.count; number++) {
        struct hf_ledger_inventory *inventory = hf_book_inventory(book, number);
        if (settle_inventory(ledger, inventory) != NULL)
            return ledger->reason;
        limits_customers |= inventory->rules.customer_limit != 0;
    }
    if (!settle_reservations(book) || (limits_customers && !hf_book_count_customers(book)))
        return hf_ledger_no_memory(ledger->reason);
    ledger->next_lsn = lsn + 1;
    ledger->phase = HF_LEDGER_JUDGING;
    return NULL;
}
