/*
 * Linearizability: is there one order of the operations of a concurrent history that respects real
 * time (what ended before another began comes first) and in which a sequential machine gives every
 * answer that was given?
 *
 * The search is that of Wing and Gong with Lowe's memory: take any operation that no other one has
 * to precede; if the machine gives the recorded answer, go on from there; if not, or if that leads
 * nowhere, take it back and try the next. A set of operations done together with the state that they
 * led to is tried once only. What was refused takes part like anything else: a refusal, too, must
 * have been right at one instant between its request and its answer.
 *
 * Between any two operations the machine may do something by itself, of which no answer tells: a hold
 * lapses, units that came free are offered. Such a step of its own may come at any time, or never.
 *
 * The machine is the caller's: it applies an operation and says whether the answer is the recorded
 * one, takes operations back, and hashes its state.
 */
#ifndef HF_TESTS_MODEL_LINEARIZE_H
#define HF_TESTS_MODEL_LINEARIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_LINEARIZE_OPERATIONS 63u  /* of one history, at most */
#define HF_LINEARIZE_DEPTH      512u /* operations and steps of its own in one order, at most */

/* When an operation was in the machine: stamps of one clock, no two of them equal. */
struct hf_interval {
    uint64_t invoked, responded; /* invoked < responded */
};

struct hf_machine {
    void *context;
    /* Executes operation number `operation`. True: its answer is what was recorded. */
    bool (*apply)(void *context, uint32_t operation);
    /* Does step number `step` of its own. False: there is nothing to be done, nothing changed. */
    bool (*act)(void *context, uint32_t step);
    uint32_t own_steps; /* 0: `act` is not called */
    /* Where the machine stands, and back to there. The mark that it was before: nothing changed. */
    size_t (*mark)(void *context);
    void (*rollback)(void *context, size_t mark);
    /* Equal for equal states, and for different ones hardly ever. */
    uint64_t (*hash)(void *context);
};

enum hf_verdict {
    HF_LINEARIZABLE,
    HF_NOT_LINEARIZABLE,
    HF_UNDECIDED, /* the search was given up */
};

struct hf_search {
    uint64_t steps;                          /* operations, and steps of its own, tried */
    uint32_t most;                           /* operations in the longest order found */
    uint64_t most_set;                       /* which: bit n, operation n */
    uint32_t order_count;                    /* LINEARIZABLE: the order that was found */
    uint32_t order[HF_LINEARIZE_OPERATIONS]; /* its operations */
};

/*
 * Searches. The machine stands where the history began; LINEARIZABLE: it then stands where the found
 * order leads, else where it stood. `max_steps` bounds the search.
 */
enum hf_verdict hf_linearize(const struct hf_machine *machine, const struct hf_interval *operations,
                             uint32_t count, uint64_t max_steps, struct hf_search *search);

#endif
