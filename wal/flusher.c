/* The flusher; its role and its two duties are told in flusher.h. */
#include "wal/flusher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "wal/segment_header.h"

/* How many writes are in flight at most, if nobody says otherwise. */
#define DEFAULT_INFLIGHT 3

enum { ROLE_FREE, ROLE_HELD, ROLE_HELD_AND_NOTED };

/* True: the caller holds the role. False: somebody does, and will run once more. */
static bool enter_role(struct hf_flusher *flusher)
{
    for (;;) {
        uint32_t role = ROLE_FREE;
        /* acq_rel, pairs with leave_role(): the holder before handed its fields over. The failure
         * order is acquire, and the note is an RMW too, so what we published before it is seen by
         * the run that the note asks for. */
        if (hf_cas_acq_rel(&flusher->role, &role, ROLE_HELD))
            return true;
        if (role == ROLE_HELD_AND_NOTED &&
            hf_cas_acq_rel(&flusher->role, &role, ROLE_HELD_AND_NOTED))
            return false;
        if (role == ROLE_HELD && hf_cas_acq_rel(&flusher->role, &role, ROLE_HELD_AND_NOTED))
            return false;
    }
}

/* True: the role is given up. False: somebody left a note, run once more. */
static bool leave_role(struct hf_flusher *flusher)
{
    uint32_t role = ROLE_HELD;
    /* acq_rel, pairs with enter_role(), both ways. */
    if (hf_cas_acq_rel(&flusher->role, &role, ROLE_FREE))
        return true;
    HF_CHECK(role == ROLE_HELD_AND_NOTED);
    role = hf_exchange_acq_rel(&flusher->role, ROLE_HELD);
    HF_CHECK(role == ROLE_HELD_AND_NOTED);
    return false;
}

static void fail(struct hf_flusher *flusher, const char *what, int error)
{
    char text[160];
    snprintf(text, sizeof text,
             "log write failed: %s%s%s; nothing more is acknowledged, stopping (FAIL-STOP)", what,
             error == 0 ? "" : ": ", error == 0 ? "" : strerror(error));
    /* acq_rel: the first failure reports; all later runs see it and leave commit alone. */
    if (hf_exchange_acq_rel(&flusher->failed, 1) == 0)
        flusher->on_failure(flusher->failure_context, text);
}

static uint32_t inflight_count(const struct hf_flusher *flusher)
{
    return (uint32_t)(flusher->next_sequence - 1 - flusher->retired_sequence);
}

static void close_full(struct hf_flusher *flusher, int file, uint64_t segment)
{
    flusher->segments->io->close_file(flusher->segments->io, file);
    if (flusher->on_full != NULL)
        flusher->on_full(flusher->full_context, segment);
}

/* Moves commit over the blocks that are durable, in order (PREFIX). */
static void retire(struct hf_flusher *flusher)
{
    while (inflight_count(flusher) != 0) {
        uint64_t sequence = flusher->retired_sequence + 1;
        struct hf_inflight *write = &flusher->inflight[sequence % HF_MAX_INFLIGHT];
        /* Acquire, pairs with the release in hf_flusher_complete(). */
        if (!hf_load_acquire(&write->done))
            return;
        hf_store_relaxed(&write->done, 0); /* before it is submitted again, which orders it */
        if (write->ends_segment)
            close_full(flusher, write->file, write->segment);
        flusher->retired_sequence = sequence;
        /* seq_cst, pairs with the announcement of a waiter: see hf_flusher_commit_lsn(). */
        hf_store_seq_cst(&flusher->durable_lsn, write->last_lsn);
        if (flusher->durability == HF_DURABILITY_DISK)
            hf_store_seq_cst(&flusher->commit_lsn, write->last_lsn);
    }
}

static void note_attestation(struct hf_flusher *flusher)
{
    bool wanted = flusher->record_sequence <= flusher->retired_sequence &&
                  flusher->attested_sequence < flusher->record_sequence;
    hf_store_relaxed(&flusher->attest_wanted, wanted); /* a hint */
}

/* Makes the header for the next block, seals `buffer`, and counts the block as written. */
static void seal(struct hf_flusher *flusher, uint8_t *buffer, uint16_t flags, uint64_t first_lsn,
                 uint32_t record_count, struct hf_block *block)
{
    *block = (struct hf_block){
        .flags = flags,
        .epoch = flusher->epoch,
        .sequence = flusher->next_sequence,
        .previous_hash = flusher->previous_hash,
        .first_lsn = first_lsn,
        .record_count = record_count,
        /* Durable, not committed: what it attests must be on the disk in both durabilities. */
        .commit_lsn = hf_load_relaxed(&flusher->durable_lsn), /* the role's own */
        .commit_sequence = flusher->retired_sequence,
        .segment = flusher->segment.number,
        .offset = flusher->segment_offset,
        .written_at_ns = hf_server_clock_now_ns(flusher->clock),
    };
    memcpy(block->log_id, flusher->log_id, sizeof block->log_id);
    hf_block_seal(buffer, block);
    flusher->next_sequence++;
    flusher->previous_hash = block->header_hash;
    flusher->last_epoch = block->epoch;
    flusher->written_at_ns = block->written_at_ns;
    flusher->attested_sequence = block->commit_sequence;
    flusher->segment_offset += block->block_bytes;
    if (record_count != 0)
        flusher->record_sequence = block->sequence;
    /* Relaxed: statistics, written by the role only. */
    hf_store_relaxed(&flusher->written_blocks, hf_load_relaxed(&flusher->written_blocks) + 1);
    hf_store_relaxed(&flusher->written_bytes,
                     hf_load_relaxed(&flusher->written_bytes) + block->block_bytes);
}

/* Bytes left for blocks in the segment being filled. */
static uint32_t room(const struct hf_flusher *flusher)
{
    return (uint32_t)(flusher->segments->segment_bytes - flusher->segment_offset);
}

void hf_flusher_segment_start(struct hf_flusher *flusher, struct hf_log_start *start)
{
    hf_latch_read(&flusher->start, start);
}

/* The spare segment becomes the one to be filled. */
static bool take_segment(struct hf_flusher *flusher)
{
    if (!hf_segments_take(flusher->segments, &flusher->segment))
        return false;
    flusher->segment_offset = HF_SEGMENT_HEADER_BYTES;
    const struct hf_log_start start = {
        .segment = flusher->segment.number,
        .epoch = flusher->last_epoch,
        .sequence = flusher->next_sequence - 1,
        .previous_hash = flusher->previous_hash,
        .next_lsn = hf_load_relaxed(&flusher->ring->drained), /* the role is the consumer */
        .written_at_ns = flusher->written_at_ns,
    };
    hf_latch_write(&flusher->start, &start);
    return true;
}

/* What records may take of it: all, if there is a spare to go on in. */
static uint32_t room_for_records(const struct hf_flusher *flusher)
{
    uint64_t blocks = flusher->segments->segment_bytes / HF_BLOCK_ALIGN_BYTES / HF_KEPT_PART;
    uint32_t kept =
        (uint32_t)(blocks < HF_KEPT_BLOCKS ? blocks : HF_KEPT_BLOCKS) * HF_BLOCK_ALIGN_BYTES;
    uint32_t left = room(flusher);
    if (hf_segments_has_spare(flusher->segments))
        return left;
    return left > kept ? left - kept : 0;
}

/* Makes sure that there is room for a block; takes the spare segment if need be. */
static bool make_room(struct hf_flusher *flusher, bool for_records)
{
    if (room(flusher) == 0)
        take_segment(flusher);
    bool stalled = (for_records ? room_for_records(flusher) : room(flusher)) == 0;
    hf_store_relaxed(&flusher->stalled, stalled); /* a hint: run again in a while */
    return !stalled;
}

/* Seals `record_count` published records into the next block and submits it. */
static void submit(struct hf_flusher *flusher, struct hf_write_queue *queue, uint16_t flags,
                   uint32_t record_count)
{
    struct hf_inflight *write = &flusher->inflight[flusher->next_sequence % HF_MAX_INFLIGHT];
    uint64_t first_lsn = hf_load_relaxed(&flusher->ring->drained); /* the role is the consumer */
    uint8_t *records = write->buffer + HF_BLOCK_HEADER_BYTES;
    hf_ring_drain(flusher->ring, records, record_count);
    hf_recent_append(flusher->recent, first_lsn, records, record_count);
    struct hf_block block;
    seal(flusher, write->buffer, flags, first_lsn, record_count, &block);
    write->file = flusher->segment.file;
    write->bytes = block.block_bytes;
    write->offset = block.offset;
    write->last_lsn = first_lsn + record_count - 1;
    write->segment = flusher->segment.number;
    write->ends_segment = room(flusher) == 0;
    if (write->ends_segment)
        flusher->segment.file = -1; /* the write owns it now, and retire() closes it */
    queue->submit(queue, write->file, write->buffer, write->bytes, write->offset,
                  (uint32_t)(block.sequence % HF_MAX_INFLIGHT));
}

/* True if a group of this size is to be written now, beside what is in flight. */
static bool may_submit(const struct hf_flusher *flusher, uint32_t record_count)
{
    return record_count != 0 && inflight_count(flusher) < flusher->writes_inflight;
}

static void seal_and_submit(struct hf_flusher *flusher, struct hf_write_queue *queue)
{
    for (;;) {
        /* Of a chain whose rest is not published yet, nothing is written. */
        uint32_t published = hf_ring_published(flusher->ring, HF_MAX_BLOCK_RECORDS);
        uint32_t count =
            published == HF_MAX_BLOCK_RECORDS ? published : hf_ring_whole(flusher->ring, published);
        if (!may_submit(flusher, count) || !make_room(flusher, true))
            return;
        uint32_t fitting = room_for_records(flusher) / HF_RECORD_BYTES - 1;
        /* 0, an empty block, where a chain comes next that the segment's rest has no room for. */
        submit(flusher, queue, 0, hf_ring_whole(flusher->ring, count < fitting ? count : fitting));
    }
}

/* While no further segment can be prepared: credits for what surely fits, a block for each record and
 * another that attests it. And none while there is no place at all, whether it is known why yet or
 * not: what is appended then might stand in the ring for as long as the disk is full. */
static void limit_credits(struct hf_flusher *flusher)
{
    bool last_segment = hf_segments_error(flusher->segments) != 0;
    uint32_t places = room_for_records(flusher) / HF_BLOCK_ALIGN_BYTES;
    bool none = places == 0 && !hf_segments_has_spare(flusher->segments);
    hf_ring_limit(flusher->ring, last_segment || none ? places / 2 : UINT64_MAX);
}

/* memory: a record is committed as soon as the published prefix holds it. */
static void commit_published(struct hf_flusher *flusher)
{
    uint64_t next = hf_load_relaxed(&flusher->ring->drained); /* the role is the consumer */
    uint32_t published = hf_ring_published(flusher->ring, (uint32_t)flusher->ring->slot_count);
    uint32_t count = hf_ring_whole(flusher->ring, published);
    hf_store_seq_cst(&flusher->commit_lsn, next + count - 1); /* as in retire() */
}

void hf_flusher_run(struct hf_flusher *flusher, struct hf_write_queue *queue)
{
    if (!enter_role(flusher))
        return;
    do {
        /* Acquire, pairs with fail(). */
        if (hf_load_acquire(&flusher->failed))
            continue;
        retire(flusher);
        seal_and_submit(flusher, queue);
        limit_credits(flusher);
        if (flusher->durability == HF_DURABILITY_MEMORY)
            commit_published(flusher);
        note_attestation(flusher);
    } while (!leave_role(flusher));
}

void hf_flusher_complete(struct hf_flusher *flusher, struct hf_write_queue *queue, uint32_t cookie,
                         int result)
{
    HF_CHECK(cookie < HF_MAX_INFLIGHT);
    struct hf_inflight *write = &flusher->inflight[cookie];
    if (result == -EAGAIN || result == -EINTR) {
        /* Acquire, pairs with fail(): behind a failed write, nothing more is written. */
        if (hf_load_acquire(&flusher->failed))
            return;
        queue->submit(queue, write->file, write->buffer, write->bytes, write->offset, cookie);
        return;
    }
    if (result < 0) {
        fail(flusher, "the disk refused a block", -result);
        return;
    }
    if ((uint32_t)result != write->bytes) {
        fail(flusher, "the disk took only a part of a block (is it full?)", 0);
        return;
    }
    /* Release, pairs with the acquire in retire(). */
    hf_store_release(&write->done, 1);
    hf_flusher_run(flusher, queue);
}

void hf_flusher_attest(struct hf_flusher *flusher, struct hf_write_queue *queue)
{
    if (!hf_flusher_wants_attest(flusher) || !enter_role(flusher))
        return;
    bool quiet = inflight_count(flusher) == 0 && hf_ring_published(flusher->ring, 1) == 0;
    if (quiet && !hf_load_acquire(&flusher->failed) && make_room(flusher, false))
        submit(flusher, queue, HF_BLOCK_ATTEST, 0);
    note_attestation(flusher);
    if (!leave_role(flusher)) {
        /* Somebody asked for a run meanwhile: it is ours now. */
        while (!leave_role(flusher))
            ;
        hf_flusher_run(flusher, queue);
    }
}

bool hf_flusher_idle(struct hf_flusher *flusher)
{
    if (!enter_role(flusher))
        return false;
    bool idle;
    do {
        idle = inflight_count(flusher) == 0 &&
               /* Acquire, pairs with hf_ring_reserve(): no producer is left. */
               hf_load_acquire(&flusher->ring->tail) == hf_load_relaxed(&flusher->ring->drained);
    } while (!leave_role(flusher));
    return idle;
}

static void close_full_segment(struct hf_flusher *flusher)
{
    if (room(flusher) != 0 || flusher->segment.file < 0)
        return;
    close_full(flusher, flusher->segment.file, flusher->segment.number);
    flusher->segment.file = -1;
}

/* Writes an empty block, blocking. The buffer of the next write in flight is free: none is. */
static int write_empty_block(struct hf_flusher *flusher, uint16_t flags)
{
    uint8_t *buffer = flusher->inflight[flusher->next_sequence % HF_MAX_INFLIGHT].buffer;
    struct hf_block block;
    seal(flusher, buffer, flags, hf_load_relaxed(&flusher->ring->drained), 0, &block);
    struct hf_io *io = flusher->segments->io;
    int result = io->write_at(io, flusher->segment.file, buffer, block.block_bytes, block.offset);
    flusher->retired_sequence = block.sequence;
    close_full_segment(flusher);
    return result;
}

/* Takes the next segment, waiting for the preparer. 0, or -errno of the preparer's last attempt. */
static int wait_for_room(struct hf_flusher *flusher)
{
    close_full_segment(flusher);
    while (!make_room(flusher, false)) {
        int error = hf_segments_error(flusher->segments);
        if (error != 0)
            return error;
        if (flusher->segments->manual) {
            hf_segments_step(flusher->segments);
            continue;
        }
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
    return 0;
}

int hf_flusher_init(struct hf_flusher *flusher, struct hf_ring *ring, struct hf_segments *segments,
                    const struct hf_segment *segment, const struct hf_log_tail *tail,
                    const struct hf_server_clock *clock, const struct hf_flusher_options *options)
{
    HF_CHECK(options->writes_inflight <= HF_MAX_INFLIGHT);
    *flusher = (struct hf_flusher){
        .ring = ring,
        .segments = segments,
        .clock = clock,
        .durability = options->durability,
        .writes_inflight =
            options->writes_inflight != 0 ? options->writes_inflight : DEFAULT_INFLIGHT,
        .epoch = tail->epoch + 1,
        .last_epoch = tail->epoch,
        .written_at_ns = tail->written_at_ns,
        .next_sequence = tail->sequence + 1,
        .previous_hash = tail->previous_hash,
        .retired_sequence = tail->sequence,
        .segment = *segment,
        .segment_offset = tail->offset,
        .on_failure = options->on_failure,
        .failure_context = options->failure_context,
        .on_full = options->on_full,
        .full_context = options->full_context,
    };
    memcpy(flusher->log_id, tail->log_id, sizeof flusher->log_id);
    hf_store_relaxed(&flusher->durable_lsn, tail->next_lsn - 1); /* no other thread yet */
    hf_store_relaxed(&flusher->commit_lsn, tail->next_lsn - 1);
    for (int i = 0; i < HF_MAX_INFLIGHT; i++) {
        flusher->inflight[i].buffer = aligned_alloc(HF_BLOCK_ALIGN_BYTES, HF_MAX_BLOCK_BYTES);
        if (flusher->inflight[i].buffer == NULL)
            return -ENOMEM;
    }
    hf_latch_write(&flusher->start, &tail->start);
    int result = wait_for_room(flusher);
    if (result == 0)
        result = write_empty_block(flusher, HF_BLOCK_START);
    limit_credits(flusher);
    return result;
}

int hf_flusher_stop(struct hf_flusher *flusher)
{
    if (hf_load_acquire(&flusher->failed)) /* pairs with fail() */
        return -EIO;
    if (!hf_flusher_idle(flusher))
        return -ENOSPC; /* what was appended, and never acknowledged, found no room */
    int result = wait_for_room(flusher);
    return result == 0 ? write_empty_block(flusher, HF_BLOCK_STOP) : result;
}

void hf_flusher_close(struct hf_flusher *flusher)
{
    if (flusher->segment.file >= 0)
        flusher->segments->io->close_file(flusher->segments->io, flusher->segment.file);
    for (int i = 0; i < HF_MAX_INFLIGHT; i++)
        free(flusher->inflight[i].buffer);
}
