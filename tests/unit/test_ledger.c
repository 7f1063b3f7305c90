/*
 * holdfast-wal: sound logs are counted, hashed and shown, and what is asked of it on the command line
 * is done or refused. What its ledger must find is planted in test_ledger_faults.c.
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

/* Runs holdfast-wal with up to five words; its output is in `output`. */
static int run_words(const char *const words[5])
{
    char program[512];
    const char *build = getenv("HOLDFAST_BUILD");
    snprintf(program, sizeof(program), "%s/holdfast-wal", build != NULL ? build : "build");
    const char *const argv[] = {program, words[0], words[1], words[2], words[3], words[4], NULL};
    return hf_process_run(argv, output, sizeof(output));
}

static int run_tool(const char *command, const char *directory, const char *option)
{
    return run_words((const char *const[5]){command, directory, option});
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
                  "confirmed: 2\ncancelled: 1\nheld: 0\nreleased: 0\nexpired: 0\nwaiting: 0\n"
                  "reused: 0\noffers: 0\nexpiries: 0\nchains: 0\nevents: 0\n"
                  "above_customer_limit: 0\nstarts: 2\nclean_stops: 1\nlast_lsn: 8\n"
                  "torn_tail: none\nretained: 3\nstate_hash: ");
    expect_output("\nverify: ok\n");
}

Test(ledger, a_sound_log_is_counted_in_json)
{
    /* The same log, as one object. */
    build_sound();
    cr_expect_eq(run_tool("verify", builder.directory, "--json"), 0);
    expect_output("\"segments\":1,\"blocks\":6,\"records\":8,\"inventories\":4,\"reservations\":3,"
                  "\"confirmed\":2,\"cancelled\":1,\"held\":0,\"released\":0,\"expired\":0,"
                  "\"waiting\":0,\"reused\":0,\"offers\":0,\"expiries\":0,\"chains\":0,"
                  "\"events\":0,\"above_customer_limit\":0,\"starts\":2,\"clean_stops\":1,"
                  "\"last_lsn\":8,\"torn\":null,\"grows\":false,\"retained\":3,"
                  "\"state_hash\":\"");
    expect_output("\",\"fault\":null,\"verify\":\"ok\"}\n");
}

/* Everything that a record can tell. Reservation 1 holds 2 units of 3, which lapse, and is made anew
 * for one of them; 2 takes the last unit; 3 waits, gets an offer, is refused another; LSN 14. */
static void build_story(void)
{
    const uint64_t start = HF_BUILDER_MADE_AT, lapse = start + 1 + HF_BUILDER_TTL_NS;
    struct hf_inventory inventory = hf_builder_inventory(7, 3);
    struct hf_settings settings = hf_builder_settings(3);
    struct hf_reservation one = hf_builder_reservation(1, 7, 2, HF_STATE_HELD);
    struct hf_reservation two = hf_builder_reservation(2, 7, 1, HF_STATE_CONFIRMED);
    struct hf_reservation three = hf_builder_reservation(3, 7, 1, HF_STATE_WAITING);
    struct hf_reservation four = hf_builder_reservation(4, 7, 1, HF_STATE_WAITING);
    struct hf_reservation anew = hf_builder_reservation(5, 7, 1, HF_STATE_CONFIRMED);
    struct hf_image_notes held = {.inventory_version = 2, .made_as = HF_STATE_HELD};
    struct hf_image_notes waits = {.inventory_version = 3, .made_as = HF_STATE_WAITING};
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_set(&builder, &inventory, &settings, 1);
    hf_log_builder_image(&builder, &one, &held);
    hf_log_builder_image(
        &builder, &two,
        &(struct hf_image_notes){.inventory_version = 3, .flags = HF_IMAGE_FLAG_SOLD_OUT});
    hf_log_builder_image(&builder, &three, &waits);
    hf_log_builder_image(&builder, &four, &waits);
    two.qty = 1;
    two.customer_id = 9;
    two.changed_at_ns++;
    two.sequence = 2;
    hf_log_builder_image(&builder, &two,
                         &(struct hf_image_notes){.inventory_version = 3, .origin = 0xabcd});
    two.state = HF_STATE_CANCELLED;
    two.sequence = 3;
    hf_log_builder_image(&builder, &two,
                         &(struct hf_image_notes){.inventory_version = 3, .origin = 0xabcd});
    three.state = HF_STATE_HELD;
    three.changed_at_ns = start + 60;
    three.deadline_ns = start + 60 + 2 * HF_BUILDER_TTL_NS;
    three.sequence = 2;
    waits.inventory_version = 6;
    waits.reason = HF_REASON_OFFER;
    hf_log_builder_image(&builder, &three, &waits);
    four.state = HF_STATE_CANCELLED;
    four.changed_at_ns = start + 70;
    four.sequence = 2;
    waits.reason = HF_REASON_LIMIT;
    hf_log_builder_image(&builder, &four, &waits);
    one.state = HF_STATE_EXPIRED;
    one.changed_at_ns = lapse;
    one.deadline_ns = 0;
    one.sequence = 2;
    held.inventory_version = 6;
    held.reason = HF_REASON_DEADLINE;
    held.chain_length = 2;
    hf_log_builder_image(&builder, &one, &held);
    anew.made_at_ns = anew.changed_at_ns = lapse;
    anew.customer_id = one.customer_id;
    anew.linked_id = one.id;
    hf_log_builder_image(
        &builder, &anew,
        &(struct hf_image_notes){.inventory_version = 7, .chain_index = 1, .chain_length = 2});
    uint8_t event[HF_RECORD_BYTES] = {0};
    inventory.available = 1;
    inventory.version = 8;
    hf_image_encode_event(event, HF_EVENT_AVAILABLE_AGAIN, &inventory, lapse);
    hf_log_builder_record(&builder, event);
    settings = (struct hf_settings){
        .sell_limit = 2,
        .customer_limit = 4,
        .min_qty = 1,
        .max_qty = 3,
        .waiting_limit = 50,
        .flags = HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED | HF_INVENTORY_CLOSE_WHEN_SOLD_OUT |
                 HF_INVENTORY_SKIP,
        .opens_at_ns = start,
        .closes_at_ns = start + 1,
        .longest_hold_ns = 5400ull * 1000000000,
        .cancel_until_ns = start + 2,
        .offer_ttl_ns = HF_BUILDER_TTL_NS,
    };
    inventory.flags = HF_INVENTORY_SOLD_OUT_CLOSED;
    hf_log_builder_set(&builder, &inventory, &settings, 2);
    hf_log_builder_inventory(&builder, 8, 1);
    hf_log_builder_block(&builder, 0);
}

#define DATE "2026-01-02T03:04:05.0000000"

Test(ledger, a_sound_log_is_dumped)
{
    /* Each kind of record, with everything that it can tell: one line each. */
    build_story();
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0, "%s", output);
    cr_expect_eq(run_tool("dump", builder.directory, NULL), 0);
    expect_output(
        "lsn=1 inventory id=7 product=1007 capacity=3 sell_limit=3 sequence=1 made_at=" DATE
        "06Z changed_at=" DATE "06Z inventory_version=1 waiting_limit=10000 "
        "offer_ttl=15m\n");
    expect_output("lsn=2 reservation id=00000000-0000-7000-0200-000000000000 inventory=7 "
                  "customer=7001 qty=2 status=HELD sequence=1 inventory_version=2 made_at=" DATE
                  "07Z changed_at=" DATE "07Z deadline=2026-01-02T03:19:05.000000007Z "
                  "made_as=HELD\n");
    expect_output(" status=CONFIRMED sequence=1 inventory_version=3 made_at=" DATE
                  "08Z changed_at=" DATE "08Z sold_out=yes\n");
    expect_output(" customer=9 qty=1 status=CONFIRMED sequence=2 inventory_version=3 made_at=" DATE
                  "08Z changed_at=" DATE "09Z origin=0000abcd\n");
    expect_output(" status=HELD sequence=2 inventory_version=6 made_at=" DATE "09Z changed_at=" DATE
                  "66Z deadline=2026-01-02T03:34:05.000000066Z made_as=WAITING reason=offer\n");
    expect_output(" status=CANCELLED sequence=2 inventory_version=6 made_at=" DATE
                  "10Z changed_at=" DATE "76Z made_as=WAITING reason=limit\n");
    expect_output(" made_as=HELD reason=deadline chain=1/2\nlsn=11 ");
    expect_output(" linked_id=00000000-0000-7000-0200-000000000000 chain=2/2\n"
                  "lsn=12 event AVAILABLE_AGAIN inventory=7 available=1 inventory_version=8 "
                  "changed_at=2026-01-02T03:19:05.000000007Z\n");
    expect_output(" inventory_version=8 flags=paused,closed,close_when_sold_out,skip,"
                  "sold_out_closed customer_limit=4 min_qty=1 max_qty=3 waiting_limit=50 "
                  "opens_at=" DATE "06Z closes_at=" DATE "07Z longest_hold=1h30m cancel_until=" DATE
                  "08Z offer_ttl=15m\n");
}

Test(ledger, a_sound_log_is_dumped_in_json)
{
    /* The same: every member is there, null where it does not apply. */
    build_story();
    cr_expect_eq(run_tool("dump", builder.directory, "--json"), 0);
    expect_output("{\"lsn\":14,\"kind\":\"inventory\",\"inventory_id\":8,\"product_id\":1008,"
                  "\"capacity\":1,\"sell_limit\":1,\"sequence\":1,\"made_at\":\"" DATE
                  "06Z\",\"changed_at\":\"" DATE
                  "06Z\",\"inventory_version\":1,\"paused\":false,\"closed\":false,"
                  "\"close_when_sold_out\":false,\"skip\":false,\"sold_out_closed\":false,"
                  "\"customer_limit\":null,\"min_qty\":null,\"max_qty\":null,"
                  "\"waiting_limit\":10000,\"opens_at\":null,\"closes_at\":null,"
                  "\"longest_hold\":null,\"cancel_until\":null,\"offer_ttl\":\"15m\"}\n");
    expect_output("\"paused\":true,\"closed\":true,\"close_when_sold_out\":true,\"skip\":true,"
                  "\"sold_out_closed\":true,\"customer_limit\":4,\"min_qty\":1,\"max_qty\":3,"
                  "\"waiting_limit\":50,\"opens_at\":\"" DATE "06Z\",\"closes_at\":\"" DATE
                  "07Z\",\"longest_hold\":\"1h30m\",\"cancel_until\":\"" DATE
                  "08Z\",\"offer_ttl\":\"15m\"}\n");
    expect_output("{\"lsn\":2,\"kind\":\"reservation\","
                  "\"reservation_id\":\"00000000-0000-7000-0200-000000000000\","
                  "\"inventory_id\":7,\"customer_id\":7001,\"qty\":2,\"status\":\"HELD\","
                  "\"sequence\":1,\"inventory_version\":2,\"made_at\":\"" DATE
                  "07Z\",\"changed_at\":\"" DATE
                  "07Z\",\"deadline\":\"2026-01-02T03:19:05.000000007Z\",\"made_as\":\"HELD\","
                  "\"reason\":\"request\",\"sold_out\":false,\"linked_id\":null,"
                  "\"origin\":null,\"chain\":null}\n");
    expect_output("\"deadline\":null,\"made_as\":\"CONFIRMED\",\"reason\":\"request\","
                  "\"sold_out\":true,");
    expect_output(",\"origin\":\"0000abcd\",");
    expect_output(",\"reason\":\"offer\",");
    expect_output(",\"reason\":\"limit\",");
    expect_output(",\"reason\":\"deadline\",");
    expect_output("\"linked_id\":\"00000000-0000-7000-0200-000000000000\",\"origin\":null,"
                  "\"chain\":{\"place\":2,\"length\":2}}\n");
    expect_output("{\"lsn\":12,\"kind\":\"event\",\"event\":\"AVAILABLE_AGAIN\","
                  "\"inventory_id\":7,\"available\":1,\"inventory_version\":8,"
                  "\"changed_at\":\"2026-01-02T03:19:05.000000007Z\"}\n");
}

Test(ledger, figures_tell_what_happened)
{
    /* Holds, offers, expiries, chains, events, and what became of the reservations. */
    build_story();
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0, "%s", output);
    expect_output("records: 14\ninventories: 2\nreservations: 5\nconfirmed: 1\ncancelled: 2\n"
                  "held: 1\nreleased: 0\nexpired: 1\nwaiting: 0\nreused: 0\noffers: 1\n"
                  "expiries: 1\nchains: 1\nevents: 1\nabove_customer_limit: 0\n");
}

/* How many lines the output has, and that they are of these LSNs. */
static void expect_lsns(const char *const words[5], const char *lsns)
{
    char found[256] = "";
    cr_expect_eq(run_words(words), 0, "%s", output);
    for (char *line = strtok(output, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        int lsn = 0;
        cr_expect_eq(sscanf(line, "lsn=%d ", &lsn), 1, "%s", line);
        snprintf(found + strlen(found), sizeof(found) - strlen(found), " %d", lsn);
    }
    cr_expect_str_eq(found, lsns, "%s %s", words[2], words[3]);
}

Test(ledger, a_dump_shows_what_is_asked_for)
{
    /* By reservation, inventory, customer and LSN, in both ways to write an option; both ends of a
     * range belong to it. */
    const char *directory = builder.directory;
    build_story();
    expect_lsns((const char *const[5]){"dump", directory, "--reservation",
                                       "00000000-0000-7000-0300-000000000000"},
                " 3 6 7");
    expect_lsns((const char *const[5]){"dump", directory, "--inventory", "8"}, " 14");
    expect_lsns((const char *const[5]){"dump", directory, "--inventory=7", "--from=12"}, " 12 13");
    expect_lsns((const char *const[5]){"dump", directory, "--customer", "9"}, " 6 7");
    expect_lsns((const char *const[5]){"dump", directory, "--customer=7001", "--to=10"}, " 2 10");
    expect_lsns((const char *const[5]){"dump", directory, "--from", "13"}, " 13 14");
    expect_lsns((const char *const[5]){"dump", directory, "--to", "2"}, " 1 2");
    expect_lsns((const char *const[5]){"dump", directory, "--from=4", "--to=4"}, " 4");
    expect_lsns((const char *const[5]){"dump", directory, "--customer", "123456"}, "");
}

Test(ledger, a_dump_ends_where_it_is_told_to)
{
    /* What is behind --to is damaged, and not looked at. */
    build_sound();
    hf_log_builder_flip(&builder, 1, builder.blocks[2].offset + 300, 1);
    cr_expect_eq(run_tool("dump", builder.directory, "--to=3"), 1);
    cr_expect_eq(run_tool("dump", builder.directory, "--to=2"), 0);
    expect_output("lsn=2 ");
}

Test(ledger, the_history_of_a_reservation_is_told)
{
    /* All records of one id, in their order; an id that was never used. */
    const char *directory = builder.directory;
    build_story();
    expect_lsns(
        (const char *const[5]){"history", directory, "00000000-0000-7000-0400-000000000000"},
        " 4 8");
    expect_lsns((const char *const[5]){"history", directory, "00000000-0000-7000-0300-000000000000",
                                       "--from=4"},
                " 6 7");
    cr_expect_eq(run_words((const char *const[5]){
                     "history", directory, "00000000-0000-7000-0200-000000000000", "--json"}),
                 0);
    expect_output("{\"lsn\":2,\"kind\":\"reservation\",");
    expect_output("\n{\"lsn\":10,\"kind\":\"reservation\",");
    cr_expect_eq(run_words((const char *const[5]){"history", directory,
                                                  "00000000-0000-7000-9900-000000000000"}),
                 1);
    expect_output("holdfast-wal: the log has no record of reservation "
                  "00000000-0000-7000-9900-000000000000\n");
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
    expect_output("\"retained\":null,\"state_hash\":null,\"fault\":{\"lsn\":null,\"segment\":1,"
                  "\"offset\":12288,");
    expect_output("\"verify\":\"failed\"}\n");
    cr_expect_eq(run_tool("dump", builder.directory, NULL), 1);
    expect_output("lsn=2 inventory id=2");
    expect_output("holdfast-wal: 0000000000000001.wal at 12288");
    cr_expect_eq(run_tool("info", builder.directory, NULL), 1);
    expect_output("end: damaged\n");
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
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0, "%s", output);
    expect_output("confirmed: 2\ncancelled: 1\n");
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
    cr_expect_eq(run_tool("verify", builder.directory, retain), 0, "%s: %s",
                 hf_vector_text(vector, "name"), output);
    snprintf(lines, sizeof(lines), "retained: %s\nstate_hash: %s\n",
             hf_vector_text(vector, "retained"), hf_vector_text(vector, "state_hash"));
    expect_output(lines);
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
    cr_expect_eq(run_tool("verify", builder.directory, NULL), 0, "%s", output);
    expect_output("retained: 2\n");
    cr_expect_eq(run_tool("verify", builder.directory, "--retain=15m"), 0);
    expect_output("retained: 1\n");
    cr_expect_eq(run_tool("verify", builder.directory, "--retain=15m1ns"), 0);
    expect_output("retained: 2\n");
    cr_expect_eq(run_tool("verify", builder.directory, "--retain=0s"), 0);
    expect_output("retained: 1\n");
}

static void check_closed_vector(const struct hf_vector *vector)
{
    /* The newest version in the log is far below that of the claim. */
    bool closed = hf_vector_number(vector, "closed") != 0;
    struct hf_reservation claim = hf_builder_reservation(200, 42, 1, HF_STATE_CONFIRMED);
    build_vector(vector);
    hf_log_builder_image(&builder, &claim, &(struct hf_image_notes){.inventory_version = 5000});
    hf_log_builder_block(&builder, 0);
    cr_expect_eq(run_tool("verify", builder.directory, NULL), closed ? 1 : 0, "%s: %s",
                 hf_vector_text(vector, "name"), output);
    if (closed && strstr(output, "NO-OVERSELL") == NULL)
        expect_output("was closed by selling out");
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

/* ---- the program ------------------------------------------------------------------------ */

Test(ledger, bad_usage_is_told_and_exits_with_2)
{
    /* No command, an unknown one, no directory, too many words, unknown options, options of another
     * command, without a value, with a wrong one. */
    const char *directory = builder.directory;
    static const char id[] = "00000000-0000-7000-0400-000000000000";
    const struct {
        const char *words[5];
        const char *told;
    } cases[] = {
        {{NULL}, "a command is missing"},
        {{"prove", directory}, "unknown command prove"},
        {{"verify"}, "the directory is missing"},
        {{"verify", directory, "more"}, "one argument too many: more"},
        {{"history", directory}, "the reservation is missing"},
        {{"history", directory, "42"}, "\"42\" is no reservation's id"},
        {{"history", directory, "00000000-0000-0000-0000-000000000000"}, "is no reservation's id"},
        {{"history", directory, id, "more"}, "one argument too many: more"},
        {{"history", directory, id, "--customer", "1"}, "history has no option --customer"},
        {{"verify", directory, "--jsn"}, "unknown option --jsn"},
        {{"verify", directory, "--from", "1"}, "verify has no option --from"},
        {{"dump", directory, "--retain", "1h"}, "dump has no option --retain"},
        {{"dump", directory, "--from"}, "--from needs an LSN"},
        {{"dump", directory, "--from", "x"}, "--from needs an LSN, not \"x\""},
        {{"dump", directory, "--to="}, "--to needs an LSN, not \"\""},
        {{"dump", directory, "--inventory=-1"}, "--inventory needs an inventory's number"},
        {{"dump", directory, "--customer=a"}, "--customer needs a customer's number"},
        {{"dump", directory, "--reservation=7"}, "--reservation needs a reservation's id"},
        {{"verify", directory, "--retain", "24"}, "--retain needs a duration such as 15m or 24h"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(run_words(cases[i].words), 2, "%s", cases[i].told);
        expect_output(cases[i].told);
        expect_output("; see holdfast-wal --help\n");
    }
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
