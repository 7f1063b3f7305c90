/* Replay; its rule is told in replay.h. One thread, before anyone else sees the region: every
 * access to a shared field here is relaxed for that reason. */
#include "engine/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "engine/hash.h"
#include "engine/image.h"
#include "engine/lapse.h"
#include "engine/setting.h"
#include "engine/waiting.h"
#include "wal/log.h"

/* Records, or reservations, that are looked for at once. Their heads and cells, 16 KiB, stay in the
 * first cache; with 16 the misses are not hidden, with 512 it is no faster. */
#define GROUP_COUNT 128u

/* What belongs to so many inventories is in the second cache anyway. */
#define FEW_INVENTORIES 4096

/* Reservations whose terms are made ready at once: half a mebibyte. */
#define READY_COUNT 16384u

/* More than the changes that can have been lost since the newest version in the log. */
#define VERSION_SKIP (1u << 20)
/* What the versions of two starts that know the same newest one are apart, and how many starts. */
#define VERSION_STEP  (1u << 17)
#define VERSION_STEPS 16u
/* A crash loses what is in the ring, and in the blocks in flight. */
_Static_assert(VERSION_STEP > HF_DEFAULT_RING_SLOTS + HF_MAX_INFLIGHT * HF_MAX_BLOCK_RECORDS,
               "what one run may have told and lost");
_Static_assert(VERSION_STEP *VERSION_STEPS <= 2 * VERSION_SKIP, "about as far as the skip itself");

int hf_replay_init(struct hf_replay *replay, struct hf_region *region, uint64_t retain_ns)
{
    *replay = (struct hf_replay){.region = region, .retain_ns = retain_ns};
    size_t bytes = (size_t)region->header->max_inventories * sizeof *replay->inventories;
    /* Zero, and paid for as it is touched. */
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return -errno;
    replay->inventories = map;
    replay->inventories_bytes = bytes;
    return 0;
}

void hf_replay_close(struct hf_replay *replay)
{
    munmap(replay->inventories, replay->inventories_bytes);
    free(replay->links);
    hf_finished_close(&replay->finished);
    replay->inventories = NULL;
    replay->links = NULL;
}

/* True if version `one` came after `other`. Versions come around. */
static bool is_later(uint32_t one, uint32_t other)
{
    return (int32_t)((one - other) << 1) > 0;
}

static void see_version(const struct hf_replay *replay, struct hf_replay_inventory *known,
                        uint32_t version)
{
    if (version == 0) {
        /* Version 0.1.0 wrote none with what took no units: one change each. In a snapshot only
         * inventories tell any. */
        known->unversioned += !replay->restoring;
        return;
    }
    if (known->version == 0 || is_later(version, known->version))
        known->version = version;
}

static void see_date(struct hf_replay *replay, uint64_t date_ns)
{
    if (replay->log_time_ns < date_ns)
        replay->log_time_ns = date_ns;
}

/* ---- inventories ---- */

static const char *apply_inventory(struct hf_replay *replay, const struct hf_image *image)
{
    struct hf_region *region = replay->region;
    struct hf_inventory_cell *cell =
        hf_region_find_inventory(region, image->inventory.inventory_id);
    bool is_new = cell == NULL;
    if (is_new)
        cell = hf_region_next_inventory(region);
    if (cell == NULL) {
        snprintf(replay->reason, sizeof replay->reason,
                 "it is inventory number %u; start with a larger --max-inventories",
                 region->header->max_inventories + 1);
        return replay->reason;
    }
    struct hf_rules rules = {.sequence = 0};
    if (!is_new)
        hf_inventory_copy_settings(cell, &rules);
    if (image->inventory_sequence <= rules.sequence)
        return NULL;
    rules = (struct hf_rules){
        .settings = image->settings,
        .lsn = image->lsn,
        .changed_at_ns = image->inventory_changed_at_ns,
        .sequence = image->inventory_sequence,
        .capacity = image->inventory.capacity,
    };
    struct hf_replay_inventory *known = &replay->inventories[cell - region->inventories];
    known->inventory_id = image->inventory.inventory_id;
    known->closed = (image->settings.flags & HF_INVENTORY_SOLD_OUT_CLOSED) != 0;
    known->settings_version = image->inventory.version;
    see_version(replay, known, image->inventory.version);
    see_date(replay, image->inventory_changed_at_ns);
    rules.settings.flags &= ~HF_INVENTORY_SOLD_OUT_CLOSED;
    cell->inventory_id = image->inventory.inventory_id;
    cell->product_id = image->inventory.product_id;
    cell->made_at_ns = image->inventory.made_at_ns;
    hf_inventory_init_rules(cell, &rules, rules.settings.customer_limit != 0);
    if (is_new)
        hf_region_insert_inventory(region);
    return NULL;
}

/* ---- cells of reservations ---- */

/* Counts a reservation in, or out again (`sign` -1). */
static void tally(struct hf_replay *replay, uint64_t word, uint32_t inventory_number, int sign)
{
    enum hf_state state = hf_reservation_word_state(word);
    struct hf_replay_inventory *known = &replay->inventories[inventory_number];
    int64_t units = (int64_t)hf_reservation_word_qty(word) * sign;
    replay->states[state] += (uint64_t)sign;
    if (hf_state_is_active(state))
        known->units += (uint64_t)units;
    if (state == HF_STATE_HELD)
        known->held += (uint32_t)units;
}

/* The number of the cell of a reservation, or 0. */
static uint32_t number_of(const struct hf_region *region, const struct hf_id *id)
{
    struct hf_reservation_cell *cell;
    uint64_t hash = hf_hash_id(id, region->header->hash_seed);
    if (hf_table_find(region, id, hash, &cell) != HF_LOOKUP_FOUND)
        return 0;
    return (uint32_t)(cell - region->reservations);
}

/* Has memory of terms ready from this one on: for as many as there are before it, up to READY_COUNT. So
 * what is small stays small. (Cells are made ready by the table.) */
static void ready_terms(const struct hf_region *region, uint32_t number, uint32_t *ready_end)
{
    if (number < *ready_end)
        return;
    uint32_t ready = number < READY_COUNT ? number : READY_COUNT;
    hf_region_ready(region, &region->terms[number], ready * sizeof region->terms[number]);
    *ready_end = number + ready;
}

static void store_terms(struct hf_replay *replay, uint32_t number, const struct hf_image *image,
                        uint32_t linked)
{
    struct hf_terms *terms = &replay->region->terms[number];
    ready_terms(replay->region, number, &replay->terms_ready);
    hf_store_relaxed(&terms->due_ns, image->reservation.deadline_ns);
    hf_store_relaxed(&terms->link, linked);
    hf_store_relaxed(&terms->origin, image->notes.origin);
    hf_store_relaxed(&terms->made_as, image->notes.made_as);
}

static void store_reservation(struct hf_replay *replay, uint32_t number,
                              const struct hf_image *image, uint32_t inventory_number,
                              uint32_t linked)
{
    const struct hf_reservation *reservation = &image->reservation;
    struct hf_reservation_cell *cell = &replay->region->reservations[number];
    bool has_terms = linked != 0 || image->notes.origin != 0 || image->notes.made_as != 0;
    bool had_terms = (hf_load_relaxed(&cell->word) & HF_WORD_TERMS) != 0;
    uint64_t word =
        hf_reservation_word(reservation->state, reservation->sequence, reservation->qty);
    hf_reservation_set_id(cell, &reservation->id);
    hf_store_relaxed(&cell->word, word | (has_terms ? HF_WORD_TERMS : 0));
    hf_store_relaxed(&cell->customer_id, reservation->customer_id);
    hf_store_relaxed(&cell->lsn, reservation->lsn);
    hf_store_relaxed(&cell->made_at_ns, reservation->made_at_ns);
    hf_store_relaxed(&cell->changed_at_ns, reservation->changed_at_ns);
    hf_store_relaxed(&cell->inventory, inventory_number);
    if (has_terms || had_terms)
        store_terms(replay, number, image, linked);
    tally(replay, word, inventory_number, 1);
}

/* ---- what is forgotten ---- */

/* Finished, and its retention ended by the log's time. */
static bool is_forgotten(const struct hf_replay *replay, const struct hf_reservation_cell *cell)
{
    uint64_t word = hf_load_relaxed(&cell->word);
    if (!hf_state_is_final(hf_reservation_word_state(word)))
        return false;
    uint64_t end_ns = hf_load_relaxed(&cell->changed_at_ns) + replay->retain_ns;
    return end_ns >= replay->retain_ns && end_ns <= replay->log_time_ns;
}

static void forget(struct hf_replay *replay, uint32_t number)
{
    struct hf_region *region = replay->region;
    struct hf_reservation_cell *cell = &region->reservations[number];
    struct hf_terms *terms = &region->terms[number];
    struct hf_id id;
    struct hf_chain chain;
    hf_reservation_get_id(cell, &id);
    HF_CHECK(hf_table_take_chain(region, hf_hash_id(&id, region->header->hash_seed), &chain));
    hf_chain_remove(&chain, region, number);
    hf_chain_leave(&chain);
    uint64_t word = hf_load_relaxed(&cell->word);
    if (word & HF_WORD_TERMS) {
        hf_store_relaxed(&terms->due_ns, 0);
        hf_store_relaxed(&terms->link, 0);
        hf_store_relaxed(&terms->origin, 0);
        hf_store_relaxed(&terms->made_as, 0);
    }
    tally(replay, word, hf_load_relaxed(&cell->inventory), -1);
    hf_store_relaxed(&cell->word, 0);
    hf_cells_give(region, &replay->allotment, number);
    replay->reservations--;
}

/* Forgets what is to be forgotten, whatever it takes to find it. */
static void forget_all(struct hf_replay *replay)
{
    uint32_t end = hf_cells_allotted(replay->region);
    for (uint32_t number = 1; number <= end; number++)
        if (is_forgotten(replay, &replay->region->reservations[number]))
            forget(replay, number);
}

/* Forgets those of the finished whose turn it is. */
static void forget_first(struct hf_replay *replay)
{
    const struct hf_finished_entry *first;
    while ((first = hf_finished_first(&replay->finished)) != NULL) {
        const struct hf_reservation_cell *cell = &replay->region->reservations[first->number];
        bool is_still_so =
            hf_load_relaxed(&cell->changed_at_ns) == first->changed_at_ns &&
            hf_state_is_final(hf_reservation_word_state(hf_load_relaxed(&cell->word)));
        if (is_still_so && !is_forgotten(replay, cell))
            return;
        if (is_still_so)
            forget(replay, first->number);
        hf_finished_drop_first(&replay->finished);
    }
}

/* From now on the finished are kept in their order. Should memory not suffice for that, they are
 * looked for in all cells whenever the table is full. */
static void keep_finished(struct hf_replay *replay)
{
    const struct hf_region *region = replay->region;
    uint32_t end = hf_cells_allotted(region);
    hf_finished_close(&replay->finished);
    replay->keeps_finished = true;
    for (uint32_t number = 1; number <= end && replay->keeps_finished; number++) {
        const struct hf_reservation_cell *cell = &region->reservations[number];
        if (hf_state_is_final(hf_reservation_word_state(hf_load_relaxed(&cell->word))))
            replay->keeps_finished =
                hf_finished_add(&replay->finished, number, hf_load_relaxed(&cell->changed_at_ns));
    }
    hf_finished_sort(&replay->finished);
}

/* The table is full, or one more has finished since it was. */
static void note_finished(struct hf_replay *replay, uint32_t number, uint64_t changed_at_ns)
{
    replay->keeps_finished = hf_finished_add(&replay->finished, number, changed_at_ns);
    forget_first(replay);
}

/* The table is full: forgets what can be. */
static void make_room(struct hf_replay *replay)
{
    uint64_t before = replay->reservations;
    if (replay->keeps_finished)
        forget_first(replay);
    if (replay->reservations != before)
        return;
    replay->searches++;
    forget_all(replay);
    keep_finished(replay);
}

/* A free cell is in stock. False: there is none. */
static bool allot(struct hf_replay *replay)
{
    if (hf_cells_allot(replay->region, &replay->allotment))
        return true;
    make_room(replay);
    return hf_cells_allot(replay->region, &replay->allotment);
}

/* ---- reservations ---- */

/* True if the image is newer than what the cell holds. */
static bool is_newer(const struct hf_reservation *image, const struct hf_reservation_cell *cell)
{
    uint64_t made_at_ns = hf_load_relaxed(&cell->made_at_ns);
    if (image->made_at_ns != made_at_ns)
        return image->made_at_ns > made_at_ns;
    return image->sequence > hf_reservation_word_sequence(hf_load_relaxed(&cell->word));
}

/* What the image tells of its inventory. */
static void see_notes(const struct hf_replay *replay, struct hf_replay_inventory *known,
                      const struct hf_image_notes *notes)
{
    see_version(replay, known, notes->inventory_version);
    if ((notes->flags & HF_IMAGE_FLAG_SOLD_OUT) != 0 &&
        (!known->sold_out || is_later(notes->inventory_version, known->sold_out_version))) {
        known->sold_out = true;
        known->sold_out_version = notes->inventory_version;
    }
}

/* In a snapshot, what a reservation was made from may come behind it: links are made at the end.
 * False: out of memory. */
static bool note_link(struct hf_replay *replay, const struct hf_reservation *reservation)
{
    if (replay->link_count == replay->link_capacity) {
        uint32_t capacity = replay->link_capacity == 0 ? 256 : 2 * replay->link_capacity;
        struct hf_replay_link *links = realloc(replay->links, capacity * sizeof *links);
        if (links == NULL)
            return false;
        replay->links = links;
        replay->link_capacity = capacity;
    }
    replay->links[replay->link_count++] = (struct hf_replay_link){
        .id = reservation->id, .linked_id = reservation->linked_id, .lsn = reservation->lsn};
    return true;
}

/* The number of the reservation that this one was made from; 0: none, or not yet. False: out of
 * memory. */
static bool find_link(struct hf_replay *replay, const struct hf_reservation *reservation,
                      uint32_t *linked)
{
    *linked = 0;
    if (HF_LIKELY(hf_id_is_zero(&reservation->linked_id)))
        return true;
    if (replay->restoring)
        return note_link(replay, reservation);
    *linked = number_of(replay->region, &reservation->linked_id);
    return true;
}

/* The image stands, as far as is known: in the cell that it has already, or (0) in a new one. */
static const char *keep_reservation(struct hf_replay *replay, const struct hf_image *image,
                                    uint64_t hash, uint32_t inventory_number, uint32_t number)
{
    struct hf_region *region = replay->region;
    const struct hf_reservation *reservation = &image->reservation;
    uint32_t linked;
    if (number == 0 && !allot(replay)) {
        snprintf(replay->reason, sizeof replay->reason,
                 "it is one reservation more than --max-reservations %u allows; start with a "
                 "larger one",
                 region->header->max_reservations);
        return replay->reason;
    }
    if (!find_link(replay, reservation, &linked))
        return "out of memory";
    if (number != 0) {
        const struct hf_reservation_cell *cell = &region->reservations[number];
        tally(replay, hf_load_relaxed(&cell->word), hf_load_relaxed(&cell->inventory), -1);
        store_reservation(replay, number, image, inventory_number, linked);
    } else {
        number = replay->allotment.next;
        store_reservation(replay, number, image, inventory_number, linked);
        hf_table_insert_alone(region, hash, &replay->allotment);
        replay->reservations++;
    }
    if (HF_UNLIKELY(replay->keeps_finished) && hf_state_is_final(reservation->state))
        note_finished(replay, number, reservation->changed_at_ns);
    return NULL;
}

/* The number of an inventory's cell, + 1; 0: it has none. Looks at what replay knows of it only. */
static uint32_t find_inventory(const struct hf_replay *replay, uint64_t inventory_id)
{
    const struct hf_region *region = replay->region;
    uint32_t place = hf_region_inventory_place(region, inventory_id);
    for (;;) {
        uint32_t entry = hf_load_relaxed(&region->inventory_index[place]);
        if (entry == 0 || replay->inventories[entry - 1].inventory_id == inventory_id)
            return entry;
        place = (place + 1) & (region->header->inventory_index_count - 1);
    }
}

static const char *apply_reservation(struct hf_replay *replay, const struct hf_image *image,
                                     uint64_t hash)
{
    struct hf_region *region = replay->region;
    const struct hf_reservation *reservation = &image->reservation;
    uint32_t entry = find_inventory(replay, reservation->inventory_id);
    if (entry == 0) {
        snprintf(replay->reason, sizeof replay->reason,
                 "its inventory %llu does not appear before it in the log",
                 (unsigned long long)reservation->inventory_id);
        return replay->reason;
    }
    see_notes(replay, &replay->inventories[entry - 1], &image->notes);
    see_date(replay, reservation->changed_at_ns);
    struct hf_reservation_cell *cell;
    uint32_t number = 0;
    if (hf_table_find(region, &reservation->id, hash, &cell) == HF_LOOKUP_FOUND) {
        if (!is_newer(reservation, cell))
            return NULL;
        number = (uint32_t)(cell - region->reservations);
    }
    return keep_reservation(replay, image, hash, entry - 1, number);
}

/* ---- events ---- */

static void apply_event(struct hf_replay *replay, const struct hf_image *image)
{
    uint32_t entry = find_inventory(replay, image->inventory.inventory_id);
    see_date(replay, image->event_at_ns);
    if (entry != 0)
        see_version(replay, &replay->inventories[entry - 1], image->inventory.version);
}

/* ---- records ---- */

static const char *apply(struct hf_replay *replay, const uint8_t *record, uint64_t hash)
{
    struct hf_image image;
    const char *reason = hf_image_decode(record, &image);
    if (reason != NULL)
        return reason;
    switch (image.kind) {
    case HF_IMAGE_INVENTORY:
        return apply_inventory(replay, &image);
    case HF_IMAGE_RESERVATION:
        return apply_reservation(replay, &image, hash);
    case HF_IMAGE_EVENT:
        apply_event(replay, &image);
        return NULL;
    }
    return "its kind is unknown";
}

static const uint8_t *record_at(const uint8_t *records, uint32_t place)
{
    return records + (size_t)place * HF_RECORD_BYTES;
}

/*
 * Brings into the cache what the records of a group will touch, and tells their hashes. Of any bytes;
 * all of it are guesses, as the records before a record may change where it belongs.
 */
static void look_ahead(const struct hf_replay *replay, const uint8_t *records, uint32_t count,
                       uint64_t *hashes)
{
    const struct hf_region *region = replay->region;
    uint32_t firsts[GROUP_COUNT];
    for (uint32_t i = 0; i < count; i++) {
        struct hf_id id;
        memcpy(id.bytes, record_at(records, i) + HF_IMAGE_ID, sizeof id.bytes);
        hashes[i] = hf_hash_id(&id, region->header->hash_seed);
        hf_table_prefetch_head(region, hashes[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        firsts[i] = hf_table_first_guess(region, hashes[i]);
        if (firsts[i] != 0)
            __builtin_prefetch(&region->reservations[firsts[i]], 1);
    }
    /* If the chain's first cell is the one: its terms. If not: the second. */
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_reservation_cell *cell = &region->reservations[firsts[i]];
        uint64_t half;
        memcpy(&half, record_at(records, i) + HF_IMAGE_ID, sizeof half);
        if (firsts[i] == 0)
            continue;
        if (hf_load_relaxed(&cell->id[0]) != half)
            __builtin_prefetch(&region->reservations[hf_load_relaxed(&cell->next)], 1);
        else if ((hf_load_relaxed(&cell->word) & HF_WORD_TERMS) != 0)
            __builtin_prefetch((const void *)&region->terms[firsts[i]], 1);
    }
}

/* The same for their inventories. */
static void look_ahead_inventories(const struct hf_replay *replay, const uint8_t *records,
                                   uint32_t count)
{
    const struct hf_region *region = replay->region;
    uint32_t places[GROUP_COUNT];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t inventory_id = hf_get_u64(record_at(records, i) + HF_IMAGE_INVENTORY_ID);
        places[i] = hf_region_inventory_place(region, inventory_id);
        __builtin_prefetch((const void *)&region->inventory_index[places[i]]);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t entry = hf_load_relaxed(&region->inventory_index[places[i]]);
        if (entry != 0)
            __builtin_prefetch(&replay->inventories[entry - 1], 1);
    }
}

const char *hf_replay_apply_all(struct hf_replay *replay, const uint8_t *records, uint32_t count,
                                uint32_t *fault)
{
    uint64_t hashes[GROUP_COUNT];
    for (uint32_t first = 0; first < count; first += GROUP_COUNT) {
        const uint8_t *group = record_at(records, first);
        uint32_t left = count - first, group_count = left < GROUP_COUNT ? left : GROUP_COUNT;
        look_ahead(replay, group, group_count, hashes);
        if (hf_load_relaxed(&replay->region->header->inventory_count) > FEW_INVENTORIES)
            look_ahead_inventories(replay, group, group_count);
        for (uint32_t i = 0; i < group_count; i++) {
            const char *reason = apply(replay, record_at(group, i), hashes[i]);
            if (reason != NULL) {
                *fault = first + i;
                return reason;
            }
        }
    }
    return NULL;
}

const char *hf_replay_restore_all(struct hf_replay *replay, const uint8_t *records, uint32_t count,
                                  uint64_t log_time_ns, uint32_t *fault)
{
    see_date(replay, log_time_ns);
    replay->restoring = true;
    const char *reason = hf_replay_apply_all(replay, records, count, fault);
    replay->restoring = false;
    return reason;
}

/* ---- what is derived ---- */

/* How far above the highest known version that of an inventory begins; see replay.h. */
static uint32_t version_skip(const struct hf_replay *replay)
{
    return VERSION_SKIP + VERSION_STEP * (uint32_t)(replay->epoch % VERSION_STEPS);
}

/* The word and the counts of one inventory. False: it has sold more than its limit, which was never
 * lowered. */
static bool derive_counters(struct hf_replay *replay, uint32_t number)
{
    struct hf_inventory_cell *cell = &replay->region->inventories[number];
    const struct hf_replay_inventory *known = &replay->inventories[number];
    struct hf_rules rules;
    hf_inventory_copy_settings(cell, &rules);
    uint32_t limit = rules.settings.sell_limit;
    if (known->units > limit &&
        (rules.sequence == 1 || known->units - limit > -(int64_t)HF_WORD_AMOUNT_MIN)) {
        snprintf(replay->reason, sizeof replay->reason,
                 "inventory %llu would be oversold: its sell limit of %u is less than its "
                 "reservations hold (NO-OVERSELL)",
                 (unsigned long long)cell->inventory_id, limit);
        return false;
    }
    uint64_t word = hf_word_make((int32_t)((int64_t)limit - (int64_t)known->units),
                                 known->version + known->unversioned + version_skip(replay));
    bool closes = (rules.settings.flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) != 0;
    if (known->closed ||
        (closes && known->sold_out && is_later(known->sold_out_version, known->settings_version)))
        word |= HF_WORD_SEALED;
    hf_store_relaxed(&cell->word, word);
    hf_store_relaxed(&cell->held, known->held);
    return true;
}

/* Waiting reservations, to be sorted. */
struct waiting {
    uint64_t lsn;
    uint32_t number;
};

static int by_lsn(const void *left, const void *right)
{
    const struct waiting *one = left, *other = right;
    return one->lsn < other->lsn ? -1 : one->lsn > other->lsn;
}

/* Links the lists in the order in which their reservations joined. */
static const char *link_lists(struct hf_replay *replay)
{
    struct hf_region *region = replay->region;
    struct waiting *list = malloc(replay->states[HF_STATE_WAITING] * sizeof *list);
    if (list == NULL)
        return "out of memory";
    uint32_t end = hf_cells_allotted(region), found = 0;
    for (uint32_t number = 1; number <= end; number++) {
        struct hf_reservation_cell *cell = &region->reservations[number];
        if (hf_reservation_word_state(hf_load_relaxed(&cell->word)) == HF_STATE_WAITING)
            list[found++] = (struct waiting){.lsn = hf_load_relaxed(&cell->lsn), .number = number};
    }
    HF_CHECK(found == replay->states[HF_STATE_WAITING]);
    qsort(list, found, sizeof *list, by_lsn);
    for (uint32_t i = 0; i < found; i++) {
        struct hf_reservation_cell *cell = &region->reservations[list[i].number];
        struct hf_inventory_cell *inventory =
            &region->inventories[hf_load_relaxed(&cell->inventory)];
        hf_waiting_append(region, inventory, list[i].number);
        hf_store_relaxed(&inventory->word, hf_load_relaxed(&inventory->word) | HF_WORD_WAITING);
    }
    free(list);
    return NULL;
}

static uint64_t finished_count(const struct hf_replay *replay)
{
    uint64_t all = 0, finished = 0;
    for (unsigned state = 0; state < HF_REPLAY_STATES; state++) {
        all += replay->states[state];
        if (hf_state_is_final(state))
            finished += replay->states[state];
    }
    HF_CHECK(all == replay->reservations);
    return finished;
}

/* What was made from what, in the snapshot. A newer image in the log says it anew, or that it is no
 * longer so. The id of the second may have been used again since, which whoever follows the link
 * finds out. */
static void make_links(struct hf_replay *replay)
{
    struct hf_region *region = replay->region;
    for (uint32_t i = 0; i < replay->link_count; i++) {
        const struct hf_replay_link *link = &replay->links[i];
        uint32_t number = number_of(region, &link->id);
        uint32_t linked = number_of(region, &link->linked_id);
        struct hf_reservation_cell *cell = &region->reservations[number];
        if (number == 0 || linked == 0 || hf_load_relaxed(&cell->lsn) != link->lsn)
            continue;
        hf_store_relaxed(&region->terms[number].link, linked);
        hf_store_relaxed(&cell->word, hf_load_relaxed(&cell->word) | HF_WORD_TERMS);
    }
}

const char *hf_replay_finish(struct hf_replay *replay)
{
    struct hf_region *region = replay->region;
    if (finished_count(replay) != 0)
        forget_all(replay);
    make_links(replay);
    uint32_t inventories = hf_load_relaxed(&region->header->inventory_count);
    for (uint32_t i = 0; i < inventories; i++)
        if (!derive_counters(replay, i))
            return replay->reason;
    hf_cells_return(region, &replay->allotment);
    return replay->states[HF_STATE_WAITING] == 0 ? NULL : link_lists(replay);
}

/* Deadline or retention is filed, if there is one. */
static void file(struct hf_engine *engine, uint32_t number, uint32_t *terms_ready)
{
    struct hf_region *region = &engine->region;
    const struct hf_reservation_cell *cell = &region->reservations[number];
    enum hf_state state = hf_reservation_word_state(hf_load_relaxed(&cell->word));
    bool is_final = hf_state_is_final(state);
    if (!is_final && state != HF_STATE_HELD)
        return;
    ready_terms(region, number, terms_ready);
    if (is_final)
        hf_store_relaxed(&region->terms[number].due_ns,
                         hf_retention_end_ns(engine, hf_load_relaxed(&cell->changed_at_ns)));
    hf_timer_arm_alone(&engine->timer, number);
}

static bool is_to_be_counted(const struct hf_region *region, uint32_t number)
{
    const struct hf_reservation_cell *cell = &region->reservations[number];
    const struct hf_inventory_cell *inventory =
        &region->inventories[hf_load_relaxed(&cell->inventory)];
    return hf_reservation_word_active(hf_load_relaxed(&cell->word)) &&
           (hf_load_relaxed(&inventory->rules) & HF_RULE_COUNTED) != 0;
}

/* Counts those that are to be, of `count` reservations from `first` on. False: out of memory. */
static bool count_group(struct hf_engine *engine, uint32_t first, uint32_t count)
{
    const struct hf_reservation_cell *cells = engine->region.reservations;
    uint32_t numbers[GROUP_COUNT], found = 0;
    for (uint32_t number = first; number < first + count; number++) {
        if (!is_to_be_counted(&engine->region, number))
            continue;
        numbers[found++] = number;
        hf_customers_prefetch_head(&engine->customers, hf_load_relaxed(&cells[number].inventory),
                                   hf_load_relaxed(&cells[number].customer_id));
    }
    for (uint32_t i = 0; i < found; i++)
        hf_customers_prefetch_cell(&engine->customers,
                                   hf_load_relaxed(&cells[numbers[i]].inventory),
                                   hf_load_relaxed(&cells[numbers[i]].customer_id));
    for (uint32_t i = 0; i < found; i++)
        if (!hf_setting_count_one(engine, numbers[i]))
            return false;
    return true;
}

/* False: out of memory. */
static bool count_customers(struct hf_engine *engine)
{
    uint32_t end = hf_cells_allotted(&engine->region);
    for (uint32_t first = 1; first <= end; first += GROUP_COUNT) {
        uint32_t left = end + 1 - first;
        if (!count_group(engine, first, left < GROUP_COUNT ? left : GROUP_COUNT))
            return false;
    }
    return true;
}

bool hf_replay_start_engine(const struct hf_replay *replay, struct hf_engine *engine)
{
    struct hf_region *region = &engine->region;
    engine->recovered_log_time_ns = replay->log_time_ns;
    if (replay->states[HF_STATE_HELD] + finished_count(replay) != 0) {
        uint32_t end = hf_cells_allotted(region), terms_ready = replay->terms_ready;
        for (uint32_t number = 1; number <= end; number++)
            file(engine, number, &terms_ready);
    }
    uint32_t inventories = hf_load_relaxed(&region->header->inventory_count);
    bool counted = false;
    for (uint32_t i = 0; i < inventories; i++) {
        region->inventories[i].count_next = UINT32_MAX; /* see setting.c */
        counted |= (hf_load_relaxed(&region->inventories[i].rules) & HF_RULE_COUNTED) != 0;
    }
    return !counted || count_customers(engine);
}
