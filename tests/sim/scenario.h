/*
 * Scenarios: what a life goes through. Each is one seed, and does what it does with every seed
 * alike.
 *
 *   random      Runs of some ten steps, each ended in another way: by a power failure or a kill at
 *               some change of the disk, a clean end, a write that fails (FAIL-STOP), damage; with
 *               disks that are full, or stand still, on the way. Starts are cut short, too.
 *   exhaustive  A short life without any trouble is lived once, and its changes of the disk are
 *               counted. Then it is lived again for each of them, up to just that change: there the
 *               disk dies, and several power failures and kills are tried on copies of what it
 *               held, some cut short in recovery again. With a stride, only some of the changes are
 *               died in.
 *   damage      A small log is made. Then every sector of every block of it, places all over its
 *               files, and the files themselves are damaged in each way, one at a time; and each
 *               result is judged (verdict.h).
 */
#ifndef HF_TESTS_SIM_SCENARIO_H
#define HF_TESTS_SIM_SCENARIO_H

#include "tests/sim/life.h"

/* NULL, or what is wrong: in life->text. The life was begun; the caller ends it. */
const char *hf_sim_random(struct hf_sim_life *life);

/* They begin and end lives of this seed themselves. NULL, or what is wrong: in `text`. */
const char *hf_sim_exhaustive(const struct hf_sim_setting *setting, uint64_t seed, uint64_t stride,
                              char *text, size_t text_bytes);
const char *hf_sim_damage(const struct hf_sim_setting *setting, uint64_t seed, char *text,
                          size_t text_bytes);

#endif
