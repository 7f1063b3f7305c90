/* Recovery; what it reads, and what it makes of damage, is told in recovery.h. */
#include "wal/recovery.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "wal/log.h"
#include "wal/reader.h"
#include "wal/segment_header.h"
#include "wal/snapshot.h"

#define ZERO_CHUNK_BYTES (1u << 20)

/* Snapshots that are looked at: two are kept, and there may be leftovers. */
#define MAX_SNAPSHOTS 16

int hf_log_explain(char *error, int result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, HF_LOG_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return result;
}

/* Where the log goes on after this block. */
static void advance_tail(struct hf_log_tail *tail, const struct hf_block *block)
{
    if (block->offset == HF_SEGMENT_HEADER_BYTES)
        tail->start = (struct hf_log_start){
            .segment = block->segment,
            .epoch = tail->epoch,
            .sequence = tail->sequence,
            .previous_hash = tail->previous_hash,
            .next_lsn = tail->next_lsn,
            .written_at_ns = tail->written_at_ns,
        };
    tail->epoch = block->epoch;
    tail->sequence = block->sequence;
    tail->previous_hash = block->header_hash;
    tail->next_lsn = block->first_lsn + block->record_count;
    if (tail->written_at_ns < block->written_at_ns)
        tail->written_at_ns = block->written_at_ns;
    tail->segment = block->segment;
    tail->offset = block->offset + block->block_bytes;
}

static int replay_block(const struct hf_log_options *options, const struct hf_block_view *view,
                        char *error)
{
    if (view->header.record_count == 0)
        return 0;
    uint32_t fault = 0;
    const char *reason =
        options->replay(options->replay_context, view->records, view->header.record_count, &fault);
    if (reason == NULL)
        return 0;
    return hf_log_explain(error, -EBADMSG,
                          "the record with LSN %llu in segment %llu of %s cannot be replayed: %s; "
                          "look closer with: holdfast-wal verify %s",
                          (unsigned long long)view->header.first_lsn + fault,
                          (unsigned long long)view->header.segment, options->directory, reason,
                          options->directory);
}

/* ---- progress ---- */

/* Tells how far it is. 0, or -ECANCELED. */
static int note_progress(const struct hf_log_options *options, uint64_t done_bytes,
                         uint64_t total_bytes, uint64_t records, char *error)
{
    if (hf_progress_note(options->progress, done_bytes, total_bytes, records))
        return 0;
    return hf_log_explain(error, -ECANCELED,
                          "the recovery of %s was broken off; it changed nothing",
                          options->directory);
}

struct segment_count {
    uint64_t from; /* segments from this one on */
    uint64_t count;
};

static int count_segment(void *context, const char *name)
{
    struct segment_count *counted = context;
    uint64_t number;
    if (hf_segment_name_parse(name, &number) && number >= counted->from)
        counted->count++;
    return 0;
}

/* Bytes of the log behind a snapshot, by the names of its files: the percentage is to be right from
 * the beginning. What is wrong with the files shows later. */
static uint64_t bytes_behind(const struct hf_log_options *options,
                             const struct hf_snapshot_header *header)
{
    struct segment_count counted = {.from = header->start.segment};
    if (options->io->list(options->io, options->directory, count_segment, &counted) != 0)
        return 0;
    return counted.count * header->segment_bytes;
}

/* Reads the whole log, hands every record over, and finds its tail. */
static int read_log(const struct hf_log_options *options, struct hf_reader *reader,
                    struct hf_log_recovery *recovery, struct hf_log_tail *tail,
                    struct hf_finding *end, char *error)
{
    for (;;) {
        struct hf_block_view view;
        enum hf_read read = hf_reader_next(reader, &view);
        const struct hf_finding *finding = hf_reader_finding(reader);
        switch (read) {
        case HF_READ_BLOCK: {
            int result = replay_block(options, &view, error);
            if (result != 0)
                return result;
            advance_tail(tail, &view.header);
            recovery->blocks++;
            recovery->records += view.header.record_count;
            recovery->bytes += view.header.block_bytes;
            recovery->stopped = (view.header.flags & HF_BLOCK_STOP) != 0;
            result = note_progress(options, recovery->snapshot.bytes + hf_reader_bytes_done(reader),
                                   recovery->snapshot.bytes + hf_reader_bytes_total(reader),
                                   recovery->snapshot_records + recovery->records, error);
            if (result != 0)
                return result;
            break;
        }
        case HF_READ_END:
            return 0;
        case HF_READ_TORN:
            recovery->cut_blocks = finding->cut_blocks;
            recovery->cut_bytes = finding->cut_bytes;
            recovery->stopped = false;
            *end = *finding;
            return 0;
        case HF_READ_CORRUPT:
            return hf_log_explain(error, -EBADMSG,
                                  "the log in %s is damaged, refusing to start: %s; look "
                                  "closer with: holdfast-wal verify %s",
                                  options->directory, finding->text, options->directory);
        case HF_READ_ERROR:
            return hf_log_explain(error, finding->error, "cannot read the log in %s: %s",
                                  options->directory, finding->text);
        }
    }
}

/* Writes zeros from `offset` to `end` in one segment, and syncs. */
static int zero_range(struct hf_io *io, const char *directory, uint64_t number, uint64_t offset,
                      uint64_t end, const uint8_t *zeros)
{
    struct hf_segment segment;
    int result = hf_segment_open(io, directory, number, &segment);
    if (result != 0)
        return result;
    while (result == 0 && offset < end) {
        uint64_t left = end - offset;
        size_t bytes = left < ZERO_CHUNK_BYTES ? (size_t)left : ZERO_CHUNK_BYTES;
        result = io->write_at(io, segment.file, zeros, bytes, offset);
        offset += bytes;
    }
    if (result == 0)
        result = io->sync_file(io, segment.file);
    io->close_file(io, segment.file);
    return result;
}

/*
 * Zeroes what stands behind the tail, before anything new is written. So residue of a torn tail
 * never stands beside a newer block, and what follows the log's end is zero, always. A crash in the
 * middle leaves a tail that is torn at the same place.
 */
static int cut_tail(struct hf_io *io, const char *directory, const struct hf_log_tail *tail,
                    const struct hf_log_files *files, const struct hf_finding *found, char *error)
{
    fprintf(stderr,
            "holdfast: log: torn tail cut (writes in flight at the crash, none of "
            "them acknowledged): %s\n",
            found->text);
    uint8_t *zeros = aligned_alloc(HF_BLOCK_ALIGN_BYTES, ZERO_CHUNK_BYTES);
    if (zeros == NULL)
        return hf_log_explain(error, -ENOMEM, "out of memory");
    memset(zeros, 0, ZERO_CHUNK_BYTES);
    uint64_t end = tail->offset + found->cut_bytes + HF_BLOCK_ALIGN_BYTES - 1;
    end -= end % HF_BLOCK_ALIGN_BYTES;
    int result = 0;
    /* The last segment first: as long as anything is left, the tail is still torn where it was. */
    if (end > files->segment_bytes) {
        end = files->segment_bytes;
        for (uint64_t number = files->last_segment; number > tail->segment && result == 0; number--)
            result = zero_range(io, directory, number, HF_SEGMENT_HEADER_BYTES,
                                files->segment_bytes, zeros);
    }
    if (result == 0)
        result = zero_range(io, directory, tail->segment, tail->offset, end, zeros);
    free(zeros);
    if (result != 0)
        return hf_log_explain(error, result, "cannot cut the torn tail of the log in %s: %s",
                              directory, strerror(-result));
    return 0;
}

/* ---- snapshots ---- */

static void describe(const struct hf_snapshot_header *header, struct hf_log_snapshot *snapshot)
{
    *snapshot = (struct hf_log_snapshot){
        .last_lsn = header->last_lsn,
        .segment = header->start.segment,
        .made_at_ns = header->made_at_ns,
        .bytes = header->file_bytes,
    };
}

/* Hands over the records of one group. */
static int restore_group(const struct hf_log_options *options,
                         const struct hf_snapshot_header *header,
                         const struct hf_snapshot_view *view, char *error)
{
    uint32_t fault = 0;
    const char *reason = options->restore(options->replay_context, view->records,
                                          view->record_count, header->log_time_ns, &fault);
    if (reason == NULL)
        return 0;
    return hf_log_explain(
        error, -EBADMSG,
        "record %llu of the snapshot up to LSN %llu in %s cannot be restored: %s; "
        "look closer with: holdfast-wal verify %s",
        (unsigned long long)view->first + fault, (unsigned long long)header->last_lsn,
        options->directory, reason, options->directory);
}

/* Where the log goes on behind a snapshot. */
static void begin_behind(const struct hf_snapshot_header *header, struct hf_log_tail *tail)
{
    *tail = (struct hf_log_tail){
        .epoch = header->start.epoch,
        .sequence = header->start.sequence,
        .previous_hash = header->start.previous_hash,
        .next_lsn = header->start.next_lsn,
        .written_at_ns = header->start.written_at_ns,
        .segment = header->start.segment,
        .offset = HF_SEGMENT_HEADER_BYTES,
        .start = header->start,
    };
    memcpy(tail->log_id, header->log_id, sizeof tail->log_id);
}

/* Of this log, as far as is known by now: an id of zero is none. */
static bool is_of_log(const struct hf_log_tail *tail, const uint8_t log_id[16])
{
    return hf_all_zero(tail->log_id, sizeof tail->log_id) ||
           memcmp(tail->log_id, log_id, sizeof tail->log_id) == 0;
}

/* What a disk, or a file system that checks itself, says of a damaged file. */
static bool is_damage(enum hf_snapshot_read read, int error)
{
    return read == HF_SNAPSHOT_CORRUPT ||
           (read == HF_SNAPSHOT_ERROR &&
            (error == -EIO || error == -EBADMSG || error == -EUCLEAN || error == -ENODATA));
}

/* Hands over a snapshot whose header is right. END: all of it is right; *tail is where the log goes
 * on. */
static enum hf_snapshot_read restore(const struct hf_log_options *options,
                                     struct hf_snapshot *snapshot, struct hf_log_recovery *recovery,
                                     struct hf_log_tail *tail, int *result, char *error)
{
    const struct hf_snapshot_header *header = hf_snapshot_header(snapshot);
    struct hf_snapshot_view view;
    enum hf_snapshot_read read;
    if (!is_of_log(tail, header->log_id)) {
        *result = hf_log_explain(error, -EBADMSG,
                                 "the snapshots in %s are of several logs, refusing to start: the "
                                 "one up to LSN %llu is of another one than a newer one, which is "
                                 "damaged; take away what does not belong there",
                                 options->directory, (unsigned long long)header->last_lsn);
        return HF_SNAPSHOT_RIGHT;
    }
    memcpy(tail->log_id, header->log_id, sizeof tail->log_id);
    uint64_t behind_bytes = bytes_behind(options, header);
    while ((read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT && *result == 0) {
        *result = restore_group(options, header, &view, error);
        if (*result == 0)
            *result = note_progress(options, hf_snapshot_bytes_done(snapshot),
                                    header->file_bytes + behind_bytes,
                                    view.first + view.record_count, error);
    }
    if (read == HF_SNAPSHOT_END) {
        describe(header, &recovery->snapshot);
        recovery->snapshot_records = header->records;
        begin_behind(header, tail);
    }
    return read;
}

/* Reads one snapshot and hands it over: END, or it is damaged; or *result says why not. */
static enum hf_snapshot_read read_snapshot(const struct hf_log_options *options, uint64_t last_lsn,
                                           struct hf_log_recovery *recovery,
                                           struct hf_log_tail *tail, int *result, char *error)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    enum hf_snapshot_read read =
        hf_snapshot_open(options->io, options->directory, last_lsn, true, &snapshot, &finding);
    if (read == HF_SNAPSHOT_RIGHT) {
        read = restore(options, snapshot, recovery, tail, result, error);
        finding = *hf_snapshot_finding(snapshot);
        hf_snapshot_close(snapshot);
    }
    if (is_damage(read, finding.error))
        fprintf(
            stderr,
            "holdfast: log: a snapshot in %s is damaged, going on with what was before it: %s\n",
            options->directory, finding.text);
    else if (read == HF_SNAPSHOT_NEWER || read == HF_SNAPSHOT_ERROR)
        *result =
            hf_log_explain(error, read == HF_SNAPSHOT_ERROR ? finding.error : -EBADMSG,
                           "cannot read a snapshot in %s: %s", options->directory, finding.text);
    return read;
}

/* Of the snapshot before the one that was read, what its header says; if that is right, and of this
 * log: what it needs will be kept, and what is before that released. */
static void look_at_older(const struct hf_log_options *options, uint64_t last_lsn,
                          struct hf_log_recovery *recovery, const struct hf_log_tail *tail)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    if (hf_snapshot_open(options->io, options->directory, last_lsn, true, &snapshot, &finding) !=
        HF_SNAPSHOT_RIGHT)
        return;
    const struct hf_snapshot_header *header = hf_snapshot_header(snapshot);
    if (is_of_log(tail, header->log_id) && header->start.segment <= recovery->snapshot.segment)
        describe(header, &recovery->older);
    hf_snapshot_close(snapshot);
}

/* Reads the newest snapshot that is right. *tail stays as it is if there is none. */
static int read_newest_snapshot(const struct hf_log_options *options,
                                struct hf_log_recovery *recovery, struct hf_log_tail *tail,
                                char *error)
{
    uint64_t last_lsns[MAX_SNAPSHOTS];
    int count = hf_snapshots_list(options->io, options->directory, last_lsns, MAX_SNAPSHOTS);
    if (count < 0)
        return hf_log_explain(error, count, "cannot list %s: %s", options->directory,
                              strerror(-count));
    if (count > 0 && last_lsns[0] == HF_SNAPSHOT_LSN_MAX)
        return hf_log_explain(
            error, -EBADMSG,
            "the log in %s is not whole: holdfast-wal was writing it, and did not "
            "finish; remove the directory and do that again",
            options->directory);
    if (count > 0)
        recovery->attested_lsn = last_lsns[0]; /* right or not: see recovery.h */
    for (int i = 0; i < count && i < MAX_SNAPSHOTS; i++) {
        int result = 0;
        enum hf_snapshot_read read =
            read_snapshot(options, last_lsns[i], recovery, tail, &result, error);
        if (result != 0)
            return result;
        if (read == HF_SNAPSHOT_END) {
            if (i + 1 < count && i + 1 < MAX_SNAPSHOTS)
                look_at_older(options, last_lsns[i + 1], recovery, tail);
            return 0;
        }
        recovery->damaged_snapshots++;
    }
    return 0;
}

/* The segments must be there, and be those of the snapshots. */
static int check_files(const struct hf_log_options *options, const struct hf_log_recovery *recovery,
                       const struct hf_log_tail *tail, const struct hf_log_files *files,
                       char *error)
{
    bool has_snapshots = recovery->snapshot.segment != 0 || recovery->damaged_snapshots != 0;
    if (files->last_segment == 0 && has_snapshots)
        return hf_log_explain(error, -EBADMSG,
                              "the log in %s is damaged, refusing to start: there is a snapshot up "
                              "to LSN %llu, but no segment; put back the files that belong "
                              "together",
                              options->directory, (unsigned long long)recovery->attested_lsn);
    /* Zero: the first one is not right, which reading it will tell. */
    if (hf_all_zero(files->log_id, sizeof files->log_id) || is_of_log(tail, files->log_id))
        return 0;
    return hf_log_explain(error, -EBADMSG,
                          "the log in %s is damaged, refusing to start: its snapshot up to LSN "
                          "%llu is of another log than segment %llu; put back the files that "
                          "belong together",
                          options->directory, (unsigned long long)recovery->attested_lsn,
                          (unsigned long long)files->first_segment);
}

/* What a snapshot attests must be there. */
static int check_end(const struct hf_log_options *options, const struct hf_log_recovery *recovery,
                     const struct hf_log_tail *tail, char *error)
{
    if (tail->next_lsn > recovery->attested_lsn)
        return 0;
    return hf_log_explain(
        error, -EBADMSG,
        "the log in %s is damaged, refusing to start: it ends with LSN %llu in "
        "segment %llu at %u, but its snapshot attests that all up to LSN %llu was "
        "durable; look closer with: holdfast-wal verify %s",
        options->directory, (unsigned long long)tail->next_lsn - 1,
        (unsigned long long)tail->segment, tail->offset, (unsigned long long)recovery->attested_lsn,
        options->directory);
}

/* ---- all of it ---- */

/* The log behind the snapshot, to its end. */
static int read_tail(const struct hf_log_options *options, struct hf_log_recovery *recovery,
                     struct hf_log_tail *tail, struct hf_log_files *files, struct hf_finding *end,
                     char *error)
{
    struct hf_reader *reader;
    struct hf_finding finding;
    bool behind_snapshot = recovery->snapshot.segment != 0;
    int result = hf_reader_open(options->io, options->directory, true,
                                behind_snapshot ? &tail->start : NULL, &reader, &finding);
    if (result != 0)
        return hf_log_explain(error, result, "cannot open the log in %s: %s", options->directory,
                              finding.text);
    *files = *hf_reader_files(reader);
    result = check_files(options, recovery, tail, files, error);
    memcpy(tail->log_id, files->log_id, sizeof tail->log_id);
    if (result == 0)
        result = read_log(options, reader, recovery, tail, end, error);
    hf_reader_close(reader);
    /* The clock goes on behind all dates that were told, the snapshot's among them. */
    if (tail->written_at_ns < recovery->snapshot.made_at_ns)
        tail->written_at_ns = recovery->snapshot.made_at_ns;
    return result;
}

int hf_recover(const struct hf_log_options *options, struct hf_log_recovery *recovery,
               struct hf_log_tail *tail, struct hf_log_files *files, char *error)
{
    uint64_t started_ns = hf_monotonic_now_ns();
    *tail = (struct hf_log_tail){
        .segment = 1,
        .offset = HF_SEGMENT_HEADER_BYTES,
        .next_lsn = 1,
        .start = {.segment = 1, .next_lsn = 1},
    };
    struct hf_finding end = {0};
    int result = read_newest_snapshot(options, recovery, tail, error);
    if (result == 0)
        result = read_tail(options, recovery, tail, files, &end, error);
    if (result == 0)
        result = check_end(options, recovery, tail, error);
    const char *reason =
        result == 0 ? options->replay_end(options->replay_context, tail->epoch + 1) : NULL;
    if (reason != NULL)
        return hf_log_explain(error, -EBADMSG,
                              "the log in %s is damaged, refusing to start: %s; look closer with: "
                              "holdfast-wal verify %s",
                              options->directory, reason, options->directory);
    if (result == 0 && recovery->cut_bytes != 0)
        result = cut_tail(options->io, options->directory, tail, files, &end, error);
    recovery->duration_ns = hf_monotonic_now_ns() - started_ns;
    return result;
}
