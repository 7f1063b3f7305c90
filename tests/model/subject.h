/*
 * What is held against the reference model: one interface for the engine, and for an implementation
 * so plain (the model itself behind one lock) that the tests can be tested with it.
 */
#ifndef HF_TESTS_MODEL_SUBJECT_H
#define HF_TESTS_MODEL_SUBJECT_H

#include "engine/image.h"
#include "holdfast/message.h"

struct hf_subject_options {
    unsigned threads; /* that will call, numbered from 0 */
    uint32_t max_inventories;
    uint32_t max_reservations;
    uint64_t retain_ns;
    uint64_t seed;
    unsigned mistake; /* one that the subject is asked to make, from 1; 0: none */
    void *context;    /* the subject's */
};

/* An answer with room for what it points to. */
struct hf_answer {
    uint64_t wait_for_lsn; /* it may be given when this is committed; 0: at once */
    struct hf_reply reply;
    struct hf_reservation_entry entries[HF_MAX_BATCH_LINES];
};

struct hf_subject {
    const char *name;
    unsigned mistakes; /* how many it can make */
    void *context;     /* for open() */

    void *(*open)(const struct hf_subject_options *options);
    void (*close)(void *subject);

    /* Nothing that was made before is spoken of again: room for `inventories` new ones and so many
     * reservations is to be there. No thread is calling. */
    void (*renew)(void *subject, uint32_t inventories, uint32_t reservations);

    /* Any thread. Comes back when it is decided. RESERVATION_LIST: a limit of HF_MAX_BATCH_LINES at
     * most. */
    void (*execute)(void *subject, unsigned thread, uint64_t now_ns,
                    const struct hf_request *request, struct hf_answer *answer);

    /* Does what the server does by itself as time goes by. Thread 0. */
    void (*tick)(void *subject, uint64_t now_ns);

    /* True if its log has no room, or had none: it may turn requests away (STORAGE_FULL), and what
     * is due may not be done yet. NULL: never. */
    bool (*is_behind)(void *subject);

    /* What was logged since the last call, in order. Thread 0; valid until the next call. */
    uint32_t (*logged)(void *subject, const struct hf_image **images);

    /* The process is gone, and of the log there is only what is up to this LSN; starts again.
     * Returns the LSN that the next change gets, or got while it started. NULL: see
     * hf_trial_restarted(). */
    uint64_t (*crash)(void *subject, uint64_t lsn, uint64_t now_ns);

    /* NULL, or what went wrong by its own account: it can only be closed then. No thread is
     * calling. */
    const char *(*broken)(void *subject);
};

extern const struct hf_subject hf_subject_engine, hf_subject_locked;

/* By its name; NULL: there is none. */
const struct hf_subject *hf_subject_named(const char *name);

#endif
