/*
 * The verdict on a start after damage: bytes that rotted, writes that were lost or went elsewhere,
 * files that are gone, cut short or swapped.
 *
 * The disk as it should be is known (hf_sim_disk_heal() on a copy), and so is its log: the blocks
 * that a start without damage would find. From docs/log-format.md it follows how a start from the
 * damaged disk must end, and nothing else will do:
 *
 *   where it begins  Behind the newest snapshot of which no byte is damaged; that a newer one is
 *                    damaged must be said.
 *   where it ends    Behind the last block before the first damaged one.
 *   refused          If from that end on there is what rules out a torn tail (rules a to d), if a
 *                    snapshot's name attests more than there is, or if a segment that is read is
 *                    missing, too short, or has a damaged header. A place is named: that end, or
 *                    one in that segment.
 *   started          Else, with exactly the blocks up to that end. If that is not all, nothing
 *                    attested it ("what no reader can know"), and unless only zeros follow, that it
 *                    is cut is said.
 */
#ifndef HF_TESTS_SIM_VERDICT_H
#define HF_TESTS_SIM_VERDICT_H

#include "tests/sim/life.h"
#include "tests/sim/proof.h"

enum hf_sim_verdict {
    HF_SIM_HARMLESS,   /* all was found */
    HF_SIM_DENIED,     /* it did not start */
    HF_SIM_UNATTESTED, /* the end of the log is lost, which nothing attested */
};

/* A damaged disk, before it is started from. */
struct hf_sim_case {
    struct hf_sim_disk damaged, healed;
    struct hf_sim_chronicle chronicle; /* of the healed one */
};

/* The disk is at rest; `healed` is the same without the damage. NULL, or why the log of that could
 * not be read. */
const char *hf_sim_case_open(struct hf_sim_case *instance, const struct hf_sim_disk *damaged,
                             const struct hf_sim_disk *healed);
void hf_sim_case_close(struct hf_sim_case *instance);

/* The life's server has tried to start (hf_sim_life_try()) from the damaged disk, with this result.
 * NULL, or what is wrong: in life->text. */
const char *hf_sim_case_judge(const struct hf_sim_case *instance, struct hf_sim_life *life,
                              int result, enum hf_sim_verdict *verdict);

/* Starts from a disk with damage, and judges; unless something was lost, then starts from the
 * healed one: that must do, with all that is there. *goes_on: the life does, its server runs; else
 * what was promised is lost. */
const char *hf_sim_start_damaged(struct hf_sim_life *life, bool *goes_on);

#endif
