/* What a walk over a log met, for people and programs. */
#ifndef HF_TOOLS_WALK_TEXT_H
#define HF_TOOLS_WALK_TEXT_H

#include <stdio.h>

#include "holdfast/types.h"
#include "tools/walk.h"

/* All of it, after the walk has ended: one name and value a line; or the members of a JSON object,
 * which the caller goes on with and ends. */
void hf_walk_text_put(FILE *out, const struct hf_walk *walk);
void hf_walk_json_put(FILE *out, const struct hf_walk *walk);

/* The torn tail, and whether the log goes on: two lines at most. */
void hf_walk_text_put_tail(FILE *out, const struct hf_walk *walk);

/* The torn tail as a JSON object, or null. */
void hf_walk_json_put_tail(FILE *out, const struct hf_walk *walk);

/* The log id, as a UUID. */
void hf_walk_format_log_id(const struct hf_walk *walk, char text[HF_ID_TEXT_BYTES]);

/* Segments that the walk went over, or would have. */
uint64_t hf_walk_segment_count(const struct hf_walk *walk);

#endif
