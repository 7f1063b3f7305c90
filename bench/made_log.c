/* A log made for a benchmark: see made_log.h. */
#include "bench/made_log.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "engine/execute.h"
#include "engine/snapshotter.h"

#define CLOCK_CALLS 64                 /* that have the same date, as those of a server's batch */
#define PAUSE_NS    (1 * HF_NS_PER_MS) /* while a segment, or the snapshot, is under way */

static void doze(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    nanosleep(&pause, NULL);
}

static void submit(struct hf_write_queue *queue, int file, const void *buffer, uint32_t bytes,
                   uint64_t offset, uint32_t cookie)
{
    struct hf_made_log *made =
        (struct hf_made_log *)((char *)queue - offsetof(struct hf_made_log, queue));
    HF_CHECK(made->write_count < HF_MADE_WRITES_MAX);
    ssize_t result = pwrite(file, buffer, bytes, (off_t)offset);
    made->writes[made->write_count++] =
        (struct hf_made_write){.cookie = cookie, .result = result < 0 ? -errno : (int)result};
}

/* Writes what is in the ring. */
static void flush(struct hf_made_log *made)
{
    struct hf_flusher *flusher = &made->store->log.flusher;
    hf_flusher_run(flusher, &made->queue);
    while (made->write_count != 0) {
        struct hf_made_write write = made->writes[--made->write_count];
        hf_flusher_complete(flusher, &made->queue, write.cookie, write.result);
    }
    if (hf_flusher_stalled(flusher))
        doze();
}

int hf_made_log_open(struct hf_made_log *made, const struct hf_store_options *options,
                     char error[HF_LOG_ERROR_BYTES])
{
    *made = (struct hf_made_log){.queue = {.submit = submit}};
    made->entries = calloc(HF_MAX_PAGE_ENTRIES, sizeof *made->entries);
    if (made->entries == NULL)
        return -ENOMEM;
    int result = hf_store_open(&made->store, options, error);
    if (result != 0)
        goto free_entries;
    result = hf_actor_init(&made->actor, &made->store->engine, &made->store->log.ring);
    if (result == 0)
        return 0;
    hf_store_close(made->store);
free_entries:
    free(made->entries);
    return result;
}

unsigned hf_made_log_call(struct hf_made_log *made, const struct hf_request *request)
{
    struct hf_actor *actor = &made->actor;
    struct hf_outcome outcome;
    do {
        if (made->calls++ % CLOCK_CALLS == 0)
            actor->now_ns = hf_server_clock_now_ns(&made->store->log.clock);
        hf_actor_enter(actor);
        HF_CHECK(hf_engine_execute(actor, request, made->entries, &outcome));
        hf_actor_exit(actor);
        if (outcome.result == HF_PUT_ASIDE_LOG_FULL)
            flush(made);
    } while (hf_outcome_put_aside(&outcome));
    return outcome.result;
}

static void flush_all(struct hf_made_log *made)
{
    while (!hf_flusher_idle(&made->store->log.flusher))
        flush(made);
}

bool hf_made_log_snapshot(struct hf_made_log *made)
{
    struct hf_snapshotter_report report;
    flush_all(made);
    hf_snapshotter_request(made->store->snapshotter);
    do {
        doze();
        flush(made);
        hf_snapshotter_describe(made->store->snapshotter, &report);
    } while (report.made == 0 && report.failures == 0);
    return report.failures == 0;
}

int hf_made_log_close(struct hf_made_log *made)
{
    hf_actor_close(&made->actor);
    flush_all(made);
    free(made->entries);
    return hf_store_close(made->store);
}
