/*
 * holdfast-peers: on real servers, where they are installed; on a false one, which answers as Redis
 * does but lies in one thing, and has to be found out; and what it says of bad usage. And that the
 * tables of docs/performance.md are those of the figures beside it.
 *
 * The program is built only where libpq is; without it these tests are skipped.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/json.h"
#include "tests/lib/process.h"

#define OUTPUT_BYTES  4096
#define NOT_INSTALLED 125 /* exit status of tests/peers/smoke */
#define ARGUMENTS     32

/* Where the program is; ends the test if it is not. */
static const char *program(void)
{
    static char path[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfast-peers", path);
    if (access(path, X_OK) != 0)
        cr_skip_test("%s is not built: libpq-dev is missing", path);
    return path;
}

static int run(const char *path, const char *const arguments[], char output[OUTPUT_BYTES])
{
    const char *argv[ARGUMENTS] = {path};
    size_t count = 1;
    for (size_t i = 0; arguments[i] && count < ARGUMENTS - 1; i++)
        argv[count++] = arguments[i];
    return hf_process_run(argv, output, OUTPUT_BYTES);
}

/* ---- real servers ---- */

/* A load of 4 connections x 8 for a second on a new instance of this peer; its JSON. */
static const char *smoke(const char *peer, const char *op, const char *capacity)
{
    static char output[OUTPUT_BYTES];
    static char build[HF_PROGRAM_TEXT_BYTES];
    program();
    hf_program_path("", build);
    const char *const arguments[] = {build,
                                     peer,
                                     "--connections=4",
                                     "--depth=8",
                                     "--seconds=1",
                                     "--warmup=0",
                                     "--inventories=3",
                                     "--op",
                                     op,
                                     "--capacity",
                                     capacity,
                                     "--json",
                                     NULL};
    int status = run("tests/peers/smoke", arguments, output);
    if (status == NOT_INSTALLED)
        cr_skip_test("%s", output);
    cr_assert_eq(status, 0, "%s %s: status %d: %s", peer, op, status, output);
    cr_assert(strstr(output, "\"verified\":true"), "%s", output);
    cr_assert_eq(hf_json_number(output, "errors"), 0, "%s", output);
    cr_assert(hf_json_number(output, "p50_us") > 0 &&
                  hf_json_number(output, "p50_us") <= hf_json_number(output, "p999_us") &&
                  hf_json_number(output, "p999_us") <= hf_json_number(output, "max_us"),
              "%s", output);
    return output;
}

/* Many units, none, and few, of which all are granted and then no more. */
static void smoke_all(const char *peer)
{
    const char *output = smoke(peer, "reserve", "1000000");
    cr_assert(hf_json_number(output, "granted") > 0 && hf_json_number(output, "refused") == 0, "%s",
              output);
    output = smoke(peer, "refuse", "1000000");
    cr_assert(hf_json_number(output, "granted") == 0 && hf_json_number(output, "refused") > 0, "%s",
              output);
    output = smoke(peer, "reserve", "20");
    cr_assert(hf_json_number(output, "granted") == 60 && hf_json_number(output, "refused") > 0,
              "%s", output);
}

Test(peers, a_real_redis_keeps_the_bookings, .timeout = 120)
{
    smoke_all("redis");
}

Test(peers, a_real_postgresql_keeps_the_bookings_with_one_statement, .timeout = 120)
{
    smoke_all("postgres");
}

Test(peers, a_real_postgresql_keeps_the_bookings_with_select_for_update, .timeout = 120)
{
    smoke_all("postgres-for-update");
}

Test(peers, a_real_tarantool_keeps_the_bookings, .timeout = 120)
{
    smoke_all("tarantool");
}

/* ---- a false server ---- */

/* X(name, exit status, what is said, what is not as it should be) */
#define LIES(X)                                                                                    \
    X(NOTHING, 0, "\"verified\":true", "nothing: the false server can be believed")                \
    X(FORGETS_ID, 3, "GRANTED where REPEATED is right", "an id is forgotten")                      \
    X(FORGETS_WHO, 3, "REPEATED where CONFLICT is right", "an id for somebody else is repeated")   \
    X(OVERSELLS_ONE, 3, "GRANTED where REFUSED is right", "one unit is granted twice")             \
    X(SELLS_ANY, 3, "where NO_INVENTORY is right", "an inventory that is not there has units")     \
    X(LOSES, 1, "\"verified\":false", "a reservation is not there in the end")                     \
    X(KEEPS, 1, "\"verified\":false", "a unit is still available in the end")                      \
    X(OVERSELLS, 1, "more was granted than there is", "more is granted under load")                \
    X(REFUSES, 1, "refused although units are available", "units are refused under load")          \
    X(REPEATS, 1, "redis: REPEATED", "a new id is said to be known")                               \
    X(NO_OUTCOME, 3, "answered 9", "a number that is no outcome")                                  \
    X(NO_NUMBER, 3, "no number", "a text where a number belongs")                                  \
    X(AN_ERROR, 3, "OOM full", "an error under load")                                              \
    X(GARBAGE, 3, "does not speak Redis's protocol", "something else than the protocol")           \
    X(TOO_MANY, 3, "what was not asked", "an answer more than was asked")                          \
    X(CLOSES, 3, "closed the connection", "the connection ends under load")                        \
    X(SET_FAILS, 3, "did not answer SET", "an inventory cannot be made")                           \
    X(NO_HASH, 3, "SCRIPT LOAD", "the script has no hash")

enum lie {
#define X(name, status, said, meaning) LIE_##name,
    LIES(X)
#undef X
};

#define TRIAL_BOOKINGS 6 /* before the load */
#define LIE_AT         4 /* booking of the load */
#define CAPACITY       "100"

/* What it knows is the newest inventory and the newest reservation: enough for one connection. */
struct false_redis {
    enum lie lie;
    int listener;
    uint32_t asked; /* bookings */
    int64_t available, reservations;
    char inventory[32], id[32], customer[32];
};

struct piece {
    const char *bytes;
    size_t count;
};

static bool is(const struct piece *piece, const char *text)
{
    return piece->count == strlen(text) && memcmp(piece->bytes, text, piece->count) == 0;
}

static void keep(char text[32], const struct piece *piece)
{
    cr_assert_lt(piece->count, 32);
    memset(text, 0, 32);
    memcpy(text, piece->bytes, piece->count);
}

/* The pieces of one command; how many bytes it takes, 0: it is not whole. */
static size_t read_command(const char *bytes, size_t count, struct piece pieces[8])
{
    const char *at = bytes, *end = bytes + count;
    for (size_t i = 0; i < 8; i++)
        pieces[i] = (struct piece){"", 0};
    if (count < 4 || !memchr(at, '\n', count))
        return 0;
    long number = strtol(at + 1, NULL, 10);
    at = (const char *)memchr(at, '\n', count) + 1;
    for (long i = 0; i < number && i < 8; i++) {
        const char *line_end = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (!line_end)
            return 0;
        size_t length = strtoul(at + 1, NULL, 10);
        at = line_end + 1;
        if ((size_t)(end - at) < length + 2)
            return 0;
        pieces[i] = (struct piece){at, length};
        at += length + 2;
    }
    return (size_t)(at - bytes);
}

/* The outcome of a booking, true or not. */
static int decide(struct false_redis *redis, const struct piece pieces[8])
{
    bool in_load = redis->asked++ >= TRIAL_BOOKINGS;
    bool now = in_load && redis->asked == TRIAL_BOOKINGS + LIE_AT;
    if (now && redis->lie == LIE_REFUSES)
        return 0;
    if (now && redis->lie == LIE_REPEATS)
        return 2;
    if (now && redis->lie == LIE_NO_OUTCOME)
        return 9;
    if (!is(pieces + 3, redis->inventory) && redis->lie != LIE_SELLS_ANY)
        return 4;
    bool known = pieces[4].count == 18 && memcmp(pieces[4].bytes, redis->id, 18) == 0;
    if (known && !is(pieces + 6, redis->customer) && redis->lie != LIE_FORGETS_WHO)
        return 3;
    if (known && redis->lie != LIE_FORGETS_ID)
        return 2;
    if (redis->available == 0 && !(in_load && redis->lie == LIE_OVERSELLS) &&
        !(!in_load && redis->lie == LIE_OVERSELLS_ONE))
        return 0;
    redis->available--;
    redis->reservations++;
    keep(redis->id, pieces + 4);
    keep(redis->customer, pieces + 6);
    return 1;
}

/* Writes the answer to one command; false: close the connection instead. */
static bool answer(struct false_redis *redis, const struct piece pieces[8], char out[256])
{
    char number[32];
    if (is(pieces, "SET")) {
        keep(redis->inventory, pieces + 1);
        keep(number, pieces + 2);
        redis->available = strtol(number, NULL, 10);
        snprintf(out, 256, redis->lie == LIE_SET_FAILS ? "+QUEUED\r\n" : "+OK\r\n");
    } else if (is(pieces, "SCRIPT")) {
        int digits = redis->lie == LIE_NO_HASH ? 41 : 40;
        snprintf(out, 256, "$%d\r\n%0*d\r\n", digits, digits, 7);
    } else if (is(pieces, "GET")) {
        long long told =
            redis->available + (redis->lie == LIE_KEEPS && redis->asked > TRIAL_BOOKINGS);
        int digits = snprintf(number, sizeof number, "%lld", told);
        snprintf(out, 256, "$%d\r\n%s\r\n", digits, number);
    } else if (is(pieces, "DBSIZE")) {
        long long told =
            redis->reservations - (redis->lie == LIE_LOSES && redis->asked > TRIAL_BOOKINGS);
        snprintf(out, 256, ":%lld\r\n", told + 2);
    } else {
        int outcome = decide(redis, pieces);
        bool now = redis->asked == TRIAL_BOOKINGS + LIE_AT;
        snprintf(out, 256, ":%d\r\n%s", outcome,
                 now && redis->lie == LIE_TOO_MANY ? ":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n" : "");
        if (now && redis->lie == LIE_AN_ERROR)
            snprintf(out, 256, "-OOM full\r\n");
        if (now && redis->lie == LIE_NO_NUMBER)
            snprintf(out, 256, "+OK\r\n");
        if (now && redis->lie == LIE_GARBAGE)
            snprintf(out, 256, "HTTP/1.1 400 Bad Request\r\n");
        return !(now && redis->lie == LIE_CLOSES);
    }
    return true;
}

/* Our end, and then the peer's: closing with input unread would reset the connection instead. */
static void end(int connection)
{
    char bytes[8192];
    shutdown(connection, SHUT_WR);
    while (recv(connection, bytes, sizeof bytes, 0) > 0)
        ;
}

/* Answers what one connection asks until it is closed. */
static void serve_one(struct false_redis *redis, int connection)
{
    char bytes[8192], out[256];
    size_t count = 0;
    for (;;) {
        ssize_t received = recv(connection, bytes + count, sizeof bytes - count, 0);
        if (received <= 0)
            return;
        count += (size_t)received;
        struct piece pieces[8];
        size_t taken;
        while ((taken = read_command(bytes, count, pieces)) > 0) {
            if (!answer(redis, pieces, out) ||
                send(connection, out, strlen(out), MSG_NOSIGNAL) < 0) {
                end(connection);
                return;
            }
            count -= taken;
            memmove(bytes, bytes + taken, count);
        }
    }
}

/* One connection after the other, until the listener is shut. */
static void *serve(void *context)
{
    struct false_redis *redis = context;
    int connection;
    while ((connection = accept(redis->listener, NULL, NULL)) >= 0) {
        serve_one(redis, connection);
        close(connection);
    }
    return NULL;
}

static void listen_anywhere(struct false_redis *redis, char address[32])
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof name;
    redis->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(redis->listener, (struct sockaddr *)&name, sizeof name) == 0 &&
              listen(redis->listener, 16) == 0 &&
              getsockname(redis->listener, (struct sockaddr *)&name, &bytes) == 0);
    snprintf(address, 32, "127.0.0.1:%u", ntohs(name.sin_port));
}

static void find_out(enum lie lie, int status, const char *said, const char *meaning)
{
    struct false_redis redis = {.lie = lie};
    char output[OUTPUT_BYTES], address[32];
    pthread_t thread;
    listen_anywhere(&redis, address);
    cr_assert_eq(pthread_create(&thread, NULL, serve, &redis), 0);
    const char *const arguments[] = {
        "--peer",    "redis", "--server", address, "--connections", "1",      "--depth", "4",
        "--seconds", "0.2",   "--warmup", "0",     "--capacity",    CAPACITY, "--json",  NULL};
    int was = run(program(), arguments, output);
    shutdown(redis.listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(redis.listener);
    cr_expect_eq(was, status, "%s: status %d: %s", meaning, was, output);
    cr_expect(strstr(output, said), "%s: %s", meaning, output);
}

Test(peers, a_server_that_lies_in_one_thing_is_found_out, .timeout = 120)
{
    program();
#define X(name, status, said, meaning) find_out(LIE_##name, status, said, meaning);
    LIES(X)
#undef X
}

/* ---- usage ---- */

Test(peers, bad_usage_is_told_and_ends_with_status_2)
{
    static const char *const wrong[][6] = {
        {"--peer", "mysql", NULL},
        {"--peer", "redis", NULL},
        {"--server", "127.0.0.1:1", NULL},
        {"--peer", "redis", "--server", "127.0.0.1:1", "--depth=0", NULL},
        {"--peer", "redis", "--server", "127.0.0.1:1", "--op=buy", NULL},
        {"--peer", "redis", "--server", "127.0.0.1:1", "--seconds=0", NULL},
        {"--peer", "redis", "--server", "127.0.0.1:1", "more", NULL},
        {"--fast", NULL},
    };
    char output[OUTPUT_BYTES];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(run(program(), wrong[i], output), 2, "%zu: %s", i, output);
}

Test(peers, a_server_that_is_not_there_is_named_and_ends_with_status_3)
{
    static const char *const peers[] = {"redis", "postgres", "postgres-for-update", "tarantool"};
    char output[OUTPUT_BYTES];
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        const char *const arguments[] = {"--peer", peers[i], "--server", "127.0.0.1:1", NULL};
        cr_expect_eq(run(program(), arguments, output), 3, "%s", output);
        cr_expect(strstr(output, "holdfast-peers: ") && strstr(output, "refused"), "%s", output);
    }
}

/* ---- the published figures ---- */

Test(peers, the_tables_of_the_performance_page_are_those_of_its_figures)
{
    static const char *const arguments[] = {"--check", NULL};
    static char output[OUTPUT_BYTES];
    int status = run("bench/peer/report", arguments, output);
    cr_expect_eq(status, 0, "%s", output);
}
