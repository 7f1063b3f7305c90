/*
 * Snapshots: what is written is read back; no damage of the file goes unnoticed, whether a checksum
 * tells it or not; which there are in a directory.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "tests/lib/built_snapshot.h"
#include "tests/lib/process.h"

#define MADE_AT 1767323045000000006ull /* 2026-01-02T03:04:05.000000006Z */
#define FULL    HF_SNAPSHOT_GROUP_RECORDS
#define KIB     1024ull

static struct hf_memory_io disk;

static void open_disk(void)
{
    hf_memory_io_init(&disk);
}

static void close_disk(void)
{
    cr_expect_eq(hf_memory_io_open_count(&disk), 0);
    hf_memory_io_close(&disk);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(snapshot, .init = open_disk, .fini = close_disk);

static struct hf_snapshot_header build(uint64_t made_at_ns, uint64_t records, uint64_t inventories)
{
    return hf_built_snapshot(&disk.io, HF_BUILT_DIRECTORY, made_at_ns, records, inventories);
}

static struct hf_built_walk read_back(uint64_t last_lsn)
{
    return hf_built_read(&disk.io, HF_BUILT_DIRECTORY, last_lsn);
}

/* The same for records that are not those that were built. */
static struct hf_built_walk read_forged(uint64_t last_lsn)
{
    struct hf_built_walk walk = {0};
    struct hf_snapshot *snapshot;
    struct hf_snapshot_view view;
    walk.end =
        hf_snapshot_open(&disk.io, HF_BUILT_DIRECTORY, last_lsn, false, &snapshot, &walk.finding);
    cr_assert_eq(walk.end, HF_SNAPSHOT_RIGHT, "%s", walk.finding.text);
    while ((walk.end = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT)
        walk.records += view.record_count;
    walk.finding = *hf_snapshot_finding(snapshot);
    hf_snapshot_close(snapshot);
    return walk;
}

/* Reads, and expects damage at that place with `word` in the text. */
static void expect_corrupt(uint64_t last_lsn, uint64_t offset, const char *word)
{
    struct hf_built_walk walk = read_back(last_lsn);
    cr_expect_eq(walk.end, HF_SNAPSHOT_CORRUPT, "end %d, '%s': %s", (int)walk.end, word,
                 walk.finding.text);
    cr_expect_eq(walk.finding.offset, offset, "%s", walk.finding.text);
    cr_expect_not_null(strstr(walk.finding.text, word), "'%s' is not in: %s", word,
                       walk.finding.text);
}

static void expect_right(uint64_t last_lsn)
{
    struct hf_built_walk walk = read_back(last_lsn);
    cr_expect_eq(walk.end, HF_SNAPSHOT_END, "%s", walk.finding.text);
    cr_expect_eq(walk.records, walk.header.records);
}

/* Where group `index` begins. */
static uint64_t place_of(uint64_t index)
{
    return HF_SNAPSHOT_HEADER_BYTES + index * HF_SNAPSHOT_GROUP_BYTES;
}

/* ---- what is written is read back ------------------------------------------------------- */

static void check_header(const struct hf_snapshot_header *found, uint64_t records,
                         uint64_t inventories, uint64_t file_bytes)
{
    struct hf_snapshot_header told = hf_built_header(MADE_AT);
    cr_expect_arr_eq(found->log_id, told.log_id, sizeof(told.log_id));
    cr_expect_eq(found->epoch, told.epoch);
    cr_expect_arr_eq((const uint8_t *)&found->start, (const uint8_t *)&told.start,
                     sizeof(told.start));
    cr_expect_eq(found->retain_ns, told.retain_ns);
    cr_expect_eq(found->segment_bytes, told.segment_bytes);
    cr_expect_eq(found->made_at_ns, MADE_AT);
    cr_expect_eq(found->log_time_ns, MADE_AT - 1);
    cr_expect_eq(found->last_lsn, hf_built_last_lsn(records));
    cr_expect_eq(found->records, records);
    cr_expect_eq(found->inventories, inventories);
    cr_expect_eq(found->groups, (records + FULL - 1) / FULL);
    cr_expect_eq(found->file_bytes, file_bytes);
    cr_expect_eq(found->last_group_hash == 0, records == 0);
}

Test(snapshot, what_is_written_is_read_back)
{
    /* No record; counts around a page, around groups, around what one read brings, and more; only
     * inventories, none, and some. */
    static const uint64_t counts[] = {
        0,
        1,
        30,
        31,
        32,
        2046,
        2047,
        2048,
        4094,
        4095,
        16 * FULL - 1,
        17 * FULL,
        32 * FULL + 1,
        10000,
        16 * FULL,
        16 * FULL + 1,
        33 * FULL + 5,
        33000,
    };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint64_t records = counts[i];
        uint64_t inventories = i % 3 == 0 ? records : i % 3 == 1 ? 0 : records / 3;
        struct hf_snapshot_header header = build(MADE_AT, records, inventories);
        struct hf_built_walk walk = read_back(header.last_lsn);
        cr_expect_eq(walk.end, HF_SNAPSHOT_END, "%s", walk.finding.text);
        cr_expect_eq(walk.records, records);
        cr_expect_arr_eq((const uint8_t *)&walk.header, (const uint8_t *)&header, sizeof(header));
        check_header(&walk.header, records, inventories,
                     hf_built_file(&disk, header.last_lsn)->file_bytes);
    }
}

Test(snapshot, a_file_is_as_large_as_its_records_make_it)
{
    /* Padding to 4096 bytes; 256 KiB a full group. */
    static const struct {
        uint64_t records, file_bytes;
    } cases[] = {
        {0, 4 * KIB},          {1, 8 * KIB},      {31, 8 * KIB},
        {32, 12 * KIB},        {FULL, 260 * KIB}, {FULL + 1, 264 * KIB},
        {2 * FULL, 516 * KIB}, {2016, 260 * KIB}, {2015, 256 * KIB},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hf_snapshot_header header = build(MADE_AT, cases[i].records, 0);
        cr_expect_eq(header.file_bytes, cases[i].file_bytes, "%llu records: %llu bytes",
                     (unsigned long long)cases[i].records, (unsigned long long)header.file_bytes);
    }
}

Test(snapshot, a_real_disk_holds_it)
{
    /* A real directory, written and read past the page cache. */
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_io *io = hf_io_posix();
    hf_built_snapshot(io, directory, MADE_AT, 10000, 10);
    struct hf_snapshot_header header = hf_built_snapshot(io, directory, MADE_AT + 1, 20000, 20);
    uint64_t last_lsns[3];
    cr_assert_eq(hf_snapshots_list(io, directory, last_lsns, 3), 2);
    cr_expect_eq(last_lsns[0], header.last_lsn);
    struct hf_built_walk walk = hf_built_read(io, directory, header.last_lsn);
    cr_expect_eq(walk.end, HF_SNAPSHOT_END, "%s", walk.finding.text);
    cr_expect_eq(walk.records, 20000);
    cr_expect_eq(hf_snapshot_remove(io, directory, header.last_lsn), 0);
    walk = hf_built_read(io, directory, header.last_lsn);
    cr_expect_eq(walk.finding.error, -ENOENT);
    cr_expect_eq(hf_built_read(io, directory, last_lsns[1]).records, 10000);
    hf_directory_remove(directory);
}

/* A real disk that tells when the second piece of a file is read. */
static sem_t second_piece;

static ssize_t tell_read_at(struct hf_io *io, int file, void *buffer, size_t bytes, uint64_t offset)
{
    if (offset > HF_SNAPSHOT_READ_BYTES)
        sem_post(&second_piece);
    return hf_io_posix()->read_at(io, file, buffer, bytes, offset);
}

Test(snapshot, what_comes_next_is_read_while_the_caller_is_busy)
{
    /* Three pieces, of which one group was taken; then all of it. */
    char directory[HF_DIRECTORY_TEXT_BYTES];
    struct hf_io io = *hf_io_posix();
    io.read_at = tell_read_at;
    sem_init(&second_piece, 0, 0);
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_snapshot_header header = hf_built_snapshot(&io, directory, MADE_AT, 70000, 10);
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    struct hf_snapshot_view view;
    cr_assert_eq(hf_snapshot_open(&io, directory, header.last_lsn, true, &snapshot, &finding),
                 HF_SNAPSHOT_RIGHT);
    cr_assert_eq(hf_snapshot_next(snapshot, &view), HF_SNAPSHOT_RIGHT);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    cr_expect_eq(sem_timedwait(&second_piece, &until), 0);
    hf_snapshot_close(snapshot);
    struct hf_built_walk walk = hf_built_read(&io, directory, header.last_lsn);
    cr_expect_eq(walk.end, HF_SNAPSHOT_END, "%s", walk.finding.text);
    cr_expect_eq(walk.records, 70000);
    hf_directory_remove(directory);
}

/* ---- changed bytes ---------------------------------------------------------------------- */

Test(snapshot, every_flipped_bit_is_found, .timeout = 300)
{
    /* A snapshot of an inventory and two reservations, padding included: each bit of its 8192 bytes
     * is turned over once. */
    struct hf_snapshot_header header = build(MADE_AT, 3, 1);
    struct hf_memory_file *file = hf_built_file(&disk, header.last_lsn);
    cr_assert_eq(file->file_bytes, 8192);
    for (size_t at = 0; at < file->file_bytes; at++) {
        for (int bit = 0; bit < 8; bit++) {
            file->bytes[at] ^= (uint8_t)(1u << bit);
            struct hf_built_walk walk = read_back(header.last_lsn);
            cr_assert_eq(walk.end, HF_SNAPSHOT_CORRUPT, "byte %zu, bit %d", at, bit);
            cr_assert_eq(walk.finding.offset, at < 4096 ? 0 : 4096, "byte %zu, bit %d", at, bit);
            cr_assert_eq(walk.records, 0);
            file->bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
    expect_right(header.last_lsn);
}

Test(snapshot, every_byte_made_zero_or_ones_is_found, .timeout = 300)
{
    /* The same snapshot: each byte as it reads when it is lost, unless it was just that. */
    struct hf_snapshot_header header = build(MADE_AT, 3, 1);
    struct hf_memory_file *file = hf_built_file(&disk, header.last_lsn);
    for (size_t at = 0; at < file->file_bytes; at++) {
        uint8_t right = file->bytes[at];
        for (unsigned value = 0; value <= 0xff; value += 0xff) {
            file->bytes[at] = (uint8_t)value;
            cr_assert_eq(read_back(header.last_lsn).end,
                         value == right ? HF_SNAPSHOT_END : HF_SNAPSHOT_CORRUPT, "byte %zu", at);
        }
        file->bytes[at] = right;
    }
}

Test(snapshot, damage_in_a_later_group_is_found_there, .timeout = 300)
{
    /* Three groups; a bit of each 97th byte of the second and third one is turned over. What stands
     * before the damaged group is given, nothing behind. */
    struct hf_snapshot_header header = build(MADE_AT, 2 * FULL + 40, 5);
    struct hf_memory_file *file = hf_built_file(&disk, header.last_lsn);
    for (size_t at = place_of(1); at < file->file_bytes; at += 97) {
        file->bytes[at] ^= 0x10;
        struct hf_built_walk walk = read_back(header.last_lsn);
        uint64_t group = at < place_of(2) ? 1 : 2;
        cr_assert_eq(walk.end, HF_SNAPSHOT_CORRUPT, "byte %zu", at);
        cr_assert_eq(walk.finding.offset, place_of(group), "%s", walk.finding.text);
        cr_assert_eq(walk.records, group * FULL);
        file->bytes[at] ^= 0x10;
    }
}

Test(snapshot, the_text_says_what_is_damaged)
{
    /* One byte in each part of header and group; both made zero. */
    struct hf_snapshot_header header = build(MADE_AT, 3, 1);
    uint8_t *bytes = hf_built_file(&disk, header.last_lsn)->bytes;
    static const struct {
        uint64_t at, offset;
        const char *word;
    } cases[] = {
        {0, 0, "expected the header of a snapshot, found other bytes (wrong magic)"},
        {8, 0, "found a header with a wrong checksum"},
        {4095, 0, "found a header with a wrong checksum"},
        {4096, 4096, "expected group 1 of 1, found other bytes (wrong magic)"},
        {4096 + 8, 4096, "found a header with a wrong checksum"},
        {4096 + 127, 4096, "found a header with a wrong checksum"},
        {4096 + 128, 4096, "found records with a wrong checksum"},
        {4096 + 511, 4096, "found records with a wrong checksum"},
        {4096 + 512, 4096, "found padding that is not zero"},
        {8191, 4096, "found padding that is not zero"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bytes[cases[i].at] ^= 1;
        expect_corrupt(header.last_lsn, cases[i].offset, cases[i].word);
        bytes[cases[i].at] ^= 1;
    }
    memset(bytes + 4096, 0, 128);
    expect_corrupt(header.last_lsn, 4096, "found zeros");
    memset(bytes, 0, 4096);
    expect_corrupt(header.last_lsn, 0, "found zeros");
    expect_corrupt(header.last_lsn, 0, "0000000000000109.snapshot at 0");
}

/* ---- files that are too short or too long ----------------------------------------------- */

Test(snapshot, a_file_of_another_size_is_damaged)
{
    /* Cut off within and between header and groups, also by a byte; made longer by a byte and by a
     * group; what was cut off is put back. */
    struct hf_snapshot_header header = build(MADE_AT, FULL + 1, 1);
    struct hf_memory_file *file = hf_built_file(&disk, header.last_lsn);
    const uint64_t right = file->file_bytes;
    const uint64_t sizes[] = {0,
                              1,
                              511,
                              4095,
                              4096,
                              4097,
                              8192,
                              place_of(1) - 1,
                              place_of(1),
                              place_of(1) + 128,
                              right - 4096,
                              right - 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        file->file_bytes = sizes[i];
        expect_corrupt(header.last_lsn, 0, sizes[i] < 4096 ? "found a file of" : "expected a file");
    }
    file->file_bytes = right;
    file->bytes = realloc(file->bytes, right + HF_SNAPSHOT_GROUP_BYTES);
    cr_assert_not_null(file->bytes);
    memset(file->bytes + right, 0, HF_SNAPSHOT_GROUP_BYTES);
    const uint64_t growths[] = {1, 4096, HF_SNAPSHOT_GROUP_BYTES};
    for (size_t i = 0; i < sizeof(growths) / sizeof(growths[0]); i++) {
        file->file_bytes = right + growths[i];
        expect_corrupt(header.last_lsn, 0, "expected a file");
    }
    file->file_bytes = right;
    expect_right(header.last_lsn);
}

Test(snapshot, a_file_that_shrinks_while_it_is_read_is_damaged)
{
    /* Its size was right when it was opened; it is cut off when the first groups were read. */
    struct hf_snapshot_header header = build(MADE_AT, 20 * FULL, 0);
    struct hf_memory_file *file = hf_built_file(&disk, header.last_lsn);
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    struct hf_snapshot_view view;
    cr_assert_eq(
        hf_snapshot_open(&disk.io, HF_BUILT_DIRECTORY, header.last_lsn, false, &snapshot, &finding),
        HF_SNAPSHOT_RIGHT);
    for (unsigned i = 0; i < HF_SNAPSHOT_READ_GROUPS; i++)
        cr_assert_eq(hf_snapshot_next(snapshot, &view), HF_SNAPSHOT_RIGHT);
    file->file_bytes = place_of(17);
    cr_expect_eq(hf_snapshot_next(snapshot, &view), HF_SNAPSHOT_CORRUPT);
    cr_expect_not_null(strstr(hf_snapshot_finding(snapshot)->text, "the file ends at 4460544"),
                       "%s", hf_snapshot_finding(snapshot)->text);
    hf_snapshot_close(snapshot);
}

/* ---- groups that belong elsewhere ------------------------------------------------------- */

static void copy_group(uint8_t *to, uint64_t to_index, const uint8_t *from, uint64_t from_index)
{
    memcpy(to + place_of(to_index), from + place_of(from_index), HF_SNAPSHOT_GROUP_BYTES);
}

/* A copy of the snapshot's bytes. To be freed by the caller. */
static uint8_t *bytes_of(const struct hf_snapshot_header *header)
{
    uint8_t *bytes = malloc(header->file_bytes);
    cr_assert_not_null(bytes);
    memcpy(bytes, hf_built_file(&disk, header->last_lsn)->bytes, header->file_bytes);
    return bytes;
}

Test(snapshot, swapped_groups_are_found)
{
    /* The second and third of four groups have each other's place. */
    struct hf_snapshot_header header = build(MADE_AT, 3 * FULL + 9, 0);
    struct hf_memory_file *file = hf_built_file(&disk, header.last_lsn);
    uint8_t *right = bytes_of(&header);
    copy_group(file->bytes, 1, right, 2);
    copy_group(file->bytes, 2, right, 1);
    expect_corrupt(header.last_lsn, place_of(1), "found group 3, which belongs at 528384");
    copy_group(file->bytes, 1, right, 1); /* the second one twice */
    expect_corrupt(header.last_lsn, place_of(2), "found group 2, which belongs at 266240");
    free(right);
}

Test(snapshot, groups_of_another_snapshot_of_the_log_are_found)
{
    /* Two snapshots of two groups of the same log, made at different times. Each group of the one
     * in the place of that of the other; then with its date forged to be the same. */
    struct hf_snapshot_header header = build(MADE_AT + 7, 2 * FULL, 0);
    uint8_t *others = bytes_of(&header);
    header = build(MADE_AT, 2 * FULL, 0);
    uint8_t *right = bytes_of(&header);
    uint8_t *bytes = hf_built_file(&disk, header.last_lsn)->bytes;
    for (uint64_t index = 0; index < 2; index++) {
        copy_group(bytes, index, others, index);
        expect_corrupt(header.last_lsn, place_of(index), "found a group of another snapshot");
        hf_put_u64(bytes + place_of(index) + 32, MADE_AT);
        hf_built_forge_group(bytes, header.file_bytes, place_of(index));
        struct hf_built_walk walk = read_forged(header.last_lsn);
        cr_expect_eq(walk.end, HF_SNAPSHOT_CORRUPT);
        cr_expect_eq(walk.finding.offset, place_of(1), "%s", walk.finding.text);
        cr_expect_not_null(strstr(walk.finding.text, "found it behind another group"), "%s",
                           walk.finding.text);
        copy_group(bytes, index, right, index);
    }
    /* The last one, and linked to the one before: only the file's header knows that it is another.
     */
    copy_group(bytes, 1, others, 1);
    hf_put_u64(bytes + place_of(1) + 32, MADE_AT);
    hf_put_u64(bytes + place_of(1) + 56, hf_get_u64(bytes + place_of(0) + 120));
    hf_built_forge_group(bytes, header.file_bytes, place_of(1));
    expect_corrupt(header.last_lsn, place_of(1), "found another last one");
    free(others);
    free(right);
}

Test(snapshot, a_group_of_another_log_is_found)
{
    /* The same in all but the log. */
    struct hf_snapshot_header header = build(MADE_AT, 9, 0);
    uint8_t *bytes = hf_built_file(&disk, header.last_lsn)->bytes;
    bytes[4096 + 16] ^= 1;
    hf_built_forge_all(bytes, header.file_bytes);
    expect_corrupt(header.last_lsn, 4096, "found a group of another log");
}

/* ---- right checksums over wrong bytes --------------------------------------------------- */

/* Puts `value` at `at` of the file, and makes all hashes and links right. */
static void forge(struct hf_memory_file *file, uint64_t at, uint64_t value, unsigned value_bytes)
{
    uint8_t bytes[8];
    hf_put_u64(bytes, value);
    memcpy(file->bytes + at, bytes, value_bytes);
    hf_built_forge_all(file->bytes, file->file_bytes);
}

Test(snapshot, a_group_that_cannot_be_there_is_found_under_right_hashes)
{
    /* Each field of the second of two groups, as no writer would leave it there. */
    static const struct {
        unsigned at, bytes;
        uint64_t value;
        const char *word;
    } cases[] = {
        {8, 2, 0, "impossible field"},
        {10, 2, 256, "impossible field"},
        {12, 2, 64, "impossible field"},
        {14, 2, 1, "impossible field"},
        {64, 4, 0, "impossible field"},
        {64, 4, FULL + 1, "impossible field"},
        {68, 4, 4096, "impossible field"},
        {68, 4, 8193, "impossible field"},
        {72, 1, 1, "impossible field"},
        {111, 1, 1, "impossible field"},
        {8, 2, 2, "impossible field"},
        {24, 8, 7, "of another log"},
        {32, 8, MADE_AT + 1,
         "another snapshot, made at 1767323045000000007 instead of 17673230450"},
        {40, 8, 0, "found group 1, which"},
        {40, 8, 2, "found group 3, which belongs at 266240"},
        {48, 8, 4096, "belongs at 4096"},
        {64, 4, 39, "one of 39 records instead of 40"},
        {64, 4, 41, "one of 41 records instead of 40"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hf_snapshot_header header = build(MADE_AT, FULL + 40, 5);
        struct hf_memory_file *file = hf_built_file(&disk, header.last_lsn);
        forge(file, place_of(1) + cases[i].at, cases[i].value, cases[i].bytes);
        expect_corrupt(header.last_lsn, place_of(1), cases[i].word);
    }
}

Test(snapshot, the_first_group_continues_nothing)
{
    /* Its previous_hash is not zero. */
    struct hf_snapshot_header header = build(MADE_AT, 2, 0);
    uint8_t *bytes = hf_built_file(&disk, header.last_lsn)->bytes;
    hf_put_u64(bytes + 4096 + 56, 1);
    hf_built_forge_group(bytes, header.file_bytes, 4096);
    hf_put_u64(bytes + 184, hf_get_u64(bytes + 4096 + 120));
    hf_built_forge_header(bytes);
    expect_corrupt(header.last_lsn, 4096, "found it behind another group");
}

Test(snapshot, padding_that_is_not_zero_is_found_under_right_hashes)
{
    /* No hash is over the padding of a group. */
    struct hf_snapshot_header header = build(MADE_AT, 2, 0);
    forge(hf_built_file(&disk, header.last_lsn), 8191, 1, 1);
    expect_corrupt(header.last_lsn, 4096, "found padding that is not zero");
}

Test(snapshot, a_record_that_cannot_be_there_is_found_under_right_hashes)
{
    /* 3 inventories and 37 + FULL reservations; record `number` is made what it must not be. */
    static const struct {
        uint64_t number;
        unsigned at, bytes;
        uint64_t value;
        const char *word; /* NULL: it may be so */
    } cases[] = {
        {0, 0, 8, 0, "with a record 1 "},
        {7, 0, 8, 0, "with a record 8 "},
        {7, 0, 8, 1, NULL},
        {7, 0, 8, 100 + 3 * (FULL + 40), NULL},
        {7, 0, 8, 101 + 3 * (FULL + 40), "with a record 8 "},
        {7, 0, 8, UINT64_MAX, "with a record 8 "},
        {2, 8, 1, 2, "with a record 3 "},
        {3, 8, 1, 1, "with a record 4 "},
        {3, 8, 1, 3, "with a record 4 "},
        {3, 8, 1, 0, "with a record 4 "},
        {FULL + 39, 8, 1, 1, "with a record 40 "},
        {FULL, 10, 1, 1, "with a record 1 "},
        {FULL - 1, 11, 1, 2, "with a record 2047 "},
        {1, 11, 1, 1, "with a record 2 "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hf_snapshot_header header = build(MADE_AT, FULL + 40, 3);
        struct hf_memory_file *file = hf_built_file(&disk, header.last_lsn);
        uint64_t group = place_of(cases[i].number / FULL);
        forge(file, group + 128 + cases[i].number % FULL * 128 + cases[i].at, cases[i].value,
              cases[i].bytes);
        struct hf_built_walk walk = read_forged(header.last_lsn);
        cr_expect_eq(walk.end, cases[i].word == NULL ? HF_SNAPSHOT_END : HF_SNAPSHOT_CORRUPT,
                     "case %zu: %s", i, walk.finding.text);
        if (cases[i].word != NULL) {
            cr_expect_eq(walk.finding.offset, group, "%s", walk.finding.text);
            cr_expect_not_null(strstr(walk.finding.text, cases[i].word), "%s", walk.finding.text);
        }
    }
}

/* ---- whose snapshot it is --------------------------------------------------------------- */

Test(snapshot, a_newer_format_is_told_from_damage)
{
    /* Format 2 under a right hash, with whatever else a later version may say; then with a wrong
     * one. */
    struct hf_snapshot_header header = build(MADE_AT, 3, 1);
    uint8_t *bytes = hf_built_file(&disk, header.last_lsn)->bytes;
    hf_put_u16(bytes + 8, 2);
    hf_put_u16(bytes + 10, 512);
    bytes[4000] = 9;
    hf_built_forge_header(bytes);
    struct hf_built_walk walk = read_back(header.last_lsn);
    cr_expect_eq(walk.end, HF_SNAPSHOT_NEWER);
    cr_expect_not_null(strstr(walk.finding.text,
                              "expected a snapshot of format 1, found format 2: it was written by "
                              "a newer version"),
                       "%s", walk.finding.text);
    bytes[4000] = 8;
    expect_corrupt(header.last_lsn, 0, "wrong checksum");
}

Test(snapshot, a_snapshot_under_another_name_is_damaged)
{
    /* Its file was renamed. */
    struct hf_snapshot_header header = build(MADE_AT, 3, 1);
    char from[HF_SNAPSHOT_NAME_BYTES], to[HF_SNAPSHOT_NAME_BYTES];
    hf_snapshot_name_format(header.last_lsn, from);
    hf_snapshot_name_format(header.last_lsn + 1, to);
    cr_assert_eq(disk.io.rename_file(&disk.io, HF_BUILT_DIRECTORY, from, to), 0);
    expect_corrupt(header.last_lsn + 1, 0,
                   "expected a snapshot up to LSN 110, found one up to LSN "
                   "109");
    cr_expect_eq(read_back(header.last_lsn).finding.error, -ENOENT);
}

Test(snapshot, a_header_before_the_groups_of_another_is_damaged)
{
    /* The header of the one stands before the groups of the other; both have the same name. */
    struct hf_snapshot_header header = build(MADE_AT, 3, 1);
    uint8_t kept[HF_SNAPSHOT_HEADER_BYTES];
    memcpy(kept, hf_built_file(&disk, header.last_lsn)->bytes, sizeof(kept));
    build(MADE_AT + 1, 3, 1);
    memcpy(hf_built_file(&disk, header.last_lsn)->bytes, kept, sizeof(kept));
    expect_corrupt(header.last_lsn, 4096, "found a group of another snapshot");
}

/* ---- errors of the disk ----------------------------------------------------------------- */

Test(snapshot, a_disk_error_is_told_as_one)
{
    /* There is no such file; it cannot be opened; each of its reads fails: header, first groups,
     * those behind. */
    struct hf_snapshot_header header = build(MADE_AT, 20 * FULL, 0);
    cr_expect_eq(read_back(header.last_lsn + 1).finding.error, -ENOENT);
    cr_expect_eq(read_back(header.last_lsn + 1).end, HF_SNAPSHOT_ERROR);
    hf_memory_io_fail(&disk, HF_MEMORY_OPEN, 0, 1, -EACCES);
    cr_expect_eq(read_back(header.last_lsn).finding.error, -EACCES);
    static const uint64_t given[] = {0, 0, HF_SNAPSHOT_READ_GROUPS * FULL};
    for (uint32_t skip = 0; skip < 3; skip++) {
        hf_memory_io_fail(&disk, HF_MEMORY_READ, skip, 1, -EIO);
        struct hf_built_walk walk = read_back(header.last_lsn);
        cr_expect_eq(walk.end, HF_SNAPSHOT_ERROR);
        cr_expect_eq(walk.finding.error, -EIO);
        cr_expect_eq(walk.records, given[skip]);
        cr_expect_not_null(strstr(walk.finding.text, "cannot read: Input/output error"), "%s",
                           walk.finding.text);
    }
    expect_right(header.last_lsn);
}

/* ---- the directory ---------------------------------------------------------------------- */

static void touch(const char *name)
{
    int file = disk.io.open_file(&disk.io, HF_BUILT_DIRECTORY, name, HF_IO_CREATE);
    cr_assert_geq(file, 0);
    disk.io.close_file(&disk.io, file);
}

Test(snapshot, those_in_a_directory_are_listed_newest_first)
{
    /* Five snapshots that came in no order, beside segments and other files; room for none, for
     * some, and for more than there are. */
    static const uint64_t lsns[] = {300, 7, 9999999999999999, 0, 41};
    static const uint64_t sorted[] = {9999999999999999, 300, 41, 7, 0};
    cr_expect_eq(hf_snapshots_list(&disk.io, HF_BUILT_DIRECTORY, NULL, 0), 0);
    touch("0000000000000001.wal");
    touch(HF_SNAPSHOT_TEMPORARY);
    touch("0000000000000005.snapshot.tmp");
    touch("lock");
    for (size_t i = 0; i < 5; i++) {
        char name[HF_SNAPSHOT_NAME_BYTES];
        hf_snapshot_name_format(lsns[i], name);
        touch(name);
    }
    for (size_t max = 0; max <= 7; max++) {
        uint64_t found[8];
        memset(found, 0xa5, sizeof(found));
        cr_expect_eq(hf_snapshots_list(&disk.io, HF_BUILT_DIRECTORY, found, max), 5);
        size_t count = max < 5 ? max : 5;
        cr_expect_arr_eq(found, sorted, count * sizeof(uint64_t));
        cr_expect_eq(found[count], 0xa5a5a5a5a5a5a5a5, "room for %zu", max);
    }
    hf_memory_io_fail(&disk, HF_MEMORY_LIST, 0, 1, -EIO);
    cr_expect_eq(hf_snapshots_list(&disk.io, HF_BUILT_DIRECTORY, NULL, 0), -EIO);
}

Test(snapshot, what_is_removed_stays_removed)
{
    /* Two snapshots; one is removed, and the power fails. Then removing fails. */
    struct hf_snapshot_header one = build(MADE_AT, 3, 1), other = build(MADE_AT, 4, 1);
    cr_expect_eq(hf_snapshot_remove(&disk.io, HF_BUILT_DIRECTORY, one.last_lsn), 0);
    hf_memory_io_crash(&disk);
    uint64_t found;
    cr_expect_eq(hf_snapshots_list(&disk.io, HF_BUILT_DIRECTORY, &found, 1), 1);
    cr_expect_eq(found, other.last_lsn);
    cr_expect_eq(hf_snapshot_remove(&disk.io, HF_BUILT_DIRECTORY, one.last_lsn), -ENOENT);
    hf_memory_io_fail(&disk, HF_MEMORY_SYNC_DIRECTORY, 0, 1, -EIO);
    cr_expect_eq(hf_snapshot_remove(&disk.io, HF_BUILT_DIRECTORY, other.last_lsn), -EIO);
}
