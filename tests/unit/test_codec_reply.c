/*
 * The codec's replies, held to the vectors of docs/vectors/protocol.txt in both directions.
 *
 * A reply is decoded from its bytes and must give the fields of the vector; it is encoded from
 * structures that are built from the vector's fields, and must give its bytes.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "holdfast/result.h"
#include "net/codec.h"
#include "tests/lib/vectors.h"

#define VECTORS_PATH "docs/vectors/protocol.txt"

/* ---- names of the vectors, members of the structures ------------------------------------ */

#define MEMBER(member) HF_VECTOR_MEMBER(struct hf_short, member, #member)
static const struct hf_vector_member short_members[] = {
    MEMBER(available), MEMBER(version), MEMBER(field), MEMBER(state), MEMBER(line), {NULL, 0, 0},
};
#undef MEMBER

#define MEMBER(member) HF_VECTOR_MEMBER(struct hf_reply, member, #member)
static const struct hf_vector_member reply_members[] = {
    MEMBER(available), MEMBER(version),      MEMBER(field), MEMBER(state),      MEMBER(line),
    MEMBER(next_lsn),  MEMBER(count),        MEMBER(next),  MEMBER(state_hash), MEMBER(lsn_before),
    MEMBER(lsn_after), MEMBER(reservations), {NULL, 0, 0},
};
#undef MEMBER

#define MEMBER(member) HF_VECTOR_MEMBER(struct hf_reservation, member, #member)
static const struct hf_vector_member reservation_members[] = {
    HF_VECTOR_MEMBER(struct hf_reservation, id, "reservation_id"),
    MEMBER(inventory_id),
    MEMBER(customer_id),
    MEMBER(lsn),
    MEMBER(made_at_ns),
    MEMBER(changed_at_ns),
    MEMBER(deadline_ns),
    MEMBER(qty),
    MEMBER(state),
    MEMBER(sequence),
    MEMBER(linked_id),
    {NULL, 0, 0},
};
#undef MEMBER

#define MEMBER(member) HF_VECTOR_MEMBER(struct hf_inventory, member, #member)
static const struct hf_vector_member inventory_members[] = {
    MEMBER(inventory_id), MEMBER(product_id), MEMBER(lsn),  MEMBER(made_at_ns), MEMBER(capacity),
    MEMBER(sell_limit),   MEMBER(available),  MEMBER(held), MEMBER(confirmed),  MEMBER(version),
    MEMBER(waiting),      MEMBER(flags),      {NULL, 0, 0},
};
#undef MEMBER

#define MEMBER(member) HF_VECTOR_MEMBER(struct hf_settings, member, #member)
static const struct hf_vector_member settings_members[] = {
    MEMBER(customer_limit), MEMBER(min_qty),      MEMBER(max_qty),         MEMBER(waiting_limit),
    MEMBER(opens_at_ns),    MEMBER(closes_at_ns), MEMBER(longest_hold_ns), MEMBER(cancel_until_ns),
    MEMBER(offer_ttl_ns),   {NULL, 0, 0},
};
#undef MEMBER

#define MEMBER(member) HF_VECTOR_MEMBER(struct hf_availability_entry, member, #member)
static const struct hf_vector_member availability_members[] = {
    MEMBER(available), MEMBER(version), MEMBER(flags), MEMBER(waiting), {NULL, 0, 0},
};
#undef MEMBER

#define MEMBER(member) HF_VECTOR_MEMBER(struct hf_info, member, #member)
static const struct hf_vector_member info_members[] = {
    MEMBER(epoch),
    MEMBER(started_at_ns),
    MEMBER(now_ns),
    MEMBER(next_lsn),
    MEMBER(commit_lsn),
    MEMBER(durable_lsn),
    MEMBER(recovered_records),
    MEMBER(recovered_reservations),
    MEMBER(recovery_ns),
    MEMBER(reservations),
    MEMBER(max_reservations),
    MEMBER(connections),
    MEMBER(log_bytes),
    MEMBER(log_blocks),
    MEMBER(inventories),
    MEMBER(max_inventories),
    MEMBER(workers),
    MEMBER(durability),
    {NULL, 0, 0},
};
#undef MEMBER

#define MEMBER(member) HF_VECTOR_MEMBER(struct hf_status, member, #member)
static const struct hf_vector_member status_members[] = {
    MEMBER(state),
    MEMBER(percent),
    MEMBER(write_method),
    MEMBER(storage_full),
    MEMBER(snapshot_under_way),
    MEMBER(snapshot_requested),
    MEMBER(archive_enabled),
    MEMBER(recovery_done_bytes),
    MEMBER(recovery_total_bytes),
    MEMBER(first_kept_segment),
    MEMBER(active_segment),
    MEMBER(segment_bytes),
    MEMBER(kept_bytes),
    MEMBER(write_latency_ns),
    MEMBER(writes_inflight),
    MEMBER(storage_error),
    MEMBER(snapshots_made),
    MEMBER(snapshot_failures),
    MEMBER(snapshots_kept),
    MEMBER(snapshot_error),
    MEMBER(snapshot_lsn),
    MEMBER(snapshot_made_at_ns),
    MEMBER(snapshot_bytes),
    MEMBER(snapshot_duration_ns),
    MEMBER(snapshot_done_bytes),
    MEMBER(snapshot_expected_bytes),
    MEMBER(bytes_since_snapshot),
    MEMBER(archived_segment),
    MEMBER(archive_waiting),
    MEMBER(archive_failures),
    MEMBER(archive_exit_status),
    MEMBER(archived_at_ns),
    MEMBER(put_aside),
    MEMBER(overloaded),
    MEMBER(recovered_records),
    {NULL, 0, 0},
};
#undef MEMBER

/* ---- one reply -------------------------------------------------------------------------- */

static struct hf_reply_scratch lists;

/* What every reply vector says: encoded into `out`, and held against what was decoded. `named`
 * counts the lines of the vector that were looked at. */
struct reply_case {
    const struct hf_vector *vector;
    const char *name;
    unsigned operation, result;
    uint64_t tag;
    const struct hf_reply *decoded;
    unsigned named;
    uint8_t out[HF_VECTOR_BYTES_MAX];
};

/* Builds `expected` from the vector, and holds `decoded` against the vector. */
static void check_members(struct reply_case *c, const char *prefix,
                          const struct hf_vector_member *members, const void *decoded,
                          void *expected)
{
    const char *wrong = hf_vector_difference(c->vector, prefix, members, decoded);
    cr_assert_null(wrong, "%s: %s%s", c->name, prefix, wrong);
    c->named += hf_vector_fill(c->vector, prefix, members, expected);
}

static uint64_t number(struct reply_case *c, const char *name)
{
    c->named++;
    return hf_vector_number(c->vector, name);
}

static size_t check_short(struct reply_case *c)
{
    struct hf_reply expected_reply;
    struct hf_short expected = {.result = c->result};
    unsigned named = c->named;
    check_members(c, "", reply_members, c->decoded, &expected_reply);
    c->named = named;
    if (c->result == HF_LSN_NOT_KEPT) {
        c->named += 4;
        return hf_reply_encode_not_kept(c->out, c->operation, c->tag, expected_reply.next_lsn);
    }
    c->named += hf_vector_fill(c->vector, "", short_members, &expected);
    return hf_reply_encode_answer(c->out, c->operation, c->tag, &expected);
}

static size_t check_reservation(struct reply_case *c)
{
    struct hf_reservation expected = {.qty = 0};
    check_members(c, "", reservation_members, &c->decoded->reservation, &expected);
    uint64_t flags = number(c, "flags");
    cr_assert_eq(c->decoded->repeated, (flags & HF_REPLY_FLAG_REPEATED) != 0, "%s", c->name);
    cr_assert_eq(!hf_id_is_zero(&c->decoded->reservation.linked_id),
                 (flags & HF_REPLY_FLAG_LINKED) != 0, "%s", c->name);
    return hf_reply_encode_reservation(c->out, c->operation, c->tag, c->result, &expected,
                                       c->decoded->repeated);
}

static size_t check_inventory(struct reply_case *c)
{
    struct hf_inventory expected;
    check_members(c, "", inventory_members, &c->decoded->inventory, &expected);
    return hf_reply_encode_inventory(c->out, c->operation, c->tag, c->result, &expected);
}

static size_t check_settings(struct reply_case *c)
{
    struct hf_inventory inventory;
    struct hf_settings settings = {.flags = 0};
    check_members(c, "", inventory_members, &c->decoded->inventory, &inventory);
    check_members(c, "", settings_members, &c->decoded->settings, &settings);
    uint32_t sequence = (uint32_t)number(c, "sequence");
    cr_assert_eq(c->decoded->settings_sequence, sequence, "%s", c->name);
    cr_assert_eq(c->decoded->settings.sell_limit, inventory.sell_limit, "%s", c->name);
    cr_assert_eq(c->decoded->settings.flags, inventory.flags & ~HF_INVENTORY_SOLD_OUT_CLOSED, "%s",
                 c->name);
    return hf_reply_encode_settings(c->out, c->operation, c->tag, c->result, &inventory, &settings,
                                    sequence);
}

static size_t check_page(struct reply_case *c)
{
    struct hf_reply head;
    struct hf_inventory expected[8];
    check_members(c, "", reply_members, c->decoded, &head);
    cr_assert_leq(c->decoded->count, 8);
    for (uint32_t i = 0; i < c->decoded->count; i++) {
        char prefix[20];
        snprintf(prefix, sizeof prefix, "entry%u.", i);
        check_members(c, prefix, inventory_members, &c->decoded->inventories[i], &expected[i]);
    }
    return hf_reply_encode_page(c->out, c->tag, (uint32_t)c->decoded->next, expected,
                                c->decoded->count);
}

static size_t check_availability(struct reply_case *c)
{
    struct hf_reply head;
    struct hf_availability_entry expected[8];
    check_members(c, "", reply_members, c->decoded, &head);
    cr_assert_leq(c->decoded->count, 8);
    for (uint32_t i = 0; i < c->decoded->count; i++) {
        char prefix[20];
        snprintf(prefix, sizeof prefix, "entry%u.", i);
        check_members(c, prefix, availability_members, &c->decoded->availability[i], &expected[i]);
    }
    return hf_reply_encode_availability(c->out, c->tag, expected, c->decoded->count);
}

static void check_reservation_entry(struct reply_case *c, const char *prefix,
                                    const struct hf_reservation_entry *decoded,
                                    struct hf_reservation_entry *expected)
{
    char name[40];
    check_members(c, prefix, reservation_members, &decoded->reservation, &expected->reservation);
    snprintf(name, sizeof name, "%sresult", prefix);
    expected->result = (unsigned)number(c, name);
    snprintf(name, sizeof name, "%sflags", prefix);
    expected->repeated = number(c, name) == HF_REPLY_FLAG_REPEATED;
    cr_assert_eq(decoded->result, expected->result, "%s: %s", c->name, name);
    cr_assert_eq(decoded->repeated, expected->repeated, "%s: %s", c->name, name);
}

static size_t check_reservations(struct reply_case *c)
{
    struct hf_reply head;
    struct hf_reservation_entry expected[8];
    check_members(c, "", reply_members, c->decoded, &head);
    cr_assert_leq(c->decoded->count, 8);
    for (uint32_t i = 0; i < c->decoded->count; i++) {
        char prefix[20];
        snprintf(prefix, sizeof prefix, "entry%u.", i);
        check_reservation_entry(c, prefix, &c->decoded->entries[i], &expected[i]);
    }
    return hf_reply_encode_reservations(c->out, c->operation, c->tag, c->result, c->decoded->next,
                                        expected, c->decoded->count);
}

/* Records are compared as they are. In the vector they are hexadecimal digits. */
static size_t check_records(struct reply_case *c)
{
    struct hf_reply head;
    check_members(c, "", reply_members, c->decoded, &head);
    cr_assert_eq(c->operation, HF_OP_SUBSCRIBE, "%s", c->name);
    for (uint32_t i = 0; i < c->decoded->count; i++, c->named++) {
        char name[20], hex[2 * HF_FRAME_RECORD_BYTES + 1];
        snprintf(name, sizeof name, "record%u", i);
        for (size_t j = 0; j < HF_FRAME_RECORD_BYTES; j++)
            snprintf(hex + 2 * j, 3, "%02x",
                     c->decoded->records[(size_t)i * HF_FRAME_RECORD_BYTES + j]);
        cr_assert_str_eq(hex, hf_vector_text(c->vector, name), "%s", c->name);
    }
    size_t bytes = hf_reply_encode_records(c->out, c->tag, c->result, c->decoded->next_lsn,
                                           c->decoded->records, c->decoded->count);
    /* The same, with the records where they belong already. */
    cr_assert_eq(hf_reply_encode_records(c->out, c->tag, c->result, c->decoded->next_lsn,
                                         c->out + HF_PAGE_HEADER_BYTES, c->decoded->count),
                 bytes);
    return bytes;
}

static size_t check_hash(struct reply_case *c)
{
    struct hf_reply expected;
    check_members(c, "", reply_members, c->decoded, &expected);
    return hf_reply_encode_hash(c->out, c->tag, expected.state_hash, expected.lsn_before,
                                expected.lsn_after, expected.reservations);
}

static size_t check_info(struct reply_case *c)
{
    struct hf_info expected = {.workers = 0};
    const struct hf_info *info = &c->decoded->info;
    struct hf_id log_id;
    check_members(c, "", info_members, info, &expected);
    cr_assert(hf_id_parse(hf_vector_text(c->vector, "log_id"), &log_id));
    memcpy(expected.log_id, log_id.bytes, sizeof expected.log_id);
    cr_assert_eq(memcmp(info->log_id, log_id.bytes, sizeof log_id.bytes), 0, "%s", c->name);
    const char *version = hf_vector_text(c->vector, "server_version");
    cr_assert_str_eq(info->server_version, version);
    memcpy(expected.server_version, version, strlen(version));
    c->named += 2;
    return hf_reply_encode_info(c->out, c->tag, &expected);
}

static size_t check_status(struct reply_case *c)
{
    struct hf_status expected = {.state = 0};
    const struct hf_status *status = &c->decoded->status;
    check_members(c, "", status_members, status, &expected);
    const char *text = hf_vector_text(c->vector, "archive_failure");
    cr_assert_str_eq(status->archive_failure, text);
    memcpy(expected.archive_failure, text, strlen(text));
    c->named++;
    return hf_reply_encode_status(c->out, c->tag, &expected);
}

static const struct {
    const char *shape;
    size_t (*check)(struct reply_case *);
} shapes[] = {
    {"short", check_short},
    {"reservation", check_reservation},
    {"inventory", check_inventory},
    {"settings", check_settings},
    {"page", check_page},
    {"availability", check_availability},
    {"reservations", check_reservations},
    {"records", check_records},
    {"hash", check_hash},
    {"info", check_info},
    {"status", check_status},
};

static void check_reply(const struct hf_vector *vector)
{
    static struct reply_case c;
    struct hf_reply decoded;
    struct hf_frame frame;
    c = (struct reply_case){.vector = vector,
                            .name = hf_vector_text(vector, "name"),
                            .operation = (unsigned)hf_vector_number(vector, "operation"),
                            .result = (unsigned)hf_vector_number(vector, "result"),
                            .tag = hf_vector_number(vector, "tag"),
                            .decoded = &decoded,
                            .named = 7}; /* name, kind, hex, shape, operation, result, tag */
    memset(c.out, 0xee, sizeof c.out);   /* what the encoders leave alone must show */
    hf_frame_read(vector->bytes, &frame);
    cr_assert_eq(frame.frame_bytes, vector->byte_count, "%s", c.name);
    cr_assert(hf_reply_decode(vector->bytes, &frame, &decoded, &lists), "%s", c.name);
    cr_assert_eq(frame.tag, c.tag, "%s", c.name);
    cr_assert_eq((unsigned)decoded.operation, c.operation, "%s", c.name);
    cr_assert_eq(decoded.result, c.result, "%s", c.name);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (strcmp(shapes[i].shape, hf_vector_text(vector, "shape")) != 0)
            continue;
        size_t bytes = shapes[i].check(&c);
        cr_assert_eq(c.named, vector->pair_count, "%s names what nobody knows", c.name);
        cr_assert_eq(bytes, vector->byte_count, "%s: %zu bytes", c.name, bytes);
        for (size_t j = 0; j < bytes; j++)
            cr_assert_eq(c.out[j], vector->bytes[j], "%s: byte %zu is %02x, not %02x", c.name, j,
                         c.out[j], vector->bytes[j]);
        return;
    }
    cr_assert_fail("%s: unknown shape", c.name);
}

Test(codec_reply, replies_are_encoded_and_decoded_as_the_vectors_say)
{
    /* Every reply of the vectors: each shape, each result a server sends, an unknown one too. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "reply", check_reply), 80);
}

static uint8_t seen_results[700], seen_yes[256];

static void see_reply(const struct hf_vector *vector)
{
    unsigned result = hf_get_u16(vector->bytes + 6);
    seen_results[result] = 1;
    if (result < 200)
        seen_yes[vector->bytes[5] & 0x7f] = 1;
}

Test(codec_reply, every_result_and_the_yes_of_every_operation_has_a_vector)
{
    /* The lists against the vectors. What client libraries make up is never sent, and
     * UNSUPPORTED_VERSION has vectors of its own. */
    hf_vectors_each(VECTORS_PATH, "reply", see_reply);
    hf_vectors_each(VECTORS_PATH, "newer-reply", see_reply);
#define X(name, number, meaning)                                                                   \
    cr_assert(seen_results[number] || (number) >= 600, #name " has no vector");
    HF_RESULTS(X)
#undef X
#define X(name, number, bytes) cr_assert(seen_yes[number], "the yes of " #name " has no vector");
    HF_OPERATIONS(X)
#undef X
}

static void check_bad_reply(const struct hf_vector *vector)
{
    struct hf_reply reply;
    struct hf_frame frame;
    hf_frame_read(vector->bytes, &frame);
    cr_assert_not(hf_reply_decode(vector->bytes, &frame, &reply, &lists), "%s",
                  hf_vector_text(vector, "name"));
}

Test(codec_reply, what_is_not_a_reply_is_refused)
{
    /* Every frame of the vectors that no server of this version sends. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "bad-reply", check_bad_reply), 25);
}

static void check_newer_reply(const struct hf_vector *vector)
{
    struct hf_reply reply;
    struct hf_frame frame;
    hf_frame_read(vector->bytes, &frame);
    cr_assert(hf_reply_decode(vector->bytes, &frame, &reply, NULL));
    cr_assert_eq((unsigned)reply.operation, hf_vector_number(vector, "operation"));
    cr_assert_eq(reply.result, hf_vector_number(vector, "result"));
    cr_assert_eq(reply.field, hf_vector_number(vector, "field"));
}

Test(codec_reply, a_server_of_another_version_can_say_so)
{
    /* A frame of version 2, of unknown length and body, whose result is UNSUPPORTED_VERSION. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "newer-reply", check_newer_reply), 1);
}

Test(codec_reply, the_text_of_a_status_always_ends)
{
    /* A STATUS reply whose text fills all its bytes. */
    uint8_t bytes[HF_STATUS_REPLY_BYTES];
    struct hf_status status = {.state = HF_SERVER_READY};
    struct hf_frame frame;
    struct hf_reply reply;
    hf_reply_encode_status(bytes, 1, &status);
    memset(bytes + 200, 'x', HF_STATUS_TEXT_BYTES);
    hf_frame_read(bytes, &frame);
    cr_assert(hf_reply_decode(bytes, &frame, &reply, NULL));
    cr_assert_eq(strlen(reply.status.archive_failure), HF_STATUS_TEXT_BYTES - 1);
    cr_assert_eq(reply.status.put_aside, 0);
}

Test(codec_reply, the_server_version_always_ends)
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

/* Replies of this operation with as many elements as allowed, and with one more, in memory of just
 * their size. */
static void check_most(enum hf_operation operation, unsigned result, uint32_t element_bytes,
                       uint32_t most)
{
    for (uint32_t count = most; count <= most + 1; count++) {
        size_t bytes = HF_PAGE_HEADER_BYTES + (size_t)count * element_bytes;
        uint8_t *frame_bytes = calloc(1, bytes);
        struct hf_frame frame = {.frame_bytes = (uint32_t)bytes,
                                 .version = HF_PROTOCOL_VERSION,
                                 .operation = (uint8_t)(operation | HF_REPLY_BIT),
                                 .result = (uint16_t)result};
        struct hf_reply reply;
        hf_frame_write(frame_bytes, &frame);
        hf_put_u32(frame_bytes + 16, count);
        cr_assert_eq(hf_reply_decode(frame_bytes, &frame, &reply, &lists), count == most,
                     "operation %u, %u elements", (unsigned)operation, count);
        cr_assert(count > most || reply.count == most);
        free(frame_bytes);
    }
}

Test(codec_reply, a_list_has_at_most_as_many_elements_as_the_document_says)
{
    /* The largest reply of each kind, and one that is larger. */
    check_most(HF_OP_INVENTORY_LIST, HF_FOUND, HF_INVENTORY_ENTRY_BYTES, 1000);
    check_most(HF_OP_AVAILABILITY, HF_FOUND, HF_AVAILABILITY_BYTES, 1000);
    check_most(HF_OP_RESERVATION_LIST, HF_FOUND, HF_RESERVATION_ENTRY_BYTES, 500);
    check_most(HF_OP_HISTORY, HF_FOUND, HF_RESERVATION_ENTRY_BYTES, 500);
    check_most(HF_OP_SUBSCRIBE, HF_RECORDS, HF_FRAME_RECORD_BYTES, 511);
}

Test(codec_reply, a_list_without_room_for_it_is_no_reply)
{
    /* Each reply with a list, to somebody who gave no memory for it, and one without a list. */
    uint8_t bytes[HF_INVENTORY_REPLY_BYTES];
    struct hf_frame frame;
    struct hf_reply reply;
    struct hf_inventory inventory = {.inventory_id = 7};
    hf_reply_encode_reservations(bytes, HF_OP_BATCH, 1, HF_BATCH_DONE, 0, NULL, 0);
    hf_frame_read(bytes, &frame);
    cr_assert_not(hf_reply_decode(bytes, &frame, &reply, NULL));
    hf_reply_encode_page(bytes, 1, 0, NULL, 0);
    hf_frame_read(bytes, &frame);
    cr_assert_not(hf_reply_decode(bytes, &frame, &reply, NULL));
    hf_reply_encode_inventory(bytes, HF_OP_INVENTORY_GET, 1, HF_FOUND, &inventory);
    hf_frame_read(bytes, &frame);
    cr_assert(hf_reply_decode(bytes, &frame, &reply, NULL));
    cr_assert_eq(reply.inventory.inventory_id, 7);
}
