/*
 * The tail: reads committed records in the order of their LSNs, from any LSN on, beside the writer.
 *
 * Where a record comes from. The newest are in memory (wal/recent.h). One that is not there any
 * more, or that was written before anybody followed, is read from the segments. Whoever reads need
 * not care; it is told, so that it can say who has fallen behind.
 *
 * Two structures. A tail is a place in the log: a few words, one for each that follows. A reader is
 * what files are read with: a buffer of 2 MiB and an open segment, for one thread, which may use it
 * for any number of tails in turn; going on with another one costs a read.
 *
 * Never beyond the limit. The caller says up to which LSN records may be read, and that is
 * hf_tail_limit() at the most: committed, and on the disk. (With the durability `memory` a record is
 * committed before that; those who follow see it one write later.) A limit never falls into a chain,
 * as commit does not (wal/record.h).
 *
 * Reading what is being written. A block whose LSNs are within the limit was whole on the disk
 * before the limit was known. So the bytes at its place are the block; or they were read ahead,
 * before the limit was known, and are read once more; or they are damaged. Reads bypass the page
 * cache: it may hold what the disk does not, and one who reads old records in bulk should not fill
 * it.
 *
 * Finding a place. The first block of each segment tells its first LSN and when it was written. So
 * the segment is found by binary search, and the place in it by going along the headers of its
 * blocks. In sequence, reading costs one pread for every one to two MiB, after a few smaller ones.
 *
 * The oldest segment need not be number 1: old segments may be gone, and go at any time. What stands
 * in their place proves that it is not they (a block names its segment), and whoever then asks finds
 * that the oldest has another number. A tail that asks for an LSN before the first that is kept is
 * told so.
 */
#ifndef HF_WAL_TAIL_H
#define HF_WAL_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/flusher.h"
#include "wal/record.h"

struct hf_io;
struct hf_log;
struct hf_recent;

/* The log to be read. All that it points to outlives the readers. */
struct hf_tail_log {
    struct hf_io *io;
    const char *directory;
    uint8_t log_id[16];
    uint64_t segment_bytes;
    const struct hf_recent *recent; /* NULL: all is read from the files */
    /* Of the log that is being written, which may let go of old ones; NULL: nothing goes. */
    const struct hf_segments *segments;
};

/* What followed from an attempt to read. */
enum hf_tail_read {
    HF_TAIL_RECORDS,  /* there are some */
    HF_TAIL_END,      /* all up to the limit were read */
    HF_TAIL_AGAIN,    /* a step was made, and another has to be: call again */
    HF_TAIL_NOT_KEPT, /* the log begins behind this LSN: see hf_tail_first_lsn() */
    HF_TAIL_FAILED,   /* damaged, or the files could not be read: see hf_tail_reader_text() */
};

/* A place in the log: where one that follows it goes on. */
struct hf_tail {
    uint64_t next_lsn; /* to be read next */
    /* A block of which the first LSN is not behind next_lsn; segment 0: to be searched for. */
    uint64_t segment;
    uint64_t offset;
    uint64_t block_lsn;
};

/* Consecutive records, valid until the next call for the reader that they came from. */
struct hf_tail_span {
    const uint8_t *records;
    uint32_t count;
    bool from_files; /* else they were in memory */
};

struct hf_tail_reader;

/* What an open log is read by. `recent`: its newest records, or NULL. */
struct hf_tail_log hf_tail_log_of(const struct hf_log *log, const struct hf_recent *recent);

/* Everything up to here may be read. Any thread. */
static inline uint64_t hf_tail_limit(const struct hf_flusher *flusher)
{
    /* seq_cst both, as in hf_flusher_commit_lsn(). */
    uint64_t commit_lsn = hf_flusher_commit_lsn(flusher);
    uint64_t durable_lsn = hf_load_seq_cst(&flusher->durable_lsn);
    return commit_lsn < durable_lsn ? commit_lsn : durable_lsn;
}

/* 0 or -ENOMEM. Nothing is read yet. */
int hf_tail_reader_open(struct hf_tail_reader **reader, const struct hf_tail_log *log);
void hf_tail_reader_close(struct hf_tail_reader *reader);

/* After HF_TAIL_FAILED: one line that says where, what was expected and what was found. */
const char *hf_tail_reader_text(const struct hf_tail_reader *reader);

/* After HF_TAIL_NOT_KEPT: the first LSN that is kept. */
uint64_t hf_tail_first_lsn(const struct hf_tail_reader *reader);

/* True if this LSN would be read from memory now. */
bool hf_tail_in_memory(const struct hf_tail_reader *reader, uint64_t lsn);

/* The next record to be read is that with this LSN. */
void hf_tail_seek(struct hf_tail *tail, uint64_t lsn);

/*
 * The next record to be read is one before all that were made at `date_ns` or later, and as near to
 * them as the beginning of a segment can be. RECORDS: done; or FAILED. Blocks while it searches: a
 * few small reads.
 */
enum hf_tail_read hf_tail_seek_date(struct hf_tail *tail, struct hf_tail_reader *reader,
                                    uint64_t date_ns);

/*
 * Looks at the records from tail->next_lsn on, without going on: the caller adds to next_lsn what it
 * has used. RECORDS, at least one; or anything else. What is in memory is copied to `room` (a
 * number of records); what is in a file stands in the reader's buffer. Blocks for one read or two.
 */
enum hf_tail_read hf_tail_look(struct hf_tail *tail, struct hf_tail_reader *reader,
                               uint64_t limit_lsn, uint8_t *room, uint32_t room_records,
                               struct hf_tail_span *span);

/*
 * Copies up to `room_records` records (HF_MAX_CHAIN_RECORDS at least), and goes on behind them. They
 * never end within a chain. RECORDS, then span->records is `room`; or anything else. Blocks for two
 * reads or three.
 */
enum hf_tail_read hf_tail_next(struct hf_tail *tail, struct hf_tail_reader *reader,
                               uint64_t limit_lsn, uint8_t *room, uint32_t room_records,
                               struct hf_tail_span *span);

#endif
