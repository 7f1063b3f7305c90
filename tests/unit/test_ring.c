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

Test(ring, a_barred_producer_gets_no_credits_and_keeps_those_it_has)
{
    cr_assert(hf_ring_credit(&producer, 3));
    uint32_t credits = producer.credits;
    uint64_t credited = hf_load_relaxed(&ring.credited);
    hf_ring_bar(&producer);
    cr_expect_not(hf_ring_credit(&producer, 1));
    cr_expect_not(hf_ring_credit(&producer, 3));
    hf_ring_unbar(&producer);
    cr_expect_eq(producer.credits, credits);
    cr_expect_eq(hf_load_relaxed(&ring.credited), credited);
    cr_expect_eq(append(), 100);
    hf_ring_producer_close(&producer);
    cr_expect_eq(hf_load_relaxed(&ring.credited), 101, "all were given back but the one");
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

/* ---- chains ---- */

/* Publishes the record at `lsn` as place `index` of a chain of `length`. */
static void publish_of_chain(uint64_t lsn, uint32_t index, uint32_t length)
{
    struct hf_ring_slot *slot = hf_ring_slot(&ring, lsn);
    memset(slot->image, (int)(lsn & 0xff), sizeof slot->image);
    slot->image[HF_RECORD_CHAIN_INDEX - HF_RECORD_IMAGE] = (uint8_t)index;
    slot->image[HF_RECORD_CHAIN_LENGTH - HF_RECORD_IMAGE] = (uint8_t)length;
    hf_ring_publish(slot, lsn);
}

static uint64_t append_chain(uint32_t length)
{
    cr_assert(hf_ring_credit(&producer, length));
    uint64_t first = hf_ring_reserve_chain(&producer, length);
    for (uint32_t i = 0; i < length; i++)
        publish_of_chain(first + i, i, length);
    return first;
}

static void skip(uint32_t count)
{
    uint8_t records[SLOTS * HF_RECORD_BYTES];
    hf_ring_drain(&ring, records, count);
}

/* One who is not of the chain asks for an LSN before the chain is published. */
Test(ring, a_chain_has_consecutive_lsns_and_spends_as_many_credits)
{
    cr_assert(hf_ring_credit(&producer, SLOTS));
    uint64_t single, first = hf_ring_reserve_chain(&producer, 5);
    cr_expect_eq(first, 100);
    cr_expect_eq(producer.credits, SLOTS - 5);
    hf_ring_reserve(&producer, &single);
    cr_expect_eq(single, 105);
    cr_expect_eq(hf_load_relaxed(&ring.tail) + producer.credits, hf_load_relaxed(&ring.credited));
}

/* Laps that are no multiple of the chain: its slots go around the end, in order. */
Test(ring, a_chain_goes_around_the_end_of_the_slots)
{
    uint64_t next = 100;
    for (uint32_t lap = 0; lap < 2 * SLOTS; lap++) {
        uint8_t records[SLOTS * HF_RECORD_BYTES];
        cr_assert_eq(append_chain(5), next);
        cr_assert_eq(hf_ring_published(&ring, SLOTS), 5);
        cr_assert_eq(hf_ring_whole(&ring, 5), 5);
        for (uint32_t cut = 1; cut < 5; cut++)
            cr_assert_eq(hf_ring_whole(&ring, cut), 0);
        hf_ring_drain(&ring, records, 5);
        for (uint32_t i = 0; i < 5; i++) {
            const uint8_t *record = records + (size_t)i * HF_RECORD_BYTES;
            cr_expect_eq(hf_get_u64(record), next + i);
            cr_expect_eq(record[HF_RECORD_CHAIN_INDEX], i);
            cr_expect_eq(record[HF_RECORD_BYTES - 1], (uint8_t)(next + i));
        }
        next += 5;
    }
}

/* There is room for a part of it: nothing is handed out, and nobody waits for the rest. */
Test(ring, a_chain_gets_all_its_credits_or_none)
{
    append_chain(5);
    cr_assert_eq(producer.credits, SLOTS - 5);
    uint64_t tail = hf_load_relaxed(&ring.tail), credited = hf_load_relaxed(&ring.credited);
    cr_expect_not(hf_ring_credit(&producer, 4));
    cr_expect_eq(producer.credits, SLOTS - 5, "what it held it holds");
    cr_expect_eq(hf_load_relaxed(&ring.tail), tail);
    cr_expect_eq(hf_load_relaxed(&ring.credited), credited);
    append();
    skip(1);
    cr_expect_not(hf_ring_credit(&producer, 4), "two held and one drained");
    skip(1);
    cr_expect_eq(append_chain(4), 106);
    cr_expect_not(hf_ring_credit(&producer, 1));
}

/* Its records are published one by one, the last one first. */
Test(ring, a_chain_is_whole_when_its_last_record_is_published)
{
    append();
    cr_assert(hf_ring_credit(&producer, 4));
    uint64_t first = hf_ring_reserve_chain(&producer, 4);
    publish_of_chain(first + 3, 3, 4);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t published = hf_ring_published(&ring, SLOTS);
        cr_expect_eq(published, 1 + i);
        cr_expect_eq(hf_ring_whole(&ring, published), 1, "only the record before it");
        publish_of_chain(first + i, i, 4);
    }
    cr_expect_eq(hf_ring_published(&ring, SLOTS), 5);
    cr_expect_eq(hf_ring_whole(&ring, 5), 5);
}

/* Single records, chains of one and of more, one behind the other, cut at every place. */
Test(ring, what_is_whole_ends_behind_a_chain_or_a_single_record)
{
    append_chain(3);
    append_chain(1);
    append_chain(2);
    publish_of_chain(hf_ring_reserve_chain(&producer, 1), 0, 0);
    static const uint32_t whole[] = {0, 0, 0, 3, 4, 4, 6, 7};
    cr_assert_eq(hf_ring_published(&ring, SLOTS), 7);
    for (uint32_t cut = 0; cut <= 7; cut++)
        cr_expect_eq(hf_ring_whole(&ring, cut), whole[cut], "of %u: %u", cut,
                     hf_ring_whole(&ring, cut));
}
