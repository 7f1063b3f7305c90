/*
 * The crash test: what its parts share. What it does is told in crash.c.
 *
 * One thread, but for that of the aim. Each part has a file:
 *   crowd   the clients, and whoever follows the log while they are served
 *   load    what they ask
 *   life    the end of a server, and the next one
 *   checks  what must hold after each restart
 *   aim     kills at a moment that shows in the directory
 *   proof   the whole log, record by record, in a ledger that shares no code with the engine
 *   basis   what a server has to begin with: its snapshot against the whole log
 *   archive where the archive command puts what is full
 *   kept    the snapshots and segments of the directory; damage to a snapshot
 */
#ifndef HF_TESTS_CRASH_CRASH_H
#define HF_TESTS_CRASH_CRASH_H

#include "base/clock.h"
#include "tests/crash/aim.h"
#include "tests/crash/archive.h"
#include "tests/crash/basis.h"
#include "tests/crash/proof.h"
#include "tests/lib/bookings.h"
#include "tests/lib/model.h"
#include "tests/lib/process.h"
#include "tests/lib/stress.h"
#include "tests/lib/witness.h"

#define HF_CRASH_CLIENTS         8
#define HF_CRASH_HOT_INVENTORIES 3
#define HF_CRASH_MAX_INVENTORIES 1000
#define HF_CRASH_ANSWER_S        60 /* until a request must be answered */
#define HF_CRASH_DAMAGED         16 /* damaged snapshots that may be there at once */

struct hf_crash_options {
    unsigned cycles;
    uint64_t seed;
    const char *programs;
    const char *directory;  /* NULL: a new one */
    const char *log_writes; /* the server's option; NULL: another with each start */
    unsigned damage_every;  /* cycles: in every such one a snapshot is damaged; 0: never */
    bool keep;
};

/* Time spent in each part, for the progress line. */
struct hf_crash_durations {
    uint64_t load_ns, stop_ns, start_ns, resolve_ns, lookup_ns, verify_ns;
};

struct hf_crash_counts {
    unsigned kills, aimed_kills, stops, interrupted_starts, short_retentions;
    unsigned met[HF_MOMENT_COUNT]; /* of the aimed ones */
    unsigned snapshots_asked;      /* and answered OK */
    unsigned from_snapshot;        /* starts that began with a snapshot */
    unsigned damaged;              /* snapshots that were damaged here, and each was told */
    unsigned most_segments;        /* in the directory at once */
};

struct hf_crash {
    struct hf_crash_options options;
    struct hf_model *model;
    struct hf_witness witness;
    struct hf_proof proof;
    struct hf_basis basis;
    struct hf_archive archive;
    struct hf_bookings bookings;
    struct hf_daemon server;
    struct hf_aim *aim;
    char directory[HF_DIRECTORY_TEXT_BYTES];
    char program[512], wal_program[512], listen[64];
    struct hf_client *clients[HF_CRASH_CLIENTS];
    struct hf_random random;
    unsigned cycle;
    enum hf_moment moment;   /* that is aimed at in this cycle */
    unsigned retain_s;       /* of the server that runs, or is about to; 0: as it comes */
    uint64_t latest_ns;      /* how long the latest cycle took */
    uint64_t followed_ns;    /* when the log was followed last */
    bool archives;           /* the server that runs, or is about to */
    uint64_t oldest_segment; /* of the log, as it was last seen */
    uint64_t damaged_lsns[HF_CRASH_DAMAGED]; /* snapshots that were damaged here, the newest last */
    uint64_t checked_lsn; /* snapshots up to this one were held against the log */
    uint32_t judged_bookings;
    uint64_t next_customer;
    struct hf_crash_counts counts;
    struct hf_crash_durations durations;
};

static inline uint32_t hf_crash_between(struct hf_crash *crash, uint32_t low, uint32_t high)
{
    return low + hf_random_below(&crash->random, high - low + 1);
}

/* NULL, or the first contradiction; true if there is one, or the user has interrupted. */
const char *hf_crash_violation(const struct hf_crash *crash);
bool hf_crash_failed(const struct hf_crash *crash);
uint64_t hf_crash_acknowledged_lsn(const struct hf_crash *crash);

/* ---- crowd.c ---- */

void hf_crash_open_client(struct hf_crash *crash, unsigned client);
void hf_crash_submit(struct hf_crash *crash, unsigned client, struct hf_model_request *request);
void hf_crash_submit_booking(struct hf_crash *crash, unsigned client, struct hf_asking *asking);
size_t hf_crash_outstanding(const struct hf_crash *crash);

/* Moves all clients on, after waiting for at most `timeout_ms` for something to do; and follows the
 * log, now and then. */
void hf_crash_pump(struct hf_crash *crash, int timeout_ms);

/* Takes in what the log has gained, before it is released. */
void hf_crash_follow(struct hf_crash *crash);

/* Until every request is answered. */
void hf_crash_finish_requests(struct hf_crash *crash);

/* One request, to its end: it must be a yes. */
void hf_crash_call(struct hf_crash *crash, enum hf_operation operation, uint32_t from,
                   struct hf_reply *reply);

/* ---- load.c ---- */

void hf_crash_ask_inventory(struct hf_crash *crash, uint32_t capacity);

/* Loads the server; until it was killed, if somebody aims at it. */
void hf_crash_load(struct hf_crash *crash);

/* ---- life.c ---- */

/* SIGTERM under load: what was received is answered, then exit status 0. */
void hf_crash_stop_server(struct hf_crash *crash);

/* Chooses the moment at which this cycle's server is killed. */
void hf_crash_take_aim(struct hf_crash *crash);

/* Ends the server: SIGKILL, in every few cycles SIGTERM. Returns when it was gone. The next one's
 * retention is chosen, and some of the clients go. */
uint64_t hf_crash_end_server(struct hf_crash *crash);

/* Starts the server; now and then kills it on its way, once or twice. *gone_ns: when the last one
 * was killed. */
void hf_crash_start_server(struct hf_crash *crash, uint64_t *gone_ns);

/* Of the server that runs. */
uint64_t hf_crash_retain_ns(const struct hf_crash *crash);

/* ---- checks.c ---- */

/* Until nothing is unknown. */
void hf_crash_resolve(struct hf_crash *crash);

/* Looks up the ids from `first` on, and a random sample of the older ones; or all of them. */
void hf_crash_look_up_ids(struct hf_crash *crash, uint32_t first, bool all);

/* Waits until the server rests: holds have lapsed, offers were made. Then all must fit: SAME-STATE
 * (live, recovered and read from the log) and CONSERVATION. Returns the state hash. */
uint64_t hf_crash_check_at_rest(struct hf_crash *crash);

/* Judges the log, as it is: the records against what was told, and each against those before it.
 * Returns the state hash. */
uint64_t hf_crash_judge_log(struct hf_crash *crash);

#endif
