/* MessagePack. See msgpack.h; the format: github.com/msgpack/msgpack/blob/master/spec.md */
#include "bench/peer/msgpack.h"

#include <string.h>

enum {
    FIXMAP = 0x80,
    FIXARRAY = 0x90,
    FIXSTR = 0xa0,
    NIL = 0xc0,
    NEVER_USED = 0xc1,
    BIN8 = 0xc4,
    EXT8 = 0xc7,
    FLOAT32 = 0xca,
    UINT8 = 0xcc,
    UINT64 = 0xcf,
    INT8 = 0xd0,
    FIXEXT1 = 0xd4,
    STR8 = 0xd9,
    STR32 = 0xdb,
    ARRAY16 = 0xdc,
    ARRAY32 = 0xdd,
    MAP16 = 0xde,
    MAP32 = 0xdf,
    NEGATIVE_FIXINT = 0xe0
};

/* `count` bytes, or NULL and failed. */
static const uint8_t *take(struct hf_msgpack_reader *reader, uint64_t count)
{
    if (reader->failed || count > (uint64_t)(reader->end - reader->at)) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += count;
    return bytes;
}

/* A number of 1, 2, 4 or 8 bytes, the highest first. */
static uint64_t take_number(struct hf_msgpack_reader *reader, unsigned byte_count)
{
    const uint8_t *bytes = take(reader, byte_count);
    uint64_t number = 0;
    for (unsigned i = 0; bytes && i < byte_count; i++)
        number = number << 8 | bytes[i];
    return number;
}

static uint8_t take_head(struct hf_msgpack_reader *reader)
{
    const uint8_t *head = take(reader, 1);
    return head ? *head : NEVER_USED;
}

/* A container's entries: of the kind with up to 15 in its head, or 16 or 32 bits behind it. */
static uint32_t read_container(struct hf_msgpack_reader *reader, uint8_t fix, uint8_t head16)
{
    uint8_t head = take_head(reader);
    uint64_t count = 0;
    if ((head & 0xf0) == fix)
        count = head & 0x0f;
    else if (head == head16 || head == head16 + 1)
        count = take_number(reader, head == head16 ? 2 : 4);
    else
        reader->failed = true;
    return reader->failed ? 0 : (uint32_t)count;
}

uint32_t hf_msgpack_read_map(struct hf_msgpack_reader *reader)
{
    return read_container(reader, FIXMAP, MAP16);
}

uint32_t hf_msgpack_read_array(struct hf_msgpack_reader *reader)
{
    return read_container(reader, FIXARRAY, ARRAY16);
}

uint64_t hf_msgpack_read_uint(struct hf_msgpack_reader *reader)
{
    uint8_t head = take_head(reader);
    if (head < FIXMAP)
        return head;
    if (head >= UINT8 && head <= UINT64)
        return take_number(reader, 1u << (head - UINT8));
    reader->failed = true;
    return 0;
}

const uint8_t *hf_msgpack_read_string(struct hf_msgpack_reader *reader, uint32_t *byte_count)
{
    uint8_t head = take_head(reader);
    uint64_t count = 0;
    if ((head & 0xe0) == FIXSTR)
        count = head & 0x1f;
    else if (head >= STR8 && head <= STR32)
        count = take_number(reader, 1u << (head - STR8));
    else
        reader->failed = true;
    const uint8_t *bytes = take(reader, count);
    *byte_count = bytes ? (uint32_t)count : 0;
    return bytes;
}

/* Passes over a value but for those in it. Returns how many are in it. */
static uint64_t skip_head(struct hf_msgpack_reader *reader)
{
    uint8_t head = take_head(reader);
    if (head < FIXMAP || head >= NEGATIVE_FIXINT || (head >= NIL && head < BIN8)) {
        reader->failed |= head == NEVER_USED;
        return 0;
    }
    if (head < FIXARRAY)
        return 2 * (uint64_t)(head & 0x0f);
    if (head < FIXSTR)
        return head & 0x0f;
    if (head < NIL)
        take(reader, head & 0x1f);
    else if (head < EXT8)
        take(reader, take_number(reader, 1u << (head - BIN8)));
    else if (head < FLOAT32)
        take(reader, take_number(reader, 1u << (head - EXT8)) + 1); /* and its type */
    else if (head < UINT8)
        take(reader, head == FLOAT32 ? 4 : 8);
    else if (head < FIXEXT1)
        take(reader, 1u << ((head - UINT8) & 3)); /* both kinds of integers: 1, 2, 4, 8 */
    else if (head < STR8)
        take(reader, (1u << (head - FIXEXT1)) + 1);
    else if (head < ARRAY16)
        take(reader, take_number(reader, 1u << (head - STR8)));
    else if (head < MAP16)
        return take_number(reader, head == ARRAY16 ? 2 : 4);
    else
        return 2 * take_number(reader, head == MAP16 ? 2 : 4);
    return 0;
}

void hf_msgpack_skip(struct hf_msgpack_reader *reader)
{
    /* Every value takes a byte at least, so the loop ends with what is read; the sum stays below
     * 2^33 for each of those bytes. */
    for (uint64_t left = 1; left > 0 && !reader->failed; left--)
        left += skip_head(reader);
}

uint8_t *hf_msgpack_put_map(uint8_t *out, uint8_t entry_count)
{
    *out++ = (uint8_t)(FIXMAP | entry_count);
    return out;
}

uint8_t *hf_msgpack_put_array(uint8_t *out, uint8_t entry_count)
{
    *out++ = (uint8_t)(FIXARRAY | entry_count);
    return out;
}

uint8_t *hf_msgpack_put_uint(uint8_t *out, uint64_t value)
{
    if (value < FIXMAP) {
        *out++ = (uint8_t)value;
        return out;
    }
    unsigned power = 0; /* of two: bytes that it takes */
    while (power < 3 && value >> (8u << power) != 0)
        power++;
    *out++ = (uint8_t)(UINT8 + power);
    for (unsigned left = 1u << power; left > 0; left--)
        *out++ = (uint8_t)(value >> (8 * (left - 1)));
    return out;
}

uint8_t *hf_msgpack_put_string(uint8_t *out, const void *bytes, uint8_t byte_count)
{
    if (byte_count < 32) {
        *out++ = (uint8_t)(FIXSTR | byte_count);
    } else {
        *out++ = STR8;
        *out++ = byte_count;
    }
    memcpy(out, bytes, byte_count);
    return out + byte_count;
}
