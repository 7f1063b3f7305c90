/*
 * The writer of snapshots: what it does in which order, and what is left when the disk fails or the
 * power does, at every one of its calls.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/lib/built_snapshot.h"

#define MADE_AT 1767323045000000006ull
#define FULL    HF_SNAPSHOT_GROUP_RECORDS
#define RECORDS (2 * FULL + 40) /* of the snapshots that fail: three groups */

static struct hf_memory_io disk;

/*
 * The disk's calls, told one by one; from `calls_left` = 0 on the machine is dead: nothing happens
 * any more. Reading and closing are no calls.
 */
static struct {
    struct hf_io io;
    char calls[64]; /* a letter each */
    unsigned call_count, calls_left;
    int close_error;
    uint64_t write_bytes; /* of the largest write */
} traced;

static bool is_dead(char call)
{
    cr_assert_lt(traced.call_count, sizeof(traced.calls) - 1);
    if (traced.calls_left == 0)
        return true;
    traced.calls_left--;
    traced.calls[traced.call_count++] = call;
    return false;
}

static int traced_open(struct hf_io *io, const char *directory, const char *name,
                       enum hf_io_open_mode mode)
{
    (void)io;
    if (mode == HF_IO_CREATE)
        cr_expect_str_eq(name, "snapshot.tmp");
    if (mode == HF_IO_CREATE && is_dead('c'))
        return -EIO;
    return disk.io.open_file(&disk.io, directory, name, mode);
}

static int traced_close(struct hf_io *io, int file)
{
    (void)io;
    int result = disk.io.close_file(&disk.io, file);
    return traced.close_error != 0 ? traced.close_error : result;
}

static ssize_t traced_read(struct hf_io *io, int file, void *buffer, size_t bytes, uint64_t offset)
{
    (void)io;
    return disk.io.read_at(&disk.io, file, buffer, bytes, offset);
}

static int traced_write(struct hf_io *io, int file, const void *buffer, size_t bytes,
                        uint64_t offset)
{
    (void)io;
    if (is_dead(offset == 0 ? 'h' : 'g'))
        return -EIO;
    if (traced.write_bytes < bytes)
        traced.write_bytes = bytes;
    return disk.io.write_at(&disk.io, file, buffer, bytes, offset);
}

static int traced_sync(struct hf_io *io, int file)
{
    (void)io;
    return is_dead('s') ? -EIO : disk.io.sync_file(&disk.io, file);
}

static int traced_sync_directory(struct hf_io *io, const char *directory)
{
    (void)io;
    return is_dead('d') ? -EIO : disk.io.sync_directory(&disk.io, directory);
}

static int traced_bytes(struct hf_io *io, int file, uint64_t *bytes)
{
    (void)io;
    return disk.io.file_bytes(&disk.io, file, bytes);
}

static int traced_rename(struct hf_io *io, const char *directory, const char *from, const char *to)
{
    (void)io;
    return is_dead('r') ? -EIO : disk.io.rename_file(&disk.io, directory, from, to);
}

static int traced_remove(struct hf_io *io, const char *directory, const char *name)
{
    (void)io;
    return is_dead('u') ? -EIO : disk.io.remove_file(&disk.io, directory, name);
}

static int traced_list(struct hf_io *io, const char *directory,
                       int (*each)(void *context, const char *name), void *context)
{
    (void)io;
    return disk.io.list(&disk.io, directory, each, context);
}

static void open_disk(void)
{
    hf_memory_io_init(&disk);
    memset(&traced, 0, sizeof(traced));
    traced.io = (struct hf_io){
        .open_file = traced_open,
        .close_file = traced_close,
        .read_at = traced_read,
        .write_at = traced_write,
        .sync_file = traced_sync,
        .sync_directory = traced_sync_directory,
        .file_bytes = traced_bytes,
        .rename_file = traced_rename,
        .remove_file = traced_remove,
        .list = traced_list,
    };
    traced.calls_left = UINT32_MAX;
}

static void close_disk(void)
{
    cr_expect_eq(hf_memory_io_open_count(&disk), 0);
    hf_memory_io_close(&disk);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(snapshot_writer, .init = open_disk, .fini = close_disk);

static void reopen_disk(void)
{
    close_disk();
    open_disk();
}

static struct hf_snapshot_writer *open_writer(uint64_t made_at_ns)
{
    struct hf_snapshot_header header = hf_built_header(made_at_ns);
    struct hf_snapshot_writer *writer;
    cr_assert_eq(hf_snapshot_writer_open(&traced.io, HF_BUILT_DIRECTORY, &header, &writer), 0);
    return writer;
}

/* Makes a snapshot as far as it goes, and closes the writer. DONE, or -errno. */
static int make_snapshot(uint64_t made_at_ns, uint64_t records, uint64_t inventories)
{
    struct hf_snapshot_header header = hf_built_header(made_at_ns);
    struct hf_snapshot_writer *writer;
    int result = hf_snapshot_writer_open(&traced.io, HF_BUILT_DIRECTORY, &header, &writer);
    if (result < 0)
        return result;
    result = hf_built_fill(writer, records, inventories);
    if (result == 0) {
        hf_snapshot_writer_finish(writer, hf_built_last_lsn(records), made_at_ns - 1);
        do
            result = hf_snapshot_writer_step(writer);
        while (result == HF_SNAPSHOT_ENDING);
    }
    /* Again the same, and nothing happens. */
    unsigned calls = traced.call_count;
    cr_expect_eq(hf_snapshot_writer_step(writer), result);
    uint32_t room;
    hf_snapshot_writer_room(writer, &room);
    cr_expect_eq(room, 0);
    cr_expect_eq(traced.call_count, calls);
    hf_snapshot_writer_close(writer);
    return result;
}

static struct hf_built_walk read_back(uint64_t records)
{
    return hf_built_read(&disk.io, HF_BUILT_DIRECTORY, hf_built_last_lsn(records));
}

static bool exists(const char *name)
{
    return hf_memory_io_file(&disk, name) != NULL;
}

/* ---- steps ------------------------------------------------------------------------------ */

Test(snapshot_writer, the_calls_are_these_in_this_order)
{
    /* Nothing has its name before it is whole and synced; the header is written when the groups
     * are durable. No record; one group that is not full; one that is; three. */
    static const struct {
        uint64_t records;
        const char *calls;
    } cases[] = {
        {0, "cshsrd"},
        {1, "cgshsrd"},
        {FULL, "cgshsrd"},
        {RECORDS, "cgggshsrd"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reopen_disk();
        cr_expect_eq(make_snapshot(MADE_AT, cases[i].records, 0), HF_SNAPSHOT_DONE);
        cr_expect_str_eq(traced.calls, cases[i].calls);
        cr_expect(!exists("snapshot.tmp"));
    }
}

Test(snapshot_writer, a_step_makes_one_call)
{
    /* A snapshot of three groups, step by step: each writes no more than a group. */
    struct hf_snapshot_writer *writer = open_writer(MADE_AT);
    unsigned calls = traced.call_count;
    uint32_t room;
    for (unsigned group = 0; group < 2; group++) {
        hf_snapshot_writer_room(writer, &room);
        cr_assert_eq(room, FULL);
        uint8_t *records = hf_snapshot_writer_room(writer, &room);
        for (uint32_t i = 0; i < FULL; i++)
            hf_built_record(MADE_AT, RECORDS, 0, group * FULL + i,
                            records + (size_t)i * HF_RECORD_BYTES);
        hf_snapshot_writer_add(writer, FULL - 1);
        cr_expect_eq(hf_snapshot_writer_step(writer), HF_SNAPSHOT_FILLING);
        cr_expect_eq(traced.call_count, calls, "a group with room is not written");
        hf_snapshot_writer_add(writer, 1);
        hf_snapshot_writer_room(writer, &room);
        cr_expect_eq(room, 0);
        cr_expect_eq(hf_snapshot_writer_bytes(writer), group * HF_SNAPSHOT_GROUP_BYTES);
        cr_expect_eq(hf_snapshot_writer_step(writer), HF_SNAPSHOT_FILLING);
        cr_expect_eq(traced.call_count, ++calls);
        cr_expect_eq(hf_snapshot_writer_bytes(writer), (group + 1) * HF_SNAPSHOT_GROUP_BYTES);
    }
    uint8_t *record = hf_snapshot_writer_room(writer, &room);
    hf_built_record(MADE_AT, RECORDS, 0, 2 * FULL, record);
    hf_snapshot_writer_add(writer, 1);
    hf_snapshot_writer_finish(writer, hf_built_last_lsn(RECORDS), 0);
    hf_snapshot_writer_room(writer, &room);
    cr_expect_eq(room, 0);
    cr_expect_eq(traced.call_count, calls, "finish() writes nothing");
    int step;
    do {
        step = hf_snapshot_writer_step(writer);
        cr_expect_eq(traced.call_count, ++calls);
    } while (step == HF_SNAPSHOT_ENDING);
    cr_expect_eq(step, HF_SNAPSHOT_DONE);
    cr_expect_eq(traced.write_bytes, HF_SNAPSHOT_GROUP_BYTES);
    hf_snapshot_writer_close(writer);
}

Test(snapshot_writer, what_is_known_so_far_is_told)
{
    /* Two inventories, then reservations, of which the second has the newest LSN. */
    struct hf_snapshot_writer *writer = open_writer(MADE_AT);
    const struct hf_snapshot_header *header = hf_snapshot_writer_header(writer);
    cr_expect_eq(hf_snapshot_writer_newest_lsn(writer), 0);
    static const uint64_t lsns[] = {5, 3, 70, 90, 80};
    for (uint64_t number = 0; number < 5; number++) {
        uint32_t room;
        uint8_t *record = hf_snapshot_writer_room(writer, &room);
        cr_expect_eq(room, FULL - number);
        hf_built_record(MADE_AT, 5, 2, number, record);
        hf_put_u64(record, lsns[number]);
        hf_snapshot_writer_add(writer, 1);
        cr_expect_eq(header->records, number + 1);
        cr_expect_eq(header->inventories, number < 2 ? number + 1 : 2);
    }
    cr_expect_eq(hf_snapshot_writer_newest_lsn(writer), 90);
    hf_snapshot_writer_finish(writer, 90, 7);
    cr_expect_eq(header->last_lsn, 90);
    cr_expect_eq(header->log_time_ns, 7);
    cr_expect_eq(header->groups, 1);
    cr_expect_eq(header->file_bytes, 8192);
    hf_snapshot_writer_close(writer);
    cr_expect_not(exists("snapshot.tmp"), "it was abandoned");
}

Test(snapshot_writer, what_was_left_behind_is_written_over)
{
    /* A snapshot.tmp that is longer than the new snapshot, full of other bytes. */
    struct hf_snapshot_header header = hf_built_header(MADE_AT);
    cr_assert_eq(make_snapshot(MADE_AT + 9, RECORDS, 4), HF_SNAPSHOT_DONE);
    char name[HF_SNAPSHOT_NAME_BYTES];
    hf_snapshot_name_format(hf_built_last_lsn(RECORDS), name);
    cr_assert_eq(disk.io.rename_file(&disk.io, HF_BUILT_DIRECTORY, name, HF_SNAPSHOT_TEMPORARY), 0);
    cr_assert_eq(make_snapshot(header.made_at_ns, 3, 1), HF_SNAPSHOT_DONE);
    cr_expect_eq(read_back(3).end, HF_SNAPSHOT_END);
}

/* ---- a disk that fails ------------------------------------------------------------------ */

/* Of a snapshot of RECORDS, the call that fails, and how. */
struct failure {
    enum hf_memory_operation operation;
    uint32_t skip;
    int result;
};

/* After an error there is no snapshot, no temporary file and no open descriptor; what was there
 * before is there; and the next one succeeds. */
static void expect_no_trace(const char *what)
{
    cr_expect_eq(hf_memory_io_open_count(&disk), 0, "%s", what);
    cr_expect_not(exists("snapshot.tmp"), "%s", what);
    cr_expect_eq(read_back(RECORDS).finding.error, -ENOENT, "%s", what);
    cr_expect_eq(read_back(3).end, HF_SNAPSHOT_END, "%s", what);
    cr_expect_eq(make_snapshot(MADE_AT + 1, RECORDS, 4), HF_SNAPSHOT_DONE, "%s", what);
    cr_expect_eq(read_back(RECORDS).end, HF_SNAPSHOT_END, "%s", what);
}

Test(snapshot_writer, an_error_at_any_call_leaves_nothing)
{
    /* Each call fails once, with EIO and with ENOSPC; an older snapshot is there. */
    static const struct failure failures[] = {
        {HF_MEMORY_OPEN, 0, 0},      {HF_MEMORY_WRITE, 0, 0},  {HF_MEMORY_WRITE, 1, 0},
        {HF_MEMORY_WRITE, 2, 0},     {HF_MEMORY_WRITE, 3, 0},  {HF_MEMORY_SYNC_FILE, 0, 0},
        {HF_MEMORY_SYNC_FILE, 1, 0}, {HF_MEMORY_RENAME, 0, 0},
    };
    static const int errors[] = {-EIO, -ENOSPC};
    for (size_t i = 0; i < 2 * sizeof(failures) / sizeof(failures[0]); i++) {
        reopen_disk();
        cr_assert_eq(make_snapshot(MADE_AT, 3, 1), HF_SNAPSHOT_DONE);
        const struct failure *failure = &failures[i / 2];
        hf_memory_io_fail(&disk, failure->operation, failure->skip, 1, errors[i % 2]);
        cr_expect_eq(make_snapshot(MADE_AT, RECORDS, 4), errors[i % 2], "failure %zu", i);
        char what[32];
        snprintf(what, sizeof(what), "failure %zu", i);
        expect_no_trace(what);
    }
}

Test(snapshot_writer, an_error_of_the_last_sync_leaves_a_right_snapshot)
{
    /* It has its name already, and all of it is durable: only whether the name is, nobody knows. */
    hf_memory_io_fail(&disk, HF_MEMORY_SYNC_DIRECTORY, 0, 1, -EIO);
    cr_expect_eq(make_snapshot(MADE_AT, RECORDS, 4), -EIO);
    cr_expect_eq(hf_memory_io_open_count(&disk), 0);
    cr_expect_not(exists("snapshot.tmp"));
    cr_expect_eq(read_back(RECORDS).end, HF_SNAPSHOT_END);
    cr_expect_eq(strchr(traced.calls, 'u'), NULL, "nothing is removed");
}

Test(snapshot_writer, an_error_of_closing_leaves_nothing)
{
    /* close() tells what an earlier write could not. */
    cr_assert_eq(make_snapshot(MADE_AT, 3, 1), HF_SNAPSHOT_DONE);
    traced.close_error = -EIO;
    cr_expect_eq(make_snapshot(MADE_AT, RECORDS, 4), -EIO);
    traced.close_error = 0;
    expect_no_trace("closing");
}

Test(snapshot_writer, a_full_disk_leaves_nothing)
{
    /* Room for every number of 4 KiB that is less than the snapshot needs. */
    cr_assert_eq(make_snapshot(MADE_AT, 3, 1), HF_SNAPSHOT_DONE);
    uint64_t used_bytes = disk.used_bytes;
    cr_assert_eq(make_snapshot(MADE_AT, 60, 4), HF_SNAPSHOT_DONE);
    uint64_t needed_bytes = disk.used_bytes - used_bytes;
    cr_assert_eq(hf_snapshot_remove(&disk.io, HF_BUILT_DIRECTORY, hf_built_last_lsn(60)), 0);
    for (uint64_t room_bytes = 0; room_bytes <= needed_bytes; room_bytes += 4096) {
        hf_memory_io_set_room(&disk, used_bytes + room_bytes);
        int expected = room_bytes < needed_bytes ? -ENOSPC : (int)HF_SNAPSHOT_DONE;
        cr_expect_eq(make_snapshot(MADE_AT, 60, 4), expected);
        cr_expect_not(exists("snapshot.tmp"));
        traced.call_count = 0;
    }
    cr_expect_eq(read_back(60).end, HF_SNAPSHOT_END);
    hf_memory_io_set_room(&disk, UINT64_MAX);
}

/* ---- a machine that dies ---------------------------------------------------------------- */

/* What a crash may leave of writes that were not synced. */
enum keeping {
    KEEPS_NOTHING, /* the disk as it is after hf_memory_io_crash() */
    KEEPS_ALL,     /* only the process died, or everything reached the disk by chance */
};

/* Makes a snapshot of `records` while the machine dies after `calls` calls. True: it did not. */
static bool die_after(unsigned calls, uint64_t made_at_ns, uint64_t records, enum keeping keeping)
{
    traced.calls_left = calls;
    traced.call_count = 0;
    memset(traced.calls, 0, sizeof(traced.calls));
    int result = make_snapshot(made_at_ns, records, 4);
    cr_expect(result == HF_SNAPSHOT_DONE || result == -EIO, "%d", result);
    if (keeping == KEEPS_NOTHING)
        hf_memory_io_crash(&disk);
    traced.calls_left = UINT32_MAX;
    return result == HF_SNAPSHOT_DONE;
}

Test(snapshot_writer, a_crash_at_any_call_leaves_no_snapshot_or_a_right_one)
{
    /* An older snapshot is there, durably. The machine dies after each number of calls, and the
     * disk forgets what was not synced, or nothing. */
    for (int keeping = KEEPS_NOTHING; keeping <= KEEPS_ALL; keeping++) {
        bool lived = false;
        for (unsigned calls = 0; !lived; calls++) {
            reopen_disk();
            cr_assert_eq(make_snapshot(MADE_AT, 3, 1), HF_SNAPSHOT_DONE);
            lived = die_after(calls, MADE_AT + 1, RECORDS, (enum keeping)keeping);
            struct hf_built_walk walk = read_back(RECORDS);
            bool is_there = walk.end == HF_SNAPSHOT_END;
            cr_expect(is_there || walk.finding.error == -ENOENT, "%u calls: %s", calls,
                      walk.finding.text);
            cr_expect_eq(read_back(3).end, HF_SNAPSHOT_END, "%u calls: the older one", calls);
            if (lived)
                cr_expect(is_there, "%u calls: what was done is durable", calls);
            if (strchr(traced.calls, 'r') == NULL)
                cr_expect(!is_there, "%u calls: it has no name before it is renamed", calls);
            cr_assert_lt(calls, 12);
        }
    }
}

Test(snapshot_writer, a_crash_while_one_of_the_same_name_is_made_leaves_the_old_or_the_new)
{
    /* Nothing came to the log since the last snapshot: the new one has the same name. */
    unsigned old = 0, new = 0;
    for (int keeping = KEEPS_NOTHING; keeping <= KEEPS_ALL; keeping++) {
        bool lived = false;
        for (unsigned calls = 0; !lived; calls++) {
            reopen_disk();
            cr_assert_eq(make_snapshot(MADE_AT, RECORDS, 4), HF_SNAPSHOT_DONE);
            lived = die_after(calls, MADE_AT + 1, RECORDS, (enum keeping)keeping);
            struct hf_built_walk walk = read_back(RECORDS);
            cr_expect_eq(walk.end, HF_SNAPSHOT_END, "%u calls: %s", calls, walk.finding.text);
            cr_expect(!lived || walk.header.made_at_ns == MADE_AT + 1);
            old += walk.header.made_at_ns == MADE_AT;
            new += walk.header.made_at_ns == MADE_AT + 1;
        }
    }
    cr_expect_gt(old, 0);
    cr_expect_gt(new, 0);
}

/* ---- what a caller must not do ---------------------------------------------------------- */

/* One record, as it must be but for one byte. */
static void add_record(struct hf_snapshot_writer *writer, uint8_t kind, unsigned at, uint8_t value)
{
    uint32_t room;
    uint8_t *record = hf_snapshot_writer_room(writer, &room);
    memset(record, 0, HF_RECORD_BYTES);
    record[0] = 9;
    record[HF_RECORD_KIND] = kind;
    record[at] = value;
    hf_snapshot_writer_add(writer, 1);
}

Test(snapshot_writer, an_inventory_behind_a_reservation_is_refused, .signal = SIGABRT)
{
    struct hf_snapshot_writer *writer = open_writer(MADE_AT);
    add_record(writer, 2, 127, 0);
    add_record(writer, 1, 127, 0);
}

Test(snapshot_writer, an_event_is_refused, .signal = SIGABRT)
{
    add_record(open_writer(MADE_AT), 3, 127, 0);
}

Test(snapshot_writer, a_record_without_an_lsn_is_refused, .signal = SIGABRT)
{
    add_record(open_writer(MADE_AT), 2, 0, 0);
}

Test(snapshot_writer, a_record_of_a_chain_is_refused, .signal = SIGABRT)
{
    add_record(open_writer(MADE_AT), 2, HF_RECORD_CHAIN_LENGTH, 1);
}

Test(snapshot_writer, a_record_newer_than_the_snapshot_is_refused, .signal = SIGABRT)
{
    /* Up to LSN 59, but a record has 60. */
    struct hf_snapshot_writer *writer = open_writer(MADE_AT);
    add_record(writer, 2, 0, 60);
    hf_snapshot_writer_finish(writer, 59, 0);
}

Test(snapshot_writer, a_record_behind_the_end_is_refused, .signal = SIGABRT)
{
    /* It was filled in before finish() was called, and is entered after. */
    struct hf_snapshot_writer *writer = open_writer(MADE_AT);
    add_record(writer, 2, 127, 0);
    uint32_t room;
    uint8_t *record = hf_snapshot_writer_room(writer, &room);
    memcpy(record, record - HF_RECORD_BYTES, HF_RECORD_BYTES);
    hf_snapshot_writer_finish(writer, 59, 0);
    hf_snapshot_writer_add(writer, 1);
}

Test(snapshot_writer, a_start_that_cannot_be_is_refused_at_once, .signal = SIGABRT)
{
    /* The log goes on in an epoch that is newer than the one that makes the snapshot. */
    struct hf_snapshot_header header = hf_built_header(MADE_AT);
    struct hf_snapshot_writer *writer;
    header.start.epoch = header.epoch + 1;
    hf_snapshot_writer_open(&traced.io, HF_BUILT_DIRECTORY, &header, &writer);
}
