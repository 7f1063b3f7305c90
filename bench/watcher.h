/*
 * The watcher: a thread that subscribes to the committed records of a run's inventories, and holds
 * each against what is right. What it sees is what the log says, whoever was answered what.
 *
 * Of each lapse it takes two times, both from the deadline on:
 *   noticed    until the date of the change in its record: when the server gave the unit back
 *   committed  until the record was here: it is durable by then, and anybody may know
 *
 * Right is: an EXPIRED record is not dated before the deadline, comes once, and never for a hold that
 * was confirmed; a CONFIRMED one is dated before the deadline; somebody else's claim of a unit comes
 * behind the record that frees it (LSN-ORDER).
 */
#ifndef HF_BENCH_WATCHER_H
#define HF_BENCH_WATCHER_H

#include <pthread.h>

#include "base/atomics.h"
#include "bench/histogram.h"
#include "bench/holds.h"

/* A SUBSCRIBE names HF_MAX_WATCH_IDS inventories at most; for more, the watcher makes several, of which
 * a connection may have so many. */
#define HF_WATCHER_MAX_WATCHES 16

struct hf_watcher_result {
    uint64_t expired, confirmed, extended, others; /* records */
    uint64_t early;                                /* EXPIRED before the deadline */
    uint64_t twice;                                /* EXPIRED again */
    uint64_t late;                                 /* CONFIRMED at the deadline or after it */
    uint64_t disorder;                             /* any other record that cannot follow */
    uint64_t fell_behind;                          /* times */
    uint64_t
        overtaken_ns; /* how much later a deadline was at most that was noticed before another */
    uint64_t last_noticed_ns, last_committed_ns; /* dates on the server's clock */
    struct hf_histogram noticed, committed;
};

struct hf_watch {
    struct hf_watcher *watcher;
    uint64_t newest_deadline_ns; /* of those that expired */
};

struct hf_watcher {
    /* Constant while it runs. */
    const struct hf_holds *holds;
    const struct hf_server_time *time;
    pthread_t thread;
    uint32_t watch_count;
    struct hf_watch watches[HF_WATCHER_MAX_WATCHES];

    /* The thread's own until it is joined. */
    struct hf_client *client;
    uint8_t *states;        /* by number: enum hf_state; 0: not made yet */
    uint64_t *deadlines_ns; /* by number, as the records say */
    uint32_t *confirmed_in; /* units, by inventory */
    uint32_t complaints;
    struct hf_watcher_result result;

    /* Written by the thread. */
    _Atomic uint32_t subscribed; /* watches that have begun */
    _Atomic uint32_t resolved;   /* holds that expired or were confirmed */
    _Atomic uint32_t others;     /* claims of others that were seen */
    _Atomic bool failed;         /* it gave up; the reason was reported */
    /* Written by who stops it. */
    _Atomic bool stop;
};

/* Begins to watch from now on, and blocks until all watches have begun. 0; -EIO: it could not, and
 * the reason was reported; -errno. `holds` need not be made yet, and `time` may be set anew until
 * the first deadline. */
int hf_watcher_start(struct hf_watcher *watcher, const char *server, const struct hf_holds *holds,
                     const struct hf_server_time *time);

/* Joins the thread; its results are there then. */
void hf_watcher_stop(struct hf_watcher *watcher);

void hf_watcher_free(struct hf_watcher *watcher);

#endif
