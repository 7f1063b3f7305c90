/*
 * The proof of the engine, in short form: random operations against the reference model, concurrent
 * histories against a sequential order (`make model` takes longer). And what finds mistakes is made
 * to find some: each planted one, and all that a search through every order would find.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/process.h"
#include "tests/lib/stress.h"
#include "tests/model/linearize.h"

/* ---- the programs ---- */

static void run(const char *name, const char *const arguments[])
{
    char path[HF_PROGRAM_TEXT_BYTES];
    char output[8192];
    const char *argv[16] = {path};
    hf_program_path(name, path);
    for (unsigned i = 0; arguments[i]; i++)
        argv[i + 1] = arguments[i];
    int status = hf_process_run(argv, output, sizeof output);
    cr_expect(status == 0, "%s ended with status %d: %s", name, status, output);
    /* Its last line tells what was done, and the seed with which it can be done again. */
    size_t length = strlen(output);
    if (length != 0 && output[length - 1] == '\n')
        output[length - 1] = '\0';
    const char *last = strrchr(output, '\n');
    fprintf(stderr, "%s\n", last != NULL ? last + 1 : output);
}

#define RUN(name, ...) run(name, (const char *const[]){__VA_ARGS__, NULL})

Test(model_run, every_answer_and_every_state_is_the_models, .timeout = 300)
{
    RUN("model", "--operations", "1000000");
}

Test(model_run, each_planted_mistake_is_found, .timeout = 300)
{
    /* As many as tests/model/subject_locked.c can make. */
    for (unsigned mistake = 1; mistake <= 10; mistake++) {
        char text[16];
        snprintf(text, sizeof text, "%u", mistake);
        RUN("model", "--operations", "1000000", "--subject", "locked", "--mistake", text);
    }
}

Test(model_run, concurrent_histories_have_a_sequential_order, .timeout = 300)
{
    RUN("linearizability", "--threads", "2", "--seconds", "2");
    RUN("linearizability", "--threads", "4", "--seconds", "2");
    RUN("linearizability", "--threads", "8", "--seconds", "2");
}

Test(model_run, take_and_undo_is_found_out, .timeout = 300)
{
    RUN("linearizability", "--threads", "2", "--seconds", "20", "--take-and-undo");
    RUN("linearizability", "--threads", "4", "--seconds", "20", "--take-and-undo");
}

/* ---- the search, on a machine of the fewest parts ---- */

#define UNITS     2
#define MOST      5u
#define HISTORIES 30000u

enum kind { TAKE, GIVE, READ, PUT };

/* Units that are taken, given, or put to a number, so that their order matters. The answer: TAKE 1
 * or 0 (refused), GIVE 1, READ and PUT how many. */
struct counter {
    int units;
    int undo[64]; /* what they were */
    size_t changes;
    struct call {
        enum kind kind;
        int answer;
    } calls[MOST];
};

static bool answers(struct counter *counter, const struct call *call)
{
    if (call->kind == READ)
        return call->answer == counter->units;
    if (call->kind == TAKE && counter->units == 0)
        return call->answer == 0;
    if (call->kind != PUT && call->answer != 1)
        return false;
    counter->undo[counter->changes++] = counter->units;
    if (call->kind == PUT)
        counter->units = call->answer;
    else
        counter->units += call->kind == GIVE ? 1 : -1;
    return true;
}

static bool apply(void *context, uint32_t operation)
{
    struct counter *counter = context;
    return answers(counter, &counter->calls[operation]);
}

static size_t mark(void *context)
{
    return ((struct counter *)context)->changes;
}

static void rollback(void *context, size_t to)
{
    struct counter *counter = context;
    while (counter->changes > to)
        counter->units = counter->undo[--counter->changes];
}

static uint64_t hash(void *context)
{
    return (uint64_t)((struct counter *)context)->units;
}

static enum hf_verdict search(struct counter *counter, const struct hf_interval *intervals,
                              uint32_t count, struct hf_search *found)
{
    const struct hf_machine machine = {
        .context = counter, .apply = apply, .mark = mark, .rollback = rollback, .hash = hash};
    return hf_linearize(&machine, intervals, count, 100000, found);
}

static enum hf_verdict verdict_of(const struct call *calls, const struct hf_interval *intervals,
                                  uint32_t count)
{
    struct counter counter = {.units = UNITS};
    struct hf_search found;
    for (uint32_t i = 0; i < count; i++)
        counter.calls[i] = calls[i];
    return search(&counter, intervals, count, &found);
}

/* True if some order of those that are left (a bit each) fits: all of them are tried. */
static bool some_order_fits(struct counter *counter, const struct hf_interval *intervals,
                            uint32_t count, uint32_t left)
{
    if (left == 0)
        return true;
    for (uint32_t i = 0; i < count; i++) {
        bool first = left >> i & 1;
        for (uint32_t j = 0; j < count; j++)
            first &= !(left >> j & 1) || intervals[j].responded > intervals[i].invoked;
        size_t before = counter->changes;
        if (first && answers(counter, &counter->calls[i]) &&
            some_order_fits(counter, intervals, count, left & ~(1u << i)))
            return true;
        rollback(counter, before);
    }
    return false;
}

Test(linearize, a_refusal_after_units_came_back_is_a_lie)
{
    const struct call calls[] = {{TAKE, 1}, {TAKE, 1}, {GIVE, 1}, {TAKE, 0}};
    const struct hf_interval after[] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}};
    const struct hf_interval meanwhile[] = {{1, 2}, {3, 4}, {5, 7}, {6, 8}};
    cr_expect_eq(verdict_of(calls, after, 4), HF_NOT_LINEARIZABLE);
    cr_expect_eq(verdict_of(calls, meanwhile, 4), HF_LINEARIZABLE);
}

Test(linearize, a_refusal_for_units_that_another_only_tried_to_take_is_a_lie)
{
    /* The second was refused while the first held both units, and the first was refused then. */
    const struct call calls[] = {{READ, 2}, {TAKE, 0}, {READ, 2}};
    const struct hf_interval intervals[] = {{1, 6}, {2, 3}, {4, 5}};
    cr_expect_eq(verdict_of(calls, intervals, 3), HF_NOT_LINEARIZABLE);
}

Test(linearize, what_ended_before_another_began_stays_before_it)
{
    const struct call calls[] = {{READ, 1}, {TAKE, 1}};
    const struct hf_interval before[] = {{1, 2}, {3, 4}};
    const struct hf_interval overlapping[] = {{1, 3}, {2, 4}};
    cr_expect_eq(verdict_of(calls, before, 2), HF_NOT_LINEARIZABLE);
    cr_expect_eq(verdict_of(calls, overlapping, 2), HF_LINEARIZABLE);
}

Test(linearize, the_order_that_is_found_is_one)
{
    struct counter counter = {.units = UNITS,
                              .calls = {{READ, 0}, {TAKE, 1}, {TAKE, 1}, {GIVE, 1}, {READ, 2}}};
    const struct hf_interval intervals[] = {{1, 20}, {2, 19}, {3, 18}, {4, 17}, {5, 6}};
    struct hf_search found;
    cr_assert_eq(search(&counter, intervals, 5, &found), HF_LINEARIZABLE);
    cr_assert_eq(found.order_count, 5);
    struct counter again = {.units = UNITS};
    for (uint32_t i = 0; i < 5; i++)
        cr_expect(answers(&again, &counter.calls[found.order[i]]), "place %u", i);
}

/* Random intervals: `2 * count` stamps dealt out in random order. */
static void deal(struct hf_random *random, struct hf_interval *intervals, uint32_t count)
{
    uint64_t stamps[2 * MOST] = {0};
    for (uint32_t i = 0; i < 2 * count; i++)
        stamps[i] = i + 1;
    for (uint32_t i = 2 * count - 1; i > 0; i--) {
        uint32_t other = hf_random_below(random, i + 1);
        uint64_t stamp = stamps[i];
        stamps[i] = stamps[other];
        stamps[other] = stamp;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t one = stamps[2 * i], two = stamps[2 * i + 1];
        intervals[i] = one < two ? (struct hf_interval){one, two} : (struct hf_interval){two, one};
    }
}

static struct call some_call(struct hf_random *random)
{
    struct call call = {.kind = (enum kind)hf_random_below(random, 4), .answer = 1};
    if (call.kind == TAKE)
        call.answer = !hf_random_chance(random, 30);
    else if (call.kind != GIVE)
        call.answer = (int)hf_random_below(random, 4);
    return call;
}

Test(linearize, the_search_agrees_with_trying_every_order)
{
    struct hf_random random = hf_random_for(20260102, 3);
    uint32_t fitting = 0;
    for (uint32_t i = 0; i < HISTORIES; i++) {
        struct counter counter = {.units = UNITS};
        struct hf_interval intervals[MOST];
        struct hf_search found;
        uint32_t count = 2 + hf_random_below(&random, MOST - 1);
        for (uint32_t j = 0; j < count; j++)
            counter.calls[j] = some_call(&random);
        deal(&random, intervals, count);
        bool fits = some_order_fits(&counter, intervals, count, (1u << count) - 1);
        rollback(&counter, 0);
        enum hf_verdict verdict = search(&counter, intervals, count, &found);
        fitting += fits;
        cr_assert_eq(verdict, fits ? HF_LINEARIZABLE : HF_NOT_LINEARIZABLE, "history %u", i);
    }
    cr_expect(fitting > HISTORIES / 20 && fitting < HISTORIES - HISTORIES / 20,
              "%u of the histories fit: too few of one kind", fitting);
}
