/*
 * The newest records of the log, kept in memory for those who follow it (wal/tail.h). One writer,
 * the holder of the flusher's role; any number of readers.
 *
 * Why not the slots of the log ring. A producer that takes a slot for the next lap writes its image
 * with plain stores, before the slot's LSN changes: a reader could not tell that it copied half of
 * one record and half of another. So the role copies what it drains once more, to here, while
 * somebody follows; producers do nothing for it, and while nobody follows it costs one load a
 * block.
 *
 * A reader never waits and is never waited for. It copies, and then looks whether what it copied
 * was still there. For LSN n, in slot n modulo the number of slots:
 *
 *   writer                                   reader
 *     begin = the oldest that stays            n < end?                        (acquire)
 *     the words of the new records (release)   n >= begin?
 *     end = behind the newest      (release)   copy the words                  (acquire)
 *                                              n >= begin, still? if not, n is no longer there
 *
 * n < end: all words of n were written before. If any word that was copied is of a later lap, then
 * the load that found it is ordered behind the store to `begin` that made room for that lap: the
 * last look sees it. Every access is atomic, so there is no data race either.
 */
#ifndef HF_WAL_RECENT_H
#define HF_WAL_RECENT_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "wal/record.h"

struct hf_recent {
    /* Written by the role. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t begin; /* the oldest LSN that is here */
    _Atomic uint64_t end;                                /* behind the newest one */
    /* Written by those who follow, as they come and go. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint32_t followers; /* 0: nothing is kept */
    /* Constant. */
    alignas(HF_CACHE_LINE_BYTES) _Atomic uint64_t *words;
    uint64_t slot_count; /* a power of two */
};

/* slot_count: a power of two, no less than the records of a block or of the ring. 0 or -ENOMEM. The
 * memory is not touched before somebody follows. */
int hf_recent_init(struct hf_recent *recent, uint64_t slot_count);
void hf_recent_close(struct hf_recent *recent);

/* Somebody begins, and ends, to follow. Any thread. What was appended before is not there. */
void hf_recent_follow(struct hf_recent *recent);
void hf_recent_unfollow(struct hf_recent *recent);

/* Role: keeps `count` records, of which the first has `first_lsn`. */
void hf_recent_keep(struct hf_recent *recent, uint64_t first_lsn, const uint8_t *records,
                    uint32_t count);

/* Role: the same, if anybody follows. `recent` may be NULL. */
static inline void hf_recent_append(struct hf_recent *recent, uint64_t first_lsn,
                                    const uint8_t *records, uint32_t count)
{
    /* Relaxed: a wish. Whoever comes in this moment finds the block in the files. */
    if (recent != NULL && hf_load_relaxed(&recent->followers) != 0)
        hf_recent_keep(recent, first_lsn, records, count);
}

/* True if that LSN is here now. It may be gone when this returns. Any thread. */
static inline bool hf_recent_holds(const struct hf_recent *recent, uint64_t lsn)
{
    /* Relaxed, both: a hint. */
    return lsn < hf_load_relaxed(&recent->end) && lsn >= hf_load_relaxed(&recent->begin);
}

/* Copies up to `limit` records from `lsn` on. Returns how many; 0: that LSN is not here. Any
 * thread. */
uint32_t hf_recent_copy(const struct hf_recent *recent, uint64_t lsn, uint8_t *records,
                        uint32_t limit);

#endif
