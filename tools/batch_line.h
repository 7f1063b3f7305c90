/*
 * Batch lines: one JSON object that says what to do.
 *
 *   {"op":"hold","inventory":1,"customer":7,"qty":2,"ttl":"15m"}
 *   {"op":"confirm","id":"018f3a5c-7e2b-7c4d-9a10-6f0e2d4b8c11"}
 *
 * | member            | value                                        | of                         |
 * |-------------------|----------------------------------------------|----------------------------|
 * | op                | reserve, hold, join, confirm, release,       | every line                 |
 * |                   | cancel, extend, change, move, leave          |                            |
 * | inventory         | number                                       | reserve, hold, join        |
 * | customer          | number                                       | reserve, hold, join, move  |
 * | qty               | number; claims: 1 if not there;              | reserve, hold, join,       |
 * |                   | confirm: all if not there; change: 0 cancels | confirm, change            |
 * | ttl               | duration, "15m"                              | hold, extend               |
 * | id                | UUID; claims: made here if not there         | every line                 |
 * | new_id            | UUID                                         | confirm with reacquire     |
 * | expect_version    | number                                       | reserve, hold, join        |
 * | sequence          | number                                       | all that change            |
 * | not_after         | date, "2026-05-01T10:00:00Z", "now+2s"       | reserve, hold, join        |
 * | override          | true, false                                  | claims, confirm, change,   |
 * |                   |                                              | move                       |
 * | reacquire         | true, false                                  | confirm                    |
 *
 * operation, inventory_id, customer_id and reservation_id are other names of op, inventory,
 * customer and id. A number may stand as a string of digits: JSON's own end at 2^63 - 1 here. A
 * member that is null is not there. Any other member, one that stands there twice, and one that the
 * op has no use for, is an error: it was meant to say something.
 */
#ifndef HF_TOOLS_BATCH_LINE_H
#define HF_TOOLS_BATCH_LINE_H

#include "holdfast/message.h"
#include "tools/options.h"

struct hf_cli_batch_line {
    struct hf_line line;
    uint64_t not_after_ns; /* 0: not given */
    bool id_made;          /* line.id was made here */
    bool clock_needed;     /* not_after was told relative to now */
};

/* Why a line is none. */
struct hf_cli_batch_error {
    enum hf_field field; /* of the value that is impossible; HF_FIELD_NONE: of none */
    char text[HF_CLI_ERROR_BYTES];
};

/* Reads a line. False: it is none, and why. `now_ns` is what "now" stands for. */
bool hf_cli_batch_line_parse(const char *text, size_t bytes, uint64_t now_ns,
                             struct hf_cli_batch_line *line, struct hf_cli_batch_error *error);

/* "hold". Static storage; "?" if no line has that operation. */
const char *hf_cli_batch_op_name(enum hf_operation operation);

/* The request that is this line alone. */
void hf_cli_batch_line_request(const struct hf_cli_batch_line *line, struct hf_request *request);

#endif
