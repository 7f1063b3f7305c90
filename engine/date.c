/*
 * Dates as text: RFC 3339, in UTC, to the nanosecond.
 *
 * Done with integers alone, so that any 64-bit date has an answer (the last is in the year 2554)
 * and neither locale nor time zone has a say. The calendar is counted in eras of 400 years, which
 * all have the same number of days, and in years that begin on the first of March, so that a leap
 * day is the last day of its year.
 */
#include "base/clock.h"
#include "holdfast/types.h"

#define SECONDS_PER_DAY  86400u
#define DAYS_PER_ERA     146097u /* 400 years */
#define DAYS_BEFORE_1970 719468u /* since 0000-03-01 */

struct calendar_day {
    unsigned year, month, day;
};

static struct calendar_day calendar_day(uint64_t days_since_1970)
{
    unsigned days = (unsigned)(days_since_1970 + DAYS_BEFORE_1970);
    unsigned era = days / DAYS_PER_ERA;
    unsigned day_of_era = days % DAYS_PER_ERA;
    /* Every 4 years a leap day, but not every 100, but every 400. */
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    /* From March on, 153 days are five months: 31 30 31 30 31. */
    unsigned months_since_march = (5 * day_of_year + 2) / 153;
    struct calendar_day result;
    result.day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    result.month = months_since_march < 10 ? months_since_march + 3 : months_since_march - 9;
    result.year = era * 400 + year_of_era + (result.month <= 2);
    return result;
}

/* Writes `value` in `width` digits and what follows it; returns where to go on. */
static char *put_digits(char *text, uint64_t value, unsigned width, char after)
{
    for (unsigned place = width; place > 0; place--) {
        text[place - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    text[width] = after;
    return text + width + 1;
}

void hf_date_format(uint64_t date_ns, char text[HF_DATE_TEXT_BYTES])
{
    uint64_t seconds = date_ns / HF_NS_PER_S;
    uint64_t second_of_day = seconds % SECONDS_PER_DAY;
    struct calendar_day day = calendar_day(seconds / SECONDS_PER_DAY);
    text = put_digits(text, day.year, 4, '-');
    text = put_digits(text, day.month, 2, '-');
    text = put_digits(text, day.day, 2, 'T');
    text = put_digits(text, second_of_day / 3600, 2, ':');
    text = put_digits(text, second_of_day / 60 % 60, 2, ':');
    text = put_digits(text, second_of_day % 60, 2, '.');
    text = put_digits(text, date_ns % HF_NS_PER_S, 9, 'Z');
    *text = '\0';
}
