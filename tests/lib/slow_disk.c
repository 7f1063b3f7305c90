/* A disk as slow as a test wants: what both sides share. See slow_disk.h. */
#include "tests/lib/slow_disk.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct hf_slow_disk *hf_slow_disk_map(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return NULL;
    struct hf_slow_disk *disk = MAP_FAILED;
    if (ftruncate(file, sizeof *disk) == 0)
        disk = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return disk == MAP_FAILED ? NULL : disk;
}

int hf_slow_disk_launch(const char *path, struct hf_daemon *server,
                        const struct hf_daemon_options *options)
{
    char program[HF_PROGRAM_TEXT_BYTES];
    struct hf_daemon_options slow = *options;
    hf_program_path("holdfastd-slow", program);
    slow.program = program;
    setenv(HF_SLOW_DISK_VARIABLE, path, 1);
    return hf_daemon_launch(server, &slow);
}

void hf_slow_disk_unmap(struct hf_slow_disk *disk)
{
    if (disk != NULL)
        munmap(disk, sizeof *disk);
}
