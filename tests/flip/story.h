/*
 * The story: a small log with everything in it, written by real processes into a real directory.
 *
 *   first run    inventories, some dozens of changes of all kinds, a clean end (STOP)
 *   second run   more; a snapshot; changes until the second segment is begun; a snapshot; more; killed
 *   third run    some more; killed, so that the newest block is attested by nobody
 *
 * So there are two segments of 1 MiB with blocks and perhaps one that was prepared; two snapshots, of
 * which the second begins with the second segment; and nothing is yet released.
 */
#ifndef HF_TESTS_FLIP_STORY_H
#define HF_TESTS_FLIP_STORY_H

#include <stdint.h>

/* Forks; the caller has one thread. 0 or -1, with a line on stderr. */
int hf_story_write(const char *directory, uint64_t seed);

#endif
