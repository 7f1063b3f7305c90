/*
 * A server on the simulated disk, without its sockets: the store that a real one stands on, some
 * actors in the place of its workers, and what it recorded. Everything happens in the caller's one
 * thread, in steps that the caller chooses.
 *
 * It is a subject of the reference model (tests/model/subject.h): so everything that it answers and
 * records is held against the model at once, long before a disk is asked.
 *
 * What it recorded is kept by LSN, over all its runs. So it is known what each record that is ever
 * found in a log must be, to the byte.
 *
 * A request that the log has no room for waits for `progress`, which lets the log go on. If that
 * cannot go on now, the request is turned away, as a client is that has waited for too long: the
 * result is STORAGE_FULL, and nothing was done. Until all that is due is done the server then is
 * behind (subject.h).
 */
#ifndef HF_TESTS_SIM_SERVER_H
#define HF_TESTS_SIM_SERVER_H

#include "engine/store.h"
#include "tests/model/subject.h"
#include "tests/sim/disk.h"

#define HF_SIM_ACTORS       2u
#define HF_SIM_INVENTORIES  4u
#define HF_SIM_RESERVATIONS 2048u
#define HF_SIM_AWAITING     64u /* answers that wait for commit, at most */

struct hf_sim_server_options {
    struct hf_sim_disk *disk;
    const char *directory; /* a real one: its lock is there, and the link to the region */
    uint64_t segment_bytes;
    uint32_t ring_slots;
    uint32_t writes_inflight; /* 0: as is best */
    uint64_t retain_ns;
    enum hf_durability durability;
    uint64_t snapshot_log_bytes;  /* UINT64_MAX: no snapshot but those that are asked for */
    uint32_t snapshot_copy_cells; /* 0: as is best */
    const char *archive_command;  /* or NULL */
    /* Lets the log go on by one step. False: it waits for something else. */
    bool (*progress)(void *context);
    void *context;
};

struct hf_sim_server {
    struct hf_sim_server_options options;
    struct hf_store *store; /* NULL: it does not run */
    struct hf_actor actors[HF_SIM_ACTORS];
    uint32_t next_actor;

    uint8_t *records; /* that it recorded, by LSN: HF_RECORD_BYTES each */
    uint64_t last_lsn, record_room;
    uint64_t *starts; /* the first LSN of each run whose beginning is in the log */
    uint32_t start_count, start_room;
    uint64_t told_lsn; /* logged() has told them up to here */
    struct hf_image *images;
    uint64_t image_room;

    uint64_t awaiting[HF_SIM_AWAITING]; /* LSNs for which answers wait that clients have not got */
    uint32_t awaiting_count;

    uint64_t recovered_lsn; /* what the log held when it was opened */
    uint32_t failures;      /* calls of on_failure */
    uint64_t failed_commit_lsn;
    bool is_behind;                 /* the log had no room: not all that is due is done */
    uint64_t behind_until_ns;       /* at least */
    uint64_t turned_away;           /* requests, of this run */
    char error[HF_LOG_ERROR_BYTES]; /* why it did not start */
    char broken[200];
};

void hf_sim_server_init(struct hf_sim_server *server, const struct hf_sim_server_options *options);
/* A server with other options, that does not run, and knows what `from` has recorded. */
void hf_sim_server_init_like(struct hf_sim_server *server, const struct hf_sim_server *from,
                             const struct hf_sim_server_options *options);
void hf_sim_server_free(struct hf_sim_server *server);

/* Starts it. 0, or -errno with the line that a user would see in `error`. */
int hf_sim_server_start(struct hf_sim_server *server);

/* Ends it: in order if the disk lets it, and if all is written; -errno if not. What it holds is
 * given back either way. */
int hf_sim_server_stop(struct hf_sim_server *server);

/* The server that has just started found the log to end with this LSN: nothing beyond it was ever
 * recorded. */
void hf_sim_server_forget_after(struct hf_sim_server *server, uint64_t lsn);

/* The newest block that was found when it started; 0: none. Nothing was written since. */
uint64_t hf_sim_server_recovered_sequence(const struct hf_sim_server *server);

/* Keeps what was recorded since the last time. Before the ring is drained. */
void hf_sim_server_note(struct hf_sim_server *server);

/* Gives clients the answers that may be given. Returns how many. */
uint32_t hf_sim_server_answer(struct hf_sim_server *server);

/* The record with this LSN. */
const uint8_t *hf_sim_server_record(const struct hf_sim_server *server, uint64_t lsn);

/* The server's date. */
uint64_t hf_sim_server_now_ns(const struct hf_sim_server *server);

/* The hash of the state that it holds (engine/state_hash.h). False: it is not settled, which it
 * must be between two steps (CONSERVATION). */
bool hf_sim_server_hash(const struct hf_sim_server *server, uint64_t *hash);

static inline struct hf_flusher *hf_sim_server_flusher(const struct hf_sim_server *server)
{
    return &server->store->log.flusher;
}

/* What the model drives. The server is its context. */
struct hf_subject hf_sim_server_subject(struct hf_sim_server *server);

#endif
