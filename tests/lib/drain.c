/* Emptying a ring; see drain.h. */
#include "tests/lib/drain.h"

#include "base/atomics.h"
#include "wal/record.h"

#define AT_ONCE 128

void hf_drain_in_passing(struct hf_ring *ring, _Atomic uint32_t *consumer)
{
    uint8_t records[AT_ONCE * HF_RECORD_BYTES];
    uint32_t nobody = 0;
    /* acq_rel, pairs with the release below: hands the consumer's role over. */
    if (!hf_cas_acq_rel(consumer, &nobody, 1))
        return;
    hf_ring_drain(ring, records, hf_ring_published(ring, AT_ONCE));
    hf_store_release(consumer, 0); /* pairs with the CAS above */
}
