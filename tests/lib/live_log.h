/*
 * A log that is being written: a directory of its own, opened, with a thread that drives the
 * flusher as a server's worker does. Tests append from any thread, and read beside it.
 *
 * Every failure of the machine (no memory, no disk) ends the process: it is not what is tested.
 */
#ifndef HF_TESTS_LIB_LIVE_LOG_H
#define HF_TESTS_LIB_LIVE_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/process.h"
#include "wal/log.h"

struct hf_live_write {
    uint32_t cookie;
    int file;
    const void *buffer;
    uint32_t bytes;
    uint64_t offset;
};

struct hf_live_log {
    char directory[HF_DIRECTORY_TEXT_BYTES];
    struct hf_log log;
    struct hf_write_queue queue;
    struct hf_live_write writes[HF_MAX_INFLIGHT]; /* in flight; the writer's */
    uint32_t write_count;
    _Atomic uint32_t held; /* 1: what is in flight stays in flight */
    pthread_t writer;
    bool started;
    _Atomic uint32_t paused;     /* 1: asked to stand still, 2: it does */
    _Atomic uint32_t closing;    /* set by hf_live_log_close() */
    void (*turn)(void *context); /* called in the writer's thread, again and again; may be NULL */
    void *turn_context;
};

/* segment_bytes 0: the default. `recent_slots` newest records are in memory for those who follow; a
 * power of two, no less than ring_slots. `turn` may be set before hf_live_log_start(). */
void hf_live_log_open(struct hf_live_log *live, uint64_t segment_bytes, uint32_t ring_slots,
                      uint32_t recent_slots, enum hf_durability durability);
void hf_live_log_start(struct hf_live_log *live);

/* All producers are closed. Waits until everything is on the disk, and ends the thread. */
void hf_live_log_stop(struct hf_live_log *live);

/* Stops if need be; closes the log and removes the directory. */
void hf_live_log_close(struct hf_live_log *live);

/* While held, writes are submitted and do not complete. */
void hf_live_log_hold(struct hf_live_log *live, bool held);

/* While paused, nothing is written, and commit stands still. Nested calls are not counted. */
void hf_live_log_pause(struct hf_live_log *live);
void hf_live_log_resume(struct hf_live_log *live);

/*
 * Appends `count` records as one chain (1: a record of its own), waiting while the ring is full.
 * Bytes 12 .. 127 are `record`'s in each, and kind and state too. Returns the first LSN.
 */
uint64_t hf_live_log_append(struct hf_ring_producer *producer, const uint8_t *record,
                            uint32_t count);

/* Blocks until this LSN may be read by those who follow. */
void hf_live_log_wait(const struct hf_live_log *live, uint64_t lsn);

#endif
