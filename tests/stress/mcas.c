/*
 * Multi-word CAS under N threads that move random amounts between random words, some by hf_mcas(),
 * some by plain CASes of single words, and look at all words at one instant in three ways: by an
 * hf_mcas() that only compares and bumps, by loading all words twice, and the same with peek.
 *
 * Checked, while it runs: the sum is the same at every instant, no word is below zero, versions
 * move forward. Thread 0 also has words of its own, among the others, that others only load: no
 * operation of it over them may ever fail, however many help.
 *
 * Checked after each round, from what each thread wrote down: every success consumed exactly the
 * values that it expected, nobody else consumed the same, nothing happened to a word that nobody
 * claims to have done, and there is an order of all successes that explains every word.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/mcas.h"
#include "tests/lib/stress.h"

#define SHARED     6u
#define OWN        3u /* thread 0's */
#define WORDS      (SHARED + OWN)
#define OPERATIONS 2500u
#define START      40
#define MOST       4u /* shared words of one operation */

/* What one success did, in the order of its words. */
struct success {
    uint32_t count;
    uint32_t left; /* for the order: words in whose history it is not the next yet */
    uint32_t words[WORDS];
    uint64_t expected[WORDS], desired[WORDS];
};

struct round {
    uint64_t seed;
    unsigned threads;
    uint32_t version_end;
    struct success *successes;     /* OPERATIONS a thread; count 0: it did not succeed */
    _Atomic uint32_t *consumed_by; /* [word][version]: success + 1 */
    _Atomic uint64_t words[WORDS]; /* every third one is thread 0's own */
    _Atomic uint64_t snapshots;
};

static struct hf_mcas_descriptor descriptors[HF_MAX_ACTORS];
static struct round round_now;
static struct hf_mcas mcas = {(uint8_t *)(void *)&round_now, descriptors};

static uint32_t shared_word(uint32_t number)
{
    return number / 2 * 3 + number % 2;
}

static uint32_t own_word(uint32_t number)
{
    return number * 3 + 2;
}

static bool is_own(uint32_t word)
{
    return word % 3 == 2;
}

/* One thread's view. */
struct member {
    struct round *round;
    struct hf_random random;
    uint32_t actor;
    uint32_t operation;
    uint64_t seen[WORDS]; /* newest value of each word */
};

static uint64_t look(struct member *member, uint32_t word, uint64_t value)
{
    uint32_t ahead =
        (hf_word_version(value) - hf_word_version(member->seen[word])) & HF_WORD_VERSION_MASK;
    if (hf_word_is_descriptor(value))
        hf_stress_fail("a load shows a descriptor");
    if (hf_word_available(value) < 0)
        hf_stress_fail("word %u is %d", word, hf_word_available(value));
    if (ahead > HF_WORD_VERSION_MASK / 2)
        hf_stress_fail("word %u goes back from version %u to %u", word,
                       hf_word_version(member->seen[word]), hf_word_version(value));
    if (ahead == 0 && value != member->seen[word])
        hf_stress_fail("word %u: two values of version %u", word, hf_word_version(value));
    member->seen[word] = value;
    return value;
}

static uint64_t load(struct member *member, uint32_t word)
{
    struct round *round = member->round;
    uint64_t value = hf_random_chance(&member->random, 50)
                         ? hf_mcas_load(&mcas, &round->words[word])
                         : hf_mcas_peek(&mcas, &round->words[word]);
    return look(member, word, value);
}

/* ---- the operations ---- */

static struct success *this_success(const struct member *member)
{
    return &member->round->successes[member->actor * OPERATIONS + member->operation];
}

static void note(struct member *member, uint32_t word, uint64_t expected, uint64_t desired)
{
    struct success *success = this_success(member);
    uint32_t number = (uint32_t)(success - member->round->successes) + 1;
    uint32_t version = hf_word_version(expected);
    success->words[success->count] = word;
    success->expected[success->count] = expected;
    success->desired[success->count] = desired;
    success->count++;
    if (version >= member->round->version_end)
        hf_stress_fail("word %u has version %u, after fewer operations", word, version);
    _Atomic uint32_t *place =
        &member->round->consumed_by[word * member->round->version_end + version];
    if (hf_exchange_acq_rel(place, number) != 0)
        hf_stress_fail("two operations consumed version %u of word %u", version, word);
}

static bool try_mcas(struct member *member, struct hf_mcas_entry *entries, uint32_t count)
{
    if (!hf_mcas(&mcas, member->actor, entries, count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t word = (uint32_t)(entries[i].place - member->round->words);
        look(member, word, entries[i].desired);
        note(member, word, entries[i].expected, entries[i].desired);
    }
    return true;
}

static void add_entry(struct member *member, struct hf_mcas_entry *entries, uint32_t *count,
                      uint32_t word, int32_t amount)
{
    uint64_t value = load(member, word);
    entries[(*count)++] =
        (struct hf_mcas_entry){&member->round->words[word], value,
                               hf_word_moved(value, hf_word_available(value) + amount)};
}

/* From the first of 2 .. MOST different shared words to the others, one each; at times with a word
 * that it only compares. */
static void move(struct member *member)
{
    struct hf_mcas_entry entries[WORDS];
    uint32_t order[SHARED], count = 0;
    uint32_t words = 2 + hf_random_below(&member->random, MOST - 1);
    bool compare = hf_random_chance(&member->random, 25);
    for (uint32_t i = 0; i < SHARED; i++)
        order[i] = i;
    for (uint32_t i = 0; i < words; i++) {
        uint32_t other = i + hf_random_below(&member->random, SHARED - i);
        uint32_t number = order[other];
        order[other] = order[i];
        order[i] = number;
    }
    int32_t amount = (int32_t)(words - 1 - (compare ? 1 : 0));
    add_entry(member, entries, &count, shared_word(order[0]), -amount);
    if (hf_word_available(entries[0].expected) < amount)
        return;
    for (uint32_t i = 1; i < words; i++)
        add_entry(member, entries, &count, shared_word(order[i]),
                  compare && i == words - 1 ? 0 : 1);
    if (hf_random_chance(&member->random, 20))
        hf_random_pause(&member->random);
    try_mcas(member, entries, count);
}

/* A plain CAS of one word that keeps its amount: all that may be done to one word alone if the sum
 * is to stay. */
static void touch(struct member *member)
{
    uint32_t word = shared_word(hf_random_below(&member->random, SHARED));
    uint64_t expected = load(member, word);
    uint64_t found = expected;
    if (hf_cas_acq_rel(&member->round->words[word], &found, hf_word_bumped(expected))) {
        look(member, word, hf_word_bumped(expected));
        note(member, word, expected, hf_word_bumped(expected));
    }
}

/* Thread 0's words are nobody else's to change: whatever it does with them succeeds. */
static void move_own(struct member *member)
{
    struct hf_mcas_entry entries[OWN];
    uint32_t count = 0;
    bool up = hf_random_chance(&member->random, 50);
    for (uint32_t i = 0; i < OWN; i++) {
        int32_t amount = i == 0 ? (up ? 2 : -2) : (up ? -1 : 1);
        add_entry(member, entries, &count, own_word(i), amount);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (hf_word_available(entries[i].desired) < 0)
            return;
    }
    if (!try_mcas(member, entries, count))
        hf_stress_fail("an operation over words that nobody else changes has failed");
}

/* ---- all words at one instant ---- */

static void check_sum(struct member *member, const uint64_t *values, const char *way)
{
    int32_t shared = 0, own = 0;
    for (uint32_t word = 0; word < WORDS; word++) {
        if (is_own(word))
            own += hf_word_available(values[word]);
        else
            shared += hf_word_available(values[word]);
    }
    if (shared != START * (int32_t)SHARED || own != START * (int32_t)OWN)
        hf_stress_fail("at one instant, by %s, the words add up to %d and %d", way, shared, own);
    hf_fetch_add_relaxed(&member->round->snapshots, 1); /* a count */
}

static void look_by_mcas(struct member *member)
{
    struct hf_mcas_entry entries[SHARED];
    uint32_t count = 0;
    uint64_t values[WORDS];
    for (uint32_t i = 0; i < SHARED; i++)
        add_entry(member, entries, &count, shared_word(i), 0);
    for (uint32_t word = 0; word < WORDS; word++)
        values[word] = hf_word_make(START, 0); /* own ones are not looked at */
    for (uint32_t i = 0; i < count; i++)
        values[entries[i].place - member->round->words] = entries[i].expected;
    if (try_mcas(member, entries, count))
        check_sum(member, values, "comparing all");
}

static void look_twice(struct member *member)
{
    bool peek = hf_random_chance(&member->random, 50);
    uint64_t values[2][WORDS];
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t word = 0; word < WORDS; word++)
            values[pass][word] = look(member, word,
                                      peek ? hf_mcas_peek(&mcas, &member->round->words[word])
                                           : hf_mcas_load(&mcas, &member->round->words[word]));
    }
    /* Values never come back: what is the same twice was so between the two passes. */
    if (memcmp(values[0], values[1], sizeof values[0]) == 0)
        check_sum(member, values[0], peek ? "peeking twice" : "loading twice");
}

static void run(void *context, unsigned index)
{
    struct round *round = context;
    struct member member = {
        .round = round, .random = hf_random_for(round->seed, index), .actor = index};
    for (uint32_t word = 0; word < WORDS; word++)
        member.seen[word] = hf_word_make(START, 0);
    for (; member.operation < OPERATIONS; member.operation++) {
        uint32_t dice = hf_random_below(&member.random, 100);
        if (dice < 50)
            move(&member);
        else if (dice < 65)
            touch(&member);
        else if (dice < 75)
            look_by_mcas(&member);
        else if (dice < 85 && index == 0)
            move_own(&member);
        else
            look_twice(&member);
    }
}

/* ---- the history ---- */

static uint32_t consumer(const struct round *round, uint32_t word, uint32_t version)
{
    return hf_load_relaxed(&round->consumed_by[word * round->version_end + version]);
}

/* Every version of the word follows from the one before: by the success that consumed it, or by the
 * bump of a failure, which changes nothing else. */
static void check_history_of_word(const struct round *round, uint32_t word)
{
    uint64_t value = hf_word_make(START, 0);
    uint64_t last = hf_load_relaxed(&round->words[word]); /* all threads are joined */
    if (hf_word_is_descriptor(last))
        hf_stress_fail("word %u names a descriptor, after all operations are over", word);
    while (hf_word_version(value) != hf_word_version(last)) {
        uint32_t number = consumer(round, word, hf_word_version(value));
        if (number == 0) {
            value = hf_word_bumped(value);
            continue;
        }
        const struct success *success = &round->successes[number - 1];
        uint32_t i = 0;
        while (success->words[i] != word)
            i++;
        if (success->expected[i] != value)
            hf_stress_fail("word %u was %d in version %u, and an operation succeeded on %d", word,
                           hf_word_available(value), hf_word_version(value),
                           hf_word_available(success->expected[i]));
        value = success->desired[i];
    }
    if (value != last)
        hf_stress_fail("word %u is %d in the end, but all that was done to it makes %d", word,
                       hf_word_available(last), hf_word_available(value));
    for (uint32_t version = hf_word_version(last); version < round->version_end; version++) {
        if (consumer(round, word, version) != 0)
            hf_stress_fail("version %u of word %u was consumed, but came after the last", version,
                           word);
    }
}

/* The next success in the word's history at or after a version; 0: none. */
static uint32_t next_of(const struct round *round, uint32_t word, uint32_t *version)
{
    for (; *version < round->version_end; (*version)++) {
        uint32_t number = consumer(round, word, *version);
        if (number != 0)
            return number;
    }
    return 0;
}

/* An order of all successes in which each word takes its own: take, over and over, one that is the
 * next in the histories of all its words. */
static uint64_t check_order(const struct round *round)
{
    uint32_t versions[WORDS] = {0};
    uint32_t ready[WORDS], ready_count = 0; /* successes that are next everywhere */
    uint64_t total = 0, done = 0;
    for (uint32_t i = 0; i < round->threads * OPERATIONS; i++) {
        round->successes[i].left = round->successes[i].count;
        total += round->successes[i].count != 0;
    }
    for (uint32_t word = 0; word < WORDS; word++) {
        uint32_t number = next_of(round, word, &versions[word]);
        if (number != 0 && --round->successes[number - 1].left == 0)
            ready[ready_count++] = number;
    }
    while (ready_count != 0) {
        const struct success *success = &round->successes[ready[--ready_count] - 1];
        done++;
        for (uint32_t i = 0; i < success->count; i++) {
            uint32_t word = success->words[i];
            versions[word]++;
            uint32_t number = next_of(round, word, &versions[word]);
            if (number != 0 && --round->successes[number - 1].left == 0)
                ready[ready_count++] = number;
        }
    }
    if (done != total)
        hf_stress_fail("no order explains more than %llu of %llu successes",
                       (unsigned long long)done, (unsigned long long)total);
    return total;
}

static void start(struct round *round, const struct hf_stress_options *options, uint64_t rounds)
{
    memset(round, 0, sizeof *round);
    round->seed = options->seed + rounds;
    round->threads = options->threads;
    /* An operation, successful or not, adds at most 1 to the version of a word. */
    round->version_end = OPERATIONS * options->threads + 1;
    round->successes = calloc((size_t)OPERATIONS * options->threads, sizeof *round->successes);
    round->consumed_by = calloc((size_t)WORDS * round->version_end, sizeof(_Atomic uint32_t));
    if (round->successes == NULL || round->consumed_by == NULL)
        hf_stress_fail("out of memory");
    for (uint32_t word = 0; word < WORDS; word++)
        hf_store_relaxed(&round->words[word], hf_word_make(START, 0));
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("mcas", argc, argv, &options);
    struct round *round = &round_now;
    uint64_t rounds = 0, successes = 0, snapshots = 0;
    for (; rounds == 0 || !hf_stress_over(); rounds++) {
        start(round, &options, rounds);
        hf_stress_run(options.threads, run, round);
        for (uint32_t word = 0; word < WORDS; word++)
            check_history_of_word(round, word);
        successes += check_order(round);
        snapshots += hf_load_relaxed(&round->snapshots); /* all threads are joined */
        free(round->successes);
        free((void *)round->consumed_by);
    }
    return hf_stress_done("%llu rounds, %llu successes, %llu snapshots", (unsigned long long)rounds,
                          (unsigned long long)successes, (unsigned long long)snapshots);
}
