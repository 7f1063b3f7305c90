/*
 * holdfast-wal verify: sound logs are counted and hashed. What its ledger must find is planted in
 * test_ledger_faults.c.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tests/lib/vectors.h"
#include "tests/lib/wal_expect.h"

#define VECTORS_PATH "docs/vectors/log-format.txt"

static struct hf_log_builder builder;

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

/* ---- sound logs ------------------------------------------------------------------------- */

Test(ledger, a_sound_log_is_counted)
{
    /* All units of an inventory granted, given back, and granted again. */
    hf_wal_build_sound(&builder);
    hf_wal_expect_run(0, "verify", builder.directory);
    hf_wal_expect("segments: 1\nblocks: 6\nrecords: 8\ninventories: 4\nreservations: 3\n"
                  "confirmed: 2\ncancelled: 1\nheld: 0\nreleased: 0\nexpired: 0\nwaiting: 0\n"
                  "forgotten: 0\nreused: 0\noffers: 0\nexpiries: 0\nchains: 0\nevents: 0\n"
                  "above_customer_limit: 0\nunproved: 0\nstarts: 2\nclean_stops: 1\n"
                  "first_lsn: 1\nlast_lsn: 8\n"
                  "torn_tail: none\nretained: 3\nstate_hash: ");
    hf_wal_expect("\nverify: ok\n");
}

Test(ledger, a_sound_log_is_counted_in_json)
{
    /* The same log, as one object. */
    hf_wal_build_sound(&builder);
    hf_wal_expect_run(0, "verify", builder.directory, "--json");
    hf_wal_expect(
        "\"segments\":1,\"blocks\":6,\"records\":8,\"inventories\":4,\"reservations\":3,"
        "\"confirmed\":2,\"cancelled\":1,\"held\":0,\"released\":0,\"expired\":0,"
        "\"waiting\":0,\"forgotten\":0,\"reused\":0,\"offers\":0,\"expiries\":0,\"chains\":0,"
        "\"events\":0,\"above_customer_limit\":0,\"unproved\":0,\"starts\":2,"
        "\"clean_stops\":1,\"first_lsn\":1,\"last_lsn\":8,\"torn\":null,\"grows\":false,"
        "\"retained\":3,"
        "\"state_hash\":\"");
    hf_wal_expect("\",\"snapshots\":[],\"acks\":null,\"fault\":null,\"verify\":\"ok\"}\n");
}

Test(ledger, figures_tell_what_happened)
{
    /* Holds, offers, expiries, chains, events, and what became of the reservations. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "verify", builder.directory);
    hf_wal_expect(
        "records: 14\ninventories: 2\nreservations: 5\nconfirmed: 1\ncancelled: 2\n"
        "held: 1\nreleased: 0\nexpired: 1\nwaiting: 0\nforgotten: 0\nreused: 0\noffers: 1\n"
        "expiries: 1\nchains: 1\nevents: 1\nabove_customer_limit: 0\n");
}

Test(ledger, a_torn_tail_is_reported_and_no_fault)
{
    /* The last block torn: what is before it is sound; with the lock held it is in flight. */
    hf_wal_build_sound(&builder);
    hf_log_builder_flip(&builder, 1, builder.blocks[5].offset + 300, 1);
    hf_wal_expect_run(0, "verify", builder.directory);
    hf_wal_expect("records: 6\n");
    hf_wal_expect("torn_tail: 0000000000000001.wal at 24576: expected block 6 (LSN 7), found a "
                  "block whose records have a wrong checksum; nothing attests it: 4096 bytes with "
                  "0 whole blocks are cut");
    hf_wal_expect("none of it was acknowledged");
    hf_wal_expect("verify: ok\n");

    char path[HF_DIRECTORY_TEXT_BYTES + 8];
    hf_log_builder_path(&builder, "lock", path, sizeof(path));
    int lock = open(path, O_CREAT | O_RDWR, 0640);
    cr_assert(lock >= 0 && flock(lock, LOCK_EX) == 0);
    hf_wal_expect_run(0, "verify", builder.directory);
    hf_wal_expect("writes in flight");
    hf_wal_expect_run(0, "verify", builder.directory, "--json");
    hf_wal_expect("\"bytes\":4096,\"blocks\":0,\"in_flight\":true}");
    close(lock);
}

Test(ledger, damage_is_named_also_beside_a_running_server)
{
    /* An attested block is damaged; the tool looks several times, and then says so. */
    hf_wal_build_sound(&builder);
    hf_log_builder_flip(&builder, 1, builder.blocks[2].offset + 300, 1);
    char path[HF_DIRECTORY_TEXT_BYTES + 8];
    hf_log_builder_path(&builder, "lock", path, sizeof(path));
    int lock = open(path, O_CREAT | O_RDWR, 0640);
    cr_assert(lock >= 0 && flock(lock, LOCK_EX) == 0);
    hf_wal_expect_run(1, "verify", builder.directory);
    hf_wal_expect("fault: 0000000000000001.wal at 12288: expected block 3 (LSN 3)");
    hf_wal_expect("attests that blocks up to 3 were durable");
    hf_wal_expect("verify: FAILED\n");
    close(lock);
    hf_wal_expect_run(1, "verify", builder.directory, "--json");
    hf_wal_expect("\"retained\":null,\"state_hash\":null,\"snapshots\":[],\"acks\":null,"
                  "\"fault\":{\"lsn\":null,\"segment\":1,\"offset\":12288,");
    hf_wal_expect("\"verify\":\"failed\"}\n");
    hf_wal_expect_run(1, "dump", builder.directory);
    hf_wal_expect("lsn=2 inventory id=2");
    hf_wal_expect("holdfast-wal: 0000000000000001.wal at 12288");
    hf_wal_expect_run(1, "info", builder.directory);
    hf_wal_expect("end: damaged\n");
}

/* An inventory as version 0.1.0 wrote it. */
static void add_old_inventory(uint64_t inventory_id, uint32_t capacity)
{
    struct hf_inventory inventory = hf_builder_inventory(inventory_id, capacity);
    struct hf_settings settings = {.sell_limit = capacity};
    inventory.version = 0;
    hf_log_builder_set(&builder, &inventory, &settings, 1);
}

Test(ledger, logs_of_version_0_1_0_are_read)
{
    /* No settings, cancellations without a version; and versions that were lost in a crash come
     * again: grants with versions 3 and 2 were claimed, only the first reached the log, and the next
     * run handed 3 out again. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    add_old_inventory(1, 100);
    hf_log_builder_reservation(&builder, 10, 1, 1, 3);
    hf_log_builder_reservation(&builder, 10, 1, 1, 0);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_reservation(&builder, 11, 1, 1, 4);
    hf_log_builder_reservation(&builder, 12, 1, 1, 3);
    hf_log_builder_block(&builder, 0);
    hf_wal_expect_run(0, "verify", builder.directory);
    hf_wal_expect("confirmed: 2\ncancelled: 1\n");
}

/* A new log with the records of a vector. */
static void build_vector(const struct hf_vector *vector)
{
    hf_log_builder_close(&builder);
    hf_log_builder_open(&builder, HF_BUILDER_MIN_BYTES);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    for (size_t at = 0; at < vector->byte_count; at += HF_RECORD_BYTES) {
        uint64_t lsn = hf_log_builder_record(&builder, vector->bytes + at);
        cr_assert_eq(lsn, hf_get_u64(vector->bytes + at), "a record of the vector has a wrong LSN");
    }
}

static void check_state_vector(const struct hf_vector *vector)
{
    char retain[64], lines[128];
    build_vector(vector);
    hf_log_builder_block(&builder, 0);
    snprintf(retain, sizeof(retain), "--retain=%sns", hf_vector_text(vector, "retain_ns"));
    cr_expect_eq(hf_wal_run("verify", builder.directory, retain), 0, "%s: %s",
                 hf_vector_text(vector, "name"), hf_wal_output);
    snprintf(lines, sizeof(lines), "retained: %s\nstate_hash: %s\n",
             hf_vector_text(vector, "retained"), hf_vector_text(vector, "state_hash"));
    hf_wal_expect(lines);
}

Test(ledger, state_hashes_are_those_of_the_vectors)
{
    /* Nothing, grants, holds, offers, settings, chains, links, retention, an id that was used again:
     * hashes computed by another program. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "state_hash", check_state_vector), 13);
}

Test(ledger, what_is_retained_depends_on_the_option)
{
    /* The newest date is 15 minutes after a reservation was cancelled; a day is the default. */
    struct hf_reservation late = hf_builder_reservation(11, 1, 1, HF_STATE_CONFIRMED);
    late.made_at_ns = late.changed_at_ns = HF_BUILDER_MADE_AT + 10 + 5 + HF_BUILDER_TTL_NS;
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 1, 5);
    hf_log_builder_reservation(&builder, 10, 1, 1, 2);
    hf_log_builder_reservation(&builder, 10, 1, 1, 0);
    hf_log_builder_image(&builder, &late, &(struct hf_image_notes){.inventory_version = 4});
    hf_log_builder_block(&builder, 0);
    hf_wal_expect_run(0, "verify", builder.directory);
    hf_wal_expect("retained: 2\n");
    hf_wal_expect_run(0, "verify", builder.directory, "--retain=15m");
    hf_wal_expect("retained: 1\n");
    hf_wal_expect_run(0, "verify", builder.directory, "--retain=15m1ns");
    hf_wal_expect("retained: 2\n");
    hf_wal_expect_run(0, "verify", builder.directory, "--retain=0s");
    hf_wal_expect("retained: 1\n");
}

static void check_closed_vector(const struct hf_vector *vector)
{
    /* The newest version in the log is far below that of the claim. */
    bool closed = hf_vector_number(vector, "closed") != 0;
    struct hf_reservation claim = hf_builder_reservation(200, 42, 1, HF_STATE_CONFIRMED);
    build_vector(vector);
    hf_log_builder_image(&builder, &claim, &(struct hf_image_notes){.inventory_version = 5000});
    hf_log_builder_block(&builder, 0);
    cr_expect_eq(hf_wal_run("verify", builder.directory), closed ? 1 : 0, "%s: %s",
                 hf_vector_text(vector, "name"), hf_wal_output);
    if (closed && strstr(hf_wal_output, "NO-OVERSELL") == NULL)
        hf_wal_expect("was closed by selling out");
}

Test(ledger, whether_a_sale_is_closed_is_as_the_vectors_say)
{
    /* A claim follows the records of each: it is a fault if the sale is closed. Units are there, but
     * for the first vector. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "closed", check_closed_vector), 8);
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
    hf_wal_expect_run(0, "verify", builder.directory);
    hf_wal_expect("records: 30003\ninventories: 3\nreservations: 20000\nconfirmed: 10000\n"
                  "cancelled: 10000\n");
}
