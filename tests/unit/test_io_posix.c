/* The real I/O, on a real directory: what it opens, transfers, refuses, and reports. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/lib/private_mount.h"
#include "tests/lib/process.h"
#include "wal/block.h"
#include "wal/io.h"

#define PAGE 4096L

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct hf_io *io;
static uint8_t *pages; /* four, aligned */

static void open_directory(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    io = hf_io_posix();
    pages = aligned_alloc(PAGE, 4 * PAGE);
    cr_assert_not_null(pages);
}

static void close_directory(void)
{
    hf_private_unmount(directory); /* if the test mounted something */
    hf_directory_remove(directory);
    free(pages);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(io_posix, .init = open_directory, .fini = close_directory);

static void mount_or_skip(const char *type, const char *options)
{
    int result = hf_private_mount(type, options, directory);
    if (result == 0)
        return;
    close_directory();
    cr_skip_test("cannot mount a %s here: %s", type, strerror(-result));
}

static int created(const char *name)
{
    int file = io->open_file(io, directory, name, HF_IO_CREATE);
    cr_assert_geq(file, 0, "%s: the tests need a file system with O_DIRECT", strerror(-file));
    return file;
}

Test(io_posix, what_is_written_is_read_in_every_mode)
{
    /* A file of two pages, created, then overwritten in part, then read both ways. */
    int file = created("a");
    memset(pages, 1, 2 * PAGE);
    cr_assert_eq(io->write_at(io, file, pages, 2 * PAGE, 0), 0);
    cr_assert_eq(io->sync_file(io, file), 0);
    cr_assert_eq(io->close_file(io, file), 0);
    cr_assert_eq(io->sync_directory(io, directory), 0);

    file = io->open_file(io, directory, "a", HF_IO_WRITE);
    cr_assert_geq(file, 0);
    memset(pages, 2, PAGE);
    cr_assert_eq(io->write_at(io, file, pages, PAGE, PAGE), 0);
    io->close_file(io, file);

    static const enum hf_io_open_mode modes[] = {HF_IO_READ, HF_IO_READ_DIRECT};
    for (size_t i = 0; i < 2; i++) {
        file = io->open_file(io, directory, "a", modes[i]);
        cr_assert_geq(file, 0);
        uint64_t bytes;
        cr_assert_eq(io->file_bytes(io, file, &bytes), 0);
        cr_expect_eq(bytes, 2 * PAGE);
        memset(pages, 0, 4 * PAGE);
        cr_expect_eq(io->read_at(io, file, pages, 2 * PAGE, 0), 2 * PAGE);
        cr_expect_eq(pages[0], 1);
        cr_expect_eq(pages[PAGE - 1], 1);
        cr_expect_eq(pages[PAGE], 2);
        cr_expect_eq(pages[2 * PAGE - 1], 2);
        io->close_file(io, file);
    }
}

Test(io_posix, a_read_is_short_only_at_the_end_of_the_file)
{
    /* A file that ends in the middle of a page, read beyond its end and behind it. */
    int file = created("a");
    memset(pages, 7, 2 * PAGE);
    cr_assert_eq(io->write_at(io, file, pages, 2 * PAGE, 0), 0);
    cr_assert_eq(ftruncate(file, PAGE + 100), 0);
    io->close_file(io, file);
    static const enum hf_io_open_mode modes[] = {HF_IO_READ, HF_IO_READ_DIRECT};
    for (size_t i = 0; i < 2; i++) {
        file = io->open_file(io, directory, "a", modes[i]);
        cr_assert_geq(file, 0);
        cr_expect_eq(io->read_at(io, file, pages, 4 * PAGE, 0), PAGE + 100);
        cr_expect_eq(io->read_at(io, file, pages, PAGE, PAGE), 100);
        cr_expect_eq(io->read_at(io, file, pages, PAGE, 2 * PAGE), 0);
        io->close_file(io, file);
    }
}

Test(io_posix, modes_open_as_they_promise)
{
    /* The flags of each descriptor, as the kernel has them; all are closed on exec. */
    int file = created("a");
    cr_expect_eq(fcntl(file, F_GETFL) & (O_ACCMODE | O_DIRECT), O_RDWR | O_DIRECT);
    cr_expect(fcntl(file, F_GETFD) & FD_CLOEXEC);
    io->close_file(io, file);

    file = io->open_file(io, directory, "a", HF_IO_WRITE);
    cr_expect_eq(fcntl(file, F_GETFL) & (O_ACCMODE | O_DIRECT), O_WRONLY | O_DIRECT);
    cr_expect(fcntl(file, F_GETFD) & FD_CLOEXEC);
    int reader = io->open_file(io, directory, "a", HF_IO_READ);
    cr_expect(flock(reader, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK, "one writer a file");
    io->close_file(io, file);
    cr_expect_eq(flock(reader, LOCK_EX | LOCK_NB), 0);
    io->close_file(io, reader);

    file = io->open_file(io, directory, "a", HF_IO_READ);
    cr_expect_eq(fcntl(file, F_GETFL) & (O_ACCMODE | O_DIRECT), O_RDONLY);
    cr_expect(fcntl(file, F_GETFD) & FD_CLOEXEC);
    io->close_file(io, file);
}

Test(io_posix, what_is_opened_for_writing_is_synced_after_every_write)
{
    /* /dev/null takes any write, and refuses to be synced. */
    int file = io->open_file(io, "/dev", "null", HF_IO_WRITE);
    cr_assert_geq(file, 0, "%s", strerror(-file));
    cr_expect_eq(io->write_at(io, file, pages, PAGE, 0), -EINVAL);
    io->close_file(io, file);
    file = io->open_file(io, "/dev", "null", HF_IO_CREATE);
    cr_assert_geq(file, 0, "%s", strerror(-file));
    cr_expect_eq(io->write_at(io, file, pages, PAGE, 0), 0, "that is its owner's to sync");
    io->close_file(io, file);
}

Test(io_posix, a_write_that_fails_is_told_and_not_covered_up_by_a_sync)
{
    int file = io->open_file(io, "/dev", "full", HF_IO_WRITE);
    cr_assert_geq(file, 0, "%s", strerror(-file));
    cr_expect_eq(io->write_at(io, file, pages, PAGE, 0), -ENOSPC);
    io->close_file(io, file);
}

Test(io_posix, a_file_system_without_direct_io_is_read_and_written_all_the_same)
{
    /* A ramfs, which refuses O_DIRECT: every mode opens, without; nothing is claimed. */
    struct hf_io_direct direct;
    mount_or_skip("ramfs", NULL);
    static const enum hf_io_open_mode modes[] = {HF_IO_CREATE, HF_IO_WRITE, HF_IO_READ_DIRECT};
    for (size_t i = 0; i < 3; i++) {
        int file = io->open_file(io, directory, "a", modes[i]);
        cr_assert_geq(file, 0, "%s", strerror(-file));
        cr_expect_eq(fcntl(file, F_GETFL) & O_DIRECT, 0);
        hf_io_posix_direct(file, &direct);
        cr_expect_not(direct.used);
        cr_expect_not(direct.certain);
        memset(pages, 0, 2 * PAGE);
        if (modes[i] == HF_IO_READ_DIRECT)
            cr_expect_eq(io->read_at(io, file, pages, 2 * PAGE, 0), 2 * PAGE);
        else
            cr_expect_eq(io->write_at(io, file, memset(pages, 5, 2 * PAGE), 2 * PAGE, 0), 0);
        cr_expect_eq(pages[2 * PAGE - 1], 5);
        io->close_file(io, file);
    }
}

Test(io_posix, direct_io_is_certain_where_the_file_system_says_so)
{
    /* The same file as the kernel describes it. */
    struct hf_io_direct direct;
    int file = created("a");
    hf_io_posix_direct(file, &direct);
    cr_expect(direct.used);
#ifdef STATX_DIOALIGN
    struct statx status;
    cr_assert_eq(statx(file, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status), 0);
    cr_expect_eq(direct.certain, (status.stx_mask & STATX_DIOALIGN) != 0);
    if (direct.certain) {
        cr_expect_eq(direct.memory_align_bytes, status.stx_dio_mem_align);
        cr_expect_eq(direct.offset_align_bytes, status.stx_dio_offset_align);
    }
#endif
    io->close_file(io, file);
    file = io->open_file(io, directory, "a", HF_IO_READ);
    hf_io_posix_direct(file, &direct);
    cr_expect_not(direct.used, "not that of the file, but of the descriptor");
    cr_expect_not(direct.certain);
    io->close_file(io, file);
    hf_io_posix_direct(-1, &direct);
    cr_expect_not(direct.used);
    cr_expect_not(direct.certain);
}

Test(io_posix, direct_io_fits_if_blocks_are_aligned_for_it)
{
    /* Alignments of memory and of offsets, as file systems tell them, for blocks of 4096 bytes. */
    static const struct {
        uint32_t memory, offset;
        bool fits;
    } cases[] = {
        {512, 512, true},   {4, 512, true},      {4096, 4096, true}, {1, 1, true},
        {0, 0, false},      {512, 0, false},     {0, 512, false},    {512, 8192, false},
        {8192, 512, false}, {512, 65536, false}, {512, 520, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hf_io_direct told = {
            .memory_align_bytes = cases[i].memory,
            .offset_align_bytes = cases[i].offset,
        };
        cr_expect_eq(hf_io_direct_fits(&told, PAGE), cases[i].fits, "%u, %u", cases[i].memory,
                     cases[i].offset);
    }
}

Test(io_posix, where_the_file_system_does_not_say_so_direct_io_is_not_certain)
{
    /* A tmpfs: it takes O_DIRECT since Linux 6.6, and tells nothing. */
    struct hf_io_direct direct;
    mount_or_skip("tmpfs", NULL);
    int file = io->open_file(io, directory, "a", HF_IO_CREATE);
    cr_assert_geq(file, 0, "%s", strerror(-file));
    hf_io_posix_direct(file, &direct);
    cr_expect_eq(direct.used, (fcntl(file, F_GETFL) & O_DIRECT) != 0);
    cr_expect_not(direct.certain);
    io->close_file(io, file);
}

/* Bytes of the file that the page cache holds, from its beginning, at most one page. */
static ssize_t cached(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(file, 0);
    struct iovec page = {.iov_base = pages, .iov_len = PAGE};
    ssize_t count = preadv2(file, &page, 1, 0, RWF_NOWAIT);
    close(file);
    return count;
}

/* An ext4 on a file in memory, journaling its data: it takes O_DIRECT and ignores it. */
static void mount_journaled(char disk[HF_DIRECTORY_TEXT_BYTES + 8])
{
    char image[HF_DIRECTORY_TEXT_BYTES + 8];
    mount_or_skip("tmpfs", "size=40m");
    snprintf(disk, HF_DIRECTORY_TEXT_BYTES + 8, "%s/disk", directory);
    snprintf(image, sizeof image, "%s/image", directory);
    cr_assert_eq(mkdir(disk, 0700), 0);
    int file = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(file >= 0 && ftruncate(file, 32 << 20) == 0);
    close(file);
    const char *const make[] = {"mkfs.ext4", "-q", "-F", image, NULL};
    const char *const mount[] = {"mount", "-o", "loop,data=journal", image, disk, NULL};
    char said[200];
    if (hf_process_run(make, said, sizeof said) != 0 ||
        hf_process_run(mount, said, sizeof said) != 0) {
        close_directory();
        cr_skip_test("cannot mount a file here: %s", said);
    }
}

Test(io_posix, direct_io_that_would_be_ignored_is_not_used_and_the_cache_is_dropped_for_recovery)
{
    char disk[HF_DIRECTORY_TEXT_BYTES + 8], path[HF_DIRECTORY_TEXT_BYTES + 16];
    struct hf_io_direct direct;
    mount_journaled(disk);
    snprintf(path, sizeof path, "%s/a", disk);
    int file = io->open_file(io, disk, "a", HF_IO_CREATE);
    cr_assert_geq(file, 0, "%s", strerror(-file));
    hf_io_posix_direct(file, &direct);
    cr_expect_not(direct.used);
    cr_expect_not(direct.certain);
    cr_expect_eq(fcntl(file, F_GETFL) & O_DIRECT, 0);
    cr_expect_eq(io->write_at(io, file, memset(pages, 9, PAGE), PAGE, 0), 0);
    cr_expect_eq(io->sync_file(io, file), 0);
    io->close_file(io, file);
    sync(); /* until its journal is written back, the kernel keeps the page */
    cr_expect_eq(cached(path), PAGE);

    file = io->open_file(io, disk, "a", HF_IO_READ);
    io->close_file(io, file);
    cr_expect_eq(cached(path), PAGE, "only recovery wants it dropped");
    file = io->open_file(io, disk, "a", HF_IO_READ_DIRECT);
    cr_assert_geq(file, 0, "%s", strerror(-file));
    cr_expect_lt(cached(path), 0);
    cr_expect_eq(io->read_at(io, file, pages, PAGE, 0), PAGE);
    cr_expect_eq(pages[PAGE - 1], 9);
    io->close_file(io, file);
}

Test(io_posix, the_room_of_a_file_system_is_told_if_it_tells_it)
{
    uint64_t bytes = 0, less = 0;
    mount_or_skip("tmpfs", "size=1m");
    cr_assert_eq(io->free_bytes(io, directory, &bytes), 0);
    cr_expect(bytes > 512 * 1024 && bytes <= 1024 * 1024, "%llu", (unsigned long long)bytes);
    int file = created("file");
    cr_assert_eq(io->write_at(io, file, pages, 4096, 0), 0);
    io->close_file(io, file);
    cr_assert_eq(io->free_bytes(io, directory, &less), 0);
    cr_expect_leq(less, bytes - 4096);
}

/* Which has no size: no room told is not no room. */
Test(io_posix, the_room_of_a_file_system_without_a_size_is_not_known)
{
    uint64_t bytes;
    mount_or_skip("ramfs", "");
    cr_expect_eq(io->free_bytes(io, directory, &bytes), -EOPNOTSUPP);
    cr_expect_eq(io->free_bytes(io, "/nowhere", &bytes), -ENOENT);
}

Test(io_posix, failures_are_told_as_negative_error_numbers)
{
    /* Files and directories that are not there, a descriptor that cannot write, a path too long. */
    cr_expect_eq(io->open_file(io, directory, "none", HF_IO_READ), -ENOENT);
    cr_expect_eq(io->open_file(io, directory, "none", HF_IO_READ_DIRECT), -ENOENT);
    cr_expect_eq(io->open_file(io, directory, "none", HF_IO_WRITE), -ENOENT);
    cr_expect_eq(io->open_file(io, "/nowhere", "none", HF_IO_CREATE), -ENOENT);
    cr_expect_eq(io->remove_file(io, directory, "none"), -ENOENT);
    cr_expect_eq(io->rename_file(io, directory, "none", "other"), -ENOENT);
    cr_expect_eq(io->sync_directory(io, "/nowhere"), -ENOENT);
    cr_expect_eq(io->list(io, "/nowhere", NULL, NULL), -ENOENT);
    static char long_name[8192];
    memset(long_name, 'a', sizeof(long_name) - 1);
    cr_expect_eq(io->open_file(io, directory, long_name, HF_IO_READ), -ENAMETOOLONG);

    int file = created("a");
    io->close_file(io, file);
    file = io->open_file(io, directory, "a", HF_IO_READ);
    cr_expect_eq(io->write_at(io, file, pages, PAGE, 0), -EBADF);
    io->close_file(io, file);
    cr_expect_eq(io->read_at(io, file, pages, PAGE, 0), -EBADF);
}

struct names {
    unsigned count, stop_after;
    bool a, b;
};

static int note_name(void *context, const char *name)
{
    struct names *names = context;
    names->count++;
    names->a |= strcmp(name, "a") == 0;
    names->b |= strcmp(name, "b") == 0;
    return names->count == names->stop_after ? 17 : 0;
}

Test(io_posix, files_are_listed_renamed_and_removed)
{
    /* Two files, one of which is renamed over the other. */
    io->close_file(io, created("a"));
    io->close_file(io, created("b"));
    struct names names = {0};
    cr_expect_eq(io->list(io, directory, note_name, &names), 0);
    cr_expect(names.count == 2 && names.a && names.b);
    names = (struct names){.stop_after = 1};
    cr_expect_eq(io->list(io, directory, note_name, &names), 17, "what the callback returned");
    cr_expect_eq(names.count, 1);

    cr_expect_eq(io->rename_file(io, directory, "a", "b"), 0);
    names = (struct names){0};
    cr_expect_eq(io->list(io, directory, note_name, &names), 0);
    cr_expect(names.count == 1 && names.b);
    cr_expect_eq(io->remove_file(io, directory, "b"), 0);
    names = (struct names){0};
    cr_expect_eq(io->list(io, directory, note_name, &names), 0);
    cr_expect_eq(names.count, 0);
}
