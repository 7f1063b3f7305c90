/* Versions that claims have had; see ledger_versions.h. */
#include "tools/ledger_versions.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS  64
#define FIRST_ROOM 8u
#define MAX_ROOM   ((1u << 20) / WORD_BITS)

static uint64_t *word_at(const struct hf_ledger_versions *versions, int64_t word)
{
    return &versions->before[(uint64_t)word & (versions->room - 1)];
}

/* Tries to have room for so many words before the newest; it may be less. False: out of memory. */
static bool make_room(struct hf_ledger_versions *versions, uint64_t wanted)
{
    if (wanted <= versions->room)
        return true;
    uint32_t room = versions->room == 0 ? FIRST_ROOM : versions->room;
    while (room < wanted && room < MAX_ROOM && room < versions->claims)
        room *= 2;
    if (room == versions->room)
        return true;
    uint64_t *before = calloc(room, sizeof *before);
    if (before == NULL)
        return false;
    for (uint32_t back = 1; back <= versions->room; back++)
        before[(uint64_t)(versions->newest - back) & (room - 1)] =
            *word_at(versions, versions->newest - back);
    free(versions->before);
    versions->before = before;
    versions->room = room;
    return true;
}

/* The newest word and those behind it, up to this one, become words before it. */
static void advance(struct hf_ledger_versions *versions, int64_t word)
{
    uint64_t distance = (uint64_t)word - (uint64_t)versions->newest;
    if (distance > versions->room) {
        memset(versions->before, 0, versions->room * sizeof *versions->before);
    } else {
        *word_at(versions, versions->newest) = versions->bits;
        for (int64_t between = versions->newest + 1; between < word; between++)
            *word_at(versions, between) = 0;
    }
    versions->newest = word;
    versions->bits = 0;
    if (versions->oldest < word - versions->room)
        versions->oldest = word - versions->room;
}

enum hf_ledger_version_standing hf_ledger_versions_add(struct hf_ledger_versions *versions,
                                                       int64_t version)
{
    int64_t word = version / WORD_BITS - (version % WORD_BITS < 0);
    uint64_t bit = 1ull << ((uint64_t)version % WORD_BITS);
    if (versions->claims++ == 0)
        versions->newest = versions->oldest = word;
    uint64_t *bits = &versions->bits;
    if (word > versions->newest) {
        if (!make_room(versions, (uint64_t)word - (uint64_t)versions->oldest))
            return HF_LEDGER_VERSION_NO_MEMORY;
        advance(versions, word);
    } else if (word < versions->newest) {
        uint64_t back = (uint64_t)versions->newest - (uint64_t)word;
        if (!make_room(versions, back))
            return HF_LEDGER_VERSION_NO_MEMORY;
        if (back > versions->room)
            return HF_LEDGER_VERSION_FORGOTTEN;
        bits = word_at(versions, word);
        if (versions->oldest > word)
            versions->oldest = word;
    }
    if ((*bits & bit) != 0)
        return HF_LEDGER_VERSION_TWICE;
    *bits |= bit;
    return HF_LEDGER_VERSION_NEW;
}

void hf_ledger_versions_clear(struct hf_ledger_versions *versions)
{
    if (versions->before != NULL)
        memset(versions->before, 0, versions->room * sizeof *versions->before);
    versions->bits = 0;
    versions->claims = 0;
}

void hf_ledger_versions_free(struct hf_ledger_versions *versions)
{
    free(versions->before);
    *versions = (struct hf_ledger_versions){0};
}
