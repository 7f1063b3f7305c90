/* A disk in memory; what it keeps and what it forgets is told in memory_io.h. */
#include "tests/lib/memory_io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "wal/block.h"

static struct hf_memory_io *enter(struct hf_io *io)
{
    struct hf_memory_io *memory = (struct hf_memory_io *)io;
    pthread_mutex_lock(&memory->lock);
    return memory;
}

static int leave(struct hf_memory_io *memory, int result)
{
    pthread_mutex_unlock(&memory->lock);
    return result;
}

/* Counts the call. 0, or the error that was injected for it. */
static int count_call(struct hf_memory_io *memory, enum hf_memory_operation operation)
{
    struct hf_memory_fault *fault = &memory->faults[operation];
    bool changes = operation >= HF_MEMORY_WRITE && operation <= HF_MEMORY_REMOVE;
    memory->calls[operation]++;
    if (changes && memory->changes_left == 0)
        return -EIO;
    memory->changes_left -= changes && memory->changes_left != UINT64_MAX;
    if (fault->times == 0)
        return 0;
    if (fault->skip != 0) {
        fault->skip--;
        return 0;
    }
    fault->times--;
    return fault->result;
}

/* ---- files ---- */

struct hf_memory_file *hf_memory_io_file(struct hf_memory_io *memory, const char *name)
{
    for (uint32_t i = 0; i < memory->file_count; i++) {
        if (strcmp(memory->files[i].name, name) == 0)
            return &memory->files[i];
    }
    return NULL;
}

static void set_name(char to[HF_MEMORY_NAME_BYTES], const char *name)
{
    HF_CHECK(strlen(name) < HF_MEMORY_NAME_BYTES);
    snprintf(to, HF_MEMORY_NAME_BYTES, "%s", name);
}

static struct hf_memory_file *create(struct hf_memory_io *memory, const char *name)
{
    struct hf_memory_file *file = NULL;
    /* The place of one that is gone for good, or a new one. */
    for (uint32_t i = 0; i < memory->file_count && file == NULL; i++) {
        if (memory->files[i].name[0] == '\0' && memory->files[i].durable_name[0] == '\0')
            file = &memory->files[i];
    }
    if (file == NULL) {
        HF_CHECK(memory->file_count < HF_MEMORY_FILES_MAX);
        file = &memory->files[memory->file_count++];
    }
    *file = (struct hf_memory_file){0};
    set_name(file->name, name);
    return file;
}

static void resize(uint8_t **bytes, uint64_t *from, uint64_t to)
{
    if (to > *from) {
        *bytes = realloc(*bytes, to);
        HF_CHECK(*bytes != NULL);
        memset(*bytes + *from, 0, to - *from);
    }
    *from = to;
}

static void truncate_file(struct hf_memory_io *memory, struct hf_memory_file *file)
{
    memory->used_bytes -= file->file_bytes;
    free(file->bytes);
    file->bytes = NULL;
    file->file_bytes = 0;
    file->unsynced_writes++;
}

/* The bytes of a file that has no name any more are free; the durable ones stay for a crash. */
static void unlink_file(struct hf_memory_io *memory, struct hf_memory_file *file)
{
    truncate_file(memory, file);
    file->name[0] = '\0';
}

static void forget(struct hf_memory_file *file)
{
    free(file->bytes);
    free(file->durable);
    *file = (struct hf_memory_file){0};
}

static void sync_content(struct hf_memory_file *file)
{
    resize(&file->durable, &file->durable_bytes, file->file_bytes);
    if (file->file_bytes != 0)
        memcpy(file->durable, file->bytes, file->file_bytes);
    file->unsynced_writes = 0;
}

/* ---- the functions of struct hf_io ---- */

static int memory_open(struct hf_io *io, const char *directory, const char *name,
                       enum hf_io_open_mode mode)
{
    (void)directory;
    struct hf_memory_io *memory = enter(io);
    int result = count_call(memory, HF_MEMORY_OPEN);
    if (result != 0)
        return leave(memory, result);
    struct hf_memory_file *file = hf_memory_io_file(memory, name);
    if (mode == HF_IO_CREATE && file == NULL)
        file = create(memory, name);
    else if (mode == HF_IO_CREATE)
        truncate_file(memory, file);
    if (file == NULL)
        return leave(memory, -ENOENT);
    for (int i = 0; i < HF_MEMORY_DESCRIPTORS_MAX; i++) {
        if (memory->descriptors[i].file == NULL) {
            memory->descriptors[i] = (struct hf_memory_descriptor){file, mode};
            return leave(memory, i);
        }
    }
    return leave(memory, -EMFILE);
}

static struct hf_memory_descriptor *descriptor_of(struct hf_memory_io *memory, int descriptor)
{
    HF_CHECK(descriptor >= 0 && descriptor < HF_MEMORY_DESCRIPTORS_MAX);
    HF_CHECK(memory->descriptors[descriptor].file != NULL);
    return &memory->descriptors[descriptor];
}

static int memory_close(struct hf_io *io, int descriptor)
{
    struct hf_memory_io *memory = enter(io);
    descriptor_of(memory, descriptor)->file = NULL;
    return leave(memory, 0);
}

static void check_aligned(const void *buffer, uint64_t bytes, uint64_t offset)
{
    HF_CHECK((uintptr_t)buffer % HF_BLOCK_ALIGN_BYTES == 0);
    HF_CHECK(bytes % HF_BLOCK_ALIGN_BYTES == 0 && offset % HF_BLOCK_ALIGN_BYTES == 0);
}

static ssize_t memory_read_at(struct hf_io *io, int descriptor, void *buffer, size_t bytes,
                              uint64_t offset)
{
    check_aligned(buffer, bytes, offset);
    struct hf_memory_io *memory = enter(io);
    const struct hf_memory_file *file = descriptor_of(memory, descriptor)->file;
    int result = count_call(memory, HF_MEMORY_READ);
    if (result != 0)
        return leave(memory, result);
    uint64_t left = offset < file->file_bytes ? file->file_bytes - offset : 0;
    size_t count = bytes < left ? bytes : (size_t)left;
    if (count != 0)
        memcpy(buffer, file->bytes + offset, count);
    leave(memory, 0);
    return (ssize_t)count;
}

/* With the lock. */
static int write_locked(struct hf_memory_io *memory, int descriptor, const void *buffer,
                        size_t bytes, uint64_t offset)
{
    const struct hf_memory_descriptor *open = descriptor_of(memory, descriptor);
    struct hf_memory_file *file = open->file;
    HF_CHECK(open->mode == HF_IO_WRITE || open->mode == HF_IO_CREATE ||
             open->mode == HF_IO_OVERWRITE);
    uint64_t end = offset + bytes;
    if (end > file->file_bytes) {
        uint64_t growth = end - file->file_bytes;
        if (memory->used_bytes + growth > memory->room_bytes)
            return -ENOSPC;
        memory->used_bytes += growth;
        resize(&file->bytes, &file->file_bytes, end);
    }
    memcpy(file->bytes + offset, buffer, bytes);
    if (open->mode != HF_IO_WRITE) {
        file->unsynced_writes++;
        return 0;
    }
    if (end > file->durable_bytes)
        resize(&file->durable, &file->durable_bytes, end);
    memcpy(file->durable + offset, buffer, bytes);
    return 0;
}

static int memory_write_at(struct hf_io *io, int descriptor, const void *buffer, size_t bytes,
                           uint64_t offset)
{
    check_aligned(buffer, bytes, offset);
    struct hf_memory_io *memory = enter(io);
    int result = count_call(memory, HF_MEMORY_WRITE);
    if (result == 0)
        result = write_locked(memory, descriptor, buffer, bytes, offset);
    return leave(memory, result);
}

static int memory_sync_file(struct hf_io *io, int descriptor)
{
    struct hf_memory_io *memory = enter(io);
    struct hf_memory_file *file = descriptor_of(memory, descriptor)->file;
    int result = count_call(memory, HF_MEMORY_SYNC_FILE);
    if (result == 0)
        sync_content(file);
    return leave(memory, result);
}

static int memory_sync_directory(struct hf_io *io, const char *directory)
{
    (void)directory;
    struct hf_memory_io *memory = enter(io);
    int result = count_call(memory, HF_MEMORY_SYNC_DIRECTORY);
    for (uint32_t i = 0; i < memory->file_count && result == 0; i++) {
        struct hf_memory_file *file = &memory->files[i];
        memcpy(file->durable_name, file->name, sizeof file->name);
        if (file->name[0] == '\0')
            forget(file);
    }
    return leave(memory, result);
}

static int memory_file_bytes(struct hf_io *io, int descriptor, uint64_t *bytes)
{
    struct hf_memory_io *memory = enter(io);
    *bytes = descriptor_of(memory, descriptor)->file->file_bytes;
    return leave(memory, 0);
}

static int memory_rename(struct hf_io *io, const char *directory, const char *from, const char *to)
{
    (void)directory;
    struct hf_memory_io *memory = enter(io);
    int result = count_call(memory, HF_MEMORY_RENAME);
    struct hf_memory_file *file = hf_memory_io_file(memory, from);
    if (result == 0 && file == NULL)
        result = -ENOENT;
    if (result != 0)
        return leave(memory, result);
    struct hf_memory_file *replaced = hf_memory_io_file(memory, to);
    if (replaced != NULL && replaced != file)
        unlink_file(memory, replaced);
    set_name(file->name, to);
    return leave(memory, 0);
}

static int memory_remove(struct hf_io *io, const char *directory, const char *name)
{
    (void)directory;
    struct hf_memory_io *memory = enter(io);
    int result = count_call(memory, HF_MEMORY_REMOVE);
    struct hf_memory_file *file = hf_memory_io_file(memory, name);
    if (result == 0 && file == NULL)
        result = -ENOENT;
    if (result == 0)
        unlink_file(memory, file);
    return leave(memory, result);
}

/* `each` may call back into the disk: it gets copies, without the lock. */
static int memory_list(struct hf_io *io, const char *directory,
                       int (*each)(void *context, const char *name), void *context)
{
    (void)directory;
    struct hf_memory_io *memory = enter(io);
    int result = count_call(memory, HF_MEMORY_LIST);
    uint32_t count = memory->file_count;
    leave(memory, 0);
    for (uint32_t i = 0; i < count && result == 0; i++) {
        char name[HF_MEMORY_NAME_BYTES];
        enter(io);
        memcpy(name, memory->files[i].name, sizeof name);
        leave(memory, 0);
        if (name[0] != '\0')
            result = each(context, name);
    }
    return result;
}

/* ---- the disk ---- */

void hf_memory_io_init(struct hf_memory_io *memory)
{
    *memory = (struct hf_memory_io){
        .io =
            {
                .open_file = memory_open,
                .close_file = memory_close,
                .read_at = memory_read_at,
                .write_at = memory_write_at,
                .sync_file = memory_sync_file,
                .sync_directory = memory_sync_directory,
                .file_bytes = memory_file_bytes,
                .rename_file = memory_rename,
                .remove_file = memory_remove,
                .list = memory_list,
            },
        .room_bytes = UINT64_MAX,
        .changes_left = UINT64_MAX,
    };
    pthread_mutex_init(&memory->lock, NULL);
}

void hf_memory_io_close(struct hf_memory_io *memory)
{
    for (uint32_t i = 0; i < memory->file_count; i++)
        forget(&memory->files[i]);
    pthread_mutex_destroy(&memory->lock);
}

void hf_memory_io_fail(struct hf_memory_io *memory, enum hf_memory_operation operation,
                       uint32_t skip, uint32_t times, int result)
{
    enter(&memory->io);
    memory->faults[operation] = (struct hf_memory_fault){skip, times, result};
    leave(memory, 0);
}

void hf_memory_io_die_after(struct hf_memory_io *memory, uint64_t changes)
{
    enter(&memory->io);
    memory->changes_left = changes;
    leave(memory, 0);
}

void hf_memory_io_set_room(struct hf_memory_io *memory, uint64_t room_bytes)
{
    enter(&memory->io);
    memory->room_bytes = room_bytes;
    leave(memory, 0);
}

void hf_memory_io_crash(struct hf_memory_io *memory)
{
    HF_CHECK(hf_memory_io_open_count(memory) == 0);
    enter(&memory->io);
    memory->used_bytes = 0;
    for (uint32_t i = 0; i < memory->file_count; i++) {
        struct hf_memory_file *file = &memory->files[i];
        memcpy(file->name, file->durable_name, sizeof file->name);
        if (file->name[0] == '\0') {
            forget(file);
            continue;
        }
        resize(&file->bytes, &file->file_bytes, file->durable_bytes);
        if (file->durable_bytes != 0)
            memcpy(file->bytes, file->durable, file->durable_bytes);
        file->unsynced_writes = 0;
        memory->used_bytes += file->file_bytes;
    }
    leave(memory, 0);
}

void hf_memory_io_copy_crashed(struct hf_memory_io *memory, struct hf_memory_io *crashed)
{
    enter(&memory->io);
    for (uint32_t i = 0; i < memory->file_count; i++) {
        const struct hf_memory_file *file = &memory->files[i];
        if (file->durable_name[0] == '\0')
            continue;
        struct hf_memory_file *copy = create(crashed, file->durable_name);
        set_name(copy->durable_name, file->durable_name);
        resize(&copy->bytes, &copy->file_bytes, file->durable_bytes);
        if (file->durable_bytes != 0)
            memcpy(copy->bytes, file->durable, file->durable_bytes);
        sync_content(copy);
        crashed->used_bytes += copy->file_bytes;
    }
    leave(memory, 0);
}

uint64_t hf_memory_io_calls(struct hf_memory_io *memory, enum hf_memory_operation operation)
{
    enter(&memory->io);
    uint64_t calls = memory->calls[operation];
    leave(memory, 0);
    return calls;
}

uint32_t hf_memory_io_open_count(struct hf_memory_io *memory)
{
    uint32_t count = 0;
    enter(&memory->io);
    for (int i = 0; i < HF_MEMORY_DESCRIPTORS_MAX; i++)
        count += memory->descriptors[i].file != NULL;
    leave(memory, 0);
    return count;
}

/* ---- the write queue ---- */

static void manual_submit(struct hf_write_queue *queue, int file, const void *buffer,
                          uint32_t bytes, uint64_t offset, uint32_t cookie)
{
    struct hf_manual_queue *manual = (struct hf_manual_queue *)queue;
    check_aligned(buffer, bytes, offset);
    pthread_mutex_lock(&manual->lock);
    HF_CHECK(manual->count < HF_MANUAL_WRITES_MAX);
    manual->writes[manual->count++] = (struct hf_manual_write){
        .file = file,
        .buffer = buffer,
        .bytes = bytes,
        .offset = offset,
        .cookie = cookie,
        .hash = XXH3_64bits(buffer, bytes),
    };
    manual->submitted++;
    if (manual->most < manual->count)
        manual->most = manual->count;
    pthread_mutex_unlock(&manual->lock);
}

void hf_manual_queue_init(struct hf_manual_queue *manual, struct hf_memory_io *memory)
{
    *manual = (struct hf_manual_queue){.queue = {.submit = manual_submit}, .memory = memory};
    pthread_mutex_init(&manual->lock, NULL);
}

void hf_manual_queue_close(struct hf_manual_queue *manual)
{
    pthread_mutex_destroy(&manual->lock);
}

uint32_t hf_manual_queue_count(struct hf_manual_queue *manual)
{
    pthread_mutex_lock(&manual->lock);
    uint32_t count = manual->count;
    pthread_mutex_unlock(&manual->lock);
    return count;
}

bool hf_manual_queue_take(struct hf_manual_queue *manual, uint32_t place,
                          struct hf_manual_write *write)
{
    pthread_mutex_lock(&manual->lock);
    bool exists = place < manual->count;
    if (exists) {
        *write = manual->writes[place];
        manual->count--;
        memmove(&manual->writes[place], &manual->writes[place + 1],
                (manual->count - place) * sizeof *manual->writes);
    }
    pthread_mutex_unlock(&manual->lock);
    return exists;
}

void hf_manual_write_apply(struct hf_manual_queue *manual, const struct hf_manual_write *write,
                           int result)
{
    HF_CHECK(XXH3_64bits(write->buffer, write->bytes) == write->hash);
    struct hf_memory_io *memory = enter(&manual->memory->io);
    memory->calls[HF_MEMORY_WRITE]++;
    if (result > 0)
        HF_CHECK(write_locked(memory, write->file, write->buffer, (size_t)result, write->offset) ==
                 0);
    leave(memory, 0);
}
