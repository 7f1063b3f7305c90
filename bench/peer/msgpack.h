/*
 * MessagePack, as far as Tarantool's protocol needs it: unsigned integers, strings, arrays and maps
 * are written and read; of everything else the length is known, so that it can be passed over.
 *
 * A reader never looks beyond its end, and once something was not as asked for, it stays failed and
 * every further read gives zero: the caller asks once, at the end.
 */
#ifndef HF_BENCH_PEER_MSGPACK_H
#define HF_BENCH_PEER_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_msgpack_reader {
    const uint8_t *at, *end;
    bool failed;
};

/* How many entries follow. */
uint32_t hf_msgpack_read_map(struct hf_msgpack_reader *reader);
uint32_t hf_msgpack_read_array(struct hf_msgpack_reader *reader);

/* An integer that is not negative, in any of its lengths. */
uint64_t hf_msgpack_read_uint(struct hf_msgpack_reader *reader);

/* A string; its bytes are within what is read. */
const uint8_t *hf_msgpack_read_string(struct hf_msgpack_reader *reader, uint32_t *byte_count);

/* Passes over one value of any kind, with all that is in it. */
void hf_msgpack_skip(struct hf_msgpack_reader *reader);

/*
 * The writers return where to go on. At most HF_MSGPACK_HEAD_BYTES each, and a string its bytes; a
 * map or an array has at most 15 entries, a string at most 255 bytes.
 */
#define HF_MSGPACK_HEAD_BYTES 9
uint8_t *hf_msgpack_put_map(uint8_t *out, uint8_t entry_count);
uint8_t *hf_msgpack_put_array(uint8_t *out, uint8_t entry_count);
uint8_t *hf_msgpack_put_uint(uint8_t *out, uint64_t value);
uint8_t *hf_msgpack_put_string(uint8_t *out, const void *bytes, uint8_t byte_count);

#endif
