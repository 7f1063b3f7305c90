/* A log that is being written: see live_log.h. */
#include "tests/lib/live_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "wal/tail.h"

#define PAUSE_NS 20000

static void doze(void)
{
    struct timespec pause = {.tv_nsec = PAUSE_NS};
    nanosleep(&pause, NULL);
}

static const char *replay(void *context, const uint8_t *records, uint32_t count, uint32_t *fault)
{
    (void)context;
    (void)records;
    (void)count;
    *fault = 0;
    return NULL;
}

static const char *replay_end(void *context, uint64_t epoch)
{
    (void)epoch;
    (void)context;
    return NULL;
}

static void fail(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "%s\n", text);
    abort();
}

static void submit(struct hf_write_queue *queue, int file, const void *buffer, uint32_t bytes,
                   uint64_t offset, uint32_t cookie)
{
    struct hf_live_log *live =
        (struct hf_live_log *)((char *)queue - offsetof(struct hf_live_log, queue));
    HF_CHECK(live->write_count < HF_MAX_INFLIGHT);
    live->writes[live->write_count++] = (struct hf_live_write){cookie, file, buffer, bytes, offset};
}

/* The newest first: commit has to wait for the oldest. */
static void complete_all(struct hf_live_log *live)
{
    while (live->write_count != 0 && !hf_load_acquire(&live->held)) {
        struct hf_live_write write = live->writes[--live->write_count];
        ssize_t result = pwrite(write.file, write.buffer, write.bytes, (off_t)write.offset);
        HF_CHECK(result == (ssize_t)write.bytes);
        hf_flusher_complete(&live->log.flusher, &live->queue, write.cookie, (int)result);
    }
}

static void *writer_main(void *context)
{
    struct hf_live_log *live = context;
    /* Acquire, pairs with the release in hf_live_log_close(). */
    while (!(hf_load_acquire(&live->closing) && hf_flusher_idle(&live->log.flusher))) {
        if (hf_load_acquire(&live->paused)) {
            hf_store_release(&live->paused, 2); /* pairs with hf_live_log_pause() */
            while (hf_load_acquire(&live->paused))
                doze();
        }
        hf_flusher_run(&live->log.flusher, &live->queue);
        bool busy = live->write_count != 0;
        complete_all(live);
        if (live->turn != NULL)
            live->turn(live->turn_context);
        if (!busy)
            doze();
    }
    return NULL;
}

void hf_live_log_open(struct hf_live_log *live, uint64_t segment_bytes, uint32_t ring_slots,
                      uint32_t recent_slots, enum hf_durability durability)
{
    memset(live, 0, sizeof *live);
    live->queue.submit = submit;
    HF_CHECK(hf_directory_make(live->directory) == 0);
    struct hf_log_options options = {
        .directory = live->directory,
        .segment_bytes = segment_bytes,
        .ring_slots = ring_slots,
        .durability = durability,
        .on_failure = fail,
        .replay = replay,
        .replay_end = replay_end,
    };
    char error[HF_LOG_ERROR_BYTES];
    int result = hf_log_open(&live->log, &options, error);
    if (result != 0)
        fail(NULL, error);
    hf_recent_close(&live->log.recent); /* that of the log is another size */
    HF_CHECK(hf_recent_init(&live->log.recent, recent_slots) == 0);
}

void hf_live_log_start(struct hf_live_log *live)
{
    HF_CHECK(pthread_create(&live->writer, NULL, writer_main, live) == 0);
    live->started = true;
}

void hf_live_log_stop(struct hf_live_log *live)
{
    if (!live->started)
        return;
    hf_store_release(&live->closing, 1); /* pairs with writer_main() */
    pthread_join(live->writer, NULL);
    live->started = false;
}

void hf_live_log_close(struct hf_live_log *live)
{
    hf_live_log_stop(live);
    HF_CHECK(hf_log_close(&live->log) == 0);
    hf_directory_remove(live->directory);
}

void hf_live_log_hold(struct hf_live_log *live, bool held)
{
    hf_store_release(&live->held, held); /* pairs with complete_all() */
}

void hf_live_log_pause(struct hf_live_log *live)
{
    hf_store_release(&live->paused, 1);
    while (hf_load_acquire(&live->paused) != 2) /* pairs with writer_main() */
        doze();
}

void hf_live_log_resume(struct hf_live_log *live)
{
    hf_store_release(&live->paused, 0);
}

uint64_t hf_live_log_append(struct hf_ring_producer *producer, const uint8_t *record,
                            uint32_t count)
{
    while (!hf_ring_credit(producer, count))
        doze();
    uint64_t first_lsn = hf_ring_reserve_chain(producer, count);
    for (uint32_t i = 0; i < count; i++) {
        struct hf_ring_slot *slot = hf_ring_slot(producer->ring, first_lsn + i);
        memcpy(slot->image, record + HF_RECORD_IMAGE, HF_RECORD_IMAGE_BYTES);
        slot->image[HF_RECORD_CHAIN_INDEX - HF_RECORD_IMAGE] = (uint8_t)i;
        slot->image[HF_RECORD_CHAIN_LENGTH - HF_RECORD_IMAGE] = count > 1 ? (uint8_t)count : 0;
        hf_ring_publish(slot, first_lsn + i);
    }
    return first_lsn;
}

void hf_live_log_wait(const struct hf_live_log *live, uint64_t lsn)
{
    while (hf_tail_limit(&live->log.flusher) < lsn)
        doze();
}
