/* Disks that a life may begin with: empty; or with the log of a server that was started and stopped
 * again and again, until little room was left in its segment. So segments fill often. */
#ifndef HF_TESTS_SIM_ORIGIN_H
#define HF_TESTS_SIM_ORIGIN_H

#include "tests/sim/disk.h"

/* Dates of all logs are before this one. */
#define HF_SIM_ORIGIN_NS (900ull * 1000000000ull)

/* Makes the logs. Once, before the first life; ends the process if one cannot be made. */
void hf_sim_origins_make(const char *directory);
void hf_sim_origins_free(void);

/* One of the disks, by chance. */
void hf_sim_origin_copy(struct hf_sim_disk *to, struct hf_random *random);

#endif
