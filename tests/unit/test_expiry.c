/* What measures expiry: that it counts what it should on a real server, and says what is wrong with
 * its options. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/json.h"
#include "tests/lib/process.h"

#define MAX_ARGUMENTS 24

static int run_expiry(const char *address, const char *const arguments[], char *output,
                      size_t output_bytes)
{
    const char *argv[MAX_ARGUMENTS + 4];
    char path[HF_PROGRAM_TEXT_BYTES];
    size_t count = 0;
    hf_program_path("holdfast-expiry", path);
    argv[count++] = path;
    argv[count++] = "--server";
    argv[count++] = address;
    for (size_t i = 0; i < MAX_ARGUMENTS && arguments[i]; i++)
        argv[count++] = arguments[i];
    argv[count] = NULL;
    return hf_process_run(argv, output, output_bytes);
}

static void expect_ordered(const char *json, const char *what)
{
    static const char *const parts[] = {"p50", "p99", "p999", "max"};
    double before = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_%s_us", what, parts[i]);
        cr_expect(hf_json_number(json, name) >= before, "%s: %s", name, json);
        before = hf_json_number(json, name);
    }
}

static void expect_nothing_wrong(const char *json)
{
    static const char *const faults[] = {"early", "twice", "late", "missing", "disorder", "errors"};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        cr_expect_eq(hf_json_number(json, faults[i]), 0, "%s: %s", faults[i], json);
    cr_expect(strstr(json, "\"units_wrong\":false"), "%s", json);
}

/* One run with `--json` on a server of its own. */
static void measure(const char *const arguments[], char *json, size_t json_bytes)
{
    struct hf_daemon server = {0};
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    cr_assert_eq(hf_daemon_start_in(&server, directory, NULL), 0, "%s", server.error);
    int status = run_expiry(server.address, arguments, json, json_bytes);
    cr_expect_eq(status, 0, "status %d: %s", status, json);
    cr_expect_eq(hf_daemon_stop(&server), 0);
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
    expect_nothing_wrong(json);
    expect_ordered(json, "noticed");
    expect_ordered(json, "committed");
    expect_ordered(json, "decided");
    expect_ordered(json, "answered");
    expect_ordered(json, "machine");
}

Test(expiry, every_hold_of_an_idle_server_ends_once, .timeout = 120)
{
    char json[4096];
    const char *const arguments[] = {"--holds",     "3000", "--alone",    "60", "--raced", "40",
                                     "--confirmed", "10",   "--extended", "20", "--from",  "2s",
                                     "--to",        "3s",   "--json",     NULL};
    measure(arguments, json, sizeof json);
    /* Shares of the 2900 that are neither alone nor raced, and six standard deviations about them. */
    double before = hf_json_number(json, "confirmed") - hf_json_number(json, "raced_confirmed");
    cr_expect(before > 193 && before < 387, "%s", json);
    cr_expect(hf_json_number(json, "extended") > 450 && hf_json_number(json, "extended") < 710,
              "%s", json);
    cr_expect_eq(hf_json_number(json, "expired") + hf_json_number(json, "confirmed"), 3000, "%s",
                 json);
    cr_expect_eq(hf_json_number(json, "raced_confirmed") + hf_json_number(json, "raced_lapsed"), 40,
                 "%s", json);
    cr_expect_eq(hf_json_number(json, "granted"), 60, "%s", json);
    cr_expect(hf_json_number(json, "deadlines_seconds") > 0.9 &&
                  hf_json_number(json, "deadlines_seconds") < 1.5,
              "%s", json);
    /* Somebody asked for each unit before it was free. */
    cr_expect_geq(hf_json_number(json, "refused"), 60, "%s", json);
}

Test(expiry, every_hold_of_a_busy_server_ends_once, .timeout = 120)
{
    char json[4096];
    const char *const arguments[] = {
        "--holds", "1000",   "--alone", "20", "--raced",       "20", "--from", "2s", "--to",
        "3s",      "--load", "--depth", "8",  "--connections", "4",  "--json", NULL};
    measure(arguments, json, sizeof json);
    cr_expect_gt(hf_json_number(json, "load_per_second"), 0, "%s", json);
    cr_expect_eq(hf_json_number(json, "expired") + hf_json_number(json, "confirmed"), 1000, "%s",
                 json);
}

Test(expiry, all_holds_lapse_at_once, .timeout = 120)
{
    char json[4096];
    const char *const arguments[] = {"--holds", "5000",   "--alone", "10",         "--raced",
                                     "0",       "--from", "2s",      "--extended", "0",
                                     "--to",    "2s",     "--json",  NULL};
    measure(arguments, json, sizeof json);
    /* The server stamps deadlines when it executes a request; that is how far they are apart. */
    cr_expect_lt(hf_json_number(json, "deadlines_seconds"), 1.5, "%s", json);
    cr_expect_eq(hf_json_number(json, "granted"), 10, "%s", json);
    cr_expect_geq(hf_json_number(json, "tail_noticed_us"), 0, "%s", json);
}

Test(expiry, a_server_that_is_not_there_is_said_so_in_one_line_with_status_3)
{
    char output[4096];
    const char *const arguments[] = {NULL};
    cr_expect_eq(run_expiry("127.0.0.1:1", arguments, output, sizeof output), 3, "%s", output);
    cr_expect(strstr(output, "cannot reach 127.0.0.1:1"), "%s", output);
    cr_expect_eq(strchr(output, '\n'), output + strlen(output) - 1, "%s", output);
}

Test(expiry, bad_usage_is_status_2_and_names_what_is_wrong)
{
    static const char *const wrong[][2] = {
        {"--holds", "0"},   {"--alone", "1000001"}, {"--confirmed", "96"},
        {"--from", "soon"}, {"--from", "41s"},      {"--to", "101d"},
        {"--from", "10ms"}, {"--inventories", "0"}, {"--connections", "no"},
    };
    char output[4096];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *const arguments[] = {wrong[i][0], wrong[i][1], NULL};
        cr_expect_eq(run_expiry("127.0.0.1:1", arguments, output, sizeof output), 2, "%s %s: %s",
                     wrong[i][0], wrong[i][1], output);
        cr_expect(strstr(output, wrong[i][0]), "%s %s: %s", wrong[i][0], wrong[i][1], output);
    }
}
