/* The set of inventory versions that claims of one run of the server produced: 64 neighbours share
 * a slot of an open-addressing table. */
#ifndef HF_TOOLS_LEDGER_VERSIONS_H
#define HF_TOOLS_LEDGER_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

/* A slot without a bit is free. */
struct hf_versions_slot {
    uint64_t place; /* of its first version, / 64 */
    uint64_t bits;
    uint32_t inventory;
};

/* All zero: empty. */
struct hf_versions {
    struct hf_versions_slot *slots;
    uint64_t mask;
    uint64_t count;
};

/* Makes room for one more. False: out of memory. */
bool hf_versions_reserve(struct hf_versions *versions);

/* After hf_versions_reserve(). False: it was there. */
bool hf_versions_add(struct hf_versions *versions, uint32_t inventory, uint64_t version);

/* Forgets all. */
void hf_versions_clear(struct hf_versions *versions);
void hf_versions_free(struct hf_versions *versions);

#endif
