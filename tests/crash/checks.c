/* What must hold after each restart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/crash/crash.h"
#include "wal/snapshot_header.h"

#define SAMPLE_IDS         300
#define LOOKUP_DEPTH       128
#define MAX_RESOLVE_PASSES 8
#define REST_TIMEOUT_S     20 /* until lapsed holds are noticed, offers made, and nothing moves */
#define OVERDUE_NS         (1000 * HF_NS_PER_MS) /* a lapsed hold is noticed sooner */

#define MAX_LISTED (HF_CRASH_MAX_INVENTORIES + HF_WITNESS_INVENTORIES)

/* What a server says when it rests. */
struct rest {
    struct hf_inventory inventories[MAX_LISTED];
    uint32_t count;
    struct hf_reply live; /* STATE_HASH */
    uint64_t hash;        /* of the log from its first record on */
    uint64_t tool_hash;   /* that holdfast-wal finds in the directory; 0: none */
    uint64_t date_ns;     /* of the server's clock */
};

/* Asks about every unknown id, in one of the ways that decide it. Returns how many there were. */
static unsigned resolve_pass(struct hf_crash *crash)
{
    struct hf_model *model = crash->model;
    unsigned unknown = 0;
    for (uint32_t i = 0; i < hf_model_touched_count(model); i++) {
        struct hf_model_reservation *reservation = hf_model_touched(model, i);
        if (!reservation->reserve_unknown && !reservation->cancel_unknown)
            continue;
        enum hf_operation repeat = reservation->cancel_unknown ? HF_OP_CANCEL : HF_OP_RESERVE;
        bool again = hf_random_below(&crash->random, 2) && crash->retain_s == 0;
        enum hf_operation operation = again ? repeat : HF_OP_RESERVATION_GET;
        hf_crash_submit(crash, unknown++ % HF_CRASH_CLIENTS,
                        hf_model_ask(model, operation, reservation, HF_MODEL_RESOLVE));
    }
    for (uint32_t i = 0; i < hf_model_inventory_count(model); i++)
        if (!hf_model_inventory(model, i)->created) {
            hf_crash_submit(crash, unknown++ % HF_CRASH_CLIENTS,
                            hf_model_ask_create(model, hf_model_inventory(model, i)));
        }
    hf_crash_finish_requests(crash);
    return unknown;
}

/* Asks again about the bookings' requests that ended unknown, from `first` on. Returns how many. */
static unsigned resolve_bookings(struct hf_crash *crash, uint32_t first)
{
    struct hf_witness *witness = &crash->witness;
    unsigned unknown = 0;
    for (uint32_t i = first, end = witness->asking_count; i < end; i++)
        if (witness->askings[i]->end == HF_WITNESS_UNKNOWN)
            hf_crash_submit_booking(crash, unknown++ % HF_CRASH_CLIENTS,
                                    hf_bookings_resolve(&crash->bookings, witness->askings[i]));
    hf_crash_finish_requests(crash);
    return unknown;
}

void hf_crash_resolve(struct hf_crash *crash)
{
    uint64_t began_ns = hf_monotonic_now_ns();
    unsigned passes = 0;
    hf_crash_finish_requests(crash); /* of the clients that stayed */
    while (!hf_crash_failed(crash) && resolve_pass(crash) != 0)
        if (++passes > MAX_RESOLVE_PASSES)
            hf_model_contradict(crash->model, "unknown ids stay unknown");
    uint32_t first = 0, end = crash->witness.asking_count;
    for (passes = 0; !hf_crash_failed(crash) && resolve_bookings(crash, first) != 0; passes++) {
        first = end;
        end = crash->witness.asking_count;
        if (passes > MAX_RESOLVE_PASSES)
            hf_model_contradict(crash->model, "unknown requests stay unknown");
    }
    crash->durations.resolve_ns += hf_monotonic_now_ns() - began_ns;
}

static void look_up_booking(struct hf_crash *crash, uint32_t number)
{
    unsigned client = number % HF_CRASH_CLIENTS;
    while (hf_client_outstanding(crash->clients[client]) >= LOOKUP_DEPTH && !hf_crash_failed(crash))
        hf_crash_pump(crash, 20);
    hf_crash_submit_booking(crash, client, hf_bookings_look_up(&crash->bookings, number));
}

/* Those since the last time, and a random sample of the older ones; or all of them. */
static void look_up_bookings(struct hf_crash *crash, bool all)
{
    uint32_t count = crash->bookings.count, first = all ? 0 : crash->judged_bookings;
    for (uint32_t i = first; i < count && !hf_crash_failed(crash); i++)
        look_up_booking(crash, i);
    for (uint32_t i = 0; i < SAMPLE_IDS && first > 0 && !hf_crash_failed(crash); i++)
        look_up_booking(crash, hf_random_below(&crash->random, first));
    crash->judged_bookings = count;
}

static void look_up(struct hf_crash *crash, struct hf_model_reservation *reservation)
{
    unsigned client = reservation->index % HF_CRASH_CLIENTS;
    while (hf_client_outstanding(crash->clients[client]) >= LOOKUP_DEPTH && !hf_crash_failed(crash))
        hf_crash_pump(crash, 20);
    hf_crash_submit(crash, client,
                    hf_model_ask(crash->model, HF_OP_RESERVATION_GET, reservation, HF_MODEL_EXACT));
}

void hf_crash_look_up_ids(struct hf_crash *crash, uint32_t first, bool all)
{
    uint64_t began_ns = hf_monotonic_now_ns();
    uint32_t count = hf_model_reservation_count(crash->model);
    for (uint32_t i = all ? 0 : first; i < count && !hf_crash_failed(crash); i++)
        look_up(crash, hf_model_reservation(crash->model, i));
    for (uint32_t i = 0; i < SAMPLE_IDS && first > 0 && !all && !hf_crash_failed(crash); i++)
        look_up(crash, hf_model_reservation(crash->model, hf_random_below(&crash->random, first)));
    look_up_bookings(crash, all);
    hf_crash_finish_requests(crash);
    crash->durations.lookup_ns += hf_monotonic_now_ns() - began_ns;
}

static bool is_booking_inventory(uint64_t inventory_id)
{
    return inventory_id >= HF_WITNESS_FIRST_INVENTORY;
}

static void check_inventories(struct hf_crash *crash, const struct rest *rest)
{
    uint32_t created = HF_BOOKING_INVENTORIES;
    for (uint32_t i = 0; i < rest->count && !hf_crash_failed(crash); i++)
        if (is_booking_inventory(rest->inventories[i].inventory_id))
            hf_witness_check_inventory(&crash->witness, &rest->inventories[i]);
        else
            hf_model_check_inventory(crash->model, &rest->inventories[i]);
    for (uint32_t i = 0; i < hf_model_inventory_count(crash->model); i++)
        created += hf_model_inventory(crash->model, i)->created;
    if (rest->count != created && !hf_crash_failed(crash))
        hf_model_contradict(crash->model, "%u inventories listed, %u created", rest->count,
                            created);
}

/* How many snapshots that were damaged here are still there: they go when they are archived. */
static unsigned count_damaged(const struct hf_crash *crash)
{
    char path[HF_DIRECTORY_TEXT_BYTES + 64], name[HF_SNAPSHOT_NAME_BYTES];
    unsigned count = 0;
    for (unsigned i = 0; i < HF_CRASH_DAMAGED; i++) {
        hf_snapshot_name_format(crash->damaged_lsns[i], name);
        snprintf(path, sizeof path, "%s/%s", crash->directory, name);
        count += crash->damaged_lsns[i] != 0 && access(path, F_OK) == 0;
    }
    return count;
}

/* How often a word is there. */
static unsigned count_words(const char *text, const char *word)
{
    unsigned count = 0;
    for (text = strstr(text, word); text; text = strstr(text + 1, word))
        count++;
    return count;
}

/*
 * All that it found is known here: the snapshots that were damaged; or that a snapshot does not hold
 * what one before it does, and a server in between, which retained for less, has forgotten.
 */
static bool is_known(const struct hf_crash *crash, unsigned damaged, const char *output)
{
    unsigned faults = count_words(output, "fault");
    unsigned lacking = count_words(output, " faulty: it does not hold reservation");
    if (faults != count_words(output, " faulty: ") || (lacking != 0 && crash->basis.gone == 0))
        return false;
    return faults - lacking <= damaged;
}

/* Runs `holdfast-wal verify`: what it can prove of the directory alone must hold. Returns the state
 * hash that it prints; 0: it found something, which is known here. */
static uint64_t verify_directory(struct hf_crash *crash)
{
    static char output[65536];
    char retain[32];
    const char *const argv[] = {crash->wal_program, "verify", crash->directory,
                                "--retain",         retain,   NULL};
    snprintf(retain, sizeof retain, "%llus",
             (unsigned long long)(hf_crash_retain_ns(crash) / HF_NS_PER_S));
    unsigned damaged = count_damaged(crash); /* some may be removed while the tool runs */
    int status = hf_process_run(argv, output, sizeof output);
    const char *hash = strstr(output, "state_hash:"), *fault = strstr(output, "fault");
    bool right = status == 0 && hash && !fault && strstr(output, "\nverify: ok\n");
    bool known =
        status == 1 && is_known(crash, damaged, output) && strstr(output, "\nverify: FAILED\n");
    if (!right && !known)
        hf_model_contradict(crash->model, "holdfast-wal verify ended with status %d: %.600s",
                            status, fault ? fault : output);
    return right ? strtoull(hash + sizeof "state_hash:" - 1, NULL, 16) : 0;
}

/* What the ledger makes of the whole log; it does not know of what is gone. */
static void check_ledger(struct hf_crash *crash, uint64_t hash)
{
    uint64_t ledger = hf_proof_hash(&crash->proof, hf_crash_retain_ns(crash));
    if (crash->basis.gone == 0 && ledger != hash)
        hf_model_contradict(crash->model, "SAME-STATE: the ledger has %016llx, the annals %016llx",
                            (unsigned long long)ledger, (unsigned long long)hash);
}

uint64_t hf_crash_judge_log(struct hf_crash *crash)
{
    uint64_t began_ns = hf_monotonic_now_ns(), hash = 0;
    hf_witness_judge(&crash->witness, crash->directory);
    if (!hf_crash_failed(crash)) {
        hash = hf_basis_hash(&crash->basis, hf_crash_retain_ns(crash));
        check_ledger(crash, hash);
    }
    crash->durations.verify_ns += hf_monotonic_now_ns() - began_ns;
    return hash;
}

static void list_inventories(struct hf_crash *crash, struct rest *rest)
{
    struct hf_reply page;
    uint32_t from = 0;
    rest->count = 0;
    do {
        hf_crash_call(crash, HF_OP_INVENTORY_LIST, from, &page);
        for (uint32_t i = 0; i < page.count && rest->count < MAX_LISTED && !hf_crash_failed(crash);
             i++)
            rest->inventories[rest->count++] = page.inventories[i];
        from = (uint32_t)page.next;
    } while (from != 0 && !hf_crash_failed(crash));
}

/* Looks at everything. True if the server did not move meanwhile: then it all belongs together. */
static bool look_around(struct hf_crash *crash, struct rest *rest)
{
    struct hf_reply before, after;
    hf_crash_call(crash, HF_OP_INFO, 0, &before);
    list_inventories(crash, rest);
    hf_crash_call(crash, HF_OP_STATE_HASH, 0, &rest->live);
    if (hf_crash_failed(crash))
        return false;
    rest->hash = hf_crash_judge_log(crash);
    rest->tool_hash = hf_crash_failed(crash) ? 0 : verify_directory(crash);
    if (hf_crash_failed(crash))
        return false;
    hf_crash_call(crash, HF_OP_INFO, 0, &after);
    rest->date_ns = before.info.now_ns;
    return before.info.commit_lsn + 1 == before.info.next_lsn &&
           before.info.next_lsn == after.info.next_lsn;
}

uint64_t hf_crash_check_at_rest(struct hf_crash *crash)
{
    static struct rest rest;
    char overdue[200] = "";
    uint64_t deadline_ns = hf_monotonic_now_ns() + REST_TIMEOUT_S * HF_NS_PER_S;
    while (!look_around(crash, &rest) ||
           hf_witness_is_overdue(&crash->witness, rest.date_ns - OVERDUE_NS, overdue,
                                 sizeof overdue)) {
        if (!hf_crash_failed(crash) && hf_monotonic_now_ns() > deadline_ns)
            hf_model_contradict(crash->model, "the server does not come to rest: %s", overdue);
        if (hf_crash_failed(crash))
            return 0;
        hf_crash_pump(crash, 5);
    }
    if (rest.live.lsn_before != rest.live.lsn_after)
        hf_model_contradict(crash->model, "an idle server moved from LSN %llu to %llu",
                            (unsigned long long)rest.live.lsn_before,
                            (unsigned long long)rest.live.lsn_after);
    if (rest.live.state_hash != rest.hash)
        hf_model_contradict(
            crash->model, "SAME-STATE: live state hash %016llx, from the log %016llx",
            (unsigned long long)rest.live.state_hash, (unsigned long long)rest.hash);
    if (rest.tool_hash != rest.hash && rest.tool_hash != 0 && crash->basis.gone == 0)
        hf_model_contradict(
            crash->model, "SAME-STATE: live state hash %016llx, by holdfast-wal %016llx",
            (unsigned long long)rest.live.state_hash, (unsigned long long)rest.tool_hash);
    check_inventories(crash, &rest);
    return rest.hash;
}
