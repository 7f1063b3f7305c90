/* Walks over logs; see walk.h. */
#include "tools/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/snapshots.h"
#include "wal/io.h"
#include "wal/segment_header.h"

#define MAX_GROWTHS 3 /* how long a log that is being written is followed */

/* The first block's header of a segment. False: there is none that is right. */
static bool read_first_header(const char *directory, uint64_t segment, struct hf_block *block)
{
    struct hf_io *io = hf_io_posix();
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(segment, name);
    uint8_t *bytes = aligned_alloc(HF_BLOCK_ALIGN_BYTES, HF_BLOCK_ALIGN_BYTES);
    int file = io->open_file(io, directory, name, HF_IO_READ_DIRECT);
    bool right = bytes != NULL && file >= 0 &&
                 io->read_at(io, file, bytes, HF_BLOCK_ALIGN_BYTES, HF_SEGMENT_HEADER_BYTES) ==
                     HF_BLOCK_ALIGN_BYTES &&
                 hf_block_read_header(bytes, block) == HF_BLOCK_VALID;
    if (file >= 0)
        io->close_file(io, file);
    free(bytes);
    return right;
}

/* A snapshot that begins with this segment knows best what was before it; any, if there is no
 * segment. False: there is none. */
static bool ask_snapshots(struct hf_walk *walk, const struct hf_files *files)
{
    struct hf_snapshot_entries snapshots;
    hf_snapshot_entries_read(&snapshots, walk->directory, files);
    for (uint32_t i = 0; i < snapshots.count; i++) {
        const struct hf_snapshot_entry *entry = &snapshots.entries[i];
        if (entry->read == HF_SNAPSHOT_RIGHT &&
            (files->segments == 0 || entry->header.start.segment == files->first_segment)) {
            walk->start = entry->header.start;
            return true;
        }
    }
    return false;
}

/* The oldest segment that is there. If its first block is not right, the reader will say so. */
static bool find_oldest(struct hf_walk *walk)
{
    struct hf_files files;
    char error[HF_FILES_ERROR_BYTES];
    struct hf_block block;
    walk->start = (struct hf_log_start){.segment = 1, .next_lsn = 1};
    if (!hf_files_list(&files, walk->directory, error)) {
        snprintf(walk->finding.text, sizeof walk->finding.text, "%.300s", error);
        return false;
    }
    if (ask_snapshots(walk, &files) || files.segments == 0 || files.first_segment == 1)
        return true;
    walk->start.segment = files.first_segment;
    if (!read_first_header(walk->directory, files.first_segment, &block))
        return true;
    walk->start = (struct hf_log_start){
        .segment = files.first_segment,
        .epoch = block.epoch - ((block.flags & HF_BLOCK_START) != 0),
        .sequence = block.sequence - 1,
        .previous_hash = block.previous_hash,
        .next_lsn = block.first_lsn,
    };
    return true;
}

bool hf_walk_open(struct hf_walk *walk, const char *directory, const struct hf_log_start *start,
                  bool progress)
{
    *walk = (struct hf_walk){.directory = directory, .keep = hf_files_keep(directory)};
    if (progress)
        hf_progress_begin(&walk->progress);
    if (start != NULL)
        walk->start = *start;
    else if (!find_oldest(walk))
        goto release;
    if (hf_reader_open(hf_io_posix(), directory, true, &walk->start, &walk->reader,
                       &walk->finding) < 0)
        goto release;
    if (hf_reader_files(walk->reader)->last_segment != 0)
        return true;
    hf_reader_close(walk->reader);
    snprintf(walk->finding.text, sizeof walk->finding.text, "%s holds no log", directory);
release:
    hf_files_release(walk->keep);
    return false;
}

void hf_walk_close(struct hf_walk *walk)
{
    hf_progress_clear(&walk->progress);
    hf_reader_close(walk->reader);
    hf_files_release(walk->keep);
}

bool hf_walk_next(struct hf_walk *walk, struct hf_block_view *view)
{
    if (hf_reader_growths(walk->reader) >= MAX_GROWTHS) {
        walk->grows = true;
        walk->end = HF_READ_END;
    } else {
        walk->end = hf_reader_next(walk->reader, view);
    }
    if (walk->end != HF_READ_BLOCK) {
        hf_progress_clear(&walk->progress);
        walk->finding = *hf_reader_finding(walk->reader);
        walk->in_flight = walk->end == HF_READ_TORN && hf_files_server_runs(walk->directory);
        return false;
    }
    walk->last = view->header;
    if (walk->blocks++ == 0)
        walk->first = view->header;
    walk->records += view->header.record_count;
    walk->starts += (view->header.flags & HF_BLOCK_START) != 0;
    walk->clean_stops += (view->header.flags & HF_BLOCK_STOP) != 0;
    hf_progress_show(&walk->progress, "read %.0f of %.0f MiB, %" PRIu64 " records",
                     (double)hf_reader_bytes_done(walk->reader) / (1 << 20),
                     (double)hf_reader_bytes_total(walk->reader) / (1 << 20), walk->records);
    return true;
}

uint64_t hf_walk_first_lsn(const struct hf_walk *walk)
{
    return walk->start.next_lsn;
}

uint64_t hf_walk_last_lsn(const struct hf_walk *walk)
{
    return walk->blocks == 0 ? walk->start.next_lsn - 1
                             : walk->last.first_lsn + walk->last.record_count - 1;
}

bool hf_walk_ended_well(const struct hf_walk *walk)
{
    return walk->end == HF_READ_END || walk->end == HF_READ_TORN;
}
