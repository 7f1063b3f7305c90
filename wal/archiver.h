/*
 * The archiver: hands every full segment, in order, and the newest snapshot to a command of the
 * operator's, PostgreSQL's archive_command: exit status 0 says that the file is archived, for ever;
 * anything else, or death by a signal, that it is not. Segments are kept until they are archived.
 *
 * Life of a file: finished (full and durable, nobody writes to it again) -> handed to the command
 * -> archived, which is noted in DIR/archived (wal/archived.h) -> may be released.
 *
 * Order. One command at a time. Segments by their numbers. A snapshot takes its place behind the
 * segments that were full when it was finished; one that is replaced by a newer one meanwhile
 * leaves the newer one its place. A snapshot that is gone by then is left out. A segment that is
 * gone (before the first that exists) is not waited for.
 *
 * Failure. The same file again, after 1, 2, 4, ... at most 60 seconds, for ever. A line on stderr
 * when it begins and when its text changes, and one when it is over; hf_archiver_describe() always
 * tells. A command has all the time it wants; hf_archiver_describe() tells since when it runs.
 *
 * Again. A file may be handed to the command a second time: the command succeeded, and we crashed,
 * or the disk was full, before that was noted; or DIR/archived is missing, damaged, or of another
 * log; or a server that was killed left its command running. So a command must succeed for a file
 * that it has archived already, if the content is the same, and must never replace another content.
 *
 * If the note cannot be written, what is archived may be released all the same: exit status 0 is
 * what counts, and on a disk that is full nothing but a release makes room for the note.
 *
 * Threads. Everything is done in steps, hf_archiver_step(), by a thread of its own; or, if
 * `manual`, by whoever drives a simulation. A step never waits for a command; it may wait for the
 * disk when it notes a success. What tells the archiver of new files is lock-free, and never waits.
 *
 * The command runs in the directory of the log, as PostgreSQL's do, so %p is a path from there: a
 * name of digits and letters. So no name of a directory, whatever characters it has, passes through
 * the shell.
 */
#ifndef HF_WAL_ARCHIVER_H
#define HF_WAL_ARCHIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "wal/command.h"
#include "wal/io.h"

#define HF_ARCHIVER_ERROR_BYTES 256
#define HF_ARCHIVER_NAME_BYTES  32 /* of a file */
#define HF_ARCHIVER_NEVER       UINT64_MAX

struct hf_archiver;

/*
 * Runs the command for the file `name`: called when an attempt begins, and in each step from then
 * on until it returns true, with *end filled in. hf_archiver_close() forgets one that is running.
 */
typedef bool hf_archiver_run(void *context, const char *name, struct hf_command_end *end);

struct hf_archiver_options {
    struct hf_io *io;
    const char *directory;
    const char *command; /* a template, see wal/command.h; NULL: all counts as archived */
    uint8_t log_id[16];
    uint64_t first_segment;              /* the oldest that exists */
    uint64_t full_segment;               /* the newest that is full; first_segment - 1: none is */
    const struct hf_server_clock *clock; /* outlives the archiver, as does `io` */
    bool manual;                         /* no thread: hf_archiver_step() is called by the caller */
    uint64_t patience_ns; /* how long hf_archiver_close() lets a running command go on; 0: 5 s */

    /* Called from the steps, and from hf_archiver_close(). Each may be NULL. */
    hf_archiver_run *run;               /* in place of /bin/sh */
    void (*on_archived)(void *context); /* more is archived: see what can be released */
    void (*report)(void *context, const char *line); /* in place of stderr */
    void *context;
};

/*
 * Reads DIR/archived and starts the thread. 0, or -errno with a line in `error`: the template is
 * wrong (-EINVAL), or the system has no more memory, threads or descriptors. The directory is
 * locked by the caller until hf_archiver_close() has returned.
 */
int hf_archiver_open(struct hf_archiver **archiver, const struct hf_archiver_options *options,
                     char error[HF_ARCHIVER_ERROR_BYTES]);

/*
 * Starts nothing any more; lets a running command go on for a while, then ends it with SIGTERM,
 * then with SIGKILL: it is not archived then. Blocks for 8 seconds at most, with the options'
 * default. Nobody else uses the archiver any more.
 */
void hf_archiver_close(struct hf_archiver *archiver);

/* ---- what there is; any thread, lock-free, never blocks ---- */

/* All segments up to this one are full and durable, and nobody writes to them again. */
void hf_archiver_full(struct hf_archiver *archiver, uint64_t segment);

/* No segment before this one exists any more. */
void hf_archiver_first(struct hf_archiver *archiver, uint64_t segment);

/* This snapshot is finished; also called at a start, for the newest that is there. (One of LSN 0
 * holds nothing, and is not archived.) */
void hf_archiver_snapshot(struct hf_archiver *archiver, uint64_t last_lsn);

/* ---- what is archived; any thread, lock-free ---- */

/* All segments up to this one may be released: they are archived, or gone. HF_ARCHIVER_NEVER
 * without a command. */
uint64_t hf_archiver_archived(const struct hf_archiver *archiver);

/* The newest snapshot that is archived; 0: none. One before it needs not be kept for the archive.
 * HF_ARCHIVER_NEVER without a command. */
uint64_t hf_archiver_archived_snapshot(const struct hf_archiver *archiver);

struct hf_archiver_status {
    uint64_t enabled;          /* 1: there is a command */
    uint64_t segment;          /* all up to this one are archived, or gone */
    uint64_t snapshot_lsn;     /* the newest that is archived; 0: none */
    uint64_t waiting_segments; /* full, and not archived yet */
    uint64_t waiting_snapshot; /* last_lsn of one that is not archived yet; 0: none */
    uint64_t running_since_ns; /* date; 0: no command runs */
    uint64_t succeeded_at_ns;  /* date of the last success, also of an earlier run; 0: never */
    uint64_t failed_at_ns;     /* date of the last failure of this run; 0: none */
    uint64_t failures;         /* in a row; 0: the last attempt succeeded */
    int64_t failure_status;    /* of the last failure, as in struct hf_command_end */
    char file[HF_ARCHIVER_NAME_BYTES];       /* that runs, or is tried again; "": none */
    char failure_text[HF_COMMAND_END_BYTES]; /* of the last failure of this run; "": none */
};

void hf_archiver_describe(const struct hf_archiver *archiver, struct hf_archiver_status *status);

/* ---- its work ---- */

/*
 * Starts a command, or looks at the one that runs. Returns the time to call again (monotonic, as
 * now_ns): at the latest; earlier after there is something new. HF_ARCHIVER_NEVER: not before that.
 */
uint64_t hf_archiver_step(struct hf_archiver *archiver, uint64_t now_ns);

#endif
