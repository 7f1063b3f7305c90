/* Numbers as a person writes them: digits alone. Neither locale nor sign nor white space has a say. */
#ifndef HF_BASE_DIGITS_H
#define HF_BASE_DIGITS_H

#include <stdbool.h>
#include <stdint.h>

static inline bool hf_is_digit(char character)
{
    return character >= '0' && character <= '9';
}

/* Moves *text behind the digits that it begins with. False: there are none, or too many. */
static inline bool hf_take_digits(const char **text, uint64_t *number)
{
    uint64_t value = 0;
    if (!hf_is_digit(**text))
        return false;
    for (; hf_is_digit(**text); ++*text) {
        unsigned digit = (unsigned)(**text - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

#endif
