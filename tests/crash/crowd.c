/*
 * The crowd: eight clients on one thread, and the one who follows the log meanwhile.
 *
 * The log is followed from within the pump: so no more than what is in flight is written between two
 * looks, and a segment cannot be filled, left, and released by two snapshots before it was read.
 */
#include <poll.h>

#include "base/check.h"
#include "tests/crash/crash.h"

#define FOLLOW_PERIOD_NS (20 * HF_NS_PER_MS)

static void on_answer(void *context, const struct hf_reply *reply)
{
    hf_model_answer(context, reply);
}

static void on_booking_answer(void *context, const struct hf_reply *reply)
{
    struct hf_asking *asking = context;
    struct hf_crash *crash = asking->context;
    hf_bookings_answer(&crash->bookings, asking, reply);
}

void hf_crash_open_client(struct hf_crash *crash, unsigned client)
{
    const struct hf_client_options options = {.server = crash->listen,
                                              .request_timeout_ms = HF_CRASH_ANSWER_S * 1000,
                                              .reconnect_delay_ms = 5};
    HF_CHECK(hf_client_open(&options, &crash->clients[client]) == 0);
}

void hf_crash_submit(struct hf_crash *crash, unsigned client, struct hf_model_request *request)
{
    HF_CHECK(hf_client_submit(crash->clients[client], &request->wire, on_answer, request, NULL) ==
             0);
}

void hf_crash_submit_booking(struct hf_crash *crash, unsigned client, struct hf_asking *asking)
{
    asking->context = crash;
    HF_CHECK(hf_client_submit(crash->clients[client], &asking->wire, on_booking_answer, asking,
                              NULL) == 0);
}

size_t hf_crash_outstanding(const struct hf_crash *crash)
{
    size_t sum = 0;
    for (unsigned i = 0; i < HF_CRASH_CLIENTS; i++)
        sum += hf_client_outstanding(crash->clients[i]);
    return sum;
}

void hf_crash_follow(struct hf_crash *crash)
{
    const char *wrong = hf_annals_follow(&crash->witness.annals, crash->directory);
    if (wrong)
        hf_witness_contradict(&crash->witness, "%s", wrong);
    crash->followed_ns = hf_monotonic_now_ns();
}

void hf_crash_pump(struct hf_crash *crash, int timeout_ms)
{
    struct pollfd waits[HF_CRASH_CLIENTS];
    for (unsigned i = 0; i < HF_CRASH_CLIENTS; i++) {
        int own_ms = hf_client_timeout_ms(crash->clients[i]);
        waits[i] = (struct pollfd){.fd = hf_client_fd(crash->clients[i]),
                                   .events = hf_client_events(crash->clients[i])};
        if (own_ms >= 0 && own_ms < timeout_ms)
            timeout_ms = own_ms;
    }
    poll(waits, HF_CRASH_CLIENTS, timeout_ms);
    for (unsigned i = 0; i < HF_CRASH_CLIENTS; i++)
        hf_client_process(crash->clients[i]);
    if (hf_monotonic_now_ns() - crash->followed_ns >= FOLLOW_PERIOD_NS)
        hf_crash_follow(crash);
}

void hf_crash_finish_requests(struct hf_crash *crash)
{
    uint64_t deadline_ns = hf_monotonic_now_ns() + (HF_CRASH_ANSWER_S + 5) * HF_NS_PER_S;
    while (hf_crash_outstanding(crash) != 0 && !hf_crash_failed(crash)) {
        int status = 0;
        hf_crash_pump(crash, 20);
        if (!hf_daemon_running(&crash->server, &status))
            hf_model_contradict(crash->model, "the server ended by itself, exit status %d", status);
        else if (hf_monotonic_now_ns() > deadline_ns)
            hf_model_contradict(crash->model, "%zu requests are not answered",
                                hf_crash_outstanding(crash));
    }
}

void hf_crash_call(struct hf_crash *crash, enum hf_operation operation, uint32_t from,
                   struct hf_reply *reply)
{
    const struct hf_request request = {.operation = operation, .from = from, .limit = 1000};
    unsigned result = hf_client_call_sync(crash->clients[0], &request, reply);
    if (hf_result_group(result) != HF_GROUP_YES)
        hf_model_contradict(crash->model, "operation %u was answered %s", (unsigned)operation,
                            hf_result_name(result));
}
