/* JSON lines; see json_line.h. A reader that goes over the line once, and keeps nothing. */
#include "tools/json_line.h"

#include <stdio.h>
#include <string.h>

#include "base/digits.h"

#define MAX_DEPTH 64

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Behind the string that begins here. NULL: none does. */
static const char *skip_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < ' ' || (*at == '\\' && *++at == '\0'))
            return NULL;
    }
    return at + 1;
}

static const char *skip_digits(const char *at)
{
    if (!hf_is_digit(*at))
        return NULL;
    while (hf_is_digit(*at))
        at++;
    return at;
}

static const char *skip_number(const char *at)
{
    at = skip_digits(at + (*at == '-'));
    if (at != NULL && *at == '.')
        at = skip_digits(at + 1);
    if (at != NULL && (*at == 'e' || *at == 'E'))
        at = skip_digits(at + 1 + (at[1] == '+' || at[1] == '-'));
    return at;
}

static const char *skip_word(const char *at)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strncmp(at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    }
    return NULL;
}

static const char *skip_value(const char *at, unsigned depth);

/* Objects and arrays: values, in objects with a name before each. */
static const char *skip_nested(const char *at, unsigned depth)
{
    char end = *at == '{' ? '}' : ']';
    at = skip_space(at + 1);
    if (*at == end)
        return at + 1;
    for (;;) {
        if (end == '}') {
            at = skip_string(at);
            if (at == NULL || *(at = skip_space(at)) != ':')
                return NULL;
            at = skip_space(at + 1);
        }
        at = skip_value(at, depth + 1);
        if (at == NULL)
            return NULL;
        at = skip_space(at);
        if (*at == end)
            return at + 1;
        if (*at != ',')
            return NULL;
        at = skip_space(at + 1);
    }
}

static const char *skip_value(const char *at, unsigned depth)
{
    if (*at == '"')
        return skip_string(at);
    if (*at == '{' || *at == '[')
        return depth == MAX_DEPTH ? NULL : skip_nested(at, depth);
    return *at == '-' || hf_is_digit(*at) ? skip_number(at) : skip_word(at);
}

/* Keeps the value from `value` to `end` if the name is one of those that are wanted. */
static void keep(const char *name, size_t name_bytes, const char *value, const char *end,
                 const char *const names[], size_t count, size_t value_bytes, char *values)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) != name_bytes || memcmp(names[i], name, name_bytes) != 0)
            continue;
        bool is_string = *value == '"';
        size_t length = (size_t)(end - value) - (is_string ? 2 : 0);
        bool kept = (is_string || *value == '-' || hf_is_digit(*value)) && length < value_bytes;
        char *text = values + i * value_bytes;
        memcpy(text, value + is_string, kept ? length : 0);
        text[kept ? length : 0] = '\0';
    }
}

bool hf_json_line_read(const char *line, const char *const names[], size_t count,
                       size_t value_bytes, char *values)
{
    for (size_t i = 0; i < count; i++)
        values[i * value_bytes] = '\0';
    const char *at = skip_space(line);
    if (*at != '{')
        return false;
    at = skip_space(at + 1);
    for (bool first = true; *at != '}'; first = false) {
        if (!first && *at++ != ',')
            return false;
        const char *name = skip_space(at);
        const char *name_end = skip_string(name);
        if (name_end == NULL || *(at = skip_space(name_end)) != ':')
            return false;
        const char *value = skip_space(at + 1);
        const char *end = skip_value(value, 1);
        if (end == NULL)
            return false;
        keep(name + 1, (size_t)(name_end - name) - 2, value, end, names, count, value_bytes,
             values);
        at = skip_space(end);
    }
    return *skip_space(at + 1) == '\0';
}
