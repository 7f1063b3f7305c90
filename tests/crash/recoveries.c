/*
 * Recovery, killed: a server with a large state is started and killed before it is ready, at random
 * instants, again and again; and then it is started. It must come to the same state.
 *
 *   recoveries --programs BUILDDIR [--kills N] [--reservations N] [--seed N] [--keep]
 *
 * The state is a snapshot and a long tail behind it. Before each start, bytes are left behind the end
 * of the log as a write leaves them that was in flight at a crash: so each recovery has a torn tail to
 * cut, and is killed before, while and after it does. In the second half the newest snapshot is
 * damaged, and each recovery falls back to the one before.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "holdfast/client.h"
#include "holdfast/embedded.h"
#include "tests/crash/kept.h"
#include "tests/lib/process.h"
#include "tests/lib/stress.h"
#include "wal/io.h"
#include "wal/reader.h"
#include "wal/segment_header.h"

#define INVENTORIES     8
#define BATCH_LINES     64
#define SEGMENT_BYTES   (4u << 20)
#define HOLD_NS         (30ull * 24 * 3600 * HF_NS_PER_S)
#define SNAPSHOT_S      120
#define MOST_TORN_BYTES (64u << 10)

struct options {
    const char *programs;
    unsigned kills, reservations;
    uint64_t seed;
    bool keep;
};

struct trial {
    struct options options;
    struct hf_random random;
    struct hf_daemon server;
    char directory[HF_DIRECTORY_TEXT_BYTES], program[HF_PROGRAM_TEXT_BYTES];
    uint64_t state_hash, last_lsn; /* that it must come to */
    uint64_t recovery_ns;          /* of a start that nobody disturbs */
    unsigned killed, ready;        /* before they were ready; and behind that */
    bool damaged;                  /* the newest snapshot is */
    char wrong[1500];
};

/* ---- the state ---- */

static unsigned call(struct hf_session *session, const struct hf_request *request, bool waits)
{
    struct hf_reply reply;
    uint64_t lsn;
    unsigned result = hf_session_call(session, request, &reply, &lsn);
    if (waits)
        hf_session_wait(session, lsn);
    return result;
}

/* Holds and confirmed ones, in baskets. */
static void make_reservations(struct hf_session *session, uint32_t first, uint32_t count)
{
    struct hf_line lines[BATCH_LINES];
    for (uint32_t made = 0; made < count; made += BATCH_LINES) {
        for (uint32_t i = 0; i < BATCH_LINES; i++)
            lines[i] = (struct hf_line){.operation = i % 2 ? HF_OP_HOLD : HF_OP_RESERVE,
                                        .qty = 1,
                                        .id = hf_id_of_number(first + made + i),
                                        .inventory_id = 1 + i % INVENTORIES,
                                        .customer_id = 1 + i,
                                        .ttl_ns = i % 2 ? HOLD_NS : 0};
        const struct hf_request batch = {
            .operation = HF_OP_BATCH, .count = BATCH_LINES, .lines = lines};
        HF_CHECK(call(session, &batch, made + BATCH_LINES >= count) == HF_BATCH_DONE);
    }
}

static void cancel_some(struct hf_session *session, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += 3) {
        const struct hf_request cancel = {.operation = HF_OP_CANCEL,
                                          .id = hf_id_of_number(first + i)};
        call(session, &cancel, i + 3 >= count);
    }
}

static void make_snapshot(struct hf_embedded *db)
{
    struct hf_status before, now;
    uint64_t deadline_ns = hf_monotonic_now_ns() + SNAPSHOT_S * HF_NS_PER_S;
    hf_embedded_status(db, &before);
    hf_embedded_request_snapshot(db);
    do {
        usleep(1000);
        hf_embedded_status(db, &now);
        HF_CHECK(hf_monotonic_now_ns() < deadline_ns);
    } while (now.snapshots_made == before.snapshots_made);
}

/* Most of it, a snapshot, the rest, a snapshot, some changes more; killed. */
static _Noreturn void make_state(const struct trial *trial)
{
    uint32_t count = trial->options.reservations, most = count / 2;
    const struct hf_embedded_options options = {.directory = trial->directory,
                                                .segment_bytes = SEGMENT_BYTES};
    struct hf_embedded *db;
    struct hf_session *session;
    char error[HF_EMBEDDED_ERROR_BYTES];
    HF_CHECK(hf_embedded_open(&options, &db, error) == 0);
    HF_CHECK(hf_session_open(db, &session) == 0);
    for (uint64_t i = 1; i <= INVENTORIES; i++) {
        const struct hf_request create = {
            .operation = HF_OP_INVENTORY_CREATE, .inventory_id = i, .capacity = HF_MAX_UNITS};
        HF_CHECK(call(session, &create, true) == HF_CREATED);
    }
    make_reservations(session, 0, most);
    make_snapshot(db);
    make_reservations(session, most, count - most);
    make_snapshot(db);
    cancel_some(session, 0, count);
    raise(SIGKILL);
    _exit(1);
}

/* ---- one server ---- */

__attribute__((format(printf, 2, 3))) static bool fail(struct trial *trial, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(trial->wrong, sizeof trial->wrong, format, arguments);
    va_end(arguments);
    return false;
}

static struct hf_daemon_options server_options(const struct trial *trial)
{
    static const char *const extra[] = {"--snapshot-after", "never", NULL};
    return (struct hf_daemon_options){
        .program = trial->program, .directory = trial->directory, .extra = extra};
}

/* Starts it and asks for its state. */
static bool look(struct trial *trial, uint64_t *state_hash, uint64_t *last_lsn)
{
    const struct hf_daemon_options options = server_options(trial);
    const struct hf_request request = {.operation = HF_OP_STATE_HASH};
    struct hf_client *client;
    struct hf_reply reply;
    if (hf_daemon_start(&trial->server, &options) != 0)
        return fail(trial, "%s", trial->server.error);
    const struct hf_client_options client_options = {.server = trial->server.address,
                                                     .request_timeout_ms = 60000};
    HF_CHECK(hf_client_open(&client_options, &client) == 0);
    unsigned result = hf_client_call_sync(client, &request, &reply);
    hf_client_close(client);
    *state_hash = reply.state_hash;
    *last_lsn = reply.lsn_after;
    return hf_result_group(result) == HF_GROUP_YES || fail(trial, "%s", hf_result_name(result));
}

static bool kill_server(struct trial *trial)
{
    int status = hf_daemon_kill(&trial->server);
    char messages[1000];
    hf_daemon_messages(&trial->server, messages, sizeof messages);
    return status == 128 + SIGKILL ||
           fail(trial, "the server ended by itself, exit status %d: %s", status, messages);
}

/* Launches it, and kills it before it is ready, as a rule. */
static bool start_in_vain(struct trial *trial)
{
    const struct hf_daemon_options options = server_options(trial);
    char byte;
    uint32_t most_us = (uint32_t)(trial->recovery_ns / HF_NS_PER_US) + 1;
    if (hf_daemon_launch(&trial->server, &options) != 0)
        return fail(trial, "%s", trial->server.error);
    usleep(hf_random_below(&trial->random, most_us));
    bool is_ready = fcntl(trial->server.output, F_SETFL, O_NONBLOCK) == 0 &&
                    read(trial->server.output, &byte, 1) == 1;
    trial->killed += !is_ready;
    trial->ready += is_ready;
    return kill_server(trial);
}

/* ---- the torn tail ---- */

/* Where the log ends. */
static bool find_end(struct trial *trial, struct hf_finding *end)
{
    struct hf_kept kept;
    struct hf_reader *reader;
    struct hf_block_view view;
    HF_CHECK(hf_kept_look(&kept, trial->directory) == 0);
    const struct hf_kept_snapshot *newest = hf_kept_newest_right(&kept);
    if (newest == NULL)
        return fail(trial, "there is no right snapshot");
    if (hf_reader_open(hf_io_posix(), trial->directory, true, &newest->header.start, &reader,
                       end) != 0)
        return fail(trial, "%s", end->text);
    enum hf_read read;
    while ((read = hf_reader_next(reader, &view)) == HF_READ_BLOCK)
        ;
    *end = *hf_reader_finding(reader);
    hf_reader_close(reader);
    return read == HF_READ_END || read == HF_READ_TORN || fail(trial, "%s", end->text);
}

/* Random bytes behind the log's end, in its segment. */
static bool tear(struct trial *trial)
{
    struct hf_finding end = {0};
    static uint8_t bytes[MOST_TORN_BYTES];
    char path[HF_DIRECTORY_TEXT_BYTES + 64], name[HF_SEGMENT_NAME_BYTES];
    if (!find_end(trial, &end))
        return false;
    uint64_t left = SEGMENT_BYTES - end.offset;
    size_t count = 1 + hf_random_below(&trial->random, sizeof bytes);
    if (count > left)
        count = (size_t)left;
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(1 + hf_random_below(&trial->random, 255));
    hf_segment_name_format(end.segment, name);
    snprintf(path, sizeof path, "%s/%s", trial->directory, name);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool done = file >= 0 && pwrite(file, bytes, count, (off_t)end.offset) == (ssize_t)count &&
                fsync(file) == 0;
    if (file >= 0)
        close(file);
    return done || fail(trial, "cannot write behind the end: %s", strerror(errno));
}

static bool damage_newest(struct trial *trial)
{
    struct hf_kept kept;
    HF_CHECK(hf_kept_look(&kept, trial->directory) == 0);
    trial->damaged = true;
    return (kept.snapshot_count == 2 && hf_kept_damage(trial->directory, kept.snapshots[0].last_lsn,
                                                       hf_random_next(&trial->random)) == 0) ||
           fail(trial, "the newest of %d snapshots cannot be damaged", kept.snapshot_count);
}

/* ---- the whole ---- */

static bool begin(struct trial *trial)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        make_state(trial);
    if (child < 0 || waitpid(child, &status, 0) != child || status != SIGKILL)
        return fail(trial, "the state could not be made: %d", status);
    uint64_t began_ns = hf_monotonic_now_ns();
    if (!look(trial, &trial->state_hash, &trial->last_lsn))
        return false;
    trial->recovery_ns = hf_monotonic_now_ns() - began_ns;
    printf("recoveries: %u reservations, LSN %llu: %s\n", trial->options.reservations,
           (unsigned long long)trial->last_lsn, trial->server.ready);
    fflush(stdout);
    return kill_server(trial);
}

/* Undisturbed: the same state, of a snapshot and what is behind it. */
static bool check_state(struct trial *trial)
{
    uint64_t state_hash = 0, last_lsn = 0;
    if (!look(trial, &state_hash, &last_lsn))
        return false;
    if (state_hash != trial->state_hash || last_lsn != trial->last_lsn)
        return fail(trial, "LSN %llu, state hash %016llx; before the kills LSN %llu, %016llx",
                    (unsigned long long)last_lsn, (unsigned long long)state_hash,
                    (unsigned long long)trial->last_lsn, (unsigned long long)trial->state_hash);
    if (trial->server.recovery.records >= last_lsn)
        return fail(trial, "it did not begin with a snapshot: %s", trial->server.ready);
    char messages[2000];
    hf_daemon_messages(&trial->server, messages, sizeof messages);
    if ((strstr(messages, "is damaged") != NULL) != trial->damaged)
        return fail(trial, "a snapshot is %s, and it said: %s",
                    trial->damaged ? "damaged" : "not damaged", messages);
    return kill_server(trial);
}

static bool run(struct trial *trial)
{
    if (!begin(trial))
        return false;
    for (unsigned i = 0; i < trial->options.kills; i++) {
        if (i == trial->options.kills / 2 && (!check_state(trial) || !damage_newest(trial)))
            return false;
        if (!tear(trial) || !start_in_vain(trial))
            return false;
    }
    return check_state(trial);
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    *options = (struct options){
        .programs = "build", .kills = 50, .reservations = 400000, .seed = hf_date_now_ns() >> 20};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--keep") == 0) {
            options->keep = true;
            continue;
        }
        if (value == NULL)
            return false;
        if (strcmp(argv[i], "--programs") == 0)
            options->programs = value;
        else if (strcmp(argv[i], "--kills") == 0)
            options->kills = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--reservations") == 0)
            options->reservations = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            options->seed = strtoull(value, NULL, 10);
        else
            return false;
        i++;
    }
    options->reservations -= options->reservations % (2 * BATCH_LINES);
    return options->kills > 1 && options->reservations > 0;
}

int main(int argc, char **argv)
{
    struct trial trial = {0};
    if (!parse_options(argc, argv, &trial.options)) {
        fprintf(stderr, "usage: recoveries --programs BUILDDIR [--kills N] [--reservations N] "
                        "[--seed N] [--keep]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    trial.random = hf_random_for(trial.options.seed, 0);
    snprintf(trial.program, sizeof trial.program, "%s/holdfastd", trial.options.programs);
    HF_CHECK(hf_directory_make(trial.directory) == 0);
    bool right = run(&trial);
    if (!right)
        printf("recoveries: %s\nrecoveries: again with --seed %llu\n", trial.wrong,
               (unsigned long long)trial.options.seed);
    hf_daemon_forget(&trial.server);
    if (trial.options.keep || !right)
        printf("recoveries: the data stay in %s\n", trial.directory);
    else
        hf_directory_remove(trial.directory);
    printf("recoveries: killed=%u ready=%u of recoveries of %.0f ms %s\n", trial.killed,
           trial.ready, (double)trial.recovery_ns / (double)HF_NS_PER_MS, right ? "ok" : "FAILED");
    return right ? 0 : 1;
}
