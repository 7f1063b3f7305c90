/*
 * A still: a directory as it stood, in memory, behind the I/O seam.
 *
 * Recovery reads it as it would read the files, as often as one likes. What it writes (it zeroes a
 * torn tail) is noted, and hf_still_restore() takes it back. So a byte can be flipped, a recovery
 * made of it, and the next one flipped, some thousand times a second.
 *
 * Recovery neither creates, renames nor removes files; one that does is stopped. Not thread-safe.
 */
#ifndef HF_TESTS_FLIP_STILL_H
#define HF_TESTS_FLIP_STILL_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/io.h"

#define HF_STILL_FILES      16
#define HF_STILL_NAME_BYTES 64

struct hf_still_file {
    char name[HF_STILL_NAME_BYTES];
    uint8_t *bytes;
    uint64_t file_bytes;
    bool absent; /* the directory does not show it */
};

/* What stood where something was written since. */
struct hf_still_undo {
    uint32_t file;
    uint64_t offset;
    size_t bytes;
    uint8_t *before;
};

struct hf_still {
    struct hf_io io; /* hand out &still->io */
    struct hf_still_file files[HF_STILL_FILES];
    uint32_t file_count;
    struct hf_still_undo *undos;
    uint32_t undo_count, undo_room;
};

/* Takes in every segment and snapshot of a directory. 0 or -errno. */
int hf_still_open(struct hf_still *still, const char *directory);
void hf_still_close(struct hf_still *still);

/* NULL: there is no such file. */
struct hf_still_file *hf_still_find(struct hf_still *still, const char *name);

/* As it was before anything was written. */
void hf_still_restore(struct hf_still *still);

#endif
