/* Moments in a log, as a person names them; rows of values; members of JSON lines. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tools/json.h"
#include "tools/json_line.h"
#include "tools/moment.h"
#include "tools/row.h"
#include "wal/record.h"

#define NOW_NS 1795341600500000000ull /* 2026-11-22T10:00:00.5Z */

static void expect_moment(const char *text, int by, uint64_t value)
{
    struct hf_moment moment = {HF_MOMENT_END, 0};
    cr_assert(hf_moment_parse(text, NOW_NS, &moment), "%s", text);
    cr_expect_eq((int)moment.by, by, "%s", text);
    cr_expect_eq(moment.value, value, "%s: %llu", text, (unsigned long long)moment.value);
}

Test(moment, an_lsn_or_a_date_is_one)
{
    /* Digits; seconds since 1970, with and without a fraction; RFC 3339; relative to a clock. */
    expect_moment("0", HF_MOMENT_LSN, 0);
    expect_moment("42", HF_MOMENT_LSN, 42);
    expect_moment("18446744073709551615", HF_MOMENT_LSN, UINT64_MAX);
    expect_moment("@1795341600", HF_MOMENT_DATE, NOW_NS - 500000000);
    expect_moment("@1795341600.5", HF_MOMENT_DATE, NOW_NS);
    expect_moment("@0.000000001", HF_MOMENT_DATE, 1);
    expect_moment("2026-11-22T10:00:00.5Z", HF_MOMENT_DATE, NOW_NS);
    expect_moment("2026-11-22T12:00:00+02:00", HF_MOMENT_DATE, NOW_NS - 500000000);
    expect_moment("now-1h", HF_MOMENT_DATE, NOW_NS - 3600000000000);
}

Test(moment, anything_else_is_none)
{
    /* Nothing, signs, spaces, words, too much, too many digits of a fraction. */
    static const char *const texts[] = {"",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "x",
                                        "1x",
                                        "@",
                                        "@1.",
                                        "@-1",
                                        "@1.5x",
                                        "@1.0000000001",
                                        "18446744073709551616",
                                        "@18446744073709551615",
                                        "2026-11-22",
                                        "2026-13-01T00:00:00Z",
                                        "yesterday",
                                        "@.5"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct hf_moment moment;
        cr_expect_not(hf_moment_parse(texts[i], NOW_NS, &moment), "\"%s\"", texts[i]);
    }
}

#define RECORDS 8u

/* LSNs 11 to 18, with these dates. */
static void make_records(uint8_t *records, const uint64_t dates_ns[RECORDS])
{
    memset(records, 0, (size_t)RECORDS * HF_RECORD_BYTES);
    for (uint32_t i = 0; i < RECORDS; i++) {
        hf_put_u64(records + (size_t)i * HF_RECORD_BYTES, 11 + i);
        hf_put_u64(records + (size_t)i * HF_RECORD_BYTES + 56, dates_ns[i]);
    }
}

Test(moment, a_log_is_divided_in_two_at_any_moment)
{
    /* Dates that go back twice. What is up to a moment, and what is from the next one on, is
     * all. */
    uint8_t records[RECORDS * HF_RECORD_BYTES];
    make_records(records, (const uint64_t[RECORDS]){100, 102, 101, 105, 105, 104, 103, 110});
    const struct {
        struct hf_moment moment;
        uint32_t count;
    } cases[] = {
        {{HF_MOMENT_LSN, 0}, 0},
        {{HF_MOMENT_LSN, 10}, 0},
        {{HF_MOMENT_LSN, 11}, 1},
        {{HF_MOMENT_LSN, 17}, 7},
        {{HF_MOMENT_LSN, 18}, 8},
        {{HF_MOMENT_LSN, 99}, 8},
        {{HF_MOMENT_DATE, 99}, 0},
        {{HF_MOMENT_DATE, 100}, 1},
        {{HF_MOMENT_DATE, 101}, 1},
        {{HF_MOMENT_DATE, 102}, 3},
        {{HF_MOMENT_DATE, 104}, 3},
        {{HF_MOMENT_DATE, 105}, 7},
        {{HF_MOMENT_DATE, 109}, 7},
        {{HF_MOMENT_DATE, 110}, 8},
        {{HF_MOMENT_DATE, UINT64_MAX - 1}, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hf_moment next = cases[i].moment;
        next.value++;
        cr_expect_eq(hf_moment_count_to(&cases[i].moment, records, RECORDS), cases[i].count,
                     "case %zu", i);
        cr_expect_eq(hf_moment_count_before(&next, records, RECORDS), cases[i].count, "case %zu",
                     i);
    }
    const struct hf_moment end = {HF_MOMENT_END, 0}, first = {HF_MOMENT_LSN, 0};
    cr_expect_eq(hf_moment_count_to(&end, records, RECORDS), RECORDS);
    cr_expect_eq(hf_moment_count_before(&end, records, RECORDS), 0);
    cr_expect_eq(hf_moment_count_before(&first, records, RECORDS), 0);
}

Test(moment, half_a_chain_is_none)
{
    /* A chain of three among records that are in none; the last of a chain is the last record. */
    uint8_t records[RECORDS * HF_RECORD_BYTES];
    make_records(records, (const uint64_t[RECORDS]){0});
    for (uint8_t place = 0; place < 3; place++) {
        records[(size_t)(2 + place) * HF_RECORD_BYTES + HF_RECORD_CHAIN_INDEX] = place;
        records[(size_t)(2 + place) * HF_RECORD_BYTES + HF_RECORD_CHAIN_LENGTH] = 3;
    }
    static const uint32_t whole[RECORDS + 1] = {0, 1, 2, 2, 2, 5, 6, 7, 8};
    for (uint32_t count = 0; count <= RECORDS; count++)
        cr_expect_eq(hf_moment_whole_chains(records, count), whole[count], "%u", count);
}

/* ---- rows ------------------------------------------------------------------------------- */

static char *told;
static size_t told_bytes;

/* The same row in one format. */
static const char *row_as(enum hf_row_format format)
{
    static const struct hf_id none;
    struct hf_id id = {{1, 2, 3}};
    struct hf_rows rows;
    free(told);
    FILE *out = open_memstream(&told, &told_bytes);
    hf_rows_open(&rows, out, format, "n,s,t,u,i,j,d,e,r,l,m,f,g");
    hf_row_begin(&rows, "thing");
    hf_row_number(&rows, "n", UINT64_MAX);
    hf_row_signed(&rows, "s", INT64_MIN);
    hf_row_text(&rows, "t", "a \"b\", c");
    hf_row_text(&rows, "u", NULL);
    hf_row_id(&rows, "i", &id);
    hf_row_id(&rows, "j", &none);
    hf_row_date(&rows, "d", NOW_NS);
    hf_row_date(&rows, "e", 0);
    hf_row_duration(&rows, "r", 5400000000000);
    hf_row_limit(&rows, "l", 7);
    hf_row_limit(&rows, "m", 0);
    hf_row_flag(&rows, "f", true);
    hf_row_flag(&rows, "g", false);
    hf_row_end(&rows);
    fclose(out);
    return told;
}

Test(rows, one_row_is_told_in_three_ways)
{
    /* Numbers at their ends, a text that has to be quoted, values that are not there. */
    cr_expect_str_eq(
        row_as(HF_ROWS_TEXT),
        "thing n=18446744073709551615 s=-9223372036854775808 t=\"a \\u0022b\\u0022, c\" "
        "i=01020300-0000-0000-0000-000000000000 d=2026-11-22T10:00:00.500000000Z "
        "r=1h30m l=7 f=yes\n");
    cr_expect_str_eq(row_as(HF_ROWS_JSONL),
                     "{\"kind\":\"thing\",\"n\":18446744073709551615,\"s\":-9223372036854775808,"
                     "\"t\":\"a \\u0022b\\u0022, c\",\"u\":null,"
                     "\"i\":\"01020300-0000-0000-0000-000000000000\",\"j\":null,"
                     "\"d\":\"2026-11-22T10:00:00.500000000Z\",\"e\":null,\"r\":\"1h30m\",\"l\":7,"
                     "\"m\":null,\"f\":true,\"g\":false}\n");
    cr_expect_str_eq(row_as(HF_ROWS_CSV),
                     "n,s,t,u,i,j,d,e,r,l,m,f,g\n18446744073709551615,-9223372036854775808,"
                     "\"a \"\"b\"\", c\",,01020300-0000-0000-0000-000000000000,,"
                     "2026-11-22T10:00:00.500000000Z,,1h30m,7,,true,false\n");
}

static const char *json_of(const char *text)
{
    free(told);
    FILE *out = open_memstream(&told, &told_bytes);
    hf_json_text(out, text);
    fclose(out);
    return told;
}

Test(rows, a_json_text_is_utf_8_whatever_it_was)
{
    /* Characters of one to four bytes; ends of characters, beginnings without an end, overlong
     * forms, surrogates, what is beyond Unicode. */
    cr_expect_str_eq(json_of("a\x01\x7f\\/"), "\"a\\u0001\\u007f\\u005c/\"");
    cr_expect_str_eq(json_of("\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xab"),
                     "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xab\"");
    cr_expect_str_eq(json_of("\x80x\xc3"), "\"\\ufffdx\\ufffd\"");
    cr_expect_str_eq(json_of("\xc0\xaf"), "\"\\ufffd\\ufffd\"");
    cr_expect_str_eq(json_of("\xe0\x9f\xbf"), "\"\\ufffd\\ufffd\\ufffd\"");
    cr_expect_str_eq(json_of("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
    cr_expect_str_eq(json_of("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    cr_expect_str_eq(json_of("\xf0\x8f\xbf\xbf"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    cr_expect_str_eq(json_of("\xf5\x80"), "\"\\ufffd\\ufffd\"");
}

/* ---- members of JSON lines -------------------------------------------------------------- */

static const char *const names[] = {"id", "n"};
static char values[2][8];

static bool read_line(const char *line)
{
    return hf_json_line_read(line, names, 2, sizeof values[0], values[0]);
}

Test(json_line, members_are_found_among_others)
{
    /* Strings and numbers; objects, arrays and words beside them, also with the same names
     * inside. */
    cr_assert(
        read_line("{\"n\":-1.5e3,\"x\":{\"id\":\"no\",\"a\":[1,{\"n\":2},[]]},\"id\":\"abc\"}"));
    cr_expect_str_eq(values[0], "abc");
    cr_expect_str_eq(values[1], "-1.5e3");
    cr_assert(read_line(" { \"y\" : [ ] , \"n\" : 7 , \"z\" : { } , \"id\" : null }\r"));
    cr_expect_str_eq(values[0], "");
    cr_expect_str_eq(values[1], "7");
    cr_assert(read_line("{}"));
    cr_expect_str_eq(values[1], "");
    cr_assert(read_line("{\"id\":\"too long for it\",\"n\":true}"));
    cr_expect_str_eq(values[0], "");
    cr_expect_str_eq(values[1], "");
    cr_assert(read_line("{\"q\":\"a\\\"b\\\\\",\"id\":\"\\u0041\"}"));
    cr_expect_str_eq(values[0], "\\u0041");
}

Test(json_line, what_is_no_object_is_refused)
{
    /* Other values, ends that are missing or too many, commas, numbers and words that are none. */
    static const char *const lines[] = {"",
                                        "[]",
                                        "\"a\"",
                                        "{",
                                        "{}}",
                                        "{} x",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{\"a\":1,}",
                                        "{,}",
                                        "{\"a\":01x}",
                                        "{\"a\":-}",
                                        "{\"a\":1.}",
                                        "{\"a\":1e}",
                                        "{\"a\":nul}",
                                        "{\"a\":[1}",
                                        "{\"a\":[1,]}",
                                        "{\"a\":\"b}",
                                        "{\"a\":\"\\",
                                        "{\"a\" 1}",
                                        "{a:1}",
                                        "{\"a\":{\"b\":1}",
                                        "{\"a\":1 \"b\":2}",
                                        "{\"a\":\"\n\"}"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect_not(read_line(lines[i]), "%s", lines[i]);
    char deep[400] = "{\"a\":";
    memset(deep + strlen(deep), '[', 300);
    cr_expect_not(read_line(deep));
}
