/*
 * JSON: values, and members that several kinds of objects have, as holdfast and holdfast-wal both
 * write them.
 *
 * What is not there is null. Dates are RFC 3339, durations as the options take them ("15m").
 */
#ifndef HF_TOOLS_JSON_H
#define HF_TOOLS_JSON_H

#include <stdio.h>

#include "holdfast/types.h"

/* A text that is not ours as a string, quotes included: UTF-8 as it is; a byte that is none becomes
 * U+FFFD. */
void hf_json_text(FILE *out, const char *text);

/* Null for 0, or for the id that is zero. */
void hf_json_date(FILE *out, uint64_t date_ns);
void hf_json_duration(FILE *out, uint64_t duration_ns);
void hf_json_id(FILE *out, const struct hf_id *id);

/* A member that is not the first of its object. A limit of 0 does not limit: null. */
void hf_json_limit(FILE *out, const char *name, uint32_t limit);

#endif
