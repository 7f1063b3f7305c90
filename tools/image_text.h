/*
 * Images for people and programs: a record of the log in one line, as text or as JSON.
 *
 * As text, name=value pairs behind the LSN and the kind; what does not apply is left out. As JSON,
 * every member is always there, and null where it does not apply; new ones come behind those that
 * there are. Dates are RFC 3339 in UTC, durations as options take them ("15m").
 */
#ifndef HF_TOOLS_IMAGE_TEXT_H
#define HF_TOOLS_IMAGE_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/image.h"

void hf_image_text_put(FILE *out, const struct hf_image *image);
void hf_image_json_put(FILE *out, const struct hf_image *image);

/* A record that is no image, with the reason, as its bytes. */
void hf_image_put_unknown(FILE *out, const uint8_t *record, const char *reason, bool json);

#endif
