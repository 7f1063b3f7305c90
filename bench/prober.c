/* The prober. See prober.h. */
#include "bench/prober.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define AHEAD_NS       (3 * HF_NS_PER_MS)  /* claims begin so long before the deadline */
#define RACE_NS        (1 * HF_NS_PER_MS)  /* confirms come so much before or after it */
#define PATIENCE_NS    (60 * HF_NS_PER_S)  /* after its deadline, a claim is given up */
#define WAIT_NS        (50 * HF_NS_PER_MS) /* longest sleep */
#define TIMEOUT_MS     70000
#define MAX_COMPLAINTS 5

struct hf_probe {
    struct hf_prober *prober;
    uint64_t begin_ns; /* on the server's clock, as all here */
    uint64_t sent_ns;
    uint32_t number; /* of the hold */
    bool confirms;   /* its customer confirms; else somebody else claims */
};

static void ask(struct hf_probe *probe);

static uint64_t now_ns(const struct hf_prober *prober)
{
    return hf_server_time_now_ns(prober->time);
}

static uint64_t deadline_of(const struct hf_probe *probe)
{
    return probe->prober->holds->deadlines_ns[probe->number];
}

/* ---- answers ---- */

static void complain(struct hf_prober *prober, uint64_t *count, const struct hf_probe *probe,
                     const struct hf_reply *reply)
{
    ++*count;
    if (prober->complaints++ < MAX_COMPLAINTS)
        fprintf(stderr, "%s: hold %u, deadline %" PRIu64 ": %s was answered %s at %" PRIu64 "\n",
                program_invocation_short_name, probe->number, deadline_of(probe),
                probe->confirms ? "its CONFIRM" : "the claim of its unit",
                hf_result_name(reply->result), now_ns(prober));
}

static void take_grant(struct hf_prober *prober, const struct hf_probe *probe,
                       const struct hf_reply *reply)
{
    struct hf_prober_result *result = &prober->result;
    uint64_t deadline_ns = deadline_of(probe), answered_ns = now_ns(prober);
    uint64_t made_ns = reply->reservation.made_at_ns;
    result->granted++;
    if (answered_ns + prober->time->error_ns < deadline_ns)
        complain(prober, &result->early, probe, reply);
    if (made_ns < deadline_ns)
        result->predated++;
    hf_histogram_add(&result->decided, made_ns > deadline_ns ? made_ns - deadline_ns : 0);
    hf_histogram_add(&result->answered, answered_ns > deadline_ns ? answered_ns - deadline_ns : 0);
}

/* True: it is to ask again. */
static bool take_refusal(struct hf_prober *prober, const struct hf_probe *probe,
                         const struct hf_reply *reply)
{
    struct hf_prober_result *result = &prober->result;
    uint64_t free_ns = deadline_of(probe) + prober->time->error_ns;
    result->refused++;
    if (probe->sent_ns > free_ns) {
        result->refused_late++;
        if (probe->sent_ns - free_ns > result->refused_late_ns)
            result->refused_late_ns = probe->sent_ns - free_ns;
    }
    if (probe->sent_ns < free_ns + PATIENCE_NS)
        return true;
    complain(prober, &result->errors, probe, reply);
    return false;
}

static void take_confirmation(struct hf_prober *prober, const struct hf_probe *probe,
                              const struct hf_reply *reply)
{
    struct hf_prober_result *result = &prober->result;
    uint64_t deadline_ns = deadline_of(probe);
    if (reply->result == HF_CONFIRMED && reply->reservation.changed_at_ns < deadline_ns)
        result->confirmed++;
    else if (reply->result == HF_CONFIRMED)
        complain(prober, &result->late, probe, reply);
    else if (reply->result != HF_HOLD_EXPIRED)
        complain(prober, &result->errors, probe, reply);
    else if (now_ns(prober) + prober->time->error_ns < deadline_ns)
        complain(prober, &result->early, probe, reply);
    else
        result->lapsed++;
}

static void take(void *context, const struct hf_reply *reply)
{
    struct hf_probe *probe = context;
    struct hf_prober *prober = probe->prober;
    bool again = false;
    if (reply->resent)
        complain(prober, &prober->result.errors, probe, reply);
    else if (probe->confirms)
        take_confirmation(prober, probe, reply);
    else if (reply->result == HF_GRANTED)
        take_grant(prober, probe, reply);
    else if (reply->result == HF_SOLD_OUT)
        again = take_refusal(prober, probe, reply);
    else
        complain(prober, &prober->result.errors, probe, reply);
    if (again)
        ask(probe);
    else
        prober->open--;
}

/* ---- asking ---- */

static void ask(struct hf_probe *probe)
{
    struct hf_prober *prober = probe->prober;
    const struct hf_holds *holds = prober->holds;
    struct hf_request request = {
        .operation = probe->confirms ? HF_OP_CONFIRM : HF_OP_RESERVE,
        .id = hf_holds_id(holds, probe->number, !probe->confirms),
        .inventory_id = holds->first_inventory_id + hf_holds_place(holds, probe->number),
        .customer_id = 1 + (uint64_t)holds->count + probe->number,
        .qty = probe->confirms ? 0 : 1,
    };
    probe->sent_ns = now_ns(prober);
    if (hf_client_submit(prober->client, &request, take, probe, NULL) != 0) {
        fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
        prober->result.errors++;
        prober->open--;
    }
}

/* Until the next probe begins, or an answer is there. */
static void wait_until(const struct hf_prober *prober, uint64_t next_ns)
{
    uint64_t at_ns = now_ns(prober), wait_ns = 0;
    if (next_ns > at_ns)
        wait_ns = next_ns - at_ns < WAIT_NS ? next_ns - at_ns : WAIT_NS;
    const struct timespec timeout = {.tv_sec = (time_t)(wait_ns / HF_NS_PER_S),
                                     .tv_nsec = (long)(wait_ns % HF_NS_PER_S)};
    struct pollfd ready = {.fd = hf_client_fd(prober->client),
                           .events = hf_client_events(prober->client)};
    ppoll(&ready, 1, &timeout, NULL);
}

static void *probe_thread(void *context)
{
    struct hf_prober *prober = context;
    uint32_t begun = 0;
    prctl(PR_SET_TIMERSLACK, 1ul); /* ns: it is to be at the counter in time */
    while (prober->open != 0) {
        uint64_t at_ns = now_ns(prober);
        for (; begun < prober->count && prober->probes[begun].begin_ns <= at_ns; begun++)
            ask(&prober->probes[begun]);
        hf_client_process(prober->client);
        if (prober->open != 0)
            wait_until(prober, begun < prober->count ? prober->probes[begun].begin_ns : UINT64_MAX);
    }
    hf_store_release(&prober->done, true); /* pairs with the loads of who waits for us */
    return NULL;
}

/* ---- start and end ---- */

static int by_begin(const void *left, const void *right)
{
    const struct hf_probe *one = left, *other = right;
    return (one->begin_ns > other->begin_ns) - (one->begin_ns < other->begin_ns);
}

static void make_probes(struct hf_prober *prober)
{
    const struct hf_holds *holds = prober->holds;
    for (uint32_t number = 0; number < holds->alone + holds->raced; number++) {
        struct hf_probe *probe = &prober->probes[prober->count++];
        uint64_t deadline_ns = holds->deadlines_ns[number];
        *probe = (struct hf_probe){
            .prober = prober, .number = number, .confirms = number >= holds->alone};
        probe->begin_ns = deadline_ns - AHEAD_NS;
        if (probe->confirms) /* spread evenly */
            probe->begin_ns =
                deadline_ns - RACE_NS + 2 * RACE_NS * (number - holds->alone) / holds->raced;
    }
    prober->open = prober->count;
    qsort(prober->probes, prober->count, sizeof *prober->probes, by_begin);
}

int hf_prober_start(struct hf_prober *prober, const char *server, const struct hf_holds *holds,
                    const struct hf_server_time *time)
{
    const struct hf_client_options options = {.server = server, .request_timeout_ms = TIMEOUT_MS};
    memset(prober, 0, sizeof *prober);
    prober->holds = holds;
    prober->time = time;
    prober->probes = calloc((size_t)holds->alone + holds->raced + 1, sizeof *prober->probes);
    int result = prober->probes == NULL ? -ENOMEM : hf_client_open(&options, &prober->client);
    if (result == 0) {
        make_probes(prober);
        result = -pthread_create(&prober->thread, NULL, probe_thread, prober);
    }
    if (result != 0)
        hf_prober_free(prober);
    return result;
}

void hf_prober_join(struct hf_prober *prober)
{
    pthread_join(prober->thread, NULL);
}

void hf_prober_free(struct hf_prober *prober)
{
    if (prober->client != NULL)
        hf_client_close(prober->client);
    free(prober->probes);
    memset(prober, 0, sizeof *prober);
}
