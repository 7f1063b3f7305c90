/*
 * Redis: a Lua script decides and notes a booking, called by its hash (EVALSHA), pipelined.
 *
 *   "i:" + inventory   a string: how many units are available. A counter is what Redis does best.
 *   "r:" + id          a hash: inventory, customer, qty, date (s), state; the id's bytes are raw
 *
 * The script runs alone, so it decides on what is there; it is logged as one transaction
 * (MULTI/EXEC) of its writes, and with `appendfsync always` no reply leaves before that is on the
 * disk. All keys that it touches are told to it, as a cluster asks for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peer/peer.h"
#include "bench/peer/resp.h"
#include "bench/peer/wire.h"

#define SHA_BYTES       40
#define REQUEST_BYTES   512 /* a booking takes at most so many */
#define ANSWER_BYTES    32 /* that is an integer of one digit; errors are longer, and end the run */
#define IN_BYTES        (64u << 10)
#define STOCK_IN_FLIGHT 500

static const char script[] =
    "if redis.call('EXISTS', KEYS[2]) == 1 then\n"
    "  local known = redis.call('HMGET', KEYS[2], 'inventory', 'customer', 'qty')\n"
    "  local same = known[1] == ARGV[1] and known[2] == ARGV[2] and known[3] == ARGV[3]\n"
    "  return same and 2 or 3\n"
    "end\n"
    "local available = redis.call('GET', KEYS[1])\n"
    "if not available then return 4 end\n"
    "if tonumber(available) < tonumber(ARGV[3]) then return 0 end\n"
    "redis.call('DECRBY', KEYS[1], ARGV[3])\n"
    "redis.call('HSET', KEYS[2], 'inventory', ARGV[1], 'customer', ARGV[2], 'qty', ARGV[3],\n"
    "           'date', redis.call('TIME')[1], 'state', 'confirmed')\n"
    "return 1\n";

struct hf_peer_link {
    struct hf_peer_wire wire;
    char sha[SHA_BYTES];
};

/* The next reply of what was received: 1, or 0: not whole yet; -1: it is no reply, or an error. */
static int take(struct hf_peer_wire *wire, struct hf_resp_reply *reply)
{
    switch (hf_resp_read(wire->in + wire->in_begin, wire->in_end - wire->in_begin, reply)) {
    case HF_RESP_PARTIAL:
        return 0;
    case HF_RESP_BAD:
        return HF_PEER_FAIL("what answered does not speak Redis's protocol");
    case HF_RESP_WHOLE:
        break;
    }
    wire->in_begin += reply->taken;
    if (reply->kind == HF_RESP_ERROR)
        return HF_PEER_FAIL("redis: %.*s", (int)reply->byte_count, (const char *)reply->bytes);
    return 1;
}

/* Waits for one reply; it stands until the next is awaited. */
static int await(struct hf_peer_wire *wire, struct hf_resp_reply *reply)
{
    int found;
    while ((found = take(wire, reply)) == 0)
        if (hf_peer_wire_await(wire) < 0)
            return -1;
    return found < 0 ? -1 : 0;
}

/* Puts a command of these words behind what is to be sent. */
static int put_words(struct hf_peer_wire *wire, const char *const words[], uint32_t count)
{
    size_t bytes = HF_RESP_HEAD_BYTES;
    for (uint32_t i = 0; i < count; i++)
        bytes += HF_RESP_HEAD_BYTES + strlen(words[i]) + 2;
    uint8_t *out = hf_peer_wire_room(wire, bytes);
    if (!out)
        return -1;
    out = hf_resp_put_header(out, count);
    for (uint32_t i = 0; i < count; i++)
        out = hf_resp_put_piece(out, words[i], strlen(words[i]));
    wire->out_end = (size_t)(out - wire->out);
    return 0;
}

/* A command about each of the inventories, many in flight; `taken` sees each of the replies. */
static int for_each(struct hf_peer_wire *wire, const struct hf_peer_stock *stock, bool make,
                    int (*taken)(void *context, const struct hf_resp_reply *reply), void *context)
{
    struct hf_resp_reply reply;
    char key[32], available[16];
    snprintf(available, sizeof available, "%u", stock->available);
    for (uint32_t done = 0; done < stock->count;) {
        uint32_t asked = 0;
        for (; asked < STOCK_IN_FLIGHT && done + asked < stock->count; asked++) {
            const char *const words[] = {make ? "SET" : "GET", key, available};
            snprintf(key, sizeof key, "i:%llu",
                     (unsigned long long)(stock->first_id + done + asked));
            if (put_words(wire, words, make ? 3 : 2) < 0)
                return -1;
        }
        for (; asked > 0; asked--, done++)
            if (await(wire, &reply) < 0 || taken(context, &reply) < 0)
                return -1;
    }
    return 0;
}

static int take_ok(void *context, const struct hf_resp_reply *reply)
{
    (void)context;
    if (reply->kind == HF_RESP_STATUS && reply->byte_count == 2 &&
        memcmp(reply->bytes, "OK", 2) == 0)
        return 0;
    return HF_PEER_FAIL("redis did not answer SET with OK");
}

static int add_available(void *context, const struct hf_resp_reply *reply)
{
    int64_t *available = context;
    char text[24] = "", *end = text;
    if (reply->kind == HF_RESP_BYTES && reply->byte_count < sizeof text) {
        memcpy(text, reply->bytes, reply->byte_count);
        text[reply->byte_count] = '\0';
        *available += strtoll(text, &end, 10);
    }
    if (end == text || *end != '\0')
        return HF_PEER_FAIL("redis has no number of units for an inventory");
    return 0;
}

static int make_stock(const char *server, const struct hf_peer_stock *stock)
{
    struct hf_peer_wire wire;
    int result = hf_peer_wire_open(&wire, server, IN_BYTES, (size_t)STOCK_IN_FLIGHT * 128);
    if (result == 0)
        result = for_each(&wire, stock, true, take_ok, NULL);
    hf_peer_wire_close(&wire);
    return result;
}

/* Every key that is no inventory of this run is a reservation: it is their growth that tells. */
static int count(const char *server, const struct hf_peer_stock *stock,
                 struct hf_peer_counts *counts)
{
    const char *const words[] = {"DBSIZE"};
    struct hf_resp_reply reply;
    struct hf_peer_wire wire;
    counts->available = 0;
    int result = hf_peer_wire_open(&wire, server, IN_BYTES, (size_t)STOCK_IN_FLIGHT * 128);
    if (result == 0)
        result = for_each(&wire, stock, false, add_available, &counts->available);
    if (result == 0 && (put_words(&wire, words, 1) < 0 || await(&wire, &reply) < 0))
        result = -1;
    if (result == 0 && (reply.kind != HF_RESP_INTEGER || reply.integer < (int64_t)stock->count))
        result = HF_PEER_FAIL("redis does not know how many keys it has");
    if (result == 0)
        counts->reservations = (uint64_t)reply.integer - stock->count;
    hf_peer_wire_close(&wire);
    return result;
}

static void close_link(struct hf_peer_link *link)
{
    hf_peer_wire_close(&link->wire);
    free(link);
}

static struct hf_peer_link *open_link(const char *server, uint32_t depth)
{
    const char *const words[] = {"SCRIPT", "LOAD", script};
    struct hf_resp_reply reply;
    struct hf_peer_link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    if (hf_peer_wire_open(&link->wire, server, IN_BYTES + (size_t)depth * ANSWER_BYTES,
                          (size_t)(depth + 8) * REQUEST_BYTES) == 0 &&
        put_words(&link->wire, words, 3) == 0 && await(&link->wire, &reply) == 0) {
        if (reply.kind == HF_RESP_BYTES && reply.byte_count == SHA_BYTES) {
            memcpy(link->sha, reply.bytes, SHA_BYTES);
            return link;
        }
        hf_peer_say("redis did not answer SCRIPT LOAD with a hash");
    }
    close_link(link);
    return NULL;
}

static int link_socket(const struct hf_peer_link *link)
{
    return link->wire.socket;
}

static int ask(struct hf_peer_link *link, const struct hf_peer_booking *booking)
{
    char inventory[32];
    uint8_t reservation[2 + HF_PEER_ID_BYTES] = "r:";
    uint8_t *out = hf_peer_wire_room(&link->wire, REQUEST_BYTES);
    if (!out)
        return -1;
    int inventory_bytes =
        snprintf(inventory, sizeof inventory, "i:%llu", (unsigned long long)booking->inventory_id);
    memcpy(reservation + 2, booking->id, HF_PEER_ID_BYTES);
    out = hf_resp_put_header(out, 8);
    out = hf_resp_put_piece(out, "EVALSHA", 7);
    out = hf_resp_put_piece(out, link->sha, SHA_BYTES);
    out = hf_resp_put_piece(out, "2", 1);
    out = hf_resp_put_piece(out, inventory, (size_t)inventory_bytes);
    out = hf_resp_put_piece(out, reservation, sizeof reservation);
    out = hf_resp_put_number(out, booking->inventory_id);
    out = hf_resp_put_number(out, booking->customer_id);
    out = hf_resp_put_number(out, booking->qty);
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
    struct hf_resp_reply reply;
    int found = take(&link->wire, &reply);
    if (found <= 0)
        return found;
    if (reply.kind != HF_RESP_INTEGER)
        return HF_PEER_FAIL("redis answered a booking with something that is no number");
    return hf_peer_outcome_read("redis", reply.integer, &answer->outcome) < 0 ? -1 : 1;
}

const struct hf_peer hf_peer_redis = {
    .name = "redis",
    .meaning = "a Lua script, called by its hash",
    .in_order = true,
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
