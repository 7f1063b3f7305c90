/*
 * The reader: walks a log from its first block to its end, and decides what the end is.
 *
 * It is used by recovery and by the tools alike, so that both see the same log. It reads segments
 * in order into one buffer, never writes, takes no lock, and may run beside a live server.
 *
 * How it tells a torn tail from corruption. Let q be the sequence expected at the first place where
 * no valid continuing block is found, and p that place.
 *   - Everything from p on is zero: the log ends here, cleanly.
 *   - Otherwise it looks at every aligned place behind p, to the end of the last segment.
 *     Corruption, if any of these holds:
 *       a. a block with a right header attests that q was durable (commit_sequence >= q);
 *       b. any byte other than zero stands beyond the window that can have been in flight:
 *          HF_MAX_INFLIGHT blocks of HF_MAX_BLOCK_BYTES from p on, counted across segments and
 *          without their headers;
 *       c. the header at p is right, but it does not continue the log;
 *       d. a right header, at p or behind, is of another log, belongs to another place, has an
 *          impossible field or is of a newer format: no write to that place has left it there.
 *     Else it is a torn tail: writes that were in flight, of which none was acknowledged.
 *   - A missing segment, a segment with a wrong header or size or of another log: corruption.
 *     Segments before the one to begin with may be there or not.
 * Whoever goes on writing after a torn tail makes all from p on zero first, durably. Else what was
 * cut would stand behind newer blocks, and c would take it for damage.
 *
 * Beside a live server the tail moves while it is read. Before anything but a clean end is
 * concluded, p is read once more; if its block is there now, the walk goes on. So CORRUPT is never
 * the effect of a race; TORN may be a write in flight.
 */
#ifndef HF_WAL_READER_H
#define HF_WAL_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/block.h"
#include "wal/start.h"

struct hf_io;
struct hf_reader;

enum hf_read {
    HF_READ_BLOCK,   /* one more block */
    HF_READ_END,     /* the log ends here, and only zeros follow */
    HF_READ_TORN,    /* the log ends here; what follows was in flight and is not part of it */
    HF_READ_CORRUPT, /* the log is damaged: see the finding */
    HF_READ_ERROR,   /* the files could not be read: see the finding */
};

/* What was found at the end, for a person and for recovery. */
struct hf_finding {
    uint64_t segment;    /* END and TORN: where the log goes on; 0 if there is no segment */
    uint64_t offset;     /* bytes, in that segment; END: its size if it is full and the last one */
    uint64_t cut_bytes;  /* TORN: bytes of blocks from there to the last place that is not zero */
    uint64_t cut_blocks; /* TORN: whole blocks among them */
    int error;           /* ERROR: -errno */
    char text[320];      /* one line: what was expected and what was found */
};

/* One block, valid until the next call. */
struct hf_block_view {
    struct hf_block header;
    const uint8_t *records; /* header.record_count records of HF_RECORD_BYTES */
    const uint8_t *bytes;   /* the whole block */
};

/* What a reader knows of the files before it has read them. */
struct hf_log_files {
    uint8_t log_id[16];
    uint64_t first_segment, last_segment; /* that are read; 0: the directory holds no log */
    uint64_t oldest_segment;              /* that is there */
    uint64_t segment_bytes;               /* of each; all are of one size */
    uint64_t created_at_ns;               /* of the first */
};

/*
 * Opens the log in `directory`. 0, or -errno with finding->text set if it cannot be read. A
 * directory without a segment is an empty log: 0, and hf_reader_next() gives HF_READ_END. Damage,
 * of the first segment too, is 0 as well, and hf_reader_next() tells it. With `direct`, reads
 * bypass the page cache, which may hold what the disk does not.
 *
 * `start`: where to begin, as a snapshot tells it; segments before it are not looked at. NULL: at
 * the first block of the log.
 */
int hf_reader_open(struct hf_io *io, const char *directory, bool direct,
                   const struct hf_log_start *start, struct hf_reader **reader,
                   struct hf_finding *finding);
void hf_reader_close(struct hf_reader *reader);

const struct hf_log_files *hf_reader_files(const struct hf_reader *reader);

/* The next block; or how the log ends, again at every further call. */
enum hf_read hf_reader_next(struct hf_reader *reader, struct hf_block_view *view);

/* After anything but HF_READ_BLOCK. */
const struct hf_finding *hf_reader_finding(const struct hf_reader *reader);

/*
 * How often the place where the log seemed to end held the next block at second look: somebody is
 * writing. A tool that does not want to follow a writer for ever stops after a few.
 */
uint64_t hf_reader_growths(const struct hf_reader *reader);

/* Bytes of the log behind the reader, and in all: for progress. */
uint64_t hf_reader_bytes_done(const struct hf_reader *reader);
uint64_t hf_reader_bytes_total(const struct hf_reader *reader);

#endif
