/*
 * What a directory keeps: its snapshots, its segments, and what was left half-made.
 *
 * Looked at while no server runs. A file gets the name of a snapshot only when it is whole, so each
 * must be right, whenever its server was killed; but for one that was damaged here.
 */
#ifndef HF_TESTS_CRASH_KEPT_H
#define HF_TESTS_CRASH_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/snapshot.h"

#define HF_KEPT_SNAPSHOTS 16

struct hf_kept_snapshot {
    uint64_t last_lsn; /* its name */
    bool right;
    struct hf_snapshot_header header; /* if it is right */
    char wrong[320];                  /* if it is not */
};

struct hf_kept {
    struct hf_kept_snapshot snapshots[HF_KEPT_SNAPSHOTS]; /* the newest first */
    int snapshot_count;
    uint64_t first_segment, last_segment; /* that are there; 0: none */
    uint64_t segments;
    uint64_t temporaries; /* files with a name that ends in .tmp */
};

/* 0 or -errno. */
int hf_kept_look(struct hf_kept *kept, const char *directory);

/* The snapshot that recovery begins with: the newest that is right. NULL: there is none. */
const struct hf_kept_snapshot *hf_kept_newest_right(const struct hf_kept *kept);

/* Flips one bit of a snapshot: `random` says which. 0 or -errno. */
int hf_kept_damage(const char *directory, uint64_t last_lsn, uint64_t random);

#endif
