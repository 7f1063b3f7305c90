/*
 * Snapshots under N threads that do all kinds of operations: one snapshot after the other is made, and
 * again and again the power fails, in a copy of the disk. What is recovered there, from the newest
 * snapshot and the log behind it, must be the state that all records up to the last one make
 * (SAME-STATE), and nothing that was durable is missing.
 *
 * The disk is one in memory (tests/lib/memory_io.h). Its writes end in any order, by whichever thread
 * comes along. What is written is kept on the way, record by record; so the log that is held against a
 * recovered state is whole, while the real one lets go of its segments.
 *
 * One more thread is the keeper: it makes the snapshots step by step, or has the store's own thread
 * make them, and looks at what a crash would leave. All threads are disturbed, the keeper too.
 *
 * Rounds are short and differ: how many cells are copied in a step, how large ring and table are, how
 * long finished reservations are retained: so short that cells are used again while they are copied.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/burst.h"
#include "engine/execute.h"
#include "engine/lapse.h"
#include "engine/request.h"
#include "engine/resolve.h"
#include "tests/lib/any_request.h"
#include "tests/lib/digest.h"
#include "tests/lib/store_rig.h"
#include "tests/lib/stress.h"

#define RECORDS         24000u /* of a round, at most */
#define TICK_BUDGET     64u
#define BURST_INVENTORY (HF_ANY_INVENTORY_MAX + 1)
#define ENOUGH          100000u /* records, among which there is every operation */

/* What passes through the flusher's queue is kept. */
struct capture {
    struct hf_write_queue queue; /* the flusher's */
    struct hf_manual_queue *manual;
    uint8_t *records; /* by LSN, from 1 on; written by the flusher's role */
    _Atomic uint64_t count;
};

struct round {
    struct hf_store_rig rig;
    struct capture capture;
    struct hf_any_window window;
    _Atomic uint32_t burst_ids; /* the next ones of bursts */
    uint64_t seed;
    unsigned threads;
    uint32_t most_batch;   /* operations of one stay */
    uint32_t write_chance; /* percent of turns in which a thread ends a write */
    _Atomic uint32_t working;
};

struct worker {
    struct hf_actor actor;
    struct hf_any_request any;
    struct hf_reservation_entry entries[HF_MAX_PAGE_ENTRIES];
};

static struct round round_now;
static struct worker *workers[HF_STRESS_MAX_THREADS];
static uint64_t rounds, snapshots, recoveries, from_snapshots, records, segments, done[64];

/* ---- the disk ---- */

/* By the holder of the flusher's role: in the order of the log. */
static void submit(struct hf_write_queue *queue, int file, const void *buffer, uint32_t bytes,
                   uint64_t offset, uint32_t cookie)
{
    struct capture *capture = (struct capture *)queue;
    struct hf_block block;
    HF_CHECK(hf_block_read_header(buffer, &block) == HF_BLOCK_VALID);
    uint64_t end = block.first_lsn - 1 + block.record_count;
    HF_CHECK(end <= RECORDS && block.first_lsn == hf_load_relaxed(&capture->count) + 1);
    memcpy(capture->records + (block.first_lsn - 1) * HF_RECORD_BYTES,
           (const uint8_t *)buffer + HF_BLOCK_HEADER_BYTES,
           (size_t)block.record_count * HF_RECORD_BYTES);
    hf_store_release(&capture->count, end); /* pairs with look() */
    capture->manual->queue.submit(&capture->manual->queue, file, buffer, bytes, offset, cookie);
}

static struct hf_flusher *flusher_of(struct round *round)
{
    return &round->rig.store->log.flusher;
}

/* Ends a write, if one is in flight. */
static bool end_write(struct round *round, struct hf_random *random)
{
    struct hf_manual_queue *manual = round->capture.manual;
    struct hf_manual_write write;
    uint32_t count = hf_manual_queue_count(manual);
    if (count == 0 || !hf_manual_queue_take(manual, hf_random_below(random, count), &write))
        return false;
    hf_manual_write_apply(manual, &write, (int)write.bytes);
    hf_flusher_complete(flusher_of(round), &round->capture.queue, write.cookie, (int)write.bytes);
    return true;
}

/* ---- the workers ---- */

static void operate(struct round *round, struct worker *worker)
{
    const struct hf_request *request = hf_any_request_next(&worker->any, worker->actor.now_ns);
    struct hf_outcome outcome;
    enum hf_field field;
    unsigned line;
    if (hf_request_check(request, &field, &line) != HF_OK)
        return;
    if (hf_request_needs_clock(request->operation))
        worker->actor.now_ns = hf_server_clock_now_ns(&round->rig.store->log.clock);
    HF_CHECK(hf_engine_execute(&worker->actor, request, worker->entries, &outcome));
    if (!hf_outcome_put_aside(&outcome))
        hf_any_request_note(&worker->any, outcome.result, outcome.repeated);
}

/* Plain reservations that came together: each has its LSN before its cell is filled. */
static void burst(struct round *round, struct worker *worker)
{
    struct hf_reserve requests[HF_BURST_MAX];
    struct hf_reservation made[HF_BURST_MAX];
    struct hf_random *random = &worker->any.random;
    uint32_t first = hf_fetch_add_relaxed(&round->burst_ids, HF_BURST_MAX); /* any are good */
    uint32_t count = 1 + hf_random_below(random, HF_BURST_MAX);
    uint64_t inventory_id = BURST_INVENTORY + hf_random_below(random, 2);
    for (uint32_t i = 0; i < count; i++)
        requests[i] = (struct hf_reserve){
            .id = hf_id_of_number(first + i),
            .inventory_id = inventory_id,
            .customer_id = 1,
            .qty = 1,
        };
    uint32_t granted = hf_engine_reserve_burst(&worker->actor, requests, count, made);
    struct hf_outcome outcome;
    for (uint32_t i = 0; i < granted; i++) /* room for others, after a while */
        if (hf_random_chance(random, 90))
            hf_engine_resolve(&worker->actor, HF_OP_CANCEL, &requests[i].id, &outcome);
}

/* One turn of a server's worker. */
static void turn(struct round *round, struct worker *worker)
{
    struct hf_random *random = &worker->any.random;
    worker->actor.now_ns = hf_server_clock_now_ns(&round->rig.store->log.clock);
    hf_actor_enter(&worker->actor);
    for (uint32_t i = 1 + hf_random_below(random, round->most_batch); i > 0; i--)
        operate(round, worker);
    if (hf_random_chance(random, 10))
        burst(round, worker);
    hf_engine_tick(&worker->actor, TICK_BUDGET);
    hf_actor_exit(&worker->actor);
    hf_flusher_run(flusher_of(round), &round->capture.queue);
    if (hf_random_chance(random, round->write_chance))
        end_write(round, random);
    if (hf_random_chance(random, 25))
        sched_yield(); /* for the keeper */
    hf_random_pause(random);
}

/* Room for what all threads may record before they look again. */
static bool is_full(const struct round *round)
{
    uint64_t tail = hf_load_relaxed(&round->rig.store->log.ring.tail); /* a hint */
    return tail + 2 * round->rig.options.ring_slots > RECORDS;
}

static void work(struct round *round, struct worker *worker)
{
    while (!is_full(round) && !hf_stress_over())
        turn(round, worker);
    hf_actor_close(&worker->actor);
    hf_fetch_sub_relaxed(&round->working, 1); /* relaxed: all is compared after the join */
}

/* ---- the keeper ---- */

/* What a crash would leave now. */
static void look(struct round *round)
{
    struct hf_store_rig *rig = &round->rig;
    /* seq_cst, as every reader's: what is durable now must be there. */
    uint64_t durable_lsn = hf_load_seq_cst(&flusher_of(round)->durable_lsn);
    struct hf_memory_io *disk = hf_store_rig_copy_disk(rig);
    struct hf_rebuilt recovered;
    rig->last_lsn = hf_load_acquire(&round->capture.count); /* pairs with submit() */
    const char *wrong = hf_store_rig_check_snapshots(rig, disk);
    if (wrong != NULL)
        hf_stress_fail("%s", wrong);
    if (hf_store_rig_recover(rig, disk, &recovered) != 0)
        hf_stress_fail("%s", rig->text);
    if (recovered.last_lsn < durable_lsn)
        hf_stress_fail("LSN %llu was durable, but the log was recovered up to %llu only",
                       (unsigned long long)durable_lsn, (unsigned long long)recovered.last_lsn);
    wrong = hf_store_rig_compare(rig, &recovered);
    if (wrong != NULL)
        hf_stress_fail("%s", wrong);
    from_snapshots += recovered.found.snapshot.segment != 0;
    recoveries++;
    hf_rebuilt_close(&recovered);
    hf_store_rig_free_disk(disk);
}

static void keep(struct round *round)
{
    struct hf_store_rig *rig = &round->rig;
    struct hf_random random = hf_random_for(round->seed, UINT32_MAX);
    while (hf_load_relaxed(&round->working) != 0) { /* see work() */
        hf_snapshotter_request(rig->store->snapshotter);
        for (uint32_t i = hf_random_below(&random, 40); i > 0 && !rig->options.threaded; i--)
            hf_snapshotter_step(rig->store->snapshotter);
        if (!rig->options.threaded)
            hf_log_step(&rig->store->log);
        end_write(round, &random);
        hf_flusher_run(flusher_of(round), &round->capture.queue);
        if (hf_random_chance(&random, 4))
            look(round);
        hf_random_pause(&random);
    }
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    if (index < round->threads)
        work(round, workers[index]);
    else
        keep(round);
}

/* ---- a round ---- */

static void open_round(struct round *round, uint64_t seed, unsigned threads)
{
    struct hf_random random = hf_random_for(seed, 0);
    memset(round, 0, sizeof *round);
    const struct hf_store_rig_options options = {
        .max_inventories = HF_ANY_INVENTORY_MAX + 2,
        .max_reservations = 1024 + threads * 64 + hf_random_below(&random, 4096),
        .ring_slots = 256u << (hf_random_below(&random, 3) + (threads > 4 ? 2 : 0)),
        .snapshot_copy_cells = 1u << hf_random_below(&random, 10),
        .retain_ns = HF_NS_PER_MS << hf_random_below(&random, 10),
        .threaded = hf_random_chance(&random, 40),
    };
    hf_store_rig_open(&round->rig, &options);
    round->seed = seed;
    round->threads = threads;
    round->most_batch = 1u << hf_random_below(&random, 5);
    round->write_chance = 20 + hf_random_below(&random, 80);
    hf_store_relaxed(&round->working, threads); /* no other thread yet */
    hf_store_relaxed(&round->burst_ids, 1u << 24);
    round->capture = (struct capture){.queue = {.submit = submit}, .manual = &round->rig.queue};
    round->capture.records = malloc((size_t)RECORDS * HF_RECORD_BYTES);
    HF_CHECK(round->capture.records != NULL);
    free(round->rig.records);
    round->rig.records = round->capture.records;
    round->rig.record_room = RECORDS;
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = calloc(1, sizeof *workers[i]);
        HF_CHECK(workers[i] != NULL);
        HF_CHECK(hf_actor_init(&workers[i]->actor, &round->rig.store->engine,
                               &round->rig.store->log.ring) == 0);
        hf_any_request_init(&workers[i]->any, &round->window, seed, 1 + i, 100 * HF_NS_PER_MS);
    }
}

static void create_for_bursts(struct round *round)
{
    struct hf_actor *actor = &workers[0]->actor;
    struct hf_outcome outcome;
    actor->now_ns = hf_server_clock_now_ns(&round->rig.store->log.clock);
    hf_actor_enter(actor);
    for (uint64_t id = BURST_INVENTORY; id < BURST_INVENTORY + 2; id++)
        hf_engine_create_inventory(actor, id, 7, 1000, &outcome);
    hf_actor_exit(actor);
}

static void write_all(struct round *round)
{
    struct hf_random random = hf_random_for(round->seed, 1);
    while (!hf_flusher_idle(flusher_of(round))) {
        hf_flusher_run(flusher_of(round), &round->capture.queue);
        if (!round->rig.options.threaded)
            hf_log_step(&round->rig.store->log);
        end_write(round, &random);
    }
}

/* All is written: the engine itself is what its log says. */
static void check_engine(struct round *round)
{
    struct hf_store_rig *rig = &round->rig;
    struct hf_rebuilt expected;
    rig->last_lsn = hf_load_relaxed(&round->capture.count); /* no other thread */
    hf_store_rig_rebuild(rig, rig->last_lsn, &expected);
    if (hf_digest_state_hash(&rig->store->engine) != hf_digest_state_hash(expected.engine))
        hf_stress_fail("the state of the engine is not that of its log (SAME-STATE)");
    hf_rebuilt_close(&expected);
}

static void close_round(struct round *round)
{
    write_all(round);
    look(round);
    check_engine(round);
    snapshots += hf_store_rig_report(&round->rig).made;
    records += hf_load_relaxed(&round->capture.count); /* no other thread */
    segments += flusher_of(round)->segment.number;
    rounds++;
    for (unsigned i = 0; i < round->threads; i++) {
        for (unsigned j = 0; j < 64; j++)
            done[j] += workers[i]->any.done[j];
        free(workers[i]);
    }
    hf_store_rig_close(&round->rig); /* frees the records */
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("snapshots", argc, argv, &options);
    for (uint64_t seed = options.seed; !hf_stress_over(); seed++) {
        open_round(&round_now, seed, options.threads);
        create_for_bursts(&round_now);
        hf_stress_run(options.threads + 1, run, &round_now);
        close_round(&round_now);
    }
    const char *missing = records >= ENOUGH ? hf_any_request_missing(done) : NULL;
    if (missing != NULL || snapshots == 0)
        hf_stress_fail("no %s was ever done", missing != NULL ? missing : "snapshot");
    return hf_stress_done("%llu rounds, %llu records in %llu segments, %llu snapshots, %llu "
                          "recoveries (%llu from a snapshot)",
                          (unsigned long long)rounds, (unsigned long long)records,
                          (unsigned long long)segments, (unsigned long long)snapshots,
                          (unsigned long long)recoveries, (unsigned long long)from_snapshots);
}
