/*
 * The archive: where the server's archive command puts what is full, and what must hold of it: a
 * segment that a server with an archive has let go is there, whole, and just as it was in the log.
 *
 * The command is a careful one. A server that is killed leaves it running, and the next one gives it
 * the same file again: so nothing that is there is ever replaced, and what is there already has to be
 * the same.
 */
#ifndef HF_TESTS_CRASH_ARCHIVE_H
#define HF_TESTS_CRASH_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/annals.h"
#include "tests/lib/process.h"

struct hf_archive {
    char directory[HF_DIRECTORY_TEXT_BYTES + 16];
    char command[2048]; /* for --archive-command */
    uint64_t checked;   /* segments */
    char text[400];
};

/* Makes the directory: `beside` with a suffix. 0 or -errno. */
int hf_archive_open(struct hf_archive *archive, const char *beside);

/* Removes it. A command may still run. */
void hf_archive_close(struct hf_archive *archive);

/* From now on the command fails, or does not. */
void hf_archive_set_failing(struct hf_archive *archive, bool failing);

/* Looks for a segment that the log has let go. NULL, or what is wrong with it there. */
const char *hf_archive_check(struct hf_archive *archive, struct hf_annals *annals,
                             uint64_t segment);

#endif
