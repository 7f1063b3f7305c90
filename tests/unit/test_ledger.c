/*
 * holdfast-wal and its ledger: sound logs are counted, hashed and shown; what a log must never say
 * is planted in one and must be found, with the right LSN. The logs are valid as far as blocks go:
 * only the ledger can find these.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "tests/lib/log_builder.h"
#include "tests/lib/vectors.h"

#define VECTORS_PATH "docs/vectors/log-format.txt"

static struct hf_log_builder builder;
static char output[65536];

static void open_builder(void)
{
    hf_log_builder_open(&builder, HF_BUILDER_MIN_BYTES);
}

static void close_builder(void)
{
    hf_log_builder_close(&builder);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(ledger, .init = open_builder, .fini = close_builder);

static void rebuild(void)
{
    hf_log_builder_close(&builder);
    hf_log_builder_open(&builder, HF_BUILDER_MIN_BYTES);
}

/* Runs holdfast-wal; its output is in `output`. */
static int run_tool(const char *command, const char *directory, const char *option)
{
    char program[512];
    const char *build = getenv("HOLDFAST_BUILD");
    snprintf(program, sizeof(program), "%s/holdfast-wal", build != NULL ? build : "build");
    const char *const argv[] = {program, command, directory, option, NULL};
    return hf_process_run(argv, output, sizeof(output));
}

static void expect_output(const char *text)
{
    cr_expect_not_null(strstr(output, text), "'%s' is not in:\n%s", text, output);
}

/* ---- sound logs ------------------------------------------------------------------------- */

/* Two runs, 4 inventories of which 2 are used, 3 reservations of which 1 is cancelled, LSN 8. */
static void build_sound(void)
{
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 1, 5);
    hf_log_builder_inventory(&builder, 2, 5);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_reservation(&builder, 10, 1, 5, 2);
    hf_log_builder_reservation(&builder, 11, 2, 2, 2);
    hf_log_builder_reservation(&builder, 10, 1, 5, 0);
    hf_log_builder_reservation(&builder, 12, 1, 5, 4);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_block(&builder, HF_BLOCK_STOP);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 3, 1);
    hf_log_builder_inventory(&builder, 0, HF_MAX_UNITS);
    hf_log_builder_block(&builder, 0);
}

Test(ledger, a_sound_log_is_counted)
{
    /* All units of an inventory granted, given back, and granted again. */
    build_sound();
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0);
    expect_output("segments: 1\nblocks: 6\nrecords: 8\ninventories: 4\nreservations: 3\n"
                  "confirmed: 2\ncancelled: 1\nstarts: 2\nclean_stops: 1\nlast_lsn: 8\n"
                  "torn_tail: none\nstate_hash: ");
    expect_output("\nverify: ok\n");
}

Test(ledger, a_sound_log_is_counted_in_json)
{
    /* The same log, as one object. */
    build_sound();
    cr_expect_eq(run_tool("verify", builder.directory, "--json"), 0);
    expect_output("\"segments\":1,\"blocks\":6,\"records\":8,\"inventories\":4,\"reservations\":3,"
                  "\"confirmed\":2,\"cancelled\":1,\"starts\":2,\"clean_stops\":1,\"last_lsn\":8,"
                  "\"torn\":null,\"grows\":false,\"state_hash\":\"");
    expect_output("\",\"fault\":null,\"verify\":\"ok\"}\n");
}

Test(ledger, a_sound_log_is_dumped)
{
    /* One line a record, as text and as JSON. */
    build_sound();
    cr_expect_eq(run_tool("dump", builder.directory, NULL), 0);
    expect_output("lsn=1 inventory id=1 product=1001 capacity=5 sell_limit=5 sequence=1 "
                  "made_at=2026-01-02T03:04:05.000000006Z changed_at=2026-01-02T03:04:05.000000006Z"
                  "\n");
    expect_output("lsn=5 reservation id=00000000-0000-7000-0b00-000000000000 inventory=1 "
                  "customer=7010 qty=5 status=CANCELLED sequence=2 inventory_version=0 "
                  "made_at=2026-01-02T03:04:05.000000016Z "
                  "changed_at=2026-01-02T03:04:05.000000021Z\n");
    cr_expect_eq(run_tool("dump", builder.directory, "--json"), 0);
    expect_output("{\"lsn\":8,\"kind\":\"inventory\",\"inventory_id\":0,\"product_id\":1000,"
                  "\"capacity\":536870911,\"sell_limit\":536870911,\"sequence\":1,"
                  "\"made_at\":\"2026-01-02T03:04:05.000000006Z\","
                  "\"changed_at\":\"2026-01-02T03:04:05.000000006Z\"}\n");
    expect_output("{\"lsn\":4,\"kind\":\"reservation\","
                  "\"reservation_id\":\"00000000-0000-7000-0c00-000000000000\","
                  "\"inventory_id\":2,\"customer_id\":7011,\"qty\":2,\"status\":\"CONFIRMED\","
                  "\"sequence\":1,\"inventory_version\":2,"
                  "\"made_at\":\"2026-01-02T03:04:05.000000017Z\","
                  "\"changed_at\":\"2026-01-02T03:04:05.000000017Z\"}\n");
}

Test(ledger, info_tells_what_the_log_consists_of_and_how_it_ends)
{
    /* The same log; then with a STOP block; then with a torn one behind. */
    build_sound();
    cr_expect_eq(run_tool("info", builder.directory, NULL), 0);
    expect_output("log_id: 0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0\nformat: 1\n"
                  "created_at: 2026-01-02T03:04:05.000000006Z\nsegments: 1\n"
                  "segment_bytes: 1048576\nblocks: 6\nrecords: 8\nlast_lsn: 8\nepoch: 2\n"
                  "starts: 2\nclean_stops: 1\n"
                  "last_written_at: 2026-01-02T03:04:05.000000006Z\nend: no stop");
    hf_log_builder_block(&builder, HF_BLOCK_STOP);
    cr_expect_eq(run_tool("info", builder.directory, NULL), 0);
    expect_output("end: clean stop\n");
    hf_log_builder_poke(&builder, 1, builder.next.offset, "x", 1);
    cr_expect_eq(run_tool("info", builder.directory, "--json"), 0);
    expect_output("\"end\":\"torn tail\",\"torn\":{\"segment\":1,\"offset\":32768,\"bytes\":4096,"
                  "\"blocks\":0,\"in_flight\":false}}\n");
}

Test(ledger, a_torn_tail_is_reported_and_no_fault)
{
    /* The last block torn: what is before it is sound; with the lock held it is in flight. */
    build_sound();
    hf_log_builder_flip(&builder, 1, builder.blocks[5].offset + 300, 1);
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0);
    expect_output("records: 6\n");
    expect_output("torn_tail: 0000000000000001.wal at 24576: expected block 6 (LSN 7), found a "
                  "block whose records have a wrong checksum; nothing attests it: 4096 bytes with "
                  "0 whole blocks are cut");
    expect_output("none of it was acknowledged");
    expect_output("verify: ok\n");

    char path[HF_DIRECTORY_TEXT_BYTES + 8];
    hf_log_builder_path(&builder, "lock", path, sizeof(path));
    int lock = open(path, O_CREAT | O_RDWR, 0640);
    cr_assert(lock >= 0 && flock(lock, LOCK_EX) == 0);
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0);
    expect_output("writes in flight");
    cr_expect_eq(run_tool("verify", builder.directory, "--json"), 0);
    expect_output("\"bytes\":4096,\"blocks\":0,\"in_flight\":true}");
    close(lock);
}

Test(ledger, damage_is_named_also_beside_a_running_server)
{
    /* An attested block is damaged; the tool looks several times, and then says so. */
    build_sound();
    hf_log_builder_flip(&builder, 1, builder.blocks[2].offset + 300, 1);
    char path[HF_DIRECTORY_TEXT_BYTES + 8];
    hf_log_builder_path(&builder, "lock", path, sizeof(path));
    int lock = open(path, O_CREAT | O_RDWR, 0640);
    cr_assert(lock >= 0 && flock(lock, LOCK_EX) == 0);
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 1);
    expect_output("fault: 0000000000000001.wal at 12288: expected block 3 (LSN 3)");
    expect_output("attests that blocks up to 3 were durable");
    expect_output("verify: FAILED\n");
    close(lock);
    cr_expect_eq(run_tool("verify", builder.directory, "--json"), 1);
    expect_output("\"state_hash\":null,\"fault\":{\"lsn\":null,\"segment\":1,\"offset\":12288,");
    expect_output("\"verify\":\"failed\"}\n");
    cr_expect_eq(run_tool("dump", builder.directory, NULL), 1);
    expect_output("lsn=2 inventory id=2");
    expect_output("holdfast-wal: 0000000000000001.wal at 12288");
    cr_expect_eq(run_tool("info", builder.directory, NULL), 1);
    expect_output("end: damaged\n");
}

Test(ledger, versions_that_were_lost_in_a_crash_may_come_again)
{
    /* Grants with versions 3 and 2 were claimed; only the first reached the log. The next run
     * begins with version 2 and hands 3 out again. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 1, 100);
    hf_log_builder_reservation(&builder, 10, 1, 1, 3);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_reservation(&builder, 11, 1, 1, 4);
    hf_log_builder_reservation(&builder, 12, 1, 1, 3);
    hf_log_builder_block(&builder, 0);
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0, "%s", output);
}

static uint64_t expected_hash;

static void build_vector(const struct hf_vector *vector)
{
    rebuild();
    hf_log_builder_block(&builder, HF_BLOCK_START);
    for (size_t at = 0; at < vector->byte_count; at += HF_RECORD_BYTES) {
        uint64_t lsn = hf_log_builder_record(&builder, vector->bytes + at);
        cr_assert_eq(lsn, hf_get_u64(vector->bytes + at), "a record of the vector has a wrong LSN");
    }
    hf_log_builder_block(&builder, 0);
    expected_hash = hf_vector_hash(vector, "state_hash");
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0);
    char line[64];
    snprintf(line, sizeof(line), "state_hash: %016llx\n", (unsigned long long)expected_hash);
    expect_output(line);
}

Test(ledger, state_hashes_are_those_of_the_vectors)
{
    /* Nothing, an inventory, grants, a cancellation: hashes computed by another program. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "state_hash", build_vector), 4);
}

Test(ledger, many_reservations_are_found_again)
{
    /* 20000 reservations of 3 inventories granted, then every other one cancelled: the tables of
     * the ledger grow many times. */
    hf_log_builder_close(&builder);
    hf_log_builder_open(&builder, 8 * HF_BUILDER_MIN_BYTES);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    for (uint64_t i = 0; i < 3; i++)
        hf_log_builder_inventory(&builder, i, 20000);
    for (uint64_t i = 0; i < 20000; i++) {
        if (builder.next.record_count >= 4000)
            hf_log_builder_block(&builder, 0);
        hf_log_builder_reservation(&builder, i, i % 3, 1, (uint32_t)(2 + i / 3));
    }
    for (uint64_t i = 0; i < 20000; i += 2) {
        if (builder.next.record_count >= 4000)
            hf_log_builder_block(&builder, 0);
        hf_log_builder_reservation(&builder, i, i % 3, 1, 0);
    }
    hf_log_builder_block(&builder, 0);
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0);
    expect_output("records: 30003\ninventories: 3\nreservations: 20000\nconfirmed: 10000\n"
                  "cancelled: 10000\n");
}

/* The first two numbers whose hashes are equal, of those that are tried in turn. */
static void find_collision(uint32_t (*hash)(uint64_t number), uint64_t *one, uint64_t *other)
{
    enum { SLOTS = 1 << 20 };
    uint32_t *taken = calloc(SLOTS, sizeof(*taken)); /* numbers by hash; 0: none */
    cr_assert_not_null(taken);
    for (uint32_t number = 1; number < SLOTS / 2; number++) {
        uint32_t at = hash(number) % SLOTS;
        for (; taken[at] != 0; at = (at + 1) % SLOTS) {
            if (hash(taken[at]) == hash(number)) {
                *one = taken[at];
                *other = number;
                free(taken);
                return;
            }
        }
        taken[at] = number;
    }
    cr_assert_fail("no two hashes are equal");
}

/* As in the ledger, for the ids that the builder makes from numbers. */
static uint32_t reservation_hash(uint64_t number)
{
    struct hf_reservation reservation = hf_builder_reservation(number, 1, 1, HF_STATE_CONFIRMED);
    return (uint32_t)(XXH3_64bits(reservation.id.bytes, sizeof(reservation.id.bytes)) >> 32);
}

static uint64_t scattered(uint64_t number)
{
    return number * number * number * 0xd6e8feb86659fd93ull;
}

static uint32_t inventory_hash(uint64_t number)
{
    uint64_t id = scattered(number);
    return (uint32_t)((id ^ id >> 32) * 0x9e3779b97f4a7c15ull >> 32);
}

Test(ledger, ids_with_one_hash_are_told_apart)
{
    /* Two reservations and two inventories whose hashes in the ledger's tables are equal. */
    uint64_t one, other, inventory, other_inventory;
    find_collision(reservation_hash, &one, &other);
    find_collision(inventory_hash, &inventory, &other_inventory);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, scattered(inventory), 5);
    hf_log_builder_inventory(&builder, scattered(other_inventory), 5);
    hf_log_builder_reservation(&builder, one, scattered(inventory), 5, 2);
    hf_log_builder_reservation(&builder, other, scattered(other_inventory), 5, 2);
    hf_log_builder_reservation(&builder, other, scattered(other_inventory), 5, 0);
    hf_log_builder_reservation(&builder, one, scattered(inventory), 5, 0);
    hf_log_builder_block(&builder, 0);
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0, "%s", output);
    expect_output("inventories: 2\nreservations: 2\nconfirmed: 0\ncancelled: 2\n");
}

/* ---- planted faults --------------------------------------------------------------------- */

/* Adds a reservation's record after `change` was applied to it. Returns its LSN. */
static uint64_t add_changed(uint64_t number, enum hf_state state, uint32_t version,
                            void (*change)(struct hf_reservation *reservation))
{
    struct hf_reservation reservation = hf_builder_reservation(number, 1, 2, state);
    change(&reservation);
    uint8_t record[HF_RECORD_BYTES] = {0};
    hf_image_encode_reservation(record, &reservation, version);
    return hf_log_builder_record(&builder, record);
}

/* START, inventories 1 (of 5 units, 2 of them granted to reservation 10) and 2, not sealed yet. */
static void begin_fault(void)
{
    rebuild();
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 1, 5);
    hf_log_builder_inventory(&builder, 2, 5);
    hf_log_builder_reservation(&builder, 10, 1, 2, 2);
}

/* Seals, and expects verify to find the fault at that LSN. */
static void end_fault(uint64_t lsn, const char *word)
{
    uint32_t first = (uint32_t)builder.next.first_lsn;
    hf_log_builder_inventory(&builder, 99, 1); /* something sound behind it */
    uint32_t number = hf_log_builder_block(&builder, 0);
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 1, "%s: %s", word, output);
    char place[128];
    snprintf(place, sizeof(place),
             "fault: LSN %llu, 0000000000000001.wal at %llu: ", (unsigned long long)lsn,
             (unsigned long long)(builder.blocks[number].offset + 128 + (lsn - first) * 128));
    expect_output(place);
    expect_output(word);
    expect_output("\nverify: FAILED\n");
    cr_expect_null(strstr(output, "state_hash"), "no hash of an unsound state");
}

Test(ledger, oversell_is_found_at_the_grant)
{
    /* 2 of 5 units are taken; 4 more are granted. */
    begin_fault();
    end_fault(hf_log_builder_reservation(&builder, 11, 1, 4, 3), "NO-OVERSELL");
}

Test(ledger, oversell_by_a_release_that_comes_too_late_is_found)
{
    /* Units are granted again one record before the record that gives them back: what taking
     * LOG-BEFORE-RELEASE out does. */
    begin_fault();
    hf_log_builder_reservation(&builder, 11, 1, 3, 3);
    uint64_t lsn = hf_log_builder_reservation(&builder, 12, 1, 2, 5);
    hf_log_builder_reservation(&builder, 10, 1, 2, 0);
    end_fault(lsn, "NO-OVERSELL");
}

Test(ledger, a_second_give_back_is_found)
{
    /* The same reservation is cancelled twice, the second time with the next sequence. */
    begin_fault();
    hf_log_builder_reservation(&builder, 10, 1, 2, 0);
    struct hf_reservation again = hf_builder_reservation(10, 1, 2, HF_STATE_CANCELLED);
    again.sequence = 3;
    uint8_t record[HF_RECORD_BYTES] = {0};
    hf_image_encode_reservation(record, &again, 0);
    end_fault(hf_log_builder_record(&builder, record), "RESOLVES-ONCE");
}

Test(ledger, a_cancellation_of_what_was_never_granted_is_found)
{
    /* An id that stands nowhere before. */
    begin_fault();
    end_fault(hf_log_builder_reservation(&builder, 11, 1, 1, 0), "never granted");
}

Test(ledger, a_second_grant_of_an_id_is_found)
{
    /* The same id granted twice, as without the idempotency check. */
    begin_fault();
    end_fault(hf_log_builder_reservation(&builder, 10, 1, 2, 3), "granted once more");
    begin_fault();
    hf_log_builder_reservation(&builder, 10, 1, 2, 0);
    end_fault(hf_log_builder_reservation(&builder, 10, 1, 2, 4), "RESOLVES-ONCE");
}

Test(ledger, a_reservation_of_an_unknown_inventory_is_found)
{
    /* The inventory is made one record later. */
    begin_fault();
    uint64_t lsn = hf_log_builder_reservation(&builder, 11, 3, 1, 2);
    hf_log_builder_inventory(&builder, 3, 5);
    end_fault(lsn, "inventory 3 of a reservation was never made");
}

static void skip_sequence(struct hf_reservation *reservation)
{
    reservation->sequence++;
}

static void other_inventory(struct hf_reservation *reservation)
{
    reservation->inventory_id = 2;
}

static void other_customer(struct hf_reservation *reservation)
{
    reservation->customer_id++;
}

static void other_qty(struct hf_reservation *reservation)
{
    reservation->qty--;
}

static void made_earlier(struct hf_reservation *reservation)
{
    reservation->made_at_ns--;
}

static void granted_later(struct hf_reservation *reservation)
{
    reservation->changed_at_ns += 100;
}

Test(ledger, cancellations_that_change_anything_else_are_found)
{
    /* Sequence gap, other inventory, customer, qty, date of making, a claim's version. */
    static const struct {
        void (*change)(struct hf_reservation *reservation);
        const char *word;
    } cases[] = {
        {skip_sequence, "has sequence 3, expected 2"}, {other_inventory, "changed its inventory"},
        {other_customer, "changed its customer"},      {other_qty, "changed its qty from 2 to 1"},
        {made_earlier, "changed its date of making"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin_fault();
        end_fault(add_changed(10, HF_STATE_CANCELLED, 0, cases[i].change), cases[i].word);
    }
    begin_fault();
    struct hf_reservation cancelled = hf_builder_reservation(10, 1, 2, HF_STATE_CANCELLED);
    uint8_t record[HF_RECORD_BYTES] = {0};
    hf_image_encode_reservation(record, &cancelled, 3);
    end_fault(hf_log_builder_record(&builder, record), "claims nothing");
}

Test(ledger, a_change_before_the_last_change_is_found)
{
    /* A grant dated later than its cancellation. */
    begin_fault();
    add_changed(11, HF_STATE_CONFIRMED, 3, granted_later);
    end_fault(hf_log_builder_reservation(&builder, 11, 1, 2, 0), "before its last change");
}

Test(ledger, a_new_reservation_with_a_later_sequence_is_found)
{
    /* Its first image is missing. */
    begin_fault();
    end_fault(add_changed(11, HF_STATE_CONFIRMED, 3, skip_sequence), "sequence 2, expected 1");
}

Test(ledger, wrong_inventory_versions_of_grants_are_found)
{
    /* Zero, one that another grant has, one that the server started with. */
    begin_fault();
    hf_log_builder_reservation(&builder, 11, 2, 1, 2); /* the same in another inventory is right */
    struct hf_reservation reservation = hf_builder_reservation(12, 1, 1, HF_STATE_CONFIRMED);
    uint8_t record[HF_RECORD_BYTES] = {0};
    hf_image_encode_reservation(record, &reservation, 0);
    end_fault(hf_log_builder_record(&builder, record), "inventory version 0");
    begin_fault();
    end_fault(hf_log_builder_reservation(&builder, 11, 1, 1, 2), "stands for two grants");
    begin_fault();
    hf_log_builder_block(&builder, 0);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    end_fault(hf_log_builder_reservation(&builder, 11, 1, 1, 2), "started with version 2");
}

Test(ledger, a_version_that_comes_again_much_later_is_found)
{
    /* Grants of 1500 other inventories lie between the two. */
    begin_fault();
    for (uint64_t i = 0; i < 1500; i++) {
        hf_log_builder_inventory(&builder, 200 + i, 1);
        hf_log_builder_reservation(&builder, 200 + i, 200 + i, 1, 2);
    }
    end_fault(hf_log_builder_reservation(&builder, 11, 1, 1, 2), "stands for two grants");
}

/* A second image of inventory 1, with one field set. */
static uint64_t add_inventory(unsigned offset, uint64_t value, unsigned bytes)
{
    struct hf_inventory inventory = {.inventory_id = 1,
                                     .product_id = 1001,
                                     .made_at_ns = HF_BUILDER_MADE_AT,
                                     .capacity = 5,
                                     .sell_limit = 5};
    uint8_t record[HF_RECORD_BYTES] = {0}, field[8];
    hf_image_encode_inventory(record, &inventory, 2, HF_BUILDER_MADE_AT);
    hf_put_u64(field, value);
    memcpy(record + offset, field, bytes);
    return hf_log_builder_record(&builder, record);
}

Test(ledger, inventories_that_change_what_they_must_not_are_found)
{
    /* Made twice, sequence gap, other product, other date of making. */
    static const struct {
        unsigned offset, bytes;
        uint64_t value;
        const char *word;
    } cases[] = {
        {12, 4, 1, "has sequence 1, expected 2"},
        {12, 4, 3, "has sequence 3, expected 2"},
        {24, 8, 1002, "changed its product"},
        {48, 8, HF_BUILDER_MADE_AT - 1, "changed its date of making"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin_fault();
        end_fault(add_inventory(cases[i].offset, cases[i].value, cases[i].bytes), cases[i].word);
    }
}

Test(ledger, a_lowered_limit_is_no_oversell_but_grants_nothing_more)
{
    /* The sell limit goes below what is taken (a deficit), and then a unit is granted. */
    begin_fault();
    add_inventory(36, 1, 4);
    hf_log_builder_reservation(&builder, 10, 1, 2, 0);
    hf_log_builder_reservation(&builder, 11, 1, 1, 5);
    end_fault(hf_log_builder_reservation(&builder, 12, 1, 1, 6), "NO-OVERSELL");
}

Test(ledger, records_that_are_no_images_are_found)
{
    /* Unknown kind and state, impossible units, id zero, reserved bytes, all under right hashes. */
    static const struct {
        unsigned offset;
        uint8_t byte;
        const char *word;
    } cases[] = {
        {8, 9, "kind 9"},    {9, 1, "state 1"},   {12, 0, "qty 0"},
        {15, 0x20, "qty"},   {22, 0, "id zero"},  {127, 1, "reserved"},
        {64, 1, "reserved"}, {10, 1, "reserved"}, {63, 0, "before it was made"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin_fault();
        struct hf_reservation reservation = hf_builder_reservation(255, 1, 2, HF_STATE_CONFIRMED);
        memset(reservation.id.bytes + 8, 0, 8); /* only byte 22 of the record tells it from zero */
        uint8_t record[HF_RECORD_BYTES] = {0};
        hf_image_encode_reservation(record, &reservation, 3);
        record[cases[i].offset] = cases[i].byte;
        end_fault(hf_log_builder_record(&builder, record), cases[i].word);
    }
    cr_expect_eq(run_tool("dump", builder.directory, "--json"), 1);
    expect_output("\"kind\":\"unknown\",\"reason\":\"");
}

/* ---- the program ------------------------------------------------------------------------ */

Test(ledger, bad_usage_is_told_and_exits_with_2)
{
    /* No command, an unknown one, no directory, too many words, an unknown option. */
    cr_expect_eq(run_tool(NULL, NULL, NULL), 2);
    expect_output("a command is missing");
    cr_expect_eq(run_tool("prove", builder.directory, NULL), 2);
    expect_output("unknown command prove");
    cr_expect_eq(run_tool("verify", NULL, NULL), 2);
    expect_output("the directory is missing");
    cr_expect_eq(run_tool("verify", builder.directory, "more"), 2);
    expect_output("one argument too many: more");
    cr_expect_eq(run_tool("verify", builder.directory, "--jsn"), 2);
    expect_output("unknown option --jsn");
    cr_expect_eq(run_tool("--help", NULL, NULL), 0);
    expect_output("usage: holdfast-wal");
    cr_expect_eq(run_tool("--version", NULL, NULL), 0);
    expect_output("holdfast-wal ");
}

Test(ledger, directories_without_a_log_are_told_and_exit_with_1)
{
    /* One that does not exist, one that is a file, and one with nothing in it. */
    cr_expect_eq(run_tool("verify", "/nowhere/at/all", NULL), 1);
    expect_output("holdfast-wal: cannot list /nowhere/at/all: No such file or directory\n");
    cr_expect_eq(run_tool("info", "/etc/passwd", NULL), 1);
    expect_output("Not a directory");
    char path[HF_DIRECTORY_TEXT_BYTES + 32];
    hf_log_builder_segment_path(&builder, 1, path, sizeof(path));
    cr_assert_eq(unlink(path), 0);
    cr_expect_eq(run_tool("dump", builder.directory, NULL), 1);
    expect_output("holds no log");
}
