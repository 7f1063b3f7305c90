/* The load generator: its histogram, and what it says of a real server and of bad usage. What a load is
 * made of has tests of its own in test_bench_work.c, what it does to servers in test_bench_load.c. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/histogram.h"
#include "tests/lib/json.h"
#include "tests/lib/process.h"

static struct hf_histogram histogram;

static void clear(void)
{
    memset(&histogram, 0, sizeof histogram);
}

Test(histogram, every_latency_falls_into_a_bucket_that_ends_within_one_128th_of_it)
{
    for (unsigned shift = 0; shift < HF_HISTOGRAM_MAX_BITS; shift++) {
        for (uint64_t part = 0; part < 1000; part++) {
            uint64_t latency_ns = (1ull << shift) + (((1ull << shift) * part) / 1000);
            unsigned bucket = hf_histogram_bucket(latency_ns);
            uint64_t end_ns = hf_histogram_bucket_max_ns(bucket);
            cr_assert(bucket < HF_HISTOGRAM_BUCKETS);
            cr_assert(end_ns >= latency_ns && end_ns - latency_ns <= latency_ns / 128,
                      "%llu ns ends at %llu ns", (unsigned long long)latency_ns,
                      (unsigned long long)end_ns);
            cr_assert_eq(hf_histogram_bucket(end_ns), bucket);
            cr_assert_eq(hf_histogram_bucket(end_ns + 1),
                         bucket + (bucket + 1 < HF_HISTOGRAM_BUCKETS));
        }
    }
}

Test(histogram, a_latency_beyond_the_range_is_in_the_last_bucket_and_the_maximum_exact)
{
    clear();
    hf_histogram_add(&histogram, UINT64_MAX);
    cr_assert_eq(histogram.counts[HF_HISTOGRAM_BUCKETS - 1], 1);
    cr_assert_eq(histogram.max_ns, UINT64_MAX);
}

Test(histogram, percentiles_of_the_numbers_from_1_to_1000_are_those_numbers)
{
    clear();
    for (uint64_t latency_ns = 1; latency_ns <= 1000; latency_ns++)
        hf_histogram_add(&histogram, latency_ns);
    cr_assert_eq(hf_histogram_percentile_ns(&histogram, 100), 100); /* exact below 256 ns */
    cr_assert_eq(hf_histogram_percentile_ns(&histogram, 500), 501); /* buckets of 2 ns */
    cr_assert_eq(hf_histogram_percentile_ns(&histogram, 990), 991); /* buckets of 4 ns */
    cr_assert_eq(hf_histogram_percentile_ns(&histogram, 1000), 1000);
}

Test(histogram, of_nothing_every_percentile_is_zero)
{
    clear();
    cr_assert_eq(hf_histogram_percentile_ns(&histogram, 500), 0);
}

Test(histogram, merging_adds_counts_and_keeps_the_larger_maximum)
{
    static struct hf_histogram other;
    clear();
    hf_histogram_add(&histogram, 10);
    hf_histogram_add(&other, 20);
    hf_histogram_add(&other, 20);
    hf_histogram_merge(&histogram, &other);
    cr_assert_eq(hf_histogram_percentile_ns(&histogram, 333), 10);
    cr_assert_eq(hf_histogram_percentile_ns(&histogram, 334), 20);
    cr_assert_eq(histogram.max_ns, 20);
}

Test(histogram, the_mean_is_exact_and_rare_latencies_have_percentiles_of_their_own)
{
    clear();
    cr_expect_eq(hf_histogram_mean_ns(&histogram), 0);
    for (int i = 0; i < 9998; i++)
        hf_histogram_add(&histogram, 10);
    hf_histogram_add(&histogram, 1000);
    hf_histogram_add(&histogram, 99020);
    cr_expect_eq(hf_histogram_count(&histogram), 10000);
    cr_expect_eq(hf_histogram_mean_ns(&histogram), 20);
    cr_expect_eq(hf_histogram_quantile_ns(&histogram, 999800), 10);
    cr_expect_eq(hf_histogram_quantile_ns(&histogram, 999900), 1003); /* buckets of 4 ns */
    cr_expect_eq(hf_histogram_quantile_ns(&histogram, 999901), 99020);
}

/* Of two halves, merged, everything is as of one that got all. */
Test(histogram, merging_loses_nothing)
{
    static struct hf_histogram whole, half;
    clear();
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t latency_ns = i * i * i;
        hf_histogram_add(&whole, latency_ns);
        hf_histogram_add(i % 3 == 0 ? &half : &histogram, latency_ns);
    }
    hf_histogram_merge(&histogram, &half);
    cr_expect_arr_eq(&histogram, &whole, sizeof whole);
}

Test(histogram, is_written_a_line_a_bucket_that_is_not_empty)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    clear();
    hf_histogram_add(&histogram, 5);
    hf_histogram_add(&histogram, 5);
    hf_histogram_add(&histogram, 1001);
    hf_histogram_write(&histogram, file, "a,b");
    fclose(file);
    cr_expect_str_eq(text, "a,b,5,2\na,b,1003,1\n");
    free(text);
}

/* Runs the bench with these arguments; returns its exit status. */
static int run_bench(const char *const arguments[], char *output, size_t output_bytes)
{
    const char *argv[32];
    char path[HF_PROGRAM_TEXT_BYTES];
    size_t count = 0;
    hf_program_path("holdfast-bench", path);
    argv[count++] = path;
    for (size_t i = 0; arguments[i] && count < 31; i++)
        argv[count++] = arguments[i];
    argv[count] = NULL;
    return hf_process_run(argv, output, output_bytes);
}

/* True if the object begins with these fields in this order. */
static bool begins_with(const char *json, const char *const names[], size_t count)
{
    const char *at = json;
    for (size_t i = 0; i < count; i++) {
        char mark[64];
        int length = snprintf(mark, sizeof mark, "%c\"%s\":", i == 0 ? '{' : ',', names[i]);
        if (strncmp(at, mark, (size_t)length) != 0)
            return false;
        at += length;
        at += strcspn(at, ",}");
    }
    return true;
}

/* One short load; returns what it printed. */
static const char *load(const char *address, const char *op, const char *threads)
{
    static char output[4096];
    const char *const arguments[] = {
        "--server",  address, "--op",          op,    "--connections", "4",
        "--depth",   "8",     "--inventories", "3",   "--threads",     threads,
        "--seconds", "1",     "--warmup",      "0.1", "--json",        NULL};
    int status = run_bench(arguments, output, sizeof output);
    cr_assert_eq(status, 0, "%s: status %d: %s", op, status, output);
    cr_assert_gt(hf_json_number(output, "per_second"), 0, "%s", output);
    cr_assert_eq(hf_json_number(output, "errors"), 0, "%s", output);
    cr_assert_gt(hf_json_number(output, "p50_us"), 0, "%s", output);
    cr_assert(hf_json_number(output, "p50_us") <= hf_json_number(output, "p99_us") &&
                  hf_json_number(output, "p99_us") <= hf_json_number(output, "p999_us") &&
                  hf_json_number(output, "p999_us") <= hf_json_number(output, "max_us"),
              "%s", output);
    return output;
}

Test(bench, every_load_on_a_real_server_counts_what_it_should, .timeout = 120)
{
    struct hf_daemon server = {0};
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    cr_assert_eq(hf_daemon_start_in(&server, directory, NULL), 0, "%s", server.error);

    const char *output = load(server.address, "reserve", "1");
    static const char *const names[] = {"op",      "connections", "depth",  "per_second",
                                        "granted", "refused",     "errors", "p50_us",
                                        "p99_us",  "p999_us"};
    cr_expect(begins_with(output, names, sizeof names / sizeof names[0]), "%s", output);
    cr_expect(strstr(output, "\"op\":\"reserve\""), "%s", output);
    cr_expect_eq(hf_json_number(output, "connections"), 4);
    cr_expect_eq(hf_json_number(output, "depth"), 8);
    cr_expect(hf_json_number(output, "granted") > 0 && hf_json_number(output, "refused") == 0, "%s",
              output);

    output = load(server.address, "reserve", "3");
    cr_expect(hf_json_number(output, "granted") > 0, "%s", output);
    output = load(server.address, "refuse", "1");
    cr_expect(hf_json_number(output, "refused") > 0 && hf_json_number(output, "granted") == 0, "%s",
              output);
    output = load(server.address, "cancel", "2");
    cr_expect(hf_json_number(output, "cancelled") > 0 && hf_json_number(output, "granted") > 0,
              "%s", output);
    output = load(server.address, "get", "1");
    cr_expect(hf_json_number(output, "read") > 0, "%s", output);
    output = load(server.address, "ping", "1");
    cr_expect(hf_json_number(output, "read") > 0, "%s", output);

    cr_expect_eq(hf_daemon_stop(&server), 0);
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
}

Test(bench, a_small_capacity_sells_out_during_the_load, .timeout = 60)
{
    struct hf_daemon server = {0};
    char directory[HF_DIRECTORY_TEXT_BYTES], output[4096];
    cr_assert_eq(hf_directory_make(directory), 0);
    cr_assert_eq(hf_daemon_start_in(&server, directory, NULL), 0, "%s", server.error);
    const char *const arguments[] = {
        "--server",  server.address, "--capacity",    "50", "--warmup", "0",
        "--seconds", "0.5",          "--inventories", "2",  "--json",   NULL};
    cr_expect_eq(run_bench(arguments, output, sizeof output), 0, "%s", output);
    cr_expect_eq(hf_json_number(output, "granted"), 100, "%s", output);
    cr_expect_gt(hf_json_number(output, "refused"), 0, "%s", output);
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
}

Test(bench, a_full_server_ends_the_run_and_names_the_setting, .timeout = 60)
{
    struct hf_daemon server = {0};
    char directory[HF_DIRECTORY_TEXT_BYTES], output[4096];
    const char *const extra[] = {"--max-reservations", "1000", NULL};
    cr_assert_eq(hf_directory_make(directory), 0);
    cr_assert_eq(hf_daemon_start_in(&server, directory, extra), 0, "%s", server.error);
    const char *const arguments[] = {"--server", server.address, "--seconds", "30", NULL};
    cr_expect_eq(run_bench(arguments, output, sizeof output), 1, "%s", output);
    cr_expect(strstr(output, "--max-reservations"), "%s", output);
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
}

Test(bench, a_server_that_is_not_there_is_said_so_in_one_line_with_status_3)
{
    char output[4096];
    const char *const arguments[] = {"--server", "127.0.0.1:1", NULL};
    cr_expect_eq(run_bench(arguments, output, sizeof output), 3, "%s", output);
    cr_expect(strstr(output, "cannot reach 127.0.0.1:1"), "%s", output);
    cr_expect_eq(strchr(output, '\n'), output + strlen(output) - 1, "%s", output);
}

Test(bench, bad_usage_is_status_2_and_names_what_is_wrong)
{
    static const char *const wrong[][2] = {
        {"--depth", "0"},
        {"--connections", "many"},
        {"--seconds", "-1"},
        {"--op", "buy"},
        {"--server", "nobody"},
        {"--threads", "51"},
        {"--capacity", "536870912"},
        {"--connections", "1,,2"},
        {"--connections", "1,0"},
        {"--depth", "1,2,"},
        {"--mix", "reserve:0"},
        {"--mix", ""},
        {"--spread", "zipf:0"},
        {"--rate", "0"},
        {"--rate", "-5"},
        {"--rate", "1e9"},
        {"--rate", "nan"},
        {"--arrivals", "often"},
        {"--batch", "65"},
        {"--ttl", "0s"},
        {"--lapse", "101d"},
        {"--idle", "-1"},
        {"--repeat", "0"},
        {"--durability", "paper"},
        {"--job", "grant,sleep"},
        {"--operations", "0"},
    };
    char output[4096];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *const arguments[] = {wrong[i][0], wrong[i][1], NULL};
        cr_expect_eq(run_bench(arguments, output, sizeof output), 2, "%s %s: %s", wrong[i][0],
                     wrong[i][1], output);
        cr_expect(strstr(output, wrong[i][0]), "%s", output);
    }
}
