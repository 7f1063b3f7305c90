/*
 * Random operations against the reference model.
 *
 *     model [--operations N] [--seed S] [--seeds N] [--subject engine|locked] [--mistake N]
 *           [--coverage]
 *
 * Each seed is a run of N operations, in episodes: a subject and a model that begin with nothing,
 * and get some thousand steps (workload.h), each of which is compared (trial.h). At the end it says
 * how often each operation had each result; in a run of a million operations, one that the table
 * below demands and that never came is a failure.
 *
 * A difference ends the run. The steps that led to it are then made fewer: some are left out, and if
 * the rest fails still, they stay out (delta debugging). What is left is printed, step by step, with
 * every answer; what was expected stands beside what was answered.
 *
 * --mistake makes the subject err on purpose (subject_locked.c); the run then succeeds if that was
 * found, and fails if not.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/model/trial.h"

#define EPISODE_STEPS    6000u
#define RETAIN_NS        (600 * HF_NS_PER_S)
#define SHRINK_NS        (20 * HF_NS_PER_S)
#define PRINTED_STEPS    30u
#define FULL_RUN         1000000u /* from here on, the coverage is demanded */
#define EXIT_DIFFERENCE  1
#define EXIT_NOT_COVERED 3
#define EXIT_NOT_FOUND   4

static struct program {
    const struct hf_subject *subject;
    unsigned mistake;
    uint64_t operations, seed, seeds;
    bool print_coverage;
    struct hf_coverage coverage;
    struct hf_steps steps; /* of the episode */
    struct hf_trial *trial;
} program;

/* ---- what must have been seen ---- */

/* Each result that each operation must have had, in a full run. */
static const struct demand {
    enum hf_operation operation;
    const uint16_t *results; /* up to 0 */
} demands[] = {
#define CLAIM                                                                                      \
    HF_ID_REUSED, HF_TOO_LATE, HF_UNKNOWN_INVENTORY, HF_VERSION_MISMATCH, HF_NOT_OPEN, HF_CLOSED,  \
        HF_PAUSED, HF_QTY_NOT_ALLOWED, HF_CUSTOMER_LIMIT, HF_BAD_FIELD
#define CHANGE_NO HF_NOT_FOUND, HF_WRONG_STATE, HF_SEQUENCE_MISMATCH, HF_BAD_FIELD
#define GROWTH                                                                                     \
    HF_NOT_OPEN, HF_CLOSED, HF_PAUSED, HF_QTY_NOT_ALLOWED, HF_CUSTOMER_LIMIT, HF_WAITING_LIST,     \
        HF_SOLD_OUT
#define RESULTS(...)                                                                               \
    (const uint16_t[])                                                                             \
    {                                                                                              \
        __VA_ARGS__, 0                                                                             \
    }
    {HF_OP_RESERVE, RESULTS(HF_GRANTED, CLAIM, HF_WAITING_LIST, HF_SOLD_OUT)},
    {HF_OP_HOLD, RESULTS(HF_GRANTED, CLAIM, HF_TTL_NOT_ALLOWED, HF_WAITING_LIST, HF_SOLD_OUT)},
    {HF_OP_JOIN, RESULTS(HF_JOINED, CLAIM, HF_NOT_SOLD_OUT, HF_WAITING_FULL)},
    {HF_OP_CONFIRM, RESULTS(HF_CONFIRMED, CHANGE_NO, HF_HOLD_EXPIRED, HF_ID_REUSED, GROWTH)},
    {HF_OP_RELEASE, RESULTS(HF_RELEASED, CHANGE_NO, HF_HOLD_EXPIRED)},
    {HF_OP_CANCEL, RESULTS(HF_CANCELLED, HF_RELEASED, HF_LEFT, HF_NOT_FOUND, HF_HOLD_EXPIRED,
                           HF_SEQUENCE_MISMATCH, HF_CANCEL_TOO_LATE, HF_BAD_FIELD)},
    {HF_OP_EXTEND, RESULTS(HF_EXTENDED, CHANGE_NO, HF_HOLD_EXPIRED, HF_TTL_NOT_ALLOWED)},
    {HF_OP_CHANGE, RESULTS(HF_CHANGED, HF_CANCELLED, HF_RELEASED, HF_LEFT, CHANGE_NO,
                           HF_HOLD_EXPIRED, HF_CANCEL_TOO_LATE, GROWTH)},
    {HF_OP_MOVE, RESULTS(HF_MOVED, CHANGE_NO, HF_HOLD_EXPIRED, HF_CUSTOMER_LIMIT)},
    {HF_OP_LEAVE, RESULTS(HF_LEFT, CHANGE_NO)},
    {HF_OP_BATCH, RESULTS(HF_BATCH_DONE, CLAIM, HF_TTL_NOT_ALLOWED, HF_WAITING_LIST, HF_SOLD_OUT,
                          HF_NOT_SOLD_OUT, HF_WAITING_FULL, HF_NOT_FOUND, HF_WRONG_STATE,
                          HF_SEQUENCE_MISMATCH, HF_HOLD_EXPIRED, HF_CANCEL_TOO_LATE)},
    {HF_OP_INVENTORY_CREATE, RESULTS(HF_CREATED, HF_INVENTORY_EXISTS, HF_INVENTORIES_FULL)},
    {HF_OP_INVENTORY_SET,
     RESULTS(HF_SET, HF_UNKNOWN_INVENTORY, HF_VERSION_MISMATCH, HF_BAD_FIELD, HF_BELOW_SOLD)},
    {HF_OP_INVENTORY_GET, RESULTS(HF_FOUND, HF_UNKNOWN_INVENTORY)},
    {HF_OP_INVENTORY_SETTINGS, RESULTS(HF_FOUND, HF_UNKNOWN_INVENTORY)},
    {HF_OP_RESERVATION_GET, RESULTS(HF_FOUND, HF_NOT_FOUND)},
};

static void print_coverage(void)
{
    const struct hf_coverage *coverage = &program.coverage;
    for (unsigned operation = 0; operation < 64; operation++) {
        bool any = false;
        for (unsigned result = 0; result < HF_TRIAL_RESULTS; result++) {
            if (coverage->counts[operation][result] == 0)
                continue;
            if (!any)
                printf("%s:", hf_operation_name((enum hf_operation)operation));
            printf(" %s %" PRIu64, hf_result_name(result), coverage->counts[operation][result]);
            any = true;
        }
        if (any)
            putchar('\n');
    }
}

/* How many demanded results never came; says which. */
static unsigned count_missing(void)
{
    unsigned missing = 0;
    for (size_t i = 0; i < sizeof demands / sizeof *demands; i++) {
        for (const uint16_t *result = demands[i].results; *result != 0; result++) {
            if (program.coverage.counts[demands[i].operation][*result] != 0)
                continue;
            fprintf(stderr, "model: %s never had the result %s\n",
                    hf_operation_name(demands[i].operation), hf_result_name(*result));
            missing++;
        }
    }
    return missing;
}

/* ---- an episode ---- */

static struct hf_id symbol_of(void *context, const struct hf_id *id)
{
    (void)context;
    return hf_trial_symbol_of(program.trial, id);
}

static struct hf_trial *open_trial(uint64_t seed, struct hf_coverage *coverage, FILE *out)
{
    return hf_trial_open(program.subject, program.mistake, seed, RETAIN_NS, coverage, out);
}

/* Random steps until `count` are done or one shows a difference. True: none did. */
static bool run_episode(uint64_t seed, uint32_t count)
{
    struct hf_workload workload;
    const char *error = NULL;
    hf_workload_init(&workload, seed, RETAIN_NS);
    workload.symbol_of = symbol_of;
    program.trial = open_trial(seed, &program.coverage, NULL);
    hf_steps_clear(&program.steps);
    while (error == NULL && program.steps.count < count) {
        const struct hf_step *step =
            hf_workload_next(&workload, hf_trial_world(program.trial), &program.steps);
        error = hf_trial_step(program.trial, step, program.steps.lines);
    }
    if (error)
        fprintf(stderr, "model: %s (%s, seed %" PRIu64 ", step %u)\n", error, program.subject->name,
                seed, program.steps.count - 1);
    hf_trial_close(program.trial);
    return error == NULL;
}

/* ---- a difference, made small ---- */

/* Steps by number: those that are left. */
struct selection {
    uint32_t *numbers;
    uint32_t count;
};

/* Does the selected steps again. The place of the one that shows a difference; count: none. */
static uint32_t run_selection(const struct selection *selection, uint64_t seed, FILE *out,
                              uint32_t print_from)
{
    const char *error = NULL;
    uint32_t place = 0;
    struct hf_trial *trial = open_trial(seed, NULL, print_from == 0 ? out : NULL);
    for (; place < selection->count; place++) {
        const struct hf_step *step = &program.steps.steps[selection->numbers[place]];
        if (place == print_from)
            hf_trial_print(trial, out);
        error = hf_trial_step(trial, step, program.steps.lines);
        if (error)
            break;
    }
    if (error && out)
        fprintf(out, "model: %s\n", error);
    hf_trial_close(trial);
    return place;
}

/* Leaves out `length` steps from `from` on, if the rest shows a difference still. */
static bool leave_out(struct selection *selection, uint32_t from, uint32_t length, uint64_t seed)
{
    struct selection rest = {.count = selection->count - length};
    rest.numbers = malloc(rest.count * sizeof *rest.numbers + 1);
    HF_CHECK(rest.numbers);
    memcpy(rest.numbers, selection->numbers, from * sizeof *rest.numbers);
    memcpy(rest.numbers + from, selection->numbers + from + length,
           (rest.count - from) * sizeof *rest.numbers);
    uint32_t place = run_selection(&rest, seed, NULL, UINT32_MAX);
    bool fails = place < rest.count;
    if (fails) {
        selection->count = place + 1; /* what came after the difference is not needed */
        memcpy(selection->numbers, rest.numbers, selection->count * sizeof *rest.numbers);
    }
    free(rest.numbers);
    return fails;
}

/* Delta debugging: ever smaller pieces are left out, as long as there is time. */
static void shrink(struct selection *selection, uint64_t seed)
{
    uint64_t until_ns = hf_monotonic_now_ns() + SHRINK_NS;
    for (uint32_t length = selection->count / 2; length > 0;) {
        bool shrunk = false;
        for (uint32_t from = 0; from + length < selection->count;) {
            if (hf_monotonic_now_ns() > until_ns)
                return;
            if (leave_out(selection, from, length, seed))
                shrunk = true;
            else
                from += length;
        }
        if (!shrunk || length > 1)
            length = shrunk && length == 1 ? 1 : length / 2;
    }
}

/* The steps up to the one that showed the difference, fewer, and printed. */
static void report(uint64_t seed)
{
    struct selection selection = {.count = program.steps.count};
    selection.numbers = malloc(selection.count * sizeof *selection.numbers);
    HF_CHECK(selection.numbers);
    for (uint32_t i = 0; i < selection.count; i++)
        selection.numbers[i] = i;
    if (run_selection(&selection, seed, NULL, UINT32_MAX) == selection.count)
        fputs("model: done again, the same steps show no difference\n", stderr);
    else
        shrink(&selection, seed);
    uint32_t from = selection.count > PRINTED_STEPS ? selection.count - PRINTED_STEPS : 0;
    fprintf(stderr, "model: %u steps are enough; the last of them:\n", selection.count);
    run_selection(&selection, seed, stderr, from);
    free(selection.numbers);
}

/* ---- runs ---- */

/* `operations` steps from one seed. True: no difference. */
static bool run_seed(uint64_t seed)
{
    uint64_t left = program.operations;
    for (uint64_t episode = 0; left > 0; episode++) {
        uint32_t count = left < EPISODE_STEPS ? (uint32_t)left : EPISODE_STEPS;
        uint64_t episode_seed = seed + episode * 1000003;
        if (!run_episode(episode_seed, count)) {
            fprintf(stderr, "model: run again with --seed %" PRIu64 " --operations %u\n",
                    episode_seed, EPISODE_STEPS);
            if (program.mistake == 0)
                report(episode_seed);
            return false;
        }
        left -= count;
    }
    return true;
}

static _Noreturn void refuse_options(void)
{
    fputs("usage: model [--operations N] [--seed S] [--seeds N] [--subject engine|locked]\n"
          "             [--mistake N] [--coverage]\n",
          stderr);
    exit(2);
}

static void read_options(int argc, char **argv)
{
    program.subject = &hf_subject_engine;
    program.operations = 100000;
    program.seed = hf_date_now_ns() / HF_NS_PER_MS % 1000000000;
    program.seeds = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--coverage") == 0) {
            program.print_coverage = true;
            continue;
        }
        if (i + 1 == argc)
            refuse_options();
        const char *name = argv[i], *value = argv[++i];
        if (strcmp(name, "--operations") == 0)
            program.operations = strtoull(value, NULL, 10);
        else if (strcmp(name, "--seed") == 0)
            program.seed = strtoull(value, NULL, 10);
        else if (strcmp(name, "--seeds") == 0)
            program.seeds = strtoull(value, NULL, 10);
        else if (strcmp(name, "--mistake") == 0)
            program.mistake = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(name, "--subject") == 0)
            program.subject = hf_subject_named(value);
        else
            refuse_options();
    }
    if (program.subject == NULL || program.mistake > program.subject->mistakes)
        refuse_options();
}

static int judge(bool same)
{
    const struct hf_coverage *coverage = &program.coverage;
    if (program.mistake != 0) {
        if (same)
            fprintf(stderr, "model: mistake %u was not found\n", program.mistake);
        return same ? EXIT_NOT_FOUND : 0;
    }
    if (!same)
        return EXIT_DIFFERENCE;
    if (program.print_coverage)
        print_coverage();
    if (coverage->steps >= FULL_RUN && count_missing() != 0)
        return EXIT_NOT_COVERED;
    printf("model: ok: %s: %" PRIu64 " steps, %" PRIu64 " batch lines, %" PRIu64
           " expiries, %" PRIu64 " offers, %" PRIu64 " dropped from lists, %" PRIu64
           " forgotten, %" PRIu64 " crashes, %" PRIu64 " whole states (seed %" PRIu64 ")\n",
           program.subject->name, coverage->steps, coverage->batch_lines, coverage->expiries,
           coverage->offers, coverage->drops, coverage->forgotten, coverage->crashes,
           coverage->comparisons, program.seed);
    return 0;
}

int main(int argc, char **argv)
{
    bool same = true;
    read_options(argc, argv);
    for (uint64_t i = 0; same && i < program.seeds; i++)
        same = run_seed(program.seed + i);
    hf_steps_close(&program.steps);
    return judge(same);
}
