/* Dates as text. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "holdfast/types.h"

static void check_date(uint64_t date_ns, const char *expected)
{
    char text[HF_DATE_TEXT_BYTES];
    hf_date_format(date_ns, text);
    cr_assert_str_eq(text, expected);
}

Test(date, known_dates_are_written_to_the_nanosecond)
{
    /* Dates at the edges: of the epoch, of days, of leap days, of centuries, of 64 bits. */
    check_date(0, "1970-01-01T00:00:00.000000000Z");
    check_date(1, "1970-01-01T00:00:00.000000001Z");
    check_date(86399999999999ull, "1970-01-01T23:59:59.999999999Z");
    check_date(86400000000000ull, "1970-01-02T00:00:00.000000000Z");
    check_date(951782399000000000ull, "2000-02-28T23:59:59.000000000Z");
    check_date(951782400000000000ull, "2000-02-29T00:00:00.000000000Z");
    check_date(951868800000000000ull, "2000-03-01T00:00:00.000000000Z");
    check_date(1767323045000000006ull, "2026-01-02T03:04:05.000000006Z");
    check_date(4107542399999999999ull, "2100-02-28T23:59:59.999999999Z");
    check_date(4107542400000000000ull, "2100-03-01T00:00:00.000000000Z");
    check_date(UINT64_MAX, "2554-07-21T23:34:33.709551615Z");
}

Test(date, every_day_is_the_one_that_the_c_library_counts)
{
    /* One moment of each day that 64 bits can express. */
    for (uint64_t seconds = 43210; seconds <= UINT64_MAX / HF_NS_PER_S; seconds += 86400) {
        time_t date = (time_t)seconds;
        struct tm parts;
        char expected[64];
        cr_assert_not_null(gmtime_r(&date, &parts));
        cr_assert_gt(strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000000Z", &parts),
                     0);
        check_date(seconds * HF_NS_PER_S, expected);
    }
}
