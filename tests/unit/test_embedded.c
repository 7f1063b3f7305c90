/* The embedded API and the shared-memory view, on a real directory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "holdfast/embedded.h"
#include "holdfast/view.h"
#include "tests/lib/process.h"

#define CAPACITY 500
#define THREADS  8

static struct hf_embedded *open_db(const char *directory)
{
    struct hf_embedded_options options = {.directory = directory, .segment_bytes = 1u << 20};
    char error[HF_EMBEDDED_ERROR_BYTES];
    struct hf_embedded *db = NULL;
    cr_assert_eq(hf_embedded_open(&options, &db, error), 0, "%s", error);
    return db;
}

static unsigned call(struct hf_session *session, const struct hf_request *request,
                     struct hf_reply *reply)
{
    uint64_t lsn;
    unsigned result = hf_session_call(session, request, reply, &lsn);
    hf_session_wait(session, lsn);
    return result;
}

static void create(struct hf_embedded *db, uint64_t inventory_id, uint32_t capacity)
{
    struct hf_session *session;
    cr_assert_eq(hf_session_open(db, &session), 0);
    struct hf_request request = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = inventory_id, .capacity = capacity};
    struct hf_reply reply;
    cr_assert_eq(call(session, &request, &reply), HF_CREATED);
    hf_session_close(session);
}

struct buyer {
    struct hf_embedded *db;
    pthread_t thread;
    unsigned granted, refused;
    uint64_t newest_lsn;
};

static void *buy_until_sold_out(void *context)
{
    struct buyer *buyer = context;
    struct hf_session *session;
    hf_session_open(buyer->db, &session);
    while (buyer->refused == 0) {
        struct hf_request request = {
            .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 7, .qty = 1};
        struct hf_reply reply;
        uint64_t lsn;
        if (hf_session_call(session, &request, &reply, &lsn) == HF_GRANTED)
            buyer->granted++;
        else
            buyer->refused++;
        if (lsn > buyer->newest_lsn)
            buyer->newest_lsn = lsn;
    }
    hf_session_wait(session, buyer->newest_lsn);
    hf_session_close(session);
    return NULL;
}

/* Eight threads buy from one inventory in one process until each is refused. */
Test(embedded, threads_share_exactly_the_capacity)
{
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_embedded *db = open_db(directory);
    create(db, 1, CAPACITY);
    struct buyer buyers[THREADS] = {0};
    unsigned granted = 0;
    for (int i = 0; i < THREADS; i++) {
        buyers[i].db = db;
        pthread_create(&buyers[i].thread, NULL, buy_until_sold_out, &buyers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(buyers[i].thread, NULL);
        granted += buyers[i].granted;
        cr_assert_leq(buyers[i].newest_lsn, hf_embedded_commit_lsn(db));
    }
    cr_assert_eq(granted, CAPACITY);
    cr_assert_eq(hf_embedded_close(db), 0);
    hf_directory_remove(directory);
}

#define VISITS 200

static void *come_and_go(void *context)
{
    struct buyer *buyer = context;
    for (int i = 0; i < VISITS; i++) {
        struct hf_session *session;
        struct hf_reply reply;
        uint64_t lsn;
        struct hf_request request = {
            .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 7, .qty = 1};
        hf_session_open(buyer->db, &session);
        if (hf_session_call(session, &request, &reply, &lsn) == HF_GRANTED)
            buyer->granted++;
        hf_session_close(session);
    }
    return NULL;
}

/* Eight threads open and close sessions, one reservation each, in a table that has just enough
 * room: no cell is lost with a session, and none is handed to two. */
Test(embedded, sessions_that_come_and_go_waste_nothing)
{
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_embedded_options options = {.directory = directory,
                                          .segment_bytes = 1u << 20,
                                          .max_reservations = THREADS * VISITS + THREADS * 32};
    char error[HF_EMBEDDED_ERROR_BYTES];
    struct hf_embedded *db = NULL;
    cr_assert_eq(hf_embedded_open(&options, &db, error), 0, "%s", error);
    create(db, 1, 10 * THREADS * VISITS);
    struct buyer buyers[THREADS] = {0};
    unsigned granted = 0;
    for (int i = 0; i < THREADS; i++) {
        buyers[i].db = db;
        pthread_create(&buyers[i].thread, NULL, come_and_go, &buyers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(buyers[i].thread, NULL);
        granted += buyers[i].granted;
    }
    cr_assert_eq(granted, THREADS * VISITS);
    cr_assert_eq(hf_embedded_close(db), 0);
    /* Recovery counts what the log has: a cell that was handed to two would have lost one. */
    db = open_db(directory);
    struct hf_session *session;
    struct hf_reply reply;
    hf_session_open(db, &session);
    struct hf_request get = {.operation = HF_OP_INVENTORY_GET, .inventory_id = 1};
    call(session, &get, &reply);
    cr_assert_eq(reply.inventory.confirmed, THREADS * VISITS);
    hf_session_close(session);
    hf_embedded_close(db);
    hf_directory_remove(directory);
}

/* A reservation is made, the directory is closed and opened again, and the same id is repeated. */
Test(embedded, what_was_committed_is_there_after_reopening)
{
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_embedded *db = open_db(directory);
    create(db, 1, 2);
    struct hf_session *session;
    hf_session_open(db, &session);
    struct hf_request request = {
        .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 7, .qty = 2};
    hf_id_make(&request.id);
    struct hf_reply first, again;
    cr_assert_eq(call(session, &request, &first), HF_GRANTED);
    hf_session_close(session);
    cr_assert_eq(hf_embedded_close(db), 0);

    db = open_db(directory);
    hf_session_open(db, &session);
    cr_assert_eq(call(session, &request, &again), HF_GRANTED);
    cr_assert(again.repeated);
    cr_assert_eq(again.reservation.lsn, first.reservation.lsn);
    cr_assert_eq(again.reservation.made_at_ns, first.reservation.made_at_ns);
    request.operation = HF_OP_CANCEL;
    cr_assert_eq(call(session, &request, &again), HF_CANCELLED);
    request = (struct hf_request){.operation = HF_OP_INVENTORY_GET, .inventory_id = 1};
    cr_assert_eq(call(session, &request, &again), HF_FOUND);
    cr_assert_eq(again.inventory.available, 2);
    hf_session_close(session);
    cr_assert_eq(hf_embedded_close(db), 0);
    hf_directory_remove(directory);
}

/* A process that waited for commit is killed; what it waited for is there for the next. */
Test(embedded, what_was_waited_for_survives_the_process)
{
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_request request = {
        .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 7, .qty = 1};
    hf_id_make(&request.id);
    pid_t child = fork();
    if (child == 0) {
        struct hf_embedded_options options = {.directory = directory, .segment_bytes = 1u << 20};
        char error[HF_EMBEDDED_ERROR_BYTES];
        struct hf_embedded *db;
        struct hf_session *session;
        struct hf_reply reply;
        if (hf_embedded_open(&options, &db, error) != 0 || hf_session_open(db, &session) != 0)
            _exit(1);
        struct hf_request make = {
            .operation = HF_OP_INVENTORY_CREATE, .inventory_id = 1, .capacity = 1};
        call(session, &make, &reply);
        _exit(call(session, &request, &reply) == HF_GRANTED ? 0 : 1); /* without closing */
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    struct hf_embedded *db = open_db(directory);
    struct hf_session *session;
    struct hf_reply reply;
    hf_session_open(db, &session);
    request.operation = HF_OP_RESERVATION_GET;
    cr_assert_eq(call(session, &request, &reply), HF_FOUND);
    cr_assert_eq(reply.reservation.state, HF_STATE_CONFIRMED);
    hf_session_close(session);
    hf_embedded_close(db);
    hf_directory_remove(directory);
}

/* A directory that is open in this process is opened a second time. */
Test(embedded, a_directory_is_opened_once)
{
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_embedded *db = open_db(directory), *second = NULL;
    struct hf_embedded_options options = {.directory = directory};
    char error[HF_EMBEDDED_ERROR_BYTES];
    cr_assert_eq(hf_embedded_open(&options, &second, error), -EBUSY);
    cr_assert_not_null(strstr(error, "in use"));
    hf_embedded_close(db);
    hf_directory_remove(directory);
}

/* Requests with impossible values are given to a session. */
/* How it is can be asked any time; a snapshot can be asked for, and is made. */
Test(embedded, it_tells_how_it_is, .timeout = 60)
{
    char directory[HF_DIRECTORY_TEXT_BYTES];
    struct hf_status status;
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_embedded *db = open_db(directory);
    create(db, 1, CAPACITY);
    hf_embedded_status(db, &status);
    cr_expect_eq(status.state, HF_SERVER_READY);
    cr_expect_eq(status.percent, 100);
    cr_expect_eq(status.first_kept_segment, 1);
    cr_expect_eq(status.active_segment, 1);
    cr_expect_eq(status.segment_bytes, 1u << 20);
    cr_expect_eq(status.kept_bytes, 1u << 20);
    cr_expect_gt(status.bytes_since_snapshot, 0);
    cr_expect_eq(status.snapshots_kept, 0);
    cr_expect_eq(status.storage_full, 0);
    hf_embedded_request_snapshot(db);
    for (int tries = 0; tries < 2000 && status.snapshots_made == 0; tries++) {
        usleep(5000);
        hf_embedded_status(db, &status);
    }
    cr_expect_eq(status.snapshots_made, 1);
    cr_expect_eq(status.snapshots_kept, 1);
    cr_expect_eq(status.snapshot_lsn, 1);
    cr_expect_gt(status.snapshot_bytes, 0);
    cr_expect_gt(status.snapshot_duration_ns, 0);
    cr_expect_gt(status.snapshot_made_at_ns, 0);
    cr_expect_eq(status.snapshot_requested, 0);
    cr_expect_eq(status.snapshot_under_way, 0);
    cr_expect_eq(status.snapshot_failures, 0);
    cr_assert_eq(hf_embedded_close(db), 0);
    hf_directory_remove(directory);
}

#define SEGMENT_RECORDS 8190u
#define RING_RECORDS    8192u

/* Calls until one is not granted, at most so often; none waits for commit. The last result. */
static unsigned reserve_without_end(struct hf_session *session, uint32_t most, uint32_t *granted)
{
    struct hf_request request = {
        .operation = HF_OP_RESERVE, .inventory_id = 1, .customer_id = 7, .qty = 1};
    struct hf_reply reply;
    uint64_t lsn;
    unsigned result = HF_GRANTED;
    for (uint32_t i = 0; i < most && result == HF_GRANTED; i++) {
        hf_id_make(&request.id);
        result = hf_session_call(session, &request, &reply, &lsn);
        *granted += result == HF_GRANTED;
    }
    return result;
}

/*
 * A disk that stands still where the log's fourth file is prepared: somebody holds its lock. The ring
 * fills up; then a call waits for a second and is OVERLOADED, the next one at once. When the disk is
 * back, everything goes on, and what was granted is committed.
 */
Test(embedded, a_log_that_stands_still_is_told, .timeout = 60)
{
    char directory[HF_DIRECTORY_TEXT_BYTES], path[HF_DIRECTORY_TEXT_BYTES + 64];
    struct hf_session *session;
    struct hf_reply reply;
    uint64_t lsn;
    uint32_t granted = 0;
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_embedded *db = open_db(directory);
    create(db, 1, HF_MAX_UNITS);
    snprintf(path, sizeof path, "%s/0000000000000004.wal.tmp", directory);
    int held = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(held, 0);
    cr_assert_eq(flock(held, LOCK_EX), 0);
    cr_assert_eq(hf_session_open(db, &session), 0);
    uint32_t most = 4 * SEGMENT_RECORDS + 2 * RING_RECORDS;
    cr_expect_eq(reserve_without_end(session, most, &granted), HF_OVERLOADED);
    cr_expect_gt(granted, 1000, "%u", granted);
    uint64_t began_ns = hf_monotonic_now_ns();
    cr_expect_eq(reserve_without_end(session, 1, &granted), HF_OVERLOADED);
    cr_expect_lt(hf_monotonic_now_ns() - began_ns, HF_NS_PER_S / 2);
    struct hf_request get = {.operation = HF_OP_INVENTORY_GET, .inventory_id = 1};
    cr_expect_eq(hf_session_call(session, &get, &reply, &lsn), HF_FOUND);
    cr_expect_eq(reply.inventory.confirmed, granted);
    close(held);
    while (reserve_without_end(session, 1, &granted) == HF_OVERLOADED)
        usleep(1000);
    cr_expect_eq(hf_session_call(session, &get, &reply, &lsn), HF_FOUND);
    cr_expect_eq(reply.inventory.confirmed, granted);
    hf_session_close(session);
    cr_assert_eq(hf_embedded_close(db), 0);
    hf_directory_remove(directory);
}

Test(embedded, impossible_values_are_named)
{
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_embedded *db = open_db(directory);
    struct hf_session *session;
    struct hf_reply reply;
    hf_session_open(db, &session);
    struct hf_request request = {.operation = HF_OP_RESERVE, .inventory_id = 1};
    cr_assert_eq(call(session, &request, &reply), HF_BAD_FIELD);
    cr_assert_eq(reply.field, HF_FIELD_QTY);
    request.qty = 1;
    cr_assert_eq(call(session, &request, &reply), HF_UNKNOWN_INVENTORY);
    request.operation = HF_OP_CANCEL;
    cr_assert_eq(call(session, &request, &reply), HF_BAD_FIELD);
    cr_assert_eq(reply.field, HF_FIELD_RESERVATION_ID);
    request.operation = HF_OP_PING;
    cr_assert_eq(call(session, &request, &reply), HF_UNKNOWN_OPERATION);
    hf_session_close(session);
    hf_embedded_close(db);
    hf_directory_remove(directory);
}

/* ---- every operation ---- */

#define TTL_NS      (3600ull * 1000000000)
#define SHORT_NS    (100ull * 1000000)
#define INVENTORIES 5u

static char place[HF_DIRECTORY_TEXT_BYTES];
static struct hf_embedded *opened;
static struct hf_session *mine;

static void open_mine(void)
{
    cr_assert_eq(hf_directory_make(place), 0);
    opened = open_db(place);
    cr_assert_eq(hf_session_open(opened, &mine), 0);
}

static void close_mine(void)
{
    hf_session_close(mine);
    cr_assert_eq(hf_embedded_close(opened), 0);
    hf_directory_remove(place);
}

TestSuite(session, .init = open_mine, .fini = close_mine, .timeout = 60);

/* Calls, and waits as one must. The LSN that is waited for covers whatever the answer tells. */
static struct hf_reply expect(const struct hf_request *request, enum hf_result result)
{
    struct hf_reply reply;
    uint64_t lsn;
    cr_assert_eq(hf_session_call(mine, request, &reply, &lsn), result, "%s instead of %s",
                 hf_result_name(reply.result), hf_result_name(result));
    cr_assert_eq(reply.result, result);
    cr_assert_eq(reply.operation, request->operation);
    bool yes = hf_result_group(result) == HF_GROUP_YES;
    cr_expect(!yes || request->operation < HF_OP_RESERVE || lsn != 0, "%s", hf_result_name(result));
    cr_expect_geq(lsn, reply.reservation.lsn);
    for (uint32_t i = 0; reply.entries != NULL && i < reply.count; i++)
        cr_expect_geq(lsn, reply.entries[i].reservation.lsn);
    hf_session_wait(mine, lsn);
    cr_expect_geq(hf_embedded_commit_lsn(opened), lsn);
    return reply;
}

static struct hf_request claim(enum hf_operation operation, uint8_t number, uint64_t customer_id)
{
    return (struct hf_request){.operation = operation,
                               .id = {.bytes = {number}},
                               .inventory_id = 1,
                               .customer_id = customer_id,
                               .qty = 1,
                               .ttl_ns = TTL_NS};
}

static struct hf_request about(enum hf_operation operation, uint8_t number)
{
    return (struct hf_request){.operation = operation, .id = {.bytes = {number}}};
}

static struct hf_reply expect_about(enum hf_operation operation, uint8_t number,
                                    enum hf_result result)
{
    struct hf_request request = about(operation, number);
    return expect(&request, result);
}

static struct hf_reply expect_claim(enum hf_operation operation, uint8_t number,
                                    enum hf_result result)
{
    struct hf_request request = claim(operation, number, 7);
    return expect(&request, result);
}

Test(session, a_hold_is_changed_and_confirmed)
{
    create(opened, 1, 3);
    struct hf_reply held = expect_claim(HF_OP_HOLD, 1, HF_GRANTED);
    cr_expect_eq(held.reservation.state, HF_STATE_HELD);
    struct hf_request extend = about(HF_OP_EXTEND, 1);
    extend.ttl_ns = 2 * TTL_NS;
    cr_expect_gt(expect(&extend, HF_EXTENDED).reservation.deadline_ns,
                 held.reservation.deadline_ns);
    struct hf_request change = about(HF_OP_CHANGE, 1);
    change.qty = 3;
    cr_expect_eq(expect(&change, HF_CHANGED).reservation.qty, 3);
    struct hf_request move = about(HF_OP_MOVE, 1);
    move.customer_id = 8;
    cr_expect_eq(expect(&move, HF_MOVED).reservation.customer_id, 8);
    struct hf_request guarded = about(HF_OP_RELEASE, 1);
    guarded.expected = 1;
    struct hf_reply no = expect(&guarded, HF_SEQUENCE_MISMATCH);
    cr_expect_eq(no.version, 4);
    cr_expect_eq(no.state, HF_STATE_HELD);
    struct hf_request confirm = about(HF_OP_CONFIRM, 1);
    confirm.qty = 2;
    cr_expect_eq(expect(&confirm, HF_CONFIRMED).reservation.qty, 2);
    cr_expect(expect(&confirm, HF_CONFIRMED).repeated);
    cr_expect_eq(expect_about(HF_OP_RELEASE, 1, HF_WRONG_STATE).state, HF_STATE_CONFIRMED);
    expect_about(HF_OP_CANCEL, 1, HF_CANCELLED);
    expect_claim(HF_OP_HOLD, 2, HF_GRANTED);
    expect_about(HF_OP_RELEASE, 2, HF_RELEASED);
}

/* The answer's list stands until the next call. */
Test(session, a_batch_answers_for_each_line_or_names_the_one_that_failed)
{
    create(opened, 1, 2);
    const struct hf_line lines[] = {
        {.operation = HF_OP_RESERVE, .id = {.bytes = {1}}, .inventory_id = 1, .qty = 1},
        {.operation = HF_OP_HOLD,
         .id = {.bytes = {2}},
         .inventory_id = 1,
         .qty = 1,
         .ttl_ns = TTL_NS},
        {.operation = HF_OP_RESERVE, .id = {.bytes = {3}}, .inventory_id = 1, .qty = 1}};
    struct hf_request batch = {.operation = HF_OP_BATCH, .lines = lines, .count = 3};
    struct hf_reply reply = expect(&batch, HF_SOLD_OUT);
    cr_expect_eq(reply.line, 3);
    cr_expect_eq(reply.count, 0);
    expect_about(HF_OP_RESERVATION_GET, 1, HF_NOT_FOUND);
    batch.count = 2;
    for (int round = 0; round < 2; round++) {
        reply = expect(&batch, HF_BATCH_DONE);
        cr_assert_eq(reply.count, 2);
        cr_expect_eq(reply.entries[0].result, HF_GRANTED);
        cr_expect_eq(reply.entries[0].reservation.state, HF_STATE_CONFIRMED);
        cr_expect_eq(reply.entries[1].reservation.state, HF_STATE_HELD);
        cr_expect_eq(reply.entries[1].repeated, round == 1);
    }
    batch.lines = (const struct hf_line[]){lines[0], lines[0]};
    reply = expect(&batch, HF_BAD_FIELD);
    cr_expect_eq(reply.field, HF_FIELD_RESERVATION_ID);
    cr_expect_eq(reply.line, 2);
}

Test(session, settings_are_set_and_told)
{
    create(opened, 1, 2);
    struct hf_request set = {
        .operation = HF_OP_INVENTORY_SET,
        .inventory_id = 1,
        .change = {.fields = HF_SET_SELL_LIMIT | HF_SET_MAX_QTY | HF_SET_FLAGS,
                   .flags_mask = HF_INVENTORY_PAUSED,
                   .settings = {.sell_limit = 5, .max_qty = 4, .flags = HF_INVENTORY_PAUSED}}};
    struct hf_reply reply = expect(&set, HF_SET);
    cr_expect_eq(reply.settings_sequence, 2);
    cr_expect_eq(reply.inventory.available, 5);
    struct hf_request get = {.operation = HF_OP_INVENTORY_SETTINGS, .inventory_id = 1};
    reply = expect(&get, HF_FOUND);
    cr_expect_eq(reply.settings.sell_limit, 5);
    cr_expect_eq(reply.settings.max_qty, 4);
    cr_expect_eq(reply.inventory.flags, HF_INVENTORY_PAUSED);
    cr_expect_eq(reply.settings_sequence, 2);
    cr_expect_eq(reply.inventory.sell_limit, 5);
    expect_claim(HF_OP_RESERVE, 1, HF_PAUSED);
}

Test(session, lists_go_on_where_a_page_ended)
{
    for (uint32_t i = 0; i < INVENTORIES; i++)
        create(opened, 10 + i, i + 1);
    struct hf_request list = {.operation = HF_OP_INVENTORY_LIST, .limit = 2};
    uint32_t seen = 0;
    do {
        struct hf_reply page = expect(&list, HF_FOUND);
        for (uint32_t i = 0; i < page.count; i++, seen++)
            cr_expect_eq(page.inventories[i].inventory_id, 10 + seen);
        list.from = (uint32_t)page.next;
    } while (list.from != 0);
    cr_expect_eq(seen, INVENTORIES);

    const uint64_t ids[] = {14, 9, 10, 14};
    struct hf_request ask = {.operation = HF_OP_AVAILABILITY, .ids = ids, .count = 4};
    struct hf_reply reply = expect(&ask, HF_FOUND);
    cr_assert_eq(reply.count, 4);
    cr_expect_eq(reply.availability[0].available, 5);
    cr_expect_eq(reply.availability[1].flags, HF_AVAILABILITY_UNKNOWN);
    cr_expect_eq(reply.availability[2].available, 1);
    cr_expect_eq(reply.availability[3].available, 5);
}

Test(session, reservations_are_listed_by_inventory_and_state)
{
    create(opened, 1, 200);
    for (uint8_t i = 1; i <= 100; i++)
        expect_claim(i % 4 == 0 ? HF_OP_HOLD : HF_OP_RESERVE, i, HF_GRANTED);
    struct hf_request list = {.operation = HF_OP_RESERVATION_LIST,
                              .limit = 7,
                              .filter = {.filters = HF_FILTER_INVENTORY,
                                         .inventory_id = 1,
                                         .states = 1u << HF_STATE_HELD}};
    uint32_t seen = 0;
    do {
        struct hf_reply page = expect(&list, HF_FOUND);
        for (uint32_t i = 0; i < page.count; i++, seen++)
            cr_expect_eq(page.entries[i].reservation.id.bytes[0] % 4, 0);
        list.filter.cursor = page.next;
    } while (list.filter.cursor != 0);
    cr_expect_eq(seen, 25);
}

/* History and watching read the log: the server has them. */
Test(session, what_reads_the_log_is_unknown)
{
    create(opened, 1, 2);
    expect_claim(HF_OP_RESERVE, 1, HF_GRANTED);
    struct hf_request history = about(HF_OP_HISTORY, 1);
    history.limit = 1;
    struct hf_reply reply = expect(&history, HF_UNKNOWN_OPERATION);
    cr_expect_eq(reply.field, HF_FIELD_OPERATION);
    struct hf_request subscribe = {.operation = HF_OP_SUBSCRIBE};
    expect(&subscribe, HF_UNKNOWN_OPERATION);
}

/* What one gets only because of a reservation is told when that one is committed. */
Test(session, a_no_about_a_reservation_waits_for_it)
{
    create(opened, 1, 9);
    for (uint8_t i = 1; i <= 50; i++) {
        struct hf_request hold = claim(HF_OP_HOLD, i, 7), reused = claim(HF_OP_HOLD, i, 8);
        struct hf_request leave = about(HF_OP_LEAVE, i), release = about(HF_OP_RELEASE, i);
        struct hf_reply reply;
        uint64_t made, lsn;
        cr_assert_eq(hf_session_call(mine, &hold, &reply, &made), HF_GRANTED);
        cr_assert_eq(made, reply.reservation.lsn);
        cr_assert_eq(hf_session_call(mine, &reused, &reply, &lsn), HF_ID_REUSED);
        cr_expect_eq(lsn, made);
        cr_assert_eq(hf_session_call(mine, &leave, &reply, &lsn), HF_WRONG_STATE);
        cr_expect_eq(lsn, made);
        cr_assert_eq(hf_session_call(mine, &release, &reply, &lsn), HF_RELEASED);
        cr_expect_gt(lsn, made);
    }
}

/* ---- nobody calls: the writer keeps the time ---- */

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Looks at the shared memory, which is no call, until so many units are available. */
static void await_available(int32_t available)
{
    struct hf_view *view;
    struct hf_inventory inventory;
    cr_assert_eq(hf_view_open(place, &view), 0);
    do {
        usleep(1000);
        cr_assert(hf_view_read(view, 1, &inventory));
    } while (inventory.available != available);
    hf_view_close(view);
}

static void await_commit(uint64_t lsn)
{
    while (hf_embedded_commit_lsn(opened) < lsn)
        usleep(1000);
}

Test(session, a_hold_expires_while_nobody_calls)
{
    create(opened, 1, 1);
    struct hf_request hold = claim(HF_OP_HOLD, 1, 7);
    hold.ttl_ns = SHORT_NS;
    uint64_t begun_ns = monotonic_ns();
    struct hf_reply held = expect(&hold, HF_GRANTED);
    await_available(1);
    cr_expect_geq(monotonic_ns() - begun_ns, SHORT_NS, "never early");
    await_commit(held.reservation.lsn + 1); /* and it is logged without anybody's help */
    struct hf_reply expired = expect_about(HF_OP_RESERVATION_GET, 1, HF_FOUND);
    cr_expect_eq(expired.reservation.state, HF_STATE_EXPIRED);
    cr_expect_geq(expired.reservation.changed_at_ns, held.reservation.deadline_ns);
    expect_about(HF_OP_CONFIRM, 1, HF_HOLD_EXPIRED);
    expect_claim(HF_OP_RESERVE, 2, HF_GRANTED);
}

/* The unit of the one that lapses is the other's offer, and when that lapses, anybody's. */
Test(session, an_offer_is_made_and_lapses_while_nobody_calls)
{
    create(opened, 1, 1);
    struct hf_request set = {
        .operation = HF_OP_INVENTORY_SET,
        .inventory_id = 1,
        .change = {.fields = HF_SET_OFFER_TTL, .settings = {.offer_ttl_ns = 3 * SHORT_NS}}};
    expect(&set, HF_SET);
    struct hf_request hold = claim(HF_OP_HOLD, 1, 7), join = claim(HF_OP_JOIN, 2, 8);
    hold.ttl_ns = SHORT_NS;
    struct hf_reply held = expect(&hold, HF_GRANTED);
    uint64_t joined_lsn = expect(&join, HF_JOINED).reservation.lsn;
    await_commit(joined_lsn + 2); /* expired, offered */
    struct hf_reply offered = expect_about(HF_OP_RESERVATION_GET, 2, HF_FOUND);
    cr_expect_eq(offered.reservation.state, HF_STATE_HELD);
    cr_expect_geq(offered.reservation.changed_at_ns, held.reservation.deadline_ns);
    await_available(1);
    await_commit(offered.reservation.lsn + 1);
    cr_expect_eq(expect_about(HF_OP_RESERVATION_GET, 2, HF_FOUND).reservation.state,
                 HF_STATE_EXPIRED);
}

/* The writer sleeps towards a far deadline; a nearer one wakes it in time. */
Test(session, a_nearer_deadline_is_kept_as_well)
{
    create(opened, 1, 2);
    struct hf_request far = claim(HF_OP_HOLD, 1, 7), near = claim(HF_OP_HOLD, 2, 8);
    far.ttl_ns = 20 * SHORT_NS;
    near.ttl_ns = SHORT_NS;
    uint64_t begun_ns = monotonic_ns();
    expect(&far, HF_GRANTED);
    usleep(20000);
    expect(&near, HF_GRANTED);
    await_available(1);
    cr_expect_lt(monotonic_ns() - begun_ns, 20 * SHORT_NS);
    await_available(2);
    cr_expect_geq(monotonic_ns() - begun_ns, 20 * SHORT_NS, "never early");
}

/* Units are taken while a view is attached; then the owner closes. */
Test(view, shows_availability_as_it_changes)
{
    char directory[HF_DIRECTORY_TEXT_BYTES];
    cr_assert_eq(hf_directory_make(directory), 0);
    struct hf_view *view;
    cr_assert_eq(hf_view_open(directory, &view), -ENOENT);
    struct hf_embedded *db = open_db(directory);
    create(db, 42, 10);
    cr_assert_eq(hf_view_open(directory, &view), 0);
    struct hf_inventory inventory;
    cr_assert(hf_view_read(view, 42, &inventory));
    cr_assert_eq(inventory.available, 10);
    cr_assert_not(hf_view_read(view, 43, &inventory));
    int32_t available = -1;
    cr_assert(hf_view_available(view, 42, &available));
    cr_assert_eq(available, 10);
    cr_assert_not(hf_view_available(view, 43, &available));

    struct hf_session *session;
    struct hf_reply reply;
    hf_session_open(db, &session);
    struct hf_request request = {
        .operation = HF_OP_RESERVE, .inventory_id = 42, .customer_id = 1, .qty = 3};
    call(session, &request, &reply);
    hf_session_close(session);
    cr_assert(hf_view_read(view, 42, &inventory));
    cr_assert_eq(inventory.available, 7);
    cr_assert_eq(inventory.confirmed, 3);
    cr_assert(hf_view_available(view, 42, &available));
    cr_assert_eq(available, 7);
    cr_assert(hf_view_alive(view));
    hf_embedded_close(db);
    cr_assert_not(hf_view_alive(view));
    hf_view_close(view);
    hf_directory_remove(directory);
}
