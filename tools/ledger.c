/*
 * The ledger; what it proves is told in ledger.h.
 *
 * A record is entered in two steps. First it is applied: the change itself is judged by the table of
 * states, against the newest record of its reservation. Then, when all records of its chain are
 * applied, what they take together is judged: units against the sell limit, settings, waiting list
 * and versions. A record that is no chain's is a chain of one.
 *
 * Versions are 31 bits in the log. Here they are counted on without end: a version stands for the
 * number nearest to the newest that ends in these 31 bits.
 *
 * Which settings a claim was decided under is told by versions: what an inventory's record forbids
 * is in force for every claim with a newer version than the record's. A claim with an older one may
 * come behind it in the log all the same, if both were decided at the same time; it was decided
 * under what was in force before.
 */
#include "tools/ledger.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ledger_image.h"
#include "tools/ledger_index.h"
#include "tools/ledger_map.h"
#include "tools/ledger_moves.h"

#define VERSION_BITS  31
#define VERSION_MASK  ((1u << VERSION_BITS) - 1)
#define VERSION_JUMP  (1 << 20) /* from the versions of a run to those of the next */
#define FIRST_LOWERED 4

/* A record that lowered the sell limit. */
struct lowering {
    int64_t version;
    uint32_t limit_before;
};

struct inventory {
    uint8_t record[HF_LEDGER_RECORD_BYTES]; /* its newest */
    struct hf_ledger_inventory_image rules; /* the same */
    int64_t rules_version;
    uint64_t units; /* held and confirmed */

    int64_t newest_version;   /* that a record of it carries */
    int64_t oldest_version;   /* a claim of this run may have: all are newer */
    uint64_t run;             /* for which the above was made up */
    int64_t sold_out_version; /* of the newest claim that took the last unit */
    int64_t outside_version;  /* of the newest claim that was no offer */
    bool sold_out, outside;   /* there was one */
    bool closed;              /* by selling out, with closed_version */
    int64_t closed_version;
    int64_t skip_version; /* offers up to this one may have been made with SKIP */

    struct lowering *lowerings; /* of this run, the oldest first */
    uint32_t lowering_count, lowering_room;

    uint32_t first_waiting, last_waiting; /* number + 1; 0: nobody */
};

/* A record that was applied, and what is still to be judged of it. */
struct entered {
    struct hf_ledger_reservation_image image;
    uint32_t inventory;
    int64_t units; /* that it took; negative: gave */
    int64_t customer_units;
    bool is_new;
};

/* What the records of one chain do together to one inventory. */
struct touched {
    uint32_t inventory;
    int64_t units;   /* that they take, or (negative) give, together */
    bool claims;     /* one of them takes units */
    bool outside;    /* and is no offer */
    bool sold_out;   /* and says that it took the last */
    int64_t version; /* of that claim */
};

struct hf_ledger {
    struct hf_store reservations, inventories;
    struct hf_index reservation_index, inventory_index;
    struct hf_map versions;  /* that claims of this run produced: see add_version() */
    struct hf_map customers; /* units, held and confirmed, by customer id */
    bool counts_customers;   /* there is an inventory with a limit per customer */
    bool modern;             /* there is a record that version 0.1.0 could not write */
    bool started_modern;     /* this run began behind one */
    uint64_t run;            /* starts so far */
    uint64_t newest_ns;      /* date */
    uint64_t by_state[HF_LEDGER_STATES];
    struct hf_ledger_totals totals;

    uint8_t chain[HF_LEDGER_CHAIN_MAX * HF_LEDGER_RECORD_BYTES]; /* that is not complete yet */
    uint32_t chain_count, chain_length;
    struct entered entered[HF_LEDGER_CHAIN_MAX];
    struct touched touched[HF_LEDGER_CHAIN_MAX];
    uint32_t entered_count, touched_count;

    uint32_t prefetched[4]; /* hashes of ids whose slots were prefetched */
    uint32_t prefetch_count;
    char reason[HF_LEDGER_REASON_BYTES];
};

#define fault(ledger, ...) hf_ledger_reason((ledger)->reason, __VA_ARGS__)

static const char *out_of_memory(struct hf_ledger *ledger)
{
    return fault(ledger, "not enough memory to go on; nothing is said about this record");
}

/* ---- finding ---------------------------------------------------------------------------- */

static struct hf_ledger_reservation *reservation_of(const struct hf_ledger *ledger, uint32_t number)
{
    return hf_store_item(&ledger->reservations, number, sizeof(struct hf_ledger_reservation));
}

static struct inventory *inventory_of(const struct hf_ledger *ledger, uint32_t number)
{
    return hf_store_item(&ledger->inventories, number, sizeof(struct inventory));
}

/* NULL: unknown. */
static struct hf_ledger_reservation *
find_reservation(const struct hf_ledger *ledger, const uint8_t *id, uint32_t hash, uint32_t *number)
{
    uint64_t at = hash;
    while (hf_index_next(&ledger->reservation_index, hash, &at, number)) {
        struct hf_ledger_reservation *reservation = reservation_of(ledger, *number);
        if (memcmp(reservation->id, id, HF_LEDGER_ID_BYTES) == 0)
            return reservation;
    }
    return NULL;
}

/* NULL: unknown. */
static struct inventory *find_inventory(const struct hf_ledger *ledger, uint64_t inventory_id,
                                        uint32_t *number)
{
    uint32_t hash = hf_hash_of_number(inventory_id);
    uint64_t at = hash;
    while (hf_index_next(&ledger->inventory_index, hash, &at, number)) {
        struct inventory *inventory = inventory_of(ledger, *number);
        if (inventory->rules.inventory_id == inventory_id)
            return inventory;
    }
    return NULL;
}

/* ---- versions --------------------------------------------------------------------------- */

/* The number that a version in the log stands for. */
static int64_t counted_on(const struct inventory *inventory, uint32_t version)
{
    uint32_t ahead = (version - (uint32_t)inventory->newest_version) & VERSION_MASK;
    int64_t distance = ahead <= VERSION_MASK / 2 ? ahead : (int64_t)ahead - VERSION_MASK - 1;
    return inventory->newest_version + distance;
}

/* Before anything of the inventory is entered: what this run may not do to it. */
static void begin_run(const struct hf_ledger *ledger, struct inventory *inventory)
{
    if (inventory->run == ledger->run)
        return;
    inventory->run = ledger->run;
    inventory->lowering_count = 0; /* they excuse no claim of this run */
    if (ledger->started_modern)
        inventory->oldest_version = inventory->newest_version + VERSION_JUMP - 1;
}

static void note_version(struct inventory *inventory, int64_t version)
{
    if (version > inventory->newest_version)
        inventory->newest_version = version;
}

/* Of a record that is no claim; 0: it does not tell one, as in version 0.1.0. */
static void note_carried_version(struct inventory *inventory, uint32_t version)
{
    if (version != 0)
        note_version(inventory, counted_on(inventory, version));
}

/* 64 neighbours share a value, one bit each. After hf_map_reserve(). False: a claim had it before. */
static bool add_version(struct hf_map *versions, uint32_t inventory, uint64_t version)
{
    uint64_t bit = 1ull << (version & 63);
    uint64_t *bits = hf_map_value(versions, inventory, version >> 6);
    if ((*bits & bit) != 0)
        return false;
    *bits |= bit;
    return true;
}

static const char *judge_version(struct hf_ledger *ledger, struct inventory *inventory,
                                 const struct touched *touched)
{
    uint64_t inventory_id = inventory->rules.inventory_id;
    uint32_t version = (uint32_t)touched->version & VERSION_MASK;
    if (touched->version <= inventory->oldest_version)
        return fault(ledger,
                     "a claim has version %" PRIu32 ", but inventory %" PRIu64
                     " started with version %" PRIu32,
                     version, inventory_id, (uint32_t)inventory->oldest_version & VERSION_MASK);
    if (!hf_map_reserve(&ledger->versions))
        return out_of_memory(ledger);
    if (!add_version(&ledger->versions, touched->inventory, (uint64_t)touched->version))
        return fault(ledger, "version %" PRIu32 " of inventory %" PRIu64 " stands for two claims",
                     version, inventory_id);
    note_version(inventory, touched->version);
    return NULL;
}

/* ---- sell limit, settings --------------------------------------------------------------- */

/* True if the claim was decided before a lowering, and is within the limit before that. */
static bool precedes_lowering(const struct inventory *inventory, int64_t version)
{
    for (uint32_t i = inventory->lowering_count; i > 0; i--) {
        const struct lowering *lowering = &inventory->lowerings[i - 1];
        if (lowering->version < version)
            return false; /* and so are those before it */
        if (inventory->units <= lowering->limit_before)
            return true;
    }
    return false;
}

static const char *judge_units(struct hf_ledger *ledger, const struct inventory *inventory,
                               const struct touched *touched)
{
    uint32_t sell_limit = inventory->rules.sell_limit;
    if (inventory->units <= sell_limit || precedes_lowering(inventory, touched->version))
        return NULL;
    uint64_t before = inventory->units - (uint64_t)touched->units;
    return fault(ledger,
                 "NO-OVERSELL is broken: inventory %" PRIu64 " has %" PRIu64
                 " units held and confirmed and a sell limit of %" PRIu32 "%s, and %" PRId64
                 " more are taken",
                 inventory->rules.inventory_id, before, sell_limit,
                 before > sell_limit ? " (a deficit)" : "", touched->units);
}

/* The settings of an inventory as they are after its newest record. */
static void close_if_sold_out(struct inventory *inventory)
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

static const char *judge_sold_out(struct hf_ledger *ledger, struct inventory *inventory,
                                  const struct touched *touched)
{
    if (touched->outside &&
        (!inventory->outside || touched->version > inventory->outside_version)) {
        inventory->outside = true;
        inventory->outside_version = touched->version;
    }
    if (touched->sold_out &&
        (!inventory->sold_out || touched->version > inventory->sold_out_version)) {
        inventory->sold_out = true;
        inventory->sold_out_version = touched->version;
        close_if_sold_out(inventory);
    }
    if (inventory->closed && inventory->outside &&
        inventory->outside_version > inventory->closed_version)
        return fault(ledger,
                     "inventory %" PRIu64 " was closed by selling out, at version %" PRIu32
                     ", and a claim with version %" PRIu32 " took units",
                     inventory->rules.inventory_id,
                     (uint32_t)inventory->closed_version & VERSION_MASK,
                     (uint32_t)inventory->outside_version & VERSION_MASK);
    return NULL;
}

static const char *judge_waiting_list(struct hf_ledger *ledger, const struct inventory *inventory,
                                      const struct touched *touched)
{
    if (!touched->outside || inventory->first_waiting == 0)
        return NULL;
    const struct hf_ledger_reservation *first =
        reservation_of(ledger, inventory->first_waiting - 1);
    if (touched->version <= first->joined)
        return NULL;
    return fault(ledger,
                 "a claim took units of inventory %" PRIu64 " that a waiting list stands before",
                 inventory->rules.inventory_id);
}

/* A claim of one reservation against the settings in force. */
static const char *judge_rules(struct hf_ledger *ledger, const struct inventory *inventory,
                               const struct entered *entered)
{
    const struct hf_ledger_inventory_image *rules = &inventory->rules;
    const struct hf_ledger_reservation_image *image = &entered->image;
    const char *what = NULL;
    if ((rules->flags & LEDGER_PAUSED) != 0)
        what = "when its sales were paused";
    else if ((rules->flags & LEDGER_CLOSED) != 0)
        what = "when its sales were closed";
    else if (image->qty < rules->min_qty)
        what = "that are fewer than one claim may have";
    else if (rules->max_qty != 0 && image->qty > rules->max_qty)
        what = "that are more than one claim may have";
    else if (entered->is_new && image->made_at_ns < rules->opens_at_ns)
        what = "before its sales opened";
    else if (entered->is_new && rules->closes_at_ns != 0 &&
             image->made_at_ns >= rules->closes_at_ns)
        what = "after its sales closed";
    else if (entered->is_new && image->state == LEDGER_HELD && rules->longest_hold_ns != 0 &&
             image->deadline_ns - image->made_at_ns > rules->longest_hold_ns)
        what = "for longer than a hold may last";
    if (what == NULL)
        return NULL;
    return fault(ledger, "a claim took units of inventory %" PRIu64 " %s", rules->inventory_id,
                 what);
}

/* ---- customers -------------------------------------------------------------------------- */

static bool count_customer(struct hf_ledger *ledger, uint32_t inventory, uint64_t customer_id,
                           int64_t units, uint64_t *now)
{
    if (!hf_map_reserve(&ledger->customers))
        return false;
    uint64_t *has = hf_map_value(&ledger->customers, inventory, customer_id);
    *has += (uint64_t)units;
    *now = *has;
    return true;
}

/* The first inventory with a limit per customer: from here on units are counted by customer. */
static bool begin_counting(struct hf_ledger *ledger)
{
    ledger->counts_customers = true;
    for (uint32_t number = 0; number < ledger->reservations.count; number++) {
        const struct hf_ledger_reservation *reservation = reservation_of(ledger, number);
        uint64_t now;
        if (hf_ledger_is_active(reservation->state) &&
            !count_customer(ledger, reservation->inventory, reservation->customer_id,
                            reservation->qty, &now))
            return false;
    }
    return true;
}

/* The units of its customer after a record, which is not judged, as an override cannot be told. */
static bool judge_customer(struct hf_ledger *ledger, const struct entered *entered)
{
    uint64_t now;
    if (!ledger->counts_customers || entered->customer_units <= 0)
        return true;
    if (!count_customer(ledger, entered->inventory, entered->image.customer_id, 0, &now))
        return false;
    uint32_t limit = inventory_of(ledger, entered->inventory)->rules.customer_limit;
    ledger->totals.above_customer_limit += limit != 0 && now > limit;
    return true;
}

/* ---- inventories ------------------------------------------------------------------------ */

static const char *check_inventory_step(struct hf_ledger *ledger,
                                        const struct hf_ledger_inventory_image *last,
                                        const struct hf_ledger_inventory_image *image)
{
    uint32_t expected = last == NULL ? 1 : last->sequence + 1;
    if (image->sequence != expected)
        return fault(ledger, "inventory %" PRIu64 " has sequence %" PRIu32 ", expected %" PRIu32,
                     image->inventory_id, image->sequence, expected);
    if (last == NULL)
        return NULL;
    if (last->product_id != image->product_id)
        return fault(ledger, "inventory %" PRIu64 " changed its product", image->inventory_id);
    if (last->made_at_ns != image->made_at_ns)
        return fault(ledger, "inventory %" PRIu64 " changed its date of making",
                     image->inventory_id);
    if (last->changed_at_ns > image->changed_at_ns)
        return fault(ledger, "inventory %" PRIu64 " changed before its last change",
                     image->inventory_id);
    return NULL;
}

static struct inventory *add_inventory(struct hf_ledger *ledger,
                                       const struct hf_ledger_inventory_image *image)
{
    if (!hf_index_reserve(&ledger->inventory_index))
        return NULL;
    struct inventory *inventory = hf_store_add(&ledger->inventories, sizeof *inventory);
    if (inventory == NULL)
        return NULL;
    hf_index_add(&ledger->inventory_index, hf_hash_of_number(image->inventory_id),
                 ledger->inventories.count - 1);
    inventory->run = ledger->run;
    inventory->newest_version = image->inventory_version & VERSION_MASK;
    inventory->oldest_version = inventory->newest_version;
    inventory->skip_version = INT64_MIN;
    return inventory;
}

static bool add_lowering(struct inventory *inventory, int64_t version)
{
    if (inventory->lowering_count == inventory->lowering_room) {
        uint32_t room =
            inventory->lowering_room == 0 ? FIRST_LOWERED : 2 * inventory->lowering_room;
        struct lowering *grown = realloc(inventory->lowerings, room * sizeof *grown);
        if (grown == NULL)
            return false;
        inventory->lowerings = grown;
        inventory->lowering_room = room;
    }
    inventory->lowerings[inventory->lowering_count++] =
        (struct lowering){version, inventory->rules.sell_limit};
    return true;
}

static const char *enter_inventory(struct hf_ledger *ledger, const uint8_t *record,
                                   const struct hf_ledger_inventory_image *image)
{
    uint32_t number;
    struct inventory *inventory = find_inventory(ledger, image->inventory_id, &number);
    bool is_new = inventory == NULL;
    const char *reason = check_inventory_step(ledger, is_new ? NULL : &inventory->rules, image);
    if (reason != NULL)
        return reason;
    if (is_new && (inventory = add_inventory(ledger, image)) == NULL)
        return out_of_memory(ledger);
    begin_run(ledger, inventory);
    int64_t version = counted_on(inventory, image->inventory_version);
    if (!is_new && image->sell_limit < inventory->rules.sell_limit &&
        !add_lowering(inventory, version))
        return out_of_memory(ledger);
    if ((inventory->rules.flags & LEDGER_SKIP) != 0)
        inventory->skip_version = version;
    note_carried_version(inventory, image->inventory_version);
    memcpy(inventory->record, record, HF_LEDGER_RECORD_BYTES);
    inventory->rules = *image;
    inventory->rules_version = version;
    close_if_sold_out(inventory);
    if (image->changed_at_ns > ledger->newest_ns)
        ledger->newest_ns = image->changed_at_ns;
    if (image->customer_limit != 0 && !ledger->counts_customers && !begin_counting(ledger))
        return out_of_memory(ledger);
    return NULL;
}

/* ---- the waiting list ------------------------------------------------------------------- */

static void join_list(const struct hf_ledger *ledger, struct inventory *inventory,
                      struct hf_ledger_reservation *reservation, uint32_t number)
{
    reservation->before = inventory->last_waiting;
    reservation->behind = 0;
    if (reservation->before == 0)
        inventory->first_waiting = number + 1;
    else
        reservation_of(ledger, reservation->before - 1)->behind = number + 1;
    inventory->last_waiting = number + 1;
}

static void leave_list(const struct hf_ledger *ledger, struct inventory *inventory,
                       const struct hf_ledger_reservation *reservation)
{
    if (reservation->before == 0)
        inventory->first_waiting = reservation->behind;
    else
        reservation_of(ledger, reservation->before - 1)->behind = reservation->behind;
    if (reservation->behind == 0)
        inventory->last_waiting = reservation->before;
    else
        reservation_of(ledger, reservation->behind - 1)->before = reservation->before;
}

static const char *check_offer(struct hf_ledger *ledger, const struct inventory *inventory,
                               const struct hf_ledger_reservation *reservation, int64_t version)
{
    if ((inventory->rules.flags & LEDGER_SKIP) != 0 || version <= inventory->skip_version ||
        reservation->before == 0)
        return NULL;
    return fault(ledger, "an offer of inventory %" PRIu64 " passes the head of its waiting list",
                 inventory->rules.inventory_id);
}

/* ---- applying --------------------------------------------------------------------------- */

static struct touched *touch(struct hf_ledger *ledger, uint32_t inventory)
{
    for (uint32_t i = 0; i < ledger->touched_count; i++) {
        if (ledger->touched[i].inventory == inventory)
            return &ledger->touched[i];
    }
    struct touched *touched = &ledger->touched[ledger->touched_count++];
    *touched = (struct touched){.inventory = inventory};
    return touched;
}

/* Units, of the inventory and of the customers. */
static bool move_units(struct hf_ledger *ledger, const struct hf_ledger_reservation *last,
                       struct entered *entered, struct inventory *inventory)
{
    const struct hf_ledger_reservation_image *image = &entered->image;
    int64_t had = !entered->is_new && hf_ledger_is_active(last->state) ? last->qty : 0;
    int64_t has = hf_ledger_is_active(image->state) ? image->qty : 0;
    entered->units = has - had;
    entered->customer_units = entered->units;
    inventory->units += (uint64_t)entered->units;
    if (!entered->is_new && last->customer_id != image->customer_id)
        entered->customer_units = has;
    if (!ledger->counts_customers)
        return true;
    uint64_t now;
    return (had == 0 ||
            count_customer(ledger, entered->inventory, last->customer_id, -had, &now)) &&
           (has == 0 || count_customer(ledger, entered->inventory, image->customer_id, has, &now));
}

static void note_touched(struct hf_ledger *ledger, struct inventory *inventory,
                         const struct entered *entered)
{
    const struct hf_ledger_reservation_image *image = &entered->image;
    struct touched *touched = touch(ledger, entered->inventory);
    touched->units += entered->units;
    if (entered->units <= 0) {
        note_carried_version(inventory, image->inventory_version);
        return;
    }
    int64_t version = counted_on(inventory, image->inventory_version);
    if (!touched->claims || version > touched->version)
        touched->version = version;
    touched->claims = true;
    touched->outside |= image->reason != LEDGER_OFFER;
    touched->sold_out |= image->flags != 0;
}

static void store_change(struct hf_ledger *ledger, const uint8_t *record,
                         const struct entered *entered, struct inventory *inventory,
                         struct hf_ledger_reservation *reservation)
{
    const struct hf_ledger_reservation_image *image = &entered->image;
    reservation->customer_id = image->customer_id;
    reservation->made_at_ns = image->made_at_ns;
    reservation->changed_at_ns = image->changed_at_ns;
    reservation->deadline_ns = image->deadline_ns;
    reservation->hash = hf_ledger_reservation_hash(record);
    reservation->inventory = entered->inventory;
    reservation->qty = image->qty;
    reservation->sequence = image->sequence;
    reservation->state = image->state;
    reservation->made_as = image->made_as;
    if (image->state == LEDGER_WAITING)
        reservation->joined = counted_on(inventory, image->inventory_version);
    ledger->by_state[image->state]++;
    ledger->totals.offers += image->reason == LEDGER_OFFER;
    ledger->totals.expiries += image->reason == LEDGER_DEADLINE;
    if (image->changed_at_ns > ledger->newest_ns)
        ledger->newest_ns = image->changed_at_ns;
}

static struct hf_ledger_reservation *add_reservation(struct hf_ledger *ledger, const uint8_t *id,
                                                     uint32_t hash, uint32_t *number)
{
    if (!hf_index_reserve(&ledger->reservation_index))
        return NULL;
    struct hf_ledger_reservation *reservation =
        hf_store_add(&ledger->reservations, sizeof *reservation);
    if (reservation == NULL)
        return NULL;
    *number = ledger->reservations.count - 1;
    hf_index_add(&ledger->reservation_index, hash, *number);
    memcpy(reservation->id, id, HF_LEDGER_ID_BYTES);
    return reservation;
}

static const char *apply(struct hf_ledger *ledger, const uint8_t *record,
                         const struct hf_ledger_reservation_image *image)
{
    struct entered *entered = &ledger->entered[ledger->entered_count++];
    *entered = (struct entered){.image = *image};
    struct inventory *inventory = find_inventory(ledger, image->inventory_id, &entered->inventory);
    if (inventory == NULL)
        return fault(ledger, "inventory %" PRIu64 " of a reservation was never made",
                     image->inventory_id);
    begin_run(ledger, inventory);
    uint32_t hash = hf_hash_of_id(image->id), number;
    struct hf_ledger_reservation *reservation = find_reservation(ledger, image->id, hash, &number);
    entered->is_new = reservation == NULL || hf_ledger_is_reused(reservation, image);
    const char *reason =
        entered->is_new
            ? hf_ledger_check_making(image, ledger->reason)
            : hf_ledger_check_change(reservation, image, entered->inventory, ledger->reason);
    if (reason != NULL)
        return reason;
    if (reservation == NULL) {
        if ((reservation = add_reservation(ledger, image->id, hash, &number)) == NULL)
            return out_of_memory(ledger);
    } else {
        ledger->totals.reused += entered->is_new;
        ledger->by_state[reservation->state]--;
        if (image->reason == LEDGER_OFFER &&
            (reason = check_offer(ledger, inventory, reservation,
                                  counted_on(inventory, image->inventory_version))) != NULL)
            return reason;
        if (reservation->state == LEDGER_WAITING)
            leave_list(ledger, inventory, reservation);
    }
    if (!move_units(ledger, reservation, entered, inventory))
        return out_of_memory(ledger);
    note_touched(ledger, inventory, entered);
    store_change(ledger, record, entered, inventory, reservation);
    if (image->state == LEDGER_WAITING)
        join_list(ledger, inventory, reservation, number);
    return NULL;
}

/* ---- judging ---------------------------------------------------------------------------- */

/* A claim, of all records of a chain that concern one inventory. */
static const char *judge_claim(struct hf_ledger *ledger, const struct touched *touched)
{
    struct inventory *inventory = inventory_of(ledger, touched->inventory);
    if (!touched->claims)
        return NULL;
    if (touched->units <= 0) { /* what they take comes from what they give */
        note_version(inventory, touched->version);
        return NULL;
    }
    const char *reason = judge_units(ledger, inventory, touched);
    if (reason == NULL)
        reason = judge_waiting_list(ledger, inventory, touched);
    if (reason == NULL)
        reason = judge_sold_out(ledger, inventory, touched);
    return reason != NULL ? reason : judge_version(ledger, inventory, touched);
}

/* What is made from a lapsed hold is the customer's whose hold that was, and no more. */
static const char *judge_link(struct hf_ledger *ledger, const struct entered *entered)
{
    const struct hf_ledger_reservation_image *image = &entered->image;
    if (!entered->is_new || image->linked_id == NULL)
        return NULL;
    uint32_t number;
    const struct hf_ledger_reservation *lapsed =
        find_reservation(ledger, image->linked_id, hf_hash_of_id(image->linked_id), &number);
    if (lapsed == NULL || lapsed->state != LEDGER_EXPIRED)
        return fault(ledger, "a reservation is linked to one that is not EXPIRED");
    if (lapsed->inventory != entered->inventory || lapsed->customer_id != image->customer_id ||
        image->qty > lapsed->qty)
        return fault(ledger, "a reservation is linked to one of another inventory or customer, or "
                             "of fewer units");
    return NULL;
}

static const char *judge_entered(struct hf_ledger *ledger, const struct entered *entered)
{
    if (entered->units > 0 && entered->image.reason == LEDGER_REQUEST) {
        const struct inventory *inventory = inventory_of(ledger, entered->inventory);
        const struct touched *touched = touch(ledger, entered->inventory);
        const char *reason = NULL;
        if (touched->units > 0 && touched->version > inventory->rules_version)
            reason = judge_rules(ledger, inventory, entered);
        if (reason != NULL)
            return reason;
    }
    if (!judge_customer(ledger, entered))
        return out_of_memory(ledger);
    return judge_link(ledger, entered);
}

/* Puts before the reason which record of the chain it is about. */
static const char *in_chain(struct hf_ledger *ledger, uint32_t index, uint32_t count)
{
    char text[HF_LEDGER_REASON_BYTES];
    if (count == 1)
        return ledger->reason;
    memcpy(text, ledger->reason, sizeof text);
    return fault(ledger, "record %" PRIu32 " of %" PRIu32 " of a chain: %.250s", index + 1, count,
                 text);
}

/* All records of a change, at once. */
static const char *enter_reservations(struct hf_ledger *ledger, const uint8_t *records,
                                      uint32_t count)
{
    ledger->entered_count = 0;
    ledger->touched_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *record = records + (size_t)i * HF_LEDGER_RECORD_BYTES;
        struct hf_ledger_image image;
        if (hf_ledger_image_read(record, &image, ledger->reason) != NULL ||
            apply(ledger, record, &image.reservation) != NULL)
            return in_chain(ledger, i, count);
    }
    for (uint32_t i = 0; i < ledger->touched_count; i++) {
        if (judge_claim(ledger, &ledger->touched[i]) != NULL)
            return ledger->reason;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (judge_entered(ledger, &ledger->entered[i]) != NULL)
            return in_chain(ledger, i, count);
    }
    return NULL;
}

static const char *add_to_chain(struct hf_ledger *ledger, const uint8_t *record,
                                const struct hf_ledger_image *image)
{
    if (image->chain_index != ledger->chain_count)
        return fault(ledger, "a record has place %u in its chain, expected %" PRIu32,
                     image->chain_index, ledger->chain_count);
    memcpy(ledger->chain + (size_t)ledger->chain_count * HF_LEDGER_RECORD_BYTES, record,
           HF_LEDGER_RECORD_BYTES);
    ledger->chain_length = image->chain_length;
    if (++ledger->chain_count < ledger->chain_length)
        return NULL;
    ledger->chain_count = 0;
    ledger->totals.chains++;
    return enter_reservations(ledger, ledger->chain, ledger->chain_length);
}

static const char *enter_event(struct hf_ledger *ledger, const struct hf_ledger_event_image *image)
{
    uint32_t number;
    struct inventory *inventory = find_inventory(ledger, image->inventory_id, &number);
    if (inventory == NULL)
        return fault(ledger, "inventory %" PRIu64 " of an event was never made",
                     image->inventory_id);
    begin_run(ledger, inventory);
    note_carried_version(inventory, image->inventory_version);
    if (image->changed_at_ns > ledger->newest_ns)
        ledger->newest_ns = image->changed_at_ns;
    ledger->totals.events++;
    return NULL;
}

static const char *enter_image(struct hf_ledger *ledger, const uint8_t *record,
                               const struct hf_ledger_image *image)
{
    if (ledger->chain_count != 0 && image->chain_length != ledger->chain_length)
        return fault(ledger, "a chain of %" PRIu32 " records ends after %" PRIu32,
                     ledger->chain_length, ledger->chain_count);
    switch (image->kind) {
    case LEDGER_INVENTORY:
        return enter_inventory(ledger, record, &image->inventory);
    case LEDGER_EVENT:
        return enter_event(ledger, &image->event);
    default:
        return image->chain_length == 0 ? enter_reservations(ledger, record, 1)
                                        : add_to_chain(ledger, record, image);
    }
}

const char *hf_ledger_enter(struct hf_ledger *ledger, const uint8_t *record)
{
    struct hf_ledger_image image;
    const char *reason = hf_ledger_image_read(record, &image, ledger->reason);
    if (reason != NULL)
        return reason;
    if (image.lsn != ledger->totals.records + 1)
        return fault(ledger, "the record has LSN %" PRIu64 ", expected %" PRIu64, image.lsn,
                     ledger->totals.records + 1);
    if (!ledger->modern)
        ledger->modern = !hf_ledger_image_is_old(record);
    reason = enter_image(ledger, record, &image);
    if (reason == NULL)
        ledger->totals.records++;
    return reason;
}

const char *hf_ledger_end_block(struct hf_ledger *ledger)
{
    if (ledger->chain_count == 0)
        return NULL;
    return fault(ledger, "the block ends after %" PRIu32 " of the %" PRIu32 " records of a chain",
                 ledger->chain_count, ledger->chain_length);
}

/* The record's slot now; what the slot of an earlier one leads to, as that has come by now. */
void hf_ledger_prefetch(struct hf_ledger *ledger, const uint8_t *record)
{
    const struct hf_index *index = &ledger->reservation_index;
    if (index->slots == NULL)
        return;
    uint32_t *earlier = &ledger->prefetched[ledger->prefetch_count++ % 4];
    uint64_t slot = index->slots[*earlier & index->mask];
    if (slot >> 32 == *earlier && slot != 0)
        __builtin_prefetch(reservation_of(ledger, (uint32_t)slot - 1));
    *earlier = hf_hash_of_id(record + HF_LEDGER_AT_ID);
    __builtin_prefetch(&index->slots[*earlier & index->mask]);
}

/* ---- the rest --------------------------------------------------------------------------- */

void hf_ledger_start(struct hf_ledger *ledger)
{
    ledger->run++;
    ledger->started_modern = ledger->modern;
    hf_map_clear(&ledger->versions);
}

void hf_ledger_totals(const struct hf_ledger *ledger, struct hf_ledger_totals *totals)
{
    *totals = ledger->totals;
    totals->inventories = ledger->inventories.count;
    totals->reservations = ledger->reservations.count;
    totals->held = ledger->by_state[LEDGER_HELD];
    totals->confirmed = ledger->by_state[LEDGER_CONFIRMED];
    totals->cancelled = ledger->by_state[LEDGER_CANCELLED];
    totals->released = ledger->by_state[LEDGER_RELEASED];
    totals->expired = ledger->by_state[LEDGER_EXPIRED];
    totals->waiting = ledger->by_state[LEDGER_WAITING];
    totals->last_lsn = ledger->totals.records;
}

uint64_t hf_ledger_state_hash(const struct hf_ledger *ledger, uint64_t retain_ns,
                              uint64_t *retained)
{
    uint64_t sum = 0;
    *retained = 0;
    for (uint32_t number = 0; number < ledger->reservations.count; number++) {
        const struct hf_ledger_reservation *reservation = reservation_of(ledger, number);
        /* No date is newer than the newest. */
        if (hf_ledger_is_final(reservation->state) &&
            ledger->newest_ns - reservation->changed_at_ns >= retain_ns)
            continue;
        sum += reservation->hash;
        ++*retained;
    }
    for (uint32_t number = 0; number < ledger->inventories.count; number++) {
        const struct inventory *inventory = inventory_of(ledger, number);
        sum += hf_ledger_inventory_hash(inventory->record, (int64_t)inventory->rules.sell_limit -
                                                               (int64_t)inventory->units);
    }
    return sum;
}

struct hf_ledger *hf_ledger_open(void)
{
    return calloc(1, sizeof(struct hf_ledger));
}

void hf_ledger_close(struct hf_ledger *ledger)
{
    if (ledger == NULL)
        return;
    for (uint32_t number = 0; number < ledger->inventories.count; number++)
        free(inventory_of(ledger, number)->lowerings);
    hf_store_free(&ledger->reservations);
    hf_store_free(&ledger->inventories);
    hf_index_free(&ledger->reservation_index);
    hf_index_free(&ledger->inventory_index);
    hf_map_free(&ledger->versions);
    hf_map_free(&ledger->customers);
    free(ledger);
}
