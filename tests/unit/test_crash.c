/*
 * What is shown with real processes and real files that are killed and damaged: the programs of
 * tests/crash and tests/flip, for a short time. `make crash` and `make flip` run them for longer.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/process.h"

#define OUTPUT_BYTES 65536

static char output[OUTPUT_BYTES];

/* Runs one of our programs with these options, and `--programs`. It must end well. */
static void run(const char *name, const char *first, const char *second, const char *third,
                const char *fourth)
{
    char program[HF_PROGRAM_TEXT_BYTES], programs[HF_PROGRAM_TEXT_BYTES];
    hf_program_path(name, program);
    hf_program_path(".", programs);
    const char *const argv[] = {program, "--programs", programs, first,
                                second,  third,        fourth,   NULL};
    int status = hf_process_run(argv, output, sizeof output);
    cr_assert_eq(status, 0, "status %d: %s", status, output);
}

/* A figure of its last words: "name=17". */
static unsigned long long figure(const char *name)
{
    const char *found = strstr(output, name);
    cr_assert_not_null(found, "%s in %s", name, output);
    return strtoull(found + strlen(name), NULL, 10);
}

/* Snapshots, rotation, release and damage are part of it. */
Test(crash, twenty_five_crashes_lose_nothing, .timeout = 600)
{
    run("crash", "--cycles", "25", "--snapshot-damage", "5");
    cr_expect_eq(figure("crash: cycles="), 25);
    cr_expect_eq(figure(" lost="), 0);
    cr_expect_not_null(strstr(output, " ok\n"), "%s", output);
    cr_expect_geq(figure("files: snapshots="), 5, "%s", output);
    cr_expect_geq(figure(" from_snapshot="), 5, "%s", output);
    cr_expect_geq(figure(" damaged="), 1, "%s", output);
    cr_expect_geq(figure(" released="), 3, "%s", output);
    cr_expect_geq(figure(" recycled="), 1, "%s", output);
    cr_expect_geq(figure(" aimed_kills="), 1, "%s", output);
}

Test(crash, recoveries_that_are_killed_lose_nothing, .timeout = 300)
{
    run("recoveries", "--kills", "10", "--reservations", "150000");
    cr_expect_geq(figure("recoveries: killed="), 1);
}

/* One byte of 211, in every view of the log. */
Test(crash, no_flipped_byte_leads_to_another_state_without_a_word, .timeout = 300)
{
    run("flip", "--every", "211", NULL, NULL);
    cr_expect_geq(figure("flip: flips="), 5000);
    cr_expect_geq(figure(" refused="), 1000);
    cr_expect_geq(figure(" fallback="), 50);
    cr_expect_geq(figure(" cut="), 100);
    cr_expect_geq(figure(" on_file="), 20);
    cr_expect_eq(figure(" wrong="), 0);
}
