/* Epochs: when what was taken out may be used again. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "base/clock.h"
#include "engine/epoch.h"
#include "tests/lib/stress.h"

static struct hf_epochs epochs;

static void init(void)
{
    hf_epochs_init(&epochs);
}

TestSuite(epoch, .init = init);

Test(epoch, numbers_are_given_once_and_again_when_they_are_given_back)
{
    for (uint32_t i = 0; i < HF_MAX_ACTORS; i++)
        cr_assert_eq(hf_epochs_join(&epochs), i);
    cr_expect_eq(hf_epochs_join(&epochs), UINT32_MAX, "all are taken");
    hf_epochs_leave(&epochs, 77);
    cr_expect_eq(hf_epochs_join(&epochs), 77);
    cr_expect_eq(hf_epochs_join(&epochs), UINT32_MAX);
}

Test(epoch, what_nobody_can_have_seen_has_passed_at_once)
{
    cr_expect(hf_epochs_passed(&epochs, hf_epochs_retire(&epochs)), "nobody has joined");
    uint32_t actor = hf_epochs_join(&epochs);
    cr_expect(hf_epochs_passed(&epochs, hf_epochs_retire(&epochs)), "nobody is inside");
    uint64_t stamp = hf_epochs_retire(&epochs);
    hf_epochs_enter(&epochs, actor);
    cr_expect(hf_epochs_passed(&epochs, stamp), "who is inside entered later");
}

Test(epoch, whoever_is_inside_since_before_holds_it_up_until_its_exit)
{
    uint32_t actors[5];
    for (uint32_t i = 0; i < 5; i++)
        actors[i] = hf_epochs_join(&epochs);
    for (uint32_t i = 0; i < 5; i++) {
        hf_epochs_enter(&epochs, actors[i]);
        uint64_t stamp = hf_epochs_retire(&epochs);
        cr_expect(!hf_epochs_passed(&epochs, stamp), "actor %u of 5 is inside", i);
        cr_expect(!hf_epochs_passed(&epochs, hf_epochs_retire(&epochs)), "a later one, too");
        hf_epochs_exit(&epochs, actors[i]);
        cr_expect(hf_epochs_passed(&epochs, stamp), "actor %u of 5 is outside again", i);
    }
}

Test(epoch, one_who_exits_and_enters_again_has_let_go)
{
    uint32_t actor = hf_epochs_join(&epochs);
    hf_epochs_enter(&epochs, actor);
    uint64_t stamp = hf_epochs_retire(&epochs);
    hf_epochs_exit(&epochs, actor);
    hf_epochs_enter(&epochs, actor);
    cr_expect(hf_epochs_passed(&epochs, stamp));
    cr_expect(!hf_epochs_passed(&epochs, hf_epochs_retire(&epochs)), "but not of what comes now");
    cr_expect(hf_epochs_passed(&epochs, stamp), "it stays true");
}

Test(epoch, each_of_two_inside_must_exit)
{
    uint32_t early = hf_epochs_join(&epochs), late = hf_epochs_join(&epochs);
    hf_epochs_enter(&epochs, early);
    uint64_t first = hf_epochs_retire(&epochs);
    hf_epochs_enter(&epochs, late);
    uint64_t second = hf_epochs_retire(&epochs);
    hf_epochs_exit(&epochs, early);
    cr_expect(hf_epochs_passed(&epochs, first), "the late one entered after it");
    cr_expect(!hf_epochs_passed(&epochs, second));
    hf_epochs_exit(&epochs, late);
    cr_expect(hf_epochs_passed(&epochs, second));
}

Test(epoch, nobody_enters_twice, .signal = SIGABRT)
{
    uint32_t actor = hf_epochs_join(&epochs);
    hf_epochs_enter(&epochs, actor);
    hf_epochs_enter(&epochs, actor);
}

Test(epoch, nobody_leaves_from_inside, .signal = SIGABRT)
{
    uint32_t actor = hf_epochs_join(&epochs);
    hf_epochs_enter(&epochs, actor);
    hf_epochs_leave(&epochs, actor);
}

/* ---- entering is seen before anything is looked up ---- */

#define LITMUS_CELLS 64

static struct {
    alignas(128) _Atomic uint32_t current; /* the cell that can be found */
    alignas(128) _Atomic uint32_t in_use[LITMUS_CELLS];
    alignas(128) _Atomic uint32_t over;
    _Atomic uint64_t seen_free;
} litmus;

/* On processors of their own, if there are two: else the threads hardly ever meet. */
static void run_on(unsigned number)
{
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && number-- == 0) {
            CPU_SET(cpu, &one);
            (void)sched_setaffinity(0, sizeof one, &one);
            return;
        }
    }
}

/* Finds the cell over and over, and looks for a while whether it stays in use. */
static void *find_cells(void *context)
{
    (void)context;
    uint32_t actor = hf_epochs_join(&epochs);
    run_on(1);
    while (hf_load_relaxed(&litmus.over) == 0) {
        (void)hf_load_relaxed(&litmus.current); /* brings the line near */
        hf_epochs_enter(&epochs, actor);
        /* Acquire: the cell was put to use before. All else is relaxed: the epochs order it. */
        uint32_t cell = hf_load_acquire(&litmus.current);
        for (uint32_t i = 0; i < 30; i++) {
            if (hf_load_relaxed(&litmus.in_use[cell]) == 0)
                hf_fetch_add_relaxed(&litmus.seen_free, 1);
        }
        hf_epochs_exit(&epochs, actor);
    }
    return NULL;
}

/* Another thread looks at a cell, inside, while this one replaces it, and frees it when nobody may
 * see it. If entering were not ordered before the lookup, both would go ahead at times. */
Test(epoch, nobody_inside_sees_a_cell_that_was_freed, .timeout = 60)
{
    pthread_t reader;
    hf_store_relaxed(&litmus.in_use[0], 1);
    cr_assert_eq(pthread_create(&reader, NULL, find_cells, NULL), 0);
    run_on(0);
    uint64_t end_ns = hf_monotonic_now_ns() + 400 * 1000 * 1000;
    uint64_t freed = 0;
    for (uint32_t cell = 1; hf_monotonic_now_ns() < end_ns; cell = (cell + 1) % LITMUS_CELLS) {
        hf_store_relaxed(&litmus.in_use[cell], 1);
        uint32_t old = hf_exchange_acq_rel(&litmus.current, cell);
        uint64_t stamp = hf_epochs_retire(&epochs);
        while (!hf_epochs_passed(&epochs, stamp))
            hf_cpu_relax();
        hf_store_relaxed(&litmus.in_use[old], 0);
        freed++;
    }
    hf_store_relaxed(&litmus.over, 1);
    pthread_join(reader, NULL);
    cr_expect_eq(hf_load_relaxed(&litmus.seen_free), 0, "%llu of %llu freed cells were seen",
                 (unsigned long long)hf_load_relaxed(&litmus.seen_free), (unsigned long long)freed);
}
