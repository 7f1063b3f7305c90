/* The exhaustive scenario; see scenario.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/scenario.h"

#define CHANGES_MAX   4096u
#define BRANCHES      3u /* of each instant */
#define START_CHANGES 10u

/* One of three is like any other. */
static void begin(struct hf_sim_life *life, const struct hf_sim_setting *setting, uint64_t seed)
{
    hf_sim_life_begin(life, setting, seed, &(struct hf_sim_wish){.busy = seed % 3 != 0});
}

/* The life as it goes if nothing stops it. */
static const char *live(struct hf_sim_life *life)
{
    const char *error = hf_sim_life_start(life, false);
    if (error == NULL)
        error = hf_sim_life_run(life, 60 + hf_random_below(&life->random, 120));
    if (error == NULL && !life->disk.dead)
        error = hf_sim_life_stop(life);
    if (error == NULL && !life->disk.dead)
        error = hf_sim_life_start(life, false);
    if (error == NULL && !life->disk.dead)
        error = hf_sim_life_run(life, hf_random_below(&life->random, 20));
    if (error == NULL && !life->disk.dead)
        error = hf_sim_life_stop(life);
    /* A start that was cut short is none. */
    return life->disk.dead ? NULL : error;
}

static const char *finish(struct hf_sim_life *life, const char *error, char *text,
                          size_t text_bytes)
{
    if (error != NULL)
        snprintf(text, text_bytes, "%s", error);
    hf_sim_life_end(life);
    return error != NULL ? text : NULL;
}

/* One way in which this instant may have ended: with a start that may be cut short once more. */
static const char *try_branch(struct hf_sim_life *branch, uint32_t number)
{
    hf_sim_life_crash(branch, number % 3 == 2 ? HF_SIM_KILL : HF_SIM_POWER);
    branch->disk.die_at = branch->disk.changes + hf_random_below(&branch->random, START_CHANGES);
    int result = hf_sim_life_try(branch);
    if (branch->disk.dead) {
        branch->coverage->crashes_in_recovery++;
        hf_sim_life_crash(branch, number % 2 == 0 ? HF_SIM_KILL : HF_SIM_POWER);
        result = hf_sim_life_try(branch);
    }
    branch->disk.die_at = HF_SIM_NEVER;
    if (result != 0)
        return hf_sim_life_wrong(branch, "refused to start: %s", branch->server.error);
    const char *error = hf_sim_life_prove(branch);
    if (error != NULL || number % 3 != 2)
        return error;
    /* What a killed process left, and was built upon, is there after a power failure, too. */
    error = hf_sim_life_ask_plainly(branch, number);
    if (error != NULL)
        return error;
    hf_sim_life_crash(branch, HF_SIM_POWER);
    if (hf_sim_life_try(branch) != 0)
        return hf_sim_life_wrong(branch, "refused to start: %s", branch->server.error);
    return hf_sim_life_prove(branch);
}

/* The life up to this change, and what may follow. */
static const char *die_in(const struct hf_sim_setting *setting, uint64_t seed, uint64_t change,
                          uint64_t trace, char *text, size_t text_bytes)
{
    static struct hf_sim_life life, branch;
    begin(&life, setting, seed);
    life.disk.die_at = change;
    const char *error = live(&life);
    hf_sim_life_stop_dead(&life);
    if (error == NULL && (life.disk.changes != change + 1 || life.disk.trace != trace))
        error = hf_sim_life_wrong(&life, "done again, change %" PRIu64 " is another", change);
    for (uint32_t i = 0; i < BRANCHES && error == NULL; i++) {
        char branch_text[sizeof branch.text];
        hf_sim_life_branch(&branch, &life, change * BRANCHES + i);
        error = finish(&branch, try_branch(&branch, i), branch_text, sizeof branch_text);
        if (error != NULL)
            error = hf_sim_life_wrong(&life, "dead in change %" PRIu64 ", branch %u: %s", change, i,
                                      branch_text);
    }
    hf_sim_life_crash(&life, HF_SIM_POWER);
    if (error == NULL)
        error = hf_sim_life_start(&life, true);
    if (error == NULL)
        error = hf_sim_life_run(&life, 10);
    return finish(&life, error, text, text_bytes);
}

const char *hf_sim_exhaustive(const struct hf_sim_setting *setting, uint64_t seed, uint64_t stride,
                              char *text, size_t text_bytes)
{
    static struct hf_sim_life life;
    uint64_t *traces = calloc(CHANGES_MAX, sizeof *traces);
    HF_CHECK(traces != NULL);
    begin(&life, setting, seed);
    life.disk.traces = traces;
    life.disk.trace_room = CHANGES_MAX;
    const char *error = live(&life);
    uint64_t changes = life.disk.changes;
    HF_CHECK(changes <= CHANGES_MAX);
    error = finish(&life, error, text, text_bytes);
    for (uint64_t change = seed % stride; change < changes && error == NULL; change += stride)
        error = die_in(setting, seed, change, traces[change], text, text_bytes);
    if (error == NULL)
        setting->coverage->replays += changes / stride;
    free(traces);
    return error;
}
