/*
 * A new file, whole or not at all: it is written under its name and ".part", synced, and then gets
 * its name, if nothing else has that by then. Nothing is ever overwritten.
 */
#ifndef HF_TOOLS_NEW_FILE_H
#define HF_TOOLS_NEW_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#define HF_NEW_FILE_ERROR_BYTES 640

struct hf_new_file {
    char path[PATH_MAX], part[PATH_MAX];
    FILE *out; /* to be written to */
};

/* False, with the reason in `error`: it exists, or cannot be made. */
bool hf_new_file_open(struct hf_new_file *file, const char *path,
                      char error[HF_NEW_FILE_ERROR_BYTES]);

/* Makes it durable under its name. False, with the reason in `error`: it is not there. Closed in
 * either case. */
bool hf_new_file_finish(struct hf_new_file *file, char error[HF_NEW_FILE_ERROR_BYTES]);

/* Does without it. */
void hf_new_file_drop(struct hf_new_file *file);

#endif
