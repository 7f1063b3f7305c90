/*
 * Images for people and programs: a record of the log in one line, as text, as JSON or as CSV.
 *
 * As text, name=value pairs behind the LSN and the kind; what does not apply is left out. As JSON,
 * every member is always there, and null where it does not apply; new ones come behind those that
 * there are. As CSV, all kinds of records are in one table, whose columns are hf_image_columns, the
 * members of the JSON objects; what does not apply is empty. Dates are RFC 3339 in UTC, durations
 * as options take them ("15m").
 */
#ifndef HF_TOOLS_IMAGE_TEXT_H
#define HF_TOOLS_IMAGE_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/image.h"
#include "tools/row.h"

void hf_image_text_put(FILE *out, const struct hf_image *image);
void hf_image_json_put(FILE *out, const struct hf_image *image);

/* A record that is no image, with the reason, as its bytes. */
void hf_image_put_unknown(FILE *out, const uint8_t *record, const char *reason, bool json);

/* "request", "AVAILABLE_AGAIN", "HELD": of an image's values. Static storage. */
const char *hf_image_reason_name(unsigned reason);
const char *hf_image_event_name(unsigned event);
const char *hf_image_made_as_name(const struct hf_image *image);

/* As CSV. */
extern const char hf_image_columns[];
void hf_image_row_put(struct hf_rows *rows, const struct hf_image *image);
void hf_image_row_put_unknown(struct hf_rows *rows, const uint8_t *record, const char *reason);

#endif
