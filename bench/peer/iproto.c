/* IPROTO. See iproto.h. */
#include "bench/peer/iproto.h"

#include <stdbool.h>
#include <string.h>

#include "bench/peer/msgpack.h"

enum {
    KEY_CODE = 0x00,
    KEY_SYNC = 0x01,
    KEY_TUPLE = 0x21,
    KEY_FUNCTION = 0x22,
    KEY_DATA = 0x30,
    KEY_ERROR = 0x31,
    CODE_CALL = 0x0a,
    CODE_ERROR = 0x8000
};

#define LENGTH_HEAD  0xce
#define LENGTH_BYTES 5

uint8_t *hf_iproto_begin_call(uint8_t *out, uint64_t sync, const char *procedure,
                              uint8_t argument_count)
{
    out += LENGTH_BYTES;
    out = hf_msgpack_put_map(out, 2);
    out = hf_msgpack_put_uint(out, KEY_CODE);
    out = hf_msgpack_put_uint(out, CODE_CALL);
    out = hf_msgpack_put_uint(out, KEY_SYNC);
    out = hf_msgpack_put_uint(out, sync);
    out = hf_msgpack_put_map(out, 2);
    out = hf_msgpack_put_uint(out, KEY_FUNCTION);
    out = hf_msgpack_put_string(out, procedure, (uint8_t)strlen(procedure));
    out = hf_msgpack_put_uint(out, KEY_TUPLE);
    return hf_msgpack_put_array(out, argument_count);
}

void hf_iproto_end_call(uint8_t *begin, const uint8_t *end)
{
    uint32_t length = (uint32_t)(end - begin - LENGTH_BYTES);
    begin[0] = LENGTH_HEAD;
    for (unsigned i = 0; i < 4; i++)
        begin[1 + i] = (uint8_t)(length >> (24 - 8 * i));
}

/* How many bytes the length takes that begins with this one. 0: it is none. */
static size_t length_bytes(uint8_t head)
{
    if (head < 0x80)
        return 1;
    return head >= 0xcc && head <= 0xcf ? 1 + ((size_t)1 << (head - 0xcc)) : 0;
}

/* False: no valid header. */
static bool read_header(struct hf_msgpack_reader *reader, struct hf_iproto_reply *reply)
{
    uint64_t code = UINT64_MAX;
    bool has_sync = false;
    uint32_t entries = hf_msgpack_read_map(reader);
    for (uint32_t i = 0; i < entries && !reader->failed; i++) {
        uint64_t key = hf_msgpack_read_uint(reader);
        if (key == KEY_CODE) {
            code = hf_msgpack_read_uint(reader);
        } else if (key == KEY_SYNC) {
            reply->sync = hf_msgpack_read_uint(reader);
            has_sync = true;
        } else {
            hf_msgpack_skip(reader);
        }
    }
    if (reader->failed || !has_sync || (code != 0 && (code < CODE_ERROR || code > UINT32_MAX)))
        return false;
    reply->error = (uint32_t)code;
    return true;
}

/* False: no valid body. */
static bool read_body(struct hf_msgpack_reader *reader, struct hf_iproto_reply *reply)
{
    bool has_data = false;
    uint32_t entries = hf_msgpack_read_map(reader);
    for (uint32_t i = 0; i < entries && !reader->failed; i++) {
        uint64_t key = hf_msgpack_read_uint(reader);
        if (key == KEY_ERROR) {
            reply->text = hf_msgpack_read_string(reader, &reply->text_bytes);
        } else if (key == KEY_DATA && reply->error == 0) {
            has_data = true;
            reply->value_count = hf_msgpack_read_array(reader);
            if (reply->value_count > HF_IPROTO_VALUES)
                return false;
            for (uint32_t v = 0; v < reply->value_count; v++)
                reply->values[v] = hf_msgpack_read_uint(reader);
        } else {
            hf_msgpack_skip(reader);
        }
    }
    return !reader->failed && (has_data || reply->error != 0);
}

enum hf_iproto_read hf_iproto_read(const uint8_t *bytes, size_t byte_count,
                                   struct hf_iproto_reply *reply)
{
    if (byte_count == 0)
        return HF_IPROTO_PARTIAL;
    size_t head_bytes = length_bytes(bytes[0]);
    if (head_bytes == 0)
        return HF_IPROTO_BAD;
    if (byte_count < head_bytes)
        return HF_IPROTO_PARTIAL;
    struct hf_msgpack_reader reader = {.at = bytes, .end = bytes + head_bytes};
    uint64_t length = hf_msgpack_read_uint(&reader);
    if (length > HF_IPROTO_REPLY_BYTES)
        return HF_IPROTO_BAD;
    if (byte_count - head_bytes < length)
        return HF_IPROTO_PARTIAL;
    struct hf_iproto_reply read = {.taken = head_bytes + (size_t)length};
    reader.end = bytes + read.taken;
    if (!read_header(&reader, &read) || !read_body(&reader, &read) || reader.at != reader.end)
        return HF_IPROTO_BAD;
    *reply = read;
    return HF_IPROTO_WHOLE;
}
