/* The book; see ledger_book.h. */
#include "tools/ledger_book.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define NEXT_RESERVATIONS 12
#define FEW_INVENTORIES   64 /* are near the processor anyway */

void hf_book_open(struct hf_ledger_book *book, uint64_t remember_ns)
{
    *book = (struct hf_ledger_book){.remember_ns = remember_ns, .seed = hf_ledger_seed()};
    book->customers.seed = book->seed;
}

void hf_book_close(struct hf_ledger_book *book)
{
    for (uint32_t number = 0; number < book->inventories.count; number++) {
        struct hf_ledger_inventory *inventory = hf_book_inventory(book, number);
        hf_ledger_versions_free(&inventory->versions);
        free(inventory->lowerings);
    }
    hf_ledger_store_free(&book->reservations, sizeof(struct hf_ledger_reservation));
    hf_ledger_store_free(&book->inventories, sizeof(struct hf_ledger_inventory));
    hf_ledger_store_free(&book->mores, sizeof(struct hf_ledger_more));
    hf_ledger_index_free(&book->reservation_index);
    hf_ledger_index_free(&book->inventory_index);
    hf_ledger_map_free(&book->customers);
}

/* ---- finding ---------------------------------------------------------------------------- */

struct hf_ledger_reservation *hf_book_find_reservation(const struct hf_ledger_book *book,
                                                       const uint8_t *id, uint32_t hash,
                                                       uint32_t *number)
{
    struct hf_ledger_probe probe = hf_ledger_index_seek(&book->reservation_index, hash);
    while (hf_ledger_index_next(&book->reservation_index, &probe, number)) {
        struct hf_ledger_reservation *reservation = hf_book_reservation(book, *number);
        if (memcmp(reservation->id, id, HF_LEDGER_ID_BYTES) == 0)
            return reservation;
    }
    return NULL;
}

struct hf_ledger_inventory *hf_book_find_inventory(const struct hf_ledger_book *book,
                                                   uint64_t inventory_id, uint32_t *number)
{
    struct hf_ledger_probe probe = hf_ledger_index_seek(
        &book->inventory_index, hf_ledger_hash_of_number(book->seed, inventory_id));
    while (hf_ledger_index_next(&book->inventory_index, &probe, number)) {
        struct hf_ledger_inventory *inventory = hf_book_inventory(book, *number);
        if (inventory->rules.inventory_id == inventory_id)
            return inventory;
    }
    return NULL;
}

static const void *slot_of(const struct hf_ledger_index *index, uint32_t hash)
{
    return &index->slots[hf_ledger_index_home(index, hash)];
}

void hf_book_announce(const struct hf_ledger_book *book, const uint8_t *record,
                      struct hf_ledger_hint *hint)
{
    hint->hash = hf_book_hash(book, record + HF_LEDGER_AT_ID);
    if (book->reservation_index.slots != NULL)
        __builtin_prefetch(slot_of(&book->reservation_index, hint->hash), 1);
    if (book->inventories.count > FEW_INVENTORIES) {
        uint64_t inventory_id = hf_get_u64(record + HF_LEDGER_AT_INVENTORY);
        __builtin_prefetch(
            slot_of(&book->inventory_index, hf_ledger_hash_of_number(book->seed, inventory_id)));
    }
}

/* The first with that hash is nearly always the only one. */
static void fetch_reservation(const struct hf_ledger_book *book, uint32_t hash)
{
    uint32_t number;
    struct hf_ledger_probe probe = hf_ledger_index_seek(&book->reservation_index, hash);
    if (!hf_ledger_index_next(&book->reservation_index, &probe, &number))
        return;
    const uint8_t *reservation = (const uint8_t *)hf_book_reservation(book, number);
    __builtin_prefetch(reservation, 1);
    __builtin_prefetch(reservation + sizeof(struct hf_ledger_reservation) - 1, 1);
}

void hf_book_fetch(const struct hf_ledger_book *book, const uint8_t *record,
                   struct hf_ledger_hint *hint)
{
    uint32_t number;
    uint64_t inventory_id = hf_get_u64(record + HF_LEDGER_AT_INVENTORY);
    fetch_reservation(book, hint->hash);
    const uint8_t *inventory = (const uint8_t *)hf_book_find_inventory(book, inventory_id, &number);
    hint->inventory = inventory == NULL ? 0 : number + 1;
    if (inventory == NULL || book->inventories.count <= FEW_INVENTORIES)
        return;
    for (size_t at = 64; at < offsetof(struct hf_ledger_inventory, record); at += 64)
        __builtin_prefetch(inventory + at, 1);
    if (book->counts_customers)
        hf_ledger_map_prefetch(&book->customers, number,
                               hf_get_u64(record + HF_LEDGER_AT_CUSTOMER));
}

/* ---- making and keeping ----------------------------------------------------------------- */

struct hf_ledger_inventory *hf_book_add_inventory(struct hf_ledger_book *book,
                                                  uint64_t inventory_id, uint32_t *number)
{
    if (book->inventories.count == HF_LEDGER_INVENTORIES_MAX ||
        !hf_ledger_index_reserve(&book->inventory_index))
        return NULL;
    struct hf_ledger_inventory *inventory =
        hf_ledger_store_add(&book->inventories, sizeof *inventory);
    if (inventory == NULL)
        return NULL;
    *number = book->inventories.count - 1;
    hf_ledger_index_add(&book->inventory_index, hf_ledger_hash_of_number(book->seed, inventory_id),
                        *number);
    inventory->rules.inventory_id = inventory_id;
    inventory->run = book->run;
    inventory->rules_version = HF_LEDGER_NO_VERSION;
    inventory->oldest_version = HF_LEDGER_NO_VERSION;
    inventory->unjudged_version = HF_LEDGER_NO_VERSION;
    inventory->skip_version = HF_LEDGER_NO_VERSION;
    return inventory;
}

/* A number that is free, or a new one. */
static struct hf_ledger_reservation *take_reservation(struct hf_ledger_book *book, uint32_t *number)
{
    if (book->free_reservation == 0) {
        struct hf_ledger_reservation *added =
            hf_ledger_store_add(&book->reservations, sizeof *added);
        *number = book->reservations.count - 1;
        __builtin_prefetch(added + NEXT_RESERVATIONS, 1);
        return added;
    }
    *number = book->free_reservation - 1;
    struct hf_ledger_reservation *reservation = hf_book_reservation(book, *number);
    book->free_reservation = reservation->list.behind;
    *reservation = (struct hf_ledger_reservation){.sequence = 0};
    return reservation;
}

struct hf_ledger_reservation *hf_book_add_reservation(struct hf_ledger_book *book,
                                                      const uint8_t *id, uint32_t hash,
                                                      uint32_t *number)
{
    if (!hf_ledger_index_reserve(&book->reservation_index))
        return NULL;
    struct hf_ledger_reservation *reservation = take_reservation(book, number);
    if (reservation == NULL)
        return NULL;
    hf_ledger_index_add(&book->reservation_index, hash, *number);
    memcpy(reservation->id, id, HF_LEDGER_ID_BYTES);
    book->made++;
    book->by_state[LEDGER_NONE]++;
    return reservation;
}

static void drop_more(struct hf_ledger_book *book, struct hf_ledger_reservation *reservation)
{
    if (reservation->more == 0)
        return;
    hf_book_more(book, reservation)->next_free = book->free_more;
    book->free_more = reservation->more;
    reservation->more = 0;
}

static struct hf_ledger_more *take_more(struct hf_ledger_book *book,
                                        struct hf_ledger_reservation *reservation)
{
    if (reservation->more == 0 && book->free_more != 0) {
        reservation->more = book->free_more;
        book->free_more = hf_book_more(book, reservation)->next_free;
    } else if (reservation->more == 0) {
        if (hf_ledger_store_add(&book->mores, sizeof(struct hf_ledger_more)) == NULL)
            return NULL;
        reservation->more = book->mores.count;
    }
    return hf_book_more(book, reservation);
}

/* What only few have. */
static bool keep_more(struct hf_ledger_book *book, struct hf_ledger_reservation *reservation,
                      const struct hf_ledger_reservation_image *image, int64_t joined)
{
    if (image->state != LEDGER_WAITING && image->linked_id == NULL && image->origin == 0) {
        drop_more(book, reservation);
        return true;
    }
    struct hf_ledger_more *more = take_more(book, reservation);
    if (more == NULL)
        return false;
    *more = (struct hf_ledger_more){.joined = joined, .origin = image->origin};
    if (image->linked_id != NULL)
        memcpy(more->linked_id, image->linked_id, HF_LEDGER_ID_BYTES);
    return true;
}

bool hf_book_keep(struct hf_ledger_book *book, struct hf_ledger_reservation *reservation,
                  const struct hf_ledger_reservation_image *image, uint64_t lsn, uint32_t inventory,
                  int64_t joined)
{
    if (!keep_more(book, reservation, image, joined))
        return false;
    book->by_state[reservation->state]--;
    book->by_state[image->state]++;
    reservation->lsn = lsn;
    reservation->customer_id = image->customer_id;
    reservation->made_at_ns = image->made_at_ns;
    reservation->changed_at_ns = image->changed_at_ns;
    reservation->deadline_ns = image->deadline_ns; /* 0, but for HELD */
    reservation->sequence = image->sequence;
    reservation->inventory = inventory & (HF_LEDGER_INVENTORIES_MAX - 1);
    reservation->way = hf_ledger_way_of(image->made_as) & 3u;
    reservation->qty = image->qty & HF_LEDGER_UNITS_MAX;
    reservation->state = image->state & 7u;
    hf_book_note_date(book, image->changed_at_ns);
    return true;
}

struct hf_ledger_reservation_image hf_book_image(const struct hf_ledger_book *book,
                                                 const struct hf_ledger_reservation *reservation)
{
    static const uint8_t none[HF_LEDGER_ID_BYTES];
    const struct hf_ledger_more *more = hf_book_more(book, reservation);
    bool linked = more != NULL && memcmp(more->linked_id, none, sizeof none) != 0;
    return (struct hf_ledger_reservation_image){
        .id = reservation->id,
        .linked_id = linked ? more->linked_id : NULL,
        .inventory_id = hf_book_inventory(book, reservation->inventory)->rules.inventory_id,
        .customer_id = reservation->customer_id,
        .made_at_ns = reservation->made_at_ns,
        .changed_at_ns = reservation->changed_at_ns,
        .deadline_ns = reservation->state == LEDGER_HELD ? reservation->deadline_ns : 0,
        .qty = reservation->qty,
        .sequence = reservation->sequence,
        .origin = more == NULL ? 0 : more->origin,
        .state = reservation->state,
        .made_as = hf_ledger_made_as(reservation),
        .reason = reservation->state == LEDGER_EXPIRED ? LEDGER_DEADLINE : LEDGER_REQUEST,
    };
}

/* ---- lists ------------------------------------------------------------------------------ */

static void link_last(const struct hf_ledger_book *book, uint32_t *first, uint32_t *last,
                      struct hf_ledger_reservation *reservation, uint32_t number)
{
    reservation->list.before = *last;
    reservation->list.behind = 0;
    if (*last == 0)
        *first = number + 1;
    else
        hf_book_reservation(book, *last - 1)->list.behind = number + 1;
    *last = number + 1;
}

static void unlist(const struct hf_ledger_book *book, uint32_t *first, uint32_t *last,
                   const struct hf_ledger_reservation *reservation)
{
    uint32_t before = reservation->list.before, behind = reservation->list.behind;
    if (before == 0)
        *first = behind;
    else
        hf_book_reservation(book, before - 1)->list.behind = behind;
    if (behind == 0)
        *last = before;
    else
        hf_book_reservation(book, behind - 1)->list.before = before;
}

void hf_book_join(const struct hf_ledger_book *book, struct hf_ledger_inventory *inventory,
                  struct hf_ledger_reservation *reservation, uint32_t number)
{
    link_last(book, &inventory->first_waiting, &inventory->last_waiting, reservation, number);
    inventory->waiting++;
}

void hf_book_leave(const struct hf_ledger_book *book, struct hf_ledger_inventory *inventory,
                   const struct hf_ledger_reservation *reservation)
{
    unlist(book, &inventory->first_waiting, &inventory->last_waiting, reservation);
    inventory->waiting--;
}

void hf_book_finish(struct hf_ledger_book *book, struct hf_ledger_reservation *reservation,
                    uint32_t number)
{
    link_last(book, &book->first_finished, &book->last_finished, reservation, number);
}

void hf_book_unfinish(struct hf_ledger_book *book, const struct hf_ledger_reservation *reservation)
{
    unlist(book, &book->first_finished, &book->last_finished, reservation);
}

void hf_book_forget_first(struct hf_ledger_book *book)
{
    uint32_t number = book->first_finished - 1;
    struct hf_ledger_reservation *reservation = hf_book_reservation(book, number);
    hf_book_unfinish(book, reservation);
    hf_ledger_index_remove(&book->reservation_index, hf_book_hash(book, reservation->id), number);
    drop_more(book, reservation);
    reservation->state = LEDGER_NONE;
    reservation->list.behind = book->free_reservation;
    book->free_reservation = number + 1;
    book->forgotten++;
}

/* ---- units of customers ----------------------------------------------------------------- */

bool hf_book_count_customers(struct hf_ledger_book *book)
{
    book->counts_customers = true;
    for (uint32_t number = 0; number < book->reservations.count; number++) {
        const struct hf_ledger_reservation *reservation = hf_book_reservation(book, number);
        if (hf_ledger_is_active(reservation->state) &&
            !hf_ledger_map_add(&book->customers, reservation->inventory, reservation->customer_id,
                               reservation->qty))
            return false;
    }
    return true;
}

/* ---- versions --------------------------------------------------------------------------- */

void hf_book_close_if_sold_out(struct hf_ledger_inventory *inventory)
{
    bool told = (inventory->rules.flags & LEDGER_SOLD_OUT_CLOSED) != 0;
    bool closes = (inventory->rules.flags & LEDGER_CLOSE_WHEN_SOLD_OUT) != 0 &&
                  inventory->sold_out && inventory->sold_out_version > inventory->rules_version;
    if (told || closes) {
        if (!inventory->closed)
            inventory->closed_version =
                told ? inventory->rules_version : inventory->sold_out_version;
        inventory->closed = true;
    } else {
        inventory->closed = false;
    }
}
