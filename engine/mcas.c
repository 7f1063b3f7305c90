/* Multi-word CAS; the algorithm and the argument are told in mcas.h. */
#include "engine/mcas.h"

#define STATE_BITS 2
#define ACTOR_MASK (HF_MAX_ACTORS - 1)

static uint64_t make_ref(uint32_t actor, uint64_t tag)
{
    return HF_WORD_DESCRIPTOR | tag << HF_WORD_ACTOR_BITS | actor;
}

static uint64_t tag_of_ref(uint64_t ref)
{
    return (ref & ~HF_WORD_DESCRIPTOR) >> HF_WORD_ACTOR_BITS;
}

static uint64_t make_status(uint64_t tag, enum hf_mcas_state state)
{
    return tag << STATE_BITS | (uint64_t)state;
}

static uint64_t tag_of_status(uint64_t status)
{
    return status >> STATE_BITS;
}

static enum hf_mcas_state state_of_status(uint64_t status)
{
    return (enum hf_mcas_state)(status & ((1u << STATE_BITS) - 1));
}

static struct hf_mcas_descriptor *descriptor_of(const struct hf_mcas *mcas, uint64_t ref)
{
    return &mcas->descriptors[ref & ACTOR_MASK];
}

static uint64_t offset_of_place(const struct hf_mcas *mcas, const _Atomic uint64_t *place)
{
    return (uint64_t)((uintptr_t)place - (uintptr_t)mcas->base); /* modulo 2^64 */
}

static _Atomic uint64_t *place_at(const struct hf_mcas *mcas, uint64_t offset)
{
    return (_Atomic uint64_t *)((uintptr_t)mcas->base + (uintptr_t)offset);
}

/* ---- begin ---- */

/* Shell's sort: in place, without allocation, a single pass if they are sorted. */
static void sort_by_place(struct hf_mcas_entry *entries, uint32_t count)
{
    static const uint32_t gaps[] = {57, 23, 10, 4, 1};
    for (uint32_t g = 0; g < sizeof gaps / sizeof gaps[0]; g++) {
        uint32_t gap = gaps[g];
        for (uint32_t i = gap; i < count; i++) {
            struct hf_mcas_entry entry = entries[i];
            uint32_t to = i;
            for (; to >= gap && (uintptr_t)entries[to - gap].place > (uintptr_t)entry.place;
                 to -= gap)
                entries[to] = entries[to - gap];
            entries[to] = entry;
        }
    }
}

/* a. to c. of what callers must see to, as far as it can be told here. */
static void check(const struct hf_mcas_entry *entry, const struct hf_mcas_entry *before)
{
    uint32_t ahead =
        (hf_word_version(entry->desired) - hf_word_version(entry->expected)) & HF_WORD_VERSION_MASK;
    HF_CHECK(!hf_word_is_descriptor(entry->expected) && !hf_word_is_descriptor(entry->desired));
    HF_CHECK(ahead != 0 && ahead <= HF_WORD_VERSION_MASK / 2);
    HF_CHECK(before == NULL || before->place != entry->place);
}

uint64_t hf_mcas_begin(const struct hf_mcas *mcas, uint32_t actor, struct hf_mcas_entry *entries,
                       uint32_t count)
{
    HF_CHECK(actor < HF_MAX_ACTORS && count != 0 && count <= HF_MCAS_ENTRIES);
    sort_by_place(entries, count);
    struct hf_mcas_descriptor *descriptor = &mcas->descriptors[actor];
    /* Relaxed: the operation before was ours, or the actor number came to us with all behind it. */
    uint64_t tag = tag_of_status(hf_load_relaxed(&descriptor->status)) + 1;
    /* Release, pairs with the loads of the status: who sees the new tag and looks again at a place
     * where it met the old one finds it gone. */
    hf_store_release(&descriptor->status, make_status(tag, HF_MCAS_UNDECIDED));
    /* Release, pairs with read_slot(): who sees any of these sees the new tag behind it. */
    hf_store_release(&descriptor->count, count);
    for (uint32_t i = 0; i < count; i++) {
        struct hf_mcas_slot *slot = &descriptor->slots[i];
        check(&entries[i], i == 0 ? NULL : &entries[i - 1]);
        hf_store_release(&slot->offset, offset_of_place(mcas, entries[i].place)); /* as above */
        hf_store_release(&slot->expected, entries[i].expected);
        hf_store_release(&slot->desired, entries[i].desired);
    }
    return make_ref(actor, tag);
}

/* ---- reading a descriptor that its owner may be using again ---- */

/* Good if the status still has the tag of the ref. */
struct view {
    uint64_t status; /* read last */
    uint64_t count;
    uint64_t offset, expected, desired;
};

static struct view read_slot(const struct hf_mcas *mcas, uint64_t ref, uint32_t index)
{
    struct hf_mcas_descriptor *descriptor = descriptor_of(mcas, ref);
    struct hf_mcas_slot *slot = &descriptor->slots[index];
    struct view view;
    /* Acquire, pairs with hf_mcas_begin(): if any of these is of a later operation, so is the
     * status. (None is of an earlier one: the ref was acquired, and was installed after begin.) */
    view.count = hf_load_acquire(&descriptor->count);
    view.offset = hf_load_acquire(&slot->offset);
    view.expected = hf_load_acquire(&slot->expected);
    view.desired = hf_load_acquire(&slot->desired);
    /* Acquire, pairs with hf_mcas_decide(): once it is decided, all installs are seen. */
    view.status = hf_load_acquire(&descriptor->status);
    return view;
}

/* What a place that holds the ref counts as. */
static uint64_t logical_value(const struct view *view)
{
    switch (state_of_status(view->status)) {
    case HF_MCAS_SUCCEEDED:
        return view->desired;
    case HF_MCAS_FAILED:
        return hf_word_bumped(view->expected);
    default:
        return view->expected;
    }
}

/* ---- install, decide, detach ---- */

static enum hf_mcas_step install_at(_Atomic uint64_t *place, uint64_t expected, uint64_t ref,
                                    uint64_t *blocker)
{
    uint64_t found = expected;
    /* acq_rel. Acquire pairs with whoever changed the word before: its doing comes before ours.
     * With a ref of another, it also brings the descriptor that this names. Release pairs with
     * those who meet the ref: they find the descriptor filled. On failure acquire, pairs with
     * detach: 4. of the argument. */
    if (hf_cas_acq_rel(place, &found, ref) || found == ref)
        return HF_MCAS_STEP_INSTALLED;
    if (!hf_word_is_descriptor(found))
        return HF_MCAS_STEP_MISMATCH;
    *blocker = found;
    return HF_MCAS_STEP_BLOCKED;
}

enum hf_mcas_step hf_mcas_install(const struct hf_mcas *mcas, struct hf_mcas_progress *progress,
                                  uint32_t end, uint64_t *blocker)
{
    uint64_t ref = progress->ref;
    uint64_t undecided = make_status(tag_of_ref(ref), HF_MCAS_UNDECIDED);
    for (; progress->next < end && progress->next < HF_MCAS_ENTRIES; progress->next++) {
        struct view view = read_slot(mcas, ref, progress->next);
        if (view.status != undecided)
            return HF_MCAS_STEP_OVER;
        if (progress->next >= view.count)
            break;
        enum hf_mcas_step step =
            install_at(place_at(mcas, view.offset), view.expected, ref, blocker);
        if (step != HF_MCAS_STEP_INSTALLED)
            return step;
    }
    return HF_MCAS_STEP_INSTALLED;
}

void hf_mcas_decide(const struct hf_mcas *mcas, uint64_t ref, enum hf_mcas_state state)
{
    uint64_t tag = tag_of_ref(ref);
    uint64_t status = make_status(tag, HF_MCAS_UNDECIDED);
    /* acq_rel. Release: who sees the decision sees all the installs that it rests on. Acquire, also
     * on failure: whoever decided before us had seen them, too. */
    (void)hf_cas_acq_rel(&descriptor_of(mcas, ref)->status, &status, make_status(tag, state));
}

bool hf_mcas_detach(const struct hf_mcas *mcas, uint64_t ref)
{
    uint64_t tag = tag_of_ref(ref);
    uint64_t status = 0;
    for (uint32_t i = 0; i < HF_MCAS_ENTRIES; i++) {
        struct view view = read_slot(mcas, ref, i);
        status = view.status;
        if (tag_of_status(status) != tag || i >= view.count)
            break;
        HF_CHECK(state_of_status(status) != HF_MCAS_UNDECIDED);
        _Atomic uint64_t *place = place_at(mcas, view.offset);
        /* Relaxed: all installs happened before the decision that we acquired, so this is the ref,
         * or what came after it; then there is nothing to do. */
        uint64_t found = hf_load_relaxed(place);
        /* acq_rel, pairs with the loads and CASes of all who use the word: they see what the owner
         * did before the operation; and with install_at(): 4. of the argument. */
        if (found == ref)
            (void)hf_cas_acq_rel(place, &found, logical_value(&view));
    }
    return status == make_status(tag, HF_MCAS_SUCCEEDED);
}

/* ---- the whole of it ---- */

/* After install came to an end that is not BLOCKED. */
static bool finish(const struct hf_mcas *mcas, uint64_t ref, enum hf_mcas_step step)
{
    if (step == HF_MCAS_STEP_INSTALLED)
        hf_mcas_decide(mcas, ref, HF_MCAS_SUCCEEDED);
    else if (step == HF_MCAS_STEP_MISMATCH)
        hf_mcas_decide(mcas, ref, HF_MCAS_FAILED);
    return hf_mcas_detach(mcas, ref);
}

/* Without recursion, as a chain of blocked operations may be long: goes to the end of the chain,
 * finishes that one, and starts again at the first. */
void hf_mcas_help(const struct hf_mcas *mcas, uint64_t word)
{
    if (!hf_word_is_descriptor(word))
        return;
    struct hf_mcas_progress progress = {.ref = word};
    uint64_t blocker = 0;
    for (;;) {
        enum hf_mcas_step step = hf_mcas_install(mcas, &progress, HF_MCAS_ENTRIES, &blocker);
        if (step == HF_MCAS_STEP_BLOCKED) {
            progress = (struct hf_mcas_progress){.ref = blocker};
            continue;
        }
        finish(mcas, progress.ref, step);
        if (progress.ref == word)
            return;
        progress = (struct hf_mcas_progress){.ref = word};
    }
}

bool hf_mcas(const struct hf_mcas *mcas, uint32_t actor, struct hf_mcas_entry *entries,
             uint32_t count)
{
    struct hf_mcas_progress progress = {.ref = hf_mcas_begin(mcas, actor, entries, count)};
    uint64_t blocker = 0;
    enum hf_mcas_step step;
    while ((step = hf_mcas_install(mcas, &progress, count, &blocker)) == HF_MCAS_STEP_BLOCKED)
        hf_mcas_help(mcas, blocker);
    return finish(mcas, progress.ref, step);
}

uint64_t hf_mcas_load_slow(const struct hf_mcas *mcas, _Atomic uint64_t *place)
{
    for (;;) {
        uint64_t word = hf_load_acquire(place); /* as in hf_mcas_load() */
        if (!hf_word_is_descriptor(word))
            return word;
        hf_mcas_help(mcas, word);
    }
}

/* False: the operation of the ref is over, look at the place again. */
static bool peek_behind(const struct hf_mcas *mcas, uint64_t ref, uint64_t offset, uint64_t *word)
{
    for (uint32_t i = 0; i < HF_MCAS_ENTRIES; i++) {
        struct view view = read_slot(mcas, ref, i);
        if (tag_of_status(view.status) != tag_of_ref(ref) || i >= view.count)
            return false;
        if (view.offset == offset) {
            /* If undecided: the ref is still there, as detach comes later. If decided: it was there
             * at that instant, or is there since; both lie within this call. */
            *word = logical_value(&view);
            return true;
        }
    }
    return false;
}

uint64_t hf_mcas_peek(const struct hf_mcas *mcas, const _Atomic uint64_t *place)
{
    for (;;) {
        uint64_t word = hf_load_acquire(place); /* pairs with install_at() and detach */
        if (!hf_word_is_descriptor(word) ||
            peek_behind(mcas, word, offset_of_place(mcas, place), &word))
            return word;
        hf_cpu_relax();
    }
}
