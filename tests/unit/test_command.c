/*
 * Shell commands beside a server, real ones: how they end, what they inherit, what they write, and
 * that nobody waits for them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/lib/process.h"
#include "wal/command.h"

#define PATIENCE_NS (30 * HF_NS_PER_S)

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct hf_command command;
static struct hf_command_end end;

static void open_directory(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    command = (struct hf_command){0};
}

static void close_directory(void)
{
    hf_command_stop(&command, 0);
    hf_directory_remove(directory);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(command, .init = open_directory, .fini = close_directory);

static void start(const char *text)
{
    int result = hf_command_start(&command, directory, text);
    cr_assert_eq(result, 0, "%s", strerror(-result));
}

/* Waits for the end as the archiver does, by what hf_command_files() tells. */
static void await_end(void)
{
    uint64_t until_ns = hf_monotonic_now_ns() + PATIENCE_NS;
    while (!hf_command_poll(&command, &end)) {
        struct pollfd files[HF_COMMAND_FILES];
        uint32_t count = hf_command_files(&command, files);
        poll(files, count, 1000);
        cr_assert_lt(hf_monotonic_now_ns(), until_ns, "the command does not end");
    }
}

static const struct hf_command_end *run(const char *text)
{
    start(text);
    await_end();
    return &end;
}

/* The file in the directory that a command wrote, as text. */
static const char *contents(const char *name)
{
    static char text[4096];
    char path[HF_DIRECTORY_TEXT_BYTES + 64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = file >= 0 ? read(file, text, sizeof text - 1) : 0;
    text[count > 0 ? count : 0] = '\0';
    if (file >= 0)
        close(file);
    return text;
}

static void await_file(const char *name)
{
    for (int i = 0; i < 10000 && contents(name)[0] == '\0'; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert(contents(name)[0] != '\0', "%s", name);
}

/* Our stderr becomes another file; returns what it was. */
static int replace_stderr(int file)
{
    fflush(stderr);
    int before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    cr_assert(before >= 0 && dup2(file, STDERR_FILENO) == STDERR_FILENO);
    return before;
}

static void restore_stderr(int before)
{
    dup2(before, STDERR_FILENO);
    close(before);
}

/* What commands say on stderr is of no interest to whoever runs the tests. */
static void be_quiet(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    cr_assert(null >= 0 && dup2(null, STDERR_FILENO) == STDERR_FILENO);
    close(null);
}

/* ---- the template ---- */

Test(command, templates_are_checked)
{
    static const char *const right[] = {"true", "cp %p /a/%f", "%%", "%p%f%%%%p", "100%%"};
    static const struct {
        const char *template, *says;
    } wrong[] = {
        {"", "empty"},      {"cp %p %d", "%d;"}, {"cp %", "single %"},    {"%%%", "single %"},
        {"cp %%%P", "%P;"}, {"a % b", "0x20"},   {"a %\xc3\xa4", "0xc3"},
    };
    char error[HF_COMMAND_ERROR_BYTES];
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        cr_expect(hf_command_check(right[i], error), "%s: %s", right[i], error);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_not(hf_command_check(wrong[i].template, error), "%s", wrong[i].template);
        cr_expect(strstr(error, wrong[i].says), "%s: %s", wrong[i].template, error);
    }
}

Test(command, templates_are_expanded)
{
    static const struct {
        const char *template, *text;
    } cases[] = {
        {"true", "true"},
        {"cp %p '/a b/%f'", "cp x/12.wal '/a b/12.wal'"},
        {"%%p%%%f%%", "%p%12.wal%"},
        {"%p%p", "x/12.walx/12.wal"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = hf_command_expand(cases[i].template, "x/12.wal", "12.wal");
        cr_assert_not_null(text);
        cr_expect_str_eq(text, cases[i].text);
        free(text);
    }
}

/* ---- how it ends ---- */

Test(command, ends_are_told_apart)
{
    be_quiet();
    static const struct {
        const char *text;
        int status;
        const char *says;
    } cases[] = {
        {"true", 0, ""},
        {"echo well >&2", 0, ""},
        {"exit 1", 1, "exit status 1"},
        {"exit 255", 255, "exit status 255"},
        {"exit 137", 137, "exit status 137"},
        {"kill -9 $$", 137, "ended by signal 9 (Killed)"},
        {"kill -TERM $$", 143, "ended by signal 15 (Terminated)"},
        {"echo oh no >&2; exit 3", 3, "exit status 3: oh no"},
        {"printf '\\n\\nfirst\\nsecond\\n' >&2; exit 3", 3, "exit status 3: first"},
        {"printf 'no end of line' >&2; exit 3", 3, "exit status 3: no end of line"},
        {"printf 'a\\033[1mb\\001\\377' >&2; exit 3", 3, "exit status 3: a?[1mb??"},
        {"echo last words >&2; kill -9 $$", 137, "ended by signal 9 (Killed): last words"},
        {"-x", 127, "exit status 127: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run(cases[i].text);
        cr_expect_eq(end.status, cases[i].status, "%s: %d", cases[i].text, end.status);
        if (cases[i].status == 127)
            cr_expect(strstr(end.text, cases[i].says), "%s: %s", cases[i].text, end.text);
        else
            cr_expect_str_eq(end.text, cases[i].says);
        cr_expect_not(hf_command_running(&command));
    }
}

Test(command, a_command_that_is_missing_is_told)
{
    /* The shell itself says so. */
    be_quiet();
    run("holdfast-no-such-command");
    cr_expect_eq(end.status, 127);
    cr_expect(strstr(end.text, "not found"), "%s", end.text);
}

Test(command, one_that_cannot_be_started_is_told)
{
    /* Its directory is not there; it is too long for the system. */
    cr_expect_eq(hf_command_start(&command, "/nowhere", "true"), -ENOENT);
    cr_expect_not(hf_command_running(&command));
    char *text = malloc(1u << 22);
    cr_assert_not_null(text);
    memset(text, ' ', (1u << 22) - 1);
    text[(1u << 22) - 1] = '\0';
    cr_expect_eq(hf_command_start(&command, directory, text), -E2BIG);
    cr_expect_not(hf_command_running(&command));
    free(text);
    hf_command_end_with(&end, -E2BIG);
    cr_expect_str_eq(end.text, "cannot be started: Argument list too long");
}

Test(command, the_first_line_is_cut)
{
    be_quiet();
    run("head -c 500 /dev/zero | tr '\\0' x >&2; exit 1");
    char expected[200];
    snprintf(expected, sizeof expected, "exit status 1: %0100d", 0);
    for (char *at = expected + strlen("exit status 1: "); *at != '\0'; at++)
        *at = 'x';
    cr_expect_str_eq(end.text, expected);
}

/* With SIGCHLD ignored the system keeps no exit status: that must not pass for a success, whether
 * it is noticed at the start or at the end. */
Test(command, an_end_that_cannot_be_learnt_is_no_success)
{
    signal(SIGCHLD, SIG_IGN);
    run("sleep 0.3");
    cr_expect_eq(end.status, -ECHILD);
    cr_expect(strstr(end.text, "SIGCHLD"), "%s", end.text);
    for (int i = 0; i < 100; i++) {
        int result = hf_command_start(&command, directory, "exit 0");
        cr_expect(result == 0 || result == -ECHILD, "%s", strerror(-result));
        if (result == 0)
            await_end();
        cr_expect_eq(result == 0 ? end.status : result, -ECHILD);
    }
}

/* ---- what it inherits ---- */

Test(command, it_runs_where_it_is_told_to)
{
    /* A directory with all that the shell could take amiss in its name. */
    be_quiet();
    char odd[HF_DIRECTORY_TEXT_BYTES + 32], file[sizeof odd + 8];
    snprintf(odd, sizeof odd, "%s/it's \"$odd\" `x` \\ %%p;#&", directory);
    cr_assert_eq(mkdir(odd, 0750), 0);
    cr_assert_eq(hf_command_start(&command, odd, "echo here > file; pwd >&2; exit 1"), 0);
    await_end();
    cr_expect(strstr(end.text, odd), "%s", end.text);
    snprintf(file, sizeof file, "%s/file", odd);
    cr_expect_eq(access(file, R_OK), 0);
}

/* As in a server: signals blocked and ignored. */
Test(command, signals_are_as_in_a_new_process)
{
    static const char *const texts[] = {"kill -TERM $$", "kill -INT $$", "kill -PIPE $$",
                                        "kill -HUP $$", "kill -USR1 $$"};
    static const int signals[] = {SIGTERM, SIGINT, SIGPIPE, SIGHUP, SIGUSR1};
    sigset_t all;
    sigfillset(&all);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        run(texts[i]);
        cr_expect_eq(end.status, 128 + signals[i], "%s: %s", texts[i], end.text);
    }
}

static unsigned count_open(pid_t pid)
{
    char path[64], target[256];
    unsigned count = 0;
    for (int file = 0; file < 256; file++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, file);
        count += readlink(path, target, sizeof target) >= 0;
    }
    return count;
}

Test(command, it_has_three_descriptors)
{
    /* With a descriptor open here that is not closed on exec. */
    int stray = fcntl(STDERR_FILENO, F_DUPFD, 40);
    cr_assert_eq(stray, 40);
    start("readlink /proc/$$/fd/0 > stdin; exec sleep 60");
    await_file("stdin");
    /* More while it starts: the shell's own, and what the program is loaded from. */
    unsigned count = count_open(command.pid);
    for (int i = 0; i < 2000 && count != 3; i++, count = count_open(command.pid))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_expect_eq(count, 3);
    cr_expect_str_eq(contents("stdin"), "/dev/null\n");
    close(stray);
}

Test(command, it_has_a_process_group_of_its_own)
{
    start("echo ready > ready; sleep 60");
    cr_expect_eq(getpgid(command.pid), command.pid);
    cr_expect_neq(getpgid(command.pid), getpgid(0));
}

Test(command, its_stdout_is_our_stderr)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 64];
    snprintf(path, sizeof path, "%s/stderr", directory);
    int file = open(path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    cr_assert(file >= 0);
    int before = replace_stderr(file);
    run("echo one; echo two >&2; exit 1");
    restore_stderr(before);
    close(file);
    cr_expect_str_eq(end.text, "exit status 1: two", "stdout is no reason");
    cr_expect(strstr(contents("stderr"), "one\n") && strstr(contents("stderr"), "two\n"), "%s",
              contents("stderr"));
}

/* ---- its stderr ---- */

Test(command, three_megabytes_on_stderr_are_passed_on)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 64];
    snprintf(path, sizeof path, "%s/stderr", directory);
    int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    cr_assert(file >= 0);
    int before = replace_stderr(file);
    run("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 4");
    restore_stderr(before);
    struct stat status;
    cr_assert_eq(fstat(file, &status), 0);
    close(file);
    cr_expect_eq(status.st_size, 3000000);
    cr_expect_eq(end.status, 4);
}

/* Our stderr becomes a pipe that is full. Its reading end; *before: what stderr was. */
static int fill_stderr(int *before)
{
    int ends[2];
    char filler[4096] = {0};
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], filler, sizeof filler) > 0)
        ;
    fcntl(ends[1], F_SETFL, 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    *before = replace_stderr(ends[1]);
    close(ends[1]);
    return ends[0];
}

static uint64_t read_all(int file)
{
    char bytes[4096];
    uint64_t total = 0;
    for (ssize_t count; (count = read(file, bytes, sizeof bytes)) > 0;)
        total += (uint64_t)count;
    return total;
}

/* The command has to wait, we have not; and when somebody reads, it goes on. */
Test(command, a_stderr_that_takes_nothing_does_not_hold_us_up)
{
    int before, reader = fill_stderr(&before);
    start("head -c 300000 /dev/zero | tr '\\0' x >&2; echo done > done; exit 5");
    uint64_t until_ns = hf_monotonic_now_ns() + 300 * HF_NS_PER_MS;
    bool ended = false;
    unsigned looks = 0;
    while (hf_monotonic_now_ns() < until_ns && !ended) {
        struct pollfd files[HF_COMMAND_FILES];
        ended = hf_command_poll(&command, &end);
        if (!ended)
            poll(files, hf_command_files(&command, files), 100);
        looks++;
    }
    bool waited = !ended && contents("done")[0] == '\0';
    /* The filler comes first. */
    uint64_t read_bytes = 0;
    until_ns = hf_monotonic_now_ns() + PATIENCE_NS;
    while (!ended && hf_monotonic_now_ns() < until_ns) {
        read_bytes += read_all(reader);
        ended = hf_command_poll(&command, &end);
    }
    read_bytes += read_all(reader);
    restore_stderr(before);
    close(reader);
    cr_expect(waited, "it was not held up");
    cr_expect_lt(looks, 100, "we turned and turned");
    cr_expect(ended);
    cr_expect_eq(end.status, 5);
    cr_expect_geq(read_bytes, 300000, "%llu", (unsigned long long)read_bytes);
}

/* At the end, nobody reads: what does not fit is lost, but for the first line. */
Test(command, last_words_that_nobody_takes_are_dropped)
{
    int before, reader = fill_stderr(&before);
    run("head -c 30000 /dev/zero | tr '\\0' x >&2; exit 5");
    restore_stderr(before);
    close(reader);
    cr_expect_eq(end.status, 5);
    cr_expect(strstr(end.text, ": xxx"), "%s", end.text);
}

Test(command, last_words_are_passed_on_when_it_has_ended)
{
    /* It has ended before it is looked at, and has left nearly as much as a pipe holds. */
    char path[HF_DIRECTORY_TEXT_BYTES + 64];
    snprintf(path, sizeof path, "%s/stderr", directory);
    int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    cr_assert(file >= 0);
    int before = replace_stderr(file);
    start("head -c 60000 /dev/zero | tr '\\0' x >&2; exit 4");
    struct pollfd gone = {.fd = command.end, .events = POLLIN};
    bool in_time = poll(&gone, 1, 20000) == 1;
    bool ended = hf_command_poll(&command, &end);
    restore_stderr(before);
    struct stat status;
    cr_assert_eq(fstat(file, &status), 0);
    close(file);
    cr_expect(in_time && ended);
    cr_expect_eq(status.st_size, 60000);
}

Test(command, stopping_does_not_wait_for_a_stderr_that_takes_nothing)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int before, reader = fill_stderr(&before);
    start("echo ready > ready; exec yes >&2");
    await_file("ready");
    for (int i = 0; i < 10; i++) {
        hf_command_poll(&command, &end);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    uint64_t started_ns = hf_monotonic_now_ns();
    hf_command_stop(&command, 20 * HF_NS_PER_S);
    restore_stderr(before);
    close(reader);
    cr_expect_lt(hf_monotonic_now_ns() - started_ns, 10 * HF_NS_PER_S);
}

/* ---- what it leaves behind ---- */

Test(command, a_grandchild_that_keeps_stderr_open_is_not_waited_for)
{
    be_quiet();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    uint64_t started_ns = hf_monotonic_now_ns();
    start("sleep 60 & echo left it >&2; exit 3");
    pid_t group = command.pid;
    await_end();
    cr_expect_eq(end.status, 3);
    cr_expect_str_eq(end.text, "exit status 3: left it");
    cr_expect_lt(hf_monotonic_now_ns() - started_ns, 20 * HF_NS_PER_S);
    cr_expect_eq(kill(-group, SIGKILL), 0, "it was ended, though its command ended by itself");
    cr_expect_gt(waitpid(-group, NULL, 0), 0);
}

Test(command, grandchildren_that_never_stop_writing_are_not_waited_for)
{
    /* Our stderr is slow, so that their pipe is full whenever it is read: before their shell has
     * ended, and after. A look takes its share, and no more. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    char path[HF_DIRECTORY_TEXT_BYTES + 64];
    snprintf(path, sizeof path, "%s/stderr", directory);
    int file = open(path, O_CREAT | O_RDWR | O_DSYNC | O_CLOEXEC, 0600);
    cr_assert(file >= 0);
    int before = replace_stderr(file);
    start("for i in 1 2 3 4; do timeout --foreground 60 cat /dev/zero >&2 & done; sleep 0.5");
    pid_t group = command.pid;
    struct stat status = {0};
    off_t most = 0;
    for (bool ended = false; !ended;) {
        off_t size = status.st_size;
        ended = hf_command_poll(&command, &end);
        fstat(file, &status);
        if (most < status.st_size - size)
            most = status.st_size - size;
    }
    restore_stderr(before);
    close(file);
    kill(-group, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    cr_expect_eq(end.status, 0);
    cr_expect_gt(status.st_size, 300000, "they did not write");
    cr_expect_leq(most, 2L << 20);
}

Test(command, one_that_closes_its_stderr_runs_on)
{
    /* Nothing to read any more, but it has not ended: its end alone is waited for. */
    start("exec 2>&-; echo ready > ready; sleep 0.2; exit 6");
    await_file("ready");
    cr_expect_not(hf_command_poll(&command, &end));
    struct pollfd files[HF_COMMAND_FILES];
    cr_expect_eq(hf_command_files(&command, files), 1);
    await_end();
    cr_expect_eq(end.status, 6);
}

/* All that is left of the group is our child now, and dead or about to be. */
static void expect_group_gone(pid_t group)
{
    int result = 0;
    for (int i = 0; i < 2000 && (result = waitpid(-group, NULL, WNOHANG)) >= 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_expect(result < 0 && errno == ECHILD, "something lives on");
}

Test(command, stopping_ends_it_at_once_if_it_lets)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    start("echo ready > ready; sleep 60; echo late > late");
    pid_t group = command.pid;
    await_file("ready");
    uint64_t started_ns = hf_monotonic_now_ns();
    hf_command_stop(&command, 20 * HF_NS_PER_S);
    cr_expect_lt(hf_monotonic_now_ns() - started_ns, 10 * HF_NS_PER_S);
    cr_expect_not(hf_command_running(&command));
    expect_group_gone(group);
}

Test(command, stopping_ends_one_that_ignores_sigterm)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    start("trap '' TERM; echo ready > ready; for i in $(seq 1000); do sleep 0.05; done");
    pid_t group = command.pid;
    await_file("ready");
    uint64_t started_ns = hf_monotonic_now_ns();
    hf_command_stop(&command, 300 * HF_NS_PER_MS);
    uint64_t took_ns = hf_monotonic_now_ns() - started_ns;
    cr_expect_geq(took_ns, 300 * HF_NS_PER_MS, "it has its time");
    cr_expect_lt(took_ns, 10 * HF_NS_PER_S);
    expect_group_gone(group);
}

Test(command, stopping_gives_the_rest_of_the_group_its_time_to_clean_up)
{
    /* The shell dies of SIGTERM; its child wants to clean up first. Another one ignores it. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    start("sh -c 'trap \"sleep 0.2; echo yes > cleaned; exit\" TERM; echo ready > ready; "
          "for i in $(seq 1000); do sleep 0.02; done' & "
          "sh -c 'trap \"\" TERM; for i in $(seq 1000); do sleep 0.05; done' 2>/dev/null & wait");
    pid_t group = command.pid;
    await_file("ready");
    uint64_t started_ns = hf_monotonic_now_ns();
    hf_command_stop(&command, 20 * HF_NS_PER_S);
    cr_expect_lt(hf_monotonic_now_ns() - started_ns, 10 * HF_NS_PER_S);
    cr_expect_str_eq(contents("cleaned"), "yes\n");
    expect_group_gone(group);
}

Test(command, stopping_one_that_never_stops_writing)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    be_quiet();
    start("trap '' TERM; for i in 1 2 3 4; do timeout --foreground 60 cat /dev/zero >&2 & done; "
          "echo ready > ready; wait");
    pid_t group = command.pid;
    await_file("ready");
    uint64_t started_ns = hf_monotonic_now_ns();
    hf_command_stop(&command, 200 * HF_NS_PER_MS);
    cr_expect_lt(hf_monotonic_now_ns() - started_ns, 10 * HF_NS_PER_S);
    expect_group_gone(group);
}

Test(command, stopping_none_is_nothing)
{
    hf_command_stop(&command, 0);
    cr_expect_not(hf_command_running(&command));
}

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    for (int file = 0; file < 1024; file++)
        count += fcntl(file, F_GETFD) >= 0;
    return count;
}

Test(command, two_thousand_leave_nothing_behind)
{
    /* Good ones, bad ones, ones that cannot be started, ones that are stopped. */
    unsigned before = count_descriptors();
    for (int i = 0; i < 500; i++) {
        run(":");
        run("exit 1");
        cr_expect_eq(hf_command_start(&command, "/nowhere", ":"), -ENOENT);
        start("sleep 60");
        hf_command_stop(&command, HF_NS_PER_S);
    }
    cr_expect_eq(count_descriptors(), before, "descriptors leak");
    cr_expect(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "there is a zombie");
}
