/* The log; what it ties together and how it opens is told in log.h. */
#include "wal/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "wal/reader.h"
#include "wal/segment_header.h"

/* How many records before it is replayed a record is announced. */
#define ANNOUNCED_RECORDS 16

#define DEFAULT_RING_SLOTS 32768
#define ZERO_CHUNK_BYTES   (1u << 20)
#define LOCK_TRIES         20
#define LOCK_PAUSE_NS      10000000 /* 10 ms */

/* Writes the line for the user and returns `result`. */
__attribute__((format(printf, 3, 4))) static int explain(char *error, int result,
                                                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, HF_LOG_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return result;
}

/* Opens a file of the directory that is locked, never read. A descriptor or -errno. */
static int open_to_lock(const char *directory, const char *name, char *error)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path)
        return explain(error, -ENAMETOOLONG, "the path of the directory is too long: %s",
                       directory);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (file < 0)
        return explain(error, -errno,
                       "cannot open %s for writing: %s; check that %s is a "
                       "directory that this user may write to",
                       path, strerror(errno), directory);
    return file;
}

/* Takes the lock, or -errno. A tool that asks whether a server runs holds it for a moment. */
static int lock_patiently(int lock)
{
    for (int tries = 0;; tries++) {
        if (flock(lock, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
            return -errno;
        struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
        nanosleep(&pause, NULL);
    }
}

/* Makes the directory if it is missing, and takes its lock. A descriptor or -errno. */
static int take_lock(const char *directory, char *error)
{
    if (mkdir(directory, 0750) != 0 && errno != EEXIST)
        return explain(error, -errno,
                       "cannot make directory %s: %s; make it, or choose another "
                       "with --dir",
                       directory, strerror(errno));
    int lock = open_to_lock(directory, "lock", error);
    if (lock < 0)
        return lock;
    int result = lock_patiently(lock);
    if (result == 0)
        return lock;
    char holder[16] = "";
    ssize_t length = pread(lock, holder, sizeof holder - 1, 0);
    holder[length > 0 ? strspn(holder, "0123456789") : 0] = '\0';
    close(lock);
    if (result == -EWOULDBLOCK)
        return explain(error, -EBUSY,
                       "%s is in use by another server (process %s); stop that one "
                       "first, or choose another directory with --dir",
                       directory, holder[0] != '\0' ? holder : "unknown");
    return explain(error, result, "cannot lock %s/lock: %s", directory, strerror(-result));
}

/* Writes our process id into the lock file, for whoever finds it locked. */
static void sign_lock(int lock)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)length, 0) != length)
        return; /* it is a courtesy only */
}

struct tidy {
    struct hf_io *io;
    const char *directory;
};

/* Removes what preparing left behind; syncs what the log consists of, when it is at rest. */
static int tidy_file(void *context, const char *name)
{
    struct tidy *tidy = context;
    size_t length = strlen(name);
    size_t suffix = strlen(HF_SEGMENT_TEMPORARY_SUFFIX);
    if (length > suffix && strcmp(name + length - suffix, HF_SEGMENT_TEMPORARY_SUFFIX) == 0)
        return tidy->io->remove_file(tidy->io, tidy->directory, name);
    uint64_t number;
    if (!hf_segment_name_parse(name, &number))
        return 0;
    /* Opened for writing, which waits for writes that a killed server left in flight. */
    int file = tidy->io->open_file(tidy->io, tidy->directory, name, HF_IO_WRITE);
    if (file < 0)
        return file;
    int result = tidy->io->sync_file(tidy->io, file);
    tidy->io->close_file(tidy->io, file);
    return result;
}

static int tidy_directory(struct hf_io *io, const char *directory, char *error)
{
    struct tidy tidy = {io, directory};
    int result = io->list(io, directory, tidy_file, &tidy);
    if (result == 0)
        result = io->sync_directory(io, directory);
    if (result != 0)
        return explain(error, result, "cannot prepare %s for reading the log: %s", directory,
                       strerror(-result));
    return 0;
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
    if (options->announce != NULL)
        for (uint32_t i = 0; i < ANNOUNCED_RECORDS && i < view->header.record_count; i++)
            options->announce(options->replay_context, view->records + (size_t)i * HF_RECORD_BYTES);
    for (uint32_t i = 0; i < view->header.record_count; i++) {
        uint32_t ahead = i + ANNOUNCED_RECORDS;
        if (options->announce != NULL && ahead < view->header.record_count)
            options->announce(options->replay_context,
                              view->records + (size_t)ahead * HF_RECORD_BYTES);
        const char *reason =
            options->replay(options->replay_context, view->records + (size_t)i * HF_RECORD_BYTES);
        if (reason != NULL)
            return explain(error, -EBADMSG,
                           "the record with LSN %llu in segment %llu of %s cannot "
                           "be replayed: %s; look closer with: holdfast-wal verify %s",
                           (unsigned long long)(view->header.first_lsn + i),
                           (unsigned long long)view->header.segment, options->directory, reason,
                           options->directory);
    }
    return 0;
}

/* Reads the whole log, hands every record over, and finds its tail. */
static int read_log(struct hf_log *log, const struct hf_log_options *options,
                    struct hf_reader *reader, struct hf_log_tail *tail, char *error)
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
            log->recovery.blocks++;
            log->recovery.records += view.header.record_count;
            log->recovery.bytes += view.header.block_bytes;
            log->recovery.stopped = (view.header.flags & HF_BLOCK_STOP) != 0;
            break;
        }
        case HF_READ_END:
            return 0;
        case HF_READ_TORN:
            log->recovery.cut_blocks = finding->cut_blocks;
            log->recovery.cut_bytes = finding->cut_bytes;
            log->recovery.stopped = false;
            fprintf(stderr,
                    "holdfast: log: torn tail cut (writes in flight at the crash, none of "
                    "them acknowledged): %s\n",
                    finding->text);
            return 0;
        case HF_READ_CORRUPT:
            return explain(error, -EBADMSG,
                           "the log in %s is damaged, refusing to start: %s; look "
                           "closer with: holdfast-wal verify %s",
                           options->directory, finding->text, options->directory);
        case HF_READ_ERROR:
            return explain(error, finding->error, "cannot read the log in %s: %s",
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
                    const struct hf_log_files *files, uint64_t cut_bytes, char *error)
{
    uint8_t *zeros = aligned_alloc(HF_BLOCK_ALIGN_BYTES, ZERO_CHUNK_BYTES);
    if (zeros == NULL)
        return explain(error, -ENOMEM, "out of memory");
    memset(zeros, 0, ZERO_CHUNK_BYTES);
    uint64_t end = tail->offset + cut_bytes + HF_BLOCK_ALIGN_BYTES - 1;
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
        return explain(error, result, "cannot cut the torn tail of the log in %s: %s", directory,
                       strerror(-result));
    return 0;
}

static int recover(struct hf_log *log, const struct hf_log_options *options,
                   struct hf_log_tail *tail, struct hf_log_files *files, char *error)
{
    struct hf_io *io = options->io;
    uint64_t started_ns = hf_monotonic_now_ns();
    struct hf_reader *reader;
    struct hf_finding finding;
    int result = hf_reader_open(io, options->directory, true, NULL, &reader, &finding);
    if (result != 0)
        return explain(error, result, "cannot open the log in %s: %s", options->directory,
                       finding.text);
    *files = *hf_reader_files(reader);
    memcpy(tail->log_id, files->log_id, sizeof tail->log_id);
    tail->segment = files->first_segment;
    tail->offset = HF_SEGMENT_HEADER_BYTES;
    result = read_log(log, options, reader, tail, error);
    hf_reader_close(reader);
    const char *reason = result == 0 ? options->replay_end(options->replay_context) : NULL;
    if (reason != NULL)
        return explain(error, -EBADMSG,
                       "the log in %s is damaged, refusing to start: %s; look closer with: "
                       "holdfast-wal verify %s",
                       options->directory, reason, options->directory);
    if (result == 0 && log->recovery.cut_bytes != 0)
        result = cut_tail(io, options->directory, tail, files, log->recovery.cut_bytes, error);
    log->recovery.duration_ns = hf_monotonic_now_ns() - started_ns;
    return result;
}

/* The first segment of a new log. */
static int create_log(const struct hf_log_options *options, struct hf_log_tail *tail,
                      struct hf_log_files *files, char *error)
{
    if (getrandom(tail->log_id, sizeof tail->log_id, 0) != sizeof tail->log_id)
        return explain(error, -EIO, "the system gave no random bytes");
    /* Shaped as a random UUID (version 4), as it is printed like one. */
    tail->log_id[6] = (uint8_t)((tail->log_id[6] & 0x0f) | 0x40);
    tail->log_id[8] = (uint8_t)((tail->log_id[8] & 0x3f) | 0x80);
    files->segment_bytes =
        options->segment_bytes != 0 ? options->segment_bytes : HF_DEFAULT_SEGMENT_BYTES;
    files->oldest_segment = files->first_segment = files->last_segment = tail->segment = 1;
    tail->offset = HF_SEGMENT_HEADER_BYTES;
    int result =
        hf_segment_create(options->io, options->directory, tail->log_id, 1, files->segment_bytes);
    if (result != 0)
        return explain(error, result,
                       "cannot create the first segment of the log (%llu MiB) in "
                       "%s: %s%s",
                       (unsigned long long)(files->segment_bytes >> 20), options->directory,
                       strerror(-result),
                       result == -ENOSPC   ? "; make room, or use a smaller --segment-bytes"
                       : result == -EINVAL ? "; the file system must allow direct I/O (O_DIRECT)"
                                           : "");
    return 0;
}

/* Everything after recovery: from here on the log can be appended to. */
static int start_writing(struct hf_log *log, const struct hf_log_options *options,
                         const struct hf_log_tail *tail, const struct hf_log_files *files,
                         char *error)
{
    hf_server_clock_init(&log->clock, tail->written_at_ns);
    struct hf_segment segment;
    int result = hf_segment_open(options->io, options->directory, tail->segment, &segment);
    if (result != 0)
        return explain(error, result, "cannot open the log in %s for writing: %s",
                       options->directory, strerror(-result));
    result = hf_ring_init(&log->ring,
                          options->ring_slots != 0 ? options->ring_slots : DEFAULT_RING_SLOTS,
                          tail->next_lsn);
    if (result != 0)
        goto close_segment;
    struct hf_segments_options segments_options = {
        .io = options->io,
        .directory = options->directory,
        .log_id = tail->log_id,
        .segment_bytes = files->segment_bytes,
        .first_number = files->oldest_segment,
        .next_number = tail->segment + 1,
        .next_exists = files->last_segment > tail->segment,
        .manual = options->manual,
        .keep = log->keep,
    };
    result = hf_segments_open(&log->segments, &segments_options);
    if (result != 0)
        goto close_ring;
    struct hf_flusher_options flusher_options = {
        .durability = options->durability,
        .writes_inflight = options->writes_inflight,
        .on_failure = options->on_failure,
        .failure_context = options->failure_context,
    };
    result = hf_flusher_init(&log->flusher, &log->ring, &log->segments, &segment, tail, &log->clock,
                             &flusher_options);
    if (result == 0)
        result = hf_recent_init(&log->recent, 2 * log->ring.slot_count);
    if (result == 0) {
        log->flusher.recent = &log->recent;
        return 0;
    }
    hf_flusher_close(&log->flusher); /* closes the segment as well */
    hf_segments_close(&log->segments);
    hf_ring_close(&log->ring);
    return explain(error, result, "cannot write to the log in %s: %s%s", options->directory,
                   strerror(-result), result == -ENOSPC ? "; make room" : "");
close_ring:
    hf_ring_close(&log->ring);
close_segment:
    options->io->close_file(options->io, segment.file);
    return explain(error, result, "cannot start the log: %s", strerror(-result));
}

static void close_locks(struct hf_log *log)
{
    if (log->keep >= 0)
        close(log->keep);
    close(log->lock);
}

int hf_log_open(struct hf_log *log, const struct hf_log_options *given,
                char error[HF_LOG_ERROR_BYTES])
{
    struct hf_log_options options = *given;
    if (options.io == NULL)
        options.io = hf_io_posix();
    error[0] = '\0';
    *log = (struct hf_log){.lock = take_lock(options.directory, error), .keep = -1};
    if (log->lock < 0)
        return log->lock;
    struct hf_log_tail tail = {.segment = 1, .next_lsn = 1};
    tail.start = (struct hf_log_start){.segment = 1, .next_lsn = 1};
    struct hf_log_files files = {0};
    log->keep = open_to_lock(options.directory, "keep", error);
    int result = log->keep < 0 ? log->keep : 0;
    if (result == 0)
        result = tidy_directory(options.io, options.directory, error);
    if (result == 0)
        result = recover(log, &options, &tail, &files, error);
    if (result == 0 && files.last_segment == 0) {
        log->recovery.created = true;
        result = create_log(&options, &tail, &files, error);
    }
    if (result == 0)
        result = start_writing(log, &options, &tail, &files, error);
    if (result != 0) {
        close_locks(log);
        return result;
    }
    sign_lock(log->lock);
    return 0;
}

int hf_log_step(struct hf_log *log)
{
    return hf_segments_step(&log->segments);
}

int hf_log_close(struct hf_log *log)
{
    int result = hf_flusher_stop(&log->flusher);
    hf_segments_close(&log->segments);
    hf_flusher_close(&log->flusher);
    hf_recent_close(&log->recent);
    hf_ring_close(&log->ring);
    close_locks(log);
    return result;
}
