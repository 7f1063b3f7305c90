/*
 * The ledger; what it proves is told in ledger.h.
 *
 * Reservations and inventories stand in chunks that never move, found through open-addressing
 * indexes of 8 bytes a slot that grow by doubling. 64 bytes a reservation and its slot are all that
 * a reservation costs; nothing is allocated for a single record.
 *
 * The state hash is kept as a sum: a reservation's part of it is taken out when a newer record
 * replaces the old one. The parts of inventories depend on all their reservations and are added
 * when the hash is asked for.
 */
#include "tools/ledger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"

#define RECORD_BYTES 128
#define MAX_UNITS    ((1u << 29) - 1)

enum { KIND_INVENTORY = 1, KIND_RESERVATION = 2 };
enum { STATE_CONFIRMED = 2, STATE_CANCELLED = 3 };

/* Offsets in a record. */
enum {
    AT_LSN = 0,
    AT_KIND = 8,
    AT_STATE = 9,

    RESERVATION_QTY = 12,
    RESERVATION_ID = 16,
    RESERVATION_INVENTORY_ID = 32,
    RESERVATION_CUSTOMER_ID = 40,
    RESERVATION_MADE_AT = 48,
    RESERVATION_CHANGED_AT = 56,
    RESERVATION_SEQUENCE = 72,
    RESERVATION_VERSION = 76,

    INVENTORY_SEQUENCE = 12,
    INVENTORY_ID = 16,
    INVENTORY_PRODUCT_ID = 24,
    INVENTORY_CAPACITY = 32,
    INVENTORY_SELL_LIMIT = 36,
    INVENTORY_MADE_AT = 48,
    INVENTORY_CHANGED_AT = 56,

    /* Added for the state hash only. */
    HASHED_AVAILABLE = 64,
    HASHED_VERSION = 68,
};

#define ID_BYTES 16

struct reservation {
    uint8_t id[ID_BYTES];
    uint64_t customer_id;
    uint64_t made_at_ns;
    uint64_t changed_at_ns;
    uint64_t hash;      /* its part of the state hash */
    uint32_t inventory; /* number in the ledger */
    uint32_t qty;
    uint32_t sequence;
    uint32_t state;
};
_Static_assert(sizeof(struct reservation) == 64, "one cache line");

struct inventory {
    uint8_t record[RECORD_BYTES]; /* its newest */
    uint64_t confirmed;           /* units */
    uint64_t changes;             /* of itself and of all its reservations */
    uint64_t changes_at_start;    /* when `run` began */
    uint64_t run;
};

/* Things of one size, by number. */
#define CHUNK_ITEMS 8192
struct store {
    uint8_t **chunks;
    uint32_t chunk_count;
    uint32_t count;
};

/* Numbers of things, by hash. A slot: 32 bits of hash above, number + 1 below; 0: free. */
struct index {
    uint64_t *slots;
    uint64_t mask;
    uint64_t count;
};

/* Sets of inventory versions, 64 neighbours a slot. A slot without a bit is free. */
struct version_slot {
    uint64_t key;
    uint64_t bits;
};

struct versions {
    struct version_slot *slots;
    uint64_t mask;
    uint64_t count;
};

struct hf_ledger {
    struct store reservations, inventories;
    struct index reservation_index, inventory_index;
    struct versions versions; /* that grants of this run produced */
    uint64_t run;             /* starts so far */
    uint64_t records;
    uint64_t confirmed;
    uint64_t reservations_hash;
    char fault[256];
};

#define FIRST_SLOTS 1024

__attribute__((format(printf, 2, 3))) static const char *fault(struct hf_ledger *ledger,
                                                               const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ledger->fault, sizeof(ledger->fault), format, arguments);
    va_end(arguments);
    return ledger->fault;
}

static const char *out_of_memory(struct hf_ledger *ledger)
{
    return fault(ledger, "not enough memory to go on; nothing is said about this record");
}

/* ---- stores and indexes ----------------------------------------------------------------- */

static void *store_item(const struct store *store, uint32_t number, size_t item_bytes)
{
    return store->chunks[number / CHUNK_ITEMS] + (number % CHUNK_ITEMS) * item_bytes;
}

static struct reservation *reservation_of(const struct hf_ledger *ledger, uint32_t number)
{
    return store_item(&ledger->reservations, number, sizeof(struct reservation));
}

static struct inventory *inventory_of(const struct hf_ledger *ledger, uint32_t number)
{
    return store_item(&ledger->inventories, number, sizeof(struct inventory));
}

/* A new, zeroed item with the number store->count - 1. NULL: out of memory. */
static void *store_add(struct store *store, size_t item_bytes)
{
    if (store->count == store->chunk_count * (uint64_t)CHUNK_ITEMS) {
        if (store->count > UINT32_MAX - CHUNK_ITEMS)
            return NULL;
        uint8_t **chunks = realloc(store->chunks, (store->chunk_count + 1ull) * sizeof(*chunks));
        if (chunks == NULL)
            return NULL;
        store->chunks = chunks;
        chunks[store->chunk_count] = calloc(CHUNK_ITEMS, item_bytes);
        if (chunks[store->chunk_count] == NULL)
            return NULL;
        store->chunk_count++;
    }
    return store_item(store, store->count++, item_bytes);
}

static void store_free(struct store *store)
{
    for (uint32_t chunk = 0; chunk < store->chunk_count; chunk++)
        free(store->chunks[chunk]);
    free(store->chunks);
}

static void index_place(const struct index *index, uint64_t slot)
{
    uint64_t at = slot >> 32 & index->mask;
    while (index->slots[at] != 0)
        at = (at + 1) & index->mask;
    index->slots[at] = slot;
}

/* Makes room for one more: at most three of four slots are taken. */
static bool index_reserve(struct index *index)
{
    if (index->slots != NULL && (index->count + 1) * 4 <= (index->mask + 1) * 3)
        return true;
    uint64_t slots = index->slots == NULL ? FIRST_SLOTS : (index->mask + 1) * 2;
    struct index grown = {calloc(slots, sizeof(uint64_t)), slots - 1, index->count};
    if (grown.slots == NULL)
        return false;
    for (uint64_t at = 0; index->slots != NULL && at <= index->mask; at++) {
        if (index->slots[at] != 0)
            index_place(&grown, index->slots[at]);
    }
    free(index->slots);
    *index = grown;
    return true;
}

/* After index_reserve(). */
static void index_add(struct index *index, uint32_t hash, uint32_t number)
{
    index_place(index, (uint64_t)hash << 32 | (number + 1));
    index->count++;
}

static uint32_t hash_of_id(const uint8_t *id)
{
    return (uint32_t)(XXH3_64bits(id, ID_BYTES) >> 32);
}

static uint32_t hash_of_number(uint64_t number)
{
    return (uint32_t)((number ^ number >> 32) * 0x9e3779b97f4a7c15ull >> 32);
}

/* Walks over the slots whose hash is `hash`. False: there is no further one. */
static bool index_next(const struct index *index, uint32_t hash, uint64_t *at, uint32_t *number)
{
    if (index->slots == NULL)
        return false;
    for (uint64_t slot; (slot = index->slots[*at & index->mask]) != 0;) {
        (*at)++;
        if (slot >> 32 == hash) {
            *number = (uint32_t)slot - 1;
            return true;
        }
    }
    return false;
}

static struct reservation *find_reservation(const struct hf_ledger *ledger, const uint8_t *id,
                                            uint32_t hash)
{
    uint64_t at = hash;
    uint32_t number;
    while (index_next(&ledger->reservation_index, hash, &at, &number)) {
        struct reservation *reservation = reservation_of(ledger, number);
        if (memcmp(reservation->id, id, ID_BYTES) == 0)
            return reservation;
    }
    return NULL;
}

/* NULL: unknown. */
static struct inventory *find_inventory(const struct hf_ledger *ledger, uint64_t inventory_id,
                                        uint32_t *number)
{
    uint32_t hash = hash_of_number(inventory_id);
    uint64_t at = hash;
    while (index_next(&ledger->inventory_index, hash, &at, number)) {
        struct inventory *inventory = inventory_of(ledger, *number);
        if (hf_get_u64(inventory->record + INVENTORY_ID) == inventory_id)
            return inventory;
    }
    return NULL;
}

/* ---- inventory versions ----------------------------------------------------------------- */

static struct version_slot *version_slot(const struct versions *versions, uint64_t key)
{
    uint64_t at = hash_of_number(key) & versions->mask;
    while (versions->slots[at].bits != 0 && versions->slots[at].key != key)
        at = (at + 1) & versions->mask;
    return &versions->slots[at];
}

static bool versions_reserve(struct versions *versions)
{
    if (versions->slots != NULL && (versions->count + 1) * 2 <= versions->mask + 1)
        return true;
    uint64_t slots = versions->slots == NULL ? FIRST_SLOTS : (versions->mask + 1) * 2;
    struct versions grown = {calloc(slots, sizeof(struct version_slot)), slots - 1,
                             versions->count};
    if (grown.slots == NULL)
        return false;
    for (uint64_t at = 0; versions->slots != NULL && at <= versions->mask; at++) {
        if (versions->slots[at].bits != 0)
            *version_slot(&grown, versions->slots[at].key) = versions->slots[at];
    }
    free(versions->slots);
    *versions = grown;
    return true;
}

/* After versions_reserve(). False: it was there. */
static bool versions_add(struct versions *versions, uint32_t inventory, uint32_t version)
{
    uint64_t key = (uint64_t)inventory << 26 | version >> 6;
    uint64_t bit = 1ull << (version & 63);
    struct version_slot *slot = version_slot(versions, key);
    if ((slot->bits & bit) != 0)
        return false;
    if (slot->bits == 0)
        versions->count++;
    slot->key = key;
    slot->bits |= bit;
    return true;
}

/* The changes of an inventory before this run. */
static uint64_t changes_at_start(const struct hf_ledger *ledger, struct inventory *inventory)
{
    if (inventory->run != ledger->run) {
        inventory->run = ledger->run;
        inventory->changes_at_start = inventory->changes;
    }
    return inventory->changes_at_start;
}

/*
 * The version counts changes modulo 2^32. Within a run each grant has its own, newer than what the
 * run began with. After 2^31 changes in one run that can no longer be told, and is not checked.
 */
static const char *check_version(struct hf_ledger *ledger, struct inventory *inventory,
                                 uint32_t number, uint32_t version)
{
    uint64_t start = changes_at_start(ledger, inventory);
    if (inventory->changes - start >= 1ull << 31)
        return NULL;
    if (version == 0 && start < 1ull << 31)
        return fault(ledger, "a grant has inventory version 0");
    uint32_t distance = version - (uint32_t)start;
    if (distance == 0 || distance >= 1u << 31)
        return fault(ledger,
                     "a grant has inventory version %" PRIu32
                     ", but the server started with version %" PRIu32,
                     version, (uint32_t)start);
    if (!versions_reserve(&ledger->versions))
        return out_of_memory(ledger);
    if (!versions_add(&ledger->versions, number, version))
        return fault(ledger,
                     "inventory version %" PRIu32 " stands for two grants of inventory %" PRIu64,
                     version, hf_get_u64(inventory->record + INVENTORY_ID));
    return NULL;
}

/* ---- the state hash --------------------------------------------------------------------- */

static uint64_t reservation_hash(const uint8_t *record)
{
    uint8_t hashed[RECORD_BYTES];
    memcpy(hashed, record, RECORD_BYTES);
    hf_put_u32(hashed + RESERVATION_VERSION, 0);
    return XXH3_64bits(hashed, RECORD_BYTES);
}

static uint64_t inventory_hash(const struct inventory *inventory)
{
    uint8_t hashed[RECORD_BYTES];
    memcpy(hashed, inventory->record, RECORD_BYTES);
    uint32_t sell_limit = hf_get_u32(hashed + INVENTORY_SELL_LIMIT);
    hf_put_u32(hashed + HASHED_AVAILABLE, (uint32_t)(sell_limit - inventory->confirmed));
    hf_put_u32(hashed + HASHED_VERSION, (uint32_t)inventory->changes);
    return XXH3_64bits(hashed, RECORD_BYTES);
}

uint64_t hf_ledger_state_hash(const struct hf_ledger *ledger)
{
    uint64_t sum = ledger->reservations_hash;
    for (uint32_t number = 0; number < ledger->inventories.count; number++)
        sum += inventory_hash(inventory_of(ledger, number));
    return sum;
}

/* ---- entering records ------------------------------------------------------------------- */

static bool zeros(const uint8_t *record, size_t from, size_t to)
{
    return hf_all_zero(record + from, to - from);
}

static const char *check_inventory_fields(struct hf_ledger *ledger, const uint8_t *record)
{
    uint32_t capacity = hf_get_u32(record + INVENTORY_CAPACITY);
    uint32_t sell_limit = hf_get_u32(record + INVENTORY_SELL_LIMIT);
    if (!zeros(record, AT_STATE, INVENTORY_SEQUENCE) || !zeros(record, 40, 48) ||
        !zeros(record, 64, RECORD_BYTES))
        return fault(ledger, "an inventory record has reserved bytes that are not zero");
    if (capacity == 0 || capacity > MAX_UNITS)
        return fault(ledger, "an inventory has capacity %" PRIu32, capacity);
    if (sell_limit == 0 || sell_limit > MAX_UNITS)
        return fault(ledger, "an inventory has sell limit %" PRIu32, sell_limit);
    if (hf_get_u64(record + INVENTORY_CHANGED_AT) < hf_get_u64(record + INVENTORY_MADE_AT))
        return fault(ledger, "an inventory was changed before it was made");
    return NULL;
}

static const char *check_inventory_step(struct hf_ledger *ledger, const uint8_t *last,
                                        const uint8_t *record)
{
    uint64_t inventory_id = hf_get_u64(record + INVENTORY_ID);
    uint32_t expected = last == NULL ? 1 : hf_get_u32(last + INVENTORY_SEQUENCE) + 1;
    uint32_t sequence = hf_get_u32(record + INVENTORY_SEQUENCE);
    if (sequence != expected)
        return fault(ledger, "inventory %" PRIu64 " has sequence %" PRIu32 ", expected %" PRIu32,
                     inventory_id, sequence, expected);
    if (last == NULL)
        return NULL;
    if (hf_get_u64(last + INVENTORY_PRODUCT_ID) != hf_get_u64(record + INVENTORY_PRODUCT_ID))
        return fault(ledger, "inventory %" PRIu64 " changed its product", inventory_id);
    if (hf_get_u64(last + INVENTORY_MADE_AT) != hf_get_u64(record + INVENTORY_MADE_AT))
        return fault(ledger, "inventory %" PRIu64 " changed its date of making", inventory_id);
    if (hf_get_u64(last + INVENTORY_CHANGED_AT) > hf_get_u64(record + INVENTORY_CHANGED_AT))
        return fault(ledger, "inventory %" PRIu64 " changed before its last change", inventory_id);
    return NULL;
}

static const char *enter_inventory(struct hf_ledger *ledger, const uint8_t *record)
{
    const char *reason = check_inventory_fields(ledger, record);
    if (reason != NULL)
        return reason;
    uint64_t inventory_id = hf_get_u64(record + INVENTORY_ID);
    uint32_t number;
    struct inventory *inventory = find_inventory(ledger, inventory_id, &number);
    reason = check_inventory_step(ledger, inventory == NULL ? NULL : inventory->record, record);
    if (reason != NULL)
        return reason;
    if (inventory == NULL) {
        if (!index_reserve(&ledger->inventory_index) ||
            (inventory = store_add(&ledger->inventories, sizeof(*inventory))) == NULL)
            return out_of_memory(ledger);
        index_add(&ledger->inventory_index, hash_of_number(inventory_id),
                  ledger->inventories.count - 1);
    }
    changes_at_start(ledger, inventory);
    memcpy(inventory->record, record, RECORD_BYTES);
    inventory->changes++;
    return NULL;
}

static const char *check_reservation_fields(struct hf_ledger *ledger, const uint8_t *record)
{
    uint32_t qty = hf_get_u32(record + RESERVATION_QTY);
    if (!zeros(record, 10, RESERVATION_QTY) || !zeros(record, 64, RESERVATION_SEQUENCE) ||
        !zeros(record, 80, RECORD_BYTES))
        return fault(ledger, "a reservation record has reserved bytes that are not zero");
    if (record[AT_STATE] != STATE_CONFIRMED && record[AT_STATE] != STATE_CANCELLED)
        return fault(ledger, "a reservation has state %u, which is unknown", record[AT_STATE]);
    if (zeros(record, RESERVATION_ID, RESERVATION_ID + ID_BYTES))
        return fault(ledger, "a reservation has id zero");
    if (qty == 0 || qty > MAX_UNITS)
        return fault(ledger, "a reservation has qty %" PRIu32, qty);
    if (hf_get_u64(record + RESERVATION_CHANGED_AT) < hf_get_u64(record + RESERVATION_MADE_AT))
        return fault(ledger, "a reservation was changed before it was made");
    return NULL;
}

/* A reservation that was not there: a grant. */
static const char *enter_grant(struct hf_ledger *ledger, const uint8_t *record, uint32_t hash,
                               struct inventory *inventory, uint32_t inventory_number)
{
    uint32_t qty = hf_get_u32(record + RESERVATION_QTY);
    uint32_t sequence = hf_get_u32(record + RESERVATION_SEQUENCE);
    if (record[AT_STATE] != STATE_CONFIRMED)
        return fault(ledger, "a reservation that was never granted is CANCELLED");
    if (sequence != 1)
        return fault(ledger, "a new reservation has sequence %" PRIu32 ", expected 1", sequence);
    uint32_t sell_limit = hf_get_u32(inventory->record + INVENTORY_SELL_LIMIT);
    if (inventory->confirmed + qty > sell_limit)
        return fault(
            ledger,
            "NO-OVERSELL is broken: inventory %" PRIu64 " has %" PRIu64
            " units confirmed and a sell limit of %" PRIu32 ", and %" PRIu32 " more are granted",
            hf_get_u64(inventory->record + INVENTORY_ID), inventory->confirmed, sell_limit, qty);
    const char *reason = check_version(ledger, inventory, inventory_number,
                                       hf_get_u32(record + RESERVATION_VERSION));
    if (reason != NULL)
        return reason;

    struct reservation *reservation;
    if (!index_reserve(&ledger->reservation_index) ||
        (reservation = store_add(&ledger->reservations, sizeof(*reservation))) == NULL)
        return out_of_memory(ledger);
    index_add(&ledger->reservation_index, hash, ledger->reservations.count - 1);
    *reservation = (struct reservation){
        .customer_id = hf_get_u64(record + RESERVATION_CUSTOMER_ID),
        .made_at_ns = hf_get_u64(record + RESERVATION_MADE_AT),
        .changed_at_ns = hf_get_u64(record + RESERVATION_CHANGED_AT),
        .hash = reservation_hash(record),
        .inventory = inventory_number,
        .qty = qty,
        .sequence = sequence,
        .state = STATE_CONFIRMED,
    };
    memcpy(reservation->id, record + RESERVATION_ID, ID_BYTES);
    ledger->reservations_hash += reservation->hash;
    ledger->confirmed++;
    inventory->confirmed += qty;
    inventory->changes++;
    return NULL;
}

static const char *check_cancel(struct hf_ledger *ledger, const struct reservation *reservation,
                                const uint8_t *record, uint32_t inventory_number)
{
    uint32_t sequence = hf_get_u32(record + RESERVATION_SEQUENCE);
    if (reservation->state == STATE_CANCELLED)
        return fault(ledger, "RESOLVES-ONCE is broken: a CANCELLED reservation changes, its units "
                             "were given back already");
    if (record[AT_STATE] != STATE_CANCELLED)
        return fault(ledger, "a CONFIRMED reservation is granted once more");
    if (sequence != reservation->sequence + 1)
        return fault(ledger, "a reservation has sequence %" PRIu32 ", expected %" PRIu32, sequence,
                     reservation->sequence + 1);
    if (inventory_number != reservation->inventory)
        return fault(ledger, "a reservation changed its inventory");
    if (hf_get_u64(record + RESERVATION_CUSTOMER_ID) != reservation->customer_id)
        return fault(ledger, "a reservation changed its customer");
    if (hf_get_u32(record + RESERVATION_QTY) != reservation->qty)
        return fault(ledger, "a reservation changed its qty from %" PRIu32 " to %" PRIu32,
                     reservation->qty, hf_get_u32(record + RESERVATION_QTY));
    if (hf_get_u64(record + RESERVATION_MADE_AT) != reservation->made_at_ns)
        return fault(ledger, "a reservation changed its date of making");
    if (hf_get_u64(record + RESERVATION_CHANGED_AT) < reservation->changed_at_ns)
        return fault(ledger, "a reservation changed before its last change");
    if (hf_get_u32(record + RESERVATION_VERSION) != 0)
        return fault(ledger, "a cancellation, which claims nothing, has an inventory version");
    return NULL;
}

static const char *enter_reservation(struct hf_ledger *ledger, const uint8_t *record)
{
    const char *reason = check_reservation_fields(ledger, record);
    if (reason != NULL)
        return reason;
    uint64_t inventory_id = hf_get_u64(record + RESERVATION_INVENTORY_ID);
    uint32_t number;
    struct inventory *inventory = find_inventory(ledger, inventory_id, &number);
    if (inventory == NULL)
        return fault(ledger, "inventory %" PRIu64 " of a reservation was never made", inventory_id);
    uint32_t hash = hash_of_id(record + RESERVATION_ID);
    struct reservation *reservation = find_reservation(ledger, record + RESERVATION_ID, hash);
    if (reservation == NULL)
        return enter_grant(ledger, record, hash, inventory, number);
    reason = check_cancel(ledger, reservation, record, number);
    if (reason != NULL)
        return reason;

    changes_at_start(ledger, inventory);
    ledger->reservations_hash -= reservation->hash;
    reservation->hash = reservation_hash(record);
    ledger->reservations_hash += reservation->hash;
    reservation->state = STATE_CANCELLED;
    reservation->sequence++;
    reservation->changed_at_ns = hf_get_u64(record + RESERVATION_CHANGED_AT);
    ledger->confirmed--;
    inventory->confirmed -= reservation->qty;
    inventory->changes++;
    return NULL;
}

const char *hf_ledger_enter(struct hf_ledger *ledger, const uint8_t *record)
{
    uint64_t lsn = hf_get_u64(record + AT_LSN);
    if (lsn != ledger->records + 1)
        return fault(ledger, "the record has LSN %" PRIu64 ", expected %" PRIu64, lsn,
                     ledger->records + 1);
    const char *reason;
    switch (record[AT_KIND]) {
    case KIND_INVENTORY:
        reason = enter_inventory(ledger, record);
        break;
    case KIND_RESERVATION:
        reason = enter_reservation(ledger, record);
        break;
    default:
        return fault(ledger, "the record is of kind %u, which is unknown", record[AT_KIND]);
    }
    if (reason == NULL)
        ledger->records++;
    return reason;
}

void hf_ledger_prefetch(const struct hf_ledger *ledger, const uint8_t *record)
{
    const struct index *index = &ledger->reservation_index;
    if (index->slots != NULL)
        __builtin_prefetch(&index->slots[hash_of_id(record + RESERVATION_ID) & index->mask]);
}

/* ---- the rest --------------------------------------------------------------------------- */

void hf_ledger_start(struct hf_ledger *ledger)
{
    ledger->run++;
    if (ledger->versions.slots != NULL)
        memset(ledger->versions.slots, 0,
               (ledger->versions.mask + 1) * sizeof(struct version_slot));
    ledger->versions.count = 0;
}

void hf_ledger_totals(const struct hf_ledger *ledger, struct hf_ledger_totals *totals)
{
    *totals = (struct hf_ledger_totals){
        .records = ledger->records,
        .inventories = ledger->inventories.count,
        .reservations = ledger->reservations.count,
        .confirmed = ledger->confirmed,
        .cancelled = ledger->reservations.count - ledger->confirmed,
        .last_lsn = ledger->records,
    };
}

struct hf_ledger *hf_ledger_open(void)
{
    return calloc(1, sizeof(struct hf_ledger));
}

void hf_ledger_close(struct hf_ledger *ledger)
{
    if (ledger == NULL)
        return;
    store_free(&ledger->reservations);
    store_free(&ledger->inventories);
    free(ledger->reservation_index.slots);
    free(ledger->inventory_index.slots);
    free(ledger->versions.slots);
    free(ledger);
}
