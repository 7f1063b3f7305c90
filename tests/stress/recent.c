/*
 * The newest records under one writer and N readers: what a reader copies is whole and is what it
 * asked for, and what it is refused was overwritten.
 *
 * Rounds differ in the number of slots, in how far behind readers ask, and in whether following
 * stops and begins again meanwhile.
 */
#include <sched.h>
#include <string.h>

#include "base/atomics.h"
#include "base/bytes.h"
#include "tests/lib/stress.h"
#include "wal/recent.h"

#define RECORDS_A_ROUND 200000u
#define BATCH_RECORDS   64u

struct round {
    struct hf_recent recent;
    uint64_t seed;
    uint64_t last_lsn; /* the writer ends there */
    bool gaps;
    _Atomic uint64_t written;         /* everything up to here was appended, or left out */
    _Atomic uint64_t copied, refused; /* records; attempts */
};

static uint64_t word_of(uint64_t lsn, unsigned word)
{
    return word == 0 ? lsn : lsn * 0x9e3779b97f4a7c15ull + word;
}

static void write_records(struct round *round)
{
    struct hf_random random = hf_random_for(round->seed, 1000);
    uint64_t batch[BATCH_RECORDS * HF_RECORD_BYTES / 8];
    for (uint64_t lsn = 1; lsn <= round->last_lsn;) {
        uint32_t count = 1 + hf_random_below(&random, BATCH_RECORDS);
        for (uint32_t i = 0; i < count; i++)
            for (unsigned word = 0; word < HF_RECORD_BYTES / 8; word++)
                batch[i * HF_RECORD_BYTES / 8 + word] = word_of(lsn + i, word);
        if (!round->gaps || !hf_random_chance(&random, 1))
            hf_recent_append(&round->recent, lsn, (const uint8_t *)batch, count);
        lsn += count;
        /* Release, pairs with the acquire in read_records(): it asks for what was appended. */
        hf_store_release(&round->written, lsn - 1);
        hf_random_pause(&random);
    }
}

static void check(const struct round *round, uint64_t lsn, const uint64_t *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (unsigned word = 0; word < HF_RECORD_BYTES / 8; word++)
            if (words[i * HF_RECORD_BYTES / 8 + word] != word_of(lsn + i, word))
                hf_stress_fail("word %u of the record at LSN %llu is of LSN %llu (%llu slots)",
                               word, (unsigned long long)(lsn + i),
                               (unsigned long long)words[i * HF_RECORD_BYTES / 8],
                               (unsigned long long)round->recent.slot_count);
}

static void read_records(struct round *round, unsigned index)
{
    struct hf_random random = hf_random_for(round->seed, index);
    uint64_t words[BATCH_RECORDS * HF_RECORD_BYTES / 8];
    uint64_t copied = 0, refused = 0, written;
    /* Acquire, pairs with the release in write_records(). */
    while ((written = hf_load_acquire(&round->written)) < round->last_lsn) {
        uint64_t back = hf_random_below(&random, (uint32_t)round->recent.slot_count + 8);
        uint64_t lsn = back < written ? written - back : 1;
        bool there = hf_recent_holds(&round->recent, lsn);
        uint32_t count = hf_recent_copy(&round->recent, lsn, (uint8_t *)words,
                                        1 + hf_random_below(&random, BATCH_RECORDS));
        check(round, lsn, words, count);
        copied += count;
        refused += count == 0;
        if (count == 0 && there && hf_recent_holds(&round->recent, lsn))
            hf_stress_fail("LSN %llu was there all the time, and was refused",
                           (unsigned long long)lsn);
        hf_random_pause(&random);
    }
    /* Relaxed: sums, read when the threads have ended. */
    hf_fetch_add_relaxed(&round->copied, copied);
    hf_fetch_add_relaxed(&round->refused, refused);
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    if (index == 0)
        write_records(round);
    else
        read_records(round, index);
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("recent", argc, argv, &options);
    uint64_t rounds = 0, copied = 0, refused = 0;
    while (!hf_stress_over()) {
        static struct round round;
        uint64_t slots = 64ull << (rounds % 4 * 2);
        memset(&round, 0, sizeof round);
        round.seed = options.seed + rounds;
        round.last_lsn = RECORDS_A_ROUND;
        round.gaps = rounds % 3 == 2;
        if (hf_recent_init(&round.recent, slots) != 0)
            hf_stress_fail("out of memory");
        hf_recent_follow(&round.recent);
        hf_stress_run(options.threads > 1 ? options.threads : 2, run, &round);
        hf_recent_close(&round.recent);
        copied += round.copied;
        refused += round.refused;
        rounds++;
    }
    if (copied == 0 || refused == 0)
        hf_stress_fail("nothing met: %llu records copied, %llu attempts refused",
                       (unsigned long long)copied, (unsigned long long)refused);
    return hf_stress_done("%llu rounds, %llu records copied, %llu attempts refused",
                          (unsigned long long)rounds, (unsigned long long)copied,
                          (unsigned long long)refused);
}
