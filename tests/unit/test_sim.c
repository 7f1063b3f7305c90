/*
 * The simulation in short form (`make sim` takes longer), and the disk that it stands on: what that
 * keeps and what it loses must be as it says, or the simulation proves nothing.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/process.h"
#include "tests/sim/disk.h"

#define SEEDS 64u /* power failures of each kind: enough for each way to end */
#define PAGES 4u
#define BYTES (PAGES * HF_SIM_PAGE_BYTES)

/* ---- the simulation ---- */

static void simulate(const char *const arguments[])
{
    char path[HF_PROGRAM_TEXT_BYTES];
    char output[8192];
    const char *argv[12] = {path};
    hf_program_path("sim", path);
    for (unsigned i = 0; arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    int status = hf_process_run(argv, output, sizeof output);
    cr_expect(status == 0, "the simulation ended with status %d: %s", status, output);
    fprintf(stderr, "%s", output);
}

#define SIMULATE(...) simulate((const char *const[]){__VA_ARGS__, NULL})

Test(sim, nothing_that_was_acknowledged_is_lost_by_two_thousand_crashes, .timeout = 300)
{
    SIMULATE("--crashes", "2000", "--seed", "1");
}

Test(sim, nor_by_some_others, .timeout = 300)
{
    SIMULATE("--crashes", "2000"); /* of a seed that it chooses, and tells */
}

/* ---- its disk ---- */

static struct hf_sim_disk disk;
static uint8_t *ones, *twos, *found;

static uint8_t *make_bytes(int value)
{
    uint8_t *bytes = aligned_alloc(HF_SIM_PAGE_BYTES, BYTES);
    cr_assert(bytes != NULL);
    memset(bytes, value, BYTES);
    return bytes;
}

static void open_disk(void)
{
    ones = make_bytes(1);
    twos = make_bytes(2);
    found = make_bytes(0);
}

static void close_disk(void)
{
    hf_sim_disk_close(&disk);
    cr_expect_eq(hf_sim_pages_held(), 0);
    free(ones);
    free(twos);
    free(found);
}

TestSuite(sim_disk, .init = open_disk, .fini = close_disk);

static struct hf_io *renew(uint64_t seed)
{
    hf_sim_disk_close(&disk);
    hf_sim_disk_init(&disk, seed);
    return &disk.io;
}

/* A file of ones, durable under its name; open in that mode. */
static int make_file(struct hf_io *io, const char *name, enum hf_io_open_mode mode)
{
    int file = io->open_file(io, "", name, HF_IO_CREATE);
    cr_assert(file >= 0);
    cr_assert_eq(io->write_at(io, file, ones, BYTES, 0), 0);
    cr_assert_eq(io->sync_file(io, file), 0);
    cr_assert_eq(io->sync_directory(io, ""), 0);
    cr_assert_eq(io->close_file(io, file), 0);
    file = io->open_file(io, "", name, mode);
    cr_assert(file >= 0);
    return file;
}

/* How many sectors of the file are those of `bytes`. */
static uint32_t sectors_of(const char *name, const uint8_t *bytes)
{
    const struct hf_sim_content *content = hf_sim_disk_seen(&disk, name);
    uint32_t count = 0;
    cr_assert(content != NULL && content->bytes <= BYTES);
    memset(found, 0, BYTES);
    hf_sim_content_read(content, 0, found, content->bytes);
    for (uint32_t offset = 0; offset < content->bytes; offset += HF_SIM_SECTOR_BYTES)
        count += memcmp(found + offset, bytes + offset, HF_SIM_SECTOR_BYTES) == 0;
    return count;
}

/* What `do_it` leaves behind, over many power failures: the least and the most sectors of twos; all
 * others are ones. */
static void fail_often(void (*do_it)(struct hf_io *io, int file), enum hf_io_open_mode mode,
                       uint32_t *least, uint32_t *most)
{
    *least = UINT32_MAX;
    *most = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct hf_io *io = renew(seed);
        do_it(io, make_file(io, "file", mode));
        hf_sim_disk_restart(&disk, HF_SIM_POWER);
        uint32_t count = sectors_of("file", twos);
        cr_assert_eq(count + sectors_of("file", ones), PAGES * HF_SIM_PAGE_SECTORS, "seed %lu",
                     (unsigned long)seed);
        *least = count < *least ? count : *least;
        *most = count > *most ? count : *most;
    }
}

static void overwrite(struct hf_io *io, int file)
{
    cr_assert_eq(io->write_at(io, file, twos, BYTES, 0), 0);
    cr_assert_eq(sectors_of("file", twos), PAGES * HF_SIM_PAGE_SECTORS);
}

static void overwrite_and_sync(struct hf_io *io, int file)
{
    overwrite(io, file);
    cr_assert_eq(io->sync_file(io, file), 0);
}

static void overwrite_and_sync_in_vain(struct hf_io *io, int file)
{
    overwrite(io, file);
    hf_sim_disk_fail(&disk, HF_SIM_SYNC_FILE, 0, 1, -EIO);
    cr_assert_eq(io->sync_file(io, file), -EIO);
    cr_assert_eq(io->sync_file(io, file), 0);
}

static void submit(struct hf_io *io, int file)
{
    (void)io;
    disk.queue.submit(&disk.queue, file, twos, BYTES, 0, 3);
    cr_assert_eq(disk.inflight_count, 1);
}

static void finish(const struct hf_sim_fate *fate, int result)
{
    struct hf_sim_completion completion;
    cr_assert(hf_sim_disk_finish(&disk, 0, fate, &completion));
    cr_assert_eq(completion.cookie, 3);
    cr_assert_eq(completion.result, result);
}

static void submit_and_finish(struct hf_io *io, int file)
{
    submit(io, file);
    finish(&(struct hf_sim_fate){.end = HF_SIM_DONE}, BYTES);
}

static void submit_and_shorten(struct hf_io *io, int file)
{
    submit(io, file);
    finish(&(struct hf_sim_fate){.end = HF_SIM_SHORT, .bytes = 1024}, 1024);
}

static void submit_and_lose(struct hf_io *io, int file)
{
    submit(io, file);
    finish(&(struct hf_sim_fate){.end = HF_SIM_LOST}, BYTES);
}

Test(sim_disk, what_was_not_synced_survives_a_power_failure_in_any_part)
{
    uint32_t least, most;
    fail_often(overwrite, HF_IO_OVERWRITE, &least, &most);
    cr_expect(least == 0 && most == PAGES * HF_SIM_PAGE_SECTORS, "%u .. %u", least, most);
}

Test(sim_disk, what_was_synced_or_written_through_survives_whole)
{
    uint32_t least, most;
    fail_often(overwrite_and_sync, HF_IO_OVERWRITE, &least, &most);
    cr_expect_eq(least, PAGES * HF_SIM_PAGE_SECTORS);
    fail_often(overwrite, HF_IO_WRITE, &least, &most);
    cr_expect_eq(least, PAGES * HF_SIM_PAGE_SECTORS);
    fail_often(submit_and_finish, HF_IO_WRITE, &least, &most);
    cr_expect_eq(least, PAGES * HF_SIM_PAGE_SECTORS);
}

Test(sim_disk, what_a_failed_sync_gave_up_is_not_made_durable_by_the_next)
{
    uint32_t least, most;
    fail_often(overwrite_and_sync_in_vain, HF_IO_OVERWRITE, &least, &most);
    cr_expect_eq(most, 0);
}

Test(sim_disk, a_write_in_flight_survives_in_any_part)
{
    uint32_t least, most;
    fail_often(submit, HF_IO_WRITE, &least, &most);
    cr_expect(least == 0 && most == PAGES * HF_SIM_PAGE_SECTORS, "%u .. %u", least, most);
    fail_often(submit_and_shorten, HF_IO_WRITE, &least, &most);
    cr_expect(least == 0 && most == 2, "%u .. %u", least, most);
    fail_often(submit_and_lose, HF_IO_WRITE, &least, &most);
    cr_expect_eq(most, 0);
}

Test(sim_disk, a_killed_process_loses_nothing_that_was_seen_but_it_is_not_durable)
{
    uint32_t lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct hf_io *io = renew(seed);
        overwrite(io, make_file(io, "file", HF_IO_OVERWRITE));
        hf_sim_disk_restart(&disk, HF_SIM_KILL);
        cr_assert_eq(sectors_of("file", twos), PAGES * HF_SIM_PAGE_SECTORS);
        hf_sim_disk_restart(&disk, HF_SIM_POWER);
        lost += sectors_of("file", ones) != 0;
    }
    cr_expect(lost > SEEDS / 4, "%u of %u", lost, SEEDS);
}

Test(sim_disk, what_a_killed_process_had_in_flight_lands_when_its_file_is_opened_for_writing)
{
    uint32_t landed = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct hf_io *io = renew(seed);
        submit(io, make_file(io, "file", HF_IO_WRITE));
        hf_sim_disk_restart(&disk, HF_SIM_KILL);
        cr_assert_eq(sectors_of("file", ones), PAGES * HF_SIM_PAGE_SECTORS);
        int file = io->open_file(io, "", "file", HF_IO_WRITE);
        uint32_t count = sectors_of("file", twos);
        landed += count != 0;
        cr_assert_eq(io->sync_file(io, file), 0);
        hf_sim_disk_restart(&disk, HF_SIM_POWER);
        cr_assert_eq(sectors_of("file", twos), count, "synced, it is durable");
    }
    cr_expect(landed > SEEDS / 4 && landed < SEEDS, "%u of %u", landed, SEEDS);
}

Test(sim_disk, a_rename_happens_whole_or_not_at_all_until_the_directory_is_synced)
{
    uint32_t happened = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct hf_io *io = renew(seed);
        io->close_file(io, make_file(io, "old", HF_IO_READ));
        cr_assert_eq(io->rename_file(io, "", "old", "new"), 0);
        cr_assert(hf_sim_disk_seen(&disk, "old") == NULL);
        if (seed % 2 == 0)
            cr_assert_eq(io->sync_directory(io, ""), 0);
        hf_sim_disk_restart(&disk, HF_SIM_POWER);
        bool is_new = hf_sim_disk_seen(&disk, "new") != NULL;
        cr_assert_neq(is_new, hf_sim_disk_seen(&disk, "old") != NULL);
        cr_assert(is_new || seed % 2 != 0);
        happened += is_new;
    }
    cr_expect(happened > SEEDS / 2 && happened < SEEDS, "%u of %u", happened, SEEDS);
}

Test(sim_disk, it_dies_in_the_change_that_was_named_and_does_nothing_more)
{
    struct hf_io *io = renew(1);
    int file = make_file(io, "file", HF_IO_WRITE);
    disk.die_at = disk.changes + 1;
    cr_assert_eq(io->sync_file(io, file), 0);
    cr_assert_eq(io->write_at(io, file, twos, BYTES, 0), -EIO);
    cr_assert(disk.dead);
    uint64_t changes = disk.changes;
    cr_expect_eq(io->sync_file(io, file), -EIO);
    cr_expect_eq(io->open_file(io, "", "other", HF_IO_CREATE), -EIO);
    cr_expect_eq(io->rename_file(io, "", "file", "other"), -EIO);
    cr_expect_eq(io->close_file(io, file), 0);
    cr_expect_eq(disk.changes, changes);
    hf_sim_disk_restart(&disk, HF_SIM_POWER);
    cr_expect(hf_sim_disk_seen(&disk, "file") != NULL);
    cr_expect(hf_sim_disk_seen(&disk, "other") == NULL);
}

Test(sim_disk, a_full_disk_takes_no_more_and_goes_on_when_it_has_room)
{
    struct hf_io *io = renew(1);
    int file = make_file(io, "file", HF_IO_WRITE);
    disk.room_bytes = BYTES;
    cr_expect_eq(io->write_at(io, file, twos, BYTES, 0), 0);
    int other = io->open_file(io, "", "other", HF_IO_CREATE);
    cr_expect_eq(io->write_at(io, other, twos, BYTES, 0), -ENOSPC);
    disk.room_bytes = 2ull * BYTES;
    cr_expect_eq(io->write_at(io, other, twos, BYTES, 0), 0);
    cr_expect_eq(hf_sim_disk_used_bytes(&disk), 2ull * BYTES);
}

Test(sim_disk, damage_is_healed_but_not_over_what_was_written_since)
{
    struct hf_io *io = renew(1);
    int file = make_file(io, "file", HF_IO_WRITE);
    submit_and_lose(io, file);
    hf_sim_disk_rot(&disk, "file", 5, 0x80);
    cr_expect_eq(sectors_of("file", ones), PAGES * HF_SIM_PAGE_SECTORS - 1);
    cr_assert_eq(io->write_at(io, file, ones, HF_SIM_PAGE_BYTES, 0), 0);
    hf_sim_disk_heal(&disk);
    cr_expect_eq(sectors_of("file", ones), HF_SIM_PAGE_SECTORS, "this was written since");
    cr_expect_eq(sectors_of("file", twos), (PAGES - 1) * HF_SIM_PAGE_SECTORS, "this was lost");
}

Test(sim_disk, a_copy_is_a_disk_of_its_own)
{
    static struct hf_sim_disk copy;
    struct hf_io *io = renew(1);
    io->close_file(io, make_file(io, "file", HF_IO_READ));
    hf_sim_disk_init(&copy, 1);
    hf_sim_disk_copy(&copy, &disk);
    cr_expect(hf_sim_disk_equal(&copy, &disk));
    hf_sim_disk_rot(&disk, "file", 100, 1);
    cr_expect(!hf_sim_disk_equal(&copy, &disk));
    hf_sim_disk_heal(&disk);
    cr_expect(hf_sim_disk_equal(&copy, &disk));
    hf_sim_disk_close(&copy);
}
