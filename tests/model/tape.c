/* Tapes; see tape.h. The engine as a subject, with somebody who writes down what it tells. */
#include "tests/model/tape.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/model/trial.h"
#include "wal/record.h"

static struct hf_tape *recording;

static void encode(const struct hf_image *image, uint8_t *record)
{
    struct hf_image_notes notes = image->notes;
    notes.chain_index = image->chain_index;
    notes.chain_length = image->chain_length;
    switch (image->kind) {
    case HF_IMAGE_INVENTORY:
        hf_image_encode_inventory(record, &image->inventory, &image->settings,
                                  image->inventory_sequence, image->inventory_changed_at_ns);
        break;
    case HF_IMAGE_RESERVATION:
        hf_image_encode_reservation(record, &image->reservation, &notes);
        break;
    case HF_IMAGE_EVENT:
        hf_image_encode_event(record, (enum hf_image_event)image->event, &image->inventory,
                              image->event_at_ns);
        break;
    }
    hf_put_u64(record, image->lsn);
}

static void write_down(const struct hf_image *images, uint32_t count)
{
    struct hf_tape *tape = recording;
    if (tape->count + count > tape->room) {
        tape->room = 2 * tape->room + count + 1024;
        tape->records = realloc(tape->records, (size_t)tape->room * HF_RECORD_BYTES);
        HF_CHECK(tape->records != NULL);
    }
    for (uint32_t i = 0; i < count; i++) {
        HF_CHECK(images[i].lsn == tape->count + 1);
        encode(&images[i], tape->records + (size_t)tape->count++ * HF_RECORD_BYTES);
    }
}

static uint32_t tape_logged(void *subject, const struct hf_image **images)
{
    uint32_t count = hf_subject_engine.logged(subject, images);
    write_down(*images, count);
    return count;
}

/* What was lost is off the tape; what is logged while the engine starts comes behind the start. */
static uint64_t tape_crash(void *subject, uint64_t lsn, uint64_t now_ns)
{
    struct hf_tape *tape = recording;
    uint64_t next_lsn = hf_subject_engine.crash(subject, lsn, now_ns);
    HF_CHECK(next_lsn <= tape->count + 1 && tape->start_count < HF_TAPE_STARTS_MAX);
    tape->count = (uint32_t)(next_lsn - 1);
    while (tape->start_count > 1 && tape->starts[tape->start_count - 1] > tape->count)
        tape->start_count--;
    tape->starts[tape->start_count++] = tape->count;
    return next_lsn;
}

static struct hf_id symbol_of(void *trial, const struct hf_id *id)
{
    return hf_trial_symbol_of(trial, id);
}

void hf_tape_make(struct hf_tape *tape, uint64_t seed, uint32_t steps_wanted, uint64_t retain_ns)
{
    struct hf_subject subject = hf_subject_engine;
    struct hf_workload workload;
    struct hf_steps steps = {0};
    subject.logged = tape_logged;
    subject.crash = tape_crash;
    *tape = (struct hf_tape){.start_count = 1};
    recording = tape;
    struct hf_trial *trial = hf_trial_open(&subject, 0, seed, retain_ns, NULL, NULL);
    hf_workload_init(&workload, seed, retain_ns);
    workload.symbol_of = symbol_of;
    workload.context = trial;
    for (uint32_t i = 0; i < steps_wanted; i++) {
        hf_steps_clear(&steps);
        const struct hf_step *step = hf_workload_next(&workload, hf_trial_world(trial), &steps);
        const char *wrong = hf_trial_step(trial, step, steps.lines);
        if (wrong != NULL)
            fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, wrong);
        HF_CHECK(wrong == NULL);
    }
    hf_trial_close(trial);
    hf_steps_close(&steps);
    recording = NULL;
}

void hf_tape_close(struct hf_tape *tape)
{
    free(tape->records);
    *tape = (struct hf_tape){0};
}
