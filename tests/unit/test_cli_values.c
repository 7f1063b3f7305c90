/*
 * The command line client's numbers, durations, dates and states: what is one, and what is nearly
 * one. Whatever is written is read back.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "holdfast/types.h"
#include "tools/values.h"

Test(cli_values, numbers_are_digits_up_to_64_bits)
{
    static const char *const none[] = {
        "", "-1", "+1", " 1", "1 ", "1k", "0x1", "1.0", "18446744073709551616"};
    uint64_t number = 77;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        cr_expect(!hf_cli_number_parse(none[i], &number), "'%s' is a number", none[i]);
    cr_expect(number == 77, "what is none leaves the number alone");
    cr_expect(hf_cli_number_parse("0", &number) && number == 0);
    cr_expect(hf_cli_number_parse("007", &number) && number == 7);
    cr_expect(hf_cli_number_parse("18446744073709551615", &number) && number == UINT64_MAX);
}

static const struct {
    const char *text;
    uint64_t ns;
} durations[] = {
    {"200ms", 200 * HF_NS_PER_MS},
    {"15m", 900 * HF_NS_PER_S},
    {"24h", 86400 * HF_NS_PER_S},
    {"7d", 7 * 86400 * HF_NS_PER_S},
    {"1h30m", 5400 * HF_NS_PER_S},
    {"1d2h3m4s5ms6us7ns", 93784 * HF_NS_PER_S + 5006007},
    {"90m", 5400 * HF_NS_PER_S},
    {"0s", 0},
    {"1ns", 1},
    {"213503d23h34m33s709ms551us615ns", UINT64_MAX},
};

Test(cli_values, durations_are_numbers_with_their_units)
{
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        uint64_t ns = 1;
        cr_expect(hf_duration_parse(durations[i].text, &ns) && ns == durations[i].ns,
                  "%s is %llu ns", durations[i].text, (unsigned long long)ns);
    }
}

/* Half of a duration, two of the same unit, the small before the large: all were slips. */
Test(cli_values, what_is_nearly_a_duration_is_none)
{
    static const char *const none[] = {"",
                                       "15",
                                       "m",
                                       "15 m",
                                       " 15m",
                                       "-15m",
                                       "1.5h",
                                       "15min",
                                       "15M",
                                       "1h30",
                                       "m15",
                                       "1h1h",
                                       "30m1h",
                                       "1ms1s",
                                       "15m ",
                                       "1w",
                                       "1y",
                                       "1h-5m",
                                       "1µs",
                                       "213503d24h",
                                       "213503d23h34m33s709ms551us616ns",
                                       "18446744073709551616ns"};
    uint64_t ns = 77;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        cr_expect(!hf_duration_parse(none[i], &ns), "'%s' is a duration", none[i]);
    cr_expect(ns == 77);
}

/* Whatever is written is read back as the same, in the fewest parts. */
Test(cli_values, durations_are_written_as_they_are_read)
{
    char text[HF_DURATION_TEXT_BYTES];
    uint64_t seed = 20260501, ns;
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t written = seed >> (seed >> 58);
        hf_duration_format(written, text);
        cr_assert(hf_duration_parse(text, &ns) && ns == written, "%llu: %s",
                  (unsigned long long)written, text);
    }
    hf_duration_format(5400 * HF_NS_PER_S, text);
    cr_expect_str_eq(text, "1h30m");
    hf_duration_format(UINT64_MAX, text);
    cr_expect_str_eq(text, "213503d23h34m33s709ms551us615ns");
    hf_duration_format(0, text);
    cr_expect_str_eq(text, "0s");
}

#define NOW_NS 1770000000000000000ull /* 2026-02-02T02:40:00Z */

Test(cli_values, dates_are_rfc_3339_or_relative_to_now)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } dates[] = {
        {"2026-02-02T02:40:00Z", NOW_NS},
        {"2026-02-02t02:40:00z", NOW_NS},
        {"2026-02-02 02:40:00Z", NOW_NS},
        {"2026-02-02T04:40:00+02:00", NOW_NS},
        {"2026-02-01T21:10:00-05:30", NOW_NS},
        {"2026-02-02T02:40:00.5Z", NOW_NS + 500 * HF_NS_PER_MS},
        {"2026-02-02T02:40:00.000000001Z", NOW_NS + 1},
        {"2024-02-29T00:00:00Z", 1709164800 * HF_NS_PER_S},
        {"2000-02-29T23:59:59Z", 951868799 * HF_NS_PER_S},
        {"1970-01-01T00:00:01Z", HF_NS_PER_S},
        {"1969-12-31T23:00:01-01:00", HF_NS_PER_S},
        {"2554-07-21T23:34:33.709551615Z", UINT64_MAX},
        {"now", NOW_NS},
        {"now+15m", NOW_NS + 900 * HF_NS_PER_S},
        {"now-1h30m", NOW_NS - 5400 * HF_NS_PER_S},
    };
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        uint64_t ns = 0;
        cr_expect(hf_cli_date_parse(dates[i].text, NOW_NS, &ns) && ns == dates[i].ns, "%s is %llu",
                  dates[i].text, (unsigned long long)ns);
    }
    cr_expect(hf_cli_date_is_relative("now-1h") &&
              !hf_cli_date_is_relative("2026-02-02T02:40:00Z"));
}

/* Nothing is completed or rounded: a time without its zone would be read as somebody else's. */
Test(cli_values, what_is_nearly_a_date_is_none)
{
    static const char *const none[] = {
        "",
        "none",
        "2026-02-02",
        "2026-02-02T02:40:00",
        "2026-02-02T02:40Z",
        "2026-2-2T02:40:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-00T00:00:00Z",
        "2026-02-02T24:00:00Z",
        "2026-02-02T02:60:00Z",
        "2026-02-02T02:40:60Z",
        "2026-02-02T02:40:00.Z",
        "2026-02-02T02:40:00.0000000001Z",
        "2026-02-02T02:40:00+24:00",
        "2026-02-02T02:40:00+02",
        "2026-02-02T02:40:00ZZ",
        " 2026-02-02T02:40:00Z",
        "1970-01-01T00:00:00Z", /* 0 stands for no date */
        "1969-12-31T23:59:59Z",
        "2554-07-21T23:34:33.709551616Z",
        "9999-01-01T00:00:00Z",
        "now+",
        "now15m",
        "now +15m",
        "nowhere",
        "now-100000d",
        "now+300000d",
    };
    uint64_t ns = 77;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        cr_expect(!hf_cli_date_parse(none[i], NOW_NS, &ns), "'%s' is a date", none[i]);
    cr_expect(ns == 77);
}

/* Every day for six hundred years: what is formatted is read back. */
Test(cli_values, dates_are_read_as_they_are_written)
{
    char text[HF_DATE_TEXT_BYTES];
    for (uint64_t day = 0; day < 213503; day++) {
        uint64_t date_ns = day * 86400 * HF_NS_PER_S + day * 7919 % 86400 * HF_NS_PER_S + day + 1;
        uint64_t read_ns = 0;
        hf_date_format(date_ns, text);
        cr_assert(hf_cli_date_parse(text, NOW_NS, &read_ns) && read_ns == date_ns, "%s", text);
    }
}

Test(cli_values, states_and_switches)
{
    uint32_t states = 0;
    bool on = false;
    cr_expect(hf_cli_states_parse("held,Confirmed", &states) &&
              states == (1u << HF_STATE_HELD | 1u << HF_STATE_CONFIRMED));
    cr_expect(hf_cli_states_parse("WAITING", &states) && states == 1u << HF_STATE_WAITING);
    cr_expect(hf_cli_states_parse("cancelled,released,expired,held,confirmed,waiting", &states) &&
              states == 0x7e);
    static const char *const none[] = {"",    ",",     "held,",          ",held",
                                       "hel", "heldx", "held confirmed", "unknown"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        cr_expect(!hf_cli_states_parse(none[i], &states), "'%s' is a state", none[i]);
    cr_expect(hf_cli_switch_parse("on", &on) && on);
    cr_expect(hf_cli_switch_parse("off", &on) && !on);
    cr_expect(!hf_cli_switch_parse("yes", &on) && !hf_cli_switch_parse("", &on));
}

Test(cli_values, the_distance_counts_corrections)
{
    cr_expect(hf_cli_distance("customer", "customer") == 0);
    cr_expect(hf_cli_distance("custmer", "customer") == 1, "one is missing");
    cr_expect(hf_cli_distance("custoomer", "customer") == 1, "one is too much");
    cr_expect(hf_cli_distance("custimer", "customer") == 1, "one is another");
    cr_expect(hf_cli_distance("cusotmer", "customer") == 1, "two are swapped");
    cr_expect(hf_cli_distance("cust", "customer") == 1, "a beginning");
    cr_expect(hf_cli_distance("", "qty") == 3);
    cr_expect(hf_cli_distance("qty", "") == 3);
    cr_expect(hf_cli_distance("confrim", "confirm") == 1);
    cr_expect(hf_cli_distance("abc", "xyz") == 3);
    char longer[100];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    cr_expect(hf_cli_distance(longer, "x") == UINT32_MAX);
}
