/*
 * Reserve and cancel in a hurry, on few units, with more workers than cores: the order of the log.
 *
 * Units that are given back must not be granted again in an earlier record than the one that gives
 * them back (LOG-BEFORE-RELEASE). The window for getting that wrong is a few instructions wide, so
 * this leaves it to the scheduler to interrupt workers there, often; then holdfast-wal proves
 * NO-OVERSELL at each grant of the log.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "holdfast/client.h"
#include "tests/lib/process.h"

#define CLIENTS    16
#define DEPTH      32
#define UNITS      16
#define DURATION_S 3

struct churner {
    struct hf_client *client;
    uint64_t grants, refusals, others;
};

static struct churner churners[CLIENTS];
static bool ending;

static void on_answer(void *context, const struct hf_reply *reply);

static void ask(struct churner *churner, enum hf_operation operation, const struct hf_id *id)
{
    struct hf_request request = {
        .operation = operation, .inventory_id = 1, .customer_id = 1, .qty = 1, .capacity = UNITS};
    if (id)
        request.id = *id;
    cr_assert(hf_client_submit(churner->client, &request, on_answer, churner, NULL) == 0);
}

/* What was granted is cancelled; whatever else was answered, the next one is asked for. */
static void on_answer(void *context, const struct hf_reply *reply)
{
    struct churner *churner = context;
    churner->grants += reply->result == HF_GRANTED;
    churner->refusals += reply->result == HF_SOLD_OUT;
    /* On a busy machine the disk may stand still for a second. */
    churner->others += reply->result != HF_GRANTED && reply->result != HF_SOLD_OUT &&
                       reply->result != HF_CANCELLED && reply->result != HF_OVERLOADED;
    if (reply->result == HF_GRANTED)
        ask(churner, HF_OP_CANCEL, &reply->reservation.id);
    else if (!ending)
        ask(churner, HF_OP_RESERVE, NULL);
}

static size_t pump(void)
{
    struct pollfd waits[CLIENTS];
    size_t outstanding = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        waits[i] = (struct pollfd){.fd = hf_client_fd(churners[i].client),
                                   .events = hf_client_events(churners[i].client)};
    poll(waits, CLIENTS, 5);
    for (unsigned i = 0; i < CLIENTS; i++) {
        hf_client_process(churners[i].client);
        outstanding += hf_client_outstanding(churners[i].client);
    }
    return outstanding;
}

static void churn(const char *address)
{
    const struct hf_client_options options = {.server = address, .request_timeout_ms = 30000};
    for (unsigned i = 0; i < CLIENTS; i++)
        cr_assert(hf_client_open(&options, &churners[i].client) == 0);
    const struct hf_request create = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = 1, .capacity = UNITS};
    struct hf_reply reply;
    cr_assert(hf_client_call_sync(churners[0].client, &create, &reply) == HF_CREATED);
    for (unsigned i = 0; i < CLIENTS; i++)
        for (unsigned j = 0; j < DEPTH; j++)
            ask(&churners[i], HF_OP_RESERVE, NULL);
    uint64_t until_ns = hf_monotonic_now_ns() + DURATION_S * HF_NS_PER_S;
    while (hf_monotonic_now_ns() < until_ns)
        pump();
    ending = true;
    while (pump() != 0)
        ;
}

Test(churn, units_come_back_in_the_log_before_they_are_granted_again, .timeout = 300)
{
    char directory[HF_DIRECTORY_TEXT_BYTES], wal_program[HF_PROGRAM_TEXT_BYTES], output[4096];
    static const char *const extra[] = {"--workers", "8", "--durability", "memory", NULL};
    struct hf_daemon server = {0};
    uint64_t grants = 0, refusals = 0, others = 0;
    cr_assert(hf_directory_make(directory) == 0);
    hf_program_path("holdfast-wal", wal_program);
    cr_assert(hf_daemon_start_in(&server, directory, extra) == 0, "%s", server.error);
    churn(server.address);
    for (unsigned i = 0; i < CLIENTS; i++) {
        grants += churners[i].grants;
        refusals += churners[i].refusals;
        others += churners[i].others;
        hf_client_close(churners[i].client);
    }
    cr_expect(others == 0, "%llu other answers", (unsigned long long)others);
    cr_expect(grants > 1000 && refusals > 0, "%llu grants, %llu refusals",
              (unsigned long long)grants, (unsigned long long)refusals);
    cr_expect(hf_daemon_stop(&server) == 0);
    const char *const argv[] = {wal_program, "verify", directory, NULL};
    int status = hf_process_run(argv, output, sizeof output);
    cr_expect(status == 0, "status %d: %s", status, output);
    hf_daemon_forget(&server);
    hf_directory_remove(directory);
}
