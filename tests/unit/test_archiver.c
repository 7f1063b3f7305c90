/*
 * The archiver in steps: commands are a function of the test's, time is a number, the disk is in
 * memory. What real commands do is shown in test_archiver_shell.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/atomics.h"
#include "tests/lib/memory_io.h"
#include "wal/archived.h"
#include "wal/archiver.h"

#define DIRECTORY  "memory"
#define START_NS   (1000 * HF_NS_PER_S)
#define DATE_NS    (1700000000 * HF_NS_PER_S) /* when the machine was booted */
#define NAMES_MAX  512
#define LINES_MAX  64
#define SEGMENT(n) "000000000000000" #n ".wal"

static struct hf_memory_io memory;
static struct hf_archiver *archiver;
static struct hf_archiver_options options;
static const struct hf_server_clock server_clock = {DATE_NS};
static char error[HF_ARCHIVER_ERROR_BYTES];
static uint64_t now_ns;

/* The command: what it was called for, and what it answers. */
static struct {
    char names[NAMES_MAX][HF_ARCHIVER_NAME_BYTES]; /* one for each attempt */
    uint32_t attempts;
    bool under_way;    /* an attempt */
    uint32_t slow;     /* looks until it ends */
    int status;        /* with which it does */
    const char *words; /* that it says then */
} run;

static char lines[LINES_MAX][512]; /* what was reported */
static uint32_t line_count;
static uint32_t calls_back;           /* of on_archived() */
static uint64_t archived_at_call;     /* what hf_archiver_archived() said then */
static uint64_t succeeded[NAMES_MAX]; /* segments that the command took, in order */
static uint32_t succeeded_count;

static bool run_fake(void *context, const char *name, struct hf_command_end *end)
{
    cr_expect_eq(context, &run);
    if (!run.under_way) {
        cr_assert_lt(run.attempts, NAMES_MAX);
        snprintf(run.names[run.attempts++], HF_ARCHIVER_NAME_BYTES, "%s", name);
    }
    cr_expect_str_eq(run.names[run.attempts - 1], name, "another file while one is under way");
    run.under_way = run.slow > 0;
    if (run.slow > 0) {
        run.slow--;
        return false;
    }
    end->status = run.status;
    snprintf(end->text, sizeof end->text, "%s", run.status != 0 ? run.words : "");
    unsigned long long number = 0;
    if (run.status == 0 && sscanf(name, "%llu.wal", &number) == 1 && strstr(name, ".wal"))
        succeeded[succeeded_count++] = number;
    return true;
}

static void note_archived(void *context)
{
    (void)context;
    calls_back++;
    archived_at_call = hf_archiver_archived(archiver);
}

static void note_line(void *context, const char *line)
{
    (void)context;
    cr_assert_lt(line_count, LINES_MAX);
    snprintf(lines[line_count++], sizeof lines[0], "%s", line);
}

/* A command that fails with the next text, and nobody to be told. */
static bool fail_anew(void *context, const char *name, struct hf_command_end *end)
{
    static uint64_t count;
    (void)name;
    const char(*texts)[HF_COMMAND_END_BYTES] = context;
    end->status = 1;
    memcpy(end->text, texts[++count % 26], sizeof end->text);
    return true;
}

static void drop_line(void *context, const char *line)
{
    (void)context;
    (void)line;
}

static void open_memory(void)
{
    hf_memory_io_init(&memory);
    memset(&run, 0, sizeof run);
    run.words = "exit status 1: oh";
    line_count = calls_back = succeeded_count = 0;
    now_ns = START_NS;
    options = (struct hf_archiver_options){
        .io = &memory.io,
        .directory = DIRECTORY,
        .command = "cp %p",
        .log_id = {7, 7, 7},
        .first_segment = 1,
        .clock = &server_clock,
        .manual = true,
        .run = run_fake,
        .on_archived = note_archived,
        .report = note_line,
        .context = &run,
    };
}

static void close_memory(void)
{
    cr_expect_eq(hf_memory_io_open_count(&memory), 0, "a file was left open");
    hf_memory_io_close(&memory);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(archiver, .init = open_memory, .fini = close_memory);

static void open_archiver(void)
{
    cr_assert_eq(hf_archiver_open(&archiver, &options, error), 0, "%s", error);
}

static void close_archiver(void)
{
    hf_archiver_close(archiver);
    archiver = NULL;
    run.under_way = false;
    run.slow = 0;
}

/* As a server that goes on where it was: its oldest and its newest full segment. */
static void open_with(uint64_t first_segment, uint64_t full_segment)
{
    options.first_segment = first_segment;
    options.full_segment = full_segment;
    open_archiver();
}

static uint64_t step(void)
{
    return hf_archiver_step(archiver, now_ns);
}

/* Steps, at this time, until nothing is to be done now. When to go on. */
static uint64_t settle(void)
{
    uint64_t again_ns = step();
    for (int i = 0; i < 1000 && again_ns <= now_ns; i++)
        again_ns = step();
    cr_assert_gt(again_ns, now_ns);
    return again_ns;
}

static struct hf_archiver_status status_now(void)
{
    struct hf_archiver_status status;
    hf_archiver_describe(archiver, &status);
    return status;
}

/* A snapshot's file, empty. */
static void make_file(const char *name)
{
    int file = memory.io.open_file(&memory.io, DIRECTORY, name, HF_IO_CREATE);
    cr_assert(file >= 0);
    memory.io.close_file(&memory.io, file);
}

static void finish_snapshot(uint64_t last_lsn)
{
    char name[HF_ARCHIVER_NAME_BYTES];
    snprintf(name, sizeof name, "%016llu.snapshot", (unsigned long long)last_lsn);
    make_file(name);
    hf_archiver_snapshot(archiver, last_lsn);
}

/* These files were handed to the command since the last time. */
static void expect_attempts(uint32_t count, const char *const names[])
{
    cr_expect_eq(run.attempts, count, "%u attempts", run.attempts);
    for (uint32_t i = 0; i < count && i < run.attempts; i++)
        cr_expect_str_eq(run.names[i], names[i], "attempt %u: %s", i, run.names[i]);
    run.attempts = 0;
}
#define EXPECT_ATTEMPTS(...)                                                                       \
    expect_attempts(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),                   \
                    (const char *const[]){__VA_ARGS__})

/* One line was reported since the last time, and it says this; NULL: none was. */
static void expect_line(const char *words)
{
    cr_expect_eq(line_count, words != NULL, "%u lines: %s", line_count, lines[0]);
    if (words != NULL && line_count != 0)
        cr_expect(strstr(lines[0], words), "%s", lines[0]);
    line_count = 0;
}

/* ---- without a command ---- */

Test(archiver, without_a_command_everything_counts_as_archived)
{
    options.command = NULL;
    open_archiver();
    hf_archiver_full(archiver, 3);
    hf_archiver_snapshot(archiver, 99);
    cr_expect_eq(step(), HF_ARCHIVER_NEVER);
    cr_expect_eq(hf_archiver_archived(archiver), HF_ARCHIVER_NEVER);
    cr_expect_eq(hf_archiver_archived_snapshot(archiver), HF_ARCHIVER_NEVER);
    struct hf_archiver_status status = status_now();
    cr_expect_eq(status.enabled, 0);
    cr_expect_eq(status.waiting_segments, 0);
    cr_expect_eq(run.attempts, 0);
    cr_expect_eq(memory.file_count, 0);
    close_archiver();
}

Test(archiver, a_command_that_cannot_be_expanded_is_refused)
{
    static const char *const wrong[] = {"", "cp %q", "cp %"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        options.command = wrong[i];
        cr_expect_eq(hf_archiver_open(&archiver, &options, error), -EINVAL);
        cr_expect(strstr(error, "--archive-command: the command"), "%s", error);
    }
}

/* ---- order ---- */

Test(archiver, segments_are_archived_in_order_and_not_before_they_are_full)
{
    open_archiver();
    cr_expect_eq(settle(), HF_ARCHIVER_NEVER);
    cr_expect_eq(hf_archiver_archived(archiver), 0);
    hf_archiver_full(archiver, 1);
    hf_archiver_full(archiver, 3);
    hf_archiver_full(archiver, 2); /* told late */
    cr_expect_eq(step(), now_ns, "there is more to do");
    cr_expect_eq(hf_archiver_archived(archiver), 1, "one a step");
    cr_expect_eq(calls_back, 1);
    cr_expect_eq(archived_at_call, 1, "it is told before");
    cr_expect_eq(settle(), HF_ARCHIVER_NEVER);
    EXPECT_ATTEMPTS(SEGMENT(1), SEGMENT(2), SEGMENT(3));
    cr_expect_eq(hf_archiver_archived(archiver), 3);
    cr_expect_eq(calls_back, 3);
    cr_expect_eq(settle(), HF_ARCHIVER_NEVER);
    cr_expect_eq(run.attempts, 0);
    expect_line(NULL);
    close_archiver();
}

Test(archiver, a_segment_is_archived_only_when_the_command_has_ended)
{
    /* A command that takes four looks. */
    open_archiver();
    hf_archiver_full(archiver, 2);
    run.slow = 4;
    for (int i = 0; i < 4; i++) {
        uint64_t again_ns = step();
        cr_expect(again_ns > now_ns && again_ns <= now_ns + HF_NS_PER_S);
        cr_expect_eq(hf_archiver_archived(archiver), 0);
        cr_expect_eq(status_now().running_since_ns, DATE_NS + START_NS);
        cr_expect_str_eq(status_now().file, SEGMENT(1));
        now_ns += HF_NS_PER_MS;
    }
    cr_expect_eq(run.attempts, 1);
    step();
    cr_expect_eq(hf_archiver_archived(archiver), 1);
    cr_expect_eq(status_now().running_since_ns, 0);
    settle();
    EXPECT_ATTEMPTS(SEGMENT(1), SEGMENT(2));
    close_archiver();
}

Test(archiver, what_was_full_before_the_start_is_archived_first)
{
    open_with(4, 6);
    cr_expect_eq(hf_archiver_archived(archiver), 3, "what is gone may be released");
    hf_archiver_full(archiver, 7);
    settle();
    EXPECT_ATTEMPTS(SEGMENT(4), SEGMENT(5), SEGMENT(6), SEGMENT(7));
    expect_line(NULL);
    close_archiver();
}

/* ---- failure ---- */

Test(archiver, a_failure_is_tried_again_after_1_2_4_and_at_last_60_seconds)
{
    static const unsigned pauses_s[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    open_archiver();
    hf_archiver_full(archiver, 1);
    run.status = 1;
    for (size_t i = 0; i < sizeof pauses_s / sizeof pauses_s[0]; i++) {
        uint64_t again_ns = settle();
        cr_expect_eq(again_ns, now_ns + pauses_s[i] * HF_NS_PER_S, "attempt %zu", i);
        cr_expect_eq(run.attempts, i + 1);
        cr_expect_eq(status_now().failures, i + 1);
        now_ns = again_ns - 1;
        cr_expect_eq(settle(), again_ns, "not before its time");
        cr_expect_eq(run.attempts, i + 1);
        now_ns = again_ns;
    }
    cr_expect_eq(hf_archiver_archived(archiver), 0);
    cr_expect_eq(calls_back, 0);
    for (uint32_t i = 0; i < run.attempts; i++)
        cr_expect_str_eq(run.names[i], SEGMENT(1));
    /* A success ends that: the next failure begins with a second again. */
    run.status = 0;
    settle();
    cr_expect_eq(hf_archiver_archived(archiver), 1);
    run.status = 1;
    hf_archiver_full(archiver, 2);
    cr_expect_eq(settle(), now_ns + HF_NS_PER_S);
    close_archiver();
}

Test(archiver, a_new_segment_does_not_cut_the_pause_short)
{
    open_archiver();
    hf_archiver_full(archiver, 1);
    run.status = 1;
    uint64_t again_ns = settle();
    hf_archiver_full(archiver, 2);
    finish_snapshot(5);
    cr_expect_eq(settle(), again_ns);
    cr_expect_eq(run.attempts, 1);
    close_archiver();
}

Test(archiver, a_failure_is_told_when_it_begins_when_it_changes_and_when_it_ends)
{
    open_archiver();
    hf_archiver_full(archiver, 2);
    run.status = 1;
    now_ns = settle();
    expect_line(SEGMENT(1) " is not archived: exit status 1: oh; ");
    now_ns = settle();
    now_ns = settle();
    expect_line(NULL);
    run.words = "exit status 1: now something else";
    now_ns = settle();
    expect_line("now something else");
    now_ns = settle();
    expect_line(NULL);
    run.status = 0;
    settle();
    expect_line("archived again: " SEGMENT(1) ", after 5 failed attempts");
    /* The same failure anew is told anew. */
    hf_archiver_full(archiver, 3);
    run.status = 1;
    settle();
    expect_line(SEGMENT(3) " is not archived");
    close_archiver();
}

Test(archiver, a_signal_and_a_failed_start_are_failures_too)
{
    open_archiver();
    hf_archiver_full(archiver, 1);
    run.status = 137;
    now_ns = settle();
    cr_expect_eq(status_now().failure_status, 137);
    run.status = -ENOENT;
    now_ns = settle();
    cr_expect_eq(status_now().failure_status, -ENOENT);
    cr_expect_eq(hf_archiver_archived(archiver), 0);
    close_archiver();
}

/* ---- what is told ---- */

Test(archiver, the_status_tells_all)
{
    open_with(3, 4);
    struct hf_archiver_status status = status_now();
    cr_expect_eq(status.enabled, 1);
    cr_expect_eq(status.segment, 2);
    cr_expect_eq(status.waiting_segments, 2);
    cr_expect_eq(status.succeeded_at_ns, 0);
    cr_expect_str_eq(status.file, "");
    cr_expect_str_eq(status.failure_text, "");

    step();
    finish_snapshot(50);
    now_ns += HF_NS_PER_S;
    run.status = 1;
    now_ns = settle();
    status = status_now();
    cr_expect_eq(status.segment, 3);
    cr_expect_eq(status.waiting_segments, 1);
    cr_expect_eq(status.waiting_snapshot, 50);
    cr_expect_eq(status.snapshot_lsn, 0);
    cr_expect_eq(status.running_since_ns, 0);
    cr_expect_eq(status.succeeded_at_ns, DATE_NS + START_NS);
    cr_expect_eq(status.failed_at_ns, DATE_NS + START_NS + HF_NS_PER_S);
    cr_expect_eq(status.failures, 1);
    cr_expect_eq(status.failure_status, 1);
    cr_expect_str_eq(status.failure_text, "exit status 1: oh");
    cr_expect_str_eq(status.file, SEGMENT(4));

    run.status = 0;
    settle();
    status = status_now();
    cr_expect_eq(status.segment, 4);
    cr_expect_eq(status.waiting_segments, 0);
    cr_expect_eq(status.waiting_snapshot, 0);
    cr_expect_eq(status.snapshot_lsn, 50);
    cr_expect_eq(hf_archiver_archived_snapshot(archiver), 50);
    cr_expect_eq(status.succeeded_at_ns, DATE_NS + now_ns);
    cr_expect_eq(status.failures, 0);
    cr_expect_str_eq(status.failure_text, "exit status 1: oh", "the last one is still known");
    cr_expect_str_eq(status.file, "");
    close_archiver();
}

static _Atomic uint32_t stop_looking;

/* What is described is what was true at one time: one text, and a count that only grows. */
static void *look_on(void *context)
{
    uint64_t looks = 0, before = 0;
    while (!hf_load_acquire(&stop_looking)) { /* pairs with the test */
        struct hf_archiver_status status = status_now();
        for (size_t i = 1; i < sizeof status.failure_text - 1; i++)
            cr_assert_eq(status.failure_text[i], status.failure_text[0], "torn");
        cr_assert(status.failure_text[0] == '\0' ||
                      status.failures % 26 == (uint64_t)(status.failure_text[0] - 'a'),
                  "of two times");
        cr_assert_geq(status.failures, before, "it went back");
        before = status.failures;
        looks++;
    }
    *(uint64_t *)context = looks;
    return NULL;
}

Test(archiver, the_status_is_never_torn)
{
    /* 300,000 failures, each with another text, and two threads that look on. */
    static char texts[26][HF_COMMAND_END_BYTES];
    uint64_t looks[2] = {0};
    pthread_t threads[2];
    for (int i = 0; i < 26; i++)
        memset(texts[i], 'a' + i, HF_COMMAND_END_BYTES - 1);
    options.report = drop_line;
    options.run = fail_anew;
    options.context = texts;
    open_archiver();
    hf_archiver_full(archiver, 1);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, look_on, &looks[i]), 0);
    for (int i = 0; i < 300000; i++, now_ns += 60 * HF_NS_PER_S)
        step();
    hf_store_release(&stop_looking, 1); /* pairs with look_on() */
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        cr_expect_gt(looks[i], 1000);
    }
    cr_expect_eq(status_now().failures, 300000);
    close_archiver();
}

/* ---- snapshots ---- */

Test(archiver, a_snapshot_comes_behind_the_segments_that_were_full_before_it)
{
    open_archiver();
    hf_archiver_full(archiver, 2);
    finish_snapshot(70);
    step();
    hf_archiver_full(archiver, 4);
    settle();
    EXPECT_ATTEMPTS(SEGMENT(1), SEGMENT(2), "0000000000000070.snapshot", SEGMENT(3), SEGMENT(4));
    cr_expect_eq(hf_archiver_archived_snapshot(archiver), 70);
    hf_archiver_snapshot(archiver, 70);
    hf_archiver_snapshot(archiver, 60);
    settle();
    cr_expect_eq(run.attempts, 0);
    close_archiver();
}

Test(archiver, only_the_newest_snapshot_is_archived_and_it_keeps_its_place)
{
    /* Segments wait; a second snapshot comes, and more segments. */
    open_archiver();
    hf_archiver_full(archiver, 1);
    finish_snapshot(70);
    run.slow = 1;
    step();
    hf_archiver_full(archiver, 3);
    finish_snapshot(80);
    settle();
    now_ns += HF_NS_PER_S;
    settle();
    EXPECT_ATTEMPTS(SEGMENT(1), "0000000000000080.snapshot", SEGMENT(2), SEGMENT(3));
    close_archiver();
}

Test(archiver, a_snapshot_that_comes_while_one_is_archived_comes_after_the_segments)
{
    open_archiver();
    finish_snapshot(70);
    run.slow = 1;
    step();
    finish_snapshot(80);
    hf_archiver_full(archiver, 1);
    step();
    cr_expect_eq(hf_archiver_archived_snapshot(archiver), 70);
    settle();
    EXPECT_ATTEMPTS("0000000000000070.snapshot", SEGMENT(1), "0000000000000080.snapshot");
    cr_expect_eq(hf_archiver_archived_snapshot(archiver), 80);
    close_archiver();
}

Test(archiver, a_snapshot_that_is_gone_is_left_out)
{
    open_archiver();
    hf_archiver_snapshot(archiver, 70); /* there is no such file */
    hf_archiver_full(archiver, 1);
    cr_expect_eq(settle(), HF_ARCHIVER_NEVER);
    EXPECT_ATTEMPTS(SEGMENT(1));
    cr_expect_eq(hf_archiver_archived_snapshot(archiver), 0);
    cr_expect_eq(status_now().waiting_snapshot, 0);
    expect_line("0000000000000070.snapshot is gone");
    close_archiver();
}

Test(archiver, a_snapshot_that_fails_is_tried_again_until_a_newer_one_takes_its_place)
{
    open_archiver();
    finish_snapshot(70);
    run.status = 1;
    now_ns = settle();
    now_ns = settle();
    finish_snapshot(80);
    run.status = 0;
    settle();
    EXPECT_ATTEMPTS("0000000000000070.snapshot", "0000000000000070.snapshot",
                    "0000000000000080.snapshot");
    close_archiver();
}

Test(archiver, a_file_that_cannot_be_looked_at_is_not_gone)
{
    /* Opening the snapshot fails, but not as if it were missing: the command decides. */
    open_archiver();
    finish_snapshot(70);
    hf_memory_io_fail(&memory, HF_MEMORY_OPEN, 0, 1, -EMFILE);
    settle();
    EXPECT_ATTEMPTS("0000000000000070.snapshot");
    close_archiver();
}

/* ---- a start after an end ---- */

Test(archiver, after_a_restart_it_goes_on_where_it_was)
{
    open_archiver();
    hf_archiver_full(archiver, 2);
    finish_snapshot(70);
    settle();
    run.attempts = 0;
    close_archiver();
    hf_memory_io_crash(&memory);

    open_with(1, 2);
    cr_expect_eq(hf_archiver_archived(archiver), 2);
    cr_expect_eq(hf_archiver_archived_snapshot(archiver), 70);
    cr_expect_eq(status_now().succeeded_at_ns, DATE_NS + START_NS, "of the run before");
    hf_archiver_snapshot(archiver, 70);
    cr_expect_eq(settle(), HF_ARCHIVER_NEVER);
    cr_expect_eq(run.attempts, 0);
    hf_archiver_full(archiver, 3);
    settle();
    EXPECT_ATTEMPTS(SEGMENT(3));
    expect_line(NULL);
    close_archiver();
}

Test(archiver, a_snapshot_older_than_the_archived_one_is_archived_after_a_start)
{
    /* The newest one was damaged, say, and the one before is the newest good one. */
    open_archiver();
    make_file("0000000000000060.snapshot");
    finish_snapshot(70);
    settle();
    run.attempts = 0;
    close_archiver();
    open_archiver();
    hf_archiver_snapshot(archiver, 60);
    settle();
    EXPECT_ATTEMPTS("0000000000000060.snapshot");
    close_archiver();
}

Test(archiver, a_note_that_is_damaged_or_of_another_log_is_not_used)
{
    static const char *const says[] = {"it is damaged", "it is of another log",
                                       "segments that this log has not filled yet",
                                       "Input/output error"};
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        hf_memory_io_close(&memory);
        open_memory();
        open_archiver();
        hf_archiver_full(archiver, 5);
        settle();
        close_archiver();
        run.attempts = 0;
        if (i == 0)
            hf_memory_io_file(&memory, HF_ARCHIVED_NAME)->bytes[100] ^= 1;
        if (i == 1)
            options.log_id[3] = 9;
        if (i == 3)
            hf_memory_io_fail(&memory, HF_MEMORY_READ, 0, 1, -EIO);
        open_with(3, i == 2 ? 4 : 5);
        cr_expect_eq(hf_archiver_archived(archiver), 2);
        expect_line(says[i]);
        settle();
        cr_expect_eq(run.attempts, i == 2 ? 2 : 3);
        cr_expect_str_eq(run.names[0], SEGMENT(3));
        close_archiver();
        /* The new one is right, and of this log. */
        open_archiver();
        cr_expect_eq(hf_archiver_archived(archiver), i == 2 ? 4 : 5);
        expect_line(NULL);
        close_archiver();
    }
}

Test(archiver, without_a_note_it_starts_at_the_oldest_segment)
{
    open_archiver();
    hf_archiver_full(archiver, 5);
    settle();
    close_archiver();
    run.attempts = 0;
    cr_assert_eq(memory.io.remove_file(&memory.io, DIRECTORY, HF_ARCHIVED_NAME), 0);
    open_with(3, 5);
    settle();
    EXPECT_ATTEMPTS(SEGMENT(3), SEGMENT(4), SEGMENT(5));
    expect_line(NULL);
    close_archiver();
}

Test(archiver, segments_that_are_gone_are_told_and_not_waited_for)
{
    /* A server ran without an archive, and released what was not archived. */
    open_archiver();
    hf_archiver_full(archiver, 2);
    settle();
    close_archiver();
    run.attempts = 0;
    open_with(6, 7);
    expect_line("segments 3 to 5 are gone");
    cr_expect_eq(hf_archiver_archived(archiver), 5);
    settle();
    EXPECT_ATTEMPTS(SEGMENT(6), SEGMENT(7));
    /* What was archived before it went is no gap. */
    hf_archiver_first(archiver, 8);
    hf_archiver_first(archiver, 4);
    settle();
    expect_line(NULL);
    close_archiver();
    open_with(8, 7);
    expect_line(NULL);
    close_archiver();
}

Test(archiver, a_segment_that_goes_while_its_command_fails_is_left_behind)
{
    open_with(1, 3);
    run.status = 1;
    now_ns = settle();
    line_count = 0;
    hf_archiver_first(archiver, 3);
    run.status = 0;
    settle();
    EXPECT_ATTEMPTS(SEGMENT(1), SEGMENT(3));
    cr_expect_eq(hf_archiver_archived(archiver), 3);
    close_archiver();
}

Test(archiver, a_segment_that_goes_while_its_command_runs_moves_nothing_back)
{
    open_with(1, 4);
    run.slow = 1;
    step();
    hf_archiver_first(archiver, 4);
    step();
    cr_expect_eq(hf_archiver_archived(archiver), 3);
    settle();
    EXPECT_ATTEMPTS(SEGMENT(1), SEGMENT(4));
    close_archiver();
}

/* ---- a note that cannot be written ---- */

Test(archiver, on_a_full_disk_archived_segments_may_go_all_the_same)
{
    open_archiver();
    hf_memory_io_set_room(&memory, 0);
    hf_archiver_full(archiver, 3);
    settle();
    cr_expect_eq(hf_archiver_archived(archiver), 3);
    cr_expect_eq(calls_back, 3);
    cr_expect_eq(line_count, 1, "told once");
    expect_line("cannot write " DIRECTORY "/archived: No space left");
    /* There is room again: the next success notes all. */
    hf_memory_io_set_room(&memory, UINT64_MAX);
    hf_archiver_full(archiver, 4);
    settle();
    close_archiver();
    run.attempts = 0;
    open_with(4, 4);
    cr_expect_eq(hf_archiver_archived(archiver), 4);
    settle();
    cr_expect_eq(run.attempts, 0);
    expect_line(NULL);
    close_archiver();
}

Test(archiver, the_end_writes_the_note_that_could_not_be_written)
{
    open_archiver();
    hf_memory_io_fail(&memory, HF_MEMORY_SYNC_DIRECTORY, 0, 1, -EIO);
    hf_archiver_full(archiver, 1);
    settle();
    close_archiver();
    hf_memory_io_crash(&memory);
    open_with(1, 1);
    cr_expect_eq(hf_archiver_archived(archiver), 1);
    close_archiver();
}

Test(archiver, a_command_that_runs_at_the_end_has_not_archived)
{
    /* One of the test's own is forgotten at once. */
    open_archiver();
    hf_archiver_full(archiver, 2);
    step();
    run.slow = 100;
    step();
    close_archiver();
    run.attempts = 0;
    open_with(1, 2);
    cr_expect_eq(hf_archiver_archived(archiver), 1);
    settle();
    EXPECT_ATTEMPTS(SEGMENT(2));
    close_archiver();
}

/* ---- crashes ---- */

/* Every call of the disk passes here, and looks at what others could see at that moment. After the
 * crash none has an effect. */
static struct hf_io disk;            /* the calls as they are */
static uint64_t calls_left;          /* until the crash */
static uint64_t told, told_snapshot; /* what was archived, as far as anyone could know */

static bool alive(void)
{
    if (calls_left == 0)
        return false;
    calls_left--;
    if (archiver != NULL) {
        told = hf_archiver_archived(archiver);
        told_snapshot = hf_archiver_archived_snapshot(archiver);
    }
    return true;
}

static int mortal_open(struct hf_io *io, const char *path, const char *name,
                       enum hf_io_open_mode mode)
{
    return alive() ? disk.open_file(io, path, name, mode) : -EIO;
}

static int mortal_write(struct hf_io *io, int file, const void *buffer, size_t bytes,
                        uint64_t offset)
{
    return alive() ? disk.write_at(io, file, buffer, bytes, offset) : -EIO;
}

static int mortal_sync(struct hf_io *io, int file)
{
    return alive() ? disk.sync_file(io, file) : -EIO;
}

static int mortal_sync_directory(struct hf_io *io, const char *path)
{
    return alive() ? disk.sync_directory(io, path) : -EIO;
}

static int mortal_rename(struct hf_io *io, const char *path, const char *from, const char *to)
{
    return alive() ? disk.rename_file(io, path, from, to) : -EIO;
}

static int mortal_remove(struct hf_io *io, const char *path, const char *name)
{
    return alive() ? disk.remove_file(io, path, name) : -EIO;
}

static void make_mortal(void)
{
    disk = memory.io;
    memory.io.open_file = mortal_open;
    memory.io.write_at = mortal_write;
    memory.io.sync_file = mortal_sync;
    memory.io.sync_directory = mortal_sync_directory;
    memory.io.rename_file = mortal_rename;
    memory.io.remove_file = mortal_remove;
}

/* Four segments and two snapshots, up to the crash. */
static void work_until_the_crash(void)
{
    for (uint64_t segment = 1; segment <= 4 && calls_left != 0; segment++) {
        hf_archiver_full(archiver, segment);
        if (segment % 2 == 0)
            finish_snapshot(segment * 100);
        while (calls_left != 0 && step() <= now_ns)
            ;
    }
}

Test(archiver, a_crash_anywhere_forgets_nothing_that_could_have_been_released)
{
    /* The power fails, or the process dies, before each call of the disk. What was told to be
     * archived was noted durably before; what the note says was archived; and a file is handed to
     * the command once, or once more. */
    for (int power = 0; power < 2; power++) {
        bool crashed = true;
        for (uint64_t calls = 1; crashed; calls++) {
            hf_memory_io_close(&memory);
            open_memory();
            make_mortal();
            calls_left = UINT64_MAX;
            make_file("0000000000000200.snapshot");
            make_file("0000000000000400.snapshot");
            cr_assert_eq(memory.io.sync_directory(&memory.io, DIRECTORY), 0);
            open_archiver();
            told = told_snapshot = 0;
            calls_left = calls;
            work_until_the_crash();
            crashed = calls_left == 0;
            uint32_t taken = succeeded_count;
            close_archiver();
            calls_left = UINT64_MAX;
            memory.io = disk;
            if (power)
                hf_memory_io_crash(&memory);

            line_count = run.attempts = 0;
            open_with(1, 4);
            uint64_t noted = hf_archiver_archived(archiver);
            cr_expect_eq(line_count, 0, "call %llu: %s", (unsigned long long)calls, lines[0]);
            cr_expect_geq(noted, told, "call %llu: released, and not noted",
                          (unsigned long long)calls);
            cr_expect_geq(hf_archiver_archived_snapshot(archiver), told_snapshot);
            cr_expect_leq(noted, taken, "call %llu: noted, and not taken",
                          (unsigned long long)calls);
            cr_expect_geq(noted + 1, taken, "call %llu: more than one again",
                          (unsigned long long)calls);
            finish_snapshot(400);
            settle();
            cr_expect_eq(hf_archiver_archived(archiver), 4);
            cr_expect_eq(hf_archiver_archived_snapshot(archiver), 400);
            for (uint32_t i = taken, next = (uint32_t)noted + 1; i < succeeded_count; i++, next++)
                cr_expect_eq(succeeded[i], next);
            close_archiver();
            cr_assert_lt(calls, 200, "it never ends");
            cr_assert(crashed || calls > 30, "there were fewer calls than that");
        }
    }
}
