/* The burst; its steps are told in burst.h. */
#include "engine/burst.h"

#include "engine/hash.h"

/* One of the reservations to be made. */
struct step {
    struct hf_inventory_cell *inventory;
    struct hf_chain chain;
    uint32_t number;  /* of its cell */
    uint32_t version; /* of the inventory, which its claim produced */
};

struct burst {
    struct hf_actor *actor;
    const struct hf_reserve *requests;
    uint64_t hashes[HF_BURST_MAX];
    struct step steps[HF_BURST_MAX];
    uint32_t taken;   /* steps whose chain and cell are ours */
    uint32_t claimed; /* of these, steps whose units are ours */
};

static inline __attribute__((always_inline)) void prefetch_heads(const struct hf_region *region,
                                                                 const struct hf_reserve *requests,
                                                                 uint32_t count, uint64_t *hashes)
{
    for (uint32_t i = 0; i < count; i++) {
        hashes[i] = hf_hash_id(&requests[i].id, region->header->hash_seed);
        hf_table_prefetch_head(region, hashes[i]);
    }
}

static void prefetch(struct burst *burst, uint32_t count)
{
    const struct hf_region *region = &burst->actor->engine->region;
    prefetch_heads(region, burst->requests, count, burst->hashes);
    /* Meanwhile the lines that will be written, about: others may take LSNs before us. */
    const struct hf_ring *ring = burst->actor->log.ring;
    uint64_t tail = hf_load_relaxed(&ring->tail);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *slot = (const uint8_t *)hf_ring_slot(ring, tail + i);
        __builtin_prefetch(slot, 1);
        __builtin_prefetch(slot + HF_CACHE_LINE_BYTES, 1);
    }
    for (uint32_t i = 0; i < count; i++)
        hf_table_prefetch_cell(region, burst->hashes[i]);
}

/* The inventory of a request, which is often that of the one before. */
static struct hf_inventory_cell *inventory_of(const struct burst *burst, uint32_t number)
{
    const struct hf_reserve *request = &burst->requests[number];
    if (number != 0 && request->inventory_id == request[-1].inventory_id)
        return burst->steps[number - 1].inventory;
    return hf_region_find_inventory(&burst->actor->engine->region, request->inventory_id);
}

/* Step 1 for one. False: the burst ends before it. */
static bool take(struct burst *burst, uint32_t number)
{
    struct hf_region *region = &burst->actor->engine->region;
    struct step *step = &burst->steps[number];
    const struct hf_id *id = &burst->requests[number].id;
    struct hf_reservation_cell *known;
    step->inventory = inventory_of(burst, number);
    if (step->inventory == NULL || hf_id_is_zero(id) ||
        !hf_cells_allot(region, &burst->actor->allotment) ||
        hf_table_take(region, id, burst->hashes[number], &step->chain, &known) != HF_LOOKUP_ABSENT)
        return false;
    step->number = hf_cells_take(region, &burst->actor->allotment);
    __builtin_prefetch(&region->reservations[step->number], 1);
    return true;
}

/* Step 2 for the run of `count` steps from burst->claimed on, which want `units`. False: they cannot
 * be had as easily as that. */
static bool claim_run(struct burst *burst, uint32_t count, uint64_t units)
{
    struct step *steps = &burst->steps[burst->claimed];
    uint64_t word = hf_load_acquire(&steps->inventory->word);
    if (!hf_inventory_claim_run(steps->inventory, count, units, &word))
        return false;
    for (uint32_t i = 0; i < count; i++)
        steps[i].version = (hf_word_version(word) - (count - 1 - i)) & HF_WORD_VERSION_MASK;
    burst->claimed += count;
    return true;
}

static void claim(struct burst *burst)
{
    while (burst->claimed < burst->taken) {
        uint32_t first = burst->claimed, end = first;
        uint64_t units = 0;
        while (end < burst->taken && burst->steps[end].inventory == burst->steps[first].inventory)
            units += burst->requests[end++].qty;
        if (!claim_run(burst, end - first, units))
            return;
    }
}

/* Steps 3 and 4 for one. */
static void record(struct burst *burst, uint32_t number, uint64_t lsn, struct hf_reservation *made)
{
    const struct hf_reserve *request = &burst->requests[number];
    struct step *step = &burst->steps[number];
    struct hf_actor *actor = burst->actor;
    struct hf_region *region = &actor->engine->region;
    *made = (struct hf_reservation){
        .id = request->id,
        .inventory_id = request->inventory_id,
        .customer_id = request->customer_id,
        .lsn = lsn,
        .made_at_ns = actor->now_ns,
        .changed_at_ns = actor->now_ns,
        .qty = request->qty,
        .sequence = 1,
        .state = HF_STATE_CONFIRMED,
    };
    struct hf_ring_slot *slot = hf_ring_slot(actor->log.ring, lsn);
    hf_image_encode_grant((uint8_t *)slot, made, step->version, 0);
    hf_ring_publish(slot, lsn);

    struct hf_reservation_cell *cell = &region->reservations[step->number];
    /* Release, all: pairs with those who scan the cells. */
    hf_reservation_set_id(cell, &made->id);
    hf_store_release(&cell->customer_id, made->customer_id);
    hf_store_release(&cell->made_at_ns, made->made_at_ns);
    hf_store_release(&cell->changed_at_ns, made->changed_at_ns);
    hf_store_release(&cell->lsn, lsn);
    hf_store_release(&cell->inventory, (uint32_t)(step->inventory - region->inventories));
    hf_store_release(&cell->word, hf_reservation_word(HF_STATE_CONFIRMED, 1, made->qty));
    hf_chain_push(&step->chain, region, step->number, step->chain.bit);
    hf_chain_leave(&step->chain);
}

/* What was taken and could not be claimed goes back: a cell into the stock it came from, if it was the
 * last to leave it. */
static void give_back(struct burst *burst)
{
    struct hf_allotment *allotment = &burst->actor->allotment;
    for (uint32_t i = burst->taken; i-- > burst->claimed;) {
        uint32_t number = burst->steps[i].number;
        hf_chain_leave(&burst->steps[i].chain);
        if (allotment->next == number + 1)
            allotment->next = number;
        else
            hf_cells_give(&burst->actor->engine->region, allotment, number);
    }
}

static enum hf_claim weigh(const struct hf_region *region, const struct hf_reserve *request,
                           uint64_t *word)
{
    const struct hf_inventory_cell *inventory =
        hf_region_find_inventory(region, request->inventory_id);
    return inventory != NULL ? hf_inventory_weigh(inventory, request->qty, word)
                             : HF_CLAIM_INVOLVED;
}

enum hf_claim hf_engine_weigh_burst(const struct hf_actor *actor, const struct hf_reserve *first)
{
    uint64_t word;
    return weigh(&actor->engine->region, first, &word);
}

uint32_t hf_engine_reserve_burst(struct hf_actor *actor, const struct hf_reserve *requests,
                                 uint32_t count, struct hf_reservation *made)
{
    struct burst burst;
    burst.actor = actor;
    burst.requests = requests;
    burst.taken = burst.claimed = 0;
    HF_CHECK(count != 0 && count <= HF_BURST_MAX);
    if (!hf_ring_credit(&actor->log, count))
        return 0;
    prefetch(&burst, count);
    while (burst.taken < count && take(&burst, burst.taken))
        burst.taken++;
    claim(&burst);
    if (burst.claimed != 0) {
        hf_actor_date_claim(actor);
        uint64_t lsn = hf_ring_reserve_chain(&actor->log, burst.claimed);
        for (uint32_t i = 0; i < burst.claimed; i++)
            record(&burst, i, lsn + i, &made[i]);
        /* Relaxed: a date and statistics, written by us only. */
        hf_store_relaxed(actor->logged_at_ns, actor->now_ns);
        hf_store_relaxed(&actor->made, hf_load_relaxed(&actor->made) + burst.claimed);
    }
    give_back(&burst);
    return burst.claimed;
}

/* How many of the first requests want more than there is, by a look at each inventory's word. */
static uint32_t count_too_few(const struct hf_region *region, const struct hf_reserve *requests,
                              uint32_t count, struct hf_availability *left)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_reserve *request = &requests[i];
        uint64_t word;
        if (hf_id_is_zero(&request->id))
            return i;
        if (i != 0 && request->inventory_id == request[-1].inventory_id &&
            request->qty == request[-1].qty) {
            left[i] = left[i - 1];
            continue;
        }
        if (weigh(region, request, &word) != HF_CLAIM_TOO_FEW)
            return i;
        left[i] = (struct hf_availability){hf_word_available(word), hf_word_version(word)};
    }
    return count;
}

uint32_t hf_engine_refuse_burst(struct hf_actor *actor, const struct hf_reserve *requests,
                                uint32_t count, struct hf_availability *left)
{
    const struct hf_region *region = &actor->engine->region;
    struct hf_reservation_cell *known;
    uint64_t hashes[HF_BURST_MAX];
    HF_CHECK(count != 0 && count <= HF_BURST_MAX);
    prefetch_heads(region, requests, count, hashes);
    count = count_too_few(region, requests, count, left);
    for (uint32_t i = 0; i < count; i++)
        if (hf_table_find(region, &requests[i].id, hashes[i], &known) != HF_LOOKUP_ABSENT)
            return i;
    return count;
}
