/*
 * holdfast-wal on directories with snapshots: logs that begin with one, states of the past, and
 * snapshots that do not belong to their log.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tests/lib/log_snapshot.h"
#include "tests/lib/wal_expect.h"
#include "wal/record.h"
#include "wal/segment_header.h"

static struct hf_log_builder builder;
static uint64_t first_end, second_end, last_lsn; /* LSNs: of the segments, and of the log */

enum {
    AT_LSN = 0,
    AT_QTY = 12,
    AT_SELL_LIMIT = 36,
    AT_CHANGED_AT = 56,
    AT_SEQUENCE = 72,
};

/*
 * Three segments. In the first: inventories 1 and 2 of 5 units; of 1, reservation 10 has 2 and
 * holds
 * 11 one; 12 had one and gave it back; 13 waits for 2. In the second: 14 has one, 10 gives its two
 * back. In the third: 15 takes one, 16 holds one. The first two are full of other inventories.
 */
static void build_segments(void)
{
    struct hf_reservation held = hf_builder_reservation(11, 1, 1, HF_STATE_HELD);
    struct hf_reservation waiting = hf_builder_reservation(13, 2, 1, HF_STATE_WAITING);
    struct hf_image_notes as_held = {.inventory_version = 3, .made_as = HF_STATE_HELD};
    struct hf_image_notes as_waiting = {.inventory_version = 2, .made_as = HF_STATE_WAITING};
    hf_log_builder_open(&builder, HF_BUILDER_MIN_BYTES);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 1, 5);
    hf_log_builder_inventory(&builder, 2, 5);
    hf_log_builder_reservation(&builder, 10, 1, 2, 2);
    hf_log_builder_image(&builder, &held, &as_held);
    hf_log_builder_reservation(&builder, 12, 1, 1, 4);
    hf_log_builder_reservation(&builder, 12, 1, 1, 0);
    hf_log_builder_reservation(&builder, 20, 2, 5, 2);
    hf_log_builder_image(&builder, &waiting, &as_waiting);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_fill(&builder, 0);
    first_end = builder.next.first_lsn - 1;
    hf_log_builder_reservation(&builder, 14, 1, 1, 6);
    hf_log_builder_reservation(&builder, 10, 1, 2, 0);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_fill(&builder, 0);
    second_end = builder.next.first_lsn - 1;
    held = hf_builder_reservation(16, 1, 1, HF_STATE_HELD);
    as_held.inventory_version = 9;
    hf_log_builder_reservation(&builder, 15, 1, 1, 8);
    hf_log_builder_image(&builder, &held, &as_held);
    hf_log_builder_block(&builder, 0);
    last_lsn = builder.next.first_lsn - 1;
}

static void close_builder(void)
{
    hf_log_builder_close(&builder);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(wal_snapshots, .init = build_segments, .fini = close_builder);

static void remove_segment(uint64_t segment)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 32];
    hf_log_builder_segment_path(&builder, segment, path, sizeof path);
    cr_assert_eq(unlink(path), 0);
}

static const char *number_text(uint64_t number)
{
    static char texts[8][24];
    static unsigned next;
    char *text = texts[next++ % 8];
    snprintf(text, sizeof texts[0], "%llu", (unsigned long long)number);
    return text;
}

/* What `hash` says of the state at that LSN. */
static void hash_at(uint64_t lsn, char hash[17])
{
    hf_wal_expect_run(0, "hash", builder.directory, "--at", number_text(lsn));
    cr_assert_eq(sscanf(hf_wal_output, "state_hash: %16s\n", hash), 1, "%s", hf_wal_output);
}

/* ---- logs that begin with a snapshot ---------------------------------------------------- */

Test(wal_snapshots, a_log_is_held_against_its_snapshots)
{
    /* All segments are there, and two snapshots. */
    char text[128];
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    hf_log_snapshot_make(&builder, last_lsn - 1, 3);
    hf_wal_expect_run(0, "verify", builder.directory);
    snprintf(text, sizeof text, "snapshot: %llu agrees\nsnapshot: %llu agrees\n",
             (unsigned long long)last_lsn - 1, (unsigned long long)first_end + 2);
    hf_wal_expect(text);
    hf_wal_expect("\nverify: ok\n");
    hf_wal_expect_run(0, "verify", builder.directory, "--json");
    snprintf(text, sizeof text,
             "\"snapshots\":[{\"last_lsn\":%llu,\"verdict\":\"agrees\",\"begun_with\":false,"
             "\"text\":null},",
             (unsigned long long)last_lsn - 1);
    hf_wal_expect(text);
}

Test(wal_snapshots, a_log_without_its_first_segments_is_proved_from_a_snapshot_on)
{
    /* Two snapshots; the segment before the older one's is gone, then that, too. The state is the
     * same as when all was there; the older snapshot is what is begun with as long as it can be. */
    char whole[17], without[17], text[256];
    hash_at(last_lsn, whole);
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    hf_log_snapshot_make(&builder, last_lsn - 1, 3);
    for (uint64_t segment = 1; segment <= 2; segment++) {
        bool first = segment == 1;
        remove_segment(segment);
        hf_wal_expect_run(0, "verify", builder.directory);
        snprintf(text, sizeof text,
                 first ? "first_lsn: %llu\nlast_lsn: %llu\ntorn_tail: none\nsnapshot: %llu "
                         "agrees\nsnapshot: %llu right (the proof begins with it)\n"
                       : "first_lsn: %llu\nlast_lsn: %llu\ntorn_tail: none\nsnapshot: %llu right "
                         "(the proof begins with it)\nsnapshot: %llu right\n",
                 (unsigned long long)(first ? first_end : second_end) + 1,
                 (unsigned long long)last_lsn, (unsigned long long)last_lsn - 1,
                 (unsigned long long)first_end + 2);
        hf_wal_expect(text);
        snprintf(text, sizeof text, "state_hash: %s\nverify: ok\n", whole);
        hf_wal_expect(text);
        hash_at(last_lsn, without);
        cr_expect_str_eq(whole, without);
        hf_wal_expect_run(0, "verify", builder.directory, "--quick");
        hf_wal_expect("\nverify: ok\n");
    }
}

Test(wal_snapshots, without_its_first_segments_and_a_snapshot_there_is_nothing_to_begin_with)
{
    /* No snapshot at all; then one of which the segment it begins with is gone; a quick look, and
     * the records, are to be had all the same. */
    char text[128];
    remove_segment(1);
    hf_wal_expect_run(1, "verify", builder.directory);
    hf_wal_expect("begins with segment 2, and no snapshot in it is right to begin with\n");
    hf_wal_expect_run(1, "state", builder.directory);
    hf_wal_expect("does not hold the state at the end of the log: its log begins with segment 2");
    hf_log_builder_prepare(&builder, 4);
    hf_wal_expect_run(0, "verify", builder.directory, "--quick");
    hf_wal_expect("\nnote: only checksums and the chain of blocks were looked at\nverify: ok\n");
    hf_wal_expect_run(0, "dump", builder.directory, "--customer=7014");
    snprintf(text, sizeof text, "lsn=%llu reservation ", (unsigned long long)first_end + 1);
    hf_wal_expect(text);
    hf_wal_expect_run(0, "info", builder.directory);
    hf_wal_expect("\nsegments: 3\nfirst_segment: 2\nlast_segment: 4\n");
}

Test(wal_snapshots, a_state_in_a_directory_of_its_own_is_a_log)
{
    /* As it is restored: a snapshot of the exact state, and a segment, number 3, without a block,
     * into which the log goes on. */
    char whole[17], restored[17], text[128];
    struct hf_log_snapshot_copy copy;
    hash_at(second_end, whole);
    hf_log_snapshot_copy(&builder, second_end, 3, &copy);
    copy.header.epoch = copy.header.start.epoch = 1;
    hf_log_snapshot_write(&builder, &copy);
    remove_segment(1);
    remove_segment(2);
    hf_log_builder_zero(&builder, 3, HF_SEGMENT_HEADER_BYTES,
                        HF_BUILDER_MIN_BYTES - HF_SEGMENT_HEADER_BYTES);
    hash_at(second_end, restored);
    cr_expect_str_eq(whole, restored);
    hf_wal_expect_run(0, "verify", builder.directory);
    hf_wal_expect("blocks: 0\nrecords: 0\n");
    hf_wal_expect("\nverify: ok\n");
    hf_wal_expect_run(0, "info", builder.directory);
    snprintf(text, sizeof text, "\nfirst_lsn: %llu\nlast_lsn: %llu\n",
             (unsigned long long)second_end + 1, (unsigned long long)second_end);
    hf_wal_expect(text);
    hf_wal_expect("\nfirst_written_at: never\nlast_written_at: never\nend: empty\n");
    hf_wal_expect_run(0, "state", builder.directory, "--inventory=1", "--reservations");
    hf_wal_expect("available=3 held=1 confirmed=1 ");
}

Test(wal_snapshots, info_lists_them)
{
    /* One that is right, one of which a record is damaged, one of which the header is. */
    char path[HF_DIRECTORY_TEXT_BYTES + 64], name[HF_SNAPSHOT_NAME_BYTES];
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    hf_wal_expect_run(0, "info", builder.directory);
    hf_wal_expect("\nsnapshots: 1\nsnapshot: last_lsn=");
    hf_wal_expect(" verdict=right made_at=2026-01-02T03:04:05.000000006Z file_bytes=");
    hf_wal_expect(" start_segment=2 retain=1d\n");
    hf_log_snapshot_make(&builder, first_end + 1, 2);
    hf_log_snapshot_make(&builder, first_end, 1);
    for (int i = 0; i < 2; i++) {
        hf_snapshot_name_format(first_end + 1 - (uint64_t)i, name);
        hf_log_builder_path(&builder, name, path, sizeof path);
        int file = open(path, O_WRONLY);
        cr_assert(file >= 0 && pwrite(file, "x", 1, i == 0 ? 5000 : 100) == 1);
        close(file);
    }
    hf_wal_expect_run(1, "info", builder.directory, "--json");
    hf_wal_expect("\"verdict\":\"right\"");
    hf_wal_expect("\"verdict\":\"damaged\",\"made_at\":\"2026-01-02T03:04:05.000000006Z\"");
    hf_wal_expect("\"verdict\":\"damaged\",\"made_at\":null");
    hf_wal_expect_run(1, "verify", builder.directory);
    hf_wal_expect(" faulty: ");
    hf_wal_expect("verify: FAILED\n");
    hf_wal_expect_run(1, "verify", builder.directory, "--quick");
    hf_wal_expect(" faulty: ");
}

/* ---- states of the past ----------------------------------------------------------------- */

Test(wal_snapshots, the_past_is_read_from_the_newest_snapshot_that_is_old_enough)
{
    /* Of each place of the log, with and without snapshots, the state is the same; the log before
     * the snapshot is damaged, so that it shows where it was begun. */
    const uint64_t places[] = {
        0, 1, 8, first_end, first_end + 1, first_end + 2, second_end, last_lsn - 1, last_lsn};
    enum { PLACES = sizeof places / sizeof places[0] };
    char whole[PLACES][17], now[17];
    for (int i = 0; i < PLACES; i++)
        hash_at(places[i], whole[i]);
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    hf_log_snapshot_make(&builder, last_lsn - 1, 3);
    for (int i = 0; i < PLACES; i++) {
        hash_at(places[i], now);
        cr_expect_str_eq(now, whole[i], "LSN %llu", (unsigned long long)places[i]);
    }
    hf_log_builder_flip(&builder, 1, builder.blocks[1].offset + 300, 1);
    for (int i = 0; i < PLACES; i++) {
        bool known = places[i] >= first_end + 2;
        cr_expect_eq(hf_wal_run("hash", builder.directory, "--at", number_text(places[i])),
                     known || places[i] == 0 ? 0 : 1, "LSN %llu", (unsigned long long)places[i]);
        if (known)
            hf_wal_expect(whole[i]);
    }
    hf_log_builder_flip(&builder, 2, builder.blocks[builder.block_count - 2].offset + 300, 1);
    hf_wal_expect_run(1, "hash", builder.directory, "--at", number_text(second_end));
    hf_wal_expect_run(0, "hash", builder.directory);
    hf_wal_expect(whole[PLACES - 1]);
}

Test(wal_snapshots, what_was_before_the_oldest_snapshot_is_not_known)
{
    /* The first segment is gone: by LSN and by date. */
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    remove_segment(1);
    hf_wal_expect_run(1, "state", builder.directory, "--at", number_text(first_end + 1));
    hf_wal_expect("does not hold the state at LSN ");
    hf_wal_expect("look for an older copy or the archive\n");
    hf_wal_expect_run(1, "state", builder.directory, "--at=2026-01-02T03:04:05Z");
    hf_wal_expect("does not hold the state at 2026-01-02T03:04:05.000000000Z: ");
    hf_wal_expect_run(1, "state", builder.directory, "--at", number_text(last_lsn + 1));
    hf_wal_expect("the log ends with LSN ");
    hf_wal_expect_run(0, "state", builder.directory, "--at", number_text(first_end + 2));
    hf_log_snapshot_make(&builder, last_lsn - 1, 3);
    remove_segment(2);
    hf_wal_expect_run(1, "state", builder.directory, "--at", number_text(first_end + 2));
    hf_wal_expect("does not hold the state at LSN ");
}

Test(wal_snapshots, a_damaged_snapshot_is_told_and_the_one_before_is_taken)
{
    /* A byte of the newest one's records. */
    char path[HF_DIRECTORY_TEXT_BYTES + 64], name[HF_SNAPSHOT_NAME_BYTES], whole[17];
    hash_at(last_lsn, whole);
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    hf_log_snapshot_make(&builder, last_lsn - 1, 3);
    remove_segment(1);
    hf_snapshot_name_format(last_lsn - 1, name);
    hf_log_builder_path(&builder, name, path, sizeof path);
    int file = open(path, O_WRONLY);
    cr_assert(file >= 0 && pwrite(file, "x", 1, 5000) == 1);
    close(file);
    hf_wal_expect_run(0, "hash", builder.directory);
    hf_wal_expect("is damaged, going on with what was before it: ");
    hf_wal_expect(whole);
}

/* ---- snapshots that do not belong to the log -------------------------------------------- */

/* Spoils a snapshot of the state at first_end + 2, which begins with segment 2. */
static void expect_faulty(void (*spoil)(struct hf_log_snapshot_copy *copy), const char *words)
{
    struct hf_log_snapshot_copy copy;
    hf_log_snapshot_copy(&builder, first_end + 2, 2, &copy);
    spoil(&copy);
    hf_log_snapshot_write(&builder, &copy);
    cr_expect_eq(hf_wal_run("verify", builder.directory), 1, "%s", words);
    hf_wal_expect(" faulty: ");
    hf_wal_expect(words);
    hf_wal_expect("\nverify: FAILED\n");
    hf_wal_expect_not("state_hash");
    hf_wal_expect_not("fault: ");
}

static void other_qty(struct hf_log_snapshot_copy *copy)
{
    hf_put_u32(hf_log_snapshot_reservation(copy, 14) + AT_QTY, 2);
}

static void other_date(struct hf_log_snapshot_copy *copy)
{
    uint8_t *record = hf_log_snapshot_reservation(copy, 14);
    hf_put_u64(record + AT_CHANGED_AT, hf_get_u64(record + AT_CHANGED_AT) + 1);
}

static void missing_reservation(struct hf_log_snapshot_copy *copy)
{
    hf_log_snapshot_drop(copy, hf_log_snapshot_reservation(copy, 11));
}

static void missing_inventory(struct hf_log_snapshot_copy *copy)
{
    hf_log_snapshot_drop(copy, hf_log_snapshot_inventory(copy, 2));
}

static void reservation_of_nobody(struct hf_log_snapshot_copy *copy)
{
    uint8_t *record = hf_log_snapshot_reservation(copy, 14);
    hf_log_snapshot_add(copy, record);
    copy->records[copy->count - 1][20] = 0xee; /* of the id */
}

static void reservation_twice(struct hf_log_snapshot_copy *copy)
{
    hf_log_snapshot_add(copy, hf_log_snapshot_reservation(copy, 14));
}

static void other_limit(struct hf_log_snapshot_copy *copy)
{
    hf_put_u32(hf_log_snapshot_inventory(copy, 1) + AT_SELL_LIMIT, 6);
}

/* 12 as it was made, though its cancellation came before the snapshot's begin. */
static void old_image(struct hf_log_snapshot_copy *copy)
{
    uint8_t *record = hf_log_snapshot_reservation(copy, 12);
    record[9] = HF_STATE_CONFIRMED;
    hf_put_u32(record + AT_SEQUENCE, 1);
    hf_put_u64(record + AT_LSN, 5);
    hf_put_u64(record + AT_CHANGED_AT, hf_get_u64(record + 48));
}

/* In the place of another one: inventories come first. */
static void inventory_twice(struct hf_log_snapshot_copy *copy)
{
    uint8_t record[HF_RECORD_BYTES];
    memcpy(record, hf_log_snapshot_inventory(copy, 1), sizeof record);
    memcpy(hf_log_snapshot_inventory(copy, 2), record, sizeof record);
}

/* The log's newest is one that the snapshot's begin would have replayed. */
static void newer_than_the_newest(struct hf_log_snapshot_copy *copy)
{
    hf_put_u64(hf_log_snapshot_reservation(copy, 14) + AT_LSN, first_end + 2);
}

static void newer_than_the_log(struct hf_log_snapshot_copy *copy)
{
    uint8_t *record = hf_log_snapshot_reservation(copy, 11);
    hf_put_u64(record + AT_LSN, first_end + 2);
}

static void other_begin(struct hf_log_snapshot_copy *copy)
{
    copy->header.start.previous_hash ^= 1;
}

static void other_log(struct hf_log_snapshot_copy *copy)
{
    copy->header.log_id[3] ^= 1;
}

static void too_far(struct hf_log_snapshot_copy *copy)
{
    copy->header.last_lsn = last_lsn + 1;
}

static void closed_inventory(struct hf_log_snapshot_copy *copy)
{
    hf_log_snapshot_inventory(copy, 1)[40] |= HF_INVENTORY_SOLD_OUT_CLOSED;
}

#define FAULTY(name, spoil, words)                                                                 \
    Test(wal_snapshots, name)                                                                      \
    {                                                                                              \
        expect_faulty(spoil, words);                                                               \
    }

FAULTY(another_qty_is_found, other_qty, "it says of reservation 00000000-0000-7000-0f00-")
FAULTY(another_date_is_found, other_date, "it says of reservation 00000000-0000-7000-0f00-")
FAULTY(a_reservation_that_is_not_there_is_found, missing_reservation,
       "it does not hold reservation 00000000-0000-7000-0c00-000000000000, LSN 4\n")
FAULTY(an_inventory_that_is_not_there_is_found, missing_inventory,
       "it does not hold inventory 2, LSN 2\n")
FAULTY(a_reservation_that_the_log_does_not_know_is_found, reservation_of_nobody,
       "of which the log knows nothing\n")
FAULTY(a_reservation_that_is_there_twice_is_found, reservation_twice,
       "it holds reservation 00000000-0000-7000-0f00-000000000000 twice\n")
FAULTY(another_limit_is_found, other_limit,
       "it says of inventory 1, LSN 1, another thing than the log, LSN 1\n")
FAULTY(an_image_that_was_old_when_it_began_is_found, old_image,
       "it says of reservation 00000000-0000-7000-0d00-000000000000, LSN 5, another thing than the "
       "log, LSN 6\n")
FAULTY(an_image_newer_than_the_logs_is_found, newer_than_the_log,
       "it says of reservation 00000000-0000-7000-0c00-")
FAULTY(an_image_newer_than_the_newest_is_found, newer_than_the_newest,
       "it says of reservation 00000000-0000-7000-0f00-")
FAULTY(an_inventory_that_is_there_twice_is_found, inventory_twice, "it holds inventory 1 twice\n")
FAULTY(another_begin_is_found, other_begin,
       "it begins behind a block that is not in the log before its segment\n")
FAULTY(another_log_is_found, other_log, "it is of another log\n")
FAULTY(a_log_that_ends_before_it_is_found, too_far,
       "it attests the log up to its last LSN, but the log ends with LSN ")
FAULTY(an_inventory_closed_for_no_reason_is_found, closed_inventory,
       "it says of inventory 1, LSN 1,")

Test(wal_snapshots, what_is_no_longer_retained_may_be_left_out)
{
    /* 12 finished when the snapshot was made, by a server that keeps nothing; then by one that
     * does. */
    for (int keeps = 0; keeps <= 1; keeps++) {
        struct hf_log_snapshot_copy copy;
        hf_log_snapshot_copy(&builder, first_end + 2, 2, &copy);
        hf_log_snapshot_drop(&copy, hf_log_snapshot_reservation(&copy, 12));
        if (!keeps)
            copy.header.retain_ns = 1;
        hf_log_snapshot_write(&builder, &copy);
        hf_wal_expect_run(keeps, "verify", builder.directory);
        hf_wal_expect(keeps ? "it does not hold reservation 00000000-0000-7000-0d00-"
                            : " agrees\n");
    }
}

Test(wal_snapshots, what_a_server_that_retained_for_less_has_forgotten_stays_forgotten)
{
    /* Left out of the older one, by a server that keeps nothing; so the newer one cannot have it,
     * though that server keeps it. And the other way round: a snapshot is not excused by what comes
     * after it. */
    for (int newer = 0; newer <= 1; newer++) {
        struct hf_log_snapshot_copy copies[2];
        hf_log_snapshot_copy(&builder, first_end + 2, 2, &copies[0]);
        hf_log_snapshot_copy(&builder, last_lsn - 1, 3, &copies[1]);
        copies[newer].header.retain_ns = 1;
        for (int i = 0; i <= 1; i++) {
            hf_log_snapshot_drop(&copies[i], hf_log_snapshot_reservation(&copies[i], 12));
            hf_log_snapshot_write(&builder, &copies[i]);
        }
        hf_wal_expect_run(newer, "verify", builder.directory);
        hf_wal_expect(newer ? "it does not hold reservation 00000000-0000-7000-0d00-"
                            : " agrees\n");
    }
}

Test(wal_snapshots, a_state_of_another_log_is_refused)
{
    /* A snapshot of another log, and a segment without a block. */
    struct hf_log_snapshot_copy copy;
    hf_log_snapshot_copy(&builder, second_end, 3, &copy);
    copy.header.log_id[3] ^= 1;
    hf_log_snapshot_write(&builder, &copy);
    remove_segment(1);
    remove_segment(2);
    hf_log_builder_zero(&builder, 3, HF_SEGMENT_HEADER_BYTES,
                        HF_BUILDER_MIN_BYTES - HF_SEGMENT_HEADER_BYTES);
    hf_wal_expect_run(1, "state", builder.directory);
    hf_wal_expect(" is of another log than its segments\n");
    hf_wal_expect_run(1, "verify", builder.directory);
    hf_wal_expect("it is of another log\n");
}

Test(wal_snapshots, a_log_that_ends_before_its_snapshot_is_damaged)
{
    /* The first segment is gone, and of the second all that the snapshot attests. */
    hf_log_snapshot_make(&builder, first_end + 2, 2);
    remove_segment(1);
    remove_segment(3);
    hf_log_builder_zero(&builder, 2, HF_SEGMENT_HEADER_BYTES,
                        HF_BUILDER_MIN_BYTES - HF_SEGMENT_HEADER_BYTES);
    hf_wal_expect_run(1, "verify", builder.directory);
    hf_wal_expect("fault: the log ends before the last LSN that its snapshot attests\n");
    hf_wal_expect_run(1, "state", builder.directory);
    hf_wal_expect("the log ends before the last LSN that its snapshot attests\n");
}

/* ---- beside a server -------------------------------------------------------------------- */

Test(wal_snapshots, files_are_kept_while_they_are_read)
{
    /* Somebody removes files, and holds DIR/keep: the tool waits. Then it reads, although somebody
     * else reads, too. */
    char path[HF_DIRECTORY_TEXT_BYTES + 8], program[HF_PROGRAM_TEXT_BYTES];
    hf_log_builder_path(&builder, "keep", path, sizeof path);
    int keep = open(path, O_CREAT | O_RDWR, 0640);
    cr_assert(keep >= 0 && flock(keep, LOCK_EX) == 0);
    hf_program_path("holdfast-wal", program);
    static const char *const commands[] = {"info", "verify", "state", "dump"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const char *const argv[] = {program, commands[i], builder.directory, NULL};
        cr_expect_eq(hf_process_run_within(1, argv, hf_wal_output, sizeof hf_wal_output), 137);
    }
    cr_assert_eq(flock(keep, LOCK_SH), 0);
    hf_wal_expect_run(0, "verify", builder.directory);
    close(keep);
}

Test(wal_snapshots, a_snapshot_without_its_segment_is_no_log)
{
    /* All segments are gone: whatever looks says which one is missing. */
    static const char *const commands[] = {"verify", "info", "dump", "state"};
    hf_log_snapshot_make(&builder, last_lsn, 3);
    for (uint64_t segment = 1; segment <= 3; segment++)
        remove_segment(segment);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        hf_wal_expect_run(1, commands[i], builder.directory);
        hf_wal_expect("0000000000000003.wal at 0: the segment is missing");
    }
}
