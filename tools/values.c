/* Numbers, durations, dates and states as text. See values.h. */
#include "tools/values.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/digits.h"
#include "holdfast/types.h"

#define LONGEST_COMPARED 63
#define HIGHEST_STATE    HF_STATE_WAITING

/* ---- numbers ---------------------------------------------------------------------------- */

bool hf_cli_number_parse(const char *text, uint64_t *number)
{
    uint64_t value;
    if (!hf_take_digits(&text, &value) || *text != '\0')
        return false;
    *number = value;
    return true;
}

/* ---- dates ------------------------------------------------------------------------------ */

#define SECONDS_PER_DAY  86400
#define DAYS_PER_ERA     146097 /* 400 years */
#define DAYS_BEFORE_1970 719468 /* since 0000-03-01 */

/* A date and a time of day as written, before they are held against the calendar. */
struct calendar {
    unsigned year, month, day, hour, minute, second;
    uint64_t fraction_ns;
    int offset_minutes; /* east of UTC */
};

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Years are counted from the first of March here, so that a leap day is the last of its year. */
static int64_t days_since_1970(unsigned year, unsigned month, unsigned day)
{
    unsigned march_year = month > 2 ? year : year - 1;
    unsigned months_since_march = month > 2 ? month - 3 : month + 9;
    unsigned era = march_year / 400, year_of_era = march_year % 400;
    unsigned day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * DAYS_PER_ERA + day_of_era - DAYS_BEFORE_1970;
}

/* Exactly `width` digits, then the character `after` ('\0': whatever comes). */
static bool take_part(const char **text, unsigned width, char after, unsigned *part)
{
    unsigned value = 0;
    for (unsigned i = 0; i < width; i++) {
        if (!hf_is_digit(**text))
            return false;
        value = value * 10 + (unsigned)(*(*text)++ - '0');
    }
    *part = value;
    if (after == '\0')
        return true;
    return *(*text)++ == after;
}

/* ".5", to the nanosecond: more digits than nine would have to be dropped. */
static bool take_fraction(const char **text, uint64_t *fraction_ns)
{
    uint64_t value_ns = 0, place_ns = HF_NS_PER_S;
    *fraction_ns = 0;
    if (**text != '.')
        return true;
    if (!hf_is_digit(*++*text))
        return false;
    for (; hf_is_digit(**text); ++*text) {
        place_ns /= 10;
        if (place_ns == 0)
            return false;
        value_ns += (unsigned)(**text - '0') * place_ns;
    }
    *fraction_ns = value_ns;
    return true;
}

/* "Z" or "+02:00", and the end. */
static bool take_offset(const char *text, int *offset_minutes)
{
    unsigned hours, minutes;
    *offset_minutes = 0;
    if (*text == 'Z' || *text == 'z')
        return text[1] == '\0';
    if (*text != '+' && *text != '-')
        return false;
    bool west = *text++ == '-';
    if (!take_part(&text, 2, ':', &hours) || !take_part(&text, 2, '\0', &minutes) || hours > 23 ||
        minutes > 59 || *text != '\0')
        return false;
    *offset_minutes = (int)(hours * 60 + minutes) * (west ? -1 : 1);
    return true;
}

static bool take_calendar(const char *text, struct calendar *calendar)
{
    if (!take_part(&text, 4, '-', &calendar->year) || !take_part(&text, 2, '-', &calendar->month) ||
        !take_part(&text, 2, '\0', &calendar->day))
        return false;
    if (*text != 'T' && *text != 't' && *text != ' ') /* RFC 3339, 5.6 */
        return false;
    text++;
    return take_part(&text, 2, ':', &calendar->hour) &&
           take_part(&text, 2, ':', &calendar->minute) &&
           take_part(&text, 2, '\0', &calendar->second) &&
           take_fraction(&text, &calendar->fraction_ns) &&
           take_offset(text, &calendar->offset_minutes);
}

/* A leap second is none: dates are counted without them. */
static bool is_in_calendar(const struct calendar *calendar)
{
    return calendar->year >= 1 && calendar->month >= 1 && calendar->month <= 12 &&
           calendar->day >= 1 && calendar->day <= days_in_month(calendar->year, calendar->month) &&
           calendar->hour <= 23 && calendar->minute <= 59 && calendar->second <= 59;
}

static bool parse_absolute(const char *text, uint64_t *date_ns)
{
    struct calendar calendar;
    if (!take_calendar(text, &calendar) || !is_in_calendar(&calendar))
        return false;
    int64_t days = days_since_1970(calendar.year, calendar.month, calendar.day);
    int64_t seconds = days * SECONDS_PER_DAY + calendar.hour * 3600 +
                      ((int64_t)calendar.minute - calendar.offset_minutes) * 60 + calendar.second;
    if (seconds < 0 || (uint64_t)seconds > (UINT64_MAX - calendar.fraction_ns) / HF_NS_PER_S)
        return false;
    *date_ns = (uint64_t)seconds * HF_NS_PER_S + calendar.fraction_ns;
    return true;
}

bool hf_cli_date_is_relative(const char *text)
{
    return strncmp(text, "now", 3) == 0;
}

static bool parse_relative(const char *text, uint64_t now_ns, uint64_t *date_ns)
{
    uint64_t distance_ns = 0;
    text += strlen("now");
    char sign = *text;
    if (sign != '\0' &&
        ((sign != '+' && sign != '-') || !hf_duration_parse(text + 1, &distance_ns)))
        return false;
    if (sign == '-' ? distance_ns > now_ns : distance_ns > UINT64_MAX - now_ns)
        return false;
    *date_ns = sign == '-' ? now_ns - distance_ns : now_ns + distance_ns;
    return true;
}

bool hf_cli_date_parse(const char *text, uint64_t now_ns, uint64_t *date_ns)
{
    uint64_t value_ns;
    if (!(hf_cli_date_is_relative(text) ? parse_relative(text, now_ns, &value_ns)
                                        : parse_absolute(text, &value_ns)) ||
        value_ns == 0)
        return false;
    *date_ns = value_ns;
    return true;
}

/* ---- states and switches ---------------------------------------------------------------- */

/* The bit of the state that the first `length` characters name; 0: none. */
static uint32_t state_bit(const char *text, size_t length)
{
    for (unsigned state = HF_STATE_HELD; state <= HIGHEST_STATE; state++) {
        const char *name = hf_state_name(state);
        if (strlen(name) == length && strncasecmp(name, text, length) == 0)
            return 1u << state;
    }
    return 0;
}

bool hf_cli_states_parse(const char *text, uint32_t *states)
{
    uint32_t bits = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        uint32_t bit = state_bit(text, length);
        if (bit == 0)
            return false;
        bits |= bit;
        if (text[length] == '\0')
            break;
        text += length + 1;
    }
    *states = bits;
    return true;
}

bool hf_cli_switch_parse(const char *text, bool *on)
{
    bool is_on = strcmp(text, "on") == 0;
    if (!is_on && strcmp(text, "off") != 0)
        return false;
    *on = is_on;
    return true;
}

/* ---- what was meant --------------------------------------------------------------------- */

static unsigned least(unsigned left, unsigned right)
{
    return left < right ? left : right;
}

/*
 * Three rows of the table of Wagner and Fischer, with Damerau's swap of neighbours: row i tells
 * what it costs to make the first j characters of `meant` out of the first i of `typed`.
 */
unsigned hf_cli_distance(const char *typed, const char *meant)
{
    unsigned rows[3][LONGEST_COMPARED + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    size_t typed_length = strlen(typed), meant_length = strlen(meant);
    if (typed_length > LONGEST_COMPARED || meant_length > LONGEST_COMPARED)
        return UINT32_MAX;
    for (unsigned j = 0; j <= meant_length; j++)
        before[j] = above[j] = j;
    for (unsigned i = 1; i <= typed_length; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= meant_length; j++) {
            unsigned other = typed[i - 1] != meant[j - 1];
            row[j] = least(above[j - 1] + other, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && typed[i - 1] == meant[j - 2] && typed[i - 2] == meant[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    unsigned distance = above[meant_length];
    return typed_length > 0 && typed_length < meant_length &&
                   memcmp(typed, meant, typed_length) == 0
               ? 1
               : distance;
}

unsigned hf_cli_distance_limit(const char *typed)
{
    return (unsigned)(strlen(typed) / 3) + 1;
}

struct hf_cli_guess hf_cli_guess_begin(const char *typed)
{
    return (struct hf_cli_guess){.typed = typed, .least = hf_cli_distance_limit(typed) + 1};
}

void hf_cli_guess_weigh(struct hf_cli_guess *guess, const char *name)
{
    unsigned distance = hf_cli_distance(guess->typed, name);
    if (distance >= guess->least)
        return;
    guess->least = distance;
    guess->closest = name;
}
