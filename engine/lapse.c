/* What time brings about; see lapse.h. */
#include "engine/lapse.h"

#include <sched.h>
#include <stdlib.h>

#include "base/clock.h"
#include "engine/hash.h"
#include "engine/resolve.h"
#include "engine/units.h"
#include "engine/waiting.h"

/* An image, and an event. */
#define LAPSE_CREDITS (1 + HF_UNITS_CREDITS)

/* One more actor at the timer, and one more that began. */
#define LAPSING_BEGIN (1ull << 32 | 1)

/* How many entries of the bucket that is passing right now a refused claim looks at. */
#define PEEK_ENTRIES 256

/* What a refused claim works off of what is due anyway. */
#define LAPSE_BUDGET 256

uint64_t hf_retention_end_ns(const struct hf_engine *engine, uint64_t finished_at_ns)
{
    uint64_t end_ns = finished_at_ns + engine->retain_ns;
    return end_ns < finished_at_ns ? UINT64_MAX : end_ns;
}

/* ---- expiry ---- */

enum hf_lapse hf_lapse_one(struct hf_actor *actor, uint32_t number)
{
    struct hf_region *region = &actor->engine->region;
    struct hf_reservation_cell *cell = &region->reservations[number];
    struct hf_reservation expired;
    uint64_t word;
    enum hf_copy copied = hf_reservation_copy(region, cell, &expired, &word);
    if (copied != HF_COPIED)
        return copied == HF_COPY_MARKED ? HF_LAPSE_BUSY : HF_LAPSE_NONE;
    if (expired.state != HF_STATE_HELD || actor->now_ns < expired.deadline_ns)
        return HF_LAPSE_NONE;
    struct hf_customer_cell *counter;
    if (!hf_ring_credit(&actor->log, LAPSE_CREDITS) ||
        !hf_units_find_counter(actor, hf_load_relaxed(&cell->inventory), expired.customer_id, word,
                               &counter))
        return HF_LAPSE_BUSY;
    /* Before the mark: who does not find the hold in the timer, since somebody met the mark and filed it
     * anew, for later, finds this. */
    struct hf_inventory_cell *inventory =
        &region->inventories[hf_load_relaxed(&cell->inventory)]; /* constant while in use */
    uint64_t seen = word;
    hf_inventory_announce(inventory);
    if (!hf_cas_acq_rel(&cell->word, &seen, word | HF_WORD_MARKED)) { /* as every change */
        hf_inventory_withdraw(inventory);
        return HF_LAPSE_BUSY;
    }
    expired.state = HF_STATE_EXPIRED;
    expired.deadline_ns = 0;
    expired.sequence++;
    if (expired.changed_at_ns < actor->now_ns)
        expired.changed_at_ns = actor->now_ns;
    hf_resolve_record(actor, number, word, expired.qty, HF_REASON_DEADLINE, counter, &expired);
    return HF_LAPSE_SOME;
}

/* ---- retention ---- */

static bool grow_limbo(struct hf_limbo *limbo)
{
    uint32_t capacity = limbo->capacity == 0 ? 256 : limbo->capacity * 2;
    struct hf_limbo_cell *cells = malloc(capacity * sizeof *cells);
    if (cells == NULL)
        return false;
    for (uint32_t i = 0; i < limbo->count; i++)
        cells[i] = limbo->cells[(limbo->head + i) & (limbo->capacity - 1)];
    free(limbo->cells);
    *limbo = (struct hf_limbo){.cells = cells, .count = limbo->count, .capacity = capacity};
    return true;
}

/* Before the reservation leaves its chain: see hf_actor_date_claim(). All that may be forgotten now is
 * covered at once, so that this line, which every claim reads, is not written for each. */
static void raise_forgotten(struct hf_engine *engine, const struct hf_reservation_cell *cell)
{
    uint64_t changed_at_ns = hf_load_relaxed(&cell->changed_at_ns); /* the chain is ours */
    uint64_t seen_ns = hf_load_relaxed(&engine->forgotten_ns);      /* only grows */
    if (changed_at_ns <= seen_ns)
        return;
    uint64_t forgotten_ns = hf_engine_forget_before_ns(engine);
    if (forgotten_ns < changed_at_ns)
        forgotten_ns = changed_at_ns;
    /* acq_rel is more than it needs: the chain orders it for whoever makes the id anew. */
    while (seen_ns < forgotten_ns &&
           !hf_cas_weak_acq_rel(&engine->forgotten_ns, &seen_ns, forgotten_ns))
        ;
}

/* Takes it out of the table, if it is there. False: not now. */
static bool forget(struct hf_actor *actor, uint32_t number)
{
    struct hf_engine *engine = actor->engine;
    struct hf_region *region = &engine->region;
    struct hf_limbo *limbo = &actor->limbo;
    if (limbo->count == limbo->capacity && !grow_limbo(limbo))
        return false;
    struct hf_id id;
    hf_reservation_get_id(&region->reservations[number], &id);
    struct hf_chain chain;
    if (!hf_table_take_chain(region, hf_hash_id(&id, region->header->hash_seed), &chain))
        return false;
    /* Whoever came first has forgotten it already, or somebody has it marked. With the chain taken,
     * what is found there stays there. */
    const struct hf_reservation_cell *cell = &region->reservations[number];
    uint64_t word = hf_load_acquire(&cell->word); /* pairs with the release that clears a mark */
    bool gone = hf_chain_find(&chain, region, &id) != cell ||
                !hf_state_is_final(hf_reservation_word_state(word));
    if (gone || (word & HF_WORD_MARKED) != 0) {
        hf_chain_leave(&chain);
        return gone;
    }
    raise_forgotten(engine, cell);
    hf_chain_remove(&chain, region, number);
    hf_chain_leave(&chain);
    limbo->cells[(limbo->head + limbo->count++) & (limbo->capacity - 1)] = (struct hf_limbo_cell){
        .stamp = hf_epochs_retire(&engine->epochs),
        .number = number,
    };
    return true;
}

/* Gives cells back on which nobody can stand any more. */
static void empty_limbo(struct hf_actor *actor)
{
    struct hf_engine *engine = actor->engine;
    struct hf_region *region = &engine->region;
    struct hf_limbo *limbo = &actor->limbo;
    while (limbo->count != 0) {
        struct hf_limbo_cell *oldest = &limbo->cells[limbo->head & (limbo->capacity - 1)];
        if (!hf_epochs_passed(&engine->epochs, oldest->stamp))
            return;
        struct hf_terms *terms = &region->terms[oldest->number];
        /* Release, all, and the word first: pairs with those who scan the cells. Nobody else knows it. */
        hf_store_release(&region->reservations[oldest->number].word, 0);
        hf_store_release(&terms->link, 0);
        hf_store_release(&terms->due_ns, 0);
        hf_store_release(&terms->origin, 0);
        hf_store_release(&terms->made_as, 0);
        hf_cells_give(region, &actor->allotment, oldest->number);
        hf_fetch_add_relaxed(&engine->reclaimed, 1); /* statistics */
        limbo->head++;
        limbo->count--;
    }
}

void hf_lapse_close(struct hf_actor *actor)
{
    /* The others are inside for one batch at a time. */
    for (empty_limbo(actor); actor->limbo.count != 0; empty_limbo(actor))
        sched_yield();
    free(actor->limbo.cells);
    actor->limbo = (struct hf_limbo){0};
}

/* ---- at every turn ---- */

/* Files it again, to be looked at a little later. */
static void look_later(struct hf_actor *actor, uint32_t number, uint64_t pause_ns)
{
    hf_store_release(&actor->engine->region.terms[number].due_ns, actor->now_ns + pause_ns);
    hf_engine_arm(actor, number);
}

/* How long to leave a finished reservation alone that is still retained. The log's time is behind the
 * clock: by the time since something was logged, mostly next to nothing, but while nothing happens
 * it stands still for days. So, when as long again has passed as it is late already; at most an
 * eighth of the retention, but a few seconds, as there may be many. */
static uint64_t until_forgotten_ns(const struct hf_engine *engine, uint64_t end_ns, uint64_t now_ns)
{
    if (end_ns > now_ns)
        return end_ns - now_ns;
    uint64_t again_ns = now_ns - end_ns + HF_NS_PER_MS;
    uint64_t most_ns = engine->retain_ns / 8 + 10 * HF_NS_PER_S;
    return again_ns < most_ns ? again_ns : most_ns;
}

/* A finished reservation is due. False: not now. */
static bool end_retention(struct hf_actor *actor, uint32_t number)
{
    struct hf_engine *engine = actor->engine;
    const struct hf_reservation_cell *cell = &engine->region.reservations[number];
    uint64_t end_ns = hf_retention_end_ns(engine, hf_load_acquire(&cell->changed_at_ns));
    if (end_ns > hf_engine_log_time_ns(engine)) {
        look_later(actor, number, until_forgotten_ns(engine, end_ns, actor->now_ns));
        return true;
    }
    if (forget(actor, number))
        return true;
    look_later(actor, number, HF_NS_PER_MS);
    return false;
}

/* Something is due for this reservation, or was once. False: it cannot be done now. */
static bool look_at(struct hf_actor *actor, uint32_t number)
{
    struct hf_region *region = &actor->engine->region;
    /* seq_cst, pairs with hf_engine_arm(): either we see the change that files it, or it sees that
     * the timer has let go of it, and files it anew. */
    uint64_t word = hf_load_seq_cst(&region->reservations[number].word);
    switch (hf_reservation_word_state(word)) {
    case HF_STATE_HELD:
        switch (hf_lapse_one(actor, number)) {
        case HF_LAPSE_SOME:
            break;
        case HF_LAPSE_NONE: /* extended, or resolved, just now */
            word = hf_load_relaxed(&region->reservations[number].word); /* arming is harmless */
            if (hf_reservation_word_state(word) == HF_STATE_HELD)
                hf_engine_arm(actor, number);
            break;
        case HF_LAPSE_BUSY:
            hf_engine_arm(actor, number);
            return false;
        }
        break;
    case HF_STATE_CANCELLED:
    case HF_STATE_RELEASED:
    case HF_STATE_EXPIRED:
        if ((word & HF_WORD_MARKED) == 0)
            return end_retention(actor, number);
        hf_engine_arm(actor, number);
        return false;
    case HF_STATE_CONFIRMED:
    case HF_STATE_WAITING:
        break; /* nothing is due: it was confirmed in time */
    }
    return true;
}

/* True: there is more. */
static bool do_what_is_due(struct hf_actor *actor, uint32_t budget)
{
    struct hf_timer *timer = &actor->engine->timer;
    uint32_t number;
    while (budget != 0 && (number = hf_timer_pop(timer, actor->now_ns, &budget, &actor->wake)) != 0)
        if (!look_at(actor, number))
            return true;
    return budget == 0 && hf_timer_has_work(timer, actor->now_ns);
}

bool hf_engine_tick(struct hf_actor *actor, uint32_t budget)
{
    struct hf_timer *timer = &actor->engine->timer;
    hf_waiting_do_chores(actor);
    if (HF_UNLIKELY(actor->limbo.count != 0))
        empty_limbo(actor);
    if (HF_LIKELY(!hf_timer_has_work(timer, actor->now_ns)))
        return false;
    /* seq_cst, both, pairs with hf_lapse_for(): who does not find an entry in the timer finds that
     * somebody has it. */
    hf_fetch_add_seq_cst(&actor->engine->lapsing, LAPSING_BEGIN);
    bool again = do_what_is_due(actor, budget);
    hf_fetch_add_seq_cst(&actor->engine->lapsing, UINT64_MAX); /* - 1 */
    return again;
}

enum hf_lapse hf_lapse_for(struct hf_actor *actor, const struct hf_inventory_cell *cell)
{
    struct hf_engine *engine = actor->engine;
    uint64_t before = hf_load_relaxed(&cell->held); /* a hint: did anything come back? */
    if (hf_engine_tick(actor, LAPSE_BUDGET) && hf_timer_backlog(&engine->timer, actor->now_ns))
        return HF_LAPSE_BUSY;
    uint32_t numbers[PEEK_ENTRIES];
    uint64_t lapsing = hf_load_seq_cst(&engine->lapsing); /* pairs with hf_engine_tick() */
    uint32_t count = hf_timer_peek(&engine->timer, actor->now_ns, numbers, PEEK_ENTRIES);
    enum hf_lapse lapse = hf_load_relaxed(&cell->held) < before ? HF_LAPSE_SOME : HF_LAPSE_NONE;
    uint32_t inventory = (uint32_t)(cell - engine->region.inventories);
    for (uint32_t i = 0; i < count; i++) {
        struct hf_reservation_cell *hold = &engine->region.reservations[numbers[i]];
        if (hf_load_relaxed(&hold->inventory) != inventory) /* a hint, lapse_one looks closely */
            continue;
        enum hf_lapse one = hf_lapse_one(actor, numbers[i]);
        if (one == HF_LAPSE_BUSY)
            return HF_LAPSE_BUSY;
        if (one == HF_LAPSE_SOME)
            lapse = HF_LAPSE_SOME;
    }
    /* There may be more than were told, or in the hands of somebody else, who is at it, or was: who moves
     * an entry from one bucket to another may have had it while we looked. */
    bool alone = (uint32_t)lapsing == 0 && hf_load_seq_cst(&engine->lapsing) == lapsing;
    if (lapse == HF_LAPSE_NONE && (count == PEEK_ENTRIES || !alone))
        return HF_LAPSE_BUSY;
    return lapse;
}

bool hf_engine_has_odd_jobs(const struct hf_actor *actor)
{
    /* Relaxed: whoever adds a chore has a turn of its own to end, and looks then. */
    return hf_load_relaxed(&actor->engine->chores) != 0 || actor->limbo.count != 0;
}

uint64_t hf_engine_sleep(struct hf_actor *actor)
{
    uint64_t soon_ns = actor->now_ns + HF_NS_PER_MS;
    uint64_t until_ns = hf_timer_sleep(&actor->engine->timer, actor->now_ns);
    return hf_engine_has_odd_jobs(actor) && soon_ns < until_ns ? soon_ns : until_ns;
}

void hf_engine_awake(struct hf_actor *actor)
{
    hf_timer_awake(&actor->engine->timer);
}
