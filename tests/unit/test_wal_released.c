/*
 * holdfast-wal on a log whose first segments are gone: what a real server that makes snapshots leaves.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "holdfast/client.h"
#include "tests/lib/process.h"
#include "tests/lib/stress.h"

#define PATIENCE_MS 60000
#define HELD        1u /* number of the hold that is extended */

static char directory[HF_DIRECTORY_TEXT_BYTES];
static struct hf_daemon server;
static struct hf_client *client;

static void start(void)
{
    static const char *const extra[] = {"--segment-bytes", "1048576", "--snapshot-after", "never",
                                        NULL};
    cr_assert_eq(hf_daemon_start_in(&server, directory, extra), 0, "%s", server.error);
    if (client)
        hf_client_close(client);
    const struct hf_client_options options = {.server = server.address,
                                              .request_timeout_ms = PATIENCE_MS};
    cr_assert_eq(hf_client_open(&options, &client), 0);
}

static void begin(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    start();
}

static void end(void)
{
    hf_client_close(client);
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
}

TestSuite(wal_released, .init = begin, .fini = end, .timeout = 120);

static struct hf_reply ask(const struct hf_request *request, unsigned expected)
{
    struct hf_reply reply;
    unsigned result = hf_client_call_sync(client, request, &reply);
    cr_assert_eq(result, expected, "%s", hf_result_name(result));
    return reply;
}

static void claim(enum hf_operation operation, uint32_t number)
{
    const struct hf_request request = {
        .operation = operation,
        .id = hf_id_of_number(number),
        .inventory_id = 7,
        .customer_id = number,
        .qty = 1,
        .ttl_ns = operation == HF_OP_HOLD ? 3600 * HF_NS_PER_S : 0,
    };
    ask(&request, HF_GRANTED);
}

static struct hf_status status(void)
{
    const struct hf_request request = {.operation = HF_OP_STATUS};
    return ask(&request, HF_FOUND).status;
}

/* Until the log is written to this segment. */
static void fill_until(uint64_t segment)
{
    const struct hf_request extend = {
        .operation = HF_OP_EXTEND, .id = hf_id_of_number(HELD), .ttl_ns = 3600 * HF_NS_PER_S};
    while (status().active_segment < segment)
        for (int i = 0; i < 20; i++)
            ask(&extend, HF_EXTENDED);
}

static void make_snapshot(void)
{
    const struct hf_request request = {.operation = HF_OP_SNAPSHOT};
    uint64_t made = status().snapshots_made;
    ask(&request, HF_OK);
    while (status().snapshots_made == made)
        ;
}

static void expect_verified(void)
{
    static char output[16384];
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfast-wal", program);
    const char *const argv[] = {program, "verify", directory, NULL};
    cr_expect_eq(hf_process_run(argv, output, sizeof output), 0, "%s", output);
    cr_expect(strstr(output, "verify: ok"), "%s", output);
    cr_expect(!strstr(output, "first_lsn: 1\n"), "the log is whole: %s", output);
}

/* The second server starts in the middle of a segment, and makes its snapshots there: so the log that
 * is read with them begins in the run before. Claims go on behind them. */
Test(wal_released, a_start_behind_the_place_where_a_snapshot_begins)
{
    const struct hf_request create = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = 7, .capacity = 1000};
    ask(&create, HF_CREATED);
    claim(HF_OP_HOLD, HELD);
    fill_until(2);
    claim(HF_OP_RESERVE, 2);
    hf_daemon_kill(&server);
    start();
    claim(HF_OP_RESERVE, 3);
    make_snapshot();
    claim(HF_OP_RESERVE, 4);
    make_snapshot();
    claim(HF_OP_RESERVE, 5);
    fill_until(3);
    claim(HF_OP_RESERVE, 6);
    while (status().first_kept_segment < 2)
        ;
    expect_verified();
    hf_daemon_kill(&server);
    start();
    claim(HF_OP_RESERVE, 7);
    expect_verified();
}
