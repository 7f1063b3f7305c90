/* Moments; see moment.h. */
#include "tools/moment.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/digits.h"
#include "holdfast/types.h"
#include "tools/values.h"
#include "wal/record.h"

#define AT_CHANGED_AT 56 /* in a record of any kind */

/* "1767323045.5": seconds, and up to nine digits of a fraction. */
static bool parse_seconds(const char *text, uint64_t *date_ns)
{
    uint64_t seconds, fraction_ns = 0, place_ns = HF_NS_PER_S;
    if (!hf_take_digits(&text, &seconds) || seconds > UINT64_MAX / HF_NS_PER_S - 1)
        return false;
    if (*text == '.') {
        if (!hf_is_digit(*++text))
            return false;
        for (; hf_is_digit(*text) && place_ns > 1; text++) {
            place_ns /= 10;
            fraction_ns += (unsigned)(*text - '0') * place_ns;
        }
    }
    *date_ns = seconds * HF_NS_PER_S + fraction_ns;
    return *text == '\0';
}

bool hf_moment_parse(const char *text, uint64_t now_ns, struct hf_moment *moment)
{
    uint64_t value;
    if (hf_cli_number_parse(text, &value)) {
        *moment = (struct hf_moment){HF_MOMENT_LSN, value};
        return true;
    }
    if (!(*text == '@' ? parse_seconds(text + 1, &value) : hf_cli_date_parse(text, now_ns, &value)))
        return false;
    *moment = (struct hf_moment){HF_MOMENT_DATE, value};
    return true;
}

static const uint8_t *record_at(const uint8_t *records, uint32_t index)
{
    return records + (size_t)index * HF_RECORD_BYTES;
}

/* How many records have an LSN, or a date, of `value` at most, up to the first that has not. */
static uint32_t count_up_to(const struct hf_moment *moment, uint64_t value, const uint8_t *records,
                            uint32_t count)
{
    size_t offset = moment->by == HF_MOMENT_LSN ? 0 : AT_CHANGED_AT;
    uint32_t index = 0;
    while (index < count && hf_get_u64(record_at(records, index) + offset) <= value)
        index++;
    return index;
}

uint32_t hf_moment_count_to(const struct hf_moment *moment, const uint8_t *records, uint32_t count)
{
    return moment->by == HF_MOMENT_END ? count : count_up_to(moment, moment->value, records, count);
}

uint32_t hf_moment_count_before(const struct hf_moment *moment, const uint8_t *records,
                                uint32_t count)
{
    return moment->by == HF_MOMENT_END || moment->value == 0
               ? 0
               : count_up_to(moment, moment->value - 1, records, count);
}

uint32_t hf_moment_whole_chains(const uint8_t *records, uint32_t count)
{
    if (count == 0)
        return 0;
    const uint8_t *last = record_at(records, count - 1);
    uint32_t place = last[HF_RECORD_CHAIN_INDEX] + 1u;
    if (place >= last[HF_RECORD_CHAIN_LENGTH] || place > count)
        return count;
    return count - place;
}

const char *hf_moment_format(const struct hf_moment *moment, char text[HF_MOMENT_TEXT_BYTES])
{
    switch (moment->by) {
    case HF_MOMENT_END:
        snprintf(text, HF_MOMENT_TEXT_BYTES, "the end of the log");
        break;
    case HF_MOMENT_LSN:
        snprintf(text, HF_MOMENT_TEXT_BYTES, "LSN %" PRIu64, moment->value);
        break;
    case HF_MOMENT_DATE:
        hf_date_format(moment->value, text);
        break;
    }
    return text;
}
