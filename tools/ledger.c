/*
 * The ledger; what it proves is told in ledger.h. Here records come in and are put together to
 * changes; what is kept is ledger_book.c, how it is judged ledger_change.c and ledger_judge.c.
 */
#include "tools/ledger.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tools/ledger_private.h"

#define FIRST_LOWERED 4

struct hf_ledger *hf_ledger_open(uint64_t remember_ns)
{
    struct hf_ledger *ledger = calloc(1, sizeof *ledger);
    if (ledger == NULL)
        return NULL;
    ledger->next_lsn = 1;
    hf_book_open(&ledger->book, remember_ns);
    ledger->change.reason = ledger->reason;
    return ledger;
}

void hf_ledger_close(struct hf_ledger *ledger)
{
    if (ledger == NULL)
        return;
    hf_book_close(&ledger->book);
    free(ledger);
}

void hf_ledger_start(struct hf_ledger *ledger)
{
    ledger->book.run++;
    ledger->book.started_modern = ledger->book.modern;
}

/* ---- inventories and events ------------------------------------------------------------- */

static const char *check_inventory_step(struct hf_ledger *ledger,
                                        const struct hf_ledger_inventory_image *last,
                                        const struct hf_ledger_inventory_image *image)
{
    uint32_t expected = last == NULL ? 1 : last->sequence + 1;
    if (image->sequence != expected)
        return hf_ledger_fault(ledger,
                               "inventory %" PRIu64 " has sequence %" PRIu32 ", expected %" PRIu32,
                               image->inventory_id, image->sequence, expected);
    if (last == NULL)
        return NULL;
    if (last->product_id != image->product_id)
        return hf_ledger_fault(ledger, "inventory %" PRIu64 " changed its product",
                               image->inventory_id);
    if (last->made_at_ns != image->made_at_ns)
        return hf_ledger_fault(ledger, "inventory %" PRIu64 " changed its date of making",
                               image->inventory_id);
    if (last->changed_at_ns > image->changed_at_ns)
        return hf_ledger_fault(ledger, "inventory %" PRIu64 " changed before its last change",
                               image->inventory_id);
    return NULL;
}

/* Its first record: no claim has a version that is older. */
static struct hf_ledger_inventory *add_inventory(struct hf_ledger *ledger,
                                                 const struct hf_ledger_inventory_image *image)
{
    uint32_t number;
    struct hf_ledger_inventory *inventory =
        hf_book_add_inventory(&ledger->book, image->inventory_id, &number);
    if (inventory == NULL)
        return NULL;
    hf_book_note_version(inventory, hf_book_counted_on(inventory, image->inventory_version));
    inventory->oldest_version = inventory->newest_version;
    return inventory;
}

static bool add_lowering(struct hf_ledger_inventory *inventory, int64_t version)
{
    if (inventory->lowering_count == inventory->lowering_room) {
        uint32_t room =
            inventory->lowering_room == 0 ? FIRST_LOWERED : 2 * inventory->lowering_room;
        struct hf_ledger_lowering *grown = realloc(inventory->lowerings, room * sizeof *grown);
        if (grown == NULL)
            return false;
        inventory->lowerings = grown;
        inventory->lowering_room = room;
    }
    inventory->lowerings[inventory->lowering_count++] =
        (struct hf_ledger_lowering){version, inventory->rules.sell_limit};
    return true;
}

static const char *enter_inventory(struct hf_ledger *ledger, const uint8_t *record,
                                   const struct hf_ledger_inventory_image *image)
{
    uint32_t number;
    struct hf_ledger_book *book = &ledger->book;
    struct hf_ledger_inventory *inventory =
        hf_book_find_inventory(book, image->inventory_id, &number);
    bool is_new = inventory == NULL;
    const char *reason = check_inventory_step(ledger, is_new ? NULL : &inventory->rules, image);
    if (reason != NULL)
        return reason;
    if (is_new && (inventory = add_inventory(ledger, image)) == NULL)
        return hf_ledger_no_memory(ledger->reason);
    hf_ledger_begin_run(book, inventory);
    int64_t version = hf_book_counted_on(inventory, image->inventory_version);
    if (!is_new && image->sell_limit < inventory->rules.sell_limit &&
        !add_lowering(inventory, version))
        return hf_ledger_no_memory(ledger->reason);
    if ((inventory->rules.flags & LEDGER_SKIP) != 0)
        inventory->skip_version = version;
    hf_book_note_carried(inventory, image->inventory_version);
    memcpy(inventory->record, record, HF_LEDGER_RECORD_BYTES);
    inventory->rules = *image;
    inventory->rules_version = version;
    hf_book_close_if_sold_out(inventory);
    hf_book_note_date(book, image->changed_at_ns);
    if (image->customer_limit != 0 && !book->counts_customers && !hf_book_count_customers(book))
        return hf_ledger_no_memory(ledger->reason);
    return NULL;
}

static const char *enter_event(struct hf_ledger *ledger, const struct hf_ledger_event_image *image)
{
    uint32_t number;
    struct hf_ledger_inventory *inventory =
        hf_book_find_inventory(&ledger->book, image->inventory_id, &number);
    if (inventory == NULL)
        return hf_ledger_fault(ledger, "inventory %" PRIu64 " of an event was never made",
                               image->inventory_id);
    hf_ledger_begin_run(&ledger->book, inventory);
    hf_book_note_carried(inventory, image->inventory_version);
    hf_book_note_date(&ledger->book, image->changed_at_ns);
    ledger->totals.events++;
    return NULL;
}

/* ---- reservations ----------------------------------------------------------------------- */

/* All records of a change, at once. The first has that LSN. */
static const char *enter_change(struct hf_ledger *ledger,
                                const struct hf_ledger_reservation_image *images, uint32_t count,
                                uint64_t lsn, const struct hf_ledger_hint *hint)
{
    struct hf_ledger_change *change = &ledger->change;
    hf_ledger_change_begin(change, count);
    for (uint32_t i = 0; i < count; i++) {
        if (hf_ledger_change_apply(change, &ledger->book, &ledger->totals, &images[i], lsn + i,
                                   hint) != NULL)
            return ledger->reason;
    }
    if (hf_ledger_change_judge(change, &ledger->book, &ledger->totals) != NULL)
        return ledger->reason;
    hf_book_forget(&ledger->book);
    return NULL;
}

/* A chain is judged when it is whole. Until then what its images point to is kept. */
static const char *add_to_chain(struct hf_ledger *ledger, const uint8_t *record,
                                const struct hf_ledger_image *image)
{
    if (image->chain_index != ledger->chain_count)
        return hf_ledger_fault(ledger, "a record has place %u in its chain, expected %" PRIu32,
                               image->chain_index, ledger->chain_count);
    uint8_t *kept = ledger->chain + (size_t)ledger->chain_count * HF_LEDGER_RECORD_BYTES;
    struct hf_ledger_reservation_image *image_kept = &ledger->images[ledger->chain_count];
    memcpy(kept, record, HF_LEDGER_RECORD_BYTES);
    *image_kept = image->reservation;
    image_kept->id = kept + (image->reservation.id - record);
    if (image_kept->linked_id != NULL)
        image_kept->linked_id = kept + (image->reservation.linked_id - record);
    ledger->chain_length = image->chain_length;
    if (++ledger->chain_count < ledger->chain_length)
        return NULL;
    ledger->chain_count = 0;
    ledger->totals.chains++;
    return enter_change(ledger, ledger->images, ledger->chain_length,
                        image->lsn + 1 - ledger->chain_length, NULL);
}

static const char *enter_image(struct hf_ledger *ledger, const uint8_t *record,
                               const struct hf_ledger_image *image,
                               const struct hf_ledger_hint *hint)
{
    if (ledger->chain_count != 0 && image->chain_length != ledger->chain_length)
        return hf_ledger_fault(ledger, "a chain of %" PRIu32 " records ends after %" PRIu32,
                               ledger->chain_length, ledger->chain_count);
    switch (image->kind) {
    case LEDGER_INVENTORY:
        return enter_inventory(ledger, record, &image->inventory);
    case LEDGER_EVENT:
        return enter_event(ledger, &image->event);
    default:
        return image->chain_length == 0
                   ? enter_change(ledger, &image->reservation, 1, image->lsn, hint)
                   : add_to_chain(ledger, record, image);
    }
}

/* ---- records ---------------------------------------------------------------------------- */

static const char *enter(struct hf_ledger *ledger, const uint8_t *record,
                         enum hf_ledger_source source, const struct hf_ledger_hint *hint)
{
    (void)source;
    struct hf_ledger_image image;
    const char *reason = hf_ledger_image_read(record, &image, ledger->reason);
    if (reason != NULL)
        return reason;
    if (image.lsn != ledger->next_lsn)
        return hf_ledger_fault(ledger, "the record has LSN %" PRIu64 ", expected %" PRIu64,
                               image.lsn, ledger->next_lsn);
    if (!ledger->book.modern)
        ledger->book.modern = !hf_ledger_image_is_old(record);
    reason = enter_image(ledger, record, &image, hint);
    if (reason == NULL) {
        ledger->totals.records++;
        ledger->next_lsn++;
    }
    return reason;
}

const char *hf_ledger_enter(struct hf_ledger *ledger, const uint8_t *record)
{
    HF_CHECK(ledger->phase != HF_LEDGER_LOADING);
    ledger->phase = HF_LEDGER_JUDGING;
    return enter(ledger, record, HF_LEDGER_FROM_LOG, NULL);
}

const char *hf_ledger_enter_all(struct hf_ledger *ledger, const uint8_t *records, uint32_t count,
                                uint32_t *entered)
{
    HF_CHECK(ledger->phase != HF_LEDGER_LOADING);
    ledger->phase = HF_LEDGER_JUDGING;
    return hf_ledger_pipeline(ledger, records, count, enter, HF_LEDGER_FROM_LOG, entered);
}

const char *hf_ledger_end_block(struct hf_ledger *ledger)
{
    if (ledger->chain_count == 0)
        return NULL;
    return hf_ledger_fault(ledger,
                           "the block ends after %" PRIu32 " of the %" PRIu32 " records of a chain",
                           ledger->chain_count, ledger->chain_length);
}

/* Records go through in groups: while those of one are entered, what those of the next need is on
 * its way, and of those behind that it is looked for. */
#define GROUP 12u

struct pipeline {
    const struct hf_ledger_book *book;
    const uint8_t *records;
    uint32_t count;
    struct hf_ledger_hint hints[3]
                               [GROUP]; /* of the group that is entered, and of the two behind it */
};

static uint32_t group_end(const struct pipeline *pipeline, uint32_t first)
{
    return pipeline->count - first < GROUP ? pipeline->count : first + GROUP;
}

static void announce_group(struct pipeline *pipeline, uint32_t first)
{
    if (first >= pipeline->count)
        return;
    struct hf_ledger_hint *hints = pipeline->hints[first / GROUP % 3];
    uint32_t end = group_end(pipeline, first);
    for (uint32_t i = first; i < end; i++)
        hf_book_announce(pipeline->book, pipeline->records + (size_t)i * HF_LEDGER_RECORD_BYTES,
                         &hints[i - first]);
}

static void fetch_group(struct pipeline *pipeline, uint32_t first)
{
    if (first >= pipeline->count)
        return;
    struct hf_ledger_hint *hints = pipeline->hints[first / GROUP % 3];
    uint32_t end = group_end(pipeline, first);
    for (uint32_t i = first; i < end; i++)
        hf_book_fetch(pipeline->book, pipeline->records + (size_t)i * HF_LEDGER_RECORD_BYTES,
                      &hints[i - first]);
}

const char *hf_ledger_pipeline(struct hf_ledger *ledger, const uint8_t *records, uint32_t count,
                               hf_ledger_step *step, enum hf_ledger_source source, uint32_t *done)
{
    struct pipeline pipeline = {.book = &ledger->book, .records = records, .count = count};
    announce_group(&pipeline, 0);
    fetch_group(&pipeline, 0);
    announce_group(&pipeline, GROUP);
    for (*done = 0; *done < count;) {
        uint32_t first = *done, end = group_end(&pipeline, first);
        const struct hf_ledger_hint *hints = pipeline.hints[first / GROUP % 3];
        fetch_group(&pipeline, first + GROUP);
        announce_group(&pipeline, first + 2 * GROUP);
        for (; *done < end; ++*done) {
            const char *reason = step(ledger, records + (size_t)*done * HF_LEDGER_RECORD_BYTES,
                                      source, &hints[*done - first]);
            if (reason != NULL)
                return reason;
        }
    }
    return NULL;
}
