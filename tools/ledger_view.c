/* Looking at a ledger's state; see ledger.h. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tools/ledger_order.h"
#include "tools/ledger_private.h"

void hf_ledger_totals(const struct hf_ledger *ledger, struct hf_ledger_totals *totals)
{
    const struct hf_ledger_book *book = &ledger->book;
    *totals = ledger->totals;
    totals->inventories = book->inventories.count;
    totals->reservations = book->made;
    totals->held = book->by_state[LEDGER_HELD];
    totals->confirmed = book->by_state[LEDGER_CONFIRMED];
    totals->cancelled = book->by_state[LEDGER_CANCELLED];
    totals->released = book->by_state[LEDGER_RELEASED];
    totals->expired = book->by_state[LEDGER_EXPIRED];
    totals->waiting = book->by_state[LEDGER_WAITING];
    totals->forgotten = book->forgotten;
    totals->last_lsn = ledger->next_lsn == 0 ? 0 : ledger->next_lsn - 1;
    totals->newest_ns = book->newest_ns;
}

/* ---- the hash --------------------------------------------------------------------------- */

/* No date is newer than the newest. */
static bool is_retained(const struct hf_ledger_book *book,
                        const struct hf_ledger_reservation *reservation, uint64_t retain_ns)
{
    if (reservation->state == LEDGER_NONE)
        return false;
    return !hf_ledger_is_final(reservation->state) ||
           book->newest_ns - reservation->changed_at_ns < retain_ns;
}

static int64_t available_of(const struct hf_ledger_inventory *inventory)
{
    return (int64_t)inventory->rules.sell_limit - (int64_t)inventory->units;
}

uint64_t hf_ledger_state_hash(const struct hf_ledger *ledger, uint64_t retain_ns,
                              uint64_t *retained)
{
    const struct hf_ledger_book *book = &ledger->book;
    uint64_t sum = 0;
    *retained = 0;
    for (uint32_t number = 0; number < book->reservations.count; number++) {
        const struct hf_ledger_reservation *reservation = hf_book_reservation(book, number);
        if (!is_retained(book, reservation, retain_ns))
            continue;
        struct hf_ledger_reservation_image image = hf_book_image(book, reservation);
        sum += hf_ledger_reservation_hash(&image, reservation->lsn);
        ++*retained;
    }
    for (uint32_t number = 0; number < book->inventories.count; number++) {
        const struct hf_ledger_inventory *inventory = hf_book_inventory(book, number);
        sum += hf_ledger_inventory_hash(inventory->record, available_of(inventory));
    }
    return sum;
}

/* ---- one by one ------------------------------------------------------------------------- */

static struct hf_ledger_inventory_view view_of(const struct hf_ledger_inventory *inventory)
{
    struct hf_ledger_inventory_view view = {
        .image = &inventory->rules,
        .lsn = hf_get_u64(inventory->record),
        .available = available_of(inventory),
        .held = inventory->held,
        .confirmed = inventory->units - inventory->held,
        .waiting = inventory->waiting,
        .version = (uint32_t)inventory->newest_version & HF_LEDGER_VERSION_MASK,
        .sold_out_closed = inventory->closed,
    };
    memcpy(view.record, inventory->record, sizeof view.record);
    hf_ledger_inventory_rewrite(view.record, view.version, view.sold_out_closed);
    return view;
}

bool hf_ledger_each_inventory(const struct hf_ledger *ledger,
                              bool (*visit)(void *context,
                                            const struct hf_ledger_inventory_view *view),
                              void *context)
{
    const struct hf_ledger_book *book = &ledger->book;
    struct hf_ledger_order order;
    if (!hf_ledger_order_open(&order, book->inventories.count))
        return false;
    for (uint32_t number = 0; number < book->inventories.count; number++)
        hf_ledger_order_add(&order, hf_book_inventory(book, number)->rules.inventory_id, number);
    bool sorted = hf_ledger_order_sort(&order);
    for (uint32_t i = 0; sorted && i < order.count; i++) {
        struct hf_ledger_inventory_view view =
            view_of(hf_book_inventory(book, order.keys[i].number));
        if (!visit(context, &view))
            break;
    }
    hf_ledger_order_close(&order);
    return sorted;
}

/* The first eight bytes of an id, so that numbers compare as the bytes do. */
static uint64_t beginning_of(const uint8_t *id)
{
    return __builtin_bswap64(hf_get_u64(id));
}

static const struct hf_ledger_book *compared; /* qsort() has no context */

static int compare_ids(const void *left, const void *right)
{
    const struct hf_ledger_key *one = left, *other = right;
    return memcmp(hf_book_reservation(compared, one->number)->id,
                  hf_book_reservation(compared, other->number)->id, HF_LEDGER_ID_BYTES);
}

/* Ids with one beginning are few, unless somebody chose them so. */
static void sort_equals(const struct hf_ledger_book *book, struct hf_ledger_order *order)
{
    compared = book;
    for (uint32_t first = 0, end; first < order->count; first = end) {
        for (end = first + 1; end < order->count && order->keys[end].key == order->keys[first].key;)
            end++;
        if (end - first > 1)
            qsort(order->keys + first, end - first, sizeof *order->keys, compare_ids);
    }
}

/* Those that are retained and wanted, in no order. */
static void collect(const struct hf_ledger_book *book, uint64_t retain_ns,
                    const struct hf_ledger_visitor *visitor, struct hf_ledger_order *order)
{
    for (uint32_t number = 0; number < book->reservations.count; number++) {
        const struct hf_ledger_reservation *reservation = hf_book_reservation(book, number);
        if (!is_retained(book, reservation, retain_ns))
            continue;
        if (visitor->wants != NULL) {
            struct hf_ledger_reservation_image image = hf_book_image(book, reservation);
            if (!visitor->wants(visitor->context, &image, reservation->lsn))
                continue;
        }
        hf_ledger_order_add(order, beginning_of(reservation->id), number);
    }
}

bool hf_ledger_each_reservation(const struct hf_ledger *ledger, uint64_t retain_ns,
                                const struct hf_ledger_visitor *visitor)
{
    const struct hf_ledger_book *book = &ledger->book;
    struct hf_ledger_order order;
    if (!hf_ledger_order_open(&order, book->reservations.count))
        return false;
    collect(book, retain_ns, visitor, &order);
    bool sorted = hf_ledger_order_sort(&order);
    if (sorted)
        sort_equals(book, &order);
    for (uint32_t i = 0; sorted && i < order.count; i++) {
        const struct hf_ledger_reservation *reservation =
            hf_book_reservation(book, order.keys[i].number);
        struct hf_ledger_reservation_image image = hf_book_image(book, reservation);
        if (!visitor->visit(visitor->context, &image, reservation->lsn))
            break;
    }
    hf_ledger_order_close(&order);
    return sorted;
}
