/*
 * A story: a log told change by change, for tests of those who judge logs. Reservations are numbered,
 * and remembered as they were told last, so that a test says only what is new.
 *
 * There is one story at a time in a process. What it tells is well formed; whether it is sound is the
 * test's affair.
 */
#ifndef HF_TESTS_LIB_LOG_STORY_H
#define HF_TESTS_LIB_LOG_STORY_H

#include "tests/lib/log_builder.h"

#define HF_STORY_NUMBERS      256
#define HF_STORY_JUMP         (1u << 20) /* from the versions of a run to those of the next */
#define HF_STORY_OUTPUT_BYTES 65536

struct hf_log_story {
    struct hf_log_builder builder;
    struct hf_reservation known[HF_STORY_NUMBERS]; /* as they were told last */
    struct hf_image_notes noted[HF_STORY_NUMBERS];
    struct hf_inventory inventory; /* number 1 */
    struct hf_settings settings;   /* its settings, told by hf_story_set() */
    uint32_t settings_sequence;
    uint8_t chain_index, chain_length;  /* of the next record; length 0: it is no chain's */
    char output[HF_STORY_OUTPUT_BYTES]; /* of holdfast-wal verify */
};
extern struct hf_log_story hf_story;

void hf_story_open(void);
void hf_story_close(void);

/* Another story: START; inventories 1 and 2, of 5 units each, made with version 1. */
void hf_story_begin(void);

/* The server starts again. */
void hf_story_restart(void);

/* A new reservation of inventory 1, as hf_builder_reservation() makes it, sequence 1. Its LSN. */
uint64_t hf_story_make(unsigned number, enum hf_state state, uint32_t qty, uint32_t version);

/* Its next change, 1 ns later (EXPIRED: at its deadline). A hold that was none stands 15 minutes. */
uint64_t hf_story_change(unsigned number, enum hf_state state, enum hf_reason reason,
                         uint32_t version);

/* The same, not told yet, to be spoiled; and telling it. */
struct hf_reservation *hf_story_prepare(unsigned number, enum hf_state state, uint32_t qty,
                                        uint32_t version);
struct hf_reservation *hf_story_move(unsigned number, enum hf_state state, enum hf_reason reason,
                                     uint32_t version);
uint64_t hf_story_tell(unsigned number);

/* The settings of inventory 1 as they are now, with that version. */
uint64_t hf_story_set(uint32_t version);

/* The next `length` records of reservations are a chain. */
void hf_story_begin_chain(uint8_t length);

/* Seals the last block. NULL if holdfast-wal verify finds the log sound; else what it says. */
const char *hf_story_prove_sound(void);

/* Adds something sound, and seals. NULL if verify finds a fault at that LSN, of the last block, that
 * is told with these words, and tells no state hash; else what it says. */
const char *hf_story_prove_fault(uint64_t lsn, const char *words);

#endif
