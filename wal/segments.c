/* Segments, the writing side; their life is told in segments.h. */
#include "wal/segments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "wal/block.h"
#include "wal/segment_header.h"

#define ZERO_CHUNK_BYTES (256u << 10)
#define RETRY_MS         200

#define TEMPORARY_NAME_BYTES (HF_SEGMENT_NAME_BYTES + sizeof HF_SEGMENT_TEMPORARY_SUFFIX)

/* Released segments that wait to be prepared anew. */
#define KEPT_FOR_SPARES 1

static void format_names(uint64_t number, char name[HF_SEGMENT_NAME_BYTES],
                         char temporary[TEMPORARY_NAME_BYTES])
{
    hf_segment_name_format(number, name);
    snprintf(temporary, TEMPORARY_NAME_BYTES, "%s" HF_SEGMENT_TEMPORARY_SUFFIX, name);
}

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

/* Makes the segment out of NAME.tmp, which exists. The file is closed either way. */
static int finish_segment(struct hf_io *io, const char *directory, int file,
                          const uint8_t log_id[16], uint64_t number, uint64_t segment_bytes)
{
    char name[HF_SEGMENT_NAME_BYTES], temporary[TEMPORARY_NAME_BYTES];
    format_names(number, name, temporary);
    int result = fill_segment(io, file, log_id, number, segment_bytes);
    if (result == 0)
        result = io->sync_file(io, file);
    int closed = io->close_file(io, file);
    if (result == 0)
        result = closed;
    if (result == 0)
        result = io->rename_file(io, directory, temporary, name);
    if (result != 0)
        io->remove_file(io, directory, temporary);
    return result == 0 ? io->sync_directory(io, directory) : result;
}

/* A segment is not begun where there is no room for all of it: half of one, until it is removed and the
 * file system has its blocks back, would take the room of the snapshot that could release others. */
static int check_room(struct hf_io *io, const char *directory, uint64_t segment_bytes)
{
    uint64_t bytes;
    if (io->free_bytes == NULL || io->free_bytes(io, directory, &bytes) != 0)
        return 0;
    return bytes < segment_bytes ? -ENOSPC : 0;
}

int hf_segment_create(struct hf_io *io, const char *directory, const uint8_t log_id[16],
                      uint64_t number, uint64_t segment_bytes)
{
    char name[HF_SEGMENT_NAME_BYTES], temporary[TEMPORARY_NAME_BYTES];
    format_names(number, name, temporary);
    int result = check_room(io, directory, segment_bytes);
    /* What an attempt before this one left may be the very room that is looked for. */
    if (result == -ENOSPC && io->remove_file(io, directory, temporary) == 0)
        result = check_room(io, directory, segment_bytes);
    if (result != 0)
        return result;
    int file = io->open_file(io, directory, temporary, HF_IO_CREATE);
    if (file < 0)
        return file;
    return finish_segment(io, directory, file, log_id, number, segment_bytes);
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

/* ---- released segments ---- */

bool hf_segments_begin_removing(struct hf_segments *segments)
{
    pthread_mutex_lock(&segments->removing);
    if (segments->keep < 0 || flock(segments->keep, LOCK_EX | LOCK_NB) == 0)
        return true;
    pthread_mutex_unlock(&segments->removing);
    return false;
}

void hf_segments_end_removing(struct hf_segments *segments)
{
    if (segments->keep >= 0)
        flock(segments->keep, LOCK_UN);
    pthread_mutex_unlock(&segments->removing);
}

/* How many segments are there that nobody needs. */
static uint64_t released_count(const struct hf_segments *segments)
{
    /* Relaxed, both: whoever acts on it has the right to remove, for others it is a hint. */
    uint64_t first = hf_load_relaxed(&segments->first);
    uint64_t needed_from = hf_load_relaxed(&segments->needed_from);
    return needed_from > first ? needed_from - first : 0;
}

/* The oldest segment goes: to whoever has its file no longer belongs what stands there now. */
static uint64_t drop_first(struct hf_segments *segments)
{
    uint64_t number = hf_load_relaxed(&segments->first); /* the caller has the right to remove */
    hf_store_release(&segments->first, number + 1);      /* pairs with hf_segments_first() */
    return number;
}

static void remove_first(struct hf_segments *segments)
{
    char name[HF_SEGMENT_NAME_BYTES];
    hf_segment_name_format(drop_first(segments), name);
    int result = segments->io->remove_file(segments->io, segments->directory, name);
    if (result != 0 && result != -ENOENT)
        fprintf(stderr, "holdfast: log: cannot remove %s/%s, which is no longer needed: %s\n",
                segments->directory, name, strerror(-result));
}

static void raise_needed_from(struct hf_segments *segments, uint64_t needed_from)
{
    pthread_mutex_lock(&segments->removing);
    if (needed_from > hf_load_relaxed(&segments->needed_from)) /* relaxed: the mutex orders it */
        hf_store_relaxed(&segments->needed_from, needed_from);
    pthread_mutex_unlock(&segments->removing);
}

/* One file at a time, so that who prepares the next segment does not wait for many. What comes back
 * after a crash is removed again: one sync of the directory at the end, for the room. */
bool hf_segments_release(struct hf_segments *segments, uint64_t needed_from)
{
    bool removed = false;
    raise_needed_from(segments, needed_from);
    while (released_count(segments) > KEPT_FOR_SPARES) {
        if (!hf_segments_begin_removing(segments))
            break;
        if (released_count(segments) > KEPT_FOR_SPARES) {
            remove_first(segments);
            removed = true;
        }
        hf_segments_end_removing(segments);
    }
    if (removed)
        segments->io->sync_directory(segments->io, segments->directory);
    return released_count(segments) <= KEPT_FOR_SPARES;
}

/* Gives the oldest released segment the temporary name of the next one, durably. A descriptor;
 * -ENOENT: there is none; or -errno. */
static int take_released(struct hf_segments *segments, const char *temporary)
{
    struct hf_io *io = segments->io;
    int result = -ENOENT;
    if (released_count(segments) == 0 || !hf_segments_begin_removing(segments))
        return -ENOENT;
    while (result == -ENOENT && released_count(segments) != 0) {
        char name[HF_SEGMENT_NAME_BYTES];
        hf_segment_name_format(drop_first(segments), name);
        result = io->rename_file(io, segments->directory, name, temporary);
    }
    if (result == 0)
        result = io->sync_directory(io, segments->directory);
    hf_segments_end_removing(segments);
    return result == 0 ? io->open_file(io, segments->directory, temporary, HF_IO_OVERWRITE)
                       : result;
}

/* ---- preparing ---- */

static int prepare(struct hf_segments *segments)
{
    char name[HF_SEGMENT_NAME_BYTES], temporary[TEMPORARY_NAME_BYTES];
    format_names(segments->next_number, name, temporary);
    int file = take_released(segments, temporary);
    if (file == -ENOENT)
        return hf_segment_create(segments->io, segments->directory, segments->log_id,
                                 segments->next_number, segments->segment_bytes);
    return file < 0 ? file
                    : finish_segment(segments->io, segments->directory, file, segments->log_id,
                                     segments->next_number, segments->segment_bytes);
}

/* Tells the operator, once for each new reason. */
static void report(struct hf_segments *segments, int result)
{
    int before = hf_load_relaxed(&segments->error); /* a report, it guards nothing */
    hf_store_relaxed(&segments->error, result);
    if (result == before)
        return;
    if (result == 0)
        fprintf(stderr, "holdfast: log: a segment could be prepared again; going on\n");
    else
        fprintf(stderr,
                "holdfast: log: cannot prepare segment %llu in %s: %s; new work is refused when "
                "the last segment is full; make room, trying again every %d ms\n",
                (unsigned long long)segments->next_number, segments->directory, strerror(-result),
                RETRY_MS);
}

int hf_segments_step(struct hf_segments *segments)
{
    /* Acquire, pairs with the release in hf_segments_take(): `spare` is ours again. */
    if (hf_load_acquire(&segments->ready))
        return 0;
    int result = segments->next_exists ? 0 : prepare(segments);
    if (result == 0) {
        segments->next_exists = true;
        result = hf_segment_open(segments->io, segments->directory, segments->next_number,
                                 &segments->spare);
    }
    report(segments, result);
    if (result != 0)
        return result;
    segments->next_exists = false;
    segments->next_number++;
    /* Release, pairs with the acquire in hf_segments_take(): hands `spare` over. */
    hf_store_release(&segments->ready, 1);
    return 0;
}

/* Waits until `wanted` is posted, RETRY_MS at most. */
static void wait_for_retry(struct hf_segments *segments)
{
    uint64_t ns = hf_clock_ns(CLOCK_REALTIME) + RETRY_MS * HF_NS_PER_MS;
    struct timespec until = {
        .tv_sec = (time_t)(ns / HF_NS_PER_S),
        .tv_nsec = (long)(ns % HF_NS_PER_S),
    };
    while (sem_timedwait(&segments->wanted, &until) != 0 && errno == EINTR)
        ;
}

static void *preparer_main(void *context)
{
    struct hf_segments *segments = context;
    /* Acquire, pairs with the release in hf_segments_close(). */
    while (!hf_load_acquire(&segments->closing)) {
        if (hf_segments_step(segments) != 0)
            wait_for_retry(segments);
        else
            while (sem_wait(&segments->wanted) != 0)
                ;
    }
    return NULL;
}

int hf_segments_open(struct hf_segments *segments, const struct hf_segments_options *options)
{
    *segments = (struct hf_segments){
        .io = options->io,
        .directory = strdup(options->directory),
        .segment_bytes = options->segment_bytes,
        .manual = options->manual,
        .keep = options->keep,
        .next_number = options->next_number,
        .next_exists = options->next_exists,
        .spare = {.file = -1},
    };
    memcpy(segments->log_id, options->log_id, sizeof segments->log_id);
    hf_store_relaxed(&segments->first, options->first_number); /* no other thread yet */
    if (segments->directory == NULL)
        return -ENOMEM;
    pthread_mutex_init(&segments->removing, NULL);
    sem_init(&segments->wanted, 0, 0);
    int result =
        segments->manual ? 0 : pthread_create(&segments->preparer, NULL, preparer_main, segments);
    if (result != 0) {
        segments->manual = true; /* there is no thread to be joined */
        hf_segments_close(segments);
    }
    return -result;
}

void hf_segments_close(struct hf_segments *segments)
{
    if (segments->directory == NULL)
        return;
    hf_store_release(&segments->closing, 1); /* pairs with the acquire in the preparer */
    sem_post(&segments->wanted);
    if (!segments->manual)
        pthread_join(segments->preparer, NULL);
    if (hf_load_relaxed(&segments->ready)) /* the join ordered it */
        segments->io->close_file(segments->io, segments->spare.file);
    sem_destroy(&segments->wanted);
    pthread_mutex_destroy(&segments->removing);
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
