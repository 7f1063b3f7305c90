/*
 * IPROTO: Tarantool's protocol, as far as a call of a stored procedure needs it.
 *
 *   greeting  128 bytes: "Tarantool ...", two lines of 64
 *   request   0xce, bytes of what follows (4, the highest first),
 *             {0x00: 0x0a (CALL), 0x01: sync}, {0x22: procedure, 0x21: [arguments]}
 *   reply     length as above or in any other form of an unsigned number,
 *             {0x00: 0, or 0x8000 + error, 0x01: sync, others},
 *             {0x30: [values]}, or {0x31: text, others}
 *
 * A reply is valid if and only if
 *   1. its length is a MessagePack integer, at most HF_IPROTO_REPLY_BYTES
 *   2. the header and the body are maps, and end where the length says
 *   3. the header has a code and a sync; the code is 0 or has 0x8000 set
 *   4. with code 0 the body has 0x30, an array of at most HF_IPROTO_VALUES unsigned numbers
 * `sync` comes back as it was sent: replies may come in another order than requests.
 */
#ifndef HF_BENCH_PEER_IPROTO_H
#define HF_BENCH_PEER_IPROTO_H

#include <stddef.h>
#include <stdint.h>

#define HF_IPROTO_GREETING_BYTES 128
#define HF_IPROTO_REPLY_BYTES    (16u << 10)
#define HF_IPROTO_VALUES         4
#define HF_IPROTO_CALL_BYTES     64 /* that a call takes at most, besides its name and arguments */

enum hf_iproto_read { HF_IPROTO_WHOLE, HF_IPROTO_PARTIAL, HF_IPROTO_BAD };

struct hf_iproto_reply {
    uint64_t sync;
    uint32_t error; /* 0: none */
    uint32_t value_count;
    uint64_t values[HF_IPROTO_VALUES];
    const uint8_t *text; /* of an error, within what was read; NULL: none */
    uint32_t text_bytes;
    size_t taken; /* bytes of the whole reply */
};

/* Reads the reply that begins at `bytes`. `reply` is set only if the result is HF_IPROTO_WHOLE. */
enum hf_iproto_read hf_iproto_read(const uint8_t *bytes, size_t byte_count,
                                   struct hf_iproto_reply *reply);

/*
 * Begins a call at `out`; the caller puts that many arguments (at most 15) behind it with
 * msgpack.h, and ends it. Begin returns where the arguments go. `procedure` has at most 31 bytes.
 */
uint8_t *hf_iproto_begin_call(uint8_t *out, uint64_t sync, const char *procedure,
                              uint8_t argument_count);
void hf_iproto_end_call(uint8_t *begin, const uint8_t *end);

#endif
