/*
 * What is done to the engine and the model: random steps, each complete in itself, so that any of
 * them can be left out and the rest done again (driver.c shrinks what fails that way).
 *
 * Few inventories, few units, few customers, tiny limits, short holds: every rule is met often. Time
 * stands still, creeps by nanoseconds, or jumps: to just before, at and just after deadlines and
 * dates, by hours, and beyond the retention.
 *
 * An id that the server is to choose is not known when the step is made. Later steps speak of it by
 * a symbol (hf_symbol_of()); whoever does the steps puts in what was chosen.
 */
#ifndef HF_TESTS_MODEL_WORKLOAD_H
#define HF_TESTS_MODEL_WORKLOAD_H

#include "holdfast/message.h"
#include "tests/lib/stress.h"
#include "tests/model/world.h"

enum hf_step_kind {
    HF_STEP_REQUEST,
    HF_STEP_TICK,    /* time goes by, and the server notices */
    HF_STEP_CRASH,   /* the end of the log is lost; recovery */
    HF_STEP_COMPARE, /* the whole state is read */
};

enum hf_step_guard {
    HF_GUARD_NONE,
    HF_GUARD_RIGHT, /* the request, or the batch's first claim, expects the version that its
                       inventory has */
    HF_GUARD_WRONG, /* another one */
};

struct hf_step {
    enum hf_step_kind kind;
    uint32_t number; /* of the step, for symbols */
    uint64_t now_ns;
    enum hf_step_guard guard;
    uint32_t dice;             /* CRASH: how much is lost; COMPARE: which filter */
    struct hf_request request; /* its `lines` are below */
    uint32_t first_line;       /* BATCH: in the pool */
};

/* Steps, and the lines of their batches. */
struct hf_steps {
    struct hf_step *steps;
    uint32_t count, room;
    struct hf_line *lines;
    uint32_t line_count, line_room;
};

#define HF_WORKLOAD_INVENTORIES 4u /* that can be created; one more is asked for */

struct hf_workload {
    struct hf_random random;
    uint64_t now_ns;
    uint64_t retain_ns;
    uint32_t fresh;       /* ids used so far */
    bool tick_next;       /* time has jumped */
    uint32_t crash_every; /* steps */
    uint32_t giving;      /* percent of what gives units back that is done: the others claim */
    /* The symbol of a reservation that the server named, or its id. */
    struct hf_id (*symbol_of)(void *context, const struct hf_id *id);
    void *context;
};

/* Id number `line` that the server chose in step `number`. */
struct hf_id hf_symbol(uint32_t number, uint32_t line);
bool hf_is_symbol(const struct hf_id *id);

void hf_workload_init(struct hf_workload *workload, uint64_t seed, uint64_t retain_ns);

/* Appends the next step, made for the state that the model is in. */
struct hf_step *hf_workload_next(struct hf_workload *workload, const struct hf_world *world,
                                 struct hf_steps *steps);

void hf_steps_clear(struct hf_steps *steps);
void hf_steps_close(struct hf_steps *steps);

#endif
