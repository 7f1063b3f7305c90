/*
 * The reader; its policy is told in reader.h.
 *
 * A block is looked at three times at most. judge() asks whether the block at the place where the
 * log must go on continues it. If not, scan_tail() looks at every aligned place from there to the
 * end of the last segment for what rules out a torn tail. If it finds anything but zeros, judge()
 * looks again, at fresh bytes: beside a live server the place may have been written meanwhile.
 * That second look makes the verdict safe without a lock. What attests a block is written after
 * that block was durable; so whoever has read the attestation, and then still finds the block bad,
 * has found damage and not a race.
 *
 * Memory is two buffers that take turns: while one holds the piece of the segment that is being
 * looked at, the piece behind it, which may be the begin of the next segment, is read into the other
 * (wal/read_ahead.h). A block that reaches into the next piece is put together there: in front of a
 * buffer there is room for what is left of the one before, as a block is smaller than that room.
 *
 * What is read ahead is a little older than when it is looked at. Beside a live server that changes
 * nothing: pieces are read in their order, and what is looked at again is read again.
 */
#include "wal/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wal/io.h"
#include "wal/read_ahead.h"
#include "wal/segment_header.h"

#define PIECE_BYTES  (4u << 20) /* one read */
#define ROOM_BYTES   (2u << 20) /* in front of a piece, which stays aligned to huge pages */
#define BUFFER_BYTES (ROOM_BYTES + PIECE_BYTES)
#define WINDOW_BYTES ((uint64_t)HF_MAX_INFLIGHT * HF_MAX_BLOCK_BYTES)
#define REASON_BYTES 160

_Static_assert(ROOM_BYTES >= HF_MAX_BLOCK_BYTES, "what is left of a block fits");
_Static_assert(PIECE_BYTES >= HF_MAX_BLOCK_BYTES, "and one piece behind it makes it whole");

struct place {
    uint64_t segment;
    uint64_t offset;
};

struct hf_reader {
    struct hf_io *io;
    char *directory;
    bool direct;
    struct hf_log_files files;

    /* The open segment, and which bytes of it are in memory: in buffers[which], to its end. */
    int file; /* -1: none */
    uint64_t segment;
    uint8_t *buffers[2];
    unsigned which;
    const uint8_t *held;
    uint64_t held_offset;
    size_t held_bytes;

    /* What is read ahead, into the other buffer. */
    struct hf_read_ahead ahead;
    struct place ahead_place;
    int ahead_file; /* of a segment that is not entered yet; -1: there is none */

    struct place next;     /* where the log must go on */
    struct hf_block last;  /* the block before; all zero before the first */
    uint64_t expected_lsn; /* first_lsn of the next block */
    uint64_t growths;
    enum hf_read end;          /* HF_READ_BLOCK: not there yet */
    struct hf_finding finding; /* says why, if it is */
};

/* What stands at a place. */
enum standing {
    STANDS_RIGHT,   /* a valid block (or header), belonging there */
    STANDS_BROKEN,  /* none: zeros, or what a torn write leaves */
    STANDS_FOREIGN, /* a right header, but none that a write to this place can have left */
    STANDS_UNREAD,  /* the files could not be read: the reader has ended */
};

/* Ends the walk. Returns false, for callers that fail with it. */
__attribute__((format(printf, 4, 5))) static bool
finish(struct hf_reader *reader, enum hf_read end, struct place place, const char *format, ...)
{
    char text[sizeof(reader->finding.text)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);

    reader->end = end;
    reader->finding.segment = place.segment;
    reader->finding.offset = place.offset;
    memcpy(reader->finding.text, text, sizeof(text));
    return false;
}

static bool finish_unreadable(struct hf_reader *reader, struct place place, const char *what,
                              int error)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(place.segment, name);
    reader->finding.error = error;
    return finish(reader, HF_READ_ERROR, place, "%s at %llu: cannot %s: %s", name,
                  (unsigned long long)place.offset, what, strerror(-error));
}

/* ---- the bytes of a segment ------------------------------------------------------------- */

static void drop_ahead(struct hf_reader *reader)
{
    hf_read_ahead_drop(&reader->ahead);
    if (reader->ahead_file >= 0)
        reader->io->close_file(reader->io, reader->ahead_file);
    reader->ahead_file = -1;
}

static void leave_segment(struct hf_reader *reader)
{
    if (reader->ahead_file < 0)
        drop_ahead(reader); /* it is of this file */
    if (reader->file >= 0)
        reader->io->close_file(reader->io, reader->file);
    reader->file = -1;
    reader->held_bytes = 0;
}

static size_t piece_bytes(const struct hf_reader *reader, uint64_t offset)
{
    uint64_t left = reader->files.segment_bytes - offset;
    return left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
}

/* A file of the log, or -errno. */
static int open_segment(struct hf_reader *reader, uint64_t number)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(number, name);
    return reader->io->open_file(reader->io, reader->directory, name,
                                 reader->direct ? HF_IO_READ_DIRECT : HF_IO_READ);
}

/* Begins to read what stands behind the bytes that are held. What is wrong there is told when it is
 * looked at. */
static void begin_ahead(struct hf_reader *reader)
{
    struct place place = {reader->segment, reader->held_offset + reader->held_bytes};
    int file = reader->file;
    if (place.offset == reader->files.segment_bytes) {
        if (place.segment >= reader->files.last_segment)
            return;
        place = (struct place){place.segment + 1, 0};
        file = reader->ahead_file = open_segment(reader, place.segment);
        if (file < 0)
            return;
    }
    reader->ahead_place = place;
    hf_read_ahead_begin(&reader->ahead, file, reader->buffers[!reader->which] + ROOM_BYTES,
                        piece_bytes(reader, place.offset), place.offset);
}

/* Reads the piece at `place` into the buffer that is not in use, unless that has begun already. */
static ssize_t read_piece(struct hf_reader *reader, struct place place, uint8_t *piece)
{
    bool begun = reader->ahead.begun && reader->ahead_place.segment == place.segment &&
                 reader->ahead_place.offset == place.offset;
    if (begun)
        return hf_read_ahead_end(&reader->ahead);
    drop_ahead(reader);
    return reader->io->read_at(reader->io, reader->file, piece, piece_bytes(reader, place.offset),
                               place.offset);
}

/*
 * The bytes at `offset` of the open segment, in memory until the next call. Reads as much as a piece,
 * if need be, and begins to read the next. NULL: the reader has ended.
 */
static const uint8_t *load(struct hf_reader *reader, uint64_t offset, size_t bytes)
{
    uint64_t end = reader->held_offset + reader->held_bytes;
    bool starts_within = offset >= reader->held_offset && offset < end;
    if (starts_within && offset + bytes <= end)
        return reader->held + (offset - reader->held_offset);

    size_t kept = starts_within ? (size_t)(end - offset) : 0;
    uint8_t *piece = reader->buffers[!reader->which] + ROOM_BYTES;
    struct place place = {reader->segment, offset + kept};
    ssize_t count = read_piece(reader, place, piece);
    reader->held_bytes = 0;
    if (count < 0) {
        finish_unreadable(reader, place, "read", (int)count);
        return NULL;
    }
    if ((size_t)count != piece_bytes(reader, place.offset)) {
        char name[HF_SEGMENT_NAME_BYTES];
        hf_segment_name_format(place.segment, name);
        finish(reader, HF_READ_CORRUPT, place,
               "%s at %llu: the file ends at %llu, expected %llu bytes", name,
               (unsigned long long)place.offset, (unsigned long long)place.offset + (size_t)count,
               (unsigned long long)reader->files.segment_bytes);
        return NULL;
    }
    HF_CHECK(kept <= ROOM_BYTES && bytes <= kept + (size_t)count);
    if (kept != 0)
        memcpy(piece - kept, reader->held + (offset - reader->held_offset), kept);
    reader->held = piece - kept;
    reader->held_offset = offset;
    reader->held_bytes = kept + (size_t)count;
    reader->which = !reader->which;
    begin_ahead(reader);
    return reader->held;
}

/* The first segment's size is the size of all. */
static bool check_file_bytes(struct hf_reader *reader, const char *name, uint64_t file_bytes)
{
    struct place place = {reader->segment, 0};
    if (reader->files.segment_bytes != 0 && file_bytes != reader->files.segment_bytes)
        return finish(reader, HF_READ_CORRUPT, place,
                      "%s at 0: expected a file of %llu bytes as the first segment, found %llu",
                      name, (unsigned long long)reader->files.segment_bytes,
                      (unsigned long long)file_bytes);
    if (!hf_segment_bytes_valid(file_bytes))
        return finish(reader, HF_READ_CORRUPT, place,
                      "%s at 0: expected a multiple of %d bytes, %llu at least, found a file of "
                      "%llu bytes",
                      name, HF_BLOCK_ALIGN_BYTES, (unsigned long long)HF_SEGMENT_BYTES_MIN,
                      (unsigned long long)file_bytes);
    reader->files.segment_bytes = file_bytes;
    return true;
}

static bool check_segment_header(struct hf_reader *reader, const char *name, const uint8_t *bytes)
{
    struct place place = {reader->segment, 0};
    struct hf_segment_header header;
    enum hf_segment_fault fault = hf_segment_header_decode(bytes, &header);
    if (fault == HF_SEGMENT_NEWER_FORMAT)
        return finish(reader, HF_READ_CORRUPT, place,
                      "%s at 0: expected a segment of format %d, found format %u: it was written "
                      "by a newer version",
                      name, HF_LOG_FORMAT, hf_get_u16(bytes + 8));
    if (fault != HF_SEGMENT_VALID)
        return finish(reader, HF_READ_CORRUPT, place,
                      "%s at 0: expected a segment header, found %s", name,
                      hf_segment_fault_name(fault));
    if (header.number != reader->segment)
        return finish(reader, HF_READ_CORRUPT, place,
                      "%s at 0: expected the header of segment %llu, found that of segment %llu",
                      name, (unsigned long long)reader->segment, (unsigned long long)header.number);
    if (header.segment_bytes != reader->files.segment_bytes)
        return finish(reader, HF_READ_CORRUPT, place,
                      "%s at 0: the header says %llu bytes, the file has %llu", name,
                      (unsigned long long)header.segment_bytes,
                      (unsigned long long)reader->files.segment_bytes);
    if (reader->segment == reader->files.first_segment) {
        memcpy(reader->files.log_id, header.log_id, sizeof(header.log_id));
        reader->files.created_at_ns = header.created_at_ns;
    } else if (memcmp(reader->files.log_id, header.log_id, sizeof(header.log_id)) != 0) {
        return finish(reader, HF_READ_CORRUPT, place, "%s at 0: found a segment of another log",
                      name);
    }
    return true;
}

/* Opens a segment and checks its size and header. False: the reader has ended. */
static bool enter_segment(struct hf_reader *reader, uint64_t number)
{
    leave_segment(reader);
    reader->segment = number;
    struct place place = {number, 0};
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(number, name);
    int file;
    if (reader->ahead_file >= 0 && reader->ahead_place.segment == number) {
        file = reader->ahead_file;
        reader->ahead_file = -1;
    } else {
        drop_ahead(reader);
        file = open_segment(reader, number);
    }
    if (file == -ENOENT)
        return finish(reader, HF_READ_CORRUPT, place,
                      "%s at 0: the segment is missing, segments %llu to %llu were expected", name,
                      (unsigned long long)reader->files.first_segment,
                      (unsigned long long)reader->files.last_segment);
    if (file < 0)
        return finish_unreadable(reader, place, "open", file);
    reader->file = file;
    uint64_t file_bytes;
    int result = reader->io->file_bytes(reader->io, file, &file_bytes);
    if (result < 0)
        return finish_unreadable(reader, place, "learn the size", result);
    if (!check_file_bytes(reader, name, file_bytes))
        return false;
    const uint8_t *bytes = load(reader, 0, HF_SEGMENT_HEADER_BYTES);
    return bytes != NULL && check_segment_header(reader, name, bytes);
}

/* ---- what stands there ------------------------------------------------------------------ */

/*
 * Judges the 128 bytes at a place: rules 1 to 4 and 6 of block.h. If they are not right, `reason`
 * says what they are.
 */
static enum standing judge_header(const struct hf_reader *reader, struct place place,
                                  const uint8_t *bytes, struct hf_block *block,
                                  char reason[REASON_BYTES])
{
    enum hf_block_fault fault = hf_block_read_header(bytes, block);
    if (fault == HF_BLOCK_NEWER_FORMAT) {
        snprintf(reason, REASON_BYTES,
                 "a block of format %u, written by a newer version (this one knows %d)",
                 hf_get_u16(bytes + 8), HF_LOG_FORMAT);
        return STANDS_FOREIGN;
    }
    if (fault != HF_BLOCK_VALID) {
        snprintf(reason, REASON_BYTES, "%s", hf_block_fault_name(fault));
        return fault == HF_BLOCK_BAD_HEADER ? STANDS_FOREIGN : STANDS_BROKEN;
    }
    if (memcmp(block->log_id, reader->files.log_id, sizeof(block->log_id)) != 0) {
        snprintf(reason, REASON_BYTES, "a block of another log");
        return STANDS_FOREIGN;
    }
    if (block->segment != place.segment || block->offset != place.offset) {
        snprintf(reason, REASON_BYTES, "block %llu, which belongs to segment %llu at %lu",
                 (unsigned long long)block->sequence, (unsigned long long)block->segment,
                 (unsigned long)block->offset);
        return STANDS_FOREIGN;
    }
    if (place.offset + block->block_bytes > reader->files.segment_bytes) {
        snprintf(reason, REASON_BYTES, "a block of %lu bytes, more than the segment has room for",
                 (unsigned long)block->block_bytes);
        return STANDS_FOREIGN;
    }
    return STANDS_RIGHT;
}

/* True if the block continues the log; else `reason` says what does not. */
static bool continues(const struct hf_reader *reader, const struct hf_block *block,
                      char reason[REASON_BYTES])
{
    const struct hf_block *last = &reader->last;
    bool starts = (block->flags & HF_BLOCK_START) != 0;
    char what[80];
    if (block->sequence != last->sequence + 1)
        snprintf(what, sizeof(what), "out of its turn");
    else if (block->previous_hash != last->header_hash)
        snprintf(what, sizeof(what), "behind another block (previous_hash %016llx)",
                 (unsigned long long)block->previous_hash);
    else if (block->first_lsn != reader->expected_lsn)
        snprintf(what, sizeof(what), "starting with LSN %llu",
                 (unsigned long long)block->first_lsn);
    else if (starts ? block->epoch <= last->epoch : block->epoch != last->epoch)
        snprintf(what, sizeof(what), "%s a START flag", starts ? "with" : "without");
    else
        return true;
    snprintf(reason, REASON_BYTES, "block %llu of epoch %llu, %s",
             (unsigned long long)block->sequence, (unsigned long long)block->epoch, what);
    return false;
}

/* Looks at the place where the log must go on. RIGHT: *view is the block that continues it. */
static enum standing judge(struct hf_reader *reader, struct hf_block_view *view,
                           char reason[REASON_BYTES])
{
    const uint8_t *bytes = load(reader, reader->next.offset, HF_BLOCK_ALIGN_BYTES);
    if (bytes == NULL)
        return STANDS_UNREAD;
    enum standing standing = judge_header(reader, reader->next, bytes, &view->header, reason);
    if (standing != STANDS_RIGHT)
        return standing;
    if (!continues(reader, &view->header, reason))
        return STANDS_FOREIGN;
    bytes = load(reader, reader->next.offset, view->header.block_bytes);
    if (bytes == NULL)
        return STANDS_UNREAD;
    enum hf_block_fault fault = hf_block_check_payload(bytes, &view->header);
    if (fault != HF_BLOCK_VALID) {
        snprintf(reason, REASON_BYTES, "%s", hf_block_fault_name(fault));
        return STANDS_BROKEN;
    }
    view->bytes = bytes;
    view->records = bytes + HF_BLOCK_HEADER_BYTES;
    return STANDS_RIGHT;
}

/* ---- the tail --------------------------------------------------------------------------- */

/* What stands behind the end of the log. Distances are in bytes of blocks: without the headers of
 * segments. */
struct tail {
    uint64_t used_bytes; /* up to the last place that is not zero; 0: there is none */
    uint64_t whole_blocks;
    char damage[REASON_BYTES + 64]; /* why it is corruption; empty: it is not */
};

__attribute__((format(printf, 3, 4))) static void note_damage(struct tail *tail, struct place place,
                                                              const char *format, ...)
{
    char name[HF_SEGMENT_NAME_BYTES], what[REASON_BYTES + 16];
    hf_segment_name_format(place.segment, name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    snprintf(tail->damage, sizeof(tail->damage), "%s at %llu %s", name,
             (unsigned long long)place.offset, what);
}

/*
 * Looks at one place behind the end that is not zero. Returns how many bytes belong together there:
 * a whole block, or one place. 0: the reader has ended.
 */
static uint32_t scan_place(struct hf_reader *reader, struct place place, const uint8_t *bytes,
                           struct tail *tail)
{
    struct hf_block block;
    char reason[REASON_BYTES];
    switch (judge_header(reader, place, bytes, &block, reason)) {
    case STANDS_BROKEN:
        return HF_BLOCK_ALIGN_BYTES;
    case STANDS_FOREIGN:
        note_damage(tail, place, "holds %s", reason);
        return HF_BLOCK_ALIGN_BYTES;
    default:
        break;
    }
    if (block.commit_sequence > reader->last.sequence) {
        note_damage(tail, place, "block %llu attests that blocks up to %llu were durable",
                    (unsigned long long)block.sequence, (unsigned long long)block.commit_sequence);
        return HF_BLOCK_ALIGN_BYTES;
    }
    bytes = load(reader, place.offset, block.block_bytes);
    if (bytes == NULL)
        return 0;
    if (hf_block_check_payload(bytes, &block) != HF_BLOCK_VALID)
        return HF_BLOCK_ALIGN_BYTES;
    tail->whole_blocks++;
    return block.block_bytes;
}

/* Looks at every place from reader->next to the end of the last segment, or to the first sign of
 * damage. False: the reader has ended. */
static bool scan_tail(struct hf_reader *reader, struct tail *tail)
{
    struct place place = reader->next;
    uint64_t distance = 0;
    while (tail->damage[0] == '\0') {
        if (place.offset == reader->files.segment_bytes) {
            if (place.segment == reader->files.last_segment)
                return true;
            place = (struct place){place.segment + 1, HF_SEGMENT_HEADER_BYTES};
            if (!enter_segment(reader, place.segment))
                return false;
        }
        const uint8_t *bytes = load(reader, place.offset, HF_BLOCK_ALIGN_BYTES);
        if (bytes == NULL)
            return false;
        uint32_t step = HF_BLOCK_ALIGN_BYTES;
        if (!hf_all_zero(bytes, HF_BLOCK_ALIGN_BYTES)) {
            step = scan_place(reader, place, bytes, tail);
            if (step == 0)
                return false;
            tail->used_bytes = distance + step;
            if (tail->used_bytes > WINDOW_BYTES && tail->damage[0] == '\0')
                note_damage(tail, place,
                            "is not zero, farther behind than the %llu bytes that can have been "
                            "in flight",
                            (unsigned long long)WINDOW_BYTES);
        }
        place.offset += step;
        distance += step;
    }
    return true;
}

/* The end is decided: says how, and what was found. */
static enum hf_read conclude(struct hf_reader *reader, const struct tail *tail, const char *found)
{
    struct place place = reader->next;
    char name[HF_SEGMENT_NAME_BYTES], expected[96];
    hf_segment_name_format(place.segment, name);
    snprintf(expected, sizeof(expected), "%s at %llu: expected block %llu (LSN %llu)", name,
             (unsigned long long)place.offset, (unsigned long long)reader->last.sequence + 1,
             (unsigned long long)reader->expected_lsn);
    if (tail->damage[0] != '\0') {
        finish(reader, HF_READ_CORRUPT, place, "%s, found %s; but %s", expected, found,
               tail->damage);
    } else if (tail->used_bytes != 0) {
        reader->finding.cut_bytes = tail->used_bytes;
        reader->finding.cut_blocks = tail->whole_blocks;
        finish(reader, HF_READ_TORN, place,
               "%s, found %s; nothing attests it: %llu bytes with %llu whole blocks are cut",
               expected, found, (unsigned long long)tail->used_bytes,
               (unsigned long long)tail->whole_blocks);
    } else {
        finish(reader, HF_READ_END, place,
               "%s at %llu: the log ends with block %llu and LSN %llu; only zeros follow", name,
               (unsigned long long)place.offset, (unsigned long long)reader->last.sequence,
               (unsigned long long)reader->expected_lsn - 1);
    }
    return reader->end;
}

/*
 * No block continues the log at reader->next: decides what that means. HF_READ_BLOCK: at second
 * look there is one, in *view.
 */
static enum hf_read decide_end(struct hf_reader *reader, enum standing standing,
                               struct hf_block_view *view, char found[REASON_BYTES])
{
    struct tail tail = {0};
    if (standing == STANDS_BROKEN) {
        if (!scan_tail(reader, &tail))
            return reader->end;
        if (tail.used_bytes == 0)
            return conclude(reader, &tail, found);
    }
    if (!enter_segment(reader, reader->next.segment)) /* reads it again: no read ahead is of it */
        return reader->end;
    char found_again[REASON_BYTES];
    enum standing again = judge(reader, view, found_again);
    if (again == STANDS_UNREAD)
        return reader->end;
    if (again == STANDS_RIGHT) {
        reader->growths++;
        return HF_READ_BLOCK;
    }
    if (standing == STANDS_FOREIGN || again == STANDS_FOREIGN) {
        char name[HF_SEGMENT_NAME_BYTES];
        hf_segment_name_format(reader->next.segment, name);
        finish(reader, HF_READ_CORRUPT, reader->next,
               "%s at %llu: expected block %llu (LSN %llu) of epoch %llu or a new one, found %s",
               name, (unsigned long long)reader->next.offset,
               (unsigned long long)reader->last.sequence + 1,
               (unsigned long long)reader->expected_lsn, (unsigned long long)reader->last.epoch,
               again == STANDS_FOREIGN ? found_again : found);
        return reader->end;
    }
    return conclude(reader, &tail, found);
}

/* ---- the walk --------------------------------------------------------------------------- */

/* Steps into the next segment if this one is full. False: the reader has ended. */
static bool enter_next_segment(struct hf_reader *reader)
{
    if (reader->next.offset < reader->files.segment_bytes)
        return true;
    if (reader->next.segment == reader->files.last_segment) {
        conclude(reader, &(struct tail){0}, "");
        return false;
    }
    if (!enter_segment(reader, reader->next.segment + 1))
        return false;
    reader->next = (struct place){reader->segment, HF_SEGMENT_HEADER_BYTES};
    return true;
}

enum hf_read hf_reader_next(struct hf_reader *reader, struct hf_block_view *view)
{
    if (reader->end != HF_READ_BLOCK || !enter_next_segment(reader))
        return reader->end;
    char found[REASON_BYTES];
    enum standing standing = judge(reader, view, found);
    if (standing == STANDS_UNREAD)
        return reader->end;
    if (standing != STANDS_RIGHT && decide_end(reader, standing, view, found) != HF_READ_BLOCK)
        return reader->end;

    const struct hf_block *block = &view->header;
    HF_CHECK(block->segment == reader->next.segment && block->offset == reader->next.offset);
    reader->last = *block;
    reader->expected_lsn = block->first_lsn + block->record_count;
    reader->next.offset += block->block_bytes;
    return HF_READ_BLOCK;
}

struct listing {
    uint64_t first, last, count;
};

static int note_segment(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t number;
    if (!hf_segment_name_parse(name, &number))
        return 0;
    if (listing->count == 0 || number < listing->first)
        listing->first = number;
    if (number > listing->last)
        listing->last = number;
    listing->count++;
    return 0;
}

/* Opens the first segment; an empty log ends here. 0 or -errno; damage is told by the walk. */
static int find_log(struct hf_reader *reader, const struct hf_log_start *start)
{
    struct listing listing = {0};
    int result = reader->io->list(reader->io, reader->directory, note_segment, &listing);
    if (result < 0) {
        finish(reader, HF_READ_ERROR, (struct place){0}, "cannot list %s: %s", reader->directory,
               strerror(-result));
        return result;
    }
    if (listing.count == 0 && start->sequence == 0 && start->segment == 1) {
        finish(reader, HF_READ_END, (struct place){0}, "the directory holds no log");
        return 0;
    }
    reader->files.oldest_segment = listing.first;
    reader->files.first_segment = start->segment;
    reader->files.last_segment = listing.last < start->segment ? start->segment : listing.last;
    reader->next = (struct place){start->segment, HF_SEGMENT_HEADER_BYTES};
    reader->last = (struct hf_block){
        .epoch = start->epoch,
        .sequence = start->sequence,
        .header_hash = start->previous_hash,
    };
    reader->expected_lsn = start->next_lsn;
    return enter_segment(reader, start->segment) || reader->end == HF_READ_CORRUPT
               ? 0
               : reader->finding.error;
}

int hf_reader_open(struct hf_io *io, const char *directory, bool direct,
                   const struct hf_log_start *start, struct hf_reader **opened,
                   struct hf_finding *finding)
{
    static const struct hf_log_start whole = {.segment = 1, .next_lsn = 1};
    *opened = NULL;
    *finding = (struct hf_finding){.error = -ENOMEM, .text = "out of memory"};
    struct hf_reader *reader = malloc(sizeof(*reader));
    if (reader == NULL)
        return -ENOMEM;
    *reader = (struct hf_reader){
        .io = io,
        .directory = strdup(directory),
        .direct = direct,
        .file = -1,
        .ahead_file = -1,
        .buffers = {hf_read_buffer_map(BUFFER_BYTES), hf_read_buffer_map(BUFFER_BYTES)},
        .end = HF_READ_BLOCK,
    };
    hf_read_ahead_init(&reader->ahead, io);
    int result = -ENOMEM;
    if (reader->directory == NULL || reader->buffers[0] == NULL || reader->buffers[1] == NULL)
        goto close_reader;
    result = find_log(reader, start != NULL ? start : &whole);
    *finding = reader->finding;
    if (result != 0)
        goto close_reader;
    *opened = reader;
    return 0;
close_reader:
    hf_reader_close(reader);
    return result;
}

void hf_reader_close(struct hf_reader *reader)
{
    if (reader == NULL)
        return;
    drop_ahead(reader);
    leave_segment(reader);
    hf_read_ahead_close(&reader->ahead);
    hf_read_buffer_unmap(reader->buffers[0], BUFFER_BYTES);
    hf_read_buffer_unmap(reader->buffers[1], BUFFER_BYTES);
    free(reader->directory);
    free(reader);
}

const struct hf_log_files *hf_reader_files(const struct hf_reader *reader)
{
    return &reader->files;
}

const struct hf_finding *hf_reader_finding(const struct hf_reader *reader)
{
    return &reader->finding;
}

uint64_t hf_reader_growths(const struct hf_reader *reader)
{
    return reader->growths;
}

uint64_t hf_reader_bytes_done(const struct hf_reader *reader)
{
    if (reader->end != HF_READ_BLOCK)
        return hf_reader_bytes_total(reader);
    return (reader->next.segment - reader->files.first_segment) * reader->files.segment_bytes +
           reader->next.offset;
}

uint64_t hf_reader_bytes_total(const struct hf_reader *reader)
{
    if (reader->files.last_segment == 0)
        return 0;
    return (reader->files.last_segment - reader->files.first_segment + 1) *
           reader->files.segment_bytes;
}
