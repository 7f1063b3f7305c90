/* File systems of one process: see private_mount.h. */
#include "tests/lib/private_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static int write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    ssize_t length = (ssize_t)strlen(text);
    int result = write(file, text, (size_t)length) == length ? 0 : -EIO;
    close(file);
    return result;
}

static int map_to_root(const char *path, unsigned id)
{
    char text[32];
    snprintf(text, sizeof text, "0 %u 1", id);
    return write_text(path, text);
}

static int become_private(void)
{
    unsigned user = geteuid(), group = getegid();
    if (unshare(CLONE_NEWNS) == 0)
        return 0;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return -errno;
    int result = write_text("/proc/self/setgroups", "deny");
    if (result == 0)
        result = map_to_root("/proc/self/uid_map", user);
    return result == 0 ? map_to_root("/proc/self/gid_map", group) : result;
}

int hf_private_mount(const char *type, const char *options, const char *directory)
{
    int result = become_private();
    if (result != 0)
        return result;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(type, directory, type, 0, options) != 0)
        return -errno;
    return 0;
}

int hf_private_unmount(const char *directory)
{
    return umount2(directory, MNT_DETACH) != 0 ? -errno : 0;
}
