/* `make bench`: that what it measures comes out, in a run that is too short to be worth anything; that of two
 * files of figures it tells which became too much worse, and nothing of files that are none. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/process.h"

#define OUTPUT_BYTES 16384
#define NAMES        "name,value,unit,kind\n"

static char output[OUTPUT_BYTES];
static char directory[HF_DIRECTORY_TEXT_BYTES];

static void make_directory(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
}

static void remove_directory(void)
{
    hf_directory_remove(directory);
}

TestSuite(figures, .init = make_directory, .fini = remove_directory);

static int run(const char *const arguments[])
{
    const char *argv[16] = {"bench/run"};
    for (size_t i = 0; i < 14 && arguments[i]; i++)
        argv[i + 1] = arguments[i];
    return hf_process_run(argv, output, sizeof output);
}

/* The path of that file in the test's directory; the next call but one uses the same memory. */
static const char *path_of(const char *name)
{
    static char paths[2][HF_DIRECTORY_TEXT_BYTES + 32];
    static unsigned next;
    char *path = paths[next++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    cr_assert(file);
    fputs(text, file);
    fclose(file);
}

static int compare(const char *now, const char *kept)
{
    write_file("now", now);
    write_file("kept", kept);
    const char *const arguments[] = {"--compare", path_of("now"), path_of("kept"), NULL};
    return run(arguments);
}

/* A file of one figure. */
static const char *one(const char *name, const char *value, const char *kind)
{
    static char texts[2][256];
    static unsigned next;
    char *text = texts[next++ % 2];
    snprintf(text, sizeof texts[0], NAMES "%s,%s,1,%s\n", name, value, kind);
    return text;
}

/* ---- comparing ---- */

Test(figures, more_instructions_by_3_percent_or_bytes_by_5_fail_and_are_named)
{
    static const struct {
        const char *kind, *now, *kept;
        int status;
    } cases[] = {
        {"instructions", "1000.0", "1000.0", 0},
        {"instructions", "1030.0", "1000.0", 0},
        {"instructions", "1031.0", "1000.0", 1},
        {"instructions", "500.0", "1000.0", 0},
        {"bytes", "1050.0", "1000.0", 0},
        {"bytes", "1051.0", "1000.0", 1},
        {"bytes", "9.9", "1000.0", 0},
        {"bytes", "1000.0", "9.9", 1},
        {"ratio", "0.100", "0.900", 0},
        {"ratio", "0.900", "0.100", 0},
        {"time", "900.0", "1.0", 0},
        {"time", "1.0", "900.0", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = compare(one("it", cases[i].now, cases[i].kind),
                             one("it", cases[i].kept, cases[i].kind));
        cr_expect_eq(status, cases[i].status, "%zu: %s", i, output);
        cr_expect_eq(strstr(output, "REGRESSION: it is ") != NULL, cases[i].status == 1, "%zu: %s",
                     i, output);
    }
}

Test(figures, the_change_of_each_is_told_and_which_became_better)
{
    static const char now[] = NAMES "a,110.0,1,instructions\nb,90.0,B,bytes\nc,1.500,1,ratio\n";
    static const char kept[] = NAMES "c,1.000,1,ratio\nb,100.0,B,bytes\na,100.0,1,instructions\n";
    cr_expect_eq(compare(now, kept), 1, "%s", output);
    cr_expect(strstr(output, "+10.0%"), "%s", output);
    cr_expect(strstr(output, "-10.0%"), "%s", output);
    cr_expect(strstr(output, "+50.0%"), "%s", output);
    cr_expect(strstr(output, "1 of the instructions and bytes became better"), "%s", output);
}

Test(figures, what_is_new_and_what_is_missing_is_told_and_fails_nothing)
{
    int status = compare(one("young", "5.0", "bytes"), one("old", "3.0", "bytes"));
    cr_expect_eq(status, 0, "%s", output);
    cr_expect(strstr(output, "not measured now: old, kept 3.0"), "%s", output);
    cr_expect(strstr(output, " new\n"), "%s", output);
    cr_expect_eq(compare(one("young", "5.0", "bytes"), ""), 0, "%s", output);
    cr_expect(strstr(output, "nothing was kept"), "%s", output);
}

Test(figures, a_file_that_holds_no_figures_is_found_out)
{
    static const char *const wrong[] = {
        "name,value\nit,1\n",
        "name,value,unit,taste\nit,1.0,1,bytes\n",
        "it,1.0,1,bytes\nthat,1.0,1,bytes\n",
        NAMES "it,much,1,bytes\n",
        NAMES "it,1.0,1\n",
        NAMES "it,1.0,1,bytes,more\n",
        NAMES "it,1.0,1,feeling\n",
        NAMES ",1.0,1,bytes\n",
        NAMES "it,1.0,1,bytes\nit,2.0,1,bytes\n",
        NAMES "it,1e9999,1,bytes\n",
        NAMES "it,nan,1,bytes\n",
    };
    const char *right = NAMES "it,1.0,1,bytes\n";
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_eq(compare(wrong[i], right), 2, "%zu: %s", i, output);
        cr_expect_eq(compare(right, wrong[i]), 2, "%zu: %s", i, output);
    }
    cr_expect_eq(compare("", right), 2, "%s", output);
    cr_expect_eq(compare(NAMES, right), 2, "%s", output);
    const char *const absent[] = {"--compare", path_of("now"), path_of("nothing"), NULL};
    cr_expect_eq(run(absent), 2, "%s", output);
}

Test(figures, those_that_are_kept_can_be_compared_with_and_have_what_must_not_become_worse)
{
    static const char *const names[] = {
        "instructions_grant",        "instructions_grant-burst", "instructions_refuse",
        "instructions_refuse-burst", "instructions_hold",        "instructions_confirm",
        "instructions_cancel",       "instructions_lookup",      "instructions_read",
        "instructions_expire",       "instructions_view",        "instructions_replay",
        "bytes_reservation",         "bytes_inventory",          "bytes_connection",
    };
    const char *const arguments[] = {"--compare", "bench/kept.csv", "bench/kept.csv", NULL};
    cr_expect_eq(run(arguments), 0, "%s", output);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char mark[64];
        snprintf(mark, sizeof mark, "  %s ", names[i]);
        cr_expect(strstr(output, mark), "%s: %s", names[i], output);
    }
}

Test(figures, bad_usage_is_told_and_ends_with_status_2)
{
    static const char *const wrong[][4] = {
        {NULL},
        {"/nowhere", NULL},
        {"/tmp", "--fast", NULL},
        {"/tmp", "--csv", NULL},
        {"/tmp", "--quick", "--keep", NULL},
        {"--compare", "bench/kept.csv", NULL},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_eq(run(wrong[i]), 2, "%zu: %s", i, output);
        cr_expect(strstr(output, "usage: "), "%zu: %s", i, output);
    }
}

/* ---- measuring ---- */

/* All that is measured without callgrind, in order, each with its kind. */
static const char *const measured[][2] = {
    {"bytes_reservation", "B,bytes"},
    {"bytes_inventory", "B,bytes"},
    {"bytes_connection", "B,bytes"},
    {"grants_50x64_to_floor", "1,ratio"},
    {"grants_50x1_to_floor", "1,ratio"},
    {"p50_1x1_to_floor", "1,ratio"},
    {"refusals_50x64_to_floor", "1,ratio"},
    {"hot_to_spread_1000", "1,ratio"},
    {"connections_1000_to_50", "1,ratio"},
    {"beside_idle_10000", "1,ratio"},
    {"beside_storm_200000", "1,ratio"},
    {"storm_200000_to_elsewhere", "1,ratio"},
    {"workers_2_to_1_hot", "1,ratio"},
    {"workers_2_to_1_spread_1000", "1,ratio"},
    {"grants_50x64", "1/s,time"},
    {"grants_50x1", "1/s,time"},
    {"p50_1x1", "us,time"},
    {"refusals_50x64", "1/s,time"},
    {"start_empty", "ms,time"},
    {"cpu_grant", "ns,time"},
    {"cpu_grant-burst", "ns,time"},
    {"cpu_refuse", "ns,time"},
    {"cpu_refuse-burst", "ns,time"},
    {"cpu_hold", "ns,time"},
    {"cpu_read", "ns,time"},
    {"cpu_view", "ns,time"},
    {"open_loop_25_p50", "us,time"},
    {"open_loop_25_p99", "us,time"},
    {"open_loop_25_p999", "us,time"},
    {"open_loop_25_max", "us,time"},
    {"open_loop_50_p50", "us,time"},
    {"open_loop_50_p99", "us,time"},
    {"open_loop_50_p999", "us,time"},
    {"open_loop_50_max", "us,time"},
    {"open_loop_75_p50", "us,time"},
    {"open_loop_75_p99", "us,time"},
    {"open_loop_75_p999", "us,time"},
    {"open_loop_75_max", "us,time"},
    {"open_loop_90_p50", "us,time"},
    {"open_loop_90_p99", "us,time"},
    {"open_loop_90_p999", "us,time"},
    {"open_loop_90_max", "us,time"},
};

static void expect_all_figures(const char *path)
{
    char line[256], name[64], rest[32];
    double value;
    FILE *file = fopen(path, "r");
    cr_assert(file, "%s", output);
    cr_assert(fgets(line, sizeof line, file));
    cr_expect_str_eq(line, NAMES);
    for (size_t i = 0; i < sizeof measured / sizeof measured[0]; i++) {
        cr_assert(fgets(line, sizeof line, file), "%s is missing", measured[i][0]);
        cr_assert_eq(sscanf(line, "%63[^,],%lf,%31s", name, &value, rest), 3, "%s", line);
        cr_expect_str_eq(name, measured[i][0]);
        cr_expect_str_eq(rest, measured[i][1], "%s", line);
        cr_expect(value > 0 || strncmp(name, "bytes_", 6) == 0, "%s", line);
    }
    cr_expect_null(fgets(line, sizeof line, file), "one too many: %s", line);
    fclose(file);
}

/* Everything on real servers, beside a made-up file that knows of one byte a reservation. */
Test(figures, a_quick_run_measures_all_and_fails_beside_a_file_with_fewer_bytes, .timeout = 280)
{
    char build[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("", build);
    write_file("fewer", NAMES "bytes_reservation,1.0,B,bytes\n"
                              "instructions_grant,1.0,1,instructions\n");
    setenv("TMPDIR", directory, 1);
    const char *const arguments[] = {build,    "--quick",        "--csv", path_of("figures"),
                                     "--kept", path_of("fewer"), NULL};
    cr_expect_eq(run(arguments), 1, "%s", output);
    cr_expect(strstr(output, "REGRESSION: bytes_reservation is "), "%s", output);
    cr_expect(strstr(output, "not measured now: instructions_grant"), "%s", output);
    expect_all_figures(path_of("figures"));
    cr_expect_eq(hf_directory_entries(directory), 2, "more than two files are left");
}

/* The directory has no programs in it. */
Test(figures, what_cannot_be_measured_ends_the_run_with_status_3)
{
    const char *const arguments[] = {directory, "--quick", NULL};
    cr_expect_eq(run(arguments), 3, "%s", output);
}
