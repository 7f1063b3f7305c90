/*
 * Which versions of an inventory the claims of one run have had: a bit for each, so that one which
 * stands for two claims is found.
 *
 * Claims come nearly in the order of their versions: one that is late is so by what was in flight
 * at once. So only the newest versions are kept in mind: 2^20 of them, or 64 for each claim if that
 * is less, so that no log makes this large that is not large itself.
 */
#ifndef HF_TOOLS_LEDGER_VERSIONS_H
#define HF_TOOLS_LEDGER_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: none. */
struct hf_ledger_versions {
    int64_t newest;   /* word that a claim had a version of: version / 64 */
    int64_t oldest;   /* likewise, of those that are kept in mind */
    uint64_t bits;    /* of that word */
    uint64_t *before; /* bits of the words before it, word w at w modulo room; NULL: none yet */
    uint32_t room;    /* words: a power of two; 0: none */
    uint64_t claims;
};

enum hf_ledger_version_standing {
    HF_LEDGER_VERSION_NEW,
    HF_LEDGER_VERSION_TWICE,
    HF_LEDGER_VERSION_FORGOTTEN, /* too old: nobody can say */
    HF_LEDGER_VERSION_NO_MEMORY,
};

/* A claim with that version. */
enum hf_ledger_version_standing hf_ledger_versions_add(struct hf_ledger_versions *versions,
                                                       int64_t version);

/* Another run. */
void hf_ledger_versions_clear(struct hf_ledger_versions *versions);
void hf_ledger_versions_free(struct hf_ledger_versions *versions);

#endif
