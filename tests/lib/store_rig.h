/*
 * A rig for a store: a server without its sockets, with two actors, on a disk in memory, in one
 * thread. Nothing happens but what the test asks for: operations, writes of the flusher and their
 * ends, the next segment, each step of the snapshotter. So a test can come between any two of them.
 *
 * The rig keeps every record that was ever given an LSN. So what the engine should be after any LSN
 * can be rebuilt without the disk, by replaying all of them: hf_store_rig_rebuild(). What a crash now
 * would leave is recovered from a copy of the disk, and must be just that: hf_store_rig_check().
 *
 * Time is the server's clock, and what hf_store_rig_pass() adds to it.
 *
 * Every failure of the machine ends the process: it is not what is tested.
 */
#ifndef HF_TESTS_LIB_STORE_RIG_H
#define HF_TESTS_LIB_STORE_RIG_H

#include "engine/store.h"
#include "holdfast/message.h"
#include "tests/lib/memory_io.h"
#include "tests/lib/process.h"

#define HF_STORE_RIG_ACTORS 2u

/* 0: a value that is in nobody's way. */
struct hf_store_rig_options {
    uint32_t max_inventories, max_reservations;
    uint32_t ring_slots;
    uint64_t segment_bytes;
    uint64_t retain_ns;
    uint64_t snapshot_log_bytes; /* 0: only when asked for */
    uint64_t snapshot_interval_ns;
    uint32_t snapshot_copy_cells;
    bool threaded; /* segments and snapshots are made by threads of the store */
    enum hf_durability durability;
};

struct hf_store_rig {
    struct hf_store_rig_options options;
    char directory[HF_DIRECTORY_TEXT_BYTES];          /* a real one, for the locks */
    char recovery_directory[HF_DIRECTORY_TEXT_BYTES]; /* likewise, of what is recovered beside it */
    struct hf_memory_io *memory;
    struct hf_manual_queue queue;
    struct hf_store *store;
    struct hf_actor actors[HF_STORE_RIG_ACTORS];
    uint32_t next_actor;
    bool by_hand;              /* actor 1 is the test's own, for now */
    struct hf_outcome outcome; /* of the newest operation */
    struct hf_reservation_entry entries[HF_MAX_PAGE_ENTRIES];

    uint8_t *records; /* HF_RECORD_BYTES each, from LSN 1 on */
    uint64_t last_lsn, record_room;
    char text[HF_LOG_ERROR_BYTES + 200];
};

/* A state that was rebuilt from records, beside the rig's own. */
struct hf_rebuilt {
    struct hf_engine *engine;
    uint64_t last_lsn;
    struct hf_log_recovery found; /* recovered from a disk: what was found there */
};

void hf_store_rig_open(struct hf_store_rig *rig, const struct hf_store_rig_options *options);
void hf_store_rig_close(struct hf_store_rig *rig);

/* ---- what happens ---- */

/* Asks until it is decided. The result, or HF_PUT_ASIDE_* if it is not in the end. */
unsigned hf_store_rig_ask(struct hf_store_rig *rig, const struct hf_request *request);

/* Time passes, and all that is due is done. */
void hf_store_rig_pass(struct hf_store_rig *rig, uint64_t ns);
uint64_t hf_store_rig_now_ns(const struct hf_store_rig *rig);

/* All that was recorded is written, segments being prepared as they are needed. */
void hf_store_rig_write(struct hf_store_rig *rig);

/* The same, until this segment is the one that is being filled, and no record stands in it: with
 * events, a block each. */
void hf_store_rig_fill_until(struct hf_store_rig *rig, uint64_t segment);

/* One of the things that are going on by themselves: which, `dice` decides. */
void hf_store_rig_stir(struct hf_store_rig *rig, uint32_t dice);

/* Records that were given LSNs are noted: before anything of it is written. (ask, pass and write do.) */
void hf_store_rig_note(struct hf_store_rig *rig);

/* One step of the snapshotter. True: it is between two snapshots. */
bool hf_store_rig_snapshot_step(struct hf_store_rig *rig);

/* Makes a snapshot from its beginning to its end, with writes on the way. */
void hf_store_rig_snapshot(struct hf_store_rig *rig);
struct hf_snapshotter_report hf_store_rig_report(struct hf_store_rig *rig);

/* The power fails: starts again with what is left. 0, or -errno with the line in `text`: then only
 * close() may follow. */
int hf_store_rig_crash(struct hf_store_rig *rig);

/* The server is gone, and starts again with another disk, which is the rig's from now on. Likewise. */
int hf_store_rig_restart_on(struct hf_store_rig *rig, struct hf_memory_io *disk);

/* A new disk: empty, or with what a crash now would leave. */
struct hf_memory_io *hf_store_rig_new_disk(void);
struct hf_memory_io *hf_store_rig_copy_disk(struct hf_store_rig *rig);
void hf_store_rig_free_disk(struct hf_memory_io *disk);

/* ---- what a crash would leave ---- */

/* Recovers from a disk, beside the rig's; it is written to. 0, or -errno with the line in `text`. */
int hf_store_rig_recover(struct hf_store_rig *rig, struct hf_memory_io *disk,
                         struct hf_rebuilt *rebuilt);

/* The state after this LSN, from the records that the rig has kept. */
void hf_store_rig_rebuild(struct hf_store_rig *rig, uint64_t lsn, struct hf_rebuilt *rebuilt);
void hf_rebuilt_close(struct hf_rebuilt *rebuilt);

/* NULL, or what is wrong with what was recovered. */
const char *hf_store_rig_compare(struct hf_store_rig *rig, const struct hf_rebuilt *recovered);

/* NULL, or what is wrong with what this disk would be recovered to. */
const char *hf_store_rig_check_disk(struct hf_store_rig *rig, struct hf_memory_io *disk);

/* The same of what a crash now would leave. */
const char *hf_store_rig_check(struct hf_store_rig *rig);

/* NULL, or what is wrong with a snapshot on this disk: each of its records is that of the log. */
const char *hf_store_rig_check_snapshots(struct hf_store_rig *rig, struct hf_memory_io *disk);

/* The names of the segments and snapshots that are there, in order: "3 4 5; 120 340". */
const char *hf_store_rig_files(struct hf_store_rig *rig);

/* NULL, or what is wrong with the files that a crash now would leave, whether needed or not: each
 * segment is what its name says. */
const char *hf_store_rig_check_names(struct hf_store_rig *rig);

#endif
