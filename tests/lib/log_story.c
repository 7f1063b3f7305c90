/* Stories; see log_story.h. */
#include "tests/lib/log_story.h"

#include <stdio.h>
#include <string.h>

#include "wal/record.h"

struct hf_log_story hf_story;

void hf_story_open(void)
{
    hf_log_builder_open(&hf_story.builder, HF_BUILDER_MIN_BYTES);
}

void hf_story_close(void)
{
    hf_log_builder_close(&hf_story.builder);
}

void hf_story_begin(void)
{
    hf_log_builder_close(&hf_story.builder);
    hf_log_builder_open(&hf_story.builder, HF_BUILDER_MIN_BYTES);
    memset(hf_story.known, 0, sizeof(hf_story.known));
    memset(hf_story.noted, 0, sizeof(hf_story.noted));
    hf_story.chain_length = 0;
    hf_log_builder_block(&hf_story.builder, HF_BLOCK_START);
    hf_story.inventory = hf_builder_inventory(1, 5);
    hf_story.settings = hf_builder_settings(5);
    hf_story.settings_sequence = 1;
    hf_log_builder_set(&hf_story.builder, &hf_story.inventory, &hf_story.settings, 1);
    hf_log_builder_inventory(&hf_story.builder, 2, 5);
}

void hf_story_begin_chain(uint8_t length)
{
    hf_story.chain_index = 0;
    hf_story.chain_length = length;
}

uint64_t hf_story_tell(unsigned number)
{
    hf_story.noted[number].chain_index = hf_story.chain_length != 0 ? hf_story.chain_index : 0;
    hf_story.noted[number].chain_length = hf_story.chain_length;
    uint64_t lsn =
        hf_log_builder_image(&hf_story.builder, &hf_story.known[number], &hf_story.noted[number]);
    if (hf_story.chain_length != 0 && ++hf_story.chain_index == hf_story.chain_length)
        hf_story.chain_length = 0;
    return lsn;
}

struct hf_reservation *hf_story_prepare(unsigned number, enum hf_state state, uint32_t qty,
                                        uint32_t version)
{
    hf_story.known[number] = hf_builder_reservation(number, 1, qty, state);
    hf_story.known[number].sequence = 1;
    hf_story.noted[number] = (struct hf_image_notes){
        .inventory_version = version,
        .made_as = state == HF_STATE_CONFIRMED ? 0 : (uint8_t)state,
    };
    return &hf_story.known[number];
}

uint64_t hf_story_make(unsigned number, enum hf_state state, uint32_t qty, uint32_t version)
{
    hf_story_prepare(number, state, qty, version);
    return hf_story_tell(number);
}

struct hf_reservation *hf_story_move(unsigned number, enum hf_state state, enum hf_reason reason,
                                     uint32_t version)
{
    struct hf_reservation *reservation = &hf_story.known[number];
    bool was_held = reservation->state == HF_STATE_HELD;
    reservation->changed_at_ns = state == HF_STATE_EXPIRED && was_held
                                     ? reservation->deadline_ns
                                     : reservation->changed_at_ns + 1;
    if (state != HF_STATE_HELD)
        reservation->deadline_ns = 0;
    else if (!was_held)
        reservation->deadline_ns = reservation->changed_at_ns + HF_BUILDER_TTL_NS;
    reservation->state = state;
    reservation->sequence++;
    hf_story.noted[number].reason = (uint8_t)reason;
    hf_story.noted[number].inventory_version = version;
    hf_story.noted[number].flags = 0;
    return reservation;
}

uint64_t hf_story_change(unsigned number, enum hf_state state, enum hf_reason reason,
                         uint32_t version)
{
    hf_story_move(number, state, reason, version);
    return hf_story_tell(number);
}

uint64_t hf_story_set(uint32_t version)
{
    hf_story.inventory.version = version;
    return hf_log_builder_set(&hf_story.builder, &hf_story.inventory, &hf_story.settings,
                              ++hf_story.settings_sequence);
}

void hf_story_restart(void)
{
    if (hf_story.builder.next.record_count != 0)
        hf_log_builder_block(&hf_story.builder, 0);
    hf_log_builder_block(&hf_story.builder, HF_BLOCK_START);
}

static int verify(void)
{
    char program[HF_PROGRAM_TEXT_BYTES];
    hf_program_path("holdfast-wal", program);
    const char *const argv[] = {program, "verify", hf_story.builder.directory, NULL};
    return hf_process_run(argv, hf_story.output, sizeof(hf_story.output));
}

const char *hf_story_prove_sound(void)
{
    hf_log_builder_block(&hf_story.builder, 0);
    return verify() == 0 ? NULL : hf_story.output;
}

const char *hf_story_prove_fault(uint64_t lsn, const char *words)
{
    char place[128];
    uint64_t first = hf_story.builder.next.first_lsn;
    hf_log_builder_inventory(&hf_story.builder, 99, 1);
    uint32_t number = hf_log_builder_block(&hf_story.builder, 0);
    uint64_t offset = hf_story.builder.blocks[number].offset + HF_BLOCK_HEADER_BYTES +
                      (lsn - first) * HF_RECORD_BYTES;
    snprintf(place, sizeof(place),
             "fault: LSN %llu, 0000000000000001.wal at %llu: ", (unsigned long long)lsn,
             (unsigned long long)offset);
    bool found = verify() == 1 && strstr(hf_story.output, place) != NULL &&
                 strstr(hf_story.output, words) != NULL &&
                 strstr(hf_story.output, "\nverify: FAILED\n") != NULL &&
                 strstr(hf_story.output, "state_hash") == NULL;
    return found ? NULL : hf_story.output;
}
