/*
 * An outage: which part of what was not durable is left of it.
 *
 * Each write that was not durable, or in flight, survives in one of the ways that disks and their
 * caches know: not at all, whole, up to some sector, from some sector on, with holes, with one
 * sector alone, page by page. An outage as a whole has a temper: at times nothing survives, at
 * times all, mostly each write has a fate of its own.
 */
#ifndef HF_TESTS_SIM_OUTAGE_H
#define HF_TESTS_SIM_OUTAGE_H

#include "tests/sim/disk.h"

/* The machine stopped: what survives is what is there, and durable. */
void hf_sim_outage(struct hf_sim_disk *disk);

/* Chooses which sectors of a write survive: those that do not are taken out of write->left. */
void hf_sim_tear(struct hf_random *random, struct hf_sim_write *write);

/* Puts what is left of a write into a content. */
void hf_sim_write_apply(const struct hf_sim_write *write, struct hf_sim_content *content);

#endif
