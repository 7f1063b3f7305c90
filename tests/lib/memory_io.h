/*
 * A disk in memory behind the I/O seam (wal/io.h), and a write queue whose completions a test
 * decides.
 *
 * The disk keeps two contents of every file: what reads see, and what a crash leaves. A write
 * through a descriptor opened with HF_IO_WRITE (direct and data-synced) is in both at once; one
 * through HF_IO_CREATE is in the second after sync_file(). Names are the same: what was created,
 * renamed or removed is durable after sync_directory(). hf_memory_io_crash() drops the rest.
 *
 * Errors are injected by rule, deterministically: "the third sync fails, once". A limit on the
 * bytes of all files makes -ENOSPC.
 *
 * One flat directory: the name of the directory is ignored. Thread-safe. Alignment is checked as a
 * direct write's would be; a caller that breaks it is stopped.
 */
#ifndef HF_TESTS_LIB_MEMORY_IO_H
#define HF_TESTS_LIB_MEMORY_IO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "wal/io.h"

#define HF_MEMORY_FILES_MAX       256
#define HF_MEMORY_DESCRIPTORS_MAX 64
#define HF_MEMORY_NAME_BYTES      64

enum hf_memory_operation {
    HF_MEMORY_OPEN,
    HF_MEMORY_READ,
    HF_MEMORY_WRITE, /* write_at(), and the writes of manual queues */
    HF_MEMORY_SYNC_FILE,
    HF_MEMORY_SYNC_DIRECTORY,
    HF_MEMORY_RENAME,
    HF_MEMORY_REMOVE,
    HF_MEMORY_LIST,
    HF_MEMORY_OPERATIONS,
};

struct hf_memory_file {
    char name[HF_MEMORY_NAME_BYTES];         /* "": removed */
    char durable_name[HF_MEMORY_NAME_BYTES]; /* after a crash; "": it is gone then */
    uint8_t *bytes;
    uint8_t *durable;
    uint64_t file_bytes, durable_bytes;
    uint64_t unsynced_writes; /* since the last sync */
};

struct hf_memory_descriptor {
    struct hf_memory_file *file; /* NULL: free */
    enum hf_io_open_mode mode;
};

struct hf_memory_fault {
    uint32_t skip;  /* calls that succeed first */
    uint32_t times; /* calls that fail then */
    int result;     /* with this -errno */
};

struct hf_memory_io {
    struct hf_io io; /* hand out &memory->io */
    pthread_mutex_t lock;
    struct hf_memory_file files[HF_MEMORY_FILES_MAX];
    uint32_t file_count;
    struct hf_memory_descriptor descriptors[HF_MEMORY_DESCRIPTORS_MAX];
    struct hf_memory_fault faults[HF_MEMORY_OPERATIONS];
    uint64_t calls[HF_MEMORY_OPERATIONS];
    uint64_t used_bytes;
    uint64_t room_bytes;   /* for all files; more is -ENOSPC */
    uint64_t changes_left; /* before it dies */
};

void hf_memory_io_init(struct hf_memory_io *memory);
void hf_memory_io_close(struct hf_memory_io *memory);

/* After `skip` more calls, `times` calls of the operation fail with `result` (-errno). */
void hf_memory_io_fail(struct hf_memory_io *memory, enum hf_memory_operation operation,
                       uint32_t skip, uint32_t times, int result);

/* After so many more calls that change something, none does: each fails with -EIO. What the disk has
 * then is what it has when the machine stops there. UINT64_MAX: it lives. */
void hf_memory_io_die_after(struct hf_memory_io *memory, uint64_t changes);

/* The disk's size from now on. */
void hf_memory_io_set_room(struct hf_memory_io *memory, uint64_t room_bytes);

/* The power fails: only what was synced is left. No descriptor may be open. */
void hf_memory_io_crash(struct hf_memory_io *memory);

/* The same on another disk, which was just initialised: what the power failure would leave now. The
 * first one goes on. */
void hf_memory_io_copy_crashed(struct hf_memory_io *memory, struct hf_memory_io *crashed);

/* How often an operation was called; how many descriptors are open. */
uint64_t hf_memory_io_calls(struct hf_memory_io *memory, enum hf_memory_operation operation);
uint32_t hf_memory_io_open_count(struct hf_memory_io *memory);

/* The file, or NULL. For a test that looks at, or damages, what is there; no thread may use it. */
struct hf_memory_file *hf_memory_io_file(struct hf_memory_io *memory, const char *name);

/* ---- the write queue ---- */

#define HF_MANUAL_WRITES_MAX 64

/* A write that was submitted and is not finished. */
struct hf_manual_write {
    int file;
    const uint8_t *buffer;
    uint32_t bytes;
    uint64_t offset;
    uint32_t cookie;
    uint64_t hash; /* of the buffer when it was submitted: nobody may write to it meanwhile */
};

struct hf_manual_queue {
    struct hf_write_queue queue; /* hand out &manual->queue */
    struct hf_memory_io *memory;
    pthread_mutex_t lock;
    struct hf_manual_write writes[HF_MANUAL_WRITES_MAX]; /* in the order of submission */
    uint32_t count;
    uint32_t most;      /* that were ever in flight at once */
    uint64_t submitted; /* in all, repeated ones included */
};

void hf_manual_queue_init(struct hf_manual_queue *manual, struct hf_memory_io *memory);
void hf_manual_queue_close(struct hf_manual_queue *manual);

uint32_t hf_manual_queue_count(struct hf_manual_queue *manual);

/* Takes write `place` (0: the oldest) out of the queue. False: there are not so many. */
bool hf_manual_queue_take(struct hf_manual_queue *manual, uint32_t place,
                          struct hf_manual_write *write);

/*
 * Makes a taken write happen with the result that its completion will have: its first `result`
 * bytes reach the disk, or none if it is -errno. The caller then hands the result to
 * hf_flusher_complete().
 */
void hf_manual_write_apply(struct hf_manual_queue *manual, const struct hf_manual_write *write,
                           int result);

#endif
