/* Watching and history in the embedded API: sessions that sell, and watches beside them. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "holdfast/embedded.h"
#include "tests/lib/process.h"
#include "wal/record.h"

static char directory[HF_DIRECTORY_TEXT_BYTES];
static char error[HF_EMBEDDED_ERROR_BYTES];
static struct hf_embedded *db;
static struct hf_session *session;
static struct hf_reply reply;

static void open_db(bool memory)
{
    struct hf_embedded_options options = {
        .directory = directory, .segment_bytes = 1u << 20, .memory = memory};
    cr_assert_eq(hf_embedded_open(&options, &db, error), 0, "%s", error);
    cr_assert_eq(hf_session_open(db, &session), 0);
}

static void open_new(void)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    open_db(false);
}

static void close_db(void)
{
    hf_session_close(session);
    cr_assert_eq(hf_embedded_close(db), 0);
    hf_directory_remove(directory);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(embedded_watch, .init = open_new, .fini = close_db, .timeout = 60);

static uint64_t call(struct hf_session *by, struct hf_request *request, unsigned expected)
{
    uint64_t lsn;
    struct hf_reply answer;
    cr_assert_eq(hf_session_call(by, request, &answer, &lsn), expected, "%s",
                 hf_result_name(answer.result));
    return lsn;
}

static void create(uint64_t inventory_id, uint32_t capacity)
{
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = inventory_id, .capacity = capacity};
    hf_session_wait(session, call(session, &request, HF_CREATED));
}

static uint64_t sell(struct hf_session *by, uint64_t number)
{
    struct hf_request request = {
        .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = number, .qty = 1};
    hf_put_u64(request.id.bytes + 8, number + 1);
    return call(by, &request, HF_GRANTED);
}

static struct hf_embedded_watch *open_watch(const struct hf_request *request, uint64_t next_lsn)
{
    struct hf_embedded_watch *watch;
    cr_assert_eq(hf_embedded_watch_open(db, request, &watch, &reply), HF_SUBSCRIBED);
    cr_assert_eq(reply.next_lsn, next_lsn);
    return watch;
}

/* Everything from *lsn to `last`, in order, once. Returns how often it was said to be behind. */
static uint32_t expect_records(struct hf_embedded_watch *watch, uint64_t *lsn, uint64_t last)
{
    uint32_t behind = 0;
    while (*lsn <= last) {
        unsigned result = hf_embedded_watch_next(watch, &reply, 20 * HF_NS_PER_S);
        if (result == HF_FELL_BEHIND) {
            cr_assert_eq(reply.next_lsn, *lsn);
            behind++;
            continue;
        }
        cr_assert_eq(result, HF_RECORDS, "%s", hf_result_name(result));
        cr_assert_gt(reply.count, 0, "before LSN %llu", (unsigned long long)*lsn);
        for (uint32_t i = 0; i < reply.count; i++, (*lsn)++)
            cr_assert_eq(hf_get_u64(reply.records + (size_t)i * HF_RECORD_BYTES), *lsn);
        cr_assert_eq(reply.next_lsn, *lsn);
        cr_assert_leq(*lsn, hf_embedded_commit_lsn(db) + 1);
    }
    return behind;
}

static void *sell_many(void *context)
{
    struct hf_session *own;
    cr_assert_eq(hf_session_open(db, &own), 0);
    for (uint64_t i = 0; i < 5000; i++)
        sell(own, *(uint64_t *)context + i);
    hf_session_close(own);
    return NULL;
}

/* Two sessions sell while one watches from the start and one from now on. */
Test(embedded_watch, tells_what_sessions_do)
{
    create(1, 100000);
    struct hf_embedded_watch *all =
        open_watch(&(struct hf_request){.operation = HF_OP_SUBSCRIBE, .from_lsn = 1}, 1);
    struct hf_embedded_watch *now =
        open_watch(&(struct hf_request){.operation = HF_OP_SUBSCRIBE}, 2);
    pthread_t threads[2];
    uint64_t first[2] = {0, 10000};
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, sell_many, &first[i]), 0);
    uint64_t all_lsn = 1, now_lsn = 2;
    expect_records(all, &all_lsn, 10001);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(expect_records(now, &now_lsn, 10001), 0);
    hf_embedded_watch_close(all);
    hf_embedded_watch_close(now);
}

Test(embedded_watch, waits_no_longer_than_it_may)
{
    create(1, 10);
    struct hf_embedded_watch *watch =
        open_watch(&(struct hf_request){.operation = HF_OP_SUBSCRIBE}, 2);
    uint64_t began_ns = hf_monotonic_now_ns();
    cr_expect_eq(hf_embedded_watch_next(watch, &reply, 30 * HF_NS_PER_MS), HF_RECORDS);
    cr_expect_eq(reply.count, 0);
    cr_expect_eq(reply.next_lsn, 2);
    cr_expect_geq(hf_monotonic_now_ns() - began_ns, 30 * HF_NS_PER_MS);
    cr_expect_eq(hf_embedded_watch_next(watch, &reply, 0), HF_RECORDS);
    sell(session, 1);
    cr_expect_eq(hf_embedded_watch_next(watch, &reply, UINT64_MAX), HF_RECORDS);
    cr_expect_eq(reply.count, 1);
    hf_embedded_watch_close(watch);
}

Test(embedded_watch, filters_and_refuses)
{
    create(1, 100);
    const uint64_t customer = 7;
    struct hf_request request = {.operation = HF_OP_SUBSCRIBE,
                                 .from_lsn = 1,
                                 .kind = HF_WATCH_CUSTOMERS,
                                 .ids = &customer,
                                 .count = 1};
    struct hf_embedded_watch *watch = open_watch(&request, 1);
    for (uint64_t i = 0; i < 10; i++)
        hf_session_wait(session, sell(session, i));
    cr_assert_eq(hf_embedded_watch_next(watch, &reply, UINT64_MAX), HF_RECORDS);
    cr_expect_eq(reply.count, 1);
    cr_expect_eq(hf_get_u64(reply.records + 40), 7);
    hf_embedded_watch_close(watch);

    request.from_lsn = 1000;
    cr_expect_eq(hf_embedded_watch_open(db, &request, &watch, &reply), HF_BAD_FIELD);
    cr_expect_eq(reply.field, HF_FIELD_CURSOR);
    cr_expect_null(watch);
    request = (struct hf_request){.operation = HF_OP_SUBSCRIBE, .kind = 9};
    cr_expect_eq(hf_embedded_watch_open(db, &request, &watch, &reply), HF_BAD_FIELD);
    cr_expect_eq(reply.field, HF_FIELD_KIND);
    hf_embedded_watch_close(NULL);
}

/* It was at the end, then did not ask for longer than memory lasts: it is told once. */
Test(embedded_watch, is_told_that_it_fell_behind)
{
    create(1, 100000);
    uint64_t lsn = 1;
    struct hf_embedded_watch *watch =
        open_watch(&(struct hf_request){.operation = HF_OP_SUBSCRIBE, .from_lsn = 1}, 1);
    hf_session_wait(session, sell(session, 90000));
    expect_records(watch, &lsn, 2);
    hf_embedded_watch_next(watch, &reply, 0);
    uint64_t last = 0;
    for (uint64_t i = 0; i < 80000; i++)
        last = sell(session, i);
    hf_session_wait(session, last);
    cr_expect_eq(expect_records(watch, &lsn, last), 1);
    hf_embedded_watch_close(watch);
}

/* Committed in memory: told when it is on the disk. */
Test(embedded_watch, tells_what_is_on_the_disk)
{
    hf_session_close(session);
    cr_assert_eq(hf_embedded_close(db), 0);
    open_db(true);
    create(1, 100000);
    uint64_t lsn = 2;
    struct hf_request request = {.operation = HF_OP_SUBSCRIBE, .from_lsn = 2};
    struct hf_embedded_watch *watch = open_watch(&request, 2);
    for (uint64_t i = 0; i < 300; i++)
        expect_records(watch, &lsn, sell(session, i));
    hf_embedded_watch_close(watch);
}

Test(embedded_watch, tells_a_history)
{
    create(1, 1000);
    struct hf_request hold = {.operation = HF_OP_HOLD,
                              .inventory_id = 1,
                              .customer_id = 1,
                              .qty = 2,
                              .ttl_ns = 60 * HF_NS_PER_S};
    hf_put_u64(hold.id.bytes, 1);
    call(session, &hold, HF_GRANTED);
    for (uint64_t i = 0; i < 100; i++)
        sell(session, i);
    struct hf_request release = {.operation = HF_OP_RELEASE, .id = hold.id};
    call(session, &release, HF_RELEASED);
    struct hf_reservation_entry entries[5];
    struct hf_request history = {.operation = HF_OP_HISTORY, .id = hold.id, .limit = 5};
    cr_assert_eq(hf_session_history(session, &history, entries, &reply), HF_FOUND);
    cr_assert_eq(reply.count, 2);
    cr_expect_eq(entries[0].reservation.state, HF_STATE_HELD);
    cr_expect_eq(entries[1].reservation.state, HF_STATE_RELEASED);
    cr_expect_eq(reply.next, 0);
    history.limit = 1;
    cr_assert_eq(hf_session_history(session, &history, entries, &reply), HF_FOUND);
    cr_expect_eq(reply.next, 2);
    history.id.bytes[0] = 99;
    cr_expect_eq(hf_session_history(session, &history, entries, &reply), HF_NOT_FOUND);
    history.limit = 0;
    cr_expect_eq(hf_session_history(session, &history, entries, &reply), HF_BAD_FIELD);
}
