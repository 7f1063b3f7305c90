/* JSON. See json.h. */
#include "tools/json.h"

#include <inttypes.h>

/* Bytes of the UTF-8 character at `text`; 0: it is none. Neither overlong forms nor surrogates. */
static unsigned character_bytes(const unsigned char *text)
{
    unsigned first = text[0];
    unsigned bytes = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first > 0xf4)
        return 0;
    for (unsigned i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    bool bad = (first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
               (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f);
    return bad ? 0 : bytes;
}

void hf_json_text(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    putc('"', out);
    while (*at != '\0') {
        unsigned bytes = character_bytes(at);
        if (bytes == 0)
            fputs("\\ufffd", out);
        else if (*at < ' ' || *at == '"' || *at == '\\' || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else if (*at == 0xc2 && at[1] < 0xa0) /* these control a terminal, too */
            fprintf(out, "\\u%04x", at[1]);
        else
            fwrite(at, 1, bytes, out);
        at += bytes == 0 ? 1 : bytes;
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
