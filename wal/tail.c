/*
 * The tail; what it promises is told in tail.h.
 *
 * A tail's place is a block and not a record: the block that holds next_lsn, or one before it. It
 * moves on when a look finds that the block ends before next_lsn. So nothing has to be undone when
 * a caller uses only a part of what it was given.
 *
 * The buffer holds one piece of the open segment, and is larger than any block. `checked` is the
 * block in it whose payload was checked, so that a block that is used in many parts is hashed once.
 */
#include "wal/tail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "wal/block.h"
#include "wal/io.h"
#include "wal/log.h"
#include "wal/recent.h"
#include "wal/segment_header.h"

#define BUFFER_BYTES (2u << 20)
#define AHEAD_BYTES  (256u << 10)
#define TEXT_BYTES   256

/* A tail that went on by more than this without the files looks for its place anew: going along the
 * blocks would take longer. */
#define NEAR_RECORDS 65536

_Static_assert(BUFFER_BYTES >= HF_MAX_BLOCK_BYTES + HF_BLOCK_ALIGN_BYTES,
               "a block is whole in the buffer");

struct hf_tail_reader {
    struct hf_tail_log log;
    int file; /* -1: none */
    uint64_t segment;
    uint8_t *buffer;
    uint64_t buffer_offset; /* in the segment */
    size_t buffer_bytes;
    size_t ahead_bytes; /* how much the next read takes; grows while reading goes on in sequence */
    uint64_t checked;   /* offset of the block in the buffer that is known to be right; 0: none */
    uint64_t first_lsn;
    char text[TEXT_BYTES];
};

/* What stands at a place. */
enum standing {
    STANDS_RIGHT,   /* a block that belongs there */
    STANDS_OTHER,   /* anything else */
    STANDS_AHEAD,   /* not known: another read would be needed */
    STANDS_MISSING, /* there is no such segment */
    STANDS_UNREAD,  /* the segment could not be read: the reader's text says why */
};

struct hf_tail_log hf_tail_log_of(const struct hf_log *log, const struct hf_recent *recent)
{
    struct hf_tail_log of = {
        .io = log->segments.io,
        .directory = log->segments.directory,
        .segment_bytes = log->segments.segment_bytes,
        .recent = recent,
        .segments = &log->segments,
    };
    memcpy(of.log_id, log->segments.log_id, sizeof of.log_id);
    return of;
}

int hf_tail_reader_open(struct hf_tail_reader **opened, const struct hf_tail_log *log)
{
    struct hf_tail_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return -ENOMEM;
    reader->log = *log;
    reader->file = -1;
    reader->buffer = aligned_alloc(HF_BLOCK_ALIGN_BYTES, BUFFER_BYTES);
    if (reader->buffer == NULL) {
        free(reader);
        return -ENOMEM;
    }
    *opened = reader;
    return 0;
}

static void leave_segment(struct hf_tail_reader *reader)
{
    if (reader->file >= 0)
        reader->log.io->close_file(reader->log.io, reader->file);
    reader->file = -1;
    reader->buffer_bytes = 0;
    reader->checked = 0;
}

void hf_tail_reader_close(struct hf_tail_reader *reader)
{
    if (reader == NULL)
        return;
    leave_segment(reader);
    free(reader->buffer);
    free(reader);
}

const char *hf_tail_reader_text(const struct hf_tail_reader *reader)
{
    return reader->text;
}

uint64_t hf_tail_first_lsn(const struct hf_tail_reader *reader)
{
    return reader->first_lsn;
}

bool hf_tail_in_memory(const struct hf_tail_reader *reader, uint64_t lsn)
{
    return reader->log.recent != NULL && hf_recent_holds(reader->log.recent, lsn);
}

/* Says why reading failed, at a place; segment 0: at none. */
__attribute__((format(printf, 4, 5))) static enum hf_tail_read
fail(struct hf_tail_reader *reader, uint64_t segment, uint64_t offset, const char *format, ...)
{
    int length = 0;
    if (segment != 0) {
        char name[HF_SEGMENT_NAME_BYTES];
        hf_segment_name_format(segment, name);
        length =
            snprintf(reader->text, TEXT_BYTES, "%s at %llu: ", name, (unsigned long long)offset);
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->text + length, TEXT_BYTES - (size_t)length, format, arguments);
    va_end(arguments);
    return HF_TAIL_FAILED;
}

/* ---- the bytes of a segment ------------------------------------------------------------- */

/* Makes this the open segment. RIGHT, MISSING or UNREAD. */
static enum standing enter_segment(struct hf_tail_reader *reader, uint64_t segment)
{
    if (reader->file >= 0 && reader->segment == segment)
        return STANDS_RIGHT;
    leave_segment(reader);
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(segment, name);
    int file =
        reader->log.io->open_file(reader->log.io, reader->log.directory, name, HF_IO_READ_DIRECT);
    if (file == -ENOENT)
        return STANDS_MISSING;
    if (file < 0) {
        fail(reader, segment, 0, "cannot open the segment: %s", strerror(-file));
        return STANDS_UNREAD;
    }
    reader->file = file;
    reader->segment = segment;
    return STANDS_RIGHT;
}

/* The bytes at `offset` of the open segment if the buffer has them all; else NULL. */
static const uint8_t *find(const struct hf_tail_reader *reader, uint64_t offset, size_t bytes)
{
    bool within = offset >= reader->buffer_offset &&
                  offset + bytes <= reader->buffer_offset + reader->buffer_bytes;
    return within ? reader->buffer + (offset - reader->buffer_offset) : NULL;
}

/* Reads the open segment from `offset` on, `bytes` at the most; keeps what the buffer has of it
 * already. RIGHT or UNREAD. */
static enum standing load(struct hf_tail_reader *reader, uint64_t offset, size_t bytes)
{
    uint64_t end = reader->buffer_offset + reader->buffer_bytes;
    size_t kept = 0;
    if (offset >= reader->buffer_offset && offset < end) {
        kept = (size_t)(end - offset);
        memmove(reader->buffer, reader->buffer + (offset - reader->buffer_offset), kept);
    }
    uint64_t left = reader->log.segment_bytes - offset;
    size_t wanted = (left < bytes ? (size_t)left : bytes) - kept;
    reader->buffer_offset = offset;
    reader->buffer_bytes = kept;
    if (kept == 0 || reader->checked < offset)
        reader->checked = 0;
    ssize_t count = reader->log.io->read_at(reader->log.io, reader->file, reader->buffer + kept,
                                            wanted, offset + kept);
    if (count == (ssize_t)wanted) {
        reader->buffer_bytes = kept + wanted;
        return STANDS_RIGHT;
    }
    if (count < 0)
        fail(reader, reader->segment, offset + kept, "cannot read: %s", strerror((int)-count));
    else
        fail(reader, reader->segment, offset + kept + (size_t)count,
             "the file ends, expected %llu bytes", (unsigned long long)reader->log.segment_bytes);
    leave_segment(reader);
    return STANDS_UNREAD;
}

/* True if the 128 bytes at this place of the open segment are the header of a block that belongs
 * there. */
static bool is_header(const struct hf_tail_reader *reader, uint64_t offset, const uint8_t *bytes,
                      struct hf_block *block)
{
    return hf_block_read_header(bytes, block) == HF_BLOCK_VALID &&
           memcmp(block->log_id, reader->log.log_id, sizeof block->log_id) == 0 &&
           block->segment == reader->segment && block->offset == offset &&
           offset + block->block_bytes <= reader->log.segment_bytes;
}

/* The oldest segment that the log has not let go of; 0: whatever is there. */
static uint64_t first_kept(const struct hf_tail_reader *reader)
{
    return reader->log.segments != NULL ? hf_segments_first(reader->log.segments) : 0;
}

static bool is_released(const struct hf_tail_reader *reader, uint64_t segment)
{
    return reader->log.segments != NULL && segment < hf_segments_needed_from(reader->log.segments);
}

/* ---- finding a place -------------------------------------------------------------------- */

struct listing {
    uint64_t from;        /* none before this one is looked at */
    uint64_t first, last; /* numbers; 0: none */
};

static int note_segment(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t number;
    if (!hf_segment_name_parse(name, &number) || number < listing->from)
        return 0;
    if (listing->first == 0 || number < listing->first)
        listing->first = number;
    if (number > listing->last)
        listing->last = number;
    return 0;
}

/* Reads the header of a segment's first block. OTHER: none was written yet, or not to its end. */
static enum standing probe(struct hf_tail_reader *reader, uint64_t segment, struct hf_block *block)
{
    enum standing standing = enter_segment(reader, segment);
    if (standing != STANDS_RIGHT)
        return standing;
    reader->buffer_bytes = reader->ahead_bytes = 0;
    standing = load(reader, HF_SEGMENT_HEADER_BYTES, HF_BLOCK_ALIGN_BYTES);
    if (standing != STANDS_RIGHT)
        return standing;
    return is_header(reader, HF_SEGMENT_HEADER_BYTES, reader->buffer, block) ? STANDS_RIGHT
                                                                             : STANDS_OTHER;
}

/* What a segment is searched by: the last one whose first block is not behind it. */
struct key {
    uint64_t lsn;     /* the record with this LSN; or, if 0: */
    uint64_t date_ns; /* what was made at this date */
};

static bool is_behind(const struct hf_block *block, const struct key *key)
{
    return key->lsn != 0 ? block->first_lsn > key->lsn : block->written_at_ns >= key->date_ns;
}

/* Reads the first block of the first segment, none before `from`: where the log begins. RECORDS or
 * FAILED. */
static enum hf_tail_read find_first(struct hf_tail_reader *reader, uint64_t from,
                                    struct listing *listing, struct hf_block *block)
{
    uint64_t kept = first_kept(reader);
    *listing = (struct listing){.from = from > kept ? from : kept};
    int result = reader->log.io->list(reader->log.io, reader->log.directory, note_segment, listing);
    if (result < 0)
        return fail(reader, 0, 0, "cannot list the directory: %s", strerror(-result));
    if (listing->first == 0)
        return fail(reader, 0, 0, "the directory holds no log");
    switch (probe(reader, listing->first, block)) {
    case STANDS_RIGHT:
        reader->first_lsn = block->first_lsn;
        return HF_TAIL_RECORDS;
    case STANDS_UNREAD:
        return HF_TAIL_FAILED;
    default:
        return fail(reader, listing->first, HF_SEGMENT_HEADER_BYTES,
                    "expected the first block of the log");
    }
}

/* *from: no segment before this one; raised to the one behind a gap that a crash has left among
 * those that nobody needs. */
static enum hf_tail_read search_once(struct hf_tail *tail, struct hf_tail_reader *reader,
                                     const struct key *key, uint64_t *from)
{
    struct listing listing;
    struct hf_block block = {0};
    enum hf_tail_read read = find_first(reader, *from, &listing, &block);
    if (read != HF_TAIL_RECORDS)
        return read;
    bool kept = !is_behind(&block, key);
    uint64_t low = listing.first, high = kept ? listing.last + 1 : low, low_lsn = block.first_lsn;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        switch (probe(reader, middle, &block)) {
        case STANDS_RIGHT:
            break;
        case STANDS_OTHER: /* it holds nothing that was committed, or damage that is met later */
            high = middle;
            continue;
        case STANDS_UNREAD:
            return HF_TAIL_FAILED;
        default:
            if (is_released(reader, middle))
                *from = middle + 1;
            return fail(reader, middle, 0, "the segment is missing");
        }
        if (is_behind(&block, key)) {
            high = middle;
        } else {
            low = middle;
            low_lsn = block.first_lsn;
        }
    }
    tail->segment = low;
    tail->offset = HF_SEGMENT_HEADER_BYTES;
    tail->block_lsn = low_lsn;
    return kept ? HF_TAIL_RECORDS : HF_TAIL_NOT_KEPT;
}

/* Finds the segment for `key`, and puts the tail to its beginning. RECORDS, NOT_KEPT (the first
 * segment then) or FAILED. */
static enum hf_tail_read search(struct hf_tail *tail, struct hf_tail_reader *reader,
                                const struct key *key)
{
    uint64_t first, from = 0, before;
    enum hf_tail_read read;
    do {
        first = first_kept(reader);
        before = from;
        read = search_once(tail, reader, key, &from);
        /* Again, if the first went meanwhile, or another one is. */
    } while (read == HF_TAIL_FAILED && (first_kept(reader) != first || from != before));
    return read;
}

void hf_tail_seek(struct hf_tail *tail, uint64_t lsn)
{
    if (lsn < tail->block_lsn || lsn > tail->next_lsn + NEAR_RECORDS)
        tail->segment = 0;
    tail->next_lsn = lsn;
}

enum hf_tail_read hf_tail_seek_date(struct hf_tail *tail, struct hf_tail_reader *reader,
                                    uint64_t date_ns)
{
    if (search(tail, reader, &(struct key){.date_ns = date_ns}) == HF_TAIL_FAILED)
        return HF_TAIL_FAILED;
    tail->next_lsn = tail->block_lsn;
    return HF_TAIL_RECORDS;
}

/* ---- reading ---------------------------------------------------------------------------- */

/* What one look may still do: so that a caller with many tails gives each its turn. */
struct allowance {
    uint32_t reads;
    bool searched;
    bool again; /* the buffer was thrown away, and read anew */
};

/* How much to read at `offset` where `bytes` are needed: more as long as reading goes on where it
 * was, as a tail that is read in small pieces between others would read most of it in vain. */
static size_t read_ahead(struct hf_tail_reader *reader, uint64_t offset, size_t bytes)
{
    bool goes_on = reader->buffer_bytes != 0 && offset >= reader->buffer_offset &&
                   offset <= reader->buffer_offset + reader->buffer_bytes;
    size_t ahead = goes_on ? 2 * reader->ahead_bytes : 0;
    ahead = ahead > AHEAD_BYTES ? ahead : AHEAD_BYTES;
    reader->ahead_bytes = ahead < BUFFER_BYTES ? ahead : BUFFER_BYTES;
    return bytes > reader->ahead_bytes ? bytes : reader->ahead_bytes;
}

/* Brings `bytes` at the tail's place into the buffer. RIGHT, AHEAD, MISSING, UNREAD. */
static enum standing reach(struct hf_tail *tail, struct hf_tail_reader *reader,
                           struct allowance *allowance, size_t bytes, const uint8_t **found)
{
    enum standing standing = enter_segment(reader, tail->segment);
    if (standing != STANDS_RIGHT)
        return standing;
    *found = find(reader, tail->offset, bytes);
    if (*found != NULL)
        return STANDS_RIGHT;
    if (allowance->reads == 0)
        return STANDS_AHEAD;
    allowance->reads--;
    standing = load(reader, tail->offset, read_ahead(reader, tail->offset, bytes));
    *found = reader->buffer;
    return standing;
}

/* Looks at the block at the tail's place. RIGHT: its header is in *block; if it goes beyond
 * next_lsn, then all of it, checked, at *bytes. */
static enum standing judge(struct hf_tail *tail, struct hf_tail_reader *reader,
                           struct allowance *allowance, struct hf_block *block,
                           const uint8_t **bytes)
{
    enum standing standing = reach(tail, reader, allowance, HF_BLOCK_ALIGN_BYTES, bytes);
    if (standing != STANDS_RIGHT)
        return standing;
    if (!is_header(reader, tail->offset, *bytes, block) || block->first_lsn != tail->block_lsn)
        return STANDS_OTHER;
    if (block->first_lsn + block->record_count <= tail->next_lsn)
        return STANDS_RIGHT;
    standing = reach(tail, reader, allowance, block->block_bytes, bytes);
    if (standing != STANDS_RIGHT || reader->checked == tail->offset)
        return standing;
    if (hf_block_check_payload(*bytes, block) != HF_BLOCK_VALID)
        return STANDS_OTHER;
    reader->checked = tail->offset;
    return STANDS_RIGHT;
}

/* The place is not known, or its segment is gone. RECORDS: it is known now. */
static enum hf_tail_read find_place(struct hf_tail *tail, struct hf_tail_reader *reader,
                                    struct allowance *allowance)
{
    if (allowance->searched)
        return HF_TAIL_FAILED; /* found, and gone again: the text is there */
    allowance->searched = true;
    enum hf_tail_read read = search(tail, reader, &(struct key){.lsn = tail->next_lsn});
    if (read != HF_TAIL_RECORDS)
        tail->segment = 0;
    return read;
}

/* No right block stands where one must stand. AGAIN: another attempt is worth while. */
static enum hf_tail_read doubt(const struct hf_tail *tail, struct hf_tail_reader *reader,
                               struct allowance *allowance)
{
    if (allowance->again)
        return fail(reader, tail->segment, tail->offset,
                    "expected the block with LSN %llu, which is committed, and found none",
                    (unsigned long long)tail->block_lsn);
    /* What the buffer holds may have been read before the limit was known. */
    allowance->again = true;
    allowance->reads = 2;
    reader->buffer_bytes = 0;
    reader->checked = 0;
    return HF_TAIL_AGAIN;
}

/* True if the log has let go of the tail's segment: its place is to be searched for anew. */
static bool look_elsewhere(struct hf_tail *tail, struct hf_tail_reader *reader,
                           struct allowance *allowance)
{
    if (tail->segment >= first_kept(reader))
        return false;
    leave_segment(reader);
    tail->segment = 0;
    *allowance = (struct allowance){.reads = 1};
    return true;
}

static enum hf_tail_read look_in_files(struct hf_tail *tail, struct hf_tail_reader *reader,
                                       uint64_t limit_lsn, struct hf_tail_span *span)
{
    struct allowance allowance = {.reads = 1};
    for (;;) {
        enum hf_tail_read read = HF_TAIL_RECORDS;
        if (tail->segment == 0)
            read = find_place(tail, reader, &allowance);
        if (read != HF_TAIL_RECORDS)
            return read;
        if (tail->offset == reader->log.segment_bytes) {
            tail->segment++;
            tail->offset = HF_SEGMENT_HEADER_BYTES;
        }
        struct hf_block block;
        const uint8_t *bytes = NULL;
        switch (judge(tail, reader, &allowance, &block, &bytes)) {
        case STANDS_RIGHT:
            break;
        case STANDS_AHEAD:
            return HF_TAIL_AGAIN;
        case STANDS_MISSING:
            if (look_elsewhere(tail, reader, &allowance))
                continue;
            fail(reader, tail->segment, 0, "the segment is missing");
            tail->segment = 0;
            continue;
        case STANDS_UNREAD:
            return HF_TAIL_FAILED;
        case STANDS_OTHER:
            if (look_elsewhere(tail, reader, &allowance))
                continue;
            if (doubt(tail, reader, &allowance) == HF_TAIL_FAILED)
                return HF_TAIL_FAILED;
            continue;
        }
        uint64_t end_lsn = block.first_lsn + block.record_count;
        if (end_lsn <= tail->next_lsn) {
            tail->offset += block.block_bytes;
            tail->block_lsn = end_lsn;
            continue;
        }
        uint64_t skipped = tail->next_lsn - block.first_lsn;
        uint64_t last_lsn = end_lsn - 1 < limit_lsn ? end_lsn - 1 : limit_lsn;
        *span = (struct hf_tail_span){
            .records = bytes + HF_BLOCK_HEADER_BYTES + skipped * HF_RECORD_BYTES,
            .count = (uint32_t)(last_lsn - tail->next_lsn + 1),
            .from_files = true,
        };
        return HF_TAIL_RECORDS;
    }
}

enum hf_tail_read hf_tail_look(struct hf_tail *tail, struct hf_tail_reader *reader,
                               uint64_t limit_lsn, uint8_t *room, uint32_t room_records,
                               struct hf_tail_span *span)
{
    HF_CHECK(tail->next_lsn != 0);
    if (tail->next_lsn > limit_lsn)
        return HF_TAIL_END;
    if (reader->log.recent != NULL) {
        uint64_t left = limit_lsn - tail->next_lsn + 1;
        uint32_t count = hf_recent_copy(reader->log.recent, tail->next_lsn, room,
                                        left < room_records ? (uint32_t)left : room_records);
        if (count != 0) {
            *span = (struct hf_tail_span){.records = room, .count = count};
            if (tail->next_lsn - tail->block_lsn > NEAR_RECORDS)
                tail->segment = 0;
            return HF_TAIL_RECORDS;
        }
    }
    return look_in_files(tail, reader, limit_lsn, span);
}

/* How many of `count` records are left if the last chain among them has to be whole. */
static uint32_t whole(const uint8_t *records, uint32_t count)
{
    const uint8_t *last = records + (size_t)(count - 1) * HF_RECORD_BYTES;
    uint32_t index = last[HF_RECORD_CHAIN_INDEX], length = last[HF_RECORD_CHAIN_LENGTH];
    /* A chain that began before the first of them, and is no whole one for that, ends within. */
    return index + 1 < length && index + 1 < count ? count - (index + 1) : count;
}

enum hf_tail_read hf_tail_next(struct hf_tail *tail, struct hf_tail_reader *reader,
                               uint64_t limit_lsn, uint8_t *room, uint32_t room_records,
                               struct hf_tail_span *span)
{
    HF_CHECK(room_records >= HF_MAX_CHAIN_RECORDS);
    *span = (struct hf_tail_span){.records = room};
    enum hf_tail_read read = HF_TAIL_RECORDS;
    while (span->count < room_records) {
        uint8_t *place = room + (size_t)span->count * HF_RECORD_BYTES;
        struct hf_tail_span more;
        read = hf_tail_look(tail, reader, limit_lsn, place, room_records - span->count, &more);
        if (read != HF_TAIL_RECORDS)
            break;
        if (more.count > room_records - span->count)
            more.count = room_records - span->count;
        if (more.records != place)
            memcpy(place, more.records, (size_t)more.count * HF_RECORD_BYTES);
        tail->next_lsn += more.count;
        span->count += more.count;
        span->from_files |= more.from_files;
    }
    if (span->count == 0)
        return read;
    uint32_t left = whole(room, span->count);
    tail->next_lsn -= span->count - left;
    span->count = left;
    return HF_TAIL_RECORDS;
}
