/*
 * A real file system that is really full: a small ext4 on a loop device, and a server on it. What the
 * log does then is told in wal/segments.h: STORAGE_FULL for new work, everything else as ever, and on
 * it goes by itself when there is room. Without root it is skipped.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "holdfast/client.h"
#include "tests/lib/loop_disk.h"
#include "tests/lib/process.h"
#include "tests/lib/stress.h"

#define DISK_BYTES  (80ull << 20)
#define MIB         (1ull << 20)
#define PATIENCE_MS 60000
#define PATIENCE_NS (30 * HF_NS_PER_S)
#define SOLD_OUT    2u /* an inventory of one unit, which is taken */
#define IDS_MAX     100000u

static struct hf_loop_disk disk;
static struct hf_daemon server;
static struct hf_client *client;
static char data[HF_DIRECTORY_TEXT_BYTES + 32];

/* LSNs of what was acknowledged, by the number that the id stands for. 0: it was not. */
static uint64_t lsns[IDS_MAX];
static uint32_t asked;

/* ---- the server ---- */

static void start(const char *const extra[])
{
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfastd", program);
    const struct hf_daemon_options options = {
        .program = program, .directory = data, .extra = extra};
    cr_assert_eq(hf_daemon_start(&server, &options), 0, "%s", server.error);
    if (client)
        hf_client_close(client);
    const struct hf_client_options client_options = {.server = server.address,
                                                     .request_timeout_ms = PATIENCE_MS};
    cr_assert_eq(hf_client_open(&client_options, &client), 0);
}

static unsigned ask(const struct hf_request *request, struct hf_reply *reply)
{
    return hf_client_call_sync(client, request, reply);
}

static void create(uint64_t inventory_id, uint32_t capacity)
{
    const struct hf_request request = {
        .operation = HF_OP_INVENTORY_CREATE, .inventory_id = inventory_id, .capacity = capacity};
    struct hf_reply reply;
    cr_assert_eq(ask(&request, &reply), HF_CREATED);
}

/* RESERVE of one unit by a new id. */
static unsigned reserve(uint64_t inventory_id)
{
    const struct hf_request request = {.operation = HF_OP_RESERVE,
                                       .id = hf_id_of_number(asked),
                                       .inventory_id = inventory_id,
                                       .customer_id = 1,
                                       .qty = 1};
    struct hf_reply reply;
    unsigned result = ask(&request, &reply);
    cr_assert_lt(asked, IDS_MAX);
    lsns[asked++] = result == HF_GRANTED ? reply.reservation.lsn : 0;
    return result;
}

static struct hf_status status(void)
{
    const struct hf_request request = {.operation = HF_OP_STATUS};
    struct hf_reply reply;
    cr_assert_eq(ask(&request, &reply), HF_FOUND);
    return reply.status;
}

/* On a disk of its own; with two inventories, one of them sold out. */
static void open_disk(void)
{
    char reason[256];
    if (!hf_loop_disk_open(&disk, DISK_BYTES, reason))
        cr_skip_test("no file system can be mounted here: %s", reason);
    snprintf(data, sizeof data, "%s/data", disk.point);
}

static void close_disk(void)
{
    if (client)
        hf_client_close(client);
    hf_daemon_forget(&server);
    if (disk.mounted)
        hf_loop_disk_close(&disk);
}

static void stock(void)
{
    create(1, HF_MAX_UNITS);
    create(SOLD_OUT, 1);
    cr_assert_eq(reserve(SOLD_OUT), HF_GRANTED);
}

TestSuite(full_disk, .init = open_disk, .fini = close_disk, .timeout = 300);

/* ---- what must hold ---- */

/* Until it is answered so. Returns how many were granted before. */
static uint32_t reserve_until(unsigned wanted)
{
    uint64_t deadline_ns = hf_monotonic_now_ns() + PATIENCE_NS;
    unsigned result;
    uint32_t granted = 0;
    while ((result = reserve(1)) != wanted) {
        cr_assert(result == HF_GRANTED || result == HF_STORAGE_FULL, "%s", hf_result_name(result));
        cr_assert_lt(hf_monotonic_now_ns(), deadline_ns, "%s for too long", hf_result_name(result));
        granted += result == HF_GRANTED;
        if (result == HF_STORAGE_FULL)
            usleep(1000);
    }
    return granted + (wanted == HF_GRANTED);
}

/* Everything that was acknowledged is there; nothing that was refused is. */
static void check_all(void)
{
    for (uint32_t i = 0; i < asked; i++) {
        const struct hf_request request = {.operation = HF_OP_RESERVATION_GET,
                                           .id = hf_id_of_number(i)};
        struct hf_reply reply;
        unsigned result = ask(&request, &reply);
        cr_assert_eq(result, lsns[i] ? HF_FOUND : HF_NOT_FOUND, "number %u, LSN %llu: %s", i,
                     (unsigned long long)lsns[i], hf_result_name(result));
        cr_assert(!lsns[i] || reply.reservation.lsn == lsns[i]);
    }
}

/* What changes nothing, or is refused anyway, is answered as ever. */
static void check_reads(void)
{
    const struct hf_request look = {.operation = HF_OP_INVENTORY_GET, .inventory_id = 1};
    const struct hf_request repeat = {.operation = HF_OP_RESERVE,
                                      .id = hf_id_of_number(0),
                                      .inventory_id = SOLD_OUT,
                                      .customer_id = 1,
                                      .qty = 1};
    struct hf_reply reply;
    cr_expect_eq(ask(&look, &reply), HF_FOUND);
    cr_expect_eq(ask(&repeat, &reply), HF_GRANTED);
    cr_expect(reply.repeated);
    cr_expect_eq(reserve(SOLD_OUT), HF_SOLD_OUT);
    cr_expect(status().storage_full);
    cr_expect_eq(status().storage_error, -ENOSPC);
}

static void check_log(void)
{
    char program[HF_PROGRAM_TEXT_BYTES], output[4096];
    hf_program_path("holdfast-wal", program);
    const char *const argv[] = {program, "verify", data, NULL};
    cr_expect_eq(hf_process_run(argv, output, sizeof output), 0, "%s", output);
    cr_expect(strstr(output, "verify: ok"), "%s", output);
}

static unsigned count_files(const char *suffix)
{
    unsigned count = 0;
    const struct dirent *entry;
    DIR *directory = opendir(data);
    cr_assert(directory);
    while ((entry = readdir(directory))) {
        size_t length = strlen(entry->d_name);
        count +=
            length > strlen(suffix) && strcmp(entry->d_name + length - strlen(suffix), suffix) == 0;
    }
    closedir(directory);
    return count;
}

/* ---- the log ---- */

static const char *const log_only[] = {"--segment-bytes", "1048576", "--snapshot-after", "never",
                                       NULL};

/* The disk fills up under load; the server is killed there, twice, and started on the full disk. Then
 * there is room again. */
Test(full_disk, a_full_disk_stops_new_work_only_and_room_lets_it_go_on)
{
    start(log_only);
    stock();
    cr_assert_eq(hf_loop_disk_leave(&disk, 6 * MIB), 0);
    cr_expect_geq(reserve_until(HF_STORAGE_FULL), 1000);
    check_reads();
    check_all();
    check_log();
    for (int i = 0; i < 2; i++) {
        hf_daemon_kill(&server);
        start(log_only);
        reserve_until(HF_STORAGE_FULL);
        check_reads();
        check_all();
    }
    cr_assert_eq(hf_loop_disk_leave(&disk, 8 * MIB), 0);
    reserve_until(HF_GRANTED);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(reserve(1), HF_GRANTED);
    cr_expect(!status().storage_full);
    check_all();
    cr_expect_eq(hf_daemon_stop(&server), 0);
    check_log();
}

/* Requests come so slowly that each is attested before the next: none is left without an answer. */
Test(full_disk, a_slow_client_of_a_full_disk_is_always_answered)
{
    start(log_only);
    stock();
    cr_assert_eq(hf_loop_disk_leave(&disk, MIB / 2), 0);
    while (!status().storage_full)
        cr_assert_eq(reserve(1), HF_GRANTED);
    unsigned result;
    for (int i = 0; (result = reserve(1)) == HF_GRANTED; i++)
        if (i >= 150) /* of about 240 places */
            usleep(30 * 1000);
    cr_expect_eq(result, HF_STORAGE_FULL, "%s", hf_result_name(result));
    check_reads();
    check_all();
}

/* ---- snapshots ---- */

static void ask_snapshot(void)
{
    const struct hf_request request = {.operation = HF_OP_SNAPSHOT};
    struct hf_reply reply;
    cr_assert_eq(ask(&request, &reply), HF_OK);
}

static bool has_message(const char *text)
{
    static char messages[16384];
    hf_daemon_messages(&server, messages, sizeof messages);
    return strstr(messages, text) != NULL;
}

/* Until the condition on `now` holds. */
#define AWAIT_STATUS(condition)                                                                    \
    do {                                                                                           \
        uint64_t deadline_ns = hf_monotonic_now_ns() + PATIENCE_NS;                                \
        for (now = status(); !(condition); now = status()) {                                       \
            cr_assert_lt(hf_monotonic_now_ns(), deadline_ns, #condition);                          \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

/* There is room for the log, but not for a snapshot of half a MiB. Then there is. */
Test(full_disk, a_snapshot_that_finds_no_room_leaves_nothing_and_a_later_one_is_made)
{
    struct hf_status now;
    start(log_only);
    stock();
    for (int i = 0; i < 4000; i++)
        cr_assert_eq(reserve(1), HF_GRANTED);
    cr_assert_eq(hf_loop_disk_leave(&disk, 200 * 1024), 0);
    ask_snapshot();
    AWAIT_STATUS(now.snapshot_failures != 0);
    cr_expect_eq(now.snapshot_error, -ENOSPC);
    cr_expect_eq(now.snapshots_made, 0);
    cr_expect_eq(count_files(".snapshot") + count_files("snapshot.tmp"), 0);
    cr_expect(has_message("snapshot in ") && has_message("failed: No space left on device"));
    cr_expect_eq(reserve(1), HF_GRANTED);

    cr_assert_eq(hf_loop_disk_leave(&disk, 8 * MIB), 0);
    ask_snapshot();
    AWAIT_STATUS(now.snapshots_made == 1);
    cr_expect_eq(now.snapshot_error, 0);
    cr_expect_eq(count_files(".snapshot"), 1);
    hf_daemon_kill(&server);
    start(log_only);
    cr_expect_lt(server.recovery.records, asked, "it did not begin with the snapshot: %s",
                 server.ready);
    check_all();
}

/* One record more, of one hold: the state does not grow. */
static unsigned extend(void)
{
    const struct hf_request request = {
        .operation = HF_OP_EXTEND, .id = hf_id_of_number(IDS_MAX), .ttl_ns = 3600 * HF_NS_PER_S};
    struct hf_reply reply;
    return ask(&request, &reply);
}

/* Extends the hold until the log has come to this segment, waiting whenever the disk is full. Returns
 * how often it was. A log whose newest snapshot tells all that it holds has nothing to make another one
 * of, and releases no more: then somebody has to make room for one segment. */
static unsigned extend_until(uint64_t segment)
{
    uint64_t deadline_ns = hf_monotonic_now_ns() + 2 * PATIENCE_NS, moved_ns = 0, active = 0;
    unsigned waited = 0;
    while (status().active_segment < segment) {
        uint64_t now_ns = hf_monotonic_now_ns();
        if (status().active_segment != active) {
            active = status().active_segment;
            moved_ns = now_ns;
        } else if (now_ns - moved_ns > 3 * HF_NS_PER_S) {
            cr_assert_eq(hf_loop_disk_leave(&disk, MIB + 512 * 1024), 0);
            moved_ns = now_ns;
        }
        cr_assert_lt(hf_monotonic_now_ns(), deadline_ns, "segment %llu of %llu",
                     (unsigned long long)status().active_segment, (unsigned long long)segment);
        for (int i = 0; i < 50; i++) {
            unsigned result = extend();
            cr_assert(result == HF_EXTENDED || result == HF_STORAGE_FULL, "%s",
                      hf_result_name(result));
            waited += result == HF_STORAGE_FULL;
            if (result == HF_STORAGE_FULL)
                usleep(10 * 1000);
        }
    }
    return waited;
}

/* Extends the hold now and then, until snapshots have let go of all segments but a few, however late
 * a busy machine makes them. */
static struct hf_status settle(uint64_t first_kept_segment)
{
    uint64_t deadline_ns = hf_monotonic_now_ns() + 2 * PATIENCE_NS;
    struct hf_status now = status();
    while (now.first_kept_segment < first_kept_segment || now.kept_bytes > 6 * MIB) {
        cr_assert_lt(hf_monotonic_now_ns(), deadline_ns, "segments from %llu on, %llu bytes",
                     (unsigned long long)now.first_kept_segment,
                     (unsigned long long)now.kept_bytes);
        extend();
        usleep(50 * 1000);
        now = status();
    }
    return now;
}

/* A log whose old segments go: then the disk is filled, so that there is no room for one more, and it
 * is written for many times its size. It lives on the segments that it releases. */
Test(full_disk, a_bounded_log_goes_on_where_there_is_no_room_for_another_segment)
{
    static const char *const extra[] = {"--segment-bytes",
                                        "1048576",
                                        "--snapshot-after",
                                        "1048576",
                                        "--snapshot-every",
                                        "1s",
                                        NULL};
    const struct hf_request hold = {.operation = HF_OP_HOLD,
                                    .id = hf_id_of_number(IDS_MAX),
                                    .inventory_id = 1,
                                    .customer_id = 1,
                                    .qty = 1,
                                    .ttl_ns = 3600 * HF_NS_PER_S};
    struct hf_reply reply;
    struct hf_status now;
    start(extra);
    stock();
    cr_assert_eq(ask(&hold, &reply), HF_GRANTED);
    for (now = status(); now.first_kept_segment < 3; now = status())
        extend_until(now.active_segment + 1);
    uint64_t begin = settle(3).active_segment;
    cr_assert_eq(hf_loop_disk_leave(&disk, 512 * 1024), 0);
    unsigned waited = extend_until(begin + 12);
    now = settle(begin + 1);
    cr_expect_lt(hf_loop_disk_free_bytes(&disk), 12 * MIB, "there was room for all of them");
    /* A snapshot may come in the moment in which half a segment fills the disk: it is made again. */
    cr_log_info("waited %u times for room, %llu snapshots failed", waited,
                (unsigned long long)now.snapshot_failures);
    check_all();
    hf_daemon_kill(&server);
    start(extra);
    check_all();
}
