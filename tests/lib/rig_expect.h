/*
 * What unit tests expect of a rig (engine_rig.h). It stands here, as the library itself does without
 * Criterion.
 */
#ifndef HF_TESTS_LIB_RIG_EXPECT_H
#define HF_TESTS_LIB_RIG_EXPECT_H

#include <criterion/criterion.h>

#include "tests/lib/engine_rig.h"

/* What the log makes is what lives: SAME-STATE. And CONSERVATION, in both. */
static inline void hf_rig_expect_same_after_recovery(struct hf_rig *rig)
{
    hf_rig_drain(rig);
    uint64_t digest = hf_rig_digest(rig);
    const char *wrong = hf_rig_recover(rig, rig->log_count);
    cr_assert_null(wrong, "%s", wrong);
    cr_expect_eq(hf_rig_digest(rig), digest, "SAME-STATE");
}

static inline void hf_rig_expect_units(struct hf_rig *rig, uint64_t inventory_id, int32_t available,
                                       uint32_t held, uint32_t confirmed)
{
    struct hf_inventory inventory = hf_rig_inventory(rig, inventory_id);
    cr_expect_eq(inventory.available, available, "available %d, not %d", inventory.available,
                 available);
    cr_expect_eq(inventory.held, held, "held %u, not %u", inventory.held, held);
    cr_expect_eq(inventory.confirmed, confirmed, "confirmed %u, not %u", inventory.confirmed,
                 confirmed);
}

#endif
