/* The archiver: see archiver.h. */
#include "wal/archiver.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/atomics.h"
#include "base/check.h"
#include "base/thread.h"
#include "wal/archived.h"
#include "wal/segment_header.h"
#include "wal/snapshot_header.h"

#define FIRST_PAUSE_NS      HF_NS_PER_S
#define LONGEST_PAUSE_NS    (60 * HF_NS_PER_S)
#define LOOK_NS             HF_NS_PER_S /* between looks at a running command, at most */
#define DEFAULT_PATIENCE_NS (5 * HF_NS_PER_S)
#define STOP_PATIENCE_NS    (2 * HF_NS_PER_S)
#define LINE_BYTES          512

#define STATUS_WORDS (sizeof(struct hf_archiver_status) / sizeof(uint64_t))
_Static_assert(sizeof(struct hf_archiver_status) % sizeof(uint64_t) == 0, "whole words");

/* The file that is handed to the command. */
struct candidate {
    uint64_t segment;      /* 0: it is a snapshot */
    uint64_t snapshot_lsn; /* 0: it is a segment */
    char name[HF_ARCHIVER_NAME_BYTES];
};

struct hf_archiver {
    /* Written by anyone; each only ever grows. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t full;
    _Atomic uint64_t first;
    _Atomic uint64_t newest_snapshot;
    _Atomic uint32_t closing; /* written by hf_archiver_close() */

    /* Written by the steps, read by anyone. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t archived_segment;
    _Atomic uint64_t archived_snapshot;
    _Atomic uint64_t published; /* how often the status was; the last bit tells in which copy */
    _Atomic uint64_t copies[2][STATUS_WORDS];

    /* Of the steps. */
    alignas(HF_CACHE_LINE_BYTES) struct hf_archiver_options options;
    char *directory, *template;
    struct hf_archived note; /* .segment: archived, or gone */
    bool note_unsaved;       /* DIR/archived could not be written, and says less */
    uint64_t seen_snapshot;  /* the newest that was looked at */
    bool snapshot_waits;     /* it is to be archived */
    uint64_t snapshot_after; /* once this segment is */
    bool running;            /* a command runs for this file */
    struct candidate file;
    struct hf_command command;
    uint64_t retry_at_ns; /* monotonic; 0: nothing has failed */
    uint64_t pause_ns;
    bool progressed; /* since on_archived() was called */
    struct hf_archiver_status status;

    /* Set before the thread starts. */
    int wake; /* eventfd: there is something new; -1: manual */
    pthread_t thread;
};

/* ---- what is said ---- */

__attribute__((format(printf, 2, 3))) static void report(const struct hf_archiver *archiver,
                                                         const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (archiver->options.report != NULL)
        archiver->options.report(archiver->options.context, line);
    else
        fprintf(stderr, "holdfast: archive: %s\n", line);
}

/*
 * The status stands in two copies, written in turn, so that a reader never waits for the writer. A
 * reader whose copy is written again sees, by the acquire and release of each word, that
 * `published` has grown before that.
 */
static void publish(struct hf_archiver *archiver)
{
    struct hf_archiver_status *status = &archiver->status;
    uint64_t full = hf_load_relaxed(&archiver->full); /* a report */
    status->segment = archiver->note.segment;
    status->snapshot_lsn = archiver->note.snapshot_lsn;
    status->waiting_segments = full > status->segment ? full - status->segment : 0;
    status->waiting_snapshot = archiver->snapshot_waits ? archiver->seen_snapshot : 0;
    status->succeeded_at_ns = archiver->note.date_ns;
    snprintf(status->file, sizeof status->file, "%s",
             archiver->running || status->failures != 0 ? archiver->file.name : "");

    uint64_t words[STATUS_WORDS];
    memcpy(words, status, sizeof words);
    uint64_t next = hf_load_relaxed(&archiver->published) + 1; /* ours */
    for (size_t i = 0; i < STATUS_WORDS; i++)
        hf_store_release(&archiver->copies[next & 1][i], words[i]); /* see above */
    hf_store_release(&archiver->published, next); /* pairs with hf_archiver_describe() */
}

void hf_archiver_describe(const struct hf_archiver *archiver, struct hf_archiver_status *status)
{
    uint64_t words[STATUS_WORDS] = {0};
    uint64_t before, after = hf_load_acquire(&archiver->published); /* pairs with publish() */
    do {
        before = after;
        for (size_t i = 0; i < STATUS_WORDS; i++)
            words[i] = hf_load_acquire(&archiver->copies[before & 1][i]); /* see publish() */
        after = hf_load_acquire(&archiver->published);
    } while (after != before);
    memcpy(status, words, sizeof words);
}

/* ---- what there is ---- */

/* `field` is `value` at least. False: it was already. */
static bool grow(_Atomic uint64_t *field, uint64_t value)
{
    uint64_t found = hf_load_relaxed(field); /* the CAS decides */
    while (found < value) {
        /* Release, pairs with the acquire in notice(): the file that we tell of is finished. */
        if (hf_cas_weak_acq_rel(field, &found, value))
            return true;
    }
    return false;
}

static void wake(struct hf_archiver *archiver)
{
    uint64_t one = 1;
    /* It fails if 2^64 - 2 are waiting to be read, which wakes as well. */
    if (archiver->wake >= 0 && write(archiver->wake, &one, sizeof one) < 0)
        return;
}

void hf_archiver_full(struct hf_archiver *archiver, uint64_t segment)
{
    if (grow(&archiver->full, segment))
        wake(archiver);
}

/* Wakes nobody: it makes no work. */
void hf_archiver_first(struct hf_archiver *archiver, uint64_t segment)
{
    grow(&archiver->first, segment);
}

void hf_archiver_snapshot(struct hf_archiver *archiver, uint64_t last_lsn)
{
    if (grow(&archiver->newest_snapshot, last_lsn))
        wake(archiver);
}

uint64_t hf_archiver_archived(const struct hf_archiver *archiver)
{
    return hf_load_acquire(&archiver->archived_segment); /* pairs with tell() */
}

uint64_t hf_archiver_archived_snapshot(const struct hf_archiver *archiver)
{
    return hf_load_acquire(&archiver->archived_snapshot); /* pairs with tell() */
}

/* Release, pairs with those who ask what may be released: all that a step did with a file comes
 * before its removal. */
static void tell(struct hf_archiver *archiver)
{
    hf_store_release(&archiver->archived_segment, archiver->note.segment);
    hf_store_release(&archiver->archived_snapshot, archiver->note.snapshot_lsn);
}

/* Leaves out the segments that are gone. */
static void skip_gone(struct hf_archiver *archiver)
{
    uint64_t first = hf_load_acquire(&archiver->first); /* pairs with grow() */
    if (archiver->note.segment + 1 >= first)
        return;
    report(
        archiver,
        "segments %llu to %llu are gone, and it is not known that they were archived: if they were "
        "not, the archive reaches across them only from the next snapshot on",
        (unsigned long long)archiver->note.segment + 1, (unsigned long long)first - 1);
    archiver->note.segment = first - 1;
    tell(archiver);
}

/* Looks what there is that was not there in the step before. */
static void notice(struct hf_archiver *archiver)
{
    skip_gone(archiver);
    uint64_t newest = hf_load_acquire(&archiver->newest_snapshot); /* pairs with grow() */
    if (newest == archiver->seen_snapshot)
        return;
    archiver->seen_snapshot = newest;
    bool under_way = archiver->running && archiver->file.snapshot_lsn != 0;
    if (!archiver->snapshot_waits || under_way)
        archiver->snapshot_after = hf_load_acquire(&archiver->full); /* pairs with grow() */
    archiver->snapshot_waits = newest != archiver->note.snapshot_lsn;
}

/* ---- which file is next ---- */

_Static_assert(HF_ARCHIVER_NAME_BYTES >= HF_SEGMENT_NAME_BYTES &&
                   HF_ARCHIVER_NAME_BYTES >= HF_SNAPSHOT_NAME_BYTES,
               "they fit");

static bool is_gone(const struct hf_archiver *archiver, const char *name)
{
    struct hf_io *io = archiver->options.io;
    int file = io->open_file(io, archiver->directory, name, HF_IO_READ);
    if (file >= 0)
        io->close_file(io, file);
    return file == -ENOENT;
}

/* True if a snapshot is next. */
static bool choose_snapshot(struct hf_archiver *archiver, struct candidate *file)
{
    if (!archiver->snapshot_waits || archiver->note.segment < archiver->snapshot_after)
        return false;
    *file = (struct candidate){.snapshot_lsn = archiver->seen_snapshot};
    hf_snapshot_name_format(file->snapshot_lsn, file->name);
    if (!is_gone(archiver, file->name))
        return true;
    report(archiver, "%s is gone before it was archived: left out", file->name);
    archiver->snapshot_waits = false;
    return false;
}

/* False: there is nothing to be archived. */
static bool choose(struct hf_archiver *archiver, struct candidate *file)
{
    if (choose_snapshot(archiver, file))
        return true;
    if (archiver->note.segment >= hf_load_acquire(&archiver->full)) /* pairs with grow() */
        return false;
    *file = (struct candidate){.segment = archiver->note.segment + 1};
    hf_segment_name_format(file->segment, file->name);
    return true;
}

/* ---- how an attempt ends ---- */

/* Notes durably what is archived, as far as the disk lets us. */
static void save_note(struct hf_archiver *archiver)
{
    int result = hf_archived_write(archiver->options.io, archiver->directory, &archiver->note);
    if (result != 0 && !archiver->note_unsaved)
        report(archiver,
               "cannot write %s/" HF_ARCHIVED_NAME
               ": %s; what is archived counts all the same, but after a crash it may be handed to "
               "the command again; trying again after the next file",
               archiver->directory, strerror(-result));
    archiver->note_unsaved = result != 0;
}

static void succeed(struct hf_archiver *archiver, uint64_t now_ns)
{
    const struct candidate *file = &archiver->file;
    struct hf_archived *note = &archiver->note;
    if (note->segment < file->segment)
        note->segment = file->segment;
    if (file->snapshot_lsn != 0)
        note->snapshot_lsn = file->snapshot_lsn;
    if (note->snapshot_lsn == archiver->seen_snapshot)
        archiver->snapshot_waits = false;
    note->date_ns = archiver->options.clock->date_at_boot_ns + now_ns;
    save_note(archiver);
    if (archiver->status.failures != 0)
        report(archiver, "archived again: %s, after %llu failed attempts", file->name,
               (unsigned long long)archiver->status.failures);
    archiver->status.failures = 0;
    archiver->retry_at_ns = archiver->pause_ns = 0;
    archiver->progressed = true;
    tell(archiver);
}

static void fail(struct hf_archiver *archiver, const struct hf_command_end *end, uint64_t now_ns)
{
    struct hf_archiver_status *status = &archiver->status;
    if (status->failures == 0 || strcmp(status->failure_text, end->text) != 0)
        report(archiver,
               "%s is not archived: %s; trying again after %llu s, then less often, at last every "
               "%llu s; segments are kept until they are archived",
               archiver->file.name, end->text, FIRST_PAUSE_NS / HF_NS_PER_S,
               LONGEST_PAUSE_NS / HF_NS_PER_S);
    status->failures++;
    status->failure_status = end->status;
    status->failed_at_ns = archiver->options.clock->date_at_boot_ns + now_ns;
    memcpy(status->failure_text, end->text, sizeof status->failure_text);
    archiver->pause_ns = archiver->pause_ns == 0 ? FIRST_PAUSE_NS : 2 * archiver->pause_ns;
    if (archiver->pause_ns > LONGEST_PAUSE_NS)
        archiver->pause_ns = LONGEST_PAUSE_NS;
    archiver->retry_at_ns = now_ns + archiver->pause_ns;
}

/* ---- steps ---- */

/* hf_archiver_run with /bin/sh. */
static bool run_shell(struct hf_archiver *archiver, const char *name, struct hf_command_end *end)
{
    if (hf_command_running(&archiver->command))
        return hf_command_poll(&archiver->command, end);
    char *text = hf_command_expand(archiver->template, name, name);
    int result =
        text == NULL ? -ENOMEM : hf_command_start(&archiver->command, archiver->directory, text);
    free(text);
    if (result != 0)
        hf_command_end_with(end, result);
    return result != 0;
}

/* Looks at the command for archiver->file. */
static uint64_t look(struct hf_archiver *archiver, uint64_t now_ns)
{
    struct hf_command_end end = {0};
    const char *name = archiver->file.name;
    bool ended = archiver->options.run != NULL
                     ? archiver->options.run(archiver->options.context, name, &end)
                     : run_shell(archiver, name, &end);
    if (!ended)
        return now_ns + LOOK_NS;
    archiver->running = false;
    archiver->status.running_since_ns = 0;
    if (end.status == 0) {
        succeed(archiver, now_ns);
        return now_ns; /* maybe there is more */
    }
    fail(archiver, &end, now_ns);
    return archiver->retry_at_ns;
}

/* Hands the next file to the command, if there is one, and it is time. */
static uint64_t begin(struct hf_archiver *archiver, uint64_t now_ns)
{
    if (now_ns < archiver->retry_at_ns)
        return archiver->retry_at_ns;
    if (!choose(archiver, &archiver->file))
        return HF_ARCHIVER_NEVER;
    archiver->running = true;
    archiver->status.running_since_ns = archiver->options.clock->date_at_boot_ns + now_ns;
    publish(archiver); /* before anyone can see what the command does */
    return look(archiver, now_ns);
}

uint64_t hf_archiver_step(struct hf_archiver *archiver, uint64_t now_ns)
{
    if (archiver->template == NULL)
        return HF_ARCHIVER_NEVER;
    notice(archiver);
    uint64_t again_ns = archiver->running ? look(archiver, now_ns) : begin(archiver, now_ns);
    publish(archiver);
    if (archiver->progressed && archiver->options.on_archived != NULL)
        archiver->options.on_archived(archiver->options.context);
    archiver->progressed = false;
    return again_ns;
}

/* ---- the thread ---- */

/* Until something is new, the running command has something for us, or that time has come. */
static void wait_until(struct hf_archiver *archiver, uint64_t until_ns)
{
    struct pollfd files[1 + HF_COMMAND_FILES];
    uint32_t count = 1;
    files[0] = (struct pollfd){.fd = archiver->wake, .events = POLLIN}; /* -1 is passed over */
    if (hf_command_running(&archiver->command))
        count += hf_command_files(&archiver->command, files + 1);
    uint64_t now_ns = hf_monotonic_now_ns();
    int wait_ms = -1;
    if (until_ns <= now_ns)
        return;
    if (until_ns != HF_ARCHIVER_NEVER)
        wait_ms = (int)((until_ns - now_ns) / HF_NS_PER_MS) + 1;
    poll(files, count, wait_ms);
    uint64_t posts;
    if ((files[0].revents & POLLIN) != 0 && read(archiver->wake, &posts, sizeof posts) < 0)
        return; /* the next poll tells again */
}

static void *archiver_main(void *context)
{
    struct hf_archiver *archiver = context;
    /* Acquire, pairs with the release in hf_archiver_close(). */
    while (!hf_load_acquire(&archiver->closing))
        wait_until(archiver, hf_archiver_step(archiver, hf_monotonic_now_ns()));
    return NULL;
}

static int start_thread(struct hf_archiver *archiver)
{
    archiver->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (archiver->wake < 0)
        return -errno;
    return hf_thread_start(&archiver->thread, archiver_main, archiver);
}

/* ---- opening and closing ---- */

/*
 * Where archiving goes on: behind what DIR/archived says, if that is of this log and can be true;
 * else at the oldest segment that is there. More than what is full it cannot have archived: it is
 * the file of another copy of this log, whose later segments are not ours.
 */
static void read_note(struct hf_archiver *archiver)
{
    const struct hf_archiver_options *options = &archiver->options;
    struct hf_archived found = {0};
    const char *reason = NULL;
    int result = hf_archived_read(options->io, archiver->directory, &found);
    if (result == -EBADMSG)
        reason = "it is damaged";
    else if (result != 0)
        reason = strerror(-result);
    else if (memcmp(found.log_id, options->log_id, sizeof found.log_id) != 0)
        reason = "it is of another log";
    else if (found.segment > options->full_segment)
        reason = "it tells of segments that this log has not filled yet";
    if (reason == NULL) {
        archiver->note = found;
        return;
    }
    archiver->note = (struct hf_archived){.segment = options->first_segment - 1};
    memcpy(archiver->note.log_id, options->log_id, sizeof options->log_id);
    if (result != -ENOENT)
        report(archiver,
               "%s/" HF_ARCHIVED_NAME " is not used: %s; archiving starts again from segment %llu",
               archiver->directory, reason, (unsigned long long)options->first_segment);
}

/* Everything but the thread. 0, or -errno with a line. */
static int init(struct hf_archiver *archiver, char *error)
{
    const struct hf_archiver_options *options = &archiver->options;
    char reason[HF_COMMAND_ERROR_BYTES];
    if (!hf_command_check(options->command, reason)) {
        snprintf(error, HF_ARCHIVER_ERROR_BYTES, "--archive-command: %s", reason);
        return -EINVAL;
    }
    archiver->directory = strdup(options->directory);
    archiver->template = strdup(options->command);
    if (archiver->directory == NULL || archiver->template == NULL)
        return -ENOMEM;
    archiver->status.enabled = 1;
    hf_store_relaxed(&archiver->first, options->first_segment); /* no other thread yet */
    hf_store_relaxed(&archiver->full, options->full_segment);
    read_note(archiver);
    skip_gone(archiver);
    tell(archiver);
    publish(archiver);
    return 0;
}

static void release(struct hf_archiver *archiver)
{
    if (archiver->wake >= 0)
        close(archiver->wake);
    free(archiver->directory);
    free(archiver->template);
    free(archiver);
}

int hf_archiver_open(struct hf_archiver **opened, const struct hf_archiver_options *options,
                     char error[HF_ARCHIVER_ERROR_BYTES])
{
    error[0] = '\0';
    struct hf_archiver *archiver = aligned_alloc(alignof(struct hf_archiver), sizeof *archiver);
    if (archiver == NULL) {
        snprintf(error, HF_ARCHIVER_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    memset(archiver, 0, sizeof *archiver);
    archiver->options = *options;
    archiver->wake = -1;
    archiver->note.segment = archiver->note.snapshot_lsn = HF_ARCHIVER_NEVER;
    tell(archiver); /* without a command */
    int result = 0;
    if (options->command != NULL)
        result = init(archiver, error);
    if (result == 0 && options->command != NULL && !options->manual)
        result = start_thread(archiver);
    if (result == 0) {
        *opened = archiver;
        return 0;
    }
    if (error[0] == '\0')
        snprintf(error, HF_ARCHIVER_ERROR_BYTES, "cannot start the archiver: %s",
                 strerror(-result));
    release(archiver);
    return result;
}

/* The thread has ended. A step is made only while a command runs, so none begins another. */
static void finish(struct hf_archiver *archiver)
{
    uint64_t patience_ns = archiver->options.patience_ns;
    uint64_t until_ns =
        hf_monotonic_now_ns() + (patience_ns != 0 ? patience_ns : DEFAULT_PATIENCE_NS);
    while (hf_command_running(&archiver->command) && hf_monotonic_now_ns() < until_ns) {
        uint64_t again_ns = hf_archiver_step(archiver, hf_monotonic_now_ns());
        wait_until(archiver, again_ns < until_ns ? again_ns : until_ns);
    }
    if (hf_command_running(&archiver->command)) {
        report(archiver, "stopping: %s is not archived, its command is ended", archiver->file.name);
        hf_command_stop(&archiver->command, STOP_PATIENCE_NS);
    }
    if (archiver->note_unsaved)
        save_note(archiver);
}

void hf_archiver_close(struct hf_archiver *archiver)
{
    hf_store_release(&archiver->closing, 1); /* pairs with archiver_main() */
    if (archiver->wake >= 0) {
        wake(archiver);
        pthread_join(archiver->thread, NULL);
    }
    finish(archiver);
    release(archiver);
}
