/*
 * The verdict on a start after damage: bytes that rotted, writes that were lost or went elsewhere.
 *
 * The disk as it should be is known (hf_sim_disk_heal() on a copy), and so is its log: the blocks
 * that a start without damage would find. A start with it may come to one of three ends, and no other:
 *
 *   harmless    it found all those blocks.
 *   refused     it names a segment and an offset: those of the first block that is damaged, of a
 *               damaged segment header, or of the place where the log ends.
 *   unattested  it found the blocks before the first damaged one, and went on there. That is allowed
 *               only if no block behind it, of those whose header is still on the disk as it should
 *               be, says that it was durable; and silently only if nothing but zeros is left from
 *               there on (docs/log-format.md, "What no reader can know").
 */
#ifndef HF_TESTS_SIM_VERDICT_H
#define HF_TESTS_SIM_VERDICT_H

#include "tests/sim/life.h"
#include "tests/sim/proof.h"

enum hf_sim_verdict { HF_SIM_HARMLESS, HF_SIM_DENIED, HF_SIM_UNATTESTED };

/* A damaged disk, before it is started from. */
struct hf_sim_case {
    struct hf_sim_disk damaged, healed;
    struct hf_sim_chronicle chronicle; /* of the healed one */
};

/* The disk is at rest; `healed` is the same without the damage. NULL, or why the log of that could not
 * be read. */
const char *hf_sim_case_open(struct hf_sim_case *instance, const struct hf_sim_disk *damaged,
                             const struct hf_sim_disk *healed);
void hf_sim_case_close(struct hf_sim_case *instance);

/* The life's server has tried to start (hf_sim_life_try()) from the damaged disk, with this result.
 * NULL, or what is wrong: in life->text. */
const char *hf_sim_case_judge(const struct hf_sim_case *instance, struct hf_sim_life *life,
                              int result, enum hf_sim_verdict *verdict);

/* Starts from a disk with damage, judges, and if that was refused starts from the healed one: that
 * must do, with all that is there. *goes_on: the life does, its server runs; else what was promised is lost. */
const char *hf_sim_start_damaged(struct hf_sim_life *life, bool *goes_on);

#endif
