/* A ledger's insides, for the files that it is made of: ledger.c, ledger_load.c, ledger_view.c. */
#ifndef HF_TOOLS_LEDGER_PRIVATE_H
#define HF_TOOLS_LEDGER_PRIVATE_H

#include "tools/ledger.h"
#include "tools/ledger_book.h"
#include "tools/ledger_change.h"

struct hf_ledger {
    struct hf_ledger_book book;
    struct hf_ledger_totals totals; /* what is counted as records come */
    uint64_t next_lsn;              /* 0: any, while loading */
    enum { HF_LEDGER_FRESH, HF_LEDGER_LOADING, HF_LEDGER_JUDGING } phase;

    /* A chain that is not complete yet. */
    uint32_t chain_count, chain_length;
    uint8_t chain[HF_LEDGER_CHAIN_MAX * HF_LEDGER_RECORD_BYTES];
    struct hf_ledger_reservation_image images[HF_LEDGER_CHAIN_MAX];

    struct hf_ledger_change change;
    char reason[HF_LEDGER_REASON_BYTES];
};

#define hf_ledger_fault(ledger, ...) hf_ledger_reason((ledger)->reason, __VA_ARGS__)

/* Does `each` with all records, and lets what it needs be fetched before. *done: how many went
 * well. */
typedef const char *hf_ledger_step(struct hf_ledger *ledger, const uint8_t *record,
                                   enum hf_ledger_source source, const struct hf_ledger_hint *hint);
const char *hf_ledger_pipeline(struct hf_ledger *ledger, const uint8_t *records, uint32_t count,
                               hf_ledger_step *step, enum hf_ledger_source source, uint32_t *done);

#endif
