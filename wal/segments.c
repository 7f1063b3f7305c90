/* Segments, the writing side; their life is told in segments.h. */
#include "wal/segments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "wal/block.h"
#include "wal/segment_header.h"

#define ZERO_CHUNK_BYTES (1u << 20)
#define RETRY_MS         200

static int fill_segment(struct hf_io *io, int file, const uint8_t log_id[16], uint64_t number,
                        uint64_t segment_bytes)
{
    uint8_t *chunk = aligned_alloc(HF_BLOCK_ALIGN_BYTES, ZERO_CHUNK_BYTES);
    if (chunk == NULL)
        return -ENOMEM;
    memset(chunk, 0, ZERO_CHUNK_BYTES);
    struct hf_segment_header header = {
        .number = number,
        .segment_bytes = segment_bytes,
        .created_at_ns = hf_date_now_ns(),
    };
    memcpy(header.log_id, log_id, sizeof header.log_id);
    hf_segment_header_encode(chunk, &header);

    int result = 0;
    for (uint64_t offset = 0; offset < segment_bytes && result == 0; offset += ZERO_CHUNK_BYTES) {
        uint64_t left = segment_bytes - offset;
        size_t bytes = left < ZERO_CHUNK_BYTES ? (size_t)left : ZERO_CHUNK_BYTES;
        result = io->write_at(io, file, chunk, bytes, offset);
        if (offset == 0)
            memset(chunk, 0, HF_SEGMENT_HEADER_BYTES);
    }
    free(chunk);
    return result;
}

int hf_segment_create(struct hf_io *io, const char *directory, const uint8_t log_id[16],
                      uint64_t number, uint64_t segment_bytes)
{
    char name[HF_SEGMENT_NAME_BYTES];
    char temporary[HF_SEGMENT_NAME_BYTES + sizeof HF_SEGMENT_TEMPORARY_SUFFIX];
    hf_segment_name_format(number, name);
    snprintf(temporary, sizeof temporary, "%s" HF_SEGMENT_TEMPORARY_SUFFIX, name);

    int file = io->open_file(io, directory, temporary, HF_IO_CREATE);
    if (file < 0)
        return file;
    int result = fill_segment(io, file, log_id, number, segment_bytes);
    if (result == 0)
        result = io->sync_file(io, file);
    int closed = io->close_file(io, file);
    if (result == 0)
        result = closed;
    if (result == 0)
        result = io->rename_file(io, directory, temporary, name);
    else
        io->remove_file(io, directory, temporary);
    return result == 0 ? io->sync_directory(io, directory) : result;
}

int hf_segment_open(struct hf_io *io, const char *directory, uint64_t number,
                    struct hf_segment *segment)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(number, name);
    int file = io->open_file(io, directory, name, HF_IO_WRITE);
    if (file < 0)
        return file;
    *segment = (struct hf_segment){.file = file, .number = number};
    return 0;
}

/* Waits until `wanted` is posted or RETRY_MS passed. */
static void wait_for_retry(struct hf_segments *segments)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + RETRY_MS * HF_NS_PER_MS;
    until.tv_sec += (time_t)(ns / HF_NS_PER_S);
    until.tv_nsec = (long)(ns % HF_NS_PER_S);
    while (sem_timedwait(&segments->wanted, &until) != 0 && errno == EINTR)
        ;
}

/* Makes the next spare, however often it takes. False: the log is closing. */
static bool prepare_spare(struct hf_segments *segments, bool exists)
{
    for (;;) {
        /* Acquire, pairs with the release in hf_segments_close(). */
        if (hf_load_acquire(&segments->closing))
            return false;
        int result = 0;
        if (!exists)
            result = hf_segment_create(segments->io, segments->directory, segments->log_id,
                                       segments->next_number, segments->segment_bytes);
        if (result == 0)
            result = hf_segment_open(segments->io, segments->directory, segments->next_number,
                                     &segments->spare);
        if (result == 0) {
            /* Relaxed: a report, it guards nothing. */
            if (hf_load_relaxed(&segments->error) != 0)
                fprintf(stderr, "holdfast: log: a segment could be prepared again; going on\n");
            hf_store_relaxed(&segments->error, 0);
            return true;
        }
        if (hf_load_relaxed(&segments->error) != result)
            fprintf(
                stderr,
                "holdfast: log: cannot prepare segment %llu in %s: %s; new work is refused when "
                "the last segment is full; make room, trying again every %d ms\n",
                (unsigned long long)segments->next_number, segments->directory, strerror(-result),
                RETRY_MS);
        hf_store_relaxed(&segments->error, result);
        wait_for_retry(segments);
    }
}

static void *preparer_main(void *context)
{
    struct hf_segments *segments = context;
    bool exists = segments->spare.number != 0;
    while (prepare_spare(segments, exists)) {
        exists = false;
        segments->next_number++;
        /* Release, pairs with the acquire in hf_segments_take(): hands `spare` over. */
        hf_store_release(&segments->ready, 1);
        do {
            while (sem_wait(&segments->wanted) != 0)
                ;
            /* Acquire, pairs with the release in hf_segments_take(): `spare` is ours again. */
        } while (hf_load_acquire(&segments->ready) && !hf_load_acquire(&segments->closing));
    }
    return NULL;
}

int hf_segments_open(struct hf_segments *segments, struct hf_io *io, const char *directory,
                     const uint8_t log_id[16], uint64_t segment_bytes, uint64_t next_number,
                     bool exists)
{
    *segments = (struct hf_segments){
        .io = io,
        .segment_bytes = segment_bytes,
        .next_number = next_number,
        .spare = {.file = -1, .number = exists ? next_number : 0},
    };
    memcpy(segments->log_id, log_id, sizeof segments->log_id);
    segments->directory = strdup(directory);
    if (segments->directory == NULL)
        return -ENOMEM;
    sem_init(&segments->wanted, 0, 0);
    int result = pthread_create(&segments->preparer, NULL, preparer_main, segments);
    if (result != 0) {
        sem_destroy(&segments->wanted);
        free(segments->directory);
        segments->directory = NULL;
    }
    return -result;
}

void hf_segments_close(struct hf_segments *segments)
{
    if (segments->directory == NULL)
        return;
    hf_store_release(&segments->closing, 1); /* pairs with the acquires in the preparer */
    sem_post(&segments->wanted);
    pthread_join(segments->preparer, NULL);
    if (hf_load_relaxed(&segments->ready)) /* the join ordered it */
        segments->io->close_file(segments->io, segments->spare.file);
    sem_destroy(&segments->wanted);
    free(segments->directory);
    segments->directory = NULL;
}

bool hf_segments_take(struct hf_segments *segments, struct hf_segment *segment)
{
    /* Acquire, pairs with the release in preparer_main(). */
    if (!hf_load_acquire(&segments->ready))
        return false;
    *segment = segments->spare;
    hf_store_release(&segments->ready, 0); /* pairs with the acquire in preparer_main() */
    sem_post(&segments->wanted);
    return true;
}

int hf_segments_error(struct hf_segments *segments)
{
    return hf_load_relaxed(&segments->error); /* a report, it guards nothing */
}
