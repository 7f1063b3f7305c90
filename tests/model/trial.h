/*
 * A trial: one subject and the model, step by step. Everything that the subject says is held
 * against the model at once: the answer, what was logged meanwhile, and now and then the whole
 * state.
 *
 * The log is read along. What the server did by itself (a hold expired, an offer was made) is
 * followed by the model if the server was free to do it; what the request did must be logged
 * exactly as the model did it, one image for each change. So the state is compared with every step,
 * and after a crash the model goes back to exactly what the rest of the log says: whole operations,
 * in order, a batch wholly or not at all.
 *
 * What must have happened is demanded, too: after each step nobody waits for units that are free;
 * after each tick no hold is past its deadline by more than the promise (nor, of those that lapsed
 * while it was down, is any there longer than that after the start); a refusal for want of units
 * holds even if all lapsed holds are noticed.
 */
#ifndef HF_TESTS_MODEL_TRIAL_H
#define HF_TESTS_MODEL_TRIAL_H

#include <stdio.h>

#include "tests/model/compare.h"
#include "tests/model/subject.h"
#include "tests/model/workload.h"

#define HF_TRIAL_RESULTS 700u /* results are below this */

/* How often each operation had each result. */
struct hf_coverage {
    uint64_t counts[64][HF_TRIAL_RESULTS];
    uint64_t steps, batch_lines, expiries, offers, drops, crashes, comparisons, forgotten;
};

struct hf_trial;

/* `coverage` and `out` (a line for each step and each answer) may be NULL. */
struct hf_trial *hf_trial_open(const struct hf_subject *subject, unsigned mistake, uint64_t seed,
                               uint64_t retain_ns, struct hf_coverage *coverage, FILE *out);
void hf_trial_close(struct hf_trial *trial);

/* From here on, each step and each answer is printed. */
void hf_trial_print(struct hf_trial *trial, FILE *out);

/* Does a step; `lines` is the pool that it is of. NULL, or what is wrong: then the trial is over. */
const char *hf_trial_step(struct hf_trial *trial, const struct hf_step *step,
                          const struct hf_line *lines);

/*
 * The subject crashed and started again by itself, at now_ns: of the log there is what is up to
 * this LSN, and what it recorded while it started. The model goes back to there, and the whole
 * state is compared; `dice` as in a step. NULL, or what is wrong.
 */
const char *hf_trial_restarted(struct hf_trial *trial, uint64_t lsn, uint64_t now_ns,
                               uint32_t dice);

const struct hf_world *hf_trial_world(const struct hf_trial *trial);

/* The symbol that steps use for what the server chose; else the id itself. */
struct hf_id hf_trial_symbol_of(const struct hf_trial *trial, const struct hf_id *id);

#endif
