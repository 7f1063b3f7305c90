/*
 * Images: encoded and decoded as the vectors of docs/vectors/log-format.txt say, and refused when
 * a field has an impossible value, contradicts another, or a reserved byte is not zero.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/image.h"
#include "tests/lib/vectors.h"
#include "wal/record.h"

#define VECTORS_PATH "docs/vectors/log-format.txt"

/* As a slot of the log's ring is before it is written: full of old bytes, with its LSN. */
static void make_slot(uint8_t record[HF_RECORD_BYTES], uint64_t lsn)
{
    memset(record, 0xa5, HF_RECORD_BYTES);
    hf_put_u64(record, lsn);
}

/* Decodes into memory that is full of something else. */
static const char *decode(const uint8_t *record, struct hf_image *image)
{
    memset(image, 0xa5, sizeof *image);
    return hf_image_decode(record, image);
}

#define NUMBER(type, name) ((type)hf_vector_number(vector, name))

/* ---- vectors ---------------------------------------------------------------------------- */

static void read_reservation(const struct hf_vector *vector, struct hf_reservation *reservation,
                             struct hf_image_notes *notes)
{
    *reservation = (struct hf_reservation){
        .inventory_id = NUMBER(uint64_t, "inventory_id"),
        .customer_id = NUMBER(uint64_t, "customer_id"),
        .lsn = NUMBER(uint64_t, "lsn"),
        .made_at_ns = NUMBER(uint64_t, "made_at_ns"),
        .changed_at_ns = NUMBER(uint64_t, "changed_at_ns"),
        .deadline_ns = NUMBER(uint64_t, "deadline_ns"),
        .qty = NUMBER(uint32_t, "qty"),
        .sequence = NUMBER(uint32_t, "sequence"),
        .state = NUMBER(enum hf_state, "state"),
    };
    *notes = (struct hf_image_notes){
        .inventory_version = NUMBER(uint32_t, "inventory_version"),
        .origin = NUMBER(uint32_t, "origin"),
        .made_as = NUMBER(uint8_t, "made_as"),
        .flags = NUMBER(uint8_t, "flags"),
        .reason = NUMBER(uint8_t, "reason"),
        .chain_index = NUMBER(uint8_t, "chain_index"),
        .chain_length = NUMBER(uint8_t, "chain_length"),
    };
    cr_assert(hf_id_parse(hf_vector_text(vector, "reservation_id"), &reservation->id));
    cr_assert(hf_id_parse(hf_vector_text(vector, "linked_id"), &reservation->linked_id));
}

static void expect_reservation(const struct hf_image *image, const struct hf_reservation *expected,
                               const struct hf_image_notes *notes, const char *name)
{
    const struct hf_reservation *reservation = &image->reservation;
    cr_expect_eq(image->kind, HF_IMAGE_RESERVATION, "%s", name);
    cr_expect_eq(image->lsn, expected->lsn, "%s", name);
    cr_expect_eq(image->chain_index, notes->chain_index, "%s", name);
    cr_expect_eq(image->chain_length, notes->chain_length, "%s", name);
    cr_expect(hf_id_equal(&reservation->id, &expected->id), "%s", name);
    cr_expect(hf_id_equal(&reservation->linked_id, &expected->linked_id), "%s", name);
    cr_expect_eq(reservation->inventory_id, expected->inventory_id, "%s", name);
    cr_expect_eq(reservation->customer_id, expected->customer_id, "%s", name);
    cr_expect_eq(reservation->lsn, expected->lsn, "%s", name);
    cr_expect_eq(reservation->made_at_ns, expected->made_at_ns, "%s", name);
    cr_expect_eq(reservation->changed_at_ns, expected->changed_at_ns, "%s", name);
    cr_expect_eq(reservation->deadline_ns, expected->deadline_ns, "%s", name);
    cr_expect_eq(reservation->qty, expected->qty, "%s", name);
    cr_expect_eq(reservation->sequence, expected->sequence, "%s", name);
    cr_expect_eq(reservation->state, expected->state, "%s", name);
    cr_expect_eq(image->notes.inventory_version, notes->inventory_version, "%s", name);
    cr_expect_eq(image->notes.origin, notes->origin, "%s", name);
    cr_expect_eq(image->notes.made_as, notes->made_as, "%s", name);
    cr_expect_eq(image->notes.flags, notes->flags, "%s", name);
    cr_expect_eq(image->notes.reason, notes->reason, "%s", name);
    cr_expect_eq(image->notes.chain_index, notes->chain_index, "%s", name);
    cr_expect_eq(image->notes.chain_length, notes->chain_length, "%s", name);
}

/* True if the short form may encode it: made by a plain claim, by itself. */
static bool is_grant(const struct hf_reservation *reservation, const struct hf_image_notes *notes)
{
    return reservation->sequence == 1 && hf_state_is_active(reservation->state) &&
           notes->chain_length == 0 && hf_id_is_zero(&reservation->linked_id);
}

static unsigned grants;

static void check_reservation_vector(const struct hf_vector *vector)
{
    const char *name = hf_vector_text(vector, "name");
    struct hf_reservation expected;
    struct hf_image_notes notes;
    struct hf_image image;
    uint8_t record[HF_RECORD_BYTES];
    read_reservation(vector, &expected, &notes);
    cr_assert_eq(vector->byte_count, sizeof record, "%s", name);

    make_slot(record, expected.lsn);
    hf_image_encode_reservation(record, &expected, &notes);
    cr_expect_arr_eq(record, vector->bytes, sizeof record, "%s", name);
    if (is_grant(&expected, &notes)) {
        make_slot(record, expected.lsn);
        hf_image_encode_grant(record, &expected, notes.inventory_version, notes.flags);
        cr_expect_arr_eq(record, vector->bytes, sizeof record, "%s, as a grant", name);
        grants++;
    }
    const char *reason = decode(vector->bytes, &image);
    cr_assert_null(reason, "%s: %s", name, reason);
    expect_reservation(&image, &expected, &notes, name);
}

Test(image, vectors_of_reservations_are_encoded_and_decoded)
{
    /* All states and reasons, the smallest and the largest values; grants in their short form, too.
     */
    grants = 0;
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "reservation", check_reservation_vector), 14);
    cr_expect_geq(grants, 5);
}

static void read_inventory(const struct hf_vector *vector, struct hf_inventory *inventory,
                           struct hf_settings *settings)
{
    *inventory = (struct hf_inventory){
        .inventory_id = NUMBER(uint64_t, "inventory_id"),
        .product_id = NUMBER(uint64_t, "product_id"),
        .lsn = NUMBER(uint64_t, "lsn"),
        .made_at_ns = NUMBER(uint64_t, "made_at_ns"),
        .capacity = NUMBER(uint32_t, "capacity"),
        .sell_limit = NUMBER(uint32_t, "sell_limit"),
        .flags = NUMBER(uint32_t, "flags"),
        .version = NUMBER(uint32_t, "inventory_version"),
    };
    *settings = (struct hf_settings){
        .sell_limit = inventory->sell_limit,
        .customer_limit = NUMBER(uint32_t, "customer_limit"),
        .min_qty = NUMBER(uint32_t, "min_qty"),
        .max_qty = NUMBER(uint32_t, "max_qty"),
        .waiting_limit = NUMBER(uint32_t, "waiting_limit"),
        .flags = inventory->flags,
        .opens_at_ns = NUMBER(uint64_t, "opens_at_ns"),
        .closes_at_ns = NUMBER(uint64_t, "closes_at_ns"),
        .longest_hold_ns = NUMBER(uint64_t, "longest_hold_ns"),
        .cancel_until_ns = NUMBER(uint64_t, "cancel_until_ns"),
        .offer_ttl_ns = NUMBER(uint64_t, "offer_ttl_ns"),
    };
}

static void expect_settings(const struct hf_settings *settings, const struct hf_settings *expected,
                            const char *name)
{
    cr_expect_eq(settings->sell_limit, expected->sell_limit, "%s", name);
    cr_expect_eq(settings->customer_limit, expected->customer_limit, "%s", name);
    cr_expect_eq(settings->min_qty, expected->min_qty, "%s", name);
    cr_expect_eq(settings->max_qty, expected->max_qty, "%s", name);
    cr_expect_eq(settings->waiting_limit, expected->waiting_limit, "%s", name);
    cr_expect_eq(settings->flags, expected->flags, "%s", name);
    cr_expect_eq(settings->opens_at_ns, expected->opens_at_ns, "%s", name);
    cr_expect_eq(settings->closes_at_ns, expected->closes_at_ns, "%s", name);
    cr_expect_eq(settings->longest_hold_ns, expected->longest_hold_ns, "%s", name);
    cr_expect_eq(settings->cancel_until_ns, expected->cancel_until_ns, "%s", name);
    cr_expect_eq(settings->offer_ttl_ns, expected->offer_ttl_ns, "%s", name);
}

static void check_inventory_vector(const struct hf_vector *vector)
{
    const char *name = hf_vector_text(vector, "name");
    struct hf_inventory expected;
    struct hf_settings settings;
    struct hf_image image;
    uint8_t record[HF_RECORD_BYTES];
    uint32_t sequence = NUMBER(uint32_t, "sequence");
    uint64_t changed_at_ns = NUMBER(uint64_t, "changed_at_ns");
    read_inventory(vector, &expected, &settings);

    struct hf_inventory given = expected;
    given.sell_limit = 0; /* that of the settings counts, and so do their flags */
    given.flags = HF_INVENTORY_PAUSED | HF_INVENTORY_SKIP;
    make_slot(record, expected.lsn);
    hf_image_encode_inventory(record, &given, &settings, sequence, changed_at_ns);
    cr_assert_eq(vector->byte_count, sizeof record, "%s", name);
    cr_expect_arr_eq(record, vector->bytes, sizeof record, "%s", name);

    const char *reason = decode(vector->bytes, &image);
    cr_assert_null(reason, "%s: %s", name, reason);
    cr_expect_eq(image.kind, HF_IMAGE_INVENTORY);
    cr_expect_eq(image.lsn, expected.lsn, "%s", name);
    cr_expect_eq(image.chain_length, 0, "%s", name);
    cr_expect_eq(image.inventory_sequence, sequence, "%s", name);
    cr_expect_eq(image.inventory_changed_at_ns, changed_at_ns, "%s", name);
    cr_expect_eq(image.inventory.inventory_id, expected.inventory_id, "%s", name);
    cr_expect_eq(image.inventory.product_id, expected.product_id, "%s", name);
    cr_expect_eq(image.inventory.lsn, expected.lsn, "%s", name);
    cr_expect_eq(image.inventory.made_at_ns, expected.made_at_ns, "%s", name);
    cr_expect_eq(image.inventory.capacity, expected.capacity, "%s", name);
    cr_expect_eq(image.inventory.sell_limit, expected.sell_limit, "%s", name);
    cr_expect_eq(image.inventory.flags, expected.flags, "%s", name);
    cr_expect_eq(image.inventory.version, expected.version, "%s", name);
    expect_settings(&image.settings, &settings, name);
}

Test(image, vectors_of_inventories_are_encoded_and_decoded)
{
    /* As version 0.1.0 wrote them, with settings, the smallest and the largest values. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "inventory", check_inventory_vector), 5);
}

Test(image, only_the_closing_is_taken_from_the_flags_of_an_inventory)
{
    /* Described with all its flags, while the settings say none; or closed by the settings. */
    struct hf_inventory inventory = {.inventory_id = 1, .capacity = 1, .flags = 31};
    struct hf_settings settings = {.sell_limit = 1};
    struct hf_image image;
    uint8_t record[HF_RECORD_BYTES];
    for (int i = 0; i < 2; i++) {
        make_slot(record, 1);
        hf_image_encode_inventory(record, &inventory, &settings, 1, 0);
        cr_assert_null(decode(record, &image));
        cr_expect_eq(image.inventory.flags, HF_INVENTORY_SOLD_OUT_CLOSED);
        cr_expect_eq(image.settings.flags, HF_INVENTORY_SOLD_OUT_CLOSED);
        inventory.flags = 0;
        settings.flags = HF_INVENTORY_SOLD_OUT_CLOSED;
    }
}

static void check_event_vector(const struct hf_vector *vector)
{
    const char *name = hf_vector_text(vector, "name");
    struct hf_inventory expected = {
        .inventory_id = NUMBER(uint64_t, "inventory_id"),
        .available = NUMBER(int32_t, "available"),
        .version = NUMBER(uint32_t, "inventory_version"),
    };
    struct hf_image image;
    uint8_t record[HF_RECORD_BYTES];
    make_slot(record, NUMBER(uint64_t, "lsn"));
    hf_image_encode_event(record, NUMBER(enum hf_image_event, "event"), &expected,
                          NUMBER(uint64_t, "changed_at_ns"));
    cr_assert_eq(vector->byte_count, sizeof record, "%s", name);
    cr_expect_arr_eq(record, vector->bytes, sizeof record, "%s", name);

    const char *reason = decode(vector->bytes, &image);
    cr_assert_null(reason, "%s: %s", name, reason);
    cr_expect_eq(image.kind, HF_IMAGE_EVENT);
    cr_expect_eq(image.lsn, NUMBER(uint64_t, "lsn"), "%s", name);
    cr_expect_eq(image.event, NUMBER(unsigned, "event"), "%s", name);
    cr_expect_eq(image.event_at_ns, NUMBER(uint64_t, "changed_at_ns"), "%s", name);
    cr_expect_eq(image.chain_length, 0, "%s", name);
    cr_expect_eq(image.inventory.inventory_id, expected.inventory_id, "%s", name);
    cr_expect_eq(image.inventory.available, expected.available, "%s", name);
    cr_expect_eq(image.inventory.version, expected.version, "%s", name);
}

Test(image, vectors_of_events_are_encoded_and_decoded)
{
    /* An ordinary one, the largest values. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "event", check_event_vector), 2);
}

/* ---- what is refused -------------------------------------------------------------------- */

/* The words in a reason that tell which field it is about. */
static const struct {
    const char *fault, *word;
} fault_words[] = {
    {"kind", "kind of the image"},
    {"state", "state of the reservation"},
    {"chain_index", "place in the chain"},
    {"chain_length", "chain is longer"},
    {"qty", "qty"},
    {"reservation_id", "id is zero"},
    {"changed_at_ns", "before it was made"},
    {"deadline_ns, state", "deadline belongs to HELD"},
    {"sequence", "sequence is zero"},
    {"linked_id", "linked to itself"},
    {"linked_id, made_as", "not made as CONFIRMED has a linked id"},
    {"made_as", "was made is unknown"},
    {"made_as, state", "made as"},
    {"flags", "flag"},
    {"flags, state", "without units took the last one"},
    {"reason", "reason of the change is unknown"},
    {"reason, state", "reason of EXPIRED"},
    {"reason, made_as", "waiting list"},
    {"zero", "reserved"},
    {"capacity", "capacity"},
    {"sell_limit", "sell limit"},
    {"min_qty, max_qty", "smallest quantity"},
    {"longest_hold_ns", "longest hold"},
    {"offer_ttl_ns", "offer stands"},
    {"event", "event is unknown"},
    {"available", "available"},
};

static void check_bad_vector(const struct hf_vector *vector)
{
    const char *name = hf_vector_text(vector, "name");
    const char *fault = hf_vector_text(vector, "fault");
    const char *word = NULL;
    struct hf_image image;
    for (size_t i = 0; i < sizeof fault_words / sizeof fault_words[0]; i++) {
        if (strcmp(fault_words[i].fault, fault) == 0)
            word = fault_words[i].word;
    }
    cr_assert_not_null(word, "%s: %s", name, fault);
    const char *reason = decode(vector->bytes, &image);
    cr_expect(reason != NULL && strstr(reason, word) != NULL, "%s: %s", name,
              reason == NULL ? "accepted" : reason);
}

Test(image, vectors_of_what_is_no_record_are_refused)
{
    /* Each rule about one record, broken by itself. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "bad_record", check_bad_vector), 40);
}

/* A hold that got its units, and changed hands. */
static void make_reservation(uint8_t record[HF_RECORD_BYTES])
{
    struct hf_reservation reservation = {
        .id = {{1}},
        .inventory_id = 2,
        .customer_id = 3,
        .made_at_ns = 100,
        .changed_at_ns = 200,
        .deadline_ns = 300,
        .qty = 4,
        .sequence = 2,
        .state = HF_STATE_HELD,
    };
    struct hf_image_notes notes = {.inventory_version = 5, .made_as = HF_STATE_WAITING};
    make_slot(record, 7);
    hf_image_encode_reservation(record, &reservation, &notes);
}

static void make_inventory(uint8_t record[HF_RECORD_BYTES])
{
    struct hf_inventory inventory = {
        .inventory_id = 2, .product_id = 3, .made_at_ns = 100, .capacity = 10, .version = 8};
    struct hf_settings settings = {.sell_limit = 12, .min_qty = 2, .max_qty = 6};
    make_slot(record, 7);
    hf_image_encode_inventory(record, &inventory, &settings, 1, 100);
}

static void make_event(uint8_t record[HF_RECORD_BYTES])
{
    struct hf_inventory inventory = {.inventory_id = 2, .available = 3, .version = 8};
    make_slot(record, 7);
    hf_image_encode_event(record, HF_EVENT_AVAILABLE_AGAIN, &inventory, 100);
}

/* One field set to a value: decoding must say a reason with `word` in it, or NULL if it is good. */
struct field_case {
    unsigned offset, bytes;
    uint64_t value;
    const char *word;
};

static void check_fields(void (*make)(uint8_t *), const struct field_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t record[HF_RECORD_BYTES], value[8];
        make(record);
        hf_put_u64(value, cases[i].value);
        memcpy(record + cases[i].offset, value, cases[i].bytes);
        struct hf_image image;
        const char *reason = hf_image_decode(record, &image);
        if (cases[i].word == NULL)
            cr_expect_null(reason, "offset %u: %s", cases[i].offset, reason);
        else
            cr_expect(reason != NULL && strstr(reason, cases[i].word) != NULL, "offset %u: %s",
                      cases[i].offset, reason == NULL ? "accepted" : reason);
    }
}

Test(image, fields_of_reservations_are_bounded)
{
    /* Each limited field at and beyond its limits. */
    static const struct field_case cases[] = {
        {8, 1, 0, "kind"},
        {8, 1, 4, "kind"},
        {8, 1, 255, "kind"},
        {9, 1, 0, "state"},
        {9, 1, 7, "state"},
        {9, 1, 255, "state"},
        {10, 2, 0x0100, NULL},
        {10, 2, 0x807f, NULL},
        {10, 2, 0x0101, "place in the chain"},
        {10, 2, 0x0001, "place in the chain"},
        {10, 2, 0x8100, "longer"},
        {12, 4, 0, "qty"},
        {12, 4, 1, NULL},
        {12, 4, HF_MAX_UNITS, NULL},
        {12, 4, HF_MAX_UNITS + 1, "qty"},
        {12, 4, UINT32_MAX, "qty"},
        {16, 1, 0, "id is zero"},
        {48, 8, 200, NULL},
        {48, 8, 201, "before it was made"},
        {56, 8, 99, "before it was made"},
        {64, 8, 0, "deadline"},
        {64, 8, UINT64_MAX, NULL},
        {72, 4, 0, "sequence"},
        {72, 4, UINT32_MAX, NULL},
        {76, 4, UINT32_MAX, NULL},
        {96, 4, UINT32_MAX, NULL},
        {100, 1, 0, "made as CONFIRMED"},
        {100, 1, HF_STATE_HELD, NULL},
        {100, 1, HF_STATE_CONFIRMED, "unknown"},
        {100, 1, HF_STATE_EXPIRED, "unknown"},
        {100, 1, 7, "unknown"},
        {101, 1, 1, NULL},
        {101, 1, 2, "flag"},
        {101, 1, 255, "flag"},
        {102, 1, HF_REASON_DEADLINE, "EXPIRED"},
        {102, 1, HF_REASON_OFFER, NULL},
        {102, 1, HF_REASON_LIMIT, "CANCELLED"},
        {102, 1, 4, "reason"},
    };
    check_fields(make_reservation, cases, sizeof(cases) / sizeof(cases[0]));
}

Test(image, fields_of_inventories_are_bounded)
{
    /* Each limited field at and beyond its limits; a sell limit above the capacity is overbooking,
     * one of 0 sells nothing. */
    const uint64_t longest_ns = HF_MAX_TTL_NS;
    const struct field_case cases[] = {
        {9, 1, 2, "reserved"},
        {12, 4, 0, "sequence"},
        {32, 4, 0, "capacity"},
        {32, 4, HF_MAX_UNITS, NULL},
        {32, 4, HF_MAX_UNITS + 1, "capacity"},
        {36, 4, 0, NULL},
        {36, 4, HF_MAX_UNITS, NULL},
        {36, 4, HF_MAX_UNITS + 1, "sell limit"},
        {40, 4, 31, NULL},
        {40, 4, 32, "flag"},
        {40, 4, 1u << 31, "flag"},
        {44, 4, UINT32_MAX, NULL},
        {48, 8, 101, "before it was made"},
        {64, 4, UINT32_MAX, NULL},
        {68, 4, 6, NULL},
        {68, 4, 7, "smallest quantity"},
        {72, 4, 0, NULL},
        {72, 4, 1, "smallest quantity"},
        {96, 8, longest_ns, NULL},
        {96, 8, longest_ns + 1, "longest hold"},
        {112, 8, longest_ns, NULL},
        {112, 8, longest_ns + 1, "offer"},
    };
    check_fields(make_inventory, cases, sizeof(cases) / sizeof(cases[0]));
}

Test(image, fields_of_events_are_bounded)
{
    /* An unknown event, no units, a deficit. */
    static const struct field_case cases[] = {
        {9, 1, 0, "event"},
        {9, 1, 2, "event"},
        {24, 4, 0, "available"},
        {24, 4, HF_MAX_UNITS, NULL},
        {24, 4, HF_MAX_UNITS + 1, "available"},
        {24, 4, UINT32_MAX, "available"},
    };
    check_fields(make_event, cases, sizeof(cases) / sizeof(cases[0]));
}

/* True if these belong together, as docs/log-format.md has it. */
static bool belong_together(unsigned state, unsigned made_as, unsigned reason, unsigned flags,
                            bool deadline, bool linked)
{
    bool from_list = made_as == HF_STATE_WAITING;
    bool made_known = made_as == 0 || made_as == HF_STATE_HELD || from_list;
    bool was_held =
        state == HF_STATE_HELD || state == HF_STATE_RELEASED || state == HF_STATE_EXPIRED;
    bool reasons[] = {
        [HF_REASON_REQUEST] = state != HF_STATE_EXPIRED,
        [HF_REASON_DEADLINE] = state == HF_STATE_EXPIRED,
        [HF_REASON_OFFER] = state == HF_STATE_HELD && from_list,
        [HF_REASON_LIMIT] = state == HF_STATE_CANCELLED && from_list,
    };
    return made_known && (!was_held || made_as != 0) && (state != HF_STATE_WAITING || from_list) &&
           reasons[reason] && (flags == 0 || state <= HF_STATE_CONFIRMED) &&
           deadline == (state == HF_STATE_HELD) && (!linked || made_as == 0);
}

Test(image, what_does_not_belong_together_is_refused)
{
    /* All states, ways of making, reasons and flags, with and without deadline and linked id. */
    unsigned accepted = 0;
    for (unsigned i = 0; i < 6 * 7 * 4 * 2 * 2 * 2; i++) {
        unsigned state = 1 + i % 6, made_as = i / 6 % 7, reason = i / 42 % 4, flags = i / 168 % 2;
        bool deadline = i / 336 % 2 != 0, linked = i / 672 != 0;
        uint8_t record[HF_RECORD_BYTES];
        struct hf_image image;
        make_reservation(record);
        record[9] = (uint8_t)state;
        record[64] = deadline;
        record[65] = deadline; /* 257: after it was changed */
        record[80] = linked ? 9 : 0;
        record[100] = (uint8_t)made_as;
        record[101] = (uint8_t)flags;
        record[102] = (uint8_t)reason;
        const char *fault = hf_image_decode(record, &image);
        bool right = belong_together(state, made_as, reason, flags, deadline, linked);
        cr_expect_eq(fault == NULL, right,
                     "state %u made_as %u reason %u flags %u deadline %d linked %d: %s", state,
                     made_as, reason, flags, deadline, linked, fault == NULL ? "accepted" : fault);
        accepted += fault == NULL;
    }
    cr_expect_eq(accepted, 24);
}

Test(image, a_reservation_is_not_linked_to_itself)
{
    /* The linked id is its own. */
    struct hf_reservation reservation = {
        .id = {{1}}, .linked_id = {{1}}, .qty = 1, .sequence = 1, .state = HF_STATE_CONFIRMED};
    struct hf_image_notes notes = {.inventory_version = 2};
    uint8_t record[HF_RECORD_BYTES];
    struct hf_image image;
    make_slot(record, 1);
    hf_image_encode_reservation(record, &reservation, &notes);
    const char *reason = hf_image_decode(record, &image);
    cr_expect(reason != NULL && strstr(reason, "itself") != NULL);
}

static void check_reserved(void (*make)(uint8_t *), unsigned from, unsigned to)
{
    for (unsigned at = from; at < to; at++) {
        uint8_t record[HF_RECORD_BYTES];
        make(record);
        record[at] = 0x80;
        struct hf_image image;
        const char *reason = hf_image_decode(record, &image);
        cr_expect(reason != NULL && strstr(reason, "reserved") != NULL, "byte %u: %s", at,
                  reason == NULL ? "accepted" : reason);
    }
}

Test(image, reserved_bytes_must_be_zero)
{
    /* Each reserved byte of the three kinds, alone; only reservations are in chains. */
    check_reserved(make_reservation, 103, 128);
    check_reserved(make_inventory, 9, 12);
    check_reserved(make_inventory, 120, 128);
    check_reserved(make_event, 10, 12);
    check_reserved(make_event, 28, 56);
    check_reserved(make_event, 64, 128);
}
