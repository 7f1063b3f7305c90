/*
 * The codec: frames to structures and back. The byte tables are in docs/protocol.md.
 *
 * Decoding trusts nothing: any bytes give a structure or an error, never more. Encoding writes
 * every byte of the frame, reserved ones as zero. Nothing here allocates, blocks or keeps state.
 */
#ifndef HF_NET_CODEC_H
#define HF_NET_CODEC_H

#include "holdfast/client.h"
#include "holdfast/protocol.h"

struct hf_frame {
    uint32_t frame_bytes;
    uint8_t version;
    uint8_t operation;
    uint16_t result;
    uint64_t tag;
};

/* Reads the 16 bytes at `bytes`. */
void hf_frame_read(const uint8_t *bytes, struct hf_frame *frame);

/* Writes the 16 bytes at `bytes`. */
void hf_frame_write(uint8_t *bytes, const struct hf_frame *frame);

/* The request frame for `operation`: its size in bytes, 0 for an unknown operation. */
uint32_t hf_request_bytes(unsigned operation);

/* Encodes a request; `out` has HF_RESERVE_BYTES (the largest request). Returns its size. */
size_t hf_request_encode(uint8_t *out, const struct hf_request *request, uint64_t tag);

/*
 * Decodes one whole request frame of `frame->frame_bytes` bytes, header included. Checks, in this
 * order, version, operation, length, reserved bytes (the header's result among them) and then the
 * fields whose values are impossible whatever the server's state (qty 0 or > HF_MAX_UNITS,
 * capacity 0 or > HF_MAX_UNITS, a limit of 0 or > HF_MAX_LIST_ENTRIES, a zero id in GET or CANCEL).
 * HF_OK, or the result to reply and *field.
 */
enum hf_result hf_request_decode(const uint8_t *bytes, const struct hf_frame *frame,
                                 struct hf_request *request, enum hf_field *field);

/* Replies. Each writes a whole frame and returns its size. `operation` is the request's. */
size_t hf_reply_encode_short(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                             unsigned field, int32_t available, uint32_t version);
size_t hf_reply_encode_reservation(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                   const struct hf_reservation *reservation, bool repeated);
size_t hf_reply_encode_inventory(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                 const struct hf_inventory *inventory);
size_t hf_reply_encode_page(uint8_t *out, uint64_t tag, uint32_t next,
                            const struct hf_inventory *inventories, uint32_t count);
size_t hf_reply_encode_hash(uint8_t *out, uint64_t tag, uint64_t state_hash, uint64_t lsn_before,
                            uint64_t lsn_after, uint64_t reservations);
size_t hf_reply_encode_info(uint8_t *out, uint64_t tag, const struct hf_info *info);

/*
 * Decodes one whole reply frame. INVENTORY_LIST fills `inventories` (room for HF_MAX_LIST_ENTRIES)
 * and points reply->inventories at it. False if the bytes are not a reply of this protocol.
 */
bool hf_reply_decode(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply,
                     struct hf_inventory *inventories);

#endif
