/*
 * The codec, held to the vectors of docs/vectors/protocol.txt in both directions, and to what the
 * vectors cannot say: that no bytes make it read or write where it must not.
 *
 * Each vector is built from its fields and must give its bytes, and is decoded from its bytes and
 * must give its fields. So a vector whose bytes and fields disagree fails, whichever is wrong.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "holdfast/result.h"
#include "net/codec.h"

#define VECTORS_PATH    "docs/vectors/protocol.txt"
#define MAX_PAIRS       64
#define LINE_BYTES      2048
#define MAX_FRAME_BYTES 1024

/* One vector: its name=value pairs in order, and the bytes of `hex`. */
struct vector {
    unsigned pair_count;
    char lines[MAX_PAIRS][LINE_BYTES];
    const char *names[MAX_PAIRS], *values[MAX_PAIRS]; /* in `lines` */
    uint8_t bytes[MAX_FRAME_BYTES];
    struct hf_frame frame;
};

/* ---- reading the file ------------------------------------------------------------------- */

static const char *value_of(const struct vector *vector, const char *name)
{
    for (unsigned i = 0; i < vector->pair_count; i++) {
        if (strcmp(vector->names[i], name) == 0)
            return vector->values[i];
    }
    cr_assert_fail("vector %s has no %s", vector->values[0], name);
    return "";
}

static uint64_t unsigned_of(const struct vector *vector, const char *name)
{
    const char *text = value_of(vector, name);
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    cr_assert(*text != '\0' && *end == '\0', "vector %s: %s=%s", vector->values[0], name, text);
    return value;
}

static int32_t signed_of(const struct vector *vector, const char *name)
{
    return (int32_t)strtol(value_of(vector, name), NULL, 10);
}

static struct hf_id id_of(const struct vector *vector, const char *name)
{
    struct hf_id id;
    cr_assert(hf_id_parse(value_of(vector, name), &id));
    return id;
}

static void read_hex(struct vector *vector)
{
    const char *hex = value_of(vector, "hex");
    size_t length = strlen(hex) / 2;
    cr_assert_leq(length, sizeof vector->bytes);
    for (size_t i = 0; i < length; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        vector->bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    hf_frame_read(vector->bytes, &vector->frame);
    cr_assert_eq(vector->frame.frame_bytes, length, "vector %s", vector->values[0]);
}

/* The next vector of the file; false at its end. */
static bool next_vector(FILE *file, struct vector *vector)
{
    vector->pair_count = 0;
    while (vector->pair_count < MAX_PAIRS) {
        char *line = vector->lines[vector->pair_count];
        if (fgets(line, LINE_BYTES, file) == NULL)
            break;
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' && vector->pair_count > 0)
            break;
        if (line[0] == '\0' || line[0] == '#')
            continue;
        char *equals = strchr(line, '=');
        cr_assert_not_null(equals, "%s", line);
        *equals = '\0';
        vector->names[vector->pair_count] = line;
        vector->values[vector->pair_count] = equals + 1;
        vector->pair_count++;
    }
    cr_assert_lt(vector->pair_count, MAX_PAIRS);
    if (vector->pair_count == 0)
        return false;
    read_hex(vector);
    return true;
}

/* Calls `check` for every vector of `kind`; there must be some. */
static void for_each_vector(const char *kind, void (*check)(const struct vector *))
{
    static struct vector vector;
    unsigned count = 0;
    FILE *file = fopen(VECTORS_PATH, "r");
    cr_assert_not_null(file, "%s: the tests run in the project's directory", VECTORS_PATH);
    while (next_vector(file, &vector)) {
        if (strcmp(value_of(&vector, "kind"), kind) == 0) {
            check(&vector);
            count++;
        }
    }
    fclose(file);
    cr_assert_gt(count, 0);
}

static void check_bytes(const struct vector *vector, const uint8_t *encoded, size_t encoded_bytes)
{
    const char *name = value_of(vector, "name");
    cr_assert_eq(encoded_bytes, vector->frame.frame_bytes, "%s: encoded to %zu bytes", name,
                 encoded_bytes);
    for (size_t i = 0; i < encoded_bytes; i++)
        cr_assert_eq(encoded[i], vector->bytes[i], "%s: byte %zu is %02x, not %02x", name, i,
                     encoded[i], vector->bytes[i]);
}

/* ---- requests --------------------------------------------------------------------------- */

static struct hf_request request_of(const struct vector *vector)
{
    struct hf_request request = {.operation = (enum hf_operation)unsigned_of(vector, "operation")};
    for (unsigned i = 0; i < vector->pair_count; i++) {
        const char *name = vector->names[i];
        if (strcmp(name, "reservation_id") == 0)
            request.id = id_of(vector, name);
        else if (strcmp(name, "inventory_id") == 0)
            request.inventory_id = unsigned_of(vector, name);
        else if (strcmp(name, "customer_id") == 0)
            request.customer_id = unsigned_of(vector, name);
        else if (strcmp(name, "product_id") == 0)
            request.product_id = unsigned_of(vector, name);
        else if (strcmp(name, "qty") == 0)
            request.qty = (uint32_t)unsigned_of(vector, name);
        else if (strcmp(name, "capacity") == 0)
            request.capacity = (uint32_t)unsigned_of(vector, name);
        else if (strcmp(name, "from") == 0)
            request.from = (uint32_t)unsigned_of(vector, name);
        else if (strcmp(name, "limit") == 0)
            request.limit = (uint32_t)unsigned_of(vector, name);
    }
    return request;
}

static void check_request(const struct vector *vector)
{
    const char *name = value_of(vector, "name");
    struct hf_request expected = request_of(vector), decoded;
    uint8_t encoded[HF_RESERVE_BYTES];
    check_bytes(vector, encoded, hf_request_encode(encoded, &expected, unsigned_of(vector, "tag")));

    enum hf_field field;
    cr_assert_eq(hf_request_decode(vector->bytes, &vector->frame, &decoded, &field), HF_OK, "%s",
                 name);
    cr_assert_eq(field, HF_FIELD_NONE, "%s", name);
    cr_assert_eq(vector->frame.tag, unsigned_of(vector, "tag"), "%s", name);
    cr_assert_eq(decoded.operation, expected.operation, "%s", name);
    cr_assert(hf_id_equal(&decoded.id, &expected.id), "%s", name);
    cr_assert_eq(decoded.inventory_id, expected.inventory_id, "%s", name);
    cr_assert_eq(decoded.customer_id, expected.customer_id, "%s", name);
    cr_assert_eq(decoded.product_id, expected.product_id, "%s", name);
    cr_assert_eq(decoded.qty, expected.qty, "%s", name);
    cr_assert_eq(decoded.capacity, expected.capacity, "%s", name);
    cr_assert_eq(decoded.from, expected.from, "%s", name);
    cr_assert_eq(decoded.limit, expected.limit, "%s", name);
}

Test(codec, requests_are_encoded_and_decoded_as_the_vectors_say)
{
    /* Every request of the vectors: each operation, with small, largest and zero fields. */
    for_each_vector("request", check_request);
}

static void check_bad_request(const struct vector *vector)
{
    struct hf_request request;
    enum hf_field field;
    enum hf_result result = hf_request_decode(vector->bytes, &vector->frame, &request, &field);
    cr_assert_eq(result, unsigned_of(vector, "result"), "%s: %s", value_of(vector, "name"),
                 hf_result_name(result));
    cr_assert_eq(field, unsigned_of(vector, "field"), "%s: %s", value_of(vector, "name"),
                 hf_field_name(field));
}

Test(codec, bad_requests_are_refused_for_what_is_wrong_first)
{
    /* Every refused request of the vectors, several wrong in two ways at once. */
    for_each_vector("bad-request", check_bad_request);
}

Test(codec, every_reserved_byte_of_a_request_must_be_zero)
{
    /* A valid request of each operation, with one bit set in each byte that has no meaning. */
    static const struct {
        struct hf_request request;
        unsigned from, to;
    } cases[] = {
        {{.operation = HF_OP_PING}, 6, 8},
        {{.operation = HF_OP_RESERVE, .qty = 1}, 6, 8},
        {{.operation = HF_OP_RESERVE, .qty = 1}, 52, 64},
        {{.operation = HF_OP_INVENTORY_CREATE, .capacity = 1}, 36, 48},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned at = cases[i].from; at < cases[i].to; at++) {
            uint8_t bytes[HF_RESERVE_BYTES];
            struct hf_frame frame;
            struct hf_request request;
            enum hf_field field;
            hf_request_encode(bytes, &cases[i].request, 1);
            bytes[at] = 0x10;
            hf_frame_read(bytes, &frame);
            cr_assert_eq(hf_request_decode(bytes, &frame, &request, &field), HF_BAD_FRAME);
            cr_assert_eq(field, HF_FIELD_RESERVED, "byte %u", at);
        }
    }
}

Test(codec, an_unknown_operation_is_not_encoded)
{
    /* A request whose operation no version has. */
    uint8_t bytes[HF_RESERVE_BYTES];
    struct hf_request request = {.operation = (enum hf_operation)99};
    cr_assert_eq(hf_request_bytes(99), 0);
    cr_assert_eq(hf_request_encode(bytes, &request, 1), 0);
}

/* ---- replies ---------------------------------------------------------------------------- */

static struct hf_inventory inventory_of(const struct vector *vector, const char *prefix)
{
    struct hf_inventory inventory = {0};
    char name[40];
#define NUMBER(field)                                                                              \
    snprintf(name, sizeof name, "%s" #field, prefix);                                              \
    inventory.field = (__typeof__(inventory.field))unsigned_of(vector, name)
    NUMBER(inventory_id);
    NUMBER(product_id);
    NUMBER(lsn);
    NUMBER(made_at_ns);
    NUMBER(capacity);
    NUMBER(sell_limit);
    NUMBER(held);
    NUMBER(confirmed);
    NUMBER(version);
#undef NUMBER
    snprintf(name, sizeof name, "%savailable", prefix);
    inventory.available = signed_of(vector, name);
    return inventory;
}

static void check_inventory(const char *name, const struct hf_inventory *decoded,
                            const struct hf_inventory *expected)
{
    cr_assert_eq(decoded->inventory_id, expected->inventory_id, "%s", name);
    cr_assert_eq(decoded->product_id, expected->product_id, "%s", name);
    cr_assert_eq(decoded->lsn, expected->lsn, "%s", name);
    cr_assert_eq(decoded->made_at_ns, expected->made_at_ns, "%s", name);
    cr_assert_eq(decoded->capacity, expected->capacity, "%s", name);
    cr_assert_eq(decoded->sell_limit, expected->sell_limit, "%s", name);
    cr_assert_eq(decoded->available, expected->available, "%s", name);
    cr_assert_eq(decoded->held, expected->held, "%s", name);
    cr_assert_eq(decoded->confirmed, expected->confirmed, "%s", name);
    cr_assert_eq(decoded->version, expected->version, "%s", name);
}

/* What every reply vector says: encoded into `out`, and held against what was decoded. */
struct reply_case {
    const struct vector *vector;
    const char *name;
    unsigned operation, result;
    uint64_t tag;
    const struct hf_reply *decoded;
    uint8_t out[MAX_FRAME_BYTES];
};

static size_t check_short_reply(struct reply_case *c)
{
    int32_t available = signed_of(c->vector, "available");
    uint32_t version = (uint32_t)unsigned_of(c->vector, "version");
    unsigned field = (unsigned)unsigned_of(c->vector, "field");
    cr_assert_eq(c->decoded->available, available, "%s", c->name);
    cr_assert_eq(c->decoded->version, version, "%s", c->name);
    cr_assert_eq(c->decoded->field, field, "%s", c->name);
    return hf_reply_encode_short(c->out, c->operation, c->tag, c->result, field, available,
                                 version);
}

static size_t check_reservation_reply(struct reply_case *c)
{
    struct hf_reservation expected = {.id = id_of(c->vector, "reservation_id")};
    const struct hf_reservation *decoded = &c->decoded->reservation;
    cr_assert(hf_id_equal(&decoded->id, &expected.id), "%s", c->name);
#define NUMBER(field)                                                                              \
    expected.field = (__typeof__(expected.field))unsigned_of(c->vector, #field);                   \
    cr_assert_eq(decoded->field, expected.field, "%s: " #field, c->name)
    NUMBER(inventory_id);
    NUMBER(customer_id);
    NUMBER(lsn);
    NUMBER(made_at_ns);
    NUMBER(changed_at_ns);
    NUMBER(qty);
    NUMBER(sequence);
    NUMBER(state);
#undef NUMBER
    bool repeated = unsigned_of(c->vector, "flags") == HF_REPLY_FLAG_REPEATED;
    cr_assert_eq(c->decoded->repeated, repeated, "%s", c->name);
    return hf_reply_encode_reservation(c->out, c->operation, c->tag, c->result, &expected,
                                       repeated);
}

static size_t check_inventory_reply(struct reply_case *c)
{
    struct hf_inventory expected = inventory_of(c->vector, "");
    check_inventory(c->name, &c->decoded->inventory, &expected);
    return hf_reply_encode_inventory(c->out, c->operation, c->tag, c->result, &expected);
}

static size_t check_page_reply(struct reply_case *c)
{
    struct hf_inventory expected[4];
    uint32_t count = (uint32_t)unsigned_of(c->vector, "count");
    uint32_t next = (uint32_t)unsigned_of(c->vector, "next");
    cr_assert_leq(count, 4);
    cr_assert_eq(c->decoded->count, count, "%s", c->name);
    cr_assert_eq(c->decoded->next, next, "%s", c->name);
    for (uint32_t i = 0; i < count; i++) {
        char prefix[20];
        snprintf(prefix, sizeof prefix, "entry%" PRIu32 ".", i);
        expected[i] = inventory_of(c->vector, prefix);
        check_inventory(c->name, &c->decoded->inventories[i], &expected[i]);
    }
    return hf_reply_encode_page(c->out, c->tag, next, expected, count);
}

static size_t check_hash_reply(struct reply_case *c)
{
    cr_assert_eq(c->decoded->state_hash, unsigned_of(c->vector, "state_hash"), "%s", c->name);
    cr_assert_eq(c->decoded->lsn_before, unsigned_of(c->vector, "lsn_before"), "%s", c->name);
    cr_assert_eq(c->decoded->lsn_after, unsigned_of(c->vector, "lsn_after"), "%s", c->name);
    cr_assert_eq(c->decoded->reservations, unsigned_of(c->vector, "reservations"), "%s", c->name);
    return hf_reply_encode_hash(c->out, c->tag, c->decoded->state_hash, c->decoded->lsn_before,
                                c->decoded->lsn_after, c->decoded->reservations);
}

static size_t check_info_reply(struct reply_case *c)
{
    const struct hf_info *info = &c->decoded->info;
    struct hf_id log_id = id_of(c->vector, "log_id");
    cr_assert_eq(memcmp(info->log_id, log_id.bytes, sizeof log_id.bytes), 0, "%s", c->name);
#define NUMBER(field) cr_assert_eq(info->field, unsigned_of(c->vector, #field), "%s", c->name)
    NUMBER(epoch);
    NUMBER(started_at_ns);
    NUMBER(now_ns);
    NUMBER(next_lsn);
    NUMBER(commit_lsn);
    NUMBER(durable_lsn);
    NUMBER(recovered_records);
    NUMBER(recovered_reservations);
    NUMBER(recovery_ns);
    NUMBER(reservations);
    NUMBER(max_reservations);
    NUMBER(connections);
    NUMBER(log_bytes);
    NUMBER(log_blocks);
    NUMBER(inventories);
    NUMBER(max_inventories);
    NUMBER(workers);
    NUMBER(durability);
#undef NUMBER
    cr_assert_str_eq(info->server_version, value_of(c->vector, "server_version"));
    return hf_reply_encode_info(c->out, c->tag, info);
}

static void check_reply(const struct vector *vector)
{
    static const struct {
        const char *shape;
        size_t (*check)(struct reply_case *);
    } shapes[] = {
        {"short", check_short_reply},         {"reservation", check_reservation_reply},
        {"inventory", check_inventory_reply}, {"page", check_page_reply},
        {"hash", check_hash_reply},           {"info", check_info_reply},
    };
    static struct hf_inventory inventories[HF_MAX_LIST_ENTRIES];
    struct hf_reply decoded;
    struct reply_case c = {.vector = vector,
                           .name = value_of(vector, "name"),
                           .operation = (unsigned)unsigned_of(vector, "operation"),
                           .result = (unsigned)unsigned_of(vector, "result"),
                           .tag = unsigned_of(vector, "tag"),
                           .decoded = &decoded};
    /* What the encoders leave alone must show. */
    memset(c.out, 0xee, sizeof c.out);
    cr_assert(hf_reply_decode(vector->bytes, &vector->frame, &decoded, inventories), "%s", c.name);
    cr_assert_eq(vector->frame.tag, c.tag, "%s", c.name);
    cr_assert_eq((unsigned)decoded.operation, c.operation, "%s", c.name);
    cr_assert_eq(decoded.result, c.result, "%s", c.name);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (strcmp(shapes[i].shape, value_of(vector, "shape")) == 0) {
            check_bytes(vector, c.out, shapes[i].check(&c));
            return;
        }
    }
    cr_assert_fail("%s: unknown shape", c.name);
}

Test(codec, replies_are_encoded_and_decoded_as_the_vectors_say)
{
    /* Every reply of the vectors: each shape, each result a server sends, an unknown one too. */
    for_each_vector("reply", check_reply);
}

static void check_bad_reply(const struct vector *vector)
{
    static struct hf_inventory inventories[HF_MAX_LIST_ENTRIES];
    struct hf_reply reply;
    cr_assert_not(hf_reply_decode(vector->bytes, &vector->frame, &reply, inventories), "%s",
                  value_of(vector, "name"));
}

Test(codec, what_is_not_a_reply_is_refused)
{
    /* Every frame of the vectors that no server of this version sends. */
    for_each_vector("bad-reply", check_bad_reply);
}

static void check_newer_reply(const struct vector *vector)
{
    struct hf_reply reply;
    cr_assert(hf_reply_decode(vector->bytes, &vector->frame, &reply, NULL));
    cr_assert_eq((unsigned)reply.operation, unsigned_of(vector, "operation"));
    cr_assert_eq(reply.result, unsigned_of(vector, "result"));
    cr_assert_eq(reply.field, unsigned_of(vector, "field"));
}

Test(codec, a_server_of_another_version_can_say_so)
{
    /* A frame of version 2, of unknown length and body, whose result is UNSUPPORTED_VERSION. */
    for_each_vector("newer-reply", check_newer_reply);
}

Test(codec, the_server_version_always_ends)
{
    /* An INFO reply whose version text fills all 16 bytes. */
    uint8_t bytes[HF_INFO_REPLY_BYTES];
    struct hf_info info = {.workers = 1};
    struct hf_frame frame;
    struct hf_reply reply;
    hf_reply_encode_info(bytes, 1, &info);
    memset(bytes + 160, 'x', 16);
    hf_frame_read(bytes, &frame);
    cr_assert(hf_reply_decode(bytes, &frame, &reply, NULL));
    cr_assert_eq(strlen(reply.info.server_version), 15);
}

Test(codec, no_length_makes_a_decoder_read_beyond_the_frame)
{
    /* Each operation with every length from a header to 200 bytes, in memory of just that size, so
     * that AddressSanitizer sees a read too far. */
    static struct hf_inventory inventories[HF_MAX_LIST_ENTRIES];
    static const uint16_t results[] = {0, HF_GRANTED, HF_SOLD_OUT, 9999};
    for (unsigned operation = 0; operation < 256; operation++) {
        for (uint32_t frame_bytes = HF_FRAME_HEADER_BYTES; frame_bytes <= 200; frame_bytes++) {
            uint8_t *bytes = malloc(frame_bytes);
            memset(bytes, 1, frame_bytes);
            for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
                struct hf_frame frame = {.frame_bytes = frame_bytes,
                                         .version = HF_PROTOCOL_VERSION,
                                         .operation = (uint8_t)operation,
                                         .result = results[i],
                                         .tag = 1};
                struct hf_request request;
                struct hf_reply reply;
                enum hf_field field;
                hf_frame_write(bytes, &frame);
                (void)hf_request_decode(bytes, &frame, &request, &field);
                (void)hf_reply_decode(bytes, &frame, &reply, inventories);
            }
            free(bytes);
        }
    }
}
