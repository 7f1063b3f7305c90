/*
 * Images: encoded and decoded as the vectors of docs/vectors/log-format.txt say, and refused when
 * a field has an impossible value or a reserved byte is not zero.
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

static void check_reservation_vector(const struct hf_vector *vector)
{
    const char *name = hf_vector_text(vector, "name");
    struct hf_reservation expected = {
        .inventory_id = hf_vector_number(vector, "inventory_id"),
        .customer_id = hf_vector_number(vector, "customer_id"),
        .lsn = hf_vector_number(vector, "lsn"),
        .made_at_ns = hf_vector_number(vector, "made_at_ns"),
        .changed_at_ns = hf_vector_number(vector, "changed_at_ns"),
        .qty = (uint32_t)hf_vector_number(vector, "qty"),
        .sequence = (uint32_t)hf_vector_number(vector, "sequence"),
        .state = (enum hf_state)hf_vector_number(vector, "state"),
    };
    uint32_t version = (uint32_t)hf_vector_number(vector, "inventory_version");
    cr_assert(hf_id_parse(hf_vector_text(vector, "reservation_id"), &expected.id));

    uint8_t record[HF_RECORD_BYTES];
    make_slot(record, expected.lsn);
    hf_image_encode_reservation(record, &expected, version);
    cr_assert_eq(vector->byte_count, sizeof(record), "%s", name);
    cr_expect_arr_eq(record, vector->bytes, sizeof(record), "%s", name);

    struct hf_image image;
    memset(&image, 0xa5, sizeof(image));
    cr_assert_null(hf_image_decode(vector->bytes, &image), "%s", name);
    cr_expect_eq(image.kind, HF_IMAGE_RESERVATION);
    cr_expect_eq(image.lsn, expected.lsn, "%s", name);
    cr_expect_eq(image.inventory_version, version, "%s", name);
    cr_expect(hf_id_equal(&image.reservation.id, &expected.id), "%s", name);
    cr_expect_eq(image.reservation.inventory_id, expected.inventory_id, "%s", name);
    cr_expect_eq(image.reservation.customer_id, expected.customer_id, "%s", name);
    cr_expect_eq(image.reservation.lsn, expected.lsn, "%s", name);
    cr_expect_eq(image.reservation.made_at_ns, expected.made_at_ns, "%s", name);
    cr_expect_eq(image.reservation.changed_at_ns, expected.changed_at_ns, "%s", name);
    cr_expect_eq(image.reservation.qty, expected.qty, "%s", name);
    cr_expect_eq(image.reservation.sequence, expected.sequence, "%s", name);
    cr_expect_eq(image.reservation.state, expected.state, "%s", name);
}

Test(image, vectors_of_reservations_are_encoded_and_decoded)
{
    /* Both states, the smallest and the largest values. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "reservation", check_reservation_vector), 5);
}

static void check_inventory_vector(const struct hf_vector *vector)
{
    const char *name = hf_vector_text(vector, "name");
    struct hf_inventory expected = {
        .inventory_id = hf_vector_number(vector, "inventory_id"),
        .product_id = hf_vector_number(vector, "product_id"),
        .lsn = hf_vector_number(vector, "lsn"),
        .made_at_ns = hf_vector_number(vector, "made_at_ns"),
        .capacity = (uint32_t)hf_vector_number(vector, "capacity"),
        .sell_limit = (uint32_t)hf_vector_number(vector, "sell_limit"),
    };
    uint32_t sequence = (uint32_t)hf_vector_number(vector, "sequence");
    uint64_t changed_at_ns = hf_vector_number(vector, "changed_at_ns");

    uint8_t record[HF_RECORD_BYTES];
    make_slot(record, expected.lsn);
    hf_image_encode_inventory(record, &expected, sequence, changed_at_ns);
    cr_assert_eq(vector->byte_count, sizeof(record), "%s", name);
    cr_expect_arr_eq(record, vector->bytes, sizeof(record), "%s", name);

    struct hf_image image;
    memset(&image, 0xa5, sizeof(image));
    cr_assert_null(hf_image_decode(vector->bytes, &image), "%s", name);
    cr_expect_eq(image.kind, HF_IMAGE_INVENTORY);
    cr_expect_eq(image.lsn, expected.lsn, "%s", name);
    cr_expect_eq(image.inventory_sequence, sequence, "%s", name);
    cr_expect_eq(image.inventory_changed_at_ns, changed_at_ns, "%s", name);
    cr_expect_eq(image.inventory.inventory_id, expected.inventory_id, "%s", name);
    cr_expect_eq(image.inventory.product_id, expected.product_id, "%s", name);
    cr_expect_eq(image.inventory.lsn, expected.lsn, "%s", name);
    cr_expect_eq(image.inventory.made_at_ns, expected.made_at_ns, "%s", name);
    cr_expect_eq(image.inventory.capacity, expected.capacity, "%s", name);
    cr_expect_eq(image.inventory.sell_limit, expected.sell_limit, "%s", name);
}

Test(image, vectors_of_inventories_are_encoded_and_decoded)
{
    /* An ordinary one, the smallest and the largest values. */
    cr_assert_geq(hf_vectors_each(VECTORS_PATH, "inventory", check_inventory_vector), 3);
}

static void make_reservation(uint8_t record[HF_RECORD_BYTES])
{
    struct hf_reservation reservation = {
        .id = {{1}},
        .inventory_id = 2,
        .customer_id = 3,
        .made_at_ns = 100,
        .changed_at_ns = 200,
        .qty = 4,
        .sequence = 2,
        .state = HF_STATE_CANCELLED,
    };
    make_slot(record, 7);
    hf_image_encode_reservation(record, &reservation, 0);
}

static void make_inventory(uint8_t record[HF_RECORD_BYTES])
{
    struct hf_inventory inventory = {
        .inventory_id = 2, .product_id = 3, .made_at_ns = 100, .capacity = 10, .sell_limit = 12};
    make_slot(record, 7);
    hf_image_encode_inventory(record, &inventory, 1, 100);
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

Test(image, impossible_fields_of_reservations_are_refused)
{
    /* Each limited field at and beyond its limits. */
    static const struct field_case cases[] = {
        {8, 1, 0, "kind"},
        {8, 1, 3, "kind"},
        {8, 1, 255, "kind"},
        {9, 1, 0, "state"},
        {9, 1, 1, "state"},
        {9, 1, 2, NULL},
        {9, 1, 4, "state"},
        {12, 4, 0, "qty"},
        {12, 4, 1, NULL},
        {12, 4, HF_MAX_UNITS, NULL},
        {12, 4, HF_MAX_UNITS + 1, "qty"},
        {12, 4, UINT32_MAX, "qty"},
        {16, 1, 0, "id is zero"},
        {48, 8, 200, NULL},
        {48, 8, 201, "before it was made"},
        {56, 8, 99, "before it was made"},
        {72, 4, 0, "sequence"},
        {72, 4, UINT32_MAX, NULL},
        {76, 4, UINT32_MAX, NULL},
    };
    check_fields(make_reservation, cases, sizeof(cases) / sizeof(cases[0]));
}

Test(image, impossible_fields_of_inventories_are_refused)
{
    /* Each limited field at and beyond its limits; a sell limit above the capacity is overbooking.
     */
    static const struct field_case cases[] = {
        {9, 1, 2, "reserved"},
        {12, 4, 0, "sequence"},
        {32, 4, 0, "capacity"},
        {32, 4, HF_MAX_UNITS, NULL},
        {32, 4, HF_MAX_UNITS + 1, "capacity"},
        {36, 4, 0, "sell limit"},
        {36, 4, HF_MAX_UNITS, NULL},
        {36, 4, HF_MAX_UNITS + 1, "sell limit"},
        {48, 8, 101, "before it was made"},
    };
    check_fields(make_inventory, cases, sizeof(cases) / sizeof(cases[0]));
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
    /* Each reserved byte of both kinds, alone. */
    check_reserved(make_reservation, 10, 12);
    check_reserved(make_reservation, 64, 72);
    check_reserved(make_reservation, 80, 128);
    check_reserved(make_inventory, 9, 12);
    check_reserved(make_inventory, 40, 48);
    check_reserved(make_inventory, 64, 128);
}
