/* File systems of one process: see private_mount.h. */
#include "tests/lib/private_mount.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>

int hf_private_mount(const char *type, const char *options, const char *directory)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(type, directory, type, 0, options) != 0)
        return -errno;
    return 0;
}

int hf_private_unmount(const char *directory)
{
    return umount2(directory, MNT_DETACH) != 0 ? -errno : 0;
}
