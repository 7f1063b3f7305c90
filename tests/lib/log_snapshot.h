/*
 * Snapshots of built logs (log_builder.h), for tests of those who read them: the newest records of
 * everything, in the form that docs/log-format.md gives them in a snapshot, to be spoiled before
 * they are written.
 */
#ifndef HF_TESTS_LIB_LOG_SNAPSHOT_H
#define HF_TESTS_LIB_LOG_SNAPSHOT_H

#include "tests/lib/log_builder.h"
#include "wal/snapshot_header.h"

struct hf_log_snapshot_copy {
    uint8_t (*records)[128]; /* inventories first */
    uint32_t count, inventories;
    struct hf_snapshot_header header; /* as it will be written */
};

/* Copies the state after `lsn`. The snapshot begins with that segment, whose first block exists,
 * and attests the log up to that LSN. */
void hf_log_snapshot_copy(const struct hf_log_builder *builder, uint64_t lsn,
                          uint64_t start_segment, struct hf_log_snapshot_copy *copy);

/* The record of a reservation whose id the builder made from `number`, or of an inventory. It must
 * be there. */
uint8_t *hf_log_snapshot_reservation(struct hf_log_snapshot_copy *copy, uint64_t number);
uint8_t *hf_log_snapshot_inventory(struct hf_log_snapshot_copy *copy, uint64_t inventory_id);

/* Takes a record out, or puts one behind all others. */
void hf_log_snapshot_drop(struct hf_log_snapshot_copy *copy, uint8_t *record);
void hf_log_snapshot_add(struct hf_log_snapshot_copy *copy, const uint8_t *record);

/* Writes it into the builder's directory, and frees the copy. */
void hf_log_snapshot_write(const struct hf_log_builder *builder, struct hf_log_snapshot_copy *copy);

/* All of it, unspoiled. */
void hf_log_snapshot_make(const struct hf_log_builder *builder, uint64_t lsn,
                          uint64_t start_segment);

#endif
