/* Linearizability of a history: see linearize.h. */
#include "tests/model/linearize.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define IN_USE (1ull << 63) /* no operation has this bit */
_Static_assert(HF_LINEARIZE_OPERATIONS < 64, "a set of operations leaves IN_USE free");

/* What was tried: sets of operations done, with the state that they led to. Open addressing; a place
 * that is free is all zero. */
struct memory {
    struct tried {
        uint64_t set, state;
    } * tried;
    uint32_t count, room; /* room: a power of two */
};

static uint64_t mix(uint64_t key)
{
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
    return key ^ (key >> 31);
}

static struct tried *place_of(const struct memory *memory, uint64_t set, uint64_t state)
{
    uint32_t place = (uint32_t)mix(set + mix(state)) & (memory->room - 1);
    for (;;) {
        struct tried *tried = &memory->tried[place];
        if (tried->set == 0 || (tried->set == set && tried->state == state))
            return tried;
        place = (place + 1) & (memory->room - 1);
    }
}

static void grow(struct memory *memory)
{
    struct memory larger = {.room = memory->room == 0 ? 256 : memory->room * 4};
    larger.tried = calloc(larger.room, sizeof *larger.tried);
    HF_CHECK(larger.tried);
    for (uint32_t i = 0; i < memory->room; i++) {
        const struct tried *tried = &memory->tried[i];
        if (tried->set != 0)
            *place_of(&larger, tried->set, tried->state) = *tried;
    }
    larger.count = memory->count;
    free(memory->tried);
    *memory = larger;
}

/* True: it was not there. */
static bool remember(struct memory *memory, uint64_t set, uint64_t state)
{
    if (memory->count * 2 >= memory->room)
        grow(memory);
    set |= IN_USE;
    struct tried *tried = place_of(memory, set, state);
    if (tried->set != 0)
        return false;
    *tried = (struct tried){set, state};
    memory->count++;
    return true;
}

/* One step of the way down: an operation, or (from `count` on) a step of the machine's own. */
struct taken {
    uint32_t step;
    bool forced; /* nothing else need be tried in its place */
    size_t mark; /* where the machine stood before */
};

/* The search on its way down: what is done, and from where each was done. */
struct walk {
    const struct hf_machine *machine;
    const struct hf_interval *operations;
    uint32_t count;
    uint64_t done;
    uint32_t done_count;
    struct memory memory;
    struct hf_search *search;
    uint32_t depth;
    struct taken way[HF_LINEARIZE_DEPTH];
};

/* Until when an operation can begin and still come next: before the first answer of those not done.
 */
static uint64_t horizon(const struct walk *walk)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < walk->count; i++) {
        if (!(walk->done >> i & 1) && walk->operations[i].responded < first)
            first = walk->operations[i].responded;
    }
    return first;
}

static bool may_come_next(const struct walk *walk, uint32_t operation, uint64_t until)
{
    return !(walk->done >> operation & 1) && walk->operations[operation].invoked < until;
}

/* Applies operation `next`. False: it gives another answer, and is taken back. */
static bool apply(const struct walk *walk, uint32_t next, size_t mark)
{
    const struct hf_machine *machine = walk->machine;
    walk->search->steps++;
    if (machine->apply(machine->context, next))
        return true;
    machine->rollback(machine->context, mark);
    return false;
}

/* An operation, or a step of the machine's own. False: it cannot come next, nothing changed. */
static bool take(const struct walk *walk, uint32_t step, uint64_t until, size_t mark)
{
    if (step < walk->count)
        return may_come_next(walk, step, until) && apply(walk, step, mark);
    walk->search->steps++;
    return walk->machine->act(walk->machine->context, step - walk->count);
}

/* Goes on from `step`, which was taken. False: this was tried; it is taken back. */
static bool step_down(struct walk *walk, uint32_t step, size_t mark, bool forced)
{
    const struct hf_machine *machine = walk->machine;
    struct hf_search *search = walk->search;
    bool is_operation = step < walk->count;
    uint64_t set = is_operation ? walk->done | 1ull << step : walk->done;
    if (!remember(&walk->memory, set, machine->hash(machine->context))) {
        machine->rollback(machine->context, mark);
        return false;
    }
    HF_CHECK(walk->depth < HF_LINEARIZE_DEPTH);
    walk->way[walk->depth++] = (struct taken){.step = step, .forced = forced, .mark = mark};
    walk->done = set;
    walk->done_count += is_operation;
    if (walk->done_count > search->most) {
        search->most = walk->done_count;
        search->most_set = set;
    }
    return true;
}

/* All that may be tried in one place. */
static uint32_t choices(const struct walk *walk)
{
    return walk->count + walk->machine->own_steps;
}

/* Takes the last one back. Returns with which to go on instead. */
static uint32_t step_up(struct walk *walk)
{
    const struct hf_machine *machine = walk->machine;
    const struct taken *last = &walk->way[--walk->depth];
    machine->rollback(machine->context, last->mark);
    if (last->step < walk->count) {
        walk->done &= ~(1ull << last->step);
        walk->done_count--;
    }
    return last->forced ? choices(walk) : last->step + 1;
}

/*
 * An operation that can come next, gives its answer and changes nothing may as well come now: in any
 * order that goes on from here it could be moved to this place. So it is the only one to be tried.
 * (Refusals are most of a history.) The number of one, applied; walk->count: there is none.
 */
static uint32_t apply_harmless(const struct walk *walk, uint64_t until)
{
    const struct hf_machine *machine = walk->machine;
    size_t mark = machine->mark(machine->context);
    for (uint32_t i = 0; i < walk->count; i++) {
        if (!may_come_next(walk, i, until) || !apply(walk, i, mark))
            continue;
        if (machine->mark(machine->context) == mark)
            return i;
        machine->rollback(machine->context, mark);
    }
    return walk->count;
}

/* Tries, from number `from` on, what can come next. True: one step further down. */
static bool descend(struct walk *walk, uint32_t from)
{
    uint64_t until = horizon(walk);
    size_t mark = walk->machine->mark(walk->machine->context);
    if (from == 0) {
        uint32_t harmless = apply_harmless(walk, until);
        if (harmless != walk->count)
            return step_down(walk, harmless, mark, true);
    }
    for (uint32_t i = from; i < choices(walk); i++) {
        if (take(walk, i, until, mark) && step_down(walk, i, mark, false))
            return true;
    }
    return false;
}

static void tell_order(const struct walk *walk)
{
    struct hf_search *search = walk->search;
    for (uint32_t i = 0; i < walk->depth; i++) {
        if (walk->way[i].step < walk->count)
            search->order[search->order_count++] = walk->way[i].step;
    }
}

enum hf_verdict hf_linearize(const struct hf_machine *machine, const struct hf_interval *operations,
                             uint32_t count, uint64_t max_steps, struct hf_search *search)
{
    struct walk walk;
    enum hf_verdict verdict = HF_LINEARIZABLE;
    uint32_t from = 0;
    HF_CHECK(count <= HF_LINEARIZE_OPERATIONS);
    memset(&walk, 0, offsetof(struct walk, way));
    walk.machine = machine;
    walk.operations = operations;
    walk.count = count;
    walk.search = search;
    *search = (struct hf_search){0};
    while (walk.done_count < count) {
        if (descend(&walk, from)) {
            from = 0;
        } else if (walk.depth == 0) {
            verdict = HF_NOT_LINEARIZABLE;
            break;
        } else {
            from = step_up(&walk);
        }
        if (search->steps >= max_steps && walk.done_count < count) {
            verdict = HF_UNDECIDED;
            break;
        }
    }
    if (verdict == HF_LINEARIZABLE)
        tell_order(&walk);
    while (verdict != HF_LINEARIZABLE && walk.depth > 0)
        step_up(&walk);
    free(walk.memory.tried);
    return verdict;
}
