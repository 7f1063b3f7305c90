/* A small file system; see loop_disk.h. */
#include "tests/lib/loop_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TOOL_TIMEOUT_S 60
#define BALLAST        "ballast"

/* The tools' own words are the reason. */
static bool run(const char *const argv[], char reason[256])
{
    char output[160];
    int status = hf_process_run_within(TOOL_TIMEOUT_S, argv, output, sizeof output);
    if (status != 0)
        snprintf(reason, 256, "%s ends with status %d: %s", argv[0], status, output);
    return status == 0;
}

static bool make_image(const char *image, uint64_t bytes, char reason[256])
{
    int file = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool made = file >= 0 && ftruncate(file, (off_t)bytes) == 0;
    if (!made)
        snprintf(reason, 256, "no image of a file system: %s", strerror(errno));
    if (file >= 0)
        close(file);
    const char *const mkfs[] = {"mkfs.ext4", "-q", "-F", "-m", "0", image, NULL};
    return made && run(mkfs, reason);
}

/* Mounts that are made from now on are seen only here. */
static bool leave_namespace(char reason[256])
{
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        return true;
    snprintf(reason, 256, "no mounts of our own: %s", strerror(errno));
    return false;
}

bool hf_loop_disk_open(struct hf_loop_disk *disk, uint64_t bytes, char reason[256])
{
    char image[HF_DIRECTORY_TEXT_BYTES + 16];
    *disk = (struct hf_loop_disk){.mounted = false};
    if (hf_directory_make(disk->directory) != 0) {
        snprintf(reason, 256, "no directory for it");
        return false;
    }
    snprintf(image, sizeof image, "%s/image", disk->directory);
    snprintf(disk->point, sizeof disk->point, "%s/mounted", disk->directory);
    const char *const mount_it[] = {"mount", "-o", "loop", image, disk->point, NULL};
    disk->mounted = mkdir(disk->point, 0700) == 0 && leave_namespace(reason) &&
                    make_image(image, bytes, reason) && run(mount_it, reason);
    if (!disk->mounted)
        hf_loop_disk_close(disk);
    return disk->mounted;
}

void hf_loop_disk_close(struct hf_loop_disk *disk)
{
    if (disk->mounted && umount2(disk->point, 0) != 0)
        umount2(disk->point, MNT_DETACH);
    disk->mounted = false;
    hf_directory_remove(disk->directory);
}

uint64_t hf_loop_disk_free_bytes(const struct hf_loop_disk *disk)
{
    struct statvfs status;
    return statvfs(disk->point, &status) == 0 ? (uint64_t)status.f_bavail * status.f_frsize : 0;
}

/* Changes the size of the ballast, which starts at none. */
int hf_loop_disk_leave(struct hf_loop_disk *disk, uint64_t free_bytes)
{
    char path[sizeof disk->point + 16];
    struct stat status;
    snprintf(path, sizeof path, "%s/" BALLAST, disk->point);
    int result = 0, file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || fstat(file, &status) != 0)
        return -errno;
    uint64_t now = hf_loop_disk_free_bytes(disk), size = (uint64_t)status.st_size;
    if (now > free_bytes)
        result = -posix_fallocate(file, status.st_size, (off_t)(now - free_bytes));
    else if (ftruncate(file, (off_t)(size > free_bytes - now ? size - (free_bytes - now) : 0)) != 0)
        result = -errno;
    if (result == 0 && fsync(file) != 0) /* what is freed is free when the journal says so */
        result = -errno;
    close(file);
    return result;
}
