/*
 * Rows: named values in one line each, as text, as JSON or as CSV.
 *
 *   text   "inventory inventory_id=7 available=3": what is not there is left out
 *   jsonl  {"kind":"inventory","inventory_id":7,"available":3}: what is not there is null
 *   csv    a header line with the names, then the values: what is not there is empty. Quoted as in
 *          RFC 4180; lines end with LF
 *
 * The names and their order are the same in all three. Dates are RFC 3339 in UTC, durations as the
 * options take them. Whether all could be written is told by ferror().
 */
#ifndef HF_TOOLS_ROW_H
#define HF_TOOLS_ROW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "holdfast/types.h"

enum hf_row_format {
    HF_ROWS_TEXT,
    HF_ROWS_JSONL,
    HF_ROWS_CSV,
};

struct hf_rows {
    FILE *out;
    enum hf_row_format format;
    uint32_t values; /* of the row so far */
};

/* "text", "jsonl" or "csv". False: none of them. */
bool hf_row_format_parse(const char *text, enum hf_row_format *format);

/* Begins a table. columns: the names of all rows' values, with commas between them. */
void hf_rows_open(struct hf_rows *rows, FILE *out, enum hf_row_format format, const char *columns);

/* A row, of one kind; CSV does not tell it. Then its values, in the order of the columns. */
void hf_row_begin(struct hf_rows *rows, const char *kind);
void hf_row_end(struct hf_rows *rows);

void hf_row_number(struct hf_rows *rows, const char *name, uint64_t value);
void hf_row_signed(struct hf_rows *rows, const char *name, int64_t value);
void hf_row_flag(struct hf_rows *rows, const char *name, bool value); /* text: only if it is set */

/* Not there: NULL, the id that is zero, date or duration 0, a limit of 0, which does not limit. */
void hf_row_text(struct hf_rows *rows, const char *name, const char *value);
void hf_row_id(struct hf_rows *rows, const char *name, const struct hf_id *value);
void hf_row_date(struct hf_rows *rows, const char *name, uint64_t date_ns);
void hf_row_duration(struct hf_rows *rows, const char *name, uint64_t duration_ns);
void hf_row_limit(struct hf_rows *rows, const char *name, uint64_t limit);

/* A number as digits, without the locks and the format of fprintf(). */
void hf_put_number(FILE *out, uint64_t number);

#endif
