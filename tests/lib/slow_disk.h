/*
 * A disk that is as slow as a test wants, for a server in a process of its own.
 *
 * holdfastd-slow (tests/slow) is holdfastd, with its reads of the log delayed and its writes of blocks
 * held back, as a file says that both processes have mapped: the test sets it while the server runs.
 * Everything else of it is the real thing, the disk included.
 */
#ifndef HF_TESTS_LIB_SLOW_DISK_H
#define HF_TESTS_LIB_SLOW_DISK_H

#include <stdint.h>

#include "tests/lib/process.h"

/* Names the file to holdfastd-slow. */
#define HF_SLOW_DISK_VARIABLE "HOLDFAST_SLOW_DISK"

struct hf_slow_disk {
    /* Set by the test. Relaxed, all: when it is seen does not matter. */
    _Atomic uint64_t read_delay_ns;        /* before each read of the log */
    _Atomic uint64_t writes_held_until_ns; /* monotonic: no block is written before */

    /* Told by the server. */
    _Atomic uint64_t reads;
    _Atomic uint64_t writes;
    _Atomic uint64_t writes_held; /* of them */
};

/* As hf_daemon_launch(), for holdfastd-slow on the disk of that file; options->program is not looked
 * at. */
int hf_slow_disk_launch(const char *path, struct hf_daemon *server,
                        const struct hf_daemon_options *options);

/* Makes the file at `path` if need be, and maps it. NULL: it cannot be. */
struct hf_slow_disk *hf_slow_disk_map(const char *path);
void hf_slow_disk_unmap(struct hf_slow_disk *disk);

#endif
