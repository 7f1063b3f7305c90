/*
 * What the command line tells of a server itself, ping, status, info and snapshot: against a scripted
 * server, as a real one does not fail when a test wants it to. test_recovering.c has a real one that
 * recovers.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/codec.h"
#include "tests/lib/peer.h"
#include "tests/lib/process.h"
#include "tools/show.h"

#define OUTPUT_BYTES 8192
#define MOST_WORDS   12

static char output[OUTPUT_BYTES];

/* ---- text and JSON ---- */

static char *shown;
static size_t shown_bytes;

static FILE *show(void)
{
    free(shown);
    shown = NULL;
    return open_memstream(&shown, &shown_bytes);
}

static const struct hf_status busy = {
    .state = HF_SERVER_READY,
    .percent = 100,
    .write_method = HF_WRITE_FDATASYNC,
    .storage_full = 1,
    .snapshot_under_way = 1,
    .snapshot_requested = 1,
    .archive_enabled = 1,
    .first_kept_segment = 7,
    .active_segment = 12,
    .segment_bytes = 16777216,
    .kept_bytes = 100663296,
    .write_latency_ns = 151900,
    .writes_inflight = 4,
    .storage_error = -28,
    .snapshots_made = 3,
    .snapshot_failures = 2,
    .snapshots_kept = 2,
    .snapshot_error = -5,
    .snapshot_lsn = 900000,
    .snapshot_made_at_ns = 1770000000000000000ull,
    .snapshot_bytes = 48000000,
    .snapshot_duration_ns = 840900000,
    .snapshot_done_bytes = 12000000,
    .snapshot_expected_bytes = 49000000,
    .bytes_since_snapshot = 30000000,
    .archived_segment = 9,
    .archive_waiting = 2,
    .archive_failures = 3,
    .archive_exit_status = 1,
    .archived_at_ns = 1770000000000000000ull,
    .archive_failure = "no \033[2J\x80such directory",
    .put_aside = 17,
    .overloaded = 5,
    .recovered_records = 900,
};

Test(cli_status, a_busy_server_in_text)
{
    FILE *out = show();
    hf_cli_text_status(out, &busy);
    fclose(out);
    cr_expect_str_eq(
        shown,
        "state         ready\n"
        "log           segments 7 to 12, 100.7 MB\n"
        "snapshots     2 kept, the newest: snapshot at LSN 900000 of "
        "2026-02-02T02:40:00.000000000Z, "
        "48.0 MB, made in 840ms\n"
        "              one is under way: 12.0 MB of about 49.0 MB\n"
        "              one was asked for\n"
        "              failed 2 times since the start, at last: Input/output error\n"
        "archive       up to segment 9, 2 waiting, last success 2026-02-02T02:40:00.000000000Z\n"
        "              FAILED 3 times in a row, exit status 1: no ?[2J?such directory\n"
        "storage       FULL: no room for another segment of the log: No space left on device\n"
        "since then    30.0 MB of log behind the newest snapshot\n"
        "blocks        fdatasync writes, at most 4 at once, measured: 151us\n"
        "log was full  for 17 operations that waited, and 5 that were answered OVERLOADED\n");
}

Test(cli_status, a_new_server_in_text)
{
    const struct hf_status calm = {.state = HF_SERVER_READY,
                                   .percent = 100,
                                   .write_method = HF_WRITE_DIRECT,
                                   .first_kept_segment = 1,
                                   .active_segment = 1,
                                   .kept_bytes = 1048576,
                                   .writes_inflight = 1,
                                   .bytes_since_snapshot = 4096};
    FILE *out = show();
    hf_cli_text_status(out, &calm);
    fclose(out);
    cr_expect_str_eq(shown, "state         ready\n"
                            "log           segments 1 to 1, 1.0 MB\n"
                            "snapshots     0 kept\n"
                            "since then    4.1 kB of log\n"
                            "blocks        direct writes, at most 1 at once\n"
                            "log was full  for 0 operations that waited, and 0 that were answered "
                            "OVERLOADED\n");
}

Test(cli_status, a_server_that_recovers_in_text)
{
    const struct hf_status early = {.state = HF_SERVER_RECOVERING,
                                    .percent = 42,
                                    .recovery_done_bytes = 1218000000,
                                    .recovery_total_bytes = 2900000000,
                                    .recovered_records = 9400000};
    FILE *out = show();
    hf_cli_text_status(out, &early);
    fclose(out);
    cr_expect_str_eq(
        shown, "state         recovering, 42% recovered: 9400000 records, 1.2 GB of 2.9 GB\n");
}

/* Every member once, with its value; a text that is not ours is a string, whatever is in it. */
Test(cli_status, a_busy_server_in_json)
{
    FILE *out = show();
    hf_cli_json_status(out, &busy);
    fclose(out);
    cr_expect_str_eq(
        shown,
        "{\"state\":\"ready\",\"percent\":100,\"recovery_done_bytes\":0,\"recovery_total_bytes\":0,"
        "\"recovered_records\":900,\"first_kept_segment\":7,\"active_segment\":12,"
        "\"segment_bytes\":16777216,\"kept_bytes\":100663296,\"write_method\":\"fdatasync\","
        "\"write_latency_ns\":151900,\"writes_inflight\":4,\"storage_full\":true,"
        "\"storage_error\":-28,\"snapshots_kept\":2,\"snapshots_made\":3,\"snapshot_failures\":2,"
        "\"snapshot_error\":-5,\"snapshot_lsn\":900000,"
        "\"snapshot_made_at_ns\":1770000000000000000,\"snapshot_bytes\":48000000,"
        "\"snapshot_duration_ns\":840900000,\"snapshot_requested\":true,"
        "\"snapshot_under_way\":true,\"snapshot_done_bytes\":12000000,"
        "\"snapshot_expected_bytes\":49000000,\"bytes_since_snapshot\":30000000,"
        "\"archive_enabled\":true,\"archived_segment\":9,\"archive_waiting\":2,"
        "\"archived_at_ns\":1770000000000000000,\"archive_failures\":3,\"archive_exit_status\":1,"
        "\"archive_failure\":\"no \\u001b[2J\\ufffdsuch "
        "directory\",\"put_aside\":17,\"overloaded\":5}\n");
}

Test(cli_status, errors_of_any_number_have_a_name)
{
    static const int32_t odd[] = {0, 5, -100000, INT32_MIN, INT32_MAX};
    cr_expect_str_eq(hf_cli_error_name(-28), "No space left on device");
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        cr_expect_str_eq(hf_cli_error_name(odd[i]), "unknown error");
}

/* ---- a scripted server ---- */

/* What it answers, one after the other; the last one again and again. */
struct said {
    enum hf_operation operation; /* that is expected */
    unsigned result;
    struct hf_status status;
    uint64_t commit_lsn;
};

static const struct said *script;
static size_t script_length, script_at;

static size_t answer(uint8_t out[HF_MAX_REPLY_BYTES], const struct hf_frame *request,
                     uint32_t number)
{
    (void)number;
    const struct said *said = &script[script_at];
    if (script_at + 1 < script_length)
        script_at++;
    if (said->operation != request->operation)
        return hf_reply_encode_short(out, request->operation, request->tag, 599, 0, 0, 0);
    const struct hf_info info = {.commit_lsn = said->commit_lsn, .server_version = "0.0.9"};
    if (said->result == HF_FOUND && said->operation == HF_OP_INFO)
        return hf_reply_encode_info(out, request->tag, &info);
    if (said->result == HF_FOUND)
        return hf_reply_encode_status(out, request->tag, &said->status);
    return hf_reply_encode_short(out, request->operation, request->tag, said->result, 0, 42, 0);
}

static void *serve(void *context)
{
    hf_peer_serve(context, answer);
    return NULL;
}

/* Runs `holdfast WORDS` against the script. The exit status. */
static int run(const struct said *said, size_t length, const char *words)
{
    static char copy[256];
    char program[HF_PROGRAM_TEXT_BYTES];
    struct hf_peer peer = hf_peer_start();
    const char *argv[MOST_WORDS] = {program, "--server", peer.address};
    size_t count = 3;
    pthread_t server;
    hf_program_path("holdfast", program);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word && count + 1 < MOST_WORDS; word = strtok(NULL, " "))
        argv[count++] = word;
    script = said;
    script_length = length;
    script_at = 0;
    cr_assert_eq(pthread_create(&server, NULL, serve, &peer), 0);
    int status = hf_process_run_within(60, argv, output, sizeof output);
    pthread_join(server, NULL);
    close(peer.listener);
    return status;
}

#define RUN(said, words)  run(said, sizeof(said) / sizeof((said)[0]), words)
#define EXPECT_SAYS(text) cr_expect(strstr(output, (text)), "'%s' is not said: %s", (text), output)

#define STATUS(...)                                                                                \
    {                                                                                              \
        .operation = HF_OP_STATUS, .result = HF_FOUND, .status = {                                 \
            .state = HF_SERVER_READY,                                                              \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define BEFORE                                                                                     \
    STATUS(.snapshots_kept = 1, .snapshots_made = 3, .snapshot_failures = 1,                       \
           .snapshot_error = -13, .snapshot_lsn = 100)
#define INFO(lsn)                                                                                  \
    {                                                                                              \
        .operation = HF_OP_INFO, .result = HF_FOUND, .commit_lsn = (lsn)                           \
    }
#define SHORT(op, said)                                                                            \
    {                                                                                              \
        .operation = HF_OP_##op, .result = HF_##said                                               \
    }

/* ---- ping ---- */

Test(cli_server, ping_waits_until_it_is_ready)
{
    static const struct said later[] = {SHORT(PING, NOT_READY), SHORT(PING, NOT_READY),
                                        SHORT(PING, SHUTTING_DOWN), SHORT(PING, OK)};
    static const struct said never[] = {SHORT(PING, NOT_READY)};
    static const struct said older[] = {SHORT(PING, UNKNOWN_OPERATION), SHORT(PING, OK)};
    cr_expect_eq(RUN(later, "ping --wait 20s"), 0, "%s", output);
    EXPECT_SAYS(" answers\n");
    cr_expect_eq(RUN(later, "ping"), 3, "%s", output);
    cr_expect_str_eq(output, "holdfast: not ready: recovering, 42%\n");
    uint64_t began_ns = hf_monotonic_now_ns();
    cr_expect_eq(RUN(never, "ping --wait 300ms"), 3, "%s", output);
    cr_expect_str_eq(output, "holdfast: not ready: recovering, 42%\n");
    cr_expect_geq(hf_monotonic_now_ns() - began_ns, 300 * HF_NS_PER_MS);
    cr_expect_eq(RUN(never, "ping --json"), 3, "%s", output);
    EXPECT_SAYS("{\"result\":\"NOT_READY\",\"field\":null,");
    EXPECT_SAYS(",\"percent\":42}\n");
    cr_expect_eq(RUN(older, "ping --wait 20s"), 2, "what does not change is not waited for");
}

/* ---- info ---- */

Test(cli_server, info_tells_how_it_is)
{
    static const struct said ready[] = {STATUS(.first_kept_segment = 3, .active_segment = 4),
                                        INFO(9)};
    static const struct said early[] = {{.operation = HF_OP_STATUS,
                                         .result = HF_FOUND,
                                         .status = {.state = HF_SERVER_RECOVERING, .percent = 7}}};
    static const struct said older[] = {SHORT(STATUS, UNKNOWN_OPERATION), INFO(9)};
    cr_expect_eq(RUN(ready, "info"), 0, "%s", output);
    EXPECT_SAYS("server        0.0.9");
    EXPECT_SAYS("log           segments 3 to 4, ");
    cr_expect_eq(RUN(ready, "info --json"), 0, "%s", output);
    EXPECT_SAYS("\"server_version\":\"0.0.9\",\"status\":{\"state\":\"ready\",");
    cr_expect_eq(RUN(early, "info"), 3, "%s", output);
    EXPECT_SAYS("NOT_READY: the server is recovering; nothing was done; try again (recovered: 7%)");
    cr_expect_eq(RUN(older, "info"), 0, "%s", output);
    EXPECT_SAYS("LSN           next 0, committed 9");
    cr_expect_null(strstr(output, "state "), "%s", output);
    cr_expect_eq(RUN(older, "info --json"), 0, "%s", output);
    EXPECT_SAYS("\"server_version\":\"0.0.9\"}\n");
}

/* ---- snapshot ---- */

#define LATER(lsn, ...)                                                                            \
    STATUS(.snapshots_kept = 2, .snapshot_lsn = (lsn), .snapshot_bytes = 5000,                     \
           .snapshot_duration_ns = 7000000, .snapshot_made_at_ns = 1770000000000000000ull,         \
           __VA_ARGS__)

/* It is waited for until there is one that has all that was committed before it was asked for. */
Test(cli_server, a_snapshot_is_waited_for)
{
    static const struct said usual[] = {
        BEFORE,
        INFO(500),
        SHORT(SNAPSHOT, OK),
        STATUS(.snapshots_made = 3, .snapshot_failures = 1, .snapshot_lsn = 100,
               .snapshot_requested = 1),
        STATUS(.snapshots_made = 3, .snapshot_failures = 1, .snapshot_lsn = 100,
               .snapshot_under_way = 1),
        LATER(520, .snapshots_made = 4, .snapshot_failures = 1),
    };
    /* One was under way, which ends before ours begins: too early for us. */
    static const struct said under_way[] = {
        BEFORE,
        INFO(500),
        SHORT(SNAPSHOT, OK),
        LATER(450, .snapshots_made = 4, .snapshot_failures = 1, .snapshot_requested = 1),
        LATER(510, .snapshots_made = 5, .snapshot_failures = 1, .snapshot_under_way = 1),
    };
    static const struct said nothing_new[] = {
        LATER(500, .snapshots_made = 4),
        INFO(500),
        SHORT(SNAPSHOT, OK),
        LATER(500, .snapshots_made = 4, .snapshot_requested = 1),
        LATER(500, .snapshots_made = 4),
    };
    cr_expect_eq(RUN(usual, "snapshot --wait 20s"), 0, "%s", output);
    cr_expect_str_eq(output,
                     "snapshot at LSN 520 of 2026-02-02T02:40:00.000000000Z, 5.0 kB, made in "
                     "7ms\n");
    cr_expect_eq(script_at, 5);
    cr_expect_eq(RUN(usual, "snapshot --wait 20s --json"), 0, "%s", output);
    cr_expect_str_eq(output, "{\"result\":\"OK\",\"snapshot_lsn\":520,"
                             "\"snapshot_made_at_ns\":1770000000000000000,\"snapshot_bytes\":5000,"
                             "\"snapshot_duration_ns\":7000000}\n");
    cr_expect_eq(RUN(under_way, "snapshot --wait 20s"), 0, "%s", output);
    EXPECT_SAYS("snapshot at LSN 510 ");
    cr_expect_eq(RUN(nothing_new, "snapshot --wait 20s"), 0, "%s", output);
    EXPECT_SAYS("snapshot at LSN 500 ");
}

Test(cli_server, a_snapshot_that_fails_is_a_no)
{
    static const struct said fails[] = {
        BEFORE,
        INFO(500),
        SHORT(SNAPSHOT, OK),
        STATUS(.snapshots_kept = 1, .snapshots_made = 3, .snapshot_failures = 1,
               .snapshot_under_way = 1, .snapshot_lsn = 100),
        STATUS(.snapshots_kept = 1, .snapshots_made = 3, .snapshot_failures = 2,
               .snapshot_error = -28, .snapshot_lsn = 100),
    };
    cr_expect_eq(RUN(fails, "snapshot --wait 20s"), 1, "%s", output);
    cr_expect_str_eq(output, "holdfast: the snapshot failed: No space left on device\n");
}

Test(cli_server, a_snapshot_that_takes_longer_is_unknown)
{
    static const struct said slow[] = {
        BEFORE,
        INFO(500),
        SHORT(SNAPSHOT, OK),
        STATUS(.snapshots_made = 3, .snapshot_failures = 1, .snapshot_under_way = 1),
    };
    static const struct said again[] = {
        BEFORE,
        INFO(500),
        SHORT(SNAPSHOT, OK),
        {.operation = HF_OP_STATUS, .result = HF_FOUND, .status = {.state = HF_SERVER_RECOVERING}},
        STATUS(.snapshots_kept = 1, .snapshot_lsn = 100),
    };
    cr_expect_eq(RUN(slow, "snapshot --wait 300ms"), 3, "%s", output);
    cr_expect_str_eq(output,
                     "holdfast: the snapshot is not there yet; holdfast status tells how far "
                     "it is\n");
    cr_expect_eq(RUN(again, "snapshot --wait 20s"), 3, "%s", output);
    EXPECT_SAYS("the server was started again meanwhile");
}

Test(cli_server, a_snapshot_is_asked_for)
{
    static const struct said usual[] = {SHORT(SNAPSHOT, OK)};
    static const struct said older[] = {SHORT(SNAPSHOT, UNKNOWN_OPERATION)};
    cr_expect_eq(RUN(usual, "snapshot"), 0, "%s", output);
    cr_expect_str_eq(output, "a snapshot was asked for\n");
    cr_expect_eq(RUN(usual, "snapshot --json"), 0, "%s", output);
    cr_expect_str_eq(output, "{\"result\":\"OK\"}\n");
    cr_expect_eq(RUN(older, "snapshot"), 2, "%s", output);
}

/* Mistakes are told before anything is asked: nobody listens there. */
Test(cli_server, mistakes_are_told)
{
    static const struct {
        const char *words[4], *mentions;
    } cases[] = {
        {{"ping", "--wait", "soon"}, "--wait 'soon' is not a duration"},
        {{"ping", "--wait", "0s"}, "--wait '0s' is not a duration"},
        {{"status", "--wait", "1s"}, "--wait has no meaning here"},
        {{"snapshot", "now"}, "one word too many"},
    };
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfast", program);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *argv[] = {
            program,           "--server",        "127.0.0.1:1", cases[i].words[0],
            cases[i].words[1], cases[i].words[2], NULL};
        cr_expect_eq(hf_process_run_within(60, argv, output, sizeof output), 2, "%s", output);
        EXPECT_SAYS(cases[i].mentions);
    }
}
