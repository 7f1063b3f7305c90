/* Replay; its rule is told in replay.h. One thread, before anyone else sees the region: every
 * access to a shared field here is relaxed for that reason. */
#include "engine/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/hash.h"
#include "engine/image.h"
#include "engine/lapse.h"
#include "engine/setting.h"
#include "engine/waiting.h"

/* More than the changes that can have been lost since the newest version in the log. */
#define VERSION_SKIP (1u << 20)

int hf_replay_init(struct hf_replay *replay, struct hf_region *region, uint64_t retain_ns)
{
    *replay = (struct hf_replay){.region = region, .retain_ns = retain_ns};
    replay->inventories = calloc(region->header->max_inventories, sizeof *replay->inventories);
    return replay->inventories == NULL ? -ENOMEM : 0;
}

void hf_replay_close(struct hf_replay *replay)
{
    free(replay->inventories);
    free(replay->links);
    replay->inventories = NULL;
    replay->links = NULL;
}

/* True if version `one` came after `other`. Versions come around. */
static bool is_later(uint32_t one, uint32_t other)
{
    return (int32_t)((one - other) << 1) > 0;
}

static void see_version(struct hf_replay_inventory *inventory, uint32_t version)
{
    /* Version 0.1.0 wrote none with what took no units: one change each. */
    inventory->unversioned += version == 0;
    if (version == 0)
        return;
    if (!inventory->versioned || is_later(version, inventory->version))
        inventory->version = version;
    inventory->versioned = true;
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
    known->closed = (image->settings.flags & HF_INVENTORY_SOLD_OUT_CLOSED) != 0;
    known->settings_version = image->inventory.version;
    see_version(known, image->inventory.version);
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

/* ---- reservations ---- */

/* True if the image is newer than what the cell holds. */
static bool is_newer(const struct hf_reservation *image, const struct hf_reservation_cell *cell)
{
    uint64_t made_at_ns = hf_load_relaxed(&cell->made_at_ns);
    if (image->made_at_ns != made_at_ns)
        return image->made_at_ns > made_at_ns;
    return image->sequence > hf_reservation_word_sequence(hf_load_relaxed(&cell->word));
}

/* The cell of a reservation that was made before, or 0. */
static uint32_t number_of(const struct hf_region *region, const struct hf_id *id)
{
    struct hf_reservation_cell *cell;
    uint64_t hash = hf_hash_id(id, region->header->hash_seed);
    if (hf_id_is_zero(id) || hf_table_find(region, id, hash, &cell) != HF_LOOKUP_FOUND)
        return 0;
    return (uint32_t)(cell - region->reservations);
}

/* In a snapshot, the hold that a reservation was made from may come behind it. False: out of
 * memory. */
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
        .id = reservation->id,
        .linked_id = reservation->linked_id,
        .made_at_ns = reservation->made_at_ns,
    };
    return true;
}

static void store_reservation(struct hf_replay *replay, struct hf_reservation_cell *cell,
                              const struct hf_image *image, uint32_t inventory_number,
                              uint32_t linked)
{
    const struct hf_reservation *reservation = &image->reservation;
    struct hf_region *region = replay->region;
    uint64_t word =
        hf_reservation_word(reservation->state, reservation->sequence, reservation->qty);
    hf_reservation_set_id(cell, &reservation->id);
    hf_store_relaxed(&cell->customer_id, reservation->customer_id);
    hf_store_relaxed(&cell->made_at_ns, reservation->made_at_ns);
    hf_store_relaxed(&cell->inventory, inventory_number);
    hf_store_relaxed(&cell->lsn, reservation->lsn);
    hf_store_relaxed(&cell->changed_at_ns, reservation->changed_at_ns);
    bool has_terms = linked != 0 || image->notes.origin != 0 || image->notes.made_as != 0;
    bool had_terms = (hf_load_relaxed(&cell->word) & HF_WORD_TERMS) != 0;
    hf_store_relaxed(&cell->word, word | (has_terms ? HF_WORD_TERMS : 0));
    if (!has_terms && !had_terms)
        return;
    struct hf_terms *terms = &region->terms[cell - region->reservations];
    hf_store_relaxed(&terms->due_ns, reservation->deadline_ns);
    hf_store_relaxed(&terms->link, linked);
    hf_store_relaxed(&terms->origin, image->notes.origin);
    hf_store_relaxed(&terms->made_as, image->notes.made_as);
}

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
    if (hf_load_relaxed(&cell->word) & HF_WORD_TERMS) {
        hf_store_relaxed(&terms->due_ns, 0);
        hf_store_relaxed(&terms->link, 0);
        hf_store_relaxed(&terms->origin, 0);
        hf_store_relaxed(&terms->made_as, 0);
    }
    hf_store_relaxed(&cell->word, 0);
    hf_table_free_one(region, number);
    replay->reservations--;
}

static void forget_old(struct hf_replay *replay)
{
    uint32_t end = hf_table_allotted(replay->region);
    for (uint32_t number = 1; number <= end; number++)
        if (is_forgotten(replay, &replay->region->reservations[number]))
            forget(replay, number);
}

static const char *apply_reservation(struct hf_replay *replay, const struct hf_image *image)
{
    struct hf_region *region = replay->region;
    const struct hf_reservation *reservation = &image->reservation;
    struct hf_inventory_cell *inventory =
        hf_region_find_inventory(region, reservation->inventory_id);
    if (inventory == NULL) {
        snprintf(replay->reason, sizeof replay->reason,
                 "its inventory %llu does not appear before it in the log",
                 (unsigned long long)reservation->inventory_id);
        return replay->reason;
    }
    uint32_t inventory_number = (uint32_t)(inventory - region->inventories);
    struct hf_replay_inventory *known = &replay->inventories[inventory_number];
    if (!replay->restoring)
        see_version(known, image->notes.inventory_version);
    see_date(replay, reservation->changed_at_ns);
    if ((image->notes.flags & HF_IMAGE_FLAG_SOLD_OUT) != 0 &&
        (!known->sold_out || is_later(image->notes.inventory_version, known->sold_out_version))) {
        known->sold_out = true;
        known->sold_out_version = image->notes.inventory_version;
    }
    uint64_t hash = hf_hash_id(&reservation->id, region->header->hash_seed);
    uint32_t linked = number_of(region, &reservation->linked_id);
    bool is_linked = !hf_id_is_zero(&reservation->linked_id);
    if (is_linked && linked == 0 && replay->restoring && !note_link(replay, reservation))
        return "out of memory";
    struct hf_reservation_cell *cell;
    struct hf_chain chain;
    if (hf_table_find(region, &reservation->id, hash, &cell) == HF_LOOKUP_FOUND) {
        if (is_newer(reservation, cell))
            store_reservation(replay, cell, image, inventory_number, linked);
        return NULL;
    }
    if (!hf_table_allot(region, &replay->allotment)) {
        forget_old(replay);
        if (!hf_table_allot(region, &replay->allotment)) {
            snprintf(replay->reason, sizeof replay->reason,
                     "it is one reservation more than --max-reservations %u allows; start with a "
                     "larger one",
                     region->header->max_reservations);
            return replay->reason;
        }
    }
    HF_CHECK(hf_table_take_chain(region, hash, &chain)); /* nobody else is there */
    store_reservation(replay, hf_table_free_cell(region, &replay->allotment), image,
                      inventory_number, linked);
    hf_chain_insert(&chain, region, &replay->allotment);
    replay->reservations++;
    return NULL;
}

void hf_replay_prefetch(struct hf_replay *replay, const uint8_t *record)
{
    struct hf_id id;
    memcpy(id.bytes, record + HF_IMAGE_ID, sizeof id.bytes);
    uint64_t hash = hf_hash_id(&id, replay->region->header->hash_seed);
    hf_table_prefetch_head(replay->region, hash);
    /* The head that was asked for some records ago is there by now. */
    uint64_t *earlier = &replay->prefetched[replay->prefetch_count++ % HF_REPLAY_PREFETCHES];
    hf_table_prefetch_cell(replay->region, *earlier);
    *earlier = hash;
}

static void apply_event(struct hf_replay *replay, const struct hf_image *image)
{
    struct hf_inventory_cell *cell =
        hf_region_find_inventory(replay->region, image->inventory.inventory_id);
    see_date(replay, image->event_at_ns);
    if (cell != NULL)
        see_version(&replay->inventories[cell - replay->region->inventories],
                    image->inventory.version);
}

const char *hf_replay_apply(struct hf_replay *replay, const uint8_t *record)
{
    struct hf_image image;
    const char *reason = hf_image_decode(record, &image);
    if (reason != NULL)
        return reason;
    switch (image.kind) {
    case HF_IMAGE_INVENTORY:
        return apply_inventory(replay, &image);
    case HF_IMAGE_RESERVATION:
        return apply_reservation(replay, &image);
    case HF_IMAGE_EVENT:
        apply_event(replay, &image);
        return NULL;
    }
    return "its kind is unknown";
}

const char *hf_replay_restore(struct hf_replay *replay, const uint8_t *record, uint64_t log_time_ns)
{
    see_date(replay, log_time_ns);
    replay->restoring = true;
    const char *reason = hf_replay_apply(replay, record);
    replay->restoring = false;
    return reason;
}

/* ---- what is derived ---- */

static void begin_counters(struct hf_replay *replay, uint32_t number)
{
    struct hf_inventory_cell *cell = &replay->region->inventories[number];
    const struct hf_replay_inventory *known = &replay->inventories[number];
    struct hf_rules rules;
    hf_inventory_copy_settings(cell, &rules);
    uint64_t word = hf_word_make((int32_t)rules.settings.sell_limit,
                                 known->version + known->unversioned + VERSION_SKIP);
    bool closes = (rules.settings.flags & HF_INVENTORY_CLOSE_WHEN_SOLD_OUT) != 0;
    if (known->closed ||
        (closes && known->sold_out && is_later(known->sold_out_version, known->settings_version)))
        word |= HF_WORD_SEALED;
    hf_store_relaxed(&cell->word, word);
}

/* Counts one reservation in its inventory's counters. False: it has more than is left, and the
 * limit was never lowered. */
static bool derive_from(struct hf_replay *replay, const struct hf_reservation_cell *cell)
{
    uint64_t word = hf_load_relaxed(&cell->word);
    if (!hf_reservation_word_active(word))
        return true;
    struct hf_inventory_cell *inventory =
        &replay->region->inventories[hf_load_relaxed(&cell->inventory)];
    uint64_t counters = hf_load_relaxed(&inventory->word);
    uint32_t qty = hf_reservation_word_qty(word);
    int64_t left = (int64_t)hf_word_available(counters) - qty;
    struct hf_rules rules;
    if (left < 0) {
        hf_inventory_copy_settings(inventory, &rules);
        if (rules.sequence == 1 || left < HF_WORD_AMOUNT_MIN) {
            snprintf(replay->reason, sizeof replay->reason,
                     "inventory %llu would be oversold: its sell limit of %u is less than its "
                     "reservations hold (NO-OVERSELL)",
                     (unsigned long long)inventory->inventory_id, rules.settings.sell_limit);
            return false;
        }
    }
    uint64_t flags = counters & (HF_WORD_SEALED | HF_WORD_WAITING);
    hf_store_relaxed(&inventory->word,
                     hf_word_make((int32_t)left, hf_word_version(counters)) | flags);
    if (hf_reservation_word_state(word) == HF_STATE_HELD)
        hf_fetch_add_relaxed(&inventory->held, qty);
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
static const char *link_lists(struct hf_replay *replay, uint32_t count)
{
    struct hf_region *region = replay->region;
    struct waiting *list = malloc(count * sizeof *list);
    if (list == NULL)
        return "out of memory";
    uint32_t end = hf_table_allotted(region), found = 0;
    for (uint32_t number = 1; number <= end; number++) {
        struct hf_reservation_cell *cell = &region->reservations[number];
        if (hf_reservation_word_state(hf_load_relaxed(&cell->word)) == HF_STATE_WAITING)
            list[found++] = (struct waiting){.lsn = hf_load_relaxed(&cell->lsn), .number = number};
    }
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

/* What was made from what, where the order of the records did not tell it. */
static void resolve_links(struct hf_replay *replay)
{
    struct hf_region *region = replay->region;
    for (uint32_t i = 0; i < replay->link_count; i++) {
        const struct hf_replay_link *link = &replay->links[i];
        uint32_t number = number_of(region, &link->id);
        uint32_t linked = number_of(region, &link->linked_id);
        struct hf_reservation_cell *cell = &region->reservations[number];
        if (number == 0 || linked == 0 || hf_load_relaxed(&cell->made_at_ns) != link->made_at_ns)
            continue; /* forgotten, the one or the other; maybe its id was used again */
        hf_store_relaxed(&region->terms[number].link, linked);
        hf_store_relaxed(&cell->word, hf_load_relaxed(&cell->word) | HF_WORD_TERMS);
    }
}

const char *hf_replay_finish(struct hf_replay *replay)
{
    struct hf_region *region = replay->region;
    resolve_links(replay);
    uint32_t inventories = hf_load_relaxed(&region->header->inventory_count);
    for (uint32_t i = 0; i < inventories; i++)
        begin_counters(replay, i);
    uint32_t end = hf_table_allotted(region), waiting = 0;
    for (uint32_t number = 1; number <= end; number++) {
        struct hf_reservation_cell *cell = &region->reservations[number];
        if (is_forgotten(replay, cell))
            forget(replay, number);
        if (!derive_from(replay, cell))
            return replay->reason;
        waiting += hf_reservation_word_state(hf_load_relaxed(&cell->word)) == HF_STATE_WAITING;
    }
    hf_table_return(region, &replay->allotment);
    return waiting == 0 ? NULL : link_lists(replay, waiting);
}

bool hf_replay_start_engine(const struct hf_replay *replay, struct hf_engine *engine)
{
    struct hf_region *region = &engine->region;
    engine->recovered_log_time_ns = replay->log_time_ns;
    uint32_t end = hf_table_allotted(region);
    for (uint32_t number = 1; number <= end; number++) {
        struct hf_reservation_cell *cell = &region->reservations[number];
        enum hf_state state = hf_reservation_word_state(hf_load_relaxed(&cell->word));
        if (hf_state_is_final(state))
            hf_store_relaxed(&region->terms[number].due_ns,
                             hf_retention_end_ns(engine, hf_load_relaxed(&cell->changed_at_ns)));
        if (hf_state_is_final(state) || state == HF_STATE_HELD)
            hf_timer_arm(&engine->timer, number);
        struct hf_inventory_cell *inventory =
            &region->inventories[hf_load_relaxed(&cell->inventory)];
        if (hf_state_is_active(state) &&
            (hf_load_relaxed(&inventory->rules) & HF_RULE_COUNTED) != 0 &&
            !hf_setting_count_one(engine, number))
            return false;
    }
    uint32_t inventories = hf_load_relaxed(&region->header->inventory_count);
    for (uint32_t i = 0; i < inventories; i++)
        region->inventories[i].count_next = UINT32_MAX; /* see setting.c */
    return true;
}
