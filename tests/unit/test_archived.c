/* DIR/archived: its bytes, what is refused, and that a crash leaves the old one or the new one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/lib/memory_io.h"
#include "tests/lib/process.h"
#include "wal/archived.h"

#define DIRECTORY "memory"

static const struct hf_archived example = {
    .log_id = {0x6b, 0x1c, 0x0c, 0x7e, 0x5d, 0x7f, 0x4e, 0x0c, 0x9a, 0x3c, 0x5d, 0x1e, 0x2f, 0x30,
               0x41, 0x52},
    .segment = 12,
    .snapshot_lsn = 345678,
    .date_ns = 1700000000000000000,
};

static const char example_text[] = "holdfast archived 1\n"
                                   "log 6b1c0c7e-5d7f-4e0c-9a3c-5d1e2f304152\n"
                                   "segment 12\n"
                                   "snapshot 345678\n"
                                   "date 1700000000000000000\n"
                                   "hash a0bd9a4b4639c426\n";

static struct hf_memory_io memory;

static bool same(const struct hf_archived *one, const struct hf_archived *other)
{
    return memcmp(one->log_id, other->log_id, sizeof one->log_id) == 0 &&
           one->segment == other->segment && one->snapshot_lsn == other->snapshot_lsn &&
           one->date_ns == other->date_ns;
}

Test(archived, the_file_is_text_and_zeros)
{
    /* The example of archived.h, byte for byte. */
    uint8_t bytes[HF_ARCHIVED_BYTES], expected[HF_ARCHIVED_BYTES] = {0};
    memcpy(expected, example_text, sizeof example_text);
    hf_archived_encode(bytes, &example);
    cr_expect_arr_eq(bytes, expected, sizeof bytes, "%s", (const char *)bytes);
}

Test(archived, what_is_written_is_read)
{
    /* The smallest and the largest values. */
    struct hf_archived values[] = {
        {.segment = 0},
        {.segment = UINT64_MAX, .snapshot_lsn = UINT64_MAX, .date_ns = UINT64_MAX},
        example};
    memset(values[1].log_id, 0xff, sizeof values[1].log_id);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint8_t bytes[HF_ARCHIVED_BYTES];
        struct hf_archived found;
        hf_archived_encode(bytes, &values[i]);
        cr_assert(hf_archived_decode(bytes, &found), "%s", (const char *)bytes);
        cr_expect(same(&found, &values[i]));
    }
}

Test(archived, every_flipped_bit_is_found)
{
    /* Each bit of the file, text and zeros, turned over. */
    uint8_t bytes[HF_ARCHIVED_BYTES];
    hf_archived_encode(bytes, &example);
    struct hf_archived found = {.segment = 99};
    for (size_t i = 0; i < 8 * sizeof bytes; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        cr_expect_not(hf_archived_decode(bytes, &found), "bit %zu", i);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    cr_expect_eq(found.segment, 99, "it was filled in");
    cr_expect(hf_archived_decode(bytes, &found));
}

Test(archived, text_that_says_the_same_in_another_way_is_refused)
{
    /* Zeros in front, capital letters, no end of the text, no text at all. */
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"segment 12", "segment 012"},
        {"6b1c", "6B1C"},
        {"log 6b1c0c7e-", "log 6b1c0c7e"},
        {"date 1700000000000000000", "date 99999999999999999999"},
        {"archived 1", "archived 2"},
    };
    uint8_t bytes[HF_ARCHIVED_BYTES];
    struct hf_archived found;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[HF_ARCHIVED_BYTES] = "", *place;
        hf_archived_encode(bytes, &example);
        place = strstr((char *)bytes, cases[i].from);
        cr_assert_not_null(place);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(place - (char *)bytes), (char *)bytes,
                 cases[i].to, place + strlen(cases[i].from));
        cr_expect_not(hf_archived_decode((uint8_t *)text, &found), "%s", text);
    }
    memset(bytes, 0, sizeof bytes);
    cr_expect_not(hf_archived_decode(bytes, &found));
}

Test(archived, text_without_an_end_is_not_read_beyond)
{
    /* A number that fills the file, and behind the file a page that must not be touched. */
    uint8_t *pages = mmap(NULL, 2L * HF_ARCHIVED_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(pages != MAP_FAILED);
    cr_assert_eq(mprotect(pages + HF_ARCHIVED_BYTES, HF_ARCHIVED_BYTES, PROT_NONE), 0);
    hf_archived_encode(pages, &example);
    char *number = strstr((char *)pages, "12\n");
    cr_assert_not_null(number);
    memset(number, '0', HF_ARCHIVED_BYTES - (size_t)((uint8_t *)number - pages));
    struct hf_archived found;
    cr_expect_not(hf_archived_decode(pages, &found));
    munmap(pages, 2L * HF_ARCHIVED_BYTES);
}

/* ---- the file ---- */

static void open_memory(void)
{
    hf_memory_io_init(&memory);
}

static void close_memory(void)
{
    cr_expect_eq(hf_memory_io_open_count(&memory), 0, "a file was left open");
    hf_memory_io_close(&memory);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(archived_file, .init = open_memory, .fini = close_memory);

Test(archived_file, there_is_none_and_then_there_is_one)
{
    struct hf_archived found, next = example;
    cr_expect_eq(hf_archived_read(&memory.io, DIRECTORY, &found), -ENOENT);
    for (next.segment = 1; next.segment < 4; next.segment++) {
        cr_assert_eq(hf_archived_write(&memory.io, DIRECTORY, &next), 0);
        cr_assert_eq(hf_archived_read(&memory.io, DIRECTORY, &found), 0);
        cr_expect(same(&found, &next));
    }
    cr_expect_null(hf_memory_io_file(&memory, "archived.tmp"));
}

Test(archived_file, one_of_another_size_is_refused)
{
    /* Cut short, and with a page behind it: the right bytes at its beginning in both. */
    struct hf_archived found;
    cr_assert_eq(hf_archived_write(&memory.io, DIRECTORY, &example), 0);
    struct hf_memory_file *file = hf_memory_io_file(&memory, HF_ARCHIVED_NAME);
    file->file_bytes = HF_ARCHIVED_BYTES - 1;
    cr_expect_eq(hf_archived_read(&memory.io, DIRECTORY, &found), -EBADMSG);
    uint8_t *longer = calloc(2, HF_ARCHIVED_BYTES);
    cr_assert_not_null(longer);
    memcpy(longer, file->bytes, HF_ARCHIVED_BYTES);
    free(file->bytes);
    file->bytes = longer;
    file->file_bytes = 2L * HF_ARCHIVED_BYTES;
    cr_expect_eq(hf_archived_read(&memory.io, DIRECTORY, &found), -EBADMSG);
    file->file_bytes = HF_ARCHIVED_BYTES;
    cr_expect_eq(hf_archived_read(&memory.io, DIRECTORY, &found), 0);
}

Test(archived_file, a_failed_read_is_told)
{
    struct hf_archived found;
    cr_assert_eq(hf_archived_write(&memory.io, DIRECTORY, &example), 0);
    hf_memory_io_fail(&memory, HF_MEMORY_READ, 0, 1, -EIO);
    cr_expect_eq(hf_archived_read(&memory.io, DIRECTORY, &found), -EIO);
    hf_memory_io_fail(&memory, HF_MEMORY_OPEN, 0, 1, -EACCES);
    cr_expect_eq(hf_archived_read(&memory.io, DIRECTORY, &found), -EACCES);
}

Test(archived_file, a_crash_leaves_the_old_one_or_the_new_one)
{
    /* The power fails, or the process dies, before each step of a replacement, and after the last.
     * */
    static const enum hf_memory_operation steps[] = {
        HF_MEMORY_OPEN,   HF_MEMORY_WRITE,          HF_MEMORY_SYNC_FILE,
        HF_MEMORY_RENAME, HF_MEMORY_SYNC_DIRECTORY, HF_MEMORY_OPERATIONS};
    struct hf_archived old = example, new = example, found;
    for (int power = 0; power < 2; power++) {
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            new.segment = old.segment + 1;
            cr_assert_eq(hf_archived_write(&memory.io, DIRECTORY, &old), 0);
            if (steps[i] != HF_MEMORY_OPERATIONS) {
                hf_memory_io_fail(&memory, steps[i], 0, UINT32_MAX, -EIO);
                hf_memory_io_fail(&memory, HF_MEMORY_REMOVE, 0, UINT32_MAX, -EIO);
            }
            int result = hf_archived_write(&memory.io, DIRECTORY, &new);
            cr_expect_eq(result, steps[i] != HF_MEMORY_OPERATIONS ? -EIO : 0);
            for (int each = 0; each < HF_MEMORY_OPERATIONS; each++)
                hf_memory_io_fail(&memory, (enum hf_memory_operation)each, 0, 0, 0);
            if (power)
                hf_memory_io_crash(&memory);
            cr_assert_eq(hf_archived_read(&memory.io, DIRECTORY, &found), 0, "step %zu", i);
            cr_expect(same(&found, &new) || (result != 0 && same(&found, &old)), "step %zu", i);
            old.segment += 10;
        }
    }
}

Test(archived_file, without_room_the_old_one_stays_and_nothing_is_left_behind)
{
    struct hf_archived old = example, new = example, found;
    new.segment++;
    cr_assert_eq(hf_archived_write(&memory.io, DIRECTORY, &old), 0);
    hf_memory_io_set_room(&memory, HF_ARCHIVED_BYTES);
    cr_expect_eq(hf_archived_write(&memory.io, DIRECTORY, &new), -ENOSPC);
    cr_assert_eq(hf_archived_read(&memory.io, DIRECTORY, &found), 0);
    cr_expect(same(&found, &old));
    cr_expect_null(hf_memory_io_file(&memory, "archived.tmp"));
}

Test(archived_file, on_a_real_disk_too)
{
    /* Direct I/O of a real file system, twice. */
    char directory[HF_DIRECTORY_TEXT_BYTES];
    struct hf_archived next = example, found;
    cr_assert_eq(hf_directory_make(directory), 0);
    cr_expect_eq(hf_archived_write(hf_io_posix(), directory, &next), 0);
    next.segment++;
    cr_expect_eq(hf_archived_write(hf_io_posix(), directory, &next), 0);
    cr_expect_eq(hf_archived_read(hf_io_posix(), directory, &found), 0);
    cr_expect(same(&found, &next));
    cr_expect_eq(hf_archived_write(hf_io_posix(), "/nowhere", &next), -ENOENT);
    hf_directory_remove(directory);
}
