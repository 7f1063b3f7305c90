/* holdfast-wal: what is asked of it on the command line is done or refused; what it shows of
 * records.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/wal_expect.h"
#include "wal/archived.h"
#include "wal/record.h"

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
TestSuite(wal_tool, .init = open_builder, .fini = close_builder);

#define DATE "2026-01-02T03:04:05.0000000"

Test(wal_tool, a_sound_log_is_dumped)
{
    /* Each kind of record, with everything that it can tell: one line each. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "verify", builder.directory);
    hf_wal_expect_run(0, "dump", builder.directory);
    hf_wal_expect(
        "lsn=1 inventory id=7 product=1007 capacity=3 sell_limit=3 sequence=1 made_at=" DATE
        "06Z changed_at=" DATE "06Z inventory_version=1 waiting_limit=10000 "
        "offer_ttl=15m\n");
    hf_wal_expect("lsn=2 reservation id=00000000-0000-7000-0200-000000000000 inventory=7 "
                  "customer=7001 qty=2 status=HELD sequence=1 inventory_version=2 made_at=" DATE
                  "07Z changed_at=" DATE "07Z deadline=2026-01-02T03:19:05.000000007Z "
                  "made_as=HELD\n");
    hf_wal_expect(" status=CONFIRMED sequence=1 inventory_version=3 made_at=" DATE
                  "08Z changed_at=" DATE "08Z sold_out=yes\n");
    hf_wal_expect(" customer=9 qty=1 status=CONFIRMED sequence=2 inventory_version=3 made_at=" DATE
                  "08Z changed_at=" DATE "09Z origin=0000abcd\n");
    hf_wal_expect(" status=HELD sequence=2 inventory_version=6 made_at=" DATE "09Z changed_at=" DATE
                  "66Z deadline=2026-01-02T03:34:05.000000066Z made_as=WAITING reason=offer\n");
    hf_wal_expect(" status=CANCELLED sequence=2 inventory_version=6 made_at=" DATE
                  "10Z changed_at=" DATE "76Z made_as=WAITING reason=limit\n");
    hf_wal_expect(" made_as=HELD reason=deadline chain=1/2\nlsn=11 ");
    hf_wal_expect(" linked_id=00000000-0000-7000-0200-000000000000 chain=2/2\n"
                  "lsn=12 event AVAILABLE_AGAIN inventory=7 available=1 inventory_version=8 "
                  "changed_at=2026-01-02T03:19:05.000000007Z\n");
    hf_wal_expect(" inventory_version=8 flags=paused,closed,close_when_sold_out,skip,"
                  "sold_out_closed customer_limit=4 min_qty=1 max_qty=3 waiting_limit=50 "
                  "opens_at=" DATE "06Z closes_at=" DATE "07Z longest_hold=1h30m cancel_until=" DATE
                  "08Z offer_ttl=15m\n");
}

Test(wal_tool, a_sound_log_is_dumped_in_json)
{
    /* The same: every member is there, null where it does not apply. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "dump", builder.directory, "--json");
    hf_wal_expect("{\"lsn\":14,\"kind\":\"inventory\",\"inventory_id\":8,\"product_id\":1008,"
                  "\"capacity\":1,\"sell_limit\":1,\"sequence\":1,\"made_at\":\"" DATE
                  "06Z\",\"changed_at\":\"" DATE
                  "06Z\",\"inventory_version\":1,\"paused\":false,\"closed\":false,"
                  "\"close_when_sold_out\":false,\"skip\":false,\"sold_out_closed\":false,"
                  "\"customer_limit\":null,\"min_qty\":null,\"max_qty\":null,"
                  "\"waiting_limit\":10000,\"opens_at\":null,\"closes_at\":null,"
                  "\"longest_hold\":null,\"cancel_until\":null,\"offer_ttl\":\"15m\"}\n");
    hf_wal_expect("\"paused\":true,\"closed\":true,\"close_when_sold_out\":true,\"skip\":true,"
                  "\"sold_out_closed\":true,\"customer_limit\":4,\"min_qty\":1,\"max_qty\":3,"
                  "\"waiting_limit\":50,\"opens_at\":\"" DATE "06Z\",\"closes_at\":\"" DATE
                  "07Z\",\"longest_hold\":\"1h30m\",\"cancel_until\":\"" DATE
                  "08Z\",\"offer_ttl\":\"15m\"}\n");
    hf_wal_expect("{\"lsn\":2,\"kind\":\"reservation\","
                  "\"reservation_id\":\"00000000-0000-7000-0200-000000000000\","
                  "\"inventory_id\":7,\"customer_id\":7001,\"qty\":2,\"status\":\"HELD\","
                  "\"sequence\":1,\"inventory_version\":2,\"made_at\":\"" DATE
                  "07Z\",\"changed_at\":\"" DATE
                  "07Z\",\"deadline\":\"2026-01-02T03:19:05.000000007Z\",\"made_as\":\"HELD\","
                  "\"reason\":\"request\",\"sold_out\":false,\"linked_id\":null,"
                  "\"origin\":null,\"chain\":null}\n");
    hf_wal_expect("\"deadline\":null,\"made_as\":\"CONFIRMED\",\"reason\":\"request\","
                  "\"sold_out\":true,");
    hf_wal_expect(",\"origin\":\"0000abcd\",");
    hf_wal_expect(",\"reason\":\"offer\",");
    hf_wal_expect(",\"reason\":\"limit\",");
    hf_wal_expect(",\"reason\":\"deadline\",");
    hf_wal_expect("\"linked_id\":\"00000000-0000-7000-0200-000000000000\",\"origin\":null,"
                  "\"chain\":{\"place\":2,\"length\":2}}\n");
    hf_wal_expect("{\"lsn\":12,\"kind\":\"event\",\"event\":\"AVAILABLE_AGAIN\","
                  "\"inventory_id\":7,\"available\":1,\"inventory_version\":8,"
                  "\"changed_at\":\"2026-01-02T03:19:05.000000007Z\"}\n");
}

/* The LSNs of the lines of the output, which are of records. */
static void expect_lines(const char *lsns)
{
    char found[256] = "";
    for (char *line = strtok(hf_wal_output, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        int lsn = 0;
        cr_expect_eq(sscanf(line, "lsn=%d ", &lsn), 1, "%s", line);
        snprintf(found + strlen(found), sizeof(found) - strlen(found), " %d", lsn);
    }
    cr_expect_str_eq(found, lsns);
}

#define EXPECT_LSNS(lsns, ...)                                                                     \
    do {                                                                                           \
        hf_wal_expect_run(0, __VA_ARGS__);                                                         \
        expect_lines(lsns);                                                                        \
    } while (0)

Test(wal_tool, a_dump_shows_what_is_asked_for)
{
    /* By reservation, inventory, customer and LSN, in both ways to write an option; both ends of a
     * range belong to it. */
    const char *directory = builder.directory;
    hf_wal_build_story(&builder);
    EXPECT_LSNS(" 3 6 7", "dump", directory, "--reservation",
                "00000000-0000-7000-0300-000000000000");
    EXPECT_LSNS(" 14", "dump", directory, "--inventory", "8");
    EXPECT_LSNS(" 12 13", "dump", directory, "--inventory=7", "--from=12");
    EXPECT_LSNS(" 6 7", "dump", directory, "--customer", "9");
    EXPECT_LSNS(" 2 10", "dump", directory, "--customer=7001", "--to=10");
    EXPECT_LSNS(" 13 14", "dump", directory, "--from", "13");
    EXPECT_LSNS(" 1 2", "dump", directory, "--to", "2");
    EXPECT_LSNS(" 4", "dump", directory, "--from=4", "--to=4");
    EXPECT_LSNS("", "dump", directory, "--customer", "123456");
}

Test(wal_tool, a_dump_shows_states_and_dates_that_are_asked_for)
{
    /* By state, one or several; by date, with both ends; a moment that is before or behind all. */
    const char *directory = builder.directory;
    hf_wal_build_story(&builder);
    EXPECT_LSNS(" 4 5", "dump", directory, "--state=waiting");
    EXPECT_LSNS(" 2 7 8 9", "dump", directory, "--state", "HELD,cancelled");
    EXPECT_LSNS(" 7 9", "dump", directory, "--state=cancelled", "--inventory=7");
    EXPECT_LSNS(" 5 6 7 8 9 10 11 12 13 14", "dump", directory, "--from=" DATE "10Z");
    EXPECT_LSNS(" 1 2 3 4", "dump", directory, "--to=" DATE "09Z");
    EXPECT_LSNS(" 3", "dump", directory, "--from=" DATE "08Z", "--to=" DATE "08Z");
    EXPECT_LSNS(" 10 11 12 13 14", "dump", directory, "--from=@1767323645");
    EXPECT_LSNS("", "dump", directory, "--to=@1767323045");
    EXPECT_LSNS("", "dump", directory, "--from=now");
    EXPECT_LSNS(" 14", "dump", directory, "--from=14", "--to=now");
    EXPECT_LSNS("", "dump", directory, "--to=0");
}

Test(wal_tool, a_sound_log_is_dumped_in_csv)
{
    /* Each kind of record; every line has a value, or none, for each column. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(0, "dump", builder.directory, "--format=csv");
    hf_wal_expect(
        "lsn,kind,reservation_id,inventory_id,customer_id,product_id,qty,status,sequence,"
        "inventory_version,made_at,changed_at,deadline,made_as,reason,sold_out,linked_id,"
        "origin,chain_place,chain_length,capacity,sell_limit,available,event,paused,closed,"
        "close_when_sold_out,skip,sold_out_closed,customer_limit,min_qty,max_qty,"
        "waiting_limit,opens_at,closes_at,longest_hold,cancel_until,offer_ttl,hex\n"
        "1,inventory,,7,,1007,,,1,1," DATE "06Z," DATE "06Z,,,,,,,,,3,3,,,false,false,"
        "false,false,false,,,,10000,,,,,15m,\n"
        "2,reservation,00000000-0000-7000-0200-000000000000,7,7001,,2,HELD,1,2," DATE "07Z," DATE
        "07Z,2026-01-02T03:19:05.000000007Z,HELD,request,false,,,,,,,,,,,,,,,,"
        ",,,,,,,\n");
    hf_wal_expect(
        "\n11,reservation,00000000-0000-7000-0600-000000000000,7,7001,,1,CONFIRMED,1,7,"
        "2026-01-02T03:19:05.000000007Z,2026-01-02T03:19:05.000000007Z,,CONFIRMED,request,"
        "false,00000000-0000-7000-0200-000000000000,,2,2,,,,,,,,,,,,,,,,,,,\n"
        "12,event,,7,,,,,,8,,2026-01-02T03:19:05.000000007Z,,,,,,,,,,,1,AVAILABLE_AGAIN,,,"
        ",,,,,,,,,,,,\n13,inventory,");
    hf_wal_expect(",paused,closed,");
    for (char *line = strtok(hf_wal_output, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        int commas = 0;
        for (const char *at = line; *at != '\0'; at++)
            commas += *at == ',';
        cr_expect_eq(commas, 38, "%s", line);
    }
}

Test(wal_tool, records_that_are_no_images_are_shown_as_they_are)
{
    /* A kind that is unknown, in all formats; and it is told. */
    uint8_t record[HF_RECORD_BYTES] = {0};
    record[8] = 9;
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_record(&builder, record);
    hf_log_builder_block(&builder, 0);
    hf_wal_expect_run(1, "dump", builder.directory);
    hf_wal_expect(
        "lsn=1 unknown reason=\"the kind of the image is unknown\" hex=010000000000000009000000");
    hf_wal_expect("holdfast-wal: 1 records are not known images\n");
    hf_wal_expect_run(1, "dump", builder.directory, "--format=jsonl");
    hf_wal_expect(
        "{\"lsn\":1,\"kind\":\"unknown\",\"reason\":\"the kind of the image is unknown\",\"hex\":"
        "\"0100");
    hf_wal_expect_run(1, "dump", builder.directory, "--format=csv");
    hf_wal_expect(
        "\n1,unknown,,,,,,,,,,,,,the kind of the image is unknown,,,,,,,,,,,,,,,,,,,,,,,,0100");
}

Test(wal_tool, a_dump_ends_where_it_is_told_to)
{
    /* What is behind --to is damaged, and not looked at. */
    hf_wal_build_sound(&builder);
    hf_log_builder_flip(&builder, 1, builder.blocks[2].offset + 300, 1);
    hf_wal_expect_run(1, "dump", builder.directory, "--to=3");
    hf_wal_expect_run(0, "dump", builder.directory, "--to=2");
    hf_wal_expect("lsn=2 ");
}

Test(wal_tool, the_history_of_a_reservation_is_told)
{
    /* All records of one id, in their order; an id that was never used. */
    const char *directory = builder.directory;
    hf_wal_build_story(&builder);
    EXPECT_LSNS(" 4 8", "history", directory, "00000000-0000-7000-0400-000000000000");
    EXPECT_LSNS(" 6 7", "history", directory, "00000000-0000-7000-0300-000000000000", "--from=4");
    hf_wal_expect_run(0, "history", directory, "00000000-0000-7000-0200-000000000000", "--json");
    hf_wal_expect("{\"lsn\":2,\"kind\":\"reservation\",");
    hf_wal_expect("\n{\"lsn\":10,\"kind\":\"reservation\",");
    hf_wal_expect_run(1, "history", directory, "00000000-0000-7000-9900-000000000000");
    hf_wal_expect("holdfast-wal: the log has no record of reservation "
                  "00000000-0000-7000-9900-000000000000\n");
}

Test(wal_tool, info_tells_what_the_log_consists_of_and_how_it_ends)
{
    /* The same log; then with a STOP block; then with a torn one behind. */
    hf_wal_build_sound(&builder);
    hf_wal_expect_run(0, "info", builder.directory);
    hf_wal_expect("log_id: 0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0\nformat: 1\n"
                  "created_at: 2026-01-02T03:04:05.000000006Z\nsegments: 1\nfirst_segment: 1\n"
                  "last_segment: 1\nsegment_bytes: 1048576\nused_bytes: 24576\n"
                  "free_bytes: 1019904\nblocks: 6\nrecords: 8\nfirst_lsn: 1\nlast_lsn: 8\n"
                  "epoch: 2\nstarts: 2\nclean_stops: 1\n"
                  "first_written_at: 2026-01-02T03:04:05.000000006Z\n"
                  "last_written_at: 2026-01-02T03:04:05.000000006Z\nend: no stop");
    char path[HF_DIRECTORY_TEXT_BYTES + 32], text[128];
    struct stat status;
    hf_log_builder_segment_path(&builder, 1, path, sizeof path);
    cr_assert_eq(stat(path, &status), 0);
    snprintf(text, sizeof text,
             "\ntorn_tail: none\ndisk_bytes: %llu\ntemporary_files: 0\nsnapshots: 0\n",
             (unsigned long long)status.st_blocks * 512);
    hf_wal_expect(text);
    hf_log_builder_block(&builder, HF_BLOCK_STOP);
    hf_wal_expect_run(0, "info", builder.directory);
    hf_wal_expect("end: clean stop\n");
    hf_log_builder_poke(&builder, 1, builder.next.offset, "x", 1);
    hf_wal_expect_run(0, "info", builder.directory, "--json");
    hf_wal_expect("\"end\":\"torn tail\",\"torn\":{\"segment\":1,\"offset\":32768,\"bytes\":4096,"
                  "\"blocks\":0,\"in_flight\":false},\"disk_bytes\":");
    hf_wal_expect(",\"temporary_files\":0,\"snapshots\":[],\"archived\":null}\n");
    const struct hf_archived archived = {
        .segment = 3, .snapshot_lsn = 5, .date_ns = HF_BUILDER_MADE_AT};
    cr_assert_eq(hf_archived_write(hf_io_posix(), builder.directory, &archived), 0);
    hf_wal_expect_run(0, "info", builder.directory);
    hf_wal_expect("\narchived: segment=3 snapshot=5 date=2026-01-02T03:04:05.000000006Z\n");
    hf_wal_expect_run(0, "info", builder.directory, "--json");
    hf_wal_expect(",\"archived\":{\"kind\":\"archived\",\"segment\":3,\"snapshot\":5,\"date\":\"");
}

/* ---- the program ------------------------------------------------------------------------ */

Test(wal_tool, bad_usage_is_told_and_exits_with_2)
{
    /* No command, an unknown one, no directory, too many words, unknown options, options of another
     * command, without a value, with a wrong one. */
    const char *directory = builder.directory;
    static const char id[] = "00000000-0000-7000-0400-000000000000";
    const struct {
        const char *words[6];
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
        {{"dump", directory, "--from"}, "--from needs an LSN or a date"},
        {{"dump", directory, "--from", "x"}, "--from needs an LSN or a date, not \"x\""},
        {{"dump", directory, "--to="}, "--to needs an LSN or a date, not \"\""},
        {{"dump", directory, "--inventory=-1"}, "--inventory needs an inventory's number"},
        {{"dump", directory, "--customer=a"}, "--customer needs a customer's number"},
        {{"dump", directory, "--reservation=7"}, "--reservation needs a reservation's id"},
        {{"verify", directory, "--retain", "24"}, "--retain needs a duration such as 15m or 24h"},
        {{"stat", directory}, "unknown command stat; did you mean state?"},
        {{"dump", directory, "--reservations"}, "dump has no option --reservations"},
        {{"dump", directory, "--costumer=1"},
         "unknown option --costumer=1; did you mean --customer?"},
        {{"dump", directory, "--json=yes"}, "--json takes no value"},
        {{"dump", directory, "--format", "xml"}, "--format needs text, jsonl or csv, not \"xml\""},
        {{"dump", directory, "--state=sold"}, "--state needs states such as held,confirmed"},
        {{"state", directory, "--at=x"}, "--at needs an LSN or a date, not \"x\""},
        {{"verify", directory, "--acks="}, "--acks needs a file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(hf_wal_run_words(cases[i].words), 2, "%s", cases[i].told);
        hf_wal_expect(cases[i].told);
        hf_wal_expect("; see holdfast-wal --help\n");
    }
    hf_wal_expect_run(0, "--help");
    hf_wal_expect("usage: holdfast-wal COMMAND DIR [OPTIONS]\n");
    hf_wal_expect("Exit status: 0 all is well;");
    hf_wal_expect_run(0, "--version");
    hf_wal_expect("holdfast-wal ");
}

Test(wal_tool, every_command_has_help)
{
    /* Each, without a directory: how it is used, and its options. */
    static const struct {
        const char *command, *told;
    } cases[] = {
        {"info", "usage: holdfast-wal info DIR [OPTIONS]\n"},
        {"dump", "\n  --from LSN|T          from this record, or date, on\n"},
        {"history", "usage: holdfast-wal history DIR RESERVATION [OPTIONS]\n"},
        {"verify", "\n  --quick               checksums and the chain of blocks only\n"},
        {"state", "\n  --at LSN|T            as it was after this record, or at this date\n"},
        {"hash", "\n  --retain DURATION     how long what is finished belongs to the state"},
        {"export", "\n  --format F            sql, csv or jsonl\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hf_wal_expect_run(0, cases[i].command, "--help");
        hf_wal_expect(cases[i].told);
    }
}

Test(wal_tool, directories_without_a_log_are_told_and_exit_with_1)
{
    /* One that does not exist, one that is a file, and one with nothing in it. */
    hf_wal_expect_run(1, "verify", "/nowhere/at/all");
    hf_wal_expect("holdfast-wal: cannot list /nowhere/at/all: No such file or directory\n");
    hf_wal_expect_run(1, "info", "/etc/passwd");
    hf_wal_expect("Not a directory");
    char path[HF_DIRECTORY_TEXT_BYTES + 32];
    hf_log_builder_segment_path(&builder, 1, path, sizeof(path));
    cr_assert_eq(unlink(path), 0);
    hf_wal_expect_run(1, "dump", builder.directory);
    hf_wal_expect("holds no log");
}
