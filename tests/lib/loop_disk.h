/*
 * A small file system of its own: an image in a file, mounted through a loop device. A disk that can
 * really be filled.
 *
 * It takes root, and a system that lets it mount; where that is not so the caller is told why, and
 * should skip. The mount is seen by this process and its children only (a mount namespace of their
 * own), so nothing of it is left when they are gone, however they end; but the image is.
 */
#ifndef HF_TESTS_LIB_LOOP_DISK_H
#define HF_TESTS_LIB_LOOP_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/process.h"

struct hf_loop_disk {
    char directory[HF_DIRECTORY_TEXT_BYTES];  /* where the image is */
    char point[HF_DIRECTORY_TEXT_BYTES + 16]; /* where it is mounted: an empty ext4 */
    bool mounted;
};

/* An ext4 of this size. False: `reason` says why there can be none. Once a process. */
bool hf_loop_disk_open(struct hf_loop_disk *disk, uint64_t bytes, char reason[256]);

/* Nothing on it is open any more. */
void hf_loop_disk_close(struct hf_loop_disk *disk);

/* Bytes that can still be written. */
uint64_t hf_loop_disk_free_bytes(const struct hf_loop_disk *disk);

/* Fills it up with a file beside everything else, until so much is left; or takes of that file away,
 * until so much is free. As near as the file system lets one: a few blocks. 0 or -errno. */
int hf_loop_disk_leave(struct hf_loop_disk *disk, uint64_t free_bytes);

#endif
