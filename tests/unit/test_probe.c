/*
 * The probe: what it chooses and when it ends, on a disk and a clock of the test's; and on real file
 * systems that have direct I/O, have none, or have no room.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/lib/private_mount.h"
#include "tests/lib/process.h"
#include "wal/probe.h"
#include "wal/segment_header.h"
#include "wal/segments.h"

#define US 1000u
#define MS 1000000u

/* A disk that takes as long as it is told, by the clock that it moves. */
struct fake {
    struct hf_probe probe;
    uint64_t now_ns;
    uint64_t fill_ns;
    uint64_t (*write_ns)(enum hf_log_writes writes, uint32_t count); /* of the so manieth write */
    uint32_t writes, direct_writes;
    uint32_t fail_at; /* this write fails (1: the first); 0: none */
    int fill_result, write_result;
};

static uint64_t direct_ns, sync_ns; /* of constant disks */

static int fake_fill(struct hf_probe *probe)
{
    struct fake *fake = (struct fake *)probe;
    fake->now_ns += fake->fill_ns;
    return fake->fill_result;
}

static int fake_write(struct hf_probe *probe, enum hf_log_writes writes)
{
    struct fake *fake = (struct fake *)probe;
    cr_assert(writes == HF_LOG_WRITES_DIRECT || writes == HF_LOG_WRITES_SYNC);
    fake->now_ns += fake->write_ns(writes, fake->writes);
    fake->writes++;
    fake->direct_writes += writes == HF_LOG_WRITES_DIRECT;
    return fake->writes == fake->fail_at ? fake->write_result : 0;
}

static uint64_t fake_now_ns(struct hf_probe *probe)
{
    return ((struct fake *)probe)->now_ns;
}

static uint64_t constant(enum hf_log_writes writes, uint32_t count)
{
    (void)count;
    return writes == HF_LOG_WRITES_DIRECT ? direct_ns : sync_ns;
}

static struct fake fake_of(uint64_t (*write_ns)(enum hf_log_writes writes, uint32_t count))
{
    return (struct fake){
        .probe = {.fill = fake_fill, .write = fake_write, .now_ns = fake_now_ns},
        .now_ns = 77 * HF_NS_PER_S,
        .fill_ns = 1 * MS,
        .write_ns = write_ns,
    };
}

static struct hf_disk run(struct fake *fake)
{
    struct hf_disk disk = {.direct = {.used = true, .certain = true}};
    hf_probe_run(&fake->probe, &disk);
    return disk;
}

static struct hf_disk run_constant(uint64_t direct_us, uint64_t sync_us)
{
    direct_ns = direct_us * US;
    sync_ns = sync_us * US;
    struct fake fake = fake_of(constant);
    return run(&fake);
}

Test(probe, direct_writes_are_kept_unless_the_other_way_is_clearly_sooner)
{
    /* Disks on which write + fdatasync takes longer, as long, 15 % less, a little less than that. */
    struct hf_disk disk = run_constant(200, 300);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_DIRECT);
    cr_expect_eq(disk.direct_ns, 200 * US);
    cr_expect_eq(disk.sync_ns, 300 * US);
    cr_expect_eq(disk.rounds, HF_PROBE_MAX_ROUNDS);
    cr_expect_eq(disk.error, 0);
    cr_expect_eq(disk.probe_ns, 1 * MS + (HF_PROBE_MAX_ROUNDS + 1) * 500 * US);
    cr_expect_eq(disk.most_writes_inflight, 0, "the flusher's own policy stands");
    cr_expect_eq(run_constant(200, 200).writes, HF_LOG_WRITES_DIRECT);
    cr_expect_eq(run_constant(200, 170).writes, HF_LOG_WRITES_DIRECT);
    cr_expect_eq(run_constant(200, 169).writes, HF_LOG_WRITES_SYNC);
}

/* Write + fdatasync takes half as long, but for a fifth of the times, which are terrible. */
static uint64_t sometimes_terrible(enum hf_log_writes writes, uint32_t count)
{
    if (writes == HF_LOG_WRITES_DIRECT)
        return 200 * US;
    return count / 2 % 5 == 1 ? 2 * MS : 100 * US;
}

Test(probe, the_median_decides_and_not_the_mean)
{
    struct fake fake = fake_of(sometimes_terrible);
    struct hf_disk disk = run(&fake);
    cr_expect_eq(disk.direct_ns, 200 * US);
    cr_expect_eq(disk.sync_ns, 100 * US);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_SYNC);
}

/* Whichever comes first in a round finds the disk asleep. */
static uint64_t first_is_slow(enum hf_log_writes writes, uint32_t count)
{
    (void)writes;
    return count % 2 == 0 ? 400 * US : 200 * US;
}

/* Either way takes long every other time, write + fdatasync a little less often. */
static uint64_t a_toss_up(enum hf_log_writes writes, uint32_t count)
{
    uint32_t round = count / 2;
    if (writes == HF_LOG_WRITES_DIRECT)
        return round % 2 == 1 ? 400 * US : 200 * US;
    return round % 3 == 0 ? 400 * US : 200 * US;
}

Test(probe, no_way_is_chosen_by_its_place_or_by_chance)
{
    struct fake fake = fake_of(first_is_slow);
    struct hf_disk disk = run(&fake);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_DIRECT);
    fake = fake_of(a_toss_up);
    disk = run(&fake);
    cr_expect_lt(disk.sync_ns, disk.direct_ns, "by its median it would be");
    cr_expect_eq(disk.writes, HF_LOG_WRITES_DIRECT);
}

/* The first round takes 7 ms a write, so that few rounds follow it. */
static uint64_t slow_to_begin(enum hf_log_writes writes, uint32_t count)
{
    (void)writes;
    return count < 2 ? 7 * MS : (100 + count) * US;
}

Test(probe, the_first_round_is_not_counted)
{
    struct fake fake = fake_of(slow_to_begin);
    struct hf_disk disk = run(&fake);
    cr_expect_eq(fake.writes, 2 * (disk.rounds + 1));
    cr_expect_eq(disk.direct_ns, (100 + 2 + 2 * (disk.rounds / 2)) * US, "%llu",
                 (unsigned long long)disk.direct_ns);
}

Test(probe, it_ends_when_there_are_enough_rounds_or_when_few_have_taken_long_enough)
{
    /* A disk of 1 ms a write: some rounds; one of 5 ms: no more than the fewest. */
    struct hf_disk disk = run_constant(1000, 1000);
    cr_expect_eq(disk.rounds, 9, "%u", disk.rounds);
    cr_expect_eq(disk.probe_ns, 21 * MS);
    disk = run_constant(5000, 4000);
    cr_expect_eq(disk.rounds, HF_PROBE_MIN_ROUNDS);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_SYNC);
    cr_expect_eq(disk.error, 0);
}

Test(probe, on_a_slow_disk_it_ends_early_and_the_default_stands)
{
    /* A disk of 100 ms a write, which looks much faster the other way. */
    direct_ns = 100 * MS;
    sync_ns = 1 * MS;
    struct fake fake = fake_of(constant);
    fake.fill_ns = 20 * MS;
    struct hf_disk disk = run(&fake);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_DIRECT);
    cr_expect_eq(disk.error, -ETIME);
    cr_expect_eq(fake.writes, 1);
    cr_expect_eq(disk.direct_ns, 0, "nothing was measured");
    cr_expect_leq(disk.probe_ns, HF_PROBE_BUDGET_NS);

    /* Nor is a few rounds enough to choose by. */
    disk = run_constant(30000, 1000);
    cr_expect_eq(disk.error, -ETIME);
    cr_expect_lt(disk.rounds, HF_PROBE_MIN_ROUNDS);
    cr_expect_gt(disk.rounds, 0);
    cr_expect_eq(disk.direct_ns, 30 * MS);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_DIRECT);
}

/* The first write waits for the journal of the file system, three times as long as the others. */
static uint64_t journaled(enum hf_log_writes writes, uint32_t count)
{
    (void)writes;
    return count == 0 ? 3 * direct_ns : direct_ns;
}

Test(probe, it_never_takes_longer_than_its_budget)
{
    /* Disks of 10 us to 199 ms a write, each 2 % slower than the one before. */
    for (direct_ns = 10 * US; direct_ns < HF_PROBE_BUDGET_NS; direct_ns += direct_ns / 50) {
        struct fake fake = fake_of(journaled);
        fake.fill_ns = direct_ns;
        struct hf_disk disk = run(&fake);
        cr_expect_leq(disk.probe_ns, HF_PROBE_BUDGET_NS, "%llu us a write: %llu us",
                      (unsigned long long)(direct_ns / US),
                      (unsigned long long)(disk.probe_ns / US));
        cr_expect_eq(disk.writes, HF_LOG_WRITES_DIRECT);
    }
}

/* The disk stands still for 150 ms in the tenth round. */
static uint64_t stalling(enum hf_log_writes writes, uint32_t count)
{
    if (count == 20)
        return 150 * MS;
    return writes == HF_LOG_WRITES_DIRECT ? 200 * US : 100 * US;
}

Test(probe, a_stall_ends_it_and_what_was_measured_before_counts)
{
    struct fake fake = fake_of(stalling);
    struct hf_disk disk = run(&fake);
    cr_expect_eq(fake.writes, 21);
    cr_expect_eq(disk.rounds, 9);
    cr_expect_eq(disk.error, 0);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_SYNC);
}

Test(probe, an_error_ends_it_and_the_default_stands)
{
    /* Write + fdatasync is much sooner; but the filling fails, or one of the writes. */
    direct_ns = 200 * US;
    sync_ns = 100 * US;
    struct fake fake = fake_of(constant);
    fake.fill_result = -ENOSPC;
    struct hf_disk disk = run(&fake);
    cr_expect_eq(fake.writes, 0);
    cr_expect_eq(disk.error, -ENOSPC);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_DIRECT);
    for (uint32_t fail_at = 1; fail_at < 40; fail_at++) {
        fake = fake_of(constant);
        fake.fail_at = fail_at;
        fake.write_result = -EIO;
        disk = run(&fake);
        cr_expect_eq(fake.writes, fail_at);
        cr_expect_eq(disk.error, -EIO);
        cr_expect_eq(disk.writes, HF_LOG_WRITES_DIRECT, "an error in write %u", fail_at);
    }
}

Test(probe, without_direct_io_there_is_one_way_and_one_write_at_a_time)
{
    direct_ns = 100 * US;
    sync_ns = 300 * US;
    struct fake fake = fake_of(constant);
    struct hf_disk disk = {0};
    hf_probe_run(&fake.probe, &disk);
    cr_expect_eq(fake.direct_writes, 0);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_SYNC);
    cr_expect_eq(disk.sync_ns, 300 * US);
    cr_expect_eq(disk.direct_ns, 0);
    cr_expect_eq(disk.most_writes_inflight, 1);
}

Test(probe, where_direct_io_is_not_certain_one_write_is_in_flight_at_a_time)
{
    direct_ns = 100 * US;
    sync_ns = 300 * US;
    struct fake fake = fake_of(constant);
    struct hf_disk disk = {.direct = {.used = true}};
    hf_probe_run(&fake.probe, &disk);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_DIRECT);
    cr_expect_eq(disk.most_writes_inflight, 1);
}

/* ---- in words ---- */

static void expect_words(struct hf_disk disk, const char *words)
{
    char text[HF_DISK_TEXT_BYTES];
    hf_disk_describe(&disk, text, sizeof text);
    cr_expect_str_eq(text, words);
}

Test(probe, what_was_chosen_is_told_in_one_line)
{
    struct hf_disk disk = {
        .writes = HF_LOG_WRITES_DIRECT,
        .direct = {.used = true, .certain = true},
        .direct_ns = 150600,
        .sync_ns = 214400,
    };
    expect_words(disk, "direct, data-synced, 151 us a write (write + fdatasync: 214 us)");
    disk.writes = HF_LOG_WRITES_SYNC;
    expect_words(disk, "direct, then fdatasync, 214 us a write (data-synced: 151 us)");
    disk.most_writes_inflight = 1;
    disk.direct = (struct hf_io_direct){0};
    disk.direct_ns = 0;
    expect_words(disk, "through the page cache, then fdatasync, one at a time, 214 us a write");
    disk.in_memory = true;
    expect_words(disk, "through the page cache, then fdatasync, one at a time, in memory, 214 us a "
                       "write");

    disk = (struct hf_disk){.writes = HF_LOG_WRITES_DIRECT, .direct = {true, true, 512, 512}};
    disk.fixed = true;
    expect_words(disk, "direct, data-synced, as asked for");
    disk.fixed = false;
    disk.error = -ENOSPC;
    expect_words(disk, "direct, data-synced, the default: not measured: No space left on device");
    disk.error = -ETIME;
    expect_words(disk, "direct, data-synced, the default: the disk is too slow to compare");
    disk.direct_ns = 20 * MS;
    disk.sync_ns = 1 * MS;
    expect_words(disk, "direct, data-synced, 20000 us a write (write + fdatasync: 1000 us), the "
                       "default: the disk is too slow to compare");

    char tight[12];
    hf_disk_describe(&disk, tight, sizeof tight);
    cr_expect_str_eq(tight, "direct, dat", "what does not fit is dropped");
}

/* ---- real file systems ---- */

static char directory[HF_DIRECTORY_TEXT_BYTES];

static void open_directory(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
}

static void close_directory(void)
{
    hf_private_unmount(directory); /* if the test mounted something */
    hf_directory_remove(directory);
}

TestSuite(probe_disk, .init = open_directory, .fini = close_directory, .timeout = 60);

static void create_segment(void)
{
    static const uint8_t log_id[16] = {1};
    cr_assert_eq(hf_segment_create(hf_io_posix(), directory, log_id, 1, HF_MIN_SEGMENT_BYTES), 0);
}

static bool left_behind(void)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 32];
    snprintf(path, sizeof path, "%s/" HF_PROBE_NAME, directory);
    return access(path, F_OK) == 0;
}

/* Something to be found where a mount was expected, or the test cannot be done here. */
static void mount_or_skip(const char *type, const char *options)
{
    int result = hf_private_mount(type, options, directory);
    if (result == 0)
        return;
    hf_directory_remove(directory);
    cr_skip_test("cannot mount a %s here: %s", type, strerror(-result));
}

Test(probe_disk, a_disk_with_direct_io_is_measured_both_ways_and_no_file_is_left)
{
    struct hf_disk disk;
    create_segment();
    uint64_t began_ns = hf_monotonic_now_ns();
    cr_assert_eq(hf_disk_examine(&disk, directory, 1, HF_LOG_WRITES_AUTO), 0);
    uint64_t took_ns = hf_monotonic_now_ns() - began_ns;
    cr_expect(disk.direct.used, "the tests need a file system with O_DIRECT");
    cr_expect_leq(disk.probe_ns, took_ns);
    cr_expect_gt(disk.probe_ns, 0);
    cr_expect_not(disk.fixed);
    cr_expect_not(disk.in_memory);
    cr_expect_not(left_behind());
    if (disk.error == -ETIME) /* somebody else keeps the disk busy */
        cr_skip_test("the disk is too slow to measure now");
    cr_expect_eq(disk.error, 0);
    cr_expect_geq(disk.rounds, HF_PROBE_MIN_ROUNDS);
    cr_expect_gt(disk.direct_ns, 0);
    cr_expect_gt(disk.sync_ns, 0);
    if (disk.writes == HF_LOG_WRITES_SYNC)
        cr_expect_lt(disk.sync_ns * 100, disk.direct_ns * 85);
    else
        cr_expect_eq(disk.writes, HF_LOG_WRITES_DIRECT);
}

Test(probe_disk, a_fixed_way_is_taken_and_nothing_is_measured)
{
    static const enum hf_log_writes ways[] = {HF_LOG_WRITES_DIRECT, HF_LOG_WRITES_SYNC};
    create_segment();
    for (size_t i = 0; i < 2; i++) {
        struct hf_disk disk;
        cr_assert_eq(hf_disk_examine(&disk, directory, 1, ways[i]), 0);
        cr_expect_eq(disk.writes, ways[i]);
        cr_expect(disk.fixed);
        cr_expect(disk.direct.used);
        cr_expect_eq(disk.rounds, 0);
        cr_expect_eq(disk.direct_ns + disk.sync_ns, 0);
        cr_expect_eq(disk.error, 0);
    }
}

Test(probe_disk, a_segment_that_is_not_there_is_an_error)
{
    struct hf_disk disk;
    cr_expect_eq(hf_disk_examine(&disk, directory, 1, HF_LOG_WRITES_AUTO), -ENOENT);
}

Test(probe_disk, without_direct_io_blocks_go_through_the_page_cache)
{
    /* A ramfs, which refuses O_DIRECT. */
    struct hf_disk disk;
    mount_or_skip("ramfs", NULL);
    create_segment();
    cr_assert_eq(hf_disk_examine(&disk, directory, 1, HF_LOG_WRITES_AUTO), 0);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_SYNC);
    cr_expect_not(disk.direct.used);
    cr_expect_not(disk.direct.certain);
    cr_expect(disk.in_memory);
    cr_expect_eq(disk.most_writes_inflight, 1);
    cr_expect_eq(disk.direct_ns, 0);
    cr_expect_gt(disk.sync_ns, 0);
    cr_expect_not(left_behind());

    cr_expect_eq(hf_disk_examine(&disk, directory, 1, HF_LOG_WRITES_SYNC), 0);
    cr_expect_eq(disk.writes, HF_LOG_WRITES_SYNC);
    cr_expect_eq(disk.most_writes_inflight, 1);
    cr_expect_eq(hf_disk_examine(&disk, directory, 1, HF_LOG_WRITES_DIRECT), -EOPNOTSUPP);
}

Test(probe_disk, where_there_is_no_room_for_its_file_the_default_stands_and_says_so)
{
    /* A file system with room for the segment and half of the probe's file. */
    struct hf_disk disk;
    mount_or_skip("tmpfs", "size=1152k");
    create_segment();
    cr_assert_eq(hf_disk_examine(&disk, directory, 1, HF_LOG_WRITES_AUTO), 0);
    cr_expect_eq(disk.error, -ENOSPC);
    cr_expect_eq(disk.rounds, 0);
    cr_expect_eq(disk.writes, disk.direct.used ? HF_LOG_WRITES_DIRECT : HF_LOG_WRITES_SYNC);
    cr_expect_not(left_behind());
}
