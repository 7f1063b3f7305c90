/* The log; what it ties together and how it opens is told in log.h. */
#include "wal/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "wal/recovery.h"
#include "wal/segment_header.h"
#include "wal/snapshot.h"

/* Two are kept, and there may be leftovers. */
#define MAX_SNAPSHOTS 16

#define LOCK_TRIES    20
#define LOCK_PAUSE_NS 10000000 /* 10 ms */

/* Opens a file of the directory that is locked, never read. A descriptor or -errno. */
static int open_to_lock(const char *directory, const char *name, char *error)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path)
        return hf_log_explain(error, -ENAMETOOLONG, "the path of the directory is too long: %s",
                              directory);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (file < 0)
        return hf_log_explain(error, -errno,
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
        return hf_log_explain(error, -errno,
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
        return hf_log_explain(error, -EBUSY,
                              "%s is in use by another server (process %s); stop that one "
                              "first, or choose another directory with --dir",
                              directory, holder[0] != '\0' ? holder : "unknown");
    return hf_log_explain(error, result, "cannot lock %s/lock: %s", directory, strerror(-result));
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
        return hf_log_explain(error, result, "cannot prepare %s for reading the log: %s", directory,
                              strerror(-result));
    return 0;
}

/* The first segment of a new log. */
static int create_log(const struct hf_log_options *options, struct hf_log_tail *tail,
                      struct hf_log_files *files, char *error)
{
    if (getrandom(tail->log_id, sizeof tail->log_id, 0) != sizeof tail->log_id)
        return hf_log_explain(error, -EIO, "the system gave no random bytes");
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
        return hf_log_explain(
            error, result,
            "cannot create the first segment of the log (%llu MiB) in "
            "%s: %s%s",
            (unsigned long long)(files->segment_bytes >> 20), options->directory, strerror(-result),
            result == -ENOSPC   ? "; make room, or use a smaller --segment-bytes"
            : result == -EINVAL ? "; direct I/O in units of 4096 bytes is refused there"
                                : "");
    return 0;
}

/* Says what is different where blocks cannot bypass the page cache. */
static void explain_disk(const struct hf_disk *disk, const struct hf_log_options *options)
{
    if (disk->in_memory)
        fprintf(stderr,
                "holdfast: log: %s is in memory: what is acknowledged outlives a crash of the "
                "process, but not of the machine\n",
                options->directory);
    else if (!disk->direct.used)
        fprintf(
            stderr,
            "holdfast: log: the file system of %s has no direct I/O: blocks go through the page "
            "cache, and are acknowledged when fdatasync says that the disk has them\n",
            options->directory);
    if (disk->most_writes_inflight != 0 && options->writes_inflight > disk->most_writes_inflight)
        fprintf(
            stderr,
            "holdfast: log: one write at a time, not %u: the file system of %s does not say that "
            "it bypasses the page cache, where one write could take the error of another\n",
            options->writes_inflight, options->directory);
}

/* How blocks will be written. On a test's disk nothing is measured. */
static int examine_disk(struct hf_disk *disk, const struct hf_log_options *options,
                        uint64_t segment, char *error)
{
    *disk = (struct hf_disk){
        .writes =
            options->log_writes == HF_LOG_WRITES_SYNC ? HF_LOG_WRITES_SYNC : HF_LOG_WRITES_DIRECT,
        .fixed = true,
    };
    if (options->io != hf_io_posix())
        return 0;
    int result = hf_disk_examine(disk, options->directory, segment, options->log_writes);
    if (result == -EOPNOTSUPP)
        return hf_log_explain(
            error, result,
            "the file system of %s has no direct I/O, or not in units of 4096 bytes; let "
            "the log be written without, with --log-writes sync or auto, or choose "
            "another directory with --dir",
            options->directory);
    if (result != 0)
        return hf_log_explain(error, result, "cannot read the log in %s: %s", options->directory,
                              strerror(-result));
    explain_disk(disk, options);
    return 0;
}

static void note_full(void *context, uint64_t segment)
{
    hf_archiver_full(((struct hf_log *)context)->archiver, segment);
}

static void release_archived(void *context)
{
    hf_log_release(context);
}

static int open_archiver(struct hf_log *log, const struct hf_log_options *options,
                         const struct hf_log_tail *tail, const struct hf_log_files *files,
                         char *error)
{
    struct hf_archiver_options archiver_options = {
        .io = options->io,
        .directory = options->directory,
        .command = options->archive_command,
        .first_segment = files->oldest_segment,
        .full_segment = tail->offset == files->segment_bytes ? tail->segment : tail->segment - 1,
        .clock = &log->clock,
        .manual = options->manual,
        .on_archived = release_archived,
        .context = log,
    };
    memcpy(archiver_options.log_id, tail->log_id, sizeof archiver_options.log_id);
    char text[HF_ARCHIVER_ERROR_BYTES];
    int result = hf_archiver_open(&log->archiver, &archiver_options, text);
    return result == 0 ? 0 : hf_log_explain(error, result, "%s", text);
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
        return hf_log_explain(error, result, "cannot open the log in %s for writing: %s",
                              options->directory, strerror(-result));
    result = hf_ring_init(&log->ring,
                          options->ring_slots != 0 ? options->ring_slots : HF_DEFAULT_RING_SLOTS,
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
    result = open_archiver(log, options, tail, files, error);
    if (result != 0)
        goto close_segments;
    struct hf_flusher_options flusher_options = {
        .durability = options->durability,
        .writes_inflight = log->disk.most_writes_inflight != 0 ? log->disk.most_writes_inflight
                                                               : options->writes_inflight,
        .on_failure = options->on_failure,
        .failure_context = options->failure_context,
        .on_full = note_full,
        .full_context = log,
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
    hf_archiver_close(log->archiver);
    hf_segments_close(&log->segments);
    hf_ring_close(&log->ring);
    return hf_log_explain(error, result, "cannot write to the log in %s: %s%s", options->directory,
                          strerror(-result), result == -ENOSPC ? "; make room" : "");
close_segments:
    hf_segments_close(&log->segments);
close_ring:
    hf_ring_close(&log->ring);
close_segment:
    options->io->close_file(options->io, segment.file);
    if (error[0] != '\0')
        return result;
    return hf_log_explain(error, result, "cannot start the log: %s", strerror(-result));
}

static bool is_kept(const struct hf_log *log, uint64_t last_lsn)
{
    return (log->newest_snapshot.segment != 0 && last_lsn == log->newest_snapshot.last_lsn) ||
           (log->older_snapshot.segment != 0 && last_lsn == log->older_snapshot.last_lsn);
}

/* Removes all snapshots but the two that are kept. False: not now. */
static bool remove_snapshots(struct hf_log *log)
{
    uint64_t last_lsns[MAX_SNAPSHOTS];
    struct hf_io *io = log->segments.io;
    const char *directory = log->segments.directory;
    if (!hf_segments_begin_removing(&log->segments))
        return false;
    int count = hf_snapshots_list(io, directory, last_lsns, MAX_SNAPSHOTS);
    for (int i = 0; i < count && i < MAX_SNAPSHOTS; i++) {
        int result =
            is_kept(log, last_lsns[i]) ? 0 : hf_snapshot_remove(io, directory, last_lsns[i]);
        if (result != 0)
            fprintf(stderr, "holdfast: log: cannot remove the snapshot up to LSN %llu in %s: %s\n",
                    (unsigned long long)last_lsns[i], directory, strerror(-result));
    }
    hf_segments_end_removing(&log->segments);
    return count >= 0 && count <= MAX_SNAPSHOTS;
}

/* Removes what no snapshot that is kept needs, as far as that can be done now. */
static void release(struct hf_log *log)
{
    if (log->has_more_snapshots)
        log->has_more_snapshots = !remove_snapshots(log);
    uint64_t needed_from = log->older_snapshot.segment;
    uint64_t archived = hf_archiver_archived(log->archiver);
    if (archived < needed_from)
        needed_from = archived + 1;
    hf_segments_release(&log->segments, needed_from);
    hf_archiver_first(log->archiver, hf_segments_first(&log->segments));
}

/* These two are kept from now on, as far as there are two. */
static void keep_snapshots(struct hf_log *log, const struct hf_log_snapshot *newest,
                           const struct hf_log_snapshot *older)
{
    uint32_t kept = newest->segment == 0 ? 0 : older->segment == 0 ? 1 : 2;
    log->older_snapshot = *older; /* which may be the newest until now */
    log->newest_snapshot = *newest;
    hf_store_relaxed(&log->snapshots_kept, kept); /* a figure */
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
    struct hf_log_tail tail;
    struct hf_log_files files = {0};
    log->keep = open_to_lock(options.directory, "keep", error);
    int result = log->keep < 0 ? log->keep : 0;
    if (result == 0)
        result = tidy_directory(options.io, options.directory, error);
    if (result == 0)
        result = hf_recover(&options, &log->recovery, &tail, &files, error);
    if (result == 0 && files.last_segment == 0) {
        log->recovery.created = true;
        result = create_log(&options, &tail, &files, error);
    }
    if (result == 0)
        result = examine_disk(&log->disk, &options, tail.segment, error);
    pthread_mutex_init(&log->snapshots, NULL);
    keep_snapshots(log, &log->recovery.snapshot, &log->recovery.older);
    if (result == 0)
        result = start_writing(log, &options, &tail, &files, error);
    if (result != 0) {
        pthread_mutex_destroy(&log->snapshots);
        close_locks(log);
        return result;
    }
    sign_lock(log->lock);
    if (log->newest_snapshot.segment != 0)
        hf_archiver_snapshot(log->archiver, log->newest_snapshot.last_lsn);
    hf_log_release(log); /* what a crash has left */
    return 0;
}

void hf_log_add_snapshot(struct hf_log *log, const struct hf_log_snapshot *snapshot)
{
    pthread_mutex_lock(&log->snapshots);
    keep_snapshots(log, snapshot, &log->newest_snapshot);
    log->has_more_snapshots = true;
    hf_archiver_snapshot(log->archiver, snapshot->last_lsn);
    release(log);
    pthread_mutex_unlock(&log->snapshots);
}

void hf_log_release(struct hf_log *log)
{
    pthread_mutex_lock(&log->snapshots);
    release(log);
    pthread_mutex_unlock(&log->snapshots);
}

int hf_log_step(struct hf_log *log)
{
    return hf_segments_step(&log->segments);
}

int hf_log_close(struct hf_log *log)
{
    int result = hf_flusher_stop(&log->flusher);
    hf_archiver_close(log->archiver); /* which may still release segments */
    hf_segments_close(&log->segments);
    hf_flusher_close(&log->flusher);
    hf_recent_close(&log->recent);
    hf_ring_close(&log->ring);
    pthread_mutex_destroy(&log->snapshots);
    close_locks(log);
    return result;
}
