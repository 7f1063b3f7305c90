/* Directories that are needed for a while. */
#ifndef HF_BASE_TEMPORARY_H
#define HF_BASE_TEMPORARY_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes a new directory PARENT/holdfast-..., for us alone, and tells its path. 0, -ENAMETOOLONG if that
 * does not fit, or -errno. Who asked removes it. */
static inline int hf_temporary_directory(char *path, size_t path_bytes, const char *parent)
{
    enum { REPLACED = 6 }; /* letters X at the end, which mkdtemp() replaces */
    int length = snprintf(path, path_bytes, "%s/holdfast-", parent);
    if (length < 0 || (size_t)length + REPLACED >= path_bytes)
        return -ENAMETOOLONG;
    memset(path + length, 'X', REPLACED);
    path[length + REPLACED] = '\0';
    return mkdtemp(path) != NULL ? 0 : -errno;
}

#endif
