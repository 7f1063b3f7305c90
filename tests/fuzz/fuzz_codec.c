/*
 * Random and spoiled frames into the codec.
 *
 * Every frame stands in memory of exactly its size, so that AddressSanitizer sees a read beyond it.
 * What must hold:
 *   - a request is accepted if and only if the rules of net/codec.h accept it, which are written
 *     down here a second time; the refusal and the field are the first that applies;
 *   - an accepted request is encoded to the same bytes again;
 *   - a reply that was encoded is decoded to what was encoded; one that is accepted, whatever it
 *     is, is encoded to bytes that decode to the same;
 *   - decoding never changes the frame.
 */
#include "base/bytes.h"
#include "net/codec.h"
#include "tests/fuzz/fuzz.h"

/* An exact copy of a frame on the heap. */
struct exact {
    uint8_t *bytes;
    size_t count;
};

static struct exact exact_copy(struct hf_fuzz *fuzz, const uint8_t *bytes, size_t count)
{
    struct exact copy = {.bytes = malloc(count), .count = count};
    HF_FUZZ_CHECK(fuzz, copy.bytes);
    memcpy(copy.bytes, bytes, count);
    return copy;
}

static const unsigned operations[] = {
#define X(name, number, bytes) number,
    HF_OPERATIONS(X)
#undef X
};
#define OPERATION_COUNT (sizeof operations / sizeof operations[0])

static unsigned any_operation(struct hf_fuzz *fuzz)
{
    return operations[hf_fuzz_below(fuzz, OPERATION_COUNT)];
}

/* ---- requests --------------------------------------------------------------------------- */

static size_t make_request(struct hf_fuzz *fuzz, uint8_t out[HF_RESERVE_BYTES])
{
    struct hf_request request = {
        .operation = (enum hf_operation)any_operation(fuzz),
        .inventory_id = hf_fuzz_number(fuzz),
        .customer_id = hf_fuzz_number(fuzz),
        .product_id = hf_fuzz_number(fuzz),
        .qty = (uint32_t)hf_fuzz_number(fuzz),
        .capacity = (uint32_t)hf_fuzz_number(fuzz),
        .from = (uint32_t)hf_fuzz_number(fuzz),
        .limit = (uint32_t)hf_fuzz_below(fuzz, HF_MAX_LIST_ENTRIES + 2),
    };
    if (!hf_fuzz_one_in(fuzz, 8))
        hf_fuzz_fill(fuzz, request.id.bytes, sizeof request.id.bytes);
    return hf_request_encode(out, &request, hf_fuzz_number(fuzz));
}

static bool units(uint32_t count)
{
    return count >= 1 && count <= HF_MAX_UNITS;
}

/* The rules, a second time: what must be said of a request, and of which field. */
static unsigned judge_request(const uint8_t *bytes, size_t count, unsigned *field)
{
    unsigned operation = bytes[5];
    size_t right_bytes = 0;
#define X(name, number, size)                                                                      \
    if (operation == (number))                                                                     \
        right_bytes = (size);
    HF_OPERATIONS(X)
#undef X
    *field = HF_FIELD_VERSION;
    if (bytes[4] != 1)
        return HF_UNSUPPORTED_VERSION;
    *field = HF_FIELD_OPERATION;
    if (right_bytes == 0)
        return HF_UNKNOWN_OPERATION;
    *field = HF_FIELD_FRAME_BYTES;
    if (count != right_bytes)
        return HF_BAD_FRAME;
    *field = HF_FIELD_RESERVED;
    size_t reserved_from = operation == HF_OP_RESERVE            ? 52
                           : operation == HF_OP_INVENTORY_CREATE ? 36
                                                                 : count;
    for (size_t i = reserved_from; i < count; i++)
        if (bytes[i] != 0)
            return HF_BAD_FRAME;
    if (bytes[6] != 0 || bytes[7] != 0)
        return HF_BAD_FRAME;
    *field = HF_FIELD_QTY;
    if (operation == HF_OP_RESERVE && !units(hf_get_u32(bytes + 48)))
        return HF_BAD_FIELD;
    *field = HF_FIELD_CAPACITY;
    if (operation == HF_OP_INVENTORY_CREATE && !units(hf_get_u32(bytes + 32)))
        return HF_BAD_FIELD;
    *field = HF_FIELD_LIMIT;
    if (operation == HF_OP_INVENTORY_LIST &&
        (hf_get_u32(bytes + 20) == 0 || hf_get_u32(bytes + 20) > HF_MAX_LIST_ENTRIES))
        return HF_BAD_FIELD;
    *field = HF_FIELD_RESERVATION_ID;
    if ((operation == HF_OP_RESERVATION_GET || operation == HF_OP_CANCEL) &&
        hf_get_u64(bytes + 16) == 0 && hf_get_u64(bytes + 24) == 0)
        return HF_BAD_FIELD;
    *field = HF_FIELD_NONE;
    return HF_OK;
}

/* Decodes a request in memory of its size. True if it was accepted. */
static bool try_request(struct hf_fuzz *fuzz, const uint8_t *bytes, size_t count)
{
    struct exact copy = exact_copy(fuzz, bytes, count);
    struct hf_frame frame;
    struct hf_request request;
    enum hf_field field;
    unsigned right_field;
    hf_put_u32(copy.bytes, (uint32_t)count); /* as the server cuts frames: by this number */
    unsigned right = judge_request(copy.bytes, count, &right_field);

    hf_frame_read(copy.bytes, &frame);
    HF_FUZZ_CHECK(fuzz, frame.frame_bytes == count);
    enum hf_result result = hf_request_decode(copy.bytes, &frame, &request, &field);
    HF_FUZZ_CHECK(fuzz, result == right);
    HF_FUZZ_CHECK(fuzz, field == right_field);
    HF_FUZZ_CHECK(fuzz, memcmp(copy.bytes + 4, bytes + 4, count - 4) == 0);
    if (result == HF_OK) {
        uint8_t again[HF_RESERVE_BYTES];
        HF_FUZZ_CHECK(fuzz, hf_request_encode(again, &request, frame.tag) == count);
        HF_FUZZ_CHECK(fuzz, memcmp(again, copy.bytes, count) == 0);
    }
    free(copy.bytes);
    return result == HF_OK;
}

static bool fuzz_request(struct hf_fuzz *fuzz)
{
    static uint8_t bytes[HF_MAX_REQUEST_BYTES];
    size_t count = make_request(fuzz, bytes);
    switch (hf_fuzz_below(fuzz, 4)) {
    case 0: /* valid, or with an impossible value */
        break;
    case 1: /* spoiled, with the right length */
        hf_fuzz_spoil(fuzz, bytes, count);
        break;
    case 2: /* another length, what is missing made up */
        hf_fuzz_fill(fuzz, bytes + count, sizeof bytes - count);
        count = HF_FRAME_HEADER_BYTES +
                hf_fuzz_below(fuzz, hf_fuzz_one_in(fuzz, 4)
                                        ? HF_MAX_REQUEST_BYTES - HF_FRAME_HEADER_BYTES + 1
                                        : HF_RESERVE_BYTES);
        break;
    default: /* all made up, with a version and an operation that exist more often than by chance */
        count = HF_FRAME_HEADER_BYTES + hf_fuzz_below(fuzz, HF_RESERVE_BYTES);
        hf_fuzz_fill(fuzz, bytes, count);
        if (!hf_fuzz_one_in(fuzz, 4))
            bytes[4] = HF_PROTOCOL_VERSION;
        if (!hf_fuzz_one_in(fuzz, 4)) {
            bytes[5] = (uint8_t)any_operation(fuzz);
            count = hf_request_bytes(bytes[5]);
        }
        break;
    }
    return try_request(fuzz, bytes, count);
}

/* ---- replies ---------------------------------------------------------------------------- */

static void make_inventory(struct hf_fuzz *fuzz, struct hf_inventory *inventory)
{
    *inventory = (struct hf_inventory){
        .inventory_id = hf_fuzz_number(fuzz),
        .product_id = hf_fuzz_number(fuzz),
        .lsn = hf_fuzz_number(fuzz),
        .made_at_ns = hf_fuzz_number(fuzz),
        .capacity = (uint32_t)hf_fuzz_number(fuzz),
        .sell_limit = (uint32_t)hf_fuzz_number(fuzz),
        .available = (int32_t)hf_fuzz_number(fuzz),
        .held = (uint32_t)hf_fuzz_number(fuzz),
        .confirmed = (uint32_t)hf_fuzz_number(fuzz),
        .version = (uint32_t)hf_fuzz_number(fuzz),
    };
}

/* Encodes a reply as it was decoded. */
static size_t encode_reply(struct hf_fuzz *fuzz, uint8_t *out, uint64_t tag,
                           const struct hf_reply *reply)
{
    if (hf_result_group(reply->result) != HF_GROUP_YES || reply->operation == HF_OP_PING)
        return hf_reply_encode_short(out, reply->operation, tag, reply->result, reply->field,
                                     reply->available, reply->version);
    size_t count = 0;
    switch (reply->operation) {
    case HF_OP_INFO:
        count = hf_reply_encode_info(out, tag, &reply->info);
        break;
    case HF_OP_STATE_HASH:
        count = hf_reply_encode_hash(out, tag, reply->state_hash, reply->lsn_before,
                                     reply->lsn_after, reply->reservations);
        break;
    case HF_OP_INVENTORY_LIST:
        count = hf_reply_encode_page(out, tag, reply->next, reply->inventories, reply->count);
        break;
    case HF_OP_INVENTORY_CREATE:
    case HF_OP_INVENTORY_GET:
        count =
            hf_reply_encode_inventory(out, reply->operation, tag, reply->result, &reply->inventory);
        break;
    default:
        count = hf_reply_encode_reservation(out, reply->operation, tag, reply->result,
                                            &reply->reservation, reply->repeated);
        break;
    }
    HF_FUZZ_CHECK(fuzz, count >= HF_SHORT_REPLY_BYTES && count <= HF_MAX_REPLY_BYTES);
    return count;
}

/* A reply that a server could give. */
static size_t make_reply(struct hf_fuzz *fuzz, uint8_t *out)
{
    static struct hf_inventory inventories[HF_MAX_LIST_ENTRIES];
    struct hf_reply reply = {
        .operation = (enum hf_operation)any_operation(fuzz),
        .result = 100 * (1 + (unsigned)hf_fuzz_below(fuzz, 6)) + (unsigned)hf_fuzz_below(fuzz, 6),
        .field = (unsigned)hf_fuzz_below(fuzz, 16),
        .available = (int32_t)hf_fuzz_number(fuzz),
        .version = (uint32_t)hf_fuzz_number(fuzz),
        .repeated = hf_fuzz_one_in(fuzz, 2),
        .reservation = {.inventory_id = hf_fuzz_number(fuzz),
                        .customer_id = hf_fuzz_number(fuzz),
                        .lsn = hf_fuzz_number(fuzz),
                        .made_at_ns = hf_fuzz_number(fuzz),
                        .changed_at_ns = hf_fuzz_number(fuzz),
                        .qty = (uint32_t)hf_fuzz_number(fuzz),
                        .sequence = (uint32_t)hf_fuzz_number(fuzz),
                        .state = HF_STATE_CONFIRMED},
        .state_hash = hf_fuzz_number(fuzz),
        .lsn_before = hf_fuzz_number(fuzz),
        .lsn_after = hf_fuzz_number(fuzz),
        .reservations = hf_fuzz_number(fuzz),
        .next = (uint32_t)hf_fuzz_number(fuzz),
        .inventories = inventories,
    };
    hf_fuzz_fill(fuzz, reply.reservation.id.bytes, sizeof reply.reservation.id.bytes);
    make_inventory(fuzz, &reply.inventory);
    reply.info = (struct hf_info){.epoch = hf_fuzz_number(fuzz),
                                  .max_reservations = hf_fuzz_number(fuzz),
                                  .workers = (uint32_t)hf_fuzz_number(fuzz),
                                  .server_version = "9.9.9"};
    if (reply.operation == HF_OP_INVENTORY_LIST) {
        reply.count =
            (uint32_t)(hf_fuzz_one_in(fuzz, 50) ? hf_fuzz_below(fuzz, HF_MAX_LIST_ENTRIES + 1)
                                                : hf_fuzz_below(fuzz, 4));
        for (uint32_t i = 0; i < reply.count; i++)
            make_inventory(fuzz, &inventories[i]);
    }
    return encode_reply(fuzz, out, hf_fuzz_number(fuzz), &reply);
}

/* Decodes a reply in memory of its size. True if it was accepted. */
static bool try_reply(struct hf_fuzz *fuzz, const uint8_t *bytes, size_t count, bool unspoiled)
{
    static struct hf_inventory first_page[HF_MAX_LIST_ENTRIES], second_page[HF_MAX_LIST_ENTRIES];
    static uint8_t first[HF_MAX_REPLY_BYTES], second[HF_MAX_REPLY_BYTES];
    struct exact copy = exact_copy(fuzz, bytes, count);
    struct hf_frame frame;
    struct hf_reply reply;
    hf_put_u32(copy.bytes, (uint32_t)count);
    hf_frame_read(copy.bytes, &frame);
    bool accepted = hf_reply_decode(copy.bytes, &frame, &reply, first_page);
    HF_FUZZ_CHECK(fuzz, memcmp(copy.bytes + 4, bytes + 4, count - 4) == 0);
    HF_FUZZ_CHECK(fuzz, accepted || !unspoiled);
    if (accepted && frame.version == HF_PROTOCOL_VERSION) {
        HF_FUZZ_CHECK(fuzz, reply.operation == (frame.operation & ~(unsigned)HF_REPLY_BIT));
        HF_FUZZ_CHECK(fuzz, reply.result == frame.result);
        HF_FUZZ_CHECK(fuzz, reply.count <= HF_MAX_LIST_ENTRIES);
        HF_FUZZ_CHECK(fuzz, memchr(reply.info.server_version, 0, sizeof reply.info.server_version));
        size_t first_count = encode_reply(fuzz, first, frame.tag, &reply);
        HF_FUZZ_CHECK(fuzz, first_count == count);
        HF_FUZZ_CHECK(fuzz, !unspoiled || memcmp(first, copy.bytes, count) == 0);
        hf_frame_read(first, &frame);
        HF_FUZZ_CHECK(fuzz, hf_reply_decode(first, &frame, &reply, second_page));
        HF_FUZZ_CHECK(fuzz, encode_reply(fuzz, second, frame.tag, &reply) == first_count);
        HF_FUZZ_CHECK(fuzz, memcmp(first, second, first_count) == 0);
    } else if (accepted) {
        HF_FUZZ_CHECK(fuzz, reply.result == HF_UNSUPPORTED_VERSION);
    }
    free(copy.bytes);
    return accepted;
}

static bool fuzz_reply(struct hf_fuzz *fuzz)
{
    static uint8_t bytes[HF_MAX_REPLY_BYTES];
    size_t count = make_reply(fuzz, bytes);
    switch (hf_fuzz_below(fuzz, 5)) {
    case 0:
        return try_reply(fuzz, bytes, count, true);
    case 1:
        hf_fuzz_spoil(fuzz, bytes, count);
        break;
    case 2: /* a page with as many entries as fit, more than there may be */
        if (!hf_fuzz_one_in(fuzz, 8))
            break;
        count = HF_PAGE_HEADER_BYTES +
                HF_INVENTORY_ENTRY_BYTES * (HF_MAX_LIST_ENTRIES - 20 + hf_fuzz_below(fuzz, 44));
        bytes[5] = HF_OP_INVENTORY_LIST | HF_REPLY_BIT;
        hf_put_u16(bytes + 6, HF_FOUND);
        hf_put_u32(bytes + 16,
                   (uint32_t)((count - HF_PAGE_HEADER_BYTES) / HF_INVENTORY_ENTRY_BYTES));
        break;
    case 3: { /* cut or lengthened; HF_MAX_REPLY_BYTES at most, as the client checks */
        size_t other = HF_FRAME_HEADER_BYTES + hf_fuzz_below(fuzz, 256);
        if (other > count)
            hf_fuzz_fill(fuzz, bytes + count, other - count);
        count = other;
        break;
    }
    default:
        count = HF_FRAME_HEADER_BYTES + hf_fuzz_below(fuzz, 256);
        hf_fuzz_fill(fuzz, bytes, count);
        if (!hf_fuzz_one_in(fuzz, 4)) {
            bytes[4] = HF_PROTOCOL_VERSION;
            bytes[5] = (uint8_t)(any_operation(fuzz) | HF_REPLY_BIT);
            hf_put_u16(bytes + 6, (uint16_t)hf_fuzz_below(fuzz, 800));
        }
        break;
    }
    return try_reply(fuzz, bytes, count, false);
}

int main(int argc, char **argv)
{
    struct hf_fuzz fuzz;
    uint64_t requests = 0, replies = 0;
    hf_fuzz_open(&fuzz, "fuzz_codec", argc, argv);
    for (uint64_t i = 0; i < fuzz.rounds; i++) {
        hf_fuzz_begin(&fuzz, fuzz.first + i);
        requests += fuzz_request(&fuzz);
        replies += fuzz_reply(&fuzz);
    }
    printf("fuzz_codec: ok, of %llu each, %llu requests and %llu replies were accepted\n",
           (unsigned long long)fuzz.rounds, (unsigned long long)requests,
           (unsigned long long)replies);
    return 0;
}
