/* The proof; see proof.h. */
#include "tests/crash/proof.h"

#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "tools/ledger.h"

#define REMEMBER_NS (1000ull * 24 * 3600 * HF_NS_PER_S) /* everything */

void hf_proof_open(struct hf_proof *proof)
{
    *proof = (struct hf_proof){.ledger = hf_ledger_open(REMEMBER_NS)};
    HF_CHECK(proof->ledger);
}

void hf_proof_close(struct hf_proof *proof)
{
    hf_ledger_close(proof->ledger);
}

const char *hf_proof_block(void *context, const struct hf_block_view *view)
{
    struct hf_proof *proof = context;
    const struct hf_block *block = &view->header;
    const char *reason = NULL;
    uint64_t lsn = block->first_lsn;
    if ((block->flags & HF_BLOCK_START) != 0) {
        hf_ledger_start(proof->ledger);
        proof->start_lsn = block->first_lsn - 1;
    }
    for (uint32_t i = 0; i < block->record_count && reason == NULL; i++) {
        lsn = block->first_lsn + i;
        reason = hf_ledger_enter(proof->ledger, view->records + (size_t)i * HF_RECORD_BYTES);
    }
    if (reason == NULL)
        reason = hf_ledger_end_block(proof->ledger);
    proof->log_bytes += block->block_bytes;
    if (reason == NULL)
        return NULL;
    snprintf(proof->text, sizeof proof->text, "LSN %llu, segment %llu at %u: %s",
             (unsigned long long)lsn, (unsigned long long)block->segment, block->offset, reason);
    return proof->text;
}

uint64_t hf_proof_hash(const struct hf_proof *proof, uint64_t retain_ns)
{
    uint64_t retained;
    return hf_ledger_state_hash(proof->ledger, retain_ns, &retained);
}
