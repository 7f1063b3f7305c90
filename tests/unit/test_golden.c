/*
 * The golden files: logs and a snapshot that earlier versions wrote are read by this one, with the
 * content that they had when they were written. tests/golden/README.md tells what is in them.
 *
 * What is expected stands here in numbers: hashes of all bytes of the records, and of the state,
 * which a program computed that shares no code with Holdfast but XXH3.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "engine/image.h"
#include "engine/replay.h"
#include "engine/state_hash.h"
#include "tests/lib/process.h"
#include "wal/io.h"
#include "wal/reader.h"
#include "wal/segment_header.h"
#include "wal/snapshot.h"

#define GOLDEN    "tests/golden"
#define DAY_NS    86400000000000ull
#define LATER_NS  1000ull /* a retention that has ended for nearly all that is finished */
#define FILES_MAX 4

struct golden {
    const char *name;
    const char *files[FILES_MAX]; /* NULL behind the last */
    uint64_t snapshot;            /* last LSN; 0: there is none */
    uint32_t blocks;
    uint64_t records, last_lsn; /* of the log */
    uint64_t records_hash;
    struct {
        uint64_t retain_ns, retained, hash;
    } states[2];
    const char *recovered; /* what the server says when it starts */
};

static const struct golden log_of_0_1_0 = {
    .name = "log-0.1.0",
    .files = {"0000000000000001.wal"},
    .blocks = 17,
    .records = 12,
    .last_lsn = 12,
    .records_hash = 0x8ed1f3335ed90ada,
    .states = {{DAY_NS, 7, 0x59c709890cd83cb2}, {LATER_NS, 5, 0x5cec7f98f12720f3}},
    .recovered = "recovered 7 reservations and 3 inventories",
};

static const struct golden log_of_all_kinds = {
    .name = "log",
    .files = {"0000000000000001.wal"},
    .blocks = 40,
    .records = 38,
    .last_lsn = 38,
    .records_hash = 0x085228e35aab2d98,
    .states = {{DAY_NS, 16, 0x4e2c519ac2eb1722}, {LATER_NS, 9, 0x0128a34a2f0d3f2f}},
    .recovered = "recovered 16 reservations and 5 inventories",
};

static const struct golden snapshot_and_tail = {
    .name = "snapshot",
    .files = {"0000000000000240.snapshot", "0000000000000002.wal"},
    .snapshot = 240,
    .blocks = 15,
    .records = 12,
    .last_lsn = 243,
    .records_hash = 0xf8c70a07dcce6d8a,
    .states = {{DAY_NS, 17, 0x88747b00ebe24b62}, {LATER_NS, 9, 0xcd78996b2ff1ed14}},
    .recovered = "recovered 17 reservations and 5 inventories",
};

static char directory[HF_DIRECTORY_TEXT_BYTES];

/* Copies a file; a segment gets its size back, with zeros, as only its used part is kept. */
static void copy_file(const char *golden, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), GOLDEN "/%s/%s", golden, name);
    FILE *from = fopen(path, "rb");
    cr_assert_not_null(from, "%s", path);
    static uint8_t bytes[1 << 20];
    size_t count = fread(bytes, 1, sizeof(bytes), from);
    fclose(from);
    cr_assert_geq(count, HF_SEGMENT_HEADER_BYTES);

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(to, 0);
    cr_assert_eq(write(to, bytes, count), (ssize_t)count);
    struct hf_segment_header header;
    if (hf_segment_header_decode(bytes, &header) == HF_SEGMENT_VALID)
        cr_assert_eq(ftruncate(to, (off_t)header.segment_bytes), 0);
    close(to);
}

static void open_copy(const struct golden *golden)
{
    cr_assert_eq(hf_directory_make(directory), 0);
    for (int i = 0; i < FILES_MAX && golden->files[i] != NULL; i++)
        copy_file(golden->name, golden->files[i]);
}

static void close_copy(void)
{
    cr_expect_eq(hf_directory_remove(directory), 0);
}

/* ---- reading ---------------------------------------------------------------------------- */

/* The snapshot's records, into the replay if there is one. Returns where the log goes on. */
static struct hf_log_start read_snapshot(uint64_t last_lsn, struct hf_replay *replay,
                                         XXH3_state_t *hash)
{
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    struct hf_snapshot_view view;
    enum hf_snapshot_read read =
        hf_snapshot_open(hf_io_posix(), directory, last_lsn, true, &snapshot, &finding);
    cr_assert_eq(read, HF_SNAPSHOT_RIGHT, "%s", finding.text);
    struct hf_snapshot_header header = *hf_snapshot_header(snapshot);
    while ((read = hf_snapshot_next(snapshot, &view)) == HF_SNAPSHOT_RIGHT) {
        XXH3_64bits_update(hash, view.records, (size_t)view.record_count * HF_RECORD_BYTES);
        for (uint32_t i = 0; i < view.record_count && replay != NULL; i++)
            cr_assert_null(hf_replay_restore(replay, view.records + (size_t)i * HF_RECORD_BYTES,
                                             header.log_time_ns));
    }
    cr_assert_eq(read, HF_SNAPSHOT_END, "%s", hf_snapshot_finding(snapshot)->text);
    hf_snapshot_close(snapshot);
    return header.start;
}

/* The log's records, to its end. */
static void read_log(const struct golden *golden, const struct hf_log_start *start,
                     struct hf_replay *replay, XXH3_state_t *hash)
{
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    uint32_t blocks = 0;
    uint64_t records = 0, last_lsn = 0;
    cr_assert_eq(hf_reader_open(hf_io_posix(), directory, true, start, &reader, &finding), 0);
    while (hf_reader_next(reader, &view) == HF_READ_BLOCK) {
        blocks++;
        records += view.header.record_count;
        last_lsn = view.header.first_lsn + view.header.record_count - 1;
        XXH3_64bits_update(hash, view.records, (size_t)view.header.record_count * HF_RECORD_BYTES);
        for (uint32_t i = 0; i < view.header.record_count && replay != NULL; i++)
            cr_assert_null(hf_replay_apply(replay, view.records + (size_t)i * HF_RECORD_BYTES));
    }
    finding = *hf_reader_finding(reader);
    cr_expect_eq(hf_reader_next(reader, &view), HF_READ_END, "%s", finding.text);
    hf_reader_close(reader);
    cr_expect_eq(blocks, golden->blocks);
    cr_expect_eq(records, golden->records);
    cr_expect_eq(last_lsn, golden->last_lsn);
}

/* All of it, through the engine's replay if there is one. Returns the hash of the log's records. */
static uint64_t read_all(const struct golden *golden, struct hf_replay *replay,
                         uint64_t *snapshot_hash)
{
    XXH3_state_t *hash = XXH3_createState();
    struct hf_log_start start = {.segment = 1, .next_lsn = 1};
    cr_assert_not_null(hash);
    XXH3_64bits_reset(hash);
    if (golden->snapshot != 0)
        start = read_snapshot(golden->snapshot, replay, hash);
    *snapshot_hash = XXH3_64bits_digest(hash);
    XXH3_64bits_reset(hash);
    read_log(golden, &start, replay, hash);
    uint64_t digest = XXH3_64bits_digest(hash);
    XXH3_freeState(hash);
    return digest;
}

/* The state that the engine makes of it. */
static void check_state(const struct golden *golden, uint64_t retain_ns, uint64_t retained,
                        uint64_t expected)
{
    struct hf_region region;
    struct hf_replay replay;
    struct hf_state_hash hash;
    uint64_t snapshot_hash;
    cr_assert_eq(hf_region_create(&region, 16, 1000), 0);
    cr_assert_eq(hf_replay_init(&replay, &region, retain_ns), 0);
    read_all(golden, &replay, &snapshot_hash);
    cr_assert_null(hf_replay_finish(&replay));
    cr_assert_eq(hf_state_hash_begin(&hash, &region, 0), 0);
    enum hf_hashing hashing = HF_HASHING_MORE;
    for (int i = 0; i < 100 && hashing == HF_HASHING_MORE; i++)
        hashing = hf_state_hash_step(&hash, &region, 1000);
    hf_state_hash_end(&hash);
    cr_expect_eq(hashing, HF_HASHING_DONE);
    cr_expect_eq(hash.reservations, retained, "%s: %llu", golden->name,
                 (unsigned long long)hash.reservations);
    cr_expect_eq(hash.sum, expected, "%s: %016llx", golden->name, (unsigned long long)hash.sum);
    hf_replay_close(&replay);
    hf_region_close(&region);
}

/* The server starts from it. */
static void check_server(const struct golden *golden)
{
    struct hf_daemon server;
    cr_assert_eq(hf_daemon_start_in(&server, directory, NULL), 0, "%s: %s", golden->name,
                 server.error);
    cr_expect_not_null(strstr(server.ready, golden->recovered), "%s: %s", golden->name,
                       server.ready);
    cr_expect_eq(hf_daemon_stop(&server), 0);
    hf_daemon_forget(&server);
}

/* holdfast-wal finds it sound, and the same state. */
static void check_tool(const struct golden *golden)
{
    char path[HF_PROGRAM_TEXT_BYTES], retain[64], expected[128];
    static char output[16384];
    hf_program_path("holdfast-wal", path);
    for (int i = 0; i < 2; i++) {
        snprintf(retain, sizeof(retain), "--retain=%lluns",
                 (unsigned long long)golden->states[i].retain_ns);
        const char *const argv[] = {path, "verify", directory, retain, NULL};
        cr_expect_eq(hf_process_run(argv, output, sizeof(output)), 0, "%s: %s", golden->name,
                     output);
        snprintf(expected, sizeof(expected), "retained: %llu\nstate_hash: %016llx\n",
                 (unsigned long long)golden->states[i].retained,
                 (unsigned long long)golden->states[i].hash);
        cr_expect_not_null(strstr(output, expected), "%s: %s", golden->name, output);
    }
}

static void check_golden(const struct golden *golden)
{
    uint64_t snapshot_hash;
    open_copy(golden);
    cr_expect_eq(read_all(golden, NULL, &snapshot_hash), golden->records_hash, "%s", golden->name);
    for (int i = 0; i < 2; i++)
        check_state(golden, golden->states[i].retain_ns, golden->states[i].retained,
                    golden->states[i].hash);
}

Test(golden, a_log_of_version_0_1_0_is_read)
{
    /* Three runs, of which one was killed; grants, cancellations, inventories. */
    check_golden(&log_of_0_1_0);
    check_tool(&log_of_0_1_0);
    check_server(&log_of_0_1_0);
    close_copy();
}

Test(golden, a_log_with_every_kind_of_record_is_read)
{
    /* Three runs; every state, settings, a chain, an offer, an event, a lapsed hold taken anew. */
    check_golden(&log_of_all_kinds);
    check_tool(&log_of_all_kinds);
    check_server(&log_of_all_kinds);
    close_copy();
}

Test(golden, a_snapshot_and_what_is_behind_it_are_read)
{
    /* The log before, whose first segment is gone; its state is that of the whole log. */
    check_golden(&snapshot_and_tail);
    check_server(&snapshot_and_tail);
    close_copy();
}

/* ---- fields ----------------------------------------------------------------------------- */

/* The log's record with that LSN. */
static struct hf_image find_image(const struct golden *golden, uint64_t lsn)
{
    struct hf_reader *reader;
    struct hf_finding finding;
    struct hf_block_view view;
    struct hf_image image;
    open_copy(golden);
    cr_assert_eq(hf_reader_open(hf_io_posix(), directory, true, NULL, &reader, &finding), 0);
    do
        cr_assert_eq(hf_reader_next(reader, &view), HF_READ_BLOCK);
    while (view.header.first_lsn + view.header.record_count <= lsn);
    const char *reason = hf_image_decode(
        view.records + (size_t)(lsn - view.header.first_lsn) * HF_RECORD_BYTES, &image);
    cr_assert_null(reason, "%s", reason);
    cr_assert_eq(image.lsn, lsn);
    hf_reader_close(reader);
    close_copy();
    return image;
}

Test(golden, fields_of_version_0_1_0_are_where_they_were)
{
    /* An inventory, a reservation of two units, granted when one had been given back, and a
     * cancelled one. */
    struct hf_image image = find_image(&log_of_0_1_0, 1);
    cr_expect_eq(image.inventory.inventory_id, 42);
    cr_expect_eq(image.inventory.product_id, 9);
    cr_expect_eq(image.inventory.capacity, 5);
    cr_expect_eq(image.settings.sell_limit, 5);
    cr_expect_eq(image.inventory_sequence, 1);
    cr_expect_eq(image.inventory.made_at_ns, 1795418995171972984);

    image = find_image(&log_of_0_1_0, 8);
    cr_expect_eq(image.reservation.inventory_id, 42);
    cr_expect_eq(image.reservation.customer_id, 1005);
    cr_expect_eq(image.reservation.qty, 2);
    cr_expect_eq(image.reservation.state, HF_STATE_CONFIRMED);
    cr_expect_eq(image.reservation.sequence, 1);
    cr_expect_eq(image.reservation.changed_at_ns, 1795418995208051442);
    cr_expect_eq(image.notes.inventory_version, 7);

    image = find_image(&log_of_0_1_0, 11);
    cr_expect_eq(image.reservation.state, HF_STATE_CANCELLED);
    cr_expect_eq(image.reservation.sequence, 2);
    cr_expect_eq(image.reservation.made_at_ns, 1795418995222287321);
    cr_expect_eq(image.reservation.changed_at_ns, 1795418995249735599);
}

Test(golden, fields_of_format_1_are_where_they_were)
{
    /* Settings, an offer, the middle of a chain with an origin, an event. */
    struct hf_image image = find_image(&log_of_all_kinds, 3);
    cr_expect_eq(image.settings.sell_limit, 110);
    cr_expect_eq(image.settings.customer_limit, 50);
    cr_expect_eq(image.settings.max_qty, 60);
    cr_expect_eq(image.settings.waiting_limit, 10000);
    cr_expect_eq(image.settings.longest_hold_ns, 7 * DAY_NS);
    cr_expect_eq(image.settings.offer_ttl_ns, DAY_NS / 12);
    cr_expect_eq(image.settings.opens_at_ns, 1767225600000000000);
    cr_expect_eq(image.inventory.version, 3);

    image = find_image(&log_of_all_kinds, 17);
    cr_expect_eq(image.reservation.state, HF_STATE_HELD);
    cr_expect_eq(image.notes.reason, HF_REASON_OFFER);
    cr_expect_eq(image.notes.made_as, HF_STATE_WAITING);
    cr_expect_eq(image.reservation.deadline_ns, 1795419968892257944);

    image = find_image(&log_of_all_kinds, 25);
    cr_expect_eq(image.chain_index, 1);
    cr_expect_eq(image.chain_length, 3);
    cr_expect_eq(image.reservation.customer_id, 1110);
    cr_expect_eq(image.notes.origin, 0x9feece2c);

    image = find_image(&log_of_all_kinds, 35);
    cr_expect_eq(image.kind, HF_IMAGE_EVENT);
    cr_expect_eq(image.event, HF_EVENT_AVAILABLE_AGAIN);
    cr_expect_eq(image.inventory.available, 1);
}

Test(golden, the_header_of_the_snapshot_says_what_it_said)
{
    /* Every field; and all bytes of its records. */
    struct hf_snapshot *snapshot;
    struct hf_snapshot_finding finding;
    static const uint8_t log_id[16] = {0xd0, 0xdf, 0x3c, 0x2d, 0xa8, 0xce, 0x4c, 0x8b,
                                       0xa4, 0xa8, 0x1b, 0x91, 0x05, 0x95, 0x38, 0x3a};
    uint64_t snapshot_hash;
    open_copy(&snapshot_and_tail);
    cr_assert_eq(hf_snapshot_open(hf_io_posix(), directory, 240, true, &snapshot, &finding),
                 HF_SNAPSHOT_RIGHT, "%s", finding.text);
    const struct hf_snapshot_header *header = hf_snapshot_header(snapshot);
    cr_expect_arr_eq(header->log_id, log_id, sizeof(log_id));
    cr_expect_eq(header->epoch, 5);
    cr_expect_eq(header->last_lsn, 240);
    cr_expect_eq(header->start.segment, 2);
    cr_expect_eq(header->start.epoch, 4);
    cr_expect_eq(header->start.sequence, 255);
    cr_expect_eq(header->start.previous_hash, 12039164957908933945u);
    cr_expect_eq(header->start.next_lsn, 232);
    cr_expect_eq(header->start.written_at_ns, 1795419071904338132);
    cr_expect_eq(header->records, 22);
    cr_expect_eq(header->inventories, 5);
    cr_expect_eq(header->groups, 1);
    cr_expect_eq(header->file_bytes, 8192);
    cr_expect_eq(header->made_at_ns, 1795419073095215654);
    cr_expect_eq(header->log_time_ns, 1795419072099100836);
    cr_expect_eq(header->retain_ns, DAY_NS);
    cr_expect_eq(header->segment_bytes, 1 << 20);
    cr_expect_eq(header->origin_last_lsn, 0);
    hf_snapshot_close(snapshot);
    read_all(&snapshot_and_tail, NULL, &snapshot_hash);
    cr_expect_eq(snapshot_hash, 0xa34fddd80ad37093, "%016llx", (unsigned long long)snapshot_hash);
    close_copy();
}
