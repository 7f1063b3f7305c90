/*
 * The feed under clients that come, subscribe, dawdle, read, unsubscribe and go at any moment,
 * beside producers that write: each client gets exactly the records that its filter lets pass, in
 * order and once, from its LSN to the one that the feed says it has got to.
 *
 * One of the threads is the clients'; the others append.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/image.h"
#include "tests/lib/feed_worker.h"
#include "tests/lib/stress.h"

#define INVENTORIES     12u
#define CUSTOMERS       40u
#define RECORDS_A_ROUND 30000u
#define MAX_RECORDS     (RECORDS_A_ROUND * 2)
#define ACTIONS         400u
#define TAGS            3u

/* What a record is about, by LSN. */
struct subject {
    uint8_t kind, inventory, customer;
};

/* What a client expects of one tag. */
struct expectation {
    bool subscribed, answered, ending;
    uint32_t kind;
    uint64_t id;
    uint64_t next_lsn; /* everything before was seen */
};

struct round {
    struct hf_live_log live;
    struct hf_feed_worker worker;
    uint64_t seed;
    uint64_t records_each;
    _Atomic uint32_t producing;
    struct subject subjects[MAX_RECORDS];
    struct expectation expectations[HF_FEED_CLIENTS][TAGS];
    uint64_t records, behind, ended, refused;
};

static void encode(uint8_t *record, const struct subject *subject, struct hf_random *random)
{
    if (subject->kind == HF_IMAGE_INVENTORY) {
        struct hf_inventory inventory = {
            .inventory_id = subject->inventory, .capacity = 5, .made_at_ns = 1};
        hf_image_encode_event(record, HF_EVENT_AVAILABLE_AGAIN, &inventory, 1);
        return;
    }
    struct hf_reservation reservation = {
        .inventory_id = subject->inventory,
        .customer_id = subject->customer,
        .made_at_ns = 1,
        .changed_at_ns = 1,
        .qty = 1,
        .sequence = 1,
        .state = HF_STATE_CONFIRMED,
        .id = hf_id_of_number(hf_random_below(random, 1u << 30)),
    };
    hf_image_encode_reservation(record, &reservation, &(struct hf_image_notes){0});
}

static void produce(struct round *round, unsigned index)
{
    struct hf_random random = hf_random_for(round->seed, 100 + index);
    struct hf_ring_producer producer;
    hf_ring_producer_init(&producer, &round->live.log.ring);
    for (uint64_t made = 0; made < round->records_each;) {
        uint32_t count = hf_random_chance(&random, 3) ? 2 + hf_random_below(&random, 60) : 1;
        struct subject subject = {
            .kind = hf_random_chance(&random, 10) ? HF_IMAGE_INVENTORY : HF_IMAGE_RESERVATION,
            .inventory = (uint8_t)hf_random_below(&random, INVENTORIES),
            .customer = (uint8_t)hf_random_below(&random, CUSTOMERS),
        };
        uint8_t record[HF_RECORD_BYTES] = {0};
        encode(record, &subject, &random);
        /* Appended by hand, as what it is about has to be known before anybody can read it. */
        while (!hf_ring_credit(&producer, count))
            hf_random_pause(&random);
        uint64_t first_lsn = hf_ring_reserve_chain(&producer, count);
        for (uint32_t i = 0; i < count; i++) {
            struct hf_ring_slot *slot = hf_ring_slot(&round->live.log.ring, first_lsn + i);
            round->subjects[first_lsn + i] = subject;
            memcpy(slot->image, record + HF_RECORD_IMAGE, HF_RECORD_IMAGE_BYTES);
            slot->image[HF_RECORD_CHAIN_INDEX - HF_RECORD_IMAGE] = (uint8_t)i;
            slot->image[HF_RECORD_CHAIN_LENGTH - HF_RECORD_IMAGE] = count > 1 ? (uint8_t)count : 0;
            hf_ring_publish(slot, first_lsn + i);
        }
        made += count;
        if (hf_random_chance(&random, 2)) {
            struct timespec pause = {.tv_nsec = 300000};
            nanosleep(&pause, NULL);
        }
    }
    hf_ring_producer_close(&producer);
    /* Release, pairs with the acquire in live(): everything was appended. */
    hf_fetch_add_acq_rel(&round->producing, UINT32_MAX); /* - 1 */
}

/* ---- clients ---- */

static bool passes(const struct expectation *expectation, const struct subject *subject)
{
    if (expectation->kind == HF_WATCH_ALL)
        return true;
    if (expectation->kind == HF_WATCH_INVENTORIES)
        return subject->inventory == expectation->id;
    return subject->kind == HF_IMAGE_RESERVATION && subject->customer == expectation->id;
}

/* All records from expectation->next_lsn to before `next_lsn` that pass, and no other. */
static void check_records(struct round *round, struct expectation *expectation,
                          const struct hf_reply *reply)
{
    uint32_t seen = 0;
    const uint8_t *final = NULL;
    for (uint64_t lsn = expectation->next_lsn; lsn < reply->next_lsn; lsn++) {
        if (!passes(expectation, &round->subjects[lsn]))
            continue;
        final = reply->records + (size_t)seen * HF_RECORD_BYTES;
        if (seen == reply->count || hf_get_u64(final) != lsn)
            hf_stress_fail("LSN %llu is missing; %u of %u records", (unsigned long long)lsn, seen,
                           reply->count);
        seen++;
    }
    if (seen != reply->count)
        hf_stress_fail("%u records before LSN %llu, expected %u", reply->count,
                       (unsigned long long)reply->next_lsn, seen);
    if (final != NULL && final[HF_RECORD_CHAIN_LENGTH] != 0 &&
        final[HF_RECORD_CHAIN_INDEX] + 1 != final[HF_RECORD_CHAIN_LENGTH])
        hf_stress_fail("the frame ends within a chain, at LSN %llu",
                       (unsigned long long)hf_get_u64(final));
    expectation->next_lsn = reply->next_lsn;
    round->records += seen;
}

static void check_frame(struct round *round, uint32_t client, const struct hf_frame *frame,
                        const struct hf_reply *reply)
{
    if (reply->operation == HF_OP_UNSUBSCRIBE) {
        if (reply->result != HF_UNSUBSCRIBED)
            hf_stress_fail("UNSUBSCRIBE is answered with %u", reply->result);
        return;
    }
    struct expectation *expectation = &round->expectations[client][frame->tag];
    if (!expectation->subscribed)
        hf_stress_fail("a frame of a subscription that has ended: %u", reply->result);
    switch (reply->result) {
    case HF_SUBSCRIBED:
        if (expectation->answered ||
            (expectation->next_lsn != 0 && expectation->next_lsn != reply->next_lsn))
            hf_stress_fail("SUBSCRIBED from LSN %llu", (unsigned long long)reply->next_lsn);
        expectation->answered = true;
        expectation->next_lsn = reply->next_lsn;
        break;
    case HF_RECORDS:
        check_records(round, expectation, reply);
        break;
    case HF_FELL_BEHIND:
        round->behind++;
        break;
    case HF_UNSUBSCRIBED:
        if (!expectation->ending || reply->next_lsn < expectation->next_lsn)
            hf_stress_fail("UNSUBSCRIBED, at LSN %llu", (unsigned long long)reply->next_lsn);
        for (uint64_t lsn = expectation->next_lsn; lsn < reply->next_lsn; lsn++)
            if (passes(expectation, &round->subjects[lsn]))
                hf_stress_fail("LSN %llu was not told", (unsigned long long)lsn);
        *expectation = (struct expectation){0};
        round->ended++;
        break;
    case HF_BAD_FIELD:
        *expectation = (struct expectation){0};
        round->refused++;
        break;
    default:
        hf_stress_fail("a frame with result %u", reply->result);
    }
    if (expectation->subscribed && !expectation->answered)
        hf_stress_fail("result %u before SUBSCRIBED", reply->result);
}

/* Looks at up to `limit` frames that a client has received. */
static uint32_t drain(struct round *round, uint32_t client, uint32_t limit)
{
    static uint8_t bytes[HF_MAX_REPLY_BYTES];
    static struct hf_reply_scratch scratch;
    uint32_t frames = 0;
    struct hf_frame frame;
    while (frames < limit && hf_feed_worker_next(&round->worker, client, bytes, &frame, 0)) {
        struct hf_reply reply;
        if (!hf_reply_decode(bytes, &frame, &reply, &scratch))
            hf_stress_fail("a frame that is none: operation %u", frame.operation);
        check_frame(round, client, &frame, &reply);
        frames++;
    }
    return frames;
}

static void subscribe(struct round *round, struct hf_random *random, uint32_t client, uint32_t tag)
{
    struct expectation *expectation = &round->expectations[client][tag];
    uint64_t tail = hf_load_relaxed(&round->live.log.ring.tail);
    uint64_t id = hf_random_below(random, INVENTORIES);
    *expectation = (struct expectation){
        .subscribed = true,
        .kind = hf_random_below(random, 3),
        .id = id,
        /* 0: from now on; else from somewhere; beyond the tail, it is refused. */
        .next_lsn = hf_random_chance(random, 30) ? 0 : 1 + hf_random_next(random) % (tail + 3),
    };
    struct hf_request request = {
        .operation = HF_OP_SUBSCRIBE,
        .from_lsn = expectation->next_lsn,
        .kind = expectation->kind,
        .ids = &id,
        .count = expectation->kind == HF_WATCH_ALL ? 0 : 1,
    };
    enum hf_result result = hf_feed_worker_subscribe(&round->worker, client, tag, &request);
    if (result == HF_SUBSCRIPTIONS_FULL) { /* the feed has not seen yet how many are gone */
        *expectation = (struct expectation){0};
        round->refused++;
    } else if (result != HF_OK) {
        hf_stress_fail("SUBSCRIBE is refused: %u", result);
    }
}

static void act_on_tag(struct round *round, struct hf_random *random, uint32_t client)
{
    uint32_t tag = hf_random_below(random, TAGS);
    struct expectation *expectation = &round->expectations[client][tag];
    if (!expectation->subscribed) {
        subscribe(round, random, client, tag);
        return;
    }
    if (!expectation->ending && hf_random_chance(random, 30)) {
        enum hf_result result = hf_feed_worker_unsubscribe(&round->worker, client, 1000, tag);
        /* The other: it was refused, and the client has not seen it yet. */
        if (result != HF_OK && (result != HF_UNSUBSCRIBED || expectation->answered))
            hf_stress_fail("UNSUBSCRIBE gives %u", result);
        expectation->ending = true;
    }
}

static void act(struct round *round, struct hf_random *random)
{
    uint32_t client = hf_random_below(random, HF_FEED_CLIENTS);
    struct hf_feed_client *of = &round->worker.clients[client];
    if (!of->connected) { /* written by this thread only */
        hf_feed_worker_connect(&round->worker, client, hf_random_chance(random, 60));
        memset(round->expectations[client], 0, sizeof round->expectations[client]);
    } else if (hf_random_chance(random, 4)) {
        hf_feed_worker_disconnect(&round->worker, client);
    } else if (hf_random_chance(random, 20)) {
        hf_feed_worker_set_reads(&round->worker, client, hf_random_chance(random, 60));
    } else if (hf_random_chance(random, 50)) {
        act_on_tag(round, random, client);
    } else {
        drain(round, client, 1 + hf_random_below(random, 8));
    }
}

/* Every subscription gets to the end of the log. */
static bool all_caught_up(struct round *round, uint64_t last_lsn)
{
    bool all = true;
    for (uint32_t client = 0; client < HF_FEED_CLIENTS; client++) {
        for (uint32_t tag = 0; tag < TAGS; tag++) {
            const struct expectation *expectation = &round->expectations[client][tag];
            uint64_t lsn = expectation->next_lsn;
            while (lsn <= last_lsn && !passes(expectation, &round->subjects[lsn]))
                lsn++;
            if (round->worker.clients[client].connected && expectation->subscribed &&
                (!expectation->answered || expectation->ending || lsn <= last_lsn))
                all = false;
        }
    }
    return all;
}

static void live(struct round *round)
{
    struct hf_random random = hf_random_for(round->seed, 1);
    /* Acquire, pairs with produce(). */
    for (uint32_t i = 0; i < ACTIONS || hf_load_acquire(&round->producing) != 0; i++) {
        struct timespec pause = {.tv_nsec = hf_random_below(&random, 100000)};
        act(round, &random);
        nanosleep(&pause, NULL);
    }
    uint64_t last_lsn = hf_load_relaxed(&round->live.log.ring.tail) - 1; /* nobody appends */
    for (uint32_t i = 0; i < HF_FEED_CLIENTS; i++)
        hf_feed_worker_set_reads(&round->worker, i, true);
    uint64_t until_ns = hf_monotonic_now_ns() + 60 * HF_NS_PER_S;
    do {
        for (uint32_t i = 0; i < HF_FEED_CLIENTS; i++)
            drain(round, i, UINT32_MAX);
        if (hf_monotonic_now_ns() > until_ns)
            hf_stress_fail("a subscription stands still before LSN %llu",
                           (unsigned long long)last_lsn);
    } while (!all_caught_up(round, last_lsn));
}

static void run(void *context, unsigned index)
{
    if (index == 0)
        live(context);
    else
        produce(context, index);
}

int main(int argc, char **argv)
{
    struct hf_stress_options options;
    hf_stress_begin("feed", argc, argv, &options);
    unsigned threads = options.threads > 1 ? options.threads : 2;
    uint64_t rounds = 0, records = 0, behind = 0, ended = 0, refused = 0;
    struct round *round = aligned_alloc(HF_CACHE_LINE_BYTES, sizeof *round);
    while (!hf_stress_over()) {
        memset(round, 0, sizeof *round);
        round->seed = options.seed + rounds;
        round->producing = threads - 1;
        round->records_each = RECORDS_A_ROUND / (threads - 1);
        hf_live_log_open(&round->live, 1u << 20, 1024, rounds % 2 == 0 ? 1024 : 32768,
                         rounds % 3 == 2 ? HF_DURABILITY_MEMORY : HF_DURABILITY_DISK);
        hf_feed_worker_open(&round->worker, &round->live);
        hf_stress_run(threads, run, round);
        hf_feed_worker_close(&round->worker);
        records += round->records;
        behind += round->behind;
        ended += round->ended;
        refused += round->refused;
        rounds++;
    }
    free(round);
    return hf_stress_done("%llu rounds, %llu records told, %llu times behind, %llu unsubscribed, "
                          "%llu refused",
                          (unsigned long long)rounds, (unsigned long long)records,
                          (unsigned long long)behind, (unsigned long long)ended,
                          (unsigned long long)refused);
}
