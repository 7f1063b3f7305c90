/* The timer; its protocol is told in timer.h. */
#include "engine/timer.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define TICK_SHIFT 18 /* of nanoseconds: 0.26 ms */
#define TICK_MASK  ((1ull << TICK_SHIFT) - 1)
#define LEVELS     3u
#define TOP        (LEVELS - 1)
#define UNIT_SHIFT 12u /* a position of a level is 4096 of the level below */
#define BUCKETS    8192u
#define GROUP      32u /* buckets that share a word of the list */
#define GROUPS     (BUCKETS / GROUP)
#define LAP_MASK   0xffffffff00000000ull
#define NO_TICK    UINT64_MAX
#define AWAKE      0 /* no tick is earlier */
_Static_assert(BUCKETS == 2u << UNIT_SHIFT, "a level has room for two positions of the next");

struct cursor {
    _Atomic uint64_t gate, passed;
};

struct level {
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t heads[BUCKETS];
    /* By group. Bits 0 .. 31: which buckets are in use; bits 32 .. 63: in this lap. */
    _Atomic uint64_t listed[GROUPS];
};

struct hf_timer_wheel {
    /* One cache line, read by every push. The cursors are written by who pops, once in a tick. */
    alignas(HF_CACHE_LINE_BYTES) struct cursor cursors[LEVELS];
    _Atomic uint64_t asleep; /* somebody sleeps until this tick; AWAKE: nobody does */
    struct level levels[LEVELS];
};

struct place {
    unsigned level;
    uint64_t position;
};

/* ---- ticks, cursors and positions ---- */

/* The tick that has passed when this time has come. */
static uint64_t tick_of_due(uint64_t due_ns)
{
    return (due_ns >> TICK_SHIFT) + ((due_ns & TICK_MASK) != 0);
}

/* The tick from which on the position may be emptied. */
static uint64_t tick_of_place(struct place place)
{
    return place.level == 0 ? place.position : (place.position - 1) << UNIT_SHIFT * place.level;
}

/* Acquire, pairs with raise_to(): the buckets up to there are closed, and what was closed before
 * them in the level below is seen closed, too. */
static uint64_t passed_of(const struct hf_timer_wheel *wheel, unsigned level)
{
    return hf_load_acquire(&wheel->cursors[level].passed);
}

static void raise_to(_Atomic uint64_t *cursor, uint64_t value)
{
    uint64_t current = hf_load_acquire(cursor); /* as the CAS that did it for us */
    while (current < value) {
        /* acq_rel, pairs with the loads of gate and passed. Of a gate: whoever sees it sees the
         * `passed` that allowed it. Of passed: the gate that came before. */
        if (hf_cas_weak_acq_rel(cursor, &current, value))
            return;
    }
}

/* The last position of the level that may be emptied now. */
static uint64_t limit_of(const struct hf_timer_wheel *wheel, unsigned level, uint64_t now_tick)
{
    if (level == 0)
        return now_tick;
    uint64_t position = now_tick >> UNIT_SHIFT * level;
    uint64_t below = passed_of(wheel, level - 1) >> UNIT_SHIFT;
    uint64_t limit = (below < position ? below : position) + 1;
    /* Half a lap at once: what is filed at the far end of the top level must find its gate open. */
    uint64_t half = passed_of(wheel, TOP) + BUCKETS / 2;
    return level == TOP && limit > half ? half : limit;
}

/* True if all before the position, one lap back, has passed; by groups, since a group of the list
 * speaks of one lap. */
static bool has_room(const struct hf_timer_wheel *wheel, unsigned level, uint64_t position)
{
    return (int64_t)(position / GROUP - passed_of(wheel, level) / GROUP) < (int64_t)GROUPS;
}

/* The place for what is to be looked at when `tick` has passed: the lowest level with room. */
static struct place find_place(const struct hf_timer_wheel *wheel, uint64_t tick)
{
    uint64_t position = tick;
    for (unsigned level = 0; level < TOP; level++, position >>= UNIT_SHIFT)
        if (has_room(wheel, level, position))
            return (struct place){.level = level, .position = position};
    uint64_t far_end = (passed_of(wheel, TOP) / GROUP + GROUPS) * GROUP - 1;
    return (struct place){.level = TOP, .position = position < far_end ? position : far_end};
}

/* ---- the list of buckets in use ---- */

/*
 * The order of everything seq_cst here. A push: the CAS that lists the bucket (or the load that
 * finds it listed), then the load of `asleep`. The sleeper: the store of `asleep`, then the loads
 * of the list. In the one order of all these, either the push comes to `asleep` after the sleeper's
 * store and sees it, or the sleeper comes to the list after the push and sees the bucket in it.
 */
static void list(struct level *level, uint64_t position)
{
    _Atomic uint64_t *place = &level->listed[position / GROUP % GROUPS];
    uint64_t lap = position / BUCKETS << 32, bit = 1ull << position % GROUP;
    uint64_t listed = hf_load_seq_cst(place); /* as told above */
    while ((listed & (LAP_MASK | bit)) != (lap | bit)) {
        int32_t ahead = (int32_t)((listed - lap) >> 32);
        if (ahead > 0)
            return; /* a later lap: the position has passed, the entry was taken out */
        if (hf_cas_seq_cst(place, &listed, (ahead == 0 ? listed : lap) | bit)) /* as told above */
            return;
    }
}

/* The same before others know the timer. */
static void list_alone(struct level *level, uint64_t position)
{
    _Atomic uint64_t *place = &level->listed[position / GROUP % GROUPS];
    uint64_t lap = position / BUCKETS << 32, bit = 1ull << position % GROUP;
    uint64_t listed = hf_load_relaxed(place);
    /* Relaxed, both. No word is of a later lap: nothing has passed yet. */
    hf_store_relaxed(place, ((listed & LAP_MASK) == lap ? listed : lap) | bit);
}

/* A listed position, the first of `from` .. `last`, or a later one; NO_TICK: none. `from` may be
 * behind `passed`: then words of the next lap are read for what they say. */
static uint64_t first_listed(const struct level *level, uint64_t from, uint64_t last)
{
    uint64_t first = NO_TICK, first_group = from / GROUP, last_group = last / GROUP;
    if (last_group >= first_group + GROUPS)
        last_group = first_group + GROUPS - 1;
    for (uint64_t group = first_group; group <= last_group; group++) {
        uint64_t listed = hf_load_seq_cst(&level->listed[group % GROUPS]); /* see list() */
        int32_t ahead = (int32_t)((uint32_t)(listed >> 32) - (uint32_t)(group / GROUPS));
        uint32_t bits = (uint32_t)listed;
        if (ahead == 0 && group == first_group)
            bits &= UINT32_MAX << from % GROUP;
        if (ahead < 0 || bits == 0)
            continue;
        uint64_t position =
            (group + (uint64_t)ahead * GROUPS) * GROUP + (unsigned)__builtin_ctz(bits);
        if (position < first)
            first = position;
        if (ahead == 0)
            break;
    }
    return first;
}

/* The first tick at which something can be taken out. If there is one that has passed already, any
 * such. */
static uint64_t next_tick(const struct hf_timer_wheel *wheel, uint64_t now_tick)
{
    uint64_t next = NO_TICK;
    for (unsigned level = 0; level < LEVELS && next > now_tick; level++) {
        uint64_t last = (next >> UNIT_SHIFT * level) + (level != 0); /* no earlier tick behind */
        uint64_t position = first_listed(&wheel->levels[level], passed_of(wheel, level) + 1, last);
        if (position == NO_TICK)
            continue;
        uint64_t tick = tick_of_place((struct place){.level = level, .position = position});
        if (tick < next)
            next = tick;
    }
    return next;
}

/* ---- putting entries in and taking them out ---- */

static uint64_t changed_head(uint64_t head, uint32_t first)
{
    return (head | UINT32_MAX) + 1 + first;
}

/* True if somebody sleeps beyond the time at which the place is to be looked at: told once. */
static bool must_wake(struct hf_timer_wheel *wheel, struct place place)
{
    uint64_t asleep = hf_load_seq_cst(&wheel->asleep); /* see list() */
    while (asleep != AWAKE && tick_of_place(place) < asleep) {
        if (hf_cas_seq_cst(&wheel->asleep, &asleep, AWAKE)) /* only to decide who is told */
            return true;
    }
    return false;
}

/* Files the caller's entry to be looked at when the tick has passed. True: wake the sleeper. */
static bool push(struct hf_timer *timer, uint32_t number, uint64_t tick)
{
    struct hf_timer_wheel *wheel = timer->wheel;
    for (;;) {
        struct place place = find_place(wheel, tick);
        struct level *level = &wheel->levels[place.level];
        _Atomic uint64_t *bucket = &level->heads[place.position % BUCKETS];
        /* Acquire, pairs with the CAS in take_or_close(): if that has closed the bucket for this
         * position, we see the gate that was raised before. */
        uint64_t head = hf_load_acquire(bucket);
        /* Acquire, pairs with raise_to(): if it is shut, we see the room below it next time. */
        uint64_t gate = hf_load_acquire(&wheel->cursors[place.level].gate);
        if (place.position <= gate) {
            if (place.level == 0)
                tick = gate + 1;
            continue;
        }
        hf_store_relaxed(&timer->terms[number].timer_next, (uint32_t)head); /* released below */
        /* acq_rel, pairs with the load of the head by whoever takes the entry out. */
        if (hf_cas_acq_rel(bucket, &head, changed_head(head, number))) {
            list(level, place.position);
            return must_wake(wheel, place);
        }
    }
}

/* Takes the first entry out; if there is none, closes the bucket (returns 0). The gate is raised
 * already. */
static uint32_t take_or_close(struct hf_timer *timer, _Atomic uint64_t *bucket)
{
    uint64_t head = hf_load_acquire(bucket); /* pairs with the CAS in push(): the entry is linked */
    for (;;) {
        uint32_t number = (uint32_t)head, next = 0;
        /* Relaxed: it may be somebody else's by now, but then the CAS fails. */
        if (number != 0)
            next = hf_load_relaxed(&timer->terms[number].timer_next);
        /* acq_rel, pairs with the loads of the head: whoever sees the bucket closed sees the gate.
         * An empty bucket changes, too, so that a push that saw it before the gate fails. */
        if (hf_cas_acq_rel(bucket, &head, changed_head(head, next))) {
            __builtin_prefetch((const void *)&timer->terms[next]);
            return number;
        }
    }
}

/* Takes one entry out of the buckets of a level that may be emptied now; 0: they are all closed. A
 * thread that others have overtaken may get one of the next lap: its caller files that again. */
static uint32_t take(struct hf_timer *timer, unsigned level, uint64_t now_tick)
{
    struct hf_timer_wheel *wheel = timer->wheel;
    struct cursor *cursor = &wheel->cursors[level];
    for (;;) {
        uint64_t passed = passed_of(wheel, level), limit = limit_of(wheel, level, now_tick);
        if (passed >= limit)
            return 0;
        raise_to(&cursor->gate, limit);
        /* After a long gap a lap is enough: it closes each bucket for all that have passed. */
        uint64_t last = limit - passed < BUCKETS ? limit : passed + BUCKETS;
        for (uint64_t position = passed + 1; position <= last; position++) {
            uint32_t number = take_or_close(timer, &wheel->levels[level].heads[position % BUCKETS]);
            if (number != 0) {
                raise_to(&cursor->passed, position - 1);
                return number;
            }
        }
        raise_to(&cursor->passed, limit);
    }
}

static uint32_t take_from_above(struct hf_timer *timer, uint64_t now_tick)
{
    uint32_t number = 0;
    for (unsigned level = 1; level < LEVELS && number == 0; level++)
        number = take(timer, level, now_tick);
    return number;
}

static uint32_t take_any(struct hf_timer *timer, uint64_t now_tick)
{
    uint32_t number = take(timer, 0, now_tick);
    return number != 0 ? number : take_from_above(timer, now_tick);
}

/* ---- public ---- */

int hf_timer_init(struct hf_timer *timer, struct hf_terms *terms, uint64_t now_ns)
{
    struct hf_timer_wheel *wheel = aligned_alloc(HF_CACHE_LINE_BYTES, sizeof *wheel);
    if (wheel == NULL)
        return -ENOMEM;
    memset((void *)wheel, 0, sizeof *wheel);
    uint64_t passed = now_ns >> TICK_SHIFT;
    /* Relaxed: other threads get to know the timer only after this returns. */
    for (unsigned level = 0; level < LEVELS; level++) {
        hf_store_relaxed(&wheel->cursors[level].gate, passed);
        hf_store_relaxed(&wheel->cursors[level].passed, passed);
        for (unsigned group = 0; group < GROUPS; group++) /* all of an earlier lap */
            hf_store_relaxed(&wheel->levels[level].listed[group], (passed / BUCKETS - 1) << 32);
        passed = (passed >> UNIT_SHIFT) + 1;
    }
    *timer = (struct hf_timer){.terms = terms, .wheel = wheel};
    return 0;
}

void hf_timer_close(struct hf_timer *timer)
{
    free(timer->wheel);
    timer->wheel = NULL;
}

bool hf_timer_arm(struct hf_timer *timer, uint32_t number)
{
    HF_CHECK(number != 0);
    struct hf_terms *terms = &timer->terms[number];
    /* seq_cst, pairs with the exchange in hf_timer_pop(): either this finds it cleared, or whoever
     * clears it sees what we did before. */
    if (hf_exchange_seq_cst(&terms->armed, 1) != 0)
        return false;
    /* Relaxed: ours, or what a later owner made of it. An older one is filed again when popped. */
    return push(timer, number, tick_of_due(hf_load_relaxed(&terms->due_ns)));
}

void hf_timer_arm_alone(struct hf_timer *timer, uint32_t number)
{
    HF_CHECK(number != 0);
    struct hf_timer_wheel *wheel = timer->wheel;
    struct hf_terms *terms = &timer->terms[number];
    /* Relaxed, all: nobody else is there; whoever makes others know the timer releases it. */
    if (hf_load_relaxed(&terms->armed) != 0)
        return;
    uint64_t tick = tick_of_due(hf_load_relaxed(&terms->due_ns));
    uint64_t gate = hf_load_relaxed(&wheel->cursors[0].gate);
    struct place place = find_place(wheel, tick > gate ? tick : gate + 1);
    struct level *level = &wheel->levels[place.level];
    _Atomic uint64_t *bucket = &level->heads[place.position % BUCKETS];
    HF_CHECK(place.position > hf_load_relaxed(&wheel->cursors[place.level].gate));
    uint64_t head = hf_load_relaxed(bucket);
    hf_store_relaxed(&terms->armed, 1);
    hf_store_relaxed(&terms->timer_next, (uint32_t)head);
    hf_store_relaxed(bucket, changed_head(head, number));
    list_alone(level, place.position);
}

uint32_t hf_timer_pop(struct hf_timer *timer, uint64_t now_ns, uint32_t *budget, bool *wake)
{
    uint64_t now_tick = now_ns >> TICK_SHIFT;
    /* Each call moves one entry down before it looks for one that is due: were there always one,
     * the cascade would else not be done in time. */
    uint32_t number = *budget > 1 ? take_from_above(timer, now_tick) : 0;
    for (; *budget != 0; number = 0) {
        if (number == 0)
            number = take_any(timer, now_tick);
        if (number == 0)
            return 0;
        --*budget;
        struct hf_terms *terms = &timer->terms[number];
        /* Relaxed: what it was filed by, or later. Should it move right now, the caller sees it. */
        uint64_t due_ns = hf_load_relaxed(&terms->due_ns);
        if (due_ns <= now_ns) {
            /* seq_cst, pairs with the exchange in hf_timer_arm(). */
            HF_CHECK(hf_exchange_seq_cst(&terms->armed, 0) == 1);
            return number;
        }
        if (push(timer, number, tick_of_due(due_ns)))
            *wake = true;
    }
    return 0;
}

uint32_t hf_timer_peek(const struct hf_timer *timer, uint64_t now_ns, uint32_t *numbers,
                       uint32_t limit)
{
    const struct hf_timer_wheel *wheel = timer->wheel;
    uint64_t passing_tick = (now_ns >> TICK_SHIFT) + 1, steps = 8ull * limit + 256;
    uint32_t count = 0;
    for (unsigned i = 0; i < LEVELS; i++) {
        const struct level *level = &wheel->levels[i];
        uint64_t last = passing_tick >> UNIT_SHIFT * i;
        uint64_t position = passed_of(wheel, i) + 1;
        while (count < limit && steps != 0 &&
               (position = first_listed(level, position, last)) <= last) {
            steps--;
            /* Acquire, pairs with the CAS in push(): the first entry is linked. */
            uint32_t number = (uint32_t)hf_load_acquire(&level->heads[position % BUCKETS]);
            for (; number != 0 && count < limit && steps != 0; steps--) {
                /* Relaxed, both: hints. If it was moved meanwhile, this leads to other entries, but
                 * always to entries, and the steps are counted. */
                if (hf_load_relaxed(&timer->terms[number].due_ns) <= now_ns)
                    numbers[count++] = number;
                number = hf_load_relaxed(&timer->terms[number].timer_next);
            }
            position++;
        }
    }
    return count;
}

/* True if a level has not passed its position of that tick, or for the upper ones `ahead` more. */
static bool is_behind(const struct hf_timer_wheel *wheel, uint64_t now_tick, uint64_t ahead)
{
    uint64_t position = now_tick;
    for (unsigned level = 0; level < LEVELS; level++, position >>= UNIT_SHIFT)
        if (passed_of(wheel, level) < position + (level != 0 ? ahead : 0))
            return true;
    return false;
}

bool hf_timer_has_work(const struct hf_timer *timer, uint64_t now_ns)
{
    return is_behind(timer->wheel, now_ns >> TICK_SHIFT, 1);
}

bool hf_timer_backlog(const struct hf_timer *timer, uint64_t now_ns)
{
    return is_behind(timer->wheel, now_ns >> TICK_SHIFT, 0);
}

uint64_t hf_timer_next_ns(const struct hf_timer *timer, uint64_t now_ns)
{
    uint64_t tick = next_tick(timer->wheel, now_ns >> TICK_SHIFT);
    return tick == NO_TICK ? UINT64_MAX : tick << TICK_SHIFT;
}

uint64_t hf_timer_sleep(struct hf_timer *timer, uint64_t now_ns)
{
    struct hf_timer_wheel *wheel = timer->wheel;
    uint64_t now_tick = now_ns >> TICK_SHIFT, tick = next_tick(wheel, now_tick);
    if (tick > now_tick) {
        uint64_t announced = tick;
        hf_store_seq_cst(&wheel->asleep, announced); /* see list() */
        uint64_t again = next_tick(wheel, now_tick);
        if (again < tick) {
            tick = again;
            /* If this fails somebody was told to wake us, and will. */
            hf_cas_seq_cst(&wheel->asleep, &announced, tick > now_tick ? tick : AWAKE);
        }
    }
    return tick == NO_TICK ? UINT64_MAX : tick << TICK_SHIFT;
}

void hf_timer_awake(struct hf_timer *timer)
{
    /* Relaxed: who sees it late is told to wake us once too often. */
    hf_store_relaxed(&timer->wheel->asleep, AWAKE);
}
