/* What the reference model remembers: see world.h. */
#include "tests/model/world.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

enum entry_kind { INVENTORY, RESERVATION };

/* What was there before one change. */
struct entry {
    enum entry_kind kind;
    uint32_t index;
    bool added; /* nothing was there */
    union {
        struct hf_world_inventory inventory;
        struct hf_world_reservation reservation;
    } before;
};

struct hf_world {
    struct hf_world_inventory inventories[HF_WORLD_INVENTORIES];
    uint32_t inventory_count, max_inventories;
    struct hf_world_reservation *reservations;
    uint32_t reservation_count, max_reservations;
    uint64_t next_place; /* in a waiting list */
    uint32_t *index;     /* by id: linear probing; number of the reservation + 1, 0: free */
    uint32_t index_mask;
    struct entry *journal;
    size_t journal_count, journal_room;
};

static uint64_t mix(uint64_t key)
{
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
    return key ^ (key >> 31);
}

static uint64_t mix_id(const struct hf_id *id)
{
    return mix(hf_get_u64(id->bytes) + mix(hf_get_u64(id->bytes + 8) + 1));
}

struct hf_world *hf_world_open(uint32_t max_inventories, uint32_t max_reservations)
{
    HF_CHECK(max_inventories <= HF_WORLD_INVENTORIES);
    struct hf_world *world = calloc(1, sizeof *world);
    HF_CHECK(world);
    uint32_t index_count = 16;
    while (index_count < 2 * max_reservations)
        index_count *= 2;
    world->max_inventories = max_inventories;
    world->max_reservations = max_reservations;
    world->reservations = calloc(max_reservations, sizeof *world->reservations);
    world->index = calloc(index_count, sizeof *world->index);
    world->index_mask = index_count - 1;
    HF_CHECK(world->reservations && world->index);
    return world;
}

void hf_world_close(struct hf_world *world)
{
    free(world->reservations);
    free(world->index);
    free(world->journal);
    free(world);
}

void hf_world_clear(struct hf_world *world)
{
    world->inventory_count = 0;
    world->reservation_count = 0;
    world->next_place = 0;
    world->journal_count = 0;
    memset(world->index, 0, (world->index_mask + 1) * sizeof *world->index);
}

/* ---- looking ---- */

uint32_t hf_world_inventory_count(const struct hf_world *world)
{
    return world->inventory_count;
}

bool hf_world_inventories_full(const struct hf_world *world)
{
    return world->inventory_count == world->max_inventories;
}

const struct hf_world_inventory *hf_world_inventory(const struct hf_world *world, uint32_t index)
{
    return &world->inventories[index];
}

static struct hf_world_inventory *inventory_of(struct hf_world *world, uint64_t inventory_id)
{
    for (uint32_t i = 0; i < world->inventory_count; i++) {
        if (world->inventories[i].inventory_id == inventory_id)
            return &world->inventories[i];
    }
    return NULL;
}

const struct hf_world_inventory *hf_world_find_inventory(const struct hf_world *world,
                                                         uint64_t inventory_id)
{
    return inventory_of((struct hf_world *)world, inventory_id);
}

uint32_t hf_world_reservation_count(const struct hf_world *world)
{
    return world->reservation_count;
}

const struct hf_world_reservation *hf_world_reservation(const struct hf_world *world,
                                                        uint32_t index)
{
    return &world->reservations[index];
}

/* The place in the index where this id is, or would be. */
static uint32_t *index_place(const struct hf_world *world, const struct hf_id *id)
{
    uint32_t place = (uint32_t)mix_id(id) & world->index_mask;
    while (world->index[place] != 0 &&
           !hf_id_equal(&world->reservations[world->index[place] - 1].now.id, id))
        place = (place + 1) & world->index_mask;
    return &world->index[place];
}

const struct hf_world_reservation *hf_world_find_any(const struct hf_world *world,
                                                     const struct hf_id *id)
{
    uint32_t number = *index_place(world, id);
    return number == 0 ? NULL : &world->reservations[number - 1];
}

const struct hf_world_reservation *hf_world_find(const struct hf_world *world,
                                                 const struct hf_id *id)
{
    const struct hf_world_reservation *found = hf_world_find_any(world, id);
    return found && !found->forgotten ? found : NULL;
}

int32_t hf_world_available(const struct hf_world_inventory *inventory)
{
    return (int32_t)inventory->settings.sell_limit - (int32_t)inventory->held -
           (int32_t)inventory->confirmed;
}

uint32_t hf_world_customer_units(const struct hf_world *world, uint64_t inventory_id,
                                 uint64_t customer_id)
{
    uint32_t units = 0;
    for (uint32_t i = 0; i < world->reservation_count; i++) {
        const struct hf_reservation *now = &world->reservations[i].now;
        if (now->inventory_id == inventory_id && now->customer_id == customer_id &&
            hf_state_is_active(now->state))
            units += now->qty;
    }
    return units;
}

const struct hf_world_reservation *hf_world_waiting_from(const struct hf_world *world,
                                                         uint64_t inventory_id, uint64_t place)
{
    const struct hf_world_reservation *first = NULL;
    for (uint32_t i = 0; i < world->reservation_count; i++) {
        const struct hf_world_reservation *one = &world->reservations[i];
        if (one->now.state == HF_STATE_WAITING && one->now.inventory_id == inventory_id &&
            one->place >= place && (first == NULL || one->place < first->place))
            first = one;
    }
    return first;
}

void hf_world_show_inventory(const struct hf_world_inventory *inventory, struct hf_inventory *shown)
{
    *shown = (struct hf_inventory){
        .inventory_id = inventory->inventory_id,
        .product_id = inventory->product_id,
        .made_at_ns = inventory->made_at_ns,
        .capacity = inventory->capacity,
        .sell_limit = inventory->settings.sell_limit,
        .available = hf_world_available(inventory),
        .held = inventory->held,
        .confirmed = inventory->confirmed,
        .waiting = inventory->waiting,
        .flags = inventory->settings.flags |
                 (inventory->sold_out_closed ? HF_INVENTORY_SOLD_OUT_CLOSED : 0),
    };
}

/* ---- the hash ---- */

static uint64_t hash_settings(const struct hf_settings *settings)
{
    const uint64_t fields[] = {
        settings->sell_limit,   settings->customer_limit,  settings->min_qty,
        settings->max_qty,      settings->waiting_limit,   settings->flags,
        settings->opens_at_ns,  settings->closes_at_ns,    settings->longest_hold_ns,
        settings->offer_ttl_ns, settings->cancel_until_ns,
    };
    uint64_t hash = 1;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        hash = mix(hash + fields[i]);
    return hash;
}

/* How many stand before it in its list. */
static uint32_t rank_of(const struct hf_world *world, const struct hf_world_reservation *waiting)
{
    uint32_t rank = 0;
    for (uint32_t i = 0; i < world->reservation_count; i++) {
        const struct hf_world_reservation *one = &world->reservations[i];
        rank += one->now.state == HF_STATE_WAITING && one->place < waiting->place &&
                one->now.inventory_id == waiting->now.inventory_id;
    }
    return rank;
}

static uint64_t hash_reservation(const struct hf_world *world,
                                 const struct hf_world_reservation *one)
{
    const struct hf_reservation *now = &one->now;
    uint64_t hash = mix_id(&now->id);
    hash = mix(hash + now->inventory_id);
    hash = mix(hash + now->customer_id);
    hash = mix(hash + now->qty + ((uint64_t)now->sequence << 32));
    hash = mix(hash + now->made_at_ns);
    hash = mix(hash + now->changed_at_ns);
    hash = mix(hash + now->deadline_ns);
    hash = mix(hash + mix_id(&now->linked_id));
    hash = mix(hash + one->made_customer_id);
    hash =
        mix(hash + one->made_qty + ((uint64_t)now->state << 32) + ((uint64_t)one->made_as << 40) +
            ((uint64_t)one->altered << 48) + ((uint64_t)one->had_units << 49));
    return now->state == HF_STATE_WAITING ? mix(hash + rank_of(world, one)) : hash;
}

uint64_t hf_world_hash(const struct hf_world *world)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < world->inventory_count; i++) {
        const struct hf_world_inventory *inventory = &world->inventories[i];
        sum += mix(inventory->inventory_id + hash_settings(&inventory->settings) +
                   inventory->sold_out_closed);
    }
    for (uint32_t i = 0; i < world->reservation_count; i++) {
        if (!world->reservations[i].forgotten)
            sum += hash_reservation(world, &world->reservations[i]);
    }
    return sum;
}

/* ---- changing ---- */

static struct entry *note(struct hf_world *world, enum entry_kind kind, uint32_t index)
{
    if (world->journal_count == world->journal_room) {
        world->journal_room = world->journal_room * 2 + 64;
        world->journal = realloc(world->journal, world->journal_room * sizeof(struct entry));
        HF_CHECK(world->journal);
    }
    struct entry *entry = &world->journal[world->journal_count++];
    entry->kind = kind;
    entry->index = index;
    entry->added = false;
    return entry;
}

static void note_reservation(struct hf_world *world, uint32_t index)
{
    note(world, RESERVATION, index)->before.reservation = world->reservations[index];
}

static struct hf_world_inventory *touch_inventory(struct hf_world *world, uint64_t inventory_id)
{
    struct hf_world_inventory *inventory = inventory_of(world, inventory_id);
    HF_CHECK(inventory);
    note(world, INVENTORY, (uint32_t)(inventory - world->inventories))->before.inventory =
        *inventory;
    inventory->version_known = false;
    return inventory;
}

struct hf_world_inventory *hf_world_add_inventory(struct hf_world *world, uint64_t inventory_id)
{
    HF_CHECK(!hf_world_inventories_full(world));
    HF_CHECK(inventory_of(world, inventory_id) == NULL);
    note(world, INVENTORY, world->inventory_count)->added = true;
    struct hf_world_inventory *inventory = &world->inventories[world->inventory_count++];
    *inventory = (struct hf_world_inventory){.inventory_id = inventory_id};
    return inventory;
}

struct hf_world_inventory *hf_world_change_inventory(struct hf_world *world, uint64_t inventory_id)
{
    return touch_inventory(world, inventory_id);
}

/* Adds (or takes, with -1) what a reservation stands for to the sums of its inventory. */
static void count(struct hf_world_inventory *inventory, const struct hf_reservation *reservation,
                  uint32_t sign)
{
    if (reservation->state == HF_STATE_HELD)
        inventory->held += sign * reservation->qty;
    else if (reservation->state == HF_STATE_CONFIRMED)
        inventory->confirmed += sign * reservation->qty;
    else if (reservation->state == HF_STATE_WAITING)
        inventory->waiting += sign;
}

/* A place among the reservations for a new one with this id, journaled. */
static struct hf_world_reservation *allot(struct hf_world *world, const struct hf_id *id)
{
    uint32_t *number = index_place(world, id);
    if (*number != 0) {
        HF_CHECK(world->reservations[*number - 1].forgotten);
        note_reservation(world, *number - 1);
        return &world->reservations[*number - 1];
    }
    HF_CHECK(world->reservation_count < world->max_reservations);
    note(world, RESERVATION, world->reservation_count)->added = true;
    *number = ++world->reservation_count;
    return &world->reservations[*number - 1];
}

void hf_world_add(struct hf_world *world, const struct hf_reservation *made)
{
    struct hf_world_reservation *one = allot(world, &made->id);
    struct hf_world_inventory *inventory = touch_inventory(world, made->inventory_id);
    *one = (struct hf_world_reservation){
        .now = *made,
        .made_as = made->state,
        .made_customer_id = made->customer_id,
        .made_qty = made->qty,
        .had_units = hf_state_is_active(made->state),
        .place = world->next_place++,
    };
    one->now.sequence = 1;
    count(inventory, &one->now, 1);
}

void hf_world_change(struct hf_world *world, const struct hf_reservation *changed, uint64_t now_ns)
{
    struct hf_world_reservation *one =
        (struct hf_world_reservation *)hf_world_find(world, &changed->id);
    HF_CHECK(one && one->now.inventory_id == changed->inventory_id);
    note_reservation(world, (uint32_t)(one - world->reservations));
    struct hf_world_inventory *inventory = touch_inventory(world, changed->inventory_id);
    count(inventory, &one->now, UINT32_MAX);
    uint32_t sequence = one->now.sequence + 1;
    one->now = *changed;
    one->now.sequence = sequence;
    one->now.changed_at_ns = now_ns;
    one->had_units |= hf_state_is_active(changed->state);
    one->altered |= changed->qty != one->made_qty || changed->customer_id != one->made_customer_id;
    count(inventory, &one->now, 1);
}

static struct hf_world_reservation *touch_any(struct hf_world *world, const struct hf_id *id)
{
    struct hf_world_reservation *one = (struct hf_world_reservation *)hf_world_find_any(world, id);
    HF_CHECK(one);
    note_reservation(world, (uint32_t)(one - world->reservations));
    return one;
}

void hf_world_note_forgotten(struct hf_world *world, const struct hf_id *id, bool forgotten)
{
    struct hf_world_reservation *one = touch_any(world, id);
    HF_CHECK(hf_state_is_final(one->now.state));
    one->forgotten = forgotten;
}

void hf_world_note_lsn(struct hf_world *world, const struct hf_id *id, uint64_t lsn)
{
    struct hf_world_reservation *one = (struct hf_world_reservation *)hf_world_find_any(world, id);
    HF_CHECK(one);
    one->now.lsn = lsn;
}

void hf_world_note_version(struct hf_world *world, uint64_t inventory_id, uint32_t version)
{
    struct hf_world_inventory *inventory = inventory_of(world, inventory_id);
    HF_CHECK(inventory);
    inventory->version = version;
    inventory->version_known = true;
}

void hf_world_forget_versions(struct hf_world *world)
{
    for (uint32_t i = 0; i < world->inventory_count; i++)
        world->inventories[i].version_known = false;
}

/* ---- the journal ---- */

size_t hf_world_mark(const struct hf_world *world)
{
    return world->journal_count;
}

static void take_back(struct hf_world *world, const struct entry *entry)
{
    if (entry->kind == INVENTORY) {
        if (entry->added)
            world->inventory_count--;
        else
            world->inventories[entry->index] = entry->before.inventory;
    } else if (entry->added) {
        /* The newest in the index: none was put behind it since, so its place can just be freed. */
        *index_place(world, &world->reservations[entry->index].now.id) = 0;
        world->reservation_count--;
    } else {
        world->reservations[entry->index] = entry->before.reservation;
    }
}

void hf_world_rollback(struct hf_world *world, size_t mark)
{
    HF_CHECK(mark <= world->journal_count);
    while (world->journal_count > mark)
        take_back(world, &world->journal[--world->journal_count]);
}

void hf_world_checkpoint(struct hf_world *world,
                         bool (*kept)(void *context, const struct hf_id *id), void *context)
{
    uint32_t count = 0;
    world->journal_count = 0;
    memset(world->index, 0, (world->index_mask + 1) * sizeof *world->index);
    for (uint32_t i = 0; i < world->reservation_count; i++) {
        struct hf_world_reservation *one = &world->reservations[i];
        if (one->forgotten && !(kept && kept(context, &one->now.id)))
            continue;
        if (count != i)
            world->reservations[count] = *one;
        count++;
        *index_place(world, &world->reservations[count - 1].now.id) = count;
    }
    world->reservation_count = count;
}

/* What change `position` of the journal made of its reservation: what the next change of it found,
 * or what is there now. */
static const struct hf_reservation *after(const struct hf_world *world, size_t position)
{
    uint32_t index = world->journal[position].index;
    for (size_t i = position + 1; i < world->journal_count; i++) {
        const struct entry *entry = &world->journal[i];
        if (entry->kind == RESERVATION && entry->index == index)
            return &entry->before.reservation.now;
    }
    return &world->reservations[index].now;
}

uint32_t hf_world_changes(const struct hf_world *world, size_t mark, struct hf_reservation *changes,
                          uint32_t limit)
{
    uint32_t count = 0;
    for (size_t i = mark; i < world->journal_count; i++) {
        const struct entry *entry = &world->journal[i];
        if (entry->kind != RESERVATION)
            continue;
        const struct hf_reservation *now = after(world, i);
        /* What was only noted of it is no change. */
        if (!entry->added && entry->before.reservation.now.sequence == now->sequence)
            continue;
        if (count < limit)
            changes[count] = *now;
        count++;
    }
    return count;
}

/* ---- the invariants ---- */

/* The sums of an inventory, from its reservations. */
static struct hf_world_inventory summed(const struct hf_world *world, uint64_t inventory_id)
{
    struct hf_world_inventory sums = {0};
    for (uint32_t i = 0; i < world->reservation_count; i++) {
        if (world->reservations[i].now.inventory_id == inventory_id)
            count(&sums, &world->reservations[i].now, 1);
    }
    return sums;
}

/* The inventory as it was at the mark. */
static const struct hf_world_inventory *inventory_at(const struct hf_world *world, uint32_t index,
                                                     size_t mark)
{
    static const struct hf_world_inventory none = {0};
    for (size_t i = mark; i < world->journal_count; i++) {
        const struct entry *entry = &world->journal[i];
        if (entry->kind == INVENTORY && entry->index == index)
            return entry->added ? &none : &entry->before.inventory;
    }
    return &world->inventories[index];
}

static bool oversold(const struct hf_world *world, uint32_t index, size_t mark)
{
    const struct hf_world_inventory *inventory = &world->inventories[index];
    if (hf_world_available(inventory) >= 0)
        return false;
    const struct hf_world_inventory *before = inventory_at(world, index, mark);
    return inventory->held + inventory->confirmed > before->held + before->confirmed;
}

/* Two never share a place; WAITING never had units, and is in the state it was made in. */
static bool list_broken(const struct hf_world *world, uint64_t inventory_id)
{
    uint64_t place = 0;
    for (;;) {
        const struct hf_world_reservation *one = hf_world_waiting_from(world, inventory_id, place);
        if (one == NULL)
            return false;
        if (one->had_units || one->now.sequence != 1 || one->made_as != HF_STATE_WAITING)
            return true;
        place = one->place + 1;
    }
}

const char *hf_world_broken(const struct hf_world *world, size_t mark)
{
    for (uint32_t i = 0; i < world->inventory_count; i++) {
        const struct hf_world_inventory *inventory = &world->inventories[i];
        struct hf_world_inventory sums = summed(world, inventory->inventory_id);
        if (inventory->held != sums.held || inventory->confirmed != sums.confirmed ||
            inventory->waiting != sums.waiting)
            return "CONSERVATION: the sums of an inventory are not those of its reservations";
        if (oversold(world, i, mark))
            return "NO-OVERSELL: a deficit grew";
        if (inventory->waiting != 0 && list_broken(world, inventory->inventory_id))
            return "LIST-ORDER: what waits has had units";
    }
    return NULL;
}
