/* What a directory keeps; see kept.h. */
#include "tests/crash/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/io.h"
#include "wal/segment_header.h"

static int note_file(void *context, const char *name)
{
    struct hf_kept *kept = context;
    size_t length = strlen(name);
    uint64_t number;
    kept->temporaries += length > 4 && strcmp(name + length - 4, ".tmp") == 0;
    if (!hf_segment_name_parse(name, &number))
        return 0;
    if (kept->segments == 0 || number < kept->first_segment)
        kept->first_segment = number;
    if (number > kept->last_segment)
        kept->last_segment = number;
    kept->segments++;
    return 0;
}

static void judge(struct hf_kept_snapshot *kept, const char *directory)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_view view;
    struct hf_snapshot_finding finding = {0};
    enum hf_snapshot_read read =
        hf_snapshot_open(hf_io_posix(), directory, kept->last_lsn, true, &snapshot, &finding);
    if (read == HF_SNAPSHOT_RIGHT) {
        kept->header = *hf_snapshot_header(snapshot);
        while ((read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT)
            ;
        if (read != HF_SNAPSHOT_END)
            finding = *hf_snapshot_finding(snapshot);
        hf_snapshot_close(snapshot);
    }
    kept->right = read == HF_SNAPSHOT_END;
    snprintf(kept->wrong, sizeof kept->wrong, "%s", finding.text);
}

int hf_kept_look(struct hf_kept *kept, const char *directory)
{
    uint64_t last_lsns[HF_KEPT_SNAPSHOTS];
    struct hf_io *io = hf_io_posix();
    *kept = (struct hf_kept){0};
    int count = hf_snapshots_list(io, directory, last_lsns, HF_KEPT_SNAPSHOTS);
    if (count < 0)
        return count;
    kept->snapshot_count = count < HF_KEPT_SNAPSHOTS ? count : HF_KEPT_SNAPSHOTS;
    for (int i = 0; i < kept->snapshot_count; i++) {
        kept->snapshots[i].last_lsn = last_lsns[i];
        judge(&kept->snapshots[i], directory);
    }
    return io->list(io, directory, note_file, kept);
}

const struct hf_kept_snapshot *hf_kept_newest_right(const struct hf_kept *kept)
{
    for (int i = 0; i < kept->snapshot_count; i++)
        if (kept->snapshots[i].right)
            return &kept->snapshots[i];
    return NULL;
}

int hf_kept_damage(const char *directory, uint64_t last_lsn, uint64_t random)
{
    char path[4096], name[HF_SNAPSHOT_NAME_BYTES];
    struct stat status;
    uint8_t byte;
    hf_snapshot_name_format(last_lsn, name);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int result = 0, file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) < 0)
        return -errno;
    off_t at = (off_t)((random >> 3) % (uint64_t)status.st_size);
    if (pread(file, &byte, 1, at) != 1)
        result = -EIO;
    byte ^= (uint8_t)(1u << (random & 7));
    if (result == 0 && pwrite(file, &byte, 1, at) != 1)
        result = -EIO;
    if (result == 0 && fsync(file) != 0)
        result = -errno;
    close(file);
    return result;
}
