/*
 * RESP, version 2: the protocol of Redis, as far as a booking needs it.
 *
 *   command   "*" N CRLF, then N times "$" BYTES CRLF <bytes> CRLF
 *   reply     "+" text CRLF                a status
 *             "-" text CRLF                an error
 *             ":" decimal CRLF             an integer, of 64 bits with its sign
 *             "$" BYTES CRLF <bytes> CRLF  bytes; BYTES = -1: none ("nil")
 *
 * A reply is valid if and only if
 *   1. its first byte is one of these four
 *   2. a line ends with CR LF, has neither in it, and at most HF_RESP_LINE_BYTES before them
 *   3. a number is decimal digits, at least one, with "-" before them or nothing, and fits
 *   4. BYTES is -1 or 0 .. HF_RESP_BULK_BYTES, and CR LF follow the bytes
 * Arrays are no valid reply here: no command that is used answers with one.
 */
#ifndef HF_BENCH_PEER_RESP_H
#define HF_BENCH_PEER_RESP_H

#include <stddef.h>
#include <stdint.h>

#define HF_RESP_LINE_BYTES 512u
#define HF_RESP_BULK_BYTES (16u << 10)

enum hf_resp_kind { HF_RESP_STATUS, HF_RESP_ERROR, HF_RESP_INTEGER, HF_RESP_BYTES, HF_RESP_NIL };

enum hf_resp_read {
    HF_RESP_WHOLE,   /* a reply, and how many bytes it took */
    HF_RESP_PARTIAL, /* the beginning of one: more has to come */
    HF_RESP_BAD      /* not valid, whatever comes */
};

struct hf_resp_reply {
    enum hf_resp_kind kind;
    int64_t integer;      /* of HF_RESP_INTEGER */
    const uint8_t *bytes; /* of a status, an error or bytes: within what was read */
    size_t byte_count;
    size_t taken; /* bytes of the whole reply */
};

/* Reads the reply that begins at `bytes`. `reply` is set only if the result is HF_RESP_WHOLE. */
enum hf_resp_read hf_resp_read(const uint8_t *bytes, size_t byte_count,
                               struct hf_resp_reply *reply);

/*
 * Writes a command piece by piece. The caller has made sure that there is room: a header and the
 * head of a piece take at most HF_RESP_HEAD_BYTES each, a piece its bytes and two more. Both return
 * where to go on.
 */
#define HF_RESP_HEAD_BYTES 23
uint8_t *hf_resp_put_header(uint8_t *out, uint32_t piece_count);
uint8_t *hf_resp_put_piece(uint8_t *out, const void *bytes, size_t byte_count);

/* A piece that is a decimal number, at most 20 digits. */
uint8_t *hf_resp_put_number(uint8_t *out, uint64_t number);

#endif
