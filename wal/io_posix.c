/*
 * The real I/O: struct hf_io over POSIX calls. Blocking; for start, background and tools.
 *
 * Three things are dealt with here so that nobody else has to: calls that a signal interrupts,
 * transfers that come back short, and file systems that cannot do direct I/O in units of
 * HF_BLOCK_ALIGN_BYTES. There the page cache is between us and the disk, and two things follow:
 *
 *   reading  What the cache holds is not what the disk has, if writing it back failed once: the
 *            kernel tells that error once, and keeps the page. So the cache is asked to forget the
 *            file before it is read for recovery.
 *   writing  Nothing is durable before fdatasync says so. Every write_at() that promises it asks,
 *            whatever the file system: these are few (the first and the last block of a run, the cut
 *            of a torn tail).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "wal/block.h"
#include "wal/io.h"

#define CREATE_MODE 0640

static int join_path(char path[PATH_MAX], const char *directory, const char *name)
{
    int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int open_retried(const char *path, int flags)
{
    int file;
    do {
        file = open(path, flags | O_CLOEXEC, CREATE_MODE);
    } while (file < 0 && errno == EINTR);
    return file < 0 ? -errno : file;
}

/* Whether direct I/O in our unit is known to work. */
enum direct_support { DIRECT_NOT_TOLD, DIRECT_NO, DIRECT_YES };

static enum direct_support ask_direct(int file, struct hf_io_direct *direct)
{
#ifdef STATX_DIOALIGN
    struct statx status;
    if (statx(file, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) < 0 ||
        (status.stx_mask & STATX_DIOALIGN) == 0)
        return DIRECT_NOT_TOLD;
    direct->memory_align_bytes = status.stx_dio_mem_align;
    direct->offset_align_bytes = status.stx_dio_offset_align;
    return hf_io_direct_fits(direct, HF_BLOCK_ALIGN_BYTES) ? DIRECT_YES : DIRECT_NO;
#else
    (void)file;
    (void)direct;
    return DIRECT_NOT_TOLD;
#endif
}

void hf_io_posix_direct(int file, struct hf_io_direct *direct)
{
    *direct = (struct hf_io_direct){0};
    enum direct_support support = ask_direct(file, direct);
    int flags = fcntl(file, F_GETFL);
    direct->used = flags >= 0 && (flags & O_DIRECT) != 0;
    direct->certain = direct->used && support == DIRECT_YES;
}

/* Opens past the page cache where that works, and else through it. */
static int open_direct(const char *path, int flags)
{
    int file = open_retried(path, flags | O_DIRECT);
    if (file == -EINVAL)
        return open_retried(path, flags);
    struct hf_io_direct direct = {0};
    if (file < 0 || ask_direct(file, &direct) != DIRECT_NO)
        return file;
    int result = fcntl(file, F_GETFL);
    if (result >= 0)
        result = fcntl(file, F_SETFL, result & ~O_DIRECT);
    if (result >= 0)
        return file;
    result = -errno;
    close(file);
    return result;
}

static int open_to_recover(const char *path)
{
    int file = open_direct(path, O_RDONLY);
    struct hf_io_direct direct;
    if (file < 0)
        return file;
    hf_io_posix_direct(file, &direct);
    if (!direct.certain) /* advice, and so is the answer */
        (void)posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    return file;
}

/*
 * Opens for writing and locks the file. A write in flight keeps its open file, and with it the
 * lock, until it is over, also when its process was killed: so what we read after this cannot be
 * written over by the dead.
 */
static int open_exclusive(const char *path)
{
    int file = open_direct(path, O_WRONLY);
    if (file < 0)
        return file;
    int result;
    do {
        result = flock(file, LOCK_EX) < 0 ? -errno : 0;
    } while (result == -EINTR);
    if (result == 0)
        return file;
    close(file);
    return result;
}

static int posix_open_file(struct hf_io *io, const char *directory, const char *name,
                           enum hf_io_open_mode mode)
{
    (void)io;
    char path[PATH_MAX];
    int result = join_path(path, directory, name);
    if (result < 0)
        return result;
    switch (mode) {
    case HF_IO_READ:
        return open_retried(path, O_RDONLY);
    case HF_IO_READ_DIRECT:
        return open_to_recover(path);
    case HF_IO_WRITE:
        return open_exclusive(path);
    case HF_IO_CREATE:
        return open_direct(path, O_RDWR | O_CREAT | O_TRUNC);
    case HF_IO_OVERWRITE:
        return open_direct(path, O_RDWR);
    }
    return -EINVAL;
}

static int posix_close_file(struct hf_io *io, int file)
{
    (void)io;
    /* On Linux the descriptor is gone even when close() was interrupted: never repeat it. */
    return close(file) < 0 && errno != EINTR ? -errno : 0;
}

static size_t align_down(size_t bytes)
{
    return bytes - bytes % HF_BLOCK_ALIGN_BYTES;
}

/*
 * After a short read, goes on at the last aligned place before its end, as direct reads must. A
 * read that gets no further than the one before met the end of the file.
 */
static ssize_t posix_read_at(struct hf_io *io, int file, void *buffer, size_t bytes,
                             uint64_t offset)
{
    (void)io;
    size_t done = 0;
    while (done < bytes) {
        size_t from = align_down(done);
        ssize_t count = pread(file, (uint8_t *)buffer + from, bytes - from, (off_t)(offset + from));
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (from + (size_t)count <= done)
            break;
        done = from + (size_t)count;
    }
    return (ssize_t)done;
}

/* What a file was opened for, its access mode tells: what is to be synced by its owner is open for
 * reading as well. */
static bool promises_durability(int file)
{
    return (fcntl(file, F_GETFL) & O_ACCMODE) != O_RDWR;
}

static int sync_data(int file)
{
    return fdatasync(file) < 0 ? -errno : 0;
}

/* After a short write, repeats from the last aligned place; one that gets nowhere is an error. */
static int posix_write_at(struct hf_io *io, int file, const void *buffer, size_t bytes,
                          uint64_t offset)
{
    (void)io;
    size_t done = 0;
    while (done < bytes) {
        ssize_t count =
            pwrite(file, (const uint8_t *)buffer + done, bytes - done, (off_t)(offset + done));
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (align_down((size_t)count) == 0)
            return -EIO;
        done += align_down((size_t)count);
    }
    return promises_durability(file) ? sync_data(file) : 0;
}

static int posix_sync_file(struct hf_io *io, int file)
{
    (void)io;
    return sync_data(file);
}

static int posix_sync_directory(struct hf_io *io, const char *directory)
{
    (void)io;
    int file = open_retried(directory, O_RDONLY | O_DIRECTORY);
    if (file < 0)
        return file;
    int result = fsync(file) < 0 ? -errno : 0;
    close(file);
    return result;
}

static int posix_free_bytes(struct hf_io *io, const char *directory, uint64_t *bytes)
{
    struct statvfs status;
    (void)io;
    if (statvfs(directory, &status) != 0)
        return -errno;
    if (status.f_blocks == 0)
        return -EOPNOTSUPP; /* as in memory without a bound: it does not say */
    /* What is reserved for root is there for us if that is who we are. */
    *bytes = (geteuid() == 0 ? status.f_bfree : status.f_bavail) * status.f_frsize;
    return 0;
}

static int posix_file_bytes(struct hf_io *io, int file, uint64_t *bytes)
{
    (void)io;
    struct stat status;
    if (fstat(file, &status) < 0)
        return -errno;
    *bytes = (uint64_t)status.st_size;
    return 0;
}

static int posix_rename_file(struct hf_io *io, const char *directory, const char *from,
                             const char *to)
{
    (void)io;
    char from_path[PATH_MAX], to_path[PATH_MAX];
    int result = join_path(from_path, directory, from);
    if (result == 0)
        result = join_path(to_path, directory, to);
    if (result < 0)
        return result;
    return rename(from_path, to_path) < 0 ? -errno : 0;
}

static int posix_remove_file(struct hf_io *io, const char *directory, const char *name)
{
    (void)io;
    char path[PATH_MAX];
    int result = join_path(path, directory, name);
    if (result < 0)
        return result;
    return unlink(path) < 0 ? -errno : 0;
}

/* "." and ".." are not told. */
static int posix_list(struct hf_io *io, const char *directory,
                      int (*each)(void *context, const char *name), void *context)
{
    (void)io;
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return -errno;
    int result = 0;
    while (result == 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = each(context, entry->d_name);
    }
    closedir(stream);
    return result;
}

static struct hf_io posix_io = {
    .concurrent = true,
    .open_file = posix_open_file,
    .close_file = posix_close_file,
    .read_at = posix_read_at,
    .write_at = posix_write_at,
    .sync_file = posix_sync_file,
    .sync_directory = posix_sync_directory,
    .file_bytes = posix_file_bytes,
    .free_bytes = posix_free_bytes,
    .rename_file = posix_rename_file,
    .remove_file = posix_remove_file,
    .list = posix_list,
};

struct hf_io *hf_io_posix(void)
{
    return &posix_io;
}
