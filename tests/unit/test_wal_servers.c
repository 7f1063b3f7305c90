/*
 * holdfast-wal and real servers: copies of a directory that is being written to, logs that were
 * made of others and are gone on with, archives of servers that were killed, and what no server
 * starts on.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/lib/wal_expect.h"

#define PATH_BYTES (2 * HF_DIRECTORY_TEXT_BYTES)
#define OUT_BYTES  4096
#define MARK       "9999999999999999.snapshot"

static char home[HF_DIRECTORY_TEXT_BYTES];
static char data[PATH_BYTES], dest[PATH_BYTES], archive[PATH_BYTES];
static struct hf_daemon server, other;
static char output[OUT_BYTES];

static void open_home(void)
{
    cr_assert_eq(hf_directory_make(home), 0);
    snprintf(data, sizeof data, "%s/data", home);
    snprintf(dest, sizeof dest, "%s/dest", home);
    snprintf(archive, sizeof archive, "%s/archive", home);
    cr_assert_eq(mkdir(archive, 0750), 0);
}

static void close_home(void)
{
    hf_daemon_forget(&server);
    hf_daemon_forget(&other);
    hf_directory_remove(home);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(wal_servers, .init = open_home, .fini = close_home, .timeout = 120);

/* With an archive if it is the first one: those that go on from a copy must not have the same. */
static void start(struct hf_daemon *daemon, const char *directory)
{
    static const char *const extra[] = {"--segment-bytes", "1048576", "--archive-command",
                                        "cp %p ../archive/%f", NULL};
    cr_assert_eq(hf_daemon_start_in(daemon, directory, directory == data ? extra : NULL), 0, "%s",
                 daemon->error);
}

/* `holdfast --server ADDRESS WORDS`; all of them stand in `output`. */
static int ask(const struct hf_daemon *daemon, const char *words)
{
    char program[HF_PROGRAM_TEXT_BYTES], command[2 * PATH_BYTES];
    hf_program_path("holdfast", program);
    snprintf(command, sizeof command, "exec %s --server %s %s", program, daemon->address, words);
    const char *const argv[] = {"sh", "-c", command, NULL};
    return hf_process_run_within(60, argv, output, sizeof output);
}

static void expect_answer(const struct hf_daemon *daemon, int status, const char *words)
{
    int exited = ask(daemon, words);
    cr_expect_eq(exited, status, "%s: exit status %d: %s", words, exited, output);
}

/* "state hash 0123456789abcdef of ..." */
static void server_hash(const struct hf_daemon *daemon, char hash[17])
{
    expect_answer(daemon, 0, "hash");
    cr_assert_eq(sscanf(output, "state hash %16s", hash), 1, "%s", output);
}

static void log_hash(const char *directory, const char *at, char hash[17])
{
    hf_wal_expect_run(0, "hash", directory, "--at", at);
    cr_assert_eq(sscanf(hf_wal_output, "state_hash: %16s\n", hash), 1, "%s", hf_wal_output);
}

/* The number behind "\nNAME: " of the last run. */
static unsigned long long told(const char *name)
{
    char line[64];
    snprintf(line, sizeof line, "\n%s: ", name);
    const char *found = strstr(hf_wal_output, line);
    cr_assert_not_null(found, "%s: %s", name, hf_wal_output);
    return strtoull(found + strlen(line), NULL, 10);
}

/* A load that is put on a server by the side. */
struct load {
    pthread_t thread;
    const char *address, *seconds;
};

static void *run_load(void *context)
{
    const struct load *load = context;
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfast-bench", program);
    const char *const argv[] = {program,       "--server",      load->address, "--op",
                                "cancel",      "--connections", "8",           "--depth",
                                "8",           "--inventories", "3",           "--seconds",
                                load->seconds, "--warmup",      "0",           NULL};
    hf_process_run(argv, NULL, 0);
    return NULL;
}

static void begin_load(struct load *load, const struct hf_daemon *daemon, const char *seconds)
{
    *load = (struct load){.address = daemon->address, .seconds = seconds};
    cr_assert_eq(pthread_create(&load->thread, NULL, run_load, load), 0);
}

static void end_load(struct load *load)
{
    pthread_join(load->thread, NULL);
}

/* ---- backup ------------------------------------------------------------------------------ */

/* Ten reservations, told to the file. */
static void reserve_ten(const char *acks, unsigned round)
{
    FILE *file = fopen(acks, "a");
    cr_assert_not_null(file);
    for (unsigned i = 0; i < 10; i++) {
        char words[128];
        snprintf(words, sizeof words,
                 "--json reserve 1 --customer 5 --id 018f0000-0000-7000-8000-0000000000%02x",
                 10 * round + i);
        expect_answer(&server, 0, words);
        fputs(output, file);
    }
    fclose(file);
}

Test(wal_servers, a_backup_under_load_has_all_that_was_acknowledged_before_it)
{
    /* Backups one after the other while a load runs and snapshots are made; before each, ten
     * reservations are acknowledged. A server starts from each copy. */
    struct load load;
    char acks[PATH_BYTES], copy[PATH_BYTES], hash[17], copied[17], words[128];
    start(&server, data);
    snprintf(acks, sizeof acks, "%s/acks", home);
    expect_answer(&server, 0, "inventory create 1 --capacity 1000");
    begin_load(&load, &server, "4");
    for (unsigned round = 0; round < 4; round++) {
        reserve_ten(acks, round);
        if (round == 2)
            expect_answer(&server, 0, "snapshot --wait 30s");
        snprintf(copy, sizeof copy, "%s/copy%u", home, round);
        hf_wal_expect_run(0, "backup", data, "--to", copy);
        unsigned long long last_lsn = told("last_lsn");
        hf_wal_expect_run(0, "verify", copy, "--acks", acks);
        hf_wal_expect("\nverify: ok\n");
        log_hash(copy, "now", copied);
        snprintf(words, sizeof words, "%llu", last_lsn);
        log_hash(data, words, hash);
        cr_expect_str_eq(hash, copied);
        start(&other, copy);
        server_hash(&other, hash);
        cr_expect_str_eq(hash, copied);
        cr_expect_eq(other.recovery.lsn, last_lsn);
        cr_expect_eq(hf_daemon_stop(&other), 0);
    }
    end_load(&load);
}

/* ---- restore ----------------------------------------------------------------------------- */

Test(wal_servers, a_server_goes_on_with_what_was_restored)
{
    /* One unit of three is confirmed, one is held for two seconds, the third released: restored
     * to before the release. The hold lapses in the new server, the limit holds, LSNs go on; and
     * what it has written by then, with a snapshot of its own, is restored once more. */
    char hash[17], restored[17], again[PATH_BYTES];
    start(&server, data);
    expect_answer(&server, 0, "inventory create 1 --capacity 3");
    expect_answer(&server, 0, "reserve 1 --customer 5 --id 018f0000-0000-7000-8000-000000000001");
    expect_answer(&server, 0,
                  "hold 1 --customer 6 --ttl 2s --id 018f0000-0000-7000-8000-000000000002");
    expect_answer(&server, 0,
                  "hold 1 --customer 7 --ttl 1h --id 018f0000-0000-7000-8000-000000000003");
    server_hash(&server, hash);
    expect_answer(&server, 0, "release 018f0000-0000-7000-8000-000000000003");
    hf_daemon_kill(&server);
    hf_wal_expect_run(0, "restore", "--from", data, "--to", dest, "--until", "4");
    hf_wal_expect(hash);
    start(&server, dest);
    cr_expect_eq(server.recovery.lsn, 4);
    expect_answer(&server, 1, "reserve 1 --customer 8 --qty 3");
    expect_answer(&server, 0, "reserve 1 --customer 5 --id 018f0000-0000-7000-8000-000000000001");
    sleep(3);
    expect_answer(&server, 0, "reserve 1 --customer 8 --id 018f0000-0000-7000-8000-000000000004");
    cr_expect_not_null(strstr(output, "LSN          7\n"), "5 is the expiry, 6 an event: %s",
                       output);
    expect_answer(&server, 1, "reserve 1 --customer 8");
    expect_answer(&server, 0, "confirm 018f0000-0000-7000-8000-000000000003");
    expect_answer(&server, 0, "snapshot --wait 30s");
    server_hash(&server, hash);
    cr_expect_eq(hf_daemon_stop(&server), 0);
    hf_wal_expect_run(0, "verify", dest);
    hf_wal_expect("\nverify: ok\n");
    snprintf(again, sizeof again, "%s/again", home);
    hf_wal_expect_run(0, "restore", "--from", dest, "--to", again);
    hf_wal_expect(hash);
    start(&server, again);
    server_hash(&server, restored);
    cr_expect_str_eq(hash, restored);
}

Test(wal_servers, moments_in_the_middle_of_a_load_are_restored)
{
    /* Two seconds of load, with a snapshot in it, killed. LSNs and a date in it, from the
     * directory; then the end of the archive, and an LSN of it, from the archive. */
    struct load load;
    char hash[17], text[64], date[64];
    start(&server, data);
    expect_answer(&server, 0, "inventory create 1 --capacity 1000");
    begin_load(&load, &server, "3");
    sleep(1);
    expect_answer(&server, 0, "snapshot --wait 30s");
    snprintf(date, sizeof date, "@%llu.%09llu",
             (unsigned long long)(hf_date_now_ns() / HF_NS_PER_S),
             (unsigned long long)(hf_date_now_ns() % HF_NS_PER_S));
    sleep(1);
    hf_daemon_kill(&server);
    end_load(&load);
    hf_wal_expect_run(0, "info", data);
    unsigned long long last_lsn = told("last_lsn");
    cr_assert_gt(last_lsn, 1000);
    for (unsigned i = 0; i <= 3; i++) {
        snprintf(text, sizeof text, "%llu", last_lsn * (i + 1) / 4);
        const char *until = i == 0 ? date : text;
        log_hash(data, until, hash);
        hf_wal_expect_run(0, "restore", "--from", data, "--to", dest, "--until", until);
        hf_wal_expect(hash);
        char told_hash[17];
        start(&other, dest);
        server_hash(&other, told_hash);
        cr_expect_str_eq(told_hash, hash, "%s", until);
        hf_daemon_kill(&other);
        cr_assert_eq(hf_directory_remove(dest), 0);
    }
    /* The archive ends with a full segment: before what its snapshot attests, or behind it. */
    if (hf_wal_run("restore", "--from", archive, "--to", dest, NULL) != 0) {
        hf_wal_expect("; the last LSN that can be restored is ");
        const char *until = strstr(hf_wal_output, "--until ");
        cr_assert_not_null(until);
        snprintf(text, sizeof text, "%llu", strtoull(until + 8, NULL, 10));
        hf_wal_expect_run(0, "restore", "--from", archive, "--to", dest, "--until", text);
    }
    snprintf(text, sizeof text, "%llu", told("last_lsn"));
    cr_expect_gt(told("last_lsn"), 1000);
    log_hash(data, text, hash);
    hf_wal_expect(hash);
    log_hash(dest, "now", text);
    cr_expect_str_eq(text, hash);
}

Test(wal_servers, an_archive_of_which_the_server_has_only_the_end_is_restored)
{
    /* Two snapshots have let the first segments go; the archive has them all, and the server's
     * directory does not know what was in the beginning. */
    struct load load;
    char hash[17];
    start(&server, data);
    expect_answer(&server, 0, "inventory create 1 --capacity 1000");
    expect_answer(&server, 0, "reserve 1 --customer 5");
    server_hash(&server, hash);
    for (int i = 0; i < 3; i++) {
        begin_load(&load, &server, "1");
        end_load(&load);
        expect_answer(&server, 0, "snapshot --wait 30s");
    }
    cr_expect_eq(hf_daemon_stop(&server), 0);
    hf_wal_expect_run(1, "restore", "--from", data, "--to", dest, "--until=2");
    hf_wal_expect("does not hold the state at LSN 2");
    hf_wal_expect_run(0, "restore", "--from", archive, "--to", dest, "--until=2");
    hf_wal_expect(hash);
    cr_assert_eq(hf_directory_remove(dest), 0);
    log_hash(data, "now", hash);
    hf_wal_expect_run(0, "backup", data, "--to", dest);
    cr_expect_gt(told("first_segment"), 1);
    start(&other, dest);
    char copied[17];
    server_hash(&other, copied);
    cr_expect_str_eq(copied, hash);
}

/* ---- compact and repair ------------------------------------------------------------------ */

Test(wal_servers, a_compacted_log_is_small_and_the_same)
{
    struct load load;
    char hash[17], compacted[17];
    start(&server, data);
    begin_load(&load, &server, "1");
    end_load(&load);
    server_hash(&server, hash);
    hf_wal_expect_run(1, "compact", data, "--to", dest);
    hf_wal_expect("a server runs on ");
    cr_expect_eq(hf_daemon_stop(&server), 0);
    hf_wal_expect_run(0, "compact", data, "--to", dest);
    start(&server, dest);
    server_hash(&server, compacted);
    cr_expect_str_eq(hash, compacted);
    cr_expect_eq(server.recovery.records, 0);
}

Test(wal_servers, what_no_server_starts_on_can_be_repaired)
{
    /* A byte in the middle of the first segment. */
    struct load load;
    start(&server, data);
    begin_load(&load, &server, "1");
    end_load(&load);
    cr_expect_eq(hf_daemon_stop(&server), 0);
    char path[2 * PATH_BYTES], byte;
    snprintf(path, sizeof path, "%s/0000000000000001.wal", data);
    int file = open(path, O_RDWR);
    cr_assert(file >= 0 && pread(file, &byte, 1, 500000) == 1);
    byte ^= 1;
    cr_assert_eq(pwrite(file, &byte, 1, 500000), 1);
    close(file);
    cr_expect_eq(hf_daemon_start_in(&server, data, NULL), -1);
    hf_wal_expect_run(0, "repair", data, "--to", dest, "--yes");
    unsigned long long last_lsn = told("last_lsn");
    cr_expect_gt(told("lost_records"), 0);
    start(&server, dest);
    cr_expect_eq(server.recovery.lsn, last_lsn);
    expect_answer(&server, 0, "inventory create 77 --capacity 5");
    expect_answer(&server, 0, "reserve 77 --customer 5");
}

/* ---- what is not whole ------------------------------------------------------------------- */

static void rename_in(const char *directory, const char *from, const char *to)
{
    char old[2 * PATH_BYTES], new[2 * PATH_BYTES];
    snprintf(old, sizeof old, "%s/%s", directory, from);
    snprintf(new, sizeof new, "%s/%s", directory, to);
    cr_assert_eq(rename(old, new), 0, "%s", old);
}

static void expect_refused(const char *why)
{
    cr_expect_eq(hf_daemon_start_in(&other, dest, NULL), -1, "%s", why);
    hf_daemon_forget(&other);
}

Test(wal_servers, no_server_starts_on_what_is_not_whole)
{
    /* What a crash leaves at each stage: the mark alone; with the snapshot; with the segment; the
     * snapshot alone. And when the mark is gone, it starts. */
    char mark[2 * PATH_BYTES];
    start(&server, data);
    expect_answer(&server, 0, "inventory create 1 --capacity 3");
    cr_expect_eq(hf_daemon_stop(&server), 0);
    hf_wal_expect_run(0, "restore", "--from", data, "--to", dest);
    snprintf(mark, sizeof mark, "%s/" MARK, dest);
    int file = open(mark, O_CREAT | O_WRONLY, 0640);
    cr_assert_geq(file, 0);
    close(file);
    expect_refused("all, and the mark");
    rename_in(dest, "0000000000000001.wal", "segment");
    expect_refused("the snapshot, and the mark");
    rename_in(dest, "0000000000000001.snapshot", "snapshot");
    expect_refused("the mark");
    rename_in(dest, "segment", "0000000000000001.wal");
    expect_refused("the segment, and the mark");
    rename_in(dest, "snapshot", "0000000000000001.snapshot");
    cr_assert_eq(unlink(mark), 0);
    rename_in(dest, "0000000000000001.wal", "segment");
    expect_refused("the snapshot");
    rename_in(dest, "segment", "0000000000000001.wal");
    start(&other, dest);
    cr_expect_eq(other.recovery.inventories, 1);
}
