/* JSON. See json.h. */
#include "tools/json.h"

#include <inttypes.h>

void hf_json_text(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < ' ' || byte > '~' || byte == '"' || byte == '\\')
            fprintf(out, "\\u%04x", byte);
        else
            putc(byte, out);
    }
    putc('"', out);
}

/* A text of ours, in which nothing needs to be escaped; or null. */
static void put_if(FILE *out, bool there, const char *text)
{
    if (there)
        fprintf(out, "\"%s\"", text);
    else
        fputs("null", out);
}

void hf_json_date(FILE *out, uint64_t date_ns)
{
    char text[HF_DATE_TEXT_BYTES];
    hf_date_format(date_ns, text);
    put_if(out, date_ns != 0, text);
}

void hf_json_duration(FILE *out, uint64_t duration_ns)
{
    char text[HF_DURATION_TEXT_BYTES];
    hf_duration_format(duration_ns, text);
    put_if(out, duration_ns != 0, text);
}

void hf_json_id(FILE *out, const struct hf_id *id)
{
    char text[HF_ID_TEXT_BYTES];
    hf_id_format(id, text);
    put_if(out, !hf_id_is_zero(id), text);
}

void hf_json_limit(FILE *out, const char *name, uint32_t limit)
{
    if (limit == 0)
        fprintf(out, ",\"%s\":null", name);
    else
        fprintf(out, ",\"%s\":%" PRIu32, name, limit);
}
