/*
 * The store: one directory brought to life. The region rebuilt from the log, the log open for
 * appending, the engine ready for actors. The server and the embedded API both stand on it.
 */
#ifndef HF_ENGINE_STORE_H
#define HF_ENGINE_STORE_H

#include "engine/engine.h"
#include "engine/snapshotter.h"
#include "holdfast/protocol.h"
#include "wal/log.h"

#define HF_DEFAULT_MAX_INVENTORIES  65536u
#define HF_DEFAULT_MAX_RESERVATIONS 16777216u

struct hf_store_options {
    const char *directory;
    struct hf_io *io;          /* NULL: the real one */
    uint32_t max_inventories;  /* 0: the default */
    uint32_t max_reservations; /* 0: the default */
    uint64_t segment_bytes;    /* 0: the default; only for a new log */
    uint32_t ring_slots;       /* 0: the default */
    uint32_t writes_inflight;  /* 0: as is best, see wal/flusher.h */
    enum hf_log_writes log_writes;
    const char *archive_command; /* a template, see wal/command.h; NULL: no archive */
    uint64_t retain_ns;          /* how long finished reservations are kept; 0: the default */
    enum hf_durability durability;
    uint64_t snapshot_log_bytes;   /* 0: the default, see engine/snapshotter.h, and so below */
    uint64_t snapshot_interval_ns; /* 0: none for the time that passes */
    uint64_t snapshot_rate;        /* bytes a second; 0: the default */
    uint32_t snapshot_copy_cells;  /* 0: as is best */
    bool manual; /* no threads: the caller calls hf_log_step() and hf_snapshotter_step() */
    hf_flusher_failure
        *on_failure; /* NULL: a line on stderr, and the process ends with status 70 */
    void *failure_context;
    struct hf_progress *progress; /* of the recovery, or NULL; cancelled, it ends with -ECANCELED */
};

/* Where the time of a start went. */
struct hf_store_phases {
    uint64_t read_ns;   /* locks, files, reading, checksums, the first block of the run */
    uint64_t replay_ns; /* records applied */
    uint64_t derive_ns; /* what follows from the records: counters, lists, what is forgotten */
    uint64_t start_ns;  /* the engine: deadlines and retentions filed, customers counted */
};

struct hf_store {
    struct hf_log log;
    struct hf_engine engine;
    struct hf_snapshotter *snapshotter;
    uint64_t recovered_reservations;
    uint64_t recovery_ns; /* reading, replaying and deriving; without the probe of the disk */
    struct hf_store_phases phases;
    uint64_t started_at_ns;
};

/* 0, or -errno with a line in `error` that says what to do. Recovers; see wal/log.h. */
int hf_store_open(struct hf_store **store, const struct hf_store_options *options,
                  char error[HF_LOG_ERROR_BYTES]);

/* Asks for a snapshot now; if one is under way, another follows it. Never blocks. Any thread. */
void hf_store_request_snapshot(struct hf_store *store);

/*
 * What of STATUS the store knows: segments, how blocks are written, snapshots, the archive, room.
 * The state of the server and its counters are left alone, percent is 100. Any thread.
 */
void hf_store_describe(struct hf_store *store, struct hf_status *status);

/* All actors are closed and hf_flusher_idle() was true: writes the STOP block and frees everything.
 * 0 or -errno. */
int hf_store_close(struct hf_store *store);

#endif
