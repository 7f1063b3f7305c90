/*
 * Comparing a snapshot with the ledger's state; see ledger.h.
 *
 * A snapshot need not be the state at one LSN, so its records are held one by one against the
 * newest of the log. One that is the same record must say the same. One that is older will be
 * replaced when the log from the snapshot's start on is replayed: the newer one must stand there.
 * And what the log has not touched since that start must be in the snapshot, but for what is no
 * longer retained.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tools/ledger_private.h"

struct hf_ledger_comparison {
    struct hf_ledger *ledger;
    uint64_t start_lsn, retain_ns;
    uint64_t *met_reservations, *met_inventories; /* a bit for each number */
};

struct hf_ledger_comparison *hf_ledger_compare_open(struct hf_ledger *ledger, uint64_t start_lsn,
                                                    uint64_t retain_ns)
{
    struct hf_ledger_comparison *comparison = malloc(sizeof *comparison);
    if (comparison == NULL)
        return NULL;
    *comparison = (struct hf_ledger_comparison){
        .ledger = ledger,
        .start_lsn = start_lsn,
        .retain_ns = retain_ns,
        .met_reservations = calloc(ledger->book.reservations.count / 64 + 1, sizeof(uint64_t)),
        .met_inventories = calloc(ledger->book.inventories.count / 64 + 1, sizeof(uint64_t)),
    };
    if (comparison->met_reservations != NULL && comparison->met_inventories != NULL)
        return comparison;
    hf_ledger_compare_close(comparison);
    return NULL;
}

void hf_ledger_compare_close(struct hf_ledger_comparison *comparison)
{
    if (comparison == NULL)
        return;
    free(comparison->met_reservations);
    free(comparison->met_inventories);
    free(comparison);
}

static bool has_met(const uint64_t *met, uint32_t number)
{
    return (met[number / 64] >> number % 64 & 1) != 0;
}

static void note_met(uint64_t *met, uint32_t number)
{
    met[number / 64] |= 1ull << number % 64;
}

/* An id, for a person. */
struct id_text {
    char text[2 * HF_LEDGER_ID_BYTES + 5];
};

static struct id_text id_text(const uint8_t *id)
{
    static const char digits[] = "0123456789abcdef";
    struct id_text result = {""};
    char *at = result.text;
    for (unsigned i = 0; i < HF_LEDGER_ID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[id[i] >> 4];
        *at++ = digits[id[i] & 15];
    }
    *at = '\0';
    return result;
}

/* ---- reservations ----------------------------------------------------------------------- */

/* A link is dropped with what it leads to. */
static bool is_same_reservation(const struct hf_ledger_reservation_image *one,
                                const struct hf_ledger_reservation_image *other)
{
    return one->inventory_id == other->inventory_id && one->customer_id == other->customer_id &&
           one->made_at_ns == other->made_at_ns && one->changed_at_ns == other->changed_at_ns &&
           one->deadline_ns == other->deadline_ns && one->qty == other->qty &&
           one->sequence == other->sequence && one->origin == other->origin &&
           one->state == other->state && one->made_as == other->made_as &&
           (one->linked_id == NULL ||
            (other->linked_id != NULL &&
             memcmp(one->linked_id, other->linked_id, HF_LEDGER_ID_BYTES) == 0));
}

/* What the log has not, or no longer. */
static const char *judge_unknown(struct hf_ledger *ledger,
                                 const struct hf_ledger_reservation_image *image, uint64_t lsn)
{
    const struct hf_ledger_book *book = &ledger->book;
    if (book->forgotten != 0 && hf_ledger_is_final(image->state) &&
        image->changed_at_ns <= book->newest_ns &&
        book->newest_ns - image->changed_at_ns >= book->remember_ns)
        return NULL;
    return hf_ledger_fault(
        ledger, "it holds reservation %s with LSN %" PRIu64 ", of which the log knows nothing",
        id_text(image->id).text, lsn);
}

static const char *compare_reservation(struct hf_ledger_comparison *comparison,
                                       const struct hf_ledger_reservation_image *image,
                                       uint64_t lsn)
{
    struct hf_ledger *ledger = comparison->ledger;
    uint32_t number;
    const struct hf_ledger_reservation *newest = hf_book_find_reservation(
        &ledger->book, image->id, hf_book_hash(&ledger->book, image->id), &number);
    if (newest == NULL)
        return judge_unknown(ledger, image, lsn);
    if (has_met(comparison->met_reservations, number))
        return hf_ledger_fault(ledger, "it holds reservation %s twice", id_text(image->id).text);
    note_met(comparison->met_reservations, number);
    if (lsn == newest->lsn) {
        struct hf_ledger_reservation_image expected = hf_book_image(&ledger->book, newest);
        if (is_same_reservation(image, &expected))
            return NULL;
    } else if (lsn < newest->lsn && newest->lsn >= comparison->start_lsn) {
        return NULL;
    }
    return hf_ledger_fault(ledger,
                           "it says of reservation %s, LSN %" PRIu64
                           ", another thing than the log, LSN %" PRIu64,
                           id_text(image->id).text, lsn, newest->lsn);
}

/* ---- inventories ------------------------------------------------------------------------ */

/* Versions, and whether it is closed by selling out, are told as they were when it was copied. */
static bool is_same_inventory(const uint8_t *record, const uint8_t *newest)
{
    uint8_t one[HF_LEDGER_RECORD_BYTES], other[HF_LEDGER_RECORD_BYTES];
    memcpy(one, record, sizeof one);
    memcpy(other, newest, sizeof other);
    hf_ledger_inventory_rewrite(one, 0, false);
    hf_ledger_inventory_rewrite(other, 0, false);
    return memcmp(one, other, sizeof one) == 0;
}

static const char *compare_inventory(struct hf_ledger_comparison *comparison, const uint8_t *record,
                                     const struct hf_ledger_inventory_image *image, uint64_t lsn)
{
    struct hf_ledger *ledger = comparison->ledger;
    uint32_t number;
    const struct hf_ledger_inventory *newest =
        hf_book_find_inventory(&ledger->book, image->inventory_id, &number);
    if (newest == NULL)
        return hf_ledger_fault(ledger,
                               "it holds inventory %" PRIu64 ", of which the log knows nothing",
                               image->inventory_id);
    if (has_met(comparison->met_inventories, number))
        return hf_ledger_fault(ledger, "it holds inventory %" PRIu64 " twice", image->inventory_id);
    note_met(comparison->met_inventories, number);
    uint64_t newest_lsn = hf_get_u64(newest->record);
    bool closed = (image->flags & LEDGER_SOLD_OUT_CLOSED) != 0;
    if (lsn == newest_lsn ? is_same_inventory(record, newest->record) && (!closed || newest->closed)
                          : lsn < newest_lsn && newest_lsn >= comparison->start_lsn)
        return NULL;
    return hf_ledger_fault(ledger,
                           "it says of inventory %" PRIu64 ", LSN %" PRIu64
                           ", another thing than the log, LSN %" PRIu64,
                           image->inventory_id, lsn, newest_lsn);
}

/* ---- all of it -------------------------------------------------------------------------- */

const char *hf_ledger_compare(struct hf_ledger_comparison *comparison, const uint8_t *record)
{
    struct hf_ledger *ledger = comparison->ledger;
    struct hf_ledger_image image;
    const char *reason = hf_ledger_image_read(record, &image, ledger->reason);
    if (reason != NULL)
        return reason;
    switch (image.kind) {
    case LEDGER_INVENTORY:
        return compare_inventory(comparison, record, &image.inventory, image.lsn);
    case LEDGER_RESERVATION:
        return compare_reservation(comparison, &image.reservation, image.lsn);
    default:
        return hf_ledger_fault(ledger, "it holds an event");
    }
}

static bool must_be_there(const struct hf_ledger_comparison *comparison,
                          const struct hf_ledger_reservation *reservation)
{
    if (reservation->state == LEDGER_NONE || reservation->lsn >= comparison->start_lsn)
        return false;
    return !hf_ledger_is_final(reservation->state) ||
           comparison->ledger->book.newest_ns - reservation->changed_at_ns < comparison->retain_ns;
}

const char *hf_ledger_compare_end(struct hf_ledger_comparison *comparison)
{
    struct hf_ledger *ledger = comparison->ledger;
    const struct hf_ledger_book *book = &ledger->book;
    for (uint32_t number = 0; number < book->reservations.count; number++) {
        const struct hf_ledger_reservation *reservation = hf_book_reservation(book, number);
        if (must_be_there(comparison, reservation) &&
            !has_met(comparison->met_reservations, number))
            return hf_ledger_fault(ledger, "it does not hold reservation %s, LSN %" PRIu64,
                                   id_text(reservation->id).text, reservation->lsn);
    }
    for (uint32_t number = 0; number < book->inventories.count; number++) {
        const struct hf_ledger_inventory *inventory = hf_book_inventory(book, number);
        uint64_t lsn = hf_get_u64(inventory->record);
        if (lsn < comparison->start_lsn && !has_met(comparison->met_inventories, number))
            return hf_ledger_fault(ledger, "it does not hold inventory %" PRIu64 ", LSN %" PRIu64,
                                   inventory->rules.inventory_id, lsn);
    }
    return NULL;
}
