/* Copies of logs; see log_copy.h. */
#include "tools/log_copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/snapshots.h"
#include "tools/walk.h"
#include "wal/io.h"
#include "wal/segment_header.h"

#define CHUNK_BYTES (4u << 20)

_Static_assert(CHUNK_BYTES >= HF_MAX_BLOCK_BYTES, "a block fits into an empty chunk");

/* The segment that is being written, and what of it was not yet. */
struct sink {
    struct hf_io *io;
    const char *from, *to;
    struct hf_log_copy *copy;
    int file; /* -1: none */
    uint64_t segment;
    uint64_t offset; /* in the segment, of the chunk */
    uint8_t *chunk;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct hf_log_copy *copy, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(copy->error, sizeof copy->error, format, arguments);
    va_end(arguments);
    return false;
}

static bool fail_writing(struct hf_log_copy *copy, const char *to, int error)
{
    return fail(copy, "cannot write into %.300s: %s", to, strerror(-error));
}

/* ---- segments --------------------------------------------------------------------------- */

static bool flush_chunk(struct sink *sink)
{
    int result = sink->io->write_at(sink->io, sink->file, sink->chunk, sink->used, sink->offset);
    sink->offset += sink->used;
    sink->used = 0;
    return result == 0 || fail_writing(sink->copy, sink->to, result);
}

static bool append(struct sink *sink, const uint8_t *bytes, size_t count)
{
    if (sink->used + count > CHUNK_BYTES && !flush_chunk(sink))
        return false;
    memcpy(sink->chunk + sink->used, bytes, count);
    sink->used += count;
    return true;
}

/* Zeros up to the end of the segment. */
static bool fill_up(struct sink *sink)
{
    while (sink->offset + sink->used < sink->copy->segment_bytes) {
        uint64_t left = sink->copy->segment_bytes - sink->offset - sink->used;
        size_t room = CHUNK_BYTES - sink->used;
        size_t count = left < room ? (size_t)left : room;
        memset(sink->chunk + sink->used, 0, count);
        sink->used += count;
        if (!flush_chunk(sink))
            return false;
    }
    return sink->used == 0 || flush_chunk(sink);
}

static void format_names(uint64_t segment, char name[HF_SEGMENT_NAME_BYTES],
                         char temporary[HF_SEGMENT_NAME_BYTES + 4])
{
    hf_segment_name_format(segment, name);
    snprintf(temporary, HF_SEGMENT_NAME_BYTES + 4, "%s" HF_SEGMENT_TEMPORARY_SUFFIX, name);
}

/* The segment gets its name, if there is one. Its directory is synced at the end. */
static bool end_segment(struct sink *sink)
{
    char name[HF_SEGMENT_NAME_BYTES], temporary[HF_SEGMENT_NAME_BYTES + 4];
    if (sink->file < 0)
        return true;
    if (!fill_up(sink))
        return false;
    format_names(sink->segment, name, temporary);
    int result = sink->io->sync_file(sink->io, sink->file);
    int closed = sink->io->close_file(sink->io, sink->file);
    sink->file = -1;
    if (result == 0)
        result = closed;
    if (result == 0)
        result = sink->io->rename_file(sink->io, sink->to, temporary, name);
    sink->copy->bytes += sink->copy->segment_bytes;
    return result == 0 || fail_writing(sink->copy, sink->to, result);
}

/* The header is the original's, which the reader has found right. */
static bool begin_segment(struct sink *sink, uint64_t segment)
{
    char name[HF_SEGMENT_NAME_BYTES], temporary[HF_SEGMENT_NAME_BYTES + 4];
    struct hf_io *io = sink->io;
    if (!end_segment(sink))
        return false;
    format_names(segment, name, temporary);
    int original = io->open_file(io, sink->from, name, HF_IO_READ_DIRECT);
    ssize_t count = original < 0
                        ? original
                        : io->read_at(io, original, sink->chunk, HF_SEGMENT_HEADER_BYTES, 0);
    if (original >= 0)
        io->close_file(io, original);
    if (count != HF_SEGMENT_HEADER_BYTES)
        return fail(sink->copy, "cannot read %s in %.300s: %s", name, sink->from,
                    count < 0 ? strerror((int)-count) : "it has become shorter");
    sink->file = io->open_file(io, sink->to, temporary, HF_IO_CREATE);
    if (sink->file < 0)
        return fail_writing(sink->copy, sink->to, sink->file);
    sink->segment = segment;
    sink->offset = 0;
    sink->used = HF_SEGMENT_HEADER_BYTES;
    sink->copy->last_segment = segment;
    return true;
}

static bool copy_blocks(struct sink *sink, struct hf_walk *walk)
{
    struct hf_block_view view;
    const struct hf_log_files *files = hf_reader_files(walk->reader);
    memcpy(sink->copy->log_id, files->log_id, sizeof sink->copy->log_id);
    sink->copy->segment_bytes = files->segment_bytes;
    sink->copy->first_segment = walk->start.segment;
    while (hf_walk_next(walk, &view)) {
        if (view.header.segment != sink->segment && !begin_segment(sink, view.header.segment))
            return false;
        if (!append(sink, view.bytes, view.header.block_bytes))
            return false;
    }
    if (!hf_walk_ended_well(walk))
        return fail(sink->copy,
                    "the log is damaged, and no copy is made of that: %s; look closer "
                    "with: holdfast-wal verify, and repair",
                    walk->finding.text);
    if (sink->file < 0 && !begin_segment(sink, walk->start.segment))
        return false;
    return end_segment(sink);
}

static bool copy_log(struct hf_log_copy *copy, const char *from, const struct hf_new_directory *to)
{
    struct hf_walk walk;
    struct sink sink = {
        .io = hf_io_posix(), .from = from, .to = to->path, .copy = copy, .file = -1};
    sink.chunk = aligned_alloc(HF_BLOCK_ALIGN_BYTES, CHUNK_BYTES);
    if (sink.chunk == NULL)
        return fail(copy, "out of memory");
    bool done = hf_walk_open(&walk, from, &copy->start, true);
    if (!done) {
        fail(copy, "%s", walk.finding.text);
    } else {
        done = copy_blocks(&sink, &walk);
        copy->blocks = walk.blocks;
        copy->records = walk.records;
        copy->last = walk.last;
        hf_walk_close(&walk);
    }
    if (sink.file >= 0)
        sink.io->close_file(sink.io, sink.file);
    free(sink.chunk);
    return done;
}

/* ---- snapshots -------------------------------------------------------------------------- */

/* All bytes of one file. */
static int copy_bytes(struct hf_io *io, int original, int file, uint64_t bytes)
{
    uint8_t *chunk = aligned_alloc(HF_BLOCK_ALIGN_BYTES, CHUNK_BYTES);
    int result = chunk == NULL ? -ENOMEM : 0;
    for (uint64_t offset = 0; offset < bytes && result == 0; offset += CHUNK_BYTES) {
        size_t count = bytes - offset < CHUNK_BYTES ? (size_t)(bytes - offset) : CHUNK_BYTES;
        ssize_t read = io->read_at(io, original, chunk, count, offset);
        if (read != (ssize_t)count)
            result = read < 0 ? (int)read : -EIO;
        else
            result = io->write_at(io, file, chunk, count, offset);
    }
    free(chunk);
    return result;
}

static int copy_file(const char *from, const char *to, const struct hf_snapshot_header *header)
{
    char name[HF_SNAPSHOT_NAME_BYTES];
    struct hf_io *io = hf_io_posix();
    hf_snapshot_name_format(header->last_lsn, name);
    int original = io->open_file(io, from, name, HF_IO_READ_DIRECT);
    if (original < 0)
        return original;
    int file = io->open_file(io, to, HF_SNAPSHOT_TEMPORARY, HF_IO_CREATE);
    int result = file < 0 ? file : copy_bytes(io, original, file, header->file_bytes);
    io->close_file(io, original);
    if (file < 0)
        return result;
    if (result == 0)
        result = io->sync_file(io, file);
    int closed = io->close_file(io, file);
    if (result == 0)
        result = closed;
    return result == 0 ? io->rename_file(io, to, HF_SNAPSHOT_TEMPORARY, name) : result;
}

/* Reads it to its end. END: all of it is right. */
static enum hf_snapshot_read read_snapshot(const char *directory, uint64_t last_lsn,
                                           struct hf_snapshot_finding *finding)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_view view;
    enum hf_snapshot_read read =
        hf_snapshot_open(hf_io_posix(), directory, last_lsn, true, &snapshot, finding);
    if (read != HF_SNAPSHOT_RIGHT)
        return read;
    while ((read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT)
        ;
    if (read != HF_SNAPSHOT_END)
        *finding = *hf_snapshot_finding(snapshot);
    hf_snapshot_close(snapshot);
    return read;
}

static void leave_out(struct hf_log_copy *copy, struct hf_snapshot_entry *entry, const char *text)
{
    entry->read = HF_SNAPSHOT_CORRUPT;
    copy->damaged_snapshots++;
    fprintf(stderr, "holdfast-wal: a snapshot is damaged, and is left out of the copy: %s\n", text);
}

/* The original is judged before it is copied; so what is wrong with the copy then, the copying
 * did. */
static bool copy_snapshot(struct hf_log_copy *copy, const char *from, const char *to,
                          struct hf_snapshot_entry *entry)
{
    struct hf_snapshot_finding finding;
    if (entry->read != HF_SNAPSHOT_RIGHT) {
        leave_out(copy, entry, entry->text);
        return true;
    }
    if (read_snapshot(from, entry->last_lsn, &finding) != HF_SNAPSHOT_END) {
        leave_out(copy, entry, finding.text);
        return true;
    }
    int result = copy_file(from, to, &entry->header);
    if (result != 0)
        return fail_writing(copy, to, result);
    if (read_snapshot(to, entry->last_lsn, &finding) != HF_SNAPSHOT_END)
        return fail(copy, "what was written to %.200s is not right: %s", to, finding.text);
    copy->snapshots++;
    copy->bytes += entry->header.file_bytes;
    return true;
}

/* Where the log is read from: see log_copy.h. */
static bool choose_start(struct hf_log_copy *copy, const char *from, const struct hf_files *files,
                         const struct hf_snapshot_entries *snapshots)
{
    const struct hf_snapshot_entry *oldest = NULL;
    bool later = hf_snapshot_entries_begin_later(snapshots);
    copy->start = (struct hf_log_start){.segment = 1, .next_lsn = 1};
    if (files->segments == 0 && files->snapshots == 0)
        return fail(copy, "%.300s holds no log", from);
    if (files->first_segment == 1 && files->segments == files->last_segment && !later)
        return true;
    for (uint32_t i = 0; i < snapshots->count; i++) {
        const struct hf_snapshot_entry *entry = &snapshots->entries[i];
        uint64_t segment = entry->header.start.segment;
        if (entry->read == HF_SNAPSHOT_RIGHT && hf_files_next_segment(from, segment) == segment)
            oldest = entry;
    }
    if (oldest != NULL)
        copy->start = oldest->header.start;
    else if (files->first_segment > 1)
        return fail(copy,
                    "the log in %.200s begins with segment %" PRIu64
                    ", and no snapshot in it is right to begin with",
                    from, files->first_segment);
    return true;
}

/* ---- all of it -------------------------------------------------------------------------- */

uint64_t hf_log_copy_last_lsn(const struct hf_log_copy *copy)
{
    return copy->blocks == 0 ? copy->start.next_lsn - 1
                             : copy->last.first_lsn + copy->last.record_count - 1;
}

/* The snapshots are of this log, and it reaches as far as they attest: the damaged ones, too. */
static bool check_snapshots(struct hf_log_copy *copy, const struct hf_snapshot_entries *snapshots)
{
    for (uint32_t i = 0; i < snapshots->count; i++) {
        const struct hf_snapshot_entry *entry = &snapshots->entries[i];
        if (entry->read == HF_SNAPSHOT_RIGHT &&
            memcmp(entry->header.log_id, copy->log_id, sizeof copy->log_id) != 0)
            return fail(copy, "the snapshot up to LSN %" PRIu64 " is of another log",
                        entry->last_lsn);
    }
    return copy->attested_lsn <= hf_log_copy_last_lsn(copy) ||
           fail(copy,
                "the log is damaged, and no copy is made of that: it ends with LSN %" PRIu64
                ", but a snapshot attests that all up to LSN %" PRIu64 " was durable",
                hf_log_copy_last_lsn(copy), copy->attested_lsn);
}

static bool copy_all(struct hf_log_copy *copy, const char *from, const struct hf_new_directory *to)
{
    struct hf_files files;
    struct hf_snapshot_entries snapshots;
    if (!hf_files_list(&files, from, copy->error))
        return false;
    hf_snapshot_entries_read(&snapshots, from, &files);
    copy->attested_lsn = files.snapshots == 0 ? 0 : files.last_lsns[0];
    for (uint32_t i = 0; i < snapshots.count; i++) {
        if (!copy_snapshot(copy, from, to->path, &snapshots.entries[i]))
            return false;
    }
    return choose_start(copy, from, &files, &snapshots) && copy_log(copy, from, to) &&
           check_snapshots(copy, &snapshots);
}

bool hf_log_copy(struct hf_log_copy *copy, const char *from, const struct hf_new_directory *to)
{
    int keep = hf_files_keep(from);
    *copy = (struct hf_log_copy){.blocks = 0};
    bool done = copy_all(copy, from, to);
    hf_files_release(keep);
    return done;
}

bool hf_log_copy_verify(struct hf_log_copy *copy, const struct hf_new_directory *to)
{
    struct hf_walk walk;
    struct hf_block_view view;
    if (!hf_walk_open(&walk, to->path, &copy->start, true))
        return fail(copy, "what was written to %.200s cannot be read: %s", to->path,
                    walk.finding.text);
    while (hf_walk_next(&walk, &view))
        ;
    bool same = walk.end == HF_READ_END && walk.blocks == copy->blocks &&
                walk.last.header_hash == copy->last.header_hash;
    if (!same)
        fail(copy, "what was written to %.200s is not what was read: %s", to->path,
             walk.finding.text);
    hf_walk_close(&walk);
    return same;
}
