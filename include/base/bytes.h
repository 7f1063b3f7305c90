/*
 * Explicit little-endian access to the bytes of frames, records and blocks.
 *
 * Every format of Holdfast is little-endian. Each of these is one move, also where compilers do not
 * see through shifts (gcc 12 makes byte stores of several neighbours).
 */
#ifndef HF_BASE_BYTES_H
#define HF_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint8_t hf_get_u8(const uint8_t *bytes)
{
    return bytes[0];
}

static inline uint16_t hf_get_u16(const uint8_t *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return le16toh(value);
}

static inline uint32_t hf_get_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return le32toh(value);
}

static inline uint64_t hf_get_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return le64toh(value);
}

static inline void hf_put_u8(uint8_t *bytes, uint8_t value)
{
    bytes[0] = value;
}

static inline void hf_put_u16(uint8_t *bytes, uint16_t value)
{
    value = htole16(value);
    memcpy(bytes, &value, sizeof value);
}

static inline void hf_put_u32(uint8_t *bytes, uint32_t value)
{
    value = htole32(value);
    memcpy(bytes, &value, sizeof value);
}

static inline void hf_put_u64(uint8_t *bytes, uint64_t value)
{
    value = htole64(value);
    memcpy(bytes, &value, sizeof value);
}

/* True if all `count` bytes are zero. */
static inline bool hf_all_zero(const uint8_t *bytes, size_t count)
{
    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

#endif
