/* RESP. See resp.h. */
#include "bench/peer/resp.h"

#include <string.h>

#define DIGITS_MAX 20

/* Writes a number; returns where to go on. */
static uint8_t *put_decimal(uint8_t *out, uint64_t number)
{
    uint8_t digits[DIGITS_MAX];
    size_t count = 0;
    do {
        digits[count++] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    while (count > 0)
        *out++ = digits[--count];
    return out;
}

static uint8_t *put_line_end(uint8_t *out)
{
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

uint8_t *hf_resp_put_header(uint8_t *out, uint32_t piece_count)
{
    *out++ = '*';
    return put_line_end(put_decimal(out, piece_count));
}

uint8_t *hf_resp_put_piece(uint8_t *out, const void *bytes, size_t byte_count)
{
    *out++ = '$';
    out = put_line_end(put_decimal(out, byte_count));
    memcpy(out, bytes, byte_count);
    return put_line_end(out + byte_count);
}

uint8_t *hf_resp_put_number(uint8_t *out, uint64_t number)
{
    uint8_t digits[DIGITS_MAX] = {0};
    return hf_resp_put_piece(out, digits, (size_t)(put_decimal(digits, number) - digits));
}

/* Finds the end of the line at `bytes`; its length without CR LF goes to *line_bytes. */
static enum hf_resp_read read_line(const uint8_t *bytes, size_t byte_count, size_t *line_bytes)
{
    for (size_t at = 0; at < byte_count; at++) {
        if (bytes[at] == '\n')
            return HF_RESP_BAD;
        if (bytes[at] == '\r') {
            if (at + 1 == byte_count)
                return HF_RESP_PARTIAL;
            *line_bytes = at;
            return bytes[at + 1] == '\n' ? HF_RESP_WHOLE : HF_RESP_BAD;
        }
        if (at == HF_RESP_LINE_BYTES)
            return HF_RESP_BAD;
    }
    return HF_RESP_PARTIAL;
}

/* The number that a line is. HF_RESP_BAD: it is none, or does not fit. */
static enum hf_resp_read read_decimal(const uint8_t *line, size_t line_bytes, int64_t *number)
{
    size_t at = line_bytes > 0 && line[0] == '-' ? 1 : 0;
    uint64_t limit = (uint64_t)INT64_MAX + at, value = 0; /* there is one more negative number */
    if (at == line_bytes || line_bytes - at > DIGITS_MAX - 1)
        return HF_RESP_BAD;
    for (size_t i = at; i < line_bytes; i++) {
        if (line[i] < '0' || line[i] > '9')
            return HF_RESP_BAD;
        value = value * 10 + (uint64_t)(line[i] - '0'); /* 19 digits do not overflow */
    }
    if (value > limit)
        return HF_RESP_BAD;
    *number = at == 1 ? (int64_t)(0 - value) : (int64_t)value;
    return HF_RESP_WHOLE;
}

/* Bytes, of which `head_bytes` are the line with their count. */
static enum hf_resp_read read_bulk(const uint8_t *bytes, size_t byte_count, size_t head_bytes,
                                   int64_t length, struct hf_resp_reply *reply)
{
    if (length == -1) {
        *reply = (struct hf_resp_reply){.kind = HF_RESP_NIL, .taken = head_bytes};
        return HF_RESP_WHOLE;
    }
    if (length < 0 || length > (int64_t)HF_RESP_BULK_BYTES)
        return HF_RESP_BAD;
    size_t bulk_bytes = (size_t)length, end = head_bytes + bulk_bytes;
    if (byte_count > end && bytes[end] != '\r')
        return HF_RESP_BAD;
    if (byte_count < end + 2)
        return HF_RESP_PARTIAL;
    if (bytes[end + 1] != '\n')
        return HF_RESP_BAD;
    *reply = (struct hf_resp_reply){.kind = HF_RESP_BYTES,
                                    .bytes = bytes + head_bytes,
                                    .byte_count = bulk_bytes,
                                    .taken = end + 2};
    return HF_RESP_WHOLE;
}

enum hf_resp_read hf_resp_read(const uint8_t *bytes, size_t byte_count, struct hf_resp_reply *reply)
{
    size_t line_bytes = 0;
    int64_t number = 0;
    if (byte_count == 0)
        return HF_RESP_PARTIAL;
    if (bytes[0] != '+' && bytes[0] != '-' && bytes[0] != ':' && bytes[0] != '$')
        return HF_RESP_BAD;
    enum hf_resp_read result = read_line(bytes + 1, byte_count - 1, &line_bytes);
    if (result != HF_RESP_WHOLE)
        return result;
    size_t head_bytes = 1 + line_bytes + 2;
    if (bytes[0] == ':' || bytes[0] == '$')
        result = read_decimal(bytes + 1, line_bytes, &number);
    if (result != HF_RESP_WHOLE)
        return result;
    if (bytes[0] == '$')
        return read_bulk(bytes, byte_count, head_bytes, number, reply);
    enum hf_resp_kind kind = HF_RESP_INTEGER;
    if (bytes[0] != ':')
        kind = bytes[0] == '+' ? HF_RESP_STATUS : HF_RESP_ERROR;
    *reply = (struct hf_resp_reply){.kind = kind,
                                    .integer = number,
                                    .bytes = bytes + 1,
                                    .byte_count = line_bytes,
                                    .taken = head_bytes};
    return HF_RESP_WHOLE;
}
