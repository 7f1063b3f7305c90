/* Names of the log's files. */
#include "wal/file_name.h"

#include <string.h>

#include "base/check.h"
#include "base/digits.h"

void hf_file_name_format(uint64_t number, const char *suffix, char *name)
{
    HF_CHECK(number <= HF_FILE_NUMBER_MAX);
    for (int digit = HF_FILE_NUMBER_DIGITS - 1; digit >= 0; digit--, number /= 10)
        name[digit] = (char)('0' + number % 10);
    memcpy(name + HF_FILE_NUMBER_DIGITS, suffix, strlen(suffix) + 1);
}

bool hf_file_name_parse(const char *name, const char *suffix, uint64_t *number)
{
    uint64_t value = 0;
    for (int digit = 0; digit < HF_FILE_NUMBER_DIGITS; digit++) {
        if (!hf_is_digit(name[digit]))
            return false;
        value = value * 10 + (uint64_t)(name[digit] - '0');
    }
    if (strcmp(name + HF_FILE_NUMBER_DIGITS, suffix) != 0)
        return false;
    *number = value;
    return true;
}
