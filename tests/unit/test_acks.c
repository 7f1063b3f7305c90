/* Lists of acknowledgements, and whether a log has what they say. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/log_snapshot.h"
#include "tests/lib/wal_expect.h"
#include "tools/acks.h"
#include "wal/segment_header.h"

#define ID(number) "00000000-0000-7000-" number "-000000000000"

static struct hf_log_builder builder;
static char list[HF_DIRECTORY_TEXT_BYTES + 16];

static void open_builder(void)
{
    hf_log_builder_open(&builder, HF_BUILDER_MIN_BYTES);
    hf_log_builder_path(&builder, "acks", list, sizeof list);
}

static void close_builder(void)
{
    hf_log_builder_close(&builder);
}

/* cppcheck-suppress unknownMacro; a test suite of Criterion */
TestSuite(acks, .init = open_builder, .fini = close_builder);

/* ---- lines ------------------------------------------------------------------------------ */

/* The one acknowledgement that the line is. */
static struct hf_ack ack_of(const char *line)
{
    struct hf_acks acks = {0};
    char error[HF_ACKS_ERROR_BYTES] = "";
    cr_assert(hf_acks_add_line(&acks, line, 5, error), "%s: %s", line, error);
    cr_assert_eq(acks.count, 1, "%s", line);
    struct hf_ack ack = acks.acks[0];
    hf_acks_close(&acks);
    return ack;
}

static void expect_ack(const char *line, unsigned state, uint32_t qty, uint64_t lsn)
{
    struct hf_ack ack = ack_of(line);
    char id[HF_ID_TEXT_BYTES];
    hf_id_format(&ack.id, id);
    cr_expect_str_eq(id, ID("0b00"), "%s", line);
    cr_expect_eq(ack.state, state, "%s", line);
    cr_expect_eq(ack.qty, qty, "%s", line);
    cr_expect_eq(ack.lsn, lsn, "%s", line);
    cr_expect_eq(ack.line, 5, "%s", line);
}

Test(acks, a_line_says_as_much_as_it_likes)
{
    /* An id alone, with more, with things left out, in all ways to separate them; and as the client
     * answers. */
    expect_ack(ID("0b00"), 0, 0, 0);
    expect_ack("  " ID("0B00") "  \r", 0, 0, 0);
    expect_ack(ID("0b00") " CONFIRMED", HF_STATE_CONFIRMED, 0, 0);
    expect_ack(ID("0b00") ",held,2,7", HF_STATE_HELD, 2, 7);
    expect_ack(ID("0b00") " , waiting , 2 , 7 # to be sure", HF_STATE_WAITING, 2, 7);
    expect_ack(ID("0b00") "\texpired\t2\t7", HF_STATE_EXPIRED, 2, 7);
    expect_ack(ID("0b00") ",,,7", 0, 0, 7);
    expect_ack(ID("0b00") " - - 7", 0, 0, 7);
    expect_ack(ID("0b00") ",,2", 0, 2, 0);
    expect_ack("{\"result\":\"OK\",\"reservation_id\":\"" ID(
                   "0b00") "\",\"qty\":2,\"status\":"
                           "\"CONFIRMED\",\"lsn\":7,\"deadline\":null}",
               HF_STATE_CONFIRMED, 2, 7);
}

Test(acks, a_line_may_say_nothing)
{
    /* Empty, a comment, a header, and answers that acknowledge nothing. */
    static const char *const lines[] = {
        "",
        "   ",
        "# " ID("0b00"),
        "reservation_id,status,qty,lsn",
        "{\"result\":\"SOLD_OUT\",\"available\":0}",
        "{\"result\":\"OUTCOME_UNKNOWN\",\"reservation_id\":\"" ID("0b00") "\"}",
        "{\"inventory_id\":7,\"lsn\":3}"};
    struct hf_acks acks = {0};
    char error[HF_ACKS_ERROR_BYTES];
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect(hf_acks_add_line(&acks, lines[i], 1, error), "%s: %s", lines[i], error);
    cr_expect_eq(acks.count, 0);
    hf_acks_close(&acks);
}

Test(acks, a_line_that_is_wrong_is_told)
{
    /* No id, no state, no quantity, no LSN, too much, broken JSON. */
    static const struct {
        const char *line, *told;
    } cases[] = {
        {"42", "line 3: \"42\" is no reservation's id"},
        {"00000000-0000-0000-0000-000000000000", "is no reservation's id"},
        {ID("0b00") "x", "is no reservation's id"},
        {ID("0b00") " SOLD", "line 3: \"SOLD\" is no status"},
        {ID("0b00") " held,released 1", "is no quantity"},
        {ID("0b00") " held 0", "line 3: \"0\" is no quantity"},
        {ID("0b00") " held 536870912", "is no quantity"},
        {ID("0b00") " held 1 0", "line 3: \"0\" is no LSN"},
        {ID("0b00") " held 1 x", "is no LSN"},
        {ID("0b00") " held 1 2 3", "line 3: there are more than 4 columns"},
        {"{\"reservation_id\":", "line 3: begins like a JSON object, but is none"},
        {"{\"reservation_id\":\"x\",\"lsn\":3}", "is no reservation's id"},
        {ID("0b00") "000000000000000000000000000000000000000000000000000000000000000000",
         "\"?\" is no reservation's id"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hf_acks acks = {0};
        char error[HF_ACKS_ERROR_BYTES] = "";
        cr_expect_not(hf_acks_add_line(&acks, cases[i].line, 3, error), "%s", cases[i].line);
        cr_expect_not_null(strstr(error, cases[i].told), "'%s' is not in '%s'", cases[i].told,
                           error);
        hf_acks_close(&acks);
    }
}

#define ID_2 ID("0200")
#define ID_3 ID("0300")
#define ID_4 ID("0400")
#define ID_5 ID("0500")

/* ---- in a log --------------------------------------------------------------------------- */

static void write_list(const char *text)
{
    FILE *file = fopen(list, "w");
    cr_assert(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

Test(acks, what_was_acknowledged_is_found_in_a_log)
{
    /* The story: 1 was held (LSN 2) and expired (10), 2 changed hands (3, 6, 7), 3 waited (4) and
     * has an offer (8): whatever it said at some time is there. */
    hf_wal_build_story(&builder);
    write_list("reservation_id,status,qty,lsn\n" ID_2 ",HELD,2,2\n" ID_2 ",EXPIRED\n" ID_3
               ",CONFIRMED,1,3\n" ID_3 ",CONFIRMED,,6\n" ID_3 ",CANCELLED,1,7\n" ID_4
               ",WAITING\n" ID_4 ",HELD,1,8\n" ID_5 "\n");
    hf_wal_expect_run(0, "verify", builder.directory, "--acks", list);
    hf_wal_expect("\nacks: 8\nmissing_acks: 0\nunprovable_acks: 0\n");
    hf_wal_expect("\nverify: ok\n");
    hf_wal_expect_run(0, "verify", builder.directory, "--acks", list, "--quick");
    hf_wal_expect("\nacks: 8\nmissing_acks: 0\n");
}

Test(acks, what_is_not_in_the_log_is_told)
{
    /* An id that is unknown; a state that it never had; other units; another LSN; the LSN of
     * another record. One of them is right. */
    hf_wal_build_story(&builder);
    write_list(ID("9900") "\n" ID("0200") " CONFIRMED\n" ID("0200") " HELD 2\n" ID(
        "0300") " CONFIRMED 2\n" ID("0300") " CONFIRMED 1 4\n" ID("0300") " CANCELLED 1 3\n");
    hf_wal_expect_run(1, "verify", builder.directory, "--acks", list);
    hf_wal_expect(
        "\nacks: 6\nmissing_acks: 5\nunprovable_acks: 0\n"
        "missing_ack: line=1 reservation_id=" ID(
            "9900") "\n"
                    "missing_ack: line=2 reservation_id=" ID(
                        "0200") " status=CONFIRMED\n"
                                "missing_ack: line=4 reservation_id=" ID(
                                    "0300") " status=CONFIRMED qty=2\n"
                                            "missing_ack: line=5 reservation_id=" ID(
                                                "0300") " status=CONFIRMED qty=1 lsn=4\n"
                                                        "missing_ack: line=6 reservation_id=" ID(
                                                            "0300") " status=CANCELLED qty=1 "
                                                                    "lsn=3\n");
    hf_wal_expect("verify: FAILED\n");
    hf_wal_expect_run(1, "verify", builder.directory, "--acks", list, "--json");
    hf_wal_expect("\"acks\":{\"count\":6,\"missing_count\":5,\"unprovable_count\":0,\"missing\":["
                  "{\"line\":1,\"reservation_id\":\"" ID(
                      "9900") "\",\"status\":null,\"qty\":null,\"lsn\":null},{\"line\":2,");
    hf_wal_expect(",\"unprovable\":[]},\"fault\":null,\"verify\":\"failed\"}\n");
}

Test(acks, a_list_that_cannot_be_read_is_told)
{
    /* There is none; a wrong line; a zero byte. */
    hf_wal_build_story(&builder);
    hf_wal_expect_run(1, "verify", builder.directory, "--acks", list);
    hf_wal_expect("holdfast-wal: --acks: cannot open ");
    write_list(ID("0200") "\nx\n");
    hf_wal_expect_run(1, "verify", builder.directory, "--acks", list);
    hf_wal_expect("acks: line 2: \"x\" is no reservation's id\n");
    int file = open(list, O_WRONLY | O_TRUNC);
    cr_assert(file >= 0 && write(file, "a\0b\n", 4) == 4);
    close(file);
    hf_wal_expect_run(1, "verify", builder.directory, "--acks", list);
    hf_wal_expect("line 1: there is a zero byte in it\n");
}

Test(acks, what_was_before_the_log_begins_must_have_become_what_the_snapshot_holds)
{
    /* 10 was confirmed (LSN 3), then cancelled; 11 is held (5); 12 is confirmed (6). What the
     * snapshot holds is found, and what can have become of it; what cannot is missing; of an LSN
     * before the log, about an id that is nowhere, or that must have been used again, nobody can
     * say. */
    struct hf_reservation held = hf_builder_reservation(11, 1, 1, HF_STATE_HELD);
    struct hf_image_notes as_held = {.inventory_version = 4, .made_as = HF_STATE_HELD};
    char path[HF_DIRECTORY_TEXT_BYTES + 32];
    hf_log_builder_block(&builder, HF_BLOCK_START);
    hf_log_builder_inventory(&builder, 1, 5);
    hf_log_builder_inventory(&builder, 2, 5);
    hf_log_builder_reservation(&builder, 10, 1, 1, 2);
    hf_log_builder_reservation(&builder, 10, 1, 1, 0);
    hf_log_builder_image(&builder, &held, &as_held);
    hf_log_builder_reservation(&builder, 12, 1, 1, 5);
    hf_log_builder_block(&builder, 0);
    hf_log_builder_fill(&builder, 0);
    uint64_t end = builder.next.first_lsn - 1;
    hf_log_builder_reservation(&builder, 13, 1, 1, 6);
    hf_log_builder_block(&builder, 0);
    hf_log_snapshot_make(&builder, end, 2);
    hf_log_builder_segment_path(&builder, 1, path, sizeof path);
    cr_assert_eq(unlink(path), 0);

    write_list(ID("0b00") " CONFIRMED 1 3\n" ID("0b00") " CANCELLED\n" ID("0c00") " HELD 1 5\n" ID(
        "0c00") "\n" ID("0d00") " CONFIRMED 1 6\n" ID("0e00") " CONFIRMED 1\n");
    hf_wal_expect_run(0, "verify", builder.directory, "--acks", list);
    hf_wal_expect("\nacks: 6\nmissing_acks: 0\nunprovable_acks: 0\n");
    hf_wal_expect_run(0, "verify", builder.directory, "--acks", list, "--quick");
    hf_wal_expect("\nacks: 6\nmissing_acks: 0\nunprovable_acks: 0\n");

    write_list(ID("0b00") " RELEASED\n" ID("0d00") " WAITING 1 7\n" ID("0d00") " HELD 1 7\n" ID(
        "9900") "\n" ID("9900") " CONFIRMED 1 3\n" ID("0d00") " CANCELLED\n");
    hf_wal_expect_run(1, "verify", builder.directory, "--acks", list);
    hf_wal_expect("\nmissing_acks: 5\nunprovable_acks: 1\n");
    hf_wal_expect("missing_ack: line=1 ");
    hf_wal_expect("missing_ack: line=2 ");
    hf_wal_expect("missing_ack: line=3 ");
    hf_wal_expect("missing_ack: line=4 ");
    hf_wal_expect(
        "unprovable_ack: line=5 reservation_id=" ID("9900") " status=CONFIRMED qty=1 lsn=3\n");
    hf_wal_expect("missing_ack: line=6 ");

    write_list(ID("0d00") " CANCELLED 1 4\n");
    hf_wal_expect_run(0, "verify", builder.directory, "--acks", list);
    hf_wal_expect("unprovable_ack: line=1 ");
}
