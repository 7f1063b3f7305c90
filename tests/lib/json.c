/* Looking into JSON; see json.h. */
#include "tests/lib/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double hf_json_number(const char *json, const char *name)
{
    char mark[64], *end;
    snprintf(mark, sizeof mark, "\"%s\":", name);
    const char *found = strstr(json, mark);
    if (!found)
        return -1;
    double value = strtod(found + strlen(mark), &end);
    return end == found + strlen(mark) ? -1 : value;
}
