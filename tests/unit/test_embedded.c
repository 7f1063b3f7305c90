/* The embedded API and the shared-memory view, on a real directory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
    cr_assert(hf_view_alive(view));
    hf_embedded_close(db);
    cr_assert_not(hf_view_alive(view));
    hf_view_close(view);
    hf_directory_remove(directory);
}
