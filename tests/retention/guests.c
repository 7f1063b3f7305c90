/* Guests. See guests.h. */
#include "tests/retention/guests.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/setting.h"

#define ROOMS          40u
#define FIRST_ROOM     1ull
#define HOTS           10u
#define FIRST_HOT      101ull
#define HOT_UNITS      10u
#define HOT_WAITING    50u
#define CUSTOMER_LIMIT 4u
#define NIGHTS         7u
#define TTL_NS         (15 * HF_MINUTE_NS)
#define OFFER_NS       (30 * HF_MINUTE_NS)
#define REMEMBER       8u /* one of so many ended ones is asked for again */

/* What a step returns instead of the time of the next. */
#define ENDED 0          /* its reservations have ended */
#define GONE  UINT64_MAX /* it never had any, or they are forgotten */

enum story { STAY, SURE, LAPSE, DITHER, CHANGE, STAY_NIGHTS, QUEUE, STORIES };

/* Of a hundred guests. */
static const uint32_t shares[STORIES] = {
    [STAY] = 20,   [SURE] = 20,       [LAPSE] = 20, [DITHER] = 10,
    [CHANGE] = 10, [STAY_NIGHTS] = 8, [QUEUE] = 12};

enum remembering { LIVES, REMEMBERED, FORGOTTEN };

struct hf_guest {
    enum story story;
    uint32_t stage;
    enum remembering remembering;
    struct hf_id ids[NIGHTS];
    enum hf_operation made_by;
    uint64_t inventory_id; /* the first of them */
    uint64_t customer_id;  /* who made it */
    uint64_t deadline_ns;  /* of a hold */
    uint64_t asked_ns;     /* its step before this one */
    uint64_t ended_ns;
    enum hf_state end;
};

/* ---- requests and what must come of them ---- */

static uint64_t now_ns(const struct hf_guests *guests)
{
    return guests->player->actor.now_ns;
}

static unsigned result_of(const struct hf_guests *guests)
{
    return guests->player->outcome.result;
}

static _Noreturn void fail(const struct hf_guests *guests, const struct hf_guest *guest)
{
    const struct hf_outcome *outcome = &guests->player->outcome;
    hf_scene_fail(guests->player->scene,
                  "day %.3f: guest of story %d, stage %u, is answered %s (repeated %d, state %u)",
                  (double)(now_ns(guests) - HF_SCENE_START_NS) / (double)HF_DAY_NS,
                  (int)guest->story, guest->stage, hf_result_name(outcome->result),
                  outcome->repeated, (unsigned)outcome->state);
}

static void expect(const struct hf_guests *guests, const struct hf_guest *guest, bool right)
{
    if (!right)
        fail(guests, guest);
}

static unsigned claim(struct hf_guests *guests, struct hf_guest *guest, enum hf_operation operation)
{
    const struct hf_request request = {.operation = operation,
                                       .id = guest->ids[0],
                                       .inventory_id = guest->inventory_id,
                                       .customer_id = guest->customer_id,
                                       .qty = 1,
                                       .ttl_ns = TTL_NS};
    unsigned result = hf_player_do(guests->player, &request);
    if (result == HF_GRANTED || result == HF_JOINED) {
        guest->made_by = operation;
        guests->made += !guests->player->outcome.repeated;
    } else {
        guests->refused++;
    }
    return result;
}

/* A claim that must be granted. */
static void take(struct hf_guests *guests, struct hf_guest *guest, enum hf_operation operation)
{
    expect(guests, guest, claim(guests, guest, operation) == HF_GRANTED);
    expect(guests, guest, !guests->player->outcome.repeated);
    guest->deadline_ns = guests->player->outcome.reservation.deadline_ns;
}

static unsigned change(struct hf_guests *guests, const struct hf_guest *guest,
                       enum hf_operation operation, uint32_t qty, uint64_t customer_id)
{
    const struct hf_request request = {.operation = operation,
                                       .id = guest->ids[0],
                                       .qty = qty,
                                       .customer_id = customer_id,
                                       .ttl_ns = TTL_NS};
    return hf_player_do(guests->player, &request);
}

static uint64_t later(struct hf_guests *guests, uint64_t least_ns, uint64_t most_ns)
{
    return now_ns(guests) + least_ns +
           hf_random_next(&guests->player->random) % (most_ns - least_ns + 1);
}

static uint64_t end(const struct hf_guests *guests, struct hf_guest *guest, enum hf_state state)
{
    guest->end = state;
    guest->ended_ns = now_ns(guests);
    return ENDED;
}

static uint64_t end_expired(struct hf_guests *guests, struct hf_guest *guest)
{
    guests->expired++;
    if (result_of(guests) == HF_NOT_FOUND)
        return GONE;
    return end(guests, guest, HF_STATE_EXPIRED);
}

/* Time was skipped, and the retention of what has ended meanwhile with it. */
static bool may_be_forgotten(const struct hf_guests *guests, const struct hf_guest *guest)
{
    return now_ns(guests) > guest->asked_ns + guests->player->scene->engine.retain_ns;
}

/* An operation on a hold has been done. In time it must have been; too late it cannot have been.
 * Others' clocks are a little ahead at times: then either is right. True: it was done. */
static bool done_in_time(const struct hf_guests *guests, const struct hf_guest *guest, unsigned yes)
{
    unsigned result = result_of(guests);
    uint64_t at_ns = now_ns(guests);
    if (result == HF_NOT_FOUND && may_be_forgotten(guests, guest))
        return false;
    expect(guests, guest, result == yes || result == HF_HOLD_EXPIRED);
    expect(guests, guest, result != yes || at_ns < guest->deadline_ns);
    expect(guests, guest, result == yes || at_ns + HF_SCENE_SKEW_NS >= guest->deadline_ns);
    return result == yes;
}

static bool confirm(struct hf_guests *guests, const struct hf_guest *guest)
{
    change(guests, guest, HF_OP_CONFIRM, 0, 0);
    return done_in_time(guests, guest, HF_CONFIRMED);
}

static uint64_t cancel(struct hf_guests *guests, struct hf_guest *guest)
{
    expect(guests, guest, change(guests, guest, HF_OP_CANCEL, 0, 0) == HF_CANCELLED);
    return end(guests, guest, HF_STATE_CANCELLED);
}

/* A second claim of the same customer, of more than the limit leaves. */
static void exceed(struct hf_guests *guests, const struct hf_guest *guest)
{
    if (guest->inventory_id % 2 == 0)
        return; /* no limit there */
    struct hf_request request = {.operation = HF_OP_RESERVE,
                                 .inventory_id = guest->inventory_id,
                                 .customer_id = guest->customer_id,
                                 .qty = CUSTOMER_LIMIT};
    hf_id_make(&request.id);
    expect(guests, guest, hf_player_do(guests->player, &request) == HF_CUSTOMER_LIMIT);
    guests->refused++;
}

/* ---- stories: each step returns when the next is, ENDED or GONE ---- */

static uint64_t stay(struct hf_guests *guests, struct hf_guest *guest)
{
    if (guest->stage != 0)
        return cancel(guests, guest);
    take(guests, guest, HF_OP_RESERVE);
    if (hf_random_chance(&guests->player->random, 10))
        exceed(guests, guest);
    return later(guests, HF_HOUR_NS, 10 * HF_HOUR_NS);
}

static uint64_t sure(struct hf_guests *guests, struct hf_guest *guest)
{
    switch (guest->stage) {
    case 0:
        take(guests, guest, HF_OP_HOLD);
        return later(guests, HF_MINUTE_NS, TTL_NS - 2 * HF_MINUTE_NS);
    case 1:
        if (!confirm(guests, guest))
            return end_expired(guests, guest);
        return later(guests, HF_HOUR_NS, 10 * HF_HOUR_NS);
    default:
        return cancel(guests, guest);
    }
}

static uint64_t lapse(struct hf_guests *guests, struct hf_guest *guest)
{
    if (guest->stage == 0) {
        take(guests, guest, HF_OP_HOLD);
        return later(guests, TTL_NS, 2 * TTL_NS);
    }
    expect(guests, guest, !confirm(guests, guest));
    return end_expired(guests, guest);
}

static uint64_t dither(struct hf_guests *guests, struct hf_guest *guest)
{
    switch (guest->stage) {
    case 0:
        take(guests, guest, HF_OP_HOLD);
        return later(guests, HF_MINUTE_NS, 10 * HF_MINUTE_NS);
    case 1:
        change(guests, guest, HF_OP_EXTEND, 0, 0);
        if (!done_in_time(guests, guest, HF_EXTENDED))
            return end_expired(guests, guest);
        guest->deadline_ns = guests->player->outcome.reservation.deadline_ns;
        return later(guests, 12 * HF_MINUTE_NS, 13 * HF_MINUTE_NS); /* beyond the first deadline */
    default:
        change(guests, guest, HF_OP_RELEASE, 0, 0);
        if (!done_in_time(guests, guest, HF_RELEASED))
            return end_expired(guests, guest);
        return end(guests, guest, HF_STATE_RELEASED);
    }
}

static uint64_t change_mind(struct hf_guests *guests, struct hf_guest *guest)
{
    switch (guest->stage) {
    case 0:
        take(guests, guest, HF_OP_HOLD);
        change(guests, guest, HF_OP_CHANGE, 3, 0);
        expect(guests, guest, result_of(guests) == HF_CHANGED);
        return later(guests, HF_MINUTE_NS, TTL_NS - 2 * HF_MINUTE_NS);
    case 1:
        if (!confirm(guests, guest))
            return end_expired(guests, guest);
        return later(guests, HF_MINUTE_NS, HF_HOUR_NS);
    case 2: /* to a customer whom nobody else is */
        change(guests, guest, HF_OP_MOVE, 0, guest->customer_id + (1ull << 40));
        expect(guests, guest, result_of(guests) == HF_MOVED);
        return later(guests, HF_MINUTE_NS, HF_HOUR_NS);
    case 3:
        change(guests, guest, HF_OP_CHANGE, 1, 0);
        expect(guests, guest, result_of(guests) == HF_CHANGED);
        return later(guests, HF_HOUR_NS, 5 * HF_HOUR_NS);
    default:
        return cancel(guests, guest);
    }
}

static void do_nights(struct hf_guests *guests, const struct hf_guest *guest,
                      enum hf_operation operation, unsigned wanted)
{
    struct hf_line lines[NIGHTS] = {0};
    for (uint32_t night = 0; night < NIGHTS; night++)
        lines[night] = (struct hf_line){.operation = operation,
                                        .id = guest->ids[night],
                                        .inventory_id = guest->inventory_id + night,
                                        .customer_id = guest->customer_id,
                                        .qty = 1};
    const struct hf_request request = {.operation = HF_OP_BATCH, .lines = lines, .count = NIGHTS};
    expect(guests, guest, hf_player_do(guests->player, &request) == HF_BATCH_DONE);
    for (uint32_t night = 0; night < NIGHTS; night++)
        expect(guests, guest, guests->player->entries[night].result == wanted);
}

static uint64_t nights(struct hf_guests *guests, struct hf_guest *guest)
{
    if (guest->stage == 0) {
        do_nights(guests, guest, HF_OP_RESERVE, HF_GRANTED);
        guest->made_by = HF_OP_RESERVE;
        guests->made += NIGHTS;
        return later(guests, HF_HOUR_NS, 10 * HF_HOUR_NS);
    }
    do_nights(guests, guest, HF_OP_CANCEL, HF_CANCELLED);
    return end(guests, guest, HF_STATE_CANCELLED);
}

static uint64_t queue_up(struct hf_guests *guests, struct hf_guest *guest)
{
    unsigned result = claim(guests, guest, HF_OP_RESERVE);
    if (result == HF_GRANTED) {
        guest->stage = 1; /* then 2 */
        return later(guests, HF_HOUR_NS, 3 * HF_HOUR_NS);
    }
    expect(guests, guest, result == HF_SOLD_OUT || result == HF_WAITING_LIST);
    result = claim(guests, guest, HF_OP_JOIN);
    if (result == HF_JOINED)
        return later(guests, 10 * HF_MINUTE_NS, HF_HOUR_NS);
    expect(guests, guest, result == HF_WAITING_FULL || result == HF_NOT_SOLD_OUT);
    return GONE;
}

/* It waits, or has an offer, or had one. */
static uint64_t look_for_offer(struct hf_guests *guests, struct hf_guest *guest)
{
    unsigned result = change(guests, guest, HF_OP_CONFIRM, 0, 0);
    if (result == HF_CONFIRMED)
        return later(guests, HF_HOUR_NS, 3 * HF_HOUR_NS);
    if (result == HF_HOLD_EXPIRED || (result == HF_NOT_FOUND && may_be_forgotten(guests, guest)))
        return end_expired(guests, guest);
    expect(guests, guest,
           result == HF_WRONG_STATE && guests->player->outcome.state == HF_STATE_WAITING);
    result = change(guests, guest, HF_OP_LEAVE, 0, 0);
    if (result == HF_LEFT)
        return end(guests, guest, HF_STATE_CANCELLED);
    /* Another player has brought about its offer just now. */
    expect(guests, guest,
           result == HF_WRONG_STATE && guests->player->outcome.state == HF_STATE_HELD);
    guest->stage = 0; /* then 1: look again */
    return later(guests, HF_MINUTE_NS, 2 * HF_MINUTE_NS);
}

static uint64_t queue(struct hf_guests *guests, struct hf_guest *guest)
{
    switch (guest->stage) {
    case 0:
        return queue_up(guests, guest);
    case 1:
        return look_for_offer(guests, guest);
    default:
        return cancel(guests, guest);
    }
}

static uint64_t (*const stories[STORIES])(struct hf_guests *, struct hf_guest *) = {
    [STAY] = stay,          [SURE] = sure,          [LAPSE] = lapse, [DITHER] = dither,
    [CHANGE] = change_mind, [STAY_NIGHTS] = nights, [QUEUE] = queue,
};

/* ---- after the end ---- */

static uint64_t retention_end_ns(const struct hf_guests *guests, const struct hf_guest *guest)
{
    return guest->ended_ns + guests->player->scene->engine.retain_ns;
}

/* An hour before its retention ends: the same request is a yes again. */
static uint64_t remember(struct hf_guests *guests, struct hf_guest *guest)
{
    const struct hf_outcome *outcome = &guests->player->outcome;
    uint64_t end_ns = retention_end_ns(guests, guest);
    guest->remembering = FORGOTTEN;
    if (now_ns(guests) + HF_SCENE_SKEW_NS < end_ns) { /* else time was skipped */
        unsigned wanted = guest->made_by == HF_OP_JOIN ? HF_JOINED : HF_GRANTED;
        expect(guests, guest, claim(guests, guest, guest->made_by) == wanted);
        expect(guests, guest, outcome->repeated && outcome->reservation.state == guest->end);
        guests->remembered++;
    }
    return end_ns + guests->slack_ns;
}

/* Some time after its retention has ended: nobody knows it, and another may have the id. */
static uint64_t forget(struct hf_guests *guests, struct hf_guest *guest)
{
    if (now_ns(guests) < guests->skipped_ns + guests->slack_ns)
        return guests->skipped_ns + guests->slack_ns;
    expect(guests, guest, change(guests, guest, HF_OP_RESERVATION_GET, 0, 0) == HF_NOT_FOUND);
    guests->forgotten++;
    guest->story = STAY;
    guest->stage = 0;
    guest->remembering = LIVES;
    guest->customer_id += 1ull << 41;
    guest->inventory_id = FIRST_ROOM;
    uint64_t next_ns = stay(guests, guest);
    guest->stage++;
    return next_ns;
}

/* ---- the agenda ---- */

static bool is_before(const struct hf_appointment *one, const struct hf_appointment *other)
{
    return one->at_ns < other->at_ns;
}

static void swap(struct hf_appointment *one, struct hf_appointment *other)
{
    struct hf_appointment kept = *one;
    *one = *other;
    *other = kept;
}

static void make_appointment(struct hf_guests *guests, uint32_t guest, uint64_t at_ns)
{
    struct hf_appointment *agenda = guests->agenda;
    uint32_t place = guests->agenda_count++;
    agenda[place] = (struct hf_appointment){.at_ns = at_ns, .guest = guest};
    for (; place != 0 && is_before(&agenda[place], &agenda[(place - 1) / 2]);
         place = (place - 1) / 2)
        swap(&agenda[place], &agenda[(place - 1) / 2]);
}

static struct hf_appointment take_appointment(struct hf_guests *guests)
{
    struct hf_appointment *agenda = guests->agenda;
    struct hf_appointment first = agenda[0];
    uint32_t count = --guests->agenda_count, place = 0;
    agenda[0] = agenda[count];
    for (;;) {
        uint32_t least = place;
        for (uint32_t child = 2 * place + 1; child <= 2 * place + 2 && child < count; child++)
            if (is_before(&agenda[child], &agenda[least]))
                least = child;
        if (least == place)
            return first;
        swap(&agenda[place], &agenda[least]);
        place = least;
    }
}

uint64_t hf_guests_next_ns(const struct hf_guests *guests)
{
    return guests->agenda_count != 0 ? guests->agenda[0].at_ns : UINT64_MAX;
}

/* ---- guests come and go ---- */

static void make_id(const struct hf_guests *guests, uint64_t number, struct hf_id *id)
{
    hf_put_u64(id->bytes, number);
    hf_put_u64(id->bytes + 8, 1 + (uint64_t)guests->player->index);
}

static enum story choose_story(struct hf_random *random)
{
    uint32_t dice = hf_random_below(random, 100);
    uint32_t story = 0;
    while (dice >= shares[story])
        dice -= shares[story++];
    return (enum story)story;
}

static uint64_t choose_inventory(struct hf_random *random, enum story story)
{
    if (story == QUEUE)
        return FIRST_HOT + hf_random_below(random, HOTS);
    return FIRST_ROOM + hf_random_below(random, story == STAY_NIGHTS ? ROOMS - NIGHTS : ROOMS);
}

/* The next step of a guest's life, and what follows from it. */
static void live(struct hf_guests *guests, uint32_t number)
{
    struct hf_guest *guest = &guests->guests[number];
    uint64_t next_ns;
    if (guest->remembering != LIVES && guests->closing) {
        next_ns = GONE;
    } else if (guest->remembering == REMEMBERED) {
        next_ns = remember(guests, guest);
    } else if (guest->remembering == FORGOTTEN) {
        next_ns = forget(guests, guest);
    } else {
        next_ns = stories[guest->story](guests, guest);
        guest->stage++;
        guest->asked_ns = now_ns(guests);
    }
    if (next_ns == ENDED && hf_random_below(&guests->player->random, REMEMBER) == 0) {
        guest->remembering = REMEMBERED;
        next_ns = retention_end_ns(guests, guest) - HF_HOUR_NS;
    }
    if (next_ns == ENDED || next_ns == GONE)
        guests->free[guests->free_count++] = number;
    else
        make_appointment(guests, number, next_ns);
}

void hf_guests_arrive(struct hf_guests *guests)
{
    struct hf_random *random = &guests->player->random;
    if (guests->free_count == 0)
        hf_scene_fail(guests->player->scene, "more guests than there is room for");
    uint32_t number = guests->free[--guests->free_count];
    struct hf_guest *guest = &guests->guests[number];
    *guest = (struct hf_guest){.story = choose_story(random)};
    guest->inventory_id = choose_inventory(random, guest->story);
    for (uint32_t night = 0; night < NIGHTS; night++)
        make_id(guests, ++guests->last_number, &guest->ids[night]);
    guest->customer_id = (uint64_t)(guests->player->index + 1) << 48 | guests->last_number;
    live(guests, number);
}

void hf_guests_step(struct hf_guests *guests)
{
    live(guests, take_appointment(guests).guest);
}

/* ---- setting up ---- */

static void create(struct hf_player *player, uint64_t inventory_id, uint32_t units)
{
    const struct hf_request request = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = inventory_id, .capacity = units};
    if (hf_player_do(player, &request) != HF_CREATED)
        hf_scene_fail(player->scene, "cannot make an inventory");
}

static void set(struct hf_player *player, uint64_t inventory_id, uint32_t fields)
{
    const struct hf_request request = {.operation = HF_OP_INVENTORY_SET,
                                       .inventory_id = inventory_id,
                                       .change = {.fields = fields,
                                                  .settings = {.customer_limit = CUSTOMER_LIMIT,
                                                               .waiting_limit = HOT_WAITING,
                                                               .offer_ttl_ns = OFFER_NS}}};
    if (hf_player_do(player, &request) != HF_SET)
        hf_scene_fail(player->scene, "cannot set up an inventory");
}

void hf_guests_build(struct hf_player *player)
{
    for (uint64_t id = FIRST_ROOM; id < FIRST_ROOM + ROOMS; id++) {
        create(player, id, HF_MAX_UNITS);
        if (id % 2 != 0)
            set(player, id, HF_SET_CUSTOMER_LIMIT);
    }
    for (uint64_t id = FIRST_HOT; id < FIRST_HOT + HOTS; id++) {
        create(player, id, HOT_UNITS);
        set(player, id,
            HF_SET_WAITING_LIMIT | HF_SET_OFFER_TTL | (id % 2 != 0 ? HF_SET_CUSTOMER_LIMIT : 0));
    }
}

void hf_guests_open(struct hf_guests *guests, struct hf_player *player, uint32_t capacity)
{
    *guests = (struct hf_guests){.player = player, .capacity = capacity};
    guests->slack_ns = player->scene->engine.retain_ns / 8 + HF_HOUR_NS;
    guests->guests = calloc(capacity + 1ull, sizeof *guests->guests);
    guests->free = calloc(capacity, sizeof *guests->free);
    guests->agenda = calloc(capacity, sizeof *guests->agenda);
    if (guests->guests == NULL || guests->free == NULL || guests->agenda == NULL)
        hf_scene_fail(player->scene, "out of memory");
    /* All of it is touched, so that it does not look like growth later. */
    memset((void *)guests->guests, 0xff, (capacity + 1ull) * sizeof *guests->guests);
    memset(guests->agenda, 0xff, capacity * sizeof *guests->agenda);
    while (guests->free_count < capacity) {
        guests->free[guests->free_count] = guests->free_count + 1;
        guests->free_count++;
    }
}

void hf_guests_close(struct hf_guests *guests)
{
    free(guests->guests);
    free(guests->free);
    free(guests->agenda);
}
