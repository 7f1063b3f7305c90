/* The ring, one step at a time: what is published, what is drained, who may append. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "wal/ring.h"

#define SLOTS 8u

static struct hf_ring ring;
static struct hf_ring_producer producer;

static void open_ring(void)
{
    cr_assert_eq(hf_ring_init(&ring, SLOTS, 100), 0);
    hf_ring_producer_init(&producer, &ring);
}

static void close_ring(void)
{
    hf_ring_producer_close(&producer);
    hf_ring_close(&ring);
}

static void publish(struct hf_ring_slot *slot, uint64_t lsn)
{
    memset(slot->image, (int)(lsn & 0xff), sizeof slot->image);
    hf_ring_publish(slot, lsn);
}

static uint64_t append(void)
{
    uint64_t lsn;
    cr_assert(hf_ring_credit(&producer, 1));
    struct hf_ring_slot *slot = hf_ring_reserve(&producer, &lsn);
    publish(slot, lsn);
    return lsn;
}

static void drain(uint64_t first_lsn, uint32_t count)
{
    uint8_t records[SLOTS * HF_RECORD_BYTES];
    cr_assert_eq(hf_ring_published(&ring, SLOTS), count);
    hf_ring_drain(&ring, records, count);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *record = records + (size_t)i * HF_RECORD_BYTES;
        cr_expect_eq(hf_get_u64(record), first_lsn + i);
        for (unsigned byte = HF_RECORD_IMAGE; byte < HF_RECORD_BYTES; byte++)
            cr_assert_eq(record[byte], (uint8_t)(first_lsn + i));
    }
}

TestSuite(ring, .init = open_ring, .fini = close_ring);

Test(ring, a_new_ring_has_nothing_published_and_begins_with_the_lsn_it_is_given)
{
    cr_expect_eq(hf_ring_published(&ring, SLOTS), 0);
    cr_expect_eq(append(), 100);
    cr_expect_eq(append(), 101);
}

Test(ring, records_come_out_whole_and_in_order_for_three_laps_with_odd_batches)
{
    uint64_t next = 100;
    for (uint32_t i = 0; i < SLOTS; i++) {
        for (uint32_t k = 0; k < 3; k++)
            append();
        drain(next, 3);
        next += 3;
    }
    cr_expect_eq(hf_ring_published(&ring, SLOTS), 0);
}

Test(ring, the_published_prefix_ends_at_a_record_that_is_being_written)
{
    uint64_t first, second, third;
    cr_assert(hf_ring_credit(&producer, 3));
    struct hf_ring_slot *slot_of_first = hf_ring_reserve(&producer, &first);
    struct hf_ring_slot *slot_of_second = hf_ring_reserve(&producer, &second);
    struct hf_ring_slot *slot_of_third = hf_ring_reserve(&producer, &third);
    publish(slot_of_third, third);
    cr_expect_eq(hf_ring_published(&ring, SLOTS), 0);
    publish(slot_of_first, first);
    cr_expect_eq(hf_ring_published(&ring, SLOTS), 1);
    publish(slot_of_second, second);
    cr_expect_eq(hf_ring_published(&ring, SLOTS), 3);
    cr_expect_eq(hf_ring_published(&ring, 2), 2, "no more than the limit");
}

Test(ring, a_record_of_the_lap_before_is_not_taken_for_this_laps)
{
    for (uint32_t i = 0; i < SLOTS; i++)
        append();
    drain(100, SLOTS);
    uint64_t lsn;
    cr_assert(hf_ring_credit(&producer, 1));
    struct hf_ring_slot *slot = hf_ring_reserve(&producer, &lsn);
    cr_expect_eq(lsn, 100 + SLOTS);
    cr_expect_eq(hf_ring_published(&ring, SLOTS), 0);
    publish(slot, lsn);
    drain(100 + SLOTS, 1);
}

Test(ring, a_full_ring_refuses_credit_and_gives_as_much_again_as_was_drained)
{
    for (uint32_t i = 0; i < SLOTS; i++)
        append();
    uint64_t credited = hf_load_relaxed(&ring.credited);
    cr_expect_not(hf_ring_credit(&producer, 1));
    cr_expect_eq(hf_load_relaxed(&ring.credited), credited, "a refusal changes nothing");
    cr_expect_eq(producer.credits, 0);

    uint8_t records[2 * HF_RECORD_BYTES];
    hf_ring_drain(&ring, records, 2);
    cr_expect_not(hf_ring_credit(&producer, 3), "only two slots are free");
    cr_expect(hf_ring_credit(&producer, 2));
    append();
    append();
    cr_expect_not(hf_ring_credit(&producer, 1));
}

Test(ring, a_producer_that_closes_leaves_its_credits_to_the_others)
{
    struct hf_ring_producer other;
    hf_ring_producer_init(&other, &ring);
    cr_assert(hf_ring_credit(&other, 1));
    cr_expect_not(hf_ring_credit(&producer, 1), "the other fetched credits for the whole ring");
    hf_ring_producer_close(&other);
    cr_expect(hf_ring_credit(&producer, SLOTS));
    cr_expect_eq(append(), 100);
}

Test(ring, credits_that_are_held_are_spent_before_new_ones_are_fetched)
{
    cr_assert(hf_ring_credit(&producer, 1));
    uint64_t credited = hf_load_relaxed(&ring.credited);
    for (uint32_t i = 0; i < SLOTS; i++)
        append();
    cr_expect_eq(hf_load_relaxed(&ring.credited), credited);
    cr_expect_eq(hf_load_relaxed(&ring.tail), credited, "tail + credits held = credited");
}
