/*
 * Explicit little-endian access to the bytes of frames, records and blocks.
 *
 * Every format of Holdfast is little-endian. Compilers turn each of these into one move.
 */
#ifndef HF_BASE_BYTES_H
#define HF_BASE_BYTES_H

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
    return (uint16_t)(bytes[0] | (uint16_t)bytes[1] << 8);
}

static inline uint32_t hf_get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static inline uint64_t hf_get_u64(const uint8_t *bytes)
{
    return (uint64_t)hf_get_u32(bytes) | (uint64_t)hf_get_u32(bytes + 4) << 32;
}

static inline void hf_put_u8(uint8_t *bytes, uint8_t value)
{
    bytes[0] = value;
}

static inline void hf_put_u16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline void hf_put_u32(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
    bytes[2] = (uint8_t)(value >> 16);
    bytes[3] = (uint8_t)(value >> 24);
}

static inline void hf_put_u64(uint8_t *bytes, uint64_t value)
{
    hf_put_u32(bytes, (uint32_t)value);
    hf_put_u32(bytes + 4, (uint32_t)(value >> 32));
}

/* True if all `count` bytes are zero. */
static inline bool hf_all_zero(const uint8_t *bytes, size_t count)
{
    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

#endif
