/* Rows; see row.h. */
#include "tools/row.h"

#include <inttypes.h>
#include <string.h>

#include "tools/json.h"

bool hf_row_format_parse(const char *text, enum hf_row_format *format)
{
    static const char *const names[] = {
        [HF_ROWS_TEXT] = "text", [HF_ROWS_JSONL] = "jsonl", [HF_ROWS_CSV] = "csv"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], text) == 0) {
            *format = (enum hf_row_format)i;
            return true;
        }
    }
    return false;
}

void hf_put_number(FILE *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    fwrite_unlocked(digits + at, 1, sizeof digits - at, out);
}

/* ---- tables and rows -------------------------------------------------------------------- */

void hf_rows_open(struct hf_rows *rows, FILE *out, enum hf_row_format format, const char *columns)
{
    *rows = (struct hf_rows){.out = out, .format = format};
    if (format == HF_ROWS_CSV)
        fprintf(out, "%s\n", columns);
}

void hf_row_begin(struct hf_rows *rows, const char *kind)
{
    rows->values = 0;
    if (rows->format == HF_ROWS_CSV)
        return;
    if (rows->format == HF_ROWS_JSONL)
        fputs_unlocked("{\"kind\":\"", rows->out);
    fputs_unlocked(kind, rows->out);
    if (rows->format == HF_ROWS_JSONL)
        putc_unlocked('"', rows->out);
    rows->values = 1;
}

void hf_row_end(struct hf_rows *rows)
{
    if (rows->format == HF_ROWS_JSONL)
        putc_unlocked('}', rows->out);
    putc_unlocked('\n', rows->out);
}

/* What stands before a value. */
static void put_name(struct hf_rows *rows, const char *name)
{
    bool first = rows->values++ == 0;
    switch (rows->format) {
    case HF_ROWS_CSV:
        if (!first)
            putc_unlocked(',', rows->out);
        return;
    case HF_ROWS_JSONL:
        fputs_unlocked(",\"", rows->out);
        fputs_unlocked(name, rows->out);
        fputs_unlocked("\":", rows->out);
        return;
    case HF_ROWS_TEXT:
        putc_unlocked(' ', rows->out);
        fputs_unlocked(name, rows->out);
        putc_unlocked('=', rows->out);
        return;
    }
}

static void put_nothing(struct hf_rows *rows, const char *name)
{
    if (rows->format == HF_ROWS_TEXT)
        return;
    put_name(rows, name);
    if (rows->format == HF_ROWS_JSONL)
        fputs_unlocked("null", rows->out);
}

/* ---- values ----------------------------------------------------------------------------- */

void hf_row_number(struct hf_rows *rows, const char *name, uint64_t value)
{
    put_name(rows, name);
    hf_put_number(rows->out, value);
}

void hf_row_signed(struct hf_rows *rows, const char *name, int64_t value)
{
    put_name(rows, name);
    if (value < 0)
        putc_unlocked('-', rows->out);
    hf_put_number(rows->out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void hf_row_flag(struct hf_rows *rows, const char *name, bool value)
{
    if (rows->format == HF_ROWS_TEXT && !value)
        return;
    put_name(rows, name);
    fputs_unlocked(rows->format == HF_ROWS_TEXT ? "yes" : value ? "true" : "false", rows->out);
}

/* A text of ours, in which nothing needs to be quoted. */
static void put_plain(struct hf_rows *rows, const char *name, const char *value)
{
    put_name(rows, name);
    if (rows->format == HF_ROWS_JSONL)
        putc_unlocked('"', rows->out);
    fputs_unlocked(value, rows->out);
    if (rows->format == HF_ROWS_JSONL)
        putc_unlocked('"', rows->out);
}

/* RFC 4180: in quotes, in which a quote is told by two, if it has any of these. */
static void put_csv_text(FILE *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs_unlocked(text, out);
        return;
    }
    putc_unlocked('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            putc_unlocked('"', out);
        putc_unlocked(*text, out);
    }
    putc_unlocked('"', out);
}

void hf_row_text(struct hf_rows *rows, const char *name, const char *value)
{
    if (value == NULL) {
        put_nothing(rows, name);
        return;
    }
    put_name(rows, name);
    if (rows->format == HF_ROWS_CSV)
        put_csv_text(rows->out, value);
    else if (rows->format == HF_ROWS_JSONL || strpbrk(value, " \"=\n") != NULL)
        hf_json_text(rows->out, value);
    else
        fputs_unlocked(value, rows->out);
}

void hf_row_id(struct hf_rows *rows, const char *name, const struct hf_id *value)
{
    char text[HF_ID_TEXT_BYTES];
    if (hf_id_is_zero(value)) {
        put_nothing(rows, name);
        return;
    }
    hf_id_format(value, text);
    put_plain(rows, name, text);
}

void hf_row_date(struct hf_rows *rows, const char *name, uint64_t date_ns)
{
    char text[HF_DATE_TEXT_BYTES];
    if (date_ns == 0) {
        put_nothing(rows, name);
        return;
    }
    hf_date_format(date_ns, text);
    put_plain(rows, name, text);
}

void hf_row_duration(struct hf_rows *rows, const char *name, uint64_t duration_ns)
{
    char text[HF_DURATION_TEXT_BYTES];
    if (duration_ns == 0) {
        put_nothing(rows, name);
        return;
    }
    hf_duration_format(duration_ns, text);
    put_plain(rows, name, text);
}

void hf_row_limit(struct hf_rows *rows, const char *name, uint64_t limit)
{
    if (limit == 0)
        put_nothing(rows, name);
    else
        hf_row_number(rows, name, limit);
}
