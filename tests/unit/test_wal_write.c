/*
 * holdfast-wal restore, compact, repair and backup, on built logs: the state that comes out, what
 * is refused, and that nothing is left behind where nothing should be.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/log_snapshot.h"
#include "tests/lib/private_mount.h"
#include "tests/lib/wal_expect.h"
#include "wal/segment_header.h"

#define PATH_BYTES (2 * HF_DIRECTORY_TEXT_BYTES)
#define MARK       "9999999999999999.snapshot"

static struct hf_log_builder builder;
static char home[HF_DIRECTORY_TEXT_BYTES];       /* of what the tests make */
static char dest[PATH_BYTES];                    /* does not exist */
static uint64_t first_end, second_end, last_lsn; /* LSNs: of the segments, and of the log */

static void open_builder(void)
{
    cr_assert_eq(hf_directory_make(home), 0);
    snprintf(dest, sizeof dest, "%s/dest", home);
    hf_log_builder_open(&builder, HF_BUILDER_MIN_BYTES);
}

static void close_builder(void)
{
    hf_log_builder_close(&builder);
    hf_directory_remove(home);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(wal_write, .init = open_builder, .fini = close_builder);

/*
 * Three segments. In the first: inventory 1 of 5 units; 10 has two, 11 holds one. In the second:
 * 14 has one, 10 gives its two back. In the third: 15 takes one. The first two are full of other
 * inventories.
 */
static void build_segments(void)
{
    struct hf_reservation held = hf_builder_reservation(11, 1, 1, HF_STATE_HELD);
    struct hf_image_notes as_held = {.inventory_version = 3, .made_as = HF_STATE_HELD};
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 1, 5);
    hf_log_builder_reservation(&builder, 10, 1, 2, 2);
    hf_log_builder_image(&builder, &held, &as_held);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_fill(&builder, 0);
    first_end = builder.next.first_lsn - 1;
    hf_log_builder_reservation(&builder, 14, 1, 1, 6);
    hf_log_builder_reservation(&builder, 10, 1, 2, 0);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_fill(&builder, 0);
    second_end = builder.next.first_lsn - 1;
    hf_log_builder_reservation(&builder, 15, 1, 1, 8);
    hf_log_builder_block(&builder, 0);
    last_lsn = builder.next.first_lsn - 1;
}

static const char *number_text(uint64_t number)
{
    static char texts[8][24];
    static unsigned next;
    char *text = texts[next++ % 8];
    snprintf(text, sizeof texts[0], "%llu", (unsigned long long)number);
    return text;
}

static void hash_of(const char *directory, const char *at, char hash[17])
{
    hf_wal_expect_run(0, "hash", directory, "--at", at);
    cr_assert_eq(sscanf(hf_wal_output, "state_hash: %16s\n", hash), 1, "%s", hf_wal_output);
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static void remove_dest(void)
{
    cr_assert_eq(hf_directory_remove(dest), 0);
}

/* A file of the log, or of what was made. */
static const char *file_in(const char *directory, const char *name)
{
    static char path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void remove_segment(uint64_t segment)
{
    char path[PATH_BYTES];
    hf_log_builder_segment_path(&builder, segment, path, sizeof path);
    cr_assert_eq(unlink(path), 0);
}

static void spoil_snapshot(uint64_t snapshot_lsn)
{
    char name[HF_SNAPSHOT_NAME_BYTES];
    hf_snapshot_name_format(snapshot_lsn, name);
    int file = open(file_in(builder.directory, name), O_WRONLY);
    cr_assert(file >= 0 && pwrite(file, "x", 1, 5000) == 1);
    close(file);
}

/* A copy of the builder's directory, to see that it does not change. */
static void remember(void)
{
    const char *const argv[] = {"cp", "-a", builder.directory, file_in(home, "before"), NULL};
    cr_assert_eq(hf_process_run(argv, NULL, 0), 0);
}

static void expect_unchanged(void)
{
    const char *const argv[] = {"diff", "-r", builder.directory, file_in(home, "before"), NULL};
    char output[512];
    cr_expect_eq(hf_process_run(argv, output, sizeof output), 0, "%s", output);
}

/* ---- restore ---------------------------------------------------------------------------- */

/* What was restored is the state at that moment, in a log that is sound, and says where it is
 * from. */
static void expect_restored(const char *until, uint64_t lsn)
{
    char before[17], after[17], text[128];
    hash_of(builder.directory, until, before);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest, "--until", until);
    snprintf(text, sizeof text, "\nlast_lsn: %llu\n", (unsigned long long)lsn);
    hf_wal_expect(text);
    hf_wal_expect(before);
    hash_of(dest, number_text(lsn), after);
    cr_expect_str_eq(before, after, "until %s", until);
    hf_wal_expect_run(0, "verify", dest);
    hf_wal_expect(before);
    hf_wal_expect("\nverify: ok\n");
    hf_wal_expect_run(0, "info", dest);
    hf_wal_expect(lsn == 0
                      ? " origin_log_id=0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0\n"
                      : " origin_log_id=0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0 origin_last_lsn=");
    cr_expect_not(exists(file_in(dest, MARK)));
    remove_dest();
}

Test(wal_write, the_state_of_any_moment_is_restored)
{
    /* Every LSN of the story; 10 is in the middle of a chain, so it is 9 that comes out. Then
     * dates. */
    hf_wal_build_story(&builder);
    for (uint64_t lsn = 0; lsn <= 14; lsn++)
        expect_restored(number_text(lsn), lsn == 10 ? 9 : lsn);
    expect_restored("2026-01-02T03:04:05.000000065Z", 7);
    expect_restored("2026-01-02T03:04:06Z", 9);
    expect_restored("now", 14);
}

Test(wal_write, what_is_restored_says_all_that_the_state_says)
{
    /* Reservations with links, origins and offers; an inventory closed by selling out; a waiting
     * one. Restored once, and once more from what was restored. */
    static char whole[HF_WAL_OUTPUT_BYTES];
    char again[PATH_BYTES];
    snprintf(again, sizeof again, "%s/again", home);
    hf_wal_build_story(&builder);
    static const char *const places[] = {"5", "14"};
    for (size_t i = 0; i < 2; i++) {
        hf_wal_expect_run(0, "state", builder.directory, "--format=csv", "--reservations", "--at",
                          places[i]);
        memcpy(whole, hf_wal_output, sizeof whole);
        hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest, "--until",
                          places[i]);
        hf_wal_expect_run(0, "restore", "--from", dest, "--to", again);
        hf_wal_expect_run(0, "state", again, "--format=csv", "--reservations");
        cr_expect_str_eq(hf_wal_output, whole);
        remove_dest();
        hf_directory_remove(again);
    }
    hf_wal_expect_run(0, "state", builder.directory, "--format=csv");
    memcpy(whole, hf_wal_output, sizeof whole);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect_run(0, "state", dest, "--format=csv");
    cr_expect_str_eq(hf_wal_output, whole);
}

Test(wal_write, the_records_of_a_restored_log_are_those_of_a_snapshot)
{
    /* Reservation 1 was told EXPIRED in a chain with a version; 2 sold out. The ledger holds what
     * was written against docs/log-format.md, and nothing of the change itself is left. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest);
    char name[HF_SNAPSHOT_NAME_BYTES];
    hf_snapshot_name_format(14, name);
    static uint8_t bytes[65536];
    int file = open(file_in(dest, name), O_RDONLY);
    cr_assert(file >= 0 && read(file, bytes, sizeof bytes) > 0);
    close(file);
    const uint8_t *records = bytes + 4096 + 128;
    for (int i = 2; i < 7; i++) {
        const uint8_t *record = records + (size_t)i * 128;
        static const uint8_t zero[4];
        cr_expect_eq(record[8], 2);
        cr_expect(record[10] == 0 && record[11] == 0, "in a chain");
        cr_expect_arr_eq(record + 76, zero, 4, "a version");
        cr_expect_eq(record[101], 0, "sold out");
        cr_expect_eq(record[102], record[9] == HF_STATE_EXPIRED ? 1 : 0, "a reason");
    }
    cr_expect_eq(records[8], 1);
    cr_expect_eq(records[76], 8, "the highest version that was given out");
}

Test(wal_write, a_restored_log_has_segments_of_the_same_size_and_an_id_of_its_own)
{
    hf_log_builder_close(&builder);
    hf_log_builder_open(&builder, 2 * HF_BUILDER_MIN_BYTES);
    hf_wal_build_sound(&builder);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest, "--json");
    hf_wal_expect("{\"restored\":\"");
    hf_wal_expect("\"origin_log_id\":\"0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0\",\"last_lsn\":8,");
    hf_wal_expect("\"torn_tail\":null,");
    hf_wal_expect_run(0, "info", dest);
    hf_wal_expect("\nsegment_bytes: 2097152\n");
    hf_wal_expect_not("\nlog_id: 0f1e2d3c-");
    hf_wal_expect("\nfirst_lsn: 9\nlast_lsn: 8\n");
}

Test(wal_write, a_restored_log_goes_on_behind_all_dates_of_the_other)
{
    /* The clock of the server was years ahead of ours when it made the newest reservation. */
    struct hf_reservation late = hf_builder_reservation(30, 3, 1, HF_STATE_CONFIRMED);
    struct hf_image_notes notes = {.inventory_version = 1u << 21};
    hf_wal_build_sound(&builder);
    late.made_at_ns = late.changed_at_ns = 4102444800000000000; /* 2100-01-01 */
    hf_log_builder_image(&builder, &late, &notes);
    hf_log_builder_block(&builder, 0);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect_run(0, "info", dest);
    hf_wal_expect(" made_at=2100-01-01T00:00:00.000000000Z ");
}

Test(wal_write, the_newest_date_of_the_log_is_kept_though_no_record_has_it)
{
    /* That of an event, which is no part of a state: what is retained depends on it. */
    struct hf_inventory inventory = hf_builder_inventory(8, 1);
    uint8_t event[128] = {0};
    hf_wal_build_story(&builder);
    inventory.available = 1;
    hf_image_encode_event(event, HF_EVENT_AVAILABLE_AGAIN, &inventory,
                          HF_BUILDER_MADE_AT + 4 * HF_BUILDER_TTL_NS);
    hf_log_builder_record(&builder, event);
    hf_log_builder_block(&builder, 0);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect_run(0, "state", dest);
    hf_wal_expect(" lsn=15 newest_date=2026-01-02T04:04:05.000000006Z ");
}

Test(wal_write, an_archive_is_restored_from_its_snapshots)
{
    /* The first segment is gone: every moment from the older snapshot on; none before. */
    char before[17];
    build_segments();
    hash_of(builder.directory, number_text(first_end + 2), before);
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    hf_log_snapshot_make(&builder, last_lsn, 3);
    remove_segment(1);
    expect_restored(number_text(first_end + 2), first_end + 2);
    expect_restored(number_text(second_end), second_end);
    expect_restored(number_text(last_lsn), last_lsn);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest, "--until",
                      number_text(first_end + 1));
    char text[96];
    snprintf(text, sizeof text, "(the oldest is up to LSN %llu)",
             (unsigned long long)first_end + 2);
    hf_wal_expect(text);
    cr_expect_not(exists(dest));
}

Test(wal_write, a_moment_behind_the_end_is_refused)
{
    hf_wal_build_story(&builder);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest, "--until=15");
    hf_wal_expect("the log ends with LSN 14: there is no LSN 15 yet; the last LSN that can be "
                  "restored is 14: use --until 14\n");
    cr_expect_not(exists(dest));
}

/* The last words say up to where it can be restored; and it can. */
static void expect_possible(uint64_t lsn)
{
    char text[128];
    snprintf(text, sizeof text, "; the last LSN that can be restored is %llu: use --until %llu\n",
             (unsigned long long)lsn, (unsigned long long)lsn);
    hf_wal_expect(text);
    cr_expect_not(exists(dest));
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest, "--until",
                      number_text(lsn));
    remove_dest();
}

Test(wal_write, missing_segments_are_named)
{
    /* The second of three is missing; then also the third, of five. A snapshot behind the gap makes
     * the end known all the same. */
    build_segments();
    remove_segment(2);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect("segment 2 is missing; ");
    expect_possible(first_end);
    hf_log_builder_prepare(&builder, 5);
    remove_segment(3);
    remove_segment(4);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect("segments 2 to 4 are missing; ");
    expect_possible(first_end);
}

Test(wal_write, a_gap_before_a_snapshot_does_not_matter_for_what_comes_behind_it)
{
    build_segments();
    hf_log_snapshot_make(&builder, last_lsn, 3);
    remove_segment(2);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest);
    remove_dest();
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest, "--until",
                      number_text(second_end));
    expect_possible(first_end);
}

Test(wal_write, an_archive_without_its_last_segment_is_restored_as_far_as_it_goes_if_told_to)
{
    /* Its newest snapshot attests more than is there, as the last segment was never full; the older
     * one, and without it the first segment, come as far as there is log. */
    build_segments();
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    hf_log_snapshot_make(&builder, last_lsn, 2);
    remove_segment(3);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect("the log ends before the last LSN that its snapshot attests");
    expect_possible(second_end);
    char path[PATH_BYTES];
    char name[HF_SNAPSHOT_NAME_BYTES];
    hf_snapshot_name_format(first_end + 2, name);
    snprintf(path, sizeof path, "%s/%s", builder.directory, name);
    cr_assert_eq(unlink(path), 0);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    expect_possible(second_end);
    spoil_snapshot(last_lsn);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect("but a snapshot attests that all up to LSN ");
    expect_possible(second_end);
}

Test(wal_write, what_a_snapshot_needs_and_is_missing_leaves_nothing_to_restore)
{
    /* The first segment is gone, and the third, up to which the only snapshot attests the log: no
     * LSN is offered instead. */
    build_segments();
    hf_log_snapshot_make(&builder, last_lsn, 2);
    remove_segment(1);
    remove_segment(3);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect("the log ends before the last LSN that its snapshot attests\n");
    hf_wal_expect_run(1, "repair", builder.directory, "--to", dest, "--yes");
    hf_wal_expect("nothing of the log in ");
    hf_log_builder_prepare(&builder, 4);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect("segment 3 is missing; ");
    hf_wal_expect("segments 2 to 4 were expected\n");
    cr_expect_not(exists(dest));
}

Test(wal_write, what_was_before_a_restored_log_is_told_to_be_unknown)
{
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest, "--until=9");
    hf_wal_expect_run(1, "state", dest, "--at=8");
    hf_wal_expect(
        " does not hold the state at LSN 8: its log begins with segment 1, which was made "
        "of another log, and it has no right snapshot of that time or before (the oldest "
        "is up to LSN 9); look for an older copy or the archive\n");
    hf_wal_expect_run(0, "state", dest, "--at=9");
}

Test(wal_write, a_segment_that_was_not_copied_to_its_end_is_told)
{
    build_segments();
    hf_log_builder_truncate(&builder, 3, 4096 * 8);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect("0000000000000003.wal at 0: expected a file of 1048576 bytes");
    expect_possible(second_end);
}

Test(wal_write, a_torn_tail_is_no_part_of_what_is_restored)
{
    hf_wal_build_sound(&builder);
    hf_log_builder_reservation(&builder, 30, 2, 1, 7);
    builder.commits = false;
    uint32_t torn = hf_log_builder_block(&builder, 0);
    hf_log_builder_flip(&builder, 1, builder.blocks[torn].offset + 200, 1);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect("\nlast_lsn: 8\n");
    hf_wal_expect("\ntorn_tail: 0000000000000001.wal at ");
}

Test(wal_write, a_record_that_is_not_sound_ends_what_can_be_restored)
{
    /* Inventory 1 has 5 units; one is taken twice. */
    hf_wal_build_sound(&builder);
    hf_log_builder_reservation(&builder, 30, 3, 1, 1u << 21);
    hf_log_builder_reservation(&builder, 31, 3, 1, (1u << 21) + 1);
    hf_log_builder_block(&builder, 0);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect("holdfast-wal: LSN 10, 0000000000000001.wal at ");
    expect_possible(9);
}

Test(wal_write, a_chain_is_whole_in_what_can_be_restored_too)
{
    /* The second record of a chain of two takes more than there is. */
    struct hf_reservation one = hf_builder_reservation(30, 3, 1, HF_STATE_CONFIRMED);
    struct hf_reservation two = hf_builder_reservation(31, 3, 1, HF_STATE_CONFIRMED);
    struct hf_image_notes notes = {.inventory_version = 1u << 21, .chain_length = 2};
    hf_wal_build_sound(&builder);
    hf_log_builder_image(&builder, &one, &notes);
    notes.chain_index = 1;
    hf_log_builder_image(&builder, &two, &notes);
    hf_log_builder_block(&builder, 0);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    expect_possible(8);
}

/* ---- where to ---------------------------------------------------------------------------- */

Test(wal_write, nothing_is_written_where_something_is)
{
    /* A directory with a file; a file; a directory in none. */
    static const char *const commands[] = {"compact", "repair", "backup"};
    hf_wal_build_sound(&builder);
    cr_assert_eq(mkdir(dest, 0750), 0);
    int file = open(file_in(dest, "x"), O_CREAT | O_WRONLY, 0640);
    cr_assert_geq(file, 0);
    close(file);
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect(" is not empty, and nothing is overwritten: choose a new directory\n");
    for (size_t i = 0; i < 3; i++) {
        hf_wal_expect_run(1, commands[i], builder.directory, "--to", dest);
        hf_wal_expect(" is not empty");
    }
    cr_expect(exists(file_in(dest, "x")));
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", file_in(dest, "x"));
    hf_wal_expect("cannot list ");
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", file_in(dest, "y/z"));
    hf_wal_expect("cannot make directory ");
    cr_assert_eq(unlink(file_in(dest, "x")), 0);
    cr_assert_eq(mkdir(file_in(dest, "lost+found"), 0700), 0);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest);
}

Test(wal_write, what_is_no_log_is_told)
{
    /* A file; nothing; an empty directory. Nothing is left. */
    static const char *const commands[] = {"compact", "repair", "backup"};
    int file = open(file_in(home, "x"), O_CREAT | O_WRONLY, 0640);
    close(file);
    hf_wal_expect_run(1, "restore", "--from", file_in(home, "x"), "--to", dest);
    hf_wal_expect("cannot list ");
    hf_wal_expect_run(1, "restore", "--from", file_in(home, "y"), "--to", dest);
    cr_assert_eq(mkdir(file_in(home, "z"), 0750), 0);
    hf_wal_expect_run(1, "restore", "--from", file_in(home, "z"), "--to", dest);
    hf_wal_expect(" holds no log");
    for (size_t i = 0; i < 3; i++) {
        hf_wal_expect_run(1, commands[i], file_in(home, "x"), "--to", dest);
        hf_wal_expect_run(1, commands[i], file_in(home, "z"), "--to", dest);
        hf_wal_expect(" holds no log");
    }
    cr_expect_not(exists(dest));
}

Test(wal_write, the_command_line_is_judged_before_anything_is_done)
{
    hf_wal_expect_run(2, "restore", "--to", dest);
    hf_wal_expect("restore needs --from ARCHIVE; see");
    hf_wal_expect_run(2, "restore", "--from", builder.directory);
    hf_wal_expect("restore needs --to DEST, a new directory; see");
    hf_wal_expect_run(2, "restore", builder.directory, "--to", dest);
    hf_wal_expect("one argument too many: ");
    hf_wal_expect_run(2, "compact", builder.directory);
    hf_wal_expect("compact needs --to DEST");
    hf_wal_expect_run(2, "backup", builder.directory);
    hf_wal_expect_run(2, "repair", "--to", dest);
    hf_wal_expect("the directory is missing");
    hf_wal_expect_run(2, "backup", builder.directory, "--to", dest, "--until=3");
    hf_wal_expect("backup has no option --until");
    hf_wal_expect_run(2, "restore", "--from", builder.directory, "--to", dest, "--until=x");
    hf_wal_expect_run(0, "restore", "--help");
    hf_wal_expect("usage: holdfast-wal restore --from ARCHIVE --to DEST [OPTIONS]\n");
    hf_wal_expect("--until LSN|T");
    cr_expect_not(exists(dest));
}

Test(wal_write, a_disk_without_room_leaves_nothing)
{
    /* A file system of 1 MiB: the new log needs more, and so does a copy. */
    build_segments();
    cr_assert_eq(mkdir(dest, 0750), 0);
    if (hf_private_mount("tmpfs", "size=1m", dest) != 0)
        cr_skip_test("mounting is not allowed here");
    hf_wal_expect_run(1, "restore", "--from", builder.directory, "--to", dest);
    hf_wal_expect(": No space left on device\n");
    hf_wal_expect_run(1, "backup", builder.directory, "--to", dest);
    hf_wal_expect(": No space left on device\n");
    cr_expect_eq(rmdir(dest), -1);
    hf_private_unmount(dest);
    cr_expect_eq(rmdir(dest), 0);
}

/* ---- compact ----------------------------------------------------------------------------- */

Test(wal_write, compact_leaves_the_newest_state_alone)
{
    char before[17], after[17];
    build_segments();
    remember();
    hash_of(builder.directory, "now", before);
    hf_wal_expect_run(0, "compact", builder.directory, "--to", dest);
    hf_wal_expect("compacted: ");
    hash_of(dest, "now", after);
    cr_expect_str_eq(before, after);
    hf_wal_expect_run(0, "info", dest);
    hf_wal_expect("\nsegments: 1\n");
    expect_unchanged();
}

Test(wal_write, a_log_that_is_in_use_is_not_compacted)
{
    static const char *const commands[] = {"compact", "repair"};
    hf_wal_build_sound(&builder);
    int lock = open(file_in(builder.directory, "lock"), O_CREAT | O_RDWR, 0640);
    cr_assert(lock >= 0 && flock(lock, LOCK_EX) == 0);
    for (size_t i = 0; i < 2; i++) {
        hf_wal_expect_run(1, commands[i], builder.directory, "--to", dest);
        hf_wal_expect("a server runs on ");
        hf_wal_expect(": stop it first");
    }
    close(lock);
    cr_expect_not(exists(dest));
    hf_wal_expect_run(0, "compact", builder.directory, "--to", dest);
}

/* ---- repair ------------------------------------------------------------------------------ */

Test(wal_write, repair_says_what_is_lost_and_restores_the_rest)
{
    /* A byte of the second segment's first block is wrong: in it 14 is made and 10 gives back;
     * 15, in the third, can still be read. */
    char before[17], after[17], text[160], lost[PATH_BYTES];
    static char listed[1024];
    build_segments();
    uint32_t bad = 0;
    while (builder.blocks[bad].first_lsn <= first_end)
        bad++;
    hash_of(builder.directory, number_text(first_end), before);
    hf_log_builder_flip(&builder, 2, builder.blocks[bad].offset + 300, 1);
    remember();
    snprintf(lost, sizeof lost, "%s/lost.jsonl", home);
    hf_wal_expect_run(2, "repair", builder.directory, "--to", dest);
    hf_wal_expect("where nobody can be asked, repair needs --yes");
    cr_expect_not(exists(dest));
    hf_wal_expect_run(0, "repair", builder.directory, "--to", dest, "--yes", "--lost", lost);
    snprintf(text, sizeof text, " is right up to LSN %llu; then: 0000000000000002.wal at 4096: ",
             (unsigned long long)first_end);
    hf_wal_expect(text);
    snprintf(text, sizeof text, "\nlost_records: %llu\nlost_first_lsn: %llu\nlost_last_lsn: %llu\n",
             (unsigned long long)(last_lsn - first_end - 2), (unsigned long long)first_end + 3,
             (unsigned long long)last_lsn);
    hf_wal_expect(text);
    hf_wal_expect("\nlost_reservations: 1\n");
    hf_wal_expect("\nrepaired: ");
    hash_of(dest, "now", after);
    cr_expect_str_eq(before, after);
    hf_wal_expect_run(0, "verify", dest);
    expect_unchanged();
    char command[3 * PATH_BYTES];
    snprintf(command, sizeof command, "grep -c '\"lsn\":' %s; grep -c '\"customer_id\":7015,' %s",
             lost, lost);
    const char *const argv[] = {"sh", "-c", command, NULL};
    cr_expect_eq(hf_process_run(argv, listed, sizeof listed), 0, "%s", listed);
    snprintf(text, sizeof text, "%llu\n1\n", (unsigned long long)(last_lsn - first_end - 2));
    cr_expect_str_eq(listed, text);
}

Test(wal_write, what_was_durable_once_is_told)
{
    /* The last block is gone, but a snapshot attests it. */
    char text[128];
    build_segments();
    hf_log_snapshot_make(&builder, last_lsn, 2);
    hf_log_builder_zero(&builder, 3, 4096, 4096);
    hf_wal_expect_run(0, "repair", builder.directory, "--to", dest, "--yes");
    snprintf(text, sizeof text, "lost: everything up to LSN %llu was durable once",
             (unsigned long long)last_lsn);
    hf_wal_expect(text);
    hf_wal_expect("nothing can be read behind that\n");
    snprintf(text, sizeof text, "\nlast_lsn: %llu\n", (unsigned long long)second_end);
    hf_wal_expect(text);
}

Test(wal_write, a_damaged_snapshot_attests_by_its_name)
{
    /* The last block is gone, and the snapshot that says so is damaged, too. */
    char text[128];
    build_segments();
    hf_log_snapshot_make(&builder, last_lsn, 2);
    spoil_snapshot(last_lsn);
    hf_log_builder_zero(&builder, 3, 4096, 4096);
    hf_wal_expect_run(0, "repair", builder.directory, "--to", dest, "--yes");
    snprintf(text, sizeof text, "but a snapshot attests that all up to LSN %llu was durable\n",
             (unsigned long long)last_lsn);
    hf_wal_expect(text);
    snprintf(text, sizeof text, "\nlast_lsn: %llu\n", (unsigned long long)second_end);
    hf_wal_expect(text);
}

Test(wal_write, a_damaged_snapshot_loses_nothing)
{
    char before[17], after[17];
    build_segments();
    hash_of(builder.directory, "now", before);
    hf_log_snapshot_make(&builder, last_lsn, 3);
    spoil_snapshot(last_lsn);
    hf_wal_expect_run(0, "repair", builder.directory, "--to", dest, "--json");
    hf_wal_expect("{\"damage\":null,\"lost_records\":0,");
    hash_of(dest, "now", after);
    cr_expect_str_eq(before, after);
}

Test(wal_write, a_missing_segment_is_repaired_up_to_it)
{
    char text[128];
    build_segments();
    remove_segment(2);
    hf_wal_expect_run(0, "repair", builder.directory, "--to", dest, "--yes");
    snprintf(text, sizeof text, "\nlost_records: 1\nlost_first_lsn: %llu\n",
             (unsigned long long)last_lsn);
    hf_wal_expect(text);
    snprintf(text, sizeof text, "\nlast_lsn: %llu\n", (unsigned long long)first_end);
    hf_wal_expect(text);
}

Test(wal_write, a_log_without_its_first_header_is_all_lost_but_listed)
{
    hf_wal_build_sound(&builder);
    hf_log_builder_flip(&builder, 1, 20, 1);
    hf_wal_expect_run(0, "repair", builder.directory, "--to", dest, "--yes");
    hf_wal_expect("\nlost_records: 8\nlost_first_lsn: 1\nlost_last_lsn: 8\nlost_reservations: 3\n");
    hf_wal_expect("\nlast_lsn: 0\n");
    hf_wal_expect_run(0, "verify", dest);
}

Test(wal_write, nothing_to_begin_with_is_nothing_to_repair)
{
    build_segments();
    remove_segment(1);
    hf_wal_expect_run(1, "repair", builder.directory, "--to", dest, "--yes");
    hf_wal_expect("nothing of the log in ");
    cr_expect_not(exists(dest));
}

/* ---- backup ------------------------------------------------------------------------------ */

static void expect_same_files(void)
{
    char command[3 * PATH_BYTES];
    char output[1024];
    snprintf(command, sizeof command, "rm -f %s/lock; diff -r %s %s", dest, builder.directory,
             dest);
    const char *const argv[] = {"sh", "-c", command, NULL};
    cr_expect_eq(hf_process_run(argv, output, sizeof output), 0, "%s", output);
}

Test(wal_write, a_backup_of_a_log_at_rest_has_the_same_bytes)
{
    /* Segments and snapshots, byte by byte. */
    build_segments();
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    hf_log_snapshot_make(&builder, last_lsn, 3);
    hf_wal_expect_run(0, "backup", builder.directory, "--to", dest, "--json");
    hf_wal_expect(
        "\"snapshots\":2,\"damaged_snapshots\":0,\"first_segment\":1,\"last_segment\":3,");
    hf_wal_expect("\"verified\":\"yes\",");
    expect_same_files();
}

Test(wal_write, a_backup_begins_with_the_oldest_snapshot_if_the_log_does)
{
    /* Segment 1 is still there, as a crash left it, and 2 is not needed; then 2 is, and 1 is
     * gone. */
    build_segments();
    hf_log_snapshot_make(&builder, last_lsn - 1, 3);
    hf_log_snapshot_make(&builder, last_lsn, 3);
    remove_segment(2);
    hf_wal_expect_run(0, "backup", builder.directory, "--to", dest);
    hf_wal_expect("\nfirst_segment: 3\nlast_segment: 3\n");
    hf_wal_expect_run(0, "verify", dest);
    remove_segment(1);
    remove_dest();
    hf_wal_expect_run(0, "backup", builder.directory, "--to", dest, "--no-verify");
    hf_wal_expect("\nverified: no\n");
    expect_same_files();
}

Test(wal_write, a_backup_of_a_restored_log_is_one)
{
    char before[17], after[17], copy[PATH_BYTES];
    hf_wal_build_story(&builder);
    hash_of(builder.directory, "now", before);
    hf_wal_expect_run(0, "restore", "--from", builder.directory, "--to", dest);
    snprintf(copy, sizeof copy, "%s/copy", home);
    hf_wal_expect_run(0, "backup", dest, "--to", copy);
    hash_of(copy, "now", after);
    cr_expect_str_eq(before, after);
}

Test(wal_write, a_backup_ends_cleanly_where_the_log_is_torn)
{
    hf_wal_build_sound(&builder);
    hf_log_builder_reservation(&builder, 30, 2, 1, 7);
    builder.commits = false;
    uint32_t torn = hf_log_builder_block(&builder, 0);
    hf_log_builder_flip(&builder, 1, builder.blocks[torn].offset + 200, 1);
    hf_wal_expect_run(0, "backup", builder.directory, "--to", dest);
    hf_wal_expect("\nlast_lsn: 8\n");
    hf_wal_expect_run(0, "verify", dest);
    hf_wal_expect("\ntorn_tail: none\n");
}

Test(wal_write, no_backup_is_made_of_damage)
{
    /* A byte in the middle; a snapshot that attests more than there is; one of another log. A
     * damaged snapshot is left out, and told. */
    struct hf_log_snapshot_copy copy;
    build_segments();
    hf_log_builder_flip(&builder, 2, 4096 + 300, 1);
    hf_wal_expect_run(1, "backup", builder.directory, "--to", dest);
    hf_wal_expect("the log is damaged, and no copy is made of that: 0000000000000002.wal at 4096");
    cr_expect_not(exists(dest));
    hf_log_builder_flip(&builder, 2, 4096 + 300, 1);
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    spoil_snapshot(first_end + 2);
    hf_wal_expect_run(0, "backup", builder.directory, "--to", dest);
    hf_wal_expect("a snapshot is damaged, and is left out of the copy: ");
    hf_wal_expect("\nsnapshots: 0\ndamaged_snapshots: 1\n");
    hf_wal_expect_run(0, "verify", dest);
    remove_dest();
    hf_log_snapshot_copy(&builder, last_lsn, 3, &copy);
    copy.header.last_lsn = last_lsn + 1;
    hf_log_snapshot_write(&builder, &copy);
    hf_wal_expect_run(1, "backup", builder.directory, "--to", dest);
    hf_wal_expect("but a snapshot attests that all up to LSN ");
    char name[HF_SNAPSHOT_NAME_BYTES];
    hf_snapshot_name_format(last_lsn + 1, name);
    cr_assert_eq(unlink(file_in(builder.directory, name)), 0);
    hf_log_snapshot_copy(&builder, last_lsn, 3, &copy);
    copy.header.log_id[3] ^= 1;
    hf_log_snapshot_write(&builder, &copy);
    hf_wal_expect_run(1, "backup", builder.directory, "--to", dest);
    hf_wal_expect(" is of another log\n");
    cr_expect_not(exists(dest));
}

Test(wal_write, the_server_keeps_its_files_while_a_backup_is_made)
{
    /* Somebody removes files, and holds DIR/keep: the backup waits before it copies anything. */
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_wal_build_sound(&builder);
    hf_log_snapshot_make(&builder, 8, 1);
    int keep = open(file_in(builder.directory, "keep"), O_CREAT | O_RDWR, 0640);
    cr_assert(keep >= 0 && flock(keep, LOCK_EX) == 0);
    hf_program_path("holdfast-wal", program);
    const char *const argv[] = {program, "backup", builder.directory, "--to", dest, NULL};
    cr_expect_eq(hf_process_run_within(1, argv, hf_wal_output, sizeof hf_wal_output), 137);
    close(keep);
    /* Killed in the middle: what it left is refused. */
    cr_expect(exists(file_in(dest, MARK)));
    cr_expect_not(exists(file_in(dest, "0000000000000008.snapshot")));
    hf_wal_expect_run(1, "restore", "--from", dest, "--to", file_in(home, "other"));
    hf_wal_expect_run(1, "verify", dest);
    hf_wal_expect_run(1, "backup", builder.directory, "--to", dest);
    hf_wal_expect(" is not empty");
}
