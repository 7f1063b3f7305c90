/*
 * Tarantool: a stored procedure in Lua decides and notes a booking, called over IPROTO, pipelined.
 *
 * Spaces and procedures are made by bench/peer/tarantool.lua, which the server runs when it starts,
 * as is the custom there. Replies carry the number of their request, and may come in any order.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/peer/iproto.h"
#include "bench/peer/msgpack.h"
#include "bench/peer/peer.h"
#include "bench/peer/wire.h"

#define REQUEST_BYTES 256
#define IN_BYTES      (64u << 10)
#define ANSWER_BYTES  64

struct hf_peer_link {
    struct hf_peer_wire wire;
};

static int take(struct hf_peer_wire *wire, struct hf_iproto_reply *reply)
{
    switch (hf_iproto_read(wire->in + wire->in_begin, wire->in_end - wire->in_begin, reply)) {
    case HF_IPROTO_PARTIAL:
        return 0;
    case HF_IPROTO_BAD:
        return HF_PEER_FAIL("what answered does not speak Tarantool's protocol, or the "
                            "procedures of tarantool.lua are not there");
    case HF_IPROTO_WHOLE:
        break;
    }
    wire->in_begin += reply->taken;
    if (reply->error != 0)
        return HF_PEER_FAIL("tarantool: error 0x%x: %.*s", reply->error, (int)reply->text_bytes,
                            (const char *)reply->text);
    return 1;
}

/* Connects, and takes the greeting. */
static int open_wire(struct hf_peer_wire *wire, const char *server, uint32_t depth)
{
    if (hf_peer_wire_open(wire, server, IN_BYTES + (size_t)depth * ANSWER_BYTES,
                          (size_t)(depth + 1) * REQUEST_BYTES) < 0)
        return -1;
    while (wire->in_end < HF_IPROTO_GREETING_BYTES)
        if (hf_peer_wire_await(wire) < 0)
            return -1;
    if (memcmp(wire->in, "Tarantool", 9) != 0)
        return HF_PEER_FAIL("what answered is not Tarantool");
    wire->in_begin = HF_IPROTO_GREETING_BYTES;
    return 0;
}

/* Calls a procedure with the stock's numbers, and waits for its values: `wanted` of them. */
static int call(const char *server, const char *procedure, const struct hf_peer_stock *stock,
                struct hf_iproto_reply *reply, uint32_t wanted)
{
    struct hf_peer_wire wire;
    int found = 0, result = open_wire(&wire, server, 1);
    uint8_t *begin = result == 0 ? hf_peer_wire_room(&wire, REQUEST_BYTES) : NULL;
    if (begin) {
        uint8_t *out = hf_iproto_begin_call(begin, 1, procedure, 3);
        out = hf_msgpack_put_uint(out, stock->first_id);
        out = hf_msgpack_put_uint(out, stock->count);
        out = hf_msgpack_put_uint(out, stock->available);
        hf_iproto_end_call(begin, out);
        wire.out_end = (size_t)(out - wire.out);
    } else {
        result = -1;
    }
    while (result == 0 && found == 0) {
        found = take(&wire, reply);
        if (found < 0 || (found == 0 && hf_peer_wire_await(&wire) < 0))
            result = -1;
    }
    hf_peer_wire_close(&wire); /* the values were copied */
    if (result == 0 && reply->value_count != wanted)
        result = HF_PEER_FAIL("tarantool: %s() gave %u values", procedure, reply->value_count);
    return result;
}

static int make_stock(const char *server, const struct hf_peer_stock *stock)
{
    struct hf_iproto_reply reply = {0};
    return call(server, "make_stock", stock, &reply, 0);
}

static int count(const char *server, const struct hf_peer_stock *stock,
                 struct hf_peer_counts *counts)
{
    struct hf_iproto_reply reply = {0};
    if (call(server, "count", stock, &reply, 2) != 0)
        return -1;
    counts->available = (int64_t)reply.values[0];
    counts->reservations = reply.values[1];
    return 0;
}

static void close_link(struct hf_peer_link *link)
{
    hf_peer_wire_close(&link->wire);
    free(link);
}

static struct hf_peer_link *open_link(const char *server, uint32_t depth)
{
    struct hf_peer_link *link = calloc(1, sizeof *link);
    if (link && open_wire(&link->wire, server, depth) < 0) {
        close_link(link);
        return NULL;
    }
    return link;
}

static int link_socket(const struct hf_peer_link *link)
{
    return link->wire.socket;
}

static int ask(struct hf_peer_link *link, const struct hf_peer_booking *booking)
{
    uint8_t *begin = hf_peer_wire_room(&link->wire, REQUEST_BYTES);
    if (!begin)
        return -1;
    uint8_t *out = hf_iproto_begin_call(begin, booking->tag, "book", 4);
    out = hf_msgpack_put_string(out, booking->id, HF_PEER_ID_BYTES);
    out = hf_msgpack_put_uint(out, booking->inventory_id);
    out = hf_msgpack_put_uint(out, booking->customer_id);
    out = hf_msgpack_put_uint(out, booking->qty);
    hf_iproto_end_call(begin, out);
    link->wire.out_end = (size_t)(out - link->wire.out);
    return 0;
}

static int flush(struct hf_peer_link *link)
{
    return hf_peer_wire_flush(&link->wire);
}

static int receive(struct hf_peer_link *link)
{
    return hf_peer_wire_receive(&link->wire);
}

static int next(struct hf_peer_link *link, struct hf_peer_answer *answer)
{
    struct hf_iproto_reply reply;
    int found = take(&link->wire, &reply);
    if (found <= 0)
        return found;
    if (reply.value_count != 1)
        return HF_PEER_FAIL("tarantool: book() gave %u values", reply.value_count);
    answer->tag = reply.sync;
    return hf_peer_outcome_read("tarantool", (int64_t)reply.values[0], &answer->outcome) < 0 ? -1
                                                                                             : 1;
}

const struct hf_peer hf_peer_tarantool = {
    .name = "tarantool",
    .meaning = "a stored procedure in Lua",
    .in_order = false,
    .make_stock = make_stock,
    .count = count,
    .open = open_link,
    .close = close_link,
    .socket = link_socket,
    .ask = ask,
    .flush = flush,
    .receive = receive,
    .next = next,
};
