/*
 * Answers: each is held against what was asked.
 *
 * Of a yes everything is looked at that the frame has: its size, version, operation, id, inventory,
 * customer, quantity, state, sequence, flags, dates, deadline, LSN, reserved bytes. Of a hold that is
 * confirmed or released, and of a reservation that is cancelled, what the first answer told must still
 * be so, and the LSN must have grown. Of a batch, every line. A no must be one that can be: nothing is
 * sold out of which the same answer says that it is available, and no hold has lapsed that was asked
 * for less than its time ago.
 */
#ifndef HF_BENCH_ANSWER_H
#define HF_BENCH_ANSWER_H

#include <stdint.h>

#include "bench/asker.h"

/* What a load gets. X(name, text) */
#define HF_ANSWERS(X)                                                                              \
    X(GRANTED, "granted")     /* reservations */                                                   \
    X(REFUSED, "refused")     /* claims and batches: SOLD_OUT */                                   \
    X(CANCELLED, "cancelled") /* reservations */                                                   \
    X(READ, "read")           /* inventories, and pings */                                         \
    X(HELD, "held")           /* holds */                                                          \
    X(CONFIRMED, "confirmed") /* holds */                                                          \
    X(RELEASED, "released")   /* holds */                                                          \
    X(LAPSED, "lapsed")       /* holds that were to be confirmed or released: too late */          \
    X(BATCHED, "batched")     /* batches */

enum hf_answer {
#define X(name, text) HF_ANSWER_##name,
    HF_ANSWERS(X)
#undef X
        HF_ANSWER_COUNT
};

/* "granted". Static storage. */
const char *hf_answer_name(enum hf_answer answer);

enum hf_verdict {
    HF_VERDICT_RIGHT, /* it is what *answer says; of a first step's yes, *work keeps what it told */
    HF_VERDICT_WRONG, /* it cannot be: *fault says why */
    HF_VERDICT_OTHER, /* none of these: to be decoded and reported */
};

/*
 * Judges one whole reply to what was asked last in `work`, whose tag was found to be right, and which
 * was received at `now_ns` or before.
 */
enum hf_verdict hf_answer_judge(const struct hf_asker *asker, struct hf_work *work,
                                const uint8_t *reply, uint64_t now_ns, enum hf_answer *answer,
                                const char **fault);

/* True if a second request follows this answer. */
static inline bool hf_answer_goes_on(const struct hf_work *work, enum hf_answer answer)
{
    return work->step == 0 && (answer == HF_ANSWER_GRANTED || answer == HF_ANSWER_HELD) &&
           hf_kind_operation((enum hf_kind)work->kind, 1) != HF_OP_NONE;
}

#endif
