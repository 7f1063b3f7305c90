/*
 * Recovery from snapshots: directories in which something is missing, damaged, or of another log. What
 * can be recovered must be the state that the whole log makes; else nothing is started, and nothing is
 * written.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "tests/lib/digest.h"
#include "tests/lib/store_rig.h"
#include "tests/lib/stress.h"
#include "wal/segment_header.h"
#include "wal/snapshot.h"
#include "wal/snapshot_writer.h"

#define S            HF_NS_PER_S
#define RESERVATIONS 3000u /* two groups of a snapshot */

static struct hf_store_rig rig;
static struct hf_memory_io *disk; /* what a crash left: to be damaged */
static char newest[HF_SNAPSHOT_NAME_BYTES], older[HF_SNAPSHOT_NAME_BYTES];
static uint64_t newest_lsn, older_lsn, newest_segment; /* where the newest begins */

/* ---- what there is ---- */

static unsigned ask(enum hf_operation operation, uint32_t number, uint64_t inventory_id,
                    uint32_t qty)
{
    const struct hf_request request = {
        .operation = operation,
        .id = hf_id_of_number(number),
        .inventory_id = inventory_id,
        .customer_id = 1,
        .qty = qty,
        .capacity = qty,
        .product_id = 7,
    };
    return hf_store_rig_ask(&rig, &request);
}

static void reserve_many(uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(ask(HF_OP_RESERVE, first + i, 1, 1), HF_GRANTED);
    hf_store_rig_write(&rig);
}

static void begin_segment(void)
{
    hf_store_rig_fill_until(&rig, rig.store->log.flusher.segment.number + 1);
}

static uint64_t make_snapshot(char name[HF_SNAPSHOT_NAME_BYTES])
{
    hf_store_rig_snapshot(&rig);
    hf_snapshot_name_format(hf_store_rig_report(&rig).last_lsn, name);
    return hf_store_rig_report(&rig).last_lsn;
}

static void take_disk(void)
{
    if (disk != NULL)
        hf_store_rig_free_disk(disk);
    disk = hf_store_rig_copy_disk(&rig);
}

/* A log of several segments, two snapshots, and something behind each. Segment 1 was released, and
 * became segment 5. */
static void open_rig(void)
{
    const struct hf_store_rig_options options = {.max_reservations = 65536};
    hf_store_rig_open(&rig, &options);
    cr_assert_eq(ask(HF_OP_INVENTORY_CREATE, 1, 1, 1000000), HF_CREATED);
    reserve_many(1, RESERVATIONS);
    begin_segment();
    older_lsn = make_snapshot(older);
    reserve_many(10001, 50);
    for (uint32_t i = 1; i <= 40; i++)
        cr_assert_eq(ask(HF_OP_CANCEL, i, 0, 0), HF_CANCELLED);
    begin_segment();
    reserve_many(20001, 50);
    newest_lsn = make_snapshot(newest);
    newest_segment = rig.store->log.newest_snapshot.segment;
    reserve_many(30001, 50);
    begin_segment();
    cr_assert_eq(hf_log_step(&rig.store->log), 0);
    reserve_many(40001, 50);
    cr_assert_not_null(strstr(hf_store_rig_files(&rig), "2 3 4 5;"), "%s", rig.text);
    take_disk();
}

static void close_rig(void)
{
    hf_store_rig_free_disk(disk);
    disk = NULL;
    hf_store_rig_close(&rig);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(recovery, .init = open_rig, .fini = close_rig, .timeout = 60);

/* ---- what happens to it ---- */

static struct hf_memory_file *file_of(const char *name)
{
    struct hf_memory_file *file = hf_memory_io_file(disk, name);
    cr_assert_not_null(file, "there is no %s", name);
    return file;
}

static void put(const char *name, uint64_t offset, const void *bytes, size_t count)
{
    struct hf_memory_file *file = file_of(name);
    cr_assert_leq(offset + count, file->file_bytes);
    memcpy(file->bytes + offset, bytes, count);
    memcpy(file->durable + offset, bytes, count);
}

static void flip(const char *name, uint64_t offset)
{
    uint8_t byte = file_of(name)->bytes[offset] ^ 0x10;
    put(name, offset, &byte, 1);
}

static void zero(const char *name, uint64_t from, uint64_t end)
{
    uint8_t *zeros = calloc(1, end - from);
    put(name, from, zeros, end - from);
    free(zeros);
}

static void cut(const char *name, uint64_t file_bytes)
{
    struct hf_memory_file *file = file_of(name);
    file->file_bytes = file->durable_bytes = file_bytes;
}

static void take_away(const char *name)
{
    cr_assert_eq(disk->io.remove_file(&disk->io, "", name), 0, "there is no %s", name);
    disk->io.sync_directory(&disk->io, "");
}

/* A file of one disk on another, under another name. */
static void bring(struct hf_memory_io *from, const char *name, const char *as)
{
    const struct hf_memory_file *file = hf_memory_io_file(from, name);
    cr_assert_not_null(file);
    uint8_t *bytes = aligned_alloc(4096, file->file_bytes);
    memcpy(bytes, file->bytes, file->file_bytes);
    int descriptor = disk->io.open_file(&disk->io, "", as, HF_IO_CREATE);
    cr_assert_eq(disk->io.write_at(&disk->io, descriptor, bytes, file->file_bytes, 0), 0);
    disk->io.sync_file(&disk->io, descriptor);
    disk->io.close_file(&disk->io, descriptor);
    disk->io.sync_directory(&disk->io, "");
    free(bytes);
}

static void segment_name(uint64_t number, char name[HF_SEGMENT_NAME_BYTES])
{
    hf_segment_name_format(number, name);
}

static uint64_t last_segment(void)
{
    return rig.store->log.flusher.segment.number;
}

/* ---- what becomes of it ---- */

/* Of all files and their names. */
static uint64_t hash_disk(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < disk->file_count; i++) {
        const struct hf_memory_file *file = &disk->files[i];
        if (file->name[0] != '\0')
            sum += XXH3_64bits_withSeed(file->bytes, file->file_bytes,
                                        XXH3_64bits(file->name, strlen(file->name)));
    }
    return sum;
}

/* It is refused, with a line that says this, and nothing is changed. */
static void expect_refused(int error, const char *says)
{
    struct hf_rebuilt rebuilt;
    uint64_t before = hash_disk();
    cr_assert_eq(hf_store_rig_recover(&rig, disk, &rebuilt), error, "%s", rig.text);
    cr_expect_not_null(strstr(rig.text, says), "\"%s\" should say: %s", rig.text, says);
    cr_expect_null(strchr(rig.text, '\n'), "it is one line");
    cr_expect_eq(hash_disk(), before, "nothing is written");
}

/* It is recovered, to the state that the whole log makes, from the snapshot up to this LSN (0: none);
 * all that was durable is there. */
static void expect_recovered(uint64_t snapshot_lsn, uint32_t damaged)
{
    struct hf_memory_io *kept = disk;
    disk = hf_store_rig_new_disk();
    hf_memory_io_copy_crashed(kept, disk);
    struct hf_rebuilt rebuilt;
    cr_assert_eq(hf_store_rig_recover(&rig, disk, &rebuilt), 0, "%s", rig.text);
    cr_expect_eq(rebuilt.found.snapshot.last_lsn, snapshot_lsn);
    cr_expect_eq(rebuilt.found.damaged_snapshots, damaged);
    cr_expect_eq(rebuilt.last_lsn, rig.last_lsn);
    hf_rebuilt_close(&rebuilt);
    const char *wrong = hf_store_rig_check_disk(&rig, kept);
    cr_expect_null(wrong, "%s", wrong);
    hf_store_rig_free_disk(disk);
    disk = kept;
}

/* ---- right as it is ---- */

Test(recovery, begins_with_the_newest_snapshot)
{
    expect_recovered(newest_lsn, 0);
}

/* Segments before the newest snapshot's start are the older one's affair. */
Test(recovery, does_not_look_at_segments_that_the_snapshot_does_not_need)
{
    char name[HF_SEGMENT_NAME_BYTES];
    segment_name(newest_segment - 1, name);
    flip(name, 100);
    flip(name, 8192 + 200);
    expect_recovered(newest_lsn, 0);
    take_away(name);
    expect_recovered(newest_lsn, 0);
}

Test(recovery, without_snapshots_begins_with_the_first_segment)
{
    take_away(newest);
    take_away(older);
    expect_refused(-EBADMSG, "0000000000000001.wal at 0: the segment is missing");
}

/* Leftovers of making one, and files that are none. */
Test(recovery, leaves_alone_what_is_no_snapshot)
{
    bring(disk, newest, "123.snapshot");
    bring(disk, newest, "00000000000000001.snapshot");
    bring(disk, newest, "copy of a snapshot");
    bring(disk, newest, "snapshot.tmp");
    flip("snapshot.tmp", 5);
    expect_recovered(newest_lsn, 0);
}

/* ---- damaged snapshots ---- */

/* A byte of each part of the file. */
Test(recovery, a_damaged_snapshot_falls_back_to_the_one_before)
{
    uint64_t file_bytes = file_of(newest)->file_bytes;
    const uint64_t offsets[] = {
        0,                                          /* header: magic */
        16,                                         /* log_id */
        41,                                         /* last_lsn */
        4000,                                       /* zeros */
        4095,                                       /* hash */
        4096,                                       /* first group: magic */
        4096 + 60,                                  /* previous hash */
        4096 + 128 + 50,                            /* first record */
        4096 + HF_SNAPSHOT_GROUP_BYTES - 20,        /* last record of the first group */
        4096 + HF_SNAPSHOT_GROUP_BYTES + 120,       /* second group: its hash */
        4096 + HF_SNAPSHOT_GROUP_BYTES + 128 * 700, /* a record of it */
        file_bytes - 1,                             /* padding */
    };
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        take_disk();
        flip(newest, offsets[i]);
        expect_recovered(older_lsn, 1);
    }
}

Test(recovery, a_snapshot_that_was_cut_falls_back_to_the_one_before)
{
    static const uint64_t sizes[] = {0, 512, 4095, 4096, 8192, 4096 + HF_SNAPSHOT_GROUP_BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        take_disk();
        cut(newest, sizes[i]);
        expect_recovered(older_lsn, 1);
    }
}

/* A sector that the disk cannot read any more. The header is read first, then the groups. */
Test(recovery, a_snapshot_that_cannot_be_read_falls_back_to_the_one_before)
{
    for (uint32_t skip = 0; skip < 2; skip++) {
        struct hf_rebuilt rebuilt;
        take_disk();
        hf_memory_io_fail(disk, HF_MEMORY_READ, skip, 1, -EIO);
        cr_assert_eq(hf_store_rig_recover(&rig, disk, &rebuilt), 0, "%s", rig.text);
        cr_expect_eq(rebuilt.found.snapshot.last_lsn, older_lsn);
        cr_expect_eq(rebuilt.found.damaged_snapshots, 1);
        hf_rebuilt_close(&rebuilt);
    }
}

/* That the machine has no descriptors or memory says nothing about the file. */
Test(recovery, a_snapshot_that_could_be_read_another_time_is_not_given_up)
{
    struct hf_rebuilt rebuilt;
    hf_memory_io_fail(disk, HF_MEMORY_READ, 0, 1, -ENOMEM);
    cr_assert_eq(hf_store_rig_recover(&rig, disk, &rebuilt), -ENOMEM, "%s", rig.text);
    cr_expect_not_null(strstr(rig.text, newest), "%s", rig.text);
    hf_memory_io_fail(disk, HF_MEMORY_LIST, 1, 1, -EIO);
    cr_assert_eq(hf_store_rig_recover(&rig, disk, &rebuilt), -EIO, "%s", rig.text);
    expect_recovered(newest_lsn, 0);
}

/* With both damaged there is no beginning left. */
Test(recovery, without_a_right_snapshot_or_the_first_segment_is_refused)
{
    flip(newest, 5000);
    flip(older, 5000);
    expect_refused(-EBADMSG, "0000000000000001.wal at 0: the segment is missing");
}

/* As long as nothing was released, a single snapshot may be damaged. */
Test(recovery, without_a_right_snapshot_begins_with_the_first_segment_if_that_is_there,
     .init = NULL)
{
    const struct hf_store_rig_options options = {.max_reservations = 65536};
    hf_store_rig_open(&rig, &options);
    cr_assert_eq(ask(HF_OP_INVENTORY_CREATE, 1, 1, 1000000), HF_CREATED);
    reserve_many(1, 20);
    begin_segment();
    make_snapshot(newest);
    reserve_many(100, 20);
    take_disk();
    flip(newest, 4096 + 128 + 7);
    expect_recovered(0, 1);
    flip(newest, 7);
    expect_recovered(0, 1);
}

/* What a newer version has written is neither read nor passed over. */
Test(recovery, a_snapshot_of_a_newer_format_is_refused)
{
    uint8_t header[HF_SNAPSHOT_HEADER_BYTES];
    memcpy(header, file_of(newest)->bytes, sizeof header);
    hf_put_u16(header + 8, 2);
    hf_put_u64(header + 4088, XXH3_64bits(header, 4088));
    put(newest, 0, header, sizeof header);
    expect_refused(-EBADMSG, "newer version");
}

/* ---- what snapshots attest ---- */

/* The log, from the block on that holds this LSN, is gone. */
static void lose_from(uint64_t lsn, bool torn)
{
    uint64_t segment = last_segment();
    char name[HF_SEGMENT_NAME_BYTES];
    bool found = false;
    for (uint64_t number = 1; number <= segment + 1; number++) {
        segment_name(number, name);
        const struct hf_memory_file *file = hf_memory_io_file(disk, name);
        uint64_t offset = HF_SEGMENT_HEADER_BYTES;
        struct hf_block block;
        while (file != NULL && !found && offset < file->file_bytes &&
               hf_block_read_header(file->bytes + offset, &block) == HF_BLOCK_VALID) {
            found = block.first_lsn + block.record_count > lsn;
            if (!found)
                offset += block.block_bytes;
        }
        if (file != NULL && found)
            zero(name, offset, file->file_bytes);
        if (file != NULL && found && torn)
            flip(name, offset + 300);
        torn = torn && !found;
    }
    cr_assert(found);
}

/* It ends cleanly, some records before the last that the snapshot attests, or with that one. */
Test(recovery, a_log_that_ends_before_its_snapshot_is_refused)
{
    lose_from(newest_lsn - 10, false);
    expect_refused(-EBADMSG, "attests");
    take_disk();
    lose_from(newest_lsn, false);
    expect_refused(-EBADMSG, "attests");
    take_disk();
    lose_from(newest_lsn + 1, false);
    struct hf_rebuilt rebuilt;
    cr_assert_eq(hf_store_rig_recover(&rig, disk, &rebuilt), 0, "%s", rig.text);
    cr_expect_eq(rebuilt.last_lsn, newest_lsn, "what no snapshot attests could be a torn tail");
    hf_rebuilt_close(&rebuilt);
}

/* What looks like a torn tail is none, if a snapshot says that it was durable: nothing is cut. */
Test(recovery, a_torn_tail_that_a_snapshot_attests_is_refused)
{
    lose_from(newest_lsn, true);
    expect_refused(-EBADMSG, "attests");
}

/* The newest is damaged, but has its name: it was there when the log reached up to that. What was
 * handed over of it would otherwise be of LSNs that are given out again. */
Test(recovery, a_damaged_snapshot_attests_by_its_name)
{
    flip(newest, 4096 + HF_SNAPSHOT_GROUP_BYTES + 500);
    lose_from(newest_lsn, false);
    expect_refused(-EBADMSG, "attests");
    take_disk();
    flip(newest, 20);
    lose_from(newest_lsn, true);
    expect_refused(-EBADMSG, "attests");
}

/* A tool was killed while it wrote this directory, all but the end: its mark is there. */
Test(recovery, a_directory_that_a_tool_has_not_finished_is_refused)
{
    bring(disk, newest, "9999999999999999.snapshot");
    cut("9999999999999999.snapshot", 0);
    expect_refused(-EBADMSG, "holdfast-wal was writing it, and did not finish");
}

/* ---- segments that are missing, damaged, or of another log ---- */

Test(recovery, without_the_segment_where_its_snapshot_begins_is_refused)
{
    char name[HF_SEGMENT_NAME_BYTES];
    segment_name(newest_segment, name);
    take_away(name);
    expect_refused(-EBADMSG, "the segment is missing");
    cr_expect_not_null(strstr(rig.text, name), "%s", rig.text);
}

Test(recovery, a_damaged_segment_where_its_snapshot_begins_is_refused_by_its_name)
{
    char name[HF_SEGMENT_NAME_BYTES];
    segment_name(newest_segment, name);
    flip(name, 20);
    expect_refused(-EBADMSG, "expected a segment header");
    take_disk();
    flip(name, HF_SEGMENT_HEADER_BYTES + 20);
    expect_refused(-EBADMSG, "attests"); /* by a later block */
}

Test(recovery, snapshots_without_a_segment_are_refused)
{
    char name[HF_SEGMENT_NAME_BYTES];
    for (uint64_t number = 1; number <= last_segment() + 1; number++) {
        segment_name(number, name);
        if (hf_memory_io_file(disk, name) != NULL)
            take_away(name);
    }
    expect_refused(-EBADMSG, "is missing");
    flip(newest, 30);
    flip(older, 30);
    expect_refused(-EBADMSG, "no segment");
}

/* A second log, as long as the first. */
static struct hf_store_rig second;

static void open_second(struct hf_memory_io **second_disk)
{
    const struct hf_store_rig_options options = {.max_reservations = 65536};
    hf_store_rig_open(&second, &options);
    struct hf_request request = {.operation = HF_OP_INVENTORY_CREATE,
                                 .inventory_id = 77,
                                 .product_id = 1,
                                 .capacity = 100000};
    cr_assert_eq(hf_store_rig_ask(&second, &request), HF_CREATED);
    request = (struct hf_request){
        .operation = HF_OP_RESERVE, .inventory_id = 77, .customer_id = 5, .qty = 1};
    for (uint32_t i = 0; i < 2 * RESERVATIONS; i++) {
        request.id = hf_id_of_number(1000000 + i);
        cr_assert_eq(hf_store_rig_ask(&second, &request), HF_GRANTED);
    }
    hf_store_rig_fill_until(&second, 4);
    hf_store_rig_snapshot(&second);
    hf_store_rig_write(&second);
    *second_disk = hf_store_rig_copy_disk(&second);
}

static void close_second(struct hf_memory_io *second_disk)
{
    hf_store_rig_free_disk(second_disk);
    hf_store_rig_close(&second);
}

Test(recovery, a_segment_of_another_log_is_refused)
{
    struct hf_memory_io *other;
    char name[HF_SEGMENT_NAME_BYTES];
    open_second(&other);
    for (uint64_t number = 2; number <= 5; number++) {
        segment_name(number, name);
        if (hf_memory_io_file(other, name) != NULL && hf_memory_io_file(disk, name) != NULL)
            bring(other, name, name);
    }
    expect_refused(-EBADMSG, "another log");
    close_second(other);
}

/* Newer than ours; and then damaged, so that ours is taken after a part of the other was handed
 * over. */
Test(recovery, a_snapshot_of_another_log_is_refused)
{
    struct hf_memory_io *other;
    char name[HF_SNAPSHOT_NAME_BYTES];
    open_second(&other);
    hf_snapshot_name_format(hf_store_rig_report(&second).last_lsn, name);
    cr_assert_gt(hf_store_rig_report(&second).last_lsn, newest_lsn);
    bring(other, name, name);
    expect_refused(-EBADMSG, "another log");

    flip(name, 4096 + HF_SNAPSHOT_GROUP_BYTES + 4000);
    expect_refused(-EBADMSG, "several logs");
    take_away(newest);
    take_away(older);
    expect_refused(-EBADMSG, "is missing");
    close_second(other);
}

/* A damaged snapshot of another log, beside a whole log without one. */
Test(recovery, a_damaged_snapshot_of_another_log_is_refused, .init = NULL)
{
    struct hf_memory_io *other;
    char name[HF_SNAPSHOT_NAME_BYTES];
    const struct hf_store_rig_options options = {.max_reservations = 65536};
    hf_store_rig_open(&rig, &options);
    cr_assert_eq(ask(HF_OP_INVENTORY_CREATE, 1, 1, 1000000), HF_CREATED);
    reserve_many(1, 20000);
    take_disk();
    open_second(&other);
    hf_snapshot_name_format(hf_store_rig_report(&second).last_lsn, name);
    cr_assert_lt(hf_store_rig_report(&second).last_lsn, rig.last_lsn);
    bring(other, name, name);
    flip(name, 4096 + HF_SNAPSHOT_GROUP_BYTES + 4000);
    expect_refused(-EBADMSG, "another log");
    close_second(other);
}

/* It would have all segments before its own start released, ours among them. */
Test(recovery, an_older_snapshot_of_another_log_releases_nothing)
{
    struct hf_memory_io *other;
    char name[HF_SNAPSHOT_NAME_BYTES], first[HF_SEGMENT_NAME_BYTES];
    uint8_t header[HF_SNAPSHOT_HEADER_BYTES];
    open_second(&other);
    hf_snapshot_name_format(hf_store_rig_report(&second).last_lsn, name);
    memcpy(header, hf_memory_io_file(other, name)->bytes, sizeof header);
    hf_put_u64(header + 40, newest_lsn - 1); /* last_lsn */
    hf_put_u64(header + 48, 1000);           /* start.segment */
    hf_put_u64(header + 80, 1);              /* start.next_lsn */
    hf_put_u64(header + 4088, XXH3_64bits(header, 4088));
    char forged[HF_SNAPSHOT_NAME_BYTES];
    hf_snapshot_name_format(newest_lsn - 1, forged);
    bring(other, name, forged);
    put(forged, 0, header, sizeof header);
    close_second(other);

    segment_name(newest_segment, first);
    expect_recovered(newest_lsn, 0);
    struct hf_rebuilt rebuilt;
    cr_assert_eq(hf_store_rig_recover(&rig, disk, &rebuilt), 0, "%s", rig.text);
    hf_rebuilt_close(&rebuilt);
    cr_expect_not_null(hf_memory_io_file(disk, first), "the newest snapshot begins with it");
    expect_recovered(newest_lsn, 0);
}

/* ---- logs that a tool makes ---- */

/* A snapshot of the whole state, and one segment without a block: with a new log_id. */
static void restore(const char *snapshot_name, uint64_t last_lsn)
{
    struct hf_memory_io *origin = disk;
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    struct hf_snapshot_view view;
    struct hf_snapshot_writer *writer;
    uint64_t found;
    cr_assert(hf_snapshot_name_parse(snapshot_name, &found));
    cr_assert_eq(hf_snapshot_open(&origin->io, "", found, true, &snapshot, &finding),
                 HF_SNAPSHOT_RIGHT);
    struct hf_snapshot_header header = *hf_snapshot_header(snapshot);
    memcpy(header.origin_log_id, header.log_id, 16);
    memset(header.log_id, 0x5a, 16);
    header.origin_last_lsn = last_lsn;
    header.epoch = 0;
    header.start = (struct hf_log_start){.segment = 1, .next_lsn = last_lsn + 1};
    disk = hf_store_rig_new_disk();
    cr_assert_eq(hf_segment_create(&disk->io, "", header.log_id, 1, HF_MIN_SEGMENT_BYTES), 0);
    cr_assert_eq(hf_snapshot_writer_open(&disk->io, "", &header, &writer), 0);
    while (hf_snapshot_next(snapshot, &view) == HF_SNAPSHOT_RIGHT) {
        for (uint32_t i = 0, room; i < view.record_count; i++) {
            uint8_t *record = hf_snapshot_writer_room(writer, &room);
            if (room == 0) {
                hf_snapshot_writer_step(writer);
                record = hf_snapshot_writer_room(writer, &room);
            }
            memcpy(record, view.records + (size_t)i * HF_RECORD_BYTES, HF_RECORD_BYTES);
            hf_snapshot_writer_add(writer, 1);
        }
    }
    hf_snapshot_writer_step(writer);
    hf_snapshot_writer_finish(writer, last_lsn, header.log_time_ns);
    while (hf_snapshot_writer_step(writer) != HF_SNAPSHOT_DONE)
        ;
    hf_snapshot_writer_close(writer);
    hf_snapshot_close(snapshot);
    hf_store_rig_free_disk(origin);
}

/* It goes on where the other log was, with snapshots of its own. */
Test(recovery, a_log_of_a_snapshot_and_an_empty_segment_goes_on)
{
    newest_lsn = make_snapshot(newest);
    take_disk();
    restore(newest, newest_lsn);
    expect_recovered(newest_lsn, 0);
    struct hf_memory_io *restored = disk;
    disk = NULL;
    cr_assert_eq(hf_store_rig_restart_on(&rig, restored), 0, "%s", rig.text);
    cr_expect_eq(rig.last_lsn, newest_lsn);
    reserve_many(50001, 20);
    cr_expect_eq(rig.outcome.reservation.lsn, newest_lsn + 20);
    take_disk();
    expect_recovered(newest_lsn, 0);
    begin_segment();
    uint64_t own_lsn = make_snapshot(newest);
    take_disk();
    expect_recovered(own_lsn, 0);
    flip(newest, 4096 + 300);
    expect_recovered(newest_lsn, 1);
}

/* Its segment is gone: a new log in its place would have nothing of what the snapshot holds. */
Test(recovery, a_log_of_a_snapshot_without_its_empty_segment_is_refused)
{
    newest_lsn = make_snapshot(newest);
    take_disk();
    restore(newest, newest_lsn);
    take_away("0000000000000001.wal");
    expect_refused(-EBADMSG, "no segment");
}

/* ---- more than two ---- */

/* A crash came before the third was removed; somebody kept the server from removing any. */
Test(recovery, many_snapshots_are_as_good_as_two)
{
    for (uint32_t i = 0; i < 20; i++) {
        char name[HF_SNAPSHOT_NAME_BYTES];
        hf_snapshot_name_format(i + 1, name);
        bring(disk, older, name);
    }
    expect_recovered(newest_lsn, 0);
}
