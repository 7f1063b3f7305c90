/*
 * The flusher's role under N threads that append, run it, and complete its writes late, in any
 * order, from any thread, now and then with -EAGAIN or -EINTR. The disk is in memory.
 *
 * Checked: what is committed (durable, if commit does not wait for the disk) never passes a block
 * that is not completed (PREFIX), and never goes back; no more writes are in flight than allowed,
 * and no buffer changes in flight; after the last append, completing what is in flight commits all
 * that was appended, without anyone running the flusher again (no note is lost); a thread that
 * waits for its own record while others append is not forgotten. At the end the log is read: every
 * block continues the one before, every record stands at its LSN.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/lib/memory_io.h"
#include "tests/lib/stress.h"
#include "wal/flusher.h"
#include "wal/reader.h"

#define APPENDS       600u /* of a thread in a round */
#define SEGMENT_BYTES (1u << 20)
#define DIRECTORY     "memory"
#define PATIENCE_NS   (4 * HF_NS_PER_S)
#define MAX_BLOCKS    (1u << 16)

struct round {
    struct hf_memory_io memory;
    struct hf_manual_queue queue;
    struct hf_write_queue watched; /* what the flusher submits to: notes the block, passes it on */
    struct hf_ring ring;
    struct hf_segments segments;
    struct hf_flusher flusher;
    struct hf_server_clock clock;
    uint64_t seed;
    uint32_t writes_inflight;
    bool disk;                /* durability */
    uint32_t waiting_percent; /* of the appends, whose thread waits for them */

    /* What the test knows, with the lock. */
    pthread_mutex_t lock;
    uint64_t last_lsn[MAX_BLOCKS]; /* by the block's sequence */
    bool completed[MAX_BLOCKS];
    uint64_t newest_sequence;
    uint64_t prefix_sequence;     /* blocks up to here are completed */
    _Atomic uint64_t prefix_lsn;  /* and hold the records up to here */
    _Atomic uint32_t outstanding; /* writes submitted and not completed */
    _Atomic uint64_t retries;
};

static struct round round_now;

/* ---- what the test knows of the blocks ---- */

static void watch_submit(struct hf_write_queue *queue, int file, const void *buffer, uint32_t bytes,
                         uint64_t offset, uint32_t cookie)
{
    struct round *round = &round_now;
    (void)queue;
    struct hf_block block;
    if (hf_block_read_header(buffer, &block) != HF_BLOCK_VALID || block.sequence >= MAX_BLOCKS)
        hf_stress_fail("a write that is no block was submitted");
    pthread_mutex_lock(&round->lock);
    if (block.sequence > round->newest_sequence) { /* not a repeated one */
        round->newest_sequence = block.sequence;
        round->last_lsn[block.sequence] = block.first_lsn + block.record_count - 1;
        /* acq_rel: a count, which the one who completes takes down before. */
        if (hf_fetch_add_acq_rel(&round->outstanding, 1) >= round->writes_inflight)
            hf_stress_fail("more than %u writes are in flight", round->writes_inflight);
    }
    if (block.commit_sequence > round->prefix_sequence)
        hf_stress_fail("block %llu attests block %llu, which is not completed (PREFIX)",
                       (unsigned long long)block.sequence,
                       (unsigned long long)block.commit_sequence);
    pthread_mutex_unlock(&round->lock);
    round->queue.queue.submit(&round->queue.queue, file, buffer, bytes, offset, cookie);
}

static void note_completed(struct round *round, uint64_t sequence)
{
    pthread_mutex_lock(&round->lock);
    round->completed[sequence] = true;
    uint64_t lsn = hf_load_relaxed(&round->prefix_lsn); /* written with the lock */
    while (round->completed[round->prefix_sequence + 1]) {
        round->prefix_sequence++;
        lsn = round->last_lsn[round->prefix_sequence];
    }
    hf_fetch_sub_relaxed(&round->outstanding, 1); /* the lock orders it */
    hf_store_release(&round->prefix_lsn, lsn);    /* pairs with check_prefix() */
    pthread_mutex_unlock(&round->lock);
}

/* Returns what is committed. */
static uint64_t check_prefix(struct round *round, uint64_t seen_before)
{
    uint64_t commit_lsn = hf_flusher_commit_lsn(&round->flusher);
    uint64_t durable_lsn = hf_load_seq_cst(&round->flusher.durable_lsn);
    uint64_t prefix_lsn = hf_load_acquire(&round->prefix_lsn); /* read last: it only grows */
    if (durable_lsn > prefix_lsn || (round->disk && commit_lsn > prefix_lsn))
        hf_stress_fail("LSN %llu is committed, %llu durable; completed is what goes to %llu "
                       "(PREFIX)",
                       (unsigned long long)commit_lsn, (unsigned long long)durable_lsn,
                       (unsigned long long)prefix_lsn);
    if (commit_lsn < seen_before)
        hf_stress_fail("commit went back to %llu", (unsigned long long)commit_lsn);
    return commit_lsn;
}

/* ---- what the threads do ---- */

/* Completes any one of the writes in flight. False: there is none. */
static bool complete_one(struct round *round, struct hf_random *random, bool may_fail)
{
    struct hf_manual_write write;
    uint32_t count = hf_manual_queue_count(&round->queue);
    if (count == 0 || !hf_manual_queue_take(&round->queue, hf_random_below(random, count), &write))
        return false;
    int result = (int)write.bytes;
    if (may_fail && hf_random_chance(random, 10)) {
        result = hf_random_chance(random, 50) ? -EAGAIN : -EINTR;
        hf_fetch_add_relaxed(&round->retries, 1); /* a count */
    }
    hf_manual_write_apply(&round->queue, &write, result);
    if (result > 0)
        note_completed(round, hf_get_u64(write.buffer + 40));
    hf_random_pause(random);
    hf_flusher_complete(&round->flusher, &round->watched, write.cookie, result);
    return true;
}

static void fill_image(uint8_t *image, uint64_t lsn)
{
    for (unsigned i = 0; i < HF_RECORD_IMAGE_BYTES; i += 8)
        hf_put_u64(image + i, lsn * 0x9e3779b97f4a7c15ull + i);
    image[HF_RECORD_CHAIN_INDEX - HF_RECORD_IMAGE] = 0; /* a record of its own */
    image[HF_RECORD_CHAIN_LENGTH - HF_RECORD_IMAGE] = 0;
}

/* Returns the LSN of the last one, or 0 if the ring is full. */
static uint64_t append(struct hf_ring_producer *producer, uint32_t count)
{
    uint64_t lsn = 0;
    if (!hf_ring_credit(producer, count))
        return 0;
    while (count-- > 0) {
        struct hf_ring_slot *slot = hf_ring_reserve(producer, &lsn);
        fill_image(slot->image, lsn);
        hf_ring_publish(slot, lsn);
    }
    return lsn;
}

/* Like a worker with nothing else to do: only completions move things on. */
static void await_commit(struct round *round, struct hf_random *random, uint64_t lsn)
{
    uint64_t seen = 0, seen_ns = hf_monotonic_now_ns();
    for (;;) {
        uint64_t commit_lsn = check_prefix(round, seen);
        if (commit_lsn >= lsn)
            return;
        if (hf_flusher_stalled(&round->flusher))
            hf_flusher_run(&round->flusher, &round->watched);
        if (commit_lsn != seen || complete_one(round, random, true)) {
            seen = commit_lsn;
            seen_ns = hf_monotonic_now_ns();
        } else if (hf_monotonic_now_ns() - seen_ns > PATIENCE_NS) {
            hf_stress_fail("LSN %llu waits behind LSN %llu, and nothing moves: a note was lost",
                           (unsigned long long)lsn, (unsigned long long)commit_lsn);
        } else {
            sched_yield();
        }
    }
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct hf_random random = hf_random_for(round->seed, index);
    struct hf_ring_producer producer;
    hf_ring_producer_init(&producer, &round->ring);
    uint64_t seen = 0, moved_ns = hf_monotonic_now_ns();
    for (uint32_t i = 0; i < APPENDS;) {
        uint64_t lsn = append(&producer, 1 + hf_random_below(&random, 4));
        if (lsn != 0)
            i++;
        else
            hf_ring_producer_close(&producer); /* nobody starves for credits that rest */
        /* One run at the end of the batch, as a worker does. */
        hf_flusher_run(&round->flusher, &round->watched);
        uint64_t before = seen;
        seen = check_prefix(round, seen);
        if (lsn != 0 || seen != before)
            moved_ns = hf_monotonic_now_ns();
        else if (hf_monotonic_now_ns() - moved_ns > PATIENCE_NS)
            hf_stress_fail("the ring stays full behind LSN %llu: a write was lost",
                           (unsigned long long)seen);
        if (hf_random_chance(&random, 40))
            complete_one(round, &random, true);
        if (lsn != 0 && hf_random_chance(&random, round->waiting_percent))
            await_commit(round, &random, lsn);
        if (hf_random_chance(&random, 3))
            hf_flusher_attest(&round->flusher, &round->watched);
        hf_random_pause(&random);
    }
    hf_ring_producer_close(&producer);
}

/* ---- rounds ---- */

static void fail_log(void *context, const char *text)
{
    (void)context;
    hf_stress_fail("the log failed: %s", text);
}

static void set_up(struct round *round, struct hf_random *random)
{
    memset(round, 0, sizeof *round);
    round->seed = hf_random_next(random);
    round->writes_inflight = 1 + hf_random_below(random, HF_MAX_INFLIGHT);
    round->disk = hf_random_chance(random, 75);
    round->waiting_percent = hf_random_chance(random, 50) ? 3 : 60;
    round->watched.submit = watch_submit;
    pthread_mutex_init(&round->lock, NULL);
    hf_memory_io_init(&round->memory);
    hf_manual_queue_init(&round->queue, &round->memory);
    hf_server_clock_init(&round->clock, 0);
    struct hf_log_tail tail = {.next_lsn = 1, .segment = 1, .offset = 4096};
    memset(tail.log_id, 7, sizeof tail.log_id);
    struct hf_flusher_options options = {
        .durability = round->disk ? HF_DURABILITY_DISK : HF_DURABILITY_MEMORY,
        .writes_inflight = round->writes_inflight,
        .on_failure = fail_log,
    };
    struct hf_io *io = &round->memory.io;
    struct hf_segments_options segments = {
        .io = io,
        .directory = DIRECTORY,
        .log_id = tail.log_id,
        .segment_bytes = SEGMENT_BYTES,
        .first_number = 1,
        .next_number = 2,
        .keep = -1,
    };
    struct hf_segment segment;
    if (hf_segment_create(io, DIRECTORY, tail.log_id, 1, SEGMENT_BYTES) != 0 ||
        hf_segment_open(io, DIRECTORY, 1, &segment) != 0 ||
        hf_segments_open(&round->segments, &segments) != 0 ||
        hf_ring_init(&round->ring, 64ull << hf_random_below(random, 5), 1) != 0 ||
        hf_flusher_init(&round->flusher, &round->ring, &round->segments, &segment, &tail,
                        &round->clock, &options) != 0)
        hf_stress_fail("cannot set up a log in memory");
    round->newest_sequence = round->prefix_sequence = 1; /* the START block */
}

/* All threads are joined; each ran the flusher after its last append. */
static void drain(struct round *round, struct hf_random *random)
{
    uint64_t newest = hf_load_relaxed(&round->ring.tail) - 1;
    while (complete_one(round, random, true) || hf_flusher_stalled(&round->flusher)) {
        if (hf_flusher_stalled(&round->flusher))
            hf_flusher_run(&round->flusher, &round->watched);
    }
    if (check_prefix(round, 0) != newest || hf_load_seq_cst(&round->flusher.durable_lsn) != newest)
        hf_stress_fail("nothing is in flight, and LSN %llu is committed of %llu: a note was lost",
                       (unsigned long long)hf_flusher_commit_lsn(&round->flusher),
                       (unsigned long long)newest);
    if (!hf_flusher_idle(&round->flusher))
        hf_stress_fail("everything is durable, and the flusher is not idle");
    if (hf_flusher_stop(&round->flusher) != 0)
        hf_stress_fail("the STOP block could not be written");
    hf_segments_close(&round->segments);
    hf_flusher_close(&round->flusher);
    if (hf_memory_io_open_count(&round->memory) != 0)
        hf_stress_fail("%u files were left open", hf_memory_io_open_count(&round->memory));
}

/* Reads the log as a crash would leave it. */
static void read_back(struct round *round)
{
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    hf_memory_io_crash(&round->memory);
    if (hf_reader_open(&round->memory.io, DIRECTORY, true, NULL, &reader, &finding) != 0)
        hf_stress_fail("cannot open the log: %s", finding.text);
    uint64_t lsn = 1;
    enum hf_read read;
    while ((read = hf_reader_next(reader, &view)) == HF_READ_BLOCK) {
        for (uint32_t i = 0; i < view.header.record_count; i++, lsn++) {
            uint8_t image[HF_RECORD_IMAGE_BYTES];
            const uint8_t *record = view.records + (size_t)i * HF_RECORD_BYTES;
            fill_image(image, lsn);
            if (hf_get_u64(record) != lsn ||
                memcmp(record + HF_RECORD_IMAGE, image, sizeof image) != 0)
                hf_stress_fail("the record at LSN %llu is not what was appended",
                               (unsigned long long)lsn);
        }
    }
    if (read != HF_READ_END)
        hf_stress_fail("the log is not whole: %s", hf_reader_finding(reader)->text);
    if (lsn != hf_load_relaxed(&round->ring.tail))
        hf_stress_fail("the log ends with LSN %llu of %llu", (unsigned long long)lsn - 1,
                       (unsigned long long)hf_load_relaxed(&round->ring.tail) - 1);
    hf_reader_close(reader);
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("flusher_role", argc, argv, &options);
    struct round *round = &round_now;
    uint64_t rounds = 0, records = 0, blocks = 0, retries = 0;
    for (; rounds < 2 || !hf_stress_over(); rounds++) {
        struct hf_random random = hf_random_for(options.seed, rounds);
        set_up(round, &random);
        hf_stress_run(options.threads, run, round);
        drain(round, &random);
        read_back(round);
        records += hf_load_relaxed(&round->ring.tail) - 1;
        blocks += round->newest_sequence;
        retries += hf_load_relaxed(&round->retries);
        hf_ring_close(&round->ring);
        hf_manual_queue_close(&round->queue);
        hf_memory_io_close(&round->memory);
        pthread_mutex_destroy(&round->lock);
    }
    return hf_stress_done("%llu rounds, %llu records in %llu blocks, %llu writes repeated",
                          (unsigned long long)rounds, (unsigned long long)records,
                          (unsigned long long)blocks, (unsigned long long)retries);
}
