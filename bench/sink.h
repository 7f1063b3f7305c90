/*
 * A sink: an engine without a server, and where its log goes.
 *
 * Dropped: engine and ring stand alone, and what is published is copied out of the ring and forgotten.
 * Durable: a store in a directory; each thread runs the flusher on an io_uring of its own, as a worker
 * does.
 *
 * Memory is touched before it is handed out, so that no page fault is measured.
 */
#ifndef HF_BENCH_SINK_H
#define HF_BENCH_SINK_H

#include "engine/store.h"
#include "holdfast/view.h"
#include "wal/io_uring.h"

struct hf_sink {
    struct hf_engine *engine;
    struct hf_ring *ring;
    struct hf_store *store; /* NULL: dropped */

    /* Of one that drops. */
    struct hf_engine bare_engine;
    struct hf_ring bare_ring;
    _Atomic uint32_t draining; /* 1: somebody is consumer of the ring */
};

/* One thread's access to it: opened, used and closed by that thread. */
struct hf_drain {
    struct hf_sink *sink;
    uint8_t *records; /* dropped: where they are copied to */
    struct io_uring ring;
    struct hf_uring_queue queue;
};

/* `directory` is made, or NULL: the log is dropped. 0, or -errno with a line in `error`. */
int hf_sink_open(struct hf_sink **sink, const char *directory, uint32_t max_inventories,
                 uint32_t max_reservations, char error[HF_LOG_ERROR_BYTES]);

/* Attaches to its engine as another process would, through its memory file; `directory` as above. To be
 * closed by the caller, hf_view_close(). 0, or -errno with a line in `error`. */
int hf_sink_view(struct hf_sink *sink, const char *directory, struct hf_view **view,
                 char error[HF_LOG_ERROR_BYTES]);

/* All drains and actors are closed, and what was logged is settled. Removes the directory. 0 or
 * -errno. */
int hf_sink_close(struct hf_sink *sink, const char *directory);

/* 0, or -errno with a line in `error`. */
int hf_drain_open(struct hf_drain *drain, struct hf_sink *sink, char error[HF_LOG_ERROR_BYTES]);

/* Waits until nothing of it is in flight. */
void hf_drain_close(struct hf_drain *drain);

/* What is published leaves the ring, if nobody else is at it. Never blocks. */
void hf_drain_run(struct hf_drain *drain);

/* The ring is full: waits for a little, and runs. */
void hf_drain_wait(struct hf_drain *drain);

/* No thread appends any more, and all other drains are closed: waits until all is where it belongs. */
void hf_drain_settle(struct hf_drain *drain);

#endif
