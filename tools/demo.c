/*
 * The founding story on a real server, a real disk and real TCP: `make demo`.
 *
 *   holdfast-demo --server-program PATH --wal-program PATH
 *
 * 500 places and 1000 customers, each on a connection of its own, each asking for one place under
 * its own reservation id. The server is killed while it answers, and once more when all are
 * answered. The clients mend their connections and repeat their ids by themselves: nothing in here
 * does that for them. In the end the figures of the clients, of the server and of the log are put
 * side by side. Exit status 0 if they are what they must be, 1 otherwise.
 *
 * Everything lives in one temporary directory, which is removed however this ends.
 */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/check.h"
#include "base/clock.h"
#include "holdfast/client.h"
#include "tests/lib/process.h"

#define PLACES            500
#define CUSTOMERS         1000
#define CANCELS           20
#define INVENTORY_ID      1
#define PRODUCT_ID        2026
#define FIRST_CUSTOMER_ID 1
#define WINDOW            100 /* customers that wait for their first answer at once, until the crash */
#define KILL_AFTER_GRANTS 150 /* acknowledged, before the server is killed for the first time */
#define PHASE_TIMEOUT_S   15
#define DESCRIPTORS       (CUSTOMERS + 200)

/* The line of `holdfast-wal verify` that tells how many reservations stand; each is one place here.
 */
#define CONFIRMED_MARK "\nconfirmed: "

static volatile sig_atomic_t interrupted;

/* What a customer was told last about a request. */
enum told {
    TOLD_NOTHING,
    TOLD_YES, /* of any kind */
    TOLD_NO,  /* SOLD_OUT, or NOT_FOUND */
    TOLD_OTHER,
};

struct customer {
    struct demo *demo;
    struct hf_client *client;
    struct hf_id id;
    uint64_t customer_id;
    uint64_t lsn; /* of its acknowledged grant */
    enum told told;
    bool asked;     /* its RESERVE was submitted */
    bool holds;     /* a grant was acknowledged, and no cancel */
    bool refused;   /* in the rush */
    bool confirmed; /* by the latest lookup */
};

/* What the last line tells. */
struct figures {
    unsigned granted, refused, lost, oversold, recovered, cancelled, regranted;
    bool verified;
};

struct demo {
    struct customer customers[CUSTOMERS];
    struct hf_client *desk; /* the organiser's own connection */
    struct hf_daemon server;
    struct hf_daemon_options options;
    const char *wal_program;
    char directory[HF_DIRECTORY_TEXT_BYTES];
    char listen[64];
    uint64_t began_ns;
    unsigned answers_due, grants; /* requests unanswered; grants acknowledged, not cancelled */
    unsigned problems;
    struct figures figures;
};

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static double passed_s(const struct demo *demo)
{
    return (double)(hf_monotonic_now_ns() - demo->began_ns) / (double)HF_NS_PER_S;
}

/* One line of the story. */
__attribute__((format(printf, 2, 3))) static void say(const struct demo *demo, const char *format,
                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%6.2f s  ", passed_s(demo));
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    va_end(arguments);
}

/* Something is not as it must be: the exit status will be 1. Tells the first few of them. */
__attribute__((format(printf, 2, 3))) static bool problem(struct demo *demo, const char *format,
                                                          ...)
{
    va_list arguments;
    if (demo->problems++ >= 5 || interrupted)
        return false;
    va_start(arguments, format);
    printf("%6.2f s  PROBLEM: ", passed_s(demo));
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    va_end(arguments);
    return false;
}

/* ---- customers ---- */

/* A yes about a reservation must be about this customer's one, and the same whenever it is given.
 */
static void check_receipt(struct customer *customer, const struct hf_reservation *receipt)
{
    struct demo *demo = customer->demo;
    if (!hf_id_equal(&receipt->id, &customer->id) || receipt->qty != 1 ||
        receipt->inventory_id != INVENTORY_ID || receipt->customer_id != customer->customer_id)
        problem(demo, "customer %llu got somebody else's receipt",
                (unsigned long long)customer->customer_id);
    if (receipt->state == HF_STATE_CONFIRMED && customer->lsn && receipt->lsn != customer->lsn)
        problem(demo, "customer %llu was granted twice: LSN %llu and %llu",
                (unsigned long long)customer->customer_id, (unsigned long long)customer->lsn,
                (unsigned long long)receipt->lsn);
}

static void on_answer(void *context, const struct hf_reply *reply)
{
    struct customer *customer = context;
    struct demo *demo = customer->demo;
    enum hf_group group = hf_result_group(reply->result);
    demo->answers_due--;
    customer->told = group == HF_GROUP_YES ? TOLD_YES : group == HF_GROUP_NO ? TOLD_NO : TOLD_OTHER;
    if (customer->told == TOLD_OTHER)
        problem(demo, "customer %llu was told %s", (unsigned long long)customer->customer_id,
                hf_result_name(reply->result));
    customer->confirmed = reply->result == HF_FOUND &&
                          reply->reservation.state == HF_STATE_CONFIRMED &&
                          reply->reservation.lsn == customer->lsn;
    if (group != HF_GROUP_YES || reply->operation == HF_OP_PING)
        return;
    check_receipt(customer, &reply->reservation);
    if (reply->result == HF_GRANTED && !customer->holds) {
        customer->holds = true;
        customer->lsn = reply->reservation.lsn;
        demo->grants++;
    } else if (reply->result == HF_CANCELLED) {
        customer->holds = false;
        demo->grants--;
    }
}

static void ask(struct customer *customer, enum hf_operation operation)
{
    const struct hf_request request = {.operation = operation,
                                       .id = customer->id,
                                       .inventory_id = INVENTORY_ID,
                                       .customer_id = customer->customer_id,
                                       .qty = 1};
    customer->told = TOLD_NOTHING;
    customer->confirmed = false;
    customer->demo->answers_due++;
    HF_CHECK(hf_client_submit(customer->client, &request, on_answer, customer, NULL) == 0);
}

/* Moves all connections on, after waiting for at most `timeout_ms` for something to do. */
static void pump(struct demo *demo, int timeout_ms)
{
    static struct pollfd waits[CUSTOMERS];
    for (unsigned i = 0; i < CUSTOMERS; i++) {
        struct hf_client *client = demo->customers[i].client;
        int own_ms = hf_client_timeout_ms(client);
        waits[i] = (struct pollfd){.fd = hf_client_fd(client), .events = hf_client_events(client)};
        if (own_ms >= 0 && own_ms < timeout_ms)
            timeout_ms = own_ms;
    }
    poll(waits, CUSTOMERS, timeout_ms);
    for (unsigned i = 0; i < CUSTOMERS; i++)
        hf_client_process(demo->customers[i].client);
}

/* Until everybody has an answer. */
static bool finish(struct demo *demo)
{
    uint64_t deadline_ns = hf_monotonic_now_ns() + PHASE_TIMEOUT_S * HF_NS_PER_S;
    while (demo->answers_due != 0 && !interrupted) {
        pump(demo, 20);
        if (hf_monotonic_now_ns() > deadline_ns)
            return problem(demo, "%u customers got no answer within %u s", demo->answers_due,
                           PHASE_TIMEOUT_S);
    }
    return !interrupted;
}

static unsigned count_told(const struct demo *demo, enum told told)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CUSTOMERS; i++)
        count += demo->customers[i].told == told;
    return count;
}

/* ---- the server ---- */

static bool start(struct demo *demo)
{
    if (hf_daemon_start(&demo->server, &demo->options) < 0)
        return problem(demo, "%s", demo->server.error);
    return !interrupted;
}

/* Starts it again where it was, and compares what it recovered with what was acknowledged. */
static bool restart(struct demo *demo)
{
    const struct hf_recovery *recovery = &demo->server.recovery;
    if (!start(demo))
        return false;
    say(demo,
        "the server is back %.0f ms after its start: %llu reservations and %llu inventory "
        "from %llu records, recovered in %.1f ms",
        demo->server.start_ms, (unsigned long long)recovery->reservations,
        (unsigned long long)recovery->inventories, (unsigned long long)recovery->records,
        recovery->duration_ms);
    if (recovery->reservations < demo->grants || recovery->inventories != 1)
        return problem(demo, "it recovered less than was acknowledged (%u grants)", demo->grants);
    demo->figures.recovered++;
    return true;
}

/* One request on the organiser's connection. */
static bool at_the_desk(struct demo *demo, enum hf_operation operation, struct hf_reply *reply)
{
    const struct hf_request request = {.operation = operation,
                                       .inventory_id = INVENTORY_ID,
                                       .product_id = PRODUCT_ID,
                                       .capacity = PLACES};
    unsigned result = hf_client_call_sync(demo->desk, &request, reply);
    if (hf_result_group(result) == HF_GROUP_YES)
        return !interrupted;
    return problem(demo, "operation %u was answered %s (%s)", (unsigned)operation,
                   hf_result_name(result), hf_client_last_error(demo->desk));
}

static void note_sold(struct demo *demo, uint64_t sold)
{
    if (sold > PLACES && sold - PLACES > demo->figures.oversold)
        demo->figures.oversold = (unsigned)(sold - PLACES);
}

/* The server's own sums must be those of its customers. */
static bool compare_sums(struct demo *demo)
{
    struct hf_reply reply;
    if (!at_the_desk(demo, HF_OP_INVENTORY_GET, &reply))
        return false;
    const struct hf_inventory *sums = &reply.inventory;
    say(demo, "the server's sums: %u confirmed, %d available; its customers hold %u",
        sums->confirmed, sums->available, demo->grants);
    note_sold(demo, sums->confirmed);
    note_sold(demo, demo->grants);
    if (sums->confirmed != demo->grants || sums->held != 0 ||
        sums->available != PLACES - (int32_t)demo->grants)
        return problem(demo, "these sums do not agree");
    return true;
}

/* ---- the story ---- */

static bool open_the_house(struct demo *demo)
{
    struct hf_reply reply;
    const struct hf_client_options options = {.server = demo->listen,
                                              .request_timeout_ms = PHASE_TIMEOUT_S * 1000};
    if (!start(demo))
        return false;
    say(demo, "a server listens on %s, its log is in %s", demo->server.address, demo->directory);
    HF_CHECK(hf_client_open(&options, &demo->desk) == 0);
    if (!at_the_desk(demo, HF_OP_INVENTORY_CREATE, &reply))
        return false;
    for (unsigned i = 0; i < CUSTOMERS; i++) {
        struct customer *customer = &demo->customers[i];
        customer->demo = demo;
        customer->customer_id = FIRST_CUSTOMER_ID + i;
        hf_id_make(&customer->id);
        HF_CHECK(hf_client_open(&options, &customer->client) == 0);
        ask(customer, HF_OP_PING);
    }
    if (!finish(demo) || !at_the_desk(demo, HF_OP_INFO, &reply))
        return false;
    say(demo, "%d places; %u customers, %llu connections open at once", PLACES,
        count_told(demo, TOLD_YES), (unsigned long long)reply.info.connections);
    if (reply.info.connections < CUSTOMERS)
        return problem(demo, "fewer connections than customers");
    return true;
}

/* Lets customers ask until `window` of them wait for an answer; true while any is left. */
static bool let_ask(struct demo *demo, unsigned *next, unsigned window)
{
    while (*next < CUSTOMERS && demo->answers_due < window) {
        struct customer *customer = &demo->customers[(*next)++];
        customer->asked = true;
        ask(customer, HF_OP_RESERVE);
    }
    return *next < CUSTOMERS;
}

/* All ask for a place; the server dies in the middle of its answers. */
static bool rush(struct demo *demo)
{
    unsigned next = 0;
    uint64_t deadline_ns = hf_monotonic_now_ns() + PHASE_TIMEOUT_S * HF_NS_PER_S;
    while (demo->grants < KILL_AFTER_GRANTS && !interrupted) {
        let_ask(demo, &next, WINDOW);
        pump(demo, 20);
        if (hf_monotonic_now_ns() > deadline_ns)
            return problem(demo, "only %u grants within %u s", demo->grants, PHASE_TIMEOUT_S);
    }
    let_ask(demo, &next, WINDOW); /* there are always some on their way when it happens */
    pump(demo, 0);
    unsigned acknowledged = demo->grants;
    hf_daemon_kill(&demo->server);
    say(demo,
        "kill -9, in the middle of it: %u places acknowledged, %u customers wait for their "
        "answer, %u have yet to ask",
        acknowledged, demo->answers_due, CUSTOMERS - next);
    if (demo->answers_due == 0 || acknowledged >= PLACES)
        return problem(demo, "that was not in the middle");
    let_ask(demo, &next, UINT32_MAX); /* the others do not know, and ask all the same */
    return restart(demo);
}

/* Looks up the id of every customer. Returns how many acknowledged grants are not there. */
static bool look_up_all(struct demo *demo, unsigned *lost, unsigned *extra)
{
    for (unsigned i = 0; i < CUSTOMERS; i++)
        ask(&demo->customers[i], HF_OP_RESERVATION_GET);
    bool finished = finish(demo);
    for (unsigned i = 0; i < CUSTOMERS; i++) {
        const struct customer *customer = &demo->customers[i];
        *lost += customer->holds && !customer->confirmed;
        *extra += !customer->holds && customer->told != TOLD_NO;
    }
    return finished;
}

static bool check_all(struct demo *demo)
{
    unsigned lost = 0, extra = 0;
    bool finished = look_up_all(demo, &lost, &extra);
    say(demo,
        "looked up all %u ids: %u of %u acknowledged grants are there, %u refused ones are "
        "not",
        CUSTOMERS, demo->grants - lost, demo->grants, CUSTOMERS - demo->grants - extra);
    demo->figures.lost += lost;
    if (lost || extra)
        return problem(demo, "%u acknowledged grants are lost, %u refused ones exist", lost, extra);
    return finished;
}

/* The clients reconnect and repeat their ids by themselves; all that is left is to wait. */
static bool answer_all(struct demo *demo)
{
    unsigned reconnected = 0;
    bool finished = finish(demo);
    for (unsigned i = 0; i < CUSTOMERS; i++) {
        struct customer *customer = &demo->customers[i];
        customer->refused = customer->asked && !customer->holds && customer->told == TOLD_NO;
        demo->figures.granted += customer->holds;
        demo->figures.refused += customer->refused;
        reconnected += hf_client_connects(customer->client) > 1;
    }
    say(demo,
        "all are answered: %u granted, %u refused as sold out; %u clients had reconnected by "
        "themselves",
        demo->figures.granted, demo->figures.refused, reconnected);
    return finished && compare_sums(demo) && check_all(demo);
}

static bool crash_again(struct demo *demo)
{
    hf_daemon_kill(&demo->server);
    say(demo, "kill -9 again");
    if (!restart(demo) || !check_all(demo))
        return false;
    unsigned repeats = 0;
    for (unsigned i = 0; i < CUSTOMERS; i++)
        if (demo->customers[i].holds) {
            ask(&demo->customers[i], HF_OP_RESERVE);
            repeats++;
        }
    if (!finish(demo))
        return false;
    for (unsigned i = 0; i < CUSTOMERS; i++)
        if (demo->customers[i].holds && demo->customers[i].told != TOLD_YES)
            return problem(demo, "a holder who asked again was refused");
    say(demo, "%u holders ask for the same place again: the same receipt for each, none gets two",
        repeats);
    return compare_sums(demo);
}

/* Asks for up to `limit` customers of one kind; returns how many were told yes. */
static unsigned ask_some(struct demo *demo, bool holders, unsigned limit,
                         enum hf_operation operation)
{
    struct customer *asked[CANCELS];
    unsigned count = 0, yes = 0;
    for (unsigned i = 0; i < CUSTOMERS && count < limit; i++) {
        struct customer *customer = &demo->customers[i];
        if (customer->holds != holders || (!holders && !customer->refused))
            continue;
        if (operation == HF_OP_RESERVE) {
            hf_id_make(&customer->id); /* a new request: the old id was answered with a no */
            customer->lsn = 0;
        }
        ask(customer, operation);
        asked[count++] = customer;
    }
    finish(demo);
    for (unsigned i = 0; i < count; i++)
        yes += asked[i]->told == TOLD_YES;
    return yes;
}

static bool cancel_and_sell_again(struct demo *demo)
{
    struct figures *figures = &demo->figures;
    figures->cancelled = ask_some(demo, true, CANCELS, HF_OP_CANCEL);
    figures->regranted = ask_some(demo, false, CANCELS, HF_OP_RESERVE);
    unsigned one_more = ask_some(demo, false, 1, HF_OP_RESERVE);
    say(demo, "%u customers cancel, %u refused ones get their places, the next one %s",
        figures->cancelled, figures->regranted, one_more ? "gets one too" : "is refused");
    figures->regranted += one_more;
    return compare_sums(demo);
}

/* What the log's tool finds in the log: NO-OVERSELL at each grant, and the sums of all. */
static bool verify_log(struct demo *demo)
{
    static char output[65536];
    static const char last[] = "verify: ok\n";
    const char *const argv[] = {demo->wal_program, "verify", demo->directory, NULL};
    int status = hf_process_run(argv, output, sizeof output);
    size_t length = strlen(output);
    const char *confirmed = strstr(output, CONFIRMED_MARK);
    if (status != 0 || length < sizeof last - 1 ||
        strcmp(output + length - (sizeof last - 1), last) != 0 || !confirmed)
        return problem(demo, "holdfast-wal verify ended with status %d: %.300s", status, output);
    uint64_t units = strtoull(confirmed + sizeof CONFIRMED_MARK - 1, NULL, 10);
    say(demo, "holdfast-wal verify: the log is whole, and holds %llu places in all",
        (unsigned long long)units);
    note_sold(demo, units);
    if (units != demo->grants)
        return problem(demo, "the log holds %llu places, the customers %u",
                       (unsigned long long)units, demo->grants);
    demo->figures.verified = true;
    return true;
}

static bool close_the_house(struct demo *demo)
{
    int status = hf_daemon_stop(&demo->server);
    say(demo, "SIGTERM: the server ends with exit status %d", status);
    return status == 0 || problem(demo, "that should have been 0");
}

static void tell(struct demo *demo)
{
    (void)(open_the_house(demo) && rush(demo) && answer_all(demo) && crash_again(demo) &&
           cancel_and_sell_again(demo) && verify_log(demo) && close_the_house(demo));
}

/* Frees everything, whatever was opened, and tells what a failed server said. */
static void clean_up(struct demo *demo)
{
    char messages[2048];
    hf_daemon_messages(&demo->server, messages, sizeof messages);
    if (demo->problems && messages[0])
        printf("the server said: %s\n", messages);
    demo->problems += interrupted ? 1 : 0;
    hf_daemon_forget(&demo->server);
    for (unsigned i = 0; i < CUSTOMERS; i++)
        if (demo->customers[i].client)
            hf_client_close(demo->customers[i].client);
    if (demo->desk)
        hf_client_close(demo->desk);
    if (demo->directory[0] && hf_directory_remove(demo->directory) < 0) {
        demo->problems++;
        printf("could not remove %s\n", demo->directory);
    }
}

/* The last line. Returns the exit status. */
static int conclude(const struct demo *demo)
{
    static const struct figures right = {PLACES, CUSTOMERS - PLACES, 0, 0, 2, CANCELS, CANCELS,
                                         true};
    const struct figures *got = &demo->figures;
    printf("demo: granted=%u refused=%u acknowledged_lost=%u oversold=%u recovered=%u cancelled=%u "
           "regranted=%u verified=%s\n",
           got->granted, got->refused, got->lost, got->oversold, got->recovered, got->cancelled,
           got->regranted, got->verified ? "ok" : "no");
    bool as_must_be = got->granted == right.granted && got->refused == right.refused &&
                      got->lost == right.lost && got->oversold == right.oversold &&
                      got->recovered == right.recovered && got->cancelled == right.cancelled &&
                      got->regranted == right.regranted && got->verified == right.verified;
    return as_must_be && demo->problems == 0 ? 0 : 1;
}

/* 1000 connections need as many descriptors, here and in the server. */
static bool allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    if (limit.rlim_cur < DESCRIPTORS && limit.rlim_max >= DESCRIPTORS) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur >= DESCRIPTORS;
}

static bool parse_options(int argc, char **argv, struct demo *demo)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--server-program") == 0)
            demo->options.program = argv[i + 1];
        else if (strcmp(argv[i], "--wal-program") == 0)
            demo->wal_program = argv[i + 1];
        else
            return false;
    }
    return argc % 2 == 1 && demo->options.program && demo->wal_program;
}

int main(int argc, char **argv)
{
    static struct demo demo;
    demo.began_ns = hf_monotonic_now_ns();
    if (!parse_options(argc, argv, &demo)) {
        fprintf(stderr, "usage: holdfast-demo --server-program PATH --wal-program PATH\n");
        return 2;
    }
    if (!allow_descriptors()) {
        fprintf(stderr, "demo: %d open files are needed: ulimit -n %d\n", DESCRIPTORS, DESCRIPTORS);
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    signal(SIGPIPE, SIG_IGN);
    if (hf_directory_make(demo.directory) < 0) {
        fprintf(stderr, "demo: cannot make a directory under $TMPDIR or /var/tmp\n");
        return 1;
    }
    snprintf(demo.listen, sizeof demo.listen, "127.0.0.1:%u", hf_port_find());
    demo.options.directory = demo.directory;
    demo.options.listen = demo.listen;
    tell(&demo);
    clean_up(&demo);
    return conclude(&demo);
}
