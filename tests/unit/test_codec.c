/*
 * The codec's requests, held to the vectors of docs/vectors/protocol.txt in both directions, and to
 * what the vectors cannot say: that no bytes make it read or write where it must not.
 *
 * Each vector is built from its fields and must give its bytes, and is decoded from its bytes and
 * must give its fields. So a vector whose bytes and fields disagree fails, whichever is wrong. What
 * a vector does not name is filled with ones before, so that a field that the operation does not
 * have shows if the codec takes it for one.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/request.h"
#include "holdfast/result.h"
#include "net/codec.h"
#include "tests/lib/vectors.h"

#define VECTORS_PATH "docs/vectors/protocol.txt"

/* ---- names of the vectors, members of the structures ------------------------------------ */

#define MEMBER(member, name) HF_VECTOR_MEMBER(struct hf_request, member, name)
static const struct hf_vector_member members[] = {
    MEMBER(flags, "flags"),
    MEMBER(id, "reservation_id"),
    MEMBER(inventory_id, "inventory_id"),
    MEMBER(customer_id, "customer_id"),
    MEMBER(product_id, "product_id"),
    MEMBER(qty, "qty"),
    MEMBER(capacity, "capacity"),
    MEMBER(expected, "expected"),
    MEMBER(from, "from"),
    MEMBER(from, "from_sequence"),
    MEMBER(limit, "limit"),
    MEMBER(ttl_ns, "ttl_ns"),
    MEMBER(not_after_ns, "not_after_ns"),
    MEMBER(new_id, "new_id"),
    MEMBER(from_lsn, "from_lsn"),
    MEMBER(watch_tag, "watch_tag"),
    MEMBER(kind, "watch_kind"),
    MEMBER(count, "count"),
    {NULL, 0, 0},
};

/* INVENTORY_SET and RESERVATION_LIST keep some of those names elsewhere. */
static const struct hf_vector_member settings_members[] = {
    MEMBER(flags, "flags"),
    MEMBER(inventory_id, "inventory_id"),
    MEMBER(expected, "expected"),
    MEMBER(change.fields, "fields"),
    MEMBER(change.capacity, "capacity"),
    MEMBER(change.flags_mask, "flags_mask"),
    MEMBER(change.settings.flags, "settings_flags"),
    MEMBER(change.settings.sell_limit, "sell_limit"),
    MEMBER(change.settings.customer_limit, "customer_limit"),
    MEMBER(change.settings.min_qty, "min_qty"),
    MEMBER(change.settings.max_qty, "max_qty"),
    MEMBER(change.settings.waiting_limit, "waiting_limit"),
    MEMBER(change.settings.opens_at_ns, "opens_at_ns"),
    MEMBER(change.settings.closes_at_ns, "closes_at_ns"),
    MEMBER(change.settings.longest_hold_ns, "longest_hold_ns"),
    MEMBER(change.settings.cancel_until_ns, "cancel_until_ns"),
    MEMBER(change.settings.offer_ttl_ns, "offer_ttl_ns"),
    {NULL, 0, 0},
};

static const struct hf_vector_member filter_members[] = {
    MEMBER(flags, "flags"),
    MEMBER(limit, "limit"),
    MEMBER(filter.cursor, "cursor"),
    MEMBER(filter.filters, "filters"),
    MEMBER(filter.states, "states"),
    MEMBER(filter.inventory_id, "inventory_id"),
    MEMBER(filter.customer_id, "customer_id"),
    MEMBER(filter.made_from_ns, "made_from_ns"),
    MEMBER(filter.made_before_ns, "made_before_ns"),
    {NULL, 0, 0},
};
#undef MEMBER

#define MEMBER(member, name) HF_VECTOR_MEMBER(struct hf_line, member, name)
static const struct hf_vector_member line_members[] = {
    MEMBER(operation, "operation"),
    MEMBER(flags, "flags"),
    MEMBER(qty, "qty"),
    MEMBER(id, "reservation_id"),
    MEMBER(inventory_id, "inventory_id"),
    MEMBER(customer_id, "customer_id"),
    MEMBER(ttl_ns, "ttl_ns"),
    MEMBER(expected, "expected"),
    MEMBER(new_id, "new_id"),
    {NULL, 0, 0},
};
#undef MEMBER

static const struct hf_vector_member *members_of(unsigned operation)
{
    if (operation == HF_OP_INVENTORY_SET)
        return settings_members;
    return operation == HF_OP_RESERVATION_LIST ? filter_members : members;
}

static const char *name_of(const struct hf_vector *vector)
{
    return hf_vector_text(vector, "name");
}

static struct hf_frame frame_of(const struct hf_vector *vector)
{
    struct hf_frame frame;
    hf_frame_read(vector->bytes, &frame);
    cr_assert_eq(frame.frame_bytes, vector->byte_count, "%s", name_of(vector));
    return frame;
}

/* A request as the vector has it; all that the vector does not name is ones. */
static void build_request(const struct hf_vector *vector, struct hf_request *request,
                          struct hf_request_scratch *scratch)
{
    char prefix[16];
    memset(request, 0xff, sizeof *request);
    memset(scratch, 0xff, sizeof *scratch);
    request->operation = (enum hf_operation)hf_vector_number(vector, "operation");
    unsigned named = 5; /* name, kind, hex, operation, tag */
    named += hf_vector_fill(vector, "", members_of(request->operation), request);
    if (request->operation == HF_OP_BATCH) {
        for (unsigned i = 0; i < request->count; i++) {
            snprintf(prefix, sizeof prefix, "line%u.", i);
            named += hf_vector_fill(vector, prefix, line_members, &scratch->lines[i]);
        }
    }
    if (request->operation == HF_OP_AVAILABILITY || request->operation == HF_OP_SUBSCRIBE) {
        for (unsigned i = 0; i < request->count; i++, named++) {
            snprintf(prefix, sizeof prefix, "id%u", i);
            scratch->ids[i] = hf_vector_number(vector, prefix);
        }
    }
    request->lines = scratch->lines;
    request->ids = scratch->ids;
    cr_assert_eq(named, vector->pair_count, "%s names what nobody knows", name_of(vector));
}

static void check_lists(const struct hf_vector *vector, const struct hf_request *decoded)
{
    char prefix[16];
    for (unsigned i = 0; decoded->operation == HF_OP_BATCH && i < decoded->count; i++) {
        snprintf(prefix, sizeof prefix, "line%u.", i);
        const char *wrong = hf_vector_difference(vector, prefix, line_members, &decoded->lines[i]);
        cr_assert_null(wrong, "%s: %s%s", name_of(vector), prefix, wrong);
    }
    bool ids = decoded->operation == HF_OP_AVAILABILITY || decoded->operation == HF_OP_SUBSCRIBE;
    for (unsigned i = 0; ids && i < decoded->count; i++) {
        snprintf(prefix, sizeof prefix, "id%u", i);
        cr_assert_eq(decoded->ids[i], hf_vector_number(vector, prefix), "%s: %s", name_of(vector),
                     prefix);
    }
}

/* ---- requests --------------------------------------------------------------------------- */

static void check_request(const struct hf_vector *vector)
{
    static struct hf_request_scratch built_scratch, scratch;
    static uint8_t encoded[HF_MAX_REQUEST_BYTES];
    struct hf_request built, decoded;
    const char *name = name_of(vector);
    struct hf_frame frame = frame_of(vector);
    uint64_t tag = hf_vector_number(vector, "tag");
    build_request(vector, &built, &built_scratch);
    memset(encoded, 0xee, sizeof encoded);
    cr_assert_eq(hf_request_encoded_bytes(&built), vector->byte_count, "%s", name);
    cr_assert_eq(hf_request_encode(encoded, &built, tag), vector->byte_count, "%s", name);
    for (size_t i = 0; i < vector->byte_count; i++)
        cr_assert_eq(encoded[i], vector->bytes[i], "%s: byte %zu is %02x, not %02x", name, i,
                     encoded[i], vector->bytes[i]);

    enum hf_field field;
    unsigned line = 99;
    memset(&decoded, 0xff, sizeof decoded);
    enum hf_result result =
        hf_request_decode(vector->bytes, &frame, &decoded, &scratch, &field, &line);
    cr_assert_eq(result, HF_OK, "%s: %s of %s in line %u", name, hf_result_name(result),
                 hf_field_name(field), line);
    cr_assert_eq(field, HF_FIELD_NONE, "%s", name);
    cr_assert_eq(line, 0, "%s", name);
    cr_assert_eq(frame.tag, tag, "%s", name);
    cr_assert_eq(decoded.operation, hf_vector_number(vector, "operation"), "%s", name);
    const char *wrong = hf_vector_difference(vector, "", members_of(decoded.operation), &decoded);
    cr_assert_null(wrong, "%s: %s", name, wrong);
    check_lists(vector, &decoded);
}

Test(codec, requests_are_encoded_and_decoded_as_the_vectors_say)
{
    /* Every request of the vectors: each operation, with small, largest and zero fields. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "request", check_request), 70);
}

static uint8_t seen_operations[256];

static void see_operation(const struct hf_vector *vector)
{
    seen_operations[vector->bytes[5]] = 1;
}

Test(codec, every_operation_has_a_vector)
{
    /* The list of operations against the vectors. */
    hf_vectors_each(VECTORS_PATH, "request", see_operation);
#define X(name, number, bytes) cr_assert(seen_operations[number], #name " has no vector");
    HF_OPERATIONS(X)
#undef X
}

static void check_bad_request(const struct hf_vector *vector)
{
    static struct hf_request_scratch scratch;
    struct hf_request request;
    struct hf_frame frame = frame_of(vector);
    enum hf_field field;
    unsigned line = 99, right_line = 0;
    if (hf_vector_find(vector, "line") != NULL)
        right_line = (unsigned)hf_vector_number(vector, "line");
    enum hf_result result =
        hf_request_decode(vector->bytes, &frame, &request, &scratch, &field, &line);
    cr_assert_eq(result, hf_vector_number(vector, "result"), "%s: %s", name_of(vector),
                 hf_result_name(result));
    cr_assert_eq(field, hf_vector_number(vector, "field"), "%s: %s", name_of(vector),
                 hf_field_name(field));
    cr_assert_eq(line, right_line, "%s: line %u", name_of(vector), line);
}

Test(codec, bad_requests_are_refused_for_what_is_wrong_first)
{
    /* Every refused request of the vectors, several wrong in two ways at once. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "bad-request", check_bad_request), 100);
}

/* Decodes what was encoded, after `change` has spoilt byte `at`. */
static enum hf_result decode_spoilt(const struct hf_request *request, size_t at, uint8_t value,
                                    enum hf_field *field, unsigned *line)
{
    static struct hf_request_scratch scratch;
    static uint8_t bytes[HF_MAX_REQUEST_BYTES];
    struct hf_frame frame;
    struct hf_request decoded;
    cr_assert_gt(hf_request_encode(bytes, request, 1), at);
    bytes[at] = value;
    hf_frame_read(bytes, &frame);
    return hf_request_decode(bytes, &frame, &decoded, &scratch, field, line);
}

Test(codec, every_reserved_byte_of_a_request_must_be_zero)
{
    /* A valid request of each operation that has some, with a bit set in each byte that has no
     * meaning. */
    struct hf_line line = {.operation = HF_OP_RELEASE, .id = {{1}}};
    struct hf_line claim = {.operation = HF_OP_RESERVE, .qty = 1};
    uint64_t inventory_id = 1;
    const struct hf_request create = {.operation = HF_OP_INVENTORY_CREATE, .capacity = 1};
    const struct hf_request reserve = {.operation = HF_OP_RESERVE, .qty = 1};
    const struct hf_request release = {.operation = HF_OP_RELEASE, .id = {{1}}};
    const struct hf_request cancel = {.operation = HF_OP_CANCEL, .id = {{1}}, .expected = 1};
    const struct hf_request confirm = {.operation = HF_OP_CONFIRM, .id = {{1}}};
    const struct hf_request move = {.operation = HF_OP_MOVE, .id = {{1}}};
    const struct hf_request extend = {.operation = HF_OP_EXTEND, .id = {{1}}, .ttl_ns = 1};
    const struct hf_request leave = {.operation = HF_OP_LEAVE, .id = {{1}}};
    const struct hf_request set = {.operation = HF_OP_INVENTORY_SET,
                                   .change = {.fields = HF_SET_REOPEN}};
    const struct hf_request batch = {.operation = HF_OP_BATCH, .count = 1, .lines = &line};
    const struct hf_request claims = {.operation = HF_OP_BATCH, .count = 1, .lines = &claim};
    const struct hf_request list = {.operation = HF_OP_RESERVATION_LIST, .limit = 1};
    const struct hf_request availability = {
        .operation = HF_OP_AVAILABILITY, .count = 1, .ids = &inventory_id};
    const struct {
        const struct hf_request *request;
        size_t from, to;
        unsigned line;
    } cases[] = {
        {&create, 36, 48, 0}, {&reserve, 52, 56, 0}, {&release, 32, 36, 0},
        {&cancel, 32, 36, 0}, {&confirm, 40, 56, 0}, {&move, 32, 36, 0},
        {&extend, 32, 36, 0}, {&leave, 32, 36, 0},   {&set, 28, 112, 0},
        {&batch, 20, 24, 0},  {&batch, 33, 34, 1},   {&batch, 36, 40, 1},
        {&batch, 56, 80, 1},  {&batch, 84, 96, 1},   {&claims, 72, 96, 1},
        {&list, 32, 48, 0},   {&list, 68, 72, 0},    {&availability, 20, 24, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum hf_field field;
        unsigned in_line;
        cr_assert_eq(decode_spoilt(cases[i].request, 4, HF_PROTOCOL_VERSION, &field, &in_line),
                     HF_OK, "case %zu is not valid in the first place", i);
        for (size_t at = cases[i].from; at < cases[i].to; at++) {
            cr_assert_eq(decode_spoilt(cases[i].request, at, 0x10, &field, &in_line), HF_BAD_FRAME,
                         "case %zu, byte %zu", i, at);
            cr_assert_eq(field, HF_FIELD_RESERVED, "case %zu, byte %zu", i, at);
            cr_assert_eq(in_line, cases[i].line, "case %zu, byte %zu", i, at);
        }
    }
}

Test(codec, each_operation_knows_its_flags_and_no_other)
{
    /* Every operation with every flag, in a request that is right but for that; known from the
     * document's table, written down here once more. */
    static const struct {
        enum hf_operation operation;
        unsigned flags;
    } known[] = {
        {HF_OP_RESERVE, 3}, {HF_OP_HOLD, 3}, {HF_OP_JOIN, 3},          {HF_OP_CONFIRM, 6},
        {HF_OP_CHANGE, 2},  {HF_OP_MOVE, 2}, {HF_OP_INVENTORY_SET, 9},
    };
    static uint8_t bytes[HF_MAX_REQUEST_BYTES];
    static struct hf_request_scratch scratch;
    const struct hf_line line = {.operation = HF_OP_CANCEL, .id = {{1}}};
    const uint64_t id = 1;
#define X(name, number, bytes) HF_OP_##name,
    static const enum hf_operation operations[] = {HF_OPERATIONS(X)};
#undef X
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        unsigned flags = 0;
        for (size_t j = 0; j < sizeof known / sizeof known[0]; j++)
            flags |= known[j].operation == operations[i] ? known[j].flags : 0;
        for (unsigned bit = 0; bit < 16; bit++) {
            struct hf_request request = {.operation = operations[i],
                                         .flags = (uint16_t)(1u << bit),
                                         .id = {{1}},
                                         .qty = 1,
                                         .capacity = 1,
                                         .limit = 1,
                                         .ttl_ns = 1,
                                         .change = {.fields = HF_SET_REOPEN}};
            if (operations[i] == HF_OP_BATCH || operations[i] == HF_OP_AVAILABILITY)
                request.count = 1;
            request.lines = &line;
            request.ids = &id;
            struct hf_frame frame;
            struct hf_request decoded;
            enum hf_field field;
            unsigned in_line;
            hf_request_encode(bytes, &request, 1);
            hf_frame_read(bytes, &frame);
            enum hf_result result =
                hf_request_decode(bytes, &frame, &decoded, &scratch, &field, &in_line);
            bool allowed = (flags >> bit & 1) != 0;
            cr_assert_eq(result, allowed ? HF_OK : HF_BAD_FIELD, "operation %u, flag %u",
                         (unsigned)operations[i], bit);
            cr_assert_eq(field, allowed ? HF_FIELD_NONE : HF_FIELD_FLAGS, "operation %u, flag %u",
                         (unsigned)operations[i], bit);
            /* What the embedded API checks is the same. */
            cr_assert_eq(hf_request_check(&request, &field, &in_line), result);
        }
    }
}

Test(codec, a_request_without_a_meaning_is_not_encoded)
{
    /* An operation that no version has, and one element more than each list can have. */
    static uint8_t bytes[HF_MAX_REQUEST_BYTES];
    struct hf_request request = {.operation = (enum hf_operation)99};
    cr_assert_eq(hf_request_bytes(99), 0);
    cr_assert_eq(hf_request_encode(bytes, &request, 1), 0);
    request = (struct hf_request){.operation = HF_OP_BATCH, .count = HF_MAX_BATCH_LINES + 1};
    cr_assert_eq(hf_request_encode(bytes, &request, 1), 0);
    request = (struct hf_request){.operation = HF_OP_SUBSCRIBE, .count = HF_MAX_WATCH_IDS + 1};
    cr_assert_eq(hf_request_encode(bytes, &request, 1), 0);
    request = (struct hf_request){.operation = HF_OP_AVAILABILITY, .count = UINT32_MAX};
    cr_assert_eq(hf_request_encode(bytes, &request, 1), 0);
}

/* Lines of RELEASE with an id, or ids: right ones, and nowhere all zero. */
static void fill_elements(uint8_t *bytes, size_t count)
{
    memset(bytes, 0, count);
    for (size_t at = 0; at + 8 <= count; at += 8)
        if (at % 64 == 8 || at % 64 == 16)
            memset(bytes + at, 0xff, 8);
    for (size_t at = 0; at < count; at += 64)
        bytes[at] = HF_OP_RELEASE;
}

Test(codec, a_list_that_is_too_long_for_its_frame_is_refused_by_its_count)
{
    /* Frames that have the length their count says, and a count beyond what there may be. Nothing is
     * written behind the memory for the most that there may be. */
    static const struct {
        enum hf_operation operation;
        uint32_t count, header_bytes, element_bytes, count_at;
    } cases[] = {
        {HF_OP_BATCH, HF_MAX_BATCH_LINES + 1, 32, 64, 16},
        {HF_OP_BATCH, 255, 32, 64, 16},
        {HF_OP_AVAILABILITY, HF_MAX_LIST_ENTRIES + 1, 24, 8, 16},
        {HF_OP_AVAILABILITY, 2045, 24, 8, 16},
        {HF_OP_SUBSCRIBE, HF_MAX_WATCH_IDS + 1, 32, 8, 28},
        {HF_OP_SUBSCRIBE, 2044, 32, 8, 28},
    };
    static struct {
        struct hf_request_scratch scratch;
        uint8_t behind[32768];
    } room;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t frame_bytes = cases[i].header_bytes + cases[i].count * cases[i].element_bytes;
        uint8_t *bytes = malloc(frame_bytes);
        struct hf_frame frame = {.frame_bytes = frame_bytes,
                                 .version = HF_PROTOCOL_VERSION,
                                 .operation = (uint8_t)cases[i].operation};
        memset(bytes, 0, 32);
        fill_elements(bytes + cases[i].header_bytes, frame_bytes - cases[i].header_bytes);
        struct hf_request request;
        enum hf_field field;
        unsigned line;
        cr_assert_leq(frame_bytes, HF_MAX_REQUEST_BYTES);
        hf_frame_write(bytes, &frame);
        hf_put_u32(bytes + cases[i].count_at, cases[i].count);
        if (cases[i].operation == HF_OP_SUBSCRIBE)
            hf_put_u32(bytes + 24, HF_WATCH_CUSTOMERS);
        cr_assert_eq(hf_request_decode(bytes, &frame, &request, &room.scratch, &field, &line),
                     HF_BAD_FIELD, "case %zu", i);
        cr_assert_eq(field, HF_FIELD_COUNT, "case %zu", i);
        cr_assert_eq(line, 0, "case %zu", i);
        cr_assert(hf_all_zero(room.behind, sizeof room.behind), "case %zu", i);
        free(bytes);
    }
}

Test(codec, the_largest_batch_is_decoded_whole)
{
    /* 64 lines that differ, and the same id in the first and the last of them. */
    static uint8_t bytes[HF_MAX_REQUEST_BYTES];
    static struct hf_request_scratch scratch;
    struct hf_line lines[HF_MAX_BATCH_LINES];
    for (unsigned i = 0; i < HF_MAX_BATCH_LINES; i++)
        lines[i] = (struct hf_line){.operation = HF_OP_HOLD,
                                    .qty = i + 1,
                                    .inventory_id = i,
                                    .ttl_ns = 1,
                                    .id = {{1, (uint8_t)i}}};
    struct hf_request request = {
        .operation = HF_OP_BATCH, .count = HF_MAX_BATCH_LINES, .lines = lines};
    struct hf_request decoded;
    struct hf_frame frame;
    enum hf_field field;
    unsigned line;
    cr_assert_eq(hf_request_encode(bytes, &request, 1), 32 + 64 * 64);
    hf_frame_read(bytes, &frame);
    cr_assert_eq(hf_request_decode(bytes, &frame, &decoded, &scratch, &field, &line), HF_OK);
    for (unsigned i = 0; i < HF_MAX_BATCH_LINES; i++) {
        cr_assert_eq(decoded.lines[i].qty, i + 1);
        cr_assert_eq(decoded.lines[i].inventory_id, i);
        cr_assert(hf_id_equal(&decoded.lines[i].id, &lines[i].id));
    }
    lines[HF_MAX_BATCH_LINES - 1].id = lines[0].id;
    hf_request_encode(bytes, &request, 1);
    cr_assert_eq(hf_request_decode(bytes, &frame, &decoded, &scratch, &field, &line), HF_BAD_FIELD);
    cr_assert_eq(field, HF_FIELD_RESERVATION_ID);
    cr_assert_eq(line, HF_MAX_BATCH_LINES);
}

Test(codec, ids_that_share_a_place_are_told_apart)
{
    /* 64 ids with the same first and last eight bytes in sum: whatever the set of ids makes of
     * them, none stands twice; with REACQUIRE there are two for each line. */
    struct hf_line lines[HF_MAX_BATCH_LINES];
    for (unsigned i = 0; i < HF_MAX_BATCH_LINES; i++) {
        lines[i] = (struct hf_line){.operation = HF_OP_CONFIRM, .flags = HF_REQUEST_REACQUIRE};
        hf_put_u64(lines[i].id.bytes, i + 1);
        hf_put_u64(lines[i].id.bytes + 8, i + 1);
        hf_put_u64(lines[i].new_id.bytes, 1000 + i);
        hf_put_u64(lines[i].new_id.bytes + 8, 1000 + i);
    }
    struct hf_request request = {
        .operation = HF_OP_BATCH, .count = HF_MAX_BATCH_LINES, .lines = lines};
    enum hf_field field;
    unsigned line;
    cr_assert_eq(hf_request_check(&request, &field, &line), HF_OK);
    for (unsigned i = 0; i + 1 < HF_MAX_BATCH_LINES; i++) {
        struct hf_id kept = lines[i + 1].new_id;
        lines[i + 1].new_id = lines[i].id;
        cr_assert_eq(hf_request_check(&request, &field, &line), HF_BAD_FIELD);
        cr_assert_eq(line, i + 2);
        lines[i + 1].new_id = kept;
    }
}

Test(codec, settings_are_merged_and_judged_as_a_whole)
{
    /* A change of one setting at a time onto settings that are all set, and a change that is right
     * by itself but contradicts what is in force. */
    const struct hf_settings before = {.sell_limit = 1,
                                       .customer_limit = 2,
                                       .min_qty = 3,
                                       .max_qty = 4,
                                       .waiting_limit = 5,
                                       .flags = 9,
                                       .opens_at_ns = 7,
                                       .closes_at_ns = 8,
                                       .longest_hold_ns = 9,
                                       .cancel_until_ns = 10,
                                       .offer_ttl_ns = 11};
    struct hf_settings_change change = {.settings = {.sell_limit = 21,
                                                     .customer_limit = 22,
                                                     .min_qty = 1,
                                                     .max_qty = 24,
                                                     .waiting_limit = 25,
                                                     .flags = 2,
                                                     .opens_at_ns = 6,
                                                     .closes_at_ns = 28,
                                                     .longest_hold_ns = 29,
                                                     .cancel_until_ns = 30,
                                                     .offer_ttl_ns = 31},
                                        .flags_mask = 3};
    for (unsigned bit = 0; bit < 13; bit++) {
        struct hf_settings merged = before;
        change.fields = 1u << bit;
        hf_settings_apply(&change, &merged);
#define CHECK(flag, field, as)                                                                     \
    cr_assert_eq(merged.field, change.fields == (flag) ? (as) : before.field, "bit %u: " #field,   \
                 bit)
        CHECK(HF_SET_SELL_LIMIT, sell_limit, 21);
        CHECK(HF_SET_CUSTOMER_LIMIT, customer_limit, 22);
        CHECK(HF_SET_MIN_QTY, min_qty, 1);
        CHECK(HF_SET_MAX_QTY, max_qty, 24);
        CHECK(HF_SET_WAITING_LIMIT, waiting_limit, 25);
        CHECK(HF_SET_FLAGS, flags, 10); /* 9 without bit 1, with bit 2 */
        CHECK(HF_SET_OPENS_AT, opens_at_ns, 6);
        CHECK(HF_SET_CLOSES_AT, closes_at_ns, 28);
        CHECK(HF_SET_LONGEST_HOLD, longest_hold_ns, 29);
        CHECK(HF_SET_CANCEL_UNTIL, cancel_until_ns, 30);
        CHECK(HF_SET_OFFER_TTL, offer_ttl_ns, 31);
#undef CHECK
        cr_assert_eq(hf_settings_check(&merged), HF_FIELD_NONE, "bit %u", bit);
    }
    struct hf_settings merged = before;
    merged.min_qty = 5;
    cr_assert_eq(hf_settings_check(&merged), HF_FIELD_MIN_QTY);
    merged = before;
    merged.opens_at_ns = 8;
    cr_assert_eq(hf_settings_check(&merged), HF_FIELD_WINDOW);
    merged = before;
    merged.flags = HF_INVENTORY_SOLD_OUT_CLOSED;
    cr_assert_eq(hf_settings_check(&merged), HF_FIELD_FLAGS);
}

static void check_derived_id(const struct hf_vector *vector)
{
    struct hf_id old, derived;
    cr_assert(hf_id_parse(hf_vector_text(vector, "reservation_id"), &old));
    hf_id_derive(&old, &derived);
    cr_assert_eq(vector->byte_count, sizeof derived.bytes);
    cr_assert_eq(memcmp(derived.bytes, vector->bytes, sizeof derived.bytes), 0, "%s",
                 name_of(vector));
    cr_assert_eq(derived.bytes[6] >> 4, 8, "a UUIDv8");
    cr_assert_eq(derived.bytes[8] >> 6, 2);
}

Test(codec, derived_ids_are_those_of_the_vectors)
{
    /* Ids of several forms, with what follows from them. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "derived-id", check_derived_id), 5);
}

/* True if the long way finds the same: a RESERVE without flags, expectation or end. */
static bool is_plain(const uint8_t *bytes, struct hf_request *request)
{
    static struct hf_request_scratch scratch;
    struct hf_frame frame;
    enum hf_field field;
    unsigned line;
    if (hf_request_frame(bytes, HF_RESERVE_BYTES, &frame) != HF_OK)
        return false;
    return hf_request_decode(bytes, &frame, request, &scratch, &field, &line) == HF_OK &&
           request->operation == HF_OP_RESERVE && request->flags == 0 && request->not_after_ns == 0;
}

/* Each byte of a plain RESERVE, with each value: what is read the short way is what is read the long
 * way, and nothing else is. */
Test(codec, plain_requests_are_read_as_any_request_is)
{
    const struct hf_request plain = {
        .operation = HF_OP_RESERVE,
        .id = {.bytes = {1, 2, 3, [15] = 9}},
        .inventory_id = 0x0102030405060708ull,
        .customer_id = 0x1112131415161718ull,
        .qty = 0x00010203,
    };
    uint32_t plain_ones = 0;
    for (size_t at = 0; at < HF_RESERVE_BYTES; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t bytes[HF_RESERVE_BYTES];
            struct hf_request read, decoded;
            uint64_t tag = 0;
            hf_request_encode(bytes, &plain, 0x2122232425262728ull);
            bytes[at] = (uint8_t)value;
            bool is = is_plain(bytes, &decoded);
            cr_assert_eq(hf_request_read_plain(bytes, sizeof bytes, &tag, &read), is,
                         "byte %zu is %u", at, value);
            cr_assert_not(hf_request_read_plain(bytes, sizeof bytes - 1, &tag, &read));
            if (!is)
                continue;
            plain_ones++;
            cr_expect_eq(tag, hf_get_u64(bytes + 8));
            cr_expect(hf_id_equal(&read.id, &decoded.id));
            cr_expect_eq(read.inventory_id, decoded.inventory_id);
            cr_expect_eq(read.customer_id, decoded.customer_id);
            cr_expect_eq(read.qty, decoded.qty);
        }
    }
    cr_expect_gt(plain_ones, 40 * 256, "tag, id, inventory and customer can be anything");
}

Test(codec, no_length_makes_a_decoder_read_beyond_the_frame)
{
    /* Each operation with every length from a header to 200 bytes, in memory of just that size, so
     * that AddressSanitizer sees a read too far. Filled with ones, a count of one matches at times;
     * filled with 0x01, it is large. */
    static struct hf_request_scratch scratch;
    static struct hf_reply_scratch lists;
    static const uint16_t results[] = {0, HF_GRANTED, HF_SOLD_OUT, 9999};
    for (unsigned operation = 0; operation < 256; operation++) {
        for (uint32_t frame_bytes = HF_FRAME_HEADER_BYTES; frame_bytes <= 200; frame_bytes++) {
            uint8_t *bytes = malloc(frame_bytes);
            for (unsigned i = 0; i < 2 * sizeof results / sizeof results[0]; i++) {
                struct hf_frame frame = {.frame_bytes = frame_bytes,
                                         .version = HF_PROTOCOL_VERSION,
                                         .operation = (uint8_t)operation,
                                         .result = results[i / 2],
                                         .tag = 1};
                struct hf_request request;
                struct hf_reply reply;
                enum hf_field field;
                unsigned line;
                memset(bytes, (int)(i % 2), frame_bytes);
                if (i % 2 == 0 && frame_bytes >= 20)
                    hf_put_u32(bytes + 16, 1);
                hf_frame_write(bytes, &frame);
                (void)hf_request_decode(bytes, &frame, &request, &scratch, &field, &line);
                (void)hf_reply_decode(bytes, &frame, &reply, &lists);
            }
            free(bytes);
        }
    }
}
