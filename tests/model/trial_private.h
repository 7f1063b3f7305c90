/* A trial, for the files that make it up: trial.c, which asks and judges, and trial_state.c, which
 * compares whole states. Nothing for those who run one. */
#ifndef HF_TESTS_MODEL_TRIAL_PRIVATE_H
#define HF_TESTS_MODEL_TRIAL_PRIVATE_H

#include "tests/model/compare.h"
#include "tests/model/trial.h"

#define HF_TRIAL_MAX_RESERVATIONS 2048u

/* What the server chose. */
struct hf_trial_symbol {
    struct hf_id symbol, id;
};

/* An inventory as it was last read. */
struct hf_trial_seen {
    bool seen;
    struct hf_inventory inventory;
    struct hf_settings settings;
};

struct hf_trial {
    const struct hf_subject *subject;
    void *engine;
    struct hf_world *world;
    struct hf_coverage *coverage;
    FILE *out;
    uint64_t retain_ns;
    uint64_t now_ns;
    uint64_t started_ns; /* the newest crash was then */
    char error[600];

    struct hf_trial_symbol *symbols;
    uint32_t symbol_count, symbol_room;

    /* For each LSN since the checkpoint: where the journal of the model stood after it; for the
     * first ones of a chain, before it. */
    uint64_t first_lsn, next_lsn;
    size_t *marks;
    uint64_t mark_room;

    struct hf_trial_seen seen[HF_WORLD_INVENTORIES];
    struct hf_line lines[HF_MAX_BATCH_LINES + 1]; /* of the request under way, symbols resolved */
    struct hf_answer answer;
    struct hf_chosen_ids chosen;
    struct hf_expectation expected;
};

/* Notes what is wrong, and returns it. */
__attribute__((format(printf, 2, 3))) const char *hf_trial_wrong(struct hf_trial *trial,
                                                                 const char *format, ...);

/* Nothing if nobody reads it. */
void hf_trial_print_reservation(const struct hf_trial *trial, const char *before,
                                const struct hf_reservation *reservation);

/* The server may have forgotten it. */
bool hf_trial_retention_is_over(const struct hf_trial *trial, const struct hf_reservation *one);

/* Where the server may have forgotten the hold that it tells a link to, as `actual` has it. */
void hf_trial_loosen_link(const struct hf_trial *trial, struct hf_reservation *expected,
                          const struct hf_reservation *actual);

/* Asks, and follows what the log says. NULL, or what is wrong. */
const char *hf_trial_ask_and_follow(struct hf_trial *trial, const struct hf_request *request);

/* The answer, against trial->expected. Likewise. */
const char *hf_trial_check_answer(struct hf_trial *trial, const struct hf_request *request);
const char *hf_trial_check_version(struct hf_trial *trial, const struct hf_inventory *read);

/* Everything that the server holds, and then what some filter, by the dice, lets pass. Likewise. */
const char *hf_trial_compare_state(struct hf_trial *trial, uint32_t dice);

#endif
