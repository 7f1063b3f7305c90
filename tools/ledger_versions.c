/* The set of versions; see ledger_versions.h. */
#include "tools/ledger_versions.h"

#include <stdlib.h>
#include <string.h>

#include "tools/ledger_index.h"

#define FIRST_SLOTS 1024

/* The slot of that place, or the free one where it belongs. */
static struct hf_versions_slot *slot_of(const struct hf_versions *versions, uint32_t inventory,
                                        uint64_t place)
{
    uint64_t at = hf_hash_of_number(place ^ (uint64_t)inventory << 40) & versions->mask;
    struct hf_versions_slot *slot = &versions->slots[at];
    while (slot->bits != 0 && (slot->place != place || slot->inventory != inventory)) {
        at = (at + 1) & versions->mask;
        slot = &versions->slots[at];
    }
    return slot;
}

bool hf_versions_reserve(struct hf_versions *versions)
{
    if (versions->slots != NULL && (versions->count + 1) * 2 <= versions->mask + 1)
        return true;
    uint64_t slots = versions->slots == NULL ? FIRST_SLOTS : (versions->mask + 1) * 2;
    struct hf_versions grown = {calloc(slots, sizeof(struct hf_versions_slot)), slots - 1,
                                versions->count};
    if (grown.slots == NULL)
        return false;
    for (uint64_t at = 0; versions->slots != NULL && at <= versions->mask; at++) {
        const struct hf_versions_slot *slot = &versions->slots[at];
        if (slot->bits != 0)
            *slot_of(&grown, slot->inventory, slot->place) = *slot;
    }
    free(versions->slots);
    *versions = grown;
    return true;
}

bool hf_versions_add(struct hf_versions *versions, uint32_t inventory, uint64_t version)
{
    uint64_t bit = 1ull << (version & 63);
    struct hf_versions_slot *slot = slot_of(versions, inventory, version >> 6);
    if ((slot->bits & bit) != 0)
        return false;
    versions->count += slot->bits == 0;
    slot->place = version >> 6;
    slot->inventory = inventory;
    slot->bits |= bit;
    return true;
}

void hf_versions_clear(struct hf_versions *versions)
{
    if (versions->slots != NULL)
        memset(versions->slots, 0, (versions->mask + 1) * sizeof *versions->slots);
    versions->count = 0;
}

void hf_versions_free(struct hf_versions *versions)
{
    free(versions->slots);
    *versions = (struct hf_versions){0};
}
