/* Sinks. See sink.h. */
#include "bench/sink.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/temporary.h"

#define RING_SLOTS   8192
#define AT_ONCE      1024 /* records copied at a time */
#define RING_ENTRIES 64
#define LOG_EVENT    (1ull << 56) /* user data; the low 8 bits are the queue's */
#define WAIT_NS      (200 * HF_NS_PER_US)
#define HASH_SEED    0x243f6a8885a308d3ull /* the same in every run: the same instructions */

static void touch(const struct hf_region *region)
{
    /* Only a wish: without it, page faults are measured with the rest. */
    (void)madvise(region->header, region->mapped_bytes, MADV_POPULATE_WRITE);
}

static int open_dropped(struct hf_sink *sink, uint32_t max_inventories, uint32_t max_reservations,
                        char *error)
{
    struct hf_region region;
    int result = hf_region_create(&region, max_inventories, max_reservations);
    if (result != 0)
        goto failed;
    region.header->hash_seed = HASH_SEED;
    result = hf_ring_init(&sink->bare_ring, RING_SLOTS, 1);
    if (result != 0)
        goto close_region;
    result = hf_engine_init(&sink->bare_engine, &region, HF_DEFAULT_RETAIN_NS, hf_date_now_ns());
    if (result != 0)
        goto close_ring;
    sink->engine = &sink->bare_engine;
    sink->ring = &sink->bare_ring;
    return 0;

close_ring:
    hf_ring_close(&sink->bare_ring);
close_region:
    hf_region_close(&region);
failed:
    snprintf(error, HF_LOG_ERROR_BYTES, "cannot make an engine of %u reservations: %s",
             max_reservations, strerror(-result));
    return result;
}

static int open_durable(struct hf_sink *sink, const char *directory, uint32_t max_inventories,
                        uint32_t max_reservations, char *error)
{
    const struct hf_store_options options = {.directory = directory,
                                             .max_inventories = max_inventories,
                                             .max_reservations = max_reservations};
    if (mkdir(directory, 0750) < 0) {
        int result = -errno;
        snprintf(error, HF_LOG_ERROR_BYTES, "cannot make %s: %s", directory, strerror(-result));
        return result;
    }
    int result = hf_store_open(&sink->store, &options, error);
    if (result != 0)
        return result;
    sink->engine = &sink->store->engine;
    sink->ring = &sink->store->log.ring;
    return 0;
}

int hf_sink_open(struct hf_sink **opened, const char *directory, uint32_t max_inventories,
                 uint32_t max_reservations, char error[HF_LOG_ERROR_BYTES])
{
    struct hf_sink *sink = aligned_alloc(HF_CACHE_LINE_BYTES, sizeof *sink);
    if (sink == NULL) {
        snprintf(error, HF_LOG_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    memset(sink, 0, sizeof *sink);
    int result = directory == NULL
                     ? open_dropped(sink, max_inventories, max_reservations, error)
                     : open_durable(sink, directory, max_inventories, max_reservations, error);
    if (result != 0) {
        free(sink);
        return result;
    }
    touch(&sink->engine->region);
    *opened = sink;
    return 0;
}

/* A link in a directory that is there for as long as it takes to open it. */
static int view_dropped(struct hf_sink *sink, struct hf_view **view)
{
    const char *parent = getenv("TMPDIR");
    char directory[PATH_MAX];
    int result = hf_temporary_directory(directory, sizeof directory,
                                        parent != NULL && parent[0] != '\0' ? parent : P_tmpdir);
    if (result != 0)
        return result;
    struct hf_region *region = &sink->bare_engine.region;
    result = hf_region_publish(region, directory);
    if (result == 0)
        result = hf_view_open(directory, view);
    hf_region_unpublish(region);
    rmdir(directory);
    return result;
}

int hf_sink_view(struct hf_sink *sink, const char *directory, struct hf_view **view,
                 char error[HF_LOG_ERROR_BYTES])
{
    int result = sink->store != NULL ? hf_view_open(directory, view) : view_dropped(sink, view);
    if (result != 0)
        snprintf(error, HF_LOG_ERROR_BYTES, "cannot open the view: %s", strerror(-result));
    return result;
}

/* The files of one log: all in the directory itself. */
static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
}

int hf_sink_close(struct hf_sink *sink, const char *directory)
{
    int result = 0;
    if (sink->store != NULL) {
        result = hf_store_close(sink->store);
        remove_directory(directory);
    } else {
        struct hf_region region = sink->bare_engine.region;
        hf_engine_close(&sink->bare_engine);
        hf_region_close(&region);
        hf_ring_close(&sink->bare_ring);
    }
    free(sink);
    return result;
}

int hf_drain_open(struct hf_drain *drain, struct hf_sink *sink, char error[HF_LOG_ERROR_BYTES])
{
    *drain = (struct hf_drain){.sink = sink};
    if (sink->store != NULL) {
        int result = hf_uring_open(&drain->ring, RING_ENTRIES, error, HF_LOG_ERROR_BYTES);
        if (result == 0)
            hf_uring_queue_init(&drain->queue, &drain->ring, LOG_EVENT,
                                sink->store->log.disk.writes);
        return result;
    }
    drain->records = malloc((size_t)AT_ONCE * HF_RECORD_BYTES);
    if (drain->records != NULL)
        return 0;
    snprintf(error, HF_LOG_ERROR_BYTES, "out of memory");
    return -ENOMEM;
}

static void drop(struct hf_drain *drain)
{
    struct hf_sink *sink = drain->sink;
    uint32_t count, free_word = 0;
    /* Acquire and release: each consumer goes on where the one before it stopped. */
    if (hf_load_relaxed(&sink->draining) != 0 || !hf_cas_acq_rel(&sink->draining, &free_word, 1))
        return;
    while ((count = hf_ring_published(sink->ring, AT_ONCE)) != 0)
        hf_ring_drain(sink->ring, drain->records, count);
    hf_store_release(&sink->draining, 0); /* pairs with the CAS above */
}

/* Takes the completions that are there. */
static void reap(struct hf_drain *drain)
{
    struct io_uring_cqe *completion;
    while (io_uring_peek_cqe(&drain->ring, &completion) == 0) {
        uint32_t cookie;
        int result;
        struct io_uring_cqe copy = *completion;
        io_uring_cqe_seen(&drain->ring, completion);
        if (hf_uring_queue_reap(&drain->queue, &copy, &cookie, &result))
            hf_flusher_complete(&drain->sink->store->log.flusher, &drain->queue.queue, cookie,
                                result);
    }
}

void hf_drain_run(struct hf_drain *drain)
{
    if (drain->sink->store == NULL) {
        drop(drain);
        return;
    }
    reap(drain);
    hf_flusher_run(&drain->sink->store->log.flusher, &drain->queue.queue);
    hf_uring_submit_all(&drain->ring);
}

void hf_drain_wait(struct hf_drain *drain)
{
    if (drain->sink->store != NULL) {
        struct __kernel_timespec wait = {.tv_nsec = (long long)WAIT_NS};
        struct io_uring_cqe *completion;
        (void)io_uring_wait_cqe_timeout(&drain->ring, &completion, &wait);
    } else {
        sched_yield(); /* to whoever is at the ring */
    }
    hf_drain_run(drain);
}

void hf_drain_settle(struct hf_drain *drain)
{
    hf_drain_run(drain);
    while (drain->sink->store != NULL && !hf_flusher_idle(&drain->sink->store->log.flusher))
        hf_drain_wait(drain);
}

void hf_drain_close(struct hf_drain *drain)
{
    while (drain->sink->store != NULL && drain->queue.inflight != 0)
        hf_drain_wait(drain);
    if (drain->sink->store != NULL)
        io_uring_queue_exit(&drain->ring);
    free(drain->records);
}
