/*
 * A log made for a benchmark: by the engine itself, as a server writes it, but in one thread and
 * without anyone to answer. What is written is durable when the log is closed.
 */
#ifndef HF_BENCH_MADE_LOG_H
#define HF_BENCH_MADE_LOG_H

#include "engine/store.h"
#include "holdfast/message.h"

#define HF_MADE_WRITES_MAX 8

struct hf_made_log {
    struct hf_store *store;
    struct hf_actor actor;
    struct hf_reservation_entry *entries; /* of answers that nobody reads */
    uint32_t calls;                       /* since the clock was read */
    struct hf_write_queue queue;          /* writes at once; tells of it when asked: */
    struct hf_made_write {
        uint32_t cookie;
        int result;
    } writes[HF_MADE_WRITES_MAX];
    uint32_t write_count;
};

/* Opens the directory, which may hold a log already. 0, or -errno with a line in `error`. */
int hf_made_log_open(struct hf_made_log *made, const struct hf_store_options *options,
                     char error[HF_LOG_ERROR_BYTES]);

/* Executes one request about reservations and inventories, and returns its result. Blocks while the
 * log is full. */
unsigned hf_made_log_call(struct hf_made_log *made, const struct hf_request *request);

/* Makes a snapshot of all of it. Blocks. False: it cannot be written. */
bool hf_made_log_snapshot(struct hf_made_log *made);

/* 0 or -errno; everything is released either way. */
int hf_made_log_close(struct hf_made_log *made);

#endif
