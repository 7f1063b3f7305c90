/* The load generator on servers: real ones, with every kind of work, in closed and open loops; and ones
 * that lie. And the engine in its own process. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/histogram.h"
#include "holdfast/client.h"
#include "tests/lib/json.h"
#include "tests/lib/peer.h"
#include "tests/lib/process.h"

#define MAX_ARGUMENTS 40

static struct hf_daemon server;
static char directory[HF_DIRECTORY_TEXT_BYTES];
static char output[65536];

static void start(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    cr_assert_eq(hf_daemon_start_in(&server, directory, NULL), 0, "%s", server.error);
}

static void stop(void)
{
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
}

TestSuite(bench_load, .init = start, .fini = stop, .timeout = 120);
TestSuite(bench_alone, .timeout = 120);

/* Runs the bench on a server (NULL: none) with these arguments; returns its exit status. */
static int run(const char *address, const char *const arguments[])
{
    const char *argv[MAX_ARGUMENTS + 4];
    char path[HF_PROGRAM_TEXT_BYTES];
    size_t count = 0;
    hf_program_path("holdfast-bench", path);
    argv[count++] = path;
    if (address != NULL) {
        argv[count++] = "--server";
        argv[count++] = address;
    }
    for (size_t i = 0; i < MAX_ARGUMENTS && arguments[i]; i++)
        argv[count++] = arguments[i];
    argv[count] = NULL;
    return hf_process_run(argv, output, sizeof output);
}

#define RUN(address, ...) run(address, (const char *const[]){__VA_ARGS__, NULL})
#define SHORT             "--seconds", "0.3", "--warmup", "0.1", "--connections", "4"

/* The one JSON object that was printed; the caller releases it. */
static json_t *parsed(void)
{
    json_error_t error;
    json_t *root = json_loads(output, 0, &error);
    cr_assert(root, "%s: %s", error.text, output);
    return root;
}

static double number(const json_t *root, const char *name)
{
    const json_t *value = json_object_get(root, name);
    cr_assert(json_is_number(value), "%s: %s", name, output);
    return json_number_value(value);
}

/* Each kind alone: what it should get is counted, and nothing else. */
Test(bench_load, every_kind_counts_what_it_should)
{
    static const char *const kinds[][4] = {
        {"reserve", "granted"},
        {"refuse", "refused"},
        {"cancel", "granted", "cancelled"},
        {"hold", "held"},
        {"hold+confirm", "held", "confirmed"},
        {"hold+release", "held", "released"},
        {"expire", "held"},
        {"batch", "batched"},
        {"read", "read"},
        {"ping", "read"},
    };
    static const char *const counts[] = {"granted",   "refused",  "cancelled", "read",   "held",
                                         "confirmed", "released", "lapsed",    "batched"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        int status = RUN(server.address, "--op", kinds[i][0], "--inventories", "3", "--lapse",
                         "20ms", "--json", SHORT);
        cr_assert_eq(status, 0, "%s: %s", kinds[i][0], output);
        json_t *root = parsed();
        cr_expect_eq(number(root, "errors"), 0);
        for (size_t j = 0; j < sizeof counts / sizeof counts[0]; j++) {
            bool wanted = (kinds[i][1] && strcmp(counts[j], kinds[i][1]) == 0) ||
                          (kinds[i][2] && strcmp(counts[j], kinds[i][2]) == 0);
            cr_expect_eq(number(root, counts[j]) > 0, wanted, "%s, %s: %s", kinds[i][0], counts[j],
                         output);
        }
        json_decref(root);
    }
}

/* Holds of a tenth of a millisecond: most have lapsed when they are to be confirmed, which is an answer
 * as good as any, and the count in the end knows it. */
Test(bench_load, holds_that_lapse_before_they_are_confirmed_are_counted_as_lapsed)
{
    int status = RUN(server.address, "--op", "confirm", "--ttl", "100us", "--json", SHORT);
    cr_assert_eq(status, 0, "%s", output);
    json_t *root = parsed();
    cr_expect_gt(number(root, "lapsed"), 0, "%s", output);
    cr_expect_gt(number(root, "held"), 0, "%s", output);
    json_decref(root);
}

/* All of them at once, over hot and cold inventories, in two threads. */
Test(bench_load, a_mix_has_each_of_its_kinds_with_latencies_of_their_own)
{
    static const char *const names[] = {"reserve",
                                        "refuse",
                                        "cancel:reserve",
                                        "cancel:cancel",
                                        "hold",
                                        "confirm:hold",
                                        "confirm:confirm",
                                        "release:hold",
                                        "release:release",
                                        "expire",
                                        "batch",
                                        "get",
                                        "ping"};
    static const char mix[] = "reserve:20,refuse:5,cancel:5,hold:5,confirm:5,release:5,expire:5,"
                              "batch:5,get:5,ping:5";
    int status = RUN(server.address, "--mix", mix, "--inventories", "50", "--spread", "zipf",
                     "--threads", "2", "--batch", "64", "--lapse", "20ms", "--json", SHORT);
    cr_assert_eq(status, 0, "%s", output);
    json_t *root = parsed();
    const json_t *kinds = json_object_get(root, "kinds");
    double answers = 0;
    cr_assert_eq(json_array_size(kinds), sizeof names / sizeof names[0], "%s", output);
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const json_t *kind = json_array_get(kinds, i);
        const json_t *latency = json_object_get(kind, "latency_us");
        cr_expect_str_eq(json_string_value(json_object_get(kind, "kind")), names[i]);
        answers += number(kind, "answers");
        cr_expect_gt(number(kind, "answers"), 0, "%s", names[i]);
        cr_expect(number(latency, "p50") > 0 && number(latency, "p50") <= number(latency, "p90") &&
                  number(latency, "p90") <= number(latency, "p99") &&
                  number(latency, "p99") <= number(latency, "p999") &&
                  number(latency, "p999") <= number(latency, "p9999") &&
                  number(latency, "p9999") <= number(latency, "max"));
        cr_expect(number(latency, "mean") > 0 && number(latency, "mean") <= number(latency, "max"));
    }
    cr_expect_leq(fabs(answers - number(root, "per_second") * number(root, "seconds")), 1);
    json_decref(root);
}

Test(bench_load, an_open_loop_offers_its_rate_whatever_the_answers)
{
    static const char *const arrivals[] = {"poisson", "fixed"};
    for (int i = 0; i < 2; i++) {
        int status =
            RUN(server.address, "--rate", "4000", "--arrivals", arrivals[i], "--threads", "2",
                "--seconds", "0.8", "--warmup", "0.1", "--connections", "5", "--json");
        cr_assert_eq(status, 0, "%s", output);
        json_t *root = parsed();
        cr_expect_str_eq(json_string_value(json_object_get(root, "loop")), "open");
        cr_expect_str_eq(json_string_value(json_object_get(root, "arrivals")), arrivals[i]);
        /* 3200 arrivals: five standard deviations of a Poisson stream are 283. */
        cr_expect_leq(fabs(number(root, "offered_per_second") - 4000), i == 0 ? 354 : 5, "%s",
                      output);
        cr_expect_eq(number(root, "late"), 0);
        cr_expect_eq(number(root, "unsent"), 0);
        cr_expect_gt(number(root, "lateness_max_us"), 0);
        cr_expect_leq(number(root, "lateness_p50_us"), number(root, "p50_us"),
                      "the time until it is sent is part of it");
        json_decref(root);
    }
}

/* One connection with one request in flight cannot do a million a second: what is due waits here, and
 * its time runs. In the end nearly half a second of it, on average half of that. */
Test(bench_load, what_waits_in_the_generator_counts)
{
    int status = RUN(server.address, "--rate", "1000000", "--connections", "1", "--depth", "1",
                     "--seconds", "0.5", "--warmup", "0", "--json");
    cr_assert_eq(status, 0, "%s", output);
    json_t *root = parsed();
    cr_expect_gt(number(root, "late"), number(root, "unsent"),
                 "some were late, and sent all the same");
    cr_expect_gt(number(root, "unsent"), 200000, "%s", output);
    cr_expect_geq(number(root, "max_us"), 300000, "%s", output);
    cr_expect_geq(number(root, "p50_us"), 100000, "%s", output);
    double offered = number(root, "offered_per_second");
    cr_expect_leq(fabs(offered - 1000000), 10000, "%s", output);
    const json_t *reserve = json_array_get(json_object_get(root, "kinds"), 0);
    cr_expect_leq(fabs(number(reserve, "answers") - offered * number(root, "seconds")), 1,
                  "each has a latency, sent or not: %s", output);
    json_decref(root);
}

/* The bench sends only every 40 ms, so what is due waits for 20 ms on average before it is sent; the
 * server takes much less. All of that is in the latencies, and told as lateness. */
Test(bench_load, a_latency_runs_from_when_the_request_was_due)
{
    int status = RUN(server.address, "--rate", "2000", "--pause", "40ms", "--connections", "2",
                     "--seconds", "0.8", "--warmup", "0", "--op", "ping", "--json");
    cr_assert_eq(status, 0, "%s", output);
    json_t *root = parsed();
    cr_expect_geq(number(root, "lateness_p50_us"), 10000, "%s", output);
    cr_expect_geq(number(root, "p50_us"), number(root, "lateness_p50_us"), "%s", output);
    cr_expect_geq(number(root, "mean_us"), 15000, "%s", output);
    json_decref(root);
}

/* The same of cancellations: they are due when the reservation is granted, and sent at once. So they
 * have not waited when they are sent, but the reservations have. */
Test(bench_load, a_second_request_is_due_when_the_first_is_answered)
{
    int status = RUN(server.address, "--rate", "500", "--pause", "60ms", "--connections", "2",
                     "--seconds", "0.8", "--warmup", "0", "--op", "cancel", "--json");
    cr_assert_eq(status, 0, "%s", output);
    json_t *root = parsed();
    const json_t *kinds = json_object_get(root, "kinds");
    double first = number(json_object_get(json_array_get(kinds, 0), "latency_us"), "p50");
    double second = number(json_object_get(json_array_get(kinds, 1), "latency_us"), "p50");
    cr_expect_geq(first, 15000, "%s", output);
    cr_expect_lt(second, first / 2, "%s", output);
    json_decref(root);
}

/* Fields of a line of CSV; quoted ones may contain commas. */
static unsigned csv_fields(const char *line, size_t length)
{
    unsigned fields = 1;
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        quoted ^= line[i] == '"';
        fields += line[i] == ',' && !quoted;
    }
    return fields;
}

Test(bench_load, a_sweep_runs_every_combination_in_every_round_and_csv_has_a_line_for_each)
{
    unsigned lines = 0, fields = 0;
    int status = RUN(server.address, "--connections", "2,3", "--depth", "1,4", "--repeat", "2",
                     "--seconds", "0.05", "--warmup", "0", "--csv", "--mix", "reserve:2,get:1");
    cr_assert_eq(status, 0, "%s", output);
    static const char *const begins[] = {
        "op,connections,depth,per_second,", "\"reserve:2,get:1\",2,1,", "\"reserve:2,get:1\",2,4,",
        "\"reserve:2,get:1\",3,1,",         "\"reserve:2,get:1\",3,4,", "\"reserve:2,get:1\",2,1,",
        "\"reserve:2,get:1\",2,4,",         "\"reserve:2,get:1\",3,1,", "\"reserve:2,get:1\",3,4,"};
    for (const char *line = output; *line != '\0'; lines++) {
        size_t length = strcspn(line, "\n");
        cr_assert_lt(lines, sizeof begins / sizeof begins[0], "%s", output);
        cr_expect_eq(strncmp(line, begins[lines], strlen(begins[lines])), 0, "%.*s", (int)length,
                     line);
        if (lines == 0)
            fields = csv_fields(line, length);
        cr_expect_eq(csv_fields(line, length), fields, "%.*s", (int)length, line);
        line += length + (line[length] == '\n');
    }
    cr_expect_eq(lines, 9);
    status = RUN(server.address, "--connections", "2,3", "--seconds", "0.05", "--warmup", "0");
    cr_expect_eq(status, 0);
    cr_expect(strstr(output, "round"), "%s", output);
}

/* The file has all latencies, a line a bucket, and their number is that of the answers. */
Test(bench_load, the_histogram_file_has_every_answer)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 16], line[256];
    snprintf(path, sizeof path, "%s/latencies", directory);
    int status = RUN(server.address, "--histogram", path, "--op", "cancel", "--json", SHORT);
    cr_assert_eq(status, 0, "%s", output);
    json_t *root = parsed();
    FILE *file = fopen(path, "r");
    cr_assert(file && fgets(line, sizeof line, file));
    cr_expect_str_eq(line, "connections,depth,round,kind,up_to_ns,count\n");
    double all = 0, steps = 0;
    while (fgets(line, sizeof line, file)) {
        char kind[32];
        unsigned long long up_to_ns, count;
        cr_assert_eq(sscanf(line, "4,64,1,%31[^,],%llu,%llu", kind, &up_to_ns, &count), 3, "%s",
                     line);
        cr_expect_eq(hf_histogram_bucket_max_ns(hf_histogram_bucket(up_to_ns)), up_to_ns);
        *(strcmp(kind, "all") == 0 ? &all : &steps) += (double)count;
    }
    fclose(file);
    cr_expect_eq(all, number(root, "granted") + number(root, "cancelled"));
    cr_expect_eq(steps, all);
    json_decref(root);
    cr_expect_eq(RUN(server.address, "--histogram", "/nowhere/at/all", SHORT), 3, "%s", output);
}

/* Asks the server again and again how many connections it has, until there are many. */
static void *see_many_connections(void *context)
{
    struct hf_client *client;
    const struct hf_client_options options = {.server = server.address};
    const struct hf_request info = {.operation = HF_OP_INFO};
    struct hf_reply reply;
    uint64_t *most = context;
    if (hf_client_open(&options, &client) != 0)
        return NULL;
    for (int tries = 0; tries < 1000 && *most < 305; tries++) {
        if (hf_client_call_sync(client, &info, &reply) == HF_FOUND &&
            reply.info.connections > *most)
            *most = reply.info.connections;
        usleep(1000);
    }
    hf_client_close(client);
    return NULL;
}

/* 300 that do nothing, 4 that are measured, and the one that asks. */
Test(bench_load, idle_connections_are_open_meanwhile)
{
    pthread_t thread;
    uint64_t most = 0;
    pthread_create(&thread, NULL, see_many_connections, &most);
    int status = RUN(server.address, "--idle", "300", "--op", "ping", "--json", SHORT);
    pthread_join(thread, NULL);
    cr_assert_eq(status, 0, "%s", output);
    cr_expect_eq(hf_json_number(output, "idle"), 300);
    cr_expect_eq(most, 305);
}

/* Somebody else takes a unit of the bench's own inventory: what the answers say and what the inventory
 * says differ by one, and that is found out. */
static void *take_one(void *context)
{
    struct hf_client *client;
    const struct hf_client_options options = {.server = server.address};
    const struct hf_request list = {.operation = HF_OP_INVENTORY_LIST, .limit = 1};
    struct hf_reply reply;
    bool *taken = context;
    if (hf_client_open(&options, &client) != 0)
        return NULL;
    for (int tries = 0; tries < 1000 && !*taken; tries++) {
        hf_client_call_sync(client, &list, &reply);
        if (reply.count == 1) {
            const struct hf_request reserve = {.operation = HF_OP_RESERVE,
                                               .inventory_id = reply.inventories[0].inventory_id,
                                               .customer_id = 1,
                                               .qty = 1};
            *taken = hf_client_call_sync(client, &reserve, &reply) == HF_GRANTED;
        }
        usleep(1000);
    }
    hf_client_close(client);
    return NULL;
}

Test(bench_load, a_unit_that_no_answer_told_of_is_missed)
{
    pthread_t thread;
    bool taken = false;
    pthread_create(&thread, NULL, take_one, &taken);
    int status = RUN(server.address, "--mix", "reserve,cancel,confirm,release,batch", SHORT);
    pthread_join(thread, NULL);
    cr_assert(taken);
    cr_expect_eq(status, 1, "%s", output);
    cr_expect(strstr(output, "units are taken, the inventories say"), "%s", output);
}

/* ---- servers that lie ---- */

/* Runs the bench on the floor, which grants or refuses whatever is asked. */
static int run_on_floor(const char *option, const char *op)
{
    struct hf_daemon floor = {0};
    char path[HF_PROGRAM_TEXT_BYTES], line[128] = "";
    hf_program_path("holdfast-floor", path);
    int pipes[2];
    cr_assert_eq(pipe(pipes), 0);
    floor.pid = fork();
    if (floor.pid == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        execl(path, path, option, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    FILE *ready = fdopen(pipes[0], "r");
    unsigned port = 0;
    cr_assert(fgets(line, sizeof line, ready));
    cr_assert_eq(sscanf(line, "holdfast-floor: ready on 127.0.0.1:%u", &port), 1, "%s", line);
    snprintf(line, sizeof line, "127.0.0.1:%u", port);
    int status = RUN(line, "--op", op, SHORT);
    hf_daemon_kill(&floor);
    fclose(ready);
    return status;
}

Test(bench_alone, the_floor_can_be_measured_with_what_it_does)
{
    cr_expect_eq(run_on_floor(NULL, "reserve"), 0, "%s", output);
    cr_expect_eq(run_on_floor(NULL, "ping"), 0, "%s", output);
}

/* 536870911 places, and hardly anything asked: a refusal is a lie, though each alone looks right. */
Test(bench_alone, refusals_of_what_cannot_be_sold_out_are_found_out)
{
    cr_expect_eq(run_on_floor("--refuse", "reserve"), 1, "%s", output);
    cr_expect(strstr(output, "refusals, though no more than"), "%s", output);
}

Test(bench_alone, grants_of_what_is_sold_out_are_found_out)
{
    cr_expect_eq(run_on_floor(NULL, "refuse"), 1, "%s", output);
    cr_expect(strstr(output, "a grant of what is sold out"), "%s", output);
}

Test(bench_alone, a_yes_of_another_shape_is_found_out)
{
    cr_expect_eq(run_on_floor(NULL, "hold"), 1, "%s", output);
    cr_expect_eq(run_on_floor(NULL, "batch"), 1, "%s", output);
    cr_expect_eq(run_on_floor(NULL, "get"), 1, "%s", output);
}

/* A server that answers everything with a right frame to another tag. */
static size_t answer_with_another_tag(uint8_t out[HF_MAX_REPLY_BYTES],
                                      const struct hf_frame *request, uint32_t count)
{
    const struct hf_info info = {.server_version = "0"};
    (void)count;
    if (request->operation == HF_OP_INFO)
        return hf_reply_encode_info(out, request->tag, &info);
    return hf_reply_encode_short(out, request->operation, request->tag + (1ull << 32), HF_OK, 0, 0,
                                 0);
}

static void *serve_two(void *context)
{
    hf_peer_serve(context, answer_with_another_tag); /* makes the stock */
    hf_peer_serve(context, answer_with_another_tag); /* the load */
    return NULL;
}

Test(bench_alone, an_answer_to_nothing_that_was_asked_is_found_out)
{
    struct hf_peer peer = hf_peer_start();
    pthread_t thread;
    pthread_create(&thread, NULL, serve_two, &peer);
    int status =
        RUN(peer.address, "--op", "ping", "--connections", "1", "--depth", "1", "--seconds", "0.3");
    pthread_join(thread, NULL);
    cr_expect_eq(status, 1, "%s", output);
    cr_expect(strstr(output, "not in flight"), "%s", output);
}

/* ---- in process ---- */

/* Every job, by one and by two threads, does as many operations as it was told to, and rightly. */
Test(bench_alone, in_process_every_job_does_what_it_is_told)
{
    static const char *const threads[] = {"1", "2"};
    for (int i = 0; i < 2; i++) {
        int status = RUN(NULL, "--in-process", "--operations", "5000", "--threads", threads[i],
                         "--inventories", "10", "--spread", "zipf", "--json");
        cr_assert_eq(status, 0, "%s", output);
        unsigned rows = 0;
        for (char *line = output, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            json_error_t error;
            json_t *row = json_loads(line, 0, &error);
            cr_assert(row, "%s: %s", error.text, line);
            cr_expect_eq(number(row, "operations"), 5000 * (i + 1), "%s", line);
            cr_expect(number(row, "engine_ns") > 0 && number(row, "cpu_ns") > 0, "%s", line);
            json_decref(row);
            rows++;
        }
        cr_expect_eq(rows, 11);
    }
}

Test(bench_alone, in_process_with_a_disk_leaves_nothing_behind)
{
    char data[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(data), 0);
    int status =
        RUN(NULL, "--in-process", "--operations", "20000", "--threads", "2", "--durability", "disk",
            "--data", data, "--job", "grant,cancel,expire,view", "--csv");
    cr_expect_eq(status, 0, "%s", output);
    cr_expect(strstr(output, "\ngrant,2,disk,1,40000,"), "%s", output);
    cr_expect(strstr(output, "\ncancel,2,disk,1,40000,"), "%s", output);
    cr_expect(strstr(output, "\nexpire,2,disk,1,40000,"), "%s", output);
    cr_expect(strstr(output, "\nview,2,disk,1,40000,"), "%s", output);
    cr_expect_eq(hf_directory_entries(data), 0);
    hf_directory_remove(data);
}

Test(bench_alone, in_process_ends_when_its_time_is_over)
{
    uint64_t begin_ns = hf_monotonic_now_ns();
    int status = RUN(NULL, "--in-process", "--seconds", "0.2", "--job", "refuse,read");
    cr_expect_eq(status, 0, "%s", output);
    cr_expect_lt(hf_monotonic_now_ns() - begin_ns, 30 * HF_NS_PER_S);
    cr_expect(strstr(output, "\nrefuse "), "%s", output);
    cr_expect_eq(RUN(NULL, "--in-process", "--data", "/nowhere"), 2, "%s", output);
    cr_expect_eq(RUN(NULL, "--in-process", "--data", "/nowhere", "--durability", "disk"), 3, "%s",
                 output);
}
