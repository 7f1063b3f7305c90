/* holdfast-wal under test; see wal_tool.h. */
#include "tests/lib/wal_tool.h"

#include "tests/lib/process.h"
#include "wal/record.h"

#define WORDS_MAX 30

char hf_wal_output[HF_WAL_OUTPUT_BYTES];

int hf_wal_run_words(const char *const words[])
{
    char program[HF_PROGRAM_TEXT_BYTES];
    const char *argv[WORDS_MAX + 2] = {program};
    hf_program_path("holdfast-wal", program);
    for (int i = 0; i < WORDS_MAX && words[i] != NULL; i++)
        argv[i + 1] = words[i];
    return hf_process_run(argv, hf_wal_output, sizeof hf_wal_output);
}

void hf_wal_build_sound(struct hf_log_builder *builder)
{
    hf_log_builder_block(builder, HF_BLOCK_START);
    hf_log_builder_inventory(builder, 1, 5);
    hf_log_builder_inventory(builder, 2, 5);
    hf_log_builder_block(builder, 0);
    hf_log_builder_reservation(builder, 10, 1, 5, 2);
    hf_log_builder_reservation(builder, 11, 2, 2, 2);
    hf_log_builder_reservation(builder, 10, 1, 5, 0);
    hf_log_builder_reservation(builder, 12, 1, 5, 4);
    hf_log_builder_block(builder, 0);
    hf_log_builder_block(builder, HF_BLOCK_STOP);
    hf_log_builder_block(builder, HF_BLOCK_START);
    hf_log_builder_inventory(builder, 3, 1);
    hf_log_builder_inventory(builder, 0, HF_MAX_UNITS);
    hf_log_builder_block(builder, 0);
}

void hf_wal_build_story(struct hf_log_builder *builder)
{
    const uint64_t start = HF_BUILDER_MADE_AT, lapse = start + 1 + HF_BUILDER_TTL_NS;
    struct hf_inventory inventory = hf_builder_inventory(7, 3);
    struct hf_settings settings = hf_builder_settings(3);
    struct hf_reservation one = hf_builder_reservation(1, 7, 2, HF_STATE_HELD);
    struct hf_reservation two = hf_builder_reservation(2, 7, 1, HF_STATE_CONFIRMED);
    struct hf_reservation three = hf_builder_reservation(3, 7, 1, HF_STATE_WAITING);
    struct hf_reservation four = hf_builder_reservation(4, 7, 1, HF_STATE_WAITING);
    struct hf_reservation anew = hf_builder_reservation(5, 7, 1, HF_STATE_CONFIRMED);
    struct hf_image_notes held = {.inventory_version = 2, .made_as = HF_STATE_HELD};
    struct hf_image_notes waits = {.inventory_version = 3, .made_as = HF_STATE_WAITING};
    hf_log_builder_block(builder, HF_BLOCK_START);
    hf_log_builder_set(builder, &inventory, &settings, 1);
    hf_log_builder_image(builder, &one, &held);
    hf_log_builder_image(
        builder, &two,
        &(struct hf_image_notes){.inventory_version = 3, .flags = HF_IMAGE_FLAG_SOLD_OUT});
    hf_log_builder_image(builder, &three, &waits);
    hf_log_builder_image(builder, &four, &waits);
    two.qty = 1;
    two.customer_id = 9;
    two.changed_at_ns++;
    two.sequence = 2;
    hf_log_builder_image(builder, &two,
                         &(struct hf_image_notes){.inventory_version = 3, .origin = 0xabcd});
    two.state = HF_STATE_CANCELLED;
    two.sequence = 3;
    hf_log_builder_image(builder, &two,
                         &(struct hf_image_notes){.inventory_version = 3, .origin = 0xabcd});
    three.state = HF_STATE_HELD;
    three.changed_at_ns = start + 60;
    three.deadline_ns = start + 60 + 2 * HF_BUILDER_TTL_NS;
    three.sequence = 2;
    waits.inventory_version = 6;
    waits.reason = HF_REASON_OFFER;
    hf_log_builder_image(builder, &three, &waits);
    four.state = HF_STATE_CANCELLED;
    four.changed_at_ns = start + 70;
    four.sequence = 2;
    waits.reason = HF_REASON_LIMIT;
    hf_log_builder_image(builder, &four, &waits);
    one.state = HF_STATE_EXPIRED;
    one.changed_at_ns = lapse;
    one.deadline_ns = 0;
    one.sequence = 2;
    held.inventory_version = 6;
    held.reason = HF_REASON_DEADLINE;
    held.chain_length = 2;
    hf_log_builder_image(builder, &one, &held);
    anew.made_at_ns = anew.changed_at_ns = lapse;
    anew.customer_id = one.customer_id;
    anew.linked_id = one.id;
    hf_log_builder_image(
        builder, &anew,
        &(struct hf_image_notes){.inventory_version = 7, .chain_index = 1, .chain_length = 2});
    uint8_t event[HF_RECORD_BYTES] = {0};
    inventory.available = 1;
    inventory.version = 8;
    hf_image_encode_event(event, HF_EVENT_AVAILABLE_AGAIN, &inventory, lapse);
    hf_log_builder_record(builder, event);
    settings = (struct hf_settings){
        .sell_limit = 2,
        .customer_limit = 4,
        .min_qty = 1,
        .max_qty = 3,
        .waiting_limit = 50,
        .flags = HF_INVENTORY_PAUSED | HF_INVENTORY_CLOSED | HF_INVENTORY_CLOSE_WHEN_SOLD_OUT |
                 HF_INVENTORY_SKIP,
        .opens_at_ns = start,
        .closes_at_ns = start + 1,
        .longest_hold_ns = 5400ull * 1000000000,
        .cancel_until_ns = start + 2,
        .offer_ttl_ns = HF_BUILDER_TTL_NS,
    };
    inventory.flags = HF_INVENTORY_SOLD_OUT_CLOSED;
    hf_log_builder_set(builder, &inventory, &settings, 2);
    hf_log_builder_inventory(builder, 8, 1);
    hf_log_builder_block(builder, 0);
}
