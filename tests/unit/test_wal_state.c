/* holdfast-wal state, hash and export: the state at any moment, for people, programs and
 * databases. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/log_snapshot.h"
#include "tests/lib/wal_expect.h"

#define ID(number) "00000000-0000-7000-" number "-000000000000"
#define DATE       "2026-01-02T03:04:05.0000000"

static struct hf_log_builder builder;
static char target[HF_DIRECTORY_TEXT_BYTES + 16]; /* where an export goes */

static void open_builder(void)
{
    hf_log_builder_open(&builder, HF_BUILDER_MIN_BYTES);
    hf_log_builder_path(&builder, "export", target, sizeof target);
}

static void close_builder(void)
{
    hf_log_builder_close(&builder);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(wal_state, .init = open_builder, .fini = close_builder);

/* ---- state ------------------------------------------------------------------------------ */

Test(wal_state, the_state_is_told_in_text)
{
    /* The end of the story: of 7, reservation 3 holds one unit and 5 is confirmed with one, for two
     * that are left; 8 was never used. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "state", builder.directory);
    hf_wal_expect("state log_id=0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0 lsn=14 "
                  "newest_date=2026-01-02T03:19:05.000000007Z inventories=2 retained=5 retain=1d "
                  "state_hash=");
    hf_wal_expect(
        "\ninventory inventory_id=7 product_id=1007 capacity=3 sell_limit=2 available=0 held=1 "
        "confirmed=1 waiting=0 deficit=0 version=8 sequence=2 lsn=13 made_at=" DATE
        "06Z changed_at=" DATE "07Z paused=yes closed=yes close_when_sold_out=yes skip=yes "
        "sold_out_closed=yes customer_limit=4 min_qty=1 max_qty=3 waiting_limit=50 opens_at=" DATE
        "06Z closes_at=" DATE "07Z longest_hold=1h30m cancel_until=" DATE "08Z offer_ttl=15m\n"
        "inventory inventory_id=8 product_id=1008 capacity=1 sell_limit=1 available=1 held=0 "
        "confirmed=0 waiting=0 deficit=0 version=1 sequence=1 lsn=14 ");
    hf_wal_expect_not("reservation_id");
}

Test(wal_state, reservations_are_told_if_they_are_asked_for)
{
    /* All of them; in the order of their ids. A link, an origin, a hold. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "state", builder.directory, "--reservations");
    hf_wal_expect("\nreservation reservation_id=" ID(
        "0200") " inventory_id=7 customer_id=7001 qty=2 "
                "status=EXPIRED sequence=2 lsn=10 made_at=" DATE
                "07Z changed_at=2026-01-02T03:19:05.000000007Z made_as=HELD\n"
                "reservation reservation_id=" ID(
                    "0300") " inventory_id=7 customer_id=9 qty=1 "
                            "status=CANCELLED sequence=3 lsn=7 made_at=" DATE "08Z changed_at=" DATE
                            "09Z made_as=CONFIRMED origin=0000abcd\n"
                            "reservation reservation_id=" ID(
                                "0400") " inventory_id=7 customer_id=7003 qty=1 "
                                        "status=HELD sequence=2 lsn=8 made_at=" DATE
                                        "09Z changed_at=" DATE
                                        "66Z deadline=2026-01-02T03:34:05.000000066Z "
                                        "made_as=WAITING\n"
                                        "reservation reservation_id=" ID(
                                            "0500") " inventory_id=7 customer_id=7004 qty=1 "
                                                    "status=CANCELLED sequence=2 lsn=9 ");
    hf_wal_expect("\nreservation reservation_id=" ID(
        "0600") " inventory_id=7 customer_id=7001 qty=1 "
                "status=CONFIRMED sequence=1 lsn=11 made_at=2026-01-02T03:19:05.000000007Z "
                "changed_at=2026-01-02T03:19:05.000000007Z made_as=CONFIRMED linked_id=" ID(
                    "0200") "\n");
}

Test(wal_state, the_state_is_told_in_json)
{
    /* Everything is there, null where it does not apply. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "state", builder.directory, "--json", "--reservations");
    hf_wal_expect(
        "{\"kind\":\"state\",\"log_id\":\"0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0\",\"lsn\":14,"
        "\"newest_date\":\"2026-01-02T03:19:05.000000007Z\",\"inventories\":2,"
        "\"retained\":5,\"retain\":\"1d\",\"state_hash\":\"");
    hf_wal_expect("\n{\"kind\":\"inventory\",\"inventory_id\":8,\"product_id\":1008,\"capacity\":1,"
                  "\"sell_limit\":1,\"available\":1,\"held\":0,\"confirmed\":0,\"waiting\":0,"
                  "\"deficit\":0,\"version\":1,\"sequence\":1,\"lsn\":14,\"made_at\":\"" DATE
                  "06Z\",\"changed_at\":\"" DATE "06Z\",\"paused\":false,\"closed\":false,"
                  "\"close_when_sold_out\":false,\"skip\":false,\"sold_out_closed\":false,"
                  "\"customer_limit\":null,\"min_qty\":null,\"max_qty\":null,"
                  "\"waiting_limit\":10000,\"opens_at\":null,\"closes_at\":null,"
                  "\"longest_hold\":null,\"cancel_until\":null,\"offer_ttl\":\"15m\"}\n");
    hf_wal_expect("\n{\"kind\":\"reservation\",\"reservation_id\":\"" ID(
        "0400") "\",\"inventory_id\":7,"
                "\"customer_id\":7003,\"qty\":1,\"status\":\"HELD\",\"sequence\":2,\"lsn\":8,"
                "\"made_at\":\"" DATE "09Z\",\"changed_at\":\"" DATE
                "66Z\",\"deadline\":\"2026-01-02T03:34:05.000000066Z\",\"made_as\":\"WAITING\","
                "\"linked_id\":null,\"origin\":null}\n");
}

Test(wal_state, the_state_is_told_in_csv)
{
    /* One table: inventories, or reservations if these are asked for. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "state", builder.directory, "--format=csv", "--inventory=8");
    cr_expect_str_eq(hf_wal_output,
                     "inventory_id,product_id,capacity,sell_limit,available,held,confirmed,waiting,"
                     "deficit,version,sequence,lsn,made_at,changed_at,paused,closed,"
                     "close_when_sold_out,skip,sold_out_closed,customer_limit,min_qty,max_qty,"
                     "waiting_limit,opens_at,closes_at,longest_hold,cancel_until,offer_ttl\n"
                     "8,1008,1,1,1,0,0,0,0,1,1,14," DATE "06Z," DATE
                     "06Z,false,false,false,false,false,,,,10000,,,,,15m\n");
    hf_wal_expect_run(0, "state", builder.directory, "--format=csv", "--state=held,confirmed");
    cr_expect_str_eq(
        hf_wal_output,
        "reservation_id,inventory_id,customer_id,qty,status,sequence,lsn,made_at,"
        "changed_at,deadline,made_as,linked_id,origin\n" ID(
            "0400") ",7,7003,1,HELD,2,8," DATE "09Z," DATE
                    "66Z,2026-01-02T03:34:05.000000066Z,WAITING,,\n" ID(
                        "0600") ",7,7001,1,CONFIRMED,1,11,2026-01-02T03:19:05.000000007Z,"
                                "2026-01-02T03:19:05.000000007Z,,CONFIRMED," ID("0200") ",\n");
}

Test(wal_state, filters_choose)
{
    /* By inventory: it, and with --reservations its own; by customer, id and state: reservations
     * alone. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "state", builder.directory, "--inventory=8", "--reservations");
    hf_wal_expect("inventory_id=8 ");
    hf_wal_expect_not("inventory_id=7 ");
    hf_wal_expect_not("reservation_id");
    hf_wal_expect_run(0, "state", builder.directory, "--customer=7001");
    hf_wal_expect("reservation_id=" ID("0200"));
    hf_wal_expect("reservation_id=" ID("0600"));
    hf_wal_expect_not("inventory inventory_id");
    hf_wal_expect_not("reservation_id=" ID("0300"));
    const char *id = ID("0300");
    hf_wal_expect_run(0, "state", builder.directory, "--reservation", id);
    hf_wal_expect("reservation_id=" ID("0300"));
    hf_wal_expect_not("reservation_id=" ID("0200"));
    hf_wal_expect_run(0, "state", builder.directory, "--state=expired");
    hf_wal_expect("reservation_id=" ID("0200"));
    hf_wal_expect_not("reservation_id=" ID("0300"));
}

static void expect_available(const char *at, const char *told)
{
    hf_wal_expect_run(0, "state", builder.directory, "--inventory=7", "--at", at);
    hf_wal_expect(told);
}

Test(wal_state, the_state_is_that_of_any_moment)
{
    /* After each LSN of the story; a chain takes effect as one. By date: reservation 3 was offered
     * its unit 60 ns after the inventory was made, and 4 refused one 10 ns later; what comes then
     * is 15 minutes later. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "state", builder.directory, "--at=0");
    hf_wal_expect(" lsn=0 inventories=0 retained=0 ");
    expect_available("1", " lsn=1 ");
    expect_available("1", " available=3 held=0 confirmed=0 waiting=0 ");
    expect_available("2", " available=1 held=2 confirmed=0 waiting=0 ");
    expect_available("3", " available=0 held=2 confirmed=1 waiting=0 ");
    expect_available("5", " available=0 held=2 confirmed=1 waiting=2 ");
    expect_available("7", " available=1 held=2 confirmed=0 waiting=2 ");
    expect_available("8", " available=0 held=3 confirmed=0 waiting=1 ");
    expect_available("9", " available=0 held=3 confirmed=0 waiting=0 ");
    expect_available("10", " lsn=9 ");
    expect_available("11", " available=1 held=1 confirmed=1 waiting=0 ");
    expect_available("13", " sell_limit=2 available=0 ");
    expect_available("2026-01-02T03:04:05.000000006Z", " lsn=1 ");
    expect_available("2026-01-02T03:04:05.000000065Z", " lsn=7 ");
    expect_available("2026-01-02T03:04:05.000000066Z", " lsn=8 ");
    expect_available("2026-01-02T03:04:06Z", " lsn=9 ");
    expect_available("@1767323645", " lsn=9 ");
    expect_available("2026-01-02T03:19:05.000000007Z", " lsn=14 ");
    expect_available("now", " lsn=14 ");
    hf_wal_expect_run(0, "state", builder.directory, "--at=2026-01-02T03:04:05Z");
    hf_wal_expect(" lsn=0 ");
    hf_wal_expect_run(1, "state", builder.directory, "--at=15");
    hf_wal_expect("holdfast-wal: the log ends with LSN 14: there is no LSN 15 yet\n");
}

Test(wal_state, what_a_snapshot_does_not_tell_is_read_from_before_it)
{
    /* One up to LSN 10, which is the first of a chain of two: the state after 9 and 10 is not known
     * from it. One whose date is that of its begin: so is a moment between. */
    struct hf_log_snapshot_copy copy;
    char hash[17];
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "hash", builder.directory, "--at=10");
    cr_assert_eq(sscanf(hf_wal_output, "state_hash: %16s\nlsn: 9\n", hash), 1, "%s", hf_wal_output);
    hf_log_snapshot_make(&builder, 10, 1);
    hf_wal_expect_run(0, "hash", builder.directory, "--at=10");
    hf_wal_expect(hash);
    hf_wal_expect("\nlsn: 9\n");
    expect_available("11", " lsn=11 ");
    expect_available("11", " available=1 held=1 confirmed=1 waiting=0 ");
    hf_log_snapshot_copy(&builder, 9, 1, &copy);
    copy.header.log_time_ns = HF_BUILDER_MADE_AT;
    hf_log_snapshot_write(&builder, &copy);
    expect_available("2026-01-02T03:04:05.000000065Z", " lsn=7 ");
    expect_available("2026-01-02T03:04:05.000000065Z",
                     " available=1 held=2 confirmed=0 waiting=2 ");
}

Test(wal_state, a_deficit_is_told)
{
    /* The sell limit is lowered below what is sold. */
    struct hf_inventory inventory = hf_builder_inventory(1, 5);
    struct hf_settings settings = hf_builder_settings(2);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 1, 5);
    hf_log_builder_reservation(&builder, 10, 1, 5, 2);
    inventory.version = 3;
    hf_log_builder_set(&builder, &inventory, &settings, 2);
    hf_log_builder_block(&builder, 0);
    expect_available("3", "");
    hf_wal_expect_run(0, "state", builder.directory);
    hf_wal_expect(" sell_limit=2 available=-3 held=0 confirmed=5 waiting=0 deficit=3 ");
}

Test(wal_state, what_is_retained_is_told)
{
    /* Two are finished when the newest date is 15 minutes later. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "state", builder.directory, "--reservations", "--retain=10m");
    hf_wal_expect(" retained=3 retain=10m ");
    hf_wal_expect_not(ID("0300"));
    hf_wal_expect_run(0, "hash", builder.directory, "--retain=10m");
    hf_wal_expect("\nlsn: 14\nretained: 3\nretain: 10m\n");
}

Test(wal_state, a_snapshot_tells_what_is_retained)
{
    /* It says 10 minutes, and the command line nothing; then the command line says something. */
    struct hf_log_snapshot_copy copy;
    hf_wal_build_story(&builder);
    hf_log_snapshot_copy(&builder, 14, 1, &copy);
    copy.header.retain_ns = 600ull * 1000000000;
    hf_log_snapshot_write(&builder, &copy);
    hf_wal_expect_run(0, "hash", builder.directory, "--json");
    hf_wal_expect("\",\"lsn\":14,\"retained\":3,\"retain\":\"10m\"}\n");
    hf_wal_expect_run(0, "verify", builder.directory);
    hf_wal_expect("\nretained: 3\n");
    hf_wal_expect_run(0, "hash", builder.directory, "--retain=1h");
    hf_wal_expect("\nretained: 5\nretain: 1h\n");
}

Test(wal_state, a_log_that_is_not_sound_has_no_state)
{
    /* Six units of five are taken; before that the state is told. Then a byte is damaged. */
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 1, 5);
    hf_log_builder_reservation(&builder, 10, 1, 3, 2);
    hf_log_builder_reservation(&builder, 11, 1, 3, 3);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_block(&builder, HF_BLOCK_STOP);
    static const char *const commands[] = {"state", "hash"};
    for (int i = 0; i < 2; i++) {
        hf_wal_expect_run(1, commands[i], builder.directory);
        hf_wal_expect("holdfast-wal: LSN 3, 0000000000000001.wal at 8576: NO-OVERSELL is broken");
        hf_wal_expect_run(0, commands[i], builder.directory, "--at=2");
    }
    hf_wal_expect_run(1, "export", builder.directory, "--format=sql");
    hf_wal_expect("NO-OVERSELL is broken");
    hf_wal_expect_not("BEGIN");
    hf_log_builder_flip(&builder, 1, builder.blocks[1].offset + 300, 1);
    hf_wal_expect_run(1, "state", builder.directory);
    hf_wal_expect("0000000000000001.wal at 8192: expected block 2 (LSN 1)");
}

/* ---- export ----------------------------------------------------------------------------- */

static void read_target(const char *name)
{
    char path[sizeof target + 32];
    snprintf(path, sizeof path, "%s%s%s", target, *name == '\0' ? "" : "/", name);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    size_t bytes = fread(hf_wal_output, 1, sizeof hf_wal_output - 1, file);
    hf_wal_output[bytes] = '\0';
    fclose(file);
}

#define INVENTORY_CSV "inventory_id,product_id,available_qty,version\n7,1007,0,8\n8,1008,1,1\n"
#define RESERVATION_CSV                                                                            \
    "reservation_id,inventory_id,customer_id,reservation_date,status,cancellation_date\n" ID(      \
        "0200") ",7,7001," DATE                                                                    \
                "07Z,EXPIRED,\n" ID("0300") ",7,9," DATE "08Z,CANCELLED," DATE                     \
                                            "09Z\n" ID("0400") ",7,7003," DATE "09Z,HELD,\n" ID(   \
                                                "0500") ",7,7004," DATE "10Z,CANCELLED," DATE      \
                                                        "76Z\n" ID(                                \
                                                            "0600") ",7,7001,2026-01-02T03:19:05." \
                                                                    "000000007Z,CONFIRMED,\n"

Test(wal_state, tables_are_exported_as_csv)
{
    /* A directory that does not exist, one that does; one table as a stream, and as a file. */
    hf_wal_build_story(&builder);
    for (int i = 0; i < 2; i++) {
        hf_wal_expect_run(0, "export", builder.directory, "--format=csv", "--to", target);
        cr_expect_str_eq(hf_wal_output, "");
        read_target("inventory.csv");
        cr_expect_str_eq(hf_wal_output, INVENTORY_CSV);
        read_target("reservation.csv");
        cr_expect_str_eq(hf_wal_output, RESERVATION_CSV);
        read_target("export.csv");
        hf_wal_expect(
            "log_id,lsn,state_hash,exported_at\n0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0,14,");
        hf_directory_remove(target);
        cr_assert_eq(mkdir(target, 0750), 0);
    }
    hf_directory_remove(target);
    hf_wal_expect_run(0, "export", builder.directory, "--format=csv", "--table=inventory",
                      "--at=14");
    hf_wal_expect(INVENTORY_CSV);
    hf_wal_expect("holdfast-wal: this is the state after LSN 14, state hash ");
    hf_wal_expect_run(0, "export", builder.directory, "--format=csv", "--table=reservation", "--to",
                      target);
    read_target("");
    cr_expect_str_eq(hf_wal_output, RESERVATION_CSV);
}

Test(wal_state, tables_are_exported_as_json_lines)
{
    /* Both, and one of them, of a moment of the past. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "export", builder.directory, "--format=jsonl", "--at=3");
    hf_wal_expect("{\"kind\":\"export\",\"log_id\":\"0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0\","
                  "\"lsn\":3,\"state_hash\":\"");
    hf_wal_expect("\n{\"kind\":\"inventory\",\"inventory_id\":7,\"product_id\":1007,"
                  "\"available_qty\":0,\"version\":3}\n"
                  "{\"kind\":\"reservation\",\"reservation_id\":\"" ID(
                      "0200") "\",\"inventory_id\":7,"
                              "\"customer_id\":7001,\"reservation_date\":\"" DATE
                              "07Z\",\"status\":\"HELD\","
                              "\"cancellation_date\":null}\n");
    hf_wal_expect_run(0, "export", builder.directory, "--format=jsonl", "--table=reservation");
    hf_wal_expect_not("\"kind\":\"inventory\"");
    hf_wal_expect("\"cancellation_date\":\"" DATE "09Z\"}\n");
}

Test(wal_state, an_export_overwrites_nothing)
{
    /* The file is there; half of one is there; one of the files of a directory is. Nothing is left
     * behind. */
    char part[sizeof target + 8], inside[sizeof target + 32];
    snprintf(part, sizeof part, "%s.part", target);
    snprintf(inside, sizeof inside, "%s/reservation.csv", target);
    hf_wal_build_story(&builder);
    close(open(target, O_CREAT | O_WRONLY, 0640));
    hf_wal_expect_run(1, "export", builder.directory, "--format=sql", "--to", target);
    hf_wal_expect(" exists, and nothing is overwritten: choose another name, or remove it first\n");
    cr_assert_eq(rename(target, part), 0);
    hf_wal_expect_run(1, "export", builder.directory, "--format=sql", "--to", target);
    hf_wal_expect(".part exists: if nobody is writing it, remove it\n");
    cr_assert(unlink(part) == 0 && mkdir(target, 0750) == 0);
    close(open(inside, O_CREAT | O_WRONLY, 0640));
    hf_wal_expect_run(1, "export", builder.directory, "--format=csv", "--to", target);
    hf_wal_expect("/reservation.csv exists, and nothing is overwritten");
    cr_assert_eq(unlink(inside), 0);
    cr_expect_eq(rmdir(target), 0, "something was left in it");
    hf_wal_expect_run(1, "export", builder.directory, "--format=sql", "--to", "/nowhere/at/all");
    hf_wal_expect("cannot make /nowhere/at/all.part: No such file or directory\n");
}

Test(wal_state, an_export_that_cannot_be_written_is_told)
{
    /* A device that is full. */
    char program[HF_PROGRAM_TEXT_BYTES], line[2 * HF_PROGRAM_TEXT_BYTES];
    hf_wal_build_story(&builder);
    hf_program_path("holdfast-wal", program);
    snprintf(line, sizeof line, "%s export %s --format=sql >/dev/full", program, builder.directory);
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    cr_expect_eq(hf_process_run(argv, hf_wal_output, sizeof hf_wal_output), 1);
    hf_wal_expect("holdfast-wal: cannot write the output: No space left on device\n");
}

Test(wal_state, bad_usage_of_an_export_is_told)
{
    /* No format, one that it does not have, two tables in one stream of CSV, a table there is
     * not. */
    const char *directory = builder.directory;
    hf_wal_build_story(&builder);
    hf_wal_expect_run(2, "export", directory);
    hf_wal_expect("export needs --format sql, csv or jsonl; see holdfast-wal --help\n");
    hf_wal_expect_run(2, "export", directory, "--format=text");
    hf_wal_expect("--format needs sql, csv or jsonl, not \"text\"");
    hf_wal_expect_run(2, "export", directory, "--format=csv");
    hf_wal_expect("csv is a file for each table: give --to DIRECTORY, or --table");
    hf_wal_expect_run(2, "export", directory, "--format=csv", "--table=customer");
    hf_wal_expect("--table needs inventory or reservation, not \"customer\"");
}

/* ---- databases -------------------------------------------------------------------------- */

#define INVENTORIES  "SELECT * FROM inventory ORDER BY inventory_id"
#define RESERVATIONS "SELECT * FROM reservation ORDER BY reservation_id"
#define COUNTS                                                                                     \
    "SELECT (SELECT COUNT(*) FROM inventory), (SELECT COUNT(*) FROM reservation), COUNT(*), "      \
    "MAX(lsn) FROM holdfast_export"

/* Exports the state as SQL, loads that so many times, and asks. The exit status. */
static int ask_database(const char *database, int times, const char *query)
{
    char script[64];
    snprintf(script, sizeof script, "tests/databases/%s", database);
    unlink(target);
    hf_wal_expect_run(0, "export", builder.directory, "--format=sql", "--to", target);
    const char *const argv[] = {script, query, target, times == 2 ? target : NULL, NULL};
    int status = hf_process_run(argv, hf_wal_output, sizeof hf_wal_output);
    cr_assert_neq(status, 125, "%s", hf_wal_output);
    return status;
}

static void expect_answer(const char *database, const char *query, const char *answer)
{
    cr_expect_eq(ask_database(database, 1, query), 0, "%s: %s", database, hf_wal_output);
    cr_expect_str_eq(hf_wal_output, answer, "%s: %s\n%s", database, query, hf_wal_output);
}

/* As both print it. */
static void expect_story(const char *database)
{
    hf_wal_build_story(&builder);
    expect_answer(database, INVENTORIES, "7|1007|0|8\n8|1008|1|1\n");
    expect_answer(
        database, RESERVATIONS,
        ID("0200") "|7|7001|" DATE "07Z|EXPIRED|\n" ID(
            "0300") "|7|9|" DATE "08Z|CANCELLED|" DATE
                    "09Z\n" ID("0400") "|7|7003|" DATE "09Z|HELD|\n" ID(
                        "0500") "|7|7004|" DATE "10Z|CANCELLED|" DATE
                                "76Z\n" ID(
                                    "0600") "|7|7001|2026-01-02T03:19:05.000000007Z|CONFIRMED|\n");
    expect_answer(database, "SELECT log_id, lsn, LENGTH(state_hash) FROM holdfast_export",
                  "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0|14|16\n");
    expect_answer(
        database,
        "SELECT SUM(i.available_qty), COUNT(*) FROM reservation r JOIN inventory i ON "
        "i.inventory_id = r.inventory_id WHERE r.inventory_id = 7 AND r.customer_id > 7000 "
        "AND r.cancellation_date IS NULL",
        "0|3\n");
}

/* The largest ids of each kind. */
static void expect_wide_ids(const char *database)
{
    struct hf_inventory inventory = hf_builder_inventory(UINT64_MAX, 5);
    struct hf_settings settings = hf_builder_settings(5);
    struct hf_reservation reservation =
        hf_builder_reservation(10, UINT64_MAX, 1, HF_STATE_CONFIRMED);
    hf_log_builder_block(&builder, HF_BLOCK_START);
    inventory.product_id = UINT64_MAX - 1;
    reservation.customer_id = UINT64_MAX - 2;
    hf_log_builder_set(&builder, &inventory, &settings, 1);
    hf_log_builder_inventory(&builder, 7, 5);
    hf_log_builder_image(&builder, &reservation, &(struct hf_image_notes){.inventory_version = 2});
    reservation = hf_builder_reservation(11, 7, 1, HF_STATE_CONFIRMED);
    reservation.customer_id = 1ull << 63;
    hf_log_builder_image(&builder, &reservation, &(struct hf_image_notes){.inventory_version = 2});
    hf_log_builder_block(&builder, 0);
    expect_answer(database, INVENTORIES,
                  "18446744073709551615|18446744073709551614|4|2\n7|1007|4|2\n");
    expect_answer(database, "SELECT inventory_id, customer_id FROM reservation ORDER BY 2",
                  "18446744073709551615|18446744073709551613\n7|9223372036854775808\n");
}

/* More reservations than one INSERT has rows, and as many as two have. */
static void expect_many(const char *database)
{
    char counts[64];
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 1, 100000);
    for (uint64_t number = 0; number < 1201; number++) {
        hf_log_builder_reservation(&builder, number, 1, 1, (uint32_t)number + 2);
        if (number != 999 && number != 1200)
            continue;
        hf_log_builder_block(&builder, 0);
        snprintf(counts, sizeof counts, "1|%llu|1|%llu\n", (unsigned long long)number + 1,
                 (unsigned long long)number + 2);
        expect_answer(database, COUNTS, counts);
    }
}

/* A second load is refused as a whole: what it says it is does not come twice. */
static void expect_one_load(const char *database)
{
    hf_wal_build_story(&builder);
    cr_expect_neq(ask_database(database, 2, COUNTS), 0, "%s: %s", database, hf_wal_output);
    hf_wal_expect("\n2|5|1|14\n");
}

/* No table has a row; the one that says so has one. */
static void expect_empty(const char *database)
{
    hf_log_builder_block(&builder, HF_BLOCK_START);
    expect_answer(database, COUNTS, "0|0|1|0\n");
}

static void expect_all(const char *database)
{
    static void (*const tests[])(const char *database) = {
        expect_story, expect_wide_ids, expect_many, expect_one_load, expect_empty};
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        close_builder();
        open_builder();
        tests[i](database);
    }
}

Test(wal_state, sqlite_loads_an_export)
{
    /* Everything that a row can say; ids that are no 64-bit integers of its own; many rows; the
     * same again; nothing. */
    expect_all("sqlite");
}

Test(wal_state, postgresql_loads_an_export, .timeout = 120)
{
    /* The same. */
    expect_all("postgres");
}

Test(wal_state, a_load_that_went_on_after_an_error_does_not_count_as_one)
{
    /* As the sqlite3 program does when it is not told otherwise: what was there makes one row fail,
     * and the rest is loaded. */
    char line[2 * sizeof target + 256];
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "export", builder.directory, "--format=sql", "--to", target);
    snprintf(
        line, sizeof line,
        "command -v sqlite3 >/dev/null || exit 125; (echo 'CREATE TABLE inventory (inventory_id "
        "NUMERIC(20) NOT NULL PRIMARY KEY, product_id, available_qty, version); INSERT INTO "
        "inventory VALUES (7, 0, 0, 0);'; cat '%s'; echo \"%s;\") | sqlite3 2>&1",
        target, COUNTS);
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    int status = hf_process_run(argv, hf_wal_output, sizeof hf_wal_output);
    cr_assert_neq(status, 125, "sqlite3 is missing: tools/setup test installs it");
    hf_wal_expect("UNIQUE constraint failed: inventory.inventory_id");
    hf_wal_expect("\n1|5|0|\n");
}

Test(wal_state, two_exports_of_one_state_are_the_same)
{
    /* As SQL, but for the date of the export: from the whole log, and from a snapshot and what
     * follows; ids come in the log in no order. */
    static char first[HF_WAL_OUTPUT_BYTES];
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 9, 5000);
    hf_log_builder_inventory(&builder, 3, 5000);
    for (uint64_t i = 0; i < 300; i++)
        hf_log_builder_reservation(&builder, i * 7919 % 300, i % 2 == 0 ? 9 : 3, 1,
                                   2 + (uint32_t)i / 2);
    hf_log_builder_block(&builder, 0);
    for (int i = 0; i < 2; i++) {
        hf_wal_expect_run(0, "export", builder.directory, "--format=sql");
        char *date = strstr(hf_wal_output, "Z' WHERE 1 = 1");
        cr_assert_not_null(date);
        memset(date - 29, '-', 29);
        if (i == 0)
            memcpy(first, hf_wal_output, sizeof first);
        hf_log_snapshot_make(&builder, 250, 1);
    }
    cr_expect_str_eq(first, hf_wal_output);
    cr_expect_not_null(strstr(first, "\n(3,1003,4850,151),\n(9,1009,4850,151);\n"), "%s", first);
}
