/*
 * A life: one disk, and the server that lives on it through any number of crashes, with its
 * clients.
 *
 * What happens, happens one step at a time, in an order that follows from the seed: a client asks
 * for something, the flusher runs, a write ends, a segment is prepared, an idle server attests,
 * somebody who follows the log reads on. Everything that the server answers or records is held
 * against the reference model at once (tests/model/trial.h). What it has promised, by moving
 * commit, is remembered here: that must be there after any crash.
 *
 * A start may itself be cut short, again and again. When it is through, the log and the state are
 * proved (proof.h), the promise is checked, and the model goes back to where the log ends: the
 * whole state must then be the model's.
 *
 * Functions that return text return NULL, or what is wrong, which is the end of the life.
 */
#ifndef HF_TESTS_SIM_LIFE_H
#define HF_TESTS_SIM_LIFE_H

#include <stdio.h>

#include "tests/model/trial.h"
#include "tests/sim/archive.h"
#include "tests/sim/coverage.h"
#include "tests/sim/server.h"
#include "wal/tail.h"

/* What is the same for all lives of a program. */
struct hf_sim_setting {
    const char *directory; /* a real one, for the lock */
    struct hf_sim_coverage *coverage;
    FILE *out; /* what happens is told there; or NULL */
};

/* What happens to the writes of a run. */
struct hf_sim_trouble {
    uint32_t again_percent;  /* are not tried */
    uint32_t fate_in;        /* so many writes end well, then one in another way; 0: none does */
    struct hf_sim_fate fate; /* which */
};

struct hf_sim_life {
    const struct hf_sim_setting *setting;
    struct hf_sim_coverage *coverage;
    uint64_t seed;
    struct hf_random random;
    struct hf_sim_disk disk;
    struct hf_sim_disk healed; /* after a run with damage: what it would have left without */
    struct hf_sim_server server;
    struct hf_sim_archive archive; /* if there is one */
    struct hf_subject subject;
    struct hf_trial *trial; /* NULL: a branch */
    struct hf_workload workload;
    struct hf_steps steps;
    struct hf_tail_reader *follower; /* NULL: nobody follows now */
    struct hf_tail tail;             /* where it is */
    uint32_t ask_percent;            /* of the steps are a client's */
    uint32_t burst_percent;          /* of the steps are many clients' */
    bool is_followed;                /* in every run */
    int keep;                        /* descriptor of somebody who reads beside it; -1: nobody */
    uint64_t promised_lsn;           /* everything up to here is there after a crash */
    struct hf_sim_trouble trouble;
    bool is_stalled;        /* no write ends */
    bool is_damaged;        /* the disk: only what it starts from is looked at */
    bool is_full;           /* the disk has no room */
    bool stopped_well;      /* the last run ended in order */
    uint64_t first_segment; /* that was being filled when this run began */
    const char *wrong;      /* found where it could not be returned */
    char text[900];
};

/* What a life is like, where chance does not decide. */
struct hf_sim_wish {
    uint64_t segment_bytes; /* 0: some size, mostly small */
    bool busy; /* segments are small, and snapshots and the archive are always at work */
    bool anew; /* it begins with an empty disk; else at times with a log in whose only
                               segment little room is left */
};

/* Begins. Nothing runs yet. */
void hf_sim_life_begin(struct hf_sim_life *life, const struct hf_sim_setting *setting,
                       uint64_t seed, const struct hf_sim_wish *wish);
void hf_sim_life_end(struct hf_sim_life *life);

/* A life of its own whose disk and past are those of `from`, where no server runs. Nobody asks
 * anything in it, and the model is not there: it is for starts. `number` makes its chance another.
 * */
void hf_sim_life_branch(struct hf_sim_life *branch, const struct hf_sim_life *from,
                        uint64_t number);

/* Starts the server and proves what it recovered. `disturbed`: with crashes and errors on the
 * way. */
const char *hf_sim_life_start(struct hf_sim_life *life, bool disturbed);

/* The same in two halves, for those who look at the result themselves: starts it, once; proves. */
int hf_sim_life_try(struct hf_sim_life *life);
const char *hf_sim_life_prove(struct hf_sim_life *life);

/* The model goes on from what was recovered. */
const char *hf_sim_life_resume(struct hf_sim_life *life);

/* `count` steps, or until the disk dies or the server fails. */
const char *hf_sim_life_run(struct hf_sim_life *life, uint32_t count);

/* One operation of a client. */
const char *hf_sim_life_ask(struct hf_sim_life *life);

/* In a branch: somebody holds a unit, and it is written. */
const char *hf_sim_life_ask_plainly(struct hf_sim_life *life, uint32_t number);

/* The background does its work, once. 0 or -errno. */
int hf_sim_life_prepare(struct hf_sim_life *life);

/* Everything that was recorded is written, if that can be. */
void hf_sim_life_settle(struct hf_sim_life *life);

/* The disk stops now, if it has not stopped, and the server is gone: what is left is there. */
void hf_sim_life_crash(struct hf_sim_life *life, enum hf_sim_loss loss);

/* The same, but what is left is not decided yet: hf_sim_disk_restart() is the caller's. */
void hf_sim_life_stop_dead(struct hf_sim_life *life);

/* The server ends in order. */
const char *hf_sim_life_stop(struct hf_sim_life *life);

/* Keeps a sentence in the words of printf, and returns it. */
const char *hf_sim_life_wrong(struct hf_sim_life *life, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Tells what happens, if anybody listens. */
void hf_sim_life_tell(const struct hf_sim_life *life, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
