/* The simulated disk; what it promises and how it breaks is told in disk.h. */
#include "tests/sim/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "tests/sim/outage.h"

/* Changes of names that wait for sync_directory(), at most. */
#define RENAMINGS_MAX 16u

/* One call in so many sees a write land whose writer was killed. */
#define LANDING_CALLS 8u

static struct hf_sim_disk *disk_of(struct hf_io *io)
{
    return (struct hf_sim_disk *)io;
}

/* ---- names ---- */

uint32_t hf_sim_names_find(const struct hf_sim_names *names, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i].name, name) == 0)
            return names->names[i].file;
    return HF_SIM_NO_FILE;
}

static void set_text(char to[HF_SIM_NAME_BYTES], const char *name)
{
    HF_CHECK(strlen(name) < HF_SIM_NAME_BYTES);
    snprintf(to, HF_SIM_NAME_BYTES, "%s", name);
}

void hf_sim_names_set(struct hf_sim_names *names, const char *name, uint32_t file)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i].name, name) == 0) {
            names->names[i].file = file;
            return;
        }
    HF_CHECK(names->count < HF_SIM_NAMES_MAX);
    set_text(names->names[names->count].name, name);
    names->names[names->count++].file = file;
}

void hf_sim_names_clear(struct hf_sim_names *names, const char *name, uint32_t file)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (names->names[i].file == file && strcmp(names->names[i].name, name) == 0) {
            names->count--;
            memmove(&names->names[i], &names->names[i + 1],
                    (names->count - i) * sizeof *names->names);
            return;
        }
}

void hf_sim_names_rename(struct hf_sim_names *names, const struct hf_sim_renaming *renaming)
{
    if (renaming->from[0] != '\0')
        hf_sim_names_clear(names, renaming->from, renaming->file);
    if (renaming->to[0] != '\0')
        hf_sim_names_set(names, renaming->to, renaming->file);
}

/* A file system makes what is old durable by itself. */
static void commit_oldest(struct hf_sim_disk *disk)
{
    hf_sim_names_rename(&disk->durable, &disk->renamings[0]);
    disk->renaming_count--;
    memmove(disk->renamings, disk->renamings + 1, disk->renaming_count * sizeof *disk->renamings);
    hf_sim_disk_collect(disk);
}

static void note_renaming(struct hf_sim_disk *disk, const char *from, const char *to, uint32_t file)
{
    if (disk->renaming_count == RENAMINGS_MAX)
        commit_oldest(disk);
    if (disk->renaming_count == disk->renaming_room) {
        disk->renaming_room = 2 * disk->renaming_room + 16;
        disk->renamings = realloc(disk->renamings, disk->renaming_room * sizeof *disk->renamings);
        HF_CHECK(disk->renamings != NULL);
    }
    struct hf_sim_renaming *renaming = &disk->renamings[disk->renaming_count++];
    renaming->file = file;
    set_text(renaming->from, from);
    set_text(renaming->to, to);
}

/* ---- files ---- */

void hf_sim_write_close(struct hf_sim_write *write)
{
    for (uint32_t i = 0; i < write->count; i++)
        hf_sim_page_drop(write->pages[i]);
    free(write->pages);
    free(write->left);
    *write = (struct hf_sim_write){0};
}

static void add_write(struct hf_sim_file *file, const struct hf_sim_write *write)
{
    if (file->write_count == file->write_room) {
        file->write_room = 2 * file->write_room + 8;
        file->writes = realloc(file->writes, file->write_room * sizeof *file->writes);
        HF_CHECK(file->writes != NULL);
    }
    file->writes[file->write_count++] = *write;
}

static void remove_write(struct hf_sim_file *file, uint32_t number)
{
    hf_sim_write_close(&file->writes[number]);
    file->write_count--;
    memmove(&file->writes[number], &file->writes[number + 1],
            (file->write_count - number) * sizeof *file->writes);
}

static void free_file(struct hf_sim_file *file)
{
    while (file->write_count != 0)
        remove_write(file, file->write_count - 1);
    free(file->writes);
    hf_sim_content_close(&file->seen);
    hf_sim_content_close(&file->durable);
    *file = (struct hf_sim_file){0};
}

static uint32_t make_file(struct hf_sim_disk *disk)
{
    for (uint32_t i = 0; i < HF_SIM_FILES_MAX; i++)
        if (!disk->files[i].used) {
            disk->files[i].used = true;
            if (disk->file_end <= i)
                disk->file_end = i + 1;
            return i;
        }
    HF_NEVER("the simulated disk has room for another file");
}

static bool has_file(const struct hf_sim_names *names, uint32_t file)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (names->names[i].file == file)
            return true;
    return false;
}

static bool is_reachable(const struct hf_sim_disk *disk, uint32_t file)
{
    bool reachable = has_file(&disk->seen, file) || has_file(&disk->durable, file);
    for (int i = 0; i < HF_SIM_DESCRIPTORS_MAX && !reachable; i++)
        reachable = disk->descriptors[i].file == file;
    for (uint32_t i = 0; i < disk->renaming_count && !reachable; i++)
        reachable = disk->renamings[i].file == file;
    for (uint32_t i = 0; i < disk->inflight_count && !reachable; i++)
        reachable = disk->inflight[i].file == file;
    return reachable;
}

static void forget_wounds(struct hf_sim_disk *disk, uint32_t file)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < disk->wound_count; i++) {
        struct hf_sim_wound *wound = &disk->wounds[i];
        if (file != HF_SIM_NO_FILE && wound->file != file) {
            disk->wounds[kept++] = *wound;
            continue;
        }
        hf_sim_page_drop(wound->right);
        hf_sim_page_drop(wound->wrong);
    }
    disk->wound_count = kept;
}

void hf_sim_disk_collect(struct hf_sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->file_end; i++)
        if (disk->files[i].used && !is_reachable(disk, i)) {
            forget_wounds(disk, i);
            free_file(&disk->files[i]);
        }
}

uint64_t hf_sim_disk_used_bytes(const struct hf_sim_disk *disk)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < disk->seen.count; i++)
        bytes += disk->files[disk->seen.names[i].file].seen.bytes;
    return bytes;
}

/* ---- writes ---- */

static struct hf_sim_write write_of(const uint8_t *bytes, uint64_t offset, uint64_t count)
{
    struct hf_sim_write write = {
        .place = offset / HF_SIM_PAGE_BYTES,
        .count = (uint32_t)(count / HF_SIM_PAGE_BYTES),
    };
    write.pages = malloc(write.count * sizeof *write.pages);
    write.left = malloc(write.count);
    HF_CHECK(write.pages != NULL && write.left != NULL);
    memset(write.left, HF_SIM_ALL_SECTORS, write.count);
    for (uint32_t i = 0; i < write.count; i++)
        write.pages[i] = hf_sim_page_make(bytes + (size_t)i * HF_SIM_PAGE_BYTES);
    return write;
}

/* What is durable there now replaces all that was written before. */
static void supersede(struct hf_sim_file *file, const struct hf_sim_write *write)
{
    for (uint32_t i = 0; i < file->write_count; i++) {
        struct hf_sim_write *older = &file->writes[i];
        for (uint32_t j = 0; j < write->count; j++) {
            uint64_t place = write->place + j;
            if (place >= older->place && place < older->place + older->count)
                older->left[place - older->place] &= (uint8_t)~write->left[j];
        }
    }
}

/* The write is done, and durable. */
static void do_durably(struct hf_sim_file *file, struct hf_sim_write *write)
{
    hf_sim_write_apply(write, &file->seen);
    hf_sim_write_apply(write, &file->durable);
    supersede(file, write);
    hf_sim_write_close(write);
}

/* The write is done, as far as reads see. */
static void do_seen(struct hf_sim_file *file, const struct hf_sim_write *write)
{
    hf_sim_write_apply(write, &file->seen);
    add_write(file, write);
}

/* A write of a killed process reaches the disk. */
static void land(struct hf_sim_disk *disk, struct hf_sim_file *file, uint32_t number)
{
    struct hf_sim_write *write = &file->writes[number];
    hf_sim_tear(&disk->random, write);
    write->is_orphan = false;
    hf_sim_write_apply(write, &file->seen);
}

/* Time goes by: some of what was in flight lands, all of it if it has to. */
static void let_land(struct hf_sim_disk *disk, struct hf_sim_file *file, bool all)
{
    for (uint32_t i = 0; i < file->write_count; i++)
        if (file->writes[i].is_orphan &&
            (all || hf_random_below(&disk->random, LANDING_CALLS) == 0))
            land(disk, file, i);
}

/* ---- the course of things ---- */

static void trace(struct hf_sim_disk *disk, unsigned what, uint64_t first, uint64_t second)
{
    uint64_t words[] = {disk->trace, what, first, second};
    disk->trace = XXH3_64bits(words, sizeof words);
}

/* Counts one change. True: it is the one in which the disk dies. */
static bool dies_in(struct hf_sim_disk *disk, enum hf_sim_operation operation, uint64_t first,
                    uint64_t second)
{
    trace(disk, operation, first, second);
    if (disk->traces != NULL && disk->changes < disk->trace_room)
        disk->traces[disk->changes] = disk->trace;
    return disk->changes++ == disk->die_at;
}

void hf_sim_disk_die(struct hf_sim_disk *disk)
{
    if (disk->dead)
        return;
    disk->dead = true;
    disk->died_inflight = disk->inflight_count;
    for (uint32_t i = 0; i < disk->inflight_count; i++) {
        disk->inflight[i].write.is_orphan = true;
        add_write(&disk->files[disk->inflight[i].file], &disk->inflight[i].write);
    }
    disk->inflight_count = 0;
}

/* Begins a call. 0, or the error that is asked for. */
static int begin(struct hf_sim_disk *disk, enum hf_sim_operation operation)
{
    struct hf_sim_rule *rule = &disk->rules[operation];
    if (disk->dead)
        return -EIO;
    disk->calls[operation]++;
    for (uint32_t i = 0; i < disk->file_end; i++)
        if (disk->files[i].write_count != 0)
            let_land(disk, &disk->files[i], false);
    if (rule->times == 0)
        return 0;
    if (rule->skip != 0) {
        rule->skip--;
        return 0;
    }
    rule->times--;
    return rule->result;
}

/* ---- the functions of struct hf_io ---- */

static struct hf_sim_descriptor *descriptor_of(struct hf_sim_disk *disk, int descriptor)
{
    HF_CHECK(descriptor >= 0 && descriptor < HF_SIM_DESCRIPTORS_MAX);
    HF_CHECK(disk->descriptors[descriptor].file != HF_SIM_NO_FILE);
    return &disk->descriptors[descriptor];
}

static int take_descriptor(struct hf_sim_disk *disk, uint32_t file, enum hf_io_open_mode mode)
{
    for (int i = 0; i < HF_SIM_DESCRIPTORS_MAX; i++)
        if (disk->descriptors[i].file == HF_SIM_NO_FILE) {
            disk->descriptors[i] = (struct hf_sim_descriptor){file, mode};
            return i;
        }
    return -EMFILE;
}

static void truncate_file(struct hf_sim_file *file)
{
    hf_sim_content_resize(&file->seen, 0);
    add_write(file, &(struct hf_sim_write){.cuts = true});
}

/* Creates a file, or makes it empty. A descriptor or -errno. */
static int create(struct hf_sim_disk *disk, const char *name)
{
    uint32_t file = hf_sim_names_find(&disk->seen, name);
    bool is_new = file == HF_SIM_NO_FILE;
    bool dies = dies_in(disk, HF_SIM_OPEN, file, is_new);
    if (is_new) {
        file = make_file(disk);
        hf_sim_names_set(&disk->seen, name, file);
        note_renaming(disk, "", name, file);
    } else {
        truncate_file(&disk->files[file]);
    }
    if (!dies)
        return take_descriptor(disk, file, HF_IO_CREATE);
    hf_sim_disk_die(disk);
    return -EIO;
}

static int sim_open(struct hf_io *io, const char *directory, const char *name,
                    enum hf_io_open_mode mode)
{
    (void)directory;
    struct hf_sim_disk *disk = disk_of(io);
    bool reads = mode == HF_IO_READ || mode == HF_IO_READ_DIRECT;
    int result = begin(disk, reads ? HF_SIM_READ : HF_SIM_OPEN);
    if (result != 0)
        return result;
    if (mode == HF_IO_CREATE)
        return create(disk, name);
    uint32_t file = hf_sim_names_find(&disk->seen, name);
    if (file == HF_SIM_NO_FILE)
        return -ENOENT;
    if (mode == HF_IO_WRITE)
        let_land(disk, &disk->files[file], true);
    return take_descriptor(disk, file, mode);
}

static int sim_close(struct hf_io *io, int descriptor)
{
    struct hf_sim_disk *disk = disk_of(io);
    descriptor_of(disk, descriptor)->file = HF_SIM_NO_FILE;
    if (!disk->dead)
        hf_sim_disk_collect(disk);
    return 0;
}

static void check_aligned(const void *buffer, uint64_t bytes, uint64_t offset)
{
    HF_CHECK((uintptr_t)buffer % HF_SIM_PAGE_BYTES == 0);
    HF_CHECK(bytes != 0 && bytes % HF_SIM_PAGE_BYTES == 0 && offset % HF_SIM_PAGE_BYTES == 0);
}

static ssize_t sim_read_at(struct hf_io *io, int descriptor, void *buffer, size_t bytes,
                           uint64_t offset)
{
    struct hf_sim_disk *disk = disk_of(io);
    check_aligned(buffer, bytes, offset);
    int result = begin(disk, HF_SIM_READ);
    if (result != 0)
        return result;
    const struct hf_sim_content *seen = &disk->files[descriptor_of(disk, descriptor)->file].seen;
    uint64_t left = offset < seen->bytes ? seen->bytes - offset : 0;
    size_t count = bytes < left ? bytes : (size_t)left;
    hf_sim_content_read(seen, offset, buffer, count);
    return (ssize_t)count;
}

static bool has_room(const struct hf_sim_disk *disk, const struct hf_sim_file *file, uint64_t end)
{
    return end <= file->seen.bytes ||
           hf_sim_disk_used_bytes(disk) + (end - file->seen.bytes) <= disk->room_bytes;
}

static int sim_write_at(struct hf_io *io, int descriptor, const void *buffer, size_t bytes,
                        uint64_t offset)
{
    struct hf_sim_disk *disk = disk_of(io);
    check_aligned(buffer, bytes, offset);
    int result = begin(disk, HF_SIM_WRITE);
    if (disk->dead)
        return -EIO;
    const struct hf_sim_descriptor *open = descriptor_of(disk, descriptor);
    HF_CHECK(open->mode != HF_IO_READ && open->mode != HF_IO_READ_DIRECT);
    struct hf_sim_file *file = &disk->files[open->file];
    bool dies = dies_in(disk, HF_SIM_WRITE, (uint64_t)open->file << 32 | bytes, offset);
    if (result == 0 && !has_room(disk, file, offset + bytes))
        return -ENOSPC;
    struct hf_sim_write write = write_of(buffer, offset, bytes);
    if (dies) {
        write.is_orphan = true;
        add_write(file, &write);
        hf_sim_disk_die(disk);
        return -EIO;
    }
    if (result != 0) {
        hf_sim_tear(&disk->random, &write);
        do_seen(file, &write);
    } else if (open->mode == HF_IO_WRITE) {
        do_durably(file, &write);
    } else {
        do_seen(file, &write);
    }
    return result;
}

/* What was written is durable, but for what an earlier sync has given up. */
static void sync_writes(struct hf_sim_file *file)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < file->write_count; i++) {
        struct hf_sim_write *write = &file->writes[i];
        if (write->is_orphan || write->is_given_up) {
            file->writes[kept++] = *write;
            continue;
        }
        hf_sim_write_apply(write, &file->durable);
        hf_sim_write_close(write);
    }
    file->write_count = kept;
}

static int sim_sync_file(struct hf_io *io, int descriptor)
{
    struct hf_sim_disk *disk = disk_of(io);
    int result = begin(disk, HF_SIM_SYNC_FILE);
    if (disk->dead)
        return -EIO;
    uint32_t number = descriptor_of(disk, descriptor)->file;
    struct hf_sim_file *file = &disk->files[number];
    if (dies_in(disk, HF_SIM_SYNC_FILE, number, file->write_count)) {
        hf_sim_disk_die(disk);
        return -EIO;
    }
    if (result == 0)
        sync_writes(file);
    for (uint32_t i = 0; i < file->write_count && result != 0; i++)
        file->writes[i].is_given_up |= !file->writes[i].is_left_over;
    return result;
}

static int sim_sync_directory(struct hf_io *io, const char *directory)
{
    (void)directory;
    struct hf_sim_disk *disk = disk_of(io);
    int result = begin(disk, HF_SIM_SYNC_DIRECTORY);
    if (disk->dead)
        return -EIO;
    if (dies_in(disk, HF_SIM_SYNC_DIRECTORY, disk->renaming_count, 0)) {
        hf_sim_disk_die(disk);
        return -EIO;
    }
    if (result != 0)
        return result;
    disk->durable = disk->seen;
    disk->renaming_count = 0;
    hf_sim_disk_collect(disk);
    return 0;
}

static int sim_file_bytes(struct hf_io *io, int descriptor, uint64_t *bytes)
{
    struct hf_sim_disk *disk = disk_of(io);
    if (disk->dead)
        return -EIO;
    *bytes = disk->files[descriptor_of(disk, descriptor)->file].seen.bytes;
    return 0;
}

/* A rename, or with an empty `to` the removal of a name. */
static int change_name(struct hf_sim_disk *disk, enum hf_sim_operation operation, const char *from,
                       const char *to)
{
    int result = begin(disk, operation);
    if (result != 0)
        return result;
    uint32_t file = hf_sim_names_find(&disk->seen, from);
    if (file == HF_SIM_NO_FILE)
        return -ENOENT;
    bool dies = dies_in(disk, operation, file, to[0] != '\0');
    hf_sim_names_clear(&disk->seen, from, file);
    if (to[0] != '\0')
        hf_sim_names_set(&disk->seen, to, file);
    note_renaming(disk, from, to, file);
    if (!dies)
        return 0;
    hf_sim_disk_die(disk);
    return -EIO;
}

static int sim_rename(struct hf_io *io, const char *directory, const char *from, const char *to)
{
    (void)directory;
    return change_name(disk_of(io), HF_SIM_RENAME, from, to);
}

static int sim_remove(struct hf_io *io, const char *directory, const char *name)
{
    (void)directory;
    return change_name(disk_of(io), HF_SIM_REMOVE, name, "");
}

/* `each` may change the names: it gets those that were there. */
static int sim_list(struct hf_io *io, const char *directory,
                    int (*each)(void *context, const char *name), void *context)
{
    (void)directory;
    struct hf_sim_disk *disk = disk_of(io);
    int result = begin(disk, HF_SIM_LIST);
    struct hf_sim_names names = disk->seen;
    for (uint32_t i = 0; i < names.count && result == 0; i++)
        result = each(context, names.names[i].name);
    return result;
}

/* ---- the queue ---- */

static struct hf_sim_disk *disk_of_queue(struct hf_write_queue *queue)
{
    return (struct hf_sim_disk *)((char *)queue - offsetof(struct hf_sim_disk, queue));
}

static void sim_submit(struct hf_write_queue *queue, int descriptor, const void *buffer,
                       uint32_t bytes, uint64_t offset, uint32_t cookie)
{
    struct hf_sim_disk *disk = disk_of_queue(queue);
    check_aligned(buffer, bytes, offset);
    if (disk->dead)
        return;
    const struct hf_sim_descriptor *open = descriptor_of(disk, descriptor);
    HF_CHECK(open->mode == HF_IO_WRITE && disk->inflight_count < HF_SIM_INFLIGHT_MAX);
    HF_CHECK(offset + bytes <= disk->files[open->file].seen.bytes);
    bool dies = dies_in(disk, HF_SIM_OPERATIONS, XXH3_64bits(buffer, bytes), offset);
    disk->submitted++;
    disk->inflight[disk->inflight_count++] = (struct hf_sim_inflight){
        .file = open->file,
        .buffer = buffer,
        .bytes = bytes,
        .offset = offset,
        .cookie = cookie,
        .write = write_of(buffer, offset, bytes),
    };
    if (dies)
        hf_sim_disk_die(disk);
}

/* The submitter has left the buffer alone. */
static void check_buffer(const struct hf_sim_inflight *inflight)
{
    for (uint32_t i = 0; i < inflight->write.count; i++)
        HF_CHECK(memcmp(inflight->buffer + (size_t)i * HF_SIM_PAGE_BYTES,
                        hf_sim_page_bytes(inflight->write.pages[i]), HF_SIM_PAGE_BYTES) == 0);
}

/* Of a write, only the first bytes are done. */
static void shorten(struct hf_sim_write *write, uint32_t bytes)
{
    for (uint32_t i = 0; i < write->count; i++)
        for (unsigned sector = 0; sector < HF_SIM_PAGE_SECTORS; sector++)
            if ((i * HF_SIM_PAGE_SECTORS + sector + 1) * HF_SIM_SECTOR_BYTES > bytes)
                write->left[i] &= (uint8_t) ~(1u << sector);
}

/* ---- damage ---- */

static void note_wound(struct hf_sim_disk *disk, uint32_t file, uint64_t place,
                       struct hf_sim_page *right, struct hf_sim_page *wrong)
{
    if (disk->wound_count == disk->wound_room) {
        disk->wound_room = 2 * disk->wound_room + 8;
        disk->wounds = realloc(disk->wounds, disk->wound_room * sizeof *disk->wounds);
        HF_CHECK(disk->wounds != NULL);
    }
    disk->wounds[disk->wound_count++] = (struct hf_sim_wound){
        .file = file,
        .place = place,
        .right = hf_sim_page_hold(right),
        .wrong = hf_sim_page_hold(wrong),
    };
}

static void put_both(struct hf_sim_file *file, uint64_t place, struct hf_sim_page *page)
{
    hf_sim_content_put(&file->seen, place, page);
    hf_sim_content_put(&file->durable, place, page);
}

static void lose(struct hf_sim_disk *disk, const struct hf_sim_inflight *inflight)
{
    const struct hf_sim_content *seen = &disk->files[inflight->file].seen;
    for (uint32_t i = 0; i < inflight->write.count; i++) {
        uint64_t place = inflight->write.place + i;
        note_wound(disk, inflight->file, place, inflight->write.pages[i],
                   hf_sim_content_page(seen, place));
    }
}

static void misdirect(struct hf_sim_disk *disk, const struct hf_sim_inflight *inflight,
                      const struct hf_sim_fate *fate)
{
    uint32_t file = hf_sim_names_find(&disk->seen, fate->name);
    lose(disk, inflight);
    if (file == HF_SIM_NO_FILE)
        return; /* it went where nothing is any more */
    const struct hf_sim_content *seen = &disk->files[file].seen;
    for (uint32_t i = 0; i < inflight->write.count; i++) {
        uint64_t place = fate->offset / HF_SIM_PAGE_BYTES + i;
        if ((place + 1) * HF_SIM_PAGE_BYTES > seen->bytes)
            return;
        note_wound(disk, file, place, hf_sim_content_page(seen, place), inflight->write.pages[i]);
        put_both(&disk->files[file], place, inflight->write.pages[i]);
    }
}

void hf_sim_disk_replace(struct hf_sim_disk *disk, const char *name, uint64_t place,
                         struct hf_sim_page *page)
{
    uint32_t file = hf_sim_names_find(&disk->seen, name);
    HF_CHECK(file != HF_SIM_NO_FILE);
    note_wound(disk, file, place, hf_sim_content_page(&disk->files[file].seen, place), page);
    put_both(&disk->files[file], place, page);
}

void hf_sim_disk_rot(struct hf_sim_disk *disk, const char *name, uint64_t offset, uint8_t mask)
{
    const struct hf_sim_content *seen = hf_sim_disk_seen(disk, name);
    HF_CHECK(seen != NULL && mask != 0);
    uint64_t place = offset / HF_SIM_PAGE_BYTES;
    uint8_t bytes[HF_SIM_PAGE_BYTES];
    memcpy(bytes, hf_sim_page_bytes(hf_sim_content_page(seen, place)), sizeof bytes);
    bytes[offset % HF_SIM_PAGE_BYTES] ^= mask;
    struct hf_sim_page *page = hf_sim_page_make(bytes);
    hf_sim_disk_replace(disk, name, place, page);
    hf_sim_page_drop(page);
}

void hf_sim_disk_truncate(struct hf_sim_disk *disk, const char *name, uint64_t bytes)
{
    uint32_t file = hf_sim_names_find(&disk->seen, name);
    HF_CHECK(file != HF_SIM_NO_FILE);
    hf_sim_content_resize(&disk->files[file].seen, bytes);
    hf_sim_content_resize(&disk->files[file].durable, bytes);
}

void hf_sim_disk_heal(struct hf_sim_disk *disk)
{
    while (disk->wound_count != 0) {
        struct hf_sim_wound *wound = &disk->wounds[--disk->wound_count];
        struct hf_sim_file *file = &disk->files[wound->file];
        if (hf_sim_content_page(&file->seen, wound->place) == wound->wrong)
            hf_sim_content_put(&file->seen, wound->place, wound->right);
        if (hf_sim_content_page(&file->durable, wound->place) == wound->wrong)
            hf_sim_content_put(&file->durable, wound->place, wound->right);
        hf_sim_page_drop(wound->right);
        hf_sim_page_drop(wound->wrong);
    }
}

void hf_sim_disk_accept(struct hf_sim_disk *disk)
{
    forget_wounds(disk, HF_SIM_NO_FILE);
}

/* ---- how a write in flight ends ---- */

/* Does what its fate is. The result that is told. */
static int meet_fate(struct hf_sim_disk *disk, struct hf_sim_inflight *inflight,
                     const struct hf_sim_fate *fate)
{
    struct hf_sim_file *file = &disk->files[inflight->file];
    int result = (int)inflight->bytes;
    switch (fate->end) {
    case HF_SIM_DONE:
        do_durably(file, &inflight->write);
        return result;
    case HF_SIM_REFUSED:
        hf_sim_tear(&disk->random, &inflight->write);
        do_seen(file, &inflight->write);
        return fate->error;
    case HF_SIM_SHORT:
        shorten(&inflight->write, fate->bytes);
        do_seen(file, &inflight->write);
        return (int)fate->bytes;
    case HF_SIM_NOT_TRIED:
        result = fate->error;
        break;
    case HF_SIM_LOST:
        lose(disk, inflight);
        break;
    case HF_SIM_MISDIRECTED:
        misdirect(disk, inflight, fate);
        break;
    }
    hf_sim_write_close(&inflight->write);
    return result;
}

bool hf_sim_disk_finish(struct hf_sim_disk *disk, uint32_t number, const struct hf_sim_fate *fate,
                        struct hf_sim_completion *completion)
{
    HF_CHECK(!disk->dead && number < disk->inflight_count);
    if (dies_in(disk, HF_SIM_OPERATIONS, number, fate->end)) {
        hf_sim_disk_die(disk);
        return false;
    }
    struct hf_sim_inflight inflight = disk->inflight[number];
    disk->inflight_count--;
    memmove(&disk->inflight[number], &disk->inflight[number + 1],
            (disk->inflight_count - number) * sizeof *disk->inflight);
    check_buffer(&inflight);
    completion->cookie = inflight.cookie;
    completion->result = meet_fate(disk, &inflight, fate);
    return true;
}

/* ---- the disk ---- */

static void clear_descriptors(struct hf_sim_disk *disk)
{
    for (int i = 0; i < HF_SIM_DESCRIPTORS_MAX; i++)
        disk->descriptors[i].file = HF_SIM_NO_FILE;
}

void hf_sim_disk_init(struct hf_sim_disk *disk, uint64_t seed)
{
    *disk = (struct hf_sim_disk){
        .io =
            {
                .open_file = sim_open,
                .close_file = sim_close,
                .read_at = sim_read_at,
                .write_at = sim_write_at,
                .sync_file = sim_sync_file,
                .sync_directory = sim_sync_directory,
                .file_bytes = sim_file_bytes,
                .rename_file = sim_rename,
                .remove_file = sim_remove,
                .list = sim_list,
            },
        .queue = {.submit = sim_submit},
        .random = hf_random_for(seed, 2),
        .room_bytes = UINT64_MAX,
        .die_at = HF_SIM_NEVER,
    };
    clear_descriptors(disk);
}

void hf_sim_disk_close(struct hf_sim_disk *disk)
{
    forget_wounds(disk, HF_SIM_NO_FILE);
    for (uint32_t i = 0; i < disk->inflight_count; i++)
        hf_sim_write_close(&disk->inflight[i].write);
    for (uint32_t i = 0; i < disk->file_end; i++)
        free_file(&disk->files[i]);
    free(disk->renamings);
    free(disk->wounds);
    disk->renamings = NULL;
    disk->wounds = NULL;
}

static struct hf_sim_write copy_write(const struct hf_sim_write *from)
{
    struct hf_sim_write to = *from;
    if (from->count == 0)
        return to;
    to.pages = malloc(from->count * sizeof *to.pages);
    to.left = malloc(from->count);
    HF_CHECK(to.pages != NULL && to.left != NULL);
    memcpy(to.left, from->left, from->count);
    for (uint32_t i = 0; i < from->count; i++)
        to.pages[i] = hf_sim_page_hold(from->pages[i]);
    return to;
}

static void copy_file(struct hf_sim_file *to, const struct hf_sim_file *from)
{
    to->used = true;
    hf_sim_content_copy(&to->seen, &from->seen);
    hf_sim_content_copy(&to->durable, &from->durable);
    for (uint32_t i = 0; i < from->write_count; i++) {
        struct hf_sim_write write = copy_write(&from->writes[i]);
        add_write(to, &write);
    }
}

void hf_sim_disk_copy(struct hf_sim_disk *to, const struct hf_sim_disk *from)
{
    HF_CHECK((from->dead || hf_sim_disk_open_count(from) == 0) && from->inflight_count == 0);
    hf_sim_disk_close(to);
    hf_sim_disk_init(to, 0);
    to->random = from->random;
    to->dead = from->dead;
    to->seen = from->seen;
    to->durable = from->durable;
    to->file_end = from->file_end;
    for (uint32_t i = 0; i < from->file_end; i++)
        if (from->files[i].used)
            copy_file(&to->files[i], &from->files[i]);
    for (uint32_t i = 0; i < from->renaming_count; i++)
        note_renaming(to, from->renamings[i].from, from->renamings[i].to, from->renamings[i].file);
    for (uint32_t i = 0; i < from->wound_count; i++)
        note_wound(to, from->wounds[i].file, from->wounds[i].place, from->wounds[i].right,
                   from->wounds[i].wrong);
}

void hf_sim_disk_restart(struct hf_sim_disk *disk, enum hf_sim_loss loss)
{
    hf_sim_disk_die(disk);
    if (loss == HF_SIM_POWER)
        hf_sim_outage(disk);
    disk->dead = false;
    disk->die_at = HF_SIM_NEVER;
    memset(disk->rules, 0, sizeof disk->rules);
    clear_descriptors(disk);
    for (uint32_t i = 0; i < disk->file_end; i++)
        for (uint32_t j = 0; j < disk->files[i].write_count; j++)
            disk->files[i].writes[j].is_left_over = true;
    hf_sim_disk_collect(disk);
}

void hf_sim_disk_fail(struct hf_sim_disk *disk, enum hf_sim_operation operation, uint32_t skip,
                      uint32_t times, int result)
{
    disk->rules[operation] = (struct hf_sim_rule){skip, times, result};
}

const struct hf_sim_content *hf_sim_disk_seen(const struct hf_sim_disk *disk, const char *name)
{
    uint32_t file = hf_sim_names_find(&disk->seen, name);
    return file == HF_SIM_NO_FILE ? NULL : &disk->files[file].seen;
}

bool hf_sim_disk_equal(const struct hf_sim_disk *one, const struct hf_sim_disk *other)
{
    for (uint32_t i = 0; i < one->seen.count; i++) {
        const struct hf_sim_content *content = hf_sim_disk_seen(other, one->seen.names[i].name);
        if (content == NULL ||
            !hf_sim_content_equal(&one->files[one->seen.names[i].file].seen, content))
            return false;
    }
    return one->seen.count == other->seen.count;
}

uint32_t hf_sim_disk_open_count(const struct hf_sim_disk *disk)
{
    uint32_t count = 0;
    for (int i = 0; i < HF_SIM_DESCRIPTORS_MAX; i++)
        count += disk->descriptors[i].file != HF_SIM_NO_FILE;
    return count;
}
