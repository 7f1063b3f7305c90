/* Bookings; see bookings.h. */
#include "tests/lib/bookings.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define RECENT         400 /* bookings that most requests are about */
#define CUSTOMERS      (HF_WITNESS_CUSTOMERS - 1)
#define FIRST_SETTABLE 9 /* inventories 9 .. 12: settings change under load */
#define LAST_SETTABLE  12
#define NO_BOOKING     UINT32_MAX

/* How an inventory begins. */
struct start {
    uint32_t capacity, sell_limit, customer_limit, waiting_limit, flags;
    uint64_t offer_ttl_ns;
};

#define LIST_ENTRIES 40

static const struct start starts[HF_BOOKING_INVENTORIES] = {
    /* A customer limit for ever: HF_WITNESS_LIMITED of them. The second has a list as well. */
    {60, 60, HF_WITNESS_CUSTOMER_LIMIT, 0, 0, 60 * HF_NS_PER_S},
    {30, 30, HF_WITNESS_CUSTOMER_LIMIT, LIST_ENTRIES, 0, 200 * HF_NS_PER_MS},
    /* Few units. */
    {8, 8, 0, 0, 0, 60 * HF_NS_PER_S},
    {20, 25, 0, 0, 0, 60 * HF_NS_PER_S},
    {40, 30, 0, 0, 0, 60 * HF_NS_PER_S},
    /* Waiting lists. */
    {6, 6, 0, LIST_ENTRIES, 0, 30 * HF_NS_PER_MS},
    {10, 10, 0, LIST_ENTRIES, HF_INVENTORY_SKIP, 100 * HF_NS_PER_MS},
    {12, 12, 0, LIST_ENTRIES, 0, 500 * HF_NS_PER_MS},
    {5, 5, 0, LIST_ENTRIES, HF_INVENTORY_SKIP, 60 * HF_NS_PER_S},
    /* Settings change: the last two with a list. */
    {50, 50, 0, 0, 0, 60 * HF_NS_PER_S},
    {30, 30, 0, 0, 0, 60 * HF_NS_PER_S},
    {20, 20, 0, LIST_ENTRIES, 0, 100 * HF_NS_PER_MS},
    {15, 15, 0, LIST_ENTRIES, 0, 1000 * HF_NS_PER_MS},
    /* Many units. */
    {3000, 3000, 0, 0, 0, 60 * HF_NS_PER_S},
    {3000, 3000, 0, 0, 0, 60 * HF_NS_PER_S},
};

/* splitmix64 */
static uint64_t random_u64(struct hf_bookings *bookings)
{
    uint64_t mixed = bookings->random += 0x9e3779b97f4a7c15ull;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
    return mixed ^ mixed >> 31;
}

static uint32_t random_below(struct hf_bookings *bookings, uint32_t bound)
{
    return (uint32_t)(random_u64(bookings) >> 32) % bound;
}

static uint32_t random_between(struct hf_bookings *bookings, uint32_t low, uint32_t high)
{
    return low + random_below(bookings, high - low + 1);
}

/* A random id of its own, so that a seed repeats the ids too. */
static struct hf_id random_id(struct hf_bookings *bookings)
{
    struct hf_id id;
    uint64_t halves[2] = {random_u64(bookings), random_u64(bookings) | 1};
    memcpy(id.bytes, halves, sizeof id.bytes);
    return id;
}

/* Around a cycle's length, so that some lapse under load, some in the crash, some long after. */
static uint64_t random_ttl_ns(struct hf_bookings *bookings)
{
    static const uint32_t longest_ms[] = {2, 20, 100, 300, 1000, 5000, 600000};
    uint32_t most_ms = longest_ms[random_below(bookings, 7)];
    return random_between(bookings, 1, most_ms) * HF_NS_PER_MS - random_below(bookings, 1000);
}

/* ---- the ids ---- */

static uint32_t *slot_of(const struct hf_bookings *bookings, const struct hf_id *id)
{
    uint64_t half;
    memcpy(&half, id->bytes + 8, sizeof half);
    for (uint32_t at = (uint32_t)(half >> 8);; at++) {
        uint32_t *slot = &bookings->slots[at & (bookings->slot_count - 1)];
        if (*slot == 0 || hf_id_equal(&bookings->bookings[*slot - 1].claim.id, id))
            return slot;
    }
}

static void grow(struct hf_bookings *bookings)
{
    bookings->room = bookings->room ? 2 * bookings->room : 4096;
    bookings->bookings = realloc(bookings->bookings, bookings->room * sizeof *bookings->bookings);
    free(bookings->slots);
    bookings->slot_count = 4 * bookings->room;
    bookings->slots = calloc(bookings->slot_count, sizeof *bookings->slots);
    HF_CHECK(bookings->bookings && bookings->slots);
    for (uint32_t i = 0; i < bookings->count; i++)
        *slot_of(bookings, &bookings->bookings[i].claim.id) = i + 1;
}

static struct hf_booking *add_booking(struct hf_bookings *bookings, const struct hf_line *claim)
{
    if (bookings->count == bookings->room)
        grow(bookings);
    HF_CHECK(bookings->bookings);
    struct hf_booking *booking = &bookings->bookings[bookings->count++];
    *booking = (struct hf_booking){.claim = *claim};
    *slot_of(bookings, &claim->id) = bookings->count;
    return booking;
}

static void learn(struct hf_bookings *bookings, const struct hf_reservation *told)
{
    uint32_t number = *slot_of(bookings, &told->id);
    struct hf_booking *booking = number ? &bookings->bookings[number - 1] : NULL;
    if (!booking) { /* CONFIRM made it, of a lapsed hold */
        const struct hf_line claim = {.operation = HF_OP_RESERVE,
                                      .qty = told->qty,
                                      .id = told->id,
                                      .inventory_id = told->inventory_id,
                                      .customer_id = told->customer_id};
        booking = add_booking(bookings, &claim);
    }
    if (told->lsn > booking->known.lsn)
        booking->known = *told;
}

void hf_bookings_open(struct hf_bookings *bookings, struct hf_witness *witness, uint64_t seed)
{
    *bookings = (struct hf_bookings){.witness = witness, .random = seed};
    grow(bookings);
}

void hf_bookings_close(struct hf_bookings *bookings)
{
    free(bookings->bookings);
    free(bookings->slots);
}

/* ---- inventories ---- */

struct hf_asking *hf_bookings_set_up(struct hf_bookings *bookings)
{
    uint32_t number = bookings->set_up / 2, step = bookings->set_up % 2;
    if (number == HF_BOOKING_INVENTORIES)
        return NULL;
    const struct start *start = &starts[number];
    struct hf_request request = {.operation = step ? HF_OP_INVENTORY_SET : HF_OP_INVENTORY_CREATE,
                                 .inventory_id = HF_WITNESS_FIRST_INVENTORY + number,
                                 .product_id = 7,
                                 .capacity = start->capacity};
    if (step)
        request.change = (struct hf_settings_change){
            .fields = HF_SET_SELL_LIMIT | HF_SET_CUSTOMER_LIMIT | HF_SET_WAITING_LIMIT |
                      HF_SET_FLAGS | HF_SET_OFFER_TTL,
            .flags_mask = HF_INVENTORY_SKIP,
            .settings = {.sell_limit = start->sell_limit,
                         .customer_limit = start->customer_limit,
                         .waiting_limit = start->waiting_limit,
                         .flags = start->flags,
                         .offer_ttl_ns = start->offer_ttl_ns}};
    bookings->set_up++;
    return hf_witness_ask_inventory(bookings->witness, &request);
}

/* One setting, up or down; now and then refused, being strict. */
static struct hf_asking *ask_set(struct hf_bookings *bookings)
{
    uint32_t number = random_between(bookings, FIRST_SETTABLE, LAST_SETTABLE);
    uint32_t capacity = starts[number].capacity;
    struct hf_request request = {.operation = HF_OP_INVENTORY_SET,
                                 .inventory_id = HF_WITNESS_FIRST_INVENTORY + number};
    struct hf_settings_change *change = &request.change;
    switch (random_below(bookings, 6)) {
    case 0:
        change->fields = HF_SET_CUSTOMER_LIMIT;
        change->settings.customer_limit = random_below(bookings, 5);
        break;
    case 1:
        change->fields = HF_SET_FLAGS;
        change->flags_mask = HF_INVENTORY_PAUSED;
        change->settings.flags = random_below(bookings, 3) ? 0 : HF_INVENTORY_PAUSED;
        break;
    case 2:
        change->fields = HF_SET_MAX_QTY;
        change->settings.max_qty = random_below(bookings, 4);
        break;
    default:
        change->fields = HF_SET_SELL_LIMIT;
        change->settings.sell_limit = random_between(bookings, capacity / 3, 3 * capacity / 2);
        request.flags = random_below(bookings, 3) ? 0 : HF_REQUEST_STRICT;
        break;
    }
    return hf_witness_ask_inventory(bookings->witness, &request);
}

/* ---- lines ---- */

static struct hf_line new_claim(struct hf_bookings *bookings)
{
    static const enum hf_operation operations[] = {HF_OP_RESERVE, HF_OP_HOLD, HF_OP_HOLD,
                                                   HF_OP_HOLD,    HF_OP_JOIN, HF_OP_JOIN};
    enum hf_operation operation = operations[random_below(bookings, 6)];
    uint32_t number = random_below(bookings, HF_BOOKING_INVENTORIES);
    while (operation == HF_OP_JOIN && starts[number].waiting_limit == 0)
        number = random_below(bookings, HF_BOOKING_INVENTORIES);
    return (struct hf_line){.operation = operation,
                            .id = random_id(bookings),
                            .inventory_id = HF_WITNESS_FIRST_INVENTORY + number,
                            .customer_id = random_between(bookings, 1, CUSTOMERS),
                            .qty = random_between(bookings, 1, 3),
                            .ttl_ns = operation == HF_OP_HOLD ? random_ttl_ns(bookings) : 0};
}

/* A change of a booking, mostly one that its last known state allows. */
static struct hf_line any_change(struct hf_bookings *bookings, const struct hf_booking *booking)
{
    static const enum hf_operation of_held[] = {HF_OP_CONFIRM, HF_OP_CONFIRM, HF_OP_CONFIRM,
                                                HF_OP_EXTEND,  HF_OP_CHANGE,  HF_OP_MOVE,
                                                HF_OP_RELEASE, HF_OP_CANCEL};
    static const enum hf_operation of_confirmed[] = {HF_OP_CANCEL, HF_OP_CANCEL, HF_OP_CANCEL,
                                                     HF_OP_CHANGE, HF_OP_MOVE,   HF_OP_CONFIRM,
                                                     HF_OP_CHANGE, HF_OP_LEAVE};
    static const enum hf_operation of_others[] = {HF_OP_LEAVE,   HF_OP_CANCEL, HF_OP_CONFIRM,
                                                  HF_OP_CONFIRM, HF_OP_CHANGE, HF_OP_RELEASE,
                                                  HF_OP_LEAVE,   HF_OP_MOVE};
    uint32_t dice = random_below(bookings, 8);
    struct hf_line line = {.id = booking->claim.id,
                           .operation = booking->known.state == HF_STATE_HELD ? of_held[dice]
                                        : booking->known.state == HF_STATE_CONFIRMED
                                            ? of_confirmed[dice]
                                            : of_others[dice]};
    switch (line.operation) {
    case HF_OP_CONFIRM:
        line.qty = random_below(bookings, 4) ? 0 : random_between(bookings, 1, 3);
        line.flags = random_below(bookings, 2) ? HF_REQUEST_REACQUIRE : 0;
        break;
    case HF_OP_EXTEND:
        line.ttl_ns = random_ttl_ns(bookings);
        break;
    case HF_OP_CHANGE:
        line.qty = random_below(bookings, 5);
        break;
    case HF_OP_MOVE:
        line.customer_id = random_between(bookings, 1, CUSTOMERS);
        break;
    default:
        break;
    }
    if (line.operation != HF_OP_CONFIRM && random_below(bookings, 2))
        line.expected = booking->known.sequence;
    return line;
}

/* One that was asked for lately, or ever. NULL: there is none. */
static struct hf_booking *any_booking(struct hf_bookings *bookings)
{
    uint32_t recent = bookings->count < RECENT ? bookings->count : RECENT;
    if (recent == 0)
        return NULL;
    return random_below(bookings, 5)
               ? &bookings->bookings[bookings->count - 1 - random_below(bookings, recent)]
               : &bookings->bookings[random_below(bookings, bookings->count)];
}

/* Of a few tries, the first that is not finished as far as is known. */
static struct hf_booking *any_active(struct hf_bookings *bookings)
{
    for (unsigned tries = 0; tries < 8; tries++) {
        struct hf_booking *booking = any_booking(bookings);
        if (booking && booking->known.sequence != 0 && !hf_state_is_final(booking->known.state))
            return booking;
    }
    return any_booking(bookings);
}

static struct hf_asking *ask_one(struct hf_bookings *bookings, const struct hf_line *line)
{
    return hf_witness_ask(bookings->witness, line, 1, false);
}

static struct hf_asking *ask_claim(struct hf_bookings *bookings)
{
    struct hf_line line = new_claim(bookings);
    add_booking(bookings, &line);
    return ask_one(bookings, &line);
}

/* A basket: two to eight claims; or a swap, with changes of others among them. */
static struct hf_asking *ask_batch(struct hf_bookings *bookings)
{
    struct hf_line lines[HF_WITNESS_LINES];
    uint32_t count = 0, wanted = random_between(bookings, 2, random_between(bookings, 2, 8));
    uint32_t changes = random_below(bookings, 2) ? random_below(bookings, wanted) : 0;
    while (count < wanted) {
        const struct hf_booking *booking = any_active(bookings);
        bool known = false;
        if (count < changes && booking) {
            lines[count] = any_change(bookings, booking);
            lines[count].flags = 0; /* what REACQUIRE makes might be a line's id */
        } else {
            lines[count] = new_claim(bookings);
            if (random_below(bookings, 3)) /* where there is room, or few baskets succeed */
                lines[count].inventory_id =
                    HF_WITNESS_FIRST_INVENTORY + random_between(bookings, 13, 14);
            if (lines[count].operation == HF_OP_JOIN)
                lines[count].operation = HF_OP_RESERVE;
            add_booking(bookings, &lines[count]);
        }
        for (uint32_t i = 0; i < count; i++)
            known |= hf_id_equal(&lines[i].id, &lines[count].id);
        if (known)
            changes = count; /* there are too few to choose from */
        else
            count++;
    }
    return hf_witness_ask(bookings->witness, lines, count, true);
}

struct hf_asking *hf_bookings_look_up(struct hf_bookings *bookings, uint32_t number)
{
    const struct hf_line line = {.operation = HF_OP_RESERVATION_GET,
                                 .id = bookings->bookings[number].claim.id};
    return ask_one(bookings, &line);
}

struct hf_asking *hf_bookings_ask(struct hf_bookings *bookings)
{
    uint32_t dice = random_below(bookings, 100);
    const struct hf_booking *booking = dice < 94 ? any_active(bookings) : any_booking(bookings);
    struct hf_line line;
    if (dice < 32 || !booking)
        return ask_claim(bookings);
    if (dice < 42)
        return ask_batch(bookings);
    if (dice < 46)
        return ask_set(bookings);
    if (dice < 50)
        return hf_bookings_look_up(bookings, (uint32_t)(booking - bookings->bookings));
    if (dice < 54) /* the same claim again */
        return ask_one(bookings, &booking->claim);
    line = any_change(bookings, booking);
    return ask_one(bookings, &line);
}

struct hf_asking *hf_bookings_resolve(struct hf_bookings *bookings, const struct hf_asking *unknown)
{
    if (unknown->line_count == 0)
        return hf_witness_ask_inventory(bookings->witness, &unknown->wire);
    if (random_below(bookings, 3) == 0) {
        const struct hf_line line = {
            .operation = HF_OP_RESERVATION_GET,
            .id = unknown->lines[random_below(bookings, unknown->line_count)].id};
        return ask_one(bookings, &line);
    }
    return hf_witness_ask(bookings->witness, unknown->lines, unknown->line_count,
                          unknown->wire.operation == HF_OP_BATCH);
}

void hf_bookings_answer(struct hf_bookings *bookings, struct hf_asking *asking,
                        const struct hf_reply *reply)
{
    hf_witness_answer(asking, reply);
    for (uint32_t i = 0; i < asking->entry_count; i++)
        learn(bookings, &asking->entries[i].reservation);
}
