/*
 * The simulation: the engine and the log on a disk that fails in every way that disks do.
 *
 *     sim [--crashes N] [--seed S] [--mode mix|random|exhaustive|damage] [--verbose] [--coverage]
 *
 * Scenarios (scenario.h) with seeds from S on, until there were N crashes: the first is run with
 * seed S, the next with S + 1, and so on; in the mode `mix`, which of them a seed gets is fixed
 * too. So one that failed is run again, alone and with everything that happens told, by the line
 * that is printed.
 *
 * At the end it says what the simulation went through. In a run of some thousand crashes, something
 * that never happened is a failure: then the simulation would prove less than it says.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/temporary.h"
#include "tests/lib/process.h"
#include "tests/sim/clock.h"
#include "tests/sim/origin.h"
#include "tests/sim/scenario.h"
#include "tests/sim/speech.h"

#define DEFAULT_CRASHES   2000u
#define COVERED_CRASHES   1500u /* from here on, everything must have happened */
#define EXHAUSTIVE_STRIDE 5u    /* in a mix, only so many of the changes are died in */
#define PROGRESS_NS       (10 * HF_NS_PER_S)
#define EXIT_WRONG        1
#define EXIT_NOT_COVERED  3

enum mode { MIX, RANDOM, EXHAUSTIVE, DAMAGE };

/* Of jemalloc: what is given back is soon asked for again. */
extern const char *malloc_conf;
const char *malloc_conf = "dirty_decay_ms:-1,muzzy_decay_ms:-1";

static const char *const mode_names[] = {"mix", "random", "exhaustive", "damage"};

static struct program {
    uint64_t crashes, seed;
    enum mode mode;
    bool verbose, print_coverage;
    char directory[HF_DIRECTORY_TEXT_BYTES];
    struct hf_sim_coverage coverage;
    struct hf_sim_setting setting;
    /* What runs now, for a program that dies. */
    enum mode running;
    uint64_t running_seed;
} program;

/* ---- what is said when something is wrong ---- */

static void print_again(FILE *file)
{
    fprintf(file,
            "sim: run it again, alone, with: build/sim --mode %s --seed %" PRIu64
            " --crashes 1 --verbose\n",
            mode_names[program.running], program.running_seed);
}

/* A broken invariant ends the process: what it said, and how to see it again. The signal is raised
 * by the only thread, between two statements of its own, never within a function of the library. */
// NOLINTBEGIN(bugprone-signal-handler,cert-sig30-c)
static void tell_and_die(int number)
{
    FILE *file = hf_speech_real();
    fprintf(file, "sim: ended by signal %d; it said: %s\n", number, hf_speech_text());
    print_again(file);
    hf_directory_remove(program.directory);
    _exit(EXIT_WRONG);
}
// NOLINTEND(bugprone-signal-handler,cert-sig30-c)

/* ---- scenarios ---- */

static const char *run_random(uint64_t seed, char *text, size_t text_bytes)
{
    static struct hf_sim_life life;
    hf_sim_life_begin(&life, &program.setting, seed, &(struct hf_sim_wish){0});
    const char *error = hf_sim_random(&life);
    if (error != NULL)
        snprintf(text, text_bytes, "%s", error);
    hf_sim_life_end(&life);
    return error != NULL ? text : NULL;
}

/* In a mix, most are random: one of the others is worth hundreds of crashes. */
static enum mode mode_of(uint64_t seed)
{
    if (program.mode != MIX)
        return program.mode;
    return seed % 64 == 7 ? EXHAUSTIVE : seed % 64 == 39 ? DAMAGE : RANDOM;
}

/* True: nothing was wrong. */
static bool run_seed(uint64_t seed)
{
    static char text[1000];
    const char *error = NULL;
    program.running = mode_of(seed);
    program.running_seed = seed;
    if (program.verbose)
        printf("== %s, seed %" PRIu64 "\n", mode_names[program.running], seed);
    switch (program.running) {
    case EXHAUSTIVE:
        error = hf_sim_exhaustive(&program.setting, seed,
                                  program.mode == MIX ? EXHAUSTIVE_STRIDE : 1, text, sizeof text);
        break;
    case DAMAGE:
        error = hf_sim_damage(&program.setting, seed, text, sizeof text);
        break;
    default:
        error = run_random(seed, text, sizeof text);
        break;
    }
    if (error == NULL)
        return true;
    fflush(stdout);
    fprintf(hf_speech_real(), "sim: %s (%s, seed %" PRIu64 ")\n", error,
            mode_names[program.running], seed);
    print_again(hf_speech_real());
    return false;
}

/* Where nothing crashes, damaged starts count. */
static uint64_t crash_count(void)
{
    const struct hf_sim_coverage *coverage = &program.coverage;
    return program.mode == DAMAGE ? coverage->harmless + coverage->refused + coverage->unattested
                                  : coverage->crashes;
}

static bool run_all(void)
{
    uint64_t shown_ns = hf_sim_clock_real_ns();
    for (uint64_t seed = program.seed; crash_count() < program.crashes; seed++) {
        if (!run_seed(seed))
            return false;
        if (hf_sim_clock_real_ns() - shown_ns < PROGRESS_NS)
            continue;
        shown_ns = hf_sim_clock_real_ns();
        printf("sim: %" PRIu64 " of %" PRIu64 " crashes\n", crash_count(), program.crashes);
        fflush(stdout);
    }
    return true;
}

/* ---- the program ---- */

static _Noreturn void refuse_options(void)
{
    fputs("usage: sim [--crashes N] [--seed S] [--mode mix|random|exhaustive|damage]\n"
          "           [--verbose] [--coverage]\n",
          hf_speech_real());
    exit(2);
}

static enum mode read_mode(const char *name)
{
    for (unsigned i = 0; i < sizeof mode_names / sizeof *mode_names; i++)
        if (strcmp(name, mode_names[i]) == 0)
            return (enum mode)i;
    refuse_options();
}

static void read_options(int argc, char **argv)
{
    program.crashes = DEFAULT_CRASHES;
    program.seed = hf_sim_clock_real_ns() / HF_NS_PER_MS % 1000000000;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--verbose") == 0)
            program.verbose = true;
        else if (strcmp(name, "--coverage") == 0)
            program.print_coverage = true;
        else if (i + 1 == argc)
            refuse_options();
        else if (strcmp(name, "--crashes") == 0)
            program.crashes = strtoull(argv[++i], NULL, 10);
        else if (strcmp(name, "--seed") == 0)
            program.seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(name, "--mode") == 0)
            program.mode = read_mode(argv[++i]);
        else
            refuse_options();
    }
}

/* Where no disk is waited for, if there is such a place: nothing but a lock and a link is there. */
static void make_directory(void)
{
    if (hf_temporary_directory(program.directory, sizeof program.directory, "/dev/shm") != 0 &&
        hf_directory_make(program.directory) != 0) {
        fputs("sim: cannot make a directory\n", hf_speech_real());
        exit(2);
    }
}

static int conclude(bool right, uint64_t started_ns)
{
    const struct hf_sim_coverage *coverage = &program.coverage;
    if (!right)
        return EXIT_WRONG;
    if (program.print_coverage)
        hf_sim_coverage_print(coverage, stdout);
    bool covers = program.mode == MIX && coverage->crashes >= COVERED_CRASHES;
    if (covers && hf_sim_coverage_missing(coverage, hf_speech_real()) != 0)
        return EXIT_NOT_COVERED;
    if (hf_sim_pages_held() != 0) {
        fputs("sim: the simulated disk has lost pages\n", hf_speech_real());
        return EXIT_WRONG;
    }
    printf("sim: ok: %" PRIu64 " crashes (%" PRIu64 " in recovery), %" PRIu64 " starts, %" PRIu64
           " torn tails, %" PRIu64 " fail-stops, %" PRIu64 " damaged: %" PRIu64
           " harmless, %" PRIu64 " refused, %" PRIu64 " unattested; %" PRIu64
           " operations, %.1f s (seed %" PRIu64 ")\n",
           coverage->crashes, coverage->crashes_in_recovery, coverage->starts, coverage->torn_tails,
           coverage->fail_stops, coverage->harmless + coverage->refused + coverage->unattested,
           coverage->harmless, coverage->refused, coverage->unattested, coverage->steps,
           (double)(hf_sim_clock_real_ns() - started_ns) / HF_NS_PER_S, program.seed);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t started_ns = hf_sim_clock_real_ns();
    read_options(argc, argv);
    /* Of what is mapped, little is touched: to zero a huge page takes longer than a start. */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    make_directory();
    hf_speech_begin();
    signal(SIGABRT, tell_and_die);
    signal(SIGSEGV, tell_and_die);
    program.setting = (struct hf_sim_setting){
        .directory = program.directory,
        .coverage = &program.coverage,
        .out = program.verbose ? stdout : NULL,
    };
    hf_sim_origins_make(program.directory);
    bool right = run_all();
    hf_sim_origins_free();
    int status = conclude(right, started_ns);
    hf_directory_remove(program.directory);
    return status;
}
