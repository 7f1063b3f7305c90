/* Files of a log; see files.h. */
#include "tools/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/io.h"
#include "wal/segment_header.h"
#include "wal/snapshot.h"

#define SECTOR_BYTES 512 /* of st_blocks */

struct listing {
    struct hf_files *files;
    const char *directory;
};

static bool make_path(char path[PATH_MAX], const char *directory, const char *name)
{
    int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < PATH_MAX;
}

static void note_segment(struct hf_files *files, uint64_t number)
{
    if (files->segments++ == 0 || number < files->first_segment)
        files->first_segment = number;
    if (number > files->last_segment)
        files->last_segment = number;
}

/* Sorted in; the oldest are left out if there are too many. */
static void note_snapshot(struct hf_files *files, uint64_t last_lsn)
{
    uint64_t at =
        files->snapshots < HF_FILES_SNAPSHOTS_MAX ? files->snapshots : HF_FILES_SNAPSHOTS_MAX;
    files->snapshots++;
    for (; at > 0 && files->last_lsns[at - 1] < last_lsn; at--) {
        if (at < HF_FILES_SNAPSHOTS_MAX)
            files->last_lsns[at] = files->last_lsns[at - 1];
    }
    if (at < HF_FILES_SNAPSHOTS_MAX)
        files->last_lsns[at] = last_lsn;
}

static bool is_temporary(const char *name)
{
    size_t length = strlen(name), suffix = strlen(HF_SEGMENT_TEMPORARY_SUFFIX);
    return length > suffix && strcmp(name + length - suffix, HF_SEGMENT_TEMPORARY_SUFFIX) == 0;
}

static int note(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t number;
    if (hf_segment_name_parse(name, &number))
        note_segment(listing->files, number);
    else if (hf_snapshot_name_parse(name, &number))
        note_snapshot(listing->files, number);
    else if (is_temporary(name))
        listing->files->temporary++;
    else
        return 0;
    char path[PATH_MAX];
    struct stat status;
    if (make_path(path, listing->directory, name) && stat(path, &status) == 0)
        listing->files->disk_bytes += (uint64_t)status.st_blocks * SECTOR_BYTES;
    return 0;
}

bool hf_files_list(struct hf_files *files, const char *directory, char error[HF_FILES_ERROR_BYTES])
{
    *files = (struct hf_files){0};
    struct listing listing = {files, directory};
    struct hf_io *io = hf_io_posix();
    int result = io->list(io, directory, note, &listing);
    if (result != 0)
        snprintf(error, HF_FILES_ERROR_BYTES, "cannot list %s: %s", directory, strerror(-result));
    return result == 0;
}

struct next_segment {
    uint64_t from, found; /* 0: none yet */
};

static int note_next(void *context, const char *name)
{
    struct next_segment *next = context;
    uint64_t number;
    if (hf_segment_name_parse(name, &number) && number >= next->from &&
        (next->found == 0 || number < next->found))
        next->found = number;
    return 0;
}

uint64_t hf_files_next_segment(const char *directory, uint64_t number)
{
    struct next_segment next = {.from = number};
    struct hf_io *io = hf_io_posix();
    return io->list(io, directory, note_next, &next) == 0 ? next.found : 0;
}

static int open_name(const char *directory, const char *name)
{
    char path[PATH_MAX];
    return make_path(path, directory, name) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

int hf_files_keep(const char *directory)
{
    int keep = open_name(directory, "keep");
    if (keep < 0)
        return -1;
    int result;
    do {
        result = flock(keep, LOCK_SH);
    } while (result < 0 && errno == EINTR);
    if (result == 0)
        return keep;
    close(keep);
    return -1;
}

void hf_files_release(int keep)
{
    if (keep >= 0)
        close(keep);
}

bool hf_files_server_runs(const char *directory)
{
    int lock = open_name(directory, "lock");
    if (lock < 0)
        return false;
    bool held = flock(lock, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    close(lock);
    return held;
}

bool hf_files_lock(const char *directory, int *lock)
{
    *lock = open_name(directory, "lock");
    if (*lock < 0 || flock(*lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return true;
    close(*lock);
    return false;
}
