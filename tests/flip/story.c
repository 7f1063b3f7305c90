/* The story; see story.h. Each run is a process that has the directory open by the embedded API. */
#include "tests/flip/story.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "holdfast/embedded.h"
#include "tests/lib/stress.h"

#define INVENTORIES    6
#define LIST_INVENTORY 6 /* with few units, and a waiting list */
#define HOLD_NS        (30ull * 24 * 3600 * HF_NS_PER_S)
#define SNAPSHOT_S     30 /* until one is made */
#define RUN_IDS        10000

struct teller {
    struct hf_embedded *db;
    struct hf_session *session;
    struct hf_random random;
    uint32_t first, made; /* ids of this run: first + 1 .. made */
};

static unsigned tell(struct teller *teller, const struct hf_request *request, bool waits)
{
    struct hf_reply reply;
    uint64_t lsn;
    unsigned result = hf_session_call(teller->session, request, &reply, &lsn);
    if (waits)
        hf_session_wait(teller->session, lsn);
    return result;
}

static void make_inventories(struct teller *teller)
{
    for (uint64_t i = 1; i <= INVENTORIES; i++) {
        struct hf_request create = {.operation = HF_OP_INVENTORY_CREATE,
                                    .inventory_id = i,
                                    .product_id = 7,
                                    .capacity = i == LIST_INVENTORY ? 4 : 1000};
        struct hf_request set = {.operation = HF_OP_INVENTORY_SET,
                                 .inventory_id = i,
                                 .change = {.fields = HF_SET_WAITING_LIMIT | HF_SET_CUSTOMER_LIMIT,
                                            .settings = {.waiting_limit = 100}}};
        HF_CHECK(tell(teller, &create, true) == HF_CREATED);
        HF_CHECK(tell(teller, &set, true) == HF_SET);
    }
}

/* Of this run, or of the first. */
static struct hf_id any_id(struct teller *teller)
{
    uint32_t made = teller->made - teller->first;
    bool old = teller->first != 0 && hf_random_below(&teller->random, 2);
    return hf_id_of_number(1 + (old ? hf_random_below(&teller->random, 30)
                                    : teller->first + hf_random_below(&teller->random, made)));
}

static void basket(struct teller *teller)
{
    struct hf_line lines[3];
    for (uint32_t i = 0; i < 3; i++)
        lines[i] = (struct hf_line){.operation = i == 1 ? HF_OP_HOLD : HF_OP_RESERVE,
                                    .qty = 1 + i,
                                    .id = hf_id_of_number(++teller->made),
                                    .inventory_id = 1 + i,
                                    .customer_id = teller->made,
                                    .ttl_ns = i == 1 ? HOLD_NS : 0};
    const struct hf_request request = {.operation = HF_OP_BATCH, .count = 3, .lines = lines};
    tell(teller, &request, true);
}

static void change_something(struct teller *teller)
{
    static const enum hf_operation claims[] = {HF_OP_RESERVE, HF_OP_HOLD, HF_OP_HOLD, HF_OP_JOIN};
    static const enum hf_operation changes[] = {HF_OP_CONFIRM, HF_OP_CANCEL,  HF_OP_CHANGE,
                                                HF_OP_MOVE,    HF_OP_RELEASE, HF_OP_EXTEND};
    struct hf_request request = {.qty = 1 + hf_random_below(&teller->random, 3)};
    uint32_t dice = hf_random_below(&teller->random, 20);
    if (dice == 0) {
        basket(teller);
        return;
    }
    if (dice < 12 || teller->made == teller->first) {
        request.operation = claims[hf_random_below(&teller->random, 4)];
        request.id = hf_id_of_number(++teller->made);
        request.inventory_id = request.operation == HF_OP_JOIN
                                   ? LIST_INVENTORY
                                   : 1 + hf_random_below(&teller->random, INVENTORIES);
        request.customer_id = teller->made;
        request.ttl_ns = request.operation == HF_OP_HOLD ? HOLD_NS : 0;
    } else if (dice == 19) {
        request = (struct hf_request){
            .operation = HF_OP_INVENTORY_SET,
            .inventory_id = 1 + hf_random_below(&teller->random, INVENTORIES),
            .change = {.fields = HF_SET_SELL_LIMIT,
                       .settings = {.sell_limit = 900 + hf_random_below(&teller->random, 200)}}};
    } else {
        request.operation = changes[hf_random_below(&teller->random, 6)];
        request.id = any_id(teller);
        request.customer_id = request.operation == HF_OP_MOVE ? teller->made + 1000 : 0;
        request.ttl_ns = request.operation == HF_OP_EXTEND ? HOLD_NS : 0;
        if (request.operation != HF_OP_CHANGE)
            request.qty = 0;
    }
    tell(teller, &request, true);
}

static void change_things(struct teller *teller, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        change_something(teller);
}

/* Extends one hold again and again, until the log has come to this segment. */
static void fill_segments(struct teller *teller, uint64_t until)
{
    struct hf_status status;
    struct hf_request hold = {.operation = HF_OP_HOLD,
                              .id = hf_id_of_number(++teller->made),
                              .inventory_id = 1,
                              .customer_id = 1,
                              .qty = 1,
                              .ttl_ns = HOLD_NS};
    HF_CHECK(tell(teller, &hold, true) == HF_GRANTED);
    hold.operation = HF_OP_EXTEND;
    hold.qty = 0;
    hold.inventory_id = hold.customer_id = 0;
    do {
        for (unsigned i = 0; i < 100; i++)
            HF_CHECK(tell(teller, &hold, i == 99) == HF_EXTENDED);
        hf_embedded_status(teller->db, &status);
    } while (status.active_segment < until);
}

static void make_snapshot(struct teller *teller)
{
    struct hf_status before, now;
    uint64_t deadline_ns = hf_monotonic_now_ns() + SNAPSHOT_S * HF_NS_PER_S;
    hf_embedded_status(teller->db, &before);
    hf_embedded_request_snapshot(teller->db);
    do {
        usleep(1000);
        hf_embedded_status(teller->db, &now);
        HF_CHECK(hf_monotonic_now_ns() < deadline_ns);
    } while (now.snapshots_made == before.snapshots_made);
}

/* ---- the runs ---- */

static void first_run(struct teller *teller)
{
    make_inventories(teller);
    change_things(teller, 40);
}

static void second_run(struct teller *teller)
{
    change_things(teller, 15);
    make_snapshot(teller);
    change_things(teller, 10);
    fill_segments(teller, 2);
    change_things(teller, 10);
    make_snapshot(teller);
    change_things(teller, 10);
}

static void third_run(struct teller *teller)
{
    change_things(teller, 12);
}

static _Noreturn void run(const char *directory, uint64_t seed, unsigned number)
{
    static void (*const runs[])(struct teller *) = {first_run, second_run, third_run};
    const struct hf_embedded_options options = {
        .directory = directory,
        .max_inventories = 100,
        .max_reservations = 10000,
        .segment_bytes = 1 << 20,
    };
    struct teller teller = {
        .random = hf_random_for(seed, number), .first = number * RUN_IDS, .made = number * RUN_IDS};
    char error[HF_EMBEDDED_ERROR_BYTES];
    if (hf_embedded_open(&options, &teller.db, error) != 0) {
        fprintf(stderr, "flip: %s\n", error);
        _exit(1);
    }
    HF_CHECK(hf_session_open(teller.db, &teller.session) == 0);
    runs[number](&teller);
    if (number != 0)
        raise(SIGKILL);
    hf_session_close(teller.session);
    _exit(hf_embedded_close(teller.db) == 0 ? 0 : 1);
}

int hf_story_write(const char *directory, uint64_t seed)
{
    for (unsigned number = 0; number < 3; number++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0)
            run(directory, seed, number);
        if (child < 0 || waitpid(child, &status, 0) != child ||
            status != (number == 0 ? 0 : SIGKILL)) {
            fprintf(stderr, "flip: run %u of the story ended with %d\n", number + 1, status);
            return -1;
        }
    }
    return 0;
}
