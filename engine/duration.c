/* Durations as a person writes them: see include/holdfast/types.h. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/digits.h"
#include "holdfast/types.h"

static const struct unit {
    const char *text;
    uint64_t ns;
} units[] = {
    {"d", 24 * 3600 * HF_NS_PER_S},
    {"h", 3600 * HF_NS_PER_S},
    {"m", 60 * HF_NS_PER_S},
    {"s", HF_NS_PER_S},
    {"ms", HF_NS_PER_MS},
    {"us", HF_NS_PER_US},
    {"ns", 1},
};
#define UNIT_COUNT (sizeof units / sizeof units[0])

/* The unit whose name is all that stands before the next digit or the end; UNIT_COUNT: none. */
static size_t find_unit(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0' && !hf_is_digit(text[length]))
        length++;
    size_t i = 0;
    while (i < UNIT_COUNT &&
           (strlen(units[i].text) != length || memcmp(units[i].text, text, length) != 0))
        i++;
    return i;
}

bool hf_duration_parse(const char *text, uint64_t *duration_ns)
{
    uint64_t sum_ns = 0;
    size_t first_allowed = 0; /* the larger unit comes first */
    do {
        uint64_t count;
        if (!hf_take_digits(&text, &count))
            return false;
        size_t unit = find_unit(text);
        if (unit < first_allowed || unit == UNIT_COUNT)
            return false;
        if (count > (UINT64_MAX - sum_ns) / units[unit].ns)
            return false;
        sum_ns += count * units[unit].ns;
        text += strlen(units[unit].text);
        first_allowed = unit + 1;
    } while (*text != '\0');
    *duration_ns = sum_ns;
    return true;
}

void hf_duration_format(uint64_t duration_ns, char text[HF_DURATION_TEXT_BYTES])
{
    size_t length = 0;
    if (duration_ns == 0)
        snprintf(text, HF_DURATION_TEXT_BYTES, "0s");
    for (size_t i = 0; i < UNIT_COUNT && duration_ns > 0; i++) {
        uint64_t count = duration_ns / units[i].ns;
        if (count == 0)
            continue;
        length += (size_t)snprintf(text + length, HF_DURATION_TEXT_BYTES - length, "%llu%s",
                                   (unsigned long long)count, units[i].text);
        duration_ns -= count * units[i].ns;
    }
}
