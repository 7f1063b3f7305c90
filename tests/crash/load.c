/*
 * The load: two at once, on different inventories. Reserves and cancels, which the model judges; and
 * bookings of every kind, which the witness judges.
 */
#include "base/check.h"
#include "tests/crash/crash.h"

#define DEPTH       32
#define PATIENCE_NS (1500 * HF_NS_PER_MS) /* until the moment that is aimed at */

static struct hf_model_inventory *any_inventory(struct hf_crash *crash)
{
    for (;;) {
        uint32_t count = hf_model_inventory_count(crash->model);
        uint32_t index = hf_random_below(&crash->random, 2)
                             ? hf_random_below(&crash->random, HF_CRASH_HOT_INVENTORIES)
                             : hf_random_below(&crash->random, count);
        struct hf_model_inventory *inventory = hf_model_inventory(crash->model, index);
        if (inventory->created)
            return inventory;
    }
}

static struct hf_model_reservation *any_active(struct hf_crash *crash)
{
    const struct hf_model_inventory *inventory = any_inventory(crash);
    return inventory->active_count
               ? inventory->active[hf_random_below(&crash->random, inventory->active_count)]
               : NULL;
}

static struct hf_model_reservation *any_touched(struct hf_crash *crash)
{
    uint32_t count = hf_model_touched_count(crash->model);
    return count ? hf_model_touched(crash->model, hf_random_below(&crash->random, count)) : NULL;
}

static void ask(struct hf_crash *crash, unsigned client, enum hf_operation operation,
                struct hf_model_reservation *reservation)
{
    hf_crash_submit(crash, client,
                    hf_model_ask(crash->model, operation, reservation, HF_MODEL_LOAD));
}

static struct hf_model_reservation *ask_new(struct hf_crash *crash, unsigned client)
{
    struct hf_model_reservation *reservation = hf_model_add_reservation(
        crash->model, any_inventory(crash), ++crash->next_customer, hf_crash_between(crash, 1, 3));
    ask(crash, client, HF_OP_RESERVE, reservation);
    return reservation;
}

/* A granted id, with one other parameter: ID_REUSED, naming it. */
static void ask_reuse(struct hf_crash *crash, unsigned client,
                      struct hf_model_reservation *reservation)
{
    struct hf_model_request *request =
        hf_model_ask(crash->model, HF_OP_RESERVE, reservation, HF_MODEL_REUSE);
    const struct hf_model_inventory *other = any_inventory(crash);
    uint32_t choice = hf_random_below(&crash->random, 3);
    if (choice == 0 && other != reservation->inventory)
        hf_model_ask_other(request, HF_FIELD_INVENTORY_ID, other->inventory_id);
    else if (choice == 1)
        hf_model_ask_other(request, HF_FIELD_CUSTOMER_ID, reservation->customer_id + 1);
    else
        hf_model_ask_other(request, HF_FIELD_QTY, reservation->qty + 1);
    hf_crash_submit(crash, client, request);
}

/* One step of the load: one request, or two that belong together. */
static unsigned ask_something(struct hf_crash *crash, unsigned client)
{
    unsigned other =
        (client + 1 + hf_random_below(&crash->random, HF_CRASH_CLIENTS - 1)) % HF_CRASH_CLIENTS;
    uint32_t dice = hf_random_below(&crash->random, 100);
    struct hf_model_reservation *active = dice < 50 ? NULL : any_active(crash);
    struct hf_model_reservation *touched = dice < 93 ? NULL : any_touched(crash);
    if (crash->retain_s != 0 && dice >= 50 && dice < 78) {
        ask_new(crash, client); /* what is cancelled may soon be forgotten */
    } else if (dice >= 50 && dice < 74 && active) {
        ask(crash, client, HF_OP_CANCEL, active);
    } else if (dice >= 74 && dice < 78 && active) {
        ask(crash, client, HF_OP_CANCEL, active);
        ask(crash, other, HF_OP_CANCEL, active);
        return 2;
    } else if (dice >= 78 && dice < 83 && active) {
        ask(crash, client, HF_OP_RESERVE, active);
    } else if (dice >= 83 && dice < 86 && active) {
        ask_reuse(crash, client, active);
    } else if (dice >= 86 && dice < 90) {
        ask(crash, other, HF_OP_RESERVE, ask_new(crash, client));
        return 2;
    } else if (dice >= 90 && dice < 93 && crash->retain_s == 0) {
        ask(crash, client, HF_OP_CANCEL, ask_new(crash, client));
        return 2;
    } else if (dice >= 93 && dice < 98 && touched) {
        ask(crash, client, HF_OP_RESERVATION_GET, touched);
    } else if (dice >= 98 && touched) { /* a refused one tries again, or anyone repeats */
        ask(crash, client, HF_OP_RESERVE, touched);
    } else {
        ask_new(crash, client);
    }
    return 1;
}

/* Asks until `count` more were asked or all clients have enough in flight. */
static unsigned ask_many(struct hf_crash *crash, unsigned count)
{
    unsigned asked = 0;
    bool progress = true;
    while (asked < count && progress && !hf_crash_failed(crash)) {
        progress = false;
        for (unsigned i = 0; i < HF_CRASH_CLIENTS && asked < count; i++) {
            if (hf_client_outstanding(crash->clients[i]) >= DEPTH)
                continue;
            if (hf_random_below(&crash->random, 2)) {
                hf_crash_submit_booking(crash, i, hf_bookings_ask(&crash->bookings));
                asked++;
            } else {
                asked += ask_something(crash, i);
            }
            progress = true;
        }
    }
    return asked;
}

void hf_crash_ask_inventory(struct hf_crash *crash, uint32_t capacity)
{
    struct hf_model_inventory *inventory = hf_model_add_inventory(crash->model, capacity);
    hf_crash_submit(crash, hf_random_below(&crash->random, HF_CRASH_CLIENTS),
                    hf_model_ask_create(crash->model, inventory));
}

static void on_snapshot_answer(void *context, const struct hf_reply *reply)
{
    struct hf_crash *crash = context;
    enum hf_group group = hf_result_group(reply->result);
    if (group == HF_GROUP_YES)
        crash->counts.snapshots_asked++;
    else if (group != HF_GROUP_UNKNOWN && group != HF_GROUP_RETRY)
        hf_model_contradict(crash->model, "SNAPSHOT was answered %s",
                            hf_result_name(reply->result));
}

static void ask_snapshot(struct hf_crash *crash)
{
    const struct hf_request request = {.operation = HF_OP_SNAPSHOT};
    HF_CHECK(hf_client_submit(crash->clients[hf_random_below(&crash->random, HF_CRASH_CLIENTS)],
                              &request, on_snapshot_answer, crash, NULL) == 0);
}

/* How a cycle's load goes. */
struct pace {
    uint64_t began_ns, duration_ns;
    uint64_t budget, lump;       /* requests in all, and at once */
    unsigned steady;             /* not 0: so many are in flight all the time instead */
    uint64_t snapshot_period_ns; /* 0: none are asked for */
    uint64_t snapshot_due_ns;
    uint64_t asked;
};

/*
 * 5 to 500 ms, in lumps of 1 to 256 requests. Or steadily, few at a time: then every request or two
 * makes a block of 4 KiB, and a segment of 1 MiB is filled in a fraction of a second. Where a moment
 * is aimed at that comes with them, snapshots and segments come soon.
 */
static struct pace choose_pace(struct hf_crash *crash)
{
    struct pace pace = {.began_ns = hf_monotonic_now_ns(),
                        .budget = 1ull
                                  << hf_crash_between(crash, 4, hf_crash_between(crash, 7, 11)),
                        .lump = 1ull << hf_random_below(&crash->random, 9)};
    bool aims = crash->moment != HF_MOMENT_NEVER;
    pace.duration_ns = hf_crash_between(crash, 5, hf_crash_between(crash, 5, 400)) * HF_NS_PER_MS;
    if (aims || hf_random_below(&crash->random, 3)) {
        pace.steady = hf_crash_between(crash, 1, 6);
        pace.duration_ns += 100 * HF_NS_PER_MS;
    }
    if (aims || hf_random_below(&crash->random, 2))
        pace.snapshot_period_ns = hf_crash_between(crash, 10, 100) * HF_NS_PER_MS;
    pace.snapshot_due_ns = pace.began_ns + hf_random_below(&crash->random, 50) * HF_NS_PER_MS;
    return pace;
}

/* Until its time is over; or until the server was killed, if somebody aims at it. */
static bool goes_on(struct hf_crash *crash, const struct pace *pace)
{
    uint64_t passed_ns = hf_monotonic_now_ns() - pace->began_ns;
    if (hf_crash_failed(crash))
        return false;
    if (crash->moment == HF_MOMENT_NEVER)
        return passed_ns < pace->duration_ns;
    return passed_ns < PATIENCE_NS && !hf_aim_met(crash->aim);
}

static void keep_pace(struct hf_crash *crash, struct pace *pace)
{
    uint64_t now_ns = hf_monotonic_now_ns(), passed_ns = now_ns - pace->began_ns;
    uint64_t due = pace->budget * passed_ns / pace->duration_ns / pace->lump * pace->lump;
    if (pace->steady != 0) {
        size_t outstanding = hf_crash_outstanding(crash);
        if (outstanding < pace->steady)
            ask_many(crash, pace->steady - (unsigned)outstanding);
    } else if (pace->asked < due) {
        pace->asked += ask_many(crash, (unsigned)(due - pace->asked));
    }
    if (pace->snapshot_period_ns != 0 && now_ns >= pace->snapshot_due_ns) {
        ask_snapshot(crash);
        pace->snapshot_due_ns = now_ns + pace->snapshot_period_ns;
    }
}

/* Leaves a burst of requests in flight, so that the end comes upon them. */
static void burst(struct hf_crash *crash)
{
    ask_many(crash, 1u << hf_crash_between(crash, 2, 8));
    uint64_t until_ns =
        hf_monotonic_now_ns() + hf_random_below(&crash->random, 3000) * HF_NS_PER_US;
    do
        hf_crash_pump(crash, 0);
    while (hf_monotonic_now_ns() < until_ns && hf_crash_outstanding(crash) != 0 &&
           !hf_crash_failed(crash));
}

void hf_crash_load(struct hf_crash *crash)
{
    struct pace pace = choose_pace(crash);
    if (hf_random_below(&crash->random, 4) == 0 &&
        hf_model_inventory_count(crash->model) < HF_CRASH_MAX_INVENTORIES)
        hf_crash_ask_inventory(crash, hf_crash_between(crash, 20, 1000));
    while (goes_on(crash, &pace)) {
        keep_pace(crash, &pace);
        hf_crash_pump(crash, 1);
    }
    if (!hf_aim_met(crash->aim) && !hf_crash_failed(crash))
        burst(crash);
    crash->durations.load_ns += hf_monotonic_now_ns() - pace.began_ns;
}
