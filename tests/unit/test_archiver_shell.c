/* The archiver with its thread and real commands, on a real directory, as in a server. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomics.h"
#include "tests/lib/process.h"
#include "wal/archived.h"
#include "wal/archiver.h"

#define PATIENCE_S 60
#define FILE_BYTES 100000

static char root[HF_DIRECTORY_TEXT_BYTES];
static char directory[HF_DIRECTORY_TEXT_BYTES + 64]; /* of the log */
static char archive[HF_DIRECTORY_TEXT_BYTES + 64];
static char command[2048];
static char error[HF_ARCHIVER_ERROR_BYTES];
static struct hf_server_clock server_clock;
static struct hf_archiver *archiver;
static struct hf_archiver_options options;
static sem_t progress;      /* posted by on_archived() */
static char lines[16][512]; /* what was reported */
static _Atomic uint32_t line_count;

static void note_archived(void *context)
{
    (void)context;
    sem_post(&progress);
}

static void note_line(void *context, const char *line)
{
    (void)context;
    uint32_t place = hf_load_relaxed(&line_count); /* written by the archiver's thread only */
    cr_assert_lt(place, sizeof lines / sizeof lines[0]);
    snprintf(lines[place], sizeof lines[0], "%s", line);
    hf_store_release(&line_count, place + 1); /* pairs with await_line() */
}

static void make_directories(const char *name)
{
    snprintf(directory, sizeof directory, "%s/%s", root, name);
    snprintf(archive, sizeof archive, "%s/archive", root);
    cr_assert_eq(mkdir(directory, 0750), 0);
    cr_assert(mkdir(archive, 0750) == 0 || errno == EEXIST);
}

static void open_directory(void)
{
    cr_assert_eq(hf_directory_make(root), 0);
    make_directories("data");
    hf_server_clock_init(&server_clock, 0);
    sem_init(&progress, 0, 0);
    options = (struct hf_archiver_options){
        .io = hf_io_posix(),
        .directory = directory,
        .command = command,
        .log_id = {1, 2, 3},
        .first_segment = 1,
        .clock = &server_clock,
        .on_archived = note_archived,
        .report = note_line,
    };
    snprintf(command, sizeof command, "cp %%p ../archive/%%f");
}

static void close_directory(void)
{
    hf_directory_remove(root);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(archiver_shell, .init = open_directory, .fini = close_directory);

static void open_archiver(void)
{
    cr_assert_eq(hf_archiver_open(&archiver, &options, error), 0, "%s", error);
}

static void write_file(const char *name, size_t bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    for (size_t i = 0; i < bytes; i++)
        putc((int)(i * 7 + (unsigned char)name[15]), file);
    fclose(file);
}

static void write_segment(uint64_t segment)
{
    char name[64];
    snprintf(name, sizeof name, "%016llu.wal", (unsigned long long)segment);
    write_file(name, FILE_BYTES);
}

static void await_progress(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    int result;
    while ((result = sem_timedwait(&progress, &until)) != 0 && errno == EINTR)
        ;
    struct hf_archiver_status status;
    hf_archiver_describe(archiver, &status);
    cr_assert_eq(result, 0, "nothing was archived: %s", status.failure_text);
}

static void await_archived(uint64_t segment)
{
    while (hf_archiver_archived(archiver) < segment)
        await_progress();
}

/* Waits until so many lines were reported; the last of them. */
static const char *await_line(uint32_t count)
{
    /* Acquire, pairs with note_line(). */
    for (int i = 0; i < PATIENCE_S * 1000 && hf_load_acquire(&line_count) < count; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert_geq(hf_load_acquire(&line_count), count);
    return lines[count - 1];
}

/* Waits until a command made this file in the log's directory. */
static void await_file(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    for (int i = 0; i < PATIENCE_S * 1000 && access(path, F_OK) != 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert_eq(access(path, F_OK), 0);
}

static void expect_same(const char *name)
{
    char words[2048];
    snprintf(words, sizeof words, "cmp \"$1/%s\" \"$2/%s\"", name, name);
    const char *const argv[] = {"sh", "-c", words, "sh", directory, archive, NULL};
    char output[512];
    cr_expect_eq(hf_process_run(argv, output, sizeof output), 0, "%s", output);
}

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    for (int file = 0; file < 1024; file++)
        count += fcntl(file, F_GETFD) >= 0;
    return count;
}

static void expect_nothing_left(unsigned descriptors)
{
    cr_expect_eq(count_descriptors(), descriptors, "descriptors leak");
    cr_expect(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "there is a zombie");
}

/* What commands say on stderr is of no interest to whoever runs the tests. */
static void be_quiet(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    cr_assert(null >= 0 && dup2(null, STDERR_FILENO) == STDERR_FILENO);
    close(null);
}

Test(archiver_shell, segments_and_a_snapshot_are_copied)
{
    unsigned descriptors = count_descriptors();
    open_archiver();
    for (uint64_t segment = 1; segment <= 3; segment++) {
        write_segment(segment);
        hf_archiver_full(archiver, segment);
    }
    await_archived(3);
    write_file("0000000000000042.snapshot", 10);
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL); /* the thread sleeps by now */
    hf_archiver_snapshot(archiver, 42);
    while (hf_archiver_archived_snapshot(archiver) != 42)
        await_progress();
    expect_same("0000000000000001.wal");
    expect_same("0000000000000002.wal");
    expect_same("0000000000000003.wal");
    expect_same("0000000000000042.snapshot");
    hf_archiver_close(archiver);
    expect_nothing_left(descriptors);

    struct hf_archived noted;
    cr_assert_eq(hf_archived_read(options.io, directory, &noted), 0);
    cr_expect_eq(noted.segment, 3);
    cr_expect_eq(noted.snapshot_lsn, 42);
    cr_expect_lt(hf_server_clock_now_ns(&server_clock) - noted.date_ns, PATIENCE_S * HF_NS_PER_S);
}

Test(archiver_shell, no_name_of_a_directory_passes_through_the_shell)
{
    make_directories("it's \"$HOME\" `false` \\ %p;exit 1;#&");
    write_segment(1);
    open_archiver();
    hf_archiver_full(archiver, 1);
    await_archived(1);
    expect_same("0000000000000001.wal");
    hf_archiver_close(archiver);
}

Test(archiver_shell, the_operator_quotes_what_is_the_operators)
{
    /* An archive with spaces, quotes and percent signs in its name. */
    snprintf(archive, sizeof archive, "%s/100%% o'clock", root);
    cr_assert_eq(mkdir(archive, 0750), 0);
    snprintf(command, sizeof command, "cp '%%p' \"../100%%%% o'clock/%%f\"");
    write_segment(1);
    open_archiver();
    hf_archiver_full(archiver, 1);
    await_archived(1);
    expect_same("0000000000000001.wal");
    hf_archiver_close(archiver);
}

Test(archiver_shell, a_careful_command_may_be_given_a_file_twice_and_replaces_nothing)
{
    /* The one of wal/README.md. The note is lost; then the archive holds another content. */
    be_quiet();
    snprintf(command, sizeof command,
             "A=../archive; if test -e $A/%%f; then cmp %%p $A/%%f >&2; else cp %%p $A/%%f.$$ &&\n"
             "sync $A/%%f.$$ && mv -n $A/%%f.$$ $A/%%f; fi && sync $A");
    char path[512];
    for (int round = 0; round < 2; round++) {
        write_segment(1);
        open_archiver();
        hf_archiver_full(archiver, 1);
        await_archived(1);
        expect_same("0000000000000001.wal");
        hf_archiver_close(archiver);
        snprintf(path, sizeof path, "%s/" HF_ARCHIVED_NAME, directory);
        cr_assert_eq(unlink(path), 0);
    }
    snprintf(path, sizeof path, "%s/0000000000000001.wal", archive);
    cr_assert_eq(truncate(path, FILE_BYTES / 2), 0);
    open_archiver();
    hf_archiver_full(archiver, 1);
    const char *line = await_line(1);
    cr_expect(strstr(line, "EOF on"), "%s", line);
    hf_archiver_close(archiver);
    struct stat status;
    cr_expect(stat(path, &status) == 0 && status.st_size == FILE_BYTES / 2);
}

Test(archiver_shell, failures_are_told_and_archiving_goes_on_when_they_end)
{
    /* The archive's disk is not mounted, as it were; then it is. */
    be_quiet();
    snprintf(command, sizeof command, "cp %%p ../elsewhere/%%f");
    write_segment(1);
    open_archiver();
    hf_archiver_full(archiver, 1);
    const char *line = await_line(1);
    cr_expect(strstr(line, "0000000000000001.wal is not archived: exit status 1: cp: "), "%s",
              line);
    struct hf_archiver_status status;
    do {
        hf_archiver_describe(archiver, &status);
    } while (status.failures == 0);
    cr_expect_eq(status.failure_status, 1);
    cr_expect(strstr(status.failure_text, "elsewhere"), "%s", status.failure_text);
    cr_expect_eq(hf_archiver_archived(archiver), 0);
    snprintf(archive, sizeof archive, "%s/elsewhere", root);
    cr_assert_eq(mkdir(archive, 0750), 0);
    await_archived(1);
    expect_same("0000000000000001.wal");
    hf_archiver_describe(archiver, &status);
    cr_expect_eq(status.failures, 0);
    hf_archiver_close(archiver);
    line = await_line(2);
    cr_expect(strstr(line, "archived again"), "%s", line);
}

Test(archiver_shell, a_crash_of_the_command_is_no_success)
{
    snprintf(command, sizeof command, "cp %%p ../archive/%%f; kill -9 $$");
    write_segment(1);
    open_archiver();
    hf_archiver_full(archiver, 1);
    const char *line = await_line(1);
    cr_expect(strstr(line, "ended by signal 9"), "%s", line);
    cr_expect_eq(hf_archiver_archived(archiver), 0);
    hf_archiver_close(archiver);
}

Test(archiver_shell, a_directory_that_is_gone_is_a_failure_like_any_other)
{
    open_archiver();
    cr_assert_eq(rmdir(directory), 0);
    hf_archiver_full(archiver, 1);
    const char *line = await_line(1);
    cr_expect(strstr(line, "cannot be started: No such file or directory"), "%s", line);
    hf_archiver_close(archiver);
}

Test(archiver_shell, without_descriptors_it_does_not_start)
{
    /* All that the limit allows are open. */
    unsigned descriptors = count_descriptors();
    struct rlimit limit, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = hf_archiver_open(&archiver, &options, error);
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_expect_eq(result, -EMFILE);
    cr_expect_str_eq(error, "cannot start the archiver: Too many open files");
    expect_nothing_left(descriptors);
}

Test(archiver_shell, descriptors_that_run_out_are_a_failure_like_any_other)
{
    write_segment(1);
    open_archiver();
    struct rlimit limit, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    hf_archiver_full(archiver, 1);
    const char *line = await_line(1);
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_expect(strstr(line, "cannot be started: Too many open files"), "%s", line);
    await_archived(1);
    expect_same("0000000000000001.wal");
    hf_archiver_close(archiver);
}

/* CPU time of all our threads in 300 ms in which nothing happens. */
static uint64_t measure_idle_ns(void)
{
    uint64_t before_ns = hf_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    return hf_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before_ns;
}

Test(archiver_shell, it_sleeps_when_there_is_nothing_to_do)
{
    /* Nothing is full; a command runs that has closed its stderr; after it, a pause. */
    snprintf(command, sizeof command, "exec 2>&-; touch running; sleep 1; exit 1");
    open_archiver();
    cr_expect_lt(measure_idle_ns(), 100 * HF_NS_PER_MS);
    hf_archiver_full(archiver, 1);
    await_file("running");
    cr_expect_lt(measure_idle_ns(), 100 * HF_NS_PER_MS);
    await_line(1);
    cr_expect_lt(measure_idle_ns(), 100 * HF_NS_PER_MS);
    hf_archiver_close(archiver);
}

/* ---- the end ---- */

Test(archiver_shell, the_end_waits_for_a_command_that_ends_soon)
{
    snprintf(command, sizeof command, "touch running; sleep 0.3; cp %%p ../archive/%%f");
    write_segment(1);
    write_segment(2);
    open_archiver();
    hf_archiver_full(archiver, 2);
    await_file("running");
    hf_archiver_close(archiver);
    expect_same("0000000000000001.wal");
    struct hf_archived noted = {0};
    cr_assert_eq(hf_archived_read(options.io, directory, &noted), 0);
    cr_expect_eq(noted.segment, 1, "the next was not begun");
}

Test(archiver_shell, the_end_ends_a_command_that_takes_too_long)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    unsigned descriptors = count_descriptors();
    options.patience_ns = 200 * HF_NS_PER_MS;
    snprintf(command, sizeof command, "touch running; sleep 100; true");
    write_segment(1);
    open_archiver();
    hf_archiver_full(archiver, 1);
    await_file("running");
    struct hf_archiver_status status;
    hf_archiver_describe(archiver, &status);
    cr_expect_neq(status.running_since_ns, 0);
    cr_expect_str_eq(status.file, "0000000000000001.wal");
    uint64_t started_ns = hf_monotonic_now_ns();
    hf_archiver_close(archiver);
    uint64_t took_ns = hf_monotonic_now_ns() - started_ns;
    cr_expect_geq(took_ns, 200 * HF_NS_PER_MS, "it has its time");
    cr_expect_lt(took_ns, 10 * HF_NS_PER_S);
    const char *line = await_line(1);
    cr_expect(strstr(line, "stopping: 0000000000000001.wal is not archived"), "%s", line);
    while (waitpid(-1, NULL, 0) > 0)
        ; /* its sleep is our child now, and dead: else this never ends */
    expect_nothing_left(descriptors);
    struct hf_archived noted;
    cr_expect_eq(hf_archived_read(options.io, directory, &noted), -ENOENT);
}

Test(archiver_shell, the_end_ends_a_command_that_ignores_sigterm)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    options.patience_ns = 100 * HF_NS_PER_MS;
    snprintf(command, sizeof command,
             "trap '' TERM; touch running; for i in $(seq 500); do sleep 0.1; done");
    write_segment(1);
    open_archiver();
    hf_archiver_full(archiver, 1);
    await_file("running");
    uint64_t started_ns = hf_monotonic_now_ns();
    hf_archiver_close(archiver);
    cr_expect_lt(hf_monotonic_now_ns() - started_ns, 15 * HF_NS_PER_S);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

Test(archiver_shell, a_pause_does_not_hold_up_the_end)
{
    /* After two failures, the pause is two seconds. */
    snprintf(command, sizeof command, "exit 1");
    open_archiver();
    hf_archiver_full(archiver, 1);
    struct hf_archiver_status status;
    do {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        hf_archiver_describe(archiver, &status);
    } while (status.failures < 2);
    uint64_t started_ns = hf_monotonic_now_ns();
    hf_archiver_close(archiver);
    cr_expect_lt(hf_monotonic_now_ns() - started_ns, 3 * HF_NS_PER_S / 2);
}

/* ---- many ---- */

Test(archiver_shell, a_thousand_segments_leave_nothing_behind)
{
    unsigned descriptors = count_descriptors();
    snprintf(command, sizeof command, "echo %%f >> ../archive/list");
    open_archiver();
    for (uint64_t segment = 1; segment <= 1000; segment++)
        hf_archiver_full(archiver, segment);
    await_archived(1000);
    hf_archiver_close(archiver);
    expect_nothing_left(descriptors);
    const char *const argv[] = {"sh", "-c",    "seq -f %016.0f.wal 1000 | cmp - \"$1/list\"",
                                "sh", archive, NULL};
    char output[512];
    cr_expect_eq(hf_process_run(argv, output, sizeof output), 0, "%s", output);
}

static void *tell_files(void *context)
{
    for (uint64_t segment = 1; segment <= 100; segment++) {
        hf_archiver_full(archiver, segment);
        hf_archiver_snapshot(archiver, segment); /* there is no such file */
        hf_archiver_first(archiver, 1);
    }
    return context;
}

Test(archiver_shell, three_threads_tell_of_the_same_files)
{
    pthread_t tellers[3];
    snprintf(command, sizeof command, "echo %%f >> ../archive/list");
    open_archiver();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&tellers[i], NULL, tell_files, NULL), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(tellers[i], NULL);
    await_archived(100);
    hf_archiver_close(archiver);
    const char *const argv[] = {"sh", "-c",    "seq -f %016.0f.wal 100 | cmp - \"$1/list\"",
                                "sh", archive, NULL};
    char output[512];
    cr_expect_eq(hf_process_run(argv, output, sizeof output), 0, "%s", output);
}
