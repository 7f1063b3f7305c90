/* JSON lines, for those who want a few members of an object and do not mind the rest. */
#ifndef HF_TOOLS_JSON_LINE_H
#define HF_TOOLS_JSON_LINE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads the members called `names` of the object that `line` is, as text: strings without their
 * quotes, numbers as they stand. values: `count` texts of `value_bytes` bytes each, one behind the
 * other; empty: it is not there, is null, true, false, an object, an array, or too long. The last
 * one counts. False: the line is no JSON object. Escapes in strings are left as they are.
 */
bool hf_json_line_read(const char *line, const char *const names[], size_t count,
                       size_t value_bytes, char *values);

#endif
