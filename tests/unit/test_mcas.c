/* Words, and multi-word CAS: one thread plays several, step by step. Actor 0 mostly stops in the
 * middle of an operation. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/mcas.h"
#include "tests/lib/stress.h"

#define WORDS 200u

static struct hf_mcas_descriptor descriptors[HF_MAX_ACTORS];
static _Atomic uint64_t words[WORDS];
static struct hf_mcas mcas;

static uint64_t start_of(uint32_t i)
{
    return hf_word_make(100 + (int32_t)i, 7);
}

static void init(void)
{
    mcas = (struct hf_mcas){.base = (uint8_t *)(void *)words, .descriptors = descriptors};
    for (uint32_t i = 0; i < WORDS; i++)
        hf_store_relaxed(&words[i], start_of(i));
}

TestSuite(mcas, .init = init);

static uint64_t plain(uint32_t i)
{
    return hf_mcas_load(&mcas, &words[i]);
}

/* The word as it stands there. */
static uint64_t raw(uint32_t i)
{
    return hf_load_relaxed(&words[i]);
}

/* Adds to a word what it is now. */
static struct hf_mcas_entry add(uint32_t i, int32_t amount)
{
    uint64_t word = plain(i);
    return (struct hf_mcas_entry){&words[i], word,
                                  hf_word_moved(word, hf_word_available(word) + amount)};
}

/* Expects what was there in the beginning, whatever is there now. */
static struct hf_mcas_entry add_to_start(uint32_t i, int32_t amount)
{
    uint64_t word = start_of(i);
    return (struct hf_mcas_entry){&words[i], word,
                                  hf_word_moved(word, hf_word_available(word) + amount)};
}

static void change(uint32_t i, int32_t amount)
{
    struct hf_mcas_entry entry = add(i, amount);
    uint64_t word = entry.expected;
    cr_assert(hf_cas_acq_rel(&words[i], &word, entry.desired));
}

static void expect_word(uint32_t i, int32_t amount, uint32_t version)
{
    uint64_t word = raw(i);
    cr_expect(!hf_word_is_descriptor(word), "word %u", i);
    cr_expect_eq(word, hf_word_make(amount, version), "word %u: %d, version %u", i,
                 hf_word_available(word), hf_word_version(word));
}

/* Begins words 0 .. count - 1, minus 1 each, and installs some of them. */
static struct hf_mcas_progress stop_after(uint32_t actor, uint32_t count, uint32_t installed)
{
    struct hf_mcas_entry entries[HF_MCAS_ENTRIES];
    uint64_t blocker;
    for (uint32_t i = 0; i < count; i++)
        entries[i] = add_to_start(i, -1);
    struct hf_mcas_progress progress = {.ref = hf_mcas_begin(&mcas, actor, entries, count)};
    cr_assert_eq(hf_mcas_install(&mcas, &progress, installed, &blocker), HF_MCAS_STEP_INSTALLED);
    cr_assert_eq(progress.next, installed);
    return progress;
}

/* ---- words ---- */

Test(mcas, a_word_gives_back_what_it_was_made_of)
{
    static const int32_t amounts[] = {0, 1, -1, 500, HF_WORD_AMOUNT_MAX, HF_WORD_AMOUNT_MIN};
    for (uint32_t i = 0; i < sizeof amounts / sizeof amounts[0]; i++) {
        uint64_t word = hf_word_make(amounts[i], 0x7fffffff);
        cr_expect_eq(hf_word_available(word), amounts[i]);
        cr_expect_eq(hf_word_version(word), 0x7fffffff);
        cr_expect(!hf_word_is_descriptor(word));
        cr_expect_eq(word & (HF_WORD_SEALED | HF_WORD_WAITING), 0);
        uint64_t flagged = word | HF_WORD_SEALED | HF_WORD_WAITING;
        cr_expect_eq(hf_word_available(flagged), amounts[i], "flags are beside the amount");
        cr_expect_eq(hf_word_version(flagged), 0x7fffffff, "and beside the version");
    }
    cr_expect_eq(hf_word_make(0, 0xffffffff), hf_word_make(0, 0x7fffffff), "31 bits of version");
}

Test(mcas, a_moved_word_has_the_next_version_and_the_same_flags)
{
    uint64_t word = hf_word_make(5, 9);
    cr_expect_eq(hf_word_moved(word, -3), hf_word_make(-3, 10));
    cr_expect_eq(hf_word_moved(word | HF_WORD_SEALED, 4), hf_word_make(4, 10) | HF_WORD_SEALED);
    cr_expect_eq(hf_word_moved(word | HF_WORD_WAITING, 4), hf_word_make(4, 10) | HF_WORD_WAITING);
    cr_expect_eq(hf_word_bumped(word | HF_WORD_WAITING), hf_word_make(5, 10) | HF_WORD_WAITING);
    cr_expect_eq(hf_word_moved(hf_word_make(1, 0x7fffffff), 2), hf_word_make(2, 0), "comes around");
}

/* ---- all or nothing ---- */

Test(mcas, all_words_are_replaced)
{
    struct hf_mcas_entry entries[] = {add(5, -1), add(2, 4), add(9, 0)};
    cr_assert(hf_mcas(&mcas, 0, entries, 3));
    expect_word(2, 106, 8);
    expect_word(5, 104, 8);
    expect_word(9, 109, 8); /* compare and bump */
    expect_word(3, 103, 7); /* nobody's */
}

Test(mcas, one_word_that_is_not_as_expected_keeps_all_from_being_replaced)
{
    for (uint32_t wrong = 0; wrong < 4; wrong++) {
        init();
        struct hf_mcas_entry entries[] = {add(0, -1), add(1, -1), add(2, -1), add(3, -1)};
        change(wrong, 50);
        cr_expect(!hf_mcas(&mcas, 0, entries, 4));
        for (uint32_t i = 0; i < 4; i++) {
            if (i < wrong)
                expect_word(i, 100 + (int32_t)i, 8); /* bumped */
            else
                expect_word(i, 100 + (int32_t)i + (i == wrong ? 50 : 0), i == wrong ? 8 : 7);
        }
    }
}

Test(mcas, flags_are_compared_and_kept)
{
    struct hf_mcas_entry entries[] = {add(0, -1), add(1, -1)};
    hf_store_relaxed(&words[1], start_of(1) | HF_WORD_WAITING);
    cr_expect(!hf_mcas(&mcas, 0, entries, 2), "the flag is part of the word");
    struct hf_mcas_entry again[] = {add(0, -1), add(1, -1)};
    cr_expect(hf_mcas(&mcas, 0, again, 2));
    cr_expect_eq(raw(1), hf_word_make(100, 8) | HF_WORD_WAITING);
    hf_store_relaxed(&words[2], start_of(2) | HF_WORD_SEALED | HF_WORD_WAITING);
    struct hf_mcas_entry failing[] = {add(2, -1), add(3, -1)};
    change(3, 1);
    cr_expect(!hf_mcas(&mcas, 0, failing, 2));
    cr_expect_eq(raw(2), hf_word_make(102, 8) | HF_WORD_SEALED | HF_WORD_WAITING);
}

/* Random subsets of random size, in random order, against plain arithmetic. */
Test(mcas, as_many_words_as_there_are_entries_in_any_order)
{
    struct hf_random random = hf_random_for(1, 1);
    int32_t amounts[WORDS];
    for (uint32_t i = 0; i < WORDS; i++)
        amounts[i] = hf_word_available(raw(i));
    for (uint32_t round = 0; round < 300; round++) {
        struct hf_mcas_entry entries[WORDS];
        uint32_t count = round == 0 ? HF_MCAS_ENTRIES : 1 + hf_random_below(&random, 160);
        for (uint32_t i = 0; i < WORDS; i++)
            entries[i] = add(i, (int32_t)hf_random_below(&random, 9) - 4);
        for (uint32_t i = 0; i < WORDS - 1; i++) { /* shuffled */
            uint32_t other = i + hf_random_below(&random, WORDS - i);
            struct hf_mcas_entry entry = entries[i];
            entries[i] = entries[other];
            entries[other] = entry;
        }
        for (uint32_t i = 0; i < count; i++)
            amounts[entries[i].place - words] = hf_word_available(entries[i].desired);
        cr_assert(hf_mcas(&mcas, round % HF_MAX_ACTORS, entries, count));
        for (uint32_t i = 1; i < count; i++)
            cr_assert(entries[i - 1].place < entries[i].place, "sorted in place");
        for (uint32_t i = 0; i < WORDS; i++)
            cr_assert_eq(hf_word_available(raw(i)), amounts[i]);
    }
}

/* ---- an operation that stops in the middle stops nobody ---- */

Test(mcas, whoever_loads_a_word_of_it_finishes_it)
{
    for (uint32_t installed = 1; installed <= 4; installed++) {
        for (uint32_t word = 0; word < installed; word++) {
            init();
            struct hf_mcas_progress stopped = stop_after(0, 4, installed);
            cr_expect(hf_word_is_descriptor(raw(word)));
            cr_expect_eq(plain(word), hf_word_make(99 + (int32_t)word, 8));
            for (uint32_t i = 0; i < 4; i++)
                expect_word(i, 99 + (int32_t)i, 8);
            uint64_t blocker;
            cr_expect_eq(hf_mcas_install(&mcas, &stopped, 4, &blocker),
                         installed == 4 ? HF_MCAS_STEP_INSTALLED : HF_MCAS_STEP_OVER);
            hf_mcas_decide(&mcas, stopped.ref, HF_MCAS_FAILED); /* too late */
            cr_expect(hf_mcas_detach(&mcas, stopped.ref), "its owner learns that it succeeded");
        }
    }
}

Test(mcas, whoever_loads_a_word_of_it_finishes_it_also_when_it_must_fail)
{
    change(3, 1);
    struct hf_mcas_progress stopped = stop_after(0, 4, 2);
    cr_expect_eq(plain(1), hf_word_make(101, 8), "bumped");
    expect_word(0, 100, 8);
    expect_word(1, 101, 8);
    expect_word(2, 102, 8); /* installed by the helper */
    expect_word(3, 104, 8); /* the change */
    uint64_t blocker;
    cr_expect_eq(hf_mcas_install(&mcas, &stopped, 4, &blocker), HF_MCAS_STEP_OVER);
    cr_expect(!hf_mcas_detach(&mcas, stopped.ref), "its owner learns that it failed");
}

Test(mcas, an_operation_that_stopped_after_its_decision_is_detached_by_others)
{
    struct hf_mcas_progress stopped = stop_after(0, 4, 4);
    hf_mcas_decide(&mcas, stopped.ref, HF_MCAS_SUCCEEDED);
    struct hf_mcas_entry entries[] = {add(1, 10), add(3, 10)};
    cr_expect(hf_mcas(&mcas, 1, entries, 2));
    for (uint32_t i = 0; i < 4; i++)
        expect_word(i, 99 + (int32_t)i + (i % 2 != 0 ? 10 : 0), i % 2 != 0 ? 9 : 8);
    cr_expect(hf_mcas_detach(&mcas, stopped.ref));
    expect_word(1, 110, 9);
}

Test(mcas, another_operation_over_its_words_finishes_it_and_goes_on)
{
    struct hf_mcas_progress stopped = stop_after(0, 4, 2);
    struct hf_mcas_entry stale[] = {add_to_start(1, -10), add_to_start(5, -10)};
    cr_expect(!hf_mcas(&mcas, 1, stale, 2), "word 1 is what the stopped one makes of it");
    expect_word(1, 100, 8);
    struct hf_mcas_entry entries[] = {add(0, -10), add(3, -10), add(5, -10)};
    cr_expect(hf_mcas(&mcas, 1, entries, 3));
    expect_word(0, 89, 9);
    expect_word(1, 100, 8);
    expect_word(2, 101, 8);
    expect_word(3, 92, 9);
    expect_word(5, 95, 8);
    cr_expect(hf_mcas_detach(&mcas, stopped.ref), "its owner learns that it succeeded");
}

/* Three stopped operations, each in the way of the one before: whoever is stopped by the first goes
 * along all of them. */
Test(mcas, a_chain_of_stopped_operations_is_finished_from_its_end)
{
    uint64_t refs[3];
    for (uint32_t i = 0; i < 3; i++) {
        struct hf_mcas_entry entries[] = {add_to_start(i, -1), add_to_start(i + 1, -1)};
        struct hf_mcas_progress progress = {.ref = hf_mcas_begin(&mcas, i, entries, 2)};
        uint64_t blocker;
        cr_assert_eq(hf_mcas_install(&mcas, &progress, 1, &blocker), HF_MCAS_STEP_INSTALLED);
        refs[i] = progress.ref;
    }
    struct hf_mcas_entry entry = add(0, -10);
    cr_expect(hf_mcas(&mcas, 9, &entry, 1));
    cr_expect(hf_mcas_detach(&mcas, refs[2]), "nobody was in the way of the last");
    cr_expect(!hf_mcas_detach(&mcas, refs[1]), "the last changed its second word");
    cr_expect(!hf_mcas_detach(&mcas, refs[0]), "the second bumped its second word");
    expect_word(0, 90, 9);
    expect_word(1, 101, 8);
    expect_word(2, 101, 8);
    expect_word(3, 102, 8);
}

/* As many as there can be, on a small stack: no recursion. */
static _Atomic uint64_t long_chain[HF_MAX_ACTORS + 1];

static void *load_the_first(void *context)
{
    uint64_t *word = context;
    *word = hf_mcas_load(&mcas, &long_chain[0]);
    return NULL;
}

Test(mcas, a_chain_of_all_actors_is_finished_on_a_small_stack)
{
    for (uint32_t i = 0; i <= HF_MAX_ACTORS; i++)
        hf_store_relaxed(&long_chain[i], hf_word_make(1, 1));
    for (uint32_t i = 0; i < HF_MAX_ACTORS; i++) {
        struct hf_mcas_entry entries[2];
        for (uint32_t j = 0; j < 2; j++)
            entries[j] =
                (struct hf_mcas_entry){&long_chain[i + j], hf_word_make(1, 1), hf_word_make(0, 2)};
        struct hf_mcas_progress progress = {.ref = hf_mcas_begin(&mcas, i, entries, 2)};
        uint64_t blocker;
        cr_assert_eq(hf_mcas_install(&mcas, &progress, 1, &blocker), HF_MCAS_STEP_INSTALLED);
    }
    uint64_t word = 0;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    cr_assert_eq(pthread_create(&thread, &attributes, load_the_first, &word), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    cr_expect_eq(word, hf_word_make(1, 2), "failed: bumped");
    for (uint32_t i = 0; i <= HF_MAX_ACTORS; i++)
        cr_expect_eq(hf_load_relaxed(&long_chain[i]),
                     hf_word_make(i < HF_MAX_ACTORS - 1 ? 1 : 0, 2));
}

/* The same with a thread that does stop, in the middle, until the others have done their work. */
static struct {
    sem_t stopped, go_on;
    bool succeeded;
} worker;

static void *stop_in_the_middle(void *context)
{
    (void)context;
    struct hf_mcas_progress progress = stop_after(0, 4, 2);
    sem_post(&worker.stopped);
    sem_wait(&worker.go_on);
    uint64_t blocker;
    cr_expect_eq(hf_mcas_install(&mcas, &progress, 4, &blocker), HF_MCAS_STEP_OVER);
    worker.succeeded = hf_mcas_detach(&mcas, progress.ref);
    return NULL;
}

Test(mcas, a_thread_that_is_stopped_in_the_middle_stops_no_other)
{
    sem_init(&worker.stopped, 0, 0);
    sem_init(&worker.go_on, 0, 0);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, stop_in_the_middle, NULL), 0);
    sem_wait(&worker.stopped);
    struct hf_mcas_entry stale[] = {add_to_start(0, 1), add_to_start(3, 1)};
    cr_assert(!hf_mcas(&mcas, 1, stale, 2), "word 0 is what the stopped one makes of it");
    for (uint32_t round = 0; round < 1000; round++) {
        struct hf_mcas_entry entries[] = {add(3, 1), add(1, -1), add(0, 1)};
        cr_assert(hf_mcas(&mcas, 1, entries, 3));
    }
    sem_post(&worker.go_on);
    pthread_join(thread, NULL);
    cr_expect(worker.succeeded);
    expect_word(0, 1099, 1008);
    expect_word(1, -900, 1008);
    expect_word(2, 101, 8);
    expect_word(3, 1102, 1008);
}

/* ---- those who are late ---- */

/* After the decision no CAS of the operation can succeed any more: expected is nowhere. */
static void expect_no_install(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t expected = start_of(i);
        cr_expect(!hf_cas_acq_rel(&words[i], &expected, HF_WORD_DESCRIPTOR), "word %u", i);
    }
}

Test(mcas, a_late_helper_installs_nothing_after_a_success)
{
    struct hf_mcas_entry entries[] = {add(0, -1), add(1, 0), add(2, -1)};
    cr_assert(hf_mcas(&mcas, 0, entries, 3));
    expect_no_install(3);
}

Test(mcas, a_late_helper_installs_nothing_after_a_failure)
{
    struct hf_mcas_entry entries[] = {add(0, -1), add(1, 0), add(2, -1)};
    change(2, 1);
    cr_assert(!hf_mcas(&mcas, 0, entries, 3));
    expect_no_install(3);
}

Test(mcas, a_failure_at_a_place_leaves_what_is_behind_it_alone)
{
    struct hf_mcas_entry entries[] = {add(0, -1), add(1, -1), add(2, -1)};
    change(1, 1);
    struct hf_mcas_progress progress = {.ref = hf_mcas_begin(&mcas, 0, entries, 3)};
    uint64_t blocker;
    cr_expect_eq(hf_mcas_install(&mcas, &progress, 3, &blocker), HF_MCAS_STEP_MISMATCH);
    cr_expect_eq(progress.next, 1);
    hf_mcas_decide(&mcas, progress.ref, HF_MCAS_FAILED);
    struct hf_mcas_progress late = {.ref = progress.ref, .next = 2};
    cr_expect_eq(hf_mcas_install(&mcas, &late, 3, &blocker), HF_MCAS_STEP_OVER);
    expect_word(2, 102, 7);
    cr_expect(!hf_mcas_detach(&mcas, progress.ref));
    expect_word(0, 100, 8);
    expect_word(2, 102, 7);
}

Test(mcas, the_first_decision_stands)
{
    struct hf_mcas_progress first = stop_after(0, 3, 3);
    hf_mcas_decide(&mcas, first.ref, HF_MCAS_SUCCEEDED);
    hf_mcas_decide(&mcas, first.ref, HF_MCAS_FAILED);
    cr_expect(hf_mcas_detach(&mcas, first.ref));
    init();
    change(2, 1);
    struct hf_mcas_progress second = stop_after(1, 3, 2);
    hf_mcas_decide(&mcas, second.ref, HF_MCAS_FAILED);
    hf_mcas_decide(&mcas, second.ref, HF_MCAS_SUCCEEDED);
    cr_expect(!hf_mcas_detach(&mcas, second.ref));
}

Test(mcas, a_helper_of_the_operation_before_leaves_the_next_one_alone)
{
    uint64_t blocker;
    struct hf_mcas_progress old = stop_after(0, 3, 3);
    hf_mcas_decide(&mcas, old.ref, HF_MCAS_SUCCEEDED);
    cr_assert(hf_mcas_detach(&mcas, old.ref));
    struct hf_mcas_entry entries[] = {add(10, -1), add(11, -1), add(12, -1)};
    struct hf_mcas_progress next = {.ref = hf_mcas_begin(&mcas, 0, entries, 3)};
    cr_expect_neq(next.ref, old.ref, "the tag grows");
    cr_assert_eq(hf_mcas_install(&mcas, &next, 1, &blocker), HF_MCAS_STEP_INSTALLED);

    hf_mcas_help(&mcas, old.ref);
    struct hf_mcas_progress late = {.ref = old.ref, .next = 1};
    cr_expect_eq(hf_mcas_install(&mcas, &late, 3, &blocker), HF_MCAS_STEP_OVER);
    hf_mcas_decide(&mcas, old.ref, HF_MCAS_FAILED);
    cr_expect(!hf_mcas_detach(&mcas, old.ref), "too late to know");
    cr_expect_eq(raw(10), next.ref);
    expect_word(11, 111, 7);

    cr_assert_eq(hf_mcas_install(&mcas, &next, 3, &blocker), HF_MCAS_STEP_INSTALLED);
    hf_mcas_help(&mcas, old.ref);
    hf_mcas_decide(&mcas, old.ref, HF_MCAS_FAILED);
    cr_expect_eq(raw(12), next.ref, "not detached");
    hf_mcas_decide(&mcas, next.ref, HF_MCAS_SUCCEEDED);
    cr_expect(hf_mcas_detach(&mcas, next.ref));
    expect_word(12, 111, 8);
}

/* ---- looking without writing ---- */

Test(mcas, peek_tells_what_a_word_counts_as_before_and_after_the_decision)
{
    struct hf_mcas_progress stopped = stop_after(0, 3, 3);
    for (uint32_t i = 0; i < 3; i++)
        cr_expect_eq(hf_mcas_peek(&mcas, &words[i]), start_of(i), "undecided");
    hf_mcas_decide(&mcas, stopped.ref, HF_MCAS_SUCCEEDED);
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_eq(hf_mcas_peek(&mcas, &words[i]), hf_word_make(99 + (int32_t)i, 8));
        cr_expect_eq(raw(i), stopped.ref, "nothing was written");
    }
    cr_expect_eq(hf_mcas_peek(&mcas, &words[3]), start_of(3), "a plain word");
    hf_mcas_detach(&mcas, stopped.ref);
    cr_expect_eq(hf_mcas_peek(&mcas, &words[1]), hf_word_make(100, 8));
}

Test(mcas, peek_tells_what_detach_will_leave_after_a_failure)
{
    change(2, 1);
    struct hf_mcas_progress stopped = stop_after(0, 3, 2);
    hf_mcas_decide(&mcas, stopped.ref, HF_MCAS_FAILED);
    cr_expect_eq(hf_mcas_peek(&mcas, &words[0]), hf_word_make(100, 8));
    cr_expect_eq(hf_mcas_peek(&mcas, &words[2]), hf_word_make(103, 8));
    cr_expect_eq(raw(0), stopped.ref, "nothing was written");
}

/* As another process does: mapped elsewhere, read-only. One of the words is not in the region at
 * all, on either side of it, but a counter in the owner's private memory. */
Test(mcas, peek_works_in_a_read_only_mapping_at_another_address)
{
    size_t words_bytes = 4096;
    size_t bytes = words_bytes + sizeof descriptors;
    int file = memfd_create("mcas", 0);
    cr_assert(file >= 0 && ftruncate(file, (off_t)bytes) == 0);
    uint8_t *ours = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    uint8_t *theirs = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file, 0);
    cr_assert(ours != MAP_FAILED && theirs != MAP_FAILED && ours != theirs);
    struct hf_mcas owner = {ours, (struct hf_mcas_descriptor *)(void *)(ours + words_bytes)};
    struct hf_mcas reader = {theirs, (struct hf_mcas_descriptor *)(void *)(theirs + words_bytes)};
    _Atomic uint64_t *place = (_Atomic uint64_t *)(void *)(ours + 64);
    const _Atomic uint64_t *same = (const _Atomic uint64_t *)(void *)(theirs + 64);
    _Atomic uint64_t below,
        *above = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert((void *)above != MAP_FAILED);
    hf_store_relaxed(place, hf_word_make(5, 1));
    hf_store_relaxed(&below, hf_word_make(6, 1));
    hf_store_relaxed(above, hf_word_make(7, 1));
    struct hf_mcas_entry entries[] = {{place, hf_word_make(5, 1), hf_word_make(4, 2)},
                                      {&below, hf_word_make(6, 1), hf_word_make(8, 2)},
                                      {above, hf_word_make(7, 1), hf_word_make(9, 2)}};
    struct hf_mcas_progress progress = {.ref = hf_mcas_begin(&owner, 3, entries, 3)};
    uint64_t blocker;
    cr_assert_eq(hf_mcas_install(&owner, &progress, 3, &blocker), HF_MCAS_STEP_INSTALLED);
    cr_expect_eq(hf_mcas_peek(&reader, same), hf_word_make(5, 1));
    hf_mcas_decide(&owner, progress.ref, HF_MCAS_SUCCEEDED);
    cr_expect_eq(hf_mcas_peek(&reader, same), hf_word_make(4, 2));
    cr_expect_eq(hf_load_relaxed(same), progress.ref);
    cr_expect_eq(hf_mcas_load(&owner, &below), hf_word_make(8, 2), "the owner helps there, too");
    cr_expect_eq(hf_mcas_load(&owner, above), hf_word_make(9, 2));
    cr_expect_eq(hf_mcas_peek(&reader, same), hf_word_make(4, 2));
    cr_expect_eq(hf_load_relaxed(same), hf_word_make(4, 2));
}

/* ---- what callers must see to ---- */

Test(mcas, a_place_twice_is_refused, .signal = SIGABRT)
{
    struct hf_mcas_entry entries[] = {add(0, 1), add(1, 1), add(0, 1)};
    hf_mcas(&mcas, 0, entries, 3);
}

Test(mcas, a_desired_word_of_the_same_version_is_refused, .signal = SIGABRT)
{
    struct hf_mcas_entry entry = {&words[0], start_of(0), start_of(0) | HF_WORD_WAITING};
    hf_mcas(&mcas, 0, &entry, 1);
}

Test(mcas, a_desired_word_of_an_older_version_is_refused, .signal = SIGABRT)
{
    struct hf_mcas_entry entry = {&words[0], start_of(0), hf_word_make(1, 6)};
    hf_mcas(&mcas, 0, &entry, 1);
}

Test(mcas, a_ref_as_expected_word_is_refused, .signal = SIGABRT)
{
    struct hf_mcas_progress stopped = stop_after(0, 2, 1);
    struct hf_mcas_entry entry = {&words[0], stopped.ref, start_of(0)};
    hf_mcas(&mcas, 1, &entry, 1);
}

Test(mcas, an_operation_over_nothing_is_refused, .signal = SIGABRT)
{
    struct hf_mcas_entry entry = add(0, 1);
    hf_mcas(&mcas, 0, &entry, 0);
}
