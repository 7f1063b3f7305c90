/* A still; see still.h. Descriptors are indexes of files. */
#include "tests/flip/still.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "wal/segment_header.h"
#include "wal/snapshot_header.h"

static struct hf_still *still_of(struct hf_io *io)
{
    return (struct hf_still *)((char *)io - offsetof(struct hf_still, io));
}

struct hf_still_file *hf_still_find(struct hf_still *still, const char *name)
{
    for (uint32_t i = 0; i < still->file_count; i++)
        if (strcmp(still->files[i].name, name) == 0)
            return &still->files[i];
    return NULL;
}

/* ---- the seam ---- */

static int open_file(struct hf_io *io, const char *directory, const char *name,
                     enum hf_io_open_mode mode)
{
    struct hf_still *still = still_of(io);
    const struct hf_still_file *file = hf_still_find(still, name);
    (void)directory;
    HF_CHECK(mode != HF_IO_CREATE && mode != HF_IO_OVERWRITE);
    return file == NULL || file->absent ? -ENOENT : (int)(file - still->files);
}

static int close_file(struct hf_io *io, int file)
{
    (void)io;
    (void)file;
    return 0;
}

static ssize_t read_at(struct hf_io *io, int file, void *buffer, size_t bytes, uint64_t offset)
{
    const struct hf_still_file *known = &still_of(io)->files[file];
    uint64_t left = offset < known->file_bytes ? known->file_bytes - offset : 0;
    size_t count = left < bytes ? (size_t)left : bytes;
    memcpy(buffer, known->bytes + offset, count);
    return (ssize_t)count;
}

static int write_at(struct hf_io *io, int file, const void *buffer, size_t bytes, uint64_t offset)
{
    struct hf_still *still = still_of(io);
    struct hf_still_file *known = &still->files[file];
    HF_CHECK(offset + bytes <= known->file_bytes);
    if (still->undo_count == still->undo_room) {
        still->undo_room = still->undo_room ? 2 * still->undo_room : 16;
        still->undos = realloc(still->undos, still->undo_room * sizeof *still->undos);
    }
    uint8_t *before = malloc(bytes);
    HF_CHECK(still->undos && before);
    memcpy(before, known->bytes + offset, bytes);
    memcpy(known->bytes + offset, buffer, bytes);
    still->undos[still->undo_count++] =
        (struct hf_still_undo){(uint32_t)file, offset, bytes, before};
    return 0;
}

static int sync_file(struct hf_io *io, int file)
{
    (void)io;
    (void)file;
    return 0;
}

static int sync_directory(struct hf_io *io, const char *directory)
{
    (void)io;
    (void)directory;
    return 0;
}

static int file_bytes(struct hf_io *io, int file, uint64_t *bytes)
{
    *bytes = still_of(io)->files[file].file_bytes;
    return 0;
}

static int rename_file(struct hf_io *io, const char *directory, const char *from, const char *to)
{
    (void)io;
    (void)directory;
    (void)from;
    (void)to;
    HF_NEVER("recovery renames no file");
    return -EROFS;
}

static int remove_file(struct hf_io *io, const char *directory, const char *name)
{
    (void)io;
    (void)directory;
    (void)name;
    HF_NEVER("recovery removes no file");
    return -EROFS;
}

static int list(struct hf_io *io, const char *directory,
                int (*each)(void *context, const char *name), void *context)
{
    const struct hf_still *still = still_of(io);
    int result = 0;
    (void)directory;
    for (uint32_t i = 0; i < still->file_count && result == 0; i++)
        if (!still->files[i].absent)
            result = each(context, still->files[i].name);
    return result;
}

/* ---- taking it in ---- */

struct intake {
    struct hf_still *still;
    const char *directory;
};

static int take_in(void *context, const char *name)
{
    struct intake *intake = context;
    struct hf_still *still = intake->still;
    char path[4096];
    uint64_t number;
    if (!hf_segment_name_parse(name, &number) && !hf_snapshot_name_parse(name, &number))
        return 0;
    HF_CHECK(still->file_count < HF_STILL_FILES);
    struct hf_still_file *file = &still->files[still->file_count];
    snprintf(file->name, sizeof file->name, "%s", name);
    snprintf(path, sizeof path, "%s/%s", intake->directory, name);
    FILE *from = fopen(path, "rbe");
    if (from == NULL)
        return -errno;
    fseek(from, 0, SEEK_END);
    file->file_bytes = (uint64_t)ftell(from);
    rewind(from);
    file->bytes = malloc(file->file_bytes + 1);
    HF_CHECK(file->bytes);
    size_t count = fread(file->bytes, 1, file->file_bytes, from);
    fclose(from);
    still->file_count++;
    return count == file->file_bytes ? 0 : -EIO;
}

int hf_still_open(struct hf_still *still, const char *directory)
{
    *still = (struct hf_still){.io = {
                                   .open_file = open_file,
                                   .close_file = close_file,
                                   .read_at = read_at,
                                   .write_at = write_at,
                                   .sync_file = sync_file,
                                   .sync_directory = sync_directory,
                                   .file_bytes = file_bytes,
                                   .rename_file = rename_file,
                                   .remove_file = remove_file,
                                   .list = list,
                               }};
    struct intake intake = {still, directory};
    return hf_io_posix()->list(hf_io_posix(), directory, take_in, &intake);
}

void hf_still_restore(struct hf_still *still)
{
    while (still->undo_count != 0) {
        struct hf_still_undo *undo = &still->undos[--still->undo_count];
        memcpy(still->files[undo->file].bytes + undo->offset, undo->before, undo->bytes);
        free(undo->before);
    }
}

void hf_still_close(struct hf_still *still)
{
    hf_still_restore(still);
    for (uint32_t i = 0; i < still->file_count; i++)
        free(still->files[i].bytes);
    free(still->undos);
}
