/* Reading, listing and removing snapshots; what a reader promises is told in snapshot.h. */
#include "wal/snapshot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/block.h"
#include "wal/io.h"
#include "wal/read_ahead.h"

#define REASON_BYTES 160

_Static_assert(HF_SNAPSHOT_READ_BYTES % HF_BLOCK_ALIGN_BYTES == 0, "reads stay aligned");
_Static_assert(HF_SNAPSHOT_READ_BYTES >= HF_SNAPSHOT_HEADER_BYTES, "the header fits");

struct hf_snapshot {
    struct hf_io *io;
    int file; /* -1: none */
    char name[HF_SNAPSHOT_NAME_BYTES];
    uint64_t last_lsn;
    struct hf_snapshot_header header; /* all zero until it was judged */

    uint8_t *buffer; /* HF_SNAPSHOT_READ_GROUPS groups, or all that there are: read at once */
    uint8_t *other;  /* as large, for what comes next; NULL: that was the last */
    struct hf_read_ahead ahead; /* into it */
    uint64_t index;             /* of the next group */
    uint64_t offset;            /* where it stands */
    uint64_t previous_hash;     /* header_hash of the one before */
    enum hf_snapshot_read end;  /* HF_SNAPSHOT_RIGHT: not there yet */
    struct hf_snapshot_finding finding;
};

/* Ends the reading. */
__attribute__((format(printf, 4, 5))) static enum hf_snapshot_read
finish(struct hf_snapshot *snapshot, enum hf_snapshot_read end, uint64_t offset, const char *format,
       ...)
{
    char what[sizeof(snapshot->finding.text) - 64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    snprintf(snapshot->finding.text, sizeof(snapshot->finding.text), "%s at %llu: %s",
             snapshot->name, (unsigned long long)offset, what);
    snapshot->finding.offset = offset;
    snapshot->end = end;
    return end;
}

static enum hf_snapshot_read finish_unreadable(struct hf_snapshot *snapshot, uint64_t offset,
                                               const char *what, int error)
{
    snapshot->finding.error = error;
    return finish(snapshot, HF_SNAPSHOT_ERROR, offset, "cannot %s: %s", what, strerror(-error));
}

/* Reads `bytes` at `offset` into `buffer`, or takes what was read ahead. READ, or the end. */
static enum hf_snapshot_read load(struct hf_snapshot *snapshot, size_t bytes, uint64_t offset)
{
    ssize_t count;
    if (snapshot->ahead.begun) {
        uint8_t *buffer = snapshot->buffer;
        snapshot->buffer = snapshot->other;
        snapshot->other = buffer;
        count = hf_read_ahead_end(&snapshot->ahead);
    } else {
        count =
            snapshot->io->read_at(snapshot->io, snapshot->file, snapshot->buffer, bytes, offset);
    }
    if (count < 0)
        return finish_unreadable(snapshot, offset, "read", (int)count);
    if ((size_t)count != bytes)
        return finish(snapshot, HF_SNAPSHOT_CORRUPT, offset,
                      "expected %llu bytes more, the file ends at %llu", (unsigned long long)bytes,
                      (unsigned long long)(offset + (size_t)count));
    return HF_SNAPSHOT_RIGHT;
}

/* ---- the header ------------------------------------------------------------------------- */

/* Rules 1 to 6 of snapshot_header.h. */
static enum hf_snapshot_read judge_header(struct hf_snapshot *snapshot, const uint8_t *bytes,
                                          uint64_t file_bytes)
{
    struct hf_snapshot_header header;
    enum hf_snapshot_fault fault = hf_snapshot_header_decode(bytes, &header);
    if (fault == HF_SNAPSHOT_NEWER_FORMAT)
        return finish(snapshot, HF_SNAPSHOT_NEWER, 0,
                      "expected a snapshot of format %d, found format %u: it was written by a "
                      "newer version",
                      HF_SNAPSHOT_FORMAT, hf_get_u16(bytes + 8));
    if (fault != HF_SNAPSHOT_VALID)
        return finish(snapshot, HF_SNAPSHOT_CORRUPT, 0,
                      "expected the header of a snapshot, found %s", hf_snapshot_fault_name(fault));
    if (header.last_lsn != snapshot->last_lsn)
        return finish(snapshot, HF_SNAPSHOT_CORRUPT, 0,
                      "expected a snapshot up to LSN %llu, found one up to LSN %llu",
                      (unsigned long long)snapshot->last_lsn, (unsigned long long)header.last_lsn);
    if (header.file_bytes != file_bytes)
        return finish(snapshot, HF_SNAPSHOT_CORRUPT, 0,
                      "expected a file of %llu bytes, as its header says, found %llu",
                      (unsigned long long)header.file_bytes, (unsigned long long)file_bytes);
    snapshot->header = header;
    return HF_SNAPSHOT_RIGHT;
}

/* Opens the file and reads its header. READ, or the end. */
static enum hf_snapshot_read enter(struct hf_snapshot *snapshot, const char *directory, bool direct)
{
    struct hf_io *io = snapshot->io;
    int file =
        io->open_file(io, directory, snapshot->name, direct ? HF_IO_READ_DIRECT : HF_IO_READ);
    if (file < 0)
        return finish_unreadable(snapshot, 0, "open", file);
    snapshot->file = file;
    uint64_t file_bytes;
    int result = io->file_bytes(io, file, &file_bytes);
    if (result < 0)
        return finish_unreadable(snapshot, 0, "learn the size", result);
    if (file_bytes < HF_SNAPSHOT_HEADER_BYTES)
        return finish(snapshot, HF_SNAPSHOT_CORRUPT, 0,
                      "expected the header of a snapshot, found a file of %llu bytes",
                      (unsigned long long)file_bytes);
    /* Of a small file there is less to read at once. */
    size_t buffer_bytes = HF_SNAPSHOT_READ_BYTES;
    if (file_bytes < buffer_bytes)
        buffer_bytes = (size_t)(file_bytes - file_bytes % HF_BLOCK_ALIGN_BYTES);
    snapshot->buffer = aligned_alloc(HF_BLOCK_ALIGN_BYTES, buffer_bytes);
    if (snapshot->buffer == NULL)
        return finish_unreadable(snapshot, 0, "read", -ENOMEM);
    enum hf_snapshot_read read = load(snapshot, HF_SNAPSHOT_HEADER_BYTES, 0);
    return read == HF_SNAPSHOT_RIGHT ? judge_header(snapshot, snapshot->buffer, file_bytes) : read;
}

enum hf_snapshot_read hf_snapshot_open(struct hf_io *io, const char *directory, uint64_t last_lsn,
                                       bool direct, struct hf_snapshot **opened,
                                       struct hf_snapshot_finding *finding)
{
    *opened = NULL;
    *finding = (struct hf_snapshot_finding){.error = -ENOMEM, .text = "out of memory"};
    struct hf_snapshot *snapshot = malloc(sizeof(*snapshot));
    if (snapshot == NULL)
        return HF_SNAPSHOT_ERROR;
    *snapshot = (struct hf_snapshot){
        .io = io,
        .file = -1,
        .last_lsn = last_lsn,
        .offset = HF_SNAPSHOT_HEADER_BYTES,
        .end = HF_SNAPSHOT_RIGHT,
    };
    hf_read_ahead_init(&snapshot->ahead, io);
    hf_snapshot_name_format(last_lsn, snapshot->name);
    enum hf_snapshot_read read = enter(snapshot, directory, direct);
    *finding = snapshot->finding;
    if (read == HF_SNAPSHOT_RIGHT)
        *opened = snapshot;
    else
        hf_snapshot_close(snapshot);
    return read;
}

void hf_snapshot_close(struct hf_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    hf_read_ahead_close(&snapshot->ahead);
    if (snapshot->file >= 0)
        snapshot->io->close_file(snapshot->io, snapshot->file);
    free(snapshot->buffer);
    free(snapshot->other);
    free(snapshot);
}

/* ---- groups ----------------------------------------------------------------------------- */

/* How much is read at once from this offset on. */
static size_t piece_bytes(const struct hf_snapshot *snapshot, uint64_t offset)
{
    uint64_t left = snapshot->header.file_bytes - offset;
    return left < HF_SNAPSHOT_READ_BYTES ? (size_t)left : HF_SNAPSHOT_READ_BYTES;
}

/* Begins to read the piece at this offset, if there is one. If memory does not suffice for that, it
 * is read when its turn comes. */
static void begin_ahead(struct hf_snapshot *snapshot, uint64_t offset)
{
    if (offset == snapshot->header.file_bytes)
        return;
    if (snapshot->other == NULL)
        snapshot->other = aligned_alloc(HF_BLOCK_ALIGN_BYTES, HF_SNAPSHOT_READ_BYTES);
    if (snapshot->other != NULL)
        hf_read_ahead_begin(&snapshot->ahead, snapshot->file, snapshot->other,
                            piece_bytes(snapshot, offset), offset);
}

/* The next group's place in memory; if none is left of the last read, reads as many as there is
 * room for. NULL: the reading has ended. */
static const uint8_t *load_group(struct hf_snapshot *snapshot)
{
    size_t place = (size_t)(snapshot->index % HF_SNAPSHOT_READ_GROUPS);
    if (place == 0) {
        size_t bytes = piece_bytes(snapshot, snapshot->offset);
        if (load(snapshot, bytes, snapshot->offset) != HF_SNAPSHOT_RIGHT)
            return NULL;
        begin_ahead(snapshot, snapshot->offset + bytes);
    }
    return snapshot->buffer + place * HF_SNAPSHOT_GROUP_BYTES;
}

/* How many records the next group must hold. */
static uint32_t expected_records(const struct hf_snapshot *snapshot)
{
    uint64_t left = snapshot->header.records - snapshot->index * HF_SNAPSHOT_GROUP_RECORDS;
    return left < HF_SNAPSHOT_GROUP_RECORDS ? (uint32_t)left : HF_SNAPSHOT_GROUP_RECORDS;
}

/* Rules 8 to 10: it is a group of this snapshot, the next one. If not, `reason` tells. */
static bool belongs(const struct hf_snapshot *snapshot, const struct hf_snapshot_group *group,
                    char reason[REASON_BYTES])
{
    const struct hf_snapshot_header *header = &snapshot->header;
    bool is_last = snapshot->index + 1 == header->groups;
    if (memcmp(group->log_id, header->log_id, sizeof(group->log_id)) != 0)
        snprintf(reason, REASON_BYTES, "a group of another log");
    else if (group->made_at_ns != header->made_at_ns)
        snprintf(reason, REASON_BYTES, "a group of another snapshot, made at %llu instead of %llu",
                 (unsigned long long)group->made_at_ns, (unsigned long long)header->made_at_ns);
    else if (group->index != snapshot->index || group->offset != snapshot->offset)
        snprintf(reason, REASON_BYTES, "group %llu, which belongs at %llu",
                 (unsigned long long)group->index + 1, (unsigned long long)group->offset);
    else if (group->record_count != expected_records(snapshot))
        snprintf(reason, REASON_BYTES, "one of %lu records instead of %lu",
                 (unsigned long)group->record_count, (unsigned long)expected_records(snapshot));
    else if (group->previous_hash != snapshot->previous_hash)
        snprintf(reason, REASON_BYTES, "it behind another group (previous_hash %016llx)",
                 (unsigned long long)group->previous_hash);
    else if (is_last && group->header_hash != header->last_group_hash)
        snprintf(reason, REASON_BYTES, "another last one (header_hash %016llx instead of %016llx)",
                 (unsigned long long)group->header_hash,
                 (unsigned long long)header->last_group_hash);
    else
        return true;
    return false;
}

/* Rules 7 to 12, for the group at `bytes`. If it is not the next one, `reason` tells what it is. */
static bool judge_group(const struct hf_snapshot *snapshot, const uint8_t *bytes,
                        struct hf_snapshot_group *group, char reason[REASON_BYTES])
{
    enum hf_snapshot_fault fault = hf_snapshot_group_read_header(bytes, group);
    if (fault == HF_SNAPSHOT_VALID) {
        if (!belongs(snapshot, group, reason))
            return false;
        fault = hf_snapshot_group_check_payload(bytes, group);
    }
    if (fault == HF_SNAPSHOT_NEWER_FORMAT) /* than the file's header */
        fault = HF_SNAPSHOT_BAD_FIELD;
    if (fault != HF_SNAPSHOT_VALID) {
        snprintf(reason, REASON_BYTES, "%s", hf_snapshot_fault_name(fault));
        return false;
    }
    uint64_t first = group->index * HF_SNAPSHOT_GROUP_RECORDS;
    uint64_t wrong = hf_snapshot_check_records(
        &snapshot->header, first, bytes + HF_SNAPSHOT_GROUP_HEADER_BYTES, group->record_count);
    if (wrong != first + group->record_count) {
        snprintf(reason, REASON_BYTES,
                 "it with a record %llu whose LSN, kind or chain cannot be there",
                 (unsigned long long)(wrong - first) + 1);
        return false;
    }
    return true;
}

enum hf_snapshot_read hf_snapshot_next(struct hf_snapshot *snapshot, struct hf_snapshot_view *view)
{
    if (snapshot->end != HF_SNAPSHOT_RIGHT)
        return snapshot->end;
    if (snapshot->index == snapshot->header.groups) {
        HF_CHECK(snapshot->offset == snapshot->header.file_bytes);
        snapshot->end = HF_SNAPSHOT_END;
        return HF_SNAPSHOT_END;
    }
    const uint8_t *bytes = load_group(snapshot);
    if (bytes == NULL)
        return snapshot->end;
    struct hf_snapshot_group group;
    char reason[REASON_BYTES];
    if (!judge_group(snapshot, bytes, &group, reason))
        return finish(snapshot, HF_SNAPSHOT_CORRUPT, snapshot->offset,
                      "expected group %llu of %llu, found %s",
                      (unsigned long long)snapshot->index + 1,
                      (unsigned long long)snapshot->header.groups, reason);
    *view = (struct hf_snapshot_view){
        .records = bytes + HF_SNAPSHOT_GROUP_HEADER_BYTES,
        .record_count = group.record_count,
        .first = group.index * HF_SNAPSHOT_GROUP_RECORDS,
    };
    snapshot->index++;
    snapshot->offset += group.group_bytes;
    snapshot->previous_hash = group.header_hash;
    return HF_SNAPSHOT_RIGHT;
}

const struct hf_snapshot_header *hf_snapshot_header(const struct hf_snapshot *snapshot)
{
    return &snapshot->header;
}

const struct hf_snapshot_finding *hf_snapshot_finding(const struct hf_snapshot *snapshot)
{
    return &snapshot->finding;
}

uint64_t hf_snapshot_bytes_done(const struct hf_snapshot *snapshot)
{
    return snapshot->offset;
}

/* ---- the directory ---------------------------------------------------------------------- */

struct listing {
    uint64_t *last_lsns; /* the newest so far, newest first */
    size_t max;
    int count; /* of all */
};

static int note_snapshot(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t last_lsn;
    if (!hf_snapshot_name_parse(name, &last_lsn))
        return 0;
    size_t listed = (size_t)listing->count < listing->max ? (size_t)listing->count : listing->max;
    listing->count++;
    size_t place = listed;
    while (place > 0 && listing->last_lsns[place - 1] < last_lsn)
        place--;
    if (place == listing->max)
        return 0;
    size_t moved = listed - place - (listed == listing->max);
    memmove(listing->last_lsns + place + 1, listing->last_lsns + place,
            moved * sizeof(*listing->last_lsns));
    listing->last_lsns[place] = last_lsn;
    return 0;
}

int hf_snapshots_list(struct hf_io *io, const char *directory, uint64_t *last_lsns, size_t max)
{
    struct listing listing = {.max = max};
    listing.last_lsns = last_lsns;
    int result = io->list(io, directory, note_snapshot, &listing);
    return result < 0 ? result : listing.count;
}

int hf_snapshot_remove(struct hf_io *io, const char *directory, uint64_t last_lsn)
{
    char name[HF_SNAPSHOT_NAME_BYTES];
    hf_snapshot_name_format(last_lsn, name);
    int result = io->remove_file(io, directory, name);
    return result == 0 ? io->sync_directory(io, directory) : result;
}
