/*
 * The simulated disk: one flat directory behind the I/O seam (wal/io.h), and a queue of writes
 * whose completions its user decides. It knows of every file what reads see and what a power
 * failure leaves, and how the two differ.
 *
 * What is durable.
 *   HF_IO_WRITE      a write is durable when it has completed; until then any of its sectors of 512
 *                    bytes may be on the disk, and any may not.
 *   HF_IO_CREATE,    a write, and the truncation, is seen at once, and durable after sync_file().
 *   HF_IO_OVERWRITE  Until then any of its sectors may be on the disk, whatever the order.
 *   names            What is created, renamed or removed is seen at once, and durable after
 *                    sync_directory(). Until then it may have happened or not: what was done to one
 *                    file in the order in which it was done, what was done to different files
 *                    independently. A rename happens whole. sync_file() makes no name durable.
 *                    (More than a journaling file system would do to us: those keep the order of
 *                    all.)
 *
 * How it stops. hf_sim_disk_die() stops all at one instant, or `die_at` does, in the middle of the
 * change with that number; from then on nothing has an effect, and every function fails. Whoever
 * used the disk closes what it has open; then hf_sim_disk_restart() tells what was left:
 *   HF_SIM_POWER  the machine stopped. What was not durable, or in flight, survives in part (see
 *                 outage.h); what survives is durable.
 *   HF_SIM_KILL   the process was killed. What was seen is seen still, but no more durable than it
 *                 was. Writes in flight reach the disk some time later, whole, torn or not at all:
 *                 at the latest when their file is opened for writing. They are durable after
 *                 sync_file().
 *
 * What goes wrong on the way is asked for: errors by rule, completions by their fate, bytes that
 * rot. Damage of which nobody is told (rot, lost and misdirected writes) is remembered, so that it
 * can be healed: on a copy, to learn what the disk should hold.
 *
 * Not simulated: reads that fail to see what was written; and a sync_file() that fails and, for
 * good, forgets what a killed process had written: reads would show it, and no later sync could
 * make it durable.
 *
 * One thread. Every use that a real disk would refuse for its alignment ends the process.
 */
#ifndef HF_TESTS_SIM_DISK_H
#define HF_TESTS_SIM_DISK_H

#include "tests/lib/stress.h"
#include "tests/sim/content.h"
#include "wal/io.h"

#define HF_SIM_FILES_MAX       256u
#define HF_SIM_NAMES_MAX       256u
#define HF_SIM_DESCRIPTORS_MAX 64
#define HF_SIM_INFLIGHT_MAX    16u
#define HF_SIM_NAME_BYTES      48u
#define HF_SIM_NEVER           UINT64_MAX
#define HF_SIM_NO_FILE         UINT32_MAX

/* ---- what is on it ---- */

/* Pages that were written and may be on the disk in part; or a truncation. */
struct hf_sim_write {
    bool cuts;         /* the file was made empty; nothing of the below */
    uint64_t place;    /* of the first page */
    uint32_t count;    /* of pages */
    bool is_orphan;    /* it was in flight when its writer was killed: not seen yet */
    bool is_left_over; /* it is of a process that was killed */
    bool is_given_up;  /* a sync of the file failed: seen, but no later sync makes it durable */
    struct hf_sim_page **pages;
    uint8_t *left; /* by page: sectors that no later, durable write has replaced */
};

struct hf_sim_file {
    bool used;
    struct hf_sim_content seen, durable;
    struct hf_sim_write *writes; /* not durable, in the order in which they were done */
    uint32_t write_count, write_room;
};

struct hf_sim_name {
    char name[HF_SIM_NAME_BYTES];
    uint32_t file;
};

struct hf_sim_names {
    struct hf_sim_name names[HF_SIM_NAMES_MAX];
    uint32_t count;
};

/* A change of names that is not durable. */
struct hf_sim_renaming {
    char from[HF_SIM_NAME_BYTES]; /* "": it was created */
    char to[HF_SIM_NAME_BYTES];   /* "": it was removed */
    uint32_t file;
};

/* A page that is not what was written there, and nobody was told. */
struct hf_sim_wound {
    uint32_t file;
    uint64_t place;
    struct hf_sim_page *right, *wrong; /* what should be there, and what is */
};

/* ---- who uses it ---- */

struct hf_sim_descriptor {
    uint32_t file; /* HF_SIM_NO_FILE: free */
    enum hf_io_open_mode mode;
};

/* A write that was submitted and has not completed. */
struct hf_sim_inflight {
    uint32_t file;
    const uint8_t *buffer; /* of the submitter, who leaves it alone meanwhile */
    uint32_t bytes;
    uint64_t offset;
    uint32_t cookie;
    struct hf_sim_write write; /* the same, as it was when it was submitted */
};

enum hf_sim_operation {
    HF_SIM_OPEN, /* to create, to write */
    HF_SIM_READ, /* and to open for it */
    HF_SIM_WRITE,
    HF_SIM_SYNC_FILE,
    HF_SIM_SYNC_DIRECTORY,
    HF_SIM_RENAME,
    HF_SIM_REMOVE,
    HF_SIM_LIST,
    HF_SIM_OPERATIONS,
};

struct hf_sim_rule {
    uint32_t skip;  /* calls that succeed first */
    uint32_t times; /* calls that fail then */
    int result;     /* with this -errno */
};

struct hf_sim_disk {
    struct hf_io io;             /* hand out &disk->io */
    struct hf_write_queue queue; /* hand out &disk->queue */
    struct hf_random random;     /* of all that it decides by itself */

    struct hf_sim_file files[HF_SIM_FILES_MAX];
    uint32_t file_end; /* no file has this number or a higher one */
    struct hf_sim_names seen, durable;
    struct hf_sim_renaming *renamings;
    uint32_t renaming_count, renaming_room;
    struct hf_sim_wound *wounds;
    uint32_t wound_count, wound_room;
    uint64_t room_bytes; /* of all files together; more is -ENOSPC */

    struct hf_sim_descriptor descriptors[HF_SIM_DESCRIPTORS_MAX];
    struct hf_sim_inflight inflight[HF_SIM_INFLIGHT_MAX]; /* in the order of their submission */
    uint32_t inflight_count;

    bool dead;
    uint32_t died_inflight; /* writes that were in flight when it died */
    uint64_t changes;       /* of it, and of what is known of it, so far: the number of the next */
    uint64_t die_at;        /* number of the change in which it stops */
    uint64_t trace;         /* one number for all changes so far */
    uint64_t *traces;       /* of the user: after each change, by its number; NULL: not kept */
    uint64_t trace_room;
    uint64_t calls[HF_SIM_OPERATIONS];
    uint64_t submitted; /* to the queue */
    struct hf_sim_rule rules[HF_SIM_OPERATIONS];
};

void hf_sim_disk_init(struct hf_sim_disk *disk, uint64_t seed);
void hf_sim_disk_close(struct hf_sim_disk *disk);

/* Makes `to` a disk of its own that holds the same, and is dead if `from` is. If that is alive,
 * nobody has a file of it open, or a write in flight. Rules, room and counts are not copied. */
void hf_sim_disk_copy(struct hf_sim_disk *to, const struct hf_sim_disk *from);

/* ---- stopping ---- */

enum hf_sim_loss { HF_SIM_POWER, HF_SIM_KILL };

/* Nothing has an effect any more. */
void hf_sim_disk_die(struct hf_sim_disk *disk);

/* Works again, with what was left. No file is open. */
void hf_sim_disk_restart(struct hf_sim_disk *disk, enum hf_sim_loss loss);

/* ---- what goes wrong ---- */

/* After `skip` more calls, `times` calls of the operation fail with `result` (-errno). A write that
 * fails may have been done in part; of a file whose sync failed, nothing that was not durable will
 * be so by a later sync. */
void hf_sim_disk_fail(struct hf_sim_disk *disk, enum hf_sim_operation operation, uint32_t skip,
                      uint32_t times, int result);

/* Inverts the bits of `mask` in one byte of a file. */
void hf_sim_disk_rot(struct hf_sim_disk *disk, const char *name, uint64_t offset, uint8_t mask);

/* Puts another page into a file: NULL, zeros. */
void hf_sim_disk_replace(struct hf_sim_disk *disk, const char *name, uint64_t place,
                         struct hf_sim_page *page);

/* Makes a file shorter. */
void hf_sim_disk_truncate(struct hf_sim_disk *disk, const char *name, uint64_t bytes);

/* Puts what should be there where damage was done, as far as nothing was written there since. */
void hf_sim_disk_heal(struct hf_sim_disk *disk);

/* What damage was done is no longer remembered. */
void hf_sim_disk_accept(struct hf_sim_disk *disk);

/* Number of bytes that all files together have. */
uint64_t hf_sim_disk_used_bytes(const struct hf_sim_disk *disk);

/* ---- the queue ---- */

/* How a write ends. */
enum hf_sim_end {
    HF_SIM_DONE,        /* durable */
    HF_SIM_REFUSED,     /* -errno; may have been done in part */
    HF_SIM_NOT_TRIED,   /* -EAGAIN, -EINTR: nothing was done */
    HF_SIM_SHORT,       /* a part of it was done, and that is said */
    HF_SIM_LOST,        /* nothing was done, but "done" is said */
    HF_SIM_MISDIRECTED, /* done at another place, but "done" is said */
};

struct hf_sim_fate {
    enum hf_sim_end end;
    int error;        /* REFUSED, NOT_TRIED: -errno */
    uint32_t bytes;   /* SHORT: how many were done */
    const char *name; /* MISDIRECTED: to this file */
    uint64_t offset;  /* and there */
};

/* What hf_flusher_complete() is to be told. */
struct hf_sim_completion {
    uint32_t cookie;
    int result;
};

/* Ends write `number` of those in flight (0: the oldest). False: the disk died. */
bool hf_sim_disk_finish(struct hf_sim_disk *disk, uint32_t number, const struct hf_sim_fate *fate,
                        struct hf_sim_completion *completion);

/* ---- looking ---- */

/* What reads see of a file; NULL: there is none of this name. */
const struct hf_sim_content *hf_sim_disk_seen(const struct hf_sim_disk *disk, const char *name);

/* True if reads see the same files, with the same bytes. */
bool hf_sim_disk_equal(const struct hf_sim_disk *one, const struct hf_sim_disk *other);

uint32_t hf_sim_disk_open_count(const struct hf_sim_disk *disk);

/* ---- for its own files ---- */

/* The file of a name, or HF_SIM_NO_FILE. */
uint32_t hf_sim_names_find(const struct hf_sim_names *names, const char *name);
void hf_sim_names_set(struct hf_sim_names *names, const char *name, uint32_t file);
/* Removes the name if it is this file's. */
void hf_sim_names_clear(struct hf_sim_names *names, const char *name, uint32_t file);

void hf_sim_names_rename(struct hf_sim_names *names, const struct hf_sim_renaming *renaming);

/* Frees files that nobody can reach any more. */
void hf_sim_disk_collect(struct hf_sim_disk *disk);

void hf_sim_write_close(struct hf_sim_write *write);

#endif
