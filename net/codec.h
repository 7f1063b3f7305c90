/*
 * The codec: frames to structures and back. The byte tables are in docs/protocol.md.
 *
 * Decoding trusts nothing: any bytes give a structure or an error, never more. Encoding writes
 * every byte of the frame, reserved ones as zero. Nothing here allocates, blocks or keeps state:
 * what a frame carries in numbers (lines, ids, entries) goes into memory that the caller owns.
 *
 * codec.c has the header and the requests, codec_reply.c the replies.
 */
#ifndef HF_NET_CODEC_H
#define HF_NET_CODEC_H

#include "base/bytes.h"
#include "base/check.h"
#include "holdfast/client.h"
#include "holdfast/protocol.h"

struct hf_frame {
    uint32_t frame_bytes;
    uint8_t version;
    uint8_t operation;
    uint16_t result; /* in a request: its flags */
    uint64_t tag;
};

/* Reads the 16 bytes at `bytes`. */
void hf_frame_read(const uint8_t *bytes, struct hf_frame *frame);

/* Writes the 16 bytes at `bytes`. */
void hf_frame_write(uint8_t *bytes, const struct hf_frame *frame);

/*
 * Looks at the beginning of `count` received bytes for a request. HF_OK: a whole frame, whose header
 * is in *frame; 0: it is not whole yet; else its length cannot be right, so that the next frame
 * cannot be found: the result to reply, naming FRAME_BYTES, before the connection is closed.
 */
static inline unsigned hf_request_frame(const uint8_t *bytes, size_t count, struct hf_frame *frame)
{
    if (count < HF_FRAME_HEADER_BYTES)
        return 0;
    hf_frame_read(bytes, frame);
    if (HF_UNLIKELY(frame->frame_bytes < HF_FRAME_HEADER_BYTES)) {
        frame->tag = 0; /* not a frame, so these bytes are no tag */
        return HF_BAD_FRAME;
    }
    if (HF_UNLIKELY(frame->frame_bytes > HF_MAX_REQUEST_BYTES))
        return HF_FRAME_TOO_LARGE;
    return count < frame->frame_bytes ? 0 : HF_OK;
}

/* ---- requests --------------------------------------------------------------------------- */

/* The smallest request frame for `operation`: its size in bytes, 0 for an unknown operation. */
uint32_t hf_request_bytes(unsigned operation);

/* The size of the frame that hf_request_encode() makes of it, at most HF_MAX_REQUEST_BYTES; 0: it
 * makes none, as the operation is unknown or it has more lines or ids than a frame can carry. */
size_t hf_request_encoded_bytes(const struct hf_request *request);

/*
 * Encodes a request; `out` has hf_request_encoded_bytes() bytes: for RESERVE and everything about
 * one reservation but HOLD, HF_RESERVE_BYTES suffice. What the request's operation and flags give no
 * meaning to is written as zero. Returns the size; 0: it cannot be encoded.
 */
size_t hf_request_encode(uint8_t *out, const struct hf_request *request, uint64_t tag);

/* What a decoded request points into. RESERVE and all others without lists never touch it. */
struct hf_request_scratch {
    struct hf_line lines[HF_MAX_BATCH_LINES];
    uint64_t ids[HF_MAX_WATCH_IDS];
};

/*
 * Decodes one whole request frame of `frame->frame_bytes` bytes, header included. Checks, in this
 * order, version, operation, length, reserved bytes, and then what hf_request_check() checks.
 * HF_OK; or the result to reply, with *field and *line (of a batch, from 1; else 0).
 *
 * Only the fields that the operation has are set in *request; the others keep what they were.
 */
enum hf_result hf_request_decode(const uint8_t *bytes, const struct hf_frame *frame,
                                 struct hf_request *request, struct hf_request_scratch *scratch,
                                 enum hf_field *field, unsigned *line);

/*
 * Reads the RESERVE of `count` bytes that most are: no flags, and nothing to expect, no end. False: it is not
 * whole, something else, or wrong; hf_request_decode() tells. Sets tag, id, inventory_id, customer_id and qty.
 */
static inline bool hf_request_read_plain(const uint8_t *bytes, size_t count, uint64_t *tag,
                                         struct hf_request *request)
{
    const uint64_t header = HF_RESERVE_BYTES | (uint64_t)HF_PROTOCOL_VERSION << 32 |
                            (uint64_t)HF_OP_RESERVE << 40; /* and no flags */
    if (count < HF_RESERVE_BYTES || hf_get_u64(bytes) != header)
        return false;
    uint64_t qty = hf_get_u64(bytes + 48); /* the upper half: what is expected */
    if (qty == 0 || qty > HF_MAX_UNITS || hf_get_u64(bytes + 56) != 0)
        return false;
    *tag = hf_get_u64(bytes + 8);
    memcpy(request->id.bytes, bytes + 16, sizeof request->id.bytes);
    request->inventory_id = hf_get_u64(bytes + 32);
    request->customer_id = hf_get_u64(bytes + 40);
    request->qty = (uint32_t)qty;
    return true;
}

/* ---- replies ---------------------------------------------------------------------------- */

/* Each encoder writes a whole frame and returns its size. `operation` is the request's. */

/* What a short reply tells; zero: nothing. */
struct hf_short {
    unsigned result;
    unsigned field;    /* enum hf_field */
    int32_t available; /* of the inventory that the result speaks of */
    uint32_t version;  /* of that inventory, or the sequence of the reservation */
    unsigned state;    /* of the reservation */
    unsigned line;     /* of a batch, from 1 */
};
size_t hf_reply_encode_answer(uint8_t *out, unsigned operation, uint64_t tag,
                              const struct hf_short *answer);

/* The same, for what has neither state nor line. */
size_t hf_reply_encode_short(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                             unsigned field, int32_t available, uint32_t version);

/* LSN_NOT_KEPT. */
size_t hf_reply_encode_not_kept(uint8_t *out, unsigned operation, uint64_t tag, uint64_t first_lsn);

/* HF_RESERVATION_REPLY_BYTES, or HF_LINKED_REPLY_BYTES if it has a linked id. */
size_t hf_reply_encode_reservation(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                   const struct hf_reservation *reservation, bool repeated);

size_t hf_reply_encode_inventory(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                 const struct hf_inventory *inventory);

/* `sequence` is that of the settings. Of `settings`, the sell limit and the flags are not looked at:
 * `inventory` tells them. */
size_t hf_reply_encode_settings(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                const struct hf_inventory *inventory,
                                const struct hf_settings *settings, uint32_t sequence);

/* INVENTORY_LIST; at most HF_MAX_LIST_ENTRIES. */
size_t hf_reply_encode_page(uint8_t *out, uint64_t tag, uint32_t next,
                            const struct hf_inventory *inventories, uint32_t count);

/* At most HF_MAX_LIST_ENTRIES, in the order of the request's ids. */
size_t hf_reply_encode_availability(uint8_t *out, uint64_t tag,
                                    const struct hf_availability_entry *entries, uint32_t count);

/* BATCH, RESERVATION_LIST, HISTORY; at most HF_MAX_PAGE_ENTRIES. */
size_t hf_reply_encode_reservations(uint8_t *out, unsigned operation, uint64_t tag, unsigned result,
                                    uint64_t next, const struct hf_reservation_entry *entries,
                                    uint32_t count);

/*
 * The frames of a subscription, with the tag of its SUBSCRIBE: SUBSCRIBED, RECORDS, FELL_BEHIND,
 * UNSUBSCRIBED. At most HF_MAX_FRAME_RECORDS records, which may stand at out +
 * HF_PAGE_HEADER_BYTES, where they belong, already.
 */
size_t hf_reply_encode_records(uint8_t *out, uint64_t tag, unsigned result, uint64_t next_lsn,
                               const uint8_t *records, uint32_t count);

size_t hf_reply_encode_hash(uint8_t *out, uint64_t tag, uint64_t state_hash, uint64_t lsn_before,
                            uint64_t lsn_after, uint64_t reservations);
size_t hf_reply_encode_info(uint8_t *out, uint64_t tag, const struct hf_info *info);
size_t hf_reply_encode_status(uint8_t *out, uint64_t tag, const struct hf_status *status);

/* What a decoded reply points into: its one list. */
struct hf_reply_scratch {
    union {
        struct hf_inventory inventories[HF_MAX_LIST_ENTRIES];
        struct hf_availability_entry availability[HF_MAX_LIST_ENTRIES];
        struct hf_reservation_entry entries[HF_MAX_PAGE_ENTRIES];
    };
};

/*
 * Decodes one whole reply frame. Lists go into `scratch` and reply->inventories, ->availability or
 * ->entries points there; reply->records points into `bytes`. False if the bytes are not a reply of
 * this protocol, or have a list and `scratch` is NULL.
 */
bool hf_reply_decode(const uint8_t *bytes, const struct hf_frame *frame, struct hf_reply *reply,
                     struct hf_reply_scratch *scratch);

#endif
