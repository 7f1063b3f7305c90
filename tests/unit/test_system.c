/*
 * The programs as a whole: real processes, a real disk, real sockets.
 *
 * What a person meets who starts, stops, kills and misuses them. The demo runs here as well; the crash
 * test has a file of its own.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/process.h"

#define OUTPUT_BYTES  16384
#define MAX_ARGUMENTS 24

static const char id_one[] = "018f0000-0000-7000-8000-000000000001";
static const char id_two[] = "018f0000-0000-7000-8000-000000000002";
static const char id_none[] = "018f0000-0000-7000-8000-00000000000f";

/* A server on a directory of its own, and the last output of a program. */
struct system {
    struct hf_daemon server;
    struct hf_daemon_options options;
    char directory[HF_DIRECTORY_TEXT_BYTES];
    char server_program[HF_PROGRAM_TEXT_BYTES];
    char client_program[HF_PROGRAM_TEXT_BYTES];
    char wal_program[HF_PROGRAM_TEXT_BYTES];
    char output[OUTPUT_BYTES];
};

static struct system sut;

static void start(void)
{
    cr_assert(hf_daemon_start(&sut.server, &sut.options) == 0, "%s", sut.server.error);
}

/* Only the directory and the names: nothing runs. */
static void prepare(void)
{
    cr_assert(hf_directory_make(sut.directory) == 0);
    hf_program_path("holdfastd", sut.server_program);
    hf_program_path("holdfast", sut.client_program);
    hf_program_path("holdfast-wal", sut.wal_program);
    sut.options.program = sut.server_program;
    sut.options.directory = sut.directory;
}

static void prepare_and_start(void)
{
    prepare();
    start();
}

static void clean_up(void)
{
    hf_daemon_forget(&sut.server);
    hf_directory_remove(sut.directory);
}

TestSuite(system, .init = prepare_and_start, .fini = clean_up, .timeout = 120);
TestSuite(system_start, .init = prepare, .fini = clean_up, .timeout = 120);

/* Cuts a line into words, in place, and runs it behind the given program. Returns the status. */
static int run_words(const char *program, const char *first, const char *second, const char *words)
{
    static char copy[2048];
    const char *argv[MAX_ARGUMENTS] = {program};
    size_t count = 1;
    if (first) {
        argv[count++] = first;
        argv[count++] = second;
    }
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word && count + 1 < MAX_ARGUMENTS;
         word = strtok(NULL, " "))
        argv[count++] = word;
    return hf_process_run_within(60, argv, sut.output, sizeof sut.output);
}

/* `holdfast --server ADDRESS WORDS` */
static int holdfast(const char *words)
{
    return run_words(sut.client_program, "--server", sut.server.address, words);
}

/* `holdfast-wal COMMAND DIRECTORY OPTIONS` */
static int holdfast_wal(const char *command, const char *options)
{
    return run_words(sut.wal_program, command, sut.directory, options);
}

/* `holdfastd WORDS`, expected to end by itself. */
static int holdfastd(const char *words)
{
    return run_words(sut.server_program, NULL, NULL, words);
}

static unsigned count_lines(const char *text)
{
    unsigned count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* Does the output have the member `"name":value`? */
static bool has(const char *name, const char *value)
{
    char member[256];
    snprintf(member, sizeof member, "\"%s\":%s", name, value);
    return strstr(sut.output, member) != NULL;
}

static void expect_members(const char *names)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name = strtok(copy, " "); name; name = strtok(NULL, " "))
        cr_expect(has(name, ""), "%s is missing in %s", name, sut.output);
}

/* A program that cannot do what it is asked says so in one line and fails. */
static void expect_one_line(int status, const char *mentions)
{
    cr_expect(status != 0 && status < 128, "status %d: %s", status, sut.output);
    cr_expect(count_lines(sut.output) == 1, "not one line: %s", sut.output);
    cr_expect(strstr(sut.output, mentions), "%s is not mentioned: %s", mentions, sut.output);
}

/* ---- the long stories ---- */

Test(system_story, the_demo_ends_as_it_must, .timeout = 300)
{
    static char output[OUTPUT_BYTES];
    static const char last[] = "\ndemo: granted=500 refused=500 acknowledged_lost=0 oversold=0 "
                               "recovered=2 cancelled=20 regranted=20 verified=ok\n";
    char demo[HF_PROGRAM_TEXT_BYTES], server[HF_PROGRAM_TEXT_BYTES], wal[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfast-demo", demo);
    hf_program_path("holdfastd", server);
    hf_program_path("holdfast-wal", wal);
    const char *const argv[] = {demo, "--server-program", server, "--wal-program", wal, NULL};
    int status = hf_process_run(argv, output, sizeof output);
    size_t length = strlen(output);
    cr_assert(status == 0, "status %d: %s", status, output);
    cr_expect(length >= sizeof last && strcmp(output + length - (sizeof last - 1), last) == 0, "%s",
              output);
}

/* ---- start and stop ---- */

Test(system, sigterm_and_sigint_end_with_status_0)
{
    cr_expect(hf_daemon_stop(&sut.server) == 0);
    start();
    kill(sut.server.pid, SIGINT);
    int status = -1;
    for (unsigned i = 0; i < 5000 && hf_daemon_running(&sut.server, &status); i++)
        usleep(1000);
    cr_expect(status == 0, "status %d", status);
}

/* Three reservations, a cancel, then SIGKILL: the next server holds what was acknowledged. The log has
 * one record more: that a unit can be had again. */
Test(system, what_was_acknowledged_survives_sigkill)
{
    char words[256];
    cr_assert(holdfast("inventory create 7 --capacity 2") == 0, "%s", sut.output);
    snprintf(words, sizeof words, "reserve 7 --customer 1 --id %s", id_one);
    cr_assert(holdfast(words) == 0, "%s", sut.output);
    snprintf(words, sizeof words, "reserve 7 --customer 2 --id %s", id_two);
    cr_assert(holdfast(words) == 0, "%s", sut.output);
    cr_assert(holdfast("reserve 7 --customer 3") == 1, "%s", sut.output);
    snprintf(words, sizeof words, "cancel %s", id_two);
    cr_assert(holdfast(words) == 0, "%s", sut.output);
    hf_daemon_kill(&sut.server);
    start();
    cr_expect(sut.server.recovery.reservations == 2, "%s", sut.server.ready);
    cr_expect(sut.server.recovery.inventories == 1, "%s", sut.server.ready);
    cr_expect(sut.server.recovery.records == 5, "%s", sut.server.ready);
    cr_expect(sut.server.recovery.lsn == 5, "%s", sut.server.ready);
    snprintf(words, sizeof words, "--json get %s", id_one);
    cr_expect(holdfast(words) == 0 && has("status", "\"CONFIRMED\""), "%s", sut.output);
    snprintf(words, sizeof words, "--json get %s", id_two);
    cr_expect(holdfast(words) == 0 && has("status", "\"CANCELLED\""), "%s", sut.output);
    cr_expect(holdfast("--json inventory show 7") == 0 && has("available", "1,"), "%s", sut.output);
}

Test(system, a_second_server_on_the_same_directory_is_refused)
{
    char words[512];
    snprintf(words, sizeof words, "--dir %s --listen 127.0.0.1:0", sut.directory);
    expect_one_line(holdfastd(words), sut.directory);
    cr_expect(holdfast("ping") == 0, "%s", sut.output);
}

Test(system, a_port_in_use_is_told)
{
    char words[512];
    snprintf(words, sizeof words, "--dir %s/other --listen %s", sut.directory, sut.server.address);
    expect_one_line(holdfastd(words), sut.server.address);
    cr_expect(holdfast("ping") == 0, "%s", sut.output);
}

Test(system_start, a_directory_that_cannot_be_used_is_told)
{
    char file[HF_DIRECTORY_TEXT_BYTES + 16], words[512];
    snprintf(file, sizeof file, "%s/file", sut.directory);
    int created = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert(created >= 0);
    close(created);
    snprintf(words, sizeof words, "--dir %s --listen 127.0.0.1:0", file);
    expect_one_line(holdfastd(words), file);
    snprintf(words, sizeof words, "--dir %s/below --listen 127.0.0.1:0", file);
    expect_one_line(holdfastd(words), file);
    expect_one_line(holdfastd("--dir /proc/holdfast --listen 127.0.0.1:0"), "/proc/holdfast");
}

/* As another user than root: root may write everywhere. */
Test(system_start, a_directory_without_permission_is_told)
{
    char script[2048];
    cr_assert(chmod(sut.directory, 0555) == 0);
    snprintf(script, sizeof script, "exec %s --dir %s/data --listen 127.0.0.1:0",
             sut.server_program, sut.directory);
    const char *const as_user[] = {"sh", "-c", script, NULL};
    const char *const as_nobody[] = {
        "setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "sh", "-c", script, NULL};
    int status = hf_process_run_within(60, geteuid() == 0 ? as_nobody : as_user, sut.output,
                                       sizeof sut.output);
    if (geteuid() == 0 && (status == 126 || status == 127))
        cr_skip_test("another user cannot run the program where it stands");
    expect_one_line(status, sut.directory);
}

Test(system_start, bad_options_are_told)
{
    static const struct {
        const char *words, *mentions;
    } cases[] = {
        {"--nonsense", "--nonsense"},
        {"--workers", "--workers"},
        {"--workers 0", "--workers"},
        {"--workers many", "--workers"},
        {"--durability perhaps", "--durability"},
        {"--listen nowhere", "nowhere"},
        {"--listen 127.0.0.1:99999", "127.0.0.1:99999"},
        {"--listen 192.0.2.1:7411", "192.0.2.1"},
        {"--segment-bytes 17", "--segment-bytes"},
        {"--max-reservations 0", "--max-reservations"},
        {"--max-inventories -1", "--max-inventories"},
        {"--archive-command cp%q", "%q; only %p"},
        {"--archive-command %", "single %"},
        {"--log-writes quickly", "auto, direct or sync"},
        {"--log-writes", "--log-writes"},
        {"--busy-poll 11ms", "up to 10ms"},
        {"--busy-poll soon", "--busy-poll"},
    };
    char words[512];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(words, sizeof words, "--dir %s/data %s", sut.directory, cases[i].words);
        int status = holdfastd(words);
        cr_expect(status != 0 && status < 128, "%s: status %d", cases[i].words, status);
        cr_expect(strstr(sut.output, cases[i].mentions), "%s: %s", cases[i].words, sut.output);
        cr_expect(count_lines(sut.output) <= 2, "%s: %s", cases[i].words, sut.output);
    }
}

Test(system_start, too_few_descriptors_are_told)
{
    char script[2048];
    snprintf(script, sizeof script, "ulimit -n 10; exec %s --dir %s --listen 127.0.0.1:0",
             sut.server_program, sut.directory);
    const char *const argv[] = {"sh", "-c", script, NULL};
    expect_one_line(hf_process_run_within(60, argv, sut.output, sizeof sut.output), "ulimit -n");
}

/* Whoever starts it has closed stdin, stdout and stderr: the log gets none of their numbers, and no
 * message. A tool that has something to say notices. */
/* Processor time of the server, in ticks of 10 ms. */
static unsigned long server_ticks(void)
{
    char path[64], text[1024] = "";
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)sut.server.pid);
    FILE *file = fopen(path, "r");
    cr_assert(file != NULL && fgets(text, sizeof text, file) != NULL);
    fclose(file);
    sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
           &kernel);
    return user + kernel;
}

/* It polls while there is work, and sleeps when there is none. */
Test(system_start, a_server_that_polls_answers_and_sleeps_when_idle)
{
    static const char *const extra[] = {"--busy-poll", "10ms", NULL};
    sut.options.extra = extra;
    start();
    cr_expect_eq(holdfast("inventory create 1 --capacity 1000"), 0, "%s", sut.output);
    for (int i = 0; i < 20; i++)
        cr_expect_eq(holdfast("reserve 1 --customer 7"), 0, "%s", sut.output);
    usleep(200 * 1000);
    unsigned long before = server_ticks();
    usleep(1000 * 1000);
    cr_expect_leq(server_ticks() - before, 10, "a tenth of the second, at most");
    cr_expect_eq(holdfast("ping"), 0);
}

Test(system_start, closed_standard_files_do_no_harm)
{
    char script[4096];
    unsigned port = hf_port_find();
    snprintf(script, sizeof script,
             "(exec %s --dir %s --listen 127.0.0.1:%u <&- >&- 2>&-) & pid=$!\n"
             "%s --server 127.0.0.1:%u ping --wait 30s || exit 3\n"
             "for file in 0 1 2; do readlink /proc/$pid/fd/$file; done\n"
             "kill $pid; wait $pid; echo status $?\n"
             "%s verify %s || exit 4\n"
             "%s info %s >&-; echo status $?\n",
             sut.server_program, sut.directory, port, sut.client_program, port, sut.wal_program,
             sut.directory, sut.wal_program, sut.directory);
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    cr_expect_eq(hf_process_run(argv, sut.output, sizeof sut.output), 0);
    cr_expect_not_null(strstr(sut.output, "/dev/null\n/dev/null\n/dev/null\nstatus 0\n"), "%s",
                       sut.output);
    cr_expect_not_null(strstr(sut.output, "cannot write the output"), "%s", sut.output);
}

Test(system_start, host_names_and_ipv6_are_listened_on)
{
    static const char *const listens[] = {"localhost:0", "[::1]:0", "0.0.0.0:0"};
    for (size_t i = 0; i < sizeof listens / sizeof listens[0]; i++) {
        if (i == 1 && access("/proc/net/if_inet6", R_OK) < 0)
            continue;
        sut.options.listen = listens[i];
        start();
        cr_expect(holdfast("ping") == 0, "%s: %s", sut.server.ready, sut.output);
        hf_daemon_kill(&sut.server);
    }
}

Test(system_start, memory_durability_answers_and_survives_a_clean_stop)
{
    static const char *const extra[] = {"--durability", "memory", NULL};
    sut.options.extra = extra;
    start();
    cr_expect(strstr(sut.server.ready, "durability memory"), "%s", sut.server.ready);
    cr_assert(holdfast("inventory create 1 --capacity 10") == 0, "%s", sut.output);
    for (unsigned i = 0; i < 10; i++)
        cr_assert(holdfast("reserve 1 --customer 5") == 0, "%s", sut.output);
    cr_expect(holdfast("reserve 1 --customer 5") == 1, "%s", sut.output);
    cr_assert(hf_daemon_stop(&sut.server) == 0);
    start();
    cr_expect(sut.server.recovery.reservations == 10, "%s", sut.server.ready);
    /* Killed: what was acknowledged more than 10 ms before must be there all the same. */
    usleep(200 * 1000);
    hf_daemon_kill(&sut.server);
    start();
    cr_expect(sut.server.recovery.reservations == 10, "%s", sut.server.ready);
}

/* The number behind a name in a file of /proc, such as "VmRSS:". */
static unsigned long long proc_number(const char *file, const char *name)
{
    char path[128], line[256];
    unsigned long long number = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)sut.server.pid, file);
    FILE *status = fopen(path, "re");
    cr_assert(status);
    while (fgets(line, sizeof line, status))
        if (strncmp(line, name, strlen(name)) == 0)
            number = strtoull(line + strlen(name), NULL, 10);
    fclose(status);
    return number;
}

static unsigned long long disk_bytes(void)
{
    unsigned long long sum = 0;
    const struct dirent *entry;
    DIR *directory = opendir(sut.directory);
    cr_assert(directory);
    while ((entry = readdir(directory))) {
        struct stat file;
        if (fstatat(dirfd(directory), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) == 0)
            sum += (unsigned long long)file.st_blocks * 512;
    }
    closedir(directory);
    return sum;
}

/* Context switches of all threads: each is somebody waking up. */
static unsigned long long wakings(void)
{
    char path[64];
    unsigned long long sum = 0;
    const struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/task", (int)sut.server.pid);
    DIR *tasks = opendir(path);
    cr_assert(tasks);
    while ((entry = readdir(tasks)))
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "task/%.20s/status", entry->d_name);
            sum += proc_number(path, "voluntary_ctxt_switches:");
        }
    closedir(tasks);
    return sum;
}

Test(system, an_idle_server_is_small_and_sleeps)
{
    usleep(500 * 1000);
    unsigned long long before = wakings();
    usleep(1000 * 1000);
    cr_expect(wakings() - before < 100, "%llu wakings in a second", wakings() - before);
    cr_expect(disk_bytes() < 256ull << 20, "%llu bytes of disk", disk_bytes());
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    cr_expect(proc_number("status", "VmRSS:") < 64 * 1024, "%llu KiB of memory",
              proc_number("status", "VmRSS:"));
#endif
}

/* ---- the command line ---- */

Test(system, the_client_tells_yes_no_bad_and_unknown_by_its_exit_status)
{
    char words[256];
    cr_expect(holdfast("ping") == 0, "%s", sut.output);
    cr_expect(holdfast("info") == 0, "%s", sut.output);
    cr_expect(holdfast("inventory create 1 --capacity 2 --product 9") == 0, "%s", sut.output);
    cr_expect(holdfast("inventory create 1 --capacity 2 --product 9") == 0, "%s", sut.output);
    cr_expect(holdfast("inventory create 1 --capacity 3 --product 9") == 2, "%s", sut.output);
    cr_expect(holdfast("inventory create 2 --capacity 0") == 2, "%s", sut.output);
    cr_expect(holdfast("inventory show 1") == 0, "%s", sut.output);
    cr_expect(holdfast("inventory show 2") == 2, "%s", sut.output);
    cr_expect(holdfast("inventory list") == 0, "%s", sut.output);
    snprintf(words, sizeof words, "reserve 1 --customer 4 --qty 2 --id %s", id_one);
    cr_expect(holdfast(words) == 0, "%s", sut.output);
    cr_expect(holdfast(words) == 0, "a repeat: %s", sut.output);
    snprintf(words, sizeof words, "reserve 1 --customer 4 --qty 1 --id %s", id_one);
    cr_expect(holdfast(words) == 2, "a reused id: %s", sut.output);
    cr_expect(holdfast("reserve 1 --customer 5") == 1, "sold out: %s", sut.output);
    cr_expect(holdfast("reserve 1 --customer 5 --qty 0") == 2, "%s", sut.output);
    cr_expect(holdfast("reserve 2 --customer 5") == 2, "%s", sut.output);
    cr_expect(holdfast("reserve 1 --customer 5 --id not-a-uuid") == 2, "%s", sut.output);
    snprintf(words, sizeof words, "get %s", id_one);
    cr_expect(holdfast(words) == 0, "%s", sut.output);
    snprintf(words, sizeof words, "get %s", id_none);
    cr_expect(holdfast(words) == 1, "%s", sut.output);
    snprintf(words, sizeof words, "cancel %s", id_none);
    cr_expect(holdfast(words) == 1, "%s", sut.output);
    snprintf(words, sizeof words, "cancel %s", id_one);
    cr_expect(holdfast(words) == 0, "%s", sut.output);
    cr_expect(holdfast(words) == 0, "a repeat: %s", sut.output);
    cr_expect(holdfast("") == 2, "%s", sut.output);
    cr_expect(holdfast("frobnicate") == 2, "%s", sut.output);
    hf_daemon_kill(&sut.server);
    cr_expect(holdfast("ping") == 3, "%s", sut.output);
    cr_expect(holdfast("reserve 1 --customer 5") == 3, "%s", sut.output);
}

Test(system, json_has_the_promised_members)
{
    static const char inventory[] =
        "inventory_id product_id capacity available held confirmed version";
    static const char reservation[] = "result reservation_id inventory_id customer_id qty status "
                                      "reservation_date cancellation_date lsn";
    char words[256];
    cr_assert(holdfast("--json inventory create 1 --capacity 2 --product 9") == 0);
    expect_members(inventory);
    cr_expect(has("available", "2,") && has("held", "0,") && has("product_id", "9,"), "%s",
              sut.output);
    cr_assert(holdfast("--json inventory show 1") == 0);
    expect_members(inventory);
    cr_assert(holdfast("inventory create 3 --capacity 5") == 0);
    cr_assert(holdfast("--json inventory list") == 0);
    expect_members(inventory);
    cr_expect(count_lines(sut.output) == 2, "one object a line: %s", sut.output);
    snprintf(words, sizeof words, "--json reserve 1 --customer 4 --qty 2 --id %s", id_one);
    cr_assert(holdfast(words) == 0);
    expect_members(reservation);
    cr_expect(has("result", "\"GRANTED\"") && has("cancellation_date", "null") && has("qty", "2,"),
              "%s", sut.output);
    cr_expect(strstr(sut.output, id_one) && has("reservation_date", "\"20"), "%s", sut.output);
    cr_assert(holdfast("--json reserve 1 --customer 5") == 1);
    cr_expect(has("result", "\"SOLD_OUT\"") && has("available", "0"), "%s", sut.output);
    snprintf(words, sizeof words, "--json get %s", id_one);
    cr_assert(holdfast(words) == 0);
    expect_members(reservation);
    snprintf(words, sizeof words, "--json cancel %s", id_one);
    cr_assert(holdfast(words) == 0);
    expect_members(reservation);
    cr_expect(has("result", "\"CANCELLED\"") && has("cancellation_date", "\"20"), "%s", sut.output);
    cr_expect(count_lines(sut.output) == 1, "%s", sut.output);
}

/* ---- the log's tool ---- */

/* On the directory of a running server, without changing it. */
Test(system, the_log_can_be_read_while_a_server_writes_it)
{
    char words[256];
    cr_assert(holdfast("inventory create 1 --capacity 2") == 0, "%s", sut.output);
    snprintf(words, sizeof words, "reserve 1 --customer 4 --id %s", id_one);
    cr_assert(holdfast(words) == 0, "%s", sut.output);
    snprintf(words, sizeof words, "cancel %s", id_one);
    cr_assert(holdfast(words) == 0, "%s", sut.output);
    cr_expect(holdfast_wal("info", "") == 0, "%s", sut.output);
    cr_expect(holdfast_wal("dump", "") == 0 && count_lines(sut.output) == 3, "%s", sut.output);
    cr_expect(holdfast_wal("dump", "--json") == 0 && count_lines(sut.output) == 3, "%s",
              sut.output);
    cr_expect(strstr(sut.output, id_one) && has("status", "\"CANCELLED\""), "%s", sut.output);
    cr_expect(holdfast_wal("verify", "") == 0, "%s", sut.output);
    cr_expect(strstr(sut.output, "\nverify: ok\n"), "%s", sut.output);
    cr_expect(holdfast("ping") == 0, "%s", sut.output);
}

/* Changes one byte of the first block's payload in the first segment that has one. */
static bool damage_log(void)
{
    bool damaged = false;
    const struct dirent *entry;
    DIR *directory = opendir(sut.directory);
    cr_assert(directory);
    while (!damaged && (entry = readdir(directory))) {
        char path[HF_DIRECTORY_TEXT_BYTES + 256];
        uint8_t found[9] = {0};
        snprintf(path, sizeof path, "%s/%s", sut.directory, entry->d_name);
        int file = entry->d_name[0] == '.' ? -1 : open(path, O_RDWR | O_CLOEXEC);
        for (off_t at = 0; file >= 0 && !damaged && pread(file, found, 8, at) == 8; at += 4096) {
            uint8_t byte, count;
            if (memcmp(found, "HFBLOCK1", 8) != 0 || pread(file, &count, 1, at + 64) != 1 ||
                count == 0)
                continue;
            cr_assert(pread(file, &byte, 1, at + 128 + 40) == 1);
            byte ^= 1;
            damaged = pwrite(file, &byte, 1, at + 128 + 40) == 1;
        }
        if (file >= 0)
            close(file);
    }
    closedir(directory);
    return damaged;
}

/* One bit of an acknowledged record flipped: nothing is cut silently, nothing is served. */
Test(system, a_damaged_log_is_refused_and_the_place_is_named)
{
    char words[512];
    cr_assert(holdfast("inventory create 1 --capacity 20") == 0, "%s", sut.output);
    for (unsigned i = 0; i < 5; i++)
        cr_assert(holdfast("reserve 1 --customer 4") == 0, "%s", sut.output);
    cr_assert(hf_daemon_stop(&sut.server) == 0);
    cr_assert(damage_log(), "no block with a record in the log");
    cr_expect(holdfast_wal("verify", "") == 1, "%s", sut.output);
    cr_expect(strstr(sut.output, ".wal at ") && strstr(sut.output, "verify: FAILED"), "%s",
              sut.output);
    snprintf(words, sizeof words, "--dir %s --listen 127.0.0.1:0", sut.directory);
    expect_one_line(holdfastd(words), ".wal at ");
}
