/*
 * The ring under N producers and one consumer: no LSN is lost or doubled, every record is whole,
 * each producer's LSNs increase, and a full ring is met and survived.
 *
 * Rounds differ in the size of the ring, in how the consumer role is held (by one thread, or by
 * whoever gets a try-lock, as the flusher's role is), and in how fast it is drained. Producers
 * close and begin anew now and then, so that credits go back and forth.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomics.h"
#include "base/bytes.h"
#include "tests/lib/stress.h"
#include "wal/ring.h"

#define RECORDS_A_ROUND 20000u
#define DRAIN_RECORDS   64u

struct round {
    struct hf_ring ring;
    uint64_t seed;
    uint64_t first_lsn;
    uint64_t goal_lsn; /* producers stop when the ring has got this far */
    unsigned producers;
    bool wandering; /* the consumer's role wanders */
    _Atomic uint32_t producing;
    _Atomic uint32_t consumer; /* the try-lock of the role */
    _Atomic uint64_t full;     /* times that the ring was full */

    /* Of the consumer's role. */
    uint64_t next_lsn;
    uint64_t seen[HF_STRESS_MAX_THREADS]; /* by producer: records seen */
    struct hf_random pauses;
};

/* What a record holds: who wrote it, its number among that producer's, its LSN, and a pattern. */
static void fill(struct hf_ring_slot *slot, uint64_t lsn, unsigned producer, uint64_t number)
{
    uint64_t words[HF_RECORD_IMAGE_BYTES / 8];
    words[0] = producer;
    words[1] = number;
    words[2] = lsn;
    for (unsigned i = 3; i < HF_RECORD_IMAGE_BYTES / 8; i++)
        words[i] = lsn * 0x9e3779b97f4a7c15ull + i;
    memcpy(slot->image, words, sizeof words);
}

static void check(struct round *round, const uint8_t *record)
{
    uint64_t lsn = hf_get_u64(record);
    if (lsn != round->next_lsn)
        hf_stress_fail("LSN %llu where %llu was due", (unsigned long long)lsn,
                       (unsigned long long)round->next_lsn);
    uint64_t words[HF_RECORD_IMAGE_BYTES / 8];
    memcpy(words, record + HF_RECORD_IMAGE, sizeof words);
    if (words[0] >= round->producers || words[2] != lsn)
        hf_stress_fail("the record at LSN %llu is of LSN %llu", (unsigned long long)lsn,
                       (unsigned long long)words[2]);
    for (unsigned i = 3; i < HF_RECORD_IMAGE_BYTES / 8; i++) {
        if (words[i] != lsn * 0x9e3779b97f4a7c15ull + i)
            hf_stress_fail("the record at LSN %llu is not whole", (unsigned long long)lsn);
    }
    if (words[1] != round->seen[words[0]])
        hf_stress_fail("LSN %llu: record %llu of producer %llu where %llu was due",
                       (unsigned long long)lsn, (unsigned long long)words[1],
                       (unsigned long long)words[0], (unsigned long long)round->seen[words[0]]);
    round->seen[words[0]]++;
    round->next_lsn++;
}

/* The role's holder: drains a little. False: nothing was there. */
static bool consume(struct round *round)
{
    uint8_t records[DRAIN_RECORDS * HF_RECORD_BYTES];
    uint32_t count =
        hf_ring_published(&round->ring, 1 + hf_random_below(&round->pauses, DRAIN_RECORDS));
    if (count == 0)
        return false;
    /* A copy that is disturbed meets producers who must not have been let in yet. */
    hf_ring_drain(&round->ring, records, count);
    for (uint32_t i = 0; i < count; i++)
        check(round, records + (size_t)i * HF_RECORD_BYTES);
    hf_random_pause(&round->pauses);
    return true;
}

/* Any thread: takes the role if it is free, consumes, and gives it up. */
static void consume_in_passing(struct round *round)
{
    uint32_t nobody = 0;
    /* acq_rel, pairs with the release below: hands the consumer's fields over. */
    if (!hf_cas_acq_rel(&round->consumer, &nobody, 1))
        return;
    consume(round);
    hf_store_release(&round->consumer, 0); /* pairs with the CAS above */
}

static void produce(struct round *round, unsigned index)
{
    struct hf_random random = hf_random_for(round->seed, index);
    struct hf_ring_producer producer;
    hf_ring_producer_init(&producer, &round->ring);
    uint64_t last_lsn = 0;
    for (uint64_t number = 0; last_lsn < round->goal_lsn;) {
        if (round->wandering && hf_random_chance(&random, 10))
            consume_in_passing(round);
        uint32_t count = 1 + hf_random_below(&random, 3);
        if (!hf_ring_credit(&producer, count)) {
            hf_fetch_add_relaxed(&round->full, 1); /* a count */
            if (round->wandering)
                consume_in_passing(round);
            /* Credits that are kept while others starve would be a deadlock of the test's own. */
            hf_ring_producer_close(&producer);
            sched_yield();
            if (hf_load_relaxed(&round->ring.tail) >= round->goal_lsn) /* any time will do */
                break;
            continue;
        }
        while (count-- > 0) {
            uint64_t lsn;
            struct hf_ring_slot *slot = hf_ring_reserve(&producer, &lsn);
            if (lsn <= last_lsn)
                hf_stress_fail("producer %u got LSN %llu after %llu", index,
                               (unsigned long long)lsn, (unsigned long long)last_lsn);
            last_lsn = lsn;
            fill(slot, lsn, index, number++);
            hf_ring_publish(slot, lsn);
        }
        if (hf_random_chance(&random, 2))
            hf_ring_producer_close(&producer);
        hf_random_pause(&random);
    }
    hf_ring_producer_close(&producer);
    hf_fetch_sub_relaxed(&round->producing, 1); /* relaxed: the consumer looks at tail as well */
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    if (index < round->producers) {
        produce(round, index);
        return;
    }
    while (hf_load_relaxed(&round->producing) != 0) { /* see above */
        if (!consume(round))
            sched_yield();
    }
}

static void finish(struct round *round)
{
    while (consume(round))
        ;
    uint64_t tail = hf_load_relaxed(&round->ring.tail); /* all threads are joined */
    if (round->next_lsn != tail || hf_load_relaxed(&round->ring.drained) != tail)
        hf_stress_fail("LSN %llu was handed out and never came, the newest is %llu",
                       (unsigned long long)round->next_lsn, (unsigned long long)tail - 1);
    if (hf_load_relaxed(&round->ring.credited) != tail)
        hf_stress_fail("credits end at %llu, the ring at %llu, and nobody holds any",
                       (unsigned long long)hf_load_relaxed(&round->ring.credited),
                       (unsigned long long)tail);
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("ring_mpsc", argc, argv, &options);
    static struct round round;
    uint64_t rounds = 0, records = 0, full = 0;
    while (rounds == 0 || !hf_stress_over()) {
        struct hf_random random = hf_random_for(options.seed, rounds);
        memset(&round, 0, sizeof round);
        round.seed = hf_random_next(&random);
        round.first_lsn = round.next_lsn = 1 + hf_random_below(&random, 1000);
        round.goal_lsn = round.first_lsn + RECORDS_A_ROUND;
        round.producers = options.threads;
        round.wandering = rounds % 2 == 1;
        round.pauses = hf_random_for(round.seed, UINT32_MAX);
        hf_store_relaxed(&round.producing, options.threads); /* no other thread yet */
        if (hf_ring_init(&round.ring, 8ull << hf_random_below(&random, 6), round.first_lsn) != 0)
            hf_stress_fail("out of memory");
        /* The last thread is the consumer, unless the role wanders. */
        unsigned threads = options.threads + (round.wandering ? 0 : 1);
        hf_stress_run(threads, run, &round);
        finish(&round);
        hf_ring_close(&round.ring);
        rounds++;
        records += round.next_lsn - round.first_lsn;
        full += hf_load_relaxed(&round.full);
    }
    if (full == 0)
        hf_stress_fail("the ring was never full: nothing was tested there");
    return hf_stress_done("%llu rounds, %llu records, full %llu times", (unsigned long long)rounds,
                          (unsigned long long)records, (unsigned long long)full);
}
