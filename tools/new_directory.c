/* New directories; see new_directory.h. */
#include "tools/new_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/io.h"
#include "wal/segment_header.h"
#include "wal/snapshot.h"

#define MODE      0750
#define LOCK_MODE 0640
#define LOCK_NAME "lock"

__attribute__((format(printf, 2, 3))) static bool fail(char error[HF_FILES_ERROR_BYTES],
                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, HF_FILES_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

/* The name by which no server starts: see new_directory.h. */
static const char *mark_name(char name[HF_SNAPSHOT_NAME_BYTES])
{
    hf_snapshot_name_format(HF_SNAPSHOT_LSN_MAX, name);
    return name;
}

/* The directory in which it stands, so that its name is durable. 0 or -errno. */
static int sync_parent(const char *path)
{
    char parent[PATH_MAX];
    struct hf_io *io = hf_io_posix();
    if (snprintf(parent, sizeof parent, "%s/..", path) >= (int)sizeof parent)
        return -ENAMETOOLONG;
    return io->sync_directory(io, parent);
}

/* What a file system puts there by itself does not count. */
static int judge_name(void *context, const char *name)
{
    (void)context;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0 ? 0
                                                                                                : 1;
}

static bool check_empty(const char *path, char error[HF_FILES_ERROR_BYTES])
{
    struct hf_io *io = hf_io_posix();
    int result = io->list(io, path, judge_name, NULL);
    if (result == 1)
        return fail(
            error, "%.300s is not empty, and nothing is overwritten: choose a new directory", path);
    return result == 0 || fail(error, "cannot list %.300s: %s", path, strerror(-result));
}

static bool take_lock(struct hf_new_directory *directory, char error[HF_FILES_ERROR_BYTES])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/" LOCK_NAME, directory->path) >= (int)sizeof path)
        return fail(error, "%.300s: %s", directory->path, strerror(ENAMETOOLONG));
    directory->lock = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, LOCK_MODE);
    if (directory->lock < 0)
        return fail(error, "cannot write into %.300s: %s", directory->path, strerror(errno));
    return flock(directory->lock, LOCK_EX | LOCK_NB) == 0 ||
           fail(error, "%.300s is in use: %s", directory->path, strerror(errno));
}

static bool set_mark(const struct hf_new_directory *directory, char error[HF_FILES_ERROR_BYTES])
{
    char name[HF_SNAPSHOT_NAME_BYTES];
    struct hf_io *io = hf_io_posix();
    int file = io->open_file(io, directory->path, mark_name(name), HF_IO_CREATE);
    int result = file < 0 ? file : io->close_file(io, file);
    if (result == 0)
        result = io->sync_directory(io, directory->path);
    if (result == 0)
        result = sync_parent(directory->path);
    return result == 0 ||
           fail(error, "cannot write into %.300s: %s", directory->path, strerror(-result));
}

bool hf_new_directory_open(struct hf_new_directory *directory, const char *path,
                           char error[HF_FILES_ERROR_BYTES])
{
    size_t length = strlen(path);
    directory->lock = -1;
    if (length >= sizeof directory->path)
        return fail(error, "%.300s: %s", path, strerror(ENAMETOOLONG));
    memcpy(directory->path, path, length + 1);
    directory->made = mkdir(path, MODE) == 0;
    if (!directory->made && errno != EEXIST)
        return fail(error, "cannot make directory %.300s: %s", path, strerror(errno));
    if (!directory->made && !check_empty(path, error))
        return false;
    if (take_lock(directory, error) && set_mark(directory, error))
        return true;
    hf_new_directory_drop(directory);
    return false;
}

bool hf_new_directory_finish(struct hf_new_directory *directory, char error[HF_FILES_ERROR_BYTES])
{
    char name[HF_SNAPSHOT_NAME_BYTES];
    struct hf_io *io = hf_io_posix();
    int result = io->sync_directory(io, directory->path);
    if (result == 0)
        result = io->remove_file(io, directory->path, mark_name(name));
    if (result == 0)
        result = io->sync_directory(io, directory->path);
    if (result != 0)
        return fail(error, "cannot write into %.300s: %s", directory->path, strerror(-result));
    close(directory->lock);
    directory->lock = -1;
    return true;
}

static bool is_ours(const char *name)
{
    uint64_t number;
    size_t length = strlen(name), suffix = strlen(HF_SEGMENT_TEMPORARY_SUFFIX);
    return hf_segment_name_parse(name, &number) || hf_snapshot_name_parse(name, &number) ||
           strcmp(name, LOCK_NAME) == 0 ||
           (length > suffix && strcmp(name + length - suffix, HF_SEGMENT_TEMPORARY_SUFFIX) == 0);
}

/* But for the mark, which goes last. */
static int remove_name(void *context, const char *name)
{
    const struct hf_new_directory *directory = context;
    char mark[HF_SNAPSHOT_NAME_BYTES];
    struct hf_io *io = hf_io_posix();
    if (is_ours(name) && strcmp(name, mark_name(mark)) != 0)
        io->remove_file(io, directory->path, name);
    return 0;
}

void hf_new_directory_drop(struct hf_new_directory *directory)
{
    if (directory->lock < 0)
        return;
    char name[HF_SNAPSHOT_NAME_BYTES];
    struct hf_io *io = hf_io_posix();
    io->list(io, directory->path, remove_name, directory);
    io->remove_file(io, directory->path, mark_name(name));
    close(directory->lock);
    directory->lock = -1;
    if (directory->made)
        rmdir(directory->path);
}
