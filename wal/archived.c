/* What the archive command has taken: see archived.h. */
#include "wal/archived.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/digits.h"
#include "wal/block.h"
#include "wal/segment_header.h"

#define FIRST_WORDS    "holdfast archived 1\nlog "
#define NUMBERS_BYTES  (sizeof "\nsegment \nsnapshot \ndate \n" + 60) /* of 20 digits at most */
#define HASH_BYTES     (sizeof "hash \n" + 16)
#define TEMPORARY_NAME HF_ARCHIVED_NAME HF_SEGMENT_TEMPORARY_SUFFIX

_Static_assert(HF_ARCHIVED_BYTES % HF_BLOCK_ALIGN_BYTES == 0, "it is written directly");

/* True for the bytes of an id before which a UUID has a dash. */
static bool dash_before(size_t index)
{
    return index == 4 || index == 6 || index == 8 || index == 10;
}

void hf_archived_encode(uint8_t *bytes, const struct hf_archived *archived)
{
    char *text = (char *)bytes;
    memset(bytes, 0, HF_ARCHIVED_BYTES);
    int length = snprintf(text, sizeof FIRST_WORDS, FIRST_WORDS);
    for (size_t i = 0; i < sizeof archived->log_id; i++)
        length += snprintf(text + length, sizeof "-00", dash_before(i) ? "-%02x" : "%02x",
                           archived->log_id[i]);
    length += snprintf(text + length, NUMBERS_BYTES,
                       "\nsegment %" PRIu64 "\nsnapshot %" PRIu64 "\ndate %" PRIu64 "\n",
                       archived->segment, archived->snapshot_lsn, archived->date_ns);
    snprintf(text + length, HASH_BYTES, "hash %016" PRIx64 "\n",
             (uint64_t)XXH3_64bits(text, (size_t)length));
}

/* Moves *text behind `words`. False: it does not begin with them. */
static bool take_words(const char **text, const char *words)
{
    size_t length = strlen(words);
    if (strncmp(*text, words, length) != 0)
        return false;
    *text += length;
    return true;
}

/* Two hexadecimal digits. What is none gives a wrong value, which the comparison with what would
 * have been written finds. */
static uint8_t take_byte(const char **text)
{
    unsigned value = 0;
    for (int i = 0; i < 2 && **text != '\0'; i++, ++*text)
        value = value * 16 + (unsigned)(hf_is_digit(**text) ? **text - '0' : **text - 'a' + 10);
    return (uint8_t)value;
}

static void take_log_id(const char **text, uint8_t log_id[16])
{
    for (size_t i = 0; i < 16; i++) {
        if (dash_before(i) && **text == '-')
            ++*text;
        log_id[i] = take_byte(text);
    }
}

bool hf_archived_decode(const uint8_t *bytes, struct hf_archived *archived)
{
    struct hf_archived found;
    uint8_t expected[HF_ARCHIVED_BYTES];
    const char *text = (const char *)bytes;
    if (bytes[HF_ARCHIVED_BYTES - 1] != 0 || !take_words(&text, FIRST_WORDS))
        return false;
    take_log_id(&text, found.log_id);
    if (!take_words(&text, "\nsegment ") || !hf_take_digits(&text, &found.segment) ||
        !take_words(&text, "\nsnapshot ") || !hf_take_digits(&text, &found.snapshot_lsn) ||
        !take_words(&text, "\ndate ") || !hf_take_digits(&text, &found.date_ns))
        return false;
    hf_archived_encode(expected, &found);
    if (memcmp(bytes, expected, sizeof expected) != 0)
        return false;
    *archived = found;
    return true;
}

/* A page for direct I/O; NULL: out of memory. */
static uint8_t *make_page(void)
{
    return aligned_alloc(HF_BLOCK_ALIGN_BYTES, HF_ARCHIVED_BYTES);
}

int hf_archived_read(struct hf_io *io, const char *directory, struct hf_archived *archived)
{
    int file = io->open_file(io, directory, HF_ARCHIVED_NAME, HF_IO_READ_DIRECT);
    if (file < 0)
        return file;
    int result = -ENOMEM;
    uint8_t *page = make_page();
    if (page != NULL) {
        uint64_t file_bytes = 0;
        ssize_t count = io->read_at(io, file, page, HF_ARCHIVED_BYTES, 0);
        result = count < 0 ? (int)count : io->file_bytes(io, file, &file_bytes);
        if (result == 0 && (count != HF_ARCHIVED_BYTES || file_bytes != HF_ARCHIVED_BYTES ||
                            !hf_archived_decode(page, archived)))
            result = -EBADMSG;
    }
    io->close_file(io, file);
    free(page);
    return result;
}

/* Writes the page as archived.tmp, durable but for its name. */
static int write_temporary(struct hf_io *io, const char *directory, const uint8_t *page)
{
    int file = io->open_file(io, directory, TEMPORARY_NAME, HF_IO_CREATE);
    if (file < 0)
        return file;
    int result = io->write_at(io, file, page, HF_ARCHIVED_BYTES, 0);
    if (result == 0)
        result = io->sync_file(io, file);
    int closed = io->close_file(io, file);
    return result != 0 ? result : closed;
}

int hf_archived_write(struct hf_io *io, const char *directory, const struct hf_archived *archived)
{
    uint8_t *page = make_page();
    if (page == NULL)
        return -ENOMEM;
    hf_archived_encode(page, archived);
    int result = write_temporary(io, directory, page);
    free(page);
    if (result == 0)
        result = io->rename_file(io, directory, TEMPORARY_NAME, HF_ARCHIVED_NAME);
    if (result == 0)
        return io->sync_directory(io, directory);
    io->remove_file(io, directory, TEMPORARY_NAME); /* or the next start does */
    return result;
}
