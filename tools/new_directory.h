/*
 * New directories: where a log is written, whole or not at all. The directory must not exist, or
 * be empty: nothing is ever overwritten.
 *
 * As long as it is not whole it holds an empty file named 9999999999999999.snapshot: a snapshot
 * up to the highest LSN there can be, by its name, and a damaged one. Whatever else is there by
 * then, no server starts on that, and nothing reads it as a log that ends well. The mark is made
 * durable before anything else, and removed, durably, behind everything else. So a crash in
 * between leaves a directory that is refused, never a log that is shorter than it should be.
 *
 * Meanwhile DIR/lock is held, as a server does.
 */
#ifndef HF_TOOLS_NEW_DIRECTORY_H
#define HF_TOOLS_NEW_DIRECTORY_H

#include <limits.h>
#include <stdbool.h>

#include "tools/files.h"

struct hf_new_directory {
    char path[PATH_MAX];
    bool made; /* it did not exist */
    int lock;  /* descriptor; -1: it is closed */
};

/* Makes it, if need be, and marks it. False, with the reason in `error`, one line: nothing was left
 * there. */
bool hf_new_directory_open(struct hf_new_directory *directory, const char *path,
                           char error[HF_FILES_ERROR_BYTES]);

/* All is there, and durable: takes the mark away. False: it is not, or nobody knows; drop it. */
bool hf_new_directory_finish(struct hf_new_directory *directory, char error[HF_FILES_ERROR_BYTES]);

/* Removes what was written, and the directory if it was made. Nothing if it was finished. */
void hf_new_directory_drop(struct hf_new_directory *directory);

#endif
